"""Stories told to the decider, and what people then hear and see, to the millisecond.

Events go through `step`, the signals that come out through `level_at`: what is compared is the
timeline of the outputs, as the panel's thread would set them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from gateway.core.panel import level_at, next_change_ms
from gateway.core.patterns import BEATS
from gateway.core.state import FAULT_SILENCE_MS, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.errors import BusDown
from gateway.domain.moments import Clk, Now
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above, Severity, Sound
from gateway.domain.signals import Lamp, Pattern, Signal
from tests.core.test_step import house, now, point, rule

OUTPUTS = ("buzzer", "red", "amber", "yellow", "green")
SHANGHAI = ZoneInfo("Asia/Shanghai")
SECOND = 1_000
MINUTE = 60 * SECOND

LEAK = rule(at="board.leak", for_ms=0, min_samples=1)
GAS = rule(at="board.gas", for_ms=0, min_samples=1, sound=Sound.A2)
WARM = rule(
    at="board.warm", for_ms=0, min_samples=1, severity=Severity.WARNING, sound=Sound.W,
    condition=Above(60, 55),
)  # fmt: skip
LOAD = rule(
    at="board.load", for_ms=0, min_samples=1, severity=Severity.WARNING, sound=Sound.W,
    condition=Above(16, 15),
)  # fmt: skip


@dataclass
class Panel:
    """The decider's loop without time: deadlines are met exactly, signals are kept."""

    state: object
    shown: list[tuple[int, Signal]]
    clock: Callable[[int], Now] = now

    def feed(self, ms, event):
        self.pass_until(ms)
        self._step(ms, event)

    def read(self, ms, name, value):
        reading = Reading(f"board.{name}", value, Quality.GOOD, ms, "")
        self.feed(ms, events.BlockRead("line", "board", (reading,)))

    def pass_until(self, ms):
        while (due := self.state.next_deadline_ms) is not None and due < ms:
            self._step(due, events.Ticked())

    def _step(self, ms, event):
        self.state, outcome = step(self.state, event, self.clock(ms))
        if not self.shown or self.shown[-1][1] != outcome.signal:
            self.shown.append((ms, outcome.signal))

    def edges(self, output, since, until):
        """(ms, level) of one output: what it is at `since`, then every change before `until`."""
        self.pass_until(until)
        found = []
        for number, (begin, signal) in enumerate(self.shown):
            end = self.shown[number + 1][0] if number + 1 < len(self.shown) else until
            ms = max(begin, since)
            while ms is not None and ms < min(end, until):
                level = getattr(level_at(signal, ms), output)
                if not found or found[-1][1] != level:
                    found.append((ms, level))
                ms = next_change_ms(signal, ms)
        return [(ms, int(level)) for ms, level in found]

    def heard(self, since, until):
        return self.edges("buzzer", since, until)

    @property
    def signal(self):
        return self.shown[-1][1]


@pytest.fixture
def panel(tmp_path):
    """A house after its lamp test, connected and quiet."""
    points = [point(name) for name in ("leak", "gas", "warm", "load")]
    made = house(tmp_path, points=points, rules=[LEAK, GAS, WARM, LOAD])
    play = Panel(state_of(made, (), now(0)), [])
    play.feed(0, events.Restarted())
    play.feed(10, events.LinkChanged(is_up=True, broker="b"))
    play.feed(20, events.PlatformChanged(is_present=True))
    play.read(30, "leak", 1)
    play.pass_until(3 * SECOND)
    return play


def beats(pattern, since, until, *, first=True):
    """The edges of a pattern that begins at `since`."""
    found, ms, level = [], since, first
    lengths = BEATS[pattern]
    number = 0
    while ms < until:
        found.append((ms, int(level)))
        ms += lengths[number % len(lengths)]
        level, number = not level, number + 1
    return found


