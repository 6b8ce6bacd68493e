"""Reading beside the writer: nothing is left out, and nobody is held up."""

import sqlite3
from contextlib import closing

from gateway.domain.records import Lane
from gateway.store import reader, survey
from gateway.store.reader import entries


async def _damage(kit, count: int) -> None:
    """Records on A and B of which a damaged file was the only place; then it is begun anew."""
    async with kit.open("e1") as (store, _):
        for n in range(1, count + 1):
            store.submit(kit.outcome(kit.record(Lane.A, n), kit.record(Lane.B, n)))
        await store.flush()
    with (kit.directory / "core.db").open("r+b") as file:
        file.write(bytes(100))


async def test_what_came_back_from_a_damaged_file_is_listed_exported_and_counted(kit):
    await _damage(kit, 30)
    back: list[int] = []
    async with kit.open("e2", on_salvaged=back.append) as (store, _):
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2")))
        await kit.until(lambda: back != [])
        await store.flush()
        found = list(entries(kit.directory / "core.db", Lane.A))
        assert [(x.record.epoch, x.record.seq) for x in found] == [
            *(("e1", n) for n in range(1, 31)),
            ("e2", 1),
        ]
        assert all(each.is_sound and not each.is_settled for each in found)
        newest = entries(kit.directory / "core.db", Lane.A, last=2)
        assert [(x.record.epoch, x.record.seq) for x in newest] == [("e1", 30), ("e2", 1)]
        last = await store.last("alarm", 3, lane=Lane.A)
        assert [(r.epoch, r.seq) for r in last] == [("e2", 1), ("e1", 30), ("e1", 29)]
        counts = survey.count_between(kit.directory, 0, 1 << 60)
        assert (counts[Lane.A].records, counts[Lane.A].unsettled) == (31, 31)


async def test_who_reads_slowly_keeps_no_log_from_being_written_back(kit, monkeypatch):
    monkeypatch.setattr(reader, "A_SLICE", 10)
    async with kit.open() as (store, _):
        for n in range(1, 31):
            store.submit(kit.outcome(kit.record(Lane.A, n)))
        await store.flush()
        read = entries(kit.directory / "core.db", Lane.A)
        seen = [next(read).record.seq]  # and then it is looked at for an hour
        with closing(sqlite3.connect(kit.directory / "core.db")) as other:
            assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0, "not busy"
        store.submit(kit.outcome(kit.record(Lane.A, 31)))
        await store.flush()
        seen += [entry.record.seq for entry in read]
        assert seen == list(range(1, 32)), "each once, also what came meanwhile"
