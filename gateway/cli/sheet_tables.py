"""A sheet as tables of words: the same for the printed page and for the terminal. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from gateway.cli.naming import short
from gateway.cli.saying import SEVERITIES, number
from gateway.cli.sheet_words import (
    ALLOWED,
    AUDIENCES,
    CHECKS,
    DUES,
    GAPS,
    NONE,
    ROLES,
    SAID,
    SOURCES,
    TESTS,
    TOLD,
    VERDICT_WORDS,
    WORDS,
    Voice,
)
from gateway.domain.details import detail_text
from gateway.domain.rules import Severity
from gateway.domain.sheet import (
    Aside,
    DutyRow,
    Occurrence,
    OpenCase,
    RoundRow,
    Section,
    Sheet,
    Sure,
    Trouble,
    When,
)
from gateway.domain.text import Text

Row = tuple[str, ...]
_DONE = ("done", "done_late")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a title; a line break in a cell is one on paper. `none`: what to say of no row."""

    title: str
    columns: Row
    rows: tuple[Row, ...]
    none: str


def tables_of(section: Section, voice: Voice) -> Iterator[Table]:
    """What belongs to one building."""
    yield _table(voice, "alarms", (
        "time", "severity", "what", "place", "value", "ack", "arrive", "clear", "close", "verdict",
        "id",
    ), [_occurrence(row, voice) for row in section.occurrences])  # fmt: skip
    yield _table(voice, "open_cases", ("time", "severity", "what", "place", "age", "state", "id"),
                 [_case(row, voice) for row in section.open_cases])  # fmt: skip
    yield _table(voice, "faults", ("what", "place", "count", "lasted", "last", "state", "text"),
                 [_trouble(row, voice) for row in section.troubles])  # fmt: skip
    yield _table(voice, "blind", ("subject", "place", "lasted"), [
        (row.subject, row.place, voice.lasted(row.ms)) for row in section.blind])  # fmt: skip
    yield _table(voice, "findings", ("time", "place", "what", "value_found", "text", "by", "due"), [
        (voice.clock(row.at), row.place, voice(row.say), row.value, row.text, voice.who(row.by),
         voice.clock(row.due, "%Y-%m-%d") if row.due else "")
        for row in section.findings])  # fmt: skip
    yield _table(voice, "aside", ("state", "subject", "place", "since", "until", "by", "why",
                                  "order"),
                 [_aside(row, voice) for row in section.aside])  # fmt: skip
    yield _table(voice, "dues", ("device", "place", "what", "due", "left"), [
        (row.device, row.place, voice.word(DUES, row.due), row.day, _left(row.left, voice))
        for row in section.dues])  # fmt: skip


def house_tables(sheet: Sheet, voice: Voice) -> Iterator[Table]:
    """What belongs to the house and to no building of it."""
    yield _table(
        voice, "duties", ("what", "done", "basis"), [_duty(row, voice) for row in sheet.duties]
    )
    yield _table(voice, "rounds", ("window", "round", "state", "stops", "by", "found", "remarks",
                                   "signed"),
                 [_round(row, voice) for row in sheet.rounds])  # fmt: skip
    yield _table(voice, "post_checks", ("time", "subject", "state", "by", "lasted"), [
        (voice.clock(row.asked), voice.word(SOURCES, row.source),
         voice.word(CHECKS, row.result) + (f" ({voice(SAID['late'])})" if row.is_late else ""),
         voice.who(row.by), voice.lasted(row.waited_ms))
        for row in sheet.post_checks])  # fmt: skip
    yield _table(voice, "drills", ("time", "scenario", "place", "by", "lasted", "ack", "arrive",
                                   "heads", "found"), [
        (voice.clock(row.at, "%m-%d %H:%M"), row.scenario, row.scope, voice.who(row.leader),
         voice.lasted(row.lasted_ms), voice.lasted(row.first_ack_ms),
         voice.lasted(row.first_arrival_ms), _heads(row.counted, row.expected),
         "\n".join(row.findings))
        for row in sheet.drills])  # fmt: skip
    yield _table(voice, "noisy", ("point", "place", "activations"), [
        (name, place, str(count)) for name, place, count in sheet.noisy])  # fmt: skip
    yield _table(voice, "off", ("since", "until", "lasted", "why"), [
        (voice.clock(row.since), voice.clock(row.until), voice.lasted(row.ms),
         voice(SAID["stopped" if row.is_clean else "cut_off"]))
        for row in sheet.off])  # fmt: skip


