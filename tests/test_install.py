"""The installer where it can be looked at without a tree of its own; `scripts/prove-install` has
the rest: it boots one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL, BUNDLE = ROOT / "scripts" / "install", ROOT / "scripts" / "bundle"
TOUCHED = [Path(name) for name in (
    "/opt/care-gateway", "/etc/care-gateway", "/etc/sysusers.d/care-gateway.conf",
    "/etc/udev/rules.d/60-care-gateway.rules", "/etc/modprobe.d/care-gateway.conf",
    "/etc/systemd/system/care-gateway.service", "/usr/local/bin/care-gateway",
)]  # fmt: skip


def is_debian() -> bool:
    release = Path("/etc/os-release")
    text = release.read_text("utf-8") if release.exists() else ""
    return bool(re.search(r"^ID=(debian|raspbian)$", text, re.MULTILINE)) and bool(
        re.search(r'^VERSION_ID="1[23]"$', text, re.MULTILINE)
    )


def run(*command: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(
    not is_debian() or shutil.which("dpkg") is None, reason="made for Debian 12 and 13"
)
def test_a_dry_run_says_every_step_and_takes_none() -> None:
    before = [path.exists() for path in TOUCHED]
    said = run(INSTALL, "--dry-run", "--reader", "platform-usb-0:1.3:1.0-port0")
    assert said.returncode == 0, said.stderr
    assert [path.exists() for path in TOUCHED] == before
    for step in ("sysusers", "wheels", "udev", "modprobe", "care-gateway.service", "reader.rules"):
        assert step in said.stdout, said.stdout


@pytest.mark.parametrize("script", [INSTALL, BUNDLE], ids=lambda path: path.name)
def test_help_is_the_head_of_the_script_and_a_slip_is_refused(script: Path) -> None:
    helped = run(script, "--help")
    assert helped.returncode == 0
    named = set(re.findall(r"^ {8}(--[a-z-]+)\)", script.read_text("utf-8"), re.MULTILINE))
    assert named - {"--help"} <= set(re.findall(r"--[a-z-]+", helped.stdout))
    slip = run(script, "--dryrun")
    assert slip.returncode == 2
    assert "--" in slip.stderr


def test_a_bundle_that_was_changed_is_not_installed(tmp_path: Path) -> None:
    """The wheels are trusted by their sums alone: pip checked them when the bundle was made."""
    if os.geteuid() != 0 or not is_debian():
        pytest.skip("needs root on Debian")
    (tmp_path / "wheels").mkdir()
    shutil.copytree(ROOT / "systemd", tmp_path / "systemd")
    shutil.copy(INSTALL, tmp_path / "install")
    (tmp_path / "target").write_text("amd64 bookworm 3.11\n")
    wheel = tmp_path / "wheels" / "pip-1-py3-none-any.whl"
    wheel.write_text("as it was")
    names = ("install", "target", "wheels/pip-1-py3-none-any.whl")
    sums = subprocess.run(["sha256sum", *names], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "SHA256SUMS").write_bytes(sums.stdout)
    wheel.write_text("as it is")
    said = run(tmp_path / "install", "--dry-run")
    assert said.returncode == 1
    assert "damaged" in said.stderr


def test_every_file_that_the_installer_puts_in_place_is_there() -> None:
    text = INSTALL.read_text("utf-8")
    for name in re.findall(r'\$source/((?:systemd|config)/[\w.-]+\.(?:conf|rules|yaml))"', text):
        assert (ROOT / name).is_file(), name


def test_the_examples_and_the_people_go_where_the_daemon_looks_for_them() -> None:
    install, bundle = INSTALL.read_text("utf-8"), BUNDLE.read_text("utf-8")
    assert "config/{site,people}.example.yaml" in bundle
    for name in ("site.yaml", "people.yaml", "site.example.yaml", "people.example.yaml"):
        assert f'put "$SETTINGS/{name}" 640 root:care-gateway' in install
    steps = ('check "$site"', "$SETTINGS/people.yaml", "$SETTINGS/site.yaml")
    put = [install.index(step, install.index("install_settings()")) for step in steps]
    assert put == sorted(put)


def test_the_service_s_user_may_use_ports_and_pins_and_the_reader_s_only_ports() -> None:
    users = (ROOT / "systemd" / "sysusers.conf").read_text("utf-8")
    assert re.findall(r"^m care-gateway (\w+)$", users, re.MULTILINE) == ["dialout", "gpio"]
    assert set(re.findall(r"^u (\S+)", users, re.MULTILINE)) == {
        "care-gateway", "care-gateway-reader",
    }  # fmt: skip


LGPIO = """
dist={0}/dist
mkdir -p $dist {0}/bin
said() {{ echo "$*"; }}
say() {{ said "$@"; }}
link_packages() {{ touch {0}/site/lgpio.py; said linked; }}
need_packages() {{ said "needs $*"; case " {1} " in *" $1 "*) ;; *) return 1 ;; esac; }}
{2}
get_pins {0} {0}/sources
"""


@pytest.mark.parametrize(
    ("has_wheel", "has_source", "packages", "said"),
    [
        (True, True, "", []),
        (False, True, "python3-lgpio", ["needs python3-lgpio", "linked"]),
        (
            False,
            True,
            "gcc",
            ["needs python3-lgpio", "needs gcc libc6-dev python3-dev swig", "built"],
        ),
        (
            False,
            True,
            "",
            ["needs python3-lgpio", "needs gcc libc6-dev python3-dev swig", "NO PINS"],
        ),
        (False, False, "gcc", ["needs python3-lgpio", "NO PINS"]),
    ],
    ids=["a wheel", "the distribution's", "built here", "no compiler", "no source"],
)
def test_lgpio_is_the_wheel_s_else_the_distribution_s_else_built_else_told(
    tmp_path: Path, has_wheel: bool, has_source: bool, packages: str, said: list[str]
) -> None:
    """On Debian 13 no wheel fits; Raspberry Pi OS has a package, plain Debian has none."""
    for name in ("bin", "site", "sources", "dist"):
        (tmp_path / name).mkdir()
    (tmp_path / "dist" / "lgpio.py").touch()
    if has_wheel:
        (tmp_path / "site" / "lgpio.py").touch()
    if has_source:
        (tmp_path / "sources" / "lgpio-0.2.2.0.tar.gz").touch()
    python = tmp_path / "bin" / "python"
    python.write_text(f"#!/bin/sh\n[ $1 = -m ] && echo built || echo {tmp_path}/site\n")
    python.chmod(0o755)
    script = INSTALL.read_text("utf-8")
    (function,) = re.findall(r"(?ms)^get_pins\(\) \{.*?^\}$", script)
    function = function.replace("/usr/lib/python3/dist-packages", str(tmp_path / "dist"))
    told = run("bash", "-euo", "pipefail", "-c", LGPIO.format(tmp_path, packages, function))
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True)), lines
