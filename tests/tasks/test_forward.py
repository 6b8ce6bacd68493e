import asyncio
import contextlib
import json
import random
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from gateway.core import delivery
from gateway.core.messages import Sender, fact_body, read_body, state_body
from gateway.core.progress import Progress
from gateway.domain.errors import LinkLost, LinkRefused
from gateway.domain.events import (
    FaultCleared,
    FaultRaised,
    LinkChanged,
    PlatformChanged,
    PostCheckAsked,
    Receipt,
)
from gateway.domain.moments import Clk, Now
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Range, Record
from gateway.domain.site import Broker, Delivery, Reconnect, Uplink
from gateway.drivers import mqtt
from gateway.sim.history import read_applied, read_counts, read_settled
from gateway.tasks.forward import Incoming, forward
from tests.partners.broker import Mosquitto

GATEWAY = "wh-0152-01"
STATE_TOPIC = f"care/1/{GATEWAY}/up/state"
ONE_BROKER = (Broker("x", 1),)
SENDER = Sender(GATEWAY, "e2", {"id": "elm"}, "abcd1234", {"a.b": 0})


def clock() -> Now:
    mono_ms = time.monotonic_ns() // 1_000_000
    return Now(mono_ms, 1_790_000_000_000 + mono_ms, Clk.SYNC, 40, "0123456789ab")


def record(lane: Lane, seq: int, epoch: str = "e2", at: Now | None = None) -> Record:
    sender = Sender(GATEWAY, epoch, {}, "abcd1234", {"a.b": 0})
    at = at or clock()
    if lane is Lane.R:
        reading = Reading("a.b", seq, Quality.GOOD, at.mono_ms)
        body = read_body(sender, Batch(epoch, seq, at, (reading,)))
    else:
        body = fact_body(sender, lane, seq, kind="anchor", at=at, fields={"n": seq})
    return Record(lane, epoch, seq, "anchor", at, body)


class FakeStore:
    """Records in memory, in the order of their numbers, epoch e1 before e2."""

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self.records = {(r.lane, r.epoch, r.seq): r for r in records}
        self.kept = dict(self.records)  # settled or not
        self.settled: list[Range] = []
        self.largest_load = 0

    async def load(self, lane, *, after, limit, max_bytes) -> list[Record]:
        await asyncio.sleep(0)
        found = sorted(
            (
                r
                for r in self.records.values()
                if r.lane is lane and self.position(r) > (after or ())
            ),
            key=self.position,
        )[:limit]
        self.largest_load = max(self.largest_load, len(found))
        return found

    async def retained(self, wanted, *, limit, max_bytes) -> list[Record]:
        await asyncio.sleep(0)
        found = [
            one
            for (lane, epoch, seq), one in sorted(self.kept.items())
            if (lane, epoch) == (wanted.lane, wanted.epoch) and wanted.lo <= seq <= wanted.hi
        ]
        return found[: min(limit, 7)]

    def position(self, one: Record) -> tuple[str, int]:
        return (one.epoch, one.seq)

    def settle(self, ranges: Sequence[Range]) -> None:
        self.settled.extend(ranges)
        for range_ in ranges:
            for seq in range(range_.lo, range_.hi + 1):
                self.records.pop((range_.lane, range_.epoch, seq), None)

    async def bounds(self) -> dict[Lane, Sequence[Range]]:
        return {}


class Rig:
    """A running forwarder with everything it needs."""

    def __init__(
        self, store: FakeStore, connect, brokers=ONE_BROKER, incoming=None, **fields
    ) -> None:
        self.store = store
        self.progress = Progress()
        self.reached: list[str] = []
        self.unreachable: dict[str, str] = {}  # brokers by host, and why
        self.incoming = incoming or Incoming()
        self.events: list[object] = []
        self.stopping = asyncio.Event()
        fields = {"reconnect": Reconnect.LOCAL, "probe_ms": 300, **fields}
        self.uplink = Uplink(gateway=GATEWAY, brokers=brokers, **fields)
        self.task = asyncio.create_task(
            forward(
                uplink=self.uplink,
                sender=SENDER,
                connect=connect or self.connect_mqtt,
                load=store.load,
                retained=store.retained,
                position=store.position,
                settle=store.settle,
                bounds=store.bounds,
                incoming=self.incoming,
                post=self.events.append,
                clock=clock,
                mono=lambda: clock().mono_ms,
                jitter=lambda low, high: random.uniform(low, high) / 10,
                describe=partial(state_body, SENDER),
                points=lambda: b'{"v":1,"t":"points"}',
                now_snapshot=lambda: b'{"v":1,"t":"now"}',
                stopping=self.stopping,
                reach=self.reach,
                is_own_epoch=lambda epoch: epoch == "e1",
                progress=self.progress,
            )
        )

    async def reach(self, broker: Broker) -> None:
        self.reached.append(broker.host)
        if broker.host in self.unreachable:
            raise LinkRefused(self.unreachable[broker.host])

    def connect_mqtt(self, broker, will, on_message):
        return mqtt.connect(
            self.uplink, broker, client_id=GATEWAY, will=will, on_message=on_message,
            protocol=mqtt.V5,
        )  # fmt: skip

    def make(self, lane: Lane, seq: int) -> None:
        """What the decider and the store do with a new record."""
        one = record(lane, seq)
        self.incoming.submitted((one,))
        self.store.records[lane, "e2", seq] = one
        self.incoming.durable((one,))

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert not self.task.done(), self.task
            assert time.monotonic() < deadline, "did not happen in time"
            await asyncio.sleep(0.02)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@contextlib.asynccontextmanager
