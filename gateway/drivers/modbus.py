"""The door to Modbus RTU and TCP: words, or DeviceSilent | DeviceRefused | BusDown.

pymodbus frames, checks and times; what a safety device needs on top is here:

- Its retries and its reconnecting are off. A port or socket that fails is closed, and opened again
  by the next read that comes after the backoff; until then reads fail at once with the reason.
- An RTU reply has no number, and pymodbus takes any frame of the unit for the answer. Here a frame
  counts only if unit, function and byte count are those of the request, wherever it stands in
  what came in: noise before a reply does not cost the reply.
- After a timeout the answer may still come. No request that it would fit is sent for `late_ms`,
  or until the unit has answered a request of another shape (`BusDoor.hold_ms` tells how long).
- A read that is cancelled leaves its answer under way: the next read lets it pass first.
"""

import asyncio
import errno
import logging
import socket
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.points import Table
from gateway.domain.site import Bus, Parity, SerialLine, TcpLink

LATE_MS = 2000  # the slowest answer that is still expected after its timeout
BACKOFF_S = (0.2, 5.0)  # first and longest pause between two attempts to open
OPEN_TIMEOUT_S = 3.0  # for a TCP connection; a serial port opens or fails at once
TIMEOUTS_TO_REOPEN = 3  # in a row on one TCP connection: it may be a dead one
BABBLE_GAPS = 8  # a line that is never quiet is asked all the same: nothing blocks a bus for ever
BUFFER_BYTES = 4096  # noise in front of a reply; pymodbus forgets everything beyond its own 264

