import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.tally import LATENCIES_KEPT, BusTally, Load, Percentiles, Tally, percentiles


def test_percentiles_are_values_that_were_measured():
    assert percentiles([]) == Percentiles()
    assert percentiles([7]) == Percentiles(7, 7, 7)
    assert percentiles(range(1, 101)) == Percentiles(50, 95, 99)


@given(st.lists(st.integers(0, 1_000), min_size=1))
def test_percentiles_are_in_order_and_nearest_rank(took):
    found = percentiles(took)
    assert found.p50 <= found.p95 <= found.p99 <= max(took)
    for share, value in ((50, found.p50), (95, found.p95), (99, found.p99)):
        assert sum(each <= value for each in took) >= share * len(took) / 100


def test_only_the_latest_latencies_are_kept():
    tally = Tally()
    for n in range(10_000):
        tally.answered(n, n)
    assert len(tally.latencies) == LATENCIES_KEPT
    assert (tally.requests, tally.last_good_ms) == (10_000, 9_999)


def test_the_load_is_that_of_the_last_minute():
    load = Load(0)
    for second in range(300):
        if second == 150:
            assert load.share(150_000) == pytest.approx(0.8)
        busy = 800 if second < 150 else 200
        load.add(second * 1_000, second * 1_000 + busy)
    assert load.share(300_000) == pytest.approx(0.2)
    assert load.share(600_000) == 0
    assert len(load.slots) < 20


def test_the_load_of_a_bus_that_just_started_is_not_thinned_out():
    load = Load(100_000)
    load.add(100_000, 109_000)
    assert load.share(104_000) == 0
    assert load.share(110_000) == pytest.approx(0.9)


def test_a_device_is_counted_from_its_first_request():
    bus = BusTally(0)
    bus.of("a").timed_out()
    bus.of("a").refused(5)
    assert (bus.of("a").requests, bus.of("a").timeouts, bus.of("a").exceptions) == (2, 1, 1)
    assert list(bus.devices) == ["a"]


def test_what_a_device_takes_is_forgotten_once_its_profile_says_so():
    tally = BusTally(0)
    assert tally.takes_of("meter", 125) is None
    assert not tally.devices, "nobody asked it yet"
    tally.of("meter").takes = 15
    assert tally.takes_of("meter", 125) == 15
    assert tally.takes_of("meter", 15) is None
    assert tally.of("meter").takes is None
