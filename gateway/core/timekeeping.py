"""How far the wall clock is believed, and how records are put right afterwards. Pure.

    none --floor passed--> est --synchronised--> sync --2 h without--> hold --err > 60 s--> est
                                                  |                     ^
                                                  +-wall jumps, no sync-+

A synchronisation is an anchor: this monotonic moment was that UTC. From then on UTC follows the
anchor; the wall clock is believed as long as it agrees with it, because whoever sets the clock by
hand knows less. The floor is a time that is surely past: before it a wall clock is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.domain.moments import Clk, Now

FRESH_MS = 2 * 3_600_000  # timesyncd asks at least every 2048 s; missed three times it is holding
SYNC_ERR_MS = 100  # SNTP over an internet line
DRIFT_PPM = 50  # a Pi's crystal over its temperatures
HOLD_ERR_MS = 60_000  # two weeks of that drift; patrol windows are judged up to there
STEP_MS = 1_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """A monotonic moment of one boot with its UTC."""

    boot: str
    mono_ms: int
    utc_ms: int
    err_ms: int


@dataclass(frozen=True, slots=True)
class Known:
    """What one boot knows of the time. `floor_ms` was surely past at monotonic `since_ms`."""

    boot: str
    floor_ms: int
    since_ms: int
    flag_ms: int | None = None  # wall time of the last synchronisation that was noticed
    looked_ms: int | None = None
    offset_ms: int | None = None  # wall less monotonic, at the last look
    anchor: Anchor | None = None


def look(known: Known, mono_ms: int, wall_ms: int, flag_ms: int | None) -> tuple[Known, int | None]:
    """Take in the clocks and when the last synchronisation was (by the wall clock; None = never).

    Also return by how many ms the wall clock jumped since the last look, None when it did not.
    """
    offset_ms = wall_ms - mono_ms
    by_ms = None if known.offset_ms is None else offset_ms - known.offset_ms
    anchor = known.anchor
    is_news = flag_ms is not None and flag_ms != known.flag_ms
    if known.looked_ms is None and flag_ms is not None and flag_ms > wall_ms + STEP_MS:
        is_news = False  # the clock was set back since: what it says now nobody synchronised
    if is_news and flag_ms is not None:
        age_ms = max(0, wall_ms - flag_ms)
        if known.looked_ms is not None:  # it came since then, whatever the file's time says
            age_ms = min(age_ms, mono_ms - known.looked_ms)
        anchor = Anchor(known.boot, mono_ms - age_ms, wall_ms - age_ms, SYNC_ERR_MS)
    seen = replace(known, flag_ms=flag_ms, looked_ms=mono_ms, offset_ms=offset_ms, anchor=anchor)
    return seen, by_ms if by_ms is not None and abs(by_ms) > STEP_MS else None


def moment(known: Known, mono_ms: int, wall_ms: int) -> Now:
    """This moment, as well as it is known."""
    anchor = known.anchor
    if anchor is None or anchor.utc_ms < known.floor_ms - (known.since_ms - anchor.mono_ms):
        return _unanchored(known, mono_ms, wall_ms)
    age_ms = max(0, mono_ms - anchor.mono_ms)
    err_ms = anchor.err_ms + drift(age_ms)
    held_ms = anchor.utc_ms + mono_ms - anchor.mono_ms
    agrees = abs(wall_ms - held_ms) <= STEP_MS + err_ms
    if err_ms > HOLD_ERR_MS:
        clk = Clk.EST
    else:
        clk = Clk.SYNC if agrees and age_ms <= FRESH_MS else Clk.HOLD
    return Now(mono_ms, wall_ms if agrees else held_ms, clk, err_ms, known.boot)


def floor_of(known: Known, now: Now) -> int:
    """UTC ms that is surely past: what a trusted clock says, else the old floor and time since."""
    if now.utc_ms is not None and now.is_trusted:
        return now.utc_ms
    return known.floor_ms + now.mono_ms - known.since_ms


def drift(ms: int) -> int:
    """How far a clock of its own may be off after so long."""
    return abs(ms) * DRIFT_PPM // 1_000_000


def _unanchored(known: Known, mono_ms: int, wall_ms: int) -> Now:
    least_ms = known.floor_ms + mono_ms - known.since_ms
    if wall_ms < least_ms:
        return Now(mono_ms, least_ms, Clk.NONE, None, known.boot)
    return Now(mono_ms, wall_ms, Clk.EST, None, known.boot)


# -- reading records afterwards -----------------------------------------------------------------


def corrected(at: Now, anchors: Sequence[Anchor]) -> Now:
    """The moment of a record, put right by the nearest anchor of its boot, if that knows better."""
    mine = [anchor for anchor in anchors if anchor.boot == at.boot]
    if not mine:
        return at
    best = min(mine, key=lambda anchor: anchor.err_ms + drift(at.mono_ms - anchor.mono_ms))
    err_ms = best.err_ms + drift(at.mono_ms - best.mono_ms)
    if at.is_trusted and at.err_ms is not None and at.err_ms <= err_ms:
        return at
    return replace(at, utc_ms=best.utc_ms + at.mono_ms - best.mono_ms, clk=Clk.HOLD, err_ms=err_ms)


def bracket(
    at: Now, before: Anchor | None, after: Anchor | None, ahead_ms: int = 0
) -> tuple[int | None, int | None]:
    """Earliest and latest UTC of a record whose boot never was synchronised.

    `before` is the last anchor of an earlier boot, `after` the first of a later one;
    `ahead_ms` is how much of its own boot came after the record, as far as is known.
    """
    lo = None if before is None else before.utc_ms - before.err_ms + at.mono_ms
    hi = None if after is None else after.utc_ms + after.err_ms - after.mono_ms - ahead_ms
    return lo, hi
