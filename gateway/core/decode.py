"""Decode: words to readings. A failure becomes readings too: from here on failure is data.

A block is compiled once into one reader per point; reading it is then integer arithmetic.
Numbers are exact: scale and offset are decimal fractions, put over one power of ten, so that the
only rounding is the last one, to the nearest float (2257 * 0.1 is 225.7). A float32 is taken as
the shortest decimal that gives the same float32 (230.2, not 230.1999969).
"""

import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import assert_never

from gateway.core.blocks import ReadBlock
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent, ReadFailure
from gateway.domain.points import Encoding, Point, WordOrder, WordType
from gateway.domain.readings import Quality, Reading, Value

MAX_DECIMALS = 9  # a decimals register beyond this is no count of decimals
_SMALLEST_NORMAL_FLOAT32 = 2.0**-126
_WORD = struct.Struct(">H")
_FLOAT32 = struct.Struct("<f")

# A reader gives (value, "") or (None, reason of the fault); `plain` is the reply's data as it came,
# `swapped` the same with the two bytes of each word changed over.
_Result = tuple[Value | None, str]
_Reader = Callable[[bytes, bytes], _Result]
Decoder = Callable[[Sequence[int], int], tuple[Reading, ...]]

_FORMATS = {
    WordType.BITFIELD: "H", WordType.UINT16: "H", WordType.INT16: "h",
    WordType.UINT32: "I", WordType.INT32: "i", WordType.UINT64: "Q", WordType.INT64: "q",
    WordType.FLOAT32: "f", WordType.FLOAT64: "d",
}  # fmt: skip

_REFUSALS = {
    5: (Quality.SUSPECT, "busy"),
    6: (Quality.SUSPECT, "busy"),
    0x0A: (Quality.OFFLINE, "gateway_path"),
    0x0B: (Quality.OFFLINE, "gateway_target"),
}


def decode_block(block: ReadBlock, words: Sequence[int], mono_ms: int) -> tuple[Reading, ...]:
    """Return one reading per point of the block, in its order.

    `words` are the registers (0..65535) or bits (0/1) of the reply. A reply of the wrong length
    gives faults with reason `word_count`.
    """
    return _compiled(block)(words, mono_ms)


def decode_failure(block: ReadBlock, failure: ReadFailure, mono_ms: int) -> tuple[Reading, ...]:
    """Return one reading without a value per point, with the quality that the failure means."""
    match failure:
        case DeviceSilent():
            quality, reason = Quality.OFFLINE, "silent"
        case BusDown():
            quality, reason = Quality.OFFLINE, "bus_down"
        case DeviceRefused(code=code):
            quality, reason = _REFUSALS.get(code, (Quality.FAULT, f"exception_{code}"))
        case _:
            assert_never(failure)
    return _all_without_value(block, quality, reason, mono_ms)


def compile_block(block: ReadBlock) -> Decoder:
    """Return the function that decodes replies to this block."""
    return _bit_decoder(block) if block.table.is_bits else _register_decoder(block)


_compiled = lru_cache(maxsize=4096)(compile_block)


def shortest_float32(value: float) -> float:
    """Return the decimal of fewest digits that is the same float32, as a float."""
    first = 6 if abs(value) >= _SMALLEST_NORMAL_FLOAT32 else 1
    for digits in range(first, 9):
        short = float(f"{value:.{digits}g}")
        try:
            if _FLOAT32.unpack(_FLOAT32.pack(short))[0] == value:
                return short
        except OverflowError:  # rounded up over the largest float32
            continue
    return float(f"{value:.9g}")


def _all_without_value(
    block: ReadBlock, quality: Quality, reason: str, mono_ms: int
) -> tuple[Reading, ...]:
    return tuple(Reading(point.id, None, quality, mono_ms, reason) for point in block.points)


def _bit_decoder(block: ReadBlock) -> Decoder:
    places = tuple((point.id, point.at - block.start) for point in block.points)
    count = block.count

    def decode(words: Sequence[int], mono_ms: int) -> tuple[Reading, ...]:
        if len(words) != count:
            return _all_without_value(block, Quality.FAULT, "word_count", mono_ms)
        return tuple(
            [Reading(id_, 1 if words[at] else 0, Quality.GOOD, mono_ms) for id_, at in places]
        )

    return decode


def _register_decoder(block: ReadBlock) -> Decoder:
    readers = tuple((point.id, _reader_of(point, block.start)) for point in block.points)
    big, little = struct.Struct(f">{block.count}H"), struct.Struct(f"<{block.count}H")
    good, fault = Quality.GOOD, Quality.FAULT

    def decode(words: Sequence[int], mono_ms: int) -> tuple[Reading, ...]:
        try:
            plain, swapped = big.pack(*words), little.pack(*words)
        except struct.error:  # too few, too many, or no 16-bit numbers
            return _all_without_value(block, fault, "word_count", mono_ms)
        readings = []
        for point_id, read in readers:
            value, reason = read(plain, swapped)
            readings.append(Reading(point_id, value, fault if reason else good, mono_ms, reason))
        return tuple(readings)

    return decode


