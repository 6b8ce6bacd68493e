"""USB adapters by their identity, in folders that look like /sys and /dev."""

import re

import pytest

from gateway.domain.errors import BusDown
from gateway.drivers.adapters import find_port, list_adapters
from scripts.benchmarks.replug import UsbTree

CH340 = ("1a86", "7523")


@pytest.fixture
def usb(tmp_path):
    return UsbTree(tmp_path)


@pytest.fixture
def pts(tmp_path):
    """What device nodes point to: nothing is opened here."""
    folder = tmp_path / "pts"
    folder.mkdir()
    return folder


def find(usb, name):
    return find_port(name, sys=usb.sys, dev=usb.dev)


def test_a_path_is_a_path_whatever_is_plugged_in(usb):
    for path in ("/dev/ttyUSB0", "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0", "COM3"):
        assert find(usb, path) == path


def test_an_adapter_is_found_by_its_identity_in_any_case_of_letters(usb, pts):
    usb.add("ttyUSB4", pts / "4", *CH340)
    usb.add("ttyACM0", pts / "0", "0403", "6015", "DK0F1")
    for name in ("usb:1a86:7523", "usb:1A86:7523"):
        assert find(usb, name) == str(usb.dev / "ttyUSB4")
    assert find(usb, "usb:0403:6015") == str(usb.dev / "ttyACM0")
    assert find(usb, "usb:0403:6015:DK0F1") == str(usb.dev / "ttyACM0")


def test_an_adapter_that_comes_back_under_another_number_is_found_again(usb, pts):
    usb.add("ttyUSB0", pts / "0", *CH340)
    assert find(usb, "usb:1a86:7523") == str(usb.dev / "ttyUSB0")
    usb.remove("ttyUSB0")
    with pytest.raises(BusDown, match="no adapter usb:1a86:7523 is plugged in"):
        find(usb, "usb:1a86:7523")
    usb.add("ttyUSB7", pts / "7", *CH340)
    assert find(usb, "usb:1a86:7523") == str(usb.dev / "ttyUSB7")


def test_a_serial_number_that_is_not_there_is_not_another_ones(usb, pts):
    usb.add("ttyUSB0", pts / "0", "0403", "6015", "DK0F1")
    with pytest.raises(BusDown, match="no adapter"):
        find(usb, "usb:0403:6015:DK0F2")


def test_two_alike_are_refused_and_their_lasting_names_are_told(usb, pts):
    usb.add("ttyUSB0", pts / "0", "0403", "6015", "DK0F1")
    usb.add("ttyUSB1", pts / "1", "0403", "6015", "DK0F2")
    with pytest.raises(BusDown) as caught:
        find(usb, "usb:0403:6015")
    assert caught.value.why == (
        f"2 adapters are usb:0403:6015: {usb.dev}/ttyUSB0 (usb:0403:6015:DK0F1), "
        f"{usb.dev}/ttyUSB1 (usb:0403:6015:DK0F2); write one of the names in brackets"
    )


def test_two_without_a_number_of_their_own_are_told_apart_by_their_sockets(usb, pts):
    by_path = usb.dev / "serial" / "by-path"
    by_path.mkdir(parents=True)
    for n, socket in enumerate(("usb-0:1:1.0-port0", "usb-0:2:1.0-port0")):
        (pts / str(n)).touch()
        usb.add(f"ttyUSB{n}", pts / str(n), *CH340, "0001")
        (by_path / socket).symlink_to(usb.dev / f"ttyUSB{n}")
    expected = rf"ttyUSB0 \({re.escape(str(by_path))}/usb-0:1:1.0-port0\), .*usb-0:2:1.0-port0"
    with pytest.raises(BusDown, match=expected):
        find(usb, "usb:1a86:7523")
    with pytest.raises(BusDown, match="2 adapters"):
        find(usb, "usb:1a86:7523:0001")


def test_ports_that_are_no_usb_adapters_are_passed_over(usb, pts):
    (usb.sys / "class" / "tty" / "tty0").mkdir()
    onboard = usb.sys / "devices" / "platform" / "fe201000.serial"
    onboard.mkdir(parents=True)
    (usb.sys / "class" / "tty" / "ttyAMA0").mkdir()
    (usb.sys / "class" / "tty" / "ttyAMA0" / "device").symlink_to(onboard)
    usb.add("ttyUSB0", pts / "0", *CH340)
    found = list_adapters(sys=usb.sys, dev=usb.dev)
    assert [adapter.node for adapter in found] == [str(usb.dev / "ttyUSB0")]


def test_a_machine_without_sys_has_no_adapters(tmp_path):
    assert list_adapters(sys=tmp_path / "sys", dev=tmp_path / "dev") == []
