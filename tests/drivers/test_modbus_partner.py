"""The gateway against a Modbus stack that is not pymodbus: libmodbus in C, on RTU and TCP.

The words are encoded in C (`tests/partners/modbus/server.c`), which also says what a person would
expect; the shipped profiles, the planner, the door and the decoder must come to the same numbers.
"""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.load import load_site
from gateway.config.shipped import shipped_dir
from gateway.core.blocks import plan_blocks, timeout_ms
from gateway.core.decode import decode_block, decode_failure
from gateway.core.schedule import Schedule
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality
from gateway.domain.site import Bus, Device, SerialLine, TcpLink
from gateway.drivers.modbus import open_bus
from gateway.tasks.poll import poll_bus
from tests.partners.modbus.line import Port
from tests.partners.modbus.server import ModbusServer, compiled_server, device_of, site_of

ANSWER_MS = 5_000
TRANSPORTS = ["rtu", "tcp"]
RECORDINGS = Path(__file__).parents[1] / "profiles"


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    compiled_server()


@asynccontextmanager
async def serving(transport, folder):
    """Give the server and the bus that leads to it."""
    if transport == "tcp":
        with ModbusServer("tcp", "0") as server:
            yield server, Bus("hall", TcpLink("127.0.0.1", server.port), timeout_ms=ANSWER_MS)
        return
    with Port(folder / "devices") as far, Port(folder / "adapter") as near:
        far.heard, near.heard = near.say, far.say  # a wire between two terminals
        with ModbusServer("rtu", str(far.path), "9600") as server:
            link = SerialLine(str(near.path), baud=9600)
            yield server, Bus("hall", link, timeout_ms=ANSWER_MS)


def shipped_devices(values, folder):
    """Devices as the site file makes them: one for each unit that has a shipped profile."""
    path = folder / "site.yaml"
    path.write_text(site_of(values, {"hall": "{serial: /dev/ttyUSB0, baud: 9600, parity: none}"}))
    loaded = load_site(path)
    assert loaded.site is not None, loaded.problems
    return loaded.site.devices


def hand_made_devices():
    """What the server serves beside the shipped profiles."""

    def device(unit, *points, **how):
        name = f"unit-{unit}"
        made = [
            Point(f"{name}.{point}", name, point, unit_, table, at, encoding, 1000)
            for point, unit_, table, at, encoding in points
        ]
        return Device(name, "", "hall", unit, "", "", tuple(made), **how)

    def in_mpa(code_three):
        return Encoding(
            WordType.INT16, decimals_at=3, unit_at=2, unit_factors={3: Decimal(code_three)}
        )

    bit = Encoding(WordType.BIT)
    return (
        device(5, ("range_full", "MPa", Table.HOLDING, 6, in_mpa("1"))),
        device(6, ("range_full", "MPa", Table.HOLDING, 6, in_mpa("0.1"))),
        device(11, ("di10", "", Table.DISCRETE, 9, bit), ("do4", "", Table.COIL, 3, bit)),
    )


async def read_device(door, device, bus):
    readings = []
    for block in plan_blocks(device, bus):
        words = await door.read(
            block.unit, block.table, block.start, block.count, timeout_ms(block, bus)
        )
        readings += decode_block(block, words, 1)
    return readings


async def eventually(read, deadline_s=30):
    until = time.monotonic() + deadline_s
    while True:
        try:
            return await read()
        except (BusDown, DeviceSilent):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_value_is_right_to_the_last_digit_with_its_unit(transport, tmp_path):
    async with serving(transport, tmp_path) as (server, bus), open_bus(bus) as door:
        wanted = {}
        for value in server.values:
            id_ = f"{device_of(value)}.{value['point']}"
            wanted[id_] = (value["value"], value["unit"], "")
        found = {}
        for device in (*shipped_devices(server.values, tmp_path), *hand_made_devices()):
            units = {point.id: point.unit for point in device.points}
            for reading in await read_device(door, device, bus):
                found[reading.point] = (reading.value, units[reading.point], reading.reason)
    assert found == wanted


def test_the_profiles_that_the_partner_serves_are_shipped():
    """The others are read from their recordings, in tests/profiles."""
    with ModbusServer("tcp", "0") as server:
        served = {value["profile"] for value in server.values} - {""}
    files = {path.stem for path in (shipped_dir() / "profiles").glob("*.yaml")}
    recorded = {path.stem for path in RECORDINGS.glob("*.yaml")}
    bases = {"cn-pressure-7reg", "dfrobot-sen07xx"}  # without points of their own
    assert served <= files
    assert files - served - recorded <= bases


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_register_that_is_not_there_is_exception_2(transport, tmp_path):
    async with serving(transport, tmp_path) as (_, bus), open_bus(bus) as door:
        with pytest.raises(DeviceRefused) as caught:
            await door.read(1, Table.INPUT, 5000, 2, ANSWER_MS)
        assert caught.value == DeviceRefused(1, 2)
        assert len(await door.read(1, Table.INPUT, 0, 80, ANSWER_MS)) == 80


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_silent_unit_leaves_its_neighbours_alone(transport, tmp_path):
    async with serving(transport, tmp_path) as (server, bus), open_bus(bus) as door:
        for _ in range(2):
            with pytest.raises(DeviceSilent):
                await door.read(server.silent_unit, Table.INPUT, 0, 1, 80)
            assert await door.read(3, Table.INPUT, 5, 1, ANSWER_MS) == [287]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_that_was_held_up_answers_late_and_is_not_believed(transport, tmp_path):
    async with serving(transport, tmp_path) as (server, bus), open_bus(bus) as door:
        assert await door.read(3, Table.INPUT, 5, 1, ANSWER_MS) == [287]
        server.pause()
        with pytest.raises(DeviceSilent):
            await door.read(3, Table.INPUT, 5, 1, 80)
        server.resume()
        assert await eventually(lambda: door.read(3, Table.INPUT, 8, 1, ANSWER_MS)) == [221]


