"""Pressure: who goes first, gaps before deletions, ballast, full and read-only disks."""

import json
import os
import shutil
import sqlite3
import subprocess
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.events import GapPlanned
from gateway.domain.kept import Kept
from gateway.domain.records import Lane, Range, Record
from gateway.store import chores, files, room, tables, versions, writer
from gateway.store.ledger import Ledger
from gateway.store.room import Ballast, Level, Room

ALL = {"limit": 100_000, "max_bytes": 1 << 30}
CORE = ("store_failing", "core.db")
READINGS = ("store_failing", "readings.db")


@pytest.mark.parametrize(
    ("share", "spare", "disk", "level"),
    [
        (0.5, 0, 10**12, Level.FINE),
        (0.8, 0, 10**12, Level.DROP),
        (0.9, 0, 10**12, Level.THIN),
        (0.95, 0, 10**12, Level.LAST),
        (0.1, 0, 199_999_999, Level.DROP),
        (0.1, 0, 99_999_999, Level.THIN),
        (0.1, 0, 49_999_999, Level.LAST),
        (0.1, room.SPARE_BYTES, 0, Level.FINE),  # it does not grow: others fill the disk
        (0.9, room.SPARE_BYTES, 0, Level.THIN),
    ],
)
def test_pressure_is_the_worse_of_file_and_disk(share, spare, disk, level):
    assert Room(share, spare, disk).level is level


def _encode(batch) -> bytes:
    """A batch of 20 readings of one point, one of them bad."""
    readings = [[0, n * 100, (batch.seq * 7 + n * 3) % 50 + 0.5] for n in range(19)]
    message = {
        "v": 1, "t": "read", "gw": "g", "ep": batch.epoch, "lane": "R", "seq": batch.seq,
        "pts": "p", "boot": "b", "m0": (batch.seq - 1) * 10_000, "t0": 1, "clk": "sync", "err": 1,
        "r": [*readings, [0, 1_950, None, "fault", "x" * 300]],
    }  # fmt: skip
    return json.dumps(message).encode()


def _gap_record(seq: int, gap: GapPlanned, at) -> Record:
    data = {"lane": gap.range.lane.value, "ep": gap.range.epoch, "from": gap.range.lo,
            "to": gap.range.hi, "why": gap.why}  # fmt: skip
    return Record(Lane.B, "e1", seq, "gap", at, json.dumps({"t": "fact", "data": data}).encode())


async def test_readings_are_thinned_only_after_their_gap_is_on_disk(kit, monkeypatch):
    monkeypatch.setattr(chores, "LOOK_FOR_ROOM_S", 0.01)
    asked: list[GapPlanned] = []
    async with kit.open(encode=_encode, readings_bytes=300_000, on_gap=asked.append) as (store, _):
        for seq in range(1, 241):
            store.submit(kit.outcome(batch=kit.batch(seq)))
            await store.flush()
            if asked:
                break
        gap = asked[0]
        assert (gap.why, gap.range.lane, gap.range.lo) == ("thinned", Lane.R, 1)
        before = await store.unsettled(Lane.R, **ALL)
        assert not any(b'"thin"' in r.body for r in before), "the gap is not on record yet"
        store.submit(kit.outcome(_gap_record(1, gap, before[0].at)))
        await store.flush()
        await kit.until(lambda: len(asked) > 1 or store.stats().readings.level < Level.THIN)
        after = {r.seq: r.body for r in await store.unsettled(Lane.R, **ALL)}
        thin = {seq for seq, body in after.items() if b'"thin":true' in _text(body)}
        gone = {r.seq for r in before} - set(after)
        assert thin | gone == set(range(gap.range.lo, gap.range.hi + 1))
        assert thin, "extremes stay"
        values = [x[2] for r in before if r.seq <= gap.range.hi for x in json.loads(r.body)["r"]]
        kept = [x[2] for seq in thin for x in json.loads(_text(after[seq]))["r"]]
        good = [value for value in values if value is not None]
        assert {min(good), max(good), None} <= set(kept)
        assert len(kept) <= 4, "of ten minutes: least, greatest, last, last bad"


