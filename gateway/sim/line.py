"""A simulated RS-485 wire with devices on it: what is said when, and what becomes of it.

The wire knows no port: `hear` takes what the gateway says, `emit` gets what the gateway hears. It
lives in the running loop's time, so the same wire is a pseudo-terminal in real time
(gateway/sim/bus.py) and a memory line in simulated time (gateway/sim/loop.py).

Every byte takes its character time. Two who speak at once garble each other. A device answers in
the order it was asked; what it answers passes through a `Manner` first: pieces of bytes with the
time to wait before each. `manner_of` makes one from a `Conduct`: late, silent, damaged, noisy.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from gateway.sim.devices import TABLE_OF_FUNCTION, AddressMissing, SimDevice, read_table

Units = Mapping[int, SimDevice]
Piece = tuple[float, bytes]  # seconds to wait, then bytes to say
Manner = Callable[[bytes, bytes], Sequence[Piece]]  # (request, reply frame) -> what is really said
Answer = Callable[[int, bytes], bytes | None]  # (unit, request PDU) -> reply PDU or silence

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, TARGET_SILENT = 1, 2, 3, 0x0B


@dataclass(slots=True)
class BusCounts:
    """What the simulated line saw; for tests and for the demo's last page."""

    requests: int = 0
    replies: int = 0
    refusals: int = 0
    bad_frames: int = 0
    clashes: int = 0
    late: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Conduct:
    """How devices and their cable behave. Plain numbers are chances for each reply, 0 to 1."""

    turnaround_s: float = 0.02
    jitter_s: float = 0.0  # up to so much more
    silent: float = 0.0
    late: float = 0.0
    late_s: tuple[float, float] = (0.5, 2.5)  # instead of the turnaround
    before: float = 0.0  # garbage in front of the reply
    inside: float = 0.0
    after: float = 0.0
    garbage_bytes: tuple[int, int] = (1, 20)
    damage: float = 0.0  # bits flipped, a burst, bytes lost or replaced
    cut: float = 0.0  # only the beginning of the frame


def manner_of(conduct: Conduct, random: Random, counts: BusCounts | None = None) -> Manner:
    """Return the manner of devices with this conduct, drawn from `random`."""
    counts = counts or BusCounts()

    def happens(chance: float) -> bool:
        return chance > 0 and random.random() < chance

    def garbage() -> bytes:
        return random.randbytes(random.randint(*conduct.garbage_bytes))

    def manner(_request: bytes, reply: bytes) -> Sequence[Piece]:
        if happens(conduct.silent):
            return ()
        wait_s = conduct.turnaround_s + conduct.jitter_s * random.random()
        if happens(conduct.late):
            counts.late += 1
            wait_s = random.uniform(*conduct.late_s)
        whole = reply
        if happens(conduct.damage):
            reply = damaged(reply, random)
        if happens(conduct.inside):
            at = random.randrange(1, len(reply))
            reply = reply[:at] + garbage() + reply[at:]
        if happens(conduct.cut):
            reply = reply[: random.randrange(1, len(reply))]
        counts.damaged += reply != whole
        front = garbage() if happens(conduct.before) else b""
        back = garbage() if happens(conduct.after) else b""
        return ((wait_s, front + reply + back),)

    return manner


def damaged(frame: bytes, random: Random) -> bytes:
    """Return the frame as bad cables make it: some bits, a burst, lost bytes, or all noise."""
    bits = bytearray(frame)
    match random.randrange(4):
        case 0:
            for _ in range(random.randint(1, 12)):
                bits[random.randrange(len(bits))] ^= 1 << random.randrange(8)
        case 1:
            at = random.randrange(len(bits))
            bits[at : at + random.randint(2, 8)] = random.randbytes(min(8, len(bits) - at))
        case 2:
            del bits[random.randrange(len(bits))]
        case _:
            bits[2:] = random.randbytes(len(bits) - 2)
    return bytes(bits)


def answer(units: Units, unit: int, pdu: bytes) -> bytes | None:
    """Return the reply PDU of functions 1-4, an exception PDU, or None when nobody answers.

    Source: MODBUS Application Protocol V1.1b3, 6.1-6.4 and 7.
    """
    device = units.get(unit)
    if device is None or device.is_silent or not pdu:
        return None
    function = pdu[0]
    table = TABLE_OF_FUNCTION.get(function)
    if table is None:
        return bytes([function | 0x80, ILLEGAL_FUNCTION])
    if len(pdu) != 5:
        return bytes([function | 0x80, ILLEGAL_VALUE])
    address, count = struct.unpack(">HH", pdu[1:])
    most = 2000 if function <= 2 else device.max_registers
    if not 1 <= count <= most:
        return bytes([function | 0x80, ILLEGAL_VALUE])
    try:
        cells = read_table(device, table, address, count)
    except AddressMissing:
        return bytes([function | 0x80, ILLEGAL_ADDRESS])
    payload = _packed_bits(cells) if function <= 2 else struct.pack(f">{count}H", *cells)
    return bytes([function, len(payload)]) + payload


def _packed_bits(bits: Sequence[int]) -> bytes:
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= (bit & 1) << (index % 8)
    return bytes(packed)


