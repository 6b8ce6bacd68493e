"""Buses of the site file."""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.problems import Place, Problem
from gateway.config.schema import BusPart
from gateway.config.tree import Tree
from gateway.config.validate import error, is_given, meant_by, validate, warning
from gateway.domain.site import Bus, Direction, SerialLine, TcpLink
from gateway.domain.text import Text

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
NUMBERED = re.compile(r"/dev/tty(USB|ACM)\d+")
LASTING = Path("/dev/serial")
LINKS = ("serial", "tcp")
SERIAL_KEYS = ("baud", "parity", "stop_bits", "open_delay", "rs485")
USB = re.compile(r"usb:[0-9a-fA-F]{4}:[0-9a-fA-F]{4}(:.+)?")


@dataclass(frozen=True, slots=True)
class PlacedBus:
    """`bus` is None when the entry is wrong; its devices can then still be checked."""

    bus: Bus | None
    place: Place


def read_buses(tree: Tree, found: list[Problem]) -> dict[str, PlacedBus]:
    """Every bus by its id, also wrong ones; no two of them own the same port or address."""
    buses = {}
    owners: dict[str, Place] = {}
    ports: dict[str, str] = {}
    for name in _entries(tree):
        place = tree.place(("buses", name), key=True)
        check_id(name, place, found)
        bus = _bus(name, tree, found)
        buses[name] = PlacedBus(bus, place)
        if bus is not None:
            _claim(bus, tree, owners, ports, found)
    _numbered_ports(buses, tree, found)
    return buses


def report_unused(
    buses: Mapping[str, PlacedBus], used: Collection[str], found: list[Problem]
) -> None:
    """A bus without devices is never read: more often a forgotten device than a spare wire."""
    if not set(used) <= set(buses):
        return  # a device names a bus that is not there: it may be meant to be on this one
    for name, placed in buses.items():
        if placed.bus is not None and name not in used:
            fact = Text(f"总线 {name} 上没有设备", f"no device is on the bus {name}")
            advice = Text("加上设备，或删掉这条总线", "add its devices, or remove the bus")
            found.append(warning(placed.place, "bus_unused", fact, advice))


def _numbered_ports(buses: Mapping[str, PlacedBus], tree: Tree, found: list[Problem]) -> None:
    """Numbers are given anew at each start and plugging in: a bus may ask the wrong devices."""
    numbered = {
        os.path.realpath(placed.bus.link.port): (name, placed.bus.link.port)
        for name, placed in buses.items()
        if placed.bus is not None and isinstance(placed.bus.link, SerialLine)
        if NUMBERED.fullmatch(placed.bus.link.port)
    }
    if not numbered:
        return
    first, *others = [tree.place(("buses", name, "serial")) for name, _ in numbered.values()]
    number = next(port for _, port in numbered.values()).removeprefix("/dev/")
    fact = Text(
        f"拔插或重启后 {number} 可能变号", f"{number} may get another number when plugged in"
    )
    if others:
        fact = Text("重启后 ttyUSB 的编号可能互换", "ttyUSB numbers may change places at a restart")
    lasting = {port: lasting_name(port) for _, port in numbered.values()}
    names = ", ".join(name for name in lasting.values() if name)
    if len(lasting) > 1:
        names = ", ".join(f"{port} = {name}" for port, name in lasting.items() if name)
    advice = Text(
        f"改用不变的名字：{names or 'ls -l /dev/serial/by-path'}",
        f"take lasting names: {names or 'ls -l /dev/serial/by-path'}",
    )
    found.append(warning(first, "port_may_change", fact, advice, *others))


def lasting_name(port: str, names: Path = LASTING) -> str:
    """The name by which this port is found under any number; "" where it is not plugged in."""
    for folder in ("by-path", "by-id"):
        for name in sorted((names / folder).glob("*")):
            if os.path.realpath(name) == os.path.realpath(port):
                return str(name)
    return ""


def check_id(name: str, place: Place, found: list[Problem]) -> None:
    """Ids stand in topics, records and rule names."""
    if not ID.fullmatch(name):
        fact = Text(f"`{name}` 不能作名字", f"`{name}` cannot be an id")
        advice = Text(
            "用字母、数字、- 和 _，最多 64 个；中文写在 name 或 place 里",
            "letters, digits, - and _, at most 64; other words go into name or place",
        )
        found.append(error(place, "bad_id", fact, advice))


def _entries(tree: Tree) -> Mapping[str, object]:
    data = tree.at(("buses",))
    return {str(name): part for name, part in data.items()} if isinstance(data, dict) else {}


