"""Devices of the site file: profile, points and rules put together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from gateway.config.buildings import Building, building_of, height_of, kind_in, read_buildings
from gateway.config.buses import PlacedBus, check_id
from gateway.config.problems import Place, Problem
from gateway.config.profiles import (
    Profile,
    Shelf,
    check_kind,
    deadband,
    find_profile,
    with_span,
)
from gateway.config.quantities import Quantity, factor_between
from gateway.config.rules import Owned, PlacedRule, device_rules
from gateway.config.schema import DevicePart, OwnPoint, RulePart
from gateway.config.tree import Tree, Where
from gateway.config.validate import (
    Settings,
    did_you_mean,
    error,
    is_given,
    owner_missing,
    settings,
    validate,
    warning,
)
from gateway.config.words import NOBODY
from gateway.domain.points import Point
from gateway.domain.site import Device, Due, SerialLine
from gateway.domain.text import Text

OWN_NAME = "gateway"  # the gateway's own health is a device of this name


@dataclass(frozen=True, slots=True)
class _Seat:
    """Who answers to a unit: a whole device (None), or one channel of it."""

    channel: int | None
    place: Place


@dataclass(frozen=True, slots=True)
class PlacedDevice:
    device: Device
    owned: Owned
    rules: tuple[PlacedRule, ...]


def read_devices(
    tree: Tree, buses: Mapping[str, PlacedBus], shelf: Shelf, found: list[Problem]
) -> dict[str, PlacedDevice]:
    """Every device of the site by its id, as far as it can be made."""
    data = tree.at(("devices",))
    devices = {}
    units: dict[tuple[str, int], list[_Seat]] = {}
    advised: set[tuple[str, str]] = set()
    buildings = read_buildings(tree, found)
    for name in data if isinstance(data, dict) else ():
        part = validate(DevicePart, tree, ("devices", name), found)
        _check_name(str(name), tree, found)
        _check_bus(part, str(name), tree, buses, units, found)
        check_owner(part.owner, tree, ("devices", name), found)
        building = building_of(str(name), part, buildings, tree, found)
        if not part.profile:
            continue
        asked = tree.place(("devices", name, "profile"))
        profile = find_profile(part.profile, asked, shelf, found)
        if profile is not None:
            devices[str(name)] = _device(str(name), part, profile, building, tree, shelf, found)
            if (profile.name, part.bus) not in advised and part.bus in buses:
                advised.add((profile.name, part.bus))
                _compare_serial(profile, buses[part.bus], asked, found)
    return devices


def _check_name(name: str, tree: Tree, found: list[Problem]) -> None:
    place = tree.place(("devices", name), key=True)
    check_id(name, place, found)
    if name == OWN_NAME:
        fact = Text("`gateway` 是网关自己的名字", "`gateway` is the gateway's own device")
        found.append(error(place, "bad_id", fact, Text("换一个名字", "take another name")))


def check_owner(owner: str | None, tree: Tree, where: Where, found: list[Problem]) -> None:
    """Report an owner that stands for nobody: `待定`, `TBD`, `-`."""
    if owner is not None and owner.strip().casefold() in NOBODY:
        found.append(owner_missing(tree.place((*where, "owner")), owner.strip()))


def _check_bus(
    part: DevicePart,
    name: str,
    tree: Tree,
    buses: Mapping[str, PlacedBus],
    units: dict[tuple[str, int], list[_Seat]],
    found: list[Problem],
) -> None:
    if not part.bus:
        return
    place = tree.place(("devices", name, "bus"))
    if part.bus not in buses and not isinstance(tree.at(("buses",)), dict):
        return  # what is wrong with `buses` is reported
    if part.bus not in buses:
        fact = Text(f"没有总线 `{part.bus}`", f"there is no bus `{part.bus}`")
        found.append(error(place, "unknown_bus", fact, did_you_mean(part.bus, buses)))
        return
    unit: int | None = vars(part)["unit"]  # None after a wrong one
    if unit is None:
        return
    place = tree.place(("devices", name, "unit"))
    bus = buses[part.bus].bus
    if bus is not None and isinstance(bus.link, SerialLine) and not 1 <= unit <= 247:
        fact = Text(f"串口总线上没有站号 {unit}", f"unit {unit} is not a device on a serial bus")
        advice = Text(
            "站号是 1 到 247；0 是广播" if unit == 0 else "站号是 1 到 247",
            "units are 1 to 247; 0 is for everybody" if unit == 0 else "units are 1 to 247",
        )
        found.append(error(place, "bad_unit", fact, advice))
    seats = units.setdefault((part.bus, unit), [])
    first = next((s for s in seats if None in (s.channel, part.channel)), None)
    same = next((s for s in seats if s.channel == part.channel), None)
    seats.append(_Seat(part.channel, place))
    if same is not None and part.channel is not None:
        fact = Text(
            f"总线 {part.bus} 站号 {unit} 的通道 {part.channel} 用了两次",
            f"two devices are channel {part.channel} of unit {unit} on bus {part.bus}",
        )
        advice = Text("每个通道只写一台设备", "each channel is one device")
        place = tree.place(("devices", name, "channel"))
        found.append(error(place, "unit_twice", fact, advice, same.place))
    elif first is not None:
        fact = Text(
            f"总线 {part.bus} 上两台设备用了同一个站号 {unit}",
            f"two devices on bus {part.bus} have unit {unit}",
        )
        taken = {used for bus_name, used in units if bus_name == part.bus}
        free = ", ".join(str(u) for u in [u for u in range(1, 248) if u not in taken][:3])
        advice = Text(
            f"改成设备上真实的站号（还空着：{free} …）",
            f"write the unit that is set on the device (free: {free}, ...)",
        )
        found.append(error(place, "unit_twice", fact, advice, first.place))


def _compare_serial(
    profile: Profile, placed: PlacedBus, asked: Place, found: list[Problem]
) -> None:
    """The line's settings win; a profile that expects others is worth a word."""
    said, link = profile.serial, placed.bus.link if placed.bus else None
    if said is None or not isinstance(link, SerialLine):
        return
    line = f"{link.baud} {link.parity} {link.stop_bits}"
    wanted = f"{said.baud} {said.parity} {said.stop_bits}"
    if line != wanted:
        fact = Text(
            f"{profile.name} 出厂是 {wanted}，这条总线是 {line}",
            f"{profile.name} leaves the factory with {wanted}, this line runs {line}",
        )
        advice = Text(
            "总线的设置有效：确认设备已改成同样的参数",
            "the line's settings are used: make sure the device was set to them",
        )
        found.append(warning(asked, "serial_differs", fact, advice, placed.place))


