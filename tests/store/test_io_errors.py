"""The n-th error of the disk, for every n until none comes: nothing is lost, nothing is doubled.

Below SQLite: each write, sync and truncate of some commits fails once, in its file system. Above
it: each statement of the whole store (here every thirteenth) fails once, with every code that a
dying card gives.
"""

import itertools
import os
import shutil
import sqlite3

import pytest

pytest.importorskip("apsw")

import apsw

from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.records import Lane
from gateway.store import files
from tests.store.power import Connection, Disk
from tests.store.test_power_cut import _commit, _look, _lost, _new_disk, _open

COMMITS = 4
STEP = int(os.environ.get("IO_STEP", "13"))  # `scripts/soak io` takes every one
ALL = {"limit": 10_000, "max_bytes": 10**9}


class FailingDisk(Disk):
    """Its n-th write, sync or truncate fails once."""

    def __init__(self, content: dict[str, bytes], fails_at: int, error: type[Exception]) -> None:
        super().__init__(content)
        self._until, self._error = fails_at, error
        self.has_failed = False

    def use(self) -> None:
        self._until -= 1
        if self._until == 0:
            self.has_failed = True
            raise self._error("planted")


def _commit_all(disk: FailingDisk, schema: str) -> list[Exception]:
    """Commit by the writer's rule: what failed is tried once more, on a connection of its own."""
    errors: list[Exception] = []
    connection: Connection | None = None
    done = 0
    while done < COMMITS:
        try:
            if connection is None:
                connection, ledger = _open(disk, schema, "FULL")
                ledger.load(connection, is_start=not errors)
            _commit(connection, ledger, schema, done + 1)
            done += 1
        except apsw.Error as error:
            errors.append(error)
            assert len(errors) <= 2, errors  # a failing close may be told by the next one
            connection = None
    assert connection is not None
    return errors


# An error in a checkpoint is none of the commit before it: SQLite goes on, apsw can only warn.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
@pytest.mark.parametrize("schema", ["core", "readings"])
def test_every_write_of_a_commit_may_fail_once(schema, error):
    blank = _new_disk(schema)
    failed = 0
    for n in itertools.count(1):
        disk = FailingDisk(blank, n, error)
        errors = _commit_all(disk, schema)
        content = {name: bytes(file.live) for name, file in disk.files.items()}
        verdict, found = _look(content, schema)
        assert verdict == "ok", n
        assert _lost(found, schema, COMMITS) == 0, n
        lanes = 2 if schema == "core" else 1
        assert len(found) == lanes * COMMITS, "each once"
        if not disk.has_failed:
            break
        failed += bool(errors)
    assert n > 3 * COMMITS, "a commit writes, syncs and sometimes checkpoints"
    assert failed > COMMITS


FILES = ("core.db", "readings.db")
FAILING = {("store_failing", name) for name in FILES}
CODES = {
    "the disk fails": sqlite3.SQLITE_IOERR,
    "the disk is full": sqlite3.SQLITE_FULL,
    "the card is read-only": sqlite3.SQLITE_READONLY,
}


@pytest.mark.parametrize("why", CODES)
async def test_every_statement_of_the_store_may_fail_once(kit, monkeypatch, tmp_path, why):
    """The alarm is durable in the end, and known to whoever starts next."""
    blank = kit.directory
    async with kit.open("e0"):
        pass
    count = _Countdown(monkeypatch, CODES[why])
    for n in itertools.count(STEP // 2 + 1, STEP):
        kit.directory = tmp_path / str(n)
        shutil.copytree(blank, kit.directory)
        alarm = Alarm("a", AlarmState.UA, detail=str(n))
        count.left = n
        async with kit.open("e1") as (store, seen):
            store.submit(kit.outcome(kit.record(Lane.A, 1), alarms=(alarm,), batch=kit.batch(1)))
            await kit.until(lambda: len(seen.durable) == 2)
            await store.flush()
            has_failed = count.left <= 0
            count.left = 0
            await kit.until(lambda: set(seen.raised()) == set(seen.cleared()))
            assert set(seen.raised()) <= FAILING
        assert sorted((r.lane.value, r.seq) for r in seen.durable) == [("A", 1), ("R", 1)]
        async with kit.open("e2") as (store, seen):
            assert store.restored.alarms == (alarm,), n
            for lane in (Lane.A, Lane.R):
                assert [(r.epoch, r.seq) for r in await store.unsettled(lane, **ALL)] == [("e1", 1)]
            assert seen.faults == []
        if not has_failed:
            break
    assert n > 30, "there are as many statements"


class _Countdown:
    """Lets the n-th statement of all connections of the store fail; 0 = none."""

    def __init__(self, monkeypatch, code: int) -> None:
        self.left, self.code = 0, code
        real = sqlite3.connect

        class Failing(sqlite3.Connection):
            def execute(failing, *statement):  # noqa: N805
                self.count()
                return super().execute(*statement)

            def executemany(failing, *statement):  # noqa: N805
                self.count()
                return super().executemany(*statement)

        def connect(path, **options):
            return real(path, factory=Failing, **options)

        monkeypatch.setattr(files.sqlite3, "connect", connect)

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            error = sqlite3.OperationalError("planted")
            error.sqlite_errorcode = self.code
            raise error
