"""What may be said of an acceptance over the socket."""

import pytest

from gateway.domain.events import AcceptanceGiven
from gateway.tasks.acceptance_commands import ACCEPT_MAKERS, acceptance_queries
from gateway.tasks.commands import BadRequest
from tests.core.night_house import LEAK, Night

WHOLE = {
    "verb": "accept", "by": "t01", "part": "point", "subject": "board.leak", "result": "passed",
    "shown": " 27.4 ", "note": "", "tolerance": 0.05,
}  # fmt: skip


def test_a_request_is_an_event():
    assert ACCEPT_MAKERS["accept"](WHOLE, 7) == AcceptanceGiven(
        "t01", "point", "board.leak", "passed", shown="27.4", tolerance=0.05, reply_to=7
    )
    short = {"by": "t01", "part": "sign", "subject": "sheet", "result": "passed", "partner": "m1"}
    assert ACCEPT_MAKERS["accept"](short, 1) == AcceptanceGiven(
        "t01", "sign", "sheet", "passed", partner="m1", reply_to=1
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": "王芳"}, {"by": None}, {"part": "roof"}, {"part": ["point"]}, {"subject": ""},
        {"subject": "x" * 301}, {"result": "lapsed"}, {"result": None}, {"shown": 27},
        {"shown": "2" * 41}, {"note": "x" * 201}, {"partner": "李 主任"}, {"partner": 3},
        {"tolerance": "2%"}, {"tolerance": True}, {"tolerance": -0.1}, {"tolerance": 2},
        {"tolerance": float("nan")},
    ],
)  # fmt: skip
def test_what_is_no_such_request_is_refused(wrong):
    with pytest.raises(BadRequest):
        ACCEPT_MAKERS["accept"]({**WHOLE, **wrong}, 1)


async def test_the_walk_is_told_with_everything_that_a_technician_needs():
    night = Night()
    night.read(1_000, 27)
    queries = acceptance_queries(lambda: night.state, lambda: night.now(2_000))
    view = await queries["acceptance"]({})
    items = {item["key"]: item for item in view["items"]}
    point = items["point/board.leak"]
    assert (point["value"], point["unit"], point["quality"]) == (27, "mA", "good")
    assert (point["bus"], point["unit_id"], point["table"], point["at"], point["count"]) == (
        "line", 3, "input", 5, 1,
    )  # fmt: skip
    assert items["bus/line"]["units"] == [3]
    trip = items[f"trip/{LEAK}"]
    assert (trip["limit"], trip["is_tested"], trip["is_tripped"]) == (300, False, False)
    assert view["counts"]["points_open"] == ["board.leak", "board.load"]
    night.feed(3_000, ACCEPT_MAKERS["accept"]({**WHOLE, "shown": "27"}, 1))
    view = await queries["acceptance"]({"keys": ["point/board.leak"]})
    (point,) = view["items"]
    assert (point["accepted"]["result"], point["accepted"]["by"]) == ("passed", "t01")
    assert point["accepted"]["record"].startswith("epoch0000001-B-")
    assert view["counts"] is None, "not counted when asked again and again"
    assert (await queries["acceptance"]({}))["counts"]["points_open"] == ["board.load"]
    with pytest.raises(BadRequest):
        await queries["acceptance"]({"keys": "point/board.leak"})
