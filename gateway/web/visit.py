"""The patroller's page: a tag's link opens it, GET shows, POST records.

What is filled in is never lost to a refusal, a wrong PIN or a daemon that is away: the page comes
back with it. Who it is and what the link proves is the daemon's to say.
"""

import asyncio
import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import Message, NoAnswer
from gateway.web.form import (
    DIGEST,
    Fields,
    Filled,
    answer_name,
    file_name,
    filled,
)
from gateway.web.page import phrase
from gateway.web.photos import NotKept, Photos
from gateway.web.visit_page import done_content, form_content, items_of, words_in
from gateway.web.visit_words import WORDS

log = logging.getLogger(__name__)

MOST_STOPS = 200  # that are known while the daemon is away
MOST_FIELDS, MOST_FILES = 120, 6
LONGEST_FIELD = 2_000
LONGEST_QUERY = 1_024
TOKEN = re.compile(r"[A-Za-z0-9_-]{4,64}")
FORM = re.compile(r"[A-Za-z0-9_-]{20,64}")
WAIT_AT_MOST_S = 15.0  # for a PIN's turn
UPLOAD_WITHIN_S = 60.0
UPLOADS_AT_ONCE = 4
NOT_KEPT = frozenset({"form", "pin", "act"})  # of the fields of a page that comes back
STATUS = {
    "unknown_tag": 404, "tag_retired": 410, "replayed": 409, "sun_forged": 403, "sun_damaged": 403,
    "sun_lrp": 403, "sun_mirror": 403, "sun_other_tag": 403, "sun_missing": 403,
    "sun_no_keys": 403, "wrong_pin": 403, "no_person": 403, "not_valid": 403, "wait": 429,
}  # fmt: skip
ENDS = frozenset(STATUS) - {"wrong_pin", "no_person", "not_valid", "wait"}  # no form helps there
NO_STORE = {"cache-control": "no-store"}

Ask = Callable[[Mapping[str, object]], Awaitable[Message]]
Render = Callable[..., str]


