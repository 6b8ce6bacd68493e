"""Records that end the connection to a broker, and when each is tried there again.

MQTT 3.1.1 has no other way to say that a packet is too large, and some brokers have no other way
to refuse one. Sans I/O: the outbox tells what closed and what was taken, and asks what is due.

A record that closed the connection alone is parked. Two of them that are larger than all that the
broker took tell its limit, as a guess: what is larger is parked untried. One of the parked is tried
again after 5 minutes, then later each time, at least once an hour, and as soon as a connection
stands after one that ended for another reason: the broker may have been started anew. Once one is
taken, all the others are due as well. A record that is tried again has one try, and goes alone.

What a broker never answers, though it answers what was sent after it, ends the connection too, and
is tried again in the same way; but it tells no limit, and need not go alone.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from gateway.domain.records import Lane

FIRST_WAIT_MS = 300_000
LONGEST_WAIT_MS = 3_600_000
STANDS_MS = 15_000  # a connection that lasts so long is no part of a row of losses
LEAST_WAIT_MS = 60_000
LATELY_MS = 600_000
UNLIMITED = 1 << 40  # bytes

Key = tuple[Lane, str, int]  # lane, epoch, seq


@dataclass(slots=True)
class _AtBroker:
    """What one broker did. Sizes are bytes of a body."""

    closed: dict[Key, int] = field(default_factory=dict)  # it upon these; longest ago first
    guessed: dict[Key, int] = field(default_factory=dict)  # larger ones, not tried
    muted: set[Key] = field(default_factory=set)  # of the closed: it did not answer these
    found: dict[Key, int] = field(default_factory=dict)  # closed it, since any of those was taken
    taken: int = 0  # the largest that it took lately
    taken_ms: int = 0
    limit: int = UNLIMITED
    wait_ms: int = FIRST_WAIT_MS
    tried_ms: int | None = None
    retry_ms: int | None = None
    retries: int = 0
    is_in_doubt: bool = False  # a connection ended, or none came, for another reason


class Closers:
    """Of every broker; all but `forget` speak of the one that we are connected to."""

    def __init__(self) -> None:
        self._now = _AtBroker()
        self._brokers = {"": self._now}
        self._known: set[Key] = set()  # by any broker's fault
        self._since_ms = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._now.closed or key in self._now.guessed

    @property
    def limit(self) -> int:
        """The largest body that goes untried."""
        return self._now.limit

    def connected(self, broker: str, now_ms: int, parked: Iterable[Key]) -> list[Key]:
        """Return those of `parked` that may go here: upon them another broker closed."""
        elsewhere = {key for known in self._brokers.values() for key in _of(known)}
        here = self._brokers.setdefault(broker, _AtBroker())
        here.is_in_doubt = here.is_in_doubt or here is not self._now  # it was long ago
        self._now, self._since_ms = here, now_ms
        if here.closed or here.guessed:
            self._plan_retry(now_ms)
        return [key for key in parked if key in elsewhere and key not in self]

    def ended(self, *, is_blamed: bool) -> None:
        """The connection is over; not `is_blamed`: for another reason than a record."""
        self._now.is_in_doubt = self._now.is_in_doubt or not is_blamed

    def closed(self, key: Key, size: int, now_ms: int) -> None:
        """The broker closed the connection upon this one, which was alone on it."""
        here = self._now
        here.closed.pop(key, None)
        here.guessed.pop(key, None)
        here.muted.discard(key)
        here.closed[key] = here.found[key] = size
        self._known.add(key)
        self._note_limit()
        self._note_try(now_ms)

    def unanswered(self, key: Key, size: int, now_ms: int) -> None:
        """The broker did not answer this one."""
        here = self._now
        here.closed.pop(key, None)
        here.closed[key] = size
        here.muted.add(key)
        self._known.add(key)
        self._note_try(now_ms)

    def is_muted(self, key: Key) -> bool:
        """True when the broker did not answer it; not when it closed the connection upon it."""
        return key in self._now.muted

    def guessed(self, key: Key, size: int, now_ms: int) -> None:
        """It is larger than `limit`, and was not tried."""
        self._now.guessed[key] = size
        self._known.add(key)
        self._plan_retry(now_ms)

    def took(self, key: Key, size: int, now_ms: int) -> list[Key]:
        """Return what may be tried now that the broker took this one; itself was one of them."""
        here = self._now
        if size >= here.taken or now_ms > here.taken_ms + LATELY_MS:
            here.taken, here.taken_ms = size, now_ms
        if key not in here.closed and key not in here.guessed:
            if here.found:
                here.found = {one: n for one, n in here.found.items() if n > here.taken}
                self._note_limit()
            return []
        here.closed.pop(key, None)
        here.guessed.pop(key, None)
        here.muted.discard(key)
        here.found.clear()
        here.limit, here.wait_ms, here.retry_ms = UNLIMITED, FIRST_WAIT_MS, None
        return list(_of(here))

    def due(self, now_ms: int, parked: Container[Key]) -> Key | None:
        """Return which of `parked` to try again now, the smallest or one that was not tried yet."""
        at_ms = self.wake_ms()
        here = self._now
        if at_ms is None or now_ms < at_ms:
            return None
        closed = {one: size for one, size in here.closed.items() if one in parked}
        guessed = {one: size for one, size in here.guessed.items() if one in parked}
        here.retry_ms = now_ms + here.wait_ms
        here.tried_ms, here.is_in_doubt = now_ms, False
        if not closed and not guessed:
            return None
        here.wait_ms = min(2 * here.wait_ms, LONGEST_WAIT_MS)
        here.retries += 1
        if here.retries % 2 and not guessed:
            key = next(iter(closed))  # longest ago
        else:
            sizes = guessed if here.retries % 2 else closed | guessed
            key = min(sizes, key=lambda one: (one[0], sizes[one]))  # alarms first
        if key in here.closed:
            here.closed[key] = here.closed.pop(key)
        return key

    def wake_ms(self) -> int | None:
        """Return when something is due, if this connection lasts; None = never."""
        here = self._now
        if here.retry_ms is None or not (here.closed or here.guessed):
            return None
        at_ms = here.retry_ms
        if here.is_in_doubt and here.tried_ms is not None:
            at_ms = min(at_ms, here.tried_ms + LEAST_WAIT_MS)
        return max(at_ms, self._since_ms + STANDS_MS)

    def forget(self, key: Key) -> None:
        """It is settled, or not remembered any more."""
        if key not in self._known:
            return
        self._known.discard(key)
        for known in self._brokers.values():
            known.closed.pop(key, None)
            known.guessed.pop(key, None)
            known.muted.discard(key)
            known.found.pop(key, None)

    def _note_try(self, now_ms: int) -> None:
        here = self._now
        here.tried_ms, here.is_in_doubt = now_ms, False
        self._plan_retry(now_ms)

    def _plan_retry(self, now_ms: int) -> None:
        if self._now.retry_ms is None:
            self._now.retry_ms = now_ms + self._now.wait_ms

    def _note_limit(self) -> None:
        here = self._now
        larger = [size for size in here.found.values() if size > here.taken]
        here.limit = min(larger) - 1 if len(larger) > 1 else UNLIMITED


def _of(known: _AtBroker) -> dict[Key, int]:
    return {**known.closed, **known.guessed}
