"""Alarms: one per rule, with the state names of ISA-18.2 (field/patrol-and-alarms 4.2)."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.moments import Now
from gateway.domain.readings import Value


class AlarmState(StrEnum):
    N = "N"  # normal
    P = "P"  # pending: over the limit, on-delay running
    UA = "UA"  # active, unacknowledged
    AA = "AA"  # active, acknowledged
    RU = "RU"  # returned to normal, unacknowledged
    LU = "LU"  # latched, unacknowledged
    LA = "LA"  # latched, acknowledged

    @property
    def is_unacknowledged(self) -> bool:
        return self in (AlarmState.UA, AlarmState.RU, AlarmState.LU)

    @property
    def is_open(self) -> bool:
        """Raised and not over: everything but N and P."""
        return self not in (AlarmState.N, AlarmState.P)


class Transition(StrEnum):
    """What a record says happened; `tr` on the wire."""

    RAISE = "raise"
    AGAIN = "again"  # the same occurrence is active again within its off-delay
    CLEAR = "clear"
    ACK = "ack"
    SILENCE = "silence"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Alarm:
    """The life of one rule. `occurrence` is `<epoch>-<lane>-<seq>` of its raise record."""

    rule: str
    state: AlarmState = AlarmState.N
    occurrence: str = ""
    raised: Now | None = None
    value: Value | None = None  # what raised it
    last: Value | None = None  # last good value
    over_since_ms: int | None = None  # mono; on-delay runs from here
    over_samples: int = 0
    clear_since_ms: int | None = None  # mono; off-delay runs from here
    cleared_ms: int | None = None  # mono; when it last returned to normal
    silenced_until_ms: int | None = None  # mono
    silenced_at: Now | None = None  # lets a silence keep its expiry over a reboot
    is_stale: bool = False  # the point cannot be read: frozen
    detail: str = ""  # for faults: what exactly

    def is_sounding(self, mono_ms: int) -> bool:
        """Sound goes on through return to normal until silenced or acknowledged."""
        return self.state.is_unacknowledged and (
            self.silenced_until_ms is None or mono_ms >= self.silenced_until_ms
        )
