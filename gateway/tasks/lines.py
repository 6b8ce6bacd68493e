"""The buses of the house, each with its poll task; a reload lets some rest while it changes them.

A line that rests asks nothing and has put all that it read into the inbox; its connection stays.
"""

import asyncio
from collections.abc import Callable, Iterable

from gateway.core.reload import Difference
from gateway.domain.site import Bus, Device, Site
from gateway.tasks.poll import Nudges

CANCEL_AGAIN_S = 0.5


class Line:
    """One bus while the daemon runs: what is read on it as of now, and whether it rests."""

    def __init__(self, bus: Bus, devices: Iterable[Device]) -> None:
        self.bus = bus
        self.devices = {device.id: device for device in devices}
        self.nudges = Nudges()
        self.may_ask = asyncio.Event()
        self.is_at_rest = asyncio.Event()
        self.may_ask.set()
        self.is_at_rest.set()  # until its task begins to ask

    def shall_rest(self) -> bool:
        return not self.may_ask.is_set()


class Lines:
    """All of them, by the name of the bus. `start` begins a line's task, for `Line` as it is."""

    def __init__(
        self,
        start: Callable[[Line], asyncio.Task[None]],
        *,
        came: Callable[[str], None],
        went: Callable[[str], None],
    ) -> None:
        self._start = start
        self._came = came
        self._went = went
        self._lines: dict[str, Line] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._tasks.values())

    def nudge(self, points: tuple[str, ...]) -> None:
        """Let each bus read these points soon, as far as they are its own."""
        for line in self._lines.values() if points else ():
            line.nudges.add(points)

    def begin(self, site: Site, names: Iterable[str] | None = None) -> None:
        """Start polling all buses of the site, or those named."""
        for bus in site.buses:
            if names is None or bus.id in names:
                line = self._lines[bus.id] = Line(bus, _on(site, bus.id))
                self._came(bus.id)
                self._tasks[bus.id] = self._start(line)

    async def rest(self, names: Iterable[str]) -> None:
        """Return when these ask nothing any more; those that are not there yet, do not."""
        lines = [self._lines[name] for name in names if name in self._lines]
        for line in lines:
            line.may_ask.clear()
        for line in lines:
            await line.is_at_rest.wait()

    def go_on(self) -> None:
        """Whatever rests asks again, the same as before."""
        for line in self._lines.values():
            line.may_ask.set()

    async def change(self, site: Site, change: Difference) -> None:
        """End what is gone, begin what is new, and let the others go on with what is read now."""
        for name in change.gone:
            await end_tasks([self._tasks.pop(name)])
            del self._lines[name]
            self._went(name)
        for name in change.replanned:
            self._lines[name].devices = {device.id: device for device in _on(site, name)}
        self.begin(site, change.new)
        self.go_on()


def _on(site: Site, bus: str) -> tuple[Device, ...]:
    return tuple(device for device in site.devices if device.bus == bus)


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until they have ended.

    Once is not enough: Python 3.11's `wait_for`, which pymodbus uses, forgets a cancellation that
    arrives together with its result (python/cpython#86296), and an endless task then goes on.
    """
    tasks = list(tasks)
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
