"""What people did: rounds with what they found, hazards, post checks, drills and tests.

`take_duty` is given each such record once, in the order of lane B.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any

from gateway.core.sheet_times import Anchors, days_of, local, when_of
from gateway.domain.institutions import Institution
from gateway.domain.moments import Now
from gateway.domain.patrol import Checkpoint, Patrol
from gateway.domain.sheet import (
    DrillRow,
    DutyRow,
    Finding,
    Period,
    PostCheckRow,
    RoundRow,
    When,
)
from gateway.domain.text import Text

Data = Mapping[str, Any]

KINDS = frozenset({
    "round", "round_signed", "round_explained", "hazard", "post_check", "drill_end", "self_test",
    "test_end",
})  # fmt: skip
DAY_MS = 86_400_000
NIGHT_FROM, NIGHT_UNTIL = 22, 6  # o'clock
MOST_ROUNDS, MOST_FINDINGS, MOST_CHECKS, MOST_DRILLS = 2_000, 1_000, 500, 100


@dataclass(slots=True)
class Duty:
    """What was seen so far; made for one period."""

    period: Period
    anchors: Anchors
    patrol: Patrol
    zone: tzinfo
    rounds: dict[str, RoundRow] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    checks: dict[str, PostCheckRow] = field(default_factory=dict)
    drills: list[DrillRow] = field(default_factory=list)
    self_tests: Counter[str] = field(default_factory=Counter)
    tests: int = 0
    last_drill: When | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    days: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.days = days_of(self.period)


def take_duty(duty: Duty, kind: str, at: Now, data: Data) -> None:
    """One record of `KINDS`. A round belongs to the date of its evening, all else to its moment."""
    when = when_of(at, duty.anchors)
    match kind:
        case "round":
            _take_round(duty, data)
        case "round_signed":
            _change_round(duty, data["round"], signed_by=data["by"])
        case "round_explained":
            _change_round(duty, data["round"], explained=data["reason"])
        case "post_check":
            _take_check(duty, when, data)
        case "drill_end" if not _is_after(duty.period, when):
            duty.last_drill = when
            if _is_within(duty.period, when):
                _put(duty, "drills", duty.drills, MOST_DRILLS, _drill(when, data))
        case _ if not _is_within(duty.period, when):
            return
        case "hazard":
            _put(duty, "findings", duty.findings, MOST_FINDINGS, _finding(when, data))
        case "self_test":
            duty.self_tests[data["result"]] += 1
        case "test_end":
            duty.tests += 1


def _take_round(duty: Duty, data: Data) -> None:
    if data["shift_date"] not in duty.days:
        return
    if len(duty.rounds) >= MOST_ROUNDS:
        duty.left_out["rounds"] += 1
        return
    route = duty.patrol.routes.get(data["route"])
    counted = [visit for visit in data["visits"] if _counts(visit)]
    marks = Counter(flag for visit in data["visits"] for flag in visit["flags"])
    duty.rounds[data["round"]] = RoundRow(
        id=data["round"],
        name=route.name if route is not None else data["schedule"],
        shift_date=data["shift_date"],
        opens=When(data["opens"]),
        closes=When(data["closes"]),
        state=data["state"],
        reason=data["reason"],
        done=len(data["stops"]) - len(data["missing"]),
        of=len(data["stops"]),
        missing=tuple(_place(duty, code) for code in data["missing"]),
        by=tuple(dict.fromkeys(visit["by"] for visit in counted)),
        found=tuple(_found(duty, counted)),
        marks=dict(marks),
        asked=len(data["asked"]),
        met=data["met"],
        is_night=_is_night(duty, data),
        flags=tuple(data["flags"]),
    )


def _change_round(duty: Duty, name: str, **changes: str) -> None:
    if name in duty.rounds:
        duty.rounds[name] = replace(duty.rounds[name], **changes)  # type: ignore[arg-type]


def _is_night(duty: Duty, data: Data) -> bool:
    """Whether most of its window lies between 22:00 and 6:00."""
    middle = local((data["opens"] + data["closes"]) // 2, duty.zone)
    return middle.hour >= NIGHT_FROM or middle.hour < NIGHT_UNTIL


def _counts(visit: Data) -> bool:
    return not {"duplicate", "manual", "unknown_tag", "replayed"}.intersection(visit["flags"])


def _found(duty: Duty, visits: list[Data]) -> Iterator[Text]:
    """Where which item was not in order."""
    for visit in visits:
        checkpoint = duty.patrol.checkpoints.get(visit["checkpoint"])
        for item in visit["bad"]:
            place, said = _place(duty, visit["checkpoint"]), _item(checkpoint, item)
            yield Text(f"{place}: {said.zh}", f"{place}: {said.en}")


def _place(duty: Duty, code: str) -> str:
    checkpoint = duty.patrol.checkpoints.get(code)
    return code if checkpoint is None else checkpoint.name


def _item(checkpoint: Checkpoint | None, name: str) -> Text:
    items = () if checkpoint is None else checkpoint.items
    return next((item.say for item in items if item.id == name), Text(name, name))


def _finding(when: When, data: Data) -> Finding:
    due, value = data.get("due"), data.get("value")
    unit = data.get("unit") or ""
    is_number = isinstance(value, int | float)
    say = data["say"]
    return Finding(
        at=when,
        place=data["place"],
        say=Text(say["zh"], say["en"]),
        value=f"{value:g} {unit}".strip() if is_number else "",
        text=data.get("text") or "",
        by=data.get("by") or data.get("owner") or "",
        due=When(due) if isinstance(due, int) else None,
    )


def _take_check(duty: Duty, when: When, data: Data) -> None:
    asked = data["asked"]
    at = When(asked, when.sure) if isinstance(asked, int) else when
    if not _is_within(duty.period, at):
        return
    before = duty.checks.get(data["check"])
    if before is None and len(duty.checks) >= MOST_CHECKS:
        duty.left_out["post_checks"] += data["result"] == "asked"
        return
    duty.checks[data["check"]] = PostCheckRow(
        before.asked if before is not None else at,
        data["source"],
        data["result"],
        data["by"],
        data["waited_ms"],
        is_late=data["late"],
    )


def _drill(when: When, data: Data) -> DrillRow:
    started = data["started"]
    return DrillRow(
        at=When(started, when.sure) if isinstance(started, int) else when,
        scenario=data["scenario"],
        scope=data["scope"],
        leader=data["leader"],
        lasted_ms=data["lasted_ms"],
        first_ack_ms=data["first_ack_ms"],
        first_arrival_ms=data["first_arrival_ms"],
        counted=data["counted"],
        expected=data["expected"],
        findings=tuple(data["findings"]),
    )


def duties_of(duty: Duty, institution: Institution, made_ms: int) -> Iterator[DutyRow]:
    """What the type of institution asks beside what was done of it; days to come are not due."""
    end_ms = min(duty.period.end_ms, made_ms)
    due_days = max(0, -(-(end_ms - duty.period.begin_ms) // DAY_MS))
    done = {"done", "done_late"}
    by_day = {row.shift_date for row in duty.rounds.values() if row.state in done}
    nights = [row for row in duty.rounds.values() if row.is_night and row.state != "cancelled"]
    for each in institution.duties:
        row = DutyRow(each.name, each.say, each.basis, each.unverified)
        match each.name:
            case "day_round":
                yield replace(row, done=len(by_day), due=due_days)
            case "night_round":
                walked = sum(night.state in done for night in nights)
                yield replace(row, done=walked, due=len(nights))
            case "drill":
                yield replace(row, last=duty.last_drill)
            case _:
                yield row


def _put(duty: Duty, name: str, rows: list[Any], most: int, row: object) -> None:
    if len(rows) < most:
        rows.append(row)
    else:
        duty.left_out[name] += 1


def _is_after(period: Period, when: When) -> bool:
    return when.utc_ms is not None and when.utc_ms >= period.end_ms


def _is_within(period: Period, when: When) -> bool:
    return when.utc_ms is None or period.begin_ms <= when.utc_ms < period.end_ms
