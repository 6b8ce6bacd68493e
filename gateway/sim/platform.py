"""A simulated platform: takes records, keeps each once, commits, then acknowledges.

    python -m gateway.sim.platform --broker URL --history FILE.sqlite

It does the platform's duties of docs/contract and nothing else. Simulation has its own MQTT client
(paho, single-threaded): what it shares with the daemon is the contract, not the door. MQTT 5 is
tried first, 3.1.1 when the broker does not answer to it.

Modes: `ack`; `nack` refuses every record for good; `silent` keeps but never answers; `slow`
answers late (`--late`, 3 s); `duplicate` answers twice and in the wrong order; `lie` acknowledges
every third number and does not keep it. Whatever is missing can be asked for again (`--heal`).
Whether the audiences of an alarm give receipts is a matter of its own (`--receipts`, `--audience`,
gateway/sim/audiences.py).
"""

import argparse
import json
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.core.messages import unpack
from gateway.domain.text import Lang, Text
from gateway.drivers.arguments import Arguments
from gateway.sim import history
from gateway.sim.audiences import Audiences, Habit, read_habits
from gateway.sim.history import Acked, Arrived

ACK_EVERY_S = 1.0
ACK_EVERY_MESSAGES = 64
LATE_S = 3.0
LIES_ABOUT_EVERY = 3  # of the numbers of a lane
POST_CHECK_MINUTES = 5
RECONNECT_S = 0.5
CONNECT_S = 3.0
SESSION_EXPIRY_S = 7 * 24 * 3600
MAX_BODY = 4 * 2**20
ALARMS_REMEMBERED = 200  # whose receipts a platform gives again after its own start
MODES: Mapping[str, Text] = {
    "ack": Text("履行全部职责", "does all its duties"),
    "nack": Text("一概拒收", "refuses every record for good"),
    "silent": Text("只收不答", "keeps everything and never answers"),
    "slow": Text("迟答", "answers late"),
    "duplicate": Text("重复应答", "answers twice and in the wrong order"),
    "lie": Text("谎报", "acknowledges every third number and does not keep it"),
}

# Of a record, beside its identity: without these there is nothing to show or keep.
_MUST_HAVE: Mapping[str, Mapping[str, type]] = {
    "alarm": {"alarm": str, "tr": str, "sev": str, "rule": str},
    "fact": {"kind": str},
    "read": {"r": list},
}

_SEVERITY = {
    "alarm": Text("报警", "ALARM"),
    "warning": Text("预警", "warning"),
    "fault": Text("故障", "fault"),
}
_TRANSITION = {
    "raise": Text("发生", "raised"),
    "clear": Text("恢复", "cleared"),
    "ack": Text("确认", "acknowledged"),
    "silence": Text("消音", "silenced"),
    "reset": Text("复位", "reset"),
    "again": Text("再次发生", "raised again"),
    "realarm": Text("仍未恢复", "still active"),
    "chatter": Text("抖动", "chattering"),
}


_MARKS = {"drill": Text("[演练] ", "[drill] "), "test": Text("[测试] ", "[test] ")}


@dataclass(slots=True)
class _Platform:
    """One run: what is committed but not answered yet, and what waits to be sent."""

    store: sqlite3.Connection
    mode: str
    lang: Lang
    is_printing: bool
    audiences: Audiences | None  # None: nobody gives receipts
    post_check_minutes: int | None = None
    late_s: float = LATE_S
    heal_every_s: float | None = None
    heals_at: float = 0.0
    is_to_ask: bool = False  # every gateway, once
    lied_about: set[history.Key] = field(default_factory=set)
    client: paho.Client | None = None
    open_since: float | None = None  # first record that is not committed and answered
    to_ack: list[history.Key] = field(default_factory=list)
    outgoing: list[tuple[float, str, bytes]] = field(default_factory=list)
    has_greeting: bool = False
    is_stopping: bool = False


