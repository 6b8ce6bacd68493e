"""What `record list` makes of records: words in both languages, no codes where there are words."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.record_words import (
    CLOCKS,
    KINDS,
    TRANSITIONS,
    clock_words,
    kind_of,
    kind_words,
    summary,
)
from gateway.domain.alarms import Transition
from gateway.domain.moments import Clk
from gateway.domain.text import Lang

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((ROOT / "docs" / "contract" / "examples").glob("*.json"))
    if path.stem.startswith(("fact", "alarm", "fault", "read"))
}


def recorded_kinds() -> set[str]:
    """The kinds that core writes down by a literal."""
    found = set()
    for path in (ROOT / "gateway" / "core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "record_fact":
                kind = node.args[0]
                if isinstance(kind, ast.Constant):
                    found.add(str(kind.value))
    return found


def test_every_kind_transition_and_clock_has_a_word() -> None:
    kinds = recorded_kinds()
    assert len(kinds) > 20
    assert kinds <= set(KINDS)
    assert set(TRANSITIONS) == {each.value for each in Transition}
    assert set(CLOCKS) == {each.value for each in Clk}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("lang", Lang)
def test_a_record_of_the_contract_is_a_line_in_words(name: str, lang: Lang) -> None:
    body = EXAMPLES[name]
    said = summary(body, lang)
    assert "\n" not in said
    assert not re.search(
        r"[{}\[\]\"]|_ms\b|None|\bTrue\b|False,", re.sub(r"^\[.*?\] ", "", said)
    ), said
    assert len(said) < 200
    assert said != "–"


def of_fact(lang: Lang, **data: Any) -> str:
    return summary({"t": "fact", "data": data}, lang)


def test_codes_are_told_as_words() -> None:
    handled = {"case": "e-A-1", "verdict": "false", "cause": "cooking", "actions": ["aired"]}
    assert of_fact(Lang.ZH, **handled, by="E07") == (
        "处置单 A-1，结论 误报，原因 烹饪油烟或用火不当，措施 通风，经手 E07"
    )
    alarm = EXAMPLES["alarm"]
    said = summary(alarm, Lang.EN)
    assert TRANSITIONS[alarm["tr"]].en in said
    assert alarm["rule"] in said
    silent = {**EXAMPLES["fault"], "tr": "raise", "detail": "timeout"}
    assert "没有应答" in summary(silent, Lang.ZH)
    assert summary({**alarm, "drill": True}, Lang.ZH).startswith("[演练] ")


def test_what_has_no_word_stands_as_it_is() -> None:
    assert kind_words("of_tomorrow", Lang.ZH) == "of_tomorrow"
    assert clock_words("atomic", Lang.EN) == "atomic"
    assert of_fact(Lang.EN, by="x9", why="because", odd=3) == "reason because, by x9"
    assert summary({"hex": "ff00"}, Lang.EN) == "–"


@pytest.mark.parametrize(
    ("typed", "kind"),
    [("boot", "boot"), ("启动", "boot"), ("Post check", "post_check"), ("故障", "alarm"),
     ("ALARM", "alarm"), ("nothing", "nothing")],
)  # fmt: skip
def test_a_kind_is_asked_for_by_its_code_or_its_word(typed: str, kind: str) -> None:
    assert kind_of(typed) == kind
