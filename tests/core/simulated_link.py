"""A link, a broker and a platform in simulated time, around the real outbox.

The link is TCP: bytes arrive in order at its speed, and what is under way is lost when it breaks.
Two things are checked after everything that happens: the windows hold, and the outbox never asks
to be woken in the past.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from gateway.core.delivery import (
    HELD_BYTES,
    HELD_MESSAGES,
    KEPT_FOR_A_BYTES,
    KEPT_FOR_A_MESSAGES,
    LINK_BYTES_FAST,
    LINK_MESSAGES,
    Change,
    Due,
    Key,
    Outbox,
    as_ranges,
)
from gateway.core.messages import Ack, Nack
from gateway.domain.records import Lane, Range
from gateway.domain.site import Delivery

NO_PUBACK_MS = 20_000
RECONNECT_MS = 1_000
HELLO_MS = 5


@dataclass(frozen=True, slots=True)
class Weather:
    """How the world behaves for a while."""

    is_link_up: bool = True
    swallows: bool = False  # the far end takes everything and answers nothing
    bytes_per_ms: float = 1_000.0
    delay_ms: int = 5  # one way
    stall_share: float = 0.0  # of messages that a lost packet holds up
    code: int = 0  # of the broker's PUBACK
    denied: frozenset[Lane] = frozenset()  # silently, as MQTT 3.1.1 does
    platform: str = "ack"  # ack, silent, busy, twice, shuffled
    has_session: bool = True
    receive_maximum: int = 65_535
    closes_from: int = 1 << 40  # bytes of a body upon which the broker closes the connection
    mutes_from: int = 1 << 40  # bytes of a body that the broker neither answers nor hands on
    lasts_ms: int = 1 << 40  # then the broker closes it, whatever is on it


@dataclass
class World:
    """`made` and `settled` tell when, in simulated ms; `took` what the platform has."""

    seed: int = 0
    delivery: Delivery = Delivery.ACK
    weather: Weather = field(default_factory=Weather)
    now_ms: int = 0
    store: dict[Key, bytes] = field(default_factory=dict)
    made: dict[Key, int] = field(default_factory=dict)
    settled: dict[Key, int] = field(default_factory=dict)
    took: dict[Key, int] = field(default_factory=dict)
    sent: list[Key] = field(default_factory=list)
    changes: list[tuple[int, Change]] = field(default_factory=list)
    broker: str = "one"
    connections: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.epoch = 0
        self._seqs = dict.fromkeys(Lane, 0)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._connection = 0
        self._maximum = 0
        self._free_ms = 0  # when the link has carried all that was given to it
        self._on_link: dict[Key, int] = {}  # since
        self.box = self._new_outbox()

    # -- the house ----------------------------------------------------------------------------

    def make(self, lane: Lane, size: int = 200) -> Key:
        self._seqs[lane] += 1
        key = (lane, f"e{self.epoch}", self._seqs[lane])
        self.store[key] = b"x" * size
        self.made[key] = self.now_ms
        self.box.offer(key, self.store[key])
        return key

    def restart(self) -> None:
        """The daemon was killed: nothing is remembered but the store, and the epoch is new."""
        self.epoch += 1
        self._seqs = dict.fromkeys(Lane, 0)
        self._connection += 1
        self._on_link.clear()
        self.box = self._new_outbox()
        self.at(RECONNECT_MS, self._connect)

    def change(self, weather: Weather) -> None:
        self.weather = weather
        if not weather.is_link_up:
            self._break()
        else:
            self._connect()

    def every(self, ms: int, until_ms: int, act: Callable[[], object]) -> None:
        if self.now_ms + ms <= until_ms:
            self.at(ms, lambda: (act(), self.every(ms, until_ms, act)))

    # -- time ---------------------------------------------------------------------------------

    def at(self, after_ms: int, act: Callable[[], object]) -> None:
        self._count += 1
        heappush(self._events, (self.now_ms + after_ms, self._count, act))

    def run(self, ms: int, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let so much time pass, or less when `until` is true before."""
        end_ms = self.now_ms + ms
        self._turn()
        while not until():
            wakes = [end_ms, self.box.wake_ms(self.now_ms), self._gives_up_ms()]
            next_ms = min(wake for wake in wakes if wake is not None)
            if self._events and self._events[0][0] <= next_ms:
                self.now_ms, _, act = heappop(self._events)
                act()
            elif next_ms >= end_ms:
                self.now_ms = end_ms
                return
            else:
                assert next_ms > self.now_ms, "the outbox asks to be woken in the past"
                self.now_ms = next_ms
            self._turn()

    def _turn(self) -> None:
        """What the forwarder does whenever something happened."""
        gives_up_ms = self._gives_up_ms()
        if gives_up_ms is not None and self.now_ms >= gives_up_ms:
            self._break_off(was_unanswered=True)
        is_more = True
        while is_more:
            self._feed()
            while message := self.box.next_message(self.now_ms):
                self._carry(message.key)
            changes = self.box.take_changes()
            self.changes += [(self.now_ms, change) for change in changes]
            is_more = Due() in changes
        self._check()

    def _feed(self) -> None:
        """As the forwarder does: oldest epoch first, each lane in the order of its numbers."""
        for lane in Lane:
            mine = sorted((key for key in self.store if key[0] is lane), key=lambda k: (k[1], k[2]))
            for key in mine:
                if not self.box.offer(key, self.store[key], is_live=False):
                    break
        self.box.has_more_alarms = any(
            key[0] is Lane.A and not self.box.knows(key) for key in self.store
        )

    # -- the link -----------------------------------------------------------------------------

    def _connect(self) -> None:
        if self.box.is_link_up or not self.weather.is_link_up:
            return
        self._connection += 1
        self._free_ms = self.now_ms
        self._maximum = self.weather.receive_maximum
        self.box.link_up(
            self.now_ms,
            receive_maximum=self.weather.receive_maximum,
            has_session=self.weather.has_session,
            broker=self.broker,
        )
        self.connections += 1
        self.box.was_answered()
        self._down(self.weather.lasts_ms, self._break_off)
        if self.weather.platform != "silent" and not self.weather.swallows:
            self._down(HELLO_MS, lambda: self.box.heard(self.now_ms))

    def _break(self, *, was_unanswered: bool = False) -> None:
        self._connection += 1
        self._on_link.clear()
        self.box.link_down(
            self.now_ms,
            was_closed=not self.weather.swallows and not was_unanswered,
            was_unanswered=was_unanswered,
        )

    def _break_off(self, *, was_unanswered: bool = False) -> None:
        self._break(was_unanswered=was_unanswered)
        self.at(RECONNECT_MS, self._connect)

    def _gives_up_ms(self) -> int | None:
        oldest = min(self._on_link.values(), default=None)
        return None if oldest is None else oldest + NO_PUBACK_MS

    def _carry(self, key: Key) -> None:
        assert key not in self._on_link
        self.sent.append(key)
        self._on_link[key] = self.now_ms
        stall_ms = 400 if self.dice.random() < self.weather.stall_share else 0
        took_ms = round(len(self.store.get(key, b"x")) / self.weather.bytes_per_ms)
        self._free_ms = max(self._free_ms, self.now_ms) + took_ms + stall_ms
        arrives_ms = self._free_ms - self.now_ms + self.weather.delay_ms
        if not self.weather.swallows:
            self._down(arrives_ms, lambda: self._arrive(key))

    def _down(self, after_ms: int, act: Callable[[], object]) -> None:
        """Do it then, if the connection is still the same."""
        connection = self._connection
        self.at(after_ms, lambda: act() if connection == self._connection else None)

    def _arrive(self, key: Key) -> None:
        if len(self.store.get(key, b"x")) >= self.weather.closes_from:
            self._break_off()
            return
        if len(self.store.get(key, b"x")) >= self.weather.mutes_from:
            return
        code = self.weather.code
        self._down(self.weather.delay_ms, lambda: self._puback(key, code))
        if code == 0 and key[0] not in self.weather.denied:
            self._reach_platform(key)

    def _puback(self, key: Key, code: int) -> None:
        self._on_link.pop(key, None)
        settled = self.box.puback(key, code, self.now_ms)
        self._settle([settled] if settled else [])

    # -- the platform -------------------------------------------------------------------------

    def _reach_platform(self, key: Key) -> None:
        mode = self.weather.platform
        if mode == "silent":
            return
        if mode == "busy" and self.dice.random() < 0.5:
            nack = Nack(key[0], key[1], key[2], "busy")
            self._down(self.weather.delay_ms, lambda: self._ack(Ack((), (nack,))))
            return
        self.took.setdefault(key, self.now_ms)
        late_ms = self.dice.randrange(3_000) if mode == "shuffled" else 2
        for _ in range(2 if mode == "twice" else 1):
            self._down(self.weather.delay_ms + late_ms, lambda: self._ack(Ack(as_ranges([key]))))

    def _ack(self, ack: Ack) -> None:
        self._settle(self.box.ack(ack, self.now_ms))

    def _settle(self, ranges: Iterable[Range]) -> None:
        for range_ in ranges:
            for seq in range(range_.lo, range_.hi + 1):
                key = (range_.lane, range_.epoch, seq)
                if self.delivery is Delivery.ACK:
                    assert key in self.took, "settled though the platform does not have it"
                self.store.pop(key, None)
                self.settled.setdefault(key, self.now_ms)

    # -- what must hold -----------------------------------------------------------------------

    def _new_outbox(self) -> Outbox:
        return Outbox(epoch=f"e{self.epoch}", delivery=self.delivery, probe_ms=30_000)

    def _check(self) -> None:
        count, size = self.box.on_link
        others = [key for key in self._on_link if key[0] is not Lane.A]
        assert count <= min(LINK_MESSAGES, self._maximum)
        assert len(others) <= LINK_MESSAGES - KEPT_FOR_A_MESSAGES
        assert count <= 1 or size <= LINK_BYTES_FAST + KEPT_FOR_A_BYTES + 50_000
        assert self.box.held <= HELD_MESSAGES
        assert self.box.held_bytes <= HELD_BYTES
        assert len(self.box._timers) <= 4 * HELD_MESSAGES
