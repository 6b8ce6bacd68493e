"""How often the daemon has started of late: a service that keeps dying says so itself.

Each start is kept until it is an hour old. Over a reboot it counts by the wall clock; where that
cannot be trusted it is forgotten.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

from gateway.core.turn import Turn
from gateway.domain.moments import Clk, Now, carried

KEPT = "starts"
WITHIN_MS = 3_600_000
MOST = 20  # more in an hour are as bad


def note_start(turn: Turn) -> None:
    """Keep this start beside those of the last hour."""
    starts = [*recent_starts(turn.state.kept, turn.now), turn.now][-MOST:]
    turn.keep(KEPT, KEPT, json.dumps([asdict(each) for each in starts], separators=(",", ":")))


def recent_starts(kept: Mapping[tuple[str, str], str], now: Now) -> list[Now]:
    """The starts before this one that were within the last hour, oldest first.

    None when what was kept is no list of them: it is written anew at this start.
    """
    found = []
    try:
        for said in json.loads(kept.get((KEPT, KEPT), "[]")):
            start = Now(**{**said, "clk": Clk(said["clk"])})
            began = carried(start.mono_ms, start, now)
            if began is not None and 0 <= now.mono_ms - began < WITHIN_MS:
                found.append(start)
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    return found


def start_count(kept: Mapping[tuple[str, str], str], now: Now) -> int:
    """Starts within the last hour, this one among them. `kept` is as the store gave it back."""
    return len(recent_starts(kept, now)) + 1
