"""A site file, its profiles and the default rules -> a Site, or everything that is wrong."""

import hashlib
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.config.buses import read_buses
from gateway.config.devices import PlacedDevice, read_devices
from gateway.config.kinds import read_kinds
from gateway.config.problems import Place, Problem
from gateway.config.profiles import Shelf
from gateway.config.rules import PlacedRule, fighting, site_rule
from gateway.config.schema import PanelPart, RulePart, SiteFile, UplinkPart
from gateway.config.shipped import shipped_dir
from gateway.config.tree import Tree, read_tree
from gateway.config.validate import did_you_mean, error, settings, validate, warning
from gateway.domain.rules import Rule
from gateway.domain.site import Device, PanelPins, Site, StoreSpec, Uplink
from gateway.domain.text import Text

STORE_DIR = Path("/var/lib/care-gateway")


@dataclass(frozen=True, slots=True)
class Loaded:
    """`site` is None exactly when one of the problems is an error; warnings come beside a site."""

    site: Site | None
    problems: tuple[Problem, ...]


def load_site(path: Path, *, store_dir: Path | None = None) -> Loaded:
    """Read the site file at `path` and all it refers to; every problem at once, none raised.

    `store_dir` wins over the file's `store.directory`. Relative paths in the file are relative
    to the file.
    """
    found: list[Problem] = []
    tree = read_tree(path, str(path), found)
    if tree is None:
        return Loaded(None, tuple(found))
    kinds, rule_trees = read_kinds(shipped_dir(), found)
    shelf = Shelf(path.parent, shipped_dir(), kinds)
    file = validate(SiteFile, tree, (), found)
    buses = read_buses(tree, found)
    devices = read_devices(tree, buses, shelf, found)
    rules = _rules(tree, file, devices, found)
    panel = _panel(tree, found)
    uplink = _uplink(tree, path.parent, found)
    if file.site is not None:
        _check_house(tree, file, found)
    problems = _in_reading_order(found, tree.file)
    if any(problem.is_error for problem in problems):
        return Loaded(None, problems)
    site = Site(
        id=file.site.id,
        name=file.site.name,
        institution=file.site.institution,
        timezone=file.site.timezone,
        buses=tuple(placed.bus for placed in buses.values() if placed.bus is not None),
        devices=tuple(_alarm_class(placed.device, rules) for placed in devices.values()),
        rules=tuple(rules),
        panel=panel,
        uplink=uplink,
        store=_store(file, path.parent, store_dir),
        silence_ms=file.silence,
        escalate_after_ms=file.escalate_after,
        offline_after_misses=file.offline_after_misses,
        words=file.site.words,
        sha=_sha([tree, *rule_trees, *shelf.trees]),
    )
    return Loaded(site, problems)


def _in_reading_order(found: Sequence[Problem], first: str) -> tuple[Problem, ...]:
    once = {(p.place, p.code, p.fact): p for p in found}  # two points can share one wrong line
    return tuple(sorted(once.values(), key=lambda p: (p.file != first, p.file, p.line, p.column)))


