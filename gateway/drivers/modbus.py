"""The door to Modbus RTU and TCP: words, or DeviceSilent | DeviceRefused | BusDown.

pymodbus frames, checks and times; what a safety device needs on top is here:

- Its retries and its reconnecting are off. A port or socket that fails is closed, and opened again
  by the next read that comes after the backoff; until then reads fail at once with the reason.
  A connection on which answers came and that the peer then ends is made anew at once, and the
  question asked again: many close after each answer, or when nothing was asked for a while.
- An RTU reply has no number, and pymodbus takes any frame of the unit for the answer. Here a frame
  counts only if unit, function and byte count are those of the request, wherever it stands in
  what came in: noise before a reply does not cost the reply.
- A time-out counts only if this process was awake when it passed, and no answer had begun: an
  answer that waits in the kernel, or a request that went out late, is not the device's silence.
- After a timeout the answer may still come. No request that it would fit is sent for `late_ms`,
  or until the unit has answered a request of another shape (`BusDoor.hold_ms` tells how long).
- Nor is the first answer to such a question believed as it is: another one is asked behind it, and
  only if nothing but its answer comes were there as many answers as questions (`_make_sure`). That
  also holds for TCP, where cheap bridges put the newest number on whatever the line says.
- A read that is cancelled leaves its answer under way: the next read lets it pass first.
- Our own request heard back (local echo) is taken out; what else is heard is told apart and
  counted (`BusDoor.counts`): late answers, other masters, damage, noise.
- Beside another master a block is asked for in a length that it does not ask for (`_apart`), and
  what comes with bytes around it that nobody understands is checked by another question.
"""

import asyncio
import errno
import logging
import os
import socket
import termios
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

import serial
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from serial.rs485 import RS485Settings

from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.points import Table
from gateway.domain.site import Bus, Direction, Parity, SerialLine, TcpLink
from gateway.drivers.adapters import find_port
from gateway.drivers.frames import (
    DAMAGED,
    Frame,
    Kind,
    Shape,
    begins_as_question,
    cut_tcp,
    find_frames,
    find_rtu_reply,
    has_noise,
    is_answer,
    is_asked,
    may_be_question,
    shape_of,
    tcp_fits,
    what_came,
    what_came_by_tcp,
)
from gateway.drivers.names import HostAddresses, LookUp, system_addresses

BACKOFF_S = (0.2, 5.0)  # first and longest pause between two attempts to open
LOOK_UP_S = 1.0  # for the addresses of a name; a later answer is there for the next attempt
OPEN_TIMEOUT_S = 3.0  # for a TCP connection; a serial port opens or fails at once
TIMEOUTS_TO_REOPEN = 3  # in a row on one TCP connection: it may be a dead one
BABBLE_GAPS = 8  # a line that is never quiet is asked all the same: nothing blocks a bus for ever
BUFFER_BYTES = 4096  # noise in front of a reply that is kept to look for the reply behind it
PACKET_BYTES = 1 << 20  # pymodbus throws away what comes at once beyond its own 264
STALL_S = 0.03  # a timer that fires so much too late: this process, or the machine, stood still
BEGUN_S = 0.05  # an answer of which something came so short ago has begun, and is let finish
HOLD_STEP_S = 0.1  # how often a held read looks whether the late answer has come
MASTER_REQUESTS, MASTER_WITHIN_S = 3, 60.0  # so many foreign questions so close: another master
COMPANY_S = 600.0  # after its last question that was heard whole, another master may ask again
THEIR_TURN_S = 0.1  # so long its answer is let come first: who interrupts gets none either
APARTS_FAILED = 4  # in a row: then registers before are asked for as well, instead of behind
APARTS_AGAIN = 40  # then, and so long, none
MOST_REGISTERS = 125  # a request: MODBUS Application Protocol V1.1b3, 6.3/6.4
STRANGE_AGAIN = 3  # times `late_max`: what comes unasked all the time holds a shape for a third
ECHOES_MISSED = 3  # answers without our own question heard before: this adapter does not echo
NO_SUCH_ADDRESS = 2  # of Modbus's exceptions
BRIDGE_GAVE_UP = (0x0A, 0x0B)  # the bridge says that its device did not answer
CHECKS_UNANSWERED = 2  # in a row, and a unit is believed without: it knows only its own registers

