import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from gateway.core import messages
from gateway.core.messages import (
    Ack,
    Command,
    Hello,
    Malformed,
    Nack,
    ReceiptMessage,
    parse_down,
)
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Range
from gateway.domain.rules import Above, Is, Rule, Severity, Sound
from gateway.domain.site import (
    Bus,
    Delivery,
    Device,
    PanelPins,
    Site,
    StoreSpec,
    TcpLink,
    Uplink,
)
from gateway.domain.text import Text

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
SCHEMAS = {
    path.stem: Draft202012Validator(json.loads(path.read_text()))
    for path in (CONTRACT / "schemas").glob("*.json")
}
DOWN_KIND = {"ack": "ack", "receipt": "ack", "hello": "hello", "cmd": "cmd"}
AT = Now(8_123_450, 1_790_000_000_123, Clk.SYNC, 40, "8f0c2a6b91d4")


def site_of(*names: str) -> Site:
    points = tuple(
        Point(
            f"board.{name}", "board", name, "mA", Table.INPUT, at, Encoding(WordType.UINT16), 2000
        )
        for at, name in enumerate(names)
    )
    device = Device("board", "x", "bus", 1, "1F", "电工班", points)
    return Site(
        "elm", "榆园", "elder-care", "Asia/Shanghai", (Bus("bus", TcpLink("h")),), (device,), (),
        PanelPins(), Uplink("wh-1", ()), StoreSpec(Path("x")), words={"dist": "371002"},
    )  # fmt: skip


SENDER = messages.sender_of(site_of("a", "b"), "k7Q2")


def data_of(body: bytes) -> dict:
    return json.loads(messages.unpack(body, 2**24))


def check(body: bytes) -> dict:
    data = data_of(body)
    SCHEMAS[data["t"]].validate(data)
    return data


# -- the published files ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted((CONTRACT / "examples").glob("*.json")), ids=lambda p: p.stem
)
def test_every_example_fits_its_schema_and_what_comes_down_is_understood(path):
    data = json.loads(path.read_text())
    SCHEMAS[data["t"]].validate(data)
    if data["t"] in DOWN_KIND:
        text = json.dumps(data).encode()
        for payload in (text, zlib.compress(text)):
            assert not isinstance(parse_down(DOWN_KIND[data["t"]], payload), Malformed)


def test_schemas_are_schemas_and_each_has_an_example():
    for validator in SCHEMAS.values():
        Draft202012Validator.check_schema(validator.schema)
    shown = {json.loads(p.read_text())["t"] for p in (CONTRACT / "examples").glob("*.json")}
    assert shown == set(SCHEMAS)


def test_the_asyncapi_document_names_every_topic_and_every_schema():
    document = YAML(typ="safe").load(CONTRACT / "asyncapi.yaml")
    addresses = {channel["address"] for channel in document["channels"].values()}
    kinds = ("state", "points", "a", "b", "r", "now")
    assert {messages.topic_of("{gw}", kind) for kind in kinds} < addresses
    assert {f"care/1/{{gw}}/dn/{kind}" for kind in DOWN_KIND.values()} < addresses
    references = {
        message["payload"]["schema"]["$ref"]
        for message in document["components"]["messages"].values()
    }
    assert references == {f"./schemas/{name}.json" for name in SCHEMAS}


