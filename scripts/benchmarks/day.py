"""Simulated days on one bus: how much of its promised detection time any alarm took."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from gateway.sim.day import line_site, live_through
from scripts.benchmarks.figures import Figure


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: int = 1  # days, each with another seed
    hours: float = 24.0
    bauds: tuple[int, ...] = (2400, 9600, 115200)
    devices: int = 6


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    """A share over 100 %, or an alarm that never came, breaks the promise of `plan`."""
    del folder
    figures = []
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
    return figures
