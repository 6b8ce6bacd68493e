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
    A3 = "A3"  # carbon monoxide
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


@dataclass(frozen=True, slots=True)
class Rises:
    """Moved by more than `by` within the window; normal when it moved by `clears` or less.

    With `is_fall` it moved downwards. What is judged is the movement, not the value.
    """

    by: float
    within_ms: int
    clears: float
    is_fall: bool = False


@dataclass(frozen=True, slots=True)
class Deviates:
    """More than `by` over the mean of other points of the same unit (the other phases)."""

    points: tuple[str, ...]
    by: float
    clears: float


@dataclass(frozen=True, slots=True)
class Silent:
    """The point gave no value of a quality that the rule judges for so long."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class MoreThan:
    """It became one of `values` more than `count` times within the window (starts of a pump)."""

    values: frozenset[Value]
    count: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class Member:
    """One condition of a combined rule, on a point of its own and with a delay of its own."""

    point: str
    condition: "Single"
    for_ms: int = 0
    min_samples: int = 1
    judges: frozenset[Quality] = frozenset({Quality.GOOD})


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every member holds at once."""

    members: "tuple[Member | AllOf | AnyOf, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one member holds."""

    members: "tuple[Member | AllOf | AnyOf, ...]"


Plain = Above | Below | Is  # judged by one reading alone
Single = Plain | Rises | Deviates | MoreThan  # judged when its point is read
Condition = Single | Silent | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Rule:
    """Judges one point, or several. `id` is `<point id>/<rule name>`, its lasting identity.

    A combined rule is shown under the point of its first member.
    """

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
    median: int = 1  # 3: the middle one of the last three values is judged, spikes are not
    is_magnitude: bool = False  # the value without its sign is judged (a reversed transformer)
    realarm_after_ms: int | None = None  # acknowledged and still active: sounds again; 0 = never

    @property
    def limit(self) -> float | None:
        """The setpoint of what is judged, where there is one number."""
        return _limit(self.condition)

    @property
    def points(self) -> tuple[str, ...]:
        """Every point that it looks at, its own first."""
        return tuple(dict.fromkeys((self.point, *points_of(self.condition))))

    def unit(self, of_point: str) -> str:
        """The unit of what is judged, given its point's: a count has none, a difference K."""
        condition = first_of(self.condition)
        if isinstance(condition, MoreThan):
            return ""
        is_difference = isinstance(condition, Rises | Deviates)
        return "K" if is_difference and of_point == "°C" else of_point


def members_of(condition: AllOf | AnyOf) -> tuple[Member, ...]:
    """The single conditions inside, in their order."""
    found: list[Member] = []
    for each in condition.members:
        found.extend((each,) if isinstance(each, Member) else members_of(each))
    return tuple(found)


def judged_points(rule: Rule) -> tuple[str, ...]:
    """The points whose readings it judges: its own, or those of its members."""
    if isinstance(rule.condition, AllOf | AnyOf):
        return tuple(dict.fromkeys(member.point for member in members_of(rule.condition)))
    return (rule.point,)


def first_of(condition: Condition) -> Single | Silent:
    """The condition itself, or the first single one inside."""
    if isinstance(condition, AllOf | AnyOf):
        return members_of(condition)[0].condition
    return condition


def points_of(condition: Condition) -> tuple[str, ...]:
    """The points that a condition names by itself (a single one judges its rule's point)."""
    match condition:
        case AllOf() | AnyOf():
            members = members_of(condition)
            return tuple(p for m in members for p in (m.point, *points_of(m.condition)))
        case Deviates(points):
            return points
        case _:
            return ()


def _limit(condition: Condition) -> float | None:
    match first_of(condition):
        case Above(limit) | Below(limit):
            return limit
        case Rises(by=by) | Deviates(by=by):
            return by
        case MoreThan(count=count):
            return count
        case _:
            return None


def levels_of(rule: Rule) -> tuple[tuple[str, float], ...]:
    """(point, limit) of everything that is compared with a level of the point itself."""
    if isinstance(rule.condition, AllOf | AnyOf):
        found = [(member.point, member.condition) for member in members_of(rule.condition)]
    elif isinstance(rule.condition, Above | Below):
        found = [(rule.point, rule.condition)]
    else:
        found = []
    return tuple((point, each.limit) for point, each in found if isinstance(each, Above | Below))
