"""The way up of a whole daemon, against real brokers: TLS, reserves, rivals, old protocols."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from gateway.sim.broker import open_broker
from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import (
    ENVIRONMENT,
    LEAK,
    ROOT,
    key_of,
    open_daemon,
    open_platform,
    site_of,
    until,
)
from tests.partners.broker import Mosquitto, free_port
from tests.partners.certificates import DAY, Authority

UPLINK = "uplink: {{gateway: {gateway}, brokers: {brokers}, reconnect: local, probe: 2s{more}}}\n"


@asynccontextmanager
async def house(folder, gateway, *brokers, more=""):
    """A breaker, and a daemon that is started and reports to `brokers` (URLs)."""
    folder.mkdir(exist_ok=True)
    board = lx47le("board", 3)
    uplink = UPLINK.format(gateway=gateway, brokers=json.dumps(brokers), more=more)
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(folder, site_of(bus.port) + uplink) as daemon,
    ):
        await daemon.start()
        yield board, daemon


def is_delivering(status):
    return status["link"]["is_platform_present"]


def faults_of(status):
    """The gateway's own faults that stand, seen by somebody or not."""
    return {
        alarm["rule"]: alarm
        for alarm in status["alarms"]
        if alarm["rule"].startswith("gateway/") and alarm["state"] in ("UA", "AA")
    }


