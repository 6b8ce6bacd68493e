"""Every shipped profile against recorded or documented words: what a person would read off.

`<profile>.yaml` beside this file: what came from where (`reply` is a whole RTU frame with its CRC,
`words` only the registers), and the readings they must become, to the last digit. The words go the
daemon's own way: site file, planner, decoder. A profile without a file fails, and so does a point
that is in none of the recordings.
"""

import functools
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gateway.config.load import load_site
from gateway.config.shipped import shipped_dir
from gateway.core.blocks import plan_blocks
from gateway.core.decode import decode_block
from gateway.domain.points import Table
from gateway.domain.readings import Quality
from tests.partners.modbus.line import crc16

HERE = Path(__file__).parent
PROFILES = shipped_dir() / "profiles"
HOLE = {True: 1, False: 0xA5A5}  # what stands in addresses nobody recorded: nobody may look at it
SOURCES = ("golden frame", "vendor document", "encoded from the documented format")


def yaml_in(path):
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def is_base(path):
    """A register layout without points of its own, which other profiles extend."""
    return not yaml_in(path).get("points")


NAMES = sorted(path.stem for path in PROFILES.glob("*.yaml") if not is_base(path))
RECORDED = sorted(path.stem for path in HERE.glob("*.yaml"))
BUSES = {
    "serial": "{serial: /dev/ttyUSB0, baud: 9600}",
    "fast serial": "{serial: /dev/ttyUSB0, baud: 115200}",
    "tcp": "{tcp: host}",
}


@functools.cache
def recordings_of(name):
    path = HERE / f"{name}.yaml"
    assert path.exists(), f"tests/profiles/{name}.yaml is missing: words of {name} and its readings"
    file = yaml_in(path)
    assert file["profile"] == name
    return file["recordings"]


def device_of(name, bus, folder, channel=0):
    """The device and its bus as `load_site` makes them, with nothing but the profile's own."""
    channels = yaml_in(PROFILES / f"{name}.yaml").get("channels")
    more = f", channel: {channel}" if channels else ""
    path = folder / "site.yaml"
    path.write_text(
        "site: {id: t, name: T, institution: elder-care}\n"
        f"buses: {{b: {bus}}}\n"
        f"devices: {{d: {{profile: {name}, bus: b, unit: 1, place: P, owner: O{more}}}}}\n",
        encoding="utf-8",
    )
    loaded = load_site(path)
    assert loaded.site is not None, loaded.problems
    return loaded.site.devices[0], loaded.site.buses[0]


def memory_of(recording, channel=0):
    """Address -> word (or bit) of each table, out of the recorded replies."""
    memory = {}
    for part in recording["words"]:
        table = Table(part["table"])
        start = part["start"] + channel
        data = bytes.fromhex(part.get("reply") or part["words"])
        if "reply" in part:
            assert crc16(data[:-2]) == data[-2:], f"{recording['what']}: the CRC is wrong"
            assert data[1] == table.function
            assert data[2] == len(data) - 5
            data = data[3:-2]
        if table.is_bits:
            values = [byte >> bit & 1 for byte in data for bit in range(8)]
        else:
            values = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
        memory.update({(table, start + index): value for index, value in enumerate(values)})
    return memory


def addresses_of(point):
    encoding = point.encoding
    more = [at for at in (encoding.decimals_at, encoding.unit_at) if at is not None]
    return [(point.table, at) for at in (*range(point.at, point.at + encoding.width), *more)]


def read_off(device, bus, memory):
    """What the planned requests give of the points whose words are all recorded."""
    found = {}
    for block in plan_blocks(device, bus):
        hole = HOLE[block.table.is_bits]
        reach = range(block.start, block.start + block.count)
        words = [memory.get((block.table, at), hole) for at in reach]
        named = {point.id: point for point in block.points}
        for reading in decode_block(block, words, 1):
            point = named[reading.point]
            if all(place in memory for place in addresses_of(point)):
                is_good = reading.quality is Quality.GOOD
                found[point.name] = reading.value if is_good else {reading.quality: reading.reason}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_recorded_words_become_the_readings_a_person_would_read_off(name, tmp_path):
    recordings = recordings_of(name)
    for bus in BUSES.values():  # each is planned into other requests
        device, made = device_of(name, bus, tmp_path)
        for recording in recordings:
            assert recording["source"].startswith(SOURCES)
            found = read_off(device, made, memory_of(recording))
            assert found == recording["readings"], recording["what"]


@pytest.mark.parametrize("name", NAMES)
def test_every_point_has_a_good_reading_in_a_recording(name, tmp_path):
    device, _ = device_of(name, BUSES["tcp"], tmp_path)
    good = {
        point
        for recording in recordings_of(name)
        for point, value in recording["readings"].items()
        if not isinstance(value, dict)
    }
    assert {point.name for point in device.points} - good == set()


def test_every_recording_belongs_to_a_profile():
    assert set(RECORDED) - set(NAMES) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_says_where_it_comes_from_and_how_sure_that_is(name):
    file = yaml_in(PROFILES / f"{name}.yaml")
    assert file["profile"] == name
    assert file["confidence"] in {"A", "B", "C"}
    assert file["maker"]
    assert file["model"]
    assert len(file["source"]) > 10


def test_a_channel_of_a_panel_is_read_from_its_own_addresses(tmp_path):
    device, bus = device_of("igd-toc-635", BUSES["serial"], tmp_path, channel=7)
    for recording in recordings_of("igd-toc-635"):
        assert read_off(device, bus, memory_of(recording, channel=7)) == recording["readings"]
        assert read_off(device, bus, memory_of(recording)) == {}
