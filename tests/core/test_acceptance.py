"""Acceptance: what counts as tried, what is kept, and what a change takes away."""

import json
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.core import acceptance
from gateway.core.acceptance import is_near, not_accepted
from gateway.core.acceptance_items import digest_of, subjects_of
from gateway.domain import events
from gateway.domain.acceptance import Part, Subject
from gateway.domain.errors import DeviceSilent
from gateway.domain.moments import Clk
from gateway.domain.patrol import Checkpoint, Item, Patrol, Tag
from gateway.domain.people import Person, Role
from gateway.domain.readings import Quality
from gateway.domain.rules import Above, AllOf, Member
from gateway.domain.signals import Lamp, Pattern
from gateway.domain.site import Broker, PanelPins, Uplink
from gateway.domain.text import Text
from tests.core.night_house import DAY, LEAK, LOAD, MIN, RULES, WARN, Night, house

LEAKAGE = "board.leak"
PINS = PanelPins(red=1, amber=2, buzzer=3, silence=4, relay=5)
BOTH = replace(
    RULES[0], id=f"{LEAKAGE}/both", name="both",
    condition=AllOf((Member("board.leak", Above(100, 50)), Member("board.load", Above(100, 50)))),
)  # fmt: skip


def give(night, ms, part, subject, result="passed", **words):
    """(code of the reply) of saying what became of a trial."""
    by = words.pop("by", "t01")
    event = events.AcceptanceGiven(by, part, subject, result, reply_to=1, **words)
    (reply,) = night.feed(ms, event).replies
    assert reply.ok or reply.say is not None, reply.code
    return reply.code


def accepted(night):
    return set(night.state.accepting.accepted)


def left(night):
    return [
        each.key for each in not_accepted(subjects_of(night.house), night.state.accepting.accepted)
    ]


# -- evidence -----------------------------------------------------------------------------------


def test_everything_of_a_house_is_to_be_tried_in_the_order_of_the_walk():
    keys = [each.key for each in subjects_of(house(panel=PINS))]
    assert keys == [
        "bus/line", "device/board", "point/board.leak", "point/board.load", f"trip/{LEAK}",
        f"trip/{LOAD}", "panel/red", "panel/amber", "panel/buzzer", "panel/relay",
        "panel/silence", "panel/A1", "panel/E", "panel/W", "panel/F", "clock/clock", "sign/sheet",
    ]  # fmt: skip


def test_a_value_is_accepted_when_it_is_good_and_what_the_display_shows():
    night = Night()
    assert give(night, 1_000, "point", LEAKAGE, shown="27") == "not_good"
    night.read(2_000, 27, quality=Quality.SUSPECT)
    assert give(night, 2_500, "point", LEAKAGE, shown="27") == "not_good"
    night.read(3_000, 27)
    assert give(night, 4_000, "point", LEAKAGE, shown="270") == "differs"
    assert accepted(night) == set()
    assert give(night, 5_000, "point", LEAKAGE, shown="27.4") == "done"
    (said,) = night.data("acceptance")
    assert (said["part"], said["subject"], said["result"], said["by"]) == (
        "point", LEAKAGE, "passed", "t01",
    )  # fmt: skip
    assert (said["shown"], said["value"], said["unit"]) == ("27.4", 27, "mA")
    assert "point/board.leak" not in left(night)
    assert "point/board.load" in left(night)


def test_a_value_that_is_too_old_is_none():
    night = Night()
    night.read(1_000, 27)
    assert give(night, 1_000 + 2 * MIN, "point", LEAKAGE) == "not_good"


@pytest.mark.parametrize(
    ("shown", "value", "is_same"),
    [
        ("230.2", 230.15, True),
        ("230,2", 230.15, True),
        ("27", 27.9, True),
        ("27.0", 27.9, False),
        ("1000", 1019, True),
        ("1000", 1021, False),
        ("0", 0.4, True),
        ("-40", -40, True),
        ("nan", 27, False),
        ("1e400", 27, False),
        ("V1.3", "V1.3", True),
        ("V1.3", 13, False),
        ("27", None, False),
    ],
)
def test_a_display_may_round_and_the_value_may_have_moved_by_the_tolerance(shown, value, is_same):
    assert is_near(shown, value, 0.02) is is_same


