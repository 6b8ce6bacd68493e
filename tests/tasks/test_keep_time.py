import asyncio
import threading

import pytest

from gateway.domain.events import ClockStepped
from gateway.domain.moments import Clk, Now
from gateway.tasks.keep_time import keep_time, tell_steps


async def test_a_disk_that_hangs_does_not_hold_up_the_others():
    began, goes_on, saved = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def save(floor_ms: int) -> None:
        loop.call_soon_threadsafe(began.set)
        assert goes_on.wait(60)
        saved.append(floor_ms)

    async def sleep(_: float) -> None:
        if saved:
            raise asyncio.CancelledError

    keeping = asyncio.create_task(keep_time(lambda: 7, save, sleep=sleep))
    async with asyncio.timeout(60):
        await began.wait()  # by the loop, which goes on while `save` hangs
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert saved == [7]


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
