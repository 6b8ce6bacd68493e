"""What goes beyond the hypothesis of `plan`, in simulated time: which fault says so, and how soon.

Door, schedule, poll task and decider are the daemon's own, on a wire in memory. The line is well
for a minute, then something happens to it for two, then all is well again. Faults that nothing was
the matter for are told as well.
"""

import asyncio
import errno
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from random import Random

from gateway.core.blocks import ReadBlock, plan_blocks
from gateway.core.detect import Hypothesis, plan_bus, silent_within_ms
from gateway.core.messages import sender_of
from gateway.core.schedule import Schedule
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain.events import Event, Ticked
from gateway.domain.moments import Clk, Now
from gateway.domain.site import Bus
from gateway.drivers.modbus import MASTER_REQUESTS, MASTER_WITHIN_S, Client, open_bus
from gateway.sim.day import line_site
from gateway.sim.line import Conduct, Wire, framed, manner_of
from gateway.sim.loop import run_simulated
from gateway.tasks.poll import poll_bus, tell_fault
from scripts.benchmarks.transactions import MemoryPort, attach

DEVICES, PLAIN_POINTS = 10, 8
BEGINS_S, ENDS_S, OVER_S = 60.0, 180.0, 300.0
TICK_S = 0.05
ASKED_EVERY_S = 4.0  # by the other master, which does not listen before it speaks
MISSES = 3  # after which what is not answered is a fault


@dataclass(frozen=True, slots=True)
class Trouble:
    """`faults`: what has to be raised, each within `within_ms` of the beginning.

    `besides`: what else is true then and may be raised, by the beginnings of its names.
    """

    name: str
    faults: frozenset[str]
    within_ms: int
    cleared_within_ms: int
    besides: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """Milliseconds from the beginning of the trouble; from its end for what was cleared."""

    trouble: Trouble
    raised: dict[str, int] = field(default_factory=dict)
    cleared: dict[str, int] = field(default_factory=dict)

    @property
    def missed(self) -> frozenset[str]:
        """What was not raised, or not cleared, within its bound."""
        late = {name for name in self.trouble.faults
                if self.raised.get(name, 1 << 40) > self.trouble.within_ms
                or self.cleared.get(name, 1 << 40) > self.trouble.cleared_within_ms}  # fmt: skip
        return frozenset(late)

    @property
    def false(self) -> frozenset[str]:
        others = self.raised.keys() - self.trouble.faults
        return frozenset(name for name in others if not name.startswith(self.trouble.besides))

    @property
    def worst(self) -> float:
        """The largest share of the bound that a fault took."""
        took = [self.raised.get(name, 1 << 40) for name in self.trouble.faults]
        return max(took) / self.trouble.within_ms


@dataclass(slots=True, eq=False)
class Line:
    """What the simulated line does at present."""

    silent: set[int] = field(default_factory=set)  # units
    lame: set[int] = field(default_factory=set)  # units that answer only their first registers
    is_pulled: bool = False
    is_asked: bool = False  # by another master
    port: MemoryPort | None = None
    client: Client | None = None

    def answer(self, unit: int, pdu: bytes) -> bytes | None:
        function, start, count = struct.unpack(">BHH", pdu)
        if unit in self.silent or (unit in self.lame and start > 0):
            return None
        return struct.pack(f">BB{count}H", function, 2 * count, *[100] * count)

    def pull(self) -> None:
        self.is_pulled = True
        if self.port is not None and self.client is not None:
            self.port.close()
            self.client.ctx.connection_lost(OSError(errno.EIO, "unplugged"))


def troubles(baud: int) -> dict[str, tuple[Trouble, Callable[[Line], None]]]:
    """What can happen, and how it is done to a line."""
    site = line_site(DEVICES, baud, PLAIN_POINTS)
    bus = site.buses[0]
    plan = plan_bus(site, bus, Hypothesis())
    many = Hypothesis().silent + 3
    longest = max(cost.block.period_ms for cost in plan.costs)
    lost = ceil(max(cost.lost_ms for cost in plan.costs))
    found = max(each.read_within_ms for each in plan.detections)
    made = (
        (Trouble("more devices silent than planned for",
                 frozenset(f"device_silent/d{n}" for n in range(many)),
                 silent_within_ms(plan, many), silent_within_ms(plan, many)),
         lambda line: line.silent.update(range(1, many + 1))),
        (Trouble("nobody answers", frozenset({"bus_silent/line"}),
                 silent_within_ms(plan, DEVICES), silent_within_ms(plan, DEVICES)),
         lambda line: line.silent.update(range(1, DEVICES + 1))),
        (Trouble("adapter pulled", frozenset({"bus_down/line"}), 2_000 + lost, 5_000 + found),
         Line.pull),
        (Trouble("another master asks", frozenset({"foreign_master/line"}),
                 ceil(1000 * MASTER_REQUESTS * ASKED_EVERY_S) + found,
                 ceil(1000 * MASTER_WITHIN_S) + found, ("device_silent/", "points_unanswered/")),
         lambda line: setattr(line, "is_asked", True)),
        (Trouble("a device answers one block of two", frozenset({"points_unanswered/d3"}),
                 MISSES * (longest + lost + bus.late_ms) + found, 5_000 + 2 * found),
         lambda line: line.lame.add(4)),
    )  # fmt: skip
    return {trouble.name: (trouble, begin) for trouble, begin in made}


