-- Named provisioning templates, and which CAs follow one (their registration says it too; this is the column to look in).

CREATE TABLE provisioning_template (
    id INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    role_arn TEXT NOT NULL,
    hook_version TEXT,
    hook_target TEXT,
    default_version INTEGER NOT NULL,
    last_version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    tags TEXT NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX provisioning_template_tenant ON provisioning_template (tenant);

CREATE TABLE provisioning_template_version (
    template INTEGER NOT NULL,
    id INTEGER NOT NULL,
    body TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (template, id)
) STRICT, WITHOUT ROWID;

ALTER TABLE ca ADD COLUMN template_name TEXT;
CREATE INDEX ca_template ON ca (tenant, template_name) WHERE template_name IS NOT NULL;
