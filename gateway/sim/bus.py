"""Simulated buses: an own small Modbus server, RTU on a paced pseudo-terminal and TCP.

Written without pymodbus, so that it is a partner and not a mirror of the gateway's client.
The RTU line behaves like a wire (gateway/sim/line.py): every byte takes its character time in both
directions, a device needs its turnaround, and a client that set another speed hears and says
garbage, since the bits are really sampled at the wrong rate.
"""

import asyncio
import os
import struct
import termios
import tty
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.sim.line import (
    TARGET_SILENT,
    BusCounts,
    Conduct,
    Manner,
    Piece,
    Units,
    Wire,
    answer,
    crc16,
    manner_of,
)

__all__ = [
    "BusCounts",
    "Conduct",
    "Manner",
    "Piece",
    "RtuLine",
    "TcpBus",
    "Units",
    "answer",
    "client_baud",
    "crc16",
    "manner_of",
    "open_rtu",
    "open_tcp",
    "plug",
    "resampled",
    "unplug",
]

PIECE_S = 0.004  # bytes come in pieces about this long: as a USB adapter hands them over
SPEEDS = {
    getattr(termios, f"B{baud}"): baud
    for baud in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}


def resampled(data: bytes, said_at: int, heard_at: int) -> bytes:
    """Return what a receiver set to `heard_at` baud makes of 8N1 bytes said at `said_at` baud."""
    if said_at == heard_at or not data:
        return data
    line: list[int] = []
    for byte in data:
        line += [0, *((byte >> bit) & 1 for bit in range(8)), 1]
    step = said_at / heard_at  # line bits that pass during one bit of the receiver
    heard = bytearray()
    at = 0.0
    while (start := _next_low(line, at)) is not None:
        samples = [_level(line, start + step * (1.5 + bit)) for bit in range(8)]
        heard.append(sum(bit << index for index, bit in enumerate(samples)))
        at = start + step * 9.5
    return bytes(heard)


def _level(line: Sequence[int], at: float) -> int:
    return line[int(at)] if at < len(line) else 1


def _next_low(line: Sequence[int], at: float) -> float | None:
    """Where the line next is low, from `at` bits on: the receiver's start bit."""
    if at < len(line) and line[int(at)] == 0:
        return at
    return next((float(i) for i in range(int(at) + 1, len(line)) if line[i] == 0), None)


# --- RTU ------------------------------------------------------------------------------------


@dataclass(slots=True)
class RtuLine:
    """A running RTU bus. `port` is a stable path; change `wire` and the devices misbehave."""

    port: Path
    units: Units
    wire: Wire
    wire_fd: int = -1  # our side of the pty; -1 while unplugged
    client_fd: int = -1  # the client side, held open so that clients may come and go

    @property
    def counts(self) -> BusCounts:
        return self.wire.counts


@asynccontextmanager
async def open_rtu(
    port: Path,
    units: Units,
    *,
    baud: int = 9600,
    turnaround_s: float = 0.02,
    piece_s: float = PIECE_S,
) -> AsyncIterator[RtuLine]:
    """Serve `units` on a pseudo-terminal that `port` points to, until the block is left."""

    def plain(_request: bytes, reply: bytes) -> Sequence[Piece]:
        return ((turnaround_s, reply),)

    line = RtuLine(
        port,
        units,
        Wire(
            [lambda unit, pdu: answer(units, unit, pdu)],
            baud,
            emit=lambda data: _say(line, data),
            manner=plain,
            piece_s=piece_s,
        ),
    )
    plug(line)
    try:
        yield line
    finally:
        unplug(line)


def plug(line: RtuLine) -> None:
    """Put the adapter in: a new pty appears under the stable path."""
    line.wire_fd, line.client_fd = os.openpty()
    tty.setraw(line.client_fd)
    os.set_blocking(line.wire_fd, False)
    asyncio.get_running_loop().add_reader(line.wire_fd, _hear, line)
    line.port.unlink(missing_ok=True)
    line.port.symlink_to(os.ttyname(line.client_fd))


