"""Registers as a person looks at them: every type and word order side by side, and what changed."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from gateway.core.decode import shortest_float32
from gateway.domain.points import WordOrder, WordType

TYPES: Mapping[WordType, tuple[int, str]] = {
    WordType.UINT16: (1, "H"), WordType.INT16: (1, "h"),
    WordType.UINT32: (2, "I"), WordType.INT32: (2, "i"), WordType.FLOAT32: (2, "f"),
    WordType.UINT64: (4, "Q"), WordType.INT64: (4, "q"), WordType.FLOAT64: (4, "d"),
}  # fmt: skip
ORDERS = tuple(WordOrder)


@dataclass(frozen=True, slots=True)
class View:
    """One register and those behind it, as one type in each order; None where it is no number."""

    at: int
    type: WordType
    values: tuple[int | float | None, ...]  # in the order of ORDERS


def views_at(
    start: int, words: Sequence[int], at: int, types: Sequence[WordType] = tuple(TYPES)
) -> Iterator[View]:
    """Every view that begins at `at` and has all its words."""
    for kind in types:
        width, code = TYPES[kind]
        own = words[at - start : at - start + width]
        if len(own) == width:
            yield View(at, kind, tuple(number(own, code, order) for order in ORDERS))


def number(words: Sequence[int], code: str, order: WordOrder) -> int | float | None:
    """The number that these words are in this order; None for what no meter means."""
    if order in (WordOrder.LITTLE, WordOrder.LITTLE_SWAPPED):
        words = words[::-1]
    is_swapped = order in (WordOrder.BIG_SWAPPED, WordOrder.LITTLE_SWAPPED)
    data = struct.pack(f"{'<' if is_swapped else '>'}{len(words)}H", *words)
    value: int | float = struct.unpack(f">{code}", data)[0]
    if code not in "fd":
        return value
    if not isfinite(value):
        return None
    return shortest_float32(value) if code == "f" else value


def changed(start: int, before: Sequence[int] | None, after: Sequence[int]) -> frozenset[int]:
    """The addresses whose word is another one than before; none on the first look."""
    if before is None:
        return frozenset()
    pairs = enumerate(zip(before, after, strict=True), start)
    return frozenset(at for at, (old, new) in pairs if old != new)
