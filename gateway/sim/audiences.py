"""Three simulated audiences: each is sent an alarm and looks at it after a while, or stays silent.

What the platform does for real people (docs/contract/platform-duties.md, 8): a receipt for each
step of each audience, and all of them once more when a gateway comes back.
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

REMEMBERED = 2_000  # receipts that a gateway is told again when it comes back
Receipt = dict[str, object]


@dataclass(frozen=True, slots=True)
class Habit:
    """Seconds from the alarm to each receipt; None = it never comes."""

    stored: float | None
    sent: float | None
    seen: float | None


SILENT = Habit(None, None, None)
USUAL: Mapping[str, Habit] = {
    "inst": Habit(0.0, 0.5, 4.0),
    "civil": Habit(0.0, 1.0, 12.0),
    "fire": Habit(0.0, 1.0, 8.0),
}


@dataclass(slots=True)
class Audiences:
    """Who answers how, and what they have answered so far."""

    habits: Mapping[str, Habit]
    given: deque[tuple[float, str, Receipt]] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED)
    )

    def hear(self, gateway: str, alarm: Mapping[str, Any]) -> list[tuple[float, Receipt]]:
        """Return the receipts of an alarm that was raised, each with its delay in seconds."""
        now_ms, now = time.time_ns() // 1_000_000, time.monotonic()
        found: list[tuple[float, Receipt]] = []
        for name in alarm.get("aud", ()):
            habit = self.habits.get(name, SILENT)
            for level in ("stored", "sent", "seen"):
                delay = getattr(habit, level)
                if delay is None:
                    continue
                receipt: Receipt = {
                    "v": 1, "t": "receipt", "alarm": alarm["alarm"], "lvl": level, "aud": name,
                    "at": now_ms + int(1000 * delay),
                }  # fmt: skip
                found.append((delay, receipt))
                self.given.append((now + delay, gateway, receipt))
        return found

    def again(self, gateway: str) -> list[Receipt]:
        """Return what a gateway that comes back may have missed."""
        now = time.monotonic()
        return [receipt for due, to, receipt in self.given if to == gateway and due <= now]


def read_habits(options: Iterable[str]) -> dict[str, Habit]:
    """The usual audiences, changed by `fire=silent` or `inst=0/0.5/4` (stored/sent/seen, in s).

    ValueError says what is wrong.
    """
    habits = dict(USUAL)
    for option in options:
        name, _, said = option.partition("=")
        if name not in USUAL:
            raise ValueError(f"no audience {name!r}: use one of {', '.join(USUAL)}")
        if said == "silent":
            habits[name] = SILENT
            continue
        delays = [None if part == "-" else float(part) for part in said.split("/")]
        if len(delays) != 3:
            raise ValueError(f"{option!r}: write {name}=stored/sent/seen in seconds, or silent")
        habits[name] = Habit(*delays)
    return habits
