"""A house with a patrol, as small as can be: the daemon's side of phones with a desk of its own.

The desk answers as `gateway.tasks.patrol_commands` and `gateway.core.patrol_views` do.
"""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from gateway.domain.text import Lang
from gateway.drivers.sockets import NoAnswer
from gateway.drivers.sun import SunKeys, mac_of, verify
from gateway.tasks.phones import Phones
from gateway.web.feed import Feed
from gateway.web.photos import Photos
from gateway.web.routes import build

KEYS = SunKeys(bytes(16), bytes(range(16)))
UID = "04DE5F1EACC040"
PIN = "4711"
ITEMS = [
    {"id": "panel", "say": {"zh": "配电箱无异味、不发热", "en": "Board: no smell, not hot"},
     "type": "ok_bad"},
    {"id": "exit", "say": {"zh": "通道畅通", "en": "Way out is free"}, "type": "ok_bad"},
    {"id": "pressure", "say": {"zh": "消防水压力", "en": "Fire-water pressure"}, "type": "number",
     "unit": "MPa", "low": 0.2, "high": 0.6, "is_drawn": True},
]  # fmt: skip
PHOTO = {"id": "photo", "say": {"zh": "拍压力表", "en": "Photo of the gauge"}, "type": "photo",
         "is_drawn": True}  # fmt: skip
CHOICE = {"id": "door", "say": {"zh": "防火门", "en": "Fire door"}, "type": "choice",
          "choices": [{"id": "shut", "say": {"zh": "关闭", "en": "shut"}, "is_bad": False},
                      {"id": "open", "say": {"zh": "开启", "en": "open"}, "is_bad": True}],
          }  # fmt: skip
PLACES = {"2F-EPS": "2F 东配电间", "2F-KITCHEN": "2F 厨房", "2F-STAIR-E": "2F 东楼梯"}
TOKENS = {"2F-EPS": "eps-token", "2F-KITCHEN": "kitchen-token", "2F-STAIR-E": "stair-token"}


