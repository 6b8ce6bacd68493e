"""The traps of register maps that touch a shipped profile, one by one.

Each test fails when its guard (named in the comment over it) is taken away. T12 (no writing) is
about the door: `tests/drivers/test_read_only.py`.
"""

import struct

import pytest

from gateway.config.load import load_site
from gateway.config.shipped import shipped_dir
from gateway.domain.points import Table
from tests.profiles.bench import Bench

INPUT, HOLDING = Table.INPUT, Table.HOLDING


def floats(rows):
    """Address -> word of float32 values, high word first."""
    words = {}
    for at, value in rows.items():
        words[at], words[at + 1] = struct.unpack(">HH", struct.pack(">f", value))
    return words


# guard: `order: little` of the PZEM, and the order that every other profile leaves at high first
def test_t1_the_low_word_comes_first_in_a_pzem_and_last_in_an_eastron_and_an_acrel(tmp_path):
    pzem = Bench(tmp_path, "peacefair-pzem-016").read({INPUT: {1: 0x86A0, 2: 0x0001}})
    assert pzem.value("current") == 100
    eastron = Bench(tmp_path, "eastron-sdm120").read({INPUT: {6: 0x42C8, 7: 0x0000}})
    assert eastron.value("current") == 100
    acrel = Bench(tmp_path, "acrel-adl400").read({HOLDING: {362: 0x0001, 363: 0x86A0}})
    assert acrel.value("active_power_total") == 100_000


# guard: `order: little` of the Carlo Gavazzi meters, of the Midas and of the DFRobot probes
def test_t1_low_word_first_is_said_by_each_family_and_never_taken_from_the_category(tmp_path):
    for name, table in (("em24-rs485", INPUT), ("em24-e1", HOLDING), ("em3x0", INPUT)):
        meter = Bench(tmp_path, f"carlo-gavazzi-{name}")
        assert meter.read({table: {12: 0x86A0, 13: 0x0001}}).value("current_l1") == 100
    midas = {0: 1, 2: 0x3333, 3: 0x414B, 6: 0x0800}
    assert Bench(tmp_path, "honeywell-midas").read({HOLDING: midas}).value("concentration") == 12.7
    probe = {0: 51014, 7: 1, 8: 1, 9: 0x86A0, 10: 1, 11: 3}
    bench = Bench(tmp_path, "dfrobot-sen07xx-ch4").read({INPUT: probe})
    assert bench.value("concentration") == 100


DTSU = {8198: 2245.0, 8204: 12345.0, 8210: 27134.0, 8218: -3107.0, 8234: 985.0, 8260: 4997.0}
DTSU_H = {8198: 224.5, 8204: 12.345, 8210: 2713.4, 8218: -310.7, 8234: 0.985, 8260: 49.97}
DTSU_POINTS = (
    "voltage_l1", "current_l1", "active_power_total", "reactive_power_total", "power_factor_total",
    "frequency",
)  # fmt: skip


# guard: the factors of the plain profile, and the `scale: 1` of each point of the -H
def test_t2_the_plain_dtsu666_and_the_h_come_to_the_same_values_each_by_its_own_profile(tmp_path):
    plain = Bench(tmp_path, "chint-dtsu666").read({HOLDING: floats(DTSU)})
    h = Bench(tmp_path, "chint-dtsu666-h").read({HOLDING: floats(DTSU_H)})
    values = [224.5, 12.345, 2713.4, -310.7, 0.985, 49.97]
    assert [plain.value(point) for point in DTSU_POINTS] == values
    assert [h.value(point) for point in DTSU_POINTS] == values


# guard: a point forgotten in the -H profile would keep the factor of the plain one
def test_t2_no_point_of_the_h_has_a_factor_and_every_point_of_the_plain_one_has(tmp_path):
    plain = {p.name: p.encoding for p in Bench(tmp_path, "chint-dtsu666").device.points}
    h = {p.name: p.encoding for p in Bench(tmp_path, "chint-dtsu666-h").device.points}
    assert plain.keys() == h.keys()
    assert {encoding.scale for encoding in h.values()} == {1}
    assert all(encoding.scale < 1 for encoding in plain.values())


