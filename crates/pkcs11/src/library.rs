//! Whether this process has initialized, and what it got: the application of one process, between `C_Initialize` and
//! `C_Finalize`.
//!
//! A forked child sees its parent's library and must leave it alone: sessions, sockets and locks in it are the parent's. A
//! counter that the fork itself moves tells, and the process id for those who fork without the C library.
//!
//! Each thread reads its own copy of the pointer to the application, so that calls on different sessions share nothing that is
//! written.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use token::Application;

/// The application as one part of the threads shares it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Arc<Application>>);

impl Deref for Shared {
    type Target = Application;

    fn deref(&self) -> &Application {
        &self.0
    }
}

/// A copy of the pointer, on a line of the cache of its own.
#[repr(align(128))]
#[derive(Default)]
struct Copy(RwLock<Option<Shared>>);

const COPIES: usize = 32;

/// Forks that this process descends from, as far as it has seen.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A fork has happened, and this is the child. Called where nothing but a store is safe.
pub(crate) extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// One process's library.
pub(crate) struct Library {
    process: u32,
    forks: u64,
    /// Held while it begins or ends.
    turn: Mutex<()>,
    copies: [Copy; COPIES],
}

impl Library {
    /// One that has not begun.
    pub(crate) fn new() -> Self {
        Self {
            process: std::process::id(),
            forks: FORKS.load(Ordering::Relaxed),
            turn: Mutex::default(),
            copies: std::array::from_fn(|_| Copy::default()),
        }
    }

    /// Whether it is this process's own and not its parent's. Asks the system.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_this_forks() && self.process == std::process::id()
    }

    fn is_this_forks(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    /// The application, if this process has initialized.
    pub(crate) fn application(&self) -> Option<Shared> {
        if !self.is_this_forks() {
            return None;
        }
        let copy = self.copies.get(my_copy())?;
        copy.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.application().is_some()
    }

    /// Initializes, also again after `C_Finalize`; false if it is initialized.
    pub(crate) fn begin(&self, application: Application) -> bool {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_begun() {
            return false;
        }
        let application = Arc::new(application);
        for copy in &self.copies {
            let mut place = copy.0.write().unwrap_or_else(PoisonError::into_inner);
            *place = Some(Shared(Arc::new(Arc::clone(&application))));
        }
        true
    }

    /// Ends it: no new call gets in, who waits is woken, and the application goes when the last call that is under way has ended.
    pub(crate) fn end(&self) -> bool {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = None;
        for copy in &self.copies {
            ended = copy.0.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        if let Some(application) = &ended {
            application.stop();
        }
        ended.is_some()
    }
}

/// Which copy this thread reads.
fn my_copy() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % COPIES;
            mine.set(Some(number));
            number
        })
    })
}
