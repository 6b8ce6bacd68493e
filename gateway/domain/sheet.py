"""The institution's sheet (每个机构一张表): a day or month of a house, as it stands in the records.

Plain data: `core.sheet` makes it, the command line prints it. Moments are UTC, people staff codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from gateway.domain.moments import Now
from gateway.domain.readings import Value
from gateway.domain.text import Text


class Sure(StrEnum):
    """How far the time of a record can be trusted."""

    YES = "yes"  # the clock was right, or an anchor of the same boot says so
    ABOUT = "about"  # estimated
    NOT_BEFORE = "not_before"  # the clock was not known: only that it was not earlier


@dataclass(frozen=True, slots=True)
class When:
    """A moment as well as it is known; `utc_ms` None: nothing is known at all."""

    utc_ms: int | None
    sure: Sure = Sure.YES


class Span(StrEnum):
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Period:
    """From `begin_ms` (in) to `end_ms` (out), UTC: whole days of the house's own calendar."""

    span: Span
    first: date
    last: date
    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One alarm or warning. Durations count from the raise, in ms; None: not known to have been."""

    id: str
    severity: str
    say: Text
    place: str
    rule: str
    raised: When
    value: Value | None = None
    limit: float | None = None
    unit: str = ""
    detail: str = ""
    t_ack: int | None = None
    t_arrive: int | None = None
    t_clear: int | None = None
    t_close: int | None = None
    acked_by: str = ""
    arrived_by: str = ""
    proof: int = 0  # of the arrival; 0 = said so
    closed_by: str = ""
    verdict: str = ""
    cause: str = ""
    actions: tuple[str, ...] = ()
    text: str = ""  # in words, of who handled it
    activations: int = 1
    escalated: str = ""  # the highest role that was called
    is_open: bool = False  # as an alarm, when the sheet was made
    is_acked: bool = False
    is_missed: bool = False  # nobody's rule raised it: people entered it afterwards
    was_before: bool = False  # raised before the period, and not over then
    is_first_out: bool = False  # of a flood
    told: Mapping[str, str] = field(default_factory=dict)  # audience -> how far, or `silent`


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case that was not closed at the end of the period; `closed` if it was later."""

    id: str
    severity: str
    say: Text
    place: str
    raised: When
    age_ms: int | None
    is_handled: bool
    closed: When | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """One fault, however often it came: `lasted_ms` of it within the period."""

    rule: str
    say: Text
    place: str
    count: int
    lasted_ms: int
    first: When
    last: When
    detail: str
    is_open: bool
    is_acked: bool  # the last time it came


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A patrol round that ended; `found`: what was not in order, as checkpoint and item."""

    id: str
    name: str
    shift_date: str
    opens: When
    closes: When
    state: str
    reason: str
    done: int
    of: int
    missing: tuple[str, ...]
    by: tuple[str, ...]
    found: tuple[Text, ...]
    marks: Mapping[str, int]  # flag -> visits
    asked: int
    met: int
    is_night: bool = False
    flags: tuple[str, ...] = ()  # what its figures have to allow for
    explained: str = ""
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A hazard that was found: by a patroller, or as nobody took care of an alarm."""

    at: When
    place: str
    say: Text
    value: str
    text: str
    by: str
    due: When | None


@dataclass(frozen=True, slots=True)
class Aside:
    """Shelved, or out of service. `since` None: before the oldest record that is still there."""

    subject: str
    place: str
    is_shelved: bool
    since: When | None
    until: When | None  # None: it still is
    by: str
    why: str
    order: str = ""
    say: Text | None = None  # of a rule: what it would have said


@dataclass(frozen=True, slots=True)
class DueRow:
    """A day on which something of a device falls due; `left` in days, negative: overdue."""

    device: str
    place: str
    due: str
    day: str
    left: int


@dataclass(frozen=True, slots=True)
class PostCheckRow:
    asked: When
    source: str
    result: str  # asked, answered, no_answer, expired, refused
    by: str
    waited_ms: int | None
    is_late: bool


@dataclass(frozen=True, slots=True)
class DrillRow:
    at: When
    scenario: str
    scope: str
    leader: str
    lasted_ms: int | None
    first_ack_ms: int | None
    first_arrival_ms: int | None
    counted: int | None
    expected: int | None
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Blind:
    """What nobody watched for how long, in ms within the period."""

    subject: str
    place: str
    ms: int


@dataclass(frozen=True, slots=True)
class OffRow:
    """The gateway itself did not run; `is_clean`: it was told to stop."""

    since: When
    until: When
    ms: int
    is_clean: bool


@dataclass(frozen=True, slots=True)
class DutyRow:
    """What the type of institution asks: `done` of `due` in the period; None: not counted here.

    `last` is for what comes seldom: when it was last done, as far as the records go back.
    """

    name: str
    say: Text
    basis: str
    unverified: Text | None
    done: int | None = None
    due: int | None = None
    last: When | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """What the site file has watched: its numbers, and what nobody watches."""

    devices: int
    points: int
    rules: int
    monitored: tuple[tuple[Text, int], ...]
    missing: tuple[Text, ...]
    unjudged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """What belongs to one building; `name` empty: to the whole house, or to none."""

    name: str
    occurrences: tuple[Occurrence, ...] = ()
    open_cases: tuple[OpenCase, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    findings: tuple[Finding, ...] = ()
    aside: tuple[Aside, ...] = ()
    dues: tuple[DueRow, ...] = ()
    blind: tuple[Blind, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """How far a lane goes: the last record and the hash of its chain, to hold against the box."""

    lane: str
    record: str
    hash: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """All of it. `left_out`: rows beyond what a sheet holds, by their kind."""

    site: str
    name: str
    institution: str
    zone: str
    period: Period
    made: Now
    watched: Watched | None
    sections: tuple[Section, ...]
    closed_cases: int  # closed out in the period
    duties: tuple[DutyRow, ...]
    rounds: tuple[RoundRow, ...]
    post_checks: tuple[PostCheckRow, ...]
    drills: tuple[DrillRow, ...]
    self_tests: Mapping[str, int]  # result -> count
    tests: int  # points that were tested
    noisy: tuple[tuple[str, str, int], ...]  # point or rule, place, activations
    off: tuple[OffRow, ...]
    undelivered_ms: int  # no way to the platform, or no answer from it
    gaps: Mapping[str, int]  # lane and why -> records
    changes: tuple[tuple[When, str], ...]  # the site file: when, and its sha from then on
    records: Mapping[str, int]  # lane -> records of the period
    unsettled: int  # of them, when the sheet was made
    damaged: int  # of those that were looked at: damaged, or not understood
    ends: tuple[LaneEnd, ...]
    since: When | None  # the oldest record that is still there
    is_cut: bool  # records of the period were cleared away, up to `since`
    left_out: Mapping[str, int] = field(default_factory=dict)
