"""Contract care/1: pure functions from records to bytes, and from downward bytes to plain data.

What goes up is JSON in UTF-8, deflated (zlib) above 1 kB, readings above 256 bytes; the first byte
tells: `{` (0x7B) or 0x78. An alarm is never compressed and repeats all that a receiver needs, so
messages may be applied in any order. What comes down is foreign: `parse_down` bounds its size, its
inflated size and its depth, and never raises.

`boot` is the kernel's boot id as a string (12 hex digits). Shapes: docs/contract/schemas.
"""

import contextlib
import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from gateway.domain.alarms import Alarm, Transition
from gateway.domain.modes import Mode, mode_of, parted
from gateway.domain.moments import Now
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch, Lane, Range
from gateway.domain.rules import Rule, Severity
from gateway.domain.site import AUDIENCES, Delivery, Site
from gateway.domain.text import Text

VERSION = 1
COMPRESS_ABOVE = 1024  # bytes
COMPRESS_READINGS_ABOVE = 256  # each batch is also a row on the card: half of it is half the wear
ROWS_AT_ONCE = 50  # readings or points that one call turns into text
MAX_DOWN = 64 * 1024  # bytes, on the wire and after inflating
MAX_DEPTH = 8
MAX_RANGES = 1024  # per lane in one ack; nobody has more than 512 records under way
CAPABILITIES = ("ack1", "deflate", "describe1", "replay1")

_BRACE = ord("}")
_LAST_BRACE = b"\x00\x00\xff\xff\xab\x05\x00"  # a sync flush, then a final block of one brace
_HISTORY = b',"hist":true}'
_HISTORY_BLOCK = (  # a final block that is stored as it is (RFC 1951, 3.2.4)
    b"\x01"
    + len(_HISTORY).to_bytes(2, "little")
    + (0xFFFF - len(_HISTORY)).to_bytes(2, "little")
    + _HISTORY
)

_TRANSIENT_NACKS = frozenset({"busy", "retry", "storage", "unavailable"})


@dataclass(frozen=True, slots=True)
class Sender:
    """Who speaks: everything in a message that does not depend on what is said."""

    gateway: str
    epoch: str
    site: Mapping[str, str]
    points_hash: str
    point_index: Mapping[str, int]
    audiences: Mapping[Severity, tuple[str, ...]] = field(default_factory=lambda: AUDIENCES)


@dataclass(frozen=True, slots=True)
class Nack:
    """The platform could not take one record: `is_transient` = try again later."""

    lane: Lane
    epoch: str
    seq: int
    code: str
    text: str = ""

    @property
    def is_transient(self) -> bool:
        return self.code in _TRANSIENT_NACKS


@dataclass(frozen=True, slots=True)
class Ack:
    """These records are durable at the platform, those are refused."""

    ranges: tuple[Range, ...]
    nacks: tuple[Nack, ...] = ()


