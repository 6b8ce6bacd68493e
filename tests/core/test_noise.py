"""Alarms that come and go, alarms that come all at once, and who makes the most noise."""

import json
from dataclasses import replace

import pytest

from gateway.core.life_view import flood_view, noisy_view
from gateway.core.noise import FLOOD_WINDOW_MS
from gateway.core.state import state_of
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.moments import Clk, Now
from gateway.domain.rules import Above, Severity, Sound
from tests.core.test_step import house, now, point, rule
from tests.core.test_table import Kept

UA = AlarmState.UA
DAY = 86_400_000
QUICK = rule(
    "quick", at="board.load", condition=Above(0, 0), severity=Severity.WARNING, sound=Sound.W,
    for_ms=0, clear_for_ms=2_000, min_samples=1,
)  # fmt: skip


@pytest.fixture
def flicker(tmp_path):
    return Kept(house(tmp_path, rules=(QUICK, rule())))


def activate(play, ms):
    """On, and off again for longer than the off-delay."""
    play.read(ms, 1, name="load")
    play.read(ms + 1_000, 0, name="load")
    play.pass_until(ms + 9_000)


def test_three_activations_in_a_minute_are_one_alarm_that_is_kept_active(flicker):
    for ms in range(0, 70_000, 10_000):
        activate(flicker, ms)
    alarm = flicker.state.alarms[QUICK.id]
    assert (alarm.state, alarm.chatter) == (UA, 7)
    said = [tr for _, tr in flicker.transitions(QUICK.id)]
    assert said == ["raise", "clear", "raise", "clear", "raise", "chatter"]


def test_chatter_ends_by_itself_when_it_has_been_normal_for_long(flicker):
    for ms in range(0, 40_000, 10_000):
        activate(flicker, ms)
    flicker.pass_until(31_000 + 59_999)
    assert flicker.state.alarms[QUICK.id].state is UA
    flicker.pass_until(31_000 + 60_000)
    assert flicker.state.alarms[QUICK.id].state is AlarmState.RU
    flicker.feed(200_000, events.Acknowledge("s01"))
    activate(flicker, 300_000)
    assert flicker.state.alarms[QUICK.id].chatter == 0


def test_the_off_delay_of_chatter_is_four_times_its_own_and_at_least_a_minute(tmp_path):
    slow = replace(QUICK, clear_for_ms=18_000)
    play = Kept(house(tmp_path, rules=(slow,)))
    for ms in (0, 20_000, 40_000):
        play.read(ms, 1, name="load")
        play.read(ms + 1_000, 0, name="load")
        play.pass_until(ms + 19_500)
    assert play.state.alarms[slow.id].state is UA
    play.pass_until(41_000 + 4 * 18_000 - 1)
    assert play.state.alarms[slow.id].state is UA
    play.pass_until(41_000 + 4 * 18_000)
    assert play.state.alarms[slow.id].state is AlarmState.RU


def test_what_chattered_and_then_stays_active_is_an_ordinary_alarm_again(flicker):
    for ms in range(0, 30_000, 10_000):
        activate(flicker, ms)
    flicker.read(30_000, 1, name="load")
    flicker.pass_until(90_000)
    assert flicker.state.alarms[QUICK.id].chatter == 0
    flicker.read(91_000, 0, name="load")
    flicker.pass_until(93_000)
    assert flicker.state.alarms[QUICK.id].state is AlarmState.RU


def test_an_acknowledged_alarm_that_chatters_calls_nobody_again(flicker):
    for ms in range(0, 30_000, 10_000):
        activate(flicker, ms)
    flicker.feed(30_000, events.Acknowledge("s01"))
    for ms in range(40_000, 90_000, 10_000):
        activate(flicker, ms)
        assert flicker.state.signal.pattern.value == "-"
    assert flicker.state.alarms[QUICK.id].state is AlarmState.AA


def test_a_fault_of_the_gateway_that_comes_and_goes_is_one_fault(flicker):
    for ms in range(0, 100_000, 10_000):
        flicker.feed(ms, events.FaultRaised("device_silent", "board"))
        flicker.feed(ms + 5_000, events.FaultCleared("device_silent", "board"))
    name = "gateway/device_silent/board"
    assert [tr for _, tr in flicker.transitions(name)].count("raise") == 3
    assert flicker.state.alarms[name].chatter == 10
    flicker.pass_until(95_000 + 60_000)
    assert flicker.state.alarms[name].state is AlarmState.RU


# -- floods -----------------------------------------------------------------------------------


def forty(tmp_path):
    names = [f"p{number}" for number in range(40)]
    rules = [replace(QUICK, id=f"board.{n}/quick", point=f"board.{n}") for n in names]
    return Kept(house(tmp_path, points=[*map(point, names), point("leak")], rules=(*rules, rule())))


def flood(play, at=0, order=None):
    """Forty warnings, half a second apart."""
    for index, number in enumerate(order or range(40)):
        play.read(at + index * 500, 1, name=f"p{number}")


def test_first_out_is_right_in_a_flood_of_forty(tmp_path):
    play = forty(tmp_path)
    flood(play, order=[17, *(n for n in range(40) if n != 17)])
    view = flood_view(play.state)
    assert (view["count"], view["first_out"]) == (40, "board.p17/quick")
    marked = [alarm.rule for alarm in play.state.alarms.values() if alarm.is_first_out]
    assert marked == ["board.p17/quick"]
    assert {alarm.flood for alarm in play.state.alarms.values()} == {play.state.noise.flood.id}


