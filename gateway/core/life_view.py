"""What keeps alarms quiet, and the noise they make, as plain data for screens."""

from collections.abc import Mapping

from gateway.core.inhibits import children_of, out_of_service_by, parent_of
from gateway.core.noise import noisiest
from gateway.core.state import House, State
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, Inhibit
from gateway.domain.moments import Now
from gateway.domain.rules import Rule

Row = dict[str, object]


def life_of(turn: Turn, alarm: Alarm, rule: Rule) -> Row:
    """Who silenced and acknowledged, what keeps it quiet, its place under a parent or a flood.

    `inhibits`: SH shelved, SU suppressed, OS out of service. `chatter`: activations, 0 = none.
    """
    state, is_silent = turn.state, alarm.is_silent(turn.now.mono_ms)
    shelving = state.shelved.get(alarm.rule)
    is_suppressed = Inhibit.SUPPRESSED in alarm.inhibits
    return {
        "inhibits": [inhibit.value for inhibit in alarm.inhibits],
        "under": parent_of(turn.house, turn.alarms, rule) if is_suppressed else "",
        "stands_for": list(children_of(turn.house, turn.alarms, alarm.rule)),
        "shelved_by": shelving.by if shelving else "",
        "shelved_for_ms": shelving.until_ms - turn.now.mono_ms if shelving else None,
        "out_of_service": out_of_service_by(state, rule) if state.out_of_service else "",
        "is_silenced": is_silent,
        "silenced_by": alarm.silenced_by if is_silent else "",
        "silenced_at": alarm.silenced_at.utc_ms if is_silent and alarm.silenced_at else None,
        "silenced_for_ms": alarm.silenced_until_ms - turn.now.mono_ms
        if is_silent and alarm.silenced_until_ms is not None
        else None,
        "acked_by": alarm.acked_by,
        "acked_at": alarm.acked.utc_ms if alarm.acked else None,
        "chatter": alarm.chatter,
        "flood": alarm.flood,
        "is_first_out": alarm.is_first_out,
    }


def limits_view(state: State, now: Now) -> Row:
    """What is shelved and what is out of service: by whom, why, for how long still."""
    return {
        "shelved": [
            {
                "rule": each.rule,
                "by": each.by,
                "why": each.why,
                "at": each.at.utc_ms,
                "left_ms": max(0, each.until_ms - now.mono_ms),
            }
            for each in state.shelved.values()
        ],
        "out_of_service": [
            {
                "subject": each.subject,
                "by": each.by,
                "why": each.why,
                "order": each.order,
                "at": each.at.utc_ms,
            }
            for each in state.out_of_service.values()
        ],
    }


def flood_view(state: State) -> Row | None:
    """The flood that goes on: its first-out, and its open alarms folded by bus and place."""
    flood = state.noise.flood
    if flood is None:
        return None
    folded: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in state.alarms.values():
        rule = state.house.rule(alarm.rule)
        if alarm.flood == flood.id and rule is not None:
            folded.setdefault(_where(state.house, rule), []).append(alarm)
    return {
        "began_at": flood.began.utc_ms,
        "count": flood.count,
        "first_out": flood.first_rule,
        "first_occurrence": flood.first,
        "silenced_by": flood.silenced_by,
        "groups": [
            {"bus": bus, "place": place, "count": len(group), "rules": [a.rule for a in group]}
            for (bus, place), group in folded.items()
        ],
    }


def _where(house: House, rule: Rule) -> tuple[str, str]:
    """Bus and place; for what belongs to no device, its own last part as the place."""
    point = house.points.get(rule.point)
    name = point.device if point else rule.id.rsplit("/", 1)[-1]
    device = house.devices.get(name)
    if device is not None:
        return device.bus, device.place
    return (name, "") if name in house.devices_on else ("", name)


def noisy_view(state: State, now: Now) -> list[Row]:
    """The ten noisiest points or faults: activations of the last 7 and 30 days."""
    return [
        {"id": key, **_named(state.house, key), "days_7": week, "days_30": month}
        for key, week, month in noisiest(state.noise, now)
    ]


def _named(house: House, key: str) -> Mapping[str, object]:
    point = house.points.get(key)
    if point is not None:
        return {"label": point.label, "place": house.devices[point.device].place}
    rule = house.rule(key)
    say = {"zh": rule.say.zh, "en": rule.say.en} if rule else ""
    return {"label": say, "place": key.rsplit("/", 1)[-1]}
