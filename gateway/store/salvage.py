"""Read sound records out of a file that SQLite cannot or must not read.

Pages are looked at one by one, without an index, the header or the order of things: whatever leaf
of a table can be taken apart gives its rows, and a row's CRC says whether it is what was written.
The log beside the file overlays it, frame by frame of its last run.

Source: SQLite, "Database File Format" 1.6 (b-tree pages), 2.1 (record format), 4.1 (WAL).
"""

import logging
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gateway.store import rows
from gateway.store.reader import open_reader
from gateway.store.rows import Row

log = logging.getLogger(__name__)

_TABLE_LEAF = 0x0D
_WAL_HEADER, _FRAME_HEADER = 32, 24
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # serial type -> bytes
_MAX_PAYLOAD = 4 * 2**20

Value = int | float | str | bytes | None
Found = tuple[str, Row, bytes | None, bool]  # epoch, row, hash, is it still to be sent


class _NoRow(Exception):
    """What was to be a row is none."""


@dataclass(slots=True)
class _Pages:
    """The pages of a file as its log last left them."""

    file: BinaryIO
    wal: BinaryIO | None
    page_bytes: int
    count: int
    frames: dict[int, int]  # page -> offset in the log

    def read(self, number: int) -> bytes:
        """Empty where the disk does not give it: a bad sector costs what stood there."""
        file, at = self.file, (number - 1) * self.page_bytes
        if number in self.frames and self.wal is not None:
            file, at = self.wal, self.frames[number]
        try:
            file.seek(at)
            return file.read(self.page_bytes)
        except OSError as error:
            log.warning("store salvage skips a page page=%d why=%s", number, error)
            return b""


def salvage(path: Path, page_bytes: int) -> Iterator[Found | None]:
    """The sound records of a damaged file, None now and then to let others work; OSError.

    Whether a record is still to be sent is told by the file where it can; else each one is:
    what the platform has already it knows by its number.
    """
    wal_path = path.with_name(f"{path.name}-wal")
    with path.open("rb") as file:
        wal = wal_path.open("rb") if wal_path.exists() else None
        try:
            pages = _pages_of(file, wal, page_bytes)
            epochs: dict[int, str] = {}
            for number in range(1, pages.count + 1):
                epochs |= _epochs_on(pages, number)
                if number % 64 == 0:
                    yield None
            pending = _pending(path)
            for number in range(1, pages.count + 1):
                for row_id, values in _rows_on(pages, number):
                    with suppress(_NoRow):
                        epoch, row, hash_ = _record_of(row_id, values, epochs)
                        yield epoch, row, hash_, pending is None or row_id in pending
                if number % 16 == 0:
                    yield None
        finally:
            if wal is not None:
                wal.close()


