"""A program in a pseudo-terminal, as a person sits before it: keys in, the painted page out."""

import asyncio
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon.rig import ENVIRONMENT, PATIENCE_S, ROOT, until

SEQUENCES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][0-9A-B]|\x1b[=>]")
HOME, ALTERNATE, NORMAL = b"\x1b[H", b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """What the program wrote so far, and the line settings as they were before it began."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, line: int) -> None:
        self.process, self.line = process, line
        self.before = termios.tcgetattr(line)
        self.written = b""
        self._master = master
        threading.Thread(target=self._read, daemon=True).start()

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        set_size(self._master, columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def page(self) -> str:
        """The last whole page that was painted."""
        paints = self.written.split(HOME)
        return plain(paints[-2] if len(paints) > 1 else b"")

    def text(self) -> str:
        """All that was ever written, without colours."""
        return plain(self.written)

    def after(self) -> str:
        """What stands on the normal screen since the page has gone."""
        return plain(self.written.rsplit(NORMAL, 1)[-1])

    async def shows(self, words: str | Callable[[str], object], what: str = "") -> str:
        """Return the first page that has these words, or for which a condition holds."""
        holds = words if callable(words) else lambda page: words in page
        try:
            return await until(
                lambda: page if holds(page := self.page()) else None, what or str(words)
            )
        except AssertionError as late:
            raise AssertionError(f"{late}; the page is\n{self.text()[-3000:]}") from None

    async def ended(self) -> int:
        """Return the exit code once the program has ended; the line is then as it was."""
        code = await asyncio.to_thread(self.process.wait, 2 * PATIENCE_S)
        await until(lambda: self.is_given_back, "the terminal as it was")
        return code

    @property
    def is_given_back(self) -> bool:
        """The line settings are those before, the normal screen shows, the cursor is seen."""
        shown = self.written
        return (
            termios.tcgetattr(self.line) == self.before
            and shown.rfind(NORMAL) >= shown.rfind(ALTERNATE)
            and shown.rfind(b"\x1b[?25h") >= shown.rfind(b"\x1b[?25l")
        )

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the test has closed it
                return
            self.written += data


def plain(data: bytes) -> str:
    return SEQUENCES.sub(b"", data).decode(errors="replace").replace("\r\n", "\n")


def set_size(fd: int, columns: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextmanager
def open_terminal(
    *arguments: str, columns: int = 100, rows: int = 40, folder: Path | None = None
) -> Iterator[Terminal]:
    """`care-gateway` with these arguments in a terminal of its own; killed at the end."""
    master, line = os.openpty()
    set_size(master, columns, rows)
    extra = {"TMPDIR": str(folder)} if folder else {}

    environment = {**ENVIRONMENT, "TERM": "xterm-256color", "LANG": "C.UTF-8", **extra}
    environment["COLUMNS"] = "80"  # as some shells export it; the window's own size counts
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "gateway", *arguments],
        stdin=line, stdout=line, stderr=line, cwd=ROOT, env=environment,
    )  # fmt: skip
    try:
        yield Terminal(process, master, line)
    finally:
        process.kill()
        process.wait()
        os.close(line)
        os.close(master)
