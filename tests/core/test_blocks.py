from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.blocks import (
    plan_blocks,
    plan_shorter,
    read_cost,
    smallest_block,
    smallest_part,
    split_block,
    timeout_ms,
    wire_ms,
)
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.site import Bus, Device, SerialLine, TcpLink

LINE = Bus("line", SerialLine("/dev/null", baud=9600))
NETWORK = Bus("network", TcpLink("device.example"))


def point(at, type_=WordType.UINT16, *, table=Table.INPUT, period_ms=1000, alarm=False, **encoding):
    name = f"{table}{at}{type_}{period_ms}"
    return Point(
        id=f"d.{name}", device="d", name=name, unit="", table=table, at=at,
        encoding=Encoding(type_, **encoding), period_ms=period_ms, is_alarm_class=alarm,
    )  # fmt: skip


def device(*points, max_registers=125, barriers=()):
    return Device("d", "p", "line", 7, "", "", points, "", "", "", max_registers, barriers)


def places(blocks):
    return [(block.start, block.count) for block in blocks]


def test_a_short_hole_is_read_across_and_a_long_one_is_not():
    # 9600 8N1, 50 ms turnaround: a request costs 67 ms, a register 2.08 ms
    assert places(plan_blocks(device(point(0), point(33)), LINE)) == [(0, 34)]
    assert places(plan_blocks(device(point(0), point(34)), LINE)) == [(0, 1), (34, 1)]


def test_a_quick_device_is_asked_more_often_instead():
    assert len(plan_blocks(device(point(0), point(20)), LINE, turnaround_ms=2)) == 2
    assert len(plan_blocks(device(point(0), point(20)), LINE, turnaround_ms=50)) == 1


def test_a_longer_gap_on_the_bus_makes_longer_holes_worth_reading():
    slow = Bus("line", SerialLine("/dev/null", baud=9600), gap_ms=100)
    assert len(plan_blocks(device(point(0), point(60)), slow)) == 1


def test_over_tcp_a_request_costs_more_than_any_hole_that_fits():
    assert places(plan_blocks(device(point(0), point(124)), NETWORK)) == [(0, 125)]
    assert len(plan_blocks(device(point(0), point(125)), NETWORK)) == 2


def test_tables_and_periods_are_read_apart():
    blocks = plan_blocks(
        device(point(0), point(1, table=Table.HOLDING), point(2, period_ms=60_000)), LINE
    )
    assert sorted((str(b.table), b.start, b.period_ms) for b in blocks) == [
        ("holding", 1, 1000), ("input", 0, 1000), ("input", 2, 60_000),
    ]  # fmt: skip


def test_no_block_is_longer_than_the_device_takes():
    points = [point(2 * n, WordType.FLOAT32) for n in range(100)]
    blocks = plan_blocks(device(*points, max_registers=79), LINE)
    assert max(block.count for block in blocks) == 78  # whole values only
    assert sum(len(block.points) for block in blocks) == 100


def test_no_block_crosses_a_barrier():
    blocks = plan_blocks(device(point(0), point(1), point(2), barriers=(2,)), LINE)
    assert places(blocks) == [(0, 2), (2, 1)]


def test_bit_tables_take_two_thousand_bits():
    coils = [point(at, WordType.BIT, table=Table.COIL) for at in (0, 1999, 2000)]
    assert len(plan_blocks(device(*coils[:2]), NETWORK)) == 1
    assert len(plan_blocks(device(*coils), NETWORK)) == 2


def test_value_decimals_and_unit_come_from_one_request_t10():
    pressure = point(4, WordType.INT16, decimals_at=3, unit_at=2)
    (block,) = plan_blocks(device(pressure), LINE)
    assert (block.start, block.count) == (2, 3)
    far = point(40, WordType.INT16, decimals_at=0)
    (block,) = plan_blocks(device(far), LINE, turnaround_ms=0)  # although two would be quicker
    assert (block.start, block.count) == (0, 41)


def test_a_value_that_fits_no_request_is_refused_by_name():
    with pytest.raises(ValueError, match=r"d\.input0float64"):
        plan_blocks(device(point(0, WordType.FLOAT64), max_registers=3), LINE)
    with pytest.raises(ValueError, match=r"d\.input0float32"):
        plan_blocks(device(point(0, WordType.FLOAT32), barriers=(1,)), LINE)


def test_one_alarm_point_makes_the_block_alarm_class():
    (block,) = plan_blocks(device(point(0), point(1, alarm=True)), LINE)
    assert block.is_alarm_class
    first, second = split_block(block)
    assert not first.is_alarm_class
    assert second.is_alarm_class


def test_splitting_goes_through_the_hole_nearest_the_middle():
    (block,) = plan_blocks(device(*[point(at) for at in (0, 1, 2, 10, 11, 20)]), LINE)
    first, second = split_block(block)
    assert places((first, second)) == [(0, 3), (10, 11)]


