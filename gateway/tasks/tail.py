"""Follow what goes up and what is settled, for whoever asks over the daemon's socket."""

import asyncio
from collections.abc import Callable, Mapping

from gateway.core.progress import Progress, steps_view
from gateway.domain.moments import Now

LOOK_EVERY_S = 0.1
LONGEST_S = 5.0  # a caller asks again after that: it finds out that way when the daemon is gone


async def tail(
    request: Mapping[str, object], progress: Progress, clock: Callable[[], Now]
) -> dict[str, object]:
    """Return the steps after number `after`, waiting up to 5 s for one.

    Without a usable `after`: no step, only `next`, the number to ask after. `lost` counts steps
    that came and went unseen, because only the last thousand are kept.
    """
    after = request.get("after")
    if not isinstance(after, int) or not 0 <= after <= progress.stepped:
        return {"steps": [], "next": progress.stepped, "lost": 0}
    end = asyncio.get_running_loop().time() + LONGEST_S
    while progress.stepped == after and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY_S)  # progress is plain data: it wakes nobody
    steps = steps_view(progress, after, clock())
    lost = progress.stepped - after - len(steps)
    return {"steps": steps, "next": progress.stepped, "lost": lost}
