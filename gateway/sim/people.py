"""The simulated staff: they hear an alarm, silence it, acknowledge it, and reset what is latched.

They wait long enough before they act that the whole pattern was heard; over the daemon's socket,
like any console. What they do is decided by a pure function over the list of open alarms.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.drivers.sockets import NoAnswer

STAFF = "duty-07"
LOOK_EVERY_S = 0.2
SILENCE_AFTER_MS = 1_800  # longer than the checker listens (HEARD_MS) and its tolerance
ACKNOWLEDGE_AFTER_MS = 2_300

Request = dict[str, object]
Row = Mapping[str, Any]
Ask = Callable[[Request], Awaitable[Mapping[str, Any]]]

UNACKNOWLEDGED = frozenset({"UA", "RU", "LU"})
RESETTABLE = "LA"  # latched, acknowledged, and normal again


def acts_of(alarms: Sequence[Row]) -> list[Request]:
    """Return what a person on duty does about the open alarms now, one request each."""
    requests: list[Request] = []
    for alarm in alarms:
        age_ms = alarm["since_ms"] or 0
        if alarm["state"] == RESETTABLE:
            requests.append(finding_of(alarm["occurrence"], STAFF))
            requests.append({"verb": "reset", "by": STAFF, "alarm": alarm["occurrence"]})
        elif alarm["state"] in UNACKNOWLEDGED and age_ms >= ACKNOWLEDGE_AFTER_MS:
            requests.append({"verb": "acknowledge", "by": STAFF, "alarm": alarm["occurrence"]})
        elif _should_silence(alarm, age_ms):
            requests.append({"verb": "silence", "by": STAFF})
    return requests


def finding_of(case: str, by: str) -> Request:
    """What somebody writes down who has looked; without it a latched alarm is not reset."""
    text = "演示：现场无火情 demo: no fire found"
    return {"verb": "handle", "by": by, "case": case, "verdict": "test", "text": text}


def _should_silence(alarm: Row, age_ms: int) -> bool:
    return alarm["severity"] == "alarm" and alarm["is_sounding"] and age_ms >= SILENCE_AFTER_MS


async def attend(
    ask: Ask,
    *,
    tell: Callable[[Request, Row], None],
    is_on_duty: Callable[[], bool] = lambda: True,
) -> None:
    """Look at the alarms while on duty and act; `tell` gets each act that the daemon accepted."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if not is_on_duty():
            continue
        try:
            alarms = (await ask({"verb": "status"})).get("alarms", [])
            for request in acts_of(alarms):
                if (await ask(request)).get("ok"):
                    tell(request, _about(request, alarms))
        except NoAnswer:
            continue  # a daemon that is gone is noticed by who started it


def _about(request: Request, alarms: Sequence[Row]) -> Row:
    """The alarm that a request names; for a silence, what sounds."""
    name = request.get("alarm", request.get("case"))
    named = (row for row in alarms if row["occurrence"] == name)
    return next(named, next((row for row in alarms if row["is_sounding"]), {}))
