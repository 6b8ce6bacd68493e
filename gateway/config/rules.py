"""Rules of the points of a device: the defaults of their kind, what the site changed, its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateway.config.buildings import at_gauge
from gateway.config.combined import Resolve, combined_condition
from gateway.config.conditions import (
    BESIDE,
    CONDITIONS,
    OWN_NAMES,
    Around,
    conditions_in,
    share_of,
    single_condition,
)
from gateway.config.kinds import Kind
from gateway.config.problems import Place, Problem
from gateway.config.quantities import Quantity, factor_between
from gateway.config.schema import RulePart
from gateway.config.tree import Tree
from gateway.config.validate import (
    Setting,
    Settings,
    did_you_mean,
    error,
    is_given,
    settings,
    validate,
    value_of,
    warning,
)
from gateway.core.health import OWN_DEVICE
from gateway.domain.points import Point
from gateway.domain.readings import Quality
from gateway.domain.rules import (
    Above,
    AllOf,
    AnyOf,
    Below,
    Condition,
    Is,
    MoreThan,
    Rule,
    Severity,
    Silent,
    Sound,
    members_of,
)
from gateway.domain.text import Text

COMPUTED_FOR_MS = 10_000  # patrol-and-alarms 4.3, where domain 9 is silent
COMPUTED_CLEAR_FOR_MS = 30_000
OWN_BASIS = "owner's decision (site file)"
SOUNDS = {Severity.ALARM: Sound.A1, Severity.WARNING: Sound.W, Severity.FAULT: Sound.F}
JUDGING = (
    *CONDITIONS, *BESIDE, "for_", "severity", "judges", "min_samples", "median", "magnitude"
)  # fmt: skip
WITH_A_LIMIT = ("above", "below", "rises_by", "falls_by")


@dataclass(frozen=True, slots=True)
class Owned:
    """A device as far as its rules need it. `top` is where it is named in the site file."""

    device: str
    owner: str
    points: Mapping[str, Point]
    top: Place
    rated: Quantity | None = None  # current of its circuit
    height_m: Decimal = Decimal(0)  # of the worst point above the gauge

    @property
    def around(self) -> Around:
        return Around(self.device, {point.id: point for point in self.points.values()})


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
            if point.kind and kinds[point.kind].is_at_worst_point:
                given = at_gauge(given, owned.height_m)
            shared = _with_share(given, point, owned)
            if shared is None:
                continue  # the site does not say what it would be a share of
            is_optional = "where_possible" in shared and not keys
            doubts: list[Problem] = [] if is_optional else found
            rule = _rule(name, point, shared, owned, doubts)
            if rule is not None:
                place = _anywhere(changes[keys[-1]], owned.top) if keys else owned.top
                rules.append(PlacedRule(rule, place))
    for key, change in changes.items():
        own = None if key in used else _own_rule(key, change, owned, kinds, found)
        if own is not None:
            rules.append(PlacedRule(own, _anywhere(change, owned.top)))
    return rules


def _with_share(given: Settings, point: Point, owned: Owned) -> Settings | None:
    """The settings with the limit that is so many percent of a rated value; None without one."""
    if "of" not in given or "percent" not in given:
        return given
    base = owned.rated
    if given["of"].value == "span":
        base = None if point.span is None else Quantity(Decimal(str(point.span[1])), point.unit)
    if base is None:
        return None
    return {**given, "above": share_of(given["percent"], base)}


def site_rules(
    tree: Tree,
    names: Mapping[str, int | str],
    devices: Mapping[str, Owned],
    others: Sequence[PlacedRule],
    found: list[Problem],
) -> list[PlacedRule]:
    """The rules under the site's own `rules:`, in their order.

    They name points as `device.point`; members of combined ones may name `others`, and one
    another, by their names.
    """
    known = {placed.rule.id: placed.rule for placed in others}
    made: dict[str, Rule | None] = {}
    way: list[str] = []

    def resolve(said: Setting) -> Rule | None:
        name = str(said.value)
        if name in way:
            circle = " > ".join([*way[way.index(name) :], name])
            fact = Text(f"规则绕成了圈：{circle}", f"the rules go in a circle: {circle}")
            advice = Text("去掉其中一个 rule", "remove one of the references")
            found.append(error(said.place, "rule_circle", fact, advice))
            return None
        if name in names:
            return make(name)
        if name not in known:
            fact = Text(f"没有规则 `{name}`", f"there is no rule `{name}`")
            advice = did_you_mean(name, [*names, *known])
            found.append(error(said.place, "unknown_rule", fact, advice))
        return known.get(name)

    def make(name: str) -> Rule | None:
        if name not in made:
            way.append(name)
            where = ("rules", names[name])
            given = settings(validate(RulePart, tree, where, found), tree, where)
            top = tree.place(where, key=True)
            made[name] = _site_rule(name, given, devices, top, resolve, found)
            way.remove(name)
        return made[name]

    return [
        PlacedRule(rule, tree.place(("rules", key), key=True))
        for name, key in names.items()
        if (rule := make(name)) is not None
    ]


def _site_rule(
    name: str,
    given: Settings,
    devices: Mapping[str, Owned],
    top: Place,
    resolve: Resolve,
    found: list[Problem],
) -> Rule | None:
    is_combined = bool({"all", "any"} & set(given))
    said = given.get("point")
    if is_combined:
        return _combined_rule(name, given, devices, top, resolve, found)
    if said is None:
        fact = Text("规则没有 `point`", "the rule names no `point`")
        advice = Text("加上 point: 设备.监测点", "add point: device.point")
        if not _is_any_given(given, ("point", "all", "any")):
            found.append(error(top, "missing_key", fact, advice))
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
    around = _house_around(devices, device)
    return _rule(name, owned.points[point], given, owned, found, around)


def _house_around(devices: Mapping[str, Owned], device: str = "") -> Around:
    return Around(device, {p.id: p for owned in devices.values() for p in owned.points.values()})


def _combined_rule(
    name: str,
    given: Settings,
    devices: Mapping[str, Owned],
    top: Place,
    resolve: Resolve | None,
    found: list[Problem],
    around: Around | None = None,
) -> Rule | None:
    """A rule over several points, told under the device of its first member."""
    beside = [key for key in (*CONDITIONS, *BESIDE, "point", "median") if key in given]
    if len(beside) > 1:
        own = next(key for key in beside if key in ("all", "any"))
        other = next(key for key in beside if key != own)
        fact = Text("一条规则只能有一个条件", "a rule has one condition")
        advice = Text("条件都写进 all 或 any", "put the conditions into `all` or `any`")
        found.append(error(given[other].place, "two_conditions", fact, advice, given[own].place))
        return None
    around = around or _house_around(devices)
    condition = combined_condition(given[beside[0]], around, resolve, found)
    if condition is None:
        return None
    point = around.points[members_of(condition)[0].point]
    owned = devices.get(point.device)
    if owned is None:
        owned = Owned(point.device, "", {}, top)
    return _made(name, point, given, owned, condition, found)


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
    wrong = {problem.line for problem in found if problem.is_error}
    for placed in rules:
        if placed.rule.severity is Severity.ALARM:
            alarms.setdefault(placed.rule.point, []).append(placed)
    for placed in rules:
        later = [alarm for alarm in alarms.get(placed.rule.point, []) if _is_later(placed, alarm)]
        later = [alarm for alarm in later if not {alarm.place.line, placed.place.line} & wrong]
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
    return error(placed.place, "fighting_limits", fact, advice, *also)


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
        devices = {owned.device: owned}
        return _combined_rule(key, given, devices, top, None, found, owned.around)
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


def _anywhere(given: Settings, otherwise: Place) -> Place:
    for setting in given.values():
        return setting.tree.place(setting.where[:-1], key=True)
    return otherwise


def _changed(default: Settings, change: Settings, found: list[Problem]) -> Settings:
    """The default with what the site says. What no longer fits is dropped, not kept in silence."""
    kept = dict(default)
    conditions = conditions_in(change)
    if conditions:
        same = conditions == conditions_in(default)  # then `within` and the like are kept
        for key in (*CONDITIONS, "clears", "needs", "percent", "of", *(() if same else BESIDE)):
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
    if key not in default or key not in WITH_A_LIMIT:
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
    name: str,
    point: Point,
    given: Settings,
    owned: Owned,
    found: list[Problem],
    around: Around | None = None,
) -> Rule | None:
    if "off" in given and given["off"].value:
        return None
    around = around or owned.around
    if not conditions_in(given) and _is_any_given(given, _typed(CONDITIONS)):
        return None  # what is there but wrong is reported
    condition = _condition(name, point, given, owned, around, found)
    return _made(name, point, given, owned, condition, found)


def _made(
    name: str,
    point: Point,
    given: Settings,
    owned: Owned,
    condition: Condition | None,
    found: list[Problem],
) -> Rule | None:
    """The rule with all that is not its condition; None (reported) if something is missing."""
    top = _anywhere(given, owned.top)
    missing = [key for key in ("severity", "say") if key not in given]
    if _is_any_given(given, missing):
        return None  # what is there but wrong is reported; what is missing beside it comes later
    for key in missing:
        fact = Text(f"缺少 `{key}`", f"`{key}` is missing")
        found.append(error(top, "missing_key", fact, Text(f"加上 {key}", f"add {key}: ...")))
    if condition is None or missing:
        return None
    severity: Severity = given["severity"].value
    for_ms = value_of(given, "for_", _usual_delay_ms(condition))
    return Rule(
        id=f"{point.id}/{name}",
        name=name,
        point=point.id,
        condition=condition,
        severity=severity,
        sound=value_of(given, "sound", SOUNDS[severity]),
        for_ms=for_ms,
        clear_for_ms=value_of(given, "clear_for", _usual_off_delay_ms(condition)),
        latch=value_of(given, "latch", False),
        say=given["say"].value,
        do=given["do"].value if "do" in given else (),
        owner=value_of(given, "owner", owned.owner),
        basis=value_of(given, "basis", OWN_BASIS),
        edition=value_of(given, "edition", ""),
        judges=frozenset(value_of(given, "judges", [Quality.GOOD])),
        min_samples=value_of(given, "min_samples", 1 if for_ms == 0 else 2),
        median=value_of(given, "median", 1),
        is_magnitude=value_of(given, "magnitude", False),
    )


def _usual_delay_ms(condition: Condition) -> int:
    """The on-delay where none is given. What a device says of itself, and a count, needs none."""
    if isinstance(condition, Is | MoreThan | Silent):
        return 0
    if isinstance(condition, AllOf | AnyOf):
        has_own = any(member.for_ms for member in members_of(condition))
        return 0 if has_own else COMPUTED_FOR_MS
    return COMPUTED_FOR_MS


def _usual_off_delay_ms(condition: Condition) -> int:
    return 0 if isinstance(condition, Is | Silent) else COMPUTED_CLEAR_FOR_MS


def _typed(keys: Sequence[str]) -> list[str]:
    return [OWN_NAMES.get(key, key) for key in keys]


def _is_any_given(given: Settings, keys: Sequence[str]) -> bool:
    """True if a file that gave one of the settings has one of the keys beside it."""
    beside = {(s.tree.file, s.where[:-1]): (s.tree, s.where[:-1]) for s in given.values()}
    return any(is_given(tree, where, key) for tree, where in beside.values() for key in keys)


def _condition(
    name: str,
    point: Point,
    given: Settings,
    owned: Owned,
    around: Around,
    found: list[Problem],
) -> Condition | None:
    said = conditions_in(given)
    if not said:
        _no_condition(name, point, given, owned, found)
        return None
    if len(said) > 1:
        fact = Text("一条规则只能有一个条件", "a rule has one condition")
        advice = Text(
            f"{'、'.join(_typed(said))} 只留一个", f"keep one of {' and '.join(_typed(said))}"
        )
        places = [given[key].place for key in said]
        found.append(error(places[1], "two_conditions", fact, advice, places[0]))
        return None
    if "silent_for" in given and "for_" in given:
        fact = Text("silent_for 已经是延时", "`silent_for` is the delay itself")
        advice = Text("去掉 for", "remove `for`")
        found.append(error(given["for_"].place, "key_without_use", fact, advice))
        return None
    return single_condition(point, given, around, found)


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
