"""What a new site file would change, thing by thing, and what of it protects people less. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

from gateway.core.reload import difference
from gateway.domain.points import Point
from gateway.domain.rules import Above, Below, Rises, Rule, Severity
from gateway.domain.site import Site
from gateway.domain.text import Text

RANK = {Severity.FAULT: 0, Severity.WARNING: 1, Severity.ALARM: 2}
NOTHING = "–"
_TOLD_APART = frozenset({"points", "sha", "buses", "devices", "rules"})


_KEYS = {
    (Above, "condition.limit"): "above",
    (Below, "condition.limit"): "below",
    (Rises, "condition.by"): "rises_by / falls_by",
}


class How(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Changed:
    """`fields`: name -> (before, after), as text. `is_weaker`: it calls later, less or never."""

    what: str  # bus, device, point, rule, site
    id: str
    how: How
    fields: Mapping[str, tuple[str, str]]
    is_weaker: bool = False


@dataclass(frozen=True, slots=True)
class SiteDiff:
    changes: tuple[Changed, ...]
    rested: tuple[str, ...]  # buses whose connection or plan begins anew
    restart_for: tuple[str, ...]  # keys that only a restart of the daemon takes over


def diff_sites(old: Site, new: Site) -> SiteDiff:
    """Everything that differs: the house, its buses, devices, points and rules, by their ids."""
    found = difference(old, new)
    changes = [
        *_changed("site", {old.id: old}, {old.id: new}),
        *_changed("bus", {b.id: b for b in old.buses}, {b.id: b for b in new.buses}),
        *_changed("device", {d.id: d for d in old.devices}, {d.id: d for d in new.devices}),
        *_changed("point", old.points, new.points),
        *_changed("rule", {r.id: r for r in old.rules}, {r.id: r for r in new.rules}),
    ]
    points = {**old.points, **new.points}
    changes = [_as_written(change, old.rules, points) for change in changes]
    return SiteDiff(tuple(changes), tuple(sorted(found.resting)), found.restart_for)


def _changed(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Changed]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before is None:
            yield Changed(what, key, How.ADDED, {})
        elif after is None:
            yield Changed(what, key, How.REMOVED, {}, is_weaker=what in ("rule", "device"))
        elif before != after:
            differing = dict(_fields(before, after))
            is_weaker = _is_weaker(before, after)
            if differing:
                yield Changed(what, key, How.CHANGED, differing, is_weaker)


def _as_written(change: Changed, rules: Sequence[Rule], points: Mapping[str, Point]) -> Changed:
    """What a rule's condition compares with, by the key and in the unit of the file."""
    if change.what != "rule" or change.how is not How.CHANGED:
        return change
    rule = next(rule for rule in rules if rule.id == change.id)
    point = points.get(rule.point)
    unit = "" if point is None else point.unit
    told = {}
    for name, (before, after) in change.fields.items():
        key = _KEYS.get((type(rule.condition), name), name.removeprefix("condition."))
        is_value = name in ("condition.limit", "condition.clears", "condition.by")
        written = partial(_with_unit, unit=unit if is_value else None)
        told[key] = (written(before), written(after))
    return replace(change, fields=told)


def _with_unit(text: str, unit: str | None) -> str:
    """A number as people write it: `300.0` -> `300 mA`; any other text as it is."""
    if unit is None:
        return text
    try:
        return f"{float(text):g} {unit}".strip()
    except ValueError:
        return text


def _fields(before: Any, after: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    """The fields that differ; parts that are told by themselves are left out."""
    for field in fields(before):
        if field.name in _TOLD_APART:
            continue
        one, other = getattr(before, field.name), getattr(after, field.name)
        if one != other:
            yield from _parts(field.name, one, other)


def _parts(name: str, one: Any, other: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    """A part with fields or keys of its own is told by those that differ."""
    inner, others = _inner(one), _inner(other)
    if inner is None or others is None or type(one) is not type(other):
        yield _in_units(name, one, other)
        return
    for key in dict.fromkeys([*inner, *others]):
        if inner.get(key) != others.get(key):
            yield from _parts(f"{name}.{key}", inner.get(key), others.get(key))


def _inner(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Text):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return {_text(key): each for key, each in value.items()} if isinstance(value, Mapping) else None


def _in_units(name: str, one: Any, other: Any) -> tuple[str, tuple[str, str]]:
    """Times in the unit in which people write them."""
    if not name.endswith("_ms"):
        return name, (_text(one), _text(other))
    return name.removesuffix("_ms"), (_time(one), _time(other))


def _time(value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return _text(value)
    return f"{value / 1000:g}s" if value % 60_000 or not value else f"{value // 60_000}min"


def _is_weaker(before: Any, after: Any) -> bool:
    match before, after:
        case Rule(), Rule():
            return _calls_less(before, after)
        case Site(), Site():
            return _reaches_fewer(before, after)
    return False


def _reaches_fewer(before: Site, after: Site) -> bool:
    """True when a lamp, the buzzer or the platform would be told nothing any more."""
    was, will = before.panel, after.panel
    outputs = ("red", "amber", "yellow", "green", "buzzer")
    is_dark = any(getattr(was, o) is not None and getattr(will, o) is None for o in outputs)
    return is_dark or (before.uplink is not None and after.uplink is None)


def _calls_less(before: Rule, after: Rule) -> bool:
    """True when it would call later, for less, or more softly than before."""
    one, other = before.condition, after.condition
    is_higher = isinstance(one, Above) and isinstance(other, Above) and other.limit > one.limit
    is_lower = isinstance(one, Below) and isinstance(other, Below) and other.limit < one.limit
    return (
        is_higher
        or is_lower
        or after.for_ms > before.for_ms
        or RANK[after.severity] < RANK[before.severity]
        or (before.latch and not after.latch)
    )


def _is_said(value: Any) -> bool:
    return value not in (None, (), "", False)


def _text(value: Any) -> str:
    if isinstance(value, Text):
        return f"{value.zh} / {value.en}"
    if value is None or value in ((), ""):
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list | frozenset | set):
        return "; ".join(_text(each) for each in value)
    if (inner := _inner(value)) is not None:
        told = (_in_units(name, each, each) for name, each in inner.items() if _is_said(each))
        return ", ".join(f"{name} {text}" for name, (text, _) in told)
    if isinstance(value, StrEnum):
        return value.value
    return str(value)
