"""The one thread that owns one database file: group commit, acks, reads, faults, chores.

    submit -> waiting -> [one transaction: settle, evict, insert] -> on_durable
                 ^                     | error
                 +---- put back -------+ damaged: set aside, begin anew; else reopen once, back off

Nothing that a caller does here waits for the disk: callers and thread share `waiting` under a lock
that is never held over a call into SQLite. What the file holds is known by `store.ledger`; between
commits `store.chores` checks, salvages and tidies a little at a time.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from gateway.domain.alarms import Alarm
from gateway.domain.events import FaultCleared, FaultRaised, GapPlanned
from gateway.domain.kept import Kept
from gateway.domain.records import Batch, Lane, Range, Record
from gateway.store import chain, room
from gateway.store.chores import Chores
from gateway.store.files import (
    DirectoryLock,
    FileSpec,
    is_damage,
    is_full,
    not_salvaged,
    open_file,
    set_aside,
    why_unusable,
)
from gateway.store.history import History
from gateway.store.ledger import Commit, Ledger
from gateway.store.reader import open_reader
from gateway.store.remembered import Restored
from gateway.store.room import Ballast, Level
from gateway.store.rows import Position
from gateway.store.waiting import Waiting, add, put_back

T = TypeVar("T")

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 30.0
BATCHES_A_COMMIT = 64
ACKS_IN_MIND = 16  # so many may wait for a commit to ride with while the lane is read
SLOW_AFTER_S = 2.0
COMMITS_REMEMBERED = 1_000
ASK_DISK_EVERY_S = 5.0
LOG_MOST_BYTES = 32 * 2**20  # somebody keeps it from being written back, or the disk does


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
    bytes_a_day: int | None = None  # at this start's pace; None before its first hour
    level: Level = Level.FINE  # of pressure
    disk_free: int | None = None  # bytes, as last looked at; None before the first look


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the thread calls: `encode`, `before_commit` in it, the others by `post` in the loop."""

    encode: Callable[[Batch], bytes]
    on_durable: Callable[[tuple[Record, ...]], None]
    on_fault: Callable[[FaultRaised | FaultCleared], None]
    post: Callable[[Callable[[], None]], None]
    before_commit: Callable[[str], None] | None = None
    on_gap: Callable[[GapPlanned], None] | None = None
    on_salvaged: Callable[[int], None] | None = None


@dataclass(slots=True)
class _Query:
    lane: Lane
    after: Position | None
    limit: int
    max_bytes: int
    answer: Future[list[Record]]


