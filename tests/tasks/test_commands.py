import asyncio

import pytest

from gateway.domain.cases import REFUSALS
from gateway.domain.events import (
    Acknowledge,
    Arrive,
    Close,
    DrillEnded,
    DrillStarted,
    Handle,
    LampTest,
    MissedEntered,
    PointTestEnded,
    PointTestStarted,
    PostCheckAnswered,
    PutInService,
    Reset,
    SelfTestAsked,
    Shelve,
    Silence,
    TakeOutOfService,
    Unshelve,
)
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
        (
            {"verb": "shelve", "by": "s01", "alarm": "a/b", "for_ms": 7_200_000, "why": "检修"},
            Shelve("s01", "a/b", 7_200_000, "检修", 1),
        ),
        ({"verb": "unshelve", "by": "s01", "alarm": "a/b"}, Unshelve("s01", "a/b", 1)),
        (
            {
                "verb": "take_out_of_service",
                "by": "t1",
                "subject": "gas",
                "why": "换探头",
                "order": "WO-7",
            },
            TakeOutOfService("t1", "gas", "换探头", "WO-7", 1),
        ),
        ({"verb": "put_in_service", "by": "t1", "subject": "gas"}, PutInService("t1", "gas", 1)),
        (
            {"verb": "arrive", "by": "s01", "alarm": "e-A-1"},
            Arrive("s01", "e-A-1", reply_to=1),
        ),
        (
            {"verb": "arrive", "by": "s01", "place": "1F"},
            Arrive("s01", None, "1F", reply_to=1),
        ),
        (
            {
                "verb": "handle",
                "by": "s01",
                "case": "e-A-1",
                "verdict": "real",
                "cause": "electrical",
                "actions": ["power_off", "power_off"],
                "text": " 断了电 ",
                "called_119": True,
                "evacuated": False,
            },
            Handle("s01", "e-A-1", "real", "electrical", ("power_off",), "断了电", True, False, 1),
        ),
        ({"verb": "close", "by": "s02", "case": "e-A-1"}, Close("s02", "e-A-1", 1)),
        (
            {"verb": "missed", "by": "s01", "place": "3F", "cause": "smoking", "told_ms": 5},
            MissedEntered("s01", "3F", "", "smoking", "", 5, 1),
        ),
        (
            {
                "verb": "drill_start",
                "by": "s01",
                "scenario": " 2F 起火 ",
                "scope": "2F",
                "rules": ["a/b"],
            },
            DrillStarted("s01", "2F 起火", "2F", ("a/b",), 1),
        ),
        (
            {"verb": "drill_start", "by": "s01", "scenario": "x"},
            DrillStarted("s01", "x", "", (), 1),
        ),
        ({"verb": "drill_end", "by": "s01"}, DrillEnded("s01", 1)),
        (
            {"verb": "drill_end", "by": "s01", "counted": 41, "expected": 42, "findings": [" x "]},
            DrillEnded("s01", 1, 41, 42, ("x",)),
        ),
        ({"verb": "test_start", "by": "t1", "point": "gas.c"}, PointTestStarted("t1", "gas.c", 1)),
        ({"verb": "test_end", "by": "t1", "point": "gas.c"}, PointTestEnded("t1", "gas.c", 1)),
        ({"verb": "answer_post_check", "by": "s01"}, PostCheckAnswered("s01", 1)),
        ({"verb": "self_test", "by": "t1"}, SelfTestAsked("t1", 1)),
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
        ({"verb": "shelve", "by": "s01", "alarm": "a/b", "for_ms": 28_800_001, "why": "x"}, "8 h"),
        ({"verb": "shelve", "by": "s01", "alarm": "a/b", "for_ms": 0, "why": "x"}, "for_ms"),
        ({"verb": "shelve", "by": "s01", "alarm": "a/b", "for_ms": True, "why": "x"}, "for_ms"),
        ({"verb": "shelve", "by": "s01", "alarm": "a/b", "for_ms": 1}, "why"),
        ({"verb": "shelve", "by": "s01", "for_ms": 1, "why": "x"}, "alarm"),
        ({"verb": "take_out_of_service", "by": "s01", "subject": "gas", "why": "x"}, "order"),
        ({"verb": "put_in_service", "by": "s01"}, "subject"),
        ({"verb": "acknowledge", "by": "王秀英"}, "no name"),
        ({"verb": "arrive", "by": "s01"}, "alarm"),
        ({"verb": "handle", "by": "s01", "verdict": "real"}, "case"),
        ({"verb": "handle", "by": "s01", "case": "c"}, "verdict"),
        ({"verb": "handle", "by": "s01", "case": "c", "verdict": "v", "actions": "x"}, "actions"),
        (
            {"verb": "handle", "by": "s01", "case": "c", "verdict": "v", "actions": ["x"] * 99},
            "actions",
        ),
        ({"verb": "handle", "by": "s01", "case": "c", "verdict": "v", "text": "x" * 501}, "text"),
        (
            {"verb": "handle", "by": "s01", "case": "c", "verdict": "v", "called_119": "yes"},
            "called_119",
        ),
        ({"verb": "close", "by": "s01"}, "case"),
        ({"verb": "missed", "by": "s01"}, "place"),
        ({"verb": "drill_start", "by": "s01"}, "scenario"),
        ({"verb": "drill_start", "scenario": "x"}, "by"),
        ({"verb": "drill_start", "by": "s01", "scenario": "x" * 201}, "scenario"),
        ({"verb": "drill_start", "by": "s01", "scenario": "x", "scope": 7}, "scope"),
        ({"verb": "drill_start", "by": "s01", "scenario": "x", "rules": "a/b"}, "rules"),
        ({"verb": "drill_start", "by": "s01", "scenario": "x", "rules": ["a"] * 101}, "rules"),
        ({"verb": "test_start", "by": "t1"}, "point"),
        ({"verb": "test_end", "by": "t1", "point": " "}, "point"),
        ({"verb": "answer_post_check"}, "by"),
        ({"verb": "missed", "by": "s01", "place": "3F", "told_ms": -1}, "told_ms"),
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


async def test_a_refusal_says_why_in_words_and_what_is_done_names_its_case():
    asked = []
    desk = Desk(asked.append, no_status)
    for reply in (
        {"ok": False, "code": "same_person", "say": REFUSALS["same_person"]},
        {"ok": True, "code": "done", "case": "e-A-1"},
    ):
        asked.clear()
        call = asyncio.create_task(desk.handle({"verb": "close", "by": "s01", "case": "e-A-1"}))
        while not asked:
            await asyncio.sleep(0)
        desk.answer(Reply(asked[0].reply_to, **reply))
        answer = await call
        if reply["ok"]:
            assert answer == {"ok": True, "code": "done", "case": "e-A-1"}
        else:
            assert answer["say"]["zh"] == REFUSALS["same_person"].zh
            assert answer["error"] == REFUSALS["same_person"].en


async def test_what_the_decider_answers_as_time_is_up_is_not_called_unanswered():
    desk = Desk(lambda _event: None, no_status)

    async def put(number):
        loop = asyncio.get_running_loop()
        loop.call_soon(desk.answer, Reply(number, ok=True, code="done"))
        while loop.time() < ends:  # both come in the next turn of the loop, the answer first
            pass

    ends = asyncio.get_running_loop().time() + 0.1
    assert await desk.ask(put, 0.05) == {"ok": True, "code": "done"}
