"""How much one core carries: periods so short that the process is never idle.

Daemon or bare loop on one core, everything else on the others.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.house import House
from scripts.benchmarks.rig import (
    World,
    is_at_work,
    open_bare,
    open_gateway,
    open_world,
    pin_to,
    usage_of,
)


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: int = 3
    warm_s: float = 5.0
    window_s: float = 10.0
    buses: int = 10
    units: int = 15
    registers: int = 40
    period_ms: int = 50  # the shortest that the site file allows: 120,000 points/s are asked for


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_cpu_s`: what a core would carry that has nothing else to do."""

    per_s: float
    per_cpu_s: float


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    ours, bares = await rates(folder, plan)
    what = "points settled (bare: published)"
    return [
        Figure(f"{what} per second, one core", "points/s",
               tuple(rate.per_s for rate in ours), tuple(rate.per_s for rate in bares),
               target=50_000, is_floor=True),
        Figure(f"{what} per CPU second, saturated", "points",
               tuple(rate.per_cpu_s for rate in ours), tuple(rate.per_cpu_s for rate in bares),
               target=50_000, is_floor=True),
    ]  # fmt: skip


async def rates(folder: Path, plan: Plan) -> tuple[list[Rate], list[Rate]]:
    """What the daemon and the bare loop carry, in turns."""
    *others, core = sorted(os.sched_getaffinity(0))
    ours, bares = [], []
    async with open_world(
        folder, buses=plan.buses, units=plan.units, registers=plan.registers
    ) as world:
        pin_to([*world.pids, os.getpid()], others or [core])
        for turn in range(plan.repeats):
            house = House(
                world.field.ports, plan.units, plan.registers, plan.period_ms, world.broker,
                f"peak-{turn}",
            )  # fmt: skip
            async with open_gateway(world, house, f"gateway-{turn}", core) as gateway:
                await gateway.status_when(is_at_work)
                ours.append(await _settled_rate(world, house, plan, gateway.process.pid))
            async with open_bare(world, house, f"bare-{turn}", core) as bare:
                bares.append(await _read_rate(world, plan, bare.process.pid))
        pin_to([os.getpid()], [*others, core])
    return ours, bares


async def _settled_rate(world: World, house: House, plan: Plan, pid: int) -> Rate:
    """Over whole seconds of the platform's acknowledgements."""
    await asyncio.sleep(plan.warm_s)
    before, settled = usage_of(pid), world.applied(house.gateway)
    await asyncio.sleep(plan.window_s)
    used = usage_of(pid).since(before)
    points = world.applied(house.gateway) - settled
    return Rate(points / used.at_s, points / used.cpu_s)


async def _read_rate(world: World, plan: Plan, pid: int) -> Rate:
    await asyncio.sleep(plan.warm_s)
    before, registers = usage_of(pid), await world.field.registers()
    await asyncio.sleep(plan.window_s)
    used, points = usage_of(pid).since(before), await world.field.registers() - registers
    return Rate(points / used.at_s, points / used.cpu_s)
