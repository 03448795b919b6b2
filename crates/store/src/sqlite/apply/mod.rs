//! One batch inside the writer's transaction: first every fact is checked, then everything is written.
//!
//! Because all checks come before the first write, a batch that conflicts has written nothing and needs no savepoint. Row
//! numbers that a check has seen are remembered for the writes of the same batch.

mod write;

use fleet::batch::{Batch, Check, Expect, Key, Relation, Tally, Write};
use fleet::names::{GroupName, PolicyName, TemplateName};
use fleet::record::PolicyTarget;
use fleet::resource::Kind;
use identity::manifest::KeyHash;
use identity::{CertificateId, Tenant, ThingName};
use rusqlite::{Connection, Params, params};

use crate::error::{CommitError, Conflict, Error};
use crate::sqlite::manifests;
use crate::sqlite::read::{column, count, one};
use crate::sqlite::remembered::Remembered;
use crate::sqlite::search;

/// A row that was found: its number and its version.
#[derive(Clone, Copy)]
pub(super) struct Row {
    id: i64,
    version: u64,
}

/// The state of one batch while it is applied.
pub(super) struct Applying<'a> {
    connection: &'a Connection,
    remembered: &'a mut Remembered,
    tenant: &'a Tenant,
    tenant_id: i64,
    /// The number of this commit.
    version: u64,
    certificates: Vec<(CertificateId, Option<Row>)>,
    things: Vec<(ThingName, Option<Row>)>,
}

