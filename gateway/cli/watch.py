"""`care-gateway status --watch`: the running daemon's state as a live page, or as JSON lines."""

import asyncio
import json
import sys
import time
from pathlib import Path

from gateway.cli.live import ASK_EVERY_S, Feed, follow, has_terminal, open_screen, show
from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import NoAnswer, ask

NO_TERMINAL = Text(
    "--watch 需要终端；程序请用 --watch --json（每行一个 JSON）",
    "--watch needs a terminal; for a program use --watch --json (one JSON a line)",
)
TITLE = "care-gateway status"
KEYS = (("↑↓", Text("翻看监测点", "more points")), ("q", Text("退出", "quit")))
SCROLL = 4


def watch(socket: Path, *, as_json: bool, lang: Lang) -> int:
    """Show the state until `q` or Ctrl-C; 0, or 2 where there is no terminal."""
    if as_json:
        return _print_lines(socket)
    if not has_terminal():
        print(NO_TERMINAL.in_(lang), file=sys.stderr)
        return 2
    asyncio.run(_watch(socket, lang))
    return 0


def scrolled(offset: int, key: str) -> int:
    """Return the first point to show after a key."""
    return max(0, offset + {"up": -SCROLL, "down": SCROLL}.get(key, 0))


async def _watch(socket: Path, lang: Lang) -> None:
    feed, offset = Feed(), 0
    keys = [(key, word.in_(lang)) for key, word in KEYS]
    ended = asyncio.Event()
    async with open_screen(lang, ended, on_leave=ended.set) as screen:

        async def press(key: str) -> None:
            nonlocal offset
            offset = scrolled(offset, key)
            if key == "q":
                ended.set()

        await show(
            screen,
            ended.wait(),
            page=lambda: feed.page(title=TITLE, keys=keys, offset=offset),
            press=press,
            follow=follow(socket, feed, screen.wake),
        )


def _print_lines(socket: Path) -> int:
    """Print each answer as one line until Ctrl-C or until nobody reads any more."""
    try:
        while True:
            try:
                answer = ask(socket, {"verb": "status"}, 2 * ASK_EVERY_S)
            except NoAnswer as problem:
                answer = {"ok": False, "code": "no_answer", "error": str(problem)}
            print(json.dumps(answer, ensure_ascii=False), flush=True)
            time.sleep(2 * ASK_EVERY_S)
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
