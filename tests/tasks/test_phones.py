"""The daemon's side of a patroller's phone: who it is, what the link proves, one visit a form."""

import asyncio

import pytest

from gateway.core.knocking import FORGIVEN
from gateway.tasks.phones import LONGEST_QUERY, OWN_PHONE_MS, REFUSALS, WARD_PHONE_MS
from tests.web.phone_rig import PIN, UID, PatrolHouse, hashed, sun_query

ANSWERS = [
    {"item": "panel", "value": "ok"},
    {"item": "exit", "value": "bad"},
    {"item": "pressure", "value": 0.35},
]
ANNA = {"name": "张敏", "pin": PIN, "from": "192.168.1.9"}


async def opened(house, token="kitchen-token", query="", **more):
    return await house.phones.handle({"verb": "stop", "token": token, "query": query, **more})


async def sent(house, seal, token="kitchen-token", query="", **more):
    request = {"verb": "visit", "token": token, "query": query, "seal": seal, "answers": ANSWERS}
    return await house.phones.handle({**request, **more})


async def test_a_stop_is_shown_and_nothing_is_recorded():
    house = PatrolHouse()
    stop = await opened(house)
    assert stop["ok"]
    assert stop["checkpoint"]["code"] == "2F-KITCHEN"
    assert stop["proof"] == 1
    assert stop["person"] is None
    assert {each["verb"] for each in house.asked} == {"patrol_at"}
    assert house.visits == []


async def test_a_page_that_is_opened_tells_that_the_tag_is_there_but_not_all_the_time():
    house = PatrolHouse()
    seen = []
    house.phones.seen = seen.append
    for token in ("kitchen-token", "kitchen-token", "stair-token"):
        await opened(house, token)
    assert len(seen) == 2
    assert seen[0] == "2F-KITCHEN"
    await opened(house, "nobody's")
    assert len(seen) == 2


async def test_a_visit_is_by_name_and_pin_and_the_phone_is_remembered():
    house = PatrolHouse()
    stop = await opened(house)
    said = await sent(house, stop["seal"], **ANNA, is_own=True)
    assert (said["ok"], said["code"], said["keep_ms"]) == (True, "done", OWN_PHONE_MS)
    assert house.enrolled == {hashed(said["cookie"]): "s07"}
    visit = house.visits[0]
    assert (visit["by"], visit["checkpoint"], visit["proof"]) == ("s07", "2F-KITCHEN", 1)
    assert visit["phone"] == hashed(said["cookie"])
    assert visit["opened_ms"] == 1_000_000
    assert said["round"]["done"] == 1
    assert said["next"]["code"] == "2F-EPS"
    again = await opened(house, "stair-token", cookie=said["cookie"])
    assert again["person"]["name"] == "张敏"
    assert "pin" not in again["person"]
    done = await sent(house, again["seal"], "stair-token", cookie=said["cookie"])
    assert (done["ok"], house.visits[1]["by"], house.pins) == (True, "s07", 1)
    assert "cookie" not in done


async def test_a_ward_phone_is_remembered_for_one_round_and_can_be_left():
    house = PatrolHouse()
    said = await sent(house, (await opened(house))["seal"], **ANNA)
    assert said["keep_ms"] == WARD_PHONE_MS
    left = await house.phones.handle({"verb": "leave", "cookie": said["cookie"]})
    assert left["ok"]
    assert house.enrolled == {}
    stop = await opened(house, "stair-token", cookie=said["cookie"])
    assert stop["person"] is None
    said = await sent(house, stop["seal"], "stair-token", cookie=said["cookie"])
    assert said["code"] == "no_person"


@pytest.mark.parametrize(
    ("name", "pin", "code"),
    [("张敏", "0000", "wrong_pin"), ("nobody", PIN, "wrong_pin"), ("王芳", "1234", "not_valid"),
     ("", PIN, "no_person"), ("张敏", "", "no_person")],
)  # fmt: skip
async def test_who_cannot_be_known_records_nothing(name, pin, code):
    house = PatrolHouse()
    said = await sent(house, (await opened(house))["seal"], name=name, pin=pin)
    assert (said["ok"], said["code"]) == (False, code)
    assert said["say"].keys() == {"zh", "en"}
    assert house.visits == []
    assert house.enrolled == {}


