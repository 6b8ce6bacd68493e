"""Rounds (轮次) and visits: rows before they happen, facts once they did or did not.

States and flags: field/patrol-and-alarms 2.4.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.moments import Now
from gateway.domain.text import Text


class RoundState(StrEnum):
    PLANNED = "planned"
    OPEN = "open"
    IN_PROGRESS = "in_progress"
    OVERDUE = "overdue"
    DONE = "done"
    DONE_LATE = "done_late"
    PARTIAL = "partial"
    MISSED = "missed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in _OVER


_OVER = frozenset({
    RoundState.DONE, RoundState.DONE_LATE, RoundState.PARTIAL, RoundState.MISSED,
    RoundState.CANCELLED,
})  # fmt: skip

STATES = {
    RoundState.PLANNED: Text("待巡", "Planned"),
    RoundState.OPEN: Text("可巡", "Open"),
    RoundState.IN_PROGRESS: Text("巡查中", "In progress"),
    RoundState.OVERDUE: Text("超时", "Overdue"),
    RoundState.DONE: Text("已完成", "Done"),
    RoundState.DONE_LATE: Text("超时完成", "Done late"),
    RoundState.PARTIAL: Text("部分完成", "Partly done"),
    RoundState.MISSED: Text("漏巡", "Missed"),
    RoundState.CANCELLED: Text("已取消", "Cancelled"),
}


class Flag(StrEnum):
    """What is odd about a visit; several may apply. None of them refuses it but the last four."""

    EARLY = "early"  # before the window
    LATE = "late"  # after it
    OUT_OF_ORDER = "out_of_order"
    TOO_FAST = "too_fast"  # the leg
    TOO_SLOW = "too_slow"
    DWELL_SHORT = "dwell_short"
    HURRIED = "hurried"  # all normal in under 3 s an item
    MISMATCH = "mismatch"  # a number and its Modbus point differ
    HARVEST = "harvest"  # the tag was read more often than links came: kept for later?
    CLOCK_UNSURE = "clock_unsure"
    OTHER_PERSON = "other_person"
    OUTSIDE_ROUND = "outside_round"
    DUPLICATE = "duplicate"  # counts once
    MANUAL = "manual"  # 补录: never counts as proof
    UNKNOWN_TAG = "unknown_tag"
    REPLAYED = "replayed"  # a link that was used before


FLAGS = {
    Flag.EARLY: Text("早到", "Early"),
    Flag.LATE: Text("迟到", "Late"),
    Flag.OUT_OF_ORDER: Text("顺序不符", "Out of order"),
    Flag.TOO_FAST: Text("过快", "Too fast"),
    Flag.TOO_SLOW: Text("过慢", "Too slow"),
    Flag.DWELL_SHORT: Text("停留过短", "Stayed too short"),
    Flag.HURRIED: Text("答得过快", "Answered in haste"),
    Flag.MISMATCH: Text("与监测点不符", "Differs from the measured value"),
    Flag.HARVEST: Text("疑似预先采集", "Link may have been kept for later"),
    Flag.CLOCK_UNSURE: Text("时钟不可信", "Clock not sure"),
    Flag.OTHER_PERSON: Text("他人代巡", "Another person"),
    Flag.OUTSIDE_ROUND: Text("不在轮次内", "Outside of a round"),
    Flag.DUPLICATE: Text("重复", "Again"),
    Flag.MANUAL: Text("补录", "Added later"),
    Flag.UNKNOWN_TAG: Text("未知标签", "Unknown tag"),
    Flag.REPLAYED: Text("链接重复使用", "Link used before"),
}


class RoundFlag(StrEnum):
    """What the figures of a round have to allow for."""

    GATEWAY_DOWN = "gateway_down"  # in its window
    CLOCK_UNSURE = "clock_unsure"  # in its window
    COMPENSATING = "compensating"  # stands in for a point out of service


class Via(StrEnum):
    PHONE = "phone"
    READER = "reader"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Answer:
    """To one item: `ok`/`bad`, a number, a choice's id, or the SHA-256 (hex) of a photo."""

    item: str
    value: str | float
    spent_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Draw:
    """A random challenge of a round: this item is asked at this checkpoint too."""

    checkpoint: str
    item: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit as its round remembers it; its record carries the answers as well."""

    id: str  # `<epoch>-B-<seq>` of its record
    checkpoint: str
    by: str
    at: Now
    arrived_ms: int  # mono: of the tap, or of the answers where the tap is not known
    proof: int  # 1 to 4; 0 = said so
    via: Via
    flags: tuple[Flag, ...] = ()
    bad: tuple[str, ...] = ()  # items
    met: tuple[str, ...] = ()  # items of challenges that it answered, and no point contradicts
    arrived_utc: int | None = None  # UTC ms of `arrived_ms`, None while the clock is not sure

    @property
    def counts(self) -> bool:
        return not _NOT_COUNTED.intersection(self.flags)


_NOT_COUNTED = frozenset({Flag.DUPLICATE, Flag.MANUAL, Flag.UNKNOWN_TAG, Flag.REPLAYED})


@dataclass(frozen=True, slots=True)
class Round:
    """A round from 48 h before its window on. Moments are UTC ms."""

    id: str  # `<schedule>/<shift date>/<HHMM>`
    schedule: str
    route: str
    shift_date: str
    opens_ms: int
    closes_ms: int
    grace_ms: int
    stops: tuple[str, ...]  # checkpoints
    state: RoundState = RoundState.PLANNED
    owner: str = ""
    draws: tuple[Draw, ...] = ()  # once it is under way
    visits: tuple[Visit, ...] = ()
    started: Now | None = None
    ended: Now | None = None
    reason: str = ""  # a code where the gateway gives it, else a person's words
    explained: str = ""  # afterwards, in a person's words
    explained_by: str = ""
    flags: tuple[RoundFlag, ...] = ()
    signed_by: str = ""
    signed: Now | None = None

    @property
    def due_ms(self) -> int:
        """When it is judged, at the latest."""
        return self.closes_ms + self.grace_ms

    @property
    def visited(self) -> frozenset[str]:
        return frozenset(visit.checkpoint for visit in self.visits if visit.counts)

    @property
    def missing(self) -> tuple[str, ...]:
        visited = self.visited
        return tuple(stop for stop in self.stops if stop not in visited)
