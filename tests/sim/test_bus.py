"""The simulated buses against clients that are not ours, and against the frames of the standard."""

import asyncio
import struct
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from gateway.sim.bus import (
    TcpBus,
    answer,
    crc16,
    open_rtu,
    open_tcp,
    plug,
    resampled,
    unplug,
)
from gateway.sim.devices import SimDevice, jxbs_co, lx47le, qdy30a, sdm630
from gateway.sim.line import Conduct, Wire, damaged, framed, manner_of
from gateway.sim.loop import run_simulated


def switchboard(unit: int) -> SimDevice:
    """A unit with all four tables and known content."""
    cells = {at: at % 2 for at in range(20)}
    words = {at: 1000 + at for at in range(20)}
    tables = {"coil": cells, "discrete": cells, "holding": words, "input": words}
    return SimDevice("switchboard", unit, lambda truth, noise: tables, {})


def request(function: int, address: int, count: int) -> bytes:
    return struct.pack(">BHH", function, address, count)


def test_crc_agrees_with_the_golden_frames() -> None:
    assert crc16(bytes.fromhex("010400000002")) == bytes.fromhex("71cb")
    assert crc16(bytes.fromhex("0103000600 01".replace(" ", ""))) == bytes.fromhex("640b")
    assert crc16(bytes.fromhex("018302")) == bytes.fromhex("c0f1")


def test_functions_1_to_4_answer_from_their_own_table() -> None:
    units = {5: switchboard(5)}
    assert answer(units, 5, request(1, 0, 10)) == bytes([1, 2, 0b10101010, 0b10])
    assert answer(units, 5, request(2, 1, 3)) == bytes([2, 1, 0b101])
    assert answer(units, 5, request(3, 2, 2)) == struct.pack(">BBHH", 3, 4, 1002, 1003)
    assert answer(units, 5, request(4, 19, 1)) == struct.pack(">BBH", 4, 2, 1019)


@pytest.mark.parametrize(
    ("pdu", "reply"),
    [
        (request(6, 0, 1), [0x86, 1]),
        (request(3, 19, 2), [0x83, 2]),
        (request(3, 0, 0), [0x83, 3]),
        (request(3, 0, 126), [0x83, 3]),
        (request(1, 0, 2001), [0x81, 3]),
        (b"\x03\x00", [0x83, 3]),
    ],
)
def test_what_a_device_cannot_do_is_a_modbus_exception(pdu: bytes, reply: list[int]) -> None:
    assert answer({5: switchboard(5)}, 5, pdu) == bytes(reply)


def test_a_silent_or_unknown_unit_says_nothing() -> None:
    device = switchboard(5)
    device.is_silent = True
    assert answer({5: device}, 5, request(3, 0, 1)) is None
    assert answer({5: device}, 6, request(3, 0, 1)) is None


def test_eastron_refuses_more_than_80_registers() -> None:
    assert answer({1: sdm630("meter", 1)}, 1, request(4, 0, 81)) == bytes([0x84, 3])


def test_bytes_heard_at_the_wrong_speed_are_garbage_and_at_the_right_one_are_not() -> None:
    frame = bytes.fromhex("01040000000271cb")
    assert resampled(frame, 9600, 9600) == frame
    for said, heard in ((19200, 9600), (9600, 19200), (115200, 9600), (2400, 9600)):
        assert frame not in resampled(frame, said, heard)
    # a UART tolerates a few percent
    assert resampled(frame, 9700, 9600) == frame


async def serial_client(
    port: Path, baud: int = 9600, timeout: float = 1.0
) -> AsyncModbusSerialClient:
    client = AsyncModbusSerialClient(
        str(port), baudrate=baud, timeout=timeout, retries=0, reconnect_delay=0
    )
    assert await client.connect()
    return client


async def test_rtu_serves_several_units_and_paces_the_bytes(tmp_path: Path) -> None:
    units = {3: lx47le("board", 3), 1: qdy30a("hydrant", 1, pressure=0.28)}
    async with open_rtu(tmp_path / "bus", units, turnaround_s=0.02) as line:
        client = await serial_client(line.port)
        try:
            started = time.monotonic()
            reply = await client.read_input_registers(0, count=20, device_id=3)
            took = time.monotonic() - started
            assert 20 <= reply.registers[5] <= 36
            # request 8, silence 3.5, reply 45 characters of 1.04 ms, and 20 ms to think
            assert took >= (8 + 3.5 + 45) / 960 + 0.02
            words = await client.read_holding_registers(2, count=3, device_id=1)
            assert words.registers[:2] == [3, 3]
            refused = await client.read_holding_registers(500, count=1, device_id=1)
            assert refused.exception_code == 2
        finally:
            client.close()
        assert line.counts.requests == 3
        assert line.counts.refusals == 1


