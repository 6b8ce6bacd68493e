"""What is only practice, drills (演练) and tests of single points (测试), and how it is told apart.

Practice never touches the alarm of a rule: a drill or a test has an alarm of its own, under the
twin of the rule, whose id is `drill/<rule id>` or `test/<rule id>`.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.moments import Now
from gateway.domain.readings import Value


class Mode(StrEnum):
    """How serious an alarm is meant; carried end to end."""

    REAL = "real"
    DRILL = "drill"
    TEST = "test"


PRACTICE = (Mode.DRILL, Mode.TEST)
_PREFIXES = tuple((mode, f"{mode.value}/") for mode in PRACTICE)


def twin_id(rule_id: str, mode: Mode) -> str:
    return rule_id if mode is Mode.REAL else f"{mode.value}/{rule_id}"


def mode_of(rule_id: str) -> Mode:
    return parted(rule_id)[0]


def parted(rule_id: str) -> tuple[Mode, str]:
    """The mode and the id of the rule itself, of any rule id."""
    for mode, prefix in _PREFIXES:
        if rule_id.startswith(prefix):
            return mode, rule_id[len(prefix) :]
    return Mode.REAL, rule_id


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that happened in a drill: an alarm's transition, an arrival."""

    at: Now
    what: str  # a transition (`raise`, `ack` ...), `arrive`, `escalation`
    rule: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill that runs. `until_ms` is on this boot's monotonic clock."""

    id: str  # `<epoch>-B-<seq>` of the record that began it
    scenario: str
    scope: str
    leader: str
    rules: tuple[str, ...]
    started: Now
    until_ms: int
    scenes: tuple[Scene, ...] = ()


@dataclass(frozen=True, slots=True)
class PointTest:
    """A point that a technician tests: its readings have quality `test` until `until_ms` (mono).

    `simulated`: judged instead of what is read, where nobody can trip the device.
    """

    point: str
    by: str
    started: Now
    until_ms: int
    tripped: tuple[str, ...] = ()  # names of the rules that raised
    simulated: Value | None = None


@dataclass(frozen=True, slots=True)
class PostCheck:
    """查岗: asked of the duty desk, to be answered by one key until `until_ms` (mono)."""

    id: str
    source: str  # `platform` or `local`
    asked: Now
    until_ms: int
    is_missed: bool = False  # nobody answered in time; an answer is late now


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A self-test under way: `key` is `<epoch>-A-<seq>` of the record it follows."""

    key: str
    by: str
    started: Now
    until_ms: int
    reached: tuple[str, ...]  # stages, in the order in which they were reached
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SelfTested:
    """How the last self-test of this run of the daemon ended; `ended_ms` is mono."""

    is_passed: bool
    reached: tuple[str, ...]
    missed: str | None
    ended_ms: int
    took_ms: int
