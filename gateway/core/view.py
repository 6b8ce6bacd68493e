"""The state as plain data for the status screen: what a person wants to know of this moment."""

from collections.abc import Mapping

from gateway.core.acceptance_view import is_accepted
from gateway.core.health import OWN_DEVICE, bus_figures, device_figures
from gateway.core.ladder import escalated_to
from gateway.core.leakage import leakage_view
from gateway.core.life_view import life_of
from gateway.core.state import State, open_alarms, quality_now
from gateway.core.tally import BusTally, Tally
from gateway.core.turn import Turn, begin
from gateway.domain.alarms import Alarm
from gateway.domain.modes import Mode, mode_of
from gateway.domain.moments import Now
from gateway.domain.rules import Rule

View = dict[str, object]


def points_view(state: State, now: Now) -> list[View]:
    """Every point with value, unit, quality and age in ms, in the order of the site."""
    rows: list[View] = []
    turn, accepted = begin(state, now), state.accepting.accepted
    for device in state.house.devices.values():
        if device.id == OWN_DEVICE:  # its figures stand with the buses and devices
            continue
        known = state.devices.get(device.id)
        for point in device.points:
            last = known.points.get(point.id) if known else None
            reading = quality_now(point, last, now.mono_ms)
            rows.append(
                {
                    "id": point.id,
                    "label": point.label,
                    "place": device.place,
                    "value": reading.value,
                    "unit": point.unit,
                    "quality": reading.quality.value,
                    "reason": reading.reason,
                    "age_ms": now.mono_ms - last.reading.mono_ms if last else None,
                    "is_judged": point.id in state.house.alarm_points,
                    "is_accepted": is_accepted(accepted, f"point/{point.id}"),
                    "leakage": leakage_view(turn, point.id),
                }
            )
    return rows


def alarms_view(state: State, now: Now) -> list[View]:
    """Every open alarm, warning and fault: what, where, what to do, since when."""
    turn = begin(state, now)
    return [
        _alarm_view(turn, alarm, rule)
        for alarm in open_alarms(state)
        if (rule := state.house.rule(alarm.rule)) is not None
    ]


def _alarm_view(turn: Turn, alarm: Alarm, rule: Rule) -> View:
    raised = alarm.raised
    is_same_boot = raised is not None and raised.boot == turn.now.boot
    return {
        "rule": alarm.rule,
        "state": alarm.state.value,
        "severity": rule.severity.value,
        "say": {"zh": rule.say.zh, "en": rule.say.en},
        "do": [{"zh": words.zh, "en": words.en} for words in rule.do],
        "place": turn.place_of(rule),
        "owner": rule.owner,
        "value": alarm.last if alarm.last is not None else alarm.value,
        "limit": rule.limit,
        "unit": turn.unit_of(rule),
        "detail": alarm.detail,
        "since_ms": turn.now.mono_ms - raised.mono_ms if is_same_boot and raised else None,
        "raised_at": raised.utc_ms if raised else None,
        "occurrence": alarm.occurrence,
        "is_stale": alarm.is_stale,
        "is_sounding": alarm.is_sounding(turn.now.mono_ms),
        "is_drill": mode_of(alarm.rule) is Mode.DRILL,
        "is_test": mode_of(alarm.rule) is Mode.TEST,
        "escalated_to": escalated_to(turn.state, alarm.rule),
        **life_of(turn, alarm, rule),
    }


def practice_view(state: State, now: Now) -> View:
    """The drill, the points under test, post checks and the self-test that are under way."""
    drill, self_test = state.drill, state.self_test
    return {
        "drill": None
        if drill is None
        else {
            "scenario": drill.scenario,
            "scope": drill.scope,
            "leader": drill.leader,
            "started_at": drill.started.utc_ms,
            "left_ms": max(0, drill.until_ms - now.mono_ms),
        },
        "tests": [
            {
                "point": test.point,
                "by": test.by,
                "left_ms": max(0, test.until_ms - now.mono_ms),
                "tripped": list(test.tripped),
            }
            for test in state.tests.values()
        ],
        "post_checks": [
            {
                "check": check.id,
                "source": check.source,
                "asked_at": check.asked.utc_ms,
                "left_ms": max(0, check.until_ms - now.mono_ms),
                "is_missed": check.is_missed,
            }
            for check in state.post_checks.values()
        ],
        "self_test": None
        if self_test is None
        else {"by": self_test.by, "reached": list(self_test.reached)},
    }


def devices_view(state: State, tallies: Mapping[str, BusTally], mono_ms: int) -> list[View]:
    """Every device with its bus and unit, whether it answers, how often and how fast."""
    rows: list[View] = []
    for device in state.house.devices.values():
        if device.id == OWN_DEVICE:
            continue
        known = state.devices.get(device.id)
        tally = tallies[device.bus].of(device.id) if device.bus in tallies else Tally()
        rows.append(
            {
                "id": device.id,
                "bus": device.bus,
                "unit": device.unit,
                "place": device.place,
                "is_offline": known.is_offline if known else None,
                "misses": known.misses if known else 0,
                **device_figures(tally, mono_ms),
                "is_slow": tally.is_slow,
                **({} if tally.takes is None else {"takes": tally.takes}),
            }
        )
    return rows


def buses_view(
    tallies: Mapping[str, BusTally], counts: Mapping[str, Mapping[str, int]], mono_ms: int
) -> list[View]:
    """Every bus with its load in % of the last minute and what was heard on it."""
    return [
        {"id": bus, **bus_figures(tally, counts.get(bus, {}), mono_ms)}
        for bus, tally in tallies.items()
    ]
