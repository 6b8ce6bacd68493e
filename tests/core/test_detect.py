"""The arithmetic of `plan` on plain cases; that it holds is shown by sim/test_day."""

from dataclasses import replace

import pytest

from gateway.core.detect import (
    Hypothesis,
    back_within_ms,
    detection_problems,
    plan_bus,
    plan_site,
    read_within_ms,
    silent_within_ms,
    unreadable_points,
)
from gateway.domain.rules import Above, AllOf, Member, Silent
from gateway.domain.site import Bus, SerialLine, TcpLink
from gateway.sim.day import line_site

NOTHING_FAILS = Hypothesis(silent=0, lost=0, pending=0)


def detection(site, hypothesis=NOTHING_FAILS, rule="d1.leak/high"):
    (plan,) = plan_site(site, hypothesis)
    return next(each for each in plan.detections if each.rule.id == rule)


def alone(**changes):
    site = line_site(devices=2, plain_points=0)
    rules = [replace(rule, **changes) for rule in site.rules if rule.point == "d1.leak"]
    return replace(site, devices=site.devices[1:], rules=tuple(rules))


def test_one_device_alone_takes_its_period_its_read_and_its_delay():
    found = detection(alone(for_ms=3_000))
    assert (found.period_ms, found.wait_ms, found.retry_ms, found.silence_ms) == (2_000, 0, 0, 0)
    assert found.read_ms == 70  # 15 characters of 1.04 ms, t3.5 and 50 ms turnaround
    assert found.delay_ms == 3_000
    assert found.total_ms == 2_000 + 70 + 3_000


def test_two_samples_can_take_longer_than_a_short_delay():
    assert detection(alone(for_ms=0, min_samples=1)).delay_ms == 0
    assert detection(alone(for_ms=0, min_samples=2)).delay_ms == pytest.approx(1_070, abs=1)


def test_a_lost_reply_costs_the_time_out_and_on_a_serial_line_the_wait_for_its_late_answer():
    one_lost = replace(NOTHING_FAILS, lost=1)
    serial = detection(alone(), one_lost)
    asked_behind = serial.read_ms  # before the next answer is believed
    assert serial.retry_ms == pytest.approx(500 + 16 + 4 + 2_000 + asked_behind, abs=3)
    tcp = detection(replace(alone(), buses=(Bus("line", TcpLink("d.example")),)), one_lost)
    assert tcp.retry_ms == pytest.approx(500 + tcp.read_ms, abs=1)


def test_the_sensors_own_delay_is_added_where_the_profile_gives_it():
    site = alone()
    assert detection(site).sensor_ms is None
    (device,) = site.devices
    slow = replace(device.points[0], response_ms=30_000)
    known = detection(replace(site, devices=(replace(device, points=(slow,)),)))
    assert known.sensor_ms == 30_000
    assert known.total_ms == detection(site).total_ms + 30_000


def test_more_trouble_and_more_neighbours_never_make_it_quicker():
    site, larger = line_site(devices=5), line_site(devices=9)
    for worse in (
        Hypothesis(1, 0, 0), Hypothesis(3, 0, 0), Hypothesis(3, 1, 0), Hypothesis(3, 1, 3),
    ):  # fmt: skip
        assert detection(site, worse).total_ms > detection(site).total_ms
        assert detection(larger, worse).total_ms >= detection(site, worse).total_ms
    assert detection(site, Hypothesis(1)).total_ms < detection(site, Hypothesis(2)).total_ms


def test_a_long_plain_block_is_waited_for():
    short, long = line_site(devices=3, plain_points=2), line_site(devices=3, plain_points=100)
    assert detection(long).wait_ms - detection(short).wait_ms >= 98 * 2 * 1.04


def test_load_is_the_share_of_time_and_falls_with_the_baud():
    site = line_site(devices=10)
    (slow,) = plan_site(site)
    faster = replace(site.buses[0], link=SerialLine("/dev/null", 19200))
    assert 0.4 < slow.load < 0.5
    assert plan_bus(site, faster, Hypothesis()).load < slow.load


def test_nothing_is_said_of_a_plan_that_works():
    assert detection_problems(replace(line_site(), detect_within_ms=60_000)) == ()


