-- The ring of attempts. The columns are for finding, the body (JSON) holds the whole record. There is no index besides
-- the place: the ring is small enough to be read through, and writing has to be cheap.

CREATE TABLE attempt (
    place INTEGER PRIMARY KEY,
    share BLOB NOT NULL,
    first_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    trace BLOB NOT NULL,
    fingerprint BLOB,
    address TEXT,
    thing TEXT,
    body TEXT NOT NULL
) STRICT;
