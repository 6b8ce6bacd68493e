"""What the panel shows: a plain description that a pure function turns into levels over time."""

from dataclasses import dataclass
from enum import StrEnum


class Lamp(StrEnum):
    OFF = "off"
    ON = "on"
    BLINK_QUARTER = "0.25Hz"
    BLINK_1 = "1Hz"
    BLINK_2 = "2Hz"
    BLINK_4 = "4Hz"


class Pattern(StrEnum):
    """Buzzer patterns; ids of field/patrol-and-alarms 5."""

    QUIET = "-"
    A1 = "A1"
    A2 = "A2"
    A3 = "A3"
    E = "E"
    Q = "Q"  # post check: nobody but an answer ends it
    W = "W"
    F = "F"
    U = "U"  # nothing reaches the platform
    R = "R"  # a round is overdue
    D = "D"  # drill or test: sounds before the real pattern
    K1 = "k1"  # feedback: done
    K2 = "k2"  # feedback: was done already; or something ended by itself
    K3 = "k3"  # feedback: unknown, refused
    B = "B"  # boot: lamp test 2 s + one 80 ms tone


@dataclass(frozen=True, slots=True)
class Signal:
    """Lamps and sound from `since_ms` (mono) on, until the next signal replaces it.

    `chirp` is heard in the long pauses of `pattern`, `tone` once and only where nothing else
    sounds; each is phased from its own moment.
    """

    red: Lamp
    amber: Lamp
    yellow: Lamp
    green: Lamp
    pattern: Pattern
    since_ms: int  # when `pattern` began: patterns are phased from here
    prefix_ms: int = 0  # so long the drill prefix sounds, then the pattern begins
    white: Lamp = Lamp.OFF  # post check and patrol, where such a lamp is wired
    chirp: Pattern = Pattern.QUIET
    chirp_since_ms: int = 0
    tone: Pattern = Pattern.QUIET
    tone_since_ms: int = 0
    is_healthy: bool = False  # holds the fault relay


@dataclass(frozen=True, slots=True)
class Levels:
    """What each output is at one moment; True = lit or sounding."""

    red: bool
    amber: bool
    yellow: bool
    green: bool
    buzzer: bool
    white: bool = False
