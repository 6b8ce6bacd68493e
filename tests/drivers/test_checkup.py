"""What `doctor` sees of a machine, on machines made of files."""

import grp
import importlib
import os
import pwd
import re
import socket
import sqlite3
import struct
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.faults import LINK_FAILURES
from gateway.domain.findings import Grade
from gateway.domain.site import Bus, PanelPins, SerialLine, TcpLink
from gateway.drivers import checkup, checkup_machine, gpio_lines, rights
from gateway.drivers.checkup import (
    look_at_bus,
    look_at_files,
    look_at_pins,
    look_at_reader,
    look_at_secrets,
)
from gateway.drivers.checkup_machine import look_at_board, look_at_clock, look_at_store
from gateway.drivers.checkup_units import ask_unit, look_at_units
from gateway.drivers.rights import Who
from gateway.store.versions import newer_than_us

PINS = PanelPins(red=17, buzzer=24)
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
    assert found.fact.zh.startswith("总线 line：没有这个串口（/dev/ttyUSB7 不存在）")
    (found,) = look_at_bus(serial("usb:1a86:7523"), NOBODY, tmp_path)
    assert found.code == "port_missing"
    assert "没有插上 usb:1a86:7523" in found.fact.zh


def test_a_port_of_another_group_a_bare_name_and_a_slow_adapter_each_have_their_cure(
    tmp_path, monkeypatch
):
    group = [None]  # that may use it, beside root's
    monkeypatch.setattr(checkup, "group_that_may", lambda _node, _bits: group[0])
    put(tmp_path, "dev/ttyUSB0", mode=0o660)
    put(tmp_path, "sys/class/tty/ttyUSB0/device/latency_timer", "16\n")
    found = [*look_at_bus(serial("/dev/ttyUSB0"), NOBODY, tmp_path)]
    assert codes(found) == {"port_denied", "port_bare_name", "adapter_slow"}
    denied = next(each for each in found if each.code == "port_denied")
    assert "run scripts/install" in denied.cure.en, "no group but root's may use it"
    group[0] = "dialout"
    denied = next(look_at_bus(serial("/dev/ttyUSB0"), NOBODY, tmp_path))
    assert denied.cure.en == (
        "usermod -aG dialout care-gateway, then systemctl restart care-gateway"
    )
    assert codes(look_at_bus(serial("/dev/ttyUSB0"), ROOT, tmp_path)) == {
        "port_bare_name", "adapter_slow",
    }  # fmt: skip


def test_the_group_to_join_is_the_node_s_unless_it_is_root_s_or_has_no_rights(tmp_path):
    mine = os.getgid()
    for mode, group in ((0o660, grp.getgrgid(mine).gr_name if mine else None), (0o600, None)):
        assert rights.group_that_may(put(tmp_path, "node", mode=mode), 6) == group


def held(root, node, **programs):
    """Programs that have `node` open: name -> (pid, command line)."""
    for name, (pid, command) in programs.items():
        put(root, f"proc/{pid}/comm", name)
        put(root, f"proc/{pid}/cmdline", command)
        (root / f"proc/{pid}/fd").mkdir()
        (root / f"proc/{pid}/fd/3").symlink_to(node)


def test_a_port_that_another_program_has_is_told_with_how_to_end_that_one(tmp_path):
    node = put(tmp_path, "dev/ttyS0", mode=0o666)
    look = lambda **more: [*look_at_bus(serial("/dev/ttyS0"), NOBODY, tmp_path, **more)]  # noqa: E731
    held(tmp_path, node, python=(9, "python\0-m\0gateway\0run"))
    assert codes(look(ours={9})) == set(), "the daemon itself"
    (second,) = [each for each in look(ours={8}) if each.code == "port_taken"]
    assert "another daemon: systemctl status 9" in second.cure.en
    held(tmp_path, node, ModemManager=(5, "/usr/sbin/ModemManager"), agetty=(7, "agetty"))
    (taken,) = [each for each in look(ours={9}) if each.code == "port_taken"]
    assert "ModemManager (5), agetty (7)" in taken.fact.en
    assert taken.cure.en == (
        "systemctl disable --now ModemManager; systemctl disable --now serial-getty@ttyS0"
    )


