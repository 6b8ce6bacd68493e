"""What can go wrong in the home of `gateway.sim.home`, and what has to be raised for it by when."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from gateway.sim.home import BOARDS, CO, GAS, HYDRANTS, METER, SOCKET

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Expect:
    """A rule that has to be raised; `quantity` passes `beyond` (its limit and the noise) first."""

    rule: str
    quantity: str = ""
    beyond: float = 0.0


@dataclass(frozen=True, slots=True)
class Incident:
    """One planted incident on a device, or on a bus that goes down whole.

    `to`: quantity -> value that it reaches within `ramp_ms` and keeps until the end.
    """

    kind: str
    subject: str
    at_ms: int
    for_ms: int
    expects: tuple[Expect, ...]
    to: Mapping[str, float]
    ramp_ms: int = 0
    is_silent: bool = False
    is_bus: bool = False

    @property
    def end_ms(self) -> int:
        return self.at_ms + self.for_ms

    def value_at(self, quantity: str, calm: float, t_ms: int) -> float:
        """What the quantity is while this incident runs, where `calm` is what it would be."""
        done = 1.0 if self.ramp_ms == 0 else min((t_ms - self.at_ms) / self.ramp_ms, 1.0)
        return calm + (self.to[quantity] - calm) * done


def plan_incidents(random: Random, count: int, length_ms: int) -> tuple[Incident, ...]:
    """One incident in each of `count` equal parts; every kind comes before one repeats."""
    slot = length_ms // max(count, 1)
    kinds: list[Callable[[Random, int], Incident]] = []
    while len(kinds) < count:
        kinds.extend(random.sample(KINDS, len(KINDS)))
    return tuple(
        kinds[n](random, n * slot + random.randint(slot // 20, slot - 90 * MINUTE_MS))
        for n in range(count)
    )


def _minutes(random: Random, least: int, most: int) -> int:
    return random.randint(least, most) * MINUTE_MS


def _rule(device: str, point: str, name: str) -> str:
    return f"{device}.{point}/{name}"


def leakage_step(random: Random, at_ms: int) -> Incident:
    board = random.choice(BOARDS)
    leak = "residual_current"
    expects = (
        Expect(_rule(board, leak, "residual_warning"), leak, 200),
        Expect(_rule(board, leak, "residual_alarm"), leak, 300),
    )
    return Incident("leakage", board, at_ms, _minutes(random, 5, 60), expects,
                    {leak: random.uniform(330, 800)})  # fmt: skip


def leakage_creep(random: Random, at_ms: int) -> Incident:
    board = random.choice(BOARDS)
    leak = "residual_current"
    expects = (Expect(_rule(board, leak, "residual_warning"), leak, 204),)
    return Incident("creeping leakage", board, at_ms, 60 * MINUTE_MS, expects,
                    {leak: random.uniform(230, 280)}, ramp_ms=40 * MINUTE_MS)  # fmt: skip


def hot_terminal(random: Random, at_ms: int) -> Incident:
    board = random.choice(BOARDS)
    point = "temperature_l1"
    expects = (
        Expect(_rule(board, point, "temperature_warning"), "line_temp", 56.5),
        Expect(_rule(board, point, "temperature_alarm"), "line_temp", 71.5),
    )
    return Incident("hot terminal", board, at_ms, 45 * MINUTE_MS, expects,
                    {"line_temp": random.uniform(80, 110)},
                    ramp_ms=_minutes(random, 5, 30))  # fmt: skip


def gas_creep(random: Random, at_ms: int) -> Incident:
    expects = (Expect(_rule(GAS, "concentration", "gas_warning"), "gas", 10.3),)
    return Incident("gas, slowly", GAS, at_ms, 20 * MINUTE_MS, expects,
                    {"gas": random.uniform(13, 18)}, ramp_ms=5 * MINUTE_MS)  # fmt: skip


def gas_burst(random: Random, at_ms: int) -> Incident:
    expects = (
        Expect(_rule(GAS, "concentration", "gas_warning"), "gas", 10.3),
        Expect(_rule(GAS, "concentration", "gas_alarm"), "gas", 20.3),
        Expect(_rule(GAS, "concentration", "gas_high"), "gas", 50.3),
        Expect(_rule(GAS, "alarm1", "detector_alarm"), "alarm1", 0.9),
        Expect(_rule(GAS, "alarm2", "detector_alarm"), "alarm2", 0.9),
    )
    return Incident("gas", GAS, at_ms, _minutes(random, 3, 20), expects,
                    {"gas": random.uniform(55, 90), "alarm1": 1, "alarm2": 1})  # fmt: skip


def co_leak(random: Random, at_ms: int) -> Incident:
    expects = (
        Expect(_rule(CO, "co", "co_warning"), "co", 24.5),
        Expect(_rule(CO, "co", "co_alarm"), "co", 160.5),
    )
    return Incident("CO", CO, at_ms, 20 * MINUTE_MS, expects,
                    {"co": random.uniform(200, 400)}, ramp_ms=3 * MINUTE_MS)  # fmt: skip


def no_pressure(random: Random, at_ms: int) -> Incident:
    hydrant = random.choice(list(HYDRANTS))
    scale = HYDRANTS[hydrant]
    expects = (
        Expect(_rule(hydrant, "pressure", "pressure_low_warning"), "pressure", 0.098 * scale),
        Expect(_rule(hydrant, "pressure", "pressure_low_alarm"), "pressure", 0.068 * scale),
    )
    return Incident("no pressure", hydrant, at_ms, 30 * MINUTE_MS, expects,
                    {"pressure": 0.03 * scale}, ramp_ms=_minutes(random, 1, 10))  # fmt: skip


def surge(random: Random, at_ms: int) -> Incident:
    expects = (
        Expect(_rule(METER, "voltage_l1", "voltage_high_warning"), "voltage", 243.5),
        Expect(_rule(METER, "voltage_l1", "voltage_high_alarm"), "voltage", 265.5),
    )
    return Incident("surge", METER, at_ms, _minutes(random, 2, 10), expects,
                    {"voltage": random.uniform(270, 290)})  # fmt: skip


def over_power(random: Random, at_ms: int) -> Incident:
    expects = (Expect(_rule(SOCKET, "over_power_alarm", "over_power"), "over_power", 0.9),)
    return Incident("over power", SOCKET, at_ms, _minutes(random, 1, 10), expects,
                    {"over_power": 1, "current": 9.0})  # fmt: skip


def detector_fails(random: Random, at_ms: int) -> Incident:
    expects = (Expect(_rule(GAS, "status", "detector_fault"), "status", 2.9),)
    return Incident("detector fails", GAS, at_ms, _minutes(random, 5, 30), expects,
                    {"status": 3})  # fmt: skip


def device_dies(random: Random, at_ms: int) -> Incident:
    device = random.choice((*BOARDS, METER, *HYDRANTS, CO, SOCKET))
    return Incident("device dies", device, at_ms, _minutes(random, 5, 40),
                    (Expect(f"gateway/device_silent/{device}"),), {}, is_silent=True)  # fmt: skip


def bus_dies(random: Random, at_ms: int) -> Incident:
    bus = random.choice(("plant-room", "pump-house", "kitchen"))
    return Incident("bus dies", bus, at_ms, _minutes(random, 2, 20),
                    (Expect(f"gateway/bus_down/{bus}"),), {}, is_bus=True)  # fmt: skip


KINDS: tuple[Callable[[Random, int], Incident], ...] = (
    leakage_step, leakage_creep, hot_terminal, gas_creep, gas_burst, co_leak, no_pressure, surge,
    over_power, detector_fails, device_dies, bus_dies,
)  # fmt: skip
