"""Device families as a scan sees them: how they speak from the factory, what gives them away."""

from dataclasses import dataclass

from gateway.domain.points import Point
from gateway.domain.readings import Value
from gateway.domain.site import Parity


@dataclass(frozen=True, slots=True, order=True)
class LineSetting:
    """How a serial line is set: 9600 8N1."""

    baud: int = 9600
    parity: Parity = Parity.NONE
    stop_bits: int = 1

    def __str__(self) -> str:
        return f"{self.baud} 8{self.parity.value[0].upper()}{self.stop_bits}"


@dataclass(frozen=True, slots=True)
class Hint:
    """A point that is read to know the device by, and what it shows if it is that device."""

    point: Point
    low: float | None = None
    high: float | None = None
    values: frozenset[Value] = frozenset()

    @property
    def is_identity(self) -> bool:
        """True if no other family shows this value: the device says what it is."""
        return bool(self.point.identity)

    def fits(self, value: Value | None) -> bool:
        """True if a device of the family may show this value; None (no value) fits nothing."""
        if value is None:
            return False
        if self.values:
            return value in self.values
        if isinstance(value, str) or self.low is None or self.high is None:
            return False
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Family:
    """A profile, as far as a bare bus is concerned."""

    profile: str
    maker: str
    model: str
    confidence: str
    points: tuple[Point, ...]
    hints: tuple[Hint, ...]
    line: LineSetting | None = None  # from the factory; None where no source says it
    max_registers: int = 125
    barriers: tuple[int, ...] = ()
    channels: int = 0
    source: str = ""
    notes: tuple[str, ...] = ()
    unverified: str = ""
    needs: tuple[str, ...] = ()  # rules whose limits only a site knows
