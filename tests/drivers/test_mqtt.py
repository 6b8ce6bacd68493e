import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

from gateway.domain.errors import LinkLost, LinkRefused
from gateway.domain.site import Broker, Uplink
from gateway.drivers import mqtt
from gateway.drivers.mqtt import Link
from tests.partners.broker import Mosquitto, free_port

GATEWAY = "wh-0152-01"
WILL = (f"care/1/{GATEWAY}/up/state", b'{"on":false}')


def uplink(**fields) -> Uplink:
    return Uplink(gateway=GATEWAY, brokers=(), **fields)


def nothing(topic: str, payload: bytes) -> None:
    return None


def connect(broker: Broker, *, client_id=GATEWAY, on_message=nothing, protocol=mqtt.V5, **fields):
    return mqtt.connect(
        uplink(**fields),
        broker,
        client_id=client_id,
        will=WILL,
        on_message=on_message,
        protocol=protocol,
    )


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)


def mqtt_threads() -> list[threading.Thread]:
    """The network threads that do not end: one that has said so may still be on its last lines."""
    found = [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith(("paho-mqtt-", "mqtt-"))
    ]
    for thread in found:
        thread.join(5)
    return [thread for thread in found if thread.is_alive()]


async def test_publish_returns_zero_when_somebody_subscribes_and_16_when_nobody_does():
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker) as link:
            assert await link.publish(f"care/1/{GATEWAY}/up/a", b"{}", 1) == 0x10
            assert await link.publish(f"care/1/{GATEWAY}/dn/ack", b"{}", 1) == 0
            assert link.protocol == "5"
    assert mqtt_threads() == []


async def test_a_denied_publish_returns_the_reason_code_of_the_broker():
    acl = "topic read care/1/#\ntopic write care/1/other/#\n"
    with Mosquitto(acl=acl) as mosquitto:
        async with connect(mosquitto.broker) as link:
            assert await link.publish(f"care/1/{GATEWAY}/up/a", b"{}", 1) == 0x87


async def test_messages_for_this_gateway_arrive_even_when_they_are_no_json():
    got: list[tuple[str, bytes]] = []
    with Mosquitto() as mosquitto:
        async with (
            connect(mosquitto.broker, on_message=lambda *message: got.append(message)),
            connect(mosquitto.broker, client_id="platform") as platform,
        ):
            await platform.publish(f"care/1/{GATEWAY}/dn/ack", b"\xff no json", 1)
            await platform.publish("care/1/another/dn/ack", b"not for us", 1)
            await platform.publish(f"care/1/{GATEWAY}/dn/hello", b"{}", 1)
            await until(lambda: len(got) == 2)
    assert got == [
        (f"care/1/{GATEWAY}/dn/ack", b"\xff no json"),
        (f"care/1/{GATEWAY}/dn/hello", b"{}"),
    ]


async def test_what_was_queued_while_away_arrives_with_the_next_connection():
    got: list[bytes] = []
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker) as link:
            assert not link.has_session
        async with connect(mosquitto.broker, client_id="platform") as platform:
            assert await platform.publish(f"care/1/{GATEWAY}/dn/ack", b"later", 1) == 0
        async with connect(mosquitto.broker, on_message=lambda _, b: got.append(b)) as link:
            assert link.has_session
            await until(lambda: got == [b"later"])


async def test_an_acknowledged_message_does_not_come_again():
    got: list[bytes] = []
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker, on_message=lambda _, b: got.append(b)) as link:
            await link.publish(f"care/1/{GATEWAY}/dn/ack", b"once", 1)
            await until(lambda: got == [b"once"])
            await link.publish(f"care/1/{GATEWAY}/up/x", b"the ack is on the wire before", 1)
        async with connect(mosquitto.broker, on_message=lambda _, b: got.append(b)) as link:
            await link.publish(f"care/1/{GATEWAY}/dn/ack", b"last", 1)
            await until(lambda: b"last" in got)
    assert got == [b"once", b"last"]


