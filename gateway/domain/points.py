"""Points: the named measured values of a device, and how their words are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from gateway.domain.readings import Quality, Value


class Table(StrEnum):
    """The four Modbus tables; the value is the name used in profiles."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def function(self) -> int:
        """The Modbus read function code (1..4)."""
        return {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}[self]

    @property
    def is_bits(self) -> bool:
        """True for coils and discrete inputs, where one address is one bit."""
        return self in (Table.COIL, Table.DISCRETE)


class WordType(StrEnum):
    BIT = "bit"
    BITFIELD = "bitfield"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    ASCII = "ascii"


class WordOrder(StrEnum):
    """Order of the words of a value; the bytes inside a word are big-endian unless `_swapped`."""

    BIG = "big"  # ABCD
    LITTLE = "little"  # CDAB
    BIG_SWAPPED = "big_swapped"  # BADC
    LITTLE_SWAPPED = "little_swapped"  # DCBA


_WIDTH = {
    WordType.INT32: 2, WordType.UINT32: 2, WordType.FLOAT32: 2,
    WordType.INT64: 4, WordType.UINT64: 4, WordType.FLOAT64: 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoding:
    """How words become a number: value = raw * scale + offset.

    With `decimals_at` the raw number is first divided by 10 ** (that register); with `unit_at`
    it is then multiplied by the factor that `unit_factors` gives for that register's code.
    A code that is not in the table makes the reading a fault: the unit is unknown.
    Both registers lie in the same table and are always read in the same block.
    """

    type: WordType
    order: WordOrder = WordOrder.BIG
    scale: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)
    bit: int | None = None  # for WordType.BIT in a register table: which bit, 0 = least significant
    bits: tuple[int, int] | None = None  # of one register: only these bits, lowest and highest
    length: int = 1  # for WordType.ASCII: registers
    decimals_at: int | None = None
    unit_at: int | None = None
    unit_factors: Mapping[int, Decimal] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Registers (or bits, in a bit table) that the value itself takes."""
        return self.length if self.type is WordType.ASCII else _WIDTH.get(self.type, 1)


@dataclass(frozen=True, slots=True)
class Gate:
    """Another point of the same device that says whether this one may be believed.

    `qualities` maps that point's value to the quality this point then has at best;
    a value that is not listed, or not known yet, gives `otherwise`. With `bits` that point is a
    bitfield: each listed bit that is set gives its quality, the worst of them counts, and a known
    value without any of them is good.
    """

    point: str
    qualities: Mapping[int, Quality]
    otherwise: Quality
    bits: Mapping[int, Quality] = field(default_factory=dict)

    def quality_at(self, value: float | None) -> Quality:
        """The best quality to be had while that point has this value; None = not known."""
        if value is None:
            return self.otherwise
        if not self.bits or int(value) in self.qualities:
            return self.qualities.get(int(value), self.otherwise)
        is_set = [quality for bit, quality in self.bits.items() if int(value) >> bit & 1]
        return max(is_set, key=list(Quality).index, default=Quality.GOOD)


@dataclass(frozen=True, slots=True)
class Point:
    """A named measured value. `id` is `device.name`; `at` is the 0-based wire address."""

    id: str
    device: str
    name: str
    unit: str
    table: Table
    at: int
    encoding: Encoding
    period_ms: int
    kind: str | None = None
    label: str = ""
    valid: tuple[float, float] | None = None
    span: tuple[float, float] | None = None  # what the sensor can measure
    identity: frozenset[Value] = frozenset()  # the values by which its device is known
    sentinels: frozenset[int] = frozenset()
    gate: Gate | None = None
    codes: Mapping[int, str] = field(default_factory=dict)
    deadband: float = 0.0
    heartbeat_ms: int = 60_000
    max_age_ms: int = 60_000
    stuck_after_ms: int | None = None
    response_ms: int | None = None  # from a physical change to its number; None = not known
    is_counter: bool = False
    is_alarm_class: bool = False  # a rule judges it: its block is read before plain ones
