"""What a platform owes a gateway, judged from what one gateway sent and heard.

Pure: `gateway/sim/visitor.py` plays the gateway and notes everything; here it is compared. A duty
is kept, broken, or could not be seen: when a platform never answers, nothing can be said of how
it acknowledges copies. The numbers are those of docs/contract/platform-duties.md.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.core.messages import (
    Ack,
    Command,
    Down,
    Hello,
    Malformed,
    ReceiptMessage,
    parse_down,
    replay_of,
)
from gateway.domain.records import Lane
from gateway.domain.text import Text

Key = tuple[Lane, str, int]  # lane, epoch, seq
MOST_KEYS = 100_000  # that one ack may name: a range over all numbers is not counted out
LEVELS = ("stored", "sent", "seen")
OPERATIONS = ("describe", "post_check", "replay")


class Outcome(StrEnum):
    KEPT = "kept"
    BROKEN = "broken"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a platform may take, in ms."""

    hello: int = 30_000
    alarms: int = 2_000
    others: int = 5_000
    receipts: int = 180_000  # what a site waits before it tells its people to telephone
    replay: int = 3_000  # in which it asks for what it lost, if it does


@dataclass(frozen=True, slots=True)
class Sent:
    """One record; `times` has a moment for each copy. `part` says what it was sent to see."""

    key: Key
    times: tuple[int, ...]
    part: str = "plain"  # plain, order, late, hole, poison, after, lost, burst, away, again
    what: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of the platform, on `dn/{kind}`."""

    at_ms: int
    kind: str
    payload: bytes
    is_retained: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """An alarm whose way to its audiences is looked at."""

    occurrence: str
    audiences: tuple[str, ...]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Visit:
    """Everything of one visit, in the order in which it happened."""

    births: tuple[int, ...]
    sent: tuple[Sent, ...]
    heard: tuple[Heard, ...]
    real: Asked | None = None  # sent as real, with audiences
    practice: frozenset[str] = frozenset()  # occurrences of test alarms
    applied: Mapping[Key, int] | None = None  # how often each record took effect
    away: tuple[int, int] | None = None  # from when until when the platform was not there
    over: frozenset[str] = frozenset()  # occurrences whose end was sent before their raise
    acked: frozenset[str] = frozenset()  # occurrences acknowledged before they were raised
    shown: Mapping[str, str] | None = None  # state of each occurrence as the platform shows it


@dataclass(frozen=True, slots=True)
class Judged:
    """One duty and what became of it; `detail` names the first thing that is wrong."""

    duty: str
    number: int
    say: Text
    outcome: Outcome
    detail: str = ""


@dataclass(slots=True)
class _Answers:
    """What was heard, sorted by what it is about."""

    parsed: list[tuple[Heard, Down]] = field(default_factory=list)
    acked: dict[Key, list[int]] = field(default_factory=lambda: defaultdict(list))
    nacked: dict[Key, list[str]] = field(default_factory=lambda: defaultdict(list))
    boundless: list[str] = field(default_factory=list)

    def first(self, key: Key) -> int | None:
        return min(self.acked[key], default=None) if key in self.acked else None


@dataclass(frozen=True, slots=True)
class _Seen:
    visit: Visit
    answers: _Answers
    limits: Limits


Found = tuple[Outcome, str]
KEPT: Found = (Outcome.KEPT, "")
UNSEEN: Found = (Outcome.UNSEEN, "")


def judge(visit: Visit, limits: Limits) -> tuple[Judged, ...]:
    """Compare what was sent with what was heard, duty by duty."""
    seen = _Seen(visit, _sorted_out(visit.heard), limits)
    return tuple(
        Judged(name, number, say, *look(seen)) for name, (number, say, look) in DUTIES.items()
    )


def _sorted_out(heard: Iterable[Heard]) -> _Answers:
    answers = _Answers()
    for message in heard:
        said = parse_down(message.kind, message.payload)
        answers.parsed.append((message, said))
        if not isinstance(said, Ack):
            continue
        for each in said.ranges:
            if each.hi - each.lo >= MOST_KEYS:
                answers.boundless.append(f"{each.epoch} {each.lane} {each.lo}-{each.hi}")
                continue
            for seq in range(each.lo, each.hi + 1):
                answers.acked[each.lane, each.epoch, seq].append(message.at_ms)
        for nack in said.nacks:
            if not nack.is_transient:
                answers.nacked[nack.lane, nack.epoch, nack.seq].append(nack.code)
    return answers


def _name(key: Key) -> str:
    return f"{key[1]}-{key[0]}-{key[2]}"


def _broken(problems: Iterable[str], is_seen: bool = True) -> Found:
    """Broken with the first problem and how many more; kept without any."""
    found = list(problems)
    if found:
        more = f" (+{len(found) - 1})" if len(found) > 1 else ""
        return Outcome.BROKEN, found[0] + more
    return KEPT if is_seen else UNSEEN


def _good(visit: Visit, *parts: str) -> list[Sent]:
    return [s for s in visit.sent if s.part != "poison" and (not parts or s.part in parts)]


_JUDGED_APART = ("away", "again", "lost")  # by a duty of their own


# -- the duties ---------------------------------------------------------------------------------


def _hello(seen: _Seen) -> Found:
    hellos = [message.at_ms for message, said in seen.answers.parsed if isinstance(said, Hello)]
    late = [
        f"birth {number}: no hello within {seen.limits.hello / 1000:g} s"
        for number, born in enumerate(seen.visit.births, 1)
        if not any(born <= at <= born + seen.limits.hello for at in hellos)
    ]
    return _broken(late)


def _understood(seen: _Seen) -> Found:
    bad = [
        f"dn/{message.kind}: {said.why}: {message.payload[:60]!r}"
        for message, said in seen.answers.parsed
        if isinstance(said, Malformed)
    ]
    bad += [
        f"dn/cmd: no gateway knows op {said.op[:40]!r}"
        for _, said in seen.answers.parsed
        if isinstance(said, Command) and said.op not in OPERATIONS
    ]
    return _broken(bad, bool(seen.answers.parsed))


def _not_retained(seen: _Seen) -> Found:
    return _broken(f"dn/{m.kind} is retained" for m, _ in seen.answers.parsed if m.is_retained)


def _takes(seen: _Seen) -> Found:
    good = [s for s in _good(seen.visit) if s.part not in _JUDGED_APART]
    if not seen.answers.acked and not seen.answers.nacked and _hello(seen)[1]:
        return UNSEEN  # it does not speak at all: that is told already
    return _broken(
        f"{_name(s.key)} ({s.what}): "
        + (
            f"refused: {seen.answers.nacked[s.key][0]}"
            if s.key in seen.answers.nacked
            else "no answer"
        )
        for s in good
        if s.key not in seen.answers.acked
    )


def _in_time(seen: _Seen, lanes: tuple[Lane, ...], limit: int) -> Found:
    took = {
        sent.key: first - sent.times[0]
        for sent in _good(seen.visit)
        if sent.part not in (*_JUDGED_APART, "burst") and sent.key[0] in lanes
        if (first := seen.answers.first(sent.key)) is not None
    }
    slow = sorted((ms, key) for key, ms in took.items() if ms > limit)
    told = f"{_name(slow[-1][1])} took {slow[-1][0] / 1000:.1f} s" if slow else ""
    return _broken([f"{told} ({len(slow)}/{len(took)})"] if slow else [], bool(took))


def _alarms_at_once(seen: _Seen) -> Found:
    return _in_time(seen, (Lane.A,), seen.limits.alarms)


def _others_in_time(seen: _Seen) -> Found:
    return _in_time(seen, (Lane.B, Lane.R), seen.limits.others)


def _copies(seen: _Seen) -> Found:
    """A copy is sent when the first was acknowledged: it must be acknowledged once more."""
    copies = [s for s in _good(seen.visit) if len(s.times) > 1 and s.key in seen.answers.acked]
    return _broken(
        (f"{_name(s.key)}: the copy was not acknowledged" for s in copies
         if max(seen.answers.acked[s.key]) < s.times[-1]),
        bool(copies),
    )  # fmt: skip


def _any_order(seen: _Seen) -> Found:
    some = _good(seen.visit, "order", "late", "hole")
    return _broken(
        (f"{_name(s.key)} ({s.part}) was not acknowledged" for s in some
         if s.key not in seen.answers.acked),
        bool(some),
    ) if seen.answers.acked else UNSEEN  # fmt: skip


def _only_what_came(seen: _Seen) -> Found:
    sent = {s.key: s.times[0] for s in seen.visit.sent}
    wrong = [
        f"{_name(key)} was acknowledged "
        + ("before it was sent" if key in sent else "and never sent")
        for key, times in seen.answers.acked.items()
        if key not in sent or min(times) < sent[key]
    ]
    wrong += [f"boundless range {each}" for each in seen.answers.boundless]
    return _broken(wrong, bool(seen.answers.acked))


def _answers_once(seen: _Seen) -> Found:
    """Each copy one answer; after its own restart a platform may repeat what it said."""
    until = seen.visit.away[0] if seen.visit.away else 2**62
    often = {
        s.key: sum(at < until for at in seen.answers.acked[s.key])
        for s in _good(seen.visit)
        if s.key in seen.answers.acked and s.part not in (*_JUDGED_APART, "burst")
    }
    return _broken(
        (f"{_name(s.key)}: sent {len(s.times)} times, acknowledged {often[s.key]} times"
         for s in seen.visit.sent if often.get(s.key, 0) > len(s.times)),
        bool(often),
    )  # fmt: skip


def _refuses(seen: _Seen) -> Found:
    poison = [s for s in seen.visit.sent if s.part == "poison"]
    if not seen.answers.acked and not seen.answers.nacked:
        return UNSEEN
    return _broken(
        (f"{_name(s.key)} ({s.what}): "
         + ("acknowledged" if s.key in seen.answers.acked else "no nack")
         for s in poison if s.key not in seen.answers.nacked),
        bool(poison),
    )  # fmt: skip


def _goes_on(seen: _Seen) -> Found:
    after = _good(seen.visit, "after")
    if not seen.answers.acked:
        return UNSEEN
    return _broken(
        (f"{_name(s.key)}, sent after a broken one, was not acknowledged" for s in after
         if s.key not in seen.answers.acked),
        bool(after),
    )  # fmt: skip


def _receipts_of(answers: _Answers, occurrence: str) -> Iterator[tuple[int, str, str]]:
    for message, said in answers.parsed:
        if isinstance(said, ReceiptMessage) and said.occurrence == occurrence:
            yield message.at_ms, said.audience, said.level


def _receipts(seen: _Seen) -> Found:
    real = seen.visit.real
    if real is None or not seen.answers.acked:
        return UNSEEN
    first: dict[tuple[str, str], int] = {}
    problems = []
    for at, audience, level in _receipts_of(seen.answers, real.occurrence):
        if audience not in real.audiences or level not in LEVELS:
            problems.append(f"{audience or '?'} {level}: nobody of the hint, or no level")
        first.setdefault((audience, level), at)
    for audience in real.audiences:
        times = [first[audience, level] for level in LEVELS if (audience, level) in first]
        passed = [first[audience, level] for level in LEVELS[1:] if (audience, level) in first]
        if not passed or min(passed) - real.at_ms > seen.limits.receipts:
            problems.append(f"{audience}: no sent or seen within {seen.limits.receipts / 1000:g} s")
        if times != sorted(times):
            problems.append(f"{audience}: stored, sent, seen came in another order")
    return _broken(problems)


def _receipts_again(seen: _Seen) -> Found:
    """After a later birth, those of before come once more."""
    if seen.visit.real is None or len(seen.visit.births) < 2:
        return UNSEEN
    born = seen.visit.births[-1]
    heard = list(_receipts_of(seen.answers, seen.visit.real.occurrence))
    before = {(audience, level) for at, audience, level in heard if at < born}
    again = {(audience, level) for at, audience, level in heard if at >= born}
    return _broken(
        (f"{audience} {level} was not sent again after a birth"
         for audience, level in sorted(before - again)),
        bool(before),
    )  # fmt: skip


def _practice(seen: _Seen) -> Found:
    passed_on = [
        f"{said.audience} {said.level} for {said.occurrence}, which is a test"
        for _, said in seen.answers.parsed
        if isinstance(said, ReceiptMessage) and said.occurrence in seen.visit.practice
    ]
    return _broken(passed_on, bool(seen.visit.practice))


def _post_check(seen: _Seen) -> Found:
    asked = [
        said
        for _, said in seen.answers.parsed
        if isinstance(said, Command) and said.op == "post_check"
    ]
    wrong = []
    for command in asked:
        minutes = command.args.get("minutes", 10)
        if type(minutes) is not int or not 1 <= minutes <= 255:
            wrong.append(f"{command.id}: minutes {minutes!r}")
        if not command.id:
            wrong.append("a command without id")
    often = Counter((command.id, str(command.args)) for command in asked)
    ids = Counter(id_ for id_, _ in often)
    wrong += [f"{id_}: one id for two questions" for id_, count in ids.items() if count > 1]
    return _broken(wrong, bool(asked))


def _keeps(seen: _Seen) -> Found:
    if seen.visit.applied is None or not seen.answers.acked:
        return UNSEEN
    return _broken(
        f"{_name(s.key)} is acknowledged and not there"
        for s in seen.visit.sent
        if s.key in seen.answers.acked and not seen.visit.applied.get(s.key)
    )


def _once(seen: _Seen) -> Found:
    if seen.visit.applied is None or not seen.answers.acked:
        return UNSEEN
    often = {s.key: seen.visit.applied.get(s.key, 0) for s in seen.visit.sent}
    return _broken(f"{_name(key)} took effect {n} times" for key, n in often.items() if n > 1)


def _session(seen: _Seen) -> Found:
    away = _good(seen.visit, "away")
    return _broken(
        (f"{_name(s.key)}, sent while the platform was away, was not acknowledged"
         for s in away if s.key not in seen.answers.acked),
        bool(away) and seen.visit.away is not None,
    )  # fmt: skip


def _subscribes_again(seen: _Seen) -> Found:
    """The broker was restarted and may have forgotten its sessions."""
    again = _good(seen.visit, "again")
    return _broken(
        (f"{_name(s.key)}, sent after the broker was restarted, was not acknowledged"
         for s in again if s.key not in seen.answers.acked),
        bool(again),
    )  # fmt: skip


def _shown(seen: _Seen) -> Found:
    """What happened last is shown, whatever came last; what is over need not be shown at all."""
    shown = seen.visit.shown
    if shown is None or not seen.answers.acked:
        return UNSEEN
    wrong = [
        f"{occurrence} is shown as {shown[occurrence]}, its end came before its raise"
        for occurrence in sorted(seen.visit.over)
        if shown.get(occurrence, "N") != "N"
    ]
    wrong += [
        f"{occurrence} is shown as {shown.get(occurrence, 'nothing')}, it was acknowledged (AA)"
        for occurrence in sorted(seen.visit.acked)
        if shown.get(occurrence) != "AA"
    ]
    return _broken(wrong, bool(seen.visit.over or seen.visit.acked))


def _replay(seen: _Seen) -> Found:
    """Whoever asks for what he lost says so rightly, and acknowledges what comes again."""
    asked = [
        said for _, said in seen.answers.parsed if isinstance(said, Command) and said.op == "replay"
    ]
    wrong = [
        f"{command.id}: no lane, ep, from and to: {json.dumps(dict(command.args))[:80]}"
        for command in asked
        if replay_of(command.args) is None
    ]
    lost = _good(seen.visit, "lost")
    wrong += [
        f"{_name(s.key)}, asked for and sent again, was not acknowledged"
        for s in lost
        if s.key not in seen.answers.acked
    ]
    return _broken(wrong, bool(lost))


def _hello_on_start(seen: _Seen) -> Found:
    if seen.visit.away is None:
        return UNSEEN
    back = seen.visit.away[1]
    hellos = [message.at_ms for message, said in seen.answers.parsed if isinstance(said, Hello)]
    is_there = any(back <= at <= back + seen.limits.hello for at in hellos)
    return KEPT if is_there else (Outcome.BROKEN, "no hello after the platform came back")


DUTIES = {
    "hello": (6, Text("每次上线都问候", "says hello on each birth"), _hello),
    "hello_on_start": (
        6, Text("平台重启后问候已知网关", "says hello when it starts again"), _hello_on_start,
    ),
    "not_retained": (6, Text("下行不保留", "retains nothing it sends"), _not_retained),
    "understood": (2, Text("下行消息合规", "sends only messages of the contract"), _understood),
    "takes": (4, Text("收下每一种记录", "takes every kind of record"), _takes),
    "alarms_at_once": (4, Text("报警立即应答", "acknowledges alarms at once"), _alarms_at_once),
    "others_in_time": (4, Text("其余按时应答", "acknowledges the others in time"),
                       _others_in_time),
    "copies": (4, Text("重复的也应答", "acknowledges copies again"), _copies),
    "answers_once": (4, Text("一份一答", "answers each copy once"), _answers_once),
    "any_order": (3, Text("乱序、迟到的也收", "takes them late and in any order"), _any_order),
    "only_what_came": (4, Text("只应答收到的", "acknowledges only what came"), _only_what_came),
    "refuses": (5, Text("坏记录明确拒收", "refuses broken records by nack"), _refuses),
    "goes_on": (5, Text("坏记录不挡路", "goes on after a broken record"), _goes_on),
    "session": (1, Text("不在时的记录不丢", "keeps its session while away"), _session),
    "subscribes_again": (
        1, Text("消息服务器重启后重新订阅", "subscribes again after the broker's restart"),
        _subscribes_again,
    ),
    "keeps": (4, Text("应答了的都在", "keeps what it acknowledged"), _keeps),
    "once": (3, Text("每条只生效一次", "applies each record once"), _once),
    "shown": (
        9, Text("按发生先后显示", "shows what happened last, not what came last"), _shown,
    ),
    "replay": (18, Text("缺的会要，补来的也应答", "asks for what it lost and acknowledges it"),
               _replay),
    "receipts": (8, Text("各方回执：已存、已送、已看", "gives receipts of each audience"),
                 _receipts),
    "receipts_again": (8, Text("上线后补发回执", "sends receipts again on a birth"),
                       _receipts_again),
    "practice": (12, Text("测试不外传", "passes on no test"), _practice),
    "post_check": (14, Text("查岗命令合规", "asks post checks as agreed"), _post_check),
}  # fmt: skip
