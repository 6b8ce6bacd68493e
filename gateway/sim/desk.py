"""The demo's duty page: the real console, in a process of its own, where its packages are there."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.domain.text import Lang, Text
from gateway.sim.processes import Process, running

NEEDS = ("jinja2", "starlette", "uvicorn")
LISTENS_WITHIN_S = 30.0
LOOK_EVERY_S = 0.05
LOG = "console.log"

NO_DESK = Text(
    "没有值班台网页：pip install 'care-gateway[console]'",
    "no duty page: pip install 'care-gateway[console]'",
)


@dataclass(frozen=True, slots=True)
class Desk:
    """A console that listens at `url`."""

    url: str
    process: Process


@asynccontextmanager
async def open_desk(folder: Path, socket: Path, lang: Lang) -> AsyncIterator[Desk | None]:
    """The console on a free port of this machine; None where its packages are not installed.

    One that does not come to listen within half a minute is also None: its log says why.
    """
    if any(find_spec(name) is None for name in NEEDS):
        yield None
        return
    argv = [
        *(sys.executable, "-u", "-m", "gateway", "console", "--listen", "127.0.0.1:0"),
        *("--socket", str(socket), "--lang", lang.value),
    ]
    async with running(argv, folder / LOG) as process:
        url = await _address(process, folder / LOG)
        yield Desk(url, process) if url else None


async def _address(process: Process, log: Path) -> str:
    """The address that it prints as its first line, empty if it never does."""
    try:
        async with asyncio.timeout(LISTENS_WITHIN_S):
            while process.returncode is None:
                if url := _printed(log):
                    return url
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        pass
    return ""


def _printed(log: Path) -> str:
    """The address in a log, once its line is whole."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    whole = (line.strip() for line in lines if line.endswith("\n"))
    return next((line for line in whole if line.startswith("http://")), "")
