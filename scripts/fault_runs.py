"""Faults of store and way up, long: kills, power cuts, errors of the disk, seeded towns, sins."""

import argparse
import asyncio
import random
import re
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from scripts.promises import by_examples, by_tests, check, run_tests, say, seed_of, told_every
from tests.core.test_delivery import Delivering
from tests.core.test_town import SINS, lived
from tests.daemon.chaos import kill_in_houses
from tests.daemon.history import check as compare
from tests.daemon.links import TROUBLES, Trouble
from tests.daemon.rig import open_platform
from tests.daemon.test_kills import one_kill
from tests.partners.broker import Mosquitto
from tests.store.test_seeded_bugs import SEEDS

TOLD_EVERY = 10
DRAINED_WITHIN_S = 60  # field/uplink 6.9, 3
TOLD_WITHIN_MS = 30_000
LATER_WITHIN_MS = {"connected again": 45_000, "stored at the platform": 60_000}  # uplink 6.9, 6
NOTHING_SETTLED_MS = 40_000  # watched for so long
SIN_TESTS = ("tests/core/test_town.py", "tests/store/test_seeded_bugs.py")
SOUNDS_WITHIN_MS = 3_000  # on-delay, two samples and their period, on a busy machine


async def kills(options: argparse.Namespace, folder: Path) -> list[str]:
    """Kill gateway, platform and broker in turn while alarms come; then compare the accounts."""
    seed, broken = seed_of(options), list[str]()
    tell = told_every(50, options.kills)
    rounds = await kill_in_houses(folder, options.kills, seed, options.houses, tell, options.most)
    killed = sum((each.kills for each in rounds), Counter[str]())
    found = [compare(each.history) for each in rounds]
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
    chains = [each.chains for each in rounds if each.chains]
    check(not chains, "hash chains whole, with the platform's heads in them", broken)
    broken += chains
    broken += [each.broken for each in rounds if each.broken]
    return [*broken, *(problem for each in found for problem in each.problems)]


async def moments(options: argparse.Namespace, folder: Path) -> list[str]:
    """Kill the daemon around an alarm, at random moments and inside the commit of the raise."""
    seed, count = seed_of(options), options.moments
    began, tell = time.monotonic(), told_every(TOLD_EVERY, count)
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
