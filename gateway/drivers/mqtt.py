"""The door to MQTT brokers: paho behind asyncio, one connection as an `async with`.

`publish` returns the broker's reason code, because a PUBACK can say no; nothing is queued inside
paho (the window is the caller's), and reconnecting is the caller's loop. Only connecting has a
thread of its own; from then on the event loop reads and writes the socket, so no message waits for
two threads to take turns. What is published and its PUBACK go past paho (`drivers.packets`, ADR
018); of all else paho gets whole packets, and what it says goes out with the rest. Its callbacks
only hand over: what they lead to runs when paho is done. A message is acknowledged to the broker
after it was handed over.

MQTT 5 is tried first; a broker that says it does not speak it is used in 3.1.1, and that is
remembered for an hour. One that goes silent or away instead is only guessed at: a broker in the
middle of a restart does the same. See `_next_version`. A broker that says it retains nothing gets
nothing to retain, also for an hour.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import threading
from collections import deque
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
from gateway.drivers import packets, tls
from gateway.drivers.dialling import dial
from gateway.drivers.packets import PacketBroken

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
CONNECT_S = 5.0  # each: TCP and TLS, CONNACK, SUBACK
PATIENCE_S = 30.0  # for CONNACK and SUBACK, after some tries without: doubled with each
MOST_SILENCES = 9  # that are counted
PATIENCE_OF_SEVERAL_S = 10.0  # where there are other brokers to go to
PUBACK_S = 20.0
SESSION_EXPIRY_S = 24 * 3600
WILL_DELAY_S = 30
UNLIMITED = 268_435_460  # bytes: the largest packet there can be
READ_BYTES = 64 * 1024
FIRST_MID = 1_024  # of what is published; paho, which only subscribes, counts from 1
SEND_BUFFER_BYTES = 32 * 1024  # the most that the outbox has on a link; on a slow one it has 16
TCP_USER_TIMEOUT_MS = 15_000
REMEMBER_311_S = 3600.0
REMEMBER_NO_RETAIN_S = 3600.0
GUESS_311_S = 60.0  # the first time, then five times longer each
ASK_AGAIN_S = 0.3  # after a close in answer to CONNECT
UNANSWERED = 3  # times in a row, before a broker that spoke MQTT 5 is asked for 3.1.1

_AUTH = frozenset({0x86, 0x87, 0x8A, 0x8C})  # bad password, not authorized, banned, bad method
_IDENTITY = frozenset({0x8E})  # session taken over
_VERSION = frozenset({0x84})  # unsupported protocol version
_NO_RETAIN = 0x9A  # in answer to a CONNECT with a will to retain, or to such a message
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})

_log = logging.getLogger(__name__)


class _VersionRefused(Exception):
    """The broker does not speak this protocol version (`is_said`), or does not answer when asked.

    `was_closed`: it closed the connection instead.
    """

    def __init__(
        self, cause: LinkRefused, *, is_said: bool = False, was_closed: bool = False
    ) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.is_said = is_said
        self.was_closed = was_closed


class _RetainRefused(Exception):
    """The broker retains nothing, and would not connect to somebody whose will is to be."""

    def __init__(self, cause: LinkRefused) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(slots=True)
class _Known:
    """What one broker was seen to speak since the start."""

    speaks_5: bool = False
    unanswered: int = 0  # CONNECTs in MQTT 5, in a row, though it speaks that
    silences: int = 0  # tries in a row that it took and left without an answer
    guesses: int = 0  # times in a row that only 3.1.1 was answered
    use_311_until: float = 0.0  # event loop time
    no_retain_until: float = 0.0  # event loop time


@dataclass(frozen=True, slots=True)
class _Greeting:
    """What the broker answered to CONNECT."""

    code: int
    name: str
    has_session: bool
    receive_maximum: int
    maximum_packet: int
    takes_retained: bool


class _Client(paho.Client):
    """paho's client with the context that says why TLS failed.

    Once it `is_fed` it reads `fed` and writes to `out` instead of using its socket.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.tls_context: tls.Context | None = None
        self.is_fed = False
        self.fed = b""
        self.is_over = False  # nothing comes after `fed`
        self.out = bytearray()

    def push(self) -> None:
        """Write as much of `out` as the socket takes; OSError when that is broken."""
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while self.out and self._sock is not None:
                del self.out[: self._sock.send(self.out)]

    def note_traffic(self, *, has_sent: bool, has_received: bool) -> None:
        """Spare the ping: what went past paho keeps the connection alive too."""
        with self._msgtime_mutex:
            if has_sent:
                self._last_msg_out = paho.time_func()
            if has_received:
                self._last_bytes_received = paho.time_func()

    def _create_socket_connection(self) -> socket.socket:
        return dial(self.host, self.port, self.connect_timeout)

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.is_fed:
            return super()._sock_recv(bufsize)
        if not self.fed and not self.is_over:
            raise BlockingIOError
        taken, self.fed = self.fed[:bufsize], self.fed[bufsize:]
        return taken

    def _sock_send(self, buf: bytes | bytearray) -> int:
        if not self.is_fed:
            return super()._sock_send(buf)
        self.out += buf
        if buf[0] == PacketTypes.DISCONNECT << 4:  # paho closes the socket behind it
            self.push()
        return len(buf)


