"""Default rules by kind, and what a site may change about them."""

from pathlib import Path

import pytest

from gateway.config.load import Loaded, load_site
from gateway.domain.readings import Quality
from gateway.domain.rules import (
    Above,
    AllOf,
    AnyOf,
    Below,
    Deviates,
    Is,
    Member,
    Rises,
    Rule,
    Severity,
    Sound,
)
from gateway.domain.site import Due


def load(folder: Path, profile: str, more: str = "", end: str = "") -> Loaded:
    path = folder / "site.yaml"
    path.write_text(
        "site: {id: s, name: S, institution: elder-care}\n"
        "buses: {b: {tcp: h}}\n"
        "devices:\n"
        f"  d:\n    profile: {profile}\n    bus: b\n    unit: 1\n    place: P\n    owner: O\n"
        f"{more}{end}",
        encoding="utf-8",
    )
    return load_site(path)


def rules(folder: Path, profile: str, more: str = "", end: str = "") -> dict[str, Rule]:
    loaded = load(folder, profile, more, end)
    assert loaded.site is not None, loaded.problems
    return {rule.id: rule for rule in loaded.site.rules}


def codes(loaded: Loaded) -> list[str]:
    return [problem.code for problem in loaded.problems if problem.code != "scale_unverified"]


def test_residual_current_warns_at_200_and_alarms_at_300_ma_after_3_s(tmp_path):
    found = rules(tmp_path, "lingxun-lx47le")
    warning = found["d.residual_current/residual_warning"]
    alarm = found["d.residual_current/residual_alarm"]
    assert warning.condition == Above(200.0, 180.0)
    assert (warning.severity, warning.sound, warning.latch) == (Severity.WARNING, Sound.W, False)
    assert alarm.condition == Above(300.0, 250.0)
    assert (alarm.severity, alarm.sound, alarm.latch) == (Severity.ALARM, Sound.A1, True)
    assert (alarm.for_ms, alarm.clear_for_ms, alarm.min_samples) == (3000, 30_000, 2)
    assert alarm.owner == "O"
    assert "GB 50116" in alarm.basis
    assert "decision" in warning.basis


def test_cable_temperature_has_rules_on_each_of_its_points(tmp_path):
    found = rules(tmp_path, "lingxun-lx47le")
    for point in ("temperature_n", "temperature_l1"):
        assert found[f"d.{point}/temperature_warning"].limit == 55.0
        assert found[f"d.{point}/temperature_alarm"].limit == 70.0
        assert found[f"d.{point}/temperature_alarm"].for_ms == 10_000


def test_gas_high_needs_one_sample_and_sounds_while_warming_up(tmp_path):
    found = rules(tmp_path, "crowcon-xgardiq")
    high = found["d.concentration/gas_high"]
    assert high.limit == 50.0
    assert (high.for_ms, high.min_samples, high.latch, high.sound) == (0, 1, True, Sound.A2)
    assert high.judges == {Quality.GOOD, Quality.WARMING_UP}
    alarm = found["d.concentration/gas_alarm"]
    assert (alarm.limit, alarm.judges, alarm.sound) == (20.0, {Quality.GOOD}, Sound.A2)
    assert found["d.concentration/gas_warning"].limit == 10.0


def test_a_detector_s_own_alarm_and_status_count_at_once(tmp_path):
    found = rules(tmp_path, "crowcon-xgardiq")
    for point in ("alarm1", "alarm2"):
        rule = found[f"d.{point}/detector_alarm"]
        assert rule.condition == Is(frozenset({1}))
        assert (rule.severity, rule.for_ms, rule.min_samples) == (Severity.ALARM, 0, 1)
    fault = found["d.status/detector_fault"]
    assert (fault.condition, fault.severity, fault.sound) == (
        Is(frozenset({2, 3})),
        Severity.FAULT,
        Sound.F,
    )


def test_hydrant_pressure_alarms_below_007_mpa_and_a_high_rise_below_010(tmp_path):
    low = rules(tmp_path, "qdy30a")["d.pressure/pressure_low_alarm"]
    assert isinstance(low.condition, Below)
    assert low.condition.limit == 0.07
    assert low.condition.clears == pytest.approx(0.0735)
    more = "    points: {pressure: {kind: hydrant_pressure_high_rise}}\n"
    assert rules(tmp_path, "qdy30a", more)["d.pressure/pressure_low_alarm"].limit == 0.10