async def test_wrong_pins_cost_time_and_the_right_one_is_taken_in_the_end():
    house = PatrolHouse()
    seal = (await opened(house))["seal"]
    codes = [
        (await sent(house, seal, **{**ANNA, "pin": f"{n:04}"}))["code"] for n in range(FORGIVEN)
    ]
    assert set(codes) == {"wrong_pin"}
    compared = house.pins
    said = await sent(house, seal, **ANNA)
    assert (said["code"], said["wait_ms"]) == ("wait", 1_000)
    assert house.pins == compared  # not even looked at
    house.mono_ms += said["wait_ms"]
    assert (await sent(house, seal, **ANNA))["ok"]


async def test_a_right_pin_with_items_left_out_need_not_be_given_again():
    house = PatrolHouse()
    seal = (await opened(house))["seal"]
    said = await sent(house, seal, **ANNA, answers=ANSWERS[:1])
    assert (said["ok"], said["code"], house.visits) == (False, "items_missing", [])
    assert (await sent(house, seal, cookie=said["cookie"]))["ok"]


async def test_the_same_form_twice_is_one_visit_and_both_are_told_so():
    house = PatrolHouse()
    seal = (await opened(house))["seal"]
    said = await asyncio.gather(*(sent(house, seal, **ANNA) for _ in range(8)))
    assert {(each["ok"], each["visit"]) for each in said} == {(True, "e-B-1")}
    assert len(house.visits) == 1
    assert len(house.enrolled) == 1


async def test_a_signed_link_proves_more_and_hands_its_count_to_the_decider():
    house = PatrolHouse()
    query = sun_query(61)
    stop = await opened(house, "eps-token", query)
    assert (stop["proof"], stop["is_used"]) == (3, False)
    assert (await sent(house, stop["seal"], "eps-token", query, **ANNA))["ok"]
    visit = house.visits[0]
    assert (visit["proof"], visit["uid"], visit["counter"]) == (3, UID, 61)


async def test_a_link_that_was_used_is_refused_when_shown_and_when_sent():
    house = PatrolHouse()
    query = sun_query(61)
    first, second = [await opened(house, "eps-token", query) for _ in range(2)]
    assert (await sent(house, first["seal"], "eps-token", query, **ANNA))["ok"]
    said = await sent(house, second["seal"], "eps-token", query, **ANNA)
    assert (said["ok"], said["code"]) == (False, "replayed")
    assert (await opened(house, "eps-token", query))["is_used"]
    assert (await opened(house, "eps-token", sun_query(60)))["is_used"]
    assert not (await opened(house, "eps-token", sun_query(62)))["is_used"]
    assert len(house.visits) == 1


async def test_two_phones_racing_one_count_have_one_winner():
    for counter in range(20):
        house = PatrolHouse()
        query = sun_query(counter)
        stops = [await opened(house, "eps-token", query) for _ in range(2)]
        people = (ANNA, {"name": "李强", "pin": "0815", "from": "192.168.1.10"})
        said = await asyncio.gather(
            *(sent(house, stop["seal"], "eps-token", query, **who)
              for stop, who in zip(stops, people, strict=True))
        )  # fmt: skip
        assert sorted(each["code"] for each in said) == ["done", "replayed"]
        assert len(house.visits) == 1


async def test_a_copied_link_of_a_plain_tag_stays_the_lowest_proof_however_often():
    house = PatrolHouse()
    for _ in range(3):
        stop = await opened(house, "kitchen-token", "from=chat&x=1")
        assert stop["proof"] == 1
        assert (await sent(house, stop["seal"], "kitchen-token", "from=chat&x=1", **ANNA))["ok"]
    assert {visit["proof"] for visit in house.visits} == {1}
    assert all("counter" not in visit for visit in house.visits)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (sun_query(61)[:-1] + "0", "sun_forged"),
        (sun_query(61).replace("ctr=00003D", "ctr=00003E"), "sun_forged"),
        (sun_query(61, uid="04DE5F1EACC041").replace("41", "40", 1), "sun_forged"),
        (sun_query(61)[:40], "sun_damaged"),
        ("e=1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F&c=4231608BA7B02BA9", "sun_lrp"),
    ],
)
async def test_a_forged_link_is_refused_and_says_what_to_do(query, code):
    house = PatrolHouse()
    stop = await opened(house, "eps-token", query)
    assert (stop["ok"], stop["code"]) == (False, code)
    assert stop["say"]["zh"]
    assert stop["say"]["en"]
    said = await sent(house, "1.abc.def", "eps-token", query, **ANNA)
    assert (said["ok"], said["code"], house.visits) == (False, code, [])


