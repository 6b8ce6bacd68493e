"""Pull the adapter and plug it in again under another number, while the bus is being read."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.domain.errors import BusDown, DeviceSilent
from gateway.domain.points import Table
from gateway.domain.site import Bus, SerialLine
from gateway.drivers.adapters import find_port
from gateway.drivers.modbus import open_bus
from gateway.sim.bus import RtuLine, open_rtu, plug, unplug
from gateway.sim.devices import jxbs_co

USB_NAME = "usb:1a86:7523"
READ_MS = 500
GIVE_UP_S = 60.0


@dataclass(frozen=True, slots=True)
class Replugs:
    """Seconds from each return of the adapter to the next value; what was left at the end."""

    back_s: tuple[float, ...]
    descriptors_left: int
    tasks_left: int


class UsbTree:
    """A folder that looks like /sys and /dev with one USB adapter in it."""

    def __init__(self, root: Path) -> None:
        self.sys, self.dev = root / "sys", root / "dev"
        self.dev.mkdir(parents=True)
        (self.sys / "class" / "tty").mkdir(parents=True)

    def add(self, node: str, target: Path, vendor: str, product: str, serial: str = "") -> None:
        """The adapter is there: its folders in /sys, its node in /dev."""
        usb = self.sys / "devices" / f"usb-of-{node}"
        port = usb / "1-1:1.0" / node
        port.mkdir(parents=True)
        (usb / "idVendor").write_text(f"{vendor}\n")
        (usb / "idProduct").write_text(f"{product}\n")
        if serial:
            (usb / "serial").write_text(f"{serial}\n")
        tty = self.sys / "class" / "tty" / node
        tty.mkdir()
        (tty / "device").symlink_to(port)
        (self.dev / node).symlink_to(target)

    def remove(self, node: str) -> None:
        usb = self.sys / "devices" / f"usb-of-{node}"
        tty = self.sys / "class" / "tty" / node
        (self.dev / node).unlink()
        (tty / "device").unlink()
        tty.rmdir()
        for name in ("idVendor", "idProduct", "serial"):
            (usb / name).unlink(missing_ok=True)
        for folder in (usb / "1-1:1.0" / node, usb / "1-1:1.0", usb):
            folder.rmdir()


async def replug(folder: Path, times: int) -> Replugs:
    """Do it so many times; every time the number is another one."""
    tree = UsbTree(folder)
    bus = Bus("replug", SerialLine(USB_NAME, baud=115200))
    back = []
    async with open_rtu(folder / "pty", {1: jxbs_co("co", 1)}, baud=115200) as line:
        node = _plug(line, tree, 0)
        async with open_bus(bus, find=partial(find_port, sys=tree.sys, dev=tree.dev)) as door:
            read = partial(door.read, 1, Table.HOLDING, 6, 1, READ_MS)
            await until_read(read)
            descriptors, tasks = _descriptors(), len(asyncio.all_tasks())
            for number in range(1, times + 1):
                reading = asyncio.create_task(_until_down(read))
                await asyncio.sleep(0)
                tree.remove(node)
                unplug(line)
                await reading
                plug(line)
                node = _plug(line, tree, number)
                began = time.monotonic()
                await until_read(read)
                back.append(time.monotonic() - began)
            left = _descriptors() - descriptors, len(asyncio.all_tasks()) - tasks
    return Replugs(tuple(back), *left)


def _plug(line: RtuLine, tree: UsbTree, number: int) -> str:
    """The adapter is there, as ttyUSB<number>."""
    node = f"ttyUSB{number}"
    tree.add(node, line.port.readlink(), "1a86", "7523")
    return node


async def until_read(read: Callable[[], Awaitable[list[int]]]) -> None:
    until = time.monotonic() + GIVE_UP_S
    while True:
        try:
            await read()
        except (BusDown, DeviceSilent):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)
        else:
            return


async def _until_down(read: Callable[[], Awaitable[list[int]]]) -> None:
    while True:
        try:
            await read()
        except BusDown:
            return
        except DeviceSilent:
            continue


def _descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
