"""What is said of an acceptance over the daemon's socket: verbs as events, every field bounded."""

import math
from collections.abc import Callable, Mapping

from gateway.core.acceptance_view import acceptance_view
from gateway.core.state import State
from gateway.domain.acceptance import Part, Result
from gateway.domain.events import AcceptanceGiven, Event
from gateway.domain.moments import Now
from gateway.tasks.commands import STAFF_CODE, Answer, BadRequest, Maker, Query, Request

MAX_SUBJECT = 300
MAX_SHOWN = 40
MAX_NOTE = 200
USUAL_TOLERANCE = 0.02


def _accept(request: Request, to: int) -> Event:
    partner = request.get("partner", "")
    return AcceptanceGiven(
        by=_code(request.get("by"), "by"),
        part=_one_of(request, "part", Part),
        subject=_text(request, "subject", MAX_SUBJECT, least=1),
        result=_one_of(request, "result", (Result.PASSED, Result.FAILED, Result.SKIPPED)),
        shown=_text(request, "shown", MAX_SHOWN),
        note=_text(request, "note", MAX_NOTE),
        partner="" if partner == "" else _code(partner, "partner"),
        tolerance=_share(request),
        reply_to=to,
    )


ACCEPT_MAKERS: Mapping[str, Maker] = {"accept": _accept}


def acceptance_queries(state: Callable[[], State], now: Callable[[], Now]) -> Mapping[str, Query]:
    """What can be asked of an acceptance and changes nothing, by verb."""

    async def acceptance(request: Request) -> Answer:
        return acceptance_view(state(), now(), _keys(request))

    return {"acceptance": acceptance}


def _keys(request: Request) -> frozenset[str] | None:
    keys = request.get("keys")
    if keys is None:
        return None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadRequest("'keys' must be a list of part/subject; leave it out for all")
    return frozenset(keys)


def _code(code: object, name: str) -> str:
    if not isinstance(code, str) or not STAFF_CODE.fullmatch(code):
        raise BadRequest(f"{name!r} must be a staff code of letters and digits, no name")
    return code


def _one_of(request: Request, name: str, known: type[Part] | tuple[Result, ...]) -> str:
    said = request.get(name)
    if said not in tuple(known):
        raise BadRequest(f"{name!r} must be one of {', '.join(known)}")
    return str(said)


def _text(request: Request, name: str, most: int, least: int = 0) -> str:
    text = request.get(name, "")
    if not isinstance(text, str) or not least <= len(text.strip()) <= most:
        raise BadRequest(f"{name!r} must be a text of {least} to {most} characters")
    return text.strip()


def _share(request: Request) -> float:
    share = request.get("tolerance", USUAL_TOLERANCE)
    is_number = isinstance(share, int | float) and not isinstance(share, bool)
    if not is_number or not math.isfinite(share) or not 0 <= share <= 1:  # type: ignore[arg-type, operator] # it is a number
        raise BadRequest("'tolerance' must be a share from 0 to 1")
    return float(share)  # type: ignore[arg-type] # it is a number
