"""What a platform may ask for again: a range of a file on disk, settled or not."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from gateway.domain.records import Lane, Range

ALL = {"limit": 10_000, "max_bytes": 10**9}


def numbers(records) -> list[int]:
    return [record.seq for record in records]


async def test_a_range_is_given_whole_settled_or_not_and_with_the_bytes_as_sent(kit):
    wanted = [kit.record(Lane.B, n) for n in range(1, 9)]
    async with kit.open() as (store, _):
        store.submit(kit.outcome(*wanted, kit.record(Lane.A, 3), batch=kit.batch(3)))
        await store.flush()
        store.settle([Range(Lane.B, "e1", 1, 4)])
        await store.flush()
        assert await store.retained(Range(Lane.B, "e1", 3, 6), **ALL) == wanted[2:6]
        (alarm,) = await store.retained(Range(Lane.A, "e1", 1, 9), **ALL)
        assert (alarm.lane, alarm.seq, alarm.body) == (Lane.A, 3, b"A e1 3")
        (batch,) = await store.retained(Range(Lane.R, "e1", 1, 9), **ALL)
        assert (batch.lane, batch.seq, batch.body) == (Lane.R, 3, b"R e1 3 2")


async def test_it_is_of_the_epoch_that_was_asked_for_and_of_no_other(kit):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.B, n, epoch="e1") for n in (1, 2))))
        await store.flush()
    async with kit.open("e2") as (store, _):
        store.submit(kit.outcome(kit.record(Lane.B, 1, epoch="e2")))
        await store.flush()
        for epoch, seqs in (("e1", [1, 2]), ("e2", [1]), ("e3", [])):
            found = await store.retained(Range(Lane.B, epoch, 1, 9), **ALL)
            assert [(record.epoch, record.seq) for record in found] == [(epoch, n) for n in seqs]


@pytest.mark.parametrize(
    ("lo", "hi", "bounds", "seqs"),
    [
        (1, 8, {"limit": 3}, [1, 2, 3]),
        (1, 8, {"max_bytes": 250}, [1, 2]),
        (1, 8, {"max_bytes": 1}, [1]),  # one always: else it would never go on
        (8, 10**30, {}, [8]),
        (5, 2, {}, []),
        (10**30, 10**31, {}, []),
    ],
)
async def test_it_is_bounded_whatever_is_asked(kit, lo, hi, bounds, seqs):
    async with kit.open() as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.B, n, body=b"x" * 100) for n in range(1, 9))))
        await store.flush()
        found = await store.retained(Range(Lane.B, "e1", lo, hi), **(ALL | bounds))
        assert numbers(found) == seqs


async def test_a_damaged_row_is_left_out_and_the_others_come(kit):
    async with kit.open() as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.B, n) for n in (1, 2, 3))))
        await store.flush()
        with closing(sqlite3.connect(kit.directory / "core.db")) as connection, connection:
            connection.execute("UPDATE record SET body = x'00' WHERE body = ?", (b"B e1 2",))
        assert numbers(await store.retained(Range(Lane.B, "e1", 1, 3), **ALL)) == [1, 3]


async def test_what_came_back_from_a_damaged_file_is_given_too(kit):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.B, n) for n in range(1, 31))))
        await store.flush()
    core = kit.directory / "core.db"
    with core.open("r+b") as file:  # the schema's own page, so that the file is set aside
        file.seek(100)
        file.write(bytes(400))
    async with kit.open("e2") as (store, seen):
        assert ("store_corrupt", "core.db") in seen.raised()
        async with asyncio.timeout(60):
            while not (found := await store.retained(Range(Lane.B, "e1", 1, 30), **ALL)):
                await asyncio.sleep(0.02)
        assert found[0].body == f"B e1 {found[0].seq}".encode()


async def test_a_file_that_cannot_be_read_gives_nothing_and_stops_nobody(kit, tmp_path):
    async with kit.open() as (store, _):
        store.submit(kit.outcome(kit.record(Lane.B, 1)))
        await store.flush()
        (kit.directory / "core.db").rename(tmp_path / "elsewhere")
        assert await store.retained(Range(Lane.B, "e1", 1, 1), **ALL) == []
