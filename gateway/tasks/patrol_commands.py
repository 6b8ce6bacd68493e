"""What is asked of the patrol over the daemon's socket: verbs as events, every field bounded."""

import re
import sys
from collections.abc import Callable, Mapping
from datetime import date
from typing import TypeVar

from gateway.core import patrol_views as views
from gateway.core.patrol_views import MOST_DAYS
from gateway.core.state import State
from gateway.domain.events import (
    Event,
    FiguresSeen,
    PhoneEnrolled,
    PhonesForgotten,
    RoundCancelled,
    RoundEnded,
    RoundExplained,
    RoundSigned,
    RoundStarted,
    TagRegistered,
    TagRetired,
    TapSeen,
    VisitEntered,
)
from gateway.domain.moments import Now
from gateway.domain.patrol import Tag, TagKind
from gateway.domain.rounds import Answer, Via
from gateway.tasks.commands import STAFF_CODE, BadRequest, Maker, Query, Request
from gateway.tasks.commands import Answer as Told

MAX_ANSWERS = 64
MAX_TEXT = 500
MAX_NAME = 300
MAX_MS = 2**53
LONGEST_MS = 400 * 86_400_000  # that a phone may be remembered
HEX = re.compile(r"[0-9A-F]{2,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")
TAG_NAME = re.compile(r"(?:[0-9A-F]{2,64}|qr-[0-9a-f]{14})")
MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")

E = TypeVar("E", Via, TagKind)


def _visit(request: Request, to: int) -> Event:
    return VisitEntered(
        by=_code(request, "by"),
        checkpoint=_name(request, "checkpoint"),
        answers=_answers(request),
        proof=_whole(request, "proof", 4) or 0,
        via=_one_of(request, "via", Via, Via.PHONE),
        uid=_uid(request),
        token=_digest(request, "token"),
        counter=_whole(request, "counter", 2**32),
        opened_ms=_whole(request, "opened_ms", MAX_MS),
        phone=_digest(request, "phone"),
        note=_words(request, "note"),
        hazard=_words(request, "hazard"),
        reason=_words(request, "reason"),
        reply_to=to,
    )


def _tap(request: Request, to: int) -> Event:
    is_random = request.get("is_random", False)
    if not isinstance(is_random, bool):
        raise BadRequest("'is_random' must be true or false")
    return TapSeen(
        reader=_name(request, "reader"),
        uid=_uid(request, is_needed=True),
        token=_digest(request, "token"),
        proof=_whole(request, "proof", 4) or 0,
        counter=_whole(request, "counter", 2**32),
        is_random=is_random,
        tapped_ms=_whole(request, "tapped_ms", MAX_MS),
        reply_to=to,
    )


def _register(request: Request, to: int) -> Event:
    tag = Tag(
        uid=_tag_name(request),
        checkpoint=_name(request, "checkpoint"),
        kind=_one_of(request, "kind", TagKind, TagKind.NTAG21X),
        token=_digest(request, "token"),
        key_ref=_words(request, "key_ref", 64),
    )
    return TagRegistered(_code(request, "by"), tag, to)


def _enrol(request: Request, to: int) -> Event:
    for_ms = _whole(request, "for_ms", LONGEST_MS)
    if not for_ms:
        raise BadRequest(f"'for_ms' must be ms, from 1 to {LONGEST_MS}")
    return PhoneEnrolled(
        _code(request, "by"),
        _code(request, "person"),
        _digest(request, "digest", is_needed=True),
        for_ms,
        _words(request, "label", 64),
        to,
    )


def _seen(request: Request, to: int) -> Event:
    return FiguresSeen(_code(request, "by"), month_of(request), to)


MAKERS: Mapping[str, Maker] = {
    "visit": _visit,
    "tap": _tap,
    "round_start": lambda r, to: RoundStarted(_code(r, "by"), _name(r, "round"), to),
    "round_end": lambda r, to: RoundEnded(
        _code(r, "by"), _name(r, "round"), _words(r, "reason"), to
    ),
    "round_cancel": lambda r, to: RoundCancelled(
        _code(r, "by"), _name(r, "round"), _words(r, "reason"), to
    ),
    "round_explain": lambda r, to: RoundExplained(
        _code(r, "by"), _name(r, "round"), _words(r, "reason"), to
    ),
    "round_sign": lambda r, to: RoundSigned(
        _code(r, "by"), _name(r, "round"), _words(r, "note"), to
    ),
    "tag_register": _register,
    "tag_retire": lambda r, to: TagRetired(_code(r, "by"), _tag_name(r), _words(r, "why"), to),
    "phone_enrol": _enrol,
    "phones_forget": lambda r, to: PhonesForgotten(
        _code(r, "by"), _code(r, "person"), _digest(r, "digest"), to
    ),
    "figures_seen": _seen,
}


