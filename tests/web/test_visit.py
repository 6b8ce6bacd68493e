"""The patroller's page: GET shows, POST records, and what was filled in is never lost."""

import re
from html import unescape

import pytest

from gateway.drivers.sockets import NoAnswer, serve
from gateway.web.form import number
from gateway.web.photos import LARGEST, NotKept, Photos, is_photo
from gateway.web.rendering import load_assets
from gateway.web.server import asking
from gateway.web.visit import network_of
from gateway.web.visit_words import WORDS
from tests.web.phone_rig import CHOICE, ITEMS, PHOTO, PIN, PatrolHouse, Phone, app_of, sun_query

LARGEST_PAGE = 20_000
WHO = {"name": "张敏", "pin": PIN}
FINE = {"i.panel": "ok", "i.exit": "ok", "i.pressure": "0.35"}
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40


def a_phone(house, photos=None, **more):
    return Phone(app_of(house, photos), **more)


async def fill(phone, target="/t/kitchen-token", **fields):
    """Open the page and send it, filled in well unless `fields` say otherwise."""
    page = await phone.get(target)
    assert page.status == 200, page.body
    return await phone.post(target, {**page.form, **FINE, **WHO, **fields})


async def test_a_get_shows_and_never_records():
    house = PatrolHouse()
    phone = a_phone(house, lang="zh-CN")
    for method in ("GET", "HEAD", "GET"):
        page = await phone.send(method, "/t/kitchen-token")
        assert page.status == 200
    wanted = ("2F 厨房", "配电箱无异味", "正常", "异常", "提交", "二楼夜巡", "发现隐患", "抽查")
    for words in (*wanted, "正常范围 0.2 – 0.6 MPa"):
        assert words in page.body, words
    assert house.visits == []
    assert not (await phone.get("/t/kitchen-token")).header("set-cookie")


async def test_a_post_records_and_shows_where_to_go_next():
    house = PatrolHouse()
    page = await fill(a_phone(house))
    assert page.status == 200
    for words in ("Recorded", "张敏", "Next stop", "2F 东配电间", "about 1 min", "Stops left: 2",
                  "Remarks: Too fast", "Not OK, and reported: 1"):  # fmt: skip
        assert words in page.body, words
    visit = house.visits[0]
    assert visit["answers"] == [
        {"item": "panel", "value": "ok"}, {"item": "exit", "value": "ok"},
        {"item": "pressure", "value": 0.35},
    ]  # fmt: skip
    assert (visit["by"], visit["via"], visit["proof"]) == ("s07", "phone", 1)


async def test_a_whole_round_needs_the_pin_once():
    house = PatrolHouse()
    phone = a_phone(house)
    await fill(phone)
    for target in (f"/t/eps-token?{sun_query(5)}", "/t/stair-token"):
        page = await phone.get(target)
        assert "Patrolled by <b>张敏</b>" in page.body
        assert 'name="pin"' not in page.body
        page = await phone.post(target, {**page.form, **FINE})
        assert "Recorded" in page.body
    assert "This round is complete" in page.body
    assert [visit["by"] for visit in house.visits] == ["s07"] * 3
    assert house.pins == 1


async def test_not_me_forgets_the_phone():
    house = PatrolHouse()
    phone = a_phone(house)
    await fill(phone)
    page = await phone.get("/t/stair-token")
    gone = await phone.post("/t/stair-token", {"form": page.form["form"], "act": "leave"})
    assert (gone.status, gone.header("location")) == (303, "/t/stair-token")
    assert house.enrolled == {}
    assert 'name="pin"' in (await phone.get("/t/stair-token")).body


