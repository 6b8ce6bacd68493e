"""What a day costs the card, from a few hundred commits as the daemon makes them."""

import json
import random
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Range, Record
from gateway.domain.site import StoreSpec
from gateway.store.store import open_store
from tests.store.conftest import QUIET

COMMITS = 900  # the log is written back into the file more than once
A_DAY = 8_640  # commits, one every 10 s


def _batch(seq: int, source: random.Random) -> Batch:
    at = Now(seq * 10_000, 1_790_000_000_000 + seq * 10_000, Clk.SYNC, 40, "b")
    readings = (
        Reading(f"d.p{n}", round(source.gauss(230, 3), 1), Quality.GOOD, seq * 10_000 + n)
        for n in range(40)
    )
    return Batch("e1", seq, at, tuple(readings))


def _encode(batch: Batch) -> bytes:
    rows = [
        [n, reading.mono_ms % 10_000, reading.value] for n, reading in enumerate(batch.readings)
    ]
    return zlib.compress(json.dumps({"v": 1, "t": "read", "seq": batch.seq, "r": rows}).encode())


def commits_in(log: Path) -> list[list[int]]:
    """Of each commit in a write-ahead log the pages that it wrote (SQLite file format, 4.1)."""
    text = log.read_bytes()
    page_bytes, salt = struct.unpack(">I", text[8:12])[0], text[16:24]
    commits: list[list[int]] = []
    pages: list[int] = []
    for at in range(32, len(text) - 24 - page_bytes + 1, 24 + page_bytes):
        page, size = struct.unpack(">II", text[at : at + 8])
        if text[at + 8 : at + 16] != salt:
            break
        pages.append(page)
        if size:
            commits.append(pages)
            pages = []
    return commits


async def test_a_day_of_40_points_every_10_s_writes_less_than_100_mb_in_9000_commits(kit):
    source = random.Random(1)
    async with kit.open(encode=_encode) as (store, _):
        for seq in range(1, COMMITS + 1):
            if seq > 1:  # before the batch: the writer's thread may be quicker than this one
                store.settle([Range(Lane.R, "e1", seq - 1, seq - 1)])
            store.submit(Outcome(QUIET, batch=_batch(seq, source)))
            await store.flush()
        stats = store.stats().readings
    if not stats.bytes_written:
        pytest.skip("the kernel counts no bytes here: a folder in memory")
    assert stats.commits == COMMITS, "an ack rides with the next batch"
    assert stats.bytes_written / COMMITS * A_DAY < 100e6


async def test_acks_and_history_make_no_commit_of_their_own_though_the_lane_is_looked_at(kit):
    source = random.Random(2)
    rounds = 60  # two turns of the five minutes' history
    spec = StoreSpec(kit.directory, commit_every_ms=3_600_000)  # no ack's time to wait is over
    faults: list[object] = []
    durable: list[Record] = []
    async with open_store(
        spec, epoch="e1", encode=_encode, on_durable=durable.extend, on_fault=faults.append
    ) as store:
        await store.flush()
        began = len(commits_in(kit.directory / "readings.db-wal"))
        for seq in range(1, rounds + 1):
            store.submit(Outcome(QUIET, batch=_batch(seq, source)))
            await kit.until(lambda seq=seq: len(durable) == seq)
            store.settle([Range(Lane.R, "e1", seq, seq)])
            assert await store.unsettled(Lane.R, limit=9, max_bytes=1 << 20) == [], "acked"
        commits = commits_in(kit.directory / "readings.db-wal")[began:]
    assert faults == []
    assert len(commits) == rounds
    assert sum(map(len, commits)) <= 4 * rounds, "pages of 1 kB"


async def test_what_was_acked_last_is_settled_in_the_file_when_the_store_closes(kit):
    async with kit.open() as (store, _):
        for seq in (1, 2):
            store.submit(Outcome(QUIET, batch=kit.batch(seq)))
        await store.flush()
        store.settle([Range(Lane.R, "e1", 1, 2)])
        assert await store.unsettled(Lane.R, limit=9, max_bytes=1 << 20) == []
    async with kit.open("e2") as (store, _):
        assert await store.unsettled(Lane.R, limit=9, max_bytes=1 << 20) == []
        assert store.stats().readings.unsettled == {}


async def test_many_acks_at_once_are_committed_when_the_lane_is_read_on(kit):
    async with kit.open() as (store, seen):
        for seq in range(1, 101):
            store.submit(Outcome(QUIET, batch=kit.batch(seq)))
        await store.flush()
        store.settle([Range(Lane.R, "e1", seq, seq) for seq in range(1, 100, 2)])
        found = await store.unsettled(Lane.R, limit=200, max_bytes=1 << 20)
        assert [record.seq for record in found] == list(range(2, 101, 2))
        assert store.stats().readings.unsettled == {Lane.R: 50}
        assert seen.faults == []


async def test_the_five_minutes_that_run_are_kept_at_the_end_and_joined_by_the_next_start(kit):
    for epoch, seqs in (("e1", range(1, 11)), ("e2", range(11, 21))):
        async with kit.open(epoch) as (store, _):
            for seq in seqs:
                batch = replace(_batch(seq, random.Random(seq)), epoch=epoch)
                store.submit(Outcome(QUIET, batch=batch))
            await store.flush()
    async with kit.open("e3") as (store, _):
        found = await store.history("d.p0", 0, 1_900_000_000_000)
    assert sum(each.good_ms for each in found) == 2 * 90_000
