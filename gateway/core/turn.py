"""The notebook of one step: what it changes, numbered and collected as it goes.

A turn starts from a state, is written on by the functions of `core.step` and ends as a new state
and an outcome. It lives only inside one call of `step`, which is therefore pure from outside.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from gateway.core import alarms, messages
from gateway.core.conditions import Held, Memory
from gateway.core.floods import flood_ends_ms
from gateway.core.health import OWN_DEVICE
from gateway.core.inhibits import inhibits_of
from gateway.core.local_time import turns_in_ms
from gateway.core.state import (
    DeviceState,
    House,
    Looked,
    Pending,
    RuleTrouble,
    State,
    renewed,
)
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.kept import Kept
from gateway.domain.modes import Mode
from gateway.domain.moments import Now
from gateway.domain.outcome import Outcome, Rehearsal, Reply
from gateway.domain.readings import Reading
from gateway.domain.records import Batch, Lane, Record
from gateway.domain.rules import Rule, Severity
from gateway.domain.signals import Pattern, Signal

FIRST_BATCH_MS = 250  # at the latest; a whole first sweep goes at once: a technician waits for it
LOOK_EVERY_MS = 1_000  # through the whole state, though nothing of it is another
TRY_AGAIN_MS = 100  # what was due and was not done, because it failed, may not keep us busy
LINK_DOWN_FAULT_MS = 300_000  # field/patrol-and-alarms 5, pattern U: uplink down > 5 min

Unsent = tuple[tuple[Reading, ...], ...]
Moved = tuple[Rule, Alarm, Transition, str]  # the alarm after it, and by whom


@dataclass(slots=True)
class Turn:
    state: State
    house: House
    now: Now
    alarms: dict[str, Alarm]
    seq: dict[Lane, int]
    records: list[Record] = field(default_factory=list)
    changed: dict[str, Alarm] = field(default_factory=dict)
    touched: dict[str, None] = field(default_factory=dict)  # alarms that were put, other or not
    replies: list[Reply] = field(default_factory=list)
    troubles: Mapping[str, RuleTrouble] = field(default_factory=dict)
    devices: Mapping[str, DeviceState] = field(default_factory=dict)
    memory: Mapping[str, Memory | tuple[Held, ...]] = field(default_factory=dict)
    pending: Mapping[str, Pending] = field(default_factory=dict)
    silence_due_ms: int | None = None
    reported: tuple[Reading, ...] = ()
    kept: dict[tuple[str, str], Kept] = field(default_factory=dict)
    transitions: list[Moved] = field(default_factory=list)  # as recorded, in their order
    scenes_taken: int = 0  # of `transitions`: those that the drill's timeline knows
    rehearsal: Rehearsal | None = None
    closed: Batch | None = None  # by `close_batch`
    began: State | None = None  # with what; `state` is the same while nothing has replaced it

    def put_alarm(self, alarm: Alarm) -> None:
        """Remember an alarm; one in state N with no sound to keep is forgotten."""
        self.touched[alarm.rule] = None
        if alarm.state is AlarmState.N:
            self.alarms.pop(alarm.rule, None)
        else:
            self.alarms[alarm.rule] = alarm

    def change_alarm(self, alarm: Alarm) -> Alarm:
        """Remember an alarm over a restart too, with nothing to record."""
        self.changed[alarm.rule] = alarm
        self.put_alarm(alarm)
        return alarm

    def record_transition(
        self, rule: Rule, alarm: Alarm, transition: Transition | None, by: str = ""
    ) -> Alarm:
        """Remember the alarm and, where something is to be recorded, number and write it."""
        if transition is None:
            self.put_alarm(alarm)
            return alarm
        lane = Lane.B if rule.severity is Severity.FAULT else Lane.A
        seq = self._next(lane)
        epoch = self.house.sender.epoch
        if transition is Transition.RAISE:
            occurrence = messages.occurrence_id(epoch, lane, seq)
            inhibits = inhibits_of(self.state, self.alarms, rule)
            alarm = replace(
                alarm,
                occurrence=occurrence,
                raised=self.now,
                inhibits=inhibits,
                is_quiet=bool(inhibits),
            )
        body = messages.alarm_body(
            self.house.sender,
            lane,
            seq,
            rule=rule,
            place=self.place_of(rule),
            unit=self.unit_of(rule),
            alarm=alarm,
            tr=transition,
            at=self.now,
            by=by,
        )
        self.records.append(Record(lane, epoch, seq, "alarm", self.now, body))
        self.changed[alarm.rule] = alarm
        self.transitions.append((rule, alarm, transition, by))
        self.put_alarm(alarm)
        return alarm

    def record_fact(
        self, kind: str, fields: Mapping[str, object], mode: Mode = Mode.REAL
    ) -> Record:
        """Number and write a plain fact on lane B; `mode` marks what belongs to a drill or test."""
        seq = self._next(Lane.B)
        sender = self.house.sender
        body = messages.fact_body(
            sender, Lane.B, seq, kind=kind, at=self.now, fields=fields, mode=mode
        )
        record = Record(Lane.B, sender.epoch, seq, kind, self.now, body)
        self.records.append(record)
        return record

    def keep(self, kind: str, key: str, body: str | None) -> None:
        """Have it again after a restart: JSON, or None to forget it."""
        self.kept[kind, key] = Kept(kind, key, body)

    def remember(self, rule: str, memory: Memory | tuple[Held, ...]) -> None:
        """What a rule has to know of earlier readings; lost at a restart."""
        if self.memory is self.state.memory:
            self.memory = dict(self.memory)
        self.memory[rule] = memory  # type: ignore[index] # the copy of this turn

    def put_pending(self, rule: str, pending: Pending | None) -> None:
        """A combined rule waits for a member's delay; None: it no longer does."""
        if self.pending.get(rule) != pending:
            others = {key: kept for key, kept in self.pending.items() if key != rule}
            self.pending = others if pending is None else {**others, rule: pending}

    def close_batch(self) -> None:
        """Number what was read so far as a batch of its own: what follows is read differently."""
        if self.state.unsent:
            self.closed = _batch(self, self.state.unsent)
        self.state = replace(self.state, unsent=(), batch_due_ms=None)

    def play(self, tone: Pattern) -> None:
        """Sound a feedback tone (k1, k2, k3) once, with its lamp's flash."""
        self.state = replace(self.state, tone=tone, tone_since_ms=self.now.mono_ms)

    def place_of(self, rule: Rule) -> str:
        """Where people shall go: the device's place; for a fault of a device, that device's."""
        point = self.house.points.get(rule.point)
        name = point.device if point else rule.id.rsplit("/", 1)[-1]
        device = self.house.devices.get(name)
        return device.place if device else name

    def unit_of(self, rule: Rule) -> str:
        point = self.house.points.get(rule.point)
        return rule.unit(point.unit) if point else ""

    def _next(self, lane: Lane) -> int:
        self.seq[lane] += 1
        return self.seq[lane]


