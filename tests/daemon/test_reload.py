"""`systemctl reload` on a whole daemon: what did not change keeps its connection and its alarm."""

import json
import signal
import sys
from asyncio import create_subprocess_exec, subprocess, wait_for
from contextlib import asynccontextmanager

import psutil

from gateway.app import Figures
from gateway.core.health import measure
from gateway.core.tally import BusTally
from gateway.domain.site import Device
from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import (
    ENVIRONMENT,
    LEAK,
    PATIENCE_S,
    ROOT,
    boot_ms,
    open_daemon,
    open_platform,
    until,
)
from tests.partners.broker import Mosquitto

DEVICE = """\
  {name}:
    profile: lingxun-lx47le
    bus: {bus}
    unit: {unit}
    place: 1F 配电间
    owner: 电工班
    points: {{residual_current: {{period: 200ms}}}}
    rules:
      residual_warning: {{off: true, basis: test}}
      residual_alarm: {{for: 500ms, clear_for: 500ms, basis: test}}
"""
SITE = """\
site: {{id: test-house, name: 测试养老院, institution: elder-care}}
store: {{commit_every: 500ms}}
self_test: off
buses:
  hall: {{tcp: "127.0.0.1:{hall}", timeout: 300ms}}
  plant: {{tcp: "127.0.0.1:{plant}", timeout: 300ms}}
devices:
{devices}
panel: {{red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24, silence: 25}}
uplink: {{gateway: reload-1, brokers: ["mqtt://127.0.0.1:{broker}"], reconnect: local, probe: 2s}}
"""
BOARD = DEVICE.format(name="board", bus="hall", unit=3)
PUMP = DEVICE.format(name="pump", bus="plant", unit=1)
FAN = DEVICE.format(name="fan", bus="plant", unit=2)


def sockets(daemon, port):
    """The local ports of the daemon's connections to this one: the same port, the same socket."""
    return {
        each.laddr.port
        for each in psutil.Process(daemon.process.pid).net_connections("tcp")
        if each.raddr and each.raddr.port == port and each.status == psutil.CONN_ESTABLISHED
    }


