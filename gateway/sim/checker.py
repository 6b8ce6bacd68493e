"""The judge outside the daemon: each planted alarm must be seen, heard, kept and delivered once.

It knows what was planted, and looks at four things that the daemon leaves behind: the log of the
panel's pins, core.db and readings.db (opened read-only with plain sqlite3), and the platform's
history. It imports nothing that the daemon judges or shows with: the sound table below is its own.
"""

import json
import sqlite3
import zlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.domain.rules import Severity, Sound
from gateway.sim import history
from gateway.sim.story import Plant, Trace

Key = tuple[str, str, int]  # epoch, lane, seq
Message = Mapping[str, Any]

LAMP_OF = {Severity.ALARM: "red", Severity.WARNING: "amber", Severity.FAULT: "yellow"}
HALF_PERIOD_MS = {"red": (60, 400), "amber": (330, 800), "yellow": (330, 800)}  # blinking, not lit
BEATS_MS = {  # field/patrol-and-alarms 5: on, off ... from the onset, for as long as is compared
    Sound.A1: (250, 250) * 4,
    Sound.A2: (100, 100, 100, 100, 100, 100, 100, 800),
    Sound.W: (300, 300, 300, 8300),
    Sound.F: (500, 19_500),
}
FLOOD_MS, FLOOD_ABOVE = 600_000, 10  # more than so many in so long have one sound
HEARD_MS = 1400  # so much of a sound is compared; people wait longer than that before they act
STEP_MS = 10
MISFIT = 0.2  # the nearest two patterns, F and a silent buzzer, differ in 0.36 of the time
SEEN_WITHIN_MS = 12_000  # after its scene began: drift, period, on-delay, two samples
MERGED_MS = 1500  # a blinking lamp may stumble once when the pattern changes
LIT_WITHIN_MS = 1500  # from a raise record to its lamp, blinking or not
PATROL = frozenset({"tap", "visit", "hazard", "round"})  # kinds of record that a patrol leaves


@dataclass(frozen=True, slots=True)
class Edge:
    """One output changed its level; `t_ms` on CLOCK_BOOTTIME."""

    t_ms: float
    role: str  # red, amber, yellow, green, buzzer
    is_on: bool


@dataclass(frozen=True, slots=True)
class Onset:
    """A lamp began to blink; `sound` is what the buzzer began with it, None when nothing known."""

    t_ms: float
    severity: Severity
    sound: Sound | None


@dataclass(frozen=True, slots=True)
class Sown:
    """A planted condition and the moment its scene began.

    A person at the keys makes some of it uncertain: without `must_raise` the alarm may come or
    not; without `must_show` another one may have its lamp or its sound. What comes is compared.
    """

    plant: Plant
    t_ms: float
    must_raise: bool = True
    must_show: bool = True

    @property
    def is_touched(self) -> bool:
        return not (self.must_raise and self.must_show)


@dataclass(frozen=True, slots=True)
class SownTrace:
    """What the patrol must leave behind; without `must` it may, or may not."""

    trace: Trace
    must: bool = True


@dataclass(frozen=True, slots=True)
class Raise:
    """A raise record of the record log; what is None is not known and not compared."""

    key: Key
    rule: str
    severity: Severity
    t_ms: float | None = None  # CLOCK_BOOTTIME
    is_lit: bool | None = None  # the lamp of its severity was lit soon after it


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the daemon left behind and what the platform says it applied."""

    onsets: tuple[Onset, ...]
    raises: tuple[Raise, ...]
    committed: frozenset[Key]
    readings: Mapping[Key, int]  # committed batches of lane R -> readings in each
    applied: Mapping[Key, int]  # how often each record took effect at the platform
    altered: tuple[Key, ...]  # applied with another content than committed
    repeats: int  # records that came to the platform again, and were recognised
    walked: Mapping[Key, Message] = field(default_factory=dict)  # committed, of the patrol


@dataclass(frozen=True, slots=True)
class Match:
    """One planted condition and what became of it."""

    sown: Sown
    onset: Onset | None
    raised: Raise | None
    applied: int


@dataclass(frozen=True, slots=True)
class Found:
    """What was to be left behind of the patrol, and the record that was."""

    sown: SownTrace
    key: Key | None
    applied: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparison; it holds when `problems` is empty."""

    matches: tuple[Match, ...]
    onsets: int
    raises: int
    raises_applied_once: int
    records: int
    records_applied_once: int
    lost: int
    duplicates: int
    repeats: int
    readings: int
    readings_applied: int
    problems: tuple[str, ...]
    found: tuple[Found, ...] = ()

    @property
    def touched(self) -> int:
        """How many planted conditions a person at the keys made uncertain."""
        return sum(match.sown.is_touched for match in self.matches)


