"""Simulated buses: an own small Modbus server, RTU on a paced pseudo-terminal and TCP.

Written without pymodbus, so that it is a partner and not a mirror of the gateway's client.
The RTU line behaves like a wire: every byte takes its character time in both directions, a device
needs its turnaround, and a client that set another speed hears and says garbage, since the bits
are really sampled at the wrong rate.

What a device answers passes through a `Manner` before it goes on the wire: pieces of bytes with
the time to wait before each. That is the seam for late replies, noise and echoes.
"""

import asyncio
import os
import struct
import termios
import tty
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.sim.devices import TABLE_OF_FUNCTION, AddressMissing, SimDevice, read_table

Units = Mapping[int, SimDevice]
Piece = tuple[float, bytes]  # seconds to wait, then bytes to say
Manner = Callable[[bytes, bytes], Sequence[Piece]]  # (request, reply frame) -> what is really said

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, TARGET_SILENT = 1, 2, 3, 0x0B
_REQUEST_BYTES = 8  # a whole RTU request of functions 1..4
_PIECE_S = 0.004  # bytes go out in pieces about this long: as a USB adapter hands them over
_SPEEDS = {
    getattr(termios, f"B{baud}"): baud
    for baud in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}


@dataclass(slots=True)
class BusCounts:
    """What the simulated line saw; for tests and for the demo's last page."""

    requests: int = 0
    replies: int = 0
    refusals: int = 0
    bad_frames: int = 0


def answer(units: Units, unit: int, pdu: bytes) -> bytes | None:
    """Return the reply PDU of functions 1-4, an exception PDU, or None when nobody answers.

    Source: MODBUS Application Protocol V1.1b3, 6.1-6.4 and 7.
    """
    device = units.get(unit)
    if device is None or device.is_silent or not pdu:
        return None
    function = pdu[0]
    table = TABLE_OF_FUNCTION.get(function)
    if table is None:
        return bytes([function | 0x80, ILLEGAL_FUNCTION])
    if len(pdu) != 5:
        return bytes([function | 0x80, ILLEGAL_VALUE])
    address, count = struct.unpack(">HH", pdu[1:])
    most = 2000 if function <= 2 else device.max_registers
    if not 1 <= count <= most:
        return bytes([function | 0x80, ILLEGAL_VALUE])
    try:
        cells = read_table(device, table, address, count)
    except AddressMissing:
        return bytes([function | 0x80, ILLEGAL_ADDRESS])
    payload = _packed_bits(cells) if function <= 2 else struct.pack(f">{count}H", *cells)
    return bytes([function, len(payload)]) + payload


def _packed_bits(bits: Sequence[int]) -> bytes:
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= (bit & 1) << (index % 8)
    return bytes(packed)


def crc16(data: bytes) -> bytes:
    """Modbus CRC, low byte first, as it follows a frame on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)


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
    """A running RTU bus. `port` is a stable path; change `manner` and the devices misbehave."""

    port: Path
    units: Units
    baud: int
    turnaround_s: float
    manner: Manner | None = None
    counts: BusCounts = field(default_factory=BusCounts)
    wire_fd: int = -1  # our side of the pty; -1 while unplugged
    client_fd: int = -1  # the client side, held open so that clients may come and go

    @property
    def char_s(self) -> float:
        return 10 / self.baud


@asynccontextmanager
async def open_rtu(
    port: Path, units: Units, *, baud: int = 9600, turnaround_s: float = 0.02
) -> AsyncIterator[RtuLine]:
    """Serve `units` on a pseudo-terminal that `port` points to, until the block is left."""
    line = RtuLine(port, units, baud, turnaround_s)
    plug(line)
    task = asyncio.create_task(_serve_line(line), name=f"sim bus {port.name}")
    try:
        yield line
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        unplug(line)


def plug(line: RtuLine) -> None:
    """Put the adapter in: a new pty appears under the stable path."""
    line.wire_fd, line.client_fd = os.openpty()
    tty.setraw(line.client_fd)
    os.set_blocking(line.wire_fd, False)
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
    return _SPEEDS.get(termios.tcgetattr(line.client_fd)[5])


async def _serve_line(line: RtuLine) -> None:
    while True:
        if line.wire_fd < 0:
            await asyncio.sleep(0.05)  # unplugged
            continue
        try:
            await _serve_one(line)
        except OSError:
            if line.wire_fd >= 0:  # not ours: pulling the adapter closes it under us
                raise


async def _serve_one(line: RtuLine) -> None:
    """Hear one request, think, say the reply."""
    frame, at = await _hear_frame(line)
    if not frame:
        return
    line.counts.requests += 1
    reply = _reply_to(line, frame)
    if reply is None:
        return
    manner = line.manner or (lambda _request, whole: [(line.turnaround_s, whole)])
    for wait_s, data in manner(frame, reply):
        at = await _say(line, data, at + wait_s)
    line.counts.replies += 1


def _reply_to(line: RtuLine, frame: bytes) -> bytes | None:
    if len(frame) < 4 or crc16(frame[:-2]) != frame[-2:]:
        line.counts.bad_frames += 1
        return None
    pdu = answer(line.units, frame[0], frame[1:-2])
    if pdu is None:
        return None
    line.counts.refusals += bool(pdu[0] & 0x80)
    body = frame[:1] + pdu
    return body + crc16(body)


async def _hear_frame(line: RtuLine) -> tuple[bytes, float]:
    """Return the next frame, and when it has passed the wire with 3.5 characters of silence.

    Empty when nothing came for a while (so that a pulled adapter is noticed).
    """
    loop = asyncio.get_running_loop()
    frame = await _hear(line, 0.25)
    at = loop.time()
    while frame:
        at += max(3.5 * line.char_s, 0.00175) + line.char_s * min(len(frame), _REQUEST_BYTES)
        more = await _hear(line, at - loop.time())
        if not more:
            break
        frame, at = frame + more, loop.time()
    return frame, at


async def _hear(line: RtuLine, timeout_s: float) -> bytes:
    """Return what arrives next as this line's devices hear it; empty after `timeout_s`."""
    fd = line.wire_fd
    try:
        async with asyncio.timeout(timeout_s):
            await _readable(fd)
    except TimeoutError:
        return b""
    said = os.read(fd, 512)
    return resampled(said, client_baud(line) or 300, line.baud)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def _say(line: RtuLine, data: bytes, at: float) -> float:
    """Write `data` from `at` on, no faster than the line; return when its last bit is out."""
    loop = asyncio.get_running_loop()
    size = max(1, round(_PIECE_S / line.char_s))
    for start in range(0, len(data), size):
        end = min(start + size, len(data))
        await asyncio.sleep(max(at + end * line.char_s - loop.time(), 0))
        if line.wire_fd < 0:
            break
        os.write(line.wire_fd, resampled(data[start:end], line.baud, client_baud(line) or 300))
    return max(at + len(data) * line.char_s, loop.time())


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


@asynccontextmanager
async def open_tcp(
    units: Units,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    turnaround_s: float = 0.005,
    is_bridge: bool = False,
) -> AsyncIterator[TcpBus]:
    """Serve `units` on a TCP port (0 = any free one, told in `.port`) until the block is left."""
    bus = TcpBus(host, port, units, turnaround_s, is_bridge)
    clients: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            clients.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await _serve_request(bus, reader, writer)
        finally:
            writer.close()
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
