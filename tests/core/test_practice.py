import pytest

from gateway.core.view import alarms_view, practice_view
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.moments import Clk
from gateway.domain.readings import Quality
from gateway.domain.signals import Lamp, Pattern
from tests.core.night_house import HOUR, LEAK, LOAD, MIN, WARN, Night

DRILL_LEAK = f"drill/{LEAK}"


def drill(*rules, **words):
    return events.DrillStarted(**{"by": "s01", "scenario": "1F 起火", "rules": rules, **words})


def replies(outcome):
    assert all(reply.ok or reply.say is not None for reply in outcome.replies)
    return [(reply.ok, reply.code) for reply in outcome.replies]


# -- drills -------------------------------------------------------------------------------------


def test_a_drill_raises_an_alarm_of_its_own_and_leaves_the_real_one_alone():
    night = Night()
    night.feed(1_000, drill(LEAK))
    assert night.moves(drill=True) == [(LEAK, "raise")]
    assert LEAK not in night.state.alarms
    assert night.state.alarms[DRILL_LEAK].state is AlarmState.UA
    (raised,) = [body for body in night.records if body["t"] == "alarm"]
    assert (raised["aud"], raised["test"], raised["say"]["zh"]) == ([], False, "超限")


def test_readings_move_the_real_alarm_and_never_the_drills():
    night = Night()
    night.feed(1_000, drill(LEAK))
    night.read(2_000, 10)
    assert night.state.alarms[DRILL_LEAK].state is AlarmState.UA
    night.read(3_000, 210)
    assert (WARN, "raise") in night.moves(drill=False)


def test_people_act_on_a_drill_as_on_the_real_thing_and_every_record_says_drill():
    night = Night()
    night.feed(1_000, drill(LEAK))
    night.feed(5_000, events.Silence("panel"))
    night.feed(9_000, events.Acknowledge("s02", DRILL_LEAK))
    night.feed(60_000, events.Arrive("s02", alarm=DRILL_LEAK))
    night.feed(90_000, events.DrillEnded("s01"))
    assert night.moves(drill=True) == [
        (LEAK, "raise"), (LEAK, "silence"), (LEAK, "ack"), (LEAK, "clear"),
    ]  # fmt: skip
    assert night.moves(drill=False) == []
    for kind in ("drill_start", "arrival", "drill_end"):
        assert [body["drill"] for body in night.facts(kind)] == [True], kind
    assert night.state.alarms == {}


def test_the_end_of_a_drill_tells_who_did_what_and_how_long_it_took():
    night = Night()
    night.feed(1_000, drill(LEAK, scope="东区"))
    night.feed(9_000, events.Acknowledge("s02", DRILL_LEAK))
    night.feed(61_000, events.Arrive("s02", alarm=DRILL_LEAK))
    found = ("2F 安全门打不开",)
    night.feed(121_000, events.DrillEnded("s01", counted=41, expected=42, findings=found))
    (report,) = night.data("drill_end")
    assert (report["counted"], report["expected"]) == (41, 42)
    assert report["findings"] == list(found)
    assert (report["scenario"], report["scope"], report["leader"]) == ("1F 起火", "东区", "s01")
    assert (report["ended"], report["lasted_ms"]) == ("person", 120_000)
    assert (report["first_ack_ms"], report["first_arrival_ms"]) == (8_000, 60_000)
    assert [(s["what"], s["rule"], s["by"], s["after_ms"]) for s in report["timeline"]] == [
        ("raise", LEAK, "s01", 0), ("ack", LEAK, "s02", 8_000),
        ("arrive", LEAK, "s02", 60_000), ("clear", LEAK, "s01", 120_000),
    ]  # fmt: skip


def test_a_drill_ends_by_itself_after_an_hour():
    night = Night()
    night.feed(1_000, drill(LEAK))
    night.run(1_000, HOUR)
    assert night.state.drill is not None
    night.run(HOUR, HOUR + 1_000)
    assert night.state.drill is None
    assert night.data("drill_end")[0]["ended"] == "time"
    assert night.state.alarms == {}


