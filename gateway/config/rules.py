"""Rules of the points of a device: the defaults of their kind, what the site changed, its own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateway.config.kinds import Kind
from gateway.config.problems import Place, Problem
from gateway.config.profiles import unit_problem
from gateway.config.quantities import factor_between
from gateway.config.validate import (
    Setting,
    Settings,
    did_you_mean,
    error,
    is_given,
    value_of,
    warning,
)
from gateway.core.health import OWN_DEVICE
from gateway.domain.points import Point
from gateway.domain.readings import Quality
from gateway.domain.rules import Above, Below, Condition, Is, Rule, Severity, Sound
from gateway.domain.text import Text

COMPUTED_FOR_MS = 10_000  # patrol-and-alarms 4.3, where domain 9 is silent
COMPUTED_CLEAR_FOR_MS = 30_000
CLEARS_PART = Decimal("0.05")  # of the limit, when no `clears` is given
OWN_BASIS = "owner's decision (site file)"
SOUNDS = {Severity.ALARM: Sound.A1, Severity.WARNING: Sound.W, Severity.FAULT: Sound.F}
CONDITIONS = ("above", "below", "is_")
JUDGING = (*CONDITIONS, "clears", "for_", "severity", "judges", "min_samples")


@dataclass(frozen=True, slots=True)
class Owned:
    """A device as far as its rules need it. `top` is where it is named in the site file."""

    device: str
    owner: str
    points: Mapping[str, Point]
    top: Place


@dataclass(frozen=True, slots=True)
class PlacedRule:
    """A rule and the line of the site file that says most about it."""

    rule: Rule
    place: Place


def device_rules(
    owned: Owned,
    kinds: Mapping[str, Kind],
    changes: Mapping[str, Settings],
    found: list[Problem],
) -> list[PlacedRule]:
    """The rules of one device. `changes` are its `rules:` by name, or by `point/name`."""
    rules: list[PlacedRule] = []
    used: set[str] = set()
    for point in owned.points.values():
        defaults = kinds[point.kind].rules if point.kind else {}
        for name, default in defaults.items():
            keys = [key for key in (name, f"{point.name}/{name}") if _fits(key, point, changes)]
            used |= set(keys)
            given: Settings = default
            for key in keys:
                given = _changed(given, changes[key], found)
            rule = _rule(name, point, given, owned, found)
            if rule is not None:
                place = _anywhere(changes[keys[-1]], owned.top) if keys else owned.top
                rules.append(PlacedRule(rule, place))
    for key, change in changes.items():
        own = None if key in used else _own_rule(key, change, owned, kinds, found)
        if own is not None:
            rules.append(PlacedRule(own, _anywhere(change, owned.top)))
    return rules


def site_rule(
    name: str, given: Settings, devices: Mapping[str, Owned], top: Place, found: list[Problem]
) -> Rule | None:
    """A rule under the site's own `rules:`; its point is named `device.point`."""
    said = given.get("point")
    if said is None:
        fact = Text("规则没有 `point`", "the rule names no `point`")
        advice = Text("加上 point: 设备.监测点", "add point: device.point")
        if not ({"all", "any"} & set(given)):
            found.append(error(top, "missing_key", fact, advice))
            return None
        found.append(_combined(given))
        return None
    device, _, point = str(said.value).partition(".")
    owned = devices.get(device)
    if owned is None or point not in owned.points:
        is_own = device == OWN_DEVICE  # its figures are many: named only to who asks for one
        meant = [o for o in devices.values() if (o.device == OWN_DEVICE) == is_own]
        ids = [f"{o.device}.{p}" for o in meant for p in o.points]
        fact = Text(f"没有监测点 `{said.value}`", f"there is no point `{said.value}`")
        found.append(error(said.place, "unknown_point", fact, did_you_mean(said.value, ids)))
        return None
    return _rule(name, owned.points[point], given, owned, found)


def fighting(rules: Sequence[PlacedRule], found: list[Problem]) -> None:
    """Report points that are too high and too low at once, whatever they read."""
    lows: dict[str, list[tuple[float, Place]]] = {}
    for placed in rules:
        if isinstance(placed.rule.condition, Below):
            limit = placed.rule.condition.limit
            lows.setdefault(placed.rule.point, []).append((limit, placed.place))
    for placed in rules:
        high, point = placed.rule.condition, placed.rule.point
        if not isinstance(high, Above):
            continue
        for low, place in lows.get(point, []):
            if high.limit < low:
                fact = Text(
                    f"{point}：高于 {high.limit:g} 和低于 {low:g} 总有一个成立",
                    f"{point}: above {high.limit:g} or below {low:g} is always true",
                )
                advice = Text("高限要在低限之上", "the upper limit must be over the lower one")
                found.append(error(placed.place, "fighting_limits", fact, advice, place))


