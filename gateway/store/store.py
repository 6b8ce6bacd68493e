"""The store as the rest of the daemon sees it: two files, a writer thread each, no waiting."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from gateway.core.faults import fault_id
from gateway.domain.events import FaultCleared, FaultRaised, GapPlanned
from gateway.domain.outcome import Outcome
from gateway.domain.records import Batch, Lane, Range, Record
from gateway.domain.site import StoreSpec
from gateway.store.files import DirectoryLock, FileSpec, StoreBusy
from gateway.store.gaps import gaps_of
from gateway.store.reader import FiveMinutes, history, last_of_kind, retained
from gateway.store.remembered import Restored
from gateway.store.room import Ballast
from gateway.store.rows import Position
from gateway.store.writer import SLOW_AFTER_S, FileStats, Hooks, Writer

__all__ = ["FileStats", "Position", "Restored", "Store", "StoreBusy", "StoreStats", "open_store"]

log = logging.getLogger(__name__)

CORE_BYTES = 64 * 2**20
READINGS_BYTES = 512 * 2**20
READY_WITHIN_S = 5.0
CLOSE_WITHIN_S = 5.0
LOOK_EVERY_S = 0.25
MOST_RIDE_S = 20.0
_CODES = (
    "store_failing", "store_slow", "store_corrupt", "store_row_damaged", "store_pressure",
    "task_failed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreStats:
    core: FileStats
    readings: FileStats

    @property
    def is_healthy(self) -> bool:
        return self.core.is_healthy and self.readings.is_healthy

    @property
    def unsettled(self) -> dict[Lane, int]:
        """How many durable records each lane has that are not settled; none = no entry."""
        return {**self.core.unsettled, **self.readings.unsettled}


class Store:
    """Made by `open_store`."""

    def __init__(self, core: Writer, readings: Writer, restored: Restored) -> None:
        self.restored = restored
        self._core = core
        self._readings = readings

    def submit(self, outcome: Outcome) -> None:
        """Hand over what one step decided; returns at once, also when a disk hangs or fails."""
        core = [record for record in outcome.records if record.lane is not Lane.R]
        batches = [record for record in outcome.records if record.lane is Lane.R]
        if core or outcome.alarms or outcome.kept:
            self._core.submit(core, outcome.alarms, None, outcome.kept)
        if batches or outcome.batch is not None:
            self._readings.submit(batches, (), outcome.batch)

    async def unsettled(
        self, lane: Lane, *, after: Position | None = None, limit: int, max_bytes: int
    ) -> list[Record]:
        """Durable records of the lane that are not settled, oldest first over all epochs.

        At most `limit` and `max_bytes` of bodies, but one record always, if there is one;
        `after` is the position of the last one known (see `position`). Waits for this lane's
        file, not for the other one. Empty while that file cannot even be read.
        """
        return await asyncio.wrap_future(self._of(lane).unsettled(lane, after, limit, max_bytes))

    async def last(self, kind: str, n: int, *, lane: Lane = Lane.B) -> list[Record]:
        """The newest `n` durable records of a kind on a lane, newest first, settled or not.

        Read beside the writers, in a thread: no commit waits for it. Empty when the file cannot
        be read.
        """
        path = self._of(lane).spec.path
        return await asyncio.to_thread(last_of_kind, path, lane, kind, n)

    async def retained(self, wanted: Range, *, limit: int, max_bytes: int) -> list[Record]:
        """Durable records of a range, settled or not, lowest number first: for a replay.

        Bounded as `unsettled`, and read beside the writers as `last`. Empty when nothing of it is
        left or the file cannot be read.
        """
        path = self._of(wanted.lane).spec.path
        return await asyncio.to_thread(retained, path, wanted, limit, max_bytes)

    async def history(self, point: str, since_ms: int, until_ms: int) -> list[FiveMinutes]:
        """Five minutes each of a point between two UTC moments, read beside the writers.

        sqlite3.Error when the file cannot be read.
        """
        path = self._readings.spec.path
        return await asyncio.to_thread(history, path, point, since_ms, until_ms)

    def position(self, record: Record) -> Position:
        """Where a durable record stands in its lane; KeyError for one of an unknown epoch."""
        return Position(self._of(record.lane).ledger.ordinals[record.epoch], record.seq)

    def heads(self) -> dict[Lane, str]:
        """SHA-256 of each chained lane's newest durable record and all before it, in hex."""
        return {lane: head.hash.hex() for lane, head in self._core.ledger.heads.items()}

    def knows_epoch(self, epoch: str) -> bool:
        """True for this start's epoch and those of earlier starts that either file still has."""
        return any(epoch in writer.ledger.ordinals for writer in (self._core, self._readings))

    async def bounds(self) -> dict[Lane, tuple[Range, ...]]:
        """Oldest and newest unsettled number of each lane and epoch, oldest epoch first.

        As of the last commit; never waits for a disk. Every lane has an entry. How many: `stats`.
        """
        found: dict[Lane, list[Range]] = {lane: [] for lane in Lane}
        for writer in (self._core, self._readings):
            for bound, _ in writer.ledger.bounds:
                found[bound.lane].append(bound)
        return {lane: tuple(ranges) for lane, ranges in found.items()}

    def settle(self, ranges: Sequence[Range]) -> None:
        """The platform has these. Queued; what is unknown or settled already does no harm."""
        for writer in (self._core, self._readings):
            mine = [each for each in ranges if self._of(each.lane) is writer]
            if mine:
                writer.settle(mine)

    async def flush(self) -> None:
        """Return when all that was submitted and settled so far is on disk; OSError at the end."""
        flushes = [writer.flush() for writer in (self._core, self._readings)]
        await asyncio.gather(*map(asyncio.wrap_future, flushes))

    def stats(self) -> StoreStats:
        return StoreStats(self._core.stats(), self._readings.stats())

    def _of(self, lane: Lane) -> Writer:
        return self._readings if lane is Lane.R else self._core


