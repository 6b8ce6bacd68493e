"""How the commands say what the daemon answered: ages, numbers, words in two languages.

Every part of an answer may be missing: the daemon may be older or younger than the command.
"""

import json
import sys
from collections.abc import Mapping
from math import isfinite
from typing import Any

from rich.console import Console

from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import NoAnswer, NoDaemon, NotAllowed

Part = Mapping[str, Any]

NOTHING = "–"
UNSAID = Text("", "")
NO_ALARM = Text("无报警", "No alarm")
WIDTH_WITHOUT_TERMINAL = 140
START = Text(
    "守护进程未运行？查看：systemctl status care-gateway",
    "Is it running? Look with: systemctl status care-gateway",
)
NOT_ALLOWED = Text(
    "加 sudo；或 sudo usermod --append --groups care-gateway 用户名，再重新登录",
    "Use sudo; or: sudo usermod --append --groups care-gateway NAME, then log in again",
)

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


def console() -> Console:
    """Return stdout, wide enough for the tables where no terminal says how wide it is."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(width=width, highlight=False, markup=False, emoji=False)


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


def no_answer(error: NoAnswer, lang: Lang) -> str:
    """Why the daemon did not answer, and on a second line what to do where that is known."""
    advice = {NoDaemon: START, NotAllowed: NOT_ALLOWED}.get(type(error))
    return error.text.in_(lang) + (f"\n{advice.in_(lang)}" if advice else "")


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
