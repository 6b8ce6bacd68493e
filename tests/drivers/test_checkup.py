"""What `doctor` sees of a machine, on machines made of files."""

import importlib
import os
import pwd
import re
import socket
import sys
from pathlib import Path

import pytest

from gateway.core.faults import LINK_FAILURES
from gateway.domain.findings import Grade
from gateway.domain.site import Bus, SerialLine, TcpLink
from gateway.drivers import checkup
from gateway.drivers.checkup import (
    Who,
    look_at_bus,
    look_at_clock,
    look_at_pins,
    look_at_secrets,
    look_at_store,
    look_at_units,
)

NOBODY = Who("care-gateway", 4_000_000, frozenset({4_000_000}))
ROOT = Who("root", 0, frozenset({0}))


def put(root, path, text="", mode=0o644):
    at = root / path
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(text)
    at.chmod(mode)
    return at


def codes(found, *, is_good=False):
    return {each.code for each in found if is_good or each.grade is not Grade.GOOD}


def serial(port):
    return Bus("line", SerialLine(port))


def test_a_port_that_is_there_and_ours_is_good(tmp_path):
    put(tmp_path, "dev/serial/by-path/p0", mode=0o666)
    found = [*look_at_bus(serial("/dev/serial/by-path/p0"), NOBODY, tmp_path)]
    assert codes(found, is_good=True) == {"port_ready"}


def test_a_port_that_is_missing_is_told_with_how_to_list_them(tmp_path):
    (found,) = look_at_bus(serial("/dev/ttyUSB7"), NOBODY, tmp_path)
    assert found.code == "port_missing"
    assert "by-path" in found.cure.en
    (found,) = look_at_bus(serial("usb:1a86:7523"), NOBODY, tmp_path)
    assert found.code == "port_missing"


def test_a_port_of_another_group_a_bare_name_and_a_slow_adapter_each_have_their_cure(tmp_path):
    put(tmp_path, "dev/ttyUSB0", mode=0o660)
    put(tmp_path, "sys/class/tty/ttyUSB0/device/latency_timer", "16\n")
    found = [*look_at_bus(serial("/dev/ttyUSB0"), NOBODY, tmp_path)]
    assert codes(found) == {"port_denied", "port_bare_name", "adapter_slow"}
    denied = next(each for each in found if each.code == "port_denied")
    assert denied.cure.en == "usermod -aG dialout care-gateway, then restart the service"
    assert codes(look_at_bus(serial("/dev/ttyUSB0"), ROOT, tmp_path)) == {
        "port_bare_name", "adapter_slow",
    }  # fmt: skip


def test_a_port_that_two_programs_have_open_is_told_with_their_names(tmp_path):
    node = put(tmp_path, "dev/ttyS0", mode=0o666)
    for number, name in (("7", "agetty"), ("9", "python")):
        put(tmp_path, f"proc/{number}/comm", name)
        (tmp_path / "proc" / number / "fd").mkdir()
        (tmp_path / "proc" / number / "fd" / "3").symlink_to(node)
    found = {each.code: each for each in look_at_bus(serial("/dev/ttyS0"), NOBODY, tmp_path)}
    assert "agetty (7), python (9)" in found["port_taken"].fact.en


def test_a_tcp_device_is_reached_or_not():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        there = [*look_at_bus(Bus("hall", TcpLink("127.0.0.1", port)), NOBODY)]
    assert codes(there, is_good=True) == {"tcp_answers"}
    gone = [*look_at_bus(Bus("hall", TcpLink("127.0.0.1", port)), NOBODY)]
    assert codes(gone) == {"tcp_unreachable"}


def test_a_panel_needs_a_chip_the_group_and_the_kernel_s_setting(tmp_path):
    assert [*look_at_pins(False, NOBODY, tmp_path)] == []
    assert codes(look_at_pins(True, NOBODY, tmp_path)) == {"gpio_missing"}
    put(tmp_path, "dev/gpiochip0", mode=0o660)
    put(tmp_path, "boot/firmware/config.txt", "# dtparam=strict_gpiod\narm_64bit=1\n")
    found = look_at_pins(True, NOBODY, tmp_path, lambda: False)
    assert codes(found) == {"gpio_denied", "gpio_keeps_level", "gpio_library"}
    put(tmp_path, "boot/firmware/config.txt", "[all]\ndtparam=strict_gpiod\n")
    assert codes(look_at_pins(True, ROOT, tmp_path, lambda: True)) == set()


def test_a_pi_without_lgpio_is_told_which_package_brings_it(tmp_path):
    put(tmp_path, "dev/gpiochip0")
    (found,) = [
        each
        for each in look_at_pins(True, ROOT, tmp_path, lambda: False)
        if each.grade is not Grade.GOOD
    ]
    assert found.code == "gpio_library"
    assert "apt-get install python3-lgpio" in found.cure.en
    assert "scripts/install" in found.cure.zh


@pytest.mark.parametrize(("files", "is_there"), [((), False), (("lgpio.py",), False),
                                                 (("lgpio.py", "_lgpio.py"), True)])  # fmt: skip
