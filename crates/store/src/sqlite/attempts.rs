//! [`LocalAttempts`]: the ring of attempts in one SQLite file, with a writer thread of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use fleet::attempt::Attempt;
use identity::CertificateId;
use rusqlite::{Connection, params};

use super::attempt_codec::encode;
use super::attempt_reader::AttemptReader;
use super::attempt_ring::{Owner, Placed, Ring, Share};
use super::schema::{ATTEMPTS, Writing, open_writer};
use crate::attempts::{Attempts, Filter, Recorded};
use crate::directory::DataDirectory;
use crate::error::Error;
use crate::limits::{ATTEMPT_GATHER_MILLIS, ATTEMPT_GROUP_MAX, ATTEMPT_QUEUE_MAX};
use crate::oneshot::{self, Answer};
use crate::queue::{Queue, Taker};

enum Job {
    Record(Box<Attempt>),
    Flush(Answer<Result<(), Error>>),
}

/// The attempts of one machine.
pub struct LocalAttempts {
    queue: Arc<Queue<Job>>,
    dropped: Arc<AtomicU64>,
    reader: Mutex<AttemptReader>,
    writer: Option<JoinHandle<()>>,
    _directory: DataDirectory,
}

impl LocalAttempts {
    /// Opens the ring in a data directory, and makes it if there is none.
    pub fn open(directory: &DataDirectory) -> Result<Self, Error> {
        let path = directory.attempts();
        let connection = open_writer(&path, ATTEMPTS, Writing::ATTEMPTS)?;
        let ring = load(&connection)?;
        let reader = AttemptReader::open_file(&path)?;
        let queue = Arc::new(Queue::new(ATTEMPT_QUEUE_MAX));
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            connection,
            ring,
            dropped: dropped.clone(),
        };
        let taken = queue.clone();
        let writer = std::thread::Builder::new()
            .name("attempts-writer".to_owned())
            .spawn(move || writer.run(&taken))
            .map_err(|cause| Error::Directory {
                path,
                action: "start the writer of",
                cause: Arc::new(cause),
            })?;
        Ok(Self {
            queue,
            dropped,
            reader: Mutex::new(reader),
            writer: Some(writer),
            _directory: directory.clone(),
        })
    }

    /// How many attempts wait for the writer (limit: [`ATTEMPT_QUEUE_MAX`]).
    pub fn queue_depth(&self) -> usize {
        self.queue.depth()
    }
}

impl Attempts for LocalAttempts {
    fn record(&self, attempt: Attempt) {
        if self.queue.put(Job::Record(Box::new(attempt))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    async fn flush(&self) -> Result<(), Error> {
        let (answer, awaited) = oneshot::channel();
        if self.queue.put(Job::Flush(answer)).is_err() {
            return Err(Error::Stopped);
        }
        self.queue.hurry();
        awaited.await.unwrap_or(Err(Error::Stopped))
    }

    async fn newest(&self, filter: &Filter, limit: usize) -> Result<Vec<Recorded>, Error> {
        self.reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .newest(filter, limit)
    }
}

impl Drop for LocalAttempts {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// What is in the table from before.
fn load(connection: &Connection) -> Result<Ring, Error> {
    let failed = Error::database("read attempts");
    let mut ring = Ring::new();
    let mut statement = connection
        .prepare("SELECT place, share, fingerprint FROM attempt ORDER BY place")
        .map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let share: Vec<u8> = row.get(1).map_err(&failed)?;
        let share = Share::from_bytes(&share).ok_or_else(|| Error::corrupt("attempt.share", "not known"))?;
        let device: Option<[u8; 32]> = row.get(2).map_err(&failed)?;
        ring.remember(
            row.get(0).map_err(&failed)?,
            Owner {
                share,
                device: device.map(CertificateId),
            },
        );
    }
    Ok(ring)
}

struct Writer {
    connection: Connection,
    ring: Ring,
    dropped: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, queue: &Queue<Job>) {
        let _taker = Taker(queue);
        let mut jobs = Vec::new();
        let gather = Duration::from_millis(ATTEMPT_GATHER_MILLIS);
        while queue.take(&mut jobs, ATTEMPT_GROUP_MAX, gather, ATTEMPT_GROUP_MAX) {
            let (mut attempts, mut flushes) = (Vec::new(), Vec::new());
            for job in jobs.drain(..) {
                match job {
                    Job::Record(attempt) => attempts.push(attempt),
                    Job::Flush(answer) => flushes.push(answer),
                }
            }
            let result = self.write(&attempts);
            if result.is_err() {
                // What the ring thinks it holds may now differ from the table by these; a missing row costs nothing.
                self.dropped.fetch_add(attempts.len() as u64, Ordering::Relaxed);
            }
            for answer in flushes {
                answer.send(result.clone());
            }
        }
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Writes a group. What one group both brings and takes away is not written at all.
    fn write(&mut self, attempts: &[Box<Attempt>]) -> Result<(), Error> {
        if attempts.is_empty() {
            return Ok(());
        }
        let mut gone = Vec::new();
        let placed: Vec<Placed> = attempts
            .iter()
            .map(|attempt| self.ring.place(attempt, &mut gone))
            .collect();
        gone.sort_unstable();
        let first_new = placed.first().map_or(0, |placed| placed.place);
        let write = || -> rusqlite::Result<()> {
            let transaction = self.connection.unchecked_transaction()?;
            for (attempt, placed) in attempts.iter().zip(&placed) {
                if gone.binary_search(&placed.place).is_err() {
                    insert(&transaction, attempt, placed)?;
                }
            }
            for place in gone.iter().filter(|place| **place < first_new) {
                transaction
                    .prepare_cached("DELETE FROM attempt WHERE place = ?1")?
                    .execute([place])?;
            }
            transaction.commit()
        };
        write().map_err(Error::database("write attempts"))
    }
}

fn insert(connection: &Connection, attempt: &Attempt, placed: &Placed) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO attempt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?
        .execute(params![
            placed.place,
            Share::of(attempt).to_bytes(),
            placed.first_at.0,
            placed.count,
            attempt.verdict.name(),
            attempt.tenant.account.as_str(),
            attempt.tenant.region.as_str(),
            attempt.trace.0,
            attempt.certificate.as_ref().map(|certificate| certificate.id.0),
            attempt.peer.map(|peer| peer.ip().to_string()),
            attempt.thing.as_ref().map(|name| name.as_str()),
            encode(attempt),
        ])
        .map(drop)
}
