"""The real clocks, read in one place: monotonic for judging, best known UTC for the record.

Whether the wall clock is synchronised comes from the flag file that systemd-timesyncd touches
after every synchronisation (the hardened unit forbids `adjtimex`). chrony leaves no such trace
that this user may read: under chrony the clock counts as estimated.
"""

import asyncio
import os
import time
import zoneinfo
from collections.abc import Callable
from datetime import tzinfo
from functools import cache
from pathlib import Path

from gateway.domain.moments import Clk, Now

FLOOR_MS = 1_767_225_600_000  # 2026-01-01: no copy of this program ran before it
SYNC_FLAG = Path("/run/systemd/timesync/synchronized")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOOK_EVERY_MS = 1_000
FRESH_MS = 2 * 3_600_000  # timesyncd asks at least every 2048 s; missed three times it is holding
SYNC_ERR_MS = 100  # SNTP over an internet line
DRIFT_PPM = 50  # a Pi's crystal over its temperatures


def mono() -> int:
    """Return CLOCK_BOOTTIME in ms: it counts through suspend and never jumps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall() -> int:
    """Return what the wall clock says, in ms UTC, right or wrong."""
    return time.time_ns() // 1_000_000


def boot_id() -> str:
    """Return 12 hex digits that name this run of the kernel."""
    return BOOT_ID.read_text("ascii").strip().replace("-", "")[:12]


def zone(name: str) -> tzinfo | None:
    """Return the time zone of this name; None where the system does not know it."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


class Clock:
    """Makes `Now`. `saved` is a file whose mtime remembers the last good wall clock."""

    def __init__(
        self,
        saved: Path | None = None,
        *,
        flag: Path = SYNC_FLAG,
        mono: Callable[[], int] = mono,
        wall: Callable[[], int] = wall,
        floor_ms: int = FLOOR_MS,
    ) -> None:
        self.mono = mono
        self.boot = boot_id()
        self._wall = wall
        self._flag = flag
        self._saved = saved
        self._floor_ms = max(floor_ms, _mtime_ms(saved) or 0)
        self._start_ms = mono()
        self._synced_ms: int | None = None  # wall time of the last synchronisation
        self._look_at_ms = self._start_ms

    def now(self) -> Now:
        """Return this moment.

        `sync`: synchronised in the last two hours; `hold`: earlier in this boot, the error grows
        by the drift; `est`: plausible, error unknown; `none`: the wall clock stands before a time
        that is known to be past, so UTC is counted from that time on: at least this late.
        """
        mono_ms, utc_ms = self.mono(), self._wall()
        if mono_ms >= self._look_at_ms:
            self._synced_ms = _mtime_ms(self._flag)
            self._look_at_ms = mono_ms + LOOK_EVERY_MS
        if utc_ms < self._floor_ms:
            utc_ms = self._floor_ms + (mono_ms - self._start_ms)
            return Now(mono_ms, utc_ms, Clk.NONE, None, self.boot)
        if self._synced_ms is None:
            return Now(mono_ms, utc_ms, Clk.EST, None, self.boot)
        age_ms = max(0, utc_ms - self._synced_ms)
        clk = Clk.SYNC if age_ms <= FRESH_MS else Clk.HOLD
        err_ms = SYNC_ERR_MS + age_ms * DRIFT_PPM // 1_000_000
        return Now(mono_ms, utc_ms, clk, err_ms, self.boot)

    def save(self) -> None:
        """Remember the wall clock as a floor for the next start, unless it is known to be wrong.

        Raises OSError when the file cannot be written.
        """
        now = self.now()
        if self._saved is None or now.clk is Clk.NONE or now.utc_ms is None:
            return
        self._saved.touch()
        os.utime(self._saved, ns=(now.utc_ms * 1_000_000, now.utc_ms * 1_000_000))

    async def sleep_until(self, mono_ms: int) -> None:
        """Return at `mono_ms` or, when that is past, after one turn of the loop."""
        await asyncio.sleep(0)
        # it waits for a clock: no event announces a moment
        while (wait_ms := mono_ms - self.mono()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait_ms / 1000)


def now() -> Now:
    """Return this moment, without a remembered floor."""
    return _plain_clock().now()


async def sleep_until(mono_ms: int) -> None:
    """Return at `mono_ms` or, when that is past, after one turn of the loop."""
    await _plain_clock().sleep_until(mono_ms)


@cache
def _plain_clock() -> Clock:
    return Clock()


def _mtime_ms(path: Path | None) -> int | None:
    if path is None:
        return None
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:  # absent, or not for our eyes: the same as never
        return None