def overview(sheet: Sheet, voice: Voice) -> Iterator[tuple[str, str]]:
    """What a head reads first: a name and a figure each; said also where nothing happened."""
    watched = sheet.watched
    if watched is not None:
        counts = voice(Text("{} 台设备、{} 个监测点、{} 条规则", "{} devices, {} points, {} rules"))
        what = [f"{voice(words)} {count}" for words, count in watched.monitored]
        yield (
            voice(Text("监测中", "Watched")),
            _listed([counts.format(watched.devices, watched.points, watched.rules), *what]),
        )
    yield voice(Text("报警", "Alarms")), _of_severity(sheet, Severity.ALARM, voice)
    yield voice(Text("预警", "Warnings")), _of_severity(sheet, Severity.WARNING, voice)
    yield voice(Text("处置单", "Cases")), _cases(sheet, voice)
    troubles = [row for section in sheet.sections for row in section.troubles]
    told = Text("{} 种 {} 次，未恢复 {}", "{} kinds, {} times, {} not over")
    yield (
        voice(WORDS["faults"]),
        voice(told).format(
            len(troubles), sum(row.count for row in troubles), sum(row.is_open for row in troubles)
        ),
    )
    yield voice(WORDS["rounds"]), _rounds(sheet.rounds, voice)
    yield voice(WORDS["post_checks"]), _checks(sheet, voice)
    yield voice(Text("夜间自检", "Self-tests")), _counts(sheet.self_tests, TESTS, voice)
    if sheet.tests:
        yield voice(Text("监测点测试", "Points tested")), str(sheet.tests)
    yield voice(WORDS["off"]), voice.lasted(sum(row.ms for row in sheet.off))
    yield voice(Text("送不到平台", "No way to the platform")), voice.lasted(sheet.undelivered_ms)
    yield voice(WORDS["records"]), _records(sheet, voice)
    if sheet.changes:
        changes = [f"{voice.clock(when)} {sha[:12]}" for when, sha in sheet.changes]
        yield voice(Text("站点文件修改", "Site file changed")), _listed(changes)


def quiet(sheet: Sheet, voice: Voice) -> str:
    """The one sentence of a time in which nothing happened; empty where something did."""
    is_quiet = not any(
        section.occurrences or section.troubles or section.findings or section.aside
        for section in sheet.sections
    ) and not any((sheet.off, sheet.undelivered_ms, [r for r in sheet.rounds if not _is_done(r)]))
    if not sum(sheet.records.values()):
        return voice(WORDS["no_record"])
    return voice(WORDS["quiet"]) if is_quiet and not sheet.is_cut and not is_late(sheet) else ""


def is_late(sheet: Sheet) -> bool:
    """The records begin within the period: what was before, nobody can say."""
    since = sheet.since
    return since is not None and (since.utc_ms or 0) > sheet.period.begin_ms


def ends_of(sheet: Sheet, voice: Voice) -> str:
    """The heads of the chains, to be held against the box later: `record verify --head`."""
    words = voice(Text("记录链头（record verify --head 可核对）",
                       "Heads of the record chains, for `record verify --head`"))  # fmt: skip
    return "\n".join([words, *(f"{end.lane}={end.hash} ({end.record})" for end in sheet.ends)])