def _reader_of(point: Point, start: int) -> _Reader:
    """Put together what one point needs: raw words, sentinel, number, valid range."""
    kind = point.encoding.type
    if kind is WordType.ASCII:
        return _text_reader(point.encoding, 2 * (point.at - start))
    if kind in (WordType.FLOAT32, WordType.FLOAT64):
        number = _float_reader(point, start)
    elif kind is WordType.BIT:
        number = _bit_reader(point, start)
    elif point.encoding.bits is not None:
        number = _part_reader(point, start)
    else:
        number = _integer_reader(point, start)
    return number if point.valid is None else _within(number, *point.valid)


def _within(read: _Reader, low: float, high: float) -> _Reader:
    def read_within(plain: bytes, swapped: bytes) -> _Result:
        value, reason = read(plain, swapped)
        if value is None or isinstance(value, str) or low <= value <= high:
            return value, reason
        return None, "out_of_range"

    return read_within


def _bit_reader(point: Point, start: int) -> _Reader:
    unpack, is_swapped = _unpacker(WordType.UINT16, point.encoding.order)
    offset = 2 * (point.at - start)
    mask = 1 << (point.encoding.bit or 0)
    sentinels = _patterns(point.sentinels, 16)

    def read(plain: bytes, swapped: bytes) -> _Result:
        word = unpack(swapped if is_swapped else plain, offset)[0]
        return (None, "sentinel") if word in sentinels else (1 if word & mask else 0, "")

    return read


def _part_reader(point: Point, start: int) -> _Reader:
    """Some bits of one register as a number; sentinels are of the whole register."""
    unpack, is_swapped = _unpacker(WordType.UINT16, point.encoding.order)
    offset = 2 * (point.at - start)
    low, high = point.encoding.bits or (0, 15)
    mask = (1 << (high - low + 1)) - 1
    sentinels = _patterns(point.sentinels, 16)
    convert = _integer_converter(point.encoding, start)

    def read(plain: bytes, swapped: bytes) -> _Result:
        word = unpack(swapped if is_swapped else plain, offset)[0]
        return (None, "sentinel") if word in sentinels else convert(word >> low & mask, plain)

    return read


def _integer_reader(point: Point, start: int) -> _Reader:
    encoding = point.encoding
    unpack, is_swapped = _unpacker(encoding.type, encoding.order)
    offset = 2 * (point.at - start)
    mask = (1 << (16 * encoding.width)) - 1
    sentinels = _patterns(point.sentinels, 16 * encoding.width)
    is_alone = encoding.decimals_at is None and encoding.unit_at is None
    if is_alone and not sentinels:
        return _plain_integer_reader(encoding, offset)
    convert = _integer_converter(encoding, start)

    def read(plain: bytes, swapped: bytes) -> _Result:
        raw = unpack(swapped if is_swapped else plain, offset)[0]
        if sentinels and raw & mask in sentinels:
            return None, "sentinel"
        return convert(raw, plain)

    return read


def _plain_integer_reader(encoding: Encoding, offset: int) -> _Reader:
    """The reader of most points, in one call instead of two: no sentinels, a fixed scale."""
    unpack, is_swapped = _unpacker(encoding.type, encoding.order)
    numerator, addend, divisor = _over_one_divisor(encoding.scale, encoding.offset)

    def read(plain: bytes, swapped: bytes) -> _Result:
        number = unpack(swapped if is_swapped else plain, offset)[0] * numerator + addend
        return (number if divisor == 1 else number / divisor), ""

    return read


def _integer_converter(encoding: Encoding, start: int) -> Callable[[int, bytes], _Result]:
    """Return raw -> value: one integer over one power of ten, so nothing is rounded before."""
    if encoding.decimals_at is not None or encoding.unit_at is not None:
        convert = _ratio_converter(encoding, start)
        return lambda raw, plain: convert(raw, 1, plain)
    numerator, addend, divisor = _over_one_divisor(encoding.scale, encoding.offset)
    if divisor == 1:
        return lambda raw, _plain: (raw * numerator + addend, "")
    return lambda raw, _plain: ((raw * numerator + addend) / divisor, "")


