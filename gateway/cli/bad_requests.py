"""What the daemon finds wrong with a request, by the option typed and in both languages."""

import re

from gateway.domain.text import Text

_OPTIONS = {"by": "--as", "partner": "--partner", "person": "PERSON", "month": "MONTH"}
_SHAPES = (
    (r"must be a text of (\d+) to (\d+) characters", "写 {} 到 {} 个字", "{} to {} characters"),
    (r"must be a text of at most (\d+) characters", "最多 {} 个字", "at most {} characters"),
    (
        r"must name who asks: a staff code of 1 to (\d+) letters and digits, no name",
        "写员工工号（1 到 {} 个字母和数字），不写姓名",
        "a staff code of 1 to {} letters and digits, no name",
    ),
    (
        r"must be a staff code of letters and digits, no name",
        "写员工工号（字母和数字），不写姓名",
        "a staff code of letters and digits, no name",
    ),
    (r"must be a month, as (\S+)", "月份写成 {}", "a month is written {}"),
    (r"must be a date, as (\S+)", "日期写成 {}", "a date is written {}"),
    (r"must be a number of people, 0 to (\d+)", "人数写 0 到 {}", "people, 0 to {}"),
    (r"must be from 1 to (\d+)", "写 1 到 {}", "1 to {}"),
    (r"must be a whole number from (\d+) to (\d+)", "写 {} 到 {} 的整数", "{} to {}"),
    (r"must be a text or a number", "写文字或数字", "a text or a number"),
    (r"must be given", "要写上", "is missing"),
    (
        r"must be a list of at most (\d+) sentences",
        "最多 {} 句", "at most {} sentences",
    ),
)  # fmt: skip


def bad_request(error: str) -> Text:
    """The words for the daemon's `'NAME' must ...`; its own where there are none."""
    found = re.fullmatch(r"(?:each of )?'(\w+)' (.*)", error, re.DOTALL)
    if found is None:
        return Text(error, error)
    option = _OPTIONS.get(found[1], f"--{found[1].replace('_', '-')}")
    for shape, zh, en in _SHAPES:
        if (said := re.fullmatch(shape, found[2])) is not None:
            limits = said.groups()
            return Text(f"{option}：{zh.format(*limits)}", f"{option}: {en.format(*limits)}")
    return Text(f"{option}：{found[2]}", f"{option}: {found[2]}")
