"""T12: reads and writes share an address space, and the gateway has none of the writes.

Shown from two sides: what the door really puts on the wire for every shipped profile, also to
devices that refuse or say nothing; and which names of the library the source uses at all.
"""

import ast
import asyncio
import struct
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.client.mixin import ModbusClientMixin

import gateway
from gateway.config.load import load_site
from gateway.config.shipped import shipped_dir
from gateway.core.blocks import plan_blocks
from gateway.domain.errors import DeviceRefused, DeviceSilent
from gateway.domain.points import Table
from gateway.domain.site import Bus, SerialLine, TcpLink
from gateway.drivers.modbus import open_bus
from tests.partners.modbus.line import Port, crc16

PACKAGE = Path(gateway.__file__).parent
DOOR = PACKAGE / "drivers" / "modbus.py"
READS = {"read_coils", "read_discrete_inputs", "read_holding_registers", "read_input_registers"}
HARMLESS = {"DATATYPE", "convert_from_registers", "convert_to_registers"}
OTHERS = {name for name in dir(ModbusClientMixin) if not name.startswith("_")} - READS - HARMLESS
WRITES = {name for name in OTHERS if "write" in name}


def answer_to(request, mood):
    """The PDU of a device: zeros, a refusal, or nothing."""
    function, _, count = struct.unpack_from(">BHH", request, 1)
    if mood == "silent":
        return b""
    if mood == "refuses" or function not in (1, 2, 3, 4):
        return bytes([request[0], function | 0x80, 2])
    size = (count + 7) // 8 if function < 3 else 2 * count
    return bytes([request[0], function, size]) + bytes(size)


@asynccontextmanager
async def tcp_recorder(heard, mood):
    """A bus whose far end keeps every byte it was sent."""

    async def talk(reader, writer):
        while data := await reader.read(4096):
            heard.extend(data)
            if len(heard) % 12:  # half a request
                continue
            (number,) = struct.unpack_from(">H", heard, len(heard) - 12)
            if body := answer_to(heard[-6:], mood):
                writer.write(struct.pack(">HHH", number, 0, len(body)) + body)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield Bus("b", TcpLink("127.0.0.1", server.sockets[0].getsockname()[1]))


@asynccontextmanager
async def rtu_recorder(heard, mood, folder):
    """The same on a serial line."""
    with Port(folder / "adapter") as port:

        def hear(data):
            heard.extend(data)
            body = b"" if len(heard) % 8 else answer_to(heard[-8:], mood)
            if body:
                port.say(body + crc16(body))

        port.heard = hear
        yield Bus("b", SerialLine(str(port.path), baud=115200))


async def ask_everything(bus, blocks, mood):
    """Read every block once, and every table."""
    silence = 20 if mood == "silent" else 5_000
    async with open_bus(bus, late_ms=1) as door:
        for unit, table, start, count in blocks:
            try:
                await door.read(unit, table, start, count, silence)
            except (DeviceRefused, DeviceSilent):
                assert mood != "answers"


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """(unit, table, start, count) of every request that a shipped profile leads to."""
    lines = ["site: {id: t, name: T, institution: elder-care}"]
    lines += ["buses: {a: {tcp: host}, b: {serial: /dev/ttyUSB0, baud: 2400}}", "devices:"]
    for path in sorted((shipped_dir() / "profiles").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        channel = ", channel: 0" if "\nchannels:" in text else ""
        for bus in "ab" if "\npoints:" in text else "":  # a base has none
            device = f"profile: {path.stem}, bus: {bus}, unit: {len(lines)}, place: P, owner: O"
            lines.append(f"  {path.stem}-{bus}: {{{device}{channel}}}")
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    site = load_site(path, is_timed=False).site  # more than one line carries
    buses = {bus.id: bus for bus in site.buses}
    planned = (b for device in site.devices for b in plan_blocks(device, buses[device.bus]))
    tables = {(1, table, 0, 1) for table in Table}
    return sorted(tables | {(1, b.table, b.start, b.count) for b in planned})


@pytest.mark.parametrize("mood", ["answers", "refuses", "silent"])
async def test_on_tcp_nothing_but_the_four_reads_is_ever_sent(mood, blocks):
    heard = bytearray()
    asked = blocks[:6] if mood == "silent" else blocks
    async with tcp_recorder(heard, mood) as bus:
        await ask_everything(bus, asked, mood)
    requests = [bytes(heard[at : at + 12]) for at in range(0, len(heard), 12)]
    sent = [struct.unpack(">HHHBBHH", request)[2:5] for request in requests]
    assert {(length, unit) for length, unit, _ in sent} == {(6, 1)}  # a write would be longer
    assert {function for _, _, function in sent} <= {1, 2, 3, 4}
    assert len(sent) == len(asked)


@pytest.mark.parametrize("mood", ["answers", "refuses", "silent"])
async def test_on_a_serial_line_nothing_but_the_four_reads_is_ever_sent(mood, blocks, tmp_path):
    heard = bytearray()
    asked = blocks[:6] if mood == "silent" else blocks
    async with rtu_recorder(heard, mood, tmp_path) as bus:
        await ask_everything(bus, asked, mood)
    requests = [bytes(heard[at : at + 8]) for at in range(0, len(heard), 8)]
    assert all(crc16(request[:6]) == request[6:] for request in requests)
    assert {request[0] for request in requests} == {1}
    assert {request[1] for request in requests} <= {1, 2, 3, 4}
    assert len(requests) == len(asked)


def names_in(path):
    """Every name, attribute, keyword and short string of a module: what it could call."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
                yield name.rpartition(".")[2]
            case ast.Constant(value=str(text)):
                yield text
            case _:
                pass


def test_no_module_names_a_function_of_the_library_that_writes():
    assert len(WRITES) == 7
    found = {
        path.relative_to(PACKAGE).as_posix(): sorted(WRITES & set(names_in(path)))
        for path in PACKAGE.rglob("*.py")
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_the_door_uses_the_four_reads_of_the_library_and_no_way_around_them():
    used = set(names_in(DOOR))
    assert used >= READS
    assert used.isdisjoint(OTHERS)
    assert used.isdisjoint({"write", "send", "sendall", "sendto", "getattr", "eval", "exec"})


def test_the_door_imports_nothing_of_the_library_that_could_make_a_write():
    imported = {
        f"{node.module}.{name.name}"
        for node in ast.walk(ast.parse(DOOR.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pymodbus")
        for name in node.names
    }
    assert imported <= {
        "pymodbus.client.AsyncModbusSerialClient",
        "pymodbus.client.AsyncModbusTcpClient",
        "pymodbus.exceptions.ConnectionException",
        "pymodbus.exceptions.ModbusIOException",
        "pymodbus.framer.rtu.FramerRTU",
        "pymodbus.pdu.ExceptionResponse",
        "pymodbus.pdu.ModbusPDU",
    }