class Link:
    """One live connection; made by `connect` only. All methods belong to the event loop."""

    def __init__(self, client: _Client, on_message: Callable[[str, bytes], None]) -> None:
        self.receive_maximum = 65535
        self.maximum_packet = UNLIMITED
        self.has_session = False
        self.was_silent = False  # the broker took the connection and did not answer in time
        self.greeted_after_s: float | None = None
        self.takes_retained = True
        self.farewell = ""  # the reason that the broker gave when it ended the connection
        self._client = client
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._arrived = bytearray()  # that is no whole packet yet
        self._handed: deque[Callable[[], None]] = deque()
        self._mid = FIRST_MID
        self._pubacks: dict[int, tuple[float, Callable[[int], None]]] = {}
        self._answers: set[asyncio.Future[int]] = set()  # that somebody awaits
        self._greeting: asyncio.Future[_Greeting] = self._loop.create_future()
        self._subscribed: asyncio.Future[int] = self._loop.create_future()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._is_attached = False
        self._is_write_due = False
        self._is_writing = False  # the event loop waits for room in the socket
        self._has_sent = self._has_received = False  # since paho was told
        self._written = asyncio.Event()  # all of it
        self._watch: asyncio.TimerHandle | None = None
        self._misc: asyncio.TimerHandle | None = None

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

        `retain` is left out where the broker retains nothing. Raises LinkLost when the connection
        ends first; whether the broker has it is then unknown.
        """
        retain = retain and self.takes_retained
        if qos == 0:
            self._publish(topic, payload, qos, retain)
            return 0
        answer: asyncio.Future[int] = self._loop.create_future()

        def answered(code: int) -> None:
            if not answer.done():
                answer.set_result(code)

        self._await_puback(self._publish(topic, payload, qos, retain), answered)
        self._answers.add(answer)
        try:
            return await answer
        finally:
            self._answers.discard(answer)

    def send(self, topic: str, payload: bytes, answered: Callable[[int], None]) -> None:
        """Publish with QoS 1; `answered` gets the PUBACK's reason code, unless the link ends first.

        Raises LinkLost when it has ended already.
        """
        self._await_puback(self._publish(topic, payload, 1, retain=False), answered)

    async def subscribe(
        self, topic: str, *, no_local: bool = False, patience_s: float = CONNECT_S
    ) -> int:
        """Hear a topic too, QoS 1; return the SUBACK's code, below 0x80 when it is granted.

        With `no_local` MQTT 5 leaves out what this link publishes itself. One at a time. Raises
        LinkLost, and TimeoutError after `patience_s`.
        """
        if self._ended.done():
            raise LinkLost(self._ended.result())
        self._subscribed = self._loop.create_future()
        if self._client.protocol == V5:
            self._client.subscribe(topic, options=SubscribeOptions(qos=1, noLocal=no_local))
        else:
            self._client.subscribe(topic, qos=1)
        return await asyncio.wait_for(self._subscribed, patience_s)

    async def lost(self) -> str:
        """Wait until the connection is over; return why."""
        return await asyncio.shield(self._ended)

    # -- what paho's callbacks hand over --------------------------------------------------------

    def hand_over(self, function: Callable[..., None], *args: Any) -> None:
        self._handed.append(partial(function, *args))

    def greeted(self, greeting: _Greeting) -> None:
        if not self._greeting.done():
            self._greeting.set_result(greeting)

    def subscribed(self, code: int) -> None:
        if not self._subscribed.done():
            self._subscribed.set_result(code)

    def received(self, topic: str, payload: bytes, mid: int, qos: int) -> None:
        self._on_message(topic, payload)
        if qos:
            self._client.ack(mid, qos)

    def disconnected(self, code: int, farewell: str) -> None:
        self.farewell = farewell
        if code == _NO_RETAIN:
            self.takes_retained = False
        self._end("identity_in_use" if code in _IDENTITY else "lost")

    # -- the socket in the event loop -----------------------------------------------------------

    def _attach(self) -> None:
        """From here on the event loop has the socket; the thread that connected has ended."""
        sock = self._client.socket()
        if sock is None:
            self._end("lost")
            return
        self._is_attached = self._client.is_fed = True
        self._client.on_socket_register_write = lambda *_: self._write_soon()
        self._client.on_socket_close = self._detach
        self._loop.add_reader(sock, self._read)
        self._look_after()
        self._write()

    def _detach(self, _client: Any, _userdata: Any, sock: Any) -> None:
        if not self._is_attached:
            return
        self._is_attached = False
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)

    def _read(self) -> None:
        """Take what has arrived."""
        sock: Any = self._client.socket()
        is_more = sock is not None
        while is_more:
            try:
                data = sock.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except ssl.SSLWantWriteError:
                self._write_soon()
                break
            except OSError:
                data = b""
            if not data:
                self._client.is_over = True
                self._feed(b"")
                self._end("lost")
                return
            self._take(data)
            is_more = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        if self._client.out:
            self._write_soon()

    def _take(self, data: bytes) -> None:
        """Answer for each PUBACK; what else is here in whole is paho's."""
        arrived, at = self._arrived, 0
        arrived += data
        self._has_received = True
        try:
            while (packet := packets.first_packet(arrived, at)) is not None:
                if packet.head == packets.PUBACK:
                    self._answer(*packets.answer(arrived, packet))
                else:
                    self._feed(bytes(arrived[at : packet.end]))
                at = packet.end
        except PacketBroken as error:
            _log.warning("event=mqtt_broken why=%s", error)
            self._end("lost")
            at = len(arrived)
            if (sock := self._client.socket()) is not None:
                self._loop.remove_reader(sock)  # nothing behind it can be told apart
        del arrived[:at]

    def _answer(self, mid: int, code: int) -> None:
        _, answered = self._pubacks.pop(mid, (0.0, None))
        if answered is not None:
            self._do(partial(answered, code))

    def _feed(self, packet: bytes) -> None:
        self._client.fed = packet
        self._let(self._client.loop_read)

    def _write_soon(self) -> None:
        """Something is to be written: once for all that this turn of the loop brings."""
        if not self._is_write_due:
            self._is_write_due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._is_write_due = False
        if not self._is_attached:
            return
        if self._client.want_write():
            self._let(self._client.loop_write)
        try:
            self._client.push()
        except OSError:
            self._read()  # perhaps the broker said why
            self._end("lost")
            self._client.out.clear()
        self._wait_for_room(is_full=bool(self._client.out))

    def _wait_for_room(self, *, is_full: bool) -> None:
        if is_full:
            self._written.clear()
        else:
            self._written.set()
        sock = self._client.socket()
        if sock is None or is_full == self._is_writing:
            return
        self._is_writing = is_full
        if is_full:
            self._loop.add_writer(sock, self._write)
        else:
            self._loop.remove_writer(sock)

    def _look_after(self) -> None:
        """Once a second paho looks whether a ping is due or was not answered."""
        self._misc = self._loop.call_later(1.0, self._look_after)
        self._client.note_traffic(has_sent=self._has_sent, has_received=self._has_received)
        self._has_sent = self._has_received = False
        if self._greeting.done():  # before that, silence is no reason for paho to close
            self._let(self._client.loop_misc)

    def _let(self, part: Callable[[], MQTTErrorCode]) -> None:
        """Let paho do its part, then do what that led to; an error there ends this link only."""
        try:
            part()
        except Exception:  # noqa: BLE001  # whatever went wrong in paho: this connection is over
            _log.exception("the MQTT client failed")
            self._end("lost")
        while self._handed:
            self._do(self._handed.popleft())

    def _do(self, handed: Callable[[], None]) -> None:
        try:
            handed()
        except Exception as error:  # noqa: BLE001  # one message costs only itself
            self._loop.call_exception_handler({"message": "MQTT message", "exception": error})

    # -- inside ---------------------------------------------------------------------------------

    def _publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int:
        """Return the message's id for as long as it is under way."""
        if self._ended.done():
            raise LinkLost(self._ended.result())
        while (mid := self._mid) in self._pubacks:
            self._mid = FIRST_MID + (mid + 1 - FIRST_MID) % (0x10000 - FIRST_MID)
        self._client.out += packets.publish(
            topic, payload, mid, qos=qos, retain=retain, has_properties=self._client.protocol == V5
        )
        self._has_sent = True
        self._write_soon()
        return mid

    def _await_puback(self, mid: int, answered: Callable[[int], None]) -> None:
        self._pubacks[mid] = (self._loop.time() + PUBACK_S, answered)
        if self._watch is None:
            self._watch_pubacks()

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
        self._pubacks.clear()
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(LinkLost(why))
                answer.exception()  # seen: the caller may have been cancelled meanwhile
        if not self._greeting.done():
            self._greeting.set_exception(LinkLost(why))
            self._greeting.exception()
        if not self._subscribed.done():
            self._subscribed.set_exception(LinkLost(why))
            self._subscribed.exception()

    async def open(self, uplink: Uplink, broker: Broker, patience_s: float) -> None:
        """Connect and subscribe, or raise LinkRefused or _VersionRefused.

        CONNACK and SUBACK may each take `patience_s`.
        """
        try:
            await asyncio.wait_for(
                _in_thread(
                    partial(_connect_client, self._client, uplink, broker),
                    undo=lambda: _shut(self._client.socket()),
                ),
                2 * CONNECT_S + tls.PROBE_S,
            )
        except TimeoutError as error:
            raise LinkRefused("timeout", "no connection") from error
        self._attach()
        began_s = self._loop.time()
        try:
            greeting = await asyncio.wait_for(self._greeting, patience_s)
        except TimeoutError as error:
            self.was_silent = True
            cause = LinkRefused("timeout", "no answer to CONNECT")
            raise _VersionRefused(cause) from error
        except LinkLost as error:
            raise await self._closed(uplink, broker) from error
        self.greeted_after_s = self._loop.time() - began_s
        if greeting.code:
            raise _refusal_of_code(greeting)
        self.has_session = greeting.has_session
        self.receive_maximum = greeting.receive_maximum
        self.maximum_packet = greeting.maximum_packet
        self.takes_retained = self.takes_retained and greeting.takes_retained
        code = await self._subscribe(f"care/1/{uplink.gateway}/dn/#", patience_s)
        if code >= 0x80:
            raise LinkRefused("auth", f"may not subscribe to dn/#: 0x{code:02x}")

    async def _closed(self, uplink: Uplink, broker: Broker) -> LinkRefused | _VersionRefused:
        """Return why the broker closed instead of answering CONNECT."""
        context = self._client.tls_context
        if context is not None and context.failure is not None:
            refusal = tls.refusal_of(context.failure, uplink, broker)
            if refusal is not None:
                return refusal
        if broker.unix_path is None and not broker.tls:
            answer: list[bool] = []
            await _in_thread(lambda: answer.append(tls.expects_tls(broker)), undo=lambda: None)
            if answer[0]:
                return LinkRefused("tls_expected", "the port answers a TLS hello")
        return _VersionRefused(
            LinkRefused("refused", "closed in answer to CONNECT", is_guess=True), was_closed=True
        )

    async def _subscribe(self, topic: str, patience_s: float) -> int:
        """Return the SUBACK's code; LinkRefused when none comes."""
        try:
            return await self.subscribe(topic, patience_s=patience_s)
        except TimeoutError as error:
            self.was_silent = True
            raise LinkRefused("timeout", "no answer to SUBSCRIBE") from error
        except LinkLost as error:
            why = "identity_in_use" if error.why == "identity_in_use" else "refused"
            detail = self.farewell or "closed after CONNECT"
            raise LinkRefused(why, detail, is_guess=not self.farewell) from error

    async def close(self) -> None:
        """Say goodbye and close the socket."""
        was_lost = self._ended.done()
        self._end("closed")
        if self._is_attached and not was_lost:
            self._write()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._written.wait(), 1.0)
            self._client.disconnect()
            self._let(self._client.loop_write)
        for timer in (self._watch, self._misc):
            if timer is not None:
                timer.cancel()
        sock = self._client.socket()
        if sock is not None and self._is_attached:
            self._detach(None, None, sock)
            _shut(sock)
            sock.close()


