"""A daemon with a fault planted inside: `python -m tests.daemon.faulty FAULT... -- run SITE ...`.

rule=RULE_ID            judging this rule raises an exception
block=FILE=RELEASE      a commit to this file waits until the file RELEASE exists
die=FILE=ARMED=PINS     SIGKILL in a commit to this file, once ARMED exists and the panel,
                        by its pin log PINS, has sounded since: between panel and disk
"""

import os
import signal
import sys
import time
from pathlib import Path

from gateway.app import Failpoints
from gateway.cli.run import main
from gateway.core.judge import Verdict, judge
from gateway.domain.readings import Reading
from gateway.domain.rules import Rule


def failpoints_of(faults: list[str]) -> Failpoints:
    broken = {fault.partition("=")[2] for fault in faults if fault.startswith("rule=")}
    commits = [fault.split("=") for fault in faults if not fault.startswith("rule=")]

    def judge_or_fail(rule: Rule, reading: Reading) -> Verdict:
        if rule.id in broken:
            raise ZeroDivisionError("planted")
        return judge(rule, reading)

    def before_commit(file: str) -> None:
        for kind, name, *rest in commits:
            if name != file:
                continue
            if kind == "block":
                while not Path(rest[0]).exists():
                    time.sleep(0.01)
            elif Path(rest[0]).exists():
                while b'"buzzer", "level": 1' not in Path(rest[1]).read_bytes():
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGKILL)

    return Failpoints(judge=judge_or_fail, before_commit=before_commit)


if __name__ == "__main__":
    at = sys.argv.index("--")
    sys.exit(main(sys.argv[at + 2 :], failpoints_of(sys.argv[1:at])))
