import asyncio
import sqlite3
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.events import FaultCleared
from gateway.domain.records import Lane, Range, Record
from gateway.store.store import StoreBusy

ALL = {"limit": 10_000, "max_bytes": 10**9}


async def test_what_was_durable_is_there_after_a_restart_with_its_bytes(kit):
    records = [kit.record(Lane.A, 1), kit.record(Lane.B, 1), kit.record(Lane.A, 2)]
    alarm = Alarm("gas", AlarmState.UA, "e1-A-1", records[0].at, 40.5, 41)
    async with kit.open("e1") as (store, seen):
        assert store.restored.alarms == ()
        store.submit(kit.outcome(*records, alarms=(alarm,), batch=kit.batch(1)))
        await store.flush()
        await kit.until(lambda: len(seen.durable) == 4)
    async with kit.open("e2") as (store, again):
        assert store.restored.alarms == (alarm,)
        assert await store.unsettled(Lane.A, **ALL) == [records[0], records[2]]
        assert await store.unsettled(Lane.B, **ALL) == [records[1]]
        (batch,) = await store.unsettled(Lane.R, **ALL)
        assert (batch.body, batch.kind, batch.at) == (b"R e1 1 2", "read", records[0].at)
    assert sorted(seen.durable, key=repr) == sorted([*records, batch], key=repr)
    assert again.durable == []
    assert [*seen.faults, *again.faults] == []


async def test_nothing_is_durable_before_its_commit(kit):
    at_commit, go_on = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name == "core.db":
            at_commit.set()
            assert go_on.wait(60)

    async with kit.open(before_commit=hold) as (store, seen):
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await kit.until(at_commit.is_set)
        for seq in (2, 3, 4):
            store.submit(kit.outcome(kit.record(Lane.A, seq)))
        assert seen.durable == []
        assert store.stats().core.queued_records == 4
        assert store.stats().core.oldest_ms is not None
        go_on.set()
        await kit.until(lambda: len(seen.durable) == 4)
        assert store.stats().core.commits == 2, "what queued up meanwhile went in one commit"
        assert store.stats().core.queued_records == 0
        assert store.stats().core.oldest_ms is None


async def test_order_is_over_epochs_in_order_of_their_creation(kit):
    epochs = ["zz", "aa", "mm"]
    for epoch in epochs:
        async with kit.open(epoch) as (store, _):
            store.submit(kit.outcome(*(kit.record(Lane.A, n, epoch=epoch) for n in (1, 2))))
    async with kit.open("now") as (store, _):
        found = await store.unsettled(Lane.A, **ALL)
        assert [(r.epoch, r.seq) for r in found] == [(e, n) for e in epochs for n in (1, 2)]
        after = store.position(found[2])
        assert await store.unsettled(Lane.A, after=after, **ALL) == found[3:]
        assert (await store.bounds())[Lane.A] == tuple(Range(Lane.A, e, 1, 2) for e in epochs)


async def test_reading_is_bounded_by_count_and_bytes_but_gives_one(kit):
    async with kit.open() as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.A, n, body=bytes(100)) for n in range(1, 9))))
        await store.flush()
        assert len(await store.unsettled(Lane.A, limit=3, max_bytes=10**6)) == 3
        assert len(await store.unsettled(Lane.A, limit=10, max_bytes=250)) == 2
        assert len(await store.unsettled(Lane.A, limit=10, max_bytes=1)) == 1


