"""What a clock on the house's wall shows, as far as the gateway's own clock can be trusted."""

from datetime import UTC, datetime, timedelta, tzinfo

from gateway.domain.moments import Clk, Now
from gateway.domain.site import QuietHours

TRUSTED = frozenset({Clk.SYNC, Clk.HOLD})


def local_time(now: Now, zone: tzinfo | None) -> datetime | None:
    """Return the local time; None when the clock is not synchronised or the zone is unknown."""
    if zone is None or now.utc_ms is None or now.clk not in TRUSTED:
        return None
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=now.utc_ms)).astimezone(zone)


def is_night(hours: QuietHours | None, now: Now, zone: tzinfo | None) -> bool:
    """Return whether it is night; without a trusted clock it is day, when everything sounds."""
    local = local_time(now, zone)
    if hours is None or local is None:
        return False
    return _since(hours.begin_min, local) < timedelta(minutes=hours.length_min)


def turns_in_ms(hours: QuietHours | None, now: Now, zone: tzinfo | None) -> int | None:
    """Return how long until day or night begins, as the clock runs now; None when never."""
    local = local_time(now, zone)
    if hours is None or local is None:
        return None
    day = timedelta(days=1)
    left = min(day - _since(minute, local) for minute in (hours.begin_min, hours.end_min))
    return left // timedelta(milliseconds=1)


def _since(minute: int, local: datetime) -> timedelta:
    """How long ago the local clock last showed this minute of the day."""
    today = timedelta(
        hours=local.hour, minutes=local.minute, seconds=local.second,
        microseconds=local.microsecond,
    )  # fmt: skip
    return (today - timedelta(minutes=minute)) % timedelta(days=1)