def simulate(
    url: str,
    path: Path | None,
    *,
    mode: str = "ack",
    lang: Lang = Lang.ZH,
    is_printing: bool = True,
    habits: Mapping[str, Habit] | None = None,
    post_check_minutes: int | None = None,
    late_s: float = LATE_S,
    heal_every_s: float | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; return the exit code. `habits`: how audiences give receipts.

    `late_s` is the delay of mode `slow`; with `heal_every_s` what is missing is asked for so often.
    """
    audiences = None if habits is None else Audiences(habits)
    platform = _Platform(
        history.open_history(path), mode, lang, is_printing, audiences, post_check_minutes,
        late_s, heal_every_s,
    )  # fmt: skip

    for gateway, alarm in history.raised(platform.store, ALARMS_REMEMBERED):
        _hear_audiences(platform, gateway, alarm)  # who was killed had perhaps told nobody yet

    def stop(*_: object) -> None:
        platform.is_stopping = True

    def ask(*_: object) -> None:
        platform.is_to_ask = True

    signal.signal(signal.SIGUSR1, ask)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    protocol = MQTTProtocolVersion.MQTTv5
    while not platform.is_stopping:
        was_greeted = _stay_connected(platform, url, protocol)
        if not was_greeted:
            is_v5 = protocol == MQTTProtocolVersion.MQTTv5
            protocol = MQTTProtocolVersion.MQTTv311 if is_v5 else MQTTProtocolVersion.MQTTv5
        _sleep(platform, RECONNECT_S)
    _commit(platform)
    platform.store.close()
    return 0


def _stay_connected(platform: _Platform, url: str, protocol: MQTTProtocolVersion) -> bool:
    """Serve one connection to its end; True unless the broker took it and never answered."""
    client = _new_client(platform, url, protocol)
    address = urlsplit(url)
    platform.client, platform.has_greeting = client, False
    try:
        if address.scheme == "mqtt+unix":
            client.connect(address.path, 1883, 20, **_clean(protocol))
        else:
            client.connect(
                address.hostname or "127.0.0.1", address.port or 1883, 20, **_clean(protocol)
            )
    except OSError:
        return True  # not there: says nothing about the protocol
    began = time.monotonic()
    rc = MQTTErrorCode.MQTT_ERR_SUCCESS
    while rc == MQTTErrorCode.MQTT_ERR_SUCCESS and not platform.is_stopping:
        rc = client.loop(_patience(platform))
        if not platform.has_greeting and time.monotonic() - began > CONNECT_S:
            break
        _answer(platform)
    if platform.is_stopping:
        _commit(platform)
        _send_due(platform, everything=True)
    client.disconnect()
    client.loop(0.1)
    return platform.has_greeting


def _clean(protocol: MQTTProtocolVersion) -> dict[str, Any]:
    if protocol != MQTTProtocolVersion.MQTTv5:
        return {}
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    return {"clean_start": False, "properties": properties}


def _new_client(platform: _Platform, url: str, protocol: MQTTProtocolVersion) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id="platform-sim",
        clean_session=None if protocol == MQTTProtocolVersion.MQTTv5 else False,
        protocol=protocol,
        transport="unix" if url.startswith("mqtt+unix:") else "tcp",
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_S

    def on_connect(_c: Any, _u: Any, _flags: Any, code: Any, _p: Any) -> None:
        if code.value == 0:
            platform.has_greeting = True
            client.subscribe("care/1/+/up/#", qos=1)
            for gateway in history.gateways(platform.store):
                _hello(platform, gateway)

    def on_message(_c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        _take(platform, message.topic, bytes(message.payload))

    client.on_connect = on_connect
    client.on_message = on_message
    return client


# -- what comes in ------------------------------------------------------------------------------


def _take(platform: _Platform, topic: str, payload: bytes) -> None:
    if not payload:
        return  # a retained message was deleted
    _, _, gateway, _, kind = topic.split("/", 4)
    try:
        data = json.loads(unpack(payload, MAX_BODY))
        if not isinstance(data, dict) or data.get("gw", gateway) != gateway:
            raise ValueError("not this gateway's message")
        if kind == "state":
            _note_state(platform, gateway, data)
            if data["on"]:
                _hello(platform, gateway)
                for receipt in platform.audiences.again(gateway) if platform.audiences else ():
                    _queue(platform, gateway, "ack", receipt)
                if platform.post_check_minutes is not None:
                    _ask_post_check(platform, gateway, platform.post_check_minutes)
                if platform.heal_every_s is not None:
                    _ask_for_what_it_settled(platform, gateway, data)
        elif kind in ("a", "b", "r"):
            key = _key(gateway, kind, data)
            why = _why_not(data)
            if why is None:
                _take_record(platform, _arrived(key, data), data)
            else:
                history.count(platform.store, "malformed")
                history.note_refused(platform.store, key)
                _refuse(platform, key, *why)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        history.count(platform.store, "malformed")
        print(f"malformed message on {topic}: {error}", file=sys.stderr, flush=True)


def _note_state(platform: _Platform, gateway: str, data: Mapping[str, Any]) -> None:
    """An end counts only for the connection that it names: an old will may come late."""
    known = history.state(platform.store, gateway)
    connection = (data.get("ep"), data.get("conn"))
    if not data["on"] and known and (known.get("ep"), known.get("conn")) != connection:
        return
    history.note_gateway(
        platform.store, gateway, is_on=bool(data["on"]), body=json.dumps(data).encode()
    )


def _key(gateway: str, kind: str, data: Mapping[str, Any]) -> history.Key:
    """The identity of a record; without one it can be neither kept nor refused."""
    lane, epoch, seq = data["lane"], data["ep"], data["seq"]
    if not isinstance(epoch, str) or type(seq) is not int or not 0 < seq < 2**63:
        raise ValueError("no identity")
    if not isinstance(lane, str) or lane.lower() != kind or data["v"] != 1:
        raise ValueError("lane or version does not fit the topic")
    return gateway, epoch, lane, seq


def _why_not(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """Code and text of a refusal for good; None when the record can be taken."""
    wanted = _MUST_HAVE.get(str(data.get("t")))
    if wanted is None:
        return "unknown_type", ""
    missing = [name for name, type_ in wanted.items() if not isinstance(data.get(name), type_)]
    return ("schema", f"/{missing[0]}") if missing else None


def _refuse(platform: _Platform, key: history.Key, code: str, text: str) -> None:
    if platform.mode != "silent":
        gateway, epoch, lane, seq = key
        nack = {"v": 1, "t": "ack", "ep": epoch, "nack": [[lane, seq, code, text]]}
        _queue(platform, gateway, "ack", nack)


def _arrived(key: history.Key, data: Mapping[str, Any]) -> Arrived:
    return Arrived(
        key=key,
        t=str(data["t"]),
        kind=str(data.get("tr", data.get("kind", ""))),
        readings=len(data["r"]) if data["t"] == "read" else 0,
        is_history=bool(data.get("hist", False)),
        is_durable=bool(data.get("durable", True)),
        body=json.dumps(data, ensure_ascii=False).encode(),
    )


def _take_record(platform: _Platform, record: Arrived, data: Mapping[str, Any]) -> None:
    if platform.mode == "nack":
        _refuse(platform, record.key, "schema", "refused")
        return
    is_new = not _is_lie(platform, record.key) and history.insert(platform.store, record)
    platform.to_ack.append(record.key)
    if platform.open_since is None:
        platform.open_since = time.monotonic()
    if record.key[2] == "A":
        _commit(platform)
        if is_new and record.kind == "raise":
            _hear_audiences(platform, record.key[0], data)
    if is_new and record.t == "alarm" and platform.is_printing:
        print(line_of(data, platform.lang), flush=True)


def _hear_audiences(platform: _Platform, gateway: str, alarm: Mapping[str, Any]) -> None:
    """Pass an alarm on; practice is passed on to nobody."""
    if platform.audiences is None or alarm.get("drill") or alarm.get("test"):
        return
    for delay, receipt in platform.audiences.hear(gateway, alarm):
        _queue(platform, gateway, "ack", receipt, after_s=delay)


def _is_lie(platform: _Platform, key: history.Key) -> bool:
    """In mode `lie` every third number is acknowledged and lost, until it is asked for again."""
    if platform.mode != "lie" or key[3] % LIES_ABOUT_EVERY or key in platform.lied_about:
        return False
    if not platform.store.in_transaction:
        platform.store.execute("BEGIN IMMEDIATE")
    return True


_LIMIT = Text("限值", "limit")
_FROM_MEMORY = Text("来自内存", "from memory")


def line_of(data: Mapping[str, Any], lang: Lang) -> str:
    """One readable line per transition of an alarm, warning or fault."""
    severity, transition = _SEVERITY[data["sev"]], _TRANSITION[data["tr"]]
    value = data["val"] if data["tr"] == "raise" else data["last"]
    measured = "" if value is None else f" {value:g} {data['unit']}".rstrip()
    limit = "" if data["lim"] is None else f" ({_LIMIT.in_(lang)} {data['lim']:g})"
    late = "" if data.get("durable", True) else f" [{_FROM_MEMORY.in_(lang)}]"
    where = data["place"] or data["point"] or data["rule"]
    marks = "".join(_MARKS[mark].in_(lang) for mark in _MARKS if data.get(mark))
    return (
        f"{data['gw']} {marks}{severity.in_(lang)} {transition.in_(lang)}: "
        f"{where} {data['say'][lang.value]}{measured}{limit}{late}"
    )


# -- what goes out ------------------------------------------------------------------------------


def _answer(platform: _Platform) -> None:
    if platform.is_to_ask:
        platform.is_to_ask = False
        for gateway in history.gateways(platform.store):
            _ask_post_check(platform, gateway, platform.post_check_minutes or POST_CHECK_MINUTES)
    if platform.heal_every_s is not None and time.monotonic() >= platform.heals_at:
        platform.heals_at = time.monotonic() + platform.heal_every_s
        _ask_for_what_is_missing(platform)
    since = platform.open_since
    if len(platform.to_ack) >= ACK_EVERY_MESSAGES or (
        since is not None and time.monotonic() - since >= ACK_EVERY_S
    ):
        _commit(platform)
    _send_due(platform)


def _commit(platform: _Platform) -> None:
    """Commit first, then acknowledge: the other order loses records in a crash."""
    keys, platform.to_ack, platform.open_since = platform.to_ack, [], None
    is_answering = platform.mode != "silent"
    acked = _ranges(keys) if is_answering else []
    if platform.store.in_transaction:
        history.note_settled(platform.store, acked)
        platform.store.execute("COMMIT")
    for gateway, epoch in dict.fromkeys((a.gateway, a.epoch) for a in acked):
        message: dict[str, object] = {"v": 1, "t": "ack", "ep": epoch}
        for lane in ("A", "B", "R"):
            rows = [
                [a.lo, a.hi]
                for a in acked
                if (a.gateway, a.epoch, a.lane) == (gateway, epoch, lane)
            ]
            if rows:
                message[lane] = rows
        _queue(platform, gateway, "ack", message)


def _ranges(keys: Sequence[history.Key]) -> list[Acked]:
    """Closed ranges in the order in which the lanes came, A first."""
    ranges: list[Acked] = []
    for gateway, epoch, lane, seq in sorted(set(keys)):
        last = ranges[-1] if ranges else None
        if (
            last is not None
            and (last.gateway, last.epoch, last.lane) == (gateway, epoch, lane)
            and last.hi + 1 == seq
        ):
            ranges[-1] = Acked(gateway, epoch, lane, last.lo, seq)
        else:
            ranges.append(Acked(gateway, epoch, lane, seq, seq))
    return ranges


def _hello(platform: _Platform, gateway: str) -> None:
    if platform.mode != "silent":
        now_ms = time.time_ns() // 1_000_000
        message = {"v": 1, "t": "hello", "ack": 1, "max_kb": 64, "time": now_ms}
        _queue(platform, gateway, "hello", message)


def _ask_post_check(platform: _Platform, gateway: str, minutes: int) -> None:
    """Ask who is at the duty desk (查岗)."""
    now_ms = time.time_ns() // 1_000_000
    args = {"minutes": minutes, "at": now_ms}
    message = {"v": 1, "t": "cmd", "id": f"check-{now_ms}", "op": "post_check", "args": args}
    _queue(platform, gateway, "cmd", message)


def _ask_for_what_is_missing(platform: _Platform) -> None:
    """Ask for every hole in what was acknowledged: a lane's numbers have none."""
    for gateway, epoch, lane, low, high in history.holes(platform.store):
        _ask_replay(platform, gateway, epoch, (lane, low, high))


def _ask_for_what_it_settled(platform: _Platform, gateway: str, state: Mapping[str, Any]) -> None:
    """A birth says which numbers are unsettled; the others are here, or were lost here."""
    unsettled = {lane: span[0] for lane, span in state.get("lanes", {}).items()}
    for each in history.lost(platform.store, gateway, state["ep"], unsettled):
        _ask_replay(platform, gateway, state["ep"], each)


def _ask_replay(
    platform: _Platform, gateway: str, epoch: str, missing: tuple[str, int, int]
) -> None:
    lane, low, high = missing
    platform.lied_about.update((gateway, epoch, lane, n) for n in range(low, high + 1))
    args = {"lane": lane, "ep": epoch, "from": low, "to": high}
    id_ = f"replay-{epoch}-{lane}-{low}"
    _queue(platform, gateway, "cmd", {"v": 1, "t": "cmd", "id": id_, "op": "replay",
                                      "args": args})  # fmt: skip


def _queue(
    platform: _Platform,
    gateway: str,
    kind: str,
    message: Mapping[str, object],
    *,
    after_s: float = 0.0,
) -> None:
    body = json.dumps(message, separators=(",", ":")).encode()
    at = time.monotonic() + after_s
    at += platform.late_s if platform.mode == "slow" and kind == "ack" else 0.0
    platform.outgoing.append((at, f"care/1/{gateway}/dn/{kind}", body))
    if platform.mode == "duplicate":
        platform.outgoing.insert(0, (at + 0.2, f"care/1/{gateway}/dn/{kind}", body))


def _send_due(platform: _Platform, *, everything: bool = False) -> None:
    if platform.client is None or not platform.has_greeting:
        return
    now = time.monotonic()
    due = [item for item in platform.outgoing if everything or item[0] <= now]
    platform.outgoing = [item for item in platform.outgoing if item not in due]
    for _, topic, body in due:
        platform.client.publish(topic, body, qos=1)


def _patience(platform: _Platform) -> float:
    """Seconds until there is something to do without a message, at most 0.2."""
    return 0.02 if platform.outgoing or platform.open_since is not None else 0.2


def _sleep(platform: _Platform, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not platform.is_stopping and time.monotonic() < end:
        time.sleep(0.05)


_HELP = {
    "about": Text(
        "模拟平台：收下记录，每条只记一次，写盘之后才应答。履行 docs/contract 里平台的全部职责。",
        "A simulated platform: takes records, keeps each once, commits, then acknowledges. It does"
        " the platform's duties of docs/contract.",
    ),
    "broker": Text(
        "mqtt://主机:端口 或 mqtt+unix:///路径", "mqtt://host:port or mqtt+unix:///path"
    ),
    "history": Text("SQLite 文件；不给则只在内存", "SQLite file; in memory without it"),
    "lang": Text("语言", "language"),
    "receipts": Text("三方都给回执", "three audiences give receipts"),
    "audience": Text(
        "某一方怎样给回执：fire=silent，或 inst=0/0.5/4（已存/已送/已看，秒）",
        "how one of them gives receipts: fire=silent, or inst=0/0.5/4 (stored/sent/seen, s)",
    ),
    "post_check": Text(
        "网关上线即查岗；SIGUSR1 再查一次",
        "ask each gateway that comes who is awake; SIGUSR1 asks all of them again",
    ),
    "late": Text("slow 模式迟多少秒（3）", "of mode slow (3)"),
    "heal": Text(
        "每隔这么多秒，向网关要回缺的记录",
        "so often, ask every gateway again for what is missing (replay)",
    ),
    "print": Text("报警每次变化打印一行", "one line per alarm transition"),
}


def _parser(lang: Lang) -> argparse.ArgumentParser:
    said = {name: text.in_(lang) for name, text in _HELP.items()}
    modes = "; ".join(f"{name}: {text.in_(lang)}" for name, text in MODES.items())
    parser = Arguments(lang, prog="care-gateway platform sim", description=said["about"])
    parser.add_argument("--broker", metavar="URL", required=True, help=said["broker"])
    parser.add_argument("--history", type=Path, metavar="FILE", help=said["history"])
    parser.add_argument("--mode", choices=list(MODES), default="ack", help=modes)
    parser.add_argument("--lang", type=Lang, choices=list(Lang), default=lang, help=said["lang"])
    parser.add_argument("--receipts", action="store_true", help=said["receipts"])
    parser.add_argument("--audience", action="append", default=[], metavar="NAME=HABIT",
                        help=said["audience"])  # fmt: skip
    parser.add_argument("--post-check", type=int, metavar="MINUTES", help=said["post_check"])
    parser.add_argument("--late", type=float, default=LATE_S, metavar="SECONDS", help=said["late"])
    parser.add_argument("--heal", type=float, metavar="SECONDS", help=said["heal"])
    parser.add_argument("--print", action="store_true", help=said["print"])
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser(_lang_of(sys.argv[1:] if arguments is None else arguments))
    options = parser.parse_args(arguments)
    try:
        habits = read_habits(options.audience)
    except ValueError as problem:
        parser.error(str(problem))
    return simulate(
        options.broker,
        options.history,
        mode=options.mode,
        lang=options.lang,
        is_printing=options.print,
        habits=habits if options.receipts or options.audience else None,
        post_check_minutes=options.post_check,
        late_s=options.late,
        heal_every_s=options.heal,
    )


def _lang_of(arguments: Sequence[str]) -> Lang:
    """The language that `--lang` asks for, before anything is parsed: help is told in it."""
    words = list(arguments)
    asked = words[words.index("--lang") + 1 :] if "--lang" in words else []
    return Lang.EN if asked[:1] == [Lang.EN.value] else Lang.ZH


if __name__ == "__main__":
    sys.exit(main())
