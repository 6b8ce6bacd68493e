"""What one silent line, or one that is read too late, becomes: one fault, about the right thing."""

import json
from dataclasses import replace
from pathlib import Path

from gateway.core.decode import decode_failure
from gateway.core.device_faults import OTHERS_ASKED_MS
from gateway.core.messages import sender_of
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.core.watch import WATCH_FROM_MS
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.errors import BusDown, DeviceSilent
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above, Rule, Severity, Sound
from gateway.domain.site import Bus, Device, PanelPins, Site, StoreSpec, TcpLink
from gateway.domain.text import Text
from tests.core.blocks import block_of

LINE = Bus("line", TcpLink("devices.example"))
OTHER = Bus("other", TcpLink("others.example"))


def device(name, bus="line"):
    leak = Point(
        f"{name}.leak", name, "leak", "mA", Table.INPUT, 5, Encoding(WordType.UINT16), 1_000
    )
    return Device(name, "x", bus, 3, f"place of {name}", "", (leak,))


def rule(name):
    return Rule(
        f"{name}.leak/high", "high", f"{name}.leak", Above(300, 250), Severity.ALARM, Sound.A1,
        3_000, 5_000, False, Text("高", "high"), (), "", "test",
    )  # fmt: skip


class Play:
    def __init__(self, *names, elsewhere=(), within_ms=None):
        devices = (*map(device, names), *(device(name, "other") for name in elsewhere))
        site = Site(
            "elm", "elm", "elder-care", "UTC", (LINE, OTHER), devices,
            tuple(rule(each.id) for each in devices), PanelPins(), None, StoreSpec(Path("x")),
        )  # fmt: skip
        within = {each.id: within_ms for each in site.rules} if within_ms else None
        made = house_of(site, sender_of(site, "epoch0000001"), "0", within)
        self.devices = {each.id: each for each in devices}
        self.state = state_of(made, (), self.now(0))
        self.said = []

    def now(self, ms):
        return Now(ms, None, Clk.NONE, 0, "b00t")

    def feed(self, ms, event):
        self.state, outcome = step(self.state, event, self.now(ms))
        for record in outcome.records:
            if record.kind == "alarm":
                body = json.loads(record.body)
                self.said.append((ms, body["rule"].removeprefix("gateway/"), body["tr"]))

    def answers(self, ms, *names):
        for name in names:
            reading = Reading(f"{name}.leak", 10, Quality.GOOD, ms)
            self.feed(ms, events.BlockRead(self.devices[name].bus, name, (reading,)))

    def misses(self, ms, *names, failure=None):
        for name in names:
            made = self.devices[name]
            error = failure or DeviceSilent(made.unit)
            readings = decode_failure(block_of(made), error, ms)
            self.feed(ms, events.BlockRead(made.bus, name, readings, error))

    def open(self):
        return sorted(
            rule.removeprefix("gateway/")
            for rule, alarm in self.state.alarms.items()
            if alarm.state in (AlarmState.UA, AlarmState.AA) and not alarm.inhibits
        )


def test_one_silent_device_among_others_is_its_own_fault():
    play = Play("a", "b", "c")
    for second in range(20):
        play.answers(second * 1000, "b", "c", *(["a"] if second < 5 else []))
        play.misses(second * 1000 + 500, *(["a"] if second >= 5 else []))
    assert [(rule, tr) for _, rule, tr in play.said] == [("device_silent/a", "raise")]


def test_a_dead_line_is_one_fault_and_none_for_each_device():
    play = Play("a", "b", "c")
    play.answers(0, "a", "b", "c")
    for second in range(1, 60):
        play.misses(second * 1000, "a", "b", "c")
    assert [(rule, tr) for _, rule, tr in play.said] == [("bus_silent/line", "raise")]
    assert play.said[0][0] <= 5_000
    play.answers(60_000, "b", "c", "a")
    assert play.said[-1][1:] == ("bus_silent/line", "clear")
    assert "device_silent" not in str(play.said)


def test_a_line_that_brings_only_garbage_says_so_in_its_fault():
    details = {}
    for why in ("timeout", "what comes is no Modbus"):
        play = Play("a", "b")
        for second in range(60):
            play.misses(second * 1000, "a", "b", failure=DeviceSilent(3, why))
        details[why] = play.state.alarms["gateway/bus_silent/line"].detail
    assert details == {
        "timeout": "2 devices",
        "what comes is no Modbus": "2 devices, what comes is no Modbus",
    }


