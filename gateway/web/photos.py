"""Photos of visits, kept by the console under their SHA-256, which stands in the visit's record.

What nobody has vouched for yet lies apart, in little room: whoever fills it displaces no evidence.
"""

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

LARGEST = 8_000_000  # bytes of one photo
MOST_WAITING = 40_000_000
MOST_KEPT = 1_000_000_000
PIECE = 64 * 1024
SUFFIX = ".photo"


class NotKept(Exception):
    """Why a photo was not taken; the text is a key of the words."""


@dataclass(frozen=True, slots=True)
class Photos:
    """`folder` has `kept/` and `waiting/`; the oldest go when either is full. All of it blocks."""

    folder: Path
    most_waiting: int = MOST_WAITING
    most_kept: int = MOST_KEPT

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    @property
    def waiting(self) -> Path:
        return self.folder / "waiting"

    def take(self, photo: BinaryIO) -> str:
        """Copy a photo to where it waits, durably, and return its digest. Raises NotKept."""
        head = photo.read(PIECE)
        if not is_photo(head):
            raise NotKept("not_a_photo")
        try:
            return self._copy(head, photo)
        except OSError as error:
            log.warning("a photo was not kept why=%s", error)
            raise NotKept("no_photos") from error

    def _copy(self, head: bytes, photo: BinaryIO) -> str:
        self.waiting.mkdir(parents=True, exist_ok=True)
        digest, size, piece = hashlib.sha256(), 0, head
        with tempfile.NamedTemporaryFile(dir=self.waiting, delete=False) as copy:
            fresh = Path(copy.name)
            try:
                while piece:
                    size += len(piece)
                    if size > LARGEST:
                        raise NotKept("photo_too_big")
                    digest.update(piece)
                    copy.write(piece)
                    piece = photo.read(PIECE)
                copy.flush()
                os.fsync(copy.fileno())
                name = digest.hexdigest()
                fresh.rename(self.waiting / f"{name}{SUFFIX}")
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
        _make_room(self.waiting, self.most_waiting)
        return name

    def has(self, digest: str) -> bool:
        name = f"{digest}{SUFFIX}"
        return (self.waiting / name).exists() or (self.kept / name).exists()

    def keep(self, digest: str) -> bool:
        """A visit is about to name it: True when it waited. Raises OSError."""
        name = f"{digest}{SUFFIX}"
        self.kept.mkdir(parents=True, exist_ok=True)
        try:
            (self.waiting / name).rename(self.kept / name)
        except FileNotFoundError:  # it is there since an earlier try, or another visit
            return False
        _sync(self.kept)
        return True

    def let_wait(self, digest: str) -> None:
        """The visit that it was kept for was refused."""
        name = f"{digest}{SUFFIX}"
        with suppress(FileNotFoundError):
            (self.kept / name).rename(self.waiting / name)

    def make_room(self) -> None:
        _make_room(self.kept, self.most_kept)


def is_photo(head: bytes) -> bool:
    """JPEG, PNG, WebP, or HEIC as phones of today take them."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1"))
    )


def _make_room(folder: Path, most: int) -> None:
    """Remove the oldest until the rest is small enough."""
    found = sorted(
        ((stat.st_mtime, stat.st_size, path) for path, stat in _stats(folder)), reverse=True
    )
    size = 0
    for _, bytes_, path in found:
        size += bytes_
        if size > most:
            log.warning("an old photo made room file=%s", path.name)
            path.unlink(missing_ok=True)


def _stats(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append((path, path.stat()))
    return found


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
