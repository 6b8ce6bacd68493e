"""Which message goes on the link next, and when a record counts as delivered.

Sans I/O: the outbox is told what happened (`offer`, `link_up`, `puback`, `ack` ...) with the time,
and says what to send (`next_message`) and what is settled. One record goes

    NEW --admitted--> SENT --PUBACK 0x00--> AT_BROKER --application ack--> settled
    NEW <-------- link lost; PUBACK 0x10, 0x97, 0x88 .. (backoff); ack timer; nack for now
    parked <----- nack for good; PUBACK 0x90, 0x99 after 3 tries on 2 connections, and 0x87, until
                  the broker takes another one of its lane;
                  connection closed under it 3 times, and 3 times when it went alone, at once or
                  with others getting through between, or not answered by the broker, unlike what
                  was sent after it, on 3 connections; tried again (`core.closing`);
                  larger than this broker takes, until one takes it (a broker that says so only
                  with PUBACK 0x95 is asked again with every connection, 3 times for B and R);
                  3 ack timers ran out though others were answered, once those find no room, and
                  until all others of its lane are answered

Lanes: A before everything, then B, then R (live before backlog). No R goes out while an A that
is not parked is unsettled, so after an outage no reading is settled before the last alarm; an A
whose ack timer has run out once, that was denied 3 times, or that the broker left without a PUBACK
on 2 connections, no longer holds R back.

Nobody starves: of ten messages one is of the next lane when that one waits too (B behind A, R
behind B, backlog behind live), and R that was held back by alarms for a minute sends one batch.

What the platform asks for again (`is_replay`) goes behind all that it has not had yet.

Two windows. On the link: at most 16 messages (or the broker's receive maximum) and 16 kB, or what
the link was measured to carry in 0.2 s, at most 32 kB; 4 places and 4 kB of it are kept for A; a
message larger than the window goes when nothing else is under way. On a link of less than 10 kB/s
at most 6 kB of it are R: an alarm waits a second and a half there, not four. Unsettled: at most
512 messages and 1 MB are held here, the rest stays in the store.

Without the platform's hello (or any ack of it) the outbox holds: one probe message at a time,
every `probe_ms`. With `Delivery.BROKER` the PUBACK settles and nobody is waited for.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import NamedTuple

from gateway.core.closing import Closers
from gateway.core.messages import Ack, Nack
from gateway.domain.records import Lane, Range
from gateway.domain.site import Delivery

LINK_MESSAGES = 16
LINK_BYTES = 16 * 1024
LINK_WITHIN_MS = 200  # an alarm waits no longer behind what is on a link of steady speed
# If such a link drops to 4 kB/s, an alarm waits 8 s: GB 26875.1 says 10.
LINK_BYTES_FAST = 32 * 1024
SLOW_BYTES_PER_MS = 10
READINGS_BYTES_SLOW = 6 * 1024
KEPT_FOR_A_MESSAGES = 4
KEPT_FOR_A_BYTES = 4 * 1024
HELD_MESSAGES = 512
HELD_BYTES = 1_000_000
FIRST_PROBE_MS = 2_000
UNANSWERED_MS = 25_000  # a lane without any ack for so long though something waits for one
MISSED_MS = 28_000  # without a word of the platform: people know before 30 s have passed
IN_A_ROW = 9  # messages before one of the next lane
HELD_BACK_MS = 60_000
PARKED_REMEMBERED = 4_096
UNLIMITED = 1 << 40  # bytes

# Of what is held. Alarms find room before the others, who always find it for one record.
_SHARE = {Lane.A: 0.95, Lane.B: 0.875, Lane.R: 0.75}
_ACK_MS = {Lane.A: (10_000, 60_000), Lane.B: (30_000, 60_000), Lane.R: (60_000, 600_000)}
_RETRY_MS = {Lane.A: (1_000, 60_000), Lane.B: (2_000, 60_000), Lane.R: (5_000, 600_000)}
_DENIED = frozenset({0x87, 0x90, 0x99})  # not authorized, topic name invalid, payload invalid
_TOO_LARGE = 0x95
_UNAUTHORIZED = "denied 0x87"
_UNANSWERED = "not answered"
_TAKEN_BACK = 3
_DENIED_TRIES = 3
_DENIED_CONNECTIONS = 2
_CUTS = 3
_SILENCES = 2
_CLOSED_AT_ONCE_MS = 5_000  # an end later than that has another reason
_UNHEEDED = 3
_ORDER = (Lane.A, Lane.B, Lane.R)
_BELOW = {Lane.A: (Lane.B, Lane.R), Lane.B: (Lane.R,)}

_REASONS = {  # MQTT 5.0, 3.4.2.1: what a PUBACK may say
    0x10: "no matching subscribers", 0x80: "unspecified error",
    0x83: "implementation specific error", 0x87: "not authorized", 0x90: "topic name invalid",
    0x91: "packet identifier in use", 0x95: "packet too large", 0x97: "quota exceeded",
    0x99: "payload format invalid",
}  # fmt: skip

Key = tuple[Lane, str, int]  # lane, epoch, seq
_Place = tuple[tuple[int, int], Key]  # in a queue, by rank


class Stage(StrEnum):
    NEW = "new"
    SENT = "sent"
    AT_BROKER = "at_broker"


# Names of their own: Python 3.11 needs ten times as long for a member of its enumeration.
_A, _B, _R = Lane.A, Lane.B, Lane.R
_NEW, _SENT, _AT_BROKER = Stage.NEW, Stage.SENT, Stage.AT_BROKER
_ACK, _BROKER = Delivery.ACK, Delivery.BROKER


class Message(NamedTuple):
    """What goes on the link now; `is_history` asks for the mark `hist: true`."""

    key: Key
    body: bytes
    is_history: bool


@dataclass(frozen=True, slots=True)
class PlatformCame:
    """Hello or an ack after the platform was missed, or for the first time."""


@dataclass(frozen=True, slots=True)
class PlatformWent:
    """Nothing heard of it for `probe_ms`, or 28 s, though it should have spoken."""


@dataclass(frozen=True, slots=True)
class Parked:
    """This record is not tried again in this run; `why` is `denied 0x87` or the nack's code."""

    key: Key
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker does not take this lane now: `code` is its PUBACK reason code."""

    lane: Lane
    code: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker takes this lane again; `has_more`: what it denied before is in the store."""

    lane: Lane
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The platform answers, but nothing of this lane, though the broker took it."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class Answered:
    """This lane is answered again; `has_more`: what was given up before is in the store."""

    lane: Lane
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """Something that was parked is to be tried again: it is in the store."""


