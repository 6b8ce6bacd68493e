import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import ReadBlock, plan_blocks
from gateway.core.decode import decode_block, decode_failure, shortest_float32
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.points import Encoding, Point, Table, WordOrder, WordType
from gateway.domain.readings import Quality
from gateway.domain.site import Bus, Device, SerialLine

MPA = {3: Decimal(1), 5: Decimal("0.001"), 4: Decimal("0.000001")}


def point(name, at, type_=WordType.UINT16, *, table=Table.INPUT, valid=None, sentinels=(), **how):
    return Point(
        id=f"d.{name}", device="d", name=name, unit="", table=table, at=at,
        encoding=Encoding(type_, **how), period_ms=1000, valid=valid,
        sentinels=frozenset(sentinels),
    )  # fmt: skip


def block_of(*points, start=None, count=None):
    site_device = Device("d", "p", "b", 1, "", "", points, max_registers=125)
    (block,) = plan_blocks(site_device, Bus("b", SerialLine("/dev/null")))
    if start is None:
        return block
    return ReadBlock("d", "b", 1, block.table, start, count, points, 1000, False)


def words_of(frame_hex):
    """Words of a whole RTU reply, as it stands in the field notes."""
    frame = bytes.fromhex(frame_hex.replace(" ", ""))
    return list(struct.unpack(f">{frame[2] // 2}H", frame[3:-2]))


def values(block, words):
    return {r.point.removeprefix("d."): r.value for r in decode_block(block, words, 5)}


def only(block, words):
    (reading,) = decode_block(block, words, 5)
    return reading


def result(one, words):
    reading = only(block_of(one), words)
    return reading.value if reading.quality is Quality.GOOD else reading.reason


def test_golden_pzem_016():
    block = block_of(
        point("voltage", 0, scale=Decimal("0.1")),
        point("current", 1, WordType.UINT32, order=WordOrder.LITTLE, scale=Decimal("0.001")),
        point("power", 3, WordType.UINT32, order=WordOrder.LITTLE, scale=Decimal("0.1")),
        point("energy", 5, WordType.UINT32, order=WordOrder.LITTLE),
        point("frequency", 7, scale=Decimal("0.1")),
        point("power_factor", 8, scale=Decimal("0.01")),
        point("alarm", 9),
    )
    frame = "01 04 14 08D1 006C0000 00F40000 00260000 01F4 0064 0000 51 34"
    assert values(block, words_of(frame)) == {
        "voltage": 225.7, "current": 0.108, "power": 24.4, "energy": 38, "frequency": 50.0,
        "power_factor": 1.0, "alarm": 0,
    }  # fmt: skip


def test_golden_qdy30a_pressure_with_decimals_and_unit():
    frame = "01 03 0A 0003 0002 0041 0000 07D0 2C 25"
    how = {"decimals_at": 3, "unit_at": 2, "unit_factors": MPA, "table": Table.HOLDING}
    block = block_of(
        point("pressure", 4, WordType.INT16, **how), point("range_full", 6, WordType.INT16, **how)
    )
    assert values(block, words_of(frame)) == {"pressure": 0.65, "range_full": 20.0}


def test_golden_jxbs_3001_co():
    co = point("co", 6, scale=Decimal("0.1"), table=Table.HOLDING)
    assert result(co, words_of("01 03 02 00 BD 78 35")) == 18.9


def test_t1_word_order_is_the_points_own():
    words = [0x006C, 0x0000]
    assert result(point("a", 0, WordType.UINT32, order=WordOrder.LITTLE), words) == 108
    assert result(point("a", 0, WordType.UINT32, order=WordOrder.BIG), words) == 108 << 16


def test_t3_one_unit_code_means_megapascal_here_and_bar_there():
    words = [3, 2, 65]
    megapascal = {"decimals_at": 3, "unit_at": 2, "unit_factors": MPA}
    bar = {"decimals_at": 3, "unit_at": 2, "unit_factors": {3: Decimal("0.1")}}
    assert result(point("p", 4, WordType.INT16, **megapascal), words) == 0.65
    assert result(point("p", 4, WordType.INT16, **bar), words) == 0.065


