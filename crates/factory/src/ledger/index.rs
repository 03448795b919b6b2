//! The index of the ledger in SQLite: it answers questions, and refuses what must be unique twice. It never knows more than
//! the file, and may know less; what it lacks is read from the file when the ledger is opened.

use std::path::{Path, PathBuf};

use identity::{
    CertificateId, UnixMillis,
    certificate::Certificate,
    issue::{Serial, Validity},
};
use optiga::Uid;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction, params};

use crate::{
    Error, Order, Terms,
    ledger::{
        State, Unit,
        log::Mark,
        record::{Device, Intent, Purpose, Record, Scrap},
    },
    limits,
};

/// The newest schema that this program knows.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");
const UNIT_COLUMNS: &str = "number, thing, uid, serial, state, fingerprint, intent_at, signed_at, reason";
const ORDER_COLUMNS: &str =
    "id, name, prefix, count, not_before, not_after, intended, signed, done, scrapped";

/// The index, open.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    database: Connection,
}

impl Index {
    /// Opens the index of this factory's ledger, or makes an empty one.
    pub(crate) fn open(path: &Path, factory: &[u8; 16], start: Mark) -> Result<Self, Error> {
        Self::prepare(
            Connection::open(path).map_err(Error::Index)?,
            path,
            factory,
            start,
        )
    }

    /// An index that is gone when it is dropped.
    pub(crate) fn in_memory(factory: &[u8; 16], start: Mark) -> Result<Self, Error> {
        let database = Connection::open_in_memory().map_err(Error::Index)?;
        Self::prepare(database, Path::new(""), factory, start)
    }

    fn prepare(
        mut database: Connection,
        path: &Path,
        factory: &[u8; 16],
        start: Mark,
    ) -> Result<Self, Error> {
        let version = known_version(&database, path)?;
        configure(&database).map_err(Error::Index)?;
        if version == 0 {
            make(&mut database, factory, start).map_err(Error::Index)?;
        }
        let index = Self {
            path: path.into(),
            database,
        };
        index.check_factory(factory)?;
        Ok(index)
    }

    /// Opens the index for questions only, beside a process that may be writing.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, Error> {
        let database =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(Error::Index)?;
        known_version(&database, path)?;
        stable_plans(&database).map_err(Error::Index)?;
        Ok(Self {
            path: path.into(),
            database,
        })
    }

    fn check_factory(&self, factory: &[u8; 16]) -> Result<(), Error> {
        let found: Vec<u8> = self
            .database
            .query_row("SELECT factory FROM ledger", [], |row| row.get(0))
            .map_err(Error::Index)?;
        if found == factory {
            Ok(())
        } else {
            Err(Error::Misplaced {
                path: self.path.clone(),
            })
        }
    }

    /// How much of the file is in here.
    pub(crate) fn mark(&self) -> Result<Mark, Error> {
        let read = |row: &Row<'_>| {
            Ok(Mark {
                at: unsigned(row.get(0)?),
                chain: row.get(1)?,
            })
        };
        self.database
            .prepare_cached("SELECT at, chain FROM ledger")
            .and_then(|mut statement| statement.query_row([], read))
            .map_err(Error::Index)
    }

    /// Begins to take records in; nothing is in before the transaction is committed.
    pub(crate) fn begin(&mut self) -> Result<Intake<'_>, Error> {
        self.database.transaction().map(Intake).map_err(Error::Index)
    }

    /// The serial number counter that has not been used yet.
    pub(crate) fn next_serial(&self) -> Result<u64, Error> {
        let sql = "SELECT coalesce(max(id), 0) + 1 FROM certificate";
        self.database
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map(unsigned)
            .map_err(Error::Index)
    }

    pub(crate) fn orders(&self) -> Result<Vec<Order>, Error> {
        let sql = format!("SELECT {ORDER_COLUMNS} FROM orders ORDER BY id");
        let mut statement = self.database.prepare(&sql).map_err(Error::Index)?;
        let rows = statement.query_map([], read_order).map_err(Error::Index)?;
        rows.collect::<Result<_, _>>().map_err(Error::Index)
    }

    pub(crate) fn order(&self, name: &str) -> Result<Option<Order>, Error> {
        let sql = format!("SELECT {ORDER_COLUMNS} FROM orders WHERE name = ?1");
        self.database
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([name], read_order).optional())
            .map_err(Error::Index)
    }

    /// What is known of a chip in an order: its last certificate, or why it was scrapped before it had one.
    pub(crate) fn chip(&self, order: u32, uid: &Uid) -> Result<Option<Chip>, Error> {
        let sql = format!(
            "SELECT {UNIT_COLUMNS} FROM certificate WHERE order_id = ?1 AND uid = ?2 ORDER BY id DESC LIMIT 1"
        );
        let mut statement = self.database.prepare_cached(&sql).map_err(Error::Index)?;
        let unit = statement
            .query_row(params![order, &uid.0], read_unit)
            .optional()
            .map_err(Error::Index)?;
        if let Some(unit) = unit {
            return Ok(Some(Chip::Unit(unit)));
        }
        let sql = "SELECT reason FROM scrap WHERE order_id = ?1 AND uid = ?2";
        let mut statement = self.database.prepare_cached(sql).map_err(Error::Index)?;
        let reason = statement
            .query_row(params![order, &uid.0], |row| row.get(0))
            .optional();
        Ok(reason.map_err(Error::Index)?.map(Chip::Scrapped))
    }

    /// Units of an order, by number, behind `after`.
    pub(crate) fn units(&self, order: u32, after: u64, count: usize) -> Result<Vec<Unit>, Error> {
        let count = i64::try_from(count.min(limits::PAGE_UNITS_MAX)).unwrap_or_default();
        // Thing names of an order rise with its numbers, and certificates are prepared in the order of their numbers.
        let sql = format!(
            "SELECT {UNIT_COLUMNS} FROM certificate WHERE order_id = ?1 AND number > ?2 ORDER BY id LIMIT ?3"
        );
        let mut statement = self.database.prepare_cached(&sql).map_err(Error::Index)?;
        let rows = statement
            .query_map(params![order, signed(after), count], read_unit)
            .map_err(Error::Index)?;
        rows.collect::<Result<_, _>>().map_err(Error::Index)
    }
}