def _device(
    name: str,
    part: DevicePart,
    profile: Profile,
    building: Building | None,
    tree: Tree,
    shelf: Shelf,
    found: list[Problem],
) -> PlacedDevice:
    changes = _point_changes(name, profile, part, tree, found)
    _check_channel(name, part, profile, tree, found)
    shift = part.channel or 0
    points = {
        point.name: _own_point(
            name, _at_channel(point, shift), changes.get(point.name, {}), building, shelf, found
        )
        for point in profile.points.values()
    }
    top = tree.place(("devices", name), key=True)
    rated = _rated(name, part, points, tree, found)
    height = height_of(name, part, points, shelf.kinds, tree, found)
    owned = Owned(name, part.owner or "", points, top, rated, height)
    rules = device_rules(owned, shelf.kinds, _rule_changes(name, part, tree, found), found)
    device = Device(
        id=name,
        profile=profile.name,
        bus=part.bus or "",
        unit=part.unit or 0,
        place=f"{building.name} {part.place}" if building and part.place else part.place or "",
        owner=part.owner or "",
        points=tuple(points.values()),
        name=part.name,
        maker=profile.maker,
        model=profile.model,
        max_registers=profile.max_registers,
        barriers=tuple(at + shift for at in profile.barriers),
        dues={
            Due(due): day.isoformat() for due in Due if isinstance(day := getattr(part, due), date)
        },
    )
    return PlacedDevice(device, owned, tuple(rules))


def _rated(
    name: str, part: DevicePart, points: Mapping[str, Point], tree: Tree, found: list[Problem]
) -> Quantity | None:
    """The rated current of the device's circuit; one that nothing is judged by is reported."""
    said = part.rated_current
    if not isinstance(said, Quantity):
        return None
    place = tree.place(("devices", name, "rated_current"))
    if factor_between(said.unit, "A") is None or said.value <= 0:
        fact = Text(f"`{said}` 不是电流", f"`{said}` is not a current")
        found.append(error(place, "wrong_unit", fact, Text("如 32 A", "such as 32 A")))
        return None
    if not any(point.kind == "current" for point in points.values()):
        fact = Text(
            f"{name} 不测电流，额定电流没有用", f"{name} measures no current to compare with it"
        )
        advice = Text("去掉 rated_current", "remove rated_current")
        found.append(error(place, "key_without_use", fact, advice))
    return said