async def test_settling_is_idempotent_takes_partial_ranges_and_ignores_what_is_not_there(kit):
    async with kit.open() as (store, seen):
        store.submit(kit.outcome(*(kit.record(Lane.A, n) for n in range(1, 11))))
        store.submit(kit.outcome(kit.record(Lane.B, 4), batch=kit.batch(4)))
        await store.flush()
        ranges = [
            Range(Lane.A, "e1", 3, 5),
            Range(Lane.A, "e1", 9, 99),
            Range(Lane.A, "e1", -5, 0),
            Range(Lane.A, "e1", 8, 7),
            Range(Lane.A, "other", 1, 10),
            Range(Lane.R, "e1", 0, 2**80),
        ]
        for _ in range(2):
            store.settle(ranges)
            await store.flush()
            assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [1, 2, 6, 7, 8]
            assert [r.seq for r in await store.unsettled(Lane.B, **ALL)] == [4]
            assert await store.unsettled(Lane.R, **ALL) == []
            assert (await store.bounds()) == {
                Lane.A: (Range(Lane.A, "e1", 1, 8),),
                Lane.B: (Range(Lane.B, "e1", 4, 4),),
                Lane.R: (),
            }
            assert store.stats().core.unsettled == {Lane.A: 5, Lane.B: 1}
    assert seen.faults == []
    with sqlite3.connect(kit.directory / "core.db") as connection:
        assert connection.execute("SELECT count(*) FROM record").fetchone() == (11,)


async def test_what_is_settled_is_not_given_out_again_even_before_its_commit(kit):
    async with kit.open() as (store, _):
        store.submit(kit.outcome(*(kit.record(Lane.B, n) for n in range(1, 5))))
        await store.flush()
        store.settle([Range(Lane.B, "e1", 1, 3)])
        assert [r.seq for r in await store.unsettled(Lane.B, **ALL)] == [4]


async def test_an_ack_of_readings_rides_with_the_next_batch(kit):
    async with kit.open() as (store, _):
        store.submit(kit.outcome(batch=kit.batch(1)))
        await store.flush()
        before = store.stats().readings.commits
        store.settle([Range(Lane.R, "e1", 1, 1)])
        store.submit(kit.outcome(batch=kit.batch(2)))
        await kit.until(lambda: store.stats().readings.commits > before)
        assert store.stats().readings.commits == before + 1
        assert (await store.bounds())[Lane.R] == (Range(Lane.R, "e1", 2, 2),)


async def test_a_blocked_readings_writer_does_not_delay_an_alarm(kit):
    blocked, go_on, order = threading.Event(), threading.Event(), []

    def hold(name: str) -> None:
        if name == "readings.db":
            blocked.set()
            assert go_on.wait(60)
        order.append(name)

    async with kit.open(before_commit=hold) as (store, seen):
        store.submit(kit.outcome(batch=kit.batch(1)))
        await kit.until(blocked.is_set)
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await kit.until(lambda: [r.lane for r in seen.durable] == [Lane.A])
        assert await store.unsettled(Lane.A, **ALL) == seen.durable
        assert (await store.bounds())[Lane.A], "bounds wait for no disk"
        go_on.set()
        await kit.until(lambda: len(seen.durable) == 2)
    assert order[:2] == ["core.db", "readings.db"]


async def test_an_alarm_that_is_over_is_forgotten_and_the_others_stay(kit):
    async with kit.open("e1") as (store, _):
        store.submit(kit.outcome(alarms=(Alarm("a", AlarmState.UA), Alarm("b", AlarmState.LA))))
        await store.flush()
        store.submit(kit.outcome(alarms=(Alarm("a", last=3.0),)))
    async with kit.open("e2") as (store, _):
        assert store.restored.alarms == (Alarm("b", AlarmState.LA),)


async def test_an_alarm_that_did_not_change_is_not_written_again(kit):
    alarm = Alarm("a", AlarmState.UA)
    async with kit.open() as (store, _):
        store.submit(kit.outcome(alarms=(alarm,)))
        await store.flush()
        with sqlite3.connect(kit.directory / "core.db") as watcher:
            before = watcher.execute("PRAGMA data_version").fetchone()
            store.submit(kit.outcome(alarms=(alarm,)))
            await store.flush()
            assert watcher.execute("PRAGMA data_version").fetchone() == before


async def test_a_second_daemon_on_the_directory_is_refused(kit):
    async with kit.open("e1") as (store, _):
        with pytest.raises(StoreBusy, match="another care-gateway uses"):
            async with kit.open("e2"):
                pytest.fail("two daemons on one directory")
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await store.flush()
    async with kit.open("e2"):
        pass


