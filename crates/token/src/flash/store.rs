//! One token's directory, for all threads of a process: what was read, who is logged in, and the way a change becomes durable.
//!
//! Reading takes a lock that is never held while a disk is waited for. A change waits in a queue; whoever gets the writer's
//! place next writes all that wait there as one commit with one fsync (group commit), and answers each. The writer's place
//! includes the lock that keeps other processes away, so it first reads what they wrote.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::vec::Vec;

use super::journal::{News, failed};
use super::lock::LockFile;
use super::seal::Keys;
use super::state::{Entry, Places, State};
use super::ticket::{Refused, Ticket};
use crate::backend::{Place, User};
use crate::error::Error;

/// A token's directory.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Where the PIN counters are if not in the directory.
    pub(super) counters: Option<PathBuf>,
    known: RwLock<Known>,
    writer: Mutex<Option<LockFile>>,
    /// This process is writing: nobody else is, and what it writes is not there yet.
    is_writing: AtomicBool,
    queue: Mutex<Vec<Arc<Ticket>>>,
}

/// What this process knows of the token.
#[derive(Default)]
pub(super) struct Known {
    pub(super) state: Option<State>,
    pub(super) login: Option<Login>,
    pub(super) places: Places,
    pub(super) generation: u64,
}

/// Who is logged in, with what that opened.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) user: User,
    pub(super) keys: Arc<Keys>,
}

impl core::fmt::Debug for Known {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Known({})", self.generation)
    }
}

impl Store {
    pub(super) fn new(folder: &Path, counters: Option<&Path>) -> Self {
        Self {
            folder: folder.into(),
            counters: counters.map(Into::into),
            known: RwLock::default(),
            writer: Mutex::new(None),
            is_writing: AtomicBool::new(false),
            queue: Mutex::default(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// What is known, without looking again. A thread that panicked has changed it whole or not at all.
    pub(super) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Option<LockFile>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known after what others have written was read.
    pub(super) fn refreshed(&self) -> Result<RwLockReadGuard<'_, Known>, Error> {
        let known = self.known();
        if self.is_writing.load(Ordering::Acquire) || known.news(&self.journal())? == News::None {
            return Ok(known);
        }
        drop(known);
        self.reading()?;
        Ok(self.known())
    }

    fn reading(&self) -> Result<(), Error> {
        let mut place = self.writer();
        let mut known = self.known_mut();
        if known.is_read_only(&self.journal())? {
            return known.read(&self.journal());
        }
        let lock = lock_file(&mut place, &self.folder)?;
        let _lock = lock.reading()?;
        known.read(&self.journal())
    }

    /// Does something as the only writer of all processes, on top of what the others wrote.
    pub(super) fn alone<T>(&self, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.alone_in(&mut self.writer(), act)
    }

    fn alone_in<T>(
        &self,
        place: &mut Option<LockFile>,
        act: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.known_mut().is_read_only(&self.journal())? {
            return Err(Error::WriteProtected);
        }
        let lock = lock_file(place, &self.folder)?;
        let _lock = lock.writing()?;
        self.known_mut().read(&self.journal())?;
        let _writing = Writing::begin(&self.is_writing);
        act()
    }

    /// Has a change made durable, together with all others that wait for the writer's place.
    pub(super) fn submit(&self, ticket: Ticket) -> Result<Vec<Place>, Refused> {
        let ticket = Arc::new(ticket);
        self.waiting().push(Arc::clone(&ticket));
        while ticket.is_waiting() {
            let mut place = self.writer();
            if ticket.is_waiting() {
                let waiting = core::mem::take(&mut *self.waiting());
                let outcome = self.alone_in(&mut place, || self.commit(&waiting));
                let left = outcome.unwrap_or_else(|error| {
                    waiting.iter().for_each(|ticket| ticket.refuse(&error));
                    Vec::new()
                });
                self.waiting().splice(0..0, left);
            }
        }
        ticket.answer()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<Ticket>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock_file<'a>(place: &'a mut Option<LockFile>, folder: &Path) -> Result<&'a LockFile, Error> {
    if place.is_none() {
        make_folder(folder)?;
        *place = Some(LockFile::open(&folder.join("lock"))?);
    }
    place
        .as_ref()
        .ok_or(Error::General("a lock that was opened is not there"))
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(failed("make the token's directory"))
}

/// Ends with the writing, also when that panics.
struct Writing<'a>(&'a AtomicBool);

impl<'a> Writing<'a> {
    fn begin(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Release);
        Self(flag)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Known {
    /// Whether somebody else has written.
    fn news(&self, journal: &Path) -> Result<News, Error> {
        match &self.state {
            Some(state) => state.journal.news(journal),
            None if journal.exists() => Ok(News::Other),
            None => Ok(News::None),
        }
    }

    /// Reads what others have written. What can not be read is as good as lost: nothing of it is used, or believed later.
    fn read(&mut self, journal: &Path) -> Result<(), Error> {
        let read = match self.news(journal)? {
            News::None => Ok(()),
            News::More => self.read_more(),
            News::Other => self.read_anew(journal),
        };
        if read.is_err() {
            (self.state, self.login) = (None, None);
            self.generation += 1;
        }
        read
    }

    fn read_more(&mut self) -> Result<(), Error> {
        let Some(state) = &mut self.state else {
            return Ok(());
        };
        self.generation += state.read(&mut self.places)?;
        self.login
            .as_ref()
            .map_or(Ok(()), |login| state.check(&login.keys))
    }

    fn read_anew(&mut self, journal: &Path) -> Result<(), Error> {
        let old = self.state.take().map(|state| state.header.token);
        self.generation += 1;
        let new = State::open(journal)?;
        if old.is_some() && old != new.as_ref().map(|state| state.header.token) {
            self.places.forget();
            self.login = None;
        }
        self.state = new;
        self.read_more()
    }

    /// Whether the token never changes; then nobody needs a lock to read it.
    fn is_read_only(&self, journal: &Path) -> Result<bool, Error> {
        match &self.state {
            Some(state) => Ok(state.header.read_only),
            None => Ok(State::open(journal)?.is_some_and(|state| state.header.read_only)),
        }
    }

    pub(super) fn state(&self) -> Result<&State, Error> {
        self.state.as_ref().ok_or(Error::NotInitialized)
    }

    pub(super) fn keys(&self) -> Result<Arc<Keys>, Error> {
        let login = self.login.as_ref().ok_or(Error::UserNotLoggedIn)?;
        Ok(Arc::clone(&login.keys))
    }

    pub(super) fn entry(&self, place: Place) -> Result<Arc<Entry>, Error> {
        let entry = self.state()?.objects.get(&place);
        entry.map(Arc::clone).ok_or(Error::ObjectHandleInvalid)
    }
}