def judge(sown: Sequence[Sown], evidence: Evidence, traces: Sequence[SownTrace] = ()) -> Verdict:
    """Match each planted condition to one onset, one raise record and one applied record.

    What nobody planted must not be there, whatever a person at the keys has touched.
    """
    matches, left_onsets, left_raises = _matched(sown, evidence)
    found, left_walked = _found(traces, evidence)
    applied = evidence.applied
    committed = evidence.committed | evidence.readings.keys()
    lost = sorted(key for key in committed if not applied.get(key))
    doubled = sorted(key for key, times in applied.items() if times > 1)
    altered = sorted(evidence.altered)
    strangers = sorted(key for key in applied if key not in committed)
    problems = [
        *(problem for match in matches for problem in _problems_of(match, _may_join(match, sown))),
        *(f"extra onset at the pins: {_told(onset)}" for onset in left_onsets),
        *(f"raise record nobody planted: {_id(r.key)} {r.rule}" for r in left_raises),
        *(
            f"planted, but no such record of the patrol: {each.sown.trace}"
            for each in found
            if each.key is None and each.sown.must
        ),
        *(
            f"record of the patrol that nobody planted: {_id(key)} {evidence.walked[key]['kind']}"
            for key in left_walked
        ),
        *(f"lost: {_id(key)} is committed, the platform never applied it" for key in lost),
        *(f"duplicate: {_id(key)} took effect {applied[key]} times" for key in doubled),
        *(f"altered: the platform has {_id(key)} otherwise than committed" for key in altered),
        *(f"the platform applied {_id(key)}, which is not in the record log" for key in strangers),
    ]
    return Verdict(
        matches=tuple(matches),
        onsets=len(evidence.onsets),
        raises=len(evidence.raises),
        raises_applied_once=sum(applied.get(r.key) == 1 for r in evidence.raises),
        records=len(evidence.committed),
        records_applied_once=sum(applied.get(key) == 1 for key in evidence.committed),
        lost=len(lost),
        duplicates=len(doubled),
        repeats=evidence.repeats,
        readings=sum(evidence.readings.values()),
        readings_applied=sum(n for key, n in evidence.readings.items() if applied.get(key)),
        problems=tuple(problems),
        found=found,
    )


def _matched(
    sown: Sequence[Sown], evidence: Evidence
) -> tuple[list[Match], list[Onset], list[Raise]]:
    """The matches, then the onsets and raises that nobody planted."""
    planted = sorted(sown, key=lambda one: one.t_ms)
    onsets = sorted(evidence.onsets, key=lambda onset: onset.t_ms)
    raised, left_raises = _raises_of(planted, evidence.raises)
    seen: dict[int, Onset] = {}
    # Those with a known moment first: the others are looked for in a longer time.
    for index in sorted(range(len(planted)), key=lambda n: (planted[n].must_show, n)):
        one = planted[index]
        onset = next((o for o in onsets if _is_onset_of(o, one, raised.get(index))), None)
        if onset is not None:
            onsets.remove(onset)
            seen[index] = onset
    matches = [
        Match(one, seen.get(n), r := raised.get(n), evidence.applied.get(r.key, 0) if r else 0)
        for n, one in enumerate(planted)
    ]
    return matches, onsets, left_raises


def _found(traces: Sequence[SownTrace], evidence: Evidence) -> tuple[tuple[Found, ...], list[Key]]:
    """Each trace with the first record that is like it, each record once; then what is left."""
    left = sorted(evidence.walked)
    found = []
    for sown in traces:
        key = next((key for key in left if _is_of(evidence.walked[key], sown.trace)), None)
        if key is not None:
            left.remove(key)
        found.append(Found(sown, key, evidence.applied.get(key, 0) if key is not None else 0))
    return tuple(found), left


def _is_of(message: Message, trace: Trace) -> bool:
    data = message["data"]
    return message["kind"] == trace.kind and all(
        data.get(name) == value for name, value in trace.fields
    )


def _raises_of(
    planted: Sequence[Sown], raises: Sequence[Raise]
) -> tuple[dict[int, Raise], list[Raise]]:
    """Each raise record by the place of its cause: the last planted before it, each once."""
    raised: dict[int, Raise] = {}
    left = []
    for one in raises:
        fits = [
            n
            for n, cause in enumerate(planted)
            if n not in raised
            and cause.plant.rule == one.rule
            and (one.t_ms is None or cause.t_ms <= one.t_ms)
        ]
        if fits:
            raised[fits[0] if one.t_ms is None else fits[-1]] = one
        else:
            left.append(one)
    return raised, left


