"""The institution's sheet: one pass over the records of a day or month, and what they add up to.

    sheet = sheet_of(site, period, made, zone, records, known)

Nothing is looked up anywhere else: the site file gives names and what is watched, `Known` what the
files say beside the records. What a sheet holds is bounded, however many records there are.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, tzinfo
from typing import Any, TypeVar

from gateway.core.case_data import KEPT_CASE
from gateway.core.coverage import SUBJECTS, coverage_of
from gateway.core.dues import WARN_DAYS
from gateway.core.faults import rule_of_fault_id
from gateway.core.health import OWN_DEVICE
from gateway.core.messages import unpack
from gateway.core.sheet_alarms import (
    BLIND,
    Lives,
    check_case,
    closed_in,
    fault_spans,
    occurrences_of,
    open_cases_of,
    take_alarm,
    take_case,
    take_dropped,
    take_escalation,
    take_missed,
    take_open,
    troubles_of,
)
from gateway.core.sheet_patrol import KINDS as OF_DUTY
from gateway.core.sheet_patrol import Duty, duties_of, take_duty
from gateway.core.sheet_times import Anchors, total_ms, when_of, within
from gateway.domain.alarms import Alarm
from gateway.domain.cases import between_ms
from gateway.domain.institutions import Institution
from gateway.domain.kept import Kept
from gateway.domain.moments import Now
from gateway.domain.patrol import Patrol
from gateway.domain.records import Record
from gateway.domain.rules import Rule, Severity
from gateway.domain.sheet import (
    Aside,
    Blind,
    DueRow,
    LaneEnd,
    OffRow,
    Period,
    Section,
    Sheet,
    Watched,
    When,
)
from gateway.domain.site import Site

MAX_BODY = 2**22  # bytes, inflated
MOST_ROWS = 500  # of shelvings, gaps in watching and the like
NOISIEST = 10
SILENT_MS = 15 * 60_000  # readings alone make a record every minute
# Wanted of any time: what they say holds on until another one of them.
LASTING = frozenset({
    "anchor", "boot", "stop", "shelve", "unshelve", "out_of_service", "in_service", "drill_end",
})  # fmt: skip
# What a record or a kept text of another version raises here: it costs itself only.
_NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, AttributeError)
_NO_WAY_UP = ("uplink_", "platform_absent", "identity_in_use")

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Known:
    """What the files say beside the records of the time, as the sheet is made."""

    anchors: Anchors = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()  # open ones
    kept: tuple[Kept, ...] = ()
    last: Mapping[str, Now] = field(default_factory=dict)  # epoch -> its last sign of life
    records: Mapping[str, int] = field(default_factory=dict)  # lane -> of the period
    unsettled: int = 0
    damaged: int = 0
    ends: tuple[LaneEnd, ...] = ()
    oldest: Now | None = None
    whole_from: Now | None = None  # None: no record was ever cleared away


@dataclass(slots=True)
class _Others:
    """What is neither an alarm nor duty: starts, gaps, changes, what was set aside."""

    boots: list[tuple[str, Now]] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    gaps: Counter[str] = field(default_factory=Counter)
    changes: list[tuple[When, str]] = field(default_factory=list)
    aside: dict[str, Aside] = field(default_factory=dict)
    over: list[Aside] = field(default_factory=list)
    damaged: int = 0


def sheet_of(
    site: Site | None,
    period: Period,
    made: Now,
    zone: tzinfo,
    records: Iterable[Record | None],
    known: Known,
    institution: Institution | None = None,
) -> Sheet:
    """Make the sheet. `records`: lane A's, then lane B's, each in its order; None: damaged.

    Without a site the rows say what their records say, and nothing is said of what is watched.
    """
    buildings = () if site is None else site.buildings
    made_ms = made.utc_ms if made.utc_ms is not None else period.end_ms
    lives = Lives(period, made_ms, known.anchors)
    patrol = site.patrol if site is not None else Patrol()
    duty, others = Duty(period, known.anchors, patrol, zone), _Others()
    for record in records:
        try:
            _take(lives, duty, others, record)
        except _NOT_UNDERSTOOD:
            others.damaged += 1
    rules = {} if site is None else {rule.id: rule for rule in site.rules}
    take_open(lives, _open_alarms(site, rules, known.alarms))
    for case in _kept_cases(known.kept):
        take_case(lives, case)
    whole = None if known.whole_from is None else when_of(known.whole_from, known.anchors)
    is_cut = whole is not None and (whole.utc_ms or 0) > period.begin_ms
    first = None if known.oldest is None else when_of(known.oldest, known.anchors)
    return Sheet(
        site="" if site is None else site.id,
        name="" if site is None else site.name,
        institution="" if site is None else site.institution,
        zone=str(zone),
        period=period,
        made=made,
        watched=None if site is None else _watched(site),
        sections=tuple(_sections(site, lives, duty, others, buildings)),
        closed_cases=closed_in(lives),
        duties=() if institution is None else tuple(duties_of(duty, institution, made_ms)),
        rounds=tuple(sorted(duty.rounds.values(), key=lambda row: (row.opens.utc_ms or 0, row.id))),
        post_checks=tuple(duty.checks.values()),
        drills=tuple(duty.drills),
        self_tests=dict(duty.self_tests),
        tests=duty.tests,
        noisy=_noisiest(lives),
        off=tuple(_off(period, made, others, known)),
        undelivered_ms=_undelivered_ms(lives),
        gaps=dict(others.gaps),
        changes=tuple(others.changes[:MOST_ROWS]),
        records=known.records,
        unsettled=known.unsettled,
        damaged=others.damaged + known.damaged,
        ends=known.ends,
        since=whole if is_cut else first,
        is_cut=is_cut,
        left_out={k: n for k, n in {**duty.left_out, "occurrences": lives.left_out}.items() if n},
    )


def _take(lives: Lives, duty: Duty, others: _Others, record: Record | None) -> None:
    """Hand a record to whom it concerns; a ValueError for one that is damaged."""
    if record is None:
        raise ValueError("damaged")
    said = json.loads(unpack(record.body, MAX_BODY))
    if said.get("t") == "alarm":
        take_alarm(lives, record.at, said)
        return
    data, kind = said.get("data") or {}, record.kind
    identity = f"{record.epoch}-{record.lane.value}-{record.seq}"
    if kind in OF_DUTY:
        take_duty(duty, kind, record.at, data)
    elif kind == "case":
        take_case(lives, data)
    elif kind == "missed_alarm":
        take_missed(lives, identity, record.at, data)
    elif kind == "escalation":
        take_escalation(lives, data)
    elif kind == "alarm_dropped":
        take_dropped(lives, record.at, data)
    else:
        _take_other(lives, others, record, data)


def _take_other(lives: Lives, others: _Others, record: Record, data: Mapping[str, Any]) -> None:
    when = when_of(record.at, lives.anchors)
    is_within = when.utc_ms is None or lives.period.begin_ms <= when.utc_ms < lives.period.end_ms
    match record.kind:
        case "boot":
            others.boots.append((record.epoch, record.at))
        case "stop":
            others.stopped.add(record.epoch)
        case "gap" if is_within:
            key = f"{data['lane']}/{data['why']}"
            others.gaps[key] += data["to"] - data["from"] + 1
        case "site_changed" if is_within:
            others.changes.append((when, str(data["cfg"])))
        case "shelve":
            _set_aside(lives, others, data["rule"], Aside(
                data["rule"], "", True, when, None, data["by"], data["why"]))  # fmt: skip
        case "out_of_service":
            _set_aside(lives, others, data["subject"], Aside(
                data["subject"], "", False, when, None, data["by"], data["why"], data["order"],
            ))  # fmt: skip
        case "unshelve" | "in_service":
            _put_back(lives, others, record.kind == "unshelve", when, data)


def _set_aside(lives: Lives, others: _Others, key: str, aside: Aside) -> None:
    is_after = aside.since is not None and (aside.since.utc_ms or 0) >= lives.period.end_ms
    if not is_after:
        others.aside[key] = aside


def _put_back(
    lives: Lives, others: _Others, is_shelved: bool, when: When, data: Mapping[str, Any]
) -> None:
    subject = data["rule"] if is_shelved else data["subject"]
    was = others.aside.pop(subject, None)
    if was is None:
        if when.utc_ms is None or when.utc_ms >= lives.period.end_ms:
            return  # it may have begun after the period too
        was = Aside(subject, "", is_shelved, None, None, "", "")
    begin_ms = None if was.since is None else was.since.utc_ms
    if within(lives.period, begin_ms, when.utc_ms) and len(others.over) < MOST_ROWS:
        others.over.append(Aside(
            subject, "", is_shelved, was.since, when, was.by, was.why, was.order))  # fmt: skip


def _open_alarms(
    site: Site | None, rules: Mapping[str, Rule], alarms: Iterable[Alarm]
) -> Iterator[tuple[Alarm, Mapping[str, Any]]]:
    """Open alarms with what their records would say of them; practice is left out."""
    points = {} if site is None else site.points
    for alarm in alarms:
        rule = rules.get(alarm.rule) or rule_of_fault_id(alarm.rule)
        if rule is None:
            continue
        point = points.get(rule.point)
        yield (
            alarm,
            {
                "sev": rule.severity.value,
                "say": {"zh": rule.say.zh, "en": rule.say.en},
                "place": _place_of(site, rule.point or alarm.rule),
                "rule": alarm.rule,
                "val": alarm.value,
                "lim": rule.limit,
                "unit": rule.unit(point.unit) if point is not None else "",
                "detail": alarm.detail,
            },
        )


def _kept_cases(kept: Iterable[Kept]) -> Iterator[Mapping[str, Any]]:
    for each in kept:
        if each.kind == KEPT_CASE and each.body is not None:
            with suppress(*_NOT_UNDERSTOOD):
                case = {"lapsed": False, **json.loads(each.body)}
                check_case(case)
                yield case


def _place_of(site: Site | None, subject: str) -> str:
    """Where a point, device, rule or fault is; its own name where no device has one."""
    names = {} if site is None else {device.id: device.place for device in site.devices}
    if subject.startswith("gateway/"):
        subject = subject.rsplit("/", 1)[-1]
    device = subject.partition("/")[0].partition(".")[0]
    return names.get(device, "")


def _watched(site: Site) -> Watched:
    found = coverage_of(site)
    words = {subject.key: subject.words for subject in SUBJECTS}
    devices = [device for device in site.devices if device.id != OWN_DEVICE]
    return Watched(
        devices=len(devices),
        points=sum(len(device.points) for device in devices),
        rules=len(site.rules),
        monitored=tuple((words[key], count) for key, count in found.monitored.items()),
        missing=tuple(text for _, text in found.missing),
        unjudged=found.unjudged,
    )


def _sections(
    site: Site | None, lives: Lives, duty: Duty, others: _Others, buildings: Sequence[str]
) -> Iterator[Section]:
    """A section for each building in the order of the site file, then one for all the rest."""
    occurrences, cases = list(occurrences_of(lives)), list(open_cases_of(lives))
    troubles, blind = list(troubles_of(lives)), list(_blind(lives))
    dues = [] if site is None else list(_dues(site, lives))
    aside = list(_aside(site, others))
    names = (*buildings, "")
    for name in names if len(buildings) > 1 else ("",):
        yield Section(
            name=name,
            occurrences=_of(name, buildings, occurrences),
            open_cases=_of(name, buildings, cases),
            troubles=_of(name, buildings, troubles),
            findings=_of(name, buildings, duty.findings),
            aside=_of(name, buildings, aside),
            dues=_of(name, buildings, dues),
            blind=_of(name, buildings, blind),
        )


def _of(name: str, buildings: Sequence[str], rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows of a building: a place begins with the building's name."""
    if len(buildings) < 2:
        return tuple(rows)
    return tuple(row for row in rows if building_of(row.place, buildings) == name)  # type: ignore[attr-defined]


