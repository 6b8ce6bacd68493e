"""The panel as a function of time: every pattern to the millisecond, and who wins."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.panel import (
    BOOT_TEST_MS,
    FLASHES,
    PRIORITY,
    PanelAlarm,
    PanelView,
    fault_signal,
    level_at,
    next_change_ms,
    next_pulse_ms,
    relay_at,
    signal_for,
)
from gateway.core.patterns import ALARMS, BEATS, Mistake, look_alike, mistake_in, twins
from gateway.domain.alarms import AlarmState
from gateway.domain.rules import Severity, Sound
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import RelayMode

ELECTRICAL = PanelAlarm(Severity.ALARM, Sound.A1, AlarmState.UA, True, 1_000)
GAS = PanelAlarm(Severity.ALARM, Sound.A2, AlarmState.UA, True, 1_000)
WARNING = PanelAlarm(Severity.WARNING, Sound.W, AlarmState.UA, True, 1_000)
FAULT = PanelAlarm(Severity.FAULT, Sound.F, AlarmState.UA, True, 1_000)


def view(*alarms: PanelAlarm) -> PanelView:
    return PanelView(alarms=alarms)


def signal(pattern: Pattern, since_ms: int = 0) -> Signal:
    return Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.OFF, pattern, since_ms)


def changes(shown: Signal, since_ms: int, until_ms: int) -> list[int]:
    """On, off, on ... in ms, as the panel's thread would set it."""
    heard: list[list[int]] = []
    ms, is_on = since_ms, None
    while ms < until_ms:
        level = level_at(shown, ms).buzzer
        after = next_change_ms(shown, ms)
        after = until_ms if after is None else min(after, until_ms)
        if level is not is_on:
            heard.append([0])
            is_on = level
        heard[-1][0] += after - ms
        ms = after
    assert level_at(shown, since_ms).buzzer
    return [length for (length,) in heard]


def lengths(pattern: Pattern, until_ms: int) -> list[int]:
    """On, off, on ... in ms, as heard by looking at every single millisecond."""
    heard = [level_at(signal(pattern, 5_000), 5_000 + ms).buzzer for ms in range(until_ms)]
    assert heard[0]
    return [len(list(group)) for _, group in itertools.groupby(heard)]


TABLE = {  # field/patrol-and-alarms 5, row by row
    Pattern.E: [1000, 200],
    Pattern.A1: [250, 250],
    Pattern.A2: [100, 100, 100, 100, 100, 100, 100, 100 + 700],
    Pattern.A3: [100, 100, 100, 100, 100, 100, 100, 5000],  # T4 as UL 2034 has it
    Pattern.Q: [100, 100, 100, 100, 100, 100, 100, 100, 100, 100 + 4000],
    Pattern.W: [300, 300, 300, 300 + 8000],
    Pattern.F: [500, 19_500],
    Pattern.U: [60, 100, 60, 3_600_000 - 220],
    Pattern.R: [80, 120, 80, 120, 80, 600_000 - 480],
}


@pytest.mark.parametrize(("pattern", "cycle"), TABLE.items())
def test_each_pattern_is_exact_to_the_millisecond(pattern: Pattern, cycle: list[int]) -> None:
    times = 1 if sum(cycle) > 60_000 else 3
    assert changes(signal(pattern, 5_000), 5_000, 5_000 + times * sum(cycle)) == cycle * times


@pytest.mark.parametrize("pattern", [Pattern.E, Pattern.A2, Pattern.W])
def test_stepping_from_change_to_change_is_what_every_millisecond_says(pattern: Pattern) -> None:
    assert lengths(pattern, 2 * sum(TABLE[pattern])) == TABLE[pattern] * 2


@pytest.mark.parametrize(
    ("tone", "beats", "lamp"),
    [
        (Pattern.K1, [80], "green"),
        (Pattern.K2, [50, 50, 50], "amber"),
        (Pattern.K3, [600], "red"),
    ],
)
def test_feedback_is_heard_once_with_a_flash_of_its_lamp(
    tone: Pattern, beats: list[int], lamp: str
) -> None:
    shown = replace(signal(Pattern.QUIET), tone=tone, tone_since_ms=7_000)
    assert changes(shown, 7_000, 60_000) == [*beats, 53_000 - sum(beats)]
    lit = [getattr(level_at(shown, ms), lamp) for ms in range(7_000, 9_000)]
    runs = [(is_lit, len(list(group))) for is_lit, group in itertools.groupby(lit)]
    assert runs == [(True, 125), (False, 125)] * 3 + [(True, 125), (False, 1_125)]


