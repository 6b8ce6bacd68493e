"""Blocks: which registers are read together, planned by time on the wire, not by bytes.

A hole between two points is read across where that is quicker than asking twice. Points that
share a table and a period are planned together; what belongs to one value (all its words, its
decimals and its unit code) is never separated, because a change between two requests would give
a value times ten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from gateway.domain.points import Point, Table
from gateway.domain.site import Bus, Device, SerialLine

MAX_BITS = 2000  # a request for coils or discrete inputs: MODBUS Application Protocol V1.1b3, 6.1
RTU_REQUEST_BYTES = 8
RTU_OVERHEAD_BYTES = 13  # request 8, reply 5 without its data
TCP_REQUEST_MS = 10.0  # a round trip to a device or a bridge in the house
TCP_REGISTER_MS = 0.02  # nearly free, but a hole is not read for nothing


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """One read request and the points that its reply gives.

    `start` is the 0-based wire address, `count` is in registers (bits in a bit table).
    """

    device: str
    bus: str
    unit: int
    table: Table
    start: int
    count: int
    points: tuple[Point, ...] = field(hash=False)
    period_ms: int
    is_alarm_class: bool


@dataclass(frozen=True, slots=True)
class ReadCost:
    """Milliseconds that one request takes, and each of its registers on top."""

    request_ms: float
    register_ms: float

    def of(self, count: int) -> float:
        return self.request_ms + self.register_ms * count


@dataclass(frozen=True, slots=True)
class _Span:
    """The registers that one point needs together: start (included) to end (not included)."""

    start: int
    end: int
    point: Point


def read_cost(bus: Bus, table: Table, turnaround_ms: float = 50) -> ReadCost:
    """Return what a request and a register of `table` cost on this bus."""
    if not isinstance(bus.link, SerialLine):
        return ReadCost(TCP_REQUEST_MS, TCP_REGISTER_MS / 16 if table.is_bits else TCP_REGISTER_MS)
    char_ms = bus.link.char_ms
    bytes_per_address = 1 / 8 if table.is_bits else 2
    return ReadCost(
        RTU_OVERHEAD_BYTES * char_ms + gap_ms(bus) + turnaround_ms, bytes_per_address * char_ms
    )


def gap_ms(bus: Bus) -> float:
    """The pause between a reply and the next request: as configured, else t3.5; none on TCP."""
    if bus.gap_ms is not None:
        return bus.gap_ms
    return bus.link.t35_ms if isinstance(bus.link, SerialLine) else 0.0


def wire_ms(block: ReadBlock, bus: Bus) -> float:
    """How long request and reply of this block take on the wire, without the device's turnaround.

    0 on TCP. What a time-out must allow on top of the time that the device may think.
    """
    if not isinstance(bus.link, SerialLine):
        return 0.0
    return (RTU_OVERHEAD_BYTES + _data_bytes(block)) * bus.link.char_ms


def request_ms(bus: Bus) -> float:
    """How long a request takes until its device knows that it has ended; 0 on TCP."""
    if not isinstance(bus.link, SerialLine):
        return 0.0
    return RTU_REQUEST_BYTES * bus.link.char_ms + bus.link.t35_ms


def turn_ms(block: ReadBlock, bus: Bus, turnaround_ms: float = 50) -> float:
    """How long the bus is taken by one read of this block that is answered."""
    network_ms = 0.0 if isinstance(bus.link, SerialLine) else TCP_REQUEST_MS
    return wire_ms(block, bus) + gap_ms(bus) + turnaround_ms + network_ms


def timeout_ms(block: ReadBlock, bus: Bus) -> int:
    """How long an answer to this block is waited for: `bus.timeout_ms` is the device's own part."""
    return bus.timeout_ms + ceil(wire_ms(block, bus))


def plan_blocks(device: Device, bus: Bus, turnaround_ms: float = 50) -> tuple[ReadBlock, ...]:
    """Return the quickest set of requests that reads every point of the device exactly once.

    ValueError when one point alone needs more registers than a request may have, or lies
    across a barrier.
    """
    groups: dict[tuple[Table, int], list[Point]] = {}
    for point in device.points:
        groups.setdefault((point.table, point.period_ms), []).append(point)
    blocks: list[ReadBlock] = []
    for (table, _period), points in groups.items():
        cost = read_cost(bus, table, turnaround_ms)
        runs = _cheapest_groups([_span_of(point) for point in points], device, cost)
        blocks.extend(_block_of(run, device, bus.id) for run in runs)
    return tuple(blocks)


