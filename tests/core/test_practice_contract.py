"""What drills, tests, post checks, the ladder and the self-test send fits what is published."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.core.messages import Command, now_body, parse_down, unpack
from gateway.core.state import open_alarms
from gateway.domain import events
from tests.core.night_house import DAY, HOUR, LEAK, MIN, Night, house

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
KINDS = {
    "escalation", "hazard", "drill_start", "drill_end", "test_start", "test_end", "post_check",
    "self_test",
}  # fmt: skip


def schema(name):
    return Draft202012Validator(json.loads((CONTRACT / "schemas" / f"{name}.json").read_text()))


def example(path):
    return json.loads(path.read_text())


def a_full_night():
    night = Night(replace(house(), has_uplink=True))
    night.feed(1_000, events.DrillStarted("s01", "1F 起火", rules=(LEAK,)))
    night.feed(9_000, events.Acknowledge("s02"))
    night.feed(20_000, events.Arrive("s02", alarm=f"drill/{LEAK}"))
    night.run(20_000, 10 * MIN)
    night.feed(10 * MIN, events.PointTestStarted("t01", "board.load"))
    night.read(10 * MIN + 1, 310, of="load")
    night.feed(11 * MIN, events.PointTestEnded("t01", "board.load"))
    night.feed(12 * MIN, events.PostCheckAsked("c1", "platform", MIN))
    night.feed(12 * MIN + 1, events.SelfTestAsked("timer"))
    night.run(12 * MIN + 1, 30 * MIN)
    night.feed(30 * MIN, events.PostCheckAnswered("s02"))
    night.feed(31 * MIN, events.PostCheckAsked("c2", "platform", MIN, asked_ms=0))
    night.run(31 * MIN, 2 * HOUR)
    night.read(2 * HOUR, 210)
    night.run(2 * HOUR, 2 * DAY)
    return night


def test_every_record_fits_the_published_schema():
    night = a_full_night()
    fact, alarm = schema("fact"), schema("alarm")
    assert {body["kind"] for body in night.records if body["t"] == "fact"} >= KINDS
    for body in night.records:
        (fact if body["t"] == "fact" else alarm).validate(body)


def test_everything_of_a_drill_or_test_is_marked_and_nothing_else_is():
    night = a_full_night()
    of_drill = [body for body in night.records if body.get("drill")]
    of_test = [body for body in night.records if body.get("test")]
    assert {body.get("kind") for body in of_drill} >= {"drill_start", "arrival", "drill_end", None}
    assert {body.get("kind") for body in of_test} >= {"test_start", "test_end", None}
    practised = {body["alarm"] for body in (*of_drill, *of_test) if body["t"] == "alarm"}
    for body in night.records:
        about = {body["data"].get(name) for name in ("alarm", "case")} if "data" in body else set()
        if about & practised and body["kind"] != "self_test":
            assert body.get("drill") or body.get("test"), body


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_schema_refuses_a_fact_that_lacks_anything_or_has_it_wrong(kind):
    fact = schema("fact")
    body = example(CONTRACT / "examples" / f"fact-{kind.replace('_', '-')}.json")
    fact.validate(body)
    for key in body["data"]:
        short = {name: value for name, value in body["data"].items() if name != key}
        assert not fact.is_valid({**body, "data": short}), key
        assert not fact.is_valid({**body, "data": {**body["data"], key: [None]}}), key


def test_a_snapshot_tells_a_drill_from_the_real_thing():
    night = Night()
    night.feed(1_000, events.DrillStarted("s01", "1F 起火", rules=(LEAK,)))
    body = now_body(
        night.house.sender, at=night.now(2_000), readings=(), alarms=open_alarms(night.state)
    )
    said = json.loads(unpack(body, 2**20))
    schema("now").validate(said)
    (alarm,) = said["alarms"]
    assert (alarm["rule"], alarm["drill"], alarm["test"]) == (LEAK, True, False)


@pytest.mark.parametrize("minutes", [0, 256, "5", 2.5])
def test_a_post_check_needs_whole_minutes_of_one_byte(minutes):
    body = example(CONTRACT / "examples" / "cmd-post-check.json")
    schema("cmd").validate(body)
    assert parse_down("cmd", json.dumps(body).encode()) == Command(
        body["id"], "post_check", body["args"]
    )
    assert not schema("cmd").is_valid({**body, "args": {"minutes": minutes}})
