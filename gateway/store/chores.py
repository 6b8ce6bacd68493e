"""What the writer does between commits, a few milliseconds at a time: check, salvage, make room."""

import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.domain.events import GapPlanned
from gateway.domain.records import Range
from gateway.store.checking import Checking
from gateway.store.files import FileSpec, mark_salvaged, not_salvaged
from gateway.store.ledger import Ledger
from gateway.store.relief import Relief
from gateway.store.room import Ballast, Level
from gateway.store.salvage import Found, salvage

log = logging.getLogger(__name__)

SALVAGE_EVERY_S = 0.05
SALVAGED_A_SLICE = 100
TIDY_EVERY_S = 60.0
LOOK_FOR_ROOM_S = 5.0  # between looks at what is full, while it is
VACUUM_ABOVE = 0.25  # of the file is free
VACUUM_LEAST_PAGES = 1_000
VACUUM_PAGES = 64


class Chores:
    """Used by the writer's thread, while a connection is open."""

    def __init__(self, spec: FileSpec, ledger: Ledger, ballast: Ballast) -> None:
        self._spec = spec
        self._ledger = ledger
        self._ballast = ballast
        self._checking = Checking()
        self._relief = Relief() if spec.schema == "readings" else None
        self._damaged: dict[int, str] = {}  # seen while room was made
        self._found: Iterator[Found | None] | None = None
        self._slice: list[Found] = []  # read and not taken in yet
        self._bad: Path | None = None
        self._salvaged = 0
        self._salvage_at = 0.0
        self._tidy_at = time.monotonic() + TIDY_EVERY_S
        self._room_at = float("inf")

    def begin(self, *, is_file_checked: bool) -> None:
        """At the start, once the file is open."""
        self._checking.begin(is_file_checked=is_file_checked)
        self.begin_salvage()

    def begin_salvage(self) -> None:
        """A file was set aside, now or in an earlier start that did not finish."""
        self._bad = not_salvaged(self._spec.path)
        self._salvaged, self._slice = 0, []
        self._found = None if self._bad is None else salvage(self._bad, self._spec.page_bytes)

    def due_at(self) -> float:
        """Monotonic second at which something is to be done."""
        if self._damaged:
            return 0.0
        salvage_at = float("inf") if self._found is None else self._salvage_at
        return min(self._checking.due_at(), salvage_at, self._tidy_at, self._room_at)

    def check(self, connection: sqlite3.Connection) -> dict[int, str]:
        """Id -> what is wrong, of the rows looked at now."""
        damaged, self._damaged = self._damaged, {}
        if time.monotonic() < self._checking.due_at():
            return damaged
        return damaged | self._checking.next_slice(connection, self._ledger.names)

    def make_room(
        self, connection: sqlite3.Connection, level: Level, permitted: set[Range]
    ) -> GapPlanned | None:
        """Thin or drop what is permitted; then what is to be recorded before the next step."""
        self._room_at = float("inf")
        if self._relief is None:
            return None
        if level >= Level.THIN:
            self._room_at = time.monotonic() + LOOK_FOR_ROOM_S
        self._damaged |= self._relief.carry_out(connection, self._ledger, permitted)
        return self._relief.plan(connection, self._ledger, level)

    def tidy(self, connection: sqlite3.Connection, disk_bytes: int) -> None:
        """Now and then: give back pages and memory that nobody needs, and lay in ballast."""
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + TIDY_EVERY_S
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if pages > VACUUM_LEAST_PAGES and free > VACUUM_ABOVE * pages:
            connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        connection.execute("PRAGMA shrink_memory")  # what was written once fills it for hours
        if self._relief is not None:  # not on the thread that people wait for
            self._ballast.restore(disk_bytes)

    def salvage(self, connection: sqlite3.Connection, level: Level) -> int | None:
        """Take in some rows of a file set aside; how many in all, when it is read to its end.

        What this file does not take now it is asked to take again. A file set aside that cannot
        be read at all is left for the next start.
        """
        if self._found is None or self._bad is None or time.monotonic() < self._salvage_at:
            return None
        self._salvage_at = time.monotonic() + SALVAGE_EVERY_S
        if level is not Level.FINE:
            log.warning("store salvage ends: no room file=%s rows=%d", self._bad.name,
                        self._salvaged)  # fmt: skip
            self._found = None
            return self._salvaged
        is_over = False
        try:
            while len(self._slice) < SALVAGED_A_SLICE and (each := next(self._found)) is not None:
                self._slice.append(each)
        except StopIteration:
            is_over = True
        except OSError as error:
            log.warning("store cannot salvage file=%s why=%s", self._bad.name, error)
            self._found = None
            return self._salvaged
        if self._slice:
            self._take_in(connection, self._slice)
            self._slice = []
        if not is_over:
            return None
        log.info("store salvaged file=%s rows=%d", self._bad.name, self._salvaged)
        salvaged = self._salvaged
        try:
            mark_salvaged(self._bad)
        except OSError as error:  # then the next start reads it once more: nothing is doubled
            log.warning("store cannot mark file=%s why=%s", self._bad.name, error)
            self._found = None
        else:
            self.begin_salvage()  # an older one, before whose end another damage came
        return salvaged

    def _take_in(self, connection: sqlite3.Connection, found: list[Found]) -> None:
        """What is no error of the disk would come again for ever: such a row is left alone."""
        try:
            self._salvaged += self._ledger.salvage(connection, found)
        except (ValueError, OverflowError, sqlite3.IntegrityError, sqlite3.ProgrammingError) as why:
            half = len(found) // 2
            if not half:
                log.warning("store salvage leaves a row why=%r", why)
                return
            self._take_in(connection, found[:half])  # sound ones stand beside it
            self._take_in(connection, found[half:])
