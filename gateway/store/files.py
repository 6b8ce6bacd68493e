"""One database file: opened with its pragmas, checked, migrated, set aside when it is damaged."""

import fcntl
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.store.versions import foreign_tables, is_latest, missing_tables, newer_than_us

CHECK_BUDGET_S = 0.1
CHECK_BYTES = 16 * 2**20  # a larger file may take seconds from a card: its records are read later
KEPT_BAD_FILES = 2
WAL_BYTES = 2 * 2**20  # a checkpoint writes a page once, however often the log has it
LOG_KEPT_BYTES = 4 * WAL_BYTES  # of a log that grew while somebody read: the rest goes back
CACHE_KB = 512  # of a connection: SQLite's own 2 MB fill within hours, and are hardly read again
BUSY_TIMEOUT_S = 5.0
FULL_BYTES = 2**20  # SQLite calls a disk without room for its index an I/O error
_COMPANIONS = ("-wal", "-shm", "-journal")
_UNREADABLE = frozenset({
    sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS,
    sqlite3.SQLITE_IOERR_DATA,
})  # fmt: skip


class StoreBusy(Exception):
    """Another daemon works on this directory."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"another care-gateway uses {folder}")
        self.folder = folder


class FileDamaged(Exception):
    """The file is no database, is cut off, or fails its check."""


@dataclass(frozen=True, slots=True)
class FileSpec:
    """`settle_after_s`: how long an ack may wait for a commit to ride with."""

    path: Path
    page_bytes: int
    max_bytes: int
    schema: str  # of `gateway.store.tables`: core or readings
    settle_after_s: float

    @property
    def name(self) -> str:
        return self.path.name


class DirectoryLock:
    """One daemon a directory: an flock that the kernel drops when the process ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._fd: int | None = None
        self._guard = threading.Lock()  # both writers may come at once, and flock is per open file

    def take(self) -> None:
        """Make the directory (0700) and lock it; StoreBusy, or OSError when it cannot be used."""
        with self._guard:
            if self._fd is None:
                self._fd = _locked(self._path)

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _locked(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _give_to_owner(fd, path.parent)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            raise StoreBusy(path.parent) from error
        raise
    return fd


def _give_to_owner(fd: int, directory: Path) -> None:
    """Let whose directory it is use it too: root may have been here before the daemon.

    Where root may not, in a container, or the disk knows no owners, the lock holds all the same.
    """
    owner = directory.stat()
    if os.geteuid() == 0 and os.fstat(fd).st_uid != owner.st_uid:
        with suppress(PermissionError):
            os.fchown(fd, owner.st_uid, owner.st_gid)


def open_file(spec: FileSpec, *, is_start: bool = False) -> tuple[sqlite3.Connection, bool]:
    """An open connection, and whether the whole file was checked.

    FileDamaged when the file has to be set aside, sqlite3.Error or OSError when it cannot be used.
    At the start a file that cannot be read twice running counts as damaged: one bad sector must
    not cost the whole disk.
    """
    is_new = not spec.path.exists()
    if not is_new and spec.path.stat().st_size == 0 and not _give_log_a_file(spec):
        raise FileDamaged("file is empty")
    if is_new and spec.path.with_name(f"{spec.name}-wal").exists():
        if not _give_log_a_file(spec):
            raise FileDamaged("file is gone, its log is there")
        is_new = False
    with _damage_told_apart():
        if is_new:
            return _made(spec)
        try:
            return _opened(spec, is_new=False)
        except sqlite3.OperationalError as error:
            if not (is_start and is_unreadable(error)):
                raise
        try:
            return _opened(spec, is_new=False)
        except sqlite3.OperationalError as error:
            if is_unreadable(error):
                raise FileDamaged(f"cannot be read: {error}") from error
            raise


def _give_log_a_file(spec: FileSpec) -> bool:
    """Of an empty file SQLite deletes the log; behind one page, whatever that holds, it is read.

    All is in the log until it is written back for the first time. False = there is none.
    """
    log = spec.path.with_name(f"{spec.name}-wal")
    if not log.is_file() or log.stat().st_size == 0:
        return False
    spec.path.write_bytes(bytes(spec.page_bytes))
    return True


def _made(spec: FileSpec) -> tuple[sqlite3.Connection, bool]:
    """A new file, or none at all.

    What is left of one that a full disk did not take would be found damaged at the next try and
    set aside, again and again, until no file that holds records is kept.
    """
    try:
        return _opened(spec, is_new=True)
    except BaseException:
        with suppress(OSError):
            _each(spec.path, Path.unlink)
        raise


def _opened(spec: FileSpec, *, is_new: bool) -> tuple[sqlite3.Connection, bool]:
    connection = connect(spec)
    try:
        is_checked = is_new or quick_check(connection, spec.path)
        if not is_latest(connection, spec.schema):
            foreign = foreign_tables(connection, spec.schema)
            if foreign:
                raise FileDamaged(f"not of this program: it has {', '.join(foreign[:3])}")
            # loads sqlite-utils, which the years of ordinary starts do without
            from gateway.store.tables import migrate  # noqa: PLC0415

            migrate(connection, spec.schema)
        missing = missing_tables(connection, spec.schema)
        if missing:
            raise FileDamaged(f"it lacks {', '.join(missing)}")
    except BaseException:
        connection.close()
        raise
    return connection, is_checked


@contextmanager
def _damage_told_apart() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:  # SQLite's message quotes what it found
        raise FileDamaged(f"text is bent: {error}") from error
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise FileDamaged(str(error)) from error
        raise


def connect(spec: FileSpec) -> sqlite3.Connection:
    """A connection in which every pragma is set.

    On a new file page_size and auto_vacuum count only when they come before WAL;
    max_page_count is a property of the connection, not of the file.
    """
    connection = sqlite3.connect(spec.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        set_pragmas(connection, spec)
    except BaseException:
        connection.close()
        raise
    return connection


def set_pragmas(connection: sqlite3.Connection, spec: FileSpec) -> None:
    for pragma in (
        f"page_size={spec.page_bytes}",
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        "cell_size_check=ON",
        "trusted_schema=OFF",
        "temp_store=MEMORY",
        f"cache_size=-{CACHE_KB}",
        f"journal_size_limit={LOG_KEPT_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count={spec.max_bytes // page_bytes}")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_BYTES // page_bytes}")


def quick_check(connection: sqlite3.Connection, path: Path) -> bool:
    """True when the file is sound, False when there was no time for its records; FileDamaged.

    The check of one table is not interruptible inside SQLite, so a large file's record table is
    left to the writer, which reads it in slices; the small tables are always checked.
    """
    is_whole = path.stat().st_size <= CHECK_BYTES
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'record'"
    names = [None] if is_whole else [name for (name,) in connection.execute(tables)]
    deadline = time.monotonic() + CHECK_BUDGET_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 1_000)
    try:
        for name in names:
            argument = "1" if name is None else f"'{name}'"
            ((verdict,), *_) = connection.execute(f"PRAGMA quick_check({argument})").fetchall()
            if verdict != "ok":
                raise FileDamaged(verdict)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        is_whole = False
    finally:
        connection.set_progress_handler(None, 0)
    return is_whole


def is_damage(error: BaseException) -> bool:
    """True for an error that says the file itself is bad, not the disk or the moment."""
    primary = _code(error) & 0xFF
    return isinstance(error, FileDamaged) or primary in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )


