"""The simulated chip against the frames of its manual (NXP UM0701-02)."""

from gateway.sim.ntag import NTAG213, Ntag
from gateway.sim.pn532 import ACK, NACK, SYNTAX_ERROR, Chip, Slip, crc_a, framed

FIRMWARE_ASKED = bytes.fromhex("0000ff02fed4022a00")  # 7.2.2
FIRMWARE_SAID = bytes.fromhex("0000ff06fad50332010607e800")
UID = bytes.fromhex("04a1b2c3d4e580")


def command(*data: int) -> bytes:
    return framed(bytes([0xD4, *data]))


def test_the_firmware_version_is_acknowledged_and_answered() -> None:
    assert Chip().hear(FIRMWARE_ASKED) == ACK + FIRMWARE_SAID


def test_a_command_may_come_in_pieces_and_behind_wake_up_bytes() -> None:
    chip = Chip()
    said = [chip.hear(bytes([byte])) for byte in b"\x55\x55\x00\x00" + FIRMWARE_ASKED]
    assert b"".join(said) == ACK + FIRMWARE_SAID


def test_a_damaged_command_is_not_even_acknowledged() -> None:
    chip = Chip()
    assert chip.hear(FIRMWARE_ASKED[:-2] + b"\x2b\x00") == b""
    assert chip.hear(bytes.fromhex("0000ff02ffd4022a00")) == b""
    assert chip.hear(FIRMWARE_ASKED) == ACK + FIRMWARE_SAID


def test_a_nack_has_the_answer_sent_again() -> None:
    chip = Chip()
    chip.hear(FIRMWARE_ASKED)
    assert chip.hear(NACK) == FIRMWARE_SAID


def test_an_unknown_command_is_a_syntax_error() -> None:
    assert Chip().hear(command(0x99)) == ACK + SYNTAX_ERROR


def test_a_long_answer_comes_in_an_extended_frame() -> None:
    data = bytes(range(256))
    said = Chip().hear(framed(b"\xd4\x00\x00" + data))
    assert said == ACK + framed(b"\xd5\x01\x00" + data)
    assert said[len(ACK) :][:5] == b"\x00\x00\xff\xff\xff"


def test_sam_configuration_is_answered_as_in_the_manual() -> None:
    asked = bytes.fromhex("0000ff05fbd4140100001700")
    assert Chip().hear(asked) == ACK + bytes.fromhex("0000ff02fed5151600")


def test_a_new_speed_counts_from_the_host_s_ack_on() -> None:
    chip = Chip()
    chip.hear(command(0x10, 7))
    assert (chip.baud, chip.next_baud) == (115200, 921600)
    chip.hear(ACK)
    assert (chip.baud, chip.next_baud) == (921600, None)


def test_a_chip_without_a_tag_lists_none() -> None:
    chip = Chip()
    assert chip.hear(command(0x4A, 1, 0)) == ACK + framed(b"\xd5\x4b\x00")
    assert chip.hear(command(0x06, 0x63, 0x39)) == ACK + framed(b"\xd5\x07\x26")


def test_a_tag_is_listed_with_its_uid_and_read_by_data_exchange() -> None:
    chip = Chip(Ntag(UID))
    listed = b"\xd5\x4b\x01\x01\x00\x44\x00\x07" + UID
    assert chip.hear(command(0x4A, 1, 0)) == ACK + framed(listed)
    said = chip.hear(command(0x40, 1, 0x30, 0))[len(ACK) :]
    assert said[5:8] == b"\xd5\x41\x00"
    assert said[8:24][:3] + said[12:16] == UID


def test_data_exchange_says_what_the_tag_refused() -> None:
    chip = Chip(Ntag(UID))
    chip.hear(command(0x4A, 1, 0))
    assert chip.hear(command(0x40, 1, 0xA2, 4, 1, 2, 3, 4)) == ACK + framed(b"\xd5\x41\x00")
    assert chip.hear(command(0x40, 1, 0xA2, 0, 1, 2, 3, 4)) == ACK + framed(b"\xd5\x41\x14")
    assert chip.hear(command(0x40, 1, 0x30, 4)) == ACK + framed(b"\xd5\x41\x01")  # it went mute


def test_raw_answers_carry_their_crc_only_while_the_chip_does_not_check_it() -> None:
    chip = Chip(Ntag(UID))
    chip.hear(command(0x4A, 1, 0))
    version = bytes.fromhex("0004040201000f03")
    assert chip.hear(command(0x42, 0x60)) == ACK + framed(b"\xd5\x43\x00" + version)
    chip.hear(command(0x08, 0x63, 0x03, 0x00))
    raw = b"\xd5\x43\x00" + version + crc_a(version)
    assert chip.hear(command(0x42, 0x60)) == ACK + framed(raw)


def test_crc_a_is_that_of_the_standard() -> None:
    assert crc_a(bytes.fromhex("0000")) == bytes.fromhex("a01e")  # ISO/IEC 14443-3, annex B
    assert crc_a(bytes.fromhex("1234")) == bytes.fromhex("26cf")


def test_a_tag_taken_away_is_a_time_out() -> None:
    chip = Chip(Ntag(UID))
    chip.hear(command(0x4A, 1, 0))
    chip.tag = None
    assert chip.hear(command(0x42, 0x60)) == ACK + framed(b"\xd5\x43\x01")


def test_only_the_tag_that_is_asked_for_answers() -> None:
    chip = Chip(Ntag(UID, NTAG213))
    other = bytes.fromhex("8804ffffffffffff")
    assert chip.hear(command(0x4A, 1, 0, *other)) == ACK + framed(b"\xd5\x4b\x00")
    assert UID in chip.hear(command(0x4A, 1, 0, 0x88, *UID))


def test_what_sleeps_and_does_not_wake_is_silent_until_it_loses_power() -> None:
    chip = Chip(wakes=False)
    chip.hear(command(0x16, 0xF0, 0))
    assert chip.hear(FIRMWARE_ASKED) == b""
    chip.power_off()
    assert chip.hear(FIRMWARE_ASKED) == ACK + FIRMWARE_SAID


def test_each_slip_spoils_one_answer() -> None:
    whole = ACK + FIRMWARE_SAID
    heard = {}
    for slip in Slip:
        chip = Chip()
        chip.slips.append(slip)
        heard[slip] = chip.hear(FIRMWARE_ASKED)
        assert chip.hear(FIRMWARE_ASKED) == whole
    assert heard[Slip.NO_ACK] == b""
    assert heard[Slip.NO_ANSWER] == ACK
    assert heard[Slip.NACKED] == NACK
    assert heard[Slip.CUT_3] == whole[:9]
    assert heard[Slip.CUT_9] == whole[:15]
    assert sum(heard[Slip.BAD_CHECKSUM][11:-1]) % 256
    assert sum(heard[Slip.BAD_LENGTH][9:11]) % 256