def _is_zone(name: str) -> bool:
    """True as well where the system has no time zones at all, so nothing can be said."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return not zoneinfo.available_timezones()
    return True


def _check_house(tree: Tree, file: SiteFile, found: list[Problem]) -> None:
    zone = file.site.timezone
    if zone and not _is_zone(zone):
        fact = Text(f"没有时区 `{zone}`", f"there is no time zone `{zone}`")
        advice = did_you_mean(zone, zoneinfo.available_timezones())
        found.append(error(tree.place(("site", "timezone")), "unknown_timezone", fact, advice))
    if file.site.limit is not None and file.site.limit.detect_within is not None:
        place = tree.place(("site", "limit", "detect_within"))
        fact = Text(
            "这个版本还不核对 detect_within", "this version does not check detect_within yet"
        )
        advice = Text("自己核对轮询周期和延时", "compare it with the periods and delays yourself")
        found.append(warning(place, "not_checked", fact, advice))


def _rules(
    tree: Tree, file: SiteFile, devices: dict[str, PlacedDevice], found: list[Problem]
) -> list[Rule]:
    rules = [placed for device in devices.values() for placed in device.rules]
    owned = {name: placed.owned for name, placed in devices.items()}
    first = {placed.rule.id: placed.place for placed in rules}
    for name in file.rules or ():
        where = ("rules", name)
        given = settings(validate(RulePart, tree, where, found), tree, where)
        top = tree.place(where, key=True)
        rule = site_rule(str(name), given, owned, top, found)
        if rule is not None and rule.id in first:
            fact = Text(f"规则 {rule.id} 已经有了", f"there already is a rule {rule.id}")
            advice = Text(
                "在设备的 rules 下改它，或换个名字",
                "change it under the device's rules, or take another name",
            )
            found.append(error(top, "rule_twice", fact, advice, first[rule.id]))
        elif rule is not None:
            rules.append(PlacedRule(rule, top))
    fighting(rules, found)
    return [placed.rule for placed in rules]


def _alarm_class(device: Device, rules: Sequence[Rule]) -> Device:
    """The device with its judged points marked, and the points that their gates look at."""
    judged = {rule.point for rule in rules}
    gates = {p.gate.point for p in device.points if p.gate is not None and p.id in judged}
    points = tuple(
        replace(point, is_alarm_class=point.id in judged or point.name in gates)
        for point in device.points
    )
    return replace(device, points=points)


def _panel(tree: Tree, found: list[Problem]) -> PanelPins:
    if not isinstance(tree.at(("panel",)), dict):
        return PanelPins()
    part = validate(PanelPart, tree, ("panel",), found)
    given = {name: getattr(part, name) for name in PanelPart.model_fields}
    first: dict[int, Place] = {}
    for name, pin in given.items():
        if pin is None or isinstance(pin, bool):
            continue
        place = tree.place(("panel", name))
        if pin in first:
            fact = Text(f"引脚 {pin} 用了两次", f"pin {pin} is used twice")
            advice = Text("每个灯和按钮各用一个引脚", "each lamp and button has a pin of its own")
            found.append(error(place, "pin_twice", fact, advice, first[pin]))
        first.setdefault(pin, place)
    return PanelPins(**given)


def _uplink(tree: Tree, folder: Path, found: list[Problem]) -> Uplink | None:
    if not isinstance(tree.at(("uplink",)), dict):
        return None
    part = validate(UplinkPart, tree, ("uplink",), found)
    tls = part.tls

    def file(value: str | None, *where: str) -> Path | None:
        if value is None:
            return None
        path = folder / value
        if not path.is_file():
            place = tree.place(("uplink", *where))
            fact = Text(f"没有文件 {value}", f"there is no file {value}")
            advice = Text(
                "上线前放好它；现在不影响本地报警",
                "put it there before going live; alarms in the house do not need it",
            )
            found.append(warning(place, "file_missing", fact, advice))
        return path

    return Uplink(
        gateway=part.gateway or "",
        brokers=tuple(part.brokers or ()),
        delivery=part.delivery,
        reconnect=part.reconnect,
        username=part.username,
        password_file=file(part.password_file, "password_file"),
        ca_file=file(tls.ca if tls else None, "tls", "ca"),
        cert_file=file(tls.cert if tls else None, "tls", "cert"),
        key_file=file(tls.key if tls else None, "tls", "key"),
        keepalive_s=part.keepalive // 1000,
        probe_ms=part.probe,
    )


def _store(file: SiteFile, folder: Path, store_dir: Path | None) -> StoreSpec:
    part = file.store
    directory = STORE_DIR if part is None or part.directory is None else folder / part.directory
    every = 10_000 if part is None else part.commit_every
    return StoreSpec(store_dir or directory, every)


def _sha(trees: Sequence[Tree]) -> str:
    digest = hashlib.sha256()
    for tree in trees:
        digest.update(hashlib.sha256(tree.raw).digest())
    return digest.hexdigest()
