"""Which migrations each file must have, known without loading the library that applies them.

sqlite-utils takes a tenth of a second and several MB; it is only needed when a file is new or
older than this program (`gateway.store.tables`).
"""

import sqlite3

LATEST = {
    "core": ("records_and_alarm_state", "what_is_kept", "hash_chain_and_salvage"),
    "readings": ("batches", "history_and_salvage"),
}


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
