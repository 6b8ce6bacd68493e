"""What no plan covers, played through in simulated time with the daemon's own door and decider."""

import pytest

from scripts.benchmarks.trouble import live_through_trouble, troubles

BAUD = 9600  # `scripts/bench day` plays the other ones


@pytest.mark.parametrize("name", troubles(BAUD))
def test_beyond_the_hypothesis_the_right_fault_comes_within_its_bound_and_goes_by_itself(name):
    found = live_through_trouble(name, BAUD, seed=2)
    assert found.raised.keys() >= found.trouble.faults
    assert not found.missed, (found.raised, found.cleared)
    assert not found.false
    assert 0 < found.worst <= 1
    assert all(took > 0 for took in found.raised.values()), "nothing while all was well"
