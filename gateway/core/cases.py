"""The life of a case: opened by a raise, filled by what follows, closed by people.

Alarms do not know of cases. At the end of each step `follow_cases` looks at the transitions that
the turn recorded, and at what is due: the minute after, and receipts that did not come. Open cases
are kept over a restart; a closed one stands whole in its record `case` and is forgotten here.
"""

from collections.abc import Mapping
from dataclasses import replace

from gateway.core import case_data
from gateway.core.receipts import awaited_until_ms, give_up_waiting, settle_silence
from gateway.core.trail import MINUTE_MS, samples
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, Transition
from gateway.domain.cases import (
    Audience,
    Case,
    Delivery,
    Evidence,
    Place,
    RawReply,
    Samples,
    Stamp,
)
from gateway.domain.modes import Mode, parted
from gateway.domain.rules import Rule, Severity

MAX_OPEN = 500  # nobody closes them: the oldest that is over is let go, on the record
MAX_ROWS = 480  # of one minute of one case, all points together


def follow_cases(turn: Turn) -> None:
    """Let cases follow what the turn recorded and what is due; nearly always there is nothing."""
    for moved in list(turn.transitions):
        _follow(turn, *moved)
    due = turn.state.case_due_ms
    if due is not None and turn.now.mono_ms >= due:
        for case in list(turn.state.cases.values()):
            _complete(turn, case)
            give_up_waiting(turn, case.occurrence)
        _plan(turn)


def adopt_cases(turn: Turn) -> None:
    """After a start: an open alarm whose case was not kept gets one, without its first minute."""
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is None or not alarm.state.is_open or alarm.occurrence in turn.state.cases:
            continue
        if _has_case(turn, rule):
            _open(turn, rule, alarm)
    _plan(turn)


def put_case(turn: Turn, case: Case) -> None:
    """Remember a case as it is now, also over a restart."""
    is_new = case.occurrence not in turn.state.cases
    turn.state = replace(turn.state, cases={**turn.state.cases, case.occurrence: case})
    turn.keep(case_data.KEPT_CASE, case.occurrence, case_data.case_text(case))
    if is_new:
        turn.keep(case_data.KEPT_EVIDENCE, case.occurrence, case_data.evidence_text(case.evidence))
        _let_go(turn)
    _advance(turn, _due_ms(turn, case))


def close_case(turn: Turn, case: Case, *, is_lapsed: bool = False) -> None:
    """Write the whole case on the record and forget it."""
    if case.evidence.after is None:
        after = _minute(turn, case, case.raised.mono_ms, turn.now.mono_ms)
        case = replace(case, evidence=replace(case.evidence, after=after, is_whole=False))
    data = {**case_data.whole_data(case), "lapsed": is_lapsed}
    turn.record_fact("case", data, parted(case.rule)[0])
    cases = {key: kept for key, kept in turn.state.cases.items() if key != case.occurrence}
    turn.state = replace(turn.state, cases=cases)
    turn.keep(case_data.KEPT_CASE, case.occurrence, None)
    turn.keep(case_data.KEPT_EVIDENCE, case.occurrence, None)
    settle_silence(turn)
    _plan(turn)


def alarm_of(turn: Turn, case: Case) -> Alarm | None:
    """The alarm as long as it is still about this occurrence and not over."""
    alarm = turn.alarms.get(case.rule)
    if alarm is None or alarm.occurrence != case.occurrence or not alarm.state.is_open:
        return None
    return alarm


def _has_case(turn: Turn, rule: Rule) -> bool:
    return rule.severity in turn.house.opens_case and parted(rule.id)[0] is not Mode.TEST


def _follow(turn: Turn, rule: Rule, alarm: Alarm, transition: Transition, by: str) -> None:
    if transition is Transition.RAISE:
        if _has_case(turn, rule):
            _open(turn, rule, alarm)
        return
    case = turn.state.cases.get(alarm.occurrence)
    if case is not None:
        case = _as_noisy(_noted(case, transition, Stamp(turn.now, by)), alarm)
        if case.sounded is None and alarm.is_sounding(turn.now.mono_ms):
            case = replace(case, sounded=turn.now)
        put_case(turn, case)


def _as_noisy(case: Case, alarm: Alarm) -> Case:
    """The case with what is known by now of the flood and the chatter that the alarm is part of."""
    return replace(
        case,
        flood=alarm.flood,
        is_first_out=alarm.is_first_out,
        activations=max(case.activations, alarm.chatter),
    )


def _noted(case: Case, transition: Transition, stamp: Stamp) -> Case:
    """The case with one transition of its alarm; the first silence and acknowledgement count."""
    match transition:
        case Transition.AGAIN:
            case = replace(case, returned=None, activations=case.activations + 1)
        case Transition.CLEAR:
            case = replace(case, returned=stamp.at)
        case Transition.SILENCE if case.silenced is None:
            case = replace(case, silenced=stamp)
        case Transition.ACK if case.acked is None:
            case = replace(case, acked=stamp)
        case Transition.RESET:
            case = replace(case, reset=stamp)
    return case


