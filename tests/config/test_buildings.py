"""Buildings of a site and the height of a gauge under the worst point: whose limits hold where."""

import pytest

from gateway.config.load import load_site
from gateway.domain.points import Table
from tests.profiles.bench import Bench

HOUSE = """\
site: {{id: t, name: T, institution: elder-care}}
buses: {{b: {{tcp: host}}}}
{buildings}devices:
  gauge: {{profile: qdy30a, bus: b, unit: 1, place: B1, owner: O{more}}}
"""
BUILDINGS = """\
buildings:
  old: {name: 老楼, class: multi-storey}
  flats: {name: 公寓, class: high-rise-2}
  tower: {name: 塔楼, class: high-rise-1}
  mast: {name: 高塔, class: over-100m}
"""


def loaded(folder, more="", buildings=""):
    path = folder / "site.yaml"
    path.write_text(HOUSE.format(more=more, buildings=buildings), encoding="utf-8")
    found = load_site(path, is_timed=False)
    assert found.site is not None, found.problems
    return found


def limits(folder, more="", buildings=""):
    rules = {rule.name: rule for rule in loaded(folder, more, buildings).site.rules}
    names = ("pressure_low_warning", "pressure_low_alarm")
    return tuple(rules[name].limit for name in names)


@pytest.mark.parametrize(
    ("building", "expected"),
    [
        ("old", (0.10, 0.07)),
        ("flats", (0.10, 0.07)),
        ("tower", (0.12, 0.10)),
        ("mast", (0.17, 0.15)),
    ],
)
def test_the_class_of_the_building_chooses_the_limits_of_a_hydrant(building, expected, tmp_path):
    more = f", building: {building}, height: 0 m"
    assert limits(tmp_path, more, BUILDINGS) == expected


def test_without_buildings_a_hydrant_is_one_of_a_multi_storey_house(tmp_path):
    assert limits(tmp_path, ", height: 0 m") == (0.10, 0.07)


def test_a_kind_that_the_site_names_itself_is_not_changed_by_the_building(tmp_path):
    own = ", building: old, height: 0 m, points: {pressure: {kind: hydrant_pressure_over_100m}}"
    assert limits(tmp_path, own, BUILDINGS) == (0.17, 0.15)


@pytest.mark.parametrize(("height", "more"), [("18 m", 0.18), ("0 m", 0.0), ("2500 mm", 0.025)])
def test_each_metre_under_the_worst_point_raises_the_limits_by_ten_kilopascals(
    height, more, tmp_path
):
    low, alarm = limits(tmp_path, f", height: {height}")
    assert low == pytest.approx(0.10 + more)
    assert alarm == pytest.approx(0.07 + more)


def test_an_own_limit_is_meant_at_the_worst_point_as_well_and_keeps_its_unit(tmp_path):
    own = ", height: 10 m, rules: {pressure_low_alarm: {below: 80 kPa, basis: owner 2026-11}}"
    rules = {rule.name: rule for rule in loaded(tmp_path, own).site.rules}
    assert rules["pressure_low_alarm"].limit == pytest.approx(0.18)
    assert "owner 2026-11; +0.10 MPa for 10 m of water" in rules["pressure_low_alarm"].basis


def test_the_basis_says_what_was_put_on_top(tmp_path):
    rules = {rule.name: rule for rule in loaded(tmp_path, ", height: 18 m").site.rules}
    basis = rules["pressure_low_alarm"].basis
    assert basis.startswith("GB 50974-2014 5.2.2")
    assert basis.endswith("+0.18 MPa for 18 m of water above the gauge")


def test_upper_limits_belong_to_the_gauge_and_stay(tmp_path):
    more = ", height: 18 m, points: {pressure: {span: 0..1.6}}"
    rules = {rule.name: rule for rule in loaded(tmp_path, more).site.rules}
    assert rules["pressure_high_alarm"].limit == pytest.approx(1.6)


def test_a_height_that_nobody_says_is_asked_for_and_zero_meanwhile(tmp_path):
    found = loaded(tmp_path)
    (asked,) = [problem for problem in found.problems if problem.code == "height_missing"]
    assert not asked.is_error
    assert limits(tmp_path) == (0.10, 0.07)
    assert loaded(tmp_path, ", height: 0 m").problems == ()


def test_a_place_begins_with_its_building_and_one_building_is_everybody_s(tmp_path):
    (gauge,) = loaded(tmp_path, ", building: tower, height: 0 m", BUILDINGS).site.devices
    assert gauge.place == "塔楼 B1"
    one = "buildings: {only: {name: 主楼, class: over-100m}}\n"
    (gauge,) = loaded(tmp_path, ", height: 0 m", one).site.devices
    assert gauge.place == "主楼 B1"
    assert limits(tmp_path, ", height: 0 m", one) == (0.17, 0.15)


def test_a_pressure_that_is_enough_in_the_cellar_is_an_alarm_at_the_top(tmp_path):
    """0.20 MPa at a gauge 18 m under the worst point is 0.02 MPa up there."""
    words = {Table.HOLDING: {2: 3, 3: 2, 4: 20}}
    low = Bench(tmp_path, "qdy30a", ", height: 18 m").wait(15, words)
    assert low.alarms == {"pressure/pressure_low_alarm"}
    level = Bench(tmp_path, "qdy30a", ", height: 0 m").wait(15, words)
    assert level.raised == []
    assert low.value("pressure") == level.value("pressure") == 0.2, "shown as the gauge shows it"
