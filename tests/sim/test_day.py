"""The promise of `care-gateway plan`, played through. `scripts/bench` plays whole days."""

import pytest

from gateway.core.detect import Hypothesis
from gateway.sim.day import line_site, live_through


@pytest.mark.parametrize(
    ("seed", "site"),
    [
        (1, line_site()),
        (2, line_site(devices=5, baud=2400, plain_points=8)),
        (3, line_site(devices=4, baud=115200, plain_points=60)),
    ],
    ids=["9600", "2400", "115200"],
)
def test_no_alarm_is_raised_later_than_the_plan_says_while_the_hypothesis_holds(seed, site):
    day = live_through(site, hours=0.15, seed=seed)
    assert not day.missed
    assert day.worst <= 1
    assert len(day.raised) > 10
    assert day.lost > 5
    assert day.silences > 2
    assert "detection_late" not in day.faults


def test_an_overloaded_bus_still_keeps_what_its_plan_promises_for_alarms():
    day = live_through(line_site(devices=20, plain_points=60), hours=0.05, seed=4)
    assert not day.missed
    assert len(day.raised) > 5


def test_slow_devices_are_covered_once_the_hypothesis_names_their_turnaround():
    slow = Hypothesis(silent=2, lost=1, pending=1, turnaround_ms=400)
    day = live_through(line_site(devices=4, plain_points=8), hours=0.1, seed=5, hypothesis=slow)
    assert not day.missed
    assert len(day.raised) > 10


def test_the_same_seed_is_the_same_day():
    site = line_site(devices=4)
    first, second = (live_through(site, hours=0.05, seed=7) for _ in range(2))
    assert first.raised == second.raised
    assert first.reads == second.reads
