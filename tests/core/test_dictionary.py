"""What the numbers in stored batches mean outlives a change of the points."""

import json
from dataclasses import replace
from pathlib import Path

from jsonschema import Draft202012Validator

from gateway.core.dictionary import KEPT, MOST, meanings_of
from gateway.core.health import with_own_device
from gateway.core.messages import sender_of, unpack
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain.events import Restarted, SiteChanged
from gateway.domain.kept import Kept
from tests.core.night_house import house, now


def start(made, kept=()):
    """What a start of this house keeps of lists, and with it what was kept before."""
    state, outcome = step(state_of(made, (), now(0), kept=kept), Restarted(), now(0))
    there = {(each.kind, each.key): each for each in (*kept, *outcome.kept)}
    said = [each for each in outcome.kept if each.kind == KEPT]
    return state, said, [each for each in there.values() if each.body is not None]


def other(made, number):
    """The same house with one point called otherwise."""
    device = made.site.devices[0]
    points = (replace(device.points[0], name=f"p{number}", id=f"board.p{number}"),)
    devices = (replace(device, points=points),)
    site = with_own_device(replace(made.site, devices=devices, rules=()))
    return house_of(site, sender_of(site, f"epoch{number}"), "0")


def test_a_start_keeps_the_list_of_its_points_once():
    made = house()
    _, said, kept = start(made)
    (dictionary,) = said
    assert dictionary.key == made.sender.points_hash
    assert start(made, kept)[1] == []


def test_each_number_means_the_point_that_it_meant_and_its_unit():
    made = house()
    _, said, _ = start(made)
    meaning = meanings_of(said)[made.sender.points_hash]
    assert {name: number for number, (name, _) in meaning.items()} == made.sender.point_index
    assert meaning[made.sender.point_index["board.leak"]] == ("board.leak", "mA")


def test_a_reload_keeps_the_new_list_and_leaves_the_old_one():
    made = house()
    state, _, _ = start(made)
    changed = other(made, 1)
    _, outcome = step(state, SiteChanged(changed), now(1_000))
    assert [each.key for each in outcome.kept if each.kind == KEPT] == [changed.sender.points_hash]


def test_only_some_earlier_lists_are_kept_and_the_oldest_goes_first():
    made = house()
    kept = []
    for number in range(MOST + 3):
        _, said, kept = start(other(made, number), kept)
        for each in said:  # as if each had been a day later
            if each.body is not None:
                body = {**json.loads(each.body), "at": number}
                kept = [one for one in kept if one.key != each.key]
                kept.append(Kept(KEPT, each.key, json.dumps(body)))
    lists = meanings_of(kept)
    assert len(lists) == MOST + 1
    assert {each[0][0] for each in lists.values()} == {
        f"board.p{number}" for number in range(2, MOST + 3)
    }


def test_a_list_that_cannot_be_read_is_no_list():
    broken = [Kept(KEPT, str(number), body) for number, body in enumerate(("{", "[]", "1", None))]
    assert meanings_of([*broken, Kept("case", "x", "{}")]) == {}
    assert start(house(), broken[:3])[1]


def told(outcome):
    bodies = [json.loads(unpack(r.body)) for r in outcome.records if r.kind == "dictionary"]
    return {body["data"]["pts"]: body["data"]["points"] for body in bodies}


def test_lists_that_take_each_others_place_while_nobody_listens_are_told_each_once():
    first = house()
    state, outcome = step(state_of(first, (), now(0)), Restarted(), now(0))
    assert told(outcome) == {}, "the birth publishes it"
    second, third = other(first, 1), other(first, 2)
    state, outcome = step(state, SiteChanged(second), now(1_000))
    lists = told(outcome)
    assert set(lists) == {first.sender.points_hash, second.sender.points_hash}
    assert ["board.leak", "mA"] in lists[first.sender.points_hash]
    assert lists[second.sender.points_hash][second.sender.point_index["board.p1"]][0] == "board.p1"
    state, outcome = step(state, SiteChanged(third), now(2_000))
    assert set(told(outcome)) == {third.sender.points_hash}
    _, outcome = step(state, SiteChanged(second), now(3_000))
    assert told(outcome) == {}, "it was told before, and means what it meant"


def test_a_change_at_a_start_is_told_and_a_list_that_cannot_be_read_is_left_out():
    changed = other(house(), 1)
    for kept, lists in ((start(house())[2], 2), ([Kept(KEPT, "x", "{")], 1)):
        _, outcome = step(state_of(changed, (), now(0), kept=kept), Restarted(), now(0))
        assert len(told(outcome)) == lists
        assert changed.sender.points_hash in told(outcome)


def test_what_is_told_of_a_list_fits_the_contract():
    contract = Path(__file__).parents[2] / "docs" / "contract"
    schema = Draft202012Validator(json.loads((contract / "schemas" / "fact.json").read_text()))
    state, _ = step(state_of(house(), (), now(0)), Restarted(), now(0))
    _, outcome = step(state, SiteChanged(other(house(), 1)), now(1_000))
    bodies = [json.loads(unpack(r.body)) for r in outcome.records if r.kind == "dictionary"]
    example = json.loads((contract / "examples" / "fact-dictionary.json").read_text())
    for body in (*bodies, example):
        schema.validate(body)
    assert len(bodies) == 2
    assert not schema.is_valid({**example, "data": {"pts": "9f3c01ab"}})
    assert not schema.is_valid({**example, "data": {"pts": "9f3c01ab", "points": [["x"]]}})
