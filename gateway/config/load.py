"""A site file, its profiles and the default rules -> a Site, or everything that is wrong."""

import hashlib
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.config.buildings import read_buildings
from gateway.config.buses import PlacedBus, read_buses, report_unused
from gateway.config.devices import PlacedDevice, check_owner, read_devices
from gateway.config.duty import read_escalation, read_post_checks
from gateway.config.institutions import check_type
from gateway.config.kinds import Kinds
from gateway.config.panel import read_panel
from gateway.config.patrol import Known, read_patrol
from gateway.config.people import NAME as PEOPLE
from gateway.config.people import read_people
from gateway.config.plans import report_plan
from gateway.config.problems import Place, Problem
from gateway.config.profiles import Shelf
from gateway.config.reader import read_reader
from gateway.config.rules import Owned, device_rules, fighting, late_warnings, site_rules
from gateway.config.schema import (
    AUDIENCES,
    AudiencesPart,
    GatewayPart,
    RulePart,
    SiteFile,
    TlsPart,
    UplinkPart,
)
from gateway.config.shipped import shipped_dir
from gateway.config.tag_keys import read_tag_keys
from gateway.config.tree import Tree, read_tree
from gateway.config.validate import error, meant_by, settings, validate, warning
from gateway.config.words import MEANINGS
from gateway.core.health import OWN_DEVICE, own_points
from gateway.domain.cases import Audience
from gateway.domain.rules import Rule, Severity
from gateway.domain.site import AUDIENCES as USUAL_AUDIENCES
from gateway.domain.site import Broker, Device, Site, StoreSpec, Uplink
from gateway.domain.text import Text

STORE_DIR = Path("/var/lib/care-gateway")


@dataclass(frozen=True, slots=True)
class Loaded:
    """`site` is None exactly when one of the problems is an error; warnings come beside a site."""

    site: Site | None
    problems: tuple[Problem, ...]


def load_site(path: Path, *, store_dir: Path | None = None, is_timed: bool = True) -> Loaded:
    """Read the site file at `path` and all it refers to; every problem at once, none raised.

    `store_dir` wins over the file's `store.directory`. Relative paths in the file are relative
    to the file. `is_timed` looks at bus load and detection times too; a house that starts is not
    refused for them: what rules judge is read first, and that is worth having.
    """
    found: list[Problem] = []
    tree = read_tree(path, str(path), found)
    if tree is None:
        return Loaded(None, tuple(found))
    kinds = Kinds(shipped_dir() / "rules", found)
    shelf = Shelf(path.parent, shipped_dir(), kinds)
    file = validate(SiteFile, tree, (), found)
    buses = read_buses(tree, found)
    devices = read_devices(tree, buses, shelf, found)
    rules = _rules(tree, file, buses, devices, kinds, found)
    report_unused(buses, _named(tree), found)
    panel = read_panel(tree, buses, found)
    uplink = _uplink(tree, path.parent, found)
    escalation = read_escalation(tree, file, found)
    reader = read_reader(tree, buses, found)
    tag_keys = read_tag_keys(tree, path.parent, found)
    people = read_people(path.parent, found, file=str(path.with_name(PEOPLE)))
    points = {p.id: p for placed in devices.values() for p in placed.device.points}
    type_ = file.site.institution or "" if file.site is not None else ""
    patrol = read_patrol(tree, Known(points, people, type_), found)
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
        rules=tuple(_realarming(rule, file.realarm_after) for rule in rules),
        panel=panel.pins,
        uplink=uplink,
        store=_store(file, path.parent, store_dir),
        silence_ms=file.silence,
        escalate_after_ms=file.escalate_after,
        offline_after_misses=file.offline_after_misses,
        detect_within_ms=None if file.site.limit is None else file.site.limit.detect_within,
        words=file.site.words,
        sha=_sha([tree, *kinds.trees, *shelf.trees]),
        has_warning_cases=file.warning_cases,
        quiet_hours=panel.quiet_hours,
        patterns=panel.patterns,
        escalation=escalation,
        post_checks=read_post_checks(file),
        self_test_minute=file.self_test,
        reader=reader,
        tag_keys=tag_keys,
        patrol=patrol,
        people=people or {},
        buildings=tuple(building.name for building in read_buildings(tree, []).values()),
    )
    report_plan(site, tree, found, is_timed=is_timed)
    problems = _in_reading_order(found, tree.file)
    is_wrong = any(problem.is_error for problem in problems)
    return Loaded(None if is_wrong else site, problems)


