"""What the patrol sends fits what is published, and the examples are such records."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.domain import events
from gateway.domain.moments import Clk
from gateway.domain.patrol import Tag
from gateway.domain.rounds import Answer, RoundState
from tests.core.patrol_house import MANUAL, MIN, Home, at, fine

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
KINDS = {
    "visit", "visit_placed", "round", "round_signed", "round_explained", "hazard", "tap",
    "patrol_tag", "patrol_phone",
}  # fmt: skip
FACT = Draft202012Validator(json.loads((CONTRACT / "schemas" / "fact.json").read_text()))


def example(kind):
    name = "fact-hazard-visit" if kind == "hazard" else f"fact-{kind.replace('_', '-')}"
    return json.loads((CONTRACT / "examples" / f"{name}.json").read_text())


def a_full_day():
    home = Home()
    home.ask(events.TagRegistered("t01", Tag("04EE", "GATE")))
    home.ask(events.PhoneEnrolled("s01", "s01", "c" * 64, 90 * 86_400_000))
    home.until(at(1, "08:20"))
    home.read("pump.pressure", 0.4)
    home.ask(events.TapSeen("desk", "0401"))
    home.visit("EPS", uid="04AA", answers=(Answer("way", "ok"), Answer("smell", "bad")))
    home.until(home.mono + MIN)
    home.visit("STAIR", hazard="灯不亮")
    home.visit("PUMP", uid="04DD")
    home.visit("GATE", via=MANUAL, reason="手机没电")
    home.until(at(1, "10:20"))
    home.ask(events.RoundExplained("s01", "day/2026-11-01/0800", "临时抽调"))
    home.ask(events.RoundSigned("l01", "day/2026-11-01/0800"))
    home.set_clock(Clk.NONE)
    home.visit("WARD", answers=fine(home.house.patrol.checkpoints["WARD"].items))
    home.set_clock(Clk.SYNC)
    home.ask(events.TapSeen("desk", "04FF"))
    home.ask(events.TagRetired("t01", "04EE", "掉了"))
    home.ask(events.PhonesForgotten("l01", "s01"))
    home.until(at(2, "12:00"))
    return home


def test_every_record_of_a_patrol_fits_the_published_schema():
    home = a_full_day()
    facts = [body for body in home.records if body["t"] == "fact"]
    assert {body["kind"] for body in facts} >= KINDS
    for body in facts:
        FACT.validate(body)


def test_no_record_holds_a_name_or_a_card():
    home = a_full_day()
    said = json.dumps(home.records, ensure_ascii=False)
    for person in home.house.people.values():
        assert person.name not in said
        for credential in person.credentials:
            assert f'"{credential.secret}"' not in said


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_schema_refuses_a_fact_that_lacks_anything_or_has_it_wrong(kind):
    body = example(kind)
    FACT.validate(body)
    for key in body["data"]:
        short = {name: value for name, value in body["data"].items() if name != key}
        assert not FACT.is_valid({**body, "data": short}), key
        assert not FACT.is_valid({**body, "data": {**body["data"], key: [None]}}), key


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_example_has_the_keys_that_the_gateway_sends(kind):
    sent = [data for data in a_full_day().facts(kind) if data.get("source") != "alarm"]
    assert set(example(kind)["data"]) == set(sent[0])


def test_the_platform_s_duties_say_what_each_record_means():
    duties = (CONTRACT / "platform-duties.md").read_text("utf-8")
    assert [kind for kind in sorted(KINDS) if f"`{kind}`" not in duties] == []
    _, _, patrol = duties.partition("**Patrol**")
    assert [
        state.value for state in RoundState if state.is_over and f"`{state}`" not in patrol
    ] == []
