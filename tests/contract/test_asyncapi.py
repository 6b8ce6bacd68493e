"""The AsyncAPI document: its form, every reference in it, and that it says what the code does.

The form below is the part of AsyncAPI 3.0.0 that the document uses, with nothing else allowed. (The
document was also checked by hand against AsyncAPI's own JSON Schema and with its parser, which are
not shipped here: no error.)
"""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from gateway.core import messages
from gateway.domain.alarms import AlarmState, Inhibit, Transition
from gateway.domain.records import Lane
from gateway.sim.platform import MODES

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
DOCUMENT = YAML(typ="safe").load(CONTRACT / "asyncapi.yaml")
EXAMPLES = {path: json.loads(path.read_text()) for path in (CONTRACT / "examples").glob("*.json")}

TEXT = {"type": "string", "minLength": 1}
REF = {
    "type": "object", "required": ["$ref"], "additionalProperties": False,
    "properties": {"$ref": {"type": "string", "pattern": "^(#|\\./schemas/)"}},
}  # fmt: skip


def strict(required: str, optional: str = "", **properties) -> dict:
    """An object with these fields and no other ones; fields without a schema are texts."""
    names = f"{required} {optional}".split()
    return {
        "type": "object", "required": required.split(), "additionalProperties": False,
        "properties": {name: properties.get(name, TEXT) for name in names},
    }  # fmt: skip


def named(schema: dict) -> dict:
    pattern = {"^[a-z_]+$": schema}
    return {"type": "object", "minProperties": 1, "additionalProperties": False,
            "patternProperties": pattern}  # fmt: skip


MQTT = {"bindingVersion": {"const": "0.2.0"}}
OPERATION_BINDING = strict(
    "mqtt",
    mqtt=strict(
        "qos retain bindingVersion", "messageExpiryInterval", **MQTT,
        qos={"enum": [0, 1]}, retain={"type": "boolean"}, messageExpiryInterval={"type": "integer"},
    ),
)  # fmt: skip
SERVER_BINDING = strict(
    "mqtt",
    mqtt=strict(
        "clientId cleanSession keepAlive lastWill bindingVersion",
        "sessionExpiryInterval maximumPacketSize", **MQTT,
        cleanSession={"const": False}, keepAlive={"type": "integer"},
        sessionExpiryInterval={"type": "integer"}, maximumPacketSize={"type": "integer"},
        lastWill=strict("topic qos retain message", qos={"const": 1}, retain={"const": True}),
    ),
)  # fmt: skip
MESSAGE_BINDING = strict(
    "mqtt",
    mqtt=strict(
        "payloadFormatIndicator contentType bindingVersion", **MQTT,
        payloadFormatIndicator={"enum": [0, 1]},
    ),
)  # fmt: skip
FORM = strict(
    "asyncapi id info defaultContentType servers channels operations components",
    asyncapi={"const": "3.0.0"},
    info=strict("title version description", version={"pattern": r"^\d+\.\d+\.\d+$"}),
    servers=named(
        strict(
            "host protocol protocolVersion description variables security bindings",
            protocol={"const": "mqtts"},
            variables=named(strict("description default")),
            security={"type": "array", "items": REF},
            bindings=SERVER_BINDING,
        )
    ),
    channels=named(
        strict(
            "address title description servers parameters messages",
            servers={"type": "array", "items": REF},
            parameters=named(REF), messages=named(REF),
        )
    ),
    operations=named(
        strict(
            "action title channel messages bindings", "reply",
            action={"enum": ["send", "receive"]}, channel=REF,
            messages={"type": "array", "minItems": 1, "items": REF},
            bindings=OPERATION_BINDING,
            reply=strict("channel messages", channel=REF,
                         messages={"type": "array", "items": REF}),
        )
    ),
    components=strict(
        "parameters securitySchemes messages",
        parameters=named(strict("description")),
        securitySchemes=named(strict("type description",
                                     type={"enum": ["X509", "userPassword"]})),
        messages=named(
            strict(
                "name title summary contentType payload bindings x-examples",
                payload=strict("schemaFormat schema", schema=REF),
                bindings=MESSAGE_BINDING,
                **{"x-examples": {"type": "array", "minItems": 1, "items": TEXT}},
            )
        ),
    ),
)  # fmt: skip


