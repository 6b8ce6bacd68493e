"""What lies on the reader: its UID, what kind it is, and the link and text written on it."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import ndef
import nfc.clf
import nfc.tag

from gateway.reader.frontend import Frontend, guarded

KINDS = {"NXP NTAG213": "NTAG213", "NXP NTAG215": "NTAG215", "NXP NTAG216": "NTAG216"}
RANDOM = "08"  # a UID of four bytes that begins so is made up anew each time (ISO/IEC 14443-3)
IS_CLASSIC = 0x08  # bit of SAK: MIFARE Classic
TOKEN = re.compile(r"/t/([A-Za-z0-9_-]{8,64})(?:[/?#]|$)")


@dataclass(frozen=True, slots=True)
class Seen:
    """A tag, card or phone. `uid`: upper-case hex.

    `kind` is NTAG213, NTAG215, NTAG216, type2, classic, type4, phone or other. `url` and `text`
    are None where they could not be read: no link on it, or taken away too early.
    """

    uid: str
    kind: str
    url: str | None = None
    text: str | None = None

    @property
    def is_random(self) -> bool:
        return self.kind == "phone"

    @property
    def token(self) -> str:
        return digest_of(self.url or "")


def digest_of(url: str) -> str:
    """Return the SHA-256 (hex) of the token in a link `.../t/TOKEN`; empty without one."""
    found = TOKEN.search(url)
    return hashlib.sha256(found[1].encode()).hexdigest() if found else ""


def sense(reader: Frontend) -> Any | None:
    """Return nfcpy's target that lies in the field, None when nothing does. ReaderFailed."""
    return guarded(lambda: reader.clf.sense(nfc.clf.RemoteTarget("106A")))


def uid_of(target: Any) -> str:
    return bytes(target.sdd_res or target.rid_res[2:6]).hex().upper()


def look(reader: Frontend, target: Any) -> Seen:
    """Read what is written on it, as far as it stays long enough. ReaderFailed."""
    uid, kind = uid_of(target), kind_of(target)
    if kind != "type2":
        return Seen(uid, kind)
    tag = activate(reader, target)
    if tag is None:  # gone already: its UID is known
        return Seen(uid, kind)
    kind = KINDS.get(str(tag.product), "type2")
    records = guarded(lambda: records_of(tag))
    return Seen(uid, kind, *content_of(records))


def kind_of(target: Any) -> str:
    """What the answer to its selection says, before anything was read of it."""
    if not target.sdd_res:
        return "other"
    sak = target.sel_res[0]
    if len(target.sdd_res) == 4 and uid_of(target).startswith(RANDOM):
        return "phone"
    if sak & 0x60:
        return "type4"
    return "classic" if sak & IS_CLASSIC else "type2"


def key_of(target: Any) -> str:
    """What stays the same while it lies there: a phone shows another UID each time it is asked."""
    kind = kind_of(target)
    return kind if kind == "phone" else uid_of(target)


def activate(reader: Frontend, target: Any) -> Any | None:
    """Return the tag object of nfcpy; None when it went away. ReaderFailed."""
    return guarded(lambda: nfc.tag.activate(reader.clf, target))


def records_of(tag: Any) -> list[Any]:
    """Its NDEF records; none when it has none, or is read too late, or holds nonsense."""
    content = tag.ndef
    if content is None:
        return []
    try:
        return list(ndef.message_decoder(content.octets, errors="relax"))
    except ndef.DecodeError:
        return []


def content_of(records: list[Any]) -> tuple[str | None, str | None]:
    """The first link and the first text."""
    url = next((record.iri for record in records if isinstance(record, ndef.UriRecord)), None)
    text = next((record.text for record in records if isinstance(record, ndef.TextRecord)), None)
    return url, text
