"""Take the pictures of the duty page: the real demo plays, and Chromium looks at it."""

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from playwright.async_api import Browser, async_playwright

PATIENCE_MS = 120_000
WALL = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
PICTURES = (
    ("duty-wall-zh", "zh", WALL),
    ("duty-wall-en", "en", WALL),
    ("duty-phone-zh", "zh", PHONE),
    ("duty-phone-en", "en", PHONE),
)
MOMENT = "%LEL"  # gas leaks


async def take(folder: Path) -> None:
    """Play the demo until gas leaks, take every picture, end the demo."""
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", "--plain", "--lang", "en", "--for", "90s"),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
    )
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            url = await _address(demo)
            telling = asyncio.create_task(_drop(demo))
            await asyncio.gather(*(_picture(browser, url, folder, *each) for each in PICTURES))
            telling.cancel()
            await browser.close()
    finally:
        if demo.returncode is None:
            demo.terminate()
            await asyncio.wait_for(demo.wait(), 60)


async def _picture(
    browser: Browser,
    url: str,
    folder: Path,
    name: str,
    lang: str,
    size: dict[str, int],
) -> None:
    page = await browser.new_page(viewport=size)
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"{url}?lang={lang}")
    await page.locator(".first.alarm .measure", has_text=MOMENT).wait_for()
    await page.wait_for_timeout(1_000)  # the first seconds of an alarm, not the first instant
    path = folder / f"{name}.png"
    await page.screenshot(path=path, full_page=size is PHONE)
    print(f"wrote {path}, {path.stat().st_size // 1000} kB")


async def _address(demo: asyncio.subprocess.Process) -> str:
    if demo.stderr is None:
        raise RuntimeError("the demo was started without a pipe")
    async for line in demo.stderr:
        if found := re.search(rb"http://\S+", line):
            return found[0].decode()
    raise RuntimeError("the demo ended without naming the duty page")


async def _drop(demo: asyncio.subprocess.Process) -> None:
    """Read what the demo tells, so that it never waits for us."""
    if demo.stderr is not None:
        async for _ in demo.stderr:
            pass


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
