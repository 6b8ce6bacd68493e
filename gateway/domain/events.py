"""Everything that can come into the decider, as one closed union."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.errors import ReadFailure
from gateway.domain.patrol import Tag
from gateway.domain.points import Table
from gateway.domain.readings import Reading
from gateway.domain.records import Range
from gateway.domain.rounds import Answer, Via


@dataclass(frozen=True, slots=True)
class BlockRead:
    """One block came back decoded, or failed (`failure`; then the readings carry bad quality).

    `words` are the raw ones of the reply, from wire address `start` of `table` on: evidence.
    `is_alarm_class`: rules judge it, and it may overtake what only is shown.
    """

    bus: str
    device: str
    readings: tuple[Reading, ...]
    failure: ReadFailure | None = None
    table: Table | None = field(default=None, compare=False)
    start: int = field(default=0, compare=False)
    words: Sequence[int] = field(default=(), compare=False)
    is_alarm_class: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Silence:
    """消音: stops the sound of what sounds now; needs no person."""

    by: str  # `panel`, or a staff code
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """确认: a named person has seen it. `alarm` is a rule id, an occurrence, or None for all."""

    by: str
    alarm: str | None = None
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """复位: ends acknowledged latched alarms whose value is normal again."""

    by: str
    alarm: str | None = None
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Shelve:
    """屏蔽: a named person keeps one warning or fault quiet, for a reason and a time."""

    by: str
    alarm: str  # a rule id or an occurrence
    for_ms: int
    why: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Unshelve:
    """Ends a shelving before its time."""

    by: str
    alarm: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class TakeOutOfService:
    """停用(检修): a device, point or rule is quiet by work order until it is put in service."""

    by: str
    subject: str
    why: str
    order: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class PutInService:
    """Ends what `TakeOutOfService` began."""

    by: str
    subject: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class LampTest:
    """Light every lamp and sound the buzzer shortly; or, by its name, show one `output` alone."""

    by: str
    reply_to: int | None = None
    output: str = ""  # a lamp, `buzzer`, `relay`, a pattern, or `silence`: until it is pressed


@dataclass(frozen=True, slots=True)
class FaultRaised:
    """Something of the gateway itself is wrong: `code` from `core.faults`, about `subject`."""

    code: str
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FaultCleared:
    code: str
    subject: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The broker connection; `why` as in `errors.LinkRefused`, or lost, no_puback, closed."""

    is_up: bool
    broker: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class PlatformChanged:
    """The platform said hello, or did not when it should have."""

    is_present: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """An audience got (`sent`) or saw (`seen`) an alarm."""

    occurrence: str
    level: str
    audience: str
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class DrillStarted:
    """演练: `by` leads it. Each of `rules` raises an alarm of the drill, none of its own."""

    by: str
    scenario: str
    scope: str = ""
    rules: tuple[str, ...] = ()
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class DrillEnded:
    """`counted` of `expected` people were outside; `findings` are what is to be mended."""

    by: str
    reply_to: int | None = None
    counted: int | None = None
    expected: int | None = None
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PointTestStarted:
    """测试: a technician works on one point; its readings are not to be believed.

    `simulate`: a rule of it; a value that it raises at is judged instead of what is read.
    """

    by: str
    point: str
    reply_to: int | None = None
    simulate: str = ""


