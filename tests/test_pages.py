"""What any page of the documentation names is there: verbs and their options, files, links, units.

The README, the installation page and the hardware page have tests of their own beside these.
"""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gateway.cli import console, reader, run
from gateway.cli.main import build
from gateway.domain.text import Lang
from gateway.sim import platform

ROOT = Path(__file__).parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
}
COMMAND: Any = get_command(build(Lang.EN))
FILE = r"`((?:scripts|docs|config|requirements|gateway|systemd)/[\w./-]*|[A-Z]+\.md)`"
UNITS = {path.name for path in (ROOT / "systemd").iterdir()} | {"systemd-journald.service"}
# Of Raspberry Pi OS; everything else that a page has typed is ours.
THERE = {"apt-get", "getent", "install", "journalctl", "sh", "systemctl", "timedatectl"}
# Verbs that read their own arguments: they also run without the command-line library.
OWN = {
    "run": run._parser, "console": console._parser, "reader": reader._parser,
    "sim": platform._parser,
}  # fmt: skip
ELSEWHERE = {"hwclock"}  # programs of the machine that a page names with an option


def lines() -> list[tuple[str, str]]:
    """Every line that a page has somebody type."""
    return [
        (name, line)
        for name, page in PAGES.items()
        for block in re.findall(r"(?ms)^```sh\n(.*?)^```$", page)
        for line in block.splitlines()
        if line.strip() and not line.startswith("#")
    ]


def inline() -> list[tuple[str, str]]:
    found = [
        (name, line)
        for name, page in PAGES.items()
        for line in re.findall(r"`((?:sudo )?care-gateway [a-z][^`\n]*)`", page)
    ]
    return sorted(set(found))


def options_of(command: Any) -> set[str]:
    if command.name in OWN:
        parser = OWN[command.name](Lang.EN)
        return {name for each in parser._actions for name in each.option_strings}
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


def all_options(command: Any) -> set[str]:
    """Those of a verb and of every verb below it."""
    below = getattr(command, "commands", {}).values()
    return options_of(command).union(*map(all_options, below), {"--help"})


def is_known(words: list[str]) -> None:
    """Fail unless `care-gateway WORDS` is a verb with these options."""
    command = COMMAND
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands") or words in ([], ["--help"]), words
    options = options_of(command)
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in options | {"--help"}, (command.name, word)


OPTIONS = all_options(COMMAND)


@pytest.mark.parametrize(("page", "line"), inline())
def test_a_verb_that_a_page_names_is_there_with_its_options(page: str, line: str) -> None:
    is_known(shlex.split(line.removeprefix("sudo ").replace("...", ""))[1:])


@pytest.mark.parametrize("name", PAGES)
def test_an_option_or_a_verb_that_stands_alone_in_a_page_is_there(name: str) -> None:
    sources = [
        *ROOT.glob("scripts/*"),
        *ROOT.glob("scripts/**/*.py"),
        *ROOT.glob("gateway/sim/*.py"),
    ]
    texts = [path.read_text("utf-8") for path in sources if path.is_file()]
    for span in re.findall(r"`([^`\n]+)`", PAGES[name]):
        words = span.split()
        if words[0] in COMMAND.commands and len(words) > 1:
            is_known(shlex.split(span.replace("...", "").replace("|", " ")))
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", span):
            is_ours = option in OPTIONS or any(option in text for text in texts)
            assert is_ours or words[0] in ELSEWHERE, (span, option)


@pytest.mark.parametrize(("page", "line"), lines())
def test_a_line_that_a_page_has_typed_names_what_is_there(page: str, line: str) -> None:
    words = shlex.split(line)
    if words[:3] == ["sudo", "-u", "care-gateway"]:
        del words[:3]
    if words[0] == "sudo":
        del words[0]
    program, *rest = words
    if program == "care-gateway":
        is_known(rest)
    elif program.startswith("scripts/"):
        assert os.access(ROOT / program, os.X_OK)
        said = (ROOT / program).read_text("utf-8")
        options = [word for word in rest if word.startswith("--")]
        assert program == "scripts/demo" or all(f" {word}" in said for word in options)
    else:
        assert program in THERE
        assert not (program == "systemctl" and "--" in line.replace("--now", ""))
        units = [word for word in rest if word.endswith((".service", ".timer"))]
        assert set(units) <= UNITS
        ours = [word for word in rest if word.startswith(("config/", "systemd/", "requirements/"))]
        assert all((ROOT / word).exists() for word in ours)


@pytest.mark.parametrize("name", PAGES)
def test_a_file_that_a_page_names_is_there(name: str) -> None:
    missing = [path for path in re.findall(FILE, PAGES[name]) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("name", PAGES)
def test_a_link_of_a_page_leads_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", PAGES[name])
    assert [link for link in links if not (folder / link).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_no_unit_that_we_do_not_ship(name: str) -> None:
    units = set(re.findall(r"\bcare-gateway[\w-]*\.(?:service|timer)\b", PAGES[name]))
    assert units <= UNITS
