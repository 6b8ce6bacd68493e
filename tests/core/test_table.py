"""Each row of the alarm table, and a restart in each of its states."""

import json
import re
from dataclasses import replace

import pytest

from gateway.core import alarms
from gateway.core.alarms import (
    AA,
    ACKED,
    AGED,
    BACK,
    CLEARED,
    CROSSED,
    GRAVER,
    HELD,
    HELD_LOWER,
    LA,
    LATCHED,
    LU,
    NEXT,
    QUIET,
    RU,
    UA,
    WAS_RESET,
    N,
    P,
)  # fmt: skip
from gateway.core.state import state_of
from gateway.domain import events
from gateway.domain.alarms import Alarm, AlarmState, Inhibit
from gateway.domain.moments import Clk, Now
from gateway.domain.readings import Quality
from gateway.domain.rules import Above, Severity, Sound
from gateway.store.alarms import alarm_from_json, alarm_to_json
from tests.core.test_step import WARNING, Play, house, now, point, rule

HOUR = 3_600_000
ROWS = [
    (N, CROSSED, P), (N, HELD, UA), (N, HELD_LOWER, AA),
    (P, BACK, N), (P, HELD, UA), (P, HELD_LOWER, AA),
    (UA, ACKED, AA), (UA, CLEARED, RU), (AA, CLEARED, N), (AA, AGED, UA),
    (AA, GRAVER, UA),
    (RU, ACKED, N), (RU, HELD, UA), (RU, HELD_LOWER, UA),
    (LU, ACKED, LA), (LU, HELD, UA), (LU, HELD_LOWER, UA),
    (LA, HELD, UA), (LA, HELD_LOWER, AA), (LA, WAS_RESET, N),
]  # fmt: skip


@pytest.mark.parametrize(("state", "happening", "then"), ROWS)
def test_a_row_of_the_table_leads_where_the_field_note_says(state, happening, then):
    moved, _ = alarms.advance(rule(), Alarm("x", state), happening)
    assert moved.state is then


def test_the_rows_are_the_whole_table():
    assert {(state, happening): then for state, happening, then in ROWS} == NEXT
    assert LATCHED == {(UA, CLEARED): LU, (AA, CLEARED): LA}
    assert QUIET == {(UA, CLEARED): N}


@pytest.mark.parametrize(("state", "then"), [(UA, LU), (AA, LA)])
def test_a_rule_that_latches_does_not_return_to_normal(state, then):
    assert alarms.advance(rule(latch=True), Alarm("x", state), CLEARED)[0].state is then


# -- played ------------------------------------------------------------------------------------

LATCHING = rule(latch=True, realarm_after_ms=4 * HOUR)


class Kept(Play):
    """A decider that can be restarted from what the disk would hold."""

    def __init__(self, made):
        self.made, self.disk, self.kept = made, {}, {}
        super().__init__(made)

    def feed(self, ms, event, **how):
        outcome = super().feed(ms, event, **how)
        self.disk |= {alarm.rule: alarm_to_json(alarm) for alarm in outcome.alarms}
        self.kept |= {(each.kind, each.key): each for each in outcome.kept}
        return outcome

    def restart(self, ms, *, boot="b00t", clk=Clk.SYNC, utc=None):
        at = Now(ms, now(ms).utc_ms if utc is None else utc, clk, 40, boot)
        restored = [alarm_from_json(text) for text in self.disk.values()]
        self.state = state_of(self.made, restored, at, kept=tuple(self.kept.values()))
        return at

    def pass_until(self, ms):
        while (due := self.state.next_deadline_ms) is not None and due <= ms:
            self.feed(due, events.Ticked())

    def ask(self, ms, event):
        (reply,) = self.feed(ms, event).replies
        assert reply.ok or reply.say is not None, f"{reply.code} says nothing"
        return reply.code

    @property
    def alarm(self):
        return self.state.alarms.get("board.leak/high", Alarm("board.leak/high"))

    def facts(self, kind):
        records = [r for outcome in self.outcomes for r in outcome.records if r.kind == kind]
        return [json.loads(record.body)["data"] for record in records]


