"""What README and pages tell people to type works; their YAML is a house that passes `check`.

The two commands of the README's first block, and those of the installation page, are also run as
they are written, in a bare Debian tree, by `scripts/prove-bare`; the demo by its own tests.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer
from typer.main import get_command

from gateway.cli.main import build
from gateway.core.panel import WORDS
from gateway.domain.text import Lang

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
INSTALLATION = (ROOT / "docs" / "installation.md").read_text("utf-8")
HARDWARE = (ROOT / "docs" / "hardware.md").read_text("utf-8")
PAGES = (README, INSTALLATION, HARDWARE)
UNIT = ROOT / "systemd" / "care-gateway.service"
PICTURE = ROOT / "docs" / "images" / "demo.svg"


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    return [line for block in blocks("sh", page) for line in block.splitlines() if line.strip()]


COMMANDS = commands(README)
HOUSES = blocks("yaml")


def test_readme_begins_with_the_two_commands() -> None:
    assert blocks("sh")[0].splitlines() == ["scripts/demo --for 60s", "scripts/test"]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    kinds = {"", "sh", "yaml"}
    for page, known in (
        (README, kinds),
        (INSTALLATION, kinds | {"ini"}),
        (HARDWARE, kinds),
    ):
        assert set(re.findall(r"^```(\w*)$", page, re.MULTILINE)[::2]) <= known
    assert HOUSES


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists_and_takes_these_arguments(line: str) -> None:
    takes(*shlex.split(line))


def takes(program: str, *given: str) -> None:
    """Fail unless the script is there, or the verb takes these arguments."""
    arguments = list(given)
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


def test_the_installation_installs_what_the_unit_starts() -> None:
    unit = UNIT.read_text("utf-8")
    script = (ROOT / "scripts" / "install").read_text("utf-8")
    (start,) = re.findall(r"^ExecStart=(\S+)/bin/care-gateway run (\S+)", unit, re.MULTILINE)
    assert "PROGRAMS=/opt/care-gateway\n" in script
    assert '"$PROGRAMS/venv"' in script
    assert start[0] == "/opt/care-gateway/venv"
    assert f"site.example.yaml {start[1]}" in "\n".join(commands(INSTALLATION))
    (groups,) = re.findall(r"^SupplementaryGroups=(.*)$", unit, re.MULTILINE)
    users = (ROOT / "systemd" / "sysusers.conf").read_text("utf-8")
    assert re.findall(r"^m care-gateway (\w+)$", users, re.MULTILINE) == groups.split()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_drop_in_of_the_keys_fits_the_unit(tmp_path: Path) -> None:
    (drop_in,) = blocks("ini", INSTALLATION)
    text = UNIT.read_text("utf-8")
    for program in re.findall(r"^Exec\w+=-?(\S+)", text, re.MULTILINE):  # not installed here
        text = text.replace(program, "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    folder = tmp_path / f"{UNIT.name}.d"
    folder.mkdir()
    (folder / "keys.conf").write_text(drop_in)
    shown = run_for(60, ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name])
    about_us = [line for line in shown.stderr.splitlines() if str(tmp_path) in line]
    assert (shown.returncode, about_us) == (0, []), shown.stderr
    (name,) = re.findall(r"LoadCredentialEncrypted=([\w.]+):", drop_in)
    assert f"/run/credentials/{UNIT.name}/{name}" in INSTALLATION
    assert f"--name={name}" in INSTALLATION


def test_panel_of_the_hardware_page_is_one_that_the_site_file_takes(tmp_path: Path) -> None:
    (panel,) = (block for block in blocks("yaml", HARDWARE) if block.startswith("panel:"))
    house = re.sub(r"^panel:.*\n", panel, HOUSES[0], flags=re.MULTILINE)
    (tmp_path / "site.yaml").write_text(house)
    shown = run_for(120, gateway("check", tmp_path / "site.yaml", "--lang", "en"))
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_pins_of_the_hardware_page_are_those_of_the_examples() -> None:
    rows = re.findall(r"^\| (red|amber|yellow|green) lamp \| (\d+) \|", HARDWARE, re.MULTILINE)
    rows += re.findall(r"^\| (buzzer|silence)(?: button)? \| (\d+) \|", HARDWARE, re.MULTILINE)
    written = ", ".join(f"{name}: {pin}" for name, pin in rows)
    assert f"panel: {{{written}}}" in README
    assert f"panel: {{{written}}}" in INSTALLATION


def test_picture_is_drawn_from_the_demo_as_it_is_now() -> None:
    """Well-formed, of this demo, and asking no other host for anything."""
    source = PICTURE.read_text("utf-8")
    assert f"]({PICTURE.relative_to(ROOT)})" in README
    texts = ET.fromstring(source).iter("{http://www.w3.org/2000/svg}text")
    said = " ".join("".join(text.itertext()) for text in texts).replace("\xa0", " ")
    gas = "Gas leak"
    assert gas in (ROOT / "config" / "rules" / "gas.yaml").read_text("utf-8")
    for word in (gas, *(WORDS[lamp].en for lamp in ("red", "amber", "yellow", "green"))):
        assert word in said
    duty_page = r"127\.0\.0\.1:"  # its address, as text
    assert set(re.findall(rf"https?://(?!{duty_page})[^\s\"')]+", source)) <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",  # Rich's name, in a comment
    }
    assert len(source) < 200_000


@pytest.mark.parametrize(
    "path",
    sorted(
        set(
            re.findall(
                r"`((?:scripts|docs|config|requirements|gateway)/[\w./-]*|[A-Z]+\.md)",
                "".join(PAGES),
            )
        )
    ),
)
def test_file_that_the_text_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_verbs_that_the_text_names_are_there() -> None:
    verbs = set(re.findall(r"`care-gateway (\w+)", "".join(PAGES)))
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


@pytest.mark.parametrize(
    "house",
    [
        *HOUSES,
        *blocks("yaml", INSTALLATION),
        *(block for block in blocks("yaml", HARDWARE) if block.startswith("site:")),
    ],
)
def test_house_passes_the_check(tmp_path: Path, house: str) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(house)
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
