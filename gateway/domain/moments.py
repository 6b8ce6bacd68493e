"""When something happened: monotonic time for judging, best known UTC for the record."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Clk(StrEnum):
    """How far the wall clock can be trusted, as carried in every record."""

    SYNC = "sync"
    HOLD = "hold"
    EST = "est"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Now:
    """One moment. Only `drivers.clock` makes one from the real clocks.

    `mono_ms` is CLOCK_BOOTTIME in ms: it never jumps and is the only time that delays,
    ages and deadlines use. `utc_ms` is the wall clock (None when nothing is known).
    `boot` is the kernel's boot id, shortened: it says which run of the kernel `mono_ms` counts.
    """

    mono_ms: int
    utc_ms: int | None
    clk: Clk
    err_ms: int | None
    boot: str

    @property
    def is_trusted(self) -> bool:
        """True when the wall clock is right enough to count time over a reboot."""
        return self.utc_ms is not None and self.clk in (Clk.SYNC, Clk.HOLD)

    def utc_of(self, mono_ms: int) -> int | None:
        """UTC ms of an earlier or later monotonic moment of the same boot, as known now."""
        return None if self.utc_ms is None else self.utc_ms + (mono_ms - self.mono_ms)


def carried(mono_ms: int, noted: Now, now: Now) -> int | None:
    """A monotonic moment that was noted at `noted`, on the clock of `now`.

    The same boot: as it is. Another boot: by the wall clock, where both can be trusted, else None.
    """
    if noted.boot == now.boot:
        return mono_ms
    if noted.utc_ms is None or now.utc_ms is None or not (noted.is_trusted and now.is_trusted):
        return None
    return now.mono_ms + (mono_ms - noted.mono_ms) - (now.utc_ms - noted.utc_ms)


def rebased(then: Now, now: Now) -> Now | None:
    """The moment `then` on the monotonic clock of `now`'s boot, perhaps from before its zero.

    None when it is of another boot and one of the wall clocks cannot be trusted. It is never
    later than `now`.
    """
    if then.boot == now.boot:
        return then
    trusted = (Clk.SYNC, Clk.HOLD)
    if then.clk not in trusted or now.clk not in trusted:
        return None
    if then.utc_ms is None or now.utc_ms is None:
        return None
    elapsed = max(0, now.utc_ms - then.utc_ms)
    return replace(then, mono_ms=now.mono_ms - elapsed, boot=now.boot)
