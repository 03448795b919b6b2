//! Numbers for the fingerprints of CAs, so that a certificate's row names its CA in one byte or two.

use std::collections::HashMap;

use identity::CertificateId;
use rusqlite::{Connection, params};

use super::read::{column, one};
use crate::error::Error;

/// The numbers that the writer has seen. Forgotten when a transaction is rolled back.
#[derive(Default)]
pub(super) struct Issuers(HashMap<CertificateId, i64>);

impl Issuers {
    /// The number of a CA; made if it has none.
    pub(super) fn number(
        &mut self,
        connection: &Connection,
        ca: Option<&CertificateId>,
    ) -> Result<Option<i64>, Error> {
        let Some(ca) = ca else { return Ok(None) };
        if let Some(number) = self.0.get(ca) {
            return Ok(Some(*number));
        }
        let sql = "SELECT id FROM issuer WHERE fingerprint = ?1";
        let number = match one(connection, sql, params![ca.0], |row| column(row, 0))? {
            Some(number) => number,
            None => {
                connection
                    .execute("INSERT INTO issuer (fingerprint) VALUES (?1)", params![ca.0])
                    .map_err(Error::database("write a record"))?;
                connection.last_insert_rowid()
            }
        };
        self.0.insert(*ca, number);
        Ok(Some(number))
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
