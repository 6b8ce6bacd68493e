"""The condition of a rule: what is typed, in the point's unit, and whether it can ever hold."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateway.config.problems import Place, Problem
from gateway.config.profiles import unit_problem
from gateway.config.quantities import Quantity, duration, factor_between
from gateway.config.validate import Setting, Settings, did_you_mean, error, value_of
from gateway.domain.points import Point, WordType
from gateway.domain.readings import Value
from gateway.domain.rules import Above, Below, Deviates, Is, MoreThan, Rises, Silent, Single
from gateway.domain.text import Text

CLEARS_PART = Decimal("0.05")  # of the limit, when no `clears` is given
CONDITIONS = (
    "above", "below", "is_", "rises_by", "falls_by", "deviates_from_mean_of", "silent_for",
    "all", "any",
)  # fmt: skip
BESIDE = ("clears", "by", "more_than", "within")  # what belongs to a condition and goes with it
OWN_NAMES = {"is_": "is"}


@dataclass(frozen=True, slots=True)
class Around:
    """The points that a condition may name: by id, and by name those of its own device."""

    device: str
    points: Mapping[str, Point]

    def find(self, said: str) -> Point | None:
        return self.points.get(said) or self.points.get(f"{self.device}.{said}")

    def others(self, point: Point) -> tuple[str, ...]:
        """The points of the same kind on the same device."""
        return tuple(
            each.id
            for each in self.points.values()
            if each.device == point.device and each.kind == point.kind and each.id != point.id
        )


def conditions_in(given: Settings) -> list[str]:
    """The keys that each say a condition of their own."""
    found = [key for key in CONDITIONS if key in given]
    return ["is_"] if not found and "more_than" in given else found


def single_condition(
    point: Point, given: Settings, around: Around, found: list[Problem]
) -> Single | Silent | None:
    """The one condition that is given on one point; None (reported) if it cannot be."""
    key = conditions_in(given)[0]
    if not _belongs(key, given, found):
        return None
    match key:
        case "above" | "below":
            return _level(key, point, given, found)
        case "is_":
            return _values(point, given, found)
        case "rises_by" | "falls_by":
            return _rise(key, point, given, found)
        case "silent_for":
            return _silence(point, given["silent_for"], found)
        case _:
            return _deviation(point, given, around, found)


_NEEDED = {"rises_by": "within", "falls_by": "within", "deviates_from_mean_of": "by"}
_MEANT_FOR = {
    "by": ("deviates_from_mean_of",),
    "within": ("rises_by", "falls_by", "more_than"),
    "more_than": ("is_", "more_than"),
    "clears": ("above", "below", "rises_by", "falls_by", "deviates_from_mean_of"),
}


def _belongs(key: str, given: Settings, found: list[Problem]) -> bool:
    """Report what is missing beside the condition, and what does not belong to it."""
    needed = "within" if "more_than" in given else _NEEDED.get(key)
    is_fine = True
    if needed is not None and needed not in given:
        said = given["more_than" if "more_than" in given else key]
        name = said.where[-1]
        fact = Text(f"`{name}` 旁边缺少 `{needed}`", f"`{needed}` is missing beside `{name}`")
        advice = Text(f"加上 {needed}", f"add {needed}")
        found.append(error(said.place, "missing_key", fact, advice))
        is_fine = False
    for beside, owners in _MEANT_FOR.items():
        if beside in given and not any(owner in given for owner in owners):
            names = "、".join(OWN_NAMES.get(owner, owner) for owner in owners)
            fact = Text(
                f"`{beside}` 只和 {names} 一起用",
                f"`{beside}` belongs to {names.replace('、', ' or ')}",
            )
            advice = Text("去掉它，或改条件", "remove it, or change the condition")
            found.append(error(given[beside].place, "key_without_use", fact, advice))
            is_fine = False
    return is_fine


# --- a level ----------------------------------------------------------------------------------


def _level(key: str, point: Point, given: Settings, found: list[Problem]) -> Above | Below | None:
    limit = in_unit(given[key], point, found)
    if limit is None:
        return None
    is_above = key == "above"
    is_magnitude = value_of(given, "magnitude", default=False)
    _check_reach(given[key], limit, point, is_above, is_magnitude, found)
    clears = _clears(given, key, limit, point, found)
    if clears is None:
        return None
    return (Above if is_above else Below)(float(limit), float(clears))


def in_unit(said: Setting, point: Point, found: list[Problem]) -> Decimal | None:
    """The limit in the point's unit; a number without unit only fits a point without one."""
    return _converted(said, point, factor_between(said.value.unit, point.unit), found)


def _difference(said: Setting, point: Point, found: list[Problem]) -> Decimal | None:
    """A difference of two values in the point's unit: of temperatures in K or °C."""
    unit = "°C" if said.value.unit == "K" and point.unit == "°C" else said.value.unit
    by = _converted(said, point, factor_between(unit, point.unit), found)
    if by is not None and by <= 0:
        fact = Text(f"`{said.value}` 不大于 0", f"`{said.value}` is not more than 0")
        advice = Text("写一个大于 0 的差值", "write a difference over 0")
        found.append(error(said.place, "not_a_quantity", fact, advice))
        return None
    return by