def test_a_port_that_the_unit_does_not_let_through_is_told_with_the_line_for_it(tmp_path):
    put(tmp_path, "dev/ttySC0", mode=0o666)
    put(tmp_path, "dev/ttyUSB10", mode=0o666)
    allows = {"char-ttyUSB", "char-ttyS", "char-gpiochip"}
    look = lambda port: codes(look_at_bus(serial(port), ROOT, tmp_path, allows=allows))  # noqa: E731
    assert look("/dev/ttyUSB10") == {"port_bare_name"}
    assert look("/dev/ttySC0") == {"port_not_allowed"}
    (found,) = [
        each
        for each in look_at_bus(serial("/dev/ttySC0"), ROOT, tmp_path, allows=allows)
        if each.code == "port_not_allowed"
    ]
    assert "DeviceAllow=char-ttySC rw" in found.cure.zh


def plugged(root, name, tty, **told):
    """A USB adapter as /sys shows it, with its port under /dev."""
    put(root, f"dev/{tty}", mode=0o666)
    usb = root / "sys/devices/usb1" / name
    for file, text in {"idVendor": "1a86", "idProduct": "7523", **told}.items():
        put(usb, file, text)
    (usb / f"{name}:1.0/{tty}").mkdir(parents=True)
    folder = root / "sys/class/tty" / tty
    folder.mkdir(parents=True)
    (folder / "device").symlink_to(usb / f"{name}:1.0/{tty}")
    by_path = root / "dev/serial/by-path"
    by_path.mkdir(parents=True, exist_ok=True)
    (by_path / name).symlink_to(f"../../{tty}")


def test_a_port_in_another_socket_and_two_that_fit_are_told_with_the_names_there_are(tmp_path):
    plugged(tmp_path, "1-1", "ttyUSB0")
    (gone,) = look_at_bus(serial("/dev/serial/by-path/1-2"), ROOT, tmp_path)
    assert gone.code == "port_missing"
    assert f"plugged in now: {tmp_path}/dev/serial/by-path/1-1" in gone.fact.en
    assert codes(look_at_bus(serial("usb:1a86:7523"), ROOT, tmp_path)) == set()
    plugged(tmp_path, "1-3", "ttyUSB1")
    (two,) = look_at_bus(serial("usb:1a86:7523"), ROOT, tmp_path)
    assert (two.code, two.about) == ("port_ambiguous", "line")
    assert "by-path/1-1" in two.fact.zh


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
    assert [*look_at_pins(PanelPins(), NOBODY, tmp_path)] == []
    assert codes(look_at_pins(PINS, NOBODY, tmp_path)) == {"gpio_missing"}
    put(tmp_path, "dev/gpiochip0", mode=0o660)
    put(tmp_path, "boot/firmware/config.txt", "# dtparam=strict_gpiod\narm_64bit=1\n")
    found = look_at_pins(PINS, NOBODY, tmp_path, lambda: False)
    assert codes(found) == {"gpio_denied", "gpio_keeps_level", "gpio_library"}
    for line, is_strict in (
        ("dtparam=strict_gpiod", True),
        ("dtparam=i2c_arm=on,strict_gpiod=on", True),
        ("dtparam=strict_gpiod=off", False),
        ("dtparam=strict_gpiod\ndtparam=strict_gpiod=off", False),
    ):
        put(tmp_path, "boot/firmware/config.txt", f"[all]\n{line}\n")
        found = codes(look_at_pins(PINS, ROOT, tmp_path, lambda: True))
        assert found == (set() if is_strict else {"gpio_keeps_level"}), line


def kernel(**taken):
    """The kernel's answers about a Pi's chip: who has which line."""

    def ask(_fd, number, said):
        if number == 0x8044B401:
            return struct.pack("32s32sI", b"gpiochip0", b"pinctrl-bcm2711", 58)
        line = struct.unpack_from("I", said, 64)[0]
        name = taken.get(f"p{line}", "")
        return struct.pack("32s32sIIQ160s16s", b"", name.encode(), line, 0, bool(name), b"", b"")

    return ask