def live_through_trouble(name: str, baud: int, seed: int = 1) -> Found:
    """Play one of `troubles`; the same seed gives the same one."""
    trouble, begin = troubles(baud)[name]
    return run_simulated(_play(trouble, begin, baud, Random(seed)))


async def _play(
    trouble: Trouble, begin: Callable[[Line], None], baud: int, random: Random
) -> Found:
    loop = asyncio.get_running_loop()
    site, line, found = line_site(DEVICES, baud, PLAIN_POINTS), Line(), Found(trouble)
    bus = site.buses[0]
    began_s, ended_s = BEGINS_S + random.uniform(0, 10), ENDS_S + random.uniform(0, 10)
    calm = manner_of(Conduct(turnaround_s=0.01, jitter_s=0.03), random)
    wire = Wire([line.answer], baud, emit=lambda _: None, manner=calm, piece_s=0.016)
    within = {each.rule.id: each.read_within_ms + 1_000
              for each in plan_bus(site, bus, Hypothesis()).detections}  # fmt: skip
    house = house_of(site, sender_of(site, "epoch0000001"), "0", within)

    def mono_ms() -> int:
        return round(1000 * loop.time())

    def now() -> Now:
        return Now(mono_ms(), None, Clk.NONE, 0, "sim")

    state = state_of(house, (), now())

    def feed(event: Event) -> None:
        nonlocal state
        state, outcome = step(state, event, now())
        for record in outcome.records:
            if record.kind == "alarm":
                body = json.loads(record.body)
                code = body["rule"].removeprefix("gateway/")
                if body["tr"] in ("raise", "again"):
                    found.raised.setdefault(code, mono_ms() - round(1000 * began_s))
                elif body["tr"] == "clear":
                    found.cleared[code] = mono_ms() - round(1000 * ended_s)

    async def dial(client: Client, _bus: Bus) -> asyncio.BaseTransport:
        if line.is_pulled:
            raise OSError(errno.ENOENT, "unplugged")
        line.client, line.port = client, attach(client, wire)
        return line.port

    async def ask() -> None:
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.0) * ASKED_EVERY_S)
            if line.is_asked:
                wire.ask(framed(struct.pack(">BBHH", 200, 3, 0, 2)))

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if state.next_deadline_ms is not None and mono_ms() >= state.next_deadline_ms:
                feed(Ticked())

    async def sleep_until(until_ms: int) -> None:
        await asyncio.sleep(max(0.0, until_ms / 1000 - loop.time()))

    async def put(event: Event) -> None:
        feed(event)

    async with open_bus(bus, dial=dial) as door:

        async def read(block: ReadBlock, timeout: int) -> Sequence[int]:
            return await door.read(block.unit, block.table, block.start, block.count, timeout)

        schedule = Schedule(
            bus,
            [block for device in site.devices for block in plan_blocks(device, bus)],
            mono_ms(),
            hold_ms=lambda block: door.hold_ms(block.unit, block.table, block.count),
        )
        tell = tell_fault(lambda: door.foreign_master, "foreign_master", bus.id, feed)
        polling = poll_bus(schedule, read=read, put=put, clock=mono_ms, sleep_until=sleep_until,
                           beat=tell)  # fmt: skip
        tasks = [asyncio.create_task(each) for each in (polling, ask(), tick())]
        await asyncio.sleep(began_s)
        begin(line)
        await asyncio.sleep(ended_s - began_s)
        line.silent.clear()
        line.lame.clear()
        line.is_pulled = line.is_asked = False
        await asyncio.sleep(OVER_S - ended_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found
