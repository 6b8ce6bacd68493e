"""Visits, taps and what people do with rounds: what counts, what is flagged, what is refused."""

from dataclasses import replace

import pytest

from gateway.core.patrol_views import patrol_counts
from gateway.domain import events
from gateway.domain.moments import Clk
from gateway.domain.patrol import Patrol, Schedule, Tag, TagKind, Window
from gateway.domain.people import Person, Right, Role
from gateway.domain.rounds import Answer, RoundState
from gateway.domain.signals import Pattern
from tests.core.patrol_house import (
    BEGIN,
    DAY,
    FIRST,
    HOUR,
    MANUAL,
    MIN,
    PEOPLE,
    PHOTO,
    SECOND,
    Home,
    at,
    fine,
    house,
    patrol,
    utc_of,
)

DAY_ROUND = "day/2026-11-01/0800"
NIGHT_ROUND = "night/2026-11-01/2200"
ONE_DAY = patrol(schedules=(Schedule("day", "day", (Window(480, 600),), draws=0),))


def by_day(**changes):
    home = Home(
        house(patrol(schedules=(Schedule("day", "day", (Window(480, 600),), draws=0),)), **changes)
    )
    home.until(at(1, "08:20"))
    return home


def flags(home):
    return home.facts("visit")[-1]["flags"]


def test_a_visit_without_all_its_answers_is_none():
    home = by_day()
    reply = home.visit("EPS", answers=(Answer("way", "ok"),))
    assert (reply.ok, reply.code) == (False, "items_missing")
    assert "无异味" in reply.say.zh
    assert not home.facts("visit")
    assert not home.round(DAY_ROUND).visits


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ((Answer("way", "ok"), Answer("smell", "perhaps")), "bad_answer"),
        ((Answer("way", "ok"), Answer("smell", 1.0)), "bad_answer"),
        ((Answer("way", "ok"), Answer("smell", "ok"), Answer("roof", "ok")), "unknown_item"),
        ((Answer("way", "ok"), Answer("way", "ok")), "unknown_item"),
    ],
)
def test_answers_that_are_none_are_refused(answers, code):
    assert by_day().visit("EPS", answers=answers).code == code


def test_only_people_of_the_house_may_and_only_while_they_are_good():
    expired = replace(PEOPLE[0], code="s09", until="2026-10-31")
    home = by_day(people=(*PEOPLE, expired))
    assert home.visit("EPS", "x99").code == "unknown_person"
    assert home.visit("EPS", "s09").code == "person_expired"
    assert home.visit("ROOF", answers=()).code == "unknown_checkpoint"
    assert not home.facts("visit")


def test_a_bad_answer_is_a_hazard_with_a_day_to_mend_it():
    home = by_day()
    home.visit("PUMP", answers=(Answer("pressure", 0.05), Answer("tank", "low")), hazard="漏水")
    hazards = home.facts("hazard")
    assert [each["item"] for each in hazards] == ["pressure", "tank", ""]
    assert hazards[2]["text"] == "漏水"
    assert all(each["due"] == home.now().utc_ms + 7 * DAY for each in hazards)
    home.visit("EPS", answers=(Answer("way", "ok"), Answer("smell", "bad")))
    said = [each["say"]["zh"] for each in home.facts("hazard")]
    assert said == ["管网压力：0.05 MPa", "水箱：低", "漏水", "异常：无异味"]


def test_a_number_that_its_point_contradicts_is_flagged_and_not_refused():
    home = by_day()
    home.read("pump.pressure", 0.6)
    answers = (Answer("pressure", 0.4), Answer("tank", "full"))
    assert home.visit("PUMP", answers=answers, stay=0).ok
    assert "mismatch" in flags(home)
    assert home.facts("visit")[-1]["answers"][0]["measured"] == 0.6


def test_a_value_that_may_not_be_believed_contradicts_nobody():
    home = by_day()
    home.read("pump.pressure", 0.6)
    home.until(home.mono + HOUR)
    home.visit("PUMP", answers=(Answer("pressure", 0.4), Answer("tank", "full")))
    assert "mismatch" not in flags(home)


