"""Whatever stands on the console's socket: an answer, never an exception."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tasks.phones import VERBS
from tests.web.decided_house import HASH, PIN, DecidedHouse
from tests.web.phone_rig import sun_query

TEXTS = st.one_of(
    st.sampled_from(["tag-of-EPS", "tag-of-WARD", "s01", "张敏", PIN, sun_query(5), "1.n.m", ""]),
    st.text(alphabet=st.characters(codec=None), max_size=80),  # halves of surrogate pairs too
)
VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.lists(st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=4),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
)
NAMES = st.sampled_from(
    ["token", "query", "cookie", "seal", "name", "pin", "from", "note", "hazard", "answers", "by",
     "is_own", "checkpoint", "proof", "counter"]
)  # fmt: skip


HOUSE = DecidedHouse(is_pin=lambda known, pin: known == HASH and pin == PIN)


@settings(max_examples=300)
@given(st.sampled_from([*VERBS, "watch", "tag_register"]), st.dictionaries(NAMES, VALUES))
def test_any_request_is_answered_in_words(verb, fields):
    HOUSE.open_doors()  # nobody has given a wrong PIN yet
    good = {"token": "tag-of-EPS", "query": "", "seal": "1.n.m", "name": "张敏", "pin": PIN,
            "answers": [{"item": "way", "value": "ok"}, {"item": "smell", "value": "ok"}],
            }  # fmt: skip
    said = asyncio.run(HOUSE.phones.handle({**good, **fields, "verb": verb}))
    assert isinstance(said["ok"], bool)
    if not said["ok"]:
        assert said["say"]["zh"], said
        assert said["say"]["en"], said
    assert {visit["by"] for visit in HOUSE.visits()} <= {"s01"}
