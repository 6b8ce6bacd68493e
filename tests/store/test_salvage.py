"""Damaged files: what is sound in them comes back under its old identity, the rest never does.

BIT_FLIPS=1000 makes it a soak (`scripts/soak bits`).
"""

import contextlib
import errno
import itertools
import os
import random
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.kept import Kept
from gateway.domain.records import Lane, Range
from gateway.store import rows, writer
from gateway.store.files import set_aside
from gateway.store.ledger import Ledger
from gateway.store.salvage import salvage

COUNT = 300
FLIPS = int(os.environ.get("BIT_FLIPS", "200"))
ALL = {"limit": 10_000, "max_bytes": 1 << 30}


def _body(lane: str, seq: int) -> bytes:
    """Some fit into their page, some need a chain of overflow pages."""
    source = random.Random(f"{lane}{seq}")
    return source.randbytes(source.choice((50, 400, 900, 5_000 if lane == "A" else 700)))


async def _fill(kit) -> None:
    """Records on every lane; the first hundred are settled; one alarm, one thing kept."""
    async with kit.open("e1", encode=lambda batch: _body("R", batch.seq)) as (store, _):
        for seq in range(1, COUNT + 1):
            records = (kit.record(x, seq, body=_body(x, seq)) for x in (Lane.A, Lane.B))
            store.submit(kit.outcome(*records, batch=kit.batch(seq)))
        store.submit(kit.outcome(alarms=(Alarm("a", AlarmState.UA),), kept=(Kept("k", "1", "{}"),)))
        await store.flush()
        store.settle([Range(lane, "e1", 1, 100) for lane in Lane])
        await store.flush()


def _bend(path, how: str) -> None:
    content = bytearray(path.read_bytes())
    page = 4096 if path.name == "core.db" else 1024
    match how:
        case "header":
            content[:100] = bytes(100)
        case "first page":
            content[:page] = b"\xa5" * page
        case "cut in half":
            del content[len(content) // 2 :]
        case "one page":
            middle = len(content) // 2 // page * page
            content[middle : middle + page] = b"\x5a" * page
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["core.db", "readings.db"])
@pytest.mark.parametrize(
    ("how", "least"),
    [("header", 1.0), ("first page", 0.99), ("one page", 0.95), ("cut in half", 0.2)],
)
async def test_sound_records_of_a_damaged_file_come_back(kit, name, how, least):
    await _fill(kit)
    _bend(kit.directory / name, how)
    lanes = [Lane.R] if name == "readings.db" else [Lane.A, Lane.B]
    back: list[int] = []
    async with kit.open("e2", on_salvaged=back.append) as (store, seen):
        assert ("store_corrupt", name) in seen.raised()
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2"), batch=kit.batch(1, epoch="e2")))
        await store.flush()  # a new alarm does not wait for the old ones
        await kit.until(lambda: back != [])
        assert back[0] >= least * COUNT * len(lanes)
        for lane in lanes:
            found = [r for r in await store.unsettled(lane, **ALL) if r.epoch == "e1"]
            for record in found:
                assert record.body == _body(lane, record.seq), "not one byte is wrong"
            positions = [store.position(r) for r in await store.unsettled(lane, **ALL)]
            assert positions == sorted(positions)
            unsettled = {r.seq for r in found}
            is_much_left = least > 0.9
            assert len(unsettled - set(range(101))) >= (COUNT - 100) * 0.9 * is_much_left
        store.settle([Range(lane, "e1", 1, COUNT) for lane in Lane])
        await store.flush()
        for lane in lanes:
            left = await store.unsettled(lane, **ALL)
            assert [r.epoch for r in left] == ([] if lane is Lane.B else ["e2"])
    async with kit.open("e3", on_salvaged=back.append) as (store, seen):
        assert [r.epoch for r in await store.unsettled(lanes[0], **ALL)] == ["e2"]
    assert len(back) == 1, "a file is read to its end once"


@pytest.mark.parametrize("table", ["alarm_state", "pending"])
async def test_records_of_a_file_that_lacks_a_table_come_back(kit, table):
    await _fill(kit)
    with contextlib.closing(sqlite3.connect(kit.directory / "core.db")) as file:
        file.execute(f"DROP TABLE {table}")
    back: list[int] = []
    async with kit.open("e2", on_salvaged=back.append) as (store, seen):
        assert seen.raised() == [("store_corrupt", "core.db")]
        assert seen.faults[0].detail == f"it lacks {table}; kept as core.db.bad-1"
        await kit.until(lambda: back == [2 * COUNT])
        assert store.stats().is_healthy


