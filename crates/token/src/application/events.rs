//! Tokens that come and go.
//!
//! No thread watches: who asks looks, and who waits looks again and again. Waiting ends when the application does.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Application, Slot};
use crate::error::Error;
use crate::limits::SLOT_LOOK_MILLIS;

/// Where those wait who wait for events.
#[derive(Default)]
pub(super) struct Events {
    stopped: Mutex<bool>,
    bell: Condvar,
}

impl Slot {
    /// Whether a token has come or gone since this was last asked; the first time nothing has.
    fn has_event(&self) -> bool {
        let now = self.token.probe();
        let mut seen = self.seen_present.lock().unwrap_or_else(PoisonError::into_inner);
        seen.replace(now).is_some_and(|before| before != now)
    }
}

impl Application {
    /// A slot whose token has come or gone.
    #[must_use]
    pub fn slot_event(&self) -> Option<usize> {
        self.slots.iter().position(Slot::has_event)
    }

    /// The same, waited for. Ends with an error when the application is stopped.
    pub fn wait_for_slot_event(&self) -> Result<usize, Error> {
        loop {
            if let Some(slot) = self.slot_event() {
                return Ok(slot);
            }
            let stopped = self.events.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let pause = Duration::from_millis(SLOT_LOOK_MILLIS);
            let waited = self
                .events
                .bell
                .wait_timeout_while(stopped, pause, |stopped| !*stopped);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return Err(Error::Stopped);
            }
        }
    }

    /// Wakes everybody who waits; the application is over.
    pub fn stop(&self) {
        *self.events.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.events.bell.notify_all();
    }
}
