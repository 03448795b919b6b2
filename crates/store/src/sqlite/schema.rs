//! Opening a database file: numbered migrations, forward only, and a clear answer to a file from the future.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::directory::make_private;
use crate::error::Error;
use crate::limits::{
    ATTEMPT_CACHE_KIB, ATTEMPT_CHECKPOINT_PAGES, ATTEMPT_PAGE_BYTES, BUSY_TIMEOUT_MILLIS, CHECKPOINT_PAGES,
    PAGE_BYTES, READER_MAP_BYTES, WRITER_CACHE_KIB,
};

/// How much a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// A commit survives the loss of power (synchronous=FULL).
    PowerLoss,
    /// A commit survives the end of the process (synchronous=NORMAL).
    ProcessEnd,
}

/// Migrations of the records, oldest first; the number of a migration is its place, from 1.
pub(super) const RECORDS: &[&str] = &[
    include_str!("migrations/records_1.sql"),
    include_str!("migrations/records_2.sql"),
    include_str!("migrations/records_3.sql"),
    include_str!("migrations/records_4.sql"),
    include_str!("migrations/records_5.sql"),
    include_str!("migrations/records_6.sql"),
];
/// Migrations of the attempts.
pub(super) const ATTEMPTS: &[&str] = &[include_str!("migrations/attempts_1.sql")];

/// How the writer of a file works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing {
    durability: Durability,
    /// Its page cache, in KiB.
    cache_kib: i64,
    /// A page of a new file, in bytes; a file that is there keeps its own.
    page_bytes: i64,
    /// Pages in the write-ahead log before it is moved into the file.
    checkpoint_pages: i64,
}

impl Writing {
    pub(super) const RECORDS: Self = Self {
        durability: Durability::PowerLoss,
        cache_kib: WRITER_CACHE_KIB,
        page_bytes: PAGE_BYTES,
        checkpoint_pages: CHECKPOINT_PAGES,
    };
    pub(super) const ATTEMPTS: Self = Self {
        durability: Durability::ProcessEnd,
        cache_kib: ATTEMPT_CACHE_KIB,
        page_bytes: ATTEMPT_PAGE_BYTES,
        checkpoint_pages: ATTEMPT_CHECKPOINT_PAGES,
    };
}

/// Opens the one connection that writes, and brings the file up to date.
pub(super) fn open_writer(path: &Path, migrations: &[&str], writing: Writing) -> Result<Connection, Error> {
    make_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(Error::database("open its file"))?;
    prepare(&connection, writing.cache_kib)?;
    check_version(path, found_version(&connection)?, migrations)?;
    let synchronous = match writing.durability {
        Durability::PowerLoss => "FULL",
        Durability::ProcessEnd => "NORMAL",
    };
    let configure = || -> rusqlite::Result<()> {
        connection.pragma_update(None, "page_size", writing.page_bytes)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", writing.checkpoint_pages)?;
        connection.pragma_update(None, "foreign_keys", true)
    };
    configure().map_err(Error::database("configure its file"))?;
    migrate(&mut connection, migrations)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path, migrations: &[&str], cache_kib: i64) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(Error::database("open its file"))?;
    prepare(&connection, cache_kib)?;
    connection
        .pragma_update(None, "mmap_size", READER_MAP_BYTES)
        .map_err(Error::database("configure its file"))?;
    check_version(path, found_version(&connection)?, migrations)?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: i64) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(128);
    // Without this guarantee SQLite compiles a cached statement anew whenever its parameters change.
    let stable = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true);
    stable.map_err(Error::database("configure its file"))?;
    connection
        .busy_timeout(core::time::Duration::from_millis(BUSY_TIMEOUT_MILLIS))
        .and_then(|()| connection.pragma_update(None, "cache_size", -cache_kib))
        .map_err(Error::database("configure its file"))
}

/// The number in the file; 0 for an empty one.
fn found_version(connection: &Connection) -> Result<i64, Error> {
    let read = || -> rusqlite::Result<i64> {
        let exists = connection
            .query_row(
                "SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'",
                [],
                |_| Ok(()),
            )
            .optional()?;
        match exists {
            None => Ok(0),
            Some(()) => connection.query_row("SELECT version FROM schema_version", [], |row| row.get(0)),
        }
    };
    read().map_err(Error::database("read the version of its file"))
}

fn check_version(path: &Path, found: i64, migrations: &[&str]) -> Result<(), Error> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Newer {
            path: path.into(),
            found,
            known,
        });
    }
    Ok(())
}

/// Applies what is missing, all in one transaction.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), Error> {
    let mut run = || -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT;
             INSERT INTO schema_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_version);",
        )?;
        let found: usize =
            transaction.query_row("SELECT version FROM schema_version", [], |row| row.get(0))?;
        for migration in migrations.iter().skip(found) {
            transaction.execute_batch(migration)?;
        }
        if found < migrations.len() {
            transaction.execute("UPDATE schema_version SET version = ?1", [migrations.len()])?;
        }
        transaction.commit()
    };
    run().map_err(Error::database("bring its file up to date"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_has_the_pages_it_is_to_have_and_an_old_one_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let small = Writing {
            page_bytes: PAGE_BYTES,
            ..Writing::ATTEMPTS
        };
        for (name, first, expected) in [
            ("new", Writing::ATTEMPTS, ATTEMPT_PAGE_BYTES),
            ("old", small, PAGE_BYTES),
        ] {
            let path = folder.path().join(name);
            drop(open_writer(&path, ATTEMPTS, first).unwrap());
            let connection = open_writer(&path, ATTEMPTS, Writing::ATTEMPTS).unwrap();
            let found: i64 = connection
                .pragma_query_value(None, "page_size", |row| row.get(0))
                .unwrap();
            assert_eq!(found, expected, "{name}");
            connection.execute("DELETE FROM attempt", []).unwrap();
        }
    }
}
