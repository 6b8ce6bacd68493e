"""Long runs by hand (`scripts/soak`): figures on stdout, exit code 1 when a promise was broken."""

import argparse
import asyncio
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from gateway.config.load import load_site
from gateway.sim.bus import open_tcp
from gateway.sim.devices import SimDevice, by_unit, lx47le
from gateway.sim.week import Week, live_week, polled_slower
from scripts.memory_runs import memory
from scripts.month_runs import month
from scripts.reader_runs import reader
from tests.core.life import House
from tests.core.patrol_life import Rounds
from tests.core.test_delivery import Delivering
from tests.core.test_town import SINS, lived
from tests.daemon.chaos import kill_in_houses
from tests.daemon.history import check as compare
from tests.daemon.links import TROUBLES, Trouble
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
from tests.daemon.test_kills import one_kill
from tests.partners.broker import Mosquitto
from tests.store.test_seeded_bugs import SEEDS

OVER_MA, NORMAL_MA = 600.0, 20.0
HUNG_S = 120.0
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0}
ON_DELAY_MS = 500
SOUNDS_WITHIN_MS = 3_000  # on-delay, two samples and their period, on a busy machine
KILLS_A_FOLDER = 10
DRAINED_WITHIN_S = 60  # field/uplink 6.9, 3
TOLD_WITHIN_MS = 30_000
LATER_WITHIN_MS = {"connected again": 45_000, "stored at the platform": 60_000}  # uplink 6.9, 6
NOTHING_SETTLED_MS = 40_000  # watched for so long
CALM_S = 25.0  # between two alarms of one rule: three of them in a minute would chatter
SIN_TESTS = ("tests/core/test_town.py", "tests/store/test_seeded_bugs.py")
WEEK_SITE = Path(__file__).parent / "benchmarks" / "week.site.yaml"


def say(what: str, value: object) -> None:
    print(f"{what:<58} {value}", flush=True)


def check(is_kept: bool, promise: str, broken: list[str]) -> None:
    say(promise, "yes" if is_kept else "NO")
    if not is_kept:
        broken.append(promise)


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


async def kills(options: argparse.Namespace, folder: Path) -> list[str]:
    """Kill gateway, platform and broker in turn while alarms come; then compare the accounts."""
    seed, broken = seed_of(options), list[str]()
    tell = told_every(50, options.kills)
    rounds = await kill_in_houses(folder, options.kills, seed, options.houses, tell, options.most)
    killed = sum((each.kills for each in rounds), Counter[str]())
    found = [compare(each.history) for each in rounds if each.history is not None]
    say("kills", ", ".join(f"{count} {victim}" for victim, count in sorted(killed.items())))
    say("houses side by side", len(rounds))
    say("alarms planted", sum(each.planted for each in found))
    say("  of them over before any disk had them", sum(each.excused for each in found))
    say("records committed", sum(each.committed for each in found))
    say("records applied at the platform", sum(each.applied for each in found))
    say("lost", sum(each.lost for each in found))
    say("duplicates in effect", sum(each.duplicates for each in found))
    drained_s = max(each.drained_s for each in rounds)
    say("all delivered after the last kill", f"{drained_s:.1f} s")
    check(drained_s <= DRAINED_WITHIN_S, f"delivered within {DRAINED_WITHIN_S} s of calm", broken)
    check(not any(each.tracebacks for each in rounds), "no error that nobody expected", broken)
    broken += [each.broken for each in rounds if each.broken]
    return [*broken, *(problem for each in found for problem in each.problems)]


def seed_of(options: argparse.Namespace) -> int:
    """The seed that was asked for, or one that is drawn; said, so that it can be asked for."""
    number = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    say("seed", number)
    return number


def told_every(step: int, of: int) -> Callable[[], None]:
    """Call it once each: it says at every `step` how far it is, and how long one takes."""
    began, number = time.monotonic(), 0

    def tell() -> None:
        nonlocal number
        number += 1
        if number % step == 0:
            each = (time.monotonic() - began) / number
            say("kills so far", f"{number} of {of}, {each:.2f} s each")

    return tell


async def moments(options: argparse.Namespace, folder: Path) -> list[str]:
    """Kill the daemon around an alarm, at random moments and inside the commit of the raise."""
    seed, count = seed_of(options), options.moments
    began, tell = time.monotonic(), told_every(KILLS_A_FOLDER, count)
    broken: list[str] = []

    async def one_street(street: int) -> None:
        dice = random.Random(f"{seed}/{street}")
        here = folder / f"street{street}"
        here.mkdir()
        with Mosquitto() as broker:
            async with open_platform(here, broker.url) as platform:
                for number in range(street, count, options.houses):
                    house = here / str(number)
                    house.mkdir()
                    is_between = number // options.houses % 4 == 0
                    arguments = (f"soak-{number}", dice.uniform(0.0, 1.5), is_between)
                    try:
                        await one_kill(house, broker.url, platform, *arguments)
                    except AssertionError as error:
                        broken.append(f"kill {number} {arguments}: {error}")
                        say(f"kill {number}", f"NO: {error}")
                    tell()

    await asyncio.gather(*(one_street(street) for street in range(options.houses)))
    say("took", f"{time.monotonic() - began:.0f} s")
    return broken


