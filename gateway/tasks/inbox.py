"""The one way into the decider: bounded, people first, then what rules judge; exact deadlines."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count

from gateway.domain.events import (
    BlockRead,
    Event,
    FaultRaised,
    LinkChanged,
    PlatformChanged,
    Receipt,
    Stopping,
    Ticked,
)

CAPACITY = 256  # decoded blocks: at 2,000 points/s in blocks of 40 this is five seconds of polling
CAPACITY_FIRST = 10_000
FAIR_EVERY = 16  # events: a decider that finds work without end still lets the loop run
PLAIN_LATER_MS = 100  # a block that no rule judges stands behind those that come so much later
DROPPABLE = (Receipt, LinkChanged, PlatformChanged)  # a later one says the same, or it is asked for

Waiting = tuple[int, int, Event]  # its place, the order in which it came


class Inbox:
    """Events for one reader. All methods belong to the event loop's thread.

    `dropped` counts priority events lost because 10,000 of them were waiting.
    """

    def __init__(
        self,
        mono: Callable[[], int],
        capacity: int = CAPACITY,
        capacity_first: int = CAPACITY_FIRST,
    ) -> None:
        self.dropped = 0
        self._mono = mono
        self._first: deque[Event] = deque()
        self._capacity_first = capacity_first
        self._readings: asyncio.PriorityQueue[Waiting] = asyncio.PriorityQueue(capacity)
        self._numbers = count()
        self._last_of: dict[str, int] = {}  # device -> where its last block stands
        self._reader: asyncio.Future[None] | None = None
        self._withdrawn: list[Event] = []
        self._is_stopping = False
        self._was_tick = False
        self._since_yield = 0

    def __len__(self) -> int:
        return len(self._first) + self._readings.qsize()

    async def put(self, event: Event) -> None:
        """Add behind everything else; wait while the inbox is full. For readings.

        What rules judge overtakes what came just before and is only shown, never a block of the
        same device: one may say how far another is to be believed. What is no block (another
        site) overtakes none: all that was read before it belongs to the time before it.
        """
        await self._readings.put((self._place_of(event), next(self._numbers), event))
        self._wake()

    def _place_of(self, event: Event) -> int:
        place = self._mono()
        if not isinstance(event, BlockRead):
            return max([place + PLAIN_LATER_MS, *self._last_of.values()])
        if not event.is_alarm_class:
            place += PLAIN_LATER_MS
        place = max(place, self._last_of.get(event.device, 0))
        self._last_of[event.device] = place
        return place

    def put_first(self, event: Event) -> None:
        """Add before all readings, never waiting. For commands, taps, faults, link and receipts.

        `Stopping` is the exception: it comes out after everything that is already waiting.
        """
        if isinstance(event, Stopping):
            self._is_stopping = True
        else:
            if len(self._first) >= self._capacity_first:
                self._drop_oldest()
            self._first.append(event)
        self._wake()

    def withdraw(self, event: Event) -> None:
        """Pass over what `put` has added, if it still stands here: nobody waits for it any more."""
        self._withdrawn.append(event)

    async def get(self, until_ms: int | None = None) -> Event:
        """Return the next event, or `Ticked` once `until_ms` (mono) has come.

        Order: priority events, a deadline that has passed, readings, `Stopping`. Nothing is
        taken out before the last await, so a cancelled call loses nothing.
        """
        while True:
            await self._let_others_run()
            event = self._take(until_ms)
            if event is not None:
                self._was_tick = isinstance(event, Ticked)
                return event
            await self._sleep(until_ms)

    def _take(self, until_ms: int | None) -> Event | None:
        if self._first:
            return self._first.popleft()
        is_due = until_ms is not None and self._mono() >= until_ms
        # A deadline that stays in the past must not keep readings out: every other turn is theirs.
        if is_due and (not self._was_tick or self._readings.empty()):
            return Ticked()
        if not self._readings.empty():
            event = self._readings.get_nowait()[2]
            if not self._withdrawn or not self._pass_over(event):
                return event
            return Ticked()
        return Stopping() if self._is_stopping else None

    def _pass_over(self, event: Event) -> bool:
        """Whether it was withdrawn; one that was taken before is forgotten at the last reading."""
        is_withdrawn = any(each is event for each in self._withdrawn)
        if self._readings.empty():
            self._withdrawn.clear()
        return is_withdrawn

    async def _let_others_run(self) -> None:
        self._since_yield += 1
        is_last = self._is_stopping and not len(self)  # producers still waiting in put() come first
        if self._was_tick or is_last or self._since_yield >= FAIR_EVERY:
            self._since_yield = 0
            await asyncio.sleep(0)

    async def _sleep(self, until_ms: int | None) -> None:
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        timer = None
        if until_ms is not None:
            timer = loop.call_later(max(0, until_ms - self._mono()) / 1000, self._wake)
        try:
            await self._reader
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _drop_oldest(self) -> None:
        """Make room: the oldest event that can be missed, else the oldest. The first is a fault."""
        if self.dropped == 0:
            self._first.appendleft(FaultRaised("inbox_overrun", "inbox", "commands or faults lost"))
        self.dropped += 1
        for index, event in enumerate(self._first):
            if isinstance(event, DROPPABLE):
                del self._first[index]
                return
        del self._first[1 if self.dropped == 1 else 0]
