-- The graph of one store.
--
-- A ref is kept as "type/id". A type has no "/", and "/" sorts before every
-- character a type may have, so the binary order of this one column is the
-- order of refs. Times are Unix milliseconds, UTC. Props are JSON.

CREATE TABLE store (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    id     TEXT    NOT NULL,
    head   INTEGER NOT NULL,
    oldest INTEGER NOT NULL
) STRICT;

CREATE TABLE node (
    id       INTEGER PRIMARY KEY,
    ref      TEXT    NOT NULL UNIQUE,
    names    TEXT,             -- a JSON list; NULL when it has none
    props    TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

CREATE TABLE name (
    name TEXT PRIMARY KEY,
    ref  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Both ends are refs of existing nodes: graph.Plan sees to it, and Import
-- checks it once for all.
CREATE TABLE edge (
    kind     TEXT    NOT NULL,
    src      TEXT    NOT NULL,
    dst      TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    props    TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    expires  INTEGER,          -- what the rule reads as expiry; NULL: never
    PRIMARY KEY (kind, src, dst, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX edge_to ON edge (dst, kind, src, key);
CREATE INDEX edge_key ON edge (kind, key, src, dst) WHERE key <> '';

-- The last revision that wrote an edge of a kind and key.
CREATE TABLE last (
    kind     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE change (
    revision INTEGER PRIMARY KEY,
    time     INTEGER NOT NULL,
    body     TEXT    NOT NULL
) STRICT;

CREATE TABLE consumer (
    name   TEXT    PRIMARY KEY,
    cursor INTEGER NOT NULL,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
