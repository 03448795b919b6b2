//! The reader connections, and the numbers of tenants that they have seen.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};

use identity::Tenant;
use rusqlite::Connection;

use super::read;
use super::schema::{RECORDS, open_reader};
use crate::error::Error;
use crate::limits::{READER_CACHE_KIB, READERS_KEPT_MAX};

/// Connections that only read, taken for one look-up at a time.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Tenants never go away, so a number once seen stays right.
    tenants: RwLock<HashMap<Tenant, i64>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
            tenants: RwLock::new(HashMap::new()),
        }
    }

    /// One look-up of one statement.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let connection = self.take()?;
        let result = look(&connection);
        self.put_back(connection);
        result
    }

    /// A look-up of several statements that all see the same moment.
    pub(super) fn look_at_once<T>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.look(|connection| {
            run(connection, "BEGIN")?;
            let result = look(connection);
            run(connection, "COMMIT")?;
            result
        })
    }

    /// The number of a tenant, if anything was ever kept for it.
    pub(super) fn tenant(&self, connection: &Connection, tenant: &Tenant) -> Result<Option<i64>, Error> {
        if let Some(id) = self
            .tenants
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(tenant)
        {
            return Ok(Some(*id));
        }
        let id = read::tenant_id(connection, tenant)?;
        if let Some(id) = id {
            self.tenants
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(*tenant, id);
        }
        Ok(id)
    }

    fn take(&self) -> Result<Connection, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open_reader(&self.path, RECORDS, READER_CACHE_KIB), Ok)
    }

    /// A connection inside a transaction (its COMMIT failed) is closed instead.
    fn put_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS_KEPT_MAX && connection.is_autocommit() {
            idle.push(connection);
        }
    }
}

fn run(connection: &Connection, sql: &str) -> Result<(), Error> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(drop)
        .map_err(Error::database("look at one moment"))
}
