"""Poll one bus for ever: the due block is read, decoded and put into the inbox, one at a time.

Who is next: blocks of points that a rule judges, then the earliest deadline. Nothing is retried on
the spot; a block that failed waits for its next turn. A device that let two requests pass is
silent: it is only probed, with its smallest block, after 1, 2, 4 ... 15 s, and all probes of the
bus together get a tenth of its time. Whatever happens is a `BlockRead` in the inbox.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from gateway.core.blocks import ReadBlock, smallest_block, split_block
from gateway.core.decode import decode_block, decode_failure
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent, ReadFailure
from gateway.domain.events import BlockRead

SILENT_AFTER = 2  # timeouts in a row
PROBE_DELAYS_MS = (1_000, 15_000)  # first and longest; doubled in between
PROBE_SHARE = 0.10  # of the bus's time
PROBE_CREDIT_MS = 1_000  # so much of that share may be used at once
NUDGED_MS = 1_000  # period of a block while an alarm on one of its points is pending
RETRY_MS = 500  # while the bus is down; the door itself knows when opening makes sense
IDLE_MS = 250  # longest sleep: beats go on, nudges are heard

Words = Sequence[int]
ReadWords = Callable[[ReadBlock, int], Awaitable[Words]]


class Nudges:
    """Points whose blocks shall be read soon: put in by the decider, taken out by one bus."""

    def __init__(self) -> None:
        self._points: set[str] = set()

    def add(self, points: Iterable[str]) -> None:
        self._points.update(points)

    def take(self) -> frozenset[str]:
        """Return what was added since the last time."""
        taken = frozenset(self._points)
        self._points.clear()
        return taken


def no_nudges() -> Collection[str]:
    return ()


def no_hold(_block: ReadBlock) -> int:
    return 0


async def poll_bus(
    blocks: Sequence[ReadBlock],
    *,
    read: ReadWords,
    put: Callable[[BlockRead], Awaitable[None]],
    clock: Callable[[], int],
    sleep_until: Callable[[int], Awaitable[None]],
    beat: Callable[[], None],
    timeout_of: Callable[[ReadBlock], int],
    nudged: Callable[[], Collection[str]] = no_nudges,
    hold_ms: Callable[[ReadBlock], int] = no_hold,
) -> None:
    """Read the blocks of one bus, each in its period, until cancelled.

    `read(block, timeout_ms)` returns words or raises a ReadFailure. `put` may wait: the inbox is
    full. `clock` is monotonic, in ms. `nudged` gives the points with a pending alarm that were
    named since the last call. `hold_ms` says how long a block should not be asked for, because a
    late answer could be taken for its own.
    """
    line = _Line(blocks, clock(), hold_ms)
    while True:
        beat()
        now = clock()
        line.hasten(nudged(), now)
        for missed in line.missed_while_down(now):
            await put(missed)
        job = line.next_job(now)
        if job is None:
            await sleep_until(line.wake_ms(now))
            continue
        outcome = await _outcome(read, job.block, timeout_of(job.block))
        for event in line.note(job, outcome, started_ms=now, now_ms=clock()):
            await put(event)


async def _outcome(read: ReadWords, block: ReadBlock, timeout_ms: int) -> Words | ReadFailure:
    try:
        return await read(block, timeout_ms)
    except (DeviceSilent, DeviceRefused, BusDown) as failure:
        return failure


@dataclass(slots=True, eq=False)
class _Health:
    """How a device has been answering."""

    timeouts: int = 0  # in a row
    probe_at_ms: int = 0
    probe_delay_ms: int = 0

    @property
    def is_silent(self) -> bool:
        return self.timeouts >= SILENT_AFTER


@dataclass(slots=True, eq=False)
class _Job:
    """One block and when it is due; after its first read it keeps to its own phase."""

    block: ReadBlock
    health: _Health
    due_ms: int
    phase_ms: int
    point_ids: frozenset[str] = field(init=False)
    is_first: bool = True
    started_ms: int = 0

    def __post_init__(self) -> None:
        self.point_ids = frozenset(point.id for point in self.block.points)

    @property
    def rank(self) -> tuple[bool, int]:
        return (not self.block.is_alarm_class, self.due_ms + self.block.period_ms)

    def starts(self, now_ms: int) -> None:
        """Make it due now; its second turn brings it back into its phase."""
        self.due_ms = now_ms
        self.is_first = True

    def ran(self, started_ms: int) -> None:
        """Set the next turn. A turn that was missed is not made up for."""
        period = self.block.period_ms
        self.started_ms = started_ms
        if self.is_first:
            self.is_first = False
            turns = max(0, (started_ms - self.phase_ms) // period + 1)
            self.due_ms = self.phase_ms + turns * period
        else:
            self.due_ms = max(self.due_ms + period, started_ms)


class _Line:
    """The schedule of one bus: no waiting, no clock, only what is next and what it means."""

    def __init__(
        self, blocks: Sequence[ReadBlock], now_ms: int, hold_ms: Callable[[ReadBlock], int]
    ) -> None:
        self._hold_ms = hold_ms
        self._health = {block.device: _Health() for block in blocks}
        self._jobs: list[_Job] = []
        for period in {block.period_ms for block in blocks}:
            peers = [block for block in blocks if block.period_ms == period]
            self._jobs += [
                _Job(block, self._health[block.device], now_ms, now_ms + n * period // len(peers))
                for n, block in enumerate(peers)
            ]
        self._credit_ms = float(PROBE_CREDIT_MS)
        self._credit_at_ms = now_ms
        self._down: BusDown | None = None
        self._retry_at_ms = 0

    def hasten(self, points: Collection[str], now_ms: int) -> None:
        """Make the blocks of these points due a second after their last read."""
        if not points:
            return
        for job in self._jobs:
            if not job.point_ids.isdisjoint(points):
                job.due_ms = min(job.due_ms, max(now_ms, job.started_ms + NUDGED_MS))

    def missed_while_down(self, now_ms: int) -> list[BlockRead]:
        """Return what has to be said of the blocks that are due on a bus that is down."""
        if self._down is None:
            return []
        missed = [job for job in self._jobs if job.due_ms <= now_ms]
        for job in missed:
            job.due_ms = now_ms + job.block.period_ms
        return [_failed(job.block, self._down, now_ms) for job in missed]

    def next_job(self, now_ms: int) -> _Job | None:
        """Return what to read now: a probe within its share, else the first of the due blocks."""
        if not self._jobs:
            return None
        if self._down is not None:
            return (
                min(self._jobs, key=lambda job: job.rank) if now_ms >= self._retry_at_ms else None
            )
        self._earn(now_ms)
        if self._credit_ms > 0 and (probe := self._due_probe(now_ms)) is not None:
            return probe
        due = [job for job in self._jobs if job.due_ms <= now_ms and self._is_free(job)]
        return min(due, key=lambda job: job.rank, default=None)

    def wake_ms(self, now_ms: int) -> int:
        """When to look again: the next due block or probe, at the latest after IDLE_MS."""
        moments = [now_ms + IDLE_MS]
        if self._down is not None:
            moments.append(self._retry_at_ms)
        else:
            for job in self._jobs:
                if not job.health.is_silent:
                    hold = self._hold_ms(job.block) if job.health.timeouts else 0
                    moments.append(max(job.due_ms, now_ms + hold))
                elif self._credit_ms > 0:
                    moments.append(max(job.health.probe_at_ms, now_ms + self._hold_ms(job.block)))
        return max(now_ms + 1, min(moments))

    def note(
        self, job: _Job, outcome: Words | ReadFailure, *, started_ms: int, now_ms: int
    ) -> list[BlockRead]:
        """Take in how a read ended; return what to tell the decider."""
        if job.health.is_silent and self._down is None:
            self._credit_ms -= now_ms - started_ms
        if isinstance(outcome, BusDown):
            return self._went_down(outcome, now_ms)
        job.ran(started_ms)
        if self._down is not None:
            self._came_back(job, now_ms)
        match outcome:
            case DeviceSilent() | DeviceRefused(code=0x0A | 0x0B):
                return self._stayed_silent(job, outcome, now_ms)
            case DeviceRefused():
                self._answered(job, now_ms)
                return self._refused(job, outcome, now_ms)
            case Sequence():
                self._answered(job, now_ms)
                readings = decode_block(job.block, outcome, now_ms)
                return [BlockRead(job.block.bus, job.block.device, readings)]
            case _:
                assert_never(outcome)

    def _is_free(self, job: _Job) -> bool:
        """True for a device that answers, unless its late answer could be taken for this one's."""
        if job.health.timeouts == 0:
            return True
        return not job.health.is_silent and self._hold_ms(job.block) <= 0

    def _due_probe(self, now_ms: int) -> _Job | None:
        waiting = [
            job
            for job in self._jobs
            if job.health.is_silent
            and job.health.probe_at_ms <= now_ms
            and self._hold_ms(job.block) <= 0
        ]
        if not waiting:
            return None
        first = min(waiting, key=lambda job: job.health.probe_at_ms).health
        of_device = {job.block: job for job in waiting if job.health is first}
        return of_device[smallest_block(of_device)]

    def _earn(self, now_ms: int) -> None:
        earned = PROBE_SHARE * (now_ms - self._credit_at_ms)
        self._credit_ms = min(PROBE_CREDIT_MS, self._credit_ms + earned)
        self._credit_at_ms = now_ms

    def _went_down(self, down: BusDown, now_ms: int) -> list[BlockRead]:
        is_news = self._down is None
        self._down = down
        self._retry_at_ms = now_ms + RETRY_MS
        if not is_news:
            return []
        for job in self._jobs:
            job.due_ms = now_ms + job.block.period_ms
        return [_failed(job.block, down, now_ms) for job in self._jobs]

    def _came_back(self, first: _Job, now_ms: int) -> None:
        """Everything is read at once; how devices answered before the fault says nothing now."""
        self._down = None
        for health in self._health.values():
            health.timeouts = 0
        for job in self._jobs:
            if job is not first:
                job.starts(now_ms)

    def _answered(self, job: _Job, now_ms: int) -> None:
        if job.health.is_silent:
            for other in self._jobs:
                if other.health is job.health and other is not job:
                    other.starts(now_ms)
        job.health.timeouts = 0

    def _stayed_silent(
        self, job: _Job, failure: DeviceSilent | DeviceRefused, now_ms: int
    ) -> list[BlockRead]:
        health = job.health
        health.timeouts += 1
        if not health.is_silent:
            return [_failed(job.block, failure, now_ms)]
        first, longest = PROBE_DELAYS_MS
        is_news = health.timeouts == SILENT_AFTER
        health.probe_delay_ms = first if is_news else min(longest, 2 * health.probe_delay_ms)
        health.probe_at_ms = now_ms + health.probe_delay_ms
        of_device = [other.block for other in self._jobs if other.health is health]
        return [_failed(block, failure, now_ms) for block in of_device]

    def _refused(self, job: _Job, failure: DeviceRefused, now_ms: int) -> list[BlockRead]:
        """A block with a hole in it that the device does not have is halved, and said so once."""
        halves = split_block(job.block) if failure.code in (2, 3) else None
        if halves is None:
            return [_failed(job.block, failure, now_ms)]
        at = self._jobs.index(job)
        self._jobs[at : at + 1] = [_Job(half, job.health, now_ms, job.phase_ms) for half in halves]
        return [BlockRead(job.block.bus, job.block.device, (), failure)]


def _failed(block: ReadBlock, failure: ReadFailure, mono_ms: int) -> BlockRead:
    return BlockRead(block.bus, block.device, decode_failure(block, failure, mono_ms), failure)
