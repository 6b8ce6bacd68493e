"""`bus solve`: the right combination, or the reading that would decide."""

import struct
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.solve import (
    OFFSETS,
    SCALES,
    Candidate,
    Needed,
    Sample,
    explains,
    raw_of,
    sample_of,
    solve,
)
from gateway.domain.points import WordOrder, WordType

FORMAT = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q",
          "float32": "f", "float64": "d"}  # fmt: skip
WIDTH = {"H": 1, "h": 1, "I": 2, "i": 2, "f": 2, "Q": 4, "q": 4, "d": 4}
RANGE = {"H": (0, 2**16 - 1), "h": (-(2**15), 2**15 - 1), "I": (0, 2**32 - 1),
         "i": (-(2**31), 2**31 - 1), "Q": (0, 2**40), "q": (-(2**40), 2**40)}  # fmt: skip


def words_of(truth: Candidate, raw: float) -> list[int]:
    """The device's own encoder, written without the solver's."""
    code = FORMAT[truth.type.value]
    data = struct.pack(">" + code, raw)
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if truth.order in (WordOrder.LITTLE, WordOrder.LITTLE_SWAPPED):
        words.reverse()
    if truth.order in (WordOrder.BIG_SWAPPED, WordOrder.LITTLE_SWAPPED):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


class Meter:
    """A register with a hidden encoding among others that stand still or tick."""

    def __init__(self, random: Random) -> None:
        kind = random.choice([each for each in WordType if each.value in FORMAT])
        is_float = kind.value.startswith("float")
        self.code = FORMAT[kind.value]
        width = WIDTH[self.code]
        orders = list(WordOrder) if width > 1 else [WordOrder.BIG, WordOrder.BIG_SWAPPED]
        self.random = random
        self.size = 6
        self.truth = Candidate(
            100 + random.randrange(self.size - width + 1),
            kind,
            random.choice(orders),
            random.choice(SCALES),
            Decimal(0) if is_float else random.choice(OFFSETS),
        )
        self.rest = [random.choice([0, 0, random.randrange(65536)]) for _ in range(self.size)]
        self.decimals = max(0, -int(self.truth.scale.log10()))
        if is_float:
            self.decimals = max(0, 1 - int(self.truth.scale.log10()))

    def sample(self, raw: float) -> Sample:
        words = [
            word if self.random.random() < 0.7 else self.random.randrange(65536)
            for word in self.rest
        ]
        at = self.truth.at - 100
        own = words_of(self.truth, raw)
        words[at : at + len(own)] = own
        exact = raw_of(self.truth, Sample(100, tuple(words), Decimal(0)))
        assert exact is not None
        value = exact * self.truth.scale + self.truth.offset
        step = Decimal(1).scaleb(-max(self.decimals, 2 if self.truth.offset % 1 else 0))
        return Sample(100, tuple(words), value.quantize(step))

    def draw(self) -> float:
        """A raw number as meters have it: small, or anywhere in the type."""
        if self.code in "fd":
            return round(self.random.uniform(-400, 400) * 10 ** self.random.randrange(3), 1)
        low, high = RANGE[self.code]
        if self.random.random() < 0.6:
            low, high = max(low, -3000), min(high, 30_000)
        return self.random.randint(low, high)

    def meeting(self, needed: Needed) -> Sample | None:
        """A sample that meets the need; None when this meter can never show one."""
        edges = [] if self.code in "fd" else [*RANGE[self.code], *(2**b for b in (15, 16, 31, 32))]
        for number in range(200):
            raw: float = self.draw()
            if edges and number % 2:
                edge = self.random.choice(edges)
                low, high = RANGE[self.code]
                raw = min(max(edge + self.random.randint(-40, 4000), low), high)
            sample = self.sample(raw)
            if needed.is_met(sample.shown):
                return sample
        return None


def test_1000_random_encodings_are_found_or_the_deciding_reading_is_named() -> None:
    found = named = samples_used = 0
    for seed in range(1000):
        meter = Meter(Random(seed))
        samples = [meter.sample(meter.draw())]
        solved = solve(samples)
        while solved.needed is not None and len(samples) < 12:
            assert meter.truth in solved.candidates, seed
            further = meter.meeting(solved.needed)
            if further is None:
                break
            before = len(solved.candidates)
            samples.append(further)
            solved = solve(samples)
            assert len(solved.candidates) <= before
        assert meter.truth in solved.candidates, (seed, meter.truth)
        samples_used += len(samples)
        if solved.candidates == (meter.truth,):
            found += 1
            continue
        # what stays reads the same words the same way, and only a value this meter does not
        # reach would part it
        assert solved.needed is not None, seed
        assert solved.needed.away_from is None, (seed, meter.truth, solved)
        assert meter.meeting(solved.needed) is None, seed
        named += 1
    assert found + named == 1000
    assert found > 700
    assert samples_used < 4000


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_nothing_that_explains_all_samples_is_ever_left_out(seed: int) -> None:
    meter = Meter(Random(seed))
    samples = [meter.sample(meter.draw()) for _ in range(2)]
    solved = solve(samples)
    assert meter.truth in solved.candidates
    for candidate in solved.candidates:
        assert all(explains(candidate, sample) for sample in samples)


def test_a_float_is_found_at_once() -> None:
    solved = solve([sample_of(0, [0x4366, 0x3333], "230.2")])
    best = solved.candidates[0]
    assert (best.type, best.order, best.scale, best.offset) == (
        WordType.FLOAT32, WordOrder.BIG, 1, 0,
    )  # fmt: skip


def test_a_pzem_s_low_word_first_needs_a_large_value_to_be_told_from_one_word() -> None:
    first = solve([sample_of(1, [0x006C, 0x0000], "0.108")])
    assert {c.type for c in first.candidates} >= {WordType.UINT16, WordType.UINT32}
    second = solve([
        sample_of(1, [0x006C, 0x0000], "0.108"),
        sample_of(1, [0x86A0, 0x0001], "100.000"),
    ])  # fmt: skip
    kinds = {(c.type, c.order) for c in second.candidates}
    assert kinds == {(WordType.UINT32, WordOrder.LITTLE), (WordType.INT32, WordOrder.LITTLE)}
    assert second.needed == Needed(above=Decimal("2147483.647"), below=Decimal("0.000"))


def test_a_breaker_s_offset_of_minus_40_is_found_with_a_second_temperature() -> None:
    solved = solve([sample_of(6, [65], "25"), sample_of(6, [112], "72")])
    assert {(c.scale, c.offset) for c in solved.candidates} == {(Decimal(1), Decimal(-40))}


def test_a_display_that_fits_nothing_has_no_candidates_and_asks_for_nothing() -> None:
    solved = solve([sample_of(0, [1, 2], "98765")])
    assert solved.candidates == ()
    assert solved.needed is None


@pytest.mark.parametrize("shown", ["", "abc", "nan", "inf", "12..3"])
def test_what_is_no_number_is_refused(shown: str) -> None:
    with pytest.raises(ValueError):
        sample_of(0, [1], shown)
