"""The whole path over TCP: 50 units behind one bridge, and 50 devices at addresses of their own."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.benchmarks import latency, peak
from scripts.benchmarks.figures import Figure

SHAPES = ((1, 50, "one bridge with 50 units"), (50, 1, "50 devices of their own"))
STARTING_S = 8.0
LOAD = peak.Plan(warm_s=5.0, window_s=10.0)
# fifty boards, and fifty meters of which every register is wanted ten times a second
BOARDS = latency.Plan(alarms=100, registers=9, period_ms=100, is_busy_only=True, are_boards=True)
METERS = latency.Plan(alarms=100, registers=40, period_ms=100, is_busy_only=True)


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: int = 3
    load: peak.Plan = LOAD
    delays: tuple[latency.Plan, ...] = (BOARDS, METERS)
    shapes: tuple[tuple[int, int, str], ...] = SHAPES

    @property
    def takes_s(self) -> float:
        one = 2 * (STARTING_S + self.load.warm_s + self.load.window_s)
        return len(self.shapes) * self.repeats * one + sum(
            STARTING_S + delay.alarms for delay in self.delays
        )


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    """Points a second as fast as they can be read, what they cost, and alarms beside a full load.

    One bridge is asked one question at a time: there the way to it and back is the limit.
    """
    print(f"bench: tcp: about {plan.takes_s / 60:.0f} min", file=sys.stderr, flush=True)
    figures = []
    for buses, units, what in plan.shapes:
        load = replace(plan.load, repeats=plan.repeats, buses=buses, units=units)
        ours, bares = await peak.rates(folder / f"{buses}x{units}", load)
        figures += [
            Figure(f"{what}: points settled (bare: published) per second, one core", "points/s",
                   tuple(rate.per_s for rate in ours), tuple(rate.per_s for rate in bares)),
            Figure(f"{what}: CPU per 1,000 points", "s",
                   tuple(1000 / rate.per_cpu_s for rate in ours),
                   tuple(1000 / rate.per_cpu_s for rate in bares)),
        ]  # fmt: skip
    for delay in plan.delays:
        figures += await latency.measure(folder / f"delay-{delay.registers}", delay)
    return figures
