"""The processes of a measurement: devices, broker, platform, and daemon or bare loop."""

import asyncio
import json
import os
import queue
import sqlite3
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from gateway.drivers.sockets import NoAnswer, request
from gateway.sim.broker import open_broker
from gateway.sim.processes import Process, end, environment_of, running, tail
from scripts.benchmarks.house import House, write_house

PATIENCE_S = 60.0
ROOT = Path(__file__).parents[2]
T = TypeVar("T")


class CannotMeasure(Exception):
    """Something that is needed did not happen; the text says what."""


def boot_ms() -> float:
    """CLOCK_BOOTTIME: the scale of every moment here, and of the pin log."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


async def until(look: Callable[[], T | None], what: str) -> T:
    """Return the first thing that `look` finds."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise CannotMeasure(f"waited {PATIENCE_S:.0f} s for {what}")
        await asyncio.sleep(0.005)
    return found


def new_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


# --- the world around -------------------------------------------------------------------------


@dataclass(slots=True)
class Field:
    """The simulated devices' process."""

    process: Process
    ports: list[int]
    alarm_port: int

    async def ask(self, line: str) -> dict[str, Any]:
        pipe = self.process.stdin
        if pipe is None:
            raise CannotMeasure("the simulated devices do not listen")
        pipe.write(line.encode() + b"\n")
        return await _line_of(self.process)

    async def registers(self) -> int:
        """How many registers were handed out so far."""
        return int((await self.ask("count"))["registers"])

    async def set_contact(self, level: int) -> float:
        """Set the detector's contact; return when (boot ms) a reply had first told it."""
        return float((await self.ask(f"contact {level}"))["at"])


@asynccontextmanager
async def open_field(folder: Path, buses: int, units: int, registers: int) -> AsyncIterator[Field]:
    with (folder / "devices.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scripts.benchmarks.devices", "--buses", str(buses),
            "--units", str(units), "--registers", str(registers),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, cwd=ROOT,
        )  # fmt: skip
    try:
        said = await _line_of(process)
        yield Field(process, said["ports"], said["alarm_port"])
    finally:
        await end(process)


async def _line_of(process: Process) -> dict[str, Any]:
    pipe = process.stdout
    line = await asyncio.wait_for(pipe.readline(), PATIENCE_S) if pipe else b""
    if not line:
        raise CannotMeasure("the simulated devices ended")
    answer: dict[str, Any] = json.loads(line)
    return answer


@dataclass(frozen=True, slots=True)
class World:
    """Devices, broker and platform, ready; `history` is the platform's file."""

    folder: Path
    field: Field
    broker: str
    history: Path
    pids: tuple[int, ...]

    @property
    def broker_socket(self) -> str:
        return self.broker.removeprefix("mqtt+unix://")

    def applied(self, gateway: str) -> int:
        """Readings of a gateway that took effect at the platform and were acknowledged."""
        with sqlite3.connect(f"file:{self.history}?mode=ro", uri=True, timeout=30) as db:
            row = db.execute(
                "SELECT sum(r.readings) FROM records r JOIN settled s ON s.gw = r.gw"
                " AND s.ep = r.ep AND s.lane = r.lane AND r.seq BETWEEN s.lo AND s.hi"
                " WHERE r.gw = ? AND r.lane = 'R'",
                (gateway,),
            ).fetchone()
        db.close()
        return int(row[0] or 0)


@asynccontextmanager
async def open_world(
    folder: Path, *, buses: int = 1, units: int = 1, registers: int = 40
) -> AsyncIterator[World]:
    """Everything that is not measured; gone when the block is left."""
    history = new_folder(folder) / "history.sqlite"
    async with AsyncExitStack() as stack:
        field = await stack.enter_async_context(open_field(folder, buses, units, registers))
        broker = await stack.enter_async_context(open_broker(folder))
        if not broker.url.startswith("mqtt+unix://"):
            raise CannotMeasure("mosquitto is not installed")
        platform = await stack.enter_async_context(
            running(
                [sys.executable, "-m", "gateway.sim.platform", "--broker", broker.url,
                 "--history", str(history)],
                folder / "platform.log",
                env={"PYTHONPATH": str(ROOT)},
            )
        )  # fmt: skip
        processes = (field.process, broker.process, platform)
        pids = tuple(process.pid for process in processes if process is not None)
        yield World(folder, field, broker.url, history, pids)


@dataclass(slots=True)
class Subscriber:
    """Sees messages in a thread of its own and stamps them as they come."""

    seen: "queue.SimpleQueue[tuple[float, str, bytes]]"

    async def next_where(self, holds: Callable[[str, bytes], object]) -> tuple[float, bytes]:
        """When the next message that `holds` came (boot ms), and its body."""
        found: list[tuple[float, bytes]] = []

        def look() -> bool:
            while not found and not self.seen.empty():
                at, topic, body = self.seen.get()
                if holds(topic, body):
                    found.append((at, body))
            return bool(found)

        await until(look, "a message")
        return found[0]


