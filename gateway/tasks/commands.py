"""What people and programs ask of the running daemon over its socket, answered one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count

from gateway.domain.events import (
    Acknowledge,
    DrillEnded,
    DrillStarted,
    Event,
    LampTest,
    PointTestEnded,
    PointTestStarted,
    PostCheckAnswered,
    Reset,
    SelfTestAsked,
    Silence,
)
from gateway.domain.outcome import Reply

Request = Mapping[str, object]
Answer = dict[str, object]

MAX_BY = 64
MAX_ALARM = 300
MAX_WORDS = 200
MAX_DRILLED = 100  # rules of one drill
VERBS = (
    "status", "silence", "acknowledge", "reset", "panel_test", "drill_start", "drill_end",
    "test_start", "test_end", "answer_post_check", "self_test",
)  # fmt: skip

Query = Callable[[Request], Awaitable[Answer]]  # asks, changes nothing


class BadRequest(Exception):
    """The request cannot be understood; the text says what to send instead."""


class Desk:
    """Takes requests, puts them to the decider as events, and hands its replies back."""

    def __init__(
        self,
        put: Callable[[Event], None],
        status: Callable[[], Awaitable[Answer]],
        queries: Mapping[str, Query] | None = None,
    ) -> None:
        self._put = put
        self._status = status
        self._queries = queries or {}
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}

    def answer(self, reply: Reply) -> None:
        """Called by the decider: wake up whoever asked. A caller that has gone is passed over."""
        future = self._waiting.pop(reply.to, None)
        if future is not None and not future.done():
            future.set_result(reply)

    async def handle(self, request: Request) -> Answer:
        """Return `{"ok": true, ...}` or `{"ok": false, "code": ..., "error": ...}`."""
        try:
            if request.get("verb") == "status":
                return {"ok": True, **await self._status()}
            query = self._queries.get(str(request.get("verb")))
            if query is not None:
                return {"ok": True, **await query(request)}
            number = next(self._numbers)
            event = event_of(request, number)
        except BadRequest as problem:
            return {"ok": False, "code": "bad_request", "error": str(problem)}
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._put(event)
            async with asyncio.timeout(5):
                reply = await future
        except TimeoutError:
            return {"ok": False, "code": "no_answer", "error": "the decider did not answer in 5 s"}
        finally:
            self._waiting.pop(number, None)
        return {"ok": reply.ok, "code": reply.code}


def event_of(request: Request, reply_to: int) -> Event:
    """Return the event a request means, or raise BadRequest with what is wrong and what to do."""
    verb = request.get("verb")
    match verb:
        case "silence":
            return Silence(_by(request), reply_to)
        case "acknowledge":
            return Acknowledge(_by(request), _alarm(request), reply_to)
        case "reset":
            return Reset(_by(request), _alarm(request), reply_to)
        case "panel_test":
            return LampTest(_by(request), reply_to)
        case "drill_start":
            return DrillStarted(
                _by(request),
                _words(request, "scenario", is_needed=True),
                _words(request, "scope"),
                _rules(request),
                reply_to,
            )
        case "drill_end":
            return DrillEnded(_by(request), reply_to)
        case "test_start":
            return PointTestStarted(
                _by(request), _words(request, "point", is_needed=True), reply_to
            )
        case "test_end":
            return PointTestEnded(_by(request), _words(request, "point", is_needed=True), reply_to)
        case "answer_post_check":
            return PostCheckAnswered(_by(request), reply_to)
        case "self_test":
            return SelfTestAsked(_by(request), reply_to)
        case _:
            raise BadRequest(f"unknown verb {str(verb)[:40]!r}: use one of {', '.join(VERBS)}")


def _by(request: Request) -> str:
    by = request.get("by")
    if not isinstance(by, str) or not by.strip() or len(by) > MAX_BY:
        raise BadRequest(f"'by' must name who asks: a staff code of 1 to {MAX_BY} characters")
    return by


def _alarm(request: Request) -> str | None:
    alarm = request.get("alarm")
    if alarm is None:
        return None
    if not isinstance(alarm, str) or len(alarm) > MAX_ALARM:
        raise BadRequest("'alarm' must be a rule id or an occurrence; leave it out for all")
    return alarm


def _words(request: Request, name: str, *, is_needed: bool = False) -> str:
    words = request.get(name, "")
    is_short = isinstance(words, str) and len(words) <= MAX_WORDS
    if not isinstance(words, str) or not is_short or (is_needed and not words.strip()):
        least = 1 if is_needed else 0
        raise BadRequest(f"{name!r} must be a text of {least} to {MAX_WORDS} characters")
    return words.strip()


def _rules(request: Request) -> tuple[str, ...]:
    rules = request.get("rules", [])
    if (
        not isinstance(rules, list)
        or len(rules) > MAX_DRILLED
        or not all(isinstance(rule, str) and len(rule) <= MAX_ALARM for rule in rules)
    ):
        raise BadRequest(f"'rules' must be a list of at most {MAX_DRILLED} rule ids")
    return tuple(rules)
