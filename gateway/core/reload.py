"""A new site file in a running daemon: what differs, and what of the state goes on.

    change = difference(old, new)       # which buses rest, start, end; what needs a restart
    SiteChanged(house) -> change_site   # in the decider, between two blocks

Everything that is the same in both goes on as if nothing had happened: values, delays, alarms,
memory. An open alarm whose rule or point changed stays open and sounds on; what was measured for
it begins anew, as at a start. One whose rule is gone is let go, on the record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from gateway.core import alarms
from gateway.core.aside import aside
from gateway.core.dictionary import note_dictionary
from gateway.core.dues import look_anew
from gateway.core.faults import fault_rule, rule_of_fault_id
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.people import answer, refuse
from gateway.core.practice import end_what_is_gone
from gateway.core.starting import (
    OF_BUS,
    OF_DEVICE,
    OF_ROUNDS,
    drop_alarm,
    has_identity,
    hear_as_alarm,
    is_bus_unasked,
    is_schedule_gone,
)
from gateway.core.state import DeviceState, House, Looked, judged_anew
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.events import SiteChanged
from gateway.domain.modes import parted
from gateway.domain.points import Point
from gateway.domain.rules import Rule
from gateway.domain.site import Bus, Device, Site

Part = TypeVar("Part", Bus, Device, Rule)

HOUSE = fields(House)
OF_POINTS = frozenset({"device_refuses", "points_unanswered", "readings_invalid"})
OF_RULE = frozenset({"rule_failed", "rule_out_of_service"})


@dataclass(frozen=True, slots=True)
class Difference:
    """What a new site file asks of those who work by the old one; buses by their names."""

    restart_for: tuple[str, ...] = ()  # keys of the site file that only a restart takes over
    gone: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()  # also those whose line is another one now
    replanned: frozenset[str] = frozenset()  # the line is the same, what is read on it is not
    has_uplink_changed: bool = False

    @property
    def resting(self) -> frozenset[str]:
        """Buses that ask nothing while the house changes."""
        return self.gone | self.new | self.replanned


def shared(old: Site, new: Site) -> Site:
    """The new site out of the old one's objects wherever they are equal.

    Whoever goes on works by the old ones: there would be two houses in memory, and the room that
    the second one left behind when it went.
    """
    return replace(
        new,
        buses=_shared(old.buses, new.buses),
        devices=_shared(old.devices, new.devices),
        rules=_shared(old.rules, new.rules),
    )


def _shared(old: tuple[Part, ...], new: tuple[Part, ...]) -> tuple[Part, ...]:
    known = {part.id: part for part in old}
    return tuple(known[part.id] if known.get(part.id) == part else part for part in new)


def kept(old: House, new: House) -> House:
    """The new house out of the old one's objects wherever they are equal, as `shared`."""
    parts = {each.name: _kept(getattr(old, each.name), getattr(new, each.name)) for each in HOUSE}
    index = _kept(old.sender.point_index, new.sender.point_index)
    parts["sender"] = replace(new.sender, point_index=index)
    parts["site"] = shared(old.site, new.site)
    return replace(new, **parts)


