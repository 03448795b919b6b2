//! The writes of a batch whose facts were all found to hold.

use fleet::batch::{Batch, Expect, Key, Record, Tally, Write};
use fleet::manifest::ManifestEntry;
use fleet::record::{
    CaCertificate, DeviceCertificate, GroupMember, Policy, PolicyAttachment, PolicyTarget,
    ProvisioningTemplate, RegionClaim, RegistrationCode, Thing, ThingGroup, ThingPrincipal,
};
use fleet::resource::Kept;
use identity::ThingName;
use rusqlite::{Params, params};

use super::{Applying, Row};
use crate::error::Error;
use crate::plain;
use crate::sqlite::codec::{attributes_text, registration_text, tags_text};
use crate::sqlite::{read, search};

impl Applying<'_> {
    /// Attachments rest on rows, so they go first when deleted and last when made.
    pub(in crate::sqlite) fn write_batch(&mut self, batch: &Batch) -> Result<(), Error> {
        let deletes = || {
            batch.writes.iter().filter_map(|write| match write {
                Write::Delete { key, .. } => Some(key),
                Write::Put { .. } => None,
            })
        };
        let puts = || {
            batch.writes.iter().filter_map(|write| match write {
                Write::Put { record, expect } => Some((record, *expect)),
                Write::Delete { .. } => None,
            })
        };
        deletes()
            .filter(|key| is_attachment(key))
            .try_for_each(|key| self.delete(key))?;
        deletes()
            .filter(|key| !is_attachment(key))
            .try_for_each(|key| self.delete(key))?;
        puts()
            .filter(|(record, _)| !is_attached(record))
            .try_for_each(|(record, expect)| self.put(record, expect))?;
        puts()
            .filter(|(record, _)| is_attached(record))
            .try_for_each(|(record, expect)| self.put(record, expect))?;
        batch.tallies.iter().try_for_each(|tally| self.count_up(tally))
    }

    fn count_up(&self, tally: &Tally) -> Result<(), Error> {
        self.execute(
            "INSERT INTO tally (tenant, name, window, count) VALUES (?1, ?2, ?3, 1)
             ON CONFLICT (tenant, name) DO UPDATE SET window = excluded.window,
                count = CASE WHEN window = excluded.window THEN count + 1 ELSE 1 END",
            params![self.tenant_id, tally.name, tally.window],
        )
    }

    fn put_manifest_entry(&self, listed: &ManifestEntry) -> Result<(), Error> {
        let entry = &listed.entry;
        self.execute(
            "INSERT INTO manifest_entry (tenant, key, manifest_order, certificate, unit, thing, parameters, admitted,
                version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (tenant, key) DO UPDATE SET admitted = excluded.admitted, version = excluded.version",
            params![
                self.tenant_id,
                entry.key.0,
                listed.order,
                entry.certificate.map(|id| id.0),
                entry.unit,
                entry.thing.as_ref().map(|thing| thing.as_str()),
                attributes_text(&entry.parameters),
                listed.admitted.map(|id| id.0),
                self.version,
            ],
        )
    }

    fn delete(&mut self, key: &Key) -> Result<(), Error> {
        match key {
            Key::RegistrationCode => self.execute(
                "DELETE FROM registration_code WHERE tenant = ?1",
                params![self.tenant_id],
            ),
            Key::Ca(id) => self.execute(
                "DELETE FROM ca WHERE tenant = ?1 AND fingerprint = ?2",
                params![self.tenant_id, id.0],
            ),
            Key::RegionClaim(id) => self.execute(
                "DELETE FROM region_claim WHERE region = ?1 AND fingerprint = ?2",
                params![self.tenant.region.as_str(), id.0],
            ),
            Key::Certificate(id) => {
                let row = self.certificate(id)?;
                self.certificates.retain(|(known, _)| known != id);
                self.delete_row("DELETE FROM certificate WHERE id = ?1", row)
            }
            Key::Thing(name) => {
                self.forget_indexed(name)?;
                let row = self.thing(name)?;
                self.things.retain(|(known, _)| known != name);
                self.delete_row("DELETE FROM group_member WHERE thing = ?1", row)?;
                self.delete_row("DELETE FROM thing WHERE id = ?1", row)
            }
            Key::Policy(name) => {
                let row = self.policy(name)?;
                self.remembered.forget_row(self.tenant_id, key);
                self.delete_row("DELETE FROM policy_version WHERE policy = ?1", row)?;
                self.delete_row("DELETE FROM policy WHERE id = ?1", row)
            }
            Key::Group(name) => {
                let row = self.group(name)?;
                self.remembered.forget_row(self.tenant_id, key);
                self.delete_row("DELETE FROM group_member WHERE thing_group = ?1", row)?;
                self.delete_row("DELETE FROM group_policy WHERE thing_group = ?1", row)?;
                self.delete_row("DELETE FROM thing_group WHERE id = ?1", row)
            }
            Key::GroupMember { group, thing } => {
                let sql = "DELETE FROM group_member WHERE thing = ?1 AND thing_group = ?2";
                let (thing, group) = (self.thing(thing)?, self.group(group)?);
                self.execute(sql, params![number(thing), number(group)])
            }
            Key::Attachment {
                policy,
                target: PolicyTarget::Group(group),
            } => {
                let sql = "DELETE FROM group_policy WHERE thing_group = ?1 AND policy = ?2";
                let (group, policy) = (self.group(group)?, self.policy(policy)?);
                self.execute(sql, params![number(group), number(policy)])
            }
            Key::Resource { kind, name } => {
                let row = self.resource(*kind, name)?;
                self.remembered.forget_row(self.tenant_id, key);
                self.delete_row("DELETE FROM resource WHERE id = ?1", row)
            }
            Key::ManifestEntry(key) => {
                let row = self.manifest_entry(key)?;
                self.delete_row("DELETE FROM manifest_entry WHERE id = ?1", row)
            }
            Key::Template(name) => {
                let row = self.template(name)?;
                self.delete_row(
                    "DELETE FROM provisioning_template_version WHERE template = ?1",
                    row,
                )?;
                self.delete_row("DELETE FROM provisioning_template WHERE id = ?1", row)
            }
            Key::Attachment {
                policy,
                target: PolicyTarget::Certificate(id),
            } => {
                let sql = "DELETE FROM policy_attachment WHERE certificate = ?1 AND policy = ?2";
                let (certificate, policy) = (self.certificate(id)?, self.policy(policy)?);
                self.execute(sql, params![number(certificate), number(policy)])
            }
            Key::ThingPrincipal { thing, certificate } => {
                let sql = "DELETE FROM thing_principal WHERE certificate = ?1 AND thing = ?2";
                let (certificate, thing) = (self.certificate(certificate)?, self.thing(thing)?);
                self.execute(sql, params![number(certificate), number(thing)])
            }
        }
    }

    fn delete_row(&self, sql: &str, row: Option<Row>) -> Result<(), Error> {
        self.execute(sql, params![number(row)])
    }

    fn put(&mut self, record: &Record, expect: Expect) -> Result<(), Error> {
        self.write(record, expect)?;
        // Its row has another version from now on.
        if matches!(record, Record::Policy(_) | Record::Group(_) | Record::Resource(_)) {
            self.remembered.forget_row(self.tenant_id, &record.key());
        }
        Ok(())
    }

    fn write(&mut self, record: &Record, expect: Expect) -> Result<(), Error> {
        match record {
            Record::RegistrationCode(code) => self.put_code(code),
            Record::Ca(ca) => self.put_ca(ca),
            Record::RegionClaim(claim) => self.put_claim(claim),
            Record::Certificate(certificate) => self.put_certificate(certificate, expect),
            Record::Thing(thing) => self.put_thing(thing, expect),
            Record::Policy(policy) => self.put_policy(policy, expect),
            Record::Template(template) => self.put_template(template, expect),
            Record::Attachment(attachment) => self.put_attachment(attachment),
            Record::Group(group) => self.put_group(group, expect),
            Record::GroupMember(member) => self.put_member(member),
            Record::ThingPrincipal(principal) => self.put_principal(principal),
            Record::Resource(kept) => self.put_resource(kept),
            Record::ManifestEntry(listed) => self.put_manifest_entry(listed),
        }
    }

    fn put_resource(&self, kept: &Kept) -> Result<(), Error> {
        self.execute(
            "INSERT INTO resource (tenant, kind, name, body, version) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (tenant, kind, name) DO UPDATE SET body = excluded.body, version = excluded.version",
            params![
                self.tenant_id,
                kept.kind.name(),
                kept.name,
                plain::text(&kept.body),
                self.version
            ],
        )
    }

    fn put_code(&self, record: &RegistrationCode) -> Result<(), Error> {
        self.execute(
            "INSERT OR REPLACE INTO registration_code VALUES (?1, ?2, ?3, ?4)",
            params![self.tenant_id, record.code.0, record.created.0, self.version],
        )
    }

    fn put_ca(&self, ca: &CaCertificate) -> Result<(), Error> {
        self.execute(
            "INSERT INTO ca (tenant, fingerprint, der, subject, key_id, status, auto_registration, mode, registration,
                not_before, not_after, created, modified, customer_version, tags, version, template_name, gated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT (tenant, fingerprint) DO UPDATE SET status = excluded.status,
                auto_registration = excluded.auto_registration, mode = excluded.mode,
                registration = excluded.registration, modified = excluded.modified,
                customer_version = excluded.customer_version, tags = excluded.tags, version = excluded.version,
                template_name = excluded.template_name, gated = excluded.gated",
            params![
                self.tenant_id,
                ca.id.0,
                ca.der.as_ref(),
                ca.subject.as_ref(),
                ca.key_id,
                ca.status.name(),
                ca.auto_registration,
                ca.mode.name(),
                ca.registration.as_ref().map(registration_text),
                ca.not_before.0,
                ca.not_after.0,
                ca.created.0,
                ca.modified.0,
                ca.customer_version,
                tags_text(&ca.tags),
                self.version,
                ca.registration
                    .as_ref()
                    .and_then(|config| config.template_name.as_ref())
                    .map(|name| name.as_str()),
                ca.gated,
            ],
        )
    }

    fn put_claim(&self, claim: &RegionClaim) -> Result<(), Error> {
        self.execute(
            "INSERT OR REPLACE INTO region_claim VALUES (?1, ?2, ?3, ?4)",
            params![
                self.tenant.region.as_str(),
                claim.ca.0,
                claim.owner.as_str(),
                self.version
            ],
        )
    }

    fn put_certificate(&mut self, record: &DeviceCertificate, expect: Expect) -> Result<(), Error> {
        let issuer = self
            .remembered
            .issuers
            .number(self.connection, record.ca.as_ref())?;
        if expect == Expect::Absent {
            self.execute(
                "INSERT INTO certificate (tenant, fingerprint, issuer, origin, status, mode, not_before, not_after,
                    created, modified, customer_version, version, der)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                params![
                    self.tenant_id,
                    record.id.0,
                    issuer,
                    record.origin.name(),
                    record.status.name(),
                    record.mode.name(),
                    record.not_before.0,
                    record.not_after.0,
                    record.created.0,
                    record.modified.0,
                    record.customer_version,
                    self.version,
                    record.der.as_ref(),
                ],
            )?;
            self.certificates.retain(|(known, _)| *known != record.id);
            self.certificates.push((record.id, Some(self.inserted())));
            return Ok(());
        }
        let row = self.certificate(&record.id)?;
        self.execute(
            "UPDATE certificate SET issuer = ?2, status = ?3, mode = ?4, modified = ?5, customer_version = ?6,
                version = ?7 WHERE id = ?1",
            params![
                number(row),
                issuer,
                record.status.name(),
                record.mode.name(),
                record.modified.0,
                record.customer_version,
                self.version,
            ],
        )
    }

    fn put_thing(&mut self, thing: &Thing, expect: Expect) -> Result<(), Error> {
        let type_name = thing.type_name.as_ref().map(|name| name.as_str());
        let billing_group = thing.billing_group.as_ref().map(|name| name.as_str());
        let attributes = attributes_text(&thing.attributes);
        if expect == Expect::Absent {
            let born_under = self
                .remembered
                .issuers
                .number(self.connection, thing.born_under.as_ref())?;
            self.execute(
                "INSERT INTO thing (tenant, name, uuid, type_name, attributes, thing_version, born_under, simulated,
                    created, modified, version, billing_group)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    self.tenant_id,
                    thing.name.as_str(),
                    thing.id.0,
                    type_name,
                    attributes,
                    thing.version,
                    born_under,
                    thing.simulated,
                    thing.created.0,
                    thing.modified.0,
                    self.version,
                    billing_group,
                ],
            )?;
            self.things.retain(|(known, _)| *known != thing.name);
            self.things.push((thing.name.clone(), Some(self.inserted())));
            return self.index(thing);
        }
        self.forget_indexed(&thing.name)?;
        let row = self.thing(&thing.name)?;
        self.execute(
            "UPDATE thing SET type_name = ?2, attributes = ?3, thing_version = ?4, modified = ?5, version = ?6,
                billing_group = ?7 WHERE id = ?1",
            params![
                number(row),
                type_name,
                attributes,
                thing.version,
                thing.modified.0,
                self.version,
                billing_group
            ],
        )?;
        self.index(thing)
    }

    /// Puts a thing that was just written into the index, if there is one.
    fn index(&mut self, thing: &Thing) -> Result<(), Error> {
        if !self.is_indexed()? {
            return Ok(());
        }
        let row = number(self.thing(&thing.name)?);
        search::insert(self.connection, self.tenant_id, row.unsigned_abs(), thing)
    }

    /// Takes a thing, as it is now, out of the index, if there is one.
    fn forget_indexed(&mut self, name: &ThingName) -> Result<(), Error> {
        if !self.is_indexed()? {
            return Ok(());
        }
        match read::thing(self.connection, self.tenant_id, name)? {
            Some((row, thing)) => search::remove(self.connection, self.tenant_id, row, &thing.record),
            None => Ok(()),
        }
    }

    fn put_policy(&mut self, policy: &Policy, expect: Expect) -> Result<(), Error> {
        let row = match expect {
            Expect::Absent => {
                self.execute(
                    "INSERT INTO policy (tenant, name, default_version, last_version, created, modified, tags, version)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![
                        self.tenant_id,
                        policy.name.as_str(),
                        policy.default_version.0,
                        policy.last_version.0,
                        policy.created.0,
                        policy.modified.0,
                        tags_text(&policy.tags),
                        self.version,
                    ],
                )?;
                self.inserted().id
            }
            Expect::Version(_) => {
                let row = number(self.policy(&policy.name)?);
                self.execute(
                    "UPDATE policy SET default_version = ?2, last_version = ?3, modified = ?4, tags = ?5, version = ?6
                     WHERE id = ?1",
                    params![
                        row,
                        policy.default_version.0,
                        policy.last_version.0,
                        policy.modified.0,
                        tags_text(&policy.tags),
                        self.version,
                    ],
                )?;
                self.execute("DELETE FROM policy_version WHERE policy = ?1", params![row])?;
                row
            }
        };
        policy.versions.iter().try_for_each(|version| {
            self.execute(
                "INSERT INTO policy_version VALUES (?1, ?2, ?3, ?4)",
                params![row, version.id.0, version.document.as_ref(), version.created.0],
            )
        })
    }

    fn put_template(&mut self, template: &ProvisioningTemplate, expect: Expect) -> Result<(), Error> {
        let hook = template.hook.as_ref();
        let row = match expect {
            Expect::Absent => {
                self.execute(
                    "INSERT INTO provisioning_template (tenant, name, kind, description, enabled, role_arn, hook_version,
                        hook_target, default_version, last_version, created, modified, tags, version)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                    params![
                        self.tenant_id,
                        template.name.as_str(),
                        template.kind.name(),
                        template.description,
                        template.enabled,
                        template.role_arn,
                        hook.map(|hook| hook.payload_version.as_str()),
                        hook.map(|hook| hook.target_arn.as_str()),
                        template.default_version.0,
                        template.last_version.0,
                        template.created.0,
                        template.modified.0,
                        tags_text(&template.tags),
                        self.version,
                    ],
                )?;
                self.inserted().id
            }
            Expect::Version(_) => {
                let row = number(self.template(&template.name)?);
                self.execute(
                    "UPDATE provisioning_template SET description = ?2, enabled = ?3, role_arn = ?4, hook_version = ?5,
                        hook_target = ?6, default_version = ?7, last_version = ?8, modified = ?9, tags = ?10,
                        version = ?11 WHERE id = ?1",
                    params![
                        row,
                        template.description,
                        template.enabled,
                        template.role_arn,
                        hook.map(|hook| hook.payload_version.as_str()),
                        hook.map(|hook| hook.target_arn.as_str()),
                        template.default_version.0,
                        template.last_version.0,
                        template.modified.0,
                        tags_text(&template.tags),
                        self.version,
                    ],
                )?;
                self.execute(
                    "DELETE FROM provisioning_template_version WHERE template = ?1",
                    params![row],
                )?;
                row
            }
        };
        template.versions.iter().try_for_each(|version| {
            self.execute(
                "INSERT INTO provisioning_template_version VALUES (?1, ?2, ?3, ?4)",
                params![row, version.id.0, version.body.as_ref(), version.created.0],
            )
        })
    }

    fn put_attachment(&mut self, attachment: &PolicyAttachment) -> Result<(), Error> {
        let policy = self.policy(&attachment.policy)?;
        let (sql, target) = match &attachment.target {
            PolicyTarget::Certificate(id) => (
                "INSERT OR REPLACE INTO policy_attachment VALUES (?1, ?2, ?3)",
                self.certificate(id)?,
            ),
            PolicyTarget::Group(name) => (
                "INSERT OR REPLACE INTO group_policy VALUES (?1, ?2, ?3)",
                self.group(name)?,
            ),
        };
        self.execute(sql, params![number(target), number(policy), self.version])
    }

    fn put_group(&mut self, group: &ThingGroup, expect: Expect) -> Result<(), Error> {
        if expect == Expect::Absent {
            let parent = group.parent.as_ref().map(|parent| self.group(parent));
            let parent = parent.transpose()?.map(number);
            return self.execute(
                "INSERT INTO thing_group (tenant, name, uuid, parent, description, attributes, group_version, created,
                    modified, tags, version)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    self.tenant_id,
                    group.name.as_str(),
                    group.id.0,
                    parent,
                    group.description,
                    attributes_text(&group.attributes),
                    group.version,
                    group.created.0,
                    group.modified.0,
                    tags_text(&group.tags),
                    self.version,
                ],
            );
        }
        let row = self.group(&group.name)?;
        self.execute(
            "UPDATE thing_group SET description = ?2, attributes = ?3, group_version = ?4, modified = ?5, tags = ?6,
                version = ?7 WHERE id = ?1",
            params![
                number(row),
                group.description,
                attributes_text(&group.attributes),
                group.version,
                group.modified.0,
                tags_text(&group.tags),
                self.version,
            ],
        )
    }

    fn put_member(&mut self, member: &GroupMember) -> Result<(), Error> {
        let (thing, group) = (self.thing(&member.thing)?, self.group(&member.group)?);
        self.execute(
            "INSERT OR REPLACE INTO group_member VALUES (?1, ?2, ?3)",
            params![number(thing), number(group), self.version],
        )
    }

    fn put_principal(&mut self, principal: &ThingPrincipal) -> Result<(), Error> {
        let (certificate, thing) = (
            self.certificate(&principal.certificate)?,
            self.thing(&principal.thing)?,
        );
        self.execute(
            "INSERT OR REPLACE INTO thing_principal VALUES (?1, ?2, ?3, ?4)",
            params![
                number(certificate),
                number(thing),
                principal.kind.name(),
                self.version
            ],
        )
    }

    /// The row that was inserted last.
    fn inserted(&self) -> Row {
        Row {
            id: self.connection.last_insert_rowid(),
            version: self.version,
        }
    }

    fn execute(&self, sql: &str, params: impl Params) -> Result<(), Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map(drop)
            .map_err(Error::database("write a record"))
    }
}

/// The number of a row; of one that is not there a number that no row has, which a foreign key then refuses.
fn number(row: Option<Row>) -> i64 {
    row.map_or(-1, |row| row.id)
}

fn is_attachment(key: &Key) -> bool {
    matches!(
        key,
        Key::Attachment { .. } | Key::ThingPrincipal { .. } | Key::GroupMember { .. }
    )
}

fn is_attached(record: &Record) -> bool {
    matches!(
        record,
        Record::Attachment(_) | Record::ThingPrincipal(_) | Record::GroupMember(_)
    )
}
