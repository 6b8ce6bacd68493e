"""What the reader's process tells the daemon: that it lives, how the reader is, and every tap."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.drivers.sockets import NoAnswer
from gateway.reader.tags import Seen

log = logging.getLogger(__name__)

BEAT_MS = 2_000
KEEP_MS = 60_000  # a tap that nobody took: whoever tapped has gone
MOST_TAPS = 32


@dataclass(frozen=True, slots=True)
class Condition:
    """How the reader is. `state` is ready, failed, lent or idle (none is configured).

    `why` as in `frontend.ReaderFailed`; `failures` in a row.
    """

    state: str
    why: str = ""
    detail: str = ""
    failures: int = 0
    name: str = ""


Ask = Callable[[Mapping[str, object]], Mapping[str, Any]]  # raises NoAnswer


class Reports:
    """The way to the daemon. `device`: what it says shall be read from, None for nothing.

    A daemon that is away for a while costs nothing: taps wait, beats are repeated.
    """

    def __init__(
        self,
        ask: Ask,
        mono: Callable[[], int],
        feed: Callable[[], object],
        beat_ms: int = BEAT_MS,
    ) -> None:
        self.device: str | None = None
        self._ask = ask
        self._mono = mono
        self._feed = feed
        self._told = Condition("")
        self._told_ms = -beat_ms
        self._beat_ms = beat_ms
        self._is_heard = True
        self._taps: deque[tuple[Seen, int]] = deque(maxlen=MOST_TAPS)

    def beat(self, condition: Condition) -> None:
        """Say how it is: at once when that changed, else every two seconds."""
        self._send_taps()
        is_changed = condition != self._told
        if not is_changed and self._mono() - self._told_ms < self._beat_ms:
            return
        self._feed()
        if (condition.state, condition.why) != (self._told.state, self._told.why):
            log.info("reader state=%s why=%s detail=%s name=%s", condition.state, condition.why,
                     condition.detail, condition.name)  # fmt: skip
        self._told, self._told_ms = condition, self._mono()
        answer = self._try({
            "verb": "reader_beat",
            "state": condition.state,
            "why": condition.why,
            "detail": condition.detail[:200],
            "failures": condition.failures,
            "name": condition.name,
        })  # fmt: skip
        if answer is not None:
            device = answer.get("device")
            self.device = device if isinstance(device, str) and device else None

    def tap(self, seen: Seen, at_ms: int) -> None:
        """Tell of a tap as soon as somebody listens."""
        self._taps.append((seen, at_ms))
        self._send_taps()

    def _send_taps(self) -> None:
        while self._taps:
            seen, at_ms = self._taps[0]
            if self._mono() - at_ms < KEEP_MS and self._try(_tap(seen, at_ms)) is None:
                return
            self._taps.popleft()

    def _try(self, message: Mapping[str, object]) -> Mapping[str, Any] | None:
        try:
            answer = self._ask(message)
        except NoAnswer as error:
            if self._is_heard:
                log.warning("the daemon does not answer why=%s", error)
            self._is_heard = False
            return None
        if not self._is_heard:
            log.info("the daemon answers again")
        self._is_heard = True
        return answer


def _tap(seen: Seen, at_ms: int) -> Mapping[str, object]:
    return {
        "verb": "tap",
        "uid": seen.uid,
        "kind": seen.kind,
        "token": seen.token,
        "is_random": seen.is_random,
        "tapped_ms": at_ms,
    }
