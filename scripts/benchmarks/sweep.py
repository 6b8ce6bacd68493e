"""RTU sweeps on a paced pseudo-terminal: how near to the limit, and what the dead cost."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gateway.core.blocks import ReadBlock
from gateway.core.schedule import Schedule
from gateway.domain.errors import DeviceSilent
from gateway.domain.events import BlockRead
from gateway.domain.points import Table
from gateway.domain.site import Bus, SerialLine
from gateway.drivers.modbus import open_bus
from gateway.tasks.poll import poll_bus
from scripts.benchmarks.rig import CannotMeasure

DEVICES, REGISTERS = 10, 40
THINK_S = 0.02  # a device's own time, after the 3.5 characters by which it knows a request's end
REQUEST_BYTES, REPLY_BYTES = 8, 5 + 2 * REGISTERS
BUSY_MS = 1_000  # a machine that stands still makes a sweep slow, and does not end it
LOAD = 0.8  # of the bus, in the run with dead devices
SETTLED_AFTER_S = 4.0  # and a period: the dead are known to be dead


def limit_s(line: SerialLine) -> float:
    """The shortest possible time of one read: request, turnaround, reply and one gap."""
    chars_ms = (REQUEST_BYTES + REPLY_BYTES) * line.char_ms
    turnaround_ms = line.t35_ms + 1000 * THINK_S
    return (chars_ms + turnaround_ms + line.t35_ms) / 1000


@asynccontextmanager
async def open_line(folder: Path, baud: int, dead: int = 0) -> AsyncIterator[SerialLine]:
    """Run the simulated line in its own process; ends with it."""
    port = folder / "adapter"
    arguments = {"port": port, "baud": baud, "devices": DEVICES, "dead": dead}
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.benchmarks.line", *flags, f"--turnaround-s={THINK_S}",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        if process.stdout is None or await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the simulated line did not start")
        yield SerialLine(str(port), baud=baud)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def sweep(folder: Path, baud: int, sweeps: int) -> list[float]:
    """Return for each sweep over all devices the share of the physical limit that it reached."""
    shares = []
    async with open_line(folder, baud) as line, open_bus(Bus("sweep", line)) as door:
        patience_ms = BUSY_MS + round(3000 * limit_s(line))
        await door.read(1, Table.INPUT, 0, REGISTERS, patience_ms)
        for _ in range(sweeps):
            began = time.perf_counter()
            for unit in range(1, DEVICES + 1):
                await door.read(unit, Table.INPUT, 0, REGISTERS, patience_ms)
            shares.append(DEVICES * limit_s(line) / (time.perf_counter() - began))
    return shares


def period_s(baud: int) -> float:
    """The period at which all devices together take `LOAD` of the bus."""
    return DEVICES * limit_s(SerialLine("any", baud=baud)) / LOAD


def takes_s(baud: int, sweeps: int, periods: int) -> float:
    """About how long `sweep` and one `stretch` take."""
    one = limit_s(SerialLine("any", baud=baud))
    return (sweeps * DEVICES + 1) * one + SETTLED_AFTER_S + (periods + 1) * period_s(baud)


@dataclass(frozen=True, slots=True)
class Stretched:
    """`means`: the mean period of each living device; `longest`: its longest interval. Seconds."""

    means: tuple[float, ...]
    longest: float


async def stretch(folder: Path, baud: int, dead: int, periods: int) -> Stretched:
    """Return how often the living devices are read, polled as the daemon does, at `LOAD`.

    What passes before the dead are known to be dead is not counted.
    """
    reads: dict[str, list[float]] = {}
    period = period_s(baud)
    async with open_line(folder, baud, dead) as line, open_bus(Bus("sweep", line)) as door:
        bus = Bus("sweep", line)
        settled_at = time.monotonic() + SETTLED_AFTER_S + period

        async def read(block: ReadBlock, timeout: int) -> Sequence[int]:
            return await door.read(block.unit, block.table, block.start, block.count, timeout)

        async def put(event: BlockRead) -> None:
            if event.failure is None and time.monotonic() > settled_at:
                reads.setdefault(event.device, []).append(time.monotonic())

        schedule = Schedule(
            bus,
            [_block(unit, period) for unit in range(1, DEVICES + 1)],
            _mono_ms(),
            hold_ms=lambda block: door.hold_ms(block.unit, block.table, block.count),
        )
        polling = asyncio.create_task(
            poll_bus(
                schedule,
                read=read,
                put=put,
                clock=_mono_ms,
                sleep_until=_sleep_until,
                beat=_no_beat,
            )
        )
        await asyncio.sleep(SETTLED_AFTER_S + (periods + 1) * period)
        polling.cancel()
        with suppress(asyncio.CancelledError, DeviceSilent):
            await polling
    living = [reads.get(f"d{unit}", []) for unit in range(dead + 1, DEVICES + 1)]
    if any(len(times) < 2 for times in living):
        raise CannotMeasure("a living device was hardly read")
    return Stretched(
        tuple((times[-1] - times[0]) / (len(times) - 1) for times in living),
        max(b - a for times in living for a, b in pairwise(times)),
    )


def _block(unit: int, period: float) -> ReadBlock:
    return ReadBlock(
        f"d{unit}", "sweep", unit, Table.INPUT, 0, REGISTERS, (), round(1000 * period), False
    )


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


async def _sleep_until(mono_ms: int) -> None:
    await asyncio.sleep(max(0.0, mono_ms / 1000 - time.monotonic()))


def _no_beat() -> None:
    pass