def _check_channel(
    name: str, part: DevicePart, profile: Profile, tree: Tree, found: list[Problem]
) -> None:
    said = part.channel
    if not profile.is_sound or (said is None and is_given(tree, ("devices", name), "channel")):
        return  # the profile's mistake, or a channel that is no number: reported already
    last = max(point.at + point.encoding.width for point in profile.points.values())
    room = min(profile.channels, 65536 - last + 1)
    if said is None and room:
        fact = Text(
            f"{profile.name} 每个探头是一台设备，要写通道号",
            f"{profile.name} describes one of several channels; this device names none",
        )
        advice = Text("加上 channel: 0（从 0 数起）", "add channel: 0 (they are counted from 0)")
        top = tree.place(("devices", name), key=True)
        found.append(error(top, "channel_missing", fact, advice))
    elif said is not None and said >= room:
        fact = Text(f"{profile.name} 没有通道 {said}", f"{profile.name} has no channel {said}")
        advice = (
            Text(f"通道是 0 到 {room - 1}", f"channels are 0 to {room - 1}")
            if room
            else Text("去掉 channel", "this profile has no channels: remove the line")
        )
        place = tree.place(("devices", name, "channel"))
        found.append(error(place, "bad_channel", fact, advice))


def _at_channel(point: Point, channel: int) -> Point:
    """The point of channel 0, moved to where this channel's is: one address a channel."""
    if not channel:
        return point
    encoding = point.encoding
    decimals_at, unit_at = (
        None if at is None else at + channel for at in (encoding.decimals_at, encoding.unit_at)
    )
    moved = replace(encoding, decimals_at=decimals_at, unit_at=unit_at)
    return replace(point, at=point.at + channel, encoding=moved)


def _point_changes(
    name: str, profile: Profile, part: DevicePart, tree: Tree, found: list[Problem]
) -> dict[str, Settings]:
    changes: dict[str, Settings] = {}
    for point in part.points:
        where = ("devices", name, "points", point)
        if point in profile.points:
            changes[point] = settings(validate(OwnPoint, tree, where, found), tree, where)
        elif profile.is_sound:
            fact = Text(
                f"{profile.name} 没有监测点 `{point}`", f"{profile.name} has no point `{point}`"
            )
            advice = did_you_mean(str(point), profile.points)
            found.append(error(tree.place(where, key=True), "unknown_point", fact, advice))
    return changes


def _rule_changes(
    name: str, part: DevicePart, tree: Tree, found: list[Problem]
) -> dict[str, Settings]:
    changes: dict[str, Settings] = {}
    for rule in part.rules:
        where = ("devices", name, "rules", rule)
        changes[str(rule)] = settings(validate(RulePart, tree, where, found), tree, where)
    return changes


def _own_point(
    device: str,
    point: Point,
    change: Settings,
    building: Building | None,
    shelf: Shelf,
    found: list[Problem],
) -> Point:
    own = replace(point, id=f"{device}.{point.name}", device=device)
    if "kind" in change:
        kind = check_kind(change["kind"], point.unit, shelf.kinds, found)
        band = deadband(None, kind, point.unit, found)
        own = replace(own, kind=kind.name if kind else None, deadband=band)
    if own.kind is not None and building is not None:
        own = replace(own, kind=kind_in(building, shelf.kinds[own.kind], shelf.kinds).name)
    if "deadband" in change:
        own = replace(own, deadband=deadband(change["deadband"], None, point.unit, found))
    if "period" in change:
        period = change["period"].value
        own = replace(own, period_ms=period, max_age_ms=max(own.max_age_ms, 5 * period))
    if "label" in change:
        own = replace(own, label=change["label"].value)
    if "span" in change:
        low, high = change["span"].value
        own = with_span(own, (float(low), float(high)))
    if "valid" in change:
        low, high = change["valid"].value
        own = replace(own, valid=(float(low), float(high)))
    return own
