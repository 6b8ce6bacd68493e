"""Write and check the tags of a house: NTAG213, 215 and 216 with a link, a text and a password.

Everything that can be wrong with a tag is one `TagRefused` with a code; nothing is written before
all that can be known beforehand was looked at. A tag taken away in the middle is written again.
"""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ndef
import nfc.tag
import nfc.tag.tt2_nxp

from gateway.reader.frontend import Frontend, ReaderFailed, guarded
from gateway.reader.tags import KINDS, activate, content_of, kind_of, records_of, sense, uid_of

FIRST_GUARDED = 4  # page: all that holds the link
FACTORY = b"\xff\xff\xff\xff\x00\x00"
CC, LOCKS = 3, 2
NDEF_MAGIC = 0xE1
LAST_USER = {"NTAG213": 39, "NTAG215": 129, "NTAG216": 225}  # pages; the next holds lock bits


class TagRefused(Exception):
    """The tag cannot be used.

    `code`: no_tag, phone, wrong_kind, unreadable, foreign, guarded, locked, full, left, differs.
    `detail` completes the sentence of `cli.tag_words`.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}".rstrip())
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Content:
    """What a tag of ours holds, or shall hold; `lang` is that of the text."""

    url: str
    text: str = ""
    lang: str = "zh"

    def records(self) -> list[Any]:
        text = [ndef.TextRecord(self.text, self.lang)] if self.text else []
        return [ndef.UriRecord(self.url), *text]


@dataclass(frozen=True, slots=True)
class Condition:
    """What was found on a tag. `room`: bytes for a message; `is_ours`: the password is ours.

    `url` and `text` are None where there are none. `is_formatted`: it can hold a link at all.
    """

    uid: str
    kind: str
    url: str | None
    text: str | None
    room: int
    is_formatted: bool
    is_guarded: bool
    is_locked: bool
    is_ours: bool | None  # None: there is no password, or no key to try


def password_of(key: bytes, uid: str) -> bytes:
    """Return the four bytes of the password and the two of its answer, for this tag alone."""
    return hmac.new(key, b"care-gateway tag " + bytes.fromhex(uid), hashlib.sha256).digest()[:6]


def inspect(reader: Frontend, key: bytes | None = None) -> Condition:
    """Return what lies on the reader. ReaderFailed, TagRefused."""
    return _condition(_found(reader), key)


def write(
    reader: Frontend,
    content: Content,
    *,
    key: bytes | None,
    may_overwrite: bool = False,
    is_final: bool = False,
) -> Condition:
    """Write a tag, guard it with the password of `key`, read it back; return what it holds now.

    `may_overwrite`: a link that is not of this house may be replaced. `is_final` sets the lock
    bits: a tag that nobody can ever write again. ReaderFailed, TagRefused.
    """
    tag = _found(reader)
    before = _condition(tag, key)
    _check_writable(before, content, may_overwrite=may_overwrite)
    with _as_left():
        if not before.is_formatted and not tag.format():
            raise TagRefused("unreadable")
        tag.ndef.records = content.records()
        if key is not None and not tag.protect(password_of(key, before.uid), False, FIRST_GUARDED):
            raise TagRefused("left")
        if is_final and not tag.protect(None):
            raise TagRefused("left")
    after = inspect(reader, None if is_final else key)
    if after.uid != before.uid:
        raise TagRefused("left")
    if (after.url, after.text or "") != (content.url, content.text):
        raise TagRefused("differs", after.url or "")
    return after


def erase(reader: Frontend, *, key: bytes | None) -> Condition:
    """Take link and password off a tag of ours, so that it can be used elsewhere."""
    tag = _found(reader)
    before = _condition(tag, key)
    if before.is_locked:
        raise TagRefused("locked")
    if before.is_guarded and not before.is_ours:
        raise TagRefused("guarded")
    with _as_left():
        if before.is_formatted and not tag.format():
            raise TagRefused("left")
        if before.is_guarded and not tag.protect(FACTORY, False, 0xFF):
            raise TagRefused("left")
    return inspect(reader, key)


def _found(reader: Frontend) -> Any:
    """The tag on the reader, as nfcpy's object, if it is one that we write."""
    target = sense(reader)
    if target is None:
        raise TagRefused("no_tag")
    kind = kind_of(target)
    if kind == "phone":
        raise TagRefused("phone")
    if kind != "type2":
        raise TagRefused("wrong_kind", kind)
    tag = activate(reader, target)
    if tag is None:
        raise TagRefused("left")
    if str(tag.product) not in KINDS:
        if _is_gone(tag):  # before it could say what it is
            raise TagRefused("left")
        raise TagRefused("wrong_kind", str(tag.product or "type2"))
    return tag


def _condition(tag: Any, key: bytes | None) -> Condition:
    uid, kind = uid_of(tag.target), KINDS[str(tag.product)]
    with _as_left():
        head, config = tag.read(0), tag.read(LAST_USER[kind] + 2)
        dynamic = tag.read(LAST_USER[kind] + 1)[:3]
        pages = LAST_USER[kind] + 6
        is_guarded = config[3] < pages
        is_locked = bool(head[10] >> 4 or head[11] or any(dynamic[:2]) or head[15] & 0x0F == 0x0F)
        is_formatted = head[12] == NDEF_MAGIC
        is_ours = _opens(tag, uid, key) if is_guarded and key is not None else None
    content = guarded(lambda: tag.ndef) if is_formatted else None
    if content is None and _is_gone(tag):
        raise TagRefused("left")
    url, text = content_of(guarded(lambda: records_of(tag)))
    room = content.capacity if content is not None else 0
    return Condition(
        uid, kind, url, text, room, content is not None, is_guarded, is_locked, is_ours
    )


def _opens(tag: Any, uid: str, key: bytes) -> bool:
    """Open it with the password of ours; where guarding was cut off, with what it has of it."""
    ours = password_of(key, uid)
    for password in (ours, FACTORY, ours[:4] + FACTORY[4:]):
        if tag.authenticate(password):
            return True
        target = tag.clf.sense(tag.target)  # a refused password sends the tag to sleep
        if target is None:
            raise TagRefused("left")
    return False


def _check_writable(tag: Condition, content: Content, *, may_overwrite: bool) -> None:
    if tag.is_locked:
        raise TagRefused("locked")
    if tag.is_guarded and not tag.is_ours:
        raise TagRefused("guarded")
    if not tag.is_formatted and tag.room == 0 and not may_overwrite:
        raise TagRefused("unreadable")
    host = content.url.split("/t/")[0]
    if tag.url and not tag.url.startswith(f"{host}/t/") and not may_overwrite:
        raise TagRefused("foreign", tag.url)
    needed = len(b"".join(ndef.message_encoder(content.records())))
    if tag.is_formatted and needed > tag.room:
        raise TagRefused("full", f"{needed} > {tag.room}")


def _is_gone(tag: Any) -> bool:
    return not guarded(lambda: tag.is_present)


@contextmanager
def _as_left() -> Iterator[None]:
    """A tag that does not answer has been taken away; what fails otherwise is the reader."""
    try:
        yield
    except (TagRefused, ReaderFailed):
        raise
    except nfc.tag.TagCommandError as error:
        raise TagRefused("left", str(error)) from error
    except Exception as error:
        raise ReaderFailed("lost", f"{type(error).__name__}: {error}") from error
