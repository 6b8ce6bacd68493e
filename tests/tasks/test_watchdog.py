"""The watchdog is fed while everybody between reply and buzzer beats, and only then."""

import asyncio
import logging

import pytest

from gateway.tasks.watchdog import LIMIT_MS, feed_watchdog, late


class World:
    """A clock that advances with each sleep, and what the feeder did."""

    def __init__(self, rounds: int) -> None:
        self.mono_ms = 100_000
        self.rounds = rounds
        self.beats = {"decider": 100_000, "panel": 100_000}
        self.stuck: set[str] = set()
        self.fed: list[int] = []
        self.armed: list[int] = []

    async def sleep(self, seconds: float) -> None:
        self.rounds -= 1
        if self.rounds < 0:
            raise asyncio.CancelledError
        self.mono_ms += round(seconds * 1000)
        self.beats |= dict.fromkeys(self.beats.keys() - self.stuck, self.mono_ms)

    async def run(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await feed_watchdog(
                lambda: self.beats,
                feed=lambda: self.fed.append(self.mono_ms),
                arm_dump=lambda: self.armed.append(self.mono_ms),
                sleep=self.sleep,
                mono=lambda: self.mono_ms,
                every_ms=5_000,
            )


async def test_it_is_fed_while_everybody_beats() -> None:
    world = World(rounds=3)
    await world.run()
    assert world.fed == [100_000, 105_000, 110_000, 115_000]
    assert world.armed == world.fed


async def test_one_stuck_loop_stops_the_feed_and_leaves_the_dump_armed() -> None:
    world = World(rounds=6)
    world.stuck = {"panel"}
    await world.run()
    assert world.fed == [100_000, 105_000, 110_000]
    assert world.armed[-1] == 110_000


async def test_a_loop_that_beats_again_is_fed_again_and_both_are_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    world = World(rounds=9)
    world.beats["bus meter-hall"] = 70_000
    world.stuck = {"bus meter-hall"}

    async def sleep(seconds: float) -> None:
        if world.rounds == 4:
            world.stuck = set()
        await World.sleep(world, seconds)

    world.sleep = sleep  # type: ignore[method-assign]
    await world.run()
    assert len(world.fed) == 4
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "bus meter-hall=30000ms" in caplog.text


def test_exactly_the_limit_is_not_late() -> None:
    assert late({"a": 0, "b": 1}, LIMIT_MS) == {}
    assert late({"a": 0, "b": 1}, LIMIT_MS + 1) == {"a": LIMIT_MS + 1}
