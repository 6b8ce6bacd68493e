"""Brokers and lines that take an alarm and lose it: how long a whole daemon needs to say so.

Everything about the way up is as shipped: keepalive, waits, probes. All moments are
CLOCK_BOOTTIME: the daemon's own of the record of its fault, or since when its status says that the
link is down; the injection's is this process's. After `watched_ms` it is counted what was settled.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.domain.site import Broker
from gateway.sim.bus import open_tcp
from gateway.sim.devices import SimDevice, by_unit, lx47le
from tests.daemon.chaos import rows_of, sounds_at
from tests.daemon.rig import (
    LEAK,
    Daemon,
    boot_ms,
    key_of,
    open_daemon,
    open_platform,
    site_of,
    until,
)
from tests.partners.broker import Mosquitto
from tests.tasks.test_forward_refusals import ALL_BUT_ALARMS, scripted

SPEAKS_ONLY_311 = bytes([0x20, 2, 0, 1])  # CONNACK: unacceptable protocol version


@dataclass(frozen=True, slots=True)
class Seen:
    """What one fault led to, in ms since it was planted."""

    told_as: str  # the fault's rule, or what the status says of the link
    told_ms: float
    sounded_ms: float  # the alarm beside it: since its cause
    settled: int  # records that counted as delivered though they were not
    later: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Line:
    """A TCP line to a broker; `swallows` lets the connections of now go silent, unclosed."""

    target: Broker
    is_old: bool = False  # says that it speaks 3.1.1 only
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _silent: set[asyncio.StreamWriter] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def swallow(self) -> None:
        self._silent |= self._writers

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.read(4096)
        if self.is_old and b"\x00\x04MQTT\x05" in hello[:16]:
            writer.write(SPEAKS_ONLY_311)
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(self.target.unix_path)
        far_writer.write(hello)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._writers.add(sink)
            self._tasks.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                if sink not in self._silent:
                    sink.write(data)
        sink.close()

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def open_line(target: Broker, *, is_old: bool = False) -> AsyncIterator[tuple[Line, str]]:
    """A line to a broker on a unix socket, and the URL to use it by."""
    line = Line(target, is_old)
    server = await asyncio.start_server(line.accept, "127.0.0.1", 0)
    try:
        yield line, url_of(server)
    finally:
        server.close()
        line.end()


def url_of(server: asyncio.Server) -> str:
    return f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def house(folder: Path, broker: str) -> AsyncIterator[tuple[SimDevice, Daemon]]:
    """A breaker and a daemon that runs, with the way up as shipped."""
    board = lx47le("board", 3)
    uplink = f'uplink: {{gateway: link-01, brokers: ["{broker}"]}}\n'
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(folder, site_of(bus.port) + uplink) as daemon,
    ):
        await daemon.start()
        await daemon.status_when(
            lambda status: (
                any(
                    (point["id"], point["quality"]) == ("board.residual_current", "good")
                    for point in status["points"]
                )
                and status["panel"]["signal"]["red"] == "off"
            ),
            "readings, and the end of the lamp test",
        )
        yield board, daemon


async def planted(board: SimDevice, daemon: Daemon) -> tuple[float, asyncio.Task[float]]:
    """A leakage from now on, and the moment at which it is heard."""
    began = boot_ms()
    board.truth["residual_current"] = 600.0
    heard = until(lambda: sounds_at(daemon, began), "the alarm")
    return began, asyncio.create_task(heard)


async def fault_at(daemon: Daemon, rule: str) -> tuple[str, float]:
    """The first fault of the gateway that begins so: its rule and the moment of its record."""
    name = f"gateway/{rule}"

    def found() -> dict[str, Any] | None:
        raises = (body for body in daemon.records() if body.get("tr") == "raise")
        return next((body for body in raises if body["rule"].startswith(name)), None)

    await daemon.status_when(
        lambda status: any(alarm["rule"].startswith(name) for alarm in status["alarms"]), name
    )
    body = await until(found, f"the record of {name}")
    return body["rule"], body["mono"]


async def link_changed_at(daemon: Daemon, *, is_up: bool) -> tuple[str, float]:
    """What the status says of the link, and since when it is so."""

    def holds(status: dict[str, Any]) -> bool:
        return status["link"]["is_up"] is is_up and status["link"]["since_ms"] is not None

    status = await daemon.status_when(holds, f"the link to be {'up' if is_up else 'down'}")
    why = status["link"]["last_failure"] if not is_up else "up"
    return f"link: {why}", boot_ms() - status["link"]["since_ms"]


async def undelivered(daemon: Daemon, until_ms: float) -> int:
    """How many alarm records counted as delivered while nobody could have them."""
    while boot_ms() < until_ms:
        await asyncio.sleep(0.5)
    status = await daemon.status_when(lambda status: status["ok"], "the status")
    rows, waiting = rows_of(daemon.store)
    alarms = {key_of(dict(body)) for body in rows if body["lane"] == "A"}
    assert any(body.get("rule") == LEAK for body in rows), "the alarm is on disk"
    return int(status["lanes"]["A"]["settled"]) + len(alarms - waiting)


async def half_open(folder: Path, watched_ms: float) -> Seen:
    """The line swallows all of a connection that stands; a new one works."""
    del watched_ms
    with Mosquitto() as broker:
        async with (
            open_platform(folder, broker.url) as platform,
            open_line(broker.broker) as (line, url),
            house(folder, url) as (board, daemon),
        ):
            await daemon.status_when(
                lambda status: (
                    status["link"]["is_platform_present"] and status["lanes"]["B"]["unsettled"] == 0
                ),
                "the platform",
            )
            line.swallow()
            began, heard = await planted(board, daemon)
            told_as, told = await link_changed_at(daemon, is_up=False)
            lanes = (await daemon.status_when(lambda s: s["ok"], "the status"))["lanes"]
            _, again = await link_changed_at(daemon, is_up=True)
            await until(lambda: platform.raises(LEAK), "the alarm at the platform")
            stored = boot_ms()
            assert len(platform.raises(LEAK)) == 1
            return Seen(
                told_as, told - began, await heard - began, lanes["A"]["settled"],
                {"connected again": again - began, "stored at the platform": stored - began},
            )  # fmt: skip


async def black_hole(folder: Path, watched_ms: float) -> Seen:
    """The broker takes the connection and says nothing, ever."""
    connected: list[float] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(boot_ms())
        while await reader.read(4096):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with house(folder, url_of(server)) as (board, daemon):
        began, heard = await planted(board, daemon)
        told_as, told = await link_changed_at(daemon, is_up=False)
        settled = await undelivered(daemon, connected[0] + watched_ms)
        server.close()
        return Seen(told_as, told - connected[0], await heard - began, settled)


async def denied(folder: Path, watched_ms: float) -> Seen:
    """The broker denies the alarms' topic: 0x87."""
    with Mosquitto(acl=ALL_BUT_ALARMS) as broker:
        async with open_platform(folder, broker.url), house(folder, broker.url) as (board, daemon):
            await link_changed_at(daemon, is_up=True)
            return await told_of(board, daemon, "uplink_refused/A", watched_ms)


