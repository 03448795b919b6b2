//! Reads the ring of attempts, also from another process while `serve` runs.

use std::path::Path;
use std::sync::Arc;

use fleet::attempt::Verdict;
use identity::UnixMillis;
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use super::attempt_codec::decode;
use super::schema::{ATTEMPTS, open_reader};
use crate::attempts::{Filter, Recorded, What};
use crate::directory::attempts_in;
use crate::error::Error;
use crate::limits::{ATTEMPTS_READ_MAX, READER_CACHE_KIB};

/// A connection that only reads attempts.
pub struct AttemptReader {
    connection: Connection,
}

impl AttemptReader {
    /// Opens the ring in a data directory, whoever holds that.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::open_file(&attempts_in(directory))
    }

    pub(super) fn open_file(path: &Path) -> Result<Self, Error> {
        path.metadata().map_err(|cause| Error::Directory {
            path: path.into(),
            action: "read the attempts in",
            cause: Arc::new(cause),
        })?;
        Ok(Self {
            connection: open_reader(path, ATTEMPTS, READER_CACHE_KIB)?,
        })
    }

    /// The newest attempts that pass the filter, newest first; at most [`ATTEMPTS_READ_MAX`].
    pub fn newest(&self, filter: &Filter, limit: usize) -> Result<Vec<Recorded>, Error> {
        self.between(filter, 0, "DESC", limit)
    }

    /// Attempts that were recorded after this place, oldest first: for following.
    pub fn after(&self, filter: &Filter, place: u64, limit: usize) -> Result<Vec<Recorded>, Error> {
        self.between(filter, place, "ASC", limit)
    }

    fn between(
        &self,
        filter: &Filter,
        after: u64,
        direction: &str,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let failed = Error::database("read attempts");
        let limit = limit.min(ATTEMPTS_READ_MAX);
        let (mut conditions, mut params) = conditions(filter);
        conditions.push_str(" AND place > ?");
        params.push(Box::new(after));
        params.push(Box::new(limit));
        let sql = format!(
            "SELECT place, count, first_at, body FROM attempt WHERE {conditions} ORDER BY place {direction} LIMIT ?"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = statement
            .query(rusqlite::params_from_iter(params))
            .map_err(&failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            found.push(recorded(row)?);
        }
        Ok(found)
    }
}

fn conditions(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut conditions = "TRUE".to_owned();
    let mut params: Vec<Box<dyn ToSql>> = Vec::new();
    let mut demand = |condition: &str, value: Box<dyn ToSql>| {
        conditions.push_str(" AND ");
        conditions.push_str(condition);
        params.push(value);
    };
    match &filter.what {
        What::Last => {}
        What::Certificate(id) => demand("fingerprint = ?", Box::new(id.0)),
        What::Thing(name) => {
            // Also those of its certificates that ended before it was looked up whose they are. A claim certificate
            // is shared by many, so what it provisioned does not count.
            demand("(thing = ? OR thing IS NULL)", Box::new(name.to_string()));
            let own = "(thing IS NOT NULL OR fingerprint IN (SELECT fingerprint FROM attempt WHERE thing = ?
                 AND json_extract(body, '$.kind') <> 'provision'))";
            demand(own, Box::new(name.to_string()));
        }
        What::Address(address) => demand("address = ?", Box::new(address.to_string())),
        What::Trace(trace) => demand("trace = ?", Box::new(trace.0)),
    }
    if let Some(tenant) = &filter.tenant {
        demand("account = ?", Box::new(tenant.account.to_string()));
        demand("region = ?", Box::new(tenant.region.to_string()));
    }
    if filter.refused_only {
        demand("verdict <> ?", Box::new(Verdict::Accepted.name()));
    }
    (conditions, params)
}

fn recorded(row: &Row<'_>) -> Result<Recorded, Error> {
    let failed = Error::database("read attempts");
    let body = row.get_ref(3).map_err(&failed)?;
    let body = body
        .as_str()
        .map_err(|_| Error::corrupt("attempt.body", "not a text"))?;
    Ok(Recorded {
        place: row.get(0).map_err(&failed)?,
        count: row.get(1).map_err(&failed)?,
        first_at: UnixMillis(row.get(2).map_err(&failed)?),
        attempt: decode(body)?,
    })
}
