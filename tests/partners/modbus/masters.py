"""A line with a second master on it, as adapters bring it: in pieces, and deaf while they send.

In simulated time. The second master asks the same units, functions and lengths as the gateway, and
waits for nobody. What the registers hold says whose they are (`transactions.word`).
"""

import asyncio
import struct
from dataclasses import asdict
from random import Random

from gateway.domain.errors import DeviceRefused, DeviceSilent
from gateway.domain.points import Table
from gateway.domain.site import Bus, SerialLine
from gateway.drivers.modbus import open_bus
from gateway.sim.line import Conduct, Wire, framed, manner_of
from gateway.sim.loop import run_simulated
from scripts.benchmarks.transactions import (
    BAUD,
    CALM,
    MISSING,
    TIMEOUT_MS,
    Block,
    MemoryPort,
    Tally,
    blocks,
    words_of,
)  # fmt: skip


class SharedWire(Wire):
    """Of two who speak at once a device may hear one all the same: with this chance."""

    capture = 0.0

    @property
    def is_heard_sending(self) -> bool:
        return self._frame_end is not None and self._loop.time() <= self._frame_until

    def _stood_alone(self, began: float, end: float) -> bool:
        return super()._stood_alone(began, end) or self._noise.random() < self.capture


class Adapter:
    """A port that hands over what it heard at each tick, and hears nothing while it sends."""

    def __init__(self, wire: SharedWire, tick_s: float) -> None:
        self._wire = wire
        self._tick_s = tick_s
        self._heard = b""
        self._loop = asyncio.get_running_loop()
        self._client = None
        wire.emit = self._hear

    async def dial(self, client, _bus):
        self._client = client
        port = MemoryPort(self._wire)
        client.ctx.connection_made(port)
        return port

    def _hear(self, data: bytes) -> None:
        if self._wire.is_heard_sending:
            return
        if not self._heard:
            tick = (self._loop.time() // self._tick_s + 1) * self._tick_s
            self._loop.call_at(tick, self._hand_over)
        self._heard += data

    def _hand_over(self) -> None:
        heard, self._heard = self._heard, b""
        self._client.ctx.data_received(heard)


def answering(unit: int, pdu: bytes) -> bytes:
    function, start, count = struct.unpack(">BHH", pdu)
    if start >= MISSING:
        return bytes([function | 0x80, 2])
    table = Table.INPUT if function == 4 else Table.HOLDING
    words = words_of(Block(unit, table, start, count), 0)
    return struct.pack(f">BB{count}H", function, 2 * count, *words)


def question(block: Block) -> bytes:
    return framed(struct.pack(">BBHH", block.unit, block.table.function, block.start, block.count))


async def _beside(
    reads: int, seed: int, every_s: float, tick_s: float, capture: float, conduct: Conduct
) -> Tally:
    random, tally = Random(seed), Tally(reads)
    choices = blocks(random)
    wire = SharedWire(
        [answering], BAUD, emit=lambda _: None, manner=manner_of(conduct, random),
        piece_s=0.001, noise=random,
    )  # fmt: skip
    wire.capture = capture
    adapter = Adapter(wire, tick_s)

    async def ask_for_ever() -> None:
        while True:
            await asyncio.sleep(random.expovariate(1 / every_s))
            wire.ask(question(random.choice(choices)))

    bus = Bus("shared", SerialLine("memory", baud=BAUD))
    async with open_bus(bus, dial=adapter.dial) as door:
        other = asyncio.create_task(ask_for_ever())
        for _ in range(reads):
            block = random.choice(choices)
            if not door.hold_ms(block.unit, block.table, block.count):
                await _read(door, block, tally)
            await asyncio.sleep(random.choice((0, 0.02, 0.1)))
        other.cancel()
        tally.door = asdict(door.counts)
    return tally


async def _read(door, block: Block, tally: Tally) -> None:
    try:
        words = await door.read(block.unit, block.table, block.start, block.count, TIMEOUT_MS)
    except DeviceSilent:
        tally.silent += 1
    except DeviceRefused:
        tally.refused += 1
        tally.wrong += block.start < MISSING
    else:
        tally.answered += 1
        tally.wrong += block.start >= MISSING or words != words_of(block, 0)


def beside_another(
    reads: int, seed: int, *, every_s: float, tick_s: float, capture: float = 0.0
) -> Tally:
    """What so many reads brought beside a master that asks about every `every_s`."""
    return run_simulated(_beside(reads, seed, every_s, tick_s, capture, CALM))
