"""What of a house is to be accepted, and a digest of what each of it is about.

A digest changes with what would make the trial another one: the profile, the line, the address,
how the words are read, the rule's limits and delays; not with labels, places or how often a point
is told. It is the same in every process and leaves out what has its default, so that a later
version with more fields still knows it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache

from gateway.core.health import OWN_DEVICE
from gateway.core.state import House
from gateway.domain.acceptance import CLOCK, RELAY, SHEET, SILENCE, UPLINK, Part, Subject
from gateway.domain.points import Point
from gateway.domain.rules import Rule, Severity
from gateway.domain.signals import Pattern
from gateway.domain.site import SerialLine, Site

OUTPUTS = ("red", "amber", "yellow", "green", "white", "buzzer", RELAY, SILENCE)
SOUNDS = (Pattern.A1, Pattern.A2, Pattern.A3, Pattern.E, Pattern.W, Pattern.F, Pattern.Q)
DIGITS = 16  # hex, of a digest


def names_of(house: House) -> dict[Part, list[str]]:
    """The names of everything that is to be tried here, in the order of the walk."""
    site = house.site
    devices = [device for device in site.devices if device.id != OWN_DEVICE]
    buses = {device.bus for device in devices}
    return {
        Part.BUS: [bus.id for bus in site.buses if bus.id in buses],
        Part.DEVICE: [device.id for device in devices],
        Part.POINT: [point.id for device in devices for point in device.points],
        Part.TRIP: [rule.id for rule in tripped_rules(house)],
        Part.PANEL: list(outputs_of(site)),
        Part.TAG: list(house.patrol.checkpoints),
        Part.UPLINK: [] if site.uplink is None else [UPLINK],
        Part.CLOCK: [CLOCK],
        Part.SIGN: [SHEET],
    }


def subjects_of(house: House) -> tuple[Subject, ...]:
    """The same as subjects; the signature comes last."""
    return tuple(Subject(part, name) for part, names in names_of(house).items() for name in names)


def subject_of(house: House, key: str) -> Subject | None:
    """What is meant by `part/name`; None where nothing here is. Quick in a house of any size."""
    part, _, name = key.partition("/")
    if part not in tuple(Part) or not _is_there(house, Part(part), name):
        return None
    return Subject(Part(part), name)


def _is_there(house: House, part: Part, name: str) -> bool:
    match part:
        case Part.BUS:
            return any(device.bus == name for device in house.site.devices)
        case Part.DEVICE:
            return name in house.devices and name != OWN_DEVICE
        case Part.POINT:
            return name in house.points and house.points[name].device != OWN_DEVICE
        case Part.TRIP:
            return name in house.rules and _is_tripped(house, house.rules[name])
        case Part.PANEL:
            return name in tuple(outputs_of(house.site))
        case Part.TAG:
            return name in house.patrol.checkpoints
        case Part.UPLINK:
            return name == UPLINK and house.site.uplink is not None
        case Part.CLOCK:
            return name == CLOCK
        case Part.SIGN:
            return name == SHEET


def tripped_rules(house: House) -> Iterator[Rule]:
    """The rules that must be seen to raise: all alarms of the house's own devices."""
    return (rule for rule in house.site.rules if _is_tripped(house, rule))


def _is_tripped(house: House, rule: Rule) -> bool:
    if rule.severity is not Severity.ALARM:
        return False
    return any(house.points[each].device != OWN_DEVICE for each in rule.points)


def outputs_of(site: Site) -> Iterator[str]:
    """What is wired of the panel, then the sounds that can be heard here."""
    pins = site.panel
    yield from (name for name in OUTPUTS if getattr(pins, name) is not None)
    if pins.buzzer is None:
        return
    alarms = {rule.sound.value for rule in site.rules if rule.severity is Severity.ALARM}
    others = {Pattern.E, Pattern.W, Pattern.F} | ({Pattern.Q} if site.uplink else set())
    yield from (each.value for each in SOUNDS if each.value in alarms or each in others)


