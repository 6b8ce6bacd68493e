"""What `scripts/soak` promises to run is there to be run."""

import re
from pathlib import Path
from random import Random

import pytest

from scripts.long_runs import RUNS, duration
from scripts.memory_runs import slope_of
from scripts.month_runs import _judge_one

SOAK = Path(__file__).parents[1] / "scripts" / "soak"


def test_every_long_run_stands_in_the_script_s_head_and_the_other_way_round() -> None:
    named = re.findall(r"^#   scripts/soak ([a-z]+)", SOAK.read_text("utf-8"), re.MULTILINE)
    assert set(named) == set(RUNS)


def test_a_leak_is_found_under_noise_and_no_noise_is_taken_for_one() -> None:
    dice = Random(1)
    for leak in (0.0, 0.5, 2.0):
        minutes = [(n / 60, 60 + leak * n / 60 + dice.gauss(0, 0.1)) for n in range(105)]
        found = slope_of(minutes)
        assert abs(found.an_hour - leak) < 1.5 * found.off_by
        assert found.off_by < 0.1


def test_a_staircase_is_no_better_known_than_by_its_few_steps() -> None:
    stairs = [(n / 60, 60 + n // 40 * 0.3) for n in range(120)]
    dots = [(n / 60, 60 + n / 60 * 0.45 + (-1) ** n * 0.1) for n in range(120)]
    assert slope_of(stairs).off_by > 5 * slope_of(dots).off_by


def test_what_fills_for_a_month_may_grow_as_it_began_and_no_quicker():
    steady, quicker = list(range(10, 160, 5)), [day * day for day in range(30)]
    assert _broken("noise.busy", steady) == []
    assert _broken("noise.busy", quicker) != []
    assert _broken("cases", steady) != []
    assert _broken("cases", [*range(15), *[15] * 15]) == []


def _broken(name, counts):
    broken = []
    _judge_one(name, counts, broken)
    return broken


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120), ("30s", 30), ("15m", 900), ("2h", 7_200), ("1.5h", 5_400)]
)
def test_how_long_is_said_in_seconds_minutes_or_hours(text: str, seconds: float) -> None:
    assert duration(text) == seconds
