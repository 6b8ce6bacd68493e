"""`systemctl reload`: read the site file again and let the running house become the new one.

What did not change is not touched. A file that cannot be taken changes nothing: nothing rests
before it was read, compared and indexed, all of it beside the event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.core.reload import Difference, difference, shared
from gateway.domain.errors import SiteRefused
from gateway.domain.site import Site
from gateway.tasks.lines import Lines

log = logging.getLogger(__name__)

T = TypeVar("T")

REST_WITHIN_S = 30.0  # the slowest read is much quicker; the others ask nothing meanwhile


async def reload_site(
    old: Site,
    *,
    load: Callable[[], Site],
    index: Callable[[Site], object],
    lines: Lines,
    decide: Callable[[object], Awaitable[None]],
    rest_within_s: float = REST_WITHIN_S,
) -> tuple[Site, Difference]:
    """Return the new site, which the decider and the buses work by now, and what it changed.

    A file that says what it said before changes nothing and is no record.
    `load` and `index` run in a thread; `decide(house)` returns once the decider has the house.
    SiteRefused, by any of them, says why everything is as it was.
    """
    new = await _in_thread(load)
    if new == old:
        return old, Difference()
    new = shared(old, new)
    change = difference(old, new)
    if change.restart_for:
        keys = ", ".join(change.restart_for)
        raise SiteRefused(f"only a restart takes over a change of {keys}")
    house = await _in_thread(index, new)
    try:
        await _rest(lines, change, rest_within_s)
        await decide(house)
    except BaseException:
        lines.go_on()
        raise
    await lines.change(new, change)
    return new, change


async def _in_thread(read: Callable[..., T], *arguments: object) -> T:
    """Whatever goes wrong while a file is read is the file's fault, and changes nothing."""
    try:
        return await asyncio.to_thread(read, *arguments)
    except SiteRefused:
        raise
    except Exception as error:
        log.exception("site file cannot be taken")
        raise SiteRefused(f"it cannot be taken: {type(error).__name__}: {error}") from error


async def _rest(lines: Lines, change: Difference, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await lines.rest(change.resting)
    except TimeoutError as error:
        raise SiteRefused(f"a bus did not come to rest within {within_s:g} s") from error


class Asked:
    """SIGHUP says that a reload is wanted; several while one runs are one more."""

    def __init__(self) -> None:
        self._is_wanted = asyncio.Event()

    def ask(self) -> None:
        self._is_wanted.set()

    async def serve(self, reload: Callable[[], Awaitable[object]]) -> None:
        """Reload whenever it is asked for; never ends. What is wrong with a file, `reload` says."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            await reload()
