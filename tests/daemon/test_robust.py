"""One bad thing stays one: whatever fails, a new alarm still sounds, without a restart."""

import asyncio
import subprocess
import time
from contextlib import asynccontextmanager

from paho.mqtt.publish import single

from gateway.app import PLAN_AFTER_S
from gateway.core.health import MEASURED_EVERY_MS
from gateway.sim.bus import open_rtu, open_tcp
from gateway.sim.devices import by_unit, lx47le
from gateway.sim.line import framed
from tests.daemon.rig import (
    ENVIRONMENT,
    LEAK,
    ROOT,
    boot_ms,
    open_daemon,
    open_platform,
    site_of,
    until,
)
from tests.partners.broker import Mosquitto


@asynccontextmanager
async def house(tmp_path, **site):
    """A breaker on TCP, and a daemon for it."""
    board = lx47le("board", 3)
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(tmp_path, site_of(bus.port, **site)) as daemon,
    ):
        yield board, daemon


def is_reading(status):
    return any(
        point["id"] == "board.residual_current" and point["quality"] == "good"
        for point in status["points"]
    )


def rules_of(status):
    return {alarm["rule"] for alarm in status["alarms"]}


def publish(broker, topic, payload):
    """Send one message as a stranger would."""
    single(topic, payload, qos=1, hostname="127.0.0.1", port=broker.port)


async def alarm_sounds(board, daemon):
    """Plant a leakage and wait for the panel; the daemon must be the process it was."""
    pid, since = daemon.process.pid, boot_ms()
    board.truth["residual_current"] = 600.0
    await until(lambda: daemon.has_sounded_alarm(since), "the alarm at the pins")
    status = await daemon.status_when(lambda status: LEAK in rules_of(status), "the alarm")
    assert (daemon.process.pid, daemon.process.returncode) == (pid, None)
    return status


async def test_a_rule_that_raises_is_a_fault_and_another_alarm_sounds(tmp_path):
    broken = "board.temperature_n/temperature_alarm"
    async with house(tmp_path) as (board, daemon):
        await daemon.start(f"rule={broken}")
        await daemon.status_when(
            lambda status: f"gateway/rule_failed/{broken}" in rules_of(status), "the fault"
        )
        await alarm_sounds(board, daemon)
        assert await daemon.stop() == 0


async def test_a_healthy_house_has_no_fault_of_its_own_once_everything_has_run(tmp_path):
    """Long enough for the tasks that begin late: plan of the watch, the gateway's own points."""

    def has_all_run(status):
        late_s = max(PLAN_AFTER_S, MEASURED_EVERY_MS / 1000) + 3
        return time.monotonic() - began > late_s and is_reading(status)

    with Mosquitto() as broker:
        async with (
            house(tmp_path, broker=broker.url, gateway="well-01") as (board, daemon),
            open_platform(tmp_path, broker.url) as platform,
        ):
            began = time.monotonic()
            await daemon.start()
            await daemon.status_when(has_all_run, "everything to have run")
            await daemon.status_when(lambda status: status["link"]["is_platform_present"], "hello")
            status = await daemon.status_when(is_reading, "readings")
            assert rules_of(status) == set()
            assert [device["is_slow"] for device in status["devices"]] == [False]
            raised = {body["rule"] for body in daemon.records() if body.get("tr") == "raise"}
            assert raised == set(), daemon.log()
            assert "Traceback" not in daemon.log()
            await until(lambda: platform.applied("R"), "readings at the platform")
            await alarm_sounds(board, daemon)
            assert await daemon.stop() == 0


async def test_another_master_on_the_line_is_a_fault_and_an_alarm_sounds_all_the_same(tmp_path):
    board = lx47le("board", 3)
    text = site_of(1).replace('tcp: "127.0.0.1:1"', f"serial: {tmp_path}/line, baud: 115200")
    async with (
        open_rtu(tmp_path / "line", by_unit([board]), baud=115_200) as line,
        open_daemon(tmp_path, text) as daemon,
    ):

        async def ask_again_and_again():
            question = framed(bytes([3, 4, 0, 5, 0, 2]))
            while True:
                line.wire.ask(question)
                await asyncio.sleep(0.3)

        await daemon.start()
        await daemon.status_when(is_reading, "readings")
        asking = asyncio.create_task(ask_again_and_again())
        status = await daemon.status_when(
            lambda status: "gateway/foreign_master/hall" in rules_of(status), "the fault"
        )
        (bus,) = status["buses"]
        assert bus["foreign"] >= 3
        await alarm_sounds(board, daemon)
        asking.cancel()
        assert await daemon.stop() == 0


