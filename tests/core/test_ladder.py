from dataclasses import replace

import pytest

from gateway.core.view import alarms_view
from gateway.domain import events
from gateway.domain.escalation import Escalation
from gateway.domain.moments import Clk
from tests.core.night_house import DAY, HOUR, LEAK, MIN, WARN, Night, house

ALARM_STEPS = [
    ("duty_leader", "duty_leader", MIN),
    ("safety_manager", "safety_manager", 3 * MIN),
    ("director", "director", 5 * MIN),
]


def test_an_unacknowledged_alarm_climbs_to_duty_leader_safety_manager_and_director():
    night = Night()
    night.read(1_000, 310)
    night.run(1_000, DAY)
    assert night.steps() == ALARM_STEPS
    assert [each["why"] for each in night.data("escalation") if each["rule"] == LEAK] == [
        "unacknowledged", "unacknowledged", "no_answer",
    ]  # fmt: skip
    raised = next(body for body in night.records if body.get("tr") == "raise")
    assert {each["alarm"] for each in night.data("escalation") if each["rule"] == LEAK} == {
        raised["alarm"]
    }


def test_each_rung_is_climbed_at_its_moment_and_not_before():
    night = Night()
    night.read(1_000, 310)
    for after, climbed in ((MIN, 1), (3 * MIN, 2), (5 * MIN, 3)):
        night.run(1_000, 1_000 + after - 1)
        assert len(night.steps()) == climbed - 1
        assert night.state.next_deadline_ms == 1_000 + after
        night.feed(1_000 + after, events.Ticked())
        assert len(night.steps()) == climbed


def test_an_acknowledged_alarm_calls_nobody_above():
    night = Night()
    night.read(1_000, 310)
    night.feed(50_000, events.Acknowledge("s01"))
    night.feed(51_000, events.Arrive("s01", alarm=LEAK))
    night.run(51_000, HOUR)
    assert night.steps() == []


def test_nobody_on_site_three_minutes_after_the_acknowledgement_reminds_the_duty_leader():
    night = Night()
    night.read(1_000, 310)
    night.feed(50_000, events.Acknowledge("s01", LEAK))
    night.run(50_000, HOUR)
    assert night.steps() == [("no_arrival", "duty_leader", 3 * MIN)]
    (shown,) = [row for row in alarms_view(night.state, night.now(HOUR)) if row["rule"] == LEAK]
    assert [(each["step"], each["why"]) for each in shown["escalated_to"]] == [
        ("no_arrival", "no_arrival")
    ]


def test_who_came_before_acknowledging_is_not_reminded():
    night = Night()
    night.read(1_000, 310)
    night.feed(20_000, events.Arrive("s01", alarm=LEAK))
    night.feed(50_000, events.Acknowledge("s01", LEAK))
    night.run(50_000, HOUR)
    assert night.steps() == []


def test_an_alarm_that_went_back_to_normal_still_needs_somebody():
    night = Night()
    night.read(1_000, 310)
    night.read(10_000, 10)
    night.run(10_000, HOUR)
    assert night.steps() == ALARM_STEPS


def test_an_alarm_that_is_over_calls_nobody():
    night = Night()
    night.read(1_000, 310)
    night.read(10_000, 10)
    night.feed(20_000, events.Acknowledge("s01"))
    night.run(20_000, DAY)
    assert night.steps() == []
    assert not [key for key in night.kept if key[0] == "ladder"]


def test_a_warning_calls_the_duty_leader_after_ten_minutes_and_is_a_hazard_after_a_day():
    night = Night()
    night.read(1_000, 210)
    night.run(1_000, 2 * DAY)
    assert night.steps(WARN) == [
        ("duty_leader", "duty_leader", 10 * MIN), ("hazard", "hazard", DAY),
    ]  # fmt: skip
    (hazard,) = night.data("hazard")
    assert (hazard["source"], hazard["rule"], hazard["place"]) == ("alarm", WARN, "1F 厨房")


def test_a_fault_climbs_like_a_warning():
    night = Night()
    night.feed(1_000, events.FaultRaised("store_slow", "core.db"))
    night.run(1_000, 2 * DAY)
    assert [step for step, _, _ in night.steps("gateway/store_slow/core.db")] == [
        "duty_leader", "hazard",
    ]  # fmt: skip


def test_a_silent_audience_climbs_like_an_alarm():
    night = Night()
    night.feed(1_000, events.FaultRaised("audience_silent", "fire"))
    night.run(1_000, HOUR)
    assert night.steps("gateway/audience_silent/fire") == ALARM_STEPS


