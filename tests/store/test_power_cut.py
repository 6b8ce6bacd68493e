"""Power cuts at any write or sync: nothing that was confirmed is lost, no file is damaged.

POWER_CUTS=100000 makes it a soak.
"""

import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("apsw")

from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.kept import Kept
from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Range, Record
from gateway.store import chain, rows
from gateway.store.files import FileSpec, set_pragmas
from gateway.store.ledger import Ledger
from gateway.store.waiting import Waiting, add
from tests.store.power import Connection, Disk

CUTS = int(os.environ.get("POWER_CUTS", "1000"))
CUTS_A_RUN = 16  # each finds another moment of the same commits
USES = 600  # writes and syncs of a run: some twenty commits, and checkpoints
AT = Now(1, 2, Clk.SYNC, 3, "b")
SCHEMAS = {"core": "core-3.sql", "readings": "readings-2.sql"}


def _spec(schema: str) -> FileSpec:
    return FileSpec(Path(f"{schema}.db"), 1024, 2**22, schema, 1.0)


def _open(disk: Disk, schema: str, synchronous: str) -> tuple[Connection, Ledger]:
    connection = Connection(disk, f"/{schema}.db")
    set_pragmas(connection, _spec(schema))
    connection.execute(f"PRAGMA synchronous={synchronous}")
    pages = 12 if synchronous == "FULL" else 100  # often: a cut shall meet checkpoints
    connection.execute(f"PRAGMA wal_autocheckpoint={pages}")
    return connection, Ledger(_spec(schema), "e1")


def _new_disk(schema: str) -> dict[str, bytes]:
    """An empty, well-closed file."""
    disk = Disk()
    connection, ledger = _open(disk, schema, "FULL")
    script = (Path(__file__).with_name("schemas") / SCHEMAS[schema]).read_text()
    connection.execute(script)
    ledger.load(connection, is_start=True)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return {name: file.durable for name, file in disk.files.items()}


@cache
def _body(lane: Lane, seq: int) -> bytes:
    source = random.Random(f"{lane}{seq}")
    return source.randbytes(source.choice((40, 300, 1_500)))


def _commit(connection: Connection, ledger: Ledger, schema: str, seq: int) -> None:
    """Commit `seq` the way the writer's thread does."""
    lanes = (Lane.A, Lane.B) if schema == "core" else (Lane.R,)
    records = [Record(lane, "e1", seq, "x", AT, _body(lane, seq)) for lane in lanes]
    work = Waiting()
    if schema == "core":
        alarm = Alarm("a", AlarmState.UA, detail=str(seq))
        add(work, records, [alarm], None, [Kept("k", "1", str(seq))])
    else:
        add(work, records, [], None)
    if seq > 2:
        work.settles.update(dict.fromkeys(Range(lane, "e1", seq - 2, seq - 2) for lane in lanes))
    connection.execute("BEGIN IMMEDIATE")
    commit = ledger.settle(connection, work)
    ledger.write(connection, work, records, commit)
    connection.execute("COMMIT")
    ledger.confirm(connection, commit)


Cut = tuple[int, dict[str, bytes]]  # how many commits were confirmed, what the disk has then


class CutDisk(Disk):
    """Tells at some uses, before they happen, what stood on it if the power went now."""

    def __init__(self, content: dict[str, bytes], source: random.Random) -> None:
        super().__init__(content)
        self.source, self.confirmed = source, 0
        self.moments: set[int] = set()
        self.cuts: list[Cut] = []

    def use(self) -> None:
        if self.left in self.moments:
            self.cuts.append((self.confirmed, self.after_the_cut(self.source)))
        super().use()


def _cuts(blank: dict[str, bytes], schema: str, seed: int, synchronous: str = "FULL") -> list[Cut]:
    """Commit until the power goes; what would be left had it gone at any of some moments."""
    source = random.Random(seed)
    disk = CutDisk(blank, source)
    connection, ledger = _open(disk, schema, synchronous)
    ledger.load(connection, is_start=True)
    disk.moments = set(source.sample(range(USES), CUTS_A_RUN))
    disk.left = max(disk.moments)
    try:
        while True:
            _commit(connection, ledger, schema, disk.confirmed + 1)
            disk.confirmed += 1
    except Exception:  # noqa: BLE001  # the power cut, as SQLite passes it on
        assert disk.left < 0
    disk.left = 1 << 60
    connection.close()
    return disk.cuts


