"""The daemon's side of the reader, with a clock of the test's own."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.events import FaultCleared, FaultRaised
from gateway.tasks.taps import FAILURES, GONE_MS, LENT_MS, Taps


class House:
    def __init__(self) -> None:
        self.now_ms = 0
        self.posted = []
        self.asked = []
        self.answer = {"ok": True, "code": "round_started"}
        self.taps = Taps(
            "desk",
            "/dev/nfc",
            put=self.posted.append,
            ask=self.ask,
            mono=lambda: self.now_ms,
            again_ms=3_000,
        )

    async def ask(self, request):
        self.asked.append(dict(request))
        return self.answer

    async def beat(self, state="ready", **more):
        return await self.taps.handle({"verb": "reader_beat", "state": state, **more})

    async def tap(self, uid="04A1", **more):
        return await self.taps.handle({"verb": "tap", "uid": uid, "tapped_ms": 7, **more})

    def codes(self):
        return [(type(event).__name__[5:], event.code) for event in self.posted]


@pytest.fixture
def house():
    return House()


async def test_the_process_is_told_which_device_it_shall_read(house):
    assert await house.beat("idle") == {"ok": True, "device": "/dev/nfc"}


async def test_a_tap_goes_to_the_decider_under_the_reader_s_name(house):
    answer = await house.tap(token="ab" * 32, kind="NTAG213", is_random=False, by="manager")
    assert answer == {"ok": True, "code": "round_started"}
    assert house.asked == [
        {"verb": "tap", "reader": "desk", "uid": "04A1", "token": "ab" * 32, "is_random": False,
         "tapped_ms": 7}
    ]  # fmt: skip


async def test_the_same_tag_again_at_once_is_one_tap(house):
    for at in (0, 500, 2_999):
        house.now_ms = at
        assert (await house.tap())["code"] == "round_started"
    assert len(house.asked) == 1
    house.now_ms = 3_000
    await house.tap()
    await house.tap("04B2")
    assert [tap["uid"] for tap in house.asked] == ["04A1", "04A1", "04B2"]


async def test_a_phone_with_another_uid_each_time_is_one_tap(house):
    for uid in ("08AA0001", "08AA0002"):
        await house.tap(uid, is_random=True)
    assert len(house.asked) == 1


async def test_a_tap_that_the_decider_did_not_get_may_come_again_at_once(house):
    house.answer = {"ok": False, "code": "no_answer"}
    await house.tap()
    await house.tap()
    assert len(house.asked) == 2


@pytest.mark.parametrize("uid", [None, "", 5, "x" * 99, "04A1\n"])
async def test_a_tap_without_a_tag_is_refused(house, uid):
    assert (await house.tap(uid))["code"] == "bad_request"
    assert house.asked == []


async def test_nobody_can_do_more_than_tap_here(house):
    for verb in ("silence", "status", "tag_register", None):
        assert (await house.taps.handle({"verb": verb, "by": "N1"}))["code"] == "not_allowed"


async def test_three_failures_in_a_row_are_a_fault_until_it_reads_again(house):
    for failures in range(1, FAILURES):
        await house.beat("failed", why="absent", detail="x", failures=failures)
    assert house.posted == []
    await house.beat("failed", why="absent", detail="/dev/nfc", failures=FAILURES)
    await house.beat("failed", why="mute", detail="x", failures=FAILURES + 1)
    assert house.posted == [FaultRaised("reader_failed", "desk", "not plugged in: /dev/nfc")]
    await house.beat("failed", why="absent", failures=1)
    assert len(house.posted) == 1
    await house.beat("ready")
    assert house.posted[1:] == [FaultCleared("reader_failed", "desk")]


async def test_a_silent_process_is_a_fault_of_its_own(house):
    await house.beat()
    house.now_ms = GONE_MS - 1
    house.taps.look()
    assert house.posted == []
    house.now_ms = GONE_MS
    house.taps.look()
    house.taps.look()
    assert house.codes() == [("Raised", "reader_gone")]
    assert house.taps.view()["state"] == "gone"
    await house.beat()
    assert house.codes()[1:] == [("Cleared", "reader_gone")]


async def test_a_process_that_never_came_is_noticed_too(house):
    house.now_ms = GONE_MS
    house.taps.look()
    assert house.codes() == [("Raised", "reader_gone")]


async def test_a_reader_lent_for_too_long_is_a_fault(house):
    for at in range(0, LENT_MS + 1, 2_000):
        house.now_ms = at
        await house.beat("lent")
    assert house.codes() == [("Raised", "reader_failed")]
    await house.beat("ready")
    assert house.codes()[1:] == [("Cleared", "reader_failed")]


async def test_nothing_is_wrong_with_a_reader_that_the_house_no_longer_has(house):
    await house.beat("failed", why="denied", failures=FAILURES)
    house.now_ms = GONE_MS
    house.taps.look()
    house.posted.clear()
    house.taps.end()
    assert sorted(house.codes()) == [("Cleared", "reader_failed"), ("Cleared", "reader_gone")]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["state", "why", "detail", "failures", "name", "uid", "token", "x"]),
        ANYTHING,
    ),
    st.sampled_from(["reader_beat", "tap", "else"]),
)
def test_whatever_a_broken_reader_says_it_gets_an_answer(said, verb):
    house = House()
    answer = asyncio.run(house.taps.handle({**said, "verb": verb}))
    assert isinstance(answer["ok"], bool)
    house.now_ms += 1_000
    house.taps.look()
    assert house.taps.view()["id"] == "desk"
    assert json.dumps(house.taps.view())


async def test_a_state_that_nobody_knows_is_refused(house):
    assert (await house.beat("happy"))["code"] == "bad_request"
