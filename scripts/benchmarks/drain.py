"""Draining a backlog after an outage, against paho alone publishing the same payloads with QoS 1.

Both publish to a platform that is subscribed and acknowledges 64 records at a time, or what it has
after 0.1 s; it keeps nothing, so that neither waits for it. Ours reads the backlog from
readings.db, settles it there as the platform acknowledges, and is done when nothing is left; paho
is done with its last PUBACK: it has no disk, no platform to wait for, and a window of 20 messages.

Ours drains in a process of its own, which tells its peak of resident memory: with ten times the
backlog it may not be more.
"""

import asyncio
import json
import math
import random
import re
import select
import shutil
import socket
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.core.delivery import as_ranges
from gateway.core.messages import Sender, as_history, read_body, state_body
from gateway.domain.events import Event
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import Broker, Delivery, Reconnect, StoreSpec, Uplink
from gateway.drivers import mqtt, packets
from gateway.sim.broker import SimBroker, open_broker
from gateway.sim.processes import end
from gateway.store.store import Store, open_store
from gateway.tasks.forward import Incoming, forward
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.rig import ROOT, CannotMeasure

PATIENCE_S = 300.0
SWITCH_S = 0.001  # as `gateway.cli.run`, whose import would be part of the memory
ACK_MESSAGES, ACK_S = 64, 0.1
HEAD = re.compile(rb'"ep":"(\w+)","lane":"R","seq":(\d+)')
GATEWAY = "drain"
POINTS = {f"meter.p{n}": n for n in range(200)}
OLD = Sender(GATEWAY, "before", {"id": "x"}, "abcd1234", POINTS)
_CONNECT = b"\x10\x15\0\x04MQTT\x05\x02\0\0\0\0\x08platform"  # MQTT 5, clean start, no pings
_SUBSCRIBE = b"\x82\x13\0\x01\0\0\x0dcare/1/+/up/#\x01"
NEW = Sender(GATEWAY, "after", {"id": "x"}, "abcd1234", POINTS)


QUIET = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """`shapes`: batches in the backlog and readings in each."""

    repeats: int = 3
    shapes: tuple[tuple[int, int], ...] = ((25_000, 40), (4_000, 1_000))


