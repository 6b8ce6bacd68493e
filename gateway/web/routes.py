"""The addresses of the console: the page, its changing part once or as a stream, own files."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.domain.text import Lang
from gateway.web.feed import Feed
from gateway.web.guard import App, guarded
from gateway.web.page import Shown
from gateway.web.photos import Photos
from gateway.web.rendering import Asset, Pages, load_assets, load_pages
from gateway.web.visit import Ask, Visits

MOST_STREAMS = 16
AT_LEAST_EVERY_S = 5.0  # a page that hears nothing for 12 s says that its connection is lost
RENDER_AGAIN_S = 0.2  # pages that ask together get the same rendering
RETRY_MS = 2_000
YEAR_S = 31_536_000
NO_STORE = {"cache-control": "no-store"}


@dataclass(slots=True)
class Desk:
    """What the addresses share."""

    feed: Feed
    lang: Lang
    stopping: asyncio.Event
    assets: dict[str, Asset] = field(default_factory=load_assets)
    streams: int = 0
    pages: Pages = field(init=False)
    rendered: dict[Lang, tuple[int, float, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pages = load_pages(self.assets)

    def shown(self) -> Shown:
        feed, now = self.feed, time.monotonic()
        return Shown(
            feed.snapshot,
            None if feed.got_s is None else round(1000 * (now - feed.got_s)),
            feed.lost,
            round(1000 * (now - feed.lost_s)),
        )

    def part(self, lang: Lang) -> str:
        """The changing part as of now."""
        version, now = self.feed.version, time.monotonic()
        known = self.rendered.get(lang)
        if known is None or known[0] != version or now - known[1] > RENDER_AGAIN_S:
            known = self.rendered[lang] = (version, now, self.pages.part(self.shown(), lang))
        return known[2]


def build(
    feed: Feed,
    *,
    lang: Lang,
    hosts: Collection[str],
    stopping: asyncio.Event,
    ask: Ask,
    photos: Photos | None = None,
) -> App:
    """Return the console as an ASGI application. `lang` is for browsers that ask for neither."""
    desk = Desk(feed, lang, stopping)
    visits = Visits(
        ask,
        photos,
        desk.pages.visit,
        lambda: desk.feed.snapshot.get("site", {}).get("timezone"),
        lambda request: _language(request, desk.lang),
    )

    async def page(request: Request) -> Response:
        chosen = _language(request, desk.lang)
        response = HTMLResponse(desk.pages.whole(desk.shown(), chosen), headers=NO_STORE)
        if request.query_params.get("lang") == chosen.value:
            response.set_cookie("lang", chosen.value, YEAR_S, httponly=True, samesite="lax")
        return response

    async def now(request: Request) -> Response:
        return HTMLResponse(desk.part(_language(request, desk.lang)), headers=NO_STORE)

    async def events(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream", headers=NO_STORE)
        if desk.streams >= MOST_STREAMS:
            return PlainTextResponse(
                "too many pages are open", 503, headers={**NO_STORE, "retry-after": "5"}
            )
        return StreamingResponse(
            _stream(desk, _language(request, desk.lang)),
            media_type="text/event-stream",
            headers=NO_STORE,
        )

    async def static(request: Request) -> Response:
        asset = desk.assets.get(request.path_params["name"])
        if asset is None:
            return await missing(request, None)
        is_named = request.query_params.get("v") == asset.version
        keep = f"public, max-age={YEAR_S}, immutable" if is_named else "no-cache"
        return Response(asset.body, media_type=asset.media_type, headers={"cache-control": keep})

    async def health(_request: Request) -> Response:
        why = desk.feed.lost
        return PlainTextResponse(why or "ok", 503 if why else 200, headers=NO_STORE)

    async def missing(request: Request, _error: Exception | None) -> Response:
        said = desk.pages.missing(_language(request, desk.lang))
        return HTMLResponse(said, 404, headers=NO_STORE)

    routes = [
        Route("/", page),
        Route("/now", now),
        Route("/events", events),
        Route("/healthz", health),
        Route("/static/{name}", static),
        Route("/t/{token}", visits.show),
        Route("/t/{token}", visits.record, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={404: missing})
    return guarded(app, hosts, posts_to="/t/")


async def _stream(desk: Desk, lang: Lang) -> AsyncIterator[bytes]:
    """The changing part whenever there is something newer, and at least every 5 s.

    A reader that is slow gets the newest when it reads again: nothing is queued for it.
    """
    desk.streams += 1
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        while not desk.stopping.is_set():
            version = desk.feed.version
            yield event("show", desk.part(lang))
            await desk.feed.later_than(version, AT_LEAST_EVERY_S)
    finally:
        desk.streams -= 1


def event(name: str, data: str) -> bytes:
    """One server-sent event; every line of the data is a line of its own.

    Source: WHATWG HTML, 9.2.6.
    """
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {name}\n{lines}\n".encode()


def _language(request: Request, usual: Lang) -> Lang:
    """What was chosen, else what was chosen before, else what the browser wants."""
    for asked in (request.query_params.get("lang"), request.cookies.get("lang")):
        if asked in set(Lang):
            return Lang(asked)
    return wanted(request.headers.get("accept-language", ""), usual)


def wanted(header: str, usual: Lang) -> Lang:
    """Return the first of our languages in an Accept-Language header by its weight."""
    weighted = []
    for place, part in enumerate(header.split(",")[:16]):
        tag, _, weight = part.strip().partition(";")
        primary = tag.strip().lower().partition("-")[0]
        if primary in set(Lang):
            weighted.append((-_weight(weight), place, Lang(primary)))
    return min(weighted)[2] if weighted else usual


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    try:
        return min(1.0, max(0.0, float(value))) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
