"""A bus for the technician's tools: how it runs, who is on it, which alarm points it carries."""

from collections.abc import Collection, Iterable, Mapping

from gateway.core.tally import BusTally
from gateway.domain.site import Bus, Device, SerialLine

View = dict[str, object]


def line_view(
    bus: Bus,
    devices: Iterable[Device],
    alarm_points: Collection[str],
    tally: BusTally,
    counts: Mapping[str, int],
) -> View:
    """Plain data for `bus_lines`; `points` are those that rules judge, which a tool delays."""
    present = tuple(devices)
    return {
        **_link(bus),
        "devices": [
            {
                "id": device.id,
                "unit": device.unit,
                "profile": device.profile,
                "place": device.place,
                "requests": tally.of(device.id).requests,
                "timeouts": tally.of(device.id).timeouts,
                "exceptions": tally.of(device.id).exceptions,
                "takes": tally.of(device.id).takes,
            }
            for device in present
        ],
        "points": [
            {"id": point.id, "label": point.label, "place": device.place}
            for device in present
            for point in device.points
            if point.id in alarm_points
        ],
        "counts": dict(counts),
    }


def _link(bus: Bus) -> View:
    if isinstance(bus.link, SerialLine):
        line = bus.link
        said = {"baud": line.baud, "parity": line.parity.value, "stop_bits": line.stop_bits}
        return {"port": line.port, "tcp": None, "line": said}
    return {"port": None, "tcp": f"{bus.link.host}:{bus.link.port}", "line": None}
