"""Cases (处置单): one for each occurrence of an alarm or a warning, from raise to closing.

What is stored for one alarm: field/patrol-and-alarms 4.5. People are staff codes here; a code is
all that ever leaves the house.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from gateway.domain.moments import Now
from gateway.domain.readings import Quality, Value
from gateway.domain.rules import Severity
from gateway.domain.text import Text


class Audience(StrEnum):
    """Who shall know of an alarm. Hints: the platform routes."""

    INSTITUTION = "inst"
    BUREAU = "civil"
    FIRE_BRIGADE = "fire"


class ReceiptLevel(StrEnum):
    """How far an alarm got with one audience, in this order."""

    STORED = "stored"
    SENT = "sent"
    SEEN = "seen"


class Verdict(StrEnum):
    """What it was."""

    REAL = "real"
    FALSE = "false"
    DEVICE = "device"
    SUPERVISED = "supervised"
    TEST = "test"
    MISSED = "missed"


VERDICTS: Mapping[Verdict, Text] = {
    Verdict.REAL: Text("真实火情", "Real"),
    Verdict.FALSE: Text("误报", "False alarm"),
    Verdict.DEVICE: Text("设备故障", "Device fault"),
    Verdict.SUPERVISED: Text("监管动作", "Supervised action"),
    Verdict.TEST: Text("测试演练", "Test or drill"),
    Verdict.MISSED: Text("漏报", "Missed alarm"),
}
CAUSES: Mapping[str, Text] = {
    "cooking": Text("烹饪油烟或用火不当", "Cooking fumes or careless cooking"),
    "electrical": Text("电气线路或用电设备", "Wiring or an electrical appliance"),
    "overload": Text("用电过载", "Overload"),
    "leak_gas": Text("燃气泄漏", "Gas leak"),
    "smoking": Text("吸烟", "Smoking"),
    "hot_work": Text("动火作业", "Hot work"),
    "dust_or_damp": Text("灰尘、潮湿或水汽", "Dust, damp or steam"),
    "water_supply": Text("供水或阀门", "Water supply or a valve"),
    "probe": Text("探测器或传感器损坏", "Broken probe"),
    "wiring": Text("接线松动或干扰", "Loose wire or interference"),
    "setting": Text("限值设置不当", "Wrong setpoint"),
    "maintenance": Text("维保作业", "Maintenance work"),
    "exercise": Text("测试或演练", "Test or drill"),
    "other": Text("其他（须写明）", "Other (say what)"),
}
ACTIONS: Mapping[str, Text] = {
    "checked": Text("现场查看", "Looked on site"),
    "extinguished": Text("灭火", "Put the fire out"),
    "power_off": Text("断电", "Switched the power off"),
    "gas_off": Text("关闭燃气阀", "Closed the gas valve"),
    "aired": Text("通风", "Aired the room"),
    "cleared": Text("疏散人员", "Moved people out"),
    "called_119": Text("拨打119", "Called the fire brigade"),
    "repaired": Text("修复", "Repaired"),
    "replaced": Text("更换", "Replaced"),
    "reported": Text("上报", "Reported"),
    "watched": Text("加强看护", "Keep watching it"),
    "other": Text("其他（须写明）", "Other (say what)"),
}
MIN_TEXT = 5  # characters that say more than "ok"
MAX_TEXT = 500

# Why a verb on a case is refused: one clear reason each.
REFUSALS: Mapping[str, Text] = {
    "unknown_case": Text("没有这张处置单", "There is no such open case"),
    "alarm_active": Text("报警还没有恢复，不能销号", "The alarm is still active: not to be closed"),
    "alarm_unacknowledged": Text("报警还没有人确认", "Nobody has acknowledged the alarm yet"),
    "alarm_unreset": Text("报警还没有复位", "The alarm is not reset yet"),
    "no_verdict": Text("还没有处置结论", "The case has no verdict yet"),
    "same_person": Text(
        "报警的处置人不能自己销号，换一个人", "Who handled an alarm cannot close it: another person"
    ),
    "needs_person": Text("要写谁：员工工号", "Say who: a staff code"),
    "unknown_verdict": Text("没有这个结论", "There is no such verdict"),
    "unknown_cause": Text("没有这个原因代码", "There is no such cause code"),
    "unknown_action": Text("没有这个措施代码", "There is no such action code"),
    "text_too_short": Text(
        f"选一个原因代码，或写至少{MIN_TEXT}个字",
        f"Choose a cause code, or write at least {MIN_TEXT} characters",
    ),
    "answers_missing": Text(
        "真实火情要答：是否拨打119、是否疏散",
        "For a real one, say: was 119 called, people moved out?",
    ),
    "missed_is_entered": Text(
        "漏报用补录，不是报警的结论", "A missed alarm is entered by itself, it has no alarm"
    ),
    "nothing_to_do": Text("已经有人到场", "Somebody has arrived already"),
}


class Sample(NamedTuple):
    """One reading of a minute of evidence; a value stands until the next one."""

    ms: int  # relative to the raise
    value: Value | None
    quality: Quality
    reason: str = ""


Samples = Mapping[str, tuple[Sample, ...]]  # by point


@dataclass(frozen=True, slots=True)
class RawReply:
    """The words of the reply that decided, from wire address `start` of `table` on."""

    table: str
    start: int
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the points of the rule said. `after` is None until its minute is over.

    `is_whole` is False when a restart stands in one of the two minutes, or before the first.
    """

    before: Samples = field(default_factory=dict)
    reply: RawReply | None = None
    after: Samples | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something happened to a case, and by whom: staff code, `panel`, "" = by itself."""

    at: Now
    by: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody is there. `proof` 0 = said so; 1 to 4 = by tap (field/patrol-and-alarms 2.5)."""

    at: Now
    by: str
    proof: int
    place: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What people found and did. `has_called_119`, `has_evacuated`: None = not answered."""

    verdict: Verdict
    by: str
    at: Now
    cause: str = ""
    actions: tuple[str, ...] = ()
    text: str = ""
    has_called_119: bool | None = None
    has_evacuated: bool | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A receipt: `at_ms` is the platform's UTC, `got` the moment it came in here."""

    at_ms: int | None
    got: Now


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the alarm got with one audience; `silent`: when its receipt was given up."""

    audience: Audience
    receipts: Mapping[ReceiptLevel, Received] = field(default_factory=dict)
    silent: Now | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is: for people, and on which wire."""

    text: str
    device: str = ""
    bus: str = ""
    unit: int | None = None  # Modbus unit id
    table: str = ""
    register: int | None = None  # 0-based wire address


