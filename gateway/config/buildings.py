"""The buildings of a site, and how high the worst point of a water system is above its gauge."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.config.kinds import Kind
from gateway.config.problems import Place, Problem
from gateway.config.quantities import Quantity, factor_between
from gateway.config.schema import BuildingPart, DevicePart
from gateway.config.tree import Tree
from gateway.config.validate import Setting, Settings, did_you_mean, error, validate, warning
from gateway.domain.points import Point
from gateway.domain.text import Text

MPA_PER_METRE = Decimal("0.01")  # of water; physics says 0.0098, this errs towards safety
HIGHEST_M = 300


@dataclass(frozen=True, slots=True)
class Building:
    name: str
    kind: str | None = None  # its class under the fire code, as the keys of `by_class`


def read_buildings(tree: Tree, found: list[Problem]) -> dict[str, Building]:
    """Every building of the site by the name that devices use."""
    data = tree.at(("buildings",))
    buildings = {}
    for name in data if isinstance(data, dict) else ():
        part = validate(BuildingPart, tree, ("buildings", name), found)
        buildings[str(name)] = Building(part.name or str(name), part.class_)
    return buildings


def building_of(
    name: str, part: DevicePart, buildings: Mapping[str, Building], tree: Tree, found: list[Problem]
) -> Building | None:
    """The building that a device names; where there are several, it has to name one."""
    if part.building is None:
        if len(buildings) > 1:
            fact = Text("没有写在哪栋楼", "it does not say in which building it is")
            advice = Text(
                f"加上 building: {next(iter(buildings))} 等",
                f"add building: one of {', '.join(buildings)}",
            )
            place = tree.place(("devices", name), key=True)
            found.append(error(place, "building_missing", fact, advice))
        return next(iter(buildings.values()), None) if len(buildings) == 1 else None
    if part.building not in buildings:
        said = part.building
        fact = Text(f"没有楼 `{said}`", f"there is no building `{said}`")
        place = tree.place(("devices", name, "building"))
        found.append(error(place, "unknown_building", fact, did_you_mean(said, buildings)))
    return buildings.get(part.building)


def kind_in(building: Building | None, kind: Kind, kinds: Mapping[str, Kind]) -> Kind:
    """The kind whose limits hold in this class of building."""
    name = kind.by_class.get(building.kind or "") if building else None
    return kinds[name] if name is not None else kind


def height_of(
    name: str,
    part: DevicePart,
    points: Mapping[str, Point],
    kinds: Mapping[str, Kind],
    tree: Tree,
    found: list[Problem],
) -> Decimal:
    """Metres from the gauge up to the worst point; 0, and asked for, where nobody says."""
    concerned = [p for p in points.values() if p.kind and kinds[p.kind].is_at_worst_point]
    said = part.height
    top = tree.place(("devices", name), key=True)
    if said is None:
        if concerned and "height" not in (tree.at(("devices", name)) or {}):
            found.append(_asked_for(concerned[0], top))
        return Decimal(0)
    place = tree.place(("devices", name, "height"))
    by = factor_between(said.unit, "m") if isinstance(said, Quantity) else None
    metres = None if by is None else said.value * by
    if metres is None or not 0 <= metres <= HIGHEST_M:
        fact = Text(f"`{said}` 不是高差", f"`{said}` is no height")
        advice = Text(f"0 m 到 {HIGHEST_M} m，如 18 m", f"0 m to {HIGHEST_M} m, such as 18 m")
        found.append(error(place, "wrong_unit", fact, advice))
        return Decimal(0)
    if not concerned:
        fact = Text(f"{name} 没有按最不利点判定的压力", f"{name} has no pressure of a worst point")
        found.append(error(place, "key_without_use", fact, Text("去掉 height", "remove height")))
    return Decimal(metres)


def _asked_for(point: Point, top: Place) -> Problem:
    fact = Text(
        f"{point.id}：限值按最不利点算，没有写它比仪表高多少",
        f"{point.id}: its limits are those of the worst point, and nobody says how much higher"
        " than the gauge that is",
    )
    advice = Text(
        "量一下高差，加上 height: 18 m；仪表就在最不利点写 height: 0 m",
        "measure it and add height: 18 m; where the gauge is the worst point, height: 0 m",
    )
    return warning(top, "height_missing", fact, advice)


def at_gauge(given: Settings, metres: Decimal) -> Settings:
    """The settings of a rule for the worst point, as the gauge below it must read them."""
    if not metres or "below" not in given:
        return given
    moved = {key: _raised(given[key], metres) for key in ("below", "clears") if key in given}
    more = f"; +{MPA_PER_METRE * metres:f} MPa for {metres:f} m of water above the gauge"
    if "basis" in given:
        basis = given["basis"]
        moved["basis"] = Setting(f"{basis.value}{more}", basis.tree, basis.where)
    return {**given, **moved}


def _raised(said: Setting, metres: Decimal) -> Setting:
    """The limit with the column of water between gauge and worst point on top."""
    limit = said.value
    by = factor_between("MPa", limit.unit) if isinstance(limit, Quantity) else None
    if by is None:
        return said  # a wrong unit, which is reported with the rule
    raised = Quantity(limit.value + MPA_PER_METRE * metres * by, limit.unit)
    return Setting(raised, said.tree, said.where)
