"""From the last byte of the reply that decides to the panel, and to MQTT after a durable commit."""

import asyncio
import bisect
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from gateway.drivers.sockets import request
from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.house import DETECTORS, House
from scripts.benchmarks.rig import (
    CannotMeasure,
    Running,
    Subscriber,
    World,
    is_at_work,
    open_bare,
    open_gateway,
    open_world,
    subscribed,
    until,
)

OUTPUTS = ("buzzer", "red")


@dataclass(frozen=True, slots=True)
class Plan:
    alarms: int = 200
    buses: int = 5
    units: int = 10
    registers: int = 40
    period_ms: int = 1_000
    is_busy_only: bool = False
    are_boards: bool = False


@dataclass(frozen=True, slots=True)
class Delays:
    panel_ms: Sequence[float]
    mqtt_ms: Sequence[float]


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    """Idle: nothing but the detectors. Busy: the whole house beside it in the same process."""
    figures = []
    async with open_world(
        folder, buses=plan.buses, units=plan.units, registers=plan.registers
    ) as world:
        idle = House((), 0, plan.registers, plan.period_ms, world.broker, "idle",
                     world.field.alarm_port)  # fmt: skip
        busy = replace(
            idle,
            ports=world.field.ports,
            units=plan.units,
            gateway="busy",
            are_boards=plan.are_boards,
        )
        rate = busy.points * 1000 // plan.period_ms
        if not plan.is_busy_only:
            bare = await _bare_delays(world, plan)
            figures += _figures(await _delays(world, idle, plan), bare, "idle")
        devices = f"{plan.buses * plan.units} devices × {plan.registers} points"
        beside = f"beside {devices} every {plan.period_ms} ms ({rate:,} points/s)"
        what = beside if plan.is_busy_only else f"beside {rate:,} points/s"
        figures += _figures(await _delays(world, busy, plan), (), what)
    return figures


def _figures(delays: Delays, bare: Sequence[float], what: str) -> list[Figure]:
    figures = []
    for where, values, others, target in (
        ("panel", delays.panel_ms, (), 10.0),
        ("MQTT, committed", delays.mqtt_ms, bare, 30.0),
    ):
        for name, share, most in (("p50", 0.5, None), ("p99", 0.99, target)):
            figures.append(
                Figure(
                    f"reply to {where}, {what}, {name} of {len(values)}",
                    "ms",
                    (percentile(values, share),),
                    (percentile(others, share),) if others else (),
                    target=most,
                )
            )
    return figures


async def _delays(world: World, house: House, plan: Plan) -> Delays:
    dice, told, arrived = Random(1), [], []
    topic = f"care/1/{house.gateway}/up/a"
    with subscribed(world, topic) as messages:
        async with open_gateway(world, house, house.gateway) as gateway:
            await gateway.status_when(is_at_work)
            for _ in range(plan.alarms):
                await asyncio.sleep(dice.uniform(0, house.alarm_period_ms / 1000))
                told.append(await world.field.set_contact(1))
                arrived.append(await _transition(messages, "raise"))
                await _acknowledged(gateway)
                await world.field.set_contact(0)
                await _transition(messages, "clear")
                await gateway.status_when(lambda status: status["alarms"] == [])
            rises = {name: _rises(gateway, name) for name in OUTPUTS}
    panel = [max(_first_after(rises[name], at) for name in OUTPUTS) - at for at in told]
    return Delays(panel, [at - begin for begin, at in zip(told, arrived, strict=True)])


async def _transition(messages: Subscriber, name: str) -> float:
    """When the message of this transition came; it must tell of a record that is on disk."""
    at, body = await messages.next_where(lambda _, body: json.loads(body)["tr"] == name)
    if json.loads(body).get("durable") is False:
        raise CannotMeasure("an alarm was sent before it was on disk")
    return at


async def _acknowledged(gateway: Running) -> None:
    answer = await request(gateway.socket, {"verb": "acknowledge", "by": "bench"})
    if not answer["ok"]:
        raise CannotMeasure(f"the alarm could not be acknowledged: {answer}")


def _rises(gateway: Running, name: str) -> list[float]:
    lines = map(json.loads, gateway.pins_file.read_text("ascii").splitlines())
    return [line["t"] for line in lines if (line["pin"], line["level"]) == (name, 1)]


def _first_after(moments: Sequence[float], at: float) -> float:
    place = bisect.bisect_left(moments, at)
    if place == len(moments):
        raise CannotMeasure("the panel never showed an alarm")
    return moments[place]


async def _bare_delays(world: World, plan: Plan) -> list[float]:
    """What a message alone takes: the same reply, only published."""
    house = House([world.field.alarm_port], DETECTORS, 1, 50, world.broker)
    delays = []
    with subscribed(world, "bare/#") as messages:
        async with open_bare(world, house, "bare"):
            await until(lambda: not messages.seen.empty(), "the bare loop")
            for _ in range(plan.alarms):
                begin = await world.field.set_contact(1)
                at = -math.inf
                while at < begin:  # an earlier message is of the detector before
                    at, _ = await messages.next_where(lambda _, body: json.loads(body)["n0"] > 0)
                delays.append(at - begin)
                await world.field.set_contact(0)
    return delays