def test_no_tolerance_makes_a_wrong_scale_right():
    assert not is_near("27", 270, 1e9)


def test_a_device_is_accepted_while_it_answers():
    night = Night()
    assert give(night, 1_000, "device", "board") == "device_not_answering"
    night.read(2_000, 27)
    assert give(night, 3_000, "device", "board") == "done"
    for ms in (4_000, 5_000, 6_000, 7_000, 20_000, 40_000, 80_000):
        night.feed(ms, events.BlockRead("line", "board", (), DeviceSilent(3)))
    assert give(night, 81_000, "device", "board") == "device_not_answering"


def test_a_trip_counts_only_while_its_point_is_under_test_and_only_when_it_was_raised():
    night = Night()
    night.read(1_000, 27)
    night.feed(2_000, events.PointTestStarted("t01", LEAKAGE))
    assert give(night, 2_500, "trip", LEAK) == "not_tripped"
    night.read(3_000, 310)
    assert give(night, 4_000, "trip", LEAK) == "done"
    (said,) = night.data("acceptance")
    assert (said["value"], said["unit"]) == (310, "mA")
    assert night.moves(test=False) == []
    night.feed(5_000, events.PointTestEnded("t01", LEAKAGE))
    assert give(night, 6_000, "trip", LEAK) == "not_tripped"


def test_what_nobody_can_trip_is_judged_with_a_simulated_value_and_says_so():
    night = Night()
    night.read(1_000, 27)
    for rule, code in ((LEAK, "done"), (WARN, "done"), (LOAD, "cannot_simulate")):
        event = events.PointTestStarted("t01", LEAKAGE, 1, rule)
        assert night.feed(2_000, event).replies[0].code == code
    night.feed(2_000, events.PointTestStarted("t01", LEAKAGE, 1, LEAK))
    night.restart(2_500)
    night.read(3_000, 27)
    assert (LEAK, "raise") in night.moves(test=True)
    assert give(night, 4_000, "trip", LEAK) == "done"
    (said,) = night.data("acceptance")
    assert (said["shown"], said["value"]) == ("simulated", 315)
    assert night.data("test_start")[-1]["simulated"] == 315
    night.feed(5_000, events.PointTestEnded("t01", LEAKAGE))
    night.read(6_000, 27)
    assert night.state.alarms == {}
    assert night.moves(test=False) == []
    for body in night.facts("test_start"):
        FACT.validate(body)


def test_real_danger_is_judged_while_another_value_of_the_point_is_simulated():
    night = Night()
    night.read(1_000, 27)
    night.feed(2_000, events.PointTestStarted("t01", LEAKAGE, 1, LEAK))
    for ms in range(3_000, 8_000, 1_000):
        night.read(ms, 900)
    assert (LEAK, "raise") in night.moves(test=True)
    assert (LEAK, "raise") in night.moves(test=False)
    assert night.state.alarms[LEAK].value == 900


def test_a_device_that_does_not_answer_passes_no_simulated_trip():
    night = Night()
    night.read(1_000, 27)
    night.feed(2_000, events.PointTestStarted("t01", LEAKAGE, 1, LEAK))
    for ms in range(3_000, 8_000, 1_000):
        night.read(ms, None, quality=Quality.OFFLINE, reason="silent")
    assert night.moves(test=True) == []
    assert give(night, 9_000, "trip", LEAK) == "not_tripped"