def sun_query(counter: int, uid: str = UID, keys: SunKeys = KEYS) -> str:
    """The query that a tag writes at its read number `counter`."""
    raw, count = bytes.fromhex(uid), counter.to_bytes(3, "little")
    mac = mac_of(keys.file_of(raw), raw, count).hex().upper()
    return f"uid={uid}&ctr={counter:06X}&cmac={mac}"


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(slots=True)
class PatrolHouse:
    """What the daemon would know; `visits` are those that it recorded."""

    items: list[dict[str, Any]] = field(default_factory=lambda: [*ITEMS])
    people: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"code": "s07", "name": "张敏", "level": 2, "is_valid": True, "pin": PIN},
            {"code": "s08", "name": "李强", "level": 2, "is_valid": True, "pin": "0815"},
            {"code": "s09", "name": "王芳", "level": 2, "is_valid": False, "pin": "1234"},
        ]
    )
    visits: list[dict[str, Any]] = field(default_factory=list)
    enrolled: dict[str, str] = field(default_factory=dict)
    tag: dict[str, Any] = field(
        default_factory=lambda: {"uid": UID, "kind": "ntag424", "counter": None}
    )
    is_away: bool = False
    alarms: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    mono_ms: int = 1_000_000
    pins: int = 0  # how often one was compared
    phones: Phones = field(init=False)

    def __post_init__(self) -> None:
        self.phones = Phones(
            self.desk, lambda query: verify(query, KEYS), self.is_pin, lambda: self.mono_ms
        )

    def is_pin(self, known: str, pin: str) -> bool:
        self.pins += 1
        return bool(known) and known == pin

    async def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """As the console asks the daemon's socket."""
        if self.is_away:
            raise NoAnswer("nobody listens")
        return await self.phones.handle(dict(request))

    async def answer(self, request: dict[str, Any], _peer: object) -> dict[str, Any]:
        """As the daemon's socket is asked."""
        if request.get("verb") == "watch":
            await asyncio.sleep(0.2)
            site = {"id": "elm", "name": "榆园养老院", "timezone": "Asia/Shanghai"}
            return {"ok": True, "n": 1, "site": site, "top": "normal"}
        return await self.phones.handle(request)

    async def desk(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(dict(request))
        match request["verb"]:
            case "patrol_at":
                return {"ok": True, **self.at(request)}
            case "patrol_people":
                return {"ok": True, "people": self.people}
            case "patrol_person":
                code = self.enrolled.get(request["phone"])
                found = [each for each in self.people if each["code"] == code]
                return {"ok": True, "person": found[0] if found else None}
            case "phone_enrol":
                self.enrolled[request["digest"]] = request["person"]
                return {"ok": True, "code": "done"}
            case "phones_forget":
                self.enrolled.pop(request["digest"], None)
                return {"ok": True, "code": "done"}
            case "visit":
                return self.visit(request)
            case other:
                raise AssertionError(other)

    def at(self, request: Mapping[str, Any]) -> dict[str, Any]:
        by_token = {hashed(token): code for code, token in TOKENS.items()}
        code = request.get("checkpoint") or by_token.get(request.get("token", ""))
        code = "2F-EPS" if request.get("uid") == UID else code
        if code not in PLACES:
            return {"checkpoint": None}
        tag = self.tag if code == "2F-EPS" else {"uid": "04AA", "kind": "ntag21x", "counter": None}
        visited = {visit["checkpoint"]: n for n, visit in reversed([*enumerate(self.visits, 1)])}
        left = [each for each in PLACES if each not in visited]
        stops = [
            {"checkpoint": each, "name": name,
             "state": "done" if each in visited else "next" if left[0] == each else "missing",
             "visit": {"visit": f"e-B-{visited[each]}", "at": 1_790_000_041_000,
                       "proof": self.visits[visited[each] - 1]["proof"],
                       "flags": [{"flag": "too_fast", "say": {"zh": "过快", "en": "Too fast"}}],
                       "bad": ["exit"]} if each in visited else None}
            for each, name in PLACES.items()
        ]  # fmt: skip
        following = next((each for each in left if each != code), None)
        return {
            "checkpoint": {"code": code, "name": PLACES[code], "place": PLACES[code], "near": []},
            "tag": tag,
            "items": self.items,
            "round": {"id": "night/2026-11-22/0200", "name": "二楼夜巡",
                      "opens_at": 1_790_000_000_000, "closes_at": 1_790_007_200_000,
                      "stops": stops, "done": len(PLACES) - len(left), "of": len(PLACES)},
            "position": 1, "of": 3,
            "next": following and {
                "code": following, "name": PLACES[following], "place": "", "leg_min_ms": 60_000},
            "is_visited": code in visited,
            "alarms": self.alarms,
        }  # fmt: skip

    def visit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The decider's part: every item answered, a counter that rises, one visit each."""
        given = {answer["item"] for answer in request["answers"]}
        if given != {item["id"] for item in self.items}:
            return {"ok": False, "code": "items_missing",
                    "say": {"zh": "还有项目没有回答", "en": "items are missing"}}  # fmt: skip
        counter = request.get("counter")
        if counter is not None:
            last = self.tag["counter"]
            if last is not None and counter <= last:
                return {"ok": False, "code": "replayed",
                        "say": {"zh": "链接已经用过", "en": "this link was used"}}  # fmt: skip
            self.tag = {**self.tag, "counter": counter}
        self.visits.append(dict(request))
        return {"ok": True, "code": "done", "case": f"e-B-{len(self.visits)}"}


def form_of(page: str) -> dict[str, str]:
    """The hidden fields of a page's first form."""
    first = page.partition("</form>")[0]
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', first)
    return {name: unescape(value) for name, value in found}


def encoded(fields: Mapping[str, str]) -> bytes:
    return "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in fields.items()).encode()


@dataclass(slots=True)
class Page:
    """An answer of the application."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def form(self) -> dict[str, str]:
        return form_of(self.body)


@dataclass(slots=True)
class Phone:
    """A browser with cookies, speaking ASGI: no port, no process."""

    app: Any
    address: str = "192.168.1.9"
    host: str = "192.168.1.20:8080"
    lang: str = "en"
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, target: str, **headers: str) -> Page:
        return await self.send("GET", target, headers=headers)

    async def post(self, target: str, fields: Mapping[str, str], **headers: str) -> Page:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return await self.send("POST", target, encoded(fields), headers={**kind, **headers})

    async def upload(
        self, target: str, fields: Mapping[str, str], files: Mapping[str, bytes]
    ) -> Page:
        lines = [
            f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        lines += [
            f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="p.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n".encode()
            + data
            + b"\r\n"
            for name, data in files.items()
        ]
        body = b"".join(lines) + b"--edge--\r\n"
        kind = {"content-type": "multipart/form-data; boundary=edge"}
        return await self.send("POST", target, body, headers=kind)

    async def send(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Page:
        path, _, query = target.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {
            "host": self.host, "accept-language": self.lang, "content-length": str(len(body)),
            **({"cookie": cookie} if cookie else {}), **(headers or {}),
        }  # fmt: skip
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": unquote(path), "raw_path": path.encode("latin-1", "replace"),
            "root_path": "", "query_string": query.encode("latin-1", "replace"),
            "headers": [(k.replace("_", "-").encode(), v.encode("latin-1", "replace"))
                        for k, v in given.items()],
            "client": (self.address, 40_000), "server": ("192.168.1.20", 8080),
        }  # fmt: skip
        coming = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def take(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, take)
        found = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in sent[0]["headers"]]
        self._bake(found)
        whole = b"".join(part.get("body", b"") for part in sent[1:])
        return Page(sent[0]["status"], found, whole.decode("utf-8", "replace"))

    def _bake(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                text, _, how = rest.partition(";")
                if "max-age=0" in how.lower():
                    self.cookies.pop(key, None)
                else:
                    self.cookies[key] = text.strip('"')


def app_of(house: Any, photos: Path | None = None) -> Any:
    """The console as an application, its daemon in this process."""
    feed = Feed()
    feed.take({"site": {"name": "榆园养老院", "timezone": "Asia/Shanghai"}, "top": "normal"})
    return build(
        feed, lang=Lang.ZH, hosts=["localhost"], stopping=asyncio.Event(), ask=house.ask,
        photos=None if photos is None else Photos(photos),
    )  # fmt: skip