/// What is known of a chip.
pub(crate) enum Chip {
    Unit(Unit),
    Scrapped(String),
}

/// The version of the schema, 0 if there is none; one that is newer than this program is refused.
fn known_version(database: &Connection, path: &Path) -> Result<i64, Error> {
    let version = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(Error::Index)?;
    if version > SCHEMA_VERSION {
        return Err(Error::Newer {
            path: path.into(),
            found: version,
            known: SCHEMA_VERSION,
        });
    }
    Ok(version)
}

fn configure(database: &Connection) -> rusqlite::Result<()> {
    stable_plans(database)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "foreign_keys", true)
}

/// Without this guarantee SQLite compiles a cached statement anew whenever its parameters change.
fn stable_plans(database: &Connection) -> rusqlite::Result<()> {
    database
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

fn make(database: &mut Connection, factory: &[u8; 16], start: Mark) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let values = params![factory, signed(start.at), start.chain];
    transaction.execute(
        "INSERT INTO ledger (factory, at, chain) VALUES (?1, ?2, ?3)",
        values,
    )?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Records on their way into the index.
pub(crate) struct Intake<'a>(Transaction<'a>);

impl Intake<'_> {
    /// Takes in a record that begins at `at` in the file. What must be unique and is not, is refused here.
    pub(crate) fn take(&self, record: &Record, at: u64) -> Result<(), Error> {
        match record {
            Record::Order(terms) => self.take_order(terms),
            Record::Intent(intent) => self.take_intent(intent, at),
            Record::Signed(certificate) => self.take_signed(certificate, at),
            Record::Done(serial) => self.take_done(serial),
            Record::Scrapped(scrap) => self.take_scrap(scrap),
        }
    }

    /// Makes it durable, together with the place up to which the file is in here.
    pub(crate) fn commit(self, mark: Mark) -> Result<(), Error> {
        let values = params![signed(mark.at), mark.chain];
        self.0
            .execute("UPDATE ledger SET at = ?1, chain = ?2", values)
            .map_err(Error::Index)?;
        self.0.commit().map_err(Error::Index)
    }

    fn run(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        what: impl Fn() -> String,
    ) -> Result<usize, Error> {
        let result = self
            .0
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values));
        result.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Error::Duplicate { what: what() },
            _ => Error::Index(error),
        })
    }

    /// Counts one step of an order; more than the order allows is refused by the table.
    fn count(&self, column: &str, order: u32) -> Result<(), Error> {
        let sql = format!("UPDATE orders SET {column} = {column} + 1 WHERE id = ?1");
        let changed = self.run(&sql, params![order], || {
            format!("every certificate of order {order}")
        })?;
        if changed == 1 {
            Ok(())
        } else {
            Err(Error::OutOfStep {
                what: "a step of an unknown order",
            })
        }
    }

    fn take_order(&self, terms: &Terms) -> Result<(), Error> {
        let validity = terms.validity;
        let values = params![
            terms.name,
            terms.prefix,
            signed(terms.count),
            validity.not_before().0,
            validity.not_after().0
        ];
        let sql =
            "INSERT INTO orders (name, prefix, count, not_before, not_after) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.run(sql, values, || format!("the order {}", terms.name))
            .map(drop)
    }

    fn take_intent(&self, intent: &Intent, at: u64) -> Result<(), Error> {
        let (purpose, device) = match &intent.purpose {
            Purpose::Authority => (0, None),
            Purpose::Device(device) => (1, Some(device)),
            Purpose::Verification => (2, None),
        };
        let uid = device.map(|device| device.uid.0);
        let values = params![
            intent.serial.bytes(),
            purpose,
            device.map(|device| device.order),
            device.map(|device| signed(device.number)),
            device.map(|device| device.thing.as_str()),
            uid,
            intent.key_hash,
            signed(at),
        ];
        let sql = "INSERT INTO certificate (serial, purpose, order_id, number, thing, uid, key_hash, state, intent_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8)";
        self.run(sql, values, || taken(intent, device))?;
        device.map_or(Ok(()), |device| self.count("intended", device.order))
    }

    fn take_signed(&self, certificate: &Certificate, at: u64) -> Result<(), Error> {
        let fingerprint = certificate.id();
        let sql = "UPDATE certificate SET state = 2, signed_at = ?1, fingerprint = ?2 WHERE serial = ?3 AND state = 1";
        let values = params![signed(at), fingerprint.0, certificate.serial()];
        let changed = self.run(sql, values, || format!("the certificate {fingerprint}"))?;
        self.follow(changed, certificate.serial(), "signed", "a signature")
    }

    fn take_done(&self, serial: &Serial) -> Result<(), Error> {
        let sql = "UPDATE certificate SET state = 3 WHERE serial = ?1 AND state = 2";
        let changed = self.run(sql, params![serial.bytes()], String::new)?;
        self.follow(changed, serial.bytes(), "done", "a finished chip")
    }

    /// Counts the step for the order of the certificate, if it has one; the step itself must have changed one row.
    fn follow(&self, changed: usize, serial: &[u8], column: &str, what: &'static str) -> Result<(), Error> {
        if changed != 1 {
            return Err(Error::OutOfStep { what });
        }
        let sql = "SELECT order_id FROM certificate WHERE serial = ?1";
        let mut statement = self.0.prepare_cached(sql).map_err(Error::Index)?;
        let order: Option<u32> = statement
            .query_row([serial], |row| row.get(0))
            .map_err(Error::Index)?;
        order.map_or(Ok(()), |order| self.count(column, order))
    }

    fn take_scrap(&self, scrap: &Scrap) -> Result<(), Error> {
        let what = || format!("the scrapped chip {}", scrap.uid);
        match &scrap.serial {
            Some(serial) => {
                let sql = "UPDATE certificate SET state = 4, reason = ?1 WHERE serial = ?2 AND state < 3";
                if self.run(sql, params![scrap.reason, serial.bytes()], what)? != 1 {
                    return Err(Error::OutOfStep {
                        what: "a scrapped chip",
                    });
                }
            }
            None => {
                let sql = "INSERT INTO scrap (order_id, uid, reason) VALUES (?1, ?2, ?3)";
                self.run(sql, params![scrap.order, scrap.uid.0, scrap.reason], what)?;
            }
        }
        self.count("scrapped", scrap.order)
    }
}

