"""Practice: drills (演练) of the whole house and tests (测试) of single points.

A drill raises alarms of its own under the twins of real rules; people act on them as on real ones,
and its last record is the timeline of what they did. A test marks a point: its readings have the
quality `test`, which no real rule judges, and what they would raise is raised under the twin, so
that it can be seen and heard and calls nobody. Both end by themselves, and both end early rather
than late: over a reboot without a trusted clock nobody knows how long they have lasted.

A real alarm ends a drill: from then on everything that sounds and shows is meant.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from gateway.core import alarms
from gateway.core.ladder import now_of
from gateway.core.people import answer, refuse
from gateway.core.rulings import Weigh, freeze_rules, guarded, judge_rule
from gateway.core.state import twin
from gateway.core.turn import Moved, Turn
from gateway.core.weighing import Latest, hear_members, judge_twin
from gateway.domain import events
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.modes import (
    Drill,
    Mode,
    PointTest,
    Scene,
    mode_of,
    parted,
    twin_id,
)
from gateway.domain.moments import Now, carried
from gateway.domain.readings import Quality, Reading, Value
from gateway.domain.rules import Above, Below, Is, Severity, judged_points

DRILL_MS = 60 * 60_000  # field/patrol-and-alarms 4.4
TEST_MS = 30 * 60_000
SIMULATED_BEYOND = 0.05  # of the limit
MAX_SCENES = 200  # of a timeline; later ones are counted by nobody
NOTHING_FOUND: Mapping[str, object] = {"counted": None, "expected": None, "findings": []}
BROKEN_BY = frozenset({Transition.RAISE, Transition.AGAIN})

# -- drills -------------------------------------------------------------------------------------


def start_drill(turn: Turn, event: events.DrillStarted) -> None:
    """Begin a drill and raise its alarms; not while a real alarm is open or a drill runs."""
    unknown = [name for name in event.rules if name not in turn.house.rules]
    if turn.state.drill is not None:
        refuse(turn, event.reply_to, "drill_running")
    elif _has_real_alarm(turn):
        refuse(turn, event.reply_to, "alarm_open")
    elif unknown:
        refuse(turn, event.reply_to, "unknown_rule")
    else:
        _begin_drill(turn, event)
        answer(turn, event.reply_to, done=1)


def _begin_drill(turn: Turn, event: events.DrillStarted) -> None:
    fields: dict[str, object] = {
        "scenario": event.scenario,
        "scope": event.scope,
        "leader": event.by,
        "rules": list(event.rules),
    }
    record = turn.record_fact("drill_start", fields, Mode.DRILL)
    drill = Drill(
        id=f"{record.epoch}-{record.lane.value}-{record.seq}",
        scenario=event.scenario,
        scope=event.scope,
        leader=event.by,
        rules=event.rules,
        started=turn.now,
        until_ms=turn.now.mono_ms + DRILL_MS,
    )
    _put_drill(turn, drill)
    for name in dict.fromkeys(event.rules):
        rule = twin(turn.house.rules[name], Mode.DRILL)
        turn.record_transition(
            rule, *alarms.raise_it(rule, Alarm(rule.id), turn.now.mono_ms), by=event.by
        )


def end_drill(turn: Turn, event: events.DrillEnded) -> None:
    if turn.state.drill is None:
        refuse(turn, event.reply_to, "no_drill")
        return
    heads = {"counted": event.counted, "expected": event.expected}
    _finish_drill(turn, "person", event.by, {**heads, "findings": list(event.findings)})
    answer(turn, event.reply_to, done=1)


def note_scene(turn: Turn, what: str, rule_id: str = "", by: str = "") -> None:
    """Put something into the timeline of the drill that runs, if one does."""
    drill = turn.state.drill
    if drill is not None and len(drill.scenes) < MAX_SCENES:
        scene = Scene(turn.now, what, parted(rule_id)[1], by)
        _put_drill(turn, replace(drill, scenes=(*drill.scenes, scene)))


def _finish_drill(
    turn: Turn, why: str, by: str = "", found: Mapping[str, object] | None = None
) -> None:
    _end_alarms(turn, Mode.DRILL, by or why)
    _watch_drill(turn, turn.transitions)
    drill = turn.state.drill
    if drill is None:
        return
    report = {**_report(drill, turn.now, why, by), **(found or NOTHING_FOUND)}
    turn.record_fact("drill_end", report, Mode.DRILL)
    turn.state = replace(turn.state, drill=None)
    turn.keep("drill", "drill", None)


def _report(drill: Drill, now: Now, why: str, by: str) -> Mapping[str, object]:
    """The drill as it went: who did what, how long after its beginning."""

    def after_ms(moment: Now) -> int | None:
        began = carried(drill.started.mono_ms, drill.started, moment)
        return None if began is None else moment.mono_ms - began

    def first(what: str) -> int | None:
        return next((after_ms(s.at) for s in drill.scenes if s.what == what), None)

    return {
        "drill": drill.id,
        "scenario": drill.scenario,
        "scope": drill.scope,
        "leader": drill.leader,
        "started": drill.started.utc_ms,
        "ended": why,  # person, time, real_alarm, restart
        "by": by,
        "lasted_ms": after_ms(now),
        "first_ack_ms": first(Transition.ACK.value),
        "first_arrival_ms": first("arrive"),
        "timeline": [
            {
                "at": scene.at.utc_ms,
                "after_ms": after_ms(scene.at),
                "what": scene.what,
                "rule": scene.rule,
                "by": scene.by,
            }
            for scene in drill.scenes
        ],
    }


def _put_drill(turn: Turn, drill: Drill) -> None:
    turn.state = replace(turn.state, drill=drill)
    turn.keep("drill", "drill", _dump(asdict(drill)))


def _watch_drill(turn: Turn, moved: list[Moved]) -> None:
    """Write into the timeline what the drill's own alarms did since the last look."""
    for rule, _alarm, transition, by in moved[turn.scenes_taken :]:
        if mode_of(rule.id) is Mode.DRILL:
            note_scene(turn, transition.value, rule.id, by)
    turn.scenes_taken = len(moved)


