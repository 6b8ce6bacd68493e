"""A house for `scripts/prove-install`, run by the installed Python inside the tree.

python prove_house.py device PORT FILE     a breaker on a TCP port; its residual current in mA
                                           stands in FILE
python prove_house.py run FOLDER SITE      the daemon, with what tests plant: while FOLDER/decider
                                           exists its decider hangs, while FOLDER/writer exists the
                                           writer of core.db does
"""

import asyncio
import sys
import time
from pathlib import Path

from gateway.app import Failpoints
from gateway.cli.run import main as run_daemon
from gateway.core.judge import Verdict, judge
from gateway.domain.readings import Reading
from gateway.domain.rules import Rule
from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le

LOOK_EVERY_S = 0.05


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


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    if verb == "device":
        asyncio.run(be_device(int(words[0]), Path(words[1])))
    else:
        sys.exit(run_daemon([words[1]], failpoints(Path(words[0]))))
