"""The simulated tags against the data sheet of NTAG213/215/216."""

import pytest

from gateway.sim.ntag import ACK, NAK, NAK_LIMIT, NTAG213, NTAG215, NTAG216, Kind, Ntag

UID = bytes.fromhex("04a1b2c3d4e580")
SIZES = [(NTAG213, 45, 144), (NTAG215, 135, 496), (NTAG216, 231, 872)]  # bytes for NDEF: 8.5.6


def fresh(kind: Kind = NTAG213) -> Ntag:
    tag = Ntag(UID, kind)
    tag.select()
    return tag


def write(tag: Ntag, page: int, data: str) -> bytes | None:
    return tag.answer(b"\xa2" + bytes([page]) + bytes.fromhex(data))


def protect(tag: Ntag, first: int, *, access: str = "00") -> None:
    config = tag.kind.config
    write(tag, config + 2, "11223344")
    write(tag, config + 3, "55660000")
    write(tag, config + 1, access + "000000")
    write(tag, config, f"040000{first:02x}")
    tag.select()


@pytest.mark.parametrize(("kind", "pages", "size"), SIZES)
def test_each_kind_has_its_pages_and_says_how_much_it_holds(kind, pages, size):
    tag = fresh(kind)
    assert len(tag.memory) == 4 * pages
    assert tag.page(3) == bytes([0xE1, 0x10, size // 8, 0])
    assert tag.answer(b"\x30" + bytes([pages - 1])) is not None
    assert tag.answer(b"\x30" + bytes([pages])) == NAK


@pytest.mark.parametrize(("kind", "version"), [(NTAG213, 15), (NTAG215, 17), (NTAG216, 19)])
def test_the_version_tells_which_it_is(kind, version):
    assert fresh(kind).answer(b"\x60") == bytes([0, 4, 4, 2, 1, 0, version, 3])


def test_reading_rolls_over_behind_the_last_page():
    tag = fresh()
    data = tag.answer(b"\x30\x2c")
    assert data is not None
    assert data[4:7] == UID[:3]


def test_fast_read_gives_all_the_pages_asked_for():
    tag = fresh()
    assert tag.answer(b"\x3a\x00\x27") == bytes(tag.memory[:160])
    assert tag.answer(b"\x3a\x05\x04") == NAK


def test_after_a_nak_it_has_to_be_selected_again():
    tag = fresh()
    assert write(tag, 0, "00000000") == NAK
    assert tag.answer(b"\x30\x04") is None
    tag.select()
    assert tag.answer(b"\x30\x04") is not None


def test_an_unknown_command_is_answered_by_silence():
    tag = fresh()
    assert tag.answer(b"\x1a\x00") is None
    assert tag.answer(b"\x30\x04") is None


def test_the_capability_container_can_only_gain_bits():
    tag = fresh()
    assert write(tag, 3, "0000000f") == ACK
    assert tag.page(3) == bytes.fromhex("e110120f")


def test_a_locked_page_stays_as_it_is_for_ever():
    tag = fresh()
    assert write(tag, 4, "01020304") == ACK
    assert write(tag, 2, "00001000") == ACK
    assert write(tag, 4, "ffffffff") == NAK
    tag.select()
    assert write(tag, 2, "00000000") == ACK
    assert write(tag, 4, "ffffffff") == NAK
    assert tag.page(4) == bytes.fromhex("01020304")


def test_the_dynamic_bits_lock_the_pages_from_16_on():
    tag = fresh()
    assert write(tag, 40, "01000000") == ACK
    assert write(tag, 18, "00000001") == ACK
    assert write(tag, 17, "00000001") == NAK


def test_the_password_guards_writing_and_reading_where_told_to():
    tag = fresh()
    protect(tag, 4)
    assert tag.answer(b"\x30\x04") is not None
    assert write(tag, 4, "00000000") == NAK
    tag.select()
    assert tag.answer(b"\x1b\x11\x22\x33\x44") == b"\x55\x66"
    assert write(tag, 4, "00000000") == ACK
    protect(tag, 4, access="80")
    assert tag.answer(b"\x30\x04") == NAK


def test_the_password_itself_is_never_read():
    tag = fresh()
    protect(tag, 4)
    data = tag.answer(bytes([0x30, tag.kind.config]))
    assert data is not None
    assert data[8:] == bytes(8)


def test_too_many_wrong_passwords_end_it():
    tag = fresh()
    protect(tag, 4, access="02")
    for _ in range(2):
        assert tag.answer(b"\x1b\0\0\0\0") == NAK
        tag.select()
    assert tag.answer(b"\x1b\x11\x22\x33\x44") == NAK_LIMIT


def test_locked_configuration_is_final():
    tag = fresh()
    protect(tag, 4, access="40")
    assert tag.answer(b"\x1b\x11\x22\x33\x44") == b"\x55\x66"
    assert write(tag, tag.kind.config, "040000ff") == NAK


def test_a_tag_that_leaves_says_nothing_more():
    tag = Ntag(UID, leaves_after=1)
    tag.select()
    assert tag.answer(b"\x60") is not None
    assert tag.answer(b"\x60") is None
