"""The Modbus door against scripted devices: what goes wrong on a wire, one thing a test."""

import asyncio
import fcntl
import gc
import itertools
import logging
import os
import struct
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.points import Table
from gateway.domain.site import Bus, Parity, SerialLine, TcpLink
from gateway.drivers.frames import cut_tcp, find_rtu_reply, shape_of, tcp_fits
from gateway.drivers.modbus import open_bus
from tests.partners.modbus.line import Device, Port, crc16, frame, refusal

ANSWER_MS = 5_000  # generous: a busy machine; nothing waits so long when all is well
SILENCE_MS = 60
INPUT, HOLDING = Table.INPUT, Table.HOLDING


def counting(unit, function, start, count):
    """A device whose register n holds n."""
    return frame(unit, function, *range(start, start + count))


@pytest.fixture
async def port(tmp_path):
    with Port(tmp_path / "adapter") as plugged:
        yield plugged


def on(port, **how):
    link = SerialLine(str(port.path), baud=115200)
    return open_bus(Bus("b", link, gap_ms=how.pop("gap_ms", None)), **how)


async def eventually(read, deadline_s=30):
    """Repeat a read until it works; what is asserted is that it does, not how fast."""
    until = time.monotonic() + deadline_s
    while True:
        try:
            return await read()
        except (BusDown, DeviceSilent):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)


def open_descriptors():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


# --- what a reply must look like ------------------------------------------------------------


def test_golden_frames_are_found_whole_and_behind_garbage():
    golden = bytes.fromhex("01030200BD7835")
    shape = shape_of(1, HOLDING, 1)
    assert find_rtu_reply(golden, shape) == golden
    assert find_rtu_reply(b"\x00\xff\x01\x03" + golden + b"\x55", shape) == golden
    assert find_rtu_reply(golden[:-1], shape) == b""
    assert find_rtu_reply(golden[:-1] + b"\x00", shape) == b""
    vendors = bytes.fromhex("01030200017984")
    assert find_rtu_reply(vendors, shape) == vendors
    assert find_rtu_reply(bytes.fromhex("018302C0F1"), shape) == bytes.fromhex("018302C0F1")


def test_a_frame_of_another_unit_function_or_length_does_not_fit():
    shape = shape_of(7, INPUT, 2)
    for foreign in (
        frame(8, 4, 1, 2), frame(7, 3, 1, 2), frame(7, 4, 1), frame(7, 4, 1, 2, 3), refusal(7, 3, 2)
    ):  # fmt: skip
        assert find_rtu_reply(foreign, shape) == b""
        assert find_rtu_reply(foreign + frame(7, 4, 5, 6), shape) == frame(7, 4, 5, 6)


def test_our_own_request_coming_back_as_an_echo_is_not_the_reply():
    request = struct.pack(">BBHH", 7, 4, 0x0400, 2)
    echoed = request + crc16(request) + frame(7, 4, 5, 6)
    assert find_rtu_reply(echoed, shape_of(7, INPUT, 2)) == frame(7, 4, 5, 6)


def mbap(transaction, pdu, unit=7):
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def test_a_tcp_frame_counts_only_with_its_transaction_and_its_shape():
    shape = shape_of(7, INPUT, 1)
    for good in (mbap(5, b"\x04\x02\x00\x09"), mbap(5, b"\x84\x02")):
        assert tcp_fits(good, shape, 5)
    for foreign in (
        mbap(0, b"\x04\x02\x00\x09"), mbap(5, b"\x04\x02\x00\x09", unit=8),
        mbap(5, b"\x03\x02\x00\x09"), mbap(5, b"\x04\x04\x00\x09\x00\x01"),
        mbap(5, b"\x04\x04\x00\x09"),
    ):  # fmt: skip
        assert not tcp_fits(foreign, shape, 5)


def test_tcp_frames_are_cut_apart_and_half_a_one_is_kept():
    first, second = mbap(4, b"\x04\x02\x00\x08"), mbap(5, b"\x04\x02\x00\x09")
    assert cut_tcp(first + second) == ([first, second], b"")
    assert cut_tcp(first + second[:-1]) == ([first], second[:-1])
    assert cut_tcp(second[:3]) == ([], second[:3])
    with pytest.raises(ValueError, match="not a Modbus header"):
        cut_tcp(b"HTTP/1.1 400 Bad Request\r\n")


# --- reading ---------------------------------------------------------------------------------


