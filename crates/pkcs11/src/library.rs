//! Whether this process has initialized, and what it got: the application of one process, between `C_Initialize` and
//! `C_Finalize`.
//!
//! A forked child sees its parent's library and must leave it alone: sessions, sockets and locks in it are the parent's. A
//! counter that the fork itself moves tells, and the process id for those who fork without the C library.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use token::Application;

use crate::copies::Copies;

/// The application as one part of the threads shares it.
pub(crate) type Shared = crate::copies::Shared<Application>;

/// Parts of the threads.
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
    application: Copies<Application, COPIES>,
}

impl Library {
    /// One that has not begun.
    pub(crate) fn new() -> Self {
        Self {
            process: std::process::id(),
            forks: FORKS.load(Ordering::Relaxed),
            application: Copies::new(),
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
        self.application.read(my_copy())
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.application().is_some()
    }

    /// Initializes, also again after `C_Finalize`; false if it is initialized.
    pub(crate) fn begin(&self, application: Application) -> bool {
        self.application.set(application)
    }

    /// Ends it: no new call gets in, who waits is woken, and the application goes when the last call that is under way has ended.
    pub(crate) fn end(&self) -> bool {
        let ended = self.application.take();
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