async def test_what_is_not_answered_is_marked_and_the_rest_stays():
    house = PatrolHouse()
    page = await fill(
        a_phone(house), **{"i.exit": "", "i.pressure": "much", "note": "<b>灯&坏", "hazard": "漏水"}
    )
    assert page.status == 422
    assert "Not complete" in page.body
    assert page.body.count('class="unanswered"') == 2
    assert "This must be a number" in page.body
    assert 'name="i.panel" value="ok" checked' in page.body
    assert 'value="much"' in page.body
    assert 'value="&lt;b&gt;灯&amp;坏"' in page.body
    assert ">漏水</textarea>" in page.body
    assert 'value="张敏"' in page.body
    assert PIN not in page.body
    assert house.visits == []


async def test_what_the_round_draws_meanwhile_is_asked_and_the_rest_stays():
    house = PatrolHouse(items=ITEMS[:2])
    phone = a_phone(house)
    page = await phone.get("/t/kitchen-token")
    house.items = [*ITEMS]  # somebody set out: a challenge falls on this place
    again = await phone.post(
        "/t/kitchen-token", {**page.form, **WHO, "i.panel": "bad", "i.exit": "ok"}
    )
    assert again.status == 422
    assert "Fire-water pressure" in again.body
    assert again.body.count('class="unanswered"') == 1
    assert 'name="i.panel" value="bad" checked' in again.body
    assert "Patrolled by <b>张敏</b>" in again.body  # the PIN was right
    form = {**again.form, "i.panel": "bad", "i.exit": "ok", "i.pressure": "0,35"}
    assert "Recorded" in (await phone.post("/t/kitchen-token", form)).body
    assert house.visits[0]["answers"][2] == {"item": "pressure", "value": 0.35}


async def test_a_wrong_pin_says_so_and_keeps_the_answers():
    house = PatrolHouse()
    phone = a_phone(house)
    page = await fill(phone, pin="0000", **{"i.exit": "bad"})
    assert page.status == 403
    assert "the name or the PIN is wrong" in page.body
    assert 'name="i.exit" value="bad" checked' in page.body
    again = await phone.post("/t/kitchen-token", {**page.form, **FINE, **WHO, "i.exit": "bad"})
    assert "Recorded" in again.body
    assert len(house.visits) == 1


async def test_while_the_daemon_is_away_the_answers_stay_in_the_form():
    house = PatrolHouse()
    phone = a_phone(house)
    page = await phone.get("/t/kitchen-token")
    house.is_away = True
    away = await phone.post(
        "/t/kitchen-token", {**page.form, **FINE, **WHO, "i.exit": "bad", "note": "灯坏"}
    )
    assert away.status == 503
    assert "nothing is recorded yet" in away.body
    assert "keep it open" in away.body
    assert 'name="i.exit" value="bad" checked' in away.body
    assert 'name="note" value="灯坏"' in away.body
    house.is_away = False
    form = {**away.form, **FINE, **WHO, "i.exit": "bad", "note": "灯坏"}
    assert "Recorded" in (await phone.post("/t/kitchen-token", form)).body
    assert (len(house.visits), house.visits[0]["note"]) == (1, "灯坏")
    assert house.visits[0]["opened_ms"] == 1_000_000


async def test_a_console_that_never_saw_the_stop_keeps_the_answers_too():
    house = PatrolHouse()
    phone = a_phone(house)
    page = await phone.get("/t/kitchen-token")
    house.is_away = True
    phone.app = app_of(house)  # started again meanwhile
    away = await phone.post("/t/kitchen-token", {**page.form, **FINE, **WHO, "note": "灯坏"})
    assert away.status == 503
    assert {**FINE, "note": "灯坏", "name": "张敏"}.items() <= away.form.items()
    assert "pin" not in away.form
    house.is_away = False
    asked = await phone.post("/t/kitchen-token", away.form)
    assert asked.status == 403
    assert "enter your name and PIN" in asked.body
    done = await phone.post("/t/kitchen-token", {**asked.form, **FINE, **WHO, "note": "灯坏"})
    assert "Recorded" in done.body
    assert house.visits[0]["note"] == "灯坏"