def late_warnings(rules: Sequence[PlacedRule], found: list[Problem]) -> None:
    """Report warnings that can only come after the alarm they should come before."""
    alarms: dict[str, list[PlacedRule]] = {}
    for placed in rules:
        if placed.rule.severity is Severity.ALARM:
            alarms.setdefault(placed.rule.point, []).append(placed)
    for placed in rules:
        later = [alarm for alarm in alarms.get(placed.rule.point, []) if _is_later(placed, alarm)]
        if placed.rule.severity is Severity.WARNING and later:
            found.append(_late(placed, later[0]))


def _is_later(placed: PlacedRule, alarm: PlacedRule) -> bool:
    match placed.rule.condition, alarm.rule.condition:
        case Above(limit=own), Above(limit=first):
            return own > first
        case Below(limit=own), Below(limit=first):
            return own < first
    return False


def _late(placed: PlacedRule, alarm: PlacedRule) -> Problem:
    rule, limit = placed.rule, f"{placed.rule.limit:g}"
    name, first = alarm.rule.name, f"{alarm.rule.limit:g}"
    fact = Text(
        f"{rule.point}：预警 {rule.name}（{limit}）比报警 {name}（{first}）来得晚",
        f"{rule.point}: the warning {rule.name} ({limit}) comes after the alarm {name} ({first})",
    )
    advice = Text("预警限值要先于报警限值", "a warning's limit is reached before the alarm's")
    also = () if alarm.place == placed.place else (alarm.place,)
    return warning(placed.place, "fighting_limits", fact, advice, *also)


def _fits(key: str, point: Point, changes: Mapping[str, Settings]) -> bool:
    if key not in changes:
        return False
    said = changes[key].get("point")
    return said is None or said.value in (point.name, point.id)


def _own_rule(
    key: str, given: Settings, owned: Owned, kinds: Mapping[str, Kind], found: list[Problem]
) -> Rule | None:
    top = _anywhere(given, owned.top)
    if {"all", "any"} & set(given):
        found.append(_combined(given))
        return None
    said = given.get("point")
    if said is None:
        kinds_here = {point.kind for point in owned.points.values() if point.kind}
        known = {name for kind in kinds_here for name in kinds[kind].rules}
        fact = Text(f"这台设备没有规则 `{key}`", f"this device has no rule `{key}`")
        advice = did_you_mean(key, known)
        advice = Text(
            f"{advice.zh}（新规则要写 point: 监测点）", f"{advice.en} (a new rule needs `point`)"
        )
        found.append(error(top, "unknown_rule", fact, advice))
        return None
    name = str(said.value).removeprefix(f"{owned.device}.")
    if name not in owned.points:
        fact = Text(f"没有监测点 `{said.value}`", f"there is no point `{said.value}`")
        found.append(error(said.place, "unknown_point", fact, did_you_mean(name, owned.points)))
        return None
    return _rule(key.rpartition("/")[2], owned.points[name], given, owned, found)


def _combined(given: Settings) -> Problem:
    said = given.get("all") or given["any"]
    fact = Text(
        "组合规则（all/any）这个版本还不支持", "combined rules (all/any) are not in this version"
    )
    advice = Text(
        "先写单点规则：point 加 above、below 或 is",
        "write a rule for one point: point with above, below or is",
    )
    return error(said.place, "not_supported", fact, advice)


def _anywhere(given: Settings, otherwise: Place) -> Place:
    for setting in given.values():
        return setting.tree.place(setting.where[:-1], key=True)
    return otherwise


def _changed(default: Settings, change: Settings, found: list[Problem]) -> Settings:
    """The default with what the site says. What no longer fits is dropped, not kept in silence."""
    kept = dict(default)
    conditions = [key for key in CONDITIONS if key in change]
    if conditions:
        for key in (*CONDITIONS, "clears", "needs"):
            kept.pop(key, None)
        _compare_with_default(default, change[conditions[0]], conditions[0], found)
    if "severity" in change:
        kept.pop("sound", None)
    judging = [key for key in JUDGING if key in change]
    if "basis" not in change and "basis" in kept and judging:
        kept["basis"] = _without_basis(kept["basis"], change[judging[0]])
        kept.pop("edition", None)
    if "basis" not in change and ("off" in change or (conditions and "needs" not in default)):
        _ask_for_basis(change, conditions, found)
    return {**kept, **change}


