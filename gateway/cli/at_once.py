"""Several things at the same time, and no longer than they are waited for."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


def at_once(jobs: Sequence[Callable[[], T]], within_s: float) -> list[T | None]:
    """What each job returns, in their order; None for one that is not over in time.

    In threads that nobody waits for: a call into a disk or a name server that hangs cannot be
    ended. A job raises nothing: it says in its result what went wrong.
    """
    begun = [_Begun(job) for job in jobs]
    deadline = time.monotonic() + within_s
    for each in begun:
        each.over.wait(max(0.0, deadline - time.monotonic()))
    return [each.result if each.over.is_set() else None for each in begun]


class _Begun(Generic[T]):
    """A job that is under way in a thread of its own."""

    def __init__(self, job: Callable[[], T]) -> None:
        self.over = threading.Event()
        self.result: T | None = None
        threading.Thread(target=self._run, args=(job,), daemon=True).start()

    def _run(self, job: Callable[[], T]) -> None:
        self.result = job()
        self.over.set()
