"""The 27 failure modes of the field (F1-F27), and for each the proof that its guard does the work.

A check plays the failure and asserts what must come of it. It has to pass as things are, and to
fail when its guard is taken away: a line of the code is changed under the running functions, or a
line of the configuration is left out. What other parts guard is only pointed to; such a test has
to exist.
"""

import importlib
import inspect
import json
import os
import re
import struct
import sys
import types
from datetime import UTC
from pathlib import Path

import pytest

from gateway.config import profiles
from gateway.config.load import load_site
from gateway.core import alarms, decode, leakage, patrol_visits
from gateway.core.leakage import leakage_view
from gateway.core.messages import sender_of
from gateway.core.state import house_of, open_alarms, quality_now, state_of
from gateway.core.step import step
from gateway.core.turn import begin
from gateway.domain import events
from gateway.domain.errors import DeviceSilent
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Gate, Table
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above
from tests.core import patrol_house
from tests.core.test_step import Play, house, point, rule
from tests.profiles.bench import Bench

INPUT, HOLDING, DISCRETE = Table.INPUT, Table.HOLDING, Table.DISCRETE
HOUR = 3_600_000
START = 1_790_000_000_000  # 2026-09-21 UTC


def mutate(patch, module, line, instead):
    """Run the module's functions as if `line` (found exactly once) read `instead`."""
    loaded = importlib.import_module(module)
    source = inspect.getsource(loaded)
    assert source.count(line) == 1, (module, line, source.count(line))
    copied = types.ModuleType(f"{module}_mutated")
    copied.__dict__.update(__file__=loaded.__file__, __package__=loaded.__package__)
    code = compile(source.replace(line, instead), loaded.__file__, "exec")
    patch.setitem(sys.modules, copied.__name__, copied)
    exec(code, copied.__dict__)
    changed = 0
    for name, made in vars(copied).items():
        own = getattr(loaded, name, None)
        if not (isinstance(made, types.FunctionType) and isinstance(own, types.FunctionType)):
            continue
        if own.__module__ == module and own.__code__ != made.__code__:
            patch.setattr(own, "__code__", made.__code__)
            changed += 1
    assert changed, (module, line)


def by(module, line, instead):
    return lambda patch: mutate(patch, f"gateway.{module}", line, instead)


def by_value(owner, name, value):
    return lambda patch: patch.setattr(owner, name, value)


def left_out(name):
    """The guard is a default rule: the check plays without it when told so."""
    return lambda patch: patch.setenv("LEFT_OUT", name)


def bench(folder, profile, more="", **how):
    off = os.environ.get("LEFT_OUT")
    if off:
        more += f", rules: {{{off}: {{off: true, basis: test}}}}"
    decode._compiled.cache_clear()
    return Bench(folder, profile, more, **how)


def open_rules(state):
    return {alarm.rule for alarm in open_alarms(state)}


# --- what comes from the wire ---------------------------------------------------------------


def f1_a_sentinel_is_no_number(folder):
    made = bench(folder, "jxbs-3001-co").wait(3, {HOLDING: {6: 32767}})
    assert made.said("co") == (None, "fault", "sentinel")
    assert made.alarms == set()


def f2_one_sentinel_is_suspect_and_only_more_are_a_fault(folder):
    made = bench(folder, "jxbs-3001-co").wait(3, {HOLDING: {6: 100}})
    made.read({HOLDING: {6: 65535}})
    assert made.said("co") == (None, "suspect", "sentinel")
    assert made.raised == []
    made.read({HOLDING: {6: 65535}})
    assert made.said("co")[1] == "fault"
    assert ("gateway/readings_invalid/d", "fault") in made.raised


def f3_three_misses_are_a_lost_device_and_its_alarm_stays(folder):
    play = Play(house(folder))
    for ms in (0, 2_000, 4_000):
        play.read(ms, 310)
    for ms in (5_000, 6_000):
        play.fail(ms, DeviceSilent("board"), "leak", "load")
        assert "gateway/device_silent/board" not in open_rules(play.state)
    for ms in (7_000, 30_000, 60_000, 90_000):
        play.fail(ms, DeviceSilent("board"), "leak", "load")
    assert open_rules(play.state) == {"board.leak/high", "gateway/device_silent/board"}


