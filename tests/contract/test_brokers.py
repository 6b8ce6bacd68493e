"""The published broker profile, run as it stands: no gateway can speak or hear for another one."""

import contextlib
import os
import queue
import socket
import ssl
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.sim.duties import Limits, Outcome, judge
from gateway.sim.visitor import Access, NotReached, Wishes, visit
from tests.partners.broker import free_port, mosquitto_path
from tests.partners.certificates import Authority

PROFILE = Path(__file__).parents[2] / "docs" / "contract" / "brokers"
DENIED = 0x87
PATIENCE_S = 60


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """mosquitto with the two published files; only paths and port are this test's own."""
    folder = tmp_path_factory.mktemp("broker")
    ca, port = Authority(folder), free_port()
    own = ca.issue("broker", hosts=("127.0.0.1",))
    conf = (PROFILE / "mosquitto.conf").read_text()
    for theirs, ours in (
        ("/etc/mosquitto/certs/gateways-ca.pem", ca.cert),
        ("/etc/mosquitto/certs/broker.pem", own.cert),
        ("/etc/mosquitto/certs/broker.key", own.key),
        ("/etc/mosquitto/care-gateway.acl", PROFILE / "mosquitto.acl"),
        ("/var/lib/mosquitto/", f"{folder}/"),
        ("listener 8883", f"listener {port} 127.0.0.1"),
    ):
        assert theirs in conf
        conf = conf.replace(theirs, str(ours))
    path = folder / "mosquitto.conf"
    path.write_text(conf + ("user root\n" if os.geteuid() == 0 else ""))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([mosquitto_path(), "-c", path], stdout=log, stderr=log)
    try:
        yield ca, port, folder / "log"
    finally:
        process.kill()
        process.wait()


class Client:
    """Somebody with a certificate of this name."""

    def __init__(self, broker, name: str, client_id: str = "") -> None:
        ca, port, log = broker
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.codes: queue.Queue[int] = queue.Queue()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or name,
            protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False,
        )  # fmt: skip
        context = ssl.create_default_context(cafile=ca.cert)
        pair = ca.issue(name)
        context.load_cert_chain(pair.cert, pair.key)
        self.client.tls_set_context(context)
        connected: queue.Queue[int] = queue.Queue()
        self.client.on_connect = lambda *said: connected.put(said[3].value)
        self.closed: queue.Queue[int] = queue.Queue()
        self.client.on_disconnect = lambda *said: self.closed.put(said[3].value)
        self.client.on_message = lambda _c, _u, m: self.heard.put((m.topic, m.payload))
        self.client.on_publish = lambda _c, _u, _mid, code, _p: self.codes.put(code.value)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.client.connect("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        self.client.loop_start()
        assert connected.get(timeout=PATIENCE_S) == 0, log.read_text()

    def hear(self, *topics: str) -> None:
        done: queue.Queue[object] = queue.Queue()
        self.client.on_subscribe = lambda *said: done.put(said)
        for topic in topics:
            self.client.subscribe(topic, qos=1)
            done.get(timeout=PATIENCE_S)

    def say(self, topic: str, body: bytes = b"{}") -> int:
        """The broker's reason code."""
        self.client.publish(topic, body, qos=1)
        return self.codes.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def people(broker):
    clients = {name: Client(broker, name) for name in ("wh-a", "wh-b", "platform")}
    clients["platform"].hear("care/1/+/up/#")
    for name in ("wh-a", "wh-b"):  # a nosy gateway asks for everything
        clients[name].hear("care/1/+/dn/#", "care/1/+/up/#")
    yield clients
    for client in clients.values():
        client.close()


def test_a_gateway_speaks_for_itself_and_for_nobody_else(people):
    a, platform = people["wh-a"], people["platform"]
    assert a.say("care/1/wh-b/up/a", b"forged") == DENIED
    assert a.say("care/1/wh-b/dn/cmd", b"forged") == DENIED
    assert a.say("care/1/wh-a/dn/ack", b"forged") == DENIED, "it cannot settle its own records"
    assert a.say("anything/else", b"forged") == DENIED
    assert a.say("care/1/wh-a/up/a", b"mine") == 0
    assert platform.heard.get(timeout=PATIENCE_S) == ("care/1/wh-a/up/a", b"mine")
    assert platform.heard.empty()


def test_what_is_for_one_gateway_is_heard_by_no_other_and_a_state_only_by_its_own(people):
    a, b, platform = people["wh-a"], people["wh-b"], people["platform"]
    assert platform.say("care/1/wh-b/dn/cmd", b"for b") == 0
    assert b.heard.get(timeout=PATIENCE_S) == ("care/1/wh-b/dn/cmd", b"for b")
    assert b.say("care/1/wh-b/up/state", b"b is on") == 0
    assert b.heard.get(timeout=PATIENCE_S) == ("care/1/wh-b/up/state", b"b is on")
    assert platform.say("care/1/wh-a/dn/cmd", b"for a") == 0
    assert a.heard.get(timeout=PATIENCE_S) == ("care/1/wh-a/dn/cmd", b"for a"), "and nothing before"
    assert platform.say("care/1/wh-a/up/a", b"forged") == DENIED


def test_nobody_takes_the_connection_of_another_by_its_client_id(broker, people):
    a, b = people["wh-a"], people["wh-b"]
    thief = Client(broker, "wh-a", client_id="wh-b")
    try:
        a.closed.get(timeout=PATIENCE_S)  # the thief is wh-a, whatever it calls itself
        assert b.say("care/1/wh-b/up/a", b"still here") == 0
        assert b.closed.empty()
        assert thief.say("care/1/wh-b/up/a", b"forged") == DENIED
    finally:
        thief.close()


def test_who_has_no_certificate_is_not_let_in(broker, people):
    ca, port, _ = broker
    context = ssl.create_default_context(cafile=ca.cert)
    connect = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x14\x00\x00\x01x"
    said = b""
    with (
        contextlib.suppress(ssl.SSLError, ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall(connect)
        said = line.recv(100)
    assert said == b"", "not even a CONNACK"
    assert people["wh-a"].say("care/1/wh-a/up/a") == 0, "while others are served"


def test_the_visitor_of_a_platform_comes_with_its_certificate_or_not_at_all(broker, tmp_path):
    ca, port, _ = broker
    pair, url = ca.issue("wh-c"), f"mqtts://127.0.0.1:{port}"
    hasty = Limits(hello=300, others=300)
    access = Access(url, "wh-c", ca.cert, pair.cert, pair.key)
    judged = {each.duty: each.outcome for each in judge(visit(access, hasty, Wishes()), hasty)}
    assert judged["hello"] is Outcome.BROKEN, "it was let in, and nobody was there to greet it"
    stranger = Authority(tmp_path, "another ca")
    for wrong in (
        replace(access, ca=stranger.cert),
        replace(access, cert=None, key=None),
        replace(access, url=f"mqtt://127.0.0.1:{port}"),
    ):
        with pytest.raises(NotReached):
            visit(wrong, hasty, Wishes())