def test_the_empty_lgpio_of_old_indexes_is_none(tmp_path, monkeypatch, files, is_there):
    """`pip install lgpio` on Python 3.13 takes version 0.0.0.2: a module with nothing in it."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "_lgpio", raising=False)
    for name in files:
        put(tmp_path, name)
    importlib.invalidate_caches()
    assert checkup.has_lgpio() is is_there


def test_a_clock_is_synchronised_and_has_a_battery_or_it_is_told(tmp_path):
    assert codes(look_at_clock(tmp_path, is_synced=False)) == {"clock_unsynced", "clock_no_battery"}
    put(tmp_path, "dev/rtc0")
    assert codes(look_at_clock(tmp_path, is_synced=True)) == set()


def test_the_store_s_folder_is_there_ours_and_on_a_disk_that_takes_writes(tmp_path, monkeypatch):
    root = tmp_path / "root"
    folder = tmp_path / "store"
    assert codes(look_at_store(folder, NOBODY, root)) == {"store_missing"}
    folder.mkdir(mode=0o700)
    put(
        root,
        "proc/self/mounts",
        f"/dev/sda / ext4 rw,relatime 0 0\n/dev/sdb {tmp_path} ext4 ro 0 0\n",
    )
    monkeypatch.setattr(checkup, "SMALL_DISK", 0)
    assert codes(look_at_store(folder, NOBODY, root)) == {"store_denied", "disk_read_only"}
    put(root, "proc/self/mounts", "/dev/sda / ext4 rw 0 0\n")
    assert codes(look_at_store(folder, ROOT, root)) == {"disk_atime"}
    put(root, "proc/self/mounts", "/dev/sda / ext4 rw,noatime 0 0\n")
    monkeypatch.setattr(checkup, "SMALL_DISK", 1 << 62)
    assert codes(look_at_store(folder, ROOT, root)) == {"disk_low"}


@pytest.mark.parametrize(
    ("mode", "who", "code"),
    [(0o640, ROOT, None), (0o644, ROOT, "secret_open"), (0o600, NOBODY, "secret_denied")],
)
def test_a_key_is_for_the_daemon_and_nobody_else(tmp_path, mode, who, code):
    path = put(tmp_path, "gateway.key", "x", mode)
    assert codes(look_at_secrets([None, path], who)) == ({code} if code else set())
    assert codes(look_at_secrets([tmp_path / "none"], who)) == {"secret_missing"}


def units(**states):
    """A systemctl that knows these units: name -> (active, enabled)."""

    def run(command):
        if "RuntimeWatchdogUSec" in command:
            return "0\n"
        active, enabled = states.get(command[2].partition(".")[0].replace("-", "_"), (None, ""))
        if active is None:
            return "LoadState=not-found\nActiveState=inactive\nUnitFileState=\nResult=success\n"
        return (
            f"LoadState=loaded\nActiveState={active}\nUnitFileState={enabled}\nResult=exit-code\n"
        )

    return run


def test_units_are_missing_down_or_not_enabled(tmp_path):
    assert codes(look_at_units(units(), tmp_path)) == {"no_systemd"}
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert codes(look_at_units(units(), tmp_path)) == {"unit_missing", "watchdog_off"}
    down = units(care_gateway=("failed", "disabled"), care_gateway_console=("failed", "enabled"))
    found = [*look_at_units(down, tmp_path)]
    assert codes(found) == {"unit_down", "unit_disabled", "watchdog_off"}
    assert sum(each.code == "unit_down" for each in found) == 2
    (tmp_path / "var/log/journal").mkdir(parents=True)
    fine = units(care_gateway=("active", "enabled"))
    assert codes(look_at_units(fine, tmp_path)) == {"watchdog_off", "journal_on_card"}


def test_every_finding_has_a_section_on_the_troubleshooting_page():
    sources = [checkup.__file__, Path(checkup.__file__).parents[1] / "cli" / "doctor.py"]
    text = "".join(Path(each).read_text("utf-8") for each in sources)
    told = set(re.findall(r'(?:_bad|_note)\(\s*"(\w+)"', text))
    told |= set(re.findall(r'Finding\(\s*"(\w+)",\s*Grade\.(?:BAD|NOTE)', text))
    told |= {"port_denied", "gpio_denied"}
    page = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
    explained = set(re.findall(r"^### `(\w+)`", page, re.MULTILINE))
    assert told == explained, told ^ explained
    assert len(told) > 20
    brokers = re.findall(r"^\| `broker_(\w+)` \| \S", page, re.MULTILINE)
    assert sorted(brokers) == sorted(LINK_FAILURES)


def test_the_daemon_runs_as_the_service_s_user_or_as_who_asks_where_there_is_none(monkeypatch):
    monkeypatch.setattr(checkup, "SERVICE_USER", "nobody")
    entry = pwd.getpwnam("nobody")
    who = checkup.service_user()
    assert (who.name, who.uid) == ("nobody", entry.pw_uid)
    assert entry.pw_gid in who.gids
    monkeypatch.setattr(checkup, "SERVICE_USER", "no-such-user")
    assert checkup.service_user().uid == os.getuid()