def test_a_second_test_begins_without_what_the_first_has_heard():
    members = (
        Member("board.leak", Above(100, 50), for_ms=MIN),
        Member("board.load", Above(100, 50)),
    )
    night = Night(house(rules=(replace(BOTH, condition=AllOf(members)),)))
    night.feed(2_000, events.PointTestStarted("t01", LEAKAGE))
    for ms in range(3_000, 9_000, 1_000):
        night.read(ms, 150)
    night.feed(9_000, events.PointTestEnded("t01", LEAKAGE))
    night.feed(100_000, events.PointTestStarted("t01", LEAKAGE))
    for ms in range(101_000, 166_000, 1_000):
        night.read(ms, 150)
        night.read(ms, 150, of="load")
        assert bool(night.moves(test=True)) is (ms >= 101_000 + MIN)


def test_a_real_alarm_is_no_trip():
    night = Night()
    night.read(1_000, 310)
    assert give(night, 2_000, "trip", LEAK) == "not_tripped"


def test_a_rule_over_two_points_is_tripped_with_one_of_them_or_both_under_test():
    night = Night(house(rules=(*RULES, BOTH)))
    night.read(1_000, 27)
    night.read(1_001, 150, of="load")
    night.feed(2_000, events.PointTestStarted("t01", LEAKAGE))
    night.read(3_000, 150)
    assert night.moves(test=True) == [(BOTH.id, "raise")]
    assert give(night, 3_500, "trip", BOTH.id) == "done"
    night.read(4_000, 20)
    assert (BOTH.id, "clear") in night.moves(test=True)
    night.feed(5_000, events.PointTestStarted("t01", "board.load"))
    night.read(6_000, 150)
    night.read(6_001, 20, of="load")
    assert night.moves(test=True).count((BOTH.id, "raise")) == 1
    night.read(7_000, 150, of="load")
    assert night.moves(test=True).count((BOTH.id, "raise")) == 2
    night.feed(8_000, events.PointTestEnded("t01", LEAKAGE))
    assert not any(BOTH.id in rule for rule in night.state.alarms)
    assert night.moves(test=False) == []


def test_an_output_counts_after_it_was_shown_and_the_button_when_it_was_pressed():
    night = Night(house(panel=PINS))
    night.run(0, 5_000)
    assert give(night, 5_000, "panel", "amber") == "not_shown"
    outcome = night.feed(6_000, events.LampTest("t01", output="amber"))
    signal = outcome.signal
    assert (signal.amber, signal.red, signal.pattern) == (Lamp.ON, Lamp.OFF, Pattern.QUIET)
    assert give(night, 7_000, "panel", "red") == "not_shown"
    assert give(night, 7_000, "panel", "amber") == "done"
    assert night.run(7_000, 12_000).signal.amber is Lamp.OFF
    outcome = night.feed(13_000, events.LampTest("t01", output="silence"))
    assert outcome.signal.pattern is Pattern.E
    assert give(night, 14_000, "panel", "silence") == "not_pressed"
    assert night.feed(15_000, events.Silence("panel")).signal.pattern is Pattern.QUIET
    assert give(night, 16_000, "panel", "silence") == "done"
    assert [each.get("output") for each in night.data("panel_test")] == ["amber", "silence"]


def test_a_pattern_is_shown_with_its_lamp_and_an_alarm_breaks_it_off():
    night = Night(house(panel=PINS))
    night.run(0, 5_000)
    signal = night.feed(6_000, events.LampTest("t01", output="W")).signal
    assert (signal.pattern, signal.amber) == (Pattern.W, Lamp.BLINK_1)
    signal = night.read(7_000, 310).signal
    assert (signal.pattern, signal.red) == (Pattern.A1, Lamp.BLINK_2)
    (reply,) = night.feed(8_000, events.LampTest("t01", 1, "red")).replies
    assert reply.code == "alarm_sounding"


def test_the_relay_falls_while_it_is_tried():
    night = Night(house(panel=PINS))
    night.read(1_000, 27)
    assert night.run(1_000, 5_000).signal.is_healthy
    assert not night.feed(6_000, events.LampTest("t01", output="relay")).signal.is_healthy
    assert night.run(6_000, 12_000).signal.is_healthy


