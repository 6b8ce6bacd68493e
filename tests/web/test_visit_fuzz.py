"""Ten thousand requests that no page of ours sends: nothing crashes, and no answer is a 5xx."""

import os
import random
from collections import Counter

import pytest

from gateway.web.photos import LARGEST
from tests.web.decided_house import HASH, DecidedHouse, answers_of
from tests.web.phone_rig import CHOICE, ITEMS, PHOTO, PIN, PatrolHouse, Phone, app_of, sun_query

FUZZED = int(os.environ.get("FUZZED_VISITS", "10000"))
SHARES = 4  # with a seed each, so that one that fails is soon found again

PLACES = (
    "eps-token",
    "kitchen-token",
    "tag-of-EPS",
    "tag-of-PUMP",
    "nothing",
    "%00",
    "%2e%2e%2f",
    "é",
    "x" * 70,
)
NAMES = (
    "form", "seal", "name", "pin", "note", "hazard", "is_own", "act", "i.panel", "i.exit",
    "i.pressure", "i.door", "i.photo", "f.photo", "f.x", "i.", "f.", "", "\x00", "é", "[]",
)  # fmt: skip
VALUES = (
    "", "ok", "bad", "0.35", "1e999", "nan", "-0", "shut", "0" * 64, "leave", "张敏", PIN, "s07",
    "<script>alert(1)</script>", "\x00", "\ud7ff", "\U0001f525", "%ff%fe", "' or 1=1", "{{7*7}}",
    "{}", "{0.__class__}", "x" * 3_000, "..", "\r\nset-cookie: a=b",
)  # fmt: skip
LRP = "e=1FCBE61B3E4CAD980CBFDD333E7A4AC4A579569BAFD22C5F&c=4231608BA7B02BA9"
QUERIES = (
    "", "lang=en", "lang=xx&lang=zh", "e=&c=", "c=94EED9EE65337086", "uid=&ctr=&cmac=",
    "enc=00&cmac=00&e=00", "&&&==", "%", "picc_data=" + "00" * 16 + "&cmac=" + "00" * 8, LRP,
    "x" * 900,
)  # fmt: skip
KINDS = (
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=edge", "text/plain",
    "multipart/form-data", "multipart/form-data; boundary=", "application/json",
    'multipart/form-data; boundary="e', "", "é",
)  # fmt: skip
PART = b"--edge\r\nContent-Disposition: form-data"
OUTSIDE = PART + b'; name="f.photo"; filename="../../x"\r\n\r\n\xff\xd8\xffjunk\r\n--edge--\r\n'
BODIES = (
    b"", b"--edge", b"--edge\r\n\r\n--edge--", b"\xff\xfe=\x00&%=%%", b"a" * 5_000, b"&" * 500,
    b'{"verb":"visit"}', PART + b"\r\n\r\nx\r\n--edge--\r\n", OUTSIDE,
    PART + b'; name="f.photo"; filename=""\r\n\r\n\r\n--edge--',
    b"".join(b"i.%d=ok&" % n for n in range(300)),
)  # fmt: skip
COOKIES = ("", "x" * 32, "é", "../..", ";", "=", "\x00", "a" * 4_000)


def some_query(dice):
    query = dice.choice(
        (*QUERIES, sun_query(dice.randrange(1 << 24)), sun_query(dice.randrange(9)))
    )
    if query and dice.random() < 0.3:
        at = dice.randrange(len(query))
        query = query[:at] + chr(dice.randrange(33, 256)) + query[at + 1 :]
    return query