def begin(state: State, now: Now) -> Turn:
    return Turn(
        state=state,
        house=state.house,
        now=now,
        alarms=dict(state.alarms),
        seq=dict(state.seq),
        troubles=state.troubles,
        devices=state.devices,
        memory=state.memory,
        pending=state.pending,
        silence_due_ms=state.silence_due_ms,
        began=state,
    )


def end(turn: Turn, signal_of: Callable[[Turn], Signal], *, is_last: bool) -> tuple[State, Outcome]:
    """Close the turn: number the batch that is due, and say when to wake up next."""
    is_heard = hears_anybody(turn.devices)
    signal, looked = turn.state.signal, _looked_before(turn, is_heard=is_heard)
    if looked is None:
        signal, looked = signal_of(turn), _look_through(turn, is_heard=is_heard)
    unsent, batch_due_ms, batch = _close_batch(turn, is_last=is_last)
    batch = turn.closed or batch
    state = renewed(
        turn.state,
        signal=signal,
        looked=looked,
        alarms=turn.alarms,
        troubles=turn.troubles,
        devices=turn.devices,
        memory=turn.memory,
        pending=turn.pending,
        silence_due_ms=turn.silence_due_ms,
        unsent=unsent,
        batch_due_ms=batch_due_ms,
        seq=turn.seq,
        clk=turn.now.clk,
        next_deadline_ms=_next_deadline(turn, looked, batch_due_ms),
    )
    outcome = Outcome(
        signal=signal,
        records=tuple(turn.records),
        alarms=tuple(turn.changed.values()),
        batch=batch,
        nudges=_nudges(turn),
        replies=tuple(turn.replies),
        kept=tuple(turn.kept.values()),
        rehearsal=turn.rehearsal,
    )
    return state, outcome


