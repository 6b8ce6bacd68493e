"""Reload by difference, in the decider: what did not change goes on as if nothing had happened."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.core.health import with_own_device
from gateway.core.messages import points_body, read_body, sender_of, unpack
from gateway.core.reload import Difference, difference, kept, shared
from gateway.core.state import house_of, state_of
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.errors import DeviceRefused, DeviceSilent
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Lane
from gateway.domain.rules import Above, Severity, Silent, Sound
from gateway.domain.signals import Pattern
from gateway.domain.site import Bus, Delivery, Device, PanelPins, Site, StoreSpec, TcpLink, Uplink
from tests.core.test_step import Play, now, point, rule

LEAK, LOAD, GAS = "board.leak/high", "board.load/high", "box.gas/high"
CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
RULES = (rule(), rule(at="board.load"), rule(at="box.gas", for_ms=0, min_samples=1, latch=True))


def device(name, bus, unit, *points):
    made = tuple(point(each, name) for each in points)
    return Device(name, "x", bus, unit, f"place of {name}", "电工班", made)


BOARD, BOX = device("board", "line", 3, "leak", "load"), device("box", "hall", 1, "gas")


def site(**changes):
    made = Site(
        "elm", "elm", "elder-care", "UTC",
        (Bus("line", TcpLink("a.example")), Bus("hall", TcpLink("b.example"))),
        (BOARD, BOX), RULES, PanelPins(red=17), None, StoreSpec(Path("x")), sha="one",
    )  # fmt: skip
    return replace(made, **changes)


def house(made):
    watched = with_own_device(made)
    return house_of(watched, sender_of(watched, "epoch0000001"), "0.1.0")


def begun(made=None):
    play = Play(house(made or site()))
    play.feed(0, events.Restarted())
    return play


def read(play, ms, name, value, quality=Quality.GOOD, reason=""):
    of = name.partition(".")[0]
    bus = {"board": "line", "box": "hall"}.get(of, "line")
    return play.feed(ms, events.BlockRead(bus, of, (Reading(name, value, quality, ms, reason),)))


def reload(play, ms, made):
    outcome = play.feed(ms, events.SiteChanged(house(made), reply_to=1))
    assert [(reply.to, reply.ok, reply.code) for reply in outcome.replies] == [(1, True, "done")]
    return outcome


def facts(outcome, kind):
    return [json.loads(r.body)["data"] for r in outcome.records if r.kind == kind]


def without_gas(made):
    rules = tuple(each for each in made.rules if each.id != GAS)
    return replace(made, devices=(BOARD,), buses=made.buses[:1], rules=rules, sha="two")


# -- the difference ------------------------------------------------------------------------------


def test_two_equal_files_differ_in_nothing():
    assert difference(site(), site(sha="two", silence_ms=1)) == Difference()


def test_what_is_equal_is_the_same_object_and_the_site_is_the_new_one():
    old, read_again = site(), pickle.loads(pickle.dumps(site()))
    new = replace(
        read_again, sha="two", devices=(replace(read_again.devices[0], place="2F"), BOX),
        rules=read_again.rules[1:],
    )  # fmt: skip
    made = shared(old, new)
    assert made == new
    assert made.devices[0].place == "2F"
    assert made.devices[1] is BOX
    assert all(one is other for one, other in zip(made.buses, old.buses, strict=True))
    assert all(one is other for one, other in zip(made.rules, old.rules[1:], strict=True))


def test_the_new_house_is_the_old_one_but_for_what_changed():
    old = house(site())
    text = pickle.dumps(site(devices=(replace(BOARD, place="2F"), BOX), rules=RULES[1:]))
    new = house(pickle.loads(text))
    made = kept(old, new)
    assert made == new
    assert made.devices["board"].place == "2F"
    assert (LEAK in made.rules, LOAD in made.rules) == (False, True)
    for name in ("devices", "points", "rules", "rules_of", "hearing", "fastest_ms"):
        before, after = getattr(old, name), getattr(made, name)
        same = [key for key in after if before.get(key) == after[key]]
        assert same
        assert all(before[key] is after[key] for key in same)
        names = {key: key for key in before}
        assert all(names[key] is key for key in after if key in names)
    assert made.points is old.points
    assert made.sender.point_index is old.sender.point_index
    assert made.site.devices[2] is old.site.devices[2]  # the gateway's own points


def test_the_new_house_has_the_order_of_the_new_file():
    old, new = house(site()), house(site(devices=(BOX, BOARD)))
    made = kept(old, new)
    assert list(made.devices) == list(new.devices) != list(old.devices)
    assert list(made.points) == list(new.points)
    assert made.site.devices == new.site.devices
    assert dict(made.sender.point_index) == dict(new.sender.point_index)


def test_only_the_bus_rests_on_which_something_else_is_asked():
    slower = replace(BOX, points=(replace(BOX.points[0], period_ms=5_000),))
    change = difference(site(), site(devices=(BOARD, slower)))
    assert change == Difference(replanned=frozenset({"hall"}))


def test_what_only_people_read_makes_no_bus_rest():
    renamed = replace(BOX, place="2F", owner="x", points=(replace(BOX.points[0], label="燃气"),))
    assert not difference(site(), site(devices=(BOARD, renamed))).resting


def test_another_line_is_another_bus():
    line, hall = site().buses
    change = difference(site(), site(buses=(line, replace(hall, link=TcpLink("c.example")))))
    assert (change.gone, change.new, change.replanned) == ({"hall"}, {"hall"}, frozenset())


def test_buses_come_and_go():
    assert difference(site(), without_gas(site())).gone == {"hall"}
    assert difference(without_gas(site()), site()).new == {"hall"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"id": "oak"}, "site.id"),
        ({"store": StoreSpec(Path("y"))}, "store.directory"),
        ({"uplink": Uplink("wh-1", ())}, "uplink.gateway"),
        ({"panel": PanelPins(red=18)}, "panel"),
        ({"patterns": {Pattern.A1: (100, 100)}}, "panel"),
    ],
)
def test_who_the_gateway_is_and_its_pins_need_a_restart(changes, named):
    assert difference(site(), site(**changes)).restart_for == (named,)


def test_another_way_up_is_no_reason_to_restart():
    up = Uplink("wh-1", ())
    change = difference(site(uplink=up), site(uplink=replace(up, delivery=Delivery.BROKER)))
    assert change == Difference(has_uplink_changed=True)


# -- in the decider ------------------------------------------------------------------------------


def sounding():
    """The leak alarm sounds, unacknowledged; gas was read and is normal."""
    play = begun()
    read(play, 1_000, "box.gas", 5)
    for ms in (3_000, 4_000, 6_000):
        outcome = read(play, ms, "board.leak", 310)
    assert outcome.signal.pattern is Pattern.A1
    return play


@pytest.mark.parametrize(
    "after",
    [site(sha="two"), without_gas(site()), site(silence_ms=60_000)],
    ids=["nothing", "another device gone", "another silence"],
)
def test_an_unsilenced_alarm_goes_on_sounding(after):
    play = sounding()
    before = play.state.alarms[LEAK]
    outcome = reload(play, 7_000, after)
    assert outcome.signal.pattern is Pattern.A1
    assert play.state.alarms[LEAK] == before
    assert ("board.leak/high", "raise") not in play.transitions()[1:]


def test_a_delay_that_runs_goes_on():
    play = begun()
    read(play, 3_000, "board.leak", 310)
    read(play, 4_000, "board.leak", 310)
    reload(play, 5_000, without_gas(site()))
    assert play.feed(6_000, events.Ticked()).signal.pattern is Pattern.A1


def test_numbers_go_on():
    play = sounding()
    before = dict(play.state.seq)
    reload(play, 7_000, without_gas(site()))
    read(play, 8_000, "board.load", 310)
    read(play, 11_000, "board.load", 310)
    seqs = {lane: [] for lane in Lane}
    for outcome in play.outcomes:
        for record in outcome.records:
            seqs[record.lane].append(record.seq)
    assert play.state.seq[Lane.A] == before[Lane.A] + 1
    assert play.state.seq[Lane.B] > before[Lane.B]
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())


def test_values_of_what_did_not_change_are_still_known():
    play = sounding()
    before = play.state.devices["board"]
    reload(play, 7_000, without_gas(site()))
    assert play.state.devices["board"] is before
    assert set(play.state.devices) <= {"board", "gateway"}


def test_the_change_is_on_record_with_both_files():
    outcome = reload(sounding(), 7_000, site(sha="two"))
    assert facts(outcome, "site_changed") == [{"cfg": "two", "was": "one"}]
    schema = Draft202012Validator(json.loads((CONTRACT / "schemas/fact.json").read_text()))
    body = next(json.loads(r.body) for r in outcome.records if r.kind == "site_changed")
    schema.validate(body)
    for key in body["data"]:
        assert not schema.is_valid({**body, "data": {**body["data"], key: None}})
    example = json.loads((CONTRACT / "examples/fact-site-changed.json").read_text())
    assert example["data"].keys() == body["data"].keys()


def test_an_alarm_whose_rule_is_gone_is_let_go_on_the_record():
    play = sounding()
    rules = tuple(each for each in RULES if each.id != LEAK)
    outcome = reload(play, 7_000, site(rules=rules))
    assert [fact["rule"] for fact in facts(outcome, "alarm_dropped")] == [LEAK]
    assert LEAK not in play.state.alarms
    assert [(a.rule, a.state) for a in outcome.alarms] == [(LEAK, AlarmState.N)]  # also on disk
    assert outcome.signal.pattern is not Pattern.A1


def test_an_open_alarm_under_another_limit_stays_open_and_is_judged_anew():
    play = sounding()
    changed = (rule(condition=Above(400, 350)), *RULES[1:])
    outcome = reload(play, 7_000, site(rules=changed))
    assert outcome.signal.pattern is Pattern.A1
    assert not play.state.alarms[LEAK].is_normal
    read(play, 8_000, "board.leak", 310)
    read(play, 13_000, "board.leak", 310)
    assert play.transitions(LEAK)[-1] == (LEAK, "clear")


@pytest.mark.parametrize("is_restart", [False, True])
@pytest.mark.parametrize("less", [Severity.WARNING, Severity.FAULT])
@pytest.mark.parametrize("quiet", ["silenced", "shelved", "acknowledged"])
def test_what_was_silenced_shelved_or_seen_as_less_sounds_when_it_is_made_an_alarm(
    is_restart, less, quiet
):
    def with_leak(severity):
        return site(rules=(rule(severity=severity, sound=Sound.W), *RULES[1:]))

    play = begun(with_leak(less))
    for ms in range(1_000, 6_000, 1_000):
        read(play, ms, "board.leak", 310)
    if quiet == "silenced":
        play.feed(6_000, events.Silence("panel"))
    elif quiet == "acknowledged":
        play.feed(6_000, events.Acknowledge("s01"))
    else:
        play.feed(6_000, events.Shelve("s01", LEAK, 3_600_000, "检修"))
    kept = [each for outcome in play.outcomes for each in outcome.kept]
    assert play.state.signal.pattern is Pattern.QUIET
    if is_restart:
        made = house(with_leak(Severity.ALARM))
        play.state = state_of(made, play.state.alarms.values(), now(7_000), kept=kept)
        play.feed(7_000, events.Restarted())
    else:
        reload(play, 7_000, with_leak(Severity.ALARM))
    assert play.state.signal.pattern is Pattern.A1
    assert play.state.alarms[LEAK].state is AlarmState.UA
    assert ((LEAK, "realarm") in play.transitions(LEAK)) is (quiet == "acknowledged")


def test_what_was_seen_as_an_alarm_stays_seen_over_a_change_of_its_limit():
    play = sounding()
    play.feed(6_500, events.Acknowledge("s01"))
    reload(play, 7_000, site(rules=(rule(condition=Above(290, 250)), *RULES[1:])))
    assert play.state.alarms[LEAK].state is AlarmState.AA


def test_a_delay_under_another_limit_does_not_go_on():
    play = begun()
    read(play, 3_000, "board.leak", 310)
    reload(play, 4_000, site(rules=(rule(condition=Above(400, 350)), *RULES[1:])))
    assert LEAK not in play.state.alarms
    assert read(play, 7_000, "board.leak", 310).signal.pattern is not Pattern.A1


def test_a_point_that_is_read_otherwise_is_unknown_until_it_is_read():
    play = sounding()
    moved = replace(BOARD, points=(replace(BOARD.points[0], at=9), BOARD.points[1]))
    read(play, 6_500, "board.load", 7)
    outcome = reload(play, 7_000, site(devices=(moved, BOX)))
    assert set(play.state.devices["board"].points) == {"board.load"}
    assert outcome.signal.pattern is Pattern.A1  # nobody has looked at it yet
    assert play.state.alarms[LEAK].state is AlarmState.UA


def test_a_device_at_another_address_is_another_device():
    play = sounding()
    outcome = reload(play, 7_000, site(devices=(replace(BOARD, unit=9), BOX)))
    assert "board" not in play.state.devices
    assert outcome.signal.pattern is Pattern.A1


def test_faults_of_what_is_gone_end():
    play = begun()
    play.feed(1_000, events.BlockRead("hall", "box", (), DeviceSilent(1)))
    for code, subject in (("bus_down", "hall"), ("device_silent", "box"), ("rule_failed", GAS)):
        play.feed(2_000, events.FaultRaised(code, subject, "why"))
    play.feed(2_000, events.FaultRaised("device_silent", "board", "why"))
    play.feed(2_500, events.Acknowledge("s01"))
    reload(play, 3_000, without_gas(site()))
    assert [name for name in play.state.alarms if "hall" in name or "box" in name] == []
    assert play.state.alarms["gateway/device_silent/board"].state is AlarmState.AA


@pytest.mark.parametrize("is_restart", [False, True])
def test_faults_of_a_bus_on_which_nothing_is_left_to_read_end(is_restart):
    play = begun()
    faults = {f"gateway/{code}/hall" for code in ("bus_down", "bus_silent", "detection_late")}
    for name in faults:
        play.feed(2_000, events.FaultRaised(name.split("/")[1], "hall", "why"))
    play.feed(2_000, events.FaultRaised("bus_down", "line", "why"))
    bare = replace(without_gas(site()), buses=site().buses)
    if is_restart:
        play = Play(house(bare), play.state.alarms.values(), at=4_000)
        play.feed(4_000, events.Restarted())
    else:
        reload(play, 4_000, bare)
    assert open_faults(play) == {"gateway/bus_down/line"}


def test_a_fault_about_points_that_are_gone_ends():
    play = begun()
    for ms in range(1_000, 6_000, 1_000):
        failure = DeviceRefused(3, 2)
        reading = Reading("board.load", None, Quality.FAULT, ms, "exception_2")
        play.feed(ms, events.BlockRead("line", "board", (reading,), failure))
    play.feed(6_000, events.Acknowledge("s01"))
    fault = "gateway/device_refuses/board"
    assert fault in play.state.alarms
    reload(play, 7_000, site(devices=(replace(BOARD, points=BOARD.points[:1]), BOX)))
    assert fault not in play.state.alarms


@pytest.mark.parametrize("is_restart", [False, True])
def test_another_device_was_not_in_its_place_when_another_profile_asks_nobody(is_restart):
    name = replace(point("model"), unit="", identity=frozenset({"SDM120"}))
    asked = site(devices=(replace(BOARD, points=(*BOARD.points, name)), BOX))
    play = begun(asked)
    read(play, 1_000, "board.model", "SDM630")
    read(play, 2_000, "board.model", "SDM120")
    assert "gateway/wrong_device/board" not in open_faults(play)
    read(play, 3_000, "board.model", "SDM630")
    assert "gateway/wrong_device/board" in open_faults(play)
    mended = site(devices=(replace(BOARD, profile="y"), BOX))
    if is_restart:
        play = Play(house(mended), play.state.alarms.values(), at=4_000)
        play.feed(4_000, events.Restarted())
    else:
        reload(play, 4_000, mended)
    assert "gateway/wrong_device/board" not in open_faults(play)


def open_faults(play):
    return {name for name, alarm in play.state.alarms.items() if alarm.state.is_active}


def test_a_device_that_joins_is_not_silent_for_longer_than_it_is_there():
    silent = rule("silent", "box.gas", condition=Silent(60_000), for_ms=0, min_samples=1)
    play = begun(without_gas(site()))
    reload(play, 600_000, site(rules=(*RULES, silent)))
    play.feed(659_000, events.Ticked())
    assert silent.id not in play.state.alarms
    play.feed(660_000, events.Ticked())
    assert play.state.alarms[silent.id].state is AlarmState.UA


def test_a_test_of_a_point_that_is_gone_ends():
    play = begun()
    play.feed(1_000, events.PointTestStarted("s01", "box.gas"))
    outcome = reload(play, 2_000, without_gas(site()))
    assert play.state.tests == {}
    assert [fact["point"] for fact in facts(outcome, "test_end")] == ["box.gas"]


def test_readings_keep_the_dictionary_under_which_they_were_read():
    play = begun()
    old = play.state.house.sender
    read(play, 1_000, "box.gas", 5)
    outcome = reload(play, 1_100, without_gas(site()))
    new = play.state.house.sender
    assert outcome.batch is not None
    assert outcome.batch.dictionary == old.points_hash != new.points_hash
    body = json.loads(unpack(read_body(old, outcome.batch), 2**20))
    (row,) = body["r"]
    points = json.loads(unpack(points_body(old, with_own_device(site())), 2**20))["points"]
    assert (body["pts"], points[row[0]]["id"], row[2]) == (old.points_hash, "box.gas", 5)
    read(play, 2_000, "board.leak", 5)
    later = play.feed(60_000, events.Ticked()).batch
    assert later.dictionary == new.points_hash
    assert later.seq == outcome.batch.seq + 1


def test_a_house_that_cannot_be_taken_changes_nothing():
    play = sounding()
    before = play.state
    outcome = play.feed(7_000, events.SiteChanged("no house", reply_to=1))
    assert [(reply.ok, reply.code) for reply in outcome.replies] == [(False, "reload_failed")]
    assert play.state.house is before.house
    assert play.state.devices is before.devices
    assert outcome.signal.pattern is Pattern.A1
    assert "gateway/function_failed/reload" in play.state.alarms
    reload(play, 8_000, site(sha="two"))
    assert "gateway/function_failed/reload" not in play.state.alarms or (
        play.state.alarms["gateway/function_failed/reload"].state is AlarmState.RU
    )