@pytest.mark.parametrize("pattern", [*TABLE, Pattern.B])
def test_feedback_sounds_only_where_nothing_else_does(pattern: Pattern) -> None:
    for since in range(0, 12_000, 700):
        shown = replace(signal(pattern), tone=Pattern.K3, tone_since_ms=since)
        alone = signal(pattern)
        heard = [level_at(shown, since + ms).buzzer for ms in range(0, 1_000, 10)]
        as_ever = [level_at(alone, since + ms).buzzer for ms in range(0, 1_000, 10)]
        tone = [ms < 600 for ms in range(0, 1_000, 10)]
        both = [either or other for either, other in zip(as_ever, tone, strict=True)]
        assert heard == (both if pattern in (Pattern.U, Pattern.R) else as_ever)


def test_a_flash_does_not_hide_a_lamp_that_blinks_for_an_alarm() -> None:
    alarm = signal_for(view(replace(ELECTRICAL, is_sounding=False)), None, 2_000)
    flashed = replace(alarm, tone=Pattern.K3, tone_since_ms=2_100)
    assert all(
        level_at(flashed, ms).red == level_at(alarm, ms).red for ms in range(2_000, 5_000, 5)
    )


def test_a_drill_sounds_its_prefix_for_ten_seconds_and_then_the_real_pattern() -> None:
    drill = signal_for(view(replace(GAS, is_drill=True)), None, 2_000)
    heard = changes(drill, 2_000, 2_000 + 10_000 + 2 * 1_500)
    assert heard == [100, 900] * 10 + TABLE[Pattern.A2] * 2
    assert (drill.red, drill.yellow) == (Lamp.BLINK_2, Lamp.ON)


def test_a_real_alarm_ends_the_prefix_and_takes_the_buzzer_from_a_drill() -> None:
    drill = replace(ELECTRICAL, is_drill=True)
    before = signal_for(view(drill), None, 2_000)
    after = signal_for(view(drill, replace(GAS, raised_mono_ms=4_000)), before, 4_000)
    assert (after.pattern, after.prefix_ms, after.since_ms) == (Pattern.A2, 0, 4_000)
    late = signal_for(view(drill, GAS), after, 62_000)  # a drill that escalates stays below
    assert late.pattern is Pattern.E
    assert late.prefix_ms == 0
    again = signal_for(view(drill), late, 63_000)
    assert (again.pattern, again.prefix_ms) == (Pattern.E, 10_000)


def test_an_escalated_drill_does_not_drown_a_real_alarm_that_is_new() -> None:
    drill = replace(ELECTRICAL, is_drill=True)
    real = replace(GAS, raised_mono_ms=100_000)
    shown = signal_for(view(drill, real), None, 100_000)
    assert (shown.pattern, shown.prefix_ms) == (Pattern.A2, 0)


def test_more_of_the_same_drill_does_not_begin_the_prefix_anew() -> None:
    drill = replace(GAS, is_drill=True)
    first = signal_for(view(drill), None, 2_000)
    more = signal_for(view(drill, replace(drill, raised_mono_ms=8_000)), first, 8_000)
    assert more.since_ms == 2_000


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
    lamps=st.tuples(*[st.sampled_from(Lamp)] * 5),
    pattern=st.sampled_from(Pattern),
    prefix=st.sampled_from([0, 10_000]),
    chirp=st.sampled_from([Pattern.QUIET, Pattern.R]),
    tone=st.sampled_from([Pattern.QUIET, *FLASHES]),
    since=st.integers(0, 10**9),
    others=st.tuples(*[st.integers(-2_000, 60_000)] * 2),
    offset=st.integers(-50, 60_000),
)
def test_no_level_changes_before_the_next_announced_change(
    lamps: tuple[Lamp, Lamp, Lamp, Lamp, Lamp],
    pattern: Pattern,
    prefix: int,
    chirp: Pattern,
    tone: Pattern,
    since: int,
    others: tuple[int, int],
    offset: int,
) -> None:
    red, amber, yellow, green, white = lamps
    shown = Signal(
        red, amber, yellow, green, pattern, since, prefix, white,
        chirp, since + others[0], tone, since + others[1],
    )  # fmt: skip
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


