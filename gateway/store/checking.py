"""Read stored rows a few at a time and say which are not what was written."""

import sqlite3
import time

from gateway.store import rows
from gateway.store.rows import RowDamaged

CHECKED_AT_START = 100
CHECKED_A_SLICE = 200
CHECK_EVERY_S = 0.05  # between slices: the check must not compete with the people-first path

_NEWEST_BELOW = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc
FROM record WHERE id < ? AND id NOT IN (SELECT id FROM damaged) ORDER BY id DESC LIMIT ?
"""


class Checking:
    """Newest rows first: a hundred of a file that was checked whole, else all of them."""

    def __init__(self) -> None:
        self._below: int | None = None  # rows under this id are still to be checked
        self._left = 0
        self._at = 0.0

    def begin(self, *, is_file_checked: bool) -> None:
        self._below = (1 << 63) - 1
        self._left = CHECKED_AT_START if is_file_checked else 1 << 62

    def due_at(self) -> float:
        """Monotonic second of the next slice; inf when all is checked."""
        return float("inf") if self._below is None else self._at

    def next_slice(self, connection: sqlite3.Connection, names: dict[int, str]) -> dict[int, str]:
        """Check some rows; id -> what is wrong with it. sqlite3.Error when they cannot be read."""
        below = self._below
        if below is None:
            return {}
        count = min(CHECKED_A_SLICE, self._left)
        damaged: dict[int, str] = {}
        seen = 0
        for row in connection.execute(_NEWEST_BELOW, (below, count)):
            seen, below = seen + 1, row[0]
            try:
                rows.from_row(row, names.get(rows.position_of(row[0]).ordinal))
            except RowDamaged as error:
                damaged[row[0]] = str(error)
        self._at = time.monotonic() + CHECK_EVERY_S
        self._left -= seen
        self._below = below if seen == count and self._left > 0 else None
        return damaged
