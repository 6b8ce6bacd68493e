"""The visit to a platform: the simulated one keeps every duty, and each bad mode breaks its own."""

import json
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.sim.broker import find_mosquitto
from gateway.sim.duties import DUTIES, Limits, Outcome, judge
from gateway.sim.history import read_applied, shown
from gateway.sim.visitor import Access, NotReached, Wishes, read_shown, visit
from gateway.sim.visitor import read_applied as read_lines
from tests.partners.broker import Mosquitto

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "contract" / "schemas"
HONEST = ("gateway.sim.platform",)
PATIENT = Limits(hello=60_000, alarms=60_000, others=60_000, receipts=60_000, replay=0)
HABITS = [
    option for name in ("inst", "civil", "fire") for option in ("--audience", f"{name}=0/0.1/0.2")
]
BREAKS = {  # mode -> its options, how long it is given, the one duty that it breaks
    "ack": (("--heal", "0.5"), replace(PATIENT, replay=60_000), set()),
    "nack": ((), PATIENT, {"takes"}),
    "silent": ((), Limits(hello=1_500, others=500), {"hello"}),
    "slow": (("--late", "0.6"), replace(PATIENT, alarms=500), {"alarms_at_once"}),
    "duplicate": ((), PATIENT, {"answers_once"}),
    "lie": ((), PATIENT, {"keeps"}),
}
BRIEF = replace(PATIENT, others=1_500)  # for what is never answered
SINS = {  # -> how long it is given, a duty that it must break
    "acknowledges_from_memory": (PATIENT, "keeps"),
    "remembers_keys_in_memory": (PATIENT, "once"),
    "knows_no_epochs": (PATIENT, "keeps"),
    "acknowledges_all_up_to_the_newest": (PATIENT, "only_what_came"),
    "subscribes_once": (BRIEF, "subscribes_again"),
    "forgets_what_it_asked_for": (replace(BRIEF, replay=60_000), "replay"),
}
assert find_mosquitto() is not None, "mosquitto is needed"


