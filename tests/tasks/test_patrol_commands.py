"""Verbs of the patrol over the socket: what cannot be a finding is refused before the decider."""

import json

import pytest

from gateway.tasks.commands import BadRequest
from gateway.tasks.patrol_commands import MAKERS

VISIT = {"verb": "visit", "by": "s01", "checkpoint": "EPS"}


@pytest.mark.parametrize(
    "value", ["1" + "0" * 400, "-1" + "0" * 400, "1e999", "NaN", "true", "null", "[]"]
)
def test_a_number_that_no_meter_shows_is_no_answer(value):
    said = json.loads(f'{{"item": "pressure", "value": {value}}}')
    with pytest.raises(BadRequest, match="text or a number"):
        MAKERS["visit"]({**VISIT, "answers": [said]}, 1)


@pytest.mark.parametrize("value", [0, -3, 0.35, 1.7e308, 10**308, "ok"])
def test_what_a_person_can_enter_is_taken_as_it_is(value):
    event = MAKERS["visit"]({**VISIT, "answers": [{"item": "pressure", "value": value}]}, 1)
    assert [answer.value for answer in event.answers] == [value]
