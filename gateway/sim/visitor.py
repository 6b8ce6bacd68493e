"""Plays one gateway at a platform's broker, to see whether the platform keeps its duties.

It sends each kind of record, copies, late ones, out of order, broken ones, and notes all that
comes down; `gateway/sim/duties.py` judges. Everything is marked as a test, so that a platform
passes nothing on, unless one real alarm is asked for.
"""

import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.core.messages import (
    Command,
    Sender,
    alarm_body,
    as_history,
    as_not_durable,
    fact_body,
    lane_topic,
    parse_down,
    read_body,
    replay_of,
    state_body,
    topic_of,
)
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.modes import Mode, twin_id
from gateway.domain.moments import Clk, Now
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane
from gateway.domain.rules import Above, Rule, Severity, Sound
from gateway.domain.text import Text
from gateway.sim.duties import Asked, Heard, Key, Limits, Sent, Visit

CONNECT_S = 5.0
KEEPALIVE_S = 20
SESSION_EXPIRY_S = 3600
LISTEN_S = 1.5  # at the end, for what comes twice
BROKER_BACK_S = 60.0
BURST = 200  # records under way when the platform is stopped
POINT = "check.value"
FACTS: Mapping[str, Mapping[str, object]] = {  # with fields that are not in the contract yet
    "boot": {"software": "platform check", "a_field_of_next_year": [1]},
    "test_start": {"point": POINT, "by": "E07", "minutes": 1},
    "drill_start": {"scenario": "check", "scope": "check", "leader": "E07", "rules": []},
    "a_kind_of_next_year": {"a_field_of_next_year": {"zh": "未来", "en": "future"}},
}