# guard: the valid bands of voltage and frequency
def test_t2_the_wrong_variant_is_a_fault_at_once_and_never_a_voltage_of_2245(tmp_path):
    wrong = Bench(tmp_path, "chint-dtsu666-h").read({HOLDING: floats(DTSU)})
    assert wrong.value("voltage_l1") == ("fault", "out_of_range")
    assert wrong.value("frequency") == ("fault", "out_of_range")
    other = Bench(tmp_path, "chint-dtsu666").wait(12, {HOLDING: floats(DTSU_H)})
    assert other.value("frequency") == ("fault", "out_of_range")
    assert "voltage_l1/voltage_low_alarm" in other.alarms  # 22.45 V does not go unseen either
    for bench in (wrong.wait(12, {HOLDING: floats(DTSU)}), other):
        assert ("gateway/readings_invalid/d", "fault") in bench.raised


# guard: `units` of each maker's profile
def test_t3_the_same_words_are_a_good_pressure_on_one_transmitter_and_an_alarm_on_the_other(
    tmp_path,
):
    words = {HOLDING: {2: 3, 3: 2, 4: 65}}
    qdy = Bench(tmp_path, "qdy30a").wait(15, words)
    mpd = Bench(tmp_path, "mpd-380").wait(15, words)
    assert (qdy.value("pressure"), mpd.value("pressure")) == (0.65, 0.065)
    assert qdy.alarms == set()
    assert mpd.alarms == {"pressure/pressure_low_alarm"}


# guard: a code that the model does not have is in no table
@pytest.mark.parametrize(("profile", "code"), [("qdy30a", 9), ("mpd-380", 5), ("qdy30a-level", 3)])
def test_t3_a_unit_code_of_another_maker_is_a_fault_without_a_number(profile, code, tmp_path):
    bench = Bench(tmp_path, profile).read({HOLDING: {2: code, 3: 2, 4: 65}})
    (point,) = bench.device.points
    assert bench.said(point.name) == (None, "fault", "unit_unknown")


# guard: sentinels belong to a point; the PZEM's alarm has none
def test_t4_65535_is_an_alarm_in_the_pzem_and_no_number_in_the_co_probe(tmp_path):
    pzem = Bench(tmp_path, "peacefair-pzem-016").read({INPUT: {9: 0xFFFF}})
    assert pzem.value("over_power_alarm") == 0xFFFF
    assert "over_power_alarm/over_power" in pzem.alarms
    probe = Bench(tmp_path, "jxbs-3001-co").wait(40, {HOLDING: {6: 0xFFFF}})
    assert probe.said("co") == (None, "fault", "sentinel")
    assert probe.alarms == set()


# guard: no sentinel on the phase order of the EM24_E1
def test_t4_65535_is_the_phase_order_of_an_em24_and_no_value_in_an_abb(tmp_path):
    meter = Bench(tmp_path, "carlo-gavazzi-em24-e1").read({HOLDING: {50: 0xFFFF, 11: 1648}})
    assert meter.value("phase_sequence") == 0xFFFF
    abb = {23340: 0xFFFF, 35168: 0x4232, 35169: 0x3320}
    assert Bench(tmp_path, "abb-b23").read({HOLDING: abb}).said("frequency")[0] is None


# guard: the addresses of the profile, which are one lower than the maker's numbers
def test_t5_a_schneider_is_asked_one_below_the_number_in_its_manual(tmp_path):
    for name in ("schneider-iem3000", "schneider-pm2100"):
        bench = Bench(tmp_path, name).read({HOLDING: floats({3028 - 1: 230.0, 3110 - 1: 50.0})})
        assert bench.value("voltage_l1") == 230
        assert bench.value("frequency") == 50
        off_by_one = Bench(tmp_path, name).read({HOLDING: floats({3028: 230.0, 3110: 50.0})})
        assert off_by_one.value("voltage_l1") != 230


