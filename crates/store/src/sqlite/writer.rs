//! The one thread that writes records: it takes every batch that waits, keeps them in one transaction, and answers all of
//! them after it is on disk.
//!
//! A batch whose facts no longer hold writes nothing and is told so; the others of the group go on. If the database fails
//! in the middle, the whole transaction is taken back and each batch is tried alone, so that only the one at fault fails.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::batch::Batch;
use identity::Tenant;
use rusqlite::{Connection, params};

use super::apply::Applying;
use super::audit::Chain;
use super::read;
use super::readers::Idle;
use super::remembered::Remembered;
use crate::error::{CommitError, Error};
use crate::limits::{BATCH_ITEMS_MAX, GATHER_BATCHES, GATHER_MICROS, GROUP_BATCHES_MAX};
use crate::measure::Measured;
use crate::oneshot::Answer;
use crate::queue::{Queue, Taker};
use crate::records::Committed;

type Outcome = Result<Committed, CommitError>;

/// What is to be kept, and whoever waits for it.
pub(super) enum Job {
    /// A batch.
    One(Batch, Answer<Outcome>),
    /// Batches, each for itself, at most [`crate::limits::BATCHES_AT_ONCE_MAX`].
    Many(Vec<Batch>, Answer<Vec<Outcome>>),
}

impl Job {
    fn batches(&self) -> &[Batch] {
        match self {
            Self::One(batch, _) => std::slice::from_ref(batch),
            Self::Many(batches, _) => batches,
        }
    }

    /// Takes as many outcomes as it has batches, and answers.
    fn answer(self, outcomes: &mut impl Iterator<Item = Outcome>) {
        match self {
            Self::One(_, answer) => outcomes.next().map_or((), |outcome| answer.send(outcome)),
            Self::Many(batches, answer) => answer.send(outcomes.take(batches.len()).collect()),
        }
    }
}

/// What the writer knows of a tenant.
struct Realm {
    id: i64,
    epoch: u64,
    /// The epoch was raised in this transaction and is still to be written.
    is_raised: bool,
}