async def platform(broker: Mosquitto, history, *options: str):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", "gateway.sim.platform", "--broker", broker.url,
        "--history", str(history), *options,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def backlog(n_a: int, n_b: int, n_r: int) -> list[Record]:
    counts = ((Lane.A, n_a), (Lane.B, n_b), (Lane.R, n_r))
    return [record(lane, seq, "e1") for lane, n in counts for seq in range(1, n + 1)]


async def test_300_records_arrive_once_though_the_broker_is_killed_twice(tmp_path):
    history = tmp_path / "h.sqlite"
    store = FakeStore(backlog(20, 60, 220))
    expected = {(GATEWAY, r.epoch, r.lane.value, r.seq) for r in store.records.values()}
    with Mosquitto() as broker:
        async with platform(broker, history), Rig(store, None, (broker.broker,)) as rig:
            for applied in (40, 150):
                await rig.until(lambda n=applied: len(read_applied(history)) >= n)
                broker.kill()
                await rig.until(
                    lambda: any(isinstance(e, LinkChanged) and not e.is_up for e in rig.events)
                )
                rig.events.clear()
                broker.start()
            await rig.until(lambda: not store.records, 120)
    keys = [row.key for row in read_applied(history)]
    assert len(keys) == len(set(keys)) == 300
    assert set(keys) == expected


async def test_no_reading_is_settled_before_the_last_alarm_of_the_backlog(tmp_path):
    history = tmp_path / "h.sqlite"
    store = FakeStore(backlog(200, 10, 50))
    with Mosquitto() as broker:
        async with platform(broker, history), Rig(store, None, (broker.broker,)) as rig:
            await rig.until(lambda: not store.records)
    acked = read_settled(history)
    last_alarm = max(i for i, range_ in enumerate(acked) if range_.lane == "A")
    first_reading = min(i for i, range_ in enumerate(acked) if range_.lane == "R")
    assert last_alarm < first_reading
    alarms = [row.key[3] for row in read_applied(history) if row.key[2] == "A"]
    assert alarms == list(range(1, 201))


async def test_new_records_go_out_without_a_trip_to_the_disk_and_only_once(tmp_path):
    history = tmp_path / "h.sqlite"
    with Mosquitto() as broker:
        async with platform(broker, history), Rig(FakeStore(), None, (broker.broker,)) as rig:
            await rig.until(lambda: PlatformChanged(is_present=True) in rig.events)
            for seq in range(1, 31):
                for lane in Lane:
                    rig.make(lane, seq)
                await asyncio.sleep(0)
            await rig.until(lambda: not rig.store.records)
    assert len(read_applied(history)) == 90
    assert "duplicates" not in read_counts(history)


async def test_an_end_drains_and_says_goodbye(tmp_path):
    history = tmp_path / "h.sqlite"
    said: list[tuple[str, bytes]] = []
    with Mosquitto() as broker:
        uplink = Uplink(gateway="+", brokers=())  # hears what everybody says
        async with platform(broker, history), Rig(FakeStore(), None, (broker.broker,)) as rig:
            await rig.until(lambda: PlatformChanged(is_present=True) in rig.events)
            rig.make(Lane.A, 1)
            rig.make(Lane.R, 1)
            rig.stopping.set()
            await asyncio.wait_for(rig.task, 30)
            assert not rig.store.records
        async with mqtt.connect(
            uplink, broker.broker, client_id="spy", will=("x", b""), protocol=mqtt.V5,
            on_message=lambda *message: said.append(message),
        ) as link:  # fmt: skip
            link._client.subscribe(f"care/1/{GATEWAY}/up/state")
            await rig_free_until(lambda: bool(said))
    assert json.loads(said[0][1])["on"] is False


async def rig_free_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_an_end_without_a_link_is_immediate():
    async with Rig(FakeStore(backlog(1, 0, 0)), refusing("tcp")) as rig:
        await rig.until(lambda: bool(rig.events))
        rig.stopping.set()
        await asyncio.wait_for(rig.task, 2)


def refusing(why: str):
    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        raise LinkRefused(why, broker.host)
        yield

    return connect


class FakeLink:
    """A link whose far end is the test: `codes` answer publishes, `said` keeps them."""

    receive_maximum = 16
    maximum_packet = 268_435_460
    has_session = False
    protocol = "5"
    tls = ""
    farewell = ""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.heard: list[str] = []
        self.kept: bytes | None = None
        self.code = lambda topic: 0
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.hear: Callable[[str, bytes], None] = lambda topic, body: None
        self.is_answering = True

    async def publish(self, topic, payload, qos, *, retain=False) -> int:
        self.said.append((topic.rsplit("/", 1)[-1], payload))
        if not self.is_answering and qos:
            raise LinkLost(await self.lost())
        return self.code(topic)

    def send(self, topic, payload, answered) -> None:
        self.said.append((topic.rsplit("/", 1)[-1], payload))
        if self.ended.done():
            raise LinkLost(self.ended.result())
        if self.is_answering:
            asyncio.get_running_loop().call_soon(answered, self.code(topic))

    async def subscribe(self, topic, *, no_local=False) -> int:
        self.heard.append(topic)
        if self.kept is not None:
            self.hear(topic, self.kept)
        return 1

    async def lost(self) -> str:
        return await asyncio.shield(self.ended)

    def tell(self, kind: str, message: object) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.hear(f"care/1/{GATEWAY}/dn/{kind}", body)

    def hello(self) -> None:
        self.tell("hello", {"v": 1, "t": "hello", "ack": 1})

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.said]

    @contextlib.asynccontextmanager
    async def connect(self, broker, will, on_message):
        self.hear = on_message
        yield self