_KNOWN: dict[Broker, _Known] = {}


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
    known = _KNOWN.setdefault(broker, _Known())
    version: MQTTProtocolVersion | None = protocol
    if version is None:
        version = V311 if known.use_311_until > loop.time() else V5
    asked: list[_VersionRefused] = []
    patience_s = patience_of(broker, len(uplink.brokers))
    was_silent = False
    while version is not None:
        may_retain = known.no_retain_until <= loop.time()
        link = _new_link(broker, client_id, will, on_message, version, may_retain=may_retain)
        try:
            try:
                await link.open(uplink, broker, patience_s)
            except _RetainRefused as refused:
                if not may_retain:
                    raise refused.cause from refused
                link.takes_retained = False
                continue
            except _VersionRefused as refused:
                version = None if protocol else _next_version(known, version, refused, len(asked))
                asked.append(refused)
                if version is None:
                    raise refused.cause from refused
                if refused.was_closed:
                    await asyncio.sleep(ASK_AGAIN_S)
                continue
            if protocol is None:
                _learn(known, version, asked, loop.time(), broker)
            yield link
            return
        finally:
            was_silent = _note_silence(known, link, was_silent=was_silent)
            if may_retain and not link.takes_retained:
                known.no_retain_until = loop.time() + REMEMBER_NO_RETAIN_S
                _log.warning("event=mqtt_no_retain broker=%s", broker.host)
            await link.close()