# -- what goes up -------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=20)
words = st.builds(Text, texts, texts)
numbers = st.none() | st.integers(-(2**63), 2**64) | st.floats() | texts
moments = st.builds(
    Now,
    mono_ms=st.integers(0, 2**50),
    utc_ms=st.none() | st.integers(-(2**40), 2**50),
    clk=st.sampled_from(Clk),
    err_ms=st.none() | st.integers(0, 2**40),
    boot=st.text("0123456789abcdef", min_size=12, max_size=12),
)
conditions = st.builds(Above, st.floats(), st.floats()) | st.just(Is(frozenset({1})))
rules = st.builds(
    Rule, id=st.just("board.a/r"), name=st.just("r"), point=st.just("board.a"),
    condition=conditions,
    severity=st.sampled_from(Severity), sound=st.sampled_from(Sound),
    for_ms=st.just(0), clear_for_ms=st.just(0), latch=st.booleans(), say=words,
    do=st.lists(words).map(tuple),
    owner=texts, basis=texts,
)  # fmt: skip
alarms = st.builds(
    Alarm, rule=st.just("board.a/r"), state=st.sampled_from(AlarmState),
    occurrence=st.sampled_from(["", "k7Q2-A-1"]), raised=st.none() | moments, value=numbers,
    last=numbers, detail=texts,
)  # fmt: skip
readings = st.builds(
    Reading,
    point=st.sampled_from(["board.a", "board.b", "board.gone"]),
    value=numbers,
    quality=st.sampled_from(Quality),
    mono_ms=st.integers(0, 2**50),
    reason=texts,
)


@settings(deadline=None)
@given(rules, alarms, moments, st.sampled_from(Transition), st.sampled_from([Lane.A, Lane.B]))
def test_every_alarm_fits_the_schema_and_is_never_compressed(rule, alarm, at, tr, lane):
    body = messages.alarm_body(
        SENDER, lane, 7, rule=rule, place="1F 厨房", unit="mA", alarm=alarm, tr=tr, at=at, by="p1"
    )
    assert body[:1] == b"{"
    data = check(body)
    assert (data["ep"], data["lane"], data["seq"], data["tr"]) == ("k7Q2", lane, 7, tr)
    marked = check(messages.as_not_durable(body))
    assert marked == {**data, "durable": False}


@settings(deadline=None)
@given(st.lists(readings), moments)
def test_every_batch_fits_the_schema_and_keeps_each_reading_s_moment(some, at):
    body = messages.read_body(SENDER, Batch("k7Q2", 3, at, tuple(some)))
    data = check(body)
    known = [one for one in some if one.point != "board.gone"]
    assert [data["m0"] + row[1] for row in data["r"]] == [one.mono_ms for one in known]
    assert check(messages.as_history(body)) == {**data, "hist": True}


@settings(deadline=None)
@given(st.lists(readings), st.lists(alarms), moments)
def test_every_snapshot_fits_the_schema(some, open_, at):
    data = check(messages.now_body(SENDER, at=at, readings=some, alarms=open_))
    assert len(data["alarms"]) == sum(alarm.state.is_open for alarm in open_)


@settings(deadline=None)
@given(
    st.dictionaries(texts, st.recursive(numbers, lambda inner: st.lists(inner, max_size=3))),
    moments,
)
def test_every_fact_fits_the_schema(fields, at):
    check(messages.fact_body(SENDER, Lane.B, 1, kind="gap", at=at, fields=fields))


@settings(deadline=None)
@given(st.booleans(), moments, st.sampled_from(Delivery))
def test_every_state_fits_the_schema(on, at, delivery):
    data = check(
        messages.state_body(
            SENDER, on=on, conn=3, at=at, delivery=delivery, lanes={Lane.A: (1, 2)}, software="0.1"
        )
    )
    assert data["site"] == {"id": "elm", "name": "榆园", "inst": "elder-care", "dist": "371002"}


def test_the_dictionary_gives_the_indexes_of_readings_their_names():
    site = site_of("b", "a", "c")
    sender = messages.sender_of(site, "e")
    data = check(messages.points_body(sender, site))
    assert {row["id"]: row["i"] for row in data["points"]} == dict(sender.point_index)
    assert data["pts"] == sender.points_hash
    assert messages.sender_of(site_of("b", "a"), "e").points_hash != sender.points_hash


def test_a_reading_says_its_quality_only_when_it_is_not_good():
    batch = Batch(
        "k7Q2", 1, AT,
        (
            Reading("board.a", 41.2, Quality.GOOD, AT.mono_ms - 100),
            Reading("board.b", None, Quality.OFFLINE, AT.mono_ms, "silent"),
            Reading("board.a", float("nan"), Quality.GOOD, AT.mono_ms),
        ),
    )  # fmt: skip
    data = data_of(messages.read_body(SENDER, batch))
    assert data["t0"] == AT.utc_ms - 100
    assert data["r"] == [
        [0, 0, 41.2],
        [1, 100, None, "offline", "silent"],
        [0, 100, None, "fault", "not_a_number"],
    ]


