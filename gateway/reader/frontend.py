"""The door to nfcpy: open a reader, ask what lies on it, let it go again whatever happened.

What nfcpy 1.0.4 does that is worked around here, with its code unmodified (field/platform.md 2):

- It runs `stty` to see how fast the port can go and raises the chip to 921,600 baud; a process that
  is killed then leaves a chip that nobody can open until it loses power. Opened with a PATH on
  which there is no `stty`, it stays at 115,200. A chip that another program left fast is called
  back before the second try.
- `close()` sends the chip to sleep, from which many boards do not wake: that command is left out.
- After an unplug, errors of four families come, some from `close()` itself, and descriptors leak:
  every exception counts, and the port is closed underneath.
- Its paths know neither /dev/serial/by-id nor symlinks: the driver is built on the port itself.
- It takes the port without a lock: two programs get garbage each. Here the port is locked.
"""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nfc
import nfc.clf
import nfc.clf.device
import nfc.clf.pn532
import nfc.clf.transport
import nfc.tag

from gateway.domain.errors import BusDown
from gateway.drivers.adapters import USB, find_port

logging.getLogger("nfc").setLevel(logging.CRITICAL)  # it sets itself to INFO, and tells all twice

SLOW = 115_200
FAST = (921_600, 460_800, 230_400)
TO_SLOW = bytearray.fromhex("0000ff03fdd410041800")  # SetSerialBaudRate 115,200 (UM0701 7.2.10)
CALL_BACK_MS = 60
NO_STTY = "/nonexistent"
UDP = "udp:"


class ReaderFailed(Exception):
    """The reader cannot be used; `why` is absent, denied, busy, mute or lost."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(f"{why}: {detail}" if detail else why)
        self.why = why
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Frontend:
    """An open reader. `name` is what it says it is, `path` where it was found."""

    clf: Any
    name: str
    path: str


def is_there(device: str) -> bool:
    """Whether it is worth trying to open it: cheap, and without touching it."""
    if device.startswith(UDP):
        return True
    try:
        if is_usb_reader(device):
            return bool(nfc.clf.transport.USB.find(_nfcpy_path(device)))
        return Path(find_port(device)).exists()
    except (BusDown, OSError):
        return False


def is_usb_reader(device: str) -> bool:
    """`usb:072f:2200` and the like: no serial adapter but a reader that nfcpy drives over USB."""
    match = USB.fullmatch(device)
    if match is None:
        return False
    return (int(match[1], 16), int(match[2], 16)) in nfc.clf.device.usb_device_map


@contextmanager
def open_frontend(device: str) -> Iterator[Frontend]:
    """Open a reader: a serial port, `usb:VID:PID[:SERIAL]`, or `udp:HOST:PORT` for tests.

    Raises ReaderFailed. Nothing of it stays open afterwards, whatever was raised inside.
    """
    with _opened(device) as (driver, path):
        clf = nfc.ContactlessFrontend()
        clf.device = driver
        if hasattr(driver, "chipset"):
            driver.chipset.power_down = _stay_awake
        try:
            yield Frontend(clf, str(driver.chipset_name), path)
        finally:
            _close(clf)


@contextmanager
def _opened(device: str) -> Iterator[tuple[Any, str]]:
    if device.startswith(UDP):
        yield _translated(lambda: nfc.clf.device.connect(device)), device
    elif is_usb_reader(device):
        driver = _translated(lambda: nfc.clf.device.connect(_nfcpy_path(device)))
        if driver is None:
            raise ReaderFailed(*_why_not_usb(device))
        yield driver, device
    else:
        try:
            port = find_port(device)
        except BusDown as error:
            raise ReaderFailed("absent", error.why) from error
        with _locked(port):
            yield _open_serial(port), port


def _open_serial(port: str) -> Any:
    """Return nfcpy's driver on `port`, at 115,200 baud."""
    try:
        return _translated(lambda: _init(port))
    except ReaderFailed as error:
        if error.why != "mute":
            raise
    for baud in FAST:
        _call_back(port, baud)
    return _translated(lambda: _init(port))


def _init(port: str) -> Any:
    tty = nfc.clf.transport.TTY(port)
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = NO_STTY
    try:
        driver = nfc.clf.pn532.init(tty)
    except BaseException:
        _close_port(tty)
        raise
    finally:
        os.environ["PATH"] = path
    driver._path = port  # noqa: SLF001 - what nfcpy's own connect() does
    return driver


def _call_back(port: str, baud: int) -> None:
    """Tell a chip that listens at `baud` to come back to 115,200; no answer is needed."""
    tty = _translated(lambda: nfc.clf.transport.TTY(port))
    with suppress(Exception):  # it is at another speed, or hears nothing at all: opening will tell
        tty.baudrate = baud
        tty.write(bytearray(10) + TO_SLOW)
        while tty.read(CALL_BACK_MS) != nfc.clf.pn532.Chipset.ACK:
            continue
        tty.read(CALL_BACK_MS)
        tty.write(nfc.clf.pn532.Chipset.ACK)
        tty.tty.flush()
    _close_port(tty)


@contextmanager
def _locked(port: str) -> Iterator[None]:
    """Hold the lock that pyserial's `exclusive` takes too, so that others see it is in use."""
    try:
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ReaderFailed(*_why(error)) from error
    try:
        if not stat.S_ISCHR(os.fstat(fd).st_mode):
            raise ReaderFailed("absent", f"{port} is no serial port")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ReaderFailed("busy", f"{port} is in use by another program") from error
    finally:
        os.close(fd)


def guarded(do: Callable[[], Any]) -> Any:
    """Do something with an open reader; every failure of reader or driver is ReaderFailed."""
    try:
        return do()
    except ReaderFailed:
        raise
    except Exception as error:  # nfcpy raises IndexError, termios.error, OSError and its own
        raise ReaderFailed("lost", f"{type(error).__name__}: {error}") from error


def _translated(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except Exception as error:
        raise ReaderFailed(*_why(error)) from error


def _why(error: Exception) -> tuple[str, str]:
    detail = f"{type(error).__name__}: {error}"
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENXIO:
            return "absent", detail
        case errno.EACCES | errno.EPERM:
            return "denied", detail
        case errno.EBUSY | errno.EWOULDBLOCK:
            return "busy", detail
        case _:  # nothing answers, or not like a PN532
            return "mute", detail


def _why_not_usb(device: str) -> tuple[str, str]:
    """Tell apart why connect() of nfcpy just returned None."""
    found = nfc.clf.transport.USB.find(_nfcpy_path(device))
    if not found:
        return "absent", f"no reader {device} is plugged in"
    _, _, bus, address = found[0]
    node = f"/dev/bus/usb/{int(bus):03d}/{int(address):03d}"
    return ("mute", device) if os.access(node, os.R_OK | os.W_OK) else ("denied", node)


def _nfcpy_path(device: str) -> str:
    return ":".join(device.split(":")[:3])


def _stay_awake(*_args: object, **_named: object) -> None:
    """In place of PowerDown, after which many boards need to be unplugged (nfcpy #186, #231)."""


def _close(clf: Any) -> None:
    transport = getattr(getattr(clf.device, "chipset", None), "transport", None)
    with suppress(Exception):  # unplugged: what is left to close is below
        clf.close()
    clf.device = None
    if transport is not None:
        _close_port(transport)


def _close_port(transport: Any) -> None:
    """Close the port itself, though nfcpy's transport may be beyond closing."""
    port = getattr(transport, "tty", None)
    if port is not None:
        with suppress(Exception):
            port.close()
        transport.tty = None
    elif hasattr(transport, "usb_dev"):
        with suppress(Exception):
            transport.close()
