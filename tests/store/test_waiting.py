from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Range
from gateway.store.waiting import MAX_READINGS, MAX_RECORDS, Waiting, add, put_back, thin


def test_the_oldest_of_lane_b_goes_before_any_alarm(kit):
    waiting = Waiting()
    for seq in range(1, MAX_RECORDS + 1):
        add(waiting, [kit.record(Lane.A if seq % 2 else Lane.B, seq)], (), None)
    assert waiting.dropped_records == 0
    add(waiting, [kit.record(Lane.A, MAX_RECORDS + 1)], (), None)
    assert waiting.record_count == MAX_RECORDS
    assert waiting.dropped_records == 1
    assert waiting.records[Lane.A][0].seq == 1
    assert waiting.records[Lane.B][0].seq == 4


def test_readings_are_thinned_before_any_batch_is_dropped():
    waiting = Waiting()
    for seq in range(1, 101):
        add(waiting, (), (), _batch(seq, 1_000))
    assert waiting.readings <= MAX_READINGS
    assert waiting.batch_count == 100
    assert waiting.dropped_readings == 100_000 - waiting.readings
    for seq in range(101, 201):  # nothing to thin in these: each reading is another point's
        add(waiting, (), (), _batch(seq, 1_000, points=1_000))
    assert waiting.batch_count < 200
    kept = [batch.seq for batch in (*waiting.thinned, *waiting.batches)]
    assert kept == list(range(kept[0], 201)), "what is left is the newest, in order"
    assert waiting.readings == sum(
        len(batch.readings) for batch in (*waiting.thinned, *waiting.batches)
    )


def test_thinning_keeps_extremes_the_last_and_bad_ones():
    values = [5.0, 9.0, 1.0, 4.0, 3.0]
    good = [Reading("d.p", value, Quality.GOOD, n) for n, value in enumerate(values)]
    bad = Reading("d.p", None, Quality.OFFLINE, 9, "silent")
    kept = thin(Batch("e", 7, None, (*good, bad)))  # type: ignore[arg-type]
    assert [reading.value for reading in kept.readings] == [9.0, 1.0, 3.0, None]
    assert (kept.epoch, kept.seq) == ("e", 7)


def test_what_failed_comes_before_what_came_meanwhile(kit):
    failed, newer = Waiting(since=1.0), Waiting(since=2.0)
    add(failed, [kit.record(Lane.A, 1), kit.record(Lane.A, 2)], [Alarm("r")], kit.batch(1))
    failed.settles[Range(Lane.A, "e1", 1, 1)] = None
    add(newer, [kit.record(Lane.A, 3)], [Alarm("r", AlarmState.UA)], kit.batch(2))
    put_back(failed, newer)
    assert [record.seq for record in newer.records[Lane.A]] == [1, 2, 3]
    assert [batch.seq for batch in newer.batches] == [1, 2]
    assert newer.alarms == {"r": Alarm("r", AlarmState.UA)}
    assert (newer.readings, newer.since, list(newer.settles)) == (
        4,
        1.0,
        [Range(Lane.A, "e1", 1, 1)],
    )


def _batch(seq: int, count: int, points: int = 1) -> Batch:
    readings = (Reading(f"d.p{n % points}", float(n), Quality.GOOD, n) for n in range(count))
    return Batch("e1", seq, None, tuple(readings))  # type: ignore[arg-type]
