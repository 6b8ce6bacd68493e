import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Record
from gateway.store import rows
from gateway.store.rows import Position, RowDamaged

POSITIONS = st.builds(Position, st.integers(0, rows.MAX_ORDINAL), st.integers(0, rows.MAX_SEQ))
SMALL = st.integers(0, 2**53)
MOMENTS = st.builds(
    Now, SMALL, st.none() | SMALL, st.sampled_from(Clk), st.none() | SMALL, st.text(max_size=8)
)
RECORDS = st.builds(
    Record,
    st.sampled_from(Lane),
    st.text(max_size=12),
    st.integers(1, rows.MAX_SEQ),
    st.text(max_size=8),
    MOMENTS,
    st.binary(max_size=64),
)


@given(st.sampled_from(Lane), POSITIONS)
def test_an_id_tells_lane_and_position(lane: Lane, position: Position):
    row_id = rows.id_of(lane, position)
    assert 0 <= row_id < 2**63
    assert (rows.lane_of(row_id), rows.position_of(row_id)) == (lane, position)


@given(st.sampled_from(Lane), POSITIONS, POSITIONS)
def test_ids_of_a_lane_rise_with_epoch_then_number(lane: Lane, one: Position, two: Position):
    assert (one < two) == (rows.id_of(lane, one) < rows.id_of(lane, two))


@pytest.mark.parametrize("position", [(0, -1), (0, rows.MAX_SEQ + 1), (rows.MAX_ORDINAL + 1, 0)])
def test_a_number_that_does_not_fit_is_refused(position: tuple[int, int]):
    with pytest.raises(ValueError):
        rows.id_of(Lane.A, Position(*position))


@given(RECORDS, st.integers(0, rows.MAX_ORDINAL))
def test_a_record_comes_back_as_it_was(record: Record, ordinal: int):
    assert rows.from_row(rows.to_row(record, ordinal), record.epoch) == record


@given(RECORDS, st.data())
def test_one_changed_byte_is_found(record: Record, data: st.DataObject):
    row = rows.to_row(record, 1)
    bent = bytearray(record.body or b"x")
    bent[data.draw(st.integers(0, len(bent) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RowDamaged):
        rows.from_row((*row[:7], bytes(bent), row[8]), record.epoch)


@given(RECORDS)
def test_a_row_under_another_identity_is_found(record: Record):
    row = rows.to_row(record, 1)
    with pytest.raises(RowDamaged):
        rows.from_row(row, record.epoch + "x")
    with pytest.raises(RowDamaged):
        rows.from_row(row, None)
    with pytest.raises(RowDamaged):
        rows.from_row((row[0] ^ 1, *row[1:]), record.epoch)


def test_a_body_that_is_no_bytes_is_refused():
    record = Record(Lane.A, "e", 1, "k", Now(1, None, Clk.NONE, None, "b"), "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        rows.to_row(record, 1)
