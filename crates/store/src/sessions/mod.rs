//! The session log: what a node of the broker must not forget, in the order in which it happened.
//!
//! One log for each node, in a folder of its own; one thread writes everything that waits in one go, forces it onto the disk,
//! and then says how far it is. What is written is a frame: the records of one turn of a shard, whole or not there at all. A
//! checkpoint begins a new file; when it is complete the files before are deleted.
//!
//! What it must never do: say that something is durable which is not, or hand out records that were never acknowledged as if
//! they were damage.

mod codec;
mod segment;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::Record;

use crate::error::Error;
use crate::limits::{LOG_GROUP_MAX, LOG_QUEUE_MAX, LOG_RELAXED_MILLIS};
use crate::measure::{Commits, Measured, SIZES_BYTES};
use crate::queue::{Queue, Taker};

use self::segment::fault;

/// When something counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk: it survives the loss of power.
    #[default]
    Strict,
    /// When the kernel has it: it survives the end of this process, not that of the machine.
    Relaxed,
}

/// The records of one turn, as bytes.
#[derive(Clone, Debug, Default)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// Appends a record.
    pub fn push(&mut self, record: &Record) {
        codec::write(&mut self.0, record);
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes they are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

enum Job {
    /// A frame, and how many records there are up to its end.
    Write(Frame, u64),
    BeginCheckpoint,
    EndCheckpoint,
}

struct Progress {
    durable: AtomicU64,
    /// Bytes in the files since the last checkpoint began.
    bytes: AtomicU64,
    /// Bytes that wait for the writer.
    waiting: AtomicU64,
    failed: AtomicBool,
    commits: Measured,
}

impl Progress {
    const fn of(bytes: u64) -> Self {
        Self {
            durable: AtomicU64::new(0),
            bytes: AtomicU64::new(bytes),
            waiting: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            commits: Measured::new(SIZES_BYTES),
        }
    }
}

/// The log of one node. Dropping it writes what waits.
pub struct SessionLog {
    queue: Arc<Queue<Job>>,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl SessionLog {
    /// Opens the log in a folder, made if it is not there, and reads it: `each` gets every record in order. `told` is called,
    /// on a thread of the log's own, whenever more is durable or nothing will be any more.
    ///
    /// # Errors
    /// The folder cannot be used, or what is in it is damaged.
    pub fn open(
        directory: &Path,
        durability: Durability,
        told: impl Fn() + Send + 'static,
        mut each: impl FnMut(Record) -> Result<(), broker::Unfit>,
    ) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(fault(directory, "create"))?;
        let (file, number) = read_all(directory, &mut each)?;
        let length = file
            .metadata()
            .map_err(fault(directory, "read the size in"))?
            .len();
        let progress = Arc::new(Progress::of(length));
        let queue = Arc::new(Queue::new(LOG_QUEUE_MAX));
        let writer = Writer {
            directory: directory.to_owned(),
            file,
            number,
            checkpoint: None,
            durability,
            synced: Instant::now(),
            progress: progress.clone(),
        };
        let jobs = queue.clone();
        let thread = std::thread::Builder::new()
            .name("session-log".into())
            .spawn(move || writer.run(&jobs, told))
            .map_err(fault(directory, "start a thread for"))?;
        Ok(Self {
            queue,
            progress,
            thread: Some(thread),
        })
    }

    /// Hands over a frame and leaves an empty one; false when the writer is too far behind, or has failed.
    /// `records` counts all records up to its end.
    #[must_use]
    pub fn append(&self, frame: &mut Frame, records: u64) -> bool {
        let bytes = frame.bytes() as u64;
        if self.queue.depth() >= LOG_QUEUE_MAX {
            return false;
        }
        self.progress.waiting.fetch_add(bytes, Ordering::Relaxed);
        let taken = self
            .queue
            .put(Job::Write(core::mem::take(frame), records))
            .is_ok();
        if !taken {
            self.progress.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// So many records are durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.progress.durable.load(Ordering::Acquire)
    }

    /// Nothing will become durable any more.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.progress.failed.load(Ordering::Acquire)
    }

    /// Bytes that wait for the writer.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.progress.waiting.load(Ordering::Relaxed)
    }

    /// Bytes written since the last checkpoint began.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.progress.bytes.load(Ordering::Relaxed)
    }

    /// What was written so far: how long each commit took, its forcing onto the disk included, and its bytes.
    #[must_use]
    pub fn commits(&self) -> Commits {
        self.progress.commits.look()
    }

    /// What follows is a checkpoint, mixed with what else happens; false when the writer is too far behind.
    #[must_use]
    pub fn begin_checkpoint(&self) -> bool {
        self.queue.put(Job::BeginCheckpoint).is_ok()
    }

    /// The checkpoint is complete: when it is durable, what was before it is deleted. False when the writer is too far behind.
    #[must_use]
    pub fn end_checkpoint(&self) -> bool {
        self.queue.put(Job::EndCheckpoint).is_ok()
    }
}

