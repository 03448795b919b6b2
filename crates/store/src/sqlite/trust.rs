//! Everything that a grant for a registered certificate rests on, in as few statements as can be: it is looked up for each
//! device that connects and is not known by heart.
//!
//! Rows become records as in [`read`](super::read). Most devices have one policy of a few, so documents are read once and
//! shared. What is kept of them here says nothing about who has which: that is read each time.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use fleet::record::{DeviceCertificate, Thing, Versioned};
use identity::CertificateId;
use rusqlite::{Connection, Row, params};

use super::read::{all, attached_policy, certificate_row, column, one, thing_row};
use crate::error::Error;
use crate::limits::DOCUMENTS_KEPT_MAX;
use crate::records::{AttachedPolicy, Trust};

/// Policies with the document that counts. No commit writes a policy twice, and a change of a policy is another commit, so what
/// stands under a row and the number of a commit never changes.
#[derive(Default)]
pub(super) struct Documents(RwLock<HashMap<Edition, AttachedPolicy>>);

/// The row of a policy, and the commit that wrote it.
type Edition = (u64, u64);

impl Documents {
    fn find(&self, edition: &Edition) -> Option<AttachedPolicy> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(edition).cloned()
    }

    fn keep(&self, edition: Edition, policy: AttachedPolicy) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= DOCUMENTS_KEPT_MAX {
            kept.clear();
        }
        kept.insert(edition, policy);
    }
}

/// A certificate with what is read in the same statement.
struct Found {
    row: u64,
    certificate: Versioned<DeviceCertificate>,
    epoch: u64,
    editions: Vec<Edition>,
}

/// Looks up what the grant of a certificate rests on; all at one moment if the connection looks at one.
pub(super) fn trust(
    connection: &Connection,
    documents: &Documents,
    tenant: i64,
    id: &CertificateId,
) -> Result<Option<Trust>, Error> {
    let Some(found) = certificate_and_policies(connection, tenant, id)? else {
        return Ok(None);
    };
    let mut policies = Vec::with_capacity(found.editions.len());
    for edition in &found.editions {
        policies.extend(policy(connection, documents, edition)?);
    }
    let (things, in_groups) = things(connection, found.row)?;
    // Climbing costs a table of its own each time, and most things are in no group.
    if in_groups {
        for inherited in group_policies(connection, found.row)? {
            if !policies.iter().any(|known| known.name == inherited.name) {
                policies.push(inherited);
            }
        }
    }
    Ok(Some(Trust {
        certificate: found.certificate,
        policies,
        things,
        epoch: found.epoch,
    }))
}

fn certificate_and_policies(
    connection: &Connection,
    tenant: i64,
    id: &CertificateId,
) -> Result<Option<Found>, Error> {
    let sql = concat!(
        "SELECT ",
        certificate_fields!(),
        ", (SELECT epoch FROM tenant WHERE id = ?1), p.id, p.version",
        certificate_tables!(),
        " LEFT JOIN policy_attachment a ON a.certificate = c.id LEFT JOIN policy p ON p.id = a.policy
         WHERE c.tenant = ?1 AND c.fingerprint = ?2 ORDER BY a.policy"
    );
    let mut found: Option<Found> = None;
    let failed = Error::database("look up a certificate");
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query(params![tenant, id.0]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let edition = edition(row)?;
        match &mut found {
            Some(found) => found.editions.extend(edition),
            None => {
                let (number, certificate) = certificate_row(row)?;
                found = Some(Found {
                    row: number,
                    certificate,
                    epoch: column(row, 13)?,
                    editions: Vec::from_iter(edition),
                });
            }
        }
    }
    Ok(found)
}

/// The policy in one row of a certificate, if it has any.
fn edition(row: &Row<'_>) -> Result<Option<Edition>, Error> {
    let policy: Option<u64> = column(row, 14)?;
    policy.map(|policy| Ok((policy, column(row, 15)?))).transpose()
}

fn policy(
    connection: &Connection,
    documents: &Documents,
    edition: &Edition,
) -> Result<Option<AttachedPolicy>, Error> {
    if let Some(known) = documents.find(edition) {
        return Ok(Some(known));
    }
    let sql = "SELECT p.name, p.default_version, p.version, v.document FROM policy p
         JOIN policy_version v ON v.policy = p.id AND v.id = p.default_version WHERE p.id = ?1";
    let found = one(connection, sql, [edition.0], attached_policy)?;
    if let Some(policy) = &found {
        documents.keep((edition.0, policy.record_version), policy.clone());
    }
    Ok(found)
}

/// The things of a certificate, and whether any of them is in a group.
fn things(connection: &Connection, certificate: u64) -> Result<(Vec<Thing>, bool), Error> {
    let sql = concat!(
        "SELECT ",
        thing_fields!(),
        ", EXISTS (SELECT 1 FROM group_member m WHERE m.thing = t.id)",
        thing_tables!(),
        " JOIN thing_principal p ON p.thing = t.id WHERE p.certificate = ?1 ORDER BY p.thing"
    );
    let mut in_groups = false;
    let things = all(connection, sql, [certificate], |row| {
        in_groups |= column::<bool>(row, 12)?;
        thing_row(row).map(|(_, thing)| thing.record)
    })?;
    Ok((things, in_groups))
}

/// The policies of the groups that the things of a certificate are in, and of the groups above those.
fn group_policies(connection: &Connection, certificate: u64) -> Result<Vec<AttachedPolicy>, Error> {
    let sql = concat!(
        "WITH RECURSIVE above (id) AS (
            SELECT m.thing_group FROM thing_principal p JOIN group_member m ON m.thing = p.thing WHERE p.certificate = ?1
            ",
        climb!()
    );
    all(connection, sql, [certificate], attached_policy)
}