async def test_a_number_used_twice_keeps_the_first_and_is_told(kit):
    async with kit.open() as (store, seen):
        first = kit.record(Lane.A, 1, body=b"first")
        store.submit(kit.outcome(first))
        store.submit(kit.outcome(first))
        await store.flush()
        assert seen.faults == []
        store.submit(kit.outcome(kit.record(Lane.A, 1, body=b"second"), kit.record(Lane.A, 2)))
        await store.flush()
        assert [r.body for r in await store.unsettled(Lane.A, **ALL)] == [b"first", b"A e1 2"]
        await kit.until(lambda: seen.raised() == [("task_failed", "store core.db")])


async def test_one_record_or_batch_that_cannot_be_kept_does_not_stop_the_others(kit):
    def encode(batch) -> bytes:
        if batch.seq == 1:
            raise RuntimeError("cannot encode this one")
        return b"ok"

    async with kit.open(encode=encode) as (store, seen):
        bad = Record(Lane.A, "e1", -7, "alarm", kit.record(Lane.A, 1).at, b"")
        odd = Record(Lane.A, "e1", 3, "alarm", None, b"")  # type: ignore[arg-type]
        store.submit(kit.outcome(bad, odd, kit.record(Lane.A, 2), batch=kit.batch(1)))
        store.submit(kit.outcome(batch=kit.batch(2)))
        await store.flush()
        assert [r.seq for r in await store.unsettled(Lane.A, **ALL)] == [2]
        assert [r.seq for r in await store.unsettled(Lane.R, **ALL)] == [2]
        await kit.until(lambda: len(seen.faults) == 3)
    assert set(seen.raised()) == {
        ("task_failed", "store core.db"),
        ("task_failed", "store readings.db"),
    }


async def test_a_fault_of_an_earlier_start_ends_when_the_store_is_well(kit):
    async with kit.open("e1") as (store, _):
        rule = "gateway/store_slow/readings.db"
        store.submit(kit.outcome(alarms=(Alarm(rule, AlarmState.UA), Alarm("x", AlarmState.UA))))
    async with kit.open("e2") as (_, seen):
        assert seen.faults == [FaultCleared("store_slow", "readings.db")]


async def test_closing_commits_what_waits(kit):
    async with kit.open("e1") as (store, _):
        for seq in range(1, 301):
            store.submit(kit.outcome(kit.record(Lane.B, seq), batch=kit.batch(seq)))
        store.settle([Range(Lane.B, "e1", 1, 299)])
    async with kit.open("e2") as (store, _):
        assert [r.seq for r in await store.unsettled(Lane.B, **ALL)] == [300]
        assert [r.seq for r in await store.unsettled(Lane.R, **ALL)] == list(range(1, 301))
    with pytest.raises(OSError, match="closed"):
        await store.flush()
    assert await store.unsettled(Lane.R, **ALL) == []


async def test_asking_for_an_answer_and_leaving_harms_nobody(kit):
    async with kit.open() as (store, _):
        for _ in range(20):
            asking = asyncio.ensure_future(store.unsettled(Lane.A, **ALL))
            flushing = asyncio.ensure_future(store.flush())
            await asyncio.sleep(0)
            asking.cancel()
            flushing.cancel()
        store.submit(kit.outcome(kit.record(Lane.A, 1)))
        await store.flush()
        assert len(await store.unsettled(Lane.A, **ALL)) == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("submit"), st.sampled_from("AB"), st.sampled_from("xyz"), st.integers(1, 12)
        ),
        st.tuples(st.just("batch"), st.just("R"), st.sampled_from("xyz"), st.integers(1, 12)),
        st.tuples(
            st.just("settle"),
            st.sampled_from("ABR"),
            st.sampled_from("xyz"),
            st.tuples(st.integers(0, 13), st.integers(0, 13)),
        ),
        st.tuples(st.just("read"), st.sampled_from("ABR"), st.integers(1, 5), st.integers(0, 4)),
        st.tuples(st.just("restart"), st.just(""), st.just(""), st.just(0)),
    ),
    max_size=30,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_the_store_is_a_dict_that_forgets_what_is_settled(kit, tmp_path_factory, steps):
    kit.directory = tmp_path_factory.mktemp("model")
    asyncio.run(_follow(kit, steps))


