"""The programs without a command-line library tell help and mistakes in the language spoken."""

import re

import pytest

from gateway.cli.main import main
from gateway.domain.text import Lang

PROGRAMS = (("run",), ("console",), ("reader",), ("platform", "sim"))
SAID = {
    ("run", "--pannel", "mock"): (
        "没有 --pannel 这个选项",
        "是不是 --panel 或 --panel-log？查看 care-gateway run --help",
        "there is no option --pannel",
        "did you mean --panel or --panel-log? see care-gateway run --help",
    ),
    ("run", "--panel", "mok"): (
        "--panel：没有“mok”",
        "是不是 mock？可用的有：lgpio, mock, none, auto",
        "--panel: there is no `mok`",
        "did you mean mock? there are: lgpio, mock, none, auto",
    ),
    ("run", "--store"): (
        "选项 --store 后面缺少内容",
        "查看 care-gateway run --help",
        "nothing stands after the option --store",
        "see care-gateway run --help",
    ),
    ("run", "--verbose=3"): (
        "选项 --verbose 后面不能带内容",
        "查看 care-gateway run --help",
        "the option --verbose takes no value",
        "see care-gateway run --help",
    ),
    ("run", "--s", "x"): (
        "没有 --s 这个选项",
        "是不是 --store 或 --socket 或 --sync-flag？查看 care-gateway run --help",
        "there is no option --s",
        "did you mean --store or --socket or --sync-flag? see care-gateway run --help",
    ),
    ("run", "a.yaml", "b.yaml"): (
        "多出来的内容：b.yaml",
        "查看 care-gateway run --help",
        "there is no place for: b.yaml",
        "see care-gateway run --help",
    ),
    ("reader", "——verbose"): (
        "多出来的内容：——verbose",
        "选项以两个英文减号开头：--json；查看 care-gateway reader --help",
        "there is no place for: ——verbose",
        "an option begins with two plain minus signs: --json; see care-gateway reader --help",
    ),
    ("console", "--listen", "80"): (
        "--listen：看不懂“80”",
        "写成如 0.0.0.0:8080, 127.0.0.1:0, [::]:8080",
        "--listen: `80` is not understood",
        "write it like 0.0.0.0:8080, 127.0.0.1:0, [::]:8080",
    ),
    ("platform", "sim"): (
        "缺少 --broker",
        "查看 care-gateway platform sim --help",
        "--broker is missing",
        "see care-gateway platform sim --help",
    ),
    ("platform", "sim", "--late", "soon"): (
        "--late：看不懂“soon”",
        "查看 care-gateway platform sim --help",
        "--late: `soon` is not understood",
        "see care-gateway platform sim --help",
    ),
}


@pytest.mark.parametrize("typed", SAID)
@pytest.mark.parametrize("lang", Lang)
def test_a_mistyped_line_is_one_sentence_and_what_to_type_instead(
    typed: tuple[str, ...], lang: Lang, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--lang", lang, *typed]) == 2
    told = capsys.readouterr()
    zh_fact, zh_advice, en_fact, en_advice = SAID[typed]
    zh = f"错误: {zh_fact}\n  = 建议: {zh_advice}\n"
    en = f"error: {en_fact}\n  = do: {en_advice}\n"
    assert (told.err, told.out) == (zh if lang is Lang.ZH else en, "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_told_in_one_language(
    program: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main([*program, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"用法: care-gateway {' '.join(program)} ")
    for option in re.split(r"\n  (?=-)", told.partition("选项:\n")[2]):
        assert re.search("[\u4e00-\u9fff]", option), option
    for word in ("usage", "options:", "positional", "show this"):
        assert word not in told.lower()
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert main([*program, "-h"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: care-gateway {' '.join(program)} ")
    assert not re.search("[\u4e00-\u9fff]", told)
