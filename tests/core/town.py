"""A gateway, a broker and a platform in simulated time, driven by one seed.

The outbox and the reading of acks are the daemon's own; disk, broker and platform are played here,
with everything that may happen to them: each of the three dies and comes back, a card loses its
tail, the broker refuses or has nobody to give to, the platform is busy, repeats old answers,
refuses for good. The same seed gives the same run, to the last message. What all of them say
afterwards is compared by `tests.daemon.history`.
"""

import json
import random
from dataclasses import dataclass, field

from gateway.core.delivery import Key, Outbox
from gateway.core.messages import Ack, Hello, parse_down
from gateway.domain.records import Lane, Range
from gateway.domain.site import Delivery
from tests.daemon.history import Body, History, Planted

TICK_MS = 50
CALM_TICK_MS = 500
ROUGH_MS = 60_000  # so long, things go wrong
CALM_MS = 40 * 60_000  # and so long at most, until all must be delivered
DEATHS = 0.004  # a tick, of each of the three
PROBE_MS = 5_000
HANDLED_MS = 15_000  # a cause is seen to by then
Wire = list[tuple[int, str, bytes | tuple[Key, int]]]  # when it arrives, what


@dataclass
class Ways:
    """How each of the three behaves; a test puts one sin in here or into the outbox."""

    delivery: Delivery = Delivery.ACK
    reuses_numbers: bool = False  # counted on from what the disk kept, under one epoch for ever
    sends_before_commit: bool = False
    forgets_alarms: bool = False  # what was raised is not known again after a restart
    sounds_after_commit_only: bool = False
    acks_before_commit: bool = False  # the platform
    keeps_copies: bool = False  # the platform


@dataclass
class Disk:
    """What the gateway has durably, oldest first."""

    rows: dict[Key, bytes] = field(default_factory=dict)
    waiting: set[Key] = field(default_factory=set)
    raised: set[str] = field(default_factory=set)  # causes whose alarm is kept
    cut_off: set[Key] = field(default_factory=set)


