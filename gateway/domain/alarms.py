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
        return self in _UNACKNOWLEDGED

    @property
    def is_active(self) -> bool:
        """The condition holds, as far as anybody knows."""
        return self in _ACTIVE

    @property
    def is_open(self) -> bool:
        """Raised and not over: everything but N and P."""
        return self not in _CLOSED


_UNACKNOWLEDGED = frozenset({AlarmState.UA, AlarmState.RU, AlarmState.LU})
_ACTIVE = frozenset({AlarmState.UA, AlarmState.AA})
_CLOSED = frozenset({AlarmState.N, AlarmState.P})


class Inhibit(StrEnum):
    """Why an alarm neither sounds nor blinks; it lives on and is listed. `inh` on the wire."""

    SHELVED = "SH"  # 屏蔽: by a person, for a reason and a time
    SUPPRESSED = "SU"  # 抑制: its parent fault says it already
    OUT_OF_SERVICE = "OS"  # 停用(检修): by work order


class Transition(StrEnum):
    """What a record says happened; `tr` on the wire."""

    RAISE = "raise"
    AGAIN = "again"  # the same occurrence is active again within its off-delay
    CLEAR = "clear"
    ACK = "ack"
    SILENCE = "silence"
    RESET = "reset"
    REALARM = "realarm"  # acknowledged and active for so long that it sounds again
    CHATTER = "chatter"  # it comes and goes: kept active as one alarm from here on


@dataclass(frozen=True)  # no slots: `altered` copies it whole
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
    is_normal: bool = False  # the last sample said so; a reset needs it
    onset_ms: int | None = None  # mono; when the condition began that raised it
    called_ms: int | None = None  # mono; when it last began to call for people
    silenced_by: str = ""
    is_silenced_until_new: bool = False  # a warning: until the next new one
    acked: Now | None = None
    acked_by: str = ""
    acked_ms: int | None = None  # mono of this boot; re-alarm counts from here
    acked_as: str = ""  # the severity that it had then
    inhibits: tuple[Inhibit, ...] = ()
    is_quiet: bool = False  # raised while inhibited, and nobody has been called since
    chatter: int = 0  # activations while it comes and goes; 0 = it does not
    calm_since_ms: int | None = None  # mono; last activation of the chatter
    is_first_out: bool = False  # of its flood: what began first
    flood: str = ""  # occurrence of the alarm that opened the flood it belongs to

    @property
    def is_inhibited(self) -> bool:
        return bool(self.inhibits)

    def is_sounding(self, mono_ms: int) -> bool:
        """Sound goes on through return to normal until silenced or acknowledged."""
        return self.state.is_unacknowledged and not self.inhibits and not self.is_silent(mono_ms)

    def is_silent(self, mono_ms: int) -> bool:
        """Silenced by a person, and that has not run out."""
        return self.is_silenced_until_new or (
            self.silenced_until_ms is not None and mono_ms < self.silenced_until_ms
        )


def altered(alarm: Alarm, **pieces: object) -> Alarm:
    """`dataclasses.replace`, which goes field by field, for what every sample makes anew."""
    new = object.__new__(Alarm)
    vars(new).update(vars(alarm), **pieces)
    return new
