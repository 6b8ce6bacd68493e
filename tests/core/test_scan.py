"""What a scan asks, how long that takes, and the file that comes of it, without a bus."""

from pathlib import Path

import pytest

from gateway.config.families import read_families
from gateway.config.load import load_site
from gateway.core.proposal import propose
from gateway.core.scan import (
    ALL_UNITS,
    Ask,
    Found,
    Match,
    ScanPlan,
    all_lines,
    ask_of,
    hint_block,
    in_order,
    merged,
    ranked,
)
from gateway.domain.families import LineSetting
from gateway.domain.points import Table
from gateway.domain.site import Parity
from gateway.domain.text import Lang

FAMILIES, _ = read_families(Path("nowhere"))
BY_NAME = {family.profile: family for family in FAMILIES}


def matched(name, *, is_certain=False, is_at_home=False, hints=2):
    shown = tuple((f"hint{number}", number) for number in range(hints))
    return Match(BY_NAME[name], shown, is_certain, is_at_home)


def found(unit, *names, line=LineSetting()):  # noqa: B008 - a constant
    return Found(unit, line, tuple(matched(name) for name in names))


@pytest.mark.parametrize("lang", list(Lang))
def test_whatever_family_is_found_the_file_is_taken_by_check(lang, tmp_path):
    each = [found(unit, family.profile) for unit, family in enumerate(FAMILIES, 1)]
    path = tmp_path / "site.yaml"
    path.write_text(propose(each, "/dev/serial/by-path/p1", lang=lang).yaml, encoding="utf-8")
    loaded = load_site(path, is_timed=False)
    assert loaded.site is not None, [p.fact.en for p in loaded.problems if p.is_error]
    assert len(loaded.site.devices) == len(FAMILIES)


def test_a_network_bus_is_proposed_as_one():
    text = propose(
        [Found(1, None, (matched("siemens-pac2200"),))], "192.168.1.20", lang=Lang.EN
    ).yaml
    assert "bus-1: {tcp: 192.168.1.20}" in text


def test_devices_that_the_site_already_has_are_left_alone_and_only_a_part_is_printed():
    each = [found(1, "eastron-sdm630"), found(2, "peacefair-pzem-016")]
    text = propose(each, "/dev/p", lang=Lang.EN, known_units=(1,), is_whole=False).yaml
    assert "site:" not in text
    assert "eastron" not in text
    assert "peacefair-pzem-016-2:" in text


def test_the_whole_matrix_is_bauds_times_parities_times_stop_bits():
    lines = all_lines()
    assert len(lines) == len(set(lines)) == 8 * 3 * 2
    assert ScanPlan(lines).steps == 48 * 247
    assert tuple(range(1, 248)) == ALL_UNITS


def test_the_estimate_grows_with_what_is_asked():
    one = ScanPlan((LineSetting(),), units=(1,))
    assert 400 <= one.estimate_ms <= 500  # two questions, 200 ms and 16 ms of wire each
    assert ScanPlan((LineSetting(),), units=(1, 2, 3)).estimate_ms == pytest.approx(
        3 * one.estimate_ms, abs=3
    )
    assert ScanPlan((LineSetting(1200),), units=(1,)).estimate_ms > one.estimate_ms
    assert ScanPlan((None,), units=(1,)).estimate_ms == 400


def test_every_hint_is_one_request_that_its_device_can_answer():
    for family in FAMILIES:
        for hint in family.hints:
            block = hint_block(family, hint)
            assert block.count <= family.max_registers
            assert [point.name for point in block.points] == [hint.point.name]
    (level,) = BY_NAME["qdy30a-level"].hints
    assert ask_of(hint_block(BY_NAME["qdy30a-level"], level)) == Ask(Table.HOLDING, 2, 3)


def test_families_that_name_themselves_are_asked_first_and_leave_no_room_for_others():
    first = in_order(FAMILIES)[0]
    assert any(hint.is_identity for hint in first.hints)
    plausible, certain = matched("eastron-sdm630", hints=4), matched("abb-b23", is_certain=True)
    assert ranked([plausible, certain]) == (certain,)


def test_more_hints_come_before_fewer_and_at_home_before_elsewhere():
    few, many = matched("eastron-sdm120", hints=2), matched("eastron-sdm630", hints=4)
    home = matched("eastron-sdm230", hints=2, is_at_home=True)
    assert ranked([few, home, many]) == (many, home, few)


def test_a_device_that_answers_with_one_and_two_stop_bits_is_one_device():
    one, two = LineSetting(9600), LineSetting(9600, Parity.NONE, 2)
    both = [found(3, "eastron-sdm630", line=one), found(3, "eastron-sdm630", line=two)]
    assert merged(both) == (both[0],)
    home = Found(3, two, (matched("eastron-sdm630", is_at_home=True),))
    assert merged([both[0], home]) == (home,)
    even = found(3, "eastron-sdm630", line=LineSetting(9600, Parity.EVEN))
    assert merged([both[0], even]) == (both[0], even)
