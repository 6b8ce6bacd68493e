"""Bytes written to disk in a day by a small house: 40 points every 10 s.

Several daemons run side by side for as long. To what the kernel counts for each comes what the
next checkpoint of its logs will write, all of which is taken as due to this window: an upper bound.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.house import House
from scripts.benchmarks.rig import (
    Running,
    checkpoint_bytes,
    is_at_work,
    open_gateway,
    open_world,
    usage_of,
)

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: int = 3
    warm_s: float = 15.0
    window_s: float = 200.0
    registers: int = 40
    period_ms: int = 10_000


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    async with open_world(folder, registers=plan.registers) as world, AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(
                open_gateway(
                    world,
                    House(
                        world.field.ports,
                        1,
                        plan.registers,
                        plan.period_ms,
                        world.broker,
                        f"disk-{turn}",
                    ),
                    f"gateway-{turn}",
                    has_pin_log=False,  # no part of the daemon in a house
                )
            )
            for turn in range(plan.repeats)
        ]
        for gateway in gateways:
            await gateway.status_when(is_at_work)
        await asyncio.sleep(plan.warm_s)
        before = [usage_of(gateway.process.pid) for gateway in gateways]
        held = [_checkpoint(gateway) for gateway in gateways]
        await asyncio.sleep(plan.window_s)
        days, counted = [], []
        for gateway, began, at_first in zip(gateways, before, held, strict=True):
            used = usage_of(gateway.process.pid).since(began)
            owed = max(0, _checkpoint(gateway) - at_first)
            days.append((used.written_bytes + owed) * DAY_S / used.at_s / 1e6)
            counted.append(used.written_bytes * DAY_S / used.at_s / 1e6)
    what = f"{plan.registers} points every {plan.period_ms // 1000} s"
    return [
        Figure(f"disk per day, {what}", "MB", tuple(days), target=100.0),
        Figure(f"disk per day, {what}, without the checkpoint's share", "MB", tuple(counted)),
    ]


def _checkpoint(gateway: Running) -> int:
    return checkpoint_bytes(gateway.folder / "store")
