"""A start ends what nobody could end any more, and goes on though what was kept is damaged."""

import pytest

from gateway.core.state import state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.kept import Kept
from tests.core.test_step import Play, house, now


def restarted(made, alarms, kept=()):
    play = Play(made)
    play.state = state_of(made, alarms, now(100_000), kept=kept)
    play.feed(100_000, events.Restarted())
    return play


@pytest.mark.parametrize(
    ("code", "subject"),
    [
        ("task_failed", "poll line"),  # what only the process knew that is gone
        ("panel_failing", "red"),
        ("device_silent", "board9"),  # what is no longer in the site file
        ("bus_down", "line9"),
        ("uplink_down", "broker.example:8883"),  # there is no uplink any more
        ("record_parked", "A"),
    ],
)
def test_a_fault_that_nobody_is_left_to_clear_ends_at_the_start(tmp_path, code, subject):
    made, name = house(tmp_path), f"gateway/{code}/{subject}"
    before = Play(made)
    before.feed(0, events.Restarted())
    before.feed(1_000, events.FaultRaised(code, subject, "why"))
    before.feed(2_000, events.Acknowledge("s01"))
    play = restarted(made, before.state.alarms.values())
    assert name not in play.state.alarms
    play.feed(101_000, events.FaultRaised(code, subject, "still so"))
    assert play.state.alarms[name].state.is_unacknowledged


@pytest.mark.parametrize(
    ("code", "subject"),
    [("device_silent", "board"), ("bus_down", "line"), ("task_failed", "store core.db")],
)
def test_a_fault_that_somebody_will_clear_stands(tmp_path, code, subject):
    made = house(tmp_path)
    before = Play(made)
    before.feed(0, events.FaultRaised(code, subject, "why"))
    play = restarted(made, before.state.alarms.values())
    assert play.state.alarms[f"gateway/{code}/{subject}"].state is AlarmState.UA


def test_what_only_happened_waits_for_a_person_and_is_over(tmp_path):
    play = Play(house(tmp_path))
    name = "gateway/record_parked/A"
    play.feed(1_000, events.FaultRaised("record_parked", "A", "7: too large"))
    assert play.state.alarms[name].is_sounding(1_000)
    play.feed(2_000, events.FaultRaised("record_parked", "A", "8: too large"))
    assert play.transitions(name) == [(name, "raise"), (name, "clear")] * 2
    play.feed(3_000, events.Acknowledge("s01"))
    assert name not in play.state.alarms


KINDS = (
    "case", "evidence", "drill", "test", "ladder", "post_check", "night", "self_test", "shelved",
    "out_of_service", "flood", "noise", "baseline", "due_told", "starts",
)  # fmt: skip


@pytest.mark.parametrize("body", ["", "null", "[]", "[[]]", "7", '"x"', "{}", '{"since": 1}'])
@pytest.mark.parametrize("kind", KINDS)
def test_the_alarm_sounds_again_whatever_became_of_what_was_kept(tmp_path, kind, body):
    made = house(tmp_path)
    before = Play(made)
    for ms in (0, 1_000, 3_000):
        before.read(ms, 310)
    (alarm,) = before.state.alarms.values()
    keys = ("board.leak/high", alarm.occurrence, "self_test", "night", "drill", "now")
    play = restarted(made, (alarm,), [Kept(kind, key, body) for key in keys])
    assert play.state.alarms[alarm.rule].is_sounding(100_000)
    play.state, outcome = step(play.state, events.Ticked(), now(103_000))
    assert outcome.signal.pattern.value.startswith(("A", "E"))


def test_what_cases_keep_is_in_memory_once(tmp_path):
    made = house(tmp_path)
    before = Play(made)
    for ms in (0, 1_000, 3_000):
        outcome = before.read(ms, 310)
    play = restarted(made, before.state.alarms.values(), outcome.kept)
    assert list(play.state.cases) == list(before.state.cases) != []
    assert {kind for kind, _ in play.state.kept}.isdisjoint({"case", "evidence"})
