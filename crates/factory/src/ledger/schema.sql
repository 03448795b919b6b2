-- The index of a ledger: what the file says, in a form that can be asked. It can be rebuilt from the file at any time.
CREATE TABLE ledger (
    factory  BLOB    NOT NULL,  -- which ledger this is an index of
    at       INTEGER NOT NULL,  -- bytes of the file that are in here
    chain    BLOB    NOT NULL   -- the last chain value of those
);
CREATE TABLE orders (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    prefix     TEXT    NOT NULL,
    count      INTEGER NOT NULL,
    not_before INTEGER NOT NULL,  -- milliseconds since 1970
    not_after  INTEGER NOT NULL,
    intended   INTEGER NOT NULL DEFAULT 0 CHECK (intended <= count),
    signed     INTEGER NOT NULL DEFAULT 0 CHECK (signed <= intended),
    done       INTEGER NOT NULL DEFAULT 0 CHECK (done <= signed),
    scrapped   INTEGER NOT NULL DEFAULT 0
);
-- One row for each serial number that was ever given out. Serial numbers begin with a counter, thing names end in one and
-- chips come off their reel in order: only the fingerprint is a random key.
CREATE TABLE certificate (
    id          INTEGER PRIMARY KEY,
    serial      BLOB    NOT NULL UNIQUE,
    purpose     INTEGER NOT NULL,  -- 0 authority, 1 device, 2 verification
    order_id    INTEGER REFERENCES orders (id),
    number      INTEGER,
    thing       TEXT    UNIQUE,
    uid         BLOB,
    key_hash    BLOB    NOT NULL,
    state       INTEGER NOT NULL,  -- 1 intended, 2 signed, 3 done, 4 scrapped
    intent_at   INTEGER NOT NULL,  -- where in the file the to-be-signed bytes are
    signed_at   INTEGER,           -- where in the file the certificate is
    fingerprint BLOB    UNIQUE,
    reason      TEXT
);
CREATE UNIQUE INDEX certificate_of_chip ON certificate (order_id, uid, key_hash) WHERE uid IS NOT NULL;
CREATE UNIQUE INDEX certificate_alive   ON certificate (order_id, uid) WHERE uid IS NOT NULL AND state < 4;
-- Chips that were scrapped before they had a certificate.
CREATE TABLE scrap (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    uid      BLOB    NOT NULL,
    reason   TEXT    NOT NULL,
    PRIMARY KEY (order_id, uid)
) WITHOUT ROWID;