def test_a_new_occurrence_begins_at_the_foot_of_the_ladder():
    night = Night()
    night.read(1_000, 310)
    night.run(1_000, 2 * MIN)
    night.feed(2 * MIN, events.Acknowledge("s01"))
    night.read(2 * MIN + 1, 10)
    night.read(HOUR, 310)
    night.run(HOUR, 2 * HOUR)
    assert night.steps() == [ALARM_STEPS[0], *ALARM_STEPS]


@pytest.mark.parametrize("cut", [30_000, 90_000, 4 * MIN, 10 * MIN])
def test_a_restart_on_any_rung_neither_repeats_nor_forgets_a_call(cut):
    night = Night()
    night.read(1_000, 310)
    night.run(1_000, cut)
    night.restart(cut + 5_000)
    night.run(cut + 5_000, HOUR)
    assert night.steps() == ALARM_STEPS


def test_a_restart_while_nobody_came_still_reminds_once():
    night = Night()
    night.read(1_000, 310)
    night.feed(50_000, events.Acknowledge("s01", LEAK))
    night.restart(100_000)
    night.run(100_000, HOUR)
    assert night.steps() == [("no_arrival", "duty_leader", 3 * MIN)]
    night.restart(HOUR + 1)
    night.run(HOUR + 1, 2 * HOUR)
    assert len(night.steps()) == 1


def test_a_reboot_counts_the_time_that_it_was_away_by_a_trusted_clock():
    night = Night()
    night.read(1_000, 310)
    night.run(1_000, 90_000)
    night.restart(1_000, boot="b002", away_ms=2 * MIN)
    assert [step for step, _, _ in night.steps()] == ["duty_leader", "safety_manager"]
    night.run(1_000, HOUR)
    assert len(night.steps()) == 3


def test_a_reboot_without_a_trusted_clock_begins_the_wait_anew_and_repeats_nothing():
    night = Night()
    night.read(1_000, 310)
    night.run(1_000, 90_000)
    night.restart(1_000, boot="b002", away_ms=HOUR, clk=Clk.NONE)
    assert [step for step, _, _ in night.steps()] == ["duty_leader"]
    night.run(1_000, HOUR)
    assert [(step, waited) for step, _, waited in night.steps()[1:]] == [
        ("safety_manager", 3 * MIN), ("director", 5 * MIN),
    ]  # fmt: skip


def test_the_times_are_the_houses_own():
    times = Escalation(safety_manager_ms=2 * MIN, director_ms=4 * MIN)
    night = Night(replace(house(), escalation=times, escalate_after_ms=30_000))
    night.read(1_000, 310)
    night.run(1_000, HOUR)
    assert [waited for _, _, waited in night.steps()] == [30_000, 2 * MIN, 4 * MIN]


def test_the_ladder_of_a_drill_is_marked_and_that_of_a_test_is_not_climbed():
    night = Night()
    night.feed(1_000, events.DrillStarted("s01", "fire", rules=(LEAK,)))
    night.feed(1_000, events.PointTestStarted("t01", "board.load"))
    night.read(2_000, 310, of="load")
    night.run(2_000, 10 * MIN)
    assert night.moves(test=True) == [("board.load/high", "raise")]
    facts = night.facts("escalation")
    assert [fact["data"]["step"] for fact in facts] == ["duty_leader", "safety_manager", "director"]
    assert all(fact["drill"] is True for fact in facts)


def test_nobody_is_called_for_a_shelved_warning_until_it_is_no_longer_shelved():
    night = Night()
    night.read(1_000, 210)
    night.feed(2_000, events.Shelve("s01", WARN, 2 * HOUR, "检修"))
    night.run(2_000, 2 * HOUR - 1)
    assert night.steps(WARN) == []
    night.restart(2 * HOUR - 1)
    night.run(2 * HOUR - 1, 3 * HOUR)
    assert night.steps(WARN) == [("duty_leader", "duty_leader", 10 * MIN)]


def test_a_fault_that_another_one_stands_for_calls_nobody():
    night = Night()
    night.feed(1_000, events.FaultRaised("device_silent", "board"))
    night.feed(2_000, events.FaultRaised("bus_silent", "line"))
    night.run(2_000, HOUR)
    assert night.steps("gateway/device_silent/board") == []
    assert len(night.steps("gateway/bus_silent/line")) == 1


def test_nothing_is_looked_at_while_nothing_is_due():
    night = Night()
    night.read(1_000, 310)
    before = night.state.climbs
    for ms in range(2_000, 50_000, 1_000):
        night.read(ms, 310)
    assert night.state.climbs is before
