"""What a site watches, and what it does not."""

from gateway.config.load import load_site
from gateway.core.coverage import coverage_of, coverage_view
from gateway.core.health import with_own_device

HOUSE = """
site: {id: elm, name: Elm, institution: elder-care, timezone: Asia/Shanghai}
buses: {line: {tcp: 127.0.0.1:1}}
devices:
"""
BOARD = "  board: {profile: lingxun-lx47le, bus: line, unit: 1, place: 1F, owner: A}\n"
METER = "  meter: {profile: chint-dtsu666, bus: line, unit: 2, place: 1F, owner: A}\n"


def site_of(tmp_path, *parts):
    path = tmp_path / "site.yaml"
    path.write_text(HOUSE + "".join(parts), encoding="utf-8")
    return load_site(path).site


def keys(coverage):
    return [key for key, _ in coverage.missing]


def test_what_no_rule_judges_is_missing_with_its_words(tmp_path):
    found = coverage_of(site_of(tmp_path, BOARD))
    assert found.monitored["residual_current"] == 1
    assert found.monitored["cable_temperature"] >= 1
    assert {"gas", "water_pressure", "patrol", "sound", "uplink", "ups"} <= set(keys(found))
    assert dict(found.missing)["gas"].zh == "可燃气体"


def test_a_point_that_is_read_and_judged_by_nobody_is_named_and_covers_nothing(tmp_path):
    found = coverage_of(site_of(tmp_path, METER))
    assert "load" in keys(found), "currents without a rated current have no limit"
    assert "meter.current_l1" in found.unjudged


def test_a_rule_that_is_switched_off_leaves_a_gap(tmp_path):
    off = "owner 2026-11"
    names = {rule.name for rule in site_of(tmp_path, BOARD).rules if "residual" in rule.point}
    rules = ", ".join(f"{name}: {{off: true, basis: {off}}}" for name in sorted(names))
    board = BOARD.replace("owner: A}", f"owner: A, rules: {{{rules}}}}}")
    found = coverage_of(site_of(tmp_path, board))
    assert "residual_current" in keys(found)
    assert "board.residual_current" in found.unjudged


def test_the_gateway_s_own_points_are_no_monitoring_of_the_house(tmp_path):
    site = site_of(tmp_path, METER)
    assert coverage_of(with_own_device(site)) == coverage_of(site)


def test_as_plain_data_each_gap_has_both_languages(tmp_path):
    view = coverage_view(site_of(tmp_path, BOARD))
    assert all(gap["say"]["zh"] and gap["say"]["en"] for gap in view["missing"])
    assert view["monitored"]["residual_current"] == 1