async def one(dice, phone, page):
    """Send one odd request; the page that came, to go on from."""
    target = f"/t/{dice.choice(PLACES[:4] if dice.random() < 0.7 else PLACES)}"
    if query := some_query(dice):
        target += f"?{query}"
    if dice.random() < 0.2:
        phone.cookies[dice.choice(("form", "person", "lang"))] = dice.choice(COOKIES)
    headers = {}
    if dice.random() < 0.1:
        headers[dice.choice(("accept-language", "origin", "range", "content-length"))] = (
            dice.choice(("", "é", "null", "-1", "0", "zh;q=1e999", "http://192.168.1.20:8080"))
        )
    match dice.randrange(6):
        case 0 | 1:
            return await phone.get(target, **headers)
        case 2 | 3:  # nearly right
            fields = {**page.form, **answers_of(page), "name": "张敏", "pin": PIN}
            for _ in range(dice.randrange(4)):
                fields[dice.choice(NAMES)] = dice.choice(VALUES)
            for _ in range(dice.randrange(3)):
                fields.pop(dice.choice([*fields]), None)
            if dice.random() < 0.3:
                data = bytes(dice.choices((b"\xff\xd8\xff"[0], 0, 13, 10, 45), k=60))
                files = {dice.choice(("f.photo", "f.panel", "")): b"\xff\xd8\xff" + data}
                return await phone.upload(target, fields, files)
            return await phone.post(target, fields, **headers)
        case 4:
            body = b"".join(dice.choices(BODIES, k=dice.randint(1, 3)))
            kind = {"content-type": dice.choice(KINDS)}
            return await phone.send("POST", target, body, headers={**kind, **headers})
        case _:
            method = dice.choice(("PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW", ""))
            return await phone.send(method, target, headers=headers)


async def storm(dice, house, app, start):
    """Send a share of the requests from five phones; how often each status came."""
    phones = [
        Phone(app, address=f"192.168.1.{n}", lang=dice.choice(("zh", "en"))) for n in range(5)
    ]
    statuses: Counter[int] = Counter()
    pages = [await phone.get(start) for phone in phones]
    for n in range(FUZZED // SHARES):
        house.later(dice)
        which = dice.randrange(len(phones))
        page = await one(dice, phones[which], pages[which])
        assert page.status < 500, (n, page)
        assert "<script>alert" not in page.body, n
        assert not [value for _, value in page.headers if "\n" in value or "\r" in value], n
        assert page.header("content-security-policy"), n
        pages[which] = page if page.form.get("seal") else pages[which]
        statuses[page.status] += 1
        if dice.random() < 0.1:
            phones[which].cookies.clear()
            pages[which] = await phones[which].get(start)
    assert {200, 403, 404, 405, 422} <= statuses.keys(), statuses


class AnyHouse(PatrolHouse):
    def later(self, dice):
        """Other items, and nobody waits for a PIN's turn."""
        self.items = dice.choice((ITEMS, ITEMS[:1], [*ITEMS, CHOICE], [*ITEMS, PHOTO], []))
        self.mono_ms += 60_000


class DecidingHouse(DecidedHouse):
    def later(self, dice):
        self.home.until(self.home.mono + dice.choice((1_000, 20_000, 60_000)))


@pytest.mark.parametrize("seed", range(SHARES - 1))
async def test_ten_thousand_odd_requests_crash_nothing(seed, tmp_path):
    house = AnyHouse()
    await storm(random.Random(seed), house, app_of(house, tmp_path), "/t/kitchen-token")
    assert house.visits, "none came through: the fuzzing is too wild to reach the inside"
    assert all(visit["by"] in ("s07", "s08") for visit in house.visits)
    assert all(path.stat().st_size <= LARGEST for path in tmp_path.rglob("*") if path.is_file())
    assert {path.parent.name for path in tmp_path.rglob("*.photo")} <= {"kept", "waiting"}


async def test_and_none_of_them_confuses_the_decider(tmp_path):
    house = DecidingHouse(is_pin=lambda known, pin: known == HASH and pin == PIN)
    await storm(random.Random(SHARES), house, app_of(house, tmp_path), "/t/tag-of-EPS")
    visits = house.visits()
    assert visits
    assert {visit["by"] for visit in visits} == {"s01"}
    assert {visit["proof"] for visit in visits} == {1}
    ids = [visit.id for round_ in house.home.rounds().values() for visit in round_.visits]
    assert ids
    assert len(set(ids)) == len(ids)
    broken = [fault for fault in house.home.faults() if "failed" in fault]
    assert not broken  # rounds that nobody walked are the only faults