def patience_of(broker: Broker, brokers: int) -> float:
    """Seconds for a CONNACK of this one of so many brokers; as many for a SUBACK."""
    silences = _KNOWN[broker].silences if broker in _KNOWN else 0
    most_s = PATIENCE_S if brokers < 2 else PATIENCE_OF_SEVERAL_S
    return max(CONNECT_S, min(CONNECT_S * (1 << silences), most_s))


def _note_silence(known: _Known, link: Link, *, was_silent: bool) -> bool:
    """Count tries without an answer; True when this one, in whatever version, is counted.

    A broker to which a whole city comes back answers late, and each try that gives up adds to it.
    """
    if link.was_silent and not was_silent:
        known.silences = min(known.silences + 1, MOST_SILENCES)
    elif link.greeted_after_s is not None and link.greeted_after_s < CONNECT_S / 2:
        known.silences = 0
    return was_silent or link.was_silent


async def reach(uplink: Uplink, broker: Broker) -> None:
    """Return when name, TCP and TLS of a broker work; LinkRefused when not. Nothing is sent."""
    opened: list[socket.socket] = []

    def undo() -> None:
        for sock in opened:
            sock.close()

    def open_() -> None:
        try:
            opened.append(tls.open_socket(uplink, broker, CONNECT_S))
        except UnicodeError as error:
            raise LinkRefused("dns", str(error)) from error
        except OSError as error:
            raise _refusal_of(error, uplink, broker) from error

    try:
        await asyncio.wait_for(_in_thread(open_, undo=undo), 2 * CONNECT_S + tls.PROBE_S)
    except TimeoutError as error:
        raise LinkRefused("timeout", "no connection") from error
    undo()


