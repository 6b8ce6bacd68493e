"""Draw what shall happen at night, and say it to the decider again and again.

The decider keeps the first plan of each night; the repeats let it look at a clock that was set.
"""

from collections.abc import Awaitable, Callable

from gateway.domain.events import NightPlanned
from gateway.domain.moments import Now

EVERY_S = 600.0
SOONER_S = 5.0  # while the clock cannot be trusted: it may come right at any moment


async def plan_nights(
    plan: Callable[[int], NightPlanned],
    *,
    put: Callable[[NightPlanned], None],
    clock: Callable[[], Now],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """`plan` draws the night of a UTC moment in ms (`core.nights.plan_night`)."""
    while True:
        now = clock()
        if now.is_trusted and now.utc_ms is not None:
            put(plan(now.utc_ms))
            await sleep(EVERY_S)
        else:
            await sleep(SOONER_S)
