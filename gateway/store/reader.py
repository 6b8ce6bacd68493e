"""Reading a file beside its writer: a connection of one's own, so no commit waits for it."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.domain.records import Lane, Record
from gateway.store import rows
from gateway.store.rows import Position, RowDamaged

log = logging.getLogger(__name__)

_LAST = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc
FROM record WHERE id BETWEEN ? AND ? AND kind = ? ORDER BY id DESC
"""


@contextmanager
def open_reader(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write; sqlite3.Error when there is nothing to read."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("PRAGMA query_only=ON")
        yield connection
    finally:
        connection.close()


def epochs_of(connection: sqlite3.Connection) -> dict[int, str]:
    """Ordinal -> epoch."""
    return dict(connection.execute("SELECT ordinal, epoch FROM epoch ORDER BY ordinal"))


def last_of_kind(path: Path, lane: Lane, kind: str, count: int) -> list[Record]:
    """The newest `count` sound records of a kind on a lane, newest first; none when unreadable."""
    lo = rows.id_of(lane, Position(0, 0))
    hi = rows.id_of(lane, Position(rows.MAX_ORDINAL, rows.MAX_SEQ))
    found: list[Record] = []
    try:
        with open_reader(path) as connection:
            names = epochs_of(connection)
            for row in connection.execute(_LAST, (lo, hi, kind)):
                if len(found) >= count:
                    break
                try:
                    found.append(rows.from_row(row, names.get(rows.position_of(row[0]).ordinal)))
                except RowDamaged as error:  # the writer finds it too, and makes it a fault
                    log.debug("store reader skips a row why=%s", error)
    except sqlite3.Error as error:
        log.warning("store cannot be read beside its writer file=%s why=%s", path.name, error)
    return found
