import asyncio

import pytest

from gateway.domain.events import Acknowledge, LampTest, Reset, Silence
from gateway.domain.outcome import Reply
from gateway.tasks.commands import BadRequest, Desk, event_of


async def no_status():
    return {"points": []}


@pytest.mark.parametrize(
    ("request_", "event"),
    [
        ({"verb": "silence", "by": "s01"}, Silence("s01", 1)),
        ({"verb": "acknowledge", "by": "s01"}, Acknowledge("s01", None, 1)),
        ({"verb": "reset", "by": "s01", "alarm": "a/b"}, Reset("s01", "a/b", 1)),
        ({"verb": "panel_test", "by": "s01"}, LampTest("s01", 1)),
    ],
)
def test_a_request_becomes_an_event(request_, event):
    assert event_of(request_, 1) == event


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({}, "verb"),
        ({"verb": ["silence"]}, "verb"),
        ({"verb": "silence"}, "by"),
        ({"verb": "silence", "by": " "}, "by"),
        ({"verb": "silence", "by": "x" * 65}, "by"),
        ({"verb": "reset", "by": "s01", "alarm": 7}, "alarm"),
    ],
)
def test_a_request_that_cannot_be_understood_says_what_to_send(request_, word):
    with pytest.raises(BadRequest, match=word):
        event_of(request_, 1)


async def test_the_caller_gets_the_decider_s_answer():
    asked = []
    desk = Desk(asked.append, no_status)
    call = asyncio.create_task(desk.handle({"verb": "silence", "by": "s01"}))
    while not asked:
        await asyncio.sleep(0)
    desk.answer(Reply(asked[0].reply_to, ok=True, code="done"))
    assert await call == {"ok": True, "code": "done"}


async def test_an_answer_for_a_caller_that_has_gone_is_passed_over():
    asked = []
    desk = Desk(asked.append, no_status)
    call = asyncio.create_task(desk.handle({"verb": "silence", "by": "s01"}))
    while not asked:
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    desk.answer(Reply(asked[0].reply_to, ok=True, code="done"))
    assert (await desk.handle({"verb": "status"}))["ok"]


async def test_a_bad_request_is_answered_and_nothing_reaches_the_decider():
    asked = []
    answer = await Desk(asked.append, no_status).handle({"verb": "selfdestruct", "by": "s01"})
    assert (answer["ok"], answer["code"], asked) == (False, "bad_request", [])
