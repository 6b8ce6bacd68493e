"""What the decider remembers, and the parts of the site that it needs at hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from math import inf

from gateway.core.case_data import KEPT_CASE, KEPT_EVIDENCE, cases_of
from gateway.core.conditions import Held, How, Memory, how_of, needs_memory
from gateway.core.faults import rule_of_fault_id
from gateway.core.life_data import noise_from, out_of_service_from, shelved_from
from gateway.core.messages import Sender
from gateway.core.patrol_state import PatrolState
from gateway.core.trail import Trail, spacing_ms
from gateway.domain.acceptance import Accepting
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.cases import Case, ReceiptLevel
from gateway.domain.dues import Dues
from gateway.domain.escalation import Climb, Escalation
from gateway.domain.events import BlockRead
from gateway.domain.inhibits import OutOfService, Shelving
from gateway.domain.kept import Kept
from gateway.domain.leakage import Baseline, Likeness
from gateway.domain.light import light
from gateway.domain.modes import Drill, Mode, PointTest, PostCheck, SelfTest, parted, twin_id
from gateway.domain.moments import Clk, Now, rebased
from gateway.domain.noise import Noise
from gateway.domain.patrol import Patrol
from gateway.domain.people import Person
from gateway.domain.points import Gate, Point, Table
from gateway.domain.readings import Quality, Reading, Value
from gateway.domain.records import Lane
from gateway.domain.rules import (
    Above,
    AllOf,
    AnyOf,
    Below,
    Is,
    Member,
    Rule,
    Severity,
    Silent,
    levels_of,
    members_of,
)
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import Device, Due, QuietHours, Site

FAULT_SILENCE_MS = 12 * 3_600_000  # field/patrol-and-alarms 5, pattern F

DARK = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.OFF, Pattern.QUIET, 0)


@dataclass(frozen=True, slots=True)
class Combined:
    """A rule over several points, taken apart for judging."""

    rule: Rule
    condition: AllOf | AnyOf
    members: tuple[Member, ...]


@light
class Hearing:
    """What taking in a reading of one point needs to know of it."""

    point: Point
    is_plain: bool  # a good reading is believed as it comes: no gate, no counter, nothing else
    is_judged: bool  # by any rule
    limits: tuple[float, ...]  # of its rules


@light
class Bounds:
    """What the rules on one point, taken together, leave alone.

    A good number from `low` to `high` is over none of the `plain` rules, each of which is a limit.
    """

    low: float
    high: float
    plain: tuple[str, ...]
    others: tuple[Rule, ...]  # every rule that is no plain one


@dataclass(frozen=True, slots=True)
class House:
    """The site, indexed for judging; only a reload of the site file puts another in its place."""

    site: Site  # with the device `gateway`
    sender: Sender
    devices: Mapping[str, Device]
    points: Mapping[str, Point]
    rules: Mapping[str, Rule]
    rules_of: Mapping[str, tuple[Rule, ...]]
    bounds: Mapping[str, Bounds]  # by point that has a plain rule
    remembering: Mapping[str, How]  # rules that one reading alone does not decide
    combined: Mapping[str, Combined]  # by rule
    combined_of: Mapping[str, tuple[Combined, ...]]  # by each point that they look at
    silences: tuple[tuple[Rule, int], ...]  # rules on silence, and after how many ms
    dues: tuple[tuple[str, Due, str], ...]  # device, what falls due, its last good day
    residuals: Mapping[str, tuple[str, ...]]  # device -> its residual currents
    loads: Mapping[str, tuple[str, ...]]  # device -> its currents
    hearing: Mapping[str, Hearing]  # by point
    gates_told: frozenset[str]  # points whose gate has rules of its own for every fault it tells
    limits_of: Mapping[str, tuple[float, ...]]
    alarm_points: frozenset[str]
    fastest_ms: Mapping[str, int]  # device -> its shortest period
    devices_on: Mapping[str, tuple[str, ...]]  # bus -> its devices
    read_within_ms: Mapping[str, int]  # rule -> how old the last read of its point may be
    silence_ms: int
    escalate_after_ms: int
    offline_after_misses: int
    commit_every_ms: int
    batch_readings: int
    software: str
    site_sha: str
    case_points: Mapping[str, frozenset[str]]  # device -> points whose minutes are evidence
    trail_spacing_ms: int
    opens_case: frozenset[Severity]
    receipt_within_ms: int  # 0 = no receipt is waited for
    receipt_level: ReceiptLevel
    quiet_hours: QuietHours | None = None
    zone: tzinfo | None = None  # None: not known, so it is never night
    has_white: bool = False
    escalation: Escalation = field(default_factory=Escalation)
    post_check_ms: int = 300_000  # to answer one that the gateway asks by itself
    has_nightly_self_test: bool = False
    has_uplink: bool = False
    patrol: Patrol = field(default_factory=Patrol)
    people: Mapping[str, Person] = field(default_factory=dict)  # by code
    patrol_seed: str = ""  # of the challenges; nobody in the house can know it

    def silence_of(self, severity: Severity) -> int | None:
        """How long a silence lasts in ms; None = until the next new one (a warning's)."""
        match severity:
            case Severity.ALARM:
                return self.silence_ms
            case Severity.FAULT:
                return FAULT_SILENCE_MS
            case _:
                return None

    def rule(self, rule_id: str) -> Rule | None:
        """The site's rule of this id, one's twin for practice, or a fault of the gateway's."""
        return self.rules.get(rule_id) or rule_of_fault_id(rule_id) or self._twin(rule_id)

    def _twin(self, rule_id: str) -> Rule | None:
        mode, name = parted(rule_id)
        rule = None if mode is Mode.REAL else self.rules.get(name)
        return None if rule is None else twin(rule, mode)


def twin(rule: Rule, mode: Mode) -> Rule:
    """The rule under which a drill's or a test's alarm lives."""
    return replace(rule, id=twin_id(rule.id, mode))


def house_of(
    site: Site,
    sender: Sender,
    software: str,
    read_within_ms: Mapping[str, int] | None = None,
    *,
    zone: tzinfo | None = None,
    patrol_seed: str = "",
) -> House:
    """Index a site. `read_within_ms` is what `core.detect` planned; without it nobody watches.

    `zone` is the site's time zone; without it there is no night and no round.
    `patrol_seed` is random, for the challenges of rounds.
    """
    points = site.points
    opens_case = frozenset(
        (Severity.ALARM, Severity.WARNING) if site.has_warning_cases else (Severity.ALARM,)
    )
    case_points = _case_points(site, opens_case)
    rules_of: dict[str, tuple[Rule, ...]] = {}
    limits_of: dict[str, tuple[float, ...]] = {}
    combined: dict[str, Combined] = {}
    combined_of: dict[str, tuple[Combined, ...]] = {}
    for rule in site.rules:
        for point, limit in levels_of(rule):
            limits_of[point] = (*limits_of.get(point, ()), limit)
        if isinstance(rule.condition, AllOf | AnyOf):
            made = Combined(rule, rule.condition, members_of(rule.condition))
            combined[rule.id] = made
            for point in dict.fromkeys(member.point for member in made.members):
                combined_of[point] = (*combined_of.get(point, ()), made)
        else:
            rules_of[rule.point] = (*rules_of.get(rule.point, ()), rule)
    return House(
        site=site,
        sender=sender,
        devices={device.id: device for device in site.devices},
        points=points,
        rules={rule.id: rule for rule in site.rules},
        rules_of=rules_of,
        bounds={
            point: bounds for point, rules in rules_of.items() if (bounds := bounds_of(rules)).plain
        },
        remembering={
            rule.id: how for rule in site.rules if needs_memory(rule.condition, how := how_of(rule))
        },
        combined=combined,
        combined_of=combined_of,
        silences=tuple(
            (rule, rule.condition.after_ms)
            for rule in site.rules
            if isinstance(rule.condition, Silent)
        ),
        dues=tuple((d.id, due, day) for d in site.devices for due, day in d.dues.items()),
        residuals=_of_kind(site, "residual_current"),
        loads=_of_kind(site, "current"),
        hearing={
            point.id: Hearing(
                point,
                is_plain=(
                    point.gate is None
                    and point.stuck_after_ms is None
                    and not (point.identity or point.is_counter)
                ),
                is_judged=point.id in rules_of or point.id in combined_of,
                limits=limits_of.get(point.id, ()),
            )
            for point in points.values()
        },
        gates_told=frozenset(
            p.id for d in site.devices for p in d.points if p.gate and _is_told(p.gate, d, rules_of)
        ),
        limits_of=limits_of,
        alarm_points=frozenset(point for rule in site.rules for point in rule.points),
        fastest_ms={
            device.id: min((point.period_ms for point in device.points), default=1_000)
            for device in site.devices
        },
        devices_on={
            bus.id: tuple(device.id for device in site.devices if device.bus == bus.id)
            for bus in site.buses
        },
        read_within_ms=read_within_ms or {},
        silence_ms=site.silence_ms,
        escalate_after_ms=site.escalate_after_ms,
        offline_after_misses=site.offline_after_misses,
        commit_every_ms=site.store.commit_every_ms,
        batch_readings=site.store.batch_readings,
        software=software,
        site_sha=site.sha,
        case_points=case_points,
        trail_spacing_ms=spacing_ms(sum(map(len, case_points.values()))),
        opens_case=opens_case,
        receipt_within_ms=site.uplink.receipt_within_ms if site.uplink else 0,
        receipt_level=site.uplink.receipt_level if site.uplink else ReceiptLevel.SENT,
        quiet_hours=site.quiet_hours,
        zone=zone,
        has_white=site.panel.white is not None,
        escalation=site.escalation,
        post_check_ms=site.post_checks.within_ms,
        has_nightly_self_test=site.self_test_minute is not None,
        has_uplink=site.uplink is not None,
        patrol=site.patrol,
        people=site.people,
        patrol_seed=patrol_seed,
    )


def bounds_of(rules: Sequence[Rule]) -> Bounds:
    """Put the plain limits of a point's rules together."""
    plain: list[str] = []
    others: list[Rule] = []
    low, high = -inf, inf
    for rule in rules:
        match rule.condition:
            case Above(limit=limit) if not needs_memory(rule.condition, how_of(rule)):
                high = min(high, limit)
                plain.append(rule.id)
            case Below(limit=limit) if not needs_memory(rule.condition, how_of(rule)):
                low = max(low, limit)
                plain.append(rule.id)
            case _:
                others.append(rule)
    return Bounds(low, high, tuple(plain), tuple(others))


def _case_points(site: Site, severities: frozenset[Severity]) -> dict[str, frozenset[str]]:
    """Of each device the points that a rule of these severities looks at."""
    known = site.points
    found: dict[str, frozenset[str]] = {}
    for rule in site.rules:
        for name in rule.points if rule.severity in severities else ():
            if name in known:
                device = known[name].device
                found[device] = found.get(device, frozenset()) | {name}
    return found


def _of_kind(site: Site, kind: str) -> dict[str, tuple[str, ...]]:
    found = {d.id: tuple(p.id for p in d.points if p.kind == kind) for d in site.devices}
    return {device: points for device, points in found.items() if points}


def _is_told(gate: Gate, device: Device, rules_of: Mapping[str, tuple[Rule, ...]]) -> bool:
    """Whether a rule raises a fault for everything by which the gate makes a reading one."""
    by = next((point for point in device.points if point.name == gate.point), None)
    if by is None:
        return False
    told = _fault_values(rules_of.get(by.id, ()))
    told_bits = {
        point.encoding.bit
        for point in device.points
        if (point.table, point.at) == (by.table, by.at)
        if 1 in _fault_values(rules_of.get(point.id, ()))
    }
    wanted = {value for value, quality in gate.qualities.items() if quality is Quality.FAULT}
    bits = {bit for bit, quality in gate.bits.items() if quality is Quality.FAULT}
    return gate.otherwise is not Quality.FAULT and wanted <= told and bits <= told_bits


def _fault_values(rules: Iterable[Rule]) -> set[Value]:
    return {
        value
        for rule in rules
        if rule.severity is Severity.FAULT and isinstance(rule.condition, Is)
        for value in rule.condition.values
    }


@light
class PointState:
    """The last reading of a point as judged, and what was last reported of it."""

    reading: Reading
    sent: Reading | None = None
    changed_ms: int = 0  # when the value last moved: a frozen value is suspect
    high_mark: float | None = None  # of a counter: a lower value is a reset
    misses: int = 0  # replies missed in a row, for this point alone
    missing_since_ms: int | None = None
    good_ms: int | None = None  # when it last gave a value that may be judged


@light
class DeviceState:
    points: Mapping[str, PointState] = field(default_factory=dict)
    misses: int = 0  # replies missed in a row
    missing_since_ms: int | None = None
    is_offline: bool = False
    is_silent: bool = False  # offline because it was asked and did not answer
    answered_ms: int | None = None
    refused: frozenset[str] = frozenset()  # points that it answers with a Modbus exception
    unanswered: frozenset[str] = frozenset()  # points that it leaves out while others come
    invalid: frozenset[str] = frozenset()  # points whose words make no sense
    is_wrong: bool = False  # it says itself that it is another device
    trails: Mapping[str, Trail] = field(default_factory=dict)  # of points that may open a case
    replies: Mapping[tuple[Table, int], BlockRead] = field(default_factory=dict)  # newest ones


UNHEARD = DeviceState()


def answering(device: DeviceState, mono_ms: int) -> DeviceState:
    """The device as one that has just answered."""
    return DeviceState(
        device.points,
        0,
        None,
        is_offline=False,
        is_silent=False,
        answered_ms=mono_ms,
        refused=device.refused,
        unanswered=device.unanswered,
        invalid=device.invalid,
        is_wrong=device.is_wrong,
        trails=device.trails,
        replies=device.replies,
    )


def with_points(
    device: DeviceState,
    points: Mapping[str, PointState],
    trails: Mapping[str, Trail] | None = None,
    replies: Mapping[tuple[Table, int], BlockRead] | None = None,
) -> DeviceState:
    """The device with other points and evidence: `dataclasses.replace` takes far longer."""
    return DeviceState(
        points,
        device.misses,
        device.missing_since_ms,
        device.is_offline,
        device.is_silent,
        device.answered_ms,
        device.refused,
        device.unanswered,
        device.invalid,
        device.is_wrong,
        device.trails if trails is None else trails,
        device.replies if replies is None else replies,
    )


@dataclass(frozen=True, slots=True)
class RuleTrouble:
    """A rule that raised an exception: when, in the last minute."""

    failed_ms: tuple[int, ...]
    is_out_of_service: bool = False


@dataclass(frozen=True, slots=True)
class Night:
    """What is still to come of one night's plan, in UTC ms; `look_ms` (mono): when to look."""

    night: str
    until_ms: int
    self_test_ms: int | None
    post_checks_ms: tuple[int, ...]
    look_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A combined rule with a member that is over: when it has held, and what is read meanwhile."""

    due_ms: int | None
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found when the whole state was last looked through.

    `due_ms`: the first moment at which any of it has something to do by itself. Until `until_ms`
    it need not be looked through again, unless a piece of it is another one.
    """

    until_ms: int = 0
    due_ms: int | None = None
    is_heard: bool = False  # some device answers


@dataclass(frozen=True)  # no slots: `renewed` copies it whole
class State:
    """All that deciding needs; replaced piece by piece, never changed in place."""

    house: House
    signal: Signal = DARK
    started_ms: int = 0
    joined_ms: Mapping[str, int] = field(default_factory=dict)  # devices that a reload brought
    seq: Mapping[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))
    devices: Mapping[str, DeviceState] = field(default_factory=dict)
    alarms: Mapping[str, Alarm] = field(default_factory=dict)  # all that are not in state N
    troubles: Mapping[str, RuleTrouble] = field(default_factory=dict)
    memory: Mapping[str, Memory | tuple[Held, ...]] = field(default_factory=dict)  # by rule
    pending: Mapping[str, Pending] = field(default_factory=dict)  # by combined rule
    resets_told: Mapping[str, int] = field(default_factory=dict)  # by counter: mono ms, the last
    silence_due_ms: int | None = None  # not later than the first silence that is too long
    dues: Dues = field(default_factory=Dues)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)  # by point
    likenesses: Mapping[str, Likeness] = field(default_factory=dict)  # by point
    unsent: tuple[tuple[Reading, ...], ...] = ()  # the batch that is being filled
    batch_due_ms: int | None = None
    is_link_up: bool = False
    link_down_since_ms: int | None = None
    link_broker: str = ""
    link_why: str = ""
    is_platform_present: bool = False
    lamp_test_until_ms: int | None = None
    silenced: frozenset[Pattern] = frozenset()  # U and R, until what they tell of is over
    tone: Pattern = Pattern.QUIET  # the last feedback
    tone_since_ms: int = 0
    watch_due_ms: int = 0  # when to look next at the age of what rules judge
    cases: Mapping[str, Case] = field(default_factory=dict)  # open ones, by occurrence
    case_due_ms: int | None = None  # when one of them has something to do by itself
    clk: Clk = Clk.NONE
    next_deadline_ms: int | None = None
    looked: Looked = field(default_factory=Looked)
    kept: Mapping[tuple[str, str], str] = field(default_factory=dict)  # as at start, without cases
    heads: Mapping[Lane, str] = field(default_factory=dict)  # of the record chains, as at start
    shelved: Mapping[str, Shelving] = field(default_factory=dict)  # by rule
    unshelved: tuple[Kept, ...] = ()  # ended while the daemon was down, to be recorded
    out_of_service: Mapping[str, OutOfService] = field(default_factory=dict)  # by subject
    noise: Noise = field(default_factory=Noise)
    climbs: Mapping[str, Climb] = field(default_factory=dict)  # by rule, while its alarm is open
    ladder_due_ms: int | None = None
    drill: Drill | None = None
    tests: Mapping[str, PointTest] = field(default_factory=dict)  # by point
    post_checks: Mapping[str, PostCheck] = field(default_factory=dict)  # asked or missed
    asked_ids: tuple[str, ...] = ()  # of the latest post checks: a command may come twice
    night: Night | None = None
    self_test: SelfTest | None = None  # under way
    self_tested_ms: int | None = None  # mono; when the last one began
    self_test_cut: str | None = None  # who had asked for the one that a restart cut off
    accepting: Accepting = field(default_factory=Accepting)
    patrol: PatrolState = field(default_factory=PatrolState)
    patrol_due_ms: int | None = None  # when to look at the rounds; None where there are none


