"""What the decider knows again after a restart: the alarms and what is `kept`.

Two sides of each: what the file should say and what it does say. They differ after a file was
replaced, or read back older than what was confirmed; the next commit then writes the difference.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.domain.alarms import Alarm
from gateway.domain.kept import Kept
from gateway.domain.records import Lane
from gateway.store import rows
from gateway.store.alarms import alarm_from_json, alarm_to_json, is_forgettable

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W", Alarm, Kept)
Row = tuple[object, ...]
Key = tuple[str, str]  # kind, key

_UNWRITABLE = (
    ValueError,
    TypeError,
    AttributeError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.IntegrityError,
)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was saved before this start; empty when the disk does not answer."""

    alarms: tuple[Alarm, ...] = ()
    kept: tuple[Kept, ...] = ()  # every body is text
    heads: Mapping[Lane, str] = field(default_factory=dict)  # of the record chains, in hex


@dataclass(slots=True)
class Change:
    """What one transaction wrote of it; None = deleted. Counts once the transaction is durable."""

    alarms: dict[str, Alarm | None] = field(default_factory=dict)
    kept: dict[Key, Kept | None] = field(default_factory=dict)
    asked_alarms: Mapping[str, Alarm] = field(default_factory=dict)
    asked_kept: Mapping[Key, Kept] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


class Remembered:
    """Used by the writer's thread only."""

    def __init__(self) -> None:
        self._alarms: dict[str, Alarm] = {}  # what the file should say
        self._kept: dict[Key, Kept] = {}
        self._saved_alarms: dict[str, Alarm] = {}  # what it does say
        self._saved_kept: dict[Key, Kept] = {}
        self._must_resave = False  # the file that was opened may not say what it should

    @property
    def restored(self) -> Restored:
        return Restored(tuple(self._alarms.values()), tuple(self._kept.values()))

    @property
    def must_resave(self) -> bool:
        return self._must_resave

    def load(self, connection: sqlite3.Connection, *, is_start: bool) -> list[str]:
        """Read what the file says; what is wrong with rows that cannot be read.

        At the start that is also what it should say. Later this process knows better, and so does
        a file that was damaged, or could not be written, and was read all the same.
        """
        alarms, wrong_alarms = _read_alarms(connection)
        kept, wrong_kept = _read_kept(connection)
        self._saved_alarms, self._saved_kept = alarms, kept
        is_known = bool(self._alarms or self._kept)
        if is_start and not is_known:
            self._alarms, self._kept = dict(alarms), dict(kept)
        self._must_resave = is_known and (self._alarms, self._kept) != (alarms, kept)
        return [*wrong_alarms, *wrong_kept]

    def rescue(self, connection: sqlite3.Connection) -> None:
        """At the start, take what a file still says; sqlite3.Error when it does not say all."""
        self._alarms, _ = _read_alarms(connection)
        self._kept, _ = _read_kept(connection)

    def forget_file(self) -> None:
        """The file is gone: nothing is saved of what should be."""
        self._saved_alarms, self._saved_kept = {}, {}

    def save(
        self,
        connection: sqlite3.Connection,
        alarms: Mapping[str, Alarm],
        kept: Mapping[Key, Kept],
    ) -> Change:
        """Write what differs from what the file says, within the caller's transaction."""
        if self._must_resave:
            alarms, kept = {**self._alarms, **alarms}, {**self._kept, **kept}
        change = Change(asked_alarms=alarms, asked_kept=kept)
        wanted_alarms = [self._alarm_row(connection, alarm, change) for alarm in alarms.values()]
        into = "INSERT OR REPLACE INTO alarm_state (rule, state, body)"
        for alarm in _written(connection, into, filter(None, wanted_alarms), change.refused):
            change.alarms[alarm.rule] = alarm
        wanted_kept = [self._kept_row(connection, each, change) for each in kept.values()]
        into = "INSERT OR REPLACE INTO kept (kind, key, body, crc)"
        for each in _written(connection, into, filter(None, wanted_kept), change.refused):
            change.kept[each.kind, each.key] = each
        return change

    def confirm(self, change: Change) -> None:
        """The transaction of `change` is durable."""
        self._alarms.update(change.asked_alarms)
        self._kept.update(change.asked_kept)
        self._must_resave = False
        for rule, alarm in change.alarms.items():
            _put(self._saved_alarms, rule, alarm)
        for key, each in change.kept.items():
            _put(self._saved_kept, key, each)
        for rule, alarm in change.asked_alarms.items():
            if is_forgettable(alarm):
                del self._alarms[rule]
        for key, each in change.asked_kept.items():
            if each.body is None:
                del self._kept[key]

    def _alarm_row(
        self, connection: sqlite3.Connection, alarm: Alarm, change: Change
    ) -> tuple[Row, Alarm] | None:
        """What is to be inserted of it; what is to be forgotten is deleted here."""
        if is_forgettable(alarm):
            if alarm.rule in self._saved_alarms:
                connection.execute("DELETE FROM alarm_state WHERE rule = ?", (alarm.rule,))
                change.alarms[alarm.rule] = None
        elif self._saved_alarms.get(alarm.rule) != alarm:
            try:
                return (alarm.rule, alarm.state.value, alarm_to_json(alarm)), alarm
            except _UNWRITABLE as error:
                change.refused.append(f"{_name_of(alarm)}: {error!r}")
        return None

    def _kept_row(
        self, connection: sqlite3.Connection, kept: Kept, change: Change
    ) -> tuple[Row, Kept] | None:
        """As `_alarm_row`."""
        key = kept.kind, kept.key
        if kept.body is None:
            if key in self._saved_kept:
                connection.execute("DELETE FROM kept WHERE kind = ? AND key = ?", key)
                change.kept[key] = None
        elif self._saved_kept.get(key) != kept:
            try:
                return (*key, kept.body, _crc_of(kept.kind, kept.key, kept.body)), kept
            except _UNWRITABLE as error:
                change.refused.append(f"{_name_of(kept)}: {error!r}")
        return None


