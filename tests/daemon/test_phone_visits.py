"""A patroller's phone, the real console and a real daemon whose broker is away."""

import hashlib
import shutil
import socket

import pytest

from gateway.drivers.pins import hash_pin
from gateway.drivers.sockets import request
from gateway.drivers.sun import SunKeys
from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import open_daemon, site_of, until
from tests.web.phone_rig import sun_query
from tests.web.rig import open_console
from tests.web.test_browser import is_there, open_browser, open_page

PIN = "4711"
WARD_UID = "04DE5F1EACC040"
KEYS = SunKeys(bytes(16), bytes(range(16)), is_per_tag=True)
PATROL = """\
tag_keys: {{meta_read_file: meta.key, file_read_file: file.key}}
patrol:
  items:
    board:
      smell: {{say: 无异味}}
      load: {{say: 电流表读数, type: number, unit: A, range: 0..40}}
  checkpoints:
    EPS: {{name: 2F 配电间, place: 2F 东, items: board,
          tags: {{door: {{uid: "04AA11223344AA", token: {eps}}}}}}}
    WARD: {{name: 3F 病房, place: 3F, items: board,
           tags: {{door: {{uid: "{ward}", kind: ntag424, token: {wards}}}}}}}
  routes:
    house: {{name: 全院, stops: [EPS, WARD]}}
  rounds:
    day: {{route: house, preset: daily}}
"""


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def furnish(folder):
    """People, keys; the patrol's part of the site file."""
    people = folder / "people.yaml"
    people.write_text(f"people:\n  s01: {{name: 张敏, role: duty, pin: '{hash_pin(PIN)}'}}\n")
    people.chmod(0o640)
    (folder / "meta.key").write_text(KEYS.meta.hex())
    (folder / "file.key").write_text(KEYS.file.hex())
    return PATROL.format(eps=digest("eps-link"), ward=WARD_UID, wards=digest("ward-link"))


async def fill_in(page, load="12.5"):
    await page.locator('[name="i.smell"][value="ok"]').check()
    await page.locator('[name="i.load"]').fill(load)


async def sign(page):
    await page.locator('[name="name"]').fill("张敏")
    await page.locator('[name="pin"]').fill(PIN)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
async def test_visits_are_recorded_with_the_broker_away_and_over_a_crash(short_path):
    board = lx47le("board", 3)
    patrol = furnish(short_path)
    with socket.socket() as nowhere:  # bound, and nobody listens
        nowhere.bind(("127.0.0.1", 0))
        broker = f"mqtt://127.0.0.1:{nowhere.getsockname()[1]}"
        await _walk_and_crash(short_path, patrol, board, broker)


async def _walk_and_crash(short_path, patrol, board, broker):
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(
            short_path, site_of(bus.port, broker=broker, gateway="wh-0001-01") + patrol
        ) as daemon,
        open_console(short_path, daemon.console) as console,
        open_browser() as browser,
    ):
        await daemon.start()
        await daemon.status_when(lambda status: not status["link"]["is_up"], "the daemon")
        page = await open_page(browser, f"{console.url}t/eps-link?lang=en", "phone")
        await is_there(page, "h1", "2F 配电间")
        await fill_in(page)
        await sign(page)
        await page.locator(".send").click()
        await is_there(page, ".done", "Recorded")

        ward = f"{console.url}t/ward-link?{sun_query(61, WARD_UID, KEYS)}"
        await page.goto(ward)
        await is_there(page, ".who", "张敏")
        await fill_in(page)
        await daemon.kill()  # no goodbye
        await page.locator(".send").click()
        await is_there(page, ".trouble", "nothing is recorded yet")
        assert await page.locator('[name="i.load"]').input_value() == "12.5"
        await daemon.start()
        await daemon.status_when(lambda status: status["points"], "the daemon again")
        await page.locator(".send").click()
        await is_there(page, ".done", "Recorded")
        await page.goto(ward)
        await is_there(page, ".sorry", "this link was used before")

        def visits():
            return [body for body in daemon.records() if body.get("kind") == "visit"]

        await until(lambda: len(visits()) == 2, "both visits on disk")
        status = await daemon.ask(verb="status")
        assert status["link"]["is_up"] is False
        told = [body["data"] for body in visits()]
        assert [(each["checkpoint"], each["by"], each["proof"]) for each in told] == [
            ("EPS", "s01", 1), ("WARD", "s01", 3),
        ]  # fmt: skip
        assert "张敏" not in str(daemon.records())

        forged = await request(
            daemon.console,
            {"verb": "visit", "by": "s01", "checkpoint": "EPS", "answers": [], "proof": 4},
        )
        assert (forged["ok"], len(visits())) == (False, 2)  # the socket asks for a phone or a PIN
        assert "Traceback" not in daemon.log()


async def test_keys_that_cannot_be_read_are_a_fault_and_the_rest_goes_on(short_path):
    board = lx47le("board", 3)
    patrol = furnish(short_path)
    (short_path / "file.key").write_text("not a key")
    async with (
        open_tcp(by_unit([board])) as bus,
        open_daemon(short_path, site_of(bus.port) + patrol) as daemon,
    ):
        await daemon.start()
        await daemon.status_when(
            lambda status: [a for a in status["alarms"] if "tag_keys_unread" in a["rule"]],
            "the fault",
        )
        query = sun_query(61, WARD_UID, KEYS)
        stop = {"verb": "stop", "token": "ward-link", "query": query}
        assert (await request(daemon.console, stop))["code"] == "sun_no_keys"
        plain = {"verb": "stop", "token": "eps-link", "query": ""}
        assert (await request(daemon.console, plain))["checkpoint"]["code"] == "EPS"
        (short_path / "file.key").write_text(KEYS.file.hex())
        answer = await daemon.ask(verb="reload")  # None: a busy machine takes longer than it waits
        assert answer is None or answer["ok"]
        await daemon.status_when(
            lambda status: not [a for a in status["alarms"] if "tag_keys" in a["rule"]
                                and a["state"] == "UA"],
            "the end of the fault",
        )  # fmt: skip
        assert (await request(daemon.console, stop))["proof"] == 3
