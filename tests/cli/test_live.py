"""Keys, the terminal put back, and the page of a running daemon in a real pseudo-terminal."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.live import Feed, follow, keys_in
from gateway.drivers.sockets import Message, Peer, serve
from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.cli.terminal import open_terminal
from tests.daemon.rig import ENVIRONMENT, LEAK, ROOT, open_daemon, site_of, until


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"Sa", ["s", "a"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA", ["up"]),
        (b"\x1b[6~n", ["down", "n"]),
        (b"\x1b[1;5C1", ["1"]),
        ("消q音".encode(), ["q"]),
        (b"\r\n\t\x7f\x00 ", []),
        (b"\x1b", []),
        (b"\x1b[", []),
    ],
)
def test_keys_are_read_as_terminals_send_them(data: bytes, keys: list[str]) -> None:
    assert keys_in(data) == keys


@given(st.binary(max_size=40))
def test_no_input_breaks_the_reading_of_keys(data: bytes) -> None:
    assert all(key in ("up", "down") or len(key) == 1 for key in keys_in(data))


async def test_a_daemon_that_hangs_is_noticed_within_two_seconds(short_path: Path) -> None:
    hangs, never = False, asyncio.Event()

    async def handle(message: Message, peer: Peer) -> Message:
        if hangs:
            await never.wait()
        return {"ok": True}

    feed = Feed()
    async with serve(short_path / "s", handle):
        following = asyncio.create_task(follow(short_path / "s", feed, asyncio.Event()))
        await until(lambda: feed.answer, "the first answer")
        hangs, began = True, time.monotonic()
        await until(lambda: feed.lost_since, "the loss")
        assert "does not answer" in feed.why.en
        assert feed.page().data_age_s > 0.5
        took = time.monotonic() - began
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert took < 2.0 + max(0.0, os.getloadavg()[0] - 2)  # more only where others are in the way


async def test_a_daemon_that_refuses_is_no_answer(short_path: Path) -> None:
    async def handle(message: Message, peer: Peer) -> Message:
        return {"ok": False, "code": "busy", "error": "try again"}

    feed = Feed()
    async with serve(short_path / "s", handle):
        following = asyncio.create_task(follow(short_path / "s", feed, asyncio.Event()))
        await until(lambda: feed.lost_since, "the refusal")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert feed.why.en == "busy: try again"


async def test_watching_survives_a_restart_of_the_daemon_and_gives_the_terminal_back(
    short_path: Path,
) -> None:
    board = lx47le("board", 3)
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(short_path, site_of(bus.port)) as daemon,
    ):
        await daemon.start()
        arguments = ("status", "--watch", "--lang", "en", "--socket", str(daemon.socket))
        with open_terminal(*arguments, columns=80, rows=24) as terminal:
            await terminal.shows("board.residual_current")
            assert not terminal.is_given_back
            await terminal.shows("No alarm")
            board.truth["residual_current"] = 600.0
            await daemon.status_when(lambda s: any(a["rule"] == LEAK for a in s["alarms"]), "alarm")
            page = await terminal.shows("Residual current over the limit")
            assert "● ALARM blinks" in page
            assert "1F 配电间" in page
            assert "→ 1 " in page
            assert re.search(r"\d{3} mA \(limit 300\)", page)

            await daemon.kill()
            await terminal.shows("connection lost since")
            await terminal.shows("no daemon listens here")
            await terminal.shows("? ALARM")  # nothing is shown as known any more
            await terminal.shows("? good")
            await daemon.start()
            await daemon.status_when(lambda s: any(a["rule"] == LEAK for a in s["alarms"]), "alarm")
            page = await terminal.shows(lambda page: "● ALARM" in page and "data 0." in page)
            assert "connection lost" not in page

            terminal.press("\x1a")  # Ctrl-Z
            program = psutil.Process(terminal.process.pid)
            await until(lambda: program.status() == psutil.STATUS_STOPPED, "sleep")
            await until(lambda: terminal.is_given_back, "the shell's own screen")
            program.send_signal(signal.SIGCONT)
            await until(lambda: not terminal.is_given_back, "the page again")
            terminal.resize(60, 15)
            await terminal.shows(
                lambda page: "ALARM" in page and max(map(len, page.splitlines())) <= 60
            )

            terminal.press("\x03")  # Ctrl-C
            assert await terminal.ended() == 0
            assert "Traceback" not in terminal.text()
        with open_terminal(*arguments) as terminal:
            await terminal.shows("Residual current")
            terminal.press("q")
            assert await terminal.ended() == 0
        assert await daemon.stop() == 0


async def test_watching_for_programs_is_a_line_an_answer_whether_a_daemon_runs_or_not(
    short_path: Path,
) -> None:
    command = [sys.executable, "-m", "gateway", "status", "--watch", "--json", "--socket"]

    async def handle(message: Message, peer: Peer) -> Message:
        return {"ok": True, "asked": message["verb"]}

    path = short_path / "s"
    process = await asyncio.create_subprocess_exec(
        *command, str(path), stdout=subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT
    )
    assert process.stdout is not None
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert (first["ok"], first["code"]) == (False, "no_answer")
    async with serve(path, handle):
        async with asyncio.timeout(60):
            while not (answer := json.loads(await process.stdout.readline()))["ok"]:
                pass
    assert answer == {"ok": True, "asked": "status"}
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 60) == 0


def test_watching_needs_a_terminal(short_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "gateway", "status", "--watch", "--socket", str(short_path / "s")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT,
        env={**ENVIRONMENT, "LANG": "C.UTF-8"}, check=False, timeout=60,
    )  # fmt: skip
    assert shown.returncode == 2
    assert "--watch --json" in shown.stderr
    assert shown.stdout == ""
