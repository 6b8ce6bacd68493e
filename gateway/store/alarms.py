"""The state of an alarm as JSON and back, exactly."""

import json
from dataclasses import asdict, fields
from typing import Any

from gateway.domain.alarms import Alarm, AlarmState, Inhibit
from gateway.domain.moments import Clk, Now

_FIELDS = frozenset(field.name for field in fields(Alarm))


def is_forgettable(alarm: Alarm) -> bool:
    """True when nothing of it matters after a restart: normal, or only pending."""
    return not alarm.state.is_open


def alarm_to_json(alarm: Alarm) -> str:
    """One line of JSON; TypeError for a value that JSON does not know."""
    return json.dumps(asdict(alarm), ensure_ascii=False, separators=(",", ":"))


def alarm_from_json(text: str) -> Alarm:
    """The alarm that `alarm_to_json` wrote.

    What an older version did not write gets its default; what a newer one added is left out.
    ValueError (also KeyError, TypeError) when the text is no alarm.
    """
    said: dict[str, Any] = {k: v for k, v in json.loads(text).items() if k in _FIELDS}
    said["state"] = AlarmState(said["state"])
    said["inhibits"] = tuple(Inhibit(each) for each in said.get("inhibits", ()))
    moments = {
        name: Now(**{**value, "clk": Clk(value["clk"])})
        for name, value in said.items()
        if isinstance(value, dict)
    }
    return Alarm(**{**said, **moments})
