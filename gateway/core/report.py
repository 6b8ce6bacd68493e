"""Report by exception: which readings are worth storing and sending."""

from collections.abc import Sequence

from gateway.domain.points import Point
from gateway.domain.readings import Reading

NEAR_LIMIT_DEADBANDS = 2
_NUMBERS = (int, float)  # `int | float` would be built anew for every reading


def is_worth_reporting(
    point: Point, sent: Reading | None, reading: Reading, limits: Sequence[float]
) -> bool:
    """True when the reading differs from what was last reported, or that is too old.

    Points within two deadbands of a limit are reported unfiltered.
    """
    if sent is None or reading.quality is not sent.quality or reading.reason != sent.reason:
        return True
    if reading.mono_ms - sent.mono_ms >= point.heartbeat_ms:
        return True
    value, before = reading.value, sent.value
    if value != before:
        if not (isinstance(value, _NUMBERS) and isinstance(before, _NUMBERS)):
            return True
        if abs(value - before) >= point.deadband:
            return True
    if not limits or not isinstance(value, _NUMBERS):
        return False
    near = NEAR_LIMIT_DEADBANDS * point.deadband
    return near > 0 and any(abs(value - limit) <= near for limit in limits)
