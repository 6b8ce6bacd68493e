"""Phones, the daemon's door for them and the real decider in one: rounds from tag links."""

import asyncio
from dataclasses import replace

from tests.core.patrol_house import MIN, SECOND, at
from tests.web.decided_house import PIN, WARD_UID, WHO, DecidedHouse, answers_of, walk
from tests.web.phone_rig import Phone, app_of


async def test_a_night_round_is_done_by_links_alone(tmp_path):
    made = DecidedHouse()
    phone = Phone(app_of(made, tmp_path))
    page = await walk(phone, "/t/tag-of-EPS", **WHO)
    assert "Recorded" in page.body, page.body
    assert "name of STAIR" in page.body
    made.home.until(made.home.mono + MIN)
    assert "name of WARD" in (await walk(phone, "/t/tag-of-STAIR")).body
    made.home.until(made.home.mono + MIN)
    page = await walk(phone, made.signed(61))
    assert "This round is complete" in page.body
    assert [(v["checkpoint"], v["by"], v["proof"]) for v in made.visits()] == [
        ("EPS", "s01", 1), ("STAIR", "s01", 1), ("WARD", "s01", 3),
    ]  # fmt: skip
    assert 'class="is-done"' in page.body
    assert "张敏 22:0" in page.body
    assert made.home.round("night/2026-11-02/2200").state.value == "done"
    assert "张敏" not in str(made.home.records)  # names stay in the house


async def test_the_counter_is_kept_with_the_visit_s_own_record():
    made = DecidedHouse()
    phone = Phone(app_of(made))
    await walk(phone, made.signed(61), **WHO)
    (outcome,) = [
        each for each in made.outcomes if any(record.kind == "visit" for record in each.records)
    ]
    kept = {(each.kind, each.key): each.body for each in outcome.kept}
    assert '"counter":61' in kept["patrol_tag", WARD_UID]


async def test_a_counter_outlives_a_power_cut(tmp_path):
    made = DecidedHouse()
    phone = Phone(app_of(made, tmp_path))
    old = made.signed(61)
    assert "Recorded" in (await walk(phone, old, **WHO)).body
    made.home.power_cut(made.home.mono + 10 * MIN)
    made.open_doors()
    assert (await phone.get(old)).status == 409
    assert (await phone.get(made.signed(60))).status == 409
    made.home.until(made.home.mono + MIN)
    page = await walk(phone, made.signed(62))  # and the phone is remembered
    assert "Recorded" in page.body
    assert [visit["proof"] for visit in made.visits()] == [3, 3]


async def test_two_phones_racing_one_counter_have_one_winner_in_the_decider():
    made = DecidedHouse()
    app = app_of(made)
    phones = [Phone(app, address=f"192.168.1.{n}") for n in (10, 11)]
    target = made.signed(7)
    pages = [await phone.get(target) for phone in phones]
    made.home.until(made.home.mono + 30 * SECOND)
    names = ("张敏", "王芳")
    said = await asyncio.gather(*(
        phone.post(target, {**page.form, **answers_of(page), "name": name, "pin": PIN})
        for phone, page, name in zip(phones, pages, names, strict=True)
    ))  # fmt: skip
    assert sorted(page.status for page in said) == [200, 409]
    flags = [visit["flags"] for visit in made.visits()]
    assert sum("replayed" in each for each in flags) == 1
    visits = made.home.round("night/2026-11-02/2200").visits
    assert sum(visit.counts for visit in visits) == 1
    assert made.home.state.patrol.tags[WARD_UID].counter == 7


async def test_a_copied_link_of_a_plain_tag_is_never_more_than_level_1():
    made = DecidedHouse()
    phone = Phone(app_of(made))
    for query in ("", "?from=chat"):
        assert (await walk(phone, f"/t/tag-of-EPS{query}", **WHO)).status == 200
        made.home.until(made.home.mono + MIN)
    assert {visit["proof"] for visit in made.visits()} == {1}
    flipped = made.signed(9)[:-1] + ("0" if made.signed(9)[-1] != "0" else "1")
    assert (await phone.get(flipped)).status == 403
    assert (await phone.get("/t/tag-of-WARD")).status == 403


async def test_a_hazard_and_a_bad_item_go_up_with_the_staff_code():
    made = DecidedHouse(start=at(2, "08:30"))
    phone = Phone(app_of(made))
    page = await phone.get("/t/tag-of-EPS")
    form = {**page.form, **answers_of(page), "i.smell": "bad", "hazard": "纸箱堵门", **WHO}
    page = await phone.post("/t/tag-of-EPS", form)
    assert "Not OK, and reported: 1" in page.body, page.body
    (visit,) = made.visits()
    assert visit["by"] == "s01"
    assert [each["by"] for each in made.home.facts("hazard")] == ["s01"] * 2


async def test_somebody_whose_time_has_ended_is_told_so():
    made = DecidedHouse()
    people = dict(made.home.house.people)
    people["s01"] = replace(people["s01"], until="2026-10-31")
    made.home.house = replace(made.home.house, people=people)
    made.home.restart()
    made.open_doors()
    page = await walk(Phone(app_of(made)), "/t/tag-of-EPS", **WHO)
    assert page.status == 403
    assert made.visits() == []
    assert 'name="pin"' in page.body


async def test_answers_out_of_reach_are_refused_with_words_and_kept():
    made = DecidedHouse(start=at(2, "08:30"))
    phone = Phone(app_of(made))
    page = await phone.get("/t/tag-of-PUMP")
    assert "MPa" in page.body
    answers = {**answers_of(page), "i.pressure": "4.2"}
    page = await phone.post("/t/tag-of-PUMP", {**page.form, **answers, **WHO})
    assert "Not OK, and reported: 1" in page.body  # outside of its limits: bad, not refused
