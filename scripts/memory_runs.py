"""Two hours of a house of 50 devices: what daemon and console weigh, hold open and run.

Run with `scripts/soak memory`. A leakage now and then, a device that falls silent, a broker that
goes away, a reload, questions of a technician, a page that is closed and opened: a line of figures
each minute. The promises that were broken come back.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from gateway.sim.bus import open_tcp
from gateway.sim.devices import SimDevice, by_unit, lx47le
from gateway.sim.processes import running
from tests.daemon.rig import ENVIRONMENT, ROOT, Daemon, Platform, open_daemon, open_platform, until
from tests.partners.broker import Mosquitto

LONG_S = 7_200.0
WARM_SHARE, WARM_MOST_S = 0.25, 900.0  # left out of the slope: caches fill
BUSES, UNITS = 5, 10
OVER_MA, NORMAL_MA = 600.0, 20.0
MOST_MIB_AN_HOUR = 1e6 / 2**20
EVERY_S = {  # each at least once while it warms up
    "ask": 10.0,
    "page": 300.0,
    "alarm": 240.0,
    "silence": 420.0,
    "broker": 780.0,
    "reload": 600.0,
}
AWAY_S = 60.0  # a broker, a device
SAMPLE_S = 60.0
HURRIED_BELOW_S = 3_600.0  # a shorter run does as much in less time
CALM_SAMPLES, CALM_S = 5, 120.0
PATIENCE_S = 600.0  # for anything: the machine has more to do for hours

SITE = """\
site: {{id: soak-house, name: 测试养老院, institution: elder-care}}
self_test: off
buses:
{buses}
devices:
{devices}
panel: {{red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24, silence: 25}}
uplink: {{gateway: soak-memory, brokers: ["{broker}"], reconnect: local, receipt_within: 0}}
"""
DEVICE = """\
  board-{number}:
    profile: lingxun-lx47le
    bus: hall-{bus}
    unit: {unit}
    place: {place}
    owner: 电工班
    points: {{{points}}}
    rules:
      residual_warning: {{off: true, basis: test}}
      residual_alarm: {{for: 500ms, clear_for: 500ms, basis: test}}
"""
POINTS = (
    "breaker_status", "frequency", "residual_current", "temperature_n", "temperature_l1",
    "voltage_l1", "current_l1", "power_factor_l1", "active_power_l1",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process holds at one moment; memory in MiB.

    `own` is what it has written itself: pages of files are a process's own or not as others map
    the same libraries.
    """

    at_h: float
    resident: float
    proportional: float
    own: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Slope:
    """MiB an hour, and how far off that may be: two standard errors."""

    an_hour: float
    off_by: float

    def __str__(self) -> str:
        return f"{self.an_hour:+.3f} ± {self.off_by:.3f} MiB/h"


@dataclass(slots=True)
class Home:
    """The house under way; `acting` is held by whoever does something to it."""

    daemon: Daemon
    platform: Platform
    broker: Mosquitto
    boards: Sequence[SimDevice]
    site: Callable[[str], str]
    port: int
    processes: dict[str, psutil.Process]
    pace: float  # 1; less in a short run
    began: float = field(default_factory=time.monotonic)
    acting: asyncio.Lock = field(default_factory=asyncio.Lock)
    done: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVERY_S, 0))

    def samples(self) -> dict[str, Sample]:
        at_h = (time.monotonic() - self.began) / 3600
        return {name: sample_of(process, at_h) for name, process in self.processes.items()}