def _converted(
    said: Setting, point: Point, by: Decimal | None, found: list[Problem]
) -> Decimal | None:
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


def _clears(
    given: Settings, key: str, limit: Decimal, point: Point, found: list[Problem]
) -> Decimal | None:
    is_above = key != "below"
    if "clears" not in given:
        margin = abs(limit) * CLEARS_PART
        return limit - margin if is_above else limit + margin
    said = given["clears"]
    convert = in_unit if key in ("above", "below") else _difference
    clears = convert(said, point, found)
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
        other = given["by" if key == "deviates_from_mean_of" else key].place
        found.append(error(said.place, "fighting_limits", fact, advice, other))
        return None
    return clears


def _check_reach(
    said: Setting,
    limit: Decimal,
    point: Point,
    is_above: bool,
    is_magnitude: bool,
    found: list[Problem],
) -> None:
    """A limit that no value can pass would never raise; one that all pass, always."""
    if point.valid is not None:
        low, high = (Decimal(str(end)) for end in point.valid)
        if is_magnitude:
            low, high = Decimal(0), max(abs(low), abs(high))
        _check_valid(said, limit, point, is_above, (low, high), found)
    if point.span is None or (found and found[-1].place == said.place):
        return
    low, high = (Decimal(str(end)) for end in point.span)
    if (is_above and limit > high) or (not is_above and limit < low):
        span = f"{point.span[0]:g}..{point.span[1]:g} {point.unit}".rstrip()
        fact = Text(
            f"{point.id} 的传感器量程是 {span}，量不到这个限值",
            f"the sensor of {point.id} measures {span}, so it cannot reach this limit",
        )
        advice = Text(
            "换量程合适的传感器，或改限值", "take a sensor of a fitting range, or another limit"
        )
        found.append(error(said.place, "sensor_cannot_reach", fact, advice))


def _check_valid(
    said: Setting,
    limit: Decimal,
    point: Point,
    is_above: bool,
    valid: tuple[Decimal, Decimal],
    found: list[Problem],
) -> None:
    low, high = valid
    low_end, high_end = float(low), float(high)
    if (is_above and limit < low) or (not is_above and limit > high):
        fact = Text(
            f"{point.id} 的有效范围是 {low_end:g}..{high_end:g} {point.unit}，这个限值会一直报警",
            f"{point.id} is valid in {low_end:g}..{high_end:g} {point.unit},"
            " so this limit would always raise",
        )
        advice = Text(
            "检查数值和单位（MPa 还是 kPa）", "look at the number and its unit (MPa or kPa)"
        )
        found.append(error(said.place, "limit_always", fact, advice))
    if (is_above and limit >= high) or (not is_above and limit <= low):
        fact = Text(
            f"{point.id} 的有效范围是 {low_end:g}..{high_end:g} {point.unit}，到不了这个限值",
            f"{point.id} is valid in {low_end:g}..{high_end:g} {point.unit}, "
            "so it never passes this limit",
        )
        advice = Text(
            "改限值，或在设备的 points 下改 valid",
            "correct the limit, or give the device's point a wider `valid`",
        )
        found.append(error(said.place, "limit_out_of_reach", fact, advice))


# --- values, and how often ---------------------------------------------------------------------


def _values(point: Point, given: Settings, found: list[Problem]) -> Is | MoreThan | None:
    said = given.get("is_")
    one: list[Value] = [1]
    values = frozenset(said.value if said is not None else one)
    if said is not None and not _can_be(values, point, said, found):
        return None
    if "more_than" not in given:
        return Is(values)
    count, within = given["more_than"], given["within"]
    most = within.value // (2 * point.period_ms)
    if count.value >= most:
        fact = Text(
            f"{point.id} 每 {duration(point.period_ms)} 读一次，{duration(within.value)} 里最多看到"
            f" {most} 次，不会超过 {count.value} 次",
            f"{point.id} is read every {duration(point.period_ms)}: within"
            f" {duration(within.value)} at most {most} times are seen, never more than"
            f" {count.value}",
        )
        advice = Text("缩短 period 或放长 within", "a shorter `period` or a longer `within`")
        found.append(error(count.place, "never_fires", fact, advice))
        return None
    return MoreThan(values, count.value, within.value)


def _can_be(values: frozenset[Value], point: Point, said: Setting, found: list[Problem]) -> bool:
    """False (reported) if the point never has one of the values, or always one of them."""
    is_bit = point.encoding.type is WordType.BIT
    low, high = (0, 1) if is_bit else (point.valid or (float("-inf"), float("inf")))
    numbers = [value for value in values if not isinstance(value, str)]
    if numbers and len(numbers) == len(values) and not any(low <= n <= high for n in numbers):
        listed = ", ".join(str(number) for number in sorted(numbers))
        fact = Text(
            f"{point.id} 只会是 {low:g}..{high:g}，不会是 {listed}",
            f"{point.id} is {low:g}..{high:g} and never {listed}",
        )
        advice = Text("改 is 的值", "correct the values of `is`")
        found.append(error(said.place, "never_fires", fact, advice))
        return False
    if is_bit and {0, 1} <= set(numbers):
        fact = Text(
            f"{point.id} 不是 0 就是 1，这条规则会一直成立",
            f"{point.id} is always 0 or 1, so this rule always holds",
        )
        advice = Text("只留一个值", "keep one of the values")
        found.append(error(said.place, "limit_always", fact, advice))
        return False
    return True


