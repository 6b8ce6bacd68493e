"""A daemon with a fault planted inside: `python -m tests.daemon.faulty FAULT... -- run SITE ...`.

rule=RULE_ID            judging this rule raises an exception
freeze=RULE_ID=ARMED    judging this rule never ends, once ARMED exists
block=FILE=RELEASE      a commit to this file waits until the file RELEASE exists
die=FILE=ARMED=PINS     SIGKILL in a commit to this file, once ARMED exists and the panel,
                        by its pin log PINS, has sounded since: between panel and disk
clock=FILE              the wall clock is wrong by the milliseconds that stand in this file
button=PIPE             somebody at the silence button: each `down` or `up` written to the named
                        pipe PIPE sets the mock pin of BCM 25 low or high
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from gateway.app import Failpoints
from gateway.cli.run import main
from gateway.core.judge import Verdict, judge
from gateway.domain.readings import Reading
from gateway.domain.rules import Rule
from gateway.drivers import panel
from gateway.drivers.clock import wall


def failpoints_of(faults: list[str]) -> Failpoints:
    broken = {fault.partition("=")[2] for fault in faults if fault.startswith("rule=")}
    commits = [fault.split("=") for fault in faults if fault.startswith(("block=", "die="))]

    frozen = dict(fault[7:].rsplit("=", 1) for fault in faults if fault.startswith("freeze="))

    def judge_or_fail(rule: Rule, reading: Reading) -> Verdict:
        if rule.id in frozen and Path(frozen[rule.id]).exists():
            frozen_on_purpose()
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
                while not _has_sounded(Path(rest[1]).read_bytes()):
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGKILL)

    wrong_by = [Path(fault[6:]) for fault in faults if fault.startswith("clock=")]

    def jumping_wall() -> int:
        """Read anew each time: the clock jumps between two looks at it."""
        return wall() + sum(int(file.read_text()) for file in wrong_by)

    return Failpoints(judge=judge_or_fail, before_commit=before_commit, wall=jumping_wall)


def frozen_on_purpose() -> None:
    while True:
        time.sleep(1)


def _has_sounded(pins: bytes) -> bool:
    """The panel thread writes one pin after the other: dying between two proves nothing."""
    return all(b'"%s", "level": 1' % pin in pins for pin in (b"buzzer", b"red"))


def press_by(pipe: Path) -> None:
    """Let a thread move the silence button's pin as it is told through the named pipe."""
    opened, made = panel._open_mock, threading.Event()
    factories = []

    def open_mock(pin_class=None):
        factories.append(opened(pin_class))
        made.set()
        return factories[-1]

    def obey():
        made.wait()
        with pipe.open() as told:
            for word in told:
                pin = factories[-1].pin(25)
                {"down": pin.drive_low, "up": pin.drive_high}[word.strip()]()

    panel._open_mock = open_mock
    threading.Thread(target=obey, daemon=True).start()


if __name__ == "__main__":
    at = sys.argv.index("--")
    for fault in sys.argv[1:at]:
        if fault.startswith("button="):
            press_by(Path(fault.partition("=")[2]))
    sys.exit(main(sys.argv[at + 2 :], failpoints_of(sys.argv[1:at])))
