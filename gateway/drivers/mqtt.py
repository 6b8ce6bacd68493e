"""The door to MQTT brokers: paho behind asyncio, one connection as an `async with`.

`publish` returns the broker's reason code, because a PUBACK can say no; nothing is queued inside
paho (the window is the caller's), and reconnecting is the caller's loop. paho's callbacks run in
its own thread and only hand over; an exception there would end that thread silently, so its end
is watched. A message is acknowledged to the broker after it was handed over.

MQTT 5 is tried first; a broker that does not accept it is asked again in 3.1.1, and that is
remembered for an hour.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.domain.errors import LinkLost, LinkRefused
from gateway.domain.site import Broker, Uplink

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
CONNECT_S = 5.0  # each: TCP and TLS, CONNACK, SUBACK
PUBACK_S = 20.0
SESSION_EXPIRY_S = 24 * 3600
WILL_DELAY_S = 30
SEND_BUFFER_BYTES = 16 * 1024  # an alarm never waits behind more than this
TCP_USER_TIMEOUT_MS = 15_000
REMEMBER_311_S = 3600.0

_AUTH = frozenset({0x86, 0x87, 0x8C})  # bad user name or password, not authorized, bad method
_IDENTITY = frozenset({0x8E})  # session taken over
_VERSION = frozenset({0x84})  # unsupported protocol version
_NOT_YET_VALID, _EXPIRED = 9, 10  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED

_log = logging.getLogger(__name__)


class _VersionRefused(Exception):
    """The broker does not speak this protocol version, or goes silent or away when asked."""

    def __init__(self, cause: LinkRefused) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True, slots=True)
class _Greeting:
    """What the broker answered to CONNECT."""

    code: int
    name: str
    has_session: bool
    receive_maximum: int


class _Client(paho.Client):
    """paho's client that says when its network thread ends, for whatever reason."""

    on_thread_end: Callable[[], None]

    def loop_forever(
        self,
        timeout: float = 1.0,
        retry_first_connection: bool = False,
    ) -> MQTTErrorCode:
        try:
            return super().loop_forever(timeout, retry_first_connection)
        finally:
            self.on_thread_end()


