"""What the decider remembers of the patrol, and how it outlives a restart: as JSON and back.

What is damaged or of another version is left out and planned anew.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gateway.domain.moments import Clk, Now
from gateway.domain.patrol import Checkpoint, Tag, TagKind
from gateway.domain.people import Phone
from gateway.domain.rounds import (
    Draw,
    Flag,
    Round,
    RoundFlag,
    RoundState,
    Via,
    Visit,
)

ROUND, TAG, PHONE, MONTH, UNSURE, PLAN = (
    "round", "patrol_tag", "patrol_phone", "patrol_month", "patrol_unsure", "patrol_plan",
)  # fmt: skip
KINDS = frozenset({ROUND, TAG, PHONE, MONTH, UNSURE, PLAN})
THE_PLAN = "now"  # the key of the one plan


@dataclass(frozen=True, slots=True)
class Plan:
    """How far rounds are rows, and when the gateway last knew the time; UTC ms."""

    until_ms: int | None = None
    floor_ms: int = 0  # rounds that opened by then may have been forgotten: never planned again
    seen_ms: int | None = None
    outs: Mapping[str, int] = field(default_factory=dict)  # out of service, since when
    in_a_row: Mapping[str, int] = field(default_factory=dict)  # missed, by schedule


@dataclass(frozen=True, slots=True)
class Month:
    """Figures of a month of shift dates: `rounds` by outcome, people's by code and then name."""

    rounds: Mapping[str, int] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seen: tuple[str, ...] = ()  # who has looked at their own


@dataclass(frozen=True, slots=True)
class PatrolState:
    rounds: Mapping[str, Round] = field(default_factory=dict)
    registered: Mapping[str, Tag] = field(default_factory=dict)  # by uid
    tags: Mapping[str, Tag] = field(default_factory=dict)  # these, and the file's
    by_token: Mapping[str, str] = field(default_factory=dict)  # digest -> uid
    phones: Mapping[str, Phone] = field(default_factory=dict)  # by digest
    months: Mapping[str, Month] = field(default_factory=dict)
    unsure: Mapping[str, Visit] = field(default_factory=dict)  # of a bad clock, waiting for it
    recent: tuple[tuple[object, ...], ...] = ()  # visits: the same form may be sent twice
    plan: Plan = field(default_factory=Plan)
    is_planned: bool = False  # in this run of the daemon
    was_unsure: bool = False  # the clock, since the rounds were last looked at
    overdue: tuple[str, ...] = ()  # rounds
    overdue_since_ms: int | None = None  # mono; the oldest of them


def tags_of(checkpoints: Mapping[str, Checkpoint], registered: Mapping[str, Tag]) -> dict[str, Tag]:
    """What hangs where: what was registered wins over the file."""
    in_file = {tag.uid: tag for checkpoint in checkpoints.values() for tag in checkpoint.tags}
    return {**in_file, **registered}


def tokens_of(tags: Mapping[str, Tag]) -> dict[str, str]:
    return {tag.token: tag.uid for tag in tags.values() if tag.token and not tag.is_retired}


def to_json(what: Round | Tag | Phone | Month | Visit | Plan) -> str:
    return json.dumps(asdict(what), ensure_ascii=False, separators=(",", ":"))


def patrol_from(
    kept: Mapping[tuple[str, str], str], checkpoints: Mapping[str, Checkpoint]
) -> tuple[PatrolState, tuple[tuple[str, str], ...]]:
    """The patrol as it was, and the keys of what cannot be read."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    damaged = []
    for (kind, key), body in kept.items():
        if kind in KINDS:
            try:
                found[kind][key] = _READERS[kind](json.loads(body))
            except (ValueError, KeyError, TypeError, AttributeError):
                damaged.append((kind, key))
    tags = tags_of(checkpoints, found[TAG])
    state = PatrolState(
        rounds=dict(sorted(found[ROUND].items(), key=lambda item: item[1].opens_ms)),
        registered=found[TAG],
        tags=tags,
        by_token=tokens_of(tags),
        phones=found[PHONE],
        months=found[MONTH],
        unsure=dict(sorted(found[UNSURE].items())),
        plan=found[PLAN].get(THE_PLAN, Plan()),
    )
    return state, tuple(damaged)


def _now(said: Any) -> Now:
    return Now(**{**said, "clk": Clk(said["clk"])})


def _maybe_now(said: Any) -> Now | None:
    return None if said is None else _now(said)


def _visit(said: Any) -> Visit:
    return Visit(
        **{
            **said,
            "at": _now(said["at"]),
            "via": Via(said["via"]),
            "flags": tuple(map(Flag, said["flags"])),
            "bad": tuple(said["bad"]),
            "met": tuple(said["met"]),
        }
    )


def _round(said: Any) -> Round:
    return Round(
        **{
            **said,
            "state": RoundState(said["state"]),
            "stops": tuple(map(str, said["stops"])),
            "draws": tuple(Draw(**draw) for draw in said["draws"]),
            "visits": tuple(map(_visit, said["visits"])),
            "started": _maybe_now(said["started"]),
            "ended": _maybe_now(said["ended"]),
            "flags": tuple(map(RoundFlag, said["flags"])),
            "signed": _maybe_now(said["signed"]),
        }
    )


def _tag(said: Any) -> Tag:
    return Tag(**{**said, "kind": TagKind(said["kind"])})


def _phone(said: Any) -> Phone:
    return Phone(**said)


def _month(said: Any) -> Month:
    return Month(
        _counts(said["rounds"]),
        {str(code): _counts(each) for code, each in said["people"].items()},
        tuple(map(str, said["seen"])),
    )


def _plan(said: Any) -> Plan:
    until, seen = said["until_ms"], said["seen_ms"]
    return Plan(
        until_ms=None if until is None else int(until),
        floor_ms=int(said["floor_ms"]),
        seen_ms=None if seen is None else int(seen),
        outs=_counts(said["outs"]),
        in_a_row=_counts(said["in_a_row"]),
    )


def _counts(said: Any) -> dict[str, int]:
    return {str(name): int(count) for name, count in said.items()}


_READERS = {
    ROUND: _round,
    TAG: _tag,
    PHONE: _phone,
    MONTH: _month,
    UNSURE: _visit,
    PLAN: _plan,
}


def added(month: Month, *, rounds: str = "", person: str = "", counts: Mapping[str, int]) -> Month:
    """The month with one more round of an outcome, and with more in a person's figures."""
    outcomes = Counter(month.rounds)
    if rounds:
        outcomes[rounds] += 1
    people = dict(month.people)
    if person:
        mine = Counter(people.get(person, {}))
        mine.update({name: count for name, count in counts.items() if count})
        people[person] = dict(mine)
    return replace(month, rounds=dict(outcomes), people=people)


def live_rounds(state: PatrolState) -> Iterator[Round]:
    """Those that are not over, in the order in which they open."""
    return (each for each in state.rounds.values() if not each.state.is_over)
