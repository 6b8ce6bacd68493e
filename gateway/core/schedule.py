"""Who is asked next on one bus. Pure: the clock is an argument, nothing waits here.

    turn = schedule.next_turn(now)      # or None: look again at schedule.wake_ms(now)
    events = schedule.note(turn, words or failure, started_ms=..., now_ms=...)

- Earliest deadline first, blocks of points that a rule judges before plain ones. Plain blocks
  that are past their deadline still get one read in ten, so nothing starves.
- Blocks of equal period are spread over it, and those of another bus fall between them; a block
  keeps to its own phase.
- While an alarm is pending on one of its points a block is due a second after its last read.
- Nothing is retried on the spot: a block that failed is due again once at the end of the round.
- A device that let two requests pass is silent. It is only probed, with its smallest block, after
  1, 2, 4, 5, 5 ... s; after a probe of n ms the next one of any device waits 9 n ms, so however
  many devices are silent, the others lose a tenth of the bus. Where nobody answers, nobody is
  slowed, and probes do not wait for each other. A block that alone stays unanswered counts as
  such a device; so does one whose answers come damaged, while its device is not silent for it.
- A probe waits for the first byte of an answer, and no longer than lets every silent device be
  probed within 15 s; one in eight waits in full, for a device that has become slow.
- A block that is refused with exception 2 or 3 is halved, said once, and tried whole again after
  1, 2, 4 ... min: a device may refuse only while it starts.
- A block that was never answered takes turns with one value of it. If that is answered, and the
  block again is not, it is halved as well: many devices say nothing to a long question. Once all of
  it is read in pieces, but eight times not as a whole, the tally says how much the device takes.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import assert_never

from gateway.core.blocks import (
    ReadBlock,
    request_ms,
    smallest_block,
    smallest_part,
    split_block,
    wire_ms,
)
from gateway.core.decode import decode_block, decode_failure
from gateway.core.tally import BusTally
from gateway.core.timing import Turnaround, is_slow, learn, least_patience_ms, patience_ms
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent, ReadFailure
from gateway.domain.events import BlockRead
from gateway.domain.readings import Reading
from gateway.domain.site import Bus

SILENT_AFTER = 2  # timeouts in a row; one for a device that has not answered yet
LAME_AFTER = 3  # times that one block of a device that answers got no answer
PROBE_DELAYS_MS = (1_000, 5_000)  # first and longest; doubled in between
PROBE_SHARE = 0.10  # of the bus's time
PROBE_ROUND_MS = 13_500  # all silent devices are probed in: who answers again is read within 15 s
FULL_EVERY = 8  # of so many probes of a device one waits as long as any read
PLAIN_EVERY = 10  # of so many reads one is a plain block's, when plain blocks are late
NUDGED_MS = 1_000  # period of a block while an alarm on one of its points is pending
RETRY_MS = 500  # while the bus is down; the door itself knows when opening makes sense
IDLE_MS = 250  # longest sleep: beats go on, nudges are heard
WHOLE_AGAIN_MS = (60_000, 86_400_000)  # first and longest wait until halves are tried whole
SILENCES_TO_HALVE = 2  # of a block never answered, each after an answer of its device
SILENCES_TO_TELL = 8  # of a whole whose halves are answered; with three lost in ten: 0.007 %
LONG_AGAIN_MS = 10_000  # until then it is tried whole so often
REPLAN_SAMPLES = 200  # answers of a device after which its blocks are planned by its turnaround
SPREAD = (5**0.5 - 1) / 2  # the golden ratio: phases of different periods stay apart

Words = Sequence[int]
Plan = Callable[[str, float], Sequence[ReadBlock]]  # device, turnaround in ms -> its blocks


def short_probe_ms(full_ms: float, silent: int) -> float:
    """How long a probe may take, so that all silent devices have one in a round, one in full."""
    return (PROBE_ROUND_MS * PROBE_SHARE - full_ms) / (silent - 1) if silent > 1 else full_ms


def no_hold(_block: ReadBlock) -> int:
    return 0


@dataclass(slots=True, eq=False)
class Health:
    """How a device has been answering."""

    timeouts: int = 0  # in a row
    has_answered: bool = False
    probe_at_ms: int = 0
    probe_delay_ms: int = 0
    short_probes: int = 0  # since one that waited in full
    turnaround: Turnaround = field(default_factory=Turnaround)
    answers: int = 0
    longest: int = 0  # registers that it gave in one answer
    is_planned: bool = False  # by its own turnaround

    @property
    def is_silent(self) -> bool:
        return self.timeouts >= (SILENT_AFTER if self.has_answered else 1)


@dataclass(slots=True, eq=False)
class Whole:
    """A block that was refused, or not answered, and halved: when to try it whole again."""

    block: ReadBlock
    phase_ms: int
    delay_ms: int
    again_at_ms: int
    silences: int = 0  # 0 = it was refused
    halves: "list[Job]" = field(default_factory=list)  # while it is tried whole


@dataclass(slots=True, eq=False)
class Job:
    """One block, when it is due, and how its last reads ended."""

    block: ReadBlock
    health: Health
    due_ms: int
    phase_ms: int
    whole: Whole | None = None
    point_ids: frozenset[str] = field(init=False)
    started_ms: int = 0
    misses: int = 0  # in a row
    is_pending: bool = False  # an alarm on one of its points is
    was_answered: bool = False
    silences: int = 0  # never answered: how often not, though its device answered in between
    answers_seen: int = 0  # of its device, at the last of them
    is_part_next: bool = False  # a part of it is asked for in its place
    is_part_answered: bool = False
    part_of: "Job | None" = None

    def __post_init__(self) -> None:
        self.point_ids = frozenset(point.id for point in self.block.points)

    @property
    def deadline_ms(self) -> int:
        period = self.block.period_ms
        return self.due_ms + (min(period, NUDGED_MS) if self.is_pending else period)

    @property
    def is_lame(self) -> bool:
        return self.misses >= LAME_AFTER

    def ran(self, started_ms: int) -> None:
        """Set the next turn. A turn that was missed is not made up for."""
        period = self.block.period_ms
        self.started_ms = started_ms
        self.is_pending = False
        self.due_ms = self.phase_ms + ((started_ms - self.phase_ms) // period + 1) * period


class Schedule:
    """The blocks of one bus, in time.

    `hold_ms(block)` says how long a block should not be asked for, because a late answer could be
    taken for its own. `plan` gives the blocks of a device anew once its turnaround is known.
    `number` is that of the bus in the house: buses that begin together shall not ask all at once,
    as an alarm that is read then waits until all the others are judged.
    """

    def __init__(
        self,
        bus: Bus,
        blocks: Iterable[ReadBlock],
        now_ms: int,
        *,
        hold_ms: Callable[[ReadBlock], int] = no_hold,
        tally: BusTally | None = None,
        plan: Plan | None = None,
        number: int = 0,
    ) -> None:
        self.tally = tally or BusTally(now_ms)
        self.news: list[tuple[str, int, int]] = []  # device, registers it answers, and never
        self._bus = bus
        self._hold_ms = hold_ms
        self._plan = plan
        self._shift = number * SPREAD
        self._health: dict[str, Health] = {}
        self._jobs = self._jobs_of(blocks, now_ms)
        self._wholes: list[Whole] = []
        self._probe_free_ms = now_ms
        self._since_full = 0  # probes, since one that waited in full
        self._alarm_run = 0  # alarm-class reads since the last plain one
        self._down: BusDown | None = None
        self._retry_at_ms = 0

    @property
    def blocks(self) -> tuple[ReadBlock, ...]:
        """What is asked for at present, halves and all."""
        return tuple(job.block for job in self._jobs)

    def timeout_ms(self, block: ReadBlock) -> int:
        """How long an answer to this block is worth waiting for now."""
        health = self._health[block.device]
        patience = patience_ms(health.turnaround, self._bus.timeout_ms, health.timeouts)
        if not health.is_silent or self._is_dead():
            return ceil(patience + wire_ms(block, self._bus))
        asked = request_ms(self._bus)
        full = ceil(patience + asked)
        if self._is_full_probe(health):
            return full
        share = short_probe_ms(full, len(self._silent()))
        return min(full, ceil(max(share, asked + least_patience_ms(health.turnaround))))

    def _silent(self) -> list[Health]:
        return [health for health in self._health.values() if health.is_silent]

    def _is_full_probe(self, health: Health) -> bool:
        """One in eight of a device's, and no two before each silent device had another one."""
        is_turn = health.short_probes >= FULL_EVERY - 1
        return is_turn and self._since_full >= len(self._silent()) - 1

    def hasten(self, points: Collection[str], now_ms: int) -> None:
        """Make the blocks of these points due a second after their last read."""
        if not points:
            return
        for job in self._jobs:
            if not job.point_ids.isdisjoint(points):
                job.is_pending = True
                job.due_ms = min(job.due_ms, max(now_ms, job.started_ms + NUDGED_MS))

    def missed_while_down(self, now_ms: int) -> list[BlockRead]:
        """Return what has to be said of the blocks that are due on a bus that is down."""
        if self._down is None:
            return []
        missed = [job for job in self._jobs if job.due_ms <= now_ms]
        for job in missed:
            job.due_ms = now_ms + job.block.period_ms
        return [_failed(job.block, self._down, now_ms) for job in missed]

    def next_turn(self, now_ms: int) -> Job | None:
        """Return what to read now: a probe within its share, else the first of the due blocks."""
        if self._down is not None:
            is_time = now_ms >= self._retry_at_ms
            return min(self._jobs, key=_by_class, default=None) if is_time else None
        self._try_whole(now_ms)
        probe = self._due_probe(now_ms)
        if probe is not None:
            return probe
        job = self._due_job(now_ms)
        return self._or_part(job) if job is not None and job.misses else job

    def wake_ms(self, now_ms: int, idle_ms: int = IDLE_MS) -> int:
        """When to look again: the next due block or probe, at the latest after `idle_ms`."""
        moments = [now_ms + idle_ms]
        if self._down is not None:
            moments.append(self._retry_at_ms)
        else:
            free = now_ms if self._is_dead() else self._probe_free_ms
            for job in self._jobs:
                if not (job.misses or job.health.timeouts):  # nearly every one
                    moments.append(job.due_ms)
                    continue
                hold = self._hold_ms(job.block) if job.health.timeouts else 0
                if job.health.is_silent:
                    moments.append(max(job.health.probe_at_ms, free, now_ms + hold))
                else:
                    moments.append(max(job.due_ms, free if job.is_lame else 0, now_ms + hold))
        return max(now_ms + 1, min(moments))

    def note(
        self, job: Job, outcome: Words | ReadFailure, *, started_ms: int, now_ms: int
    ) -> list[BlockRead]:
        """Take in how a read ended; return what to tell the decider."""
        if isinstance(outcome, BusDown):
            return self._went_down(outcome, now_ms)
        took = now_ms - started_ms
        self.tally.load.add(started_ms, now_ms)
        if job.health.is_silent or job.is_lame:
            self._probe_free_ms = started_ms + round(took / PROBE_SHARE)
            is_full = job.is_lame or self._is_dead() or self._is_full_probe(job.health)
            job.health.short_probes = 0 if is_full else job.health.short_probes + 1
            self._since_full = 0 if is_full else self._since_full + 1
        job.ran(started_ms)
        if job.part_of is not None:
            job.part_of.ran(started_ms)
        if self._down is not None:
            self._came_back(job, now_ms)
        match outcome:
            case DeviceSilent() | DeviceRefused(code=0x0A | 0x0B):
                self.tally.of(job.block.device).timed_out()
                return self._stayed_silent(job, outcome, now_ms)
            case DeviceRefused():
                if job.part_of is not None:
                    job.part_of.is_part_next = False
                self.tally.of(job.block.device).refused(took)
                self._answered(job, now_ms)
                return self._refused(job, outcome, now_ms)
            case Sequence():
                self.tally.of(job.block.device).answered(took, now_ms)
                self._learn(job, took)
                self._answered(job, now_ms)
                self._note_length(job, now_ms)
                self._keep_whole(job)
                readings = decode_block(job.block, outcome, now_ms)
                self._replan(job, now_ms)
                return [_read(job.block, readings, outcome)]
            case _:
                assert_never(outcome)

    def _jobs_of(self, blocks: Iterable[ReadBlock], now_ms: int) -> list[Job]:
        """A job for each block, due now; those of a period spread over it."""
        groups: dict[int, list[ReadBlock]] = {}
        for block in blocks:
            groups.setdefault(block.period_ms, []).append(block)
        jobs = []
        for group, period in enumerate(sorted(groups)):
            peers = groups[period]
            for n, block in enumerate(peers):
                shift = (self._shift + group * SPREAD) % 1
                phase = now_ms + int((n + shift) * period / len(peers))
                health = self._health.setdefault(block.device, Health())
                jobs.append(Job(block, health, now_ms, phase))
        return jobs

    # --- choosing ---------------------------------------------------------------------------

    def _is_dead(self) -> bool:
        """True when no device of the bus answers: then no probe can slow anybody."""
        return all(health.is_silent for health in self._health.values())

    def _due_probe(self, now_ms: int) -> Job | None:
        if now_ms < self._probe_free_ms and not self._is_dead():
            return None
        waiting = [
            job
            for job in self._jobs
            if (job.misses or job.health.timeouts)
            and _is_probe_due(job, now_ms)
            and self._hold_ms(job.block) <= 0
        ]
        if not waiting:
            return None
        first = min(waiting, key=_probe_at)
        if not first.health.is_silent:
            return self._or_part(first)
        of_device = {job.block: job for job in waiting if job.health is first.health}
        return self._or_part(of_device[smallest_block(of_device)])

    def _or_part(self, job: Job) -> Job:
        """Every second time one value of a block that was never answered, in place of it."""
        part = None if job.was_answered or not job.is_part_next else smallest_part(job.block)
        if part is None or self._hold_ms(part) > 0:
            return job
        return Job(part, job.health, job.due_ms, job.phase_ms, misses=job.misses, part_of=job)

    def _due_job(self, now_ms: int) -> Job | None:
        """The first of the due blocks; late plain ones have a tenth of the reads."""
        alarm: Job | None = None
        plain: Job | None = None
        for job in self._jobs:
            if job.due_ms > now_ms or job.is_lame or not self._is_free(job):
                continue
            if job.block.is_alarm_class:
                if alarm is None or job.deadline_ms < alarm.deadline_ms:
                    alarm = job
            elif plain is None or job.deadline_ms < plain.deadline_ms:
                plain = job
        is_plain_owed = (
            plain is not None and plain.deadline_ms < now_ms and self._alarm_run >= PLAIN_EVERY - 1
        )
        if alarm is None or is_plain_owed:
            self._alarm_run = 0
            return plain
        self._alarm_run += 1
        return alarm

    def _is_free(self, job: Job) -> bool:
        """True for a device that answers, unless its late answer could be taken for this one's."""
        if job.health.timeouts == 0 and job.misses == 0:
            return True
        return not job.health.is_silent and self._hold_ms(job.block) <= 0

    # --- the bus goes and comes ---------------------------------------------------------------

    def _went_down(self, down: BusDown, now_ms: int) -> list[BlockRead]:
        is_news = self._down is None
        self._down = down
        self._retry_at_ms = now_ms + RETRY_MS
        if not is_news:
            return []
        for job in self._jobs:
            job.due_ms = now_ms + job.block.period_ms
        return [_failed(job.block, down, now_ms) for job in self._jobs]

    def _came_back(self, first: Job, now_ms: int) -> None:
        """Everything is read at once; how devices answered before the fault says nothing now."""
        self._down = None
        for health in self._health.values():
            health.timeouts = 0
            health.has_answered = False
        for job in self._jobs:
            job.misses = 0
            if job is not first:
                job.due_ms = now_ms

    # --- a device answers, or not -------------------------------------------------------------

    def _learn(self, job: Job, took_ms: int) -> None:
        wire = wire_ms(job.block, self._bus)
        took = min(took_ms - wire, self._bus.timeout_ms)  # more was spent on opening the port
        known = job.health.turnaround = learn(job.health.turnaround, took)
        tally = self.tally.of(job.block.device)
        tally.turnaround_ms = known.smoothed_ms
        tally.is_slow = is_slow(known, self._bus.timeout_ms)

    def _answered(self, job: Job, now_ms: int) -> None:
        health = job.health
        if health.is_silent:
            if self._is_dead():  # a line that was broken: the others may be back as well
                for other in self._health.values():
                    other.probe_at_ms = now_ms
            for of_device in self._jobs:
                if of_device.health is health and of_device is not job:
                    of_device.due_ms = now_ms
            if job.part_of is not None:
                job.part_of.misses = 0  # they were the device's
        health.timeouts = 0
        health.has_answered = True
        health.answers += 1
        job.misses = 0

    def _stayed_silent(
        self, job: Job, failure: DeviceSilent | DeviceRefused, now_ms: int
    ) -> list[BlockRead]:
        health = job.health
        was_silent = health.is_silent
        is_part, job = job.part_of is not None, job.part_of or job
        job.is_part_next = not is_part
        is_heard = isinstance(failure, DeviceSilent) and failure.is_heard
        if not is_part and not is_heard and self._is_too_long(job, now_ms):
            return []
        is_gone = not (health.has_answered and is_heard)
        health.timeouts += is_gone
        job.misses += 1
        if not health.is_silent:
            if job.misses == 1:
                job.due_ms = min(job.due_ms, now_ms + self._hold_ms(job.block))
            elif job.is_lame:
                job.due_ms = max(job.due_ms, now_ms + PROBE_DELAYS_MS[1])
            return [_failed(job.block, failure, now_ms)]
        first, longest = PROBE_DELAYS_MS
        health.probe_delay_ms = min(longest, 2 * health.probe_delay_ms) if was_silent else first
        health.probe_at_ms = now_ms + health.probe_delay_ms
        of_device = [other.block for other in self._jobs if other.health is health]
        return [_failed(block, failure, now_ms) for block in of_device]

    # --- halving and planning anew --------------------------------------------------------------

    def _note_length(self, job: Job, now_ms: int) -> None:
        """An answer came: its device takes as much; of which it is a part, that may be halved."""
        job.was_answered = True
        if not job.block.table.is_bits:
            job.health.longest = max(job.health.longest, job.block.count)
        if job.part_of is not None:
            job.part_of.is_part_answered = True
            job.part_of.is_part_next = False
            self._halve_if_too_long(job.part_of, now_ms)

    def _is_too_long(self, job: Job, now_ms: int) -> bool:
        """Count a silence of a block that was never answered; True if halves are asked for now."""
        health, whole = job.health, job.whole
        if job.was_answered or not health.has_answered or health.answers == job.answers_seen:
            return False
        job.answers_seen = health.answers
        job.silences += 1
        if whole is None or not whole.halves or job.block != whole.block:
            return self._halve_if_too_long(job, now_ms)
        whole.silences += 1
        if whole.silences >= SILENCES_TO_TELL:
            longer = min(WHOLE_AGAIN_MS[1], 2 * whole.delay_ms)
            whole.delay_ms = max(WHOLE_AGAIN_MS[0], longer)
            if whole.block.count > health.longest:
                self._tell_length(whole.block, health.longest)
        whole.again_at_ms = now_ms + whole.delay_ms
        for half in whole.halves:
            half.due_ms = now_ms
        self._jobs = [other for other in self._jobs if other is not job] + whole.halves
        whole.halves = []
        return True

    def _tell_length(self, block: ReadBlock, longest: int) -> None:
        tally = self.tally.of(block.device)
        if tally.takes != longest:
            tally.takes = longest
            self.news.append((block.device, longest, block.count))

    def _halve_if_too_long(self, job: Job, now_ms: int) -> bool:
        if job.silences < SILENCES_TO_HALVE or not job.is_part_answered:
            return False
        return self._halve(job, now_ms, job.whole)

    def _refused(self, job: Job, failure: DeviceRefused, now_ms: int) -> list[BlockRead]:
        """A block with a hole in it that the device does not have is halved, and said so once."""
        is_news = job.whole is None
        if failure.code not in (2, 3) or not self._halve(job, now_ms, job.whole):
            return [_failed(job.block, failure, now_ms)]
        return [BlockRead(job.block.bus, job.block.device, (), failure)] if is_news else []

    def _halve(self, job: Job, now_ms: int, whole: Whole | None) -> bool:
        """Ask for two halves in place of a block; False if it is one value."""
        halves = split_block(job.block)
        if halves is None or job.part_of is not None:
            return False
        if whole is None:
            delay = LONG_AGAIN_MS if job.silences else WHOLE_AGAIN_MS[0]
            whole = Whole(job.block, job.phase_ms, delay, now_ms + delay, job.silences)
            self._wholes.append(whole)
        elif job.block == whole.block:
            whole.delay_ms = min(WHOLE_AGAIN_MS[1], 2 * whole.delay_ms)
            whole.again_at_ms = now_ms + whole.delay_ms
        at = self._jobs.index(job)
        self._jobs[at : at + 1] = [
            Job(half, job.health, now_ms, job.phase_ms, whole) for half in halves
        ]
        return True

    def _try_whole(self, now_ms: int) -> None:
        """Put blocks together again whose halves have been read for long enough."""
        for whole in self._wholes:
            if now_ms < whole.again_at_ms:
                continue
            halves = [job for job in self._jobs if job.whole is whole]
            if whole.silences and not all(half.was_answered for half in halves):
                continue
            if not halves or halves[0].health.timeouts or any(job.is_pending for job in halves):
                continue
            whole.again_at_ms = now_ms + WHOLE_AGAIN_MS[1]  # until its turn has come
            due = min(job.due_ms for job in halves)
            joined = Job(whole.block, halves[0].health, due, whole.phase_ms, whole)
            joined.started_ms = min(job.started_ms for job in halves)
            whole.halves = halves if whole.silences else []
            self._jobs = [job for job in self._jobs if job.whole is not whole] + [joined]

    def _keep_whole(self, job: Job) -> None:
        whole = job.whole
        if whole is not None and job.block == whole.block:
            self._wholes.remove(whole)
            job.whole = None
            if whole.silences:
                self.tally.of(job.block.device).takes = None

    def _replan(self, job: Job, now_ms: int) -> None:
        """Plan a device by its measured turnaround, once; not while it is in any trouble."""
        health, device = job.health, job.block.device
        if self._plan is None or health.is_planned or health.turnaround.samples < REPLAN_SAMPLES:
            return
        mine = [other for other in self._jobs if other.health is health]
        if any(other.whole or other.misses or other.is_pending for other in mine):
            return
        health.is_planned = True
        planned = self._plan(device, health.turnaround.smoothed_ms)
        if set(planned) != {other.block for other in mine}:
            kept = [other for other in self._jobs if other.health is not health]
            self._jobs = kept + self._jobs_of(planned, now_ms)


def _by_class(job: Job) -> tuple[bool, int]:
    return (not job.block.is_alarm_class, job.deadline_ms)


def _is_probe_due(job: Job, now_ms: int) -> bool:
    return (job.health.is_silent or job.is_lame) and _probe_at(job) <= now_ms


def _probe_at(job: Job) -> int:
    return job.health.probe_at_ms if job.health.is_silent else job.due_ms


def _read(block: ReadBlock, readings: tuple[Reading, ...], words: Words) -> BlockRead:
    return BlockRead(
        block.bus,
        block.device,
        readings,
        table=block.table,
        start=block.start,
        words=words,
        is_alarm_class=block.is_alarm_class,
    )


def _failed(block: ReadBlock, failure: ReadFailure, mono_ms: int) -> BlockRead:
    readings = decode_failure(block, failure, mono_ms)
    return BlockRead(
        block.bus, block.device, readings, failure, is_alarm_class=block.is_alarm_class
    )