@dataclass(frozen=True, slots=True)
class Hello:
    """The platform is there and acknowledges; `time_ms` is its UTC."""

    ack: int
    max_kb: int | None = None
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ReceiptMessage:
    """An audience was sent (`sent`) or saw (`seen`) an alarm, or it was stored (`stored`)."""

    occurrence: str
    level: str
    audience: str
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class Command:
    """A request that changes nothing in the house: replay, describe, post_check."""

    id: str
    op: str
    args: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not a message of this contract; `why` is a short code: json, size, depth, shape ..."""

    why: str


Down = Ack | Hello | ReceiptMessage | Command | Malformed


def topic_of(gateway: str, kind: str) -> str:
    """Return the upward topic; `kind` is state, points, a, b, r or now."""
    return f"care/1/{gateway}/up/{kind}"


def lane_topic(gateway: str, lane: Lane) -> str:
    """Return the topic that carries the records of a lane."""
    return topic_of(gateway, lane.value.lower())


def occurrence_id(epoch: str, lane: Lane, seq: int) -> str:
    """Return the id of the alarm that the record (epoch, lane, seq) raised."""
    return f"{epoch}-{lane.value}-{seq}"


def sender_of(site: Site, epoch: str) -> Sender:
    """Return the sender of a site for one start of the daemon (`epoch`).

    A site without uplink still numbers and keeps its records, under the site's own id.
    """
    points, listed = site.points, hashlib.sha256()
    for piece in _dump_rows(_point_rows(site)):
        listed.update(piece)
    return Sender(
        gateway=site.uplink.gateway if site.uplink else site.id,
        epoch=epoch,
        site={"id": site.id, "name": site.name, "inst": site.institution, **site.words},
        points_hash=listed.hexdigest()[:8],
        point_index={point: index for index, point in enumerate(sorted(points))},
        audiences=site.uplink.audiences if site.uplink else AUDIENCES,
    )


def alarm_body(
    sender: Sender,
    lane: Lane,
    seq: int,
    *,
    rule: Rule,
    place: str,
    unit: str,
    alarm: Alarm,
    tr: Transition,
    at: Now,
    by: str = "",
) -> bytes:
    """Return one transition of an alarm, warning or fault; `by` is a staff code or `panel`.

    `alarm` is the alarm after the transition; a raise without occurrence gets this record's.
    """
    raised = alarm.raised or (at if tr is Transition.RAISE else None)
    mode, name = parted(rule.id)
    return _dump(
        {
            **_head(sender, "alarm", lane, seq),
            "alarm": alarm.occurrence or occurrence_id(sender.epoch, lane, seq),
            "tr": tr.value,
            "sev": rule.severity.value,
            "rule": name,
            "point": rule.point,
            "val": _plain(alarm.value),
            "last": _plain(alarm.last),
            "lim": _plain(rule.limit),
            "unit": unit,
            "say": _words(rule.say),
            "do": [_words(step) for step in rule.do],
            "owner": rule.owner,
            "basis": rule.basis,
            "place": place,
            "state": alarm.state.value,
            "raised": None if raised is None else _moment(raised),
            **_moment(at),
            "site": dict(sender.site),
            "aud": list(sender.audiences.get(rule.severity, ())) if mode is Mode.REAL else [],
            "drill": mode is Mode.DRILL,
            "test": mode is Mode.TEST,
            "by": by,
            "detail": alarm.detail,
            "inh": [inhibit.value for inhibit in alarm.inhibits],
            "chatter": alarm.chatter,
            "flood": alarm.flood,
            "first": alarm.is_first_out,
        }
    )


def fact_body(
    sender: Sender,
    lane: Lane,
    seq: int,
    *,
    kind: str,
    at: Now,
    fields: Mapping[str, object],
    mode: Mode = Mode.REAL,
) -> bytes:
    """Return a plain fact of `kind` (boot, audit, anchor, gap ...); `data` holds `fields`.

    What belongs to a drill or a test says so: `"drill": true`, `"test": true`.
    """
    head = _head(sender, "fact", lane, seq)
    flag = {} if mode is Mode.REAL else {mode.value: True}
    data = _plain(fields)
    return pack(_dump({**head, "kind": kind, **_moment(at), **flag, "data": data}))


def read_body(sender: Sender, batch: Batch) -> bytes:
    """Return a batch: `r` = [[point index, ms after t0, value, quality?, reason?], ...].

    t0 and m0 are the UTC (null when unknown) and monotonic time of the oldest reading.
    A reading of a point that the site does not know is left out: nobody could name it.
    """
    m0 = min((reading.mono_ms for reading in batch.readings), default=batch.at.mono_ms)
    head = _dump(
        {
            **_head(sender, "read", Lane.R, batch.seq),
            "ep": batch.epoch,
            "pts": sender.points_hash,
            "boot": batch.at.boot,
            "m0": m0,
            "t0": batch.at.utc_of(m0),
            "clk": batch.at.clk.value,
            "err": batch.at.err_ms,
        }
    )
    index = sender.point_index
    rows = (
        [index[reading.point], reading.mono_ms - m0, *_value(reading)]
        for reading in batch.readings
        if reading.point in index
    )
    return pack(_with_rows(head, "r", rows), COMPRESS_READINGS_ABOVE)


def points_body(sender: Sender, site: Site) -> bytes:
    """Return the dictionary that gives the point indexes of `read` and `now` their meaning."""
    head = _dump({"v": VERSION, "t": "points", "gw": sender.gateway, "pts": sender.points_hash})
    return pack(_with_rows(head, "points", _point_rows(site)))


def state_body(
    sender: Sender,
    *,
    on: bool,
    conn: int,
    at: Now,
    delivery: Delivery = Delivery.ACK,
    lanes: Mapping[Lane, tuple[int, int]] | None = None,
    software: str = "",
    site_sha: str = "",
    heads: Mapping[Lane, str] | None = None,
) -> bytes:
    """Return birth (`on`), will and farewell; `conn` counts the connections of this epoch.

    `lanes` = [oldest unsettled, newest] sequence number of this epoch, per lane.
    """
    return _dump(
        {
            "v": VERSION,
            "t": "state",
            "gw": sender.gateway,
            "on": on,
            "conn": conn,
            "ep": sender.epoch,
            **_moment(at),
            "delivery": delivery.value,
            "sw": software,
            "cfg": {"sha": site_sha},
            "pts": sender.points_hash,
            "site": dict(sender.site),
            "head": {lane.value: head for lane, head in (heads or {}).items()},
            "lanes": {lane.value: list(span) for lane, span in (lanes or {}).items()},
            "caps": list(CAPABILITIES),
        }
    )


def now_body(
    sender: Sender,
    *,
    at: Now,
    readings: Iterable[Reading],
    alarms: Iterable[Alarm],
    open_cases: int = 0,
) -> bytes:
    """Return the latest values as `r` = [[point index, age in ms, value, quality?, reason?], ...].

    `alarms` lists what is open; not numbered, not kept, sent with QoS 0.
    """
    return pack(
        _dump(
            {
                "v": VERSION,
                "t": "now",
                "gw": sender.gateway,
                "ep": sender.epoch,
                "pts": sender.points_hash,
                **_moment(at),
                "r": [
                    [
                        sender.point_index[reading.point],
                        max(0, at.mono_ms - reading.mono_ms),
                        *_value(reading),
                    ]
                    for reading in readings
                    if reading.point in sender.point_index
                ],
                "alarms": [
                    {
                        "alarm": alarm.occurrence,
                        "rule": parted(alarm.rule)[1],
                        "state": alarm.state.value,
                        "stale": alarm.is_stale,
                        "inh": [inhibit.value for inhibit in alarm.inhibits],
                        "drill": mode_of(alarm.rule) is Mode.DRILL,
                        "test": mode_of(alarm.rule) is Mode.TEST,
                    }
                    for alarm in alarms
                    if alarm.state.is_open
                ],
                "cases": open_cases,
            }
        )
    )


def as_history(body: bytes) -> bytes:
    """Return a reading batch marked `hist: true`: it waited, it is not what is now.

    A backlog is thousands of these: what `pack` deflated gets another end, and only its checksum
    (Adler-32, RFC 1950) is computed anew, from what it was before the last byte.
    """
    if body[-11:-4] != _LAST_BRACE:
        return pack(_unpack_own(body)[:-1] + _HISTORY)
    after = int.from_bytes(body[-4:], "big")
    low = ((after & 0xFFFF) - _BRACE) % 65521
    high = ((after >> 16) - (after & 0xFFFF)) % 65521
    checksum = zlib.adler32(_HISTORY, high << 16 | low)
    return body[:-7] + _HISTORY_BLOCK + checksum.to_bytes(4, "big")


def speaks_as(body: bytes, gateway: str) -> bool:
    """True when a record was made under this gateway's name, or does not say under which."""
    text = body[:256]
    if body[:1] == b"\x78":
        with contextlib.suppress(zlib.error):
            text = zlib.decompressobj().decompress(body, 256)
    return b'"gw":' not in text or _name(gateway) in text