async def test_words_come_back_in_order(port):
    device = Device(port, counting)
    async with on(port) as door:
        assert await door.read(3, INPUT, 100, 4, ANSWER_MS) == [100, 101, 102, 103]
        assert await door.read(3, HOLDING, 7, 1, ANSWER_MS) == [7]
    assert device.requests == [(3, 4, 100, 4), (3, 3, 7, 1)]


async def test_bits_come_back_as_zero_and_one(port):
    body = bytes([3, 2, 2, 0b0000_0101, 0b10])
    Device(port, lambda *_: body + crc16(body))
    async with on(port) as door:
        bits = await door.read(3, Table.DISCRETE, 0, 10, ANSWER_MS)
    assert bits == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]


async def test_an_exception_reply_is_a_refusal_with_its_code(port):
    Device(port, lambda unit, function, *_: refusal(unit, function, 2))
    async with on(port) as door:
        with pytest.raises(DeviceRefused) as caught:
            await door.read(3, INPUT, 0, 1, ANSWER_MS)
    assert caught.value == DeviceRefused(3, 2)


async def test_silence_is_asked_once_and_ends_at_the_timeout(port):
    device = Device(port, lambda *_: b"")
    async with on(port) as door:
        started = time.monotonic()
        with pytest.raises(DeviceSilent):
            await door.read(3, INPUT, 0, 1, SILENCE_MS)
    assert time.monotonic() - started >= SILENCE_MS / 1000
    assert len(device.requests) == 1, "the library must not retry"


@pytest.mark.parametrize("noise", [b"\x00", b"\xff", b"\x03\x04", b"\x03\x04\x04", b"U" * 300])
async def test_noise_before_a_reply_does_not_cost_the_reply(port, noise):
    Device(port, lambda *fields: noise + counting(*fields))
    async with on(port) as door:
        assert await door.read(3, INPUT, 5, 2, ANSWER_MS) == [5, 6]


async def test_a_reply_may_come_in_pieces(port):
    def answer(*fields):
        whole = counting(*fields)
        return [(0.005 * n, whole[n : n + 1]) for n in range(len(whole))]

    Device(port, answer)
    async with on(port) as door:
        assert await door.read(3, INPUT, 5, 2, ANSWER_MS) == [5, 6]


async def test_a_damaged_reply_is_silence_and_the_next_one_counts(port):
    def answer(*fields):
        whole = counting(*fields)
        return whole if len(device.requests) > 1 else whole[:-1] + b"\x00"

    device = Device(port, answer)
    async with on(port, late_ms=50) as door:
        with pytest.raises(DeviceSilent):
            await door.read(3, INPUT, 5, 2, SILENCE_MS)
        assert await door.read(3, INPUT, 5, 2, ANSWER_MS) == [5, 6]


async def test_a_reply_of_another_length_is_waited_past(port):
    Device(port, lambda unit, function, *_: frame(unit, function, 9) + frame(unit, function, 5, 6))
    async with on(port) as door:
        assert await door.read(3, INPUT, 5, 2, ANSWER_MS) == [5, 6]


# --- late answers -----------------------------------------------------------------------------


async def test_a_late_answer_never_becomes_another_registers_value(port):
    def answer(unit, function, start, count):
        return [(0.15 if start == 0 else 0.0, frame(unit, function, *[start + 1000] * count))]

    device = Device(port, answer)
    async with on(port, late_ms=400) as door:
        with pytest.raises(DeviceSilent):
            await door.read(3, INPUT, 0, 2, SILENCE_MS)
        assert door.hold_ms(3, INPUT, 2) > 0
        assert await door.read(3, INPUT, 50, 2, ANSWER_MS) == [1050, 1050]
    assert device.heard_at[1] - device.heard_at[0] >= 0.15, "not before the late answer came"


async def test_an_answer_that_never_comes_is_waited_for_as_long_as_it_may(port):
    device = Device(port, lambda *fields: b"" if fields[2] == 0 else counting(*fields))
    async with on(port, late_ms=400) as door:
        with pytest.raises(DeviceSilent):
            await door.read(3, INPUT, 0, 2, SILENCE_MS)
        assert await door.read(3, INPUT, 50, 2, ANSWER_MS) == [50, 51]
    assert device.heard_at[1] - device.heard_at[0] >= 0.4


