-- The records of the control plane. Rows are numbered in the order in which they were made; the only index with random
-- keys is that of certificate fingerprints. Names of things arrive in the order of first connections.

CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    commits INTEGER NOT NULL
) STRICT;
INSERT INTO progress VALUES (1, 0);

CREATE TABLE tenant (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, region)
) STRICT;

-- Fingerprints of CAs, written once however many certificates name them; kept when the CA is deleted.
CREATE TABLE issuer (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE registration_code (
    tenant INTEGER PRIMARY KEY,
    code BLOB NOT NULL,
    created INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE ca (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    der BLOB NOT NULL,
    subject BLOB NOT NULL,
    key_id BLOB NOT NULL,
    status TEXT NOT NULL,
    auto_registration INTEGER NOT NULL,
    mode TEXT NOT NULL,
    registration TEXT,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    customer_version INTEGER NOT NULL,
    tags TEXT NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant, fingerprint)
) STRICT;
CREATE INDEX ca_subject ON ca (tenant, subject);

CREATE TABLE region_claim (
    region TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    account TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (region, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE certificate (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    issuer INTEGER,
    origin TEXT NOT NULL,
    status TEXT NOT NULL,
    mode TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    customer_version INTEGER NOT NULL,
    version INTEGER NOT NULL,
    der BLOB NOT NULL,
    UNIQUE (tenant, fingerprint)
) STRICT;
CREATE INDEX certificate_tenant ON certificate (tenant);
CREATE INDEX certificate_issuer ON certificate (tenant, issuer) WHERE issuer IS NOT NULL;

CREATE TABLE thing (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    name TEXT NOT NULL,
    uuid BLOB NOT NULL,
    type_name TEXT,
    attributes TEXT NOT NULL,
    thing_version INTEGER NOT NULL,
    born_under INTEGER,
    simulated INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX thing_tenant ON thing (tenant);

CREATE TABLE policy (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    name TEXT NOT NULL,
    default_version INTEGER NOT NULL,
    last_version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    tags TEXT NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX policy_tenant ON policy (tenant);

CREATE TABLE policy_version (
    policy INTEGER NOT NULL,
    id INTEGER NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (policy, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE policy_attachment (
    certificate INTEGER NOT NULL REFERENCES certificate (id),
    policy INTEGER NOT NULL REFERENCES policy (id),
    version INTEGER NOT NULL,
    PRIMARY KEY (certificate, policy)
) STRICT, WITHOUT ROWID;
CREATE INDEX policy_attachment_policy ON policy_attachment (policy, certificate);

CREATE TABLE thing_principal (
    certificate INTEGER NOT NULL REFERENCES certificate (id),
    thing INTEGER NOT NULL REFERENCES thing (id),
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (certificate, thing)
) STRICT, WITHOUT ROWID;
CREATE INDEX thing_principal_thing ON thing_principal (thing, certificate);

-- Each hash covers the one before it and every column of its own row (see sqlite/audit.rs).
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
