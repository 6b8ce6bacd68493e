"""Half a day of the simulated home; `scripts/soak week` plays whole weeks."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from gateway.config.load import load_site
from gateway.sim.incidents import KINDS, plan_incidents
from gateway.sim.week import Raised, live_week, polled_slower

HOUR_MS = 3_600_000
SITE = Path(__file__).parents[2] / "scripts" / "benchmarks" / "week.site.yaml"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    loaded = load_site(SITE, store_dir=tmp_path_factory.mktemp("store"))
    assert loaded.site is not None, loaded.problems
    return polled_slower(loaded.site, 10_000)


def test_what_is_planted_is_raised_within_its_time_and_noise_raises_nothing(home):
    week = live_week(home, seed=11, incidents=2, length_ms=4 * HOUR_MS)
    assert week.raised
    assert week.late == []
    assert week.false_alarms == []
    assert week.false_warnings == []
    assert "detection_late" not in week.own_faults
    assert "rule_failed" not in week.own_faults
    assert week.lost > 10


def test_the_same_seed_is_the_same_week(home):
    first, second = (live_week(home, seed=5, incidents=0, length_ms=HOUR_MS // 4) for _ in "12")
    assert (first.reads, first.lost, first.raised) == (second.reads, second.lost, second.raised)


def test_what_comes_late_or_never_is_not_in_time():
    assert Raised("gas", "rule", took_ms=900, planned_ms=900).is_in_time
    assert not Raised("gas", "rule", took_ms=901, planned_ms=900).is_in_time
    assert not Raised("gas", "rule", took_ms=None, planned_ms=900).is_in_time


def test_every_kind_of_incident_comes_before_one_repeats():
    plan = plan_incidents(Random(1), len(KINDS), 7 * 24 * HOUR_MS)
    assert len({incident.kind for incident in plan}) == len(KINDS)
    assert all(a.end_ms < b.at_ms for a, b in pairwise(plan))
