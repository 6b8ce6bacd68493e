"""What may stand in site, profile and rules files, as pydantic models.

Parts that are checked one by one (buses, devices, rules, points) are plain mappings here, so that
one bad entry does not hide what is wrong with the others.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gateway.config import quantities
from gateway.config.quantities import Unreadable
from gateway.core.patterns import BEATS, MOST_BEATS
from gateway.domain.cases import Audience, ReceiptLevel
from gateway.domain.patrol import ItemType, Order, TagKind
from gateway.domain.people import Role
from gateway.domain.points import Table, WordOrder, WordType
from gateway.domain.readings import Quality
from gateway.domain.rules import Severity, Sound
from gateway.domain.site import NIGHT, Broker, Delivery, Parity, Reconnect, RelayMode, TcpLink
from gateway.domain.text import Text

MAX_STEPS = 4
MAX_MEMBERS = 16  # of a combined rule
LONGEST_WINDOW_MS = 7 * 86_400_000
MAX_TEXT = 200
MOST_WORDS = 50  # of the house's own: they go out with each `state`


def _one_line(value: Any) -> Any:
    """A text as it was typed; Unreadable where it runs over several lines: screens have one."""
    if not isinstance(value, str) or "\n" not in value:
        return value
    if "\n" not in (line := value.strip()):
        return line  # a block's own end
    fact = Text(
        f"`{quantities.shown(line)}` 分成了几行",
        f"`{quantities.shown(line)}` runs over several lines",
    )
    raise Unreadable("several_lines", fact, Text("写成一行", "write it in one line"))


def _text(value: Any) -> Text:
    _one_line(value)
    if isinstance(value, str) and 0 < len(value.strip()) <= MAX_TEXT:
        return Text(value.strip(), value.strip())
    if isinstance(value, dict) and set(value) == {"zh", "en"}:
        zh, en = (_text(value[lang]).zh for lang in ("zh", "en"))
        return Text(zh, en)
    fact = Text(
        f"`{quantities.shown(value)}` 不是一句话", f"`{quantities.shown(value)}` is not a phrase"
    )
    advice = Text(
        f"写一句话（不超过 {MAX_TEXT} 字），或 {{zh: 中文, en: English}}",
        f"write one phrase of at most {MAX_TEXT} characters, or {{zh: 中文, en: English}}",
    )
    raise Unreadable("not_a_phrase", fact, advice)


def _steps(value: Any) -> tuple[Text, ...]:
    steps = value if isinstance(value, list) else [value]
    if len(steps) > MAX_STEPS:
        fact = Text(f"`do` 有 {len(steps)} 步", f"`do` has {len(steps)} steps")
        advice = Text(
            f"最多 {MAX_STEPS} 步：值班的人来不及看更多", f"at most {MAX_STEPS}: nobody reads more"
        )
        raise Unreadable("too_many_steps", fact, advice)
    return tuple(_text(step) for step in steps)


def _word(value: Any) -> Any:
    """A short free text that may look like a number: an edition `2013`, a model `2630`."""
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


@dataclass(frozen=True, slots=True)
class Entries:
    """For the JSON Schema: a mapping whose entries are checked one by one against `model`.

    With `is_one` the mapping itself is such a `model`, with `is_set` each entry is a mapping of
    such.
    """

    model: type[BaseModel]
    is_one: bool = False
    is_set: bool = False

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        inner = handler(self.model.__pydantic_core_schema__)
        if self.is_one:
            return inner
        entries = {"type": "object", "additionalProperties": inner}
        return {"type": "object", "additionalProperties": entries} if self.is_set else entries


@dataclass(frozen=True, slots=True)
class Listed:
    """For the JSON Schema: a list whose items are checked one by one against `model`."""

    model: type[BaseModel]

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "array", "items": handler(self.model.__pydantic_core_schema__)}


def _typed(pattern: str, *examples: str) -> JsonSchemaValue:
    return {"type": "string", "pattern": rf"^\s*{pattern}\s*$", "examples": list(examples)}


_SHORT: JsonSchemaValue = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_WORD: JsonSchemaValue = {"anyOf": [_SHORT, {"type": "number"}]}
_PHRASE: JsonSchemaValue = {
    "anyOf": [
        _SHORT,
        {
            "type": "object",
            "properties": {"zh": _SHORT, "en": _SHORT},
            "required": ["zh", "en"],
            "additionalProperties": False,
        },
    ]
}
_STEPS: JsonSchemaValue = {
    "anyOf": [*_PHRASE["anyOf"], {"type": "array", "items": _PHRASE, "maxItems": MAX_STEPS}]
}
_DURATION: JsonSchemaValue = {
    "anyOf": [
        _typed(quantities.DURATION.replace("[+-]?", "", 1), "500ms", "3s", "10min", "2h"),
        {"const": 0},
    ]
}
_LIMIT: JsonSchemaValue = {
    "anyOf": [_typed(quantities.QUANTITY, "300 mA", "0.07 MPa"), {"type": "number"}]
}
_QUIET_HOURS: JsonSchemaValue = {
    "anyOf": [_typed(quantities.HOURS, "22:00-06:00"), {"enum": ["off", False]}]
}
_PATTERNS: JsonSchemaValue = {
    "type": "object",
    "propertyNames": {"enum": [pattern.value for pattern in BEATS]},
    "additionalProperties": {
        "type": "array",
        "items": {"anyOf": [{"type": "integer", "minimum": 1}, _DURATION]},
        "minItems": 1,
        "maxItems": MOST_BEATS,
        "examples": [[300, 300, 300, 8300]],
    },
}
_ADDRESS = _typed(quantities.ADDRESS, "192.168.1.20", "192.168.1.20:502")
_BROKER = _typed(quantities.BROKER, "mqtts://platform.example:8883", "mqtt://192.168.1.5")

_CLOCK: JsonSchemaValue = {"anyOf": [_typed(quantities.CLOCK, "03:30"), {"enum": ["off"]}]}
Name = Annotated[
    StrictStr, Field(min_length=1, max_length=MAX_TEXT, pattern=r"\S"), BeforeValidator(_one_line)
]
Word = Annotated[
    StrictStr,
    Field(min_length=1, max_length=MAX_TEXT),
    BeforeValidator(_word),
    WithJsonSchema(_WORD),
]
Ident = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Phrase = Annotated[Any, BeforeValidator(_text), WithJsonSchema(_PHRASE)]
Steps = Annotated[Any, BeforeValidator(_steps), WithJsonSchema(_STEPS)]
Ms = Annotated[int, BeforeValidator(quantities.duration_ms), WithJsonSchema(_DURATION)]
Number = Annotated[Decimal, BeforeValidator(quantities.finite), WithJsonSchema({"type": "number"})]
Limit = Annotated[Any, BeforeValidator(quantities.quantity), WithJsonSchema(_LIMIT)]
_DAY: JsonSchemaValue = {"type": "string", "format": "date", "examples": ["2027-03-31"]}
Day = Annotated[Any, BeforeValidator(quantities.day), WithJsonSchema(_DAY)]
_OTHERS: JsonSchemaValue = {
    "anyOf": [{"const": "others"}, {"type": "array", "items": _SHORT, "minItems": 1}]
}
Others = Annotated[Any, BeforeValidator(quantities.others), WithJsonSchema(_OTHERS)]
Span = Annotated[
    Any,
    BeforeValidator(quantities.span),
    WithJsonSchema(_typed(quantities.RANGE, "0..2000", "-0.05..2.5")),
]
_EXPECTED: JsonSchemaValue = {
    "anyOf": [
        _typed(quantities.RANGE, "45..65"),
        {"type": "array", "items": {"type": ["integer", "string"]}, "minItems": 1},
    ]
}
Expected = Annotated[Any, BeforeValidator(quantities.expected), WithJsonSchema(_EXPECTED)]
Bits = Annotated[
    Any,
    BeforeValidator(quantities.bits),
    WithJsonSchema(_typed(r"([0-9]+)\s*\.\.\s*([0-9]+)", "0..3")),
]
Clock = Annotated[
    Any, BeforeValidator(quantities.moment), WithJsonSchema(_typed(quantities.CLOCK, "06:30"))
]
_UID: JsonSchemaValue = {"type": "string", "examples": ["04 5E 1F 2A 6B 80 81"]}
Uid = Annotated[Any, BeforeValidator(quantities.uid), WithJsonSchema(_UID)]
Wire = Annotated[StrictInt, Field(ge=0, le=65535)]
Pin = Annotated[StrictInt, Field(ge=0, le=27)]
Baud = Annotated[
    StrictInt, BeforeValidator(quantities.baud), WithJsonSchema({"enum": list(quantities.BAUDS)})
]


class Part(BaseModel):
    # a model is built when it is needed: most sites need half of them
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, defer_build=True)


class HouseLimits(Part):
    detect_within: Ms | None = None


class House(Part):
    id: Ident
    name: Name
    institution: Name
    timezone: Name = "Asia/Shanghai"
    limit: HouseLimits | None = None
    words: Annotated[dict[StrictStr, Word], Field(max_length=MOST_WORDS)] = {}


class StorePart(Part):
    directory: Name | None = None
    commit_every: Annotated[Ms, Field(ge=100, le=3_600_000)] = 10_000


class DirectionPart(Part):
    rts_on_send: StrictBool = True
    delay_before: Annotated[Ms, Field(le=1_000)] = 0
    delay_after: Annotated[Ms, Field(le=1_000)] = 0


class BusPart(Part):
    serial: Name | None = None
    baud: Baud = 9600
    parity: Parity = Parity.NONE
    stop_bits: Annotated[StrictInt, Field(ge=1, le=2)] = 1
    tcp: Annotated[
        TcpLink | None, BeforeValidator(quantities.tcp_link), WithJsonSchema(_ADDRESS)
    ] = None
    timeout: Annotated[Ms, Field(ge=10, le=60_000)] = 500
    gap: Annotated[
        Decimal | None, BeforeValidator(quantities.exact_ms), WithJsonSchema(_DURATION)
    ] = None
    late_max: Annotated[Ms, Field(le=60_000)] = 2_000
    open_delay: Annotated[Ms, Field(le=60_000)] = 0
    rs485: DirectionPart | None = None


class ConditionPart(Part):
    """One condition on one point: exactly one of its ways to say it, and what belongs to that."""

    point: Name | None = None
    above: Limit = None
    below: Limit = None
    is_: Annotated[list[StrictInt | StrictStr] | None, Field(alias="is", min_length=1)] = None
    clears: Limit = None
    rises_by: Limit = None
    falls_by: Limit = None
    deviates_from_mean_of: Others = None
    by: Limit = None
    more_than: Annotated[StrictInt | None, Field(ge=0, le=1_000)] = None
    within: Annotated[Ms | None, Field(ge=1_000, le=LONGEST_WINDOW_MS)] = None
    for_: Annotated[Ms | None, Field(alias="for")] = None
    judges: Annotated[list[Quality] | None, Field(min_length=1)] = None
    min_samples: Annotated[StrictInt | None, Field(ge=1, le=100)] = None


class MemberPart(ConditionPart):
    """One condition of a combined rule: its own, that of another rule, or conditions again."""

    rule: Name | None = None
    all: Annotated[list[Any] | None, Field(min_length=1, max_length=MAX_MEMBERS)] = None
    any: Annotated[list[Any] | None, Field(min_length=1, max_length=MAX_MEMBERS)] = None


class RulePart(ConditionPart):
    """A default rule, a device's override of one, or a rule of the site; all fields optional."""

    silent_for: Annotated[Ms | None, Field(ge=1_000)] = None
    all: Annotated[
        list[Any] | None, Field(min_length=1, max_length=MAX_MEMBERS), Listed(MemberPart)
    ] = None
    any: Annotated[
        list[Any] | None, Field(min_length=1, max_length=MAX_MEMBERS), Listed(MemberPart)
    ] = None
    clear_for: Ms | None = None
    severity: Severity | None = None
    sound: Sound | None = None
    latch: StrictBool | None = None
    say: Phrase = None
    do: Steps = None
    owner: Name | None = None
    basis: Word | None = None
    edition: Word | None = None
    median: Literal[1, 3] | None = None
    magnitude: StrictBool | None = None
    off: StrictBool | None = None


