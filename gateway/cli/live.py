"""A live page in a terminal: keys without Enter, at most four paints a second, all put back after.

While a screen is open the terminal gives keys one by one and without echo, and the page has the
alternate screen; what stood there before is there again when the block is left, however it is left.
"""

import asyncio
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text as Styled

from gateway.cli.page import Page, lines_of
from gateway.cli.saying import UNSAID, Part
from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import NoAnswer, request

T = TypeVar("T")

ASK_EVERY_S = 0.5
ANSWER_WITHIN_S = 1.0  # with the pause before it: a daemon that hangs is noticed within 2 s
PAINT_EVERY_S = 0.5
SHORTEST_PAINT_S = 0.25
LEAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

ARROWS = {b"A": "up", b"B": "down", b"5~": "up", b"6~": "down"}


def has_terminal() -> bool:
    """True when a page can be shown and keys can be read here."""
    is_dumb = os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")
    return sys.stdin.isatty() and sys.stdout.isatty() and not is_dumb


def keys_in(data: bytes) -> list[str]:
    """Return the keys in what a terminal sent: letters in lower case, `up` and `down`.

    Other escape sequences, control characters and what is not ASCII are no keys of ours.
    """
    keys, at = [], 0
    while at < len(data):
        if data[at] == 0x1B and data[at + 1 : at + 2] in (b"[", b"O"):
            end = at + 2
            while end < len(data) and not 0x40 <= data[end] <= 0x7E:
                end += 1
            if arrow := ARROWS.get(data[at + 2 : end + 1]):
                keys.append(arrow)
            at = end + 1
        else:
            if 0x20 < data[at] < 0x7F:
                keys.append(chr(data[at]).lower())
            at += 1
    return keys


@contextmanager
def cbreak(fd: int) -> Iterator[None]:
    """Keys one by one and without echo while the block runs; Ctrl-C and Ctrl-Z stay signals."""
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        with suppress(termios.error):  # a terminal that has gone needs nothing back
            termios.tcsetattr(fd, termios.TCSAFLUSH, before)


