"""The simulated devices, as a process of their own: their CPU time is nobody's figure.

    python -m scripts.benchmarks.devices --buses 5 --units 10 --registers 40

Says its ports in its first line, then answers lines on stdin: `contact 0|1` sets the detector's
contact and answers with the moment (CLOCK_BOOTTIME, ms) at which the first reply that tells it was
handed to the socket, all its bytes at once; `count` answers how many registers were handed out.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Any

from gateway.sim.bus import Piece, TcpBus, open_tcp
from gateway.sim.devices import SimDevice, Tables, Truth, by_unit
from scripts.benchmarks.house import CONTACTS


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
class Detector:
    """Contacts that close in turn; says once when a change was first told.

    Register 0 says whether any is closed, the others are the contacts.
    """

    contact: int = 0
    closed: int = 0  # how often one has closed
    told: int = 0

    def set(self, level: int) -> None:
        self.contact = level
        self.closed += level

    def fill(self, _truth: Truth, _noise: Random) -> Tables:
        cells = dict.fromkeys(range(CONTACTS + 1), 0)
        if self.contact:
            cells[0] = cells[(self.closed - 1) % CONTACTS + 1] = 1
        return {"input": cells}

    def manner(self, _request: bytes, reply: bytes) -> Iterator[Piece]:
        """Say the reply at once, and when.

        The moment is from before the write: behind it, who reads the reply may have been quicker.
        """
        contact, at = self.contact, time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6
        yield 0.0, reply
        if contact != self.told:
            self.told = contact
            say(told=contact, at=at)


async def serve(buses: int, units: int, registers: int) -> None:
    """Serve until stdin ends."""
    banks = [[Bank(registers) for _ in range(units)] for _ in range(buses)]
    detector = Detector()
    async with AsyncExitStack() as stack:

        async def bus(fills: list[Any]) -> TcpBus:
            devices = [SimDevice(f"d{n}", n, fill, {}) for n, fill in enumerate(fills, 1)]
            return await stack.enter_async_context(open_tcp(by_unit(devices), turnaround_s=0))

        ports = [(await bus([bank.fill for bank in row])).port for row in banks]
        alarm = await bus([detector.fill])
        alarm.manner = detector.manner  # type: ignore[assignment]
        say(ports=ports, alarm_port=alarm.port)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while line := (await lines.readline()).decode().split():
            match line:
                case ["contact", level]:
                    detector.set(int(level))
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
