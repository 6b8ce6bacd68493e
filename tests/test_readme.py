"""What the README tells a newcomer to type works, and its YAML is a house that passes `check`.

The two commands of the first block are also run as they are written, in a bare Debian tree, by
`scripts/prove-bare`; the demo itself is run by the tests of the demo.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from gateway.cli.main import build
from gateway.domain.text import Lang

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
HOUSES = blocks("yaml")


def test_readme_begins_with_the_two_commands() -> None:
    assert blocks("sh")[0].splitlines() == ["scripts/demo --for 60s", "scripts/test"]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    opened = re.findall(r"^```(\w*)$", README, re.MULTILINE)[::2]
    assert set(opened) <= {"", "sh", "yaml"}
    assert HOUSES


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists_and_takes_these_arguments(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program.startswith("scripts/"):
        assert os.access(ROOT / program, os.X_OK)
        if program != "scripts/demo":
            assert not arguments
            return
        arguments = ["demo", *arguments]
    else:
        assert program == "care-gateway"
    command = get_command(build(Lang.EN))
    context = typer.Context(command)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
        context = typer.Context(command, parent=context, info_name=command.name)
    command.make_context(command.name, list(arguments))


@pytest.mark.parametrize(
    "path",
    re.findall(r"`((?:scripts|docs|config|requirements|gateway)/[\w./-]*|[A-Z]+\.md)`", README),
)
def test_file_that_the_text_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_verbs_that_the_text_names_are_there() -> None:
    verbs = set(re.findall(r"`care-gateway (\w+)", README))
    assert verbs
    assert verbs <= set(get_command(build(Lang.EN)).commands)


@pytest.mark.parametrize("house", HOUSES)
def test_house_passes_the_check(house: str, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(house)
    shown = subprocess.run(
        [sys.executable, "-m", "gateway", "check", "site.yaml", "--lang", "en"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