Change = PlatformCame | PlatformWent | Parked | Refused | Accepted | Unanswered | Answered | Due


@dataclass(slots=True)
class _Entry:
    key: Key
    body: bytes
    rank: tuple[int, int]
    is_live: bool
    stage: Stage = _NEW
    ack_ms: int = 0  # the next wait for the application ack
    retry_ms: int = 0  # the next wait after a refusal
    wakes_ms: int | None = None  # AT_BROKER: ack timer; NEW: not before
    tries: int = 0
    sent_ms: int = 0
    ahead_bytes: int = 0  # on the link when it was sent, itself included
    denials: int = 0
    found_nobody: bool = False  # the last PUBACK said that nobody is subscribed
    denied_on: set[int] = field(default_factory=set)
    cuts: int = 0  # connections that the far end closed while this was on them
    accepted_at_cut: int = 0
    unheeded: int = 0  # ack timers that ran out though others were answered meanwhile
    turn: int = 0  # it was the n-th that was sent
    silences: int = 0  # connections that were given up while the broker had not answered it
    mutes: int = 0  # connections on which the broker answered others sent later, but not it

    @property
    def is_suspect(self) -> bool:
        """It goes alone, so that it is known whether it is what ends the connection."""
        return self.cuts >= _CUTS


class Outbox:
    """All that is under way to the platform. Every method is told the monotonic time in ms."""

    def __init__(self, *, epoch: str, delivery: Delivery, probe_ms: int) -> None:
        self.has_more_alarms = (
            False  # A records that are not here yet (in the store, or on the way)
        )
        self._epoch = epoch
        self._delivery = delivery
        self._probe_ms = probe_ms
        self._missed_ms = min(probe_ms, MISSED_MS)
        self._entries: dict[Key, _Entry] = {}
        self._parked: dict[Key, str] = {}
        self._too_large: dict[Key, int] = {}  # of them, and how many bytes
        self._told_too_large: set[Key] = set()  # of those, by PUBACK: no limit is known
        self._taken_back: Counter[Key] = Counter()  # and how often, of those that were denied
        self._largest = UNLIMITED
        self._closers = Closers()
        self._is_proven = False  # the broker answered something on this connection
        self._live: dict[Lane, list[_Place]] = {lane: [] for lane in Lane}
        self._old: dict[Lane, list[_Place]] = {lane: [] for lane in Lane}
        self._timers: list[tuple[int, Key]] = []
        self._held_bytes = 0
        self._held = dict.fromkeys(Lane, 0)
        self._on_link = [0, 0]  # messages, bytes
        self._alarms_on_link = 0  # of them
        self._alarm_bytes = 0
        self._answered: dict[Key, int] = {}  # by the platform while their PUBACK is still to come
        self._unheeded = dict.fromkeys(Lane, 0)  # records that the platform does not answer
        self._holding: set[Key] = set()  # A records that hold R back
        self._refused: set[Lane] = set()
        self._changes: list[Change] = []
        self._counter = 0
        self._connection = 0
        self._window = 0  # messages; 0 = no link
        self._window_bytes = LINK_BYTES
        self._bytes_per_ms = 0.0  # of this link, smoothed; 0 = not measured yet
        self._is_present = False
        self._was_reported_absent: bool | None = None
        self._heard_ms = 0
        self._answered_ms = -1  # when the platform last acknowledged or refused any record
        self._next_probe_ms = 0
        self._readings_at_ms = 0
        self._accepted = 0  # records that the broker took, ever
        self._turn = 0  # records that were sent, ever
        self._answered_turn = 0  # the last of them that the broker answered
        self._passed = dict.fromkeys(_ORDER, 0)  # messages that went before a waiting one of it
        self._passed_backlog = 0
        self._held_back_since_ms: int | None = None
        self._waits_since_ms: dict[Lane, int] = {}  # for any ack, of lanes where one is due
        self._goes_alone = False  # what is on the link
        self._at_broker = dict.fromkeys(Lane, 0)
        self._unanswered: set[Lane] = set()

    # -- what is here ---------------------------------------------------------------------------

    @property
    def is_link_up(self) -> bool:
        return self._window > 0

    @property
    def is_open(self) -> bool:
        """The link is up and the platform is known to listen: messages flow."""
        return self.is_link_up and (self._is_present or self._delivery is _BROKER)

    @property
    def held(self) -> int:
        """Records here: waiting, on the link or waiting for their ack."""
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def on_link(self) -> tuple[int, int]:
        """Messages and bytes that wait for their PUBACK."""
        return self._on_link[0], self._on_link[1]

    @property
    def parked(self) -> dict[Key, str]:
        """Records that were given up for this run, and why."""
        return dict(self._parked)

    def count(self, lane: Lane) -> int:
        """Return how many records of a lane are here."""
        return self._held[lane]

    def stages(self, lane: Lane) -> Counter[Stage]:
        """Return how many records of a lane are here in each stage."""
        return Counter(entry.stage for key, entry in self._entries.items() if key[0] is lane)

    def knows(self, key: Key) -> bool:
        """True when the record is here or parked: it need not be offered again."""
        return key in self._entries or key in self._parked

    @property
    def has_changes(self) -> bool:
        return bool(self._changes)

    def take_changes(self) -> list[Change]:
        """Return what people should know, once."""
        changes, self._changes = self._changes, []
        return changes

    # -- records come in ------------------------------------------------------------------------

    def has_room(self, lane: Lane, size: int = 0, count: int = 1) -> bool:
        """True when `count` more records of `size` bytes in all may be held."""
        share = _SHARE[lane] if self._held[lane] else 1.0
        return (
            len(self._entries) + count <= HELD_MESSAGES * share
            and self._held_bytes + size <= HELD_BYTES * share
        ) or (not self._entries)

    def offer(
        self, key: Key, body: bytes, *, is_live: bool = True, is_replay: bool = False
    ) -> bool:
        """Take a record; False when there is no room (it stays in the store)."""
        if is_replay:
            self._parked.pop(key, None)
            self._closers.forget(key)
        if self.knows(key):
            return True
        if not self.has_room(key[0], len(body)):
            self._park_unheeded(key[0])
            if not self.has_room(key[0], len(body)):
                return False
        self._counter += 1
        lane, epoch, seq = key
        rank = (1, seq) if epoch == self._epoch else (0, self._counter)
        if is_replay:
            rank = (2, self._counter)
        entry = _Entry(key, body, rank, is_live and lane is _R)
        entry.ack_ms, entry.retry_ms = _ACK_MS[lane][0], _RETRY_MS[lane][0]
        self._entries[key] = entry
        self._held[lane] += 1
        self._held_bytes += len(body)
        if key in self._closers:
            self._doubt(entry)
        elif lane is _A and not is_replay:
            self._holding.add(key)
        self._make_ready(entry)
        return True

    # -- the link -------------------------------------------------------------------------------

    def link_up(
        self,
        now_ms: int,
        *,
        receive_maximum: int = 65535,
        largest: int = UNLIMITED,
        has_session: bool,
        readings_after_ms: int = 0,
        broker: str = "",
    ) -> bool:
        """A connection is there. Without the old session the broker forgot what it had.

        `largest`: bytes of a body that this `broker` takes. True when something that was parked for
        another one may go to this one: it is in the store.
        """
        self._is_proven = False
        self._readings_at_ms = now_ms + readings_after_ms
        self._connection += 1
        self._window = max(1, min(LINK_MESSAGES, receive_maximum))
        self._window_bytes, self._bytes_per_ms = LINK_BYTES, 0.0
        self._is_present = False
        if self._was_reported_absent is False:
            self._was_reported_absent = None  # with the link the platform was gone too
        self._heard_ms = now_ms
        self._waits_since_ms = {lane: now_ms for lane, count in self._at_broker.items() if count}
        self._held_back_since_ms = None
        self._next_probe_ms = now_ms + min(FIRST_PROBE_MS, self._probe_ms)
        if not has_session and self._delivery is _ACK:
            for entry in list(self._entries.values()):
                if entry.stage is _AT_BROKER:
                    self._to_new(entry)
        may_go_here = self._closers.connected(broker, now_ms, self._parked)
        for key in may_go_here:
            del self._parked[key]
        return self._take_back(largest) or bool(may_go_here)

    def was_answered(self) -> None:
        """The broker took what is no record: it does not close upon everything."""
        self._is_proven = True

    def link_down(
        self, now_ms: int | None = None, *, was_closed: bool = False, was_unanswered: bool = False
    ) -> None:
        """The connection is gone: what was on it is new again, and no longer live.

        `was_closed`: by the far end, perhaps because of what was on it; `was_unanswered`: given up,
        since something that was on it got no PUBACK.
        """
        self._window = 0
        self._is_present = False
        self._answered.clear()
        is_blamed = False
        for entry in list(self._entries.values()):
            entry.is_live = False
            if entry.stage is _SENT:
                if was_closed:
                    is_blamed = self._note_cut(entry, now_ms) or is_blamed
                elif was_unanswered:
                    is_blamed = self._note_silence(entry, now_ms) or is_blamed
                if entry.key in self._entries:
                    self._to_new(entry)
        self._closers.ended(is_blamed=is_blamed)
        self._on_link, self._goes_alone = [0, 0], False
        self._alarms_on_link = self._alarm_bytes = 0
        for place in self._live[_R]:
            heappush(self._old[_R], place)
        self._live[_R].clear()

    def heard(self, now_ms: int) -> None:
        """The platform spoke: hello or any ack."""
        self._heard_ms = now_ms
        if not self._is_present:
            self._is_present = True
            for entry in self._entries.values():
                if entry.stage is _NEW and entry.found_nobody:
                    self._to_new(entry)  # in its old place: alarms stay in order
            if self._was_reported_absent is not False:
                self._was_reported_absent = False
                self._changes.append(PlatformCame())

    # -- what goes out --------------------------------------------------------------------------

    def next_message(self, now_ms: int, lanes: Iterable[Lane] = tuple(Lane)) -> Message | None:
        """Return what to send now and count it as on the link; None when nothing may go."""
        self._run_timers(now_ms)
        if not self._window:
            return None
        is_probe = not self.is_open
        if is_probe and (now_ms < self._next_probe_ms or self._on_link[0]):
            return None
        entry = self._next_entry(now_ms, lanes)
        while entry is not None and self._is_too_large(entry):
            self._park_too_large(entry, now_ms)
            entry = self._next_entry(now_ms, lanes)
        if entry is None:
            return None
        if is_probe:
            self._next_probe_ms = now_ms + self._probe_ms
        self._count_turn(entry)
        return self._send(entry, now_ms)

    def wake_ms(self, now_ms: int) -> int | None:
        """Return when the passing of time alone may change something; None = never."""
        times = [self._timers[0][0]] if self._timers else []
        retry_ms = self._closers.wake_ms() if self._parked and self.is_open else None
        if retry_ms is not None:
            times.append(retry_ms)
        if self.is_link_up and now_ms < self._readings_at_ms:
            times.append(self._readings_at_ms)
        if self.is_open:
            for lane, since_ms in self._waits_since_ms.items():
                if self._heard_ms <= since_ms:
                    times.append(since_ms + self._missed_ms)
                elif lane not in self._unanswered:
                    times.append(since_ms + UNANSWERED_MS)
            held_ms = self._held_back_since_ms
            if held_ms is not None and now_ms < held_ms + HELD_BACK_MS:
                times.append(held_ms + HELD_BACK_MS)
        if self.is_link_up and not self.is_open:
            if self._has_ready(now_ms) and not self.on_link[0]:
                times.append(self._next_probe_ms)
            if self._was_reported_absent is not True:
                times.append(self._heard_ms + self._missed_ms)
        return min(times, default=None)

    # -- what comes back ------------------------------------------------------------------------

    def puback(self, key: Key, code: int, now_ms: int) -> Range | None:
        """The broker answered; return the settled record, when PUBACK is what settles."""
        if key in self._answered:
            self._free(key[0], self._answered.pop(key))
            return None
        entry = self._entries.get(key)
        if entry is None or entry.stage is not _SENT:
            return None
        self._leave_link(entry)
        self._goes_alone = False
        self._answered_turn = max(self._answered_turn, entry.turn)
        self._measure(entry, now_ms)
        lane = key[0]
        if code == 0:
            self._accepted += 1
            entry.cuts = entry.mutes = 0
            self._note_taken(entry, now_ms)
            if lane in self._refused:
                self._refused.discard(lane)
                has_more = self._take_back_parked(lane, _UNAUTHORIZED)
                self._changes.append(Accepted(lane, has_more))
            if self._delivery is _BROKER:
                self._closers.forget(key)
                self._drop(entry)
                return Range(lane, key[1], key[2], key[2])
            self._to_broker(entry, now_ms)
            self._wake_at(entry, now_ms + entry.ack_ms)
            return None
        if code == _TOO_LARGE:
            self._too_large[key] = len(entry.body)
            self._told_too_large.add(key)
            self._park(entry, f"{len(entry.body)} bytes, too many for the broker")
            return None
        says_something_new = code != 0x10 or self._delivery is _BROKER
        if lane not in self._refused and says_something_new:
            self._refused.add(lane)
            self._changes.append(Refused(lane, code))
        if code in _DENIED:
            self._deny(entry, code)
        if entry.key in self._entries:
            entry.found_nobody = code == 0x10
            if entry.found_nobody and self._delivery is _ACK:
                self._waits_since_ms.setdefault(lane, now_ms)
            self._back_off(entry, now_ms)
        return None

    def ack(self, ack: Ack, now_ms: int) -> tuple[Range, ...]:
        """Return the records that are settled now, as ranges.

        Only what was sent in this run can be settled: a range that says more than the platform
        can know settles no record it never saw.
        """
        self.heard(now_ms)
        settled: list[Key] = []
        for range_ in ack.ranges:
            settled.extend(self._settle_range(range_, now_ms))
        for nack in ack.nacks:
            self._nack(nack, now_ms)
        if settled or ack.nacks:
            self._answered_ms = now_ms
        for lane in {key[0] for key in settled} | {nack.lane for nack in ack.nacks}:
            self._note_answer(lane, now_ms)
            if self._parked and not self._held[lane] and self._take_back_parked(lane, _UNANSWERED):
                self._changes.append(Answered(lane, has_more=True))
        return as_ranges(settled)

    # -- inside ---------------------------------------------------------------------------------

    def _settle_range(self, range_: Range, now_ms: int) -> list[Key]:
        if range_.hi - range_.lo < HELD_MESSAGES:
            keys = [(range_.lane, range_.epoch, seq) for seq in range(range_.lo, range_.hi + 1)]
        else:
            keys = [
                key
                for key in self._entries
                if key[:2] == (range_.lane, range_.epoch) and range_.lo <= key[2] <= range_.hi
            ]
        settled = []
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None and entry.tries:
                if key in self._closers:
                    self._note_taken(entry, now_ms)
                self._closers.forget(key)
                self._drop(entry)
                settled.append(key)
            elif self._parked.pop(key, None) is not None:
                self._forget_parked(key)
                settled.append(key)
        return settled

    def _nack(self, nack: Nack, now_ms: int) -> None:
        entry = self._entries.get((nack.lane, nack.epoch, nack.seq))
        if entry is None or not entry.tries:
            return
        if entry.key in self._closers:
            self._note_taken(entry, now_ms)
        if nack.is_transient:
            self._back_off(entry, now_ms)
        else:
            self._park(entry, nack.code)

    def _deny(self, entry: _Entry, code: int) -> None:
        entry.denials += 1
        entry.denied_on.add(self._connection)
        if entry.denials < _DENIED_TRIES:
            return
        self._release_readings(entry)
        if len(entry.denied_on) >= _DENIED_CONNECTIONS:
            self._park(entry, f"denied 0x{code:02x}")

    def _park_unheeded(self, lane: Lane) -> None:
        """Who gets no answer however often keeps nobody out: the oldest of its lane gives way."""
        if self._unheeded[lane] == 0 or not self.is_open:
            return
        mine = (entry for entry in self._entries.values() if entry.key[0] is lane)
        entry = min((e for e in mine if e.unheeded >= _UNHEEDED), key=lambda e: e.rank)
        self._park(entry, _UNANSWERED)

    def _note_cut(self, entry: _Entry, now_ms: int | None) -> bool:
        """Once it goes alone, count cuts only when they were not the link's; True = not the link's.

        Others got through between, or it closed at once what had answered before.
        """
        if not entry.is_suspect:
            self._suspect(entry, entry.cuts + 1)
            return False
        is_at_once = now_ms is not None and now_ms <= entry.sent_ms + _CLOSED_AT_ONCE_MS
        if self._accepted == entry.accepted_at_cut and not (is_at_once and self._is_proven):
            return False
        self._suspect(entry, entry.cuts + 1)
        if entry.cuts >= 2 * _CUTS:
            size = len(entry.body)
            self._closers.closed(entry.key, size, now_ms or entry.sent_ms)
            self._park(entry, f"closes the link, {size} bytes")
        return True

    def _note_silence(self, entry: _Entry, now_ms: int | None) -> bool:
        """Count the times that others were answered, which were sent later; True = they were."""
        entry.silences += 1
        if entry.silences >= _SILENCES:
            self._release_readings(entry)  # or nothing might be sent later
        if entry.turn > self._answered_turn:
            return False
        entry.mutes += 1
        if entry.mutes >= _CUTS:
            self._closers.unanswered(entry.key, len(entry.body), now_ms or entry.sent_ms)
            self._park(entry, "the broker does not answer it")
        return True

    def _doubt(self, entry: _Entry) -> None:
        """It is tried again: once."""
        if self._closers.is_muted(entry.key):
            entry.mutes = _CUTS - 1
        else:
            self._suspect(entry, 2 * _CUTS - 1)

    def _suspect(self, entry: _Entry, cuts: int) -> None:
        entry.cuts = cuts
        entry.accepted_at_cut = self._accepted
        if entry.is_suspect:  # the others of its lane go first
            self._counter += 1
            entry.rank = (3, self._counter)

    def _is_too_large(self, entry: _Entry) -> bool:
        size = len(entry.body)
        return size > self._largest or (size > self._closers.limit and not entry.is_suspect)

    def _park_too_large(self, entry: _Entry, now_ms: int) -> None:
        size = len(entry.body)
        if size > self._largest:
            self._too_large[entry.key] = size
            self._park(entry, f"{size} bytes, the broker takes {self._largest}")
        else:
            self._closers.guessed(entry.key, size, now_ms)
            less = self._closers.limit + 1
            self._park(entry, f"{size} bytes, {less} close the link")

    def _note_taken(self, entry: _Entry, now_ms: int) -> None:
        due = [
            key
            for key in self._closers.took(entry.key, len(entry.body), now_ms)
            if self._parked.pop(key, None) is not None
        ]
        if due:
            self._changes.append(Due())

    def _retry_closers(self, now_ms: int) -> None:
        """One that closed the link is tried again now and then: the broker may take more."""
        key = self._closers.due(now_ms, self._parked)
        if key is not None:
            del self._parked[key]
            self._changes.append(Due())

    def _forget_parked(self, key: Key) -> None:
        self._too_large.pop(key, None)
        self._told_too_large.discard(key)
        self._closers.forget(key)

    def _park(self, entry: _Entry, why: str) -> None:
        self._drop(entry)
        self._parked[entry.key] = why
        if len(self._parked) > PARKED_REMEMBERED:
            oldest = next(iter(self._parked))  # the store still has it, unsettled
            del self._parked[oldest]
            self._forget_parked(oldest)
        if len(self._taken_back) > PARKED_REMEMBERED:
            self._taken_back.clear()
        self._changes.append(Parked(entry.key, why))

    def _take_back(self, largest: int) -> bool:
        """Park no longer what fits now."""
        self._largest = largest
        fits = [
            key
            for key, size in self._too_large.items()
            if size <= largest and (key[0] is _A or self._taken_back[key] < _TAKEN_BACK)
        ]
        for key in fits:
            del self._too_large[key]
            self._parked.pop(key, None)
        self._taken_back.update(key for key in fits if key in self._told_too_large)
        self._told_too_large.difference_update(fits)
        return bool(fits)

    def _take_back_parked(self, lane: Lane, reason: str) -> bool:
        """Who may not publish on a topic may publish nothing there: now all of it may go.

        So may what was not answered, once all others of its lane were: it keeps nobody out. A few
        times each, should a broker or the platform mean one record and not the lane.
        """
        due = [
            key
            for key, why in self._parked.items()
            if key[0] is lane and why == reason and self._taken_back[key] < _TAKEN_BACK
        ]
        for key in due:
            del self._parked[key]
        self._taken_back.update(due)
        return bool(due)

    def _back_off(self, entry: _Entry, now_ms: int) -> None:
        if entry.stage is _SENT:
            self._answer_early(entry)
        self._leave_broker(entry)
        entry.stage = _NEW
        self._wake_at(entry, now_ms + entry.retry_ms)
        entry.retry_ms = min(2 * entry.retry_ms, _RETRY_MS[entry.key[0]][1])

    def _to_new(self, entry: _Entry) -> None:
        if entry.stage is _SENT:
            self._leave_link(entry)
        self._leave_broker(entry)
        entry.stage = _NEW
        entry.wakes_ms = None
        self._make_ready(entry)

    def _make_ready(self, entry: _Entry) -> None:
        queues = self._live if entry.is_live else self._old
        heappush(queues[entry.key[0]], (entry.rank, entry.key))

    def _next_entry(self, now_ms: int, lanes: Iterable[Lane]) -> _Entry | None:
        """Return what goes next, if there is room for it; what no broker takes needs none."""
        entry = self._due_by_turn(now_ms, lanes)
        if entry is not None:
            return entry
        entry = self._first_of(now_ms, lanes)
        if entry is None or self._fits(entry) or self._is_too_large(entry):
            return entry
        return None

    def _first_of(self, now_ms: int, lanes: Iterable[Lane]) -> _Entry | None:
        for lane in lanes:
            if lane is _R and not self._may_send_readings(now_ms):
                return None
            entry = self._first_ready(lane)
            if entry is not None:
                return entry
        return None

    def _due_by_turn(self, now_ms: int, lanes: Iterable[Lane]) -> _Entry | None:
        """The one of a lower lane whose turn it is, if there is room for it on the link."""
        is_turn_of_b = self._passed[_B] >= IN_A_ROW
        may_be_of_r = self._held_back_since_ms is not None or self._passed[_R] >= IN_A_ROW
        if not (is_turn_of_b or may_be_of_r) or not self.is_open:
            return None
        entry = self._first_ready(_B) if is_turn_of_b and _B in lanes else None
        if entry is None and _R in lanes and self._is_turn_of_readings(now_ms):
            entry = self._first_ready(_R)
        return entry if entry is not None and self._fits(entry, is_turn=True) else None

    def _is_turn_of_readings(self, now_ms: int) -> bool:
        if self._may_send_readings(now_ms):
            return self._passed[_R] >= IN_A_ROW
        if not self._is_held_back_long(now_ms):
            return False
        above = self._first_ready(_A) or self._first_ready(_B)
        return above is None or self._passed[_R] >= IN_A_ROW

    def _is_held_back_long(self, now_ms: int) -> bool:
        since_ms = self._held_back_since_ms
        return since_ms is not None and now_ms >= since_ms + HELD_BACK_MS

    def _count_turn(self, entry: _Entry) -> None:
        """Count how often a lane that waits too was passed by the one above it."""
        lane = entry.key[0]
        self._passed[lane] = 0
        if lane is _R:
            self._held_back_since_ms = None
            is_waiting = entry.is_live and self._first_in(self._old[_R]) is not None
            self._passed_backlog = self._passed_backlog + 1 if is_waiting else 0
            return
        for below in _BELOW[lane]:
            is_waiting = self._first_ready(below) is not None
            self._passed[below] = self._passed[below] + 1 if is_waiting else 0

    def _first_ready(self, lane: Lane) -> _Entry | None:
        """Return the first record that may go now: live before backlog, but for one of ten."""
        live = self._first_in(self._live[lane])
        if live is not None and self._passed_backlog < IN_A_ROW:
            return live
        return self._first_in(self._old[lane]) or live

    def _first_in(self, queue: list[_Place]) -> _Entry | None:
        """Return the head of a queue; forget queue places that are no longer true."""
        while queue:
            entry = self._entries.get(queue[0][1])
            if entry is not None and entry.stage is _NEW and entry.wakes_ms is None:
                return entry
            heappop(queue)
        return None

    def _may_send_readings(self, now_ms: int) -> bool:
        if not self._holding and not self.has_more_alarms:
            self._held_back_since_ms = None
            return now_ms >= self._readings_at_ms
        if self._held_back_since_ms is None and self._first_ready(_R) is not None:
            self._held_back_since_ms = now_ms
        return False

    def _has_ready(self, now_ms: int) -> bool:
        return any(
            self._first_ready(lane) is not None
            for lane in Lane
            if lane is not _R or self._may_send_readings(now_ms)
        )

    def _fits(self, entry: _Entry, *, is_turn: bool = False) -> bool:
        lane, size = entry.key[0], len(entry.body)
        count, used = self._on_link
        if count == 0:
            return True
        if entry.is_suspect or self._goes_alone:
            return False
        if lane is _A:
            return count < self._window and (
                used + size <= self._window_bytes or self._alarm_bytes + size <= KEPT_FOR_A_BYTES
            )
        places = max(1, self._window - KEPT_FOR_A_MESSAGES)
        if is_turn:  # alarms fill the link, also the places that are not kept for them
            others = count - self._alarms_on_link
            return count < self._window and others < places and used + size <= self._window_bytes
        room = self._window_bytes - KEPT_FOR_A_BYTES
        if lane is _R and 0 < self._bytes_per_ms < SLOW_BYTES_PER_MS:
            room = READINGS_BYTES_SLOW
        return count < places and used + size <= room

    def _measure(self, entry: _Entry, now_ms: int) -> None:
        """Learn from a PUBACK how fast the link is: what was ahead went out in that time."""
        rate = entry.ahead_bytes / max(2, now_ms - entry.sent_ms)
        is_slower = rate < self._bytes_per_ms  # a link that slows down is believed at once
        share = 0.5 if is_slower else 0.1
        self._bytes_per_ms += share * (rate - self._bytes_per_ms)
        carried = round(self._bytes_per_ms * LINK_WITHIN_MS)
        self._window_bytes = min(LINK_BYTES_FAST, max(LINK_BYTES, carried))

    def _send(self, entry: _Entry, now_ms: int) -> Message:
        entry.stage = _SENT
        entry.tries += 1
        self._turn += 1
        entry.turn = self._turn
        self._goes_alone = entry.is_suspect
        self._take(entry.key[0], 1, len(entry.body))
        entry.sent_ms, entry.ahead_bytes = now_ms, self._on_link[1]
        is_history = entry.key[0] is _R and not entry.is_live
        return Message(entry.key, entry.body, is_history)

    def _leave_link(self, entry: _Entry) -> None:
        entry.stage = _NEW
        self._free(entry.key[0], len(entry.body))

    def _to_broker(self, entry: _Entry, now_ms: int) -> None:
        lane = entry.key[0]
        entry.stage = _AT_BROKER
        self._at_broker[lane] += 1
        self._waits_since_ms.setdefault(lane, now_ms)

    def _leave_broker(self, entry: _Entry) -> None:
        """It is answered, or will be sent again: then its lane goes on waiting."""
        if entry.stage is _AT_BROKER:
            self._at_broker[entry.key[0]] -= 1
            entry.stage = _NEW

    def _note_answer(self, lane: Lane, now_ms: int) -> None:
        self._waits_since_ms.pop(lane, None)
        if self._at_broker[lane]:
            self._waits_since_ms[lane] = now_ms
        if lane in self._unanswered:
            self._unanswered.discard(lane)
            self._changes.append(Answered(lane))

    def _answer_early(self, entry: _Entry) -> None:
        """The platform answered before the broker: the place stays taken until the PUBACK."""
        entry.stage = _NEW
        self._answered[entry.key] = len(entry.body)

    def _free(self, lane: Lane, size: int) -> None:
        self._take(lane, -1, -size)

    def _take(self, lane: Lane, count: int, size: int) -> None:
        self._on_link[0] += count
        self._on_link[1] += size
        if lane is _A:
            self._alarms_on_link += count
            self._alarm_bytes += size

    def _drop(self, entry: _Entry) -> None:
        if entry.stage is _SENT:
            self._answer_early(entry)
        self._leave_broker(entry)
        del self._entries[entry.key]
        self._unheeded[entry.key[0]] -= entry.unheeded >= _UNHEEDED
        self._held[entry.key[0]] -= 1
        self._held_bytes -= len(entry.body)
        self._release_readings(entry)

    def _release_readings(self, entry: _Entry) -> None:
        self._holding.discard(entry.key)

    def _wake_at(self, entry: _Entry, at_ms: int) -> None:
        entry.wakes_ms = at_ms
        heappush(self._timers, (at_ms, entry.key))
        if len(self._timers) > 4 * HELD_MESSAGES:  # settled records leave their timers behind
            self._timers = sorted(
                (waiting.wakes_ms, key)
                for key, waiting in self._entries.items()
                if waiting.wakes_ms is not None
            )

    def _run_timers(self, now_ms: int) -> None:
        while self._timers and self._timers[0][0] <= now_ms:
            at_ms, key = heappop(self._timers)
            entry = self._entries.get(key)
            if entry is None or entry.wakes_ms != at_ms:
                continue
            if entry.stage is _AT_BROKER:
                entry.ack_ms = min(2 * entry.ack_ms, _ACK_MS[key[0]][1])
                if self._answered_ms > entry.sent_ms:
                    entry.unheeded += 1
                    self._unheeded[key[0]] += entry.unheeded == _UNHEEDED
                entry.is_live = False
                self._release_readings(entry)
                self._miss_platform(now_ms)
            self._to_new(entry)
        if self._parked and self.is_open:
            self._retry_closers(now_ms)
        if self.is_link_up and not self.is_open:
            self._miss_platform(now_ms)
        elif self._waits_since_ms and self.is_link_up and self._delivery is _ACK:
            self._miss_answers(now_ms)

    def _miss_answers(self, now_ms: int) -> None:
        """A platform that speaks, but never of this lane, may not be allowed to hear it."""
        for lane, since_ms in self._waits_since_ms.items():
            if self._heard_ms <= since_ms:
                if now_ms >= since_ms + self._missed_ms:
                    self._miss_platform(now_ms)
            elif now_ms >= since_ms + UNANSWERED_MS and lane not in self._unanswered:
                self._unanswered.add(lane)
                self._changes.append(Unanswered(lane))

    def _miss_platform(self, now_ms: int) -> None:
        """The platform is absent when it should have spoken and did not for `probe_ms`, or 28 s."""
        if not self.is_link_up or now_ms < self._heard_ms + self._missed_ms:
            return
        self._is_present = False
        if self._was_reported_absent is not True and self._delivery is _ACK:
            self._was_reported_absent = True
            self._changes.append(PlatformWent())


def reason(code: int) -> str:
    """What a PUBACK's reason code means, as faults tell it."""
    return f"{_REASONS.get(code, 'reason')} (0x{code:02x})"


def as_ranges(keys: Iterable[Key]) -> tuple[Range, ...]:
    """Return the fewest closed ranges that hold exactly these records."""
    ranges: list[Range] = []
    for lane, epoch, seq in sorted(keys):
        last = ranges[-1] if ranges else None
        if last and (last.lane, last.epoch) == (lane, epoch) and seq <= last.hi + 1:
            ranges[-1] = Range(lane, epoch, last.lo, max(last.hi, seq))
        else:
            ranges.append(Range(lane, epoch, seq, seq))
    return tuple(ranges)