async def test_an_alarm_that_the_disk_does_not_take_goes_out_of_memory_with_the_same_id():
    link = FakeLink()
    async with Rig(FakeStore(), link.connect) as rig:
        await rig.until(lambda: "points" in link.kinds())
        link.hello()
        before = clock()
        late = record(Lane.A, 5, at=Now(before.mono_ms - 1_900, None, Clk.NONE, None, "b"))
        rig.incoming.submitted((late,))
        await rig.until(lambda: "a" in link.kinds())
        message = json.loads(link.said[-1][1])
        assert (message["durable"], message["ep"], message["seq"]) == (False, "e2", 5)
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e2", "A": [[5, 5]]})
        assert rig.store.settled == [Range(Lane.A, "e2", 5, 5)]
        rig.store.records[Lane.A, "e2", 5] = late  # the disk comes back
        rig.incoming.durable((late,))
        await rig.until(lambda: not rig.store.records)
        assert link.kinds().count("a") == 1


async def test_an_alarm_that_no_disk_has_is_sent_by_the_next_forwarder_too():
    """The uplink is reloaded, or the forwarder crashes, before the platform has it."""
    first, second, third = FakeLink(), FakeLink(), FakeLink()
    at = clock()
    late = record(Lane.A, 5, at=Now(at.mono_ms - 1_900, None, Clk.NONE, None, "b"))
    incoming = Incoming()
    for link in (first, second):
        async with Rig(FakeStore(), link.connect, incoming=incoming) as rig:
            await rig.until(lambda link=link: "points" in link.kinds())
            link.hello()
            if link is first:
                rig.incoming.submitted((late,))
            await rig.until(lambda link=link: "a" in link.kinds())
            assert json.loads(link.said[-1][1])["durable"] is False
            if link is second:
                link.tell("ack", {"v": 1, "t": "ack", "ep": "e2", "A": [[5, 5]]})
    async with Rig(FakeStore(), third.connect, incoming=incoming) as rig:
        await rig.until(lambda: "points" in third.kinds())
        third.hello()
        rig.make(Lane.A, 6)
        await rig.until(lambda: "a" in third.kinds())
        assert [json.loads(body)["seq"] for kind, body in third.said if kind == "a"] == [6]


@pytest.mark.parametrize("receive_maximum", [1, 5])
async def test_no_birth_and_no_farewell_is_one_more_than_the_broker_takes_at_once(receive_maximum):
    link = FakeLink()
    link.receive_maximum = receive_maximum
    under_way, most = [], 0
    real = link.publish

    def send(topic, payload, answered) -> None:
        under_way.append(answered)

    async def publish(topic, payload, qos, *, retain=False) -> int:
        nonlocal most
        most = max(most, len(under_way) + qos)
        return await real(topic, payload, qos, retain=retain)

    link.send, link.publish = send, publish
    options = {"delivery": Delivery.BROKER, "probe_ms": 600_000}
    async with Rig(FakeStore(backlog(20, 0, 20)), link.connect, **options) as rig:
        await rig.until(lambda: len(under_way) == receive_maximum)
        rig.incoming.describe_again()
        for _ in range(100):
            await asyncio.sleep(0)
        assert link.kinds().count("points") == 1, "there is no place for it yet"
        under_way.pop(0)(0)
        await rig.until(lambda: link.kinds().count("points") == 2)
        await rig.until(lambda: len(under_way) == receive_maximum)
        rig.stopping.set()
        async with asyncio.timeout(30):
            while not rig.task.done():
                if under_way:
                    under_way.pop(0)(0)
                await asyncio.sleep(0)
    assert link.kinds().count("state") == 3
    assert most <= receive_maximum


async def test_what_was_kept_before_there_was_an_uplink_goes_out_under_the_gateways_name():
    """Until then records are made under the house's own id; who hears them trusts the topic."""
    link = FakeLink()
    house = Sender("elm-house", "e1", {}, "abcd1234", {"a.b": 0})
    at = clock()
    readings = tuple(Reading("a.b", n / 7, Quality.GOOD, at.mono_ms + n) for n in range(500))
    batch = read_body(house, Batch("e1", 1, at, readings))
    assert batch[:1] == b"\x78"
    bodies = {Lane.R: batch} | {
        lane: fact_body(house, lane, 1, kind="anchor", at=at, fields={"n": 1})
        for lane in (Lane.A, Lane.B)
    }
    old = [Record(lane, "e1", 1, "anchor", at, body) for lane, body in bodies.items()]
    async with Rig(FakeStore(old), link.connect) as rig:
        await rig.until(lambda: "points" in link.kinds())
        link.hello()
        await rig.until(lambda: "a" in link.kinds())
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e1", "A": [[1, 1]]})
        await rig.until(lambda: {"b", "r"} <= set(link.kinds()))
        rig.make(Lane.A, 1)
        await rig.until(lambda: link.kinds().count("a") == 2)
    for kind, body in link.said:
        if kind in ("a", "b", "r"):
            message = json.loads(zlib.decompress(body) if body[:1] == b"\x78" else body)
            assert message["gw"] == GATEWAY
            was = next((r for r in old if r.lane.lower() == kind and message["ep"] == "e1"), None)
            if was is not None:
                text = zlib.decompress(was.body) if kind == "r" else was.body
                mark = {"hist": True} if kind == "r" else {}
                assert message == {**json.loads(text), "gw": GATEWAY, **mark}


