import json
import zlib
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.judge import judge
from gateway.core.messages import sender_of
from gateway.core.state import house_of, open_alarms, quality_now, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.alarms import AlarmState, Inhibit
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Encoding, Gate, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Lane
from gateway.domain.rules import Above, Rule, Severity, Sound
from gateway.domain.signals import Pattern
from gateway.domain.site import Bus, Device, PanelPins, Site, StoreSpec, TcpLink
from gateway.domain.text import Text


def point(name, device="board", **changes):
    made = Point(
        id=f"{device}.{name}", device=device, name=name, unit="mA", table=Table.INPUT, at=5,
        encoding=Encoding(WordType.UINT16, scale=Decimal(1)), period_ms=1_000,
    )  # fmt: skip
    return replace(made, **changes)


def rule(name="high", at="board.leak", **changes):
    made = Rule(
        id=f"{at}/{name}", name=name, point=at, condition=Above(300, 250),
        severity=Severity.ALARM, sound=Sound.A1, for_ms=3_000, clear_for_ms=5_000, latch=False,
        say=Text("剩余电流超限", "Residual current high"), do=(Text("断电", "Cut power"),),
        owner="电工班", basis="test",
    )  # fmt: skip
    return replace(made, **changes)


WARNING = rule("warning", condition=Above(200, 150), severity=Severity.WARNING, sound=Sound.W)


def house(tmp_path, points=None, rules=None):
    points = points or (point("leak"), point("load"))
    device = Device("board", "x", "line", 3, "1F 厨房", "电工班", tuple(points))
    site = Site(
        id="elm", name="榆园", institution="elder-care", timezone="Asia/Shanghai",
        buses=(Bus("line", TcpLink("127.0.0.1")),), devices=(device,),
        rules=tuple(rules or (rule(),)), panel=PanelPins(), uplink=None, store=StoreSpec(tmp_path),
    )  # fmt: skip
    return house_of(site, sender_of(site, "epoch0000001"), "0.1.0")


def now(ms, clk=Clk.SYNC, boot="b00t"):
    return Now(ms, 1_790_000_000_000 + ms, clk, 40, boot)


class Play:
    """A decider without a loop: feed events, look at what came of them."""

    def __init__(self, made, alarms=(), at=0):
        self.state = state_of(made, alarms, now(at))
        self.outcomes = []

    def feed(self, ms, event, judge=judge):
        self.state, outcome = step(self.state, event, now(ms), judge=judge)
        self.outcomes.append(outcome)
        return outcome

    def read(self, ms, value, name="leak", quality=Quality.GOOD, reason="", **how):
        reading = Reading(f"board.{name}", value, quality, ms, reason)
        return self.feed(ms, events.BlockRead("line", "board", (reading,)), **how)

    def fail(self, ms, failure, *names):
        readings = tuple(
            Reading(f"board.{name}", None, Quality.OFFLINE, ms, "silent") for name in names
        )
        return self.feed(ms, events.BlockRead("line", "board", readings, failure))

    def transitions(self, rule_id=None):
        bodies = [json.loads(r.body) for o in self.outcomes for r in o.records if r.kind == "alarm"]
        return [(body["rule"], body["tr"]) for body in bodies if rule_id in (None, body["rule"])]


@pytest.fixture
def play(tmp_path):
    return Play(house(tmp_path))


def test_an_alarm_shows_on_the_panel_in_the_step_that_raises_it(play):
    play.feed(0, events.Restarted())
    play.read(3_000, 310)
    play.read(4_000, 312)
    assert play.state.next_deadline_ms == 6_000
    outcome = play.feed(6_000, events.Ticked())
    assert outcome.signal.pattern is Pattern.A1
    body = json.loads(outcome.records[0].body)
    assert (body["tr"], body["val"], body["lim"], body["place"]) == ("raise", 312, 300, "1F 厨房")
    assert body["alarm"] == "epoch0000001-A-1"
    assert [alarm.rule for alarm in outcome.alarms] == ["board.leak/high"]


def test_a_pending_alarm_asks_for_its_block_and_a_normal_one_does_not(play):
    assert play.read(0, 100).nudges == ()
    assert play.read(1_000, 310).nudges == ("board.leak",)
    assert play.read(2_000, 100).nudges == ()


