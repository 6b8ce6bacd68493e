"""What systemd is told and asks: ready, status, watchdog, stopping; and where the log goes.

Outside systemd every function does nothing. systemd-python is used where it is installed; it
needs a compiler to install, so without it the one datagram that it would send is sent here.
"""

import copy
import hashlib
import json
import logging
import os
import queue
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from logging.handlers import QueueHandler, QueueListener
from typing import Any

try:
    # mypy takes the folder systemd/ of the checkout for the library
    from systemd import daemon, journal  # type: ignore[attr-defined, unused-ignore]
except ImportError:  # not installed: no journal fields, the datagram from here
    daemon = journal = None

log = logging.getLogger(__name__)

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
WAITING_LINES = 1_000
LAST_WORDS_S = 1.0
STDERR = 2
PLACE = re.compile(r"%%|(?:(?P<key>[a-z][a-z0-9_]*)=)?%[-#0+]*[\d.]*[a-z]")  # of an argument, or %%
# what the journal reads in its own way
TAKEN = {"MESSAGE", "MESSAGE_ID", "PRIORITY", "UNIT", "CODE", "LOGGER"}


def notify(state: str) -> bool:
    """Send one state (`READY=1`, lines of `KEY=value`); False outside systemd.

    A notify socket that does not take it is logged: the daemon works on, systemd will judge.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    try:
        if daemon is not None:
            return bool(daemon.notify(state))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError as error:
        logging.getLogger(__name__).warning("systemd does not take %r: %s", state, error)
        return False
    return True


def ready(status: str = "") -> bool:
    """Say that start-up is over."""
    return notify(f"READY=1\nSTATUS={_one_line(status)}")


def status(text: str) -> bool:
    """Show one line in `systemctl status`."""
    return notify(f"STATUS={_one_line(text)}")


def feed() -> bool:
    """Feed the watchdog."""
    return notify("WATCHDOG=1")


def stopping() -> bool:
    """Say that the daemon is ending on purpose."""
    return notify("STOPPING=1")


def reloading(mono_us: int) -> bool:
    """Say that the configuration is being read again; `ready` ends it."""
    return notify(f"RELOADING=1\nMONOTONIC_USEC={mono_us}")


def watchdog_interval_ms(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return WatchdogSec= of the unit in ms; None when this process is not watched.

    Feed at least twice in that time.
    """
    usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
    if not usec.isdigit() or int(usec) == 0 or (pid is not None and pid != str(os.getpid())):
        return None
    return int(usec) // 1000


