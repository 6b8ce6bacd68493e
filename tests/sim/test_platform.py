import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.domain.alarms import Transition
from gateway.domain.text import Lang
from gateway.sim.history import Applied, read_applied, read_counts, read_settled, shown
from gateway.sim.platform import MODES, line_of, main
from tests.partners.broker import Mosquitto

GATEWAY = "wh-0152-01"


@contextlib.contextmanager
def platform(broker: Mosquitto, history: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-u", "-m", "gateway.sim.platform", "--broker", broker.url),
            *("--history", str(history), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class Gateway:
    """A bare MQTT client in the gateway's place."""

    def __init__(self, broker: Mosquitto) -> None:
        self.heard: list[dict] = []
        self.changed = threading.Condition()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, transport="unix")
        self.client.on_message = self._on_message
        self.client.connect(str(broker.socket_path))
        self.client.subscribe(f"care/1/{GATEWAY}/dn/#", qos=1)
        self.client.loop_start()

    def _on_message(self, _client, _userdata, message) -> None:
        with self.changed:
            self.heard.append(json.loads(message.payload))
            self.changed.notify_all()

    def say(self, kind: str, message: dict, *, retain: bool = False) -> None:
        body = json.dumps({"v": 1, "gw": GATEWAY, **message})
        info = self.client.publish(f"care/1/{GATEWAY}/up/{kind}", body, qos=1, retain=retain)
        info.wait_for_publish(30)

    def wait_for(self, condition: Callable[[list[dict]], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.heard), 30), self.heard

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker():
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def gateway(broker):
    client = Gateway(broker)
    yield client
    client.close()


def has(kind: str) -> Callable[[list[dict]], bool]:
    return lambda heard: any(message["t"] == kind for message in heard)


def alarm(seq: int, **fields) -> dict:
    return {
        "t": "alarm", "ep": "e1", "lane": "A", "seq": seq, "alarm": f"e1-A-{seq}", "tr": "raise",
        "sev": "alarm", "rule": "r", "point": "kitchen.gas", "val": 41.5, "last": 41.5, "lim": 40.0,
        "unit": "%LEL", "say": {"zh": "燃气浓度高", "en": "Gas high"}, "place": "1F 厨房", **fields,
    }  # fmt: skip


def born(client: Gateway) -> None:
    client.say("state", {"t": "state", "on": True}, retain=True)
    client.wait_for(has("hello"))


def test_each_record_takes_effect_once_and_every_copy_is_acknowledged(broker, gateway, tmp_path):
    history = tmp_path / "history.sqlite"
    with platform(broker, history):
        born(gateway)
        for _ in range(3):
            gateway.say("a", alarm(7))
        gateway.wait_for(lambda heard: sum(m.get("A") == [[7, 7]] for m in heard) == 3)
    assert [row.key for row in read_applied(history)] == [(GATEWAY, "e1", "A", 7)]
    assert read_counts(history) == {"received": 1, "duplicates": 2}


def test_acks_of_readings_are_ranges_and_nothing_is_acked_before_it_is_committed(
    broker, gateway, tmp_path
):
    history = tmp_path / "history.sqlite"
    with platform(broker, history):
        born(gateway)
        for seq in (1, 2, 3, 5):
            gateway.say("r", {"t": "read", "ep": "e1", "lane": "R", "seq": seq, "r": [[0, 0, 1]]})
        gateway.wait_for(lambda heard: any([5, 5] in m.get("R", []) for m in heard))
        committed = {row.key[3] for row in read_applied(history)}
        acked = {
            seq for m in gateway.heard for lo, hi in m.get("R", []) for seq in range(lo, hi + 1)
        }
        assert acked == {1, 2, 3, 5} == committed
    assert {(a.lane, a.lo, a.hi) for a in read_settled(history)} >= {("R", 5, 5)}


def test_hello_goes_to_known_gateways_when_the_platform_starts_again(broker, gateway, tmp_path):
    history = tmp_path / "history.sqlite"
    with platform(broker, history):
        born(gateway)
    gateway.client.publish(f"care/1/{GATEWAY}/up/state", b"", qos=1, retain=True)  # forgotten
    gateway.heard.clear()
    with platform(broker, history):
        gateway.wait_for(has("hello"))


def test_a_killed_platform_takes_up_where_it_was(broker, gateway, tmp_path):
    history = tmp_path / "history.sqlite"
    with platform(broker, history) as process:
        born(gateway)
        gateway.say("a", alarm(1))
        gateway.wait_for(lambda heard: any(m.get("A") == [[1, 1]] for m in heard))
        process.kill()
        process.wait(30)
    gateway.say("a", alarm(2))
    with platform(broker, history):
        gateway.wait_for(lambda heard: any(m.get("A") == [[2, 2]] for m in heard))
    assert [row.key[3] for row in read_applied(history)] == [1, 2]


def test_what_is_no_message_is_counted_and_the_rest_goes_on(broker, gateway, tmp_path):
    history = tmp_path / "history.sqlite"
    with platform(broker, history):
        born(gateway)
        for payload in (b"\xff\x00", b"[]", b"{}", b"\x78\x9cgarbage"):
            gateway.client.publish(f"care/1/{GATEWAY}/up/a", payload, qos=1).wait_for_publish(30)
        gateway.say("a", alarm(1))
        gateway.wait_for(lambda heard: any(m.get("A") == [[1, 1]] for m in heard))
    assert read_counts(history) == {"malformed": 4, "received": 1}


def test_an_alarm_is_one_readable_line(broker, gateway, tmp_path):
    with platform(broker, tmp_path / "h.sqlite", "--print", "--lang", "en") as process:
        born(gateway)
        gateway.say("a", alarm(1))
        assert process.stdout is not None
        line = process.stdout.readline()
    assert line == f"{GATEWAY} ALARM raised: 1F 厨房 Gas high 41.5 %LEL (limit 40)\n"


def test_mode_nack_refuses_for_good_and_mode_silent_says_nothing(broker, gateway, tmp_path):
    with platform(broker, tmp_path / "nack.sqlite", "--mode", "nack"):
        born(gateway)
        gateway.say("b", {"t": "fact", "ep": "e1", "lane": "B", "seq": 4, "kind": "boot"})
        gateway.wait_for(
            lambda h: any(["B", 4, "schema", "refused"] in m.get("nack", []) for m in h)
        )
    assert read_applied(tmp_path / "nack.sqlite") == []
    gateway.heard.clear()
    silent = tmp_path / "silent.sqlite"
    with platform(broker, silent, "--mode", "silent"):
        gateway.say("a", alarm(9))
        deadline = time.monotonic() + 30
        while not read_applied(silent):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert gateway.heard == []


def receipts(heard: list[dict]) -> set[tuple[str, str]]:
    return {(m["aud"], m["lvl"]) for m in heard if m["t"] == "receipt" and m["alarm"] == "e1-A-1"}


def test_each_audience_gives_its_receipts_and_a_silent_one_none_also_after_a_birth(
    broker, gateway, tmp_path
):
    habits = ("--audience", "inst=0/0.1/0.3", "--audience", "civil=0/0.1/-")
    with platform(broker, tmp_path / "h.sqlite", *habits, "--audience", "fire=silent"):
        born(gateway)
        for _ in range(2):  # a copy is not told twice
            gateway.say("a", alarm(1, aud=["inst", "civil", "fire"]))
        told = {("inst", level) for level in ("stored", "sent", "seen")}
        told |= {("civil", "stored"), ("civil", "sent")}
        gateway.wait_for(lambda heard: receipts(heard) == told)
        gateway.heard.clear()
        born(gateway)
        gateway.wait_for(lambda heard: receipts(heard) == told)
    assert not any(m.get("aud") == "fire" for m in gateway.heard)


def test_an_audience_that_nobody_knows_is_refused(broker, tmp_path):
    for wrong in ("mayor=silent", "fire=1/2", "fire=soon/later/never"):
        with platform(broker, tmp_path / "h.sqlite", "--audience", wrong) as process:
            assert process.wait(30) == 2


def test_every_transition_of_an_alarm_can_be_printed():
    body = alarm(1, last=1.0)
    for transition in Transition:
        assert line_of({**body, "gw": "g", "tr": transition.value}, Lang.ZH)


def test_what_is_only_practice_is_printed_so():
    body = {**alarm(1), "gw": "g"}
    assert "[演练] 报警" in line_of({**body, "drill": True, "test": False}, Lang.ZH)
    assert "[test] ALARM" in line_of({**body, "drill": False, "test": True}, Lang.EN)
    assert "[" not in line_of({**body, "drill": False, "test": False}, Lang.EN)


def test_it_asks_who_is_awake_when_a_gateway_comes_and_when_it_is_told_to(
    broker, gateway, tmp_path
):
    with platform(broker, tmp_path / "history.sqlite", "--post-check", "3") as process:
        born(gateway)
        gateway.wait_for(has("cmd"))
        process.send_signal(signal.SIGUSR1)
        gateway.wait_for(lambda heard: sum(message["t"] == "cmd" for message in heard) == 2)
    asked = [message for message in gateway.heard if message["t"] == "cmd"]
    assert [(each["op"], each["args"]["minutes"]) for each in asked] == [("post_check", 3)] * 2
    assert asked[0]["id"] != asked[1]["id"]


def test_a_broken_record_that_says_who_it_is_is_refused_by_nack(broker, gateway, tmp_path):
    history = tmp_path / "history.sqlite"
    with platform(broker, history):
        born(gateway)
        gateway.say("b", {"t": "fact", "ep": "e1", "lane": "B", "seq": 1})
        gateway.say("b", {"t": "poem", "ep": "e1", "lane": "B", "seq": 2, "kind": "boot"})
        gateway.say("b", {"t": "fact", "ep": "e1", "lane": "B", "seq": 3, "kind": "boot"})
        gateway.wait_for(lambda heard: any(m.get("B") == [[3, 3]] for m in heard))
    refused = [nack for m in gateway.heard for nack in m.get("nack", [])]
    assert refused == [["B", 1, "schema", "/kind"], ["B", 2, "unknown_type", ""]]
    assert [row.key[3] for row in read_applied(history)] == [3]


def test_a_liar_loses_every_third_and_gets_it_back_when_it_asks_again(broker, gateway, tmp_path):
    history = tmp_path / "history.sqlite"
    facts = {seq: {"t": "fact", "ep": "e1", "lane": "B", "seq": seq, "kind": "boot"}
             for seq in range(1, 8)}  # fmt: skip
    with platform(broker, history, "--mode", "lie"):
        born(gateway)
        for fact in facts.values():
            gateway.say("b", fact)
        gateway.say("b", facts[6])  # a copy does not mend it
        gateway.wait_for(
            lambda heard: {
                seq for m in heard for lo, hi in m.get("B", []) for seq in range(lo, hi + 1)
            } == set(facts)
        )  # fmt: skip
    assert [row.key[3] for row in read_applied(history)] == [1, 2, 4, 5, 7]
    gateway.heard.clear()
    with platform(broker, history, "--mode", "lie", "--heal", "0.2"):
        gateway.wait_for(lambda heard: sum(m.get("op") == "replay" for m in heard) >= 2)
        asked = [m["args"] for m in gateway.heard if m.get("op") == "replay"]
        assert asked[:2] == [
            {"lane": "B", "ep": "e1", "from": 3, "to": 3},
            {"lane": "B", "ep": "e1", "from": 6, "to": 6},
        ]
        for seq in (3, 6):
            gateway.say("b", facts[seq])
        deadline = time.monotonic() + 30
        while len(read_applied(history)) < 7:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_what_a_birth_says_is_settled_and_never_came_is_asked_for(broker, gateway, tmp_path):
    history = tmp_path / "history.sqlite"
    with platform(broker, history, "--heal", "1000"):
        born(gateway)
        for seq in (2, 5, 6):
            gateway.say("b", {"t": "fact", "ep": "e1", "lane": "B", "seq": seq, "kind": "boot"})
        gateway.say("b", {"t": "fact", "ep": "e1", "lane": "B", "seq": 3})  # refused, not lost
        gateway.say("a", alarm(2))
        gateway.wait_for(lambda heard: any(m.get("A") == [[2, 2]] for m in heard))
        gateway.wait_for(lambda heard: any(["B", 3, "schema", "/kind"] in m.get("nack", [])
                                           for m in heard))  # fmt: skip
        gateway.say("state", {"t": "state", "on": True, "ep": "e1", "lanes": {"B": [5, 6]}})
        gateway.wait_for(lambda heard: sum(m.get("op") == "replay" for m in heard) == 3)
    asked = [m["args"] for m in gateway.heard if m.get("op") == "replay"]
    assert asked == [
        {"lane": "A", "ep": "e1", "from": 1, "to": 1},
        {"lane": "B", "ep": "e1", "from": 1, "to": 1},
        {"lane": "B", "ep": "e1", "from": 4, "to": 4},
    ]


def test_the_receipts_of_the_newest_alarms_are_given_again_after_its_own_start(
    broker, gateway, tmp_path
):
    history, habits = tmp_path / "h.sqlite", [
        word for name in ("inst", "civil", "fire") for word in ("--audience", f"{name}=0/-/-")
    ]  # fmt: skip
    told = {("inst", "stored"), ("civil", "stored")}
    with platform(broker, history, *habits) as process:
        born(gateway)
        gateway.say("a", alarm(1, aud=["inst", "civil"]))
        gateway.say("a", alarm(2, aud=["inst"], drill=True))
        gateway.wait_for(lambda heard: receipts(heard) == told)
        process.kill()
        process.wait(30)
    gateway.heard.clear()
    with platform(broker, history, *habits):
        gateway.wait_for(lambda heard: receipts(heard) == told)
        assert not any(m.get("alarm") == "e1-A-2" for m in gateway.heard)


def test_the_end_of_an_older_connection_does_not_end_the_newer(broker, gateway, tmp_path):
    history = tmp_path / "h.sqlite"
    ends = [("e1", 1), ("e1", 2), ("e2", 1)]
    with platform(broker, history):
        gateway.say("state", {"t": "state", "on": True, "ep": "e2", "conn": 2}, retain=True)
        gateway.wait_for(has("hello"))
        for epoch, connection in ends:  # a will that was on its way for long
            gateway.say("state", {"t": "state", "on": False, "ep": epoch, "conn": connection})
        gateway.say("a", alarm(1))
        gateway.wait_for(lambda heard: any(m.get("A") == [[1, 1]] for m in heard))
        assert is_on(history)
        gateway.say("state", {"t": "state", "on": False, "ep": "e2", "conn": 2})
        gateway.say("a", alarm(2))
        gateway.wait_for(lambda heard: any(m.get("A") == [[2, 2]] for m in heard))
        assert not is_on(history)


def is_on(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as db:
        ((said,),) = db.execute("SELECT is_on FROM gateways").fetchall()
    return bool(said)


def transition(seq: int, state: str, **fields) -> Applied:
    body = {"alarm": "e1-A-1", "ep": "e1", "boot": "b1", "mono": 100 * seq, "at": 1_000 * seq,
            "seq": seq, "state": state, **fields}  # fmt: skip
    return Applied(0, (GATEWAY, body["ep"], "A", seq), "alarm", "", 0, json.dumps(body).encode())


def test_what_happened_last_is_shown_whatever_came_last():
    """Within an epoch by number, within a boot by `mono`, else by the time of the day."""
    raised, acked = transition(1, "UA"), transition(2, "AA", at=500)  # the wall clock was set back
    later = transition(1, "N", ep="e2", mono=900, at=100)
    next_boot = transition(1, "LA", ep="e3", boot="b2", mono=5, at=9_000)
    unknown = transition(1, "RU", ep="e4", boot="b3", mono=5, at=None)
    key = (GATEWAY, "e1-A-1")
    for come, state in (
        ((raised, acked), "AA"), ((acked, raised), "AA"), ((later, raised, acked), "N"),
        ((next_boot, raised), "LA"), ((raised, next_boot), "LA"), ((raised, unknown), "RU"),
    ):  # fmt: skip
        assert shown(come)[key] == state


def test_its_help_tells_every_mode_in_the_language_asked_for(capsys):
    for lang in Lang:
        with pytest.raises(SystemExit):
            main(["--lang", lang.value, "--help"])
        said = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
        assert all(f"{mode}: {text.in_(lang)}" in said for mode, text in MODES.items())