class Platform:
    """The simulated platform as a process, that can be stopped and started."""

    def __init__(
        self, broker: str, path: Path, *options: str, program: tuple[str, ...] = HONEST
    ) -> None:
        self.path = path
        self._argv = [
            sys.executable, "-m", *program, "--broker", broker, "--history", str(path), *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.path.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdout=log, stderr=log, cwd=ROOT)

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """As a power cut does it: what it said and did not keep is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def applied(self) -> Counter[tuple[str, str, str, int]]:
        return Counter(row.key for row in read_applied(self.path))

    def shown(self) -> dict[tuple[str, str], str]:
        return shown(read_applied(self.path))


@contextmanager
def running(folder: Path, mode: str):
    options, _, _ = BREAKS[mode]
    with Mosquitto() as broker:
        path = folder / f"{mode}.sqlite"
        platform = Platform(
            broker.url, path, "--mode", mode, "--post-check", "3", *HABITS, *options
        )
        platform.start()
        try:
            yield broker, platform
        finally:
            platform.stop()


def restart(broker: Mosquitto) -> None:
    """A broker without persistence: it comes back and knows nobody."""
    broker.stop()
    broker.start()


def visited(broker: Mosquitto, platform: Platform, mode: str) -> dict[str, Outcome]:
    is_whole = mode == "ack"
    wishes = Wishes(
        real_alarm=True,
        post_check_s=60 if mode != "silent" else 0,
        leave=platform.kill if is_whole else None,
        come=platform.start if is_whole else None,
        restart_broker=partial(restart, broker) if is_whole else None,
        applied=platform.applied,
        shown=platform.shown if is_whole else None,
    )
    limits = BREAKS[mode][1]
    judged = judge(visit(Access(broker.url, "check-01"), limits, wishes), limits)
    assert {each.duty for each in judged} == set(DUTIES)
    return {each.duty: each.outcome for each in judged}


def test_each_mode_of_the_simulated_platform_breaks_exactly_its_own_duty(tmp_path):
    with ExitStack() as all_of_them, ThreadPoolExecutor(len(BREAKS)) as pool:
        pairs = {mode: all_of_them.enter_context(running(tmp_path, mode)) for mode in BREAKS}
        visits = {mode: pool.submit(visited, *pairs[mode], mode) for mode in BREAKS}
        found = {mode: each.result(300) for mode, each in visits.items()}
    broken = {
        mode: {duty for duty, outcome in outcomes.items() if outcome is Outcome.BROKEN}
        for mode, outcomes in found.items()
    }
    assert broken == {mode: duties for mode, (_, _, duties) in BREAKS.items()}
    assert set(found["ack"].values()) == {Outcome.KEPT}, "every duty is seen and kept"
    check_what_was_sent(tmp_path / "ack.sqlite")


def found_of(sin: str, folder: Path) -> dict[str, str]:
    limits, _ = SINS[sin]
    with Mosquitto() as broker:
        platform = Platform(
            broker.url, folder / f"{sin}.sqlite", "--heal", "1000",
            program=("tests.partners.sinner", sin),
        )  # fmt: skip
        platform.start()
        try:
            wishes = Wishes(
                leave=platform.kill, come=platform.start, restart_broker=partial(restart, broker),
                applied=platform.applied, shown=partial(shown_as_they_came, platform.path),
            )  # fmt: skip
            judged = judge(visit(Access(broker.url, "check-01"), limits, wishes), limits)
        finally:
            platform.stop()
    return {each.duty: each.detail for each in judged if each.outcome is Outcome.BROKEN}


def shown_as_they_came(path: Path) -> dict[tuple[str, str], str]:
    """A sin of its own: the last that came is taken for the last that happened."""
    bodies = [(row.key[0], json.loads(row.body)) for row in read_applied(path)]
    return {(gw, body["alarm"]): body["state"] for gw, body in bodies if body["t"] == "alarm"}


def test_each_sin_that_loses_or_doubles_records_is_found(tmp_path):
    with ThreadPoolExecutor(len(SINS)) as pool:
        visits = {sin: pool.submit(found_of, sin, tmp_path) for sin in SINS}
        found = {sin: each.result(300) for sin, each in visits.items()}
    assert {sin: duty for sin, (_, duty) in SINS.items() if duty not in found[sin]} == {}, found
    assert "its end came before its raise" in found["remembers_keys_in_memory"]["shown"]


def check_what_was_sent(history: Path) -> None:
    """All that was taken fits the contract, and is practice but for one alarm."""
    schemas = {
        name: Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text()))
        for name in ("alarm", "fact", "read")
    }
    bodies = [json.loads(row.body) for row in read_applied(history)]
    for body in bodies:
        schemas[body["t"]].validate(body)
    alarms = [body for body in bodies if body["t"] == "alarm"]
    real = {body["alarm"] for body in alarms if not body["test"] and not body["drill"]}
    assert len(real) == 1
    assert all(body.get("test") for body in bodies if body["t"] == "fact")
    assert {(body["t"], body["lane"]) for body in bodies} == {
        ("alarm", "A"), ("alarm", "B"), ("fact", "B"), ("read", "R"),
    }  # fmt: skip


def test_a_broker_that_is_not_there_or_refuses_is_told():
    for url in ("mqtt+unix:///nowhere/s", "mqtt://127.0.0.1:1"):
        with pytest.raises(NotReached):
            visit(Access(url, "check-01"), Limits(), Wishes())


def test_what_took_effect_is_read_from_json_lines():
    line = '{"gw": "g", "ep": "e", "lane": "A", "seq": 3}'
    assert read_lines([line, "", line]) == {("g", "e", "A", 3): 2}
    with pytest.raises(ValueError, match="line 2 is no record"):
        read_lines([line, "arrival | gw"])


def test_how_alarms_are_shown_is_read_from_json_lines():
    line = '{"gw": "g", "alarm": "e-A-3", "state": "UA"}'
    assert read_shown([line, ""]) == {("g", "e-A-3"): "UA"}
    with pytest.raises(ValueError, match="line 1 is no alarm"):
        read_shown(['{"gw": "g"}'])