def test_while_a_delay_runs_only_the_blocks_that_are_read_are_hastened(tmp_path):
    play = Play(house(tmp_path, rules=(rule(for_ms=60_000), rule(at="board.load", for_ms=60_000))))
    play.read(1_000, 310)
    assert play.read(1_100, 310, "load").nudges == ("board.load",)
    assert play.read(1_200, 310).nudges == ("board.leak",)
    assert play.feed(1_300, events.Ticked()).nudges == ()


def test_samples_of_a_running_delay_and_of_an_open_alarm_need_no_look_at_all_the_others(tmp_path):
    play = Play(house(tmp_path, rules=(rule(for_ms=60_000), rule(at="board.load"))))
    play.read(1_000, 310)
    play.read(1_000, 310, "load")
    play.read(4_000, 310, "load")
    assert play.state.alarms["board.load/high"].state is AlarmState.UA
    play.read(4_100, 310)
    looked = play.state.looked
    assert (looked.until_ms, looked.due_ms) == (5_000, 61_000)
    play.read(4_900, 312)
    play.read(4_950, 312, "load")
    assert play.state.looked is looked
    assert play.state.alarms["board.load/high"].last == 312
    play.read(4_960, 100)  # and the delay that is over is found out at the next look
    assert "board.leak/high" not in play.state.alarms
    play.read(5_000, 100)
    assert play.state.next_deadline_ms != 61_000


def test_records_are_numbered_per_lane_without_gaps(tmp_path):
    play = Play(house(tmp_path, rules=(rule(), WARNING)))
    play.feed(0, events.Restarted())
    for ms in range(0, 10_000, 1_000):
        play.read(ms, 310)
    play.feed(11_000, events.FaultRaised("store_slow", "core.db"))
    play.feed(12_000, events.Acknowledge("s01"))
    records = [record for outcome in play.outcomes for record in outcome.records]
    for lane in (Lane.A, Lane.B):
        seqs = [record.seq for record in records if record.lane is lane]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) > 2


def test_a_fault_that_stands_tells_the_reason_of_now_and_is_not_raised_again(play):
    play.feed(0, events.FaultRaised("uplink_tls_files", "broker", "no CA file"))
    raised = play.state.alarms["gateway/uplink_tls_files/broker"]
    outcome = play.feed(60_000, events.FaultRaised("uplink_tls_files", "broker", "no key file"))
    stands = play.state.alarms["gateway/uplink_tls_files/broker"]
    assert (raised.detail, stands.detail) == ("no CA file", "no key file")
    assert stands.occurrence == raised.occurrence
    assert outcome.records == ()
    assert [alarm.detail for alarm in outcome.alarms] == ["no key file"]  # also after a restart


def test_silence_stops_the_sound_but_not_the_lamp_and_a_new_alarm_sounds_at_once(tmp_path):
    play = Play(house(tmp_path, rules=(rule(), WARNING)))
    play.read(0, 210)
    play.read(3_000, 210)
    assert play.state.signal.pattern is Pattern.W
    outcome = play.feed(4_000, events.Silence("panel", reply_to=7))
    assert outcome.signal.pattern is Pattern.QUIET
    assert outcome.signal.amber.value == "1Hz"
    assert outcome.replies[0].ok
    play.read(5_000, 310)
    outcome = play.read(8_000, 310)
    assert outcome.signal.pattern is Pattern.A1


def test_a_silence_runs_out(play):
    play.read(0, 310)
    play.read(3_000, 310)
    play.feed(4_000, events.Silence("panel"))
    due = play.state.next_deadline_ms
    assert due is not None
    while play.state.next_deadline_ms is not None and due < 604_000:
        play.feed(due, events.Ticked())
        due = play.state.next_deadline_ms
    assert due == 604_000
    assert play.feed(due, events.Ticked()).signal.pattern is not Pattern.QUIET


def test_an_unacknowledged_alarm_becomes_harder_after_a_minute(play):
    play.read(0, 310)
    play.read(3_000, 310)
    moments = []
    while play.state.next_deadline_ms is not None and play.state.signal.pattern is not Pattern.E:
        moments.append(play.state.next_deadline_ms)
        play.feed(moments[-1], events.Ticked())
    assert moments[-1] == 63_000


