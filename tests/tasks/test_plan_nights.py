import asyncio

import pytest

from gateway.domain.events import NightPlanned
from gateway.domain.moments import Clk, Now
from gateway.tasks.plan_nights import EVERY_S, SOONER_S, plan_nights


async def test_a_night_is_planned_as_soon_as_the_clock_can_be_trusted_and_again_later():
    clocks = iter(
        [Now(1, 10, Clk.NONE, None, "b"), Now(2, None, Clk.SYNC, None, "b"),
         Now(3, 30, Clk.SYNC, 1, "b"), Now(4, 40, Clk.HOLD, 1, "b")]
    )  # fmt: skip
    put, slept = [], []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await plan_nights(
            lambda utc_ms: NightPlanned(str(utc_ms), utc_ms + 1),
            put=put.append,
            clock=lambda: next(clocks),
            sleep=sleep,
        )
    assert [plan.night for plan in put] == ["30", "40"]
    assert slept == [SOONER_S, SOONER_S, EVERY_S, EVERY_S]