/// The writer's state.
pub(super) struct Writer {
    connection: Connection,
    commits: u64,
    chain: Chain,
    tenants: HashMap<Tenant, Realm>,
    remembered: Remembered,
    measured: Arc<Measured>,
    readers: Arc<Idle>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        measured: Arc<Measured>,
        readers: Arc<Idle>,
    ) -> Result<Self, Error> {
        let mut writer = Self {
            commits: 0,
            chain: Chain::load(&connection)?,
            connection,
            tenants: HashMap::new(),
            remembered: Remembered::default(),
            measured,
            readers,
        };
        writer.reload()?;
        Ok(writer)
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Queue<Job>) {
        let _taker = Taker(queue);
        let mut jobs = Vec::new();
        let mut busy = false;
        loop {
            // Where several wait, more are coming: a short pause makes one large group of them.
            let gather = if busy {
                Duration::from_micros(GATHER_MICROS)
            } else {
                Duration::ZERO
            };
            if !queue.take(&mut jobs, GROUP_BATCHES_MAX, gather, GATHER_BATCHES) {
                break;
            }
            busy = jobs.len() > 1;
            let begun = Instant::now();
            self.readers.turn();
            let outcomes = self.keep(&jobs);
            self.readers.turn();
            self.measured.note(begun.elapsed(), outcomes.len() as u64);
            let mut outcomes = outcomes.into_iter();
            jobs.drain(..).for_each(|job| job.answer(&mut outcomes));
        }
        self.readers.turn();
        // The next start finds one file; a failure here costs only that.
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Keeps a group; one outcome per batch.
    fn keep(&mut self, jobs: &[Job]) -> Vec<Outcome> {
        let batches: Vec<&Batch> = jobs.iter().flat_map(Job::batches).collect();
        match self.keep_together(&batches) {
            Ok(outcomes) => outcomes,
            Err(fault) if batches.len() == 1 => vec![Err(CommitError::Fault(fault))],
            Err(_) => batches.iter().map(|batch| self.keep_alone(batch)).collect(),
        }
    }

    fn keep_alone(&mut self, batch: &Batch) -> Outcome {
        match self.keep_together(&[batch]) {
            Ok(outcomes) => outcomes
                .into_iter()
                .next()
                .unwrap_or(Err(CommitError::Fault(Error::Stopped))),
            Err(fault) => Err(CommitError::Fault(fault)),
        }
    }

    /// One transaction. An error means that nothing at all was kept.
    fn keep_together(&mut self, batches: &[&Batch]) -> Result<Vec<Outcome>, Error> {
        self.execute("BEGIN IMMEDIATE")?;
        let result = self.apply_all(batches).and_then(|outcomes| {
            self.execute("COMMIT")?;
            Ok(outcomes)
        });
        if result.is_err() {
            let _ = self.execute("ROLLBACK");
            self.reload()?;
        }
        result
    }

    fn apply_all(&mut self, batches: &[&Batch]) -> Result<Vec<Outcome>, Error> {
        let before = self.commits;
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            match self.apply(batch) {
                Err(CommitError::Fault(fault @ Error::Batch { .. })) => {
                    outcomes.push(Err(CommitError::Fault(fault)))
                }
                Err(CommitError::Fault(fault)) => return Err(fault),
                outcome => outcomes.push(outcome),
            }
        }
        if self.commits != before {
            self.connection
                .prepare_cached("UPDATE progress SET commits = ?1")
                .and_then(|mut statement| statement.execute([self.commits]))
                .map_err(Error::database("count a commit"))?;
            self.write_epochs()?;
        }
        Ok(outcomes)
    }

    /// Writes the epochs that were raised, once however often.
    fn write_epochs(&mut self) -> Result<(), Error> {
        for realm in self.tenants.values_mut().filter(|realm| realm.is_raised) {
            realm.is_raised = false;
            self.connection
                .prepare_cached("UPDATE tenant SET epoch = ?2 WHERE id = ?1")
                .and_then(|mut statement| statement.execute(params![realm.id, realm.epoch]))
                .map_err(Error::database("raise the trust epoch"))?;
        }
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) -> Outcome {
        check_shape(batch).map_err(CommitError::Fault)?;
        let tenant_id = self.tenant(&batch.tenant).map_err(CommitError::Fault)?;
        if batch.is_empty() {
            let epoch = self.epoch(&batch.tenant);
            return Ok(Committed { version: 0, epoch });
        }
        let version = self.commits + 1;
        let Some(beside) = &batch.beside else {
            self.applying(batch, tenant_id, version).run(batch)?;
            return self.finish(batch, tenant_id, version).map_err(CommitError::Fault);
        };
        // Every fact of both before the first write of either: what conflicts has written nothing.
        check_beside(batch, beside).map_err(CommitError::Fault)?;
        let beside_id = self.tenant(&beside.tenant).map_err(CommitError::Fault)?;
        self.applying(beside, beside_id, version).check_batch(beside)?;
        self.applying(batch, tenant_id, version).run(batch)?;
        let mut keep_both = || {
            self.applying(beside, beside_id, version).write_batch(beside)?;
            self.finish(beside, beside_id, version)?;
            self.finish(batch, tenant_id, version)
        };
        keep_both().map_err(CommitError::Fault)
    }

    fn applying<'a>(&'a mut self, batch: &'a Batch, tenant_id: i64, version: u64) -> Applying<'a> {
        Applying::new(
            &self.connection,
            &mut self.remembered,
            (&batch.tenant, tenant_id),
            version,
        )
    }

    /// What goes with every batch: its audit entries and its epoch.
    fn finish(&mut self, batch: &Batch, tenant_id: i64, version: u64) -> Result<Committed, Error> {
        for entry in &batch.audit {
            self.chain
                .append(&self.connection, (&batch.tenant, tenant_id), version, entry)
                .map_err(Error::database("write the audit log"))?;
        }
        if let Some(wanted) = batch.index {
            super::search::step(&self.connection, tenant_id, wanted)?;
            self.remembered.forget_indexed(tenant_id);
        }
        if let Some(realm) = self.tenants.get_mut(&batch.tenant).filter(|_| batch.raises_epoch) {
            realm.epoch += 1;
            realm.is_raised = true;
        }
        self.commits = version;
        Ok(Committed {
            version,
            epoch: self.epoch(&batch.tenant),
        })
    }

    fn epoch(&self, tenant: &Tenant) -> u64 {
        self.tenants.get(tenant).map_or(0, |realm| realm.epoch)
    }

    fn tenant(&mut self, tenant: &Tenant) -> Result<i64, Error> {
        if let Some(realm) = self.tenants.get(tenant) {
            return Ok(realm.id);
        }
        let id = match read::tenant_id(&self.connection, tenant)? {
            Some(id) => id,
            None => {
                let sql = "INSERT INTO tenant (account, region) VALUES (?1, ?2)";
                self.connection
                    .execute(sql, params![tenant.account.as_str(), tenant.region.as_str()])
                    .map_err(Error::database("write a record"))?;
                self.connection.last_insert_rowid()
            }
        };
        let realm = Realm {
            id,
            epoch: read::epoch(&self.connection, id)?,
            is_raised: false,
        };
        self.tenants.insert(*tenant, realm);
        Ok(id)
    }

    /// After a rollback: what is in memory is what is on disk.
    fn reload(&mut self) -> Result<(), Error> {
        self.tenants.clear();
        self.remembered.forget();
        self.chain = Chain::load(&self.connection)?;
        self.commits = self
            .connection
            .query_row("SELECT commits FROM progress", [], |row| row.get(0))
            .map_err(Error::database("read its progress"))?;
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(|cause| Error::Database {
                action: "keep a group of batches",
                cause: Arc::new(cause),
            })
    }
}

/// Refuses a second batch that no decision makes.
fn check_beside(batch: &Batch, beside: &Batch) -> Result<(), Error> {
    check_shape(beside)?;
    if beside.tenant == batch.tenant || beside.beside.is_some() {
        return Err(Error::Batch {
            what: "what is kept beside it is not of one other tenant",
        });
    }
    Ok(())
}

/// Refuses what no decision makes.
fn check_shape(batch: &Batch) -> Result<(), Error> {
    if batch.writes.len() + batch.checks.len() + batch.tallies.len() + batch.audit.len() > BATCH_ITEMS_MAX {
        return Err(Error::Batch {
            what: "it is too large",
        });
    }
    let key = |write: &fleet::batch::Write| match write {
        fleet::batch::Write::Put { record, .. } => record.key(),
        fleet::batch::Write::Delete { key, .. } => key.clone(),
    };
    let mut keys = HashSet::with_capacity(batch.writes.len());
    if !batch.writes.iter().all(|write| keys.insert(key(write))) {
        return Err(Error::Batch {
            what: "it writes one key twice",
        });
    }
    Ok(())
}
