"""The silent self-test: one synthetic value goes the way of an alarm, and is followed to its end.

    decode   the words of a reserved point of the device `gateway` become a reading
    rule     the reading is judged and raises, as a test (`test: true`), without lamp or sound
    panel    the panel's thread works out the levels that it would have set
    store    the record is durable
    uplink   the platform has acknowledged it (only where there is an uplink)

Once a night, or every 24 h while no clock can be trusted. The result is a record; a stage that was
not reached is a fault that names it.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from gateway.core import alarms
from gateway.core.blocks import ReadBlock
from gateway.core.decode import decode_block
from gateway.core.faults import fault_id
from gateway.core.health import SELF_TEST_POINT
from gateway.core.judge import Verdict
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.panel import PanelAlarm, PanelView, signal_for
from gateway.core.people import answer, refuse
from gateway.core.rulings import Judge
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.modes import Mode, SelfTest, SelfTested, twin_id
from gateway.domain.outcome import Rehearsal
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Is, Rule, Severity, Sound
from gateway.domain.signals import Levels
from gateway.domain.text import Text

T = TypeVar("T")

FAULT = "self_test_failed"
KEPT = "self_test"
WITHIN_MS = 120_000
EVERY_MS = 24 * 3_600_000  # without a trusted clock
STAGES = ("decode", "rule", "panel", "store", "uplink")
WORD = 1  # what the reserved point says during a test; 0 otherwise

RULE = Rule(
    id=twin_id(f"{SELF_TEST_POINT.id}/level", Mode.TEST),
    name="level",
    point=SELF_TEST_POINT.id,
    condition=Is(frozenset({WORD})),
    severity=Severity.ALARM,
    sound=Sound.A1,
    for_ms=0,
    clear_for_ms=0,
    latch=False,
    say=Text("自检", "Self-test"),
    do=(),
    owner="",
    basis="design: supervision",
    min_samples=1,
)
BLOCK = ReadBlock(
    device=SELF_TEST_POINT.device,
    bus="",
    unit=0,
    table=SELF_TEST_POINT.table,
    start=SELF_TEST_POINT.at,
    count=1,
    points=(SELF_TEST_POINT,),
    period_ms=SELF_TEST_POINT.period_ms,
    is_alarm_class=True,
)


def ask_self_test(turn: Turn, event: events.SelfTestAsked, judge: Judge) -> None:
    if turn.state.self_test is not None:
        refuse(turn, event.reply_to, "self_test_running")
        return
    begin_self_test(turn, event.by, judge)
    answer(turn, event.reply_to, done=1)


def begin_self_test(turn: Turn, by: str, judge: Judge) -> None:
    """Send the value through decode and rule, and let the others know what to wait for."""
    now = turn.now
    turn.state = replace(turn.state, self_tested_ms=now.mono_ms)
    test = SelfTest("", by, now, now.mono_ms + WITHIN_MS, ())
    reading, why = _guarded(_decoded, turn)
    if reading is None:
        _finish(turn, replace(test, detail=why))
        return
    raised, why = _guarded(_raised, turn, reading, judge)
    if raised is None:
        _finish(turn, replace(test, reached=("decode",), detail=why))
        return
    raised = turn.record_transition(RULE, raised, Transition.RAISE, by)
    shown = PanelAlarm(
        RULE.severity, RULE.sound, raised.state, is_sounding=True, raised_mono_ms=now.mono_ms
    )
    signal = signal_for(PanelView(alarms=(shown,)), None, now.mono_ms)
    turn.rehearsal = Rehearsal(raised.occurrence, signal)
    turn.record_transition(RULE, replace(raised, state=AlarmState.N), Transition.CLEAR, by)
    as_test = replace(reading, quality=Quality.TEST, reason="self_test")
    turn.reported = (*turn.reported, as_test)
    test = replace(test, key=raised.occurrence, reached=("decode", "rule"))
    turn.state = replace(turn.state, self_test=test)
    turn.keep(KEPT, KEPT, json.dumps(by))


def note_stage(turn: Turn, event: events.StageReached) -> None:
    """The panel, the store or the platform has seen it."""
    test = turn.state.self_test
    if test is None or event.key != test.key or event.stage in test.reached:
        return
    test = replace(test, reached=(*test.reached, event.stage))
    turn.state = replace(turn.state, self_test=test)
    if _missed(turn, test) is None:
        _finish(turn, test)


def let_self_test_end(turn: Turn, judge: Judge) -> None:
    """Give up on what was not reached in time; begin anew when nobody knows the time of night."""
    test, cut = turn.state.self_test, turn.state.self_test_cut
    if cut is not None:
        turn.state = replace(turn.state, self_test_cut=None)
        begin_self_test(turn, cut, judge)
    elif test is not None and turn.now.mono_ms >= test.until_ms:
        _finish(turn, test)
    elif test is None and turn.house.has_nightly_self_test and not turn.now.is_trusted:
        last = turn.state.self_tested_ms
        since = turn.state.started_ms if last is None else last
        if turn.now.mono_ms - since >= EVERY_MS:
            begin_self_test(turn, "timer", judge)


def restore(turn: Turn) -> None:
    """A restart cut a self-test off: it is run again, from its beginning."""
    body = turn.state.kept.get((KEPT, KEPT))
    if body is None:
        return
    try:
        turn.state = replace(turn.state, self_test_cut=str(json.loads(body)))
    except ValueError:
        turn.keep(KEPT, KEPT, None)  # damaged: it is not known to have run


def is_alarm(levels: Levels) -> bool:
    """True for the levels that the rehearsed signal begins with."""
    return levels.red and levels.buzzer


def _guarded(do: Callable[..., T], *args: object) -> tuple[T | None, str]:
    """What is tested may fail in any way; why is what people want to know."""
    try:
        return do(*args), ""
    except Exception as error:  # noqa: BLE001 - design 5: a failing stage is the test's result
        return None, f"{type(error).__name__}: {error}"


def _decoded(turn: Turn) -> Reading:
    (reading,) = decode_block(BLOCK, (WORD,), turn.now.mono_ms)
    if reading.value != WORD or reading.quality is not Quality.GOOD:
        raise ValueError(f"{reading.value} {reading.quality.value}")
    return reading


def _raised(turn: Turn, reading: Reading, judge: Judge) -> Alarm:
    verdict = judge(RULE, reading)
    alarm, transition = alarms.take_sample(RULE, Alarm(RULE.id), verdict, reading, turn.now.mono_ms)
    if verdict is not Verdict.OVER or transition is not Transition.RAISE:
        raise ValueError(f"{verdict.name.lower()}, not raised")
    return alarm


def _missed(turn: Turn, test: SelfTest) -> str | None:
    """The first stage that it did not reach."""
    wanted = STAGES if turn.house.has_uplink else STAGES[:-1]
    return next((stage for stage in wanted if stage not in test.reached), None)


def _finish(turn: Turn, test: SelfTest) -> None:
    missed = _missed(turn, test)
    took_ms = turn.now.mono_ms - test.started.mono_ms
    ended = SelfTested(missed is None, test.reached, missed, turn.now.mono_ms, took_ms)
    accepting = replace(turn.state.accepting, self_tested=ended)
    turn.state = replace(turn.state, self_test=None, accepting=accepting)
    turn.keep(KEPT, KEPT, None)
    fields: dict[str, object] = {
        "alarm": test.key,
        "by": test.by,
        "result": "passed" if missed is None else "failed",
        "reached": list(test.reached),
        "missed": missed,
        "took_ms": took_ms,
        "detail": test.detail,
    }
    turn.record_fact("self_test", fields)
    for stage in STAGES:
        if stage != missed and fault_id(FAULT, stage) in turn.alarms:
            clear_fault(turn, FAULT, stage)
    if missed is not None:
        raise_fault(turn, FAULT, missed, test.detail)
