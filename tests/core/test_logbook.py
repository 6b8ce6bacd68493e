"""What the log says of a step: each change once, nothing for what is only activity."""

import pytest

from gateway.core.logbook import TRANSITIONS, Line, lines_of
from gateway.core.state import state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.alarms import Transition
from gateway.domain.errors import BusDown
from gateway.domain.moments import Clk
from gateway.domain.readings import Quality, Reading
from tests.core.test_step import house, now, rule

HIGH = rule(for_ms=0, min_samples=1)


@pytest.fixture
def said(tmp_path):
    """Feed events one by one; get the lines of each."""
    state = state_of(house(tmp_path, rules=[HIGH]), (), now(0))

    def feed(ms, event, **how):
        nonlocal state
        before = state
        state, outcome = step(state, event, now(ms, **how))
        return lines_of(before, state, outcome)

    return feed


def block(ms, value):
    reading = Reading("board.leak", value, Quality.GOOD, ms, "")
    return events.BlockRead("line", "board", (reading,))


def test_an_alarm_is_a_line_at_each_turn_of_its_life(said):
    assert said(1_000, block(1_000, 20.0)) == ()
    about = {"rule": HIGH.id, "device": "board", "place": "1F 厨房"}
    occurrence = {"alarm": "epoch0000001-A-1"}
    assert said(2_000, block(2_000, 312.5)) == (
        Line("alarm raised", about | {"value": "312.5 mA", "limit": "300 mA"} | occurrence, True),
    )
    assert said(3_000, block(3_000, 400.0)) == ()
    assert said(3_500, events.Silence("panel")) == (
        Line("alarm silenced", about | {"by": "panel"} | occurrence),
    )
    assert said(4_000, events.Acknowledge("E07")) == (
        Line("alarm acknowledged", about | {"by": "E07"} | occurrence),
    )
    assert said(5_000, block(5_000, 20.0)) == ()
    assert said(10_000, block(10_000, 21.0)) == (
        Line("alarm cleared", about | {"value": "21 mA"} | occurrence),
    )


def test_a_device_a_bus_and_anything_else_are_named_as_what_they_are(said):
    silent = said(1_000, events.FaultRaised("device_silent", "board", "timeout"))
    assert silent[0].fields == {
        "fault": "device_silent", "device": "board", "bus": "line", "place": "1F 厨房",
        "why": "timeout", "alarm": "epoch0000001-B-1",
    }  # fmt: skip
    down = events.BlockRead("line", "board", (), BusDown("no such port"))
    (raised,) = said(
        2_000, down
    )  # the bus stands for its devices: theirs are neither news nor over
    assert raised.fields == {
        "fault": "bus_down", "bus": "line", "why": "no such port", "alarm": "epoch0000001-B-2",
    }  # fmt: skip
    assert said(3_000, down) == ()
    up = said(3_500, block(3_500, 20.0))
    assert [(line.words, line.fields["fault"]) for line in up] == [
        ("fault cleared", "device_silent"),
        ("fault cleared", "bus_down"),
    ]
    quiet = said(3_800, events.FaultRaised("bus_silent", "line", "12 devices"))
    assert quiet[0].fields["bus"] == "line"
    disk = said(4_000, events.FaultRaised("store_failing", "core.db", "disk full"))
    assert disk[0].fields["about"] == "core.db"


def test_the_link_is_said_when_it_is_first_known_and_when_it_changes(said):
    down = events.LinkChanged(is_up=False, broker="a:1", why="refused")
    assert said(1_000, down) == (Line("link down", {"broker": "a:1", "why": "refused"}, True),)
    other = events.LinkChanged(is_up=False, broker="b:1", why="tcp")
    assert said(2_000, other) == said(3_000, down) == ()
    up = events.LinkChanged(is_up=True, broker="b:1")
    assert said(4_000, up) == (Line("link up", {"broker": "b:1"}),)
    assert said(5_000, up) == ()


def test_the_clock_is_said_once_it_can_be_trusted(tmp_path):
    state = state_of(house(tmp_path), (), now(0, clk=Clk.NONE))
    before = state
    state, outcome = step(state, events.Ticked(), now(1_000))
    (line,) = lines_of(before, state, outcome)
    assert line.words == "clock synchronised"
    assert line.fields["utc"] == 1_790_000_001_000


def test_every_transition_has_its_words():
    assert TRANSITIONS.keys() == {transition.value for transition in Transition}


def test_phrases_and_lists_stand_in_a_line_without_the_signs_of_a_program(said):
    said(1_000, block(1_000, 20.0))
    said(2_000, block(2_000, 400.0))
    lines = [line for ms in (70_000, 200_000) for line in said(ms, events.Ticked())]
    (called,) = [line for line in lines if line.words == "nobody acts: escalated"][:1]
    assert called.fields["say"] == HIGH.say.en
    assert not any(isinstance(value, dict | list) for value in called.fields.values())
