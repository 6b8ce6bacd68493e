"""Which type, order, scale and offset a register has, from its words and what the display shows.

Every combination that technicians meet is tried at every address of the window; those stay that
explain all samples. Where several stay, `needed` says which further sample would part them.
Pure: words and displays in, candidates out.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from math import isfinite

from gateway.domain.points import WordOrder, WordType

SCALES = tuple(Decimal(10) ** power for power in (0, -1, -2, -3, 3, 1, 2, -4, 4))  # usual first
OFFSETS = tuple(
    Decimal(text)
    for text in (
        "0",
        "-40",
        "-10",
        "-100",
        "-50",
        "-20",
        "-200",
        "-273.15",
        "-30",
        "10",
        "40",
        "50",
    )
)
FARTHEST = max(map(abs, OFFSETS))
LARGEST_FLOAT = 1e12  # what a display never shows
_WIDTHS = {
    WordType.UINT16: 1, WordType.INT16: 1, WordType.UINT32: 2, WordType.INT32: 2,
    WordType.FLOAT32: 2, WordType.UINT64: 4, WordType.INT64: 4, WordType.FLOAT64: 4,
}  # fmt: skip
_FORMATS = {
    WordType.UINT16: "H", WordType.INT16: "h", WordType.UINT32: "I", WordType.INT32: "i",
    WordType.FLOAT32: "f", WordType.UINT64: "Q", WordType.INT64: "q", WordType.FLOAT64: "d",
}  # fmt: skip
_FLOATS = (WordType.FLOAT32, WordType.FLOAT64)
_SIGNED = (WordType.INT16, WordType.INT32, WordType.INT64)


@dataclass(frozen=True, slots=True)
class Sample:
    """The registers from `start` on, and what the display showed at that moment.

    `shown` keeps its decimals: 230.20 is more than 230.2. A display may round or cut off, so a
    value may lie one of its last digits away.
    """

    start: int
    words: tuple[int, ...]
    shown: Decimal

    @property
    def tolerance(self) -> Decimal:
        exponent = self.shown.as_tuple().exponent
        return Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to read the register: value = raw * scale + offset."""

    at: int
    type: WordType
    order: WordOrder
    scale: Decimal
    offset: Decimal

    @property
    def width(self) -> int:
        return _WIDTHS[self.type]


@dataclass(frozen=True, slots=True)
class Needed:
    """The further sample that would part the candidates: any one of what is not None.

    `away_from`: a display at least `by` away from this one. `above`, `below`: beyond these.
    """

    away_from: Decimal | None = None
    by: Decimal = Decimal(0)
    above: Decimal | None = None
    below: Decimal | None = None

    def is_met(self, shown: Decimal) -> bool:
        if self.away_from is not None and abs(shown - self.away_from) >= self.by:
            return True
        if self.above is not None and shown > self.above:
            return True
        return self.below is not None and shown < self.below


@dataclass(frozen=True, slots=True)
class Solved:
    """The candidates that explain every sample, likeliest first; one: it is solved."""

    candidates: tuple[Candidate, ...]
    needed: Needed | None = None  # None when solved, or when nothing fits


def sample_of(start: int, words: Sequence[int], shown: str) -> Sample:
    """A sample from what was typed; ValueError when the display is no number."""
    try:
        number = Decimal(shown.strip().replace(",", "."))
    except InvalidOperation:
        raise ValueError(shown) from None
    if not number.is_finite():
        raise ValueError(shown)
    return Sample(start, tuple(words), number)


def solve(samples: Sequence[Sample]) -> Solved:
    """What explains all samples. They must have the same `start` and number of words."""
    if not samples:
        return Solved(())
    first, *others = samples
    found = [
        candidate
        for candidate in _explaining(first)
        if all(explains(candidate, other) for other in others)
    ]
    found.sort(key=_likelihood)
    candidates = tuple(found)
    return Solved(candidates, needed(candidates, samples) if len(candidates) > 1 else None)


def explains(candidate: Candidate, sample: Sample) -> bool:
    """True if this way to read the words gives what the display shows."""
    raw = raw_of(candidate, sample)
    if raw is None:
        return False
    return abs(raw * candidate.scale + candidate.offset - sample.shown) <= sample.tolerance


def raw_of(candidate: Candidate, sample: Sample) -> Decimal | None:
    """The number in the words; None where the window has none, or no number."""
    first = candidate.at - sample.start
    words = sample.words[first : first + candidate.width]
    if first < 0 or len(words) < candidate.width:
        return None
    return _raw(words, candidate.type, candidate.order)


