"""What people do with cases: arrive, judge and act, close, enter an alarm that never came."""

from dataclasses import replace

from gateway.core.cases import alarm_of, close_case, put_case
from gateway.core.ladder import note_arrival
from gateway.core.messages import occurrence_id
from gateway.core.practice import note_scene
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.cases import (
    ACTIONS,
    CAUSES,
    MIN_TEXT,
    REFUSALS,
    Arrival,
    Case,
    Evidence,
    Finding,
    Place,
    Stamp,
    Verdict,
)
from gateway.domain.modes import Mode, mode_of
from gateway.domain.outcome import Reply
from gateway.domain.rules import Rule, Severity
from gateway.domain.text import Text

PANEL = "panel"  # a button is no person


def arrive(turn: Turn, event: events.Arrive) -> None:
    """Somebody is at the place of one case, or of every open case of a place; the first counts."""
    found = [
        case
        for case in turn.state.cases.values()
        if event.alarm in (case.occurrence, case.rule)
        or (event.alarm is None and event.place == case.where.text)
    ]
    new = [case for case in found if case.arrived is None]
    for case in new:
        arrival = Arrival(turn.now, event.by, event.proof, event.place or case.where.text)
        put_case(turn, replace(case, arrived=arrival))
        fields = {"case": case.occurrence, "by": event.by, "proof": event.proof}
        turn.record_fact("arrival", {**fields, "place": arrival.place}, mode_of(case.rule))
        note_arrival(turn, case.rule)
        if mode_of(case.rule) is Mode.DRILL:
            note_scene(turn, "arrive", case.rule, event.by)
    refusal = "" if new else "nothing_to_do" if found else "unknown_case"
    _answer(turn, event.reply_to, refusal, new[0].occurrence if new else "")


def handle(turn: Turn, event: events.Handle) -> None:
    """Write down what it was and what was done; may be corrected until the case is closed."""
    case = case_named(turn, event.case)
    refusal = "unknown_case" if case is None else _refusal_to_handle(case, event)
    if case is not None and not refusal:
        finding = Finding(
            verdict=Verdict(event.verdict),
            by=event.by,
            at=turn.now,
            cause=event.cause,
            actions=event.actions,
            text=event.text.strip(),
            has_called_119=event.has_called_119,
            has_evacuated=event.has_evacuated,
        )
        put_case(turn, replace(case, finding=finding))
        _record_finding(turn, case, finding)
    _answer(turn, event.reply_to, refusal, case.occurrence if case else "")


def needs_verdict(turn: Turn, rule: Rule, alarm: Alarm) -> str | None:
    """Why a latched alarm cannot be reset yet: nobody has said what it was (4.2 of the field)."""
    case = turn.state.cases.get(alarm.occurrence)
    is_owed = case is not None and case.finding is None and mode_of(rule.id) is Mode.REAL
    return "needs_verdict" if is_owed and rule.severity is Severity.ALARM else None


def close(turn: Turn, event: events.Close) -> None:
    """End a case: of an alarm only by another person than who handled it."""
    case = case_named(turn, event.case)
    refusal = "unknown_case" if case is None else refusal_to_close(turn, case, event.by)
    if case is not None and not refusal:
        close_case(turn, replace(case, closed=Stamp(turn.now, event.by)))
    _answer(turn, event.reply_to, refusal, case.occurrence if case else "")


def enter_missed(turn: Turn, event: events.MissedEntered) -> None:
    """漏报: people found what no rule raised. Its case is handled by who enters it."""
    refusal = _refusal_of_words(event.by, event.cause, (), event.text)
    occurrence = ""
    if not refusal:
        point = turn.house.points.get(event.point)
        fields = {"by": event.by, "place": event.place, "point": event.point}
        entry = turn.record_fact("missed_alarm", {**fields, "told": event.told_ms})
        occurrence = occurrence_id(entry.epoch, entry.lane, entry.seq)
        finding = Finding(
            Verdict.MISSED, event.by, turn.now, cause=event.cause, text=event.text.strip()
        )
        case = Case(
            occurrence=occurrence,
            severity=Severity.ALARM,
            say=Text("漏报（补录）", "Missed alarm, entered by hand"),
            raised=turn.now,
            where=Place(event.place, point.device if point else ""),
            point=event.point,
            kind=(point.kind or "") if point else "",
            site_sha=turn.house.site_sha,
            evidence=Evidence(after={}),
            finding=finding,
            told_ms=event.told_ms,
        )
        put_case(turn, case)
        _record_finding(turn, case, finding)
    _answer(turn, event.reply_to, refusal, occurrence)


def case_named(turn: Turn, name: str) -> Case | None:
    """The open case of this occurrence, or the newest one of this rule."""
    found = turn.state.cases.get(name)
    if found is not None:
        return found
    of_rule = [case for case in turn.state.cases.values() if case.rule == name]
    return of_rule[-1] if of_rule else None


def refusal_to_close(turn: Turn, case: Case, by: str) -> str:
    """The one reason why this person cannot close it now; "" when nothing is in the way."""
    alarm = alarm_of(turn, case)
    if alarm is not None:
        latched = {AlarmState.LU: "alarm_unacknowledged", AlarmState.LA: "alarm_unreset"}
        unseen = {AlarmState.RU: "alarm_unacknowledged"}
        return {**latched, **unseen}.get(alarm.state, "alarm_active")
    if case.finding is None:
        return "no_verdict"
    if by in ("", PANEL):
        return "needs_person"
    needs_two = case.severity is Severity.ALARM and not case.is_drill
    return "same_person" if needs_two and by == case.finding.by else ""


def _refusal_to_handle(case: Case, event: events.Handle) -> str:
    if event.verdict not in set(Verdict):
        return "unknown_verdict"
    verdict = Verdict(event.verdict)
    if verdict is Verdict.MISSED and case.rule:
        return "missed_is_entered"
    refusal = _refusal_of_words(event.by, event.cause, event.actions, event.text)
    if refusal:
        return refusal
    is_real = verdict is Verdict.REAL and case.severity is Severity.ALARM
    answers = (event.has_called_119, event.has_evacuated)
    return "answers_missing" if is_real and None in answers else ""


def _refusal_of_words(by: str, cause: str, actions: tuple[str, ...], text: str) -> str:
    if by in ("", PANEL):
        return "needs_person"
    if cause and cause not in CAUSES:
        return "unknown_cause"
    if any(action not in ACTIONS for action in actions):
        return "unknown_action"
    is_covered = cause not in ("", "other") and "other" not in actions
    is_said = len(text.strip()) >= MIN_TEXT
    return "" if is_covered or is_said else "text_too_short"


def _record_finding(turn: Turn, case: Case, finding: Finding) -> None:
    turn.record_fact(
        "case_handled",
        {
            "case": case.occurrence,
            "by": finding.by,
            "verdict": finding.verdict.value,
            "cause": finding.cause,
            "actions": list(finding.actions),
            "text": finding.text,
            "called_119": finding.has_called_119,
            "evacuated": finding.has_evacuated,
        },
        mode_of(case.rule),
    )


def _answer(turn: Turn, to: int | None, refusal: str, occurrence: str) -> None:
    if to is None:
        return
    if refusal:
        turn.replies.append(Reply(to, ok=False, code=refusal, say=REFUSALS[refusal]))
    else:
        turn.replies.append(Reply(to, ok=True, code="done", case=occurrence))
