"""Dry contacts: what the site calls an input decides which state of it people are told of."""

import pytest

from gateway.config.kinds import Kinds
from gateway.config.shipped import shipped_dir
from gateway.config.tree import read_tree
from gateway.domain.points import Table
from tests.profiles.bench import Bench

# kind: (state that is told, rule, severity)
TOLD = {
    "pump_auto": (0, "pump_not_auto", "fault"),
    "pump_manual": (1, "pump_not_auto", "fault"),
    "pump_running": (1, "pump_started", "warning"),
    "pump_fault": (1, "pump_failed", "fault"),
    "power_present": (0, "power_failed", "fault"),
    "power_fail": (1, "power_failed", "fault"),
    "ups_on_mains": (0, "mains_lost", "warning"),
    "ups_on_battery": (1, "mains_lost", "warning"),
    "valve_open": (0, "valve_not_open", "fault"),
    "valve_closed": (1, "valve_not_open", "fault"),
    "flow_switch": (1, "water_flows", "alarm"),
    "alarm_valve": (1, "alarm_valve_open", "alarm"),
    "low_pressure": (1, "pressure_switch_low", "alarm"),
    "panel_fire": (1, "panel_reports_fire", "alarm"),
    "panel_fault": (1, "panel_reports_fault", "fault"),
    "panel_healthy": (0, "panel_reports_fault", "fault"),
}


def batched(items, size):
    items = list(items)
    return (items[at : at + size] for at in range(0, len(items), size))


def board(folder, kind, level, seconds=15):
    bench = Bench(folder, "waveshare-rtu-io-8ch", f", points: {{di3: {{kind: {kind}}}}}")
    return bench.wait(seconds, {Table.DISCRETE: {2: level}})


def test_every_kind_of_contact_is_in_this_table():
    path = shipped_dir() / "rules" / "contacts.yaml"
    counted = {"jockey_running"}  # how often it starts is told, not that it runs
    assert set(read_tree(path, "contacts.yaml", []).data) == set(TOLD) | counted


@pytest.mark.parametrize("kinds", list(batched(TOLD, 8)))
def test_a_contact_tells_of_one_state_and_is_quiet_in_the_other(kinds, tmp_path):
    points = ", ".join(f"di{n}: {{kind: {kind}}}" for n, kind in enumerate(kinds, 1))
    more = f", points: {{{points}}}"
    told = {at: TOLD[kind][0] for at, kind in enumerate(kinds)}
    bench = Bench(tmp_path, "waveshare-rtu-io-8ch", more).wait(15, {Table.DISCRETE: told})
    wanted = {(f"di{n}/{TOLD[kind][1]}", TOLD[kind][2]) for n, kind in enumerate(kinds, 1)}
    assert set(bench.raised) == wanted
    assert len(bench.raised) == len(wanted)
    quiet = {at: 1 - level for at, level in told.items()}
    bench = Bench(tmp_path, "waveshare-rtu-io-8ch", more).wait(15, {Table.DISCRETE: quiet})
    assert bench.raised == []


def test_an_input_without_a_kind_is_only_shown(tmp_path):
    bench = Bench(tmp_path, "waveshare-rtu-io-8ch")
    bench.wait(15, {Table.DISCRETE: dict.fromkeys(range(8), 1)})
    assert [bench.value(f"di{n}") for n in range(1, 9)] == [1] * 8
    assert not [rule for rule in bench.site.rules if rule.id.startswith("d.")]
    assert bench.raised == []


def test_a_bounce_of_one_sample_raises_nothing_and_a_fire_alarm_needs_only_one(tmp_path):
    bench = board(tmp_path, "flow_switch", 1, seconds=1)
    assert bench.wait(15, {}).raised == []
    assert board(tmp_path, "panel_fire", 1, seconds=1).alarms == {"di3/panel_reports_fire"}


def test_fire_and_flowing_water_stay_until_somebody_resets_them(tmp_path):
    for kind in ("panel_fire", "flow_switch", "alarm_valve"):
        site = board(tmp_path, kind, 0, seconds=1).site
        (rule,) = [rule for rule in site.rules if rule.id.startswith("d.")]
        assert rule.latch


def test_each_default_rule_says_what_it_rests_on_and_what_to_do_in_both_languages():
    kinds = Kinds(shipped_dir() / "rules", [])
    for kind in kinds.values():
        for name, given in kind.rules.items():
            assert given["basis"].value, name
            assert given["say"].value.zh != given["say"].value.en, name
            assert 1 <= len(given["do"].value) <= 4, name
            for step in given["do"].value:
                assert step.zh != step.en, name
