"""What the README tells a newcomer to type works, and its YAML is a house that passes `check`.

The two commands of the first block are also run as they are written, in a bare Debian tree, by
`scripts/prove-bare`; the demo itself is run by the tests of the demo.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
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


def gateway(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "gateway", *arguments]


@pytest.fixture(params=HOUSES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The README's house as a file."""
    path = tmp_path / "site.yaml"
    path.write_text(request.param)
    return path


def run_for(seconds: float, arguments: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=ROOT, check=False, capture_output=True, text=True, timeout=seconds
    )


def test_house_passes_the_check(site: Path) -> None:
    shown = run_for(120, gateway("check", site, "--lang", "en"))
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_panel_of_the_house_can_be_tried(site: Path) -> None:
    socket = site.with_name("nobody.sock")
    shown = run_for(
        120, gateway("panel", "test", site, "--panel", "mock", "--socket", socket, "--lang", "en")
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert [line.split("=")[0] for line in shown.stdout.splitlines()] == [
        "red", "amber", "yellow", "green", "buzzer",
    ]  # fmt: skip


def test_house_runs_answers_and_ends_though_nothing_of_it_is_connected(site: Path) -> None:
    """The README's port, address and broker do not exist here: faults, not an end."""
    store, socket, log = (site.with_name(name) for name in ("store", "daemon.sock", "daemon.log"))
    options = ("--store", store, "--socket", socket, "--panel", "mock")
    with log.open("w") as told:
        daemon = subprocess.Popen(gateway("run", site, *options), cwd=ROOT, stderr=told)
    try:
        asked = gateway("status", "--socket", socket, "--json")
        deadline = time.monotonic() + 120
        while (answer := run_for(60, asked)).returncode != 0:
            assert daemon.poll() is None, log.read_text()
            assert time.monotonic() < deadline, answer.stderr + log.read_text()
        state = json.loads(answer.stdout)
        assert {"kitchen-board", "kitchen-gas"} <= set(
            json.dumps(state).replace(".", '"').split('"')
        )
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0, log.read_text()
    finally:
        daemon.kill()
        daemon.wait()