def _next_version(
    known: _Known, version: MQTTProtocolVersion, refused: _VersionRefused, asked: int
) -> MQTTProtocolVersion | None:
    """Return in which version to ask again now; None = not now.

    A CONNACK that says so is believed. Silence or a close is not, from a broker that spoke MQTT 5
    before; from another one a close is believed when it comes twice. Of one that is silent time and
    again only every other try asks for 3.1.1 too: it may be slow.
    """
    if version == V311:
        known.use_311_until = 0.0
        return None
    if refused.is_said:
        return V311
    if known.speaks_5 and known.unanswered < UNANSWERED:
        known.unanswered += 1
        return None
    if not refused.was_closed and known.silences % 2:
        return None
    return V5 if refused.was_closed and asked == 0 else V311


def _learn(
    known: _Known,
    version: MQTTProtocolVersion,
    asked: list[_VersionRefused],
    now: float,
    broker: Broker,
) -> None:
    """Note what the broker answered to; a guess is believed for a while, longer each time."""
    if version == V5:
        known.speaks_5, known.unanswered, known.guesses = True, 0, 0
        return
    if not asked:
        return  # as remembered
    known.guesses = 0 if asked[-1].is_said else known.guesses + 1
    guess_s = GUESS_311_S * 5 ** (known.guesses - 1)
    known.use_311_until = now + min(guess_s if known.guesses else REMEMBER_311_S, REMEMBER_311_S)
    how = "guessed" if known.guesses else "said"
    _log.warning("event=mqtt_fallback protocol=3.1.1 broker=%s how=%s", broker.host, how)