def _compare_with_default(default: Settings, said: Setting, key: str, found: list[Problem]) -> None:
    """A limit ten times the usual one is more often a wrong unit than a decision."""
    if key not in default or key == "is_":
        return
    old, new = default[key].value, said.value
    by = factor_between(new.unit, old.unit)
    if by is None or old.value <= 0 or new.value <= 0:
        return
    ratio = new.value * by / old.value
    if Decimal("0.125") < ratio < 8:
        return
    many, few = f"{float(ratio):.3g}", f"1/{float(1 / ratio):.3g}"
    fact = Text(
        f"`{new}` 是默认限值 {old} 的 {many if ratio > 1 else few} 倍",
        f"`{new}` is {f'{many} times' if ratio > 1 else f'{few} of'} the default limit {old}",
    )
    advice = Text(
        "检查小数点和单位（MPa 还是 kPa，A 还是 mA）；有意的就不用改",
        "look at the decimal point and the unit (MPa or kPa, A or mA); if it is meant, leave it",
    )
    found.append(warning(said.place, "limit_far_from_default", fact, advice))


def _without_basis(old: Setting, because: Setting) -> Setting:
    text = f"{OWN_BASIS}; the default's basis was: {old.value}"
    return Setting(text, because.tree, because.where)


def _ask_for_basis(change: Settings, conditions: list[str], found: list[Problem]) -> None:
    advice = Text("加上 basis: 谁、何时、为什么", "add basis: who decided it, when and why")
    if "off" in change and change["off"].value:
        fact = Text("停用规则而没有说明依据", "a rule is switched off without a basis")
        found.append(error(change["off"].place, "basis_missing", fact, advice))
    elif conditions:
        fact = Text(
            "改了限值而没有说明依据；不会再当作标准条文显示",
            "a limit is changed without a basis; it is no longer shown as the standard's",
        )
        found.append(warning(change[conditions[0]].place, "basis_missing", fact, advice))


def _rule(
    name: str, point: Point, given: Settings, owned: Owned, found: list[Problem]
) -> Rule | None:
    if "off" in given and given["off"].value:
        return None
    top = _anywhere(given, owned.top)
    missing = [key for key in ("severity", "say") if key not in given]
    conditions = () if any(key in given for key in CONDITIONS) else ("above", "below", "is")
    if _is_any_given(given, (*missing, *conditions)):
        return None  # what is there but wrong is reported; what is missing beside it comes later
    condition = _condition(name, point, given, owned, found)
    for key in missing:
        fact = Text(f"缺少 `{key}`", f"`{key}` is missing")
        found.append(error(top, "missing_key", fact, Text(f"加上 {key}", f"add {key}: ...")))
    if condition is None or missing:
        return None
    severity: Severity = given["severity"].value
    is_bit = isinstance(condition, Is)
    for_ms = value_of(given, "for_", 0 if is_bit else COMPUTED_FOR_MS)
    return Rule(
        id=f"{point.id}/{name}",
        name=name,
        point=point.id,
        condition=condition,
        severity=severity,
        sound=value_of(given, "sound", SOUNDS[severity]),
        for_ms=for_ms,
        clear_for_ms=value_of(given, "clear_for", 0 if is_bit else COMPUTED_CLEAR_FOR_MS),
        latch=value_of(given, "latch", False),
        say=given["say"].value,
        do=given["do"].value if "do" in given else (),
        owner=value_of(given, "owner", owned.owner),
        basis=value_of(given, "basis", OWN_BASIS),
        edition=value_of(given, "edition", ""),
        judges=frozenset(value_of(given, "judges", [Quality.GOOD])),
        min_samples=value_of(given, "min_samples", 1 if is_bit or for_ms == 0 else 2),
    )


def _is_any_given(given: Settings, keys: Sequence[str]) -> bool:
    """True if a file that gave one of the settings has one of the keys beside it."""
    beside = {(s.tree.file, s.where[:-1]): (s.tree, s.where[:-1]) for s in given.values()}
    return any(is_given(tree, where, key) for tree, where in beside.values() for key in keys)


