"""Transactions on a simulated wire, in simulated time, that show whose values they bring.

Each register tells whose it is: words at even addresses name unit, table and address, those at
odd addresses the request that they answer. So a reply that is taken for the answer to another
request shows, also between two reads of the same block. Addresses from `MISSING` on are refused:
a refusal of any other block is somebody else's as well.

The door under test is the gateway's own, over its own pymodbus client; only the serial port is
replaced by memory. `bare` is pymodbus alone on the same wire with the same draws.
"""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from random import Random

from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.pdu import ExceptionResponse

from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.points import Table
from gateway.domain.site import Bus, SerialLine
from gateway.drivers.modbus import BusDoor, Client, open_bus
from gateway.sim.line import Conduct, Manner, Wire, manner_of
from gateway.sim.loop import run_simulated

BAUD = 9600
TIMEOUT_MS = 300
LATE_MS = 2_000
MISSING = 1_600
PIECE_S = 0.016  # an FTDI adapter's habit
WIRE_S = 0.07  # longest request, silence and reply of the blocks below
LATE_S = (TIMEOUT_MS / 1000 - 0.1, (TIMEOUT_MS + LATE_MS) / 1000 - WIRE_S)

CALM = Conduct(turnaround_s=0.02, jitter_s=0.02)
LATE = Conduct(turnaround_s=0.02, jitter_s=0.02, late=0.1, late_s=LATE_S, silent=0.01)
DAMAGED = Conduct(turnaround_s=0.02, jitter_s=0.02, damage=0.5)
GARBAGE_BEFORE = Conduct(turnaround_s=0.02, jitter_s=0.02, before=1.0)
ALL = Conduct(
    turnaround_s=0.02, jitter_s=0.02, late=0.05, late_s=LATE_S, silent=0.01, before=0.05,
    inside=0.02, after=0.05, damage=0.05, cut=0.02,
)  # fmt: skip

ReadBlock = Callable[["Block"], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True)
class Block:
    unit: int
    table: Table
    start: int
    count: int


@dataclass(slots=True)
class Tally:
    """What became of the transactions."""

    transactions: int = 0
    answered: int = 0
    silent: int = 0
    refused: int = 0
    wrong: int = 0  # values of another register or device, or another block's refusal
    stale: int = 0  # the right register, but the answer to an earlier request
    late: int = 0  # replies that the devices held back
    damaged: int = 0  # replies that were changed on the way
    simulated_s: float = 0.0
    door: dict[str, int] = field(default_factory=dict)


