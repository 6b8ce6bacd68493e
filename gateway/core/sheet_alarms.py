"""What alarms, warnings and faults became of: from the records of their lives to rows of a sheet.

`take_alarm` and `take_case` are given each record once, in the order of its lane; `occurrences_of`,
`open_cases_of`, `troubles_of` then say what there was. Alarms and warnings are a row each, faults a
row for each rule, however often they came. Drills and tests are none of these.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.sheet_times import Anchors, moment_of, total_ms, when_of, within
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.cases import ReceiptLevel, between_ms
from gateway.domain.moments import Now
from gateway.domain.rules import Severity
from gateway.domain.sheet import Occurrence, OpenCase, Period, Trouble, When
from gateway.domain.text import Text

Data = Mapping[str, Any]

MOST = 2_000  # occurrences on one sheet; what is beyond is counted
MOST_SPANS = 20_000  # of all faults together
ROLES = ("duty_leader", "safety_manager", "director")  # whom an alarm calls, one after the other
# Faults under which nobody sees what a device measures.
BLIND = frozenset({
    "device_silent", "device_refuses", "points_unanswered", "readings_invalid", "wrong_device",
    "bus_down", "bus_silent", "rule_failed", "rule_out_of_service",
})  # fmt: skip
_OF_ALARM = frozenset({
    "tr", "sev", "rule", "point", "val", "lim", "unit", "say", "place", "state", "raised", "alarm",
    "detail",
})  # fmt: skip
_OF_CASE = frozenset({
    "case", "sev", "say", "place", "raised", "acked", "arrived", "returned", "finding", "closed",
    "drill", "test",
})  # fmt: skip
_ACTIVE = frozenset(state.value for state in AlarmState if state.is_active)
_UNACKED = frozenset(state.value for state in AlarmState if state.is_unacknowledged)
_OPEN = frozenset(state.value for state in AlarmState if state.is_open)


@dataclass(slots=True)
class _Life:
    """One occurrence of an alarm or warning, as far as its records were seen."""

    said: Data
    raised: Now | None
    was_before: bool = False
    acked: Now | None = None
    acked_by: str = ""
    cleared: Now | None = None
    state: str = ""
    activations: int = 1
    escalated: str = ""


@dataclass(slots=True)
class _Fault:
    """One rule of a fault. `since_ms` (UTC): it is active from there on."""

    said: Data
    first: When
    last: When
    count: int = 0
    since_ms: int | None = None
    spans: list[tuple[int, int]] = field(default_factory=list)
    state: str = ""


@dataclass(slots=True)
class Lives:
    """What was seen so far; made for one period."""

    period: Period
    made_ms: int
    anchors: Anchors
    lives: dict[str, _Life] = field(default_factory=dict)
    faults: dict[str, _Fault] = field(default_factory=dict)
    cases: dict[str, Data] = field(default_factory=dict)
    missed: dict[str, tuple[Now, Data]] = field(default_factory=dict)
    noisy: dict[str, tuple[str, int]] = field(default_factory=dict)  # place, activations
    spans: int = 0
    left_out: int = 0


def take_alarm(lives: Lives, at: Now, said: Data) -> None:
    """One transition of an alarm, warning or fault, from lane A or B; KeyError for none."""
    _check(said, _OF_ALARM)
    raised = moment_of(said.get("raised")) or at
    when, began = when_of(at, lives.anchors), when_of(raised, lives.anchors)
    if said.get("drill") or said.get("test") or _is_after(lives, began) or _is_before(lives, when):
        return
    if said["tr"] in ("raise", "again") and not _is_after(lives, when):
        key = str(said["point"] or said["rule"])
        _, count = lives.noisy.get(key, ("", 0))
        lives.noisy[key] = (str(said["place"]), count + 1)
    if said["sev"] == Severity.FAULT:
        _take_fault(lives, when, began, said)
    else:
        _take_life(lives, at, raised, said)


def _take_life(lives: Lives, at: Now, raised: Now, said: Data) -> None:
    life = lives.lives.get(said["alarm"])
    if life is None:
        if len(lives.lives) >= MOST:
            lives.left_out += said["tr"] == "raise"
            return
        began = when_of(raised, lives.anchors)
        life = _Life(said, raised, was_before=_is_before(lives, began))
        lives.lives[said["alarm"]] = life
    life.state = said["state"]
    match said["tr"]:
        case "ack":
            life.acked, life.acked_by = at, str(said["by"])
        case "clear":
            life.cleared = at
        case "again":
            life.cleared, life.activations = None, life.activations + 1
    life.activations = max(life.activations, int(said.get("chatter") or 1))


def _take_fault(lives: Lives, when: When, began: When, said: Data) -> None:
    fault = lives.faults.get(said["rule"])
    if fault is None:
        fault = lives.faults[said["rule"]] = _Fault(said, began, when, since_ms=began.utc_ms)
    if said["tr"] in ("raise", "again") and not _is_after(lives, when):
        fault.count, fault.said, fault.last = fault.count + 1, said, when
    is_active = said["state"] in _ACTIVE
    if is_active and fault.state not in _ACTIVE and fault.state:
        fault.since_ms = when.utc_ms
    elif not is_active and (fault.state in _ACTIVE or not fault.state):
        _close_span(lives, fault, when.utc_ms)
    fault.state = said["state"]


def _close_span(lives: Lives, fault: _Fault, until_ms: int | None) -> None:
    span = within(lives.period, fault.since_ms, until_ms)
    if span is not None and lives.spans < MOST_SPANS:
        lives.spans += 1
        fault.spans.append(span)


def take_dropped(lives: Lives, at: Now, data: Data) -> None:
    """The rule of an open alarm was taken out of the site file: that is its end."""
    fault = lives.faults.get(data["rule"])
    if fault is not None and fault.state in _ACTIVE:
        _close_span(lives, fault, when_of(at, lives.anchors).utc_ms)
        fault.state = AlarmState.N.value
    if (life := lives.lives.get(data["alarm"])) is not None:
        life.state = AlarmState.N.value


def take_case(lives: Lives, data: Data) -> None:
    """A case that was closed, or one that is open still, as its record or its kept text has it.

    The first word counts: what is kept may have been read before the case was closed.
    """
    check_case(data)
    if not data["drill"] and not data["test"]:
        lives.cases.setdefault(data["case"], data)


def check_case(data: Data) -> None:
    """KeyError or TypeError for what is no case of this version."""
    _check(data, _OF_CASE)


def _check(data: Data, wanted: frozenset[str]) -> None:
    if missing := wanted - data.keys():
        raise KeyError(*sorted(missing))
    _text(data["say"])


def take_missed(lives: Lives, occurrence: str, at: Now, data: Data) -> None:
    """An alarm that no rule raised and people entered."""
    when = when_of(at, lives.anchors)
    if not _is_before(lives, when) and not _is_after(lives, when):
        lives.missed[occurrence] = (at, data)


def take_escalation(lives: Lives, data: Data) -> None:
    life = lives.lives.get(data["alarm"])
    role = str(data["role"])
    if life is not None and role in ROLES:
        life.escalated = max(life.escalated, role, key=("", *ROLES).index)


def take_open(lives: Lives, alarms: Iterable[tuple[Alarm, Data]]) -> None:
    """What is open as the sheet is made: with what its records would say. Some have none here."""
    for alarm, said in alarms:
        began = None if alarm.raised is None else when_of(alarm.raised, lives.anchors)
        if began is None or _is_after(lives, began):
            continue
        if said["sev"] == Severity.FAULT:
            if alarm.rule not in lives.faults and alarm.state.is_active:
                fault = _Fault(said, began, began, since_ms=began.utc_ms, state=alarm.state.value)
                lives.faults[alarm.rule] = fault
        elif alarm.occurrence not in lives.lives:
            life = _Life(said, alarm.raised, was_before=True, state=alarm.state.value)
            life.acked, life.acked_by = alarm.acked, alarm.acked_by
            lives.lives[alarm.occurrence] = life


def occurrences_of(lives: Lives) -> Iterator[Occurrence]:
    """Alarms and warnings of the period, also those from before that were not over; by time."""
    rows = [_occurrence(lives, key, life) for key, life in lives.lives.items()]
    rows += [_missed(lives, key, at, data) for key, (at, data) in lives.missed.items()]
    yield from sorted(rows, key=lambda row: (row.raised.utc_ms or 0, row.id))


def _occurrence(lives: Lives, key: str, life: _Life) -> Occurrence:
    said, case = life.said, lives.cases.get(key, {})
    finding, arrived = case.get("finding") or {}, case.get("arrived") or {}
    acked = case.get("acked") or {}
    t_ack = between_ms(life.raised, life.acked)
    t_clear = between_ms(life.raised, moment_of(case.get("returned")) or life.cleared)
    return Occurrence(
        id=key,
        severity=said["sev"],
        say=_text(said["say"]),
        place=said["place"],
        rule=said["rule"],
        raised=_when(lives, life.raised),
        value=said["val"],
        limit=said["lim"],
        unit=said["unit"],
        detail=said["detail"],
        t_ack=_after(case, "acked", t_ack),
        t_arrive=_after(case, "arrived", None),
        t_clear=t_clear,
        t_close=_after(case, "closed", None),
        acked_by=acked.get("by") or life.acked_by,
        arrived_by=arrived.get("by", ""),
        proof=arrived.get("proof", 0),
        closed_by=(case.get("closed") or {}).get("by", ""),
        verdict=finding.get("verdict", ""),
        cause=finding.get("cause", ""),
        actions=tuple(finding.get("actions", ())),
        text=finding.get("text", ""),
        activations=life.activations,
        escalated=life.escalated,
        is_open=life.state in _OPEN,
        is_acked=bool(acked) or life.acked is not None,
        was_before=life.was_before,
        is_first_out=bool(case.get("first_out")),
        told={name: _reached(got) for name, got in (case.get("aud") or {}).items()},
    )


def _reached(got: Data) -> str:
    """How far an alarm got with one audience: the highest receipt, or that there was none."""
    found = [level.value for level in ReceiptLevel if got.get(level.value)]
    return found[-1] if found else "silent" if got.get("silent") else ""


def _missed(lives: Lives, key: str, at: Now, data: Data) -> Occurrence:
    case = lives.cases.get(key, {})
    finding = case.get("finding") or {}
    told = data.get("told")
    return Occurrence(
        id=key,
        severity=Severity.ALARM.value,
        say=Text("漏报", "Missed alarm"),
        place=data["place"],
        rule=data["point"],
        raised=When(told) if isinstance(told, int) else when_of(at, lives.anchors),
        acked_by=data["by"],
        closed_by=(case.get("closed") or {}).get("by", ""),
        verdict=finding.get("verdict", ""),
        cause=finding.get("cause", ""),
        actions=tuple(finding.get("actions", ())),
        text=finding.get("text", ""),
        is_acked=True,
        is_missed=True,
    )


def _after(case: Data, name: str, else_ms: int | None) -> int | None:
    """How long after the raise; by the case where that knows it."""
    if not case.get(name):
        return else_ms
    return between_ms(moment_of(case["raised"]), moment_of(case[name]))


def open_cases_of(lives: Lives) -> Iterator[OpenCase]:
    """Cases of before the end of the period that nobody had closed by then; oldest first."""
    found = []
    end_ms = min(lives.period.end_ms, lives.made_ms)
    for key, case in lives.cases.items():
        raised = _when(lives, moment_of(case["raised"]))
        closed = moment_of(case["closed"])
        ended = None if closed is None else when_of(closed, lives.anchors)
        if _is_after(lives, raised) or case.get("lapsed"):
            continue
        if ended is not None and (ended.utc_ms is None or ended.utc_ms < lives.period.end_ms):
            continue
        age = None if raised.utc_ms is None else max(0, end_ms - raised.utc_ms)
        found.append(OpenCase(
            key, case["sev"], _text(case["say"]), case["place"], raised, age,
            is_handled=case["finding"] is not None, closed=ended,
        ))  # fmt: skip
    yield from sorted(found, key=lambda row: row.raised.utc_ms or 0)


def closed_in(lives: Lives) -> int:
    """How many cases were closed out in the period."""
    moments = (moment_of(case["closed"]) for case in lives.cases.values())
    whens = [when_of(at, lives.anchors) for at in moments if at is not None]
    return sum(not _is_before(lives, when) and not _is_after(lives, when) for when in whens)


def troubles_of(lives: Lives) -> Iterator[Trouble]:
    """Faults that came in the period or had not ended; the longest first."""
    rows = []
    for rule, fault in lives.faults.items():
        spans = _spans(lives, fault)
        is_open = fault.state in _ACTIVE
        if not fault.count and not spans:
            continue
        rows.append(Trouble(
            rule, _text(fault.said["say"]), fault.said["place"], fault.count, total_ms(spans),
            fault.first, fault.last, fault.said["detail"], is_open,
            is_acked=fault.state not in _UNACKED,
        ))  # fmt: skip
    yield from sorted(rows, key=lambda row: (-row.lasted_ms, row.rule))


def fault_spans(lives: Lives) -> Iterator[tuple[str, str, tuple[tuple[int, int], ...]]]:
    """Rule, place, and when it was active within the period, in UTC."""
    for rule, fault in lives.faults.items():
        if spans := _spans(lives, fault):
            yield rule, fault.said["place"], tuple(spans)


def _spans(lives: Lives, fault: _Fault) -> list[tuple[int, int]]:
    if fault.state not in _ACTIVE:
        return fault.spans
    running = within(lives.period, fault.since_ms, lives.made_ms)
    return fault.spans if running is None else [*fault.spans, running]


def _is_before(lives: Lives, when: When) -> bool:
    return when.utc_ms is not None and when.utc_ms < lives.period.begin_ms


def _is_after(lives: Lives, when: When) -> bool:
    return when.utc_ms is not None and when.utc_ms >= lives.period.end_ms


def _when(lives: Lives, at: Now | None) -> When:
    return When(None) if at is None else when_of(at, lives.anchors)


def _text(said: Any) -> Text:
    return Text(str(said["zh"]), str(said["en"]))
