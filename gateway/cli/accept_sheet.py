"""验收单: the sheet of an acceptance, as one page of HTML for paper, and its data.

Pure: from what the daemon said to text. Nothing in it is fetched from anywhere.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from gateway.cli.accept_words import output_name
from gateway.cli.saying import NOTHING, SEVERITIES, Part, number, part_of, rows_of, say
from gateway.core.acceptance import SIMULATED
from gateway.core.wiring import DeviceCount, wiring_hints
from gateway.domain.acceptance import NOT_ACCEPTED, PARTS, RESULTS, Result
from gateway.domain.acceptance import Part as Tried
from gateway.domain.details import detail_text
from gateway.domain.text import Lang, Text

Row = Sequence[str]

TITLE = Text("验收单", "Acceptance sheet")
SUPPLEMENT = Text("本设备不替代火灾报警控制器。", "Not a fire alarm control panel.")
HEADS = {
    "site": Text("站点", "Site"),
    "made": Text("打印时间", "Printed"),
    "software": Text("网关软件", "Gateway software"),
    "config": Text("配置摘要", "Configuration digest"),
    "result": Text("结果", "Result"),
    "simulated": Text("其中报警用模拟值", "Alarms by a simulated value"),
    "device": Text("设备", "Device"),
    "place": Text("位置", "Place"),
    "bus": Text("总线", "Bus"),
    "unit": Text("站号", "Unit"),
    "profile": Text("档案（摘要）、型号", "Profile (digest), model"),
    "wiring": Text("接线质量", "Wiring"),
    "asked": Text("请求", "Requests"),
    "lost": Text("丢失", "Lost"),
    "refused": Text("拒绝", "Refused"),
    "p95": Text("应答 p95", "Answer p95"),
    "who": Text("谁", "Who"),
    "when": Text("何时", "When"),
    "point": Text("监测点", "Point"),
    "value": Text("网关的值", "Gateway's value"),
    "display": Text("仪表显示", "Display"),
    "raw": Text("原始字", "Raw words"),
    "note": Text("备注", "Note"),
    "rule": Text("报警规则", "Alarm rule"),
    "limit": Text("限值", "Limit"),
    "raised": Text("触发值", "Raised at"),
    "what": Text("项目", "What"),
    "digest": Text("摘要", "Digest"),
}
CHAPTERS = {
    "left": Text("未验收", "Not accepted"),
    "lines": Text("总线", "Lines"),
    "devices": Text("设备和接线", "Devices and wiring"),
    "points": Text("监测点与仪表显示", "Points against the displays"),
    "trips": Text(
        "报警试验（带测试标记，不通知任何人）", "Trip tests (marked as tests, told to nobody)"
    ),
    "others": Text("面板、巡查点、上传、时钟", "Panel, checkpoints, uplink, clock"),
    "missing": Text("本站点不监测", "What is not monitored here"),
    "open": Text("未结报警和故障", "Open alarms and faults"),
    "sign": Text("签字", "Signatures"),
}
NONE = Text("无", "none")
AS_SHOWN = Text("相符", "as shown")
MADE_UP = Text("模拟值", "simulated value")
WELL = Text("良好", "good")
LOSSY = Text("有丢失", "loses answers")
SILENT = Text("不应答", "silent")
REFUSING = Text("拒绝寄存器", "refuses registers")
TOO_FEW = Text("问得太少", "too few yet")
TECHNICIAN = Text("调试人员", "Technician")
INSTITUTION = Text("机构", "Institution")
INK = Text("签名 / 日期", "Signature / date")
UNSIGNED = Text("尚未签字", "not signed yet")
SIGNED = Text(
    "{by} 和 {partner} 于 {at} 签字，记录 {record}，当时 {left} 项未验收，摘要 {digest}",
    "signed by {by} and {partner} at {at}, record {record}, with {left} not accepted,"
    " digest {digest}",
)
LEAST_ASKED = 10

STYLE = """
@page { size: A4; margin: 14mm 12mm }
body { font: 10.5pt/1.4 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; color: #000;
       max-width: 190mm; margin: 1em auto }
