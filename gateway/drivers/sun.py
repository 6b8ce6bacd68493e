"""Links that an NTAG 424 DNA signs at every read (Secure Unique NFC): pure functions.

Proves that this tag was read with this count; never when, and never by whom. The count must then
rise, which whoever keeps the last one judges.

Source: NXP AN12196 (NTAG 424 DNA and NTAG 424 DNA TagTamper features and hints), 3.3 and 3.4, AES
mode; keys of each tag by NXP AN10922 2.2 (AES-128 key diversification).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.domain.links import LinkUnsound, SignedRead

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

KEY_BYTES = 16
UID_BYTES = 7
COUNTER_BYTES = 3
MIRRORS_BOTH = 0xC7  # PICCDataTag: UID mirrored, counter mirrored, a UID of 7 bytes
ENC_SESSION = bytes.fromhex("C33C00010080")  # SV1
MAC_SESSION = bytes.fromhex("3CC300010080")  # SV2
OWNER = b"care-gateway"  # the system identifier of AN10922

PICC_NAMES = ("picc_data", "picc", "e")
MAC_NAMES = ("cmac", "mac", "c")
FILE_NAMES = ("enc",)
UID_NAMES = ("uid",)
COUNTER_NAMES = ("ctr",)
AES_PICC, LRP_PICC, MAC_DIGITS = 32, 48, 16  # hex digits
LONGEST_FILE = 512

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class SunKeys:
    """`file` is the tags' own key, or, with `is_per_tag`, what each tag's own is derived from."""

    meta: bytes
    file: bytes
    is_per_tag: bool = False

    def file_of(self, uid: bytes) -> bytes:
        return diversified(self.file, uid + OWNER) if self.is_per_tag else self.file


def verify(query: str, keys: SunKeys) -> SignedRead | None:
    """Return what a tag signed in the query of its link; None where nothing claims to be signed.

    `query` is as it came, still percent-encoded: what is signed is its text. Raises LinkUnsound.
    """
    if not query.isascii():
        raise LinkUnsound("sun_damaged")
    given = _given(query)
    mac_at = _first(given, MAC_NAMES)
    picc_at, uid_at = _first(given, PICC_NAMES), _first(given, UID_NAMES)
    if mac_at is None:
        if picc_at is not None:
            raise LinkUnsound("sun_damaged")
        return None
    mac = _bytes(given[mac_at][1], MAC_DIGITS)
    if picc_at is not None:
        uid, counter = _opened(given[picc_at][1], keys.meta)
    elif uid_at is not None and (counter_at := _first(given, COUNTER_NAMES)) is not None:
        uid = _bytes(given[uid_at][1], 2 * UID_BYTES)
        # The mirror in plain text counts big-endian; what is signed counts little-endian.
        counter = _bytes(given[counter_at][1], 2 * COUNTER_BYTES)[::-1]
    else:
        raise LinkUnsound("sun_damaged")
    key = keys.file_of(uid)
    file_at = _first(given, FILE_NAMES)
    signed = b""
    if file_at is not None:  # what is signed begins with the file data and ends before the MAC
        signed = query[given[file_at][0] : given[mac_at][0]].encode()
    if not compare_digest(mac_of(key, uid, counter, signed), mac):
        raise LinkUnsound("sun_forged")
    file = b"" if file_at is None else _file_data(given[file_at][1], key, uid, counter)
    return SignedRead(uid.hex().upper(), int.from_bytes(counter, "little"), file)


def mac_of(key: bytes, uid: bytes, counter: bytes, signed: bytes = b"") -> bytes:
    """Return SDMMAC, 8 bytes; `counter` as in the chip, little-endian. AN12196 3.4.4.2."""
    session = cmac(key, _padded(MAC_SESSION + uid + counter))
    return cmac(session, signed)[1::2]


def diversified(master: bytes, what: bytes) -> bytes:
    """Return the AES-128 key of `what`, of 16 to 31 bytes. AN10922 2.2.1."""
    if not 16 <= len(what) <= 31:
        raise ValueError("shorter input is padded to two blocks there, which plain CMAC is not")
    return cmac(master, b"\x01" + what)


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC, 16 bytes. NIST SP 800-38B."""
    from cryptography.hazmat.primitives.cmac import CMAC  # noqa: PLC0415 - see `_aes`

    made = CMAC(_aes(key))
    made.update(message)
    return made.finalize()


def read_keys(meta: Path, file: Path, *, is_per_tag: bool) -> SunKeys:
    """Read both keys, each 32 hex digits. Raises OSError, and ValueError naming the file."""
    return SunKeys(_key(meta), _key(file), is_per_tag)


def _key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError as error:
        raise ValueError(f"{path}: not the 32 hex digits of an AES-128 key") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path}: {len(key)} bytes; an AES-128 key has {KEY_BYTES}")
    return key


def _given(query: str) -> dict[str, tuple[int, str]]:
    """Every name of the query with where its value begins, and the value; the first one counts."""
    found: dict[str, tuple[int, str]] = {}
    at = 0
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if equals:
            found.setdefault(name, (at + len(name) + 1, value))
        at += len(part) + 1
    return found


def _first(given: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in given), None)


def _bytes(digits: str, length: int) -> bytes:
    if len(digits) != length or not _HEX.fullmatch(digits):
        raise LinkUnsound("sun_damaged")
    return bytes.fromhex(digits)


def _opened(digits: str, meta: bytes) -> tuple[bytes, bytes]:
    """Return UID and counter of encrypted PICC data. AN12196 3.4.2."""
    if len(digits) == LRP_PICC:
        raise LinkUnsound("sun_lrp")
    plain = _decrypted(meta, bytes(KEY_BYTES), _bytes(digits, AES_PICC))
    if plain[0] != MIRRORS_BOTH:
        # Another house's key gives noise; a tag without counter gives another first byte.
        raise LinkUnsound("sun_mirror" if plain[0] in (0x47, 0x87) else "sun_forged")
    return plain[1 : 1 + UID_BYTES], plain[1 + UID_BYTES : 1 + UID_BYTES + COUNTER_BYTES]


def _file_data(digits: str, key: bytes, uid: bytes, counter: bytes) -> bytes:
    """Return SDMENCFileData in the clear. AN12196 3.4.5."""
    if len(digits) > LONGEST_FILE or len(digits) % (2 * KEY_BYTES):
        raise LinkUnsound("sun_damaged")
    session = cmac(key, _padded(ENC_SESSION + uid + counter))
    start = _encrypted_block(session, _padded(counter))
    return _decrypted(session, start, _bytes(digits, len(digits)))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % KEY_BYTES)


def _decrypted(key: bytes, start: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, modes  # noqa: PLC0415 - see `_aes`

    decryptor = Cipher(_aes(key), modes.CBC(start)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def _encrypted_block(key: bytes, block: bytes) -> bytes:
    """One AES block; CBC with zeros before it is that."""
    from cryptography.hazmat.primitives.ciphers import Cipher, modes  # noqa: PLC0415 - see `_aes`

    encryptor = Cipher(_aes(key), modes.CBC(bytes(KEY_BYTES))).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def _aes(key: bytes) -> "AES":
    """Loaded where it is needed: 8 MB of memory that only houses with such tags shall pay."""
    from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: PLC0415

    return AES(key)
