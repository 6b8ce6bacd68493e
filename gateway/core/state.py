"""What the decider remembers, and the parts of the site that it needs at hand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gateway.core.faults import rule_of_fault_id
from gateway.core.messages import Sender
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.kept import Kept
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Point
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Lane
from gateway.domain.rules import Rule
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import Device, Site

DARK = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.OFF, Pattern.QUIET, 0)


@dataclass(frozen=True, slots=True)
class House:
    """The site, indexed for judging; never changes while the daemon runs."""

    sender: Sender
    devices: Mapping[str, Device]
    points: Mapping[str, Point]
    rules: Mapping[str, Rule]
    rules_of: Mapping[str, tuple[Rule, ...]]
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

    def rule(self, rule_id: str) -> Rule | None:
        """The site's rule of this id, or the rule behind a fault of the gateway."""
        return self.rules.get(rule_id) or rule_of_fault_id(rule_id)


def house_of(
    site: Site, sender: Sender, software: str, read_within_ms: Mapping[str, int] | None = None
) -> House:
    """Index a site. `read_within_ms` is what `core.detect` planned; without it nobody watches."""
    points = site.points
    rules_of: dict[str, tuple[Rule, ...]] = {}
    for rule in site.rules:
        rules_of[rule.point] = (*rules_of.get(rule.point, ()), rule)
    return House(
        sender=sender,
        devices={device.id: device for device in site.devices},
        points=points,
        rules={rule.id: rule for rule in site.rules},
        rules_of=rules_of,
        limits_of={
            point: tuple(rule.limit for rule in rules if rule.limit is not None)
            for point, rules in rules_of.items()
        },
        alarm_points=frozenset(rules_of),
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
    )


@dataclass(frozen=True, slots=True)
class PointState:
    """The last reading of a point as judged, and what was last reported of it."""

    reading: Reading
    sent: Reading | None = None
    changed_ms: int = 0  # when the value last moved: a frozen value is suspect
    high_mark: float | None = None  # of a counter: a lower value is a reset
    misses: int = 0  # replies missed in a row, for this point alone
    missing_since_ms: int | None = None


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class RuleTrouble:
    """A rule that raised an exception: when, in the last minute."""

    failed_ms: tuple[int, ...]
    is_out_of_service: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """All that deciding needs; replaced piece by piece, never changed in place."""

    house: House
    signal: Signal = DARK
    started_ms: int = 0
    seq: Mapping[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))
    devices: Mapping[str, DeviceState] = field(default_factory=dict)
    alarms: Mapping[str, Alarm] = field(default_factory=dict)  # all that are not in state N
    troubles: Mapping[str, RuleTrouble] = field(default_factory=dict)
    unsent: tuple[tuple[Reading, ...], ...] = ()  # the batch that is being filled
    batch_due_ms: int | None = None
    is_link_up: bool = False
    link_down_since_ms: int | None = None
    link_broker: str = ""
    link_why: str = ""
    is_platform_present: bool = False
    lamp_test_until_ms: int | None = None
    watched_ms: int = 0  # when the age of what rules judge was last looked at
    clk: Clk = Clk.NONE
    next_deadline_ms: int | None = None
    kept: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (kind, key) as at start


def state_of(
    house: House, alarms: Iterable[Alarm], now: Now, *, kept: Iterable[Kept] = ()
) -> State:
    """The state at start: what was open is open again, and no value is known yet.

    A running silence keeps its expiry. Over a reboot that needs a trusted wall clock; without
    one the alarm sounds again, which is the safe side.
    """
    return State(
        house=house,
        started_ms=now.mono_ms,
        alarms={alarm.rule: _woken(alarm, now) for alarm in alarms if alarm.state.is_open},
        clk=now.clk,
        next_deadline_ms=now.mono_ms,
        kept={(each.kind, each.key): each.body for each in kept if each.body is not None},
    )


def _woken(alarm: Alarm, now: Now) -> Alarm:
    alarm = replace(alarm, over_since_ms=None, over_samples=0, clear_since_ms=None, cleared_ms=None)
    silenced = alarm.silenced_at
    if alarm.silenced_until_ms is None or silenced is None or silenced.boot == now.boot:
        return alarm
    if silenced.utc_ms is None or now.utc_ms is None or now.clk not in (Clk.SYNC, Clk.HOLD):
        return replace(alarm, silenced_until_ms=None, silenced_at=None)
    left = alarm.silenced_until_ms - silenced.mono_ms - (now.utc_ms - silenced.utc_ms)
    return replace(alarm, silenced_until_ms=now.mono_ms + left if left > 0 else None)


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