def test_a_link_that_was_used_before_is_refused_and_of_two_phones_one_wins():
    home = by_day()
    signed = {"uid": "04CC", "proof": 3, "counter": 7}
    assert home.visit("WARD", **signed).ok
    assert home.visit("WARD", "s02", **signed).code == "replayed"
    assert home.visit("WARD", "s02", uid="04CC", proof=3, counter=6).code == "replayed"
    assert home.visit("WARD", "s02", uid="04CC", proof=3, counter=8).ok
    assert [data["flags"][0] for data in home.facts("visit")[1:3]] == ["replayed"] * 2
    home.restart()
    assert home.visit("WARD", "s02", uid="04CC", proof=3, counter=8).code == "replayed"


def test_links_that_were_kept_for_later_leave_a_gap():
    home = by_day()
    home.visit("WARD", uid="04CC", proof=3, counter=7)
    home.visit("WARD", uid="04CC", proof=3, counter=18)
    assert "harvest" in flags(home)
    assert home.facts("visit")[-1]["gap"] == 10


def test_no_tag_proves_more_than_it_can():
    home = by_day()
    home.visit("EPS", uid="04AA", proof=4)
    home.visit("EPS", token="e" * 64, proof=3, counter=5)
    home.visit("EPS", proof=3)
    assert [data["proof"] for data in home.facts("visit")] == [1, 2, 0]
    assert home.visit("WARD", uid="04CC", proof=3).code == "unknown_tag"  # it signs every link


def test_a_tag_of_another_place_and_a_retired_one_are_unknown():
    home = by_day()
    assert home.visit("EPS", uid="04BB").code == "unknown_tag"
    assert home.ask(events.TagRetired("t01", "04AA")).ok
    assert home.visit("EPS", uid="04AA").code == "unknown_tag"
    assert home.ask(events.TagRegistered("s01", Tag("04AA", "EPS"))).code == "no_right"
    assert home.ask(events.TagRegistered("t01", Tag("0499", "EPS", TagKind.QR))).ok
    home.restart()
    assert home.visit("EPS", uid="0499").ok
    assert home.visit("EPS", uid="04AA").code == "unknown_tag"


def test_order_walk_stay_and_person_are_looked_at():
    made = patrol(schedules=(Schedule("night", "night", (Window(480, 600),), draws=0),))
    home = Home(house(made))
    home.until(at(1, "08:20"))
    home.visit("STAIR")
    assert flags(home) == ["out_of_order"]
    home.visit("EPS", "s02")
    assert flags(home) == ["other_person", "too_fast"]


def test_a_round_begins_early_ends_late_and_says_so():
    home = Home(house(ONE_DAY))
    home.until(at(1, "07:50"))
    home.visit("EPS")
    assert flags(home) == ["early"]
    assert home.round(DAY_ROUND).state is RoundState.IN_PROGRESS
    home.until(at(1, "10:05"))
    assert home.round(DAY_ROUND).state is RoundState.OVERDUE
    home.walk("STAIR", "PUMP", "GATE")
    assert home.ended()[DAY_ROUND]["state"] == "done_late"
    assert "late" in flags(home)


def test_a_visit_long_before_or_after_belongs_to_no_round_and_is_kept():
    home = Home(house(ONE_DAY))
    home.until(at(1, "05:00"))
    home.visit("EPS")
    assert flags(home) == ["outside_round"]
    assert home.facts("visit")[-1]["round"] == ""


def test_what_is_entered_later_by_hand_never_completes_a_round():
    home = by_day()
    home.walk("EPS", "STAIR", "PUMP")
    assert home.visit("GATE", via=MANUAL).code == "needs_reason"
    assert home.visit("GATE", via=MANUAL, reason="手机没电").ok
    assert home.round(DAY_ROUND).missing == ("GATE",)
    home.until(at(1, "10:20"))
    assert home.ended()[DAY_ROUND]["state"] == "partial"


def test_an_overdue_round_is_heard_seen_and_can_be_silenced():
    home = Home(house(ONE_DAY))
    home.until(at(1, "10:01"))
    assert Pattern.R in (home.state.signal.pattern, home.state.signal.chirp)
    assert home.ask(events.Silence("panel")).ok
    assert Pattern.R not in (home.state.signal.pattern, home.state.signal.chirp)
    home.until(at(1, "10:16"))
    assert home.state.patrol.overdue == ()
    assert "gateway/round_missed/day" in home.faults()


