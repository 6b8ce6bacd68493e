"""A scan finds what is on the line, however it is set, and says what it is. In simulated time."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.families import read_families
from gateway.config.load import load_site
from gateway.core.blocks import plan_blocks
from gateway.core.decode import decode_block
from gateway.core.proposal import propose
from gateway.core.scan import ScanPlan, all_lines, serial_of, usual_lines
from gateway.domain.errors import BusDown
from gateway.domain.families import LineSetting
from gateway.domain.readings import Quality
from gateway.domain.site import Bus, Parity
from gateway.domain.text import Lang
from gateway.drivers.modbus import open_bus
from gateway.sim.devices import (
    SimDevice,
    by_unit,
    jxbs_co,
    lx47le,
    pzem016,
    qdy30a,
    sdm630,
    xgardiq,
)
from gateway.sim.loop import run_simulated
from gateway.sim.mixed import MemoryPort, MixedLine
from gateway.tasks.scan_bus import scan_bus

FAMILIES, PROBLEMS = read_families(Path("nowhere"))
AT_9600 = LineSetting(9600)
SIX = {
    AT_9600: by_unit([sdm630("meter", 1), pzem016("kitchen", 2), lx47le("board", 33)]),
    LineSetting(38400, Parity.NONE, 2): by_unit([xgardiq("gas", 7)]),
    LineSetting(9600, Parity.EVEN, 1): by_unit([jxbs_co("co", 5)]),
    LineSetting(2400, Parity.NONE, 1): by_unit([qdy30a("hydrant", 100, pressure=0.28)]),
}
LIKELY = {
    1: "eastron-sdm630",
    2: "peacefair-pzem-016",
    33: "lingxun-lx47le",
    7: "crowcon-xgardiq",
}


def doors(line: MixedLine, port="memory"):
    """How a scan opens the line: the daemon's own door on the line in memory."""

    def bus_of(setting):
        return Bus("scan", serial_of(port, setting))

    @asynccontextmanager
    async def open_line(setting):
        async def dial(client, _bus):
            memory = MemoryPort(line, setting, client.ctx.data_received)
            client.ctx.connection_made(memory)
            return memory

        async with open_bus(bus_of(setting), late_ms=300, dial=dial) as door:
            yield door.read

    return open_line


def scanned(units, plan, said=None):
    async def scan():
        line = MixedLine(units)
        tell = said.append if said is not None else lambda _: None
        return await scan_bus(plan, FAMILIES, open_line=doors(line), tell=tell)

    return run_simulated(scan())


WHOLE = ScanPlan(all_lines((9600, 38400, 2400)), units=(1, 2, 5, 7, 33, 100, 101))


@pytest.fixture(scope="module")
def six():
    return scanned(SIX, WHOLE)


def test_six_devices_of_four_settings_on_one_line_are_found(six):
    there = {(each.unit, each.line) for each in six}
    assert there == {(unit, line) for line, units in SIX.items() for unit in units}


def test_each_is_taken_for_what_it_is(six):
    found = {each.unit: [match.family.profile for match in each.matches] for each in six}
    assert {unit: found[unit][0] for unit in LIKELY} == LIKELY
    assert "jxbs-3001-co" in found[5]
    assert {"qdy30a", "mpd-380"} <= set(found[100]), "MPa or bar: a person has to look"


def test_the_proposed_file_is_taken_by_check_and_read_as_run_reads_it(six, tmp_path):
    proposal = propose(six, "/dev/serial/by-path/p1", lang=Lang.ZH)
    assert proposal.line == AT_9600
    assert {each.unit for each in proposal.taken} == set(SIX[AT_9600])
    readings = read_through(proposal.yaml, SIX, tmp_path)
    assert {name.split(".")[0] for name in readings} == {
        "eastron-sdm630-1", "peacefair-pzem-016-2", "lingxun-lx47le-33",
    }  # fmt: skip
    assert set(readings.values()) == {Quality.GOOD}


