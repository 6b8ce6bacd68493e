import asyncio

import pytest

from gateway.domain.events import ClockStepped
from gateway.domain.moments import Clk, Now
from gateway.tasks.keep_time import tell_steps


async def test_each_jump_of_the_wall_clock_is_put_into_the_inbox_once():
    waiting = [(Now(7, 1, Clk.EST, None, "b"), -500_000), (Now(9, 1, Clk.EST, None, "b"), 2_000)]
    said: list[ClockStepped] = []
    turns = 0

    async def sleep(_: float) -> None:
        nonlocal turns
        turns += 1
        if turns > 3:
            raise asyncio.CancelledError

    def take():
        steps = list(waiting)
        waiting.clear()
        return steps

    with pytest.raises(asyncio.CancelledError):
        await tell_steps(take, put=said.append, sleep=sleep)
    assert said == [ClockStepped(-500_000, 7), ClockStepped(2_000, 9)]
