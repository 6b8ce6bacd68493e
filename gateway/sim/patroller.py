"""The simulated patroller: a card at the desk's reader, and a phone that opens the links of tags.

Both ends are the real ones: the reader's process runs nfcpy on an emulated PN532, and the phone
asks the console for its page over HTTP and sends the form back that it was given.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

from gateway.domain.text import Text
from gateway.drivers.pins import hash_pin
from gateway.drivers.sockets import NoAnswer
from gateway.sim.desk_reader import DeskReader, open_desk_reader
from gateway.sim.ntag import Card
from gateway.sim.people import Ask
from gateway.sim.processes import Process, running
from gateway.sim.story import PATROLLER, CardTap, Visit

NAME = "王敏"
CARD = bytes.fromhex("5c0a7e21")
LAID_FOR_S = 1.0
TAKEN_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1
ANSWER_S = 30.0  # of a page
LOG = "reader.log"
PEOPLE = "people.yaml"
PHONE_NEEDS = ("argon2", "python_multipart")  # beside what the console needs

NO_READER = Text(
    "没有读卡器：pip install 'care-gateway[nfc]'；贴卡出发不演示",
    "no reader: pip install 'care-gateway[nfc]'; setting out with a card is not shown",
)


class NotDone(Exception):
    """What the patroller wanted did not come about; says why."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The board that the card is laid on, and the process that reads it."""

    board: DeskReader
    process: Process


@asynccontextmanager
async def open_reader(folder: Path, device: Path, socket: Path) -> AsyncIterator[Reader | None]:
    """The reader's process with a board at `device`; None where nfcpy is not installed."""
    if find_spec("nfc") is None:
        yield None
        return
    argv = [
        *(sys.executable, "-m", "gateway", "reader", "--socket", str(socket)),
        *("--lend", str(folder / "lend.sock")),
    ]
    async with AsyncExitStack() as stack:
        board = stack.enter_context(open_desk_reader(device))
        yield Reader(board, await stack.enter_async_context(running(argv, folder / LOG)))


def write_people(folder: Path) -> str:
    """Write the one person of the demo beside its site file; return the new PIN."""
    pin = f"{secrets.randbelow(1_000_000):06}"
    person = f"name: {NAME}, role: duty, pin: '{hash_pin(pin)}', cards: [{{uid: {CARD.hex()}}}]"
    people = folder / PEOPLE
    people.touch(0o640)
    people.write_text(f"people:\n  {PATROLLER}: {{{person}}}\n", encoding="utf-8")
    return pin


@dataclass(slots=True)
class Patroller:
    """Does one thing after the other. `page` is the console's address."""

    ask: Ask  # the daemon
    page: str
    pin: str
    board: DeskReader | None
    tell: Callable[[Text], None]
    jar: CookieJar = field(default_factory=CookieJar)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def walk(self, act: CardTap | Visit) -> None:
        """Do it to its end, and tell what came of it; the verdict knows what should have."""
        async with self.busy:
            try:
                match act:
                    case CardTap():
                        await self._tap()
                    case Visit():
                        await self._visit(act)
            except NotDone as why:
                self.tell(Text(f"{NAME}：没有成功：{why}", f"the patroller did not succeed: {why}"))

    async def _tap(self) -> None:
        """Lay the card down and leave it until the reader has seen it."""
        if self.board is None:
            raise NotDone("there is no reader")
        before = await self._taps()
        self.board.put(Card(CARD))
        try:
            async with asyncio.timeout(TAKEN_WITHIN_S):
                while await self._taps() == before:  # noqa: ASYNC110 - the daemon tells nobody
                    await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.sleep(LAID_FOR_S)
        except TimeoutError:
            raise NotDone(f"the card was not seen within {TAKEN_WITHIN_S:.0f} s") from None
        finally:
            self.board.put(None)
        self.tell(Text(f"{NAME} 的卡已读到", "the card was read"))

    async def _taps(self) -> int:
        with suppress(NoAnswer):
            return int(((await self.ask({"verb": "reader_status"})).get("reader") or {})["taps"])
        return 0

    async def _visit(self, visit: Visit) -> None:
        address = f"{self.page}t/{visit.token}"
        phone = build_opener(ProxyHandler({}), HTTPCookieProcessor(self.jar))
        form = hidden_in(await asyncio.to_thread(fetch, phone, address, None))
        await asyncio.sleep(visit.looks_s)
        filled = {
            **form,
            **{f"i.{item}": value for item, value in visit.answers},
            "name": PATROLLER,
            "pin": self.pin,
            "hazard": visit.hazard,
        }
        await asyncio.to_thread(fetch, phone, address, urlencode(filled).encode())
        self.tell(Text(f"{NAME} 的巡查已记录", "the patroller's visit is recorded"))


def fetch(phone: OpenerDirector, address: str, form: bytes | None) -> str:
    """Called in a thread. Raises NotDone with what the page, or the network, says."""
    try:
        with phone.open(address, form, ANSWER_S) as answer:
            page: bytes = answer.read()
    except HTTPError as refused:
        raise NotDone(f"{refused.code} {' '.join(words_in(refused.read().decode()))}") from refused
    except (URLError, OSError) as error:
        raise NotDone(str(error)) from error
    return page.decode()


class _Page(HTMLParser):
    """The hidden fields of the first form, and what is said in a role of alarm."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.forms = 0
        self.words: list[str] = []
        self._is_said = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.forms += tag == "form"
        if tag == "input" and given.get("type") == "hidden" and self.forms == 1:
            self.hidden[given.get("name") or ""] = given.get("value") or ""
        self._is_said = (given.get("class") or "") in ("trouble", "sorry")

    def handle_endtag(self, _tag: str) -> None:
        self._is_said = False

    def handle_data(self, data: str) -> None:
        if self._is_said and data.strip():
            self.words.append(data.strip())


def hidden_in(page: str) -> dict[str, str]:
    """The hidden fields of a page's first form."""
    return _read(page).hidden


def words_in(page: str) -> list[str]:
    """What a page says is wrong."""
    return _read(page).words


def _read(page: str) -> _Page:
    read = _Page()
    read.feed(page)
    return read
