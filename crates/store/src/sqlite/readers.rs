//! The reader connections, and the numbers of tenants that they have seen.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use identity::Tenant;
use rusqlite::Connection;

use super::read;
use super::schema::{RECORDS, open_reader};
use crate::error::Error;
use crate::limits::{LOOKS_AT_REST_MAX, READER_CACHE_KIB, READERS_KEPT_MAX};

/// Connections that only read, taken for one look-up at a time.
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Idle>,
    /// Tenants never go away, so a number once seen stays right.
    tenants: RwLock<HashMap<Tenant, i64>>,
}

impl Readers {
    /// Without a writer in this process, `idle` must be [`Idle::beside_strangers`].
    pub(super) fn new(path: PathBuf, idle: Arc<Idle>) -> Self {
        Self {
            path,
            idle,
            tenants: RwLock::new(HashMap::new()),
        }
    }

    /// One look-up of one statement.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let Taken { connection, moment } = self.take()?;
        // One that failed may go on seeing what it failed on: it is closed.
        let found = look(&connection)?;
        self.idle.put_back(connection, moment);
        Ok(found)
    }

    /// A look-up of several statements that all see the same moment. As long as nothing is written it is the moment of the
    /// look-up before.
    pub(super) fn look_at_once<T>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.look(|connection| {
            if connection.is_autocommit() {
                run(connection, "BEGIN")?;
            }
            look(connection)
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

    /// Closes the connections that nobody uses now, if few look-ups were made since this was last asked: what they hold of the file
    /// in memory is as large as all that was ever looked up.
    pub(super) fn rest(&self) {
        drop(self.idle.rest());
    }

    fn take(&self) -> Result<Taken, Error> {
        let (connection, moment) = self.idle.take();
        let connection = match connection {
            Some(connection) => connection,
            None => open_reader(&self.path, RECORDS, READER_CACHE_KIB)?,
        };
        Ok(Taken { connection, moment })
    }
}

struct Taken {
    connection: Connection,
    moment: u64,
}

/// Connections that nobody uses. Those that looked at one moment go on seeing it, which spares the next look-up the locks of
/// the file; so the writer ends that before it writes, and until it has written nothing is held.
pub(super) struct Idle(Mutex<Waiting>);

struct Waiting {
    connections: Vec<Connection>,
    /// Counts the beginnings and ends of writing; odd while it goes on.
    moment: u64,
    /// Look-ups since it was last asked whether there is need of all these connections.
    looks: u64,
}

impl Idle {
    /// Beside the one writer, which says when it writes.
    pub(super) fn beside_writer() -> Arc<Self> {
        Self::at(0)
    }

    /// Beside a writer of another process: one that may write at any time.
    pub(super) fn beside_strangers() -> Arc<Self> {
        Self::at(1)
    }

    fn at(moment: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Waiting {
            connections: Vec::new(),
            moment,
            looks: 0,
        })))
    }

    /// The writer begins or has ended. After the end no look-up sees what was before.
    pub(super) fn turn(&self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.moment += 1;
        waiting.connections.retain(end);
    }

    fn take(&self) -> (Option<Connection>, u64) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.looks += 1;
        (waiting.connections.pop(), waiting.moment)
    }

    /// Gives away the connections that there is no need of.
    fn rest(&self) -> Vec<Connection> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match core::mem::take(&mut waiting.looks) {
            0..=LOOKS_AT_REST_MAX => core::mem::take(&mut waiting.connections),
            _ => Vec::new(),
        }
    }

    fn put_back(&self, connection: Connection, moment: u64) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = waiting.moment == moment && moment.is_multiple_of(2);
        if waiting.connections.len() < READERS_KEPT_MAX && (holds || end(&connection)) {
            waiting.connections.push(connection);
        }
    }
}

/// Whether a connection sees what is there now from now on.
fn end(connection: &Connection) -> bool {
    connection.is_autocommit() || run(connection, "COMMIT").is_ok()
}

fn run(connection: &Connection, sql: &str) -> Result<(), Error> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(drop)
        .map_err(Error::database("look at one moment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_that_are_hardly_used_are_closed() {
        let idle = Idle::beside_writer();
        let look = || {
            let (connection, moment) = idle.take();
            let connection = connection.unwrap_or_else(|| Connection::open_in_memory().unwrap());
            idle.put_back(connection, moment);
        };
        (0..=LOOKS_AT_REST_MAX).for_each(|_| look());
        assert!(idle.rest().is_empty(), "many look-ups need it");
        assert!(idle.take().0.is_some());
        look();
        assert_eq!(idle.rest().len(), 1);
        assert!(idle.take().0.is_none());
    }
}
