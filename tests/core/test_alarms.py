from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import alarms
from gateway.core.alarms import LA, LATCHED, LU, NEXT, RU, UA, Happening, N, P
from gateway.core.judge import Verdict, judge
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above, Below, Is, Rule, Severity, Sound
from gateway.domain.text import Text


def rule(**changes):
    made = Rule(
        id="board.leak/high", name="high", point="board.leak", condition=Above(300, 250),
        severity=Severity.ALARM, sound=Sound.A1, for_ms=3_000, clear_for_ms=5_000, latch=False,
        say=Text("剩余电流超限", "Residual current high"), do=(), owner="电工班", basis="test",
    )  # fmt: skip
    return replace(made, **changes)


def reading(value, at=0, quality=Quality.GOOD):
    return Reading("board.leak", value, quality, at)


def play(made, samples, alarm=None):
    """Feed (ms, value or None for time alone) and return the alarm and what was recorded."""
    alarm = alarm or Alarm(made.id)
    recorded = []
    for at, value in samples:
        if value is None:
            alarm, transition = alarms.pass_time(made, alarm, at)
        else:
            sample = reading(value, at)
            verdict = judge(made, sample)
            alarm, transition = alarms.take_sample(made, alarm, verdict, sample, at)
        if transition:
            recorded.append((at, transition))
    return alarm, recorded


@pytest.mark.parametrize(
    ("condition", "value", "verdict"),
    [
        (Above(300, 250), 300, Verdict.BETWEEN),
        (Above(300, 250), 300.1, Verdict.OVER),
        (Above(300, 250), 250, Verdict.CLEAR),
        (Below(0.07, 0.08), 0.069, Verdict.OVER),
        (Below(0.07, 0.08), 0.07, Verdict.BETWEEN),
        (Below(0.07, 0.08), 0.08, Verdict.CLEAR),
        (Is(frozenset({1, 65535})), 65535, Verdict.OVER),
        (Is(frozenset({1})), 0, Verdict.CLEAR),
        (Above(1, 0), "text", Verdict.UNUSABLE),
    ],
)
def test_a_value_is_over_between_or_clear(condition, value, verdict):
    assert judge(rule(condition=condition), reading(value)) is verdict


@pytest.mark.parametrize("quality", [q for q in Quality if q is not Quality.GOOD])
def test_anything_but_good_says_nothing_unless_the_rule_accepts_it(quality):
    assert judge(rule(), reading(999, quality=quality)) is Verdict.UNUSABLE
    accepts = rule(judges=frozenset({Quality.GOOD, quality}))
    assert judge(accepts, reading(999, quality=quality)) is Verdict.OVER


def test_an_alarm_is_raised_when_the_on_delay_is_over_and_not_before():
    alarm, recorded = play(rule(), [(0, 310), (1_000, 310), (2_999, None)])
    assert (alarm.state, recorded) == (P, [])
    alarm, recorded = play(rule(), [(3_000, None)], alarm)
    assert (alarm.state, recorded) == (UA, [(3_000, Transition.RAISE)])
    assert alarm.value == 310


def test_a_single_sample_does_not_raise_however_long_ago_it_was():
    alarm, recorded = play(rule(), [(0, 310), (60_000, None)])
    assert (alarm.state, recorded) == (P, [])


def test_a_device_s_own_bit_raises_at_the_first_sample():
    own = rule(condition=Is(frozenset({1})), for_ms=0, min_samples=1)
    alarm, recorded = play(own, [(0, 1)])
    assert (alarm.state, recorded) == (UA, [(0, Transition.RAISE)])


def test_a_value_back_inside_ends_the_pending_alarm_without_a_record():
    alarm, recorded = play(rule(), [(0, 310), (1_000, 290), (2_000, 310), (3_500, 310)])
    assert (alarm.state, recorded) == (P, [])


def test_a_value_between_limit_and_clears_does_not_return_to_normal():
    alarm, _ = play(rule(), [(0, 310), (3_000, 310), (4_000, 260), (60_000, 260)])
    assert alarm.state is UA


def test_return_to_normal_needs_the_off_delay_without_interruption():
    alarm, recorded = play(
        rule(), [(0, 310), (3_000, 310), (4_000, 100), (8_000, 260), (9_000, 100), (13_999, None)]
    )
    assert alarm.state is UA
    alarm, recorded = play(rule(), [(14_000, None)], alarm)
    assert (alarm.state, recorded) == (RU, [(14_000, Transition.CLEAR)])