class OwnPoint(Part):
    """What a site may say about a point of a profile."""

    period: Annotated[Ms | None, Field(ge=50, le=86_400_000)] = None
    deadband: Limit = None
    label: Name | None = None
    kind: StrictStr | None = None
    valid: Span = None
    span: Span = None


class BuildingPart(Part):
    """One building of a site with several, or with limits that depend on what it is."""

    name: Name
    class_: Annotated[
        Literal["multi-storey", "high-rise-2", "high-rise-1", "over-100m"] | None,
        Field(alias="class"),
    ] = None


class DevicePart(Part):
    profile: Name
    bus: Name
    unit: Annotated[StrictInt, Field(ge=0, le=255)]
    channel: Annotated[StrictInt | None, Field(ge=0, le=65535)] = None
    place: Name
    owner: Name
    name: Word = ""
    building: Name | None = None
    height: Limit = None
    rated_current: Limit = None
    calibration_due: Day = None
    sensor_life_until: Day = None
    bump_test_due: Day = None
    rules: Annotated[dict[Any, Any], Entries(RulePart)] = {}
    points: Annotated[dict[Any, Any], Entries(OwnPoint)] = {}


class PanelPart(Part):
    red: Pin | None = None
    amber: Pin | None = None
    yellow: Pin | None = None
    green: Pin | None = None
    buzzer: Pin | None = None
    silence: Pin | None = None
    relay: Pin | None = None
    relay_mode: RelayMode = RelayMode.STEADY
    white: Pin | None = None
    active_high: StrictBool = True
    quiet_hours: Annotated[
        Any, BeforeValidator(quantities.quiet_hours), WithJsonSchema(_QUIET_HOURS)
    ] = NIGHT
    patterns: Annotated[dict[Any, Any], WithJsonSchema(_PATTERNS)] = {}


