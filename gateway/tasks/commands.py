"""What people and programs ask of the running daemon over its socket, answered one by one."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import count

from gateway.domain.cases import ACTIONS, MAX_TEXT
from gateway.domain.events import (
    Acknowledge,
    Arrive,
    Close,
    DrillEnded,
    DrillStarted,
    Event,
    Handle,
    LampTest,
    MissedEntered,
    PointTestEnded,
    PointTestStarted,
    PostCheckAnswered,
    PutInService,
    Reset,
    SelfTestAsked,
    Shelve,
    Silence,
    TakeOutOfService,
    Unshelve,
)
from gateway.domain.inhibits import SHELVED_AT_MOST_MS
from gateway.domain.outcome import Reply

Request = Mapping[str, object]
Answer = dict[str, object]

STAFF_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")  # goes up; names stay in the house
MAX_BY = 64
MAX_ALARM = 300
MAX_WORDS = 200
MAX_FINDINGS = 20
MAX_HEADS = 100_000
MAX_DRILLED = 100  # rules of one drill
VERBS = (
    "status", "silence", "acknowledge", "reset", "panel_test", "drill_start", "drill_end",
    "test_start", "test_end", "answer_post_check", "self_test", "arrive", "handle", "close",
    "missed",
    "shelve", "unshelve", "take_out_of_service", "put_in_service",
)  # fmt: skip

ANSWER_WITHIN_S = 5.0
NO_ANSWER = "no_answer"

Query = Callable[[Request], Awaitable[Answer]]  # asks, changes nothing
Maker = Callable[[Request, int], Event]  # of a request and the number that is replied to


class BadRequest(Exception):
    """The request cannot be understood; the text says what to send instead."""


class Desk:
    """Takes requests, puts them to the decider as events, and hands its replies back."""

    def __init__(
        self,
        put: Callable[[Event], None],
        status: Callable[[], Awaitable[Answer]],
        queries: Mapping[str, Query] | None = None,
        makers: Mapping[str, Maker] | None = None,
    ) -> None:
        self._put = put
        self._status = status
        self._queries = queries or {}
        self._makers = makers or {}
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
            return await self.ask(lambda number: self._put_first(request, number))
        except BadRequest as problem:
            return {"ok": False, "code": "bad_request", "error": str(problem)}

    async def ask(
        self, put: Callable[[int], Awaitable[None]], within_s: float = ANSWER_WITHIN_S
    ) -> Answer:
        """Put an event that asks for a reply to this number, and wait for the decider's."""
        number = next(self._numbers)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(within_s):
                await put(number)
                reply = await future
        except TimeoutError:
            if not future.done() or future.cancelled():
                error = f"the decider did not answer in {within_s:.0f} s"
                return {"ok": False, "code": NO_ANSWER, "error": error}
            reply = future.result()  # it came in the same turn of the loop: it is decided
        finally:
            self._waiting.pop(number, None)
        return _answer_of(reply)

    async def _put_first(self, request: Request, number: int) -> None:
        make = self._makers.get(str(request.get("verb")), event_of)
        self._put(make(request, number))


def _answer_of(reply: Reply) -> Answer:
    """What the caller gets: with the refusal's words and the case, where there are any."""
    answer: Answer = {"ok": reply.ok, "code": reply.code}
    if reply.say is not None:
        answer["error"] = reply.say.en
        answer["say"] = {"zh": reply.say.zh, "en": reply.say.en}
    if reply.case:
        answer["case"] = reply.case
    return answer


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
        case "shelve":
            return Shelve(
                _by(request),
                _words(request, "alarm", is_needed=True, most=MAX_ALARM),
                _length(request, "for_ms", SHELVED_AT_MOST_MS),
                _words(request, "why", is_needed=True),
                reply_to,
            )
        case "unshelve":
            alarm = _words(request, "alarm", is_needed=True, most=MAX_ALARM)
            return Unshelve(_by(request), alarm, reply_to)
        case "take_out_of_service":
            return TakeOutOfService(
                _by(request),
                _words(request, "subject", is_needed=True, most=MAX_ALARM),
                _words(request, "why", is_needed=True),
                _words(request, "order", is_needed=True),
                reply_to,
            )
        case "put_in_service":
            subject = _words(request, "subject", is_needed=True, most=MAX_ALARM)
            return PutInService(_by(request), subject, reply_to)
        case "panel_test":
            return LampTest(_by(request), reply_to, _words(request, "output"))
        case "drill_start":
            return DrillStarted(
                _by(request),
                _words(request, "scenario", is_needed=True),
                _words(request, "scope"),
                _rules(request),
                reply_to,
            )
        case "drill_end":
            heads = _count(request, "counted"), _count(request, "expected")
            return DrillEnded(_by(request), reply_to, *heads, _findings(request))
        case "test_start":
            return PointTestStarted(
                _by(request),
                _words(request, "point", is_needed=True),
                reply_to,
                _words(request, "simulate", most=MAX_ALARM),
            )
        case "test_end":
            return PointTestEnded(_by(request), _words(request, "point", is_needed=True), reply_to)
        case "answer_post_check":
            return PostCheckAnswered(_by(request), reply_to)
        case "self_test":
            return SelfTestAsked(_by(request), reply_to)
        case "arrive" | "handle" | "close" | "missed":
            return _case_event(request, reply_to)
        case _:
            raise BadRequest(f"unknown verb {str(verb)[:40]!r}: use one of {', '.join(VERBS)}")


