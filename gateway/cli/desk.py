"""The reader for a command: borrowed from its process, so that nobody has to stop anything."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gateway.cli.tag_words import DONE, READERS, TAGS, Refused
from gateway.domain.text import Lang
from gateway.drivers.sockets import NoAnswer, ask
from gateway.reader.frontend import Frontend, ReaderFailed, open_frontend
from gateway.reader.lending import borrow
from gateway.reader.writing import TagRefused

T = TypeVar("T")

LOOK_EVERY_S = 0.2


@contextmanager
def open_desk(device: str | None, *, lend: Path, socket: Path) -> Iterator[Frontend]:
    """Open the reader: `device`, else what the reader's process lends, else what the daemon names.

    Raises Refused, also for what fails inside.
    """
    try:
        with borrow(lend) as lent:
            where = device or lent or _configured(socket)
            if where is None:
                raise Refused("none", READERS["none"])
            with open_frontend(where) as reader:
                yield reader
    except ReaderFailed as failed:
        raise Refused(failed.why, READERS[failed.why], failed.detail) from failed
    except TagRefused as refused:
        raise Refused(refused.code, TAGS[refused.code], refused.detail) from refused
    except OSError as error:  # TimeoutError among them: the lender does not answer
        raise Refused("kept", READERS["kept"]) from error


def with_tag(do: Callable[[], T], *, wait_s: float, lang: Lang) -> T:
    """Do it as soon as a tag lies there, for at most `wait_s`; say that one is waited for."""
    deadline = time.monotonic() + wait_s
    has_asked = False
    while True:
        try:
            return do()
        except TagRefused as refused:
            if refused.code != "no_tag" or time.monotonic() >= deadline:
                raise
        if not has_asked:
            print(DONE["put_down"].in_(lang), file=sys.stderr)
            has_asked = True
        time.sleep(LOOK_EVERY_S)


def _configured(socket: Path) -> str | None:
    try:
        reader = ask(socket, {"verb": "reader_status"}).get("reader")
    except NoAnswer:
        return None
    return str(reader["device"]) if reader else None
