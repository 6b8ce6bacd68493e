"""A daemon's store at work until it is killed: prints what was confirmed as durable.

    python submitter.py DIRECTORY EPOCH

Line `k`: outcome k holds record A k, record B k, the alarm `r` with detail k, and batch k.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Range, Record
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import StoreSpec
from gateway.store.store import open_store

AT = Now(1, 2, Clk.EST, 3, "b")
QUIET = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0)


def body_of(lane: str, epoch: str, seq: int) -> bytes:
    """The bytes of this record, known to the checker too."""
    source = random.Random(f"{lane}/{epoch}/{seq}")
    return source.randbytes(source.randint(1, 3_000))


def outcome_of(epoch: str, seq: int) -> Outcome:
    return Outcome(
        QUIET,
        records=tuple(
            Record(lane, epoch, seq, "alarm", AT, body_of(lane, epoch, seq))
            for lane in (Lane.A, Lane.B)
        ),
        alarms=(Alarm("r", AlarmState.UA, f"{epoch}-A-{seq}", AT, detail=str(seq)),),
        batch=Batch(epoch, seq, AT, (Reading("d.p", 1.0, Quality.GOOD, 1),)),
    )


def confirm(records: tuple[Record, ...]) -> None:
    lines = "".join(f"{record.lane} {record.epoch} {record.seq}\n" for record in records)
    os.write(1, lines.encode())  # in one piece, unbuffered: a kill cuts nothing that was said


async def main(directory: Path, epoch: str) -> None:
    pace = random.Random(epoch)
    async with open_store(
        StoreSpec(directory),
        epoch=epoch,
        encode=lambda batch: body_of("R", batch.epoch, batch.seq),
        on_durable=confirm,
        on_fault=lambda fault: os.write(1, f"fault {fault}\n".encode()),
    ) as store:
        for seq in range(1, 1_000_000):
            store.submit(outcome_of(epoch, seq))
            if seq % 2 == 0:
                store.settle([Range(lane, epoch, seq, seq) for lane in Lane])
            if pace.random() < 0.3:
                await store.flush()
            await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