async def test_requests_of_another_shape_need_not_wait_and_end_the_waiting(port):
    def answer(unit, function, start, count):
        return [(30.0 if start == 0 else 0.0, frame(unit, function, *[start + 1000] * count))]

    Device(port, answer)
    async with on(port, late_ms=60_000) as door:
        with pytest.raises(DeviceSilent):
            await door.read(3, INPUT, 0, 2, SILENCE_MS)
        assert door.hold_ms(3, INPUT, 3) == 0
        assert door.hold_ms(4, INPUT, 2) == 0
        assert await door.read(3, INPUT, 50, 3, ANSWER_MS) == [1050] * 3
        assert door.hold_ms(3, INPUT, 2) == 0
        assert await door.read(3, INPUT, 60, 2, ANSWER_MS) == [1060] * 2


async def test_another_unit_does_not_end_the_waiting(port):
    Device(port, lambda unit, *rest: b"" if unit == 3 else counting(unit, *rest))
    async with on(port, late_ms=60_000) as door:
        with pytest.raises(DeviceSilent):
            await door.read(3, INPUT, 0, 2, SILENCE_MS)
        assert await door.read(4, INPUT, 0, 3, ANSWER_MS) == [0, 1, 2]
        assert door.hold_ms(3, INPUT, 2) > 30_000


async def test_a_cancelled_read_does_not_spoil_the_next(port):
    def answer(unit, function, start, count):
        return [(0.1, frame(unit, function, *[start + 1000] * count))]

    device = Device(port, answer)
    async with on(port) as door:
        await door.read(3, INPUT, 9, 1, ANSWER_MS)
        reading = asyncio.create_task(door.read(3, INPUT, 0, 2, ANSWER_MS))
        while len(device.requests) < 2:
            await asyncio.sleep(0.001)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await door.read(3, INPUT, 50, 3, ANSWER_MS) == [1050] * 3
        assert door.hold_ms(3, INPUT, 2) == 0
    assert device.heard_at[2] - device.heard_at[1] >= 0.1, "the line was still in use"


async def test_a_cancelled_read_of_a_silent_device_counts_as_late(port):
    device = Device(port, lambda unit, *rest: b"" if unit == 3 else counting(unit, *rest))
    async with on(port, late_ms=60_000) as door:
        reading = asyncio.create_task(door.read(3, INPUT, 0, 2, SILENCE_MS))
        while not device.requests:
            await asyncio.sleep(0.001)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await door.read(4, INPUT, 0, 1, ANSWER_MS) == [0]
        assert door.hold_ms(3, INPUT, 2) > 30_000


async def test_reads_at_the_same_time_are_sent_one_after_the_other(port):
    answered = []

    def answer(*fields):
        answered.append(asyncio.get_running_loop().time())
        return [(0.02, counting(*fields))]

    Device(port, answer)
    async with on(port) as door:
        reads = [door.read(unit, INPUT, unit, 1, ANSWER_MS) for unit in range(1, 6)]
        assert await asyncio.gather(*reads) == [[1], [2], [3], [4], [5]]
    assert min(b - a for a, b in itertools.pairwise(answered)) >= 0.02


async def test_the_gap_is_kept_between_a_reply_and_the_next_request(port):
    said_at = []

    def answer(*fields):
        said_at.append(asyncio.get_running_loop().time())
        return counting(*fields)

    device = Device(port, answer)
    async with on(port, gap_ms=40) as door:
        for start in range(4):
            await door.read(3, INPUT, start, 1, ANSWER_MS)
    pauses = [heard - said for said, heard in zip(said_at, device.heard_at[1:], strict=False)]
    assert min(pauses) >= 0.040


async def test_a_line_that_is_never_quiet_is_asked_all_the_same(port):
    async def babble():
        while True:
            port.say(b"\xaa")
            await asyncio.sleep(0.002)

    Device(port, counting)
    async with on(port, gap_ms=100) as door:
        await door.read(3, INPUT, 0, 1, ANSWER_MS)
        babbling = asyncio.create_task(babble())
        async with asyncio.timeout(20):
            words = await door.read(3, INPUT, 5, 2, ANSWER_MS)
        babbling.cancel()
    assert words == [5, 6]


# --- ports come and go -------------------------------------------------------------------------


async def test_a_missing_port_is_said_at_once_and_found_when_it_comes(tmp_path):
    port = Port(tmp_path / "adapter")
    async with on(port) as door:
        with pytest.raises(BusDown) as caught:
            await door.read(3, INPUT, 0, 1, ANSWER_MS)
        assert caught.value.why == f"no such port: {port.path}"
        with port:
            Device(port, counting)
            assert await eventually(lambda: door.read(3, INPUT, 5, 1, ANSWER_MS)) == [5]


