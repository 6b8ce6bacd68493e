"""What a day costs the card, from a few hundred commits as the daemon makes them."""

import json
import random
import zlib

import pytest

from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Range
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


async def test_a_day_of_40_points_every_10_s_writes_less_than_100_mb_in_9000_commits(kit):
    source = random.Random(1)
    async with kit.open(encode=_encode) as (store, _):
        for seq in range(1, COMMITS + 1):
            store.submit(Outcome(QUIET, batch=_batch(seq, source)))
            if seq > 1:
                store.settle([Range(Lane.R, "e1", seq - 1, seq - 1)])
            await store.flush()
        stats = store.stats().readings
    if not stats.bytes_written:
        pytest.skip("the kernel counts no bytes here: a folder in memory")
    assert stats.commits == COMMITS, "an ack rides with the next batch"
    assert stats.bytes_written / COMMITS * A_DAY < 100e6
