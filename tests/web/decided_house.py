"""The real decider of a home in simulated time behind the phones' door, without a socket."""

import re
from dataclasses import replace

from gateway.domain import events
from gateway.domain.patrol import Tag, TagKind
from gateway.domain.people import Credential, CredentialKind
from gateway.drivers.pins import is_pin
from gateway.drivers.sun import SunKeys, verify
from gateway.tasks.commands import Desk
from gateway.tasks.patrol_commands import MAKERS, patrol_queries
from gateway.tasks.phones import Phones
from tests.core.patrol_house import PEOPLE, Home, at, house
from tests.web.phone_rig import hashed, sun_query

PIN = "4711"
# argon2id of it, made once
HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$BH6z5dhQ3TUv/+PpfSAJmg"
    "$ZLK7zdiSrescr87x3o/dIPTwxV3vRkPcuXfJM+nuYZM"
)
WARD_UID = "04DE5F1EACC040"
KEYS = SunKeys(bytes(16), bytes(range(16)), is_per_tag=True)
TAGS = (
    Tag("04A1", "EPS", token=hashed("tag-of-EPS")),
    Tag("04B1", "STAIR", token=hashed("tag-of-STAIR")),
    Tag(WARD_UID, "WARD", TagKind.NTAG424, hashed("tag-of-WARD")),
    Tag("04D1", "PUMP", token=hashed("tag-of-PUMP")),
)
JPEG = b"\xff\xd8\xff\xe0" + bytes(2_000)
NIGHT = at(2, "22:05")
WHO = {"name": "张敏", "pin": PIN}


class DecidedHouse:
    """The decider of a home in simulated time, asked as the console asks the daemon."""

    def __init__(self, start=NIGHT, is_pin=is_pin):
        people = tuple(
            replace(each, credentials=(Credential(CredentialKind.PIN, HASH),)) for each in PEOPLE
        )
        self.home = Home(house(people=people), start=start)
        for tag in TAGS:
            assert self.home.ask(events.TagRegistered("t01", tag)).ok
        self.outcomes = []
        self.is_pin = is_pin
        self.open_doors()

    def open_doors(self):
        """As the daemon does at its start."""
        self.desk = Desk(
            self.put, self.nothing, patrol_queries(lambda: self.home.state, self.home.now), MAKERS
        )
        self.phones = Phones(
            self.desk.handle, lambda query: verify(query, KEYS), self.is_pin, self.mono
        )

    async def nothing(self):
        raise AssertionError("nobody asks for the status")

    def mono(self):
        return self.home.now().mono_ms

    def put(self, event):
        outcome = self.home.feed(event)
        self.outcomes.append(outcome)
        for reply in outcome.replies:
            self.desk.answer(reply)

    async def ask(self, request):
        return await self.phones.handle(request)

    def signed(self, counter):
        return f"/t/tag-of-WARD?{sun_query(counter, WARD_UID, KEYS)}"

    def visits(self):
        return self.home.facts("visit")


def answers_of(page):
    """Every item of the page, answered well."""
    names = re.findall(r'name="(i\.[^"]+)"', page.body)
    kinds = dict.fromkeys(names, "0.4")
    kinds |= dict(re.findall(r'type="radio" name="([^"]+)" value="(ok|full)"', page.body))
    return kinds


async def walk(phone, target, **fields):
    page = await phone.get(target)
    assert page.status == 200, page.body
    form = {**page.form, **answers_of(page), **fields}
    if photos := re.findall(r'type="file" name="([^"]+)"', page.body):
        return await phone.upload(target, form, dict.fromkeys(photos, JPEG))
    return await phone.post(target, form)
