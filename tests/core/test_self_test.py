from dataclasses import replace

import pytest

from gateway.core.health import measure
from gateway.core.judge import judge
from gateway.core.panel import level_at
from gateway.core.self_test import RULE, STAGES, is_alarm
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.moments import Clk
from gateway.domain.readings import Quality
from gateway.domain.signals import Pattern
from tests.core.night_house import DAY, DAY_0, HOUR, LEAK, MIN, Night, house

ONLINE = replace(house(), has_uplink=True)


def reach(night, ms, *stages):
    key = next(body["alarm"] for body in reversed(night.records) if body.get("test"))
    for stage in stages:
        night.feed(ms, events.StageReached(stage, key))


def test_one_value_goes_through_decode_rule_panel_store_and_uplink():
    night = Night(ONLINE)
    outcome = night.feed(1_000, events.SelfTestAsked("t01", 7))
    assert [(reply.ok, reply.code) for reply in outcome.replies] == [(True, "done")]
    assert night.moves(test=True) == [("gateway.self_test/level", "raise"),
                                      ("gateway.self_test/level", "clear")]  # fmt: skip
    assert all(body["aud"] == [] for body in night.records if body.get("test"))
    assert [record.lane.value for record in outcome.records] == ["A", "A"]
    reach(night, 2_000, "panel", "store")
    assert night.data("self_test") == []
    reach(night, 3_000, "uplink")
    (result,) = night.data("self_test")
    assert (result["result"], result["reached"], result["missed"]) == ("passed", list(STAGES), None)
    assert (result["by"], result["took_ms"]) == ("t01", 2_000)


def test_it_is_silent_and_dark_and_opens_nothing():
    night = Night(ONLINE)
    night.run(0, 10_000)
    before = night.state.signal
    outcome = night.feed(11_000, events.SelfTestAsked("t01"))
    assert outcome.signal == before
    assert night.state.alarms == {}
    assert night.state.climbs == {}


def test_the_panel_is_asked_for_what_an_alarm_would_have_set():
    night = Night(ONLINE)
    rehearsal = night.feed(11_000, events.SelfTestAsked("t01")).rehearsal
    raised = next(body for body in night.records if body.get("tr") == "raise")
    assert rehearsal.key == raised["alarm"]
    assert rehearsal.signal.pattern is Pattern.A1
    assert is_alarm(level_at(rehearsal.signal, rehearsal.signal.since_ms))
    assert not is_alarm(level_at(night.state.signal, 11_000))


def test_its_reading_is_reported_as_a_test_and_is_no_news_otherwise():
    night = Night(ONLINE)
    night.feed(500, measure({}, {}, 500))
    outcome = night.feed(1_000, events.SelfTestAsked("t01"))
    last = outcome.batch.readings[-1]
    assert (last.point, last.quality) == ("gateway.self_test", Quality.TEST)
    night.feed(10_500, measure({}, {}, 10_500))
    last = night.state.devices["gateway"].points["gateway.self_test"].reading
    assert (last.value, last.quality) == (0, Quality.GOOD)


@pytest.mark.parametrize("missing", ["panel", "store", "uplink"])
def test_a_stage_that_is_not_reached_is_a_fault_that_names_it(missing):
    night = Night(ONLINE)
    night.feed(1_000, events.SelfTestAsked("t01"))
    reach(night, 2_000, *({"panel", "store", "uplink"} - {missing}))
    night.run(2_000, 1_000 + 2 * MIN)
    (result,) = night.data("self_test")
    assert (result["result"], result["missed"]) == ("failed", missing)
    assert list(night.state.alarms) == [f"gateway/self_test_failed/{missing}"]


def test_a_rule_that_raises_an_exception_is_named_with_it():
    def broken(rule, reading):
        if rule.id == RULE.id:
            raise ZeroDivisionError("oops")
        return judge(rule, reading)

    night = Night(ONLINE)
    night.feed(1_000, events.SelfTestAsked("t01"), judge=broken)
    (result,) = night.data("self_test")
    assert (result["missed"], result["reached"]) == ("rule", ["decode"])
    assert result["detail"] == "ZeroDivisionError: oops"
    assert list(night.state.alarms) == ["gateway/self_test_failed/rule"]


