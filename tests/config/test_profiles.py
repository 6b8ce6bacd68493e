"""Every shipped profile makes a device, and its traps stand as the field notes say."""

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.load import load_site
from gateway.config.shipped import shipped_dir
from gateway.domain.points import Table, WordOrder, WordType
from gateway.domain.readings import Quality
from gateway.domain.site import Site

BASES = {"cn-pressure-7reg", "dfrobot-sen07xx"}
WITH_CHANNELS = {"igd-toc-635"}
NAMES = sorted({path.stem for path in (shipped_dir() / "profiles").glob("*.yaml")} - BASES)


def site_with(folder: Path, *profiles: str) -> Site:
    lines = [
        "site: {id: s, name: S, institution: elder-care}",
        "buses: {b: {tcp: host}}",
        "devices:",
    ]
    for unit, profile in enumerate(profiles, 1):
        more = ", channel: 0" if profile in WITH_CHANNELS else ""
        lines.append(
            f"  {profile}: {{profile: {profile}, bus: b, unit: {unit}{more}, place: P, owner: O}}"
        )
    path = folder / "site.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    loaded = load_site(path)
    assert loaded.site is not None, loaded.problems
    return loaded.site


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_makes_a_device(name, tmp_path):
    site = site_with(tmp_path, name)
    (device,) = site.devices
    assert device.profile == name
    assert device.maker
    assert device.model
    assert device.points
    for point in device.points:
        assert point.id == f"{name}.{point.name}"
        assert point.device == name
        assert point.at + point.encoding.width <= 65536


def test_all_profiles_together_make_one_site(tmp_path):
    assert len(site_with(tmp_path, *NAMES).devices) == len(NAMES)


def test_code_3_is_mpa_on_one_transmitter_and_bar_on_the_other(tmp_path):
    points = site_with(tmp_path, "qdy30a", "mpd-380").points
    qdy, mpd = points["qdy30a.pressure"], points["mpd-380.pressure"]
    assert (qdy.unit, mpd.unit) == ("MPa", "MPa")
    assert dict(qdy.encoding.unit_factors) == {
        3: Decimal(1),
        4: Decimal("0.000001"),
        5: Decimal("0.001"),
    }
    assert dict(mpd.encoding.unit_factors) == {
        3: Decimal("0.1"),
        6: Decimal("0.006894757293168361"),
    }
    for point in (qdy, mpd):
        assert point.table is Table.HOLDING
        assert point.encoding.type is WordType.INT16
        assert (point.encoding.unit_at, point.encoding.decimals_at, point.at) == (2, 3, 4)


def test_the_level_transmitter_speaks_metres(tmp_path):
    level = site_with(tmp_path, "qdy30a-level").points["qdy30a-level.level"]
    assert level.unit == "m"
    assert dict(level.encoding.unit_factors) == {1: Decimal("0.01"), 2: Decimal("0.001")}


def test_the_breaker_s_temperatures_carry_an_offset_of_minus_40(tmp_path):
    points = site_with(tmp_path, "lingxun-lx47le").points
    for name, at in (("temperature_n", 6), ("temperature_l1", 7)):
        point = points[f"lingxun-lx47le.{name}"]
        assert point.at == at
        assert point.encoding.offset == Decimal(-40)
        assert point.table is Table.INPUT


def test_every_measured_value_of_the_breaker_is_said_to_have_an_unverified_scale(tmp_path):
    site_with(tmp_path, "lingxun-lx47le")
    problems = load_site(tmp_path / "site.yaml").problems
    (said,) = [problem for problem in problems if problem.code == "scale_unverified"]
    assert "8 points" in said.fact.en
    assert "residual_current" in said.fact.en
    assert "breaker_status" not in said.fact.en
    assert not any(problem.is_error for problem in problems)


def test_65535_is_data_in_the_pzem_alarm_and_a_sentinel_in_the_co_probe(tmp_path):
    points = site_with(tmp_path, "peacefair-pzem-016", "jxbs-3001-co").points
    alarm = points["peacefair-pzem-016.over_power_alarm"]
    assert alarm.sentinels == frozenset()
    assert alarm.valid is None
    assert points["jxbs-3001-co.co"].sentinels == {65535, 32767, 32768}