impl<'a> Applying<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        remembered: &'a mut Remembered,
        tenant: (&'a Tenant, i64),
        version: u64,
    ) -> Self {
        let (tenant, tenant_id) = tenant;
        let (certificates, things) = (Vec::new(), Vec::new());
        Self {
            connection,
            remembered,
            tenant,
            tenant_id,
            version,
            certificates,
            things,
        }
    }

    /// Whether the tenant's things are in an index.
    fn is_indexed(&mut self) -> Result<bool, Error> {
        if let Some(known) = self.remembered.is_indexed(self.tenant_id) {
            return Ok(known);
        }
        let found = search::state(self.connection, self.tenant_id)?.is_some();
        self.remembered.note_indexed(self.tenant_id, found);
        Ok(found)
    }

    /// Checks and writes the batch, without its audit entries and its epoch.
    pub(super) fn run(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.check_batch(batch)?;
        self.write_batch(batch).map_err(CommitError::Fault)
    }

    /// Checks the batch and writes nothing.
    pub(super) fn check_batch(&mut self, batch: &Batch) -> Result<(), CommitError> {
        for write in &batch.writes {
            match write {
                Write::Put { record, expect } => self.check(&record.key(), *expect)?,
                Write::Delete { key, version } => self.check(key, Expect::Version(*version))?,
            }
        }
        for check in &batch.checks {
            match check {
                Check::Is { key, expect } => self.check(key, *expect)?,
                Check::AtMost { relation, count } => self.check_count(relation, *count)?,
            }
        }
        batch
            .tallies
            .iter()
            .try_for_each(|tally| self.check_tally(tally))?;
        Ok(())
    }

    fn check(&mut self, key: &Key, expect: Expect) -> Result<(), CommitError> {
        let found = self.find(key).map_err(CommitError::Fault)?;
        let holds = match (expect, found) {
            (Expect::Absent, None) => true,
            (Expect::Version(wanted), Some(row)) => row.version == wanted,
            _ => false,
        };
        if holds {
            Ok(())
        } else {
            Err(CommitError::Conflict(Conflict::Record(key.clone())))
        }
    }

    fn find(&mut self, key: &Key) -> Result<Option<Row>, Error> {
        match key {
            Key::RegistrationCode => self.row(
                "SELECT tenant, version FROM registration_code WHERE tenant = ?1",
                params![self.tenant_id],
            ),
            Key::Ca(id) => self.row(
                "SELECT id, version FROM ca WHERE tenant = ?1 AND fingerprint = ?2",
                params![self.tenant_id, id.0],
            ),
            Key::RegionClaim(id) => self.row(
                "SELECT 0, version FROM region_claim WHERE region = ?1 AND fingerprint = ?2",
                params![self.tenant.region.as_str(), id.0],
            ),
            Key::Certificate(id) => self.certificate(id),
            Key::Thing(name) => self.thing(name),
            Key::Policy(name) => self.policy(name),
            Key::Template(name) => self.template(name),
            Key::Group(name) => self.group(name),
            Key::Resource { kind, name } => self.resource(*kind, name),
            Key::ManifestEntry(key) => self.manifest_entry(key),
            Key::GroupMember { group, thing } => {
                let (Some(group), Some(thing)) = (self.group(group)?, self.thing(thing)?) else {
                    return Ok(None);
                };
                let sql = "SELECT 0, version FROM group_member WHERE thing = ?1 AND thing_group = ?2";
                self.row(sql, params![thing.id, group.id])
            }
            Key::Attachment {
                policy,
                target: PolicyTarget::Group(group),
            } => {
                let (Some(group), Some(policy)) = (self.group(group)?, self.policy(policy)?) else {
                    return Ok(None);
                };
                let sql = "SELECT 0, version FROM group_policy WHERE thing_group = ?1 AND policy = ?2";
                self.row(sql, params![group.id, policy.id])
            }
            Key::Attachment {
                policy,
                target: PolicyTarget::Certificate(id),
            } => {
                let (Some(certificate), Some(policy)) = (self.certificate(id)?, self.policy(policy)?) else {
                    return Ok(None);
                };
                let sql = "SELECT 0, version FROM policy_attachment WHERE certificate = ?1 AND policy = ?2";
                self.row(sql, params![certificate.id, policy.id])
            }
            Key::ThingPrincipal { thing, certificate } => {
                let (Some(certificate), Some(thing)) = (self.certificate(certificate)?, self.thing(thing)?)
                else {
                    return Ok(None);
                };
                let sql = "SELECT 0, version FROM thing_principal WHERE certificate = ?1 AND thing = ?2";
                self.row(sql, params![certificate.id, thing.id])
            }
        }
    }

    fn certificate(&mut self, id: &CertificateId) -> Result<Option<Row>, Error> {
        if let Some((_, row)) = self.certificates.iter().find(|(known, _)| known == id) {
            return Ok(*row);
        }
        let sql = "SELECT id, version FROM certificate WHERE tenant = ?1 AND fingerprint = ?2";
        let row = self.row(sql, params![self.tenant_id, id.0])?;
        self.certificates.push((*id, row));
        Ok(row)
    }

    fn thing(&mut self, name: &ThingName) -> Result<Option<Row>, Error> {
        if let Some((_, row)) = self.things.iter().find(|(known, _)| known == name) {
            return Ok(*row);
        }
        let sql = "SELECT id, version FROM thing WHERE tenant = ?1 AND name = ?2";
        let row = self.row(sql, params![self.tenant_id, name.as_str()])?;
        self.things.push((name.clone(), row));
        Ok(row)
    }

    fn policy(&mut self, name: &PolicyName) -> Result<Option<Row>, Error> {
        let sql = "SELECT id, version FROM policy WHERE tenant = ?1 AND name = ?2";
        self.shared(Key::Policy(name.clone()), |found| {
            found.row(sql, params![found.tenant_id, name.as_str()])
        })
    }

    fn group(&mut self, name: &GroupName) -> Result<Option<Row>, Error> {
        let sql = "SELECT id, version FROM thing_group WHERE tenant = ?1 AND name = ?2";
        self.shared(Key::Group(name.clone()), |found| {
            found.row(sql, params![found.tenant_id, name.as_str()])
        })
    }

    fn resource(&mut self, kind: Kind, name: &str) -> Result<Option<Row>, Error> {
        let sql = "SELECT id, version FROM resource WHERE tenant = ?1 AND kind = ?2 AND name = ?3";
        let key = Key::Resource {
            kind,
            name: name.to_owned(),
        };
        self.shared(key, |found| {
            found.row(sql, params![found.tenant_id, kind.name(), name])
        })
    }

    /// A row that many batches name: looked up once, until it is written.
    fn shared(
        &mut self,
        key: Key,
        look: impl FnOnce(&Self) -> Result<Option<Row>, Error>,
    ) -> Result<Option<Row>, Error> {
        if let Some(row) = self.remembered.row(self.tenant_id, &key) {
            return Ok(Some(row));
        }
        let found = look(self)?;
        if let Some(row) = found {
            self.remembered.note_row(self.tenant_id, key, row);
        }
        Ok(found)
    }

    fn manifest_entry(&self, key: &KeyHash) -> Result<Option<Row>, Error> {
        let sql = "SELECT id, version FROM manifest_entry WHERE tenant = ?1 AND key = ?2";
        self.row(sql, params![self.tenant_id, key.0])
    }

    /// A counter that would reach more than it may is a conflict.
    fn check_tally(&self, tally: &Tally) -> Result<(), CommitError> {
        let found = manifests::tally(self.connection, self.tenant_id, &tally.name, tally.window);
        match found.map_err(CommitError::Fault)? < tally.most {
            true => Ok(()),
            false => Err(CommitError::Conflict(Conflict::Tally(tally.name.clone()))),
        }
    }

    fn template(&self, name: &TemplateName) -> Result<Option<Row>, Error> {
        let sql = "SELECT id, version FROM provisioning_template WHERE tenant = ?1 AND name = ?2";
        self.row(sql, params![self.tenant_id, name.as_str()])
    }

    fn row(&self, sql: &str, params: impl Params) -> Result<Option<Row>, Error> {
        one(self.connection, sql, params, |row| {
            Ok(Row {
                id: column(row, 0)?,
                version: column(row, 1)?,
            })
        })
    }

    fn check_count(&mut self, relation: &Relation, most: u32) -> Result<(), CommitError> {
        let found = self
            .count(relation, most.saturating_add(1))
            .map_err(CommitError::Fault)?;
        if found <= most {
            Ok(())
        } else {
            Err(CommitError::Conflict(Conflict::Relation(relation.clone())))
        }
    }

    /// How many there are, counted up to `limit`.
    fn count(&mut self, relation: &Relation, limit: u32) -> Result<u32, Error> {
        let (sql, row) = match relation {
            Relation::TargetsOf(name) => (
                "SELECT count(*) FROM (SELECT 1 FROM policy_attachment WHERE policy = ?1
                    UNION ALL SELECT 1 FROM group_policy WHERE policy = ?1 LIMIT ?2)",
                self.policy(name)?,
            ),
            Relation::PoliciesOf(PolicyTarget::Certificate(id)) => (
                "SELECT count(*) FROM (SELECT 1 FROM policy_attachment WHERE certificate = ?1 LIMIT ?2)",
                self.certificate(id)?,
            ),
            Relation::PoliciesOf(PolicyTarget::Group(name)) => (
                "SELECT count(*) FROM (SELECT 1 FROM group_policy WHERE thing_group = ?1 LIMIT ?2)",
                self.group(name)?,
            ),
            Relation::ChildrenOf(name) => (
                "SELECT count(*) FROM (SELECT 1 FROM thing_group WHERE parent = ?1 LIMIT ?2)",
                self.group(name)?,
            ),
            Relation::GroupsOf(name) => (
                "SELECT count(*) FROM (SELECT 1 FROM group_member WHERE thing = ?1 LIMIT ?2)",
                self.thing(name)?,
            ),
            Relation::ThingsOf(id) => (
                "SELECT count(*) FROM (SELECT 1 FROM thing_principal WHERE certificate = ?1 LIMIT ?2)",
                self.certificate(id)?,
            ),
            Relation::PrincipalsOf(name) => (
                "SELECT count(*) FROM (SELECT 1 FROM thing_principal WHERE thing = ?1 LIMIT ?2)",
                self.thing(name)?,
            ),
            Relation::ThingsOfType(name) => {
                let sql = "SELECT count(*) FROM (SELECT 1 FROM thing WHERE tenant = ?1 AND type_name = ?2 LIMIT ?3)";
                return count(
                    self.connection,
                    sql,
                    params![self.tenant_id, name.as_str(), limit],
                );
            }
            Relation::ThingsBilledTo(name) => {
                let sql = "SELECT count(*) FROM (SELECT 1 FROM thing WHERE tenant = ?1 AND billing_group = ?2 LIMIT ?3)";
                return count(
                    self.connection,
                    sql,
                    params![self.tenant_id, name.as_str(), limit],
                );
            }
            Relation::Templates => {
                let sql =
                    "SELECT count(*) FROM (SELECT 1 FROM provisioning_template WHERE tenant = ?1 LIMIT ?2)";
                return count(self.connection, sql, params![self.tenant_id, limit]);
            }
            Relation::CasWithTemplate(name) => {
                let sql = "SELECT count(*) FROM (SELECT 1 FROM ca WHERE tenant = ?1 AND template_name = ?2 LIMIT ?3)";
                return count(
                    self.connection,
                    sql,
                    params![self.tenant_id, name.as_str(), limit],
                );
            }
            Relation::CasWithSubject(subject) => {
                let sql =
                    "SELECT count(*) FROM (SELECT 1 FROM ca WHERE tenant = ?1 AND subject = ?2 LIMIT ?3)";
                return count(
                    self.connection,
                    sql,
                    params![self.tenant_id, subject.as_ref(), limit],
                );
            }
        };
        row.map_or(Ok(0), |row| count(self.connection, sql, params![row.id, limit]))
    }
}
