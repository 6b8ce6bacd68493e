"""What the log says of one step: a line for each thing that changed, and nothing in between.

An outage is one line when it begins and one when it ends, whoever noticed it: devices, buses, disks
and the platform by the faults that they raise and clear, the broker by its link. What has a record
has its line here and nowhere else; readings, retries and receipts have none.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.messages import unpack
from gateway.core.state import State
from gateway.domain.outcome import Outcome
from gateway.domain.records import Record

MAX_INFLATED = 1_100  # times: zlib cannot do more
TRANSITIONS = {  # `tr` of a record: the verb, and whether somebody should look
    "raise": ("raised", True),
    "again": ("active again", True),
    "clear": ("cleared", False),
    "ack": ("acknowledged", False),
    "silence": ("silenced", False),
    "reset": ("reset", False),
    "realarm": ("acknowledged, and still active: sounds again", True),
    "chatter": ("comes and goes: one alarm from here on", True),
}
FACTS = {  # the kinds of facts that are news on this machine
    "anchor": ("clock synchronised", False),
    "clock_step": ("wall clock jumped", True),
    "counter_reset": ("counter went back", True),
    "panel_test": ("lamp test", False),
    "escalation": ("nobody acts: escalated", True),
    "hazard": ("hazard opened", True),
    "drill_start": ("drill begun", False),
    "test_start": ("test of a point begun", False),
    "test_end": ("test of a point ended", False),
    "post_check": ("post check", False),
    "self_test": ("self-test", False),
    "arrival": ("somebody is on site", False),
    "case_handled": ("case handled", False),
    "missed_alarm": ("missed alarm entered", True),
    "acceptance": ("acceptance", False),
    "acceptance_lapsed": ("no longer accepted: it has changed", True),
    "site_changed": ("site file taken over while running", False),
    "alarm_dropped": ("alarm dropped, its rule is gone", True),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `words`, then each field as key=value. `is_warning`: somebody should look."""

    words: str
    fields: Mapping[str, object]
    is_warning: bool = False


def lines_of(before: State, after: State, outcome: Outcome) -> tuple[Line, ...]:
    """Return what one step is worth saying, oldest first."""
    records = (_line_of(record, after) for record in outcome.records)
    return (*(line for line in records if line is not None), *_link_lines(before, after))


def _line_of(record: Record, state: State) -> Line | None:
    if record.kind == "alarm":
        return _alarm_line(json.loads(record.body), state)
    if record.kind in FACTS:
        words, is_warning = FACTS[record.kind]
        data = json.loads(unpack(record.body))["data"]
        return Line(words, _known(data), is_warning)
    if record.kind == "case":
        return _case_line(json.loads(unpack(record.body, len(record.body) * MAX_INFLATED))["data"])
    return None


def _case_line(case: Mapping[str, Any]) -> Line:
    finding, closed = case["finding"] or {}, case["closed"] or {}
    fields = {"case": case["case"], "verdict": finding.get("verdict"), "by": closed.get("by")}
    words = "case let go, nobody closed it" if case["lapsed"] else "case closed"
    return Line(words, _known(fields), case["lapsed"])


def _alarm_line(body: Mapping[str, Any], state: State) -> Line:
    verb, is_warning = TRANSITIONS[body["tr"]]
    fields = _subject(body, state)
    if body["place"] not in fields.values():
        fields["place"] = body["place"]
    if body["tr"] in ("raise", "again"):
        fields |= {
            "value": _with_unit(body["val"], body["unit"]),
            "limit": _with_unit(body["lim"], body["unit"]),
            "why": body["detail"],
        }
    elif body["tr"] == "clear":
        fields["value"] = _with_unit(body["last"], body["unit"])
    fields |= {"by": body["by"], "alarm": body["alarm"]}
    return Line(f"{body['sev']} {verb}", _known(fields), is_warning)


def _subject(body: Mapping[str, Any], state: State) -> dict[str, object]:
    """What it is about: `rule` and `device` for the house's, `fault` for the gateway's own."""
    rule = str(body["rule"])
    if body["point"]:
        return {"rule": rule, "device": str(body["point"]).partition(".")[0]}
    _, code, subject = rule.split("/", 2)
    device = state.house.devices.get(subject)
    if device is not None:
        return {"fault": code, "device": subject, "bus": device.bus}
    return {"fault": code, ("bus" if subject in state.house.devices_on else "about"): subject}


def _link_lines(before: State, after: State) -> Iterator[Line]:
    """The first word about the link is news too: a broker that was never there is an outage."""
    is_first_word = bool(after.link_broker) and not before.link_broker
    if before.is_link_up == after.is_link_up and not is_first_word:
        return
    fields = {"broker": after.link_broker, "why": "" if after.is_link_up else after.link_why}
    yield Line(f"link {'up' if after.is_link_up else 'down'}", _known(fields), not after.is_link_up)


def _with_unit(value: object, unit: str) -> str:
    if value is None:
        return ""
    number = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{number} {unit}".strip()


def _known(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: _plain(value) for key, value in fields.items() if value not in ("", None)}


def _plain(value: object) -> object:
    """A phrase in the log's language, a list as names in a row: no brackets of a program."""
    if isinstance(value, Mapping) and "en" in value:
        return value["en"]
    return ", ".join(map(str, value)) if isinstance(value, list) else value
