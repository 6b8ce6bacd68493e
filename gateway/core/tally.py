"""Counting what buses and devices do, in bounded memory, for status and the device `gateway`."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

LATENCIES_KEPT = 256  # the latest of a device
WINDOW_MS = 60_000  # what a bus's load is taken over
SLOT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds from a request to the end of its answer; None before the first answer."""

    p50: int | None = None
    p95: int | None = None
    p99: int | None = None


@dataclass(slots=True, eq=False)
class Tally:
    """How one device has answered since the start of the daemon."""

    requests: int = 0
    timeouts: int = 0
    exceptions: int = 0
    last_good_ms: int | None = None
    latencies: deque[int] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    turnaround_ms: float | None = None  # smoothed; None = not known yet
    is_slow: bool = False  # it needs all the time that is configured
    takes: int | None = None  # registers in one answer; to more it says nothing. None = all asked

    def answered(self, took_ms: int, now_ms: int) -> None:
        self.requests += 1
        self.latencies.append(took_ms)
        self.last_good_ms = now_ms

    def refused(self, took_ms: int) -> None:
        self.requests += 1
        self.exceptions += 1
        self.latencies.append(took_ms)

    def timed_out(self) -> None:
        self.requests += 1
        self.timeouts += 1


@dataclass(slots=True, eq=False)
class Load:
    """How much of its time a bus was busy, over the last minute."""

    started_ms: int
    slots: dict[int, int] = field(default_factory=dict)  # slot number -> busy ms

    def add(self, from_ms: int, to_ms: int) -> None:
        """Count the time between two moments as busy."""
        while from_ms < to_ms:
            slot = from_ms // SLOT_MS
            end = min(to_ms, (slot + 1) * SLOT_MS)
            self.slots[slot] = self.slots.get(slot, 0) + end - from_ms
            from_ms = end
        oldest = (to_ms - WINDOW_MS) // SLOT_MS
        for slot in [slot for slot in self.slots if slot < oldest]:
            del self.slots[slot]

    def share(self, now_ms: int) -> float:
        """0 to 1, over the whole slots of the last minute; 0 before the first is over."""
        last = now_ms // SLOT_MS
        first = max(last - WINDOW_MS // SLOT_MS, self.started_ms // SLOT_MS)
        busy = sum(ms for slot, ms in self.slots.items() if first <= slot < last)
        return busy / ((last - first) * SLOT_MS) if last > first else 0.0


@dataclass(slots=True, eq=False)
class BusTally:
    """One bus and its devices; lives as long as the daemon, whatever restarts the poll task."""

    started_ms: int
    devices: dict[str, Tally] = field(default_factory=dict)
    load: Load = field(init=False)

    def __post_init__(self) -> None:
        self.load = Load(self.started_ms)

    def takes_of(self, device: str, most: int) -> int | None:
        """How many registers it answers, where that is less than its profile's `most`.

        Forgotten once the profile says no more than that.
        """
        known = self.devices.get(device)
        if known is not None and known.takes is not None and most <= known.takes:
            known.takes = None
        return None if known is None else known.takes

    def of(self, device: str) -> Tally:
        return self.devices.setdefault(device, Tally())


def percentiles(latencies: Iterable[int]) -> Percentiles:
    """The nearest-rank percentiles of what is given."""
    ranked = sorted(latencies)
    if not ranked:
        return Percentiles()
    p50, p95, p99 = (ranked[-(-share * len(ranked) // 100) - 1] for share in (50, 95, 99))
    return Percentiles(p50, p95, p99)