def test_the_second_missed_in_a_row_calls_the_manager_within_minutes():
    home = Home(house(ONE_DAY))
    home.until(at(2, "10:30"))
    assert "gateway/rounds_missed/day" in home.faults()
    climbed = [data["role"] for data in home.facts("escalation") if "rounds_missed" in data["rule"]]
    assert climbed == ["duty_leader", "safety_manager", "director"]
    home.until(at(3, "08:30"))
    home.walk("EPS", "STAIR", "PUMP", "GATE")
    assert not home.faults() & {"gateway/round_missed/day", "gateway/rounds_missed/day"}


def test_a_card_at_the_desk_starts_a_round_and_says_what_is_missing():
    home = by_day()
    assert home.ask(events.TapSeen("desk", "0401")).code == "round_started"
    assert home.state.tone is Pattern.K1
    assert home.round(DAY_ROUND).owner == "s01"
    assert home.ask(events.TapSeen("desk", "0401")).code == "stops_missing"
    assert home.state.tone is Pattern.K2
    home.walk("EPS", "STAIR", "PUMP", "GATE")
    assert home.ask(events.TapSeen("desk", "0401")).code == "round_over"


def test_a_card_answers_a_post_check_first_and_an_alarm_next():
    home = by_day()
    home.read("board.leak", 400)
    home.feed(events.PostCheckAsked("c1", "platform", 5 * MIN))
    assert home.ask(events.TapSeen("desk", "0402")).code == "answered"
    assert home.facts("post_check")[-1]["by"] == "s02"
    assert home.ask(events.TapSeen("desk", "0402")).code == "arrived"
    assert home.facts("arrival")[-1]["proof"] == 1


def test_a_visit_beside_an_alarm_is_an_arrival_as_strong_as_its_tag():
    home = by_day()
    home.read("board.leak", 400)
    home.visit("EPS", uid="04AA")
    (arrival,) = home.facts("arrival")
    assert (arrival["by"], arrival["proof"], arrival["place"]) == ("s01", 1, "place of EPS")


def test_rounds_of_tomorrow_are_next_and_not_of_today():
    home = Home()
    home.until(at(1, "20:30"))
    counts = patrol_counts(home.state, home.now())
    assert counts["rounds"] == 7  # one by day, two for gas, four in the night
    home.until(at(2, "05:00"))  # the night that began yesterday
    counts = patrol_counts(home.state, home.now())
    assert (counts["rounds"], counts["next_at"]) == (7, utc_of(FIRST) + DAY + 6 * HOUR)


def test_a_visit_added_later_is_no_arrival_at_an_alarm():
    home = by_day()
    home.read("board.leak", 400)
    assert home.visit("EPS", via=MANUAL, reason="手机没电").ok
    assert home.facts("arrival") == []


@pytest.mark.parametrize(
    ("tap", "code"),
    [
        (events.TapSeen("desk", "04FF"), "unknown_tag"),
        (events.TapSeen("desk", "08123456", is_random=True), "phone_card"),
        (events.TapSeen("desk", "04AA"), "tag_not_here"),
    ],
)
def test_what_nobody_knows_is_told_by_its_tone(tap, code):
    home = by_day()
    reply = home.ask(tap)
    assert (reply.ok, reply.code) == (False, code)
    assert reply.say is not None
    assert home.state.tone is Pattern.K3


def test_a_challenge_is_asked_only_where_it_falls():
    home = Home(house(patrol(schedules=(Schedule("day", "day", (Window(480, 600),), draws=3),))))
    home.until(at(1, "08:20"))
    home.visit("EPS")
    draws = {draw.checkpoint: draw.item for draw in home.round(DAY_ROUND).draws}
    assert draws == {"STAIR": "challenge-photo", "PUMP": "gauge", "GATE": "challenge-photo"}
    assert home.visit("STAIR", answers=(Answer("way", "ok"),)).code == "items_missing"
    assert home.visit("STAIR", answers=(Answer("way", "ok"), Answer("challenge-photo", PHOTO))).ok
    home.read("pump.pressure", 0.4)
    assert home.visit("PUMP").ok
    home.visit("GATE")
    assert home.ended()[DAY_ROUND]["met"] == 3


def test_a_bus_out_of_service_is_patrolled_at_all_that_hangs_on_it():
    home = Home()
    home.until(at(1, "12:00"))
    assert home.ask(events.TakeOutOfService("t01", "line", "换线", "WO-8")).ok
    home.until(at(1, "12:20"))
    found = [row for row in home.rounds().values() if row.schedule == "comp:bus/line"]
    assert {row.stops for row in found} == {("EPS", "PUMP")}