def blinks(half_ms, since, until):
    return [(ms, int((ms - since) // half_ms % 2 == 0)) for ms in range(since, until, half_ms)]


def test_boot_shows_every_lamp_for_two_seconds_and_one_short_tone(panel):
    assert panel.heard(0, 3 * SECOND) == [(0, 1), (80, 0)]
    for lamp in ("red", "amber", "yellow"):
        assert panel.edges(lamp, 0, 3 * SECOND) == [(0, 1), (2 * SECOND, 0)]
    assert panel.edges("green", 0, 3 * SECOND) == [(0, 1)]


@pytest.mark.parametrize(
    ("name", "pattern", "lamp", "half_ms"),
    [
        ("leak", Pattern.A1, "red", 250),
        ("gas", Pattern.A2, "red", 250),
        ("warm", Pattern.W, "amber", 500),
    ],
)
def test_a_new_alarm_sounds_and_blinks_from_the_millisecond_of_its_reading(
    panel, name, pattern, lamp, half_ms
):
    since, until = 5 * SECOND, 40 * SECOND
    panel.read(since, name, 400)
    assert panel.heard(since, until) == beats(pattern, since, until)
    assert panel.edges(lamp, since, until) == blinks(half_ms, since, until)
    others = {"red", "amber", "yellow"} - {lamp}
    assert all(panel.edges(other, since, until) == [(since, 0)] for other in others)


def test_a_fault_sounds_at_once_and_then_every_twenty_seconds(panel):
    since = 5 * SECOND
    panel.feed(since, events.FaultRaised("device_silent", "board"))
    assert panel.heard(since, since + MINUTE) == beats(Pattern.F, since, since + MINUTE)
    assert panel.edges("yellow", since, 20 * SECOND) == blinks(500, since, 20 * SECOND)


def test_an_alarm_that_nobody_takes_escalates_after_a_minute(panel):
    since = 5 * SECOND
    panel.read(since, "gas", 400)
    late = since + MINUTE
    assert panel.heard(since, late) == beats(Pattern.A2, since, late)
    assert panel.heard(late, late + 6 * SECOND) == beats(Pattern.E, late, late + 6 * SECOND)
    assert panel.edges("red", late, late + SECOND) == blinks(125, late, late + SECOND)


def test_silence_ends_by_itself_after_ten_minutes_and_the_lamp_never_stops(panel):
    panel.read(5 * SECOND, "leak", 400)
    silenced = 9 * SECOND + 100
    panel.feed(silenced, events.Silence("panel"))
    back = silenced + 10 * MINUTE
    assert panel.heard(silenced, back) == [(silenced, 0)]
    assert panel.heard(back, back + 12 * SECOND) == beats(Pattern.E, back, back + 12 * SECOND)
    lit = panel.edges("red", silenced, back)
    assert len(lit) > 2 * 60 * 9  # 2 Hz for a minute, then 4 Hz
    assert max(after - before for (before, _), (after, _) in pairwise(lit)) <= 250


def test_silence_again_after_its_end_is_another_ten_minutes(panel):
    panel.read(5 * SECOND, "leak", 400)
    panel.feed(9 * SECOND, events.Silence("panel"))
    again = 9 * SECOND + 10 * MINUTE + 3 * SECOND
    panel.feed(again, events.Silence("panel"))
    assert panel.heard(again, again + 10 * MINUTE) == [(again, 0)]
    end = again + 10 * MINUTE
    assert panel.heard(end, end + SECOND) == [(end, 1)]


def test_a_silenced_fault_stays_quiet_for_half_a_day_and_a_warning_until_the_next(panel):
    panel.read(5 * SECOND, "warm", 70)
    panel.feed(6 * SECOND, events.FaultRaised("device_silent", "board"))
    panel.feed(7 * SECOND, events.Silence("panel"))
    end = 7 * SECOND + FAULT_SILENCE_MS
    assert panel.heard(7 * SECOND, end) == [(7 * SECOND, 0)]
    assert panel.heard(end, end + MINUTE) == beats(Pattern.F, end, end + MINUTE)


def test_a_new_warning_is_heard_though_the_one_before_it_was_silenced(panel):
    panel.read(5 * SECOND, "warm", 70)
    panel.feed(6 * SECOND, events.Silence("panel"))
    panel.read(8 * SECOND, "load", 20)
    assert panel.heard(6 * SECOND, 8 * SECOND) == [(6 * SECOND, 0)]
    assert panel.heard(8 * SECOND, MINUTE) == beats(Pattern.W, 8 * SECOND, MINUTE)


def test_acknowledging_one_of_two_alarms_leaves_the_pattern_of_the_other(panel):
    panel.read(5 * SECOND, "gas", 400)
    panel.read(6 * SECOND, "leak", 400)
    assert panel.signal.pattern is Pattern.A1
    acked = 7 * SECOND
    panel.feed(acked, events.Acknowledge("E07", LEAK.id))
    assert panel.heard(acked, 20 * SECOND) == beats(Pattern.A2, acked, 20 * SECOND)
    panel.feed(20 * SECOND, events.Acknowledge("E07", GAS.id))
    assert panel.heard(20 * SECOND, 5 * MINUTE) == [(20 * SECOND, 0)]
    assert panel.edges("red", 20 * SECOND, 5 * MINUTE) == [(20 * SECOND, 1)]


def test_sound_goes_on_through_return_to_normal_and_the_lamp_goes_when_it_is_over(panel):
    panel.read(5 * SECOND, "warm", 70)
    panel.read(10 * SECOND, "warm", 40)
    panel.pass_until(20 * SECOND)  # the off-delay of five seconds is long over
    assert panel.signal.pattern is Pattern.W
    panel.feed(20 * SECOND, events.Acknowledge("E07"))
    assert panel.heard(20 * SECOND, MINUTE) == [(20 * SECOND, 0)]
    assert panel.edges("amber", 20 * SECOND, MINUTE) == [(20 * SECOND, 0)]


def test_holding_the_button_tests_the_lamps_while_a_silenced_alarm_waits(panel):
    panel.read(5 * SECOND, "leak", 400)
    panel.feed(6 * SECOND, events.Silence("panel"))
    test = 9 * SECOND
    panel.feed(test, events.LampTest("panel"))
    for lamp in ("amber", "yellow", "green"):
        lit = panel.edges(lamp, test, test + 2 * SECOND)
        assert lit == [(test, 1)]
    assert panel.heard(test, MINUTE) == [(test, 1), (test + 80, 0)]
    assert panel.signal.red is Lamp.BLINK_2


def test_a_lamp_test_is_broken_off_by_an_alarm(panel):
    panel.feed(5 * SECOND, events.LampTest("panel"))
    panel.read(5 * SECOND + 500, "gas", 400)
    begin = 5 * SECOND + 500
    assert panel.heard(begin, 10 * SECOND) == beats(Pattern.A2, begin, 10 * SECOND)
    assert panel.edges("amber", begin, 10 * SECOND) == [(begin, 0)]


def test_green_blinks_slowly_while_the_platform_gets_nothing_and_goes_with_the_last_device(panel):
    down = 5 * SECOND
    panel.feed(down, events.LinkChanged(is_up=False, broker="b", why="lost"))
    whole = panel.edges("green", down, down + 12 * SECOND)[1:]
    assert {after - before for (before, _), (after, _) in pairwise(whole)} == {2_000}
    gone = 20 * SECOND
    panel.feed(gone, events.BlockRead("line", "board", (), BusDown("unplugged")))
    assert panel.edges("green", gone, MINUTE) == [(gone, 0)]
    assert panel.signal.pattern is Pattern.F


def test_a_warning_of_the_night_is_seen_at_once_and_heard_at_six(tmp_path):
    at_six = 30 * MINUTE  # of the story: it begins at half past five
    start = int(datetime(2026, 11, 23, 5, 30, tzinfo=SHANGHAI).timestamp() * 1000)
    made = house(tmp_path, points=[point("warm"), point("gas")], rules=[WARM, GAS])
    made = replace(made, zone=SHANGHAI)
    play = Panel(state_of(made, (), now(0)), [], lambda ms: Now(ms, start + ms, Clk.SYNC, 0, "b"))
    play.read(5 * SECOND, "warm", 70)
    assert play.heard(5 * SECOND, at_six) == [(5 * SECOND, 0)]
    assert play.signal.amber is Lamp.BLINK_1
    assert play.heard(at_six, at_six + MINUTE) == beats(Pattern.W, at_six, at_six + MINUTE)


def test_an_alarm_of_the_night_is_heard_at_once(tmp_path):
    start = int(datetime(2026, 11, 23, 2, tzinfo=SHANGHAI).timestamp() * 1000)
    made = replace(house(tmp_path, points=[point("gas")], rules=[GAS]), zone=SHANGHAI)
    play = Panel(state_of(made, (), now(0)), [], lambda ms: Now(ms, start + ms, Clk.SYNC, 0, "b"))
    play.read(5 * SECOND, "gas", 400)
    assert play.heard(5 * SECOND, MINUTE) == beats(Pattern.A2, 5 * SECOND, MINUTE)


def test_the_chirp_of_a_long_outage_ends_with_a_press_and_begins_with_the_next_outage(panel):
    down = 10 * SECOND
    panel.feed(down, events.LinkChanged(is_up=False, broker="b", why="lost"))
    fault = down + 5 * MINUTE
    panel.feed(fault + SECOND, events.Acknowledge("E07"))
    panel.pass_until(fault + 2 * SECOND)
    assert panel.signal.pattern is Pattern.U
    panel.feed(fault + 3 * SECOND, events.Silence("panel"))
    assert panel.signal.pattern is Pattern.QUIET
    panel.pass_until(fault + 2 * 60 * MINUTE)
    assert panel.signal.pattern is Pattern.QUIET
    again = fault + 2 * 60 * MINUTE
    panel.feed(again, events.LinkChanged(is_up=True, broker="b"))
    panel.feed(again + SECOND, events.LinkChanged(is_up=False, broker="b", why="lost"))
    late = again + 6 * MINUTE
    panel.feed(late, events.Acknowledge("E07"))
    assert panel.signal.pattern is Pattern.U