async def test_reads_while_the_bus_is_down_fail_at_once_and_leave_it_alone(tmp_path):
    attempts = []
    async with on(Port(tmp_path / "adapter")) as door:
        opening = door._open

        async def count_and_open():
            attempts.append(1)
            return await opening()

        door._open = count_and_open
        started = time.monotonic()
        for _ in range(200):
            with pytest.raises(BusDown, match="no such port"):
                await door.read(3, INPUT, 0, 1, ANSWER_MS)
        assert time.monotonic() - started < ANSWER_MS / 1000
    assert len(attempts) < 10


async def test_an_adapter_may_be_pulled_in_mid_request_and_plugged_in_again(port):
    device = Device(port, lambda *_: b"")
    async with on(port) as door:
        reading = asyncio.create_task(door.read(3, INPUT, 0, 1, 60_000))
        while not device.requests:
            await asyncio.sleep(0.001)
        port.unplug()
        with pytest.raises(BusDown, match="unplugged"):
            await asyncio.wait_for(reading, 20)
        device.answer = counting
        port.plug()
        assert await eventually(lambda: door.read(3, INPUT, 5, 1, ANSWER_MS)) == [5]


async def test_plugging_and_pulling_leaks_no_descriptors(port):
    Device(port, counting)
    async with on(port) as door:
        await door.read(3, INPUT, 0, 1, ANSWER_MS)
        before = open_descriptors()
        for _ in range(5):
            port.unplug()
            with pytest.raises(BusDown):
                await door.read(3, INPUT, 0, 1, ANSWER_MS)
            port.plug()
            await eventually(lambda: door.read(3, INPUT, 0, 1, ANSWER_MS))
        assert open_descriptors() == before
    await asyncio.sleep(0)
    assert open_descriptors() < before


async def test_a_port_in_use_by_another_program_is_named_and_waited_for(port):
    Device(port, counting)
    other = os.open(port.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(other, fcntl.LOCK_EX)
    async with on(port) as door:
        with pytest.raises(BusDown, match="in use by another program"):
            await door.read(3, INPUT, 0, 1, ANSWER_MS)
        os.close(other)
        assert await eventually(lambda: door.read(3, INPUT, 5, 1, ANSWER_MS)) == [5]


async def test_two_doors_cannot_have_the_same_port(port):
    Device(port, counting)
    async with on(port) as first, on(port) as second:
        await first.read(3, INPUT, 0, 1, ANSWER_MS)
        with pytest.raises(BusDown, match="in use by another program"):
            await second.read(3, INPUT, 0, 1, ANSWER_MS)


async def test_what_is_no_serial_port_is_said_so(tmp_path):
    plain = tmp_path / "file"
    plain.write_text("")
    async with open_bus(Bus("b", SerialLine(str(plain)))) as door:
        before = open_descriptors()
        with pytest.raises(BusDown, match="is not a serial port"):
            await door.read(3, INPUT, 0, 1, ANSWER_MS)
        assert open_descriptors() == before


async def test_settings_that_the_port_refuses_are_a_fault_and_no_crash(port):
    # a pseudo-terminal drops parity silently, then refuses it
    async with open_bus(Bus("b", SerialLine(str(port.path), parity=Parity.EVEN))) as door:
        before = open_descriptors()
        with pytest.raises(BusDown, match="does not take 9600 baud 8E1"):
            await door.read(3, INPUT, 0, 1, ANSWER_MS)
        assert open_descriptors() == before


# --- TCP ---------------------------------------------------------------------------------------


@asynccontextmanager
async def tcp_peer(serve, port=0):
    """A TCP server in this loop; its connections end with it."""
    writers = []

    async def on_connection(reader, writer):
        writers.append(writer)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1], writers
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def requests_of(reader):
    while True:
        head = await reader.readexactly(6)
        body = await reader.readexactly(int.from_bytes(head[4:], "big"))
        yield head[:2], body[0], struct.unpack(">BHH", body[1:])


def registers(transaction, unit, function, *words):
    pdu = bytes([function, 2 * len(words)]) + struct.pack(f">{len(words)}H", *words)
    return mbap(int.from_bytes(transaction, "big"), pdu, unit)


async def serve_counting(reader, writer):
    async for transaction, unit, (function, start, count) in requests_of(reader):
        writer.write(registers(transaction, unit, function, *range(start, start + count)))