@pytest.mark.parametrize("filling", ["", "x" * 5_000], ids=["plain", "deflated"])
def test_a_record_made_under_another_name_says_this_one_and_all_else_as_before(filling):
    body = messages.pack(b'{"v":1,"gw":"yiyuan \\"a\\"","text":"%s","n":[1,2]}' % filling.encode())
    assert not messages.speaks_as(body, "care")
    renamed = messages.as_gateway(body, "care")
    assert messages.speaks_as(renamed, "care")
    said = {"v": 1, "gw": "care", "text": filling, "n": [1, 2]}
    assert json.loads(messages.unpack(renamed)) == said
    assert json.loads(messages.unpack(messages.as_history(renamed))) == {**said, "hist": True}


def test_a_record_that_names_no_gateway_is_left_as_it_is():
    body = b'{"v":1,"text":"x"}'
    assert messages.speaks_as(body, "care")
    assert messages.as_gateway(body, "care") == body


def test_only_what_is_over_one_kilobyte_is_deflated():
    small = messages.fact_body(SENDER, Lane.B, 1, kind="x", at=AT, fields={})
    large = messages.fact_body(SENDER, Lane.B, 1, kind="x", at=AT, fields={"a": "b" * 2000})
    assert small[:1] == b"{"
    assert large[:1] == b"\x78"
    assert data_of(large)["data"] == {"a": "b" * 2000}


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 1_000])
def test_a_batch_of_any_length_is_one_json_object_without_a_needless_byte(count):
    some = tuple(Reading("board.a", n / 4, Quality.GOOD, 1_000 + n) for n in range(count))
    text = messages.unpack(messages.read_body(SENDER, Batch("k7Q2", 1, AT, some)), 1 << 20)
    data = json.loads(text)
    first = [row[0] for row in data["r"]]
    assert [row[1:] for row in data["r"]] == [[n, n / 4] for n in range(count)]
    assert len(set(first)) <= 1
    assert json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() == text


def test_readings_are_deflated_when_that_is_worth_a_byte():
    def body_of(count: int) -> bytes:
        some = (Reading("board.a", 200 + n * 37 % 250, Quality.GOOD, 7 * n) for n in range(count))
        return messages.read_body(SENDER, Batch("k7Q2", 1, AT, tuple(some)))

    one, forty = body_of(1), body_of(40)
    assert one[:1] == b"{"
    assert forty[:1] == b"\x78"
    assert len(forty) < 0.6 * len(messages.unpack(forty)) < 0.6 * messages.COMPRESS_ABOVE
    assert data_of(messages.as_history(forty)) == {**data_of(forty), "hist": True}


def test_an_alarm_without_occurrence_is_named_by_its_own_record():
    rule = Rule(
        "r", "r", "board.a", Above(300, 250), Severity.ALARM, Sound.A1, 0, 0, True,
        Text("剩余电流超限", "Residual current"), (), "电工班", "GB",
    )  # fmt: skip
    alarm = Alarm("r", AlarmState.UA, value=563.0)
    body = messages.alarm_body(
        SENDER, Lane.A, 812, rule=rule, place="", unit="mA", alarm=alarm, tr=Transition.RAISE, at=AT
    )
    data = data_of(body)
    assert data["alarm"] == messages.occurrence_id("k7Q2", Lane.A, 812) == "k7Q2-A-812"
    assert data["raised"]["at"] == AT.utc_ms
    assert data["aud"] == ["inst", "civil", "fire"]


def test_a_site_without_uplink_speaks_under_its_own_id():
    site = site_of("a")
    bare = Site(**{name: getattr(site, name) for name in Site.__slots__} | {"uplink": None})
    assert messages.sender_of(bare, "e").gateway == "elm"


# -- what comes down ----------------------------------------------------------------------------


