"""The way up: keep a link to a broker, send what the outbox says, settle what the platform has.

The outbox (`core.delivery`) decides; this task moves bytes. What was committed since the start
comes by `Incoming` and goes out without a trip to the disk; everything older, and all that found
no room, is read from the store by position, a few hundred kB at a time. A restart of this task
loses nothing: the store still has what is not settled.
"""

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, assert_never

from gateway.core.delivery import (
    Accepted,
    Answered,
    Due,
    Key,
    Outbox,
    Parked,
    PlatformCame,
    PlatformWent,
    Refused,
    Unanswered,
    reason,
)
from gateway.core.faults import LINK_FAULTS
from gateway.core.messages import (
    Ack,
    Command,
    Hello,
    Malformed,
    ReceiptMessage,
    Sender,
    as_gateway,
    as_history,
    as_not_durable,
    lane_topic,
    parse_down,
    replay_of,
    speaker_of,
    speaks_as,
    topic_of,
)
from gateway.core.progress import Progress
from gateway.core.reconnect import (
    RIVAL_GONE_MS,
    Course,
    after_link,
    going_home,
    pause,
    rival_gone,
    rival_seen,
    stay_away,
)
from gateway.core.settled import SettledRanges
from gateway.domain.errors import LinkLost, LinkRefused
from gateway.domain.events import (
    Event,
    FaultCleared,
    FaultRaised,
    LinkChanged,
    PlatformChanged,
    PostCheckAsked,
    Receipt,
)
from gateway.domain.moments import Now
from gateway.domain.records import Lane, Range, Record
from gateway.domain.site import Broker, Reconnect, Uplink

SHIP_UNDURABLE_MS = 2_000
NOW_EVERY_MS = 60_000
LOOK_EVERY_MS = 5_000  # a store that failed a moment ago may have something now
DRAIN_MS = 5_000
LOAD_RECORDS = 128
LOAD_BYTES = 256 * 1024
WAITING_RECORDS = 2_000
REPLAYS = 64  # ranges that the platform may ask for before it has them
POST_CHECK_MINUTES = 10  # where the platform does not say
MAX_POST_CHECK_MINUTES = 255  # one byte in GB/T 26875.3, type 91
PUBLISH_BYTES = 10  # of a packet besides topic and body, at most: MQTT 5.0, 3.3
MARK_BYTES = 32  # of the marks that a body may get on its way: more than enough
CUTS = 3  # connections in a row that the far end closed while it had the same thing to answer
BLAMED_MS = 5_000  # for what has no answer: an end later than that has another reason
GUESSES = 3  # tries in a row that ended without a word, before that is called a refusal
WITHHELD_MS = 3_600_000  # then this is not said to that broker; once more after it
LARGEST_ALARM = 8 * 1024  # bytes; a generous guess, only to know when a try is worth it

_TAKEN = "identity_in_use"
_NOW = "now"
_ASKING = "state?"  # not said, but asked for
_LANES = tuple(Lane)

_log = logging.getLogger(__name__)


class Link(Protocol):
    """One live connection (`drivers.mqtt.Link`)."""

    @property
    def protocol(self) -> str: ...
    @property
    def tls(self) -> str: ...
    @property
    def receive_maximum(self) -> int: ...
    @property
    def maximum_packet(self) -> int: ...
    @property
    def has_session(self) -> bool: ...
    @property
    def farewell(self) -> str: ...  # the reason that the broker gave when it ended the connection
    async def publish(
        self, topic: str, payload: bytes, qos: int, *, retain: bool = False
    ) -> int: ...
    def send(self, topic: str, payload: bytes, answered: Callable[[int], None]) -> None: ...
    async def subscribe(self, topic: str, *, no_local: bool = False) -> int: ...
    async def lost(self) -> str: ...


class Load(Protocol):
    """Durable, unsettled records of a lane, oldest first, after a position (`Store.unsettled`)."""

    async def __call__(
        self, lane: Lane, *, after: Any | None, limit: int, max_bytes: int
    ) -> Sequence[Record]: ...


class Retained(Protocol):
    """Durable records of a range, settled or not, lowest number first (`Store.retained`)."""

    async def __call__(self, wanted: Range, *, limit: int, max_bytes: int) -> Sequence[Record]: ...


class Describe(Protocol):
    """The state message (`core.messages.state_body` with the site's part filled in)."""

    def __call__(
        self, *, on: bool, conn: int, at: Now, lanes: Mapping[Lane, tuple[int, int]]
    ) -> bytes: ...


Connect = Callable[
    [Broker, tuple[str, bytes], Callable[[str, bytes], None]], AbstractAsyncContextManager[Link]
]  # broker, will (topic and body), on_message(topic, body)