async def test_a_client_at_the_wrong_speed_gets_nothing_until_it_is_right(tmp_path: Path) -> None:
    async with open_rtu(tmp_path / "bus", {1: jxbs_co("co", 1)}) as line:
        wrong = await serial_client(line.port, baud=19200, timeout=0.3)
        try:
            with pytest.raises(ModbusIOException):
                await wrong.read_holding_registers(6, count=1, device_id=1)
        finally:
            wrong.close()
        assert line.counts.bad_frames >= 1
        right = await serial_client(line.port)
        try:
            assert not (await right.read_holding_registers(6, count=1, device_id=1)).isError()
        finally:
            right.close()


async def test_a_silent_device_leaves_its_neighbour_alone(tmp_path: Path) -> None:
    units = {1: jxbs_co("co", 1), 2: jxbs_co("other", 2)}
    units[1].is_silent = True
    async with open_rtu(tmp_path / "bus", units) as line:
        client = await serial_client(line.port, timeout=0.3)
        try:
            with pytest.raises(ModbusIOException):
                await client.read_holding_registers(6, count=1, device_id=1)
            assert not (await client.read_holding_registers(6, count=1, device_id=2)).isError()
        finally:
            client.close()


async def test_a_pulled_adapter_comes_back_under_the_same_path(tmp_path: Path) -> None:
    async with open_rtu(tmp_path / "bus", {1: jxbs_co("co", 1)}) as line:
        unplug(line)
        assert not line.port.exists()
        plug(line)
        client = await serial_client(line.port)
        try:
            assert not (await client.read_holding_registers(6, count=1, device_id=1)).isError()
        finally:
            client.close()


async def test_the_manner_decides_what_is_really_said(tmp_path: Path) -> None:
    async with open_rtu(tmp_path / "bus", {1: jxbs_co("co", 1)}) as line:
        line.wire.manner = lambda request, reply: [(0.0, reply[:-1] + bytes([reply[-1] ^ 1]))]
        client = await serial_client(line.port, timeout=0.3)
        try:
            with pytest.raises(ModbusIOException):
                await client.read_holding_registers(6, count=1, device_id=1)
        finally:
            client.close()


async def test_tcp_serves_units_and_exceptions() -> None:
    async with open_tcp({1: jxbs_co("co", 1, co=18.9)}) as bus:
        client = AsyncModbusTcpClient(bus.host, port=bus.port, retries=0, timeout=2)
        assert await client.connect()
        try:
            reply = await client.read_holding_registers(6, count=1, device_id=1)
            assert 180 <= reply.registers[0] <= 198
            refused = await client.read_input_registers(0, count=1, device_id=1)
            assert refused.exception_code == 2
        finally:
            client.close()


async def exchange(bus: TcpBus, frame: bytes) -> bytes:
    """Send raw bytes; return all that comes until the server closes or 256 bytes are there."""
    reader, writer = await asyncio.open_connection(bus.host, bus.port)
    try:
        writer.write(frame)
        async with asyncio.timeout(10):
            return await reader.read(256)
    finally:
        writer.close()


async def test_a_bridge_names_the_unit_that_does_not_answer() -> None:
    async with open_tcp({1: jxbs_co("co", 1)}, is_bridge=True) as bus:
        ask = struct.pack(">HHHB", 7, 0, 6, 9) + request(3, 6, 1)
        assert await exchange(bus, ask) == struct.pack(">HHHBBB", 7, 0, 3, 9, 0x83, 0x0B)


async def test_bytes_that_are_not_modbus_end_the_connection_and_nothing_else() -> None:
    async with open_tcp({1: jxbs_co("co", 1)}) as bus:
        assert await exchange(bus, b"GET / HTTP/1.1\r\n\r\n") == b""
        assert bus.counts.bad_frames == 1
        ask = struct.pack(">HHHB", 1, 0, 6, 1) + request(3, 6, 1)
        assert (await exchange(bus, ask))[:9] == struct.pack(">HHHBBB", 1, 0, 5, 1, 3, 2)


# --- the wire ----------------------------------------------------------------------------------


def holding(unit: int, pdu: bytes) -> bytes:
    _, start, count = struct.unpack(">BHH", pdu)
    return struct.pack(f">BB{count}H", 3, 2 * count, *[unit << 8 | start] * count)


def ask(unit: int, start: int = 0, count: int = 1) -> bytes:
    return framed(struct.pack(">BBHH", unit, 3, start, count))