def references(part, path=()):
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield path, value
            yield from references(value, (*path, name))
    elif isinstance(part, list):
        for at, value in enumerate(part):
            yield from references(value, (*path, at))


def resolved(reference: str):
    if reference.startswith("./"):
        return json.loads((CONTRACT / reference).read_text())
    found = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return resolved(found["$ref"]) if set(found) == {"$ref"} else found


def test_the_document_has_the_form_of_asyncapi_3_and_the_form_can_refuse():
    Draft202012Validator.check_schema(FORM)
    form = Draft202012Validator(FORM)
    assert [error.json_path + error.message for error in form.iter_errors(DOCUMENT)] == []
    for slip in ({"asyncapi": "2.6.0"}, {"chanels": {}}, {"info": {"title": "x"}}):
        assert not form.is_valid({**DOCUMENT, **slip})


def test_every_reference_leads_somewhere_and_each_operation_to_messages_of_its_channel():
    assert len(list(references(DOCUMENT))) > 50
    for path, reference in references(DOCUMENT):
        assert resolved(reference), path
    for name, operation in DOCUMENT["operations"].items():
        channel = operation["channel"]["$ref"]
        said = {each["$ref"] for each in operation["messages"]}
        assert said == {f"{channel}/messages/{m}" for m in resolved(channel)["messages"]}, name


@pytest.mark.parametrize("name", DOCUMENT["operations"])
def test_qos_and_retain_are_those_of_the_gateway(name):
    operation = DOCUMENT["operations"][name]
    binding = operation["bindings"]["mqtt"]
    kind = name.partition("_")[2]
    direction = {"send": "up", "receive": "dn"}[operation["action"]]
    address = resolved(operation["channel"]["$ref"])["address"]
    assert address == f"care/1/{{gw}}/{direction}/{kind}"
    assert binding["qos"] == (0 if kind == "now" else 1)
    assert binding["retain"] == (kind in ("state", "points"))
    if direction == "up":
        assert address == messages.topic_of("{gw}", kind)
    is_record = kind.upper() in set(Lane)
    assert ("reply" in operation) == is_record, "what is numbered is answered on dn/ack"


def test_every_topic_of_the_gateway_is_a_channel_and_there_is_no_other():
    up = {messages.lane_topic("{gw}", lane) for lane in Lane}
    up |= {messages.topic_of("{gw}", kind) for kind in ("state", "points", "now")}
    down = {
        f"care/1/{{gw}}/dn/{kind}"
        for kind in ("hello", "ack", "cmd", "cfg", "receipt", *(n.lower() for n in EXAMPLES_BY_T))
        if any(is_understood(kind, data) for data in EXAMPLES.values())
    }
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == up | down
    for channel in DOCUMENT["channels"].values():
        kind = channel["address"].rsplit("/", 1)[-1]
        if "/dn/" in channel["address"]:
            taken = {data["t"] for data in EXAMPLES.values() if is_understood(kind, data)}
            assert taken == set(channel["messages"]), "and each carries what is obeyed there"


EXAMPLES_BY_T = {data["t"] for data in EXAMPLES.values()}


def is_understood(kind: str, data: dict) -> bool:
    said = messages.parse_down(kind, json.dumps(data).encode())
    return not isinstance(said, messages.Malformed)


