"""`tag` and `nfc` as a technician types them: a real board, a daemon that is a function."""

import json
import os
import socket as sockets
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import build
from gateway.cli.nfc import look
from gateway.cli.tag import Desk
from gateway.domain.text import Lang
from gateway.reader.tags import digest_of
from gateway.sim.desk_reader import DeskReader, open_desk_reader
from gateway.sim.ntag import NTAG213, Card, Ntag, Phone
from tests.partners.patience import Patience, grant

UID = bytes.fromhex("04a1b2c3d4e580")
URL = "http://192.168.1.5:8080"
TECHNICIAN = {"code": "T1", "is_valid": True, "rights": ["patrol", "tags"]}


class Daemon:
    """Answers on a socket as the daemon does, from what a test says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = None
        self.person = TECHNICIAN
        self.tags: list[dict] = []
        self.asked: list[dict] = []
        self.refusal: dict | None = None
        self._listener = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):  # closed already
            self._listener.shutdown(sockets.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, peer.makefile("rb") as lines:
                answer = self.answer(json.loads(lines.readline()))
                peer.sendall(json.dumps(answer).encode() + b"\n")

    def answer(self, message: dict) -> dict:
        self.asked.append(message)
        match message["verb"]:
            case "reader_status":
                return {"ok": True, "reader": self.reader}
            case "patrol_at":
                known = message["checkpoint"] == "2F-EPS"
                there = {"code": "2F-EPS", "name": "2F 配电间"} if known else None
                return {"ok": True, "checkpoint": there}
            case "patrol_person":
                return {"ok": True, "person": self.person}
            case "patrol_tags":
                return {"ok": True, "tags": self.tags}
            case "tag_register":
                if self.refusal is not None:
                    return self.refusal
                self.tags.append({**message, "name": "2F 配电间", "is_retired": False})
        return {"ok": True, "code": "done"}


@pytest.fixture
def daemon(short_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_path / "s")
    yield daemon
    daemon.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch) -> Patience:
    return grant(monkeypatch)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[DeskReader]:
    with open_desk_reader(tmp_path / "nfc") as board:
        yield board


@pytest.fixture
def run(daemon: Daemon, board: DeskReader, tmp_path: Path):
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)

    def run(*words: str, lang: str = "en", wait: str = "0"):
        has_reader = words[:2] != ("tag", "list")
        more = ["--device", str(board.port), "--lend", str(tmp_path / "none")] if has_reader else []
        more += ["--wait", wait] if has_reader and words[0] == "tag" else []
        more += ["--key", str(key)] if has_reader and words[0] == "tag" else []
        typed = [*words, *more, "--socket", str(daemon.path), "--lang", lang]
        return CliRunner().invoke(build(Lang(lang)), typed)

    return run


def write(run, *more: str, lang: str = "en"):
    return run("tag", "write", "2F-EPS", "--as", "T1", "--url", URL, *more, lang=lang)


def test_a_tag_is_written_registered_read_verified_and_listed(run, board, daemon):
    board.put(Ntag(UID))
    done = write(run, "--json")
    assert done.exit_code == 0, done.output
    written = json.loads(done.stdout)
    assert written["url"].startswith(f"{URL}/t/")
    assert written["text"] == "2F 配电间"
    assert written["is_guarded"] is True
    registered = daemon.asked[-1]
    assert registered == {
        "verb": "tag_register", "by": "T1", "uid": "04A1B2C3D4E580", "checkpoint": "2F-EPS",
        "kind": "ntag21x", "token": digest_of(written["url"]),
    }  # fmt: skip
    read = run("tag", "read", "--json")
    assert json.loads(read.stdout)["url"] == written["url"]
    assert json.loads(read.stdout)["is_ours"] is True
    assert run("tag", "verify", "2F-EPS").exit_code == 0
    listed = run("tag", "list")
    assert listed.stdout == "04A1B2C3D4E580\t2F-EPS\t2F 配电间\n"


def test_each_tag_gets_a_link_of_its_own(run, board):
    links = set()
    for number in range(3):
        board.put(Ntag(bytes([4, number]) + UID[2:]))
        links.add(json.loads(write(run, "--json").stdout)["url"])
    assert len(links) == 3


WRONG = {
    "no_tag": (None, "no tag on the reader", "没有标签"),
    "phone": (Phone(os.urandom), "phone", "手机"),
    "wrong_kind": (Card(bytes.fromhex("a1b2c3d4")), "classic", "NTAG213"),
    "unreadable": ("blank", "not formatted", "没有格式化"),
    "foreign": ("foreign", "somebody else", "别人的链接"),
    "guarded": ("guarded", "password", "口令"),
    "locked": ("locked", "locked for ever", "永久锁定"),
    "full": ("full", "too long", "太长"),
}


def wrong_tag(which: str, board: DeskReader, run, tmp_path: Path) -> Ntag:
    tag = Ntag(UID, NTAG213)
    if which == "blank":
        tag.memory[12:16] = bytes(4)
    elif which == "locked":
        tag.memory[10:12] = b"\xff\xff"
    elif which == "foreign":
        board.put(tag)
        run("tag", "write", "2F-EPS", "--as", "T1", "--url", "http://other.example")
        tag.memory[4 * tag.kind.config + 3] = 0xFF
    elif which == "guarded":
        tag.memory[4 * tag.kind.config + 3] = 4
        tag.memory[4 * tag.kind.config + 8 : 4 * tag.kind.config + 12] = b"else"
    return tag


@pytest.mark.parametrize("code", WRONG)
def test_each_bad_tag_is_one_clear_sentence_in_both_languages(run, board, daemon, tmp_path, code):
    which, en, zh = WRONG[code]
    board.put(wrong_tag(which, board, run, tmp_path) if isinstance(which, str) else which)
    daemon.asked.clear()
    text = ("--text", "长" * 60) if code == "full" else ()
    said = write(run, *text)
    assert (said.exit_code, said.stdout) == (1, "")
    assert en in said.stderr.splitlines()[-1]
    assert "Traceback" not in said.output
    assert zh in write(run, *text, lang="zh").stderr
    answer = json.loads(write(run, *text, "--json").stdout)
    assert (answer["ok"], answer["code"]) == (False, code)
    assert not [ask for ask in daemon.asked if ask["verb"] == "tag_register"]


def test_nothing_is_written_for_a_place_or_a_person_that_the_house_does_not_know(
    run, board, daemon
):
    tag = Ntag(UID)
    board.put(tag)
    before = bytes(tag.memory)
    said = run("tag", "write", "3F-ATTIC", "--as", "T1", "--url", URL)
    assert (said.exit_code, "3F-ATTIC" in said.stderr) == (2, True)
    daemon.person = {**TECHNICIAN, "rights": ["patrol"]}
    assert write(run).exit_code == 2
    daemon.person = None
    assert write(run).exit_code == 2
    assert run("tag", "write", "2F-EPS", "--as", "T1", "--url", "192.168.1.5").exit_code == 2
    assert bytes(tag.memory) == before


def test_a_tag_that_could_not_be_registered_says_so(run, board, daemon):
    board.put(Ntag(UID))
    daemon.refusal = {"ok": False, "code": "no_right", "say": {"en": "may not", "zh": "不能"}}
    said = write(run)
    assert said.exit_code == 1
    assert "not registered" in said.stderr
    assert "may not" in said.stderr


def test_verify_finds_a_tag_that_was_moved_rewritten_retired_or_never_registered(
    run, board, daemon
):
    board.put(Ntag(UID))
    assert "not registered" in run("tag", "verify").stderr
    write(run)
    assert "registered at 2F-EPS, not at 1F-GAS" in run("tag", "verify", "1F-GAS").stderr
    daemon.tags[0]["token"] = "0" * 64
    assert "rewritten" in run("tag", "verify").stderr
    daemon.tags[0]["is_retired"] = True
    assert "taken down" in run("tag", "verify").stderr


def test_a_tag_is_retired_and_emptied(run, board, daemon):
    board.put(Ntag(UID))
    write(run)
    done = run("tag", "retire", "--as", "T1", "--why", "moved", "--erase")
    assert done.exit_code == 0, done.output
    assert daemon.asked[-1] == {
        "verb": "tag_retire", "by": "T1", "uid": "04A1B2C3D4E580", "why": "moved"
    }  # fmt: skip
    assert json.loads(run("tag", "read", "--json").stdout)["url"] is None


def test_a_key_that_is_missing_says_how_to_make_one(run, board, tmp_path):
    (tmp_path / "key").unlink()
    board.put(Ntag(UID))
    assert "/dev/urandom" in write(run).stderr
    (tmp_path / "key").write_bytes(b"short")
    assert "16 bytes" in write(run).stderr
    assert write(run, "--no-password").exit_code == 0


def test_without_a_daemon_nothing_is_written(run, board, daemon):
    tag = Ntag(UID)
    board.put(tag)
    before = bytes(tag.memory)
    daemon.close()
    daemon.path.unlink()
    said = write(run)
    assert said.exit_code == 1
    assert "systemctl status" in said.stderr
    assert bytes(tag.memory) == before


def test_a_reader_that_is_not_there_says_what_to_do(run, board):
    board.unplug()
    said = run("tag", "read")
    assert said.exit_code == 1
    assert "not plugged in" in said.stderr
    board.plug()


def test_watch_prints_each_tag_once(run, board):
    board.put(Ntag(UID))
    said = run("nfc", "watch", "--for", "0.7", "--json")
    assert [json.loads(line)["uid"] for line in said.stdout.splitlines()] == ["04A1B2C3D4E580"]


# --- nfc doctor ------------------------------------------------------------------------------


def examined(daemon: Daemon, device: str | None, proc: Path) -> dict[str, tuple[bool, str]]:
    desk = Desk(daemon.path, proc / "none", device, 0, Lang.EN, as_json=False)
    findings = look(desk, proc)
    return {each.name: (each.is_well, each.do.en if each.do else "") for each in findings}


def test_the_doctor_finds_nothing_wrong_with_a_good_reader(run, board, daemon):
    daemon.reader = {"id": "desk", "device": str(board.port), "state": "ready", "name": "PN532"}
    said = run("nfc", "doctor")
    assert said.exit_code == 0, said.output
    assert "PN532v1.6" in said.stdout
    assert "→" not in said.stdout


def test_the_doctor_names_each_thing_that_is_wrong(board, daemon, tmp_path, patience):
    well = examined(daemon, str(board.port), tmp_path)
    assert all(is_well for is_well, _ in well.values())
    assert "site.yaml" in examined(daemon, None, tmp_path)["configured"][1]
    daemon.reader = {"id": "desk", "device": str(board.port), "state": "gone"}
    assert "systemctl" in examined(daemon, None, tmp_path)["process"][1]
    daemon.reader = {**daemon.reader, "state": "failed", "why": "denied"}
    assert "dialout" in examined(daemon, None, tmp_path)["process"][1]
    board.chip.is_silent, patience.times = True, 1
    assert "HSU" in examined(daemon, str(board.port), tmp_path)["chip"][1]
    board.unplug()
    assert "not plugged in" in examined(daemon, str(board.port), tmp_path)["device"][1]
    board.plug()