def test_what_is_not_wired_cannot_be_tried():
    night = Night(house(panel=PINS))
    for output in ("green", "A2", "x"):
        (reply,) = night.feed(1_000, events.LampTest("t01", 1, output)).replies
        assert (reply.ok, reply.code) == (False, "unknown_output")


def test_the_way_to_the_platform_needs_a_self_test_that_came_back():
    night = Night(house(uplink=Uplink("g1", (Broker("127.0.0.1", 1883),))))
    assert give(night, 1_000, "uplink", "uplink") == "not_tested"
    night.feed(2_000, events.SelfTestAsked("t01"))
    key = night.state.self_test.key
    for stage in ("panel", "store"):
        night.feed(2_100, events.StageReached(stage, key))
    assert give(night, 2_200, "uplink", "uplink") == "not_tested"
    night.feed(2_300, events.StageReached("uplink", key))
    assert give(night, 2_400, "uplink", "uplink") == "done"
    assert give(night, 2_400 + 11 * MIN, "uplink", "uplink") == "not_tested"
    night.feed(20 * MIN, events.SelfTestAsked("t01"))
    night.run(20 * MIN, 23 * MIN)
    assert give(night, 23 * MIN, "uplink", "uplink") == "not_received"


def test_a_clock_that_nobody_set_and_one_that_is_off_are_not_accepted():
    assert give(Night(clk=Clk.EST), 1_000, "clock", "clock") == "clock_unsure"
    night = Night()
    for off, code in (
        ("3", "clock_off"),
        ("x", "bad_answer"),
        ("nan", "clock_off"),
        ("-1", "done"),
    ):
        assert give(night, 2_000, "clock", "clock", shown=off) == code


def test_a_tag_counts_when_its_page_was_opened_or_it_was_tapped_a_moment_ago():
    spot = Checkpoint("1F-EPS", "配电间", "1F", (Item("clear", Text("畅通", "Clear")),), tags=(
        Tag("04A1", "1F-EPS"),
    ))  # fmt: skip
    night = Night(house(patrol=Patrol(checkpoints={spot.code: spot})))
    assert f"tag/{spot.code}" in left(night)
    for event in (events.TagSeen(spot.code), events.TapSeen("desk", "04A1")):
        night.restart(night.outcomes[-1][0] + 1_000)
        ms = night.outcomes[-1][0]
        night.feed(ms, events.TagSeen("2F-STAIR"))
        night.feed(ms, events.TapSeen("desk", "04FF"))
        assert give(night, ms, "tag", spot.code) == "not_seen"
        night.feed(ms + 1, event)
        assert give(night, ms + 11 * MIN, "tag", spot.code) == "not_seen"
        night.feed(ms + 11 * MIN, event)
        assert give(night, ms + 12 * MIN, "tag", spot.code) == "done"


# -- people -------------------------------------------------------------------------------------


def test_where_people_are_known_it_is_one_of_them_who_may():
    people = {
        "t01": Person("t01", "A", Role.TECHNICIAN),
        "s01": Person("s01", "B", Role.DUTY),
        "m01": Person("m01", "C", Role.MANAGER),
        "t09": Person("t09", "D", Role.TECHNICIAN, until="2001-01-01"),
    }
    night = Night(replace(house(people=people), zone=UTC))
    said = {"x": "unknown_person", "s01": "no_right", "t09": "person_expired", "t01": "done"}
    for by, code in said.items():
        assert give(night, 1_000, "bus", "line", by=by) == code
    assert give(night, 2_000, "sign", "sheet", partner="t01") == "same_person"
    assert give(night, 2_000, "sign", "sheet") == "needs_partner"
    assert give(night, 2_000, "sign", "sheet", partner="x") == "unknown_person"
    assert give(night, 2_000, "sign", "sheet", partner="t09") == "person_expired"
    assert give(night, 2_000, "sign", "sheet", partner="m01") == "done"