async def test_what_was_settled_is_not_sent_again_where_the_file_still_tells(kit):
    await _fill(kit)
    bad = set_aside(kit.directory / "core.db")
    found = [each for each in salvage(bad, 4096) if each is not None]
    pending = {(row[0] >> 60, row[0] & 0xFFFF) for _, row, _, is_pending in found if is_pending}
    assert len(found) == 2 * COUNT
    assert pending == {(lane, seq) for lane in (0, 1) for seq in range(101, COUNT + 1)}


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL])
async def test_what_the_new_file_does_not_take_at_once_comes_back_all_the_same(
    kit, monkeypatch, code
):
    await _fill(kit)
    _bend(kit.directory / "core.db", "header")
    monkeypatch.setattr(writer, "FIRST_RETRY_S", 0.05)
    real, tries = Ledger.salvage, itertools.count()

    def refuses_every_other(ledger, connection, found):
        if next(tries) % 2 == 0:
            error = sqlite3.OperationalError("planted")
            error.sqlite_errorcode = code
            raise error
        return real(ledger, connection, found)

    monkeypatch.setattr(Ledger, "salvage", refuses_every_other)
    back: list[int] = []
    async with kit.open("e2", on_salvaged=back.append) as (store, _):
        await kit.until(lambda: back != [])
        await store.flush()
        for lane in (Lane.A, Lane.B):
            assert len(await store.retained(Range(lane, "e1", 1, COUNT), **ALL)) == COUNT
    assert back == [2 * COUNT]


async def test_a_row_that_no_file_can_take_costs_none_of_those_beside_it(kit, monkeypatch):
    await _fill(kit)
    _bend(kit.directory / "core.db", "header")
    real = Ledger.salvage

    def refuses_one(ledger, connection, found):
        found = list(found)
        if any(rows.position_of(row[0]).seq == 150 for _, row, *_ in found):
            raise sqlite3.IntegrityError("planted")
        return real(ledger, connection, found)

    monkeypatch.setattr(Ledger, "salvage", refuses_one)
    back: list[int] = []
    async with kit.open("e2", on_salvaged=back.append) as (store, _):
        await kit.until(lambda: back != [])
        await store.flush()
        for lane in (Lane.A, Lane.B):
            found = await store.retained(Range(lane, "e1", 1, COUNT), **ALL)
            assert [one.seq for one in found] == [n for n in range(1, COUNT + 1) if n != 150]
    assert back == [2 * (COUNT - 1)]


class _BadSectors:
    """A file of which one page cannot be read."""

    def __init__(self, file, bad_at: int) -> None:
        self._file, self._bad_at = file, bad_at

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def seek(self, *place: int) -> int:
        return self._file.seek(*place)

    def read(self, count: int) -> bytes:
        if self._file.tell() == self._bad_at:
            raise OSError(errno.EIO, "planted")
        return self._file.read(count)


async def test_a_sector_that_cannot_be_read_costs_what_stood_there(kit, monkeypatch):
    await _fill(kit)
    bad = set_aside(kit.directory / "core.db")
    count = len([each for each in salvage(bad, 4096) if each is not None])
    real = Path.open

    def opened(path, *mode):
        file = real(path, *mode)
        return _BadSectors(file, 50 * 4096) if path == bad else file

    monkeypatch.setattr(Path, "open", opened)
    found = [each for each in salvage(bad, 4096) if each is not None]
    assert count - 100 <= len(found) < count == 2 * COUNT


async def test_a_file_that_cannot_be_read_now_is_asked_again_at_the_next_start(kit, monkeypatch):
    await _fill(kit)
    bad = set_aside(kit.directory / "core.db")
    back: list[int] = []
    with monkeypatch.context() as broken:

        def refused(*_):
            raise OSError(errno.EIO, "planted")

        broken.setattr("gateway.store.salvage._pages_of", refused)
        async with kit.open("e2", on_salvaged=back.append) as (store, seen):
            await kit.until(lambda: back == [0])
            assert store.stats().is_healthy, "it is another file that fails"
            assert seen.faults == []
    async with kit.open("e3", on_salvaged=back.append):
        await kit.until(lambda: back == [0, 2 * COUNT])
    assert bad.exists()


