"""The duty page as people see it: in Debian's Chromium, on the wall and on a phone."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.web.rig import ALARM, NORMAL, STATES, open_console, open_house, snapshot

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 60_000
SIZES = {"wall": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

# Every piece of visible text: its size, and its contrast with what it stands on (WCAG 2, 1.4.6).
LOOK = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parts(style.color)), light(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([walk.currentNode.data.trim(), parseFloat(style.fontSize), contrast]);
  }
  return found;
}"""


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Without a sandbox of its own: in a container the tests run as root.
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(browser: Browser, address: str, size: str = "wall", **options) -> Page:
    """A page of its own whose complaints are collected in `page.complaints`."""
    page = await browser.new_page(viewport=SIZES[size], **options)
    page.set_default_timeout(PATIENCE_MS)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    await page.goto(address)
    return page


async def is_there(page: Page, selector: str, words: str) -> None:
    await page.locator(selector, has_text=words).first.wait_for(state="visible")


async def test_every_state_can_be_read_on_both_sizes_and_in_both_languages(short_path):
    async with (
        open_house(short_path / "s") as house,
        open_console(short_path, short_path / "s") as console,
        open_browser() as browser,
    ):
        for size, lang in product(SIZES, ("zh", "en")):
            page = await open_page(browser, f"{console.url}?lang={lang}", size)
            for name, shown in STATES.items():
                # A name that tells the state apart: what is waited for is this one.
                house.show({**shown, "site": {"name": name, "timezone": "Asia/Shanghai"}})
                await is_there(page, ".house", name)
                where = f"{name} {size} {lang}"
                assert await page.locator(f".state.{shown['top']} svg.mark").is_visible(), where
                widths = "[document.documentElement.scrollWidth, window.innerWidth]"
                wide, window = await page.evaluate(widths)
                assert wide <= window, where
                looks = await page.evaluate(LOOK)
                assert len(looks) > 20, where
                assert [look for look in looks if look[1] < 20] == [], where
                assert [look for look in looks if look[2] < 7] == [], where
            assert page.complaints == []
            await page.close()


async def test_the_wall_shows_state_steps_and_lamps_without_scrolling(short_path):
    async with (
        open_house(short_path / "s") as house,
        open_console(short_path, short_path / "s") as console,
        open_browser() as browser,
    ):
        house.show(STATES["flood"])
        page = await open_page(browser, f"{console.url}?lang=en")
        await is_there(page, ".first", "Residual current too high")
        assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        steps = await page.locator(".first .steps li").all_inner_texts()
        assert steps == [step["en"] for step in ALARM["do"]]
        for selector in (".state", ".first .steps li:last-child", ".lamps", "footer"):
            box = await page.locator(selector).first.bounding_box()
            assert box["y"] + box["height"] <= 800, selector


async def test_time_ticks_between_two_answers_and_stops_being_counted_when_nothing_comes(
    short_path,
):
    async with (
        open_console(short_path, short_path / "s") as console,
        open_browser() as browser,
    ):
        async with open_house(short_path / "s") as house:
            house.show(snapshot("alarm", ALARM))
            page = await open_page(browser, f"{console.url}?lang=zh")
            await is_there(page, ".first .since", "00:00:41")
            house.every_s = 60  # it says no more by itself
            await is_there(page, ".first .since", "00:00:43")
        await is_there(page, ".gone", "网关未运行")
        await is_there(page, ".state", "未知")
        stopped = await page.locator(".first .since time").inner_text()
        await is_there(page, ".gone time", "00:00:03")
        assert await page.locator(".first .since time").inner_text() == stopped
        async with open_house(short_path / "s"):
            await is_there(page, ".state", "正常")
        assert page.complaints == []


async def test_a_lost_connection_is_shown_within_15_seconds_and_ends_by_itself(short_path):
    async with open_house(short_path / "s") as house, open_browser() as browser:
        async with open_console(short_path, short_path / "s") as console:
            house.show(STATES["alarm"])
            page = await open_page(browser, f"{console.url}?lang=en")
            await is_there(page, ".state", "Alarm")
            assert await page.locator("#lost").is_hidden()
            # The process hangs: its connections stay open, and nothing comes over them.
            console.process.send_signal(signal.SIGSTOP)
            begun = asyncio.get_running_loop().time()
            await is_there(page, "#lost", "Connection lost")
            assert asyncio.get_running_loop().time() - begun < 15 + 10  # on a busy machine
            assert await page.title() == "Connection lost"
            assert "is-lost" in await page.evaluate("document.body.className")
            colour = "getComputedStyle(document.querySelector('.state')).backgroundColor"
            assert await page.evaluate(colour) == "rgb(211, 216, 221)"
            looks = await page.evaluate(LOOK)
            assert [look for look in looks if look[1] < 20 or look[2] < 7] == []
            console.process.send_signal(signal.SIGCONT)
            await page.locator("#lost").wait_for(state="hidden")
            await is_there(page, ".state.alarm", "Alarm")
        # The process is gone: sooner, because the browser says so.
        await is_there(page, "#lost", "Connection lost")


async def test_where_no_stream_is_left_the_page_asks_now_and_then(short_path):
    async with (
        open_house(short_path / "s") as house,
        open_console(short_path, short_path / "s") as console,
        open_browser() as browser,
    ):
        house.show(NORMAL)
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.route("**/events*", lambda route: route.fulfill(status=503))
        await page.goto(f"{console.url}?lang=en")
        await is_there(page, ".state", "Normal")
        house.show(STATES["alarm"])
        await is_there(page, ".state", "Alarm")
        assert await page.locator("#lost").is_hidden()


async def test_a_browser_that_is_too_old_sees_an_alarm_and_a_lost_connection(short_path):
    async with open_house(short_path / "s") as house, open_browser() as browser:
        async with open_console(short_path, short_path / "s") as console:
            house.show(NORMAL)
            page = await browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            await page.add_init_script("delete Element.prototype.replaceChildren")
            await page.goto(f"{console.url}?lang=en")
            await is_there(page, ".state", "Normal")
            house.show(STATES["alarm"])
            await is_there(page, ".state", "Alarm")
            assert await page.locator("#lost").is_hidden()
        await is_there(page, "#lost", "Connection lost")
        assert "is-lost" in await page.evaluate("document.body.className")


async def test_a_browser_without_javascript_sees_an_alarm_and_remembers_its_language(short_path):
    async with (
        open_house(short_path / "s") as house,
        open_console(short_path, short_path / "s") as console,
        open_browser() as browser,
    ):
        page = await open_page(browser, console.url, "phone", java_script_enabled=False)
        await page.get_by_role("link", name="English").click()
        await is_there(page, ".state", "Normal")
        house.show(STATES["alarm"])
        await is_there(page, ".state", "Alarm")  # by a refresh of its own
        await page.goto(console.url)
        await is_there(page, "h1", "Duty desk")
