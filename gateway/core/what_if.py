"""What other rules would have made of the readings that are stored. Pure.

Readings are stored when they change by their deadband, so a stored value stands for a band around
it. Each site is played three times: with the values as they are, at the upper and at the lower end
of that band. What raises in all three is certain; what does so in some only cannot be decided from
what is stored.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.core.health import with_own_device
from gateway.core.messages import sender_of
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain.events import BlockRead, Ticked
from gateway.domain.moments import Clk, Now
from gateway.domain.readings import Quality, Reading, Value
from gateway.domain.rules import Rule
from gateway.domain.site import Site

SAME_WITHIN_MS = 5 * 60_000  # two replays of one occurrence differ by a sample or a delay
STEADY = 3  # so often a stored value is heard: as many as a median or `min_samples` asks for
RAISED = frozenset({"raise", "again"})
MAX_DEADLINES = 10_000  # between two readings; a plain house needs a handful
AFTER_MS = 3_600_000  # behind the last reading, for delays that it began


@dataclass(frozen=True, slots=True)
class Stored:
    """A reading as it was kept; `at_ms` is UTC."""

    at_ms: int
    point: str
    value: Value | None
    quality: Quality = Quality.GOOD
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """UTC ms of raises. `undecidable` ones depend on where in its deadband a value was."""

    rule: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    appearing: tuple[int, ...]
    vanishing: tuple[int, ...]
    undecidable: tuple[int, ...]


def what_if(old: Site, new: Site, readings: Sequence[Stored]) -> list[RuleOutcome]:
    """Compare two sites over the same stored readings, for the rules that differ; by rule id."""
    was = {rule.id: rule for rule in old.rules}
    will = {rule.id: rule for rule in new.rules}
    differing = {key for key in was.keys() | will.keys() if was.get(key) != will.get(key)}
    before = _raises(old, [rule for key, rule in was.items() if key in differing], readings)
    after = _raises(new, [rule for key, rule in will.items() if key in differing], readings)
    return [_outcome(key, before.get(key), after.get(key)) for key in sorted(differing)]


def needed_points(old: Site, new: Site) -> frozenset[str]:
    """The points that the differing rules look at: no other reading has to be loaded."""
    was = {rule.id: rule for rule in old.rules}
    will = {rule.id: rule for rule in new.rules}
    return frozenset(
        point
        for one, other in ((was, will), (will, was))
        for key, rule in one.items()
        if other.get(key) != rule
        for point in rule.points
    )


@dataclass(frozen=True, slots=True)
class _Raises:
    certain: tuple[int, ...]
    doubtful: tuple[int, ...]


def _raises(site: Site, rules: list[Rule], readings: Sequence[Stored]) -> dict[str, _Raises]:
    """When each rule would have raised, and how sure that is."""
    if not rules:
        return {}
    looked_at = {point for rule in rules for point in rule.points}
    alone = replace(site, rules=tuple(rules), self_test_minute=None)
    used = [reading for reading in readings if reading.point in looked_at]
    plain, upper, lower = (_replayed(alone, used, shift) for shift in (0, 1, -1))
    return {rule.id: _judged(rule.id, plain, upper, lower) for rule in rules}


def _judged(rule: str, *replays: Mapping[str, list[int]]) -> _Raises:
    plain, *others = (replay.get(rule, []) for replay in replays)
    certain = [at for at in plain if all(_has(other, at) for other in others)]
    doubtful = list[int]()
    for at in sorted(at for raises in (plain, *others) for at in raises):
        if not _has(certain, at) and not _has(doubtful, at):
            doubtful.append(at)
    return _Raises(tuple(certain), tuple(doubtful))


def _replayed(site: Site, readings: Sequence[Stored], shift: int) -> dict[str, list[int]]:
    """Play the readings through the heart; each value `shift` deadbands beside what is stored."""
    raised: dict[str, list[int]] = {}
    if not readings:
        return raised
    watched = with_own_device(site)
    start = readings[0].at_ms
    state = state_of(house_of(watched, sender_of(watched, "what-if"), ""), (), _now(start, start))
    points = watched.points

    def feed(event: BlockRead | Ticked, at_ms: int) -> None:
        nonlocal state
        state, outcome = step(state, event, _now(at_ms, start))
        for record in outcome.records:
            body = json.loads(record.body) if record.kind in ("alarm", "fault") else {}
            if body.get("tr") in RAISED:
                raised.setdefault(str(body.get("rule")), []).append(at_ms)

    nexts = [*(reading.at_ms for reading in readings[1:]), readings[-1].at_ms + AFTER_MS]
    for reading, ends in zip(readings, nexts, strict=True):
        point = points[reading.point]
        value = _shifted(reading.value, shift * point.deadband)
        for again in range(STEADY):
            at_ms = reading.at_ms + again * point.period_ms
            if again and at_ms >= ends:
                break
            kept = Reading(point.id, value, reading.quality, at_ms - start, reading.reason)
            feed(BlockRead("", point.device, (kept,)), at_ms)
        for _ in range(MAX_DEADLINES):
            due = state.next_deadline_ms
            if due is None or start + due >= ends:
                break
            feed(Ticked(), start + due)
    return raised


def _now(at_ms: int, start: int) -> Now:
    return Now(at_ms - start, at_ms, Clk.SYNC, 0, "what-if")


def _shifted(value: Value | None, by: float) -> Value | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value + by if is_number and by else value  # type: ignore[operator] # a number


def _outcome(rule: str, before: _Raises | None, after: _Raises | None) -> RuleOutcome:
    one, other = before or _Raises((), ()), after or _Raises((), ())
    appearing = [at for at in other.certain if not _has((*one.certain, *one.doubtful), at)]
    vanishing = [at for at in one.certain if not _has((*other.certain, *other.doubtful), at)]
    doubtful = sorted({*one.doubtful, *other.doubtful})
    return RuleOutcome(
        rule,
        one.certain,
        other.certain,
        tuple(appearing),
        tuple(vanishing),
        tuple(_apart(doubtful)),
    )


def _apart(moments: Iterable[int]) -> Iterator[int]:
    """One of those that stand for the same occurrence."""
    last: int | None = None
    for at in moments:
        if last is None or at - last > SAME_WITHIN_MS:
            yield at
        last = at


def _has(moments: Iterable[int], at: int) -> bool:
    return any(abs(each - at) <= SAME_WITHIN_MS for each in moments)