def test_a_device_that_was_dead_before_its_line_stays_a_part_of_the_lines_fault():
    play = Play("a", "b", "c")
    for second in range(100):
        play.answers(second * 1000, "b", "c")
        play.misses(second * 1000 + 500, "a")
    assert play.open() == ["device_silent/a"]
    for second in range(100, 130):
        play.misses(second * 1000, "a", "b", "c")
    assert play.open() == ["bus_silent/line"]
    assert [rule for _, rule, tr in play.said if tr == "raise"] == [
        "device_silent/a", "bus_silent/line",
    ]  # fmt: skip
    play.answers(130_000, "b", "c")
    play.misses(131_000, "a")
    assert play.open() == ["device_silent/a"]


def test_one_lost_reply_beside_a_dead_device_is_no_dead_line():
    play = Play("a", "b")
    for second in range(30):
        play.answers(second * 1000, "b")
        play.misses(second * 1000 + 500, "a")
    play.misses(30_000, "b", "a")
    play.answers(31_000, "b")
    assert play.open() == ["device_silent/a"]
    assert [rule for _, rule, tr in play.said if tr == "raise"] == ["device_silent/a"]


def test_a_silent_device_is_not_kept_waiting_for_others_that_nobody_asks():
    play = Play("a", "b")
    for second in range(30):
        play.misses(second * 1000, "a")
    (raised,) = [ms for ms, rule, tr in play.said if (rule, tr) == ("device_silent/a", "raise")]
    assert raised == OTHERS_ASKED_MS


def test_the_only_device_of_a_line_is_that_device_and_other_lines_do_not_count():
    play = Play("a", elsewhere=("x", "y"))
    play.answers(0, "a", "x", "y")
    for second in range(1, 6):
        play.misses(second * 1000, "a")
        play.answers(second * 1000, "x", "y")
    assert play.open() == ["device_silent/a"]


def test_a_line_without_adapter_is_down_and_not_silent():
    play = Play("a", "b")
    for second in range(1, 20):
        play.misses(second * 1000, "a", "b")
    assert play.open() == ["bus_silent/line"]
    play.misses(20_000, "a", "b", failure=BusDown("unplugged"))
    assert play.open() == ["bus_down/line"]
    play.misses(21_000, "a")
    assert "bus_silent/line" not in play.open(), "b has not been asked yet"
    play.misses(21_500, "b")
    assert play.open() == ["bus_silent/line"]


def test_a_point_that_is_not_read_in_time_is_a_fault_of_its_bus_until_it_is_read():
    play = Play("a", "b", elsewhere=("x",), within_ms=4_000)
    for second in range(60):
        play.answers(second * 1000, "a", "b", "x")
    for second in range(60, 80):
        play.answers(second * 1000, "b", "x")
    late = [(ms, rule, tr) for ms, rule, tr in play.said if rule.startswith("detection_late")]
    assert late == [(64_000, "detection_late/line", "raise")]
    assert "a.leak" in play.state.alarms["gateway/detection_late/line"].detail
    play.answers(80_000, "a")
    play.feed(81_000, events.Ticked())
    assert play.open() == []


def test_of_several_late_rules_the_one_that_is_latest_by_its_plan_is_named():
    play = Play("a", "b", "c", within_ms=4_000)
    planned = {"a.leak/high": 40_000, "b.leak/high": 4_000, "c.leak/high": 8_000}
    house = replace(play.state.house, read_within_ms=planned)
    play.state = replace(play.state, house=house)
    for second in range(60):
        play.answers(second * 1000, "a", "b", "c")
    play.feed(120_000, events.Ticked())
    detail = play.state.alarms["gateway/detection_late/line"].detail
    assert detail == "b.leak/high: not read for 61 s, planned 4 s (+2)"


def test_a_poll_that_never_reads_anything_is_late_too():
    play = Play("a", within_ms=4_000)
    for second in range(60):
        play.feed(second * 1000, events.Ticked())
    (raised,) = [ms for ms, rule, tr in play.said if rule == "detection_late/line"]
    assert raised == WATCH_FROM_MS + 5_000


def test_a_device_that_does_not_answer_has_its_own_fault_and_is_not_late_besides():
    play = Play("a", "b", within_ms=4_000)
    for second in range(120):
        play.answers(second * 1000, "b")
        if second % 15 == 0:
            play.misses(second * 1000, "a")
    assert "detection_late" not in str(play.said)
    assert play.open() == ["device_silent/a"]
