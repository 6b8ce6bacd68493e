"""Conditions with a memory, judged by the whole decider in simulated time."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.conditions import SLOTS, Memory, Trend, _roll
from gateway.core.state import open_alarms
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.errors import DeviceSilent
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import (
    Above,
    AllOf,
    AnyOf,
    Below,
    Deviates,
    Is,
    Member,
    MoreThan,
    Rises,
    Severity,
    Silent,
)
from tests.core.test_step import Play, house, point, rule

MIN, HOUR = 60_000, 3_600_000
NAMES = ("leak", "load", "gas")


def playing(tmp_path, condition, **changes):
    changes = {"for_ms": 0, "clear_for_ms": 0, "min_samples": 1, **changes}
    points = [point(name) for name in NAMES]
    return Play(house(tmp_path, points, (rule(condition=condition, **changes),)))


def state_at(play):
    found = [alarm.state for alarm in open_alarms(play.state) if "gateway/" not in alarm.rule]
    return found[0] if found else AlarmState.N


def last_record(play):
    bodies = [json.loads(r.body) for o in play.outcomes for r in o.records if r.kind == "alarm"]
    return [body for body in bodies if not body["rule"].startswith("gateway/")][-1]


def wake(play, until):
    """Let the decider come back at each of its own deadlines until then; returns them."""
    woken = []
    while (due := play.state.next_deadline_ms) is not None and due <= until:
        woken.append(due)
        play.feed(due, events.Ticked())
    return woken


# --- rises_by ... within ----------------------------------------------------------------------


def test_a_rise_within_its_window_raises_and_is_told_by_how_much(tmp_path):
    play = playing(tmp_path, Rises(15, 3 * MIN, 14))
    for second in range(0, 170, 10):
        play.read(second * 1000, 30 + second * 0.1)  # 6 K a minute
        is_over = second * 0.1 > 15
        assert (state_at(play) is AlarmState.UA) == is_over
    body = last_record(play)
    assert (body["val"], body["lim"], body["unit"]) == (16, 15, "mA")


def test_the_same_rise_over_a_longer_time_is_no_alarm(tmp_path):
    play = playing(tmp_path, Rises(15, 3 * MIN, 14))
    for second in range(0, 1200, 10):
        play.read(second * 1000, 30 + second * 0.05)  # 3 K a minute: 9.3 in the window
    assert state_at(play) is AlarmState.N


def test_a_fall_is_a_rise_downwards(tmp_path):
    play = playing(tmp_path, Rises(0.05, 10 * MIN, 0.04, is_fall=True))
    for minute in range(5):
        play.read(minute * MIN, 0.4 + minute * 0.1)
    assert state_at(play) is AlarmState.N
    play.read(6 * MIN, 0.7)
    assert state_at(play) is AlarmState.UA


def test_bad_values_are_no_part_of_a_rise_and_do_not_end_it(tmp_path):
    play = playing(tmp_path, Rises(15, 3 * MIN, 14))
    play.read(0, 60)
    play.read(10_000, 20, quality=Quality.SUSPECT)
    play.read(20_000, 62)
    assert state_at(play) is AlarmState.N
    play.read(30_000, 76)
    play.read(40_000, None, quality=Quality.FAULT, reason="out_of_range")
    play.read(50_000, 30, quality=Quality.SUSPECT)
    assert state_at(play) is AlarmState.UA


def test_a_rise_that_is_over_ends_when_its_window_has_passed(tmp_path):
    play = playing(tmp_path, Rises(15, 3 * MIN, 14))
    play.read(0, 30)
    play.read(10_000, 50)
    assert state_at(play) is AlarmState.UA
    for second in range(20, 170, 10):
        play.read(second * 1000, 50)
    assert state_at(play) is AlarmState.UA
    play.read(200_000, 50)
    assert state_at(play) is AlarmState.RU


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(-50, 50)), max_size=120))
def test_a_window_keeps_what_is_inside_and_drops_what_is_a_thirtieth_outside(steps):
    window, trend, ms, seen = 900, None, 0, []
    for wait, value in steps:
        ms += wait
        trend = _roll(trend, float(value), ms * SLOTS // window)
        seen.append((ms, value))
        low = min(trend.lowest, trend.lowest_older)
        surely = min(v for at, v in seen if at > ms - window)
        perhaps = min(v for at, v in seen if at >= ms - window - window // SLOTS - 1)
        assert perhaps <= low <= surely
        assert len(trend.older) <= SLOTS


def test_a_value_in_the_running_slot_that_is_not_lower_changes_nothing_in_memory():
    trend = Trend(5, 10.0)
    assert _roll(trend, 12.0, 5) is trend


def test_a_steady_value_keeps_one_slot_in_memory_however_long_the_window():
    trend = None
    for slot in range(4 * SLOTS):
        trend = _roll(trend, 20.0, slot)
    assert len(trend.older) == 1


def test_what_is_not_watched_over_time_has_no_memory(tmp_path):
    play = Play(house(tmp_path))
    play.read(0, 100)
    play.read(1_000, 310)
    assert play.state.memory == {}


# --- deviates_from_mean_of -------------------------------------------------------------------


def read_all(play, ms, *values, quality=Quality.GOOD):
    readings = [
        Reading(f"board.{name}", value, quality if value is not None else Quality.FAULT, ms)
        for name, value in zip(NAMES, values, strict=False)
    ]
    return play.feed(ms, events.BlockRead("line", "board", tuple(readings)))


def test_a_phase_far_over_the_mean_of_the_others_raises_in_the_same_block(tmp_path):
    play = playing(tmp_path, Deviates(("board.load", "board.gas"), 15, 14))
    read_all(play, 0, 50, 40, 40)
    assert state_at(play) is AlarmState.N
    read_all(play, 1_000, 56, 40, 40)
    assert state_at(play) is AlarmState.UA
    assert (last_record(play)["val"], last_record(play)["lim"]) == (16, 15)
    read_all(play, 2_000, 54, 40, 40)
    assert state_at(play) is AlarmState.RU


def test_a_phase_that_is_missing_neither_clears_nor_blocks(tmp_path):
    play = playing(tmp_path, Deviates(("board.load", "board.gas"), 15, 14))
    read_all(play, 0, 60, 30, 40)
    assert state_at(play) is AlarmState.UA
    read_all(play, 1_000, 60, None, 59)  # the mean of what is left would clear it
    assert state_at(play) is AlarmState.UA
    blocked = playing(tmp_path, Deviates(("board.load", "board.gas"), 15, 14))
    read_all(blocked, 0, 60, None, 40)
    assert state_at(blocked) is AlarmState.UA


def test_a_phase_alone_says_nothing_about_a_mean(tmp_path):
    play = playing(tmp_path, Deviates(("board.load", "board.gas"), 15, 14))
    read_all(play, 0, 90, None, None)
    assert state_at(play) is AlarmState.N


def test_an_old_value_of_another_phase_is_no_part_of_the_mean(tmp_path):
    play = playing(tmp_path, Deviates(("board.load",), 15, 14))
    play.read(0, 20, "load")
    play.read(61_000, 90)
    assert state_at(play) is AlarmState.N


# --- silent_for --------------------------------------------------------------------------------


def test_silence_raises_exactly_when_its_time_is_over_though_nothing_arrives(tmp_path):
    play = playing(tmp_path, Silent(90_000), severity=Severity.FAULT)
    play.read(10_000, 5)
    woken = wake(play, 99_999)
    assert state_at(play) is AlarmState.N
    assert play.state.next_deadline_ms == 100_000
    woken = wake(play, 100_000)
    assert woken[-1] == 100_000
    assert state_at(play) is AlarmState.UA


def test_a_silence_is_heard_at_once_however_many_readings_its_rule_wants_to_count(tmp_path):
    play = playing(tmp_path, Silent(HOUR), min_samples=3)
    play.read(0, 100)
    wake(play, HOUR)
    assert state_at(play) is AlarmState.UA


def test_a_point_that_never_gave_a_value_is_silent_from_the_start(tmp_path):
    play = playing(tmp_path, Silent(90_000), severity=Severity.FAULT)
    wake(play, 89_999)
    assert state_at(play) is AlarmState.N
    wake(play, 90_000)
    assert state_at(play) is AlarmState.UA


def test_bad_values_are_silence_too_and_only_a_good_one_ends_it(tmp_path):
    play = playing(tmp_path, Silent(5_000), severity=Severity.FAULT)
    play.read(0, 5)
    for ms in range(1_000, 8_000, 1_000):
        play.read(ms, None, quality=Quality.FAULT, reason="sentinel")
    assert state_at(play) is AlarmState.UA
    play.read(8_000, 5, quality=Quality.SUSPECT)
    assert state_at(play) is AlarmState.UA
    play.read(9_000, 5)
    assert state_at(play) is AlarmState.RU
    assert wake(play, 14_000)[-1] == 14_000
    assert state_at(play) is AlarmState.UA


def test_while_values_come_silence_costs_no_more_than_one_look_a_period(tmp_path):
    play = playing(tmp_path, Silent(60_000), severity=Severity.FAULT)
    dues = set()
    for ms in range(0, 600_000, 1_000):
        play.read(ms, 5)
        dues.add(play.state.silence_due_ms)
    assert len(dues) <= 11


def test_a_lost_device_does_not_freeze_the_alarm_that_its_silence_raised(tmp_path):
    play = playing(tmp_path, Silent(2_000), severity=Severity.FAULT)
    for ms in range(1_000, 8_000, 1_000):
        play.fail(ms, DeviceSilent("board"), *NAMES)
    (alarm,) = [a for a in open_alarms(play.state) if a.rule == "board.leak/high"]
    assert (alarm.state, alarm.is_stale) == (AlarmState.UA, False)


# --- more_than ... within ----------------------------------------------------------------------


def test_one_start_more_than_allowed_within_an_hour_raises(tmp_path):
    play = playing(tmp_path, MoreThan(frozenset({1}), 6, HOUR))
    ms = 0
    for start in range(7):
        play.read(ms, 0)
        play.read(ms + 1_000, 1)
        assert (state_at(play) is AlarmState.UA) == (start == 6)
        ms += 9 * MIN
    assert (last_record(play)["val"], last_record(play)["lim"]) == (7, 6)
    play.read(HOUR + 2_000, 0)  # the first start is an hour old
    assert state_at(play) is AlarmState.RU


def test_a_pump_that_runs_at_boot_or_over_a_gap_has_not_started(tmp_path):
    play = playing(tmp_path, MoreThan(frozenset({1}), 0, HOUR))
    play.read(0, 1)
    play.read(1_000, None, quality=Quality.OFFLINE)
    play.read(2_000, 1)
    assert state_at(play) is AlarmState.N
    play.read(3_000, 0)
    play.read(4_000, None, quality=Quality.OFFLINE)
    play.read(5_000, 1)
    assert state_at(play) is AlarmState.UA


def test_of_a_thousand_starts_only_as_many_are_remembered_as_are_needed(tmp_path):
    play = playing(tmp_path, MoreThan(frozenset({1}), 6, HOUR))
    for ms in range(0, 2_000_000, 1_000):
        play.read(ms, ms // 1_000 % 2)
    memory = play.state.memory["board.leak/high"]
    assert isinstance(memory, Memory)
    assert len(memory.starts_ms) == 7


# --- all, any ----------------------------------------------------------------------------------

GAS, LOAD = Member("board.gas", Above(10, 9)), Member("board.load", Above(100, 95))


def test_power_in_the_gas_room_for_a_minute_raises_at_the_end_of_that_minute(tmp_path):
    held = Member("board.load", Above(100, 95), 60_000, 2)
    play = playing(tmp_path, AllOf((held,)))
    play.read(0, 130, "load")
    outcome = play.read(20_000, 130, "load")
    assert outcome.nudges == ("board.load",)
    wake(play, 59_999)
    assert state_at(play) is AlarmState.N
    assert wake(play, 60_000)[-1] == 60_000
    assert state_at(play) is AlarmState.UA
    assert last_record(play)["val"] == 130


def test_a_member_that_was_back_meanwhile_begins_its_delay_anew(tmp_path):
    play = playing(tmp_path, AllOf((Member("board.load", Above(100, 95), 60_000, 2),)))
    for ms, value in ((0, 130), (20_000, 130), (40_000, 98), (50_000, 130), (60_000, 130)):
        play.read(ms, value, "load")
    assert state_at(play) is AlarmState.N
    wake(play, 110_000)
    assert state_at(play) is AlarmState.UA


def test_gas_with_load_raises_at_once_and_either_alone_does_not(tmp_path):
    play = playing(tmp_path, AllOf((GAS, LOAD)))
    play.read(0, 12, "gas")
    assert state_at(play) is AlarmState.N
    play.read(500, 20, "load")
    assert state_at(play) is AlarmState.N
    play.read(1_000, 130, "load")
    assert state_at(play) is AlarmState.UA
    assert last_record(play)["point"] == "board.leak"
    play.read(2_000, 50, "load")
    assert state_at(play) is AlarmState.RU


def test_a_member_that_is_lost_neither_clears_nor_blocks(tmp_path):
    play = playing(tmp_path, AllOf((GAS, LOAD)))
    play.read(0, 12, "gas")
    play.read(0, 130, "load")
    play.read(1_000, None, "gas", quality=Quality.FAULT)
    (alarm,) = [a for a in open_alarms(play.state) if a.rule == "board.leak/high"]
    assert (alarm.state, alarm.is_stale) == (AlarmState.UA, True)
    play.read(2_000, 130, "load")
    assert state_at(play) is AlarmState.UA
    play.read(3_000, 50, "load")  # known to be off, so it is over, gas or no gas
    assert state_at(play) is AlarmState.RU
    either = playing(tmp_path, AnyOf((GAS, LOAD)))
    either.read(0, None, "gas", quality=Quality.FAULT)
    either.read(1_000, 130, "load")
    assert state_at(either) is AlarmState.UA
    either.read(2_000, 50, "load")
    assert state_at(either) is AlarmState.UA  # gas may still be there


def test_a_value_that_is_too_old_counts_as_lost(tmp_path):
    play = playing(tmp_path, AllOf((GAS, LOAD)))
    play.read(0, 12, "gas")
    play.read(61_000, 130, "load")
    assert state_at(play) is AlarmState.N
    play.read(61_500, 12, "gas")
    assert state_at(play) is AlarmState.UA


def test_a_member_of_a_combined_rule_can_itself_be_combined(tmp_path):
    leak = Member("board.leak", Below(5, 6))
    play = playing(tmp_path, AllOf((GAS, AnyOf((LOAD, leak)))))
    read_all(play, 0, 10, 50, 12)
    assert state_at(play) is AlarmState.N
    read_all(play, 1_000, 4, 50, 12)
    assert state_at(play) is AlarmState.UA
    read_all(play, 2_000, 10, 50, 12)
    assert state_at(play) is AlarmState.RU


def test_a_whole_device_that_goes_silent_freezes_a_combined_rule(tmp_path):
    play = playing(tmp_path, AllOf((GAS, LOAD)))
    read_all(play, 0, 10, 130, 12)
    for ms in range(1_000, 9_000, 1_000):
        play.fail(ms, DeviceSilent("board"), "leak")
    (alarm,) = [a for a in open_alarms(play.state) if a.rule == "board.leak/high"]
    assert (alarm.state, alarm.is_stale) == (AlarmState.UA, True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from([0, 5, 50, 200, None]),
            st.integers(1, 30_000),
        ),
        max_size=40,
    )
)
def test_no_order_of_values_and_gaps_clears_a_combined_alarm_by_bad_data(tmp_path_factory, acts):
    play = playing(tmp_path_factory.mktemp("x"), AllOf((GAS, LOAD)))
    ms = 0
    for name, value, wait in acts:
        ms += wait
        wake(play, ms)
        before = state_at(play)
        lost = Quality.FAULT if wait % 2 else Quality.OFFLINE
        quality = Quality.GOOD if value is not None else lost
        play.read(ms, value, name, quality=quality)
        if before is AlarmState.UA and value is None:
            assert state_at(play) is AlarmState.UA


# --- at start, medians, magnitudes ------------------------------------------------------------


def test_a_value_over_its_limit_at_boot_raises_after_the_on_delay_without_any_edge(tmp_path):
    play = playing(tmp_path, Above(300, 250), for_ms=3_000, min_samples=2)
    play.read(1_000, 310)
    play.read(2_000, 310)
    assert state_at(play) is AlarmState.N
    assert wake(play, 4_000)[-1] == 4_000
    assert state_at(play) is AlarmState.UA
    own = playing(tmp_path, Is(frozenset({1})))
    own.read(1_000, 1)
    assert state_at(own) is AlarmState.UA


@pytest.mark.parametrize("spike", [0.0, 9.9])
def test_the_median_of_three_passes_over_one_spike_and_follows_two(tmp_path, spike):
    limit = Below(0.07, 0.08) if spike < 1 else Above(2, 1.9)
    play = playing(tmp_path, limit, median=3)
    for ms, value in ((0, 0.5), (1_000, 0.5), (2_000, spike), (3_000, 0.5)):
        play.read(ms, value)
        assert state_at(play) is AlarmState.N
    play.read(4_000, spike)
    play.read(5_000, spike)
    assert state_at(play) is AlarmState.UA


def test_a_reversed_transformer_does_not_hide_an_overload(tmp_path):
    play = playing(tmp_path, Above(32, 30), is_magnitude=True)
    play.read(0, -20)
    assert state_at(play) is AlarmState.N
    play.read(1_000, -35)
    assert state_at(play) is AlarmState.UA


def test_a_combined_rule_that_is_out_of_service_wakes_nobody(tmp_path, monkeypatch):
    def fails(*_given):
        raise ZeroDivisionError("planted")

    play = playing(tmp_path, AllOf((Member("board.load", Above(100, 95), 60_000, 2),)))
    play.read(0, 130, "load")
    play.read(20_000, 130, "load")
    monkeypatch.setattr("gateway.core.weighing.combine", fails)
    for ms in (60_000, 61_000, 62_000, 63_000):
        play.read(ms, 130, "load")
    assert "gateway/rule_out_of_service/board.leak/high" in play.state.alarms
    assert not play.state.pending
    assert len(wake(play, 180_000)) < 5