def crc16(data: bytes) -> bytes:
    """Modbus CRC, low byte first, as it follows a frame on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return struct.pack("<H", crc)


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_CRC = [_crc_of(byte) for byte in range(256)]


def framed(body: bytes) -> bytes:
    return body + crc16(body)


class Wire:
    """One line. Change `manner`, `echoes`, `answers` and it behaves differently from then on.

    More than one in `answers` is more than one device at the same address.
    """

    def __init__(
        self,
        answers: Sequence[Answer],
        baud: int,
        *,
        emit: Callable[[bytes], None],
        manner: Manner,
        piece_s: float | None = None,
        noise: Random | None = None,
    ) -> None:
        self.answers = list(answers)
        self.baud = baud
        self.emit = emit
        self.manner = manner
        self.echoes = False
        self.counts = BusCounts()
        self.asked_at: list[float] | None = None  # when requests began, for who wants to measure
        self._loop = asyncio.get_running_loop()
        self._char_s = 10 / baud
        self._silence_s = max(3.5 * self._char_s, 0.00175)
        self._piece_bytes = max(1, round(piece_s / self._char_s)) if piece_s else 1 << 16
        self._noise = noise or Random(485)
        self._frame = b""
        self._frame_from = 0.0
        self._frame_until = 0.0
        self._frame_end: asyncio.TimerHandle | None = None
        self._busy_until: dict[tuple[int, int], float] = {}  # (which answerer, unit)
        self._talks: list[tuple[float, float]] = []
        self._clashes: list[tuple[float, float]] = []

    @property
    def quiet_at(self) -> float:
        """When the last byte that is known of now will have passed."""
        return max((end for _, end in self._talks), default=0.0)

    def hear(self, data: bytes) -> None:
        """Take bytes that the gateway says now."""
        now = self._loop.time()
        if self._frame_end is None:
            self._frame_from = now
            if self.asked_at is not None:
                self.asked_at.append(now)
        else:
            self._frame_end.cancel()
        began = max(now, self._frame_until)
        self._frame_until = began + len(data) * self._char_s
        self._frame += data
        self._talk(began, self._frame_until)
        if self.echoes:
            self._loop.call_at(self._frame_until, self._say_piece, data, began, self._frame_until)
        self._frame_end = self._loop.call_at(
            self._frame_until + self._silence_s, self._on_frame_end
        )

    def say(self, data: bytes, at: float | None = None) -> float:
        """Put bytes on the wire from `at` on, whoever says them; return when they have passed."""
        began = max(self._loop.time(), at or 0.0)
        end = began + len(data) * self._char_s
        self._talk(began, end)
        for start in range(0, len(data), self._piece_bytes):
            piece = data[start : start + self._piece_bytes]
            said_from = began + start * self._char_s
            said_by = said_from + len(piece) * self._char_s
            self._loop.call_at(said_by, self._say_piece, piece, said_from, said_by)
        return end

    def ask(self, frame: bytes) -> None:
        """Another master's request: the gateway hears it, and the device that answers."""
        began = self._loop.time()
        end = self.say(frame)

        def on_end() -> None:
            self._on_request(frame if self._stood_alone(began, end) else b"")

        self._loop.call_at(end + self._silence_s, on_end)

    def _on_frame_end(self) -> None:
        frame, self._frame, self._frame_end = self._frame, b"", None
        is_whole = self._stood_alone(self._frame_from, self._frame_until)
        self._on_request(frame if is_whole else b"")

    def _on_request(self, frame: bytes) -> None:
        self.counts.requests += 1
        if len(frame) < 4 or crc16(frame[:-2]) != frame[-2:]:
            self.counts.bad_frames += 1
            return
        for which, answers in enumerate(self.answers):
            pdu = answers(frame[0], frame[1:-2])
            if pdu is not None:
                self._reply(which, frame, framed(frame[:1] + pdu))

    def _reply(self, which: int, request: bytes, reply: bytes) -> None:
        at = self._loop.time()
        self.counts.replies += 1
        self.counts.refusals += bool(reply[1] & 0x80)
        device = which, request[0]
        for wait_s, data in self.manner(request, reply):
            at = self.say(data, max(at + wait_s, self._busy_until.get(device, 0.0)))
            self._busy_until[device] = at

    def _talk(self, began: float, end: float) -> None:
        """Note who speaks when: everybody's times are known when they begin to be planned."""
        now = self._loop.time()
        if self._talks:
            self._talks = [talk for talk in self._talks if talk[1] > now - self._silence_s]
        for other_began, other_end in self._talks:
            overlap = max(began, other_began), min(end, other_end)
            if overlap[0] < overlap[1]:
                self.counts.clashes += 1
                self._clashes.append(overlap)
        self._talks.append((began, end))

    def _stood_alone(self, began: float, end: float) -> bool:
        """True if nobody spoke into the frame, nor in the silence by which devices know its end."""
        into_silence = any(end <= other < end + self._silence_s for other, _ in self._talks)
        return not into_silence and not self._is_clashed(began, end)

    def _is_clashed(self, began: float, end: float) -> bool:
        if not self._clashes:
            return False
        now = self._loop.time()
        self._clashes = [clash for clash in self._clashes if clash[1] > now - 1]
        return any(a < end and began < b for a, b in self._clashes)

    def _say_piece(self, piece: bytes, began: float, end: float) -> None:
        if self._is_clashed(began, end):
            piece = bytes(byte & self._noise.randrange(256) for byte in piece)
        self.emit(piece)