# guard: the wire addresses of the profile; its source once moved voltage and current by one
def test_t5_every_value_of_the_breaker_is_at_its_wire_address(tmp_path):
    bench = Bench(tmp_path, "lingxun-lx47le").read({INPUT: {at: 100 + at for at in range(20)}})
    points = {p.name: bench.value(p.name) for p in bench.device.points}
    assert points == {
        "breaker_status": 100, "frequency": 10.4,
        "residual_current": 105, "temperature_n": 66, "temperature_l1": 67, "voltage_l1": 108,
        "current_l1": 1.09, "power_factor_l1": 1.1, "active_power_l1": 111,
    }  # fmt: skip


# guard: `offset` of the breaker's temperatures
def test_t6_the_breaker_says_25_degrees_with_65_and_alarms_at_its_own_72(tmp_path):
    cool = Bench(tmp_path, "lingxun-lx47le").wait(15, {INPUT: {6: 65, 7: 65, 8: 220}})
    assert (cool.value("temperature_n"), cool.value("temperature_l1")) == (25, 25)
    assert cool.raised == []
    hot = Bench(tmp_path, "lingxun-lx47le").wait(15, {INPUT: {6: 65, 7: 112, 8: 220}})
    assert hot.alarms == {"temperature_l1/temperature_alarm"}


# guard: `offset` of the gas panel
def test_t6_no_gas_is_100_on_the_wire_of_the_gas_panel_and_20_percent_is_300(tmp_path):
    def wait(raw):
        return Bench(tmp_path, "igd-toc-635", ", channel: 0").wait(15, {INPUT: {30000: raw}})

    assert (wait(100).value("concentration"), wait(100).raised) == (0, [])
    assert wait(205).raised == [("concentration/gas_warning", "warning")]  # 10.5 %LEL
    assert wait(301).alarms == {"concentration/gas_alarm"}  # 20.1 %LEL
    assert wait(0).value("concentration") == ("fault", "out_of_range")


# guard: table and addresses of both profiles
def test_t7_temperature_and_humidity_change_places_between_two_like_probes(tmp_path):
    words = {1: 231, 2: 655}, {0: 655, 1: 231}
    xy = Bench(tmp_path, "xy-md02").read({INPUT: words[0]})
    jxct = Bench(tmp_path, "jxct-temp-hum").read({HOLDING: words[1]})
    for probe in (xy, jxct):
        assert (probe.value("temperature"), probe.value("humidity")) == (23.1, 65.5)
    asked = [[(b.table, b.start, b.count) for b in probe.blocks] for probe in (xy, jxct)]
    assert asked == [[(INPUT, 1, 2)], [(HOLDING, 0, 2)]]


# guard: each EM24 has its own file, and the Ethernet one knows itself
def test_t8_the_two_em24_differ_in_power_factor_frequency_and_energy(tmp_path):
    words = {51: 499, 52: 0xD687, 53: 0x0012, 55: 500, 66: 1, 11: 1648}
    wired = Bench(tmp_path, "carlo-gavazzi-em24-rs485").read({INPUT: words})
    ethernet = Bench(tmp_path, "carlo-gavazzi-em24-e1").read({HOLDING: words})
    assert (wired.value("frequency"), ethernet.value("frequency")) == (50, 49.9)
    assert (wired.value("energy_import"), ethernet.value("energy_import")) == (0.1, 123456.7)
    assert wired.value("power_factor_total") == 0.018
    assert "power_factor_total" not in {point.name for point in ethernet.device.points}


