"""Five minutes of a point as three numbers, for charts: least, mean and greatest.

Made by the writer's thread from the batches it commits. A batch holds what changed by more than
the deadband and a heartbeat, so a value is taken to hold until the next one: the mean is over
time, and all three are right to within the deadband.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.domain.moments import Clk
from gateway.domain.readings import Quality
from gateway.domain.records import Batch

SLOT_MS = 300_000
HOLDS_MS = 120_000  # a value is believed for so long: two heartbeats
MAX_ROWS = 400_000
TRIM_EVERY = 288  # slots: a day

_UPSERT = """
INSERT INTO history (slot, point, least, mean, greatest, ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (slot, point) DO UPDATE SET
  least = min(least, excluded.least), greatest = max(greatest, excluded.greatest),
  mean = (mean * ms + excluded.mean * excluded.ms) / max(1, ms + excluded.ms),
  ms = min(300000, ms + excluded.ms)
"""
Row = tuple[int, str, float, float, float, int]  # slot, point, least, mean, greatest, ms


@dataclass(slots=True)
class _Slot:
    """The five minutes of one point that run; `value` holds since `since` (UTC ms)."""

    number: int
    since: int
    value: float | None
    least: float = 0.0
    greatest: float = 0.0
    total: float = 0.0  # value x ms
    ms: int = 0
    is_empty: bool = True


class History:
    """Used by one thread: `add` what is committed, `take` what is over, `put_back` on failure."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        self._done: list[Row] = []
        self._numbers: dict[str, int] = {}  # of points that the file surely has
        self._fresh: dict[str, int] = {}
        self._until_trim = 0

    def add(self, batch: Batch) -> None:
        """Take in the readings of a batch that is durable; without a clock there is no chart.

        Where the clock was set back, the value goes on at the earlier time.
        """
        if batch.at.utc_ms is None or batch.at.clk is Clk.NONE:
            return
        to_utc = batch.at.utc_ms - batch.at.mono_ms
        slots = self._slots
        for reading in batch.readings:
            value = reading.value
            at = reading.mono_ms + to_utc
            is_good = reading.quality is Quality.GOOD and isinstance(value, int | float)
            slot = slots.get(reading.point)
            if slot is None:
                slot = slots[reading.point] = _Slot(at // SLOT_MS, at, None)
            if at + HOLDS_MS < slot.since:
                self._close(reading.point, slot, at // SLOT_MS)
                slot.since, slot.value = at, None
            if slot.value is not None:
                self._hold(reading.point, slot, at)
            elif at // SLOT_MS > slot.number:
                self._close(reading.point, slot, at // SLOT_MS)
            if at >= slot.since:
                slot.since = at
                slot.value = float(value) if is_good else None  # type: ignore[arg-type]
                if slot.value is not None:
                    _see(slot, slot.value)

    def _hold(self, point: str, slot: _Slot, at: int) -> None:
        """The value held until `at`, or as long as it may be believed."""
        value = slot.value
        end = min(at, slot.since + HOLDS_MS)
        while value is not None and slot.since < end:
            stop = min(end, (slot.number + 1) * SLOT_MS)
            _see(slot, value)
            slot.total += value * (stop - slot.since)
            slot.ms += stop - slot.since
            slot.since = stop
            if stop == (slot.number + 1) * SLOT_MS:
                self._close(point, slot, slot.number + 1)
        if at // SLOT_MS > slot.number:
            self._close(point, slot, at // SLOT_MS)

    def _close(self, point: str, slot: _Slot, number: int) -> None:
        if not slot.is_empty:
            mean = slot.total / slot.ms if slot.ms else (slot.least + slot.greatest) / 2
            self._done.append((slot.number, point, slot.least, mean, slot.greatest, slot.ms))
        slot.number, slot.total, slot.ms, slot.is_empty = number, 0.0, 0, True

    def close_all(self) -> None:
        """At the end: also what still runs; after a restart it is joined by the rest."""
        for point, slot in self._slots.items():
            self._close(point, slot, slot.number)
            slot.value = None

    @property
    def has_rows(self) -> bool:
        return bool(self._done)

    def write(self, connection: sqlite3.Connection) -> int:
        """Write what is over within the caller's transaction; how many, for `confirm`."""
        self._fresh = {}
        rows = [(row[0], self._number(connection, row[1]), *row[2:]) for row in self._done]
        connection.executemany(_UPSERT, rows)
        if rows and self._until_trim <= 0:
            self._trim(connection)
            self._until_trim = TRIM_EVERY
        return len(rows)

    def confirm(self, count: int) -> None:
        """What `write` wrote is durable."""
        self._numbers.update(self._fresh)
        self._until_trim -= len({row[0] for row in self._done[:count]})
        del self._done[:count]

    def _number(self, connection: sqlite3.Connection, point: str) -> int:
        if (known := self._numbers.get(point)) is not None:
            return known
        connection.execute("INSERT OR IGNORE INTO point (id) VALUES (?)", (point,))
        found = connection.execute("SELECT number FROM point WHERE id = ?", (point,)).fetchone()
        self._fresh[point] = int(found[0])
        return self._fresh[point]

    def learn(self, pairs: Iterable[tuple[str, int]]) -> None:
        """The numbers that an opened file gives its points."""
        self._numbers = dict(pairs)

    def _trim(self, connection: sqlite3.Connection) -> None:
        """Let the oldest slots go when there are too many rows, whatever the clock says."""
        (count,) = connection.execute("SELECT count(*) FROM history").fetchone()
        if count > MAX_ROWS:
            (first,) = connection.execute(
                "SELECT slot FROM history ORDER BY slot LIMIT 1 OFFSET ?", (count - MAX_ROWS,)
            ).fetchone()
            connection.execute("DELETE FROM history WHERE slot < ?", (first,))


def _see(slot: _Slot, value: float) -> None:
    if slot.is_empty:
        slot.least = slot.greatest = value
        slot.is_empty = False
    elif value < slot.least:
        slot.least = value
    elif value > slot.greatest:
        slot.greatest = value