def _text(body: bytes) -> bytes:
    return zlib.decompress(body) if body[:1] == b"\x78" else body


async def test_what_a_full_disk_does_not_let_be_thinned_has_one_gap_on_record(kit, monkeypatch):
    """The gap is durable, the disk refuses the thinning three times: no gap is told twice."""
    monkeypatch.setattr(chores, "LOOK_FOR_ROOM_S", 0.01)
    asked: list[GapPlanned] = []
    real, refusals = Ledger.thin, [0]

    def refuses_at_first(ledger, *what):
        if refusals[0] < 3:
            refusals[0] += 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return real(ledger, *what)

    monkeypatch.setattr(Ledger, "thin", refuses_at_first)
    options = {"encode": _encode, "readings_bytes": 300_000, "on_gap": asked.append}
    async with kit.open(**options) as (store, seen):
        for seq in range(1, 241):
            store.submit(kit.outcome(batch=kit.batch(seq)))
            await store.flush()
            if asked:
                break
        store.submit(kit.outcome(_gap_record(1, asked[0], kit.batch(1).at)))
        await kit.until(lambda: len(asked) > 1 or store.stats().readings.level < Level.THIN)
        assert refusals == [3]
        assert asked.count(asked[0]) == 1
        assert READINGS not in seen.raised()
        after = await store.unsettled(Lane.R, **ALL)
        assert any(b'"thin":true' in _text(r.body) for r in after)


async def test_thinning_makes_no_damaged_batch_look_sound(kit, monkeypatch):
    """A digit of a value flips on the card: thinned, it must not get a CRC that fits."""
    monkeypatch.setattr(chores, "LOOK_FOR_ROOM_S", 0.01)
    asked: list[GapPlanned] = []
    options = {"encode": _encode, "readings_bytes": 300_000, "on_gap": asked.append}
    async with kit.open(**options) as (store, seen):
        for seq in range(1, 241):
            store.submit(kit.outcome(batch=kit.batch(seq)))
            await store.flush()
            if asked:
                break
        bent = asked[0].range.lo + 3
        with closing(sqlite3.connect(kit.directory / "readings.db")) as other, other:
            changed = other.execute(
                "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), '\"r\": [[0, 0, ',"
                " '\"r\": [[0, 0, 9') AS BLOB) WHERE id & 0xFFFFFF = ?",
                (bent,),
            )
            assert changed.rowcount == 1
        store.submit(kit.outcome(_gap_record(1, asked[0], kit.batch(1).at)))
        await kit.until(lambda: ("store_row_damaged", "readings.db") in seen.raised())
        await kit.until(lambda: len(asked) > 1 or store.stats().readings.level < Level.THIN)
        await store.flush()
        found = await store.unsettled(Lane.R, **ALL)
        assert bent not in {r.seq for r in found}
        values = [x[2] for r in found for x in json.loads(_text(r.body))["r"]]
        assert max(value for value in values if value is not None) < 60
        assert any(b'"thin":true' in _text(r.body) for r in found), "the others are thinned"


async def test_with_a_recorder_a_full_readings_file_never_stops_taking_readings(kit, monkeypatch):
    monkeypatch.setattr(chores, "LOOK_FOR_ROOM_S", 0.01)
    gaps: list[GapPlanned] = []
    async with kit.open(encode=_encode, readings_bytes=200_000, on_gap=gaps.append) as (
        store,
        seen,
    ):
        done = 0
        for seq in range(1, 801):
            store.submit(kit.outcome(batch=kit.batch(seq)))
            await store.flush()
            while len(gaps) > done:
                store.submit(kit.outcome(_gap_record(done + 1, gaps[done], seen.durable[0].at)))
                done += 1
                await store.flush()
                await kit.until(lambda done=done: len(gaps) > done or _is_calm(store))
        assert READINGS not in seen.raised()
        left = {r.seq for r in await store.unsettled(Lane.R, **ALL)}
        told = {n for gap in gaps for n in range(gap.range.lo, gap.range.hi + 1)}
        assert set(range(1, 801)) - left <= told, "nothing went without a word"
        assert 800 in left
        dropped = [gap for gap in gaps if gap.why == "dropped"]
        assert all(gap.range.hi < 800 for gap in dropped)