def rows(page: str, column: str) -> dict[str, tuple[str, str]]:
    """First cell -> the next two, of the table on a page whose first column is called so."""
    text = (CONTRACT / page).read_text().split(f"| {column} |", 1)[1].split("\n\n", 1)[0]
    found = re.findall(r"^\| `([\w]+)` \| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE)
    return {name: (zh, en) for name, zh, en in found}


def enumerated(schema: str, *path: str) -> set[str]:
    part = json.loads((CONTRACT / "schemas" / f"{schema}.json").read_text())["properties"]
    for name in path:
        part = part[name]
    return set(part["enum"])


def test_the_page_of_alarms_tells_every_state_and_transition_in_two_languages():
    states, transitions = rows("alarms.md", "`state`"), rows("alarms.md", "`tr`")
    assert set(states) == set(AlarmState) == enumerated("alarm", "state")
    assert set(transitions) == set(Transition) == enumerated("alarm", "tr")
    page = (CONTRACT / "alarms.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` .*\| (yes|no)[^|]*\|$", page, re.MULTILINE))
    assert {name for name, is_open in listed.items() if is_open == "yes"} == {
        state for state in AlarmState if state.is_open
    }
    assert set(Inhibit) == enumerated("alarm", "inh", "items")
    assert all(f"`{inhibit}`" in page for inhibit in Inhibit)
    assert set(Inhibit) == enumerated("now", "alarms", "items", "properties", "inh", "items")


def test_the_modes_of_the_simulated_platform_are_told_as_it_tells_them():
    told = rows("platform-duties.md", "`--mode`")
    assert {name: zh for name, (zh, _) in told.items()} == {
        name: said.zh for name, said in MODES.items()
    }


def test_what_a_broker_denies_or_a_platform_refuses_for_now_is_told_as_it_is_obeyed():
    duties = (CONTRACT / "platform-duties.md").read_text()
    refused = json.loads((CONTRACT / "examples" / "ack-nack.json").read_text())
    said = messages.parse_down("ack", json.dumps(refused).encode())
    assert {nack.code: nack.is_transient for nack in said.nacks} == {"schema": False, "busy": True}
    for code in ("busy", "retry", "storage", "unavailable"):
        assert f"`{code}`" in duties
        assert messages.Nack(Lane.B, "e", 1, code).is_transient
    for code in ("schema", "unknown_type", "epoch_conflict"):
        assert f"`{code}`" in duties
        assert not messages.Nack(Lane.B, "e", 1, code).is_transient


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_the_examples_of_a_message_are_there_and_fit(name):
    message = DOCUMENT["components"]["messages"][name]
    listed = {CONTRACT / path for path in message["x-examples"]}
    assert listed == {path for path, data in EXAMPLES.items() if data["t"] == name}
    validator = Draft202012Validator(resolved(message["payload"]["schema"]["$ref"]))
    for path in listed:
        validator.validate(EXAMPLES[path])


UPWARD = ("state", "points", "alarm", "fact", "read", "now")


@pytest.mark.parametrize("path", sorted(EXAMPLES), ids=lambda path: path.stem)
def test_a_consumer_of_today_takes_what_a_later_producer_adds(path):
    """`v` 1 is additive: unknown fields, wherever they stand, change nothing."""
    data = EXAMPLES[path]
    schema = json.loads((CONTRACT / "schemas" / f"{data['t']}.json").read_text())
    later = {**data, "a_field_of_next_year": {"deep": [1, None, "x"]}}
    Draft202012Validator(schema).validate(later)
    if data["t"] not in UPWARD:
        kind = "ack" if data["t"] == "receipt" else data["t"]
        said = [messages.parse_down(kind, json.dumps(each).encode()) for each in (data, later)]
        assert said[0] == said[1]


def test_the_pages_name_each_other_and_files_that_are_there():
    for page in CONTRACT.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (CONTRACT / link).exists(), f"{page.name}: {link}"
    duties = (CONTRACT / "platform-duties.md").read_text()
    assert all(
        name in duties
        for name in ("alarms.md", "brokers.md", "dedupe.md", "faults.md", "asyncapi.yaml")
    )