def test_carbon_monoxide_and_over_power_have_their_rules(tmp_path):
    co = rules(tmp_path, "jxbs-3001-co")
    assert (co["d.co/co_warning"].limit, co["d.co/co_warning"].for_ms) == (24.0, 30_000)
    assert (co["d.co/co_alarm"].limit, co["d.co/co_alarm"].min_samples) == (160.0, 1)
    power = rules(tmp_path, "peacefair-pzem-016")["d.over_power_alarm/over_power"]
    assert power.condition == Is(frozenset({65535}))


def test_a_changed_limit_drops_the_old_clears_and_takes_its_own_basis(tmp_path):
    more = "    rules: {residual_alarm: {above: 0.5 A, basis: 电工班 2026-11}}\n"
    loaded = load(tmp_path, "lingxun-lx47le", more)
    assert codes(loaded) == []
    rule = next(r for r in loaded.site.rules if r.name == "residual_alarm")
    assert rule.condition == Above(500.0, 475.0)
    assert rule.basis == "电工班 2026-11"
    assert (rule.for_ms, rule.latch) == (3000, True)


def test_a_changed_limit_without_a_basis_is_no_longer_the_standard_s(tmp_path):
    loaded = load(tmp_path, "lingxun-lx47le", "    rules: {residual_alarm: {above: 400 mA}}\n")
    assert codes(loaded) == ["basis_missing"]
    rule = next(r for r in loaded.site.rules if r.name == "residual_alarm")
    assert rule.basis.startswith("owner's decision")
    assert rule.edition == ""


def test_a_changed_severity_changes_the_sound(tmp_path):
    more = "    rules: {gas_alarm: {severity: warning, basis: b}}\n"
    assert rules(tmp_path, "crowcon-xgardiq", more)["d.concentration/gas_alarm"].sound is Sound.W


def test_a_rule_can_be_changed_on_one_point_only(tmp_path):
    more = "    rules: {temperature_n/temperature_alarm: {above: 80 °C, basis: b}}\n"
    found = rules(tmp_path, "lingxun-lx47le", more)
    assert found["d.temperature_n/temperature_alarm"].limit == 80.0
    assert found["d.temperature_l1/temperature_alarm"].limit == 70.0


def test_a_rule_can_be_switched_off_with_a_basis(tmp_path):
    more = "    rules: {co_warning: {off: true, basis: 车库排风 2026-11}}\n"
    found = rules(tmp_path, "jxbs-3001-co", more)
    assert {name for name in found if name.startswith("d.")} == {"d.co/co_alarm"}


def test_a_site_s_own_rule_is_named_after_its_point(tmp_path):
    end = (
        "rules:\n  load: {point: d.active_power, above: 2 kW, severity: warning,"
        " say: {zh: 高, en: high}}\n"
    )
    rule = rules(tmp_path, "peacefair-pzem-016", end=end)["d.active_power/load"]
    assert rule.condition == Above(2000.0, 1900.0)
    assert (rule.say.zh, rule.say.en) == ("高", "high")
    assert (rule.for_ms, rule.clear_for_ms, rule.min_samples) == (10_000, 30_000, 2)
    assert rule.owner == "O"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("{point: d.voltagee, above: 2 V, severity: warning, say: x}", "unknown_point"),
        ("{point: d.voltage, above: 2 V, below: 1 V, severity: warning, say: x}", "two_conditions"),
        ("{point: d.voltage, severity: warning, say: x}", "missing_key"),
        ("{point: d.voltage, above: 250 V, say: x}", "missing_key"),
        ("{above: 250 V, severity: warning, say: x}", "missing_key"),
        ("{point: d.voltage, above: 250 V, severity: warning}", "missing_key"),
        ("{all: [{point: d.volt, above: 250 V}], severity: warning, say: x}", "unknown_point"),
        ("{all: [{point: d.voltage, above: 2 A}], severity: warning, say: x}", "wrong_unit"),
        ("{all: [{above: 250 V}], severity: warning, say: x}", "missing_key"),
        ("{all: [{point: d.voltage}], severity: warning, say: x}", "missing_key"),
        ("{any: [{rule: nothing}], severity: warning, say: x}", "unknown_rule"),
        ("{any: [{rule: r}], severity: warning, say: x}", "rule_circle"),
        ("{all: [], severity: warning, say: x}", "wrong_type"),
        ("{all: [x], severity: warning, say: x}", "wrong_type"),
        ("{point: d.voltage, rises_by: 5 V, severity: warning, say: x}", "missing_key"),
        ("{point: d.voltage, above: 250 V, within: 5s, severity: warning, say: x}",
         "key_without_use"),
        ("{point: d.voltage, above: 250 V, severity: red, say: x}", "wrong_type"),
        ("{point: d.voltage, above: 250 V, severity: fault, say: x, do: [a, b, c, d, e]}",
         "too_many_steps"),
        ("{point: d.voltage, is: [], severity: fault, say: x}", "wrong_type"),
        ("{point: d.voltage, above: 250 V, severity: fault, say: {zh: x}}", "not_a_phrase"),
    ],
)  # fmt: skip
def test_a_wrong_rule_of_the_site_is_one_error(rule, code, tmp_path):
    loaded = load(tmp_path, "peacefair-pzem-016", end=f"rules: {{r: {rule}}}\n")
    assert loaded.site is None
    assert codes(loaded) == [code]


