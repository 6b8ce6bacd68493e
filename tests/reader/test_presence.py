"""What lies on the reader is told once."""

from gateway.reader.presence import Presence, take


def told(seen: list[tuple[int, str | None]]) -> list[int]:
    """The moments at which something is told of."""
    presence, moments = Presence(), []
    for at_ms, key in seen:
        presence, is_new = take(presence, key, at_ms)
        if is_new:
            moments.append(at_ms)
    return moments


def test_a_card_that_stays_is_told_once():
    assert told([(at, "A") for at in range(0, 60_000, 200)]) == [0]


def test_a_card_that_is_held_loosely_is_one_tap():
    assert told([(0, "A"), (200, None), (400, "A"), (600, None), (1_500, "A")]) == [0]


def test_a_card_that_was_gone_for_a_second_counts_anew():
    assert told([(0, "A"), (200, None), (1_000, None), (1_200, "A")]) == [0, 1_200]
    assert told([(0, "A"), (200, None), (1_200, None), (1_400, None), (1_600, "A")]) == [0, 1_600]


def test_another_card_is_told_at_once():
    assert told([(0, "A"), (200, "B"), (400, "A")]) == [0, 200, 400]


def test_a_card_that_stays_while_nobody_looks_for_a_moment_is_one_tap():
    assert told([(0, "A"), (6_000, "A")]) == [0]


def test_a_card_after_a_long_time_without_a_look_counts_anew():
    assert told([(0, "A"), (30_000, "A")]) == [0, 30_000]