def test_splitting_ends_at_single_points():
    (block,) = plan_blocks(device(*[point(at) for at in range(7)]), LINE)
    pending, single = [block], []
    while pending:
        halves = split_block(pending.pop())
        if halves is None:
            continue
        for half in halves:
            (single if len(half.points) == 1 else pending).append(half)
    assert sorted(places(single)) == [(at, 1) for at in range(7)]


def test_the_smallest_block_is_counted_in_bytes_not_in_addresses():
    bits = [point(at, WordType.BIT, table=Table.DISCRETE) for at in range(8)]
    blocks = plan_blocks(device(point(0), *bits), LINE)
    assert smallest_block(blocks).table is Table.DISCRETE


def test_a_slow_line_gets_the_time_that_its_bytes_take():
    forty = [point(2 * n, WordType.FLOAT32) for n in range(40)]
    slow = Bus("line", SerialLine("/dev/null", baud=2400), timeout_ms=500)
    (block,) = plan_blocks(device(*forty), slow)
    assert wire_ms(block, slow) == pytest.approx((8 + 5 + 160) * 10 / 2.4)
    assert timeout_ms(block, slow) == 500 + 721
    assert timeout_ms(block, NETWORK) == NETWORK.timeout_ms


def test_a_block_can_be_a_key_although_its_points_hold_mappings():
    (block,) = plan_blocks(device(point(0, unit_factors={3: 1})), LINE)
    assert {block: 1}[block] == 1


@st.composite
def devices(draw, most=30, reach=600):
    starts = draw(st.lists(st.integers(0, reach), min_size=1, max_size=most, unique=True))
    types = [WordType.UINT16, WordType.FLOAT32, WordType.INT64]
    points = []
    for at in starts:
        decimals_at = draw(st.one_of(st.none(), st.integers(max(0, at - 4), at + 4)))
        points.append(point(at, draw(st.sampled_from(types)), decimals_at=decimals_at))
    return device(*points, max_registers=draw(st.integers(9, 125)))


def span(one):
    companions = [at for at in (one.encoding.decimals_at,) if at is not None]
    return (
        min([one.at, *companions]),
        max([one.at + one.encoding.width, *(at + 1 for at in companions)]),
    )


@given(devices(), st.floats(0, 200))
def test_every_point_is_read_exactly_once_and_whole(site_device, turnaround_ms):
    blocks = plan_blocks(site_device, LINE, turnaround_ms)
    read = [one for block in blocks for one in block.points]
    assert sorted(p.id for p in read) == sorted(p.id for p in site_device.points)
    for block in blocks:
        assert block.count <= site_device.max_registers
        for one in block.points:
            low, high = span(one)
            assert block.start <= low
            assert high <= block.start + block.count


def every_grouping(items):
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            left = [item for item in rest if item not in others]
            for grouping in every_grouping(left):
                yield [[first, *others], *grouping]


@settings(max_examples=60, deadline=None)
@given(devices(6, reach=90), st.floats(0, 120), st.sampled_from([LINE, NETWORK]))
def test_no_other_grouping_is_quicker(site_device, turnaround_ms, bus):
    cost = read_cost(bus, Table.INPUT, turnaround_ms)
    limit = site_device.max_registers
    planned = sum(cost.of(block.count) for block in plan_blocks(site_device, bus, turnaround_ms))
    spans = [span(one) for one in site_device.points]
    best = min(
        sum(cost.of(length) for length in lengths)
        for grouping in every_grouping(list(range(len(spans))))
        if max(
            lengths := [
                max(spans[n][1] for n in group) - min(spans[n][0] for n in group)
                for group in grouping
            ]
        )
        <= limit
    )
    assert planned == pytest.approx(best)


def test_a_device_that_was_found_to_answer_less_is_planned_so_and_wide_values_stay_whole():
    long = device(*map(point, range(60)))
    assert places(plan_shorter(long, LINE, None)) == [(0, 60)]
    pieces = plan_shorter(long, LINE, 16)
    assert max(block.count for block in pieces) <= 16
    assert {p.id for block in pieces for p in block.points} == {p.id for p in long.points}
    assert places(plan_shorter(device(point(0, WordType.FLOAT64)), LINE, 2)) == [(0, 4)]


def test_the_smallest_part_of_a_block_is_one_value_and_that_of_one_value_is_none():
    (whole,) = plan_blocks(device(point(0, WordType.FLOAT64), point(4), point(5)), LINE)
    part = smallest_part(whole)
    assert part is not None
    assert places([part]) == [(4, 1)]
    assert part.points == whole.points[1:2]
    assert smallest_part(part) is None
    assert smallest_part(replace(whole, points=())) is None
