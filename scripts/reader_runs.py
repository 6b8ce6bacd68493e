"""The NFC reader for hours: replugged, killed, stopped; and what an alarm feels of it.

Run with `scripts/soak reader`. Figures on stdout; the promises that were broken come back.
"""

import argparse
import asyncio
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import psutil

from gateway.drivers.clock import mono
from gateway.sim.bus import open_tcp
from gateway.sim.desk_reader import open_desk_reader
from gateway.sim.devices import SimDevice, Tables, Truth, by_unit, lx47le
from gateway.sim.ntag import Ntag
from tests.daemon.rig import open_daemon, until
from tests.daemon.test_reader import BACK_WITHIN_S, House, house, looks

BOARDS = 20  # alarms of each half
OVER_MA = 600.0
KILLS = 20
MOST_MS = 10.0  # design 12: last byte to panel, p99
GONE = "gateway/reader_gone/desk"

SITE = """\
site: {{id: test-house, name: 测试养老院, institution: elder-care}}
self_test: off
buses: {{hall: {{tcp: "127.0.0.1:{port}", timeout: 300ms}}}}
devices:
{devices}
panel: {{red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24, silence: 25}}
reader: {{device: {reader}}}
"""
DEVICE = """\
  board-{unit}:
    {{profile: lingxun-lx47le, bus: hall, unit: {unit}, place: "{unit}", owner: 电工班,
     points: {{residual_current: {{period: 500ms}}}},
     rules: {{residual_warning: {{off: true, basis: test}},
             residual_alarm: {{for: 0s, basis: test}}}}}}
"""


async def reader(options: argparse.Namespace, folder: Path) -> list[str]:
    """Replug and kill the reader, then compare alarms with it well and with it stopped."""
    broken: list[str] = []
    away = folder / "away"
    away.mkdir()
    async with house(away) as home:
        await _replugs(home, options.replugs, broken)
        await _kills(home, broken)
    (folder / "alarms").mkdir()
    await _alarms(folder / "alarms", broken)
    return broken


async def _replugs(home: House, count: int, broken: list[str]) -> None:
    """Unplug and plug in at random moments; a tap must come through afterwards."""
    daemon = psutil.Process(home.daemon.process.pid if home.daemon.process else None)
    random = Random(7)
    files = home.files_of_reader(), daemon.num_fds()
    waits, taps = list[float](), (await home.seen())["taps"]
    for turn in range(count):
        await asyncio.sleep(random.uniform(0, 0.6))
        home.board.unplug()
        await home.when(lambda seen: seen["state"] == "failed", "the failure")
        await asyncio.sleep(random.uniform(0, 2))
        home.board.plug()
        began = time.monotonic()
        await home.is_ready(BACK_WITHIN_S)
        waits.append(time.monotonic() - began)
        home.board.put(Ntag(bytes([4, turn]) + bytes.fromhex("b2c3d4e580")))
        taps += 1
        await home.when(lambda seen, taps=taps: seen["taps"] >= taps, "the tap")  # type: ignore[misc]
        home.board.put(None)
    _say("replugs", count)
    _say("back after, median / longest", _seconds(waits))
    _say("files open, reader and daemon, before", files)
    after = home.files_of_reader(), daemon.num_fds()
    _say("files open, reader and daemon, after", after)
    _check(max(waits) <= BACK_WITHIN_S, f"back within {BACK_WITHIN_S:.0f} s each time", broken)
    leaks = [now - then for then, now in zip(files, after, strict=True)]
    _check(max(leaks) <= 2, "no descriptor leaked", broken)  # one being asked just now


async def _kills(home: House, broken: list[str]) -> None:
    """SIGKILL at random moments, with a tag on the reader; the test is systemd."""
    random, waits = Random(8), list[float]()
    for turn in range(KILLS):
        home.board.put(Ntag(bytes([4, turn]) + bytes.fromhex("c2c3d4e580")))
        await asyncio.sleep(random.uniform(0, 0.5))
        if home.reader is not None:
            home.reader.kill()
            await home.reader.wait()
        began, looked = time.monotonic(), looks(home)
        await home.start_reader()
        await until(lambda looked=looked: looks(home) > looked + 1, "it to look")  # type: ignore[misc]
        waits.append(time.monotonic() - began)
    _say("kills", KILLS)
    _say("reads again after, median / longest", _seconds(waits))
    _check(max(waits) <= BACK_WITHIN_S, f"reads within {BACK_WITHIN_S:.0f} s each time", broken)


