"""Simulated days on one bus: how much of its promised detection time any alarm took."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.sim.day import line_site, live_through
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.trouble import live_through_trouble, troubles


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: int = 1  # days, each with another seed
    hours: float = 24.0
    bauds: tuple[int, ...] = (2400, 9600, 115200)
    devices: int = 6
    has_trouble: bool = True


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    """A share over 100 %, or an alarm that never came, breaks the promise of `plan`."""
    del folder
    figures = []
    print("bench: day: about 3 min for 24 h at each baud, 1 min for all beyond the hypothesis",
          file=sys.stderr, flush=True)  # fmt: skip
    for baud in plan.bauds:
        site = line_site(plan.devices, baud, plain_points=10)
        days = [
            await asyncio.to_thread(live_through, site, hours=plan.hours, seed=seed)
            for seed in range(plan.repeats)
        ]
        alarms = sum(len(day.raised) for day in days)
        what = f"simulated {plan.hours:g} h, {plan.devices} devices, {baud} baud, {alarms} alarms"
        worst = tuple(100 * day.worst for day in days)
        missed = tuple(float(len(day.missed)) for day in days)
        figures += [
            Figure(f"{what}: worst detection of what plan prints", "%", worst, target=100),
            Figure(f"{what}: later than that", "alarms", missed, target=0),
        ]
        if plan.has_trouble:
            figures += await _beyond(baud)
    return figures


async def _beyond(baud: int) -> list[Figure]:
    """What no plan covers: the right fault within its bound, and no other."""
    found = [await asyncio.to_thread(live_through_trouble, name, baud) for name in troubles(baud)]
    what = f"beyond the hypothesis, {len(found)} kinds, {baud} baud"
    wrong = sum(len(each.missed | each.false) for each in found)
    worst = max(each.worst for each in found)
    return [
        Figure(f"{what}: slowest fault of its bound", "%", (100 * worst,), target=100),
        Figure(f"{what}: missed, late or wrong", "faults", (float(wrong),), target=0),
    ]
