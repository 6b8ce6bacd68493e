"""The unmodified nfcpy on the simulated PN532: what it reads, and that nothing of it stays open."""

import gc
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nfc
import nfc.clf.acr122
import pytest

from gateway.reader.frontend import (
    Frontend,
    ReaderFailed,
    is_there,
    is_usb_reader,
    open_frontend,
)
from gateway.reader.tags import look, sense
from gateway.sim.desk_reader import DeskReader, open_desk_reader
from gateway.sim.ntag import NTAG213, NTAG215, NTAG216, Card, Ntag, Phone
from gateway.sim.pn532 import Chip, Slip
from tests.partners.patience import Patience, grant

UID = bytes.fromhex("04a1b2c3d4e580")


@pytest.fixture(autouse=True)
def patience(monkeypatch) -> Patience:
    return grant(monkeypatch)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[DeskReader]:
    with open_desk_reader(tmp_path / "nfc") as board:
        yield board


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def opened(board: DeskReader) -> Iterator[Frontend]:
    with open_frontend(str(board.port)) as reader:
        yield reader


def test_nothing_on_the_reader_is_nothing(board):
    with opened(board) as reader:
        assert sense(reader) is None
        assert reader.name == "PN532v1.6"


@pytest.mark.parametrize("kind", [NTAG213, NTAG215, NTAG216], ids=lambda kind: kind.name)
def test_a_tag_is_known_by_its_uid_and_kind(board, kind):
    board.put(Ntag(UID, kind))
    with opened(board) as reader:
        seen = look(reader, sense(reader))
    assert (seen.uid, seen.kind, seen.url) == ("04A1B2C3D4E580", kind.name, None)


def test_a_phone_in_card_mode_is_a_phone_and_nobody(board):
    board.put(Phone(os.urandom))
    with opened(board) as reader:
        first, second = look(reader, sense(reader)), look(reader, sense(reader))
    assert first.is_random
    assert first.uid[:2] == "08"
    assert first.uid != second.uid


def test_a_staff_card_that_cannot_be_read_still_has_its_uid(board):
    board.put(Card(bytes.fromhex("a1b2c3d4")))
    with opened(board) as reader:
        seen = look(reader, sense(reader))
    assert (seen.uid, seen.kind, seen.is_random) == ("A1B2C3D4", "classic", False)


def test_a_tag_that_leaves_while_it_is_read_still_has_its_uid(board):
    for after in range(1, 7):
        board.put(Ntag(UID, leaves_after=after))
        with opened(board) as reader:
            target = sense(reader)
            assert target is not None
            assert look(reader, target).uid == "04A1B2C3D4E580"


def test_the_chip_stays_slow_so_that_a_kill_does_no_harm(board):
    with opened(board):
        assert board.chip.baud == 115_200
        assert not any(command[0] == 0x10 for command in board.chip.asked)


def test_a_chip_that_another_program_left_fast_is_called_back(board, patience):
    patience.times = 10
    for baud in (921_600, 460_800, 230_400):
        board.chip.baud = baud
        with opened(board) as reader:
            assert sense(reader) is None
        assert board.chip.baud == 115_200


def test_the_chip_is_never_sent_to_sleep(board):
    board.chip.wakes = False
    for _ in range(3):
        with opened(board) as reader:
            assert sense(reader) is None
    assert not any(command[0] == 0x16 for command in board.chip.asked)


@pytest.mark.parametrize("slip", [slip for slip in Slip if slip is not Slip.CUT_9])
def test_a_spoiled_answer_is_one_failure_and_the_next_is_well(board, slip, patience):
    with opened(board) as reader:
        sense(reader)
        board.chip.slips.append(slip)
        patience.times = 1
        with pytest.raises(ReaderFailed, match="lost"):
            sense(reader)
        patience.times = 100
        assert sense(reader) is None


@pytest.mark.parametrize("slip", list(Slip))
def test_no_spoiled_answer_while_opening_leaves_anything_behind(board, slip, patience):
    before = open_files()
    for at in (0, 3):
        board.chip.slips.extend([None] * at + [slip] * 3)
        patience.times = 1
        with suppress(ReaderFailed), opened(board) as reader:  # a retry may have used them up
            sense(reader)
        board.chip.slips.clear()
        patience.times = 100
        with opened(board) as reader:
            assert sense(reader) is None
    assert open_files() <= before + 1  # the board's own thread may be waiting just now


def test_five_unplugs_leave_no_descriptor(board):
    gc.disable()
    try:
        before = open_files()
        for _ in range(5):
            with opened(board) as reader:
                sense(reader)
                board.unplug()
                with pytest.raises(ReaderFailed):
                    sense(reader)
            assert not is_there(str(board.port))
            board.plug()
            assert is_there(str(board.port))
        assert open_files() <= before + 1
    finally:
        gc.enable()


def test_what_is_not_plugged_in_is_absent(tmp_path):
    with pytest.raises(ReaderFailed) as failed, open_frontend(str(tmp_path / "none")):
        pass
    assert failed.value.why == "absent"
    with pytest.raises(ReaderFailed) as failed, open_frontend("usb:dead:beef"):
        pass
    assert failed.value.why == "absent"


