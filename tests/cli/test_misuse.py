import os
import re
import subprocess
import sys

import pytest
from typer.main import get_command

from gateway.cli.language import in_front
from gateway.cli.main import build, main
from gateway.cli.misuse import speak
from gateway.domain.cases import ACTIONS
from gateway.domain.text import Lang

SAID = {
    ("alarm", "handle", "A-1", "--verdict", "flase"): (
        "--verdict：没有“flase”",
        "是不是 false？可用的有：real, false, device, supervised, test, missed",
        "--verdict: there is no `flase`",
        "did you mean false? there are: real, false, device, supervised, test, missed",
    ),
    ("alarm", "handle", "A-1", "--verdict", "false", "--action", "aird"): (
        "--action：没有“aird”",
        "是不是 aired 或 repaired？可用的有：" + ", ".join(ACTIONS),
        "--action: there is no `aird`",
        "did you mean aired or repaired? there are: " + ", ".join(ACTIONS),
    ),
    ("chek",): (
        "没有“chek”这个命令",
        "是不是 check 或 schema？查看 care-gateway --help",
        "there is no command `chek`",
        "did you mean check or schema? see care-gateway --help",
    ),
    ("alarm", "sho"): (
        "没有“sho”这个命令",
        "是不是 show？查看 care-gateway alarm --help",
        "there is no command `sho`",
        "did you mean show? see care-gateway alarm --help",
    ),
    ("status", "--jsn"): (
        "没有 --jsn 这个选项",
        "是不是 --json？查看 care-gateway status --help",
        "there is no option --jsn",
        "did you mean --json? see care-gateway status --help",
    ),
    ("status", "——json"): (
        "多出来的内容：——json",
        "选项以两个英文减号开头：--json；查看 care-gateway status --help",
        "there is no place for: ——json",
        "an option begins with two plain minus signs: --json; see care-gateway status --help",
    ),
    ("check", "a.yaml", "b.yaml"): (
        "多出来的内容：b.yaml",
        "查看 care-gateway check --help",
        "there is no place for: b.yaml",
        "see care-gateway check --help",
    ),
    ("db", "check", "--store"): (
        "选项 --store 后面缺少内容",
        "查看 care-gateway db check --help",
        "nothing stands after the option --store",
        "see care-gateway db check --help",
    ),
    ("status", "--json=3"): (
        "选项 --json 后面不能带内容",
        "查看 care-gateway status --help",
        "the option --json takes no value",
        "see care-gateway status --help",
    ),
    ("alarm", "shelve"): (
        "缺少 name：编号、规则，或开头几个字",
        "查看 care-gateway alarm shelve --help",
        "name is missing: its number, its rule, or how either begins",
        "see care-gateway alarm shelve --help",
    ),
    ("bus", "solve"): (
        "缺少 --unit",
        "查看 care-gateway bus solve --help",
        "--unit is missing",
        "see care-gateway bus solve --help",
    ),
    ("record", "list", "--lane", "C"): (
        "--lane：没有“C”",
        "可用的有：A, B, R",
        "--lane: there is no `C`",
        "there are: A, B, R",
    ),
    ("schema", "profil"): (
        "kind：没有“profil”",
        "是不是 profile？可用的有：site, profile, rules",
        "kind: there is no `profil`",
        "did you mean profile? there are: site, profile, rules",
    ),
    ("record", "list", "--last", "0"): (
        "--last：0 超出范围",
        "至少 1",
        "--last: 0 is out of range",
        "at least 1",
    ),
    ("plan", "--silent", "900"): (
        "--silent：900 超出范围",
        "最多 246",
        "--silent: 900 is out of range",
        "at most 246",
    ),
    ("plan", "--silent", "one"): (
        "--silent：看不懂“one”",
        "写一个整数，如 20",
        "--silent: `one` is not understood",
        "write a whole number, such as 20",
    ),
    ("demo", "--for", "5x"): (
        "--for：看不懂“5x”",
        "写成如 60s, 5m, 1h",
        "--for: `5x` is not understood",
        "write it like 60s, 5m, 1h",
    ),
}


@pytest.mark.parametrize("typed", SAID)
@pytest.mark.parametrize("lang", Lang)
def test_a_mistyped_line_is_one_sentence_and_what_to_type_instead(
    typed: tuple[str, ...],
    lang: Lang,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8" if lang is Lang.ZH else "C.UTF-8")
    assert main(typed) == 2
    told = capsys.readouterr()
    zh_fact, zh_advice, en_fact, en_advice = SAID[typed]
    zh = f"错误: {zh_fact}\n  = 建议: {zh_advice}\n"
    en = f"error: {en_fact}\n  = do: {en_advice}\n"
    assert told.err == (zh if lang is Lang.ZH else en)
    assert told.out == ""


def test_the_language_may_be_asked_for_before_the_verb_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--lang", "zh", "check", "none.yaml"]) == 2
    assert "错误[file_unreadable]" in capsys.readouterr().out
    assert main(["--lang", "en", "chek"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no command")


@pytest.mark.parametrize(
    ("typed", "in_order"),
    [
        (["alarm", "--lang", "zh", "list"], ["--lang", "zh", "alarm", "list"]),
        (["alarm", "list", "--lang=en"], ["--lang=en", "alarm", "list"]),
        (["--lang", "zh", "check", "--lang", "en"], ["--lang", "en", "check"]),
        (["check", "--lang", "fr"], ["check", "--lang", "fr"]),
        (["check", "--lang"], ["check", "--lang"]),
    ],
)
def test_the_language_may_stand_anywhere(typed: list[str], in_order: list[str]) -> None:
    assert in_front(typed) == in_order


def test_a_group_of_verbs_takes_the_language_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alarm", "--lang", "zh", "lis"]) == 2
    assert capsys.readouterr().err.startswith("错误: 没有“lis”这个命令")


@pytest.mark.parametrize("verb", [[], ["alarm"], ["alarm", "shelve"], ["bus", "scan"], ["sheet"]])
def test_chinese_help_has_no_english_headings(
    verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main([*verb, "-h"]) == 0
    told = capsys.readouterr().out
    for word in ("Usage", "Options", "OPTIONS", "Commands", "COMMAND", "default", "Show", "requi"):
        assert word not in told
    assert "用法: care-gateway" in told
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert main([*verb, "--help"]) == 0
    assert "Usage: care-gateway" in capsys.readouterr().out


@pytest.mark.parametrize("lang", Lang)
def test_no_verb_and_no_option_is_explained_in_the_other_language(lang: Lang) -> None:
    command = get_command(build(lang))
    speak(command, lang)
    verbs = [command]
    for verb in verbs:
        verbs += getattr(verb, "commands", {}).values()
        said = [verb.help, *(getattr(each, "help", None) for each in verb.params)]
        for words in filter(None, said):
            assert bool(re.search("[\u4e00-\u9fff]", words)) is (lang is Lang.ZH), words
    assert len(verbs) > 50


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("care-gateway 0.")


def test_whoever_closes_the_pipe_early_sees_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", "schema", "site"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")
