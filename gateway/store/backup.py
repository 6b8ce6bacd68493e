"""Copy a file while it is in use, check a file, and put a copy back.

`VACUUM INTO` reads on a connection of its own: the writer and its commits do not wait for it.
"""

import os
import re
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.store.files import set_aside
from gateway.store.reader import open_reader
from gateway.store.versions import LATEST

KEPT = 7

_NAME = re.compile(r"core-\d{8}T\d{6}Z\.db")


class NoBackup(Exception):
    """The file is no copy of a core.db that this program can put back; says why."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What SQLite says of a file as a whole; `problems` is empty when it is sound."""

    name: str
    size: int
    problems: tuple[str, ...]
    set_aside: int  # damaged files that stand beside it


def back_up(source: Path, directory: Path, utc: datetime, keep: int = KEPT) -> Path:
    """Copy `source` into `directory` under a name with the UTC time; keep the newest `keep`.

    Complete and synced before it has its name. sqlite3.Error or OSError when that fails.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in directory.glob("core-*.part"):  # the power went while it was made
        left.unlink(missing_ok=True)
    target = directory / f"core-{utc.astimezone(UTC):%Y%m%dT%H%M%SZ}.db"
    part = target.with_suffix(".part")
    try:
        with open_reader(source) as connection:
            connection.execute("PRAGMA query_only=OFF")  # the copy is what is written
            connection.execute("VACUUM INTO ?", (str(part),))
        part.chmod(0o600)
        _sync(part)
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(directory)
    for old in _older(directory, target)[: 1 - max(1, keep) or None]:
        old.unlink()
    return target


def _older(directory: Path, newest: Path) -> list[Path]:
    """The copies besides the newest, oldest first.

    What is named after it was made by a clock that ran ahead: it goes before all others, or no
    copy would outlive the night in which it was made.
    """
    others = [path for path in backups(directory) if path != newest]
    return sorted(others, key=lambda path: (path.name < newest.name, path.name))


def backups(directory: Path) -> list[Path]:
    """The copies in a directory, oldest first."""
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


def restore(backup: Path, target: Path) -> Path | None:
    """Put a copy in place of `target`; what was there is set aside, and its name returned.

    The caller holds the directory's lock. What is in the file set aside and not in the copy comes
    back by itself: the next start salvages it. NoBackup, or OSError.
    """
    _must_be_backup(backup)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(backup, part)
    part.chmod(0o600)
    if target.parent.stat().st_uid != os.geteuid():  # root puts it back for the daemon's user
        owner = target.parent.stat()
        os.chown(part, owner.st_uid, owner.st_gid)
    _sync(part)
    had_file = target.exists()
    old = None
    if had_file or target.with_name(f"{target.name}-wal").exists():
        old = set_aside(target)  # a log left alone would be replayed into the copy
    part.rename(target)
    _sync(target.parent)
    return old if had_file else None


def check(path: Path) -> FileCheck:
    """Let SQLite look at every page of a file; sqlite3.Error when it cannot even be opened."""
    with open_reader(path) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
    beside = re.compile(re.escape(path.name) + r"\.bad-\d+")
    aside = sum(bool(beside.fullmatch(entry.name)) for entry in path.parent.iterdir())
    problems = tuple(text for text in found if text != "ok")
    return FileCheck(path.name, path.stat().st_size, problems, aside)


def _must_be_backup(path: Path) -> None:
    try:
        with open_reader(path) as connection:
            ((verdict,), *_) = connection.execute("PRAGMA quick_check(1)").fetchall()
            names = {row[0] for row in connection.execute(
                "SELECT name FROM _sqlite_migrations WHERE migration_set = 'core'")}  # fmt: skip
    except sqlite3.Error as error:
        raise NoBackup(str(error)) from error
    if verdict != "ok":
        raise NoBackup(str(verdict))
    if not names:
        raise NoBackup("no core.db")
    if newer := names - set(LATEST["core"]):
        raise NoBackup(f"made by a newer version: {', '.join(sorted(newer))}")


def _sync(path: Path) -> None:
    """What nobody synced comes back empty after a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