@dataclass(frozen=True, slots=True)
class PointTestEnded:
    by: str
    point: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class PostCheckAsked:
    """查岗: somebody shall answer at the duty desk. `id` says which, however often it comes.

    `asked_ms` is the UTC at which the platform asked, where it says so: a command that was held up
    for longer than `within_ms` is not asked any more.
    """

    id: str
    source: str  # `platform` or `local`
    within_ms: int
    asked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PostCheckAnswered:
    by: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class NightPlanned:
    """What shall happen in one night, in UTC ms; a plan for a night that has one is passed over."""

    night: str  # the date of its evening
    until_ms: int
    self_test_ms: int | None = None
    post_checks_ms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SelfTestAsked:
    """Run the silent self-test now."""

    by: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class StageReached:
    """The self-test's value came to a stage outside of the decider: panel, store, uplink."""

    stage: str
    key: str  # of the self-test, as in `modes.SelfTest`
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Arrive:
    """到场: `by` is at the place of a case (`alarm`: occurrence or rule id) or at `place`.

    `proof` 0 = said so, 1 to 4 = by tap, as strong as the tag (field/patrol-and-alarms 2.5).
    """

    by: str
    alarm: str | None = None
    place: str = ""
    proof: int = 0
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Handle:
    """What a case was and what was done; codes as in `domain.cases`."""

    by: str
    case: str  # occurrence or rule id
    verdict: str
    cause: str = ""
    actions: tuple[str, ...] = ()
    text: str = ""
    has_called_119: bool | None = None
    has_evacuated: bool | None = None
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """销号: ends a case."""

    by: str
    case: str  # occurrence or rule id
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class MissedEntered:
    """漏报补录: what people found and no rule raised. `told_ms`: UTC of it, as told."""

    by: str
    place: str
    text: str = ""
    cause: str = ""
    point: str = ""
    told_ms: int | None = None
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class TapSeen:
    """A fixed reader saw a card or tag; whose or which it is, the decider knows.

    `uid`: upper-case hex. `token`: SHA-256 (hex) of the token in its link, "" when it has none.
    `proof` and `counter`: of a verified SUN link, else 1 and None. A phone in card mode shows a
    random UID: `is_random`, never anybody's.
    """

    reader: str
    uid: str
    token: str = ""
    proof: int = 1
    counter: int | None = None
    is_random: bool = False
    tapped_ms: int | None = None  # mono
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class VisitEntered:
    """巡查: `by` is at a checkpoint and has answered its items.

    Of the tag, as far as it is known: `uid` (hex), `token` (SHA-256, hex), the `counter` and
    `proof` of a verified SUN link (3) or a plain one (1). `opened_ms` (mono): when the tap opened
    the page. `phone`: SHA-256 (hex) of its cookie's token. `reason`: of a visit added later
    (`Via.MANUAL`). `hazard`: what else is wrong there.
    """

    by: str
    checkpoint: str
    answers: tuple[Answer, ...]
    proof: int = 1
    via: Via = Via.PHONE
    uid: str = ""
    token: str = ""
    counter: int | None = None
    opened_ms: int | None = None
    phone: str = ""
    note: str = ""
    hazard: str = ""
    reason: str = ""
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """Somebody sets out; its challenges are drawn now."""

    by: str
    round: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """It ends before every stop was visited, for a reason."""

    by: str
    round: str
    reason: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class RoundCancelled:
    """Called off before anybody set out, for a reason."""

    by: str
    round: str
    reason: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class RoundExplained:
    """Why a round was missed or stayed partial, in words."""

    by: str
    round: str
    reason: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class RoundSigned:
    """The supervisor's signature under a round that is over, and not their own."""

    by: str
    round: str
    note: str = ""
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class TagRegistered:
    """A tag hangs at a checkpoint, from now on; the same UID again moves it."""

    by: str
    tag: Tag
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class TagRetired:
    by: str
    uid: str
    why: str = ""
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class PhoneEnrolled:
    """`person` has given the PIN on this phone, or `by` vouches: it is remembered for a time."""

    by: str
    person: str
    digest: str  # SHA-256 (hex) of the token in its cookie
    for_ms: int
    label: str = ""
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class PhonesForgotten:
    """Every phone of a person, or one of them, is a stranger's again."""

    by: str
    person: str
    digest: str = ""
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class FiguresSeen:
    """Somebody has looked at their own figures of a month: from now on their manager may."""

    by: str
    month: str  # 2026-11
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class TagSeen:
    """A phone has opened the link of a checkpoint's tag. It is no visit yet."""

    checkpoint: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class AcceptanceGiven:
    """验收: `by` has tried `subject` of a part (`domain.acceptance`), and says what became of it.

    `shown`: what the display shows, or for the clock how many seconds it is off; "" when it is
    what the gateway says. `tolerance` is a share of it. `partner` signs for the institution.
    """

    by: str
    part: str
    subject: str
    result: str
    shown: str = ""
    note: str = ""
    partner: str = ""
    tolerance: float = 0.02
    reply_to: int | None = None


PatrolEvent = (
    TapSeen | VisitEntered | RoundStarted | RoundEnded | RoundCancelled | RoundExplained
    | RoundSigned | TagRegistered | TagRetired | PhoneEnrolled | PhonesForgotten | FiguresSeen
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The wall clock jumped by so many ms, at monotonic `at_ms`."""

    by_ms: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class GapPlanned:
    """The store makes room: these records are thinned or dropped once that is on record.

    `why`: `thinned`, `dropped`, or `memory` when they were lost before a disk took them.
    """

    range: Range
    why: str


@dataclass(frozen=True, slots=True)
class SiteChanged:
    """The site file was read again. It follows the last block that was read by the old one."""

    house: object  # `core.state.House`, indexed beforehand: that takes a decider's time for many
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Restarted:
    """First event after start: the lamp test runs, open alarms sound again."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """A deadline of the state was reached and nothing else came."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """Last event: what is in the inbox before it is still decided."""


Event = (
    BlockRead | Silence | Acknowledge | Reset | LampTest | SiteChanged | FaultRaised
    | FaultCleared | LinkChanged | Shelve | Unshelve | TakeOutOfService | PutInService
    | PlatformChanged | Receipt | GapPlanned | ClockStepped | Restarted | Ticked | Stopping
    | DrillStarted | DrillEnded | PointTestStarted | PointTestEnded | PostCheckAsked
    | PostCheckAnswered | NightPlanned | SelfTestAsked | StageReached | Arrive | Handle | Close
    | MissedEntered | PatrolEvent | TagSeen | AcceptanceGiven
)  # fmt: skip
