"""What one reading says about one rule. No memory: delays and states are in `core.alarms`."""

from enum import Enum, auto

from gateway.domain.readings import Reading
from gateway.domain.rules import Above, Below, Is, Rule


class Verdict(Enum):
    OVER = auto()  # the condition holds
    BETWEEN = auto()  # inside the limit, but not yet far enough to return to normal
    CLEAR = auto()  # normal
    UNUSABLE = auto()  # the quality does not allow to say anything


def judge(rule: Rule, reading: Reading) -> Verdict:
    """Judge one reading; a quality the rule does not accept never raises, clears or blocks."""
    value = reading.value
    if value is None or reading.quality not in rule.judges:
        return Verdict.UNUSABLE
    match rule.condition:
        case Is(values):
            return Verdict.OVER if value in values else Verdict.CLEAR
        case Above(limit, clears):
            if isinstance(value, str):
                return Verdict.UNUSABLE
            if value > limit:
                return Verdict.OVER
            return Verdict.CLEAR if value <= clears else Verdict.BETWEEN
        case Below(limit, clears):
            if isinstance(value, str):
                return Verdict.UNUSABLE
            if value < limit:
                return Verdict.OVER
            return Verdict.CLEAR if value >= clears else Verdict.BETWEEN
