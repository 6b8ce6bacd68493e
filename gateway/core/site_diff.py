"""What a new site file would change, thing by thing, and what of it protects people less. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

from gateway.core.reload import difference
from gateway.domain.rules import Above, Below, Rule, Severity
from gateway.domain.site import Site
from gateway.domain.text import Text

RANK = {Severity.FAULT: 0, Severity.WARNING: 1, Severity.ALARM: 2}
NOTHING = "–"
_TOLD_APART = frozenset({"points", "sha", "buses", "devices", "rules"})


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
    return f"{value / 1000:g}s" if value % 60_000 or not value else f"{value // 60_000}m"


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
