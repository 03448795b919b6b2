//! The sessions of one application, by number. Numbers are never used again; a call on one session is not in the way of a call
//! on another.

pub(crate) mod operation;
pub(crate) mod recover;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::vec::Vec;

use self::operation::Operations;
use crate::error::Error;
use crate::limits::SESSIONS_MAX;

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Use the token.
    ReadOnly,
    /// Also change it.
    ReadWrite,
}

/// A session that is open.
pub(crate) struct Open {
    pub(crate) handle: u64,
    pub(crate) slot: usize,
    pub(crate) access: Access,
    operations: Mutex<Operations>,
    made_objects: AtomicBool,
}

impl Open {
    /// It has objects that go when it does.
    pub(crate) fn note_object(&self) {
        self.made_objects.store(true, Ordering::Relaxed);
    }

    pub(crate) fn made_objects(&self) -> bool {
        self.made_objects.load(Ordering::Relaxed)
    }

    /// A thread that panicked in an operation leaves operations that can be ended.
    pub(crate) fn operations(&self) -> MutexGuard<'_, Operations> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses to change a token in a session that was opened to use it.
    pub(crate) const fn check_writable(&self) -> Result<(), Error> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::SessionReadOnly),
        }
    }
}

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 64;

type Shard = RwLock<HashMap<u64, Arc<Open>>>;

/// All open sessions.
pub(crate) struct Sessions {
    shards: [Shard; SHARDS],
    last: AtomicU64,
    count: AtomicU64,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            shards: core::array::from_fn(|_| Shard::default()),
            last: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    fn shard(&self, handle: u64) -> Option<&Shard> {
        self.shards.get((handle % SHARDS as u64) as usize)
    }

    /// Opens one.
    pub(crate) fn open(&self, slot: usize, access: Access) -> Result<u64, Error> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= SESSIONS_MAX as u64 {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::SessionCount);
        }
        let handle = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let open = Open {
            handle,
            slot,
            access,
            operations: Mutex::default(),
            made_objects: AtomicBool::new(false),
        };
        if let Some(shard) = self.shard(handle) {
            writing(shard).insert(handle, Arc::new(open));
        }
        Ok(handle)
    }

    /// The session behind a handle.
    pub(crate) fn session(&self, handle: u64) -> Result<Arc<Open>, Error> {
        let found = self
            .shard(handle)
            .and_then(|shard| reading(shard).get(&handle).cloned());
        found.ok_or(Error::SessionHandleInvalid)
    }

    /// Closes one; `None` if another thread was faster.
    pub(crate) fn close(&self, handle: u64) -> Option<Arc<Open>> {
        let closed = self
            .shard(handle)
            .and_then(|shard| writing(shard).remove(&handle));
        if closed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        closed
    }

    /// The sessions that are open on a slot.
    pub(crate) fn of_slot(&self, slot: usize) -> Vec<Arc<Open>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(reading(shard).values().filter(|open| open.slot == slot).cloned());
        }
        all
    }
}

fn reading(shard: &Shard) -> RwLockReadGuard<'_, HashMap<u64, Arc<Open>>> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn writing(shard: &Shard) -> RwLockWriteGuard<'_, HashMap<u64, Arc<Open>>> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}
