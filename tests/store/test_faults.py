"""What goes wrong with a disk, and that only the function of that disk suffers."""

import shutil
import sqlite3
import threading
from collections import Counter
from contextlib import closing

import pytest

from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.kept import Kept
from gateway.domain.records import Lane, Range
from gateway.store import files, writer
from gateway.store.ledger import Ledger

ALL = {"limit": 10_000, "max_bytes": 10**9}
CORE = ("store_failing", "core.db")
READINGS = ("store_failing", "readings.db")


class Disk:
    """A failpoint: refuses the commits of the files in `broken`."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.tries: Counter[str] = Counter()

    def __call__(self, name: str) -> None:
        self.tries[name] += 1
        if name in self.broken:
            raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("content", [b"this is a text, no database\n" * 99, b"", bytes(4096)])
@pytest.mark.parametrize("name", ["core.db", "readings.db"])
async def test_a_file_that_is_no_database_is_set_aside_and_told(kit, name, content):
    kit.directory.mkdir()
    (kit.directory / name).write_bytes(content)
    async with kit.open() as (store, seen):
        assert seen.raised() == [("store_corrupt", name)]
        assert f"kept as {name}.bad-1" in seen.faults[0].detail
        store.submit(kit.outcome(kit.record(Lane.A, 1), batch=kit.batch(1)))
        await store.flush()
        await kit.until(lambda: len(seen.durable) == 2)
        assert store.stats().is_healthy
    assert (kit.directory / f"{name}.bad-1").read_bytes() == content
    async with kit.open("e2") as (store, seen):
        assert len(await store.unsettled(Lane.A, **ALL)) == 1
        assert len(await store.unsettled(Lane.R, **ALL)) == 1
        assert seen.faults == []


async def test_a_cut_off_file_costs_that_file_only(kit):
    async with kit.open("e1") as (store, _):
        for seq in range(1, 400):
            store.submit(kit.outcome(kit.record(Lane.A, seq, body=bytes(300))))
        store.submit(kit.outcome(batch=kit.batch(1)))
    core = kit.directory / "core.db"
    core.write_bytes(core.read_bytes()[: core.stat().st_size // 2])
    async with kit.open("e2") as (store, seen):
        assert seen.raised() == [("store_corrupt", "core.db")]
        assert len(await store.unsettled(Lane.R, **ALL)) == 1


async def test_a_file_that_goes_bad_while_running_is_begun_anew_with_the_alarms(kit):
    def corrupt(name: str) -> None:
        if name == "core.db" and bad.is_set():
            bad.clear()
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    bad = threading.Event()
    alarms = (Alarm("a", AlarmState.UA), Alarm("b", AlarmState.LA))
    async with kit.open("e1", before_commit=corrupt) as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1), alarms=alarms))
        await store.flush()
        bad.set()
        store.submit(kit.outcome(kit.record(Lane.A, 2)))
        await store.flush()
        await kit.until(lambda: [r.seq for r in seen.durable] == [1, 2])
        assert seen.raised() == [("store_corrupt", "core.db")]
        await kit.until(lambda: store.stats().core.unsettled == {Lane.A: 2})
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [1, 2]
        assert (await store.bounds())[Lane.A] == (Range(Lane.A, "e1", 1, 2),)
    async with kit.open("e2") as (store, _):
        assert store.restored.alarms == alarms
    assert (kit.directory / "core.db.bad-1").exists()


async def test_a_damaged_row_is_skipped_told_once_and_kept(kit):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.A, n) for n in range(1, 6))))
    with sqlite3.connect(kit.directory / "core.db") as connection:
        connection.execute("UPDATE record SET body = x'00' WHERE (id & 0xffff) IN (1, 3)")
    connection.close()
    async with kit.open("e2") as (store, seen):
        for _ in range(2):
            assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2, 4, 5]
        await kit.until(lambda: len(seen.faults) == 2)
        assert seen.raised() == [("store_row_damaged", "core.db")] * 2
        assert {f.detail for f in seen.faults} == {f"A e1 {n}: CRC differs" for n in (1, 3)}
        assert (await store.bounds())[Lane.A] == (Range(Lane.A, "e1", 2, 5),)
        assert store.stats().core.unsettled == {Lane.A: 3}
    async with kit.open("e3") as (store, seen):
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2, 4, 5]
        assert seen.faults == []


async def test_on_a_full_disk_a_damaged_row_keeps_no_sound_one_from_being_sent(kit, monkeypatch):
    def full(*_):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    async with kit.open() as (store, seen):
        store.submit(kit.outcome(*(kit.record(Lane.A, n) for n in (1, 2, 3))))
        await store.flush()
        with sqlite3.connect(kit.directory / "core.db") as other:
            other.execute("UPDATE record SET body = x'00' WHERE id & 15 = 1")
        other.close()
        with monkeypatch.context() as disk:
            disk.setattr(Ledger, "put_damaged_apart", full)
            assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2, 3]
            assert ("store_row_damaged", "core.db") in seen.raised()
            assert CORE not in seen.raised()
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2, 3]
        assert store.stats().unsettled == {Lane.A: 2}, "now it is apart"


async def test_the_last_rows_are_checked_at_start_without_being_asked_for(kit):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.B, n) for n in range(1, 6))))
        await store.flush()
        store.settle([Range(Lane.B, "e1", 1, 5)])
    with sqlite3.connect(kit.directory / "core.db") as connection:
        connection.execute("UPDATE record SET body = x'00' WHERE (id & 0xffff) = 4")
    connection.close()
    async with kit.open("e2") as (_, seen):
        await kit.until(lambda: seen.raised() == [("store_row_damaged", "core.db")])


async def test_damage_in_a_file_too_large_to_check_at_start_is_found_while_running(
    kit, monkeypatch
):
    async with kit.open("e1") as (store, _):
        records = (kit.record(Lane.B, n, body=bytes(300)) for n in range(1, 2_000))
        store.submit(kit.outcome(*records, alarms=(Alarm("a", AlarmState.UA),)))
    core = kit.directory / "core.db"
    content = bytearray(core.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xa5" * 4096
    core.write_bytes(content)
    monkeypatch.setattr(files, "CHECK_BYTES", 0)
    async with kit.open("e2") as (store, seen):
        assert store.restored.alarms == (Alarm("a", AlarmState.UA),)
        await kit.until(lambda: ("store_corrupt", "core.db") in seen.raised())
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2")))
        await store.flush()
    async with kit.open("e3") as (store, seen):
        assert len(await store.unsettled(Lane.A, **ALL)) == 1
        assert store.restored.alarms == (Alarm("a", AlarmState.UA),)


async def test_an_alarm_state_that_cannot_be_read_costs_that_alarm_only(kit):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(alarms=(Alarm("a", AlarmState.UA), Alarm("b", AlarmState.UA))))
    with sqlite3.connect(kit.directory / "core.db") as connection:
        connection.execute("""UPDATE alarm_state SET body = '{"rule":' WHERE rule = 'a'""")
    connection.close()
    async with kit.open("e2") as (store, seen):
        assert store.restored.alarms == (Alarm("b", AlarmState.UA),)
        assert seen.raised() == [("store_row_damaged", "core.db")]


async def test_a_file_in_place_of_the_directory_leaves_a_store_in_memory_until_it_is_gone(kit):
    kit.directory.write_text("not a directory")
    async with kit.open() as (store, seen):
        assert sorted(seen.raised()) == [CORE, READINGS]
        assert store.restored.alarms == ()
        alarm = Alarm("a", AlarmState.UA)
        store.submit(kit.outcome(kit.record(Lane.A, 1), alarms=(alarm,), batch=kit.batch(1)))
        assert await store.unsettled(Lane.A, **ALL) == []
        assert await store.bounds() == {Lane.A: (), Lane.B: (), Lane.R: ()}
        assert seen.durable == []
        assert not store.stats().is_healthy
        assert store.stats().core.queued_records == 1
        kit.directory.unlink()
        await kit.until(lambda: len(seen.durable) == 2)
        await kit.until(lambda: sorted(seen.cleared()) == [CORE, READINGS])
        assert store.stats().is_healthy
    async with kit.open("e2") as (store, _):
        assert store.restored.alarms == (alarm,)


async def test_an_error_of_the_disk_is_told_once_and_nothing_is_lost(kit):
    disk = Disk()
    async with kit.open(before_commit=disk) as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await store.flush()
        disk.broken.add("core.db")
        before = disk.tries["core.db"]
        for seq in (2, 3):
            store.submit(kit.outcome(kit.record(Lane.A, seq), batch=kit.batch(seq)))
        await kit.until(lambda: CORE in seen.raised())
        assert disk.tries["core.db"] == before + 2, "one reopen before the fault"
        await kit.until(lambda: disk.tries["core.db"] >= before + 3)
        assert seen.raised() == [CORE], "the readings' file works on, and once is enough"
        disk.broken.clear()
        await kit.until(lambda: seen.cleared() == [CORE])
        await store.flush()
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [1, 2, 3]
    assert sorted((r.lane.value, r.seq) for r in seen.durable) == [
        ("A", 1), ("A", 2), ("A", 3), ("R", 2), ("R", 3),
    ]  # fmt: skip


class _BadSector:
    """One file cannot be checked to its end, wherever it is renamed to; `left` times."""

    def __init__(self, monkeypatch, path, left: int) -> None:
        self.left = left
        inode = path.stat().st_ino
        real = sqlite3.connect

        class Reading(sqlite3.Connection):
            is_bad = False

            def execute(reading, *statement):  # noqa: N805
                if "quick_check" in statement[0] and reading.is_bad and self.left > 0:
                    self.left -= 1
                    error = sqlite3.OperationalError("disk I/O error")
                    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
                    raise error
                return super().execute(*statement)

        def connect(where, **options):
            connection = real(where, factory=Reading, **options)
            connection.is_bad = where == path and path.exists() and path.stat().st_ino == inode
            return connection

        monkeypatch.setattr(files.sqlite3, "connect", connect)


@pytest.mark.parametrize(("times", "is_set_aside"), [(1 << 30, True), (1, False)])
async def test_a_bad_sector_at_the_start_costs_that_file_and_not_the_disk(
    kit, monkeypatch, times, is_set_aside
):
    alarm = Alarm("a", AlarmState.UA)
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.A, n) for n in (1, 2)), alarms=(alarm,)))
    _BadSector(monkeypatch, kit.directory / "core.db", times)
    back: list[int] = []
    async with kit.open("e2", on_salvaged=back.append) as (store, seen):
        assert (("store_corrupt", "core.db") in seen.raised()) == is_set_aside
        assert store.restored.alarms == (alarm,)
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2")))
        await store.flush()
        assert store.stats().is_healthy
        await kit.until(lambda: (back == [2]) == is_set_aside)
        found = await store.unsettled(Lane.A, **ALL)
        assert [(r.epoch, r.seq) for r in found] == [("e1", 1), ("e1", 2), ("e2", 1)]


async def test_a_disk_that_takes_no_writes_gives_its_backlog_all_the_same(kit):
    disk = Disk()
    async with kit.open(before_commit=disk) as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1), kit.record(Lane.A, 2)))
        await store.flush()
        disk.broken.add("core.db")
        store.submit(kit.outcome(kit.record(Lane.A, 3)))
        await kit.until(lambda: CORE in seen.raised())
        found = await store.unsettled(Lane.A, **ALL)
        assert [r.seq for r in found] == [1, 2], "3 is in memory only"
        assert [store.position(r).seq for r in found] == [1, 2]
        store.settle([Range(Lane.A, "e1", 1, 1), Range(Lane.A, "e1", 3, 3)])
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2]
        disk.broken.clear()
        await kit.until(lambda: seen.cleared() == [CORE])
        await store.flush()
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2]


async def test_what_was_known_at_a_start_without_a_disk_goes_into_a_file_begun_anew(
    kit, monkeypatch
):
    """The disk refuses at first; when it takes writes the file turns out to be damaged."""
    monkeypatch.setattr(writer, "FIRST_RETRY_S", 0.05)
    alarm = Alarm("a", AlarmState.UA)
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(kit.record(Lane.A, 1), alarms=(alarm,)))
    (kit.directory / "lock").unlink()
    (kit.directory / "lock").mkdir()  # nobody gets the directory
    async with kit.open("e2") as (store, seen):
        assert store.restored.alarms == (alarm,)
        core = kit.directory / "core.db"
        content = core.read_bytes()
        core.write_bytes(bytes(4096) + content[4096:])
        (kit.directory / "lock").rmdir()
        await kit.until(lambda: seen.cleared().count(CORE) == 1)
        assert ("store_corrupt", "core.db") in seen.raised()
        await store.flush()
    async with kit.open("e3") as (store, _):
        assert store.restored.alarms == (alarm,)


async def test_a_commit_that_fails_after_it_was_done_is_not_done_twice(kit):
    """A failing reopen after a durable COMMIT: the same rows come again and are the same rows."""
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
    async with kit.open("e1") as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1), kit.record(Lane.A, 2)))
        await store.flush()
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [1, 2]
        await kit.until(lambda: [r.seq for r in seen.durable] == [1, 2])


async def test_a_hung_writer_is_told_and_its_end_too(kit):
    go_on, hung = threading.Event(), threading.Event()

    def hang(name: str) -> None:
        if name == "core.db" and not go_on.is_set():
            hung.set()
            assert go_on.wait(60)

    async with kit.open(before_commit=hang) as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await kit.until(hung.is_set)
        for seq in range(2, 12_000):
            store.submit(kit.outcome(kit.record(Lane.A, seq)))
        store.submit(kit.outcome(batch=kit.batch(1)))
        await kit.until(lambda: seen.raised() == [("store_slow", "core.db")])
        assert not store.stats().core.is_healthy
        assert store.stats().core.queued_records <= 10_001
        await kit.until(lambda: [r.lane for r in seen.durable] == [Lane.R])
        go_on.set()
        await kit.until(lambda: seen.cleared() == [("store_slow", "core.db")])
        await store.flush()
        assert store.stats().core.dropped_records == 11_999 - 1 - 10_000
        newest = await store.unsettled(Lane.A, limit=20_000, max_bytes=10**9)
        assert [newest[0].seq, newest[-1].seq, len(newest)] == [1, 11_999, 10_001]


async def test_a_full_readings_file_drops_settled_batches_and_only_those(kit):
    async with kit.open(encode=lambda batch: bytes(4_000), readings_bytes=400_000) as (store, seen):
        for seq in range(1, 61):
            store.submit(kit.outcome(batch=kit.batch(seq)))
            await store.flush()
        store.settle([Range(Lane.R, "e1", 1, 50)])
        for seq in range(61, 121):
            store.submit(kit.outcome(batch=kit.batch(seq)))
            await store.flush()
            if seq > 64:
                store.settle([Range(Lane.R, "e1", 1, seq - 10)])
        assert seen.faults == []
        found = await store.unsettled(Lane.R, **ALL)
        assert [r.seq for r in found] == list(range(111, 121))
    size = (kit.directory / "readings.db").stat().st_size
    assert size <= 400_000


async def test_a_full_file_holds_what_it_has_until_acks_make_room(kit):
    async with kit.open(encode=lambda batch: bytes(4_000), readings_bytes=400_000) as (store, seen):
        for seq in range(1, 201):
            store.submit(kit.outcome(batch=kit.batch(seq)))
            await kit.until(lambda seq=seq: len(seen.durable) == seq or READINGS in seen.raised())
            if READINGS in seen.raised():
                break
        held = len(seen.durable)
        assert 50 < held < 200
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await kit.until(lambda: any(r.lane is Lane.A for r in seen.durable))
        found = await store.unsettled(Lane.R, **ALL)
        assert len(found) == held, "a full file can still be drained"
        store.settle([Range(Lane.R, "e1", 1, held)])
        await kit.until(lambda: READINGS in seen.cleared())
        await store.flush()
        assert [r.seq for r in await store.unsettled(Lane.R, **ALL)] == [held + 1]


async def test_a_full_core_file_keeps_new_alarms_in_memory(kit):
    async with kit.open(core_bytes=160 * 1024) as (store, seen):
        for seq in range(1, 100):
            store.submit(kit.outcome(kit.record(Lane.A, seq, body=bytes(3_000))))
        await kit.until(lambda: seen.raised() == [CORE])
        assert store.stats().core.queued_records == 99 - len(seen.durable)


async def test_a_directory_that_vanishes_while_running_comes_back(kit):
    disk = Disk()
    async with kit.open(before_commit=disk) as (store, seen):
        disk.broken.update({"core.db"})
        store.submit(kit.outcome(kit.record(Lane.A, 1), alarms=(Alarm("a", AlarmState.UA),)))
        await kit.until(lambda: seen.raised() == [CORE])
        shutil.rmtree(kit.directory)
        disk.broken.clear()
        kit.directory.mkdir()
        await kit.until(lambda: seen.cleared() == [CORE])
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [1]


COMES_NEXT_YEAR = (
    "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('core', 'next', '')",
    *(
        f"ALTER TABLE {table} ADD COLUMN more TEXT DEFAULT 'x'"
        for table in ("record", "salvaged", "pending", "epoch", "damaged", "checkpoint",
                      "alarm_state", "kept")
    ),
)  # fmt: skip


async def written_by_a_newer_version(kit, *more: str) -> None:
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await store.flush()
    with closing(sqlite3.connect(kit.directory / "core.db")) as file:
        for statement in (*COMES_NEXT_YEAR, *more):
            file.execute(statement)
        file.commit()


async def test_a_file_that_a_newer_version_gave_another_column_is_used_on(kit):
    await written_by_a_newer_version(kit)
    async with kit.open("e2") as (store, seen):
        known = Kept("house", "k", "{}")
        alarm = Alarm("r", AlarmState.UA)
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2"), alarms=(alarm,), kept=(known,)))
        await store.flush()
        assert [r.epoch for r in await store.unsettled(Lane.A, **ALL)] == ["e1", "e2"]
        assert seen.faults == []
    async with kit.open("e3") as (store, seen):
        assert store.restored.alarms == (alarm,)
        assert store.restored.kept == (known,)
        assert seen.faults == []


async def test_a_file_of_a_newer_version_that_cannot_be_used_is_told_as_that(kit):
    await written_by_a_newer_version(kit, "ALTER TABLE kept RENAME TO known")
    async with kit.open("e2") as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2")))
        await kit.until(lambda: CORE in seen.raised())
        told = f"a newer version of the program wrote {kit.directory / 'core.db'}: next"
        assert told in seen.faults[-1].detail


async def test_what_stands_in_the_way_of_a_file_is_told_with_its_path(kit):
    (kit.directory / "core.db").mkdir(parents=True)
    (kit.directory / "core.db" / "something").touch()
    async with kit.open() as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await kit.until(lambda: CORE in seen.raised())
        assert seen.faults[-1].detail.endswith(f"; {kit.directory / 'core.db'} is no file")


async def test_a_file_that_a_full_disk_does_not_let_begin_pushes_out_none_that_was_set_aside(
    kit, monkeypatch
):
    kit.directory.mkdir()
    bad = kit.directory / "core.db.bad-1"
    bad.write_bytes(b"records that nobody has read yet")
    set_pragmas, tries = files.set_pragmas, []

    def full(connection, spec):
        tries.append(spec.name)
        connection.execute("PRAGMA user_version")  # the file is there now
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(files, "set_pragmas", full)
    monkeypatch.setattr(writer, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(writer, "LAST_RETRY_S", 0.01)
    async with kit.open() as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await kit.until(lambda: tries.count("core.db") >= 5)
        assert set(seen.raised()) <= {CORE, READINGS}, seen.faults
        assert bad.read_bytes() == b"records that nobody has read yet"
        assert not (kit.directory / "core.db.bad-2").exists()
        monkeypatch.setattr(files, "set_pragmas", set_pragmas)
        await kit.until(lambda: CORE in seen.cleared())
        await store.flush()
        assert [record.seq for record in seen.durable if record.lane is Lane.A] == [1]
