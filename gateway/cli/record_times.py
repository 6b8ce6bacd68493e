"""When a record was made, as the anchors of the log tell afterwards; nothing is rewritten."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.timekeeping import Anchor, bracket, corrected
from gateway.domain.moments import Now
from gateway.domain.records import Lane
from gateway.store.reader import Entry, entries


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What is known by now, in UTC ms; all None where the record's own time is the best there is.

    A moment with its error, or bounds for a boot that never was synchronised.
    """

    utc_ms: int | None = None
    err_ms: int | None = None
    earliest_ms: int | None = None
    latest_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Anchors:
    """The anchors of a log by boot; boots in the order of their starts."""

    boots: Sequence[str] = ()
    of: Mapping[str, Sequence[Anchor]] = field(default_factory=dict)

    def afterwards(self, at: Now) -> Afterwards:
        """Return what they say about a moment."""
        mine = self.of.get(at.boot, ())
        better = corrected(at, mine)
        if better is not at:
            return Afterwards(better.utc_ms, better.err_ms)
        if mine or at.is_trusted or at.boot not in self.boots:
            return Afterwards()
        place = self.boots.index(at.boot)
        before = [one for boot in self.boots[:place] for one in self.of.get(boot, ())]
        after = [one for boot in self.boots[place + 1 :] for one in self.of.get(boot, ())]
        earliest, latest = bracket(at, before[-1] if before else None, after[0] if after else None)
        return Afterwards(earliest_ms=earliest, latest_ms=latest)


def read_anchors(directory: Path) -> Anchors:
    """Those of core.db; none when it cannot be read."""
    of: dict[str, list[Anchor]] = {}
    boots: list[str] = []
    with suppress(sqlite3.Error, OSError):
        core = directory / "core.db"
        boots = [each.record.at.boot for each in entries(core, Lane.B, "boot") if each.is_sound]
        for entry in entries(core, Lane.B, "anchor"):
            if entry.is_sound:
                anchor = _anchor(entry)
                of.setdefault(anchor.boot, []).append(anchor)
    return Anchors(tuple(dict.fromkeys([*boots, *of])), of)


def _anchor(entry: Entry) -> Anchor:
    said = json.loads(entry.record.body)
    data = said["data"]
    return Anchor(said["boot"], data["mono"], data["utc"], data["err"])