@dataclass(slots=True)
class Visits:
    """What the addresses of visits share. `ask` raises NoAnswer; `photos` None: nowhere to keep."""

    ask: Ask
    photos: Photos | None
    render: Render  # template name, lang, content -> page
    zone: Callable[[], object]
    language: Callable[[Request], Lang]
    stops: OrderedDict[tuple[str, str, str], Message] = field(default_factory=OrderedDict)
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_AT_ONCE))

    async def show(self, request: Request) -> Response:
        """The page of a stop; nothing is recorded by it, whoever fetches it."""
        visit = _Request(request, self.language(request))
        try:
            stop = await self._stop(visit)
        except NoAnswer:
            return self._sorry(visit, "away", "away_look", 503)
        if not stop.get("ok"):
            return self._refused(visit, stop)
        if stop.get("is_used"):
            return self._refused(visit, {**stop, "code": "replayed", "say": _USED})
        return self._form(visit, stop, {}, Filled(), "")

    async def record(self, request: Request) -> Response:
        visit = _Request(request, self.language(request))
        is_upload = request.headers.get("content-type", "").startswith("multipart/")
        try:
            async with (
                asyncio.timeout(UPLOAD_WITHIN_S),
                self.uploads if is_upload else _FREE,
                request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form,
            ):
                fields, problems = await self._read(form)
        except (TimeoutError, ClientDisconnect):
            return Response(status_code=408)
        if fields.get("act") == "leave":
            return await self._leave(visit, fields)
        stop = self.stops.get(visit.key)
        try:
            stop = stop or await self._stop(visit)
        except NoAnswer:
            return self._sorry(visit, "away", "away_what", 503, fields)
        if not stop.get("ok"):
            return self._refused(visit, stop)
        if not visit.is_ours(fields):
            return self._form(visit, stop, fields, Filled(), WORDS["stale_form"], 403)
        answers = filled(items_of(stop), fields, problems)
        if answers.problems:
            return self._form(visit, stop, fields, answers, WORDS["missing"], 422)
        try:
            said = await self._send(visit, fields, answers)
        except NoAnswer as problem:
            log.warning("a visit waits for the daemon why=%s", problem)
            return self._form(visit, stop, fields, Filled(), _AWAY, 503)
        except NotKept as problem:
            return self._form(visit, stop, fields, Filled(), WORDS[str(problem)], 503)
        return await self._answer(visit, stop, fields, said)

    async def _answer(
        self, visit: "_Request", stop: Message, fields: Fields, said: Message
    ) -> Response:
        """What the daemon decided, as a page."""
        code = str(said.get("code"))
        if said.get("ok"):
            content = done_content(said, zone=self.zone(), lang=visit.lang)
            return self._page(visit, "visited.html", content, 200, said)
        if code in ENDS:
            return self._refused(visit, said)
        with suppress(NoAnswer):  # what is asked may have changed
            fresh = await self._stop(visit)
            stop = fresh if fresh.get("ok") else stop
        if said.get("person"):
            stop = {**stop, "person": said["person"]}
        again = filled(items_of(stop), fields, {})
        marks = again if code == "items_missing" else Filled()
        say = said.get("say") or said.get("error")
        return self._form(visit, stop, fields, marks, say, STATUS.get(code, 422), said)

    async def _stop(self, visit: "_Request") -> Message:
        """Ask the daemon what is at this tag. Raises NoAnswer."""
        if not TOKEN.fullmatch(visit.token) or len(visit.query) > LONGEST_QUERY:
            return {"ok": False, "code": "unknown_tag", "say": _UNKNOWN}
        stop = await self.ask({"verb": "stop", **visit.who()})
        if stop.get("ok"):
            self.stops.pop(visit.key, None)
            self.stops[visit.key] = stop
            while len(self.stops) > MOST_STOPS:
                self.stops.popitem(last=False)
        return stop

    async def _send(self, visit: "_Request", fields: Fields, answers: Filled) -> Message:
        """Put the visit to the daemon; its photos are on disk before it names them.

        Raises NoAnswer, and NotKept where the disk does not take them.
        """
        photos = [str(each["value"]) for each in answers.answers if _is_photo(each, fields)]
        try:
            moved = await asyncio.to_thread(self._keep, photos)
        except OSError as error:
            log.warning("a photo was not kept why=%s", error)
            raise NotKept("no_photos") from error
        request = {
            "verb": "visit",
            **visit.who(),
            "answers": answers.answers,
            "is_own": bool(fields.get("is_own")),
            **{name: fields.get(name, "") for name in ("seal", "name", "pin", "note", "hazard")},
        }
        said = await self._ask_in_turn(request)
        if not said.get("ok"):
            await asyncio.to_thread(self._let_wait, moved)
        elif self.photos is not None and moved:
            await asyncio.to_thread(self.photos.make_room)
        return said

    async def _ask_in_turn(self, request: Mapping[str, object]) -> Message:
        """Ask again while it is not this PIN's turn yet."""
        end = asyncio.get_running_loop().time() + WAIT_AT_MOST_S
        while True:
            said = await self.ask(request)
            wait_ms = said.get("wait_ms")
            if not isinstance(wait_ms, int):
                return said
            if asyncio.get_running_loop().time() + wait_ms / 1000 > end:
                return said
            await asyncio.sleep(wait_ms / 1000)

    def _keep(self, photos: list[str]) -> list[str]:
        if self.photos is None:
            return []
        return [photo for photo in photos if self.photos.keep(photo)]

    def _let_wait(self, photos: list[str]) -> None:
        for photo in photos:
            if self.photos is not None:
                self.photos.let_wait(photo)

    async def _read(self, form: FormData) -> tuple[dict[str, str], dict[str, str]]:
        """Return the fields, each once and bounded, and the problems of photos by item."""
        fields = {
            name: value[:LONGEST_FIELD].replace("\x00", "")
            for name, value in form.multi_items()
            if isinstance(value, str)
        }
        problems: dict[str, str] = {}
        for name, value in form.multi_items():
            item = name.removeprefix(file_name(""))
            if not isinstance(value, UploadFile) or item == name or not value.size:
                continue
            try:
                if self.photos is None:
                    raise NotKept("no_photos")
                digest = await asyncio.to_thread(self.photos.take, value.file)
                fields[answer_name(item)] = digest
            except NotKept as problem:
                problems[item] = str(problem)
        for name, value in list(fields.items()):
            is_photo = name.startswith(answer_name("")) and DIGEST.fullmatch(value)
            if is_photo and not (self.photos and self.photos.has(value)):
                fields[name] = ""  # it had to make room, or never was
        return fields, problems

    async def _leave(self, visit: "_Request", fields: Fields) -> Response:
        if visit.is_ours(fields):
            with suppress(NoAnswer):
                await self.ask({"verb": "leave", **visit.who()})
        response = Response(status_code=303, headers={**NO_STORE, "location": visit.target})
        response.delete_cookie("person", path="/t")
        return response

    def _form(
        self,
        visit: "_Request",
        stop: Message,
        fields: Fields,
        marks: Filled,
        trouble: object,
        status: int = 200,
        said: Message | None = None,
    ) -> Response:
        content = form_content(
            stop,
            {**fields, "seal": fields.get("seal") or str(stop.get("seal") or "")},
            problems=marks.problems,
            trouble=_words(trouble, visit.lang),
            zone=self.zone(),
            lang=visit.lang,
        )
        is_asked = (said or {}).get("code") in ("wrong_pin", "no_person", "not_valid")
        return self._page(visit, "visit.html", {**content, "is_asked": is_asked}, status, said)

    def _refused(self, visit: "_Request", said: Message) -> Response:
        code = str(said.get("code"))
        say = _words(said.get("say") or said.get("error") or "cannot", visit.lang)
        return self._sorry(visit, say, "", STATUS.get(code, 422))

    def _sorry(
        self, visit: "_Request", say: str, what: str, status: int, fields: Fields | None = None
    ) -> Response:
        kept = [(name, value) for name, value in (fields or {}).items() if name not in NOT_KEPT]
        content = {
            "say": _words(say, visit.lang),
            "what": _words(what, visit.lang),
            "kept": kept,
        }
        return self._page(visit, "visit_sorry.html", content, status)

    def _page(
        self,
        visit: "_Request",
        template: str,
        content: Mapping[str, Any],
        status: int,
        said: Message | None = None,
    ) -> Response:
        page = self.render(
            template,
            lang=visit.lang.value,
            words=words_in(visit.lang),
            action=visit.target,
            form=visit.form,
            lang_links=visit.language_links(),
            **content,
        )
        response = HTMLResponse(page, status, headers=NO_STORE)
        visit.bake(response, said or {})
        return response


