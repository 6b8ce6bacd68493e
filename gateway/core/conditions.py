"""Conditions that need more than one reading: what is remembered, and what it says. Pure.

Everything remembered is bounded: a window is at most 30 slots of which each keeps its lowest value
(so a window is up to a thirtieth longer than configured), a count keeps one moment more than is
allowed, a median three values. Between slots nothing but one comparison is done per reading.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from statistics import fmean

from gateway.core.judge import (
    GOOD,
    OVER,
    UNUSABLE,
    Verdict,
    at_most,
    compare,
    compare_above,
    is_still_judged,
)
from gateway.domain.light import light
from gateway.domain.readings import Quality, Reading, Value
from gateway.domain.rules import (
    AllOf,
    AnyOf,
    Condition,
    Deviates,
    Member,
    MoreThan,
    Plain,
    Rises,
    Rule,
)

SLOTS = 30
MEDIAN_OF = 3


@light
class Trend:
    """The lowest value of each slot of a sliding window; `older` are the slots before this one.

    Only those below all that came after them: no other can be the lowest of the window any more.
    """

    slot: int
    lowest: float
    older: tuple[tuple[int, float], ...] = ()
    lowest_older: float = inf


@light
class Memory:
    """What one condition has to know of earlier readings."""

    recent: tuple[float, ...] = ()
    trend: Trend | None = None
    was_on: bool | None = None  # None: no good value yet, so the first one is no start
    starts_ms: tuple[int, ...] = ()


NOTHING = Memory()


@light
class Mean:
    """The mean of the points that can be used now (None without any); `is_complete`: all can."""

    value: float | None
    is_complete: bool


MeanOf = Callable[[Sequence[str]], Mean]


@light
class Weighed:
    """What a reading says, the number that was judged, and what to remember."""

    verdict: Verdict
    value: Value | None
    memory: Memory


@dataclass(frozen=True, slots=True)
class How:
    """Which readings a condition takes, and what it makes of a value before judging it."""

    judges: frozenset[Quality] = frozenset({GOOD})
    median: int = 1
    is_magnitude: bool = False
    takes_good: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "takes_good", GOOD in self.judges)


def how_of(rule: Rule) -> How:
    return How(rule.judges, rule.median, rule.is_magnitude)


def weigh_reading(
    condition: Condition, how: How, reading: Reading, memory: Memory, mean_of: MeanOf
) -> Weighed:
    """Judge one reading by a condition and what is remembered of it."""
    value = reading.value
    is_good = reading.quality is GOOD  # and then the set need not be asked: hashing takes longer
    if value is None or not (
        (is_good and how.takes_good) or reading.quality in how.judges or is_still_judged(reading)
    ):
        return Weighed(UNUSABLE, value, memory)
    if isinstance(value, str):
        return Weighed(compare(condition, value), value, memory)
    if how.is_magnitude:
        value = abs(value)
    if how.median > 1:
        memory = replace(memory, recent=(*memory.recent, value)[-MEDIAN_OF:])
        value = sorted(memory.recent)[1] if len(memory.recent) == MEDIAN_OF else value
    verdict, judged, memory = _weigh_number(condition, value, reading.mono_ms, memory, mean_of)
    return Weighed(verdict if is_good else at_most(reading, verdict), judged, memory)


def _weigh_number(
    condition: Condition, value: float, mono_ms: int, memory: Memory, mean_of: MeanOf
) -> tuple[Verdict, float | None, Memory]:
    match condition:
        case Rises(by, within_ms, clears, is_fall):
            height = -value if is_fall else value
            trend = _roll(memory.trend, height, mono_ms * SLOTS // within_ms)
            moved = height - min(trend.lowest, trend.lowest_older)
            if trend is not memory.trend:
                memory = Memory(memory.recent, trend, memory.was_on, memory.starts_ms)
            return compare_above(by, clears, moved), _rounded(moved), memory
        case Deviates(points, by, clears):
            mean = mean_of(points)
            if mean.value is None:
                return UNUSABLE, value, memory
            verdict = compare_above(by, clears, value - mean.value)
            if not mean.is_complete and verdict is not OVER:
                verdict = UNUSABLE  # a point that is missing clears nothing
            return verdict, _rounded(value - mean.value), memory
        case MoreThan(values, count, within_ms):
            memory = _count(memory, value in values, count, mono_ms)
            recent = sum(1 for start in memory.starts_ms if start > mono_ms - within_ms)
            return Verdict.OVER if recent > count else Verdict.CLEAR, recent, memory
        case _:
            return compare(condition, value), value, memory


def _roll(trend: Trend | None, value: float, slot: int) -> Trend:
    if trend is None:
        return Trend(slot, value)
    if slot == trend.slot:
        if value >= trend.lowest:
            return trend
        return Trend(slot, value, trend.older, trend.lowest_older)
    lower = [each for each in trend.older if each[1] < trend.lowest]
    every = (*lower, (trend.slot, trend.lowest))
    older = tuple(each for each in every if each[0] >= slot - SLOTS)
    return Trend(slot, value, older, older[0][1] if older else inf)


def _count(memory: Memory, is_on: bool, count: int, mono_ms: int) -> Memory:
    """Only a change from off to on is a start; one moment more than is allowed is enough."""
    if is_on == memory.was_on:
        return memory
    starts = memory.starts_ms
    if is_on and memory.was_on is False:
        starts = (*starts, mono_ms)[-(count + 1) :]
    return replace(memory, was_on=is_on, starts_ms=starts)


def _rounded(value: float) -> float:
    """A difference of two readings without the noise of its arithmetic."""
    return float(f"{value:.6g}")


def mean(values: Sequence[float], wanted: int) -> Mean:
    return Mean(fmean(values) if values else None, len(values) == wanted)


# --- several points ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of one member of a combined rule: since when and how often it was over."""

    verdict: Verdict = Verdict.UNUSABLE
    value: Value | None = None
    since_ms: int | None = None
    samples: int = 0
    read_ms: int = 0
    is_stale: bool = False  # its point cannot be read: it neither holds nor clears
    memory: Memory = NOTHING


