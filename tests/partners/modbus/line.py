"""Serial ports made of pseudo-terminals, behind lasting names like those in /dev/serial/by-path."""

import asyncio
import os
import struct
import tty
from collections.abc import Callable
from pathlib import Path


class Port:
    """A port that can be pulled and plugged in again. `heard` gets what the gateway says."""

    def __init__(self, path: Path, heard: Callable[[bytes], None] = lambda _data: None) -> None:
        self.path = path
        self.heard = heard
        self._ends: tuple[int, int] | None = None

    def plug(self) -> None:
        ours, theirs = os.openpty()
        tty.setraw(ours)
        tty.setraw(theirs)  # kept open: a terminal that nobody has open cannot be read from
        self._ends = (ours, theirs)
        self.path.symlink_to(os.ttyname(theirs))
        asyncio.get_running_loop().add_reader(ours, self._hear)

    def unplug(self) -> None:
        if self._ends is None:
            return
        asyncio.get_running_loop().remove_reader(self._ends[0])
        for end in self._ends:
            os.close(end)
        self._ends = None
        self.path.unlink()

    def say(self, data: bytes) -> None:
        if self._ends is not None:
            os.write(self._ends[0], data)

    def _hear(self) -> None:
        self.heard(os.read(self._ends[0], 4096))

    def __enter__(self):
        self.plug()
        return self

    def __exit__(self, *_):
        self.unplug()


class Device:
    """Answers whole read requests with what `answer(unit, function, start, count)` says.

    The answer is bytes to say at once, or (seconds to wait, bytes) pieces.
    """

    def __init__(self, port: Port, answer) -> None:
        self.requests = []
        self.heard_at = []
        self.answer = answer
        self._port = port
        self._partial = b""
        port.heard = self._hear

    def _hear(self, data: bytes) -> None:
        self._partial += data
        while len(self._partial) >= 8:
            request, self._partial = self._partial[:8], self._partial[8:]
            fields = struct.unpack(">BBHH", request[:6])
            self.requests.append(fields)
            self.heard_at.append(asyncio.get_running_loop().time())
            said = self.answer(*fields)
            for wait_s, piece in [(0, said)] if isinstance(said, bytes) else said:
                asyncio.get_running_loop().call_later(wait_s, self._port.say, piece)


def crc16(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def frame(unit: int, function: int, *words: int) -> bytes:
    """A whole RTU reply that carries these registers."""
    head = bytes([unit, function, 2 * len(words)])
    body = head + struct.pack(f">{len(words)}H", *words)
    return body + crc16(body)


def refusal(unit: int, function: int, code: int) -> bytes:
    body = bytes([unit, function | 0x80, code])
    return body + crc16(body)
