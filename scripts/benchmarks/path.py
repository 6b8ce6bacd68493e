"""The whole path at a steady load: memory, CPU time and disk bytes, beside the bare loop."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.house import House
from scripts.benchmarks.rig import (
    CannotMeasure,
    Usage,
    World,
    is_at_work,
    memory_mib,
    open_bare,
    open_gateway,
    open_world,
    until,
    usage_of,
)


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: int = 3
    warm_s: float = 5.0
    window_s: float = 30.0
    buses: int = 5
    units: int = 10
    registers: int = 40
    period_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class Window:
    """What one process used for so many points, and the memory it holds at the end."""

    points: int
    used: Usage
    rss_mib: float
    pss_mib: float

    @property
    def cpu_per_1000(self) -> float:
        return self.used.cpu_s * 1000 / self.points

    @property
    def bytes_per_1000(self) -> float:
        return self.used.written_bytes / self.points


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    ours, bares = [], []
    async with open_world(
        folder, buses=plan.buses, units=plan.units, registers=plan.registers
    ) as world:
        for turn in range(plan.repeats):
            house = House(
                world.field.ports, plan.units, plan.registers, plan.period_ms, world.broker,
                f"path-{turn}",
            )  # fmt: skip
            if turn == 0:
                await _fill_caches(world, house)
            ours.append(await _gateway_window(world, house, plan, f"gateway-{turn}"))
            bares.append(await _bare_window(world, house, plan, f"bare-{turn}"))
    rate = 1000 / plan.period_ms * plan.buses * plan.units * plan.registers
    what = f"{plan.buses * plan.units} devices × {plan.registers} points, {rate:,.0f} points/s"
    return [
        Figure(f"resident memory (RSS), {what}", "MiB", *_both(ours, bares, "rss_mib"), target=60),
        Figure(f"proportional memory (PSS), {what}", "MiB", *_both(ours, bares, "pss_mib")),
        Figure(
            f"CPU per 1,000 points, {what}", "s", *_both(ours, bares, "cpu_per_1000"),
            target=2.0, is_ratio=True,
        ),
        Figure(
            f"disk per 1,000 points, {what}", "kB",
            tuple(window.bytes_per_1000 for window in ours), target=20.0,
        ),
    ]  # fmt: skip


def _both(
    ours: list[Window], bares: list[Window], name: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(getattr(w, name) for w in ours), tuple(getattr(w, name) for w in bares)


async def _fill_caches(world: World, house: House) -> None:
    """Start once without measuring: who compiles its own modules holds more memory afterwards."""
    async with open_gateway(world, replace(house, gateway="warm"), "warm") as gateway:
        await gateway.status_when(is_at_work)


async def _gateway_window(world: World, house: House, plan: Plan, name: str) -> Window:
    async with open_gateway(world, house, name) as gateway:
        await gateway.status_when(is_at_work)
        window = await _window(world, plan, gateway.process.pid)
        await until(
            lambda: world.applied(house.gateway) >= window.points,
            f"{window.points} points to be settled",
        )
        return window


async def _bare_window(world: World, house: House, plan: Plan, name: str) -> Window:
    async with open_bare(world, house, name) as bare:
        return await _window(world, plan, bare.process.pid)


async def _window(world: World, plan: Plan, pid: int) -> Window:
    await asyncio.sleep(plan.warm_s)
    before, registers = usage_of(pid), await world.field.registers()
    await asyncio.sleep(plan.window_s)
    used, points = usage_of(pid).since(before), await world.field.registers() - registers
    if not points:
        raise CannotMeasure("nothing was read")
    return Window(points, used, *memory_mib(pid))
