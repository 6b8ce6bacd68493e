"""The demo in a terminal: every key does what it says, and the verdict knows what was pressed."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.drivers.sockets import NoAnswer, request
from gateway.sim.hands import WHO
from gateway.sim.history import read_applied
from gateway.sim.story import SCENES, SETS_OUT, WALK
from tests.cli.terminal import Terminal, open_terminal
from tests.daemon.rig import PATIENCE_S, until
from tests.test_demo import processes_in, wait_until_gone

STORY = sorted((*SCENES, SETS_OUT, *WALK), key=lambda scene: scene.at_s)
RESIDUAL = "kitchen-board.residual_current/residual_alarm"
SILENT = "gateway/device_silent/roof-hydrant"

Status = dict[str, Any]


@dataclass(frozen=True, slots=True)
class House:
    """What the daemon and the platform of one demo say."""

    folder: Path
    terminal: Terminal

    async def when(self, holds: Callable[[Status], object], what: str) -> Status:
        """Return the daemon's first status for which `holds` is true."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                status = await request(self.folder / "daemon.sock", {"verb": "status"})
            except NoAnswer:
                status = None
            if status and holds(status):
                return status
            assert self.terminal.process.poll() is None, self.terminal.text()[-2000:]
            assert time.monotonic() < deadline, f"waited for {what}: {status}"
            await asyncio.sleep(0.05)

    def applied(self, **fields: str) -> list[dict[str, Any]]:
        """What took effect at the platform and has these fields."""
        bodies = (json.loads(row.body) for row in read_applied(self.folder / "platform.sqlite"))
        return [b for b in bodies if all(b.get(k) == v for k, v in fields.items())]


def alarm(status: Status, rule: str) -> dict[str, Any]:
    """The open alarm of a rule; empty when there is none."""
    return next((row for row in status["alarms"] if row["rule"] == rule), {})


def is_offline(status: Status, device: str) -> bool:
    return next(row["is_offline"] for row in status["devices"] if row["id"] == device)


def told(text: str) -> list[float]:
    """The seconds at which scenes of the story were told, each scene once."""
    seconds: dict[str, float] = {}
    for scene in STORY:
        found = re.search(rf"(\d+\.\d) s  house +{re.escape(scene.say.en[:30])}", text)
        if found:
            seconds.setdefault(scene.say.en, float(found[1]))
    return sorted(seconds.values())


async def test_each_key_does_what_it_says_and_the_verdict_holds(short_path: Path) -> None:
    folder = short_path / "kept"
    arguments = ("demo", "--lang", "en", "--keep", str(folder))
    with open_terminal(*arguments, columns=150, rows=45) as terminal:
        house = House(folder, terminal)
        await terminal.shows("on duty: duty-07")  # the gateway is ready

        terminal.press("d")
        await terminal.shows("on duty: you")

        terminal.press("b")
        await house.when(lambda s: not s["link"]["is_up"], "the broker's end")
        await terminal.shows("Uplink down")
        terminal.press("b")
        await house.when(lambda s: s["link"]["is_up"], "the broker's return")
        await terminal.shows("Uplink connected")

        terminal.press("5")
        await house.when(lambda s: is_offline(s, "roof-hydrant"), "the pulled device")
        await terminal.shows("5 roof-hydrant 屋顶试验消火栓: no response, all 1 points")
        terminal.press("p")  # the same one again
        await house.when(lambda s: not is_offline(s, "roof-hydrant"), "the device again")

        await house.when(lambda s: alarm(s, RESIDUAL).get("is_sounding"), "the residual alarm")
        assert alarm(await house.when(bool, "status"), RESIDUAL)["state"] in ("UA", "LU")
        terminal.press("s")
        await house.when(lambda s: not alarm(s, RESIDUAL)["is_sounding"], "silence")
        terminal.press("a")
        await house.when(lambda s: alarm(s, RESIDUAL)["state"] in ("AA", "LA"), "acknowledgement")
        await house.when(lambda s: alarm(s, RESIDUAL)["state"] == "LA", "normal again, latched")
        terminal.press("r")
        await house.when(lambda s: not alarm(s, RESIDUAL), "the reset")
        for transition in ("silence", "ack", "reset"):
            await until(
                lambda tr=transition: house.applied(tr=tr, rule=RESIDUAL, by=WHO), transition
            )
        await until(lambda: house.applied(tr="raise", rule=SILENT), "the pulled device's fault")

        before = told(terminal.text())
        while len(told(terminal.text())) < len(STORY):  # the rest of the story, one by one
            count = len(told(terminal.text()))
            terminal.press("n")
            await until(lambda n=count: len(told(terminal.text())) > n, "the next scene")
        assert before, "no scene came by itself"
        took = told(terminal.text())[-1] - before[-1]
        scripted = STORY[-1].at_s - STORY[len(before) - 1].at_s
        assert took < scripted * 0.8, f"{took} s for {scripted} s of story"

        terminal.press("\x1a")
        await terminal.shows("cannot be suspended")
        terminal.press("d")
        await terminal.shows("on duty: duty-07")
        terminal.press("q")
        assert await terminal.ended() == 0, terminal.after()
        page = terminal.after()
        assert "All of it agrees." in page
        keys = re.search(r"Keys were pressed in this run \((\d+)\)", page)
        assert keys
        assert int(keys[1]) >= 9
        assert re.search(rf"\* {SILENT} +yellow", page)
        assert "Traceback" not in terminal.text()
    assert processes_in(short_path) == []


async def test_a_failure_gives_the_terminal_back_and_is_told_on_the_normal_screen(
    short_path: Path,
) -> None:
    arguments = ("demo", "--lang", "zh", "--keep", str(short_path / "kept"))
    with open_terminal(*arguments, columns=80, rows=24) as terminal:
        await terminal.shows("值班：duty-07")
        await terminal.shows("s 消音")
        (daemon,) = [p for p in processes_in(short_path) if "run" in p.cmdline()]
        daemon.kill()
        assert await terminal.ended() == 1
        assert "the daemon ended with code -9" in terminal.after()
        assert "Traceback" not in terminal.text()
    wait_until_gone(short_path)


async def test_ctrl_c_ends_the_live_demo_with_a_verdict_and_plain_has_no_page(
    short_path: Path,
) -> None:
    with open_terminal("demo", "--lang", "en", "--plain", folder=short_path) as terminal:
        await until(lambda: "the gateway is ready" in terminal.text(), "the plain story")
        assert terminal.is_given_back
        assert b"\x1b[?1049h" not in terminal.written
        terminal.press("\x03")
        assert await terminal.ended() == 0
        assert "All of it agrees." in terminal.text()
    with open_terminal("demo", "--lang", "en", folder=short_path) as terminal:
        await terminal.shows("on duty: duty-07")
        terminal.press("\x03")
        assert await terminal.ended() == 0
        assert "All of it agrees." in terminal.after()
        assert "Keys were pressed" not in terminal.after()
    assert processes_in(short_path) == []
