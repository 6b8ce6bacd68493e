"""A simulated RTU line as a process of its own, with a timer finer than a millisecond.

    python -m scripts.benchmarks.line --port adapter --baud 9600 --devices 10 --dead 3

Says a line when the port is there. Ends with its stdin, and says then how many requests, bad
frames and clashes it saw.
"""

import argparse
import asyncio
import selectors
import sys
from pathlib import Path

from gateway.sim.bus import open_rtu
from gateway.sim.devices import SimDevice, Tables, by_unit

REGISTERS = 125
PIECE_S = 0.001


def tables(_truth: object, _noise: object) -> Tables:
    return {"input": dict.fromkeys(range(REGISTERS), 0x1234)}


async def serve(options: argparse.Namespace) -> None:
    devices = [SimDevice(f"d{unit}", unit, tables, {}) for unit in range(1, options.devices + 1)]
    for device in devices[: options.dead]:
        device.is_silent = True
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, lambda: sys.stdin.readline() or ended.set())
    async with open_rtu(
        options.port,
        by_unit(devices),
        baud=options.baud,
        turnaround_s=options.turnaround_s,
        piece_s=PIECE_S,
    ) as line:
        print("ready", flush=True)
        await ended.wait()
        print(line.counts.requests, line.counts.bad_frames, line.counts.clashes, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=Path, required=True)
    parser.add_argument("--baud", type=int, default=9600)
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--dead", type=int, default=0)
    parser.add_argument("--turnaround-s", type=float, default=0.02)
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        runner.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
