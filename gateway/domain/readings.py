"""Readings: a value with its quality and its moment."""

from enum import StrEnum

from gateway.domain.light import light

Value = int | float | str


class Quality(StrEnum):
    """Anything but GOOD is never shown as normal, never clears an alarm and never blocks one.

    In the order of how little the number is worth: of two qualities the later one counts.
    """

    GOOD = "good"
    WARMING_UP = "warming_up"
    INHIBITED = "inhibited"
    SUSPECT = "suspect"
    FAULT = "fault"
    OFFLINE = "offline"
    TEST = "test"


# Why a number may be suspect and is judged all the same: only the dates of its sensor have passed.
STILL_JUDGED = frozenset({"calibration_overdue", "sensor_life_over", "bump_test_overdue"})


@light
class Reading:
    """What one poll said of one point.

    `value` is None when no number may be shown (fault, offline). `reason` is a short code when
    the quality is not GOOD: `silent`, `bus_down`, `exception_2`, `sentinel`, `not_a_number`,
    `out_of_range`, `unit_unknown`, `decimals_unknown`, `gate:<point>`, `not_read_yet` ...
    `mono_ms` is the moment the reply ended.
    """

    point: str
    value: Value | None
    quality: Quality
    mono_ms: int
    reason: str = ""