def test_t3_an_unknown_unit_code_is_a_fault_without_a_number():
    pressure = point("p", 4, WordType.INT16, decimals_at=3, unit_at=2, unit_factors=MPA)
    assert result(pressure, [9, 2, 65]) == "unit_unknown"


def test_t4_ffff_is_data_unless_the_point_says_otherwise():
    assert result(point("alarm", 9), [0xFFFF]) == 0xFFFF
    assert result(point("voltage", 9, sentinels=[0xFFFF]), [0xFFFF]) == "sentinel"


def test_t5_a_block_that_starts_elsewhere_does_not_shift_its_points():
    block = block_of(point("voltage", 8), start=5, count=6)
    assert values(block, [5, 6, 7, 220, 9, 10]) == {"voltage": 220}


def test_t6_offsets_are_applied_after_the_scale():
    assert result(point("t", 6, offset=Decimal(-40)), [0]) == -40
    assert result(point("t", 6, offset=Decimal(-40)), [65]) == 25
    assert result(point("g", 6, scale=Decimal("0.1"), offset=Decimal(-10)), [105]) == 0.5


def test_t9_a_negative_power_stays_negative():
    assert result(point("p", 0, WordType.INT16), [0xFF9C]) == -100
    assert result(point("p", 0, WordType.INT32, scale=Decimal("0.01")), [0xFFFF, 0xFF9C]) == -1.0


@pytest.mark.parametrize("decimals", [10, 255, 65535])
def test_decimals_that_cannot_be_are_a_fault(decimals):
    assert result(point("p", 1, WordType.INT16, decimals_at=0), [decimals, 65]) == (
        "decimals_unknown"
    )


@pytest.mark.parametrize("pattern", [0x7FC00000, 0x7F800000, 0xFF800000, 0xFFFFFFFF])
def test_nan_and_infinity_are_faults(pattern):
    words = [pattern >> 16, pattern & 0xFFFF]
    assert result(point("v", 0, WordType.FLOAT32), words) == "not_a_number"
    assert result(point("v", 0, WordType.FLOAT32, valid=(0, 500)), words) == "not_a_number"


def test_outside_valid_is_a_fault_and_is_not_clamped():
    temperature = point("t", 0, WordType.INT16, valid=(-30, 120))
    assert result(temperature, [120]) == 120
    assert result(temperature, [121]) == "out_of_range"
    assert only(block_of(temperature), [121]).value is None
    assert result(temperature, [0x8000]) == "out_of_range"


def test_a_sentinel_may_be_written_signed_or_as_its_pattern():
    for written in (-32768, 0x8000):
        assert result(point("t", 0, WordType.INT16, sentinels=[written]), [0x8000]) == "sentinel"
    wide = point("v", 0, WordType.UINT32, sentinels=[0xFFFFFFFF])
    assert result(wide, [0xFFFF, 0xFFFF]) == "sentinel"
    assert result(wide, [0x0000, 0xFFFF]) == 0xFFFF
    assert result(point("v", 0, sentinels=[0xFFFFFFFF]), [0xFFFF]) == 0xFFFF


def test_a_sentinel_of_a_float_is_its_pattern_or_its_number():
    big = point("v", 0, WordType.FLOAT32, sentinels=[0x4996B438])
    assert result(big, [0x4996, 0xB438]) == "sentinel"
    minus = list(struct.unpack(">2H", struct.pack(">f", -9999.0)))
    assert result(point("v", 0, WordType.FLOAT32, sentinels=[-9999]), minus) == "sentinel"


def test_a_sentinel_in_the_status_word_spoils_its_bits():
    alarm = point("a", 0, WordType.BIT, bit=3, sentinels=[0xFFFF])
    assert result(alarm, [0b1000]) == 1
    assert result(alarm, [0b0111]) == 0
    assert result(alarm, [0xFFFF]) == "sentinel"


def test_bit_tables_give_zero_and_one():
    block = block_of(*[point(f"i{n}", n, WordType.BIT, table=Table.DISCRETE) for n in (3, 5)])
    assert values(block, [1, 0, 0]) == {"i3": 1, "i5": 0}