class Incoming:
    """What the decider submitted and the store committed, on its way to the forwarder.

    Bounded: what finds no room is read from the store later. All methods belong to the event loop.
    """

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.has_overrun = False
        self.must_reread = False
        self.must_describe = False
        self._durable: deque[Record] = deque()
        self._submitted: OrderedDict[Key, Record] = OrderedDict()
        self._shipped: OrderedDict[Key, Record] = OrderedDict()  # from memory: nobody else has it

    def begin(self) -> None:
        """What was sent from memory and is not settled is due again: to a new forwarder, say."""
        self._submitted = OrderedDict([*self._shipped.items(), *self._submitted.items()])
        self._shipped.clear()

    def submitted(self, records: Sequence[Record]) -> None:
        """Alarm records that went to the writer thread; other lanes wait for their commit."""
        for record in records:
            if record.lane is Lane.A:
                self._submitted[_key(record)] = record
                self.changed.set()

    def durable(self, records: Sequence[Record]) -> None:
        """Records that are committed, R batches encoded (`open_store(on_durable=...)`)."""
        for record in records:
            self._submitted.pop(_key(record), None)
            self._shipped.pop(_key(record), None)
            if len(self._durable) < WAITING_RECORDS:
                self._durable.append(record)
            else:
                self.has_overrun = True
        self.changed.set()

    def look_again(self, _count: int = 0) -> None:
        """Older records came back to the store: what was read by position is read anew."""
        self.must_reread = True
        self.changed.set()

    def describe_again(self) -> None:
        """The house is another one: birth and dictionary go before whatever is durable later."""
        self.must_describe = True
        self.changed.set()

    @property
    def waits_for_disk(self) -> bool:
        """True while an alarm record is submitted and not committed yet."""
        return bool(self._submitted)

    def take_durable(self) -> list[Record]:
        records = list(self._durable)
        self._durable.clear()
        return records

    def late(self, now_ms: int) -> list[Record]:
        """Return the alarm records that the disk did not take within 2 s of their making."""
        return [
            record
            for record in self._submitted.values()
            if now_ms - record.at.mono_ms >= SHIP_UNDURABLE_MS
        ]

    def shipped(self, record: Record) -> None:
        """A late record went out from memory: the disk is not waited for any more."""
        self._shipped[_key(record)] = self._submitted.pop(_key(record))

    def settled(self, settled: Range) -> None:
        """The platform has these."""
        for seq in range(settled.lo, settled.hi + 1) if self._shipped else ():
            self._shipped.pop((settled.lane, settled.epoch, seq), None)

    def next_late_ms(self) -> int | None:
        """Return when the oldest waiting alarm record is late."""
        oldest = next(iter(self._submitted.values()), None)
        return None if oldest is None else oldest.at.mono_ms + SHIP_UNDURABLE_MS


@dataclass(slots=True)
class _LaneView:
    """How far a lane was read from the store."""

    after: Any | None = None
    read: deque[Record] = field(default_factory=deque)  # that found no room yet
    has_more: bool = True
    has_reread: bool = False  # since the store was asked
    look_at_ms: int = 0
    look: asyncio.Event = field(default_factory=asyncio.Event)

    def begin_anew(self) -> None:
        self.after, self.has_more, self.has_reread = None, True, True
        self.read.clear()