def as_gateway(body: bytes, gateway: str) -> bytes:
    """Return a record that was made under another name as one of `gateway`.

    A house without an uplink keeps records under its own id until it gets one, and a house may be
    renamed: who hears them takes the topic's word for it, and the body is to say the same.
    """
    head, said, rest = _unpack_own(body).partition(b'"gw":')
    if not said:
        return body
    renamed = head + _name(gateway) + rest[rest.find(b'",') + 1 :]
    return pack(renamed) if body[:1] == b"\x78" else renamed


def as_not_durable(body: bytes) -> bytes:
    """Return a record marked `durable: false`: it is sent before the disk has it, same id."""
    return _marked(body, b'"durable":false,') if body[:1] == b"{" else body


def pack(text: bytes, above: int = COMPRESS_ABOVE) -> bytes:
    """Return a JSON object's bytes as they go on the wire: deflated when over `above` bytes.

    The last brace stands in a block of its own, so that `as_history` can put something before it.
    """
    if len(text) <= above:
        return text
    deflate = zlib.compressobj(6)
    most = deflate.compress(text[:-1]) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return most + deflate.compress(text[-1:]) + deflate.flush()


def unpack(payload: bytes, limit: int = MAX_DOWN) -> bytes:
    """Return the JSON text; raises ValueError when it is over `limit` or no zlib stream."""
    if payload[:1] != b"\x78":
        if len(payload) > limit:
            raise ValueError("size")
        return payload
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(payload, limit + 1)
    except zlib.error as error:
        raise ValueError("zlib") from error
    if len(text) > limit:
        raise ValueError("size")
    if not inflater.eof:
        raise ValueError("zlib")
    return text


