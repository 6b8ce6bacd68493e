"""Night is what the clock on the wall says, where our clock can be trusted."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.core.local_time import is_night, local_time, turns_in_ms
from gateway.domain.moments import Clk, Now
from gateway.domain.site import NIGHT, QuietHours

SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(clock: str, clk: Clk = Clk.SYNC, day: str = "2026-11-22", zone: ZoneInfo = SHANGHAI) -> Now:
    local = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zone)
    return Now(5_000, int(local.timestamp() * 1000), clk, 100, "b00t")


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("21:59:59.999", False), ("22:00:00", True), ("00:00:00", True), ("05:59:59.999", True),
        ("06:00:00", False), ("12:00:00", False),
    ],
)  # fmt: skip
def test_the_usual_night_is_from_ten_to_six(clock, expected):
    assert is_night(NIGHT, at(clock), SHANGHAI) is expected


def test_hours_within_one_day_do_not_span_midnight():
    nap = QuietHours(13 * 60, 14 * 60 + 30)
    clocks = ("12:59", "13:00", "14:29", "14:30", "01:00")
    found = [is_night(nap, at(clock), SHANGHAI) for clock in clocks]
    assert found == [False, True, True, False, False]


@pytest.mark.parametrize("clk", [Clk.EST, Clk.NONE])
def test_on_a_clock_that_cannot_be_trusted_it_is_day_and_everything_sounds(clk):
    assert not is_night(NIGHT, at("23:00", clk), SHANGHAI)
    assert local_time(at("23:00", clk), SHANGHAI) is None


def test_without_a_known_zone_without_hours_or_without_utc_it_is_day():
    assert not is_night(NIGHT, at("23:00"), None)
    assert not is_night(None, at("23:00"), SHANGHAI)
    assert not is_night(NIGHT, Now(0, None, Clk.SYNC, None, "b"), SHANGHAI)
    assert turns_in_ms(None, at("23:00"), SHANGHAI) is None


def test_the_zone_is_the_houses_and_not_the_machines():
    noon = Now(
        0, int(datetime(2026, 11, 22, 14, 30, tzinfo=UTC).timestamp() * 1000), Clk.HOLD, 0, "b"
    )
    assert is_night(NIGHT, noon, SHANGHAI)  # 22:30 there
    assert not is_night(NIGHT, noon, ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("clock", "minutes"), [("21:00", 60), ("22:00", 480), ("05:30", 30), ("06:00", 960)]
)
def test_it_is_known_how_long_until_day_or_night_begins(clock, minutes):
    assert turns_in_ms(NIGHT, at(clock), SHANGHAI) == minutes * 60_000


def test_night_ends_at_six_also_when_the_clocks_are_put_forward():
    berlin = ZoneInfo("Europe/Berlin")
    for clock, expected in (("05:59", True), ("06:00", False)):
        assert is_night(NIGHT, at(clock, day="2026-03-29", zone=berlin), berlin) is expected
