"""What people ask for: silence, acknowledge, reset, a test of the panel."""

from collections.abc import Callable
from dataclasses import replace

from gateway.core import alarms
from gateway.core.panel import BOOT_TEST_MS
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.alarms import Alarm, Transition
from gateway.domain.outcome import Reply
from gateway.domain.rules import Rule, Severity

FAULT_SILENCE_MS = 12 * 3_600_000  # field/patrol-and-alarms 5, pattern F


def silence(turn: Turn, event: events.Silence) -> None:
    silenced = 0
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is None or not alarm.is_sounding(turn.now.mono_ms):
            continue
        length = turn.house.silence_ms if rule.severity is Severity.ALARM else FAULT_SILENCE_MS
        quiet = alarms.silence(alarm, turn.now.mono_ms + length)
        quiet = replace(quiet, silenced_at=turn.now)
        turn.record_transition(rule, quiet, Transition.SILENCE, event.by)
        silenced += 1
    _answer(turn, event.reply_to, done=silenced)


def acknowledge(turn: Turn, event: events.Acknowledge) -> None:
    _on_alarms(turn, event, alarms.acknowledge)


def reset(turn: Turn, event: events.Reset) -> None:
    _on_alarms(turn, event, alarms.reset)


def _on_alarms(
    turn: Turn,
    event: events.Acknowledge | events.Reset,
    act: Callable[[Rule, Alarm], tuple[Alarm, Transition | None]],
) -> None:
    """Apply a person's verb to one alarm (by rule or occurrence) or to all it fits."""
    done, found = 0, 0
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is None or event.alarm not in (None, alarm.rule, alarm.occurrence):
            continue
        found += 1
        moved, transition = act(rule, alarm)
        if transition is not None:
            turn.record_transition(rule, moved, transition, event.by)
            done += 1
    _answer(turn, event.reply_to, done=done, is_unknown=event.alarm is not None and not found)


def _answer(turn: Turn, to: int | None, *, done: int, is_unknown: bool = False) -> None:
    if to is None:
        return
    code = "unknown_alarm" if is_unknown else "done" if done else "nothing_to_do"
    turn.replies.append(Reply(to, ok=done > 0, code=code))


def test_panel(turn: Turn, event: events.LampTest) -> None:
    """Light every lamp for two seconds and sound one tone; not while an alarm sounds."""
    is_sounding = any(
        alarm.is_sounding(turn.now.mono_ms) and _severity(turn, alarm) is Severity.ALARM
        for alarm in turn.alarms.values()
    )
    if not is_sounding:
        turn.state = replace(turn.state, lamp_test_until_ms=turn.now.mono_ms + BOOT_TEST_MS)
        turn.record_fact("panel_test", {"by": event.by})
    if event.reply_to is not None:
        code = "alarm_sounding" if is_sounding else "done"
        turn.replies.append(Reply(event.reply_to, ok=not is_sounding, code=code))


def _severity(turn: Turn, alarm: Alarm) -> Severity | None:
    rule = turn.house.rule(alarm.rule)
    return rule.severity if rule else None
