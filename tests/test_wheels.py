"""Every lock resolves to wheels for a Pi: arm64 on Python 3.11 and 3.13, and x86-64 beside it.

`requirements/wheels.txt` is what pip took, by `scripts/bundle --list`, under the locks' hashes.
Here it is held against the locks and the rules of wheel names; no arm64 code runs. That is for
`scripts/prove-arm64`.
"""

import re
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parent.parent
LIST = ROOT / "requirements" / "wheels.txt"
BUNDLE = (ROOT / "scripts" / "bundle").read_text("utf-8")
PURE = "pydes"  # comes as source only, without a compiler: scripts/bundle builds its wheel
NEW_GLIBC = {"bookworm": 36, "trixie": 41}
PYTHON = {"bookworm": (3, 11), "trixie": (3, 13)}
MACHINE = {"arm64": "aarch64", "amd64": "x86_64"}
TARGETS = [(arch, suite) for arch in MACHINE for suite in PYTHON]
SAID = f"{LIST.name} is older than the locks: run scripts/bundle --list"


def locks_for(suite: str) -> list[str]:
    return ["run", "console", "nfc", *(["pi"] if suite == "bookworm" else [])]


@cache
def pinned(lock: str, arch: str, suite: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by canonical name, of what this machine and Python need."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text("utf-8")
    version = ".".join(map(str, PYTHON[suite]))
    machine = {
        "platform_machine": MACHINE[arch], "sys_platform": "linux", "platform_system": "Linux",
        "os_name": "posix", "python_version": version, "python_full_version": f"{version}.5",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip
    found = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        wanted = Requirement(entry.partition("\\")[0])
        if wanted.marker is None or wanted.marker.evaluate(machine):
            (pin,) = wanted.specifier
            hashes = frozenset(re.findall(r"sha256:([0-9a-f]{64})", entry))
            found[canonicalize_name(wanted.name)] = (pin.version, hashes)
    return found


@cache
def listed(arch: str, suite: str) -> dict[str, tuple[str, str]]:
    """File and hash by canonical name."""
    rows = [line.split() for line in LIST.read_text("utf-8").splitlines()]
    wheels = [(name, digest) for one, other, name, digest in rows if (one, other) == (arch, suite)]
    found = {str(parse_wheel_filename(name)[0]): (name, digest) for name, digest in wheels}
    assert len(found) == len(wheels), "one wheel a package"
    return found


def taken_by(arch: str, suite: str) -> set[Tag]:
    """What pip of that Python installs there: by Python, ABI and the age of the C library."""
    machine, python = MACHINE[arch], PYTHON[suite]
    platforms = [f"manylinux_2_{age}_{machine}" for age in range(NEW_GLIBC[suite], 16, -1)]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
    ours = f"cp{python[0]}{python[1]}"
    return {
        *cpython_tags(python, platforms=platforms),
        *compatible_tags(python, interpreter=ours, platforms=platforms),
    }


@pytest.mark.parametrize(("arch", "suite"), TARGETS)
def test_every_package_of_the_locks_has_a_wheel_there(arch: str, suite: str) -> None:
    wanted = {name for lock in locks_for(suite) for name in pinned(lock, arch, suite)}
    assert wanted - listed(arch, suite).keys() == {PURE}, SAID
    assert listed(arch, suite).keys() <= wanted, SAID


@pytest.mark.parametrize(("arch", "suite"), TARGETS)
def test_each_wheel_is_of_the_locked_version_under_a_locked_hash(arch: str, suite: str) -> None:
    locked = {n: p for lock in locks_for(suite) for n, p in pinned(lock, arch, suite).items()}
    for name, (file, digest) in listed(arch, suite).items():
        version, hashes = locked[name]
        assert str(parse_wheel_filename(file)[1]) == version, SAID
        assert digest in hashes, file


@pytest.mark.parametrize(("arch", "suite"), TARGETS)
def test_each_wheel_is_one_that_its_python_and_c_library_take(arch: str, suite: str) -> None:
    there = taken_by(arch, suite)
    for file, _ in listed(arch, suite).values():
        assert parse_wheel_filename(file)[3] & there, file


def test_a_wheel_for_another_machine_python_or_c_library_would_be_seen() -> None:
    there = taken_by("arm64", "bookworm")
    for file in (
        "lgpio-0.2.2.0-cp312-cp312-manylinux_2_34_aarch64.whl",
        "lgpio-0.2.2.0-cp311-cp311-manylinux_2_34_x86_64.whl",
        "lgpio-0.2.2.0-cp311-cp311-manylinux_2_39_aarch64.whl",
        "lgpio-0.2.2.0-cp311-cp311-win_arm64.whl",
    ):
        assert not parse_wheel_filename(file)[3] & there, file


def test_what_has_no_wheel_is_what_the_bundle_treats_apart() -> None:
    """pyDes everywhere, and lgpio on Debian 13: its source travels in the bundle."""
    assert f"\nPURE_SOURCES={PURE} " in BUNDLE
    assert 'LOCKS="run console nfc"' in BUNDLE
    assert '$([ "$3" = bookworm ] && echo pi)' in BUNDLE
    assert "lgpio" in listed("arm64", "bookworm")
    assert "lgpio" not in listed("arm64", "trixie")
    assert re.search(r"^ +\[ \"\$2\" = trixie \] \|\| return 0$", BUNDLE, re.MULTILINE)
    for suite, age in NEW_GLIBC.items():
        assert str(age) in BUNDLE, suite
