"""Brokers that take nothing, or say that they do: never settled, and people are told.

How soon they are told is shown in simulated time (tests/core/test_delivery_simulated.py); here the
waits are shortened and the brokers are real, or speak from a script where none can be made to.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.domain.events import FaultRaised, LinkChanged, PlatformChanged
from gateway.domain.records import Lane, Range
from gateway.domain.site import Broker
from gateway.drivers import mqtt
from gateway.sim.history import read_applied
from tests.drivers.test_mqtt import Relay
from tests.partners.broker import Mosquitto
from tests.tasks.test_forward import GATEWAY, FakeStore, Rig, backlog, platform, record

ALL_BUT_ALARMS = "".join(
    f"topic readwrite care/1/+/{topic}\n" for topic in ("dn/#", "up/state", "up/points", "up/b")
)
FACT = Range(Lane.B, "e1", 1, 1)


def speaking(version, broker: Broker):
    """As `Rig.connect_mqtt`, in one version of the protocol."""
    uplink = mqtt.Uplink(gateway=GATEWAY, brokers=())

    def connect(_, will, on_message):
        return mqtt.connect(
            uplink, broker, client_id=GATEWAY, will=will, on_message=on_message, protocol=version
        )

    return connect


async def test_a_lane_that_the_broker_denies_is_a_fault_and_the_other_is_delivered(tmp_path):
    with Mosquitto(acl=ALL_BUT_ALARMS) as broker:
        async with platform(broker, tmp_path / "history"):
            connect = speaking(mqtt.V5, broker.broker)
            async with Rig(FakeStore(backlog(1, 1, 0)), connect, probe_ms=20_000) as rig:
                denied = FaultRaised("uplink_refused", "A", "not authorized (0x87)")
                await rig.until(lambda: denied in rig.events and FACT in rig.store.settled)
                assert rig.store.settled == [FACT]


async def test_a_denial_that_mqtt_3_1_1_calls_success_settles_nothing_and_is_told(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("gateway.core.delivery.UNANSWERED_MS", 500)
    with Mosquitto(acl=ALL_BUT_ALARMS) as broker:
        async with platform(broker, tmp_path / "history"):
            connect = speaking(mqtt.V311, broker.broker)
            async with Rig(FakeStore(backlog(1, 1, 0)), connect, probe_ms=20_000) as rig:
                told = FaultRaised("uplink_unheard", "A", "the platform does not answer")
                number = 1
                while told not in rig.events:  # the platform goes on speaking of other lanes
                    number += 1
                    rig.make(Lane.B, number)
                    await asyncio.sleep(0.1)
                    assert number < 600
                assert rig.progress.link.protocol == "3.1.1"
                assert not [settled for settled in rig.store.settled if settled.lane is Lane.A]


async def test_a_record_that_the_broker_is_too_small_for_is_parked_and_the_link_stays(tmp_path):
    limit, large = 1_000, replace(backlog(1, 0, 0)[0], seq=2, body=b"x" * 1_000)
    with Mosquitto(config=f"max_packet_size {limit}") as broker:
        async with platform(broker, tmp_path / "history"):
            store = FakeStore([*backlog(1, 1, 1), large])
            async with Rig(store, speaking(mqtt.V5, broker.broker), probe_ms=20_000) as rig:
                await rig.until(lambda: list(store.records) == [(Lane.A, "e1", 2)])
                (told,) = [event for event in rig.events if event == parked(event)]
                assert told.detail.startswith("e1-A-2: 1000 bytes, the broker takes ")
                assert rig.progress.link.connections == 1


async def test_what_an_old_broker_closes_upon_is_parked_and_arrives_once_its_limit_is_raised(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("gateway.core.closing.STANDS_MS", 300)
    monkeypatch.setattr("gateway.core.closing.LEAST_WAIT_MS", 0)
    large = record(Lane.A, 2, "e1")
    large = replace(large, body=large.body[:-1] + b',"pad":"%s"}' % (b"x" * 3_000))
    told = f"e1-A-2: closes the link, {len(large.body)} bytes"
    with Mosquitto(config="max_packet_size 1000") as broker:
        async with platform(broker, tmp_path / "history"):
            store = FakeStore([*backlog(1, 0, 0), large])
            async with Rig(store, speaking(mqtt.V311, broker.broker), probe_ms=20_000) as rig:
                await rig.until(lambda: FaultRaised("record_parked", "A", told) in rig.events)
                for lane in Lane:
                    rig.make(lane, 1)
                await rig.until(lambda: list(store.records) == [(Lane.A, "e1", 2)])
                broker.stop()
                broker.configure("max_packet_size 65536")
                broker.start()
                await rig.until(lambda: not store.records)
    assert len(read_applied(tmp_path / "history")) == 5


def parked(event: object) -> FaultRaised:
    detail = event.detail if isinstance(event, FaultRaised) else ""
    return FaultRaised("record_parked", "A", detail)


async def test_a_broker_on_which_nobody_listens_settles_nothing_and_the_platform_is_missed():
    with Mosquitto() as broker:
        connect = speaking(mqtt.V5, broker.broker)
        async with Rig(FakeStore(backlog(2, 2, 0)), connect) as rig:
            steps = rig.progress.steps
            await rig.until(lambda: PlatformChanged(is_present=False) in rig.events)
            await rig.until(lambda: any(step.what == "broker" for step in steps))
            assert {step.code for step in steps if step.what == "broker"} == {0x10}
            assert rig.store.settled == []


@contextlib.asynccontextmanager
async def scripted(code: int) -> AsyncIterator[Broker]:
    """A broker that speaks MQTT 5 and answers every record with this reason code."""
    tasks: set[asyncio.Task[None]] = set()

    async def packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readexactly(1))[0]
        size, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return head, await reader.readexactly(size)

    def answer(head: int, body: bytes) -> bytes:
        match head >> 4:
            case 1:
                return bytes([0x20, 3, 0, 0, 0])
            case 8:
                return bytes([0x90, 4, *body[:2], 0, 1])
            case 3 if head & 0x06:
                length = int.from_bytes(body[:2], "big")
                topic, mid = body[2 : 2 + length], body[2 + length : 4 + length]
                is_record = topic.rsplit(b"/", 1)[-1] in (b"a", b"b", b"r")
                return bytes([0x40, 3, *mid, code if is_record else 0])
            case 12:
                return bytes([0xD0, 0])
        return b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                writer.write(answer(*await packet(reader)))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Broker("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_broker_over_its_quota_is_a_fault_and_settles_nothing():
    async with scripted(0x97) as broker:
        store = FakeStore(backlog(1, 0, 0))
        async with Rig(store, speaking(mqtt.V5, broker)) as rig:
            told = FaultRaised("uplink_refused", "A", "quota exceeded (0x97)")
            await rig.until(lambda: told in rig.events)
            assert store.settled == []


async def test_a_link_that_is_half_open_is_given_up_and_the_next_one_delivers_all(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(mqtt, "PUBACK_S", 0.5)
    with Mosquitto() as mosquitto:
        relay = await Relay.start(mosquitto.broker)
        store = FakeStore()
        async with (
            platform(mosquitto, tmp_path / "history"),
            Rig(store, speaking(mqtt.V5, relay.broker), probe_ms=20_000) as rig,
        ):
            rig.make(Lane.B, 1)
            await rig.until(lambda: bool(store.settled))
            relay.swallows = True
            rig.make(Lane.A, 1)
            name = "x:1"
            down = LinkChanged(is_up=False, broker=name, why="no_puback")
            await rig.until(lambda: down in rig.events)
            assert store.settled == [Range(Lane.B, "e2", 1, 1)]
            relay.swallows = False
            await rig.until(lambda: not store.records)
        await relay.stop()
