"""The checker of runs with kills can fail: every planted lie is found, and the truth passes."""

from dataclasses import replace

import pytest

from tests.daemon.history import History, Planted, check, key_of

RULE = "bank.c1/contact-1"


def body(lane: str, seq: int, epoch: str = "e1", **fields) -> dict:
    return {"ep": epoch, "lane": lane, "seq": seq, "mono": 1_000 * seq, **fields}


def raised(seq: int, epoch: str = "e1", mono: int = 1_200) -> dict:
    return body("A", seq, epoch, t="alarm", tr="raise", rule=RULE, mono=mono)


FACT, BATCH = body("B", 1, t="fact"), body("R", 1, t="read", r=[])
TRUTH = History(
    planted=(Planted(RULE, 1_000, 2_000),),
    sounded=(1_100.0,),
    committed=(raised(1), FACT, BATCH),
    waiting=frozenset(),
    applied=(raised(1), FACT, {**BATCH, "hist": True}),
    acknowledged=(("e1", "A", 1), ("e1", "B", 1), ("e1", "R", 1)),
)


def test_the_truth_has_no_problem_and_is_counted():
    found = check(TRUTH)
    assert found.problems == ()
    assert (found.planted, found.committed, found.applied) == (1, 3, 3)
    assert (found.lost, found.duplicates) == (0, 0)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"sounded": (900.0, 2_100.0)}, "silent: bank.c1/contact-1"),
        ({"applied": TRUTH.applied[:2], "acknowledged": ()}, "lost: e1-R-1 counts as settled"),
        ({"acknowledged": (("e1", "A", 9),)}, "lost: the platform acknowledged e1-A-9"),
        ({"applied": TRUTH.applied[1:], "acknowledged": ()}, "lost: bank.c1/contact-1 at 1000 ms"),
        ({"applied": (*TRUTH.applied, FACT)}, "duplicate: e1-B-1 took effect 2 times"),
        (
            {"applied": (*TRUTH.applied, raised(1, "e2", 1_900)),
             "committed": (*TRUTH.committed, raised(1, "e2", 1_900))},
            "duplicate: bank.c1/contact-1 at 1000 ms took effect as e1-A-1, e2-A-1",
        ),
        ({"committed": TRUTH.committed[1:]}, "stranger: the platform applied e1-A-1"),
        ({"applied": (*TRUTH.applied[:2], {**BATCH, "r": [1]})}, "altered: e1-R-1"),
        ({"waiting": frozenset({("e1", "B", 1)})}, "unfinished: e1-B-1"),
        ({"planted": ()}, "stranger: e1-A-1 is of bank.c1/contact-1, which nobody planted"),
    ],
)  # fmt: skip
def test_a_lie_is_found_and_named(lie, said):
    problems = check(replace(TRUTH, **lie)).problems
    assert any(problem.startswith(said) for problem in problems), problems


def test_what_was_cut_off_parked_or_came_from_memory_is_no_lie():
    key = key_of(FACT)
    left = tuple(each for each in TRUTH.committed if key_of(each) != key)
    assert check(replace(TRUTH, committed=left, cut_off=frozenset({key}))).problems == ()
    early = tuple({**each, "durable": False} for each in TRUTH.applied)
    assert check(replace(TRUTH, committed=left, applied=early)).problems == ()
    without = tuple(each for each in TRUTH.applied if key_of(each) != key)
    said = tuple(each for each in TRUTH.acknowledged if each != key)
    parked = replace(TRUTH, applied=without, acknowledged=said, parked=frozenset({key}))
    assert check(parked).problems == ()


def test_readings_may_wait_and_one_cause_after_the_other_is_no_duplicate():
    waits = replace(TRUTH, applied=TRUTH.applied[:2], acknowledged=TRUTH.acknowledged[:2],
                    waiting=frozenset({key_of(BATCH)}))  # fmt: skip
    assert check(waits).problems == ()
    again = raised(2, mono=5_300)
    twice = replace(
        TRUTH,
        planted=(*TRUTH.planted, Planted(RULE, 5_000, 6_000)),
        sounded=(1_100.0, 5_100.0),
        committed=(*TRUTH.committed, again),
        applied=(*TRUTH.applied, again),
    )
    assert check(twice).problems == ()