@dataclass(slots=True)
class _Run:
    """What the parts of the forwarder share."""

    uplink: Uplink
    sender: Sender
    outbox: Outbox
    incoming: Incoming
    load: Load
    retained: Retained
    position: Callable[[Record], Any]
    settle: Callable[[Sequence[Range]], None]
    bounds: Callable[[], Awaitable[Mapping[Lane, Sequence[Range]]]]
    post: Callable[[Event], None]
    clock: Callable[[], Now]
    now_ms: Callable[[], int]
    jitter: Callable[[float, float], float]
    describe: Describe
    points: Callable[[], bytes]
    now_snapshot: Callable[[], bytes | None]
    connect: Connect
    reach: Callable[[Broker], Awaitable[None]]
    is_own_epoch: Callable[[str], bool]
    stopping: asyncio.Event
    progress: Progress
    topics: Mapping[Lane, str]
    wake: asyncio.Event = field(default_factory=asyncio.Event)  # for who sends
    lanes: dict[Lane, _LaneView] = field(
        default_factory=lambda: {lane: _LaneView() for lane in Lane}
    )
    settled_early: SettledRanges = field(default_factory=SettledRanges)
    course: Course = field(default_factory=Course)
    replays: asyncio.Queue[Range] = field(default_factory=lambda: asyncio.Queue(REPLAYS))
    room: asyncio.Event = field(default_factory=asyncio.Event)  # perhaps, for a replay
    is_home_reachable: bool = False
    session_at: str = ""  # the broker that was last connected to
    renamed: dict[str, bool] = field(default_factory=dict)  # epochs: made under another name
    describe_again: bool = False
    waits_on: Link | None = None  # who sends, and need not wake for each PUBACK
    is_refill_due: bool = False
    unsaid: dict[str, str] = field(default_factory=dict)  # why; "" = the broker took it
    guesses: Counter[str] = field(default_factory=Counter)  # tries in a row, by broker
    on_trial: str = ""  # said on this link, and neither answered nor gone by yet
    tried_ms: int = 0
    first_after: Key | None = None  # the record sent next, if any
    cuts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by broker and what was on it
    withheld_until_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    broken: Exception | None = None  # what went wrong there
    waits_until_ms: int = 0  # who sends
    said: Event | None = None
    fault: tuple[str, str] | None = None  # the connection's, as this run told it: code and detail
    may_stand: bool = True  # such a fault, of this run or of an earlier one

    def is_alarm_waiting(self) -> bool:
        return self.incoming.waits_for_disk or self.outbox.count(Lane.A) > 0

    def settled(self, ranges: Sequence[Range]) -> None:
        """The platform has these: tell the store, and remember what it may still show."""
        if not ranges:
            return
        for range_ in ranges:
            self.settled_early.add(range_)
            self.incoming.settled(range_)
        self.settle(ranges)
        self.progress.settled(ranges, self.now_ms())
        self.incoming.changed.set()  # there is room again

    def look_again(self) -> None:
        """What was given up is due again: the store has it, or only memory."""
        self.incoming.begin()
        self.incoming.look_again()

    def tell_changes(self) -> None:
        for change in self.outbox.take_changes():
            match change:
                case PlatformCame():
                    self.post(PlatformChanged(is_present=True))
                case PlatformWent():
                    self.post(PlatformChanged(is_present=False))
                case Parked((lane, epoch, seq) as key, why):
                    self.progress.step("parked", self.now_ms(), key, text=why)
                    self.post(FaultRaised("record_parked", lane, f"{epoch}-{lane}-{seq}: {why}"))
                case Refused(lane, code):
                    fault = "uplink_unheard" if code == 0x10 else "uplink_refused"
                    self.post(FaultRaised(fault, lane, reason(code)))
                case Accepted(lane, has_more):
                    if has_more:
                        self.look_again()
                    self.post(FaultCleared("uplink_unheard", lane))
                    self.post(FaultCleared("uplink_refused", lane))
                case Unanswered(lane):
                    self.post(FaultRaised("uplink_unheard", lane, "the platform does not answer"))
                case Answered(lane, has_more):
                    if has_more:
                        self.look_again()
                    self.post(FaultCleared("uplink_unheard", lane))
                case Due():
                    self.look_again()
                case _:
                    assert_never(change)

    def tell_link(self, event: LinkChanged) -> None:
        """Say it once, when it changes."""
        if event == self.said:
            return
        self.said = event
        self.post(event)

    def tell_failure(self, why: str, detail: str) -> None:
        """A reason that does not go away by itself is a fault of its own, one at a time."""
        fault = LINK_FAULTS.get(why)
        if fault is None or (fault, detail) == self.fault:
            return
        is_another = self.fault is None or self.fault[0] != fault
        for other in dict.fromkeys(LINK_FAULTS.values()) if is_another and self.may_stand else ():
            if other != fault:
                self.post(FaultCleared(other, "broker"))  # of an earlier start, perhaps
        self.fault, self.may_stand = (fault, detail), True
        self.post(FaultRaised(fault, "broker", detail))

    def tell_connected(self) -> None:
        """End the connection's faults, also those of an earlier start."""
        for fault in dict.fromkeys(LINK_FAULTS.values()) if self.may_stand else ():
            self.post(FaultCleared(fault, "broker"))
        self.fault, self.may_stand = None, False

    def may_say(self, kind: str) -> bool:
        """False when the broker closes the connection whenever it hears that."""
        return self.now_ms() >= self.withheld_until_ms.get((self.session_at, kind), 0)

    def try_saying(self, kind: str) -> None:
        self.on_trial, self.tried_ms, self.first_after = kind, self.now_ms(), None

    def was_taken(self) -> None:
        """The broker did not close the connection for what was said last."""
        self.cuts.pop((self.session_at, self.on_trial), None)
        self.on_trial = ""

    def note_end(self, why: str, farewell: str) -> None:
        """A broker that answers something by closing, time and again, is spared it for a while.

        Otherwise no connection would ever come to the alarms.
        """
        kind, self.on_trial = self.on_trial, ""
        key = (self.session_at, kind)
        is_old = kind == _NOW and self.now_ms() > self.tried_ms + BLAMED_MS
        if not kind or why != "lost" or is_old:
            return
        self.cuts[key] += 1
        if self.cuts[key] < CUTS:
            return
        self.cuts[key] -= 1
        self.withheld_until_ms[key] = self.now_ms() + WITHHELD_MS
        told = f"the broker closes the connection: {farewell or 'without a word'}"
        if kind in (_NOW, _ASKING):  # only a guess, and nothing is missing without them
            _log.warning("withheld what=%s broker=%s why=%s", kind, self.session_at, told)
        else:
            self.tell_unsaid(kind, told)

    def tell_unsaid(self, kind: str, why: str) -> None:
        """What is no record and was not taken is a fault; `why` empty = it was."""
        if why == self.unsaid.get(kind):
            return
        self.unsaid[kind] = why
        if why:
            self.post(FaultRaised("uplink_refused", kind, why))
        else:
            self.post(FaultCleared("uplink_refused", kind))

    def see_rival(self, detail: str) -> None:
        """Another gateway speaks under our id."""
        self.course = rival_seen(self.course)
        self.post(FaultRaised(_TAKEN, self.uplink.gateway, detail))

    def forget_rival(self) -> None:
        self.course = rival_gone(self.course)
        self.post(FaultCleared(_TAKEN, self.uplink.gateway))


