"""What people take out for a while: shelving, out of service; and what that does to alarms."""

from dataclasses import replace

from gateway.core.inhibits import bus_subject, inhibits_of
from gateway.core.life_data import OUT, SHELVED, to_json
from gateway.core.people import NOBODY, answer, refuse
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.alarms import Alarm, AlarmState, Inhibit
from gateway.domain.inhibits import SHELVED_AT_MOST_MS, OutOfService, Shelving
from gateway.domain.modes import Mode, mode_of
from gateway.domain.rules import Rule, Severity
from gateway.domain.signals import Pattern

CHIRP = Pattern.K1  # one short tone


def shelve(turn: Turn, event: events.Shelve) -> None:
    """Keep one warning or fault quiet for at most 8 h."""
    rule = _rule_of(turn, event.alarm)
    refusal = _shelve_refusal(turn, event, rule)
    if rule is None or refusal is not None:
        refuse(turn, event.reply_to, refusal or "unknown_alarm")
        return
    until = turn.now.mono_ms + event.for_ms
    shelving = Shelving(rule.id, event.by, event.why, turn.now, until)
    turn.state = replace(turn.state, shelved={**turn.state.shelved, rule.id: shelving})
    turn.keep(SHELVED, rule.id, to_json(shelving))
    facts = {"rule": rule.id, "by": event.by, "why": event.why, "for": event.for_ms}
    turn.record_fact("shelve", {**facts, "alarm": _occurrence(turn, rule.id)})
    answer(turn, event.reply_to, done=1)


def _shelve_refusal(turn: Turn, event: events.Shelve, rule: Rule | None) -> str | None:
    if event.by in NOBODY:
        return "needs_person"
    if rule is None or mode_of(rule.id) is not Mode.REAL:
        return "unknown_alarm"
    if rule.severity is Severity.ALARM:
        return "not_for_alarms"
    if rule.id in turn.state.shelved:
        return "is_shelved"
    if not 0 < event.for_ms <= SHELVED_AT_MOST_MS:
        return "too_long"
    return None if event.why.strip() else "needs_reason"


def unshelve(turn: Turn, event: events.Unshelve) -> None:
    rule = _rule_of(turn, event.alarm)
    rule_id = event.alarm if rule is None else rule.id
    if event.by in NOBODY:
        refuse(turn, event.reply_to, "needs_person")
    elif rule_id not in turn.state.shelved:
        refuse(turn, event.reply_to, "unknown_alarm" if rule is None else "not_shelved")
    else:
        _end_shelving(turn, rule_id, event.by)
        answer(turn, event.reply_to, done=1)


def end_shelvings(turn: Turn) -> None:
    """Shelvings end by themselves, with one short tone."""
    if not turn.state.shelved and not turn.state.unshelved:
        return
    for rule_id, shelving in list(turn.state.shelved.items()):
        if turn.now.mono_ms >= shelving.until_ms:
            _end_shelving(turn, rule_id, "")
    for each in turn.state.unshelved:  # while the daemon was down, or its clock unknown
        _end_shelving(turn, each.key, "")
    if turn.state.unshelved:
        turn.state = replace(turn.state, unshelved=())


def _end_shelving(turn: Turn, rule_id: str, by: str) -> None:
    """`by` nobody: its time is over."""
    shelved = {key: each for key, each in turn.state.shelved.items() if key != rule_id}
    turn.state = replace(turn.state, shelved=shelved)
    turn.keep(SHELVED, rule_id, None)
    facts = {"rule": rule_id, "by": by, "alarm": _occurrence(turn, rule_id)}
    turn.record_fact("unshelve", facts)
    if not by:
        turn.state = replace(turn.state, tone=CHIRP, tone_since_ms=turn.now.mono_ms)


def take_out_of_service(turn: Turn, event: events.TakeOutOfService) -> None:
    """A bus with its devices, a device, point or rule is quiet until it is in service again."""
    subject = _subject_of(turn, event.subject)
    refusal = (
        "needs_person"
        if event.by in NOBODY
        else "unknown_subject"
        if subject is None
        else "is_out_of_service"
        if subject in turn.state.out_of_service
        else "needs_reason"
        if not event.why.strip()
        else None
        if event.order.strip()
        else "needs_order"
    )
    if subject is None or refusal is not None:
        refuse(turn, event.reply_to, refusal or "unknown_subject")
        return
    out = OutOfService(subject, event.by, event.why, event.order, turn.now)
    turn.state = replace(turn.state, out_of_service={**turn.state.out_of_service, subject: out})
    turn.keep(OUT, subject, to_json(out))
    facts = {"subject": subject, "by": event.by, "why": event.why, "order": event.order}
    turn.record_fact("out_of_service", facts)
    answer(turn, event.reply_to, done=1)


def put_in_service(turn: Turn, event: events.PutInService) -> None:
    subject = _subject_of(turn, event.subject)
    out = turn.state.out_of_service.get(subject or event.subject)
    if event.by in NOBODY:
        refuse(turn, event.reply_to, "needs_person")
    elif out is None:
        refuse(turn, event.reply_to, "unknown_subject" if subject is None else "in_service")
    else:
        left = {key: each for key, each in turn.state.out_of_service.items() if each != out}
        turn.state = replace(turn.state, out_of_service=left)
        turn.keep(OUT, out.subject, None)
        facts = {"subject": out.subject, "by": event.by, "order": out.order}
        turn.record_fact("in_service", facts)
        answer(turn, event.reply_to, done=1)


def settle_inhibits(turn: Turn) -> None:
    """Let every alarm know what keeps it quiet now; one that nothing does any more calls out.

    An occurrence that began and ended while it was inhibited has called nobody: see `QUIET`.
    """
    if not turn.records and not turn.kept:
        return  # neither an alarm, nor a shelving, nor a work order has changed
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is None or alarm.state is AlarmState.P:
            continue
        inhibits = inhibits_of(turn.state, turn.alarms, rule)
        if inhibits != alarm.inhibits:
            turn.change_alarm(_inhibited(alarm, inhibits, turn.now.mono_ms))


def _inhibited(alarm: Alarm, inhibits: tuple[Inhibit, ...], mono_ms: int) -> Alarm:
    alarm = replace(alarm, inhibits=inhibits)
    return alarm if inhibits else replace(alarm, is_quiet=False, called_ms=mono_ms)


def _rule_of(turn: Turn, name: str) -> Rule | None:
    """The rule of this id, or of the open alarm with this occurrence; one that is known."""
    for alarm in turn.alarms.values():
        if name in (alarm.rule, alarm.occurrence):
            return turn.house.rule(alarm.rule)
    return turn.house.rules.get(name)


def _subject_of(turn: Turn, name: str) -> str | None:
    """A device, a point, a rule (also a fault that is open) or a bus, by its id.

    A bus also as `bus/<id>`, which is what it is kept as: a device may have the same id.
    """
    house = turn.house
    if name in house.devices or name in house.points or name in house.rules:
        return name
    alarm = turn.alarms.get(name)
    if alarm is not None and mode_of(name) is Mode.REAL:
        return name
    bus = name.removeprefix("bus/")
    return bus_subject(bus) if bus in house.devices_on else None


def _occurrence(turn: Turn, rule_id: str) -> str:
    alarm = turn.alarms.get(rule_id)
    return alarm.occurrence if alarm is not None and alarm.state.is_open else ""