def test_bad_data_neither_raises_nor_clears_and_three_misses_are_a_silent_device(play):
    play.read(0, 310)
    play.read(3_000, 310)
    for ms in (4_000, 5_000, 6_000):
        play.fail(ms, DeviceSilent(3), "leak")
    for ms in range(7_000, 60_000, 1_000):
        play.fail(ms, DeviceSilent(3), "leak")
    assert play.transitions() == [
        ("board.leak/high", "raise"),
        ("gateway/device_silent/board", "raise"),
    ]
    alarm = play.state.alarms["board.leak/high"]
    assert (alarm.state, alarm.is_stale) == (AlarmState.UA, True)
    play.read(61_000, 100)
    assert play.transitions()[-1] == ("gateway/device_silent/board", "clear")
    play.read(66_000, 100)
    assert play.transitions()[-1] == ("board.leak/high", "clear")


def test_one_missed_reply_is_suspect_and_shows_no_number(play):
    play.read(0, 100)
    play.fail(1_000, DeviceSilent(3), "leak")
    shown = play.state.devices["board"].points["board.leak"].reading
    assert (shown.quality, shown.value) == (Quality.SUSPECT, None)


def test_an_offline_device_takes_all_its_points_along(play):
    play.read(0, 100)
    play.read(0, 5, name="load")
    for ms in (1_000, 2_000, 3_000):
        outcome = play.fail(ms, DeviceSilent(3), "leak")
    points = play.state.devices["board"].points
    assert {known.reading.quality for known in points.values()} == {Quality.OFFLINE}
    assert outcome.signal.yellow.value == "1Hz"


def test_a_bus_that_is_down_is_one_fault_and_suppresses_its_devices_faults(play):
    for ms in (0, 1_000, 2_000):
        play.fail(ms, DeviceSilent(3), "leak")
    play.fail(3_000, BusDown("no such port"), "leak")
    assert play.transitions() == [
        ("gateway/device_silent/board", "raise"),
        ("gateway/bus_down/line", "raise"),
    ]
    assert play.state.alarms["gateway/device_silent/board"].inhibits == (Inhibit.SUPPRESSED,)
    play.read(4_000, 100)
    assert play.transitions()[-1] == ("gateway/bus_down/line", "clear")


def test_a_wrong_map_is_a_fault_of_the_device_and_no_silence(play):
    reading = Reading("board.leak", None, Quality.FAULT, 0, "exception_2")
    play.feed(0, events.BlockRead("line", "board", (reading,), DeviceRefused(3, 2)))
    assert play.transitions() == [("gateway/device_refuses/board", "raise")]


def test_a_block_that_is_always_refused_is_one_fault_while_others_answer(play):
    refused = Reading("board.leak", None, Quality.FAULT, 0, "exception_2")
    for ms in range(0, 10_000, 1_000):
        play.feed(ms, events.BlockRead("line", "board", (refused,), DeviceRefused(3, 2)))
        play.read(ms, 5, name="load")
    assert play.transitions() == [("gateway/device_refuses/board", "raise")]
    play.read(10_000, 100)
    assert play.transitions()[-1] == ("gateway/device_refuses/board", "clear")


def test_a_block_that_is_split_because_of_a_hole_is_no_fault_yet(play):
    play.feed(0, events.BlockRead("line", "board", (), DeviceRefused(3, 2)))
    assert play.transitions() == []


def test_a_block_that_never_answers_is_one_fault_while_others_answer(play):
    play.read(0, 100)
    for ms in range(1_000, 10_000, 1_000):
        play.fail(ms, DeviceSilent(3), "leak")
        play.read(ms + 100, 5, name="load")
    assert play.transitions() == [("gateway/points_unanswered/board", "raise")]
    points = play.state.devices["board"].points
    assert points["board.leak"].reading.quality is Quality.OFFLINE
    assert points["board.load"].reading.quality is Quality.GOOD
    play.read(10_000, 100)
    assert play.transitions()[-1] == ("gateway/points_unanswered/board", "clear")


def test_a_question_from_before_a_device_came_back_is_no_fault_of_its_points(play):
    for ms in range(0, 20_000, 1_000):
        play.fail(ms, DeviceSilent(3), "leak")
        play.fail(ms + 100, DeviceSilent(3), "load")
    play.read(20_000, 5, name="load")
    play.fail(20_100, DeviceSilent(3), "leak")  # it was asked while the device was still away
    assert play.transitions() == [
        ("gateway/device_silent/board", "raise"),
        ("gateway/device_silent/board", "clear"),
    ]
    play.read(21_000, 5, name="load")
    play.fail(21_100, DeviceSilent(3), "leak")
    assert play.transitions()[-1] == ("gateway/points_unanswered/board", "raise")