@pytest.fixture
def play(tmp_path):
    return Kept(house(tmp_path, rules=(LATCHING, WARNING)))


def bring_to(play, state):
    """Up to 60 s, the state by readings and verbs alone."""
    play.feed(0, events.Restarted())
    if state is N:
        return
    play.read(1_000, 310)
    if state is P:
        return
    play.read(4_000, 310)
    if state in (AA, LA):
        play.ask(5_000, events.Acknowledge("s01", reply_to=1))
    if state in (LU, LA, RU):
        play.read(10_000, 100)
        play.read(15_000, 100)


def find_nothing(play, ms):
    """Somebody has looked: without a verdict on its case a latched alarm is not reset."""
    for case in list(play.state.cases):
        play.feed(ms, events.Handle("s01", case, "false", cause="cooking"))


def leaves_by(play, state):
    """The way on from a state at 61 s, and where it must lead."""
    match state:
        case AlarmState.N | AlarmState.P:
            play.read(61_000, 310)
            play.read(64_000, 310)
            return UA
        case AlarmState.UA | AlarmState.LU | AlarmState.RU:
            play.feed(61_000, events.Acknowledge("s01"))
            return {UA: AA, LU: LA, RU: N}[state]
        case AlarmState.AA:
            play.read(61_000, 100)
            play.read(66_000, 100)
            return LA
        case _:
            play.read(61_000, 100)
            find_nothing(play, 61_000)
            assert play.ask(62_000, events.Reset("s01", "board.leak/high", 1)) == "done"
            return N


@pytest.mark.parametrize("is_reboot", [False, True])
@pytest.mark.parametrize("state", list(AlarmState))
def test_a_restart_in_each_state_changes_nothing_but_pending(tmp_path, state, is_reboot):
    made = LATCHING if state is not RU else replace(LATCHING, latch=False)
    play = Kept(house(tmp_path, rules=(made, WARNING)))
    bring_to(play, state)
    assert play.alarm.state is state
    play.restart(60_000, boot="other" if is_reboot else "b00t")
    play.feed(60_000, events.Restarted())
    assert play.alarm.state is (N if state is P else state)
    assert play.alarm.is_sounding(60_000) == state.is_unacknowledged
    assert leaves_by(play, state) is play.alarm.state


def test_a_latched_alarm_cannot_be_reset_after_a_restart_before_its_value_is_known(play):
    bring_to(play, LA)
    play.restart(60_000)
    assert play.ask(60_000, events.Reset("s01", "board.leak/high", 1)) == "value_unknown"
    play.read(61_000, 100)
    assert play.ask(61_500, events.Reset("s01", "board.leak/high", 1)) == "needs_verdict"
    find_nothing(play, 61_600)
    assert play.ask(62_000, events.Reset("s01", "board.leak/high", 1)) == "done"


@pytest.mark.parametrize(
    ("value", "quality", "code"),
    [
        (310, Quality.GOOD, "not_normal_yet"),
        (260, Quality.GOOD, "value_unknown"),
        (None, Quality.FAULT, "value_unknown"),
        (100, Quality.SUSPECT, "value_unknown"),
    ],
)
def test_reset_needs_a_value_that_is_normal_and_trusted(play, value, quality, code):
    bring_to(play, LA)
    play.read(60_000, value, quality=quality)
    assert play.ask(60_100, events.Reset("s01", "board.leak/high", 1)) == code
    assert play.alarm.state is LA


def test_after_reset_the_alarm_is_back_within_20_s_when_its_cause_persists(play):
    bring_to(play, LA)
    play.read(60_000, 100)
    find_nothing(play, 60_000)
    assert play.ask(60_100, events.Reset("s01", reply_to=1)) == "done"
    play.read(61_000, 310)
    play.read(62_000, 310)
    play.pass_until(80_100)
    assert play.alarm.state is UA
    assert play.alarm.raised.mono_ms <= 60_100 + 20_000


