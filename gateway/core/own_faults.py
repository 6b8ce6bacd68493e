"""Raise and clear the gateway's own faults, as alarms under the rules of `core.faults`."""

from dataclasses import replace

from gateway.core import alarms
from gateway.core.faults import fault_id, fault_rule
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.records import Range


def raise_fault(turn: Turn, code: str, subject: str, detail: str = "") -> None:
    """A fault that is open already is not raised again."""
    rule = fault_rule(code, subject)
    alarm = turn.alarms.get(rule.id, Alarm(rule.id))
    if alarm.state in (AlarmState.UA, AlarmState.AA):
        return
    alarm = replace(alarm, detail=detail, silenced_until_ms=None, cleared_ms=None)
    turn.record_transition(rule, *alarms.advance(rule, alarm, alarms.HELD))


def clear_fault(turn: Turn, code: str, subject: str) -> None:
    alarm = turn.alarms.get(fault_id(code, subject))
    if alarm is None:
        return
    rule = fault_rule(code, subject)
    turn.record_transition(rule, *alarms.advance(rule, alarm, alarms.CLEARED))


def record_gap(turn: Turn, gone: Range, why: str) -> None:
    """Say which records will be missing or thinned; the store waits for this to be durable."""
    fields = {"lane": gone.lane.value, "ep": gone.epoch, "from": gone.lo, "to": gone.hi}
    turn.record_fact("gap", {**fields, "why": why})