async def test_without_the_daemon_a_tap_says_what_to_do():
    house = PatrolHouse(is_away=True)
    page = await a_phone(house).get("/t/kitchen-token")
    assert page.status == 503
    assert "write it on paper" in page.body
    page = await a_phone(house, lang="zh").get("/t/kitchen-token")
    assert "记在纸上" in page.body


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/t/nothing-here", 404, "not registered"),
        ("/t/%2e%2e", 404, "not registered"),
        ("/t/" + "x" * 65, 404, "not registered"),
        (f"/t/eps-token?{sun_query(61)[:-1]}0", 403, "no tag of this house made this link"),
        (f"/t/kitchen-token?{sun_query(61)}", 403, "two tags"),
        ("/t/eps-token?e=1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F&c=4231608BA7B02BA9",
         403, "AES mode only"),
        ("/t/eps-token?e=EF96", 403, "incomplete"),
        ("/t/eps-token", 403, "tap the tag, do not copy the link"),
    ],
)  # fmt: skip
async def test_a_link_that_proves_nothing_is_one_clear_message(target, status, words):
    house = PatrolHouse()
    phone = a_phone(house)
    page = await phone.get(target)
    assert (page.status, words in page.body) == (status, True), page.body
    assert "<form" not in page.body
    assert (await phone.post(target, {**FINE, **WHO})).status == status
    assert house.visits == []


async def test_a_signed_link_is_good_once():
    house = PatrolHouse()
    target = f"/t/eps-token?{sun_query(61)}"
    first, second = a_phone(house), a_phone(house, address="192.168.1.10")
    pages = [await phone.get(target) for phone in (first, second)]
    done = await first.post(target, {**pages[0].form, **FINE, **WHO})
    assert "Proof level" in done.body
    assert "●●●○" in done.body
    late = await second.post(target, {**pages[1].form, **FINE, "name": "李强", "pin": "0815"})
    assert (late.status, "was used" in late.body) == (409, True)
    again = await second.get(target)
    assert (again.status, "used before" in again.body) == (409, True)
    assert len(house.visits) == 1


async def test_the_same_form_sent_twice_is_one_visit():
    house = PatrolHouse()
    phone = a_phone(house)
    page = await phone.get("/t/kitchen-token")
    for _ in range(3):
        assert (
            "Recorded" in (await phone.post("/t/kitchen-token", {**page.form, **FINE, **WHO})).body
        )
    assert len(house.visits) == 1