# guard: `identity` of the EM24_E1, of the ABB, of the DFRobot and of the residual-current relays
@pytest.mark.parametrize(
    ("profile", "point", "right", "wrong"),
    [
        ("carlo-gavazzi-em24-e1", "model_code", {HOLDING: {11: 1653}}, {HOLDING: {11: 71}}),
        ("abb-b23", "model_code", {HOLDING: {35168: 0x4232, 35169: 0x3420}},
         {HOLDING: {35168: 0x4134, 35169: 0x3320}}),
        ("dfrobot-sen07xx-ch4", "product_id", {INPUT: {0: 51014}}, {INPUT: {0: 51015}}),
        ("circutor-rgu-100a", "model_text", {INPUT: {5000: 0x4D52, 5001: 0x4344}},
         {INPUT: {5000: 0x4D52, 5001: 0x4345}}),
        ("bender-rcmb300", "application", {HOLDING: {1000: 0x1234, 1001: 0x5678, 1194: 579}},
         {HOLDING: {1000: 0x1234, 1001: 0x5678, 1194: 580}}),
    ],
)  # fmt: skip
def test_f19_another_device_at_the_address_is_told(profile, point, right, wrong, tmp_path):
    fault = ("gateway/wrong_device/d", "fault")
    assert fault not in Bench(tmp_path, profile).read(right).raised
    assert fault in Bench(tmp_path, profile).read(wrong).raised, point


# guard: uint16 of the currents, int32 of the powers, and valid bands that let exports through
def test_t9_a_current_has_no_sign_and_the_power_tells_the_direction(tmp_path):
    words = {100: 1234, 101: 0xFFFF, 356: 0xFFFF, 357: 0xF5A6}
    bench = Bench(tmp_path, "acrel-adl400").read({HOLDING: words})
    assert bench.value("current_l1") == 12.34
    assert bench.value("current_l2") == 655.35
    assert bench.value("active_power_l1") == -2650


# guard: the planner keeps what makes one value in one request
@pytest.mark.parametrize("bus", ["{tcp: host}", "{serial: /dev/ttyUSB0, baud: 2400}"])
@pytest.mark.parametrize("profile", ["qdy30a", "mpd-380", "qdy30a-level"])
def test_t10_value_decimals_and_unit_come_in_one_request(profile, bus, tmp_path):
    (block,) = Bench(tmp_path, profile, bus=bus).blocks
    assert (block.table, block.start, block.count) == (HOLDING, 2, 3)


# guard: `serial` of the profiles, and the word that `check` says when the line runs otherwise
def test_t11_a_line_that_runs_otherwise_than_the_device_s_factory_setting_is_told(tmp_path):
    unusual = {
        "eastron-sdm120": "2400 none 1",
        "crowcon-xgardiq": "38400 none 2",
        "acrel-adl400": "9600 even 1",
        "acrel-adl400-float": "9600 even 1",
        "igd-toc-635": "19200 none 1",
        "crowcon-xgard-bright": "9600 none 2",
        "schneider-iem3000": "19200 even 1",
        "schneider-pm2100": "19200 even 1",
        "cet-pmc-350-c": "9600 even 1",
        "circutor-rgu-100a": "115200 none 1",
    }
    names = sorted(path.stem for path in (shipped_dir() / "profiles").glob("*.yaml"))
    for base in ("cn-pressure-7reg", "dfrobot-sen07xx"):
        names.remove(base)
    lines = ["site: {id: t, name: T, institution: elder-care}"]
    lines += ["buses: {b: {serial: /dev/ttyUSB0, baud: 9600}}", "devices:"]
    for unit, name in enumerate(names, 1):
        more = ", channel: 0" if name == "igd-toc-635" else ""
        lines.append(
            f"  {name}: {{profile: {name}, bus: b, unit: {unit}, place: P, owner: O{more}}}"
        )
    path = tmp_path / "site.yaml"
    path.write_text("\n".join(lines))
    said = {
        problem.fact.en.split()[0]: problem.fact.en
        for problem in load_site(path).problems
        if problem.code == "serial_differs"
    }
    assert said.keys() == unusual.keys()
    for name, setting in unusual.items():
        assert setting in said[name]