def _is_calm(store) -> bool:
    return store.stats().readings.level < Level.THIN


async def test_what_memory_had_to_drop_is_told_once_the_disk_is_back(kit, monkeypatch):
    from gateway.store import waiting

    monkeypatch.setattr(waiting, "MAX_RECORDS", 10)
    asked: list[GapPlanned] = []
    kit.directory.write_text("not a directory")
    async with kit.open(on_gap=asked.append) as (store, _):
        for seq in range(1, 16):
            store.submit(kit.outcome(kit.record(Lane.B, seq)))
        assert store.stats().core.dropped_records == 5
        kit.directory.unlink()
        await kit.until(lambda: asked != [])
        assert asked == [GapPlanned(Range(Lane.B, "e1", 1, 5), "memory")]


def test_ballast_is_laid_in_where_there_is_room_and_goes_at_once(tmp_path):
    ballast = Ballast(tmp_path)
    ballast.restore(10**8)
    assert not (tmp_path / "ballast").exists()
    ballast.restore(10**9)
    assert (tmp_path / "ballast").stat().st_size == room.BALLAST_BYTES
    assert ballast.drop()
    assert not ballast.drop()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MB of one's own; skipped where that needs rights we have not."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(where)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a disk needs root")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def _filled(disk):
    """What another process wrote until nothing more went in."""
    filler = disk / "other"
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(fd, bytes(4096)):
            pass
    except OSError:
        return filler
    finally:
        os.close(fd)


def _remount(disk, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


async def test_on_a_full_disk_alarms_wait_in_memory_and_land_when_there_is_room(kit, small_disk):
    kit.directory = small_disk / "store"
    async with kit.open() as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await store.flush()
        filler = _filled(small_disk)
        sent = 1
        while CORE not in seen.raised():  # what the log still has room for goes on
            sent += 1
            alarm = Alarm("a", AlarmState.UA, detail=str(sent))
            store.submit(kit.outcome(kit.record(Lane.A, sent, body=bytes(3_000)), alarms=(alarm,)))
            await kit.until(lambda n=sent: CORE in seen.raised() or len(seen.durable) == n)
        assert store.stats().core.queued_records >= 1
        filler.unlink()
        await kit.until(lambda: CORE in seen.cleared())
        await store.flush()
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == list(range(1, sent + 1))
    async with kit.open("e2") as (store, _):
        assert store.restored.alarms == (Alarm("a", AlarmState.UA, detail=str(sent)),)


async def test_a_card_that_turns_read_only_costs_no_alarm_and_is_told(kit, small_disk):
    kit.directory = small_disk / "store"
    async with kit.open() as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1), batch=kit.batch(1)))
        await store.flush()
    _remount(small_disk, "ro")
    async with kit.open("e2") as (store, seen):  # a start on a card that is read-only already
        assert {CORE, READINGS} <= set(seen.raised())
        alarm = Alarm("a", AlarmState.UA)
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2"), alarms=(alarm,)))
        assert not store.stats().is_healthy
        assert store.stats().core.queued_records == 1
        _remount(small_disk, "rw")
        await kit.until(lambda: set(seen.cleared()) >= {CORE, READINGS})
        await store.flush()
        found = await store.unsettled(Lane.A, **ALL)
        assert [(r.epoch, r.seq) for r in found] == [("e1", 1), ("e2", 1)]


