"""The sheet as one table for spreadsheets: a row each thing, in the same columns whatever it is.

UTF-8 with a byte-order mark and CRLF, as Excel wants it. What comes from people or files and would
be taken for a formula (= + - @, tab) gets an apostrophe before it; numbers stay numbers.
"""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO

from gateway.cli.sheet_tables import done_of, notes_of, overview, severity, told_of
from gateway.cli.sheet_words import (
    ALLOWED,
    CHECKS,
    DUES,
    SAID,
    SOURCES,
    VERDICT_WORDS,
    WORDS,
    Voice,
)
from gateway.domain.details import detail_text
from gateway.domain.sheet import Occurrence, RoundRow, Section, Sheet
from gateway.domain.text import Text

BOM = "﻿"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
COLUMNS = {
    "list": Text("表", "List"),
    "building": Text("楼", "Building"),
    "time": Text("时间", "Time"),
    "until": Text("到", "Until"),
    "severity": Text("级别", "Severity"),
    "what": Text("内容", "What"),
    "place": Text("位置", "Place"),
    "value": Text("数值", "Value"),
    "limit": Text("限值", "Limit"),
    "unit": Text("单位", "Unit"),
    "count": Text("次数", "Count"),
    "ack_s": Text("确认用时(秒)", "Acknowledged after (s)"),
    "arrive_s": Text("到场用时(秒)", "On site after (s)"),
    "clear_s": Text("恢复用时(秒)", "Normal after (s)"),
    "close_s": Text("销号用时(秒)", "Closed out after (s)"),
    "lasted_s": Text("持续(秒)", "Lasted (s)"),
    "state": Text("状态", "State"),
    "result": Text("结论", "Verdict"),
    "by": Text("人员", "By"),
    "text": Text("说明", "In words"),
    "id": Text("编号", "Number"),
}
_TIME = "%Y-%m-%d %H:%M:%S"
Cells = dict[str, object]


def csv_of(sheet: Sheet, voice: Voice) -> str:
    """The whole file, byte-order mark and all."""
    to = StringIO()
    to.write(BOM)
    writer = csv.writer(to, lineterminator="\r\n")
    writer.writerow([voice(words) for words in COLUMNS.values()])
    for cells in _rows(sheet, voice):
        writer.writerow([_safe(cells.get(name, "")) for name in COLUMNS])
    return to.getvalue()


