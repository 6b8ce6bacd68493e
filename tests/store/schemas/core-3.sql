CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
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
, hash BLOB) STRICT;
CREATE TABLE pending (
  id INTEGER PRIMARY KEY  -- records that the platform has not settled
) STRICT;
CREATE TABLE damaged (
  id INTEGER PRIMARY KEY,  -- records that failed their CRC: never sent
  why TEXT NOT NULL
) STRICT;
CREATE TABLE epoch (
  ordinal INTEGER PRIMARY KEY,  -- order of creation in this file
  epoch TEXT NOT NULL UNIQUE,
  boot TEXT NOT NULL,  -- the kernel's boot id at its start
  utc INTEGER NOT NULL  -- wall clock at its start, ms: for people, never for order
) STRICT;
CREATE VIEW records AS  -- for people: the identity written out
SELECT substr('ABR', (record.id >> 60) + 1, 1) AS lane, epoch.epoch, record.id & 68719476735 AS seq,
  pending.id IS NULL AS is_settled, record.*
FROM record
LEFT JOIN epoch ON epoch.ordinal = (record.id >> 36 & 16777215)
LEFT JOIN pending ON pending.id = record.id;
CREATE TABLE alarm_state (
  rule TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  body TEXT NOT NULL  -- JSON of the whole alarm
) STRICT, WITHOUT ROWID;
CREATE TABLE kept (  -- what else the decider must know again after a restart
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  body TEXT NOT NULL,  -- JSON
  crc INTEGER NOT NULL,  -- CRC-32 of "kind/key/" and body
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (
  id INTEGER PRIMARY KEY,  -- of the last record that went
  hash BLOB NOT NULL,  -- of that record: the next one ties on to it
  why TEXT NOT NULL
) STRICT;
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
) STRICT;
