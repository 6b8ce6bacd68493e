"""Thinned batches: what stays, under which mark, and that a platform can read it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.core.messages import as_history, pack
from gateway.core.messages import unpack as text_of
from gateway.core.state import State
from gateway.core.step import step
from gateway.core.thinning import WINDOW_MS, thin_bodies
from gateway.domain.events import GapPlanned, Restarted
from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Range
from tests.core.night_house import house

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"


def unpack(body):
    return json.loads(text_of(body))


def _schema(name):
    return Draft202012Validator(json.loads((CONTRACT / "schemas" / f"{name}.json").read_text()))


def _batch(seq: int, m0: int, readings) -> bytes:
    return pack(json.dumps({
        "v": 1, "t": "read", "gw": "g", "ep": "e", "lane": "R", "seq": seq, "pts": "p", "boot": "b",
        "m0": m0, "t0": None, "clk": "none", "err": None, "r": readings,
    }).encode())  # fmt: skip


READINGS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 2), st.integers(0, 9_000), st.integers(-9, 9)),
        st.tuples(st.integers(0, 2), st.integers(0, 9_000), st.none(), st.just("offline")),
        st.tuples(st.integers(0, 2), st.integers(0, 9_000), st.text(max_size=3)),
    ),
    max_size=40,
)


@given(st.lists(READINGS, min_size=1, max_size=8))
def test_extremes_the_last_and_the_last_bad_one_of_each_point_stay(batches):
    bodies = [_batch(n + 1, n * 10_000, readings) for n, readings in enumerate(batches)]
    thin = thin_bodies(bodies)
    before = [tuple(r) for body in bodies for r in unpack(body)["r"]]
    after = [tuple(r) for body in thin if body for r in unpack(body)["r"]]
    assert set(after) <= set(before)
    for point in {r[0] for r in before}:
        good = [r[2] for r in before if r[0] == point and len(r) == 3]
        numbers = [value for value in good if not isinstance(value, str)]
        left = [r for r in after if r[0] == point]
        values = [r[2] for r in left if len(r) == 3]
        if numbers:
            assert {min(numbers), max(numbers)} <= set(values)
        if good:
            assert values[-1] == good[-1]
        assert sum(len(r) > 3 for r in left) == any(r[0] == point and len(r) > 3 for r in before)
        assert len(left) <= 4
    for body, old in zip(thin, bodies, strict=True):
        if body is not None:
            said = unpack(body)
            assert said["thin"] is True
            assert said["seq"] == unpack(old)["seq"]
            _schema("read").validate(said)
            _schema("read").validate(unpack(as_history(body)))


def test_each_ten_minutes_are_thinned_by_themselves():
    bodies = [_batch(n + 1, n * WINDOW_MS, [[0, 0, n], [0, 1, n], [0, 2, n]]) for n in range(3)]
    assert [len(unpack(body)["r"]) for body in thin_bodies(bodies)] == [2, 2, 2]


@pytest.mark.parametrize("body", [b"", b"{}", b"\x78\x9cxx", b'{"t":"fact"}', b"[1]"])
def test_what_is_no_batch_is_refused(body):
    with pytest.raises(ValueError):
        thin_bodies([body])


def _facts(event):
    state = State(house=house(), heads={Lane.A: "a" * 64})
    now = Now(mono_ms=1, utc_ms=1_790_000_000_000, clk=Clk.SYNC, err_ms=1, boot="b")
    _, outcome = step(replace(state, clk=Clk.SYNC), event, now)
    return [unpack(record.body) for record in outcome.records if record.lane is Lane.B]


@pytest.mark.parametrize("why", ["thinned", "dropped", "memory"])
def test_a_gap_is_a_fact_that_names_its_range(why):
    (fact,) = _facts(GapPlanned(Range(Lane.R, "e", 4, 9), why))
    _schema("fact").validate(fact)
    example = json.loads((CONTRACT / "examples" / "fact-gap.json").read_text())
    assert fact["kind"] == example["kind"] == "gap"
    assert fact["data"] == {"lane": "R", "ep": "e", "from": 4, "to": 9, "why": why}
    assert set(fact["data"]) == set(example["data"])


def test_the_first_record_of_a_start_quotes_the_head_before_it():
    boot = next(fact for fact in _facts(Restarted()) if fact["kind"] == "boot")
    assert boot["data"]["head"] == {"A": "a" * 64}
