"""How full a file and its disk are, and who goes first to make room.

    >= 80 % of the size bound, or < 200 MB free: settled records go, oldest first
    >= 90 %, or < 100 MB: readings nobody has are thinned, once their gap is on record
    >= 95 %, or < 50 MB: the ballast goes; what is thinned already is dropped, gap first

Lanes A and B keep their newest 10,000 records unless nothing else makes room; what the platform
has not settled never goes. By number and size only, never by the clock.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from gateway.domain.records import Lane
from gateway.store import chain
from gateway.store.chain import lane_ids

KEPT_OF_A_LANE = 10_000
SPARE_BYTES = 2**20  # inside the file: with so much it does not grow on a disk that is tight
BALLAST_BYTES = 8 * 2**20
ROUNDS, A_ROUND = 16, 16  # of eviction in one commit
THINNED_AT_ONCE = 60  # batches: ten minutes at the usual pace

_SHARES = (0.80, 0.90, 0.95)
_FREE_BYTES = (200_000_000, 100_000_000, 50_000_000)

_SETTLED = """
SELECT record.id FROM record LEFT JOIN pending ON pending.id = record.id
WHERE pending.id IS NULL AND record.id BETWEEN ? AND ? ORDER BY record.id LIMIT ?
"""
_SALVAGED = """
SELECT salvaged.id FROM salvaged LEFT JOIN pending ON pending.id = salvaged.id
WHERE pending.id IS NULL ORDER BY salvaged.id LIMIT ?
"""
# one statement, as each lets go of the interpreter lock several times and has to get it back
_ROOM = (
    "SELECT max_page_count, page_count, freelist_count, page_size FROM pragma_max_page_count,"
    " pragma_page_count, pragma_freelist_count, pragma_page_size"
)
_OLDEST = """
SELECT pending.id, record.body FROM pending JOIN record ON record.id = pending.id
WHERE record.kind = ? AND pending.id BETWEEN ? AND ? ORDER BY pending.id LIMIT ?
"""


class Level(IntEnum):
    FINE = 0
    DROP = 1  # settled records go
    THIN = 2  # readings are thinned
    LAST = 3  # thinned readings are dropped


@dataclass(frozen=True, slots=True)
class Room:
    used_share: float  # of the file's bound
    spare_bytes: int  # free inside the file
    disk_bytes: int  # free on its disk

    @property
    def level(self) -> Level:
        by_share = sum(self.used_share >= share for share in _SHARES)
        by_disk = sum(self.disk_bytes < least for least in _FREE_BYTES)
        return Level(max(by_share, by_disk if self.spare_bytes < SPARE_BYTES else 0))


def measure(connection: sqlite3.Connection, disk_bytes: int) -> Room:
    most, pages, free, page_bytes = connection.execute(_ROOM).fetchone()
    return Room((pages - free) / most, free * page_bytes, disk_bytes)


def free_on_disk(directory: Path) -> int:
    """Bytes that this process may still write there; a great number when the disk cannot say."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return 1 << 62
    return found.f_bavail * found.f_frsize


def is_at_its_end(disk_bytes: int) -> bool:
    """True for a disk on which the ballast shall go."""
    return disk_bytes < _FREE_BYTES[-1]


def evict(connection: sqlite3.Connection, disk_bytes: int, *, is_full: bool) -> bool:
    """Drop settled records, oldest first, until there is room; in the caller's transaction.

    True when some went. `is_full`: a commit did not fit, so something has to go.
    """
    gone = False
    for _ in range(ROUNDS):
        if measure(connection, disk_bytes).level is Level.FINE and (gone or not is_full):
            break
        if not _evict_some(connection, is_full=is_full):
            break
        gone = True
    return gone


def _evict_some(connection: sqlite3.Connection, *, is_full: bool) -> bool:
    ids = [row[0] for row in connection.execute(_SALVAGED, (A_ROUND,))]
    if ids:
        connection.executemany("DELETE FROM salvaged WHERE id = ?", [(each,) for each in ids])
        return True
    for lane, lo, hi in _ranges(connection, is_full=is_full):
        ids = [row[0] for row in connection.execute(_SETTLED, (lo, hi, A_ROUND))]
        if ids and lane is Lane.R:
            connection.executemany("DELETE FROM record WHERE id = ?", [(each,) for each in ids])
            return True
        if ids:
            chain.evict(connection, ids)
            return True
    return False


def _ranges(connection: sqlite3.Connection, *, is_full: bool) -> Iterator[tuple[Lane, int, int]]:
    """Where to look for what may go, in this order."""
    yield Lane.R, *lane_ids(Lane.R)
    for lane in (Lane.B, Lane.A):
        lo, hi = lane_ids(lane)
        kept = connection.execute(
            "SELECT id FROM record WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1 OFFSET ?",
            (lo, hi, KEPT_OF_A_LANE),
        ).fetchone()
        if kept is not None:
            yield lane, lo, kept[0]
    if is_full:
        yield Lane.B, *lane_ids(Lane.B)
        yield Lane.A, *lane_ids(Lane.A)


def oldest_unsettled(connection: sqlite3.Connection, kind: str) -> list[tuple[int, bytes]]:
    """The oldest unsettled batches of a kind, all of one epoch: id and body."""
    lo, hi = lane_ids(Lane.R)
    found = connection.execute(_OLDEST, (kind, lo, hi, THINNED_AT_ONCE)).fetchall()
    return [row for row in found if row[0] >> 36 == found[0][0] >> 36]


class Ballast:
    """A file whose deletion gives a full disk a little air; made again when there is room."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ballast"

    def drop(self) -> bool:
        """True when there was one to delete."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def restore(self, disk_bytes: int) -> None:
        """Make it where there is plenty of room; a disk that refuses has worse to tell."""
        if disk_bytes < _FREE_BYTES[0] + 2 * BALLAST_BYTES or self._path.exists():
            return
        with suppress(OSError), self._path.open("xb") as file:
            self._path.chmod(0o600)
            os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