def _raw(words: Sequence[int], kind: WordType, order: WordOrder) -> Decimal | None:
    if order in (WordOrder.LITTLE, WordOrder.LITTLE_SWAPPED):
        words = words[::-1]
    code = "<" if order in (WordOrder.BIG_SWAPPED, WordOrder.LITTLE_SWAPPED) else ">"
    data = struct.pack(f"{code}{len(words)}H", *words)
    number = struct.unpack(f">{_FORMATS[kind]}", data)[0]
    if kind not in _FLOATS:
        return Decimal(number)
    if not isfinite(number) or abs(number) > LARGEST_FLOAT or 0 < abs(number) < 1e-6:
        return None
    return Decimal(f"{number:.7g}" if kind is WordType.FLOAT32 else repr(number))


def _orders(width: int) -> tuple[WordOrder, ...]:
    return tuple(WordOrder) if width > 1 else (WordOrder.BIG, WordOrder.BIG_SWAPPED)


def _explaining(sample: Sample) -> Iterator[Candidate]:
    tolerance = sample.tolerance
    farthest = FARTHEST + tolerance
    for kind, width in _WIDTHS.items():
        for at in range(sample.start, sample.start + len(sample.words) - width + 1):
            words = sample.words[at - sample.start : at - sample.start + width]
            for order in _orders(width):
                raw = _raw(words, kind, order)
                if raw is None:
                    continue
                for scale in SCALES:
                    missing = sample.shown - raw * scale
                    if abs(missing) > farthest:
                        continue
                    for offset in _offsets(kind):
                        if abs(missing - offset) <= tolerance:
                            yield Candidate(at, kind, order, scale, offset)


def _offsets(kind: WordType) -> tuple[Decimal, ...]:
    """A device that sends fractions has no need of an offset."""
    return OFFSETS[:1] if kind in _FLOATS else OFFSETS


def _likelihood(candidate: Candidate) -> tuple[int, int, int, int, int]:
    """What is met more often comes first: no offset, plain order, a whole power near 1, narrow."""
    return (
        OFFSETS.index(candidate.offset),
        list(WordOrder).index(candidate.order),
        SCALES.index(candidate.scale),
        candidate.width if candidate.type not in _FLOATS else 0,
        candidate.at,
    )


def needed(candidates: Sequence[Candidate], samples: Sequence[Sample]) -> Needed:
    """The further sample that would part them.

    Candidates that read the same low word with the same scale differ only beyond what that word
    can hold, or below zero; all others as soon as the display has moved far enough.
    """
    if len({_low_word(candidate) for candidate in candidates}) == 1:
        return _beyond(candidates)
    last = samples[-1]
    return Needed(away_from=last.shown, by=_far_enough(candidates, last))


def _low_word(candidate: Candidate) -> tuple[object, ...]:
    """Where the least significant word is, and how it counts: equal for equal small values."""
    if candidate.type in _FLOATS:
        return (candidate.at, candidate.type, candidate.order, candidate.scale, candidate.offset)
    is_little = candidate.order in (WordOrder.LITTLE, WordOrder.LITTLE_SWAPPED)
    is_swapped = candidate.order in (WordOrder.BIG_SWAPPED, WordOrder.LITTLE_SWAPPED)
    at = candidate.at if is_little else candidate.at + candidate.width - 1
    return (at, "whole", is_swapped, candidate.scale, candidate.offset)


def _beyond(candidates: Sequence[Candidate]) -> Needed:
    """Above what the narrowest can show, or below zero where only some have a sign."""
    tops = {_top(candidate) for candidate in candidates}
    bottoms = {_bottom(candidate) for candidate in candidates}
    return Needed(
        above=min(tops) if len(tops) > 1 else None,
        below=max(bottoms) if len(bottoms) > 1 else None,
    )


def _top(candidate: Candidate) -> Decimal:
    bits = 16 * candidate.width - (candidate.type in _SIGNED)
    return ((1 << bits) - 1) * candidate.scale + candidate.offset


def _bottom(candidate: Candidate) -> Decimal:
    lowest = -(1 << (16 * candidate.width - 1)) if candidate.type in _SIGNED else 0
    return lowest * candidate.scale + candidate.offset


def _far_enough(candidates: Sequence[Candidate], last: Sample) -> Decimal:
    """How far the display must move so that no two scales or offsets explain it both.

    Two scales s and t of one register part by |t/s - 1| of the way that the display moved.
    """
    scales = sorted({candidate.scale for candidate in candidates})
    closest = min((1 - low / high for low, high in pairwise(scales)), default=Decimal(1))
    return max(4 * last.tolerance / closest, abs(last.shown) / 10)