class TlsPart(Part):
    ca: Name | None = None
    cert: Name | None = None
    key: Name | None = None


AUDIENCES = {
    "institution": Audience.INSTITUTION,
    "bureau": Audience.BUREAU,
    "fire_brigade": Audience.FIRE_BRIGADE,
}
Audiences = Annotated[
    list[Literal["institution", "bureau", "fire_brigade"]] | None, Field(max_length=3)
]


class AudiencesPart(Part):
    alarm: Audiences = None
    warning: Audiences = None
    fault: Audiences = None


class UplinkPart(Part):
    gateway: Ident
    brokers: Annotated[
        list[Annotated[Broker, BeforeValidator(quantities.broker), WithJsonSchema(_BROKER)]],
        Field(min_length=1, max_length=8),
    ]
    delivery: Delivery = Delivery.ACK
    reconnect: Reconnect = Reconnect.FLEET
    username: Word | None = None
    password_file: Name | None = None
    tls: TlsPart | None = None
    keepalive: Annotated[Ms, Field(ge=5_000, le=3_600_000)] = 20_000
    probe: Annotated[Ms, Field(ge=1_000, le=3_600_000)] = 30_000
    audiences: AudiencesPart | None = None
    receipt_within: Annotated[Ms, Field(le=86_400_000)] = 180_000
    receipt_level: ReceiptLevel = ReceiptLevel.SENT