def parse_down(topic_kind: str, payload: bytes) -> Down:
    """Return what the platform said on `dn/{topic_kind}`, or Malformed; never raises."""
    if len(payload) > MAX_DOWN:
        return Malformed("size")
    try:
        data = json.loads(unpack(payload), parse_constant=_refuse_constant)
    except RecursionError:
        return Malformed("depth")
    except UnicodeDecodeError:
        return Malformed("json")
    except json.JSONDecodeError:
        return Malformed("json")
    except ValueError as error:
        return Malformed(str(error) if str(error) in ("size", "zlib") else "json")
    if _is_deeper(data, MAX_DEPTH):
        return Malformed("depth")
    if not isinstance(data, dict) or data.get("v") != VERSION:
        return Malformed("version" if isinstance(data, dict) else "shape")
    try:
        return _parse(topic_kind, data)
    except (KeyError, TypeError, ValueError):
        return Malformed("shape")


def speaker_of(state: bytes) -> str | None:
    """Return the epoch that a state message speaks for; None for any other payload."""
    try:
        data = json.loads(unpack(state))
    except (ValueError, RecursionError):
        return None
    is_state = isinstance(data, dict) and data.get("t") == "state"
    return data["ep"] if is_state and isinstance(data.get("ep"), str) else None


def replay_of(args: Mapping[str, object]) -> Range | None:
    """The records that a `replay` command asks for; None when it does not say so."""
    try:
        lane, epoch = Lane(_text(args["lane"])), _text(args["ep"])
        lo, hi = _whole(args["from"]), _whole(args["to"])
    except (KeyError, TypeError, ValueError):
        return None
    return Range(lane, epoch, lo, hi) if epoch and 1 <= lo <= hi else None


def _parse(topic_kind: str, data: Mapping[str, object]) -> Down:
    match topic_kind, data.get("t"):
        case "ack", "ack":
            return _ack(data)
        case "ack", "receipt":
            return ReceiptMessage(
                occurrence=_text(data["alarm"]),
                level=_text(data["lvl"]),
                audience=_text(data.get("aud", "")),
                at_ms=_whole_or_none(data.get("at")),
            )
        case "hello", "hello":
            return Hello(
                ack=_whole(data["ack"]),
                max_kb=_whole_or_none(data.get("max_kb")),
                time_ms=_whole_or_none(data.get("time")),
            )
        case "cmd", "cmd":
            args = data.get("args", {})
            if not isinstance(args, dict):
                return Malformed("shape")
            return Command(id=_text(data["id"]), op=_text(data["op"]), args=args)
        case _:
            return Malformed("unknown_type")


