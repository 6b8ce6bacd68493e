"""The panel as a function of time: every pattern to the millisecond, and who wins."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.panel import (
    BOOT_TEST_MS,
    PanelAlarm,
    PanelView,
    fault_signal,
    level_at,
    next_change_ms,
    signal_for,
)
from gateway.core.patterns import BEATS, look_alike
from gateway.domain.alarms import AlarmState
from gateway.domain.rules import Severity, Sound
from gateway.domain.signals import Lamp, Pattern, Signal

ELECTRICAL = PanelAlarm(Severity.ALARM, Sound.A1, AlarmState.UA, True, 1_000)
GAS = PanelAlarm(Severity.ALARM, Sound.A2, AlarmState.UA, True, 1_000)
WARNING = PanelAlarm(Severity.WARNING, Sound.W, AlarmState.UA, True, 1_000)
FAULT = PanelAlarm(Severity.FAULT, Sound.F, AlarmState.UA, True, 1_000)


def view(*alarms: PanelAlarm) -> PanelView:
    return PanelView(alarms=alarms)


def signal(pattern: Pattern, since_ms: int = 0) -> Signal:
    return Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.OFF, pattern, since_ms)


def lengths(pattern: Pattern, until_ms: int) -> list[int]:
    """On, off, on ... in ms, as heard by looking at every single millisecond."""
    heard = [level_at(signal(pattern, 5_000), 5_000 + ms).buzzer for ms in range(until_ms)]
    assert heard[0]
    return [len(list(group)) for _, group in itertools.groupby(heard)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (Pattern.E, [1000, 200] * 3),
        (Pattern.A1, [250, 250] * 3),
        (Pattern.A2, [100, 100, 100, 100, 100, 100, 100, 800] * 2),
        (Pattern.W, [300, 300, 300, 8300] * 2),
        (Pattern.F, [500, 19_500] * 2),
    ],
)
def test_each_pattern_is_exact_to_the_millisecond(pattern: Pattern, expected: list[int]) -> None:
    assert lengths(pattern, sum(expected)) == expected


def test_boot_sounds_one_short_tone_and_no_second_one() -> None:
    assert lengths(Pattern.B, 30_000) == [80, 29_920]


def test_quiet_never_sounds() -> None:
    assert not any(level_at(signal(Pattern.QUIET), ms).buzzer for ms in range(0, 30_000, 10))


@pytest.mark.parametrize(
    ("lamp", "half_ms"),
    [
        (Lamp.BLINK_QUARTER, 2000),
        (Lamp.BLINK_1, 500),
        (Lamp.BLINK_2, 250),
        (Lamp.BLINK_4, 125),
    ],
)
def test_a_blinking_lamp_begins_lit_and_keeps_its_rate(lamp: Lamp, half_ms: int) -> None:
    shown = replace(signal(Pattern.QUIET, 700), red=lamp)
    seen = [level_at(shown, 700 + ms).red for ms in range(6 * half_ms)]
    runs = [(lit, len(list(group))) for lit, group in itertools.groupby(seen)]
    assert runs == [(True, half_ms), (False, half_ms)] * 3


@given(
    lamps=st.tuples(*[st.sampled_from(Lamp)] * 4),
    pattern=st.sampled_from(Pattern),
    since=st.integers(0, 10**9),
    offset=st.integers(-50, 60_000),
)
def test_no_level_changes_before_the_next_announced_change(
    lamps: tuple[Lamp, Lamp, Lamp, Lamp], pattern: Pattern, since: int, offset: int
) -> None:
    shown = Signal(*lamps, pattern, since)
    mono = since + offset
    change = next_change_ms(shown, mono)
    end = mono + 25_000 if change is None else change
    assert end > mono
    steps = range(mono, end, max(1, (end - mono) // 200))
    assert {level_at(shown, ms) for ms in (*steps, end - 1)} == {level_at(shown, mono)}


def test_no_pattern_can_be_taken_for_an_evacuation_signal() -> None:
    alike = {pattern: look_alike(beats) for pattern, beats in BEATS.items()}
    assert alike == dict.fromkeys(BEATS) | {Pattern.A3: "T4"}  # which means carbon monoxide


def test_the_evacuation_signals_themselves_are_recognised() -> None:
    assert look_alike((500, 500, 500, 500, 500, 1500)) == "T3"
    assert look_alike((450, 550, 450, 550, 450, 1600)) == "T3"
    assert look_alike((100, 100, 100, 100, 100, 100, 100, 5000)) == "T4"


def test_gas_pattern_with_a_long_pause_would_be_refused() -> None:
    assert look_alike((*BEATS[Pattern.A2][:-1], 4000)) == "T4"


@pytest.mark.parametrize(
    ("alarms", "mono", "pattern"),
    [
        ((), 2_000, Pattern.QUIET),
        ((FAULT,), 2_000, Pattern.F),
        ((FAULT, WARNING), 2_000, Pattern.W),
        ((FAULT, WARNING, GAS), 2_000, Pattern.A2),
        ((FAULT, WARNING, GAS, ELECTRICAL), 2_000, Pattern.A1),
        ((FAULT, WARNING, GAS), 60_999, Pattern.A2),
        ((FAULT, WARNING, GAS), 61_000, Pattern.E),
        ((FAULT, WARNING), 10**7, Pattern.W),
    ],
)
def test_the_highest_row_wins_the_buzzer(
    alarms: tuple[PanelAlarm, ...], mono: int, pattern: Pattern
) -> None:
    assert signal_for(view(*alarms), None, mono).pattern is pattern


def test_lamps_of_all_severities_stand_side_by_side() -> None:
    shown = signal_for(view(FAULT, WARNING, ELECTRICAL), None, 2_000)
    assert (shown.red, shown.amber, shown.yellow) == (Lamp.BLINK_2, Lamp.BLINK_1, Lamp.BLINK_1)


def test_red_blinks_harder_once_escalated_even_when_silenced() -> None:
    silenced = replace(ELECTRICAL, is_sounding=False)
    shown = signal_for(view(silenced), None, 61_000)
    assert (shown.red, shown.pattern) == (Lamp.BLINK_4, Pattern.QUIET)


@pytest.mark.parametrize("state", [AlarmState.AA, AlarmState.LA])
def test_an_acknowledged_alarm_is_quiet_and_its_lamp_steady(state: AlarmState) -> None:
    shown = signal_for(view(replace(ELECTRICAL, state=state, is_sounding=False)), None, 10**6)
    assert (shown.red, shown.pattern) == (Lamp.ON, Pattern.QUIET)


@pytest.mark.parametrize("state", [AlarmState.RU, AlarmState.LU])
def test_an_alarm_that_returned_unseen_goes_on_blinking_and_sounding(state: AlarmState) -> None:
    shown = signal_for(view(replace(GAS, state=state)), None, 2_000)
    assert (shown.red, shown.pattern) == (Lamp.BLINK_2, Pattern.A2)


def test_a_silenced_alarm_keeps_its_lamp() -> None:
    shown = signal_for(view(replace(WARNING, is_sounding=False)), None, 2_000)
    assert (shown.amber, shown.pattern) == (Lamp.BLINK_1, Pattern.QUIET)


def test_a_new_warning_sounds_while_a_silenced_alarm_keeps_its_lamp() -> None:
    shown = signal_for(view(replace(ELECTRICAL, is_sounding=False), WARNING), None, 2_000)
    assert (shown.red, shown.pattern) == (Lamp.BLINK_2, Pattern.W)


@pytest.mark.parametrize(
    ("is_polling_ok", "is_buffering", "green"),
    [
        (True, False, Lamp.ON),
        (True, True, Lamp.BLINK_QUARTER),
        (False, False, Lamp.OFF),
        (False, True, Lamp.OFF),
    ],
)
def test_green_tells_polling_and_delivery(
    is_polling_ok: bool, is_buffering: bool, green: Lamp
) -> None:
    shown = PanelView(is_polling_ok=is_polling_ok, is_buffering=is_buffering)
    assert signal_for(shown, None, 0).green is green


def test_the_same_situation_gives_back_the_same_signal() -> None:
    first = signal_for(view(ELECTRICAL), None, 2_000)
    assert signal_for(view(ELECTRICAL), first, 9_000) is first


def test_a_new_alarm_of_the_same_pattern_is_heard_at_once() -> None:
    first = signal_for(view(WARNING), None, 1_000)
    second = signal_for(view(WARNING, replace(WARNING, raised_mono_ms=4_000)), first, 4_000)
    assert second.since_ms == 4_000
    assert level_at(second, 4_000).buzzer
    assert not level_at(first, 4_000).buzzer


def test_losing_one_of_two_alarms_does_not_start_the_pattern_anew() -> None:
    both = signal_for(view(FAULT, replace(FAULT, raised_mono_ms=1_500)), None, 1_500)
    assert signal_for(view(FAULT), both, 3_000).since_ms == 1_500


def test_a_sound_that_comes_back_after_silence_begins_at_its_first_beat() -> None:
    sounding = signal_for(view(ELECTRICAL), None, 1_000)
    silenced = signal_for(view(replace(ELECTRICAL, is_sounding=False)), sounding, 2_000)
    again = signal_for(view(ELECTRICAL), silenced, 30_100)
    assert (silenced.pattern, again.since_ms) == (Pattern.QUIET, 30_100)


def test_boot_lights_every_lamp_and_then_shows_the_state() -> None:
    boot = signal_for(PanelView(is_boot_test=True), None, 1_000)
    assert (boot.red, boot.amber, boot.yellow, boot.green) == (Lamp.ON,) * 4
    assert boot.pattern is Pattern.B
    after = signal_for(PanelView(), boot, 1_000 + BOOT_TEST_MS)
    assert (after.red, after.amber, after.yellow, after.green) == (Lamp.OFF,) * 3 + (Lamp.ON,)
    assert after.pattern is Pattern.QUIET


def test_an_alarm_restored_at_boot_does_not_wait_for_the_lamp_test() -> None:
    shown = signal_for(PanelView(alarms=(GAS,), is_boot_test=True), None, 1_000)
    assert (shown.pattern, shown.red, shown.amber) == (Pattern.A2, Lamp.BLINK_2, Lamp.OFF)


def test_a_fault_at_boot_sounds_while_the_lamp_test_goes_on() -> None:
    shown = signal_for(PanelView(alarms=(FAULT,), is_boot_test=True), None, 1_000)
    assert (shown.pattern, shown.red, shown.green) == (Pattern.F, Lamp.ON, Lamp.ON)


def test_without_a_decider_green_goes_and_the_fault_pattern_sounds() -> None:
    healthy = signal_for(PanelView(), None, 0)
    assert fault_signal(7_000, healthy) == Signal(
        Lamp.OFF, Lamp.OFF, Lamp.BLINK_1, Lamp.OFF, Pattern.F, 7_000
    )
    assert fault_signal(7_000) == fault_signal(7_000, healthy)


def test_without_a_decider_a_sounding_alarm_goes_on_sounding() -> None:
    shown = signal_for(view(ELECTRICAL), None, 1_000)
    alone = fault_signal(7_000, shown)
    assert (alone.pattern, alone.since_ms, alone.red) == (Pattern.A1, 1_000, Lamp.BLINK_2)
    assert (alone.yellow, alone.green) == (Lamp.BLINK_1, Lamp.OFF)


def test_without_a_decider_the_lamps_of_a_boot_test_are_not_kept() -> None:
    boot = signal_for(PanelView(is_boot_test=True), None, 0)
    assert fault_signal(7_000, boot) == fault_signal(7_000)
