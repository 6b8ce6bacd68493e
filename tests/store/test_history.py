import random
from dataclasses import replace

import pytest

from gateway.domain.moments import Clk, Now
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch
from gateway.store import history as module
from gateway.store.history import SLOT_MS, History

START = 1_790_000_100_000 // SLOT_MS * SLOT_MS


def _batch(*readings: Reading, seq: int = 1, utc: int | None = START) -> Batch:
    return Batch("e1", seq, Now(mono_ms=0, utc_ms=utc, clk=Clk.SYNC, err_ms=1, boot="b"), readings)


def _good(ms: int, value: float, point: str = "d.p") -> Reading:
    return Reading(point, value, Quality.GOOD, ms)


async def test_five_minutes_are_least_mean_over_time_and_greatest(kit):
    readings = [_good(ms, 10.0) for ms in range(0, 150_000, 50_000)]
    readings += [_good(ms, 20.0) for ms in range(150_000, 300_001, 50_000)]
    async with kit.open() as (store, _):
        store.submit(kit.outcome(batch=_batch(*readings)))
        await store.flush()
        store.submit(kit.outcome(batch=_batch(_good(300_500, 5.0), seq=2)))
        await store.flush()
        (found,) = await store.history("d.p", START, START + SLOT_MS - 1)
        assert found.at_ms == START
        assert (found.least, found.greatest, found.good_ms) == (10.0, 20.0, SLOT_MS)
        assert found.mean == pytest.approx(15.0)
        assert await store.history("d.other", 0, 1 << 62) == []


async def test_what_is_not_good_is_no_part_of_a_chart():
    history = History()
    bad = Reading("d.p", 999.0, Quality.FAULT, 60_000)
    history.add(_batch(_good(0, 1.0), bad, _good(120_000, 3.0), _good(180_000, 3.0)))
    history.close_all()
    ((slot, point, least, mean, greatest, ms),) = history._done
    assert (slot, point, least, greatest) == (START // SLOT_MS, "d.p", 1.0, 3.0)
    assert ms == 120_000, "from the bad reading on nothing is known until the next good one"
    assert mean == pytest.approx(2.0)


def test_a_value_is_not_believed_for_longer_than_two_heartbeats():
    history = History()
    history.add(_batch(_good(0, 4.0), _good(1_500_000, 4.0)))
    assert [(row[0] - START // SLOT_MS, row[-1]) for row in history._done] == [(0, 120_000)]


def test_without_a_clock_there_is_no_chart():
    history = History()
    history.add(_batch(_good(0, 4.0), _good(400_000, 4.0), utc=None))
    assert not history.has_rows


def test_a_clock_that_counts_from_its_floor_draws_nothing_into_the_past():
    history = History()
    floor = replace(_batch(_good(0, 4.0), _good(400_000, 4.0)))
    history.add(replace(floor, at=replace(floor.at, clk=Clk.NONE, err_ms=None)))
    assert not history.has_rows


async def test_a_clock_that_is_set_back_stops_no_chart(kit):
    """An hour ahead at first; when it is put right every point goes on at once."""
    hour = 12 * SLOT_MS
    async with kit.open() as (store, _):
        for seq, (begin, utc) in enumerate(
            ((0, START + hour), (900_000, START), (1_500_000, START))
        ):
            readings = [_good(begin + ms, float(seq)) for ms in range(0, 600_000, 60_000)]
            store.submit(kit.outcome(batch=_batch(*readings, seq=seq + 1, utc=utc)))
            await store.flush()
        store.submit(kit.outcome(batch=_batch(_good(2_500_000, 9.0), seq=9)))
        await store.flush()
    async with kit.open("e2") as (store, _):
        found = await store.history("d.p", START, START + hour + hour)
    at = [(each.at_ms - START) // SLOT_MS for each in found]
    assert at == [3, 4, 5, 6, 7, 8, 12, 13]
    assert [each.mean for each in found] == [1.0, 1.0, 2.0, 2.0, 2.0, 9.0, 0.0, 0.0]
    assert max(each.good_ms for each in found) <= SLOT_MS


def test_the_mean_lies_between_and_no_time_is_counted_twice():
    source = random.Random(1)
    history = History()
    at = 0
    for seq in range(1, 200):
        readings = []
        for _ in range(source.randrange(8)):
            at += source.randrange(90_000)
            quality = source.choice([Quality.GOOD, Quality.GOOD, Quality.OFFLINE])
            readings.append(replace(_good(at, source.uniform(-5, 5)), quality=quality))
        history.add(_batch(*readings, seq=seq))
    slots = [row[0] for row in history._done]
    assert slots == sorted(set(slots))
    for _, _, least, mean, greatest, ms in history._done:
        assert least - 1e-9 <= mean <= greatest + 1e-9
        assert 0 <= ms <= SLOT_MS


async def test_the_oldest_go_when_there_are_too_many_rows(kit, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    monkeypatch.setattr(module, "TRIM_EVERY", 1)
    async with kit.open() as (store, _):
        for slot in range(40):
            at = slot * SLOT_MS
            store.submit(
                kit.outcome(batch=_batch(_good(at, 1.0), _good(at + 9, 2.0), seq=slot + 1))
            )
            await store.flush()
        found = await store.history("d.p", 0, 1 << 62)
        assert len(found) <= 12
        assert found[-1].at_ms >= START + 36 * SLOT_MS