CO = PanelAlarm(Severity.ALARM, Sound.A3, AlarmState.UA, True, 1_000)
HOUR = 3_600_000
ASKING = {  # what makes each row of the table ask for the buzzer
    Pattern.E: {"alarms": (replace(GAS, raised_mono_ms=-HOUR),)},
    Pattern.A1: {"alarms": (ELECTRICAL,)},
    Pattern.A2: {"alarms": (GAS,)},
    Pattern.A3: {"alarms": (CO,)},
    Pattern.Q: {"is_post_check": True},
    Pattern.W: {"alarms": (WARNING,)},
    Pattern.F: {"alarms": (FAULT,)},
    Pattern.U: {"link_down_since_ms": -HOUR},
    Pattern.R: {"round_overdue_since_ms": 0},
    Pattern.B: {"is_boot_test": True},
    Pattern.QUIET: {},
}
LAMP_OF = {
    Pattern.E: ("red", Lamp.BLINK_4),
    Pattern.A1: ("red", Lamp.BLINK_2),
    Pattern.A2: ("red", Lamp.BLINK_2),
    Pattern.A3: ("red", Lamp.BLINK_2),
    Pattern.Q: ("white", Lamp.BLINK_4),
    Pattern.W: ("amber", Lamp.BLINK_1),
    Pattern.F: ("yellow", Lamp.BLINK_1),
    Pattern.R: ("white", Lamp.BLINK_1),
}


def asking(*patterns: Pattern, **more: object) -> PanelView:
    fields = [ASKING[pattern] for pattern in patterns]
    merged = {key: value for part in fields for key, value in part.items()}
    merged["alarms"] = tuple(a for part in fields for a in part.get("alarms", ()))
    return PanelView(has_white=True, **merged | more)


def test_the_rows_stand_in_the_order_of_the_table() -> None:
    assert tuple(ASKING) == PRIORITY


@pytest.mark.parametrize("pair", list(itertools.combinations(ASKING, 2)))
def test_of_any_two_rows_the_higher_one_has_the_buzzer(pair: tuple[Pattern, Pattern]) -> None:
    for order in (pair, pair[::-1]):
        assert signal_for(asking(*order), None, 2_000).pattern is pair[0]


@pytest.mark.parametrize("pair", list(itertools.combinations(LAMP_OF, 2)))
def test_of_any_two_rows_both_lamps_are_seen(pair: tuple[Pattern, Pattern]) -> None:
    shown = signal_for(asking(*pair), None, 2_000)
    hides = {"red": Lamp.BLINK_4, "white": Lamp.BLINK_4}  # the harder of two on one lamp
    for pattern in pair:
        name, lamp = LAMP_OF[pattern]
        is_shared = LAMP_OF[pair[0]][0] == LAMP_OF[pair[1]][0] and lamp is not LAMP_OF[pair[0]][1]
        assert getattr(shown, name) is (hides[name] if is_shared else lamp)


@pytest.mark.parametrize("pattern", ASKING)
def test_by_night_warnings_faults_uplink_and_rounds_are_seen_and_alarms_heard(
    pattern: Pattern,
) -> None:
    day = signal_for(asking(pattern), None, 2_000)
    night = signal_for(asking(pattern, is_night=True), None, 2_000)
    is_muted = pattern in (Pattern.W, Pattern.F, Pattern.U, Pattern.R)
    assert night.pattern is (Pattern.QUIET if is_muted else pattern)
    lamps = ("red", "amber", "yellow", "green", "white")
    assert [getattr(night, name) for name in lamps] == [getattr(day, name) for name in lamps]


def test_a_warning_that_came_by_night_begins_to_sound_in_the_morning() -> None:
    night = signal_for(asking(Pattern.W, is_night=True), None, 2_000)
    morning = signal_for(asking(Pattern.W), night, 9_000_000)
    assert (morning.pattern, morning.since_ms) == (Pattern.W, 9_000_000)