Client = AsyncModbusSerialClient | AsyncModbusTcpClient

log = logging.getLogger(__name__)


@dataclass(slots=True)
class BusCounts:
    """What went over this bus since the start; only ever grows."""

    requests: int = 0
    timeouts: int = 0
    crc_errors: int = 0  # the awaited answer came, damaged or cut
    late: int = 0  # whole answers to requests that had timed out
    foreign: int = 0  # whole frames that answer nothing that was asked here
    foreign_requests: int = 0  # those of them that are another master's questions
    noise_bytes: int = 0
    echoes: int = 0  # our own requests, heard back
    opened: int = 0


Dial = Callable[[Client, Bus], Awaitable[asyncio.BaseTransport]]


@asynccontextmanager
async def open_bus(
    bus: Bus,
    *,
    late_ms: int | None = None,
    dial: Dial | None = None,
    find: Callable[[str], str] = find_port,
    look_up: LookUp = system_addresses,
) -> AsyncIterator["BusDoor"]:
    """Give the door to one bus, as its only user. The port is opened by the first read.

    `late_ms`, `dial`, `find` and `look_up` stand in for the bus's own in tests and simulations.
    """
    # every timeout and every stray byte is a line there; here they are exceptions with a name
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    late_ms = bus.late_ms if late_ms is None else late_ms
    door = BusDoor(bus, late_ms, dial or _dial, find, look_up)
    try:
        yield door
    finally:
        door.close()


