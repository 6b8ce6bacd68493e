"""Builders and a store that notes what it reports."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.domain.alarms import Alarm
from gateway.domain.events import FaultCleared, FaultRaised
from gateway.domain.kept import Kept
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Record
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import StoreSpec
from gateway.store.store import Store, open_store

DEADLINE_S = 60.0
AT = Now(mono_ms=123_456, utc_ms=1_790_000_000_123, clk=Clk.SYNC, err_ms=40, boot="b00t")
QUIET = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0)


@dataclass
class Seen:
    """What one store reported, in order."""

    durable: list[Record] = field(default_factory=list)
    faults: list[FaultRaised | FaultCleared] = field(default_factory=list)

    def raised(self) -> list[tuple[str, str]]:
        return [(f.code, f.subject) for f in self.faults if isinstance(f, FaultRaised)]

    def cleared(self) -> list[tuple[str, str]]:
        return [(f.code, f.subject) for f in self.faults if isinstance(f, FaultCleared)]


@dataclass
class Kit:
    """The builders that the tests share."""

    directory: Path

    def record(self, lane: Lane, seq: int, *, epoch: str = "e1", body: bytes = b"") -> Record:
        return Record(lane, epoch, seq, "alarm", AT, body or f"{lane} {epoch} {seq}".encode())

    def batch(self, seq: int, *, epoch: str = "e1", points: int = 2) -> Batch:
        readings = (Reading(f"d.p{n}", float(seq), Quality.GOOD, n) for n in range(points))
        return Batch(epoch, seq, AT, tuple(readings))

    def outcome(
        self,
        *records: Record,
        alarms: tuple[Alarm, ...] = (),
        batch: Batch | None = None,
        kept: tuple[Kept, ...] = (),
    ) -> Outcome:
        return Outcome(QUIET, records=records, alarms=alarms, batch=batch, kept=kept)

    def encode(self, batch: Batch) -> bytes:
        return f"R {batch.epoch} {batch.seq} {len(batch.readings)}".encode()

    @asynccontextmanager
    async def open(self, epoch: str = "e1", **options: object) -> AsyncIterator[tuple[Store, Seen]]:
        seen = Seen()
        given = {
            "encode": self.encode,
            "on_durable": seen.durable.extend,
            "on_fault": seen.faults.append,
            **options,
        }
        async with open_store(StoreSpec(self.directory), epoch=epoch, **given) as store:
            yield store, seen

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path / "store")