def test_first_out_is_what_began_first_and_not_what_was_raised_first(tmp_path):
    play = forty(tmp_path)
    slow = replace(play.made.rules["board.p0/quick"], for_ms=12_000)
    rules = [slow, *(each for name, each in play.made.rules.items() if name != slow.id)]
    play = Kept(house(tmp_path, points=play.made.devices["board"].points, rules=rules))
    play.read(0, 1, name="p0")
    flood(play, at=1_000, order=range(1, 40))
    assert play.state.noise.flood.first_rule == "board.p0/quick"
    assert [a.rule for a in play.state.alarms.values() if a.is_first_out] == ["board.p0/quick"]


def test_an_alarm_of_long_ago_is_not_the_first_out_of_a_flood(tmp_path):
    play = forty(tmp_path)
    play.read(0, 1, name="p39")
    flood(play, at=300_000, order=range(39))
    assert play.state.noise.flood.first_rule == "board.p0/quick"
    assert play.state.alarms["board.p39/quick"].flood == ""


def test_ten_in_ten_minutes_are_no_flood_and_eleven_are(tmp_path):
    play = forty(tmp_path)
    flood(play, order=range(10))
    assert play.state.noise.flood is None
    play.read(60_000, 1, name="p20")
    assert play.state.noise.flood.count == 11


def test_a_flood_has_one_sound_that_no_warning_begins_anew_but_an_alarm_does(tmp_path):
    play = forty(tmp_path)
    flood(play, order=range(20))
    since = play.state.signal.since_ms
    flood(play, at=20_000, order=range(20, 40))
    assert (play.state.signal.pattern.value, play.state.signal.since_ms) == ("W", since)
    play.read(60_000, 310)
    play.read(63_000, 310)
    assert (play.state.signal.pattern.value, play.state.signal.since_ms) == ("A1", 63_000)


def test_who_silences_a_flood_silences_what_still_joins_it_but_no_alarm(tmp_path):
    play = forty(tmp_path)
    flood(play, order=range(20))
    play.feed(15_000, events.Silence("panel"))
    flood(play, at=20_000, order=range(20, 40))
    assert play.state.signal.pattern.value == "-"
    assert play.state.signal.amber.value == "1Hz"
    play.read(60_000, 310)
    play.read(63_000, 310)
    assert play.state.signal.pattern.value == "A1"


def test_a_flood_is_folded_by_bus_and_place_told_at_both_ends_and_over_when_it_is_calm(tmp_path):
    play = forty(tmp_path)
    flood(play)
    (group,) = flood_view(play.state)["groups"]
    assert (group["bus"], group["place"], group["count"]) == ("line", "1F 厨房", 40)
    play.pass_until(19_500 + FLOOD_WINDOW_MS)
    assert play.state.noise.flood is None
    begin, end = play.facts("flood")
    assert (begin["tr"], begin["count"], end["tr"], end["count"]) == ("begin", 11, "end", 40)
    assert begin["first"] == end["first"]


def test_a_flood_goes_on_over_a_restart_with_its_first_out_and_then_ends(tmp_path):
    play = forty(tmp_path)
    flood(play, order=range(20))
    first = play.state.noise.flood.first
    play.feed(15_000, events.Silence("s01"))
    play.restart(30_000)
    play.feed(30_000, events.Restarted())
    assert play.state.noise.flood.first == first
    flood(play, at=40_000, order=range(20, 40))
    assert play.state.signal.pattern.value in ("-", "B")
    assert [a.occurrence for a in play.state.alarms.values() if a.is_first_out] == [first]
    play.pass_until(30_000 + 2 * FLOOD_WINDOW_MS)
    assert play.state.noise.flood is None


# -- statistics -------------------------------------------------------------------------------


def test_activations_are_counted_by_point_and_day_over_restarts(flicker):
    for day in range(3):
        activate(flicker, day * DAY)
        at = flicker.restart(day * DAY + 60_000)
    flicker.feed(3 * DAY, events.FaultRaised("store_slow", "core.db"))
    first, *_ = noisy_view(flicker.state, at)
    assert (first["id"], first["days_7"], first["days_30"]) == ("board.load", 3, 3)
    later = now(20 * DAY)
    assert [(r["id"], r["days_7"], r["days_30"]) for r in noisy_view(flicker.state, later)] == [
        ("board.load", 0, 3), ("gateway/store_slow/core.db", 0, 1),
    ]  # fmt: skip


def test_on_a_clock_that_nobody_trusts_activations_belong_to_the_last_day_that_was_known(flicker):
    activate(flicker, 0)
    untrusted = Now(5_000, 0, Clk.EST, None, "other")
    flicker.state = state_of(flicker.made, (), untrusted, kept=tuple(flicker.kept.values()))
    from gateway.core.step import step

    readings = (play_reading(6_000),)
    flicker.state, outcome = step(
        flicker.state,
        events.BlockRead("line", "board", readings),
        replace(untrusted, mono_ms=6_000),
    )
    kept = {each.key: json.loads(each.body) for each in outcome.kept if each.kind == "noise"}
    assert list(kept["board.load"].values()) == [2]


def play_reading(ms):
    from gateway.domain.readings import Quality, Reading

    return Reading("board.load", 1, Quality.GOOD, ms)
