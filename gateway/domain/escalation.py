"""Who is called when nobody acts on an alarm, and after how long (field/patrol-and-alarms 4.4)."""

from dataclasses import dataclass

from gateway.domain.moments import Now


@dataclass(frozen=True, slots=True)
class Escalation:
    """How long an alarm may wait for the next person; the duty leader comes with pattern E.

    `arrival_ms` counts from the acknowledgement, everything else from the raise. `warning_ms` and
    `hazard_ms` are for warnings and faults.
    """

    safety_manager_ms: int = 180_000
    director_ms: int = 300_000
    arrival_ms: int = 180_000
    warning_ms: int = 600_000
    hazard_ms: int = 86_400_000


@dataclass(frozen=True, slots=True)
class Climb:
    """How far the people behind one occurrence were called.

    The present wait, for an acknowledgement or for an arrival, began at `since`, which is
    `since_ms` on this boot's monotonic clock. `done` are the rungs that were climbed, in order.
    While the alarm is shelved, suppressed or out of service nobody is called (`is_paused`).
    """

    occurrence: str
    since: Now
    since_ms: int
    is_acknowledged: bool = False
    has_arrived: bool = False
    is_paused: bool = False
    done: tuple[str, ...] = ()
