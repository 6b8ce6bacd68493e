"""`care-gateway bus read|watch`: registers as they are, and what a profile makes of them."""

import asyncio
import json
import time
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from rich import box
from rich.table import Table as Grid
from rich.text import Text as Styled

from gateway.cli.bus_line import FINE, TYPED, Registers, Target, Where, on_line, opener, talk
from gateway.cli.saying import NOTHING, QUALITIES, console, number, worded
from gateway.config.families import profile_names, read_family
from gateway.core.blocks import ReadBlock, plan_blocks
from gateway.core.decode import decode_block, decode_failure
from gateway.core.registers import ORDERS, TYPES, changed, views_at
from gateway.domain.errors import DeviceRefused
from gateway.domain.families import Family
from gateway.domain.points import Point, WordOrder, WordType
from gateway.domain.readings import Reading
from gateway.domain.reasons import reason_text
from gateway.domain.site import Bus, Device
from gateway.domain.text import Lang, Text
from gateway.tasks.scan_bus import Read

WORDS = {
    "address": Text("地址", "Address"),
    "hex": Text("十六进制", "Hex"),
    "type": Text("类型", "Type"),
    "point": Text("监测点", "Point"),
    "words": Text("字", "Words"),
    "value": Text("值", "Value"),
    "quality": Text("质量", "Quality"),
    "no_profile": Text("没有叫 {name} 的档案；{advice}", "there is no profile {name}; {advice}"),
    "meant": Text("是不是 {names}？", "did you mean {names}?"),
    "known": Text("都在 docs/devices.md", "docs/devices.md lists them all"),
    "device": Text("设备", "Device"),
}
ORDER_NAMES = {
    WordOrder.BIG: "ABCD", WordOrder.LITTLE: "CDAB",
    WordOrder.BIG_SWAPPED: "BADC", WordOrder.LITTLE_SWAPPED: "DCBA",
}  # fmt: skip


def _words(key: str, lang: Lang, **values: object) -> str:
    return WORDS[key].in_(lang).format(**values)


def read(
    where: Where,
    what: Registers,
    *,
    lang: Lang,
    types: Sequence[WordType] = (),
    as_json: bool = False,
) -> int:
    """Print registers once: hex, and every type in every order side by side."""

    def work(target: Target) -> int:
        words = asyncio.run(read_once(target, where, what))
        if as_json:
            print(json.dumps(_read_document(what, words), ensure_ascii=False, indent=2))
        else:
            console().print(_grid(what, words, frozenset(), lang, types))
        return FINE

    return on_line(where, lang, work)


def watch(
    where: Where,
    what: Registers,
    *,
    lang: Lang,
    every_s: float = 1.0,
    seconds: float | None = None,
    types: Sequence[WordType] = (),
) -> int:
    """Print registers again and again, those that changed marked; Ctrl-C ends."""

    async def look(target: Target) -> int:
        screen, before, until = console(), None, _until(seconds)
        async with opener(target)(where.line) as read_words:
            while True:
                words = await _words_of(read_words, where, what)
                marks = changed(what.start, before, words)
                if screen.is_terminal:
                    screen.clear()
                if screen.is_terminal or before is None or marks:
                    screen.print(_grid(what, words, marks, lang, types))
                before = words
                if time.monotonic() + every_s > until:
                    return FINE
                await asyncio.sleep(every_s)

    return on_line(where, lang, lambda target: asyncio.run(look(target)))


def _until(seconds: float | None) -> float:
    return float("inf") if seconds is None else time.monotonic() + seconds


async def read_once(target: Target, where: Where, what: Registers) -> Sequence[int]:
    async with opener(target)(where.line) as read_words:
        return await _words_of(read_words, where, what)


async def _words_of(read_words: Read, where: Where, what: Registers) -> Sequence[int]:
    return await read_words(what.unit, what.table, what.start, what.count, where.timeout_ms)