def digest_of(house: House, subject: Subject) -> str:
    """The digest of what is meant; "" where the house has no such thing (any more)."""
    about = _about(house, subject)
    if about is None:
        return ""
    said = json.dumps(_plain(about), ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()[:DIGITS]


def is_same(old: House, new: House, subject: Subject) -> bool:
    """True where both houses mean the same by it: quicker than two digests."""
    about = _about(new, subject)
    return about is not None and about == _about(old, subject)


def digest_of_all(digests: Iterable[tuple[str, str, str]]) -> str:
    """What a signature stands under: (key, digest, result) of everything, in any order."""
    said = json.dumps(sorted(digests), separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()


def _about(house: House, subject: Subject) -> object:
    site, name = house.site, subject.name
    match subject.part:
        case Part.BUS:
            return _line_of(house, name)
        case Part.DEVICE:
            device = house.devices.get(name)
            return None if device is None else _device(house, name)
        case Part.POINT:
            point = house.points.get(name)
            return None if point is None else _point(house, point)
        case Part.TRIP:
            rule = house.rules.get(name)
            return None if rule is None else _rule(house, rule)
        case Part.PANEL:
            return _output(site, name) if name in tuple(outputs_of(site)) else None
        case Part.TAG:
            return name if name in house.patrol.checkpoints else None
        case Part.UPLINK:
            uplink = site.uplink
            return uplink and [uplink.gateway, uplink.brokers, uplink.delivery]
        case Part.CLOCK:
            return site.timezone
        case Part.SIGN:
            return site.id


def _line_of(house: House, name: str) -> object:
    """The physical line; how fast it runs is no part of what is on it."""
    bus = next((each for each in house.site.buses if each.id == name), None)
    if bus is None:
        return None
    link = bus.link
    return [link.port] if isinstance(link, SerialLine) else [link.host, link.port]


def _device(house: House, name: str) -> object:
    device = house.devices[name]
    return [_line_of(house, device.bus), device.unit, device.profile]


def _point(house: House, point: Point) -> object:
    return {
        "device": _device(house, point.device),
        "words": [point.table, point.at, point.encoding],
        "unit": point.unit,
        "kind": point.kind,
        "valid": point.valid,
        "sentinels": point.sentinels,
        "gate": point.gate,
        "codes": point.codes,
    }


def _rule(house: House, rule: Rule) -> object:
    """What makes it raise; what is said and done about it may be put better any day."""
    return {
        "condition": rule.condition,
        "points": [_point(house, house.points[each]) for each in rule.points],
        "severity": rule.severity,
        "sound": rule.sound,
        "for": rule.for_ms,
        "judges": rule.judges,
        "samples": rule.min_samples,
        "median": rule.median,
        "magnitude": rule.is_magnitude,
        "latch": rule.latch,
    }


def _output(site: Site, name: str) -> object:
    pins, patterns = site.panel, {str(key): beats for key, beats in site.patterns.items()}
    if name in OUTPUTS:
        return [name, getattr(pins, name), pins.active_high, pins.relay_mode]
    return [name, pins.buzzer, pins.active_high, patterns.get(name)]


def _plain(value: object) -> object:
    """JSON of anything the house is made of; the same from one process to the next."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if is_dataclass(value) and not isinstance(value, type):
        said = {
            name: _plain(each)
            for name, default in _fields_of(type(value))
            if (each := getattr(value, name)) != default
        }
        return {"": type(value).__name__, **said}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((_plain(each) for each in value), key=repr)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


@cache
def _fields_of(noun: type) -> tuple[tuple[str, object], ...]:
    """Each field with its default; what has none equals nothing."""
    return tuple((each.name, _default(each)) for each in fields(noun))


def _default(field: "Field[object]") -> object:
    if field.default is not MISSING:
        return field.default
    return MISSING if field.default_factory is MISSING else field.default_factory()
