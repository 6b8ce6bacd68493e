"""Make room among readings that nobody has yet: thin, then drop, each once its gap is on record.

    plan -> GapPlanned -> the decider records a gap -> it is durable -> permit -> carry_out

While the gap cannot be recorded nothing is deleted.
"""

import logging
import sqlite3
import time
from dataclasses import dataclass

from gateway.core.thinning import thin_bodies
from gateway.domain.events import GapPlanned
from gateway.domain.records import Lane, Range
from gateway.store import room, rows
from gateway.store.ledger import Ledger
from gateway.store.room import Level

log = logging.getLogger(__name__)

ASK_AGAIN_S = 600.0  # the decider may have failed on it


@dataclass(frozen=True, slots=True)
class _Plan:
    ids: tuple[int, ...]
    event: GapPlanned
    asked_at: float


class Relief:
    """Used by the thread of readings.db; `permitted` is given to it."""

    def __init__(self) -> None:
        self._plan: _Plan | None = None
        self._is_permitted = False

    def plan(
        self, connection: sqlite3.Connection, ledger: Ledger, level: Level
    ) -> GapPlanned | None:
        """What to record before readings are thinned or dropped; None when nothing is to ask."""
        now = time.monotonic()
        if self._plan is not None:
            is_forgotten = not self._is_permitted and self._is_forgotten(now)
            return self._plan.event if is_forgotten else None
        if level < Level.THIN:
            return None
        found, why = room.oldest_unsettled(connection, "read"), "thinned"
        if len(found) < 2 and level is Level.LAST:
            found, why = room.oldest_unsettled(connection, "thin"), "dropped"
        if len(found) < 2:
            return None
        ids = tuple(row_id for row_id, _ in found)
        first, last = rows.position_of(ids[0]), rows.position_of(ids[-1])
        epoch = ledger.names.get(first.ordinal, "")
        event = GapPlanned(Range(Lane.R, epoch, first.seq, last.seq), why)
        self._plan = _Plan(ids, event, now)
        return event

    def _is_forgotten(self, now: float) -> bool:
        plan = self._plan
        if plan is None or now - plan.asked_at < ASK_AGAIN_S:
            return False
        self._plan = _Plan(plan.ids, plan.event, now)
        return True

    def carry_out(
        self, connection: sqlite3.Connection, ledger: Ledger, permitted: set[Range]
    ) -> dict[int, str]:
        """Do what was planned, if its gap is durable; id -> what is wrong with rows left as is.

        What the disk refuses is done when it takes it: its gap is on record once and for all.
        """
        plan = self._plan
        if plan is None:
            return {}
        self._is_permitted = self._is_permitted or plan.event.range in permitted
        if not self._is_permitted:
            return {}
        damaged: dict[int, str] = {}
        if plan.event.why == "dropped":
            ledger.thin(connection, (), plan.ids)
        else:
            damaged = _thin(connection, ledger, plan.ids)
        self._plan, self._is_permitted = None, False
        log.info(
            "store made room how=%s batches=%d from=%d to=%d",
            plan.event.why, len(plan.ids), plan.event.range.lo, plan.event.range.hi,
        )  # fmt: skip
        return damaged


def _thin(connection: sqlite3.Connection, ledger: Ledger, ids: tuple[int, ...]) -> dict[int, str]:
    """Rewrite the batches with fewer readings; those that have none left go.

    What is damaged is not touched, and returned: a new CRC would make it look sound.
    """
    stored = [
        row
        for row_id in ids
        for row in connection.execute(
            "SELECT record.id, body, crc FROM record JOIN pending ON pending.id = record.id"
            " WHERE record.id = ?",
            (row_id,),
        )
    ]
    found = [(row_id, body) for row_id, body, crc in stored if _crc(ledger, row_id, body) == crc]
    sound = {row_id for row_id, _ in found}
    damaged = {
        row_id: f"{rows.lane_of(row_id)} {rows.position_of(row_id).seq}: CRC differs"
        for row_id, *_ in stored
        if row_id not in sound
    }
    try:
        bodies = thin_bodies([body for _, body in found])
    except ValueError as error:  # sound, and no batch of this program's: it goes out as it is
        log.warning("store cannot thin a batch why=%s", error)
        bodies = [body for _, body in found]
    kept = [(row_id, body) for (row_id, _), body in zip(found, bodies, strict=True) if body]
    empty = {row_id for row_id, _ in found} - {row_id for row_id, _ in kept}
    ledger.thin(connection, [(body, _crc(ledger, row_id, body), row_id) for row_id, body in kept],
                empty)  # fmt: skip
    return damaged


def _crc(ledger: Ledger, row_id: int, body: bytes) -> int:
    position = rows.position_of(row_id)
    return rows.crc_of(rows.lane_of(row_id), ledger.names[position.ordinal], position.seq, body)
