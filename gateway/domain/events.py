"""Everything that can come into the decider, as one closed union."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.errors import ReadFailure
from gateway.domain.points import Table
from gateway.domain.readings import Reading


@dataclass(frozen=True, slots=True)
class BlockRead:
    """One block came back decoded, or failed (`failure`; then the readings carry bad quality).

    `words` are the raw ones of the reply, from wire address `start` of `table` on: evidence.
    """

    bus: str
    device: str
    readings: tuple[Reading, ...]
    failure: ReadFailure | None = None
    table: Table | None = field(default=None, compare=False)
    start: int = field(default=0, compare=False)
    words: Sequence[int] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Silence:
    """消音: stops the sound of what sounds now; needs no person."""

    by: str  # `panel`, or a staff code
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """确认: a named person has seen it. `alarm` is a rule id, an occurrence, or None for all."""

    by: str
    alarm: str | None = None
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """复位: ends acknowledged latched alarms whose value is normal again."""

    by: str
    alarm: str | None = None
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class LampTest:
    """Light every lamp and sound the buzzer shortly."""

    by: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class FaultRaised:
    """Something of the gateway itself is wrong: `code` from `core.faults`, about `subject`."""

    code: str
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FaultCleared:
    code: str
    subject: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The broker connection; `why` as in `errors.LinkRefused`, or lost, no_puback, closed."""

    is_up: bool
    broker: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class PlatformChanged:
    """The platform said hello, or did not when it should have."""

    is_present: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """An audience got (`sent`) or saw (`seen`) an alarm."""

    occurrence: str
    level: str
    audience: str
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class Restarted:
    """First event after start: the lamp test runs, open alarms sound again."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """A deadline of the state was reached and nothing else came."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """Last event: what is in the inbox before it is still decided."""


Event = (
    BlockRead | Silence | Acknowledge | Reset | LampTest | FaultRaised | FaultCleared | LinkChanged
    | PlatformChanged | Receipt | Restarted | Ticked | Stopping
)  # fmt: skip
