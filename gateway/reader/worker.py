"""The reader's process: sense, read, tell; let go and begin anew after every failure."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gateway.reader.frontend import Frontend, ReaderFailed, guarded, is_there, open_frontend
from gateway.reader.lending import asked, hand_over, is_back
from gateway.reader.presence import Presence, take
from gateway.reader.reports import Condition, Reports
from gateway.reader.tags import key_of, look, sense

SENSE_EVERY_S = 0.2
IDLE_S = 1.0
ABSENT_S = 1.0  # plugged in again, it is found within this
BACKOFF_S = (0.2, 1.0, 2.0, 5.0, 10.0)

Wait = Callable[[float], bool]  # False: the process shall end


@dataclass(slots=True)
class Watched:
    """What outlives the opening and closing of the reader."""

    presence: Presence = field(default_factory=Presence)
    failures: int = 0
    why: str = ""

    def fail(self, why: str) -> None:
        self.failures, self.why = self.failures + 1, why

    def pause_s(self) -> float:
        """How long to wait before the next try to open it."""
        if self.failures and self.why == "absent":
            return ABSENT_S
        return BACKOFF_S[min(self.failures, len(BACKOFF_S)) - 1] if self.failures else 0.0


def work(
    reports: Reports, *, wait: Wait, lender: socket.socket | None, mono: Callable[[], int]
) -> None:
    """Read from the device that the daemon names until `wait` says that it is over."""
    watched = Watched()
    reports.beat(Condition("idle"))
    while wait(watched.pause_s() if reports.device else IDLE_S):
        borrower = asked(lender)
        if borrower is not None:
            _lend(borrower, reports, wait)
            watched.failures = 0
            continue
        device = reports.device
        if device is None:
            reports.beat(Condition("idle"))
            continue
        try:
            if not guarded(partial(is_there, device)):
                raise ReaderFailed("absent", f"{device} is not plugged in")
            with open_frontend(device) as reader:
                borrower = _sense(reader, reports, watched, wait, lender, mono)
        except ReaderFailed as error:
            watched.fail(error.why)
            reports.beat(Condition("failed", error.why, error.detail, watched.failures))
        else:
            if borrower is not None:
                _lend(borrower, reports, wait)


def _sense(
    reader: Frontend,
    reports: Reports,
    watched: Watched,
    wait: Wait,
    lender: socket.socket | None,
    mono: Callable[[], int],
) -> socket.socket | None:
    """Tell of every tap until somebody wants the reader, who is returned, or it is to be another.

    A tap that could not be read to its end is still new when the reader is open again.
    """
    device = reports.device
    while reports.device == device and wait(SENSE_EVERY_S):
        target = sense(reader)
        watched.failures = 0
        key = None if target is None else key_of(target)
        presence, is_new = take(watched.presence, key, mono())
        if is_new:
            reports.tap(look(reader, target), mono())
        watched.presence = presence
        reports.beat(Condition("ready", name=f"{reader.name} at {reader.path}"))
        borrower = asked(lender)
        if borrower is not None:
            return borrower
    return None


def _lend(borrower: socket.socket, reports: Reports, wait: Wait) -> None:
    """The reader is closed: whoever asked may have it until they hang up."""
    with borrower:
        if not hand_over(borrower, reports.device):
            return
        while not is_back(borrower):
            reports.beat(Condition("lent"))
            if not wait(SENSE_EVERY_S):
                return