def test_a_latching_alarm_stays_latched_until_acknowledged_and_reset():
    latching = rule(latch=True)
    alarm, _ = play(latching, [(0, 310), (3_000, 310), (4_000, 100), (9_000, 100)])
    assert alarm.state is LU
    assert alarms.reset(latching, alarm) == (alarm, None)
    alarm, transition = alarms.acknowledge(latching, alarm)
    assert (alarm.state, transition) == (LA, Transition.ACK)
    alarm, transition = alarms.reset(latching, alarm)
    assert (alarm.state, transition) == (N, Transition.RESET)


def test_a_latched_alarm_that_is_over_the_limit_again_is_raised_again():
    latching = rule(latch=True)
    alarm, _ = play(latching, [(0, 310), (3_000, 310), (4_000, 100), (9_000, 100)])
    alarm, _ = alarms.acknowledge(latching, alarm)
    alarm, recorded = play(latching, [(20_000, 320), (23_000, 330)], alarm)
    assert (alarm.state, recorded, alarm.value) == (UA, [(23_000, Transition.RAISE)], 330)


def test_a_latched_alarm_is_not_reset_while_a_new_one_is_pending_or_the_point_is_lost():
    latching = rule(latch=True)
    alarm, _ = play(latching, [(0, 310), (3_000, 310), (4_000, 100), (9_000, 100)])
    alarm, _ = alarms.acknowledge(latching, alarm)
    pending, _ = play(latching, [(20_000, 320)], alarm)
    assert alarms.reset(latching, pending)[1] is None
    assert alarms.reset(latching, alarms.freeze(alarm))[1] is None


def test_the_same_occurrence_goes_on_when_it_comes_back_within_the_off_delay():
    quick = rule(for_ms=0, min_samples=1)
    alarm, _ = play(quick, [(0, 310), (1_000, 100), (6_000, 100)])
    assert alarm.state is RU
    again, recorded = play(quick, [(8_000, 310)], alarm)
    assert (again.state, recorded) == (UA, [(8_000, Transition.AGAIN)])
    _, recorded = play(quick, [(20_000, 310)], alarm)
    assert recorded == [(20_000, Transition.RAISE)]


def test_lost_communication_neither_raises_nor_clears():
    pending, _ = play(rule(), [(0, 310), (1_000, 310)])
    frozen = alarms.freeze(pending)
    assert alarms.pass_time(rule(), frozen, 60_000) == (frozen, None)
    active, _ = play(rule(), [(0, 310), (3_000, 310), (4_000, 100)])
    frozen = alarms.freeze(active)
    assert alarms.pass_time(rule(), frozen, 60_000) == (frozen, None)
    assert frozen.state is UA


def test_every_pair_of_the_tables_leads_to_a_state_from_which_normal_can_be_reached():
    for table in (NEXT, {**NEXT, **LATCHED}):
        reach = {N}
        while True:
            more = {a for (a, _), b in table.items() if b in reach} - reach
            if not more:
                break
            reach |= more
        used = {a for a, _ in table} | set(table.values())
        assert used <= reach


@given(
    latch=st.booleans(),
    samples=st.lists(
        st.tuples(st.integers(1, 5_000), st.sampled_from([100, 260, 310, None])), max_size=60
    ),
)
def test_a_condition_that_holds_longer_than_its_on_delay_is_never_unraised(latch, samples):
    made = rule(latch=latch)
    alarm, at, over_since, over = Alarm(made.id), 0, None, 0
    for wait, value in samples:
        at += wait
        alarm, _ = play(made, [(at, value)], alarm)
        if value is not None and value > 300:
            over_since, over = (at, 1) if over_since is None else (over_since, over + 1)
        elif value is not None:
            over_since, over = None, 0
        if over_since is not None and over >= 2 and at - over_since >= 3_000:
            assert alarm.state is UA


@given(st.sampled_from(list(AlarmState)), st.sampled_from(list(Happening)))
def test_what_is_not_in_the_table_changes_nothing(state, happening):
    alarm = Alarm("x", state)
    moved, transition = alarms.advance(rule(), alarm, happening)
    if (state, happening) not in NEXT:
        assert (moved, transition) == (alarm, None)
    assert moved.state in AlarmState
