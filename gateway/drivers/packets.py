"""The two MQTT packets that come by the thousand, as bytes: PUBLISH out and PUBACK in.

Pure. All others are paho's. Source: MQTT 5.0 and 3.1.1, sections 2.1, 3.3 and 3.4, which differ
here only in the empty properties that MQTT 5 puts before the payload.
"""

from functools import lru_cache
from typing import NamedTuple

PUBACK = 0x40
LARGEST = 256 * 1024  # bytes that may come down in one; the contract's largest message has 64 kB
_PUBLISH = 0x30
_LENGTH_BYTES = 4  # at most, of a packet's length


class PacketBroken(Exception):
    """These bytes are no MQTT, or more of it than the contract knows."""


class Packet(NamedTuple):
    """One whole packet among bytes: its first byte, and where its body begins and ends."""

    head: int
    body: int
    end: int


def publish(
    topic: str, payload: bytes, mid: int, *, qos: int, retain: bool, has_properties: bool
) -> bytes:
    """Return a PUBLISH of QoS 0 or 1; `has_properties` in MQTT 5."""
    name = _text(topic)
    size = len(name) + 2 * qos + has_properties + len(payload)
    parts = [bytes((_PUBLISH | qos << 1 | retain,)), _length(size), name]
    if qos:
        parts.append(mid.to_bytes(2, "big"))
    if has_properties:
        parts.append(b"\0")
    parts.append(payload)
    return b"".join(parts)


def first_packet(data: bytearray, at: int, largest: int = LARGEST) -> Packet | None:
    """Return the packet that begins at `at`; None = not all of it is here yet.

    Raises PacketBroken when these bytes can begin none, or one of more than `largest` bytes.
    """
    size, body = 0, at + 1
    for place in range(_LENGTH_BYTES):
        if body >= len(data):
            return None
        byte = data[body]
        body += 1
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if size > largest:
                raise PacketBroken(f"a packet of {size} bytes")
            return Packet(data[at], body, body + size) if body + size <= len(data) else None
    raise PacketBroken("a packet's length has more than four bytes")


def answer(data: bytearray, packet: Packet) -> tuple[int, int]:
    """Return a PUBACK's message id and reason code: 0 where it says none, as in 3.1.1."""
    _, body, end = packet
    if end - body < 2:
        raise PacketBroken("a PUBACK without a message id")
    return data[body] << 8 | data[body + 1], data[body + 2] if end - body > 2 else 0


@lru_cache(maxsize=64)
def _text(text: str) -> bytes:
    """Return a topic as a packet has it; ValueError when it can be no topic to publish on."""
    encoded = text.encode()
    if not 0 < len(encoded) <= 0xFFFF or "+" in text or "#" in text or "\0" in text:
        raise ValueError(f"no topic to publish on: {text[:80]!r}")
    return len(encoded).to_bytes(2, "big") + encoded


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    if size < 0x4000:
        return bytes((size & 0x7F | 0x80, size >> 7))
    found = bytearray()
    while size >= 0x80:
        found.append(size & 0x7F | 0x80)
        size >>= 7
    found.append(size)
    return bytes(found)