def _pages_of(file: BinaryIO, wal: BinaryIO | None, page_bytes: int) -> _Pages:
    size = file.seek(0, 2)
    frames = {} if wal is None else _frames(wal, page_bytes)
    count = max(size // page_bytes, max(frames, default=0))
    return _Pages(file, wal, page_bytes, count, frames)


def _frames(wal: BinaryIO, page_bytes: int) -> dict[int, int]:
    """Page -> offset of its newest frame that belongs to the log's last run."""
    header = wal.read(_WAL_HEADER)
    salt = header[16:24]
    frames: dict[int, int] = {}
    offset = _WAL_HEADER
    while len(frame := wal.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salt:
        page = int.from_bytes(frame[:4], "big")
        if 0 < page < 2**31:
            frames[page] = offset + _FRAME_HEADER
        offset += _FRAME_HEADER + page_bytes
        wal.seek(offset)
    return frames


def _epochs_on(pages: _Pages, number: int) -> dict[int, str]:
    """Rows of the table `epoch`: ordinal, epoch, boot, utc."""
    found = {}
    for row_id, values in _rows_on(pages, number, columns=4):
        match values:
            case [None, str(epoch), str(_), int(_)]:
                found[row_id] = epoch
    return found


def _pending(path: Path) -> frozenset[int] | None:
    """The ids that were still to be sent; None where that cannot be told."""
    try:
        with open_reader(path) as connection:
            ((verdict,), *_) = connection.execute("PRAGMA quick_check('pending')").fetchall()
            if verdict != "ok":
                return None
            return frozenset(row[0] for row in connection.execute("SELECT id FROM pending"))
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # its messages quote the file
        log.debug("store salvage sends all file=%s why=%s", path.name, error)
        return None


def _record_of(
    row_id: int, values: Sequence[Value], epochs: dict[int, str]
) -> tuple[str, Row, bytes | None]:
    match values:
        case [None, str(kind), str(boot), int(mono), int() | None as utc, str(clk),
              int() | None as err, bytes(body), int(crc), *rest]:  # fmt: skip
            if not 0 <= row_id < (len(rows.LANES) << 60):
                raise _NoRow
            lane, position = rows.lane_of(row_id), rows.position_of(row_id)
            epoch = epochs.get(position.ordinal, "")
            if rows.crc_of(lane, epoch, position.seq, body) != crc:
                epoch = _epoch_in(body)
                if rows.crc_of(lane, epoch, position.seq, body) != crc:
                    raise _NoRow
            hash_ = rest[0] if rest and isinstance(rest[0], bytes) else None
            return epoch, (row_id, kind, boot, mono, utc, clk, err, body, crc), hash_
        case _:
            raise _NoRow


def _epoch_in(body: bytes) -> str:
    """The epoch as the message itself names it, where the table of epochs is lost."""
    if body[:1] == b"\x78":
        with suppress(zlib.error):
            body = zlib.decompressobj().decompress(body, 4096)
    _, found, rest = body.partition(b'"ep":"')
    return rest.partition(b'"')[0].decode(errors="replace") if found else ""


def _rows_on(
    pages: _Pages, number: int, columns: int | None = None
) -> Iterator[tuple[int, list[Value]]]:
    """The rows of one leaf of a table; none when the page is something else."""
    page = pages.read(number)
    start = 100 if number == 1 else 0
    if len(page) < pages.page_bytes or page[start] != _TABLE_LEAF:
        return
    (count,) = struct.unpack_from(">H", page, start + 3)
    for index in range(count):
        try:
            (at,) = struct.unpack_from(">H", page, start + 8 + 2 * index)
            size, at = _varint(page, at)
            row_id, at = _varint(page, at)
            yield row_id, _values(_payload(pages, page, at, size), columns)
        except (_NoRow, IndexError, struct.error, UnicodeDecodeError):
            continue


def _payload(pages: _Pages, page: bytes, at: int, size: int) -> bytes:
    """A row's bytes, its overflow pages joined on."""
    usable = pages.page_bytes
    if not 0 < size <= _MAX_PAYLOAD:
        raise _NoRow
    if size <= usable - 35:
        return page[at : at + size]
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    local = local if local <= usable - 35 else least
    parts, left = [page[at : at + local]], size - local
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    while left > 0:
        if not 0 < following <= pages.count:
            raise _NoRow
        overflow = pages.read(following)
        parts.append(overflow[4 : 4 + left])
        left -= usable - 4
        following = int.from_bytes(overflow[:4], "big")
    return b"".join(parts)


def _values(payload: bytes, columns: int | None) -> list[Value]:
    end, at = _varint(payload, 0)
    types = []
    while at < end:
        serial, at = _varint(payload, at)
        types.append(serial)
    if columns is not None and len(types) != columns:
        raise _NoRow
    values = []
    for serial in types:
        value, at = _value(payload, at, serial)
        values.append(value)
    return values


def _value(payload: bytes, at: int, serial: int) -> tuple[Value, int]:
    if serial == 0:
        return None, at
    if serial in (8, 9):
        return serial - 8, at
    if serial == 7:
        return struct.unpack_from(">d", payload, at)[0], at + 8
    if serial in _INTEGERS:
        stop = at + _INTEGERS[serial]
        return int.from_bytes(payload[at:stop], "big", signed=True), stop
    if serial < 12:
        raise _NoRow
    stop = at + (serial - 12) // 2
    if stop > len(payload):
        raise _NoRow
    piece = payload[at:stop]
    return (piece.decode() if serial % 2 else piece), stop


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    value = value << 8 | data[at + 8]
    return (value - (1 << 64) if value >> 63 else value), at + 9