def test_a_pin_that_somebody_else_has_is_told_with_its_part_and_its_holder(tmp_path):
    put(tmp_path, "dev/gpiochip0", mode=0o666)

    def look(ask, *, has_daemon):
        found = look_at_pins(PINS, ROOT, tmp_path, lambda: True, has_daemon=has_daemon, ask=ask)
        return [each for each in found if each.grade is Grade.BAD]

    assert look(kernel(p4="onewire@0"), has_daemon=False) == []
    (taken,) = look(kernel(p24="onewire@0"), has_daemon=True)
    assert (taken.code, taken.about) == ("gpio_taken", "buzzer")
    assert "pin 24 (buzzer) is taken by onewire@0" in taken.fact.en
    assert "dtoverlay" in taken.cure.zh
    assert look(kernel(p17="lg"), has_daemon=True) == [], "the daemon's own"
    assert [each.about for each in look(kernel(p17="lg"), has_daemon=False)] == ["red"]


def test_what_is_no_chip_says_nothing_of_its_lines(tmp_path):
    chip = put(tmp_path, "gpiochip0")
    assert gpio_lines.header_chip(tmp_path) is None
    with pytest.raises(OSError):
        gpio_lines.consumer(chip, 4)


def usb_reader(root, driver=None):
    usb = root / "sys/bus/usb/devices/1-2"
    for file, text in {
        "idVendor": "072f",
        "idProduct": "2200",
        "busnum": "1",
        "devnum": "9",
    }.items():
        put(usb, file, text + "\n")
    if driver:
        drivers = root / "sys/bus/usb/drivers" / driver
        drivers.mkdir(parents=True)
        (usb / "1-2:1.0").mkdir()
        (usb / "1-2:1.0/driver").symlink_to(drivers)
    return put(root, "dev/bus/usb/001/009", mode=0o666)


def test_a_reader_on_usb_is_missing_the_kernel_s_another_program_s_or_well(tmp_path):
    device = "usb:072f:2200"
    assert codes(look_at_reader(device, NOBODY, tmp_path)) == {"port_missing"}
    node = usb_reader(tmp_path)
    assert codes(look_at_reader(device, NOBODY, tmp_path), is_good=True) == {"reader_ready"}
    node.chmod(0o600)
    assert codes(look_at_reader(device, NOBODY, tmp_path)) == {"reader_denied"}
    held(tmp_path, node, pcscd=(31, "pcscd"), python=(32, "care-gateway\0reader"))
    found = {each.code: each for each in look_at_reader(device, ROOT, tmp_path, ours={32})}
    assert found["port_taken"].cure.en == "systemctl disable --now pcscd.socket pcscd"


def test_a_reader_that_a_driver_of_the_kernel_took_is_told_with_how_to_free_it(tmp_path):
    usb_reader(tmp_path, "pn533_usb")
    found = {each.code: each for each in look_at_reader("usb:072F:2200", NOBODY, tmp_path)}
    assert "modprobe -r pn533_usb" in found["reader_kernel"].cure.en


