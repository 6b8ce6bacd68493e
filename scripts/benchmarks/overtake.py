"""A fresh alarm beside a backlog on a slow line: from its raise to the platform's ack.

Between our forwarder and mosquitto stands a relay that passes 4 kB/s upward with 150 ms each way,
and holds everything up for 0.4 s now and then, as TCP does when a packet is lost. The backlog is
in the store and takes hours at that speed, so the line is full all the time.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gateway.core.messages import fact_body, read_body
from gateway.domain.outcome import Outcome
from gateway.domain.records import Lane, Range, Record
from gateway.domain.site import Broker, Reconnect, StoreSpec, Uplink
from gateway.drivers import mqtt
from gateway.sim.broker import SimBroker, open_broker
from gateway.store.store import Store, open_store
from gateway.tasks.forward import Incoming, forward
from scripts.benchmarks.drain import (
    GATEWAY,
    NEW,
    QUIET,
    _describe,
    _nothing,
    clock,
    make_backlog,
    mono_ms,
    open_platform,
    until,
)
from scripts.benchmarks.figures import Figure, percentile

PIECE = 256  # bytes that the relay passes at once
STALL_S, STALL_SHARE = 0.4, 0.01  # of the pieces: about one message of twenty


@dataclass(frozen=True, slots=True)
class Plan:
    alarms: int = 100
    batches: int = 1_000
    readings: int = 1_000
    bytes_per_s: int = 4_000
    delay_s: float = 0.15
    every_s: float = 6.0


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    await asyncio.to_thread(partial(folder.mkdir, parents=True))
    await make_backlog(folder / "store", plan.batches, plan.readings)
    async with (
        open_broker(folder) as broker,
        open_platform(broker),
        open_slow_line(broker, plan) as line,
    ):
        delays, drained = await _overtake(folder / "store", line, plan)
    what = f"beside a backlog at {plan.bytes_per_s // 1000} kB/s"
    return [
        Figure(f"alarm raised to acknowledged, {what}, {name} of {len(delays)}", "s",
               (percentile(delays, share),), target=most)
        for name, share, most in (("p50", 0.5, None), ("p99", 0.99, 10.0))
    ] + [Figure("backlog batches that went meanwhile", "", (float(drained),))]  # fmt: skip


@asynccontextmanager
async def open_slow_line(broker: SimBroker, plan: Plan) -> AsyncIterator[Broker]:
    """A port on which the broker is reached slowly."""
    dice, tasks = random.Random(1), set[asyncio.Task[None]]()
    path = broker.url.removeprefix("mqtt+unix://")

    async def pass_on(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter, rate: float
    ) -> None:
        loop = asyncio.get_running_loop()
        free_at = loop.time()
        while piece := await source.read(PIECE):
            stall_s = STALL_S if dice.random() < STALL_SHARE else 0.0
            free_at = max(free_at, loop.time()) + len(piece) / rate + stall_s
            loop.call_at(free_at + plan.delay_s, sink.write, piece)
            await asyncio.sleep(free_at - loop.time())
        sink.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(path)
        for part in (
            pass_on(reader, far_writer, plan.bytes_per_s),
            pass_on(far_reader, writer, 50_000),
        ):
            task = asyncio.create_task(part)
            tasks.add(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=PIECE)
    try:
        yield Broker("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _overtake(folder: Path, line: Broker, plan: Plan) -> tuple[list[float], int]:
    incoming, stopping = Incoming(), asyncio.Event()
    uplink = Uplink(GATEWAY, (line,), reconnect=Reconnect.LOCAL, probe_ms=10_000)
    acked: dict[int, float] = {}
    drained = 0

    def settle(store: Store, ranges: tuple[Range, ...]) -> None:
        nonlocal drained
        for each in ranges:
            if each.lane is Lane.A:
                acked.update(dict.fromkeys(range(each.lo, each.hi + 1), time.monotonic()))
            else:
                drained += each.hi - each.lo + 1
        store.settle(ranges)

    async with open_store(
        StoreSpec(folder), epoch=NEW.epoch, encode=partial(read_body, NEW),
        on_durable=incoming.durable, on_fault=print,
    ) as store:  # fmt: skip
        task = asyncio.create_task(
            forward(
                uplink=uplink, sender=NEW, load=store.unsettled, retained=store.retained,
                position=store.position, settle=partial(settle, store), bounds=store.bounds,
                incoming=incoming, post=_nothing, clock=clock, mono=mono_ms,
                jitter=random.uniform, describe=_describe,
                points=lambda: b'{"v":1,"t":"points"}', now_snapshot=lambda: None,
                stopping=stopping,
                connect=lambda broker, will, hear: mqtt.connect(
                    uplink, broker, client_id=GATEWAY, will=will, on_message=hear
                ),
                reach=partial(mqtt.reach, uplink), is_own_epoch=store.knows_epoch,
            )
        )  # fmt: skip
        try:
            await until(lambda: drained > 0, "the backlog to begin")
            made = [await _raise(store, incoming, seq, plan) for seq in range(1, plan.alarms + 1)]
            await until(lambda: len(acked) == plan.alarms, "the last alarm")
            return [acked[seq] - at for seq, at in enumerate(made, 1)], drained
        finally:
            stopping.set()
            await asyncio.wait({task}, timeout=10)


async def _raise(store: Store, incoming: Incoming, seq: int, plan: Plan) -> float:
    """Commit an alarm of 900 bytes and wait for the next one; when it was made."""
    at = time.monotonic()
    body = fact_body(NEW, Lane.A, seq, kind="alarm", at=clock(), fields={"x": "x" * 700})
    record = Record(Lane.A, NEW.epoch, seq, "alarm", clock(), body)
    incoming.submitted((record,))
    store.submit(replace(Outcome(QUIET), records=(record,)))
    await asyncio.sleep(plan.every_s * random.uniform(0.5, 1.5))
    return at
