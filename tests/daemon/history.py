"""The checker of a run with kills: what was planted, sounded, committed and applied, side by side.

It stands outside the daemon and the simulated platform: it imports nothing of either and is given
plain data. A record is known by (epoch, lane, seq); what happened in the house is known by the
rule and the moment at which its cause was planted, so that a record that comes back under another
id is a duplicate in effect all the same.

planted     A cause is there. It must be heard, and its raise must take effect at the platform.
            Excused is only what was over before the gateway came back from a kill, if no disk had
            its raise at the kill: nobody can know of it afterwards.
sounded     The panel played the alarm. A cause that stands over a kill must sound again after it,
            and so must a raise that was on disk. What had sounded and was not on disk is raised
            anew, under a new id: no loss.
committed   A row stood in a file, at a kill or at the end. It must stay there and take effect.
applied     It took effect at the platform, once. A raise that went out from memory and never
            reached the disk (`durable: false`) does not count against the one that came after it.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str, int]  # epoch, lane, seq
Body = Mapping[str, Any]

OWN_RULES = ("gateway/", "gateway.")  # the gateway's own faults: its link, its many starts ...
ON_ITS_WAY = frozenset({"hist", "durable"})  # marks that a message may get or lose on its way


@dataclass(frozen=True, slots=True)
class Planted:
    """One cause in the house: true from `from_ms` on, and looked after by a person at `until_ms`.

    All on CLOCK_BOOTTIME; the next cause of the same rule comes later than `until_ms`. It stands
    until its raise is committed, or it is brief: over before the gateway that was killed at
    `killed_ms` came back.
    """

    rule: str
    from_ms: float
    until_ms: float
    killed_ms: float | None = None
    is_brief: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """All that a run left behind, in the order in which it happened."""

    planted: Sequence[Planted]
    sounded: Sequence[float]  # moments at which the panel played the alarm's pattern
    committed: Sequence[Body]  # rows of the daemon's files at the end
    waiting: frozenset[Key]  # of these: not yet settled by their own account
    applied: Sequence[Body]  # what took effect at the platform, a row for each time it did
    acknowledged: Sequence[Key]  # what the platform said it has
    at_kills: Sequence[Body] = ()  # rows that the files had when the gateway was killed, each once
    cut_off: frozenset[Key] = frozenset()  # committed once, then lost with the tail of the file
    parked: frozenset[Key] = frozenset()  # refused for good, with a fault in the house
    is_over: bool = True  # the run ended well: nothing of lanes A and B may wait


@dataclass(frozen=True, slots=True)
class Finding:
    """The comparison; the promise is kept when `problems` is empty."""

    planted: int
    excused: int  # of them: over before any disk had their raise
    committed: int
    applied: int
    lost: int
    duplicates: int
    problems: tuple[str, ...] = field(default=())


def check(history: History) -> Finding:
    """Compare the four accounts."""
    at_end = {key_of(body): body for body in history.committed}
    committed = {key_of(body): body for body in history.at_kills} | at_end
    applied = Counter(key_of(body) for body in history.applied)
    excused = _excused(history)
    lost = _lost(history, committed, applied, excused)
    lost += [
        f"lost: {name_of(key)} was on disk when the gateway was killed and is in no file now"
        for key in committed.keys() - at_end.keys() - history.cut_off
    ]
    doubled = _doubled(history, committed, applied)
    return Finding(
        planted=len(history.planted),
        excused=len(excused),
        committed=len(committed),
        applied=len(applied),
        lost=len(lost),
        duplicates=len(doubled),
        problems=(
            *lost,
            *doubled,
            *_unheard(history, excused),
            *_strangers(history, committed),
            *_altered(history, committed),
            *_unfinished(history),
        ),
    )


def key_of(body: Body) -> Key:
    return body["ep"], body["lane"], body["seq"]


def name_of(key: Key) -> str:
    return f"{key[0]}-{key[1]}-{key[2]}"


def _excused(history: History) -> frozenset[Planted]:
    """Brief causes whose raise was on no disk at the kill."""
    on_disk = _by_rule(history.at_kills)
    return frozenset(
        plant
        for plant in history.planted
        if plant.is_brief
        and plant.killed_ms is not None
        and not any(plant.from_ms <= b["mono"] <= plant.killed_ms for b in on_disk[plant.rule])
    )


def _lost(
    history: History,
    committed: Mapping[Key, Body],
    applied: Counter[Key],
    excused: frozenset[Planted],
) -> list[str]:
    """Committed and given up, acknowledged and not there, or planted and never on record."""
    done = [key for key in committed if key not in history.waiting | history.parked]
    said = set(history.acknowledged)
    return [
        *(f"lost: {name_of(key)} counts as settled, the platform never applied it"
          for key in done if not applied[key]),
        *(f"lost: the platform acknowledged {name_of(key)} and does not have it"
          for key in sorted(said) if not applied[key]),
        *(f"lost: {plant.rule} at {plant.from_ms:.0f} ms was planted and never raised upstream"
          for plant, raises in _raises_of(history) if not raises and plant not in excused),
    ]  # fmt: skip


def _doubled(history: History, committed: Mapping[Key, Body], applied: Counter[Key]) -> list[str]:
    """One cause, one raise: under whatever id the second one comes."""

    def counts(body: Body) -> bool:
        """A raise from memory that no disk ever had is raised again after the kill."""
        return body.get("durable") is not False or key_of(body) in committed

    raised = [
        (plant, sorted({name_of(key_of(body)) for body in raises if counts(body)}))
        for plant, raises in _raises_of(history)
    ]
    return [
        *(f"duplicate: {name_of(key)} took effect {times} times"
          for key, times in sorted(applied.items()) if times > 1),
        *(f"duplicate: {plant.rule} at {plant.from_ms:.0f} ms took effect as {', '.join(names)}"
          for plant, names in raised if len(names) > 1),
    ]  # fmt: skip


def _raises_of(history: History) -> Iterable[tuple[Planted, list[Body]]]:
    """Each cause with the raises of its rule that took effect, until the next one was planted."""
    raises = _by_rule(history.applied)
    ends: dict[str, float] = {}
    for plant in reversed(history.planted):
        end = ends.get(plant.rule, float("inf"))
        ends[plant.rule] = plant.from_ms
        yield plant, [b for b in raises[plant.rule] if plant.from_ms <= b["mono"] < end]


def _by_rule(bodies: Iterable[Body]) -> Mapping[str, list[Body]]:
    """The raises among them."""
    raises: defaultdict[str, list[Body]] = defaultdict(list)
    for body in bodies:
        if body.get("tr") == "raise":
            raises[body["rule"]].append(body)
    return raises


def _unheard(history: History, excused: frozenset[Planted]) -> Iterable[str]:
    """Causes that did not sound in time, or not again after the kill."""
    sounded = sorted(history.sounded)
    for plant in history.planted:
        from_ms = plant.from_ms if plant.killed_ms is None else plant.killed_ms
        at = bisect_left(sounded, from_ms)
        if plant not in excused and (at == len(sounded) or sounded[at] > plant.until_ms):
            yield f"silent: {plant.rule} at {plant.from_ms:.0f} ms was planted and never sounded"


def _strangers(history: History, committed: Mapping[Key, Body]) -> Iterable[str]:
    """What only the platform knows: right after a lost tail or a disk that hung, else not."""
    for body in history.applied:
        key = key_of(body)
        if key in committed or key in history.cut_off or body.get("durable") is False:
            continue
        yield f"stranger: the platform applied {name_of(key)}, which no file of the house has"
    planted = {plant.rule for plant in history.planted}
    for body in history.applied:
        rule = str(body.get("rule", "gateway/"))
        if not rule.startswith(OWN_RULES) and rule not in planted:
            yield f"stranger: {name_of(key_of(body))} is of {rule}, which nobody planted"


def _altered(history: History, committed: Mapping[Key, Body]) -> Iterable[str]:
    for body in history.applied:
        mine = committed.get(key_of(body))
        if mine is not None and _essence(mine) != _essence(body):
            yield f"altered: {name_of(key_of(body))} arrived otherwise than it was committed"


def _unfinished(history: History) -> Iterable[str]:
    if history.is_over:
        for key in sorted(k for k in history.waiting - history.parked if k[1] != "R"):
            yield f"unfinished: {name_of(key)} still waits for its acknowledgement"


def _essence(body: Body) -> Body:
    return {name: value for name, value in body.items() if name not in ON_ITS_WAY}
