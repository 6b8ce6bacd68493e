"""The life of a round, one table, and what happens at its ends.

| State       | Enters when                         | Leaves to                            |
|-------------|-------------------------------------|--------------------------------------|
| planned     | it is a row, 48 h ahead             | open; in progress (early); cancelled |
| open        | the window runs                     | in progress; overdue; cancelled      |
| in progress | somebody set out or made a visit    | done; partial (given up); overdue    |
| overdue     | the window is over, the grace runs  | done, done late, partial, missed     |
| the rest    | it is over: a record, once          | –                                    |

A round is judged only by a clock that can be trusted; visits of a bad clock wait for it, so that
a round that was completed in time is done however late that becomes known.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.patrol_state import (
    MONTH,
    PLAN,
    ROUND,
    THE_PLAN,
    Month,
    Plan,
    added,
    live_rounds,
    to_json,
)
from gateway.core.turn import Turn
from gateway.domain.patrol import PHOTO_DRAWN, Stop
from gateway.domain.rounds import (
    Draw,
    Flag,
    Round,
    RoundFlag,
    RoundState,
    Visit,
)
from gateway.domain.signals import Pattern

MISSED, MISSED_AGAIN = "round_missed", "rounds_missed"  # faults, about the schedule
NO_VISIT, TIME_OUT, GATEWAY_DOWN, CLOCK_UNSURE = (
    "no_visit", "time_out", "gateway_down", "clock_unsure",
)  # fmt: skip
EXCUSED = frozenset({GATEWAY_DOWN, CLOCK_UNSURE})  # nobody's fault: counted apart, and told to none
TOLD_AGAIN_AFTER = 2  # missed in a row
AT_ONCE = 32  # rounds judged in one step


class Happening(StrEnum):
    OPENS = "opens"
    BEGUN = "begun"
    COMPLETED = "completed"
    COMPLETED_LATE = "completed_late"
    WINDOW_ENDS = "window_ends"
    GIVEN_UP = "given_up"
    TIME_OUT_SOME = "time_out_some"  # the grace is over, some stops were visited
    TIME_OUT_NONE = "time_out_none"
    CALLED_OFF = "called_off"


_S, _H = RoundState, Happening
NEXT: Mapping[tuple[RoundState, Happening], RoundState] = {
    (_S.PLANNED, _H.OPENS): _S.OPEN,
    (_S.PLANNED, _H.BEGUN): _S.IN_PROGRESS,
    (_S.PLANNED, _H.CALLED_OFF): _S.CANCELLED,
    (_S.OPEN, _H.BEGUN): _S.IN_PROGRESS,
    (_S.OPEN, _H.WINDOW_ENDS): _S.OVERDUE,
    (_S.OPEN, _H.CALLED_OFF): _S.CANCELLED,
    (_S.IN_PROGRESS, _H.COMPLETED): _S.DONE,
    (_S.IN_PROGRESS, _H.WINDOW_ENDS): _S.OVERDUE,
    (_S.IN_PROGRESS, _H.GIVEN_UP): _S.PARTIAL,
    (_S.OVERDUE, _H.COMPLETED): _S.DONE,  # by visits in time that became known late
    (_S.OVERDUE, _H.COMPLETED_LATE): _S.DONE_LATE,
    (_S.OVERDUE, _H.GIVEN_UP): _S.PARTIAL,
    (_S.OVERDUE, _H.TIME_OUT_SOME): _S.PARTIAL,
    (_S.OVERDUE, _H.TIME_OUT_NONE): _S.MISSED,
}


def moved(round_: Round, happening: Happening) -> Round:
    """The round after it; as it was where that changes nothing."""
    state = NEXT.get((round_.state, happening))
    return round_ if state is None else replace(round_, state=state)


def put_patrol(turn: Turn, **changes: Any) -> None:
    turn.state = replace(turn.state, patrol=replace(turn.state.patrol, **changes))


def put_round(turn: Turn, round_: Round) -> None:
    """Remember it, over a restart too."""
    put_patrol(turn, rounds={**turn.state.patrol.rounds, round_.id: round_})
    turn.keep(ROUND, round_.id, to_json(round_))


def put_plan(turn: Turn, plan: Plan) -> None:
    put_patrol(turn, plan=plan)
    turn.keep(PLAN, THE_PLAN, to_json(plan))


def put_month(turn: Turn, name: str, month: Month) -> None:
    put_patrol(turn, months={**turn.state.patrol.months, name: month})
    turn.keep(MONTH, name, to_json(month))


def month_named(turn: Turn, name: str) -> Month:
    return turn.state.patrol.months.get(name, Month())


def stop_of(turn: Turn, round_: Round, checkpoint: str) -> Stop:
    """The stop as the route has it now; without demands where it no longer does."""
    route = turn.house.patrol.routes.get(round_.route)
    stops = route.stops if route is not None else ()
    return next((stop for stop in stops if stop.checkpoint == checkpoint), Stop(checkpoint))


def begin_round(
    turn: Turn, round_: Round, by: str, *, at: str = "", has_draws: bool = True
) -> Round:
    """Somebody sets out, or has come to the checkpoint `at` without: the challenges are drawn."""
    if round_.started is not None:
        return round_
    begun = moved(round_, Happening.BEGUN)
    left = tuple(stop for stop in round_.stops if stop != at)
    return replace(
        begun,
        owner=round_.owner or by,
        started=turn.now,
        draws=_drawn(turn, round_, left) if has_draws else (),
    )


def _drawn(turn: Turn, round_: Round, stops: tuple[str, ...]) -> tuple[Draw, ...]:
    """Which stops are asked for more, and what; nobody can know before the round begins."""
    schedule = turn.house.patrol.schedules.get(round_.schedule)
    left, draws = list(stops), []
    for number in range(min(schedule.draws if schedule else 0, len(stops))):
        said = f"{turn.house.patrol_seed}/{round_.id}/{turn.now.mono_ms}/{number}"
        chance = int.from_bytes(hashlib.sha256(said.encode()).digest())
        stop = left.pop(chance % len(left))
        checkpoint = turn.house.patrol.checkpoints.get(stop)
        items = [item for item in checkpoint.items if item.is_drawn] if checkpoint else []
        item = items[chance // 997 % len(items)] if items else PHOTO_DRAWN
        draws.append(Draw(stop, item.id))
    return tuple(draws)


def attach(turn: Turn, round_: Round, visit: Visit) -> None:
    """A visit becomes part of its round, which it may begin and complete."""
    round_ = replace(round_, visits=(*round_.visits, visit))
    if visit.counts:
        has_draws = not is_unsure(visit)  # by then nobody can be asked any more
        round_ = begin_round(turn, round_, visit.by, at=visit.checkpoint, has_draws=has_draws)
        is_late = visit.arrived_utc is not None and visit.arrived_utc > round_.closes_ms
        if is_late:
            round_ = moved(round_, Happening.WINDOW_ENDS)
        if not round_.missing:
            last = max((each.arrived_utc or 0 for each in round_.visits if each.counts), default=0)
            how = Happening.COMPLETED_LATE if last > round_.closes_ms else Happening.COMPLETED
            end_round(turn, moved(round_, how))
            return
    put_round(turn, round_)


def end_round(turn: Turn, round_: Round, reason: str = "") -> None:
    """It is over: a record, a line in the month's figures, and whoever must know is told."""
    is_done = round_.state in (RoundState.DONE, RoundState.DONE_LATE)
    why = "" if is_done else reason or round_.reason
    over = replace(round_, ended=turn.now, reason=why)
    put_round(turn, over)
    turn.record_fact("round", round_fields(over))
    _count(turn, over)
    _tell(turn, over)


