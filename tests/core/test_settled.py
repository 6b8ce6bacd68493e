from hypothesis import given
from hypothesis import strategies as st

from gateway.core import settled
from gateway.core.settled import SettledRanges
from gateway.domain.records import Lane, Range

spans = st.tuples(st.integers(1, 40), st.integers(0, 8)).map(lambda at: (at[0], at[0] + at[1]))


@given(
    st.lists(st.tuples(st.sampled_from(Lane), st.sampled_from(["e1", "e2"]), spans), max_size=30)
)
def test_what_was_added_is_in_it_and_nothing_else(added):
    known = SettledRanges()
    plain = set()
    for lane, epoch, (lo, hi) in added:
        known.add(Range(lane, epoch, lo, hi))
        plain |= {(lane, epoch, seq) for seq in range(lo, hi + 1)}
    asked = {(lane, epoch, seq) for lane in Lane for epoch in ("e1", "e2") for seq in range(51)}
    assert {key for key in asked if key in known} == plain


def test_of_too_many_the_oldest_go(monkeypatch):
    monkeypatch.setattr(settled, "MOST_RANGES", 3)
    monkeypatch.setattr(settled, "MOST_EPOCHS", 2)
    known = SettledRanges()
    for seq in (10, 20, 30, 40):
        known.add(Range(Lane.A, "e1", seq, seq))
    assert [seq for seq in range(50) if (Lane.A, "e1", seq) in known] == [20, 30, 40]
    for epoch in ("e2", "e1", "e3"):
        known.add(Range(Lane.A, epoch, 50, 50))
    assert [(Lane.A, epoch, 50) in known for epoch in ("e1", "e2", "e3")] == [True, False, True]
