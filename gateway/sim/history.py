"""What the simulated platform keeps: one row per record, inserted or ignored.

`records.arrival` is the order in which records took effect, `settled` the order in which they were
acknowledged. A checker opens the file read-only with `read_applied`, also while it is written.

    python -m gateway.sim.history FILE            what took effect (gw, ep, lane, seq)
    python -m gateway.sim.history FILE --shown    how its alarms stand (gw, alarm, state)

as JSON Lines: what `care-gateway platform check --applied-by` and `--shown-by` ask for.
"""

import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

Key = tuple[str, str, str, int]  # gateway, epoch, lane, seq

_TABLES = """
CREATE TABLE IF NOT EXISTS records(
    arrival INTEGER PRIMARY KEY, gw TEXT, ep TEXT, lane TEXT, seq INTEGER, t TEXT, kind TEXT,
    readings INTEGER, hist INTEGER, durable INTEGER, body BLOB, UNIQUE(gw, ep, lane, seq));
CREATE TABLE IF NOT EXISTS settled(
    nr INTEGER PRIMARY KEY, gw TEXT, ep TEXT, lane TEXT, lo INTEGER, hi INTEGER);
CREATE TABLE IF NOT EXISTS refused(
    gw TEXT, ep TEXT, lane TEXT, seq INTEGER, PRIMARY KEY(gw, ep, lane, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gateways(gw TEXT PRIMARY KEY, is_on INTEGER, state BLOB);
CREATE TABLE IF NOT EXISTS counts(name TEXT PRIMARY KEY, n INTEGER);
"""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One record as it came in; `kind` is the transition of an alarm or the kind of a fact."""

    key: Key
    t: str
    kind: str
    readings: int
    is_history: bool
    is_durable: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Applied:
    """A row of the history, in the order of effect."""

    arrival: int
    key: Key
    t: str
    kind: str
    readings: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Acked:
    """One acknowledged range, in the order of sending."""

    gateway: str
    epoch: str
    lane: str
    lo: int
    hi: int


def open_history(path: Path | None) -> sqlite3.Connection:
    """Open or make the file; None keeps everything in memory."""
    connection = sqlite3.connect(path or ":memory:", isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _TABLES)
    return connection


def insert(connection: sqlite3.Connection, record: Arrived) -> bool:
    """Insert or ignore; True when it is new. Begins a transaction when there is none."""
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
    cursor = connection.execute(
        "INSERT OR IGNORE INTO records(gw, ep, lane, seq, t, kind, readings, hist, durable, body)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *record.key,
            record.t,
            record.kind,
            record.readings,
            record.is_history,
            record.is_durable,
            record.body,
        ),
    )
    count(connection, "received" if cursor.rowcount else "duplicates")
    return bool(cursor.rowcount)


def count(connection: sqlite3.Connection, name: str) -> None:
    connection.execute(
        "INSERT INTO counts VALUES(?, 1) ON CONFLICT(name) DO UPDATE SET n = n + 1", (name,)
    )


def note_settled(connection: sqlite3.Connection, acked: Sequence[Acked]) -> None:
    connection.executemany(
        "INSERT INTO settled(gw, ep, lane, lo, hi) VALUES(?, ?, ?, ?, ?)",
        [(a.gateway, a.epoch, a.lane, a.lo, a.hi) for a in acked],
    )


def note_refused(connection: sqlite3.Connection, key: Key) -> None:
    """It was refused for good: it will never be here, and is not missing."""
    connection.execute("INSERT OR IGNORE INTO refused VALUES(?, ?, ?, ?)", key)


def note_gateway(connection: sqlite3.Connection, gateway: str, *, is_on: bool, body: bytes) -> None:
    connection.execute(
        "INSERT INTO gateways VALUES(?, ?, ?)"
        " ON CONFLICT(gw) DO UPDATE SET is_on = excluded.is_on, state = excluded.state",
        (gateway, is_on, body),
    )


def holes(connection: sqlite3.Connection) -> list[tuple[str, str, str, int, int]]:
    """(gateway, epoch, lane, first, last) of numbers that were acknowledged and are not there."""
    kept = set(connection.execute("SELECT gw, ep, lane, seq FROM records"))
    missing = sorted(
        (gateway, epoch, lane, seq)
        for gateway, epoch, lane, low, high in connection.execute(
            "SELECT DISTINCT gw, ep, lane, lo, hi FROM settled"
        )
        for seq in range(low, high + 1)
        if (gateway, epoch, lane, seq) not in kept
    )
    found: list[tuple[str, str, str, int, int]] = []
    for gateway, epoch, lane, seq in dict.fromkeys(missing):
        if found and found[-1][:3] == (gateway, epoch, lane) and found[-1][4] + 1 == seq:
            found[-1] = (*found[-1][:4], seq)
        else:
            found.append((gateway, epoch, lane, seq, seq))
    return found


def lost(
    connection: sqlite3.Connection, gateway: str, epoch: str, unsettled: Mapping[str, int]
) -> list[tuple[str, int, int]]:
    """(lane, first, last) of an epoch's numbers that are settled, by the gateway, and not here.

    `unsettled` is the oldest unsettled number of each lane that has one. What is newer than the
    newest that came is not known to be missing.
    """
    found: list[tuple[str, int, int]] = []
    for lane in ("A", "B", "R"):
        rows = connection.execute(
            "SELECT seq FROM records WHERE gw = :gw AND ep = :ep AND lane = :lane"
            " UNION SELECT seq FROM refused"
            " WHERE gw = :gw AND ep = :ep AND lane = :lane ORDER BY 1",
            {"gw": gateway, "ep": epoch, "lane": lane},
        ).fetchall()
        here = [seq for (seq,) in rows]
        end = unsettled.get(lane, here[-1] + 1 if here else 1)
        edges = [0, *(seq for seq in here if seq < end), end]
        found += [(lane, low + 1, high - 1) for low, high in pairwise(edges) if high > low + 1]
    return found


def raised(connection: sqlite3.Connection, most: int) -> list[tuple[str, dict[str, Any]]]:
    """(gateway, message) of the newest alarms and warnings that were raised, oldest first."""
    rows = connection.execute(
        "SELECT gw, body FROM records WHERE lane = 'A' AND kind = 'raise'"
        " ORDER BY arrival DESC LIMIT ?",
        (most,),
    ).fetchall()
    return [(gateway, json.loads(body)) for gateway, body in reversed(rows)]


def gateways(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT gw FROM gateways ORDER BY gw")]


def state(connection: sqlite3.Connection, gateway: str) -> dict[str, Any] | None:
    """The last state that counted of a gateway; None for one that nobody heard of."""
    row = connection.execute("SELECT state FROM gateways WHERE gw = ?", (gateway,)).fetchone()
    return None if row is None else dict(json.loads(row[0]))


def read_applied(path: Path) -> list[Applied]:
    """Return every record in the order of effect; empty when the platform never ran."""
    rows = _read(
        path, "SELECT arrival, gw, ep, lane, seq, t, kind, readings, body FROM records ORDER BY 1"
    )
    return [Applied(row[0], (row[1], row[2], row[3], row[4]), *row[5:]) for row in rows]


def read_settled(path: Path) -> list[Acked]:
    """Return the acknowledged ranges in the order of sending."""
    return [
        Acked(*row) for row in _read(path, "SELECT gw, ep, lane, lo, hi FROM settled ORDER BY nr")
    ]


def read_counts(path: Path) -> dict[str, int]:
    """Return received, duplicates, malformed (missing when zero)."""
    return dict(_read(path, "SELECT name, n FROM counts"))


def shown(applied: Sequence[Applied]) -> dict[tuple[str, str], str]:
    """The state of each (gateway, alarm) after the last thing that happened to it.

    Not after the last that came: within an epoch the number counts, within a boot `mono`, and
    beyond that `at`; where even that is not known, what came later.
    """
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in applied:
        if row.t != "alarm":
            continue
        body = json.loads(row.body)
        key = (row.key[0], str(body["alarm"]))
        if key not in newest or not _is_before(body, newest[key]):
            newest[key] = body
    return {key: str(body["state"]) for key, body in newest.items()}


def _is_before(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    for same, field in (("ep", "seq"), ("boot", "mono")):
        if one[same] == other[same]:
            return bool(one[field] < other[field])
    if one["at"] is None or other["at"] is None:
        return False
    return bool(one["at"] < other["at"])


def _read(path: Path, query: str) -> list[tuple[Any, ...]]:
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # it is just being made
                return []
            raise


def _lines(path: Path, *, is_shown: bool) -> Iterator[dict[str, object]]:
    applied = read_applied(path)
    if is_shown:
        for (gateway, alarm), state in shown(applied).items():
            yield {"gw": gateway, "alarm": alarm, "state": state}
        return
    for row in applied:
        yield dict(zip(("gw", "ep", "lane", "seq"), row.key, strict=True))


if __name__ == "__main__":
    for line in _lines(Path(sys.argv[1]), is_shown="--shown" in sys.argv[2:]):
        print(json.dumps(line))
