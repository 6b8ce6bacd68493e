"""Modbus frames among bytes: the reply that is awaited, and what everything else was.

Pure: bytes in, findings out. The one checksum is pymodbus's own.
"""

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from pymodbus.framer.rtu import FramerRTU

from gateway.domain.points import Table

REQUEST_BYTES = 8  # functions 1-6: unit, function, two fields, CRC
REFUSAL_BYTES = 5
LARGEST_UNIT = 247
DAMAGED = "its answer comes damaged or cut"
MBAP_LONGEST = 254  # unit and PDU: MODBUS Messaging on TCP/IP V1.0b, 3.1.3


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer must look like to belong to a request."""

    unit: int
    function: int
    data_bytes: int

    def fits(self, pdu: bytes) -> bool:
        """True if this is the answer or the exception that a request of this shape may get."""
        if len(pdu) >= 2 and pdu[0] == self.function | 0x80:
            return len(pdu) == 2
        return (
            len(pdu) == 2 + self.data_bytes
            and pdu[0] == self.function
            and pdu[1] == self.data_bytes
        )


class Kind(Enum):
    """What a whole frame that nobody here awaited is."""

    REQUEST = "request"
    REPLY = "reply"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Frame:
    """A CRC-right frame; `shape` is that of the reply: the one it is, or the one it asks for."""

    kind: Kind
    shape: Shape
    raw: bytes


@lru_cache(maxsize=4096)
def shape_of(unit: int, table: Table, count: int) -> Shape:
    data_bytes = (count + 7) // 8 if table.is_bits else 2 * count
    return Shape(unit, table.function, data_bytes)


def is_crc_right(frame: bytes) -> bool:
    return FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:], "big")


def find_rtu_reply(received: bytes, shape: Shape, *, takes_refusal: bool = True) -> bytes:
    """Return the first CRC-right frame that fits, from anywhere in the bytes; b"" if none."""
    heads = [(bytes((shape.unit, shape.function, shape.data_bytes)), 5 + shape.data_bytes)]
    if takes_refusal:
        heads.append((bytes((shape.unit, shape.function | 0x80)), REFUSAL_BYTES))
    for head, length in heads:
        at = received.find(head)
        while 0 <= at <= len(received) - length:
            frame = received[at : at + length]
            if is_crc_right(frame):
                return frame
            at = received.find(head, at + 1)
    return b""


def find_frames(received: bytes) -> Iterator[Frame | bytes]:
    """Yield what the bytes are, in order: whole frames, and the noise between them.

    Only for bytes that answered nothing: every offset is tried.
    """
    at = began = 0
    while at < len(received):
        if (frame := _frame_at(received, at)) is None:
            at += 1
            continue
        if at > began:
            yield received[began:at]
        yield frame
        at = began = at + len(frame.raw)
    if at > began:
        yield received[began:at]


def is_asked(received: bytes, shape: Shape, echo: bytes = b"", *, is_refused: bool = False) -> bool:
    """True if a question other than `echo` stands in the bytes that an answer of `shape` answers.

    Wherever it stands and whatever else it could be. A refusal, having no length, may answer any
    question of this unit and function.
    """
    head = bytes((shape.unit, shape.function))
    at = received.find(head)
    while 0 <= at <= len(received) - REQUEST_BYTES:
        request = received[at : at + REQUEST_BYTES]
        if request != echo and is_crc_right(request) and (is_refused or _asked(request) == shape):
            return True
        at = received.find(head, at + 1)
    return False


def has_noise(received: bytes) -> bool:
    return any(isinstance(each, bytes) for each in find_frames(received))


def may_be_question(reply: bytes) -> bool:
    """True for an answer that is, to the letter, also (the beginning of) somebody's question."""
    if len(reply) > REQUEST_BYTES or reply[1] & 0x80:
        return False
    count = int.from_bytes(reply[4:6], "big")
    return 1 <= count <= (2000 if reply[1] <= 2 else 125)


def begins_as_question(reply: bytes) -> bool:
    """True for an answer whose first bytes are a whole question.

    That adds nothing to the checksum: any byte and two that fit it, behind it, are enough.
    """
    return len(reply) > REQUEST_BYTES and is_crc_right(reply[:REQUEST_BYTES])


