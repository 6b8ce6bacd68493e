"""Long runs by hand (`scripts/soak`): figures on stdout, exit code 1 when a promise was broken."""

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil

from gateway.config.load import load_site
from gateway.sim.bus import open_tcp
from gateway.sim.devices import SimDevice, by_unit, lx47le
from gateway.sim.week import Week, live_week, polled_slower
from scripts.fault_runs import bits, io, kills, links, moments, outbox, power, sins, towns
from scripts.memory_runs import memory
from scripts.month_runs import month
from scripts.promises import by_examples, check, say
from scripts.reader_runs import reader
from tests.core.life import House
from tests.core.patrol_life import Rounds
from tests.daemon.rig import (
    LEAK,
    Daemon,
    Platform,
    boot_ms,
    key_of,
    open_daemon,
    open_platform,
    site_of,
    until,
)
from tests.partners.broker import Mosquitto

OVER_MA, NORMAL_MA = 600.0, 20.0
HUNG_S = 120.0
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0}
ON_DELAY_MS = 500
SOUNDS_WITHIN_MS = 3_000  # on-delay, two samples and their period, on a busy machine
CALM_S = 25.0  # between two alarms of one rule: three of them in a minute would chatter
WEEK_SITE = Path(__file__).parent / "benchmarks" / "week.site.yaml"


async def writer(options: argparse.Namespace, folder: Path) -> list[str]:
    """Hang core.db's commits while leakages come and go; then let it go on."""
    board, broken, waits = lx47le("board", 3), list[str](), list[float]()
    seconds = options.seconds or HUNG_S
    release = folder / "release"
    with Mosquitto() as broker:
        site = site_of(0, broker=broker.url, gateway="soak-01")
        async with (
            open_tcp(by_unit([board])) as bus,
            open_platform(folder, broker.url) as platform,
            open_daemon(folder, site.replace("127.0.0.1:0", f"127.0.0.1:{bus.port}")) as daemon,
        ):
            await daemon.start(f"block=core.db={release}")
            await daemon.status_when(lambda s: s["link"]["is_platform_present"], "the platform")
            process = psutil.Process(daemon.process.pid if daemon.process else None)
            before, end = process.memory_info().rss, time.monotonic() + seconds
            while time.monotonic() < end:
                waits.append(await _one_alarm(board, daemon, len(waits) + 1, platform))
                await asyncio.sleep(CALM_S)
            status = await daemon.status_when(lambda _: True, "the status")
            hung, grown = status["store"]["core.db"], process.memory_info().rss - before
            say("core.db hung for", f"{seconds:.0f} s, {hung['queued']} records waiting")
            release.touch()
            began = time.monotonic()
            await daemon.status_when(
                lambda s: (
                    s["lanes"]["A"]["unsettled"] == 0 and s["store"]["core.db"]["queued"] == 0
                ),
                "the disk and the platform",
            )
            say("settled after the disk came back", f"{time.monotonic() - began:.1f} s")
            code = await daemon.stop()
        kept = [b for b in daemon.records() if (b.get("rule"), b.get("tr")) == (LEAK, "raise")]
        applied = platform.raises(LEAK)
        say("alarms planted", len(waits))
        say(
            "plant to buzzer, median / longest",
            f"{statistics.median(waits):.0f} / {max(waits):.0f} ms",
        )
        say("memory grown meanwhile", f"{grown / 2**20:.1f} MiB")
        check(
            max(waits) <= SOUNDS_WITHIN_MS,
            f"every alarm sounded within {SOUNDS_WITHIN_MS} ms",
            broken,
        )
        check(not hung["is_healthy"], "the hung disk was a fault", broken)
        check(len(kept) == len(waits), "every raise is on the disk, once", broken)
        check(len(applied) == len(waits), "every raise took effect at the platform, once", broken)
        check(
            not any(b.get("durable", True) for b in applied), "all came from memory first", broken
        )
        check(
            {key_of(b) for b in kept} == {key_of(b) for b in applied}, "under the same ids", broken
        )
        check(code == 0, "the daemon ended well", broken)
    return broken


async def _one_alarm(board: SimDevice, daemon: Daemon, number: int, platform: Platform) -> float:
    """Plant a leakage, wait for buzzer and platform, undo it; return ms to the buzzer."""
    since = boot_ms()
    board.truth["residual_current"] = OVER_MA
    await until(lambda: daemon.has_sounded_alarm(since), "the alarm at the pins")
    sounded = next(t for t, pin, level in daemon.pins(since) if (pin, level) == ("red", 1))
    await until(lambda: len(platform.raises(LEAK)) >= number, "the alarm at the platform")
    await daemon.ask(verb="acknowledge", by="E07", alarm=LEAK)
    board.truth["residual_current"] = NORMAL_MA
    await daemon.status_when(
        lambda s: not any(a["rule"] == LEAK and a["state"] in ("UA", "AA") for a in s["alarms"]),
        "the end of the alarm",
    )
    await daemon.ask(verb="handle", by="E07", case=LEAK, verdict="test", text="planted")
    await daemon.ask(verb="reset", by="E07", alarm=LEAK)
    await daemon.status_when(lambda s: not any(a["rule"] == LEAK for a in s["alarms"]), "the reset")
    return sounded - since