def test_cable_temperature_warns_of_5_k_a_minute_and_of_15_k_over_the_others(tmp_path):
    found = rules(tmp_path, "lingxun-lx47le")
    rise = found["d.temperature_l1/temperature_rise"]
    assert rise.condition == Rises(15.0, 180_000, 14.25)
    other = found["d.temperature_l1/temperature_deviation"]
    assert other.condition == Deviates(("d.temperature_n",), 15.0, 14.25)
    for rule in (rise, other):
        assert (rule.severity, rule.for_ms) == (Severity.WARNING, 10_000)
        assert "decision" in rule.basis


def test_a_circuit_is_judged_for_overload_where_its_rated_current_is_given(tmp_path):
    assert "d.current/overload_alarm" not in rules(tmp_path, "peacefair-pzem-016")
    found = rules(tmp_path, "peacefair-pzem-016", "    rated_current: 32 A\n")
    warning, alarm = found["d.current/overload_warning"], found["d.current/overload_alarm"]
    assert (warning.limit, warning.for_ms, warning.severity) == (28.8, 600_000, Severity.WARNING)
    assert (alarm.limit, alarm.for_ms, alarm.severity) == (35.2, 60_000, Severity.ALARM)
    assert warning.is_magnitude
    assert alarm.is_magnitude


def test_a_rated_current_that_the_meter_cannot_reach_is_refused(tmp_path):
    loaded = load(tmp_path, "peacefair-pzem-016", "    rated_current: 400 A\n")
    assert set(codes(loaded)) == {"limit_out_of_reach"}


def test_over_pressure_is_judged_where_the_span_is_given_and_beyond_it_is_a_fault(tmp_path):
    assert "d.pressure/pressure_high_alarm" not in rules(tmp_path, "qdy30a")
    more = "    points: {pressure: {span: 0..1.6}}\n"
    loaded = load(tmp_path, "qdy30a", more)
    found = {rule.id: rule for rule in loaded.site.rules}
    assert found["d.pressure/pressure_high_warning"].limit == 1.44
    assert found["d.pressure/pressure_high_alarm"].limit == 1.6
    assert loaded.site.points["d.pressure"].valid == pytest.approx((-0.032, 1.632))


def test_a_gas_head_s_span_leaves_over_range_to_the_alarm(tmp_path):
    loaded = load(tmp_path, "crowcon-xgardiq", "    points: {concentration: {span: 0..100}}\n")
    assert loaded.site.points["d.concentration"].valid == (-2.0, 1000.0)


def test_a_rule_may_change_how_far_and_keep_how_long(tmp_path):
    more = "    rules: {temperature_rise: {rises_by: 10 K, basis: us}}\n"
    rise = rules(tmp_path, "lingxun-lx47le", more)["d.temperature_l1/temperature_rise"]
    assert rise.condition == Rises(10.0, 180_000, 9.5)


def test_a_combined_rule_is_told_by_its_first_member_and_takes_in_another_rule(tmp_path):
    end = (
        "rules:\n"
        "  power: {point: d.active_power, above: 100 W, for: 60s, severity: warning, say: x}\n"
        "  both:\n"
        "    all: [{rule: power}, {any: [{point: d.voltage, below: 180 V},"
        " {point: d.current, above: 3 A}]}]\n"
        "    severity: alarm\n    say: y\n"
    )
    found = rules(tmp_path, "peacefair-pzem-016", end=end)["d.active_power/both"]
    power = Member("d.active_power", Above(100.0, 95.0), 60_000, 2)
    low, high = Member("d.voltage", Below(180.0, 189.0)), Member("d.current", Above(3.0, 2.85))
    assert found.condition == AllOf((power, AnyOf((low, high))))
    assert (found.for_ms, found.owner) == (0, "O")
    assert set(found.points) == {"d.active_power", "d.voltage", "d.current"}


def test_dates_and_ratings_of_a_device_are_kept_with_it(tmp_path):
    loaded = load(tmp_path, "jxbs-3001-co", "    calibration_due: 2027-03-31\n")
    assert loaded.site.devices[0].dues == {Due.CALIBRATION: "2027-03-31"}