async def test_what_one_broker_has_is_sent_again_to_another_one_that_kept_a_session():
    """It may have died with it; the ack timer would be 10 s for an alarm, 60 s for readings."""
    links = [FakeLink(), FakeLink()]
    for link in links:
        link.has_session = True
    queue = list(links)

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        async with queue.pop(0).connect(broker, will, on_message) as link:
            yield link

    brokers = (Broker("a", 1), Broker("b", 1))
    async with Rig(FakeStore(backlog(0, 0, 1)), connect, brokers) as rig:
        for link in links:
            await rig.until(lambda link=link: "points" in link.kinds())
            link.hello()
            await rig.until(lambda link=link: "r" in link.kinds(), 45)
            if link is links[0]:
                await rig.until(lambda: rig.progress.outbox.stages(Lane.R)["at_broker"] == 1)
                link.ended.set_result("lost")


async def test_without_hello_one_probe_goes_out_and_the_platform_is_missed():
    link = FakeLink()
    async with Rig(FakeStore(backlog(3, 0, 3)), link.connect) as rig:
        await rig.until(lambda: PlatformChanged(is_present=False) in rig.events)
        assert link.kinds().count("a") <= 3
        link.hello()
        await rig.until(lambda: PlatformChanged(is_present=True) in rig.events)
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e1", "A": [[1, 3]]})
        await rig.until(lambda: link.kinds().count("r") == 3)


async def test_history_is_marked_and_payloads_that_are_no_json_change_nothing():
    link = FakeLink()
    async with Rig(FakeStore(backlog(0, 0, 1)), link.connect) as rig:
        await rig.until(lambda: "points" in link.kinds())
        for payload in (b"\xff", b"{", b"[" * 1000, zlib.compress(b"[" * 10**6)):
            link.tell("ack", payload)
        link.hello()
        await rig.until(lambda: "r" in link.kinds())
        assert json.loads(link.said[-1][1])["hist"] is True
        receipt = {"v": 1, "t": "receipt", "alarm": "e2-A-1", "lvl": "seen", "aud": "inst", "at": 5}
        link.tell("ack", receipt)
        assert Receipt("e2-A-1", "seen", "inst", 5) in rig.events


@pytest.mark.parametrize(
    ("args", "within_ms", "asked_ms"),
    [
        ({"minutes": 5, "at": 7}, 300_000, 7),
        ({}, 600_000, None),
        ({"minutes": 255}, 15_300_000, None),
    ],
)
async def test_a_post_check_is_put_to_the_decider(args, within_ms, asked_ms):
    link = FakeLink()
    async with Rig(FakeStore([]), link.connect) as rig:
        await rig.until(lambda: "points" in link.kinds())
        for minutes in (0, 256, -1, 2.5, "5", True, None):
            bad = {"v": 1, "t": "cmd", "id": "c0", "op": "post_check", "args": {"minutes": minutes}}
            link.tell("cmd", bad)
        link.tell("cmd", {"v": 1, "t": "cmd", "id": "c1", "op": "post_check", "args": args})
        asked = [event for event in rig.events if isinstance(event, PostCheckAsked)]
        assert asked == [PostCheckAsked("c1", "platform", within_ms, asked_ms)]


async def test_what_the_platform_lost_is_sent_again_as_far_as_it_is_still_here():
    link = FakeLink()
    store = FakeStore(backlog(20, 0, 0))
    async with Rig(store, link.connect) as rig:
        await rig.until(lambda: "points" in link.kinds())
        link.hello()
        await rig.until(lambda: link.kinds().count("a") == 20)
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e1", "A": [[1, 20]]})
        bad = {"lane": "A", "ep": "e1", "from": 5, "to": 4}
        for args in ({}, bad, {**bad, "lane": "X"}, {**bad, "from": "1"}, {**bad, "ep": ""}):
            link.tell("cmd", {"v": 1, "t": "cmd", "id": "c0", "op": "replay", "args": args})
        args = {"lane": "A", "ep": "e1", "from": 3, "to": 999}
        link.tell("cmd", {"v": 1, "t": "cmd", "id": "c1", "op": "replay", "args": args})
        await rig.until(lambda: link.kinds().count("a") == 38)
        again = [json.loads(body)["seq"] for kind, body in link.said if kind == "a"][20:]
        assert sorted(again) == list(range(3, 21))
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e1", "A": [[3, 20]]})
        rig.make(Lane.A, 1)  # and the link goes on with what is new
        await rig.until(lambda: json.loads(link.said[-1][1]).get("ep") == "e2")


