"""What is remembered of a residual current: hours of it, and how it goes with the load."""

from dataclasses import dataclass

from gateway.domain.light import light

HOURS_KEPT = 7 * 24


@light
class Baseline:
    """The means of the last hours (mA, oldest first), and the hour that runs."""

    hours: tuple[float, ...] = ()
    total: float = 0.0
    count: int = 0
    ends_ms: int | None = None  # mono
    heard_ms: int = -1  # mono; the newest value that is counted


@dataclass(frozen=True, slots=True)
class Likeness:
    """Sums over pairs of leakage (mA) and load (A): enough for their spread, and no more."""

    count: int = 0
    leakage: float = 0.0
    load: float = 0.0
    load2: float = 0.0
    ratio: float = 0.0
    ratio2: float = 0.0
    next_ms: int = 0  # mono; when the next pair is taken

    def with_pair(self, leakage: float, load: float, next_ms: int) -> "Likeness":
        ratio = leakage / load
        return Likeness(
            self.count + 1,
            self.leakage + leakage,
            self.load + load,
            self.load2 + load * load,
            self.ratio + ratio,
            self.ratio2 + ratio * ratio,
            next_ms,
        )
