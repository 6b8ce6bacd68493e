"""The console as a process: what it answers, what it survives, how it ends."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from contextlib import AsyncExitStack

from gateway.web.routes import MOST_STREAMS
from gateway.web.server import LONGEST_HEAD
from tests.web.rig import (
    NORMAL,
    PATIENCE_S,
    ROOT,
    STATES,
    get,
    get_when,
    open_console,
    open_house,
    read_until,
    send,
    stream,
)

FUZZED = int(os.environ.get("FUZZED", "400"))  # FUZZED=10000 for a long run by hand


async def test_the_page_comes_in_the_language_that_is_wanted_and_remembers_a_choice(short_path):
    async with open_house(short_path / "s"), open_console(short_path, short_path / "s") as console:
        usual = await get_when(console.port, "正常", "/")
        assert '<html lang="zh-CN">' in usual.body
        english = await get(console.port, "/", "Accept-Language: en-GB,en;q=0.9")
        assert '<html lang="en">' in english.body
        assert "Duty desk" in english.body
        assert "set-cookie" not in english.headers
        chosen = await get(console.port, "/?lang=en")
        assert chosen.headers["set-cookie"].startswith("lang=en;")
        assert "httponly" in chosen.headers["set-cookie"].lower()
        again = await get(console.port, "/", "Cookie: lang=en", "Accept-Language: zh-CN")
        assert '<html lang="en">' in again.body
        assert (await get(console.port, "/?lang=xx", "Cookie: lang=yy")).status == 200


async def test_the_page_works_without_javascript(short_path):
    async with open_house(short_path / "s"), open_console(short_path, short_path / "s") as console:
        page = (await get_when(console.port, "正常", "/")).body
        assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page


async def test_every_answer_carries_the_policy_and_names_no_software(short_path):
    async with open_house(short_path / "s"), open_console(short_path, short_path / "s") as console:
        for target, status in (("/", 200), ("/now", 200), ("/healthz", None), ("/nothing", 404)):
            answer = await get(console.port, target)
            assert status is None or answer.status == status
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["cache-control"] == "no-store"
            assert "server" not in answer.headers


async def test_own_files_are_kept_by_the_browser_until_they_change(short_path):
    async with open_house(short_path / "s"), open_console(short_path, short_path / "s") as console:
        page = (await get(console.port)).body
        for name, kind in (("duty.css", "text/css"), ("duty.js", "text/javascript")):
            address = page.partition(f"/static/{name}?v=")[2].partition('"')[0]
            kept = await get(console.port, f"/static/{name}?v={address}")
            assert (kept.status, kept.headers["content-type"].split(";")[0]) == (200, kind)
            assert "immutable" in kept.headers["cache-control"]
            assert "immutable" not in (await get(console.port, f"/static/{name}")).headers
        for name in ("nothing.css", "..%2frouting.py", "%2e%2e/server.py", ""):
            assert (await get(console.port, f"/static/{name}")).status == 404


async def test_what_is_not_asked_rightly_is_refused_plainly(short_path):
    async with open_house(short_path / "s"), open_console(short_path, short_path / "s") as console:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
            assert (await get(console.port, "/", method=method)).status == 405
        assert (await get(console.port, "/", method="HEAD")).status == 200
        assert (await get(console.port, "/events", method="HEAD")).status == 200
        assert (await get(console.port, "/" + "x" * 2_000)).status == 414
        for host in ("evil.example", "localhost.evil.example:80", ""):
            refused = await get(console.port, "/", f"Host: {host}")
            assert refused.status == 421
            assert "请用 IP 地址打开" in refused.body
            assert "open it by its IP address" in refused.body
        assert (await get(console.port, "/", "Host: localhost")).status == 200
        head = b"GET / HTTP/1.1\r\nx: "
        # in one piece: of what is closed with bytes unread, a reset would eat the answer
        assert b" 400 " in (await send(console.port, head + b"y" * LONGEST_HEAD))
        await send(console.port, head + b"y" * 99_000)
        assert (await get(console.port, "/")).status == 200


async def test_a_stream_tells_a_change_at_once_and_goes_on_without_one(short_path):
    async with (
        open_house(short_path / "s") as house,
        open_console(short_path, short_path / "s") as console,
    ):
        await get_when(console.port, "正常")
        async with stream(console.port, "/events?lang=en") as reader:
            first = await read_until(reader, "</footer>")
            assert "event: show\ndata: " in first
            house.show(STATES["alarm"])
            await read_until(reader, "Residual current too high")
            await read_until(reader, "</footer>")
            await read_until(reader, "</footer>")  # the same again, with new ages


async def test_sixteen_pages_may_be_open_and_a_closed_one_gives_its_place_back(short_path):
    async with open_house(short_path / "s"), open_console(short_path, short_path / "s") as console:
        async with AsyncExitStack() as pages:
            for _ in range(MOST_STREAMS):
                await read_until(await pages.enter_async_context(stream(console.port)), "show")
            refused = await get(console.port, "/events")
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
            assert (await get(console.port, "/now")).status == 200  # asking goes on
        deadline = time.monotonic() + PATIENCE_S
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", console.port)
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status = await asyncio.wait_for(reader.readline(), PATIENCE_S)
            writer.close()
            if b" 200 " in status:
                break
            assert time.monotonic() < deadline, status


async def test_without_a_daemon_the_page_says_so_and_what_to_do_and_comes_back(short_path):
    async with open_console(short_path, short_path / "s") as console:
        gone = await get_when(console.port, "网关未运行")
        assert "systemctl status care-gateway" in gone.body
        assert "未知" in gone.body
        assert (await get(console.port, "/healthz")).status == 503
        async with open_house(short_path / "s"):
            await get_when(console.port, "没有报警")
            assert (await get(console.port, "/healthz")).status == 200
        gone = await get_when(console.port, "网关未运行")
        assert "以下是最后收到的内容" in gone.body
    log = console.log.read_text()
    assert log.count("the daemon is lost") in (2, 3)  # not there; gone in the middle, not there
    assert "Traceback" not in log


async def test_a_daemon_that_refuses_or_talks_nonsense_is_one_that_does_not_answer(short_path):
    async def nonsense(reader, writer):
        while line := await reader.readline():
            writer.write(b'{"ok": false, "code": "failed"}\n' if line else b"")
            await writer.drain()

    server = await asyncio.start_unix_server(nonsense, short_path / "s")
    async with server, open_console(short_path, short_path / "s") as console:
        await get_when(console.port, "网关没有应答")


async def test_it_ends_at_once_with_pages_open_and_leaves_no_traceback(short_path):
    async with (
        open_house(short_path / "s"),
        open_console(short_path, short_path / "s") as console,
        AsyncExitStack() as pages,
    ):
        readers = [await pages.enter_async_context(stream(console.port)) for _ in range(5)]
        for reader in readers:
            await read_until(reader, "</footer>")
        console.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(console.process.wait(), PATIENCE_S) == 0
        for reader in readers:
            rest = await asyncio.wait_for(reader.read(), PATIENCE_S)
            assert rest.endswith(b"0\r\n\r\n")  # ended by its own will, not cut off
        log = console.log.read_text()
        assert "Traceback" not in log
        assert "Cancel" not in log


async def test_fuzzed_requests_crash_nothing(short_path):
    dice = random.Random(5)
    pieces = [
        b"GET", b"POST", b" ", b"/", b"/events", b"/static/", b"?lang=", b"%00", b"%ff", b"..",
        b"HTTP/1.1", b"HTTP/9.9", b"\r\n", b"\n", b"\x00", b"Host: localhost", b"Host: \xff",
        b"Cookie: lang=\xc3\x28; ;=;", b"Accept-Language: " + b"zh;q=1e999," * 40,
        b"Content-Length: -1", b"Content-Length: 99999999", b"Transfer-Encoding: chunked",
        b"Upgrade: websocket", b"Connection: Upgrade", b"Expect: 100-continue", b"x" * 3_000,
    ]  # fmt: skip
    async with (
        open_house(short_path / "s"),
        open_console(short_path, short_path / "s") as console,
    ):
        await get_when(console.port, "正常")

        async def poke(data: bytes) -> None:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", console.port)
                writer.write(data)
                writer.write_eof()
                await asyncio.wait_for(reader.read(200), 0.5)
            except (OSError, TimeoutError):
                pass
            finally:
                writer.close()

        for _ in range(FUZZED // 20):
            await asyncio.gather(
                *(poke(b"".join(dice.choices(pieces, k=dice.randint(1, 14)))) for _ in range(20))
            )
        assert console.process.returncode is None
        assert (await get_when(console.port, "正常")).status == 200
        assert "Traceback" not in console.log.read_text()


async def test_a_port_that_is_taken_is_said_plainly(short_path):
    async with open_console(short_path, short_path / "s") as console:
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "console", "--lang", "en"),
            *("--listen", f"127.0.0.1:{console.port}"),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(other.communicate(), PATIENCE_S)
        assert other.returncode == 1
        assert b"cannot listen on 127.0.0.1" in said


async def test_it_asks_once_a_second_and_no_more_however_many_pages_are_open(short_path):
    async with (
        open_house(short_path / "s") as house,
        open_console(short_path, short_path / "s") as console,
        AsyncExitStack() as pages,
    ):
        house.every_s = 1.0
        await get_when(console.port, "正常")
        for _ in range(8):
            await pages.enter_async_context(stream(console.port))
        before, begun = house.asked, time.monotonic()
        await asyncio.sleep(2)
        seconds = time.monotonic() - begun
        assert house.asked - before <= seconds + 2


def test_the_snapshot_of_the_tests_has_what_the_daemon_s_has(tmp_path):
    from gateway.core.duty import duty_view
    from gateway.core.state import state_of
    from gateway.domain.rules import Severity
    from tests.core.test_duty import a_house, now, read, step

    state = state_of(a_house(tmp_path, [Severity.ALARM]), (), now(0))
    for ms, event in read(600):
        state, _ = step(state, event, now(ms))
    view = json.loads(json.dumps(duty_view(state, now(2_000))))
    ours = STATES["alarm"]
    assert view.keys() == ours.keys() - {"site", "clock", "link"}
    assert ours["alarms"][0].keys() <= view["alarms"][0].keys()
    assert NORMAL["counts"].keys() == view["counts"].keys()