def _kept(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if old == new and list(old) == list(new):  # what is shown and sent has an order
            return old
        names = {name: name for name in old}
        return {
            names.get(name, name): _kept(old[name], value) if name in names else value
            for name, value in new.items()
        }
    return old if type(old) is type(new) and old == new else new


def difference(old: Site, new: Site) -> Difference:
    """Compare two site files by what they ask of the daemon."""
    before = {bus.id: bus for bus in old.buses}
    after = {bus.id: bus for bus in new.buses}
    same = {name for name in before.keys() & after.keys() if before[name] == after[name]}
    asked_before, asked_after = _by_bus(old), _by_bus(new)
    return Difference(
        restart_for=tuple(_restart_for(old, new)),
        gone=frozenset(before.keys() - same),
        new=frozenset(after.keys() - same),
        replanned=frozenset(
            name for name in same if not _asks_alike(asked_before[name], asked_after[name])
        ),
        has_uplink_changed=old.uplink != new.uplink,
    )


def _restart_for(old: Site, new: Site) -> Iterator[str]:
    """Who the gateway is, where it keeps its records, and which pins it drives."""
    if old.id != new.id:
        yield "site.id"
    if old.store.directory != new.store.directory:
        yield "store.directory"
    if (old.uplink and old.uplink.gateway) != (new.uplink and new.uplink.gateway):
        yield "uplink.gateway"
    if (old.panel, old.patterns) != (new.panel, new.patterns):
        yield "panel"


def _by_bus(site: Site) -> dict[str, list[Device]]:
    found: dict[str, list[Device]] = {bus.id: [] for bus in site.buses}
    for device in site.devices:
        found[device.bus].append(device)
    return found


def _asks_alike(before: list[Device], after: list[Device]) -> bool:
    return len(before) == len(after) and all(
        one is other or _as_asked(one) == _as_asked(other)
        for one, other in zip(before, after, strict=True)
    )


def _as_asked(device: Device) -> Device:
    """What is only shown to people makes no difference."""
    points = tuple(replace(point, label="") for point in device.points)
    return replace(device, place="", owner="", name="", maker="", model="", dues={}, points=points)


def change_site(turn: Turn, event: SiteChanged) -> Turn:
    """Go on in the new house; a mistake on the way leaves the old one, as if nothing was asked."""
    trial = replace(
        turn,
        alarms=dict(turn.alarms),
        seq=dict(turn.seq),
        records=list(turn.records),
        changed=dict(turn.changed),
        touched=dict(turn.touched),
        replies=list(turn.replies),
        kept=dict(turn.kept),
        transitions=list(turn.transitions),
    )
    try:
        _take_site(trial, event)
    except Exception as error:  # noqa: BLE001 - design 10: a file that cannot be taken changes nothing
        raise_fault(turn, "function_failed", "reload", f"{type(error).__name__}: {error}")
        refuse(turn, event.reply_to, "reload_failed")
        return turn
    clear_fault(trial, "function_failed", "reload")
    answer(trial, event.reply_to, done=1)
    return trial


def _take_site(turn: Turn, event: SiteChanged) -> None:
    """What was read so far is a batch under the old house's dictionary."""
    old, new = turn.house, event.house
    if not isinstance(new, House):
        raise TypeError("a house, indexed by core.state.house_of")
    same_points = frozenset(_same_points(old, new))
    same_rules = frozenset(
        rule.id
        for rule in new.rules.values()
        if old.rules.get(rule.id) == rule and same_points.issuperset(rule.points)
    )
    turn.close_batch()
    turn.record_fact("site_changed", {"cfg": new.site_sha, "was": old.site_sha})
    _enter(turn, new, same_points, same_rules)
    for device in old.devices:
        _end_faults_of_points(turn, device, old)
    for alarm in list(turn.alarms.values()):
        _carry_alarm(turn, alarm, same_rules)
    end_what_is_gone(turn)
    look_anew(turn)
    aside(turn, "dictionary", note_dictionary, turn)


def _enter(turn: Turn, new: House, same_points: frozenset[str], same_rules: frozenset[str]) -> None:
    """Put the new house in place, with everything that is still about the same things."""
    old, state, now_ms = turn.house, turn.state, turn.now.mono_ms
    turn.house = new
    turn.devices = _carried_devices(old, new, turn.devices, same_points)
    turn.memory = {rule: known for rule, known in turn.memory.items() if rule in same_rules}
    turn.pending = {rule: wait for rule, wait in turn.pending.items() if rule in same_rules}
    turn.troubles = {rule: known for rule, known in turn.troubles.items() if rule in same_rules}
    turn.silence_due_ms = now_ms if new.silences else None
    joined = {
        device: state.joined_ms[device] if _is_same_place(old, new, device) else now_ms
        for device in new.devices
        if device in state.joined_ms or not _is_same_place(old, new, device)
    }
    turn.state = replace(state, house=new, joined_ms=joined, watch_due_ms=now_ms, looked=Looked())


def _same_points(old: House, new: House) -> Iterator[str]:
    """Points whose words are the same words, and mean the same."""
    for name, point in new.points.items():
        before = old.points.get(name)
        if before is None or not _is_same_place(old, new, point.device):
            continue
        if before == point or _meaning(before, point) == point:
            yield name


def _is_same_place(old: House, new: House, name: str) -> bool:
    """Whether this name means the same device, at the same address of the same line."""
    before, after = old.devices.get(name), new.devices.get(name)
    if before is None or after is None:
        return False
    is_same = (before.bus, before.unit, before.profile) == (after.bus, after.unit, after.profile)
    return is_same and _bus_of(old, before.bus) == _bus_of(new, after.bus)


def _bus_of(house: House, name: str) -> Bus | None:
    return next((bus for bus in house.site.buses if bus.id == name), None)


def _meaning(before: Point, after: Point) -> Point:
    """The point as it was, with how often it is read and told and how it is called as it is."""
    return replace(
        before,
        label=after.label,
        period_ms=after.period_ms,
        deadband=after.deadband,
        heartbeat_ms=after.heartbeat_ms,
        max_age_ms=after.max_age_ms,
        stuck_after_ms=after.stuck_after_ms,
        response_ms=after.response_ms,
        is_alarm_class=after.is_alarm_class,
    )


def _carried_devices(
    old: House, new: House, known: Mapping[str, DeviceState], same_points: frozenset[str]
) -> dict[str, DeviceState]:
    """What is known of the devices that are still there; a changed point is not known yet."""
    return {
        name: state if old.devices[name] == new.devices[name] else _carried(state, same_points)
        for name, state in known.items()
        if _is_same_place(old, new, name)
    }


def _carried(state: DeviceState, same_points: frozenset[str]) -> DeviceState:
    points = {name: known for name, known in state.points.items() if name in same_points}
    return replace(
        state,
        points=points,
        refused=state.refused & points.keys(),
        unanswered=state.unanswered & points.keys(),
        invalid=state.invalid & points.keys(),
        trails={name: trail for name, trail in state.trails.items() if name in points},
        replies={},  # raw words of blocks that may be cut differently now
    )


def _end_faults_of_points(turn: Turn, device: str, old: House) -> None:
    """A fault that was about points which are no longer there, or are others now."""
    known = turn.devices.get(device, DeviceState())
    if known.is_wrong and not any(p.identity for p in turn.house.devices[device].points):
        turn.devices = {**turn.devices, device: replace(known, is_wrong=False)}
        clear_fault(turn, "wrong_device", device)
    if old.devices[device] == turn.house.devices.get(device):
        return
    left = {
        "device_refuses": known.refused,
        "points_unanswered": known.unanswered,
        "readings_invalid": known.invalid,
    }
    for code, points in left.items():
        if not points:
            clear_fault(turn, code, device)


def _carry_alarm(turn: Turn, alarm: Alarm, same_rules: frozenset[str]) -> None:
    """Leave it, let its delays begin anew, or let it go with its rule."""
    fault = rule_of_fault_id(alarm.rule)
    if fault is not None:
        if alarm.state.is_active and _is_over(turn.house, alarm.rule, same_rules):
            _, code, subject = alarm.rule.split("/", 2)
            rule = fault_rule(code, subject)
            turn.record_transition(rule, *alarms.clear(rule, alarm, turn.now.mono_ms))
    elif turn.house.rule(alarm.rule) is None:
        drop_alarm(turn, alarm)
    elif parted(alarm.rule)[1] in same_rules:
        return
    elif alarm.state is AlarmState.P:
        turn.alarms.pop(alarm.rule)
    else:
        hear_as_alarm(turn, judged_anew(alarm, turn.now))


def _is_over(house: House, rule_id: str, same_rules: frozenset[str]) -> bool:
    """A fault of the gateway's about something that is no longer there."""
    _, code, subject = rule_id.split("/", 2)
    return (
        (code in OF_DEVICE | OF_POINTS and subject not in house.devices)
        or (code == "wrong_device" and not has_identity(house, subject))
        or (code in OF_BUS | {"foreign_master"} and is_bus_unasked(house, subject))
        or (code in OF_ROUNDS and is_schedule_gone(house, subject))
        or (code in OF_RULE and subject not in same_rules)
        or (code == "residual_ct" and subject not in house.residuals)
        or (code == "task_failed" and _is_bus_gone(house, subject))
    )


def _is_bus_gone(house: House, task: str) -> bool:
    verb, _, bus = task.partition(" ")
    return verb == "poll" and bus not in house.devices_on
