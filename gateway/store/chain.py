"""The hash chain of lanes A and B: a record's hash covers its body and everything before it.

hash = SHA-256(hash of the record before it on its lane || body); the first record of an epoch goes
on from the last one of the epoch before, the very first from 32 zero bytes. Where records were
evicted a checkpoint keeps the id and hash of the last one that went, so what follows still ties on.
"""

import hashlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.domain.records import Lane
from gateway.store import rows
from gateway.store.rows import Position

GENESIS = bytes(32)
LANES = (Lane.A, Lane.B)

_NEWEST = "SELECT id, hash FROM {} WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
_NEEDLESS = """
DELETE FROM checkpoint WHERE id BETWEEN ?1 AND ?2 AND EXISTS (
  SELECT 1 FROM checkpoint AS later WHERE later.id > checkpoint.id AND later.id <= ?2
  AND NOT EXISTS (
    SELECT 1 FROM record WHERE record.id > checkpoint.id AND record.id < later.id))
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a lane: `id` of its record, or of the checkpoint that stands for it."""

    id: int
    hash: bytes


def link(previous: bytes, body: bytes) -> bytes:
    """The hash of a record after `previous`, 32 bytes."""
    return hashlib.sha256(previous + body).digest()


def read_heads(connection: sqlite3.Connection) -> dict[Lane, Head]:
    """The head of each lane that has one; rows of before the chain have none."""
    heads: dict[Lane, Head] = {}
    for lane in LANES:
        ids = lane_ids(lane)
        links = [connection.execute(_NEWEST.format(table), ids).fetchone()
                 for table in ("record", "checkpoint")]  # fmt: skip
        known = [Head(*found) for found in links if found and isinstance(found[1], bytes)]
        if known:
            heads[lane] = max(known, key=lambda head: head.id)
    return heads


def lane_ids(lane: Lane) -> tuple[int, int]:
    """Least and greatest id that a record of the lane can have."""
    last = Position(rows.MAX_ORDINAL, rows.MAX_SEQ)
    return rows.id_of(lane, Position(0, 0)), rows.id_of(lane, last)


def evict(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Delete records, with a checkpoint at the last of each run; in the caller's transaction."""
    one_each = [(row_id,) for row_id in ids]
    connection.executemany(
        "INSERT OR REPLACE INTO checkpoint (id, hash, why)"
        " SELECT id, hash, 'evicted' FROM record WHERE id = ? AND hash IS NOT NULL",
        one_each,
    )
    connection.executemany("DELETE FROM record WHERE id = ?", one_each)
    for lane in LANES:
        connection.execute(_NEEDLESS, lane_ids(lane))


def go_on_from(connection: sqlite3.Connection, heads: dict[Lane, Head]) -> None:
    """In a file begun anew: let the chain go on where the one before it ended."""
    connection.executemany(
        "INSERT OR IGNORE INTO checkpoint (id, hash, why) VALUES (?, ?, 'file begun anew')",
        [(head.id, head.hash) for head in heads.values()],
    )
