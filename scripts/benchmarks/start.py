"""From the spawn of the process to its first message and to its first value on MQTT."""

from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.house import House
from scripts.benchmarks.rig import World, open_bare, open_gateway, open_world, subscribed


@dataclass(frozen=True, slots=True)
class Plan:
    repeats: int = 7
    buses: int = 5
    units: int = 10
    registers: int = 40


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    """One device, then the whole house: the difference is reading the site file."""
    figures = []
    for buses, units in ((1, 1), (plan.buses, plan.units)):
        figures += await _starts(folder / f"{buses}x{units}", plan, buses, units)
    return figures


async def _starts(folder: Path, plan: Plan, buses: int, units: int) -> list[Figure]:
    what = f"{buses * units} device{'s' if buses * units > 1 else ''} × {plan.registers} points"
    state, value, bare = [], [], []
    async with open_world(folder, buses=buses, units=units, registers=plan.registers) as world:
        for turn in range(plan.repeats + 1):  # the first one only fills the caches
            house = House(
                world.field.ports, units, plan.registers, 1_000, world.broker, f"start-{turn}"
            )
            first = await _first_messages(world, house, f"gateway-{turn}")
            state.append(first[0])
            value.append(first[1])
            bare.append(await _first_of_bare(world, house, f"bare-{turn}"))
    return [
        Figure(f"start to state message, {what}", "s", tuple(state[1:])),
        Figure(f"start to first value, {what}", "s", tuple(value[1:]), tuple(bare[1:]), target=1.0),
    ]


async def _first_messages(world: World, house: House, name: str) -> tuple[float, float]:
    topic = f"care/1/{house.gateway}/up"
    with subscribed(world, f"{topic}/state", f"{topic}/r") as messages:
        async with open_gateway(world, house, name) as gateway:
            state_ms, _ = await messages.next_where(lambda t, _: t.endswith("/state"))
            value_ms, _ = await messages.next_where(lambda t, _: t.endswith("/r"))
    return (state_ms - gateway.spawned_ms) / 1000, (value_ms - gateway.spawned_ms) / 1000


async def _first_of_bare(world: World, house: House, name: str) -> float:
    with subscribed(world, "bare/#") as messages:
        async with open_bare(world, house, name) as bare:
            at_ms, _ = await messages.next_where(lambda _t, _b: True)
    return (at_ms - bare.spawned_ms) / 1000