async def test_a_lane_that_the_platform_never_answers_is_a_fault_until_it_does(monkeypatch):
    monkeypatch.setattr("gateway.core.delivery.UNANSWERED_MS", 200)
    link = FakeLink()
    async with Rig(FakeStore(backlog(1, 1, 0)), link.connect, probe_ms=20_000) as rig:
        await rig.until(lambda: "points" in link.kinds())
        link.hello()
        await rig.until(lambda: "b" in link.kinds())
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e1", "B": [[1, 1]]})
        told = "the platform does not answer"
        await rig.until(lambda: FaultRaised("uplink_unheard", "A", told) in rig.events)
        assert rig.store.settled == [Range(Lane.B, "e1", 1, 1)]
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e1", "A": [[1, 1]]})
        await rig.until(lambda: FaultCleared("uplink_unheard", "A") in rig.events)


async def test_broker_delivery_settles_on_puback():
    link = FakeLink()
    store = FakeStore(backlog(2, 2, 2))
    async with Rig(store, link.connect, delivery=Delivery.BROKER) as rig:
        await rig.until(lambda: not store.records)


async def test_a_refused_lane_is_a_fault_and_the_others_go_on():
    link = FakeLink()
    link.code = lambda topic: 0x87 if topic.endswith("/b") else 0
    async with Rig(FakeStore(backlog(0, 1, 1)), link.connect) as rig:
        await rig.until(lambda: "points" in link.kinds())
        link.hello()
        await rig.until(
            lambda: FaultRaised("uplink_refused", "B", "not authorized (0x87)") in rig.events
        )
        await rig.until(lambda: "r" in link.kinds())


async def test_alarms_that_were_denied_arrive_once_the_permission_is_there(monkeypatch):
    monkeypatch.setattr(delivery, "_RETRY_MS", dict.fromkeys(Lane, (10, 20)))
    links = [FakeLink(), FakeLink()]
    queue = list(links)

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        async with queue.pop(0).connect(broker, will, on_message) as link:
            yield link

    def deny(topic: str) -> int:
        return 0x87 if topic.endswith("/a") else 0

    for link in links:
        link.code = deny
    async with Rig(FakeStore(backlog(2, 0, 0)), connect) as rig:
        await rig.until(lambda: "points" in links[0].kinds())
        links[0].hello()
        await rig.until(lambda: links[0].kinds().count("a") >= 8)
        links[0].ended.set_result("lost")
        await rig.until(lambda: "points" in links[1].kinds())
        links[1].hello()
        await rig.until(lambda: len(rig.progress.outbox.parked) == 2)
        links[1].code = lambda topic: 0
        seen = len(links[1].said)
        rig.make(Lane.A, 1)
        await rig.until(lambda: links[1].kinds()[seen:].count("a") == 3)
        sent = [json.loads(body) for kind, body in links[1].said[seen:] if kind == "a"]
        assert {(each["ep"], each["seq"]) for each in sent} == {("e2", 1), ("e1", 1), ("e1", 2)}
        assert rig.progress.outbox.parked == {}


async def test_brokers_are_tried_in_turn_and_a_refusal_is_said_once():
    tried: list[str] = []

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        tried.append(broker.host)
        raise LinkRefused("auth")
        yield

    async with Rig(FakeStore(), connect, (Broker("one", 1), Broker("two", 2))) as rig:
        await rig.until(lambda: len(tried) >= 4)
        assert tried[:4] == ["one", "two", "one", "two"]
        raised = [event for event in rig.events if isinstance(event, FaultRaised)]
        assert raised == [FaultRaised("uplink_refused", "broker", "one:1: auth")]


async def test_what_was_under_way_when_the_link_died_is_sent_again():
    links: list[FakeLink] = []

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        link = FakeLink()
        links.append(link)
        async with link.connect(broker, will, on_message):
            yield link

    async with Rig(FakeStore(backlog(2, 0, 0)), connect) as rig:
        await rig.until(lambda: bool(links) and "points" in links[0].kinds())
        links[0].is_answering = False
        links[0].hello()
        await rig.until(lambda: links[0].kinds().count("a") == 2)
        links[0].ended.set_result("lost")
        await rig.until(lambda: len(links) == 2 and "points" in links[1].kinds())
        links[1].hello()
        await rig.until(lambda: links[1].kinds().count("a") == 2)


async def test_a_long_backlog_is_read_in_small_pieces():
    link = FakeLink()
    store = FakeStore(backlog(0, 0, 2_000))
    async with Rig(store, link.connect, delivery=Delivery.BROKER) as rig:
        await rig.until(lambda: not store.records)
        assert store.largest_load <= 128


async def test_one_piece_more_is_read_than_there_is_room_for():
    link = FakeLink()
    store = FakeStore(backlog(0, 0, 2_000))
    load, loads = store.load, []

    async def count(lane, **bounds) -> list[Record]:
        found = await load(lane, **bounds)
        loads.append(len(found))
        return found

    store.load = count
    async with Rig(store, link.connect, probe_ms=600_000) as rig:
        await rig.until(lambda: "points" in link.kinds())
        link.hello()
        await rig.until(lambda: link.kinds().count("r") == 384 and sum(loads) == 512)
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e1", "R": [[1, 384]]})
        await rig.until(lambda: link.kinds().count("r") == 768)
        assert sum(loads) <= 768 + 128


