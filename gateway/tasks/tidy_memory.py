"""Frees what only the collector can free, at moments of our own."""

from collections.abc import Awaitable, Callable

EVERY_S = 600.0


async def tidy_memory(
    collect: Callable[[], object],
    *,
    sleep: Callable[[float], Awaitable[None]],
    every_s: float = EVERY_S,
) -> None:
    """Look through everything that lives every ten minutes until cancelled.

    Left to itself Python does so the more often the more is read, every few seconds under load, and
    nobody is answered meanwhile (ADR 019).
    """
    while True:
        await sleep(every_s)
        collect()
