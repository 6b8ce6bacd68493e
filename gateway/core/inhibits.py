"""Why an alarm is not called out: shelved, suppressed by its parent fault, or out of service."""

from collections.abc import Iterator, Mapping

from gateway.core.faults import fault_id
from gateway.core.state import House, State
from gateway.domain.alarms import Alarm, AlarmState, Inhibit
from gateway.domain.modes import Mode, mode_of
from gateway.domain.rules import Rule, Severity

OF_BUS = ("bus_down", "bus_silent")
OF_DEVICE = "device_silent"


def inhibits_of(state: State, alarms: Mapping[str, Alarm], rule: Rule) -> tuple[Inhibit, ...]:
    """Everything that keeps this rule's alarm quiet now; practice is never inhibited."""
    if mode_of(rule.id) is not Mode.REAL:
        return ()
    found = []
    is_shelved = rule.id in state.shelved  # an alarm never is: the rule was less when that was done
    if is_shelved and rule.severity is not Severity.ALARM:
        found.append(Inhibit.SHELVED)
    if rule.severity is Severity.FAULT and parent_of(state.house, alarms, rule):
        found.append(Inhibit.SUPPRESSED)
    if state.out_of_service and out_of_service_by(state, rule):
        found.append(Inhibit.OUT_OF_SERVICE)
    return tuple(found)


def parent_of(house: House, alarms: Mapping[str, Alarm], rule: Rule) -> str:
    """The active fault that says what this fault says, or an empty text.

    A bus that is down or silent stands for its devices' faults, a silent device for the faults
    of its points.
    """
    if rule.severity is not Severity.FAULT:
        return ""
    for parent in _parents(house, rule):
        alarm = alarms.get(parent)
        if parent != rule.id and alarm is not None and alarm.state.is_active:
            return parent
    return ""


def _parents(house: House, rule: Rule) -> Iterator[str]:
    """From the widest to the nearest."""
    code, subject = _parted(rule)
    point = house.points.get(rule.point or subject)
    name = point.device if point is not None else subject
    device = house.devices.get(name)
    bus = device.bus if device is not None else subject
    if bus not in house.devices_on or code in OF_BUS:
        return
    for parent in OF_BUS:
        yield fault_id(parent, bus)
    if device is not None and code != OF_DEVICE:
        yield fault_id(OF_DEVICE, device.id)


def _parted(rule: Rule) -> tuple[str, str]:
    """Code and subject of a fault of the gateway; of any other rule two empty texts."""
    parts = rule.id.split("/", 2)
    is_own = len(parts) == 3 and parts[0] == "gateway" and not rule.point
    return (parts[1], parts[2]) if is_own else ("", "")


def bus_subject(bus: str) -> str:
    """How a whole bus is named as a subject: a device may have the same id."""
    return f"bus/{bus}"


def out_of_service_by(state: State, rule: Rule) -> str:
    """The bus, device, point or rule by which this rule is out of service, or an empty text."""
    code, subject = _parted(rule)
    house = state.house
    point = house.points.get(rule.point or subject)
    name = point.device if point is not None else subject
    device = house.devices.get(name)
    bus = subject if code in OF_BUS else "" if device is None else device.bus
    for each in (rule.id, rule.point or subject, name, bus_subject(bus)):
        if each and each in state.out_of_service:
            return each
    return ""


def children_of(house: House, alarms: Mapping[str, Alarm], parent: str) -> tuple[str, ...]:
    """The open alarms that this fault stands for."""
    return tuple(
        alarm.rule
        for alarm in alarms.values()
        if Inhibit.SUPPRESSED in alarm.inhibits
        and alarm.state is not AlarmState.P
        and (rule := house.rule(alarm.rule)) is not None
        and parent_of(house, alarms, rule) == parent
    )