def test_words_that_make_no_sense_are_a_fault_and_no_alarm(play):
    play.read(0, None, quality=Quality.FAULT, reason="not_a_number")
    play.read(1_000, None, quality=Quality.FAULT, reason="not_a_number")
    assert play.transitions() == [("gateway/readings_invalid/board", "raise")]
    play.read(2_000, 100)
    assert play.transitions()[-1] == ("gateway/readings_invalid/board", "clear")


def test_a_bus_that_goes_down_is_no_fault_of_single_points(play):
    play.read(0, 100)
    play.read(0, 5, name="load")
    for ms in (1_000, 2_000):
        play.fail(ms, DeviceSilent(3), "leak")
    play.fail(3_000, BusDown("unplugged"), "leak", "load")
    play.fail(4_000, BusDown("unplugged"), "leak", "load")
    assert play.transitions() == [("gateway/bus_down/line", "raise")]


@pytest.mark.parametrize("code", [0x0A, 0x0B])
def test_a_bridge_that_cannot_reach_the_device_means_a_silent_device(play, code):
    for ms in (0, 1_000, 2_000):
        play.fail(ms, DeviceRefused(3, code), "leak")
    assert play.transitions() == [("gateway/device_silent/board", "raise")]


def test_one_sentinel_is_suspect_and_the_next_is_a_fault(play):
    play.read(0, 100)
    play.read(1_000, None, quality=Quality.FAULT, reason="sentinel")
    points = play.state.devices["board"].points
    assert points["board.leak"].reading.quality is Quality.SUSPECT
    play.read(2_000, None, quality=Quality.FAULT, reason="sentinel")
    points = play.state.devices["board"].points
    assert points["board.leak"].reading.quality is Quality.FAULT


def test_a_gate_says_that_a_warming_gas_head_is_not_to_be_believed(tmp_path):
    gate = Gate("ready", {3: Quality.GOOD, 2: Quality.WARMING_UP}, Quality.FAULT)
    made = house(tmp_path, points=(point("ready"), point("leak", gate=gate)))
    play = Play(made)
    for ready, quality in ((None, "fault"), (2, "warming_up"), (3, "good"), (0, "fault")):
        if ready is not None:
            play.read(0, ready, name="ready")
        play.read(0, 310)
        assert play.state.devices["board"].points["board.leak"].reading.quality == quality


def test_a_value_that_never_moves_becomes_suspect_where_noise_is_expected(tmp_path):
    play = Play(house(tmp_path, points=(point("leak", stuck_after_ms=10_000),)))
    for ms in range(0, 12_000, 1_000):
        play.read(ms, 100)
    shown = play.state.devices["board"].points["board.leak"].reading
    assert (shown.quality, shown.reason) == (Quality.SUSPECT, "stuck")
    play.read(12_000, 101)
    assert play.state.devices["board"].points["board.leak"].reading.quality is Quality.GOOD


def test_a_counter_that_falls_is_a_record_and_no_negative_energy(tmp_path):
    play = Play(house(tmp_path, points=(point("leak"), point("energy", is_counter=True))))
    for ms, value in ((0, 100.0), (1_000, 101.0), (2_000, 3.0), (3_000, 4.0)):
        play.read(ms, value, name="energy")
    facts = [record.kind for outcome in play.outcomes for record in outcome.records]
    assert facts == ["counter_reset"]


def test_a_register_that_is_no_counter_does_not_fill_the_disk_with_resets(tmp_path):
    play = Play(house(tmp_path, points=(point("leak"), point("energy", is_counter=True))))
    for second in range(3_600):
        play.read(second * 1_000, 100.0 + second % 2, name="energy")
    facts = [record.kind for outcome in play.outcomes for record in outcome.records]
    assert facts.count("counter_reset") == 6


def test_a_value_too_old_is_not_shown_as_good(play):
    play.read(0, 100)
    made = play.state.house.points["board.leak"]
    known = play.state.devices["board"].points["board.leak"]
    assert quality_now(made, known, 60_000).quality is Quality.GOOD
    assert quality_now(made, known, 60_001).quality is Quality.OFFLINE
    assert quality_now(made, None, 0).reason == "not_read_yet"


