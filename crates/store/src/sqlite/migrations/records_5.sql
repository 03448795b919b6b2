-- Devices of manifests, found by the hash of their key; counters that go up with a batch; and which CAs ask the manifests.

CREATE TABLE manifest_entry (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    key BLOB NOT NULL,
    manifest_order TEXT NOT NULL,
    certificate BLOB,
    unit TEXT NOT NULL,
    thing TEXT,
    parameters TEXT NOT NULL,
    admitted BLOB,
    version INTEGER NOT NULL,
    UNIQUE (tenant, key)
) STRICT;

CREATE TABLE tally (
    tenant INTEGER NOT NULL,
    name TEXT NOT NULL,
    window INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

ALTER TABLE ca ADD COLUMN gated INTEGER NOT NULL DEFAULT 0;
