"""Reading a file beside its writer: a connection of one's own, so no commit waits for it."""

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Range, Record
from gateway.store import rows
from gateway.store.history import SLOT_MS
from gateway.store.rows import Position, RowDamaged

log = logging.getLogger(__name__)

A_SLICE = 100  # rows at once: who reads slowly must not keep the log from being written back

_LAST = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc
FROM record WHERE id BETWEEN ?1 AND ?2 AND kind = ?3
UNION ALL
SELECT id, kind, boot, mono, utc, clk, err, body, crc
FROM salvaged WHERE id BETWEEN ?1 AND ?2 AND kind = ?3
ORDER BY id DESC
"""
_RETAINED = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc FROM record WHERE id BETWEEN ?1 AND ?2
UNION ALL
SELECT id, kind, boot, mono, utc, clk, err, body, crc FROM salvaged WHERE id BETWEEN ?1 AND ?2
ORDER BY id
"""
_ENTRIES = """
SELECT record.id AS id, kind, boot, mono, utc, clk, err, body, crc, hash, pending.id IS NULL
FROM record LEFT JOIN pending ON pending.id = record.id
WHERE record.id BETWEEN ?1 AND ?2 AND (?3 IS NULL OR kind = ?3)
UNION ALL
SELECT salvaged.id AS id, kind, boot, mono, utc, clk, err, body, crc, hash, pending.id IS NULL
FROM salvaged LEFT JOIN pending ON pending.id = salvaged.id
WHERE salvaged.id BETWEEN ?1 AND ?2 AND (?3 IS NULL OR kind = ?3)
ORDER BY id {order} LIMIT ?4
"""
_HISTORY = """
SELECT slot * 300000, least, mean, greatest, ms FROM history
WHERE point = (SELECT number FROM point WHERE id = ?) AND slot BETWEEN ? AND ? ORDER BY slot
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored record with what the file says of it; `is_sound`: its CRC fits."""

    record: Record
    is_settled: bool
    hash: bytes | None
    is_sound: bool


@dataclass(frozen=True, slots=True)
class FiveMinutes:
    """Of one point, from UTC `at_ms` on; `good_ms` of them it had a good value."""

    at_ms: int
    least: float
    mean: float
    greatest: float
    good_ms: int


@contextmanager
def open_reader(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write; sqlite3.Error when there is nothing to read."""
    how = "mode=ro&immutable=1" if _is_still(path) else "mode=ro"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)
    try:
        connection.execute("PRAGMA query_only=ON")
        yield connection
    finally:
        connection.close()


def _is_still(path: Path) -> bool:
    """True on a disk that takes no writes, for a file whose log was written back.

    SQLite would make a log beside it even to read, and give up.
    """
    try:
        is_read_only = bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
        wal = path.with_name(f"{path.name}-wal")
        return is_read_only and not (wal.exists() and wal.stat().st_size)
    except OSError:
        return False


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


def retained(path: Path, wanted: Range, limit: int, max_bytes: int) -> list[Record]:
    """The sound records of a range that the file still has, settled or not, lowest number first.

    At most `limit` and `max_bytes` of bodies, but one always, if there is one; none when
    unreadable.
    """
    found: list[Record] = []
    size = 0
    try:
        with open_reader(path) as connection:
            ordinals = {epoch: ordinal for ordinal, epoch in epochs_of(connection).items()}
            ordinal = ordinals.get(wanted.epoch)
            if ordinal is None or wanted.lo > min(wanted.hi, rows.MAX_SEQ):
                return []
            ids = [rows.id_of(wanted.lane, Position(ordinal, min(seq, rows.MAX_SEQ)))
                   for seq in (wanted.lo, wanted.hi)]  # fmt: skip
            for row in connection.execute(_RETAINED, ids):
                size += len(row[7])
                if len(found) >= limit or (found and size > max_bytes):
                    break
                try:
                    found.append(rows.from_row(row, wanted.epoch))
                except RowDamaged as error:  # the writer finds it too, and makes it a fault
                    log.debug("store reader skips a row why=%s", error)
    except sqlite3.Error as error:
        log.warning("store cannot be read beside its writer file=%s why=%s", path.name, error)
    return found


def entries(path: Path, lane: Lane, kind: str | None = None, *, last: int = 0) -> Iterator[Entry]:
    """The records of a lane, oldest first, also damaged ones; only the `last` ones, if not 0.

    With what came back from a damaged file. sqlite3.Error when the file cannot be read.
    """
    lo = rows.id_of(lane, Position(0, 0))
    hi = rows.id_of(lane, Position(rows.MAX_ORDINAL, rows.MAX_SEQ))
    order, count = ("DESC", last) if last else ("ASC", A_SLICE)
    select = _ENTRIES.format(order=order)
    with open_reader(path) as connection:
        while found := connection.execute(select, (lo, hi, kind, count)).fetchall():
            names = epochs_of(connection)
            yield from [_entry(row, names) for row in (found[::-1] if last else found)]
            if last:
                return
            lo = found[-1][0] + 1


def _entry(row: tuple[Any, ...], names: Mapping[int, str]) -> Entry:
    position = rows.position_of(row[0])
    epoch = names.get(position.ordinal, "")
    try:
        return Entry(rows.from_row(row[:9], epoch), bool(row[10]), row[9], is_sound=True)
    except RowDamaged:
        _, kind, boot, mono, utc, _, err, body, *_ = row
        at = Now(mono_ms=mono, utc_ms=utc, clk=Clk.NONE, err_ms=err, boot=boot)
        record = Record(rows.lane_of(row[0]), epoch, position.seq, kind, at, body)
        return Entry(record, bool(row[10]), row[9], is_sound=False)


def history(path: Path, point: str, since_ms: int, until_ms: int) -> list[FiveMinutes]:
    """What a chart of a point shows between two UTC moments; sqlite3.Error when unreadable."""
    slots = since_ms // SLOT_MS, until_ms // SLOT_MS
    with open_reader(path) as connection:
        return [FiveMinutes(*row) for row in connection.execute(_HISTORY, (point, *slots))]