class Town:
    def __init__(self, seed: int, ways: Ways | None = None) -> None:
        self.dice, self.ways = random.Random(seed), ways or Ways()
        self.now = 0
        self.disk = Disk()
        self.causes: dict[str, Planted] = {}
        self.sounded: list[float] = []
        self.starts = 0
        self.back_at: dict[str, int] = {}  # who is dead, and until when
        self.applied: dict[int, Body] = {}  # in the order of effect
        self.kept: set[Key] = set()
        self.said: list[bytes] = []  # every ack that the platform ever sent
        self.settled: list[Key] = []
        self.to_platform: list[bytes] = []  # at the broker
        self.to_gateway: list[bytes] = []
        self.has_platform_session = False
        self.has_gateway_session = False
        self.wire: Wire = []
        self._start_gateway()
        self._start_platform()

    # -- the run --------------------------------------------------------------------------------

    def live(self) -> History:
        """Rough times, then calm until all is delivered; the accounts of all of them."""
        while self.now < ROUGH_MS:
            self._tick(is_rough=True)
        end = self.now + CALM_MS
        while self.now < end and not self._is_delivered():
            self._tick(is_rough=False)
        return self.history()

    def history(self) -> History:
        return History(
            planted=list(self.causes.values()),
            sounded=self.sounded,
            committed=[json.loads(body) for body in self.disk.rows.values()],
            waiting=frozenset(_plain(key) for key in self.disk.waiting),
            applied=list(self.applied.values()),
            acknowledged=[_plain(key) for key in self.settled],
            cut_off=frozenset(_plain(key) for key in self.disk.cut_off),
            parked=frozenset(_plain(key) for key in self.box.parked),
        )

    def _is_delivered(self) -> bool:
        is_quiet = not self.back_at and not self.memory
        return is_quiet and self.disk.waiting <= set(self.box.parked)

    def _tick(self, *, is_rough: bool) -> None:
        self.now += TICK_MS if is_rough else CALM_TICK_MS
        for who, at in sorted(self.back_at.items()):
            if self.now >= at:
                del self.back_at[who]
                {"gateway": self._start_gateway, "broker": self._start_broker,
                 "platform": self._start_platform}[who]()  # fmt: skip
        if is_rough:
            for who in ("gateway", "broker", "platform"):
                if who not in self.back_at and self.dice.random() < DEATHS:
                    self._kill(who)
            self._make_records()
        if "gateway" not in self.back_at:
            self._look_after_causes()
            self._commit_what_is_due()
            self._keep_in_touch()
        self._arrive()
        if "platform" not in self.back_at:
            self._serve()

    # -- life and death -------------------------------------------------------------------------

    def _kill(self, who: str) -> None:
        self.back_at[who] = self.now + self.dice.randrange(200, 4_000)
        if who == "platform":
            self.uncommitted.clear()
            self.outgoing.clear()
            return
        for at, what, load in self.wire:  # what is under way arrives or does not
            if who == "gateway" and what == "up" and self.dice.random() < 0.5:
                self._broker_takes(load)
            del at
        self.wire.clear()
        if who == "broker":
            self.to_platform.clear()
            self.to_gateway.clear()
            self.has_platform_session = self.has_gateway_session = False
            self.is_up = False
            self.box.link_down()
        elif self.dice.random() < 0.3:
            self._lose_tail(self.dice.randrange(1, 8))

    def _lose_tail(self, commits: int) -> None:
        """The card lied: its last rows, which the platform has, are gone; what rang is seen to."""
        for key in list(self.disk.rows)[: -commits - 1 : -1]:
            if key not in self.kept:
                return
            body = json.loads(self.disk.rows.pop(key))
            self.disk.waiting.discard(key)
            self.disk.cut_off.add(key)
            if "rule" in body:
                self._handle(body["rule"])

    def _handle(self, rule: str) -> None:
        """A person sees to a cause: it is over."""
        cause = self.causes[rule]
        self.causes[rule] = Planted(rule, cause.from_ms, min(cause.until_ms, self.now))

    def _start_gateway(self) -> None:
        self.starts += 1
        self.epoch = "e" if self.ways.reuses_numbers else f"e{self.starts}"
        numbers = {lane: [key[2] for key in self.disk.rows if key[0] is lane] for lane in Lane}
        self.next = {
            lane: max(numbers[lane], default=0) if self.ways.reuses_numbers else 0 for lane in Lane
        }
        self.memory: list[tuple[int, Key, bytes]] = []
        self.settling: list[tuple[int, Key]] = []
        self.known = set() if self.ways.forgets_alarms else set(self.disk.raised)
        self.box = Outbox(epoch=self.epoch, delivery=self.ways.delivery, probe_ms=PROBE_MS)
        self.is_up, self.tries_at = False, self.now

    def _start_broker(self) -> None:
        self.tries_at = self.now + self.dice.randrange(100, 1_500)
        self.platform_tries_at = self.now + self.dice.randrange(100, 1_500)

    def _start_platform(self) -> None:
        self.uncommitted: list[bytes] = []
        self.outgoing: list[bytes] = []
        self.open_since: int | None = None
        self.platform_tries_at = self.now + 100

    # -- the gateway ----------------------------------------------------------------------------

    def _make_records(self) -> None:
        if self.dice.random() < 0.02:
            rule = f"cause-{len(self.causes)}"
            self.causes[rule] = Planted(rule, self.now, self.now + HANDLED_MS)
        if "gateway" in self.back_at:
            return
        if self.dice.random() < 0.1:
            is_poison = self.dice.random() < 0.05
            self._record(Lane.B, {"t": "fact", "kind": None if is_poison else "boot"})
        if self.dice.random() < 0.1:
            self._record(Lane.R, {"t": "read", "r": [[0, 0, self.now]]})

    def _look_after_causes(self) -> None:
        """People first: what is wrong sounds at once, then it is written down."""
        kept = self.disk.raised
        for rule, cause in self.causes.items():
            is_open = cause.from_ms <= self.now < cause.until_ms
            if is_open and (not self.ways.sounds_after_commit_only or rule in kept):
                self.sounded.append(self.now)
            if is_open and rule not in self.known:
                self.known.add(rule)
                self._record(Lane.A, {"t": "alarm", "tr": "raise", "rule": rule})

    def _record(self, lane: Lane, fields: dict[str, object]) -> None:
        self.next[lane] += 1
        key = (lane, self.epoch, self.next[lane])
        body = {"ep": key[1], "lane": lane.value, "seq": key[2], "mono": self.now, **fields}
        data = json.dumps(body).encode()
        self.memory.append((self.now + self.dice.randrange(20, 400), key, data))
        if self.ways.sends_before_commit:
            self.box.offer(key, data)

    def _commit_what_is_due(self) -> None:
        """One writer, in order; what was settled rides with it."""
        while self.memory and self.memory[0][0] <= self.now:
            _, key, body = self.memory.pop(0)
            self.disk.rows[key] = body
            self.disk.waiting.add(key)
            self.disk.cut_off.discard(key)
            data = json.loads(body)
            if "rule" in data:
                self.disk.raised.add(data["rule"])
            self.box.offer(key, body)
        while self.settling and self.settling[0][0] <= self.now:
            self.disk.waiting.discard(self.settling.pop(0)[1])

    def _keep_in_touch(self) -> None:
        gone = {key for _, key in self.settling}
        unknown = [key for key in self.disk.waiting - gone if not self.box.knows(key)]
        for key in sorted(unknown, key=lambda k: (int(k[1][1:] or 0), k[0], k[2])):
            self.box.offer(key, self.disk.rows[key], is_live=False)
        alarms = (key for key in unknown if key[0] is Lane.A)
        self.box.has_more_alarms = any(not self.box.knows(key) for key in alarms)
        if not self.is_up and "broker" not in self.back_at and self.now >= self.tries_at:
            self.is_up = True
            maximum = self.dice.choice((2, 16, 65_535))
            self.box.link_up(
                self.now, receive_maximum=maximum, has_session=self.has_gateway_session
            )
            self.has_gateway_session = True
            self._hello()
        elif self.is_up and self.dice.random() < 0.002:
            self.is_up, self.tries_at = False, self.now + 1_000  # the line, for once
            self.wire.clear()
            self.box.link_down()
        while self.is_up and (message := self.box.next_message(self.now)):
            self._on_wire("up", message.body)
        self.box.take_changes()

    def _settle(self, ranges: tuple[Range, ...]) -> None:
        for each in ranges:
            for seq in range(each.lo, each.hi + 1):
                self.settling.append((self.now + 300, (each.lane, each.epoch, seq)))

    # -- on the way -----------------------------------------------------------------------------

    def _on_wire(self, what: str, load: bytes | tuple[Key, int]) -> None:
        self.wire.append((self.now + self.dice.randrange(10, 200), what, load))

    def _arrive(self) -> None:
        due = [each for each in self.wire if each[0] <= self.now]
        self.wire = [each for each in self.wire if each[0] > self.now]
        for _, what, load in due:
            if what == "up":
                self._broker_takes(load)
            elif "gateway" in self.back_at or not self.is_up:
                continue
            elif what == "puback":
                settled = self.box.puback(*load, self.now)
                self._settle((settled,) if settled else ())
            else:
                self._gateway_hears(load)
        if self.is_up and "gateway" not in self.back_at:
            for load in self.to_gateway:
                self._on_wire("down", load)
            self.to_gateway.clear()

    def _gateway_hears(self, load: bytes) -> None:
        kind = json.loads(load)["t"]
        match parse_down(kind, load):
            case Ack() as ack:
                self._settle(self.box.ack(ack, self.now))
            case Hello():
                self.box.heard(self.now)
            case other:
                raise AssertionError(other)

    def _broker_takes(self, load: bytes) -> None:
        if "broker" in self.back_at:
            return
        body = json.loads(load)
        key = (Lane(body["lane"]), body["ep"], body["seq"])
        code = 0x97 if self.dice.random() < 0.01 else 0 if self.has_platform_session else 0x10
        if code == 0:
            self.to_platform.append(load)
        self._on_wire("puback", (key, code))

    # -- the platform ---------------------------------------------------------------------------

    def _serve(self) -> None:
        if "broker" in self.back_at:
            return
        if not self.has_platform_session or self.platform_tries_at is not None:
            if self.platform_tries_at is None or self.now < self.platform_tries_at:
                return
            self.has_platform_session, self.platform_tries_at = True, None
            self._hello()
        taken, self.to_platform = self.to_platform, []
        for load in taken:
            self._take(load)
        is_time = self.open_since is not None and self.now - self.open_since >= 1_000
        if len(self.uncommitted) >= 64 or is_time:
            self._commit()
        if self.said and self.dice.random() < 0.05:  # an old answer, once more
            self.outgoing.append(self.dice.choice(self.said))
        self.to_gateway.extend(self.outgoing)
        self.outgoing.clear()

    def _take(self, load: bytes) -> None:
        body = json.loads(load)
        if body["t"] == "fact" and body["kind"] is None:
            self._nack(body, "schema")
        elif self.dice.random() < 0.02:
            self._nack(body, "busy")
        else:
            self.uncommitted.append(load)
            self.open_since = self.open_since or self.now
            if self.ways.acks_before_commit:
                self._ack([body])
            if body["lane"] == "A" and not self.ways.acks_before_commit:
                self._commit()

    def _commit(self) -> None:
        bodies = [json.loads(load) for load in self.uncommitted]
        self.uncommitted, self.open_since = [], None
        for body in bodies:
            key = (Lane(body["lane"]), body["ep"], body["seq"])
            if key not in self.kept or self.ways.keeps_copies:
                self.kept.add(key)
                self.applied[len(self.applied)] = body
        if not self.ways.acks_before_commit:
            self._ack(bodies)

    def _ack(self, bodies: list[dict]) -> None:
        for epoch in dict.fromkeys(body["ep"] for body in bodies):
            message: dict[str, object] = {"v": 1, "t": "ack", "ep": epoch}
            for lane in Lane:
                seqs = {b["seq"] for b in bodies if (b["ep"], b["lane"]) == (epoch, lane.value)}
                if seqs:
                    message[lane.value] = [[seq, seq] for seq in sorted(seqs)]
                    self.settled.extend((lane, epoch, seq) for seq in sorted(seqs))
            self._say(message)

    def _nack(self, body: dict, code: str) -> None:
        nack = [[body["lane"], body["seq"], code]]
        self._say({"v": 1, "t": "ack", "ep": body["ep"], "nack": nack})

    def _say(self, message: dict[str, object]) -> None:
        load = json.dumps(message).encode()
        self.outgoing.append(load)
        self.said.append(load)

    def _hello(self) -> None:
        if "platform" not in self.back_at and self.has_platform_session:
            self.to_gateway.append(b'{"v":1,"t":"hello","ack":1}')


def _plain(key: Key) -> tuple[str, str, int]:
    return key[1], key[0].value, key[2]
