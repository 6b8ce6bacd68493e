import sqlite3
from dataclasses import replace

import pytest

from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.kept import Kept
from gateway.domain.records import Lane

CASE = Kept("case", "e1-A-1", '{"verdict":"真"}')
DRILL = Kept("drill", "", "{}")


async def test_what_is_kept_is_there_after_a_restart(kit):
    async with kit.open("e1") as (store, _):
        assert store.restored.kept == ()
        store.submit(kit.outcome(kept=(DRILL, CASE)))  # nothing else changed: it still commits
        await store.flush()
        assert store.stats().core.commits == 1
    async with kit.open("e2") as (store, _):
        assert store.restored.kept == (CASE, DRILL)


async def test_the_newest_body_wins_and_none_forgets_it(kit):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(kept=(CASE, DRILL)))
        store.submit(kit.outcome(kept=(replace(CASE, body="[2]"), replace(DRILL, body=None))))
        await store.flush()
        store.submit(kit.outcome(kept=(replace(CASE, body="[3]"), Kept("none", "of it", None))))
    async with kit.open("e2") as (store, seen):
        assert store.restored.kept == (replace(CASE, body="[3]"),)
        assert seen.faults == []


async def test_what_is_kept_commits_with_the_records_of_its_outcome_or_not_at_all(kit):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(kit.record(Lane.B, 1), kept=(CASE,)))
        await store.flush()

    def fail(name: str) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with kit.open("e2", before_commit=fail) as (store, seen):
        both = kit.outcome(kit.record(Lane.B, 1, epoch="e2"), kept=(replace(CASE, body="new"),))
        store.submit(both)
        await kit.until(lambda: ("store_failing", "core.db") in seen.raised())
    async with kit.open("e3") as (store, _):
        assert store.restored.kept == (CASE,)
        found = await store.unsettled(Lane.B, limit=9, max_bytes=1 << 20)
        assert [record.epoch for record in found] == ["e1"]


async def test_what_could_not_be_committed_commits_when_the_disk_is_back(kit):
    failures = [sqlite3.OperationalError("disk I/O error") for _ in range(3)]

    def fail(name: str) -> None:
        if failures:
            raise failures.pop()

    async with kit.open("e1", before_commit=fail) as (store, _):
        store.submit(kit.outcome(kept=(CASE,)))
        store.submit(kit.outcome(kept=(replace(CASE, body="[2]"),)))
        await store.flush()
    async with kit.open("e2") as (store, _):
        assert store.restored.kept == (replace(CASE, body="[2]"),)


async def test_what_is_kept_outlives_a_file_that_goes_bad(kit):
    def corrupt(name: str) -> None:
        if name == "core.db" and bad:
            bad.clear()
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    bad: list[bool] = []
    async with kit.open("e1", before_commit=corrupt) as (store, seen):
        store.submit(kit.outcome(kept=(CASE, DRILL), alarms=(Alarm("a", AlarmState.UA),)))
        store.submit(kit.outcome(kept=(Kept("case", "closed", "1"),)))
        store.submit(kit.outcome(kept=(Kept("case", "closed", None),)))
        await store.flush()
        bad.append(True)
        store.submit(kit.outcome(kit.record(Lane.A, 2)))
        await store.flush()
        await kit.until(lambda: seen.raised() == [("store_corrupt", "core.db")])
    async with kit.open("e2") as (store, _):
        assert store.restored.kept == (CASE, DRILL)
        assert store.restored.alarms == (Alarm("a", AlarmState.UA),)


@pytest.mark.parametrize("column", ["kind", "key", "body"])
@pytest.mark.parametrize("bent", ["CAST(x'ff00' AS TEXT)", "'{}'"])
async def test_a_damaged_row_costs_that_row_only(kit, column, bent):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(kept=(CASE, DRILL), alarms=(Alarm("a", AlarmState.UA),)))
    with sqlite3.connect(kit.directory / "core.db") as connection:
        connection.execute(f"UPDATE kept SET {column} = {bent} WHERE kind = 'case'")
    connection.close()
    async with kit.open("e2") as (store, seen):
        assert store.restored.kept == (DRILL,)
        assert store.restored.alarms == (Alarm("a", AlarmState.UA),)
        assert seen.raised() == [("store_row_damaged", "core.db")]
        store.submit(kit.outcome(kept=(CASE,)))  # and it can be written again
        await store.flush()
    async with kit.open("e3") as (store, _):
        assert CASE in store.restored.kept


async def test_a_body_that_cannot_be_kept_costs_itself_only(kit):
    async with kit.open("e1") as (store, seen):
        store.submit(kit.outcome(kept=(Kept("case", "x", b"no text"), CASE)))
        await store.flush()
        await kit.until(lambda: seen.raised() == [("task_failed", "store core.db")])
    async with kit.open("e2") as (store, _):
        assert store.restored.kept == (CASE,)


async def test_the_last_records_of_a_kind_are_read_beside_the_writer(kit):
    async with kit.open("e1") as (store, _):
        cases = [replace(kit.record(Lane.B, n), kind="case") for n in (1, 3, 5)]
        store.submit(kit.outcome(*cases, *(kit.record(Lane.B, n) for n in (2, 4))))
        await store.flush()
    async with kit.open("e2", before_commit=lambda _: None) as (store, _):
        newest = replace(kit.record(Lane.B, 1, epoch="e2"), kind="case")
        store.submit(kit.outcome(newest))
        await store.flush()
        assert await store.last("case", 3) == [newest, cases[2], cases[1]]
        assert await store.last("case", 99) == [newest, *reversed(cases)]
        assert await store.last("case", 99, lane=Lane.A) == []
        assert await store.last("case", 0) == []


async def test_the_last_of_a_kind_are_none_where_no_file_can_be_read(kit):
    kit.directory.write_text("not a directory")
    async with kit.open() as (store, _):
        assert await store.last("case", 3) == []