def test_a_pi_without_lgpio_is_told_which_package_brings_it(tmp_path):
    put(tmp_path, "dev/gpiochip0")
    (found,) = [
        each
        for each in look_at_pins(PINS, ROOT, tmp_path, lambda: False)
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


WALL_S = 1_795_000_000.0


def clock(root, zone="Asia/Shanghai", *, is_synced=True):
    return [*look_at_clock(zone, root, is_synced=is_synced, wall=lambda: WALL_S)]


def test_a_clock_is_synchronised_and_has_a_battery_or_it_is_told(tmp_path):
    put(tmp_path, "etc/keep")
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Shanghai")
    found = {each.code: each for each in clock(tmp_path, is_synced=False)}
    assert found.keys() == {"clock_unsynced", "clock_no_battery"}
    assert "2026-11-18" in found["clock_unsynced"].fact.en, "1970 is seen at once"
    put(tmp_path, "dev/rtc0")
    assert codes(clock(tmp_path)) == set()
    epoch = put(tmp_path, "sys/class/rtc/rtc0/since_epoch", f"{WALL_S:.0f}\n")
    assert codes(clock(tmp_path)) == set()
    epoch.write_text("946684800\n")
    assert codes(clock(tmp_path)) == {"clock_battery_dead"}
    assert codes(clock(tmp_path, is_synced=False)) == {"clock_unsynced"}, "who is right?"
    epoch.unlink()  # reading it fails on a chip that lost its supply
    assert codes(clock(tmp_path)) == {"clock_battery_dead"}
    put(tmp_path, "sys/class/rtc/rtc0/battery_voltage", "190000\n")
    assert codes(clock(tmp_path)) == {"clock_no_battery"}, "a Pi 5 has the clock, not the cell"


def test_a_machine_with_other_hours_than_the_house_is_told_how_to_set_them(tmp_path):
    put(tmp_path, "dev/rtc0")
    (found,) = [each for each in clock(tmp_path) if each.grade is not Grade.GOOD]
    assert (found.code, found.cure.en) == ("clock_zone", "timedatectl set-timezone Asia/Shanghai")
    put(tmp_path, "etc/keep")
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Singapore")
    assert codes(clock(tmp_path)) == set(), "another name, the same hours"


def test_a_hot_weak_full_or_worn_board_is_told():
    figures = {"cpu_temp": 84.5, "under_voltage": 1, "memory_available": 41.0, "wear": 90}
    found = look_at_board(figures=lambda _root: figures)
    assert codes(found) == {"board_hot", "board_under_voltage", "board_memory", "disk_worn"}
    fine = {"cpu_temp": 60.0, "under_voltage": 0, "memory_available": 400.0, "wear": 10}
    assert codes(look_at_board(figures=lambda _root: fine)) == set()
    assert codes(look_at_board(figures=lambda _root: {})) == set()


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
    monkeypatch.setattr(checkup_machine, "SMALL_DISK", 0)
    assert codes(look_at_store(folder, NOBODY, root)) == {"store_denied", "disk_read_only"}
    put(root, "proc/self/mounts", "/dev/sda / ext4 rw 0 0\n")
    assert codes(look_at_store(folder, ROOT, root)) == {"disk_atime"}
    put(root, "proc/self/mounts", "/dev/sda / ext4 rw,noatime 0 0\n")
    monkeypatch.setattr(checkup_machine, "SMALL_DISK", 1 << 62)
    assert codes(look_at_store(folder, ROOT, root)) == {"disk_low"}


def test_files_of_the_store_that_the_daemon_may_not_write_and_those_set_aside_are_told(
    tmp_path, monkeypatch
):
    """Often after something was run there as root."""
    monkeypatch.setattr(Who, "way_to", lambda _self, _path: None)
    root, folder = tmp_path / "root", tmp_path / "store"
    put(root, "proc/self/mounts", "/dev/sda / ext4 rw,noatime 0 0\n")
    folder.mkdir()
    folder.chmod(0o777)
    put(folder, "core.db", mode=0o600)
    put(folder, "core.db-wal", mode=0o666)
    found = look_at_store(folder, NOBODY, root)
    denied = next(each for each in found if each.code == "store_denied")
    assert denied.fact.en == "care-gateway may not write to core.db"
    assert f"chown -R care-gateway: {folder}" in denied.cure.en
    put(folder, "core.db", mode=0o666)
    assert "store_denied" not in codes(look_at_store(folder, NOBODY, root))
    put(folder, "core.db.bad-1")
    put(folder, "core.db.bad-1-wal")
    aside = [each for each in look_at_store(folder, ROOT, root) if each.code == "store_set_aside"]
    assert [each.fact.en.rpartition(": ")[2] for each in aside] == ["core.db.bad-1"]


def test_a_database_of_a_newer_version_is_known_without_touching_it(tmp_path):
    path = tmp_path / "core.db"
    assert newer_than_us(path, "core") == frozenset()
    assert not path.exists()
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("CREATE TABLE _sqlite_migrations (migration_set TEXT, name TEXT)")
        for name in ("what_is_kept", "what_comes_next_year"):
            file.execute("INSERT INTO _sqlite_migrations VALUES ('core', ?)", (name,))
        file.commit()
    before = sorted(each.name for each in tmp_path.iterdir())
    assert newer_than_us(path, "core") == {"what_comes_next_year"}
    assert sorted(each.name for each in tmp_path.iterdir()) == before
    path.write_bytes(b"no database at all" * 100)
    assert newer_than_us(path, "core") == frozenset()


@pytest.mark.parametrize(
    ("mode", "who", "code"),
    [(0o640, ROOT, None), (0o644, ROOT, "secret_open"), (0o600, NOBODY, "secret_denied")],
)
def test_a_key_is_for_the_daemon_and_nobody_else(tmp_path, mode, who, code):
    path = put(tmp_path, "gateway.key", "x", mode)
    assert codes(look_at_secrets([None, path], who)) == ({code} if code else set())
    assert codes(look_at_secrets([tmp_path / "none"], who)) == {"secret_missing"}


def test_a_certificate_may_be_read_by_everybody_and_a_key_behind_a_closed_folder_by_nobody(
    tmp_path,
):
    certificate = put(tmp_path, "closed/gateway.crt", mode=0o644)
    assert codes(look_at_files([None, certificate], ROOT)) == set()
    certificate.parent.chmod(0o700)
    (found,) = look_at_files([certificate], NOBODY)
    assert found.code == "secret_denied"
    assert "may not pass through" in found.fact.en
    assert "/etc/care-gateway/" in found.cure.en


def test_a_credential_of_the_unit_is_judged_while_the_unit_runs_and_not_by_its_modes(
    tmp_path, monkeypatch
):
    """systemd lets its user read it by an access list."""
    monkeypatch.setattr(checkup, "CREDENTIALS", tmp_path / "credentials")
    path = tmp_path / "credentials/care-gateway.service/mqtt-key"
    assert codes(look_at_secrets([path], NOBODY)) == set(), "nothing runs: that is told elsewhere"
    put(path.parent, "another", mode=0o400)
    (found,) = look_at_secrets([path], NOBODY)
    assert (found.code, found.cure.en) == (
        "secret_missing",
        "scripts/install --credential mqtt-key=FILE",
    )
    put(path.parent, "mqtt-key", mode=0o400)
    assert codes(look_at_secrets([path], NOBODY)) == set()


def units(**states):
    """A systemctl that knows these units: name -> what it says of it."""

    def run(command):
        if "RuntimeWatchdogUSec" in command:
            return "0\n"
        name = command[2].partition(".")[0].replace("-", "_")
        if name in ("care_gateway_backup", "care_gateway_sheets"):
            return "LoadState=not-found\nActiveState=inactive\n"
        known = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}
        known |= states.get(name, {"LoadState": "not-found", "ActiveState": "inactive"})
        return "".join(f"{key}={value}\n" for key, value in known.items())

    return run


