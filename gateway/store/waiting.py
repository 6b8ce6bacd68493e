"""What waits for the next commit of one file, bounded when the disk does not take it.

Plain data, used under the writer's lock. Bounds: 10,000 records (oldest of lane B go before any
of lane A) and 60,000 readings (oldest batches are thinned first, then dropped). Nothing of it is
dropped while the disk works: one commit takes all there is.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gateway.domain.alarms import Alarm
from gateway.domain.kept import Kept
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Range, Record

MAX_RECORDS = 10_000
MAX_READINGS = 60_000

Lost = tuple[Lane, str, str, int, int]  # lane, epoch, why, from, to


@dataclass(slots=True)
class Waiting:
    """`since` is the monotonic second at which the oldest record or batch came."""

    records: dict[Lane, deque[Record]] = field(default_factory=lambda: {x: deque() for x in Lane})
    batches: deque[Batch] = field(default_factory=deque)
    thinned: deque[Batch] = field(default_factory=deque)  # older than all of `batches`
    readings: int = 0  # in `batches` and `thinned`
    alarms: dict[str, Alarm] = field(default_factory=dict)  # the latest of each rule
    kept: dict[tuple[str, str], Kept] = field(default_factory=dict)  # the latest of each key
    settles: dict[Range, None] = field(default_factory=dict)  # an ordered set
    since: float | None = None
    dropped_records: int = 0
    dropped_readings: int = 0
    lost: list[Lost] = field(default_factory=list)  # to be recorded once a disk takes it

    @property
    def record_count(self) -> int:
        return sum(map(len, self.records.values()))

    @property
    def batch_count(self) -> int:
        return len(self.batches) + len(self.thinned)

    @property
    def is_urgent(self) -> bool:
        """Something that commits at once; settled ranges ride with it or wait for their time."""
        return bool(
            self.alarms or self.kept or self.batches or self.thinned or any(self.records.values())
        )


def add(
    waiting: Waiting,
    records: Iterable[Record],
    alarms: Iterable[Alarm],
    batch: Batch | None,
    kept: Iterable[Kept] = (),
) -> None:
    """Queue one submit, then keep the bounds."""
    for record in records:
        waiting.records[record.lane].append(record)
    for alarm in alarms:
        waiting.alarms[alarm.rule] = alarm
    for each in kept:
        waiting.kept[each.kind, each.key] = each
    if batch is not None:
        waiting.batches.append(batch)
        waiting.readings += len(batch.readings)
    keep_bounds(waiting)


def put_back(failed: Waiting, newer: Waiting) -> None:
    """Put what could not be committed before what came meanwhile."""
    for lane, records in failed.records.items():
        newer.records[lane].extendleft(reversed(records))
    newer.batches.extendleft(reversed(failed.batches))
    newer.thinned.extendleft(reversed(failed.thinned))
    newer.readings += failed.readings
    newer.alarms = failed.alarms | newer.alarms
    newer.kept = failed.kept | newer.kept
    newer.settles = failed.settles | newer.settles
    newer.since = failed.since if failed.since is not None else newer.since
    newer.dropped_records += failed.dropped_records
    newer.dropped_readings += failed.dropped_readings
    newer.lost = failed.lost + newer.lost
    keep_bounds(newer)


def keep_bounds(waiting: Waiting) -> None:
    while waiting.record_count > MAX_RECORDS:
        lane = next(x for x in (Lane.R, Lane.B, Lane.A) if waiting.records[x])
        gone = waiting.records[lane].popleft()
        _note_lost(waiting, lane, gone.epoch, "memory", gone.seq)
        waiting.dropped_records += 1
    while waiting.readings > MAX_READINGS and waiting.batch_count > 1:
        lost = _thin_oldest(waiting) if waiting.batches else _drop_oldest(waiting)
        waiting.readings -= lost
        waiting.dropped_readings += lost


def _thin_oldest(waiting: Waiting) -> int:
    batch = waiting.batches.popleft()
    slim = thin(batch)
    waiting.thinned.append(slim)
    _note_lost(waiting, Lane.R, batch.epoch, "thinned", batch.seq)
    return len(batch.readings) - len(slim.readings)


def _drop_oldest(waiting: Waiting) -> int:
    batch = waiting.thinned.popleft()
    _note_lost(waiting, Lane.R, batch.epoch, "memory", batch.seq)
    return len(batch.readings)


def _note_lost(waiting: Waiting, lane: Lane, epoch: str, why: str, seq: int) -> None:
    """Join the number to the range it continues."""
    for index, (lane_, epoch_, why_, lo, hi) in enumerate(waiting.lost):
        if (lane_, epoch_, why_, hi + 1) == (lane, epoch, why, seq):
            waiting.lost[index] = (lane, epoch, why, lo, seq)
            return
    waiting.lost.append((lane, epoch, why, seq, seq))


def thin(batch: Batch) -> Batch:
    """The batch with each point's least, greatest and last good reading and its last bad one.

    Same identity, same order: what a chart needs at a quarter of the room or less.
    """
    keep: dict[tuple[str, str], int] = {}
    for index, reading in enumerate(batch.readings):
        for role in _roles(reading, keep, batch):
            keep[reading.point, role] = index
    chosen = sorted(set(keep.values()))
    return replace(batch, readings=tuple(batch.readings[index] for index in chosen))


def _roles(reading: Reading, keep: dict[tuple[str, str], int], batch: Batch) -> list[str]:
    if reading.quality is not Quality.GOOD:
        return ["bad"]
    roles = ["last"]
    if isinstance(reading.value, int | float):
        for role, sign in (("least", -1), ("greatest", 1)):
            at = keep.get((reading.point, role))
            best = None if at is None else batch.readings[at].value
            if not isinstance(best, int | float) or sign * reading.value > sign * best:
                roles.append(role)
    return roles