async def test_what_came_back_while_the_store_was_asked_is_not_missed():
    link, older = FakeLink(), record(Lane.R, 1, "e0")
    store = FakeStore(backlog(0, 0, 3))
    load, is_asked, may_answer = store.load, asyncio.Event(), asyncio.Event()

    async def answer_late(lane, **bounds) -> list[Record]:
        found = await load(lane, **bounds)
        if lane is Lane.R and found:
            is_asked.set()
            await may_answer.wait()
        return found

    store.load = answer_late
    async with Rig(store, link.connect, delivery=Delivery.BROKER) as rig:
        await is_asked.wait()
        store.records[Lane.R, "e0", 1] = older
        rig.incoming.look_again()
        await rig.until(lambda: not rig.incoming.must_reread)
        may_answer.set()
        await rig.until(lambda: not store.records)


async def test_an_error_while_sending_on_ends_the_forwarder_for_its_supervisor():
    link = FakeLink()
    send = link.send

    def fail_later(topic, payload, answered) -> None:
        if link.kinds().count("r") >= 100:
            raise RuntimeError("planted")
        send(topic, payload, answered)

    link.send = fail_later
    rig = Rig(FakeStore(backlog(0, 0, 300)), link.connect, delivery=Delivery.BROKER)
    async with asyncio.timeout(30):
        with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
            await rig.task
    assert link.kinds().count("r") == 100


@pytest.mark.parametrize("steps", range(4))  # from a PUBACK to what is sent next
async def test_a_birth_that_is_due_goes_before_what_comes_after_it(steps):
    link = FakeLink()
    async with Rig(FakeStore(backlog(0, 0, 250)), link.connect, probe_ms=600_000) as rig:
        await rig.until(lambda: "points" in link.kinds())
        link.hello()
        while link.kinds().count("r") < 60:
            await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        rig.incoming.describe_again()
        rig.make(Lane.R, 7)
        await rig.until(lambda: link.kinds().count("r") == 251)
    new = next(n for n, (kind, body) in enumerate(link.said) if kind == "r" and b'"e2"' in body)
    assert link.kinds()[:new].count("points") == 2


async def test_a_birth_that_is_too_large_for_the_broker_is_a_fault_until_one_takes_it():
    links = [FakeLink(), FakeLink()]
    links[0].maximum_packet = 150
    queue = list(links)

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        async with queue.pop(0).connect(broker, will, on_message) as link:
            yield link

    async with Rig(FakeStore(), connect) as rig:
        await rig.until(lambda: "now" in links[0].kinds())
        assert links[0].kinds() == ["points", "now"]  # not the state
        refused = next(e for e in rig.events if isinstance(e, FaultRaised))
        assert (refused.code, refused.subject) == ("uplink_refused", "state")
        assert refused.detail.endswith(f" bytes, the broker takes {150 - 10 - len(STATE_TOPIC)}")
        links[0].ended.set_result("lost")
        await rig.until(lambda: "now" in links[1].kinds())
        assert FaultCleared("uplink_refused", "state") in rig.events


class Touchy(FakeLink):
    """Its far end closes the connection upon one kind of message, or when it is asked for one."""

    def __init__(self, kind: str, when_asked: bool) -> None:
        super().__init__()
        self.kind, self.when_asked = kind, when_asked
        self.farewell = "Not authorized (0x87)"

    async def publish(self, topic, payload, qos, *, retain=False) -> int:
        if topic.endswith(f"/{self.kind}") and not self.when_asked:
            self.ended.set_result("lost")
            if not qos:
                return 0
            raise LinkLost("lost")
        return await super().publish(topic, payload, qos, retain=retain)

    async def subscribe(self, topic, *, no_local=False) -> int:
        if self.when_asked:
            self.ended.set_result("lost")
            raise LinkLost("lost")
        return await super().subscribe(topic, no_local=no_local)


@pytest.mark.parametrize("kind", ["state", "points", "now", "asked"])
async def test_a_broker_that_closes_upon_what_is_no_record_gets_the_alarms_all_the_same(kind):
    """As RabbitMQ does with who may not publish on a topic; in 3.1.1 with what is too large."""
    links: list[FakeLink] = []

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        is_first = not links
        links.append(FakeLink() if is_first else Touchy(kind, kind == "asked"))
        async with links[-1].connect(broker, will, on_message) as link:
            yield link

    spared = 3 if kind == "now" else 4  # it has no answer: the first link's end may be its doing
    store = FakeStore(backlog(1, 1, 0))
    async with Rig(store, connect) as rig:
        await rig.until(lambda: bool(links) and "now" in links[0].kinds())
        links[0].ended.set_result("lost")
        await rig.until(lambda: len(links) == spared + 1 and not links[spared].ended.done())
        links[spared].hello()
        await rig.until(lambda: {"a", "b"} <= set(links[spared].kinds()))
        said = set(links[spared].kinds())
        assert said == {"state", "points", "now", "a", "b"} - {kind}
        why = "the broker closes the connection: Not authorized (0x87)"
        told = FaultRaised("uplink_refused", kind, why)
        assert (told in rig.events) == (kind in ("state", "points"))
        assert rig.progress.outbox.parked == {}


