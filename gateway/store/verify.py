"""Check what a file says of its records against itself and against heads that are held off the box.

Reads only, beside a running daemon or without one.
"""

import json
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.domain.records import Lane
from gateway.store import chain, rows
from gateway.store.reader import epochs_of, open_reader
from gateway.store.rows import RowDamaged

_LINKS = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc, hash FROM record WHERE id BETWEEN ?1 AND ?2
UNION ALL
SELECT id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, hash FROM checkpoint
WHERE id BETWEEN ?1 AND ?2
ORDER BY id
"""
_SALVAGED = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc, hash FROM salvaged
WHERE id BETWEEN ? AND ? ORDER BY id
"""
_BEFORE = """
SELECT hash FROM (
  SELECT * FROM (SELECT id, hash FROM record WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1)
  UNION ALL SELECT * FROM
  (SELECT id, hash FROM checkpoint WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1)
  UNION ALL SELECT * FROM
  (SELECT id, hash FROM salvaged WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1)
) WHERE hash IS NOT NULL ORDER BY id DESC LIMIT 1
"""
_ROWS = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc FROM record
WHERE id BETWEEN ? AND ? ORDER BY id
"""
_COLUMNS = {"boot": 2, "mono": 3, "at": 4, "clk": 5, "err": 6}  # named as in the message


@dataclass(frozen=True, slots=True)
class BadRow:
    """`why`: `crc`, `column <name>`, `chain`, `not_chained` or `unknown_epoch`."""

    lane: Lane
    epoch: str
    seq: int
    why: str


@dataclass(slots=True)
class LaneReport:
    """What one lane of a file holds; `first_bad` is the oldest row that is not as written."""

    lane: Lane
    records: int = 0
    salvaged: int = 0
    unchained: int = 0  # of before the chain
    checkpoints: int = 0
    bad: int = 0
    first_bad: BadRow | None = None
    head: str = ""  # SHA-256 in hex; none on lane R
    head_seq: int = 0
    head_epoch: str = ""
    missing_heads: list[str] = field(default_factory=list)  # given ones that it never had

    @property
    def is_sound(self) -> bool:
        return self.bad == 0 and not self.missing_heads


def verify_core(path: Path, known_heads: Mapping[Lane, list[str]]) -> list[LaneReport]:
    """Lanes A and B: CRCs, columns against bodies, the chain, and heads as once told upstream.

    sqlite3.Error when the file cannot be read.
    """
    with open_reader(path) as connection:
        names = epochs_of(connection)
        return [_verify_lane(connection, lane, names, known_heads.get(lane, []))
                for lane in chain.LANES]  # fmt: skip


def verify_readings(path: Path) -> list[LaneReport]:
    """Lane R: CRCs and columns; it has no chain. sqlite3.Error when the file cannot be read."""
    report = LaneReport(Lane.R)
    with open_reader(path) as connection:
        names = epochs_of(connection)
        for row in connection.execute(_ROWS, chain.lane_ids(Lane.R)):
            report.records += 1
            _note(report, row[0], names, _wrong_by_itself(row, names))
        _verify_salvaged(connection, report, names)
    return [report]


def _verify_lane(
    connection: sqlite3.Connection, lane: Lane, names: Mapping[int, str], known: list[str]
) -> LaneReport:
    report = LaneReport(lane)
    wanted = {head.lower() for head in known}
    wanted.discard(chain.GENESIS.hex())
    before: bytes | None = None
    for row in connection.execute(_LINKS, chain.lane_ids(lane)):
        row_id, hash_ = row[0], row[9]
        if row[1] is None:
            report.checkpoints += 1
            before = hash_
        else:
            report.records += 1
            wrong = _wrong_by_itself(row[:9], names) or _wrong_link(row, before)
            _note(report, row_id, names, wrong)
            if hash_ is None and before is None:
                report.unchained += 1
            before = hash_ if isinstance(hash_, bytes) else before
        if isinstance(hash_, bytes):
            wanted.discard(hash_.hex())
            report.head = hash_.hex()
            report.head_seq = rows.position_of(row_id).seq
            report.head_epoch = names.get(rows.position_of(row_id).ordinal, "")
    wanted -= _verify_salvaged(connection, report, names)
    report.missing_heads = sorted(wanted)
    return report


def _wrong_link(row: tuple[Any, ...], before: bytes | None) -> str:
    """What is wrong with a row's hash after the hash before it; empty when nothing is."""
    if row[9] is None:
        return "" if before is None else "not_chained"
    start = chain.GENESIS if before is None else before
    return "" if chain.link(start, row[7]) == row[9] else "chain"


def _wrong_by_itself(row: tuple[Any, ...], names: Mapping[int, str]) -> str:
    """What is wrong with a row alone; empty when nothing is."""
    epoch = names.get(rows.position_of(row[0]).ordinal)
    if epoch is None:
        return "unknown_epoch"
    try:
        rows.from_row(row, epoch)
    except RowDamaged:
        return "crc"
    said = _message(row[7])
    if said.get("kind", row[1]) != row[1] and row[1] not in ("thin", "alarm"):
        return "column kind"
    for name, column in _COLUMNS.items():
        if name in said and said[name] != row[column]:
            return f"column {name}"
    return ""


def _message(body: bytes) -> dict[str, Any]:
    """The message in a body; empty when it is none that names its moment."""
    with suppress(zlib.error, ValueError):
        text = zlib.decompress(body) if body[:1] == b"\x78" else body
        said = json.loads(text)
        if isinstance(said, dict) and said.get("t") in ("alarm", "fact"):
            return said
    return {}


def _verify_salvaged(
    connection: sqlite3.Connection, report: LaneReport, names: Mapping[int, str]
) -> set[str]:
    """Check what came back from a damaged file; the hashes that tie on to the one before them."""
    proven: set[str] = set()
    for *row, hash_ in connection.execute(_SALVAGED, chain.lane_ids(report.lane)).fetchall():
        report.salvaged += 1
        _note(report, row[0], names, _wrong_by_itself(tuple(row), names))
        lo, _ = chain.lane_ids(report.lane)
        before = connection.execute(_BEFORE, (lo, row[0])).fetchone()
        if (
            hash_ is not None
            and chain.link(before[0] if before else chain.GENESIS, row[7]) == hash_
        ):
            proven.add(hash_.hex())
    return proven


def _note(report: LaneReport, row_id: int, names: Mapping[int, str], why: str) -> None:
    if not why:
        return
    report.bad += 1
    if report.first_bad is None:
        position = rows.position_of(row_id)
        epoch = names.get(position.ordinal, "")
        report.first_bad = BadRow(report.lane, epoch, position.seq, why)
