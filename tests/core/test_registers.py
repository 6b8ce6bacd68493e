"""Registers as every type in every order, against another way to read them."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.registers import ORDERS, TYPES, changed, views_at
from gateway.domain.points import WordOrder, WordType

WORDS = st.lists(st.integers(0, 65535), min_size=4, max_size=6)


def reordered(words, order):
    data = [struct.pack(">H", word) for word in words]
    if order in (WordOrder.LITTLE, WordOrder.LITTLE_SWAPPED):
        data.reverse()
    if order in (WordOrder.BIG_SWAPPED, WordOrder.LITTLE_SWAPPED):
        data = [each[::-1] for each in data]
    return b"".join(data)


@given(WORDS)
def test_every_whole_number_is_what_its_bytes_say_in_that_order(words):
    for view in views_at(10, words, 10):
        width, code = TYPES[view.type]
        if code in "fd":
            continue
        for order, value in zip(ORDERS, view.values, strict=True):
            own = reordered(words[:width], order)
            assert value == int.from_bytes(own, "big", signed=code.islower())


@given(WORDS)
def test_a_view_needs_all_its_words(words):
    last = 10 + len(words) - 1
    assert {view.type for view in views_at(10, words, last)} == {WordType.UINT16, WordType.INT16}


def test_a_float_is_shown_short_and_no_number_as_none():
    (view,) = views_at(0, [0x4366, 0x3333], 0, [WordType.FLOAT32])
    assert view.values[0] == 230.2
    (view,) = views_at(0, [0x7FC0, 0x0000], 0, [WordType.FLOAT32])
    assert view.values[0] is None


def test_what_changed_is_told_by_address_and_nothing_on_the_first_look():
    assert changed(10, None, [1, 2]) == frozenset()
    assert changed(10, [1, 2, 3], [1, 5, 3]) == {11}