def _float_reader(point: Point, start: int) -> _Reader:
    encoding = point.encoding
    unpack, is_swapped = _unpacker(encoding.type, encoding.order)
    is_short = encoding.type is WordType.FLOAT32
    pattern_of, _ = _unpacker(WordType.UINT32 if is_short else WordType.UINT64, encoding.order)
    offset = 2 * (point.at - start)
    sentinels = point.sentinels
    convert = _float_converter(encoding, start)

    def read(plain: bytes, swapped: bytes) -> _Result:
        data = swapped if is_swapped else plain
        raw = unpack(data, offset)[0]
        if sentinels and (pattern_of(data, offset)[0] in sentinels or raw in sentinels):
            return None, "sentinel"
        if not isfinite(raw):
            return None, "not_a_number"
        number = shortest_float32(raw) if is_short else raw
        return (number + 0.0, "") if convert is None else convert(number, plain)

    return read


def _float_converter(encoding: Encoding, start: int) -> Callable[[float, bytes], _Result] | None:
    """Return number -> value through the exact decimal of the number; None when it is the value."""
    is_alone = encoding.decimals_at is None and encoding.unit_at is None
    if is_alone and encoding.scale == 1 and encoding.offset == 0:
        return None
    convert = _ratio_converter(encoding, start)

    def convert_float(number: float, plain: bytes) -> _Result:
        above, below = Decimal(repr(number)).as_integer_ratio()
        try:
            return convert(above, below, plain)
        except OverflowError:  # scaled beyond the largest float
            return None, "not_a_number"

    return convert_float


def _ratio_converter(encoding: Encoding, start: int) -> Callable[[int, int, bytes], _Result]:
    """Return above / below -> value, with the decimals and the unit read from their registers."""
    numerator, addend, divisor = _over_one_divisor(encoding.scale, encoding.offset)
    factors = {
        code: _over_one_divisor(factor, Decimal(0))
        for code, factor in encoding.unit_factors.items()
    }
    decimals_offset = None if encoding.decimals_at is None else 2 * (encoding.decimals_at - start)
    unit_offset = None if encoding.unit_at is None else 2 * (encoding.unit_at - start)

    def convert(above: int, below: int, plain: bytes) -> _Result:
        if decimals_offset is not None:
            decimals = _WORD.unpack_from(plain, decimals_offset)[0]
            if decimals > MAX_DECIMALS:
                return None, "decimals_unknown"
            below *= 10**decimals
        if unit_offset is not None:
            factor = factors.get(_WORD.unpack_from(plain, unit_offset)[0])
            if factor is None:
                return None, "unit_unknown"
            above, below = above * factor[0], below * factor[2]
        return (above * numerator + addend * below) / (below * divisor), ""

    return convert


def _text_reader(encoding: Encoding, offset: int) -> _Reader:
    end = offset + 2 * encoding.length
    is_swapped = encoding.order in (WordOrder.BIG_SWAPPED, WordOrder.LITTLE_SWAPPED)
    is_reversed = encoding.order in (WordOrder.LITTLE, WordOrder.LITTLE_SWAPPED)

    def read(plain: bytes, swapped: bytes) -> _Result:
        data = (swapped if is_swapped else plain)[offset:end]
        if is_reversed:
            data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
        text = data.split(b"\0", 1)[0].strip()
        if not all(0x20 <= byte < 0x7F for byte in text):
            return None, "not_text"
        return text.decode("ascii"), ""

    return read


def _unpacker(kind: WordType, order: WordOrder) -> tuple[Callable[[bytes, int], tuple[int]], bool]:
    """Return how the value is unpacked, and whether from the swapped bytes.

    Of the bytes ABCD the orders put on the wire: big ABCD, little CDAB, big_swapped BADC,
    little_swapped DCBA; reading CDAB with its bytes swapped is reading DCBA, plain little-endian.
    """
    is_swapped = order in (WordOrder.LITTLE, WordOrder.BIG_SWAPPED)
    endian = ">" if order in (WordOrder.BIG, WordOrder.BIG_SWAPPED) else "<"
    return struct.Struct(endian + _FORMATS[kind]).unpack_from, is_swapped


def _patterns(sentinels: frozenset[int], bits: int) -> frozenset[int]:
    """Sentinels as unsigned patterns: -1 and 65535 are the same word; wider ones never match."""
    low, high = -(1 << (bits - 1)), 1 << bits
    return frozenset(number & (high - 1) for number in sentinels if low <= number < high)


def _over_one_divisor(scale: Decimal, offset: Decimal) -> tuple[int, int, int]:
    """Return (p, q, d) with scale = p / d, offset = q / d and d a power of ten."""
    places = max(0, *(-_exponent(number) for number in (scale, offset)))
    divisor = 10**places
    return int(scale.scaleb(places)), int(offset.scaleb(places)), divisor


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0  # the site's models refuse NaN and Infinity