h1 { font-size: 17pt; margin: 0 } h2 { font-size: 12pt; margin: 1.2em 0 .3em }
table { border-collapse: collapse; width: 100%; font-size: 9pt }
th, td { border: .4pt solid #777; padding: 1.2mm 1.4mm; text-align: left; vertical-align: top }
th { background: #eee } thead { display: table-header-group } tr { break-inside: avoid }
td.open { font-weight: 700 } td.open::before { content: "\\25B2\\00A0" }
.sign td { height: 18mm } .small { font-size: 8.5pt; color: #333 }
"""


def data_of(
    acceptance: Part, status: Part, lines: Sequence[Part], profiles: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that the sheet says, as plain data: what `--json` prints.

    `profiles`: the digest of each profile's file, by its name.
    """
    return {
        "site": dict(part_of(acceptance, "site")),
        "software": acceptance.get("version"),
        "profiles": dict(profiles),
        "made_utc_ms": part_of(acceptance, "clock").get("utc_ms"),
        "counts": dict(part_of(acceptance, "counts")),
        "items": [dict(item) for item in rows_of(acceptance, "items")],
        "devices": [dict(row) for row in rows_of(status, "devices")],
        "lines": [{**line, "hints": _hints(line)} for line in lines],
        "coverage": dict(part_of(status, "coverage")),
        "open": [_open(row) for row in rows_of(status, "alarms")],
    }


def html_of(data: Mapping[str, Any], lang: Lang) -> str:
    """The page."""
    site = data["site"]
    title = f"{TITLE.in_(lang)} · {site['name']}"
    tongue = "zh-CN" if lang is Lang.ZH else "en"
    return "".join((
        f'<!doctype html>\n<html lang="{tongue}">\n<meta charset="utf-8">\n',
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n",
        f"<h1>{escape(title)}</h1>\n<p class=small>{SUPPLEMENT.in_(lang)}</p>\n",
        _facts(data, lang),
        _chapter("left", _list(_left(data, lang), lang), lang),
        _chapter("devices", _devices(data, lang), lang),
        _chapter("lines", _lines(data, lang), lang),
        _chapter("points", _points(data, lang), lang),
        _chapter("trips", _trips(data, lang), lang),
        _chapter("others", _others(data, lang), lang),
        _chapter("missing", _list(_missing(data, lang), lang), lang),
        _chapter("open", _list(_open_lines(data, lang), lang), lang),
        _chapter("sign", _signatures(data, lang), lang),
        "</html>\n",
    ))  # fmt: skip


def items_of(data: Mapping[str, Any], *parts: Tried) -> list[Mapping[str, Any]]:
    names = {part.value for part in parts}
    return [item for item in data["items"] if item["part"] in names]


def is_passed(item: Mapping[str, Any]) -> bool:
    return bool(item["accepted"]) and item["accepted"]["result"] == Result.PASSED.value


# -- the chapters -------------------------------------------------------------------------------


def _facts(data: Mapping[str, Any], lang: Lang) -> str:
    tried = [item for item in data["items"] if item["part"] != Tried.SIGN.value]
    passed = sum(map(is_passed, tried))
    site = data["site"]
    rows = [
        (HEADS["site"].in_(lang), f"{site['name']} ({site['id']})"),
        (HEADS["made"].in_(lang), _moment(data["made_utc_ms"])),
        (HEADS["software"].in_(lang), f"care-gateway {data['software']}"),
        (HEADS["config"].in_(lang), str(site["sha"])),
        (HEADS["result"].in_(lang), f"{passed} / {len(tried)} {_result(Result.PASSED, lang)}"),
    ]
    if simulated := data["counts"].get("simulated"):
        rows.append((HEADS["simulated"].in_(lang), str(len(simulated))))
    return _table((), rows, lang)


def _left(data: Mapping[str, Any], lang: Lang) -> list[str]:
    tried = [item for item in data["items"] if item["part"] != Tried.SIGN.value]
    return [
        f"{PARTS[Tried(item['part'])].in_(lang)} {item['subject']}: {_state(item, lang)}"
        for item in tried
        if not is_passed(item)
    ]


def _devices(data: Mapping[str, Any], lang: Lang) -> str:
    counted = {row["id"]: row for row in data["devices"]}
    rows = []
    for item in items_of(data, Tried.DEVICE):
        count = counted.get(item["subject"], {})
        about = (item["profile"], data["profiles"].get(item["profile"]), item["maker"])
        model = " ".join(str(each) for each in (*about, item["model"]) if each)
        rows.append((
            str(item["subject"]), str(item["place"]), f"{item['bus']} / {item['unit']}",
            model, number(count.get("requests")),
            number(count.get("timeouts")), number(count.get("exceptions")),
            number(count.get("p95_ms"), "ms"), _wiring(count, lang), *_result_cells(item, lang),
        ))  # fmt: skip
    heads = ("device", "place", "bus", "profile", "asked", "lost", "refused", "p95", "wiring",
             "result", "who", "when")  # fmt: skip
    return _table(heads, rows, lang)


def _wiring(count: Mapping[str, Any], lang: Lang) -> str:
    """One word on how a device's line serves it."""
    known = DeviceCount(
        "", int(count.get("requests") or 0), int(count.get("timeouts") or 0),
        int(count.get("exceptions") or 0),
    )  # fmt: skip
    if known.requests < LEAST_ASKED:
        return TOO_FEW.in_(lang)
    if known.is_silent:
        return SILENT.in_(lang)
    if known.is_lossy:
        return f"{LOSSY.in_(lang)} {100 * known.timeouts / known.requests:.1f} %"
    return (REFUSING if known.is_refusing else WELL).in_(lang)


def _lines(data: Mapping[str, Any], lang: Lang) -> str:
    tried = {item["subject"]: item for item in items_of(data, Tried.BUS)}
    rows = []
    for line in data["lines"]:
        said = part_of(line, "line")
        setting = " ".join(str(said[key]) for key in ("baud", "parity", "stop_bits") if key in said)
        hints = "; ".join(say(hint, lang) for hint in line["hints"])
        item = tried.get(line["bus"])
        state = _result_cells(item, lang) if item else (NOTHING,) * 3
        note = str(item["accepted"]["note"]) if item and item["accepted"] else ""
        where = str(line.get("port") or line.get("tcp"))
        rows.append((str(line["bus"]), f"{where} {setting}", hints, *state, note))
    return _table(("bus", "place", "wiring", "result", "who", "when", "note"), rows, lang)


def _points(data: Mapping[str, Any], lang: Lang) -> str:
    rows = []
    for item in items_of(data, Tried.POINT):
        known = item["accepted"] or {}
        display = ""
        if known.get("result") == Result.PASSED.value:
            display = known["shown"] or AS_SHOWN.in_(lang)
        rows.append((
            str(item["subject"]), str(item["label"]), str(item["place"]),
            number(known.get("value"), known.get("unit")), display or str(known.get("shown", "")),
            " ".join(f"{word:04X}" for word in known.get("words", ())),
            *_result_cells(item, lang), str(known.get("note", "")),
        ))  # fmt: skip
    heads = ("point", "what", "place", "value", "display", "raw", "result", "who", "when", "note")
    return _table(heads, rows, lang)


def _trips(data: Mapping[str, Any], lang: Lang) -> str:
    rows = []
    for item in items_of(data, Tried.TRIP):
        known = item["accepted"] or {}
        rows.append((
            str(item["subject"]), say(item["say"], lang), str(item["place"]),
            number(item["limit"], item["unit"]), number(known.get("value"), known.get("unit")),
            *_result_cells(item, lang), _how(known, lang),
        ))  # fmt: skip
    heads = ("rule", "what", "place", "limit", "raised", "result", "who", "when", "note")
    return _table(heads, rows, lang)


def _how(known: Mapping[str, Any], lang: Lang) -> str:
    """How an alarm was raised where nobody tripped the device; and the note."""
    simulated = MADE_UP.in_(lang) if known.get("shown") == SIMULATED else ""
    return " ".join(each for each in (simulated, str(known.get("note", ""))) if each)


def _others(data: Mapping[str, Any], lang: Lang) -> str:
    rows = []
    for item in items_of(data, Tried.PANEL, Tried.TAG, Tried.UPLINK, Tried.CLOCK):
        known, part = item["accepted"] or {}, Tried(item["part"])
        name = str(item["subject"])
        if part is Tried.PANEL:
            name = output_name(name, lang)
        elif part is Tried.TAG:
            name = f"{name} {item['label']} {item['place']}"
        elif part in (Tried.UPLINK, Tried.CLOCK):
            name = number(known.get("value"), known.get("unit"))
        rows.append((
            PARTS[part].in_(lang), name, *_result_cells(item, lang), str(known.get("note", "")),
        ))  # fmt: skip
    return _table(("what", "value", "result", "who", "when", "note"), rows, lang)


def _missing(data: Mapping[str, Any], lang: Lang) -> list[str]:
    return [say(each.get("say"), lang) for each in rows_of(data["coverage"], "missing")]


def _open_lines(data: Mapping[str, Any], lang: Lang) -> list[str]:
    return [
        " ".join((
            SEVERITIES[row["severity"]][0].in_(lang) if row["severity"] in SEVERITIES else "",
            say(row["say"], lang), str(row["place"]), str(row["rule"]),
            detail_text(str(row["detail"])).in_(lang),
        )).strip()
        for row in data["open"]
    ]  # fmt: skip


def _signatures(data: Mapping[str, Any], lang: Lang) -> str:
    signed = data["counts"].get("signed")
    said = UNSIGNED.in_(lang)
    if signed:
        said = SIGNED.in_(lang).format(
            by=signed["by"], partner=signed["partner"], at=_moment(signed["at"]),
            record=signed["record"], left=number(signed["value"]), digest=signed["digest"],
        )  # fmt: skip
    codes = (signed["by"], signed["partner"]) if signed else ("", "")
    rows = [
        (f"{who.in_(lang)} {code}", INK.in_(lang))
        for who, code in zip((TECHNICIAN, INSTITUTION), codes, strict=True)
    ]
    return f"<p>{escape(said)}</p>\n" + _table((), rows, lang, kind="sign")


# -- cells --------------------------------------------------------------------------------------


def _state(item: Mapping[str, Any], lang: Lang) -> str:
    """The result; for what is not accepted with the reason."""
    known = item["accepted"]
    if not known:
        return NOT_ACCEPTED.in_(lang)
    said = RESULTS[Result(known["result"])].in_(lang)
    note = known["note"] or known["shown"]
    return f"{said} ({note})" if note and not is_passed(item) else said


def _result_cells(item: Mapping[str, Any], lang: Lang) -> tuple[str, str, str]:
    """Result, who, when."""
    known = item["accepted"]
    if not known:
        return _OPEN + NOT_ACCEPTED.in_(lang), "", ""
    said = RESULTS[Result(known["result"])].in_(lang)
    return (said if is_passed(item) else _OPEN + said), str(known["by"]), _moment(known["at"])


def _result(result: Result, lang: Lang) -> str:
    return RESULTS[result].in_(lang)


def _hints(line: Part) -> list[dict[str, str]]:
    devices = [
        DeviceCount(str(row["id"]), int(row["requests"]), int(row["timeouts"]),
                    int(row["exceptions"]))
        for row in rows_of(line, "devices")
    ]  # fmt: skip
    return [{"zh": h.zh, "en": h.en} for h in wiring_hints(devices, part_of(line, "counts"))]


def _open(row: Part) -> dict[str, Any]:
    return {key: row.get(key) for key in ("rule", "severity", "say", "place", "detail", "state")}


def _moment(utc_ms: object) -> str:
    if not isinstance(utc_ms, int):
        return NOTHING
    return f"{datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M}"


LONG_NAME = 12
_BREAKS = re.compile(r"([./_-])(?=[A-Za-z])")
_OPEN = "\x00"  # before the text of a cell that is not as it should be; no text has it


def _chapter(name: str, body: str, lang: Lang) -> str:
    return f"<h2>{CHAPTERS[name].in_(lang)}</h2>\n{body}"


def _list(lines: Iterable[str], lang: Lang) -> str:
    items = "".join(f"<li>{escape(line)}</li>\n" for line in lines)
    return f"<ul>\n{items}</ul>\n" if items else f"<p>{NONE.in_(lang)}</p>\n"


def _table(heads: Sequence[str], rows: Iterable[Row], lang: Lang, kind: str = "") -> str:
    """A row each; without `heads` the first cell of each row is one."""
    top = "".join(f"<th>{HEADS[name].in_(lang)}</th>" for name in heads)
    body = "".join(f"<tr>{_cells(row, has_head=not heads)}</tr>\n" for row in rows)
    if not body:
        return f"<p>{NONE.in_(lang)}</p>\n"
    head = f"<thead><tr>{top}</tr></thead>\n" if heads else ""
    return f'<table class="{kind}">\n{head}<tbody>\n{body}</tbody></table>\n'


def _cells(row: Row, *, has_head: bool) -> str:
    first = f"<th>{_text(row[0])}</th>" if has_head else _cell(row[0])
    return first + "".join(map(_cell, row[1:]))


def _cell(text: str) -> str:
    is_open = text.startswith(_OPEN)
    return f"<td{' class=open' if is_open else ''}>{_text(text.removeprefix(_OPEN))}</td>"


def _text(text: str) -> str:
    """A long name may go on in the next line after a dot or the like; words stay whole."""
    return _BREAKS.sub(r"\1<wbr>", escape(text)) if len(text) > LONG_NAME else escape(text)
