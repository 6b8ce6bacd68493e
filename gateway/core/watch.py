"""Is what rules judge read as often as the plan said? If not, that is a fault of its own."""

from dataclasses import replace

from gateway.core.faults import fault_id
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.state import DeviceState, known_since_ms
from gateway.core.turn import Turn
from gateway.domain.rules import judged_points

WATCH_EVERY_MS = 1_000
WATCH_FROM_MS = 30_000  # after the start: ports open, everything is read for the first time
WATCH_MISSING_MS = 300_000  # a device that does not answer has its own fault; it is still asked

_UNHEARD = DeviceState()


def watch_now_and_then(turn: Turn) -> None:
    """Look when something may be late; reading only puts that moment off."""
    if turn.now.mono_ms >= turn.state.watch_due_ms:
        wait_ms = max(_watch_reads(turn), WATCH_EVERY_MS)
        turn.state = replace(turn.state, watch_due_ms=turn.now.mono_ms + wait_ms)


def _watch_reads(turn: Turn) -> int:
    """One fault for a bus on which a point that a rule judges was not read when it should be.

    It names the rule that is latest, measured by what was planned for it. Returns for how many ms
    nothing can be late, whatever happens.
    """
    calm_ms = WATCH_FROM_MS
    late: dict[str, list[tuple[float, str]]] = {}  # by bus: how many times too old, what
    for rule_id, planned_ms in turn.house.read_within_ms.items():
        rule = turn.house.rules[rule_id]
        for judged in judged_points(rule):
            device = turn.house.points[judged].device
            known = turn.devices.get(device, _UNHEARD)
            point = known.points.get(judged)
            is_missing = known.misses or (point is not None and point.misses)
            within_ms = max(planned_ms, WATCH_MISSING_MS) if is_missing else planned_ms
            since_ms = known_since_ms(turn.state, device)
            read_ms = point.reading.mono_ms if point is not None else since_ms
            age_ms = turn.now.mono_ms - max(read_ms, since_ms + WATCH_FROM_MS)
            calm_ms = min(calm_ms, planned_ms - age_ms)
            if age_ms > within_ms:
                age, planned = f"{age_ms / 1000:.0f} s", f"{within_ms / 1000:.0f} s"
                said = f"{rule_id}: not read for {age}, planned {planned}"
                bus = turn.house.devices[device].bus
                late.setdefault(bus, []).append((age_ms / within_ms, said))
    for bus in turn.house.devices_on:
        if bus in late:
            worst = max(late[bus])[1]
            more = f" (+{len(late[bus]) - 1})" if len(late[bus]) > 1 else ""
            raise_fault(turn, "detection_late", bus, worst + more)
        elif fault_id("detection_late", bus) in turn.alarms:
            clear_fault(turn, "detection_late", bus)
    return calm_ms
