"""The gateway's own health, as points of a device named `gateway` that rules can watch. Pure.

Its points are not read from a bus: their table and address mean nothing. `bus.<bus>.<figure>` and
`device.<device>.<figure>`, so that a bus and a device may have the same name.
"""

from collections.abc import Mapping
from dataclasses import replace

from gateway.core.tally import BusTally, Tally, percentiles
from gateway.domain.events import BlockRead
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.site import Device, Site

OWN_DEVICE = "gateway"
MEASURED_EVERY_MS = 10_000

# What the nightly self-test sends through everything (`core.self_test`); 0 at all other times.
SELF_TEST_POINT = Point(
    id=f"{OWN_DEVICE}.self_test",
    device=OWN_DEVICE,
    name="self_test",
    unit="",
    table=Table.INPUT,
    at=0,
    encoding=Encoding(WordType.UINT16),
    period_ms=MEASURED_EVERY_MS,
    label="自检",
    heartbeat_ms=24 * 3_600_000,
)

Figures = dict[str, int | float | None]

# figure -> unit, label, deadband, whether it only grows
BUS_FIGURES: dict[str, tuple[str, str, float, bool]] = {
    "load": ("%", "总线负载", 5.0, False),
    "requests": ("", "请求数", 1e9, True),
    "timeouts": ("", "超时数", 1.0, True),
    "exceptions": ("", "异常应答数", 1.0, True),
    "crc_errors": ("", "校验错误数", 1.0, True),
    "late": ("", "迟到应答数", 1.0, True),
    "foreign": ("", "外来帧数", 1.0, True),
}
DEVICE_FIGURES: dict[str, tuple[str, str, float, bool]] = {
    "requests": ("", "请求数", 1e9, True),
    "timeouts": ("", "超时数", 1.0, True),
    "exceptions": ("", "异常应答数", 1.0, True),
    "p50_ms": ("ms", "应答时间 p50", 20.0, False),
    "p95_ms": ("ms", "应答时间 p95", 50.0, False),
    "p99_ms": ("ms", "应答时间 p99", 100.0, False),
    "good_age_ms": ("ms", "距上次正常应答", 60_000.0, False),
}

# figure -> kind (its rules are in config/rules/gateway.yaml), unit, label, deadband
HOST_FIGURES: dict[str, tuple[str | None, str, str, float]] = {
    "cpu_temp": ("host_cpu_temperature", "°C", "网关温度", 2.0),
    "under_voltage": ("host_under_voltage", "", "网关欠压", 0.0),
    "memory_available": ("host_memory_available", "MB", "网关可用内存", 20.0),
    "memory_used": ("host_memory_used", "MB", "网关程序内存", 2.0),
    "wear": ("host_wear", "%", "网关存储磨损", 0.0),
    "starts": ("host_starts", "", "网关一小时内启动次数", 0.0),
    "disk_free": ("host_disk_free", "MB", "网关磁盘剩余", 100.0),
    "disk_a_day": (None, "MB", "网关每日写盘量", 10.0),
    "clock_error": (None, "ms", "网关时钟误差", 1_000.0),
    "clock_unsure": ("host_clock_unsure", "", "网关时钟未同步", 0.0),
}


def bus_figures(tally: BusTally, counts: Mapping[str, int], mono_ms: int) -> Figures:
    """What is known of a bus; `counts` are those of its door, where it has one."""
    devices = tally.devices.values()
    return {
        "load": round(100 * tally.load.share(mono_ms), 1),
        "requests": sum(device.requests for device in devices),
        "timeouts": sum(device.timeouts for device in devices),
        "exceptions": sum(device.exceptions for device in devices),
        **{name: counts.get(name, 0) for name in ("crc_errors", "late", "foreign")},
    }


def device_figures(tally: Tally, mono_ms: int) -> Figures:
    """What is known of a device: None where it has not answered yet."""
    took = percentiles(tally.latencies)
    last = tally.last_good_ms
    return {
        "requests": tally.requests,
        "timeouts": tally.timeouts,
        "exceptions": tally.exceptions,
        "p50_ms": took.p50,
        "p95_ms": took.p95,
        "p99_ms": took.p99,
        "good_age_ms": None if last is None else mono_ms - last,
    }


def with_own_device(site: Site) -> Site:
    """The site with the device `gateway` beside its own ones."""
    own = Device(
        id=OWN_DEVICE,
        profile=OWN_DEVICE,
        bus="",
        unit=0,
        place=site.name,
        owner="",
        points=own_points([b.id for b in site.buses], [d.id for d in site.devices]),
    )
    judged = {rule.point for rule in site.rules}
    points = tuple(replace(point, is_alarm_class=point.id in judged) for point in own.points)
    return replace(site, devices=(*site.devices, replace(own, points=points)))


def host_points() -> tuple[Point, ...]:
    """What the machine says of itself. A figure that it does not have is never read."""
    return tuple(
        replace(
            _own_point(f"host.{figure}", unit, label, deadband), kind=kind, heartbeat_ms=3_600_000
        )
        for figure, (kind, unit, label, deadband) in HOST_FIGURES.items()
    )


def own_points(buses: list[str], devices: list[str]) -> tuple[Point, ...]:
    """The points of the device `gateway`, for these buses and devices."""
    wanted = [(f"bus.{bus}", BUS_FIGURES) for bus in buses]
    wanted += [(f"device.{device}", DEVICE_FIGURES) for device in devices]
    figures_of = tuple(
        replace(
            _own_point(f"{of}.{figure}", unit, f"{of.partition('.')[2]} {label}", deadband),
            is_counter=is_counter,
        )
        for of, figures in wanted
        for figure, (unit, label, deadband, is_counter) in figures.items()
    )
    return (*figures_of, *host_points(), SELF_TEST_POINT)


def _own_point(name: str, unit: str, label: str, deadband: float) -> Point:
    return Point(
        id=f"{OWN_DEVICE}.{name}",
        device=OWN_DEVICE,
        name=name,
        unit=unit,
        table=Table.INPUT,
        at=0,
        encoding=Encoding(WordType.UINT16),
        period_ms=MEASURED_EVERY_MS,
        label=label,
        deadband=deadband,
    )


def measure(
    tallies: Mapping[str, BusTally],
    counts: Mapping[str, Mapping[str, int]],
    mono_ms: int,
    host: Figures | None = None,
) -> BlockRead:
    """One reading of every point of the device `gateway`; what is not known yet is left out.

    `host`: what the machine says of itself, by the names of `HOST_FIGURES`.
    """
    readings = [Reading(SELF_TEST_POINT.id, 0, Quality.GOOD, mono_ms)]
    readings += _readings("host", host or {}, mono_ms)
    for bus, tally in tallies.items():
        figures = bus_figures(tally, counts.get(bus, {}), mono_ms)
        readings += _readings(f"bus.{bus}", figures, mono_ms)
        for device, known in tally.devices.items():
            readings += _readings(f"device.{device}", device_figures(known, mono_ms), mono_ms)
    return BlockRead("", OWN_DEVICE, tuple(readings))


def _readings(of: str, figures: Figures, mono_ms: int) -> list[Reading]:
    return [
        Reading(f"{OWN_DEVICE}.{of}.{name}", value, Quality.GOOD, mono_ms)
        for name, value in figures.items()
        if value is not None
    ]