class Writer:
    """One file and its thread. Every method but `_…` may be called from the event loop."""

    def __init__(
        self, spec: FileSpec, epoch: str, lock: DirectoryLock, ballast: Ballast, hooks: Hooks
    ) -> None:
        self.spec = spec
        self.ready: Future[Restored] = Future()
        self.ended: Future[None] = Future()
        self.busy_since: float | None = time.monotonic()  # monotonic s; None when idle
        self.is_failing = False
        self.reported: set[tuple[str, str]] = set()  # code and subject of faults that stand
        self.ledger = Ledger(spec, epoch)
        self._lock = lock
        self._ballast = ballast
        self._hooks = hooks
        self._changed = threading.Condition()
        self._waiting = Waiting()
        self._taken = Waiting()  # what the transaction under way holds
        self._flushes: list[Future[None]] = []
        self._queries: deque[_Query] = deque()
        self._permitted: set[Range] = set()  # gaps that are on record
        self._is_closing = False
        self._has_ended = False
        self._connection: sqlite3.Connection | None = None
        self._has_opened = False
        self._is_full = False
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._settle_at: float | None = None
        self._history = History() if spec.schema == "readings" else None
        self._chores = Chores(spec, self.ledger, ballast)
        self._level = Level.FINE
        self._disk_bytes = 1 << 62
        self._log_bytes = 0
        self._is_tight = False
        self._ask_disk_at = 0.0
        self._durations: deque[float] = deque(maxlen=COMMITS_REMEMBERED)
        self._commits = 0
        self._bytes: int | None = None
        self._began_at = time.monotonic()
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

    def permit(self, gone: Range) -> None:
        """The gap of these records is on record: what was planned may be done."""
        with self._changed:
            self._permitted.add(gone)
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
        for bound, count in self.ledger.bounds:
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
            bytes_a_day=self._bytes_a_day(),
            level=self._level,
            disk_free=self._disk_bytes if 0 <= self._disk_bytes < 1 << 62 else None,
        )

    def _bytes_a_day(self) -> int | None:
        hours = (time.monotonic() - self._began_at) / 3600
        return None if self._bytes is None or hours < 1 else round(self._bytes / hours * 24)

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
        if self._connection is None or self._flushes or self._permitted or self._waiting.is_urgent:
            return 0.0
        settles_at = float("inf") if self._settle_at is None else self._settle_at
        return min(self._chores.due_at(), settles_at) - now

    def _turn(self, is_last: bool) -> None:
        with self._changed:  # before the work: what was settled before it was asked is seen
            queries, self._queries = self._queries, deque()
        is_due = is_last or not self.is_failing or time.monotonic() >= self._retry_at
        is_more = is_due
        while is_more:
            is_more = self._commit_waiting(is_last) and is_last and self._waiting.is_urgent
        for query in queries:
            _resolve(query.answer, self._read(query))
        if is_last:
            self._write_running_history()
        if self._connection is not None and not is_last:
            self._do_chores(self._connection)

    def _commit_waiting(self, is_last: bool) -> bool:
        """Take what waits and commit it; False when that failed and it was put back."""
        with self._changed:
            work = self._taken = self._waiting
            self._waiting = _split(work)
            if is_last or self._flushes or self._must_settle(work):
                self._settle_at = None
            else:
                self._waiting.settles, work.settles = work.settles, {}
            is_whole = not self._waiting.batches
            flushes = self._flushes if is_whole else []
            self._flushes = [] if is_whole else self._flushes
        error = self._attempt(work)
        with self._changed:
            self._taken = Waiting()
            lost, work.lost = (work.lost, []) if error is None else ([], work.lost)
            if error is None:
                self._waiting.dropped_records += work.dropped_records
                self._waiting.dropped_readings += work.dropped_readings
            else:
                put_back(work, self._waiting)
                self._flushes = flushes + self._flushes
                if work.settles:
                    self._settle_at = 0.0  # the next try is to touch the disk
        if error is not None:
            self._fail(error)
            return False
        self._recover()
        for lane, epoch, why, lo, hi in lost:
            self._tell_gap(GapPlanned(Range(lane, epoch, lo, hi), why))
        for done in flushes:
            _resolve(done, None)
        return True

    def _must_settle(self, work: Waiting) -> bool:
        """Whether acks go in now; otherwise they wait for a commit that is made anyway."""
        return (
            work.is_urgent
            or self._is_full
            or self.ledger.remembered.must_resave
            or len(work.settles) > ACKS_IN_MIND
            or (self._settle_at is not None and time.monotonic() >= self._settle_at)
        )

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
                if is_full(error):  # also while an older file is migrated, or a new one made
                    self._throw_ballast()
                    if self._roll_back():
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
        history = self._history
        is_history_due = self._is_closing and history is not None and history.has_rows
        if not (work.is_urgent or work.settles or self.ledger.remembered.must_resave
                or is_history_due):  # fmt: skip
            return
        refused: list[str] = []
        records = self._encode(work, refused)
        connection.execute("BEGIN IMMEDIATE")
        commit = self.ledger.settle(connection, work)
        room.evict(connection, self._free_on_disk(), is_full=self._is_full)
        self.ledger.write(connection, work, records, commit)
        rows_of_history = history.write(connection) if history is not None else 0
        commit.refused += refused
        if self._hooks.before_commit is not None:
            self._hooks.before_commit(self.spec.name)
        started = time.monotonic()
        connection.execute("COMMIT")
        self._durations.append(time.monotonic() - started)
        self._remember(connection, commit)
        if history is not None:
            history.confirm(rows_of_history)
            for batch in (*work.thinned, *work.batches):
                history.add(batch)

    def _write_running_history(self) -> None:
        """At the end: the five minutes that run, which the next start goes on with."""
        if self._history is None or self.is_failing or self._connection is None:
            return
        self._history.close_all()
        error = self._attempt(Waiting())
        if error is not None:
            log.warning("store lost the running history file=%s why=%s", self.spec.name, error)

    def _encode(self, work: Waiting, refused: list[str]) -> list[Record]:
        records = [record for queue in work.records.values() for record in queue]
        for batch in (*work.thinned, *work.batches):
            try:
                body = self._hooks.encode(batch)
            except Exception as error:  # noqa: BLE001  # one bad batch must not stop the others
                refused.append(f"batch {batch.seq}: {error!r}")
            else:
                records.append(Record(Lane.R, batch.epoch, batch.seq, "read", batch.at, body))
        return records

    def _remember(self, connection: sqlite3.Connection, commit: Commit) -> None:
        self._commits += 1
        self._bytes = _bytes_written()
        self._is_full = False
        self.ledger.confirm(connection, commit)
        if commit.records:
            records = tuple(commit.records)
            self._hooks.post(lambda: self._hooks.on_durable(records))
        for why in commit.refused:
            self._report(FaultRaised("task_failed", f"store {self.spec.name}", why))

    # -- room

    def _free_on_disk(self) -> int:
        now = time.monotonic()
        if now >= self._ask_disk_at:
            self._ask_disk_at = now + ASK_DISK_EVERY_S
            self._disk_bytes = room.free_on_disk(self.spec.path.parent)
            self._log_bytes = _size(self.spec.path.with_name(f"{self.spec.name}-wal"))
        return self._disk_bytes

    def _throw_ballast(self) -> None:
        """A commit did not fit: if it was the disk and not the file's bound, make some air."""
        self._disk_bytes = room.free_on_disk(self.spec.path.parent)
        if room.is_at_its_end(self._disk_bytes):
            self._ballast.drop()

    def _note_pressure(self, connection: sqlite3.Connection) -> None:
        """Say it once, when it changes; with the last level the ballast goes."""
        found = room.measure(connection, self._free_on_disk())
        self._level = found.level
        if room.is_at_its_end(found.disk_bytes):
            self._ballast.drop()
        was, self._is_tight = (
            self._is_tight,
            (found.level >= Level.THIN or self._log_bytes > LOG_MOST_BYTES),
        )
        if self._is_tight and not was:
            detail = (
                f"{found.used_share:.0%} used, {found.disk_bytes // 10**6} MB free on the disk, "
                f"{self._log_bytes // 10**6} MB not written back"
            )
            self._report(FaultRaised("store_pressure", self.spec.name, detail))
        elif was and not self._is_tight:
            self._report(FaultCleared("store_pressure", self.spec.name))

    def _do_chores(self, connection: sqlite3.Connection) -> None:
        """Whatever is due between commits; a few milliseconds of it."""
        try:
            if self.ready.done():
                self._note_pressure(connection)
            damaged = self._chores.check(connection)
            if damaged:
                self._put_damaged_apart(connection, damaged)
            with self._changed:
                permitted, self._permitted = self._permitted, set()
            gap = self._chores.make_room(connection, self._level, permitted)
            if gap is not None:
                self._tell_gap(gap)
            self._chores.tidy(connection, self._free_on_disk())
            salvaged = self._chores.salvage(connection, self._level)
        except Exception as error:  # noqa: BLE001  # sorted here: full, damaged, or failing
            if is_full(error) and self._roll_back():
                log.debug("store chore waits for room file=%s why=%s", self.spec.name, error)
            else:
                self._give_up(error)
            return
        if salvaged is not None and self._hooks.on_salvaged is not None:
            tell = self._hooks.on_salvaged
            self._hooks.post(lambda: tell(salvaged))

    def _tell_gap(self, gap: GapPlanned) -> None:
        if self._hooks.on_gap is not None:
            tell = self._hooks.on_gap
            self._hooks.post(lambda: tell(gap))

    # -- reading

    def _read(self, query: _Query) -> list[Record]:
        """What was committed, also from a disk that takes no writes; nothing of what waits."""
        if self._connection is None:
            return self._read_only(query)
        try:
            found, damaged = self._select(self._connection, query)
            if damaged:
                self._put_damaged_apart(self._connection, damaged)
        except Exception as error:  # noqa: BLE001  # sorted there: damaged, or failing
            self._give_up(error)
            return []
        else:
            return found

    def _read_only(self, query: _Query) -> list[Record]:
        """A card that wears out turns read-only: what it holds is delivered nevertheless."""
        try:
            with open_reader(self.spec.path) as connection:
                return self._select(connection, query)[0]
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            log.debug("store gives nothing file=%s why=%s", self.spec.name, error)
            return []

    def _select(
        self, connection: sqlite3.Connection, query: _Query
    ) -> tuple[list[Record], dict[int, str]]:
        with self._changed:
            settled = tuple(self._waiting.settles)
        return self.ledger.select(
            connection, query.lane, query.after, query.limit, query.max_bytes, settled
        )

    def _give_up(self, error: Exception) -> None:
        """After a failed read: begin anew at the next turn, or fail and retry."""
        self._disconnect()
        refusal = self._begin_anew(error) if is_damage(error) else error
        if refusal is not None:
            self._fail(refusal)

    def _put_damaged_apart(self, connection: sqlite3.Connection, damaged: dict[int, str]) -> None:
        try:
            self.ledger.put_damaged_apart(connection, damaged)
        except sqlite3.OperationalError as error:
            if not is_full(error):  # those that are sound must go out, or it never gets less full
                raise
            log.debug("store keeps damaged rows file=%s why=%s", self.spec.name, error)
        for why in damaged.values():
            self._report(FaultRaised("store_row_damaged", self.spec.name, why))

    # -- opening, failing, recovering

    def _open(self) -> sqlite3.Connection:
        self._lock.take()
        connection, is_checked = open_file(self.spec, is_start=not self._has_opened)
        try:
            wrong = self.ledger.load(
                connection,
                is_start=not self._has_opened and not self.ready.done(),
                may_return=not self._has_opened and not_salvaged(self.spec.path) is not None,
            )
            if self._history is not None:
                self._history.learn(connection.execute("SELECT id, number FROM point"))
        except BaseException:
            connection.close()
            raise
        for why in wrong:
            self._report(FaultRaised("store_row_damaged", self.spec.name, why))
        if not self._has_opened:
            self._chores.begin(is_file_checked=is_checked)
        self._has_opened = True
        return connection

    def _begin_anew(self, error: Exception) -> Exception | None:
        """Set the damaged file aside and say so; None, or why even that failed."""
        try:
            bad = set_aside(self.spec.path)
        except OSError as refusal:
            return refusal
        if not self._has_opened and not self.ready.done():
            self._rescue(bad)
        self.ledger.forget_file(bad)
        self._chores.begin_salvage()
        detail = f"{error}; kept as {bad.name}"
        self._report(FaultRaised("store_corrupt", self.spec.name, detail))
        return None

    def _rescue(self, bad: Path) -> None:
        """At the start: what the decider must know, as far as the damaged file still tells it."""
        if self.spec.schema != "core":
            return
        try:
            with open_reader(bad) as connection:
                self.ledger.remembered.rescue(connection)
                self.ledger.heads = chain.read_heads(connection)
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            log.warning("store rescued no alarm state file=%s why=%s", bad.name, error)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                log.warning("store close failed file=%s why=%s", self.spec.name, error)

    def _peek(self) -> None:
        """At the start, of a file that cannot be written: what it still says all the same."""
        try:
            with open_reader(self.spec.path) as connection:
                self.ledger.peek(connection)
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            log.warning("store cannot even be read file=%s why=%s", self.spec.name, error)

    def _fail(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)
        if not self.is_failing:
            self.is_failing = True
            detail = why_unusable(self.spec, error)
            self._report(FaultRaised("store_failing", self.spec.name, detail))
        if not self._has_opened and not self.ready.done():
            self._peek()
        self._tell_ready()

    def _recover(self) -> None:
        self._retry_s = FIRST_RETRY_S
        if self.is_failing:
            self.is_failing = False
            self._report(FaultCleared("store_failing", self.spec.name))
        self._tell_ready()

    def _tell_ready(self) -> None:
        if not self.ready.done():
            heads = {lane: head.hash.hex() for lane, head in self.ledger.heads.items()}
            _resolve(self.ready, replace(self.ledger.remembered.restored, heads=heads))

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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _bytes_written() -> int | None:
    """What the kernel counts as sent to the block layer for this thread; None where it does not."""
    try:
        text = Path("/proc/thread-self/io").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in text.splitlines() if "write_bytes" in line), None)