def _written(
    connection: sqlite3.Connection,
    into: str,
    wanted: Iterable[tuple[Row, W]],
    refused: list[str],
) -> list[W]:
    """Insert rows together, or each alone when one of them cannot be; return what was written."""
    pairs = list(wanted)
    try:
        rows.insert(connection, into, [row for row, _ in pairs])
    except _UNWRITABLE:
        pass
    else:
        return [what for _, what in pairs]
    written = []
    for row, what in pairs:
        try:
            rows.insert(connection, into, [row])
        except _UNWRITABLE as error:
            refused.append(f"{_name_of(what)}: {error!r}")
        else:
            written.append(what)
    return written


def _name_of(what: Alarm | Kept) -> str:
    return f"alarm {what.rule}" if isinstance(what, Alarm) else f"kept {what.kind} {what.key}"


def _put(said: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        said.pop(key, None)
    else:
        said[key] = value


def _read_alarms(connection: sqlite3.Connection) -> tuple[dict[str, Alarm], list[str]]:
    found: dict[str, Alarm] = {}
    wrong: list[str] = []
    select = "SELECT CAST(rule AS BLOB), CAST(body AS BLOB) FROM alarm_state ORDER BY rule"
    for rule, body in connection.execute(select):  # as bytes: bent text must not end the reading
        try:
            found[rule.decode()] = alarm_from_json(body.decode())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            wrong.append(f"alarm {rule.decode(errors='replace')}: {error!r}")
    return found, wrong


def _read_kept(connection: sqlite3.Connection) -> tuple[dict[Key, Kept], list[str]]:
    found: dict[Key, Kept] = {}
    wrong: list[str] = []
    select = "SELECT CAST(kind AS BLOB), CAST(key AS BLOB), CAST(body AS BLOB), crc FROM kept"
    for kind, key, body, crc in connection.execute(f"{select} ORDER BY kind, key"):
        if zlib.crc32(b"/".join((kind, key, body))) == crc:
            found[kind.decode(), key.decode()] = Kept(kind.decode(), key.decode(), body.decode())
        else:
            name = b" ".join((kind, key)).decode(errors="replace")
            wrong.append(f"kept {name}: CRC differs")
    return found, wrong


def _crc_of(kind: str, key: str, body: str) -> int:
    return zlib.crc32(f"{kind}/{key}/{body}".encode())