class Model:
    """What the store should say: epochs in order of first use a file, records, who is unsettled."""

    def __init__(self) -> None:
        self.epochs: dict[bool, list[str]] = {True: [], False: []}
        self.kept: dict[tuple[str, str, int], bool] = {}

    def begin(self, epoch: str) -> None:
        for is_core in (True, False):
            self.use(is_core, epoch)

    def use(self, is_core: bool, epoch: str) -> None:
        if epoch not in self.epochs[is_core]:
            self.epochs[is_core].append(epoch)

    def submit(self, lane: str, epoch: str, seq: int) -> None:
        self.use(lane != "R", epoch)
        self.kept.setdefault((lane, epoch, seq), False)

    def settle(self, lane: str, epoch: str, lo: int, hi: int) -> None:
        for key in self.kept:
            if key[:2] == (lane, epoch) and lo <= key[2] <= hi:
                self.kept[key] = True

    def unsettled(self, lane: str) -> list[tuple[str, int]]:
        order = self.epochs[lane != "R"].index
        mine = [key[1:] for key, done in self.kept.items() if key[0] == lane and not done]
        return sorted(mine, key=lambda key: (order(key[0]), key[1]))


async def _follow(kit, steps) -> None:
    model, left = Model(), list(steps)
    for epoch in "xyz":  # every epoch was a start of its own, before anything was submitted in it
        model.begin(epoch)
        async with kit.open(epoch):
            pass
    starts = 0
    while left or starts == 0:
        starts += 1
        model.begin(f"start{starts}")
        async with kit.open(f"start{starts}") as (store, seen):
            while left and (step := left.pop(0))[0] != "restart":
                await _do(kit, store, model, step)
            for lane in Lane:
                found = await store.unsettled(lane, **ALL)
                assert [(r.epoch, r.seq) for r in found] == model.unsettled(lane)
            await store.flush()
            assert await _bounds(store) == _bounds_of(model)
        assert seen.faults == []


async def _do(kit, store, model: Model, step) -> None:
    match step:
        case "submit", lane, epoch, seq:
            store.submit(kit.outcome(kit.record(Lane(lane), seq, epoch=epoch)))
            model.submit(lane, epoch, seq)
        case "batch", lane, epoch, seq:
            store.submit(kit.outcome(batch=kit.batch(seq, epoch=epoch)))
            model.submit(lane, epoch, seq)
        case "settle", lane, epoch, (lo, hi):
            await store.flush()  # an ack follows the record's commit
            # an ack of what is not there yet is kept for it; what was never there does no harm
            there = [seq for seq in range(lo, hi + 1) if (lane, epoch, seq) in model.kept]
            never = Range(Lane(lane), epoch, 1_000 + lo, 1_000 + hi)
            store.settle([*(Range(Lane(lane), epoch, seq, seq) for seq in there), never])
            model.settle(lane, epoch, lo, hi)
        case "read", lane, limit, skip:
            expected = model.unsettled(lane)
            await store.flush()
            found = await store.unsettled(Lane(lane), **ALL)
            after = store.position(found[skip]) if skip < len(found) else None
            rest = expected[skip + 1 :] if after else expected
            part = await store.unsettled(Lane(lane), after=after, limit=limit, max_bytes=10**6)
            assert [(r.epoch, r.seq) for r in part] == rest[:limit]


async def _bounds(store) -> set[tuple[str, str, int, int]]:
    found = await store.bounds()
    return {(b.lane.value, b.epoch, b.lo, b.hi) for each in found.values() for b in each}


def _bounds_of(model: Model) -> set[tuple[str, str, int, int]]:
    groups: dict[tuple[str, str], list[int]] = {}
    for (lane, epoch, seq), is_done in model.kept.items():
        if not is_done:
            groups.setdefault((lane, epoch), []).append(seq)
    return {(*group, min(seqs), max(seqs)) for group, seqs in groups.items()}
