"""The systemd unit: the names of the design, and an exposure that does not creep up."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "systemd" / "care-gateway.service"


def settings() -> dict[str, str]:
    lines = [line for line in UNIT.read_text("utf-8").splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_the_unit_has_the_names_that_programs_and_people_rely_on() -> None:
    unit = settings()
    assert unit["Type"] == "notify"
    assert unit["User"] == unit["StateDirectory"] == unit["RuntimeDirectory"] == "care-gateway"
    assert unit["ExecStart"].endswith("/care-gateway run /etc/care-gateway/site.yaml")
    assert unit["Restart"] == "always"
    assert unit["StartLimitIntervalSec"] == "0"


def test_the_outputs_go_to_the_fault_state_however_the_daemon_ends() -> None:
    command = settings()["ExecStopPost"]
    assert command.startswith("-")
    assert command.endswith("/python -m gateway.cli.panel /etc/care-gateway/site.yaml")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_the_exposure_is_at_most_1_5() -> None:
    run = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", UNIT],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "unrecognized option" in run.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert run.returncode == 0, run.stdout[-200:] + run.stderr
