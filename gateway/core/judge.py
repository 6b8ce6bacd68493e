"""What one reading says about one rule. No memory: delays and states are in `core.alarms`."""

from enum import Enum, auto

from gateway.domain.readings import STILL_JUDGED, Quality, Reading, Value
from gateway.domain.rules import Above, Below, Condition, Is, Rule


class Verdict(Enum):
    OVER = auto()  # the condition holds
    BETWEEN = auto()  # inside the limit, but not yet far enough to return to normal
    CLEAR = auto()  # normal
    UNUSABLE = auto()  # the quality does not allow to say anything


# an enum's member is looked up by a call; these are looked at for every rule of every reading
OVER, BETWEEN, CLEAR, UNUSABLE = Verdict
GOOD, SUSPECT = Quality.GOOD, Quality.SUSPECT


def judge(rule: Rule, reading: Reading) -> Verdict:
    """Judge one reading by a rule that needs no memory.

    A quality that the rule does not accept never raises, clears or blocks. One that it accepts,
    but that is not good, raises and never clears.
    """
    value = reading.value
    if value is None or not (reading.quality in rule.judges or is_still_judged(reading)):
        return UNUSABLE
    verdict = compare(rule.condition, value)
    return verdict if reading.quality is GOOD else at_most(reading, verdict)


def at_most(reading: Reading, verdict: Verdict) -> Verdict:
    """The verdict that a reading of this quality may lead to: only a good one clears."""
    is_clear = verdict is CLEAR and reading.quality is not Quality.GOOD
    return BETWEEN if is_clear else verdict


def is_still_judged(reading: Reading) -> bool:
    """True for a number that is doubted for its age only: a late sensor may still save lives."""
    return reading.quality is SUSPECT and reading.reason in STILL_JUDGED


def compare(condition: Condition, value: Value) -> Verdict:
    """Judge one value by one limit or list of values; any other condition needs more."""
    if isinstance(condition, Is):
        return OVER if value in condition.values else CLEAR
    if isinstance(value, str):
        return UNUSABLE
    if isinstance(condition, Above):
        return compare_above(condition.limit, condition.clears, value)
    if isinstance(condition, Below):
        if value < condition.limit:
            return OVER
        return CLEAR if value >= condition.clears else BETWEEN
    return UNUSABLE


def compare_above(limit: float, clears: float, value: float) -> Verdict:
    if value > limit:
        return OVER
    return CLEAR if value <= clears else BETWEEN