async def test_a_form_from_elsewhere_records_nothing():
    house = PatrolHouse()
    phone = a_phone(house)
    page = await phone.get("/t/kitchen-token")
    form = {**page.form, **FINE, **WHO}
    for headers in ({"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}):
        assert (await phone.post("/t/kitchen-token", form, **headers)).status == 403
    for wrong in ({"form": ""}, {"form": "x" * 32}, {"form": "é"}):
        stale = await phone.post("/t/kitchen-token", {**form, **wrong})
        assert stale.status == 403
        assert "your answers are here" in stale.body
    stranger = a_phone(house)
    assert (await stranger.post("/t/kitchen-token", form)).status == 403
    assert house.visits == []
    form = {**stale.form, **FINE, **WHO}
    ours = {"origin": "http://192.168.1.20:8080", "sec_fetch_site": "same-origin"}
    assert "Recorded" in (await phone.post("/t/kitchen-token", form, **ours)).body


async def test_forms_are_taken_where_visits_are_and_only_as_long_as_they_say():
    phone = a_phone(PatrolHouse())
    for target in ("/", "/now", "/static/visit.css", "/t"):
        assert (await phone.post(target, FINE)).status == 405
    for length, status in (("", 411), ("-1", 411), ("70000", 413), ("9" * 20, 411)):
        page = await phone.post("/t/kitchen-token", FINE, content_length=length)
        assert page.status == status
    for host in ("evil.example", "localhost.evil.example"):
        assert (await phone.post("/t/kitchen-token", FINE, host=host)).status == 421


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_every_page_with_all_that_it_loads_is_small(lang, tmp_path):
    house = PatrolHouse(items=[*ITEMS, CHOICE, PHOTO])
    phone = a_phone(house, tmp_path, lang=lang)
    shown = await phone.get("/t/kitchen-token")
    missing = await phone.post("/t/kitchen-token", {**shown.form, "note": "x" * 200})
    house.items = ITEMS
    done = await fill(phone)
    assets = load_assets()
    for page in (shown, missing, done, await phone.get("/t/nothing")):
        names = re.findall(r"/static/([a-z]+\.[a-z]+)\?v=", page.body)
        assert "visit.css" in names
        assert "duty.css" not in names
        size = len(page.body.encode()) + sum(len(assets[name].body) for name in set(names))
        assert size <= LARGEST_PAGE, (size, names)


async def test_a_photo_is_kept_under_its_digest_and_named_in_the_visit(tmp_path):
    house = PatrolHouse(items=[*ITEMS, PHOTO])
    phone = a_phone(house, tmp_path)
    page = await phone.get("/t/kitchen-token")
    assert 'enctype="multipart/form-data"' in page.body
    form = {**page.form, **FINE, **WHO}
    again = await phone.upload("/t/kitchen-token", {**form, "i.exit": ""}, {"f.photo": JPEG})
    assert again.status == 422
    assert "Photo received" in again.body
    digest = again.form["i.photo"]
    assert list((tmp_path / "kept").glob("*")) == []
    done = await phone.upload("/t/kitchen-token", {**form, **again.form}, {"f.photo": b""})
    assert "Recorded" in done.body, done.body
    assert house.visits[0]["answers"][-1] == {"item": "photo", "value": digest}
    assert (tmp_path / "kept" / f"{digest}.photo").read_bytes() == JPEG
    assert list((tmp_path / "waiting").glob("*")) == []


async def test_a_photo_of_a_visit_that_is_refused_is_no_evidence(tmp_path):
    house = PatrolHouse(items=[*ITEMS, PHOTO])
    phone = a_phone(house, tmp_path)
    page = await phone.get("/t/kitchen-token")
    wrong = {**page.form, **FINE, **WHO, "pin": "0000"}
    again = await phone.upload("/t/kitchen-token", wrong, {"f.photo": JPEG})
    assert again.status == 403
    assert "Photo received" in again.body
    assert list((tmp_path / "kept").glob("*")) == []
    assert "Recorded" in (await phone.post("/t/kitchen-token", {**again.form, **FINE, **WHO})).body
    assert len(list((tmp_path / "kept").glob("*"))) == 1


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"MZ" + bytes(999), "This is no photo"),
        (b"<svg onload=alert(1)>", "This is no photo"),
        (JPEG + bytes(LARGEST), "The photo is too large"),
    ],
)
async def test_what_is_no_photo_is_said_and_the_rest_stays(tmp_path, photo, words):
    house = PatrolHouse(items=[*ITEMS, PHOTO])
    phone = a_phone(house, tmp_path)
    page = await phone.get("/t/kitchen-token")
    again = await phone.upload("/t/kitchen-token", {**page.form, **FINE, **WHO}, {"f.photo": photo})
    assert again.status == 422
    assert words in again.body
    assert 'name="i.exit" value="ok" checked' in again.body
    assert not list(tmp_path.rglob("*.photo"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_digest_that_nobody_sent_a_photo_for_is_no_photo(tmp_path):
    house = PatrolHouse(items=[*ITEMS, PHOTO])
    page = await fill(a_phone(house, tmp_path), **{"i.photo": "0" * 64})
    assert page.status == 422
    assert "photo" not in page.form
    nowhere = a_phone(house)
    page = await nowhere.get("/t/kitchen-token")
    again = await nowhere.upload("/t/kitchen-token", {**page.form, **FINE}, {"f.photo": JPEG})
    assert "The gateway cannot keep photos" in again.body


def test_photos_make_room_by_age_and_unvouched_ones_displace_no_evidence(tmp_path):
    import io
    import os

    photos = Photos(tmp_path, most_waiting=25_000, most_kept=25_000)
    names = [photos.take(io.BytesIO(JPEG + bytes([n]) * 10)) for n in range(2)]
    for age, name in enumerate(reversed(names)):
        path = photos.waiting / f"{name}.photo"
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
        assert photos.keep(name)
        assert not photos.keep(name)
    for n in range(10):
        photos.take(io.BytesIO(JPEG + b"junk%d" % n))
    assert len(list(photos.waiting.iterdir())) == 2
    assert all(photos.has(name) for name in names)
    third = photos.take(io.BytesIO(JPEG + b"third"))
    photos.keep(third)
    photos.make_room()
    assert [photos.has(name) for name in (*names, third)] == [False, True, True]


def test_a_disk_that_takes_no_photo_is_told(tmp_path):
    import io

    (tmp_path / "waiting").write_text("a file where a folder should be")
    with pytest.raises(NotKept, match="no_photos"):
        Photos(tmp_path).take(io.BytesIO(JPEG))


async def test_a_disk_that_fails_when_the_form_is_sent_costs_no_answer(tmp_path):
    house = PatrolHouse(items=[*ITEMS, PHOTO])
    phone = a_phone(house, tmp_path)
    page = await phone.get("/t/kitchen-token")
    (tmp_path / "kept").write_text("a file where a folder should be")
    again = await phone.upload("/t/kitchen-token", {**page.form, **FINE, **WHO}, {"f.photo": JPEG})
    assert (again.status, house.visits) == (503, [])
    assert "cannot keep photos" in again.body
    (tmp_path / "kept").unlink()
    page = await phone.post("/t/kitchen-token", {**again.form, **FINE, **WHO})
    assert "Recorded" in page.body


def test_photos_are_known_by_their_first_bytes():
    assert is_photo(JPEG)
    assert is_photo(b"\x89PNG\r\n\x1a\n....")
    assert is_photo(b"RIFF\x00\x00\x00\x00WEBPVP8 ")
    assert is_photo(b"\x00\x00\x00\x18ftypheic....")
    for other in (
        b"",
        b"GIF89a",
        b"%PDF-1.7",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"\x00\x00\x00\x18ftypmp42",
    ):
        assert not is_photo(other)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.35", 0.35), (" 0,35 ", 0.35), ("０．３５", 0.35), ("-4", -4.0), ("12.", 12.0),
     ("", None), ("1e9", None), ("nan", None), ("inf", None), ("1 2", None), ("٣", None),
     ("9" * 40, None), ("--1", None), ("0x1", None)],
)  # fmt: skip
def test_numbers_are_read_as_people_type_them(text, value):
    assert number(text) == value


