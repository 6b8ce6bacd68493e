"""A mistake in what stands beside the alarm path is a fault, and the alarm sounds all the same."""

import pytest

import gateway.core.intake
import gateway.core.step
from gateway.core.aside import WORKS_AGAIN_MS
from gateway.domain import events
from gateway.domain.signals import Pattern
from tests.core.test_step import Play, house, rule


def fail(*_given):
    raise ZeroDivisionError("planted")


@pytest.mark.parametrize(
    ("module", "name", "subject"),
    [
        (gateway.core.step, "follow_cases", "cases"),
        (gateway.core.step, "follow_practice", "practice"),
        (gateway.core.step, "climb", "ladder"),
        (gateway.core.step, "note_outage", "link"),
        (gateway.core.step, "follow_plan", "self_test"),
        (gateway.core.step, "let_post_checks_end", "post_check"),
        (gateway.core.step, "watch_now_and_then", "watch"),
        (gateway.core.step, "note_noise", "noise"),
        (gateway.core.step, "settle_inhibits", "inhibits"),
        (gateway.core.intake, "keep_evidence", "evidence"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_an_alarm_sounds_though_a_function_beside_it_fails(
    monkeypatch, tmp_path, module, name, subject
):
    play = Play(house(tmp_path))
    play.feed(0, events.Restarted())
    works = getattr(module, name)
    monkeypatch.setattr(module, name, fail)
    for ms in range(3_000, 8_000, 1_000):
        play.read(ms, 310)
    assert play.state.signal.pattern is Pattern.A1
    assert ("board.leak/high", "raise") in play.transitions()
    fault = f"gateway/function_failed/{subject}"
    assert play.transitions(fault) == [(fault, "raise")]
    assert play.state.alarms[fault].detail == "ZeroDivisionError: planted"

    monkeypatch.setattr(module, name, works)
    play.feed(9_000, events.Acknowledge("E07"))
    play.read(9_000 + WORKS_AGAIN_MS, 310)
    assert fault not in play.state.alarms


@pytest.mark.parametrize("name", ["follow_cases", "climb", "let_post_checks_end", "note_noise"])
def test_what_is_due_and_fails_is_tried_again_and_keeps_nobody_busy(monkeypatch, tmp_path, name):
    play = Play(house(tmp_path))
    play.feed(0, events.Restarted())
    play.feed(0, events.PostCheckAsked("q1", "platform", 30_000))
    for ms in range(1_000, 6_000, 1_000):
        play.read(ms, 310)
    monkeypatch.setattr(gateway.core.step, name, fail)
    at, woken = 6_000, 0
    while (due := play.state.next_deadline_ms) is not None and due < 120_000:
        assert due > at
        at, woken = due, woken + 1
        play.feed(due, events.Ticked())
    assert woken <= 10 * 120 + 10


@pytest.mark.parametrize("name", ["follow_cases", "climb", "let_post_checks_end"])
def test_what_is_due_and_fails_hides_no_delay_of_an_alarm_in_a_busy_house(
    monkeypatch, tmp_path, name
):
    early = rule("early", at="board.load", min_samples=1)
    aging = rule(realarm_after_ms=200_000)
    play = Play(house(tmp_path, rules=(aging, early)))
    play.feed(0, events.Restarted())
    play.feed(0, events.PostCheckAsked("q1", "platform", 30_000))
    for ms in range(1_000, 6_000, 1_000):
        play.read(ms, 310)
    play.feed(6_000, events.Acknowledge("E07"))
    monkeypatch.setattr(gateway.core.step, name, fail)
    play.feed(190_000, events.Ticked())
    play.read(201_000, 310, name="load")
    raised = ("board.load/early", "raise")
    for ms in range(201_040, 207_000, 40):
        play.feed(ms, events.BlockRead("line", "board", ()))
        assert (raised in play.transitions()) == (ms >= 204_000)
        assert (("board.leak/high", "realarm") in play.transitions()) == (ms >= 206_000)
