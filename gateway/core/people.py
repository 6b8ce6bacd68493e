"""What people ask for: silence, acknowledge, reset, a test of the panel."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from gateway.core import alarms
from gateway.core.acceptance_items import outputs_of
from gateway.core.noise import silence_flood, silence_one
from gateway.core.panel_trial import begin_trial, note_press
from gateway.core.refusals import REFUSALS
from gateway.core.state import quality_now
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.alarms import Alarm
from gateway.domain.modes import Mode, mode_of
from gateway.domain.outcome import Reply
from gateway.domain.rules import Rule, Severity
from gateway.domain.signals import Pattern

NOBODY = frozenset({"", "panel"})  # may silence, and nothing else

Refusal = Callable[[Turn, Rule, Alarm], str | None]  # a code of `core.refusals`, or None


def silence(turn: Turn, event: events.Silence) -> None:
    """Stop what sounds now; in a flood also the warnings and faults that still join it."""
    silenced = 0
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is not None and alarm.is_sounding(turn.now.mono_ms):
            silence_one(turn, rule, alarm, event.by)
            silenced += 1
    if silenced:
        silence_flood(turn, event.by)
    if event.by == "panel":
        note_press(turn)
    chirps = {turn.state.signal.pattern, turn.state.signal.chirp} & {Pattern.U, Pattern.R}
    turn.state = replace(turn.state, silenced=turn.state.silenced | chirps)
    answer(turn, event.reply_to, done=silenced + len(chirps))


def acknowledge(turn: Turn, event: events.Acknowledge) -> None:
    """A named person has seen it; of one point's alarms the less severe ones with it."""
    if event.by in NOBODY:
        refuse(turn, event.reply_to, "needs_person")
        return
    found = _meant(turn, event.alarm)
    done = sum(_acknowledge_one(turn, rule, alarm, event.by) for rule, alarm in found)
    if event.alarm is not None:
        for rule, _ in found:
            for lower in _lower_ones(turn, rule):
                _acknowledge_one(turn, *lower, event.by)
    _answer_or_refuse(turn, event.reply_to, event.alarm, len(found), done, ())


def _acknowledge_one(turn: Turn, rule: Rule, alarm: Alarm, by: str) -> bool:
    moved, transition = alarms.acknowledge(rule, alarm)
    if transition is None:
        return False
    seen = replace(
        moved,
        acked=turn.now,
        acked_by=by,
        acked_ms=turn.now.mono_ms,
        acked_as=rule.severity.value,
    )
    turn.record_transition(rule, seen, transition, by)
    pending = alarms.begun_anew(seen)
    if pending is not None:
        turn.put_alarm(pending)
    return True


def _lower_ones(turn: Turn, rule: Rule) -> list[tuple[Rule, Alarm]]:
    """The warnings of the point of an alarm: whoever has seen the alarm has seen them."""
    if rule.severity is not Severity.ALARM or mode_of(rule.id) is not Mode.REAL:
        return []
    return [
        (other, alarm)
        for other in turn.house.rules_of.get(rule.point, ())
        if other.point == rule.point
        and other.severity is Severity.WARNING
        and (alarm := turn.alarms.get(other.id)) is not None
    ]


def no_refusal(_turn: Turn, _rule: Rule, _alarm: Alarm) -> str | None:
    return None


def reset(turn: Turn, event: events.Reset, is_refused: Refusal = no_refusal) -> None:
    """End latched alarms whose value is normal and trusted, unless `is_refused` says why not."""
    if event.by in NOBODY:
        refuse(turn, event.reply_to, "needs_person")
        return
    found, done, refusals = _meant(turn, event.alarm), 0, []
    for rule, alarm in found:
        refusal = _reset_refusal(turn, rule, alarm) or is_refused(turn, rule, alarm)
        if refusal is not None:
            refusals.append(refusal)
            continue
        moved, transition = alarms.reset(rule, alarm)
        turn.record_transition(rule, moved, transition, event.by)
        done += 1
    _answer_or_refuse(turn, event.reply_to, event.alarm, len(found), done, refusals)


def _reset_refusal(turn: Turn, rule: Rule, alarm: Alarm) -> str | None:
    refusal = alarms.reset_refusal(alarm)
    point = turn.house.points.get(rule.point)
    if refusal is not None or point is None:
        return refusal
    device = turn.devices.get(point.device)
    known = device.points.get(point.id) if device is not None else None
    quality = quality_now(point, known, turn.now.mono_ms).quality
    return None if quality in rule.judges else "value_unknown"


def _meant(turn: Turn, name: str | None) -> list[tuple[Rule, Alarm]]:
    """The alarms that a person means: by rule or occurrence; all of them without a name."""
    return [
        (rule, alarm)
        for alarm in turn.alarms.values()
        if name in (None, alarm.rule, alarm.occurrence)
        and (rule := turn.house.rule(alarm.rule)) is not None
    ]


def _answer_or_refuse(
    turn: Turn, to: int | None, name: str | None, found: int, done: int, refusals: Iterable[str]
) -> None:
    """One alarm by its name: why not. All at once: the first reason that says what to do."""
    telling = [code for code in refusals if code != "nothing_to_do"]
    if done:
        answer(turn, to, done=done)
    elif name is not None and not found:
        refuse(turn, to, "unknown_alarm")
    else:
        refuse(turn, to, telling[0] if telling else "nothing_to_do")


def answer(turn: Turn, to: int | None, *, done: int) -> None:
    if not done:
        refuse(turn, to, "nothing_to_do")
    elif to is not None:
        turn.replies.append(Reply(to, ok=True, code="done"))


def refuse(turn: Turn, to: int | None, code: str) -> None:
    if to is not None:
        turn.replies.append(Reply(to, ok=False, code=code, say=REFUSALS.get(code)))


def test_panel(turn: Turn, event: events.LampTest) -> None:
    """Light every lamp for two seconds and sound one tone; not while an alarm sounds."""
    if event.output and event.output not in outputs_of(turn.house.site):
        refuse(turn, event.reply_to, "unknown_output")
        return
    is_sounding = any(
        alarm.is_sounding(turn.now.mono_ms) and _severity(turn, alarm) is Severity.ALARM
        for alarm in turn.alarms.values()
    )
    if not is_sounding:
        begin_trial(turn, event)
        answer(turn, event.reply_to, done=1)
    else:
        refuse(turn, event.reply_to, "alarm_sounding")


def _severity(turn: Turn, alarm: Alarm) -> Severity | None:
    rule = turn.house.rule(alarm.rule)
    return rule.severity if rule else None