async def week(options: argparse.Namespace, folder: Path) -> list[str]:
    """Simulated weeks in a home of ten devices, with 20 incidents each: seeds 1, 2 ..."""
    del folder
    broken = list[str]()
    seeds = range(1, options.weeks + 1)
    with ProcessPoolExecutor() as pool:
        for seed, week in zip(seeds, pool.map(one_week, seeds), strict=True):
            raised = [each.took_ms / each.planned_ms for each in week.raised if each.took_ms]
            say(
                f"week {seed}: {len(week.raised)} alarms, warnings and faults due",
                f"{len(week.late)} late or missing, slowest at {max(raised):.0%} of its time; "
                f"{len(week.false_alarms)} false alarms, {week.warnings_a_day:.2f} false warnings "
                f"a day; {week.reads:,} reads, {week.disturbances} disturbances, "
                f"faults of its own {week.own_faults}",
            )
            broken += [f"week {seed}: {each}" for each in (*week.late, *week.false_alarms)]
            if week.warnings_a_day > 1:
                broken.append(f"week {seed}: {week.false_warnings}")
    return broken


def one_week(seed: int) -> Week:
    """One week with no point polled more often than every 10 s: it takes minutes as it is."""
    site = load_site(WEEK_SITE, store_dir=Path("unused")).site
    if site is None:
        raise ValueError(f"{WEEK_SITE} is not accepted")
    return live_week(polled_slower(site, 10_000), seed=seed)


async def life(options: argparse.Namespace, folder: Path) -> list[str]:
    """Anything in any order, 50 steps an example: see `tests.core.life` for what must be true."""
    del folder
    return by_examples(House, options.examples, 50, options)


async def patrol(options: argparse.Namespace, folder: Path) -> list[str]:
    """Schedules, taps, restarts and clocks in any order: see `tests.core.patrol_life`."""
    del folder
    return by_examples(Rounds, options.patrols, 30, options)


RUNS: dict[str, Callable[[argparse.Namespace, Path], Awaitable[list[str]]]] = {
    "writer": writer,
    "kills": kills,
    "moments": moments,
    "links": links,
    "power": power,
    "io": io,
    "bits": bits,
    "towns": towns,
    "outbox": outbox,
    "sins": sins,
    "life": life,
    "week": week,
    "patrol": patrol,
    "reader": reader,
    "memory": memory,
    "month": month,
}


def duration(text: str) -> float:
    """Seconds of `120`, `120s`, `15m` or `2h`."""
    return float(text.rstrip("smh")) * UNITS_S[text[-1] if text[-1] in UNITS_S else "s"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="run", help=f"of {', '.join(RUNS)}; default all")
    parser.add_argument(
        "--for", dest="seconds", type=duration,
        help="how long the disk hangs (120s), how long the memory is watched (2h)",
    )  # fmt: skip
    parser.add_argument("--kills", default=300, type=int, help="how many of all three (300)")
    parser.add_argument(
        "--most", default=float("inf"), type=lambda text: float(text.rstrip("s")),
        help="begin no more kills after so long (900s); what was done is judged",
    )  # fmt: skip
    parser.add_argument("--moments", default=100, type=int, help="how many of the daemon (100)")
    parser.add_argument("--cuts", default=100_000, type=int, help="of the power (100000)")
    parser.add_argument("--flips", default=1_000, type=int, help="of a bit (1000)")
    parser.add_argument("--towns", default=10_000, type=int, help="how many seeds (10000)")
    parser.add_argument("--weeks", default=10, type=int, help="how many simulated weeks (10)")
    parser.add_argument("--days", default=30, type=int, help="of the simulated month (30)")
    parser.add_argument("--replugs", default=50, type=int, help="of the reader (50)")
    parser.add_argument("--patrols", default=1_000, type=int, help="examples of patrol (1000)")
    parser.add_argument("--examples", default=10_000, type=int, help="of life and outbox (10000)")
    parser.add_argument("--houses", default=3, type=int, help="side by side, of kills, moments (3)")
    parser.add_argument(
        "--processes", default=os.cpu_count() or 1, type=int,
        help="of power, io, towns, outbox, life, patrol (one a core)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="without it one is drawn and printed")
    arguments = parser.parse_args()
    if unknown := set(arguments.runs) - set(RUNS):
        parser.error(f"no such run: {', '.join(sorted(unknown))}")
    broken = []
    for name in arguments.runs or RUNS:
        print(f"=== {name}", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="soak-"))
        found = asyncio.run(RUNS[name](arguments, folder))
        broken.extend(f"{name}: {what}" for what in found)
        if found and any(folder.iterdir()):
            say("what the run left behind is kept in", folder)
        else:
            shutil.rmtree(folder)
    for each in broken:
        print(f"broken: {each}")
    print(f"=== {'all promises kept' if not broken else f'{len(broken)} broken'}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
