"""What a new site file would change, thing by thing, and what of it protects people less. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from gateway.core.reload import difference
from gateway.domain.rules import Above, Below, Rule, Severity
from gateway.domain.site import Site
from gateway.domain.text import Text

RANK = {Severity.FAULT: 0, Severity.WARNING: 1, Severity.ALARM: 2}
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
            is_weaker = isinstance(before, Rule) and _is_weaker(before, after)
            if differing:
                yield Changed(what, key, How.CHANGED, differing, is_weaker)


def _fields(before: Any, after: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    """The fields that differ; parts that are told by themselves are left out."""
    for field in fields(before):
        if field.name in _TOLD_APART:
            continue
        one, other = getattr(before, field.name), getattr(after, field.name)
        if one != other:
            yield field.name, (_text(one), _text(other))


def _is_weaker(before: Rule, after: Rule) -> bool:
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


def _text(value: Any) -> str:
    if isinstance(value, Text):
        return f"{value.zh} / {value.en}"
    if isinstance(value, tuple | list):
        return "; ".join(_text(each) for each in value)
    if isinstance(value, StrEnum):
        return value.value
    return str(value)
