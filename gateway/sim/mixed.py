"""A simulated line on which not all devices are set alike: baud rate, parity, stop bits.

Each setting has a wire of its own (gateway/sim/line.py), all of them on one pair of cores. A device
hears what is said at its own baud rate and parity with no fewer stop bits than it wants, and says
in its own setting; everybody else hears garbage.

On a pseudo-terminal the client's baud rate and stop bits are those it set; Linux takes no parity
there, so parity is tried on a line in memory (`attach`), where the setting is given.
"""

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from gateway.domain.families import LineSetting
from gateway.domain.site import Parity
from gateway.sim.bus import PIECE_S, SPEEDS, resampled
from gateway.sim.line import Conduct, Manner, Units, Wire, answer, manner_of

Emit = Callable[[bytes], None]


class MixedLine:
    """Devices by how they are set. `client` is how the other end is set at the moment."""

    def __init__(
        self,
        units: Mapping[LineSetting, Units],
        *,
        manner: Manner | None = None,
        piece_s: float | None = None,
    ) -> None:
        self.client = LineSetting()
        self.emit: Emit = _nobody
        self._noise = Random(485)
        calm = manner_of(Conduct(turnaround_s=0.02), Random(1))
        self.wires: dict[LineSetting, Wire] = {}
        for setting, devices in units.items():
            self.wires[setting] = Wire(
                [lambda unit, pdu, devices=devices: answer(devices, unit, pdu)],  # type: ignore[misc]
                setting.baud,
                emit=lambda data, setting=setting: self._say(data, setting),  # type: ignore[misc]
                manner=manner or calm,
                piece_s=piece_s,
            )

    def hear(self, data: bytes) -> None:
        """Take what the client says now; every device hears it in its own way."""
        for setting, wire in self.wires.items():
            wire.hear(self._heard(data, self.client, setting))

    def _say(self, data: bytes, setting: LineSetting) -> None:
        self.emit(self._heard(data, setting, self.client))

    def _heard(self, data: bytes, said: LineSetting, by: LineSetting) -> bytes:
        if said.baud != by.baud:
            return resampled(data, said.baud, by.baud)
        if said.parity is by.parity and said.stop_bits >= by.stop_bits:
            return data
        # every other byte has a wrong parity or no stop bit where one must be: it is thrown away
        return bytes(byte ^ 0x5A for byte in data if self._noise.random() < 0.5)


def _nobody(_data: bytes) -> None:
    """What nobody listens to is lost."""


class MemoryPort(asyncio.Transport):
    """The client's serial port, set in one way, on a line in memory."""

    def __init__(self, line: MixedLine, setting: LineSetting, emit: Emit) -> None:
        super().__init__()
        self._line = line
        line.client, line.emit = setting, emit

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._line.hear(bytes(data))

    def close(self) -> None:
        self._line.emit = _nobody


@asynccontextmanager
async def open_mixed(
    port: Path, units: Mapping[LineSetting, Units], *, turnaround_s: float = 0.02
) -> AsyncIterator[MixedLine]:
    """Serve the devices on a pseudo-terminal that `port` points to, until the block is left."""
    manner = manner_of(Conduct(turnaround_s=turnaround_s), Random(1))
    line = MixedLine(units, manner=manner, piece_s=PIECE_S)
    wire_fd, client_fd = os.openpty()
    tty.setraw(client_fd)
    os.set_blocking(wire_fd, False)

    def hear() -> None:
        line.client = client_setting(client_fd)
        line.hear(os.read(wire_fd, 512))

    def emit(data: bytes) -> None:
        with suppress(BlockingIOError):  # a client that never reads loses some
            os.write(wire_fd, data)

    line.emit = emit
    loop = asyncio.get_running_loop()
    loop.add_reader(wire_fd, hear)
    _point(port, client_fd)
    try:
        yield line
    finally:
        loop.remove_reader(wire_fd)
        _forget(port)
        os.close(wire_fd)
        os.close(client_fd)


def _point(port: Path, fd: int) -> None:
    port.symlink_to(os.ttyname(fd))


def _forget(port: Path) -> None:
    port.unlink(missing_ok=True)


def client_setting(fd: int) -> LineSetting:
    """How the client has set its end of the pseudo-terminal; parity cannot be seen there."""
    flags = termios.tcgetattr(fd)
    stop_bits = 2 if flags[2] & termios.CSTOPB else 1
    return LineSetting(SPEEDS.get(flags[5], 300), Parity.NONE, stop_bits)
