"""From the panel's pins to the duty page in a browser; what the console weighs; how it ends."""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from playwright.async_api import async_playwright

from gateway.drivers.sockets import request
from gateway.sim.bus import open_tcp
from gateway.sim.devices import SimDevice, by_unit, lx47le
from gateway.sim.processes import Process, end, running, tail
from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.latency import _first_after, _rises
from scripts.benchmarks.rig import (
    CannotMeasure,
    Running,
    boot_ms,
    memory_mib,
    new_folder,
    until,
)

PAGES = 16  # one in the browser, the others are streams that are read
# Tells each time the page begins or ends to show an alarm.
TELL = """() => {
  let was = false;
  new MutationObserver(() => {
    const is = document.querySelector(".state.alarm") !== null;
    if (is !== was) window.seen(was = is);
  }).observe(document.getElementById("now"), {childList: true, subtree: true});
}"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Each alarm is of a board of its own: one that comes again soon would be chatter."""

    alarms: int = 60
    pages: int = PAGES


SITE = """\
site: {{id: bench, name: bench, institution: elder-care}}
panel: {{red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24, silence: 25}}
buses: {{hall: {{tcp: "127.0.0.1:{port}"}}}}
devices:
{boards}"""
BOARD = """\
  board-{n}:
    profile: lingxun-lx47le
    bus: hall
    unit: {n}
    place: bench
    owner: bench
    points: {{residual_current: {{period: 500ms}}}}
    rules:
      residual_warning: {{off: true, basis: bench}}
      residual_alarm: {{for: 500ms, clear_for: 500ms, latch: false, basis: bench}}
"""


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    """One alarm after another, with as many pages open as may be."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise CannotMeasure("there is no chromium on this machine")
    new_folder(folder)
    boards = [lx47le(f"board-{n}", n) for n in range(1, plan.alarms + 1)]
    async with (
        open_tcp(by_unit(boards)) as bus,
        _daemon(folder, bus.port, len(boards)) as gateway,
        _console(gateway) as (console, port),
        async_playwright() as playwright,
    ):
        await gateway.status_when(_is_ready)
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        seen: list[tuple[float, bool]] = []
        await page.expose_function("seen", lambda shown: seen.append((boot_ms(), shown)))
        await page.goto(f"http://127.0.0.1:{port}/")
        await page.evaluate(TELL)
        dice, delays = Random(1), []
        async with AsyncExitStack() as streams:
            for _ in range(plan.pages - 1):
                await streams.enter_async_context(_stream(port))
            for board in boards:
                await asyncio.sleep(dice.uniform(0, 1))  # not in step with the stream's second
                delays.append(await _delay(board, gateway, seen))
            resident, _ = memory_mib(console.pid)
            begun = time.monotonic()
            code = await end(console)
            took_s = time.monotonic() - begun
        await browser.close()
    if code:
        raise CannotMeasure(f"the console ended with {code}")
    return _figures(plan, delays, resident, took_s)


def _figures(plan: Plan, delays: list[float], resident: float, took_s: float) -> list[Figure]:
    what = f"{plan.pages} pages"
    shares = (("p50", 0.5, None), ("p99", 0.99, 1_000.0))
    return [
        *(
            Figure(
                f"pins to page in Chromium, {what}, {name} of {plan.alarms}",
                "ms",
                (percentile(delays, share),),
                target=target,
            )
            for name, share, target in shares
        ),
        Figure(f"console RSS, {what}", "MiB", (resident,), target=45.0),
        Figure(f"console's end, {what}", "s", (took_s,), target=1.0),
    ]


async def _delay(board: SimDevice, gateway: Running, seen: list[tuple[float, bool]]) -> float:
    """Raise one alarm and end it; how long after buzzer and red lamp the page showed it."""
    seen.clear()
    begun = boot_ms()
    board.truth["residual_current"] = 600.0
    await until(lambda: [at for at, shown in seen if shown], "the alarm on the page")
    at = next(at for at, shown in seen if shown)
    pins = max(_first_after(_rises(gateway, name), begun) for name in ("buzzer", "red"))
    await request(gateway.socket, {"verb": "acknowledge", "by": "bench"})
    board.truth["residual_current"] = 20.0
    await gateway.status_when(_is_over)
    await until(lambda: not seen[-1][1], "the end of the alarm on the page")
    return at - pins


def _is_ready(status: dict[str, Any]) -> bool:
    """Lamp test over, every board read."""
    points = [point for point in status["points"] if point["is_judged"]]
    is_read = bool(points) and all(point["quality"] == "good" for point in points)
    return is_read and status["panel"]["signal"]["pattern"] == "-"


def _is_over(status: dict[str, Any]) -> bool:
    return all(alarm["severity"] != "alarm" for alarm in status["alarms"])


@asynccontextmanager
async def _daemon(folder: Path, port: int, boards: int) -> AsyncIterator[Running]:
    """The daemon over so many boards behind one port."""
    site = folder / "site.yaml"
    rows = "".join(BOARD.format(n=n) for n in range(1, boards + 1))
    site.write_text(SITE.format(port=port, boards=rows), encoding="utf-8")
    argv = [
        *(sys.executable, "-m", "gateway", "run", str(site), "--store", str(folder / "store")),
        *("--socket", str(folder / "s"), "--console-socket", str(folder / "c")),
        *("--panel", "mock", "--panel-log", str(folder / "pins.jsonl")),
    ]
    async with running(argv, folder / "log", within_s=20.0) as process:
        try:
            yield Running(process, folder, boot_ms())
        except CannotMeasure as why:
            raise CannotMeasure(f"{why}; it said: {tail(folder / 'log')}") from why


@asynccontextmanager
async def _console(gateway: Running) -> AsyncIterator[tuple[Process, int]]:
    """A console beside a daemon, and its port."""
    log = gateway.folder / "console.log"
    argv = [
        *(sys.executable, "-u", "-m", "gateway", "console", "--listen", "127.0.0.1:0"),
        *("--socket", str(gateway.folder / "c")),
    ]
    async with running(argv, log) as process:
        try:
            said = await until(lambda: _address(log), "the console's address")
        except CannotMeasure as why:
            raise CannotMeasure(f"{why}; it said: {tail(log)}") from why
        yield process, int(said.rstrip("/").split(":")[-1])


def _address(log: Path) -> str:
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return next((line for line in lines if line.startswith("http://")), "")


@asynccontextmanager
async def _stream(port: int) -> AsyncIterator[None]:
    """A page that is open elsewhere: its stream is read and thrown away."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    async def drop() -> None:
        while await reader.read(65_536):
            pass

    reading = asyncio.create_task(drop())
    try:
        yield
    finally:
        reading.cancel()
        writer.close()