impl Drop for SessionLog {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl core::fmt::Debug for SessionLog {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SessionLog")
            .field("durable", &self.durable())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// Reads all files and gives the last one, to be written on, with its number.
fn read_all(
    directory: &Path,
    each: &mut impl FnMut(Record) -> Result<(), broker::Unfit>,
) -> Result<(File, u64), Error> {
    let numbers = segment::numbers(directory)?;
    let Some((last, before)) = numbers.split_last() else {
        return Ok((segment::create(directory, 1)?, 1));
    };
    let mut take = |frame: &[u8]| {
        let fits = codec::read_all(frame, |record| each(record).map_err(|unfit| unfit.to_string()));
        fits.map_err(|what| Error::corrupt("session log", format!("{what} ({})", directory.display())))
    };
    for number in before {
        segment::read(&segment::path(directory, *number), false, &mut take)?;
    }
    let path = segment::path(directory, *last);
    match segment::read(&path, true, &mut take)? {
        Some(file) => Ok((file, *last)),
        None => Err(Error::Stopped),
    }
}

struct Writer {
    directory: PathBuf,
    file: File,
    number: u64,
    /// The file that the checkpoint under way begins with.
    checkpoint: Option<u64>,
    durability: Durability,
    synced: Instant,
    progress: Arc<Progress>,
}

impl Writer {
    fn run(mut self, queue: &Queue<Job>, told: impl Fn()) {
        let _taker = Taker(queue);
        let (mut jobs, mut bytes) = (Vec::new(), Vec::new());
        while queue.take(&mut jobs, LOG_GROUP_MAX, Duration::ZERO, 1) {
            if self.keep(&mut jobs, &mut bytes).is_err() {
                self.progress.failed.store(true, Ordering::Release);
                return told();
            }
            told();
        }
        let _ = self.file.sync_data();
    }

    fn keep(&mut self, jobs: &mut Vec<Job>, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let begun = Instant::now();
        let mut durable = None;
        let mut waited = 0;
        for job in jobs.drain(..) {
            match job {
                Job::Write(frame, records) => {
                    segment::append_frame(bytes, &frame.0);
                    waited += frame.bytes() as u64;
                    durable = Some(records);
                }
                Job::BeginCheckpoint => {
                    self.write(bytes, true)?;
                    self.begin_checkpoint()?;
                }
                Job::EndCheckpoint => {
                    self.write(bytes, true)?;
                    self.end_checkpoint()?;
                }
            }
        }
        self.write(bytes, false)?;
        self.progress.commits.note(begun.elapsed(), waited);
        self.progress.waiting.fetch_sub(waited, Ordering::Relaxed);
        if let Some(durable) = durable {
            self.progress.durable.store(durable, Ordering::Release);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &mut Vec<u8>, must_sync: bool) -> Result<(), Error> {
        let failed = |action| fault(&self.directory, action);
        if !bytes.is_empty() {
            self.file
                .write_all(bytes)
                .map_err(failed("write the session log in"))?;
            self.progress
                .bytes
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            bytes.clear();
        }
        let relaxed = self.durability == Durability::Relaxed
            && self.synced.elapsed() < Duration::from_millis(LOG_RELAXED_MILLIS);
        if must_sync || !relaxed {
            self.file.sync_data().map_err(failed("sync the session log in"))?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    fn begin_checkpoint(&mut self) -> Result<(), Error> {
        self.number += 1;
        self.file = segment::create(&self.directory, self.number)?;
        self.checkpoint.get_or_insert(self.number);
        self.progress.bytes.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn end_checkpoint(&mut self) -> Result<(), Error> {
        let Some(first) = self.checkpoint.take() else {
            return Ok(());
        };
        for number in segment::numbers(&self.directory)? {
            if number < first {
                let path = segment::path(&self.directory, number);
                fs::remove_file(&path).map_err(fault(&path, "delete"))?;
            }
        }
        segment::sync_folder(&self.directory)
    }
}

#[cfg(test)]
mod tests;