class _Request:
    """A request of a phone: where it leads, whose it may be, and the form that it was given."""

    __slots__ = ("cookie", "form", "is_new", "key", "lang", "query", "request", "target", "token")

    def __init__(self, request: Request, lang: Lang) -> None:
        self.request, self.lang = request, lang
        self.token = str(request.path_params["token"])
        self.query = request.scope["query_string"].decode("ascii")  # the guard lets no other by
        self.cookie = request.cookies.get("person", "")[:64]
        self.key = (self.token, self.query, self.cookie)  # a stop tells a phone whose it is
        self.target = f"/t/{self.token}" + (f"?{self.query}" if self.query else "")
        known = request.cookies.get("form", "")
        self.is_new = not FORM.fullmatch(known)
        self.form = secrets.token_urlsafe(24) if self.is_new else known

    def who(self) -> dict[str, object]:
        client = self.request.client
        return {
            "token": self.token,
            "query": self.query,
            "cookie": self.cookie,
            "from": network_of(client.host if client else ""),
        }

    def is_ours(self, fields: Fields) -> bool:
        """Whether the form came from a page of ours: what it says is in a cookie of ours too."""
        return not self.is_new and secrets.compare_digest(
            fields.get("form", "").encode(), self.form.encode()
        )

    def language_links(self) -> list[tuple[str, str, str, bool]]:
        kept = "&".join(
            part for part in self.query.split("&") if part and not part.startswith("lang=")
        )
        before = f"/t/{self.token}?{kept}{'&' if kept else ''}lang="
        names = (("中文", Lang.ZH), ("English", Lang.EN))
        return [(name, lang.value, before + lang.value, lang is self.lang) for name, lang in names]

    def bake(self, response: Response, said: Message) -> None:
        is_secure = self.request.scope["scheme"] == "https"
        if self.is_new:
            response.set_cookie(
                "form", self.form, path="/t", httponly=True, samesite="lax", secure=is_secure
            )
        cookie, keep_ms = said.get("cookie"), said.get("keep_ms")
        if isinstance(cookie, str) and isinstance(keep_ms, int):
            response.set_cookie(
                "person", cookie, keep_ms // 1000, path="/t", httponly=True, samesite="lax",
                secure=is_secure,
            )  # fmt: skip
        chosen = self.request.query_params.get("lang")
        if chosen == self.lang.value:
            response.set_cookie("lang", chosen, 31_536_000, httponly=True, samesite="lax")


_FREE: AbstractAsyncContextManager[None] = nullcontext()
_AWAY = Text(
    f"{WORDS['away'].zh}。{WORDS['away_what'].zh}", f"{WORDS['away'].en}. {WORDS['away_what'].en}"
)
_USED = {
    "zh": "这个链接已经用过：请重新贴标签",
    "en": "this link was used before: tap the tag again",
}
_UNKNOWN = {
    "zh": "没有登记这个标签：请告诉运维",
    "en": "this tag is not registered: tell the technician",
}


def network_of(host: str) -> str:
    """Return whose tries count together: an IPv4 address, or the /64 that a house gives out."""
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def _is_photo(answer: Mapping[str, object], fields: Fields) -> bool:
    value = answer["value"]
    return (
        isinstance(value, str)
        and DIGEST.fullmatch(value) is not None
        and (fields.get(answer_name(str(answer["item"]))) == value)
    )


def _words(said: object, lang: Lang) -> str:
    """A key of our words, a text in both languages, or nothing."""
    match said:
        case Text():
            return said.in_(lang)
        case Mapping():
            return phrase(said, lang)
        case str():
            return WORDS[said].in_(lang) if said in WORDS else said
        case _:
            return ""
