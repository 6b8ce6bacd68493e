"""The patroller's page in Debian's Chromium at a phone's size: a round from tag links."""

import shutil

import pytest

from gateway.drivers.sockets import serve
from tests.web.phone_rig import CHOICE, ITEMS, PHOTO, PIN, PatrolHouse, sun_query
from tests.web.rig import open_console
from tests.web.test_browser import LOOK, is_there, open_browser, open_page

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="no chromium on this machine"
)

SMALLEST_TARGET = 64
TARGETS = """(least) =>
  [...document.querySelectorAll("main label, main button, main summary, main input")]
  .filter((node) => node.checkVisibility() && node.type !== "hidden"
    && !node.closest("nav") && !(node.closest("label") && node.tagName === "INPUT"))
  .map((node) => [node.outerHTML.slice(0, 80), node.getBoundingClientRect().height])
  .filter(([, height]) => height < least)"""


async def looks_well(page):
    wide, window = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
    looks = await page.evaluate(LOOK)
    assert looks
    assert [look for look in looks if look[1] < 20] == []
    assert [look for look in looks if look[2] < 7] == []
    assert await page.evaluate(TARGETS, SMALLEST_TARGET) == []


async def answer(page, good=True):
    for item in ("i.panel", "i.exit"):
        value = "ok" if good or item == "i.panel" else "bad"
        await page.locator(f'input[name="{item}"][value="{value}"]').check()
    await page.locator('[name="i.pressure"]').fill("0.35")


@pytest.mark.parametrize(("lang", "scripted"), [("zh", True), ("en", False)])
async def test_a_round_is_walked_from_tag_links(short_path, lang, scripted):
    house = PatrolHouse()
    said = {
        "zh": ("提交", "已记录", "下一站", "本轮已巡完", "还没有答完"),
        "en": ("Send", "Recorded", "Next stop", "This round is complete", "Not complete"),
    }
    send, recorded, following, complete, missing = said[lang]
    async with (
        serve(short_path / "s", house.answer),
        open_console(short_path, short_path / "s", "--photos", str(short_path / "p")) as console,
        open_browser() as browser,
    ):
        base = console.url.rstrip("/")
        page = await open_page(
            browser, f"{base}/t/eps-token?{sun_query(61)}", "phone", java_script_enabled=scripted,
            locale={"zh": "zh-CN", "en": "en-GB"}[lang],
        )  # fmt: skip
        await is_there(page, "h1", "2F 东配电间")
        if scripted:
            await looks_well(page)
        await page.locator(".send", has_text=send).click()
        await is_there(page, ".trouble", missing)  # nothing was answered
        if scripted:
            await looks_well(page)
        await answer(page, good=False)
        await page.locator("summary").click()
        await page.locator("textarea").fill("消火栓前堆了纸箱")
        await page.locator('[name="name"]').fill("张敏")
        await page.locator('[name="pin"]').fill(PIN)
        await page.locator(".send").click()
        await is_there(page, ".done", recorded)
        await is_there(page, ".next", following)
        if scripted:
            await looks_well(page)
        for token in ("kitchen-token", "stair-token"):
            await page.goto(f"{base}/t/{token}")
            await is_there(page, ".who", "张敏")
            await answer(page)
            await page.locator(".send").click()
            await is_there(page, ".done", recorded)
        await is_there(page, ".next", complete)
        # Chromium says of every form that came back that it was not taken, and that is all it says.
        assert [each for each in page.complaints if "status of 422" not in each] == []
    places = [visit["checkpoint"] for visit in house.visits]
    assert places == ["2F-EPS", "2F-KITCHEN", "2F-STAIR-E"]
    assert [visit["proof"] for visit in house.visits] == [3, 1, 1]
    assert house.visits[0]["hazard"] == "消火栓前堆了纸箱"
    assert house.pins == 1


async def test_a_photo_is_made_small_before_it_is_sent(short_path):
    house = PatrolHouse(items=[PHOTO, CHOICE])
    async with (
        serve(short_path / "s", house.answer),
        open_console(short_path, short_path / "s", "--photos", str(short_path / "p")) as console,
        open_browser() as browser,
    ):
        page = await open_page(browser, f"{console.url}t/kitchen-token?lang=en", "phone")
        await looks_well(page)
        # A picture as a camera makes it: large, and of noise, which no format makes small.
        await page.evaluate("""async () => {
          const canvas = new OffscreenCanvas(3000, 2000);
          const context = canvas.getContext("2d");
          const data = context.createImageData(3000, 2000);
          for (let n = 0; n < data.data.length; n += 1) data.data[n] = (n * 2654435761) >>> 24;
          context.putImageData(data, 0, 0);
          const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
          window.taken = blob.size;
          const list = new DataTransfer();
          list.items.add(new File([blob], "IMG_1.jpg", { type: "image/jpeg" }));
          const input = document.querySelector("[type=file]");
          input.files = list.files;
          input.dispatchEvent(new Event("change", { bubbles: true }));
        }""")
        taken = await page.evaluate("window.taken")
        await page.locator('input[name="i.door"][value="shut"]').check()
        await page.locator('[name="name"]').fill("s07")
        await page.locator('[name="pin"]').fill(PIN)
        await page.locator(".send").click()
        await is_there(page, ".done", "Recorded")
        assert page.complaints == []
    kept = list((short_path / "p" / "kept").iterdir())
    assert [path.stem for path in kept] == [house.visits[0]["answers"][0]["value"]]
    assert kept[0].stat().st_size < taken / 2


async def test_answers_survive_a_daemon_that_goes_away_and_comes_back(short_path):
    house = PatrolHouse(items=ITEMS)
    async with (
        open_console(short_path, short_path / "s") as console,
        open_browser() as browser,
    ):
        async with serve(short_path / "s", house.answer):
            page = await open_page(browser, f"{console.url}t/kitchen-token?lang=en", "phone")
            await answer(page)
            await page.locator('[name="name"]').fill("张敏")
            await page.locator('[name="pin"]').fill(PIN)
        await page.locator(".send").click()
        await is_there(page, ".trouble", "nothing is recorded yet")
        await looks_well(page)
        assert await page.locator('[name="i.pressure"]').input_value() == "0.35"
        assert await page.locator('[name="i.exit"][value="ok"]').is_checked()
        assert house.visits == []
        async with serve(short_path / "s", house.answer):
            await page.locator('[name="pin"]').fill(PIN)
            await page.locator(".send").click()
            await is_there(page, ".done", "Recorded")
    assert len(house.visits) == 1