def f4_a_value_that_never_moves_is_suspect(folder):
    play = Play(house(folder, (point("leak", stuck_after_ms=60_000), point("load"))))
    for ms in range(0, 120_000, 10_000):
        play.read(ms, 223.1)
    assert play.state.devices["board"].points["board.leak"].reading.reason == "stuck"


def f5_over_the_sensor_s_span_is_a_broken_wire_and_no_alarm(folder):
    more = ", points: {pressure: {span: 0..1.6}}"
    memory = {HOLDING: {2: 3, 3: 2, 4: 170}}  # 1.70 MPa
    made = bench(folder, "qdy30a", more).wait(20, memory)
    assert made.said("pressure") == (None, "fault", "out_of_range")
    assert made.alarms == set()


def warming(folder, value):
    words = struct.unpack(">HH", struct.pack(">f", value))
    made = bench(folder, "crowcon-xgardiq")
    return made.wait(20, {HOLDING: {99: 2, 301: words[0], 302: words[1]}})


def f6_a_warming_head_gives_no_low_alarm(folder):
    made = warming(folder, 30.0)
    assert made.said("concentration") == (30, "warming_up", "gate:sensor_ready")
    assert made.alarms == set()


def f6_a_warming_head_gives_the_high_alarm(folder):
    assert warming(folder, 60.0).alarms == {"concentration/gas_high"}


def panel(folder, raw, status, seconds=15):
    words = {INPUT: {30000: raw, 31000: 2400, 33000: status}}
    return bench(folder, "igd-toc-635", ", channel: 0").wait(seconds, words)


def f7_an_inhibited_head_is_not_normal_and_people_are_told(folder):
    made = panel(folder, 100, 1 << 4)
    assert made.said("concentration")[1] == "inhibited"
    assert made.raised == [("disabled/detector_disabled", "fault")]


# --- dates ------------------------------------------------------------------------------------


class Days:
    """A house with one gas head whose dates are in the past, played day by day."""

    def __init__(self, folder, due, clk=Clk.SYNC, kept=(), alarms=()):
        path = folder / "dues.yaml"
        path.write_text(
            "site: {id: t, name: T, institution: elder-care}\nbuses: {b: {tcp: host}}\n"
            "devices: {co: {profile: jxbs-3001-co, bus: b, unit: 1, place: P, owner: O, "
            f"{due}}}}}\n",
            encoding="utf-8",
        )
        site = load_site(path).site
        self.clk, self.records, self.kept = clk, [], {}
        made = house_of(site, sender_of(site, "epoch0000001"), "0.1.0", zone=UTC)
        self.state = state_of(made, alarms, self.now(0), kept=kept)

    def now(self, ms):
        return Now(ms, START + ms, self.clk, 40, "b00t")

    def read(self, ms, value):
        readings = (Reading("co.co", value, Quality.GOOD, ms),)
        event = events.BlockRead("b", "co", readings)
        self.state, outcome = step(self.state, event, self.now(ms))
        self.records += [json.loads(r.body) for r in outcome.records if r.kind == "alarm"]
        self.kept |= {(each.kind, each.key): each for each in outcome.kept}
        return self

    def told(self, code):
        wanted = f"gateway/{code}/co"
        return sum(1 for each in self.records if each["rule"] == wanted and each["tr"] == "raise")

    @property
    def quality(self):
        reading = self.state.devices["co"].points["co.co"].reading
        return reading.value, reading.quality, reading.reason


def f8_an_overdue_calibration_is_told_daily_and_its_numbers_are_suspect(folder):
    days = Days(folder, "calibration_due: 2026-09-01")
    for hour in range(72):
        days.read(hour * HOUR, 5)
    assert days.told("calibration_overdue") in (3, 4)
    assert days.quality == (5, Quality.SUSPECT, "calibration_overdue")


def f8_an_overdue_sensor_still_raises(folder):
    days = Days(folder, "sensor_life_until: 2026-09-01")
    for ms in (0, 1_000, 2_000):
        days.read(ms, 5)
    days.read(3_000, 200)
    assert "co.co/co_alarm" in open_rules(days.state)


