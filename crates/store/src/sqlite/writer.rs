//! The one thread that writes records: it takes every batch that waits, keeps them in one transaction, and answers all of
//! them after it is on disk.
//!
//! A batch whose facts no longer hold writes nothing and is told so; the others of the group go on. If the database fails
//! in the middle, the whole transaction is taken back and each batch is tried alone, so that only the one at fault fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::batch::Batch;
use identity::Tenant;
use rusqlite::{Connection, params};

use super::apply::Applying;
use super::audit::Chain;
use super::issuers::Issuers;
use super::read;
use crate::error::{CommitError, Error};
use crate::limits::{BATCH_ITEMS_MAX, GATHER_BATCHES, GATHER_MICROS, GROUP_BATCHES_MAX};
use crate::measure::Measured;
use crate::oneshot::Answer;
use crate::queue::{Queue, Taker};
use crate::records::Committed;

type Outcome = Result<Committed, CommitError>;

/// A batch and whoever waits for it.
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) answer: Answer<Outcome>,
}

/// The writer's state.
pub(super) struct Writer {
    connection: Connection,
    commits: u64,
    chain: Chain,
    tenants: HashMap<Tenant, i64>,
    issuers: Issuers,
    measured: Arc<Measured>,
}

impl Writer {
    pub(super) fn new(connection: Connection, measured: Arc<Measured>) -> Result<Self, Error> {
        let mut writer = Self {
            commits: 0,
            chain: Chain::load(&connection)?,
            connection,
            tenants: HashMap::new(),
            issuers: Issuers::default(),
            measured,
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
            let outcomes = self.keep(&jobs);
            self.measured.note(begun.elapsed(), jobs.len() as u64);
            for (job, outcome) in jobs.drain(..).zip(outcomes) {
                job.answer.send(outcome);
            }
        }
        // The next start finds one file; a failure here costs only that.
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Keeps a group; one outcome per job.
    fn keep(&mut self, jobs: &[Job]) -> Vec<Outcome> {
        match self.keep_together(jobs) {
            Ok(outcomes) => outcomes,
            Err(fault) if jobs.len() == 1 => vec![Err(CommitError::Fault(fault))],
            Err(_) => jobs.iter().map(|job| self.keep_alone(job)).collect(),
        }
    }

    fn keep_alone(&mut self, job: &Job) -> Outcome {
        match self.keep_together(std::slice::from_ref(job)) {
            Ok(outcomes) => outcomes
                .into_iter()
                .next()
                .unwrap_or(Err(CommitError::Fault(Error::Stopped))),
            Err(fault) => Err(CommitError::Fault(fault)),
        }
    }

    /// One transaction. An error means that nothing at all was kept.
    fn keep_together(&mut self, jobs: &[Job]) -> Result<Vec<Outcome>, Error> {
        self.execute("BEGIN IMMEDIATE")?;
        let result = self.apply_all(jobs).and_then(|outcomes| {
            self.execute("COMMIT")?;
            Ok(outcomes)
        });
        if result.is_err() {
            let _ = self.execute("ROLLBACK");
            self.reload()?;
        }
        result
    }

    fn apply_all(&mut self, jobs: &[Job]) -> Result<Vec<Outcome>, Error> {
        let before = self.commits;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            match self.apply(&job.batch) {
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
        }
        Ok(outcomes)
    }

    fn apply(&mut self, batch: &Batch) -> Outcome {
        check_shape(batch).map_err(CommitError::Fault)?;
        let tenant_id = self.tenant(&batch.tenant).map_err(CommitError::Fault)?;
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
            &mut self.issuers,
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
        }
        if batch.raises_epoch {
            self.connection
                .prepare_cached("UPDATE tenant SET epoch = epoch + 1 WHERE id = ?1")
                .and_then(|mut statement| statement.execute(params![tenant_id]))
                .map_err(Error::database("raise the trust epoch"))?;
        }
        self.commits = version;
        Ok(Committed {
            version,
            epoch: read::epoch(&self.connection, tenant_id)?,
        })
    }

    fn tenant(&mut self, tenant: &Tenant) -> Result<i64, Error> {
        if let Some(id) = self.tenants.get(tenant) {
            return Ok(*id);
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
        self.tenants.insert(*tenant, id);
        Ok(id)
    }

    /// After a rollback: what is in memory is what is on disk.
    fn reload(&mut self) -> Result<(), Error> {
        self.tenants.clear();
        self.issuers.forget();
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
    let keys: Vec<_> = batch.writes.iter().map(key).collect();
    if keys
        .iter()
        .enumerate()
        .any(|(at, key)| keys.iter().take(at).any(|other| other == key))
    {
        return Err(Error::Batch {
            what: "it writes one key twice",
        });
    }
    Ok(())
}