class BusDoor:
    """One bus: one request in flight, in the order of the calls."""

    def __init__(
        self, bus: Bus, late_ms: int, dial: Dial, find: Callable[[str], str], look_up: LookUp
    ) -> None:
        self.counts = BusCounts()
        self._bus = bus
        self._dial = dial
        self._find = find
        self._is_serial = isinstance(bus.link, SerialLine)
        self._host: HostAddresses | None = None
        if isinstance(bus.link, TcpLink):
            self._host = HostAddresses(bus.link.host, bus.link.port, look_up)
        self._late_s = late_ms / 1000
        self._gap_s = _gap_s(bus)
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._down_why = ""
        self._is_said_down = False
        self._backoff_s = 0.0
        self._open_at = 0.0
        self._shape: Shape | None = None  # of the answer that is under way
        self._sent = b""
        self._takes_refusal = True
        self._is_waited_for = False
        self._owed_until = 0.0
        self._deadline: asyncio.TimerHandle | None = None
        self._answered = asyncio.Event()
        self._heard = b""  # and not yet told what it was
        self._heard_at = 0.0
        self._is_garbled = False  # a TCP stream in which no frame can be found any more
        self._timeouts = 0
        self._has_served = False  # answers came on this connection
        self._unsure: set[Shape] = set()  # asked, not answered: what fits next may be that answer
        self._doubted: Shape | None = None  # while it is found out whether it was
        self._strays = 0  # answers that came meanwhile and were not asked for
        self._came = ""  # instead of the answer: for people
        self._tardy: set[int] = set()  # units that answered last, but too late
        self._unchecked: dict[int, int] = {}  # unit: checks it has not answered, in a row
        self._missed: Shape | None = None  # timed out last: its answer may have come damaged
        self._late: dict[Shape, float] = {}  # an answer of this shape may come until
        self._asked_by_others: dict[Shape, int] = {}  # how many of their answers may come
        self._unit: int | None = None  # that was asked last
        self._has_line = self._is_serial  # answers come over a line, where they carry no number
        self._masters: deque[tuple[float, int]] = deque(maxlen=MASTER_REQUESTS)  # when, unit
        self._strange: dict[Shape, float] = {}  # came unasked: not held for it again until
        self._theirs: dict[Shape, float] = {}  # what another master asks for, until
        self._aparts: dict[tuple[int, Table, int, int], int] = {}  # failed
        self._their_turn_until = 0.0  # another master's question is being answered
        self._before = 0  # of the bytes heard: so many before our question went out
        self._echoes_missed = 0  # in a row
        self._is_echo_due = False
        self._is_doubtful = False  # the answer just taken, and may be the answer to somebody else

    async def read(
        self, unit: int, table: Table, start: int, count: int, timeout_ms: int
    ) -> list[int]:
        """Return `count` words (bits as 0 and 1) from the 0-based wire address `start`.

        Raises DeviceSilent, DeviceRefused or BusDown; never returns another request's answer.
        """
        shape = shape_of(unit, table, count)
        if unit != self._unit:
            self._has_line |= self._unit is not None  # several units at one address: a bridge
            self._unit = unit
        async with self._lock:
            if self._heard and self._is_serial and self._shape is None:
                await self._until_quiet()
            if self._has_company():
                return await self._apart(shape, table, start, count, timeout_ms)
            return await self._sure(shape, table, start, count, timeout_ms)

    async def _apart(
        self, shape: Shape, table: Table, start: int, count: int, timeout_ms: int
    ) -> list[int]:
        """Beside another master: ask so that the answer has a length that it never asks for.

        Its question may be heard by the device in place of ours, and not by us at all.
        """
        block = shape.unit, table, start, count
        failed = self._aparts.get(block, 0) % APARTS_AGAIN
        more = self._wider(shape, table, count) - count
        at = (start, start - more)[failed // APARTS_FAILED] if failed < 2 * APARTS_FAILED else -1
        if more > 0 and at >= 0:
            other = shape_of(shape.unit, table, count + more)
            try:
                words = await self._sure(other, table, at, count + more, timeout_ms)
            except DeviceRefused as refused:
                if refused.code in BRIDGE_GAVE_UP:
                    raise
                failed += 1  # no register there, or somebody else's refusal
            except DeviceSilent:
                self._aparts[block] = failed + 1
                raise
            else:
                self._aparts[block] = failed - failed % APARTS_FAILED
                return words[start - at : start - at + count]
        if more > 0:
            self._aparts[block] = failed + 1
        try:
            return await self._sure(shape, table, start, count, timeout_ms)
        except DeviceRefused:  # one is like the other: it may be the answer to somebody else
            return await self._sure(shape, table, start, count, timeout_ms)

    def _wider(self, shape: Shape, table: Table, count: int) -> int:
        """How many to ask for instead, that nobody else does; `count` if nobody asks for that."""
        if not self._is_theirs(shape):
            return count
        step = 8 if table.is_bits else 1
        for more in range(count + step, min(count + 8 * step, MOST_REGISTERS * step) + 1, step):
            other = shape_of(shape.unit, table, more)
            if not self._is_theirs(other) and not self.hold_ms(shape.unit, table, more):
                return more
        return count

    def _is_theirs(self, shape: Shape) -> bool:
        return self._loop.time() < self._theirs.get(shape, 0.0)

    async def _sure(
        self, shape: Shape, table: Table, start: int, count: int, timeout_ms: int
    ) -> list[int]:
        words = await self._asked(shape, table, start, count, timeout_ms)
        if shape in self._unsure or self._is_doubtful:
            await self._make_sure(shape, table, start, count, timeout_ms)
        self._is_in_step(shape.unit)
        return words

    async def _asked(
        self, shape: Shape, table: Table, start: int, count: int, timeout_ms: int
    ) -> list[int]:
        client = await self._opened()
        await self._until_free(shape)
        try:
            return await self._exchange(client, shape, table, start, count, timeout_ms)
        except _HungUp:
            client = await self._opened()
            return await self._exchange(client, shape, table, start, count, timeout_ms)

    async def _make_sure(
        self, shape: Shape, table: Table, start: int, count: int, timeout_ms: int
    ) -> None:
        """Ask one register more or less, behind an answer that may be an earlier question's.

        DeviceSilent if it was, or if that cannot be found out.
        """
        if self._unchecked.get(shape.unit, 0) >= CHECKS_UNANSWERED:
            return
        counts = _other_counts(table, count)
        other = next((n for n in counts if not self.hold_ms(shape.unit, table, n)), None)
        if other is None:
            raise DeviceSilent(shape.unit, is_heard=True)
        self._doubted = shape
        is_answered, is_contrary = True, False
        try:
            check = shape_of(shape.unit, table, other)
            await self._asked(check, table, start, other, timeout_ms)
        except DeviceSilent:
            is_answered = False
        except DeviceRefused as refused:
            is_answered = refused.code not in BRIDGE_GAVE_UP
            # less of what it has just given is not there: then it did not give that to us
            is_contrary = refused.code == NO_SUCH_ADDRESS and other < count and self._has_company()
        finally:
            self._settle()
            self._doubted = None
        if is_answered:
            self._unchecked.pop(shape.unit, None)
            self._is_in_step(shape.unit)
        elif not self._strays:
            self._unchecked[shape.unit] = self._unchecked.get(shape.unit, 0) + 1
        if self._strays:
            why = "answers come for the question before"
            raise DeviceSilent(shape.unit, why, is_heard=True)
        if not is_answered or is_contrary:
            raise DeviceSilent(shape.unit, is_heard=True)

    def _is_in_step(self, unit: int) -> None:
        """A unit answers in order: of what it was asked before, no answer can come any more."""
        if self._unsure:
            self._unsure = {asked for asked in self._unsure if asked.unit != unit}

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """The port is free for somebody else while the block runs; the next read opens it again."""
        async with self._lock:
            await self._until_quiet()
            self.close()
            try:
                yield
            finally:
                self._heard_at = self._loop.time()  # whatever was said there counts for the gap

    def hold_ms(self, unit: int, table: Table, count: int) -> int:
        """How long a read of this shape would wait now, because an answer may still be late.

        For the scheduler, which has better things to read meanwhile.
        """
        if not self._late and not self._heard:
            return 0
        if self._shape is None and self._loop.time() >= self._heard_at + self._gap_s:
            self._settle()
        until = self._late.get(shape_of(unit, table, count), 0.0)
        return max(0, round(1000 * (until - self._loop.time())))

    @property
    def foreign_master(self) -> str:
        """What somebody else asks for on this line, not once but again and again; "" if nobody."""
        masters = self._masters
        if len(masters) < MASTER_REQUESTS or self._loop.time() - masters[0][0] > MASTER_WITHIN_S:
            return ""
        return "asks unit " + ", ".join(map(str, sorted({unit for _, unit in masters})))

    def close(self) -> None:
        """Give the port or socket back."""
        client, self._client = self._client, None
        self._shape = None
        self._owed_until = 0.0
        self._heard = b""
        if client is not None:
            client.close()

    async def _opened(self) -> Client:
        if self._client is not None and self._client.connected:
            return self._client
        now = self._loop.time()
        self.close()
        if now < self._open_at:
            raise BusDown(self._down_why)
        self._client = await self._open()
        return self._client

    async def _open(self) -> Client:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                client = await self._connected()
        except (OSError, termios.error, TimeoutError, BusDown) as error:
            raise self._gone(_why(error, self._bus)) from error
        self.counts.opened += 1
        self._heard = b""
        self._echoes_missed = 0
        self._is_garbled = False
        self._has_served = False
        self._timeouts = 0
        return client

    async def _connected(self) -> Client:
        """A client of the open port, or of the first of the host's addresses that takes one."""
        addresses = [""] if self._host is None else await self._host.find(LOOK_UP_S)
        for left in range(len(addresses) - 1, -1, -1):
            # not client.connect(): that turns every reason into False
            address = addresses[-1 - left]
            client = _client_of(
                self._bus, address, self._find, self._on_packet, self._on_connection
            )
            client.ctx.max_buffer_size = PACKET_BYTES
            try:
                client.ctx.transport = await self._dial(client, self._bus)
            except BaseException as error:
                client.close()
                if not left or not isinstance(error, OSError):
                    raise
            else:
                return client
        raise socket.gaierror(socket.EAI_NONAME, "a name without an address")

    async def _until_free(self, shape: Shape) -> None:
        """Wait until nothing that is still under way can be taken for the answer to `shape`."""
        if self._shape is not None and not self._answered.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._owed_until):
                    await self._answered.wait()
            if not self._answered.is_set():
                self._unsure.add(self._shape)
                self._is_late(self._shape)
        self._shape = None
        await self._until_quiet()
        longest = self._loop.time() + self._late_s  # somebody else may ask for it again and again
        while (until := min(longest, self._late.get(shape, 0.0))) > self._loop.time():
            await asyncio.sleep(min(until - self._loop.time(), HOLD_STEP_S))
            await self._until_quiet()
        if self._late.pop(shape, 0.0) > self._loop.time():
            self._unsure.add(shape)

    async def _until_quiet(self) -> None:
        """Keep the gap, counted from the last byte heard; then say what was heard.

        An answer to somebody else that is still to come is let come, for a while.
        """
        await self._keep_gap()
        self._settle()
        for _ in range(BABBLE_GAPS):
            if self._loop.time() >= self._their_turn_until:
                return
            await asyncio.sleep(THEIR_TURN_S / BABBLE_GAPS)
            await self._keep_gap()
            self._settle()

    async def _keep_gap(self) -> None:
        for _ in range(BABBLE_GAPS):
            wait_s = self._heard_at + self._gap_s - self._loop.time()
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
        # pymodbus's own time-out would begin before the request is written, and forgive nothing
        client.ctx.comm_params.timeout_connect = None  # type: ignore[assignment]
        self._expect_by(self._loop.time() + timeout_ms / 1000, is_last=False)
        self._answered.clear()
        if self._doubted is None:
            self._strays = 0
        self._came = ""
        self._before = len(self._heard)
        self._is_echo_due = self._echoes_missed < ECHOES_MISSED
        self._is_doubtful = False
        self._shape = shape
        self._takes_refusal = not self._late or self._is_refusal_ours(shape)
        self._is_waited_for = True
        self.counts.requests += 1
        try:
            reply = await _request(client, shape.unit, table, start, count)
        except ModbusIOException as error:
            self._shape = None
            why = self._why_silent(shape)
            self._on_timeout(shape)
            raise DeviceSilent(shape.unit, why, why == DAMAGED) from error
        except (ConnectionException, OSError, termios.error) as error:
            self._shape = None
            if self._has_line:
                self._unsure.add(shape)
            self.close()
            if self._has_served and not self._is_serial:
                raise _HungUp from error
            raise self._gone(_lost(self._bus)) from error
        finally:
            self._is_waited_for = False
            if self._deadline is not None:
                self._deadline.cancel()
        self._shape = None
        self._on_answer(shape, reply)
        return _words_of(reply, shape.unit, table, count)

    def _expect_by(self, until: float, *, is_last: bool) -> None:
        began = self._loop.time()
        self._owed_until = until
        self._deadline = self._loop.call_at(until, self._on_deadline, until - began, is_last)

    def _on_deadline(self, waited_s: float, is_last: bool) -> None:
        """End the wait; once more is waited if it was not the device that was slow."""
        client, now = self._client, self._loop.time()
        if client is None or not self._is_waited_for or client.ctx.response_future.done():
            return
        if not is_last and now - self._owed_until > STALL_S:
            self._expect_by(now + waited_s, is_last=True)
        elif not is_last and self._heard and now - self._heard_at < BEGUN_S:
            self._expect_by(now + self._reply_s, is_last=True)
        else:
            client.ctx.response_future.set_exception(ModbusIOException("no answer"))

    @property
    def _reply_s(self) -> float:
        """How long the awaited answer may take from its first byte to its last."""
        if self._shape is None or not isinstance(self._bus.link, SerialLine):
            return BEGUN_S
        return BEGUN_S + (5 + self._shape.data_bytes) * self._bus.link.char_ms / 1000

    def _is_refusal_ours(self, shape: Shape) -> bool:
        """False while another request of this unit and function may still be refused.

        An exception reply has no length to tell it by.
        """
        now = self._loop.time()
        self._late = {late: until for late, until in self._late.items() if until > now}
        return all(
            (late.unit, late.function) != (shape.unit, shape.function) for late in self._late
        )

    def _on_answer(self, shape: Shape, reply: ModbusPDU) -> None:
        self._timeouts = 0
        self._has_served = True
        self._tardy.discard(shape.unit)
        self._backoff_s = 0.0
        if self._is_said_down:
            self._is_said_down = False
            log.debug("bus answers again bus=%s", self._bus.id)
        if isinstance(reply, ExceptionResponse) and reply.exception_code in BRIDGE_GAVE_UP:
            self._has_line = True
            self._unsure.add(shape)
            self._is_late(shape)  # its device may still answer, into the next question
        elif self._late:
            # a unit answers in order: what it answered before this one cannot come any more
            self._late = {
                late: t
                for late, t in self._late.items()
                if late.unit != shape.unit or late in self._asked_by_others  # maybe after us
            }

    def _why_silent(self, shape: Shape) -> str:
        """What was heard instead of the answer; "timeout" if nothing was."""
        came = self._came
        if self._is_serial:
            came = what_came(self._heard, self._sent, shape, self._late)
        elif not came and self._heard:
            came = "only the beginning of an answer came in time"
        if not came and shape.unit in self._tardy:
            came = "it answers later than the timeout"
        return came or "timeout"

    def _on_timeout(self, shape: Shape) -> None:
        self.counts.timeouts += 1
        echo = self._sent if self._is_echo_due else b""
        if self._is_serial and is_asked(self._heard, shape, echo):
            self._settle()  # before `shape` is late: what came already is not waited for
        self._missed = shape
        self._unsure.add(shape)
        self._is_late(shape)
        if not self._is_serial:
            self._timeouts += 1
            # half a frame would shift every later one; and a peer that is gone never says so
            if self._heard or self._is_garbled or self._timeouts >= TIMEOUTS_TO_REOPEN:
                self.close()

    def _is_late(self, shape: Shape) -> None:
        if self._has_line:
            self._late[shape] = self._loop.time() + self._late_s

    def _gone(self, why: str) -> BusDown:
        """Remember why, and when to try again."""
        self._down_why = why
        first, longest = BACKOFF_S
        self._backoff_s = min(longest, 2 * self._backoff_s) or first
        self._open_at = self._loop.time() + self._backoff_s
        if not self._is_said_down:
            self._is_said_down = True
            log.debug("bus is gone bus=%s why=%s", self._bus.id, why)
        return BusDown(why)

    def _on_packet(self, is_sent: bool, packet: bytes) -> bytes:
        """Let through to pymodbus only the frame that answers the request under way.

        What was heard is kept here; pymodbus's own buffer is emptied, so that `packet` is always
        what came just now.
        """
        if is_sent:
            self._sent = packet
            return packet
        self._heard_at = self._loop.time()
        if self._client is not None:
            self._client.ctx.recv_buffer = b""
        frame = self._hear_rtu(packet) if self._is_serial else self._hear_tcp(packet)
        if frame:
            self._answered.set()
        return frame  # nobody waits after a cancelled read: then pymodbus drops it

    def _hear_rtu(self, packet: bytes) -> bytes:
        heard = self._heard + packet if self._heard else packet
        if len(heard) > BUFFER_BYTES:
            self.counts.noise_bytes += len(heard) - BUFFER_BYTES
            self._before = max(0, self._before + BUFFER_BYTES - len(heard))
            heard = heard[-BUFFER_BYTES:]
        self._heard = heard
        if self._shape is None or self._answered.is_set() or self._sent.startswith(heard):
            return b""
        echo = heard.find(self._sent, self._before)
        if not self._is_echo_due and echo != self._before:
            echo = -1  # not the first thing heard, of an adapter that did not echo
        began = self._before if echo < 0 else echo + len(self._sent)
        frame = find_rtu_reply(heard[began:], self._shape, takes_refusal=self._takes_refusal)
        if not frame:
            return b""
        at = heard.find(frame, began)
        others = heard[: max(echo, 0)], heard[began if echo >= 0 else 0 : at]
        is_refused = bool(frame[1] & 0x80)
        is_theirs = self._has_company() and begins_as_question(frame)
        if is_theirs or any(is_asked(each, self._shape, is_refused=is_refused) for each in others):
            return b""  # whose answer it is cannot be known: nothing counts until the time-out
        self._learn_echo(echo >= 0)
        self._heard = heard[at + len(frame) :]
        if at:
            self._is_doubtful = self._has_company() and any(map(has_noise, others))
            self._tell(find_frames(heard[:at]))
        self._is_doubtful |= self._has_company() and may_be_question(frame)
        return frame

    def _learn_echo(self, is_heard: bool) -> None:
        """An adapter echoes always or never: what it does not may be somebody's like question."""
        missed = self._echoes_missed
        if not is_heard:
            self._echoes_missed = min(missed + 1, ECHOES_MISSED)
        else:
            self._echoes_missed = 0 if self._is_echo_due else missed - 1
            self._is_echo_due = True

    def _has_company(self) -> bool:
        """True while another master may be asking: what is not understood may be a question."""
        return bool(self._masters) and self._loop.time() - self._masters[-1][0] < COMPANY_S

    def _hear_tcp(self, packet: bytes) -> bytes:
        try:
            frames, self._heard = cut_tcp(self._heard + packet if self._heard else packet)
        except ValueError:
            self._is_garbled = True
            self._came = "what comes is no Modbus TCP"
            if self._shape and find_rtu_reply(self._heard + packet, self._shape):
                self._came = "RTU frames come: the converter must be set to Modbus TCP"
            self.counts.noise_bytes += len(packet)
            return b""
        reply = b""
        transaction = int.from_bytes(self._sent[:2], "big")
        for frame in frames:
            if not reply and self._shape and tcp_fits(frame, self._shape, transaction):
                reply = frame
            elif 0 < int.from_bytes(frame[:2], "big") < transaction + (self._shape is None):
                self.counts.late += 1
                self._tardy.add(frame[6])
                self._unchecked.pop(frame[6], None)
            else:
                self.counts.foreign += 1
                self._strays += frame[:2] == self._sent[:2]
                if self._shape:
                    self._came = what_came_by_tcp(frame, self._shape)
        return reply

    def _settle(self) -> None:
        """Say what the bytes were that answered nothing; nothing is under way now."""
        if self._heard and self._is_serial:
            found = list(find_frames(self._heard))
            self._heard = b""
            is_young = self._loop.time() - self._heard_at < BEGUN_S
            if is_young and isinstance(last := found[-1], bytes):
                self._heard = last  # the rest may be on its way through the adapter
                del found[-1]
            self._tell(found)
        if not self._heard:
            self._missed = None

    def _tell(self, found: Iterable[Frame | bytes]) -> None:
        for each in found:
            match each:
                case Frame(kind=Kind.REQUEST):
                    self._heard_asking(each)
                case Frame():
                    self._heard_answering(each)
                case noise:
                    self._heard_noise(noise)

    def _heard_noise(self, noise: bytes) -> None:
        self.counts.noise_bytes += len(noise)
        if self._missed and bytes((self._missed.unit, self._missed.function)) in noise:
            self.counts.crc_errors += 1
            self._late.pop(self._missed, None)  # it has come; if this was not it, that is found out
            self._missed = None

    def _heard_asking(self, request: Frame) -> None:
        """Our echo; or another master, and then its answer is no answer to us."""
        if request.raw == self._sent and self._is_echo_due:
            self._is_echo_due = False
            self.counts.echoes += 1
            return
        self.counts.foreign += 1
        self.counts.foreign_requests += 1
        now, shape = self._loop.time(), request.shape
        self._masters.append((now, shape.unit))
        self._their_turn_until = self._heard_at + THEIR_TURN_S
        before = self._theirs.get(shape, 0.0) - COMPANY_S
        self._theirs[shape] = now + COMPANY_S
        owed = self._asked_by_others.get(shape, 0) if now < before + self._late_s else 0
        self._asked_by_others[shape] = owed + 1
        if not owed:  # or one that nobody answers would hold it for ever
            self._is_late(shape)

    def _heard_answering(self, reply: Frame) -> None:
        """What was owed has come, and need not be waited for any more."""
        self._their_turn_until = 0.0
        self._unchecked.pop(reply.shape.unit, None)  # it answers checks as well, but late
        answered = [late for late in self._late if is_answer(reply, late)]
        is_ours = bool(answered) and not any(map(self._asked_by_others.__contains__, answered))
        self.counts.late += is_ours
        if is_ours:
            self._tardy.add(reply.shape.unit)
        self.counts.foreign += not is_ours
        self._strays += reply.shape == self._doubted
        if len(answered) == 1:  # a refusal may answer any of several
            self._has_come(answered[0])
        elif reply.kind is Kind.REPLY and not self._asked_by_others.pop(reply.shape, 0):
            # nobody asked: two devices at one address, or one slower than `late_max`; it may again
            now = self._loop.time()
            if now >= self._strange.get(reply.shape, 0.0):
                self._strange[reply.shape] = now + STRANGE_AGAIN * self._late_s
                self._is_late(reply.shape)

    def _has_come(self, shape: Shape) -> None:
        """One answer of this shape has: nothing is waited for if no other one is owed."""
        others = self._asked_by_others.pop(shape, 0)
        if others > 1:
            self._asked_by_others[shape] = others - 1
        elif not others or shape not in self._unsure:
            del self._late[shape]

    def _on_connection(self, is_up: bool) -> None:
        """A port that is pulled while an answer is awaited ends the wait at once."""
        client = self._client
        if is_up or client is None or not self._is_waited_for:
            return
        if not client.ctx.response_future.done():
            client.ctx.response_future.set_exception(ConnectionException("connection lost"))