# --- over time, and beside others --------------------------------------------------------------


def _rise(key: str, point: Point, given: Settings, found: list[Problem]) -> Rises | None:
    by = _difference(given[key], point, found)
    if by is None:
        return None
    within = given["within"]
    if within.value < 2 * point.period_ms:
        fact = Text(
            f"{point.id} 每 {duration(point.period_ms)} 读一次，"
            f"{duration(within.value)} 里没有两个值可比",
            f"{point.id} is read every {duration(point.period_ms)}: within"
            f" {duration(within.value)} there are no two values to compare",
        )
        advice = Text("放长 within 或缩短 period", "a longer `within` or a shorter `period`")
        found.append(error(within.place, "never_fires", fact, advice))
        return None
    if not _has_room(given[key], by, point, found):
        return None
    clears = _clears(given, key, by, point, found)
    if clears is None:
        return None
    return Rises(float(by), within.value, float(clears), is_fall=key == "falls_by")


def _has_room(said: Setting, by: Decimal, point: Point, found: list[Problem]) -> bool:
    """False (reported) if the valid range is too narrow for two values to lie so far apart."""
    if point.valid is None or float(by) < point.valid[1] - point.valid[0]:
        return True
    low, high = point.valid
    fact = Text(
        f"{point.id} 的有效范围是 {low:g}..{high:g} {point.unit}，差不到 {said.value}",
        f"{point.id} is valid in {low:g}..{high:g} {point.unit}: no two values are {said.value}"
        " apart",
    )
    advice = Text("检查数值和单位", "look at the number and its unit")
    found.append(error(said.place, "limit_out_of_reach", fact, advice))
    return False


def _silence(point: Point, said: Setting, found: list[Problem]) -> Silent | None:
    if said.value > point.period_ms:
        return Silent(said.value)
    fact = Text(
        f"{point.id} 每 {duration(point.period_ms)} 才读一次：两次之间就会报",
        f"{point.id} is read only every {duration(point.period_ms)}:"
        " this would raise between two reads",
    )
    advice = Text(
        f"至少写 {duration(3 * point.period_ms)}", f"write at least {duration(3 * point.period_ms)}"
    )
    found.append(error(said.place, "limit_always", fact, advice))
    return None


def _deviation(
    point: Point, given: Settings, around: Around, found: list[Problem]
) -> Deviates | None:
    by = _difference(given["by"], point, found)
    others = _mean_of(point, given["deviates_from_mean_of"], around, found)
    if by is None or not others or not _has_room(given["by"], by, point, found):
        return None
    clears = _clears(given, "deviates_from_mean_of", by, point, found)
    return None if clears is None else Deviates(others, float(by), float(clears))


def _mean_of(point: Point, said: Setting, around: Around, found: list[Problem]) -> tuple[str, ...]:
    if said.value == "others":
        others = around.others(point)
        if not others:
            fact = Text(
                f"{point.device} 上没有和 {point.name} 同类的其他点",
                f"{point.device} has no other point of the kind of {point.name}",
            )
            advice = Text("写出要比的点：[点1, 点2]", "name the points: [point1, point2]")
            found.append(error(said.place, "unknown_point", fact, advice))
        return others
    names: Sequence[str] = said.value
    points = [_compared(point, said, index, around, found) for index in range(len(names))]
    known = tuple(each.id for each in points if each is not None)
    return known if len(known) == len(names) else ()


def _compared(
    point: Point, said: Setting, index: int, around: Around, found: list[Problem]
) -> Point | None:
    name = said.value[index]
    place = said.tree.place((*said.where, index))
    other = around.find(name)
    if other is None:
        fact = Text(f"没有监测点 `{name}`", f"there is no point `{name}`")
        found.append(error(place, "unknown_point", fact, did_you_mean(name, around.points)))
    elif other.id == point.id:
        fact = Text(f"{name} 不能和自己比", f"{name} cannot be compared with itself")
        advice = Text("只写其他的点", "name the other points only")
        found.append(error(place, "never_fires", fact, advice))
        other = None
    elif other.unit != point.unit:
        fact = Text(
            f"{other.id} 的单位是 {other.unit}，{point.id} 的是 {point.unit}",
            f"{other.id} is in {other.unit}, {point.id} in {point.unit}",
        )
        advice = Text("只能比同一单位的点", "only points of one unit can be compared")
        found.append(error(place, "wrong_unit", fact, advice))
        other = None
    return other


def share_of(percent: Setting, base: Quantity) -> Setting:
    """The limit that is so many percent of a rated value, as if it had been typed."""
    value = base.value * Decimal(percent.value) / 100
    return Setting(Quantity(value.normalize() + 0, base.unit), percent.tree, percent.where)
