"""The PN532 as its user manual describes it: frames in, frames out.

Pure; `sim.desk_reader` has it behind a pty.
Source: NXP UM0701-02 (PN532 user manual) 6.2 host link and frames, 7 commands. What it does not do:
radio, peer to peer, being a card itself.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from gateway.sim.ntag import Target

START = b"\x00\x00\xff"
ACK = bytes.fromhex("0000ff00ff00")
NACK = bytes.fromhex("0000ffff0000")
SYNTAX_ERROR = bytes.fromhex("0000ff01ff7f8100")
BAUDS = (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1288000)
FIRMWARE = bytes([0x32, 0x01, 0x06, 0x07])  # PN532 v1.6, all of its protocols
RX_MODE, FIFO_DATA = 0x6303, 0x6339
SENS_REQ = 0x26
TIMED_OUT, CRC_ERROR, WRONG_CONTEXT = 0x01, 0x02, 0x27
LONG = 255
AUTOMATIC_ATR, AUTOMATIC_RATS = 0x04, 0x10  # SetParameters (7.2.9), as after a reset


class Slip(Enum):
    """What goes wrong with one answer."""

    CUT_3 = auto()  # only three bytes of it come
    CUT_9 = auto()
    BAD_CHECKSUM = auto()
    BAD_LENGTH = auto()
    NO_ANSWER = auto()  # acknowledged, then silence
    NO_ACK = auto()  # not heard at all
    NACKED = auto()  # a NACK in place of the ACK


@dataclass(slots=True)
class Chip:
    """Its state; `tag` is what lies in the field.

    `slips` spoil the next answers, one each; None lets one pass.
    `wakes`: after PowerDown it comes back with the next command; many boards do not.
    """

    tag: Target | None = None
    baud: int = 115200
    slips: deque[Slip | None] = field(default_factory=deque)
    wakes: bool = True
    is_silent: bool = False
    is_asleep: bool = False
    asked: list[bytes] = field(default_factory=list)  # commands with their data, as they came
    registers: dict[int, int] = field(default_factory=dict)
    parameters: int = AUTOMATIC_ATR | AUTOMATIC_RATS
    next_baud: int | None = None  # set, and waiting for the host's ACK
    _heard: bytearray = field(default_factory=bytearray)
    _last: bytes = b""
    _listed: Target | None = None

    def hear(self, data: bytes) -> bytes:
        """Take what the host sent, whole frames or not; return what the chip sends back."""
        self._heard += data
        said = b""
        while (frame := _take_frame(self._heard)) is not None:
            said += self._answer(frame)
        return said

    def power_off(self) -> None:
        """Unplugged: it forgets all."""
        self.baud, self.next_baud, self.is_asleep = 115200, None, False
        self.parameters = AUTOMATIC_ATR | AUTOMATIC_RATS
        self.registers.clear()
        self._heard.clear()
        self._listed = None

    def switch_speed(self) -> None:
        if self.next_baud is not None:
            self.baud, self.next_baud = self.next_baud, None

    def _answer(self, frame: bytes) -> bytes:
        if self.is_silent or (self.is_asleep and not self.wakes):
            return b""
        self.is_asleep = False
        if frame == ACK:
            self.switch_speed()
            return b""
        if frame == NACK:
            return self._last
        self.asked.append(frame)
        slip = self.slips.popleft() if self.slips else None
        reply = self._do(frame[0], frame[1:])
        self._last = SYNTAX_ERROR if reply is None else framed(bytes([0xD5, frame[0] + 1]) + reply)
        match slip:
            case Slip.NO_ACK:
                return b""
            case Slip.NO_ANSWER:
                return ACK
            case Slip.NACKED:
                return NACK
        return ACK + _spoiled(self._last, slip)

    def _do(self, code: int, data: bytes) -> bytes | None:
        """The data of the response; None for what the chip does not understand."""
        command = _COMMANDS.get(code)
        return command(self, data) if command is not None else None

    def diagnose(self, data: bytes) -> bytes | None:
        if not data or data[0] not in (0, 1, 2):
            return None
        return data if data[0] == 0 else b"\x00"

    def firmware(self, _data: bytes) -> bytes:
        return FIRMWARE

    def status(self, _data: bytes) -> bytes:
        return bytes([0, 0 if self.tag is None else 1, 0 if self._listed is None else 1])

    def read_registers(self, data: bytes) -> bytes:
        pairs = zip(data[::2], data[1::2], strict=False)
        return bytes(self.registers.get(high << 8 | low, 0) for high, low in pairs)

    def set_registers(self, data: bytes) -> bytes:
        for at in range(0, len(data) - 2, 3):
            self.registers[data[at] << 8 | data[at + 1]] = data[at + 2]
        return b""

    def set_speed(self, data: bytes) -> bytes | None:
        if len(data) != 1 or data[0] >= len(BAUDS):
            return None
        self.next_baud = BAUDS[data[0]]
        return b""

    def set_parameters(self, data: bytes) -> bytes | None:
        if len(data) != 1:
            return None
        self.parameters = data[0]
        return b""

    def done(self, _data: bytes) -> bytes:
        """SAMConfiguration, RFConfiguration: accepted."""
        return b""

    def sleep(self, _data: bytes) -> bytes:
        self.is_asleep = True
        return b"\x00"

    def list_targets(self, data: bytes) -> bytes | None:
        """Type A at 106 kbit/s; whoever asks for another kind finds nothing."""
        if len(data) < 2:
            return None
        self._listed = None
        self.registers[FIFO_DATA] = SENS_REQ  # as after a request that nothing answered
        if self.tag is None or data[1] != 0:
            return b"\x00"
        uid = self.tag.select()
        if not uid or (data[2:] and data[2:] not in (uid, b"\x88" + uid)):  # asked for another
            return b"\x00"
        self.registers[FIFO_DATA] = 0
        self._listed = self.tag
        self.registers[RX_MODE] = self.registers.get(RX_MODE, 0) | 0x80
        found = self.tag.atqa + bytes([self.tag.sak, len(uid)]) + uid
        if self.tag.sak & 0x20 and self.parameters & AUTOMATIC_RATS:
            found += self.tag.answer(b"\xe0\x80") or b""
        return b"\x01\x01" + found

    def communicate(self, data: bytes) -> bytes:
        """InCommunicateThru: raw; the CRC of a reply is checked only where RxCRCEn says so."""
        reply = self._through(data)
        if reply is None:
            return bytes([TIMED_OUT])
        is_checked = bool(self.registers.get(RX_MODE, 0) & 0x80)
        if len(reply) == 1:  # four bits without a CRC
            return bytes([CRC_ERROR]) if is_checked else b"\x00" + reply
        return b"\x00" + (reply if is_checked else reply + crc_a(reply))

    def exchange(self, data: bytes) -> bytes:
        """InDataExchange: the chip knows the Type 2 commands and their ACK."""
        if not data or self._listed is None:
            return bytes([WRONG_CONTEXT])
        reply = self._through(data[1:])
        if reply is None:
            return bytes([TIMED_OUT])
        if len(reply) == 1:
            return b"\x00" if reply == b"\x0a" else b"\x14"
        return b"\x00" + reply

    def release(self, _data: bytes) -> bytes:
        self._listed = None
        return b"\x00"

    def _through(self, command: bytes) -> bytes | None:
        if self.tag is None or self._listed is not self.tag:
            return None
        return self.tag.answer(command)


_COMMANDS: dict[int, Callable[[Chip, bytes], bytes | None]] = {
    0x00: Chip.diagnose,
    0x02: Chip.firmware,
    0x04: Chip.status,
    0x06: Chip.read_registers,
    0x08: Chip.set_registers,
    0x10: Chip.set_speed,
    0x12: Chip.set_parameters,
    0x14: Chip.done,
    0x16: Chip.sleep,
    0x32: Chip.done,
    0x40: Chip.exchange,
    0x42: Chip.communicate,
    0x44: Chip.release,
    0x4A: Chip.list_targets,
    0x52: Chip.release,
}


def framed(data: bytes) -> bytes:
    """Return a normal or, over 255 bytes, an extended information frame (6.2.1.1, 6.2.1.2)."""
    if len(data) <= LONG:
        head = bytes([len(data), -len(data) & 0xFF])
    else:
        high, low = divmod(len(data), 256)
        head = bytes([0xFF, 0xFF, high, low, -(high + low) & 0xFF])
    return START + head + data + bytes([-sum(data) & 0xFF, 0])


def crc_a(data: bytes) -> bytes:
    """CRC_A of ISO/IEC 14443-3, low byte first."""
    crc = 0x6363
    for octet in data:
        mixed = octet ^ crc & 0xFF
        mixed = (mixed ^ mixed << 4) & 0xFF
        crc = crc >> 8 ^ mixed << 8 ^ mixed << 3 ^ mixed >> 4
    return crc.to_bytes(2, "little")


def _take_frame(heard: bytearray) -> bytes | None:
    """Take the next frame out of what was heard: ACK, NACK, or a command and its data.

    What is no frame, and a frame whose checksum is wrong, is passed over: the chip stays silent.
    """
    while (at := heard.find(b"\x00\xff")) >= 0:
        body = heard[at + 2 :]
        if len(body) < 3:
            return None
        if body[:2] == b"\x00\xff":
            del heard[: at + 5]
            return ACK
        if body[:2] == b"\xff\x00":
            del heard[: at + 5]
            return NACK
        is_long = body[:2] == b"\xff\xff"
        head, check = (5, 3) if is_long else (2, 2)
        if len(body) < head:
            return None
        length = body[2] << 8 | body[3] if is_long else body[0]
        is_length_right = sum(body[head - check : head]) & 0xFF == 0
        if not is_length_right:
            del heard[: at + 2]
            continue
        if len(body) < head + length + 1:
            return None
        data, total = bytes(body[head : head + length]), sum(body[head : head + length + 1])
        del heard[: at + 2 + head + length + 1]
        if total & 0xFF == 0 and len(data) >= 2 and data[0] == 0xD4:
            return data[1:]
    del heard[:-2]  # preambles, wake-up bytes; the start of a frame may be among the last two
    return None


def _spoiled(frame: bytes, slip: Slip | None) -> bytes:
    match slip:
        case Slip.CUT_3:
            return frame[:3]
        case Slip.CUT_9:
            return frame[:9]
        case Slip.BAD_CHECKSUM:
            return frame[:-2] + bytes([frame[-2] ^ 0x55]) + frame[-1:]
        case Slip.BAD_LENGTH:
            return frame[:4] + bytes([frame[4] ^ 0x55]) + frame[5:]
        case _:
            return frame
