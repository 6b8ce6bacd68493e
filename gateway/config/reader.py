"""The fixed NFC reader of a site file."""

import os
from collections.abc import Mapping

from gateway.config.buses import NUMBERED, USB, PlacedBus
from gateway.config.problems import Problem
from gateway.config.schema import ReaderPart
from gateway.config.tree import Tree
from gateway.config.validate import error, validate, warning
from gateway.domain.site import FixedReader, SerialLine
from gateway.domain.text import Text

_WHERE = ("reader", "device")


def read_reader(
    tree: Tree, buses: Mapping[str, PlacedBus], found: list[Problem]
) -> FixedReader | None:
    """Return the reader that is plugged in; None where the house has none."""
    if not isinstance(tree.at(("reader",)), dict):
        return None
    part = validate(ReaderPart, tree, ("reader",), found)
    if not part.device:  # an error, already reported
        return None
    device = str(part.device)
    if not (USB.fullmatch(device) or device.startswith("/")):
        fact = Text(f"`{device}` 不是读卡器的设备", f"`{device}` is not the device of a reader")
        advice = Text(
            "写串口路径（ls -l /dev/serial/by-id）或 usb:072f:2200",
            "write its serial port (ls -l /dev/serial/by-id) or usb:072f:2200",
        )
        found.append(error(tree.place(_WHERE), "not_a_reader", fact, advice))
    elif NUMBERED.fullmatch(device):
        fact = Text(f"`{device}` 会随插拔变号", f"`{device}` may have another number tomorrow")
        advice = Text("用 /dev/serial/by-id 下的名字", "use its name under /dev/serial/by-id")
        found.append(warning(tree.place(_WHERE), "numbered_port", fact, advice))
    _check_free(tree, device, buses, found)
    return FixedReader(part.id, device, part.again)


def _check_free(
    tree: Tree, device: str, buses: Mapping[str, PlacedBus], found: list[Problem]
) -> None:
    """A port is a bus or a reader, never both."""
    for placed in buses.values():
        link = placed.bus.link if placed.bus is not None else None
        if isinstance(link, SerialLine) and _same(link.port, device):
            fact = Text(f"串口 {device} 已是总线的", f"the port {device} already belongs to a bus")
            advice = Text("读卡器要有自己的串口", "a reader needs a port of its own")
            place = tree.place(_WHERE)
            found.append(error(place, "port_twice", fact, advice, placed.place))


def _same(one: str, other: str) -> bool:
    if one.startswith("/") and other.startswith("/"):
        return os.path.realpath(one) == os.path.realpath(other)
    return one.lower() == other.lower()