class NotReached(Exception):
    """The broker cannot be connected to, or refuses; says why."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the broker is and as whom to come: a gateway id of its own that the broker knows."""

    url: str  # mqtt://host:port, mqtts://host:port or mqtt+unix:///path
    gateway: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What goes beyond the records that harm nobody."""

    real_alarm: bool = False  # one alarm that is no test: people will be told
    post_check_s: float = 0.0  # so long, wait for somebody to ask one
    leave: Callable[[], None] | None = None  # stop the platform
    come: Callable[[], None] | None = None  # start it again
    restart_broker: Callable[[], None] | None = None
    applied: Callable[[], Mapping[tuple[str, str, str, int], int]] | None = None
    shown: Callable[[], Mapping[tuple[str, str], str]] | None = None  # (gw, alarm) -> state


@dataclass(slots=True)
class _Log:
    """What is noted for the judgement."""

    births: list[int] = field(default_factory=list)
    sent: dict[Key, tuple[list[int], str, str, bytes]] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    practice: set[str] = field(default_factory=set)
    answered: set[Key] = field(default_factory=set)  # acknowledged or refused
    answered_ms: dict[Key, int] = field(default_factory=dict)  # when last
    refused: set[Key] = field(default_factory=set)
    questions: list[Command] = field(default_factory=list)
    replays: list[Command] = field(default_factory=list)
    over: set[str] = field(default_factory=set)
    acked: set[str] = field(default_factory=set)
    shown: Mapping[str, str] | None = None
    away: tuple[int, int] | None = None


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def visit(
    access: Access, limits: Limits, wishes: Wishes, tell: Callable[[str], None] = lambda _: None
) -> Visit:
    """Go through everything once; NotReached when there is no broker for us.

    `tell` is told which part comes next: connect, hello, records, copies, order, poison, receipts,
    birth, replay, post_check, away, broker, applied.
    """
    guest = _Guest(access, limits, _Log(), secrets.token_hex(6))
    real: Asked | None = None
    tell("connect")
    with guest.connected():
        tell("hello")
        if guest.is_greeted():
            _send_everything(guest, wishes, tell)
            if wishes.real_alarm:
                tell("receipts")
                real = guest.raise_real_alarm()
        else:
            guest.send_probe()
        guest.say_goodbye()
    with guest.connected():
        tell("birth")
        if guest.is_greeted() and guest.is_answered_at_all():
            tell("replay")
            guest.wait_for_a_replay()
            if wishes.post_check_s:
                tell("post_check")
                guest.wait_for_a_question(wishes.post_check_s)
            if wishes.leave and wishes.come:
                tell("away")
                guest.send_while_away(wishes.leave, wishes.come)
        guest.loop_until(lambda: False, LISTEN_S)
        guest.say_goodbye()
    if wishes.restart_broker and guest.is_answered_at_all():
        tell("broker")
        wishes.restart_broker()
        with guest.connected(BROKER_BACK_S):
            guest.send_after_the_broker_restarted()
            guest.say_goodbye()
    tell("applied")
    return guest.visit(real, wishes.applied() if wishes.applied else None)


def _send_everything(guest: "_Guest", wishes: Wishes, tell: Callable[[str], None]) -> None:
    tell("records")
    guest.send_each_kind()
    tell("copies")
    guest.send_copies()
    tell("order")
    guest.send_in_any_order()
    guest.send_ends_before_beginnings(wishes.shown)
    tell("poison")
    guest.send_poison()


class _Guest:
    """The gateway that is played: its numbers, its link and what it has heard."""

    def __init__(self, access: Access, limits: Limits, log: _Log, epoch: str) -> None:
        self._access, self._limits, self._log = access, limits, log
        site = {"id": access.gateway, "name": access.gateway, "inst": "check"}
        self._sender = Sender(access.gateway, epoch, site, "00000000", {POINT: 0})
        self._older = Sender(access.gateway, f"{epoch}0", site, "00000000", {POINT: 0})
        self._seq = dict.fromkeys(Lane, 0)
        self._client: Any = None
        self._is_up = False
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._boot = secrets.token_hex(6)
        self._has_connected = False
        self._conn = 0
        self._lost = 0  # a number of lane B that is sent only to who asks for it
        self._copied: list[Key] = []

    # -- the link -------------------------------------------------------------------------------

    @contextmanager
    def connected(self, patience_s: float = 0.0) -> Iterator[None]:
        """A connection and its birth; MQTT 3.1.1 where the broker does not take 5.

        `patience_s`: so long, a broker that is just being started may refuse.
        """
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self._connect()
                break
            except NotReached:
                if not self._has_connected and self._protocol == MQTTProtocolVersion.MQTTv5:
                    self._protocol = MQTTProtocolVersion.MQTTv311
                elif time.monotonic() >= deadline:
                    raise
                else:
                    time.sleep(0.2)
        self._has_connected = True
        try:
            yield
        finally:
            self._client.disconnect()
            self._client.loop(0.1)

    def _connect(self) -> None:
        is_v5 = self._protocol == MQTTProtocolVersion.MQTTv5
        address = urlsplit(self._access.url)
        self._is_up, refusal = False, list[str]()
        self._conn += 1
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._access.gateway,
            clean_session=None if is_v5 else False,
            protocol=self._protocol,
            transport="unix" if address.scheme == "mqtt+unix" else "tcp",
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        client.will_set(self._topic("state"), self._state(is_on=False), 1, retain=True)
        self._authenticate(client, is_tls=address.scheme == "mqtts")

        def on_connect(_c: Any, _u: Any, _flags: Any, code: Any, _p: Any) -> None:
            if code.is_failure:
                refusal.append(str(code))
            else:
                self._is_up = True

        client.on_connect = on_connect
        client.on_message = self._hear
        options: dict[str, Any] = {}
        if is_v5:
            properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            options = {"clean_start": False, "properties": properties}
        is_unix = address.scheme == "mqtt+unix"
        host = address.path if is_unix else address.hostname or "localhost"
        port = address.port or (8883 if address.scheme == "mqtts" else 1883)
        try:
            client.connect(host, port, KEEPALIVE_S, **options)
        except (OSError, ValueError) as error:
            raise NotReached(str(error)) from error
        self.loop_until(lambda: self._is_up or bool(refusal), CONNECT_S)
        if not self._is_up:
            raise NotReached(refusal[0] if refusal else "the broker does not answer")
        client.subscribe(f"care/1/{self._access.gateway}/dn/#", qos=1)
        self.loop_until(lambda: False, 0.3)  # what is retained comes first
        self._log.births.append(now_ms())
        client.publish(self._topic("state"), self._state(is_on=True), 1, retain=True)
        client.publish(self._topic("points"), self._points(), 1, retain=True)
        if self._is_second_birth:
            self._fact("boot")  # what the birth says is unsettled

    @property
    def _is_second_birth(self) -> bool:
        return len(self._log.births) == 2

    def _authenticate(self, client: Any, *, is_tls: bool) -> None:
        access = self._access
        if access.user is not None:
            client.username_pw_set(access.user, access.password)
        if is_tls:
            context = ssl.create_default_context(cafile=access.ca)
            if access.cert is not None:
                context.load_cert_chain(access.cert, access.key)
            client.tls_set_context(context)

    def loop_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Serve the link until it is so; False when it was not so in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= deadline:
                return False
            if self._client.loop(0.02) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                if self._is_up:
                    raise NotReached("the broker closed the connection")
                return False
        return True

    def _hear(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[-1]
        payload = bytes(message.payload)
        self._log.heard.append(Heard(now_ms(), kind, payload, message.retain))
        self._note(payload)
        said = parse_down(kind, payload)
        if isinstance(said, Command) and said.op == "post_check":
            self._log.questions.append(said)
        if isinstance(said, Command) and said.op == "replay":
            self._log.replays.append(said)

    def _note(self, payload: bytes) -> None:
        """Which records are answered: for knowing when to go on, not for judging."""
        try:
            data = json.loads(payload)
            for lane in Lane:
                for low, high in data.get(lane.value, []):
                    self._log.answered_ms.update(
                        (key, now_ms()) for key in self._log.sent
                        if key[:2] == (lane, data["ep"]) and low <= key[2] <= high
                    )  # fmt: skip
            for lane, seq, *_ in data.get("nack", []):
                self._log.refused.add((Lane(lane), data["ep"], seq))
                self._log.answered_ms[Lane(lane), data["ep"], seq] = now_ms()
            self._log.answered |= self._log.answered_ms.keys()
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # `duties` names what is wrong with it

    # -- what is sent ---------------------------------------------------------------------------

    def is_greeted(self) -> bool:
        """Wait for the hello of this birth."""
        born = self._log.births[-1]
        return self.loop_until(
            lambda: any(h.kind == "hello" and h.at_ms >= born for h in self._log.heard),
            self._limits.hello / 1000,
        )

    def is_answered_at_all(self) -> bool:
        return bool(self._log.answered)

    def send_probe(self) -> None:
        """What a gateway does that hears no hello: one record, and wait."""
        self._alarm(Transition.RAISE, "probe")
        self._wait_for_answers()

    def send_each_kind(self) -> None:
        occurrence = self._alarm(Transition.RAISE, "alarm raised")
        for transition in (Transition.SILENCE, Transition.ACK, Transition.CLEAR, Transition.RESET):
            self._alarm(transition, f"alarm {transition.value}", occurrence)
        for severity, lane in ((Severity.WARNING, Lane.A), (Severity.FAULT, Lane.B)):
            self._alarm(Transition.RAISE, severity.value, severity=severity, lane=lane)
        drill = self._alarm(Transition.RAISE, "alarm of a drill", mode=Mode.DRILL)
        self._alarm(Transition.CLEAR, "alarm of a drill", drill, mode=Mode.DRILL)
        for kind in FACTS:
            self._fact(kind)
        self._batch("readings", 3)
        self._batch("readings, deflated", 400)
        self._send(Lane.R, as_history(self._reading(3)), "plain", "readings, history")
        self._wait_for_answers()

    def send_copies(self) -> None:
        """One of each lane once more when it is acknowledged, and one that is durable only then."""
        raised = self._alarm(Transition.RAISE, "an alarm from memory", is_durable=False)
        memory = next(reversed(self._log.sent))
        self._alarm(Transition.CLEAR, "an alarm from memory", raised)
        self._wait_for_answers()
        firsts = [next((k for k in self._log.sent if k[0] is lane), None) for lane in Lane]
        for key in (*firsts, memory):
            if key is None or key not in self._log.answered - self._log.refused:
                continue
            self._copied.append(key)
            self._again(key)
            self._wait_for_copies([key])

    def send_in_any_order(self) -> None:
        first = self._seq[Lane.B] + 1
        self._seq[Lane.B] += 5
        for step in (4, 0, 3, 1):
            self._fact("boot", "order", seq=first + step)
        for lane in (Lane.A, Lane.B):
            self._old(lane)
        self._wait_for_answers()
        self._fact("boot", "hole", seq=first + 2)
        self._wait_for_answers()
        self._lost = self._next(Lane.B)

    def send_ends_before_beginnings(
        self, shown: Callable[[], Mapping[tuple[str, str], str]] | None
    ) -> None:
        """Alarms whose end or acknowledgement overtakes their raise, and what is shown of them."""
        times = [self._now(-3_000 + 1_000 * step) for step in range(3)]
        over, acked = self._occurrence(Lane.A), self._occurrence(Lane.A, after=3)
        for step in (2, 0, 1):  # a rule each: it has one occurrence at a time
            transition = (Transition.RAISE, Transition.ACK, Transition.CLEAR)[step]
            self._alarm(transition, "overtaken", over, seq=self._seq[Lane.A] + 1 + step,
                        at=times[step], part="order", about="overtaken_1")  # fmt: skip
        for step in (1, 0):
            transition = (Transition.RAISE, Transition.ACK)[step]
            self._alarm(transition, "overtaken", acked, seq=self._seq[Lane.A] + 4 + step,
                        at=times[step], part="order", about="overtaken_2")  # fmt: skip
        self._seq[Lane.A] += 5
        earlier = self._old_alarm_over(times[0], times[1])
        self._log.over |= {over, earlier}
        self._log.acked.add(acked)
        self._wait_for_answers()
        if shown is not None:
            mine = self._access.gateway
            self._log.shown = {alarm: state for (gw, alarm), state in shown().items() if gw == mine}
        self._alarm(Transition.CLEAR, "overtaken", acked, about="overtaken_2")
        self._wait_for_answers()

    def _old_alarm_over(self, raised: Now, cleared: Now) -> str:
        """An alarm of an earlier start that is over in this one; its raise comes last."""
        key = (Lane.A, self._older.epoch, 8)
        occurrence = f"{self._older.epoch}-A-8"
        self._alarm(Transition.CLEAR, "overtaken", occurrence, at=cleared, about="overtaken_3")
        body = alarm_body(
            self._older, Lane.A, 8, rule=_rule(Mode.TEST, Severity.ALARM, "overtaken_3"),
            place="platform check", unit="mA", tr=Transition.RAISE, at=raised,
            alarm=_alarm(Mode.TEST, occurrence, Transition.RAISE, raised),
        )  # fmt: skip
        self._send(Lane.A, body, "late", "of an earlier start", key)
        return occurrence

    def wait_for_a_replay(self) -> None:
        """A number that this birth says is settled never came: give it to who asks for it."""
        if self.loop_until(self._is_asked_for_the_lost, self._limits.replay / 1000):
            self._fact("boot", "lost", seq=self._lost)
        self._wait_for_answers()

    def _is_asked_for_the_lost(self) -> bool:
        wanted = [replay_of(command.args) for command in self._log.replays]
        return any(
            each is not None
            and (each.lane, each.epoch) == (Lane.B, self._sender.epoch)
            and each.lo <= self._lost <= each.hi
            for each in wanted
        )

    def send_poison(self) -> None:
        """Broken ones that say who they are, garbage that does not, and a good one after them."""
        topic = self._topic("b")
        for garbage in (b"\xff\x00garbage", b"[]", b"{}", b"\x78\x9cgarbage"):
            self._client.publish(topic, garbage, 1)
        self._broken({"t": "fact"}, "a fact without kind")
        self._broken({"t": "from_another_world"}, "a type that nobody knows")
        self._wait_for_answers()
        self._alarm(Transition.RAISE, "an alarm after broken ones", part="after")
        self._fact("boot", "after")
        self._wait_for_answers()

    def raise_real_alarm(self) -> Asked:
        """One alarm that is no test, and its end; wait for what the audiences say."""
        at = now_ms()
        occurrence = self._alarm(Transition.RAISE, "a real alarm", mode=Mode.REAL)
        asked = Asked(occurrence, ("inst", "civil", "fire"), at)
        key, reached = next(reversed(self._log.sent)), set[str]()

        def is_over() -> bool:
            for message in self._log.heard:
                data = _data_of(message.payload)
                is_level = data.get("lvl") in ("sent", "seen")
                if data.get("alarm") == occurrence and is_level:
                    reached.add(str(data.get("aud")))
            return set(asked.audiences) <= reached or key in self._log.refused

        self.loop_until(is_over, self._limits.receipts / 1000)
        for transition in (Transition.ACK, Transition.CLEAR):
            self._alarm(transition, "a real alarm", occurrence, mode=Mode.REAL)
        self._wait_for_answers()
        return asked

    def wait_for_a_question(self, seconds: float) -> None:
        """Wait for a post check and answer it as a house does."""
        self.loop_until(lambda: bool(self._log.questions), seconds)
        for question in self._log.questions:
            asked = self._now().utc_ms
            for result in ("asked", "answered"):
                is_answer = result == "answered"
                fields = {
                    "check": question.id, "source": "platform", "result": result, "asked": asked,
                    "answered": asked if is_answer else None, "by": "E07" if is_answer else "",
                    "late": False, "waited_ms": 0 if is_answer else None,
                }  # fmt: skip
                self._fact("post_check", fields=fields)
        self._wait_for_answers()

    def send_while_away(self, leave: Callable[[], None], come: Callable[[], None]) -> None:
        """Stop the platform at its first ack of many records, send, start it again.

        What was sent while it was away is not sent a second time: its session has it. What was
        under way when it was stopped is, and so are copies of what it had long before.
        """
        before = set(self._log.answered)
        burst = [self._burst(number) for number in range(BURST)]
        self.loop_until(lambda: bool(self._log.answered - before), 2 * self._limits.others / 1000)
        left = now_ms()
        leave()
        self._alarm(Transition.RAISE, "sent while away", part="away")
        self._fact("boot", "away")
        self.loop_until(lambda: False, 1.0)
        back = now_ms()
        come()
        self._log.away = (left, back)
        self.loop_until(
            lambda: any(h.kind == "hello" and h.at_ms >= back for h in self._log.heard),
            self._limits.hello / 1000,
        )
        again = [*self._copied, *(key for key in burst if key not in self._log.answered)]
        for key in again:
            self._again(key)
        self._wait_for_copies(again)
        self._wait_for_answers()

    def _burst(self, number: int) -> Key:
        if number % 10:
            self._fact("boot", "burst")
        else:
            self._alarm(Transition.RAISE, "one of many", part="burst")
        return next(reversed(self._log.sent))

    def send_after_the_broker_restarted(self) -> None:
        """When the platform greets again, or should have: one alarm and one fact."""
        self.is_greeted()
        self._alarm(Transition.RAISE, "after the broker's restart", part="again")
        self._fact("boot", "again")
        self._wait_for_answers()

    def say_goodbye(self) -> None:
        done = self._client.publish(self._topic("state"), self._state(is_on=False), 1, retain=True)
        self.loop_until(done.is_published, CONNECT_S)

    def visit(
        self,
        real: Asked | None,
        applied: Mapping[tuple[str, str, str, int], int] | None,
    ) -> Visit:
        mine = None if applied is None else {
            (Lane(lane), epoch, seq): count
            for (gateway, epoch, lane, seq), count in applied.items()
            if gateway == self._access.gateway
        }  # fmt: skip
        return Visit(
            births=tuple(self._log.births),
            sent=tuple(
                Sent(key, tuple(times), part, what)
                for key, (times, part, what, _) in self._log.sent.items()
            ),
            heard=tuple(self._log.heard),
            real=real,
            practice=frozenset(self._log.practice),
            applied=mine,
            away=self._log.away,
            over=frozenset(self._log.over),
            acked=frozenset(self._log.acked),
            shown=self._log.shown,
        )

    # -- one message ----------------------------------------------------------------------------

    def _wait_for_answers(self) -> None:
        """Until each record is answered; twice the limit at most, less when nobody answers."""
        patience = 2 * self._limits.others / 1000
        self.loop_until(lambda: self._log.sent.keys() <= self._log.answered, patience)

    def _wait_for_copies(self, keys: Sequence[Key]) -> None:
        """Until each of these is answered after it was sent last."""
        self.loop_until(
            lambda: all(
                self._log.answered_ms.get(key, 0) >= self._log.sent[key][0][-1] for key in keys
            ),
            2 * self._limits.others / 1000,
        )

    def _next(self, lane: Lane) -> int:
        self._seq[lane] += 1
        return self._seq[lane]

    def _send(
        self,
        lane: Lane,
        body: bytes,
        part: str,
        what: str,
        key: Key | None = None,
        *,
        is_durable: bool = True,
    ) -> None:
        """Send and note a record; one that is not durable yet is noted as it comes again."""
        key = key or (lane, self._sender.epoch, self._seq[lane])
        self._log.sent[key] = ([now_ms()], part, what, body)
        body = body if is_durable else as_not_durable(body)
        self._client.publish(lane_topic(self._access.gateway, lane), body, 1)

    def _again(self, key: Key) -> None:
        times, _, _, body = self._log.sent[key]
        times.append(now_ms())
        self._client.publish(lane_topic(self._access.gateway, key[0]), body, 1)

    def _alarm(
        self,
        transition: Transition,
        what: str,
        occurrence: str = "",
        *,
        mode: Mode = Mode.TEST,
        severity: Severity = Severity.ALARM,
        lane: Lane = Lane.A,
        part: str = "plain",
        seq: int | None = None,
        at: Now | None = None,
        about: str = "check",
        is_durable: bool = True,
    ) -> str:
        """Send one transition of the rule `about`; return the occurrence."""
        seq = self._next(lane) if seq is None else seq
        occurrence = occurrence or f"{self._sender.epoch}-{lane}-{seq}"
        at = at or self._now()
        if mode is not Mode.REAL:
            self._log.practice.add(occurrence)
        body = alarm_body(
            self._sender, lane, seq, rule=_rule(mode, severity, about), place="platform check",
            unit="mA", alarm=_alarm(mode, occurrence, transition, at), tr=transition,
            at=at, by="" if transition in (Transition.RAISE, Transition.CLEAR) else "E07",
        )  # fmt: skip
        key = (lane, self._sender.epoch, seq)
        self._send(lane, body, part, what, key, is_durable=is_durable)
        return occurrence

    def _occurrence(self, lane: Lane, after: int = 0) -> str:
        """The occurrence that a raise has, `after` records later."""
        return f"{self._sender.epoch}-{lane}-{self._seq[lane] + 1 + after}"

    def _fact(
        self,
        kind: str,
        part: str = "plain",
        *,
        seq: int | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        seq = self._next(Lane.B) if seq is None else seq
        body = fact_body(
            self._sender, Lane.B, seq, kind=kind, at=self._now(), mode=Mode.TEST,
            fields=fields or FACTS[kind],
        )  # fmt: skip
        key = (Lane.B, self._sender.epoch, seq)
        self._send(Lane.B, body, part, f"fact {kind}", key)

    def _old(self, lane: Lane) -> None:
        """A record of an earlier start, that waited."""
        key = (lane, self._older.epoch, 7)
        at = self._now()
        if lane is Lane.B:
            body = fact_body(self._older, lane, 7, kind="boot", at=at, fields={}, mode=Mode.TEST)
        else:
            occurrence = f"{self._older.epoch}-{lane}-7"
            self._log.practice.add(occurrence)
            body = alarm_body(
                self._older, lane, 7, rule=_rule(Mode.TEST, Severity.ALARM),
                place="platform check", unit="mA", tr=Transition.RAISE, at=at,
                alarm=_alarm(Mode.TEST, occurrence, Transition.RAISE, at),
            )  # fmt: skip
        self._send(lane, body, "late", "of an earlier start", key)

    def _reading(self, count: int) -> bytes:
        at = self._now()
        readings = tuple(
            Reading(POINT, 20.0 + n / 10, Quality.GOOD, at.mono_ms - n) for n in range(count)
        )
        seq = self._next(Lane.R)
        return read_body(self._sender, Batch(self._sender.epoch, seq, at, readings))

    def _batch(self, what: str, count: int) -> None:
        self._send(Lane.R, self._reading(count), "plain", what)

    def _broken(self, message: Mapping[str, object], what: str) -> None:
        seq = self._next(Lane.B)
        identity = {
            "v": 1, "gw": self._access.gateway, "ep": self._sender.epoch, "lane": "B", "seq": seq,
        }  # fmt: skip
        self._send(Lane.B, json.dumps({**identity, **message}).encode(), "poison", what)

    def _topic(self, kind: str) -> str:
        return topic_of(self._access.gateway, kind)

    def _now(self, later_ms: int = 0) -> Now:
        utc = time.time_ns() // 1_000_000
        return Now(now_ms() + later_ms, utc + later_ms, Clk.SYNC, 100, self._boot)

    def _state(self, *, is_on: bool) -> bytes:
        unsettled = self._seq[Lane.B] + 1
        lanes = {Lane.B: (unsettled, unsettled)} if is_on and self._is_second_birth else {}
        return state_body(
            self._sender, on=is_on, conn=self._conn, at=self._now(), software="check", lanes=lanes
        )

    def _points(self) -> bytes:
        point = {"i": 0, "id": POINT, "dev": "check", "name": "value", "unit": "mA", "kind": "",
                 "label": "platform check", "place": "platform check"}  # fmt: skip
        message = {"v": 1, "t": "points", "gw": self._access.gateway, "pts": "00000000",
                   "points": [point]}  # fmt: skip
        return json.dumps(message).encode()


def _data_of(payload: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(payload)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _rule(mode: Mode, severity: Severity, name: str = "check") -> Rule:
    say = Text("平台检查，无须处置", "Platform check, nothing to do")
    return Rule(
        twin_id(f"{POINT}/{name}", mode), name, POINT, Above(300, 250), severity, Sound.A1,
        0, 0, False, say, (say,), "platform check", "platform check",
    )  # fmt: skip


def _alarm(mode: Mode, occurrence: str, transition: Transition, at: Now) -> Alarm:
    states: Mapping[Transition, AlarmState] = {
        Transition.RAISE: AlarmState.UA, Transition.SILENCE: AlarmState.UA,
        Transition.ACK: AlarmState.AA,
    }  # fmt: skip
    return Alarm(
        twin_id("check.value/check", mode), states.get(transition, AlarmState.N), occurrence,
        raised=at, value=563.0, last=563.0,
    )  # fmt: skip


def read_applied(lines: Sequence[str]) -> dict[tuple[str, str, str, int], int]:
    """Count JSON Lines of gw, ep, lane and seq, one for each record that took effect.

    ValueError names the first line that is none.
    """
    found: dict[tuple[str, str, str, int], int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key = (str(row["gw"]), str(row["ep"]), str(row["lane"]), int(row["seq"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is no record: {line[:80]}") from error
        found[key] = found.get(key, 0) + 1
    return found


def read_shown(lines: Sequence[str]) -> dict[tuple[str, str], str]:
    """The state that a platform shows of each alarm, from JSON Lines of gw, alarm and state.

    ValueError names the first line that is none.
    """
    found: dict[tuple[str, str], str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found[str(row["gw"]), str(row["alarm"])] = str(row["state"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is no alarm: {line[:80]}") from error
    return found
