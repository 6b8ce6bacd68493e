"""The Modbus door alone, words out, beside bare pymodbus: TCP, in turns, in one process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pymodbus.client import AsyncModbusTcpClient

from gateway.domain.points import Table
from gateway.domain.site import Bus, TcpLink
from gateway.drivers.modbus import open_bus
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rig import new_folder, open_field

Read = Callable[[], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: int = 11
    reads: int = 1_000
    registers: int = 40


@dataclass(frozen=True, slots=True)
class Rate:
    per_s: float
    per_cpu_s: float


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    new_folder(folder)
    ours, bares = [], []
    async with open_field(folder, 1, 1, plan.registers) as field:
        port, count = field.ports[0], plan.registers
        client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0)
        await client.connect()
        async with open_bus(Bus("bench", TcpLink("127.0.0.1", port))) as door:

            async def read_door() -> list[int]:
                return await door.read(1, Table.INPUT, 0, count, 1_000)

            async def read_bare() -> list[int]:
                reply = await client.read_input_registers(0, count=count, device_id=1)
                return list(reply.registers)

            for read in (read_door, read_bare):
                await _rate(read, plan.reads // 4)
            for _ in range(plan.repeats):
                ours.append(await _rate(read_door, plan.reads))
                bares.append(await _rate(read_bare, plan.reads))
        client.close()
    what = f"engine alone, {plan.registers} words a read, TCP"
    return [
        Figure(f"{what}: per second", "reads/s", tuple(rate.per_s for rate in ours),
               tuple(rate.per_s for rate in bares), target=0.8, is_ratio=True, is_floor=True),
        Figure(f"{what}: per CPU second", "reads", tuple(rate.per_cpu_s for rate in ours),
               tuple(rate.per_cpu_s for rate in bares)),
    ]  # fmt: skip


async def _rate(read: Read, reads: int) -> Rate:
    await asyncio.sleep(0)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(reads):
        await read()
    return Rate(reads / (time.perf_counter() - began), reads / (time.process_time() - cpu))
