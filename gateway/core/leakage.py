"""Residual current over days: what leaks by nature, and a transformer that does not see leakage.

Natural leakage is the median of the hourly means of the last seven days (field note F14). It is
shown as the margin to the setpoint, which stays where it is. Leakage that follows the load in a
constant ratio is no leakage: the transformer misses a conductor (field note F13).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from statistics import median

from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.state import PointState
from gateway.core.turn import Turn
from gateway.domain.leakage import HOURS_KEPT, Baseline, Likeness
from gateway.domain.readings import Quality
from gateway.domain.rules import Above, Severity

GOOD = Quality.GOOD
HOUR_MS = 3_600_000
LEARN_EVERY_MS = 5_000  # one value in so many counts: the mean of an hour needs no more
ENOUGH_SAMPLES = 10  # good values in an hour, or its mean says little
KEPT = "baseline"  # kind in `domain.kept`

PAIR_EVERY_MS = 60_000
PAIRS = 240  # four hours
LOAD_VARIES, RATIO_VARIES = 0.25, 0.05  # coefficients of variation
LEAST_LEAKAGE_MA = 20.0


def follow_leakage(turn: Turn, device: str, points: Mapping[str, PointState]) -> None:
    """Take in what a block says of a device's residual current. Only for devices that have one."""
    learned: dict[str, Baseline] = {}
    for point in turn.house.residuals[device]:
        known = points.get(point)
        if known is None or known.reading.quality is not GOOD:
            continue
        value, at = known.reading.value, known.reading.mono_ms
        if isinstance(value, int | float) and at >= _next_ms(turn, point):
            learned[point] = _learn(turn, point, value, at)
            _compare(turn, device, point, value, points)
    if learned:
        turn.state = replace(turn.state, baselines={**turn.state.baselines, **learned})


def _next_ms(turn: Turn, point: str) -> int:
    """When another value adds anything to the mean of an hour."""
    known = turn.state.baselines.get(point)
    return 0 if known is None else known.heard_ms + LEARN_EVERY_MS


def baseline_of(turn: Turn, point: str) -> Baseline:
    """What is known of a point's leakage; after a start, what was kept."""
    known = turn.state.baselines.get(point)
    if known is not None:
        return known
    body = turn.state.kept.get((KEPT, point))
    hours = tuple(float(each) for each in json.loads(body)["hours"]) if body else ()
    return Baseline(hours=hours[-HOURS_KEPT:])


def _learn(turn: Turn, point: str, value: float, at: int) -> Baseline:
    known = baseline_of(turn, point)
    ends = known.ends_ms if known.ends_ms is not None else at + HOUR_MS
    if at >= ends:
        if known.count >= ENOUGH_SAMPLES:
            mean = round(known.total / known.count, 1)
            known = replace(known, hours=(*known.hours, mean)[-HOURS_KEPT:])
            turn.keep(KEPT, point, json.dumps({"hours": known.hours}))
        known, ends = replace(known, total=0.0, count=0), at + HOUR_MS
    return Baseline(known.hours, known.total + value, known.count + 1, ends, at)


def natural(known: Baseline) -> float | None:
    """The natural leakage as far as it is learned; None before the first hour."""
    return round(median(known.hours), 1) if known.hours else None


def leakage_view(turn: Turn, point: str) -> dict[str, object] | None:
    """What people see beside a residual current: natural leakage and the margin to the alarm."""
    device = turn.house.points[point].device
    if point not in turn.house.residuals.get(device, ()):
        return None
    known = baseline_of(turn, point)
    value = natural(known)
    limits = [
        rule.condition.limit
        for rule in turn.house.rules_of.get(point, ())
        if rule.severity is Severity.ALARM and isinstance(rule.condition, Above)
    ]
    margin = round(min(limits) - value, 1) if limits and value is not None else None
    return {
        "natural": value,
        "margin": margin,
        "hours": len(known.hours),
        "is_learned": len(known.hours) >= HOURS_KEPT,
    }


# --- a transformer that measures load ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Spread:
    mean: float
    variation: float  # standard deviation / mean


def _compare(
    turn: Turn, device: str, point: str, leakage: float, points: Mapping[str, PointState]
) -> None:
    known = turn.state.likenesses.get(point, Likeness())
    now = turn.now.mono_ms
    if now < known.next_ms:
        return
    load = 0.0
    for name in turn.house.loads.get(device, ()):
        found = points.get(name)
        if found is None or found.reading.quality is not GOOD:
            return
        load += abs(found.reading.value) if isinstance(found.reading.value, int | float) else 0.0
    if load <= 0:
        return
    after = known.with_pair(leakage, load, now + PAIR_EVERY_MS)
    if after.count >= PAIRS:
        _judge_likeness(turn, device, after)
        after = Likeness(next_ms=after.next_ms)
    turn.state = replace(turn.state, likenesses={**turn.state.likenesses, point: after})


def _judge_likeness(turn: Turn, device: str, known: Likeness) -> None:
    loads = _spread(known.count, known.load, known.load2)
    ratios = _spread(known.count, known.ratio, known.ratio2)
    if loads.variation < LOAD_VARIES:
        return  # a load that does not change shows nothing
    is_like = ratios.variation < RATIO_VARIES and known.leakage / known.count > LEAST_LEAKAGE_MA
    if is_like:
        raise_fault(turn, "residual_ct", device, f"{ratios.mean:.3g} mA/A")
    else:
        clear_fault(turn, "residual_ct", device)


def _spread(count: int, total: float, squares: float) -> _Spread:
    mean = total / count
    variance = max(0.0, squares / count - mean * mean)
    return _Spread(mean, sqrt(variance) / mean if mean > 0 else 0.0)