def test_pzem_values_of_two_words_come_low_word_first(tmp_path):
    points = site_with(tmp_path, "peacefair-pzem-016").points
    for name, at in (("current", 1), ("active_power", 3), ("energy_import", 5)):
        point = points[f"peacefair-pzem-016.{name}"]
        assert (point.at, point.encoding.type) == (at, WordType.UINT32)
        assert point.encoding.order is WordOrder.LITTLE


def test_a_gas_reading_is_only_as_good_as_the_probe_is_ready(tmp_path):
    points = site_with(tmp_path, "crowcon-xgardiq").points
    gate = points["crowcon-xgardiq.concentration"].gate
    assert gate is not None
    assert gate.point == "sensor_ready"
    assert gate.qualities[3] is Quality.GOOD
    assert gate.qualities[2] is Quality.WARMING_UP
    assert gate.qualities[0] is gate.qualities[1] is Quality.FAULT
    assert gate.otherwise is Quality.WARMING_UP
    assert points["crowcon-xgardiq.sensor_ready"].is_alarm_class


def test_an_eastron_answers_80_registers_a_request(tmp_path):
    (device,) = site_with(tmp_path, "eastron-sdm630").devices
    assert device.max_registers == 80
    assert sum(point.is_counter for point in device.points) == 6
    assert {point.encoding.type for point in device.points} == {WordType.FLOAT32}


def test_a_site_s_own_profile_wins_over_the_shipped_one(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "qdy30a.yaml").write_text(
        "profile: qdy30a\nextends: mpd-380\nmodel: house\npoints: {pressure: {period: 7s}}\n",
        encoding="utf-8",
    )
    point = site_with(tmp_path, "qdy30a").points["qdy30a.pressure"]
    assert point.period_ms == 7000
    assert point.encoding.unit_factors[3] == Decimal("0.1")


def test_an_input_that_is_not_used_is_left_out_by_a_profile_that_extends(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "board.yaml").write_text(
        "profile: board\nextends: r4dcb08\npoints: {temperature_3: {off: true}}\n", encoding="utf-8"
    )
    site = site_with(tmp_path, "board")
    assert "board.temperature_3" not in site.points
    assert len(site.points) == 7
    assert not [rule for rule in site.rules if "temperature_3" in rule.id]


def test_a_profile_that_nobody_verified_is_said_to_be_so_by_check(tmp_path):
    site_with(tmp_path, "cet-pmc-350-c")
    problems = load_site(tmp_path / "site.yaml").problems
    (said,) = [problem for problem in problems if problem.code == "profile_unverified"]
    assert not said.is_error
    assert "only one register was found in public" in said.fact.en
    assert "只有一个寄存器有公开出处" in said.fact.zh


def test_some_bits_of_a_register_are_a_number_of_their_own(tmp_path):
    state = site_with(tmp_path, "honeywell-midas").points["honeywell-midas.state"]
    assert state.encoding.bits == (0, 3)


def test_a_whole_three_phase_meter_is_under_60_lines():
    lines = (shipped_dir() / "profiles" / "eastron-sdm630.yaml").read_text("utf-8").splitlines()
    assert len(lines) < 60


def test_profiles_that_extend_each_other_are_an_error_not_a_hang(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    for name, base in (("one", "two"), ("two", "one")):
        (folder / f"{name}.yaml").write_text(
            f"profile: {name}\nextends: {base}\n", encoding="utf-8"
        )
    (tmp_path / "site.yaml").write_text(
        "site: {id: s, name: S, institution: elder-care}\nbuses: {b: {tcp: h}}\n"
        "devices: {d: {profile: one, bus: b, unit: 1, place: P, owner: O}}\n",
        encoding="utf-8",
    )
    loaded = load_site(tmp_path / "site.yaml")
    assert loaded.site is None
    assert [problem.code for problem in loaded.problems] == ["profile_circle"]