@contextmanager
def subscribed(world: World, *topics: str) -> Iterator[Subscriber]:
    """A local subscriber, subscribed before the block begins."""
    seen: queue.SimpleQueue[tuple[float, str, bytes]] = queue.SimpleQueue()
    granted: queue.SimpleQueue[bool] = queue.SimpleQueue()
    client = paho.Client(CallbackAPIVersion.VERSION2, transport="unix")
    client.on_message = lambda _c, _u, m: seen.put((boot_ms(), m.topic, m.payload))
    client.on_subscribe = lambda *_: granted.put(True)
    client.connect(world.broker_socket)
    client.loop_start()
    client.subscribe([(topic, 1) for topic in topics])
    granted.get(timeout=PATIENCE_S)
    try:
        yield Subscriber(seen)
    finally:
        client.disconnect()
        client.loop_stop()


# --- what is measured ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon or a bare loop that runs."""

    process: Process
    folder: Path
    spawned_ms: float

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def pins_file(self) -> Path:
        return self.folder / "pins.jsonl"

    async def status(self) -> dict[str, Any] | None:
        try:
            return await request(self.socket, {"verb": "status"})
        except NoAnswer:
            return None

    async def status_when(self, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status = await self.status()
            if status is not None and holds(status):
                return status
            if self.process.returncode is not None or time.monotonic() > deadline:
                raise CannotMeasure("the daemon is not ready")
            await asyncio.sleep(0.05)


def is_at_work(status: dict[str, Any]) -> bool:
    """Lamp test over, platform there."""
    return status["link"]["is_platform_present"] and status["panel"]["signal"]["pattern"] != "B"


def pin_to(pids: Sequence[int], cores: Sequence[int]) -> None:
    """Keep processes and all their threads on some cores."""
    for pid in pids:
        for thread in psutil.Process(pid).threads():
            os.sched_setaffinity(thread.id, cores)


@asynccontextmanager
async def open_gateway(
    world: World, house: House, name: str, core: int | None = None, *, has_pin_log: bool = True
) -> AsyncIterator[Running]:
    """The daemon over a fresh store, in `name` under the world's folder."""
    folder = world.folder / name
    site = write_house(folder, house)
    argv = [
        sys.executable, "-m", "gateway", "run", str(site), "--store", str(folder / "store"),
        "--socket", str(folder / "s"), "--panel", "mock",
    ]  # fmt: skip
    if has_pin_log:
        argv += ["--panel-log", str(folder / "pins.jsonl")]
    async with _measured(argv, folder, core) as gateway:
        yield gateway


@asynccontextmanager
async def open_bare(
    world: World, house: House, name: str, core: int | None = None
) -> AsyncIterator[Running]:
    """The bare loop over the same devices."""
    folder = world.folder / name
    folder.mkdir()
    argv = [
        sys.executable, "-m", "scripts.benchmarks.bare", "--broker", world.broker_socket,
        "--units", str(house.units), "--registers", str(house.registers),
        "--period", str(house.period_ms / 1000), *map(str, house.ports),
    ]  # fmt: skip
    async with _measured(argv, folder, core) as bare:
        yield bare


@asynccontextmanager
async def _measured(argv: list[str], folder: Path, core: int | None) -> AsyncIterator[Running]:
    spawned_ms = boot_ms()
    # bytecode is kept, as in an installed copy: compiling at every start is nobody's figure
    env = {
        **environment_of(ROOT / "systemd" / "care-gateway.service"),
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(folder.parent / "bytecode"),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    async with running(argv, folder / "log", env=env, within_s=20.0) as process:
        if core is not None:
            pin_to([process.pid], [core])
        try:
            yield Running(process, folder, spawned_ms)
        except CannotMeasure as why:
            raise CannotMeasure(f"{why}; it said: {tail(folder / 'log')}") from why


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since its start."""

    at_s: float
    cpu_s: float
    written_bytes: int

    def since(self, before: "Usage") -> "Usage":
        return Usage(
            self.at_s - before.at_s,
            self.cpu_s - before.cpu_s,
            self.written_bytes - before.written_bytes,
        )


def usage_of(pid: int) -> Usage:
    """CPU time of all threads, and bytes that the kernel will write to disk for it."""
    cpu = psutil.Process(pid).cpu_times()
    lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    written = next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
    return Usage(time.monotonic(), cpu.user + cpu.system, written)


def memory_mib(pid: int) -> tuple[float, float]:
    """(resident, proportional) memory."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]:
        name, kib, *_ = line.split()
        found[name.rstrip(":")] = int(kib) / 1024
    return found["Rss"], found["Pss"]


def checkpoint_bytes(store: Path) -> int:
    """What the next checkpoint of each log under `store` will write: its distinct pages."""
    total = 0
    for path in store.glob("*-wal"):
        log = path.read_bytes()
        if len(log) < 32:
            continue
        page_bytes, salt = struct.unpack(">I", log[8:12])[0], log[16:24]
        frames = range(32, len(log) - 24 - page_bytes + 1, 24 + page_bytes)
        pages = {log[at : at + 4] for at in frames if log[at + 8 : at + 16] == salt}
        total += page_bytes * len(pages)
    return total
