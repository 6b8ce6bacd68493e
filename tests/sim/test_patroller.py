"""The patroller: a card that the reader's process has seen, and a form as the page gave it."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.domain.text import Text
from gateway.drivers.pins import is_pin
from gateway.sim import patroller
from gateway.sim.desk_reader import DeskReader, open_desk_reader
from gateway.sim.ntag import Card
from gateway.sim.patroller import CARD, Patroller, hidden_in, open_reader, words_in, write_people
from gateway.sim.story import PATROLLER, CardTap, Visit

FORM = """<form><input type="hidden" name="form" value="f1"><input type="hidden" name="seal"
value="s1"><input name="i.way"></form><form><input type="hidden" name="act" value="leave"></form>"""
SORRY = '<p class="trouble" role="alert">wrong PIN</p><p>more</p>'
VISIT = Visit("stairs-1", (("way", "bad"),), 0.0, "a chair")


@contextmanager
def a_console(status: int = 200) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A console that gives a form and answers it with this status; what was sent to it."""
    sent: list[dict[str, list[str]]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, FORM)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            sent.append({**parse_qs(body), "cookie": [self.headers.get("cookie", "")]})
            self.answer(status, SORRY)

        def answer(self, code: int, page: str) -> None:
            self.send_response(code)
            self.send_header("set-cookie", "form=f1; Path=/t; HttpOnly; SameSite=lax")
            self.send_header("content-length", str(len(page.encode())))
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", sent
        finally:
            server.shutdown()
            thread.join()


def a_patroller(
    page: str = "", board: DeskReader | None = None, taps: list[int] | None = None
) -> tuple[Patroller, list[Text]]:
    told: list[Text] = []

    async def ask(_: Mapping[str, object]) -> Mapping[str, Any]:
        return {"reader": {"taps": taps.pop(0) if taps and len(taps) > 1 else (taps or [0])[0]}}

    return Patroller(ask, page, "4711", board, told.append), told


async def test_a_form_goes_back_with_what_the_page_hid_in_it_and_what_was_found() -> None:
    with a_console() as (page, sent):
        walker, told = a_patroller(page)
        await walker.walk(VISIT)
    assert sent == [
        {
            "form": ["f1"], "seal": ["s1"], "i.way": ["bad"], "name": [PATROLLER],
            "pin": ["4711"], "hazard": ["a chair"], "cookie": ["form=f1"],
        }
    ]  # fmt: skip
    assert "recorded" in told[-1].en


async def test_a_refusal_is_told_in_the_words_of_the_page() -> None:
    with a_console(403) as (page, _):
        walker, told = a_patroller(page)
        await walker.walk(VISIT)
    assert [said.en for said in told] == ["the patroller did not succeed: 403 wrong PIN"]


async def test_a_console_that_is_away_is_told() -> None:
    with a_console() as (page, _):
        pass
    walker, told = a_patroller(page)
    await walker.walk(VISIT)
    assert told[0].en.startswith("the patroller did not succeed: ")


async def test_a_card_lies_on_the_reader_until_it_is_seen(tmp_path: Path) -> None:
    with open_desk_reader(tmp_path / "nfc") as board:
        seen: list[object] = []
        walker, told = a_patroller("", board, [0, 0, 0, 1])
        ask = walker.ask

        async def watched(request: Mapping[str, object]) -> Mapping[str, Any]:
            seen.append(board.chip.tag)
            return await ask(request)

        walker.ask = watched
        async with asyncio.timeout(60):
            await walker.walk(CardTap())
        assert board.chip.tag is None
    assert seen == [None, *[Card(CARD)] * 3]
    assert [said.en for said in told] == ["the card was read"]


async def test_without_a_reader_no_card_is_laid_down() -> None:
    walker, told = a_patroller()
    await walker.walk(CardTap())
    assert [said.en for said in told] == ["the patroller did not succeed: there is no reader"]


async def test_without_nfcpy_there_is_no_reader_and_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patroller, "find_spec", lambda _: None)
    async with open_reader(tmp_path, tmp_path / "nfc", tmp_path / "s") as reader:
        assert reader is None
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - after all that is waited for


def test_the_people_of_the_demo_are_one_with_a_new_pin_each_time(tmp_path: Path) -> None:
    pin = write_people(tmp_path)
    text = (tmp_path / "people.yaml").read_text("utf-8")
    known = text.partition("pin: '")[2].partition("'")[0]
    assert is_pin(known, pin)
    assert pin not in text
    assert (tmp_path / "people.yaml").stat().st_mode & 0o137 == 0


def test_only_the_first_form_counts_and_only_what_is_wrong_is_said() -> None:
    assert hidden_in(FORM) == {"form": "f1", "seal": "s1"}
    assert words_in(SORRY) == ["wrong PIN"]
    assert words_in(FORM) == []