def is_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether stderr of this process is the journal, not a terminal or a file it inherited."""
    stream = environment.get("JOURNAL_STREAM", "")
    try:
        stat = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or replaced by something that is no file
        return False
    return stream == f"{stat.st_dev}:{stat.st_ino}"


@contextmanager
def open_log(level: int = logging.INFO) -> Iterator[None]:
    """Send the root logger to the journal with its fields where there is one, else to stderr.

    Nobody waits for a log: a thread of its own writes it, so a journal that hangs or a terminal
    that was stopped holds up no alarm. What does not fit the queue is counted and said later.
    """
    lines: queue.Queue[logging.LogRecord] = queue.Queue(WAITING_LINES)
    outbox = _Outbox(lines)
    writer = _Writer(lines, _handler(), outbox)
    logging.basicConfig(level=level, handlers=[outbox], force=True)
    writer.start()
    try:
        yield
    finally:
        writer.end()


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """Return the `key=%s` pairs of a log call as journal fields: `device=%s` gives DEVICE.

    A template whose pairs cannot be told from its other arguments gives none.
    """
    values = record.args
    places = [place for place in PLACE.finditer(str(record.msg)) if place[0] != "%%"]
    if not isinstance(values, tuple) or len(places) != len(values):
        return {}
    found = zip(places, values, strict=True)
    fields = {place["key"].upper(): str(value) for place, value in found if place["key"]}
    return {key: value for key, value in fields.items() if key not in TAKEN}


@lru_cache(maxsize=256)
def message_id(template: str) -> str:
    """Return what all lines of one kind have in common in the journal: MESSAGE_ID, 32 hex digits.

    The kind is the words before the first pair: `fault raised fault=%s bus=%s` is `fault raised`.
    """
    first = next((place for place in PLACE.finditer(template) if place["key"]), None)
    words = template if first is None else template[: first.start()]
    return hashlib.sha256(b"care-gateway: " + words.strip().encode()).hexdigest()[:32]


def _handler() -> logging.Handler:
    if journal is not None and is_journal():
        handler: logging.Handler = journal.JournalHandler(
            sender_function=_send, SYSLOG_IDENTIFIER="care-gateway"
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = _Stderr()
        handler.setFormatter(_Priority() if is_journal() else logging.Formatter(FORMAT))
    return handler


def _send(message: str, /, **fields: object) -> None:
    """Send one entry; the handler hands over the whole record, of which capitals are fields."""
    entry = {key: value for key, value in fields.items() if key.isupper()}
    if journal is not None:
        journal.send(message, **entry)


class _Outbox(QueueHandler):
    """Takes a line over as text with its fields: nothing changes it before it is written."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        line = copy.copy(record)
        line.__dict__ |= {**fields_of(record), "MESSAGE_ID": message_id(str(record.msg))}
        if isinstance(line.args, tuple):
            line.args = tuple(map(_quoted, line.args))
        line.msg, line.args = line.getMessage(), None
        if line.exc_info:
            line.exc_text = logging.Formatter().formatException(line.exc_info)
            line.exc_info = None
        return line

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Writer(QueueListener):
    """The thread behind the outbox. Whatever it hangs on, the process can end."""

    def __init__(
        self, lines: queue.Queue[logging.LogRecord], handler: logging.Handler, outbox: _Outbox
    ) -> None:
        super().__init__(lines, handler)
        self._lines: queue.Queue[Any] = lines  # None ends it
        self._outbox = outbox
        self._told = 0

    def handle(self, record: logging.LogRecord) -> None:
        self._write(record)
        lost = self._outbox.dropped - self._told
        if lost:
            self._told += lost
            words, level = "log lines lost, nobody took them count=%s", logging.WARNING
            told = log.makeRecord(log.name, level, __file__, 0, words, (lost,), None)
            self._write(self._outbox.prepare(told))  # the queue may have no room for it either

    def end(self) -> None:
        """Write what waits, for at most `LAST_WORDS_S`; the thread is a daemon."""
        thread, until_s = self._thread, time.monotonic() + LAST_WORDS_S
        try:
            self._lines.put(None, timeout=LAST_WORDS_S)
        except queue.Full:
            return
        if thread is not None:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _write(self, record: logging.LogRecord) -> None:
        for handler in self.handlers:
            handler.emit(record)  # not handle(): its lock, held by a thread that hangs, stops exit


class _Stderr(logging.Handler):
    """Writes past Python's buffer: its lock, held by a thread that hangs, would abort the exit."""

    def emit(self, record: logging.LogRecord) -> None:
        rest = f"{self.format(record)}\n".encode(errors="backslashreplace")
        with suppress(OSError):  # nobody reads any more: there is no other place to say so
            while rest:
                rest = rest[os.write(STDERR, rest) :]


class _Priority(logging.Formatter):
    """Prefixes `<3>` ... `<7>`, from which the journal takes the priority of a line."""

    def format(self, record: logging.LogRecord) -> str:
        priority = {50: 2, 40: 3, 30: 4, 20: 6}.get(record.levelno, 7)
        return f"<{priority}>" + super().format(record).replace("\n", f"\n<{priority}>")


def _quoted(value: object) -> object:
    """A text with spaces in quotes, so that key=value lines can be cut apart again."""
    if isinstance(value, str) and any(mark in value for mark in ' "=\n'):
        return json.dumps(value, ensure_ascii=False)
    return value


def _one_line(text: str) -> str:
    return " ".join(text.split())
