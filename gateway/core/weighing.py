"""Judging with the house's memory: what earlier readings, and other points, say with this one.

`weigher` gives the function that `core.rulings` judges single points with; combined rules are
heard reading by reading (`hear_members`) and judged once a block (`judge_combined`), or when the
delay of one of their members ends. A point that stays silent is judged when its time is over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gateway.core import alarms
from gateway.core.conditions import (
    NOTHING,
    UNHEARD,
    Held,
    How,
    Mean,
    MeanOf,
    Memory,
    combine,
    due_ms,
    hear,
    mean,
    verdict_of,
    weigh_reading,
)
from gateway.core.judge import Verdict, is_still_judged
from gateway.core.rulings import Judge, Weigh, judge_rule
from gateway.core.state import Combined, DeviceState, Pending, PointState, known_since_ms
from gateway.core.turn import Turn
from gateway.domain.modes import parted
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Rule, Silent

Latest = Callable[[str], PointState | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest state of every point, also of the block that is being taken in."""

    turn: Turn
    device: str = ""
    points: "dict[str, PointState] | None" = None

    def __call__(self, point: str) -> PointState | None:
        device = self.turn.house.points[point].device
        if self.points is not None and device == self.device:
            return self.points.get(point)
        return self.turn.devices.get(device, _NO_DEVICE).points.get(point)


_NO_DEVICE = DeviceState()


def latest_of(turn: Turn, device: str = "", points: dict[str, PointState] | None = None) -> Latest:
    """Look points up; those of `device` in `points`, which are newer than the state."""
    return _Known(turn, device, points)


def weigher(turn: Turn, latest: Latest, judge: Judge, *, is_twin: bool = False) -> Weigh:
    """The function that judges one reading by one rule: the verdict, and what was judged.

    `is_twin`: the rules are twins for a test, which remember under ids of their own.
    """
    remembering, mean_of = turn.house.remembering, _mean_of(turn, latest)

    def weigh(rule: Rule, reading: Reading) -> tuple[Verdict, Reading]:
        how = remembering.get(parted(rule.id)[1] if is_twin else rule.id)
        if how is None:
            return judge(rule, reading), reading
        if isinstance(rule.condition, Silent):
            return _hear_again(turn, rule, rule.condition, reading), reading
        return _weigh_with_memory(turn, rule, how, reading, mean_of)

    return weigh


def _weigh_with_memory(
    turn: Turn, rule: Rule, how: How, reading: Reading, mean_of: MeanOf
) -> tuple[Verdict, Reading]:
    known = turn.memory.get(rule.id)
    memory = known if isinstance(known, Memory) else NOTHING
    weighed = weigh_reading(rule.condition, how, reading, memory, mean_of)
    if weighed.memory is not memory:
        turn.remember(rule.id, weighed.memory)
    if weighed.value == reading.value:
        return weighed.verdict, reading
    judged = Reading(reading.point, weighed.value, reading.quality, reading.mono_ms, reading.reason)
    return weighed.verdict, judged


def _mean_of(turn: Turn, latest: Latest) -> MeanOf:
    """Nothing that is known changes while a block is judged: each point is looked up once."""
    usable: dict[str, float | None] = {}

    def look_up(point: str) -> float | None:
        known = latest(point)
        value = None
        if known is not None and _is_usable(turn, known.reading):
            value = known.reading.value
        usable[point] = found = value if isinstance(value, int | float) else None
        return found

    def mean_of(points: Sequence[str]) -> Mean:
        found = [usable[point] if point in usable else look_up(point) for point in points]
        values = [value for value in found if value is not None]
        return mean(values, len(points))

    return mean_of


def _is_usable(turn: Turn, reading: Reading) -> bool:
    is_fresh = turn.now.mono_ms - reading.mono_ms <= turn.house.points[reading.point].max_age_ms
    return is_fresh and (reading.quality is Quality.GOOD or is_still_judged(reading))


# --- silence -----------------------------------------------------------------------------------


def _hear_again(turn: Turn, rule: Rule, condition: Silent, reading: Reading) -> Verdict:
    """A usable value ends a silence, and the next one is watched for from here on."""
    if reading.value is None or not (reading.quality in rule.judges or is_still_judged(reading)):
        return Verdict.UNUSABLE
    due = reading.mono_ms + condition.after_ms
    if turn.silence_due_ms is None or due < turn.silence_due_ms:
        turn.silence_due_ms = due
    return Verdict.CLEAR