def f8_it_is_told_sixty_days_before(folder):
    days = Days(folder, "calibration_due: 2026-11-15").read(0, 5).read(120_000, 5)
    assert days.told("calibration_soon") == 1
    assert days.quality[1] is Quality.GOOD
    assert Days(folder, "calibration_due: 2027-11-15").read(0, 5).records == []


def f8_a_restart_does_not_tell_it_twice_a_day(folder):
    first = Days(folder, "calibration_due: 2026-09-01").read(0, 5)
    assert first.told("calibration_overdue") == 1
    kept = tuple(first.kept.values())
    again = Days(folder, "calibration_due: 2026-09-01", kept=kept, alarms=open_alarms(first.state))
    assert again.read(200_000, 5).told("calibration_overdue") == 0


def f10_a_poisoned_head_is_known_by_its_overdue_gas_test_only(folder):
    days = Days(folder, "bump_test_due: 2026-09-01").read(0, 0).read(1_000, 0)
    assert days.told("bump_test_overdue") == 1
    assert days.quality == (0, Quality.SUSPECT, "bump_test_overdue")


def f21_days_are_not_judged_on_a_wrong_clock(folder):
    days = Days(folder, "calibration_due: 2026-09-01", clk=Clk.NONE).read(0, 5)
    assert days.records == []
    assert days.quality[1] is Quality.GOOD


# --- gas, current, water ----------------------------------------------------------------------


def f9_over_range_stays_an_alarm_though_the_number_falls(folder):
    made = panel(folder, 1150, 0x80, seconds=2)
    made.wait(60, {INPUT: {30000: 105, 31000: 2400, 33000: 0}})  # 0.5 %LEL
    found = {a.rule: a.state.value for a in open_alarms(made.state)}
    assert found["d.over_range/gas_over_range"] == "LU"
    assert found["d.concentration/gas_high"] == "LU"


def f11_a_breath_of_alcohol_is_no_gas_alarm(folder):
    made = bench(folder, "igd-toc-635", ", channel: 0")
    made.wait(5, {INPUT: {30000: 350}}).wait(20, {INPUT: {30000: 100}})  # 25 %LEL for 5 s
    assert made.raised == []
    made.wait(12, {INPUT: {30000: 350}})
    assert "concentration/gas_alarm" in made.alarms


def f12_power_that_flows_backwards_is_a_fault_of_the_transformer(folder):
    words = struct.unpack(">HH", struct.pack(">f", -500.0))
    volts = struct.unpack(">HH", struct.pack(">f", 225.0))
    memory = {INPUT: {0: volts[0], 1: volts[1], 12: words[0], 13: words[1]}}
    made = bench(folder, "eastron-sdm120").wait(310, memory)
    assert made.raised == [("active_power/ct_direction", "fault")]


def f12_a_reversed_transformer_hides_no_overload(folder):
    made = rule(condition=Above(35, 33), is_magnitude=True, for_ms=0, min_samples=1)
    play = Play(house(folder, rules=(made,)))
    play.read(0, -40)
    assert open_rules(play.state) == {"board.leak/high"}


def residual(folder, leak_of):
    points = (point("leak", kind="residual_current"), point("amps", kind="current", unit="A"))
    play = Play(house(folder, points))
    for minute in range(300):
        load = 5 + 20 * (minute % 40) / 40
        readings = (
            Reading("board.leak", leak_of(load, minute), Quality.GOOD, minute * 60_000),
            Reading("board.amps", load, Quality.GOOD, minute * 60_000),
        )
        play.feed(minute * 60_000, events.BlockRead("line", "board", readings))
    return play


def f13_leakage_that_follows_the_load_is_a_transformer_that_misses_a_wire(folder):
    follows = residual(folder, lambda load, _: 8.0 * load)
    assert open_rules(follows.state) == {"gateway/residual_ct/board"}
    by_nature = residual(folder, lambda load, minute: 60 + load / 2 + minute % 7)
    assert open_rules(by_nature.state) == set()