def _open(turn: Turn, rule: Rule, alarm: Alarm) -> None:
    house, raised = turn.house, alarm.raised or turn.now
    mode, rule_id = parted(rule.id)
    point = house.points.get(rule.point)
    case = Case(
        occurrence=alarm.occurrence,
        severity=rule.severity,
        say=rule.say,
        raised=raised,
        where=_where(turn, rule),
        rule=rule.id,
        point=rule.point,
        kind=(point.kind or "") if point else "",
        unit=turn.unit_of(rule),
        value=alarm.value,
        limit=rule.limit,
        site_sha=house.site_sha,
        flood=alarm.flood,
        is_drill=mode is Mode.DRILL,
        is_test=mode is Mode.TEST,
        sounded=turn.now if alarm.is_sounding(turn.now.mono_ms) else None,
        deliveries=tuple(
            Delivery(Audience(name))
            for name in house.sender.audiences.get(rule.severity, ())
            if mode is Mode.REAL and house.receipt_within_ms
        ),
    )
    is_whole = raised.boot == turn.now.boot and (
        turn.state.started_ms <= raised.mono_ms - MINUTE_MS
    )
    before: Samples = {}
    if raised.boot == turn.now.boot:
        before = _minute(turn, case, raised.mono_ms - MINUTE_MS, raised.mono_ms)
    evidence = Evidence(before, _reply(turn, rule_id), is_whole=is_whole)
    _record_part(turn, case, "before", before, evidence.reply, is_whole=is_whole)
    put_case(turn, replace(case, evidence=evidence))


def _where(turn: Turn, rule: Rule) -> Place:
    point = turn.house.points.get(rule.point)
    device = turn.house.devices.get(point.device) if point else None
    if point is None or device is None:
        return Place(turn.place_of(rule))
    return Place(device.place, device.id, device.bus, device.unit, point.table.value, point.at)


def _reply(turn: Turn, rule_id: str) -> RawReply | None:
    """The newest reply that holds the rule's point."""
    rule = turn.house.rules.get(rule_id)
    point = turn.house.points.get(rule.point) if rule else None
    known = turn.devices.get(point.device) if point else None
    if point is None or known is None:
        return None
    for block in known.replies.values():
        if block.table is point.table and block.start <= point.at < block.start + len(block.words):
            return RawReply(point.table.value, block.start, tuple(block.words))
    return None


def _minute(turn: Turn, case: Case, from_ms: int, to_ms: int) -> Samples:
    """What the points of the case's rule said in that time, thinned to what a record can carry."""
    rule = turn.house.rules.get(parted(case.rule)[1])
    points = [name for name in rule.points if name in turn.house.points] if rule else []
    found = {}
    for name in points:
        device = turn.devices.get(turn.house.points[name].device)
        trail = device.trails.get(name) if device else None
        rows = samples(trail, from_ms, to_ms, case.raised.mono_ms)
        step = -(-len(rows) * len(points) // MAX_ROWS) or 1
        found[name] = (*rows[:-1:step], *rows[-1:])
    return found


def _complete(turn: Turn, case: Case) -> None:
    """Take the minute after, when it is over; after a restart there may be little of it."""
    if case.evidence.after is not None or turn.now.mono_ms < _minute_over_ms(turn, case):
        return
    is_same_boot = case.raised.boot == turn.now.boot
    is_whole = is_same_boot and case.raised.mono_ms >= turn.state.started_ms
    after: Samples = {}
    if is_same_boot:
        from_ms = case.raised.mono_ms
        after = _minute(turn, case, from_ms, from_ms + MINUTE_MS)
    evidence = replace(case.evidence, after=after, is_whole=case.evidence.is_whole and is_whole)
    turn.keep(case_data.KEPT_EVIDENCE, case.occurrence, case_data.evidence_text(evidence))
    put_case(turn, replace(case, evidence=evidence))
    if case.rule:
        _record_part(turn, case, "after", after, None, is_whole=is_whole)


def _record_part(
    turn: Turn,
    case: Case,
    part: str,
    found: Samples,
    reply: RawReply | None,
    *,
    is_whole: bool,
) -> None:
    data = case_data.evidence_data(Evidence(found, reply))
    turn.record_fact(
        "case_evidence",
        {
            "case": case.occurrence,
            "part": part,
            "whole": is_whole,
            "samples": data["before"],
            "reply": data["reply"],
        },
        parted(case.rule)[0],
    )


def _minute_over_ms(turn: Turn, case: Case) -> int:
    """When the minute after the raise is over, on this boot's clock."""
    is_same_boot = case.raised.boot == turn.now.boot
    return case.raised.mono_ms + MINUTE_MS if is_same_boot else turn.state.started_ms


def _due_ms(turn: Turn, case: Case) -> int | None:
    """When a case has something to do by itself, next."""
    until = awaited_until_ms(turn, case)
    if case.evidence.after is not None:
        return until
    over = _minute_over_ms(turn, case)
    return over if until is None else min(until, over)


def _advance(turn: Turn, due: int | None) -> None:
    """Look at cases at this moment, if not earlier: then it is found what is due after it."""
    planned = turn.state.case_due_ms
    if due is not None and (planned is None or due < planned):
        turn.state = replace(turn.state, case_due_ms=due)


def _plan(turn: Turn) -> None:
    """When the first of all cases has something to do by itself."""
    moments = (_due_ms(turn, case) for case in turn.state.cases.values())
    due = min((moment for moment in moments if moment is not None), default=None)
    if due != turn.state.case_due_ms:
        turn.state = replace(turn.state, case_due_ms=due)


def _let_go(turn: Turn) -> None:
    """Too many open cases: the oldest warning that is over goes first, then the oldest alarm."""
    if len(turn.state.cases) <= MAX_OPEN:
        return
    over = [case for case in turn.state.cases.values() if alarm_of(turn, case) is None]
    warnings = [case for case in over if case.severity is not Severity.ALARM]
    for case in (warnings or over)[:1]:
        close_case(turn, case, is_lapsed=True)


def counts(cases: Mapping[str, Case]) -> dict[str, int]:
    """How many cases are open, and of these: nobody has judged, somebody else has to close."""
    return {
        "open": len(cases),
        "to_handle": sum(case.finding is None for case in cases.values()),
        "to_close": sum(case.finding is not None for case in cases.values()),
    }
