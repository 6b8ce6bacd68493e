"""What a site file and people.yaml make of a patrol."""

from pathlib import Path

import pytest

from gateway.config.load import load_site
from gateway.config.patrol import STANDARD
from gateway.domain.patrol import Order, Window
from gateway.domain.people import CredentialKind, Right, Role

HOUSE = """
site: {id: elm-house, name: 榆园养老院, institution: elder-care}
buses:
  plant-room: {serial: /dev/ttyAMA0}
devices:
  meter: {profile: peacefair-pzem-016, bus: plant-room, unit: 3, place: 1F, owner: 电工班}
patrol:
  items:
    room: {volts: {say: 电压, type: number, point: meter.voltage, range: 198..242, tolerance: 5}}
  checkpoints:
    EPS: {name: 配电间, place: 2F 东, items: room, near: [meter.voltage]}
    STAIR: {name: 东楼梯, place: 2F 东, tags: {left: {uid: "04 5e 1f 2a", kind: ntag424}}}
  routes:
    night: {name: 夜巡, order: strict, stops: [EPS, STAIR], dwell: 5s, legs: {STAIR: {dwell: 20s}}}
  rounds:
"""
PEOPLE = """
people:
  s01: {name: 张敏, role: duty, until: 2027-12-31, cards: [{uid: 04-11-22-33, until: 2027-06-30}]}
  l01: {name: 李主任, role: leader, pin: "$argon2id$v=19$m=19456,t=2,p=1$G13wlcnq$Kh2biZjogv8lp"}
"""


@pytest.fixture
def load(tmp_path):
    def load(rounds, people=PEOPLE, mode=0o640):
        (tmp_path / "site.yaml").write_text(HOUSE + rounds, encoding="utf-8")
        if people is not None:
            (tmp_path / "people.yaml").write_text(people, encoding="utf-8")
            (tmp_path / "people.yaml").chmod(mode)
        return load_site(tmp_path / "site.yaml")

    return load


def schedule(loaded):
    (found,) = loaded.site.patrol.schedules.values()
    return found


def test_a_night_of_the_preset_is_four_rounds_of_two_hours_over_midnight(load):
    found = schedule(load("    night: {route: night, preset: night}"))
    assert found.windows == tuple(Window(at, at + 120) for at in (1320, 1440, 1560, 1680))
    assert found.grace_ms == 900_000
    assert found.basis == "GB/T 40248-2021 7.3.5"


def test_a_daily_round_has_the_whole_day(load):
    assert schedule(load("    day: {route: night, preset: daily}")).windows == (Window(480, 1080),)


def test_times_of_day_reach_before_and_after_also_over_midnight(load):
    found = schedule(load('    x: {route: night, at: ["00:10", "23:50"], days: [sat, mon]}'))
    assert found.windows == (Window(-20, 40), Window(1400, 1460))
    assert found.weekdays == {0, 5}


def test_the_last_window_is_cut_at_the_end_of_the_hours(load):
    found = schedule(load("    x: {route: night, between: 08:00-13:00, every: 2h}"))
    assert found.windows == (Window(480, 600), Window(600, 720), Window(720, 780))


def test_items_points_tags_and_legs_are_as_the_file_says(load):
    patrol = load("    night: {route: night, preset: night}").site.patrol
    (item,) = patrol.checkpoints["EPS"].items
    assert (item.unit, item.low, item.high, item.tolerance) == ("V", 198.0, 242.0, 0.05)
    assert patrol.checkpoints["STAIR"].items == STANDARD
    assert len(STANDARD) == 7
    assert patrol.checkpoints["STAIR"].tags[0].uid == "045E1F2A"
    assert patrol.routes["night"].order is Order.STRICT
    assert [stop.dwell_ms for stop in patrol.routes["night"].stops] == [5_000, 20_000]


@pytest.mark.parametrize(
    ("legs", "least"),
    [
        ("", [15_000, 15_000]),
        ("leg_min: 40s, ", [40_000, 40_000]),
        ("leg_min: 0s, ", [0, 0]),
        ("leg_max: 5s, ", [5_000, 5_000]),
    ],
)
def test_a_walk_takes_a_quarter_of_a_minute_where_the_file_does_not_say(
    load, tmp_path, legs, least
):
    load("    night: {route: night, preset: night}")
    site = (tmp_path / "site.yaml").read_text(encoding="utf-8")
    site = site.replace("dwell: 5s, legs: {STAIR: {dwell: 20s}}", f"{legs}dwell: 1s")
    (tmp_path / "site.yaml").write_text(site, encoding="utf-8")
    route = load_site(tmp_path / "site.yaml").site.patrol.routes["night"]
    assert [stop.leg_min_ms for stop in route.stops] == least


def test_people_have_roles_cards_and_pins_each_with_its_last_day(load):
    people = load("    night: {route: night, preset: night}").site.people
    card = people["s01"].credentials[0]
    assert (card.kind, card.secret, card.until) == (CredentialKind.CARD, "04112233", "2027-06-30")
    assert people["s01"].until == "2027-12-31"
    assert people["l01"].credentials[0].kind is CredentialKind.PIN
    assert people["l01"].role is Role.LEADER
    assert Right.SIGN in people["l01"].rights
    assert Right.SIGN not in people["s01"].rights


def test_the_site_is_the_same_whoever_works_there(load):
    rounds = "    night: {route: night, preset: night}"
    other = PEOPLE.replace("张敏", "王芳")
    assert load(rounds).site.sha == load(rounds, other).site.sha


def test_people_that_anybody_can_read_are_told_of(load):
    loaded = load("    night: {route: night, preset: night}", mode=0o644)
    assert [problem.code for problem in loaded.problems] == ["people_readable"]
    assert loaded.site is not None


@pytest.mark.parametrize("people", ["people: [s01]", "peple:\n  s01: {}", "people:\n\t- x", "x"])
def test_people_that_make_no_sense_are_refused_with_a_place(load, people):
    loaded = load("    night: {route: night, preset: night}", people)
    assert loaded.site is None
    assert all(Path(problem.file).name == "people.yaml" for problem in loaded.problems)


def test_the_example_of_people_loads(tmp_path):
    example = Path(__file__).parents[2] / "config" / "people.example.yaml"
    (tmp_path / "site.yaml").write_text(
        HOUSE + "    night: {route: night, preset: night, owner: s01}", encoding="utf-8"
    )
    text = example.read_text(encoding="utf-8").replace("    #pin", "    pin")
    (tmp_path / "people.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "people.yaml").chmod(0o640)
    loaded = load_site(tmp_path / "site.yaml")
    assert loaded.problems == ()
    assert {person.role for person in loaded.site.people.values()} == set(Role)