def test_a_failure_or_a_skip_needs_its_reason():
    night = Night()
    for result in ("failed", "skipped"):
        assert give(night, 1_000, "bus", "line", result) == "needs_reason"
        assert give(night, 1_000, "bus", "line", result, note="cellar is flooded") == "done"
    assert "bus/line" in left(night)
    assert give(night, 1_000, "bus", "attic") == "unknown_subject"
    assert give(night, 1_000, "point", "gateway.cpu_temperature") == "unknown_subject"


# -- kept, and lost -----------------------------------------------------------------------------


def walked():
    night = Night(house(sha="one"))
    night.read(1_000, 27)
    night.read(1_001, 3, of="load")
    night.feed(1_002, events.PointTestStarted("t01", LEAKAGE))
    night.read(1_003, 310)
    for part, subject in (("trip", LEAK), ("bus", "line"), ("device", "board")):
        assert give(night, 2_000, part, subject) == "done"
    night.read(2_500, 20)
    night.feed(2_600, events.PointTestEnded("t01", LEAKAGE))
    night.read(2_700, 20)
    assert give(night, 3_000, "point", LEAKAGE) == "done"
    assert give(night, 3_000, "point", "board.load") == "done"
    assert give(night, 3_000, "clock", "clock") == "done"
    return night


def test_what_was_accepted_is_so_after_a_restart_and_a_reboot():
    night = walked()
    before = dict(night.state.accepting.accepted)
    assert len(before) == 6
    night.restart(10_000)
    assert night.state.accepting.accepted == before
    night.restart(500, boot="b00u", away_ms=DAY)
    assert night.state.accepting.accepted == before
    assert night.data("acceptance_lapsed") == []


def test_the_same_file_is_looked_at_once_and_another_version_looks_again(monkeypatch):
    night, looked = walked(), []

    def digest(house, subject):
        looked.append(subject.key)
        return digest_of(house, subject)

    monkeypatch.setattr(acceptance, "digest_of", digest)
    night.restart(10_000)
    assert looked == []
    night.house = replace(night.house, software="0.2.0")
    night.restart(11_000)
    assert set(looked) == accepted(night)
    looked.clear()
    night.restart(12_000)
    assert looked == []


def test_what_another_version_wrote_is_to_be_tried_again():
    night = walked()
    night.kept["acceptance", "bus/line"] = '{"part": "bus"}'
    night.kept["acceptance", "bus/x"] = "no json"
    night.restart(10_000)
    assert "bus/line" in left(night)
    assert not {("acceptance", "bus/line"), ("acceptance", "bus/x")} & set(night.kept)


def changed(**changes):
    """The house with another address, rule or line; the first device and point as given."""
    site = house().site
    device = site.devices[0]
    points = tuple(
        replace(p, **changes.get("point", {})) if p.id == LEAKAGE else p for p in device.points
    )
    device = replace(device, points=points, **changes.get("device", {}))
    rules = tuple(replace(r, **changes.get("rule", {})) if r.id == LEAK else r for r in site.rules)
    return house(devices=(device,), rules=rules, sha="other", **changes.get("site", {}))


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"point": {"at": 6}}, {f"point/{LEAKAGE}", f"trip/{LEAK}"}),
        ({"rule": {"condition": Above(500, 450)}}, {f"trip/{LEAK}"}),
        ({"rule": {"for_ms": 3_000}}, {f"trip/{LEAK}"}),
        (
            {"device": {"unit": 9}},
            {"device/board", f"point/{LEAKAGE}", "point/board.load", f"trip/{LEAK}"},
        ),
        ({"device": {"place": "2F", "name": "N", "owner": "B"}}, set()),
        ({"point": {"label": "L", "period_ms": 500, "deadband": 1.0}}, set()),
        ({"rule": {"owner": "B", "basis": "other"}}, set()),
    ],
)
@pytest.mark.parametrize("is_reload", [True, False])
def test_what_a_changed_file_makes_another_thing_is_not_accepted_any_more(changes, lost, is_reload):
    night = walked()
    assert give(night, 4_000, "sign", "sheet", partner="m01") == "done"
    before, night.house = accepted(night), changed(**changes)
    if is_reload:
        night.feed(5_000, events.SiteChanged(night.house))
    else:
        night.restart(5_000)
    gone = before - accepted(night)
    assert gone == (lost | {"sign/sheet"} if lost else set())
    assert {key for kind, key in night.kept if kind == "acceptance"} == accepted(night)
    told = night.data("acceptance_lapsed")
    assert [set(each["subjects"]) for each in told] == ([gone] if gone else [])
    night.restart(6_000)
    assert len(night.data("acceptance_lapsed")) == len(told), "said once"


