"""The simulated devices say exactly what the real ones are documented to say."""

from random import Random

import pytest

from gateway.sim.devices import (
    AddressMissing,
    by_unit,
    float32,
    int16,
    jxbs_co,
    lx47le,
    mpd380,
    pzem016,
    qdy30a,
    read_table,
    sdm630,
    uint16,
    uint32_low_first,
    xgardiq,
)


class Still(Random):
    """No noise, so that registers can be compared to the last digit."""

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        return mu


def test_float32_is_ieee_single_precision_high_word_first() -> None:
    assert float32(230.5) == [0x4366, 0x8000]
    assert float32(-1.0) == [0xBF80, 0]


def test_whole_numbers_stay_inside_their_words() -> None:
    assert uint16(-3) == [0]
    assert uint16(70_000) == [0xFFFF]
    assert int16(-1) == [0xFFFF]
    assert uint32_low_first(0x0001_0002) == [2, 1]


def test_pzem016_answers_the_golden_frame_of_its_manual() -> None:
    meter = pzem016("socket", 1, voltage=225.7, current=0.108, energy=0.038)
    meter.noise = Still()
    words = read_table(meter, "input", 0, 10)
    assert words[:3] == [0x08D1, 0x006C, 0]
    assert words[3:5] == [0x00F4, 0]
    assert words[5:] == [0x0026, 0, 0x01F4, 0x0064, 0]


def test_pressure_transmitters_share_a_map_and_differ_in_what_code_3_means() -> None:
    hydrant, roof = qdy30a("hydrant", 1, pressure=0.28), mpd380("roof", 2, pressure=2.8)
    hydrant.noise = roof.noise = Still()
    assert read_table(hydrant, "holding", 2, 3) == [3, 3, 280]
    assert read_table(roof, "holding", 2, 3) == [3, 2, 280]


def test_lx47le_adds_40_to_its_temperatures() -> None:
    board = lx47le("board", 3, residual_current=230, neutral_temp=31)
    board.noise = Still()
    assert read_table(board, "input", 5, 2) == [230, 71]


def test_gas_head_and_co_head_say_what_their_drivers_expect() -> None:
    gas, co = xgardiq("gas", 7, gas=12.5), jxbs_co("co", 8, co=18.9)
    gas.noise = co.noise = Still()
    assert read_table(gas, "holding", 301, 2) == [0x4148, 0]
    assert read_table(gas, "holding", 99, 1) == [3]
    assert read_table(co, "holding", 6, 1) == [0x00BD]


def test_noise_stays_small() -> None:
    meter = sdm630("meter", 1)
    first = [read_table(meter, "input", 0, 2) for _ in range(50)]
    assert len({tuple(words) for words in first}) > 1
    assert all(0x4360 <= words[0] <= 0x4370 for words in first)


def test_an_address_that_the_device_lacks_is_refused_not_invented() -> None:
    with pytest.raises(AddressMissing):
        read_table(jxbs_co("co", 8), "holding", 6, 9)
    with pytest.raises(AddressMissing):
        read_table(jxbs_co("co", 8), "input", 6, 1)


def test_two_devices_with_one_unit_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="unit 1"):
        by_unit([jxbs_co("a", 1), jxbs_co("b", 1)])
