"""The repository keeps its own promises: names, pins, layout, and what the wheel brings."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# The brackets keep this file from finding itself.
MACHINE = re.compile(r"(^|[^\w.])/(wor[k]|roo[t]|far[m])/|https?://[^\s\"]*/simpl[e]/")
LEFT_UNDONE = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X])\b")
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def own_files() -> list[Path]:
    """Files of the repository, without what tools leave beside them; needs no git."""
    kept = {".ci", ".gitignore"}
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if not re.match(r"\.|__pycache__|dist$|build$", name) or name in kept
        ]
        found += [Path(folder, name) for name in names if name[0] != "." or name in kept]
    return found


def places(pattern: re.Pattern[str]) -> list[str]:
    """`file:line: text` of every line that the pattern is found in."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in own_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def pins(lock: Path) -> dict[str, str]:
    """Versions by canonical name."""
    found = re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def test_no_path_or_index_of_any_machine_is_written_down() -> None:
    assert places(MACHINE) == []


def test_nothing_is_marked_as_left_undone() -> None:
    assert places(LEFT_UNDONE) == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [path for path in own_files() if path.stem in VAGUE] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_pins_every_package_with_hashes_and_names_no_host(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.]+( ; [^\n]+)? \\\n", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert "://" not in text
    assert "--find-links" not in text


def test_locks_agree_on_every_version() -> None:
    largest = pins(ROOT / "requirements" / "dev.lock")
    for lock in LOCKS:
        shared = pins(lock).keys() & largest.keys()
        assert {name: pins(lock)[name] for name in shared} == {
            name: largest[name] for name in shared
        }


@pytest.mark.parametrize(
    ("lock", "extras", "has_base"),
    [
        ("run", [], True),
        ("demo", ["demo", "console", "build"], True),
        ("dev", ["dev", "demo", "console", "build"], True),
        ("systemd", ["systemd"], False),
        ("pi", ["pi"], False),
        ("nfc", ["nfc"], False),
        ("console", ["console"], False),
    ],
)
def test_lock_satisfies_what_the_project_declares(
    lock: str, extras: list[str], has_base: bool
) -> None:
    locked = pins(ROOT / "requirements" / f"{lock}.lock")
    declared = list(PROJECT["dependencies"]) if has_base else []
    declared += [line for extra in extras for line in EXTRAS[extra]]
    for requirement in map(Requirement, declared):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), (requirement, version)


def test_readme_gives_every_dependency_its_reason() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| *([\w ]*) *\| ([^|]+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    told = {
        (canonicalize_name(name.strip()), extra.strip())
        for names, extra, reason in rows
        if reason.strip()
        for name in names.split(",")
    }
    declared = {(Requirement(line).name, "") for line in PROJECT["dependencies"]} | {
        (Requirement(line).name, extra) for extra, lines in EXTRAS.items() for line in lines
    }
    assert {(canonicalize_name(name), extra) for name, extra in declared} == told - {
        ("package", "extra")
    } - {("---", "---")}


def test_programs_can_be_started_and_sourced_files_cannot() -> None:
    programs = [path for path in own_files() if path.parent.name in {"scripts", ".ci"}]
    assert programs
    for path in programs:
        has_first_line = path.read_bytes().startswith(b"#!")
        assert bool(path.stat().st_mode & 0o100) is has_first_line, path


def test_wheel_brings_its_profiles_and_rules_along(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("care_gateway-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    shipped = subprocess.run(
        [sys.executable, "-c", "from gateway.config.shipped import *; print(shipped_dir())"],
        cwd=installed,
        env={"PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )
    folder = Path(shipped.stdout.strip())
    assert folder.is_relative_to(installed)
    for kind in ("profiles", "rules"):
        ours = {path.name for path in (ROOT / "config" / kind).glob("*.yaml")}
        assert ours
        assert {path.name for path in (folder / kind).glob("*.yaml")} == ours


PLANTED = {
    "domain/points.py": "import gateway.core.step",
    "core/decode.py": "import asyncio",
    "tasks/inbox.py": "import gateway.drivers.clock",
    "store/rows.py": "import gateway.drivers.clock\nimport pydantic\nimport systemd",
    "drivers/clock.py": "import gpiozero\nimport sqlite_utils\nimport nfc\nimport paho.mqtt.client",
    "config/schema.py": "import argon2\nimport typer\nimport pymodbus",
    "app.py": "import amqtt\nimport uvicorn",
    "web/feed.py": "import gateway.store.store",
    "cli/run.py": "import gateway.sim.bus",
}


def test_floors_and_doors_refuse_what_is_planted_against_them(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway")
    for name, line in PLANTED.items():
        file = tmp_path / "gateway" / name
        file.write_text(f"{file.read_text()}\n{line}\n")
    linted = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    verdicts = dict(re.findall(r"^(\S.*\S) (KEPT|BROKEN)\b", linted.stdout, re.MULTILINE))
    contracts = [
        contract["name"]
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
            "importlinter"
        ]["contracts"]
    ]
    assert verdicts == dict.fromkeys(contracts, "BROKEN"), linted.stdout