async def memory(options: argparse.Namespace, folder: Path) -> list[str]:
    """Let the house live for so long, and judge how it grew after the first quarter of an hour."""
    broken: list[str] = []
    length_s = options.seconds or LONG_S
    warm_s = min(WARM_MOST_S, WARM_SHARE * length_s)
    pace = min(1.0, length_s / HURRIED_BELOW_S)
    async with open_home(folder, pace) as home:
        every_minute: list[dict[str, Sample]] = []
        async with asyncio.TaskGroup() as lives:
            acts = [lives.create_task(act_again(home, name)) for name in EVERY_S]
            acts.append(lives.create_task(sample_again(home, every_minute)))
            await asyncio.sleep(warm_s)
            warm_h = (time.monotonic() - home.began) / 3600
            before = await calm_samples(home)
            await asyncio.sleep(max(0.0, length_s - (time.monotonic() - home.began)))
            after = await calm_samples(home)
            for life in acts:
                life.cancel()
        judge(home, [row for row in every_minute if _hour_of(row) >= warm_h], broken)
        for name in home.processes:
            _say(f"{name} after warm-up", line_of(before[name]))
            _say(f"{name} at the end", line_of(after[name]))
            held = [(one[name].files, one[name].threads) for one in (before, after)]
            _check(held[0] == held[1], f"{name}: descriptors and threads constant", broken)
        for act, count in home.done.items():
            _say(f"how often: {act}", count)
        raised = sum(len(home.platform.raises(_rule_of(board))) for board in home.boards)
        _check(raised == home.done["alarm"], "every alarm at the platform, once", broken)
        _check(await home.daemon.stop() == 0, "the daemon ended well", broken)
    return broken


def judge(home: Home, rows: Sequence[dict[str, Sample]], broken: list[str]) -> None:
    """Say the slopes; the resident and the own memory must not climb."""
    for name in home.processes:
        mine = [row[name] for row in rows]
        for what in ("resident", "proportional", "own"):
            found = slope_of([(each.at_h, getattr(each, what)) for each in mine])
            _say(f"{name}, {what} memory", f"{found} over {len(mine)} samples")
            if what != "proportional":
                is_flat = found.an_hour < MOST_MIB_AN_HOUR
                _check(is_flat, f"{name}: {what} memory climbs by less than 1 MB an hour", broken)


def slope_of(points: Sequence[tuple[float, float]]) -> Slope:
    """Least squares over (hour, MiB). Neighbours that are alike count as fewer samples."""
    hours, values = [hour for hour, _ in points], [value for _, value in points]
    slope, start = statistics.linear_regression(hours, values)
    left = [value - start - slope * hour for hour, value in points]
    spread = statistics.pstdev(left)
    alike = 0.0
    if spread > 0:
        alike = sum(a * b for a, b in pairwise(left)) / sum(a * a for a in left)
    counted = max(3.0, len(points) * (1 - alike) / (1 + alike))
    return Slope(slope, 2 * spread / (statistics.pstdev(hours) * (counted - 2) ** 0.5))


def sample_of(process: psutil.Process, at_h: float) -> Sample:
    kib: dict[str, int] = {}
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
    for line in rollup.splitlines()[1:]:
        name, value, *_ = line.split()
        kib[name.rstrip(":")] = int(value)
    rss, pss, own = (kib[name] / 1024 for name in ("Rss", "Pss", "Private_Dirty"))
    return Sample(at_h, rss, pss, own, process.num_fds(), process.num_threads())


def line_of(sample: Sample) -> str:
    return (
        f"{sample.at_h * 60:6.1f} min  RSS {sample.resident:6.2f}  PSS {sample.proportional:6.2f}"
        f"  own {sample.own:6.2f} MiB  files {sample.files:3}  threads {sample.threads:2}"
    )


async def sample_again(home: Home, rows: list[dict[str, Sample]]) -> None:
    """A row each minute, said as it is taken."""
    every_s = SAMPLE_S * home.pace
    while True:
        home.daemon.sync_flag.touch()  # a clock without a time source is a fault after an hour
        await asyncio.sleep(every_s - (time.monotonic() - home.began) % every_s)
        row = home.samples()
        rows.append(row)
        for name, sample in row.items():
            _say(f"  {name}", line_of(sample))


async def calm_samples(home: Home) -> dict[str, Sample]:
    """Samples while nobody does anything: files and threads were the same several times running."""
    async with home.acting:
        await see_to_faults(home)
        deadline, held = time.monotonic() + CALM_S, list[list[tuple[int, int]]]()
        while True:
            await asyncio.sleep(1.0)
            found = home.samples()
            held.append([(each.files, each.threads) for each in found.values()])
            last = held[-CALM_SAMPLES:]
            is_still = len(last) == CALM_SAMPLES and all(each == last[0] for each in last)
            if is_still or time.monotonic() > deadline:
                return found


