"""What of shelving, work orders and noise outlives a restart: as JSON and back.

What is damaged or of another version is left out: an alarm too many sounds, none too few.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from gateway.domain.inhibits import OutOfService, Shelving
from gateway.domain.kept import Kept
from gateway.domain.moments import Clk, Now, rebased
from gateway.domain.noise import Days, Flood, Noise

SHELVED, OUT, FLOOD, BUSY = "shelved", "out_of_service", "flood", "noise"
THE_FLOOD = "now"  # the key of the one flood


def to_json(what: Shelving | OutOfService | Flood) -> str:
    return json.dumps(asdict(what), ensure_ascii=False, separators=(",", ":"))


def days_to_json(days: Days) -> str:
    return json.dumps({str(day): count for day, count in days.items()}, separators=(",", ":"))


def shelved_from(kept: Iterable[Kept], now: Now) -> tuple[Mapping[str, Shelving], tuple[Kept, ...]]:
    """The shelvings that still run, and those that ended while nobody looked.

    After a reboot without a clock to trust nobody knows how long it was: all end.
    """
    running: dict[str, Shelving] = {}
    ended: list[Kept] = []
    for each in kept:
        if each.kind != SHELVED or each.body is None:
            continue
        found = _shelving(each.body)
        at = None if found is None else rebased(found.at, now)
        if found is None or at is None:
            ended.append(each)
            continue
        until = found.until_ms - found.at.mono_ms + at.mono_ms
        if until <= now.mono_ms:
            ended.append(each)
        else:
            running[found.rule] = replace(found, at=at, until_ms=until)
    return running, tuple(ended)


def _shelving(body: str) -> Shelving | None:
    try:
        said = json.loads(body)
        return Shelving(
            str(said["rule"]), str(said["by"]), str(said["why"]), _now(said["at"]),
            int(said["until_ms"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return None


def out_of_service_from(kept: Iterable[Kept]) -> Mapping[str, OutOfService]:
    """What is out of service, by subject."""
    found: dict[str, OutOfService] = {}
    for each in kept:
        if each.kind != OUT or each.body is None:
            continue
        try:
            said = json.loads(each.body)
            subject, by, why, order = (
                str(said[name]) for name in ("subject", "by", "why", "order")
            )
            found[subject] = OutOfService(subject, by, why, order, _now(said["at"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def noise_from(kept: Iterable[Kept], now: Now) -> Noise:
    """The flood, if it goes on in this boot, and the counts of the days."""
    flood = None
    busy: dict[str, Days] = {}
    for each in kept:
        try:
            if each.kind == FLOOD and each.body is not None:
                said = json.loads(each.body)
                flood = Flood(**{**said, "began": _now(said["began"])})
            elif each.kind == BUSY and each.body is not None:
                said = json.loads(each.body)
                busy[each.key] = {int(day): int(count) for day, count in said.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    is_of_this_boot = flood is not None and flood.began.boot == now.boot
    return Noise(flood=flood if is_of_this_boot else None, busy=busy)


def _now(said: Any) -> Now:
    return Now(**{**said, "clk": Clk(said["clk"])})