def plan_shorter(
    device: Device, bus: Bus, takes: int | None, turnaround_ms: float = 50
) -> tuple[ReadBlock, ...]:
    """The same for a device that was found to answer `takes` registers at most (None: all)."""
    if takes is None or takes >= device.max_registers:
        return plan_blocks(device, bus, turnaround_ms)
    spans = [_span_of(point) for point in device.points if not point.table.is_bits]
    widest = max((span.end - span.start for span in spans), default=1)
    shorter = replace(device, max_registers=max(takes, widest))
    return plan_blocks(shorter, bus, turnaround_ms)


def split_block(block: ReadBlock) -> tuple[ReadBlock, ReadBlock] | None:
    """Return two blocks that read the same points, or None when nothing can be split.

    For a device that refuses a block (exception 2 or 3) because of a hole in the middle of it.
    """
    spans = sorted(map(_span_of, block.points), key=lambda span: (span.start, span.end))
    if len(spans) < 2:
        return None
    holes = [
        (abs(index - len(spans) / 2), index)
        for index in range(1, len(spans))
        if spans[index].start > max(span.end for span in spans[:index])
    ]
    middle = min(holes)[1] if holes else len(spans) // 2
    halves = (spans[:middle], spans[middle:])
    return _narrowed(block, halves[0]), _narrowed(block, halves[1])


def smallest_block(blocks: Iterable[ReadBlock]) -> ReadBlock:
    """Return the block that takes the least time on the wire: what a silent device is asked."""
    return min(blocks, key=lambda block: (_data_bytes(block), block.start))


def smallest_part(block: ReadBlock) -> ReadBlock | None:
    """Return a block of the value of fewest registers; None if there is no shorter one."""
    if len(block.points) < 2:
        return None
    span = min(map(_span_of, block.points), key=lambda span: (span.end - span.start, span.start))
    part = _narrowed(block, (span,))
    return part if part.count < block.count else None


def _data_bytes(block: ReadBlock) -> int:
    return (block.count + 7) // 8 if block.table.is_bits else 2 * block.count


def _span_of(point: Point) -> _Span:
    encoding = point.encoding
    width = 1 if point.table.is_bits else encoding.width
    companions = [at for at in (encoding.decimals_at, encoding.unit_at) if at is not None]
    start = min([point.at, *companions])
    end = max([point.at + width, *(at + 1 for at in companions)])
    return _Span(start, end, point)


def _cheapest_groups(spans: list[_Span], device: Device, cost: ReadCost) -> list[list[_Span]]:
    """Cut the sorted spans into runs of least total time.

    Runs of neighbours are enough: of two blocks that interleave, one lies inside the other or
    the points in the overlap can change sides for free.
    """
    spans = sorted(spans, key=lambda span: (span.start, span.end))
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost of the first n spans, start of the last run
    for last in range(1, len(spans) + 1):
        choice = (float("inf"), 0)
        end = 0
        for first in range(last - 1, -1, -1):
            end = max(end, spans[first].end)
            if not _is_readable(spans[first].start, end, spans[first].point.table, device):
                break
            total = best[first][0] + cost.of(end - spans[first].start)
            choice = min(choice, (total, first))
        if choice[0] == float("inf"):
            raise ValueError(f"{spans[last - 1].point.id}: cannot be read in one request")
        best.append(choice)
    runs: list[list[_Span]] = []
    last = len(spans)
    while last:
        first = best[last][1]
        runs.append(spans[first:last])
        last = first
    return runs[::-1]


def _is_readable(start: int, end: int, table: Table, device: Device) -> bool:
    limit = MAX_BITS if table.is_bits else device.max_registers
    return end - start <= limit and not any(start < barrier < end for barrier in device.barriers)


def _block_of(spans: Sequence[_Span], device: Device, bus: str) -> ReadBlock:
    start = min(span.start for span in spans)
    points = tuple(span.point for span in spans)
    return ReadBlock(
        device=device.id,
        bus=bus,
        unit=device.unit,
        table=points[0].table,
        start=start,
        count=max(span.end for span in spans) - start,
        points=points,
        period_ms=points[0].period_ms,
        is_alarm_class=any(point.is_alarm_class for point in points),
    )


def _narrowed(block: ReadBlock, spans: Sequence[_Span]) -> ReadBlock:
    start = min(span.start for span in spans)
    points = tuple(span.point for span in spans)
    return replace(
        block,
        start=start,
        count=max(span.end for span in spans) - start,
        points=points,
        is_alarm_class=any(point.is_alarm_class for point in points),
    )