def test_what_lapses_by_the_hundred_is_told_in_records_of_a_bearable_size():
    made = house()
    board = made.site.devices[0]
    points = tuple(replace(board.points[0], id=f"board.p{n}", name=f"p{n}") for n in range(450))
    night = Night(house(devices=(replace(board, points=points),), rules=()))
    for each in points:
        result = {"result": "skipped", "note": "x"}
        assert give(night, 1_000, "point", each.id, **result) == "done"
    night.house = house(devices=(replace(board, points=points, unit=9),), rules=())
    night.feed(2_000, events.SiteChanged(night.house))
    told = [each["subjects"] for each in night.data("acceptance_lapsed")]
    assert [len(each) for each in told] == [200, 200, 50]
    assert accepted(night) == set()


def test_a_signature_goes_with_whatever_is_tried_after_it():
    night = walked()
    assert give(night, 4_000, "sign", "sheet", partner="m01") == "done"
    assert night.data("acceptance")[-1]["value"] == 1, "signed with one thing left to try"
    assert give(night, 5_000, "bus", "line", "failed", note="a third meter") == "done"
    assert "sign/sheet" not in accepted(night)
    assert night.data("acceptance_lapsed") == [{"subjects": ["sign/sheet"]}]


def test_a_digest_is_the_same_in_every_process_and_for_fields_that_have_their_default():
    made = house()
    point = Subject(Part.POINT, LEAKAGE)
    assert digest_of(made, point) == digest_of(house(), point) == "1e1aa4292e6753d9"
    assert digest_of(made, Subject(Part.POINT, "board.x")) == ""


def test_a_warning_of_a_point_is_no_part_of_the_walk_but_is_seen_to_trip():
    assert f"trip/{WARN}" not in [each.key for each in subjects_of(house())]


# -- the contract -------------------------------------------------------------------------------

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
FACT = Draft202012Validator(json.loads((CONTRACT / "schemas" / "fact.json").read_text("utf-8")))


def test_every_record_of_a_walk_fits_the_published_schema():
    night = walked()
    assert give(night, 4_000, "bus", "line", "skipped", note="no time") == "done"
    assert give(night, 4_100, "sign", "sheet", partner="m01") == "done"
    night.house = changed(point={"at": 6})
    night.feed(5_000, events.SiteChanged(night.house))
    facts = [*night.facts("acceptance"), *night.facts("acceptance_lapsed")]
    assert len(facts) == 9
    for body in facts:
        FACT.validate(body)
        assert "test" not in body


@pytest.mark.parametrize("kind", ["acceptance", "acceptance_lapsed"])
def test_the_schema_refuses_a_fact_that_lacks_anything_or_has_it_wrong(kind):
    name = f"fact-{kind.replace('_', '-')}.json"
    body = json.loads((CONTRACT / "examples" / name).read_text("utf-8"))
    FACT.validate(body)
    for key in body["data"]:
        short = {each: value for each, value in body["data"].items() if each != key}
        assert not FACT.is_valid({**body, "data": short}), key
        assert not FACT.is_valid({**body, "data": {**body["data"], key: [None]}}), key