@dataclass(frozen=True, slots=True)
class Case:
    """One occurrence. `occurrence` names it; `told_ms` is for a missed alarm: when, as told."""

    occurrence: str
    severity: Severity
    say: Text
    raised: Now
    where: Place
    rule: str = ""
    point: str = ""
    kind: str = ""  # of the point: what class of hazard
    unit: str = ""  # of the value
    value: Value | None = None
    limit: float | None = None
    site_sha: str = ""
    flood: str = ""  # occurrence that opened the flood it is part of: that one is first out
    is_first_out: bool = False
    is_drill: bool = False
    is_test: bool = False
    activations: int = 1
    evidence: Evidence = Evidence()
    sounded: Now | None = None
    silenced: Stamp | None = None
    acked: Stamp | None = None
    arrived: Arrival | None = None
    returned: Now | None = None
    reset: Stamp | None = None
    finding: Finding | None = None
    closed: Stamp | None = None
    told_ms: int | None = None
    deliveries: tuple[Delivery, ...] = ()

    def delivery(self, audience: str) -> Delivery | None:
        return next((each for each in self.deliveries if each.audience == audience), None)


def between_ms(start: Now | None, end: Now | None) -> int | None:
    """Time from one moment to a later one: monotonic within a boot, else UTC; None = unknown."""
    if start is None or end is None:
        return None
    if start.boot == end.boot:
        return end.mono_ms - start.mono_ms
    if start.utc_ms is None or end.utc_ms is None:
        return None
    return max(0, end.utc_ms - start.utc_ms)
