"""What is accepted of this house and what is not, as plain data for screens and the sheet."""

from collections.abc import Mapping

from gateway.core.acceptance import SIMULATED
from gateway.core.acceptance_items import names_of, subject_of, subjects_of
from gateway.core.panel import WORDS as OUTPUTS
from gateway.core.state import State, quality_now
from gateway.core.turn import Turn, begin
from gateway.domain.acceptance import SHEET, Acceptance, Part, Result, Subject
from gateway.domain.modes import Mode, twin_id
from gateway.domain.moments import Now
from gateway.domain.rules import judged_points
from gateway.domain.text import Text

View = dict[str, object]
SIGNED = Subject(Part.SIGN, SHEET).key


def is_accepted(accepted: Mapping[str, Acceptance], key: str) -> bool:
    """True where the last trial was passed."""
    known = accepted.get(key)
    return known is not None and known.result is Result.PASSED


def acceptance_counts(state: State) -> View:
    """How many points and alarm rules there are, which are not accepted, and who signed."""
    accepted, names = state.accepting.accepted, names_of(state.house)
    passed = {key for key, known in accepted.items() if known.result is Result.PASSED}
    points, rules = names.pop(Part.POINT), names.pop(Part.TRIP)
    others = [f"{part.value}/{name}" for part, mine in names.items() for name in mine]
    signed = accepted.get(SIGNED)
    return {
        "points": len(points),
        "points_open": [name for name in points if f"point/{name}" not in passed],
        "rules": len(rules),
        "rules_open": [name for name in rules if f"trip/{name}" not in passed],
        "others_open": [key for key in others if key not in passed and key != SIGNED],
        "failed": sorted(k for k, known in accepted.items() if known.result is Result.FAILED),
        "simulated": sorted(k for k, known in accepted.items() if known.shown == SIMULATED),
        "signed": None if signed is None else result_view(signed),
    }


def acceptance_view(state: State, now: Now, keys: frozenset[str] | None = None) -> View:
    """Everything that is to be tried, in the order of the walk, with what became of it.

    `keys`: only these items, and no counts: quick, to be asked again and again.
    """
    turn, accepting = begin(state, now), state.accepting
    house, is_whole = state.house, keys is None
    wanted = subjects_of(house) if keys is None else [subject_of(house, key) for key in keys]
    site, trial, tested = state.house.site, accepting.trial, accepting.self_tested
    return {
        "site": {"id": site.id, "name": site.name, "sha": site.sha, "timezone": site.timezone},
        "version": state.house.software,
        "has_people": bool(state.house.people),
        "items": [_item(turn, each) for each in wanted if each is not None],
        "counts": acceptance_counts(state) if is_whole else None,
        "trial": None
        if trial is None
        else {
            "output": trial.output,
            "is_running": state.lamp_test_until_ms is not None,
            "is_pressed": trial.is_pressed,
        },
        "tags_seen": {code: now.mono_ms - ms for code, ms in accepting.tags_seen.items()},
        "self_test": {
            "is_running": state.self_test is not None,
            "age_ms": None if tested is None else now.mono_ms - tested.ended_ms,
            "is_passed": None if tested is None else tested.is_passed,
            "missed": None if tested is None else tested.missed,
            "took_ms": None if tested is None else tested.took_ms,
        },
        "clock": {
            "utc_ms": now.utc_ms, "clk": now.clk.value, "err_ms": now.err_ms,
            "is_trusted": now.is_trusted,
        },
    }  # fmt: skip


def result_view(known: Acceptance) -> View:
    """What became of one trial."""
    return {
        "result": known.result.value,
        "by": known.by,
        "partner": known.partner,
        "at": known.at.utc_ms,
        "clk": known.at.clk.value,
        "shown": known.shown,
        "value": known.value,
        "unit": known.unit,
        "words": list(known.words),
        "note": known.note,
        "digest": known.digest,
        "record": known.record,
    }


def _item(turn: Turn, subject: Subject) -> View:
    known = turn.state.accepting.accepted.get(subject.key)
    return {
        "key": subject.key,
        "part": subject.part.value,
        "subject": subject.name,
        "accepted": None if known is None else result_view(known),
        **_about(turn, subject),
    }


def _about(turn: Turn, subject: Subject) -> View:
    match subject.part:
        case Part.DEVICE:
            return _device(turn, subject.name)
        case Part.POINT:
            return _point(turn, subject.name)
        case Part.TRIP:
            return _trip(turn, subject.name)
        case Part.BUS:
            units = [d.unit for d in turn.house.devices.values() if d.bus == subject.name]
            return {"units": sorted(units)}
        case Part.PANEL:
            words = OUTPUTS.get(subject.name)
            return {"say": None if words is None else _words(words)}
        case Part.TAG:
            checkpoint = turn.house.patrol.checkpoints[subject.name]
            return {"label": checkpoint.name, "place": checkpoint.place}
        case _:
            return {}


def _device(turn: Turn, name: str) -> View:
    device, known = turn.house.devices[name], turn.devices.get(name)
    return {
        "bus": device.bus,
        "unit": device.unit,
        "profile": device.profile,
        "maker": device.maker,
        "model": device.model,
        "label": device.name,
        "place": device.place,
        "owner": device.owner,
        "is_offline": None if known is None else known.is_offline,
        "is_wrong": known is not None and known.is_wrong,
    }


def _point(turn: Turn, name: str) -> View:
    point = turn.house.points[name]
    device, known = turn.house.devices[point.device], turn.devices.get(point.device)
    reading = quality_now(point, known.points.get(name) if known else None, turn.now.mono_ms)
    value = reading.value
    code = point.codes.get(int(value)) if isinstance(value, int | float) else None
    return {
        "device": device.id,
        "label": point.label,
        "place": device.place,
        "value": value,
        "says": code,
        "unit": point.unit,
        "quality": reading.quality.value,
        "reason": reading.reason,
        "bus": device.bus,
        "unit_id": device.unit,
        "table": point.table.value,
        "at": point.at,
        "count": point.encoding.width,
        "most": device.max_registers,
        "is_judged": name in turn.house.alarm_points,
    }


def _trip(turn: Turn, name: str) -> View:
    rule = turn.house.rules[name]
    points = judged_points(rule)
    tests = [test for point in points if (test := turn.state.tests.get(point)) is not None]
    alarm = turn.alarms.get(twin_id(name, Mode.TEST))
    return {
        "points": list(points),
        "devices": sorted({turn.house.points[point].device for point in points}),
        "place": turn.place_of(rule),
        "say": _words(rule.say),
        "limit": rule.limit,
        "unit": turn.unit_of(rule),
        "for_ms": rule.for_ms,
        "basis": rule.basis,
        "is_tested": bool(tests),
        "is_tripped": any(rule.name in test.tripped for test in tests),
        "is_active": alarm is not None and alarm.state.is_active,
    }


def _words(text: Text) -> View:
    return {"zh": text.zh, "en": text.en}
