"""A case as plain data and back: one shape for the record, for what is kept and for the page."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from gateway.domain.cases import (
    Arrival,
    Audience,
    Case,
    Delivery,
    Evidence,
    Finding,
    Place,
    RawReply,
    ReceiptLevel,
    Received,
    Sample,
    Samples,
    Stamp,
    Verdict,
    between_ms,
)
from gateway.domain.kept import Kept
from gateway.domain.moments import Clk, Now
from gateway.domain.readings import Quality
from gateway.domain.rules import Severity
from gateway.domain.text import Text

Data = dict[str, Any]
KEPT_CASE, KEPT_EVIDENCE = "case", "evidence"  # kinds of `domain.kept.Kept`


def data_of(case: Case) -> Data:
    """The whole case but its minutes of evidence (`evidence_data`), with its derived times."""
    return {
        "case": case.occurrence,
        "sev": case.severity.value,
        "rule": case.rule,
        "point": case.point,
        "kind": case.kind,
        "say": {"zh": case.say.zh, "en": case.say.en},
        "place": case.where.text,
        "device": case.where.device,
        "bus": case.where.bus,
        "unit_id": case.where.unit,
        "table": case.where.table,
        "register": case.where.register,
        "val": case.value,
        "lim": case.limit,
        "unit": case.unit,
        "cfg": case.site_sha,
        "flood": case.flood,
        "first_out": case.is_first_out,
        "drill": case.is_drill,
        "test": case.is_test,
        "activations": case.activations,
        "told": case.told_ms,
        "raised": _moment(case.raised),
        "sounded": _moment(case.sounded),
        "silenced": _stamp(case.silenced),
        "acked": _stamp(case.acked),
        "arrived": _arrival(case.arrived),
        "returned": _moment(case.returned),
        "reset": _stamp(case.reset),
        "finding": _finding(case.finding),
        "closed": _stamp(case.closed),
        **derived(case),
        "aud": {each.audience.value: _delivery(each) for each in case.deliveries},
    }


def derived(case: Case) -> dict[str, int | None]:
    """How long it took from the raise, in ms; None where it did not happen or nobody can say."""
    ends = {"t_ack": case.acked, "t_arrive": case.arrived, "t_close": case.closed}
    return {name: between_ms(case.raised, end.at if end else None) for name, end in ends.items()}


def evidence_data(evidence: Evidence) -> Data:
    """`before` and `after`: point -> [[ms from the raise, value, quality?, reason?], ...]."""
    reply = evidence.reply
    return {
        "whole": evidence.is_whole,
        "reply": None
        if reply is None
        else {"table": reply.table, "start": reply.start, "words": list(reply.words)},
        "before": rows_of(evidence.before),
        "after": None if evidence.after is None else rows_of(evidence.after),
    }


def rows_of(samples: Samples) -> dict[str, list[list[object]]]:
    return {point: [_row(sample) for sample in some] for point, some in samples.items()}


def whole_data(case: Case) -> Data:
    """All there is of a case."""
    return {**data_of(case), "evidence": evidence_data(case.evidence)}


def case_text(case: Case) -> str:
    """What `case_of` reads again, as JSON."""
    return json.dumps(data_of(case), ensure_ascii=False, separators=(",", ":"))


def evidence_text(evidence: Evidence) -> str:
    return json.dumps(evidence_data(evidence), ensure_ascii=False, separators=(",", ":"))


def case_of(text: str, evidence: str | None) -> Case:
    """The case that `case_text` and `evidence_text` wrote.

    ValueError, KeyError or TypeError when the text is none. Without its evidence it is not whole.
    """
    data = json.loads(text)
    return Case(
        occurrence=data["case"],
        severity=Severity(data["sev"]),
        say=Text(data["say"]["zh"], data["say"]["en"]),
        raised=_known(data["raised"]),
        where=Place(
            data["place"], data["device"], data["bus"], data["unit_id"], data["table"],
            data["register"],
        ),
        rule=data["rule"],
        point=data["point"],
        kind=data["kind"],
        unit=data["unit"],
        value=data["val"],
        limit=data["lim"],
        site_sha=data["cfg"],
        flood=data["flood"],
        is_first_out=data["first_out"],
        is_drill=data["drill"],
        is_test=data["test"],
        activations=data["activations"],
        evidence=Evidence(is_whole=False) if evidence is None else _evidence(json.loads(evidence)),
        sounded=_now(data["sounded"]),
        silenced=_stamp_of(data["silenced"]),
        acked=_stamp_of(data["acked"]),
        arrived=_arrival_of(data["arrived"]),
        returned=_now(data["returned"]),
        reset=_stamp_of(data["reset"]),
        finding=_finding_of(data["finding"]),
        closed=_stamp_of(data["closed"]),
        told_ms=data["told"],
        deliveries=tuple(_delivery_of(name, said) for name, said in data["aud"].items()),
    )  # fmt: skip


def _row(sample: Sample) -> list[object]:
    if sample.quality is Quality.GOOD:
        return [sample.ms, sample.value]
    more = [sample.reason] if sample.reason else []
    return [sample.ms, sample.value, sample.quality.value, *more]


def _sample(row: list[Any]) -> Sample:
    quality = Quality(row[2]) if len(row) > 2 else Quality.GOOD
    return Sample(row[0], row[1], quality, row[3] if len(row) > 3 else "")


def _samples(rows: Mapping[str, list[list[Any]]]) -> Samples:
    return {point: tuple(_sample(row) for row in some) for point, some in rows.items()}


def _evidence(data: Mapping[str, Any]) -> Evidence:
    reply = data["reply"]
    return Evidence(
        before=_samples(data["before"]),
        reply=reply and RawReply(reply["table"], reply["start"], tuple(reply["words"])),
        after=None if data["after"] is None else _samples(data["after"]),
        is_whole=data["whole"],
    )


def _moment(at: Now | None) -> Data | None:
    if at is None:
        return None
    return {
        "at": at.utc_ms, "clk": at.clk.value, "err": at.err_ms, "boot": at.boot,
        "mono": at.mono_ms,
    }  # fmt: skip


def _known(data: Mapping[str, Any]) -> Now:
    return Now(data["mono"], data["at"], Clk(data["clk"]), data["err"], data["boot"])


def _now(data: Mapping[str, Any] | None) -> Now | None:
    return None if data is None else _known(data)


def _stamp(stamp: Stamp | None) -> Data | None:
    return None if stamp is None else {**(_moment(stamp.at) or {}), "by": stamp.by}


def _stamp_of(data: Mapping[str, Any] | None) -> Stamp | None:
    return None if data is None else Stamp(_known(data), data["by"])


def _arrival(arrival: Arrival | None) -> Data | None:
    if arrival is None:
        return None
    return {
        **(_moment(arrival.at) or {}),
        "by": arrival.by, "proof": arrival.proof, "place": arrival.place,
    }  # fmt: skip


def _arrival_of(data: Mapping[str, Any] | None) -> Arrival | None:
    if data is None:
        return None
    return Arrival(_known(data), data["by"], data["proof"], data["place"])


def _finding(finding: Finding | None) -> Data | None:
    if finding is None:
        return None
    return {
        **(_moment(finding.at) or {}),
        "by": finding.by,
        "verdict": finding.verdict.value,
        "cause": finding.cause,
        "actions": list(finding.actions),
        "text": finding.text,
        "called_119": finding.has_called_119,
        "evacuated": finding.has_evacuated,
    }


def _finding_of(data: Mapping[str, Any] | None) -> Finding | None:
    if data is None:
        return None
    return Finding(
        verdict=Verdict(data["verdict"]),
        by=data["by"],
        at=_known(data),
        cause=data["cause"],
        actions=tuple(data["actions"]),
        text=data["text"],
        has_called_119=data["called_119"],
        has_evacuated=data["evacuated"],
    )


def _delivery(delivery: Delivery) -> Data:
    """Each level with the platform's UTC (`at`) and when it came in (`got`)."""
    said: Data = {
        level.value: {"at": got.at_ms, "got": _moment(got.got)}
        for level, got in delivery.receipts.items()
    }
    return {**said, "silent": _moment(delivery.silent)}


def _delivery_of(audience: str, data: Mapping[str, Any]) -> Delivery:
    receipts = {
        level: Received(data[level.value]["at"], _known(data[level.value]["got"]))
        for level in ReceiptLevel
        if level.value in data
    }
    return Delivery(Audience(audience), receipts, _now(data["silent"]))


def cases_of(kept: Iterable[Kept]) -> dict[str, Case]:
    """The open cases as they were kept, oldest first.

    One that cannot be read is left out: its alarm, if that is still open, gets a case anew.
    """
    texts = {(each.kind, each.key): each.body for each in kept if each.body is not None}
    found = []
    for (kind, key), body in texts.items():
        if kind == KEPT_CASE:
            with suppress(ValueError, KeyError, TypeError, AttributeError, IndexError):
                found.append(case_of(body, texts.get((KEPT_EVIDENCE, key))))
    found.sort(key=lambda case: (case.raised.utc_ms or 0, case.raised.mono_ms))
    return {case.occurrence: case for case in found}