class Link:
    """One live connection; made by `connect` only. All methods belong to the event loop."""

    def __init__(self, client: _Client, on_message: Callable[[str, bytes], None]) -> None:
        self.receive_maximum = 65535
        self.has_session = False
        self._client = client
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._pubacks: dict[int, tuple[float, asyncio.Future[int]]] = {}
        self._greeting: asyncio.Future[_Greeting] = self._loop.create_future()
        self._subscribed: asyncio.Future[int] = self._loop.create_future()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._has_thread = False
        self._thread_ended = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def protocol(self) -> str:
        """`5` or `3.1.1`."""
        return "5" if self._client.protocol == V5 else "3.1.1"

    @property
    def tls(self) -> str:
        """`TLSv1.3`, `TLSv1.2`; empty when the connection is not encrypted."""
        sock = self._client.socket()
        return (sock.version() or "") if isinstance(sock, ssl.SSLSocket) else ""

    async def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> int:
        """Return the PUBACK's reason code (0 = accepted; 3.1.1 and QoS 0 always 0).

        Raises LinkLost when the connection ends first; whether the broker has it is then unknown.
        """
        if self._ended.done():
            raise LinkLost(self._ended.result())
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end("lost")
            raise LinkLost(self._ended.result())
        if qos == 0:
            return 0
        answer: asyncio.Future[int] = self._loop.create_future()
        self._pubacks[info.mid] = (self._loop.time() + PUBACK_S, answer)
        self._watch_pubacks()
        try:
            return await answer
        finally:
            self._pubacks.pop(info.mid, None)

    async def lost(self) -> str:
        """Wait until the connection is over; return why."""
        return await asyncio.shield(self._ended)

    # -- handed over from paho's thread, run in the event loop ---------------------------------

    def greeted(self, greeting: _Greeting) -> None:
        if not self._greeting.done():
            self._greeting.set_result(greeting)

    def subscribed(self, code: int) -> None:
        if not self._subscribed.done():
            self._subscribed.set_result(code)

    def published(self, mid: int, code: int) -> None:
        _, answer = self._pubacks.get(mid, (0.0, None))
        if answer is not None and not answer.done():
            answer.set_result(code)

    def received(self, topic: str, payload: bytes, mid: int, qos: int) -> None:
        self._on_message(topic, payload)
        if qos:
            self._client.ack(mid, qos)

    def disconnected(self, code: int) -> None:
        self._end("identity_in_use" if code in _IDENTITY else "lost")

    def thread_ended(self) -> None:
        self._thread_ended.set()
        self._end("lost")

    # -- inside ---------------------------------------------------------------------------------

    def _watch_pubacks(self) -> None:
        if self._watch is None and self._pubacks and not self._ended.done():
            oldest = min(deadline for deadline, _ in self._pubacks.values())
            self._watch = self._loop.call_at(oldest, self._check_pubacks)

    def _check_pubacks(self) -> None:
        self._watch = None
        now = self._loop.time()
        if any(deadline <= now for deadline, _ in self._pubacks.values()):
            self._end("no_puback")
        self._watch_pubacks()

    def _end(self, why: str) -> None:
        if self._ended.done():
            return
        self._ended.set_result(why)
        for _, answer in self._pubacks.values():
            if not answer.done():
                answer.set_exception(LinkLost(why))
                answer.exception()  # seen: the caller may have been cancelled meanwhile
        if not self._greeting.done():
            self._greeting.set_exception(LinkLost(why))
            self._greeting.exception()
        if not self._subscribed.done():
            self._subscribed.set_exception(LinkLost(why))
            self._subscribed.exception()

    async def open(self, uplink: Uplink, broker: Broker) -> None:
        """Connect and subscribe, or raise LinkRefused or _VersionRefused."""
        try:
            await asyncio.wait_for(
                _in_thread(
                    partial(_connect_client, self._client, uplink, broker),
                    undo=lambda: _shut(self._client.socket()),
                ),
                2 * CONNECT_S,
            )
        except OSError as error:  # TimeoutError is one
            raise _refusal_of(error) from error
        self._client.loop_start()
        self._has_thread = True
        try:
            greeting = await asyncio.wait_for(self._greeting, CONNECT_S)
        except (TimeoutError, LinkLost) as error:
            is_late = isinstance(error, TimeoutError)
            cause = LinkRefused("timeout" if is_late else "refused", "no answer to CONNECT")
            raise _VersionRefused(cause) from error
        if greeting.code:
            raise _refusal_of_code(greeting)
        self.has_session = greeting.has_session
        self.receive_maximum = greeting.receive_maximum
        await self._subscribe(f"care/1/{uplink.gateway}/dn/#")

    async def _subscribe(self, topic: str) -> None:
        if self._client.protocol == V5:
            self._client.subscribe(topic, options=SubscribeOptions(qos=1))
        else:
            self._client.subscribe(topic, qos=1)
        try:
            code = await asyncio.wait_for(self._subscribed, CONNECT_S)
        except TimeoutError as error:
            raise LinkRefused("timeout", "no answer to SUBSCRIBE") from error
        except LinkLost as error:
            why = "identity_in_use" if error.why == "identity_in_use" else "refused"
            raise LinkRefused(why, "closed after CONNECT") from error
        if code >= 0x80:
            raise LinkRefused("auth", f"may not subscribe to {topic}: 0x{code:02x}")

    async def close(self) -> None:
        """Say goodbye, then make sure that paho's thread is gone."""
        if self._watch is not None:
            self._watch.cancel()
        was_lost = self._ended.done()
        self._end("closed")
        if not self._has_thread:
            return
        if not was_lost:
            self._client.disconnect()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._thread_ended.wait(), 1.0)
        if not self._thread_ended.is_set():
            _shut(self._client.socket())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._thread_ended.wait(), 3.0)
        if not self._thread_ended.is_set():
            _log.error("event=mqtt_thread_stuck")


# What a broker was seen to speak, and until when (event loop time) that is believed.
_SPEAKS_311: dict[Broker, float] = {}


@asynccontextmanager
async def connect(
    uplink: Uplink,
    broker: Broker,
    *,
    client_id: str,
    will: tuple[str, bytes],
    on_message: Callable[[str, bytes], None],
    protocol: MQTTProtocolVersion | None = None,
) -> AsyncIterator[Link]:
    """Connect with a persistent session and subscribe to `care/1/{gateway}/dn/#`.

    `on_message(topic, payload)` is called in the event loop. Raises LinkRefused. With `protocol`
    only that version is tried.
    """
    loop = asyncio.get_running_loop()
    versions = (V5, V311) if protocol is None else (protocol,)
    if protocol is None and _SPEAKS_311.get(broker, 0.0) > loop.time():
        versions = (V311,)
    for version in versions:
        link = _new_link(uplink, broker, client_id, will, on_message, version)
        try:
            try:
                await link.open(uplink, broker)
            except _VersionRefused as refused:
                if version is versions[-1]:
                    _SPEAKS_311.pop(broker, None)
                    raise refused.cause from refused
                continue
            if version == V311 and protocol is None and len(versions) == 2:
                _SPEAKS_311[broker] = loop.time() + REMEMBER_311_S
                _log.warning("event=mqtt_fallback protocol=3.1.1 broker=%s", broker.host)
            yield link
            return
        finally:
            await link.close()