def test_a_real_alarm_ends_the_drill_in_the_step_that_raises_it():
    night = Night()
    night.feed(1_000, drill(LEAK))
    outcome = night.read(5_000, 310, of="load")
    assert night.state.drill is None
    assert list(night.state.alarms) == [LOAD]
    assert night.data("drill_end")[0]["ended"] == "real_alarm"
    assert outcome.signal.pattern is Pattern.A1
    assert outcome.signal.red is Lamp.BLINK_2
    assert not getattr(outcome.signal, "is_drill", False)
    assert night.moves(drill=False) == [("board.load/high", "raise")]


def test_the_real_alarm_of_the_drilled_rule_breaks_through_as_well():
    night = Night()
    night.feed(1_000, drill(LEAK))
    night.feed(5_000, events.Acknowledge("s02", DRILL_LEAK))
    outcome = night.read(9_000, 310)
    assert night.state.alarms[LEAK].state is AlarmState.UA
    assert DRILL_LEAK not in night.state.alarms
    assert outcome.signal.pattern is Pattern.A1


def test_a_real_warning_stands_beside_the_drill():
    night = Night()
    night.feed(1_000, drill(LEAK))
    night.read(5_000, 210)
    assert night.state.drill is not None
    rows = alarms_view(night.state, night.now(6_000))
    assert {row["rule"]: row["is_drill"] for row in rows} == {DRILL_LEAK: True, WARN: False}


@pytest.mark.parametrize(
    ("before", "event", "code"),
    [
        ([drill(LEAK)], drill(LOAD), "drill_running"),
        ([], drill("board.leak/none"), "unknown_rule"),
        ([], events.DrillEnded("s01"), "no_drill"),
    ],
)
def test_what_cannot_be_drilled_is_refused_with_the_reason(before, event, code):
    night = Night()
    for each in before:
        night.feed(1_000, each)
    outcome = night.feed(2_000, type(event)(**{**_fields(event), "reply_to": 7}))
    assert replies(outcome) == [(False, code)]


def test_no_drill_begins_while_a_real_alarm_is_open():
    night = Night()
    night.read(1_000, 310)
    assert replies(night.feed(2_000, drill(LEAK, reply_to=7))) == [(False, "alarm_open")]
    assert night.facts("drill_start") == []


def test_a_drill_goes_on_over_a_restart_with_its_alarms_its_hour_and_its_timeline():
    night = Night()
    night.feed(1_000, drill(LEAK))
    night.feed(9_000, events.Acknowledge("s02", DRILL_LEAK))
    night.restart(10 * MIN)
    assert night.state.alarms[DRILL_LEAK].state is AlarmState.AA
    assert practice_view(night.state, night.now(10 * MIN))["drill"]["left_ms"] == 50 * MIN + 1_000
    night.run(10 * MIN, HOUR + 1_000)
    (report,) = night.data("drill_end")
    assert [scene["what"] for scene in report["timeline"]] == ["raise", "ack", "clear"]
    assert (report["ended"], report["first_ack_ms"]) == ("time", 8_000)


def test_a_reboot_with_a_trusted_clock_keeps_the_hour():
    night = Night()
    night.feed(1_000, drill(LEAK))
    night.restart(5_000, boot="b002", away_ms=20 * MIN)
    assert practice_view(night.state, night.now(5_000))["drill"]["left_ms"] == 40 * MIN
    night.run(5_000, 5_000 + 40 * MIN)
    assert night.data("drill_end")[0]["ended"] == "time"


def test_a_reboot_without_a_trusted_clock_ends_the_drill():
    night = Night()
    night.feed(1_000, drill(LEAK))
    night.restart(5_000, boot="b002", away_ms=MIN, clk=Clk.NONE)
    assert night.state.drill is None
    assert night.state.alarms == {}
    assert night.data("drill_end")[0]["ended"] == "restart"
    assert night.moves(drill=True)[-1] == (LEAK, "clear")


def test_a_drill_alone_is_seen_on_the_yellow_lamp():
    night = Night()
    night.read(500, 10)
    night.run(500, 5_000)
    assert night.state.signal.yellow is Lamp.OFF
    outcome = night.feed(6_000, drill())
    assert outcome.signal.yellow is Lamp.ON
    assert night.feed(7_000, events.DrillEnded("s01")).signal.yellow is Lamp.OFF


# -- tests of single points ---------------------------------------------------------------------