def _is_calm(status: dict[str, Any]) -> bool:
    return status["link"]["is_platform_present"] and not status["alarms"]


# --- what happens in the house ------------------------------------------------------------------


async def act_again(home: Home, name: str) -> None:
    """Do one thing again and again, never while another is being done."""
    act = ACTS[name]
    while True:
        await asyncio.sleep(EVERY_S[name] * home.pace)
        async with home.acting:
            await act(home)
            home.done[name] += 1


async def ask(home: Home) -> None:
    """What a technician looks at: all of it, and the open cases."""
    await when(home.daemon, lambda status: status["points"], "the status")


async def look_at_page(home: Home) -> None:
    """Another page is opened beside the one that stays: whole, then a while of its stream."""
    for path in ("/", "/now"):
        reader, writer = await _get(home.port, path)
        await reader.read()
        writer.close()
    async with open_page(home.port):
        await asyncio.sleep(3.0)


async def raise_alarm(home: Home) -> None:
    """A leakage of the next board from its raise to the closing of its case."""
    board = home.boards[home.done["alarm"] % len(home.boards)]
    rule = _rule_of(board)
    known = len(home.platform.raises(rule))
    board.truth["residual_current"] = OVER_MA
    await until(
        lambda: len(home.platform.raises(rule)) > known, "the alarm at the platform", PATIENCE_S
    )
    await home.daemon.ask(verb="acknowledge", by="E07", alarm=rule)
    board.truth["residual_current"] = NORMAL_MA
    await when(
        home.daemon,
        lambda s: not any(a["rule"] == rule and a["state"] in ("UA", "AA") for a in s["alarms"]),
        "the end of the alarm",
    )
    await home.daemon.ask(verb="handle", by="E07", case=rule, verdict="test", text="planted")
    await home.daemon.ask(verb="reset", by="E07", alarm=rule)
    await when(home.daemon, lambda s: not any(a["rule"] == rule for a in s["alarms"]), "the reset")


async def hush_device(home: Home) -> None:
    """A device says nothing for a minute: a fault, which goes by itself and is seen to."""
    board = home.boards[-1 - home.done["silence"] % len(home.boards)]
    board.is_silent = True
    await when(home.daemon, lambda s: _faults_of(s, board), "the fault")
    await asyncio.sleep(AWAY_S * home.pace)
    board.is_silent = False
    await see_to_faults(home)


async def stop_broker(home: Home) -> None:
    """No broker for a minute; what came meanwhile is delivered afterwards."""
    home.broker.stop()
    await when(home.daemon, lambda s: not s["link"]["is_up"], "the loss of the link")
    await asyncio.sleep(AWAY_S * home.pace)
    home.broker.start()
    await when(home.daemon, lambda s: s["link"]["is_platform_present"], "the platform")
    await see_to_faults(home)


