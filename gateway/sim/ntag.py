"""NTAG213, 215 and 216 as their data sheet describes them, and other cards that people put down.

Source: NXP NTAG213/215/216 data sheet rev. 3.2: memory 8.5, commands 9 and 10. A command that the
tag does not know, and every NAK, sends it back to where it has to be selected anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

ACK = b"\x0a"
NAK = b"\x00"
NAK_LIMIT = b"\x04"  # too many wrong passwords
CC, LOCKS, USER = 3, 2, 4  # pages


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three: its last user page, size byte, version byte, and lock granularity."""

    name: str
    last_user: int
    size: int  # of the capability container: user bytes / 8
    version: int
    pages_a_bit: int  # of the dynamic lock bytes
    factory: bytes  # what pages 4 and 5 hold when they leave the factory

    @property
    def dynamic(self) -> int:
        return self.last_user + 1

    @property
    def config(self) -> int:
        return self.last_user + 2

    @property
    def pages(self) -> int:
        return self.last_user + 6


NTAG213 = Kind("NTAG213", 39, 0x12, 0x0F, 2, bytes.fromhex("0103a00c340300fe"))
NTAG215 = Kind("NTAG215", 129, 0x3E, 0x11, 16, bytes.fromhex("0300fe0000000000"))
NTAG216 = Kind("NTAG216", 225, 0x6D, 0x13, 16, bytes.fromhex("0300fe0000000000"))


class Target(Protocol):
    """What lies in the field: how it presents itself, and what it answers."""

    atqa: bytes
    sak: int

    def select(self) -> bytes:
        """Begin anew and return the UID, nothing when it has left."""

    def answer(self, command: bytes) -> bytes | None:
        """Return the reply without CRC (one byte: ACK or NAK), None for silence."""


