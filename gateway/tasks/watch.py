"""Tell whoever watches, as soon as something to show has changed.

A watcher asks for what is newer than what it has, and the answer comes when there is something,
or after a second. So nothing is ever queued for a watcher, and one that is slow or dead costs the
decider nothing: it merely does not ask again.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.core.state import State
from gateway.domain.outcome import Outcome

LONGEST_S = 1.0  # values and ages are refreshed that often when nothing changes
TOGETHER_S = 0.05  # a flood of alarms is one answer, not one for each

View = dict[str, object]


@dataclass(slots=True)
class Changes:
    """Counts what watchers shall see: a transition, a fact, another signal."""

    number: int = 1
    _next: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, before: State, after: State, outcome: Outcome) -> None:
        """Called by the decider for every event: compares, counts, waits for nobody."""
        is_same = after.signal is before.signal or after.signal == before.signal
        if is_same and not outcome.records:
            return
        self.number += 1
        self._next.set()
        self._next = asyncio.Event()

    async def later_than(self, number: object) -> None:
        """Return when something newer than `number` is there, at the latest after a second."""
        if number != self.number:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_S):
                await self._next.wait()


class Watch:
    """Answers watchers: `{"verb": "watch", "after": n}` -> `{"n": m, ...view}`.

    Without `after`, or with one of another life of the daemon, at once. Views are shared: many
    watchers cost as much as one.
    """

    def __init__(
        self, changes: Changes, view: Callable[[], View], clock: Callable[[], int]
    ) -> None:
        self._changes = changes
        self._view = view
        self._clock = clock
        self._last: tuple[int, int, View] | None = None  # number, when in mono ms, the view

    async def __call__(self, request: Mapping[str, object]) -> View:
        await self._changes.later_than(request.get("after"))
        await asyncio.sleep(TOGETHER_S)
        number, mono_ms = self._changes.number, self._clock()
        last = self._last
        if last is None or last[0] != number or mono_ms - last[1] >= 1000 * TOGETHER_S:
            last = self._last = (number, mono_ms, {"n": number, **self._view()})
        return last[2]