async def test_a_killed_tcp_server_is_a_bus_that_is_down_and_comes_back(tmp_path):
    with ModbusServer("tcp", "0") as server:
        port = server.port
        bus = Bus("hall", TcpLink("127.0.0.1", port))
        async with open_bus(bus) as door:
            assert await door.read(3, Table.INPUT, 5, 1, ANSWER_MS) == [287]
            server.kill()
            with pytest.raises(BusDown) as caught:
                await eventually_down(door)
            assert str(port) in caught.value.why
            with ModbusServer("tcp", str(port)):
                read = await eventually(lambda: door.read(3, Table.INPUT, 5, 1, ANSWER_MS))
    assert read == [287]


async def eventually_down(door):
    """The first read may still see an open socket; none may succeed."""
    for _ in range(50):
        try:
            await door.read(3, Table.INPUT, 5, 1, 100)
        except DeviceSilent:
            continue


async def test_a_killed_rtu_server_is_a_silent_device_that_comes_back(tmp_path):
    async with serving("rtu", tmp_path) as (server, bus), open_bus(bus, late_ms=50) as door:
        assert await door.read(3, Table.INPUT, 5, 1, ANSWER_MS) == [287]
        server.kill()
        with pytest.raises(DeviceSilent):
            await door.read(3, Table.INPUT, 5, 1, 80)
        with ModbusServer("rtu", str(tmp_path / "devices"), "9600"):
            assert await eventually(lambda: door.read(3, Table.INPUT, 5, 1, 200)) == [287]


async def test_a_failure_shows_every_point_of_the_block_as_offline(tmp_path):
    async with serving("tcp", tmp_path) as (server, bus), open_bus(bus) as door:
        thermometer = next(
            device
            for device in shipped_devices(server.values, tmp_path)
            if device.profile == "xy-md02"
        )
        (block,) = plan_blocks(replace(thermometer, unit=server.silent_unit), bus)
        with pytest.raises(DeviceSilent) as caught:
            await door.read(block.unit, block.table, block.start, block.count, 80)
        readings = decode_failure(block, caught.value, 1)
    assert len(readings) == 2
    assert {(r.value, r.quality, r.reason) for r in readings} == {(None, Quality.OFFLINE, "silent")}


async def test_polled_values_go_and_come_back_with_the_server(tmp_path):
    """The whole way: plan, poll task, door, decoder, with the server killed in between."""
    loop = asyncio.get_running_loop()

    def clock():
        return round(loop.time() * 1000)

    async def sleep_until(ms):
        await asyncio.sleep(max(0, ms - clock()) / 1000)

    latest = {}

    async def put(event):
        latest.update({reading.point: reading for reading in event.readings})

    async def all_points(quality):
        until = loop.time() + 60
        while {r.quality for r in latest.values()} != {quality} or len(latest) < len(points):
            assert loop.time() < until, latest
            await asyncio.sleep(0.05)

    async with serving("rtu", tmp_path) as (server, bus), open_bus(bus, late_ms=200) as door:
        impatient = replace(bus, timeout_ms=100)
        devices = hand_made_devices()
        points = [point for device in devices for point in device.points]
        polling = asyncio.create_task(
            poll_bus(
                Schedule(
                    impatient,
                    [block for device in devices for block in plan_blocks(device, impatient)],
                    clock(),
                    hold_ms=lambda block: door.hold_ms(block.unit, block.table, block.count),
                ),
                read=lambda b, wait_ms: door.read(b.unit, b.table, b.start, b.count, wait_ms),
                put=put,
                clock=clock,
                sleep_until=sleep_until,
                beat=lambda: None,
            )
        )
        await all_points(Quality.GOOD)
        server.kill()
        await all_points(Quality.OFFLINE)
        with ModbusServer("rtu", str(tmp_path / "devices"), "9600"):
            await all_points(Quality.GOOD)
            assert latest["unit-6.range_full"].value == 1.6
        polling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await polling


def test_a_missing_compiler_is_said_with_the_packages_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(RuntimeError, match="apt-get install gcc libc6-dev libmodbus-dev"):
        compiled_server.__wrapped__()
