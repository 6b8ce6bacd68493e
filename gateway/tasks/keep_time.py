"""Remembers the wall clock as a floor, for a Pi that starts without a clock battery."""

from collections.abc import Awaitable, Callable

EVERY_S = 600.0


async def keep_time(
    save: Callable[[], None], *, sleep: Callable[[float], Awaitable[None]], every_s: float = EVERY_S
) -> None:
    """Save every ten minutes until cancelled; an OSError ends it (and is then a fault)."""
    while True:
        await sleep(every_s)
        save()