def patrol_queries(state: Callable[[], State], now: Callable[[], Now]) -> Mapping[str, Query]:
    """What can be asked of the patrol and changes nothing, by verb."""
    answers: dict[str, Callable[[Request], Told]] = {
        "patrol_today": lambda _: views.today_view(state(), now()),
        "patrol_rounds": lambda r: views.rounds_view(state(), now(), day_of(r)),
        "patrol_plan": lambda r: views.plan_view(state(), now(), days_of(r, MOST_DAYS)),
        "patrol_month": lambda r: views.month_view(
            state(), now(), month_of(r), _words(r, "by", 64)
        ),
        "patrol_at": lambda r: views.at_view(
            state(), now(), code=_words(r, "checkpoint", MAX_NAME), token=_digest(r, "token"),
            uid=_uid(r),
        ),
        "patrol_person": lambda r: {
            "person": views.person_view(
                state(), now(), code=_words(r, "code", 64), card=_words(r, "card", 64),
                phone=_digest(r, "phone"),
            )
        },
        "patrol_people": lambda _: {"people": views.people_view(state(), now())},
        "patrol_tags": lambda _: {"tags": views.tags_view(state())},
    }  # fmt: skip
    return {verb: _asked(answer) for verb, answer in answers.items()}


def _asked(answer: Callable[[Request], Told]) -> Query:
    async def ask(request: Request) -> Told:
        return answer(request)

    return ask


def month_of(request: Request) -> str:
    month = request.get("month")
    if not isinstance(month, str) or not MONTH.fullmatch(month):
        raise BadRequest("'month' must be a month, as 2026-11")
    return month


def day_of(request: Request, name: str = "date") -> str:
    day = request.get(name)
    try:
        return date.fromisoformat(day).isoformat() if isinstance(day, str) else _no_day(name)
    except ValueError:
        return _no_day(name)


def days_of(request: Request, most: int) -> int:
    days = request.get("days", 7)
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= most:
        raise BadRequest(f"'days' must be from 1 to {most}")
    return days


def text_of(request: Request, name: str) -> str:
    """A short text of a question; "" where there is none."""
    return _words(request, name, MAX_NAME)


def _no_day(name: str) -> str:
    raise BadRequest(f"{name!r} must be a date, as 2026-11-21")


def _code(request: Request, name: str) -> str:
    code = request.get(name)
    if not isinstance(code, str) or not STAFF_CODE.fullmatch(code):
        raise BadRequest(f"{name!r} must be a staff code of letters and digits, no name")
    return code


def _name(request: Request, name: str) -> str:
    words = _words(request, name, MAX_NAME)
    if not words:
        raise BadRequest(f"{name!r} must be given")
    return words


def _words(request: Request, name: str, most: int = MAX_TEXT) -> str:
    words = request.get(name, "")
    if not isinstance(words, str) or len(words) > most:
        raise BadRequest(f"{name!r} must be a text of at most {most} characters")
    return words.strip()


def _uid(request: Request, *, is_needed: bool = False) -> str:
    uid = request.get("uid", "")
    is_uid = isinstance(uid, str) and TAG_NAME.fullmatch(uid) is not None
    if not (is_uid or (uid == "" and not is_needed)):
        raise BadRequest("'uid' must be upper-case hex digits without separators")
    return str(uid)


def _tag_name(request: Request) -> str:
    return _uid(request, is_needed=True)


def _digest(request: Request, name: str, *, is_needed: bool = False) -> str:
    digest = request.get(name, "")
    is_digest = isinstance(digest, str) and DIGEST.fullmatch(digest) is not None
    if not (is_digest or (digest == "" and not is_needed)):
        raise BadRequest(f"{name!r} must be a SHA-256 in 64 lower-case hex digits")
    return str(digest)


def _whole(request: Request, name: str, most: int) -> int | None:
    number = request.get(name)
    if number is None:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
        raise BadRequest(f"{name!r} must be a whole number from 0 to {most}")
    return number


def _one_of(request: Request, name: str, kind: type[E], usual: E) -> E:
    value = str(request.get(name, usual.value))
    if value not in set(kind):
        raise BadRequest(f"{name!r} must be one of {', '.join(kind)}")
    return kind(value)


def _answers(request: Request) -> tuple[Answer, ...]:
    answers = request.get("answers")
    if not isinstance(answers, list) or len(answers) > MAX_ANSWERS:
        raise BadRequest(f"'answers' must be a list of at most {MAX_ANSWERS}")
    return tuple(map(_answer, answers))


def _answer(said: object) -> Answer:
    if not isinstance(said, dict):
        raise BadRequest("an answer must be {item, value, spent_ms?}")
    value = said.get("value")
    is_text = isinstance(value, str) and len(value) <= MAX_NAME
    if not is_text and not _is_finite(value):
        raise BadRequest("the value of an answer must be a text or a number")
    item = _name(said, "item")
    return Answer(item, value, _whole(said, "spent_ms", MAX_MS))  # type: ignore[arg-type] # as checked


def _is_finite(value: object) -> bool:
    """Whether it is a number that a float holds; JSON writes whole ones of any length."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max