fn taken(intent: &Intent, device: Option<&Device>) -> String {
    let serial = intent.serial;
    match device {
        Some(device) => format!(
            "serial number {serial}, thing {} or chip {}",
            device.thing, device.uid
        ),
        None => format!("serial number {serial}"),
    }
}

fn read_order(row: &Row<'_>) -> rusqlite::Result<Order> {
    let validity = Validity::new(UnixMillis(row.get(4)?), UnixMillis(row.get(5)?))
        .map_err(|error| unreadable(4, error))?;
    let terms = Terms {
        name: row.get(1)?,
        prefix: row.get(2)?,
        count: unsigned(row.get(3)?),
        validity,
    };
    Ok(Order {
        id: row.get(0)?,
        terms,
        intended: unsigned(row.get(6)?),
        signed: unsigned(row.get(7)?),
        done: unsigned(row.get(8)?),
        scrapped: unsigned(row.get(9)?),
    })
}

fn read_unit(row: &Row<'_>) -> rusqlite::Result<Unit> {
    let thing: String = row.get(1)?;
    let fingerprint: Option<[u8; 32]> = row.get(5)?;
    let signed_at: Option<i64> = row.get(7)?;
    let state = match row.get(4)? {
        1 => State::Intended,
        2 => State::Signed,
        3 => State::Done,
        _ => State::Scrapped,
    };
    Ok(Unit {
        number: unsigned(row.get(0)?),
        thing: thing.parse().map_err(|error| unreadable(1, error))?,
        uid: Uid(row.get(2)?),
        serial: Serial::new(row.get(3)?).map_err(|error| unreadable(3, error))?,
        state,
        certificate: fingerprint.map(CertificateId),
        intent_at: unsigned(row.get(6)?),
        signed_at: signed_at.map(unsigned),
        reason: row.get(8)?,
    })
}

fn unreadable(column: usize, error: identity::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Null, Box::new(error))
}

/// SQLite has only signed integers; ours are all below 2^63.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
