"""What the point numbers of stored batches mean: the list of points, kept under its hash.

A batch says by the hash under which list it was written. Lists that the house no longer has are
kept beside the present one, so that what was stored before a change can still be read after it.
"""

import json
from collections.abc import Iterable, Mapping

from gateway.core.turn import Turn
from gateway.domain.kept import Kept

KEPT = "dictionary"  # kind in `domain.kept`; the key is the hash
MOST = 4  # earlier ones

Meaning = Mapping[int, tuple[str, str]]  # number -> point and its unit


def note_dictionary(turn: Turn) -> None:
    """Keep the list of this house's points; let go of the oldest ones beyond `MOST`."""
    sender, points = turn.house.sender, turn.house.points
    if (KEPT, sender.points_hash) in turn.state.kept:
        return
    named = [[name, points[name].unit if name in points else ""] for name in sender.point_index]
    body = {"at": turn.now.utc_ms or 0, "points": named}
    turn.keep(KEPT, sender.points_hash, json.dumps(body, ensure_ascii=False, separators=(",", ":")))
    earlier = sorted(
        ((_at(body), key) for (kind, key), body in turn.state.kept.items() if kind == KEPT),
        reverse=True,
    )
    for _, key in earlier[MOST:]:
        turn.keep(KEPT, key, None)


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
