"""A technician's questions to a bus that the daemon holds, asked between its own.

`lines` tells what there is and which alarm points wait meanwhile; `ask` reads once. The door
takes one request at a time, so polling goes on between two questions; with another line setting
the port is lent for the time of one question.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.families import LineSetting
from gateway.domain.points import Table
from gateway.domain.site import Parity
from gateway.tasks.commands import Answer, BadRequest, Request

MOST_MS = 3_000  # one question holds up the bus no longer than this
MOST_WORDS = 125

ReadOnce = Callable[
    [LineSetting | None, int, Table, int, int, int], Awaitable[Sequence[int]]
]  # setting (None: the bus's own), unit, table, start, count, timeout_ms


@dataclass(frozen=True, slots=True)
class HeldLine:
    """A bus as the tools see it: how to read it, and what to tell of it."""

    read: ReadOnce
    describe: Callable[[], Answer]


class BusTools:
    """The lines of this daemon by bus id; those that are open at the moment."""

    def __init__(self) -> None:
        self._lines: dict[str, HeldLine] = {}

    @contextmanager
    def holding(self, bus: str, line: HeldLine) -> Iterator[None]:
        """This bus can be asked while the block runs."""
        self._lines[bus] = line
        try:
            yield
        finally:
            del self._lines[bus]

    async def tell(self, _request: Request) -> Answer:
        """Every bus with its port, setting, devices, counts and alarm points."""
        return {"lines": [{"bus": bus, **line.describe()} for bus, line in self._lines.items()]}

    async def ask(self, request: Request) -> Answer:
        """One read: `words`, or `failure` with what went wrong on the wire."""
        line = self._lines.get(str(request.get("bus")))
        if line is None:
            raise BadRequest(f"no such bus: use one of {', '.join(self._lines) or '(none)'}")
        table = _table(request)
        most = MOST_WORDS if not table.is_bits else 16 * MOST_WORDS
        unit = _number(request, "unit", 0, 255)
        start = _number(request, "start", 0, 65_535)
        count = _number(request, "count", 1, min(most, 65_536 - start))
        timeout_ms = _number(request, "timeout_ms", 10, MOST_MS)
        try:
            words = await line.read(_setting(request), unit, table, start, count, timeout_ms)
        except DeviceSilent as silent:
            return {"failure": "silent", "detail": str(silent)}
        except DeviceRefused as refused:
            return {"failure": "refused", "exception": refused.code}
        except BusDown as down:
            return {"failure": "down", "detail": down.why}
        return {"words": list(words)}


def _table(request: Request) -> Table:
    try:
        return Table(str(request.get("table")))
    except ValueError:
        raise BadRequest(f"'table' must be one of {', '.join(Table)}") from None


def _number(request: Request, name: str, least: int, most: int) -> int:
    number = request.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise BadRequest(f"{name!r} must be a whole number from {least} to {most}")
    return number


def _setting(request: Request) -> LineSetting | None:
    said = request.get("line")
    if said is None:
        return None
    if not isinstance(said, Mapping):
        raise BadRequest("'line' must be {baud, parity, stop_bits}")
    baud, stop_bits = _number(said, "baud", 300, 1_000_000), _number(said, "stop_bits", 1, 2)
    try:
        return LineSetting(baud, Parity(str(said.get("parity"))), stop_bits)
    except ValueError:
        raise BadRequest(f"'parity' must be one of {', '.join(Parity)}") from None