def failed(status):
    return {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": status}


def test_units_are_missing_down_or_not_enabled(tmp_path):
    assert codes(look_at_units(units(), tmp_path)) == {"no_systemd"}
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert codes(look_at_units(units(), tmp_path)) == {"unit_missing", "watchdog_off"}
    down = units(
        care_gateway={"ActiveState": "failed", "UnitFileState": "disabled"},
        care_gateway_console={"ActiveState": "failed"},
    )
    found = [*look_at_units(down, tmp_path)]
    assert codes(found) == {"unit_down", "unit_disabled", "watchdog_off"}
    assert sum(each.code == "unit_down" for each in found) == 2
    (tmp_path / "var/log/journal").mkdir(parents=True)
    fine = units(care_gateway={})
    assert codes(look_at_units(fine, tmp_path)) == {"watchdog_off", "journal_on_card"}
    without = look_at_units(fine, tmp_path, needs_reader=True)
    assert {each.about for each in without if each.code == "unit_missing"} == {
        "care-gateway-reader.service"
    }


def test_a_backup_that_fails_and_a_timer_that_is_off_are_advice(tmp_path):
    (tmp_path / "run/systemd/system").mkdir(parents=True)

    def run(command):
        name = command[2]
        state = {"care-gateway-backup.service": "failed", "care-gateway-sheets.timer": "inactive"}
        return f"LoadState=loaded\nActiveState={state.get(name, 'active')}\n"

    found = {each.about: each for each in look_at_units(run, tmp_path) if each.cure}
    assert found["care-gateway-backup.service"].code == "unit_down"
    assert found["care-gateway-backup.service"].grade is Grade.NOTE
    assert found["care-gateway-sheets.timer"].cure.en == (
        "systemctl enable --now care-gateway-sheets.timer"
    )
    assert "care-gateway-backup.timer" not in found


@pytest.mark.parametrize(
    ("state", "code", "cure"),
    [
        ({"LoadState": "masked"}, "unit_masked",
         "systemctl unmask care-gateway.service && systemctl enable --now care-gateway.service"),
        (failed("2"), "unit_down", "`care-gateway check` shows"),
        (failed("1"), "unit_down", "another daemon has the databases"),
        (failed("6"), "unit_down", "`journalctl -u care-gateway.service -n 50` says why"),
        ({"ActiveState": "inactive", "ConditionResult": "no"}, "unit_down",
         "write /etc/care-gateway/site.yaml"),
    ],
)  # fmt: skip
def test_a_unit_that_does_not_run_is_told_with_what_helps_in_its_case(tmp_path, state, code, cure):
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (found,) = [
        each
        for each in look_at_units(units(care_gateway=state), tmp_path)
        if each.grade is Grade.BAD
    ]
    assert found.code == code
    assert found.cure.en.startswith(cure) or cure in found.cure.en


def test_a_console_that_dies_again_and_again_does_not_run(tmp_path):
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    dying = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}
    found = [*look_at_units(units(care_gateway={}, care_gateway_console=dying), tmp_path)]
    (down,) = [each for each in found if each.grade is Grade.BAD]
    assert (down.code, down.about) == ("unit_down", "care-gateway-console.service")
    assert "activating auto-restart exit-code" in down.fact.en