def test_a_bitfield_is_the_word():
    assert result(point("status", 0, WordType.BITFIELD), [0x01F0]) == 0x01F0


@pytest.mark.parametrize("words", [[], [1], [1, 2, 3], [1, 70000], [-1, 0]])
def test_a_reply_of_the_wrong_shape_gives_faults_and_raises_nothing(words):
    block = block_of(point("a", 0), point("b", 1))
    assert [(r.value, r.quality, r.reason) for r in decode_block(block, words, 5)] == [
        (None, Quality.FAULT, "word_count")
    ] * 2
    coils = block_of(point("c", 0, WordType.BIT, table=Table.COIL))
    assert only(coils, [0, 1]).reason == "word_count"


def test_text_ends_at_the_first_zero_and_must_be_printable():
    words = list(struct.unpack(">4H", b"SDM630\0x"))
    assert result(point("model", 0, WordType.ASCII, length=4), words) == "SDM630"
    swapped = list(struct.unpack(">4H", b"DS6M03x\0"))
    order = WordOrder.BIG_SWAPPED
    assert result(point("model", 0, WordType.ASCII, length=4, order=order), swapped) == "SDM630"
    assert result(point("model", 0, WordType.ASCII, length=1), [0xFF41]) == "not_text"


def test_scales_are_exact_decimals():
    assert result(point("v", 0, scale=Decimal("0.1")), [2257]) == 225.7
    assert result(point("v", 0, scale=Decimal("0.1")), [3]) == 0.3
    assert result(point("v", 0, scale=Decimal("1e3")), [3]) == 3000
    assert result(point("v", 0, WordType.FLOAT32, scale=Decimal("0.001")), [0x4366, 0x3333]) == (
        0.2302
    )


def test_whole_numbers_stay_integers_to_the_last_of_64_bits():
    value = result(point("wh", 0, WordType.UINT64), [0xFFFF] * 4)
    assert value == 2**64 - 1
    assert isinstance(value, int)


def test_a_float_with_decimals_and_unit_is_exact_too():
    how = {"decimals_at": 3, "unit_at": 2, "unit_factors": {5: Decimal("0.001")}}
    words = [5, 1, *struct.unpack(">2H", struct.pack(">f", 230.2))]
    assert result(point("p", 4, WordType.FLOAT32, **how), words) == 0.02302


def test_a_float_scaled_beyond_every_float_is_not_a_number():
    words = list(struct.unpack(">4H", struct.pack(">d", 1e308)))
    assert result(point("p", 0, WordType.FLOAT64, scale=Decimal(1000)), words) == "not_a_number"


@pytest.mark.parametrize("number", [230.2, 0.1, 49.98, 1e-3, -25.04, 16777216.0, 3.4e38, 0.0])
def test_float32_is_shown_as_the_meter_shows_it(number):
    words = list(struct.unpack(">2H", struct.pack(">f", number)))
    assert repr(result(point("v", 0, WordType.FLOAT32), words)) == repr(number)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_shortest_float32_is_the_same_float32_and_no_rounding_is_shorter(number):
    short = shortest_float32(number)
    assert struct.pack("<f", short) == struct.pack("<f", number)
    digits = len(Decimal(repr(short)).normalize().as_tuple().digits)
    for fewer in range(1, digits):
        candidate = float(f"{number:.{fewer}g}")
        if abs(candidate) <= 3.4028234663852886e38:
            assert struct.unpack("<f", struct.pack("<f", candidate))[0] != number


def test_the_largest_float32_does_not_overflow():
    assert shortest_float32(3.4028234663852886e38) == 3.4028235e38


# An encoder of its own: bytes of the number, most significant first, put in order by hand.
ORDERS = {
    WordOrder.BIG: lambda pairs: pairs,
    WordOrder.LITTLE: lambda pairs: pairs[::-1],
    WordOrder.BIG_SWAPPED: lambda pairs: [(b, a) for a, b in pairs],
    WordOrder.LITTLE_SWAPPED: lambda pairs: [(b, a) for a, b in pairs][::-1],
}


