"""The reader's process from inside: the real loop on the simulated board, the daemon a function."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.drivers.clock import mono
from gateway.drivers.sockets import NoAnswer
from gateway.reader.frontend import ReaderFailed, open_frontend
from gateway.reader.lending import borrow, open_lender
from gateway.reader.reports import Condition, Reports
from gateway.reader.tags import Seen, digest_of
from gateway.reader.worker import work
from gateway.sim.desk_reader import DeskReader, open_desk_reader
from gateway.sim.ntag import Ntag, Phone
from gateway.sim.pn532 import Slip

UID = bytes.fromhex("04a1b2c3d4e580")
OTHER = bytes.fromhex("04ffeeddccbb80")
WITHIN_S = 60.0


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


class Daemon:
    """What the daemon hears, and the device that it names."""

    def __init__(self, device: str | None) -> None:
        self.device = device
        self.taps: list[Mapping[str, Any]] = []
        self.beats: list[Mapping[str, Any]] = []
        self.is_away = False

    def ask(self, message: Mapping[str, object]) -> Mapping[str, Any]:
        if self.is_away:
            raise NoAnswer("away")
        (self.taps if message["verb"] == "tap" else self.beats).append(message)
        return {"ok": True, "device": self.device}

    def states(self) -> list[str]:
        return [beat["state"] for beat in self.beats]


@contextmanager
def working(daemon: Daemon, lender: socket.socket | None = None) -> Iterator[None]:
    ending = threading.Event()
    reports = Reports(daemon.ask, mono, lambda: None, beat_ms=100)
    thread = threading.Thread(
        target=work,
        args=(reports,),
        kwargs={"wait": lambda s: not ending.wait(min(s, 0.1)), "lender": lender, "mono": mono},
        daemon=True,
    )
    thread.start()
    try:
        yield
        assert thread.is_alive()
    finally:
        ending.set()
        thread.join(WITHIN_S)
    assert not thread.is_alive()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[DeskReader]:
    with open_desk_reader(tmp_path / "nfc") as board:
        yield board


@pytest.fixture
def daemon(board: DeskReader) -> Daemon:
    return Daemon(str(board.port))


def test_a_tap_is_told_with_its_moment_and_only_once(board, daemon):
    before = mono()
    with working(daemon):
        board.put(Ntag(UID))
        until(lambda: daemon.taps)
        beats = len(daemon.beats)
        until(lambda: len(daemon.beats) > beats)
    assert [tap["uid"] for tap in daemon.taps] == ["04A1B2C3D4E580"]
    assert before <= daemon.taps[0]["tapped_ms"] <= mono()
    assert daemon.taps[0]["kind"] == "NTAG213"


def test_two_cards_one_after_the_other_are_two_taps(board, daemon):
    with working(daemon):
        board.put(Ntag(UID))
        until(lambda: daemon.taps)
        board.put(Ntag(OTHER))
        until(lambda: len(daemon.taps) == 2)
    assert daemon.taps[1]["uid"] == "04FFEEDDCCBB80"


def test_a_phone_is_one_tap_though_its_uid_changes(board, daemon):
    numbers = iter(range(2**24))
    phone = Phone(lambda count: next(numbers).to_bytes(count, "big"))
    with working(daemon):
        board.put(phone)
        until(lambda: next(numbers) > 20)  # it was asked at least that often
    assert len(daemon.taps) == 1
    assert daemon.taps[0]["is_random"] is True


def test_without_a_device_nothing_is_opened(board, daemon):
    daemon.device = None
    with working(daemon):
        until(lambda: len(daemon.beats) >= 2)
    assert set(daemon.states()) == {"idle"}
    assert board.chip.asked == []


def test_an_unplugged_reader_is_told_and_is_back_when_it_is_plugged_in(board, daemon):
    with working(daemon):
        until(lambda: "ready" in daemon.states())
        for _ in range(5):
            board.unplug()
            until(lambda: daemon.states()[-1] == "failed")
            until(lambda: daemon.beats[-1]["why"] == "absent")
            board.plug()
            until(lambda: daemon.states()[-1] == "ready")
    assert [beat["failures"] for beat in daemon.beats if beat["state"] == "ready"][-1] == 0


def test_failures_in_a_row_are_counted(board, daemon):
    board.chip.is_silent = True
    with working(daemon):
        until(lambda: daemon.beats[-1].get("failures", 0) >= 3)
        assert daemon.beats[-1]["why"] == "mute"
        board.chip.is_silent = False
        until(lambda: daemon.states()[-1] == "ready")


def test_spoiled_answers_lose_no_tap(board, daemon):
    with working(daemon):
        until(lambda: "ready" in daemon.states())
        for turn, slip in enumerate(Slip, start=1):
            board.chip.slips.extend([None, None, slip])
            board.put(Ntag(bytes([4, turn]) + UID[2:]))
            until(lambda turn=turn: len({tap["uid"] for tap in daemon.taps}) == turn)
            board.chip.slips.clear()
    assert len(daemon.taps) == len(Slip)


def test_a_tap_waits_for_a_daemon_that_is_away(board, daemon):
    with working(daemon):
        until(lambda: "ready" in daemon.states())
        daemon.is_away = True
        asked = len(board.chip.asked)
        board.put(Ntag(UID))
        until(lambda: len(board.chip.asked) > asked + 60)
        board.put(None)
        daemon.is_away = False
        until(lambda: daemon.taps)
    assert len(daemon.taps) == 1


def test_a_tap_that_nobody_took_for_a_minute_is_let_go():
    clock = [0]
    daemon = Daemon("x")
    reports = Reports(daemon.ask, lambda: clock[0], lambda: None)
    daemon.is_away = True
    reports.tap(Seen("04A1", "NTAG213"), 0)
    clock[0], daemon.is_away = 60_000, False
    reports.beat(Condition("idle"))
    assert daemon.taps == []


def test_another_device_in_the_site_file_is_opened_in_its_place(board, daemon, tmp_path):
    with open_desk_reader(tmp_path / "second") as second, working(daemon):
        until(lambda: "ready" in daemon.states())
        daemon.device = str(second.port)
        until(lambda: any("second" in beat["name"] for beat in daemon.beats))


def test_the_reader_is_lent_and_taken_back(board, daemon, short_path):
    path = short_path / "lend"
    with open_lender(path) as lender, working(daemon, lender):
        until(lambda: "ready" in daemon.states())
        with borrow(path) as device:
            assert device == str(board.port)
            with open_frontend(device) as reader:
                assert reader.name == "PN532v1.6"
            until(lambda: daemon.states()[-1] == "lent")
        until(lambda: daemon.states()[-1] == "ready")


def test_the_reader_is_not_free_before_it_is_lent(board, daemon):
    with working(daemon):
        until(lambda: "ready" in daemon.states())
        with pytest.raises(ReaderFailed, match="busy"), open_frontend(str(board.port)):
            pass


def test_where_no_process_lends_there_is_nothing_to_borrow(short_path):
    with borrow(short_path / "none") as device:
        assert device is None


def test_only_the_digest_of_a_token_leaves_the_process():
    url = "http://192.168.1.5/t/abcdefgh1234"
    assert Seen("04A1", "NTAG213", url).token == digest_of(url)
    assert len(digest_of(url)) == 64
    assert "abcdefgh1234" not in digest_of(url)
    assert digest_of("https://elm.example/t/abcdefgh1234?e=00") == digest_of(url)
    assert digest_of("https://elm.example/other") == ""
