"""A PN532 board on a serial adapter: the chip of `sim.pn532` behind a pty that comes and goes.

It lives in a thread of its own, because who talks to it (nfcpy) blocks. A pty does not garble what
is said at the wrong speed; here a chip that listens at another speed hears nothing.
"""

import os
import selectors
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.sim.ntag import Target
from gateway.sim.pn532 import BAUDS, Chip

_SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in BAUDS if hasattr(termios, f"B{baud}")}


@dataclass(slots=True)
class DeskReader:
    """The board under the stable path `port`; make one with `open_desk_reader`."""

    port: Path
    chip: Chip = field(default_factory=Chip)
    chip_fd: int = -1
    host_fd: int = -1  # held open so that clients may come and go
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, tag: Target | None) -> None:
        """Lay a tag into the field, or take the one there away."""
        with self.lock:
            self.chip.tag = tag

    def plug(self) -> None:
        with self.lock:
            self.chip_fd, self.host_fd = os.openpty()
            tty.setraw(self.host_fd)
            os.set_blocking(self.chip_fd, False)
            self.port.unlink(missing_ok=True)
            self.port.symlink_to(os.ttyname(self.host_fd))

    def unplug(self) -> None:
        """The path vanishes, a client that holds it open gets an error, the chip loses power."""
        with self.lock:
            self.port.unlink(missing_ok=True)
            for fd in (self.chip_fd, self.host_fd):
                if fd >= 0:
                    os.close(fd)
            self.chip_fd = self.host_fd = -1
            self.chip.power_off()

    def host_baud(self) -> int | None:
        return _SPEEDS.get(termios.tcgetattr(self.host_fd)[5])

    def serve_once(self) -> None:
        """Answer what has come, for at most a few milliseconds."""
        with self.lock:
            fd = self.chip_fd
        if fd < 0:
            return
        with selectors.DefaultSelector() as waiting:
            try:
                waiting.register(fd, selectors.EVENT_READ)
            except (ValueError, OSError):
                return  # unplugged meanwhile
            waiting.select(0.02)
        with self.lock:
            if self.chip_fd == fd:
                self._turn(fd)

    def _turn(self, fd: int) -> None:
        try:
            said = os.read(fd, 4096)
        except BlockingIOError:
            said = b""
        baud = self.host_baud()
        if self.chip.next_baud == baud:  # nfcpy may throw its own ACK away when it reopens
            self.chip.switch_speed()
        if not said or baud != self.chip.baud:
            return
        reply = self.chip.hear(said)
        with suppress(BlockingIOError):
            os.write(fd, reply)


@contextmanager
def open_desk_reader(port: Path, chip: Chip | None = None) -> Iterator[DeskReader]:
    """Plug a board in and answer in a thread while the block runs."""
    reader = DeskReader(port, chip or Chip())
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            reader.serve_once()
            if reader.chip_fd < 0:
                ending.wait(0.01)

    thread = threading.Thread(target=serve, name="desk reader", daemon=True)
    reader.plug()
    thread.start()
    try:
        yield reader
    finally:
        ending.set()
        thread.join(10)
        reader.unplug()
