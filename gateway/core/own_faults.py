"""Raise and clear the gateway's own faults, as alarms under the rules of `core.faults`."""

from dataclasses import replace

from gateway.core import alarms
from gateway.core.faults import fault_id, fault_rule
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm
from gateway.domain.records import Range

MOMENTARY = frozenset({"inbox_overrun", "record_parked"})  # it happened; nothing says that it ends


def tell_fault(turn: Turn, code: str, subject: str, detail: str) -> None:
    """A fault that others found. One that only happened waits for a person, and for no end."""
    raise_fault(turn, code, subject, detail)
    alarm = turn.alarms.get(fault_id(code, subject))
    if alarm is not None and detail and alarm.detail != detail:
        turn.change_alarm(replace(alarm, detail=detail))  # it stands, by now for another reason
    if code in MOMENTARY:
        clear_fault(turn, code, subject)


def raise_fault(
    turn: Turn, code: str, subject: str, detail: str = "", *, onset_ms: int | None = None
) -> None:
    """A fault that is open already is not raised again. `onset_ms` (mono): since when it is so."""
    rule = fault_rule(code, subject)
    alarm = turn.alarms.get(rule.id, Alarm(rule.id))
    if alarm.state.is_active:
        held = alarms.hold(alarm, turn.now.mono_ms)
        if held is not alarm:
            turn.change_alarm(held)
        return
    alarm = replace(alarm, detail=detail, over_since_ms=onset_ms)
    turn.record_transition(rule, *alarms.raise_it(rule, alarm, turn.now.mono_ms))


def clear_fault(turn: Turn, code: str, subject: str) -> None:
    alarm = turn.alarms.get(fault_id(code, subject))
    if alarm is None:
        return
    if alarm.chatter and alarm.state.is_active:  # it comes and goes: is it gone for longer?
        if alarm.clear_since_ms is None:
            turn.change_alarm(replace(alarm, clear_since_ms=turn.now.mono_ms, is_normal=True))
        return
    rule = fault_rule(code, subject)
    turn.record_transition(rule, *alarms.advance(rule, alarm, alarms.CLEARED))


def record_gap(turn: Turn, gone: Range, why: str) -> None:
    """Say which records will be missing or thinned; the store waits for this to be durable."""
    fields = {"lane": gone.lane.value, "ep": gone.epoch, "from": gone.lo, "to": gone.hi}
    turn.record_fact("gap", {**fields, "why": why})
