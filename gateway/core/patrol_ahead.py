"""Rounds become rows 48 h ahead; what the gateway slept through is made up and judged as such."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import tzinfo

from gateway.core.inhibits import bus_subject
from gateway.core.patrol_plan import (
    COMPENSATING,
    compensating_rounds,
    rounds_between,
    stops_near,
)
from gateway.core.patrol_rounds import (
    CLOCK_UNSURE,
    GATEWAY_DOWN,
    Happening,
    end_round,
    flagged,
    forgive,
    moved,
    put_patrol,
    put_plan,
    put_round,
)
from gateway.core.patrol_state import MONTH, ROUND, live_rounds, to_json
from gateway.core.turn import Turn
from gateway.domain.rounds import Round, RoundFlag, RoundState

HOUR_MS = 3_600_000
AHEAD_MS = 48 * HOUR_MS
PLANNED_MS = AHEAD_MS + HOUR_MS  # planned once an hour, so that 48 h are always there
BEHIND_MS = 31 * 24 * HOUR_MS  # of a longer sleep only this much is made up
RUNNING_MS = 24 * HOUR_MS  # how far back a new schedule's running window may have begun
KEEP_MS = 8 * 24 * HOUR_MS  # rounds that are over; their records stay
KEPT_MONTHS = 13
NOTE_MS = 600_000  # how often it is noted that the gateway is awake
SLEPT_MS = 900_000  # shorter than that nobody need allow for


def plan_ahead(turn: Turn, zone: tzinfo, utc_ms: int) -> None:
    """Make rows of all rounds up to 48 h ahead, and drop what is long over."""
    patrol = turn.state.patrol
    if not patrol.is_planned:
        _note_sleep(turn, utc_ms)
        _plan_again(turn, zone, utc_ms)
        _note_sleep_of_rows(turn, utc_ms)
        put_patrol(turn, is_planned=True)
    elif patrol.plan.until_ms is None or patrol.plan.until_ms < utc_ms + AHEAD_MS:
        lo_ms = utc_ms if patrol.plan.until_ms is None else patrol.plan.until_ms
        _plan(turn, zone, lo_ms, utc_ms + PLANNED_MS, utc_ms)
        _forget(turn, utc_ms)
    _compensate(turn, zone, utc_ms)


def _plan_again(turn: Turn, zone: tzinfo, utc_ms: int) -> None:
    """After a start: what was slept through, and what the site file says now."""
    plan = turn.state.patrol.plan
    slept = utc_ms if plan.until_ms is None else max(plan.until_ms, utc_ms - BEHIND_MS)
    _plan(turn, zone, min(slept, utc_ms - RUNNING_MS), utc_ms + PLANNED_MS, utc_ms, slept)
    wanted = {
        each.id for each in rounds_between(turn.house.patrol, zone, utc_ms, utc_ms + PLANNED_MS)
    }
    for planned in list(live_rounds(turn.state.patrol)):
        is_own = RoundFlag.COMPENSATING not in planned.flags
        is_to_come = planned.state is RoundState.PLANNED and planned.opens_ms > utc_ms
        if is_to_come and is_own and planned.id not in wanted:
            end_round(turn, moved(planned, Happening.CALLED_OFF), "schedule_changed")
    _forget(turn, utc_ms)


def _plan(
    turn: Turn, zone: tzinfo, lo_ms: int, hi_ms: int, utc_ms: int, slept_ms: int | None = None
) -> None:
    """Make rows of the rounds that open in this span.

    Those that are over already only from `slept_ms` on: what was a row before was judged then.
    """
    plan = turn.state.patrol.plan
    since = lo_ms if slept_ms is None else slept_ms
    fresh = (
        each
        for each in rounds_between(turn.house.patrol, zone, lo_ms, hi_ms)
        if each.opens_ms >= since or each.closes_ms > utc_ms
    )
    _add(turn, fresh)
    put_plan(turn, replace(plan, until_ms=max(hi_ms, plan.until_ms or 0)))


def _add(turn: Turn, fresh: Iterable[Round]) -> None:
    known, floor_ms = turn.state.patrol.rounds, turn.state.patrol.plan.floor_ms
    added = {each.id: each for each in fresh if each.id not in known and each.opens_ms > floor_ms}
    if not added:
        return
    for each in added.values():
        turn.keep(ROUND, each.id, to_json(each))
    rounds = sorted([*known.values(), *added.values()], key=lambda each: each.opens_ms)
    put_patrol(turn, rounds={each.id: each for each in rounds})


def _forget(turn: Turn, utc_ms: int) -> None:
    patrol = turn.state.patrol
    old = [
        each
        for each in patrol.rounds.values()
        if each.state.is_over and each.due_ms < utc_ms - KEEP_MS
    ]
    if old:
        for each in old:
            turn.keep(ROUND, each.id, None)
        gone = {each.id for each in old}
        left = {key: each for key, each in patrol.rounds.items() if key not in gone}
        floor_ms = max(patrol.plan.floor_ms, *(each.opens_ms for each in old))
        put_patrol(turn, rounds=left)
        put_plan(turn, replace(turn.state.patrol.plan, floor_ms=floor_ms))
    months = sorted(patrol.months)
    for name in months[:-KEPT_MONTHS]:
        turn.keep(MONTH, name, None)
    if months[:-KEPT_MONTHS]:
        put_patrol(turn, months={name: patrol.months[name] for name in months[-KEPT_MONTHS:]})


def _note_sleep(turn: Turn, utc_ms: int) -> None:
    """Mark the rounds that were under way while the gateway was off, or knew no time."""
    started_ms = utc_ms - (turn.now.mono_ms - turn.state.started_ms)
    seen_ms = turn.state.patrol.plan.seen_ms
    if seen_ms is None or started_ms - seen_ms < SLEPT_MS:
        return
    for each in list(live_rounds(turn.state.patrol)):
        if each.opens_ms < started_ms and each.due_ms > seen_ms:
            put_round(turn, flagged(each, RoundFlag.GATEWAY_DOWN))


def _note_sleep_of_rows(turn: Turn, utc_ms: int) -> None:
    """What should have been judged before this start was judged by nobody: it says why."""
    started_ms = utc_ms - (turn.now.mono_ms - turn.state.started_ms)
    for each in list(live_rounds(turn.state.patrol)):
        is_unseen = each.closes_ms <= started_ms and each.state is not RoundState.OVERDUE
        if is_unseen or each.due_ms <= started_ms:
            marked = flagged(each, RoundFlag.GATEWAY_DOWN)
            put_round(turn, replace(marked, reason=GATEWAY_DOWN))


def note_clock_again(turn: Turn, utc_ms: int) -> None:
    """The clock is right again: mark the rounds that ended, or ran, while it was not."""
    patrol = turn.state.patrol
    if not patrol.was_unsure:
        return
    put_patrol(turn, was_unsure=False)
    seen_ms = patrol.plan.seen_ms
    started_ms = utc_ms - (turn.now.mono_ms - turn.state.started_ms)
    since_ms = started_ms if seen_ms is None else max(seen_ms, started_ms)
    for each in list(live_rounds(turn.state.patrol)):
        if each.opens_ms <= utc_ms and each.due_ms > since_ms:
            marked = flagged(each, RoundFlag.CLOCK_UNSURE)
            is_over = each.closes_ms <= utc_ms and each.reason == ""
            put_round(turn, replace(marked, reason=CLOCK_UNSURE) if is_over else marked)


def note_awake(turn: Turn, utc_ms: int) -> None:
    """Remember now and then that the gateway is awake and knows the time."""
    plan = turn.state.patrol.plan
    if plan.seen_ms is None or not 0 <= utc_ms - plan.seen_ms < NOTE_MS:
        put_plan(turn, replace(plan, seen_ms=utc_ms))


def _compensate(turn: Turn, zone: tzinfo, utc_ms: int) -> None:
    """Rounds to what is out of service, for as long as it is (field/patrol-and-alarms 4.2)."""
    plan, out = turn.state.patrol.plan, turn.state.out_of_service
    if not out and not plan.outs:
        return
    outs = {subject: plan.outs.get(subject, utc_ms) for subject in out}
    if outs != plan.outs:
        put_plan(turn, replace(plan, outs=outs))
    house, every_ms = turn.house, turn.house.patrol.compensate_every_ms
    for subject, out_ms in outs.items():
        gone = max(0, utc_ms - KEEP_MS - out_ms) // every_ms  # their rows may be forgotten
        since_ms = out_ms + gone * every_ms
        stops = stops_near(house.patrol.checkpoints, _points_of(turn, subject))
        if stops:
            _add(
                turn,
                compensating_rounds(subject, since_ms, stops, every_ms, utc_ms + PLANNED_MS, zone),
            )
    for subject in plan.outs.keys() - outs.keys():
        _call_off(turn, f"{COMPENSATING}{subject}")
        forgive(turn, f"{COMPENSATING}{subject}")  # nobody walks it any more


def _points_of(turn: Turn, subject: str) -> frozenset[str]:
    """The points of a bus, a device, a rule, or the one point itself."""
    rule = turn.house.rules.get(subject)
    if rule is not None:
        return frozenset(rule.points)
    of_bus = {bus_subject(bus): devices for bus, devices in turn.house.devices_on.items()}
    found = (turn.house.devices.get(name) for name in of_bus.get(subject, (subject,)))
    points = (point.id for device in found if device is not None for point in device.points)
    return frozenset({subject, *points})


def _call_off(turn: Turn, schedule: str) -> None:
    for each in list(live_rounds(turn.state.patrol)):
        if each.schedule == schedule:
            off = moved(each, Happening.CALLED_OFF)
            if off is not each:
                end_round(turn, off, "in_service")