def _bus(name: str, tree: Tree, found: list[Problem]) -> Bus | None:
    where = ("buses", name)
    part = validate(BusPart, tree, where, found)
    links = [key for key in LINKS if is_given(tree, where, key)]
    place = tree.place(where, key=True)
    if len(links) == 2:
        fact = Text(
            "一条总线不能既是 serial 又是 tcp", "a bus is either `serial` or `tcp`, not both"
        )
        advice = Text("分成两条总线", "make two buses of it")
        found.append(error(tree.place((*where, "tcp"), key=True), "two_links", fact, advice))
        return None
    if not links:
        fact = Text("总线没有 serial 也没有 tcp", "the bus has neither `serial` nor `tcp`")
        advice = Text("加上 serial: /dev/… 或 tcp: 地址", "add serial: /dev/... or tcp: host")
        data = tree.at(where)
        if isinstance(data, dict) and not any(meant_by(str(key), LINKS) for key in data):
            found.append(error(place, "missing_key", fact, advice))
        return None
    link = _link(part, tree, name, found)
    gap = None if part.gap is None else float(part.gap)
    return None if link is None else Bus(name, link, part.timeout, gap, part.late_max)


def _link(
    part: BusPart, tree: Tree, name: str, found: list[Problem]
) -> SerialLine | TcpLink | None:
    if part.serial:
        _check_port(part.serial, tree, name, found)
        return SerialLine(
            part.serial, part.baud, part.parity, part.stop_bits, _direction(part), part.open_delay
        )
    for key in SERIAL_KEYS:
        if is_given(tree, ("buses", name), key):
            fact = Text(f"tcp 总线没有 {key}", f"a tcp bus has no `{key}`")
            advice = Text(
                "删掉；串口侧在转换器里设置", "remove it; the bridge has its own settings"
            )
            place = tree.place(("buses", name, key), key=True)
            found.append(error(place, "not_for_tcp", fact, advice))
    return part.tcp


def _direction(part: BusPart) -> Direction | None:
    way = part.rs485
    if way is None:
        return None
    return Direction(way.rts_on_send, way.delay_before, way.delay_after)


def _check_port(port: str, tree: Tree, name: str, found: list[Problem]) -> None:
    if port.lower().startswith("usb:"):
        _check_usb(port, tree.place(("buses", name, "serial")), found)
        return
    bare = re.fullmatch(r"(tty\w+|serial[01])", port)
    windows = re.fullmatch(r"(?i:com)\d+|.*\\.*", port)
    if not bare and not windows:
        return
    place = tree.place(("buses", name, "serial"))
    fact = Text(f"`{port}` 不是串口的路径", f"`{port}` is not the path of a serial port")
    advice = Text(
        "用 ls -l /dev/serial/by-path 看串口的名字", "see its name with ls -l /dev/serial/by-path"
    )
    if bare:
        advice = Text(f"是不是 /dev/{port}？", f"did you mean /dev/{port}?")
    found.append(error(place, "not_a_port", fact, advice))


def _check_usb(port: str, place: Place, found: list[Problem]) -> None:
    if USB.fullmatch(port):
        return
    fact = Text(f"`{port}` 不是 USB 转接器的名字", f"`{port}` does not name a USB adapter")
    advice = Text(
        "写 usb:VID:PID，如 usb:1a86:7523；两个一样的再加序列号；lsusb 能看到",
        "write usb:VID:PID such as usb:1a86:7523, and its serial if two are alike; see lsusb",
    )
    found.append(error(place, "not_a_port", fact, advice))


def _claim(
    bus: Bus,
    tree: Tree,
    owners: dict[str, Place],
    ports: dict[str, str],
    found: list[Problem],
) -> None:
    link, key = bus.link, "serial" if isinstance(bus.link, SerialLine) else "tcp"
    place = tree.place(("buses", bus.id, key))
    if isinstance(link, SerialLine):
        # two names of one adapter are one port
        resource = link.port.lower() if USB.fullmatch(link.port) else os.path.realpath(link.port)
        shown = Text(f"串口 {link.port}", f"the serial port {link.port}")
        other = ports.setdefault(resource, link.port)
        if other != link.port:
            shown = Text(
                f"{link.port} 和 {other} 是同一个串口，它",
                f"{link.port} and {other} are one serial port, which",
            )
    else:
        resource = f"{link.host.lower()}:{link.port}"
        shown = Text(f"地址 {resource}", f"the address {resource}")
    if resource in owners:
        fact = Text(f"{shown.zh} 已经属于另一条总线", f"{shown.en} already belongs to another bus")
        advice = Text(
            "一个口只能有一条总线：把设备移到那条总线下",
            "one port is one bus: move the devices to the first one",
        )
        found.append(error(place, "port_twice", fact, advice, owners[resource]))
    owners.setdefault(resource, place)
