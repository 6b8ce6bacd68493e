"""The state as the duty page shows it: what is wrong, where, what to do; nothing for technicians.

Bounded, so that a flood of alarms stays a message that a small board sends within milliseconds.
"""

from gateway.core.health import OWN_DEVICE
from gateway.core.patrol_views import patrol_counts
from gateway.core.state import State, quality_now
from gateway.core.view import View, alarms_view
from gateway.domain.modes import Mode, parted
from gateway.domain.moments import Now
from gateway.domain.readings import Quality
from gateway.domain.rules import Severity
from gateway.domain.signals import Lamp, Signal

MOST_ALARMS = 40  # shown; the others are counted
RANK = {Severity.ALARM.value: 0, Severity.WARNING.value: 1, Severity.FAULT.value: 2}


def duty_view(state: State, now: Now) -> View:
    """Return the top state, counts, lamps and at most `MOST_ALARMS` alarms, the worst first.

    `top` is the worst real severity that calls for people, else what is practised (then `mode`
    says so), else `normal`, or `unknown` while nothing could be read: only a house that is read
    can be normal. Counts leave out what is only
    practice and what is shelved, suppressed or out of service; such alarms stand last in the list.
    """
    rows = sorted((_marked(state, row, now.mono_ms) for row in alarms_view(state, now)), key=_rank)
    calling = [row for row in rows if row["mode"] == Mode.REAL.value and not row["inhibits"]]
    counts = {name: sum(row["severity"] == name for row in calling) for name in RANK}
    worst = next((name for name in RANK if counts[name]), None)
    mode = Mode.REAL.value
    if worst is None and rows and not rows[0]["inhibits"]:  # nothing real calls: it is practice
        worst, mode = str(rows[0]["severity"]), str(rows[0]["mode"])
    is_read = any(
        not device.is_offline for name, device in state.devices.items() if name != OWN_DEVICE
    )
    return {
        "top": worst or ("normal" if is_read else "unknown"),
        "mode": mode,
        "counts": {
            **counts,
            "shelved": len(state.shelved),
            "out_of_service": len(state.out_of_service),
        },
        "alarms": rows[:MOST_ALARMS],
        "more": max(0, len(rows) - MOST_ALARMS),
        "lamps": lamps_view(state.signal),
        "points": _points(state, now.mono_ms),
        "cases": {"open": len(state.cases)},
        "patrol": patrol_counts(state, now),
        "drill": _drill(state, now.mono_ms),
        "tests": len(state.tests),
        "post_check": _post_check(state, now.mono_ms),
    }


def lamps_view(signal: Signal) -> View:
    """Every lamp as `off`, `on` or how fast it blinks, and the buzzer's pattern (`-` is quiet).

    The white lamp only while it is lit: few houses have one.
    """
    white = {} if signal.white is Lamp.OFF else {"white": signal.white.value}
    return {
        "red": signal.red.value,
        "amber": signal.amber.value,
        "yellow": signal.yellow.value,
        "green": signal.green.value,
        **white,
        "buzzer": signal.pattern.value,
    }


def _marked(state: State, row: View, mono_ms: int) -> View:
    """The row of an alarm with what only people at the desk need."""
    mode, rule = parted(str(row["rule"]))
    alarm = state.alarms[str(row["rule"])]
    case = state.cases.get(alarm.occurrence)
    return {
        **row,
        "mode": mode.value,
        "inhibits": [inhibit.value for inhibit in alarm.inhibits],
        "chatter": alarm.chatter,
        "is_first_out": bool(alarm.flood) and alarm.flood == alarm.occurrence,
        "is_on_site": case is not None and case.arrived is not None,
        "age_ms": _age_ms(state, rule, mono_ms),
    }


def _rank(row: View) -> tuple[bool, bool, int, bool, bool]:
    """What calls for people first, the real before practice, then severity, then what waits.

    The first of a flood before what followed it; else the oldest first, as the rows come.
    """
    return (
        bool(row["inhibits"]),
        row["mode"] != Mode.REAL.value,
        RANK.get(str(row["severity"]), len(RANK)),
        row["state"] not in ("UA", "RU", "LU"),
        not row["is_first_out"],
    )


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


def _drill(state: State, mono_ms: int) -> View | None:
    drill = state.drill
    if drill is None:
        return None
    return {
        "scenario": drill.scenario,
        "leader": drill.leader,
        "left_ms": max(0, drill.until_ms - mono_ms),
    }


def _post_check(state: State, mono_ms: int) -> View | None:
    """The question that waits for an answer, the most urgent one."""
    asked = [check for check in state.post_checks.values() if not check.is_missed]
    if not asked:
        return None
    return {"left_ms": max(0, min(check.until_ms for check in asked) - mono_ms)}
