"""Which rounds there are to be, worked out from schedules: the same rows whoever asks, and when."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo

from gateway.domain.patrol import Checkpoint, Patrol, Schedule
from gateway.domain.rounds import Round, RoundFlag

COMPENSATING_GRACE_MS = 900_000
COMPENSATING = "comp:"  # of the schedule that stands in for what is out of service

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def local_day(utc_ms: int, zone: tzinfo) -> date:
    return (_EPOCH + utc_ms * _MS).astimezone(zone).date()


def rounds_between(patrol: Patrol, zone: tzinfo, lo_ms: int, hi_ms: int) -> Iterator[Round]:
    """Every round whose window opens from `lo_ms` on and before `hi_ms` (UTC).

    A window is longer or shorter by an hour where the house changes to summer time in it.
    """
    first = local_day(lo_ms, zone) - timedelta(days=2)  # a window may open two days after its date
    days = (local_day(hi_ms, zone) - first).days + 2
    for schedule in patrol.schedules.values():
        for day in (first + timedelta(days=number) for number in range(days)):
            if day.weekday() in schedule.weekdays:
                for planned in _rounds_of(patrol, schedule, day, zone):
                    if lo_ms <= planned.opens_ms < hi_ms:
                        yield planned


def _rounds_of(patrol: Patrol, schedule: Schedule, day: date, zone: tzinfo) -> Iterator[Round]:
    stops = tuple(stop.checkpoint for stop in patrol.routes[schedule.route].stops)
    for window in schedule.windows:
        opens_ms = _utc_ms(day, window.start_min, zone)
        clock = window.start_min % 1440
        eve = "-" if window.start_min < 0 else ""  # it opens the evening before its date
        yield Round(
            id=f"{schedule.id}/{day.isoformat()}/{eve}{clock // 60:02}{clock % 60:02}",
            schedule=schedule.id,
            route=schedule.route,
            shift_date=day.isoformat(),
            opens_ms=opens_ms,
            closes_ms=max(_utc_ms(day, window.end_min, zone), opens_ms + 60_000),
            grace_ms=schedule.grace_ms,
            stops=stops,
            owner=schedule.owner,
        )


def _utc_ms(day: date, minute: int, zone: tzinfo) -> int:
    """The UTC ms at which the clock on the wall shows this minute, counted from the day's 0:00."""
    then = day + timedelta(days=minute // 1440)
    clock = minute % 1440
    local = datetime(then.year, then.month, then.day, clock // 60, clock % 60, tzinfo=zone)
    return (local.astimezone(UTC) - _EPOCH) // _MS


def stops_near(checkpoints: Mapping[str, Checkpoint], points: frozenset[str]) -> tuple[str, ...]:
    """The checkpoints at which one stands before these points."""
    return tuple(
        checkpoint.code
        for checkpoint in checkpoints.values()
        if points.intersection(checkpoint.near)
    )


def compensating_rounds(
    subject: str, since_ms: int, stops: tuple[str, ...], every_ms: int, hi_ms: int, zone: tzinfo
) -> Iterator[Round]:
    """Rounds that stand in for what is out of service since `since_ms`, until `hi_ms` (UTC)."""
    for opens_ms in range(since_ms, hi_ms, every_ms):
        local = (_EPOCH + opens_ms * _MS).astimezone(zone)
        yield Round(
            id=f"{COMPENSATING}{subject}/{local:%Y-%m-%d/%H%M}",
            schedule=f"{COMPENSATING}{subject}",
            route="",
            shift_date=local.date().isoformat(),
            opens_ms=opens_ms,
            closes_ms=opens_ms + every_ms,
            grace_ms=COMPENSATING_GRACE_MS,
            stops=stops,
            flags=(RoundFlag.COMPENSATING,),
        )
