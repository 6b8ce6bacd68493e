import pytest

from gateway.domain.points import Gate
from gateway.domain.readings import Quality

GOOD, FAULT, INHIBITED = Quality.GOOD, Quality.FAULT, Quality.INHIBITED
WARMING_UP, SUSPECT = Quality.WARMING_UP, Quality.SUSPECT


@pytest.mark.parametrize(
    ("value", "quality"), [(3, GOOD), (2, WARMING_UP), (2.0, WARMING_UP), (9, FAULT), (None, FAULT)]
)
def test_a_gate_of_codes_gives_the_listed_quality_and_else_the_other(value, quality):
    assert Gate("ready", {3: GOOD, 2: WARMING_UP}, FAULT).quality_at(value) is quality


@pytest.mark.parametrize(
    ("word", "quality"),
    [
        (0b0000_0000, GOOD),
        (0b0000_0111, GOOD),  # bits that are not listed say nothing
        (0b0001_0000, INHIBITED),
        (0b0000_1000, FAULT),
        (0b0001_1000, FAULT),  # the worst counts
        (0b1_0001_0000, FAULT),
        (None, SUSPECT),
    ],
)
def test_a_gate_of_bits_gives_the_worst_of_those_that_are_set(word, quality):
    gate = Gate("status", {}, SUSPECT, {3: FAULT, 4: INHIBITED, 8: FAULT})
    assert gate.quality_at(word) is quality


def test_a_listed_value_of_a_bitfield_wins_over_its_bits():
    gate = Gate("status", {0xFFFF: WARMING_UP}, SUSPECT, {3: FAULT})
    assert gate.quality_at(0xFFFF) is WARMING_UP
