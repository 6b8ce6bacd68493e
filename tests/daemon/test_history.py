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


def test_a_cause_that_stands_over_a_kill_must_sound_again_after_it():
    killed = replace(TRUTH, planted=(Planted(RULE, 1_000, 2_000, killed_ms=1_500),))
    assert check(killed).problems == (
        "silent: bank.c1/contact-1 at 1000 ms was planted and never sounded",
    )
    assert check(replace(killed, sounded=(1_100.0, 1_900.0))).problems == ()


def test_what_was_over_before_any_disk_had_it_is_excused_and_what_was_on_disk_is_not():
    brief = replace(
        TRUTH,
        planted=(Planted(RULE, 1_000, 2_000, killed_ms=1_500, is_brief=True),),
        sounded=(1_100.0,),
    )
    nothing = replace(brief, applied=TRUTH.applied[1:], committed=TRUTH.committed[1:],
                      acknowledged=TRUTH.acknowledged[1:])  # fmt: skip
    found = check(nothing)
    assert (found.problems, found.excused) == ((), 1)
    known = check(replace(nothing, at_kills=(raised(1),)))
    assert known.excused == 0
    assert [problem.split(" ")[0] for problem in known.problems] == ["lost:"] * 3 + ["silent:"]
    assert check(replace(brief, at_kills=(raised(1),), sounded=(1_100.0, 1_600.0))).problems == ()


def test_a_row_that_was_on_disk_at_a_kill_and_is_gone_is_lost():
    history = replace(TRUTH, at_kills=(*TRUTH.committed, body("B", 2, t="fact")))
    problems = check(history).problems
    assert "lost: e1-B-2 was on disk when the gateway was killed and is in no file now" in problems
    assert "lost: e1-B-2 counts as settled, the platform never applied it" in problems
    cut = check(replace(history, cut_off=frozenset({("e1", "B", 2)})))
    assert "in no file now" not in "".join(cut.problems)


def test_a_raise_from_memory_that_no_disk_had_does_not_double_the_one_after_the_kill():
    early, again = {**raised(1), "durable": False}, raised(1, "e2", 1_900)
    both = replace(
        TRUTH,
        planted=(Planted(RULE, 1_000, 3_000, killed_ms=1_500),),
        sounded=(1_100.0, 2_000.0),
        committed=(*TRUTH.committed[1:], again),
        applied=(*TRUTH.applied[1:], early, again),
    )
    assert check(both).problems == ()
    kept = check(replace(both, committed=(*both.committed, raised(1))))
    assert kept.duplicates == 1