class _HungUp(Exception):
    """The peer ended a connection on which it had answered."""


async def _dial(client: Client, bus: Bus) -> asyncio.BaseTransport:
    """Open the port or the connection as the bus says."""
    transport, _ = await client.ctx.call_create()
    if isinstance(bus.link, SerialLine):
        try:
            if bus.link.rs485 is not None:
                set_direction(transport.sync_serial, bus.link.rs485)
            await asyncio.sleep(bus.link.open_delay_ms / 1000)
        except BaseException:
            transport.close()
            raise
    return cast(asyncio.BaseTransport, transport)


def set_direction(port: serial.Serial, direction: Direction) -> None:
    """Let the driver switch between sending and receiving with RTS. OSError when it cannot."""
    try:
        port.rs485_mode = RS485Settings(
            rts_level_for_tx=direction.rts_on_send,
            rts_level_for_rx=not direction.rts_on_send,
            delay_before_tx=direction.delay_before_ms / 1000,
            delay_before_rx=direction.delay_after_ms / 1000,
        )
    except (ValueError, OSError) as error:  # pyserial: ValueError, whatever the driver said
        raise OSError(errno.EOPNOTSUPP, "no RS-485 direction control") from error


def _client_of(
    bus: Bus,
    address: str,
    find: Callable[[str], str],
    on_packet: Callable[[bool, bytes], bytes],
    on_connection: Callable[[bool], None],
) -> Client:
    match bus.link:
        case SerialLine(port, baud, parity, stop_bits):
            return AsyncModbusSerialClient(
                find(port),
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
        case TcpLink(port=port_number):
            return AsyncModbusTcpClient(
                address,
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
    match table:
        case Table.COIL:
            ask = client.read_coils
        case Table.DISCRETE:
            ask = client.read_discrete_inputs
        case Table.HOLDING:
            ask = client.read_holding_registers
        case Table.INPUT:
            ask = client.read_input_registers
    return await ask(start, count=count, device_id=unit)


def _words_of(reply: ModbusPDU, unit: int, table: Table, count: int) -> list[int]:
    if isinstance(reply, ExceptionResponse):
        raise DeviceRefused(unit, reply.exception_code)
    if table.is_bits:
        return [int(bit) for bit in reply.bits[:count]]
    if len(reply.registers) != count:
        raise DeviceSilent(unit, f"{len(reply.registers)} registers came instead of {count}")
    return list(reply.registers)


def _other_counts(table: Table, count: int) -> tuple[int, ...]:
    """How many to ask for, that the answer has another length; within the block if it can."""
    step = 8 if table.is_bits else 1
    return tuple(n for n in (count - step, count + step, count + 2 * step) if n > 0)


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
    if isinstance(error, BusDown):
        return error.why
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
        errno.EOPNOTSUPP: f"the driver of {line.port} cannot switch RS-485 direction with RTS",
        errno.EISDIR: f"{line.port} is not a serial port",
        None: f"{line.port} is not a serial port",  # pyserial: no terminal settings to be had
    }
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    # pyserial's own words name the port twice
    return whys.get(number) or f"{line.port} cannot be opened: {os.strerror(number or 0)}"


def _why_no_connection(error: BaseException, link: TcpLink) -> str:
    peer = f"{link.host}:{link.port}"
    if isinstance(error, TimeoutError):
        return f"no answer from {peer}"
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return f"no name server answers where {link.host} is"
    if isinstance(error, socket.gaierror):
        return f"unknown host: {link.host}"
    whys: dict[int | None, str] = {
        errno.ECONNREFUSED: f"{peer} refuses connections",
        errno.EHOSTUNREACH: f"no route to {peer}",
        errno.ENETUNREACH: f"no route to {peer}",
    }
    number = error.errno if isinstance(error, OSError) else None
    return whys.get(number, f"{peer} cannot be reached: {error}")
