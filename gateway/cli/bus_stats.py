"""`care-gateway bus stats`: how the devices answer, and what that says about the wires."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table as Grid

from gateway.cli.bus_line import FINE, LATE_MS, TYPED, Target, Where, on_line, talk
from gateway.cli.saying import console, worded
from gateway.core.blocks import plan_blocks, smallest_block
from gateway.core.wiring import DeviceCount, wiring_hints
from gateway.domain.errors import DeviceRefused, DeviceSilent
from gateway.domain.text import Lang, Text
from gateway.drivers.modbus import open_bus

LEAST_ROUNDS = 10  # a silent device makes rounds long, and fewer say nothing
WORDS = {
    "device": Text("设备", "Device"),
    "asked": Text("请求", "Requests"),
    "lost": Text("超时", "Time-outs"),
    "exceptions": Text("异常", "Exceptions"),
    "hints": Text("接线提示", "Wiring"),
    "nobody": Text(
        "这条总线上没有站点文件里的设备：先 bus scan",
        "no device of the site file is on this bus: scan it first",
    ),
}
COUNTS = {
    "requests": Text("请求", "requests"),
    "timeouts": Text("超时", "time-outs"),
    "crc_errors": Text("校验错", "CRC errors"),
    "late": Text("迟到应答", "late replies"),
    "foreign": Text("外来帧", "foreign frames"),
    "foreign_requests": Text("别人的请求", "questions of others"),
    "noise_bytes": Text("杂散字节", "stray bytes"),
    "echoes": Text("回声", "echoes"),
    "opened": Text("打开次数", "times opened"),
}


def _words(key: str, lang: Lang, **values: object) -> str:
    return WORDS[key].in_(lang).format(**values)


def stats(where: Where, *, lang: Lang, seconds: float = 20.0, as_json: bool = False) -> int:
    """How the devices of a line answer, and what the mix of errors says about its wires.

    The running daemon has counted since its start; without one the devices of the site file are
    asked for so long.
    """

    def work(target: Target) -> int:
        view = target.view
        if not view.get("devices"):
            talk(WORDS["nobody"].in_(lang))
            return TYPED
        if not target.held:
            view = asyncio.run(_counted(target, where, seconds))
        devices = [
            DeviceCount(str(row["id"]), int(row["requests"]), int(row["timeouts"]),
                        int(row["exceptions"]), row.get("takes"))
            for row in view["devices"]
        ]  # fmt: skip
        hints = wiring_hints(devices, view["counts"])
        if as_json:
            said = [{"zh": hint.zh, "en": hint.en} for hint in hints]
            print(json.dumps({**view, "hints": said}, ensure_ascii=False, indent=2))
            return FINE
        grid = Grid(box=box.SIMPLE_HEAD)
        for key in ("device", "asked", "lost", "exceptions"):
            grid.add_column(WORDS[key].in_(lang))
        for device in devices:
            grid.add_row(
                device.name, str(device.requests), str(device.timeouts), str(device.exceptions)
            )
        console().print(grid)
        counts = view["counts"].items()
        print("  ".join(f"{worded(COUNTS, name, lang)} {count}" for name, count in counts))
        for hint in hints:
            print(f"- {hint.in_(lang)}")
        return FINE

    return on_line(where, lang, work)


async def _counted(target: Target, where: Where, seconds: float) -> Mapping[str, Any]:
    """Ask each device for its smallest block, in turn, for so long; the view with the counts."""
    rows = {str(row["id"]): dict(row) for row in target.view["devices"]}
    blocks = [smallest_block(plan_blocks(device, target.bus)) for device in target.devices]
    until, rounds = time.monotonic() + seconds, 0
    async with open_bus(target.bus, late_ms=LATE_MS) as door:
        while time.monotonic() < until or rounds < LEAST_ROUNDS:
            rounds += 1
            for block in blocks:
                row = rows[block.device]
                row["requests"] += 1
                try:
                    await door.read(
                        block.unit, block.table, block.start, block.count, where.timeout_ms
                    )
                except DeviceSilent:
                    row["timeouts"] += 1
                except DeviceRefused:
                    row["exceptions"] += 1
        return {**target.view, "devices": list(rows.values()), "counts": asdict(door.counts)}
