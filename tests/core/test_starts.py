"""How often the daemon started of late."""

import pytest

from gateway.core.starts import KEPT, MOST, start_count
from gateway.core.state import state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.moments import Clk, Now
from tests.core.test_step import house

START = 1_790_000_000_000


def moment(second, boot="b1", clk=Clk.SYNC):
    return Now(second * 1_000, START + second * 1_000, clk, 40, boot)


def started(tmp_path, at, kept=()):
    """What is kept after a start at this moment."""
    _, outcome = step(state_of(house(tmp_path), (), at, kept=kept), events.Restarted(), at)
    return tuple(each for each in outcome.kept if each.kind == KEPT)


def told(kept):
    return {(each.kind, each.key): each.body for each in kept}


def test_starts_of_the_last_hour_are_counted_and_older_ones_forgotten(tmp_path):
    kept = ()
    for second in (0, 600, 1_200):
        kept = started(tmp_path, moment(second), kept)
    assert start_count(told(kept), moment(1_260)) == 4
    assert start_count(told(kept), moment(3_600 + 601)) == 2
    assert start_count({}, moment(0)) == 1


def test_a_reboot_counts_by_the_wall_clock_and_is_forgotten_without_one(tmp_path):
    kept = started(tmp_path, moment(600))
    later = Now(5_000, START + 900_000, Clk.SYNC, 40, "b2")
    assert start_count(told(kept), later) == 2
    unsure = Now(5_000, None, Clk.NONE, None, "b2")
    assert start_count(told(kept), unsure) == 1


def test_what_is_kept_is_bounded(tmp_path):
    kept = ()
    for second in range(40):
        kept = started(tmp_path, moment(second), kept)
    assert start_count(told(kept), moment(41)) == MOST + 1


@pytest.mark.parametrize("body", ["", "null", "7", "{}", '[{"clk": "x"}]', "[1]"])
def test_nonsense_that_was_kept_counts_as_nothing(body):
    assert start_count({(KEPT, KEPT): body}, moment(0)) == 1