def _grid(
    what: Registers,
    words: Sequence[int],
    marks: frozenset[int],
    lang: Lang,
    types: Sequence[WordType],
) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD)
    heads = ("address", "hex", "type")
    for key in heads:
        grid.add_column(WORDS[key].in_(lang))
    if what.table.is_bits:
        for at, bit in enumerate(words, what.start):
            grid.add_row(_mark(at, marks), "", "bit", str(bit))
        return grid
    for order in ORDERS:
        grid.add_column(ORDER_NAMES[order], justify="right")
    for at, word in enumerate(words, what.start):
        for index, view in enumerate(views_at(what.start, words, at, types or tuple(TYPES))):
            first = (_mark(at, marks), f"{word:04X}") if index == 0 else ("", "")
            values = (view.values[0], view.values[2]) if TYPES[view.type][0] == 1 else view.values
            cells = [NOTHING if value is None else f"{value:.8g}" if isinstance(value, float)
                     else str(value) for value in values]  # fmt: skip
            if TYPES[view.type][0] == 1:
                cells = [cells[0], "", cells[1], ""]
            grid.add_row(*first, view.type.value, *cells)
    return grid


def _mark(at: int, marks: frozenset[int]) -> Styled:
    text = f"{at} 0x{at:04X}"
    return Styled(f"*{text}", style="reverse") if at in marks else Styled(f" {text}")


def _read_document(what: Registers, words: Sequence[int]) -> dict[str, Any]:
    rows = []
    for at, word in enumerate(words, what.start):
        row: dict[str, Any] = {"at": at, "word": word}
        if not what.table.is_bits:
            row["hex"] = f"{word:04X}"
            for view in views_at(what.start, words, at):
                named = zip(ORDERS, view.values, strict=True)
                row[view.type.value] = {ORDER_NAMES[order]: value for order, value in named}
        rows.append(row)
    return {"unit": what.unit, "table": what.table.value, "registers": rows}


def read_profile(
    where: Where, unit: int, profile: str, *, lang: Lang, as_json: bool = False
) -> int:
    """Print what a profile makes of a device: each point with its words, beside the display."""
    family = read_family(where.site.parent, profile)
    if family is None:
        near = get_close_matches(profile, profile_names(where.site.parent), n=2)
        advice = _words("meant", lang, names=" / ".join(near)) if near else _words("known", lang)
        talk(_words("no_profile", lang, name=profile, advice=advice))
        return TYPED

    def work(target: Target) -> int:
        rows = asyncio.run(_points_of(target, where, unit, family))
        if as_json:
            print(json.dumps([_point_document(*row) for row in rows], ensure_ascii=False, indent=2))
            return FINE
        grid = Grid(box=box.SIMPLE_HEAD)
        for key in ("point", "words", "value", "quality"):
            grid.add_column(WORDS[key].in_(lang))
        for name, words, reading, unit_name in rows:
            said = _quality(reading, lang)
            grid.add_row(name, words, number(reading.value, unit_name), said)
        console().print(grid)
        return FINE

    return on_line(where, lang, work)


def _quality(reading: Reading, lang: Lang) -> str:
    said = worded(QUALITIES, reading.quality.value, lang)
    return f"{said} ({reason_text(reading.reason).in_(lang)})" if reading.reason else said


Row = tuple[str, str, Reading, str]


def _point_document(name: str, words: str, reading: Reading, unit: str) -> dict[str, Any]:
    return {
        "point": name, "words": words, "value": reading.value, "unit": unit,
        "quality": reading.quality.value, "reason": reading.reason,
    }  # fmt: skip


async def _points_of(target: Target, where: Where, unit: int, family: Family) -> list[Row]:
    """Every point of the device; what it refuses to tell is told as that."""
    device = Device(
        "device", family.profile, "bus", unit, "", "", family.points,
        max_registers=family.max_registers, barriers=family.barriers,
    )  # fmt: skip
    rows: list[Row] = []
    async with opener(target)(where.line) as read_words:
        for block in plan_blocks(device, Bus("bus", target.bus.link)):
            try:
                words = await read_words(
                    unit, block.table, block.start, block.count, where.timeout_ms
                )
                readings = decode_block(block, words, 0)
            except DeviceRefused as refused:
                words, readings = [], decode_failure(block, refused, 0)
            pairs = zip(block.points, readings, strict=True)
            rows += [_row(block, point, reading, words) for point, reading in pairs]
    return rows


def _row(block: ReadBlock, point: Point, reading: Reading, words: Sequence[int]) -> Row:
    first = point.at - block.start
    own = words[first : first + (1 if block.table.is_bits else point.encoding.width)]
    return point.name, " ".join(f"{word:04X}" for word in own), reading, point.unit