Client = AsyncModbusSerialClient | AsyncModbusTcpClient

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer must look like to belong to a request."""

    unit: int
    function: int
    data_bytes: int

    def fits(self, pdu: bytes) -> bool:
        """True if this is the answer or the exception that a request of this shape may get."""
        if len(pdu) >= 2 and pdu[0] == self.function | 0x80:
            return len(pdu) == 2
        return (
            len(pdu) == 2 + self.data_bytes
            and pdu[0] == self.function
            and pdu[1] == self.data_bytes
        )


def shape_of(unit: int, table: Table, count: int) -> Shape:
    data_bytes = (count + 7) // 8 if table.is_bits else 2 * count
    return Shape(unit, table.function, data_bytes)


def find_rtu_reply(received: bytes, shape: Shape) -> bytes:
    """Return the first CRC-right frame that fits, from anywhere in the bytes; b"" if none."""
    answer = bytes((shape.unit, shape.function, shape.data_bytes)), 5 + shape.data_bytes
    refusal = bytes((shape.unit, shape.function | 0x80)), 5
    for head, length in (answer, refusal):
        at = received.find(head)
        while at >= 0:
            frame = received[at : at + length]
            crc = int.from_bytes(frame[-2:], "big")
            if len(frame) == length and FramerRTU.check_CRC(frame[:-2], crc):
                return frame
            at = received.find(head, at + 1)
    return b""


def find_tcp_reply(received: bytes, shape: Shape, transaction: int) -> bytes:
    """Return the first whole frame with this transaction id that fits; b"" if none."""
    at = 0
    while len(received) - at >= 8:
        number, protocol, length, unit = struct.unpack_from(">HHHB", received, at)
        end = at + 6 + length
        if protocol or length < 3 or end > len(received):
            return b""
        if number == transaction and unit == shape.unit and shape.fits(received[at + 7 : end]):
            return received[at:end]
        at = end
    return b""


@asynccontextmanager
async def open_bus(bus: Bus, *, late_ms: int = LATE_MS) -> AsyncIterator["BusDoor"]:
    """Give the door to one bus, as its only user. The port is opened by the first read."""
    # every timeout and every stray byte is a line there; here they are exceptions with a name
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    door = BusDoor(bus, late_ms)
    try:
        yield door
    finally:
        door.close()


class BusDoor:
    """One bus: one request in flight, in the order of the calls."""

    def __init__(self, bus: Bus, late_ms: int) -> None:
        self._bus = bus
        self._late_s = late_ms / 1000
        self._gap_s = _gap_s(bus)
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._down_why = ""
        self._is_said_down = False
        self._backoff_s = 0.0
        self._open_at = 0.0
        self._shape: Shape | None = None  # of the answer that is under way
        self._transaction = 0
        self._is_waited_for = False
        self._owed_until = 0.0
        self._answered = asyncio.Event()
        self._heard_at = 0.0
        self._unread = b""
        self._timeouts = 0
        self._late: dict[Shape, float] = {}  # timed out: an answer of this shape may come until

    async def read(
        self, unit: int, table: Table, start: int, count: int, timeout_ms: int
    ) -> list[int]:
        """Return `count` words (bits as 0 and 1) from the 0-based wire address `start`.

        Raises DeviceSilent, DeviceRefused or BusDown; never returns another request's answer.
        """
        shape = shape_of(unit, table, count)
        async with self._lock:
            client = await self._opened()
            await self._until_free(shape)
            return await self._exchange(client, shape, table, start, count, timeout_ms)

    def hold_ms(self, unit: int, table: Table, count: int) -> int:
        """How long a read of this shape would wait now, because an answer may still be late.

        For the scheduler, which has better things to read meanwhile.
        """
        until = self._late.get(shape_of(unit, table, count), 0.0)
        return max(0, round(1000 * (until - asyncio.get_running_loop().time())))

    def close(self) -> None:
        """Give the port or socket back."""
        client, self._client = self._client, None
        self._shape = None
        self._owed_until = 0.0
        if client is not None:
            client.close()

    async def _opened(self) -> Client:
        if self._client is not None and self._client.connected:
            return self._client
        now = asyncio.get_running_loop().time()
        self.close()
        if now < self._open_at:
            raise BusDown(self._down_why)
        self._client = await self._open()
        return self._client

    async def _open(self) -> Client:
        client = _client_of(self._bus, self._on_packet, self._on_connection)
        client.ctx.max_buffer_size = BUFFER_BYTES
        client.set_max_no_responses(2**31)  # when to reopen is decided here
        try:
            # not client.connect(): that turns every reason into False
            client.ctx.transport, _ = await asyncio.wait_for(
                client.ctx.call_create(), OPEN_TIMEOUT_S
            )
        except (OSError, termios.error, TimeoutError) as error:
            client.close()
            raise self._gone(_why(error, self._bus)) from error
        except asyncio.CancelledError:
            client.close()
            raise
        self._unread = b""
        self._timeouts = 0
        return client

    async def _until_free(self, shape: Shape) -> None:
        """Wait until nothing that is still under way can be taken for the answer to `shape`."""
        loop = asyncio.get_running_loop()
        if self._shape is not None and not self._answered.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._owed_until):
                    await self._answered.wait()
            if not self._answered.is_set():
                self._is_late(self._shape)
        self._shape = None
        await asyncio.sleep(self._late.get(shape, 0.0) - loop.time())
        self._late.pop(shape, None)
        for _ in range(BABBLE_GAPS):
            wait_s = self._heard_at + self._gap_s - loop.time()
            if wait_s <= 0:
                break
            await asyncio.sleep(wait_s)

    async def _exchange(
        self,
        client: Client,
        shape: Shape,
        table: Table,
        start: int,
        count: int,
        timeout_ms: int,
    ) -> list[int]:
        client.ctx.comm_params.timeout_connect = timeout_ms / 1000
        self._owed_until = asyncio.get_running_loop().time() + timeout_ms / 1000
        self._answered.clear()
        self._shape = shape
        self._unread = b""
        self._is_waited_for = True
        try:
            reply = await _request(client, shape.unit, table, start, count)
        except ModbusIOException as error:
            self._shape = None
            self._on_timeout(shape)
            raise DeviceSilent(shape.unit) from error
        except (ConnectionException, OSError, termios.error) as error:
            self._shape = None
            self.close()
            raise self._gone(_lost(self._bus)) from error
        finally:
            self._is_waited_for = False
        self._shape = None
        self._on_answer(shape)
        return _words_of(reply, shape.unit, table, count)

    def _on_answer(self, shape: Shape) -> None:
        self._timeouts = 0
        self._backoff_s = 0.0
        if self._is_said_down:
            self._is_said_down = False
            log.debug("bus answers again bus=%s", self._bus.id)
        # a unit answers in order: what it answered before this one cannot come any more
        for late in [late for late in self._late if late.unit == shape.unit and late != shape]:
            del self._late[late]

    def _on_timeout(self, shape: Shape) -> None:
        self._is_late(shape)
        if isinstance(self._bus.link, TcpLink):
            self._timeouts += 1
            # half a frame would shift every later one; and a peer that is gone never says so
            if self._unread or self._timeouts >= TIMEOUTS_TO_REOPEN:
                self.close()

    def _is_late(self, shape: Shape) -> None:
        if isinstance(self._bus.link, SerialLine):  # TCP answers carry their request's number
            self._late[shape] = asyncio.get_running_loop().time() + self._late_s

    def _gone(self, why: str) -> BusDown:
        """Remember why, and when to try again."""
        self._down_why = why
        first, longest = BACKOFF_S
        self._backoff_s = min(longest, 2 * self._backoff_s) or first
        self._open_at = asyncio.get_running_loop().time() + self._backoff_s
        if not self._is_said_down:
            self._is_said_down = True
            log.debug("bus is gone bus=%s why=%s", self._bus.id, why)
        return BusDown(why)

    def _on_packet(self, is_sent: bool, packet: bytes) -> bytes:
        """Let through to pymodbus only the frame that answers the request under way."""
        if is_sent:
            self._transaction = int.from_bytes(packet[:2], "big")
            return packet
        self._heard_at = asyncio.get_running_loop().time()
        self._unread = packet
        if self._shape is None:
            return b""
        if isinstance(self._bus.link, TcpLink):
            frame = find_tcp_reply(packet, self._shape, self._transaction)
        else:
            frame = find_rtu_reply(packet, self._shape)
        if not frame:
            return b""
        self._answered.set()
        return frame  # nobody waits after a cancelled read: then pymodbus drops it

    def _on_connection(self, is_up: bool) -> None:
        """A port that is pulled while an answer is awaited ends the wait at once."""
        client = self._client
        if is_up or client is None or not self._is_waited_for:
            return
        if not client.ctx.response_future.done():
            client.ctx.response_future.set_exception(ConnectionException("connection lost"))


def _client_of(
    bus: Bus, on_packet: Callable[[bool, bytes], bytes], on_connection: Callable[[bool], None]
) -> Client:
    match bus.link:
        case SerialLine(port, baud, parity, stop_bits):
            return AsyncModbusSerialClient(
                port,
                baudrate=baud,
                bytesize=8,
                parity={Parity.NONE: "N", Parity.EVEN: "E", Parity.ODD: "O"}[parity],
                stopbits=stop_bits,
                name=bus.id,
                reconnect_delay=0,
                retries=0,
                trace_packet=on_packet,
                trace_connect=on_connection,
            )
        case TcpLink(host, port_number):
            return AsyncModbusTcpClient(
                host,
                port=port_number,
                name=bus.id,
                reconnect_delay=0,
                retries=0,
                trace_packet=on_packet,
                trace_connect=on_connection,
            )


async def _request(
    client: Client,
    unit: int,
    table: Table,
    start: int,
    count: int,
) -> ModbusPDU:
    ask = {
        Table.COIL: client.read_coils,
        Table.DISCRETE: client.read_discrete_inputs,
        Table.HOLDING: client.read_holding_registers,
        Table.INPUT: client.read_input_registers,
    }[table]
    return await ask(start, count=count, device_id=unit)


def _words_of(reply: ModbusPDU, unit: int, table: Table, count: int) -> list[int]:
    if isinstance(reply, ExceptionResponse):
        raise DeviceRefused(unit, reply.exception_code)
    if table.is_bits:
        return [int(bit) for bit in reply.bits[:count]]
    if len(reply.registers) != count:
        raise DeviceSilent(unit, f"{len(reply.registers)} registers came instead of {count}")
    return list(reply.registers)


def _gap_s(bus: Bus) -> float:
    if isinstance(bus.link, TcpLink):
        return (bus.gap_ms or 0.0) / 1000
    return (bus.link.t35_ms if bus.gap_ms is None else bus.gap_ms) / 1000


def _lost(bus: Bus) -> str:
    match bus.link:
        case SerialLine(port=port):
            return f"{port} was unplugged or failed"
        case TcpLink(host, port_number):
            return f"{host}:{port_number} closed the connection"


def _why(error: BaseException, bus: Bus) -> str:
    """Say for people why the port or the connection cannot be opened."""
    if isinstance(bus.link, SerialLine):
        return _why_no_port(error, bus.link)
    return _why_no_connection(error, bus.link)


def _why_no_port(error: BaseException, line: SerialLine) -> str:
    settings = f"{line.baud} baud 8{line.parity.value[0].upper()}{line.stop_bits}"
    whys: dict[int | None, str] = {
        errno.ENOENT: f"no such port: {line.port}",
        errno.ENODEV: f"no such port: {line.port}",
        errno.ENXIO: f"no adapter behind {line.port}",
        errno.EIO: f"no adapter behind {line.port}",
        errno.EACCES: f"no permission to open {line.port}",
        errno.EPERM: f"no permission to open {line.port}",
        errno.EBUSY: f"{line.port} is in use by another program",
        errno.EAGAIN: f"{line.port} is in use by another program",
        errno.EINVAL: f"{line.port} does not take {settings}",
        None: f"{line.port} is not a serial port",  # pyserial: no terminal settings to be had
    }
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    return whys.get(number, f"{line.port} cannot be opened: {error}")


def _why_no_connection(error: BaseException, link: TcpLink) -> str:
    peer = f"{link.host}:{link.port}"
    if isinstance(error, TimeoutError):
        return f"no answer from {peer}"
    if isinstance(error, socket.gaierror):
        return f"unknown host: {link.host}"
    whys: dict[int | None, str] = {
        errno.ECONNREFUSED: f"{peer} refuses connections",
        errno.EHOSTUNREACH: f"no route to {peer}",
        errno.ENETUNREACH: f"no route to {peer}",
    }
    number = error.errno if isinstance(error, OSError) else None
    return whys.get(number, f"{peer} cannot be reached: {error}")
