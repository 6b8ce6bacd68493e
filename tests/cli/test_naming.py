from itertools import product

import pytest

from gateway.cli.naming import Named, find, named_in, short
from gateway.domain.text import Text

LEAK = Named("board.leak/residual_alarm", "7c1e90aa31f2-A-231")
GAS = Named("kitchen.gas/gas_alarm", "7c1e90aa31f2-A-232")
GONE = Named("gateway/device_silent/board", "7c1e90aa31f2-B-17")
KNOWN = (LEAK, GAS, GONE)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("A-231", LEAK), ("a-232", GAS), ("231", LEAK), ("7c1e90aa31f2-B-17", GONE),
        ("board.leak/residual_alarm", LEAK), ("board.", LEAK), ("KITCHEN", GAS),
        ("gas_al", GAS), ("silent", GONE), (" A-231 ", LEAK),
    ],
)  # fmt: skip
def test_a_number_a_rule_or_the_beginning_of_either_is_enough(typed, meant):
    assert find(typed, KNOWN) == meant


def test_what_could_be_two_is_refused_with_both_names():
    said = find("7c1e", KNOWN)
    assert isinstance(said, Text)
    assert "A-231 board.leak/residual_alarm, A-232 kitchen.gas/gas_alarm" in said.en
    assert "不止一条" in said.zh


def test_a_whole_name_wins_over_one_that_only_begins_so():
    longer = Named("board.leak/residual_alarm_2", "x-A-9")
    assert find("board.leak/residual_alarm", (*KNOWN, longer)) == LEAK


def test_a_misspelt_name_is_answered_with_the_one_that_was_meant():
    said = find("gas_alram", KNOWN)
    assert isinstance(said, Text)
    assert said.en == (
        "there is no alarm or case `gas_alram`; did you mean: A-232 kitchen.gas/gas_alarm?"
    )
    assert "是不是：A-232 kitchen.gas/gas_alarm？" in said.zh


@pytest.mark.parametrize("typed", ["zzzz", "", "  "])
def test_a_name_like_nothing_is_answered_with_what_there_is(typed):
    said = find(typed, KNOWN)
    assert isinstance(said, Text)
    assert said.en.endswith(f"open now: {', '.join(f'{k.number} {k.rule}' for k in KNOWN)}")
    nothing = find(typed, ())
    assert isinstance(nothing, Text)
    assert nothing.en.endswith("nothing is open now")


def test_every_name_finds_what_it_was_made_from():
    many = [Named(f"board.p{n}/r{m}", f"0a-A-{n}{m}") for n, m in product(range(9), range(9))]
    for each in many:
        assert find(each.rule, many) == each
        assert find(each.occurrence, many) == each
        assert find(each.number, many) == each


def test_alarms_and_cases_are_one_list_and_an_alarm_with_its_case_is_there_once():
    alarms = {"alarms": [{"rule": LEAK.rule, "occurrence": LEAK.occurrence}]}
    cases = [{"rule": LEAK.rule, "case": LEAK.occurrence}, {"rule": GAS.rule, "case": "x-A-1"}]
    assert named_in(alarms, cases) == [LEAK, Named(GAS.rule, "x-A-1")]


def test_an_occurrence_is_said_without_its_epoch():
    assert [short("7c1e90aa31f2-A-231"), short(""), short(None)] == ["A-231", "", ""]