def building_of(place: str, buildings: Sequence[str]) -> str:
    """The building whose name a place begins with; the longest, where several do."""
    fitting = [name for name in buildings if place == name or place.startswith(f"{name} ")]
    return max(fitting, key=len, default="")


def _aside(site: Site | None, others: _Others) -> Iterator[Aside]:
    rules = {} if site is None else {rule.id: rule.say for rule in site.rules}
    for each in [*others.over, *list(others.aside.values())[:MOST_ROWS]]:
        yield Aside(
            each.subject, _place_of(site, each.subject), each.is_shelved, each.since, each.until,
            each.by, each.why, each.order, rules.get(each.subject),
        )  # fmt: skip


def _dues(site: Site, lives: Lives) -> Iterator[DueRow]:
    """What is over, or falls due within 60 days of the period's last day; the oldest first."""
    found = [
        (date.fromisoformat(day) - lives.period.last, device, due.value, day)
        for device in site.devices
        for due, day in device.dues.items()
    ]
    for left, device, due, day in sorted(found, key=lambda each: (each[0], each[1].id, each[2])):
        if left.days <= WARN_DAYS:
            yield DueRow(device.id, device.place, due, day, left.days)


def _blind(lives: Lives) -> Iterator[Blind]:
    """Devices and buses that could not be seen, the longest first."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for rule, place, some in fault_spans(lives):
        _, code, subject = (*rule.split("/", 2), "", "")[:3]
        if code in BLIND:
            spans.setdefault((subject, place), []).extend(some)
    rows = [Blind(*key, total_ms(some)) for key, some in spans.items()]
    yield from sorted(rows, key=lambda row: (-row.ms, row.subject))[:MOST_ROWS]


def _undelivered_ms(lives: Lives) -> int:
    return total_ms(
        span
        for rule, _, some in fault_spans(lives)
        if rule.startswith("gateway/") and rule.split("/")[1].startswith(_NO_WAY_UP)
        for span in some
    )


def _off(period: Period, made: Now, others: _Others, known: Known) -> Iterator[OffRow]:
    """When the gateway did not run: from the last sign of one start to the next start."""
    before: str | None = None
    for epoch, at in [*others.boots, ("", made)]:
        last = known.last.get(before) if before is not None else None
        is_clean, is_now = before in others.stopped, not epoch
        before = epoch
        ms = between_ms(last, at)
        if last is None or (is_now and (ms is None or ms < SILENT_MS)):
            continue
        since, until = when_of(last, known.anchors), when_of(at, known.anchors)
        span = within(period, since.utc_ms, until.utc_ms)
        if span is not None:
            whole = ms if ms is not None else span[1] - span[0]
            yield OffRow(since, until, min(whole, span[1] - span[0]), is_clean)


def _noisiest(lives: Lives) -> tuple[tuple[str, str, int], ...]:
    rows = [(key, place, count) for key, (place, count) in lives.noisy.items() if count > 1]
    return tuple(sorted(rows, key=lambda row: (-row[2], row[0]))[:NOISIEST])


def counted(sheet: Sheet, severity: Severity) -> int:
    """How many alarms or warnings were raised in the period."""
    return sum(
        each.severity == severity and not each.was_before
        for section in sheet.sections
        for each in section.occurrences
    )