def encode(number_bytes, order):
    pairs = list(zip(number_bytes[::2], number_bytes[1::2], strict=True))
    return [256 * high + low for high, low in ORDERS[order](pairs)]


INTEGERS = {
    WordType.INT16: (16, True), WordType.UINT16: (16, False),
    WordType.INT32: (32, True), WordType.UINT32: (32, False),
    WordType.INT64: (64, True), WordType.UINT64: (64, False),
}  # fmt: skip


@given(st.data(), st.sampled_from(sorted(INTEGERS)), st.sampled_from(list(WordOrder)))
def test_integers_come_back_in_every_order(data, type_, order):
    bits, is_signed = INTEGERS[type_]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    number = data.draw(st.integers(low, high))
    scale = data.draw(st.sampled_from([Decimal(1), Decimal("0.1"), Decimal("0.001"), Decimal(10)]))
    offset = data.draw(st.sampled_from([Decimal(0), Decimal(-40), Decimal("-0.5")]))
    words = encode((number % 2**bits).to_bytes(bits // 8, "big"), order)
    block = block_of(point("v", 10, type_, order=order, scale=scale, offset=offset), start=8,
                     count=2 + bits // 16)  # fmt: skip
    exact = number * scale + offset
    value = only(block, [1, 2, *words]).value
    assert value == (exact if isinstance(value, int) else float(exact))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(list(WordOrder)))
def test_float32_comes_back_in_every_order(number, order):
    words = encode(struct.pack(">f", number), order)
    value = result(point("v", 0, WordType.FLOAT32, order=order), words)
    assert struct.unpack(">f", struct.pack(">f", value))[0] == number


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(list(WordOrder)))
def test_float64_comes_back_in_every_order(number, order):
    words = encode(struct.pack(">d", number), order)
    assert result(point("v", 0, WordType.FLOAT64, order=order), words) == number


@given(st.lists(st.integers(0, 65535), max_size=12))
def test_no_words_whatever_raise_or_give_a_number_that_is_none(words):
    block = block_of(
        point("f", 0, WordType.FLOAT32, scale=Decimal("0.1"), valid=(-1e6, 1e6)),
        point("d", 2, WordType.FLOAT64, decimals_at=6),
        point("t", 7, WordType.ASCII, length=2),
        point("p", 9, WordType.INT16, unit_at=10, unit_factors=MPA),
    )
    for reading in decode_block(block, words, 5):
        assert (reading.quality is Quality.GOOD) == (reading.value is not None)
        assert (reading.reason == "") == (reading.quality is Quality.GOOD)
        if isinstance(reading.value, float):
            assert math.isfinite(reading.value)


@pytest.mark.parametrize(
    ("failure", "quality", "reason"),
    [
        (DeviceSilent(3), Quality.OFFLINE, "silent"),
        (BusDown("no such port"), Quality.OFFLINE, "bus_down"),
        (DeviceRefused(3, 1), Quality.FAULT, "exception_1"),
        (DeviceRefused(3, 2), Quality.FAULT, "exception_2"),
        (DeviceRefused(3, 3), Quality.FAULT, "exception_3"),
        (DeviceRefused(3, 4), Quality.FAULT, "exception_4"),
        (DeviceRefused(3, 5), Quality.SUSPECT, "busy"),
        (DeviceRefused(3, 6), Quality.SUSPECT, "busy"),
        (DeviceRefused(3, 0x0A), Quality.OFFLINE, "gateway_path"),
        (DeviceRefused(3, 0x0B), Quality.OFFLINE, "gateway_target"),
        (DeviceRefused(3, 0x77), Quality.FAULT, "exception_119"),
    ],
)
def test_a_failure_is_a_reading_without_a_number(failure, quality, reason):
    block = block_of(point("a", 0), point("b", 1))
    assert [
        (r.point, r.value, r.quality, r.reason, r.mono_ms)
        for r in decode_failure(block, failure, 77)
    ] == [("d.a", None, quality, reason, 77), ("d.b", None, quality, reason, 77)]