@asynccontextmanager
async def open_store(
    spec: StoreSpec,
    *,
    epoch: str,
    encode: Callable[[Batch], bytes],
    on_durable: Callable[[tuple[Record, ...]], None],
    on_fault: Callable[[FaultRaised | FaultCleared], None],
    on_gap: Callable[[GapPlanned], None] | None = None,
    on_salvaged: Callable[[int], None] | None = None,
    before_commit: Callable[[str], None] | None = None,
    core_bytes: int = CORE_BYTES,
    readings_bytes: int = READINGS_BYTES,
) -> AsyncIterator[Store]:
    """The store under `spec.directory`, ready within 5 s whatever the disk says.

    `encode` and `before_commit` (a failpoint, given the file's name) run in the writer threads,
    the other functions in the event loop. `on_gap`: this is to be recorded on lane B before
    readings are thinned or dropped; `on_salvaged`: so many records of a damaged file came back,
    so what was read by position is to be read again. StoreBusy when another daemon has the
    directory; whatever else is wrong is reported as a fault, and the store works from memory.
    """
    loop = asyncio.get_running_loop()

    def post(call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended: a thread that hung has nobody to tell
            loop.call_soon_threadsafe(call)

    found: list[Writer] = []

    def durable(records: tuple[Record, ...]) -> None:
        for gone in gaps_of(records):
            for writer in found:
                writer.permit(gone)
        on_durable(records)

    hooks = Hooks(encode, durable, on_fault, post, before_commit, on_gap, on_salvaged)
    ballast = Ballast(spec.directory)
    lock = DirectoryLock(spec.directory)
    await _take(lock)
    directory, ride_s = spec.directory, _ride_s(spec.commit_every_ms / 1000)
    core = Writer(
        FileSpec(directory / "core.db", 4096, core_bytes, "core", 1.0),
        epoch, lock, ballast, hooks,
    )  # fmt: skip
    readings = Writer(
        FileSpec(directory / "readings.db", 1024, readings_bytes, "readings", ride_s),
        epoch, lock, ballast, hooks,
    )  # fmt: skip
    found.append(readings)
    writers = (core, readings)
    for writer in writers:
        writer.start()
    watch = asyncio.create_task(_watch(writers, on_fault), name="watch store")
    try:
        ready = [asyncio.wrap_future(writer.ready) for writer in writers]
        await asyncio.wait(ready, timeout=READY_WITHIN_S)
        restored = core.ready.result() if core.ready.done() else Restored()
        _clear_what_is_over(restored, writers, on_fault)
        yield Store(core, readings, restored)
    finally:
        watch.cancel()
        await _close(writers, lock)


def _ride_s(commit_every_s: float) -> float:
    """How long an ack of readings waits for the commit of the next batch.

    That comes after up to two of `commit_every`: a sweep is a little early or a little late.
    """
    return commit_every_s + min(2 * commit_every_s, MOST_RIDE_S)


async def _take(lock: DirectoryLock) -> None:
    """Lock the directory; a disk that hangs or refuses is the writers' matter, not the start's."""
    try:
        await asyncio.wait_for(asyncio.to_thread(lock.take), READY_WITHIN_S)
    except (OSError, TimeoutError) as error:
        log.warning("store directory cannot be locked why=%s", error)


def _clear_what_is_over(
    restored: Restored, writers: Sequence[Writer], on_fault: Callable[[FaultCleared], None]
) -> None:
    """End the store's faults of earlier starts; what is still so is being reported anew."""
    was = {alarm.rule for alarm in restored.alarms}
    for writer in writers:
        for code in _CODES:
            subject = f"store {writer.spec.name}" if code == "task_failed" else writer.spec.name
            if fault_id(code, subject) in was and (code, subject) not in writer.reported:
                on_fault(FaultCleared(code, subject))


async def _watch(
    writers: Sequence[Writer], on_fault: Callable[[FaultRaised | FaultCleared], None]
) -> None:
    """Report a writer that is stuck in one turn, and the end of it."""
    stuck: dict[str, float] = {}
    while True:
        for writer in writers:
            name = writer.spec.name
            if name in stuck and writer.busy_since != stuck[name]:
                del stuck[name]
                on_fault(FaultCleared("store_slow", name))
            if name not in stuck and (since := writer.stuck_since()) is not None:
                stuck[name] = since
                on_fault(FaultRaised("store_slow", name, f"no answer for {SLOW_AFTER_S:.0f} s"))
        await asyncio.sleep(LOOK_EVERY_S)


async def _close(writers: Sequence[Writer], lock: DirectoryLock) -> None:
    """Let the writers commit what waits; one that hangs keeps the lock until the process ends."""
    for writer in writers:
        writer.close()
    ended = [asyncio.wrap_future(writer.ended) for writer in writers]
    await asyncio.wait(ended, timeout=CLOSE_WITHIN_S)
    hung = [writer.spec.name for writer in writers if not writer.ended.done()]
    if hung:
        log.error("store closes without %s", hung)
    else:
        lock.release()