class EscalationPart(Part):
    safety_manager: Annotated[Ms, Field(ge=1_000)] = 180_000
    director: Annotated[Ms, Field(ge=1_000)] = 300_000
    arrival: Annotated[Ms, Field(ge=1_000)] = 180_000
    warning: Annotated[Ms, Field(ge=1_000)] = 600_000
    hazard: Annotated[Ms, Field(ge=60_000)] = 86_400_000


class PostCheckPart(Part):
    per_night: Annotated[StrictInt, Field(ge=0, le=3)] = 0
    answer_within: Annotated[Ms, Field(ge=60_000, le=3_600_000)] = 300_000
    between: Annotated[
        Any, BeforeValidator(quantities.quiet_hours), WithJsonSchema(_QUIET_HOURS)
    ] = None


class ReaderPart(Part):
    device: Name
    id: Ident = "desk"
    again: Annotated[Ms, Field(ge=500, le=60_000)] = 3_000


class ChoicePart(Part):
    say: Phrase
    bad: StrictBool = False


class ItemPart(Part):
    say: Phrase
    type: ItemType = ItemType.OK_BAD
    unit: StrictStr | None = None
    range: Span = None
    choices: Annotated[dict[Any, Any], Entries(ChoicePart)] = {}
    point: Name | None = None
    tolerance: Annotated[StrictInt, Field(ge=1, le=100)] = 10
    drawn: StrictBool = False