def renewed(state: State, **pieces: object) -> State:
    """`dataclasses.replace`, which goes field by field, for what is made anew with every event."""
    new = object.__new__(State)
    vars(new).update(vars(state), **pieces)
    return new


def state_of(
    house: House,
    alarms: Iterable[Alarm],
    now: Now,
    *,
    kept: Iterable[Kept] = (),
    heads: Mapping[Lane, str] | None = None,
) -> State:
    """The state at start: what was open is open again, and no value is known yet.

    A running silence keeps its expiry. Over a reboot that needs a trusted wall clock; without
    one the alarm sounds again, which is the safe side.
    """
    kept = tuple(kept)
    shelved, unshelved = shelved_from(kept, now)
    return State(
        house=house,
        started_ms=now.mono_ms,
        alarms={alarm.rule: _woken(alarm, now) for alarm in alarms if alarm.state.is_open},
        clk=now.clk,
        silence_due_ms=min((now.mono_ms + after for _, after in house.silences), default=None),
        cases=cases_of(kept),
        case_due_ms=now.mono_ms,
        next_deadline_ms=now.mono_ms,
        shelved=shelved,
        unshelved=unshelved,
        out_of_service=out_of_service_from(kept),
        noise=noise_from(kept, now),
        kept={
            (each.kind, each.key): each.body
            for each in kept
            if each.body is not None and each.kind not in (KEPT_CASE, KEPT_EVIDENCE)
        },
        heads=heads or {},
    )