async def test_receive_maximum_of_the_broker_is_told():
    with Mosquitto(config="max_inflight_messages 5") as mosquitto:
        async with connect(mosquitto.broker) as link:
            assert link.receive_maximum == 5


async def test_a_killed_broker_ends_the_link_and_what_waits_for_an_answer():
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker) as link:
            mosquitto.kill()
            assert await asyncio.wait_for(link.lost(), 30) == "lost"
            with pytest.raises(LinkLost):
                await link.publish("x", b"", 1)
        mosquitto.start()
        async with connect(mosquitto.broker) as link:
            assert await link.publish(f"care/1/{GATEWAY}/dn/x", b"", 1) == 0
    assert mqtt_threads() == []


async def test_a_second_client_with_the_same_id_ends_the_first_link():
    with Mosquitto() as mosquitto:  # 2.0.11 closes without saying why
        async with connect(mosquitto.broker) as first, connect(mosquitto.broker) as second:
            assert await asyncio.wait_for(first.lost(), 30) in ("lost", "identity_in_use")
            assert await second.publish(f"care/1/{GATEWAY}/dn/x", b"", 1) == 0


async def test_a_broker_that_names_the_take_over_is_understood():
    async def take_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)  # CONNECT
        writer.write(bytes([0x20, 3, 0, 0, 0]))
        subscribe = await reader.read(4096)
        writer.write(bytes([0x90, 4, *subscribe[2:4], 0, 1]))
        writer.write(bytes([0xE0, 2, 0x8E, 0]))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take_over, "127.0.0.1", 0)
    broker = Broker("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        async with connect(broker) as link:
            assert await asyncio.wait_for(link.lost(), 30) == "identity_in_use"
    except LinkRefused as refused:  # both answers were read in one go
        if refused.why != "identity_in_use":
            raise
    finally:
        server.close()


async def test_a_broker_that_wants_a_password_refuses_with_auth():
    with Mosquitto(config="allow_anonymous false") as mosquitto:
        for protocol in (mqtt.V5, mqtt.V311):
            with pytest.raises(LinkRefused) as refused:
                async with connect(mosquitto.broker, protocol=protocol):
                    pass
            assert refused.value.why == "auth"


async def test_a_password_file_that_is_missing_is_an_auth_refusal(tmp_path):
    with pytest.raises(LinkRefused) as refused:
        async with connect(
            Broker("localhost", 1), username="me", password_file=tmp_path / "missing"
        ):
            pass
    assert refused.value.why == "auth"


async def test_a_password_file_that_hangs_holds_up_its_own_thread_and_not_the_alarms(tmp_path):
    """As one does on a card that died; here it is a pipe into which nobody writes yet."""
    pipe = tmp_path / "password"
    os.mkfifo(pipe)
    release = threading.Timer(60, pipe.write_text, ("secret",))  # for a loop that hangs after all
    release.start()

    async def refused():
        with pytest.raises(LinkRefused) as found:
            async with connect(Broker("127.0.0.1", free_port()), username="me", password_file=pipe):
                pass
        return found.value.why

    why = asyncio.create_task(refused())
    while release.is_alive() and "mqtt-connect" not in {t.name for t in threading.enumerate()}:
        await asyncio.sleep(0.01)
    assert release.is_alive(), "the loop went on before anybody wrote"
    release.cancel()
    await asyncio.to_thread(pipe.write_text, "secret")
    assert await why == "tcp_refused"


async def test_a_wrong_port_is_told_apart_from_a_wrong_name():
    with pytest.raises(LinkRefused) as refused:
        async with connect(Broker("127.0.0.1", free_port())):
            pass
    assert refused.value.why == "tcp_refused"
    with pytest.raises(LinkRefused) as refused:
        async with connect(Broker("no-such-host.invalid", 1883)):
            pass
    assert refused.value.why == "dns"


@contextlib.contextmanager
def black_hole():
    """A socket that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield Broker("127.0.0.1", server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for sock in held:
            sock.close()


async def test_a_black_holed_broker_is_a_timeout_and_the_event_loop_goes_on(monkeypatch):
    monkeypatch.setattr(mqtt, "CONNECT_S", 0.5)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    task = asyncio.create_task(beat())
    with black_hole() as broker, pytest.raises(LinkRefused) as refused:
        async with connect(broker, protocol=None):
            pass
    task.cancel()
    assert refused.value.why == "timeout"
    assert beats > 10
    assert mqtt_threads() == []


async def test_a_broker_that_takes_long_to_answer_is_waited_for_longer_each_time(monkeypatch):
    monkeypatch.setattr(mqtt, "CONNECT_S", 0.1)
    waits: list[float] = []
    with Mosquitto() as mosquitto:
        relay = await Relay.start(mosquitto.broker)
        for tries in range(mqtt.MOST_SILENCES):
            relay.answers_after_s = 3600.0 if tries < 3 else 0.0
            waits.append(mqtt.patience_of(relay.broker, 1))
            with contextlib.suppress(LinkRefused):
                async with connect(relay.broker, protocol=None) as link:
                    await link.publish(f"care/1/{GATEWAY}/up/b", b"{}", 1)
                    break
        else:
            pytest.fail(f"no link with {waits}")
        await relay.stop()
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert mqtt_threads() == []


async def test_who_waits_for_the_first_answer_is_not_ended_by_the_own_keepalive(monkeypatch):
    monkeypatch.setattr(mqtt, "CONNECT_S", 30.0)
    with Mosquitto() as mosquitto:
        relay = await Relay.start(mosquitto.broker)
        relay.answers_after_s = 2.5
        async with connect(relay.broker, keepalive_s=1) as link:
            relay.answers_after_s = 0.0
            assert await link.publish(f"care/1/{GATEWAY}/dn/x", b"", 1) == 0
        await relay.stop()


def test_nobody_waits_long_for_one_of_several_brokers():
    broker = Broker("slow", 1883)
    mqtt._KNOWN[broker] = mqtt._Known(silences=mqtt.MOST_SILENCES)
    assert mqtt.patience_of(broker, 1) == mqtt.PATIENCE_S
    assert mqtt.patience_of(broker, 2) == mqtt.PATIENCE_OF_SEVERAL_S


async def test_without_puback_for_a_while_the_link_is_given_up(monkeypatch):
    monkeypatch.setattr(mqtt, "PUBACK_S", 0.3)
    with Mosquitto() as mosquitto:
        relay = await Relay.start(mosquitto.broker)
        async with connect(relay.broker) as link:
            assert await link.publish(f"care/1/{GATEWAY}/dn/x", b"", 1) == 0
            relay.swallows = True
            with pytest.raises(LinkLost):
                await asyncio.wait_for(link.publish(f"care/1/{GATEWAY}/dn/x", b"", 1), 30)
            assert await link.lost() == "no_puback"
        await relay.stop()
    assert mqtt_threads() == []


class Relay:
    """A TCP relay to the broker that can go silent without closing."""

    def __init__(self, target: Broker) -> None:
        self.swallows = False
        self.answers_after_s = 0.0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, target: Broker) -> "Relay":
        relay = cls(target)
        relay._server = await asyncio.start_server(relay._accept, "127.0.0.1", 0)
        relay.broker = Broker("127.0.0.1", relay._server.sockets[0].getsockname()[1])
        return relay

    async def _accept(self, reader, writer, first: bytes = b"") -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._target.unix_path)
        far_writer.write(first)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)

    async def _pump(self, source, sink) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                if data[0] == 0x20:  # CONNACK
                    await asyncio.sleep(self.answers_after_s)
                if not self.swallows:
                    sink.write(data)
        sink.close()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()


async def test_an_error_in_paho_is_a_lost_link():
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker) as link:

            def explode(*args) -> None:
                raise RuntimeError("planted")

            link._client.on_subscribe = explode
            with pytest.raises(LinkLost):
                await asyncio.wait_for(link.subscribe(f"care/1/{GATEWAY}/dn/x"), 30)


async def test_hundreds_of_publishes_over_a_small_window_all_come_back():
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker) as link:
            window = asyncio.Semaphore(16)

            async def one(number: int) -> int:
                async with window:
                    return await link.publish(f"care/1/{GATEWAY}/dn/x", b"%d" % number, 1)

            assert set(await asyncio.gather(*(one(n) for n in range(500)))) == {0}


LARGE = bytes(range(256)) * 2_048  # 512 KiB: more than the contract knows
MANY = [bytes([n]) * 60_000 for n in range(40)]  # 2.4 MB: many times what socket and kernel hold


async def test_what_a_socket_does_not_take_at_once_goes_out_whole_and_in_order():
    got: list[bytes] = []
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker, on_message=lambda _, body: got.append(body)) as link:
            codes: list[int] = []
            for body in MANY:
                link.send(f"care/1/{GATEWAY}/dn/x", body, codes.append)
            await until(lambda: got == MANY and codes == [0] * len(MANY))


async def test_a_broker_of_mqtt_5_is_told_how_much_may_come_down_in_one():
    got: list[bytes] = []
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker, on_message=lambda _, body: got.append(body)) as link:
            assert await link.publish(f"care/1/{GATEWAY}/dn/x", LARGE, 1) == 0
            assert await link.publish(f"care/1/{GATEWAY}/dn/x", b"behind", 1) == 0
            await until(lambda: got == [b"behind"])


async def test_what_is_too_large_to_come_down_is_not_gathered_up():
    got: list[bytes] = []
    with Mosquitto() as mosquitto:
        how = {"protocol": mqtt.V311, "on_message": lambda _, body: got.append(body)}
        async with connect(mosquitto.broker, **how) as link:
            link.send(f"care/1/{GATEWAY}/dn/x", LARGE, lambda _: None)
            async with asyncio.timeout(30):
                assert await link.lost() == "lost"
            assert len(link._arrived) < len(LARGE)
    assert got == []


async def test_an_error_in_what_an_answer_leads_to_costs_only_that_message():
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: told.append(said["message"]))

    def explode(code: int) -> None:
        raise RuntimeError("planted")

    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker) as link:
            link.send(f"care/1/{GATEWAY}/dn/x", b"", explode)
            assert await link.publish(f"care/1/{GATEWAY}/dn/x", b"", 1) == 0
    assert told == ["MQTT message"]


async def test_message_ids_go_round_and_leave_out_what_is_under_way():
    with Mosquitto() as mosquitto:
        relay = await Relay.start(mosquitto.broker)
        async with connect(relay.broker) as link:
            link._mid = 0xFFFE
            relay.swallows = True
            for body in (b"1", b"2", b"3"):
                link.send(f"care/1/{GATEWAY}/dn/x", body, lambda code: None)
            link._mid = 0xFFFE
            link.send(f"care/1/{GATEWAY}/dn/x", b"4", lambda code: None)
            assert list(link._pubacks) == [0xFFFE, 0xFFFF, mqtt.FIRST_MID, mqtt.FIRST_MID + 1]
        await relay.stop()


@contextlib.asynccontextmanager
async def scripted(after_subscribe: bytes):
    """A broker that takes one connection in MQTT 5, then says this; `heard` is what came after."""
    heard = bytearray()

    async def serve(reader, writer) -> None:
        await reader.read(4_096)
        writer.write(bytes([0x20, 3, 0, 0, 0]))
        subscribe = await reader.read(4_096)
        writer.write(bytes([0x90, 4, *subscribe[2:4], 0, 1]) + after_subscribe)
        while data := await reader.read(4_096):
            heard.extend(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Broker("127.0.0.1", server.sockets[0].getsockname()[1]), heard
    finally:
        server.close()


async def test_a_broker_that_sends_no_mqtt_is_a_lost_link():
    async with (
        scripted(b"\x40\xff\xff\xff\xff\x01") as (broker, _),
        connect(broker) as link,
    ):
        assert await asyncio.wait_for(link.lost(), 30) == "lost"


async def test_a_broker_that_goes_and_says_why_is_understood():
    async with (
        scripted(bytes([0xE0, 1, 0x8E])) as (broker, _),  # DISCONNECT: session taken over
        connect(broker) as link,
    ):
        assert await asyncio.wait_for(link.lost(), 30) == "identity_in_use"


async def test_what_a_broker_says_when_it_goes_is_kept_for_people():
    async with (
        scripted(bytes([0xE0, 1, 0x97])) as (broker, _),  # DISCONNECT: quota exceeded
        connect(broker) as link,
    ):
        assert await asyncio.wait_for(link.lost(), 30) == "lost"
        assert link.farewell == "Quota exceeded (0x97)"


async def test_a_broker_that_retains_nothing_is_used_all_the_same_and_asked_once():
    with Mosquitto(config="retain_available false") as mosquitto:
        for _ in range(2):
            async with connect(mosquitto.broker) as link:
                code = await link.publish(f"care/1/{GATEWAY}/up/state", b"{}", 1, retain=True)
                assert code == 0x10  # nobody subscribed
                assert not link.takes_retained
        assert mosquitto.log().count("retain not supported") == 1


async def test_a_broker_that_closes_upon_a_message_to_retain_gets_none_on_the_next_connection():
    async with scripted(bytes([0xE0, 1, 0x9A])) as (broker, _):
        async with connect(broker) as link:
            assert await asyncio.wait_for(link.lost(), 30) == "lost"
        async with connect(broker) as link:
            assert not link.takes_retained


async def test_no_ping_goes_out_while_messages_come_and_go(monkeypatch):
    now = [time.monotonic()]
    monkeypatch.setattr("paho.mqtt.client.time_func", lambda: now[0])

    def pass_15_s(link: Link) -> None:
        now[0] += 15
        link._misc.cancel()
        link._look_after()

    ping, message = b"\xc0\x00", b"\x04busy"
    async with scripted(b"") as (broker, heard), connect(broker, keepalive_s=20) as link:
        for _ in range(3):
            link.send("busy", b"", lambda code: None)
            link._take(b"\x40\x02\x7f\x00")  # a PUBACK: paho does not see it
            pass_15_s(link)
        await until(lambda: heard.count(message) == 3)
        assert ping not in heard
        pass_15_s(link)
        pass_15_s(link)
        await until(lambda: heard.count(ping) == 1)


async def speaks_311(link: Link) -> None:
    assert link.protocol == "3.1.1"
    assert await link.publish(f"care/1/{GATEWAY}/dn/ack", b"hello", 1) == 0


@pytest.fixture(autouse=True)
def _nothing_is_known():
    mqtt._KNOWN.clear()


async def test_the_embedded_broker_is_used_in_3_1_1_and_that_is_believed_for_a_while(monkeypatch):
    from amqtt.broker import Broker as Embedded

    monkeypatch.setattr(mqtt, "CONNECT_S", 2.0)
    port = free_port()
    embedded = Embedded(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
        }
    )
    await embedded.start()
    got: list[bytes] = []
    now = asyncio.get_running_loop().time
    try:
        broker = Broker("127.0.0.1", port)
        async with connect(broker, protocol=None, on_message=lambda _, b: got.append(b)) as link:
            await speaks_311(link)
            await until(lambda: got == [b"hello"])
        known = mqtt._KNOWN[broker]
        assert known.guesses == 1
        assert 0 < known.use_311_until - now() <= mqtt.GUESS_311_S
        async with connect(broker, protocol=None) as link:
            await speaks_311(link)
        assert known.guesses == 1
        known.use_311_until = 0.0  # the minute is over
        async with connect(broker, protocol=None) as link:
            await speaks_311(link)
        assert mqtt.GUESS_311_S < known.use_311_until - now() <= 5 * mqtt.GUESS_311_S
    finally:
        await embedded.shutdown()


@contextlib.asynccontextmanager
async def picky(*answers: bytes | None):
    """A port that closes the n-th connection after the n-th answer to CONNECT, then a real broker.

    None is no answer at all.
    """
    left = list(answers)
    asked: list[int] = []  # the protocol levels of the CONNECTs that came

    with Mosquitto() as mosquitto:
        relay = Relay(mosquitto.broker)

        async def accept(reader, writer) -> None:
            first = await reader.read(4096)
            if first[0] != 0x10:  # not CONNECT: somebody looks whether this is TLS
                writer.close()
                return
            asked.append(first[8])
            if left:
                writer.write(left.pop(0) or b"")
                writer.close()
                return
            await relay._accept(reader, writer, first)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield Broker("127.0.0.1", server.sockets[0].getsockname()[1]), asked
        finally:
            server.close()
            await relay.stop()


SPEAKS_ONLY_311 = bytes([0x20, 2, 0, 1])  # CONNACK of 3.1.1: unacceptable protocol version


async def test_a_broker_that_closes_once_is_still_asked_in_mqtt_5():
    async with picky(None) as (broker, asked):
        async with connect(broker, protocol=None) as link:
            assert link.protocol == "5"
        assert asked == [5, 5]
        assert mqtt._KNOWN[broker].use_311_until == 0.0


async def test_a_broker_that_says_it_speaks_3_1_1_only_is_believed_for_an_hour():
    async with picky(SPEAKS_ONLY_311) as (broker, asked):
        async with connect(broker, protocol=None) as link:
            await speaks_311(link)
        async with connect(broker, protocol=None) as link:
            await speaks_311(link)
        assert asked == [5, 4, 4]
        left_s = mqtt._KNOWN[broker].use_311_until - asyncio.get_running_loop().time()
        assert mqtt.REMEMBER_311_S - 60 < left_s <= mqtt.REMEMBER_311_S


async def test_a_broker_that_closes_twice_is_asked_in_3_1_1():
    async with picky(None, None) as (broker, asked):
        async with connect(broker, protocol=None) as link:
            await speaks_311(link)
        assert asked == [5, 5, 4]


async def test_a_broker_that_spoke_mqtt_5_is_not_taken_for_an_old_one_while_it_restarts():
    async with picky() as (broker, _), connect(broker, protocol=None) as link:
        assert link.protocol == "5"
    async with picky(*[None] * 3) as (other, asked):
        mqtt._KNOWN[other] = mqtt._KNOWN[broker]
        for _ in range(3):
            with pytest.raises(LinkRefused):
                async with connect(other, protocol=None):
                    pass
        async with connect(other, protocol=None) as link:
            assert link.protocol == "5"
        assert asked == [5, 5, 5, 5]


async def test_a_topic_may_be_heard_beside_the_own_words_left_out():
    got: list[bytes] = []
    topic = f"care/1/{GATEWAY}/up/state"
    with Mosquitto() as mosquitto:
        async with connect(mosquitto.broker, on_message=lambda _, body: got.append(body)) as link:
            await link.publish(topic, b"kept", 1, retain=True)
            assert await link.subscribe(topic, no_local=True) < 0x80
            await until(lambda: got == [b"kept"])
            await link.publish(topic, b"own words", 1)
            async with connect(mosquitto.broker, client_id="other") as other:
                await other.publish(topic, b"another's", 1)
            await until(lambda: len(got) == 2)
    assert got == [b"kept", b"another's"]