def _by(request: Request) -> str:
    by = request.get("by")
    if not isinstance(by, str) or not STAFF_CODE.fullmatch(by):
        raise BadRequest(
            f"'by' must name who asks: a staff code of 1 to {MAX_BY} letters and digits, no name"
        )
    return by


def _case_event(request: Request, reply_to: int) -> Event:
    """The verbs on cases; an arrival is at a case or, without one, at a place."""
    by = _by(request)
    match request.get("verb"):
        case "arrive":
            alarm, place = _alarm(request), _words(request, "place")
            if alarm is None and not place:
                raise BadRequest("'alarm' or 'place' must say where somebody has arrived")
            return Arrive(by, alarm, place, reply_to=reply_to)
        case "handle":
            return Handle(
                by,
                _words(request, "case", is_needed=True, most=MAX_ALARM),
                _words(request, "verdict", is_needed=True),
                _words(request, "cause"),
                _actions(request),
                _words(request, "text", most=MAX_TEXT),
                _yes_or_no(request, "called_119"),
                _yes_or_no(request, "evacuated"),
                reply_to,
            )
        case "close":
            return Close(by, _words(request, "case", is_needed=True, most=MAX_ALARM), reply_to)
        case _:
            return MissedEntered(
                by,
                _words(request, "place", is_needed=True),
                _words(request, "text", most=MAX_TEXT),
                _words(request, "cause"),
                _words(request, "point"),
                _moment(request, "told_ms"),
                reply_to,
            )


def _actions(request: Request) -> tuple[str, ...]:
    actions = request.get("actions", [])
    if not isinstance(actions, list) or not all(isinstance(each, str) for each in actions):
        raise BadRequest("'actions' must be a list of action codes")
    if len(actions) > len(ACTIONS):
        raise BadRequest(f"'actions' must be at most {len(ACTIONS)} codes")
    return tuple(dict.fromkeys(actions))


def _yes_or_no(request: Request, name: str) -> bool | None:
    answer = request.get(name)
    if answer is not None and not isinstance(answer, bool):
        raise BadRequest(f"{name!r} must be true or false; leave it out when nobody knows")
    return answer


def _length(request: Request, name: str, most_ms: int) -> int:
    length = request.get(name)
    if not isinstance(length, int) or isinstance(length, bool) or not 0 < length <= most_ms:
        raise BadRequest(f"{name!r} must be ms, from 1 to {most_ms} ({most_ms // 3_600_000} h)")
    return length


def _count(request: Request, name: str) -> int | None:
    count = request.get(name)
    if count is None:
        return None
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_HEADS:
        raise BadRequest(f"{name!r} must be a number of people, 0 to {MAX_HEADS}")
    return count


def _findings(request: Request) -> tuple[str, ...]:
    findings = request.get("findings", [])
    if not isinstance(findings, list) or len(findings) > MAX_FINDINGS:
        raise BadRequest(f"'findings' must be a list of at most {MAX_FINDINGS} sentences")
    if not all(isinstance(each, str) and 0 < len(each.strip()) <= MAX_WORDS for each in findings):
        raise BadRequest(f"each of 'findings' must have 1 to {MAX_WORDS} characters")
    return tuple(each.strip() for each in findings)


def _moment(request: Request, name: str) -> int | None:
    at = request.get(name)
    if at is None:
        return None
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < 2**53:
        raise BadRequest(f"{name!r} must be UTC in ms")
    return at


def _alarm(request: Request) -> str | None:
    alarm = request.get("alarm")
    if alarm is None:
        return None
    if not isinstance(alarm, str) or len(alarm) > MAX_ALARM:
        raise BadRequest("'alarm' must be a rule id or an occurrence; leave it out for all")
    return alarm


def _words(request: Request, name: str, *, is_needed: bool = False, most: int = MAX_WORDS) -> str:
    words = request.get(name, "")
    is_short = isinstance(words, str) and len(words) <= most
    if not isinstance(words, str) or not is_short or (is_needed and not words.strip()):
        least = 1 if is_needed else 0
        raise BadRequest(f"{name!r} must be a text of {least} to {most} characters")
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