def test_a_point_out_of_service_is_patrolled_until_it_is_back():
    home = Home()
    home.until(at(1, "12:00"))
    home.ask(events.TakeOutOfService("t01", "pump", "检修", "WO-7"))
    home.until(at(1, "12:20"))
    found = [row for row in home.rounds().values() if row.schedule == "comp:pump"]
    assert {row.stops for row in found} == {("PUMP",)}
    assert len(found) == 25
    home.visit("PUMP")
    assert [d["state"] for d in home.ended().values() if d["schedule"] == "comp:pump"] == ["done"]
    home.ask(events.PutInService("t01", "pump"))
    home.until(at(1, "12:40"))
    states = {row.state for row in home.rounds().values() if row.schedule == "comp:pump"}
    assert states == {RoundState.DONE, RoundState.CANCELLED}


def test_a_round_that_ended_while_the_gateway_was_off_says_so():
    home = Home()
    home.until(at(1, "21:00"))
    told = home.faults()
    home.power_cut(at(4, "12:00"))
    home.until(at(4, "12:10"))
    ended = home.ended()
    slept = [data for data in ended.values() if data["reason"] == "gateway_down"]
    assert len(slept) == 3 * 4 + 6 + 3  # nights, gas, days
    assert all(data["state"] == "missed" for data in slept)
    assert home.faults() == told  # nobody is called for what nobody could walk


def test_nothing_is_judged_without_a_clock_however_long_it_lasts():
    home = Home(clk=Clk.NONE)
    home.until(BEGIN + 5 * DAY)
    assert home.visit("EPS", answers=fine(home.house.patrol.checkpoints["EPS"].items)).ok
    assert flags(home) == ["clock_unsure"]
    assert not home.facts("round")
    assert home.ask(events.PhoneEnrolled("s01", "s01", "c" * 64, DAY)).ok
    home.set_clock(Clk.SYNC)
    assert home.state.patrol.phones["c" * 64].until_ms == home.now().utc_ms + DAY


def test_a_phone_is_remembered_for_its_time_and_forgotten_when_asked():
    home = by_day()
    assert home.ask(events.PhoneEnrolled("s01", "s02", "a" * 64, DAY)).code == "no_right"
    assert home.ask(events.PhoneEnrolled("l01", "s02", "a" * 64, 2 * HOUR)).ok
    assert home.ask(events.PhoneEnrolled("s01", "s01", "b" * 64, DAY)).ok
    assert home.visit("EPS", "s02", phone="a" * 64).ok
    assert home.visit("STAIR", "s01", phone="a" * 64).code == "unknown_phone"
    home.restart()
    assert home.visit("STAIR", "s01", phone="b" * 64).ok
    home.until(home.mono + 3 * HOUR)
    assert home.visit("EPS", "s02", phone="a" * 64).code == "unknown_phone"
    assert home.ask(events.PhonesForgotten("s01", "s01")).ok
    assert home.visit("STAIR", "s01", phone="b" * 64).code == "unknown_phone"


def test_a_schedule_that_is_changed_calls_off_what_it_no_longer_asks_for():
    home = Home(house(ONE_DAY))
    later = patrol(schedules=(Schedule("day", "day", (Window(540, 600),)),))
    home.restart(house(later))
    assert home.ended()[DAY_ROUND]["reason"] == "schedule_changed"
    assert home.round("day/2026-11-01/0900").state is RoundState.PLANNED


def test_a_reload_replans_and_keeps_what_runs_and_the_tags_that_were_registered():
    home = by_day()
    home.visit("EPS")
    home.ask(events.TagRegistered("t01", Tag("0499", "STAIR")))
    windows = (Window(480, 600), Window(720, 840))
    later = patrol(schedules=(Schedule("day", "day", windows),))
    assert home.ask(events.SiteChanged(house(later))).ok
    assert home.round(DAY_ROUND).state is RoundState.IN_PROGRESS
    assert home.round("day/2026-11-01/1200").state is RoundState.PLANNED
    assert home.visit("STAIR", uid="0499").ok
    assert home.ask(events.SiteChanged(house(ONE_DAY))).ok
    assert home.ended()["day/2026-11-01/1200"]["reason"] == "schedule_changed"