async def reload(daemon):
    """What `ExecReload=` runs: its exit code and what it says."""
    process = await create_subprocess_exec(
        sys.executable, "-m", "gateway.cli.reload", str(daemon.socket),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    said, _ = await wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, said.decode()


@asynccontextmanager
async def sounding_house(folder):
    """A daemon of two buses that reports to a broker, with an unsilenced alarm on the first."""
    board, pump, fan = lx47le("board", 3), lx47le("pump", 1), lx47le("fan", 2)
    with Mosquitto(tcp=True) as broker:
        async with (
            open_tcp(by_unit([board])) as hall,
            open_tcp(by_unit([pump, fan])) as plant,
            open_platform(folder, broker.url) as platform,
        ):
            ports = {"hall": hall.port, "plant": plant.port, "broker": broker.port}

            def site(*devices, **other):
                return SITE.format(devices="".join(devices), **{**ports, **other})

            async with open_daemon(folder, site(BOARD, PUMP)) as daemon:
                await daemon.start()
                await daemon.status_when(lambda s: s["link"]["is_platform_present"], "the link")
                board.truth["residual_current"] = 600.0
                await until(lambda: platform.raises(LEAK), "the alarm at the platform")
                yield daemon, site, platform, ports


def value_of(status, name):
    return next((p["value"] for p in status["points"] if p["id"] == name), None)


async def test_what_did_not_change_keeps_its_connection_its_alarm_and_its_numbers(tmp_path):
    async with sounding_house(tmp_path) as (daemon, site, platform, ports):
        before = {name: sockets(daemon, port) for name, port in ports.items()}
        assert all(len(found) == 1 for found in before.values())
        daemon.site.write_text(site(BOARD, PUMP, FAN))
        reloaded_ms = boot_ms()
        assert await reload(daemon) == (0, "site file taken over; buses changed: plant\n")
        await daemon.status_when(
            lambda s: value_of(s, "fan.residual_current") is not None, "the new device"
        )
        assert {name: sockets(daemon, port) for name, port in ports.items()} == before
        await until(lambda: daemon.has_sounded_alarm(reloaded_ms), "the alarm to sound on")
        status = await daemon.ask(verb="status")
        (leak,) = [alarm for alarm in status["alarms"] if alarm["rule"] == LEAK]
        assert leak["state"] == "UA"
        assert status["link"]["connections"] == 1
        (fact,) = await until(lambda: platform.facts("site_changed"), "the change at the platform")
        assert fact["data"]["cfg"] == status["site"]["sha"] != fact["data"]["was"]
        await until(lambda: knows_fan(platform), "the new dictionary, and readings under it")
        applied = platform.applied()
        assert len({body["ep"] for body in applied}) == 1
        assert len(platform.raises(LEAK)) == 1
        assert await daemon.stop() == 0
        for lane in "ABR":
            seqs = sorted({r["seq"] for r in daemon.records() if r["lane"] == lane})
            assert seqs == list(range(1, len(seqs) + 1)), lane


def knows_fan(platform):
    """Whether readings have come under another dictionary than the first ones."""
    return len({body["pts"] for body in platform.applied("R")}) == 2


async def test_a_bad_file_changes_nothing_and_says_why(tmp_path):
    async with sounding_house(tmp_path) as (daemon, site, _platform, ports):
        before = {name: sockets(daemon, port) for name, port in ports.items()}
        sha = (await daemon.ask(verb="status"))["site"]["sha"]
        for wrong, said in (
            (site(BOARD, PUMP).replace("unit: 1", "unti: 1"), "unti"),
            (site(BOARD, PUMP).replace("red: 17", "red: 18"), "only a restart takes over"),
            ("{", "site.yaml:1"),
        ):
            daemon.site.write_text(wrong)
            code, output = await reload(daemon)
            assert (code, said in output) == (2, True), output
            status = await daemon.ask(verb="status")
            assert status["site"]["sha"] == sha
            assert {name: sockets(daemon, port) for name, port in ports.items()} == before
        asked_ms = boot_ms()
        await until(lambda: daemon.has_sounded_alarm(asked_ms), "the alarm to sound on")
        daemon.site.write_text(site(BOARD, PUMP))
        assert await reload(daemon) == (0, "site file taken over; buses changed: none\n")


def test_a_device_that_moved_counts_on_its_new_bus_only():
    """On both it would be two figures of one name, each ten seconds a counter that was reset."""
    figures = Figures({"hall": BusTally(0), "plant": BusTally(0)})
    for bus, device in (("hall", "board"), ("hall", "pump"), ("plant", "fan")):
        figures.tallies[bus].of(device).requests = 7
    figures.forget_all_but(devices(board="hall", pump="plant"))
    left = {bus: [*tally.devices] for bus, tally in figures.tallies.items()}
    assert left == {"hall": ["board"], "plant": []}
    figures.tallies["plant"].of("pump")
    named = [reading.point for reading in measure(figures.tallies, {}, 1_000).readings]
    assert len(named) == len(set(named))


def devices(**on):
    return [Device(name, "x", bus, 1, "", "", ()) for name, bus in on.items()]


async def test_sighup_takes_a_bus_away_and_another_broker_up(tmp_path):
    with Mosquitto(tcp=True) as other:
        async with (
            sounding_house(tmp_path) as (daemon, site, _platform, ports),
            open_platform(tmp_path, other.url, "second") as second,
        ):
            hall = sockets(daemon, ports["hall"])
            plant = f'  plant: {{tcp: "127.0.0.1:{ports["plant"]}", timeout: 300ms}}\n'
            daemon.site.write_text(site(BOARD, broker=other.port).replace(plant, ""))
            daemon.process.send_signal(signal.SIGHUP)
            await daemon.status_when(
                lambda s: [bus["id"] for bus in s["buses"]] == ["hall"], "one bus"
            )
            await daemon.status_when(
                lambda s: s["link"]["broker"] == f"127.0.0.1:{other.port}" and s["link"]["is_up"],
                "the other broker",
            )
            await until(lambda: second.applied("R"), "readings at the second platform")
            assert sockets(daemon, ports["hall"]) == hall
            assert not sockets(daemon, ports["plant"])
            status = await daemon.ask(verb="status")
            assert [a["state"] for a in status["alarms"] if a["rule"] == LEAK] == ["UA"]
            assert json.dumps(status).count("task_failed") == 0
