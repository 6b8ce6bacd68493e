"""Who has a GPIO line, asked of the kernel without taking it.

Source: the kernel's user API, include/uapi/linux/gpio.h (version 2, kernel 5.10 and later).
"""

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

Ask = Callable[[int, int, bytes], bytes]

_CHIP_INFO = 0x8044B401  # GPIO_GET_CHIPINFO_IOCTL: name[32], label[32], lines
_LINE_INFO = 0xC100B405  # GPIO_V2_GET_LINEINFO_IOCTL
_LINE = struct.Struct("32s32sIIQ160s16s")  # name, consumer, offset, attributes, flags, ..., padding
_USED = 1
_OF_HEADER = ("pinctrl-bcm", "pinctrl-rp1")  # labels of the chips behind a Pi's header


def header_chip(folder: Path, ask: Ask = fcntl.ioctl) -> Path | None:
    """The chip of a Pi's pin header among /dev/gpiochip*; None where there is none to be asked."""
    for chip in sorted(folder.glob("gpiochip*")):
        try:
            told = _asked(chip, _CHIP_INFO, bytes(68), ask)
        except OSError:  # not for us, or no chip
            continue
        if _word(told[32:64]).startswith(_OF_HEADER):
            return chip
    return None


def consumer(chip: Path, line: int, ask: Ask = fcntl.ioctl) -> str | None:
    """What the holder of a line calls itself; None while nobody has it. OSError: no answer."""
    said = _LINE.pack(b"", b"", line, 0, 0, b"", b"")
    _, name, _, _, flags, *_ = _LINE.unpack(_asked(chip, _LINE_INFO, said, ask))
    return (_word(name) or "?") if flags & _USED else None


def _asked(chip: Path, number: int, said: bytes, ask: Ask) -> bytes:
    fd = os.open(chip, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        told = ask(fd, number, said)
    finally:
        os.close(fd)
    if len(told) != len(said):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(chip))
    return told


def _word(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", errors="replace")
