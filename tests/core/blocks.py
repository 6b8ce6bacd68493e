"""Blocks for tests."""

from gateway.core.blocks import ReadBlock, plan_blocks
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.site import Bus, TcpLink


def block_of(device):
    """The only block of a device."""
    (block,) = plan_blocks(device, Bus(device.bus, TcpLink("devices.example")))
    return block


def block(device, start, *, period_ms=1000, alarm=False, points=1, bus="b", unit=None):
    """A block of neighbouring words, each a point."""
    return ReadBlock(
        device=device,
        bus=bus,
        unit=unit or sum(map(ord, device)) % 247 + 1,
        table=Table.INPUT,
        start=start,
        count=points,
        points=tuple(
            Point(
                f"{device}.p{at}", device, f"p{at}", "", Table.INPUT, at,
                Encoding(WordType.UINT16), period_ms, is_alarm_class=alarm,
            )
            for at in range(start, start + points)
        ),
        period_ms=period_ms,
        is_alarm_class=alarm,
    )  # fmt: skip
