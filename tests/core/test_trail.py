from hypothesis import given
from hypothesis import strategies as st

from gateway.core.trail import MAX_CELLS, MINUTE_MS, SPACING_MS, extended, samples, spacing_ms
from gateway.domain.readings import Quality, Reading


def trail_of(*readings, spacing=SPACING_MS):
    trail = None
    for ms, value in readings:
        trail = extended(trail, Reading("p", value, Quality.GOOD, ms), spacing)
    return trail


def cells(trail):
    return sum(map(length, trail[:2]))


def length(cell):
    count = 0
    while cell is not None:
        cell, count = cell[1], count + 1
    return count


@given(
    st.lists(st.tuples(st.integers(1, 20_000), st.integers(0, 3)), min_size=1, max_size=300),
    st.integers(0, MINUTE_MS),
)
def test_the_last_minute_says_at_each_moment_what_was_read_last(steps, back):
    at, readings = 0, []
    for wait, value in steps:
        at += max(wait, SPACING_MS)
        readings.append((at, value))
    trail, moment = trail_of(*readings), max(readings[-1][0] - back, readings[0][0])
    expected = next(value for ms, value in reversed(readings) if ms <= moment)
    found = samples(trail, moment, at, 0)
    assert (found[0].ms, found[0].value) == (moment, expected)
    told = [(sample.ms, sample.value) for sample in found[1:]]
    after = [(ms, value) for ms, value in readings if ms > moment]
    assert told == [each for each in after if each in told]
    for ms, value in after:  # a value stands until the next sample
        assert [v for t, v in ((moment, expected), *told) if t <= ms][-1] == value


def test_what_is_kept_of_a_point_is_bounded_however_fast_and_long_it_is_read():
    trail = trail_of(*((ms, ms) for ms in range(0, 3_600_000, 50)))
    assert cells(trail) <= 2 * (75_000 // SPACING_MS + 1)


def test_many_points_together_keep_within_the_bound():
    spacing = spacing_ms(2_000)
    trail = trail_of(*((ms, ms) for ms in range(0, 600_000, 1_000)), spacing=spacing)
    assert cells(trail) * 2_000 <= MAX_CELLS * 1.2


def test_a_point_that_does_not_change_costs_one_cell():
    assert cells(trail_of(*((ms, 20) for ms in range(0, 600_000, 1_000)))) == 1


def test_a_change_of_quality_is_never_passed_over():
    trail = trail_of((0, 20))
    trail = extended(trail, Reading("p", None, Quality.FAULT, 100), SPACING_MS)
    trail = extended(trail, Reading("p", 21, Quality.GOOD, 200), SPACING_MS)
    assert [s.quality for s in samples(trail, 0, 200, 0)] == [
        Quality.GOOD, Quality.FAULT, Quality.GOOD
    ]  # fmt: skip


def test_nothing_read_is_nothing_told():
    assert samples(None, 0, 1_000, 0) == ()