def _new_link(
    uplink: Uplink,
    broker: Broker,
    client_id: str,
    will: tuple[str, bytes],
    on_message: Callable[[str, bytes], None],
    version: MQTTProtocolVersion,
) -> Link:
    client = _Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if version == V5 else False,
        protocol=version,
        transport="tcp" if broker.unix_path is None else "unix",
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = CONNECT_S
    client.max_inflight_messages_set(1000)  # never reached: the window is the caller's
    link = Link(client, on_message)
    _wire(client, link, asyncio.get_running_loop())
    will_properties = None
    if version == V5:
        will_properties = _properties(PacketTypes.WILLMESSAGE)
        will_properties.WillDelayInterval = WILL_DELAY_S
    client.will_set(will[0], will[1], qos=1, retain=True, properties=will_properties)
    if uplink.username is not None:
        client.username_pw_set(uplink.username, _password(uplink))
    return link


def _properties(packet_type: int) -> Any:
    return Properties(packet_type)  # type: ignore[no-untyped-call]


def _wire(client: _Client, link: Link, loop: asyncio.AbstractEventLoop) -> None:
    """Let paho's callbacks hand over to the event loop, and do nothing else."""

    def hand_over(function: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(function, *args)

    def on_connect(_c: Any, _u: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        maximum = getattr(properties, "ReceiveMaximum", 65535)
        hand_over(
            link.greeted, _Greeting(code.value, str(code), bool(flags.session_present), maximum)
        )

    def on_message(_c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        hand_over(link.received, message.topic, message.payload, message.mid, message.qos)

    def on_publish(_c: Any, _u: Any, mid: int, code: ReasonCode, _p: Any) -> None:
        hand_over(link.published, mid, code.value)

    def on_subscribe(_c: Any, _u: Any, _mid: int, codes: list[ReasonCode], _p: Any) -> None:
        hand_over(link.subscribed, max(code.value for code in codes))

    def on_disconnect(_c: Any, _u: Any, _flags: Any, code: ReasonCode, _p: Any) -> None:
        hand_over(link.disconnected, code.value)

    client.on_connect = on_connect
    client.on_message = on_message
    client.on_publish = on_publish
    client.on_subscribe = on_subscribe
    client.on_disconnect = on_disconnect
    client.on_socket_open = _tune
    client.on_thread_end = partial(hand_over, link.thread_ended)


def _tune(_client: Any, _userdata: Any, sock: Any) -> None:
    """Bound what the kernel holds, and how long it waits for a peer that went away."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)


def _connect_client(client: _Client, uplink: Uplink, broker: Broker) -> None:
    """Name, TCP and TLS; blocks, so it runs in a thread of its own."""
    if broker.tls:
        client.tls_set_context(_tls_context(uplink))
    host = broker.unix_path or broker.host
    if client.protocol == V5:
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        client.connect(
            host, broker.port or 1883, uplink.keepalive_s, clean_start=False, properties=properties
        )
    else:
        client.connect(host, broker.port or 1883, uplink.keepalive_s)


def _tls_context(uplink: Uplink) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=uplink.ca_file)
        if uplink.cert_file is not None:
            context.load_cert_chain(uplink.cert_file, uplink.key_file)
    except ssl.SSLError:
        raise
    except OSError as error:
        raise LinkRefused("tls_trust", str(error)) from error
    return context


def _password(uplink: Uplink) -> str | None:
    try:
        return uplink.password_file.read_text().strip() if uplink.password_file else None
    except (OSError, UnicodeDecodeError) as error:
        raise LinkRefused("auth", str(error)) from error


async def _in_thread(function: Callable[[], None], *, undo: Callable[[], None]) -> None:
    """Run a blocking call in its own daemon thread: a name server that hangs holds up nobody.

    When the caller did not wait for the end, `undo` runs after it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.done():
            undo()
        elif error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            function()
        except Exception as caught:  # noqa: BLE001 - handed over to the caller, who raises it
            error = caught
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name="mqtt-connect", daemon=True).start()
    await done


def _refusal_of(error: OSError) -> LinkRefused:
    match error:
        case socket.gaierror():
            return LinkRefused("dns", str(error))
        case ssl.SSLCertVerificationError():
            is_time = error.verify_code in (_NOT_YET_VALID, _EXPIRED)
            return LinkRefused("tls_time" if is_time else "tls_trust", error.verify_message)
        case ssl.SSLError():
            return LinkRefused("tls_trust", str(error))
        case TimeoutError():
            return LinkRefused("timeout", str(error))
        case _:
            return LinkRefused("tcp", str(error))


def _refusal_of_code(greeting: _Greeting) -> LinkRefused | _VersionRefused:
    if greeting.code in _VERSION:
        return _VersionRefused(LinkRefused("refused", greeting.name))
    if greeting.code in _AUTH:
        return LinkRefused("auth", greeting.name)
    if greeting.code in _IDENTITY or greeting.code == 0x85:
        return LinkRefused("identity_in_use", greeting.name)
    return LinkRefused("refused", greeting.name)


def _shut(sock: Any) -> None:
    if sock is not None:
        with contextlib.suppress(OSError):  # closed by the other thread in between
            sock.shutdown(socket.SHUT_RDWR)