def test_tries_of_one_house_behind_ipv6_count_together():
    assert network_of("192.168.1.9") == "192.168.1.9"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert network_of("") == network_of("phone") == ""


def test_every_word_is_there_in_both_languages():
    for key, said in WORDS.items():
        assert said.zh, key
        assert said.en, key
        assert said.zh.count("{}") == said.en.count("{}"), key


async def test_the_language_can_be_changed_without_breaking_the_signature():
    house = PatrolHouse()
    phone = a_phone(house, lang="zh-CN")
    page = await phone.get(f"/t/eps-token?{sun_query(61)}")
    link = unescape(re.search(r'<a href="([^"]+)" lang="en"', page.body)[1])
    english = await phone.get(link)
    assert "Send" in english.body
    assert "Recorded" in (await phone.post(link, {**english.form, **FINE, **WHO})).body
    assert house.visits[0]["proof"] == 3


async def test_a_daemon_that_cannot_say_is_one_that_is_away(short_path):
    for code in ("no_answer", "busy", "failed"):

        async def answer(_request, _peer, code=code):
            return {"ok": False, "code": code, "error": "not now"}

        async with serve(short_path / "s", answer):
            with pytest.raises(NoAnswer, match=code):
                await asking(short_path / "s")({"verb": "stop"})
    with pytest.raises(NoAnswer):
        await asking(short_path / "s")({"verb": "stop"})
