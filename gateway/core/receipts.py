"""Receipts: how far an alarm got with each audience, and what follows when one stays silent.

The platform routes an alarm to the institution, the bureau and the fire brigade and answers stored,
sent, seen for each (docs/contract/platform-duties.md). They stand on the case. An audience that is
not reached in time is a fault here, for people to pick up the telephone.
"""

from dataclasses import replace

from gateway.core import case_data
from gateway.core.faults import fault_id
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.cases import Audience, Case, Delivery, ReceiptLevel, Received
from gateway.domain.moments import Clk
from gateway.domain.rules import Severity

FAULT = "audience_silent"
_LEVELS = tuple(ReceiptLevel)


def take_receipt(turn: Turn, event: events.Receipt) -> None:
    """Put a receipt on its case; one that says nothing new, or of no open case, is passed over."""
    case = turn.state.cases.get(event.occurrence)
    if case is None or event.audience not in set(Audience) or event.level not in set(ReceiptLevel):
        return
    audience, level = Audience(event.audience), ReceiptLevel(event.level)
    delivery = case.delivery(audience) or Delivery(audience)
    if level in delivery.receipts:
        return
    receipts = {**delivery.receipts, level: Received(event.at_ms, turn.now)}
    delivery = replace(delivery, receipts=receipts)
    others = [each for each in case.deliveries if each.audience is not audience]
    order = list(Audience)
    deliveries = sorted([*others, delivery], key=lambda each: order.index(each.audience))
    _put(turn, replace(case, deliveries=tuple(deliveries)))
    turn.record_fact(
        "receipt",
        {"alarm": event.occurrence, "lvl": level.value, "aud": audience.value, "at": event.at_ms},
    )
    settle_silence(turn)


def awaited_until_ms(turn: Turn, case: Case) -> int | None:
    """When a receipt of this case is given up next (mono); None when none is waited for."""
    if not _is_waiting(case) or not turn.house.receipt_within_ms:  # none is waited for any more
        return None
    if not any(_is_missing(turn, each) and each.silent is None for each in case.deliveries):
        return None
    return _raised_ms(turn, case) + turn.house.receipt_within_ms


def give_up_waiting(turn: Turn, occurrence: str) -> None:
    """Name each audience that gave no receipt of this case in time, and raise the fault."""
    case = turn.state.cases[occurrence]
    until = awaited_until_ms(turn, case)
    if until is None or turn.now.mono_ms < until:
        return
    deliveries = []
    for each in case.deliveries:
        is_silent = _is_missing(turn, each) and each.silent is None
        deliveries.append(replace(each, silent=turn.now) if is_silent else each)
        if is_silent:
            detail = f"{case.where.text} {case.occurrence}".strip()
            raise_fault(turn, FAULT, each.audience.value, detail)
    _put(turn, replace(case, deliveries=tuple(deliveries)))


def settle_silence(turn: Turn) -> None:
    """An audience that no open case waits for in vain any more is no fault any more."""
    for audience in Audience:
        if fault_id(FAULT, audience.value) not in turn.alarms:
            continue
        if not any(
            each.audience is audience and each.silent is not None and _is_missing(turn, each)
            for case in turn.state.cases.values()
            for each in case.deliveries
        ):
            clear_fault(turn, FAULT, audience.value)


def _put(turn: Turn, case: Case) -> None:
    turn.state = replace(turn.state, cases={**turn.state.cases, case.occurrence: case})
    turn.keep(case_data.KEPT_CASE, case.occurrence, case_data.case_text(case))


def _is_waiting(case: Case) -> bool:
    return case.severity is Severity.ALARM and not (case.is_drill or case.is_test)


def _is_missing(turn: Turn, delivery: Delivery) -> bool:
    """True while nothing as far as the wanted level came: seen says that it was sent as well."""
    wanted = _LEVELS.index(turn.house.receipt_level)
    return not any(level in delivery.receipts for level in _LEVELS[wanted:])


def _raised_ms(turn: Turn, case: Case) -> int:
    """The raise on this boot's clock; unknown over a reboot without a clock: from the start."""
    raised, now = case.raised, turn.now
    if raised.boot == now.boot:
        return raised.mono_ms
    if raised.utc_ms is None or now.utc_ms is None or now.clk not in (Clk.SYNC, Clk.HOLD):
        return turn.state.started_ms
    return now.mono_ms - max(0, now.utc_ms - raised.utc_ms)
