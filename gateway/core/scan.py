"""What a scan asks on a bare bus, how long that takes at most, and which family an answer betrays.

A scan has three dimensions: line settings, units, and the questions by which a device shows that
it is there. Any answer will do for that, a refusal too. Then every family's hints are read, each
question once, and the families are ranked. Pure: who reads is `tasks.scan_bus`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.core.blocks import RTU_OVERHEAD_BYTES, ReadBlock, plan_blocks
from gateway.core.decode import decode_block
from gateway.domain.families import Family, Hint, LineSetting
from gateway.domain.points import Table
from gateway.domain.readings import Quality, Value
from gateway.domain.site import Bus, Device, Parity, SerialLine, TcpLink

ALL_UNITS = tuple(range(1, 248))
BAUDS = (9600, 19200, 4800, 2400, 38400, 115200, 57600, 1200)  # the likeliest first
TIMEOUT_MS = 200  # slower devices are there, but not on the first question
USUAL = LineSetting()
_ANY_BUS = Bus("scan", TcpLink(""))


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to one unit."""

    table: Table
    start: int
    count: int


PRESENCE = (Ask(Table.HOLDING, 0, 1), Ask(Table.INPUT, 0, 1))


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """`lines` has one None for a bus that has no line settings (TCP)."""

    lines: tuple[LineSetting | None, ...]
    units: tuple[int, ...] = ALL_UNITS
    presence: tuple[Ask, ...] = PRESENCE
    timeout_ms: int = TIMEOUT_MS

    @property
    def steps(self) -> int:
        return len(self.lines) * len(self.units)

    @property
    def estimate_ms(self) -> int:
        """How long it takes when nobody answers; a device that does adds a few seconds."""
        return round(
            sum(
                self.silent_ms(line, ask)
                for line in self.lines
                for ask in self.presence
                for _ in self.units
            )
        )

    def silent_ms(self, line: LineSetting | None, ask: Ask) -> float:
        """How long one question that nobody answers takes."""
        return answer_within_ms(line, ask, self.timeout_ms) + _gap_ms(line)


@dataclass(frozen=True, slots=True)
class Match:
    """A family whose every hint fits. `shown`: what its hints showed, with their units."""

    family: Family
    shown: tuple[tuple[str, Value], ...]
    is_certain: bool  # the device says itself what it is
    is_at_home: bool  # the line runs as the family leaves the factory

    @property
    def hints(self) -> int:
        return len(self.shown)


@dataclass(frozen=True, slots=True)
class Found:
    """A unit that answered, and the families it may be of, the likeliest first."""

    unit: int
    line: LineSetting | None
    matches: tuple[Match, ...]

    @property
    def is_certain(self) -> bool:
        """True if one family is left: it names itself, or nothing else fits."""
        return len(self.matches) == 1 or (bool(self.matches) and self.matches[0].is_certain)


def usual_lines(families: Iterable[Family]) -> tuple[LineSetting, ...]:
    """9600 8N1, then every setting that a family leaves the factory with, the commonest first."""
    said = [family.line for family in families if family.line is not None]
    return tuple(sorted({USUAL, *said}, key=lambda line: (line != USUAL, -said.count(line), line)))


def all_lines(
    bauds: Sequence[int] = BAUDS,
    parities: Sequence[Parity] = (Parity.NONE, Parity.EVEN, Parity.ODD),
    stop_bits: Sequence[int] = (1, 2),
) -> tuple[LineSetting, ...]:
    """Every combination, those with one baud rate together."""
    return tuple(
        LineSetting(baud, parity, stop)
        for baud in bauds
        for parity in parities
        for stop in stop_bits
    )


def answer_within_ms(line: LineSetting | None, ask: Ask, timeout_ms: int) -> int:
    """How long an answer may take: the device's own time, and both frames on the wire."""
    if line is None:
        return timeout_ms
    data_bytes = (ask.count + 7) // 8 if ask.table.is_bits else 2 * ask.count
    return timeout_ms + round((RTU_OVERHEAD_BYTES + data_bytes) * serial_of("", line).char_ms)


def _gap_ms(line: LineSetting | None) -> float:
    return 0.0 if line is None else serial_of("", line).t35_ms


def serial_of(port: str, line: LineSetting) -> SerialLine:
    """The serial line of a port that is set so."""
    return SerialLine(port, line.baud, line.parity, line.stop_bits)


def set_to(serial: SerialLine, line: LineSetting) -> SerialLine:
    """The same port, set otherwise."""
    return replace(serial, baud=line.baud, parity=line.parity, stop_bits=line.stop_bits)


def setting_of(serial: SerialLine) -> LineSetting:
    return LineSetting(serial.baud, serial.parity, serial.stop_bits)


def hint_block(family: Family, hint: Hint) -> ReadBlock:
    """The one request that reads a hint: the value with its decimals and its unit."""
    device = Device(
        family.profile, family.profile, "scan", 1, "", "", (replace(hint.point, gate=None),),
        max_registers=family.max_registers, barriers=family.barriers,
    )  # fmt: skip
    (block,) = plan_blocks(device, _ANY_BUS)
    return block


def ask_of(block: ReadBlock) -> Ask:
    return Ask(block.table, block.start, block.count)


def in_order(families: Iterable[Family]) -> list[Family]:
    """Those that name themselves first: one such answer ends the asking."""
    with_hints = [family for family in families if family.hints]
    return sorted(with_hints, key=lambda f: not any(hint.is_identity for hint in f.hints))


def value_of(family: Family, hint: Hint, words: Sequence[int] | None) -> Value | None:
    """What the words show as this hint; None when they are no good reading, or no words came."""
    if words is None:
        return None
    (reading,) = decode_block(hint_block(family, hint), words, 0)
    return reading.value if reading.quality is Quality.GOOD else None


def match_of(
    family: Family, answers: Mapping[Ask, Sequence[int] | None], line: LineSetting | None
) -> Match | None:
    """The match, if every hint of the family was answered with what such a device shows."""
    shown: list[tuple[str, Value]] = []
    for hint in family.hints:
        value = value_of(family, hint, answers.get(ask_of(hint_block(family, hint))))
        if value is None or not hint.fits(value):
            return None
        shown.append((f"{hint.point.name} {value} {hint.point.unit}".rstrip(), value))
    is_certain = any(hint.is_identity for hint in family.hints)
    return Match(family, tuple(shown), is_certain, line is not None and family.line == line)


def ranked(matches: Iterable[Match]) -> tuple[Match, ...]:
    """Certain ones first, then those with more hints, at home on this line, better known.

    A device that names itself leaves no room for those that are only plausible.
    """
    found = sorted(
        matches,
        key=lambda m: (
            not m.is_certain,
            -m.hints,
            not m.is_at_home,
            m.family.confidence,
            m.family.profile,
        ),
    )
    certain = [match for match in found if match.is_certain]
    return tuple(certain or found)


def merged(found: Iterable[Found]) -> tuple[Found, ...]:
    """One entry a device: most devices do not mind a second stop bit, and answer both ways."""
    kept: dict[object, Found] = {}
    for each in found:
        best = each.matches[0].family.profile if each.matches else ""
        same = None if each.line is None else (each.line.baud, each.line.parity)
        known = kept.setdefault((each.unit, same, best), each)
        at_home = bool(each.matches) and each.matches[0].is_at_home
        if known is not each and at_home and not known.matches[0].is_at_home:
            kept[(each.unit, same, best)] = each
    return tuple(kept.values())
