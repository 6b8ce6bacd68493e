"""What the daemon last said, how old it is, and why there is nothing newer.

`follow` asks the daemon's socket for ever; pages read `Feed` and wait for its next change.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.drivers.sockets import Message, NoAnswer, NoDaemon

log = logging.getLogger(__name__)

AGAIN_S = 0.5  # between two tries to reach the daemon

Ask = Callable[[Mapping[str, object]], Awaitable[Message]]
Connect = Callable[[], AbstractAsyncContextManager[Ask]]


class Lost(StrEnum):
    """Why there is nothing newer."""

    STARTING = "starting"  # nothing was asked yet
    NO_DAEMON = "no_daemon"
    NO_ANSWER = "no_answer"


@dataclass(slots=True)
class Feed:
    """The newest answer; moments are monotonic seconds."""

    snapshot: Mapping[str, Any] = field(default_factory=dict)
    got_s: float | None = None
    lost: Lost | None = Lost.STARTING
    lost_s: float = field(default_factory=time.monotonic)
    version: int = 0
    _next: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, snapshot: Mapping[str, Any]) -> None:
        if self.lost is not None:
            log.info("the daemon answers")
        self.snapshot, self.got_s, self.lost = snapshot, time.monotonic(), None
        self.wake()

    def lose(self, why: Lost, words: str) -> None:
        """Say it once, when it changes."""
        if self.lost is why:
            return
        log.warning("the daemon is lost why=%s", words)
        if self.lost is None:
            self.lost_s = time.monotonic()
        self.lost = why
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self.version += 1
        self._next.set()
        self._next = asyncio.Event()

    async def later_than(self, version: int, within_s: float) -> None:
        """Return when something newer than `version` is there, at the latest after `within_s`."""
        if version != self.version:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._next.wait()


async def follow(feed: Feed, connect: Connect) -> None:
    """Ask for what is newer, again and again, whatever becomes of the daemon."""
    while True:
        try:
            async with connect() as ask:
                after: object = None
                while True:
                    answer = await ask({"verb": "watch", "after": after})
                    if not answer.get("ok"):
                        raise NoAnswer(f"{answer.get('code', '')}: {answer.get('error', '')}")
                    after = answer.get("n")
                    feed.take(answer)
        except NoDaemon as problem:
            feed.lose(Lost.NO_DAEMON, str(problem))
        except NoAnswer as problem:
            feed.lose(Lost.NO_ANSWER, str(problem))
        await asyncio.sleep(AGAIN_S)
