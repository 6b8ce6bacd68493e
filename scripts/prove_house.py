"""A house for `scripts/prove-install` and `scripts/prove-arm64`, run by the Python of the tree.

python prove_house.py device PORT FILE     a breaker on a TCP port; its residual current in mA
                                           stands in FILE
python prove_house.py run FOLDER SITE      the daemon, with what tests plant: while FOLDER/decider
                                           exists its decider hangs, while FOLDER/writer exists the
                                           writer of core.db does
python prove_house.py reader PORT FILE     a PN532 under this path; while FILE exists a card lies
                                           on it
python prove_house.py live FOLDER          one life of the daemon from start to orderly end, on a
                                           machine that may be a hundred times too slow

What is so, as exit code 0:
python prove_house.py reader-is STATE N    the daemon says so of its reader, with N taps
python prove_house.py page PORT PATH       this machine answers with 200
python prove_house.py whole FOLDER         it holds databases, and SQLite finds them sound
python prove_house.py ports                prints what listens, other than Unix sockets
"""

import asyncio
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from gateway.app import Failpoints
from gateway.cli.run import main as run_daemon
from gateway.core.judge import Verdict, judge
from gateway.domain.readings import Reading
from gateway.domain.rules import Rule
from gateway.drivers.sockets import NoAnswer, ask
from gateway.sim.bus import open_tcp
from gateway.sim.desk_reader import open_desk_reader
from gateway.sim.devices import by_unit, lx47le
from gateway.sim.ntag import Card
from gateway.sim.processes import running, tail
from gateway.store.verify import LaneReport, verify_core, verify_readings

SOCKET = Path("/run/care-gateway/daemon.sock")
LISTENS, BOUND = "0A", "07"  # TCP, UDP
LOOK_EVERY_S = 0.05
ASK_EVERY_S = 1.0


def hang_while(file: Path) -> None:
    while file.exists():
        time.sleep(LOOK_EVERY_S)


def failpoints(folder: Path) -> Failpoints:
    def judge_later(rule: Rule, reading: Reading) -> Verdict:
        hang_while(folder / "decider")
        return judge(rule, reading)

    def before_commit(file: str) -> None:
        if file == "core.db":
            hang_while(folder / "writer")

    return Failpoints(judge=judge_later, before_commit=before_commit)


def number_in(file: Path) -> float:
    return float(file.read_text())


async def be_device(port: int, truth: Path) -> None:
    board = lx47le("board", 3)
    async with open_tcp(by_unit([board]), port=port):
        while True:
            board.truth["residual_current"] = await asyncio.to_thread(number_in, truth)
            await asyncio.sleep(LOOK_EVERY_S)


def be_reader(port: Path, card: Path) -> None:
    with open_desk_reader(port) as desk:
        shutil.chown(port, "root", "dialout")
        port.chmod(0o660)
        while True:
            desk.put(Card(bytes.fromhex("a1b2c3d4")) if card.exists() else None)
            time.sleep(LOOK_EVERY_S)


SITE = """
site: {{id: prove-house, name: 测试养老院, institution: elder-care, timezone: Asia/Shanghai}}
self_test: off
buses: {{hall: {{tcp: "127.0.0.1:{port}", timeout: 10s}}}}
devices:
  board: {{profile: lingxun-lx47le, bus: hall, unit: 3, place: 1F, owner: 电工班}}
panel: {{red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24, silence: 25}}
"""
PATIENCE_S = 1200.0