def test_acks_hellos_receipts_and_commands_are_understood():
    assert parse_down(
        "ack", b'{"v":1,"t":"ack","ep":"e","A":[[1,2]],"R":[[5,5],[9,8]],"nack":[["B",3,"busy"]]}'
    ) == Ack((Range(Lane.A, "e", 1, 2), Range(Lane.R, "e", 5, 5)), (Nack(Lane.B, "e", 3, "busy"),))
    assert Nack(Lane.B, "e", 3, "busy").is_transient
    assert not Nack(Lane.B, "e", 3, "schema").is_transient
    assert parse_down("hello", b'{"v":1,"t":"hello","ack":1,"time":5}') == Hello(1, None, 5)
    assert parse_down("ack", b'{"v":1,"t":"receipt","alarm":"x","lvl":"seen"}') == ReceiptMessage(
        "x", "seen", "", None
    )
    assert parse_down("cmd", b'{"v":1,"t":"cmd","id":"1","op":"describe"}') == Command(
        "1", "describe", {}
    )


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "json"),
        (b"no json", "json"),
        (b"\xff\xfe", "json"),
        (b'{"v":NaN}', "json"),
        (b"1" * 5000, "json"),
        (b" " * 70_000, "size"),
        (zlib.compress(b" " * 10**7), "size"),
        (zlib.compress(b"{}")[:-3], "zlib"),
        (b"\x78garbage", "zlib"),
        (b"[" * 60_000, "depth"),
        (b'{"v":1,"a":' + b"[" * 9 + b"]" * 9 + b"}", "depth"),
        (b"[]", "shape"),
        (b'{"v":2,"t":"ack"}', "version"),
        (b'{"v":1,"t":"other"}', "unknown_type"),
        (b'{"v":1,"t":"ack","ep":5}', "shape"),
        (b'{"v":1,"t":"ack","ep":"e","A":[[1]]}', "shape"),
        (b'{"v":1,"t":"ack","ep":"e","A":[[-1,5]]}', "shape"),
        (b'{"v":1,"t":"ack","ep":"e","A":[[true,5]]}', "shape"),
        (b'{"v":1,"t":"ack","ep":"e","A":[[0,9223372036854775808]]}', "shape"),
        (b'{"v":1,"t":"ack","ep":"e","A":[' + b"[1,1]," * 2000 + b"[1,1]]}", "shape"),
        (b'{"v":1,"t":"ack","ep":"e","nack":[["X",1,"busy"]]}', "shape"),
        (b'{"v":1,"t":"hello","ack":1}', "unknown_type"),
    ],
)
def test_what_is_no_message_says_why(payload, why):
    assert parse_down("ack", payload) == Malformed(why)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)
near_misses = st.fixed_dictionaries(
    {"v": st.just(1), "t": st.sampled_from(["ack", "hello", "receipt", "cmd"])},
    optional=dict.fromkeys(
        ("ep", "A", "B", "R", "nack", "ack", "max_kb", "alarm", "lvl", "id", "op", "args"),
        json_values,
    ),
)


@settings(deadline=None)
@given(
    st.sampled_from(["ack", "hello", "cmd", "other"]),
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | near_misses.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=100).map(zlib.compress),
)
def test_nothing_that_comes_down_raises(kind, payload):
    assert isinstance(parse_down(kind, payload), Ack | Hello | ReceiptMessage | Command | Malformed)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.text() | st.integers() | st.lists(st.floats(0, 1)),
                       min_size=1), st.integers(0, 3_000))  # fmt: skip
def test_marking_history_changes_nothing_else_whether_it_was_deflated_here_or_before(data, more):
    text = json.dumps({**data, "more": "x" * more}, ensure_ascii=False).encode()
    expected = {**json.loads(text), "hist": True}
    for body in (messages.pack(text), zlib.compress(text, 6)):
        assert data_of(messages.as_history(body)) == expected


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 137])
def test_a_list_in_pieces_is_the_list(count):
    rows = [[at, {"名": "院" * at}] for at in range(count)]
    whole = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    assert b"".join(messages._dump_rows(iter(rows))) == whole.encode()