def _ack(data: Mapping[str, object]) -> Ack:
    epoch = _text(data["ep"])
    ranges = []
    for lane in Lane:
        for low, high in _rows(data.get(lane.value, [])):
            ranges.append(Range(lane, epoch, _whole(low), _whole(high)))
    nacks = []
    for lane_name, seq, code, *text in _rows(data.get("nack", [])):
        nacks.append(
            Nack(Lane(_text(lane_name)), epoch, _whole(seq), _text(code), *map(_text, text[:1]))
        )
    return Ack(tuple(r for r in ranges if r.lo <= r.hi), tuple(nacks))


def _rows(value: object) -> list[list[object]]:
    if not isinstance(value, list) or len(value) > MAX_RANGES:
        raise TypeError("not a short list")
    if not all(isinstance(row, list) for row in value):
        raise TypeError("not a list of lists")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0 or value >= 2**63:
        raise TypeError("not a whole number")
    return value


def _whole_or_none(value: object) -> int | None:
    return None if value is None else _whole(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise TypeError("not a short text")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _is_deeper(data: object, levels: int) -> bool:
    layer: Sequence[object] = [data]
    for _ in range(levels + 1):
        containers = [item for item in layer if isinstance(item, dict | list)]
        if not containers:
            return False
        layer = [
            child
            for item in containers
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return True


def _head(sender: Sender, type_: str, lane: Lane, seq: int) -> dict[str, object]:
    return {
        "v": VERSION,
        "t": type_,
        "gw": sender.gateway,
        "ep": sender.epoch,
        "lane": lane.value,
        "seq": seq,
    }


def _moment(at: Now) -> dict[str, object]:
    return {
        "at": at.utc_ms,
        "clk": at.clk.value,
        "err": at.err_ms,
        "boot": at.boot,
        "mono": at.mono_ms,
    }


def _words(text: Text) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}


def _value(reading: Reading) -> list[object]:
    if isinstance(reading.value, float) and not math.isfinite(reading.value):
        return [None, Quality.FAULT.value, "not_a_number"]
    if reading.quality is Quality.GOOD:
        return [reading.value]
    return [reading.value, reading.quality.value, *([reading.reason] if reading.reason else [])]


def _plain(value: object) -> object:
    """Return `value` without numbers that JSON does not have."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _point_rows(site: Site) -> Iterator[dict[str, object]]:
    """The points in the order of their index, as published."""
    devices = {device.id: device for device in site.devices}
    return (
        {
            "i": index,
            "id": point.id,
            "dev": point.device,
            "name": point.name,
            "unit": point.unit,
            "kind": point.kind,
            "label": point.label,
            "place": devices[point.device].place,
        }
        for index, (_, point) in enumerate(sorted(site.points.items()))
    )


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _dump(data: object) -> bytes:
    return _encode(data).encode(errors="replace")


def _with_rows(head: bytes, key: str, rows: Iterable[object]) -> bytes:
    """The object in `head`, and as its last member a list."""
    return b"".join([head[:-1], b',"', key.encode(), b'":', *_dump_rows(rows), b"}"])


def _dump_rows(rows: Iterable[object]) -> Iterator[bytes]:
    """A list's text in pieces.

    One call for a long list would keep the interpreter to itself for milliseconds (ADR 019), and
    all its rows in memory at once.
    """
    some, before = iter(rows), b"["
    while part := list(islice(some, ROWS_AT_ONCE)):
        yield before + _dump(part)[1:-1]
        before = b","
    yield b"]" if before == b"," else b"[]"


def _name(gateway: str) -> bytes:
    return b'"gw":' + _encode(gateway).encode(errors="replace")


def _unpack_own(body: bytes) -> bytes:
    return zlib.decompress(body) if body[:1] == b"\x78" else body


def _marked(text: bytes, mark: bytes) -> bytes:
    return b"{" + mark + text[1:]
