"""查岗, the post check: somebody at the duty desk presses one key, or the people above are told.

It is asked by the platform or by the gateway's own plan of the night. While one is asked the button
answers it (and silences nothing that Q has drowned). Unanswered in time it is a fault that is
climbed like an alarm (`core.ladder`), until somebody answers after all: late, and on the record.
"""

import json
from dataclasses import asdict, replace

from gateway.core.ladder import now_of
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.people import answer, refuse
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.modes import PostCheck
from gateway.domain.moments import Now, carried
from gateway.domain.signals import Pattern

FAULT = "post_check_missed"
KEPT = "post_check"
MAX_CHECKS = 8  # asked or missed at once; one more is refused
IDS_KEPT = 32  # a command may come twice (QoS 1)


def ask_post_check(turn: Turn, event: events.PostCheckAsked) -> None:
    """Ask, unless it was asked already, is too old, or far too many wait for an answer."""
    if event.id in turn.state.asked_ids or event.id in turn.state.post_checks:
        return
    ids = (*turn.state.asked_ids, event.id)[-IDS_KEPT:]
    turn.state = replace(turn.state, asked_ids=ids)
    check = PostCheck(event.id, event.source, turn.now, turn.now.mono_ms + event.within_ms)
    if _is_too_old(turn, event):
        _record(turn, check, "expired")
    elif len(turn.state.post_checks) >= MAX_CHECKS:
        _record(turn, check, "refused")
    else:
        _put(turn, check)
        _record(turn, check, "asked")


def answer_post_check(turn: Turn, by: str, reply_to: int | None = None) -> None:
    """Somebody is there: everything that is asked is answered, what was missed is answered late."""
    checks = tuple(turn.state.post_checks.values())
    for check in checks:
        _record(turn, check, "answered", by)
        _forget(turn, check)
    if checks:
        clear_fault(turn, FAULT, turn.house.sender.gateway)
    if checks:
        answer(turn, reply_to, done=len(checks))
    else:
        refuse(turn, reply_to, "not_asked")


def answer_by_button(turn: Turn, event: events.Silence) -> bool:
    """Take a press of the button as the answer; True when that is all that it was."""
    if event.by != "panel" or not turn.state.post_checks:
        return False
    was_only_asked = turn.state.signal.pattern is Pattern.Q
    answer_post_check(turn, event.by)
    return was_only_asked


def let_post_checks_end(turn: Turn) -> None:
    """Nobody answered in time: that is a fault, and louder people are called."""
    for check in list(turn.state.post_checks.values()):
        if check.is_missed or turn.now.mono_ms < check.until_ms:
            continue
        _record(turn, check, "no_answer")
        _put(turn, replace(check, is_missed=True))
        clear_fault(turn, FAULT, turn.house.sender.gateway)  # a second one missed is told anew
        raise_fault(turn, FAULT, turn.house.sender.gateway, check.source)


def restore(turn: Turn) -> None:
    """What was asked is still asked; time that cannot be measured over a reboot begins anew."""
    for (kind, key), body in turn.state.kept.items():
        if kind != KEPT:
            continue
        try:
            check = _restored(body, turn.now)
        except (ValueError, KeyError, TypeError):
            turn.keep(KEPT, key, None)
            continue
        checks = {**turn.state.post_checks, check.id: check}
        ids = (*turn.state.asked_ids, check.id)
        turn.state = replace(turn.state, post_checks=checks, asked_ids=ids)


def is_asked(turn: Turn) -> bool:
    """True while one waits for its answer in time: Q sounds."""
    return any(not check.is_missed for check in turn.state.post_checks.values())


def _is_too_old(turn: Turn, event: events.PostCheckAsked) -> bool:
    now = turn.now
    return (
        event.asked_ms is not None
        and now.utc_ms is not None
        and now.is_trusted
        and now.utc_ms - event.asked_ms > event.within_ms
    )


def _record(turn: Turn, check: PostCheck, result: str, by: str = "") -> None:
    is_over = result in ("answered", "no_answer")
    waited = carried(check.asked.mono_ms, check.asked, turn.now)
    fields: dict[str, object] = {
        "check": check.id,
        "source": check.source,
        "result": result,  # asked, answered, no_answer, expired, refused
        "asked": check.asked.utc_ms,
        "answered": turn.now.utc_ms if result == "answered" else None,
        "by": by,
        "late": check.is_missed,
        "waited_ms": turn.now.mono_ms - waited if is_over and waited is not None else None,
    }
    turn.record_fact("post_check", fields)


def _put(turn: Turn, check: PostCheck) -> None:
    turn.state = replace(turn.state, post_checks={**turn.state.post_checks, check.id: check})
    turn.keep(KEPT, check.id, json.dumps(asdict(check), separators=(",", ":")))


def _forget(turn: Turn, check: PostCheck) -> None:
    left = {key: kept for key, kept in turn.state.post_checks.items() if key != check.id}
    turn.state = replace(turn.state, post_checks=left)
    turn.keep(KEPT, check.id, None)


def _restored(body: str, now: Now) -> PostCheck:
    said = json.loads(body)
    asked = now_of(said["asked"])
    until_ms = carried(int(said["until_ms"]), asked, now)
    if until_ms is None:
        until_ms = now.mono_ms + int(said["until_ms"]) - asked.mono_ms
    return PostCheck(
        id=str(said["id"]),
        source=str(said["source"]),
        asked=asked,
        until_ms=until_ms,
        is_missed=bool(said["is_missed"]),
    )
