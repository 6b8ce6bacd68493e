"""What happens by itself in a night: the self-test, and post checks at moments nobody knows.

`plan_night` draws the moments, outside of the decider; `follow_plan` keeps what is still to come,
also over a restart, so that a restart at night neither repeats nor forgets a check. A night is
named by the date of its evening and lasts from noon to noon. Without a trusted clock nobody knows
when it is night: nothing is asked, and the self-test goes by its own 24 h.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, tzinfo

from gateway.core.post_check import ask_post_check
from gateway.core.rulings import Judge
from gateway.core.self_test import begin_self_test
from gateway.core.state import Night
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.site import PostChecks

KEPT = "night"
LATE_MS = 10 * 60_000  # a check that was missed while the gateway was off is not asked by day
LOOK_AGAIN_MS = 60_000  # the clock was lost, or set

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def plan_night(
    utc_ms: int,
    zone: tzinfo,
    checks: PostChecks,
    self_test_minute: int | None,
    draw: Callable[[], float],
) -> events.NightPlanned:
    """Plan the night of this moment. `draw` gives numbers from 0 to under 1, as `random.random`.

    There are 1 to `checks.per_night` checks, each with time to be answered before the end.
    """
    local = (_EPOCH + utc_ms * _MS).astimezone(zone)
    evening = (local - timedelta(hours=12)).date()
    noon = datetime(evening.year, evening.month, evening.day, 12, tzinfo=zone)

    def moment_ms(minute: int) -> int:
        day = evening if minute >= 12 * 60 else evening + timedelta(days=1)
        clock = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
        return (clock.astimezone(UTC) - _EPOCH) // _MS

    begin, end = moment_ms(checks.from_minute), moment_ms(checks.to_minute) - checks.within_ms
    count = 1 + int(draw() * checks.per_night) if checks.per_night and begin < end else 0
    return events.NightPlanned(
        night=evening.isoformat(),
        until_ms=((noon + timedelta(days=1)).astimezone(UTC) - _EPOCH) // _MS,
        self_test_ms=None if self_test_minute is None else moment_ms(self_test_minute),
        post_checks_ms=tuple(sorted(begin + int(draw() * (end - begin)) for _ in range(count))),
    )


def take_plan(turn: Turn, event: events.NightPlanned) -> None:
    """Take the plan of a night that has none yet; look at the clock again in any case."""
    night = turn.state.night
    if night is None or night.night != event.night:
        night = _to_come(event, turn.now.utc_ms or 0)
        _keep(turn, night)
    turn.state = replace(turn.state, night=replace(night, look_ms=turn.now.mono_ms))


def _to_come(event: events.NightPlanned, utc_ms: int) -> Night:
    """What a plan that is made in the middle of its night has still ahead."""
    test_ms = event.self_test_ms
    return Night(
        event.night,
        event.until_ms,
        None if test_ms is None or test_ms <= utc_ms else test_ms,
        tuple(moment for moment in event.post_checks_ms if moment > utc_ms),
    )


def follow_plan(turn: Turn, judge: Judge) -> None:
    """Do what is due of the night's plan, and say when to look again."""
    night = turn.state.night
    if night is None or night.look_ms is None or turn.now.mono_ms < night.look_ms:
        return
    now = turn.now
    if now.utc_ms is None or not now.is_trusted:
        turn.state = replace(turn.state, night=replace(night, look_ms=now.mono_ms + LOOK_AGAIN_MS))
        return
    due = [moment for moment in night.post_checks_ms if moment <= now.utc_ms]
    left = replace(night, post_checks_ms=tuple(m for m in night.post_checks_ms if m > now.utc_ms))
    is_testing = night.self_test_ms is not None and night.self_test_ms <= now.utc_ms
    if is_testing:
        left = replace(left, self_test_ms=None)
    coming = [*left.post_checks_ms, *([] if left.self_test_ms is None else [left.self_test_ms])]
    look_ms = now.mono_ms + min(coming) - now.utc_ms if coming else None
    turn.state = replace(turn.state, night=replace(left, look_ms=look_ms))
    if due or is_testing:
        _keep(turn, left)
    for moment in due:
        if now.utc_ms - moment <= LATE_MS:
            check = events.PostCheckAsked(f"local-{moment}", "local", turn.house.post_check_ms)
            ask_post_check(turn, check)
    if is_testing and now.utc_ms < night.until_ms and turn.state.self_test is None:
        begin_self_test(turn, "timer", judge)


def restore(turn: Turn) -> None:
    body = turn.state.kept.get((KEPT, KEPT))
    if body is None:
        return
    try:
        said = json.loads(body)
        night = Night(
            night=str(said["night"]),
            until_ms=int(said["until_ms"]),
            self_test_ms=None if said["self_test_ms"] is None else int(said["self_test_ms"]),
            post_checks_ms=tuple(map(int, said["post_checks_ms"])),
            look_ms=turn.now.mono_ms,
        )
    except (ValueError, KeyError, TypeError):
        turn.keep(KEPT, KEPT, None)  # another version wrote it: the night is planned anew
        return
    turn.state = replace(turn.state, night=night)


def _keep(turn: Turn, night: Night) -> None:
    turn.keep(KEPT, KEPT, json.dumps(asdict(night), separators=(",", ":")))