@dataclass(slots=True)
class Screen:
    """The terminal while it is ours. `keys` are pressed ones; set `wake` to paint soon."""

    console: Console
    lang: Lang
    fd: int
    ended: asyncio.Event  # set when the terminal has gone
    keys: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    taken: ExitStack = field(default_factory=ExitStack)
    live: Live | None = None

    def take(self) -> None:
        """Make the terminal ours."""
        self.taken.enter_context(cbreak(self.fd))
        live = Live(
            console=self.console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.live = self.taken.enter_context(live)

    def give_back(self) -> None:
        """Make the terminal as it was."""
        self.live = None
        with suppress(OSError):  # nothing can be given back to a terminal that has gone
            self.taken.close()

    def sleep(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was; `fg` brings the page back."""
        self.give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.take()
        self.wake.set()

    def paint(self, page: Page) -> None:
        if self.live is None:
            return
        try:
            # Not what COLUMNS and LINES say: they do not change with the window.
            size = ConsoleDimensions(*os.get_terminal_size(sys.stdout.fileno()))
            self.console.size = size
            lines = lines_of(page, size.width, size.height, self.lang)
            whole = Styled("\n", no_wrap=True, overflow="crop").join(lines)
            self.live.update(whole, refresh=True)
        except OSError:  # the terminal has gone
            self.ended.set()

    def read(self) -> None:
        """Take what the terminal has for us; at its end there is nobody left to watch."""
        try:
            data = os.read(self.fd, 1024)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self.fd)
            self.ended.set()
        for key in keys_in(data):
            self.keys.put_nowait(key)


@asynccontextmanager
async def open_screen(
    lang: Lang,
    ended: asyncio.Event,
    *,
    on_leave: Callable[[], None],
    on_sleep: Callable[[], None] | None = None,
) -> AsyncIterator[Screen]:
    """The terminal as a screen while the block runs; `ended` is set when the terminal goes.

    `on_leave` is called for Ctrl-C and the other signals that end a program, `on_sleep` for
    Ctrl-Z; without it the program goes to sleep as others do.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    screen = Screen(console, lang, sys.stdin.fileno(), ended)
    loop = asyncio.get_running_loop()
    signals: dict[int, Callable[[], None]] = dict.fromkeys(LEAVING, on_leave)
    signals[signal.SIGTSTP] = on_sleep or screen.sleep
    signals[signal.SIGWINCH] = screen.wake.set
    try:
        for number, handle in signals.items():
            loop.add_signal_handler(number, handle)
        screen.take()
        loop.add_reader(screen.fd, screen.read)
        yield screen
    finally:
        loop.remove_reader(screen.fd)
        screen.give_back()
        for number in signals:
            loop.remove_signal_handler(number)


# --- the daemon's answers -------------------------------------------------------------------


@dataclass(slots=True)
class Feed:
    """The newest answer of the daemon, how old it is, and since when there is no newer one."""

    answer: Part = field(default_factory=dict)
    got_at: float = 0.0  # monotonic
    lost_at: float | None = None  # monotonic
    lost_since: str = ""  # time of day
    why: Text = UNSAID

    def take(self, answer: Part) -> None:
        self.answer, self.got_at = answer, time.monotonic()
        self.lost_at, self.lost_since, self.why = None, "", UNSAID

    def lose(self, why: Text) -> None:
        self.why = why
        if self.lost_at is None:
            self.lost_at, self.lost_since = time.monotonic(), time.strftime("%H:%M:%S")

    def page(self, **more: Any) -> Page:
        """The page of this moment; `more` are its further fields."""
        now = time.monotonic()
        return Page(
            answer=self.answer,
            data_age_s=now - self.got_at if self.answer else 0.0,
            lost_since=self.lost_since,
            lost_s=now - self.lost_at if self.lost_at is not None else 0.0,
            why_lost=self.why,
            **more,
        )


def _without(path: str, said: Text) -> Text:
    """What is said of the socket, without its path: the page has one line."""
    return Text(*(each.removeprefix(path).lstrip(":： ") for each in (said.zh, said.en)))


async def follow(socket: Path, feed: Feed, wake: asyncio.Event) -> None:
    """Ask the daemon for its state again and again, whatever becomes of it."""
    while True:
        try:
            answer = await request(socket, {"verb": "status"}, ANSWER_WITHIN_S)
            if not answer.get("ok"):
                raise NoAnswer(f"{answer.get('code', '')}: {answer.get('error', '')}")
        except NoAnswer as problem:
            feed.lose(_without(f"{socket}", problem.text))
        else:
            feed.take(answer)
        wake.set()
        await asyncio.sleep(ASK_EVERY_S)


async def show(
    screen: Screen,
    work: Coroutine[Any, Any, T],
    *,
    page: Callable[[], Page],
    press: Callable[[str], Awaitable[None]],
    follow: Coroutine[Any, Any, None],
) -> T:
    """Show the page and take keys until `work` is done; return what it returns, raise what it does.

    Every key is a task of its own: one that takes its time does not hold up the next.
    """
    try:
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(follow),
                group.create_task(_paint(screen, page)),
                group.create_task(_press(screen, press)),
            ]
            result = await work
            for helper in helpers:
                helper.cancel()
    except BaseExceptionGroup as failed:
        raise _first(failed) from None
    return result


def _first(failed: BaseException) -> BaseException:
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    return failed


async def _paint(screen: Screen, page: Callable[[], Page]) -> None:
    while True:
        screen.wake.clear()
        screen.paint(page())
        await asyncio.sleep(SHORTEST_PAINT_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(PAINT_EVERY_S - SHORTEST_PAINT_S):
                await screen.wake.wait()


async def _press(screen: Screen, press: Callable[[str], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as pressed:
        while True:
            pressed.create_task(_do(screen, press, await screen.keys.get()))


async def _do(screen: Screen, press: Callable[[str], Awaitable[None]], key: str) -> None:
    await press(key)
    screen.wake.set()
