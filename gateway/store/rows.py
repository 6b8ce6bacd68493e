"""Records as rows: one integer for lane, epoch and number, and a CRC that is checked on reading.

`id` = lane | epoch's ordinal | seq, so that ids rise in the order of sending within a lane over
all epochs, a range of numbers is a range of ids, and neither table needs a second index
(an index would more than double the bytes a commit writes).
"""

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Record

ROWS_AT_ONCE = 32
LANES = (Lane.A, Lane.B, Lane.R)
_SEQ_BITS = 36
_ORDINAL_BITS = 24
_LANE_AT = _SEQ_BITS + _ORDINAL_BITS
_CLOCKS = {clk.value: clk for clk in Clk}
MAX_SEQ = (1 << _SEQ_BITS) - 1
MAX_ORDINAL = (1 << _ORDINAL_BITS) - 1

Row = tuple[int, str, str, int, int | None, str, int | None, bytes, int]


class Position(NamedTuple):
    """Where a record stands in its lane: epochs in the order of their creation, then numbers."""

    ordinal: int
    seq: int


class RowDamaged(Exception):
    """A stored row that is not what was written."""


def id_of(lane: Lane, position: Position) -> int:
    """The row's id; ValueError when the number cannot be one."""
    ordinal, seq = position
    if not (0 <= seq <= MAX_SEQ and 0 <= ordinal <= MAX_ORDINAL):
        raise ValueError(f"no row can have ordinal {ordinal}, seq {seq}")
    return (LANES.index(lane) << _ORDINAL_BITS | ordinal) << _SEQ_BITS | seq


def lane_of(row_id: int) -> Lane:
    return LANES[row_id >> _LANE_AT]


def ordinal_of(row_id: int) -> int:
    return row_id >> _SEQ_BITS & MAX_ORDINAL


def position_of(row_id: int) -> Position:
    return Position(ordinal_of(row_id), row_id & MAX_SEQ)


def crc_of(lane: Lane, epoch: str, seq: int, body: bytes) -> int:
    """CRC-32 over what makes the record: its identity and its bytes."""
    return zlib.crc32(body, zlib.crc32(f"{lane}/{epoch}/{seq}/".encode()))


def insert(connection: sqlite3.Connection, into: str, found: Sequence[Sequence[Any]]) -> None:
    """Insert rows of one table a few dozen to a statement; `into` is all before VALUES.

    Each statement lets go of the interpreter lock three times, and beside a busy event loop every
    one of them waits a millisecond to get it back.
    """
    for at in range(0, len(found), ROWS_AT_ONCE):
        part = found[at : at + ROWS_AT_ONCE]
        one = f"({', '.join('?' * len(part[0]))})"
        values = ", ".join([one] * len(part))
        connection.execute(f"{into} VALUES {values}", [value for row in part for value in row])


def to_row(record: Record, ordinal: int) -> Row:
    """The columns of `record`; ValueError or TypeError when it is none that can be kept."""
    if not isinstance(record.body, bytes):
        raise TypeError(f"body of {record.lane} {record.seq} is {type(record.body).__name__}")
    at = record.at
    return (
        id_of(record.lane, Position(ordinal, record.seq)),
        record.kind,
        at.boot,
        at.mono_ms,
        at.utc_ms,
        at.clk.value,
        at.err_ms,
        record.body,
        crc_of(record.lane, record.epoch, record.seq, record.body),
    )


def from_row(row: Row, epoch: str | None) -> Record:
    """The record as it was written; RowDamaged when the row's bytes changed."""
    row_id, kind, boot, mono, utc, clk, err, body, crc = row
    lane, seq = LANES[row_id >> _LANE_AT], row_id & MAX_SEQ
    if epoch is None:
        raise RowDamaged(f"{lane} {seq}: epoch is not known")
    if not isinstance(body, bytes) or crc_of(lane, epoch, seq, body) != crc:
        raise RowDamaged(f"{lane} {epoch} {seq}: CRC differs")
    if clk not in _CLOCKS:
        raise RowDamaged(f"{lane} {epoch} {seq}: no clock is {clk!r}")
    return Record(lane, epoch, seq, kind, Now(mono, utc, _CLOCKS[clk], err, boot), body)
