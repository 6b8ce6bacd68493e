"""What may raise and clear an alarm, and what a rule that fails costs."""

from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.judge import judge
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.errors import DeviceSilent
from gateway.domain.readings import Quality
from gateway.domain.rules import Below, Is, Severity
from gateway.domain.signals import Pattern
from tests.core.test_step import WARNING, Play, house, rule

HIGH = "board.leak/high"
FOLDER = Path("/nowhere")


def raised(tmp_path, value=310):
    play = Play(house(tmp_path))
    for ms in (0, 1_000, 3_000):
        play.read(ms, value)
    assert play.state.alarms[HIGH].state is AlarmState.UA
    return play


def test_one_normal_value_and_doubtful_ones_after_it_clear_nothing(tmp_path):
    play = raised(tmp_path)
    play.read(4_000, 100)
    for ms in range(5_000, 60_000, 1_000):
        play.read(ms, 100, quality=Quality.SUSPECT, reason="stuck")
        assert play.state.alarms[HIGH].state is AlarmState.UA
    play.read(60_000, 100)  # known to be normal: the off-delay is long over
    assert play.state.alarms[HIGH].state is AlarmState.RU


def test_a_reply_that_is_missed_while_the_off_delay_ends_does_not_clear(tmp_path):
    play = raised(tmp_path)
    play.read(4_000, 100)
    play.fail(8_000, DeviceSilent(3), "leak")
    play.feed(9_500, events.Ticked())
    assert play.state.alarms[HIGH].state is AlarmState.UA
    play.read(10_000, 100)
    assert play.state.alarms[HIGH].state is AlarmState.RU


def test_a_rule_that_fails_while_the_off_delay_runs_keeps_its_alarm(tmp_path):
    def fails(rule, reading):
        raise ZeroDivisionError("no such number")

    play = raised(tmp_path)
    play.read(4_000, 100)
    for ms in (5_000, 6_000, 7_000, 60_000):
        play.read(ms, 100, judge=fails)
    play.feed(120_000, events.Ticked())
    assert play.state.alarms[HIGH].state is AlarmState.UA


def test_an_alarm_that_returned_to_normal_sounds_harder_exactly_after_its_minute(tmp_path):
    play = raised(tmp_path)
    play.read(4_000, 100)
    while (due := play.state.next_deadline_ms) is not None and due <= 63_000:
        outcome = play.feed(due, events.Ticked())
    assert play.state.alarms[HIGH].state is AlarmState.RU
    assert outcome.signal.pattern is Pattern.E


AT_EACH_LIMIT = (0, 49, 50, 51, 60, 150, 199, 200, 201, 250, 300, 301, 310)
RULES = (
    rule(for_ms=1_000),
    WARNING,
    rule("low", condition=Below(50, 60), for_ms=0, min_samples=1, severity=Severity.WARNING),
    rule("odd", condition=Is(frozenset({199, 310})), for_ms=0, min_samples=1),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(AT_EACH_LIMIT),
            st.sampled_from([Quality.GOOD] * 6 + [Quality.SUSPECT, Quality.FAULT, Quality.TEST]),
        ),
        max_size=40,
    )
)
def test_rules_that_are_passed_over_together_would_have_said_nothing_one_by_one(readings):
    made = house(FOLDER, rules=RULES)
    usual, one_by_one = Play(made), Play(made)
    for n, (value, quality) in enumerate(readings):
        together = usual.read(700 * n, value, quality=quality)
        single = one_by_one.read(700 * n, value, quality=quality, judge=partial(judge))
        assert together == single
        assert usual.state == one_by_one.state
