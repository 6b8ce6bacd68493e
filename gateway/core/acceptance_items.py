"""What of a house is to be accepted, and a digest of what each of it is about.

A digest changes with what would make the trial another one: the profile, the line, the address,
how the words are read, the rule's limits and delays; not with labels, places or how often a point
is told. It is the same in every process and leaves out what has its default, so that a later
version with more fields still knows it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import Enum

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


def subjects_of(house: House) -> tuple[Subject, ...]:
    """Everything that is to be tried here, in the order of the walk; the signature comes last."""
    site = house.site
    devices = [device for device in site.devices if device.id != OWN_DEVICE]
    buses = {device.bus for device in devices}
    found = [Subject(Part.BUS, bus.id) for bus in site.buses if bus.id in buses]
    found += [Subject(Part.DEVICE, device.id) for device in devices]
    found += [Subject(Part.POINT, point.id) for device in devices for point in device.points]
    found += [Subject(Part.TRIP, rule.id) for rule in tripped_rules(house)]
    found += [Subject(Part.PANEL, name) for name in outputs_of(site)]
    found += [Subject(Part.TAG, code) for code in house.patrol.checkpoints]
    if site.uplink is not None:
        found.append(Subject(Part.UPLINK, UPLINK))
    return (*found, Subject(Part.CLOCK, CLOCK), Subject(Part.SIGN, SHEET))


def tripped_rules(house: House) -> Iterator[Rule]:
    """The rules that must be seen to raise: all alarms of the house's own devices."""
    for rule in house.site.rules:
        is_own = all(house.points[each].device == OWN_DEVICE for each in rule.points)
        if rule.severity is Severity.ALARM and not is_own:
            yield rule


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
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if is_dataclass(value) and not isinstance(value, type):
        said = {each.name: _plain(getattr(value, each.name)) for each in fields(value)
                if getattr(value, each.name) != _default(each)}  # fmt: skip
        return {"": type(value).__name__, **said}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((_plain(each) for each in value), key=repr)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _default(field: object) -> object:
    """A field's default; what has none is never left out."""
    default = getattr(field, "default", MISSING)
    factory = getattr(field, "default_factory", MISSING)
    return factory() if default is MISSING and callable(factory) else default