def test_a_bus_that_is_too_slow_at_any_baud_is_not_told_to_go_faster():
    (problem,) = detection_problems(line_site(devices=60, baud=115200))
    assert problem.code == "bus_overload"
    assert "baud" not in problem.advice.en
    assert "second bus" in problem.advice.en


def test_a_lost_reply_behind_a_bridge_is_waited_for_as_on_a_line():
    """Several units at one address: a line behind it, on which answers carry no number."""
    bridged = replace(line_site(), buses=(Bus("line", TcpLink("d.example"), late_ms=2_000),))
    patient = replace(bridged, buses=(Bus("line", TcpLink("d.example"), late_ms=5_000),))
    lost = replace(NOTHING_FAILS, lost=1)
    assert detection(patient, lost).retry_ms - detection(bridged, lost).retry_ms == 3_000
    assert detection(patient).total_ms == detection(bridged).total_ms


def test_a_line_that_cannot_carry_its_plan_is_an_error_and_over_tcp_a_warning():
    much = line_site(devices=60, baud=115200)
    (problem,) = detection_problems(much)
    assert problem.is_error
    (problem,) = detection_problems(replace(much, buses=(Bus("line", TcpLink("d.example")),)))
    assert not problem.is_error
    assert "cannot read all of this in time" in problem.fact.en


def test_an_overloaded_plan_names_the_baud_that_would_do():
    (problem,) = detection_problems(line_site(devices=14, baud=2400))
    assert "cannot read all of this in time" in problem.fact.en
    assert "9600 baud" in problem.advice.en or "4800 baud" in problem.advice.en


def test_each_bus_over_the_limit_is_named_with_its_worst_rule_and_what_takes_longest():
    site = replace(line_site(), detect_within_ms=5_000)
    (problem,) = detection_problems(site)
    assert (problem.code, problem.subject, problem.is_error) == ("detects_late", "line", False)
    assert "9 more" in problem.fact.en
    slow = replace(alone(for_ms=600_000), detect_within_ms=20_000)
    (problem,) = detection_problems(slow)
    assert "600.0 s" in problem.advice.en


def test_a_point_that_no_request_can_hold_is_an_error_and_no_exception():
    site = line_site(devices=1)
    (device,) = site.devices
    (problem,) = unreadable_points(replace(site, devices=(replace(device, max_registers=0),)))
    assert problem.is_error
    assert problem.subject.startswith("d0.")


def test_the_watch_allows_what_the_plan_allows_and_a_second_more():
    site = line_site()
    within = read_within_ms(site)
    assert within.keys() == {rule.id for rule in site.rules}
    found = detection(site, Hypothesis())
    assert within["d1.leak/high"] == found.read_within_ms + 1_000


def test_a_silent_device_is_a_fault_later_the_more_misses_and_silent_devices_there_are():
    (plan,) = plan_site(line_site())
    times = [silent_within_ms(plan, 1), silent_within_ms(plan, 3), silent_within_ms(plan, 3, 10)]
    assert times == sorted(set(times))
    plain = replace(plan, detections=())  # no rule: it is still read, and missed
    assert silent_within_ms(plain, 1) > 15_000 + 2 * 2_000
    assert back_within_ms(plan, 1) < 6_000 < back_within_ms(plan, 3) < 15_000


def test_a_silence_takes_its_own_time_and_is_not_watched_beside_it():
    site = alone(condition=Silent(90_000), for_ms=0, min_samples=1)
    found = detection(site)
    assert (found.total_ms, found.delay_ms, found.read_within_ms) == (90_000, 90_000, 0)
    assert read_within_ms(site) == {}


def test_a_combined_rule_takes_as_long_as_its_slowest_member_and_its_own_delay():
    plain = detection(alone(for_ms=0, min_samples=1))
    members = (
        Member("d1.leak", Above(1, 0)),
        Member("d1.leak", Above(2, 1), for_ms=60_000, min_samples=2),
    )
    found = detection(alone(condition=AllOf(members), for_ms=5_000, min_samples=1))
    assert found.delay_ms == 65_000
    assert found.read_within_ms == plain.read_within_ms


def test_the_median_of_three_costs_one_reading_more():
    plain = detection(alone(for_ms=0, min_samples=1))
    found = detection(alone(for_ms=0, min_samples=1, median=3))
    more = plain.period_ms + plain.wait_ms + plain.read_ms
    assert found.total_ms - plain.total_ms == pytest.approx(more, abs=3)
