import hashlib
import sqlite3
from dataclasses import asdict

import pytest

from gateway.domain.records import Lane, Range
from gateway.store import chain, room
from gateway.store.verify import verify_core, verify_readings


def _hash_of(*bodies: bytes) -> str:
    head = bytes(32)
    for body in bodies:
        head = hashlib.sha256(head + body).digest()
    return head.hex()


async def _fill(kit, epoch: str, *seqs: int) -> dict[Lane, str]:
    """Records of these numbers on both lanes; the heads after them."""
    async with kit.open(epoch) as (store, _):
        for seq in seqs:
            records = (kit.record(lane, seq, epoch=epoch) for lane in (Lane.A, Lane.B))
            store.submit(kit.outcome(*records))
        await store.flush()
        return store.heads()


def _verify(kit, **heads: str):
    known = {Lane(lane): [head] for lane, head in heads.items()}
    return {report.lane: report for report in verify_core(kit.directory / "core.db", known)}


def _change(kit, statement: str) -> None:
    connection = sqlite3.connect(kit.directory / "core.db", isolation_level=None)
    connection.execute(statement)
    connection.close()


async def test_a_head_covers_every_body_of_its_lane_over_all_epochs(kit):
    await _fill(kit, "e1", 1, 2)
    async with kit.open("e2") as (store, _):
        bodies = [b"A e1 1", b"A e1 2"]
        assert store.heads()[Lane.A] == _hash_of(*bodies), "the next epoch goes on from here"
        assert store.restored.heads == store.heads()
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2")))
        await store.flush()
        assert store.heads()[Lane.A] == _hash_of(*bodies, b"A e2 1")
        assert store.heads()[Lane.B] == _hash_of(b"B e1 1", b"B e1 2")
    report = _verify(kit, A=_hash_of(*bodies), B=_hash_of(b"B e1 1"))
    assert report[Lane.A].is_sound, report
    assert report[Lane.B].is_sound, report
    assert (report[Lane.A].records, report[Lane.A].head_epoch, report[Lane.A].head_seq) == (
        3, "e2", 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "seq", "why"),
    [
        ("UPDATE record SET body = x'7b7d' WHERE (id & 255) = 3", 3, "crc"),
        ("UPDATE record SET utc = utc + 1 WHERE (id & 255) = 3", None, None),
        ("DELETE FROM record WHERE (id & 255) = 3", 4, "chain"),
        ("DELETE FROM record WHERE (id & 255) = 1", 2, "chain"),
        ("UPDATE record SET hash = NULL WHERE (id & 255) = 3", 3, "not_chained"),
        ("UPDATE record SET id = id + 100 WHERE (id & 255) = 3", 4, "chain"),
        ("UPDATE epoch SET epoch = 'other'", 1, "crc"),
        ("DELETE FROM epoch", 1, "unknown_epoch"),
    ],
)
async def test_what_was_done_to_a_row_is_found_and_the_row_is_named(kit, statement, seq, why):
    await _fill(kit, "e1", 1, 2, 3, 4, 5)
    _change(kit, statement)
    report = _verify(kit)[Lane.A]
    found = report.first_bad and (report.first_bad.seq, report.first_bad.why)
    assert found == ((seq, why) if why else None), asdict(report)


async def test_a_forged_row_with_a_right_crc_breaks_the_chain(kit):
    await _fill(kit, "e1", 1, 2, 3)
    from gateway.store.rows import crc_of

    crc = crc_of(Lane.A, "e1", 2, b"forged")
    _change(kit, f"UPDATE record SET body = x'{b'forged'.hex()}', crc = {crc} WHERE id & 255 = 2"
                 " AND id >> 60 = 0")  # fmt: skip
    report = _verify(kit)[Lane.A]
    assert (report.first_bad.seq, report.first_bad.why, report.bad) == (2, "chain", 1)


async def test_a_cut_off_tail_is_found_by_the_head_that_the_platform_has(kit):
    heads = await _fill(kit, "e1", 1, 2, 3)
    _change(kit, "DELETE FROM record WHERE (id & 255) = 3")
    assert _verify(kit)[Lane.A].is_sound, "by itself a shorter chain is a sound chain"
    report = _verify(kit, A=heads[Lane.A])[Lane.A]
    assert report.missing_heads == [heads[Lane.A]]
    assert not report.is_sound


async def test_a_rewritten_history_is_found_by_an_older_head(kit):
    heads = await _fill(kit, "e1", 1, 2)
    await _fill(kit, "e2", 1)
    connection = sqlite3.connect(kit.directory / "core.db", isolation_level=None)
    head = bytes(32)
    from gateway.store.rows import crc_of, lane_of, position_of

    names = dict(connection.execute("SELECT ordinal, epoch FROM epoch"))
    for row_id, body in connection.execute("SELECT id, body FROM record ORDER BY id").fetchall():
        if lane_of(row_id) is not Lane.A:
            continue
        position = position_of(row_id)
        forged = body.replace(b"A", b"X")
        head = chain.link(head, forged)
        crc = crc_of(Lane.A, names[position.ordinal], position.seq, forged)
        new = (forged, crc, head, row_id)
        connection.execute("UPDATE record SET body = ?, crc = ?, hash = ? WHERE id = ?", new)
    connection.close()
    assert _verify(kit)[Lane.A].is_sound, "everything was made anew: it fits itself"
    assert not _verify(kit, A=heads[Lane.A])[Lane.A].is_sound