@dataclass(slots=True)
class Ntag:
    """One tag and its memory. `leaves_after` makes it leave the field after so many commands."""

    uid: bytes
    kind: Kind = NTAG213
    memory: bytearray = field(default_factory=bytearray)
    atqa: bytes = b"\x00\x44"
    sak: int = 0
    leaves_after: int | None = None
    commands: list[bytes] = field(default_factory=list)
    wrong: int = 0  # passwords
    _is_awake: bool = False
    _is_open: bool = False  # the password was given
    _auth0: int = 0xFF
    _access: int = 0

    def __post_init__(self) -> None:
        if not self.memory:
            self.memory = bytearray(4 * self.kind.pages)
            self._put(0, self.uid[:3] + bytes([0x88 ^ self.uid[0] ^ self.uid[1] ^ self.uid[2]]))
            self._put(1, self.uid[3:])
            check = self.uid[3] ^ self.uid[4] ^ self.uid[5] ^ self.uid[6]
            self._put(LOCKS, bytes([check, 0x48, 0, 0]))
            self._put(CC, bytes([0xE1, 0x10, self.kind.size, 0]))
            self._put(USER, self.kind.factory)
            self._put(self.kind.dynamic, b"\x00\x00\x00\xbd")
            self._put(self.kind.config, b"\x04\x00\x00\xff" + bytes(4) + b"\xff\xff\xff\xff")

    def select(self) -> bytes:
        """Configuration is read when the tag is selected, as the data sheet has it (8.5.7)."""
        if self._has_left():
            return b""
        self._is_awake, self._is_open = True, False
        config = 4 * self.kind.config
        self._auth0, self._access = self.memory[config + 3], self.memory[config + 4]
        return self.uid

    def answer(self, command: bytes) -> bytes | None:
        if self._has_left():
            return None
        self.commands.append(command)
        if not self._is_awake or not command:
            return None
        known = _COMMANDS.get(command[0])
        reply = known(self, command[1:]) if known is not None else None
        if reply is None or reply in (NAK, NAK_LIMIT):
            self._is_awake = False
        return reply

    def _has_left(self) -> bool:
        return self.leaves_after is not None and len(self.commands) >= self.leaves_after

    def page(self, number: int) -> bytes:
        return bytes(self.memory[4 * number : 4 * number + 4])

    def _put(self, page: int, data: bytes) -> None:
        self.memory[4 * page : 4 * page + len(data)] = data

    def _shown(self, page: int) -> bytes:
        """Password and its answer can never be read."""
        return bytes(4) if page >= self.kind.config + 2 else self.page(page)

    def _is_barred(self, page: int, *, writing: bool) -> bool:
        if self._is_open or page < self._auth0:
            return False
        return writing or bool(self._access & 0x80)

    def read(self, rest: bytes) -> bytes | None:
        if len(rest) != 1:
            return None
        if rest[0] >= self.kind.pages or self._is_barred(rest[0], writing=False):
            return NAK
        end = self.kind.pages
        if not self._is_open and self._access & 0x80:
            end = min(end, self._auth0)  # reading rolls over before what is protected
        return b"".join(self._shown((rest[0] + step) % end) for step in range(4))

    def read_fast(self, rest: bytes) -> bytes | None:
        if len(rest) != 2:
            return None
        begin, last = rest
        barred = any(self._is_barred(page, writing=False) for page in range(begin, last + 1))
        if begin > last or last >= self.kind.pages or barred:
            return NAK
        return b"".join(self._shown(page) for page in range(begin, last + 1))

    def write(self, rest: bytes) -> bytes | None:
        if len(rest) != 5:
            return None
        page, data = rest[0], rest[1:]
        if page < LOCKS or page >= self.kind.pages:
            return NAK
        if self._is_barred(page, writing=True) or self._is_locked(page):
            return NAK
        if page == LOCKS:  # one-way: bits can be set, never taken back
            data = self.page(LOCKS)[:2] + _or(self.page(LOCKS)[2:], data[2:])
        elif page == CC:
            data = _or(self.page(CC), data)
        elif page == self.kind.dynamic:
            data = _or(self.page(page)[:3], data[:3]) + b"\xbd"
        self._put(page, data)
        return ACK

    def _is_locked(self, page: int) -> bool:
        static = int.from_bytes(self.page(LOCKS)[2:], "little")
        if page <= 15:
            return page >= CC and bool(static >> page & 1)
        if page <= self.kind.last_user:
            dynamic = int.from_bytes(self.page(self.kind.dynamic)[:3], "little")
            return bool(dynamic >> (page - 16) // self.kind.pages_a_bit & 1)
        is_config = page in (self.kind.config, self.kind.config + 1)
        return is_config and bool(self.page(self.kind.config + 1)[0] & 0x40)

    def authenticate(self, rest: bytes) -> bytes | None:
        if len(rest) != 4:
            return None
        limit = self._access & 0x07
        if limit and self.wrong >= limit:
            return NAK_LIMIT
        if rest != self.page(self.kind.config + 2):
            self.wrong += 1
            return NAK
        self._is_open, self.wrong = True, 0
        return self.page(self.kind.config + 3)[:2]

    def version(self, rest: bytes) -> bytes | None:
        return bytes([0, 4, 4, 2, 1, 0, self.kind.version, 3]) if not rest else None

    def signature(self, rest: bytes) -> bytes | None:
        return bytes(32) if rest == b"\x00" else None


@dataclass(slots=True)
class Card:
    """A card whose memory nobody here reads: it has a UID, and no answer."""

    uid: bytes
    atqa: bytes = b"\x00\x04"
    sak: int = 0x08  # MIFARE Classic 1K

    def select(self) -> bytes:
        return self.uid

    def answer(self, command: bytes) -> bytes | None:
        return NAK_LIMIT if command[:1] == b"\x30" else None  # it wants its own authentication


@dataclass(slots=True)
class Phone:
    """A phone in card mode: another random UID each time it is asked, always beginning with 08."""

    random: Callable[[int], bytes]
    atqa: bytes = b"\x00\x04"
    sak: int = 0x20

    def select(self) -> bytes:
        return b"\x08" + self.random(3)

    def answer(self, command: bytes) -> bytes | None:
        """An answer to RATS (ISO 14443-4), and silence afterwards."""
        return bytes.fromhex("0578807002") if command[:1] == b"\xe0" else None


_COMMANDS: dict[int, Callable[[Ntag, bytes], bytes | None]] = {
    0x30: Ntag.read,
    0x3A: Ntag.read_fast,
    0xA2: Ntag.write,
    0x1B: Ntag.authenticate,
    0x60: Ntag.version,
    0x3C: Ntag.signature,
}


def _or(old: bytes, new: bytes) -> bytes:
    return bytes(one | two for one, two in zip(old, new, strict=True))
