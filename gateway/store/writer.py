"""The one thread that owns one database file: group commit, acks, reads, faults.

    submit -> waiting -> [one transaction: settle, evict, insert] -> on_durable
                 ^                     | error
                 +---- put back -------+ damaged: set aside, begin anew; else reopen once, back off

Nothing that a caller does here waits for the disk: callers and thread share `waiting` under a lock
that is never held over a call into SQLite.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from gateway.domain.alarms import Alarm
from gateway.domain.events import FaultCleared, FaultRaised
from gateway.domain.kept import Kept
from gateway.domain.records import Batch, Lane, Range, Record
from gateway.store import rows
from gateway.store.files import (
    DirectoryLock,
    FileSpec,
    is_damage,
    is_full,
    open_file,
    set_aside,
)
from gateway.store.remembered import Change, Remembered, Restored
from gateway.store.rows import Position, Row, RowDamaged
from gateway.store.waiting import Waiting, add, put_back

T = TypeVar("T")

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 30.0
BATCHES_A_COMMIT = 64
CHECKED_AT_START = 100
CHECKED_A_SLICE = 200
CHECK_EVERY_S = 0.05  # between slices: the check must not compete with the people-first path
SLOW_AFTER_S = 2.0
FULL_SHARE = 0.9  # of the size bound: above it settled rows go, oldest first
COMMITS_REMEMBERED = 1_000

_INSERT = "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UNSETTLED = """
SELECT record.id, kind, boot, mono, utc, clk, err, body, crc
FROM pending CROSS JOIN record ON record.id = pending.id  -- in this order, whatever is analysed
WHERE pending.id > ? AND pending.id <= ? ORDER BY pending.id
"""
_NEWEST_BELOW = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc
FROM record WHERE id < ? AND id NOT IN (SELECT id FROM damaged) ORDER BY id DESC LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class FileStats:
    """Counts since start. `bytes_written` as the kernel counts them for this thread, or None."""

    name: str
    is_healthy: bool
    queued_records: int
    queued_readings: int
    oldest_ms: int | None  # age of the oldest thing that is not on disk
    dropped_records: int
    dropped_readings: int
    commits: int
    bytes_written: int | None
    fsync_p99_ms: float | None  # of COMMIT, over the last 1,000
    unsettled: dict[Lane, int]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the thread calls: `encode`, `before_commit` in it, the others by `post` in the loop."""

    encode: Callable[[Batch], bytes]
    on_durable: Callable[[tuple[Record, ...]], None]
    on_fault: Callable[[FaultRaised | FaultCleared], None]
    post: Callable[[Callable[[], None]], None]
    before_commit: Callable[[str], None] | None = None


@dataclass(slots=True)
class _Bound:
    lo: int
    hi: int
    count: int


@dataclass(slots=True)
class _Query:
    lane: Lane
    after: Position | None
    limit: int
    max_bytes: int
    answer: Future[list[Record]]