def test_the_next_one_that_passes_ends_the_fault():
    night = Night(ONLINE)
    night.feed(1_000, events.SelfTestAsked("t01"))
    night.run(1_000, HOUR)
    assert night.state.alarms["gateway/self_test_failed/panel"].state is AlarmState.UA
    night.feed(2 * HOUR, events.SelfTestAsked("t01"))
    reach(night, 2 * HOUR, "panel", "store", "uplink")
    assert night.state.alarms["gateway/self_test_failed/panel"].state is AlarmState.RU


def test_a_house_without_uplink_is_tested_as_far_as_the_disk():
    night = Night()
    night.feed(1_000, events.SelfTestAsked("t01"))
    reach(night, 2_000, "panel", "store")
    assert night.data("self_test")[0]["reached"] == list(STAGES[:-1])


def test_one_runs_at_a_time_and_stages_of_another_do_not_count():
    night = Night(ONLINE)
    night.feed(1_000, events.SelfTestAsked("t01"))
    outcome = night.feed(1_500, events.SelfTestAsked("t01", 7))
    assert [(reply.ok, reply.code) for reply in outcome.replies] == [(False, "self_test_running")]
    night.feed(2_000, events.StageReached("panel", "epoch0000001-A-99"))
    assert night.state.self_test.reached == ("decode", "rule")


def test_it_runs_at_its_time_of_night_once():
    night = Night(ONLINE)
    plan = events.NightPlanned("2026-09-21", DAY_0 + 12 * HOUR, self_test_ms=DAY_0 + 3 * HOUR)
    night.feed(1_000, plan)
    night.run(1_000, 3 * HOUR - 1)
    assert night.moves(test=True) == []
    night.run(3 * HOUR - 1, 3 * HOUR)
    reach(night, 3 * HOUR + 1, "panel", "store", "uplink")
    night.feed(3 * HOUR + 10 * MIN, plan)
    night.restart(3 * HOUR + 20 * MIN)
    night.feed(3 * HOUR + 30 * MIN, plan)
    night.run(3 * HOUR + 30 * MIN, 11 * HOUR)
    assert [result["by"] for result in night.data("self_test")] == ["timer"]


def test_a_plan_that_is_made_after_its_moment_waits_for_the_next_night():
    night = Night(ONLINE, at=4 * HOUR)
    plan = events.NightPlanned("2026-09-21", DAY_0 + 12 * HOUR, self_test_ms=DAY_0 + 3 * HOUR)
    night.feed(4 * HOUR, plan)
    night.run(4 * HOUR, 11 * HOUR)
    assert night.moves(test=True) == []


def test_one_that_came_due_while_the_gateway_was_off_is_run_at_its_start():
    night = Night(ONLINE)
    plan = events.NightPlanned("2026-09-21", DAY_0 + 12 * HOUR, self_test_ms=DAY_0 + 3 * HOUR)
    night.feed(1_000, plan)
    night.restart(4 * HOUR)
    assert night.state.self_test is not None


def test_without_a_trusted_clock_it_runs_every_24_hours():
    night = Night(replace(ONLINE, has_nightly_self_test=True), clk=Clk.NONE)
    for hour in range(1, 50):
        night.feed(hour * HOUR, events.Ticked())
        if night.state.self_test is not None:
            reach(night, hour * HOUR + 1, "panel", "store", "uplink")
    assert len(night.data("self_test")) == 2
    calm = Night(ONLINE, clk=Clk.NONE)
    calm.feed(3 * DAY, events.Ticked())
    assert calm.moves(test=True) == []


def test_one_that_a_restart_cut_off_is_run_again():
    night = Night(ONLINE)
    night.feed(1_000, events.SelfTestAsked("t01"))
    night.restart(5_000)
    assert night.state.self_test is not None
    reach(night, 6_000, "panel", "store", "uplink")
    assert [(r["by"], r["result"]) for r in night.data("self_test")] == [("t01", "passed")]
    night.restart(9_000)
    assert night.state.self_test is None


def test_a_real_alarm_in_the_same_minute_is_raised_and_shown_as_ever():
    night = Night(ONLINE)
    night.feed(1_000, events.SelfTestAsked("t01"))
    outcome = night.read(1_500, 310)
    assert outcome.signal.pattern is Pattern.A1
    assert night.moves(test=False) == [(LEAK, "raise"), ("board.leak/warn", "raise")]