def unplug(line: RtuLine) -> None:
    """Pull the adapter out: the path vanishes, a client that holds it open gets an error."""
    line.port.unlink(missing_ok=True)
    if line.wire_fd >= 0:
        asyncio.get_running_loop().remove_reader(line.wire_fd)
    for fd in (line.wire_fd, line.client_fd):
        if fd >= 0:
            os.close(fd)
    line.wire_fd = line.client_fd = -1


def client_baud(line: RtuLine) -> int | None:
    """The speed that the client set on its end; None when it is none we know."""
    return SPEEDS.get(termios.tcgetattr(line.client_fd)[5])


def _hear(line: RtuLine) -> None:
    """Give the wire what the client wrote, as this line's devices hear it."""
    said = os.read(line.wire_fd, 512)
    line.wire.hear(resampled(said, client_baud(line) or 300, line.wire.baud))


def _say(line: RtuLine, data: bytes) -> None:
    """Let the client hear bytes at its own speed; a client that never reads loses some."""
    if line.wire_fd >= 0:
        with suppress(BlockingIOError):
            os.write(line.wire_fd, resampled(data, line.wire.baud, client_baud(line) or 300))


# --- TCP ------------------------------------------------------------------------------------


@dataclass(slots=True)
class TcpBus:
    """A running Modbus TCP server; `is_bridge` says 0x0B for a silent unit, as gateways do."""

    host: str
    port: int
    units: Units
    turnaround_s: float
    is_bridge: bool = False
    manner: Manner | None = None
    counts: BusCounts = field(default_factory=BusCounts)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)  # connections open now
    refused: int = 0  # connections that were one too many

    def drop(self) -> None:
        """Close every connection, as a device does that restarts."""
        for writer in self.writers:
            writer.close()


@asynccontextmanager
async def open_tcp(
    units: Units,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    turnaround_s: float = 0.005,
    is_bridge: bool = False,
    most_connections: int = 1 << 16,
) -> AsyncIterator[TcpBus]:
    """Serve `units` on a TCP port (0 = any free one, told in `.port`) until the block is left.

    Many devices have room for one connection: `most_connections`; one more is closed at once.
    `TcpBus.drop` closes those that there are, as a device does that restarts.
    """
    bus = TcpBus(host, port, units, turnaround_s, is_bridge)
    clients: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(bus.writers) >= most_connections:
            bus.refused += 1
            writer.close()
            return
        if (task := asyncio.current_task()) is not None:
            clients.add(task)
        bus.writers.append(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await _serve_request(bus, reader, writer)
        finally:
            writer.close()
            bus.writers.remove(writer)
            if task is not None:
                clients.discard(task)

    server = await asyncio.start_server(serve, host, port)
    bus.port = server.sockets[0].getsockname()[1]
    try:
        yield bus
    finally:
        server.close()
        for task in list(clients):
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def _serve_request(
    bus: TcpBus, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one MBAP request; a header that is not Modbus ends the connection."""
    transaction, protocol, length = struct.unpack(">HHH", await reader.readexactly(6))
    if protocol != 0 or not 2 <= length <= 254:
        bus.counts.bad_frames += 1
        raise ConnectionError("not a Modbus header")
    body = await reader.readexactly(length)
    bus.counts.requests += 1
    pdu = answer(bus.units, body[0], body[1:])
    if pdu is None and bus.is_bridge:
        pdu = bytes([body[1] | 0x80, TARGET_SILENT])
    if pdu is None:
        return
    bus.counts.refusals += bool(pdu[0] & 0x80)
    frame = struct.pack(">HHHB", transaction, 0, len(pdu) + 1, body[0]) + pdu
    manner = bus.manner or (lambda _request, whole: [(bus.turnaround_s, whole)])
    for wait_s, data in manner(body, frame):
        await asyncio.sleep(wait_s)
        writer.write(data)
    await writer.drain()
    bus.counts.replies += 1