async def test_a_line_that_breaks_here_and_there_withholds_nothing():
    links: list[FakeLink] = []

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        links.append(Touchy("points", False) if len(links) % 3 < 2 else FakeLink())
        async with links[-1].connect(broker, will, on_message) as link:
            yield link

    async with Rig(FakeStore(), connect) as rig:
        for last in (2, 5, 8):
            await rig.until(lambda last=last: len(links) == last + 1)
            await rig.until(lambda last=last: "now" in links[last].kinds())
            assert "points" in links[last].kinds()
            links[last].ended.set_result("lost")
        assert not [event for event in rig.events if isinstance(event, FaultRaised)]


class Net:
    """Brokers by host: each takes connections (a FakeLink) or refuses for a reason."""

    def __init__(self) -> None:
        self.refuses: dict[str, str] = {}
        self.links: list[tuple[str, FakeLink]] = []
        self.kept: bytes | None = None  # the retained state under our name

    @contextlib.asynccontextmanager
    async def connect(self, broker, will, on_message):
        if broker.host in self.refuses:
            raise LinkRefused(self.refuses[broker.host], "because")
        link = FakeLink()
        self.links.append((broker.host, link))
        async with link.connect(broker, will, on_message):
            if self.kept is not None:
                link.kept = self.kept
            yield link

    def used(self) -> list[str]:
        return [host for host, _ in self.links]


async def test_each_way_to_fail_is_a_fault_of_its_own_and_ends_with_the_connection():
    net = Net()
    net.refuses["x"] = "tls_expired"
    async with Rig(FakeStore(), net.connect) as rig:
        await rig.until(lambda: FaultRaised("uplink_tls_expired", "broker", "x:1: because")
                        in rig.events)  # fmt: skip
        net.refuses["x"] = "tls_ca"
        await rig.until(lambda: FaultRaised("uplink_tls_ca", "broker", "x:1: because")
                        in rig.events)  # fmt: skip
        assert FaultCleared("uplink_tls_expired", "broker") in rig.events
        rig.events.clear()
        del net.refuses["x"]
        await rig.until(lambda: FaultCleared("uplink_tls_ca", "broker") in rig.events)
        assert rig.progress.failures == {}


async def test_a_fault_of_an_earlier_start_ends_with_the_first_connection_and_is_not_said_again():
    net = Net()
    async with Rig(FakeStore(), net.connect) as rig:
        await rig.until(lambda: FaultCleared("uplink_refused", "broker") in rig.events)
        rig.events.clear()
        net.links[0][1].ended.set_result("lost")
        await rig.until(lambda: len(net.links) == 2 and bool(rig.events))
        await rig.until(lambda: LinkChanged(is_up=True, broker="x:1") in rig.events)
        assert not [event for event in rig.events if isinstance(event, FaultCleared)]


async def test_a_failure_tells_its_reason_of_now_and_ends_others_of_earlier_starts():
    why = ["tls_files", "no CA file"]

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        raise LinkRefused(*why)
        yield

    async with Rig(FakeStore(), connect) as rig:
        first = FaultRaised("uplink_tls_files", "broker", "x:1: no CA file")
        await rig.until(lambda: first in rig.events)
        assert FaultCleared("uplink_tls_expired", "broker") in rig.events
        assert FaultCleared("uplink_tls_files", "broker") not in rig.events
        why[1] = "no key file"
        second = FaultRaised("uplink_tls_files", "broker", "x:1: no key file")
        await rig.until(lambda: second in rig.events)
        assert FaultCleared("uplink_tls_files", "broker") not in rig.events
        why[:] = ["auth", "bad password"]
        await rig.until(lambda: FaultCleared("uplink_tls_files", "broker") in rig.events)
        assert rig.events.count(first) == rig.events.count(second) == 1


async def test_a_line_that_breaks_while_connecting_is_no_refusal_before_the_third_time():
    net = Net()
    tries: list[str] = []

    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        tries.append(broker.host)
        if tries.count("one") <= limit:
            raise LinkRefused("refused", "closed in answer to CONNECT", is_guess=True)
        async with net.connect(broker, will, on_message) as link:
            yield link

    for limit in (2, 3):
        tries.clear()
        net.links.clear()
        async with Rig(FakeStore(), connect, (Broker("one", 1),)) as rig:
            await rig.until(lambda: bool(net.links))
            raised = [event for event in rig.events if isinstance(event, FaultRaised)]
            assert raised == [] if limit == 2 else raised == [
                FaultRaised("uplink_refused", "broker", "one:1: closed in answer to CONNECT")
            ]  # fmt: skip
            assert rig.progress.link.why == "refused"  # but `uplink status` tells at once


async def test_what_one_broker_says_for_sure_is_told_though_another_one_only_breaks_off():
    @contextlib.asynccontextmanager
    async def connect(broker, will, on_message):
        if broker.host == "one":
            raise LinkRefused("auth", "bad password")
        raise LinkRefused("tls", "closed in handshake", is_guess=True)
        yield

    async with Rig(FakeStore(), connect, (Broker("one", 1), Broker("two", 2))) as rig:
        told = FaultRaised("uplink_refused", "broker", "one:1: bad password")
        await rig.until(lambda: told in rig.events)
        assert not [e for e in rig.events if isinstance(e, FaultRaised) and e != told]