UNHEARD = Held()


def hear(member: Member, held: Held, reading: Reading, mean_of: MeanOf) -> Held:
    """Let one reading of its point act on a member.

    A reading that cannot be used is passed over (suspect), or freezes the member (offline, fault):
    then the time that it has held goes on when it is over again.
    """
    if reading.quality in (Quality.OFFLINE, Quality.FAULT):
        return held if held.is_stale else replace(held, is_stale=True)
    how = How(member.judges)
    weighed = weigh_reading(member.condition, how, reading, held.memory, mean_of)
    if weighed.verdict is Verdict.UNUSABLE:
        return held
    is_over = weighed.verdict is Verdict.OVER
    since = held.since_ms if held.since_ms is not None else reading.mono_ms
    return Held(
        verdict=weighed.verdict,
        value=weighed.value,
        since_ms=since if is_over else None,
        samples=min(held.samples + 1, member.min_samples) if is_over else 0,
        read_ms=reading.mono_ms,
        memory=weighed.memory,
    )


def due_ms(member: Member, held: Held) -> int | None:
    """When a member that is over will have held long enough; None while that cannot be said."""
    if held.is_stale or held.since_ms is None or held.samples < member.min_samples:
        return None
    return held.since_ms + member.for_ms


def verdict_of(member: Member, held: Held, max_age_ms: int, mono_ms: int) -> Verdict:
    """What a member says now. One that is over, but not for long enough, is BETWEEN."""
    if held.is_stale or mono_ms - held.read_ms > max_age_ms:
        return Verdict.UNUSABLE
    if held.verdict is not Verdict.OVER:
        return held.verdict
    due = due_ms(member, held)
    return Verdict.OVER if due is not None and mono_ms >= due else Verdict.BETWEEN


def combine(condition: AllOf | AnyOf, verdicts: Sequence[Verdict]) -> Verdict:
    """Put the verdicts of the members together, given in the order of `members_of`.

    What is not known decides nothing: `all` clears only because of a member that is known to be
    clear, `any` holds only because of one that is known to hold.
    """
    return _combine(condition, tuple(verdicts))[0]


def _combine(
    condition: AllOf | AnyOf, verdicts: tuple[Verdict, ...]
) -> tuple[Verdict, tuple[Verdict, ...]]:
    said: list[Verdict] = []
    for each in condition.members:
        if isinstance(each, Member):
            said.append(verdicts[0])
            verdicts = verdicts[1:]
        else:
            inner, verdicts = _combine(each, verdicts)
            said.append(inner)
    order = ALL_ORDER if isinstance(condition, AllOf) else ANY_ORDER
    return min(said, key=order.index), verdicts


ALL_ORDER = (Verdict.CLEAR, Verdict.UNUSABLE, Verdict.BETWEEN, Verdict.OVER)
ANY_ORDER = (Verdict.OVER, Verdict.UNUSABLE, Verdict.BETWEEN, Verdict.CLEAR)


def needs_memory(condition: Condition, how: How) -> bool:
    """True for a single condition that `core.judge` cannot judge by one reading alone."""
    return not isinstance(condition, Plain) or how.median > 1 or how.is_magnitude
