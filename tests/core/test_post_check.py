import random
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.core.nights import plan_night
from gateway.core.view import practice_view
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.moments import Clk
from gateway.domain.signals import Pattern
from gateway.domain.site import PostChecks
from tests.core.night_house import DAY_0, HOUR, LEAK, MIN, Night, house

MISSED = "gateway/post_check_missed/elm"
SHANGHAI = ZoneInfo("Asia/Shanghai")


def asked(id_="c1", minutes=5, **more):
    return events.PostCheckAsked(id_, "platform", minutes * MIN, **more)


def results(night):
    return [(d["check"], d["result"], d["by"], d["late"]) for d in night.data("post_check")]


def test_a_post_check_beeps_until_the_button_answers_it():
    night = Night()
    night.run(0, 10_000)
    outcome = night.feed(11_000, asked())
    assert outcome.signal.pattern is Pattern.Q
    outcome = night.feed(71_000, events.Silence("panel"))
    assert outcome.signal.pattern is Pattern.QUIET
    assert results(night) == [("c1", "asked", "", False), ("c1", "answered", "panel", False)]
    answer = night.data("post_check")[1]
    assert (answer["asked"], answer["answered"], answer["waited_ms"]) == (
        DAY_0 + 11_000, DAY_0 + 71_000, 60_000,
    )  # fmt: skip
    assert night.run(71_000, HOUR).signal.pattern is Pattern.QUIET


def test_a_press_that_answers_silences_nothing_that_was_drowned():
    night = Night()
    night.run(0, 10_000)
    night.read(10_500, 210)  # a warning: weaker than Q
    night.feed(11_000, asked())
    outcome = night.feed(12_000, events.Silence("panel"))
    assert outcome.signal.pattern is Pattern.W
    assert not [body for body in night.records if body.get("tr") == "silence"]


def test_a_press_while_an_alarm_drowns_q_silences_and_answers():
    night = Night()
    night.read(10_500, 310)
    outcome = night.feed(11_000, asked())
    assert outcome.signal.pattern is Pattern.A1
    night.feed(12_000, events.Silence("panel"))
    assert results(night)[-1] == ("c1", "answered", "panel", False)
    assert (LEAK, "silence") in night.moves(test=False)


def test_a_silence_by_another_way_answers_nothing():
    night = Night()
    night.feed(11_000, asked())
    night.feed(12_000, events.Silence("s01", 7))
    assert results(night) == [("c1", "asked", "", False)]


def test_a_person_answers_by_name():
    night = Night()
    night.feed(11_000, asked())
    outcome = night.feed(12_000, events.PostCheckAnswered("s02", 7))
    assert [(reply.ok, reply.code) for reply in outcome.replies] == [(True, "done")]
    assert results(night)[-1] == ("c1", "answered", "s02", False)
    outcome = night.feed(13_000, events.PostCheckAnswered("s02", 8))
    assert [(reply.ok, reply.code) for reply in outcome.replies] == [(False, "not_asked")]


def test_no_answer_is_a_fault_and_calls_the_duty_leader_at_once_and_others_later():
    night = Night()
    night.feed(11_000, asked())
    night.run(11_000, 11_000 + 5 * MIN - 1)
    assert MISSED not in night.state.alarms
    assert night.state.next_deadline_ms == 11_000 + 5 * MIN
    night.feed(11_000 + 5 * MIN, events.Ticked())
    assert results(night)[-1] == ("c1", "no_answer", "", False)
    assert night.state.alarms[MISSED].state is AlarmState.UA
    night.run(11_000 + 5 * MIN, HOUR)
    assert [(step, waited) for step, _, waited in night.steps(MISSED)] == [
        ("duty_leader", 0), ("safety_manager", 3 * MIN), ("director", 5 * MIN),
    ]  # fmt: skip


def test_a_late_answer_is_on_the_record_as_late_and_ends_the_fault():
    night = Night()
    night.feed(11_000, asked())
    night.run(11_000, 10 * MIN)
    night.feed(11 * MIN, events.PostCheckAnswered("s02"))
    assert results(night)[-1] == ("c1", "answered", "s02", True)
    assert night.state.alarms[MISSED].state is AlarmState.RU
    assert night.state.post_checks == {}


def test_a_second_one_missed_is_told_anew_though_the_first_was_acknowledged():
    night = Night()
    night.feed(11_000, asked())
    night.run(11_000, 10 * MIN)
    night.feed(10 * MIN, events.Acknowledge("s02", MISSED))
    night.feed(11 * MIN, asked("c2"))
    night.run(11 * MIN, 20 * MIN)
    raises = [move for move in night.moves(drill=False) if move == (MISSED, "raise")]
    assert len(raises) == 2
    assert night.state.alarms[MISSED].state is AlarmState.UA


def test_a_command_that_comes_twice_is_asked_once():
    night = Night()
    night.feed(11_000, asked())
    night.feed(12_000, asked())
    night.feed(13_000, events.Silence("panel"))
    night.feed(14_000, asked())
    assert [result for _, result, _, _ in results(night)] == ["asked", "answered"]


def test_a_command_that_was_held_up_is_not_asked_in_the_morning():
    night = Night()
    night.feed(HOUR, asked(asked_ms=DAY_0))
    assert results(night) == [("c1", "expired", "", False)]
    assert night.state.post_checks == {}


def test_a_flood_of_commands_is_refused_on_the_record():
    night = Night()
    for number in range(20):
        night.feed(1_000 + number, asked(f"c{number}"))
    said = [result for _, result, _, _ in results(night)]
    assert (said.count("asked"), said.count("refused")) == (8, 12)


