"""The rules that docs/alarms.md offers to take over: they load, and do what they say."""

import re
from pathlib import Path

import pytest

from gateway.config.load import load_site
from gateway.core.messages import sender_of
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.moments import Clk, Now
from gateway.domain.readings import Quality, Reading

PAGE = Path(__file__).parents[2] / "docs" / "alarms.md"
HOUSE = """\
site: {id: elm, name: elm, institution: elder-care, timezone: Asia/Shanghai}
buses: {line: {tcp: devices.example}}
devices:
  kitchen-board: {profile: lingxun-lx47le, bus: line, unit: 3, place: kitchen, owner: me}
  kitchen-gas: {profile: crowcon-xgardiq, bus: line, unit: 7, place: kitchen, owner: me}
  gas-room-socket: {profile: peacefair-pzem-016, bus: line, unit: 5, place: gas room, owner: me}
"""
POWER, GAS = "gas-room-socket.active_power", "kitchen-gas.concentration"
READY = "kitchen-gas.sensor_ready"  # 3: warm-up is over
LEAK, LOAD = "kitchen-board.residual_current", "kitchen-board.current_l1"


class Living:
    """A house of these rules; `hold` reads values every second and says what is active then."""

    def __init__(self, folder):
        found = re.search(r"(?ms)^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"))
        path = folder / "site.yaml"
        path.write_text(HOUSE + found[1], encoding="utf-8")
        loaded = load_site(path)
        assert [problem for problem in loaded.problems if problem.is_error] == []
        self.s = 0
        made = house_of(loaded.site, sender_of(loaded.site, "epoch0000001"), "0")
        self.state = state_of(made, (), self.now())

    def now(self):
        return Now(1_000 * self.s, None, Clk.NONE, 0, "boot")

    def hold(self, seconds, values, quality=Quality.GOOD):
        for _ in range(seconds):
            self.s += 1
            for point, value in ({READY: 3} | values).items():
                reading = Reading(point, value, quality, 1_000 * self.s)
                block = events.BlockRead("line", point.split(".")[0], (reading,))
                self.state, _ = step(self.state, block, self.now())
        active = (AlarmState.UA, AlarmState.AA)
        return {rule for rule, alarm in self.state.alarms.items() if alarm.state in active}


@pytest.fixture
def living(tmp_path):
    return Living(tmp_path)


def named(found, name):
    return any(rule.rsplit("/", 1)[-1] == name for rule in found)


def test_an_appliance_in_the_gas_room_warns_after_a_minute_and_a_short_one_does_not(living):
    assert not named(living.hold(50, {POWER: 1800}), "gas-room-appliances")
    assert not named(living.hold(40, {POWER: 3}), "gas-room-appliances")
    assert named(living.hold(75, {POWER: 1800}), "gas-room-appliances")


def test_gas_and_an_appliance_together_are_an_alarm_and_one_alone_is_not(living):
    assert not named(living.hold(120, {GAS: 7.0, POWER: 3}), "gas-and-appliances")
    assert not named(living.hold(120, {GAS: 0.0, POWER: 1800}), "gas-and-appliances")
    assert named(living.hold(30, {GAS: 7.0, POWER: 1800}), "gas-and-appliances")
    bad = living.hold(300, {GAS: None, POWER: None}, Quality.FAULT)
    assert named(bad, "gas-and-appliances"), "what is not valid ends nothing"


def test_leakage_counts_against_the_load_only_while_there_is_load(living):
    assert not named(living.hold(120, {LEAK: 170, LOAD: 2}), "leakage-under-load")
    assert named(living.hold(120, {LEAK: 170, LOAD: 20}), "leakage-under-load")
