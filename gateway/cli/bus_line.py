"""Which line a technician means, and how it is read: by this program, or by the daemon that has it.

A target is a bus of the running daemon or of the site file, a serial port, or host[:port].
"""

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from gateway.cli.saying import UNSAID, no_answer
from gateway.config.load import load_site
from gateway.core.line_view import line_view
from gateway.core.scan import serial_of, set_to, setting_of
from gateway.core.tally import BusTally
from gateway.domain.details import detail_text
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.families import LineSetting
from gateway.domain.points import Table
from gateway.domain.site import Bus, Device, Parity, SerialLine, Site, TcpLink
from gateway.domain.text import Lang, Text
from gateway.drivers.adapters import find_port
from gateway.drivers.modbus import open_bus
from gateway.drivers.sockets import NoAnswer, NoDaemon, ask, connected
from gateway.tasks.bus_tools import MOST_MS
from gateway.tasks.scan_bus import Read

LATE_MS = 300  # a tool asks a device again sooner than the daemon would
Opener = Callable[[LineSetting | None], AbstractAsyncContextManager[Read]]

NO_TARGET = Text(
    "没有这条总线：{target}。写总线名、/dev/… 串口或 主机[:端口]",
    "there is no such bus: {target}. Name a bus, a serial port /dev/... or host[:port]",
)
THERE_ARE = Text("；是不是 {names}？", "; did you mean {names}?")
SEVERAL = Text("有几条总线，写明是哪一条：{names}", "there are several buses, name one: {names}")
NONE_AT_ALL = Text(
    "没有守护进程也没有站点文件，写明串口或 主机[:端口]",
    "there is no daemon and no site file: name a serial port or host[:port]",
)
BLIND = Text(
    "守护进程正用着这条总线，问话插在轮询之间。其间这 {count} 个报警监测点读得更慢，甚至看不到：",
    "The daemon has this bus; questions go between its own. Meanwhile these {count} alarm points"
    " are read later, or not at all:",
)


SILENT = Text("站号 {unit} 没有应答", "unit {unit} does not answer")
REFUSED = Text(
    "站号 {unit} 拒绝（异常 {code}）：没有这些寄存器，或一次问得太多",
    "unit {unit} refuses (exception {code}): it has no such registers, or not so many at once",
)
FINE, OUTSIDE, TYPED = 0, 1, 2  # exit codes
T = TypeVar("T")


class NoLine(Exception):
    """The target is no line; the words say what to write instead."""

    def __init__(self, words: Text) -> None:
        super().__init__(words.en)
        self.words = words


@dataclass(frozen=True, slots=True)
class Target:
    """A line. `held` is what the daemon tells of it while it has it."""

    name: str
    bus: Bus
    view: Mapping[str, Any]
    held: Path | None = None
    devices: tuple[Device, ...] = ()  # of the site file, where no daemon has the line

    @property
    def setting(self) -> LineSetting | None:
        return setting_of(self.bus.link) if isinstance(self.bus.link, SerialLine) else None

    @property
    def where(self) -> str:
        """As a site file names it."""
        link = self.bus.link
        if isinstance(link, SerialLine):
            return link.port
        return link.host if link.port == TcpLink("").port else f"{link.host}:{link.port}"

    @property
    def points(self) -> Sequence[Mapping[str, Any]]:
        """The alarm points that wait while a tool asks."""
        return self.view.get("points", []) if self.held else []

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(int(device["unit"]) for device in self.view.get("devices", []))


def find_target(name: str | None, *, socket: Path, site: Path) -> Target:
    """The line that is meant; the daemon's where it has that port. NoLine when there is none."""
    held = _held_lines(socket)
    for row in held:
        if name in (None, row["bus"]) and (name or len(held) == 1):
            return Target(str(row["bus"]), _bus_of(row), row, socket)
    house = load_site(site, is_timed=False).site if site.is_file() else None
    bus = _meant(name, house, held)
    for row in held:
        if _place_of(_bus_of(row)) == _place_of(bus):
            return Target(str(row["bus"]), _bus_of(row), row, socket)
    devices = tuple(each for each in house.devices if each.bus == bus.id) if house else ()
    return Target(bus.id, bus, line_view(bus, devices, (), BusTally(0), {}), devices=devices)


def _held_lines(socket: Path) -> list[Mapping[str, Any]]:
    """The lines of a running daemon; none where none runs."""
    try:
        return list(ask(socket, {"verb": "bus_lines"}).get("lines", []))
    except NoDaemon:
        return []


def _bus_of(row: Mapping[str, Any]) -> Bus:
    if row.get("tcp"):
        host, _, port = str(row["tcp"]).rpartition(":")
        return Bus(str(row["bus"]), TcpLink(host, int(port)))
    said = row["line"]
    line = LineSetting(int(said["baud"]), Parity(said["parity"]), int(said["stop_bits"]))
    return Bus(str(row["bus"]), serial_of(str(row["port"]), line))


