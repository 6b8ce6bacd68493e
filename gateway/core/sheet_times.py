"""The days of a sheet, and when something in a record really was.

A record holds its best known UTC and how far that was known. Once the clock of a boot was right, an
anchor says which moment of that boot it was: by it the earlier records of the boot are corrected.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from gateway.domain.moments import Clk, Now
from gateway.domain.sheet import Period, Span, Sure, When

Anchors = Mapping[str, tuple[tuple[int, int], ...]]  # boot -> (mono, UTC) ms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def period_of(span: Span, day: date | None, zone: tzinfo, utc_ms: int) -> Period:
    """The day, or the month that has the day; else the last one that is over at `utc_ms`."""
    today = local(utc_ms, zone).date()
    if span is Span.DAY:
        first = last = day or today - timedelta(days=1)
    else:
        some = day or today.replace(day=1) - timedelta(days=1)
        first = some.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return Period(span, first, last, _midnight(first, zone), _midnight(_after(last), zone))


def days_of(period: Period) -> frozenset[str]:
    """Every date of the period, as 2026-11-22."""
    count = (period.last - period.first).days + 1
    return frozenset((period.first + timedelta(days=n)).isoformat() for n in range(count))


def local(utc_ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + utc_ms * _MS).astimezone(zone)


def anchors_of(said: Iterable[tuple[str, Mapping[str, Any]]]) -> Anchors:
    """(boot, data) of `anchor` records -> what corrects the other records of these boots."""
    found: dict[str, tuple[tuple[int, int], ...]] = {}
    for boot, data in said:
        mono_ms, utc_ms = data.get("mono"), data.get("utc")
        if isinstance(mono_ms, int) and isinstance(utc_ms, int):
            found[boot] = (*found.get(boot, ()), (mono_ms, utc_ms))
    return found


def when_of(at: Now, anchors: Anchors) -> When:
    """The moment, by the nearest anchor of its boot where the clock was not right itself."""
    if at.is_trusted:
        return When(at.utc_ms)
    near = min(anchors.get(at.boot, ()), key=lambda each: abs(each[0] - at.mono_ms), default=None)
    if near is not None:
        return When(near[1] + at.mono_ms - near[0])
    return When(at.utc_ms, Sure.ABOUT if at.clk is Clk.EST else Sure.NOT_BEFORE)


def moment_of(said: Any) -> Now | None:
    """What `at`, `clk`, `err`, `boot` and `mono` of a message say; None where it says nothing."""
    if not isinstance(said, Mapping):
        return None
    try:
        return Now(int(said["mono"]), said["at"], Clk(said["clk"]), said["err"], str(said["boot"]))
    except (KeyError, TypeError, ValueError):
        return None


def within(period: Period, begin_ms: int | None, end_ms: int | None) -> tuple[int, int] | None:
    """What of a time lies in the period; None: nothing. None for an end: beyond the period."""
    begin = period.begin_ms if begin_ms is None else max(period.begin_ms, begin_ms)
    end = period.end_ms if end_ms is None else min(period.end_ms, end_ms)
    return (begin, end) if begin < end else None


def total_ms(spans: Iterable[tuple[int, int]]) -> int:
    """How long it was one or the other, overlaps counted once."""
    total, until = 0, 0
    for begin, end in sorted(spans):
        total += max(0, end - max(begin, until))
        until = max(until, end)
    return total


def _midnight(day: date, zone: tzinfo) -> int:
    begin = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (begin.astimezone(UTC) - _EPOCH) // _MS


def _after(day: date) -> date:
    return day + timedelta(days=1)