def _table(voice: Voice, name: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    heads = tuple(voice(WORDS[column]) for column in columns)
    return Table(voice(WORDS[name]), heads, tuple(rows), voice(NONE[name]))


def _occurrence(row: Occurrence, voice: Voice) -> Row:
    marks = [voice(SAID["missed"])] if row.is_missed else []
    if row.is_first_out:
        marks.append(voice(SAID["first_out"]))
    if row.activations > 1:
        marks.append(voice(SAID["times"]).format(row.activations))
    if row.escalated:
        marks.append(voice.word(ROLES, row.escalated))
    if row.is_open:
        marks.append(voice(SAID["open"]))
    marks += told_of(row, voice)
    limit = "" if row.limit is None else f"\n({number(row.limit, row.unit)})"
    value = "" if row.value is None else number(row.value, row.unit)
    return (
        ("∗" if row.was_before else "") + voice.clock(row.raised),
        severity(row.severity, voice),
        "\n".join([voice(row.say), *marks]),
        row.place,
        f"{value}{limit}",
        _step(row.t_ack, row.acked_by, voice) if row.is_acked else voice(SAID["unacked"]),
        _step(row.t_arrive, row.arrived_by, voice, _proof(row, voice)),
        voice.lasted(row.t_clear),
        _step(row.t_close, row.closed_by, voice),
        _verdict(row, voice),
        short(row.id),
    )


def told_of(row: Occurrence, voice: Voice) -> list[str]:
    """Who knows of it."""
    return [
        f"{voice.word(AUDIENCES, name)}: {voice.word(TOLD, level)}"
        for name, level in row.told.items()
    ]


def _proof(row: Occurrence, voice: Voice) -> str:
    if row.t_arrive is None and not row.arrived_by:
        return ""
    return voice(SAID["tap"]).format(row.proof) if row.proof else voice(SAID["told"])


def _step(ms: int | None, by: str, voice: Voice, more: str = "") -> str:
    return "\n".join(each for each in (voice.lasted(ms), voice.who(by), more) if each)


def _verdict(row: Occurrence, voice: Voice) -> str:
    if not row.verdict:
        return voice(SAID["no_verdict"])
    parts = [voice.word(VERDICT_WORDS, row.verdict), voice.cause(row.cause) if row.cause else "",
             voice.actions(row.actions), row.text]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _case(row: OpenCase, voice: Voice) -> Row:
    if row.closed is not None:
        state = voice(SAID["closed"]).format(voice.clock(row.closed, "%Y-%m-%d %H:%M"))
    else:
        state = voice(SAID["handled" if row.is_handled else "unhandled"])
    return (voice.clock(row.raised, "%Y-%m-%d %H:%M"), severity(row.severity, voice),
            voice(row.say), row.place, voice.lasted(row.age_ms), state, short(row.id))  # fmt: skip


def _trouble(row: Trouble, voice: Voice) -> Row:
    state = voice(SAID["open" if row.is_open else "over"])
    acked = voice(SAID["acked" if row.is_acked else "unacked"])
    return (voice(row.say), row.place, str(row.count), voice.lasted(row.lasted_ms),
            voice.clock(row.last), f"{state}\n{acked}", voice(detail_text(row.detail)))  # fmt: skip


def _aside(row: Aside, voice: Voice) -> Row:
    until = voice(SAID["still"]) if row.until is None else voice.clock(row.until)
    since = voice(SAID["before"]) if row.since is None else voice.clock(row.since)
    subject = row.subject if row.say is None else f"{voice(row.say)}\n{row.subject}"
    return (voice(SAID["shelved" if row.is_shelved else "out"]), subject, row.place, since,
            until, voice.who(row.by), row.why, row.order)  # fmt: skip


def _duty(row: DutyRow, voice: Voice) -> Row:
    grounds = [row.basis]
    if row.unverified is not None:
        grounds.append(voice(SAID["unverified"]).format(voice(row.unverified)))
    return voice(row.say), done_of(row, voice), "\n".join(grounds)


def done_of(row: DutyRow, voice: Voice) -> str:
    """How far a duty was done in the period."""
    if row.done is not None:
        words = SAID["of_days" if row.name == "day_round" else "of_rounds"]
        return voice(words).format(row.done, row.due)
    if row.name != "drill":
        return voice(SAID["not_counted"])
    if row.last is None:
        return voice(SAID["no_drill"])
    return voice(SAID["last_time"]).format(voice.clock(row.last, "%Y-%m-%d"))


def _round(row: RoundRow, voice: Voice) -> Row:
    window = f"{voice.clock(row.opens, '%m-%d %H:%M')}-{voice.clock(row.closes, '%H:%M')}"
    nothing = SAID["all_ok" if row.done else "no_visit"]
    remarks = [voice.reason(row.reason)] if row.reason else []
    remarks += [voice.word(ALLOWED, flag) for flag in row.flags]
    if row.missing and row.done:
        remarks.append(voice(SAID["missing"]).format(_listed(row.missing)))
    if row.asked:
        remarks.append(voice(SAID["challenge"]).format(row.met, row.asked))
    if row.marks:
        remarks.append(voice.flags(row.marks))
    if row.explained:
        remarks.append(voice(SAID["explained"]).format(row.explained))
    return (
        window, row.name, voice.round_state(row.state), f"{row.done}/{row.of}",
        "\n".join(map(voice.who, row.by)), "\n".join(map(voice, row.found)) or voice(nothing),
        "\n".join(remarks), voice.who(row.signed_by) or voice(SAID["unsigned"]),
    )  # fmt: skip


def severity(name: str, voice: Voice) -> str:
    word, _ = SEVERITIES.get(name, (Text(name, name), ""))
    return voice(word)


def _left(days: int, voice: Voice) -> str:
    return voice(SAID["overdue" if days < 0 else "days"]).format(abs(days))


def _heads(counted: int | None, expected: int | None) -> str:
    if counted is None:
        return ""
    return str(counted) if expected is None else f"{counted}/{expected}"


def _of_severity(sheet: Sheet, which: Severity, voice: Voice) -> str:
    """How many, what they were, and how long people took."""
    rows = [
        row
        for section in sheet.sections
        for row in section.occurrences
        if row.severity == which and not row.was_before
    ]
    parts = [str(len(rows))]
    verdicts: dict[str, int] = {}
    for row in rows:
        key = row.verdict or "no_verdict"
        verdicts[key] = verdicts.get(key, 0) + 1
    words = {**VERDICT_WORDS, "no_verdict": SAID["no_verdict"]}
    parts += [f"{voice.word(words, key)} {count}" for key, count in sorted(verdicts.items())]
    for name, times in (("ack", [row.t_ack for row in rows]),
                        ("arrive", [row.t_arrive for row in rows])):  # fmt: skip
        if known := [ms for ms in times if ms is not None]:
            told = voice(Text("{}：中位 {}，最长 {}", "{}: median {}, longest {}"))
            middle, most = voice.lasted(int(median(known))), voice.lasted(max(known))
            parts.append(told.format(voice(WORDS[name]), middle, most))
    return _listed(parts)


def _cases(sheet: Sheet, voice: Voice) -> str:
    still = [row for section in sheet.sections for row in section.open_cases]
    said = voice(Text("销号 {}，期末未销号 {}", "{} closed out, {} open at the end"))
    oldest = max((row.age_ms or 0 for row in still), default=0)
    parts = [said.format(sheet.closed_cases, len(still))]
    if oldest:
        parts.append(voice(Text("最久 {}", "the oldest for {}")).format(voice.lasted(oldest)))
    return _listed(parts)


def _is_done(row: RoundRow) -> bool:
    return row.state in _DONE or row.state == "cancelled"


def _rounds(rounds: Sequence[RoundRow], voice: Voice) -> str:
    if not rounds:
        return voice(NONE["rounds"])
    counts: dict[str, int] = {}
    for row in rounds:
        counts[row.state] = counts.get(row.state, 0) + 1
    parts = [str(len(rounds))]
    parts += [f"{voice.round_state(state)} {count}" for state, count in sorted(counts.items())]
    found = sum(len(row.found) for row in rounds)
    parts.append(voice(Text("发现异常 {} 项", "{} items not in order")).format(found))
    unsigned = sum(not row.signed_by and row.state != "cancelled" for row in rounds)
    parts.append(voice(Text("未复核 {}", "{} not signed")).format(unsigned))
    hurried = sum(row.marks.get("hurried", 0) for row in rounds)
    if hurried:
        parts.append(voice(Text("答得过快 {} 次", "{} answered in haste")).format(hurried))
    return _listed(parts)


def _checks(sheet: Sheet, voice: Voice) -> str:
    if not sheet.post_checks:
        return voice(NONE["post_checks"])
    counts: dict[str, int] = {}
    for row in sheet.post_checks:
        counts[row.result] = counts.get(row.result, 0) + 1
    return _counts(counts, CHECKS, voice)


def _counts(counts: Mapping[str, int], words: Mapping[str, Text], voice: Voice) -> str:
    return _listed([f"{voice.word(words, key)} {n}" for key, n in sorted(counts.items())]) or "0"


def _records(sheet: Sheet, voice: Voice) -> str:
    parts = [f"{lane} {count}" for lane, count in sheet.records.items()]
    parts.append(voice(Text("平台未收 {}", "{} not settled")).format(sheet.unsettled))
    for key, count in sheet.gaps.items():
        lane, _, why = key.partition("/")
        parts.append(f"{lane} {voice.word(GAPS, why)} {count}")
    if sheet.damaged:
        parts.append(
            voice(Text("损坏或读不懂 {}", "{} damaged or not understood")).format(sheet.damaged)
        )
    return _listed(parts)


def _listed(parts: Sequence[str]) -> str:
    return " · ".join(part for part in parts if part)


def notes_of(sheet: Sheet, voice: Voice, *, is_named: bool) -> Iterator[str]:
    """What has to be known to read it right."""
    if sheet.watched is None:
        yield voice(WORDS["no_site"])
    if sheet.made.utc_ms is not None and sheet.made.utc_ms < sheet.period.end_ms:
        yield voice(WORDS["not_over"])
    if sheet.is_cut:
        yield voice(WORDS["cut"]).format(voice.clock(sheet.since, "%Y-%m-%d %H:%M"))
    elif is_late(sheet):
        yield voice(WORDS["begins"]).format(voice.clock(sheet.since, "%Y-%m-%d %H:%M"))
    for name, count in sheet.left_out.items():
        yield voice(WORDS["left_out"]).format(count, name)
    yield voice(WORDS["names" if is_named else "codes"])
    yield voice(WORDS["marks"])


def made_at(sheet: Sheet) -> When:
    return When(sheet.made.utc_ms, Sure.YES if sheet.made.is_trusted else Sure.ABOUT)