@dataclass(slots=True)
class _Commit:
    """What one transaction did: becomes the writer's memory once it is durable."""

    records: list[Record] = field(default_factory=list)
    fresh: list[tuple[Lane, Position]] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    remembered: Change = field(default_factory=Change)
    settled: dict[tuple[Lane, int], int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


class Writer:
    """One file and its thread. Every method but `_…` may be called from the event loop."""

    def __init__(self, spec: FileSpec, epoch: str, lock: DirectoryLock, hooks: Hooks) -> None:
        self.spec = spec
        self.epoch = epoch
        self.ready: Future[Restored] = Future()
        self.ended: Future[None] = Future()
        self.busy_since: float | None = time.monotonic()  # monotonic s; None when idle
        self.is_failing = False
        self.reported: set[tuple[str, str]] = set()  # code and subject of faults that stand
        self.ordinals: dict[str, int] = {}
        self.bounds: tuple[tuple[Range, int], ...] = ()  # unsettled, and how many
        self._lock = lock
        self._hooks = hooks
        self._changed = threading.Condition()
        self._waiting = Waiting()
        self._taken = Waiting()  # what the transaction under way holds
        self._flushes: list[Future[None]] = []
        self._queries: deque[_Query] = deque()
        self._is_closing = False
        self._has_ended = False
        self._connection: sqlite3.Connection | None = None
        self._unsettled: dict[tuple[Lane, int], _Bound] = {}
        self._remembered = Remembered()
        self._has_opened = False
        self._is_full = False
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._settle_at: float | None = None
        self._check_below: int | None = None  # rows under this id are still to be checked
        self._check_left = 0
        self._check_at = 0.0
        self._durations: deque[float] = deque(maxlen=COMMITS_REMEMBERED)
        self._commits = 0
        self._bytes: int | None = None
        self._thread = threading.Thread(target=self._run, name=f"store {spec.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    # -- called from the event loop; nothing here waits for the disk

    def submit(
        self,
        records: Sequence[Record],
        alarms: Sequence[Alarm],
        batch: Batch | None,
        kept: Sequence[Kept] = (),
    ) -> None:
        with self._changed:
            add(self._waiting, records, alarms, batch, kept)
            if self._waiting.since is None:
                self._waiting.since = time.monotonic()
            self._changed.notify()

    def settle(self, ranges: Sequence[Range]) -> None:
        with self._changed:
            self._waiting.settles.update(dict.fromkeys(ranges))
            if self._settle_at is None:
                self._settle_at = time.monotonic() + self.spec.settle_after_s
            if self._is_full:
                self._retry_at = 0.0  # what is settled can make room
            self._changed.notify()

    def flush(self) -> Future[None]:
        """Resolved when all that was given before is on disk."""
        done: Future[None] = Future()
        with self._changed:
            if self._has_ended:
                done.set_exception(OSError(f"{self.spec.name} is closed"))
            else:
                self._flushes.append(done)
                self._changed.notify()
        return done

    def unsettled(
        self, lane: Lane, after: Position | None, limit: int, max_bytes: int
    ) -> Future[list[Record]]:
        answer: Future[list[Record]] = Future()
        with self._changed:
            if self._has_ended:
                answer.set_result([])
            else:
                self._queries.append(_Query(lane, after, limit, max_bytes, answer))
                self._changed.notify()
        return answer

    def close(self) -> None:
        """Ask the thread to commit what waits, once more, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stuck_since(self) -> float | None:
        """When the turn began that has lasted too long; None while the writer moves."""
        since = self.busy_since
        is_stuck = since is not None and time.monotonic() - since > SLOW_AFTER_S
        return since if is_stuck else None

    def stats(self) -> FileStats:
        with self._changed:
            both = self._taken, self._waiting
            since = min((x.since for x in both if x.since is not None), default=None)
            records = sum(x.record_count for x in both)
            readings = sum(x.readings for x in both)
            dropped_records = sum(x.dropped_records for x in both)
            dropped_readings = sum(x.dropped_readings for x in both)
        durations = sorted(self._durations.copy())
        unsettled: dict[Lane, int] = {}
        for bound, count in self.bounds:
            unsettled[bound.lane] = unsettled.get(bound.lane, 0) + count
        return FileStats(
            name=self.spec.name,
            is_healthy=self.is_alive() and not self.is_failing and self.stuck_since() is None,
            queued_records=records,
            queued_readings=readings,
            oldest_ms=None if since is None else round((time.monotonic() - since) * 1000),
            dropped_records=dropped_records,
            dropped_readings=dropped_readings,
            commits=self._commits,
            bytes_written=self._bytes,
            fsync_p99_ms=durations[len(durations) * 99 // 100] * 1000 if durations else None,
            unsettled=unsettled,
        )

    # -- the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while (pause := self._pause()) > 0:
                    self.busy_since = None
                    self._changed.wait(None if pause == float("inf") else pause)
                self.busy_since = time.monotonic()
                is_last = self._is_closing
            try:
                self._turn(is_last)
            except Exception as error:  # the only way to the disk never ends early
                log.exception("store turn failed file=%s", self.spec.name)
                self._fail(error)
            if is_last:
                break
        self._end()

    def _pause(self) -> float:
        """Seconds until something is to do; under the lock."""
        if self._is_closing or self._queries:
            return 0.0
        now = time.monotonic()
        if self.is_failing:
            return self._retry_at - now
        if self._connection is None or self._flushes or self._waiting.is_urgent:
            return 0.0
        checks_at = float("inf") if self._check_below is None else self._check_at
        settles_at = float("inf") if self._settle_at is None else self._settle_at
        return min(checks_at, settles_at) - now

    def _turn(self, is_last: bool) -> None:
        with self._changed:  # before the work: what was settled before it was asked is seen
            queries, self._queries = self._queries, deque()
        is_due = is_last or not self.is_failing or time.monotonic() >= self._retry_at
        is_more = is_due
        while is_more:
            is_more = self._commit_waiting() and is_last and self._waiting.is_urgent
        for query in queries:
            _resolve(query.answer, self._read(query))
        is_check_due = self._check_below is not None and time.monotonic() >= self._check_at
        if is_check_due and not is_last:
            self._check_slice()

    def _commit_waiting(self) -> bool:
        """Take what waits and commit it; False when that failed and it was put back."""
        with self._changed:
            work = self._taken = self._waiting
            self._waiting = _split(work)
            is_whole = not self._waiting.batches
            flushes = self._flushes if is_whole else []
            self._flushes = [] if is_whole else self._flushes
            self._settle_at = None
        error = self._attempt(work)
        with self._changed:
            self._taken = Waiting()
            if error is None:
                self._waiting.dropped_records += work.dropped_records
                self._waiting.dropped_readings += work.dropped_readings
            else:
                put_back(work, self._waiting)
                self._flushes = flushes + self._flushes
        if error is not None:
            self._fail(error)
            return False
        self._recover()
        for done in flushes:
            _resolve(done, None)
        return True

    def _attempt(self, work: Waiting) -> Exception | None:
        """Commit `work`, with one reopen; None when it is durable."""
        failure: Exception | None = None
        for _ in range(1 if self.is_failing else 2):
            try:
                if self._connection is None:
                    self._connection = self._open()
                self._write(self._connection, work)
            except Exception as error:  # noqa: BLE001  # sorted here: full, damaged, or failing
                failure = error
                if is_full(error) and self._roll_back():
                    self._is_full = True
                    continue
                self._disconnect()
                if is_damage(error):
                    failure = self._begin_anew(error) or error
            else:
                return None
        return failure

    def _roll_back(self) -> bool:
        """Keep the connection of a full file: what it holds must go out to make room."""
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.warning("store rollback failed file=%s why=%s", self.spec.name, error)
            return False
        return self._connection is not None

    def _write(self, connection: sqlite3.Connection, work: Waiting) -> None:
        commit = _Commit()
        if not (work.is_urgent or work.settles or self._remembered.must_resave):
            return
        encoded = self._encode(work, commit)
        connection.execute("BEGIN IMMEDIATE")
        for settled in work.settles:
            self._settle_range(connection, settled, commit)
        self._evict(connection)
        for record in encoded:
            self._insert(connection, record, commit)
        if commit.fresh:  # an ack may come before the commit: alarms are also sent from memory
            for settled in work.settles:
                self._settle_range(connection, settled, commit)
        commit.remembered = self._remembered.save(connection, work.alarms, work.kept)
        commit.refused += commit.remembered.refused
        if self._hooks.before_commit is not None:
            self._hooks.before_commit(self.spec.name)
        started = time.monotonic()
        connection.execute("COMMIT")
        self._durations.append(time.monotonic() - started)
        self._remember(connection, commit)

    def _encode(self, work: Waiting, commit: _Commit) -> list[Record]:
        records = [record for queue in work.records.values() for record in queue]
        for batch in (*work.thinned, *work.batches):
            try:
                body = self._hooks.encode(batch)
            except Exception as error:  # noqa: BLE001  # one bad batch must not stop the others
                commit.refused.append(f"batch {batch.seq}: {error!r}")
            else:
                records.append(Record(Lane.R, batch.epoch, batch.seq, "read", batch.at, body))
        return records

    def _insert(self, connection: sqlite3.Connection, record: Record, commit: _Commit) -> None:
        """Insert a record, once: after a COMMIT that failed late the rows may be there already."""
        try:
            position = Position(self._ordinal(connection, record.epoch, commit), record.seq)
            row = rows.to_row(record, position.ordinal)
            is_fresh = connection.execute(_INSERT, row).rowcount == 1
        except (ValueError, TypeError, AttributeError, OverflowError, sqlite3.ProgrammingError,
                sqlite3.InterfaceError, sqlite3.IntegrityError) as error:  # fmt: skip
            commit.refused.append(f"record {record.lane} {record.seq}: {error!r}")
            return
        if is_fresh:
            connection.execute("INSERT INTO pending VALUES (?)", row[:1])
            commit.fresh.append((record.lane, position))
        elif not self._is_same(connection, row):
            commit.refused.append(f"record {record.lane} {record.seq}: number used twice")
            return
        commit.records.append(record)

    def _is_same(self, connection: sqlite3.Connection, row: Row) -> bool:
        found = connection.execute("SELECT crc FROM record WHERE id = ?", row[:1]).fetchone()
        return found is not None and found[0] == row[-1]

    def _ordinal(self, connection: sqlite3.Connection, epoch: str, commit: _Commit) -> int:
        if (known := self.ordinals.get(epoch, commit.epochs.get(epoch))) is not None:
            return known
        taken = (*self.ordinals.values(), *commit.epochs.values())
        ordinal = max(taken, default=0) + 1
        _insert_epoch(connection, ordinal, epoch)
        commit.epochs[epoch] = ordinal
        return ordinal

    def _settle_range(
        self, connection: sqlite3.Connection, settled: Range, commit: _Commit
    ) -> None:
        ordinal = self.ordinals.get(settled.epoch)
        lo, hi = max(settled.lo, 0), min(settled.hi, rows.MAX_SEQ)
        if ordinal is None or lo > hi:
            return
        ids = (rows.id_of(settled.lane, Position(ordinal, n)) for n in (lo, hi))
        gone = connection.execute(
            "DELETE FROM pending WHERE id BETWEEN ? AND ?", tuple(ids)
        ).rowcount
        if gone:
            group = settled.lane, ordinal
            commit.settled[group] = commit.settled.get(group, 0) + gone

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Above the size bound's share drop settled records, oldest first, until under it."""
        (most,) = connection.execute("PRAGMA max_page_count").fetchone()
        for _ in range(16):
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            if pages - free < FULL_SHARE * most and not self._is_full:
                return
            gone = connection.execute(
                "DELETE FROM record WHERE id IN (SELECT record.id FROM record"
                " LEFT JOIN pending ON pending.id = record.id"
                " WHERE pending.id IS NULL ORDER BY record.id LIMIT 16)"
            ).rowcount
            if gone == 0:
                return
            self._is_full = False

    # -- after COMMIT

    def _remember(self, connection: sqlite3.Connection, commit: _Commit) -> None:
        self._commits += 1
        self._bytes = _bytes_written()
        self._is_full = False
        self.ordinals = {**self.ordinals, **commit.epochs}
        self._remembered.confirm(commit.remembered)
        for lane, (ordinal, seq) in commit.fresh:
            bound = self._unsettled.setdefault((lane, ordinal), _Bound(seq, seq, 0))
            bound.lo, bound.hi = min(bound.lo, seq), max(bound.hi, seq)
            bound.count += 1
        for group, gone in commit.settled.items():
            self._unsettled[group].count -= gone
            self._refresh_bound(connection, group)
        if commit.fresh or commit.settled:
            self._publish_bounds()
        if commit.records:
            records = tuple(commit.records)
            self._hooks.post(lambda: self._hooks.on_durable(records))
        for why in commit.refused:
            self._report(FaultRaised("task_failed", f"store {self.spec.name}", why))

    def _refresh_bound(self, connection: sqlite3.Connection, group: tuple[Lane, int]) -> None:
        ids = _ids_of(*group)
        lo, hi = connection.execute(
            "SELECT (SELECT min(id) FROM pending WHERE id BETWEEN ?1 AND ?2),"
            " (SELECT max(id) FROM pending WHERE id BETWEEN ?1 AND ?2)",
            ids,
        ).fetchone()
        if lo is None:
            del self._unsettled[group]
        else:
            bound = self._unsettled[group]
            bound.lo, bound.hi = rows.position_of(lo).seq, rows.position_of(hi).seq

    def _publish_bounds(self) -> None:
        names = {ordinal: epoch for epoch, ordinal in self.ordinals.items()}
        self.bounds = tuple(
            (Range(lane, names.get(ordinal, ""), bound.lo, bound.hi), bound.count)
            for (lane, ordinal), bound in sorted(self._unsettled.items())
        )

    # -- reading

    def _read(self, query: _Query) -> list[Record]:
        """What is on disk; nothing while the disk fails: what is not durable is not given out."""
        if self._connection is None:
            return []
        try:
            found, damaged = self._select(self._connection, query)
            if damaged:
                self._put_damaged_apart(self._connection, damaged)
        except Exception as error:  # noqa: BLE001  # sorted there: damaged, or failing
            self._give_up(error)
            return []
        else:
            return found

    def _give_up(self, error: Exception) -> None:
        """After a failed read: begin anew at the next turn, or fail and retry."""
        self._disconnect()
        refusal = self._begin_anew(error) if is_damage(error) else error
        if refusal is not None:
            self._fail(refusal)

    def _select(
        self, connection: sqlite3.Connection, query: _Query
    ) -> tuple[list[Record], dict[int, str]]:
        names = {ordinal: epoch for epoch, ordinal in self.ordinals.items()}
        lo = rows.id_of(query.lane, query.after or Position(0, 0))
        hi = rows.id_of(query.lane, Position(rows.MAX_ORDINAL, rows.MAX_SEQ))
        found: list[Record] = []
        damaged: dict[int, str] = {}
        size = 0
        for row in connection.execute(_UNSETTLED, (lo, hi)):
            try:
                record = rows.from_row(row, names.get(rows.position_of(row[0]).ordinal))
            except RowDamaged as error:
                damaged[row[0]] = str(error)
                continue
            size += len(record.body)
            if len(found) >= query.limit or (found and size > query.max_bytes):
                break
            found.append(record)
        return found, damaged

    def _put_damaged_apart(self, connection: sqlite3.Connection, damaged: dict[int, str]) -> None:
        """Take damaged rows out of what is to be sent: reported once, kept for salvage."""
        groups: dict[tuple[Lane, int], int] = {}
        connection.execute("BEGIN IMMEDIATE")
        for row_id, why in damaged.items():
            connection.execute("INSERT OR IGNORE INTO damaged VALUES (?, ?)", (row_id, why))
            gone = connection.execute("DELETE FROM pending WHERE id = ?", (row_id,)).rowcount
            group = rows.lane_of(row_id), rows.position_of(row_id).ordinal
            groups[group] = groups.get(group, 0) + gone
        connection.execute("COMMIT")
        for group, gone in groups.items():
            if gone:
                self._unsettled[group].count -= gone
                self._refresh_bound(connection, group)
        self._publish_bounds()
        for why in damaged.values():
            self._report(FaultRaised("store_row_damaged", self.spec.name, why))

    def _check_slice(self) -> None:
        """Check some rows, newest first; called when there is nothing else to do."""
        connection, below = self._connection, self._check_below
        if connection is None or below is None:
            return
        names = {ordinal: epoch for epoch, ordinal in self.ordinals.items()}
        count = min(CHECKED_A_SLICE, self._check_left)
        damaged: dict[int, str] = {}
        seen = 0
        try:
            for row in connection.execute(_NEWEST_BELOW, (below, count)):
                seen, below = seen + 1, row[0]
                try:
                    rows.from_row(row, names.get(rows.position_of(row[0]).ordinal))
                except RowDamaged as error:
                    damaged[row[0]] = str(error)
            if damaged:
                self._put_damaged_apart(connection, damaged)
        except Exception as error:  # noqa: BLE001  # sorted there: damaged, or failing
            self._give_up(error)
            return
        self._check_at = time.monotonic() + CHECK_EVERY_S
        self._check_left -= seen
        self._check_below = below if seen == count and self._check_left > 0 else None

    # -- opening, failing, recovering

    def _open(self) -> sqlite3.Connection:
        self._lock.take()
        connection, is_checked = open_file(self.spec)
        try:
            self._load(connection)
        except BaseException:
            connection.close()
            raise
        if not self._has_opened:
            self._check_below = (1 << 63) - 1
            self._check_left = CHECKED_AT_START if is_checked else 1 << 62
        self._has_opened = True
        return connection

    def _load(self, connection: sqlite3.Connection) -> None:
        """Take from the file what the writer keeps in memory, and note this start's epoch."""
        known = {name: ordinal for ordinal, name in connection.execute(
            "SELECT ordinal, epoch FROM epoch ORDER BY ordinal")}  # fmt: skip
        self.ordinals = {**self.ordinals, **known}
        for name in dict.fromkeys((*self.ordinals, self.epoch)):
            if name not in known:
                self._register(connection, name, set(known.values()))
        self._unsettled = _read_bounds(connection)
        self._publish_bounds()
        if self.spec.schema == "core":
            self._load_remembered(connection)

    def _register(self, connection: sqlite3.Connection, epoch: str, taken: set[int]) -> None:
        """Note an epoch; a full disk must not keep the file from being read and drained."""
        ordinal = self.ordinals.get(epoch)
        if ordinal is None or ordinal in taken:
            ordinal = max((*self.ordinals.values(), *taken), default=0) + 1
        try:
            _insert_epoch(connection, ordinal, epoch)
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            self.ordinals = {k: v for k, v in self.ordinals.items() if k != epoch}
        else:
            self.ordinals = {**self.ordinals, epoch: ordinal}

    def _load_remembered(self, connection: sqlite3.Connection) -> None:
        wrong = self._remembered.load(
            connection,
            is_start=not self._has_opened and not self.ready.done(),
            is_first_open=not self._has_opened,
        )
        for why in wrong:
            self._report(FaultRaised("store_row_damaged", self.spec.name, why))

    def _begin_anew(self, error: Exception) -> Exception | None:
        """Set the damaged file aside and say so; None, or why even that failed."""
        try:
            bad = set_aside(self.spec.path)
        except OSError as refusal:
            return refusal
        self._unsettled = {}
        self._remembered.forget_file()
        self._publish_bounds()
        detail = f"{error}; kept as {bad.name}"
        self._report(FaultRaised("store_corrupt", self.spec.name, detail))
        return None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                log.warning("store close failed file=%s why=%s", self.spec.name, error)

    def _fail(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)
        if not self.is_failing:
            self.is_failing = True
            self._report(FaultRaised("store_failing", self.spec.name, str(error)))
        self._tell_ready()

    def _recover(self) -> None:
        self._retry_s = FIRST_RETRY_S
        if self.is_failing:
            self.is_failing = False
            self._report(FaultCleared("store_failing", self.spec.name))
        self._tell_ready()

    def _tell_ready(self) -> None:
        if not self.ready.done():
            _resolve(self.ready, self._remembered.restored)

    def _report(self, fault: FaultRaised | FaultCleared) -> None:
        if isinstance(fault, FaultRaised):
            log.debug("store fault=%s file=%s why=%s", fault.code, self.spec.name, fault.detail)
            self.reported.add((fault.code, fault.subject))
        else:
            log.debug("store fault over fault=%s file=%s", fault.code, self.spec.name)
            self.reported.discard((fault.code, fault.subject))
        self._hooks.post(lambda: self._hooks.on_fault(fault))

    def _end(self) -> None:
        self._disconnect()
        self._tell_ready()
        with self._changed:
            self._has_ended = True
            flushes, queries = self._flushes, self._queries
        for query in queries:
            _resolve(query.answer, [])
        for done in flushes:
            if done.set_running_or_notify_cancel():
                done.set_exception(OSError(f"{self.spec.name} closed before it could be written"))
        self.busy_since = None
        _resolve(self.ended, None)


def _split(work: Waiting) -> Waiting:
    """Leave in `work` what one commit takes; the batches over that are what waits then."""
    rest = Waiting(batches=deque(islice(work.batches, BATCHES_A_COMMIT, None)))
    if rest.batches:
        work.batches = deque(islice(work.batches, BATCHES_A_COMMIT))
        rest.readings = sum(len(batch.readings) for batch in rest.batches)
        work.readings -= rest.readings
        rest.since = work.since
    return rest


def _resolve(future: Future[T], value: T) -> None:
    """Give the answer, unless who asked has gone."""
    if future.set_running_or_notify_cancel():
        future.set_result(value)


def _read_bounds(connection: sqlite3.Connection) -> dict[tuple[Lane, int], _Bound]:
    """Unsettled records by lane and epoch, going from group to group by the key.

    GROUP BY on an expression of the key would sort all of `pending`: 20 times slower.
    """
    bounds: dict[tuple[Lane, int], _Bound] = {}
    first = "SELECT min(id) FROM pending WHERE id >= ?"
    (lo,) = connection.execute(first, (0,)).fetchone()
    while lo is not None:
        group = rows.lane_of(lo), rows.position_of(lo).ordinal
        hi, count = connection.execute(
            "SELECT max(id), count(*) FROM pending WHERE id BETWEEN ? AND ?", _ids_of(*group)
        ).fetchone()
        bounds[group] = _Bound(rows.position_of(lo).seq, rows.position_of(hi).seq, count)
        (lo,) = connection.execute(first, (hi + 1,)).fetchone()
    return bounds


def _insert_epoch(connection: sqlite3.Connection, ordinal: int, epoch: str) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    connection.execute(
        "INSERT INTO epoch VALUES (?, ?, ?, ?)", (ordinal, epoch, boot, round(time.time() * 1000))
    )


def _ids_of(lane: Lane, ordinal: int) -> tuple[int, int]:
    lo = rows.id_of(lane, Position(ordinal, 0))
    return lo, lo | rows.MAX_SEQ


def _bytes_written() -> int | None:
    """What the kernel counts as sent to the block layer for this thread; None where it does not."""
    try:
        text = Path("/proc/thread-self/io").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in text.splitlines() if "write_bytes" in line), None)
