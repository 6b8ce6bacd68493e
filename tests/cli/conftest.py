import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from gateway.drivers.sockets import Message, Peer, serve


@pytest.fixture
def answering() -> Callable[[Callable[[Message], Message]], AbstractContextManager[Path]]:
    """A daemon's socket in a thread of its own; gives its path."""
    return _answering


@contextmanager
def _answering(make: Callable[[Message], Message]) -> Iterator[Path]:
    """A daemon's socket in a thread of its own; gives its path."""
    ready, stop = threading.Event(), threading.Event()

    async def handle(message: Message, peer: Peer) -> Message:
        return make(message)

    async def run(path: Path) -> None:
        async with serve(path, handle):
            ready.set()
            await asyncio.to_thread(stop.wait)

    with tempfile.TemporaryDirectory(prefix="gw") as directory:
        path = Path(directory) / "daemon.sock"
        thread = threading.Thread(target=lambda: asyncio.run(run(path)))
        thread.start()
        assert ready.wait(30)
        try:
            yield path
        finally:
            stop.set()
            thread.join()
