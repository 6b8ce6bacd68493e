"""The state as the duty page shows it: what is wrong, where, what to do; nothing for technicians.

Bounded, so that a flood of alarms stays a message that a small board sends within milliseconds.
"""

from gateway.core.health import OWN_DEVICE
from gateway.core.state import State, quality_now
from gateway.core.view import View, alarms_view
from gateway.domain.moments import Now
from gateway.domain.readings import Quality
from gateway.domain.rules import Severity
from gateway.domain.signals import Signal

MOST_ALARMS = 40  # shown; the others are counted
RANK = {Severity.ALARM.value: 0, Severity.WARNING.value: 1, Severity.FAULT.value: 2}


def duty_view(state: State, now: Now) -> View:
    """Return the top state, counts, lamps and at most `MOST_ALARMS` alarms, the worst first.

    `top` is `alarm`, `warning`, `fault`, `normal`, or `unknown` while nothing could be read:
    only a house that is read can be normal.
    """
    rows = alarms_view(state, now)
    for row in rows:
        row["age_ms"] = _age_ms(state, str(row["rule"]), now.mono_ms)
    rows.sort(key=_urgency)
    counts = {name: sum(row["severity"] == name for row in rows) for name in RANK}
    worst = next((name for name in RANK if counts[name]), None)
    is_read = any(
        not device.is_offline for name, device in state.devices.items() if name != OWN_DEVICE
    )
    return {
        "top": worst or ("normal" if is_read else "unknown"),
        "counts": counts,
        "alarms": rows[:MOST_ALARMS],
        "more": max(0, len(rows) - MOST_ALARMS),
        "lamps": lamps_view(state.signal),
        "points": _points(state, now.mono_ms),
    }


def lamps_view(signal: Signal) -> View:
    """Every lamp as `off`, `on` or how fast it blinks, and the buzzer's pattern (`-` is quiet)."""
    return {
        "red": signal.red.value,
        "amber": signal.amber.value,
        "yellow": signal.yellow.value,
        "green": signal.green.value,
        "buzzer": signal.pattern.value,
    }


def _urgency(row: View) -> tuple[int, bool]:
    """Severity first, then what waits for a person; the oldest first, as the rows come."""
    return RANK.get(str(row["severity"]), len(RANK)), row["state"] not in ("UA", "RU", "LU")


def _age_ms(state: State, rule_id: str, mono_ms: int) -> int | None:
    """How old the reading is that the rule judges; None for a fault of the gateway."""
    rule = state.house.rules.get(rule_id)
    point = state.house.points.get(rule.point) if rule else None
    device = state.devices.get(point.device) if point else None
    known = device.points.get(point.id) if device and point else None
    return mono_ms - known.reading.mono_ms if known else None


def _points(state: State, mono_ms: int) -> View:
    """How many points rules judge, and how many of them have a good value now."""
    total = good = 0
    for device in state.house.devices.values():
        if device.id == OWN_DEVICE:
            continue
        known = state.devices.get(device.id)
        for point in device.points:
            if state.house.rules_of.get(point.id):
                last = known.points.get(point.id) if known else None
                total += 1
                good += quality_now(point, last, mono_ms).quality is Quality.GOOD
    return {"total": total, "good": good}
