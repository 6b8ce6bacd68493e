"""`scripts/bench`: measure, print the figures as a Markdown table, and how busy the machine was."""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.benchmarks import (
    bus,
    console,
    day,
    disk,
    drain,
    engine,
    latency,
    overtake,
    panel,
    path,
    peak,
    start,
    tcp,
)
from scripts.benchmarks.figures import Figure, as_json, table
from scripts.benchmarks.precedence import precedence
from scripts.benchmarks.rig import CannotMeasure

Measure = Callable[[Path, Any], Awaitable[list[Figure]]]

BENCHMARKS: dict[str, tuple[Measure, Any, Any]] = {  # name -> what, whole plan, quick plan
    "engine": (engine.measure, engine.Plan(), engine.Plan(repeats=5, reads=400)),
    "start": (start.measure, start.Plan(), start.Plan(repeats=3)),
    "panel": (panel.measure, panel.Plan(), panel.Plan(window_s=4.0)),
    "path": (path.measure, path.Plan(), path.Plan(repeats=1, warm_s=20, window_s=15)),
    "peak": (peak.measure, peak.Plan(), peak.Plan(repeats=1, window_s=6)),
    "latency": (latency.measure, latency.Plan(), latency.Plan(alarms=30)),
    "tcp": (
        tcp.measure,
        tcp.Plan(),
        tcp.Plan(
            1,
            peak.Plan(warm_s=3.0, window_s=6.0),
            tuple(replace(delay, alarms=30) for delay in (tcp.BOARDS, tcp.METERS)),
        ),
    ),
    "bus": (bus.measure, bus.Plan(), bus.QUICK),
    "day": (day.measure, day.Plan(), day.Plan(hours=0.25)),
    "drain": (
        drain.measure,
        drain.Plan(),
        drain.Plan(repeats=1, shapes=((5_000, 40), (1_000, 1_000))),
    ),
    "overtake": (overtake.measure, overtake.Plan(), overtake.Plan(alarms=15, batches=100)),
    "console": (console.measure, console.Plan(), console.Plan(alarms=15)),
    "disk": (disk.measure, disk.Plan(), disk.Plan(repeats=2, window_s=60)),
}


def machine() -> str:
    """The machine in one line, without its name."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} × {cpu}, {memory_gib:.0f} GiB, "
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def load() -> str:
    return "load average {:.2f} {:.2f} {:.2f}".format(*os.getloadavg())


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer repeats, shorter windows")
    parser.add_argument("--repeats", type=int, help="so many repeats instead")
    parser.add_argument("--folder", type=Path, help="where the databases lie while measuring")
    parser.add_argument("--json", type=Path, help="write all samples into this file")
    parser.add_argument(
        "--first", action="store_true", help="go before all else on a busy machine; needs root"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    return options


async def run(options: argparse.Namespace) -> tuple[list[Figure], list[str]]:
    """Return the figures, and the benchmarks that could not be made."""
    figures: list[Figure] = []
    failed = []
    for name in options.names or BENCHMARKS:
        measure, whole, quick = BENCHMARKS[name]
        plan = quick if options.quick else whole
        if options.repeats and hasattr(plan, "repeats"):
            plan = replace(plan, repeats=options.repeats)
        print(f"bench: {name}: {plan}; {load()}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
            try:
                found = await measure(Path(folder) / name, plan)
            except CannotMeasure as why:
                print(f"bench: {name}: {why}", file=sys.stderr, flush=True)
                failed.append(name)
                continue
        figures += found
        print(table(found), file=sys.stderr, flush=True)
    return figures, failed


def main() -> int:
    options = parse()
    before = load()
    with precedence() if options.first else nullcontext():
        figures, failed = asyncio.run(run(options))
    first = ", with precedence" if options.first else ""
    print(f"{machine()}; {before} before, {load()} after{first}\n")
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(as_json(figures), indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