def f14_natural_leakage_is_learned_in_seven_days_and_survives_a_restart(folder):
    made = house(folder, (point("leak", kind="residual_current"),))
    play = Play(made)
    kept = {}
    for ms in range(0, 170 * HOUR, 300_000):
        outcome = play.read(ms, 120 + (ms // HOUR) % 5)
        kept |= {each.key: each for each in outcome.kept if each.kind == "baseline"}
    state = state_of(made, (), Now(0, START, Clk.SYNC, 40, "next"), kept=tuple(kept.values()))
    view = leakage_view(begin(state, Now(0, START, Clk.SYNC, 40, "next")), "board.leak")
    assert view["natural"] == pytest.approx(122, abs=0.2)
    assert view["natural"] + view["margin"] == 300
    assert (view["hours"], view["is_learned"]) == (168, True)
    assert made.rules["board.leak/high"].limit == 300


def contacts(folder, kind):
    return bench(folder, "waveshare-rtu-io-8ch", f", points: {{di1: {{kind: {kind}}}}}")


def f15_a_pump_that_is_not_in_automatic_is_a_fault(folder):
    made = contacts(folder, "pump_auto").wait(6, {DISCRETE: {0: 0}})
    assert made.raised == [("di1/pump_not_auto", "fault")]


def f16_a_jockey_pump_that_starts_often_tells_of_a_leak(folder):
    made = contacts(folder, "jockey_running")
    for _ in range(15):
        made.read({DISCRETE: {0: 0}}).read({DISCRETE: {0: 1}})
    assert made.raised == []
    made.read({DISCRETE: {0: 0}}).read({DISCRETE: {0: 1}})
    assert made.raised == [("di1/jockey_starts_often", "warning")]


def f17_hammer_in_the_pipe_neither_raises_nor_hides_a_lack_of_pressure(folder):
    def words(hundredths):
        return {HOLDING: {2: 3, 3: 2, 4: hundredths}}

    made = bench(folder, "qdy30a").wait(3, words(40))
    for _ in range(10):
        made.wait(2, words(40)).read(words(2))  # 0.02 MPa, one reading long
    assert made.raised == []
    for _ in range(10):
        made.wait(2, words(5)).read(words(90))  # 0.05 MPa, with peaks
    assert made.alarms == {"pressure/pressure_low_alarm"}


def f18_one_bounce_of_a_contact_is_no_fault(folder):
    made = contacts(folder, "pump_auto").wait(3, {DISCRETE: {0: 1}})
    made.read({DISCRETE: {0: 0}})
    for _ in range(2):  # and then two requests go wrong
        made.ms += 2_000
        lost = tuple(
            Reading(p.id, None, Quality.SUSPECT, made.ms, "busy") for p in made.device.points
        )
        made._take(events.BlockRead("b", "d", lost))
    made.read({DISCRETE: {0: 1}})
    assert made.raised == []


def f19_another_device_in_its_place_is_a_fault_and_its_numbers_are_suspect(folder):
    points = (point("leak"), point("model", unit="", identity=frozenset({"SDM120"})))
    play = Play(house(folder, points))
    for ms in range(0, 10_000, 1_000):
        play.read(ms, "PM2100", "model")
        play.read(ms, 400)
    assert open_rules(play.state) == {"gateway/wrong_device/board"}
    assert play.state.devices["board"].points["board.leak"].reading.reason == "wrong_device"
    play.read(11_000, "SDM120", "model")
    play.read(11_000, 100)
    assert play.state.devices["board"].points["board.leak"].reading.quality is Quality.GOOD


def f20_a_counter_that_falls_is_a_record(folder):
    play = Play(house(folder, (point("leak"), point("load", is_counter=True))))
    kinds = []
    for ms, value in ((0, 500), (1_000, 501), (2_000, 3)):
        kinds += [record.kind for record in play.read(ms, value, "load").records]
    assert kinds == ["counter_reset"]


def f23_a_gateway_on_battery_tells_it_while_it_can(folder):
    made = contacts(folder, "ups_on_mains").wait(6, {DISCRETE: {0: 0}})
    assert made.raised == [("di1/mains_lost", "warning")]


def f26_a_limit_that_was_changed_is_no_longer_the_standard_s(folder):
    path = folder / "f26.yaml"
    path.write_text(
        "site: {id: t, name: T, institution: elder-care}\nbuses: {b: {tcp: host}}\n"
        "devices: {d: {profile: lingxun-lx47le, bus: b, unit: 1, place: P, owner: O, "
        "rules: {residual_alarm: {above: 500 mA}}}}\n",
        encoding="utf-8",
    )
    loaded = load_site(path)
    rules = {each.id: each for each in loaded.site.rules}
    assert rules["d.residual_current/residual_alarm"].basis.startswith("owner's decision")
    assert "basis_missing" in {problem.code for problem in loaded.problems}


# --- forged patrols -------------------------------------------------------------------------


def on_patrol():
    """A home in the window of one day's round, with nothing drawn."""
    schedule = patrol_house.Schedule("day", "day", (patrol_house.Window(480, 600),), draws=0)
    home = patrol_house.Home(patrol_house.house(patrol_house.patrol(schedules=(schedule,))))
    home.until(patrol_house.at(1, "08:20"))
    return home


def f27_a_copy_of_a_signed_link_is_refused_and_told(folder):
    home = on_patrol()
    assert home.visit("WARD", uid="04CC", counter=7, proof=3).ok
    reply = home.visit("WARD", "s02", uid="04CC", counter=7, proof=3)
    assert (reply.ok, reply.code) == (False, "replayed")
    copied = home.facts("visit")[-1]
    assert (copied["by"], copied["flags"], copied["proof"]) == ("s02", ["replayed"], 0)


def f27_the_address_of_a_tag_that_signs_is_nothing_without_its_signature(folder):
    assert on_patrol().visit("WARD", uid="04CC", proof=1).code == "unknown_tag"


def f27_the_photo_of_a_plain_tag_stays_the_lowest_proof(folder):
    home = on_patrol()
    for by in ("s01", "s02"):
        assert home.visit("EPS", by, token="e" * 64, proof=3).ok
    assert [visit["proof"] for visit in home.facts("visit")] == [1, 1]


def f27_links_that_were_gathered_and_kept_are_told(folder):
    home = on_patrol()
    home.visit("WARD", uid="04CC", counter=7, proof=3)
    home.visit("WARD", "s02", uid="04CC", counter=12, proof=3)
    assert "harvest" in home.facts("visit")[-1]["flags"]


def too_fast(home):
    (ended,) = home.ended().values()
    return [visit["checkpoint"] for visit in ended["visits"] if "too_fast" in visit["flags"]]


def f27_a_round_tapped_at_the_desk_is_told_stop_by_stop(folder):
    home = on_patrol()
    home.walk("EPS", "STAIR", "PUMP", "GATE", leg=12_000)
    assert too_fast(home) == ["STAIR", "PUMP", "GATE"]


def f27_pages_opened_at_the_desk_and_sent_one_by_one_are_told_too(folder):
    home = on_patrol()
    opened = home.mono - home.zero
    for number, code in enumerate(("EPS", "STAIR", "PUMP", "GATE")):
        home.visit(code, stay=60_000, opened_ms=opened + number * 1_000)
    assert too_fast(home) == ["STAIR", "PUMP", "GATE"]


def f27_a_number_made_up_at_the_desk_is_held_against_its_point(folder):
    home = on_patrol()
    home.read("pump.pressure", 0.7)
    home.visit("PUMP", stay=0)  # says 0.4
    assert "mismatch" in home.facts("visit")[-1]["flags"]


# --- the rules over all of them --------------------------------------------------------------


def r1_at_boot_nothing_is_normal_before_its_first_good_value(folder):
    play = Play(house(folder))
    found = quality_now(point("leak"), None, 1_000)
    assert (found.value, found.quality, found.reason) == (None, Quality.OFFLINE, "not_read_yet")
    assert play.state.devices == {}


def r2_bad_data_clears_nothing(folder):
    judges = frozenset({Quality.GOOD, Quality.WARMING_UP})
    made = rule(judges=judges, for_ms=0, clear_for_ms=0, min_samples=1)
    play = Play(house(folder, rules=(made,)))
    play.read(0, 310)
    for ms in range(1_000, 9_000, 1_000):
        play.read(ms, 0, quality=Quality.WARMING_UP)
    assert [alarm.state.value for alarm in open_alarms(play.state)] == ["UA"]


def r3_what_a_detector_tells_itself_is_no_second_fault(folder):
    made = panel(folder, 100, 1 << 5)
    assert made.raised == [("sensor_fault/detector_fault", "fault")]


def r3_what_nobody_else_tells_is_a_fault(folder):
    made = bench(folder, "crowcon-xgardiq").wait(5, {HOLDING: {99: 0}})
    assert ("gateway/readings_invalid/d", "fault") in made.raised


CHECKS = {
    f1_a_sentinel_is_no_number: by_value(decode, "_patterns", lambda *_: frozenset()),
    f2_one_sentinel_is_suspect_and_only_more_are_a_fault: by(
        "core.intake", 'if raw.reason == "sentinel"', 'if raw.reason == "never"'
    ),
    f3_three_misses_are_a_lost_device_and_its_alarm_stays: by(
        "core.device_faults", "return misses >= enough and", "return misses >= 1 or"
    ),
    f4_a_value_that_never_moves_is_suspect: by(
        "core.intake", "known.changed_ms > point.stuck_after_ms", "known.changed_ms > 10**12"
    ),
    f5_over_the_sensor_s_span_is_a_broken_wire_and_no_alarm: by_value(
        profiles, "SPAN_MARGIN", 10.0
    ),
    f6_a_warming_head_gives_no_low_alarm: by(
        "core.intake", "if quality is not Quality.GOOD:", "if False:"
    ),
    f6_a_warming_head_gives_the_high_alarm: by(
        "core.judge", "reading.quality in rule.judges", "reading.quality is Quality.GOOD"
    ),
    f7_an_inhibited_head_is_not_normal_and_people_are_told: by_value(
        Gate, "quality_at", lambda *_: Quality.GOOD
    ),
    f8_an_overdue_calibration_is_told_daily_and_its_numbers_are_suspect: by(
        "core.dues", "if told == day:", "if told:"
    ),
    f8_an_overdue_sensor_still_raises: by("core.judge", "reading.reason in STILL_JUDGED", "False"),
    f8_it_is_told_sixty_days_before: by("core.dues", "if left <= WARN_DAYS:", "if left <= 0:"),
    f8_a_restart_does_not_tell_it_twice_a_day: by(
        "core.dues", 'turn.state.kept.get((KEPT, key), "")', '"2026-01-01"'
    ),
    f9_over_range_stays_an_alarm_though_the_number_falls: by_value(alarms, "LATCHED", {}),
    f10_a_poisoned_head_is_known_by_its_overdue_gas_test_only: by(
        "core.dues", "if left < 0:", "if left < -9999:"
    ),
    f11_a_breath_of_alcohol_is_no_gas_alarm: by(
        "core.alarms", "alarm.over_since_ms + rule.for_ms", "alarm.over_since_ms"
    ),
    f12_power_that_flows_backwards_is_a_fault_of_the_transformer: left_out("ct_direction"),
    f12_a_reversed_transformer_hides_no_overload: by(
        "core.conditions", "value = abs(value)", "value = value"
    ),
    f13_leakage_that_follows_the_load_is_a_transformer_that_misses_a_wire: by_value(
        leakage, "RATIO_VARIES", 0.0
    ),
    f14_natural_leakage_is_learned_in_seven_days_and_survives_a_restart: by(
        "core.leakage", "turn.keep(KEPT, point,", "str.format('', point,"
    ),
    f15_a_pump_that_is_not_in_automatic_is_a_fault: left_out("pump_not_auto"),
    f16_a_jockey_pump_that_starts_often_tells_of_a_leak: by(
        "core.conditions", "if is_on and memory.was_on is False:", "if is_on and False:"
    ),
    f17_hammer_in_the_pipe_neither_raises_nor_hides_a_lack_of_pressure: by(
        "core.conditions", "value = sorted(memory.recent)[1]", "value = value"
    ),
    f18_one_bounce_of_a_contact_is_no_fault: by(
        "core.alarms", "alarm.over_samples >= rule.min_samples", "alarm.over_samples >= 1"
    ),
    f19_another_device_in_its_place_is_a_fault_and_its_numbers_are_suspect: by(
        "core.intake", "if reading.value in point.identity:", "if True:"
    ),
    f20_a_counter_that_falls_is_a_record: by("core.intake", "reading.value < mark", "False"),
    f21_days_are_not_judged_on_a_wrong_clock: by(
        "core.local_time", "now.clk not in TRUSTED", "False"
    ),
    f23_a_gateway_on_battery_tells_it_while_it_can: left_out("mains_lost"),
    f26_a_limit_that_was_changed_is_no_longer_the_standard_s: by(
        "config.rules", 'kept["basis"] = _without_basis(', "_without_basis("
    ),
    f27_a_copy_of_a_signed_link_is_refused_and_told: by(
        "core.patrol_visits", "event.counter <= tag.counter", "False"
    ),
    f27_the_address_of_a_tag_that_signs_is_nothing_without_its_signature: by(
        "core.patrol_visits", "tag.kind is TagKind.NTAG424 and event.counter is None", "False"
    ),
    f27_the_photo_of_a_plain_tag_stays_the_lowest_proof: by(
        "core.patrol_visits", "min(event.proof, best)", "event.proof"
    ),
    f27_links_that_were_gathered_and_kept_are_told: by_value(patrol_visits, "HARVEST_GAP", 99),
    f27_a_round_tapped_at_the_desk_is_told_stop_by_stop: by(
        "core.patrol_visits", "if took < stop.leg_min_ms:", "if False:"
    ),
    f27_pages_opened_at_the_desk_and_sent_one_by_one_are_told_too: by(
        "core.patrol_visits",
        "return opened if opened is not None and",
        "return opened if False and",
    ),
    f27_a_number_made_up_at_the_desk_is_held_against_its_point: by(
        "core.patrol_visits", "if measured is None or", "if True or"
    ),
    r1_at_boot_nothing_is_normal_before_its_first_good_value: by(
        "core.state",
        'Quality.OFFLINE, mono_ms, "not_read_yet"',
        'Quality.GOOD, mono_ms, "not_read_yet"',
    ),
    r2_bad_data_clears_nothing: by(
        "core.judge", "reading.quality is not Quality.GOOD\n", "False\n"
    ),
    r3_what_a_detector_tells_itself_is_no_second_fault: by(
        "core.device_faults", "and not is_told", ""
    ),
    r3_what_nobody_else_tells_is_a_fault: by(
        "core.device_faults", "and reading.point in turn.house.gates_told", ""
    ),
}

ELSEWHERE = {
    "f22": (
        "tasks/test_forward.py",
        "test_no_reading_is_settled_before_the_last_alarm_of_the_backlog",
    ),
    "f23": (
        "core/test_step.py",
        "test_an_open_alarm_sounds_again_after_a_restart_and_is_not_raised_twice",
    ),
    "f24": (
        "daemon/test_robust.py",
        "test_a_writer_that_hangs_is_a_fault_and_the_alarm_goes_out_from_memory",
    ),
    "f25": (
        "tasks/test_watchdog.py",
        "test_one_stuck_loop_stops_the_feed_and_leaves_the_dump_armed",
    ),
    "f27": ("tasks/test_phones.py", "test_a_forged_link_is_refused_and_says_what_to_do"),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_failure_mode_is_handled(check, tmp_path):
    check(tmp_path)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_without_its_guard_the_check_fails(check, tmp_path, monkeypatch):
    CHECKS[check](monkeypatch)
    with pytest.raises(AssertionError):
        check(tmp_path)
    monkeypatch.undo()
    decode._compiled.cache_clear()


@pytest.mark.parametrize("mode", ELSEWHERE)
def test_what_other_parts_guard_has_its_test_there(mode):
    path, name = ELSEWHERE[mode]
    source = (Path(__file__).parents[1] / path).read_text(encoding="utf-8")
    assert re.search(rf"def {name}\(", source)


def test_every_mode_from_f1_to_f27_has_its_place_here():
    named = {check.__name__.split("_")[0] for check in CHECKS} | set(ELSEWHERE)
    assert {f"f{number}" for number in range(1, 28)} <= named
