import contextlib
import errno
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.store import files
from gateway.store.files import (
    DirectoryLock,
    FileDamaged,
    FileSpec,
    StoreBusy,
    connect,
    mark_salvaged,
    not_salvaged,
    open_file,
    set_aside,
    why_unusable,
)


@pytest.fixture
def spec(tmp_path: Path) -> FileSpec:
    return FileSpec(tmp_path / "core.db", 1024, 2**20, "core", 1.0)


def test_every_open_has_every_pragma(spec: FileSpec):
    for _ in range(2):  # some are kept by the file, some must be said again
        connection, is_checked = open_file(spec)
        said = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (
                "page_size", "auto_vacuum", "journal_mode", "synchronous", "max_page_count",
                "wal_autocheckpoint", "cell_size_check", "trusted_schema", "busy_timeout",
                "journal_size_limit",
            )
        }  # fmt: skip
        connection.close()
        assert is_checked
        assert said == {
            "page_size": 1024, "auto_vacuum": 2, "journal_mode": "wal", "synchronous": 2,
            "max_page_count": 1024, "wal_autocheckpoint": 2048, "cell_size_check": 1,
            "trusted_schema": 0, "busy_timeout": 5000, "journal_size_limit": 8 * 2**20,
        }  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"this is a text\n" * 200, bytes(8192)])
def test_what_is_no_database_is_damaged(spec: FileSpec, content: bytes):
    spec.path.write_bytes(content)
    with pytest.raises(FileDamaged):
        open_file(spec)


