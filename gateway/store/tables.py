"""The tables of both files as named, ordered migrations, each recorded in its own transaction.

core.db holds lanes A and B and the alarms' state, readings.db holds lane R. Both have the same
three tables; a row of `pending` says that the platform has not settled the record of that id, so
settling rewrites one small page instead of the record's.

A migration that was released is never changed: add one (and its dump under tests/store/schemas).
"""

import sqlite3

from sqlite_utils import Database, Migrations

core = Migrations("core")
readings = Migrations("readings")

_RECORD = """
CREATE TABLE record (
  id INTEGER PRIMARY KEY,  -- (lane << 24 | ordinal of the epoch) << 36 | seq; lanes A 0, B 1, R 2
  kind TEXT NOT NULL,
  boot TEXT NOT NULL,
  mono INTEGER NOT NULL,  -- ms since that boot
  utc INTEGER,  -- ms, best known
  clk TEXT NOT NULL,
  err INTEGER,  -- ms
  body BLOB NOT NULL,  -- the message as sent
  crc INTEGER NOT NULL  -- CRC-32 of "lane/epoch/seq/" and body
) STRICT
"""
_PENDING = """
CREATE TABLE pending (
  id INTEGER PRIMARY KEY  -- records that the platform has not settled
) STRICT
"""
_DAMAGED = """
CREATE TABLE damaged (
  id INTEGER PRIMARY KEY,  -- records that failed their CRC: never sent
  why TEXT NOT NULL
) STRICT
"""
_EPOCH = """
CREATE TABLE epoch (
  ordinal INTEGER PRIMARY KEY,  -- order of creation in this file
  epoch TEXT NOT NULL UNIQUE,
  boot TEXT NOT NULL,  -- the kernel's boot id at its start
  utc INTEGER NOT NULL  -- wall clock at its start, ms: for people, never for order
) STRICT
"""
_READABLE = """
CREATE VIEW records AS  -- for people: the identity written out
SELECT substr('ABR', (record.id >> 60) + 1, 1) AS lane, epoch.epoch, record.id & 68719476735 AS seq,
  pending.id IS NULL AS is_settled, record.*
FROM record
LEFT JOIN epoch ON epoch.ordinal = (record.id >> 36 & 16777215)
LEFT JOIN pending ON pending.id = record.id
"""
_ALARM_STATE = """
CREATE TABLE alarm_state (
  rule TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  body TEXT NOT NULL  -- JSON of the whole alarm
) STRICT, WITHOUT ROWID
"""

_KEPT = """
CREATE TABLE kept (  -- what else the decider must know again after a restart
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  body TEXT NOT NULL,  -- JSON
  crc INTEGER NOT NULL,  -- CRC-32 of "kind/key/" and body
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID
"""

# The chain's hash; NULL in rows of before the chain, and on lane R, which has none.
_HASH = "ALTER TABLE record ADD COLUMN hash BLOB"
_CHECKPOINT = """
CREATE TABLE checkpoint (
  id INTEGER PRIMARY KEY,  -- of the last record that went
  hash BLOB NOT NULL,  -- of that record: the next one ties on to it
  why TEXT NOT NULL
) STRICT
"""
_SALVAGED = """
CREATE TABLE salvaged (  -- sound records of a damaged file, under their old identity
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  boot TEXT NOT NULL,
  mono INTEGER NOT NULL,
  utc INTEGER,
  clk TEXT NOT NULL,
  err INTEGER,
  body BLOB NOT NULL,
  crc INTEGER NOT NULL,
  hash BLOB
) STRICT
"""
_POINT = """
CREATE TABLE point (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE
) STRICT
"""
_HISTORY = """
CREATE TABLE history (  -- five minutes of a point, for charts
  slot INTEGER NOT NULL,  -- UTC s / 300, best known
  point INTEGER NOT NULL REFERENCES point,
  least REAL NOT NULL,
  mean REAL NOT NULL,  -- over time: a value holds until the next one
  greatest REAL NOT NULL,
  ms INTEGER NOT NULL,  -- how long of the five minutes the value was good
  PRIMARY KEY (slot, point)
) STRICT, WITHOUT ROWID
"""


def _create(db: Database, *statements: str) -> None:
    for statement in statements:
        db.execute(statement.strip())


@core()
def records_and_alarm_state(db: Database) -> None:
    _create(db, _RECORD, _PENDING, _DAMAGED, _EPOCH, _READABLE, _ALARM_STATE)


@core()
def what_is_kept(db: Database) -> None:
    _create(db, _KEPT)


@core()
def hash_chain_and_salvage(db: Database) -> None:
    _create(db, _HASH, _CHECKPOINT, _SALVAGED)


@readings()
def batches(db: Database) -> None:
    _create(db, _RECORD, _PENDING, _DAMAGED, _EPOCH, _READABLE)


@readings()
def history_and_salvage(db: Database) -> None:
    _create(db, _HASH, _SALVAGED, _POINT, _HISTORY)


SCHEMAS = {"core": core, "readings": readings}


def migrate(connection: sqlite3.Connection, schema: str) -> None:
    """Bring a new or older file to the latest schema."""
    database = Database(connection, execute_plugins=False, recursive_triggers=False)
    SCHEMAS[schema].apply(database)