def _meant(name: str | None, house: Site | None, held: Sequence[Mapping[str, Any]]) -> Bus:
    buses = {bus.id: bus for bus in house.buses} if house else {}
    if name is None:
        names = ", ".join(dict.fromkeys([*(str(row["bus"]) for row in held), *buses]))
        if len(buses) == 1 and not held:
            return next(iter(buses.values()))
        words = SEVERAL if names else NONE_AT_ALL
        raise NoLine(Text(words.zh.format(names=names), words.en.format(names=names)))
    if name in buses:
        return buses[name]
    if name.startswith(("/", "usb:")):
        known = [bus for bus in buses.values() if _place_of(bus) == _resolved(name)]
        return known[0] if known else Bus(name, SerialLine(name))
    host, _, port = name.partition(":")
    if host and (not port or port.isdecimal()) and ("." in host or port or host == "localhost"):
        return Bus(name, TcpLink(host, int(port or TcpLink("").port)))
    there = [*dict.fromkeys([*(str(row["bus"]) for row in held), *buses])]
    near = get_close_matches(name, there, n=1) or there
    meant = THERE_ARE if there else UNSAID
    raise NoLine(
        Text(
            NO_TARGET.zh.format(target=name) + meant.zh.format(names="、".join(near)),
            NO_TARGET.en.format(target=name) + meant.en.format(names=", ".join(near)),
        )
    )


def _place_of(bus: Bus) -> str:
    """The one physical line, however it is named."""
    link = bus.link
    return _resolved(link.port) if isinstance(link, SerialLine) else f"{link.host}:{link.port}"


def _resolved(port: str) -> str:
    try:
        return str(Path(find_port(port)).resolve())
    except BusDown:
        return port


def opener(target: Target) -> Opener:
    """How the line is opened with a setting; None is its own."""
    return _through_daemon(target) if target.held else _direct(target)


def _direct(target: Target) -> Opener:
    @asynccontextmanager
    async def open_line(setting: LineSetting | None) -> AsyncIterator[Read]:
        bus, link = target.bus, target.bus.link
        if setting is not None and isinstance(link, SerialLine):
            bus = replace(bus, link=set_to(link, setting))
        async with open_bus(bus, late_ms=LATE_MS) as door:
            yield door.read

    return open_line


def _through_daemon(target: Target) -> Opener:
    socket = target.held
    assert socket is not None  # noqa: S101 - `opener` asks for this only then

    @asynccontextmanager
    async def open_line(setting: LineSetting | None) -> AsyncIterator[Read]:
        try:
            async with connected(socket) as conversation:

                async def read(
                    unit: int, table: Table, start: int, count: int, timeout_ms: int
                ) -> Sequence[int]:
                    question = {
                        "verb": "bus_ask", "bus": target.name, "unit": unit,
                        "table": table.value, "start": start, "count": count,
                        "timeout_ms": min(timeout_ms, MOST_MS), "line": _said(setting),
                    }  # fmt: skip
                    return _words(unit, await conversation(question))

                yield read
        except NoAnswer as error:
            raise BusDown(str(error)) from error

    return open_line


def _said(setting: LineSetting | None) -> Mapping[str, object] | None:
    if setting is None:
        return None
    return {
        "baud": setting.baud, "parity": setting.parity.value, "stop_bits": setting.stop_bits
    }  # fmt: skip


def _words(unit: int, answer: Mapping[str, Any]) -> Sequence[int]:
    """The words, or what the door would have raised here."""
    if not answer.get("ok"):
        raise BusDown(str(answer.get("error") or answer.get("code")))
    match answer.get("failure"):
        case "silent":
            raise DeviceSilent(unit, str(answer.get("detail", "")))
        case "refused":
            raise DeviceRefused(unit, int(answer["exception"]))
        case "down":
            raise BusDown(str(answer.get("detail", "")))
        case _:
            return [int(word) for word in answer["words"]]


def blind_lines(target: Target, lang: Lang) -> list[str]:
    """Who waits meanwhile, a line each; nothing where the daemon has no hand in it."""
    points = target.points
    if not points:
        return []
    rows = [f"  {point['id']}  {point['label']}  {point['place']}" for point in points]
    return [BLIND.in_(lang).format(count=len(points)), *rows]


@dataclass(frozen=True, slots=True)
class Where:
    """What every verb needs to know of the line it works on."""

    target: str | None
    socket: Path
    site: Path
    line: LineSetting | None = None
    timeout_ms: int = 500


@dataclass(frozen=True, slots=True)
class Registers:
    """What is read."""

    unit: int
    table: Table
    start: int
    count: int


def talk(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def on_line(where: Where, lang: Lang, work: Callable[[Target], T]) -> T | int:
    """Do the work on the line that is meant; say why not otherwise."""
    try:
        target = find_target(where.target, socket=where.socket, site=where.site)
        for line in blind_lines(target, lang):
            talk(line)
        return work(target)
    except NoLine as problem:
        talk(problem.words.in_(lang))
        return TYPED
    except NoAnswer as error:  # a daemon is there, and says nothing to this user
        talk(no_answer(error, lang))
    except BusDown as down:
        talk(detail_text(down.why).in_(lang))
    except DeviceSilent as silent:
        talk(SILENT.in_(lang).format(unit=silent.unit))
    except DeviceRefused as refused:
        talk(REFUSED.in_(lang).format(unit=refused.unit, code=refused.code))
    except KeyboardInterrupt:
        pass
    return OUTSIDE
