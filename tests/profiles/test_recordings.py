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

from gateway.config.kinds import Kinds
from gateway.config.load import load_site
from gateway.config.problems import Place
from gateway.config.profiles import Shelf, find_profile
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
BUSES = {  # each is planned into other requests
    "slow": "{serial: /dev/ttyUSB0, baud: 2400}",
    "fast": "{serial: /dev/ttyUSB1, baud: 115200}",
    "tcp": "{tcp: host}",
}


@functools.cache
def recordings_of(name):
    path = HERE / f"{name}.yaml"
    assert path.exists(), f"tests/profiles/{name}.yaml is missing: words of {name} and its readings"
    file = yaml_in(path)
    assert file["profile"] == name
    return file["recordings"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Every profile on every bus, with nothing but the profile's own."""
    lines = ["site: {id: t, name: T, institution: elder-care}", "buses:"]
    lines += [f"  {bus}: {link}" for bus, link in BUSES.items()]
    lines.append("devices:")
    for bus in BUSES:
        for unit, name in enumerate(NAMES, 1):
            head = f"  {name}-{bus}: {{profile: {name}, bus: {bus}, unit: {unit}, "
            channel = "channel: 0, " if has_channels(name) else ""
            lines.append(f"{head}{channel}place: P, owner: O}}")
    path = tmp_path_factory.mktemp("profiles") / "site.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    loaded = load_site(path, is_timed=False)
    assert loaded.site is not None, loaded.problems
    return loaded.site


def has_channels(name):
    return "channels" in yaml_in(PROFILES / f"{name}.yaml")


def made_of(site, name):
    """The devices of a profile, each with its bus."""
    buses = {bus.id: bus for bus in site.buses}
    return [(device, buses[device.bus]) for device in site.devices if device.profile == name]


def memory_of(recording):
    """Address -> word (or bit) of each table, out of the recorded replies."""
    memory = {}
    for part in recording["words"]:
        table = Table(part["table"])
        start = part["start"]
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
def test_recorded_words_become_the_readings_a_person_would_read_off(name, site):
    recordings = recordings_of(name)
    assert len(made_of(site, name)) == len(BUSES)
    for device, bus in made_of(site, name):
        for recording in recordings:
            assert recording["source"].startswith(SOURCES)
            found = read_off(device, bus, memory_of(recording))
            assert found == recording["readings"], recording["what"]


@pytest.mark.parametrize("name", NAMES)
def test_every_point_has_a_good_reading_in_a_recording(name, site):
    good = {
        point
        for recording in recordings_of(name)
        for point, value in recording["readings"].items()
        if not isinstance(value, dict)
    }
    device, _ = made_of(site, name)[0]
    assert {point.name for point in device.points} - good == set()


def test_every_recording_belongs_to_a_profile():
    assert set(RECORDED) - set(NAMES) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_says_where_it_comes_from_and_how_sure_that_is(name):
    file = yaml_in(PROFILES / f"{name}.yaml")
    assert file["profile"] == name
    assert file["confidence"] in {"A", "B", "C"}
    assert (file["confidence"] == "C") == ("unverified" in file)
    assert file["maker"]
    assert file["model"]
    assert len(file["source"]) > 10


def is_expected(value, expected):
    """The scan's question, answered here on its own."""
    if isinstance(expected, frozenset):
        return value in expected
    return not isinstance(value, dict | str) and expected[0] <= value <= expected[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_scan_knows_the_recorded_device_by_its_probe(name):
    shelf = Shelf(HERE, shipped_dir(), Kinds(shipped_dir() / "rules", []))
    profile = find_profile(name, Place("site.yaml", 1, 1, "", 1), shelf, [])
    assert profile is not None
    assert profile.probe, "a scan cannot know this device: give it a probe"
    first = recordings_of(name)[0]["readings"]
    for point, expected in profile.probe.items():
        assert is_expected(first[point], expected), (point, first[point], expected)


@pytest.mark.parametrize("name", NAMES)
def test_what_identifies_a_device_is_part_of_its_probe(name):
    file = yaml_in(PROFILES / f"{name}.yaml")
    named = {point for point, part in file["points"].items() if "identity" in part}
    assert named <= set(file.get("probe", {}))
