"""The daemon's side of the NFC reader: its taps go to the decider, its silence is a fault.

Nothing of the alarm path waits here. A reader that hangs or dies costs its own function.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping

from gateway.domain.events import FaultCleared, FaultRaised

log = logging.getLogger(__name__)

UID = re.compile(r"[0-9A-F]{2,20}")
NO_ANSWER = "no_answer"  # of `tasks.commands`: the decider did not get it
GONE, FAILED = "reader_gone", "reader_failed"
GONE_MS = 15_000  # beats come every 2 s; opening a reader on a Pi takes up to 5
FAILURES = 3
MOST = 200  # characters of what a reader says of itself
LENT_MS = 600_000  # so long a technician may have it
LOOK_EVERY_S = 1.0
STATES = ("ready", "failed", "lent", "idle")
WHY = {  # for people who read a log; `nfc doctor` says what to do
    "absent": "not plugged in",
    "denied": "no permission",
    "busy": "in use by another program",
    "mute": "does not answer",
    "lost": "fails while it reads",
}

Request = Mapping[str, object]
Answer = dict[str, object]


class Taps:
    """What the reader `name` tells. The same tag within `again_ms` is told to the decider once.

    `put` takes faults; `ask` puts a tap to the decider and returns what became of it.
    """

    def __init__(
        self,
        name: str,
        device: str,
        *,
        put: Callable[[FaultRaised | FaultCleared], None],
        ask: Callable[[Request], Awaitable[Answer]],
        mono: Callable[[], int],
        again_ms: int,
    ) -> None:
        self.taps = 0
        self._name = name
        self._device = device
        self._put = put
        self._ask = ask
        self._mono = mono
        self._again_ms = again_ms
        self._beat_ms = mono()
        self._lent_ms: int | None = None
        self._state: Request = {"state": "idle"}
        self._faults: dict[str, str] = {}
        self._last: dict[str, tuple[int, Answer]] = {}

    async def handle(self, request: Request) -> Answer:
        """Answer the reader's process."""
        match request.get("verb"):
            case "reader_beat":
                return self._beat(request)
            case "tap":
                return await self._tap(request)
            case _:
                return {"ok": False, "code": "not_allowed", "error": "here a reader tells of taps"}

    def look(self) -> None:
        """Raise and clear what is wrong with the reader by now."""
        now_ms = self._mono()
        silent_ms = now_ms - self._beat_ms
        is_gone = silent_ms >= GONE_MS
        self._settle(GONE, f"no word for {silent_ms // 1000} s" if is_gone else "")
        if is_gone:
            return  # how the reader is, nobody knows
        state, failures = self._state.get("state"), self._state.get("failures", 0)
        detail = ""
        if state == "failed" and isinstance(failures, int) and failures >= FAILURES:
            why = str(self._state.get("why"))
            detail = f"{WHY.get(why, why)}: {self._state.get('detail', '')}"
        elif self._lent_ms is not None and now_ms - self._lent_ms >= LENT_MS:
            detail = "lent to a command and not given back"
        if state == "ready" or detail:  # between two tries it is neither well nor failed anew
            self._settle(FAILED, detail)

    def end(self) -> None:
        """The house has no such reader any more: nothing can be wrong with it."""
        for code in tuple(self._faults):
            self._settle(code, "")

    def view(self) -> Answer:
        """What people are shown of it."""
        silent_ms = self._mono() - self._beat_ms
        return {
            "id": self._name,
            "device": self._device,
            "state": "gone" if silent_ms >= GONE_MS else self._state.get("state"),
            "why": self._state.get("why") or None,
            "name": self._state.get("name") or None,
            "heard_ms": silent_ms,
            "taps": self.taps,
        }

    def _beat(self, request: Request) -> Answer:
        state = request.get("state")
        if state not in STATES:
            return {"ok": False, "code": "bad_request", "error": f"'state' is one of {STATES}"}
        self._beat_ms = self._mono()
        if state != "lent":
            self._lent_ms = None
        elif self._lent_ms is None:
            self._lent_ms = self._beat_ms
        said = {key: str(request.get(key) or "")[:MOST] for key in ("why", "detail", "name")}
        self._state = {**said, "state": state, "failures": request.get("failures")}
        self.look()
        return {"ok": True, "device": self._device}

    async def _tap(self, request: Request) -> Answer:
        uid, now_ms = request.get("uid"), self._mono()
        if not isinstance(uid, str) or not UID.fullmatch(uid):
            return {"ok": False, "code": "bad_request", "error": "'uid' must say which tag, in hex"}
        key = "random" if request.get("is_random") is True else uid
        again = self._last.get(key)
        if again is not None and now_ms - again[0] < self._again_ms:
            return again[1]
        self.taps += 1
        tap = {key: value for key, value in request.items() if key in PASSED_ON and value != ""}
        answer = await self._ask({**tap, "verb": "tap", "reader": self._name})
        self._last = {
            other: told for other, told in self._last.items() if now_ms - told[0] < self._again_ms
        }
        if answer.get("code") != NO_ANSWER:
            self._last[key] = now_ms, answer
        log.info("tap reader=%s code=%s", self._name, answer.get("code"))
        return answer

    def _settle(self, code: str, detail: str) -> None:
        """Post only what changes."""
        if detail and code not in self._faults:
            self._faults[code] = detail
            self._put(FaultRaised(code, self._name, detail))
        elif not detail and self._faults.pop(code, None) is not None:
            self._put(FaultCleared(code, self._name))


PASSED_ON = frozenset({"uid", "token", "is_random", "tapped_ms"})


async def watch_reader(taps: Taps, *, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Notice a reader's process that no longer speaks."""
    while True:
        await sleep(LOOK_EVERY_S)
        taps.look()