@pytest.mark.parametrize("is_well_closed", [True, False])
async def test_a_start_on_a_read_only_card_knows_the_alarms_and_delivers_the_backlog(
    kit, small_disk, is_well_closed
):
    kit.directory = small_disk / "store"
    alarm, kept = Alarm("a", AlarmState.UA), Kept("k", "1", "{}")
    async with kit.open("e1") as (store, _):
        records = [kit.record(lane, n) for lane in (Lane.A, Lane.B) for n in (1, 2)]
        store.submit(kit.outcome(*records, alarms=(alarm,), kept=(kept,), batch=kit.batch(1)))
        await store.flush()
        if not is_well_closed:
            shutil.copytree(kit.directory, small_disk / "cut")
    if not is_well_closed:
        kit.directory = small_disk / "cut"
        assert (kit.directory / "core.db-wal").stat().st_size > 0
    _remount(small_disk, "ro")
    async with kit.open("e2") as (store, seen):
        assert {CORE, READINGS} <= set(seen.raised())
        assert (store.restored.alarms, store.restored.kept) == ((alarm,), (kept,))
        assert store.restored.heads.keys() == {Lane.A, Lane.B}
        assert store.knows_epoch("e1")
        for lane, count in ((Lane.A, 2), (Lane.B, 2), (Lane.R, 1)):
            assert [r.seq for r in await store.unsettled(lane, **ALL)] == [1, 2][:count]
            assert store.stats().unsettled[lane] == count
        store.settle([Range(Lane.A, "e1", 1, 1)])
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2], "it is told already"
        _remount(small_disk, "rw")
        await kit.until(lambda: set(seen.cleared()) >= {CORE, READINGS})
        await store.flush()
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2]
    async with kit.open("e3") as (store, _):
        assert (store.restored.alarms, store.restored.kept) == ((alarm,), (kept,))
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2]


async def test_a_file_of_an_older_version_is_taken_over_on_a_full_disk_too(
    kit, small_disk, monkeypatch
):
    """The ballast goes first: without the migration nothing could be settled to make room."""
    kit.directory = small_disk / "store"
    kit.directory.mkdir()
    monkeypatch.setattr(room, "BALLAST_BYTES", 2**19)
    Ballast(kit.directory).restore(10**12)
    dump = (Path(__file__).parent / "schemas" / "core-1.sql").read_text()
    with closing(sqlite3.connect(kit.directory / "core.db")) as old:
        old.executescript(dump)
        tables.core._record_applied(Database(old), versions.LATEST["core"][0])
    _filled(small_disk)
    async with kit.open() as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await kit.until(lambda: [r.lane for r in seen.durable] == [Lane.A])
        assert not (kit.directory / "ballast").exists()
        assert store.heads().keys() == {Lane.A}


async def test_a_log_that_somebody_keeps_from_being_written_back_is_told_and_shrinks_again(
    kit, monkeypatch
):
    monkeypatch.setattr(writer, "LOG_MOST_BYTES", 500_000)
    monkeypatch.setattr(writer, "ASK_DISK_EVERY_S", 0.0)
    monkeypatch.setattr(files, "LOG_KEPT_BYTES", 100_000)
    monkeypatch.setattr(files, "WAL_BYTES", 100_000)
    pressure = ("store_pressure", "core.db")
    log = kit.directory / "core.db-wal"
    async with kit.open() as (store, seen):
        with closing(sqlite3.connect(kit.directory / "core.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM record").fetchone()
            for seq in range(1, 80):
                store.submit(kit.outcome(kit.record(Lane.A, seq, body=os.urandom(8_000))))
                await store.flush()
            await kit.until(lambda: pressure in seen.raised())
            assert log.stat().st_size > 500_000
        for seq in range(80, 140):
            store.submit(kit.outcome(kit.record(Lane.A, seq)))
            await store.flush()
        await kit.until(lambda: pressure in seen.cleared())
        assert log.stat().st_size <= 200_000
        assert len(await store.unsettled(Lane.A, **ALL)) == 139


async def test_the_ballast_goes_when_the_disk_is_full(kit, small_disk, monkeypatch):
    kit.directory = small_disk / "store"
    monkeypatch.setattr(room, "BALLAST_BYTES", 2**20)
    kit.directory.mkdir()
    Ballast(kit.directory).restore(10**12)
    assert (kit.directory / "ballast").exists()
    async with kit.open() as (store, seen):  # its writer may drop the ballast from here on
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await store.flush()
        await kit.until(lambda: not (kit.directory / "ballast").exists())
        assert shutil.disk_usage(small_disk).free > 2**20
        assert ("store_pressure", "core.db") in seen.raised()
