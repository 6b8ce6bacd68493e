"""Feeds systemd's watchdog while everything between a device's reply and the buzzer lives."""

import logging
from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

LIMIT_MS = 10_000


def late(beats: Mapping[str, int], mono_ms: int, limit_ms: int = LIMIT_MS) -> dict[str, int]:
    """Return who has not beaten within the limit, with the age of the last beat in ms."""
    return {name: age for name, at in beats.items() if (age := mono_ms - at) > limit_ms}


async def feed_watchdog(
    beats: Callable[[], Mapping[str, int]],
    *,
    feed: Callable[[], None],
    arm_dump: Callable[[], None],
    sleep: Callable[[float], Awaitable[None]],
    mono: Callable[[], int],
    every_ms: int,
    limit_ms: int = LIMIT_MS,
) -> None:
    """Feed every `every_ms` unless somebody in `beats()` (name: mono ms) is late; never ends.

    That this coroutine runs is the event loop's own beat. `arm_dump` starts the time after which
    all stacks are dumped; each feed starts it anew, so it strikes only when feeding has stopped,
    also when the loop itself hangs, and before systemd restarts the daemon.
    """
    was_late: set[str] = set()
    while True:
        missing = late(beats(), mono(), limit_ms)
        if not missing:
            feed()
            arm_dump()
        if set(missing) != was_late:
            was_late = set(missing)
            ages = " ".join(f"{name}={age}ms" for name, age in sorted(missing.items()))
            if missing:
                log.error("watchdog is not fed, no beat from: %s", ages)
            else:
                log.warning("watchdog is fed again")
        await sleep(every_ms / 1000)