async def test_what_was_evicted_leaves_a_checkpoint_that_the_rest_ties_on_to(kit, monkeypatch):
    monkeypatch.setattr(room, "KEPT_OF_A_LANE", 5)
    async with kit.open("e1", core_bytes=400_000) as (store, seen):
        for seq in range(1, 301):
            store.submit(kit.outcome(kit.record(Lane.B, seq, body=b"%04d" % seq * 1_000)))
            if seq != 40:  # one that the platform never took stays in the middle
                store.settle([Range(Lane.B, "e1", seq, seq)])
            await store.flush()
        assert [f for f in seen.faults if f.code != "store_pressure"] == []
        head = store.heads()[Lane.B]
        assert [r.seq for r in await store.unsettled(Lane.B, limit=9, max_bytes=1 << 20)] == [40]
    bodies = [b"%04d" % seq * 1_000 for seq in range(1, 301)]
    assert head == _hash_of(*bodies)
    report = _verify(kit, B=_hash_of(*bodies[:40]))[Lane.B]
    assert report.is_sound, report
    assert 5 <= report.records < 200
    assert report.checkpoints == 2, "one before the record that stayed, one after it"
    _change(kit, "DELETE FROM checkpoint WHERE id = (SELECT max(id) FROM checkpoint)")
    assert not _verify(kit)[Lane.B].is_sound


async def test_the_newest_of_a_lane_stay_while_others_make_room(kit, monkeypatch):
    monkeypatch.setattr(room, "KEPT_OF_A_LANE", 20)
    async with kit.open("e1", core_bytes=400_000) as (store, seen):
        for seq in range(1, 31):
            store.submit(kit.outcome(kit.record(Lane.A, seq, body=bytes(2_000))))
        await store.flush()
        store.settle([Range(Lane.A, "e1", 1, 30)])
        for seq in range(1, 201):
            store.submit(kit.outcome(kit.record(Lane.B, seq, body=bytes(2_000))))
            store.settle([Range(Lane.B, "e1", seq, seq)])
            await store.flush()
        assert ("store_failing", "core.db") not in seen.raised()
        assert len(await store.last("alarm", 99, lane=Lane.A)) >= 20
        assert [r.seq for r in await store.last("alarm", 20)] == list(range(200, 180, -1))


async def test_the_chain_goes_on_in_the_file_after_a_damaged_one(kit):
    heads = await _fill(kit, "e1", 1, 2, 3)
    path = kit.directory / "core.db"
    content = bytearray(path.read_bytes())
    page = content.index(b"B e1 2") // 4096 * 4096
    content[page : page + 8] = b"\xff" * 8
    path.write_bytes(content)
    async with kit.open("e2") as (store, seen):
        assert ("store_corrupt", "core.db") in seen.raised()
        store.submit(kit.outcome(kit.record(Lane.A, 1, epoch="e2")))
        await store.flush()
        now = store.heads()
    report = _verify(kit, A=now[Lane.A])[Lane.A]
    assert report.is_sound, report
    if heads == store.restored.heads:
        assert now[Lane.A] == hashlib.sha256(bytes.fromhex(heads[Lane.A]) + b"A e2 1").hexdigest()


async def test_a_chain_goes_on_in_a_file_that_goes_bad_while_running(kit):
    bad: list[bool] = []

    def corrupt(name: str) -> None:
        if name == "core.db" and bad:
            bad.clear()
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    async with kit.open("e1", before_commit=corrupt) as (store, _):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await store.flush()
        told = store.heads()[Lane.A]
        bad.append(True)
        store.submit(kit.outcome(kit.record(Lane.A, 2)))
        await store.flush()
        assert store.heads()[Lane.A] == _hash_of(b"A e1 1", b"A e1 2")
        await kit.until(lambda: store.stats().core.unsettled == {Lane.A: 2})
    assert _verify(kit, A=told)[Lane.A].is_sound


async def test_rows_of_before_the_chain_are_told_apart(kit):
    await _fill(kit, "e1", 1, 2)
    _change(kit, "UPDATE record SET hash = NULL")
    await _fill(kit, "e2", 1)
    report = _verify(kit)[Lane.A]
    assert (report.is_sound, report.unchained, report.records) == (True, 2, 3)


async def test_readings_are_verified_row_by_row(kit):
    async with kit.open("e1") as (store, _):
        for seq in range(1, 6):
            store.submit(kit.outcome(batch=kit.batch(seq)))
    path = kit.directory / "readings.db"
    assert [report.is_sound for report in verify_readings(path)] == [True]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE record SET body = x'00' WHERE (id & 255) IN (2, 4)")
    connection.close()
    (report,) = verify_readings(path)
    assert (report.bad, report.first_bad.seq, report.first_bad.why) == (2, 2, "crc")