def _all_cuts(
    blank: dict[str, bytes], schema: str, count: int, synchronous: str = "FULL"
) -> Iterator[tuple[str, int, dict[str, bytes]]]:
    """So many of them, each with a name to find it by."""
    for seed in range(-(-count // CUTS_A_RUN)):
        for number, (confirmed, files) in enumerate(_cuts(blank, schema, seed, synchronous)):
            yield f"seed {seed}, cut {number}", confirmed, files


def _look(files: dict[str, bytes], schema: str) -> tuple[str, dict[int, tuple[bytes, bytes]]]:
    """SQLite's verdict on the file, and lane|seq -> body and hash."""
    try:
        connection = Connection(Disk(files), f"/{schema}.db")
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        found = connection.execute("SELECT id, body, hash FROM record").fetchall()
    except Exception as error:  # noqa: BLE001  # whatever it is, the file cannot be used
        return repr(error), {}
    return verdict, {row_id: (body, hash_) for row_id, body, hash_ in found}


def _lost(found: dict[int, tuple[bytes, bytes]], schema: str, confirmed: int) -> int:
    lanes = (Lane.A, Lane.B) if schema == "core" else (Lane.R,)
    ordinal = 1
    wanted = {
        rows.id_of(lane, rows.Position(ordinal, seq)): _body(lane, seq)
        for lane in lanes
        for seq in range(1, confirmed + 1)
    }
    return sum(row_id not in found or found[row_id][0] != body for row_id, body in wanted.items())


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_power_cut_loses_what_was_confirmed_or_damages_the_file(schema):
    blank = _new_disk(schema)
    commits = 0
    for name, confirmed, files in _all_cuts(blank, schema, CUTS):
        verdict, found = _look(files, schema)
        assert verdict == "ok", name
        assert _lost(found, schema, confirmed) == 0, name
        commits += confirmed
    assert commits > 4 * CUTS, "the cuts came too early to tell anything"


def test_alarms_chain_and_settling_are_those_of_one_commit(tmp_path):
    blank = _new_disk("core")
    for name, confirmed, files in _all_cuts(blank, "core", CUTS // 5):
        connection, ledger = _open(Disk(files), "core", "FULL")
        wrong = ledger.load(connection, is_start=True)
        assert wrong == [], name
        newest = len([row for row in _look(files, "core")[1] if row >> 60 == 0])
        assert newest in (confirmed, confirmed + 1), "whole commits, and at most one that was told"
        if newest == 0:
            continue
        restored = ledger.remembered.restored
        assert [alarm.detail for alarm in restored.alarms] == [str(newest)]
        assert [kept.body for kept in restored.kept] == [str(newest)]
        head = chain.GENESIS
        for seq in range(1, newest + 1):
            head = chain.link(head, _body(Lane.A, seq))
        assert ledger.heads[Lane.A].hash == head
        bounds = {bound.lane: (bound.lo, bound.hi) for bound, _ in ledger.bounds}
        assert bounds[Lane.B] == (max(1, newest - 1), newest)


@pytest.mark.parametrize(
    ("synchronous", "loses", "damages"), [("NORMAL", 0.3, 0.0), ("OFF", 0.3, 0.2)]
)
def test_the_power_cut_itself_bites(synchronous, loses, damages):
    """Without its syncs the store loses and is damaged here: the test can tell."""
    blank = _new_disk("core")
    cuts = lost = bad = 0
    for _, confirmed, files in _all_cuts(blank, "core", 100, synchronous):
        verdict, found = _look(files, "core")
        cuts += 1
        bad += verdict != "ok"
        lost += verdict != "ok" or _lost(found, "core", confirmed) > 0
    assert lost > cuts * loses
    assert bad >= cuts * damages