def at(port):
    return open_bus(Bus("b", TcpLink("127.0.0.1", port)))


async def test_words_come_back_over_tcp():
    async with tcp_peer(serve_counting) as (port, _), at(port) as door:
        assert await door.read(3, INPUT, 100, 4, ANSWER_MS) == [100, 101, 102, 103]


async def test_a_refused_connection_is_a_bus_that_is_down_until_somebody_listens():
    async with tcp_peer(serve_counting) as (port, _):
        pass
    async with at(port) as door:
        with pytest.raises(BusDown, match="refuses connections"):
            await door.read(3, INPUT, 0, 1, ANSWER_MS)
        async with tcp_peer(serve_counting, port):
            assert await eventually(lambda: door.read(3, INPUT, 5, 1, ANSWER_MS)) == [5]


async def test_an_unknown_host_is_named():
    async with open_bus(Bus("b", TcpLink("no-such-host.invalid", 502))) as door:
        with pytest.raises(BusDown, match=r"no-such-host\.invalid"):
            await door.read(3, INPUT, 0, 1, ANSWER_MS)


async def test_a_peer_that_accepts_and_never_answers_is_silent_and_gets_a_new_connection():
    async def swallow(reader, _writer):
        await reader.read()

    async with tcp_peer(swallow) as (port, writers), at(port) as door:
        for _ in range(4):
            with pytest.raises(DeviceSilent):
                await door.read(3, INPUT, 0, 1, SILENCE_MS)
        assert len(writers) == 2


async def test_a_late_tcp_answer_is_not_taken_for_the_next_one():
    async def serve(reader, writer):
        late = []
        async for transaction, unit, (function, start, count) in requests_of(reader):
            if start == 0:
                late.append(registers(transaction, unit, function, *[666] * count))
                continue
            for each in late:
                writer.write(each)
            writer.write(registers(transaction, unit, function, *[start] * count))

    async with tcp_peer(serve) as (port, writers), at(port) as door:
        with pytest.raises(DeviceSilent):
            await door.read(3, INPUT, 0, 2, SILENCE_MS)
        assert await door.read(3, INPUT, 50, 2, ANSWER_MS) == [50, 50]
        assert len(writers) == 1, "the number protects; one silent unit costs no connection"


async def test_half_a_tcp_answer_makes_a_new_connection():
    async def serve(reader, writer):
        async for transaction, unit, (function, start, count) in requests_of(reader):
            whole = registers(transaction, unit, function, *range(start, start + count))
            writer.write(whole[:7] if start == 0 else whole)

    async with tcp_peer(serve) as (port, writers), at(port) as door:
        with pytest.raises(DeviceSilent):
            await door.read(3, INPUT, 0, 2, SILENCE_MS)
        assert await door.read(3, INPUT, 50, 2, ANSWER_MS) == [50, 51]
        assert len(writers) == 2


async def test_a_connection_that_is_closed_ends_the_wait_at_once():
    async def hang_up(reader, _writer):
        await reader.readexactly(12)

    async with tcp_peer(hang_up) as (port, _), at(port) as door:
        with pytest.raises(BusDown, match="closed the connection"):
            await asyncio.wait_for(door.read(3, INPUT, 0, 1, 600_000), 20)


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 300, b"\xff"])
async def test_a_peer_that_speaks_something_else_is_silent_and_breaks_nothing(nonsense):
    async def serve(reader, writer):
        while await reader.read(12):
            writer.write(nonsense)

    async with tcp_peer(serve) as (port, _), at(port) as door:
        for _ in range(3):
            with pytest.raises((DeviceSilent, BusDown)):
                await door.read(3, INPUT, 0, 1, SILENCE_MS)


async def test_an_outage_is_told_once_down_and_once_up_to_those_who_debug(port, caplog):
    caplog.set_level(logging.DEBUG, logger="gateway")  # others read it from the bus's fault
    Device(port, counting)
    async with on(port) as door:
        await door.read(3, INPUT, 0, 1, ANSWER_MS)
        port.unplug()
        for _ in range(20):
            with pytest.raises(BusDown):
                await door.read(3, INPUT, 0, 1, ANSWER_MS)
        port.plug()
        await eventually(lambda: door.read(3, INPUT, 0, 1, ANSWER_MS))
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(" why=")[0] for line in said] == [
        "bus is gone bus=b",
        "bus answers again bus=b",
    ]
