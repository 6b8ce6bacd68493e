"""`care-gateway status`: what the running daemon knows of this moment, as tables or JSON.

Every part of the answer may be missing: the daemon may be older or younger than this command.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text as Styled

from gateway.core.panel import WORDS as PANEL_WORDS
from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import NoAnswer, NoDaemon, ask

Part = Mapping[str, Any]

NOTHING = "–"
WIDTH_WITHOUT_TERMINAL = 140

TITLES = {
    "alarms": Text("报警、预警、故障", "Alarms, warnings, faults"),
    "points": Text("测点", "Points"),
    "devices": Text("设备", "Devices"),
    "buses": Text("总线", "Buses"),
    "lanes": Text("待平台确认", "Waiting for the platform"),
    "link": Text("上行", "Uplink"),
    "store": Text("存储", "Store"),
    "clock": Text("时钟", "Clock"),
    "inbox": Text("收件箱", "Inbox"),
}
AGES = frozenset({"last_settled_ms", "since_ms", "next_try_in_ms", "last_ack_ms"})
NO_ALARM = Text("无报警", "No alarm")
START = Text(
    "守护进程未运行？查看：systemctl status care-gateway",
    "Is it running? Look with: systemctl status care-gateway",
)

WORDS = {
    "what": Text("什么", "What"),
    "place": Text("位置", "Where"),
    "do": Text("怎么办", "What to do"),
    "value": Text("值", "Value"),
    "limit": Text("限值", "Limit"),
    "since": Text("已持续", "Since"),
    "state": Text("状态", "State"),
    "point": Text("测点", "Point"),
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
    "broker": Text("代理", "Broker"),
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
}

SEVERITIES = {
    "alarm": (Text("报警", "ALARM"), "bold red"),
    "warning": (Text("预警", "warning"), "dark_orange"),
    "fault": (Text("故障", "fault"), "yellow"),
}
STATES = {
    "UA": Text("未确认", "unacknowledged"),
    "AA": Text("已确认", "acknowledged"),
    "RU": Text("已恢复未确认", "returned, unacknowledged"),
    "LU": Text("锁存未确认", "latched, unacknowledged"),
    "LA": Text("锁存已确认", "latched, acknowledged"),
    "P": Text("待定", "pending"),
}
QUALITIES = {
    "good": Text("正常", "good"),
    "warming_up": Text("预热", "warming up"),
    "inhibited": Text("被禁止", "inhibited"),
    "suspect": Text("可疑", "suspect"),
    "fault": Text("故障", "fault"),
    "offline": Text("失联", "offline"),
    "test": Text("测试", "test"),
}
YES_NO = {True: Text("是", "yes"), False: Text("否", "no")}


def status(socket: Path, *, as_json: bool, lang: Lang) -> int:
    """Print the daemon's snapshot; 0, or 1 when there is no daemon or it refuses."""
    try:
        answer = ask(socket, {"verb": "status"})
    except NoAnswer as error:
        print(error, file=sys.stderr)
        if isinstance(error, NoDaemon):
            print(START.in_(lang), file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    if not answer.get("ok"):
        print(f"{answer.get('code', '')}: {answer.get('error', '')}", file=sys.stderr)
        return 1
    if not as_json:
        show(answer, lang, console())
    return 0


def console() -> Console:
    """Return stdout, wide enough for the tables where no terminal says how wide it is."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(width=width, highlight=False, markup=False, emoji=False)


def show(answer: Part, lang: Lang, to: Console) -> None:
    """Print every part that is there: the worst first."""
    to.print(_heading(answer, lang))
    alarms = rows_of(answer, "alarms")
    if alarms:
        to.print(_alarms(alarms, lang))
    elif "alarms" in answer:
        to.print(NO_ALARM.in_(lang))
    if points := rows_of(answer, "points"):
        to.print(_points(points, lang))
    for key in ("devices", "buses", "lanes", "store"):
        if rows := rows_of(answer, key):
            to.print(_plain(TITLES[key].in_(lang), rows, lang))
    for key in ("link", "clock", "inbox"):
        if part := answer.get(key):
            to.print(_line(key, part, lang))


def age(ms: object, lang: Lang) -> str:
    """Return a duration as people say it: `0.4 s`, `12 s`, `3 min`, `2.5 h`, `4 d`."""
    if not isinstance(ms, int | float):
        return NOTHING
    seconds = ms / 1000
    for below, per, digits, unit in (
        (10, 1, 1, Text("秒", "s")),
        (120, 1, 0, Text("秒", "s")),
        (7_200, 60, 0, Text("分", "min")),
        (172_800, 3_600, 1, Text("小时", "h")),
    ):
        if seconds < below:
            return f"{seconds / per:.{digits}f} {unit.in_(lang)}"
    return f"{seconds / 86_400:.0f} {Text('天', 'd').in_(lang)}"


def number(value: object, unit: object = "") -> str:
    """Return a value with its unit, no finer than a meter is; a dash when there is none."""
    if value is None or value == "":
        return NOTHING
    text = f"{_rounded(value):.12g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}" if unit else text


def _rounded(value: float) -> float:
    """Three decimals, below one four digits: what floats of 32 bits have beyond that is noise."""
    if not isfinite(value):
        return value
    return round(value, 3) if abs(value) >= 1 else float(f"{value:.4g}")


def _heading(answer: Part, lang: Lang) -> Styled:
    site = part_of(answer, "site")
    line = Styled(f"{say(site.get('name'), lang)} ({say(site.get('id'), lang)})", style="bold")
    panel = part_of(answer, "panel")
    levels = part_of(panel, "levels")
    colours = {"red": "red", "amber": "dark_orange", "yellow": "yellow", "green": "green"}
    for name, word in PANEL_WORDS.items():
        is_on = levels.get(name)
        if name == "white" and not is_on:  # few panels have it
            continue
        mark = "?" if is_on is None else "●" if is_on else "○"
        line.append(f"   {mark} {word.in_(lang)}", style=colours.get(name, "") if is_on else "")
    signal = panel.get("signal")
    pattern = signal.get("pattern") if isinstance(signal, Mapping) else signal
    return line.append(f" {pattern}" if pattern else "")


def _alarms(rows: Sequence[Part], lang: Lang) -> Table:
    columns = ("what", "place", "value", "limit", "do", "since", "state")
    table = _table(TITLES["alarms"].in_(lang), columns, lang)
    for row in rows:
        word, style = SEVERITIES.get(str(row.get("severity")), (Text("?", "?"), ""))
        what = Styled(f"{word.in_(lang)} {say(row.get('say'), lang)}", style=style)
        if row.get("detail"):
            what.append(f"\n{row['detail']}", style="default")
        steps = row.get("do") if isinstance(row.get("do"), list) else []
        do = "\n".join(f"{n} {say(step, lang)}" for n, step in enumerate(steps or [], start=1))
        table.add_row(
            what,
            say(row.get("place"), lang),
            number(row.get("value"), row.get("unit")),
            number(row.get("limit"), row.get("unit")),
            do or NOTHING,
            age(row.get("since_ms"), lang),
            worded(STATES, row.get("state"), lang),
        )
    return table


def _points(rows: Sequence[Part], lang: Lang) -> Table:
    columns = ("point", "label", "place", "value", "quality", "age")
    table = _table(TITLES["points"].in_(lang), columns, lang)
    for row in rows:
        is_good = row.get("quality") == "good"
        quality = worded(QUALITIES, row.get("quality"), lang)
        reason = f" ({row['reason']})" if row.get("reason") else ""
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


def _plain(title: str, rows: Sequence[Part], lang: Lang) -> Table:
    """A column for every key that any row has."""
    keys = tuple(dict.fromkeys(key for row in rows for key in row))
    table = _table(title, keys, lang)
    for row in rows:
        table.add_row(*[_cell(row.get(key), lang, key) for key in keys])
    return table


def _line(key: str, part: object, lang: Lang) -> str:
    fields = part.items() if isinstance(part, Mapping) else [("", part)]
    said = [f"{worded(WORDS, name, lang)}: {_cell(value, lang, name)}" for name, value in fields]
    return f"{TITLES[key].in_(lang)}   " + "   ".join(said)


def _table(title: str, keys: Sequence[str], lang: Lang) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for key in keys:
        table.add_column(worded(WORDS, key, lang), overflow="fold")
    return table


def _cell(value: object, lang: Lang, key: str = "") -> str:
    if key in AGES:
        return age(value, lang)
    if isinstance(value, bool):
        return YES_NO[value].in_(lang)
    if isinstance(value, Mapping | list):
        return say(value, lang) if isinstance(value, Mapping) else json.dumps(value)
    return number(value)


def say(value: object, lang: Lang) -> str:
    """A phrase, given as a string or in both languages."""
    if isinstance(value, Mapping):
        said = value.get(lang.value)
        return str(said) if said is not None else json.dumps(dict(value), ensure_ascii=False)
    return NOTHING if value is None or value == "" else str(value)


def worded(words: Mapping[str, Text], key: object, lang: Lang) -> str:
    """The word for a key; the key itself where there is none."""
    word = words.get(str(key))
    return say(key, lang) if word is None else word.in_(lang)


def part_of(answer: Part, key: str) -> Part:
    part = answer.get(key)
    return part if isinstance(part, Mapping) else {}


def rows_of(answer: Part, key: str) -> list[Part]:
    """Rows of a list, or of a mapping whose keys are the names of its rows; else one row."""
    part = answer.get(key)
    if isinstance(part, list):
        return [row for row in part if isinstance(row, Mapping)]
    if isinstance(part, Mapping):
        if not any(isinstance(row, Mapping) for row in part.values()) and key != "lanes":
            return [part]
        name = "lane" if key == "lanes" else "id"
        return [
            {name: given, **(row if isinstance(row, Mapping) else {"unsettled": row})}
            for given, row in part.items()
        ]
    return []
