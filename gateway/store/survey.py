"""What the files say of a time, read beside their writer: records, their ends, what is kept.

Every function opens the file for itself and raises sqlite3.Error when it cannot be read.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.messages import unpack
from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Record
from gateway.store import chain, rows
from gateway.store.reader import epochs_of, open_reader
from gateway.store.remembered import Remembered, Restored
from gateway.store.rows import Position, RowDamaged

CORE, READINGS = "core.db", "readings.db"
FILES = {Lane.A: CORE, Lane.B: CORE, Lane.R: READINGS}

_SINCE = """
SELECT * FROM (
  SELECT id, kind, boot, mono, utc, clk, err, body, crc FROM record WHERE id BETWEEN ?1 AND ?2
  UNION ALL
  SELECT id, kind, boot, mono, utc, clk, err, body, crc FROM salvaged WHERE id BETWEEN ?1 AND ?2
)
WHERE utc IS NULL OR utc >= ?3 OR clk IN ('est', 'none')
  OR kind IN (SELECT value FROM json_each(?4))
ORDER BY id
"""
_ANCHORS = """
SELECT id, boot, body FROM record WHERE kind = 'anchor' AND id BETWEEN ?1 AND ?2
UNION ALL
SELECT id, boot, body FROM salvaged WHERE kind = 'anchor' AND id BETWEEN ?1 AND ?2
ORDER BY id
"""
_COUNT = """
SELECT count(*), count(pending.id) FROM {0} LEFT JOIN pending ON pending.id = {0}.id
WHERE {0}.id BETWEEN ? AND ? AND utc >= ? AND utc < ?
"""
_EDGE = """
SELECT boot, mono, utc, clk, err FROM record WHERE id BETWEEN ? AND ? ORDER BY id {} LIMIT 1
"""
_CLEARED = "SELECT 1 FROM checkpoint WHERE id BETWEEN ? AND ? LIMIT 1"


@dataclass(frozen=True, slots=True)
class LaneCount:
    """Records of a lane within a time, and how many of them the platform has not settled."""

    records: int
    unsettled: int


def records_since(
    directory: Path, lane: Lane, since_ms: int, lasting: frozenset[str]
) -> Iterator[Record | None]:
    """Lane A or B from UTC `since_ms` on, in its order, with those of `lasting` kinds of any time.

    Also what was written on a clock that was not sure. None stands for a damaged record.
    """
    with open_reader(directory / CORE) as connection:
        names = epochs_of(connection)
        asked = (*chain.lane_ids(lane), since_ms, json.dumps(sorted(lasting)))
        for row in connection.execute(_SINCE, asked):
            try:
                yield rows.from_row(row, names.get(rows.position_of(row[0]).ordinal))
            except RowDamaged:
                yield None


def anchors(directory: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """(boot, data) of every anchor, oldest first; one that is damaged is left out."""
    found = []
    with open_reader(directory / CORE) as connection:
        for _, boot, body in connection.execute(_ANCHORS, chain.lane_ids(Lane.B)):
            with suppress(ValueError, KeyError):
                found.append((boot, json.loads(unpack(body))["data"]))
    return found


def count_between(directory: Path, begin_ms: int, end_ms: int) -> dict[Lane, LaneCount]:
    """How many records each lane has of a time, by the clock they were written with."""
    found = {}
    for lane, name in FILES.items():
        if not (directory / name).exists() and lane is Lane.R:
            continue
        with open_reader(directory / name) as connection:
            asked = (rows.id_of(lane, Position(0, 0)), _last_id(lane), begin_ms, end_ms)
            counts = [connection.execute(_COUNT.format(table), asked).fetchone()
                      for table in ("record", "salvaged")]  # fmt: skip
            found[lane] = LaneCount(*map(sum, zip(*counts, strict=True)))
    return found


def last_signs(directory: Path) -> dict[str, Now]:
    """The moment of the last record of each epoch, on whatever lane it is."""
    found: dict[str, Now] = {}
    for lane, name in FILES.items():
        if not (directory / name).exists() and lane is Lane.R:
            continue
        with open_reader(directory / name) as connection:
            for ordinal, epoch in epochs_of(connection).items():
                last = _edge(connection, lane, ordinal, "DESC")
                if last is not None and _is_later(last, found.get(epoch)):
                    found[epoch] = last
    return found


def ends(directory: Path) -> list[tuple[Lane, str, str]]:
    """Lane, id of its newest record (`<epoch>-<lane>-<seq>`) and the head of its chain, in hex."""
    with open_reader(directory / CORE) as connection:
        names = epochs_of(connection)
        heads = chain.read_heads(connection)
    return [
        (lane, f"{names.get(at.ordinal, '?')}-{lane.value}-{at.seq}", head.hash.hex())
        for lane, head in heads.items()
        for at in [rows.position_of(head.id)]
    ]


def oldest(directory: Path) -> tuple[Now | None, Now | None]:
    """The moment of the oldest record of lanes A and B; and that from which on both are whole.

    The second is None where nothing was ever cleared away.
    """
    found, whole = [], []
    with open_reader(directory / CORE) as connection:
        for lane in chain.LANES:
            ids = chain.lane_ids(lane)
            row = connection.execute(_EDGE.format("ASC"), ids).fetchone()
            if row is not None:
                found.append(_moment(row))
                if connection.execute(_CLEARED, ids).fetchone() is not None:
                    whole.append(_moment(row))
    first = min(found, key=lambda at: at.utc_ms or 0, default=None)
    return first, max(whole, key=lambda at: at.utc_ms or 0, default=None)


def remembered(directory: Path) -> Restored:
    """Open alarms and what is kept, as the daemon would find them at a start."""
    with open_reader(directory / CORE) as connection:
        there = Remembered()
        there.load(connection, is_start=True)
        return there.restored


def _edge(connection: sqlite3.Connection, lane: Lane, ordinal: int, order: str) -> Now | None:
    ids = tuple(rows.id_of(lane, Position(ordinal, seq)) for seq in (0, rows.MAX_SEQ))
    row = connection.execute(_EDGE.format(order), ids).fetchone()
    return None if row is None else _moment(row)


def _moment(row: tuple[str, int, int | None, str, int | None]) -> Now:
    boot, mono, utc, clk, err = row
    return Now(mono, utc, Clk(clk) if clk in set(Clk) else Clk.NONE, err, boot)


def _is_later(at: Now, before: Now | None) -> bool:
    if before is None:
        return True
    if at.boot == before.boot:
        return at.mono_ms > before.mono_ms
    return (at.utc_ms or 0) > (before.utc_ms or 0)


def _last_id(lane: Lane) -> int:
    return rows.id_of(lane, Position(rows.MAX_ORDINAL, rows.MAX_SEQ))