def test_a_restart_while_asked_keeps_the_time_and_one_after_a_miss_keeps_the_miss():
    night = Night()
    night.feed(11_000, asked())
    night.restart(MIN)
    (check,) = practice_view(night.state, night.now(MIN))["post_checks"]
    assert check["left_ms"] == 4 * MIN + 11_000
    night.run(MIN, 10 * MIN)
    night.restart(10 * MIN + 1)
    night.run(10 * MIN + 1, HOUR)
    night.feed(HOUR, events.PostCheckAnswered("s02"))
    assert [(result, late) for _, result, _, late in results(night)] == [
        ("asked", False), ("no_answer", False), ("answered", True),
    ]  # fmt: skip
    assert len(night.steps(MISSED)) == 3


def test_a_reboot_without_a_trusted_clock_gives_the_whole_time_again():
    night = Night()
    night.feed(11_000, asked())
    night.restart(1_000, boot="b002", away_ms=HOUR, clk=Clk.NONE)
    (check,) = practice_view(night.state, night.now(1_000))["post_checks"]
    assert check["left_ms"] == 5 * MIN


# -- by the gateway's own plan ------------------------------------------------------------------


def plan(utc_ms=DAY_0, seed=1, per_night=3, self_test=3 * 60 + 30):
    checks = PostChecks(per_night=per_night)
    return plan_night(utc_ms, SHANGHAI, checks, self_test, random.Random(seed).random)


def local(utc_ms):
    return datetime.fromtimestamp(utc_ms / 1000, SHANGHAI)


@pytest.mark.parametrize("seed", range(50))
def test_a_night_has_one_to_three_checks_between_ten_and_six_with_time_to_answer(seed):
    planned = plan(seed=seed)
    assert 1 <= len(planned.post_checks_ms) <= 3
    for moment in planned.post_checks_ms:
        evening, morning = local(moment + 2 * HOUR), local(moment + 5 * MIN - 1)
        assert evening.hour < 8  # 22:00 to 06:00, two hours later
        assert morning.hour >= 22 or morning.hour < 6
    assert list(planned.post_checks_ms) == sorted(planned.post_checks_ms)


def test_the_same_numbers_plan_the_same_night_and_all_counts_occur():
    assert plan(seed=4) == plan(seed=4)
    assert {len(plan(seed=seed).post_checks_ms) for seed in range(50)} == {1, 2, 3}


@pytest.mark.parametrize("hour", range(24))
def test_a_night_lasts_from_noon_to_noon_and_has_its_self_test_after_midnight(hour):
    moment = DAY_0 + hour * HOUR
    planned = plan(moment)
    assert planned.until_ms - 24 * HOUR <= moment < planned.until_ms
    assert (local(planned.until_ms).hour, local(planned.until_ms).minute) == (12, 0)
    assert (local(planned.self_test_ms).hour, local(planned.self_test_ms).minute) == (3, 30)
    assert planned.until_ms - 24 * HOUR < planned.self_test_ms < planned.until_ms
    assert planned.night == local(planned.until_ms - 24 * HOUR).date().isoformat()


def planned(*after_ms, night="2026-09-21"):
    return events.NightPlanned(
        night, DAY_0 + 12 * HOUR, post_checks_ms=tuple(DAY_0 + ms for ms in after_ms)
    )


def test_the_planned_checks_are_asked_at_their_moments():
    night = Night()
    night.feed(1_000, planned(HOUR, 2 * HOUR))
    night.run(1_000, HOUR - 1)
    assert night.state.next_deadline_ms == HOUR
    night.run(HOUR - 1, HOUR)
    assert results(night) == [(f"local-{DAY_0 + HOUR}", "asked", "", False)]
    night.feed(HOUR + 1_000, events.Silence("panel"))
    night.run(HOUR + 1_000, 3 * HOUR)
    said = [(check, result) for check, result, _, _ in results(night)]
    assert said[2] == (f"local-{DAY_0 + 2 * HOUR}", "asked")
    assert said[3] == (f"local-{DAY_0 + 2 * HOUR}", "no_answer")


def test_the_first_plan_of_a_night_stands_over_later_ones_and_over_a_restart():
    night = Night()
    night.feed(1_000, planned(HOUR, 2 * HOUR))
    night.feed(600_000, planned(30 * MIN))
    night.run(600_000, HOUR)
    night.feed(HOUR + 1_000, events.Silence("panel"))
    night.restart(HOUR + 2_000)
    night.feed(HOUR + 3_000, planned(HOUR + 5 * MIN))
    night.run(HOUR + 3_000, 2 * HOUR)
    assert [check for check, result, _, _ in results(night) if result == "asked"] == [
        f"local-{DAY_0 + HOUR}", f"local-{DAY_0 + 2 * HOUR}",
    ]  # fmt: skip


def test_a_check_that_came_due_while_the_gateway_was_off_is_not_made_up_for():
    night = Night()
    night.feed(1_000, planned(HOUR, 3 * HOUR))
    night.restart(2 * HOUR)
    night.run(2 * HOUR, 3 * HOUR)
    assert [check for check, result, _, _ in results(night) if result == "asked"] == [
        f"local-{DAY_0 + 3 * HOUR}"
    ]


def test_nothing_is_asked_by_a_clock_that_cannot_be_trusted():
    night = Night()
    night.feed(1_000, planned(HOUR))
    night.clk = Clk.NONE
    night.run(1_000, 2 * HOUR)
    assert results(night) == []


def test_the_time_to_answer_is_the_houses_own():
    night = Night(replace(house(), post_check_ms=2 * MIN))
    night.feed(1_000, planned(HOUR))
    night.run(1_000, HOUR + 2 * MIN)
    assert [result for _, result, _, _ in results(night)] == ["asked", "no_answer"]
