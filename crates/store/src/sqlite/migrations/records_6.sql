-- Which tenants have an index of their things, how far it has been built, and the index: a row for each field and value of
-- a thing, in lower case. Tenants without an index have no rows.

CREATE TABLE search_index (
    tenant INTEGER PRIMARY KEY,
    built_to INTEGER NOT NULL,
    is_built INTEGER NOT NULL
) STRICT;

CREATE TABLE search_row (
    tenant INTEGER NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    thing INTEGER NOT NULL,
    PRIMARY KEY (tenant, field, value, thing)
) STRICT, WITHOUT ROWID;
