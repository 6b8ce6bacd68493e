"""Remembers the wall clock as a floor for a Pi without a clock battery, and tells its jumps."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from gateway.domain.events import ClockStepped
from gateway.domain.moments import Now

EVERY_S = 600.0
STEPS_EVERY_S = 2.0


async def keep_time(
    floor_ms: Callable[[], int],
    save: Callable[[int], None],
    *,
    sleep: Callable[[float], Awaitable[None]],
    every_s: float = EVERY_S,
) -> None:
    """Save every ten minutes until cancelled; an OSError ends it (and is then a fault).

    `save` has a thread of its own: a disk that hangs holds up nobody else.
    """
    while True:
        await sleep(every_s)
        await asyncio.to_thread(save, floor_ms())


async def tell_steps(
    take_steps: Callable[[], Iterable[tuple[Now, int]]],
    *,
    put: Callable[[ClockStepped], object],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Put each jump of the wall clock into the inbox until cancelled."""
    while True:
        await sleep(STEPS_EVERY_S)
        for now, by_ms in take_steps():
            put(ClockStepped(by_ms, now.mono_ms))
