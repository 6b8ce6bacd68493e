"""What one step decided, as plain data: what to show, what to keep, whom to answer."""

from dataclasses import dataclass

from gateway.domain.alarms import Alarm
from gateway.domain.kept import Kept
from gateway.domain.records import Batch, Record
from gateway.domain.signals import Signal
from gateway.domain.text import Text


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a command; `to` is the command's `reply_to`."""

    to: int
    ok: bool
    code: str  # `done`, `nothing_to_do`, `unknown_alarm`, `not_normal_yet` ...
    say: Text | None = None  # why not, in words, where the code has them
    case: str = ""  # the case that it was about


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the panel would show for the self-test's record `key` (`<epoch>-<lane>-<seq>`)."""

    key: str
    signal: Signal


@dataclass(frozen=True, slots=True)
class Outcome:
    """`alarms` and `kept` are what changed: the store keeps them in the transaction of `records`.

    The panel's thread works a `rehearsal` out, and shows nothing of it.

    `nudges` are point ids whose block shall be read within a second, because an alarm is pending.
    """

    signal: Signal
    records: tuple[Record, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    batch: Batch | None = None
    nudges: tuple[str, ...] = ()
    replies: tuple[Reply, ...] = ()
    kept: tuple[Kept, ...] = ()
    rehearsal: Rehearsal | None = None
