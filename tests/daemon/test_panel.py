"""The real button of a real daemon, pressed and held; what is noise is tested at the driver."""

import asyncio
import os
from contextlib import asynccontextmanager

from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import LEAK, boot_ms, open_daemon, site_of, until


@asynccontextmanager
async def house_with_a_button(tmp_path):
    """A sounding alarm, its daemon, and a hand at the silence button."""
    board = lx47le("board", 3)
    pipe = tmp_path / "button"
    os.mkfifo(pipe)
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(tmp_path, site_of(bus.port)) as daemon,
    ):
        await daemon.start(f"button={pipe}")
        hand = await asyncio.to_thread(pipe.open, "w", 1)
        await daemon.status_when(
            lambda status: status["panel"]["signal"]["pattern"] == "-", "the end of the lamp test"
        )
        since = boot_ms()
        board.truth["residual_current"] = 600.0
        await until(lambda: daemon.has_sounded_alarm(since), "the alarm at the pins")
        try:
            yield daemon, lambda word: hand.write(f"{word}\n")
        finally:
            hand.close()


def is_quiet(status):
    return status["panel"]["signal"]["pattern"] == "-"


async def test_a_press_silences_and_a_hold_tests_every_lamp_and_the_buzzer(tmp_path):
    async with house_with_a_button(tmp_path) as (daemon, move):
        move("down")
        status = await daemon.status_when(is_quiet, "silence")
        assert status["panel"]["signal"]["red"] in ("2Hz", "4Hz")
        assert [a["state"] for a in status["alarms"] if a["rule"] == LEAK] == ["UA"]
        held = boot_ms()
        await daemon.status_when(
            lambda status: status["panel"]["signal"]["pattern"] == "B", "the lamp test"
        )
        move("up")
        await daemon.status_when(is_quiet, "the end of the lamp test")
        lit = {pin for _, pin, level in daemon.pins(held) if level}
        assert {"amber", "yellow", "buzzer"} <= lit
        assert ("red", 1) in [(pin, level) for _, pin, level in daemon.pins(held)]
        told = [body for body in daemon.records() if body["lane"] == "A"]
        assert [(body["tr"], body["by"]) for body in told] == [("raise", ""), ("silence", "panel")]
        assert await daemon.stop() == 0
        tests = [b for b in daemon.records() if b.get("kind") == "panel_test"]
        assert [body["data"] for body in tests] == [{"by": "panel"}]