async def reload(home: Home) -> None:
    """One device stands elsewhere: its bus begins anew."""
    home.daemon.site.write_text(home.site(f"{2 - home.done['reload'] % 2}F"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli.reload", str(home.daemon.socket),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=ROOT,
        env=ENVIRONMENT,
    )  # fmt: skip
    said, _ = await process.communicate()
    if process.returncode:
        raise AssertionError(said.decode())


async def see_to_faults(home: Home) -> None:
    """Somebody acknowledges what there is, also what a busy machine adds; nothing stays open."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        await home.daemon.ask(verb="acknowledge", by="E07")
        status = await home.daemon.ask(verb="status")
        if status is not None and _is_calm(status):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S:.0f} s for calm:\n{home.daemon.log()}")
        await asyncio.sleep(5.0)


ACTS: dict[str, Callable[[Home], Awaitable[None]]] = {
    "ask": ask,
    "page": look_at_page,
    "alarm": raise_alarm,
    "silence": hush_device,
    "broker": stop_broker,
    "reload": reload,
}


# --- the house ----------------------------------------------------------------------------------


@asynccontextmanager
async def open_home(folder: Path, pace: float) -> AsyncIterator[Home]:
    """Daemon and console over 50 breakers, with broker, platform and one page that stays open."""
    boards = [
        lx47le(f"board-{bus * UNITS + unit}", unit)
        for bus in range(BUSES)
        for unit in range(1, UNITS + 1)
    ]
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(Mosquitto())
        ports = []
        for bus in range(BUSES):
            units = by_unit(boards[bus * UNITS : (bus + 1) * UNITS])
            ports.append((await stack.enter_async_context(open_tcp(units))).port)

        def site(place: str) -> str:
            return site_of(ports, broker.url, place)

        platform = await stack.enter_async_context(
            open_platform(folder, broker.url, "platform", "--receipts")
        )
        daemon = await stack.enter_async_context(open_daemon(folder, site("1F")))
        daemon.sync_flag.touch()
        await daemon.start()
        await when(daemon, _is_calm, "a calm house")
        console, port = await stack.enter_async_context(open_console(daemon))
        await stack.enter_async_context(open_page(port))
        processes = {
            "daemon": psutil.Process(daemon.process.pid if daemon.process else None),
            "console": psutil.Process(console),
        }
        yield Home(daemon, platform, broker, boards, site, port, processes, pace)


def site_of(ports: Sequence[int], broker: str, place: str) -> str:
    """Ten breakers a bus, nine points of each every 10 s; the first one stands at `place`."""
    points = ", ".join(f"{name}: {{period: 10s}}" for name in POINTS)
    devices = [
        DEVICE.format(
            number=bus * UNITS + unit, bus=bus, unit=unit, points=points,
            place=place if (bus, unit) == (0, 1) else "1F",
        )
        for bus in range(len(ports))
        for unit in range(1, UNITS + 1)
    ]  # fmt: skip
    buses = [f'  hall-{n}: {{tcp: "127.0.0.1:{port}"}}' for n, port in enumerate(ports)]
    return SITE.format(buses="\n".join(buses), devices="".join(devices), broker=broker)


@asynccontextmanager
async def open_console(daemon: Daemon) -> AsyncIterator[tuple[int, int]]:
    """The console as a process of its own: its pid and its port."""
    log = daemon.folder / "console.log"
    argv = [
        sys.executable, "-m", "gateway", "console", "--listen", "127.0.0.1:0",
        "--socket", str(daemon.console),
    ]  # fmt: skip
    async with running(argv, log, env=ENVIRONMENT) as process:

        def address() -> str:
            return next((line for line in log.read_text().splitlines() if "http://" in line), "")

        said = await until(address, "the console's address")
        yield process.pid, int(said.rstrip("/").rpartition(":")[2])


@asynccontextmanager
async def open_page(port: int) -> AsyncIterator[None]:
    """A page that is open: its stream is read and thrown away."""
    reader, writer = await _get(port, "/events")
    await reader.readuntil(b"event: show")

    async def drop() -> None:
        while await reader.read(65_536):
            pass

    reading = asyncio.create_task(drop())
    try:
        yield
        if reading.done():
            raise AssertionError("the stream ended")
    finally:
        reading.cancel()
        writer.close()


async def _get(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    return reader, writer


async def when(
    daemon: Daemon, holds: Callable[[dict[str, Any]], object], what: str
) -> dict[str, Any]:
    """The first status for which this is so; asked gently, for the machine may be busy for long."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = await daemon.ask(verb="status")
        if status is not None and holds(status):
            return status
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S:.0f} s for {what}:\n{daemon.log()}")
        await asyncio.sleep(0.5)


def _rule_of(board: SimDevice) -> str:
    return f"{board.name}.residual_current/residual_alarm"


def _faults_of(status: dict[str, Any], board: SimDevice) -> bool:
    return any(alarm["rule"].endswith(f"/{board.name}") for alarm in status["alarms"])


def _hour_of(row: dict[str, Sample]) -> float:
    return row["daemon"].at_h


def _say(what: str, value: object) -> None:
    print(f"{what:<58} {value}", flush=True)


def _check(is_kept: bool, promise: str, broken: list[str]) -> None:
    _say(promise, "yes" if is_kept else "NO")
    if not is_kept:
        broken.append(promise)
