"""Puts the gateway's own figures into the inbox, as if they were a device's."""

from collections.abc import Awaitable, Callable

from gateway.domain.events import BlockRead

EVERY_S = 10.0


async def measure_self(
    measure: Callable[[], BlockRead],
    *,
    put: Callable[[BlockRead], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]],
    every_s: float = EVERY_S,
) -> None:
    """Measure every ten seconds until cancelled. `put` may wait: the inbox is full."""
    while True:
        await sleep(every_s)
        await put(measure())