def _close_batch(turn: Turn, *, is_last: bool) -> tuple[Unsent, int | None, Batch | None]:
    """Collect reported readings; give out a numbered batch when it is full or its time has come.

    Returns what is unsent now, when it is due, and the batch, if any.
    """
    house, unsent, due = turn.house, turn.state.unsent, turn.state.batch_due_ms
    if turn.reported:
        unsent = (*unsent, turn.reported)
        if due is None:
            is_first = turn.seq[Lane.R] == 0
            wait = FIRST_BATCH_MS if is_first else house.commit_every_ms
            due = turn.now.mono_ms + min(wait, house.commit_every_ms)
    if due is None or turn.closed is not None:
        return unsent, due, None
    count = sum(map(len, unsent))
    is_swept = turn.seq[Lane.R] == 0 and _knows_every_point(turn)
    is_full = count >= house.batch_readings
    if not (is_last or is_swept or is_full or turn.now.mono_ms >= due):
        return unsent, due, None
    return (), None, _batch(turn, unsent)


def _batch(turn: Turn, unsent: Unsent) -> Batch:
    turn.seq[Lane.R] += 1
    readings = tuple(reading for part in unsent for reading in part)
    sender = turn.house.sender
    return Batch(sender.epoch, turn.seq[Lane.R], turn.now, readings, sender.points_hash)


def _knows_every_point(turn: Turn) -> bool:
    return sum(len(device.points) for device in turn.devices.values()) >= len(turn.house.points)


def hears_anybody(devices: Mapping[str, DeviceState]) -> bool:
    """True when some device of a bus is not offline."""
    return any(not device.is_offline and name != OWN_DEVICE for name, device in devices.items())


def _looked_before(turn: Turn, *, is_heard: bool) -> Looked | None:
    """What was found when the state was last looked through, where that is found again.

    So it is with nearly every block, also while delays run: a sample moves none but its own
    alarms. Whatever else may matter (a clock that was set, a night that begins) is found when the
    state is looked through once a second.
    """
    state, looked, mono_ms = turn.state, turn.state.looked, turn.now.mono_ms
    if not (
        state is turn.began
        and mono_ms < looked.until_ms
        and is_heard is looked.is_heard
        and turn.now.clk is state.clk
    ):
        return None
    first = looked.due_ms
    for name in turn.touched:
        before, after = state.alarms.get(name), turn.alarms.get(name)
        if before is after:
            continue
        if not _is_shown_alike(before, after):
            return None
        rule = None if after is None else turn.house.rule(name)
        due = None if after is None or rule is None else alarms.due_ms(rule, after)
        if due is not None and (first is None or due < first):
            first = due
    if first is looked.due_ms:
        return looked
    if first is None or first <= mono_ms:
        return None
    return Looked(min(first, looked.until_ms), first, is_heard)


def _is_shown_alike(before: Alarm | None, after: Alarm | None) -> bool:
    """True when the panel shows and sounds the same: not open, or all that it asks for the same."""
    if before is None or after is None or not (before.state.is_open and after.state.is_open):
        return not any(alarm is not None and alarm.state.is_open for alarm in (before, after))
    return _shown(before) == _shown(after)


def _shown(alarm: Alarm) -> tuple[object, ...]:
    """All of an alarm that `core.shown` and `_look_through` ask for, but its delays."""
    return (
        alarm.state,
        alarm.inhibits,
        alarm.silenced_until_ms,
        alarm.is_silenced_until_new,
        alarm.called_ms,
        alarm.raised,
        alarm.flood,
    )