def outcome_of(round_: Round) -> str:
    """How it counts: its state, but what was nobody's fault apart."""
    is_excused = round_.reason in EXCUSED and round_.state in (_S.MISSED, _S.PARTIAL)
    return f"{round_.state.value}_excused" if is_excused else round_.state.value


def _count(turn: Turn, round_: Round) -> None:
    name = round_.shift_date[:7]
    outcome = outcome_of(round_)
    counts = {
        f"rounds_{outcome}": 1,
        "asked": len(round_.draws),
        "met": sum(_is_met(round_, draw) for draw in round_.draws),
    }
    month = added(month_named(turn, name), rounds=outcome, person=round_.owner, counts=counts)
    put_month(turn, name, month)


def _is_met(round_: Round, draw: Draw) -> bool:
    return any(
        draw.item in visit.met for visit in round_.visits if visit.checkpoint == draw.checkpoint
    )


def _tell(turn: Turn, round_: Round) -> None:
    """Missed is a fault until the next round of this schedule, or until somebody explains it."""
    plan = turn.state.patrol.plan
    if round_.state is RoundState.CANCELLED or round_.reason in EXCUSED:
        return
    if round_.state is not RoundState.MISSED:
        forgive(turn, round_.schedule)
        return
    count = plan.in_a_row.get(round_.schedule, 0) + 1
    put_plan(turn, replace(plan, in_a_row={**plan.in_a_row, round_.schedule: count}))
    clear_fault(turn, MISSED, round_.schedule)  # a second one is told anew, and louder
    clear_fault(turn, MISSED_AGAIN, round_.schedule)
    code = MISSED if count < TOLD_AGAIN_AFTER else MISSED_AGAIN
    raise_fault(turn, code, round_.schedule, round_.id)


