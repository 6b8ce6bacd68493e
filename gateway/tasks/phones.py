"""What a patroller's phone asks of the daemon through the console: a stop, and its visit.

The console has no secrets and proves nothing: whose phone it is, whether the PIN fits, what the
tag signed and when the page was opened are looked at here, before the decider hears of a visit.
"""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.knocking import Knocks
from gateway.domain.links import LinkUnsound, SignedRead
from gateway.domain.text import Text

log = logging.getLogger(__name__)

VERBS = ("stop", "visit", "leave")
TOKEN = re.compile(r"[A-Za-z0-9_-]{4,64}")
COOKIE = re.compile(r"[A-Za-z0-9_-]{20,64}")
LONGEST_QUERY = 1_024
LONGEST_NAME, LONGEST_PIN, LONGEST_FROM = 64, 16, 64
LONGEST_TEXT = 500
MOST_ANSWERS = 50
TOLD_EVERY_MS = 1_000  # that a checkpoint's page was opened
MOST_REMEMBERED = 256  # visits that are answered again when a form comes twice
MOST_NAMESAKES = 3
MOST_TRYING = 4  # PINs that wait for one another
OWN_PHONE_MS = 90 * 86_400_000
WARD_PHONE_MS = 2 * 3_600_000  # one round
LINK_UNSIGNED, LINK_SIGNED = 1, 3  # proof levels, field/patrol-and-alarms 2.5

REFUSALS = {
    "sun_forged": Text(
        "这个链接不是本院标签签发的：请重新贴标签；仍然如此请告诉运维",
        "no tag of this house made this link: tap the tag again; if it stays, tell the technician",
    ),
    "sun_damaged": Text(
        "链接不完整：请重新贴标签，不要手工输入",
        "the link is incomplete: tap the tag again, do not type it",
    ),
    "sun_lrp": Text(
        "标签是 LRP 模式，本网关只支持 AES 模式：请运维更换或改写标签",
        "this tag signs in LRP mode, the gateway reads AES mode only: have the tag replaced",
    ),
    "sun_mirror": Text(
        "标签没有写入读取计数：请运维改写标签",
        "this tag does not tell its read counter: have the tag written anew",
    ),
    "sun_other_tag": Text(
        "链接的地址和签名不是同一个标签的", "the link's address and its signature are of two tags"
    ),
    "sun_missing": Text(
        "这个标签的链接带签名，而这个链接没有：请贴标签，不要转发或手工输入",
        "this tag signs its links and this one is not signed: tap the tag, do not copy the link",
    ),
    "sun_no_keys": Text(
        "网关没有这个标签的密钥：请告诉运维",
        "the gateway has no key for this tag: tell the technician",
    ),
    "replayed": Text(
        "这个链接已经用过：请重新贴标签", "this link was used before: tap the tag again"
    ),
    "unknown_tag": Text(
        "没有登记这个标签：请告诉运维", "this tag is not registered: tell the technician"
    ),
    "tag_retired": Text(
        "这个标签已经停用：请告诉运维", "this tag is out of use: tell the technician"
    ),
    "wrong_pin": Text("姓名或 PIN 不对", "the name or the PIN is wrong"),
    "no_person": Text("请填写姓名和 PIN", "enter your name and PIN"),
    "not_valid": Text(
        "您的权限已停用或过期：请找值班长", "your access has ended: see the duty leader"
    ),
    "wait": Text("输错次数太多，请稍等再试", "too many wrong tries: wait a moment, then try again"),
    "bad_request": Text(
        "表单内容无法识别：请重新贴标签", "the form is not as we made it: tap again"
    ),
}

Request = Mapping[str, object]
Answer = dict[str, Any]


class Refused(Exception):
    """Why not; `code` is one of `REFUSALS`."""

    def __init__(self, code: str, **more: object) -> None:
        super().__init__(code)
        self.code = code
        self.more = more


