"""The simulated devices, as a process of their own: their CPU time is nobody's figure.

    python -m scripts.benchmarks.devices --buses 5 --units 10 --registers 40

Says its ports in its first line, then answers lines on stdin: `contact 0|1` closes the next
detector's contact or opens it, and answers with the moment (CLOCK_BOOTTIME, ms) at which the first
reply that tells it was handed to the socket, all its bytes at once; `count` answers how many
registers were handed out.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Any

from gateway.sim.bus import Piece, TcpBus, open_tcp
from gateway.sim.devices import SimDevice, Tables, Truth, by_unit
from scripts.benchmarks.house import DETECTORS


def say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


@dataclass(slots=True)
class Bank:
    """Registers that all change at every read: 20.0 to 44.9 in steps of at least 3.7."""

    registers: int
    reads: int = 0

    def fill(self, _truth: Truth, _noise: Random) -> Tables:
        self.reads += 1
        value = 200 + self.reads * 37 % 250
        return {"input": dict.fromkeys(range(self.registers), value)}


@dataclass(slots=True)
class Detectors:
    """Units of one contact each, which close in turn; says once when a change was first told."""

    contact: int = 0
    unit: int = 0  # whose contact was closed last
    told: int = 0

    def set(self, level: int) -> None:
        self.contact = level
        self.unit = self.unit % DETECTORS + 1 if level else self.unit

    def fill(self, unit: int) -> Callable[[Truth, Random], Tables]:
        def fill(_truth: Truth, _noise: Random) -> Tables:
            return {"input": {0: self.contact if unit == self.unit else 0}}

        return fill

    def manner(self, request: bytes, reply: bytes) -> Iterator[Piece]:
        """Say the reply at once; the code behind the yield runs when it was written.

        The moment is taken before: on a busy machine the panel may be quicker than this process.
        """
        contact, is_deciding = self.contact, request[0] == self.unit
        at_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6
        yield 0.0, reply
        if is_deciding and contact != self.told:
            self.told = contact
            say(told=contact, at=at_ms)


async def serve(buses: int, units: int, registers: int) -> None:
    """Serve until stdin ends."""
    banks = [[Bank(registers) for _ in range(units)] for _ in range(buses)]
    detectors = Detectors()
    async with AsyncExitStack() as stack:

        async def bus(fills: list[Any]) -> TcpBus:
            devices = [SimDevice(f"d{n}", n, fill, {}) for n, fill in enumerate(fills, 1)]
            return await stack.enter_async_context(open_tcp(by_unit(devices), turnaround_s=0))

        ports = [(await bus([bank.fill for bank in row])).port for row in banks]
        alarm = await bus([detectors.fill(n) for n in range(1, DETECTORS + 1)])
        alarm.manner = detectors.manner  # type: ignore[assignment]
        say(ports=ports, alarm_port=alarm.port)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while line := (await lines.readline()).decode().split():
            match line:
                case ["contact", level]:
                    detectors.set(int(level))
                case ["count"]:
                    say(registers=sum(bank.reads for row in banks for bank in row) * registers)
                case _:
                    raise ValueError(f"cannot do {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buses", type=int, default=1)
    parser.add_argument("--units", type=int, default=1)
    parser.add_argument("--registers", type=int, default=40)
    options = parser.parse_args()
    asyncio.run(serve(options.buses, options.units, options.registers))


if __name__ == "__main__":
    main()
