"""The bus engine against its wire: right, near the physical limit, and back after every pull.

python -m scripts.benchmarks.bus --late 1000000     simulated transactions, values and replies
python -m scripts.benchmarks.bus --sweep            real time, on paced pseudo-terminals: 8 minutes
python -m scripts.benchmarks.bus --replug           the same: half a minute
python -m scripts.benchmarks.bus --quick            all of it, in about a minute
"""

import argparse
import asyncio
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import median

from scripts.benchmarks import transactions as wire
from scripts.benchmarks.figures import Figure, table
from scripts.benchmarks.replug import replug
from scripts.benchmarks.sweep import DEVICES, period_s, stretch, sweep, takes_s
from scripts.benchmarks.transactions import Tally, transact

BAUDS = {2400: 0.95, 9600: 0.95, 115200: 0.85}  # the least share of the limit: design 12
DEAD = 3
CRC_MISSES = 2.0**-16  # of frames that are random


@dataclass(frozen=True, slots=True)
class Plan:
    late: int = 1_000_000
    bare: int = 200_000
    garbage: int = 50_000
    sweeps: int = 5
    periods: int = 20  # at least, and as many as go into:
    window_s: float = 40.0
    replugs: int = 50


QUICK = Plan(late=20_000, bare=20_000, garbage=5_000, sweeps=1, periods=4, window_s=0, replugs=5)


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    """All of it, for scripts/bench. `folder` is made."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(max_workers=1) as pool:  # simulated time has a loop of its own
        figures = await loop.run_in_executor(pool, simulated, plan)
    figures += await swept(folder, plan)
    figures += await replugged(folder, plan)
    return figures


def simulated(plan: Plan) -> list[Figure]:
    """What a million transactions on a bad wire bring, beside plain pymodbus."""
    late = transact(plan.late, wire.LATE)
    bare = transact(plan.bare, wire.LATE, is_bare=True)
    mixed = transact(plan.bare, wire.ALL)
    damaged = transact(plan.bare, wire.DAMAGED)
    garbage = transact(plan.garbage, wire.GARBAGE_BEFORE)
    bare_garbage = transact(plan.garbage, wire.GARBAGE_BEFORE, is_bare=True)
    for name, tally in (("late", late), ("bare, late", bare), ("everything", mixed),
                        ("damaged", damaged), ("garbage before", garbage)):  # fmt: skip
        _say(f"{name}: {tally}")
    return [
        _wrong("late replies up to late_max", late, bare, most=0),
        _wrong("late, silent, noisy and damaged", mixed, None, most=misses(mixed)),
        _wrong("half of the replies damaged at random", damaged, None, most=misses(damaged)),
        Figure("reply behind 1-20 garbage bytes: kept", "%", (kept(garbage),),
               (kept(bare_garbage),), target=95, is_floor=True),
    ]  # fmt: skip


def misses(tally: Tally) -> int:
    """The most wrong replies that CRC-16 explains: expected number and four deviations.

    A damaged frame that is random passes in one of 65,536 cases. Of the damage drawn here, less
    than four bits or one burst of up to 16 bits never pass, so that this is an upper bound.
    """
    expected = tally.damaged * CRC_MISSES
    return int(expected + 4 * sqrt(expected) + 1)


def kept(tally: Tally) -> float:
    return 100 * (tally.answered + tally.refused) / tally.transactions


def _wrong(name: str, ours: Tally, bare: Tally | None, most: float) -> Figure:
    def share(tally: Tally) -> float:
        return 1e6 * (tally.wrong + tally.stale) / tally.transactions

    what = f"{ours.transactions:,} transactions, {name}: wrong or stale replies"
    target = 1e6 * most / ours.transactions
    return Figure(f"{what} in a million", "", (share(ours),), (share(bare),) if bare else (),
                  target=target)  # fmt: skip


async def swept(folder: Path, plan: Plan) -> list[Figure]:
    """Each baud takes what it takes: at 2400, 20 periods are two minutes."""
    periods = {baud: max(plan.periods, round(plan.window_s / period_s(baud))) for baud in BAUDS}
    takes = sum(2 * takes_s(baud, plan.sweeps, n) for baud, n in periods.items())
    _say(f"the sweep takes {takes / 60:.0f} min")
    figures = []
    for baud, target in BAUDS.items():
        shares = await sweep(folder, baud, plan.sweeps)
        _say(f"{baud}: of the limit " + ", ".join(f"{share:.3f}" for share in shares))
        figures.append(
            Figure(f"RTU sweep at {baud}: of what the wire allows", "%",
                   tuple(100 * share for share in shares), target=100 * target, is_floor=True)
        )  # fmt: skip
        figures += await _stretched(folder, baud, periods[baud])
    return figures


async def _stretched(folder: Path, baud: int, periods: int) -> list[Figure]:
    """The slowest living device's mean period; one interval alone holds a probe at worst."""
    found = []
    for dead in (0, DEAD):
        found.append(await stretch(folder, baud, dead, periods))
        means = [f"{1000 * mean:.0f}" for mean in found[-1].means]
        _say(f"{baud}, {dead} dead, {periods} periods of {1000 * period_s(baud):.0f} ms: "
             f"means {', '.join(means)}, longest {1000 * found[-1].longest:.0f}")  # fmt: skip
    calm, dying = found
    what = f"{DEAD} of {DEVICES} devices dead at {baud}: period of the living"
    return [
        Figure(f"{what}, slowest device's mean", "ms", (1000 * max(dying.means),),
               (1000 * max(calm.means),), target=1.15, is_ratio=True),
        Figure(f"{what}, longest interval", "ms", (1000 * dying.longest,),
               (1000 * calm.longest,)),
    ]  # fmt: skip


def _say(what: str) -> None:
    print(f"bus: {what}", file=sys.stderr, flush=True)


async def replugged(folder: Path, plan: Plan) -> list[Figure]:
    found = await replug(folder / "replug", plan.replugs)
    _say(f"replug: median {median(found.back_s):.2f} s")
    what = f"unplugged and replugged {plan.replugs} times"
    return [
        Figure(f"{what}: back after, the worst", "s", (max(found.back_s),), target=5),
        Figure(f"{what}: descriptors and tasks left", "",
               (float(found.descriptors_left + found.tasks_left),), target=0),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--late", type=int, metavar="N", help="so many late-reply transactions")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--replug", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    plan = QUICK if options.quick else Plan()
    is_all = not (options.late or options.sweep or options.replug)
    figures: list[Figure] = []
    if options.late:
        plan = Plan(options.late, min(options.late, plan.bare), min(options.late, plan.garbage))
    if is_all or options.late:
        figures += simulated(plan)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if is_all or options.sweep:
            figures += asyncio.run(swept(Path(folder), plan))
        if is_all or options.replug:
            figures += asyncio.run(replugged(Path(folder), plan))
    print(table(figures))
    return 0 if all(figure.is_met is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
