"""An event loop whose time is simulated: waiting costs nothing, so a day passes in minutes.

For everything that lives in memory. A loop that waits for nothing that could ever happen raises
`NothingLeft` instead of standing still.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NothingLeft(RuntimeError):
    """Everybody waits, and no timer is set."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer as soon as there is nothing else to do."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Return simulated seconds since the start."""
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Jump(selectors.DefaultSelector):
    """Never waits: the time that it should wait for has passed when it returns."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return nothing: memory has no files to wait for."""
        if timeout is None:
            raise NothingLeft
        if timeout > 0:
            self._loop.jump(timeout)
        return []


def run_simulated(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)
