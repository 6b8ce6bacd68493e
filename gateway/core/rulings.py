"""Judge readings by their rules; a rule that fails costs itself only."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec

from gateway.core import alarms
from gateway.core.judge import Verdict
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.state import RuleTrouble
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Rule, Severity, Silent

P = ParamSpec("P")
Judge = Callable[[Rule, Reading], Verdict]
Weigh = Callable[[Rule, Reading], tuple[Verdict, Reading]]  # and the number that was judged

GOOD, OVER = Quality.GOOD, Verdict.OVER
FROZEN = frozenset({Quality.OFFLINE, Quality.FAULT})  # freeze an alarm; others are passed over
TROUBLE_WINDOW_MS = 60_000
TROUBLES_ALLOWED = 2  # one more within the window and the rule is out of service


def judge_reading(turn: Turn, reading: Reading, weigh: Weigh, *, is_usual: bool = False) -> None:
    """Judge one reading by every rule on its point.

    `is_usual`: `weigh` judges by `core.judge`. Then what no rule would raise for, and no alarm is
    about, need not be looked at rule by rule.
    """
    rules: Sequence[Rule] = turn.house.rules_of.get(reading.point, ())
    if not rules:
        return
    if is_usual and not turn.troubles and reading.quality is GOOD:
        rules = _undecided(turn, rules, reading)
    if reading.quality is not GOOD and reading.quality in FROZEN:
        freeze_rules(turn, reading.point)
    for rule in rules:
        if turn.troubles:
            judge_rule(turn, rule, reading, weigh)
            continue
        try:  # as `guarded`, which is one call more for each rule of each reading
            _judge_by(turn, rule, reading, weigh)
        except Exception as error:  # noqa: BLE001 - design 2: one bad rule must not stop the others
            _note_trouble(turn, rule, error)


def _undecided(turn: Turn, rules: Sequence[Rule], reading: Reading) -> Sequence[Rule]:
    """The rules that a good reading has to be judged by one by one."""
    bounds, value = turn.house.bounds.get(reading.point), reading.value
    if bounds is None or value is None or isinstance(value, str):
        return rules
    if not bounds.low <= value <= bounds.high:
        return rules
    if not turn.alarms.keys().isdisjoint(bounds.plain):
        return rules
    return bounds.others


def judge_rule(turn: Turn, rule: Rule, reading: Reading, weigh: Weigh) -> None:
    guarded(turn, rule, _judge_by, turn, rule, reading, weigh)


def guarded(turn: Turn, rule: Rule, act: Callable[P, None], *of: P.args, **by: P.kwargs) -> None:
    """Do something for one rule; what it raises as an exception is a fault of this rule alone."""
    trouble = turn.troubles.get(rule.id)
    if trouble is not None and trouble.is_out_of_service:
        return
    try:
        act(*of, **by)
    except Exception as error:  # noqa: BLE001 - design 2: one bad rule must not stop the others
        _note_trouble(turn, rule, error)
    else:
        if trouble is not None:
            _end_trouble(turn, rule, trouble)


def _judge_by(turn: Turn, rule: Rule, reading: Reading, weigh: Weigh) -> None:
    verdict, reading = weigh(rule, reading)
    alarm = turn.alarms.get(rule.id)
    if alarm is None:
        if verdict is not OVER:
            return
        alarm = Alarm(rule.id)
    alarm, transition = alarms.take_sample(
        rule, alarm, verdict, reading, turn.now.mono_ms, partial(_is_outranked, turn)
    )
    turn.record_transition(rule, alarm, transition)


def _is_outranked(turn: Turn, rule: Rule) -> bool:
    """True for a warning under an acknowledged alarm of its point: a severity that falls."""
    if rule.severity is not Severity.WARNING:
        return False
    return any(
        other.severity is Severity.ALARM
        and other.point == rule.point
        and (alarm := turn.alarms.get(other.id)) is not None
        and alarm.state is AlarmState.AA
        and not alarm.inhibits
        for other in turn.house.rules_of.get(rule.point, ())
    )


def freeze_rules(turn: Turn, point: str) -> None:
    for rule in turn.house.rules_of.get(point, ()):
        alarm = turn.alarms.get(rule.id)
        is_silence = isinstance(rule.condition, Silent)  # that it cannot be read is its cause
        if alarm is not None and not alarm.is_stale and not is_silence:
            turn.put_alarm(alarms.freeze(alarm))


def _note_trouble(turn: Turn, rule: Rule, error: Exception) -> None:
    """The rule keeps its old state and is a fault; three failures in a minute put it out."""
    before = turn.troubles.get(rule.id, RuleTrouble(()))
    since = turn.now.mono_ms - TROUBLE_WINDOW_MS
    failed = (*(moment for moment in before.failed_ms if moment > since), turn.now.mono_ms)
    is_out = len(failed) > TROUBLES_ALLOWED
    turn.troubles = {**turn.troubles, rule.id: RuleTrouble(failed, is_out)}
    alarm = turn.alarms.get(rule.id)
    if alarm is not None and not alarm.is_stale:
        turn.put_alarm(alarms.freeze(alarm))  # no delay goes on while nobody judges
    raise_fault(turn, "rule_failed", rule.id, f"{type(error).__name__}: {error}")
    if is_out:
        raise_fault(turn, "rule_out_of_service", rule.id, f"{len(failed)} failures in a minute")


def _end_trouble(turn: Turn, rule: Rule, trouble: RuleTrouble) -> None:
    """A rule that has worked for a minute again is no longer a fault."""
    if turn.now.mono_ms - trouble.failed_ms[-1] >= TROUBLE_WINDOW_MS:
        turn.troubles = {key: kept for key, kept in turn.troubles.items() if key != rule.id}
        clear_fault(turn, "rule_failed", rule.id)


def let_delays_end(turn: Turn) -> None:
    """Let every on-delay and off-delay run out that is due.

    One that began in this turn is not over yet, and all others are in the last turn's deadline.
    """
    due = turn.state.next_deadline_ms
    if due is None or turn.now.mono_ms < due:
        return
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is not None:
            moved, transition = alarms.pass_time(
                rule, alarm, turn.now.mono_ms, partial(_is_outranked, turn)
            )
            if moved is not alarm:
                turn.record_transition(rule, moved, transition)