def _woken(alarm: Alarm, now: Now) -> Alarm:
    """As it was before the restart, as far as this boot's clock can tell."""
    return _resilenced(_same_boot_or_not(judged_anew(alarm, now), now), now)


def judged_anew(alarm: Alarm, now: Now) -> Alarm:
    """As it was, but nothing that was measured: delays begin anew, no value is known."""
    return replace(
        alarm,
        over_since_ms=None,
        over_samples=0,
        clear_since_ms=None,
        cleared_ms=None,
        is_normal=False,
        calm_since_ms=now.mono_ms if alarm.chatter and alarm.state.is_active else None,
    )


def _same_boot_or_not(alarm: Alarm, now: Now) -> Alarm:
    """Moments of another boot's clock mean nothing, unless the wall clock can carry them over."""
    if alarm.raised is None or alarm.raised.boot == now.boot:
        return alarm
    acked_ms = alarm.acked_ms
    if acked_ms is not None:
        acked = rebased(alarm.acked or alarm.raised, now)
        acked_ms = now.mono_ms if acked is None else acked.mono_ms
    return replace(alarm, onset_ms=None, called_ms=now.mono_ms, acked_ms=acked_ms)


def _resilenced(alarm: Alarm, now: Now) -> Alarm:
    if alarm.silenced_until_ms is None or alarm.silenced_at is None:
        return alarm
    at = rebased(alarm.silenced_at, now)
    if at is None:
        return replace(alarm, silenced_until_ms=None, silenced_at=None, silenced_by="")
    until = alarm.silenced_until_ms - alarm.silenced_at.mono_ms + at.mono_ms
    return replace(alarm, silenced_until_ms=until, silenced_at=at)


