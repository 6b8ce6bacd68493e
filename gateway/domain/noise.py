"""Noise: how often alarms come, and the flood in which they are grouped."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.moments import Now

Days = Mapping[int, int]  # day (UTC days since 1970; 0 = unknown) -> activations


@dataclass(frozen=True, slots=True)
class Raise:
    """One raise of the last ten minutes; mono ms."""

    raised_ms: int
    onset_ms: int
    rule: str
    occurrence: str


@dataclass(frozen=True, slots=True)
class Flood:
    """More alarms than people can take in: one sound for many, the first-out marked.

    `id` is the occurrence of the alarm that opened it. First-out is the alarm whose condition
    began first, which with different on-delays need not be the one that was raised first.
    """

    id: str
    began: Now
    first: str  # occurrence
    first_rule: str
    first_onset_ms: int
    count: int
    silenced_by: str = ""  # whoever silenced it: later warnings and faults of it come silent


@dataclass(frozen=True, slots=True)
class Noise:
    """`activations`: mono ms of the last minute, by rule; `busy`: by point (or fault), by day."""

    activations: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    raises: tuple[Raise, ...] = ()
    flood: Flood | None = None
    busy: Mapping[str, Days] = field(default_factory=dict)