def said(unit: int, start: int = 0, count: int = 1) -> bytes:
    return framed(bytes([unit]) + holding(unit, request(3, start, count)))


async def overhear(act: Callable[[Wire], None], conduct: Conduct, **how: Any) -> list[Any]:
    """What the gateway hears, with the moment of its last bit, until the wire is quiet."""
    heard: list[Any] = []
    loop = asyncio.get_running_loop()
    wire = Wire(
        [holding, *how.pop("twins", [])],
        9600,
        emit=lambda data: heard.append((round(loop.time(), 6), data)),
        manner=manner_of(conduct, Random(5)),
        **how,
    )
    act(wire)
    await asyncio.sleep(10)
    return [wire, *heard]


def test_a_reply_comes_after_request_silence_turnaround_and_its_own_time() -> None:
    _, (at, data) = run_simulated(overhear(lambda wire: wire.hear(ask(1)), Conduct(0.02)))
    assert data == said(1)
    assert at == pytest.approx((8 + 3.5 + 7) / 960 + 0.02, abs=1e-5)


def test_a_late_reply_collides_with_what_is_said_meanwhile() -> None:
    def act(wire: Wire) -> None:
        wire.hear(ask(1))
        asyncio.get_running_loop().call_later(0.045, wire.hear, ask(2))  # into unit 1's reply

    wire, *heard = run_simulated(overhear(act, Conduct(turnaround_s=0.03)))
    assert [data == said(1) for _, data in heard] == [False]
    assert (wire.counts.clashes, wire.counts.bad_frames) == (1, 1)


def test_a_device_answers_in_the_order_it_was_asked() -> None:
    waits = iter([1.0, 0.01])

    def act(wire: Wire) -> None:
        wire.manner = lambda _request, reply: [(next(waits), reply)]
        wire.hear(ask(1, 10))
        asyncio.get_running_loop().call_later(0.1, wire.hear, ask(1, 20))

    _, *heard = run_simulated(overhear(act, Conduct()))
    assert [data for _, data in heard] == [said(1, 10), said(1, 20)]


def test_two_at_one_address_garble_each_other() -> None:
    _, *heard = run_simulated(overhear(lambda wire: wire.hear(ask(1)), Conduct(), twins=[holding]))
    assert len(heard) == 2
    assert all(data != said(1) for _, data in heard)


def test_an_echo_and_another_master_are_heard() -> None:
    def act(wire: Wire) -> None:
        wire.echoes = True
        wire.hear(ask(1))
        asyncio.get_running_loop().call_later(1, wire.ask, ask(2))

    _, *heard = run_simulated(overhear(act, Conduct()))
    assert [data for _, data in heard] == [ask(1), said(1), ask(2), said(2)]


def test_bytes_come_in_pieces_as_long_as_the_adapter_collects_them() -> None:
    _, *heard = run_simulated(
        overhear(lambda wire: wire.hear(ask(1, 0, 20)), Conduct(), piece_s=0.016)
    )
    assert [len(data) for _, data in heard] == [15, 15, 15]
    assert b"".join(data for _, data in heard) == said(1, 0, 20)


@pytest.mark.parametrize(
    ("conduct", "check"),
    [
        (Conduct(before=1.0), lambda data: data.endswith(said(1)) and len(data) > 7),
        (Conduct(after=1.0), lambda data: data.startswith(said(1)) and len(data) > 7),
        (Conduct(inside=1.0), lambda data: said(1) not in data and len(data) > 7),
        (Conduct(cut=1.0), lambda data: said(1).startswith(data) and len(data) < 7),
        (Conduct(damage=1.0), lambda data: data != said(1)),
    ],
)
def test_a_conduct_does_what_it_says(conduct: Conduct, check: Callable[[bytes], bool]) -> None:
    _, *heard = run_simulated(overhear(lambda wire: wire.hear(ask(1)), conduct))
    assert check(b"".join(data for _, data in heard))


def test_a_conduct_may_be_silent_or_late() -> None:
    _, *heard = run_simulated(overhear(lambda wire: wire.hear(ask(1)), Conduct(silent=1.0)))
    assert heard == []
    late = Conduct(late=1.0, late_s=(3.0, 4.0))
    _, (at, data) = run_simulated(overhear(lambda wire: wire.hear(ask(1)), late))
    assert 3.0 < at < 4.1
    assert data == said(1)


def test_the_same_seed_damages_the_same_bytes() -> None:
    frames = [[damaged(said(1), random) for _ in range(50)] for random in (Random(1), Random(1))]
    assert frames[0] == frames[1]
    assert len(set(frames[0])) > 30
