"""Take the pictures of a patroller's phone: the real pages over the real decider, on a fixed night.

Rounds need a clock that is sure, which a developer's machine may not have; so the decider gets one.
"""

import asyncio
import hashlib
import re
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playwright.async_api import Browser, Page, async_playwright

from gateway.config.load import load_site
from gateway.core.health import with_own_device
from gateway.core.messages import sender_of
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain.events import Event, Restarted, RoundStarted
from gateway.domain.moments import Clk, Now
from gateway.drivers.clock import mono
from gateway.drivers.pins import hash_pin, is_pin
from gateway.drivers.sockets import Message, Peer, serve
from gateway.tasks.commands import Desk
from gateway.tasks.patrol_commands import MAKERS, patrol_queries
from gateway.tasks.phones import Phones

PATIENCE_MS = 60_000
PHONE = {"width": 390, "height": 844}
ZONE = ZoneInfo("Asia/Shanghai")
NIGHT_MS = int(datetime(2026, 11, 22, 2, 12, tzinfo=ZONE).timestamp() * 1000)
PIN = "4711"
TOKENS = ("board-2f", "kitchen-2f", "stairs-2f")
SITE = """\
site: {{id: demo-house, name: 演示养老院, institution: elder-care, timezone: Asia/Shanghai}}
buses: {{hall: {{tcp: 127.0.0.1}}}}
devices:
  board: {{profile: lingxun-lx47le, bus: hall, unit: 3, place: 2F 东配电间, owner: 电工班}}
patrol:
  items:
    room:
      smell: {{say: 配电箱无异味、不发热}}
      way: {{say: 通道畅通，防火门关闭}}
      pressure: {{say: 消防水压力, type: number, unit: MPa, range: 0.2..0.6}}
      gauge: {{say: 拍压力表, type: photo, drawn: true}}
  checkpoints:
    2F-EPS: {{name: 2F 东配电间, place: 2F 东, items: room, tags: {0}}}
    2F-KITCHEN: {{name: 2F 厨房, place: 2F 西, items: room, tags: {1}}}
    2F-STAIR: {{name: 2F 东楼梯, place: 2F 东, items: room, tags: {2}}}
  routes: {{night-2f: {{name: 二楼夜巡, stops: [2F-EPS, 2F-KITCHEN, 2F-STAIR], leg_min: 60s}}}}
  rounds: {{night: {{route: night-2f, preset: night}}}}
"""


class House:
    """The decider in this process, on a night of its own."""

    def __init__(self, folder: Path) -> None:
        digests = [hashlib.sha256(token.encode()).hexdigest() for token in TOKENS]
        tags = [
            f'{{door: {{uid: "04AABBCC{n:06}", token: {digest}}}}}'
            for n, digest in enumerate(digests)
        ]
        (folder / "site.yaml").write_text(SITE.format(*tags), "utf-8")
        people = folder / "people.yaml"
        people.write_text(f"people: {{s01: {{name: 张敏, role: duty, pin: '{hash_pin(PIN)}'}}}}\n")
        people.chmod(0o640)
        loaded = load_site(folder / "site.yaml")
        if loaded.site is None:
            raise RuntimeError(loaded.problems)
        site = with_own_device(loaded.site)
        self.began_ms = mono()
        house = house_of(site, sender_of(site, "c0ffee000000"), "0", zone=ZONE, patrol_seed="seed")
        self.state = state_of(house, (), self.now())
        self.desk = Desk(self.put, self._no_status, patrol_queries(self._state, self.now), MAKERS)
        self.phones = Phones(self.desk.handle, None, is_pin, mono)
        self.put(Restarted())
        for round_ in self.state.patrol.rounds.values():
            if round_.opens_ms <= NIGHT_MS < round_.closes_ms:
                self.put(RoundStarted("s01", round_.id))

    def now(self) -> Now:
        return Now(mono(), NIGHT_MS + mono() - self.began_ms, Clk.SYNC, 20, "b00700000000")

    def put(self, event: Event) -> None:
        self.state, outcome = step(self.state, event, self.now())
        for reply in outcome.replies:
            self.desk.answer(reply)

    def _state(self) -> Any:
        return self.state

    async def _no_status(self) -> dict[str, object]:
        return {}

    async def answer(self, request: Message, _peer: Peer) -> Message:
        if request.get("verb") == "watch":
            await asyncio.sleep(0.5)
            site = {"name": "演示养老院", "timezone": "Asia/Shanghai"}
            return {"ok": True, "n": 1, "top": "normal", "site": site}
        return await self.phones.handle(request)


async def take(folder: Path) -> None:
    """Walk a round with each language's phone up to what is pictured."""
    with tempfile.TemporaryDirectory(prefix="gw") as scratch:
        place = Path(scratch)
        house = House(place)
        async with serve(place / "s", house.answer), async_playwright() as playwright:
            console = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "console", "--listen", "127.0.0.1:0"),
                *("--socket", str(place / "s"), "--photos", str(place / "photos")),
                stdout=PIPE,
            )
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            try:
                url = await _address(console)
                await _walk(browser, url, folder)
            finally:
                await browser.close()
                console.terminate()
                await asyncio.wait_for(console.wait(), 30)


async def _walk(browser: Browser, url: str, folder: Path) -> None:
    page = await browser.new_page(viewport=PHONE)
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"{url}t/board-2f?lang=zh")
    await _fill(page, bad=True)
    await _keep(page, folder / "patrol-phone-zh.png")
    await page.locator(".send").click()
    await page.locator(".done").wait_for()
    await page.goto(f"{url}t/kitchen-2f?lang=en")
    await _fill(page, bad=False)
    await page.locator(".send").click()
    await page.locator(".done").wait_for()
    await _keep(page, folder / "patrol-phone-done-en.png")


async def _fill(page: Page, *, bad: bool) -> None:
    await page.locator('[name="i.smell"][value="ok"]').check()
    await page.locator(f'[name="i.way"][value="{"bad" if bad else "ok"}"]').check()
    await page.locator('[name="i.pressure"]').fill("0.35")
    for photo in await page.locator("[type=file]").all():
        await photo.set_input_files(
            {"name": "p.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff\xe0" + bytes(99)}
        )
    if await page.locator('[name="pin"]').count():
        await page.locator('[name="name"]').fill("张敏")
        await page.locator('[name="pin"]').fill(PIN)


async def _keep(page: Page, path: Path) -> None:
    await page.evaluate("scrollTo(0, 0)")
    picture = await page.screenshot(path=path)
    print(f"wrote {path}, {len(picture) // 1000} kB")


async def _address(console: asyncio.subprocess.Process) -> str:
    if console.stdout is None:
        raise RuntimeError("the console was started without a pipe")
    line = (await console.stdout.readline()).decode()
    if not re.match(r"http://\S+/$", line):
        raise RuntimeError(f"the console did not start: {line!r}")
    return line.strip()


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
