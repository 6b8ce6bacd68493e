"""What the machine says of itself: heat, supply, memory and wear, from the kernel's files.

A figure that this machine does not have is left out. The files are the kernel's own (no disk
stands behind them), so reading them never waits.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.core.health import Figures

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MB = 1_000_000
_SUPPLY = "rpi_volt"  # hwmon of a Raspberry Pi; its alarm: under-voltage since the last look
_TENTHS_OF_LIFE = range(1, 12)  # JEDEC eMMC life_time: 0x01 = up to 10 % used, 0x0b = exceeded


def host_figures(root: Path = Path("/")) -> Figures:
    """`cpu_temp` °C, `under_voltage` 0 or 1, `memory_available`, `memory_used` MB, `wear` %."""
    found = {
        "cpu_temp": max(_temperatures(root / "sys/class/thermal"), default=None),
        "under_voltage": _under_voltage(root / "sys/class/hwmon"),
        "memory_available": _available(root / "proc/meminfo"),
        "memory_used": _used(root / "proc/self/statm"),
        "wear": max(_wear(root / "sys/block"), default=None),
    }
    return {name: value for name, value in found.items() if value is not None}


def _temperatures(folder: Path) -> Iterator[float]:
    for path in folder.glob("thermal_zone*/temp"):
        milli = number_in(path)
        if milli is not None:
            yield milli / 1000


def _under_voltage(folder: Path) -> int | None:
    for path in folder.glob("hwmon*/name"):
        if text_in(path) == _SUPPLY:
            return number_in(path.parent / "in0_lcrit_alarm")
    return None


def _available(path: Path) -> float | None:
    for line in (text_in(path) or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "MemAvailable" and words and words[0].isdigit():
            return round(int(words[0]) * 1024 / _MB, 1)
    return None


def _used(path: Path) -> float | None:
    words = (text_in(path) or "").split()
    if len(words) < 2 or not words[1].isdigit():
        return None
    return round(int(words[1]) * _PAGE_BYTES / _MB, 1)


def _wear(folder: Path) -> Iterator[int]:
    """Of eMMC only: an SD card does not tell."""
    for path in folder.glob("mmcblk*/device/life_time"):
        for word in (text_in(path) or "").split():
            try:
                tenths = int(word, 16)
            except ValueError:
                continue
            if tenths in _TENTHS_OF_LIFE:
                yield min(tenths * 10, 100)


def number_in(path: Path) -> int | None:
    """The whole number that a file of the system says; None when it says none."""
    try:
        return int(text_in(path) or "")
    except ValueError:
        return None


def text_in(path: Path) -> str | None:
    """What a file of the system says, without the space around it; None when it cannot be read."""
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:  # not on this machine, or the part does not answer
        return None
