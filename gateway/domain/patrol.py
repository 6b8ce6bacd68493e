"""What is to be patrolled, as configured: checkpoints with items, routes, schedules, tags."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.text import Text


class ItemType(StrEnum):
    OK_BAD = "ok_bad"
    NUMBER = "number"
    CHOICE = "choice"
    PHOTO = "photo"


@dataclass(frozen=True, slots=True)
class Choice:
    id: str
    say: Text
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One question at a checkpoint. A number outside of `low` to `high` is a bad answer."""

    id: str
    say: Text
    type: ItemType = ItemType.OK_BAD
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[Choice, ...] = ()
    point: str = ""  # that a number is compared with
    tolerance: float = 0.1  # of the point's value
    is_drawn: bool = False  # asked only where the round's random challenge falls on it


PHOTO_DRAWN = Item(
    "challenge-photo",
    Text("抽查：拍一张现场照片", "Spot check: take a photo of the place"),
    ItemType.PHOTO,
    is_drawn=True,
)


class TagKind(StrEnum):
    NTAG21X = "ntag21x"
    NTAG424 = "ntag424"
    QR = "qr"


@dataclass(frozen=True, slots=True)
class Tag:
    """What hangs at a checkpoint. `uid`: upper-case hex, `token`: SHA-256 (hex) of its link's.

    A printed QR code has no UID: its `uid` is `qr-` and the first 14 digits of the token's digest.
    """

    uid: str
    checkpoint: str
    kind: TagKind = TagKind.NTAG21X
    token: str = ""
    key_ref: str = ""  # which master key its own is derived from; never the key
    counter: int | None = None  # the highest that was accepted
    is_retired: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    code: str
    name: str
    place: str
    items: tuple[Item, ...]
    near: tuple[str, ...] = ()  # points: here one arrives at their alarms
    tags: tuple[Tag, ...] = ()  # as in the file; `tag write` registers more with the daemon


class Order(StrEnum):
    ANY = "any"
    STRICT = "strict"
    START_END = "start_end"  # the first and the last stop are fixed


@dataclass(frozen=True, slots=True)
class Stop:
    """A checkpoint on a route; the leg is the walk to it from the stop visited before."""

    checkpoint: str
    leg_min_ms: int = 0
    leg_max_ms: int | None = None
    dwell_ms: int = 0  # from the tap to the answers, at least


@dataclass(frozen=True, slots=True)
class Route:
    id: str
    name: str
    stops: tuple[Stop, ...]
    order: Order = Order.ANY


@dataclass(frozen=True, slots=True)
class Window:
    """When a round may be walked: local wall-clock minutes from 0:00 of its shift date.

    1440 and more is the day after: a night belongs to the date of its evening.
    """

    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class Schedule:
    id: str
    route: str
    windows: tuple[Window, ...]
    grace_ms: int = 900_000
    weekdays: frozenset[int] = frozenset(range(7))  # of the shift date, 0 = Monday
    owner: str = ""  # staff code; "" = whoever starts it
    draws: int = 1  # random challenges a round
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Reader:
    """A fixed reader, as at the duty desk. Its taps arrive at alarms of `near`."""

    id: str
    place: str
    near: tuple[str, ...] = ()
    checkpoint: str = ""  # where it hangs at one: a card there is no visit, but says who came


@dataclass(frozen=True, slots=True)
class Patrol:
    """All of it; empty when the house has none."""

    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    readers: Mapping[str, Reader] = field(default_factory=dict)
    compensate_every_ms: int = 7_200_000  # rounds for a point out of service
