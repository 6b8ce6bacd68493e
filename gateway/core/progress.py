"""What the way up has done so far: what `status`, `uplink status` and `uplink tail` show.

Told by the forwarder with the monotonic time, read by views. It outlives a restart of that task,
so `settled` counts since the start of the daemon.
"""

from collections import deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.core.delivery import Key, Outbox, Stage
from gateway.core.faults import LINK_FAILURES
from gateway.domain.moments import Now
from gateway.domain.records import Lane, Range
from gateway.domain.site import Uplink
from gateway.domain.text import Text

STEPS_KEPT = 1_000
STANDING = frozenset({"uplink_refused", "uplink_unheard", "platform_absent", "identity_in_use"})
_ACTIVE = frozenset({"UA", "AA"})  # seen by somebody or not

View = dict[str, object]


@dataclass(slots=True)
class LaneProgress:
    """One lane since the start of the daemon."""

    settled: int = 0
    last_settled_ms: int | None = None
    has_more: bool = False  # the store has unsettled records that are not in memory


@dataclass(slots=True)
class LinkProgress:
    """The connection as it is now, and the tries before it."""

    broker: str = ""
    protocol: str = ""  # `5` or `3.1.1`; empty = not connected
    tls: str = ""  # `TLSv1.3`; empty = plain, or not connected
    since_ms: int | None = None  # of the last change between connected and not
    connections: int = 0  # tried
    tries: int = 0  # failed in a row
    why: str = ""  # of the last failure or loss
    detail: str = ""
    next_try_ms: int | None = None
    last_ack_ms: int | None = None  # the platform's last word on any record

    def came_up(self, broker: str, protocol: str, tls: str, now_ms: int) -> None:
        self.broker, self.protocol, self.tls = broker, protocol, tls
        self.since_ms, self.next_try_ms = now_ms, None

    def went_down(self, broker: str, why: str, detail: str, now_ms: int) -> None:
        if self.protocol or self.since_ms is None:
            self.since_ms = now_ms
        self.broker, self.protocol, self.tls = broker, "", ""
        self.why, self.detail = why, detail


@dataclass(frozen=True, slots=True)
class Failure:
    """The last way in which one broker failed."""

    why: str
    detail: str
    at_ms: int


class Step(NamedTuple):
    """One thing that happened on the way up.

    `what`: up, down, sent, broker (its PUBACK), settled, parked, hello. `lo` to `hi` are numbers
    of `epoch`; `code` is the PUBACK's reason; `size` in bytes as on the wire.
    """

    number: int
    at_ms: int  # monotonic
    what: str
    lane: Lane | None = None
    epoch: str = ""
    lo: int = 0
    hi: int = 0
    size: int = 0
    code: int | None = None
    text: str = ""


@dataclass(slots=True)
class Progress:
    """Made once by whoever starts the forwarder, and given to it."""

    link: LinkProgress = field(default_factory=LinkProgress)
    lanes: dict[Lane, LaneProgress] = field(
        default_factory=lambda: {lane: LaneProgress() for lane in Lane}
    )
    outbox: Outbox | None = None  # of the forwarder that runs now
    births: set[str] = field(default_factory=set)  # brokers that have our state of this epoch
    failures: dict[str, Failure] = field(default_factory=dict)  # by broker, since it last worked
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=STEPS_KEPT))
    stepped: int = 0  # steps since the start

    def step(
        self,
        what: str,
        now_ms: int,
        key: Key | None = None,
        *,
        hi: int | None = None,
        size: int = 0,
        code: int | None = None,
        text: str = "",
    ) -> None:
        """Remember one step for who follows; `key` with `hi` is a range."""
        self.stepped += 1
        lane, epoch, lo = key or (None, "", 0)
        last = lo if hi is None else hi
        self.steps.append(Step(self.stepped, now_ms, what, lane, epoch, lo, last, size, code, text))

    def came_up(self, broker: str, protocol: str, tls: str, now_ms: int) -> None:
        """Connected, and the broker has our birth."""
        self.births.add(broker)
        self.failures.pop(broker, None)
        self.link.came_up(broker, protocol, tls, now_ms)
        text = f"{broker} MQTT {protocol}" + (f" {tls}" if tls else "")
        self.step("up", now_ms, text=text)

    def went_down(self, broker: str, why: str, detail: str, now_ms: int) -> None:
        self.link.went_down(broker, why, detail, now_ms)
        self.step("down", now_ms, text=f"{broker} {why}" + (f": {detail}" if detail else ""))

    def note(self, broker: str, why: str, detail: str, now_ms: int) -> None:
        """This broker does not work; the connection may be to another one."""
        self.failures[broker] = Failure(why, detail, now_ms)

    def worst(self, lasting: Container[str], doubted: Container[str] = ()) -> tuple[str, str]:
        """Return why and detail of the first broker's failure that is one of `lasting`.

        Of `doubted` brokers nothing is believed yet; two empty texts when only such are left.
        """
        for broker, failure in self.failures.items():
            if failure.why in lasting and broker not in doubted:
                return failure.why, f"{broker}: {failure.detail or failure.why}"
        return ("", "") if self.link.broker in doubted else (self.link.why, self.link.detail)

    def settled(self, ranges: Iterable[Range], now_ms: int) -> None:
        for range_ in ranges:
            lane = self.lanes[range_.lane]
            lane.settled += range_.hi - range_.lo + 1
            lane.last_settled_ms = now_ms
            key = (range_.lane, range_.epoch, range_.lo)
            self.step("settled", now_ms, key, hi=range_.hi)