async def command(daemon, *words):
    """What `care-gateway uplink ...` prints for this daemon."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "uplink", *words, "--socket", str(daemon.socket),
        stdout=subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return said.decode()


async def leak_arrives(board, daemon, platform):
    """Plant a leakage and wait until the platform has it once and all is settled."""
    board.truth["residual_current"] = 600.0
    await until(lambda: platform.raises(LEAK), "the alarm at the platform")
    status = await daemon.status_when(
        lambda status: status["lanes"]["A"]["unsettled"] == 0, "the alarm to be settled"
    )
    assert len(platform.raises(LEAK)) == 1
    assert status["lanes"]["A"]["settled"] >= 1
    assert status["lanes"]["A"]["last_settled_ms"] is not None
    return status


async def test_an_alarm_goes_up_under_mutual_tls_and_every_refusal_is_named(tmp_path):
    ca = Authority(tmp_path)
    server = ca.issue("broker", hosts=("127.0.0.1",))
    old = ca.issue("old", hosts=("127.0.0.1",), begins=-9 * DAY, ends=-DAY)
    own = ca.issue("tls-1")
    ports = {"good": free_port(), "old": free_port()}
    config = "\n".join(
        f"listener {ports[name]} 127.0.0.1\ncafile {ca.cert}\ncertfile {pair.cert}\n"
        f"keyfile {pair.key}\nrequire_certificate true"
        for name, pair in (("good", server), ("old", old))
    )
    more = f", tls: {{ca: {ca.cert}, cert: {own.cert}, key: {own.key}}}"
    urls = {name: f"mqtts://127.0.0.1:{port}" for name, port in ports.items()}
    with Mosquitto(config=config, ports=tuple(ports.values())) as broker:
        async with (
            open_platform(tmp_path, broker.url) as platform,
            house(tmp_path / "a", "tls-1", urls["good"], more=more) as (board, daemon),
        ):
            status = await leak_arrives(board, daemon, platform)
            link = status["link"]
            assert (link["is_up"], link["protocol"], link["tls"]) == (True, "5", "TLSv1.3")
            said = await command(daemon, "status", "--lang", "en")
            assert re.search(r"^tls-1   connected .* MQTT 5   TLSv1.3   platform answers", said)
            lines = (await command(daemon, "tail", "--json", "--for", "6s")).splitlines()
            steps = [json.loads(line) for line in lines]
            assert {"sent", "broker", "settled"} <= {step["what"] for step in steps}
            assert [step["n"] for step in steps] == sorted({step["n"] for step in steps})
            assert await daemon.stop() == 0

            site = daemon.site.read_text()
            daemon.site.write_text(site.replace(urls["good"], urls["old"]))
            await daemon.start()
            fault = "gateway/uplink_tls_expired/broker"
            status = await daemon.status_when(lambda s: fault in faults_of(s), "the fault")
            assert faults_of(status)[fault]["say"]["zh"] == "服务器证书已过期"
            assert status["link"]["say"]["en"] == "The broker's certificate has expired"
            assert status["link"]["next_try_in_ms"] is not None
            assert await daemon.stop() == 0

            daemon.site.write_text(site)
            await daemon.start()  # a fault of the start before ends with the connection
            await daemon.status_when(
                lambda s: s["link"]["is_up"] and fault not in faults_of(s), "the fault to end"
            )


async def test_a_second_broker_takes_over_and_the_first_is_used_again_when_it_is_back(tmp_path):
    first, second = Mosquitto(), Mosquitto()
    with first, second:
        urls = (first.url, second.url)
        async with (
            open_platform(tmp_path, first.url, "one") as one,
            open_platform(tmp_path, second.url, "two") as two,
            house(tmp_path / "a", "spare-1", *urls) as (board, daemon),
        ):
            await daemon.status_when(is_delivering, "the first broker's platform")
            first.kill()
            await daemon.status_when(
                lambda s: s["link"]["broker"] == str(second.socket_path) and is_delivering(s),
                "the second broker's platform",
            )
            await leak_arrives(board, daemon, two)
            assert not one.raises(LEAK)
            first.start()
            status = await daemon.status_when(
                lambda s: s["link"]["broker"] == str(first.socket_path) and is_delivering(s),
                "the way home",
            )
            assert not faults_of(status)
            board.truth["residual_current"] = 10.0
            await until(lambda: one.applied("A"), "the clearing at the first platform")


def connects(broker, gateway):
    """How often a client with this id was accepted so far."""
    return len(re.findall(rf"New client connected from .* as {gateway} ", broker.log()))


async def test_two_gateways_with_one_id_take_turns_and_both_say_so(tmp_path):
    with Mosquitto() as broker:
        async with (
            open_platform(tmp_path, broker.url) as platform,
            house(tmp_path / "a", "twin", broker.url) as (_, one),
        ):
            await one.status_when(is_delivering, "the first of the twins")
            async with house(tmp_path / "b", "twin", broker.url) as (_, two):
                fault = "gateway/identity_in_use/twin"
                for daemon in (one, two):
                    status = await daemon.status_when(lambda s: fault in faults_of(s), "the fault")
                    assert faults_of(status)[fault]["say"]["zh"] == "另一台网关在用同一编号"
                    assert len(faults_of(status)[fault]["do"]) == 2
                await until_one_waits(one, two)
                so_far = connects(broker, "twin")
                assert so_far <= 8
                await asyncio.sleep(15)  # without turns of minutes there would be ten more
                assert connects(broker, "twin") == so_far
                epochs = {body["ep"] for body in platform.applied()}
                own = [{body["ep"] for body in daemon.records()} for daemon in (one, two)]
                assert all(epochs & each for each in own), "records of both arrive"
                counted = [key_of(body) for body in platform.applied()]
                assert len(counted) == len(set(counted))


async def until_one_waits(*daemons):
    """Wait until one has the link and the other one stays away for a minute or more."""
    while True:
        links = [(await daemon.status_when(lambda s: s["ok"], "status"))["link"]
                 for daemon in daemons]  # fmt: skip
        away = [link for link in links if (link["next_try_in_ms"] or 0) > 50_000]
        if len(away) == 1 and sum(link["is_up"] for link in links) == 1:
            return
        await asyncio.sleep(0.1)


def rows_of(daemon):
    """(records kept, records pending) of core.db and readings.db."""
    counts = [0, 0]
    for name in ("core.db", "readings.db"):
        db = sqlite3.connect(f"file:{daemon.store / name}?mode=ro", uri=True, timeout=30)
        for at, table in enumerate(("record", "pending")):
            counts[at] += db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        db.close()
    return tuple(counts)


async def test_delivery_by_broker_settles_what_somebody_takes_keeps_the_rows_and_says_so(tmp_path):
    with Mosquitto() as broker:
        async with house(tmp_path / "a", "pub-1", broker.url, more=", delivery: broker") as (
            board, daemon,
        ):  # fmt: skip
            unheard = "gateway/uplink_unheard/B"
            status = await daemon.status_when(lambda s: unheard in faults_of(s), "nobody to hear")
            assert status["lanes"]["B"]["unsettled"] > 0
            assert status["lanes"]["B"]["settled"] == 0
            assert status["link"]["delivery"] == "broker"
            async with open_platform(tmp_path, broker.url) as platform:
                status = await leak_arrives(board, daemon, platform)
                await daemon.status_when(
                    lambda s: s["lanes"]["B"]["unsettled"] == 0 and unheard not in faults_of(s),
                    "all to be settled",
                )
                assert state_of(platform, "pub-1")["delivery"] == "broker"
            assert await daemon.stop() == 0
            kept, _ = rows_of(daemon)
            assert kept >= len(daemon.records()) > 0  # settled rows stay for a replay
            assert {key_of(b) for b in platform.applied()} <= {key_of(b) for b in daemon.records()}


def state_of(platform, gateway):
    """The last state message of a gateway that the platform has."""
    db = sqlite3.connect(f"file:{platform.path}?mode=ro", uri=True, timeout=30)
    (body,) = db.execute("SELECT state FROM gateways WHERE gw = ?", (gateway,)).fetchone()
    db.close()
    return json.loads(body)


@pytest.mark.parametrize("delivery", ["ack", "broker"])
async def test_a_broker_that_speaks_only_3_1_1_carries_alarms_and_acks(tmp_path, delivery):
    async with (
        open_broker(tmp_path, embedded=True) as broker,
        open_platform(tmp_path, broker.url) as platform,
        house(tmp_path / "a", "old-1", broker.url, more=f", delivery: {delivery}") as (
            board, daemon,
        ),
    ):  # fmt: skip
        status = await leak_arrives(board, daemon, platform)
        assert status["link"]["protocol"] == "3.1.1"
        assert await daemon.stop() == 0
