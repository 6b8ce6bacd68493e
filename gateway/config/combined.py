"""Rules over several points: the conditions under `all` and `any`, down to the single ones."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.config.conditions import (
    OWN_NAMES,
    Around,
    conditions_in,
    single_condition,
)
from gateway.config.problems import Problem
from gateway.config.schema import MemberPart
from gateway.config.validate import (
    Setting,
    Settings,
    did_you_mean,
    error,
    settings,
    validate,
    value_of,
)
from gateway.domain.readings import Quality
from gateway.domain.rules import Above, AllOf, AnyOf, Below, Is, Member, Rule, Silent
from gateway.domain.text import Text

Resolve = Callable[[Setting], Rule | None]
Part = Member | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class _Making:
    around: Around
    resolve: Resolve | None  # None: rules of a device cannot name others
    found: list[Problem]


def combined_condition(
    said: Setting, around: Around, resolve: Resolve | None, found: list[Problem]
) -> AllOf | AnyOf | None:
    """What stands under `all` or `any`; None (reported) if one of its parts cannot be."""
    return _group(said, _Making(around, resolve, found))


def _group(said: Setting, making: _Making) -> AllOf | AnyOf | None:
    parts = [_part(said, index, making) for index in range(len(said.value))]
    members = tuple(part for part in parts if part is not None)
    if len(members) < len(parts):
        return None
    if said.where[-1] == "any":
        return AnyOf(members)
    return None if _is_impossible(said, members, making.found) else AllOf(members)


def _part(said: Setting, index: int, making: _Making) -> Part | None:
    where, found = (*said.where, index), making.found
    before = len(found)
    part = validate(MemberPart, said.tree, where, found)
    given = settings(part, said.tree, where)
    ways = [key for key in ("rule", *conditions_in(given)) if key in given]
    if "more_than" in given and "is_" not in ways:
        ways.append("is_")
    if len(found) > before:
        return None
    if len(ways) != 1:
        _not_one(ways, given, said, index, found)
        return None
    if ways[0] == "rule":
        return _of_rule(given["rule"], making)
    if ways[0] in ("all", "any"):
        return _group(given[ways[0]], making)
    return _member(given, said, index, making)


def _not_one(
    ways: list[str], given: Settings, said: Setting, index: int, found: list[Problem]
) -> None:
    if not ways:
        place = said.tree.place((*said.where, index))
        fact = Text("这一项没有条件", "this entry has no condition")
        advice = Text(
            "如 {point: 设备.监测点, above: 100 W}", "such as {point: device.point, above: 100 W}"
        )
        found.append(error(place, "missing_key", fact, advice))
        return
    names = [OWN_NAMES.get(way, way) for way in ways]
    fact = Text("每一项只能有一个条件", "each entry has one condition")
    advice = Text(f"{'、'.join(names)} 只留一个", f"keep one of {' and '.join(names)}")
    places = [given[way].place for way in ways]
    found.append(error(places[1], "two_conditions", fact, advice, places[0]))


def _member(given: Settings, said: Setting, index: int, making: _Making) -> Member | None:
    found, around = making.found, making.around
    named = given.get("point")
    if named is None:
        fact = Text("这一项没有 `point`", "this entry names no `point`")
        advice = Text("加上 point: 设备.监测点", "add point: device.point")
        place = said.tree.place((*said.where, index))
        found.append(error(place, "missing_key", fact, advice))
        return None
    point = around.find(named.value)
    if point is None:
        fact = Text(f"没有监测点 `{named.value}`", f"there is no point `{named.value}`")
        guess = did_you_mean(named.value, around.points)
        if making.resolve is None:
            guess = Text(
                f"{guess.zh}（几台设备的组合写在站点的 rules 下）",
                f"{guess.en} (points of several devices: under the site's `rules`)",
            )
        found.append(error(named.place, "unknown_point", fact, guess))
        return None
    condition = single_condition(point, given, around, found)
    if condition is None or isinstance(condition, Silent):
        return None
    for_ms = value_of(given, "for_", 0)
    return Member(
        point=point.id,
        condition=condition,
        for_ms=for_ms,
        min_samples=value_of(given, "min_samples", 1 if for_ms == 0 else 2),
        judges=frozenset(value_of(given, "judges", [Quality.GOOD])),
    )


def _of_rule(said: Setting, making: _Making) -> Part | None:
    """The condition of another rule, with its delay; it is judged anew, not looked up."""
    if making.resolve is None:
        fact = Text("设备的规则不能引用别的规则", "a device's rule cannot name another rule")
        advice = Text("写在站点的 rules 下", "write it under the site's `rules`")
        making.found.append(error(said.place, "key_without_use", fact, advice))
        return None
    rule = making.resolve(said)
    if rule is None:
        return None
    condition = rule.condition
    if isinstance(condition, AllOf | AnyOf):
        return condition
    if isinstance(condition, Silent) or rule.median > 1 or rule.is_magnitude:
        fact = Text(f"规则 {said.value} 不能放进组合", f"rule {said.value} cannot be combined")
        advice = Text("直接写它的 point 和限值", "write its point and limit here")
        making.found.append(error(said.place, "key_without_use", fact, advice))
        return None
    return Member(rule.point, condition, rule.for_ms, rule.min_samples, rule.judges)


def _is_impossible(said: Setting, members: tuple[Part, ...], found: list[Problem]) -> bool:
    """True (reported) when two conditions on one point can never hold at once."""
    single = [(index, part) for index, part in enumerate(members) if isinstance(part, Member)]
    for at, (later, second) in enumerate(single):
        for earlier, first in single[:at]:
            if first.point == second.point and _exclude(first, second):
                fact = Text(
                    f"{first.point} 的这两个条件不可能同时成立",
                    f"these two conditions on {first.point} can never hold at once",
                )
                advice = Text("改限值，或用 any", "change a limit, or use `any`")
                places = [said.tree.place((*said.where, i)) for i in (later, earlier)]
                found.append(error(places[0], "never_fires", fact, advice, places[1]))
                return True
    return False


def _exclude(one: Member, other: Member) -> bool:
    match one.condition, other.condition:
        case (Above(limit=low), Below(limit=high)) | (Below(limit=high), Above(limit=low)):
            return low >= high
        case Is(values=first), Is(values=second):
            return first.isdisjoint(second)
    return False
