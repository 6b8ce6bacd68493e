import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from gateway.domain.records import Lane
from gateway.store import rows, tables, versions
from gateway.store.rows import Position

SCHEMAS = Path(__file__).with_name("schemas")
LATEST = {"core": (tables.core, "core-3.sql"), "readings": (tables.readings, "readings-2.sql")}


def _schema(connection: sqlite3.Connection) -> str:
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    return "".join(f"{sql};\n" for (sql,) in found)


@pytest.mark.parametrize("name", LATEST)
def test_a_new_file_has_the_dumped_schema(name: str):
    migrations, dump = LATEST[name]
    connection = sqlite3.connect(":memory:")
    migrations.apply(Database(connection))
    assert _schema(connection) == (SCHEMAS / dump).read_text()
    applied = [each.name for each in migrations.applied(Database(connection))]
    assert applied == [each.name for each in migrations._migrations]


@pytest.mark.parametrize("dump", sorted(path.name for path in SCHEMAS.glob("*.sql")))
def test_a_file_of_every_version_migrates_to_the_latest(dump: str):
    name, version = dump.removesuffix(".sql").rsplit("-", 1)
    migrations, latest = LATEST[name]
    connection = sqlite3.connect(":memory:")
    connection.executescript((SCHEMAS / dump).read_text())
    database = Database(connection)
    for each in migrations._migrations[: int(version)]:
        migrations._record_applied(database, each.name)
    migrations.apply(database)
    assert _schema(connection) == (SCHEMAS / latest).read_text()


def test_people_can_read_the_identity_of_a_row():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    tables.core.apply(Database(connection))
    connection.execute("INSERT INTO epoch VALUES (7, 'ep', 'b', 1)")
    for lane in Lane:
        row_id = rows.id_of(lane, Position(7, 42))
        connection.execute(
            "INSERT INTO record VALUES (?, 'k', 'b', 1, 2, 'sync', 3, x'00', 0, NULL)", (row_id,)
        )
    connection.execute("INSERT INTO pending VALUES (?)", (rows.id_of(Lane.A, Position(7, 42)),))
    found = connection.execute("SELECT lane, epoch, seq, is_settled FROM records ORDER BY lane")
    assert list(found) == [("A", "ep", 42, 0), ("B", "ep", 42, 1), ("R", "ep", 42, 1)]


@pytest.mark.parametrize("name", LATEST)
def test_what_a_file_must_have_is_what_the_migrations_make(name: str):
    migrations, _ = LATEST[name]
    assert versions.LATEST[name] == tuple(each.name for each in migrations._migrations)
    connection = sqlite3.connect(":memory:")
    assert not versions.is_latest(connection, name)
    migrations.apply(Database(connection))
    assert versions.is_latest(connection, name)
    assert versions.missing_tables(connection, name) == []
    assert set(Database(connection).table_names()) == versions.TABLES[name] | {"_sqlite_migrations"}
    connection.execute("DROP TABLE pending")
    assert versions.missing_tables(connection, name) == ["pending"]