def known_since_ms(state: State, device: str) -> int:
    """Since when this device is read, in mono ms: the start, or the reload that brought it."""
    return state.joined_ms.get(device, state.started_ms)


def quality_now(point: Point, known: PointState | None, mono_ms: int) -> Reading:
    """The reading as it may be shown at this moment: too old a value is no longer good."""
    if known is None:
        return Reading(point.id, None, Quality.OFFLINE, mono_ms, "not_read_yet")
    if mono_ms - known.reading.mono_ms > point.max_age_ms:
        return replace(known.reading, quality=Quality.OFFLINE, reason="stale")
    return known.reading


def open_alarms(state: State) -> tuple[Alarm, ...]:
    """Raised and not over, oldest first."""
    found = [alarm for alarm in state.alarms.values() if alarm.state is not AlarmState.P]
    return tuple(sorted(found, key=lambda alarm: alarm.raised.mono_ms if alarm.raised else 0))


def shown_readings(state: State, mono_ms: int) -> tuple[Reading, ...]:
    """Every point as it may be shown at this moment, in the order of the site."""
    found: list[Reading] = []
    for device in state.house.devices.values():
        known = state.devices.get(device.id)
        points = known.points if known else {}
        found.extend(quality_now(point, points.get(point.id), mono_ms) for point in device.points)
    return tuple(found)