class TagPart(Part):
    uid: Uid
    kind: TagKind = TagKind.NTAG21X
    token: Annotated[StrictStr | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    key_ref: Ident | None = None


class CheckpointPart(Part):
    name: Name
    place: Name
    items: Name | None = None
    near: list[Name] = []
    tags: Annotated[dict[Any, Any], Entries(TagPart)] = {}


class LegPart(Part):
    leg_min: Ms | None = None
    leg_max: Ms | None = None
    dwell: Ms | None = None


class RoutePart(LegPart):
    name: Name
    order: Order = Order.ANY
    stops: Annotated[list[Name], Field(min_length=1, max_length=100)]
    legs: Annotated[dict[Any, Any], Entries(LegPart)] = {}


class RoundPart(Part):
    route: Name
    preset: Literal["daily", "night"] | None = None
    every: Annotated[Ms | None, Field(ge=600_000, le=86_400_000)] = None
    between: Annotated[
        Any, BeforeValidator(quantities.hours), WithJsonSchema(_typed(quantities.HOURS))
    ] = None
    at: Annotated[list[Clock] | None, Field(min_length=1, max_length=48)] = None
    before: Annotated[Ms, Field(le=43_200_000)] = 1_800_000
    after: Annotated[Ms, Field(ge=60_000, le=43_200_000)] = 1_800_000
    grace: Annotated[Ms, Field(le=14_400_000)] = 900_000
    days: Annotated[
        list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None, Field(min_length=1)
    ] = None
    owner: Word | None = None
    draws: Annotated[StrictInt, Field(ge=0, le=5)] = 1
    basis: Word | None = None


class PatrolReaderPart(Part):
    place: Name
    near: list[Name] = []
    checkpoint: Name | None = None


class PatrolPart(Part):
    items: Annotated[dict[Any, Any], Entries(ItemPart, is_set=True)] = {}
    checkpoints: Annotated[dict[Any, Any], Entries(CheckpointPart)]
    routes: Annotated[dict[Any, Any], Entries(RoutePart)]
    rounds: Annotated[dict[Any, Any], Entries(RoundPart)]
    readers: Annotated[dict[Any, Any], Entries(PatrolReaderPart)] = {}
    compensate_every: Annotated[Ms, Field(ge=900_000, le=86_400_000)] = 7_200_000


class CardPart(Part):
    uid: Uid
    until: Day = None
    label: Word = ""


class PersonPart(Part):
    name: Name
    role: Role
    until: Day = None
    pin: Word | None = None
    pin_until: Day = None
    cards: Annotated[list[Any], Listed(CardPart)] = []


class PeopleFile(Part):
    people: Annotated[dict[Any, Any], Entries(PersonPart)]


class TagKeysPart(Part):
    meta_read_file: Name
    file_read_file: Name
    per_tag: StrictBool = True


class GatewayPart(Part):
    owner: Name = ""
    rules: Annotated[dict[Any, Any], Entries(RulePart)] = {}


class KindRulePart(RulePart):
    """A default rule. `needs` says that only the site can know the limit.

    With `percent` and `of` the limit is a share of what the site or the profile says.
    """

    needs: Literal["above", "below"] | None = None
    percent: Annotated[StrictInt | None, Field(ge=1, le=200)] = None
    of: Literal["rated_current", "span"] | None = None
    where_possible: StrictBool | None = None


class KindPart(Part):
    """What every point of a kind gets."""

    unit: StrictStr
    deadband: Limit = None
    at_worst_point: StrictBool = False
    by_class: dict[StrictStr, StrictStr] = {}
    rules: Annotated[dict[Any, Any], Entries(KindRulePart)] = {}


class DutyPart(Part):
    """What people of one type of institution have to do, and who says so."""

    say: Phrase
    every: Ms | None = None
    must: StrictBool = False
    basis: Word
    edition: Word | None = None
    unverified: Phrase = None


class InstitutionPart(Part):
    """A type of institution: `config/institutions/<type>.yaml`."""

    name: Phrase
    duties: Annotated[dict[Any, Any], Entries(DutyPart)] = {}


class GatePart(Part):
    point: Name
    qualities: dict[StrictInt, Quality] = {}
    bits: dict[Annotated[StrictInt, Field(ge=0, le=63)], Quality] = {}
    otherwise: Quality


class PointPart(Part):
    table: Table | None = None
    at: Wire | None = None
    type: WordType | None = None
    order: WordOrder | None = None
    scale: Number | None = None
    offset: Number | None = None
    bit: Annotated[StrictInt | None, Field(ge=0, le=15)] = None
    bits: Bits = None
    length: Annotated[StrictInt | None, Field(ge=1, le=125)] = None
    decimals_at: Wire | None = None
    unit_at: Wire | None = None
    units: dict[StrictInt, StrictStr] | None = None
    unit: StrictStr | None = None
    kind: StrictStr | None = None
    label: Name | None = None
    valid: Span = None
    span: Span = None
    identity: Annotated[list[StrictInt | StrictStr] | None, Field(min_length=1)] = None
    sentinels: list[StrictInt] | None = None
    gate: GatePart | None = None
    codes: dict[StrictInt, Word] | None = None
    period: Annotated[Ms | None, Field(ge=50, le=86_400_000)] = None
    deadband: Limit = None
    heartbeat: Annotated[Ms | None, Field(ge=1_000, le=60_000)] = None
    max_age: Annotated[Ms | None, Field(ge=100)] = None
    stuck_after: Ms | None = None
    response: Ms | None = None
    counter: StrictBool | None = None
    scale_unverified: StrictBool | None = None
    off: StrictBool | None = None
    confidence: Literal["A", "B", "C"] | None = None
    source: Any = None
    note: Any = None


class SerialAdvice(Part):
    baud: StrictInt
    parity: Parity
    stop_bits: StrictInt


class ProfilePart(Part):
    profile: Name
    extends: Name | None = None
    maker: Word | None = None
    model: Word | None = None
    confidence: Literal["A", "B", "C"] | None = None
    unverified: Phrase = None
    source: Any = None
    notes: list[Any] = []
    serial: SerialAdvice | None = None
    max_registers: Annotated[StrictInt | None, Field(ge=1, le=125)] = None
    barriers: list[Wire] | None = None
    channels: Annotated[StrictInt | None, Field(ge=1, le=65536)] = None
    probe: Annotated[dict[StrictStr, Expected] | None, Field(min_length=1)] = None
    all: Annotated[dict[Any, Any], Entries(PointPart, is_one=True)] = {}
    points: Annotated[dict[Any, Any], Entries(PointPart)] = {}


class SiteFile(Part):
    site: House
    buses: Annotated[dict[Any, Any], Entries(BusPart)]
    devices: Annotated[dict[Any, Any], Entries(DevicePart)]
    buildings: Annotated[dict[Any, Any], Entries(BuildingPart)] = {}
    rules: Annotated[dict[Any, Any], Entries(RulePart)] = {}
    panel: Annotated[dict[Any, Any], Entries(PanelPart, is_one=True)] = {}
    uplink: Annotated[dict[Any, Any] | None, Entries(UplinkPart, is_one=True)] = None
    store: StorePart | None = None
    silence: Annotated[Ms, Field(ge=1000)] = 600_000
    escalate_after: Annotated[Ms, Field(ge=1000)] = 60_000
    realarm_after: Annotated[Ms, Field(ge=60_000)] = 14_400_000
    escalation: EscalationPart | None = None
    post_check: PostCheckPart | None = None
    reader: Annotated[dict[Any, Any] | None, Entries(ReaderPart, is_one=True)] = None
    tag_keys: Annotated[dict[Any, Any] | None, Entries(TagKeysPart, is_one=True)] = None
    self_test: Annotated[
        Any,
        BeforeValidator(quantities.minute),
        WithJsonSchema(_CLOCK),
        Field(validate_default=True),
    ] = "03:30"
    patrol: Annotated[dict[Any, Any] | None, Entries(PatrolPart, is_one=True)] = None
    gateway: GatewayPart | None = None
    warning_cases: StrictBool = True
    offline_after_misses: Annotated[StrictInt, Field(ge=1, le=100)] = 3