@pytest.mark.parametrize("is_restart", [False, True])
@pytest.mark.parametrize("is_patrolled", [False, True])
def test_a_missed_round_of_a_schedule_that_is_gone_keeps_no_fault_open(is_restart, is_patrolled):
    """Once its rounds are forgotten nobody could walk or explain it any more."""
    home = Home(house(ONE_DAY))
    home.until(at(1, "12:00"))
    assert home.faults() == {"gateway/round_missed/day"}
    night = patrol(schedules=(Schedule("night", "day", (Window(1_320, 1_380),)),))
    later = house(night if is_patrolled else Patrol())
    if is_restart:
        home.restart(later)
    else:
        assert home.ask(events.SiteChanged(later)).ok
    assert home.faults() == set()
    alarm = home.state.alarms["gateway/round_missed/day"]
    assert alarm.state.is_unacknowledged  # it was so, and somebody shall have seen it


def test_a_missed_round_of_a_schedule_that_is_changed_stays_a_fault():
    home = Home(house(ONE_DAY))
    home.until(at(1, "12:00"))
    later = patrol(schedules=(Schedule("day", "day", (Window(540, 600),)),))
    assert home.ask(events.SiteChanged(house(later))).ok
    assert home.faults() == {"gateway/round_missed/day"}


def test_missed_rounds_for_what_was_out_of_service_are_over_when_it_is_back():
    home = Home(house(patrol(schedules=())))
    home.until(at(1, "12:00"))
    home.ask(events.TakeOutOfService("t01", "pump", "检修", "WO-7"))
    home.until(at(1, "18:00"))
    assert home.faults() == {"gateway/rounds_missed/comp:pump"}
    assert home.ask(events.SiteChanged(house(patrol(schedules=(), compensate_every_ms=HOUR)))).ok
    assert home.faults() == {"gateway/rounds_missed/comp:pump"}
    home.ask(events.PutInService("t01", "pump"))
    home.until(at(1, "18:20"))
    assert home.faults() == set()


def test_a_manager_calls_a_round_off_and_a_patroller_does_not():
    home = Home(house(ONE_DAY))
    assert home.ask(events.RoundCancelled("s01", DAY_ROUND, "停电")).code == "no_right"
    assert home.ask(events.RoundCancelled("m01", DAY_ROUND, " ")).code == "needs_reason"
    assert home.ask(events.RoundCancelled("m01", DAY_ROUND, "停电")).ok
    home.until(at(1, "11:00"))
    assert home.ended()[DAY_ROUND]["state"] == "cancelled"
    assert not home.faults()


def test_rounds_of_a_night_are_of_the_date_of_its_evening():
    home = Home()
    row = home.round("night/2026-11-01/0200")
    assert row.shift_date == "2026-11-01"
    assert row.opens_ms == home.now().utc_ms - home.mono + at(1, "26:00")


def test_a_house_without_patrol_refuses_and_pays_nothing():
    home = Home(house(patrol(routes=(), schedules=(), checkpoints=()), people=()))
    assert home.state.patrol_due_ms is None
    reply = home.ask(events.VisitEntered("s01", "EPS", ()))
    assert (reply.ok, reply.code) == (False, "no_patrol")
    assert home.state.next_deadline_ms is None or home.state.patrol_due_ms is None


def test_a_damaged_row_costs_itself_only():
    home = Home()
    home.kept["round", DAY_ROUND] = '{"id": 7}'
    home.kept["patrol_tag", "04AA"] = "no JSON"
    home.restart()
    assert home.round(DAY_ROUND).state is RoundState.PLANNED
    assert ("patrol_tag", "04AA") not in home.kept
    assert not [name for name in home.faults() if "function_failed" in name]


def test_a_technician_is_no_supervisor():
    technician, manager = (Person("x", "x", role) for role in (Role.TECHNICIAN, Role.MANAGER))
    assert not technician.rights & {Right.SIGN, Right.CANCEL, Right.FIGURES}
    assert Right.TAGS not in manager.rights


def test_a_late_answer_counts_by_the_tap():
    home = by_day()
    home.until(at(1, "09:59") + 50 * SECOND)
    home.visit("EPS", stay=MIN)
    assert flags(home) == []
