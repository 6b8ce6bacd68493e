"""SIGKILL at random moments: what was confirmed is there, byte for byte."""

import importlib.util
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

from gateway.domain.records import Lane

SUBMITTER = Path(__file__).with_name("submitter.py")
KILLS = 20
ALL = {"limit": 10**6, "max_bytes": 10**9}

_spec = importlib.util.spec_from_file_location("submitter", SUBMITTER)
submitter = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(submitter)

Key = tuple[str, str, int]


def _killed_run(directory: Path, epoch: str, after_s: float) -> list[Key]:
    """Run a submitter, kill it `after_s` after its first word; what it had confirmed."""
    with subprocess.Popen(
        [sys.executable, str(SUBMITTER), str(directory), epoch], stdout=subprocess.PIPE
    ) as child:
        first = child.stdout.readline()
        killer = threading.Timer(after_s, child.send_signal, [signal.SIGKILL])
        killer.start()
        said = (first + child.stdout.read()).decode().splitlines()
        killer.join()
    assert child.returncode == -signal.SIGKILL
    assert not [line for line in said if line.startswith("fault")]
    return [(lane, epoch, int(seq)) for lane, epoch, seq in (line.split() for line in said)]


def _rows(path: Path) -> dict[Key, bytes]:
    connection = sqlite3.connect(path)
    try:
        found = connection.execute("SELECT lane, epoch, seq, body FROM records")
        return {(lane, epoch, seq): body for lane, epoch, seq, body in found}
    finally:
        connection.close()


async def test_twenty_kills_lose_nothing_that_was_confirmed(kit):
    chance = random.Random()
    confirmed: set[Key] = set()
    for n in range(KILLS):
        epoch = f"run{n}"
        confirmed.update(_killed_run(kit.directory, epoch, chance.random() * 0.3))
        async with kit.open(f"check{n}") as (store, seen):
            rows = _rows(kit.directory / "core.db") | _rows(kit.directory / "readings.db")
            assert confirmed <= rows.keys()
            assert all(submitter.body_of(*key) == body for key, body in rows.items())
            unsettled = {
                (r.lane.value, r.epoch, r.seq)
                for lane in Lane
                for r in await store.unsettled(lane, **ALL)
            }
            assert {key for key in rows if key[2] % 2} <= unsettled
            mine = [seq for lane, name, seq in rows if (lane, name) == ("A", epoch)]
            if mine:  # a slow disk may not have one yet: what it said first was of another file
                assert [alarm.detail for alarm in store.restored.alarms] == [str(max(mine))]
                assert ("B", epoch, max(mine)) in rows, "one submit is one transaction"
            assert seen.faults == []
    assert len(confirmed) > 10 * KILLS
