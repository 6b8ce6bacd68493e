"""The last minute of a point, kept while it is read: O(1) a reading, bounded, never changed.

Two generations of linked cells: readings are put before `recent`; when that is over a minute old it
becomes `older` and what was `older` is let go. So the last minute is always there, and never more
than two and a half. Only changes are cells: a value stands until the next one.
"""

from typing import NamedTuple

from gateway.domain.cases import Sample
from gateway.domain.readings import Reading

MINUTE_MS = 60_000
GENERATION_MS = 75_000  # so that the minute after a raise is still whole when it is taken late
SPACING_MS = 500  # two cells a second are enough for people to read
MAX_CELLS = 60_000  # of all points together: below 10 MB

Cell = tuple[Reading, "Cell | None"]


class Trail(NamedTuple):
    recent: Cell
    older: Cell | None
    began_ms: int


def spacing_ms(points: int) -> int:
    """How far apart cells are, so that this many points keep within `MAX_CELLS`."""
    return max(SPACING_MS, 2 * GENERATION_MS * points // MAX_CELLS)


def extended(trail: Trail | None, reading: Reading, spacing: int) -> Trail:
    """The trail with a reading put to it, if that says something new."""
    if trail is None:
        return Trail((reading, None), None, reading.mono_ms)
    recent, older, began_ms = trail
    last = recent[0]
    if reading.quality is last.quality and (
        reading.value == last.value or reading.mono_ms - last.mono_ms < spacing
    ):
        return trail
    if reading.mono_ms - began_ms >= GENERATION_MS:
        return Trail((reading, None), recent, reading.mono_ms)
    return Trail((reading, recent), older, began_ms)


def samples(trail: Trail | None, from_ms: int, to_ms: int, zero_ms: int) -> tuple[Sample, ...]:
    """What the point said between two moments, oldest first; the first is what stood at `from_ms`.

    Times are relative to `zero_ms`.
    """
    if trail is None:
        return ()
    found: list[Sample] = []
    for generation in (trail.recent, trail.older):
        cell: Cell | None = generation
        while cell is not None:
            reading, cell = cell
            if reading.mono_ms > to_ms:
                continue
            found.append(
                Sample(
                    max(reading.mono_ms, from_ms) - zero_ms,
                    reading.value,
                    reading.quality,
                    reading.reason,
                )
            )
            if reading.mono_ms <= from_ms:
                return tuple(reversed(found))
    return tuple(reversed(found))
