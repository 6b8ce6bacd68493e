"""A disk that loses what was not synced when the power goes, under a SQLite of its own.

apsw brings its own SQLite, so the store's statements run here unchanged on another library: the
ledger gets a connection that looks like sqlite3's. Files live in memory; a write that was not
synced is kept, dropped or torn by 512-byte sectors when the power is cut. After the method of
SQLite's own test6.c.
"""

import itertools
import random
from collections.abc import Iterable

import apsw

SECTOR = 512
_names = itertools.count()


class PowerCut(Exception):
    """The power is gone: nothing is read or written any more."""


class File:
    def __init__(self, durable: bytes = b"") -> None:
        self.live = bytearray(durable)
        self.durable = bytes(durable)
        self.pending: list[tuple[int, bytes | None]] = []  # offset and bytes; None = cut off here


class Disk:
    """Named files; the power goes at the `lasts`-th write or sync."""

    def __init__(self, files: dict[str, bytes] | None = None, lasts: int = 1 << 60) -> None:
        self.files = {name: File(data) for name, data in (files or {}).items()}
        self.left = lasts

    def use(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    def after_the_cut(self, source: random.Random) -> dict[str, bytes]:
        """What stands on the disk when the power is back."""
        return {name: _survives(file, source) for name, file in self.files.items()}


def _survives(file: File, source: random.Random) -> bytes:
    data = bytearray(file.durable)
    for offset, written in file.pending:
        if written is None:
            if source.random() < 0.5:
                del data[offset:]
            continue
        for at in range(0, len(written), SECTOR):
            fate = source.random()
            piece = written[at : at + SECTOR]
            if fate < 0.05:
                piece = piece[: source.randrange(len(piece))]  # torn
            if fate < 0.5:
                _put(data, offset + at, piece)
    return bytes(data)


def _put(data: bytearray, offset: int, piece: bytes) -> None:
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(piece)] = piece


class _OpenFile:
    """The methods SQLite calls of an open file."""

    def __init__(self, disk: Disk, file: File) -> None:
        self._disk, self._file = disk, file

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._file.live[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.use()
        _put(self._file.live, offset, data)
        self._file.pending.append((offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.use()
        del self._file.live[size:]
        self._file.pending.append((size, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.use()
        self._file.durable, self._file.pending = bytes(self._file.live), []

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.live)

    def xSectorSize(self) -> int:  # noqa: N802
        return SECTOR

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return 0

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xLock(self, level: int) -> None: ...  # noqa: N802
    def xUnlock(self, level: int) -> None: ...  # noqa: N802
    def xClose(self) -> None: ...  # noqa: N802


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name, flags):  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or f"tmp{id(self)}"
        return _OpenFile(self._disk, self._disk.files.setdefault(str(path), File()))

    def xDelete(self, path: str, syncdir: bool) -> None:  # noqa: N802
        self._disk.use()
        self._disk.files.pop(path, None)

    def xAccess(self, path: str, flags: int) -> bool:  # noqa: N802
        return path in self._disk.files

    def xFullPathname(self, path: str) -> str:  # noqa: N802
        return path


class _Rows:
    """What `execute` of sqlite3 gives, as far as the store uses it."""

    def __init__(self, cursor: apsw.Cursor, rowcount: int) -> None:
        self._cursor, self.rowcount = cursor, rowcount

    def __iter__(self):
        return iter(self._cursor)

    def fetchone(self):
        return next(iter(self._cursor), None)

    def fetchall(self):
        return list(self._cursor)


class Connection:
    """A file of the disk, opened; looks like a sqlite3.Connection to the store."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._vfs_name = f"power{next(_names)}"
        self._vfs = _Vfs(self._vfs_name, disk)
        self._apsw = apsw.Connection(name, vfs=self._vfs_name)
        self.execute("PRAGMA locking_mode=EXCLUSIVE")  # WAL without shared memory

    def execute(self, statement: str, values: Iterable[object] = ()) -> _Rows:
        cursor = self._apsw.cursor()
        cursor.execute(statement, tuple(values))
        return _Rows(cursor, self._apsw.changes())

    def executemany(self, statement: str, rows: Iterable[Iterable[object]]) -> None:
        self._apsw.cursor().executemany(statement, [tuple(row) for row in rows])

    def close(self) -> None:
        self._apsw.close(True)

    @property
    def in_transaction(self) -> bool:
        return self._apsw.in_transaction