def _safe(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def _rows(sheet: Sheet, voice: Voice) -> Iterator[Cells]:
    for name, figure in overview(sheet, voice):
        yield {"list": voice(WORDS["overview"]), "what": name, "text": figure}
    for note in notes_of(sheet, voice, is_named=bool(voice.names)):
        yield {"list": voice(WORDS["overview"]), "text": note}
    for section in sheet.sections:
        for cells in _of_building(section, voice):
            yield {"building": section.name, **cells}
    yield from _of_house(sheet, voice)


def _of_building(section: Section, voice: Voice) -> Iterator[Cells]:
    for row in section.occurrences:
        yield {"list": voice(WORDS["alarms"]), **_occurrence(row, voice)}
    for case in section.open_cases:
        yield {
            "list": voice(WORDS["open_cases"]), "time": voice.clock(case.raised, _TIME),
            "severity": severity(case.severity, voice), "what": voice(case.say),
            "place": case.place, "lasted_s": _s(case.age_ms),
            "until": voice.clock(case.closed, _TIME) if case.closed else "",
            "state": voice(SAID["handled" if case.is_handled else "unhandled"]), "id": case.id,
        }  # fmt: skip
    for fault in section.troubles:
        yield {
            "list": voice(WORDS["faults"]), "time": voice.clock(fault.first, _TIME),
            "until": voice.clock(fault.last, _TIME), "what": voice(fault.say),
            "place": fault.place, "count": fault.count, "lasted_s": _s(fault.lasted_ms),
            "state": voice(SAID["open" if fault.is_open else "over"]),
            "text": voice(detail_text(fault.detail)), "id": fault.rule,
        }  # fmt: skip
    for blind in section.blind:
        yield {"list": voice(WORDS["blind"]), "what": blind.subject, "place": blind.place,
               "lasted_s": _s(blind.ms)}  # fmt: skip
    for found in section.findings:
        yield {
            "list": voice(WORDS["findings"]), "time": voice.clock(found.at, _TIME),
            "until": voice.clock(found.due, "%Y-%m-%d") if found.due else "",
            "what": voice(found.say), "place": found.place, "by": voice.who(found.by),
            "result": found.value, "text": found.text,
        }  # fmt: skip
    for each in section.aside:
        yield {
            "list": voice(WORDS["aside"]), "time": voice.clock(each.since, _TIME),
            "until": voice.clock(each.until, _TIME) if each.until else "",
            "what": each.subject, "place": each.place, "by": voice.who(each.by),
            "state": voice(SAID["shelved" if each.is_shelved else "out"]),
            "text": each.why, "id": each.order,
        }  # fmt: skip
    for due in section.dues:
        yield {"list": voice(WORDS["dues"]), "until": due.day, "what": voice.word(DUES, due.due),
               "place": due.place, "count": due.left, "id": due.device}  # fmt: skip


def _occurrence(row: Occurrence, voice: Voice) -> Cells:
    by = dict.fromkeys(each for each in (row.acked_by, row.arrived_by, row.closed_by) if each)
    return {
        "time": voice.clock(row.raised, _TIME),
        "severity": severity(row.severity, voice),
        "what": voice(row.say),
        "place": row.place,
        "value": row.value,
        "limit": row.limit,
        "unit": row.unit,
        "count": row.activations,
        "ack_s": _s(row.t_ack),
        "arrive_s": _s(row.t_arrive),
        "clear_s": _s(row.t_clear),
        "close_s": _s(row.t_close),
        "state": voice(SAID["open" if row.is_open else "over"]),
        "result": voice.word(VERDICT_WORDS, row.verdict) if row.verdict else "",
        "by": _listed([voice.who(code) for code in by]),
        "text": _listed([voice.cause(row.cause) if row.cause else "", voice.actions(row.actions),
                         row.text, *told_of(row, voice)]),
        "id": row.id,
    }  # fmt: skip


def _of_house(sheet: Sheet, voice: Voice) -> Iterator[Cells]:
    for duty in sheet.duties:
        yield {"list": voice(WORDS["duties"]), "what": voice(duty.say), "count": duty.done,
               "limit": duty.due, "result": done_of(duty, voice), "text": duty.basis,
               "state": "" if duty.unverified is None
               else voice(SAID["unverified"]).format(voice(duty.unverified)),
               "id": duty.name}  # fmt: skip
    for row in sheet.rounds:
        yield {"list": voice(WORDS["rounds"]), **_round(row, voice)}
    for check in sheet.post_checks:
        yield {
            "list": voice(WORDS["post_checks"]), "time": voice.clock(check.asked, _TIME),
            "what": voice.word(SOURCES, check.source), "ack_s": _s(check.waited_ms),
            "state": voice.word(CHECKS, check.result), "by": voice.who(check.by),
        }  # fmt: skip
    for drill in sheet.drills:
        yield {
            "list": voice(WORDS["drills"]), "time": voice.clock(drill.at, _TIME),
            "what": drill.scenario, "place": drill.scope, "by": voice.who(drill.leader),
            "ack_s": _s(drill.first_ack_ms), "arrive_s": _s(drill.first_arrival_ms),
            "lasted_s": _s(drill.lasted_ms), "count": drill.counted, "limit": drill.expected,
            "text": _listed(drill.findings),
        }  # fmt: skip
    for name, place, count in sheet.noisy:
        yield {"list": voice(WORDS["noisy"]), "what": name, "place": place, "count": count}
    for off in sheet.off:
        yield {
            "list": voice(WORDS["off"]), "time": voice.clock(off.since, _TIME),
            "until": voice.clock(off.until, _TIME), "lasted_s": _s(off.ms),
            "text": voice(SAID["stopped" if off.is_clean else "cut_off"]),
        }  # fmt: skip
    for end in sheet.ends:
        yield {"list": voice(WORDS["records"]), "what": end.lane, "text": end.hash,
               "id": end.record}  # fmt: skip


def _round(row: RoundRow, voice: Voice) -> Cells:
    return {
        "time": voice.clock(row.opens, _TIME),
        "until": voice.clock(row.closes, _TIME),
        "what": row.name,
        "place": _listed(row.missing),
        "count": row.done,
        "limit": row.of,
        "state": voice.round_state(row.state),
        "result": _listed([voice(found) for found in row.found]),
        "by": _listed([voice.who(code) for code in row.by]),
        "text": _listed([
            voice.reason(row.reason) if row.reason else "",
            *(voice.word(ALLOWED, flag) for flag in row.flags),
            voice.flags(row.marks),
            row.explained,
            voice.who(row.signed_by) if row.signed_by else voice(SAID["unsigned"]),
        ]),
        "id": row.id,
    }  # fmt: skip


def _s(ms: int | None) -> object:
    return "" if ms is None else round(ms / 1000, 1)


def _listed(parts: Sequence[str]) -> str:
    return " · ".join(part for part in parts if part)
