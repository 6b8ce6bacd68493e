"""SIGKILL around an alarm: the panel sounds again, one raise per condition, applied once."""

import asyncio
import random
from collections import Counter

import pytest

from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import LEAK, boot_ms, key_of, open_daemon, open_platform, site_of, until
from tests.partners.broker import Mosquitto

ROUNDS = 4  # a test; five tests make the twenty kills
BETWEEN = 1  # of them in the commit of the raise itself, after the panel has sounded


@pytest.mark.parametrize("seed", range(5))
async def test_a_kill_around_an_alarm_neither_loses_nor_doubles_it(tmp_path, seed):
    dice = random.Random(seed)
    with Mosquitto() as broker:
        async with open_platform(tmp_path, broker.url) as platform:
            for number in range(ROUNDS):
                folder = tmp_path / f"house{number}"
                folder.mkdir()
                gateway = f"kill-{seed}-{number}"
                is_between = number < BETWEEN
                after_s = dice.uniform(0.0, 1.5)
                await one_kill(folder, broker.url, platform, gateway, after_s, is_between)


async def one_kill(folder, broker, platform, gateway, after_s, is_between):
    board = lx47le("board", 3)
    armed = folder / "armed"
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(folder, site_of(bus.port, broker=broker, gateway=gateway)) as daemon,
    ):
        await daemon.start(*([f"die=core.db={armed}={daemon.pins_file}"] if is_between else []))
        await daemon.status_when(
            lambda status: (
                status["link"]["is_platform_present"] and status["panel"]["signal"]["red"] == "off"
            ),
            "a platform, and the end of the lamp test",
        )
        daemon.pins_file.write_bytes(b"")  # what sounds from here on is the alarm
        armed.touch()
        board.truth["residual_current"] = 600.0
        if is_between:
            await asyncio.wait_for(daemon.process.wait(), 60)
            assert ("red", 1) in [(pin, level) for _, pin, level in daemon.pins()], daemon.pins()
            assert raises_in(daemon) == []
        else:
            await asyncio.sleep(after_s)  # the moment of the kill: any is right
            await daemon.kill()
        committed = {key_of(body) for body in daemon.records() if body["lane"] == "A"}

        again = boot_ms()
        await daemon.start()
        await until(lambda: daemon.has_sounded_alarm(again), "the panel to sound again")
        status = await daemon.status_when(
            lambda status: (
                status["lanes"]["A"]["unsettled"] == 0
                and any(alarm["rule"] == LEAK for alarm in status["alarms"])
            ),
            "the alarm to be settled",
        )
        assert [a["state"] for a in status["alarms"] if a["rule"] == LEAK] == ["UA"]
        assert await daemon.stop() == 0

        assert len(raises_in(daemon)) == 1
        mine = [body for body in platform.applied("A") if body["gw"] == gateway]
        assert Counter(key_of(body) for body in mine).most_common(1)[0][1] == 1
        assert committed <= {key_of(body) for body in mine}
        assert [key_of(b) for b in raises_in(daemon)] == [
            key_of(b) for b in mine if b["tr"] == "raise"
        ]


def raises_in(daemon):
    return [b for b in daemon.records() if (b.get("rule"), b.get("tr")) == (LEAK, "raise")]