def test_a_post_check_blinks_green_where_no_white_lamp_is_wired() -> None:
    shown = signal_for(PanelView(is_post_check=True, is_polling_ok=False), None, 0)
    assert (shown.green, shown.white) == (Lamp.BLINK_4, Lamp.OFF)


def test_uplink_and_round_are_heard_in_each_others_pauses() -> None:
    both = asking(Pattern.U, Pattern.R, link_down_since_ms=-290_000, round_overdue_since_ms=1_000)
    shown = signal_for(both, None, 20_000)
    assert (shown.pattern, shown.since_ms) == (Pattern.U, 10_000)
    heard = [ms for ms in range(20_000, HOUR + 20_000, 20) if level_at(shown, ms).buzzer]
    begins = [ms for ms in heard if not level_at(shown, ms - 20).buzzer]
    rounds = [601_000 + 600_000 * time + 200 * beep for time in range(6) for beep in range(3)]
    assert begins == [*rounds, HOUR + 10_000, HOUR + 10_160]


def test_the_hourly_chirp_counts_from_the_outage_also_after_other_sounds() -> None:
    alone = signal_for(asking(Pattern.U), None, 2_000)
    broken = signal_for(asking(Pattern.U, Pattern.W), alone, 500_000)
    again = signal_for(asking(Pattern.U), broken, 600_000)
    assert (broken.pattern, again) == (Pattern.W, alone)


@pytest.mark.parametrize("pattern", [Pattern.U, Pattern.R])
def test_a_silenced_chirp_is_still_on_its_lamp(pattern: Pattern) -> None:
    shown = signal_for(asking(pattern, silenced=frozenset({pattern})), None, 2_000)
    assert shown.pattern is Pattern.QUIET
    assert pattern is Pattern.U or shown.white is Lamp.BLINK_1


def test_five_minutes_without_uplink_are_no_chirp_yet() -> None:
    down = PanelView(link_down_since_ms=0, is_buffering=True)
    assert signal_for(down, None, 299_999).pattern is Pattern.QUIET
    assert signal_for(down, None, 300_000).pattern is Pattern.U


@pytest.mark.parametrize(
    ("alarms", "yellow"),
    [((), Lamp.ON), ((FAULT,), Lamp.BLINK_1), ((replace(FAULT, state=AlarmState.AA),), Lamp.ON)],
)
def test_what_is_shelved_out_of_service_or_tested_holds_the_yellow_lamp(
    alarms: tuple[PanelAlarm, ...], yellow: Lamp
) -> None:
    assert signal_for(PanelView(alarms=alarms, is_limited=True), None, 2_000).yellow is yellow


@pytest.mark.parametrize("sound", Sound)
@pytest.mark.parametrize("is_night", [True, False])
def test_an_alarm_is_heard_as_one_whatever_sound_its_rule_was_given(
    sound: Sound, is_night: bool
) -> None:
    shown = signal_for(PanelView((replace(GAS, sound=sound),), is_night=is_night), None, 2_000)
    assert shown.pattern in ALARMS


@pytest.mark.parametrize(
    ("made", "is_healthy"),
    [
        (PanelView(), True),
        (PanelView(is_polling_ok=False), False),
        (PanelView((replace(FAULT, state=AlarmState.AA, is_sounding=False),)), False),
        (PanelView((GAS,)), True),
        (PanelView(is_post_check=True, is_limited=True, is_boot_test=True), True),
        (PanelView(is_polling_ok=False, is_boot_test=True), False),
    ],
)
def test_the_relay_is_held_while_nothing_is_faulty(made: PanelView, is_healthy: bool) -> None:
    shown = signal_for(made, None, 2_000)
    assert relay_at(shown, RelayMode.STEADY, 2_000) is is_healthy
    pulses = [relay_at(shown, RelayMode.PULSE, ms) for ms in range(2_000, 6_000, 500)]
    assert pulses == ([True, False] * 4 if is_healthy else [False] * 8)
    assert next_pulse_ms(shown, RelayMode.PULSE, 2_100) == (2_500 if is_healthy else None)
    assert not relay_at(fault_signal(9_000, shown), RelayMode.STEADY, 9_000)


