"""From the wire to the page: a real daemon, the real console, Debian's Chromium."""

import asyncio
import shutil
import signal

import pytest

from gateway.drivers.sockets import connected, request
from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import LEAK, boot_ms, open_daemon, site_of, until
from tests.web.rig import PATIENCE_S, get_when, open_console
from tests.web.test_browser import is_there, open_browser, open_page

AFTER_THE_PINS_MS = 1_000
BUSY_MS = 4_000  # what a very busy machine may add

# Calls `seen` once the page shows an alarm.
TELL = """() => new MutationObserver((_, observer) => {
  if (!document.querySelector(".state.alarm")) return;
  observer.disconnect();
  window.seen();
}).observe(document.getElementById("now"), {childList: true, subtree: true})"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
async def test_an_alarm_is_on_the_page_within_a_second_of_the_pins(short_path):
    board, seen = lx47le("board", 3), []
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(short_path, site_of(bus.port)) as daemon,
        open_browser() as browser,
    ):
        await daemon.start()
        await daemon.status_when(
            lambda status: status["panel"]["signal"]["pattern"] == "-", "the end of the lamp test"
        )
        async with open_console(short_path, daemon.console) as console:
            page = await open_page(browser, f"{console.url}?lang=en")
            await is_there(page, ".state", "Normal")
            await page.expose_function("seen", lambda: seen.append(boot_ms()))
            await page.evaluate(TELL)
            since = boot_ms()
            board.truth["residual_current"] = 600.0
            await until(lambda: seen, "the alarm on the page")
            red = [t for t, pin, level in daemon.pins(since) if (pin, level) == ("red", 1)]
            assert seen[0] - red[0] < AFTER_THE_PINS_MS + BUSY_MS
            await is_there(page, ".first h2", "1F 配电间")
            await is_there(page, ".first .measure", "600 mA")
            await daemon.ask(verb="acknowledge", by="s01")
            await is_there(page, ".first .life", "acknowledged")
            await daemon.kill()  # no goodbye: power gone, or a crash
            await is_there(page, ".gone", "The gateway is not running")
            await daemon.start()
            await is_there(page, ".state", "Alarm")  # it was never reset
            assert page.complaints == []


async def test_the_console_s_socket_shows_and_does_nothing_else(short_path):
    board = lx47le("board", 3)
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(short_path, site_of(bus.port)) as daemon,
    ):
        await daemon.start()
        await daemon.status_when(lambda status: status["points"], "the daemon")
        shown = await request(daemon.console, {"verb": "watch"})
        assert shown["ok"]
        assert shown["site"]["name"] == "测试养老院"
        for verb in (
            "status", "silence", "acknowledge", "reset", "panel_test", "uplink_tail", "accept",
            "acceptance", "x",
        ):  # fmt: skip
            answer = await request(daemon.console, {"verb": verb, "by": "s01", "alarm": LEAK})
            assert (answer["ok"], answer["code"]) == (False, "not_allowed")
        assert daemon.console.stat().st_mode & 0o777 == 0o666
        assert daemon.socket.stat().st_mode & 0o777 == 0o660


async def test_consoles_that_hang_or_are_too_many_disturb_no_alarm(short_path):
    board = lx47le("board", 3)
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(short_path, site_of(bus.port)) as daemon,
        open_console(short_path, daemon.console) as console,
    ):
        await daemon.start()
        await get_when(console.port, "正常")
        console.process.send_signal(signal.SIGSTOP)
        idle = [await asyncio.open_unix_connection(daemon.console) for _ in range(8)]
        for _, writer in idle:  # each asks a hundred times and reads nothing
            writer.write(b'{"verb":"watch"}\n' * 100)
        since = boot_ms()
        board.truth["residual_current"] = 600.0
        await until(lambda: daemon.has_sounded_alarm(since), "the alarm at the pins")
        assert await daemon.stop() == 0
        for _, writer in idle:
            writer.close()
        console.process.send_signal(signal.SIGCONT)


async def test_a_watcher_is_told_of_an_alarm_without_asking_again(short_path):
    board = lx47le("board", 3)
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(short_path, site_of(bus.port)) as daemon,
    ):
        await daemon.start()
        await daemon.status_when(lambda status: status["points"], "the daemon")
        async with connected(daemon.console) as ask, asyncio.timeout(PATIENCE_S):
            shown = await ask({"verb": "watch"})
            board.truth["residual_current"] = 600.0
            while shown["top"] != "alarm":
                shown = await ask({"verb": "watch", "after": shown["n"]})
        (row,) = [row for row in shown["alarms"] if row["rule"] == LEAK]
        assert (row["mode"], row["state"], row["inhibits"]) == ("real", "UA", [])
        assert shown["lamps"]["red"] == "2Hz"