def test_a_unit_says_its_process_and_the_devices_that_it_lets_through():
    said = (
        "LoadState=loaded\nMainPID=412\nDevicePolicy=closed\nStatusText=2 devices on 1 buses\n"
        "DeviceAllow=char-ttyUSB rw\nDeviceAllow=/dev/ttySC0 rw\n"
    )
    unit = ask_unit("care-gateway.service", lambda _command: said)
    assert (unit.pid, unit.devices) == (412, {"char-ttyUSB", "/dev/ttySC0"})
    assert unit.says == "2 devices on 1 buses"
    nothing = ask_unit("care-gateway.service", lambda _command: None)
    assert (nothing.pid, nothing.devices, nothing.is_loaded) == (None, None, False)
    assert ask_unit("x", lambda _c: "MainPID=0\nDevicePolicy=auto\n").devices is None


def test_every_finding_has_a_section_on_the_troubleshooting_page():
    package = Path(checkup.__file__).parents[1]
    sources = [*package.glob("drivers/checkup*.py"), package / "cli/doctor.py"]
    sources.append(package / "cli/ailments.py")
    text = "".join(each.read_text("utf-8") for each in sources)
    told = set(re.findall(r'(?:\bbad|\bnote|\(bad if is_needed else note\))\(\s*"(\w+)"', text))
    told |= {"port_denied", "gpio_denied", "reader_denied"}
    page = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
    explained = set(re.findall(r"^### `(\w+)`", page, re.MULTILINE))
    assert told == explained, told ^ explained
    assert len(told) > 40
    brokers = re.findall(r"^\| `broker_(\w+)` \| \S", page, re.MULTILINE)
    assert sorted(brokers) == sorted(LINK_FAILURES)


def test_the_daemon_runs_as_the_service_s_user_or_as_who_asks_where_there_is_none(monkeypatch):
    monkeypatch.setattr(rights, "SERVICE_USER", "nobody")
    entry = pwd.getpwnam("nobody")
    who = rights.service_user()
    assert (who.name, who.uid) == ("nobody", entry.pw_uid)
    assert entry.pw_gid in who.gids
    monkeypatch.setattr(rights, "SERVICE_USER", "no-such-user")
    assert rights.service_user().uid == os.getuid()