def test_all_six_are_read_once_the_others_have_been_set_to_the_line(six, tmp_path):
    proposal = propose(six, "/dev/serial/by-path/p1", lang=Lang.EN, is_set=True)
    assert proposal.left_out == ()
    together = {AT_9600: by_unit([device for units in SIX.values() for device in units.values()])}
    readings = read_through(proposal.yaml, together, tmp_path)
    assert len({name.split(".")[0] for name in readings}) == 6
    assert set(readings.values()) == {Quality.GOOD}


def test_what_is_set_otherwise_stands_in_the_file_with_what_to_do_about_it(six):
    text = propose(six, "/dev/ttyUSB0", lang=Lang.EN).yaml
    assert "unit 7 speaks 38400 8N2: set it to 9600 8N1 first" in text
    assert "unit 5 speaks 9600 8E1" in text
    assert "unit 100 speaks 2400 8N1" in text
    taken_in = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert "38400" not in "\n".join(taken_in)


def read_through(yaml, units, folder):
    """Quality of each point when the site's devices are read through the door."""
    path = folder / "site.yaml"
    path.write_text(yaml, encoding="utf-8")
    loaded = load_site(path)
    assert loaded.site is not None, loaded.problems
    site = loaded.site
    (bus,) = site.buses

    async def read_all():
        setting = LineSetting(bus.link.baud, bus.link.parity, bus.link.stop_bits)
        qualities = {}
        async with doors(MixedLine(units))(setting) as read:
            for device in site.devices:
                for block in plan_blocks(device, bus):
                    words = await read(block.unit, block.table, block.start, block.count, 500)
                    for reading in decode_block(block, words, 0):
                        qualities[reading.point] = reading.quality
        return qualities

    return run_simulated(read_all())


def test_progress_is_told_after_each_unit_and_the_estimate_holds(six):
    said = []
    plan = ScanPlan((AT_9600, LineSetting(2400)), units=tuple(range(10, 20)))

    async def scan():
        loop = asyncio.get_running_loop()
        found = await scan_bus(plan, FAMILIES, open_line=doors(MixedLine({})), tell=said.append)
        return found, loop.time()

    found, took_s = run_simulated(scan())
    assert found == ()
    assert [each.step for each in said] == list(range(1, 21))
    assert {each.steps for each in said} == {20}
    assert took_s * 1000 == pytest.approx(plan.estimate_ms, rel=0.05)


def test_a_device_that_only_refuses_is_found_and_not_known():
    empty = {AT_9600: {9: SimDevice("strange", 9, lambda _truth, _noise: {}, {})}}
    (found,) = scanned(empty, ScanPlan((AT_9600,), units=(8, 9, 10)))
    assert (found.unit, found.matches) == (9, ())
    text = propose([found], "/dev/ttyUSB0", lang=Lang.EN).yaml
    assert "devices: {}" in text
    assert "no profile knows it" in text


def test_two_devices_with_one_unit_are_told_and_only_one_is_taken():
    twice = {AT_9600: by_unit([pzem016("a", 4)]), LineSetting(2400): by_unit([sdm630("b", 4)])}
    found = scanned(twice, ScanPlan((AT_9600, LineSetting(2400)), units=(4,)))
    proposal = propose(found, "/dev/ttyUSB0", lang=Lang.EN)
    assert len(proposal.taken) == 1
    assert "two devices of this bus have unit 4" in proposal.yaml


def test_a_port_that_is_not_there_ends_the_scan_with_its_reason():
    @asynccontextmanager
    async def open_line(setting):
        async with open_bus(Bus("scan", serial_of("/dev/nothing-here", setting))) as door:
            yield door.read

    async def scan():
        await scan_bus(ScanPlan((AT_9600,)), FAMILIES, open_line=open_line, tell=lambda _: None)

    with pytest.raises(BusDown, match="no such port"):
        run_simulated(scan())


def test_the_usual_settings_are_those_that_the_profiles_name():
    lines = usual_lines(FAMILIES)
    assert PROBLEMS == ()
    assert lines[0] == LineSetting()
    assert {
        LineSetting(2400),
        LineSetting(38400, Parity.NONE, 2),
        LineSetting(9600, Parity.EVEN),
    } <= set(lines)
    assert len(set(lines)) == len(lines)
    assert replace(lines[0], baud=115200) in lines