async def test_a_network_that_is_down_is_no_fault_of_the_configuration():
    async with Rig(FakeStore(), refusing("tcp_refused")) as rig:
        await rig.until(lambda: rig.progress.link.tries >= 3)
        assert not [event for event in rig.events if isinstance(event, FaultRaised)]


async def test_the_second_broker_is_used_meanwhile_and_the_first_again_when_it_is_back():
    net = Net()
    net.refuses["one"] = "tls_expired"
    async with Rig(FakeStore(), net.connect, (Broker("one", 1), Broker("two", 2))) as rig:
        rig.unreachable["one"] = "tls_expired"
        await rig.until(lambda: net.used() == ["two"])
        await rig.until(lambda: rig.progress.link.broker == "two:2")
        assert rig.progress.failures["one:1"].why == "tls_expired"
        assert not [event for event in rig.events if isinstance(event, FaultRaised)]
        del rig.unreachable["one"], net.refuses["one"]
        await rig.until(lambda: net.used() == ["two", "one"])
        goodbye = json.loads(net.links[0][1].said[-1][1])
        assert (goodbye["t"], goodbye["on"]) == ("state", False)
        await rig.until(lambda: rig.progress.link.broker == "one:1")


async def test_nobody_leaves_for_the_first_broker_while_an_alarm_is_on_its_way():
    net = Net()
    net.refuses["one"] = "tcp_refused"
    async with Rig(FakeStore(), net.connect, (Broker("one", 1), Broker("two", 2))) as rig:
        await rig.until(lambda: net.used() == ["two"])
        link = net.links[0][1]
        await rig.until(lambda: "points" in link.kinds())
        link.hello()
        rig.make(Lane.A, 1)
        await rig.until(lambda: "a" in link.kinds())
        del net.refuses["one"]
        await rig.until(lambda: rig.reached == ["one"])
        await asyncio.sleep(0.1)  # nothing shall happen
        assert net.used() == ["two"]
        link.tell("ack", {"v": 1, "t": "ack", "ep": "e2", "A": [[1, 1]]})
        await rig.until(lambda: net.used() == ["two", "one"])


def state_of(epoch: str, *, on: bool = True) -> bytes:
    return state_body(Sender(GATEWAY, epoch, {"id": "elm"}, "abcd1234", {}), on=on, conn=1,
                      at=clock())  # fmt: skip


RIVAL = FaultRaised("identity_in_use", GATEWAY, "epoch rival")


async def test_a_foreign_epoch_under_our_name_is_a_rival_and_who_is_taken_then_waits_long():
    for kept in (state_of("rival"), state_of("rival", on=False)):
        net = Net()
        async with Rig(FakeStore(), net.connect) as rig:
            await rig.until(lambda net=net: bool(net.links) and "points" in net.links[0][1].kinds())
            assert net.links[0][1].heard == []  # nothing that is there now says anything
            net.kept = kept
            net.links[0][1].ended.set_result("lost")
            await rig.until(lambda rig=rig: RIVAL in rig.events)
            await rig.until(lambda net=net: "points" in net.links[1][1].kinds())
            net.links[1][1].ended.set_result("lost")
            await rig.until(lambda rig=rig: (rig.progress.link.next_try_ms or 0)
                            > clock().mono_ms + 5_000)  # fmt: skip
            assert len(net.links) == 2


async def test_own_epochs_of_now_and_before_are_no_rival():
    net = Net()
    async with Rig(FakeStore(), net.connect) as rig:
        for number, kept in enumerate((state_of("e1"), state_of("e2"), b"junk", b"{}"), start=1):
            await rig.until(lambda n=number: len(net.links) == n)
            await rig.until(lambda n=number: "points" in net.links[n - 1][1].kinds())
            net.kept = kept
            net.links[-1][1].ended.set_result("lost")
        await rig.until(lambda: len(net.links) == 5)
        assert not [event for event in rig.events if isinstance(event, FaultRaised)]


async def test_a_broker_that_names_the_take_over_is_believed_and_asked_once_more():
    net = Net()
    async with Rig(FakeStore(), net.connect) as rig:
        for number in (1, 2):
            await rig.until(lambda n=number: len(net.links) == n)
            await rig.until(lambda n=number: "points" in net.links[n - 1][1].kinds())
            net.links[-1][1].ended.set_result("identity_in_use")
        await rig.until(lambda: (rig.progress.link.next_try_ms or 0) > clock().mono_ms + 5_000)
        assert FaultRaised("identity_in_use", GATEWAY, "told by the broker") in rig.events
        rig.make(Lane.A, 1)  # an alarm is tried sooner all the same
        await rig.until(lambda: len(net.links) == 3)


async def test_a_lane_that_nobody_hears_is_not_settled_by_the_broker_and_said_so():
    link = FakeLink()
    link.code = lambda topic: 0x10
    store = FakeStore(backlog(0, 1, 0))
    async with Rig(store, link.connect, delivery=Delivery.BROKER) as rig:
        await rig.until(
            lambda: (
                FaultRaised("uplink_unheard", "B", "no matching subscribers (0x10)") in rig.events
            )
        )
        assert store.records
        link.code = lambda topic: 0
        await rig.until(lambda: not store.records)
        await rig.until(lambda: FaultCleared("uplink_unheard", "B") in rig.events)
