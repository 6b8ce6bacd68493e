"""What the point numbers of stored batches mean: the list of points, kept under its hash.

A batch says by the hash under which list it was written. Lists that the house no longer has are
kept beside the present one, so that what was stored before a change can still be read after it.
A birth publishes the present list only; so lists that take each other's place while the platform is
away go up as facts, before the readings under them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from gateway.core.turn import Turn
from gateway.domain.kept import Kept

KEPT = "dictionary"  # kind in `domain.kept`; the key is the hash
MOST = 4  # earlier ones

Meaning = Mapping[int, tuple[str, str]]  # number -> point and its unit


def note_dictionary(turn: Turn) -> None:
    """Keep the list of this house's points; let go of the oldest ones beyond `MOST`.

    A list that is not the first is told upwards, and so is the first when it is replaced.
    """
    sender, points = turn.house.sender, turn.house.points
    if (KEPT, sender.points_hash) in turn.state.kept:
        return
    named = [[name, points[name].unit if name in points else ""] for name in sender.point_index]
    body = {"at": turn.now.utc_ms or 0, "points": named}
    earlier = sorted(
        ((_at(body), key) for (kind, key), body in turn.state.kept.items() if kind == KEPT),
        reverse=True,
    )
    if len(earlier) == 1:
        _tell(turn, earlier[0][1], _points(turn.state.kept[KEPT, earlier[0][1]]))
    if earlier:
        _tell(turn, sender.points_hash, named)
    _keep(turn, sender.points_hash, json.dumps(body, ensure_ascii=False, separators=(",", ":")))
    for _, key in earlier[MOST:]:
        _keep(turn, key, None)


def _keep(turn: Turn, key: str, body: str | None) -> None:
    """For the next start, and for the next change in this one."""
    turn.keep(KEPT, key, body)
    others = {each: body for each, body in turn.state.kept.items() if each != (KEPT, key)}
    kept = others if body is None else {**others, (KEPT, key): body}
    turn.state = replace(turn.state, kept=kept)


def _tell(turn: Turn, key: str, points: object) -> None:
    if points is not None:
        turn.record_fact("dictionary", {"pts": key, "points": points})


def _points(body: str) -> object:
    """The list in a kept body; None when it cannot be read."""
    try:
        return json.loads(body)["points"]
    except (ValueError, KeyError, TypeError):
        return None


def meanings_of(kept: Iterable[Kept]) -> dict[str, Meaning]:
    """By hash what each number means; a list that cannot be read is left out."""
    found: dict[str, Meaning] = {}
    for each in kept:
        if each.kind != KEPT or each.body is None:
            continue
        try:
            points = json.loads(each.body)["points"]
            found[each.key] = {at: (str(name), str(unit)) for at, (name, unit) in enumerate(points)}
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _at(body: str) -> int:
    """UTC of a kept list; one that cannot be read is the oldest."""
    try:
        return int(json.loads(body)["at"])
    except (ValueError, KeyError, TypeError):
        return -1