async def test_a_writer_that_hangs_is_a_fault_and_the_alarm_goes_out_from_memory(tmp_path):
    release = tmp_path / "release"
    with Mosquitto() as broker:
        async with (
            house(tmp_path, broker=broker.url, gateway="hung-01") as (board, daemon),
            open_platform(tmp_path, broker.url) as platform,
        ):
            await daemon.start(f"block=core.db={release}")
            await daemon.status_when(is_reading, "readings")
            await alarm_sounds(board, daemon)
            await daemon.status_when(
                lambda status: "gateway/store_slow/core.db" in rules_of(status), "the slow disk"
            )
            await until(lambda: platform.raises(LEAK), "the alarm at the platform")
            assert [body["durable"] for body in platform.raises(LEAK)] == [False]
            assert [b for b in daemon.records() if b["lane"] != "R"] == []
            release.touch()
            await daemon.status_when(
                lambda status: (
                    status["lanes"]["A"]["unsettled"] == 0
                    and status["store"]["core.db"]["is_healthy"]
                    and status["store"]["core.db"]["queued"] == 0
                ),
                "the disk",
            )
            assert await daemon.stop() == 0
            assert len(platform.raises(LEAK)) == 1
            assert len([b for b in daemon.records() if b.get("rule") == LEAK]) == 1


async def test_a_daemon_whose_disk_hangs_still_stops_when_asked(tmp_path):
    async with house(tmp_path) as (_, daemon):
        await daemon.start(f"block=core.db={tmp_path / 'never'}")
        await daemon.status_when(is_reading, "readings")
        assert await daemon.stop() == 0


async def test_a_broker_that_swallows_everything_does_not_hold_up_an_alarm(tmp_path):
    async def swallow(reader, writer):
        while await reader.read(4096):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with house(tmp_path, broker=f"mqtt://127.0.0.1:{port}", gateway="hole-01") as (b, daemon):
        await daemon.start()
        await daemon.status_when(is_reading, "readings")
        status = await alarm_sounds(b, daemon)
        assert not status["link"]["is_up"]
        assert await daemon.stop() == 0
    server.close()


async def test_an_adapter_that_is_not_there_is_a_fault_of_its_bus_only(tmp_path):
    board = lx47le("board", 3)
    async with open_tcp(by_unit([board])) as bus:
        text = (
            site_of(bus.port)
            .replace("buses: {", f"buses: {{cellar: {{serial: {tmp_path}/no-such-adapter}}, ")
            .replace(
                "panel:",
                "  pump: {profile: qdy30a, bus: cellar, unit: 1, place: B1, owner: 电工班}\npanel:",
            )
        )
        async with open_daemon(tmp_path, text) as daemon:
            await daemon.start()
            await daemon.status_when(is_reading, "readings")
            status = await daemon.status_when(
                lambda status: "gateway/bus_down/cellar" in rules_of(status), "the fault"
            )
            pump = next(p for p in status["points"] if p["id"] == "pump.pressure")
            assert (pump["quality"], pump["value"]) == ("offline", None)
            assert "gateway/device_silent/pump" not in rules_of(status)
            await alarm_sounds(board, daemon)
            assert await daemon.stop() == 0


async def test_a_database_that_is_none_is_set_aside_and_the_daemon_starts(tmp_path):
    async with house(tmp_path) as (board, daemon):
        daemon.store.mkdir()
        for name in ("core.db", "readings.db"):
            (daemon.store / name).write_text("this is a shopping list\n" * 400)
        await daemon.start()
        await daemon.status_when(
            lambda status: (
                {"gateway/store_corrupt/core.db", "gateway/store_corrupt/readings.db"}
                <= rules_of(status)
            ),
            "the faults",
        )
        await alarm_sounds(board, daemon)
        assert list(daemon.store.glob("core.db.bad-*"))
        assert await daemon.stop() == 0


async def test_a_second_daemon_on_the_same_store_is_refused_with_one_line(tmp_path):
    async with house(tmp_path) as (_, daemon):
        await daemon.start()
        await daemon.status_when(is_reading, "readings")
        command = [*daemon.command()]
        command[command.index(str(daemon.socket))] = str(tmp_path / "s2")
        second = await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, timeout=60
        )
        assert second.returncode == 1
        assert str(daemon.store) in second.stderr.decode().splitlines()[-1]
        assert b"Traceback" not in second.stderr
        assert await daemon.stop() == 0


async def test_a_payload_that_is_no_message_changes_nothing(tmp_path):
    with Mosquitto(tcp=True) as broker:
        async with house(tmp_path, broker=broker.url, gateway="odd-01") as (board, daemon):
            await daemon.start()
            await daemon.status_when(lambda status: status["link"]["is_up"], "the link")
            for payload in (b"", b"not json", b"\xff\xfe", b"[" * 20 + b"]" * 20, b"x\x9c!"):
                for kind in ("ack", "hello", "cmd", "nonsense"):
                    publish(broker, f"care/1/odd-01/dn/{kind}", payload)
            await alarm_sounds(board, daemon)
            assert await daemon.stop() == 0