def forgive(turn: Turn, schedule: str) -> None:
    """The row of missed rounds is broken."""
    plan = turn.state.patrol.plan
    if schedule in plan.in_a_row:
        left = {name: count for name, count in plan.in_a_row.items() if name != schedule}
        put_plan(turn, replace(plan, in_a_row=left))
    clear_fault(turn, MISSED, schedule)
    clear_fault(turn, MISSED_AGAIN, schedule)


def advance_rounds(turn: Turn, utc_ms: int) -> bool:
    """Open, remind and judge rounds as the clock says; the clock must be trusted.

    True when some are left for the next step: alarms do not wait for a month of rounds.
    """
    judged = 0
    for round_ in list(live_rounds(turn.state.patrol)):
        if round_.opens_ms > utc_ms:
            continue
        after = moved(round_, Happening.OPENS)
        if utc_ms >= after.closes_ms:
            after = moved(after, Happening.WINDOW_ENDS)
        if utc_ms >= after.due_ms:
            if judged == AT_ONCE:
                return True
            _judge(turn, after)
            judged += 1
        elif after is not round_:
            put_round(turn, after)
    return False


def _judge(turn: Turn, round_: Round) -> None:
    """The grace is over."""
    if round_.visited:
        end_round(turn, moved(round_, Happening.TIME_OUT_SOME), _excuse(round_) or TIME_OUT)
    else:
        end_round(turn, moved(round_, Happening.TIME_OUT_NONE), _excuse(round_) or NO_VISIT)


def _excuse(round_: Round) -> str:
    """Why it may be nobody's fault that the round was not finished; decided when it was marked."""
    return round_.reason if round_.reason in EXCUSED else ""


def note_overdue(turn: Turn, utc_ms: int) -> None:
    """Since when a round is overdue, for the panel; a new one is heard, silenced or not."""
    patrol = turn.state.patrol
    overdue = {
        each.id: each.closes_ms for each in live_rounds(patrol) if each.state is RoundState.OVERDUE
    }
    if overdue.keys() == set(patrol.overdue):
        return
    if not overdue or not overdue.keys() <= set(patrol.overdue):
        turn.state = replace(turn.state, silenced=turn.state.silenced - {Pattern.R})
    first = min(overdue.values(), default=None)
    since_ms = None if first is None else turn.now.mono_ms - (utc_ms - first)
    put_patrol(turn, overdue=tuple(overdue), overdue_since_ms=since_ms)


def next_boundary_ms(turn: Turn, utc_ms: int) -> int | None:
    """The next UTC ms at which a round opens, is overdue or is judged."""
    found = (
        moment
        for each in live_rounds(turn.state.patrol)
        for moment in (each.opens_ms, each.closes_ms, each.due_ms)
        if moment > utc_ms
    )
    return min(found, default=None)


def round_fields(round_: Round) -> dict[str, object]:
    """A round that is over, as its record says it: who was where, and what is missing."""
    return {
        "round": round_.id,
        "schedule": round_.schedule,
        "route": round_.route,
        "shift_date": round_.shift_date,
        "opens": round_.opens_ms,
        "closes": round_.closes_ms,
        "state": round_.state.value,
        "reason": round_.reason,
        "owner": round_.owner,
        "started": round_.started.utc_ms if round_.started else None,
        "stops": list(round_.stops),
        "missing": list(round_.missing),
        "visits": [
            {
                "visit": visit.id,
                "checkpoint": visit.checkpoint,
                "by": visit.by,
                "at": visit.arrived_utc,
                "proof": visit.proof,
                "flags": [flag.value for flag in visit.flags],
                "bad": list(visit.bad),
            }
            for visit in round_.visits
        ],
        "asked": [{"checkpoint": draw.checkpoint, "item": draw.item} for draw in round_.draws],
        "met": sum(_is_met(round_, draw) for draw in round_.draws),
        "flags": [flag.value for flag in round_.flags],
    }


def flagged(round_: Round, flag: RoundFlag) -> Round:
    return round_ if flag in round_.flags else replace(round_, flags=(*round_.flags, flag))


def is_unsure(visit: Visit) -> bool:
    return Flag.CLOCK_UNSURE in visit.flags
