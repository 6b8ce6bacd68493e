"""Why a database cannot be read or written, in words that help."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from gateway.domain.system_errors import why
from gateway.domain.text import Lang

NO_ROOM_BYTES = 64 << 10  # SQLite needs that for the smallest of its works


def free_bytes(path: Path) -> int:
    """What is left on the disk of a file or folder."""
    disk = os.statvfs(path if path.exists() else path.parent)
    return disk.f_bavail * disk.f_frsize


def unread(
    path: Path, error: Exception, lang: Lang, *, free: Callable[[Path], int] = free_bytes
) -> str:
    """The reason: of SQLite's `unable to open` the one that the system gives for the file."""
    refused = None
    if not isinstance(error, OSError):
        refused = _refusal(path) or no_room(path, error, free=free)
    return why(refused or error).in_(lang)


def is_unread(path: Path) -> bool:
    """Whether the system gives this user nothing of the file: then nothing is known of it."""
    return _refusal(path) is not None


def no_room(
    path: Path, error: Exception, *, free: Callable[[Path], int] = free_bytes
) -> OSError | None:
    """A disk without room, which SQLite calls an I/O error; None where that is not the reason."""
    if str(error) not in ("disk I/O error", "unable to open database file"):
        return None
    try:
        return OSError(errno.ENOSPC, "full") if free(path) < NO_ROOM_BYTES else None
    except OSError:
        return None


def _refusal(path: Path) -> OSError | None:
    """What the system says when the file is opened; None when it may be read."""
    try:
        path.open("rb").close()
    except OSError as refused:
        return refused
    return None
