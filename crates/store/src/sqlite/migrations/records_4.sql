-- Small records that are kept whole under kind and name (thing types, billing groups, settings); the body is JSON. Things
-- of a type and things in a billing group are found by an index that holds only those.

CREATE TABLE resource (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant, kind, name)
) STRICT;
CREATE INDEX resource_kind ON resource (tenant, kind);

ALTER TABLE thing ADD COLUMN billing_group TEXT;
CREATE INDEX thing_type ON thing (tenant, type_name) WHERE type_name IS NOT NULL;
CREATE INDEX thing_billing ON thing (tenant, billing_group) WHERE billing_group IS NOT NULL;
