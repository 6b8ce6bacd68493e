"""Tags written, read and refused: the unmodified nfcpy on the simulated PN532 and its tags."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.reader.frontend import Frontend, open_frontend
from gateway.reader.tags import digest_of, look, sense
from gateway.reader.writing import (
    Content,
    TagRefused,
    erase,
    inspect,
    password_of,
    write,
)
from gateway.sim.desk_reader import DeskReader, open_desk_reader
from gateway.sim.ntag import NTAG213, NTAG215, NTAG216, Card, Ntag, Phone
from tests.partners.patience import Patience, grant

UID = bytes.fromhex("04a1b2c3d4e580")
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
URL = "http://192.168.1.5:8080/t/abcdefgh12345678"
CONTENT = Content(URL, "2F 配电间")


@pytest.fixture(autouse=True)
def patience(monkeypatch) -> Patience:
    return grant(monkeypatch)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[DeskReader]:
    with open_desk_reader(tmp_path / "nfc") as board:
        yield board


@pytest.fixture
def reader(board: DeskReader) -> Iterator[Frontend]:
    with open_frontend(str(board.port)) as reader:
        yield reader


def refused(do) -> str:
    with pytest.raises(TagRefused) as refusal:
        do()
    return refusal.value.code


@pytest.mark.parametrize("kind", [NTAG213, NTAG215, NTAG216], ids=lambda kind: kind.name)
def test_link_text_and_password_are_written_and_read_back(board, reader, kind):
    tag = Ntag(UID, kind)
    board.put(tag)
    after = write(reader, CONTENT, key=KEY)
    assert (after.uid, after.kind) == ("04A1B2C3D4E580", kind.name)
    assert (after.url, after.text) == (URL, "2F 配电间")
    assert (after.is_guarded, after.is_ours, after.is_locked) == (True, True, False)
    password = tag.page(kind.config + 2) + tag.page(kind.config + 3)[:2]
    assert password == password_of(KEY, "04A1B2C3D4E580")
    seen = look(reader, sense(reader))
    assert (seen.url, seen.text, seen.token) == (URL, "2F 配电间", digest_of(URL))


def test_a_guarded_tag_takes_nothing_from_a_stranger(board, reader):
    tag = Ntag(UID)
    board.put(tag)
    write(reader, CONTENT, key=KEY)
    before = bytes(tag.memory)
    assert refused(lambda: write(reader, CONTENT, key=OTHER_KEY)) == "guarded"
    assert refused(lambda: write(reader, CONTENT, key=None)) == "guarded"
    assert bytes(tag.memory) == before


def test_a_tag_of_ours_is_written_again(board, reader):
    board.put(Ntag(UID))
    write(reader, CONTENT, key=KEY)
    other = Content(URL[:-4] + "zzzz", "1F 厨房")
    assert write(reader, other, key=KEY).text == "1F 厨房"


def test_each_tag_has_a_password_of_its_own(board):
    assert password_of(KEY, "04A1") != password_of(KEY, "04A2")
    assert len(password_of(KEY, "04A1")) == 6


def test_a_link_of_somebody_else_is_left_alone_unless_told(board, reader):
    board.put(Ntag(UID))
    write(reader, Content("https://elsewhere.example/menu"), key=None, may_overwrite=True)
    assert refused(lambda: write(reader, CONTENT, key=KEY)) == "foreign"
    assert inspect(reader).url == "https://elsewhere.example/menu"
    assert write(reader, CONTENT, key=KEY, may_overwrite=True).url == URL


def test_a_locked_tag_is_refused_and_stays_readable(board, reader):
    board.put(Ntag(UID))
    assert write(reader, CONTENT, key=None, is_final=True).is_locked
    assert refused(lambda: write(reader, CONTENT, key=None)) == "locked"
    assert refused(lambda: erase(reader, key=None)) == "locked"
    assert inspect(reader).url == URL


def test_a_text_that_does_not_fit_is_refused_before_anything_is_written(board, reader):
    tag = Ntag(UID)
    board.put(tag)
    before = bytes(tag.memory)
    assert refused(lambda: write(reader, Content(URL, "长" * 50), key=KEY)) == "full"
    assert bytes(tag.memory) == before
    board.put(Ntag(UID, NTAG215))
    assert write(reader, Content(URL, "长" * 50), key=KEY).text == "长" * 50


def test_a_tag_without_its_container_is_unreadable(board, reader):
    tag = Ntag(UID)
    tag.memory[12:16] = bytes(4)
    board.put(tag)
    assert not inspect(reader).is_formatted
    assert refused(lambda: write(reader, CONTENT, key=KEY)) == "unreadable"


def test_nonsense_on_a_tag_reads_as_nothing(board, reader):
    tag = Ntag(UID)
    tag.memory[16:64] = bytes([0x03, 0x20]) + bytes(range(200, 246))
    board.put(tag)
    assert inspect(reader).url is None
    assert look(reader, sense(reader)).url is None


def test_nothing_phones_and_other_cards_are_named(board, reader):
    assert refused(lambda: inspect(reader)) == "no_tag"
    board.put(Phone(bytes))
    assert refused(lambda: inspect(reader)) == "phone"
    board.put(Card(bytes.fromhex("a1b2c3d4")))
    assert refused(lambda: inspect(reader)) == "wrong_kind"


def test_a_tag_taken_away_at_any_moment_is_written_at_the_second_try(board, reader):
    whole = Ntag(UID)
    board.put(whole)
    write(reader, CONTENT, key=KEY)
    steps = len(whole.commands)
    assert steps > 20
    for after in range(0, steps, 2):
        tag = Ntag(UID, leaves_after=after)
        board.put(tag)
        assert refused(lambda: write(reader, CONTENT, key=KEY)) in ("left", "no_tag")
        tag.leaves_after = None
        again = write(reader, CONTENT, key=KEY, may_overwrite=True)
        assert (again.url, again.text, again.is_ours) == (URL, "2F 配电间", True), after


def test_a_retired_tag_is_empty_and_free(board, reader):
    board.put(Ntag(UID))
    write(reader, CONTENT, key=KEY)
    assert refused(lambda: erase(reader, key=OTHER_KEY)) == "guarded"
    after = erase(reader, key=KEY)
    assert (after.url, after.is_guarded) == (None, False)
    assert write(reader, CONTENT, key=OTHER_KEY).is_ours