def test_a_file_is_no_reader(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReaderFailed) as failed, open_frontend(str(tmp_path / "file")):
        pass
    assert failed.value.why == "absent"


def test_a_port_on_which_nothing_answers_is_mute(board, patience):
    patience.times = 1
    board.chip.is_silent = True
    with pytest.raises(ReaderFailed) as failed, opened(board):
        pass
    assert failed.value.why == "mute"


def test_a_second_program_is_told_that_it_is_in_use(board):
    with opened(board) as reader:
        with pytest.raises(ReaderFailed) as failed, opened(board):
            pass
        assert failed.value.why == "busy"
        assert sense(reader) is None


# --- ACR122U: the same chip behind USB, as far as it goes without one ------------------------


class Ccid:
    """The USB side of an ACR122U (ACS API 2.04): pseudo APDUs in CCID blocks."""

    TYPE = "USB"
    manufacturer_name = "ACS"
    product_name = "ACR122U PICC Interface"

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._reply = b""
        self.is_closed = False

    def write(self, frame: bytes) -> None:
        data = bytes(frame[10:])
        if frame[0] == 0x62:
            reply = b"\x3b\x00"
        elif data == bytes.fromhex("ff00480000"):
            reply = b"ACR122U214"
        elif data[:4] == b"\xff\x00\x00\x00":
            said = self._chip._do(data[6], data[7:])
            reply = bytes([0xD5, data[6] + 1]) + (said or b"") + b"\x90\x00"
        else:
            reply = b"\x90\x00"
        self._reply = b"\x80" + len(reply).to_bytes(4, "little") + bytes(5) + reply

    def read(self, timeout: int) -> bytearray:
        return bytearray(self._reply)

    def close(self) -> None:
        self.is_closed = True


def test_an_acr122u_reads_the_same_tags():
    ccid = Ccid(Chip(Ntag(UID, NTAG215)))
    driver = nfc.clf.acr122.init(ccid)
    clf = nfc.ContactlessFrontend()
    clf.device = driver
    reader = Frontend(clf, str(driver.chipset_name), "usb")
    seen = look(reader, sense(reader))
    assert (seen.uid, seen.kind) == ("04A1B2C3D4E580", "NTAG215")
    clf.close()
    assert ccid.is_closed


def test_an_acr122u_is_no_serial_adapter_and_a_ch340_is():
    assert is_usb_reader("usb:072f:2200")
    assert is_usb_reader("usb:072F:2200:123")
    assert not is_usb_reader("usb:1a86:7523")
    assert not is_there("usb:072f:2200")


# --- nfcpy's own device over UDP, a partner that we did not write ----------------------------


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class UdpTag(threading.Thread):
    """A Type 2 tag as nfcpy's UDP device plays one: it listens and answers READ."""

    def __init__(self, port: int, memory: bytes) -> None:
        super().__init__(daemon=True)
        self._path = f"udp:127.0.0.1:{port}"
        self._memory = memory
        self.is_listening = threading.Event()
        self.ending = threading.Event()

    def run(self) -> None:
        with nfc.ContactlessFrontend(self._path) as clf:
            target = nfc.clf.LocalTarget(
                "106A",
                sens_res=bytearray.fromhex("4400"),
                sel_res=bytearray.fromhex("00"),
                sdd_res=bytearray.fromhex("08010203"),
            )
            self.is_listening.set()
            while not self.ending.is_set():
                found = clf.listen(target, 0.2)
                command = found.tt2_cmd if found is not None else None
                while command:
                    command = self._turn(clf, command)

    def _turn(self, clf, command):
        page = command[1] if command[0] == 0x30 else None
        data = (self._memory * 2)[4 * page : 4 * page + 16] if page is not None else b"\x00"
        try:
            return clf.exchange(bytearray(data), 1)
        except nfc.clf.CommunicationError:
            return None


def test_nfcpys_own_udp_device_is_read_the_same_way():
    uri = bytes.fromhex("d1011b5504") + b"elm.example/t/abcdefgh1234"
    ndef = b"\x03" + bytes([len(uri)]) + uri + b"\xfe"
    memory = bytes.fromhex("080102030000000000000000e1101200") + ndef
    tag = UdpTag(free_udp_port(), memory.ljust(64, b"\0"))
    tag.start()
    assert tag.is_listening.wait(30)
    try:
        # Answers by UDP carry no number: one that nfcpy asked for twice, because we were too
        # slow, is taken for the next one's. A new socket has none of them.
        for _ in range(30):
            with open_frontend(tag._path) as reader:
                target = sense(reader)  # a second while nobody answers
                tt2 = nfc.tag.activate(reader.clf, target) if target is not None else None
                if tt2 is not None and tt2.ndef is not None and tt2.ndef.octets == uri:
                    break
        assert bytes(tt2.identifier) == bytes.fromhex("08010203")
        assert tt2.ndef.records[0].iri == "https://elm.example/t/abcdefgh1234"
    finally:
        tag.ending.set()
        tag.join(30)
