"""What this site does not monitor: shown, not hidden. Pure.

Something is monitored when a rule that is switched on judges a point of one of its kinds. The
subjects are those of the field's census of institutions (field note B18) and of the sensors that
the default rules know.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.core.health import OWN_DEVICE
from gateway.domain.site import Site
from gateway.domain.text import Text


@dataclass(frozen=True, slots=True)
class Subject:
    key: str
    words: Text
    kinds: frozenset[str]


def _subject(key: str, zh: str, en: str, *kinds: str) -> Subject:
    return Subject(key, Text(zh, en), frozenset(kinds))


SUBJECTS = (
    _subject("residual_current", "剩余电流", "residual current", "residual_current",
             "residual_trip"),
    _subject("cable_temperature", "电缆温度", "cable temperature", "cable_temperature"),
    _subject("load", "线路过负荷", "overload of circuits", "current", "over_power_alarm"),
    _subject("gas", "可燃气体", "combustible gas", "combustible_gas", "gas_detector_alarm",
             "gas_detector_status"),
    _subject("carbon_monoxide", "一氧化碳", "carbon monoxide", "carbon_monoxide"),
    _subject("water_pressure", "消防管网压力", "fire-water pressure", "hydrant_pressure",
             "hydrant_pressure_high_rise", "sprinkler_pressure", "low_pressure"),
    _subject("tank_level", "消防水池水位", "fire-water level", "tank_level"),
    _subject("pump_auto", "消防泵自动位", "fire pump in automatic", "pump_auto", "pump_manual"),
    _subject("power", "消防设备电源", "supply of fire equipment", "power_present", "power_fail"),
    _subject("valves", "消防阀门", "fire valves", "valve_open", "valve_closed"),
    _subject("panel", "火灾报警控制器", "the fire alarm panel", "panel_fire", "panel_fault",
             "panel_healthy"),
    _subject("ups", "网关自身供电", "the gateway's own supply", "ups_on_mains", "ups_on_battery"),
)  # fmt: skip
PATROL = Text("巡查", "patrols")
SOUND = Text("现场声响（未接蜂鸣器）", "sound in the house (no buzzer is wired)")
UPLINK = Text("上传平台", "the way to the platform")


@dataclass(frozen=True, slots=True)
class Coverage:
    """`monitored`: key -> number of points that rules judge. `missing`: what nothing watches."""

    monitored: Mapping[str, int]
    missing: tuple[tuple[str, Text], ...]
    unjudged: tuple[str, ...]  # points of a known kind that are read and that no rule judges


def coverage_of(site: Site) -> Coverage:
    """What the site's rules watch, and what nobody does."""
    points = {key: point for key, point in site.points.items() if point.device != OWN_DEVICE}
    judged = {point for rule in site.rules for point in rule.points if point in points}
    count = {
        subject.key: sum(points[point].kind in subject.kinds for point in judged)
        for subject in SUBJECTS
    }
    known = frozenset().union(*(subject.kinds for subject in SUBJECTS))
    missing = [(each.key, each.words) for each in SUBJECTS if not count[each.key]]
    missing += [(key, words) for key, words, is_there in _others(site) if not is_there]
    return Coverage(
        {key: number for key, number in count.items() if number},
        tuple(missing),
        tuple(sorted(key for key, p in points.items() if p.kind in known and key not in judged)),
    )


def _others(site: Site) -> Iterable[tuple[str, Text, bool]]:
    yield "patrol", PATROL, bool(site.patrol.schedules)
    yield "sound", SOUND, site.panel.buzzer is not None
    yield "uplink", UPLINK, site.uplink is not None


def coverage_view(site: Site) -> Mapping[str, object]:
    """The same as plain data: `monitored`, `missing` (key and words), `unjudged`."""
    found = coverage_of(site)
    return {
        "monitored": dict(found.monitored),
        "missing": [{"key": key, "say": {"zh": w.zh, "en": w.en}} for key, w in found.missing],
        "unjudged": list(found.unjudged),
    }