def _is_onset_of(onset: Onset, sown: Sown, raised: Raise | None) -> bool:
    if onset.severity is not sown.plant.severity:
        return False
    if sown.must_show:
        return 0 <= onset.t_ms - sown.t_ms <= SEEN_WITHIN_MS
    if raised is None or raised.t_ms is None:
        return False
    longest_ms = HALF_PERIOD_MS[LAMP_OF[onset.severity]][1]
    return -longest_ms <= onset.t_ms - raised.t_ms <= LIT_WITHIN_MS


def _may_join(match: Match, sown: Sequence[Sown]) -> bool:
    """True for a warning or fault of a flood: who silenced that has silenced it, its lamp blinks.

    A story that goes round for long is a flood: more than ten in ten minutes. An alarm never joins.
    """
    planted_ms = match.sown.t_ms
    recent = [each for each in sown if 0 <= planted_ms - each.t_ms <= FLOOD_MS]
    return match.sown.plant.severity is not Severity.ALARM and len(recent) > FLOOD_ABOVE


def _problems_of(match: Match, may_join: bool) -> Iterator[str]:
    sown, plant = match.sown, match.sown.plant
    if match.onset is None:
        if sown.must_show:
            lamp = LAMP_OF[plant.severity]
            yield f"planted, but not seen at the pins: {plant.rule} ({lamp} lamp)"
    elif may_join and match.onset.sound is None:
        pass
    elif match.onset.sound is not plant.sound and sown.must_show:
        heard = match.onset.sound or "no known pattern"
        yield f"planted with sound {plant.sound}, heard {heard}: {plant.rule}"
    if match.raised is None:
        if sown.must_raise:
            yield f"planted, but no raise record: {plant.rule}"
    elif match.raised.severity is not plant.severity:
        yield f"planted as {plant.severity}, recorded as {match.raised.severity}: {plant.rule}"
    elif match.raised.is_lit is False:
        yield f"recorded, but its lamp stayed dark: {_id(match.raised.key)} {plant.rule}"


def _id(key: Key) -> str:
    return f"{key[0]}-{key[1]}-{key[2]}"


def _told(onset: Onset) -> str:
    return f"{LAMP_OF[onset.severity]} lamp, sound {onset.sound or 'none'}, at {onset.t_ms:.0f} ms"


# --- what the daemon left behind ------------------------------------------------------------


def read_pins(log: Path) -> list[Edge]:
    """Return the edges of the panel's pin log."""
    return parse_pins(log.read_text(encoding="utf-8").splitlines())


def parse_pins(lines: Iterable[str]) -> list[Edge]:
    """Return the edges that JSON lines of t (ms), pin and level say."""
    edges = (json.loads(line) for line in lines)
    return [Edge(edge["t"], edge["pin"], bool(edge["level"])) for edge in edges]


def read_records(database: Path) -> dict[Key, dict[str, Any]]:
    """Return every message of core.db or readings.db by its identity; the file stays untouched."""
    address = f"{database.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as db:
        rows = db.execute("SELECT lane, epoch, seq, body FROM records ORDER BY id").fetchall()
    return {(epoch, lane, seq): _message(body) for lane, epoch, seq, body in rows}


def read_applied(path: Path) -> dict[Key, list[dict[str, Any]]]:
    """Return what the platform applied, by identity: one message each, if all is well."""
    applied: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for row in history.read_applied(path):
        _, epoch, lane, seq = row.key
        applied[epoch, lane, seq].append(_message(row.body))
    return dict(applied)


def read_repeats(path: Path) -> int:
    """Return how many records came again and were recognised by the platform."""
    return history.read_counts(path).get("duplicates", 0)


def _message(body: bytes) -> dict[str, Any]:
    text = body if body[:1] == b"{" else zlib.decompress(body)
    message = json.loads(text)
    if not isinstance(message, dict):
        raise TypeError("a record that is no object")
    return message


def gather(
    core: Mapping[Key, Message],
    readings: Mapping[Key, Message],
    edges: Iterable[Edge],
    applied: Mapping[Key, Sequence[Message]],
    repeats: int,
) -> Evidence:
    """Put the pieces together; a raise is what a message says with `tr: raise`."""
    committed = {**core, **readings}
    edges = sorted(edges, key=lambda edge: edge.t_ms)
    return Evidence(
        onsets=onsets_of(edges),
        raises=tuple(
            _raise(key, message, edges)
            for key, message in core.items()
            if message["t"] == "alarm" and message["tr"] == "raise"
        ),
        committed=frozenset(core),
        readings={key: len(message["r"]) for key, message in readings.items()},
        applied={key: len(messages) for key, messages in applied.items()},
        altered=tuple(
            key
            for key, messages in applied.items()
            if any(key in committed and _essence(m) != _essence(committed[key]) for m in messages)
        ),
        repeats=repeats,
        walked={key: message for key, message in core.items() if message.get("kind") in PATROL},
    )