def _look_through(turn: Turn, *, is_heard: bool) -> Looked:
    """Find the next moment at which something other than a block's own delays happens by itself."""
    state, mono_ms = turn.state, turn.now.mono_ms
    due = [state.ladder_due_ms, state.case_due_ms, flood_ends_ms(state)]
    due.extend(_duties(state))
    due.append(state.patrol_due_ms)
    due.extend(shelving.until_ms for shelving in state.shelved.values())
    later = [state.lamp_test_until_ms]
    if state.link_down_since_ms is not None:
        later.append(state.link_down_since_ms + LINK_DOWN_FAULT_MS)
    has_chirp = state.link_down_since_ms is not None or state.patrol.overdue
    if turn.alarms or has_chirp:  # what night mutes, day lets sound
        turns_in = turns_in_ms(turn.house.quiet_hours, turn.now, turn.house.zone)
        later.append(None if turns_in is None else mono_ms + turns_in)
    for alarm in turn.alarms.values():
        rule = turn.house.rule(alarm.rule)
        if rule is None:
            continue
        due.append(alarms.due_ms(rule, alarm))
        later.append(alarm.silenced_until_ms)
        if rule.severity is Severity.ALARM and alarm.state.is_unacknowledged:
            later.append(sounding_since(state, alarm) + turn.house.escalate_after_ms)
    due.extend(moment for moment in later if moment is not None and moment > mono_ms)
    first = _to_come(turn, due)
    until_ms = mono_ms + LOOK_EVERY_MS
    return Looked(until_ms if first is None else min(first, until_ms), first, is_heard)


def _next_deadline(turn: Turn, looked: Looked, batch_due_ms: int | None) -> int | None:
    """The next moment at which something happens by itself. It is always still to come."""
    first = looked.due_ms
    others = (batch_due_ms, turn.silence_due_ms, *(wait.due_ms for wait in turn.pending.values()))
    for moment in others:
        if moment is not None and (first is None or moment < first):
            first = moment
    if first is None or first > turn.now.mono_ms:
        return first
    return _to_come(turn, (looked.due_ms, *others))


def _to_come(turn: Turn, moments: Iterable[int | None]) -> int | None:
    """The first of these that is still to come.

    One that has passed failed, and is tried again soon. It hides none of the others, and events
    that come meanwhile do not put it off: what raises alarms looks at its delays only then.
    """
    mono_ms, before = turn.now.mono_ms, turn.state.next_deadline_ms
    known = [moment for moment in moments if moment is not None]
    later = [moment for moment in known if moment > mono_ms]
    if len(later) < len(known):
        later.append(mono_ms + TRY_AGAIN_MS)
        if before is not None and before > mono_ms:
            later.append(before)
    return min(later, default=None)


def _duties(state: State) -> Iterator[int | None]:
    """When a drill, a test, a post check or a self-test ends by itself, or the next begins."""
    yield state.drill.until_ms if state.drill is not None else None
    yield state.self_test.until_ms if state.self_test is not None else None
    yield state.night.look_ms if state.night is not None else None
    for test in state.tests.values():
        yield test.until_ms
    for check in state.post_checks.values():
        yield None if check.is_missed else check.until_ms


def sounding_since(state: State, alarm: Alarm) -> int:
    """When it last began to call for people: raised, again, by re-alarm, no longer inhibited.

    On this boot's clock; restored alarms count from the start.
    """
    called = alarm.raised.mono_ms if alarm.called_ms is None and alarm.raised else alarm.called_ms
    return max(state.started_ms, called or 0)


def _nudges(turn: Turn) -> tuple[str, ...]:
    """Points with a pending alarm: the on-delay runs, so their block is wanted within a second.

    Of single rules those whose point this turn has judged: each read of a block puts off its next
    one, and each is judged, so each names them anew.
    """
    found = []
    for name in turn.touched:
        alarm = turn.alarms.get(name)
        if alarm is not None and alarm.over_since_ms is not None and not alarm.is_stale:
            rule = turn.house.rules.get(name)
            if rule is not None:
                found.append(rule.point)
    found.extend(point for wait in turn.pending.values() for point in wait.points)
    return tuple(found)