async def test_the_address_of_a_tag_that_signs_is_nothing_without_its_signature():
    house = PatrolHouse()
    assert (await opened(house, "eps-token"))["code"] == "sun_missing"
    said = await sent(house, "1.abc.def", "eps-token", **ANNA)
    assert (said["ok"], said["code"], house.visits) == (False, "sun_missing", [])
    house.phones.verify = None
    assert (await opened(house, "eps-token", sun_query(61)))["code"] == "sun_no_keys"


async def test_two_people_of_one_name_are_told_apart_by_their_pins():
    house = PatrolHouse()
    house.people.append({"code": "s10", "name": "张敏", "is_valid": True, "pin": "2222"})
    for pin, code in ((PIN, "s07"), ("2222", "s10")):
        seal = (await opened(house))["seal"]
        said = await sent(house, seal, name="张敏", pin=pin)
        assert (said["ok"], house.visits[-1]["by"]) == (True, code)


async def test_the_signature_of_one_tag_is_no_good_at_another():
    house = PatrolHouse()
    stop = await opened(house, "kitchen-token", sun_query(61))
    assert (stop["ok"], stop["code"]) == (False, "sun_other_tag")


async def test_a_token_that_is_one_for_all_leads_to_the_tag_that_signed():
    house = PatrolHouse()
    stop = await opened(house, "the-house", sun_query(61))
    assert (stop["checkpoint"]["code"], stop["proof"]) == ("2F-EPS", 3)


async def test_unknown_and_retired_tags_are_told_apart():
    house = PatrolHouse()
    assert (await opened(house, "nothing"))["code"] == "unknown_tag"
    assert (await opened(house, "../../etc"))["code"] == "unknown_tag"
    house.tag = {**house.tag, "is_retired": True}
    assert (await opened(house, "eps-token", sun_query(1)))["code"] == "tag_retired"


async def test_a_seal_says_when_the_page_was_opened_and_cannot_be_made_up():
    house = PatrolHouse()
    seal = (await opened(house))["seal"]
    _, nonce, mac = seal.split(".")
    for wrong in (f"1.{nonce}.{mac}", f"{seal}x", f"1000000.{nonce}x.{mac}", f"9.{nonce}."):
        assert (await sent(house, wrong, **ANNA))["ok"]
        assert "opened_ms" not in house.visits[-1]
    assert (await sent(house, seal, "stair-token", **ANNA))["ok"]  # of another page
    assert "opened_ms" not in house.visits[-1]
    assert (await sent(house, "", **ANNA))["code"] == "bad_request"


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": 7}, {"token": ["x"]}, {"query": "x" * (LONGEST_QUERY + 1)}, {"query": "\ud800"},
        {"seal": {}}, {"name": "x" * 65}, {"pin": 4711}, {"note": "x" * 501}, {"answers": {}},
        {"answers": [{}] * 51}, {"cookie": 1}, {"verb": "tag_register"}, {"verb": None},
    ],
)  # fmt: skip
async def test_what_no_page_of_ours_sends_is_refused(wrong):
    house = PatrolHouse()
    seal = (await opened(house))["seal"]
    request = {"verb": "visit", "token": "kitchen-token", "query": "", "seal": seal,
               "answers": ANSWERS, **ANNA, **wrong}  # fmt: skip
    said = await house.phones.handle(request)
    assert (said["ok"], said["code"], house.visits) == (False, "bad_request", [])


def test_every_refusal_is_said_in_both_languages():
    for code, said in REFUSALS.items():
        assert said.zh, code
        assert said.en, code
        assert said.zh != said.en, code