def watch_silence(turn: Turn) -> None:
    """Raise for every point that has been silent for too long; say when to look again.

    `silence_due_ms` is never later than the first silence that ends: it is found anew only when
    it is over, so this costs nothing while values come.
    """
    if turn.silence_due_ms is None or turn.now.mono_ms < turn.silence_due_ms:
        return
    latest, due = latest_of(turn), []
    for rule, after_ms in turn.house.silences:
        known = latest(rule.point)
        since = None if known is None else known.good_ms
        if since is None:
            since = known_since_ms(turn.state, turn.house.points[rule.point].device)
        over = after_ms + since
        if over > turn.now.mono_ms:
            due.append(over)
        else:
            silence = Reading(rule.point, None, Quality.GOOD, turn.now.mono_ms)
            at_once = replace(rule, for_ms=0, min_samples=1)  # nothing comes that could be counted
            judge_rule(turn, at_once, silence, lambda _rule, reading: (Verdict.OVER, reading))
    turn.silence_due_ms = min(due, default=None)


# --- several points ----------------------------------------------------------------------------


def hear_members(turn: Turn, combined: Combined, reading: Reading, latest: Latest) -> None:
    """Let one reading act on the members of a combined rule that look at its point."""
    before, mean_of = _held(turn, combined), _mean_of(turn, latest)
    after = tuple(
        hear(member, held, reading, mean_of) if member.point == reading.point else held
        for member, held in zip(combined.members, before, strict=True)
    )
    if after != before:
        turn.remember(combined.rule.id, after)


def judge_combined(turn: Turn, combined: Combined) -> None:
    """Judge a combined rule by what its members say now; its number is its first member's."""
    value = _held(turn, combined)[0].value
    said = Reading(combined.rule.point, value, Quality.GOOD, turn.now.mono_ms)
    judge_rule(turn, combined.rule, said, lambda _, reading: _weigh(turn, combined, reading))


def judge_twin(turn: Turn, combined: Combined, twin: Rule) -> None:
    """Judge a combined rule as if for a test: points that are not under test count as they are.

    Its delays are looked at with every reading of a point under test.
    """
    points, now = turn.house.points, turn.now.mono_ms
    known = turn.memory.get(twin.id)
    tested = known if isinstance(known, tuple) else (UNHEARD,) * len(combined.members)
    held = [
        mine if member.point in turn.state.tests else real
        for member, mine, real in zip(combined.members, tested, _held(turn, combined), strict=True)
    ]
    said = [
        verdict_of(member, each, points[member.point].max_age_ms, now)
        for member, each in zip(combined.members, held, strict=True)
    ]
    verdict = combine(combined.condition, said)
    reading = Reading(twin.point, held[0].value, Quality.GOOD, now)
    judge_rule(turn, twin, reading, lambda _, reading: (verdict, reading))


def _weigh(turn: Turn, combined: Combined, reading: Reading) -> tuple[Verdict, Reading]:
    now, points, rule = turn.now.mono_ms, turn.house.points, combined.rule
    held = _held(turn, combined)
    said = [
        verdict_of(member, known, points[member.point].max_age_ms, now)
        for member, known in zip(combined.members, held, strict=True)
    ]
    _note_pending(turn, combined, held)
    verdict = combine(combined.condition, said)
    alarm = turn.alarms.get(rule.id)
    if verdict is Verdict.UNUSABLE and alarm is not None and not alarm.is_stale:
        turn.put_alarm(alarms.freeze(alarm))
    return verdict, reading


def _note_pending(turn: Turn, combined: Combined, held: Sequence[Held]) -> None:
    """Members that are over, but not for long enough: when that is, and what to read meanwhile."""
    waits, points = [], []
    for member, known in zip(combined.members, held, strict=True):
        if known.verdict is not Verdict.OVER or known.is_stale:
            continue
        due = due_ms(member, known)
        if due is None:
            points.append(member.point)
        elif due > turn.now.mono_ms:
            points.append(member.point)
            waits.append(due)
    pending = Pending(min(waits, default=None), tuple(points)) if points else None
    turn.put_pending(combined.rule.id, pending)


def let_members_hold(turn: Turn) -> None:
    """Judge every combined rule of which a member has now held for long enough."""
    for rule, pending in list(turn.pending.items()):
        if pending.due_ms is not None and turn.now.mono_ms >= pending.due_ms:
            turn.put_pending(rule, None)  # judging says what is still to come
            judge_combined(turn, turn.house.combined[rule])


def _held(turn: Turn, combined: Combined) -> tuple[Held, ...]:
    known = turn.memory.get(combined.rule.id)
    return known if isinstance(known, tuple) else (UNHEARD,) * len(combined.members)