# --- a gas panel's status word (F9 and F10 of the failure modes) -------------------------------


def panel(tmp_path, raw, status, seconds=15):
    words = {INPUT: {30000: raw, 31000: 2400, 33000: status}}
    return Bench(tmp_path, "igd-toc-635", ", channel: 0").wait(seconds, words)


# guard: `gate` of the concentration
@pytest.mark.parametrize(
    ("bit", "quality"),
    [(3, "fault"), (4, "inhibited"), (5, "fault"), (6, "fault"), (8, "fault")],
)
def test_a_gas_head_in_trouble_is_no_longer_shown_as_normal(bit, quality, tmp_path):
    bench = panel(tmp_path, 100, 1 << bit)
    assert bench.said("concentration") == (0, quality, "gate:status")
    names = ["fault", "disabled", "sensor_fault", "under_range", "", "communication_fault"]
    rule = "detector_disabled" if bit == 4 else "detector_fault"
    assert (f"{names[bit - 3]}/{rule}", "fault") in bench.raised
    assert bench.alarms == set()


# guard: bit 7 is not in the gate, and has a latching alarm of its own
def test_a_gas_head_over_its_range_alarms_and_its_number_is_still_judged(tmp_path):
    bench = panel(tmp_path, 1150, 0x80, seconds=2)
    assert bench.value("concentration") == 105
    assert bench.alarms == {"over_range/gas_over_range", "concentration/gas_high"}
    rules = {rule.id: rule for rule in bench.site.rules}
    assert rules["d.over_range/gas_over_range"].latch


# guard: the panel's own alarm bits are judged whatever the number says
@pytest.mark.parametrize("bit", [0, 1, 2])
def test_a_gas_panel_s_own_alarm_counts_at_once_even_while_the_head_has_a_fault(bit, tmp_path):
    bench = panel(tmp_path, 100, 1 << bit | 1 << 3, seconds=1)
    assert bench.alarms == {f"alarm_{bit + 1}/detector_alarm"}


# guard: `otherwise: warming_up` of the gate
def test_a_gas_head_of_unknown_status_is_not_normal_and_still_alarms_in_much_gas(tmp_path):
    bench = Bench(tmp_path, "igd-toc-635", ", channel: 0")
    bench.blocks = [block for block in bench.blocks if block.start == 30000]
    bench.read({INPUT: {30000: 700}})
    assert bench.said("concentration") == (60, "warming_up", "gate:status")
    assert bench.alarms == {"concentration/gas_high"}


# guard: `gate` of the Midas on some bits of its status word; its heartbeat bit changes all the time
@pytest.mark.parametrize("rest", [0x0000, 0x0800, 0x1700])
@pytest.mark.parametrize(
    ("state", "quality"),
    [
        (0, "warming_up"),
        (1, "good"),
        (2, "inhibited"),
        (6, "inhibited"),
        (8, "inhibited"),
        (9, "fault"),
    ],
)
def test_a_midas_is_believed_only_while_it_monitors(state, quality, rest, tmp_path):
    words = {0: rest | state, 2: 0x3333, 3: 0x414B, 6: 0x0800}
    bench = Bench(tmp_path, "honeywell-midas").wait(3, {HOLDING: words})
    assert bench.said("concentration")[1] == quality
    told = ("state/detector_not_monitoring", "fault") in bench.raised
    assert told == (2 <= state <= 8)


# guard: `asleep` of the DFRobot probes, and the gate on their measurement bit
def test_a_sleeping_gas_probe_is_a_fault_and_its_number_is_not_believed(tmp_path):
    words = {INPUT: {0: 51014, 7: 0, 8: 1, 9: 127, 11: 1}, HOLDING: {5: 1}}
    bench = Bench(tmp_path, "dfrobot-sen07xx-ch4").wait(3, words)
    assert bench.said("concentration")[1] == "warming_up"
    assert ("asleep/detector_fault", "fault") in bench.raised
