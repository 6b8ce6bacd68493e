"""Cases as plain data for screens: what is open and what it waits for, one whole, those closed."""

import json

from gateway.core.case_data import Data, derived, whole_data
from gateway.core.case_verbs import case_named, refusal_to_close
from gateway.core.cases import alarm_of
from gateway.core.messages import unpack
from gateway.core.state import State
from gateway.core.turn import Turn, begin
from gateway.domain.cases import REFUSALS, VERDICTS, Case, Delivery, ReceiptLevel, between_ms
from gateway.domain.moments import Now
from gateway.domain.records import Record

SOMEBODY = "-"  # who is not who handled it
MAX_RECORD = 4 * 2**20  # bytes, of our own record when it is inflated


def cases_view(state: State, now: Now) -> list[Data]:
    """Every open case, newest first: what, where, how far it is, why it cannot be closed yet."""
    turn = begin(state, now)
    return [_summary(turn, case) for case in reversed(tuple(state.cases.values()))]


def case_view(state: State, now: Now, name: str) -> Data | None:
    """An open case with all there is, by occurrence or rule id; None when there is none."""
    turn = begin(state, now)
    case = case_named(turn, name)
    return None if case is None else {**whole_data(case), **_standing(turn, case)}


def closed_view(record: Record) -> Data:
    """A closed case, whole, out of its record."""
    data: Data = json.loads(unpack(record.body, MAX_RECORD))["data"]
    return data


def _summary(turn: Turn, case: Case) -> Data:
    finding = case.finding
    return {
        "case": case.occurrence,
        "severity": case.severity.value,
        "rule": case.rule,
        "say": {"zh": case.say.zh, "en": case.say.en},
        "place": case.where.text,
        "value": case.value,
        "limit": case.limit,
        "unit": case.unit,
        "raised_at": case.raised.utc_ms,
        "since_ms": between_ms(case.raised, turn.now),
        "is_drill": case.is_drill,
        "is_first_out": case.is_first_out,
        "activations": case.activations,
        "acked_by": case.acked.by if case.acked else None,
        "arrived_by": case.arrived.by if case.arrived else None,
        "handled_by": finding.by if finding else None,
        "verdict": finding.verdict.value if finding else None,
        "verdict_say": _verdict(case),
        "audiences": {each.audience.value: _furthest(each) for each in case.deliveries},
        **derived(case),
        **_standing(turn, case),
    }


def _standing(turn: Turn, case: Case) -> Data:
    """The state of its alarm ("" when over), and the reason that keeps it open ("" = none)."""
    alarm = alarm_of(turn, case)
    refusal = refusal_to_close(turn, case, SOMEBODY)
    words = REFUSALS.get(refusal)
    return {
        "state": alarm.state.value if alarm else "",
        "waits_for": refusal,
        "waits_for_say": None if words is None else {"zh": words.zh, "en": words.en},
    }


def _verdict(case: Case) -> Data | None:
    words = VERDICTS[case.finding.verdict] if case.finding else None
    return None if words is None else {"zh": words.zh, "en": words.en}


def _furthest(delivery: Delivery) -> str:
    """The furthest receipt of an audience; `silent` when it was given up, "" when none came yet."""
    reached = [level for level in ReceiptLevel if level in delivery.receipts]
    return reached[-1].value if reached else "silent" if delivery.silent else ""