async def nobody(folder: Path, watched_ms: float) -> Seen:
    """Nobody is subscribed: 0x10."""
    with Mosquitto() as broker:
        async with house(folder, broker.url) as (board, daemon):
            _, up = await link_changed_at(daemon, is_up=True)
            return await told_of(board, daemon, "platform_absent", watched_ms, up)


async def over_quota(folder: Path, watched_ms: float) -> Seen:
    """The broker has no room for anybody: 0x97."""
    async with scripted(0x97) as broker:
        url = f"mqtt://{broker.host}:{broker.port}"
        async with house(folder, url) as (board, daemon):
            _, up = await link_changed_at(daemon, is_up=True)
            return await told_of(board, daemon, "uplink_refused/", watched_ms, up)


async def denied_in_silence(folder: Path, watched_ms: float) -> Seen:
    """MQTT 3.1.1 calls the denial of the alarms' topic a success."""
    with Mosquitto(acl=ALL_BUT_ALARMS) as broker:
        async with (
            open_platform(folder, broker.url),
            open_line(broker.broker, is_old=True) as (_, url),
            house(folder, url) as (board, daemon),
        ):
            status = await daemon.status_when(
                lambda status: status["link"]["is_platform_present"], "the platform"
            )
            assert status["link"]["protocol"] == "3.1.1"
            return await told_of(board, daemon, "uplink_unheard/A", watched_ms)


async def told_of(
    board: SimDevice, daemon: Daemon, rule: str, watched_ms: float, since: float | None = None
) -> Seen:
    """Plant an alarm and wait for that fault; `since` when the trouble was there, if before."""
    began, heard = await planted(board, daemon)
    at = began if since is None else since
    told_as, told = await fault_at(daemon, rule)
    settled = await undelivered(daemon, at + watched_ms)
    return Seen(told_as, told - at, await heard - began, settled)


Trouble = Callable[[Path, float], Awaitable[Seen]]
TROUBLES: dict[str, Trouble] = {
    "half-open link": half_open,
    "black-holed broker": black_hole,
    "0x87, not authorized": denied,
    "0x10, nobody subscribed": nobody,
    "0x97, quota exceeded": over_quota,
    "silent denial of 3.1.1": denied_in_silence,
}
