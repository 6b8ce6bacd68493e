from hypothesis import given
from hypothesis import strategies as st

from gateway.core.timing import (
    ENOUGH_SAMPLES,
    FLOOR_MS,
    LEAST_SPREAD_MS,
    Turnaround,
    is_slow,
    learn,
    patience_ms,
)


def known(*took):
    made = Turnaround()
    for each in took:
        made = learn(made, each)
    return made


def test_before_enough_answers_the_configured_time_out_counts():
    few = known(*[20] * (ENOUGH_SAMPLES - 1))
    assert patience_ms(few, 500) == 500
    assert patience_ms(learn(few, 20), 500) == FLOOR_MS


def test_a_steady_device_is_waited_for_a_little_longer_than_it_takes():
    assert patience_ms(known(*[200] * 50), 1_000) == 200 + LEAST_SPREAD_MS


def test_an_unsteady_device_gets_four_deviations():
    assert 500 < patience_ms(known(*[100, 300] * 50), 2_000) < 700


def test_each_time_out_in_a_row_doubles_the_wait_up_to_the_configured_one():
    made = known(*[20] * 20)
    assert [patience_ms(made, 1_500, n) for n in range(5)] == [300, 600, 1_200, 1_500, 1_500]


def test_a_device_that_needs_all_of_the_configured_time_is_slow():
    assert is_slow(known(*[480] * 20), 500)
    assert not is_slow(known(*[20] * 20), 500)
    assert not is_slow(known(*[20] * 20), FLOOR_MS), "it is only waited for so long"
    assert not is_slow(Turnaround(), 500)


@given(st.lists(st.floats(-10, 10_000), max_size=60), st.floats(50, 5_000), st.integers(0, 10**6))
def test_the_wait_is_never_longer_than_configured_nor_shorter_than_the_floor(took, longest, row):
    wait = patience_ms(known(*took), longest, row)
    assert min(FLOOR_MS, longest) <= wait <= longest
