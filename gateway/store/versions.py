"""Which migrations each file must have, known without loading the library that applies them.

sqlite-utils takes a tenth of a second and several MB; it is only needed when a file is new or
older than this program (`gateway.store.tables`).
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

LATEST = {
    "core": ("records_and_alarm_state", "what_is_kept", "hash_chain_and_salvage"),
    "readings": ("batches", "history_and_salvage"),
}


_COMMON = frozenset({"record", "pending", "damaged", "epoch", "salvaged"})
TABLES = {
    "core": _COMMON | {"alarm_state", "kept", "checkpoint"},
    "readings": _COMMON | {"point", "history"},
}
_MIGRATIONS = "_sqlite_migrations"  # sqlite-utils keeps its own books there


def foreign_tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    """The tables of a file that no version of this program has made as this schema."""
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%'"
            " ESCAPE '\\' ORDER BY name"
        )
    ]
    if _MIGRATIONS in tables:
        tables.remove(_MIGRATIONS)
        mine = "SELECT 1 FROM _sqlite_migrations WHERE migration_set = ?"
        if connection.execute(mine, (schema,)).fetchone() is not None:
            return []
    return tables


def missing_tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    """The tables that a file of the latest version, and no newer one, should have and has not."""
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    missing = TABLES[schema] - there
    if not missing:
        return []
    newer = connection.execute(
        "SELECT 1 FROM _sqlite_migrations WHERE migration_set = ? AND name NOT IN"
        " (SELECT value FROM json_each(?)) LIMIT 1",
        (schema, json.dumps(LATEST[schema])),
    ).fetchone()
    return [] if newer is not None else sorted(missing)


def is_latest(connection: sqlite3.Connection, schema: str) -> bool:
    """True when every migration of the schema is recorded in the file."""
    try:
        rows = connection.execute(
            "SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (schema,)
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return False
        raise
    return set(LATEST[schema]) <= {name for (name,) in rows}


def newer_than_us(path: Path, schema: str) -> frozenset[str]:
    """Migrations that a file has and this program does not know, looked up without touching it.

    Nothing where the file cannot be read, or has no migrations yet.
    """
    try:  # immutable: neither a lock nor a log is made; what the log has is no older
        where = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(where, uri=True)) as file:
            rows = file.execute(
                "SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (schema,)
            ).fetchall()
    except sqlite3.Error:
        return frozenset()
    return frozenset(name for (name,) in rows) - set(LATEST[schema])
