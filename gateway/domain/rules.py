"""Rules: when a point's value is an alarm, a warning or a fault, and what people shall do."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.readings import Quality, Value
from gateway.domain.text import Text


class Severity(StrEnum):
    """报警 / 预警 / 故障."""

    ALARM = "alarm"
    WARNING = "warning"
    FAULT = "fault"


class Sound(StrEnum):
    """Which pattern sounds while the alarm is new (field table: patrol-and-alarms 5)."""

    A1 = "A1"  # electrical fire, water, manual call
    A2 = "A2"  # combustible gas
    W = "W"
    F = "F"


@dataclass(frozen=True, slots=True)
class Above:
    """Over the limit; back to normal only at or below `clears`."""

    limit: float
    clears: float


@dataclass(frozen=True, slots=True)
class Below:
    """Under the limit; back to normal only at or above `clears`."""

    limit: float
    clears: float


@dataclass(frozen=True, slots=True)
class Is:
    """One of the listed values (a device's own alarm bit, a status code)."""

    values: frozenset[Value]


Condition = Above | Below | Is


@dataclass(frozen=True, slots=True)
class Rule:
    """Judges one point. `id` is `<point id>/<rule name>` and is the alarm's lasting identity."""

    id: str
    name: str
    point: str
    condition: Condition
    severity: Severity
    sound: Sound
    for_ms: int
    clear_for_ms: int
    latch: bool
    say: Text
    do: tuple[Text, ...]
    owner: str
    basis: str
    edition: str = ""
    judges: frozenset[Quality] = frozenset({Quality.GOOD})
    min_samples: int = 2  # 1 for a device's own alarm bit and for rules without delay

    @property
    def limit(self) -> float | None:
        """The setpoint, where there is one number."""
        return None if isinstance(self.condition, Is) else self.condition.limit