def test_without_a_decider_a_post_check_and_chirps_give_way_to_the_fault() -> None:
    for pattern in (Pattern.Q, Pattern.U, Pattern.R):
        alone = fault_signal(7_000, signal_for(asking(pattern), None, 2_000))
        assert (alone.pattern, alone.since_ms, alone.white) == (Pattern.F, 7_000, Lamp.OFF)


def test_without_a_decider_the_fault_is_heard_by_night_too() -> None:
    night = signal_for(asking(Pattern.F, is_night=True), None, 2_000)
    assert fault_signal(7_000, night).pattern is Pattern.F


@pytest.mark.parametrize(
    ("pattern", "beats", "mistake"),
    [
        (Pattern.A1, (), Mistake.UNPAIRED),
        (Pattern.A1, (250,), Mistake.UNPAIRED),
        (Pattern.K1, (80, 80), Mistake.UNPAIRED),
        (Pattern.A1, (250, 39), Mistake.TOO_SHORT),
        (Pattern.K3, (1_001,), Mistake.TOO_LONG),
        (Pattern.W, (100, 100) * 21, Mistake.TOO_MANY),
        (Pattern.E, (1000, 2001), Mistake.PAUSE),
        (Pattern.F, (500, 100_001), Mistake.PAUSE),
        (Pattern.E, (100, 200), Mistake.TOO_QUIET),
        (Pattern.A2, (100, 1900), Mistake.TOO_QUIET),
        (Pattern.W, (500, 500, 500, 500, 500, 1500), Mistake.T3),
        (Pattern.F, (500, 500, 500, 1500, 500, 500), Mistake.T3),  # begun at its second beep
        (Pattern.W, (500, 500, 500, 500, 500, 1500) * 2, Mistake.T3),  # written twice
        (Pattern.W, (500, 500, 500, 500, 500, 1500, 100, 3000), Mistake.T3),  # with another beep
        (Pattern.A3, (500, 500, 500, 500, 500, 1500), Mistake.T3),
        (Pattern.Q, (100, 100, 100, 100, 100, 100, 100, 5000), Mistake.T4),
        (Pattern.A3, (100, 100, 100, 100, 100, 100, 100, 5000), None),
        (Pattern.W, (500, 500, 500, 500, 500, 500, 500, 1500), None),  # four long beeps
        (Pattern.F, (500, 99_500), None),
    ],
)
def test_a_rhythm_is_refused_for_what_is_wrong_with_it(
    pattern: Pattern, beats: tuple[int, ...], mistake: Mistake | None
) -> None:
    assert mistake_in(pattern, beats) is mistake


def test_the_table_itself_is_a_set_that_a_house_may_use() -> None:
    assert [mistake_in(pattern, beats) for pattern, beats in BEATS.items()] == [None] * len(BEATS)
    assert twins(BEATS) == ()


def test_two_patterns_that_sound_the_same_are_found_wherever_they_begin() -> None:
    own = {**BEATS, Pattern.W: (300, 700, 200, 400), Pattern.F: (200, 400, 300, 720)}
    assert twins(own) == ((Pattern.W, Pattern.F),)


rhythms = st.one_of(
    st.lists(st.integers(1, 6_000), min_size=1, max_size=12).map(tuple),
    st.lists(st.sampled_from([40, 100, 250, 500, 1500, 5000]), min_size=2, max_size=8).map(tuple),
)


@given(
    own=st.dictionaries(st.sampled_from(list(BEATS)), rhythms),
    pattern=st.sampled_from(ALARMS),
    is_night=st.booleans(),
    mono=st.integers(0, 10**7),
)
def test_no_set_of_rhythms_that_is_accepted_mutes_an_alarm(
    own: dict[Pattern, tuple[int, ...]], pattern: Pattern, is_night: bool, mono: int
) -> None:
    kept = {name: beats for name, beats in own.items() if mistake_in(name, beats) is None}
    beats = {**BEATS, **kept}
    others = [name for name in ASKING if name not in ALARMS]
    shown = signal_for(asking(pattern, *others, is_night=is_night), None, 2_000)
    heard, ms = 0, mono
    while ms < mono + 6_000:  # the longest pause that any alarm may have
        after = next_change_ms(shown, ms, beats)
        assert after is not None
        heard += (min(after, mono + 6_000) - ms) * level_at(shown, ms, beats).buzzer
        ms = after
    assert heard >= 40
