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
    E = "E"
    W = "W"
    F = "F"
    B = "B"  # boot: lamp test 2 s + one 80 ms tone


@dataclass(frozen=True, slots=True)
class Signal:
    """Lamps and sound from `since_ms` (mono) on, until the next signal replaces it."""

    red: Lamp
    amber: Lamp
    yellow: Lamp
    green: Lamp
    pattern: Pattern
    since_ms: int  # when `pattern` began: patterns are phased from here


@dataclass(frozen=True, slots=True)
class Levels:
    """What each output is at one moment; True = lit or sounding."""

    red: bool
    amber: bool
    yellow: bool
    green: bool
    buzzer: bool
