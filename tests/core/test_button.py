"""The silence button: what counts as a press, to the millisecond."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.button import (
    HOLD_MS,
    NOISE_MS,
    STUCK_MS,
    Button,
    Press,
    due_ms,
    found,
    take_edge,
    take_level,
)

DOWN, UP = True, False


def press(*edges, until):
    """Play (ms, level) edges, looking whenever a look is due; returns (ms, what it said)."""
    button, said = Button(), []
    for ms, is_down in [*edges, (until, None)]:
        while (due := due_ms(button)) is not None and due < ms:
            button, new = take_level(button, button.is_down, due)
            said.extend((due, one) for one in new)
        if is_down is None:
            button, new = take_level(button, button.is_down, ms)
        else:
            button, new = take_edge(button, is_down, ms)
        said.extend((ms, one) for one in new)
    return said


def test_a_press_counts_once_while_it_is_still_held():
    assert press((1_000, DOWN), (1_200, UP), until=5_000) == [(1_000 + NOISE_MS, Press.PRESSED)]


def test_a_spike_on_the_wire_silences_nothing():
    spikes = [(1_000 + 7 * n, n % 2 == 0) for n in range(200)]
    assert press(*spikes, (3_000, UP), until=9_000) == []


@pytest.mark.parametrize("length", [1, 5, NOISE_MS - 1])
def test_a_level_shorter_than_the_noise_limit_is_noise(length):
    assert press((1_000, DOWN), (1_000 + length, UP), until=9_000) == []


def test_a_bouncing_contact_is_one_press():
    edges = [
        (1_000, DOWN), (1_002, UP), (1_003, DOWN), (1_011, UP), (1_012, DOWN),
        (1_400, UP), (1_403, DOWN), (1_409, UP),
    ]  # fmt: skip
    assert press(*edges, until=9_000) == [(1_012 + NOISE_MS, Press.PRESSED)]


def test_holding_it_three_seconds_asks_for_a_lamp_test_too():
    assert press((1_000, DOWN), (4_500, UP), until=9_000) == [
        (1_000 + NOISE_MS, Press.PRESSED), (1_000 + HOLD_MS, Press.HELD),
    ]  # fmt: skip


def test_a_spike_while_it_is_held_does_not_begin_the_press_anew():
    assert press((1_000, DOWN), (2_000, UP), (2_005, DOWN), (4_500, UP), until=9_000) == [
        (1_000 + NOISE_MS, Press.PRESSED), (1_000 + HOLD_MS, Press.HELD),
    ]  # fmt: skip


def test_two_presses_are_two():
    said = press((1_000, DOWN), (1_100, UP), (1_200, DOWN), (1_300, UP), until=9_000)
    assert [what for _, what in said] == [Press.PRESSED, Press.PRESSED]


def test_a_jammed_button_is_said_once_and_once_when_it_is_free():
    end = 1_000 + STUCK_MS + 5_000
    said = press((1_000, DOWN), (end, UP), until=end + 9_000)
    assert [what for _, what in said] == [
        Press.PRESSED, Press.HELD, Press.STUCK, Press.FREED,
    ]  # fmt: skip
    assert said[2:] == [(1_000 + STUCK_MS, Press.STUCK), (end + NOISE_MS, Press.FREED)]


def test_a_press_that_is_over_when_anybody_looks_counts_by_its_edges():
    button, said = take_edge(Button(), DOWN, 1_000)
    assert said == ()
    button, said = take_edge(button, UP, 1_080)
    assert said == (Press.PRESSED,)


def test_a_level_that_nobody_told_of_must_hold_before_it_counts():
    """An edge was lost: a look in between says that the button is up."""
    button, _ = take_edge(Button(), DOWN, 1_000)
    button, said = take_level(button, UP, 1_031)
    assert said == ()
    button, said = take_level(button, UP, 9_000)
    assert said == ()


def test_a_button_that_is_down_at_start_silences_nothing_and_is_stuck_in_time():
    button = found(DOWN, 1_000)
    assert due_ms(button) == 1_000 + STUCK_MS
    button, said = take_level(button, DOWN, 1_000 + STUCK_MS)
    assert said == (Press.STUCK,)
    button, _ = take_edge(button, UP, 70_000)
    button, said = take_level(button, UP, 70_000 + NOISE_MS)
    assert said == (Press.FREED,)
    assert found(UP, 5) == Button(level_since_ms=5)


@given(st.lists(st.tuples(st.integers(1, 5_000), st.booleans()), max_size=30))
def test_no_edges_make_it_say_more_than_the_levels_that_held(steps):
    ms, edges, held, level, since = 0, [], 0, False, 0
    for wait, is_down in steps:
        ms += wait
        edges.append((ms, is_down))
        if is_down is not level:
            held += level and ms - since >= NOISE_MS
            level, since = is_down, ms
    held += level and ms + 100 - since >= NOISE_MS
    said = [what for _, what in press(*edges, until=ms + 100)]
    assert said.count(Press.PRESSED) <= held
    assert (Press.PRESSED in said) is (held > 0)
    assert said.count(Press.HELD) <= said.count(Press.PRESSED)
