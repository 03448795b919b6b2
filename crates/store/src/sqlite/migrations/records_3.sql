-- Thing groups, who is in them, and the policies that count for them.

CREATE TABLE thing_group (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    name TEXT NOT NULL,
    uuid BLOB NOT NULL,
    parent INTEGER REFERENCES thing_group (id),
    description TEXT NOT NULL,
    attributes TEXT NOT NULL,
    group_version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    tags TEXT NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX thing_group_tenant ON thing_group (tenant);
CREATE INDEX thing_group_parent ON thing_group (parent) WHERE parent IS NOT NULL;

CREATE TABLE group_member (
    thing INTEGER NOT NULL REFERENCES thing (id),
    thing_group INTEGER NOT NULL REFERENCES thing_group (id),
    version INTEGER NOT NULL,
    PRIMARY KEY (thing, thing_group)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_member_group ON group_member (thing_group, thing);

CREATE TABLE group_policy (
    thing_group INTEGER NOT NULL REFERENCES thing_group (id),
    policy INTEGER NOT NULL REFERENCES policy (id),
    version INTEGER NOT NULL,
    PRIMARY KEY (thing_group, policy)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_policy_policy ON group_policy (policy, thing_group);