async def live(folder: Path) -> None:
    """One life of the daemon: a device over TCP, an alarm on the panel, an end with whole records.

    TimeoutError or ValueError when it is another one; the daemon's log goes to stderr.
    """
    site, log = folder / "site.yaml", folder / "log"
    board = lx47le("board", 3)
    board.truth["residual_current"] = 20.0
    async with open_tcp(by_unit([board])) as bus:
        site.write_text(SITE.format(port=bus.port), "utf-8")
        words = ["run", site, "--store", folder / "store", "--socket", folder / "s",
                 "--panel", "mock", "--panel-log", folder / "pins"]  # fmt: skip
        argv = [sys.executable, "-m", "gateway", *map(str, words)]
        try:
            async with running(argv, log, within_s=PATIENCE_S) as daemon:
                await asyncio.to_thread(wait_for, "good values", is_good, folder)
                board.truth["residual_current"] = 600.0
                await asyncio.to_thread(wait_for, "the alarm and its lamp", is_alarmed, folder)
                await asyncio.to_thread(wait_for, "both on the disk", is_kept, folder)
                daemon.terminate()
                code = await asyncio.wait_for(daemon.wait(), PATIENCE_S)
        except TimeoutError:
            print(tail(log, 40), file=sys.stderr)
            raise
    lanes = lanes_of(folder)
    if code != 0 or not all(lane.is_sound and lane.records for lane in lanes):
        raise ValueError(f"it ended with {code} and left {lanes}")
    print("ended, and whole:", *(f"{lane.lane.value} {lane.records}" for lane in lanes))


def wait_for(what: str, is_so: Callable[[Path], bool], folder: Path) -> None:
    began = time.monotonic()
    while not is_so(folder):
        if time.monotonic() > began + PATIENCE_S:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(ASK_EVERY_S)
    print(f"{what} after {time.monotonic() - began:.1f} s", flush=True)


def part_of_status(folder: Path, name: str) -> str:
    try:
        return json.dumps(ask(folder / "s", {"verb": "status"}, 60.0).get(name))
    except NoAnswer:
        return ""


def lanes_of(folder: Path) -> list[LaneReport]:
    lanes = verify_core(folder / "store/core.db", {})
    return lanes + verify_readings(folder / "store/readings.db")


def is_kept(folder: Path) -> bool:
    """True once every lane has a record; a file may not have its tables yet."""
    try:
        return all(lane.records for lane in lanes_of(folder))
    except sqlite3.OperationalError:
        return False


def is_good(folder: Path) -> bool:
    return '"good"' in part_of_status(folder, "points")


def is_alarmed(folder: Path) -> bool:
    levels = [line for line in (folder / "pins").read_text("utf-8").splitlines() if '"red"' in line]
    is_lit = bool(levels) and '"level": 1' in levels[-1]
    return is_lit and "residual_alarm" in part_of_status(folder, "alarms")


def is_reader(state: str, taps: int) -> bool:
    try:
        seen = ask(SOCKET, {"verb": "reader_status"}, 5.0).get("reader")
    except NoAnswer:
        return False
    return isinstance(seen, dict) and (seen.get("state"), seen.get("taps")) == (state, taps)


def is_page(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def is_whole(folder: Path) -> bool:
    checks = []
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            checks.append(db.execute("PRAGMA quick_check").fetchall() == [("ok",)])
    return bool(checks) and all(checks)


def ports() -> list[str]:
    """`tcp 8080` and the like, of both address families."""
    found = set()
    for name, state in (("tcp", LISTENS), ("tcp6", LISTENS), ("udp", BOUND), ("udp6", BOUND)):
        rows = [
            line.split() for line in Path("/proc/net", name).read_text("ascii").splitlines()[1:]
        ]
        found |= {(name[:3], int(row[1].rpartition(":")[2], 16)) for row in rows if row[3] == state}
    return [f"{kind} {port}" for kind, port in sorted(found)]


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    match verb:
        case "device":
            asyncio.run(be_device(int(words[0]), Path(words[1])))
        case "reader":
            be_reader(Path(words[0]), Path(words[1]))
        case "live":
            asyncio.run(live(Path(words[0])))
        case "reader-is":
            sys.exit(not is_reader(words[0], int(words[1])))
        case "page":
            sys.exit(not is_page(int(words[0]), words[1]))
        case "whole":
            sys.exit(not is_whole(Path(words[0])))
        case "ports":
            print(*ports())
        case _:
            sys.exit(run_daemon([words[1]], failpoints(Path(words[0]))))
