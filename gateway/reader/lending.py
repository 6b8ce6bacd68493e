"""One reader, two programs: the reader's process hands it to a technician's command for a while.

The command connects to a socket of the process; when it is told the device, the process has let go
of it. It is given back by closing the connection, which the kernel does for a command that dies.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BORROW_WITHIN_S = 10.0


@contextmanager
def open_lender(path: Path | None) -> Iterator[socket.socket | None]:
    """Listen for those who want the reader; without a path nobody can ask. Raises OSError."""
    if path is None:
        yield None
        return
    with suppress(FileNotFoundError):
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(path))
        path.chmod(0o660)
        listener.listen(4)
        listener.setblocking(False)
        try:
            yield listener
        finally:
            with suppress(FileNotFoundError):
                path.unlink()


def asked(listener: socket.socket | None) -> socket.socket | None:
    """Return whoever asks for the reader now, if anybody does."""
    if listener is None:
        return None
    try:
        borrower, _ = listener.accept()
    except OSError:  # nobody, or gone again
        return None
    borrower.setblocking(False)
    return borrower


def hand_over(borrower: socket.socket, device: str | None) -> bool:
    """Say that the device is free; False when the borrower has gone."""
    answer = json.dumps({"device": device}).encode() + b"\n"
    try:
        return borrower.send(answer) == len(answer)
    except OSError:
        return False


def is_back(borrower: socket.socket) -> bool:
    """Whether the borrower has hung up. What it says meanwhile is nothing to us."""
    try:
        return not borrower.recv(4096)
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextmanager
def borrow(path: Path) -> Iterator[str | None]:
    """Have the reader to oneself while the block runs.

    Yields its device; None when no process has it, or it has none. Raises TimeoutError when the
    process does not let go.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lender:
        lender.settimeout(BORROW_WITHIN_S)
        try:
            lender.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            yield None
            return
        with lender.makefile("rb") as lines:
            line = lines.readline(4096)
        yield json.loads(line).get("device") if line else None
