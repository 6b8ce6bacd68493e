"""What one file holds, as its writer's thread knows it, and the transaction that adds to it.

A transaction is written by `write` and counts in memory only after `confirm`, when it is durable.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.domain.records import Lane, Range, Record
from gateway.store import chain, rows
from gateway.store.chain import Head
from gateway.store.files import FileSpec, is_full, number_of
from gateway.store.remembered import Change, Remembered
from gateway.store.rows import Position, Row, RowDamaged
from gateway.store.waiting import Waiting

Group = tuple[Lane, int]  # lane and ordinal of the epoch

ROOM_FOR_EPOCHS = 1 << 10

# Columns are named everywhere: who goes back to this version may have a file with one more.
_INSERT = """
INSERT OR IGNORE INTO record (id, kind, boot, mono, utc, clk, err, body, crc, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SALVAGE = """
INSERT OR IGNORE INTO salvaged (id, kind, boot, mono, utc, clk, err, body, crc, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PENDING = "INSERT OR IGNORE INTO pending (id) VALUES (?)"
_UNSETTLED = """
SELECT pending.id, kind, boot, mono, utc, clk, err, body, crc
FROM pending LEFT JOIN record ON record.id = pending.id  -- in this order, whatever is analysed
WHERE pending.id > ? AND pending.id <= ? ORDER BY pending.id
"""
_SALVAGED = """
SELECT id, kind, boot, mono, utc, clk, err, body, crc FROM salvaged WHERE id = ?
"""


@dataclass(slots=True)
class _Bound:
    lo: int
    hi: int
    count: int


@dataclass(slots=True)
class Commit:
    """What one transaction did: becomes the ledger's memory once it is durable."""

    records: list[Record] = field(default_factory=list)
    fresh: list[tuple[Lane, Position]] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    heads: dict[Lane, Head] = field(default_factory=dict)
    remembered: Change = field(default_factory=Change)
    settled: dict[Group, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


class Ledger:
    """`ordinals`, `bounds` and `heads` are replaced whole: other threads may read them."""

    def __init__(self, spec: FileSpec, epoch: str) -> None:
        self.ordinals: dict[str, int] = {}
        self.bounds: tuple[tuple[Range, int], ...] = ()  # unsettled, and how many
        self.heads: dict[Lane, Head] = {}
        self.remembered = Remembered()
        self.first_ordinal = 1
        self._has_chain = spec.schema == "core"
        self._epoch = epoch
        self._unsettled: dict[Group, _Bound] = {}

    @property
    def names(self) -> dict[int, str]:
        return {ordinal: epoch for epoch, ordinal in self.ordinals.items()}

    # -- opening

    def load(
        self, connection: sqlite3.Connection, *, is_start: bool, may_return: bool = False
    ) -> list[str]:
        """Take in what the file holds and note this start's epoch; what cannot be read of it.

        `may_return`: epochs that this file does not know are to be salvaged, from one that is
        newer than it (a copy was put back): they were before this start's.
        """
        known = _ordinals(connection)
        self.ordinals = {**self.ordinals, **known}
        if may_return:
            newest = max(self.ordinals.values(), default=0)
            first = min(newest + ROOM_FOR_EPOCHS, rows.MAX_ORDINAL - 1) + 1
            self.first_ordinal = max(self.first_ordinal, first)
        for name in dict.fromkeys((*self.ordinals, self._epoch)):
            if name not in known:
                self._register(connection, name, set(known.values()))
        self._unsettled = _read_bounds(connection)
        self._publish_bounds()
        if not self._has_chain:
            return []
        self._load_heads(connection)
        return self.remembered.load(connection, is_start=is_start)

    def peek(self, connection: sqlite3.Connection) -> None:
        """At the start, take in what a file holds that cannot be written; sqlite3.Error."""
        self.ordinals = _ordinals(connection)
        self._unsettled = _read_bounds(connection)
        self._publish_bounds()
        if self._has_chain:
            self.remembered.rescue(connection)
            self.heads = chain.read_heads(connection)

    def _load_heads(self, connection: sqlite3.Connection) -> None:
        found = chain.read_heads(connection)
        if not found and self.heads:
            chain.go_on_from(connection, self.heads)
        else:
            self.heads = found

    def forget_file(self, bad: Path) -> None:
        """The file was set aside as `bad`; the chain goes on in the next one.

        Epochs that nobody remembers may come back from it: they were before this start's.
        """
        if not self.ordinals:
            self.first_ordinal = min(number_of(bad) << 16, rows.MAX_ORDINAL >> 1) + 1
        self._unsettled = {}
        self.remembered.forget_file()
        self._publish_bounds()

    def _register(self, connection: sqlite3.Connection, epoch: str, taken: set[int]) -> None:
        """Note an epoch; a full disk must not keep the file from being read and drained."""
        ordinal = self.ordinals.get(epoch)
        if ordinal is None or ordinal in taken:
            ordinal = self._next_ordinal((*self.ordinals.values(), *taken))
        try:
            _insert_epoch(connection, ordinal, epoch)
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            self.ordinals = {k: v for k, v in self.ordinals.items() if k != epoch}
        else:
            self.ordinals = {**self.ordinals, epoch: ordinal}

    def _next_ordinal(self, taken: Iterable[int]) -> int:
        return max(*taken, self.first_ordinal - 1, 0) + 1

    # -- one transaction

    def settle(self, connection: sqlite3.Connection, work: Waiting) -> Commit:
        """Begin with what the platform has, within the caller's transaction: it makes room."""
        commit = Commit(heads=dict(self.heads))
        for settled in work.settles:
            self._settle_range(connection, settled, commit)
        return commit

    def write(
        self,
        connection: sqlite3.Connection,
        work: Waiting,
        records: Iterable[Record],
        commit: Commit,
    ) -> None:
        """Insert what waits, within the caller's transaction."""
        for record in records:
            self._insert(connection, record, commit)
        ids = [(rows.id_of(lane, position),) for lane, position in commit.fresh]
        rows.insert(connection, "INSERT INTO pending (id)", ids)
        if commit.fresh:  # an ack may come before the commit: alarms are also sent from memory
            for settled in work.settles:
                self._settle_range(connection, settled, commit)
        commit.remembered = self.remembered.save(connection, work.alarms, work.kept)
        commit.refused += commit.remembered.refused

    def _insert(self, connection: sqlite3.Connection, record: Record, commit: Commit) -> None:
        """Insert a record, once: after a COMMIT that failed late the rows may be there already."""
        try:
            position = Position(self._ordinal(connection, record.epoch, commit), record.seq)
            row = rows.to_row(record, position.ordinal)
            head = self._link(commit, record, row[0])
            is_fresh = connection.execute(_INSERT, (*row, head and head.hash)).rowcount == 1
        except (ValueError, TypeError, AttributeError, OverflowError, sqlite3.ProgrammingError,
                sqlite3.InterfaceError, sqlite3.IntegrityError) as error:  # fmt: skip
            commit.refused.append(f"record {record.lane} {record.seq}: {error!r}")
            return
        if is_fresh:
            commit.fresh.append((record.lane, position))
            if head is not None:
                commit.heads[record.lane] = head
        elif not _is_same(connection, row):
            commit.refused.append(f"record {record.lane} {record.seq}: number used twice")
            return
        commit.records.append(record)

    def _link(self, commit: Commit, record: Record, row_id: int) -> Head | None:
        if not self._has_chain:
            return None
        before = commit.heads.get(record.lane)
        return Head(row_id, chain.link(before.hash if before else chain.GENESIS, record.body))

    def _ordinal(self, connection: sqlite3.Connection, epoch: str, commit: Commit) -> int:
        if (known := self.ordinals.get(epoch, commit.epochs.get(epoch))) is not None:
            return known
        ordinal = self._next_ordinal((*self.ordinals.values(), *commit.epochs.values()))
        _insert_epoch(connection, ordinal, epoch)
        commit.epochs[epoch] = ordinal
        return ordinal

    def _settle_range(self, connection: sqlite3.Connection, settled: Range, commit: Commit) -> None:
        ids = self._ids_between(settled)
        if ids is None:
            return
        gone = connection.execute("DELETE FROM pending WHERE id BETWEEN ? AND ?", ids).rowcount
        if gone:
            group = settled.lane, rows.position_of(ids[0]).ordinal
            commit.settled[group] = commit.settled.get(group, 0) + gone

    def _ids_between(self, wanted: Range) -> tuple[int, int] | None:
        """First and last id of a range; None when no row can be in it."""
        ordinal = self.ordinals.get(wanted.epoch)
        lo, hi = max(wanted.lo, 0), min(wanted.hi, rows.MAX_SEQ)
        if ordinal is None or lo > hi:
            return None
        return (
            rows.id_of(wanted.lane, Position(ordinal, lo)),
            rows.id_of(wanted.lane, Position(ordinal, hi)),
        )

    def confirm(self, connection: sqlite3.Connection, commit: Commit) -> None:
        """The transaction is durable."""
        self.ordinals = {**self.ordinals, **commit.epochs}
        self.heads = commit.heads
        self.remembered.confirm(commit.remembered)
        for lane, (ordinal, seq) in commit.fresh:
            self._count_in((lane, ordinal), seq)
        for group, gone in commit.settled.items():
            self._count_out(connection, group, gone)
        if commit.fresh or commit.settled:
            self._publish_bounds()

    # -- reading

    def select(
        self,
        connection: sqlite3.Connection,
        lane: Lane,
        after: Position | None,
        limit: int,
        max_bytes: int,
        settled: Iterable[Range] = (),
    ) -> tuple[list[Record], dict[int, str]]:
        """Unsettled records after a position, at least one if there is one; and what is damaged.

        `settled`: a few ranges that the next commit settles.
        """
        names = self.names
        lo = rows.id_of(lane, after or Position(0, 0))
        hi = rows.id_of(lane, Position(rows.MAX_ORDINAL, rows.MAX_SEQ))
        gone = [ids for ids in map(self._ids_between, settled) if ids is not None and ids[1] > lo]
        found: list[Record] = []
        damaged: dict[int, str] = {}
        size = 0
        for stored in connection.execute(_UNSETTLED, (lo, hi)):
            if any(first <= stored[0] <= last for first, last in gone):
                continue
            row = stored if stored[1] is not None else _salvaged(connection, stored[0])
            if row is None:
                damaged[stored[0]] = f"{lane} {rows.position_of(stored[0]).seq}: row is gone"
                continue
            try:
                record = rows.from_row(row, names.get(rows.ordinal_of(row[0])))
            except RowDamaged as error:
                damaged[row[0]] = str(error)
                continue
            size += len(record.body)
            if len(found) >= limit or (found and size > max_bytes):
                break
            found.append(record)
        return found, damaged

    # -- changes outside of a commit of what waits

    def put_damaged_apart(self, connection: sqlite3.Connection, damaged: dict[int, str]) -> None:
        """Take damaged rows out of what is to be sent; a transaction of its own."""
        with _transaction(connection):
            connection.executemany(
                "INSERT OR IGNORE INTO damaged (id, why) VALUES (?, ?)", damaged.items()
            )
            gone = self._unpend(connection, damaged)
        self._forget(connection, gone)

    def salvage(
        self,
        connection: sqlite3.Connection,
        found: Iterable[tuple[str, Row, bytes | None, bool]],
    ) -> int:
        """Take in rows of a damaged file: epoch, row, hash and whether it is still to be sent.

        How many were not there yet; a transaction of its own.
        """
        fresh: list[tuple[Lane, Position]] = []
        epochs = dict(self.ordinals)
        count = 0
        with _transaction(connection):
            for epoch, row, hash_, is_pending in found:
                ordinal = epochs.get(epoch) or _salvaged_ordinal(connection, epoch, row, epochs)
                lane, position = rows.lane_of(row[0]), rows.position_of(row[0])
                row_id = rows.id_of(lane, Position(ordinal, position.seq))
                there = connection.execute("SELECT 1 FROM record WHERE id = ?", (row_id,))
                if there.fetchone() is not None:
                    continue
                is_new = connection.execute(_SALVAGE, (row_id, *row[1:], hash_)).rowcount == 1
                count += is_new
                wanted = (row_id,) if is_new and is_pending else ()
                if wanted and connection.execute(_PENDING, wanted).rowcount == 1:
                    fresh.append((lane, Position(ordinal, position.seq)))
        self.ordinals = epochs
        for lane, (ordinal, seq) in fresh:
            self._count_in((lane, ordinal), seq)
        self._publish_bounds()
        return count

    def thin(
        self,
        connection: sqlite3.Connection,
        bodies: Iterable[tuple[bytes, int, int]],
        empty: Iterable[int],
    ) -> None:
        """Give records shorter bodies (body, CRC, id) and delete those that nobody needs.

        A transaction of its own.
        """
        gone_ids = list(empty)
        with _transaction(connection):
            connection.executemany(
                "UPDATE record SET kind = 'thin', body = ?, crc = ? WHERE id = ?", bodies
            )
            connection.executemany("DELETE FROM record WHERE id = ?", [(n,) for n in gone_ids])
            gone = self._unpend(connection, gone_ids)
        self._forget(connection, gone)

    def _unpend(self, connection: sqlite3.Connection, ids: Iterable[int]) -> dict[Group, int]:
        gone: dict[Group, int] = {}
        for row_id in ids:
            count = connection.execute("DELETE FROM pending WHERE id = ?", (row_id,)).rowcount
            group = rows.lane_of(row_id), rows.position_of(row_id).ordinal
            gone[group] = gone.get(group, 0) + count
        return gone

    def _forget(self, connection: sqlite3.Connection, gone: dict[Group, int]) -> None:
        for group, count in gone.items():
            if count:
                self._count_out(connection, group, count)
        self._publish_bounds()

    # -- what is unsettled

    def _count_in(self, group: Group, seq: int) -> None:
        bound = self._unsettled.setdefault(group, _Bound(seq, seq, 0))
        bound.lo, bound.hi = min(bound.lo, seq), max(bound.hi, seq)
        bound.count += 1

    def _count_out(self, connection: sqlite3.Connection, group: Group, gone: int) -> None:
        lo, hi = connection.execute(
            "SELECT (SELECT min(id) FROM pending WHERE id BETWEEN ?1 AND ?2),"
            " (SELECT max(id) FROM pending WHERE id BETWEEN ?1 AND ?2)",
            _ids_of(*group),
        ).fetchone()
        if lo is None:
            del self._unsettled[group]
            return
        bound = self._unsettled[group]
        bound.lo, bound.hi = rows.position_of(lo).seq, rows.position_of(hi).seq
        bound.count -= gone

    def _publish_bounds(self) -> None:
        names = self.names
        self.bounds = tuple(
            (Range(lane, names.get(ordinal, ""), bound.lo, bound.hi), bound.count)
            for (lane, ordinal), bound in sorted(self._unsettled.items())
        )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _ordinals(connection: sqlite3.Connection) -> dict[str, int]:
    select = "SELECT epoch, ordinal FROM epoch ORDER BY ordinal"
    return dict(connection.execute(select).fetchall())


def _is_same(connection: sqlite3.Connection, row: Row) -> bool:
    found = connection.execute("SELECT crc FROM record WHERE id = ?", row[:1]).fetchone()
    return found is not None and found[0] == row[-1]


def _salvaged(connection: sqlite3.Connection, row_id: int) -> Row | None:
    found: Row | None = connection.execute(_SALVAGED, (row_id,)).fetchone()
    return found


def _salvaged_ordinal(
    connection: sqlite3.Connection, epoch: str, row: Row, epochs: dict[str, int]
) -> int:
    """The ordinal it had, if it is free: what is older than this start is sent before it."""
    ordinal = rows.position_of(row[0]).ordinal
    taken = set(epochs.values())
    while ordinal in taken or ordinal == 0:
        ordinal += 1
    _insert_epoch(connection, ordinal, epoch)
    epochs[epoch] = ordinal
    return ordinal


def _read_bounds(connection: sqlite3.Connection) -> dict[Group, _Bound]:
    """Unsettled records by lane and epoch, going from group to group by the key.

    GROUP BY on an expression of the key would sort all of `pending`: 20 times slower.
    """
    bounds: dict[Group, _Bound] = {}
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
        "INSERT INTO epoch (ordinal, epoch, boot, utc) VALUES (?, ?, ?, ?)",
        (ordinal, epoch, boot, round(time.time() * 1000)),
    )


def _ids_of(lane: Lane, ordinal: int) -> tuple[int, int]:
    lo = rows.id_of(lane, Position(ordinal, 0))
    return lo, lo | rows.MAX_SEQ
