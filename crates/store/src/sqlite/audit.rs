//! The audit log: each line carries a hash over itself and the hash before it.
//!
//! Whoever alters, removes or inserts a line has to rewrite every line after it, and the last hash, which an operator can
//! note elsewhere, no longer fits. The chain spans all tenants, in the order of commits.

use fleet::audit::Entry;
use identity::{Tenant, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::schema::{RECORDS, open_reader};
use crate::directory::records_in;
use crate::error::Error;
use crate::limits::READER_CACHE_KIB;

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    number: u64,
    hash: [u8; 32],
}

impl Chain {
    const EMPTY: Self = Self {
        number: 0,
        hash: [0; 32],
    };

    /// Reads the end of the chain.
    pub(super) fn load(connection: &Connection) -> Result<Self, Error> {
        let last = connection
            .query_row(
                "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1",
                [],
                |row| Ok((row.get::<_, u64>(0)?, row.get::<_, [u8; 32]>(1)?)),
            )
            .optional()
            .map_err(Error::database("read the audit log"))?;
        Ok(last.map_or(Self::EMPTY, |(number, hash)| Self { number, hash }))
    }

    /// Writes one entry behind the end.
    pub(super) fn append(
        &mut self,
        connection: &Connection,
        tenant: (&Tenant, i64),
        version: u64,
        entry: &Entry,
    ) -> rusqlite::Result<()> {
        let (tenant, tenant_id) = tenant;
        let line = Line {
            number: self.number + 1,
            tenant: *tenant,
            version,
            at: entry.at,
            actor: &entry.actor.to_string(),
            action: entry.action,
            subject: entry.subject.as_str(),
            detail: entry.detail.as_str(),
        };
        let hash = line.hash(&self.hash);
        connection
            .prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
            .execute(params![
                line.number,
                tenant_id,
                version,
                line.at.0,
                line.actor,
                line.action,
                line.subject,
                line.detail,
                hash
            ])?;
        *self = Self {
            number: line.number,
            hash,
        };
        Ok(())
    }
}

/// One line as it is hashed.
struct Line<'a> {
    number: u64,
    tenant: Tenant,
    version: u64,
    at: UnixMillis,
    actor: &'a str,
    action: &'a str,
    subject: &'a str,
    detail: &'a str,
}

impl Line<'_> {
    /// SHA-256 over the hash before and every column, each text with its length in front.
    fn hash(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(320);
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.at.0.to_be_bytes());
        let texts = [
            self.tenant.account.as_str(),
            self.tenant.region.as_str(),
            self.actor,
            self.action,
            self.subject,
            self.detail,
        ];
        for text in texts {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        identity::crypto::sha256(&bytes)
    }
}

/// Reads the whole chain in a data directory, whoever holds that; gives the number of lines and the last hash.
pub fn verify_audit(directory: &std::path::Path) -> Result<(u64, [u8; 32]), Error> {
    let path = records_in(directory);
    path.metadata().map_err(|cause| Error::Directory {
        path: path.clone(),
        action: "read the audit log in",
        cause: std::sync::Arc::new(cause),
    })?;
    verify(&open_reader(&path, RECORDS, READER_CACHE_KIB)?)
}

/// Reads the whole chain; gives the number of lines and the last hash, or the first line that does not fit.
pub(super) fn verify(connection: &Connection) -> Result<(u64, [u8; 32]), Error> {
    let failed = Error::database("read the audit log");
    let mut statement = connection
        .prepare(
            "SELECT number, account, region, version, at, actor, action, subject, detail, hash
             FROM audit LEFT JOIN tenant ON tenant.id = audit.tenant ORDER BY number",
        )
        .map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    let mut end = Chain::EMPTY;
    while let Some(row) = rows.next().map_err(&failed)? {
        let next = end.number + 1;
        let fits = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Option<[u8; 32]>> {
            let text = |at| row.get::<_, String>(at);
            let (account, region) = (text(1)?, text(2)?);
            let (Ok(account), Ok(region)) = (account.parse(), region.parse()) else {
                return Ok(None);
            };
            let line = Line {
                number: row.get(0)?,
                tenant: Tenant { account, region },
                version: row.get(3)?,
                at: UnixMillis(row.get(4)?),
                actor: &text(5)?,
                action: &text(6)?,
                subject: &text(7)?,
                detail: &text(8)?,
            };
            let hash = line.hash(&end.hash);
            Ok((line.number == next && row.get::<_, [u8; 32]>(9)? == hash).then_some(hash))
        };
        match fits(row) {
            Ok(Some(hash)) => end = Chain { number: next, hash },
            _ => return Err(Error::BrokenChain { number: next }),
        }
    }
    Ok((end.number, end.hash))
}
