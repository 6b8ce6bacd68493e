"""The simulated house: which devices hang on which bus, and how a scene changes them over time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.sim.bus import Units
from gateway.sim.checker import Sown, SownTrace
from gateway.sim.devices import (
    SimDevice,
    by_unit,
    jxbs_co,
    lx47le,
    mpd380,
    pzem016,
    qdy30a,
    sdm630,
    xgardiq,
)
from gateway.sim.story import (
    BOARD,
    CALM,
    GAS,
    HYDRANT,
    METER,
    BrokerSwitch,
    CardTap,
    Drift,
    Hush,
    Scene,
    Visit,
)

DRIFT_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class House:
    """Units of the RTU line `plant-room` and of the TCP device server `pump-house`."""

    plant_room: Units
    pump_house: Units

    @property
    def devices(self) -> dict[str, SimDevice]:
        return {d.name: d for d in (*self.plant_room.values(), *self.pump_house.values())}


@dataclass(slots=True)
class Cue:
    """What comes next and when (loop time); set `called` and it comes now."""

    called: asyncio.Event = field(default_factory=asyncio.Event)
    scene: Scene | None = None
    due: float = 0.0


def build_house() -> House:
    """The devices of config/site.demo.yaml, all calm."""
    return House(
        plant_room=by_unit(
            [
                sdm630(METER, 1),
                lx47le(BOARD, 3, **CALM[BOARD]),
                xgardiq(GAS, 7, **CALM[GAS]),
            ]
        ),
        pump_house=by_unit(
            [
                qdy30a(HYDRANT, 1, **CALM[HYDRANT]),
                mpd380("roof-hydrant", 2, pressure=2.4),
                jxbs_co("boiler-co", 4),
                pzem016("gas-room-socket", 5),
            ]
        ),
    )


def boot_ms() -> float:
    """Now on CLOCK_BOOTTIME: the time base of the daemon's pin log."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


async def play(
    scenes: Iterable[Scene],
    devices: Mapping[str, SimDevice],
    *,
    switch_broker: Callable[[bool], Awaitable[None]],
    tell: Callable[[Scene], None],
    sown: list[Sown],
    ended: asyncio.Event,
    cue: Cue | None = None,
    walk: Callable[[CardTap | Visit], Awaitable[None]] | None = None,
    traces: list[SownTrace] | None = None,
) -> None:
    """Act the scenes out at their seconds from now; what is planted is added to `sown` as it is.

    What the patrol must leave behind is added to `traces`; `walk` is the patroller.

    A scene that is called by the cue comes at once, and those after it come as much earlier.
    Returns after the last scene, or before the next one once `ended` is set; what has begun is
    brought to its end either way.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    cue = cue or Cue()
    drifts: dict[tuple[str, str], asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as acts:
        for scene in scenes:
            cue.scene, cue.due = scene, start + scene.at_s
            if await _comes(cue, ended):
                break
            start = min(start, loop.time() - scene.at_s)
            tell(scene)
            sown.extend(Sown(plant, boot_ms()) for plant in scene.plants)
            if traces is not None:
                traces.extend(SownTrace(trace) for trace in scene.traces)
            for act in scene.acts:
                match act:
                    case Drift():
                        what = act.device, act.quantity
                        if what in drifts:
                            drifts[what].cancel()  # one quantity goes one way at a time
                        drifts[what] = acts.create_task(drift(devices[act.device], act))
                    case Hush():
                        devices[act.device].is_silent = act.is_silent
                    case BrokerSwitch():
                        acts.create_task(_switch(switch_broker, is_up=act.is_up))
                    case CardTap() | Visit() if walk is not None:
                        acts.create_task(_walk(walk, act))
        cue.scene = None


async def _comes(cue: Cue, ended: asyncio.Event) -> bool:
    """Wait until the next scene is due or called; True when the story is ended instead."""
    loop = asyncio.get_running_loop()
    waits = [loop.create_task(event.wait()) for event in (ended, cue.called)]
    try:
        seconds = max(cue.due - loop.time(), 0)
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    cue.called.clear()
    return ended.is_set()


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most so long; return whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    return event.is_set()


async def drift(device: SimDevice, act: Drift) -> None:
    """Move one quantity of a device to its new value, in even steps."""
    for value in steps_of(device.truth[act.quantity], act):
        device.truth[act.quantity] = value
        await asyncio.sleep(DRIFT_STEP_S)


def steps_of(now: float, act: Drift) -> Iterator[float]:
    count = max(1, round(act.within_s / DRIFT_STEP_S))
    for step in range(1, count):
        yield now + (act.to - now) * step / count
    yield act.to


async def _walk(walk: Callable[[CardTap | Visit], Awaitable[None]], act: CardTap | Visit) -> None:
    await walk(act)


async def _switch(switch_broker: Callable[[bool], Awaitable[None]], *, is_up: bool) -> None:
    await switch_broker(is_up)
