"""`care-gateway status`: what the running daemon knows of this moment, as tables or JSON.

Every part of the answer may be missing: the daemon may be older or younger than this command.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text as Styled

from gateway.cli.flags import flags_of, is_folded
from gateway.cli.saying import (
    NO_ALARM,
    NOTHING,
    QUALITIES,
    SEVERITIES,
    STATES,
    YES_NO,
    Part,
    age,
    console,
    no_answer,
    number,
    part_of,
    rows_of,
    say,
    worded,
)
from gateway.cli.standing import leakage_lines, standing_lines
from gateway.core.faults import LINK_FAILURES
from gateway.core.panel import WORDS as PANEL_WORDS
from gateway.domain.acceptance import NOT_ACCEPTED
from gateway.domain.details import detail_text
from gateway.domain.reasons import reason_text
from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import NoAnswer, ask

TITLES = {
    "alarms": Text("报警、预警、故障", "Alarms, warnings, faults"),
    "points": Text("监测点", "Points"),
    "devices": Text("设备", "Devices"),
    "buses": Text("总线", "Buses"),
    "lanes": Text("待平台确认", "Waiting for the platform"),
    "link": Text("上行", "Uplink"),
    "store": Text("存储", "Store"),
    "clock": Text("时钟", "Clock"),
    "inbox": Text("收件箱", "Inbox"),
}
BLINKS = Text("闪", "blinks")
AGES = frozenset({
    "last_settled_ms", "since_ms", "next_try_in_ms", "last_ack_ms", "good_age_ms", "oldest_ms",
})  # fmt: skip
NAMES = frozenset({"id", "bus", "lane", "point"})  # are typed again: never broken in two
NUMBERS = frozenset({"value", "limit"})  # 229.277 V in two lines reads as another number
LEFT_OUT = frozenset({"place"})  # of devices: it stands with their points
WORDS = {
    "what": Text("什么", "What"),
    "place": Text("位置", "Where"),
    "do": Text("怎么办", "What to do"),
    "value": Text("值", "Value"),
    "limit": Text("限值", "Limit"),
    "since": Text("已持续", "Since"),
    "state": Text("状态", "State"),
    "point": Text("监测点", "Point"),
    "label": Text("名称", "Name"),
    "quality": Text("质量", "Quality"),
    "age": Text("多久前", "Age"),
    "id": Text("编号", "Id"),
    "bus": Text("总线", "Bus"),
    "unit": Text("地址", "Unit"),
    "is_offline": Text("失联", "Offline"),
    "misses": Text("连续未答", "Misses"),
    "load": Text("负载 %", "Load %"),
    "requests": Text("请求", "Requests"),
    "timeouts": Text("超时", "Time-outs"),
    "exceptions": Text("异常应答", "Exceptions"),
    "crc_errors": Text("校验错", "CRC errors"),
    "late": Text("迟到应答", "Late replies"),
    "foreign": Text("外来帧", "Foreign frames"),
    "p50_ms": Text("应答中位 ms", "p50 ms"),
    "p95_ms": Text("应答 p95 ms", "p95 ms"),
    "p99_ms": Text("应答 p99 ms", "p99 ms"),
    "good_age_ms": Text("上次应答", "Last good"),
    "is_up": Text("连通", "Up"),
    "unsettled": Text("条数", "Records"),
    "lane": Text("通道", "Lane"),
    "broker": Text("消息服务器", "Broker"),
    "why": Text("原因", "Why"),
    "name": Text("名称", "Name"),
    "is_platform_present": Text("平台应答", "Platform answers"),
    "at_broker": Text("在消息服务器", "At the broker"),
    "settled": Text("已送达", "Delivered"),
    "parked": Text("搁置", "Parked"),
    "last_settled_ms": Text("上次送达", "Last delivered"),
    "protocol": Text("协议", "Protocol"),
    "since_ms": Text("已持续", "Since"),
    "connections": Text("连接次数", "Connections"),
    "failures": Text("失败次数", "Failures"),
    "last_failure": Text("上次失败", "Last failure"),
    "detail": Text("详情", "Detail"),
    "next_try_in_ms": Text("下次尝试", "Next try in"),
    "last_ack_ms": Text("上次应答", "Last answer"),
    "delivery": Text("送达依据", "Delivery"),
    "reconnect": Text("重连", "Reconnect"),
    "is_healthy": Text("健康", "Healthy"),
    "queued": Text("排队", "Queued"),
    "commits": Text("提交", "Commits"),
    "bytes_a_day": Text("每天写字节", "Bytes a day"),
    "pressure": Text("空间压力 0–3", "Pressure 0-3"),
    "clk": Text("可信度", "Trust"),
    "err_ms": Text("误差 ms", "Error ms"),
    "waiting": Text("等待", "Waiting"),
    "dropped": Text("丢弃", "Dropped"),
    "is_slow": Text("应答慢", "Slow"),
    "takes": Text("一次最多答", "Takes at most"),
    "oldest_ms": Text("最早排队", "Oldest"),
    "bytes_written": Text("已写字节", "Bytes written"),
    "fsync_p99_ms": Text("落盘 p99 ms", "Sync p99 ms"),
    "tls": Text("加密", "TLS"),
    "say": Text("说明", "Meaning"),
    "utc_ms": Text("时间", "Time"),
}

VALUES = {
    "clk": {
        "sync": Text("已对时", "in step"),
        "hold": Text("对过时，现在靠自己走", "was in step, runs by itself"),
        "est": Text("估计", "estimated"),
        "none": Text("没有时间", "no time"),
    },
    "delivery": {
        "ack": Text("平台确认", "the platform's ack"),
        "broker": Text("消息服务器收下", "taken by the broker"),
    },
    "reconnect": {
        "local": Text("马上", "at once"),
        "fleet": Text("错开（与众多网关）", "spread over a fleet"),
    },
    "last_failure": {code: meaning for code, (meaning, _) in LINK_FAILURES.items()},
}


def status(socket: Path, *, as_json: bool, lang: Lang) -> int:
    """Print the daemon's snapshot; 0, or 1 when there is no daemon or it refuses."""
    try:
        answer = ask(socket, {"verb": "status"})
    except NoAnswer as error:
        print(no_answer(error, lang), file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    if not answer.get("ok"):
        print(f"{answer.get('code', '')}: {answer.get('error', '')}", file=sys.stderr)
        return 1
    if not as_json:
        show(answer, lang, console())
    return 0


def show(answer: Part, lang: Lang, to: Console) -> None:
    """Print every part that is there: the worst first."""
    to.print(_heading(answer, lang))
    alarms = rows_of(answer, "alarms")
    if alarms:
        to.print(_alarms(alarms, lang))
    elif "alarms" in answer:
        to.print(NO_ALARM.in_(lang))
    for line in standing_lines(answer, lang):
        to.print(line)
    if points := rows_of(answer, "points"):
        to.print(_points(points, lang))
        for line in leakage_lines(points, lang):
            to.print(line)
    for key in ("devices", "buses", "lanes", "store"):
        if rows := rows_of(answer, key):
            to.print(_plain(TITLES[key].in_(lang), rows, lang))
    for key in ("link", "clock", "inbox"):
        if part := answer.get(key):
            to.print(_line(key, part, lang))


def _heading(answer: Part, lang: Lang) -> Styled:
    site = part_of(answer, "site")
    line = Styled(f"{say(site.get('name'), lang)} ({say(site.get('id'), lang)})", style="bold")
    panel = part_of(answer, "panel")
    levels, signal = part_of(panel, "levels"), part_of(panel, "signal")
    colours = {"red": "red", "amber": "dark_orange", "yellow": "yellow", "green": "green"}
    for name, word in PANEL_WORDS.items():
        level = levels.get(name)
        asked = str(signal.get(name) or ("on" if level is True else "off"))
        if name == "white" and asked == "off":  # few panels have it
            continue
        # a lamp that blinks is dark half of the time: what it is to show counts
        mark = "?" if level is None and name not in signal else "○" if asked == "off" else "●"
        is_on = mark == "●"
        line.append(f"   {mark} {word.in_(lang)}", style=colours.get(name, "") if is_on else "")
        if asked not in ("on", "off"):
            line.append(f" {BLINKS.in_(lang)}")
    pattern = signal.get("pattern") or panel.get("signal")
    return line.append(f" {pattern}" if isinstance(pattern, str) else "")


def _alarms(rows: Sequence[Part], lang: Lang) -> Table:
    columns = ("what", "place", "value", "limit", "do", "since", "state")
    table = _table(TITLES["alarms"].in_(lang), columns, lang)
    for row in (row for row in rows if not is_folded(row)):
        word, style = SEVERITIES.get(str(row.get("severity")), (Text("?", "?"), ""))
        what = Styled(f"{word.in_(lang)} {say(row.get('say'), lang)}", style=style)
        if row.get("detail"):
            what.append(f"\n{detail_text(str(row['detail'])).in_(lang)}", style="default")
        steps = row.get("do") if isinstance(row.get("do"), list) else []
        do = "\n".join(f"{n} {say(step, lang)}" for n, step in enumerate(steps or [], start=1))
        table.add_row(
            what,
            say(row.get("place"), lang),
            number(row.get("value"), row.get("unit")),
            number(row.get("limit"), row.get("unit")),
            do or NOTHING,
            age(row.get("since_ms"), lang),
            ", ".join([worded(STATES, row.get("state"), lang), *flags_of(row, lang)]),
        )
    return table


def _points(rows: Sequence[Part], lang: Lang) -> Table:
    columns = ("point", "label", "place", "value", "quality", "age")
    table = _table(TITLES["points"].in_(lang), columns, lang)
    for row in rows:
        is_good = row.get("quality") == "good"
        quality = worded(QUALITIES, row.get("quality"), lang)
        reason = f" ({_reason(row, lang)})" if row.get("reason") else ""
        if row.get("is_accepted") is False:
            reason += f", {NOT_ACCEPTED.in_(lang)}"
        style = "" if is_good else "yellow"  # what is not good never looks normal
        table.add_row(
            say(row.get("id"), lang),
            say(row.get("label"), lang),
            say(row.get("place"), lang),
            Styled(number(row.get("value"), row.get("unit")), style=style, justify="right"),
            Styled(quality + reason, style=style),
            age(row.get("age_ms"), lang),
        )
    return table


def _reason(row: Part, lang: Lang) -> str:
    return reason_text(str(row["reason"])).in_(lang)


def _plain(title: str, rows: Sequence[Part], lang: Lang) -> Table:
    """A column for every key that any row has."""
    keys = tuple(key for key in dict.fromkeys(key for row in rows for key in row)
                 if key not in LEFT_OUT)  # fmt: skip
    table = _table(title, keys, lang)
    for row in rows:
        table.add_row(*[_cell(row.get(key), lang, key) for key in keys])
    return table


def _line(key: str, part: object, lang: Lang) -> str:
    fields = part.items() if isinstance(part, Mapping) else [("", part)]
    said = [
        f"{worded(WORDS, name, lang)}: {cell}"
        for name, value in fields
        if (cell := _cell(value, lang, str(name))) not in ("", NOTHING)
    ]
    return f"{TITLES[key].in_(lang)}   " + "   ".join(said)


def _table(title: str, keys: Sequence[str], lang: Lang) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for key in keys:
        is_name = key in NAMES or key in NUMBERS
        table.add_column(worded(WORDS, key, lang), overflow="fold", no_wrap=is_name)
    return table


def _cell(value: object, lang: Lang, key: str = "") -> str:
    if key in AGES:
        return age(value, lang)
    if key == "utc_ms":
        return _clock(value)
    if key in VALUES:
        return worded(VALUES[key], value, lang)
    if isinstance(value, bool):
        return YES_NO[value].in_(lang)
    if isinstance(value, Mapping | list):
        rows = [value] if isinstance(value, Mapping) else value
        return "; ".join(say(row, lang) for row in rows)
    return number(value)


def _clock(utc_ms: object) -> str:
    """Date and time in this machine's zone; a dash where the clock is not known."""
    if not isinstance(utc_ms, int):
        return NOTHING
    try:
        return f"{datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    except (OverflowError, OSError, ValueError):  # no year that a calendar has
        return NOTHING