def blocks(random: Random) -> list[Block]:
    """Blocks of six units, many of the same shape, some of them refused."""
    tables = (Table.INPUT, Table.HOLDING)
    starts = [2 * random.randrange(MISSING // 2 - 10) for _ in range(16)]
    missing = [MISSING + 2 * random.randrange(50) for _ in range(2)]
    return [
        Block(unit, tables[n % 2], start, (2, 2, 4, 4, 10)[n % 5])
        for unit in range(1, 7)
        for n, start in enumerate([*starts, *missing])
    ]


def word(unit: int, function: int, address: int, serial: int) -> int:
    """What a register says. Injective over the units, tables and addresses used here."""
    if address % 2:
        return serial & 0xFFFF
    return (unit & 7) << 13 | (function & 1) << 12 | address


def words_of(block: Block, serial: int) -> list[int]:
    function = block.table.function
    addresses = range(block.start, block.start + block.count)
    return [word(block.unit, function, address, serial) for address in addresses]


def make_wire(manner: Manner, random: Random, asked: dict[Block, int]) -> Wire:
    """A wire of devices whose registers tell whose they are, and which request they answer.

    `asked` gets the number of the newest request for each block.
    """

    def answers(unit: int, pdu: bytes) -> bytes:
        function, start, count = struct.unpack(">BHH", pdu)
        if start >= MISSING:
            return bytes([function | 0x80, 2])
        table = Table.INPUT if function == 4 else Table.HOLDING
        block = Block(unit, table, start, count)
        asked[block] = wire.counts.requests
        words = words_of(block, asked[block])
        return struct.pack(f">BB{count}H", function, 2 * count, *words)

    wire = Wire([answers], BAUD, emit=_ignore, manner=manner, piece_s=PIECE_S, noise=random)
    return wire


def _ignore(_data: bytes) -> None:
    pass


class MemoryPort(asyncio.Transport):
    """A serial port that is a wire in memory."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.hear(bytes(data))

    def close(self) -> None:
        self._wire.emit = _ignore


def attach(client: Client, wire: Wire) -> MemoryPort:
    port = MemoryPort(wire)
    wire.emit = client.ctx.data_received
    client.ctx.connection_made(port)
    return port


async def _through_door(wire: Wire, tally: Tally, drive: Callable[..., Awaitable[None]]) -> None:
    async def dial(client: Client, _bus: Bus) -> asyncio.BaseTransport:
        return attach(client, wire)

    bus = Bus("proof", SerialLine("memory", baud=BAUD))
    async with open_bus(bus, late_ms=LATE_MS, dial=dial) as door:

        async def read(block: Block) -> list[int]:
            return await door.read(block.unit, block.table, block.start, block.count, TIMEOUT_MS)

        await drive(read, door)
        tally.door = asdict(door.counts)


async def _through_bare(wire: Wire, _tally: Tally, drive: Callable[..., Awaitable[None]]) -> None:
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    client = AsyncModbusSerialClient(
        "memory", baudrate=BAUD, timeout=TIMEOUT_MS / 1000, retries=0, reconnect_delay=0
    )
    client.ctx.transport = attach(client, wire)

    async def read(block: Block) -> list[int]:
        is_input = block.table is Table.INPUT
        ask = client.read_input_registers if is_input else client.read_holding_registers
        try:
            reply = await ask(block.start, count=block.count, device_id=block.unit)
        except ModbusIOException as error:
            raise DeviceSilent(block.unit) from error
        if isinstance(reply, ExceptionResponse):
            raise DeviceRefused(block.unit, reply.exception_code)
        return list(reply.registers)

    await drive(read, None)


async def _transact(transactions: int, conduct: Conduct, seed: int, *, is_bare: bool) -> Tally:
    random = Random(seed)
    tally = Tally(transactions)
    asked: dict[Block, int] = {}
    wire = make_wire(manner_of(conduct, random), random, asked)
    wire.manner = manner_of(conduct, random, wire.counts)
    choices = blocks(random)

    async def drive(read: ReadBlock, door: BusDoor | None) -> None:
        for _ in range(transactions):
            await _one(read, _choose(choices, door, random), asked, tally)

    await (_through_bare if is_bare else _through_door)(wire, tally, drive)
    tally.late, tally.damaged = wire.counts.late, wire.counts.damaged
    tally.simulated_s = asyncio.get_running_loop().time()
    return tally


def _choose(choices: list[Block], door: BusDoor | None, random: Random) -> Block:
    """Mostly as the scheduler does: not what is held; sometimes all the same."""
    for _ in range(3):
        block = random.choice(choices)
        if door is None or not door.hold_ms(block.unit, block.table, block.count):
            break
    return block


async def _one(read: ReadBlock, block: Block, asked: dict[Block, int], tally: Tally) -> None:
    try:
        words = await read(block)
    except DeviceSilent:
        tally.silent += 1
    except DeviceRefused:
        tally.refused += 1
        tally.wrong += block.start < MISSING
    except BusDown as down:
        raise AssertionError(f"memory cannot be unplugged: {down}") from down
    else:
        tally.answered += 1
        expected = words_of(block, asked.get(block, 0))
        if block.start >= MISSING or len(words) != block.count or words[::2] != expected[::2]:
            tally.wrong += 1
        elif words != expected:
            tally.stale += 1


def transact(transactions: int, conduct: Conduct, seed: int = 1, *, is_bare: bool = False) -> Tally:
    """Run so many transactions in simulated time; the same seed gives the same draws."""
    return run_simulated(_transact(transactions, conduct, seed, is_bare=is_bare))