def test_an_acknowledgement_of_what_is_over_takes_no_time_from_what_begins_anew(tmp_path):
    made = replace(LATCHING, latch=False)
    play = Kept(house(tmp_path, rules=(made,)))
    bring_to(play, UA)
    play.read(60_000, 100)
    play.pass_until(60_000 + made.clear_for_ms)
    assert play.alarm.state is RU
    play.read(200_000, 310)
    play.read(200_200, 310)
    assert play.ask(200_300, events.Acknowledge("s01", None, 1)) == "done"
    assert play.alarm.state is AlarmState.P
    assert play.alarm.occurrence == ""
    play.pass_until(200_000 + made.for_ms)
    assert play.alarm.state is UA, "its on-delay ran on without a further reading"
    assert play.alarm.raised.mono_ms == 200_000 + made.for_ms


@pytest.mark.parametrize(
    "event", [events.Acknowledge("panel", None, 1), events.Reset("panel", None, 1)]
)
def test_only_a_named_person_acknowledges_and_resets(play, event):
    bring_to(play, UA)
    assert play.ask(6_000, event) == "needs_person"


def test_silence_and_acknowledgement_stand_on_the_alarm_with_who_and_when(play):
    bring_to(play, UA)
    play.feed(6_000, events.Silence("s02"))
    assert (play.alarm.silenced_by, play.alarm.silenced_at.mono_ms) == ("s02", 6_000)
    play.feed(7_000, events.Acknowledge("s01"))
    assert (play.alarm.acked_by, play.alarm.acked.mono_ms) == ("s01", 7_000)
    bodies = [json.loads(r.body) for o in play.outcomes for r in o.records if r.kind == "alarm"]
    assert [(b["tr"], b["by"]) for b in bodies if b["rule"] == "board.leak/high"] == [
        ("raise", ""), ("silence", "s02"), ("ack", "s01"),
    ]  # fmt: skip


# -- re-alarm and severity ---------------------------------------------------------------------


@pytest.mark.parametrize("boot", ["b00t", "other"])
def test_what_is_acknowledged_and_stays_active_sounds_again(play, boot):
    bring_to(play, AA)
    play.restart(60_000, boot=boot)
    play.feed(60_000, events.Restarted())
    play.pass_until(5_000 + 4 * HOUR - 1)
    assert play.alarm.state is AA
    play.pass_until(5_000 + 4 * HOUR)
    assert (play.alarm.state, play.alarm.is_sounding(5_000 + 4 * HOUR)) == (UA, True)
    assert play.transitions("board.leak/high")[-1][1] == "realarm"


def test_rising_severity_is_a_new_occurrence_and_sounds(play):
    play.read(0, 210)
    play.read(3_000, 210)
    play.feed(4_000, events.Acknowledge("s01"))
    play.read(5_000, 310)
    outcome = play.read(8_000, 310)
    assert outcome.signal.pattern.value == "A1"
    assert play.alarm.occurrence != play.state.alarms["board.leak/warning"].occurrence


def test_falling_severity_is_silent_once_the_higher_one_was_acknowledged(play):
    play.read(0, 310)
    play.read(3_000, 310)
    play.feed(4_000, events.Acknowledge("s01", "board.leak/high"))
    assert play.state.alarms["board.leak/warning"].state is AA, "seen with the alarm"
    play.read(5_000, 210)
    outcome = play.read(10_000, 210)
    assert play.alarm.state is LA
    assert outcome.signal.pattern.value == "-"


def test_a_warning_that_comes_late_under_an_acknowledged_alarm_is_silent(tmp_path):
    slow = replace(WARNING, for_ms=20_000)
    play = Kept(house(tmp_path, rules=(LATCHING, slow)))
    play.read(0, 310)
    play.read(3_000, 310)
    play.feed(4_000, events.Acknowledge("s01"))
    outcome = play.read(20_000, 310)
    assert play.transitions(slow.id) == [(slow.id, "raise")]
    assert (play.state.alarms[slow.id].state, outcome.signal.pattern.value) == (AA, "-")