@dataclass(frozen=True, slots=True)
class Link:
    """A tag's link, as far as it proves anything."""

    token: str  # SHA-256, hex
    read: SignedRead | None
    place: Mapping[str, Any]  # what hangs there, as `patrol_at` tells it

    @property
    def proof(self) -> int:
        return LINK_UNSIGNED if self.read is None else LINK_SIGNED

    @property
    def is_used(self) -> bool:
        """Whether a visit took this count, or a higher one, of the tag."""
        last = (self.place.get("tag") or {}).get("counter")
        return self.read is not None and isinstance(last, int) and self.read.counter <= last


def _nobody(_checkpoint: str) -> None:
    """Where nobody wants to know."""


@dataclass(slots=True)
class Phones:
    """`ask` is the daemon's own desk; `is_pin` takes its time, in a thread."""

    ask: Callable[[Request], Awaitable[Answer]]
    verify: Callable[[str], SignedRead | None] | None  # None: no tags that sign
    is_pin: Callable[[str, str], bool]
    mono: Callable[[], int]
    seen: Callable[[str], None] = _nobody  # a checkpoint, when a tag's page is opened there
    knocks: Knocks = field(default_factory=Knocks)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _visits: OrderedDict[tuple[str, str], asyncio.Task[Answer]] = field(default_factory=OrderedDict)
    _one_pin: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    _trying: int = 0
    _told_ms: dict[str, int] = field(default_factory=dict)  # no more than there are checkpoints

    async def handle(self, request: Request) -> Answer:
        """Return `{"ok": true, ...}` or `{"ok": false, "code": ..., "say": {zh, en}}`."""
        try:
            match request.get("verb"):
                case "stop":
                    return await self._stop(request)
                case "visit":
                    return await self._visit_once(request)
                case "leave":
                    return await self._leave(request)
                case _:
                    raise Refused("bad_request")
        except Refused as refused:
            return refusal(refused.code, **refused.more)
        except LinkUnsound as unsound:
            log.warning("a link was refused why=%s", unsound.code)
            return refusal(unsound.code)

    async def _stop(self, request: Request) -> Answer:
        """What is to be looked at where this tag hangs. Records nothing."""
        person = await self._known(request)
        link = await self._link(request, person)
        opened_ms, nonce = self.mono(), secrets.token_urlsafe(12)
        self._tell(str(link.place["checkpoint"]["code"]), opened_ms)
        return {
            "ok": True,
            **_shown(link, person),
            "seal": f"{opened_ms}.{nonce}.{self._mac(opened_ms, nonce, request)}",
        }

    def _tell(self, checkpoint: str, now_ms: int) -> None:
        """Let it be known that the tag is there; seldom, of a page that is opened all the time."""
        if now_ms - self._told_ms.get(checkpoint, -TOLD_EVERY_MS) >= TOLD_EVERY_MS:
            self._told_ms[checkpoint] = now_ms
            self.seen(checkpoint)

    async def _visit_once(self, request: Request) -> Answer:
        """The same form again is the same visit: a double tap, a reload, a lost answer."""
        nonce = _text(request, "seal", 120).split(".")[1:2]
        if not nonce:
            raise Refused("bad_request")
        key = (nonce[0], _text(request, "token", 64))
        task = self._visits.get(key)
        if task is None:
            task = self._visits[key] = asyncio.create_task(self._visit(dict(request)))
            while len(self._visits) > MOST_REMEMBERED:
                self._visits.popitem(last=False)
        try:
            answer = await asyncio.shield(task)
        except BaseException:
            self._visits.pop(key, None)
            raise
        if not answer["ok"]:
            self._visits.pop(key, None)
        return answer

    async def _visit(self, request: Request) -> Answer:
        person, new = await self._known(request), Answer()
        if person is None:
            person, new = await self._enter(request)
            request = {**request, **new}
        try:
            return {**await self._record(request, person), **new}
        except Refused as refused:  # who has given the PIN rightly need not give it again
            return {**refusal(refused.code, **refused.more), "person": person, **new}

    async def _record(self, request: Request, person: Mapping[str, Any]) -> Answer:
        link = await self._link(request, person)
        read = link.read
        visit: dict[str, object] = {
            "verb": "visit",
            "by": person["code"],
            "checkpoint": link.place["checkpoint"]["code"],
            "answers": _answers(request),
            "via": "phone",
            "proof": link.proof,
            "token": link.token,
            "note": _text(request, "note", LONGEST_TEXT),
            "hazard": _text(request, "hazard", LONGEST_TEXT),
        }
        if read is not None:
            visit |= {"uid": read.uid, "counter": read.counter}
        if (opened_ms := self._opened_ms(request)) is not None:
            visit["opened_ms"] = opened_ms
        visit["phone"] = digest(_text(request, "cookie", 64))
        said = await self.ask(visit)
        if said.get("code") == "bad_request":  # in words for programs
            raise Refused("bad_request")
        if not said.get("ok"):
            return {**said, "person": person}
        after = await self._link_now(link, person)
        return {"ok": True, "code": said.get("code"), "visit": said.get("case", ""),
                **_shown(after, person)}  # fmt: skip

    async def _leave(self, request: Request) -> Answer:
        """This phone is nobody's from now on."""
        person = await self._known(request)
        if person is not None:
            await self.ask({
                "verb": "phones_forget", "by": person["code"], "person": person["code"],
                "digest": digest(_text(request, "cookie", 64)),
            })  # fmt: skip
        return {"ok": True}

    async def _link(self, request: Request, person: Mapping[str, Any] | None) -> Link:
        """Return where the link leads. Raises Refused, LinkUnsound."""
        token, query = _text(request, "token", 64), _text(request, "query", LONGEST_QUERY)
        if not TOKEN.fullmatch(token):
            raise Refused("unknown_tag")
        read = self.verify(query) if self.verify is not None else None
        hashed = digest(token)
        place = await self._at({"token": hashed}, person)
        if read is not None:
            signed = await self._at({"uid": read.uid}, person)
            if place is None:  # a tag's own address is its UID: the token may be one for all
                place = signed
            elif signed is None or signed["checkpoint"] != place["checkpoint"]:
                raise Refused("sun_other_tag")
            elif signed.get("tag"):
                place = signed
        if place is None:
            raise Refused("unknown_tag")
        tag = place.get("tag") or {}
        if tag.get("is_retired"):
            raise Refused("tag_retired")
        if read is None and tag.get("kind") == "ntag424":
            raise Refused("sun_missing" if self.verify is not None else "sun_no_keys")
        return Link(hashed, read, place)

    async def _link_now(self, link: Link, person: Mapping[str, Any]) -> Link:
        """The same place after the visit."""
        code = link.place["checkpoint"]["code"]
        place = await self._at({"checkpoint": code}, person)
        if place is None:
            return link
        before, after = link.place.get("round") or {}, place.get("round") or {}
        if before and before.get("id") != after.get("id"):  # this was its last stop
            rounds = (await self.ask({"verb": "patrol_today"})).get("rounds") or ()
            ended = next((each for each in rounds if each["id"] == before["id"]), None)
            place = {**place, "round": ended or place.get("round"), "next": None}
        return Link(link.token, link.read, place)

    async def _at(
        self, where: Mapping[str, str], person: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        by = {} if person is None else {"by": person["code"]}
        place = await self.ask({"verb": "patrol_at", **where, **by})
        return place if place.get("ok") and place.get("checkpoint") else None

    async def _known(self, request: Request) -> Mapping[str, Any] | None:
        """Whose phone it is, by its cookie."""
        cookie = _text(request, "cookie", 64)
        if not COOKIE.fullmatch(cookie):
            return None
        found = await self.ask({"verb": "patrol_person", "phone": digest(cookie)})
        person = found.get("person")
        return person if person and person.get("is_valid") else None

    async def _enter(self, request: Request) -> tuple[Mapping[str, Any], Answer]:
        """Return who it is by name and PIN, with a cookie and for how long the phone keeps it."""
        name = _text(request, "name", LONGEST_NAME).strip()
        pin = _text(request, "pin", LONGEST_PIN).strip()
        if not name or not pin:
            raise Refused("no_person")
        keys = (f"name {name.casefold()}", f"from {_text(request, 'from', LONGEST_FROM)}")
        if (wait_ms := self.knocks.try_now(keys, self.mono())) > 0:
            raise Refused("wait", wait_ms=wait_ms)
        if self._trying >= MOST_TRYING:
            raise Refused("wait", wait_ms=1_000)
        people = (await self.ask({"verb": "patrol_people"})).get("people") or ()
        named = [each for each in people if name in (each["code"], each["name"])][:MOST_NAMESAKES]
        self._trying += 1
        try:
            async with self._one_pin:
                person = await asyncio.to_thread(self._whose, named, pin)
        finally:
            self._trying -= 1
        if person is None:
            self.knocks.fail(keys, self.mono())
            log.warning("a wrong PIN was given from=%r", _text(request, "from", LONGEST_FROM))
            raise Refused("wrong_pin")
        self.knocks.succeed(keys)
        if not person.get("is_valid"):
            raise Refused("not_valid")
        return person, await self._enrol(person["code"], is_own=request.get("is_own") is True)

    def _whose(self, named: list[Mapping[str, Any]], pin: str) -> Mapping[str, Any] | None:
        """Which of the people of one name has this PIN; nobody's name takes as long."""
        for each in named or [{}]:
            if self.is_pin(each.get("pin") or "", pin):
                return each
        return None

    async def _enrol(self, code: str, *, is_own: bool) -> Answer:
        cookie = secrets.token_urlsafe(24)
        keep_ms = OWN_PHONE_MS if is_own else WARD_PHONE_MS
        said = await self.ask({
            "verb": "phone_enrol", "by": code, "person": code, "digest": digest(cookie),
            "for_ms": keep_ms,
        })  # fmt: skip
        if not said.get("ok"):
            raise Refused("not_valid")
        return {"cookie": cookie, "keep_ms": keep_ms}

    def _mac(self, opened_ms: int, nonce: str, request: Request) -> str:
        of = f"{opened_ms}.{nonce}.{request.get('token')}.{request.get('query')}"
        return hmac.new(self._key, of.encode(), "sha256").hexdigest()[:32]

    def _opened_ms(self, request: Request) -> int | None:
        """When the page of this form was opened; None where another daemon sealed it."""
        opened, _, rest = _text(request, "seal", 120).partition(".")
        nonce, _, mac = rest.partition(".")
        if not (opened.isascii() and opened.isdigit()) or not mac.isascii():
            return None
        is_ours = hmac.compare_digest(mac, self._mac(int(opened), nonce, request))
        return int(opened) if is_ours else None


def refusal(code: str, **more: object) -> Answer:
    said = REFUSALS[code]
    return {"ok": False, "code": code, "error": said.en, "say": {"zh": said.zh, "en": said.en},
            **more}  # fmt: skip


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _shown(link: Link, person: Mapping[str, Any] | None) -> Answer:
    """What the phone may know: nothing that proves anything elsewhere."""
    kept = ("checkpoint", "items", "position", "of", "next", "is_visited", "alarms")
    place = {name: link.place.get(name) for name in kept}
    return {
        **place,
        "round": link.place.get("round"),
        "proof": link.proof,
        "is_used": link.is_used,
        "person": person and {name: person.get(name) for name in ("code", "name", "rights")},
    }


def _text(request: Request, name: str, most: int) -> str:
    """A text of the request, "" where it has none. Raises Refused when it is no text, or long."""
    text = request.get(name) or ""
    if not isinstance(text, str) or len(text) > most:
        raise Refused("bad_request")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise Refused("bad_request") from error
    return text


def _answers(request: Request) -> list[object]:
    answers = request.get("answers")
    if not isinstance(answers, list) or len(answers) > MOST_ANSWERS:
        raise Refused("bad_request")
    return answers