def test_a_file_cut_off_is_damaged(spec: FileSpec):
    _fill(spec)
    spec.path.write_bytes(spec.path.read_bytes()[: spec.path.stat().st_size // 2])
    with pytest.raises(FileDamaged):
        open_file(spec)


def test_a_bent_page_is_damaged(spec: FileSpec):
    _fill(spec)
    content = bytearray(spec.path.read_bytes())
    middle = len(content) // 2 // 1024 * 1024
    content[middle : middle + 512] = b"\xa5" * 512
    spec.path.write_bytes(content)
    with pytest.raises(FileDamaged):
        open_file(spec)


def test_a_log_without_its_file_is_damaged(spec: FileSpec):
    spec.path.with_name("core.db-wal").write_bytes(b"left over")
    with pytest.raises(FileDamaged):
        open_file(spec)


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_file_that_is_gone_or_empty_comes_back_out_of_its_log(spec: FileSpec, tmp_path, is_gone):
    connection, _ = open_file(spec)
    connection.execute("INSERT INTO epoch VALUES (1, 'e1', 'b', 0)")
    log = (tmp_path / "core.db-wal").read_bytes()  # as a kill leaves it
    connection.close()
    spec.path.unlink() if is_gone else spec.path.write_bytes(b"")
    (tmp_path / "core.db-wal").write_bytes(log)
    connection, is_checked = open_file(spec)
    assert is_checked
    assert connection.execute("SELECT epoch FROM epoch").fetchall() == [("e1",)]
    connection.close()


def test_a_file_whose_log_does_not_begin_at_its_beginning_is_damaged(spec: FileSpec, tmp_path):
    connection, _ = open_file(spec)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO epoch VALUES (1, 'an epoch', 'b', 0)")
    log = (tmp_path / "core.db-wal").read_bytes()
    connection.close()
    spec.path.unlink()
    (tmp_path / "core.db-wal").write_bytes(log)
    with pytest.raises(FileDamaged):
        open_file(spec)
    left = [part.read_bytes() for part in tmp_path.glob("core.db*")]
    assert any(b"an epoch" in each for each in left), "for the salvage"


@pytest.mark.parametrize("table", ["record (a TEXT, b TEXT)", "contacts (name TEXT)"])
def test_a_database_of_another_program_is_damaged_and_left_as_it_is(spec: FileSpec, table):
    with contextlib.closing(sqlite3.connect(spec.path)) as other:
        other.execute(f"CREATE TABLE {table}")
    with pytest.raises(FileDamaged, match=f"not of this program: it has {table.split()[0]}"):
        open_file(spec)
    with contextlib.closing(sqlite3.connect(spec.path)) as other:
        assert other.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


def test_the_other_file_of_the_store_is_not_this_one(spec: FileSpec, tmp_path):
    readings = replace(spec, path=tmp_path / "readings.db", schema="readings")
    open_file(readings)[0].close()
    readings.path.rename(spec.path)
    with pytest.raises(FileDamaged, match="not of this program"):
        open_file(spec)


@pytest.mark.parametrize("part", ["-wal", "-shm"])
def test_what_stands_in_the_way_of_a_log_is_told_with_its_path(spec: FileSpec, tmp_path, part):
    open_file(spec)[0].close()
    (tmp_path / f"core.db{part}").mkdir()
    with pytest.raises(sqlite3.OperationalError) as caught:
        open_file(spec)
    told = why_unusable(spec, caught.value)
    assert told.endswith(f"; {tmp_path / f'core.db{part}'} is no file")


@pytest.mark.parametrize("part", ["", "-wal", "-shm"])
def test_which_part_may_not_be_written_is_told(spec: FileSpec, tmp_path, monkeypatch, part):
    connection, _ = open_file(spec)
    closed = tmp_path / f"core.db{part}"
    monkeypatch.setattr(os, "access", lambda path, _: path != closed)
    error = sqlite3.OperationalError("attempt to write a readonly database")
    assert why_unusable(spec, error) == f"{error}; {closed} may not be written"
    connection.close()


def test_a_damaged_file_takes_its_log_along_and_two_are_kept(spec: FileSpec):
    for n in range(1, 5):
        for suffix in ("", "-wal", "-shm"):
            spec.path.with_name(f"core.db{suffix}").write_text(f"{n}{suffix}")
        assert set_aside(spec.path).name == f"core.db.bad-{n}"
    names = sorted(path.name for path in spec.path.parent.iterdir())
    assert names == [f"core.db.bad-{n}{x}" for n in (3, 4) for x in ("", "-shm", "-wal")]
    assert spec.path.with_name("core.db.bad-4-wal").read_text() == "4-wal"


def test_who_was_not_read_to_its_end_is_kept_longer_than_who_was(spec: FileSpec):
    for _ in range(2):
        spec.path.write_text("bad")
        bad = set_aside(spec.path)
    mark_salvaged(bad)
    assert not_salvaged(spec.path) == spec.path.with_name("core.db.bad-1")
    spec.path.write_text("bad")
    set_aside(spec.path)
    there = {path.name for path in spec.path.parent.iterdir()}
    assert there == {"core.db.bad-1", "core.db.bad-3"}
    assert not_salvaged(spec.path) == spec.path.with_name("core.db.bad-3"), "the newest first"


def test_a_directory_is_one_daemons(tmp_path: Path):
    one, two = DirectoryLock(tmp_path / "new" / "store"), DirectoryLock(tmp_path / "new" / "store")
    one.take()
    one.take()
    assert (tmp_path / "new" / "store").stat().st_mode & 0o777 == 0o700
    with pytest.raises(StoreBusy, match="another care-gateway uses"):
        two.take()
    one.release()
    two.take()
    two.release()


def test_a_directory_of_somebody_else_is_used_also_by_a_root_who_may_give_nothing_away(
    tmp_path: Path, monkeypatch
):
    def may_not(_fd: int, _user: int, _group: int) -> None:
        raise PermissionError(errno.EPERM, "planted")

    tried = []
    monkeypatch.setattr(files.os, "geteuid", lambda: 0)
    monkeypatch.setattr(files.os, "fchown", lambda *given: (tried.append(given), may_not(*given)))
    real = os.fstat
    nobody = SimpleNamespace(st_uid=-1)
    monkeypatch.setattr(files.os, "fstat", lambda fd: nobody if not tried else real(fd))
    lock = DirectoryLock(tmp_path)
    lock.take()
    assert tried
    with pytest.raises(StoreBusy):
        DirectoryLock(tmp_path).take()
    lock.release()


def _fill(spec: FileSpec) -> None:
    connection, _ = open_file(spec)
    connection.execute("BEGIN")
    row = "INSERT INTO record VALUES (?, 'alarm', 'b', 1, 2, 'sync', 3, zeroblob(300), 0, NULL)"
    connection.executemany(row, ((n,) for n in range(1, 500)))
    connection.execute("COMMIT")
    connection.close()


def test_a_connection_that_cannot_be_made_is_an_error_of_sqlite(tmp_path: Path):
    spec = FileSpec(tmp_path / "absent" / "core.db", 1024, 2**20, "core", 1.0)
    with pytest.raises(sqlite3.OperationalError):
        connect(spec)


def test_a_bad_file_that_holds_nothing_goes_before_one_that_nobody_has_read(tmp_path):
    path = tmp_path / "core.db"
    for content in (b"records", b"", b"more records"):
        path.write_bytes(content)
        set_aside(path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {
        "core.db.bad-1": b"records",
        "core.db.bad-3": b"more records",
    }


def test_an_error_on_a_full_disk_says_so(spec: FileSpec, tmp_path, monkeypatch):
    error = sqlite3.OperationalError("disk I/O error")
    for free, said in (
        (2**30, "disk I/O error"),
        (0, f"disk I/O error; the disk of {tmp_path} is full"),
    ):
        disk = SimpleNamespace(f_bavail=free, f_frsize=1)
        monkeypatch.setattr(files.os, "statvfs", lambda path, disk=disk: disk)
        assert why_unusable(spec, error) == said