def _has_real_alarm(turn: Turn) -> bool:
    for alarm in turn.alarms.values():
        rule = turn.house.rule(alarm.rule)
        is_alarm = rule is not None and rule.severity is Severity.ALARM
        if is_alarm and alarm.state.is_open and mode_of(alarm.rule) is Mode.REAL:
            return True
    return False


def _is_broken_through(turn: Turn) -> bool:
    return any(
        transition in BROKEN_BY
        and rule.severity is Severity.ALARM
        and mode_of(rule.id) is Mode.REAL
        for rule, _alarm, transition, _by in turn.transitions
    )


# -- tests of single points ---------------------------------------------------------------------


def start_test(turn: Turn, event: events.PointTestStarted) -> None:
    """Put a point under test; not one whose own alarm is open: that is to be dealt with first."""
    if event.point not in turn.house.points:
        refuse(turn, event.reply_to, "unknown_point")
    elif _is_alarmed(turn, event.point):
        refuse(turn, event.reply_to, "alarm_open")
    elif event.simulate and _simulated(turn, event) is None:
        refuse(turn, event.reply_to, "cannot_simulate")
    else:
        test = PointTest(
            event.point,
            event.by,
            turn.now,
            turn.now.mono_ms + TEST_MS,
            simulated=_simulated(turn, event) if event.simulate else None,
        )
        fields = {"point": test.point, "by": test.by, "minutes": TEST_MS // 60_000}
        said = {} if test.simulated is None else {"simulated": test.simulated}
        turn.record_fact("test_start", {**fields, **said}, Mode.TEST)
        freeze_rules(turn, event.point)  # what was pending is not judged on without readings
        _put_test(turn, test)
        answer(turn, event.reply_to, done=1)


def end_test(turn: Turn, event: events.PointTestEnded) -> None:
    test = turn.state.tests.get(event.point)
    if test is None:
        refuse(turn, event.reply_to, "no_test")
        return
    _finish_test(turn, test, "person", event.by)
    answer(turn, event.reply_to, done=1)


def as_tested(reading: Reading) -> Reading:
    """The reading as everyone else may see it; that nothing came is as true as ever."""
    if reading.value is None:
        return reading
    return replace(reading, quality=Quality.TEST, reason=reading.reason or "test")


def under_test(test: PointTest, reading: Reading) -> Reading:
    """The reading as it is judged for a test: good where something else is simulated.

    A device that does not answer passes no test: nothing came that another value could stand for.
    """
    if test.simulated is None or reading.value is None:
        return reading
    return replace(reading, value=test.simulated, quality=Quality.GOOD, reason="")


def _simulated(turn: Turn, event: events.PointTestStarted) -> Value | None:
    """A value at which that rule of the point raises; None where no single one does."""
    rule = turn.house.rules.get(event.simulate)
    if rule is None or rule.point != event.point:
        return None
    match rule.condition:
        case Above(limit):
            return limit + max(abs(limit) * SIMULATED_BEYOND, 1.0)
        case Below(limit):
            return limit - max(abs(limit) * SIMULATED_BEYOND, 1.0)
        case Is(values):
            return min(values, key=str)
        case _:
            return None


def judge_under_test(turn: Turn, readings: Sequence[Reading], weigh: Weigh, latest: Latest) -> None:
    """Judge readings of points under test by the twins of their rules."""
    for reading in readings:
        for rule in turn.house.rules_of.get(reading.point, ()):
            judge_rule(turn, twin(rule, Mode.TEST), reading, weigh)
    combined_of, heard = turn.house.combined_of, {}
    for reading in readings:
        for combined in combined_of.get(reading.point, ()):
            made = replace(combined, rule=twin(combined.rule, Mode.TEST))
            guarded(turn, made.rule, hear_members, turn, made, reading, latest)
            heard[combined.rule.id] = combined, made
    for combined, made in heard.values():
        judge_twin(turn, combined, made.rule)


def _finish_test(turn: Turn, test: PointTest, why: str, by: str = "") -> None:
    _end_alarms(turn, Mode.TEST, by or why, of_point=test.point)
    fields: dict[str, object] = {
        "point": test.point,
        "by": by or test.by,
        "ended": why,  # person, time, restart
        "tripped": list(test.tripped),
    }
    turn.record_fact("test_end", fields, Mode.TEST)
    left = {point: kept for point, kept in turn.state.tests.items() if point != test.point}
    turn.state = replace(turn.state, tests=left)
    turn.keep("test", test.point, None)
    _forget_what_was_heard(turn, test.point)


def _forget_what_was_heard(turn: Turn, point: str) -> None:
    """The next test's delays begin with the next test."""
    rules = [*turn.house.rules_of.get(point, ())]
    rules += [combined.rule for combined in turn.house.combined_of.get(point, ())]
    twins = {twin_id(rule.id, Mode.TEST) for rule in rules}
    turn.memory = {rule: known for rule, known in turn.memory.items() if rule not in twins}


def _note_trips(turn: Turn, test: PointTest) -> None:
    """Which rules the test has made raise: what the technician wants to know."""
    tripped = [
        rule.name
        for rule, _alarm, transition, _by in turn.transitions
        if transition is Transition.RAISE
        and mode_of(rule.id) is Mode.TEST
        and test.point in judged_points(rule)
        and rule.name not in test.tripped
    ]
    if tripped:
        _put_test(turn, replace(test, tripped=(*test.tripped, *tripped)))


def _put_test(turn: Turn, test: PointTest) -> None:
    turn.state = replace(turn.state, tests={**turn.state.tests, test.point: test})
    turn.keep("test", test.point, _dump(asdict(test)))


def _is_alarmed(turn: Turn, point: str) -> bool:
    for rule in turn.house.rules_of.get(point, ()):
        alarm = turn.alarms.get(rule.id)
        if rule.severity is Severity.ALARM and alarm is not None and alarm.state.is_open:
            return True
    return False


# -- both ---------------------------------------------------------------------------------------


def follow_practice(turn: Turn) -> None:
    """End what is over, by time or by a real alarm, and write the drill's timeline."""
    if turn.state.drill is not None:
        _watch_drill(turn, turn.transitions)
        if _is_broken_through(turn):
            _finish_drill(turn, "real_alarm")
        elif turn.now.mono_ms >= turn.state.drill.until_ms:
            _finish_drill(turn, "time")
    for test in list(turn.state.tests.values()):
        _note_trips(turn, test)
        if turn.now.mono_ms >= test.until_ms:
            _finish_test(turn, turn.state.tests[test.point], "time")


def restore(turn: Turn) -> None:
    """Go on with what ran before the restart, as long as it is known to be not over."""
    for (kind, key), body in turn.state.kept.items():
        if kind == "drill":
            _restore_drill(turn, body)
        elif kind == "test":
            _restore_test(turn, key, body)
    for alarm in list(turn.alarms.values()):
        mode, name = parted(alarm.rule)
        rule = turn.house.rules.get(name)
        is_over = (mode is Mode.DRILL and turn.state.drill is None) or (
            mode is Mode.TEST
            and (rule is None or not any(p in turn.state.tests for p in judged_points(rule)))
        )
        if is_over:
            _end_alarm(turn, alarm, "restart")


def end_what_is_gone(turn: Turn) -> None:
    """After a reload: end the tests of points that the site file no longer has."""
    for test in list(turn.state.tests.values()):
        if test.point not in turn.house.points:
            _finish_test(turn, test, "restart")


def _restore_drill(turn: Turn, body: str) -> None:
    try:
        said = json.loads(body)
        drill = Drill(
            **{
                **{name: said[name] for name in ("id", "scenario", "scope", "leader")},
                "rules": tuple(said["rules"]),
                "started": now_of(said["started"]),
                "until_ms": int(said["until_ms"]),
                "scenes": tuple(Scene(**{**s, "at": now_of(s["at"])}) for s in said["scenes"]),
            }
        )
    except (ValueError, KeyError, TypeError):
        turn.keep("drill", "drill", None)  # another version wrote it: that drill is over
        return
    until_ms = carried(drill.until_ms, drill.started, turn.now)
    turn.state = replace(turn.state, drill=drill)
    if until_ms is None or until_ms <= turn.now.mono_ms:
        _finish_drill(turn, "restart" if until_ms is None else "time")
        return
    turn.state = replace(turn.state, drill=replace(drill, until_ms=until_ms))


def _restore_test(turn: Turn, point: str, body: str) -> None:
    try:
        said = json.loads(body)
        test = PointTest(
            point=str(said["point"]),
            by=str(said["by"]),
            started=now_of(said["started"]),
            until_ms=int(said["until_ms"]),
            tripped=tuple(map(str, said["tripped"])),
            simulated=said.get("simulated"),
        )
    except (ValueError, KeyError, TypeError):
        turn.keep("test", point, None)
        return
    until_ms = carried(test.until_ms, test.started, turn.now)
    is_over = until_ms is None or until_ms <= turn.now.mono_ms or point not in turn.house.points
    if until_ms is None or is_over:
        _finish_test(turn, test, "restart" if until_ms is None else "time")
        return
    test = replace(test, until_ms=until_ms)
    turn.state = replace(turn.state, tests={**turn.state.tests, point: test})


def _end_alarms(turn: Turn, mode: Mode, by: str, of_point: str | None = None) -> None:
    for alarm in list(turn.alarms.values()):
        if mode_of(alarm.rule) is not mode:
            continue
        rule = turn.house.rule(alarm.rule)
        if of_point is None or rule is None or of_point in judged_points(rule):
            _end_alarm(turn, alarm, by)


def _end_alarm(turn: Turn, alarm: Alarm, by: str) -> None:
    """Practice is over: its alarm is, too, whatever state it was in."""
    over = replace(alarm, state=AlarmState.N, silenced_until_ms=None)
    rule = turn.house.rule(alarm.rule)
    if rule is not None and alarm.state.is_open:
        turn.record_transition(rule, over, Transition.CLEAR, by)
    else:
        turn.changed[alarm.rule] = over
        turn.put_alarm(over)


def _dump(body: Mapping[str, object]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
