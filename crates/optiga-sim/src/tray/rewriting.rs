//! Replaces a tray's file by a shorter one while its chips go on: chip after chip is written as it is now, and what a chip that
//! is written already does from then on goes into both files.
//!
//! It must never wait for a chip without looking whether the tray is still wanted: whoever closes it may hold that chip.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::thread::{self, JoinHandle};

use super::Chips;
use super::journal::{Header, Journal, Record, Wake};
use crate::authority::Authority;
use crate::{Chip, Error};

/// What is needed to write the whole tray once more. It keeps nothing of the tray alive.
pub(super) struct Rewriting {
    path: PathBuf,
    header: Header,
    authority: Weak<Authority>,
    journal: Weak<Journal>,
    chips: Weak<Chips>,
}

impl Rewriting {
    pub(super) fn new(
        path: &Path,
        header: Header,
        authority: &Arc<Authority>,
        journal: &Arc<Journal>,
        chips: &Arc<Chips>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            header,
            authority: Arc::downgrade(authority),
            journal: Arc::downgrade(journal),
            chips: Arc::downgrade(chips),
        }
    }

    /// Bytes of the file that a fresh one would not have; for a tray that nobody uses yet.
    pub(super) fn waste_bytes(&self) -> u64 {
        let (Some(journal), Some(chips)) = (self.journal.upgrade(), self.chips.upgrade()) else {
            return 0;
        };
        let running = AtomicBool::new(false);
        let mut live = 0;
        for (index, slot) in (0..).zip(chips.iter()) {
            if let Some(chip) = slot.get().and_then(|chip| lock(chip, &running)) {
                live += records(index, &chip)
                    .iter()
                    .map(Record::sealed_bytes)
                    .sum::<usize>();
            }
        }
        journal.length().saturating_sub(live as u64)
    }

    /// Writes the new file and puts it in the place of the old one, unless the tray ends meanwhile.
    pub(super) fn run(&self, ending: &AtomicBool) -> Result<(), Error> {
        let (Some(authority), Some(journal), Some(chips)) = (
            self.authority.upgrade(),
            self.journal.upgrade(),
            self.chips.upgrade(),
        ) else {
            return Ok(());
        };
        journal.begin_draft(&self.path, &self.header)?;
        if journal.draft(authority.snapshot(), 0) && write_chips(&journal, &chips, ending) {
            return journal.finish_draft(&self.path);
        }
        journal.drop_draft(&self.path);
        Ok(())
    }
}

fn write_chips(journal: &Journal, chips: &Chips, ending: &AtomicBool) -> bool {
    for (index, slot) in (0..).zip(chips.iter()) {
        // A chip that comes to be after this writes into both files.
        if slot.get().is_none() && !journal.draft(Vec::new(), index + 1) {
            return false;
        }
        let Some(chip) = slot.get() else { continue };
        let Some(chip) = lock(chip, ending) else {
            return false;
        };
        if !journal.draft(records(index, &chip), index + 1) {
            return false;
        }
    }
    true
}

/// The chip, or `None` once the tray ends.
fn lock<'a>(chip: &'a Arc<Mutex<Chip>>, ending: &AtomicBool) -> Option<MutexGuard<'a, Chip>> {
    while !ending.load(Ordering::Relaxed) {
        match chip.try_lock() {
            Ok(chip) => return Some(chip),
            Err(TryLockError::Poisoned(chip)) => return Some(chip.into_inner()),
            Err(TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
    None
}

/// Records that make a new chip into this one.
fn records(index: u32, chip: &Chip) -> Vec<Record> {
    let mut records = Vec::new();
    chip.memory().snapshot(|change| {
        let mut record = Record::new(index);
        change.encode(&mut record);
        records.push(record);
    });
    records
}

/// The thread; it ends with the tray.
pub(super) struct Rewriter {
    ending: Arc<AtomicBool>,
    waker: SyncSender<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Rewriter {
    /// Without a thread the file only grows until it is opened again.
    pub(super) fn spawn(rewriting: Rewriting, journal: &Journal) -> Option<Self> {
        let (waker, wakes) = sync_channel(1);
        let ending = Arc::new(AtomicBool::new(false));
        let thread = {
            let ending = ending.clone();
            let builder = thread::Builder::new().name("tray-rewrite".to_owned());
            builder.spawn(move || watch(&rewriting, &wakes, &ending)).ok()?
        };
        journal.tell(waker.clone());
        Some(Self {
            ending,
            waker,
            thread: Some(thread),
        })
    }
}

fn watch(rewriting: &Rewriting, wakes: &Receiver<Wake>, ending: &AtomicBool) {
    while wakes.recv() == Ok(Wake::Rewrite) && !ending.load(Ordering::Relaxed) {
        // A file that cannot be replaced is as good as before, and longer.
        drop(rewriting.run(ending));
    }
}

impl Drop for Rewriter {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // A channel that is full wakes the thread too.
        let _awake = self.waker.try_send(Wake::End);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