# -- shelving and out of service ---------------------------------------------------------------

SHELVE = events.Shelve("s01", WARNING.id, 2 * HOUR, "电工明早检修", 1)


def warn(play, ms):
    play.read(ms, 210)
    play.read(ms + 3_000, 210)


def test_a_shelved_warning_neither_sounds_nor_blinks_and_yellow_stands_still(play):
    assert play.ask(0, SHELVE) == "done"
    warn(play, 1_000)
    assert play.state.alarms[WARNING.id].inhibits == (Inhibit.SHELVED,)
    assert play.state.signal.pattern.value == "-"
    assert (play.state.signal.amber.value, play.state.signal.yellow.value) == ("off", "on")


def test_shelving_ends_by_itself_with_a_short_tone_and_what_is_still_true_sounds(play):
    play.ask(0, SHELVE)
    warn(play, 1_000)
    play.pass_until(2 * HOUR)
    assert play.state.shelved == {}
    assert (play.state.tone.value, play.state.tone_since_ms) == ("k1", 2 * HOUR)
    assert play.state.signal.pattern.value == "W"
    assert play.facts("unshelve") == [
        {"rule": WARNING.id, "by": "", "alarm": play.state.alarms[WARNING.id].occurrence}
    ]


def test_what_comes_and_goes_while_it_is_shelved_calls_nobody_afterwards(play):
    play.ask(0, SHELVE)
    warn(play, 1_000)
    play.read(10_000, 100)
    play.read(15_000, 100)
    assert WARNING.id not in play.state.alarms
    assert play.transitions(WARNING.id) == [(WARNING.id, "raise"), (WARNING.id, "clear")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"alarm": "board.leak/high"}, "not_for_alarms"),
        ({"alarm": "no/such"}, "unknown_alarm"),
        ({"for_ms": 8 * HOUR + 1}, "too_long"),
        ({"for_ms": 0}, "too_long"),
        ({"why": "  "}, "needs_reason"),
        ({"by": "panel"}, "needs_person"),
    ],
)
def test_a_shelving_that_is_not_allowed_is_refused_with_what_to_do(play, changes, code):
    assert play.ask(0, replace(SHELVE, **changes)) == code
    assert play.state.shelved == {}


def test_a_shelving_is_not_prolonged_and_may_be_ended_before_its_time(play):
    assert play.ask(0, SHELVE) == "done"
    assert play.ask(1, SHELVE) == "is_shelved"
    assert play.ask(2, events.Unshelve("s01", WARNING.id, 1)) == "done"
    assert play.ask(3, events.Unshelve("s01", WARNING.id, 1)) == "not_shelved"


@pytest.mark.parametrize(
    ("boot", "clk", "is_shelved"),
    [("b00t", Clk.NONE, True), ("other", Clk.SYNC, True), ("other", Clk.NONE, False)],
)
def test_a_shelving_keeps_its_end_over_a_reboot_and_is_over_without_a_clock(
    play, boot, clk, is_shelved
):
    play.ask(0, SHELVE)
    warn(play, 1_000)
    at = play.restart(HOUR, boot=boot, clk=clk)
    play.state, _ = alarms_step(play, events.Restarted(), at)
    assert bool(play.state.shelved) is is_shelved
    assert play.state.alarms[WARNING.id].is_sounding(HOUR) is not is_shelved
    if is_shelved:
        assert play.state.shelved[WARNING.id].until_ms == 2 * HOUR


def alarms_step(play, event, at):
    from gateway.core.step import step

    return step(play.state, event, at)


OUT = events.TakeOutOfService("t1", "board", "换探头", "WO-7", 1)