async def _alarms(folder: Path, broken: list[str]) -> None:
    """The last byte of the deciding reply to the panel, with a good reader and a stopped one."""
    said: dict[str, int] = {}
    boards = [_telling(unit, said) for unit in range(1, 2 * BOARDS + 1)]
    devices = "".join(DEVICE.format(unit=board.unit) for board in boards)
    with open_desk_reader(folder / "nfc") as desk:
        async with open_tcp(by_unit(boards)) as bus:
            site = SITE.format(port=bus.port, devices=devices, reader=desk.port)
            async with open_daemon(folder, site) as daemon:
                await daemon.start()
                home = House(daemon, desk, boards[0], bus)
                process = await home.start_reader()
                try:
                    await home.is_ready()
                    well, hung = list[float](), list[float]()
                    for number, board in enumerate(boards):  # in turn: both meet the same noise
                        is_hung = number % 2 == 1
                        process.send_signal(signal.SIGSTOP if is_hung else signal.SIGCONT)
                        (hung if is_hung else well).append(await _one(home, board, said))
                    told = await daemon.status_when(
                        lambda s: any(a["rule"] == GONE for a in s["alarms"]), "the fault"
                    )
                finally:
                    process.kill()
                    await process.wait()
    _say("last byte to panel, reader well", _milliseconds(well))
    _say("last byte to panel, reader stopped", _milliseconds(hung))
    later, noise = statistics.median(hung) - statistics.median(well), _noise_of_median(well)
    _say("the median is later by", f"{later:.1f} ms, itself sure to ± {noise:.1f} ms")
    _check(later <= max(MOST_MS / 2, noise), "an alarm feels nothing of it", broken)
    _check(bool(told), "a silent reader is a fault", broken)


def _telling(unit: int, said: dict[str, int]) -> SimDevice:
    """A breaker that notes when it first answered with too much."""
    board = lx47le(f"board-{unit}", unit)
    fill: Callable[[Truth, Random], Tables] = board.fill

    def told(truth: Truth, noise: Random) -> Tables:
        if truth.get("residual_current", 0.0) >= OVER_MA:
            said.setdefault(board.name, mono())
        return fill(truth, noise)

    board.fill = told
    return board


async def _one(home: House, board: SimDevice, said: dict[str, int]) -> float:
    """Plant one, wait for the buzzer, see to it; return ms from its answer to the buzzer."""
    board.truth["residual_current"] = OVER_MA
    since = await until(lambda: said.get(board.name), "its answer")
    heard = await until(
        lambda: [t for t, pin, level in home.daemon.pins(since) if (pin, level) == ("buzzer", 1)],
        "the alarm at the pins",
    )
    await home.daemon.ask(verb="acknowledge", by="E07")
    await home.daemon.status_when(
        lambda status: status["panel"]["signal"]["pattern"] == "-", "it to be quiet"
    )
    return heard[0] - since


def _noise_of_median(waits: list[float]) -> float:
    """Two standard errors, from the quartiles: a busy machine has a long tail."""
    low, _, high = statistics.quantiles(waits, n=4)
    return 2 * 1.25 * (high - low) / 1.35 / len(waits) ** 0.5


def _seconds(waits: list[float]) -> str:
    return f"{statistics.median(waits):.1f} / {max(waits):.1f} s"


def _milliseconds(waits: list[float]) -> str:
    return f"median {statistics.median(waits):.1f} ms, longest {max(waits):.1f} ms of {len(waits)}"


def _say(what: str, value: object) -> None:
    print(f"{what:<58} {value}", flush=True)


def _check(is_kept: bool, promise: str, broken: list[str]) -> None:
    _say(promise, "yes" if is_kept else "NO")
    if not is_kept:
        broken.append(promise)