def test_readings_of_a_point_under_test_have_quality_test_and_raise_nothing_real():
    night = Night()
    night.feed(1_000, events.PointTestStarted("t01", "board.leak"))
    outcome = night.read(2_000, 310)
    reading = night.state.devices["board"].points["board.leak"].reading
    assert (reading.quality, reading.value) == (Quality.TEST, 310)
    assert night.moves(test=False) == []
    assert night.moves(test=True) == [(LEAK, "raise"), (WARN, "raise")]
    assert outcome.signal.yellow is Lamp.ON
    aud = [body["aud"] for body in night.records if body["t"] == "alarm"]
    assert aud == [[], []]


def test_the_trip_of_a_test_is_heard_and_clears_with_the_value():
    night = Night()
    night.feed(1_000, events.PointTestStarted("t01", "board.leak"))
    outcome = night.read(2_000, 310)
    assert outcome.signal.pattern is not Pattern.QUIET
    night.read(3_000, 10)
    night.feed(4_000, events.Acknowledge("t01"))
    assert night.state.alarms == {}


def test_other_points_are_as_real_as_ever():
    night = Night()
    night.feed(1_000, events.PointTestStarted("t01", "board.leak"))
    night.read(2_000, 310, of="load")
    assert night.moves(test=False) == [(LOAD, "raise")]


def test_a_test_ends_after_half_an_hour_with_its_alarms_and_says_what_tripped():
    night = Night()
    night.feed(1_000, events.PointTestStarted("t01", "board.leak"))
    night.read(2_000, 310)
    night.run(2_000, 30 * MIN + 1_000)
    assert (night.state.tests, night.state.alarms) == ({}, {})
    (ended,) = night.facts("test_end")
    assert ended["test"] is True
    assert (ended["data"]["ended"], ended["data"]["tripped"]) == ("time", ["high", "warn"])
    assert night.facts("test_start")[0]["test"] is True


def test_what_is_still_over_when_a_test_ends_is_real_from_the_next_reading_on():
    night = Night()
    night.feed(1_000, events.PointTestStarted("t01", "board.leak"))
    night.read(2_000, 310)
    night.feed(3_000, events.PointTestEnded("t01", "board.leak"))
    night.read(4_000, 310)
    assert night.moves(test=False) == [(LEAK, "raise"), (WARN, "raise")]


def test_a_point_that_is_lost_during_its_test_is_lost():
    night = Night()
    night.feed(1_000, events.PointTestStarted("t01", "board.leak"))
    night.read(2_000, None, quality=Quality.FAULT, reason="out_of_range")
    assert night.state.devices["board"].points["board.leak"].reading.quality is Quality.FAULT


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (events.PointTestStarted("t01", "board.none", 7), "unknown_point"),
        (events.PointTestEnded("t01", "board.leak", 7), "no_test"),
    ],
)
def test_what_cannot_be_tested_is_refused_with_the_reason(event, code):
    assert replies(Night().feed(1_000, event)) == [(False, code)]


def test_a_point_in_alarm_is_not_put_under_test():
    night = Night()
    night.read(1_000, 310)
    event = events.PointTestStarted("t01", "board.leak", 7)
    assert replies(night.feed(2_000, event)) == [(False, "alarm_open")]


def test_a_test_keeps_its_end_over_a_restart_and_a_reboot_with_a_trusted_clock():
    night = Night()
    night.feed(1_000, events.PointTestStarted("t01", "board.leak"))
    night.read(2_000, 310)
    night.restart(10_000)
    night.read(11_000, 310)
    assert night.moves(test=False) == []
    night.restart(5_000, boot="b002", away_ms=10 * MIN)
    (test,) = practice_view(night.state, night.now(5_000))["tests"]
    assert test["left_ms"] == 30 * MIN + 1_000 - 11_000 - 10 * MIN
    night.run(5_000, 30 * MIN)
    assert night.state.tests == {}


def test_a_reboot_without_a_trusted_clock_ends_the_test_and_judges_again():
    night = Night()
    night.feed(1_000, events.PointTestStarted("t01", "board.leak"))
    night.read(2_000, 310)
    night.restart(5_000, boot="b002", away_ms=MIN, clk=Clk.NONE)
    assert (night.state.tests, night.state.alarms) == ({}, {})
    assert night.data("test_end")[0]["ended"] == "restart"
    night.read(6_000, 310)
    assert (LEAK, "raise") in night.moves(test=False)


def _fields(event):
    return {name: getattr(event, name) for name in event.__slots__}