@pytest.mark.parametrize("subject", ["board", "board.leak", "board.leak/high", "bus/line"])
def test_out_of_service_quiets_even_an_alarm_survives_a_restart_and_ends_by_a_verb(play, subject):
    assert play.ask(0, replace(OUT, subject=subject)) == "done"
    play.read(1_000, 310)
    play.read(4_000, 310)
    assert play.alarm.state is UA
    assert play.alarm.inhibits == (Inhibit.OUT_OF_SERVICE,)
    play.restart(99 * HOUR, boot="other", clk=Clk.NONE)
    outcome = play.feed(99 * HOUR, events.Restarted())
    assert outcome.signal.red.value != "2Hz"
    assert play.state.out_of_service[subject].order == "WO-7"
    play.pass_until(99 * HOUR + 10_000)
    assert play.state.signal.yellow.value == "on"
    assert play.ask(99 * HOUR + 20_000, events.PutInService("t1", subject, 1)) == "done"
    assert play.state.signal.pattern.value == "A1", "still true: it sounds from here on"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"subject": "nothing"}, "unknown_subject"),
        ({"order": ""}, "needs_order"),
        ({"why": ""}, "needs_reason"),
        ({"by": "panel"}, "needs_person"),
    ],
)
def test_out_of_service_needs_a_subject_a_reason_an_order_and_a_person(play, changes, code):
    assert play.ask(0, replace(OUT, **changes)) == code


def test_a_bus_out_of_service_quiets_its_own_faults_and_its_devices_and_is_named_either_way(play):
    assert play.ask(0, replace(OUT, subject="line")) == "done"
    assert play.ask(0, replace(OUT, subject="bus/line")) == "is_out_of_service"
    play.feed(1_000, events.FaultRaised("bus_down", "line"))
    play.feed(1_000, events.FaultRaised("device_silent", "board"))
    for code, subject in (("bus_down", "line"), ("device_silent", "board")):
        alarm = play.state.alarms[f"gateway/{code}/{subject}"]
        assert Inhibit.OUT_OF_SERVICE in alarm.inhibits
        assert not alarm.is_sounding(1_000)
    assert play.ask(2_000, events.PutInService("t1", "line", 1)) == "done"
    assert play.state.out_of_service == {}


def test_in_service_is_refused_for_what_is_not_out_of_it(play):
    assert play.ask(0, events.PutInService("t1", "board", 1)) == "in_service"
    play.ask(0, OUT)
    assert play.ask(0, OUT) == "is_out_of_service"


def test_every_code_of_a_refusal_has_words_in_both_languages():
    from gateway.core.refusals import REFUSALS

    for words in REFUSALS.values():
        assert re.search(r"[\u4e00-\u9fff]", words.zh)
        assert words.en


def test_a_device_s_fault_suppresses_the_faults_of_its_points_until_it_ends(tmp_path):
    door = rule(
        "open", at="board.load", condition=Above(0, 0), severity=Severity.FAULT, sound=Sound.F,
        for_ms=0, min_samples=1,
    )  # fmt: skip
    play = Kept(house(tmp_path, points=(point("leak"), point("load")), rules=(rule(), door)))
    play.read(0, 1, name="load")
    assert play.state.alarms[door.id].inhibits == ()
    play.feed(1_000, events.FaultRaised("device_silent", "board"))
    assert play.state.alarms[door.id].inhibits == (Inhibit.SUPPRESSED,)
    play.feed(2_000, events.FaultCleared("device_silent", "board"))
    assert play.state.alarms[door.id].is_sounding(2_000)


def test_a_shelving_that_outlived_a_reboot_outlives_the_next_start_without_a_clock_too(tmp_path):
    play = Kept(house(tmp_path, rules=(LATCHING, WARNING)))
    assert play.ask(1_000, events.Shelve("s01", WARNING.id, 3_600_000, "检修", 1)) == "done"
    play.restart(2_000, boot="other")  # the wall clock says how long it has lasted
    play.feed(2_000, events.Restarted())
    play.restart(3_000, boot="other", clk=Clk.NONE)
    assert list(play.state.shelved) == [WARNING.id]
