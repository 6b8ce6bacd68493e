"""What systemd is told and asks: ready, status, watchdog, stopping; and where the log goes.

Outside systemd every function does nothing. systemd-python is used where it is installed; it
needs a compiler to install, so without it the one datagram that it would send is sent here.
"""

import logging
import os
import socket
import sys
from collections.abc import Mapping

try:
    # mypy takes the folder systemd/ of the checkout for the library
    from systemd import daemon, journal  # type: ignore[attr-defined, unused-ignore]
except ImportError:  # not installed: no journal fields, the datagram from here
    daemon = journal = None

FORMAT = "%(levelname)s %(name)s: %(message)s"


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


def open_log(level: int = logging.INFO) -> None:
    """Send the root logger to the journal with its fields where there is one, else to stderr."""
    if journal is not None and is_journal():
        handler: logging.Handler = journal.JournalHandler(SYSLOG_IDENTIFIER="care-gateway")
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(_Priority() if is_journal() else logging.Formatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class _Priority(logging.Formatter):
    """Prefixes `<3>` ... `<7>`, from which the journal takes the priority of a line."""

    def format(self, record: logging.LogRecord) -> str:
        priority = {50: 2, 40: 3, 30: 4, 20: 6}.get(record.levelno, 7)
        return f"<{priority}>" + super().format(record).replace("\n", f"\n<{priority}>")


def _one_line(text: str) -> str:
    return " ".join(text.split())