async def test_a_second_damage_before_the_first_was_read_to_its_end_costs_neither(kit, tmp_path):
    await _fill(kit)
    core = kit.directory / "core.db"
    set_aside(core)  # and then the power went, before anything of it had come back
    other = replace(kit, directory=tmp_path / "other")
    async with other.open("e3") as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.A, n, epoch="e3") for n in (1, 2))))
    shutil.copy(other.directory / "core.db", core)
    _bend(core, "header")
    back: list[int] = []
    async with kit.open("e4", on_salvaged=back.append) as (store, _):
        await kit.until(lambda: len(back) == 2)
        assert back == [2, 2 * COUNT]
        for lane in (Lane.A, Lane.B):
            assert len(await store.retained(Range(lane, "e1", 1, COUNT), **ALL)) == COUNT
        assert len(await store.retained(Range(Lane.A, "e3", 1, 9), **ALL)) == 2
    async with kit.open("e5", on_salvaged=back.append) as (store, _):
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e5")))
        await store.flush()
    assert len(back) == 2, "each is read once"


async def test_what_only_the_log_holds_is_salvaged_too(kit, tmp_path):
    async with kit.open("e1") as (store, _):
        for seq in range(1, 51):
            store.submit(kit.outcome(kit.record(Lane.A, seq, body=_body("A", seq))))
        await store.flush()
        for part in ("core.db", "core.db-wal"):
            shutil.copy(kit.directory / part, tmp_path / part)
    _bend(tmp_path / "core.db", "first page")
    found = {
        row[0] & 0xFFFF: row[7]
        for _, row, _, _ in filter(None, salvage(tmp_path / "core.db", 4096))
    }
    assert found == {seq: _body("A", seq) for seq in range(1, 51)}


async def test_the_alarms_of_a_damaged_file_sound_again_where_it_still_tells_them(kit):
    await _fill(kit)
    path = kit.directory / "core.db"
    _bend(path, "cut in half")
    with sqlite3.connect(path) as connection:
        try:
            connection.execute("SELECT * FROM alarm_state").fetchall()
            is_told = True
        except sqlite3.DatabaseError:
            is_told = False
    connection.close()
    async with kit.open("e2") as (store, _):
        assert bool(store.restored.alarms) == is_told
        assert bool(store.restored.kept) == is_told
    async with kit.open("e3") as (store, _):
        assert bool(store.restored.alarms) == is_told, "they are in the new file now"


async def test_a_flipped_bit_anywhere_never_gives_a_wrong_record(kit, tmp_path):
    async with kit.open("e1") as (store, _):
        for seq in range(1, 61):
            store.submit(kit.outcome(kit.record(Lane.A, seq, body=_body("A", seq))))
    content = (kit.directory / "core.db").read_bytes()
    source = random.Random(6)
    path = tmp_path / "core.db"
    lost = []
    for _ in range(FLIPS):
        bent = bytearray(content)
        at = source.randrange(len(bent) * 8)
        bent[at // 8] ^= 1 << at % 8
        path.write_bytes(bent)
        found = [each for each in salvage(path, 4096) if each is not None]
        for epoch, row, _, _ in found:
            assert epoch == "e1"
            assert row[7] == _body("A", row[0] & 0xFFFF)
        lost.append(60 - len({row[0] for _, row, _, _ in found}))
    assert sum(lost) / len(lost) < 2, "one bit costs a row, seldom a page"


async def test_flipped_bits_never_reach_who_sends_and_the_store_is_ready(kit):
    async with kit.open("e1") as (store, _):
        for seq in range(1, 61):
            store.submit(kit.outcome(kit.record(Lane.A, seq, body=_body("A", seq))))
    path = kit.directory / "core.db"
    content = path.read_bytes()
    source = random.Random(12)
    for turn in range(FLIPS // 16):
        bent = bytearray(content)
        at = source.randrange(len(bent) * 8)
        bent[at // 8] ^= 1 << at % 8
        for old in kit.directory.glob("core.db*"):
            old.unlink()
        path.write_bytes(bent)
        async with kit.open(f"n{turn}") as (store, _):
            store.submit(kit.outcome(kit.record(Lane.A, 1, epoch=f"n{turn}")))
            await store.flush()
            for record in await store.unsettled(Lane.A, **ALL):
                if record.epoch == "e1":
                    assert record.body == _body("A", record.seq)