def test_a_rule_that_fails_is_a_fault_and_the_other_alarms_still_sound(tmp_path):
    broken = rule("broken", condition=Above(1, 0))
    play = Play(house(tmp_path, rules=(broken, rule())))

    def fails(made, reading):
        if made.name == "broken":
            raise ZeroDivisionError("division by zero")
        return judge(made, reading)

    for ms in range(0, 5_000, 1_000):
        outcome = play.read(ms, 310, judge=fails)
    assert outcome.signal.pattern is Pattern.A1
    assert play.transitions() == [
        ("gateway/rule_failed/board.leak/broken", "raise"),
        ("gateway/rule_out_of_service/board.leak/broken", "raise"),
        ("board.leak/high", "raise"),
    ]


def test_a_rule_that_works_again_for_a_minute_is_no_fault_any_more(play):
    def fails(made, reading):
        raise ValueError

    play.read(0, 100, judge=fails)
    play.read(30_000, 100)
    assert play.transitions()[-1] == ("gateway/rule_failed/board.leak/high", "raise")
    play.read(60_000, 100)
    assert play.transitions()[-1] == ("gateway/rule_failed/board.leak/high", "clear")


def test_the_first_sweep_is_reported_at_once_and_later_ones_in_batches(play):
    play.read(0, 100)
    assert play.state.next_deadline_ms == 250
    first = play.feed(250, events.Ticked()).batch
    assert [(r.point, r.value) for r in first.readings] == [("board.leak", 100)]
    play.read(1_000, 101)
    assert play.state.next_deadline_ms == 11_000
    assert play.feed(11_000, events.Ticked()).batch.seq == 2


def test_a_whole_first_sweep_is_reported_without_waiting(play):
    assert play.read(0, 100).batch is None
    assert len(play.read(10, 5, name="load").batch.readings) == 2
    assert play.read(1_000, 101).batch is None


def test_a_batch_is_closed_when_it_is_full_and_when_the_daemon_stops(tmp_path):
    made = replace(house(tmp_path), batch_readings=3)
    play = Play(made)
    batches = [play.read(ms, ms).batch for ms in range(1, 4)]
    assert [bool(batch) for batch in batches] == [False, False, True]
    play.read(4, 4)
    assert len(play.feed(5, events.Stopping()).batch.readings) == 1


def test_an_open_alarm_sounds_again_after_a_restart_and_is_not_raised_twice(play, tmp_path):
    play.read(0, 310)
    play.read(3_000, 310)
    saved = play.outcomes[-1].alarms
    again = Play(house(tmp_path), saved, at=100_000)
    outcome = again.feed(100_000, events.Restarted())
    assert outcome.signal.pattern is Pattern.A1
    again.read(100_500, 310)
    again.read(104_000, 310)
    assert again.transitions() == []
    assert [alarm.state for alarm in open_alarms(again.state)] == [AlarmState.UA]


@pytest.mark.parametrize(("boot", "clk"), [("b00t", Clk.NONE), ("other", Clk.SYNC)])
def test_a_running_silence_keeps_its_expiry_over_restart_and_reboot(play, tmp_path, boot, clk):
    play.read(0, 310)
    play.read(3_000, 310)
    (saved,) = play.feed(4_000, events.Silence("panel")).alarms
    woken = state_of(house(tmp_path), (saved,), now(104_000, clk, boot)).alarms[saved.rule]
    assert woken.silenced_until_ms == 604_000


def test_after_a_reboot_without_a_clock_a_silenced_alarm_sounds_again(play, tmp_path):
    play.read(0, 310)
    play.read(3_000, 310)
    (saved,) = play.feed(4_000, events.Silence("panel")).alarms
    woken = state_of(house(tmp_path), (saved,), now(500, Clk.NONE, "other")).alarms[saved.rule]
    assert woken.is_sounding(500)


def test_an_open_alarm_whose_rule_is_gone_is_let_go_with_a_record(play, tmp_path):
    play.read(0, 310)
    play.read(3_000, 310)
    saved = play.outcomes[-1].alarms
    other = Play(house(tmp_path, rules=(rule("renamed"),)), saved, at=9_000)
    outcome = other.feed(9_000, events.Restarted())
    assert "alarm_dropped" in [record.kind for record in outcome.records]
    assert outcome.alarms[0].state is AlarmState.N
    assert open_alarms(other.state) == ()


