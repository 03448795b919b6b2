//! Whether this process has initialized, and what it got: the application of one process, between `C_Initialize` and
//! `C_Finalize`.
//!
//! A forked child sees its parent's library and must leave it alone: sessions, sockets and locks in it are the parent's. The
//! process id tells.

use std::sync::{Arc, PoisonError, RwLock};

use token::Application;

/// One process's library.
pub(crate) struct Library {
    process: u32,
    application: RwLock<Option<Arc<Application>>>,
}

impl Library {
    /// An initialized one.
    pub(crate) fn new(application: Arc<Application>) -> Self {
        Self {
            process: std::process::id(),
            application: RwLock::new(Some(application)),
        }
    }

    /// Whether it is this process's own and not its parent's.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    /// The application, if this process has initialized.
    pub(crate) fn application(&self) -> Option<Arc<Application>> {
        if !self.is_ours() {
            return None;
        }
        let application = self.application.read().unwrap_or_else(PoisonError::into_inner);
        application.clone()
    }

    /// Initializes again after `C_Finalize`; false if it is initialized.
    pub(crate) fn begin(&self, application: Arc<Application>) -> bool {
        let mut place = self.application.write().unwrap_or_else(PoisonError::into_inner);
        let free = place.is_none();
        if free {
            *place = Some(application);
        }
        free
    }

    /// Ends it: no new call gets in, and the application goes when the last call that is under way has ended.
    pub(crate) fn end(&self) -> bool {
        let mut place = self.application.write().unwrap_or_else(PoisonError::into_inner);
        place.take().is_some()
    }
}
