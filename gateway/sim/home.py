"""A home of ten devices as it really behaves: meals, nights, damp days, a pump that keeps pressure.

`settle(device, t_ms)` sets the truth of one device at a moment of the week; what is planted lies on
top. All noise of a home that must raise nothing is here and in `DISTURBANCES`: leakage that rises
with damp and load, steam in the kitchen, water hammer, a voltage that sags at noon.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import cos, pi, sin
from random import Random

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

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

BOARDS = ("kitchen-board", "laundry-board", "ward-2f-board", "ward-3f-board")
METER, GAS, CO, SOCKET = "main-meter", "kitchen-gas", "boiler-co", "gas-room-socket"
HYDRANTS = {"hydrant": 1.0, "roof-hydrant": 10.0}  # name -> its units in one MPa
MEALS_H = (6.5, 11.5, 17.5)
WET_MS = (2 * DAY_MS, 4 * DAY_MS)  # two days of rain: natural leakage rises

Units = dict[int, SimDevice]


def build_home() -> dict[str, Units]:
    """Bus -> unit -> device, as scripts/benchmarks/week.site.yaml names them."""
    return {
        "plant-room": by_unit(
            [sdm630(METER, 1), *(lx47le(name, 3 + n) for n, name in enumerate(BOARDS))]
        ),
        "kitchen": by_unit([xgardiq(GAS, 7)]),
        "pump-house": by_unit(
            [qdy30a("hydrant", 1), mpd380("roof-hydrant", 2), jxbs_co(CO, 4), pzem016(SOCKET, 5)]
        ),
    }


@dataclass(slots=True, eq=False)
class Wander:
    """A value that walks slowly at random and is pulled back to zero."""

    random: Random
    step: float  # standard deviation of a minute
    value: float = 0.0
    at_ms: int = 0

    def at(self, t_ms: int) -> float:
        minutes = (t_ms - self.at_ms) / 60_000
        if minutes > 0:
            self.at_ms = t_ms
            self.value += self.random.gauss(0, self.step * minutes**0.5) - self.value * min(
                minutes / 180, 1
            )
        return self.value


@dataclass(slots=True, eq=False)
class Life:
    """The daily life of one home; the same seed lives the same week."""

    seed: int
    _wanders: dict[tuple[str, str], Wander] = field(default_factory=dict)

    def settle(self, device: SimDevice, t_ms: int) -> None:
        """Set the truth of one device as it is at a moment, with nothing planted."""
        for kind, live in _LIVES.items():
            if device.name in kind:
                device.truth.update(live(self, device.name, t_ms))
                return

    def wander(self, device: str, what: str, t_ms: int, step: float) -> float:
        key = device, what
        if key not in self._wanders:
            self._wanders[key] = Wander(Random(f"{self.seed}/{device}/{what}"), step)
        return self._wanders[key].at(t_ms)


def load_at(t_ms: int) -> float:
    """Share of the home's full load: low at night, highest while meals are cooked."""
    hour = t_ms % DAY_MS / HOUR_MS
    day = 0.25 + 0.25 * max(0.0, sin(pi * (hour - 5) / 18)) if 5 <= hour <= 23 else 0.25
    return day + sum(0.45 * max(0.0, 1 - abs(hour - meal) / 1.2) for meal in MEALS_H)


def _board(life: Life, name: str, t_ms: int) -> Mapping[str, float]:
    load = max(0.05, load_at(t_ms) + life.wander(name, "load", t_ms, 0.01))
    damp = 25.0 if WET_MS[0] <= t_ms < WET_MS[1] else 0.0
    room = 24 + 4 * cos(2 * pi * (t_ms / DAY_MS - 15 / 24)) + life.wander(name, "room", t_ms, 0.05)
    return {
        "current": 32 * load,
        "voltage": 230 - 5 * load + life.wander("grid", "voltage", t_ms, 0.15),
        "residual_current": max(
            0.0, 45 + damp + 30 * load + life.wander(name, "leakage", t_ms, 0.7)
        ),
        "line_temp": room + 14 * load**2,
        "neutral_temp": room + 10 * load**2,
    }


def _meter(life: Life, name: str, t_ms: int) -> Mapping[str, float]:
    load = max(0.05, load_at(t_ms) + life.wander(name, "load", t_ms, 0.005))
    volts = 230 - 5 * load + life.wander("grid", "voltage", t_ms, 0.15)
    return {"current": 90 * load, "voltage": volts, "energy": 18_231.5 + t_ms / HOUR_MS * 11}


def _gas(life: Life, name: str, t_ms: int) -> Mapping[str, float]:
    """Unburnt gas and steam at meals: up to 5 %LEL."""
    hour = t_ms % DAY_MS / HOUR_MS
    cooking = any(abs(hour - meal) < 0.75 for meal in MEALS_H)
    wave = abs(life.wander(name, "steam", t_ms, 0.4))
    return {
        "gas": 0.4 + (min(wave, 5.0) if cooking else 0.0),
        "ready": 3, "status": 0, "alarm1": 0, "alarm2": 0,
    }  # fmt: skip


def _co(life: Life, name: str, t_ms: int) -> Mapping[str, float]:
    firing = t_ms % (2 * HOUR_MS) < HOUR_MS // 3
    return {"co": 1.5 + (4.0 if firing else 0.0) + min(abs(life.wander(name, "co", t_ms, 0.1)), 3)}


def _hydrant(_life: Life, name: str, t_ms: int) -> Mapping[str, float]:
    """A saw: leaks off slowly, and the pressure-keeping pump fills it up every 40 minutes."""
    saw = 1 - t_ms % (40 * 60_000) / (40 * 60_000)
    return {"pressure": (0.30 + 0.06 * saw) * HYDRANTS[name]}


def _socket(life: Life, _name: str, t_ms: int) -> Mapping[str, float]:
    volts = 228 + life.wander("grid", "voltage", t_ms, 0.15)
    return {"current": 0.05, "voltage": volts, "energy": 8.1 + t_ms / HOUR_MS * 0.01,
            "over_power": 0}  # fmt: skip


_LIVES: dict[tuple[str, ...], Callable[[Life, str, int], Mapping[str, float]]] = {
    BOARDS: _board,
    (METER,): _meter,
    (GAS,): _gas,
    (CO,): _co,
    tuple(HYDRANTS): _hydrant,
    (SOCKET,): _socket,
}


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something short that is no incident: one quantity of one device jumps for a moment."""

    device: str
    quantity: str
    to: float
    for_ms: int
    a_day: float  # how often


DISTURBANCES = (
    Disturbance("hydrant", "pressure", 0.04, 2_500, 6),  # water hammer
    Disturbance("roof-hydrant", "pressure", 0.5, 2_500, 4),
    Disturbance("hydrant", "pressure", 0.9, 2_500, 6),  # the pump starts
    Disturbance(GAS, "gas", 13.0, 6_000, 2),  # alcohol over a hot pan
    Disturbance("laundry-board", "residual_current", 260.0, 1_200, 4),  # a motor is switched
    Disturbance("kitchen-board", "residual_current", 230.0, 1_200, 6),
    Disturbance(METER, "voltage", 190.0, 3_000, 1),  # the grid dips
    Disturbance(CO, "co", 30.0, 12_000, 1),
)