def lanes_view(progress: Progress, unsettled: Mapping[Lane, int], now_ms: int) -> View:
    """Per lane: where its records are. `unsettled` counts what the store holds, by lane.

    queued: not with the broker yet; at_broker: waits for the platform's ack; settled: since start;
    parked: given up for this run; last_settled_ms: how long ago, None = never.
    """
    return {
        lane.value: {
            "queued": _queued(progress, lane, unsettled.get(lane, 0)),
            "at_broker": _at_broker(progress, lane),
            "settled": known.settled,
            "last_settled_ms": _age(known.last_settled_ms, now_ms),
            "parked": _parked(progress, lane),
            "unsettled": unsettled.get(lane, 0),
        }
        for lane, known in progress.lanes.items()
    }


def link_view(progress: Progress, uplink: Uplink | None, now_ms: int) -> View:
    """The connection: protocol, TLS, since when, how often, what failed, when the next try is."""
    if uplink is None:
        return {}
    link = progress.link
    return {
        "protocol": link.protocol,
        "tls": link.tls,
        "since_ms": _age(link.since_ms, now_ms),
        "connections": link.connections,
        "failures": link.tries,
        "last_failure": link.why,
        "detail": link.detail,
        **_words(link.why if not link.protocol else ""),
        "next_try_in_ms": None if link.next_try_ms is None else max(0, link.next_try_ms - now_ms),
        "last_ack_ms": _age(link.last_ack_ms, now_ms),
        "delivery": uplink.delivery.value,
        "reconnect": uplink.reconnect.value,
    }


def brokers_view(progress: Progress, names: Iterable[str], now_ms: int) -> list[View]:
    """Every broker in the order of preference: whether it is used, and how it last failed."""
    rows: list[View] = []
    for name in names:
        failure = progress.failures.get(name)
        is_used = bool(progress.link.protocol) and progress.link.broker == name
        row: View = {"broker": name, "is_used": is_used}
        if failure is not None:
            ago_ms = _age(failure.at_ms, now_ms)
            row |= {"why": failure.why, "detail": failure.detail, "failed_ms": ago_ms}
            row |= _words(failure.why)
        rows.append(row)
    return rows


def parked_view(progress: Progress) -> list[View]:
    """Records that were given up for this run, and why."""
    parked = progress.outbox.parked if progress.outbox else {}
    return [
        {"lane": lane.value, "ep": epoch, "seq": seq, "why": why}
        for (lane, epoch, seq), why in parked.items()
    ]


def standing_view(alarms: Iterable[View]) -> list[View]:
    """Of the open alarms (`core.view.alarms_view`) the faults of the way up that stand now.

    Not those of the connection as such: `link_view` tells why there is none.
    """
    rows: list[View] = []
    for alarm in alarms:
        code, _, about = str(alarm["rule"]).removeprefix("gateway/").partition("/")
        is_ours = code in STANDING and about != "broker" and alarm["state"] in _ACTIVE
        if is_ours and str(alarm["rule"]).startswith("gateway/"):
            rows.append({
                "code": code, "about": about,
                **{key: alarm[key] for key in ("detail", "say", "do", "since_ms")},
            })  # fmt: skip
    return rows


def steps_view(progress: Progress, after: int, now: Now) -> list[View]:
    """The steps that are remembered after number `after`, oldest first; `at` is UTC ms or None."""
    return [
        {
            "n": step.number,
            "at": now.utc_of(step.at_ms),
            "what": step.what,
            "lane": step.lane.value if step.lane else None,
            "ep": step.epoch,
            "lo": step.lo,
            "hi": step.hi,
            "bytes": step.size,
            "code": step.code,
            "text": step.text,
        }
        for step in progress.steps
        if step.number > after
    ]


def _words(why: str) -> View:
    """What a failure means and what to do about it, in both languages."""
    say, do = LINK_FAILURES.get(why, (Text("", ""), ()))
    return {
        "say": {"zh": say.zh, "en": say.en},
        "do": [{"zh": step.zh, "en": step.en} for step in do],
    }


def _queued(progress: Progress, lane: Lane, unsettled: int) -> int:
    """In memory and not PUBACKed, or, while the store has more than memory, what it has."""
    stages = progress.outbox.stages(lane) if progress.outbox else {}
    here = stages.get(Stage.NEW, 0) + stages.get(Stage.SENT, 0)
    if progress.outbox is not None and not progress.lanes[lane].has_more:
        return here
    return max(here, unsettled - _at_broker(progress, lane) - _parked(progress, lane))


def _at_broker(progress: Progress, lane: Lane) -> int:
    return progress.outbox.stages(lane).get(Stage.AT_BROKER, 0) if progress.outbox else 0


def _parked(progress: Progress, lane: Lane) -> int:
    parked = progress.outbox.parked if progress.outbox else {}
    return sum(key[0] is lane for key in parked)


def _age(at_ms: int | None, now_ms: int) -> int | None:
    return None if at_ms is None else max(0, now_ms - at_ms)