def test_an_outage_of_five_minutes_is_a_fault_that_ends_with_the_link(play):
    play.feed(0, events.LinkChanged(is_up=False, broker="b", why="tcp"))
    assert play.state.next_deadline_ms == 300_000
    play.feed(300_000, events.Ticked())
    assert play.transitions() == [("gateway/uplink_down/b", "raise")]
    play.feed(301_000, events.LinkChanged(is_up=True, broker="b"))
    assert play.transitions()[-1] == ("gateway/uplink_down/b", "clear")


def test_a_clock_that_becomes_synchronised_leaves_an_anchor(tmp_path):
    made = house(tmp_path)
    state = state_of(made, (), now(0, Clk.NONE))
    state, outcome = step(state, events.Ticked(), now(1, Clk.SYNC))
    assert [record.kind for record in outcome.records] == ["anchor"]
    state, outcome = step(state, events.Ticked(), now(2, Clk.SYNC))
    assert outcome.records == ()


def test_a_jump_of_the_wall_clock_is_a_record_and_anchored_anew_when_it_was_a_synchronisation(
    tmp_path,
):
    for clk, kinds in ((Clk.EST, ["clock_step"]), (Clk.SYNC, ["clock_step", "anchor"])):
        state = state_of(house(tmp_path), (), now(0, clk))
        _, outcome = step(state, events.ClockStepped(-3_600_000, 5), now(10, clk))
        assert [record.kind for record in outcome.records] == kinds
        data = json.loads(outcome.records[0].body)["data"]
        assert data == {"by_ms": -3_600_000, "mono": 5}


def test_a_command_about_an_unknown_alarm_is_answered_as_such(play):
    outcome = play.feed(0, events.Acknowledge("s01", "no/such", reply_to=3))
    assert (outcome.replies[0].ok, outcome.replies[0].code) == (False, "unknown_alarm")


def test_a_lamp_test_does_not_interrupt_an_alarm(play):
    assert play.feed(0, events.LampTest("s01", reply_to=1)).signal.pattern is Pattern.B
    play.read(1_000, 310)
    play.read(4_000, 310)
    outcome = play.feed(5_000, events.LampTest("s01", reply_to=2))
    assert (outcome.replies[0].code, outcome.signal.pattern) == ("alarm_sounding", Pattern.A1)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.sampled_from([100, 210, 260, 310])),
            st.tuples(st.just("miss"), st.just(0)),
            st.tuples(st.just("ack"), st.just(0)),
            st.tuples(st.just("silence"), st.just(0)),
            st.tuples(st.just("reset"), st.just(0)),
            st.tuples(st.just("tick"), st.integers(0, 20_000)),
        ),
        max_size=40,
    )
)
def test_no_order_of_events_loses_a_number_or_leaves_a_deadline_behind(tmp_path_factory, acts):
    play = Play(house(tmp_path_factory.getbasetemp(), rules=(rule(latch=True), WARNING)))
    at, last_value = 0, None
    for act, argument in acts:
        at += 500
        match act:
            case "read":
                play.read(at, argument)
                last_value = argument
            case "miss":
                play.fail(at, DeviceSilent(3), "leak")
            case "ack":
                play.feed(at, events.Acknowledge("s01"))
            case "silence":
                play.feed(at, events.Silence("panel"))
            case "reset":
                play.feed(at, events.Reset("s01"))
            case "tick":
                at += argument
                play.feed(at, events.Ticked())
        deadline = play.state.next_deadline_ms
        assert deadline is None or deadline > at
        high = play.state.alarms.get("board.leak/high")
        if high is not None and high.state in (AlarmState.LU, AlarmState.LA):
            assert last_value != 310 or high.over_since_ms is not None
    for lane in (Lane.A, Lane.B):
        records = [r for o in play.outcomes for r in o.records if r.lane is lane]
        assert [r.seq for r in records] == list(range(1, len(records) + 1))
        for record in records:
            text = record.body if record.body[:1] == b"{" else zlib.decompress(record.body)
            assert json.loads(text)["seq"] == record.seq