def _new_link(
    broker: Broker,
    client_id: str,
    will: tuple[str, bytes],
    on_message: Callable[[str, bytes], None],
    version: MQTTProtocolVersion,
    *,
    may_retain: bool,
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
    link = Link(client, on_message)
    link.takes_retained = may_retain
    _wire(client, link)
    will_properties = None
    if version == V5:
        will_properties = _properties(PacketTypes.WILLMESSAGE)
        will_properties.WillDelayInterval = WILL_DELAY_S
    client.will_set(will[0], will[1], qos=1, retain=may_retain, properties=will_properties)
    return link


def _properties(packet_type: int) -> Any:
    return Properties(packet_type)  # type: ignore[no-untyped-call]


def _wire(client: _Client, link: Link) -> None:
    """Let paho's callbacks hand over, and do nothing else: paho holds its locks meanwhile."""
    hand_over = link.hand_over

    def on_connect(_c: Any, _u: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        greeting = _Greeting(
            code.value,
            str(code),
            bool(flags.session_present),
            getattr(properties, "ReceiveMaximum", 65535),
            getattr(properties, "MaximumPacketSize", UNLIMITED),
            bool(getattr(properties, "RetainAvailable", 1)),
        )
        hand_over(link.greeted, greeting)

    def on_message(_c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        hand_over(link.received, message.topic, message.payload, message.mid, message.qos)

    def on_subscribe(_c: Any, _u: Any, _mid: int, codes: list[ReasonCode], _p: Any) -> None:
        hand_over(link.subscribed, max(code.value for code in codes))

    def on_disconnect(_c: Any, _u: Any, flags: Any, code: ReasonCode, _p: Any) -> None:
        is_said = flags.is_disconnect_packet_from_server
        hand_over(link.disconnected, code.value, f"{code} (0x{code.value:02x})" if is_said else "")

    client.on_connect = on_connect
    client.on_message = on_message
    client.on_subscribe = on_subscribe
    client.on_disconnect = on_disconnect
    client.on_socket_open = _tune


def _tune(_client: Any, _userdata: Any, sock: Any) -> None:
    """Bound what the kernel holds, and how long it waits for a peer that went away."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)


def _connect_client(client: _Client, uplink: Uplink, broker: Broker) -> None:
    """Name, TCP and TLS, or LinkRefused; blocks, so it runs in a thread of its own.

    Keys and passwords are read here too: a card that hangs holds up this thread and no other.
    """
    if uplink.username is not None:
        client.username_pw_set(uplink.username, _password(uplink))
    if broker.tls:
        client.tls_context = tls.context_of(uplink)
        client.tls_set_context(client.tls_context)
    host = broker.unix_path or broker.host
    port = broker.port or 1883
    try:
        if client.protocol == V5:
            properties = _properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            properties.MaximumPacketSize = packets.LARGEST  # a broker drops what is larger
            client.connect(host, port, uplink.keepalive_s, clean_start=False, properties=properties)
        else:
            client.connect(host, port, uplink.keepalive_s)
    except UnicodeError as error:  # of the idna codec: no host can be called that
        raise LinkRefused("dns", str(error)) from error
    except OSError as error:
        raise _refusal_of(error, uplink, broker) from error


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


def _refusal_of(error: OSError, uplink: Uplink, broker: Broker) -> LinkRefused:
    if broker.tls and (refusal := tls.refusal_of(error, uplink, broker)) is not None:
        return refusal
    match error:
        case socket.gaierror():
            return LinkRefused("dns", str(error))
        case TimeoutError():
            return LinkRefused("timeout", str(error))
        case ConnectionRefusedError() | FileNotFoundError():
            return LinkRefused("tcp_refused", str(error))
        case OSError(errno=code) if code in _UNREACHABLE:
            return LinkRefused("tcp_unreachable", str(error))
        case _:
            return LinkRefused("tcp", str(error))


def _refusal_of_code(greeting: _Greeting) -> LinkRefused | _VersionRefused | _RetainRefused:
    if greeting.code in _VERSION:
        return _VersionRefused(LinkRefused("refused", greeting.name), is_said=True)
    if greeting.code in _AUTH:
        return LinkRefused("auth", greeting.name)
    if greeting.code in _IDENTITY:
        return LinkRefused("identity_in_use", greeting.name)
    if greeting.code == _NO_RETAIN:
        return _RetainRefused(LinkRefused("refused", greeting.name))
    return LinkRefused("refused", greeting.name)


def _shut(sock: Any) -> None:
    if sock is not None:
        with contextlib.suppress(OSError):  # closed by the other thread in between
            sock.shutdown(socket.SHUT_RDWR)