def _in_reading_order(found: Sequence[Problem], first: str) -> tuple[Problem, ...]:
    once = {(p.place, p.code, p.fact): p for p in found}  # two points can share one wrong line
    wrong = {p.place for p in found if p.is_error}
    kept = [p for p in once.values() if p.is_error or p.place not in wrong]
    return tuple(sorted(kept, key=lambda p: (p.file != first, p.file, p.line, p.column)))


def _is_zone(name: str) -> bool:
    """True as well where the system has no time zones at all, so nothing can be said."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return not zoneinfo.available_timezones()
    return True


def _named(tree: Tree) -> set[str]:
    """The buses that devices name, also those devices that are wrong in other ways."""
    data = tree.at(("devices",))
    parts = data.values() if isinstance(data, dict) else ()
    return {str(part["bus"]) for part in parts if isinstance(part, dict) and "bus" in part}


def _check_house(tree: Tree, file: SiteFile, found: list[Problem]) -> None:
    check_type(file.site.institution or "", tree, found)
    zone = file.site.timezone
    if zone and not _is_zone(zone):
        fact = Text(f"没有时区 `{zone}`", f"there is no time zone `{zone}`")
        names = () if re.search(r"[+-]?\d|[^!-~]", zone) else zoneinfo.available_timezones()
        guess = meant_by(zone, names) or "Asia/Shanghai"  # `UTC+8` is not UTC
        advice = Text(f"是不是 `{guess}`？", f"did you mean `{guess}`?")
        found.append(error(tree.place(("site", "timezone")), "unknown_timezone", fact, advice))


def _rules(
    tree: Tree,
    file: SiteFile,
    buses: Mapping[str, PlacedBus],
    devices: dict[str, PlacedDevice],
    kinds: Kinds,
    found: list[Problem],
) -> list[Rule]:
    rules = [placed for device in devices.values() for placed in device.rules]
    owned = {name: placed.owned for name, placed in devices.items()}
    own = own_points([str(bus) for bus in buses], list(devices))
    place = tree.place(("rules",), key=True)
    part = file.gateway or GatewayPart()
    itself = Owned(OWN_DEVICE, part.owner, {point.name: point for point in own}, place)
    owned[OWN_DEVICE] = itself
    changes = {}
    for name in part.rules:
        where = ("gateway", "rules", name)
        changes[str(name)] = settings(validate(RulePart, tree, where, found), tree, where)
    rules += device_rules(itself, kinds, changes, found)
    first = {placed.rule.id: placed.place for placed in rules}
    names = {str(name): name for name in file.rules or ()}
    for name in names.values():
        owner = tree.at(("rules", name, "owner"))
        check_owner(owner if isinstance(owner, str) else "", tree, ("rules", name), found)
    for placed in site_rules(tree, names, owned, tuple(rules), found):
        rule = placed.rule
        if rule.id in first:
            fact = Text(f"规则 {rule.id} 已经有了", f"there already is a rule {rule.id}")
            advice = Text(
                "在设备的 rules 下改它，或换个名字",
                "change it under the device's rules, or take another name",
            )
            found.append(error(placed.place, "rule_twice", fact, advice, first[rule.id]))
        else:
            first[rule.id] = placed.place
            rules.append(placed)
    fighting(rules, found)
    late_warnings(rules, found)
    return [placed.rule for placed in rules]


def _alarm_class(device: Device, rules: Sequence[Rule]) -> Device:
    """The device with its judged points marked, and the points that their gates look at."""
    judged = {point for rule in rules for point in rule.points}
    gates = {p.gate.point for p in device.points if p.gate is not None and p.id in judged}
    points = tuple(
        replace(point, is_alarm_class=point.id in judged or point.name in gates)
        for point in device.points
    )
    return replace(device, points=points)


def _realarming(rule: Rule, after_ms: int) -> Rule:
    """An alarm that is acknowledged and stays active is not forgotten; others have lamps."""
    return replace(rule, realarm_after_ms=after_ms) if rule.severity is Severity.ALARM else rule


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

    _check_uplink(part, tree, found)
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
        audiences=_audiences(part.audiences),
        receipt_within_ms=part.receipt_within,
        receipt_level=part.receipt_level,
    )


def _audiences(part: AudiencesPart | None) -> dict[Severity, tuple[Audience, ...]]:
    """Who is hinted of each severity; what the site does not say is as usual."""
    found = dict(USUAL_AUDIENCES)
    for severity in Severity:
        names = getattr(part, severity.value, None)
        if names is not None:
            found[severity] = tuple(dict.fromkeys(AUDIENCES[name] for name in names))
    return found


def _check_uplink(part: UplinkPart, tree: Tree, found: list[Problem]) -> None:
    """What brokers, certificates and password say about one another."""
    brokers = list(part.brokers or ())
    for index, broker in enumerate(brokers):
        place = tree.place(("uplink", "brokers", index))
        if broker.port == (1883 if broker.tls else 8883):
            found.append(_port_and_scheme(broker, place))
        if part.password_file is not None and not broker.tls and broker.unix_path is None:
            fact = Text("口令会不加密地发出去", "the password travels in the clear")
            advice = Text("外网上用 mqtts://", "use mqtts:// outside the house")
            also = tree.place(("uplink", "password_file"))
            found.append(warning(place, "password_in_clear", fact, advice, also))
    if part.tls is None:
        return
    _check_pair(part.tls, tree, found)
    if brokers and not any(broker.tls for broker in brokers):
        fact = Text("给了证书，地址却都不加密", "certificates are given, but no broker uses TLS")
        advice = Text("地址写成 mqtts://", "write the address with mqtts://")
        place = tree.place(("uplink", "tls"), key=True)
        also = tree.place(("uplink", "brokers", 0))
        found.append(warning(place, "tls_unused", fact, advice, also))


def _port_and_scheme(broker: Broker, place: Place) -> Problem:
    other, usual = ("mqtt", 8883) if broker.tls else ("mqtts", 1883)
    fact = Text(
        f"{broker.port} 通常是{'不加密' if broker.tls else '加密'}的端口",
        f"{broker.port} is usually the port {'without' if broker.tls else 'with'} TLS",
    )
    advice = Text(
        f"是不是 {other}://{broker.host}:{broker.port}，或者端口 {usual}？",
        f"did you mean {other}://{broker.host}:{broker.port}, or port {usual}?",
    )
    return warning(place, "port_and_scheme", fact, advice)


def _check_pair(tls: TlsPart, tree: Tree, found: list[Problem]) -> None:
    if (tls.cert is None) == (tls.key is None):
        return
    has, needs = ("key", "cert") if tls.cert is None else ("cert", "key")
    if needs in (tree.at(("uplink", "tls")) or {}):
        return  # it is there but wrong, which is reported
    fact = Text(f"有 {has} 没有 {needs}", f"there is a `{has}` but no `{needs}`")
    meaning = MEANINGS["TlsPart"][needs]
    advice = Text(
        f"证书和私钥要成对：加上 {needs}（{meaning.zh}）",
        f"certificate and key come in pairs: add {needs} ({meaning.en})",
    )
    place = tree.place(("uplink", "tls", has), key=True)
    found.append(error(place, "tls_pair", fact, advice))


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
