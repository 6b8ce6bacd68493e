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
from dataclasses import replace
from datetime import tzinfo
from functools import cache
from pathlib import Path

from gateway.core.timekeeping import Known, floor_of, look, moment
from gateway.domain.moments import Now

FLOOR_MS = 1_767_225_600_000  # 2026-01-01: no copy of this program ran before it
SYNC_FLAG = Path("/run/systemd/timesync/synchronized")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOOK_EVERY_MS = 1_000
STEPS_KEPT = 100  # that nobody asked about


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
        self._least_ms = floor_ms
        floor_ms = max(floor_ms, _mtime_ms(saved) or 0)
        self._known = Known(self.boot, floor_ms, mono())
        self._look_at_ms = self._known.since_ms
        self._stepped: list[tuple[Now, int]] = []

    def now(self) -> Now:
        """Return this moment.

        `sync`: synchronised in the last two hours; `hold`: earlier in this boot, the error grows
        by the drift; `est`: plausible, error unknown or large; `none`: the wall clock stands
        before a time that is known to be past, so UTC is counted from that time on.
        """
        mono_ms, wall_ms = self.mono(), self._wall()
        if mono_ms >= self._look_at_ms:
            self._look_at_ms = mono_ms + LOOK_EVERY_MS
            self._look(mono_ms, wall_ms)
        return moment(self._known, mono_ms, wall_ms)

    def take_steps(self) -> list[tuple[Now, int]]:
        """When the wall clock jumped since this was last asked, and by how many ms."""
        steps, self._stepped = self._stepped, []
        return steps

    def floor_ms(self) -> int:
        """Return a time that is surely past, in ms UTC."""
        return floor_of(self._known, self.now())

    def save(self, floor_ms: int) -> None:
        """Remember a time that is surely past for the next start; may be called in a thread.

        Raises OSError when the file cannot be written.
        """
        if self._saved is None:
            return
        self._saved.touch()
        os.utime(self._saved, ns=(floor_ms * 1_000_000, floor_ms * 1_000_000))

    def _look(self, mono_ms: int, wall_ms: int) -> None:
        known, by_ms = look(self._known, mono_ms, wall_ms, _mtime_ms(self._flag))
        if known.anchor != self._known.anchor and wall_ms >= self._least_ms:
            # synchronised: whatever was saved as a floor knows less
            known = replace(known, floor_ms=self._least_ms)
        self._known = known
        if by_ms is not None and len(self._stepped) < STEPS_KEPT:
            self._stepped.append((moment(known, mono_ms, wall_ms), by_ms))

    async def sleep_until(self, mono_ms: int) -> None:
        """Return at `mono_ms` or, when that is past, after one turn of the loop."""
        if mono_ms <= self.mono():
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
