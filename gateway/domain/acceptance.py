"""验收: what is tried before a house is handed over, and what became of it.

A technician walks through the parts; the decider takes a `passed` only with evidence of its own
(a good reading, an alarm that was raised under test, a tap that it saw). What is accepted is kept
until what it was about changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.modes import SelfTested
from gateway.domain.moments import Now
from gateway.domain.readings import Value
from gateway.domain.text import Text


class Part(StrEnum):
    """What is tried, in the order of the walk; the subject of each in brackets."""

    BUS = "bus"  # nobody on the line whom the site file does not name (bus)
    DEVICE = "device"  # it answers and is what its profile says (device)
    POINT = "point"  # its value is what the display shows (point)
    TRIP = "trip"  # the device was tripped and the alarm was raised (rule)
    PANEL = "panel"  # seen, heard, pressed (lamp, `buzzer`, pattern, `silence`, `relay`)
    TAG = "tag"  # tapped, and the gateway saw it (checkpoint)
    UPLINK = "uplink"  # a self-test came back from the platform (`uplink`)
    CLOCK = "clock"  # right, and trusted (`clock`)
    SIGN = "sign"  # two people put their codes under all of it (`sheet`)


class Result(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # for a reason
    LAPSED = "lapsed"  # what was accepted is not there any more, or is another thing


PARTS: dict[Part, Text] = {
    Part.BUS: Text("总线", "Bus"),
    Part.DEVICE: Text("设备", "Device"),
    Part.POINT: Text("监测点", "Point"),
    Part.TRIP: Text("报警试验", "Trip test"),
    Part.PANEL: Text("面板", "Panel"),
    Part.TAG: Text("巡查点", "Checkpoint"),
    Part.UPLINK: Text("上传", "Uplink"),
    Part.CLOCK: Text("时钟", "Clock"),
    Part.SIGN: Text("签字", "Signature"),
}
RESULTS: dict[Result, Text] = {
    Result.PASSED: Text("合格", "passed"),
    Result.FAILED: Text("不合格", "failed"),
    Result.SKIPPED: Text("跳过", "skipped"),
    Result.LAPSED: Text("失效", "lapsed"),
}
NOT_ACCEPTED = Text("未验收", "not accepted")

CLOCK, SHEET, SILENCE, RELAY, UPLINK = "clock", "sheet", "silence", "relay", "uplink"


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to be tried; its `key` is also the id of its question."""

    part: Part
    name: str

    @property
    def key(self) -> str:
        return f"{self.part.value}/{self.name}"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What became of one try. `by` and `partner` are staff codes.

    `digest` is of what it was about: another one, and it counts no more. `shown` is what the
    display showed, as typed; "" where it was confirmed to be the gateway's `value`.
    """

    subject: Subject
    result: Result
    by: str
    at: Now
    digest: str
    shown: str = ""
    value: Value | None = None
    unit: str = ""
    words: tuple[int, ...] = ()  # raw ones of the reply, where they are evidence
    note: str = ""
    partner: str = ""  # who signs for the institution
    record: str = ""  # `<epoch>-B-<seq>`


@dataclass(frozen=True, slots=True)
class Trial:
    """One output or pattern that the panel was asked to show: `output` of part PANEL."""

    output: str
    by: str
    at_ms: int  # mono
    is_pressed: bool = False  # the silence button, meanwhile


@dataclass(frozen=True, slots=True)
class Accepting:
    """What was accepted, and what the gateway has seen that can be evidence. Moments are mono ms.

    `trial`: of the panel, the last one; it runs as long as the lamp test. `tags_seen`: by
    checkpoint, when its tag was tapped last. `self_tested`: how the last self-test ended. `mark`:
    of the house for which all of `accepted` was looked at.
    """

    accepted: Mapping[str, Acceptance] = field(default_factory=dict)  # by `Subject.key`
    trial: Trial | None = None
    tags_seen: Mapping[str, int] = field(default_factory=dict)
    self_tested: SelfTested | None = None
    mark: str = ""