async def forward(
    *,
    uplink: Uplink,
    sender: Sender,
    connect: Connect,
    load: Load,
    retained: Retained,
    position: Callable[[Record], Any],
    settle: Callable[[Sequence[Range]], None],
    bounds: Callable[[], Awaitable[Mapping[Lane, Sequence[Range]]]],
    incoming: Incoming,
    post: Callable[[Event], None],
    clock: Callable[[], Now],
    mono: Callable[[], int],
    jitter: Callable[[float, float], float],
    describe: Describe,
    points: Callable[[], bytes],
    now_snapshot: Callable[[], bytes | None],
    stopping: asyncio.Event,
    reach: Callable[[Broker], Awaitable[None]],
    is_own_epoch: Callable[[str], bool],
    progress: Progress | None = None,
) -> None:
    """Deliver until `stopping` is set; then drain for at most 5 s, say goodbye and return.

    `load`, `retained`, `position`, `settle` and `bounds` are the store's, `post` puts an event
    into the inbox, `mono` is the clock's monotonic time alone, asked several times a message,
    `jitter(low, high)` is a uniform random number, `points()` the dictionary message;
    `reach(broker)` raises LinkRefused when a broker cannot be connected to, `is_own_epoch` knows
    the epochs of this gateway's earlier starts; `progress` is kept up to date for who shows it.
    """
    run = _Run(
        uplink=uplink,
        sender=sender,
        outbox=Outbox(epoch=sender.epoch, delivery=uplink.delivery, probe_ms=uplink.probe_ms),
        incoming=incoming,
        load=load,
        retained=retained,
        position=position,
        settle=settle,
        bounds=bounds,
        post=post,
        clock=clock,
        now_ms=mono,
        jitter=jitter,
        describe=describe,
        points=points,
        now_snapshot=now_snapshot,
        connect=connect,
        reach=reach,
        is_own_epoch=is_own_epoch,
        stopping=stopping,
        progress=progress or Progress(),
        topics={lane: lane_topic(sender.gateway, lane) for lane in Lane},
    )
    run.progress.outbox = run.outbox
    incoming.begin()
    async with asyncio.TaskGroup() as parts:
        feeding = parts.create_task(_feed_outbox(run), name="forward: feed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                watching = parts.create_task(_limit_the_end(run, limit), name="forward: stop")
                await _stay_connected(run)
        feeding.cancel()
        watching.cancel()


async def _limit_the_end(run: _Run, limit: asyncio.Timeout) -> None:
    """Wake who waits when the daemon stops; without a link there is nothing to wait for."""
    await run.stopping.wait()
    seconds = DRAIN_MS / 1000 + 1 if run.outbox.is_link_up else 0.0
    limit.reschedule(asyncio.get_running_loop().time() + seconds)
    run.wake.set()
    run.incoming.changed.set()


# -- records into the outbox --------------------------------------------------------------------


async def _feed_outbox(run: _Run) -> None:
    """Keep the outbox filled, newest from memory, older from the store.

    The store is asked beside this loop: a disk that hangs must not hold up what is in memory.
    """
    async with asyncio.TaskGroup() as readers:
        for lane in Lane:
            readers.create_task(_read_lane(run, lane), name=f"forward: read {lane}")
        readers.create_task(_replay(run), name="forward: replay")
        while True:
            run.incoming.changed.clear()
            _take_incoming(run)
            for view in run.lanes.values():
                view.look.set()
            run.room.set()
            _note_alarms(run)
            due = [run.now_ms() + LOOK_EVERY_MS]
            late_ms = run.incoming.next_late_ms()
            if late_ms is not None and run.outbox.has_room(Lane.A, LARGEST_ALARM):
                due.append(late_ms)
            await _wait(run, min(due), run.incoming.changed)


async def _read_lane(run: _Run, lane: Lane) -> None:
    """Read one lane from the store whenever there is reason to look."""
    while True:
        run.lanes[lane].look.clear()
        await _look_into_store(run, lane)
        _note_alarms(run)
        await run.lanes[lane].look.wait()


def _note_alarms(run: _Run) -> None:
    for lane, view in run.lanes.items():
        run.progress.lanes[lane].has_more = view.has_more
    run.outbox.has_more_alarms = run.lanes[Lane.A].has_more or run.incoming.waits_for_disk
    run.wake.set()


def _take_incoming(run: _Run) -> None:
    if run.incoming.must_describe:
        run.incoming.must_describe = False
        run.describe_again = True
    if run.incoming.must_reread:
        run.incoming.must_reread = False
        for view in run.lanes.values():
            view.begin_anew()
    if run.incoming.has_overrun:
        run.incoming.has_overrun = False
        for view in run.lanes.values():
            view.has_more = True
    for record in run.incoming.take_durable():
        key = _key(record)
        view = run.lanes[record.lane]
        if key in run.settled_early:  # it was shipped from memory before the disk had it
            run.settle((Range(record.lane, record.epoch, record.seq, record.seq),))
        elif record.lane is Lane.R and not run.outbox.is_open:
            view.has_more = True  # not live any more when it goes
        elif record.lane is not Lane.R and view.has_more:
            pass  # older ones of its lane come first
        elif not run.outbox.offer(key, record.body):
            view.has_more = True
    for record in run.incoming.late(run.now_ms()):
        if run.outbox.offer(_key(record), as_not_durable(record.body)):
            run.incoming.shipped(record)


async def _look_into_store(run: _Run, lane: Lane) -> None:
    """Read on in one lane while something may be there; a piece more than there is room for.

    So the next records are here already when the platform makes room.
    """
    view = run.lanes[lane]
    while _offer_read(run, view):
        if not view.has_more and run.now_ms() < view.look_at_ms:
            return
        view.has_reread = False
        records = await run.load(lane, after=view.after, limit=LOAD_RECORDS, max_bytes=LOAD_BYTES)
        view.look_at_ms = run.now_ms() + LOOK_EVERY_MS
        if view.has_reread:
            continue  # these may not be the first ones any more
        view.has_more = bool(records)
        if records:
            view.read.extend(records)
            view.after = run.position(records[-1])


def _offer_read(run: _Run, view: _LaneView) -> bool:
    """Hand on what was read; False when there is no room for all of it."""
    while view.read:
        record, key = view.read[0], _key(view.read[0])
        if key in run.settled_early:  # it came back from a damaged file, or is not struck off yet
            run.settle((Range(record.lane, record.epoch, record.seq, record.seq),))
        elif not run.outbox.offer(key, record.body, is_live=False):
            return False
        view.read.popleft()
    return True


async def _replay(run: _Run) -> None:
    """Send again what the platform asked for, as far as the store still has it."""
    while True:
        wanted: Range | None = await run.replays.get()
        while wanted is not None:
            run.room.clear()
            if not _has_room(run, Lane.R):
                await run.room.wait()
                continue
            records = await run.retained(wanted, limit=LOAD_RECORDS, max_bytes=LOAD_BYTES)
            wanted = _offer_again(run, records, wanted)
            run.wake.set()


def _offer_again(run: _Run, records: Sequence[Record], wanted: Range) -> Range | None:
    """Offer these; return what is still to be read of the range."""
    for record in records:
        if not run.outbox.offer(_key(record), record.body, is_live=False, is_replay=True):
            return replace(wanted, lo=record.seq)
    if not records or records[-1].seq >= wanted.hi:
        return None
    return replace(wanted, lo=records[-1].seq + 1)


def _has_room(run: _Run, lane: Lane) -> bool:
    """Worth a trip to the disk: there is room for more than a few, or none of its lane is here."""
    if run.outbox.count(lane) == 0:
        return run.outbox.has_room(lane)
    return run.outbox.has_room(lane, LOAD_BYTES // 4, LOAD_RECORDS // 2)


# -- the connection -----------------------------------------------------------------------------


async def _stay_connected(run: _Run) -> None:
    brokers = run.uplink.brokers
    while not run.stopping.is_set():
        broker = brokers[run.course.at]
        lasted_ms, why, detail = await _use_broker(run, broker)
        run.outbox.link_down(
            run.now_ms(), was_closed=why == "lost", was_unanswered=why == "no_puback"
        )
        run.note_end(why, detail)
        if run.stopping.is_set():
            return
        run.progress.went_down(broker_name(broker), why, detail, run.now_ms())
        run.tell_link(LinkChanged(is_up=False, broker=broker_name(broker), why=why))
        if run.is_home_reachable:
            run.is_home_reachable = False
            run.course = going_home(run.course)
            continue
        run.progress.note(broker_name(broker), why, detail, run.now_ms())
        was_taken = why == _TAKEN or (why == "lost" and run.course.is_rival_known)
        run.course = after_link(run.course, len(brokers), lasted_ms=lasted_ms, was_taken=was_taken)
        if why == _TAKEN:
            run.see_rival("told by the broker")
        run.progress.link.tries = run.course.failed
        if run.course.failed and run.course.failed % len(brokers) == 0:
            doubted = {name for name, n in run.guesses.items() if 0 < n < GUESSES}
            run.tell_failure(*run.progress.worst(LINK_FAULTS, doubted))
        await _pause(run)


async def _use_broker(run: _Run, broker: Broker) -> tuple[int, str, str]:
    """Connect and forward until the link is over.

    Return how many ms it lasted (0 = none came), why it is over or never was, and the details.
    """
    run.progress.link.connections += 1
    at = run.clock()
    will = run.describe(on=False, conn=run.progress.link.connections, at=at, lanes={})
    topic = topic_of(run.sender.gateway, "state")
    try:
        async with run.connect(broker, (topic, will), partial(_hear, run)) as link:
            began_ms = run.now_ms()
            try:
                why = await _use_link(run, link, broker)
            except LinkLost as lost:
                why = lost.why
            return max(1, run.now_ms() - began_ms), why, link.farewell
    except LinkRefused as refused:
        _log.debug("event=link_refused broker=%s why=%s", broker_name(broker), refused)
        name = broker_name(broker)
        run.guesses[name] = run.guesses[name] + 1 if refused.is_guess else 0
        return 0, refused.why, refused.detail


async def _use_link(run: _Run, link: Link, broker: Broker) -> str:
    is_fleet = run.uplink.reconnect is Reconnect.FLEET
    topic = max(run.topics.values(), key=len)
    is_same, run.session_at = run.session_at == broker_name(broker), broker_name(broker)
    has_more = run.outbox.link_up(
        run.now_ms(),
        receive_maximum=link.receive_maximum,
        largest=_largest(link, topic) - MARK_BYTES,
        has_session=link.has_session and is_same,  # another one's session has none of our records
        readings_after_ms=round(1000 * run.jitter(0, 5)) if is_fleet else 0,
        broker=broker_name(broker),
    )
    if has_more:
        run.look_again()
    if broker_name(broker) in run.progress.births:
        await _look_for_rival(run, link)
    await _say_birth(run, link)
    run.outbox.was_answered()
    run.progress.came_up(broker_name(broker), link.protocol, link.tls, run.now_ms())
    run.tell_link(LinkChanged(is_up=True, broker=broker_name(broker)))
    run.tell_connected()
    run.guesses[broker_name(broker)] = 0
    ended = asyncio.ensure_future(link.lost())
    ended.add_done_callback(lambda _: run.wake.set())
    homing = asyncio.create_task(_look_home(run), name="forward: way home")
    try:
        await _pump(run, link, ended)
        if not ended.done():
            await _say_goodbye(run, link)
        return ended.result() if ended.done() else "closed"
    finally:
        ended.cancel()
        homing.cancel()
        await asyncio.gather(homing, return_exceptions=True)


async def _look_for_rival(run: _Run, link: Link) -> None:
    """Ask for the retained state under our name: what it says since our last birth is not ours.

    Not every broker tells whom it takes a connection from. One that does not let us read this
    leaves us without evidence, no more.
    """
    if not run.may_say(_ASKING):
        return
    run.try_saying(_ASKING)
    with contextlib.suppress(TimeoutError):
        await link.subscribe(topic_of(run.sender.gateway, "state"), no_local=True)
    run.was_taken()


async def _look_home(run: _Run) -> None:
    """On a later broker: find out when the first can be connected to again."""
    while not run.course.is_home:
        await asyncio.sleep(run.jitter(*stay_away(run.course, run.uplink.reconnect)))
        first = run.uplink.brokers[0]
        try:
            await run.reach(first)
        except LinkRefused as refused:
            run.progress.note(broker_name(first), refused.why, refused.detail, run.now_ms())
        else:
            run.is_home_reachable = True
            run.wake.set()
            return


async def _pump(run: _Run, link: Link, ended: asyncio.Future[str]) -> None:
    """Send what may go until the link ends or the daemon stops and all is delivered."""
    snapshot_at_ms = run.now_ms()
    rival_gone_ms: int | None = run.now_ms() + RIVAL_GONE_MS
    stop_at_ms: int | None = None
    while not ended.done():
        run.wake.clear()
        if run.is_home_reachable and not run.is_alarm_waiting() and run.outbox.on_link == (0, 0):
            return
        if rival_gone_ms is not None and run.now_ms() >= rival_gone_ms:
            rival_gone_ms = None
            run.forget_rival()
        if run.stopping.is_set() and stop_at_ms is None:
            stop_at_ms = run.now_ms() + DRAIN_MS
        if stop_at_ms is not None and (run.now_ms() >= stop_at_ms or _is_drained(run)):
            return
        if run.describe_again and _has_place(run, link):
            run.describe_again = False
            await _say_birth(run, link)
        if not run.describe_again:
            _send_lanes(run, link, (Lane.A, Lane.B))
        if run.now_ms() >= snapshot_at_ms:
            snapshot_at_ms = run.now_ms() + NOW_EVERY_MS
            await _say_now(run, link)
        if not run.describe_again:
            _send_lanes(run, link, _LANES)
        run.tell_changes()
        times = [snapshot_at_ms, run.outbox.wake_ms(run.now_ms()), stop_at_ms, rival_gone_ms]
        run.waits_until_ms = min(t for t in times if t is not None)
        run.waits_on = None if run.stopping.is_set() or run.describe_again else link
        try:
            await _wait(run, run.waits_until_ms, run.wake)
        finally:
            run.waits_on = None
        if run.broken is not None:
            raise run.broken


def _send_lanes(run: _Run, link: Link, lanes: tuple[Lane, ...]) -> None:
    """Send what may go; raises LinkLost, and then the end of the connection makes it new again."""
    now_ms = run.now_ms()
    while message := run.outbox.next_message(now_ms, lanes):
        key = message.key
        body = message.body if key[1] == run.sender.epoch else _in_our_name(run, key, message.body)
        if message.is_history:
            body = as_history(body)
        run.progress.step("sent", now_ms, key, size=len(body))
        if run.on_trial and run.first_after is None:
            run.first_after = key
        link.send(run.topics[key[0]], body, partial(_broker_answered, run, key))


def _in_our_name(run: _Run, key: Key, body: bytes) -> bytes:
    """Records of earlier starts may have been made under another name; one epoch has one."""
    epoch, gateway = key[1], run.sender.gateway
    if epoch not in run.renamed:
        run.renamed[epoch] = not speaks_as(body, gateway)
    return as_gateway(body, gateway) if run.renamed[epoch] else body


def _broker_answered(run: _Run, key: Key, code: int) -> None:
    """Note a PUBACK; the place that it frees is filled once for all that came together."""
    now_ms = run.now_ms()
    run.progress.step("broker", now_ms, key, code=code)
    if key == run.first_after:
        run.first_after = None
        run.was_taken()  # brokers answer in order
    settled = run.outbox.puback(key, code, now_ms)
    if settled is not None:
        run.settled((settled,))
    if run.waits_on is None or run.is_home_reachable:
        run.wake.set()
    elif not run.is_refill_due:
        run.is_refill_due = True
        asyncio.get_running_loop().call_soon(_refill, run)


def _refill(run: _Run) -> None:
    """Send on without waking who sends, unless that has something else to do or may wait less."""
    run.is_refill_due = False
    if run.waits_on is None or run.wake.is_set():
        return  # it is about to send itself, a birth before all else perhaps
    try:
        _send_lanes(run, run.waits_on, _LANES)
    except LinkLost:
        return  # it hears that, too
    except Exception as error:  # noqa: BLE001  # it raises this for its supervisor
        run.broken = error
    wake_ms = run.outbox.wake_ms(run.now_ms())
    is_sooner = wake_ms is not None and wake_ms < run.waits_until_ms
    if is_sooner or run.broken or run.outbox.has_changes:
        run.wake.set()


def _has_place(run: _Run, link: Link) -> bool:
    """True when the broker takes one more message before it has answered for another."""
    return run.outbox.on_link[0] < link.receive_maximum


async def _say_birth(run: _Run, link: Link) -> None:
    """State and dictionary, retained, before any record of this connection."""
    lanes = {}
    for lane, ranges in (await run.bounds()).items():
        mine = [each for each in ranges if each.epoch == run.sender.epoch]
        if mine:
            lanes[lane] = (mine[0].lo, mine[-1].hi)
    state = run.describe(on=True, conn=run.progress.link.connections, at=run.clock(), lanes=lanes)
    await _say(run, link, "state", state)
    await _say(run, link, "points", run.points())


async def _say_now(run: _Run, link: Link) -> None:
    body = run.now_snapshot()
    if body is not None:
        await _say(run, link, _NOW, body, qos=0)


async def _say(run: _Run, link: Link, kind: str, body: bytes, qos: int = 1) -> None:
    """Publish what is no record, retained with QoS 1; a broker that does not take it is a fault."""
    topic = topic_of(run.sender.gateway, kind)
    if not run.may_say(kind):
        return
    why = ""
    if len(body) > _largest(link, topic):
        why = f"{len(body)} bytes, the broker takes {_largest(link, topic)}"
    else:
        run.try_saying(kind)
        code = await link.publish(topic, body, qos, retain=qos == 1)
        if qos:
            run.was_taken()
        why = reason(code) if code >= 0x80 else ""
    run.tell_unsaid(kind, why)


def _largest(link: Link, topic: str) -> int:
    """Bytes of a body that this broker takes on a topic."""
    return link.maximum_packet - PUBLISH_BYTES - len(topic.encode())


async def _say_goodbye(run: _Run, link: Link) -> None:
    body = run.describe(on=False, conn=run.progress.link.connections, at=run.clock(), lanes={})
    with contextlib.suppress(TimeoutError, LinkLost):  # the will says the same
        async with asyncio.timeout(1):
            while not _has_place(run, link):
                run.wake.clear()
                await run.wake.wait()
            await link.publish(topic_of(run.sender.gateway, "state"), body, 1, retain=True)


def _is_drained(run: _Run) -> bool:
    return (
        run.outbox.held == 0
        and not run.incoming.changed.is_set()
        and not any(view.has_more for view in run.lanes.values())
    )


def _hear(run: _Run, topic: str, payload: bytes) -> None:
    """Take one message from above; called by the link, in the event loop."""
    kind = topic.rsplit("/", 1)[-1]
    if topic == topic_of(run.sender.gateway, "state"):
        _hear_state(run, payload)
        return
    match parse_down(kind, payload):
        case Ack() as ack:
            run.progress.link.last_ack_ms = run.now_ms()
            run.settled(run.outbox.ack(ack, run.now_ms()))
        case Hello():
            run.progress.step("hello", run.now_ms())
            run.outbox.heard(run.now_ms())
        case ReceiptMessage(occurrence, level, audience, at_ms):
            run.post(Receipt(occurrence, level, audience, at_ms))
        case Command(op="describe"):
            run.describe_again = True
        case Command(id=id_, op="post_check", args=args):
            _ask_post_check(run, id_, args)
        case Command(op="replay", args=args):
            _ask_replay(run, args)
        case Command(op=op):
            _log.warning("command unknown op=%.40s", op)
        case Malformed(why):
            _log.warning("message malformed topic=%.80s why=%s", topic, why)
        case other:
            assert_never(other)
    run.wake.set()


def _ask_replay(run: _Run, args: Mapping[str, object]) -> None:
    """The platform lacks `from` to `to` of a lane and epoch: it gets what is still here."""
    wanted = replay_of(args)
    if wanted is None:
        _log.warning("replay malformed args=%.200s", dict(args))
    elif run.replays.full():
        _log.warning("replay refused, too many are under way lane=%s", wanted.lane)
    else:
        run.replays.put_nowait(wanted)


def _ask_post_check(run: _Run, id_: str, args: Mapping[str, object]) -> None:
    """The platform asks who is awake: `minutes` to answer, `at` = UTC ms when it asked."""
    minutes, at = args.get("minutes", POST_CHECK_MINUTES), args.get("at")
    if type(minutes) is not int or not 1 <= minutes <= MAX_POST_CHECK_MINUTES:
        _log.warning("post check malformed id=%.40s minutes=%.40s", id_, minutes)
        return
    at_ms = at if type(at) is int else None
    run.post(PostCheckAsked(id_, "platform", minutes * 60_000, at_ms))


def _hear_state(run: _Run, payload: bytes) -> None:
    """A birth, will or farewell under our name that came after our own birth."""
    epoch = speaker_of(payload) if run.progress.births else None
    if epoch is not None and epoch != run.sender.epoch and not run.is_own_epoch(epoch):
        run.see_rival(f"epoch {epoch:.40}")


# -- waiting ------------------------------------------------------------------------------------


async def _pause(run: _Run) -> None:
    """Wait before the next try, less while an alarm waits."""
    how, brokers = run.uplink.reconnect, len(run.uplink.brokers)
    seconds = {
        is_waiting: run.jitter(*pause(run.course, brokers, how, is_alarm_waiting=is_waiting))
        for is_waiting in (False, True)
    }
    began_ms = run.now_ms()
    while not run.stopping.is_set():
        until_ms = began_ms + round(1000 * seconds[run.is_alarm_waiting()])
        run.progress.link.next_try_ms = until_ms
        if run.now_ms() >= until_ms:
            return
        run.wake.clear()
        await _wait(run, until_ms, run.wake)


async def _wait(run: _Run, until_ms: int, event: asyncio.Event) -> None:
    """Wait until the event is set; at monotonic `until_ms` it is."""
    delay_s = max(0.0, (until_ms - run.now_ms()) / 1000)
    timer = asyncio.get_running_loop().call_later(delay_s, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()


def _key(record: Record) -> Key:
    return (record.lane, record.epoch, record.seq)


def broker_name(broker: Broker) -> str:
    """What faults and views call a broker: a socket's path, or host:port."""
    return broker.unix_path or f"{broker.host}:{broker.port}"
