"""The device `gateway`: figures of buses and devices that rules can watch."""

import json

from gateway.core.health import measure, own_points, with_own_device
from gateway.core.messages import points_body, sender_of, unpack
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.core.tally import BusTally
from gateway.core.view import buses_view, devices_view, points_view
from gateway.domain.moments import Clk, Now
from gateway.domain.signals import Lamp
from gateway.sim.day import line_site

SITE = line_site(devices=2)


def tallies():
    line = BusTally(0)
    line.load.add(0, 30_000)
    for took in (40, 50, 60):
        line.of("d0").answered(took, 55_000)
    line.of("d0").timed_out()
    line.of("d1").timed_out()
    return {"line": line}


def now(ms):
    return Now(ms, None, Clk.NONE, 0, "b00t")


def test_every_measured_figure_is_a_point_with_its_unit():
    event = measure(tallies(), {"line": {"crc_errors": 3, "opened": 1}}, 60_000)
    points = {point.id: point for point in own_points(["line"], ["d0", "d1"])}
    read = {reading.point: reading.value for reading in event.readings}
    assert read.keys() <= points.keys()
    assert read["gateway.bus.line.load"] == 50.0
    assert points["gateway.bus.line.load"].unit == "%"
    assert (read["gateway.bus.line.requests"], read["gateway.bus.line.timeouts"]) == (5, 2)
    assert read["gateway.bus.line.crc_errors"] == 3
    assert read["gateway.device.d0.p95_ms"] == 60
    assert read["gateway.device.d0.good_age_ms"] == 5_000
    unknown = {name for name in points.keys() - read.keys() if ".host." not in name}
    assert unknown == {
        f"gateway.device.d1.{name}" for name in ("p50_ms", "p95_ms", "p99_ms", "good_age_ms")
    }


def test_the_platform_gets_the_points_and_people_see_them_with_buses_and_devices():
    site = with_own_device(SITE)
    sender = sender_of(site, "epoch0000001")
    told = json.loads(unpack(points_body(sender, site)))["points"]
    assert "gateway.device.d1.timeouts" in {point["id"] for point in told}
    state = state_of(house_of(site, sender, "0"), (), now(0))
    state, outcome = step(state, measure(tallies(), {}, 60_000), now(60_000))
    assert {row["id"].partition(".")[0] for row in points_view(state, now(60_000))} == {"d0", "d1"}
    rows = devices_view(state, tallies(), 60_000)
    assert [(row["id"], row["requests"], row["timeouts"]) for row in rows] == [
        ("d0", 4, 1), ("d1", 1, 1),
    ]  # fmt: skip
    assert buses_view(tallies(), {}, 60_000)[0]["load"] == 50.0
    assert not outcome.records


def test_a_gateway_that_only_measures_itself_does_not_show_green():
    site = with_own_device(SITE)
    state = state_of(house_of(site, sender_of(site, "epoch0000001"), "0"), (), now(0))
    state, outcome = step(state, measure(tallies(), {}, 60_000), now(60_000))
    assert outcome.signal.green is Lamp.OFF


def test_a_growing_number_of_requests_alone_is_not_news():
    site = with_own_device(SITE)
    state = state_of(house_of(site, sender_of(site, "epoch0000001"), "0"), (), now(0))
    counted = tallies()
    state, _ = step(state, measure(counted, {}, 60_000), now(60_000))
    before = sum(map(len, state.unsent))
    counted["line"].of("d0").answered(50, 65_000)
    state, _ = step(state, measure(counted, {}, 70_000), now(70_000))
    assert sum(map(len, state.unsent)) - before <= 1  # the load fell
