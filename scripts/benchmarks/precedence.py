"""Lets what is measured, and all that it needs, go before whatever else runs on the machine.

The kernel shares a core among sessions first (`sched_autogroup`), and each helper here is a session
of its own: `nice` would say nothing. So the weight of each session is raised. It needs root, makes
a busy machine bearable and no quiet one of it: say in the figures that it was so.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

WEIGHT = "-15"
LOOK_EVERY_S = 0.2
PROC = Path("/proc")


@contextmanager
def precedence() -> Iterator[None]:
    """Raise this process and every one that it starts meanwhile. OSError when that is forbidden."""
    raise_sessions([psutil.Process().pid])
    stopping = threading.Event()
    thread = threading.Thread(target=_raise_helpers, args=(stopping,), name="precedence")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def raise_sessions(pids: Iterable[int], proc: Path = PROC) -> None:
    for pid in pids:
        (proc / str(pid) / "autogroup").write_text(WEIGHT, "ascii")


def _raise_helpers(stopping: threading.Event) -> None:
    known: set[int] = set()
    while not stopping.wait(LOOK_EVERY_S):
        helpers = {each.pid for each in psutil.Process().children(recursive=True)}
        for pid in helpers - known:
            try:
                raise_sessions([pid])
            except OSError:
                continue  # it has ended
            known.add(pid)