def is_answer(frame: Frame, shape: Shape) -> bool:
    """True if this whole reply is one that a request of this shape may get."""
    if frame.kind is Kind.REPLY:
        return frame.shape == shape
    is_same = (frame.shape.unit, frame.shape.function) == (shape.unit, shape.function)
    return frame.kind is Kind.REFUSAL and is_same


def what_came(heard: bytes, sent: bytes, shape: Shape, owed: Collection[Shape]) -> str:
    """Say for people what a line brought instead of the answer; "" if nothing, or only old answers.

    `owed`: answers to earlier questions may still come.
    """
    found = list(find_frames(heard))
    noise = [each for each in found if isinstance(each, bytes)]
    for each in found:
        if isinstance(each, bytes) or each.kind is Kind.REQUEST:
            continue
        if any(is_answer(each, late) for late in owed):
            continue
        if each.shape.unit != shape.unit:
            return f"unit {each.shape.unit} answers instead"
        return "its answer has another function or length than asked for"
    if any(bytes((shape.unit, shape.function)) in each for each in noise):
        return DAMAGED
    if noise:
        return "what comes is no Modbus: wrong baud rate or parity, or a disturbed line"
    if any(isinstance(each, Frame) and each.raw == sent for each in found):
        return "only our own question comes back"
    return ""


def what_came_by_tcp(frame: bytes, shape: Shape) -> str:
    """The same of a whole MBAP frame that does not answer the question of this shape."""
    if frame[6] != shape.unit:
        return f"it answers as unit {frame[6]}"
    if shape.fits(frame[7:]):
        return "its answer carries another number than the question"
    return "its answer has another function or length than asked for"


def _frame_at(received: bytes, at: int) -> Frame | None:
    if len(received) - at < REFUSAL_BYTES or received[at] > LARGEST_UNIT:
        return None
    unit, function, third = received[at : at + 3]
    if not (1 <= function <= 6 or 0x81 <= function <= 0x90):
        return None
    reply = received[at : at + 5 + third]
    request = received[at : at + REQUEST_BYTES]
    # registers are two bytes each: with three it is the question for one from 0x0300 to 0x03FF
    is_reply = 1 <= function <= 4 and third > 0 and not (function > 2 and third % 2)
    is_reply = is_reply and len(reply) == 5 + third and is_crc_right(reply)
    is_longer = not is_reply or len(reply) < REQUEST_BYTES  # some questions begin as an answer
    if 1 <= function <= 6 and is_longer and len(request) == REQUEST_BYTES and is_crc_right(request):
        return Frame(Kind.REQUEST, _asked(request), request)
    if is_reply:
        return Frame(Kind.REPLY, Shape(unit, function, third), reply)
    if function > 0x80:
        refusal = received[at : at + REFUSAL_BYTES]
        if is_crc_right(refusal):
            return Frame(Kind.REFUSAL, Shape(unit, function & 0x7F, 0), refusal)
    return None


def _asked(request: bytes) -> Shape:
    unit, function, _start, count = struct.unpack(">BBHH", request[:6])
    data_bytes = {1: (count + 7) // 8, 2: (count + 7) // 8, 3: 2 * count, 4: 2 * count}
    return Shape(unit, function, data_bytes.get(function, 0))


def cut_tcp(received: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole MBAP frames, and the bytes of one that is still coming.

    ValueError when the bytes are no Modbus: where the next frame begins cannot be known then.
    """
    frames = []
    at = 0
    while len(received) - at >= 6:
        protocol, length = struct.unpack_from(">HH", received, at + 2)
        if protocol or not 3 <= length <= MBAP_LONGEST:
            raise ValueError("not a Modbus header")
        end = at + 6 + length
        if end > len(received):
            break
        frames.append(received[at:end])
        at = end
    return frames, received[at:]


def tcp_fits(frame: bytes, shape: Shape, transaction: int) -> bool:
    """True if a whole MBAP frame answers the request of this number and shape."""
    number = int.from_bytes(frame[:2], "big")
    return number == transaction and frame[6] == shape.unit and shape.fits(frame[7:])