def is_unreadable(error: BaseException) -> bool:
    """True for an error of reading: a bad sector, perhaps; a card that takes no writes is none."""
    return _code(error) in _UNREADABLE


def why_unusable(spec: FileSpec, error: BaseException) -> str:
    """What an error of this file comes from, for who is to mend it; SQLite names no path."""
    newer = newer_than_us(spec.path, spec.schema)
    if newer:
        return f"{error}; a newer version of the program wrote {spec.path}: {', '.join(newer)}"
    if not isinstance(error, sqlite3.Error):
        return str(error)
    try:
        parts = [spec.path.with_name(f"{spec.name}{end}") for end in ("", *_COMPANIONS)]
        in_the_way = [part for part in parts if part.exists() and not part.is_file()]
        there = [part for part in parts if part.exists()]
        closed = [part for part in there or [spec.path.parent] if not os.access(part, os.W_OK)]
        disk = os.statvfs(spec.path.parent)
    except OSError as refusal:
        return f"{error}; {refusal}"
    if in_the_way:
        return f"{error}; {in_the_way[0]} is no file"
    if disk.f_bavail * disk.f_frsize < FULL_BYTES:
        return f"{error}; the disk of {spec.path.parent} is full"
    return f"{error}; {closed[0]} may not be written" if closed else str(error)


def is_full(error: BaseException) -> bool:
    return _code(error) & 0xFF == sqlite3.SQLITE_FULL


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0)


def set_aside(path: Path) -> Path:
    """Rename the file with its -wal and -shm to `.bad-N`, keep two; the new name.

    Of those before it the oldest go, first those that were read to their end or hold nothing.
    """
    numbers = _bad_numbers(path)
    bad = path.with_name(f"{path.name}.bad-{max(numbers, default=0) + 1}")
    old = [path.with_name(f"{path.name}.bad-{number}") for number in sorted(numbers)]
    old.sort(key=lambda each: not (_mark_of(each).exists() or _is_empty(each)))
    for each in old[: max(0, len(old) - KEPT_BAD_FILES + 1)]:
        _each(each, Path.unlink)
    _each(path, lambda part: part.rename(part.with_name(part.name.replace(path.name, bad.name, 1))))
    return bad


def _each(path: Path, do: Callable[[Path], object]) -> None:
    """The log before the file: a log left alone would be replayed into the next file."""
    for suffix in ("-shm", "-wal", "-salvaged", ""):
        with suppress(FileNotFoundError):
            do(path.with_name(f"{path.name}{suffix}"))


def _is_empty(path: Path) -> bool:
    parts = (path, path.with_name(f"{path.name}-wal"))
    return not any(part.exists() and part.stat().st_size for part in parts)


def _bad_numbers(path: Path) -> set[int]:
    form = re.compile(re.escape(path.name) + r"\.bad-(\d+)(-wal|-shm|-salvaged)?")
    found = (form.fullmatch(entry.name) for entry in path.parent.iterdir())
    return {int(match[1]) for match in found if match}


def number_of(bad: Path) -> int:
    """The N of a file that was set aside as `.bad-N`."""
    return int(bad.name.rpartition("-")[2])


def not_salvaged(path: Path) -> Path | None:
    """The newest file set aside from `path` that nobody has read to its end."""
    for number in sorted(_bad_numbers(path), reverse=True):
        bad = path.with_name(f"{path.name}.bad-{number}")
        if bad.exists() and not _mark_of(bad).exists():
            return bad
    return None


def mark_salvaged(bad: Path) -> None:
    _mark_of(bad).touch()


def _mark_of(bad: Path) -> Path:
    return bad.with_name(f"{bad.name}-salvaged")
