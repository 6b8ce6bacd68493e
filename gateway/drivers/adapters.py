"""Serial adapters by what they are: `usb:VID:PID[:SERIAL]` -> the device node they have now.

A USB adapter that is pulled and plugged in again may come back as another /dev/ttyUSBn. A path
under /dev/serial/by-path or by-id follows it; so does its USB identity, looked up here in /sys at
every opening.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.errors import BusDown

USB = re.compile(r"usb:([0-9a-f]{4}):([0-9a-f]{4})(?::(.+))?", re.IGNORECASE)
BARE = re.compile(r"/dev/tty(USB|ACM)\d+")
SYS, DEV = Path("/sys"), Path("/dev")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A USB adapter's port; `node` is its device, `by_path` the lasting name of its socket."""

    node: str
    vendor: str
    product: str
    serial: str
    by_path: str


def find_port(name: str, *, sys: Path = SYS, dev: Path = DEV) -> str:
    """Return the path to open for a serial port's name. BusDown when none, or more than one, fits.

    Anything that is no USB identity is a path already, and comes back as it is.
    """
    if (match := USB.fullmatch(name)) is None:
        return name
    vendor, product, serial = match[1].lower(), match[2].lower(), match[3]
    fitting = [
        adapter
        for adapter in list_adapters(sys=sys, dev=dev)
        if (adapter.vendor, adapter.product) == (vendor, product)
        and serial in (None, adapter.serial)
    ]
    if not fitting:
        raise BusDown(f"no adapter {name} is plugged in")
    if len(fitting) > 1:
        raise BusDown(_too_many(name, fitting))
    return fitting[0].node


def list_adapters(*, sys: Path = SYS, dev: Path = DEV) -> list[Adapter]:
    """Return every serial port of a USB device, by device node."""
    by_path = _links(dev / "serial" / "by-path")
    return sorted(_adapters(sys, dev, by_path), key=lambda adapter: adapter.node)


def _adapters(sys: Path, dev: Path, by_path: dict[str, str]) -> Iterator[Adapter]:
    tty = sys / "class" / "tty"
    for entry in tty.iterdir() if tty.is_dir() else ():
        usb = _usb_of(entry / "device", sys)
        if usb is None:
            continue
        node = str(dev / entry.name)
        yield Adapter(
            node,
            _read(usb / "idVendor").lower(),
            _read(usb / "idProduct").lower(),
            _read(usb / "serial"),
            by_path.get(os.path.realpath(node), ""),
        )


def _usb_of(device: Path, sys: Path) -> Path | None:
    """The USB device that a tty hangs on: the first folder upwards that has an idVendor."""
    if not device.exists():
        return None
    at = device.resolve()
    top = sys.resolve()
    while at not in (top, at.parent):
        if (at / "idVendor").exists():
            return at
        at = at.parent
    return None


def _links(folder: Path) -> dict[str, str]:
    """What each link points to -> the link's path; of two links to one port, the first by name."""
    if not folder.is_dir():
        return {}
    return {os.path.realpath(link): str(link) for link in sorted(folder.iterdir(), reverse=True)}


def _read(file: Path) -> str:
    """A file of /sys as text; empty when it is not there, or goes while we look."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _too_many(name: str, adapters: list[Adapter]) -> str:
    named = ", ".join(f"{adapter.node} ({_name_of(adapter, adapters)})" for adapter in adapters)
    return f"{len(adapters)} adapters are {name}: {named}; write one of the names in brackets"


def _name_of(adapter: Adapter, among: list[Adapter]) -> str:
    """A name that only this one has, and that lasts."""
    serials = [other.serial for other in among]
    if adapter.serial and serials.count(adapter.serial) == 1:
        return f"usb:{adapter.vendor}:{adapter.product}:{adapter.serial}"
    return adapter.by_path or "no lasting name: another socket gives it one"