async def links(options: argparse.Namespace, folder: Path) -> list[str]:
    """Brokers and lines that take an alarm and lose it, side by side: how soon people are told."""
    del options
    broken: list[str] = []

    async def one(number: int, name: str, trouble: Trouble) -> None:
        here = folder / str(number)
        here.mkdir()
        seen = await trouble(here, NOTHING_SETTLED_MS)
        times = {"sounded": seen.sounded_ms, "told": seen.told_ms, **seen.later}
        said = ", ".join(f"{what} {ms / 1000:.2f} s" for what, ms in times.items())
        say(name, f"{said}; {seen.told_as}; {seen.settled} settled")
        if seen.settled:
            broken.append(f"{name}: {seen.settled} settled that nobody has")
        bounds = {"sounded": SOUNDS_WITHIN_MS, "told": TOLD_WITHIN_MS, **LATER_WITHIN_MS}
        late = [what for what, ms in times.items() if ms > bounds[what]]
        broken.extend(f"{name}: {what} after {times[what]:.0f} ms" for what in late)

    await asyncio.gather(*(one(n, *each) for n, each in enumerate(TROUBLES.items())))
    check(not broken, f"nothing settled, all told within {TOLD_WITHIN_MS} ms", broken)
    return broken


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


def by_examples(
    machine: type[RuleBasedStateMachine], examples: int, steps: int, options: argparse.Namespace
) -> list[str]:
    """Play a machine in so many examples of so many steps; how it broke, with the steps to it.

    Each process has a seed of its own: the one that is said, the next one ...
    """
    first, began = seed_of(options), time.monotonic()
    share = -(-examples // options.processes)
    with ProcessPoolExecutor(options.processes) as pool:
        played = [
            pool.submit(_play, machine, first + number, share, steps)
            for number in range(options.processes)
        ]
        broken = [what for each in played for what in each.result()]
    taken = f"{share * options.processes:,} in {time.monotonic() - began:.0f} s"
    say(f"examples of {steps} steps", taken)
    return broken


def _play(
    machine: type[RuleBasedStateMachine], number: int, examples: int, steps: int
) -> list[str]:
    try:
        run_state_machine_as_test(
            seed(number)(machine),
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None,
                database=None, suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
    except (AssertionError, ExceptionGroup) as error:  # a group: it broke in more than one way
        return [f"seed {number}: " + "".join(traceback.format_exception(error))]
    return []


def run_tests(
    options: argparse.Namespace, *words: str, **counts: str
) -> subprocess.CompletedProcess[str]:
    """Run tests side by side, with what they take from the environment."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(options.processes), *words]
    environment = {**os.environ, **counts}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def by_tests(path: str, name: str, options: argparse.Namespace, **counts: int) -> list[str]:
    """Run tests that take their count from the environment; what they say when one fails."""
    ((variable, count),) = counts.items()
    began = time.monotonic()
    done = run_tests(options, "-x", path, "-k", name, **{variable: str(count)})
    say(f"{path}, {variable.lower()}", f"{count:,} in {time.monotonic() - began:.0f} s")
    lines = done.stdout.strip().splitlines()
    say("pytest says", lines[-1] if lines else done.stderr[-300:])
    return [] if done.returncode == 0 else ["\n".join(lines[-15:])]


async def power(options: argparse.Namespace, folder: Path) -> list[str]:
    """The power goes at any write or sync, under each schema; the test checks itself as well."""
    del folder
    return by_tests("tests/store/test_power_cut.py", "test", options, POWER_CUTS=options.cuts)


async def io(options: argparse.Namespace, folder: Path) -> list[str]:
    """Every write below SQLite and every statement above it fails once."""
    del folder
    return by_tests("tests/store/test_io_errors.py", "fail_once", options, IO_STEP=1)


async def bits(options: argparse.Namespace, folder: Path) -> list[str]:
    """One bit of a file flips, anywhere; a sixteenth as often under a store that starts."""
    del folder
    return by_tests("tests/store/test_salvage.py", "flipped", options, BIT_FLIPS=options.flips)


async def towns(options: argparse.Namespace, folder: Path) -> list[str]:
    """Seeded towns in simulated time: everything goes wrong, then all must be delivered."""
    del folder
    first, began = options.seed or 0, time.monotonic()
    seeds = range(first, first + options.towns)
    broken, planted, committed = list[str](), 0, 0
    with ProcessPoolExecutor(options.processes) as pool:
        for number, found in enumerate(pool.map(lived, seeds, chunksize=20), first):
            planted, committed = planted + found.planted, committed + found.committed
            broken += [f"seed {number}: {problem}" for problem in found.problems]
    say("towns", f"seeds {first} to {seeds[-1]} in {time.monotonic() - began:.0f} s")
    say("alarms planted, records committed", f"{planted:,}, {committed:,}")
    check(planted > 10 * len(seeds) and committed > 100 * len(seeds), "enough happened", broken)
    return broken


async def outbox(options: argparse.Namespace, folder: Path) -> list[str]:
    """Any order of link loss, codes, acks and crashes, 50 steps an example."""
    del folder
    return by_examples(Delivering, options.examples, 50, options)


async def sins(options: argparse.Namespace, folder: Path) -> list[str]:
    """Known sins, put back one at a time: by what each is found."""
    del folder
    delivery = {sin.__name__: f"the checker says {said}" for sin, said in SINS.items()}
    store = {sin.__name__: finder.__name__ for sin, finder in SEEDS}
    done = run_tests(options, "-rA", "-k", "known_sin", *SIN_TESTS)
    verdicts = re.findall(r"^(PASSED|FAILED|ERROR) \S+\[(\w+)\]", done.stdout, re.MULTILINE)
    found = {sin for verdict, sin in verdicts if verdict == "PASSED"}
    broken: list[str] = []
    for what, table in (("delivery", delivery), ("store", store)):
        for sin, finder in table.items():
            say(sin.replace("_", " ").strip(), finder if sin in found else "NOT FOUND")
        count = len(found & table.keys())
        check(count == len(table), f"{what}: {count} of {len(table)} found", broken)
    return broken


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