def _raise(key: Key, message: Message, edges: Sequence[Edge]) -> Raise:
    severity, t_ms = Severity(message["sev"]), message.get("mono")
    is_lit = None
    if t_ms is not None:
        lamp = [edge for edge in edges if edge.role == LAMP_OF[severity]]
        soon = (edge for edge in lamp if t_ms <= edge.t_ms <= t_ms + LIT_WITHIN_MS)
        is_lit = _is_on(lamp, t_ms) or any(edge.is_on for edge in soon)
    return Raise(key, message["rule"], severity, t_ms, is_lit)


def _essence(message: Message) -> Message:
    """A message without the two marks that may be put on it on its way."""
    return {name: value for name, value in message.items() if name not in ("hist", "durable")}


# --- pins -----------------------------------------------------------------------------------


def onsets_of(edges: Iterable[Edge]) -> tuple[Onset, ...]:
    """Return when each lamp began to blink and what the buzzer began with it, in order of time."""
    by_role: dict[str, list[Edge]] = defaultdict(list)
    for edge in sorted(edges, key=lambda edge: edge.t_ms):
        log = by_role[edge.role]
        if not log or log[-1].is_on is not edge.is_on:  # a level written twice is no edge
            log.append(edge)
    buzzer = by_role["buzzer"]
    onsets = [
        _onset(severity, start, buzzer)
        for severity, lamp in LAMP_OF.items()
        for start in blink_starts(by_role[lamp], *HALF_PERIOD_MS[lamp])
    ]
    return tuple(sorted(onsets, key=lambda onset: onset.t_ms))


def _onset(severity: Severity, lamp_ms: float, buzzer: Sequence[Edge]) -> Onset:
    """The onset at a lamp, at the moment when the buzzer began its pattern, if it began one.

    A lamp that was lit before it blinks shows its onset up to a half period late.
    """
    earliest, latest = lamp_ms - HALF_PERIOD_MS[LAMP_OF[severity]][1], lamp_ms + 150
    begins = [e.t_ms for e in buzzer if e.is_on and earliest <= e.t_ms <= latest]
    fits = {start: sound for start in [*begins, lamp_ms] if (sound := sound_at(buzzer, start))}
    start = min(fits, default=lamp_ms)
    return Onset(start, severity, fits.get(start))


def blink_starts(edges: Sequence[Edge], shortest_ms: float, longest_ms: float) -> list[float]:
    """Return where each run of at least two half periods begins; one stumble does not end a run."""
    starts: list[float] = []
    beats, start, last_end = 0, 0.0, float("-inf")
    for before, after in pairwise(edges):
        if not shortest_ms <= after.t_ms - before.t_ms <= longest_ms:
            continue
        if before.t_ms - last_end > MERGED_MS:
            beats, start = 0, before.t_ms
        beats += 1
        last_end = after.t_ms
        if beats == 2:
            starts.append(start)
    return starts


def sound_at(buzzer: Sequence[Edge], start_ms: float) -> Sound | None:
    """Return the pattern that begins at `start_ms`: the one that fits best, if one fits well."""
    heard = [_is_on(buzzer, start_ms + at) for at in range(0, HEARD_MS, STEP_MS)]
    misfits = {sound: _misfit(heard, beats) for sound, beats in BEATS_MS.items()}
    best = min(misfits, key=lambda sound: misfits[sound])
    return best if misfits[best] <= MISFIT else None


def _misfit(heard: Sequence[bool], beats: Sequence[int]) -> float:
    """Share of the compared time in which the buzzer was not as the pattern says."""
    wrong = sum(is_on is not _is_beat(beats, n * STEP_MS) for n, is_on in enumerate(heard))
    return wrong / len(heard)


def _is_on(edges: Sequence[Edge], t_ms: float) -> bool:
    before = bisect_right(edges, t_ms, key=lambda edge: edge.t_ms)
    return before > 0 and edges[before - 1].is_on


def _is_beat(beats: Sequence[int], at_ms: int) -> bool:
    for index, length in enumerate(beats):
        if at_ms < length:
            return index % 2 == 0
        at_ms -= length
    return False