def _condition(
    name: str, point: Point, given: Settings, owned: Owned, found: list[Problem]
) -> Condition | None:
    said = [given[key] for key in CONDITIONS if key in given]
    if not said:
        _no_condition(name, point, given, owned, found)
        return None
    if len(said) > 1:
        fact = Text("一条规则只能有一个条件", "a rule has one condition")
        advice = Text("above、below、is 只留一个", "keep one of above, below and is")
        found.append(error(said[1].place, "two_conditions", fact, advice, said[0].place))
        return None
    if "is_" in given:
        return Is(frozenset(given["is_"].value))
    limit = _in_unit(said[0], point, found)
    if limit is None:
        return None
    _check_reach(said[0], limit, point, is_above="above" in given, found=found)
    clears = _clears(given, limit, point, found)
    if clears is None:
        return None
    if "above" in given:
        return Above(float(limit), float(clears))
    return Below(float(limit), float(clears))


def _no_condition(
    name: str, point: Point, given: Settings, owned: Owned, found: list[Problem]
) -> None:
    if "needs" in given:
        key = given["needs"].value
        fact = Text(
            f"{point.id} 的规则 {name} 没有限值，不起作用",
            f"rule {name} of {point.id} has no limit and does nothing",
        )
        line = f"rules: {{{name}: {{{key}: ... {point.unit}, basis: ...}}}}"
        advice = Text(
            f"没有适合所有场所的默认值：在设备下写 {line}",
            f"no default fits every place: give the device {line}",
        )
        found.append(warning(owned.top, "limit_missing", fact, advice))
        return
    fact = Text("规则没有条件", "the rule has no condition")
    advice = Text("加上 above、below 或 is", "add above, below or is")
    found.append(error(_anywhere(given, owned.top), "missing_key", fact, advice))


def _in_unit(said: Setting, point: Point, found: list[Problem]) -> Decimal | None:
    """The limit in the point's unit; a number without unit only fits a point without one."""
    by = factor_between(said.value.unit, point.unit)
    if by is None and _is_cut_by_comma(said.place):
        return None  # `{below: 0,07 MPa}`: the rest is reported as an entry of its own
    if by is None:
        found.append(unit_problem(said, point.unit))
        return None
    value: Decimal = said.value.value
    return value * by


def _is_cut_by_comma(place: Place) -> bool:
    end = place.column - 1 + place.length
    return re.match(r",[0-9]", place.text[end:]) is not None


def _clears(given: Settings, limit: Decimal, point: Point, found: list[Problem]) -> Decimal | None:
    is_above = "above" in given
    if "clears" not in given:
        margin = abs(limit) * CLEARS_PART
        return limit - margin if is_above else limit + margin
    said = given["clears"]
    clears = _in_unit(said, point, found)
    if clears is None:
        return None
    if clears > limit if is_above else clears < limit:
        side = Text("之下", "at or below") if is_above else Text("之上", "at or above")
        fact = Text(
            f"恢复值 {said.value} 在限值的错误一侧：报警一出现就会恢复，又立刻再报",
            f"`clears` {said.value} is on the wrong side of the limit:"
            " the alarm would clear at once"
            " and come again",
        )
        advice = Text(f"恢复值要在限值{side.zh}", f"`clears` must be {side.en} the limit")
        other = given["above" if is_above else "below"].place
        found.append(error(said.place, "fighting_limits", fact, advice, other))
        return None
    return clears


def _check_reach(
    said: Setting, limit: Decimal, point: Point, *, is_above: bool, found: list[Problem]
) -> None:
    """A limit that no valid value can pass would never raise; one that all pass, always."""
    if point.valid is None:
        return
    low, high = point.valid
    if (is_above and limit < Decimal(str(low))) or (not is_above and limit > Decimal(str(high))):
        fact = Text(
            f"{point.id} 的有效范围是 {low:g}..{high:g} {point.unit}，这个限值会一直报警",
            f"{point.id} is valid in {low:g}..{high:g} {point.unit},"
            " so this limit would always raise",
        )
        advice = Text(
            "检查数值和单位（MPa 还是 kPa）", "look at the number and its unit (MPa or kPa)"
        )
        found.append(error(said.place, "limit_always", fact, advice))
    if (is_above and limit >= Decimal(str(high))) or (not is_above and limit <= Decimal(str(low))):
        fact = Text(
            f"{point.id} 的有效范围是 {low:g}..{high:g} {point.unit}，到不了这个限值",
            f"{point.id} is valid in {low:g}..{high:g} {point.unit}, so it never passes this limit",
        )
        advice = Text(
            "改限值，或在设备的 points 下改 valid",
            "correct the limit, or give the device's point a wider `valid`",
        )
        found.append(error(said.place, "limit_out_of_reach", fact, advice))