def mono_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def clock() -> Now:
    return Now(mono_ms(), time.time_ns() // 1_000_000, Clk.SYNC, 40, "0123456789ab")


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    figures = []
    for batches, readings in plan.shapes:
        ours, bare, peaks, small_peaks, cpu, bare_cpu = [], [], [], [], [], []
        kept = folder / f"backlog-{readings}"
        bodies = await make_backlog(kept, batches, readings)
        small = folder / f"small-{readings}"
        await make_backlog(small, batches // 10, readings)
        for turn in range(plan.repeats):
            place = folder / f"drain-{readings}-{turn}"
            place.mkdir(parents=True)
            async with open_broker(place) as broker:
                async with open_platform(broker):
                    began = time.process_time()
                    bare.append(batches / await asyncio.to_thread(publish_bare, broker, bodies))
                    bare_cpu.append((time.process_time() - began) * 1e6 / batches)
                _, _, peak = await drain_apart(small, place / "small", broker, batches // 10)
                small_peaks.append(peak)
                seconds, cpu_s, peak = await drain_apart(kept, place / "store", broker, batches)
                ours.append(batches / seconds)
                cpu.append(cpu_s * 1e6 / batches)
                peaks.append(peak)
            shutil.rmtree(place)
        shutil.rmtree(kept)
        shutil.rmtree(small)
        many = f"{batches:,} batches of {readings} readings"
        figures += [
            Figure(
                f"backlog drain, {many}", "batches/s", tuple(ours), tuple(bare), 0.6,
                is_ratio=True, is_floor=True,
            ),
            Figure(f"CPU per batch, {many}", "µs", tuple(cpu), tuple(bare_cpu)),
            Figure(
                f"peak memory while draining {many}; in the place of bare: a tenth of them", "MiB",
                tuple(peaks), tuple(small_peaks), 1.1, is_ratio=True,
            ),
        ]  # fmt: skip
    return figures


async def drain_apart(
    kept: Path, copy: Path, broker: SimBroker, batches: int
) -> tuple[float, float, float]:
    """Drain a copy of the backlog in a new process: seconds, of CPU too, and peak memory in MiB."""
    await asyncio.to_thread(shutil.copytree, kept, copy)
    async with open_platform(broker):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scripts.benchmarks.drain", broker.url, str(copy), str(batches),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        finally:
            await end(process)
    if process.returncode:
        raise CannotMeasure("the backlog was not drained")
    found = json.loads(said)
    return found["seconds"], found["cpu_s"], found["peak_mib"]


@asynccontextmanager
async def open_platform(broker: SimBroker) -> AsyncIterator[None]:
    """The acknowledging platform, in a process of its own, subscribed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.benchmarks.drain", broker.url, cwd=ROOT
    )
    try:
        await until(partial(is_heard, broker), "the platform to subscribe")
        yield
    finally:
        await end(process)


def acknowledge(url: str) -> None:
    """Be the platform until SIGTERM: bytes in, bytes out, so that it is not what is measured."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(url.removeprefix("mqtt+unix://"))
        sock.sendall(_CONNECT + _SUBSCRIBE)
        platform, arrived = Platform(), bytearray()
        while True:
            due, _, _ = select.select([sock], [], [], ACK_S / 5)
            if due:
                data = sock.recv(256 * 1024)
                if not data:
                    return
                arrived += data
                at = 0
                while (packet := packets.first_packet(arrived, at)) is not None:
                    if packet.head >> 4 == 3:
                        platform.hear(arrived, packet)
                    at = packet.end
                del arrived[:at]
            sock.sendall(platform.take_answers(time.monotonic()))


@dataclass(slots=True)
class Platform:
    """What it heard and has not answered yet."""

    out: bytearray = field(default_factory=bytearray)
    waiting: dict[str, list[int]] = field(default_factory=dict)  # epoch -> numbers of lane R
    count: int = 0
    since: float = math.inf
    mid: int = 0

    def hear(self, data: bytearray, packet: packets.Packet) -> None:
        start = packet.body + 2
        end = start + (data[packet.body] << 8 | data[packet.body + 1])
        topic, payload = data[start:end].decode(), data[end + 3 : packet.end]
        if packet.head & 0x06:
            self.out += b"\x40\x02" + data[end : end + 2]
        root, _, kind = topic.rsplit("/", 2)
        if kind == "state":
            self._publish(f"{root}/dn/hello", {"v": 1, "t": "hello", "ack": 1})
        elif kind == "a":
            alarm = json.loads(payload)
            self._settle(root, alarm["ep"], {"A": [[alarm["seq"]] * 2]})
        elif kind == "r" and (found := HEAD.search(head_of(payload))):
            self.waiting.setdefault(found[1].decode(), []).append(int(found[2]))
            self.count += 1

    def take_answers(self, now: float) -> bytes:
        if self.count and self.since == math.inf:
            self.since = now
        if self.count >= ACK_MESSAGES or now - self.since >= ACK_S:
            for epoch, numbers in self.waiting.items():
                ranges = [[r.lo, r.hi] for r in as_ranges((Lane.R, epoch, n) for n in numbers)]
                self._settle(f"care/1/{GATEWAY}", epoch, {"R": ranges})
            self.waiting, self.count, self.since = {}, 0, math.inf
        out, self.out = bytes(self.out), bytearray()
        return out

    def _settle(self, root: str, epoch: str, ranges: dict[str, list[list[int]]]) -> None:
        self._publish(f"{root}/dn/ack", {"v": 1, "t": "ack", "ep": epoch, **ranges})

    def _publish(self, topic: str, message: dict[str, object]) -> None:
        self.mid = self.mid % 0xFFFF + 1
        body = json.dumps(message).encode()
        self.out += packets.publish(topic, body, self.mid, qos=1, retain=False, has_properties=True)


def head_of(payload: bytes | bytearray) -> bytes | bytearray:
    """The first bytes of the JSON: the record's id is in them."""
    if payload[:1] != b"\x78":
        return payload
    return zlib.decompressobj().decompress(payload[:400], 200)


def is_heard(broker: SimBroker) -> bool:
    """True when somebody takes what is published: the PUBACK does not say 0x10."""
    codes: list[int] = []
    client = new_client(broker, "look", codes.append)
    try:
        client.publish("care/1/look/up/x", b"{}", qos=1).wait_for_publish(5)
    finally:
        client.disconnect()
        client.loop_stop()
    return codes == [0]


def new_client(broker: SimBroker, name: str, on_code: Callable[[int], None]) -> paho.Client:
    """A connected paho client whose thread runs; `on_code` gets each PUBACK's reason."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5,
        transport="unix",
    )  # fmt: skip
    is_up = threading.Event()
    client.on_connect = lambda *_: is_up.set()
    client.on_publish = lambda _c, _u, _mid, code, _p: on_code(code.value)
    client.connect(broker.url.removeprefix("mqtt+unix://"))
    client.loop_start()
    if not is_up.wait(10):
        raise CannotMeasure("the broker does not answer")
    return client


async def make_backlog(folder: Path, batches: int, readings: int) -> list[bytes]:
    """Commit batches as a daemon would have; return their bodies as they are sent late."""
    dice = random.Random(1)
    spec = StoreSpec(folder)
    durable: list[bytes] = []
    async with open_store(
        spec, epoch=OLD.epoch, encode=partial(read_body, OLD),
        on_durable=lambda records: durable.extend(as_history(r.body) for r in records),
        on_fault=print,
    ) as store:  # fmt: skip
        for seq in range(1, batches + 1):
            at = clock()
            batch = Batch(OLD.epoch, seq, at, tuple(_readings(dice, readings, at.mono_ms)))
            store.submit(Outcome(QUIET, batch=batch))
            if seq % 64 == 0:
                await store.flush()
        await store.flush()
        await until(lambda: len(durable) == batches, "the backlog to be committed")
    return durable


def _readings(dice: random.Random, count: int, mono_ms: int) -> list[Reading]:
    names = list(POINTS)
    return [
        Reading(names[n % len(names)], round(dice.gauss(50, 5), 1), Quality.GOOD, mono_ms + n)
        for n in range(count)
    ]


def publish_bare(broker: SimBroker, bodies: list[bytes]) -> float:
    """Seconds that paho needs for all payloads, from the first publish to the last PUBACK."""
    acked = threading.Semaphore(0)
    client = new_client(broker, "bare", lambda _: acked.release())
    try:
        began = time.monotonic()
        for body in bodies:
            client.publish(f"care/1/{GATEWAY}/up/r", body, qos=1)
        for _ in bodies:
            if not acked.acquire(timeout=PATIENCE_S):
                raise CannotMeasure("a PUBACK is missing")
        return time.monotonic() - began
    finally:
        client.disconnect()
        client.loop_stop()


async def drain(folder: Path, url: str, batches: int) -> float:
    """Seconds from the link's first try until the platform has acknowledged everything."""
    incoming, stopping = Incoming(), asyncio.Event()
    target = Broker("localhost", 0, unix_path=url.removeprefix("mqtt+unix://"))
    uplink = Uplink(GATEWAY, (target,), reconnect=Reconnect.LOCAL, probe_ms=2_000)
    async with open_store(
        StoreSpec(folder), epoch=NEW.epoch, encode=partial(read_body, NEW),
        on_durable=incoming.durable, on_fault=print,
    ) as store:  # fmt: skip
        left = {"batches": batches}
        began = time.monotonic()
        task = asyncio.create_task(
            forward(
                uplink=uplink, sender=NEW, load=store.unsettled, retained=store.retained,
                position=store.position,
                settle=partial(_settle, store, left), bounds=store.bounds, incoming=incoming,
                post=_nothing, clock=clock, mono=mono_ms, jitter=random.uniform, describe=_describe,
                points=lambda: b'{"v":1,"t":"points"}', now_snapshot=lambda: None,
                stopping=stopping,
                connect=lambda broker, will, hear: mqtt.connect(
                    uplink, broker, client_id=GATEWAY, will=will, on_message=hear
                ),
                reach=partial(mqtt.reach, uplink), is_own_epoch=store.knows_epoch,
            )
        )  # fmt: skip
        try:
            await until(lambda: left["batches"] <= 0 or task.done(), "the backlog to drain")
            if task.done():
                task.result()
            return time.monotonic() - began
        finally:
            stopping.set()
            await asyncio.wait({task}, timeout=10)


def _settle(store: Store, left: dict[str, int], ranges: object) -> None:
    left["batches"] -= sum(r.hi - r.lo + 1 for r in ranges)  # type: ignore[attr-defined]
    store.settle(ranges)  # type: ignore[arg-type]


def _nothing(_: Event) -> None:
    return None


def _describe(*, on: bool, conn: int, at: Now, lanes: Mapping[Lane, tuple[int, int]]) -> bytes:
    return state_body(NEW, on=on, conn=conn, at=at, lanes=lanes, delivery=Delivery.ACK)


async def until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        if time.monotonic() > deadline:
            raise CannotMeasure(f"waited {PATIENCE_S:.0f} s for {what}")
        await asyncio.sleep(0.002)


def tell_drain(url: str, folder: Path, batches: int) -> None:
    """Drain as the daemon would, with its interpreter settings; print what it took as JSON."""
    sys.setswitchinterval(SWITCH_S)
    began = time.process_time()
    seconds = asyncio.run(drain(folder, url, batches))
    cpu_s = time.process_time() - began
    status = Path("/proc/self/status").read_text().split()
    peak_mib = int(status[status.index("VmHWM:") + 1]) / 1024
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_mib": peak_mib}))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        tell_drain(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    else:
        acknowledge(sys.argv[1])
