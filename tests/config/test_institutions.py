"""Types of institution: what each asks, on what grounds, and what a site file makes of it."""

import pytest

from gateway.config.institutions import institution_types, read_institution
from gateway.config.load import load_site
from gateway.domain.institutions import DAY_ROUND, NIGHT_ROUND

HOUSE = """\
site: {{id: elm, name: 榆园, institution: {type}}}
buses: {{line: {{tcp: 127.0.0.1}}}}
devices:
  meter: {{profile: peacefair-pzem-016, bus: line, unit: 3, place: 1F, owner: 电工班}}
patrol:
  checkpoints: {{EPS: {{name: 配电间, place: 2F}}}}
  routes: {{all: {{name: 全院, stops: [EPS]}}}}
  rounds: {rounds}
"""
BOTH = "{day: {route: all, preset: daily}, night: {route: all, preset: night}}"
DAY_ONLY = "{day: {route: all, preset: daily}}"
SLOW = "{day: {route: all, preset: daily}, night: {route: all, between: 22:00-06:00, every: 4h}}"


CHILDREN = (
    "儿童福利机构管理办法（2026-04-01 起施行） "
    "(only a summary was read, no clause; the interval is a default of ours)"
)


def load(tmp_path, type_, rounds):
    (tmp_path / "people.yaml").write_text("people: {s01: {name: 张敏, role: duty}}\n", "utf-8")
    (tmp_path / "people.yaml").chmod(0o640)
    path = tmp_path / "site.yaml"
    path.write_text(HOUSE.format(type=type_, rounds=rounds), "utf-8")
    loaded = load_site(path, is_timed=False)
    assert loaded.site is not None, loaded.problems
    return loaded.site, {problem.code: problem for problem in loaded.problems}


def test_there_is_a_file_for_each_type_that_the_field_names():
    assert institution_types() == ("child-welfare", "elder-care", "funeral", "relief", "station")


@pytest.mark.parametrize("type_", institution_types())
def test_every_duty_names_its_source_and_reads_in_both_languages(type_):
    found = []
    institution = read_institution(type_, found)
    assert not found
    assert institution.duty(DAY_ROUND) is not None
    for duty in institution.duties:
        assert duty.basis
        assert duty.say.zh != duty.say.en
        assert (
            duty.unverified is not None or "7.3." in duty.basis
        )  # what was read, clause by clause


def test_what_the_field_note_calls_unverified_is_never_told_as_a_fact():
    drill = read_institution("elder-care", []).duty("drill")
    assert drill is not None
    assert drill.unverified is not None


def test_a_type_that_is_not_known_asks_nothing(tmp_path):
    assert read_institution("lighthouse", []).duties == ()
    _, problems = load(tmp_path, "lighthouse", DAY_ONLY)
    assert set(problems) == {"unknown_institution"}


@pytest.mark.parametrize(("type_", "basis"), [
    ("elder-care", "GB/T 40248-2021 7.3.5"),
    ("child-welfare", CHILDREN),
    ("station", "default: as in elder care; no rule was found for this type of institution"),
])  # fmt: skip
def test_the_preset_of_the_night_stands_on_what_its_type_asks(tmp_path, type_, basis):
    site, _ = load(tmp_path, type_, BOTH)
    night = site.patrol.schedules["night"]
    assert len(night.windows) == 4
    assert night.basis == basis


@pytest.mark.parametrize(("type_", "code"), [
    ("elder-care", "no_night_round"), ("child-welfare", "no_night_round"), ("relief", None),
    ("station", None), ("funeral", None),
])  # fmt: skip
def test_nights_without_a_round_are_told_where_the_type_asks_for_one(tmp_path, type_, code):
    _, problems = load(tmp_path, type_, DAY_ONLY)
    assert set(problems) == ({code} if code else set())
    _, problems = load(tmp_path, type_, BOTH)
    assert not problems


def test_rounds_slower_than_the_type_asks_are_told_with_what_is_unverified(tmp_path):
    _, problems = load(tmp_path, "child-welfare", SLOW)
    assert "未核实：只读到转载的摘要" in problems["night_too_seldom"].advice.zh
    _, problems = load(tmp_path, "relief", SLOW)  # no rule gives an interval
    assert not problems


def test_days_without_any_round_are_told(tmp_path):
    rounds = "{night: {route: all, preset: night, days: [mon, tue, wed, thu, fri]}}"
    _, problems = load(tmp_path, "elder-care", rounds)
    assert set(problems) == {"no_day_round", "no_night_round"}
    assert problems["no_day_round"].fact.en.endswith("sat, sun")


def test_no_limit_depends_on_the_type(tmp_path):
    """No source gives one that would: were there any, this test would have to say so."""
    rules = {type_: load(tmp_path, type_, BOTH)[0].rules for type_ in institution_types()}
    assert len({tuple(each) for each in rules.values()}) == 1


def test_a_type_is_a_file_and_no_code(tmp_path):
    (tmp_path / "hostel.yaml").write_text(
        "name: 旅馆\nduties:\n  night_round: {say: 夜巡, every: 1h, must: true, basis: x}\n",
        "utf-8",
    )
    found = []
    duty = read_institution("hostel", found, tmp_path).duty(NIGHT_ROUND)
    assert not found
    assert (duty.every_ms, duty.is_must, duty.unverified) == (3_600_000, True, None)
