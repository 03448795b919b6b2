//! Sessions: opened, asked, closed.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use super::{Application, Slot};
use crate::backend::User;
use crate::error::Error;
use crate::object::{Handle, Home};
use crate::session::operation::Kind;
use crate::session::{Access, Open};

/// What a session is and may do (`C_GetSessionInfo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// Its slot.
    pub slot: usize,
    /// What it was opened for.
    pub access: Access,
    /// Who is logged in on the token.
    pub user: Option<User>,
}

impl Application {
    /// Opens a session.
    pub fn open_session(&self, slot: usize, access: Access) -> Result<u64, Error> {
        let state = self.slot(slot)?;
        state.token.check_present()?;
        // Held until the session is there, so that no login as security officer comes between.
        let user = state.login();
        if *user == Some(User::SecurityOfficer) && access == Access::ReadOnly {
            return Err(Error::SessionReadWriteSoExists);
        }
        let handle = self.sessions.open(slot, access)?;
        state.count(access, |counter| counter.fetch_add(1, Ordering::Relaxed));
        Ok(handle)
    }

    /// Closes a session; the last one on a token logs out. Its session objects are gone.
    pub fn close_session(&self, handle: u64) -> Result<(), Error> {
        let slot = self.session(handle)?.slot;
        let state = self.slot(slot)?;
        let mut user = state.login();
        let closed = self.sessions.close(handle).ok_or(Error::SessionHandleInvalid)?;
        self.closed(state, &closed);
        if state.sessions.load(Ordering::Relaxed) == 0 && user.is_some() {
            state.set_user(&mut user, None);
            state.token.logout();
        }
        Ok(())
    }

    /// Closes all sessions of a slot.
    pub fn close_all_sessions(&self, slot: usize) -> Result<(), Error> {
        self.slot(slot)?;
        for open in self.sessions.of_slot(slot) {
            match self.close_session(open.handle) {
                Ok(()) | Err(Error::SessionHandleInvalid) => {}
                other => return other,
            }
        }
        Ok(())
    }

    fn closed(&self, state: &Slot, open: &Open) {
        state.count(open.access, |counter| counter.fetch_sub(1, Ordering::Relaxed));
        if open.made_objects() {
            let mut table = state.token.table_mut();
            let gone = table.retain(|object| object.home != Home::Session(open.handle));
            drop(table);
            self.forget(open.slot, |object| gone.contains(&object));
        }
    }

    /// How many sessions are open on a slot, and how many of them may write.
    #[must_use]
    pub fn sessions_of(&self, slot: usize) -> (usize, usize) {
        let count = |slot: &Slot| {
            let all = slot.sessions.load(Ordering::Relaxed);
            (all, slot.writing_sessions.load(Ordering::Relaxed))
        };
        self.slot(slot).map_or((0, 0), count)
    }

    /// What a session is.
    pub fn session_state(&self, handle: u64) -> Result<SessionState, Error> {
        let session = self.session(handle)?;
        Ok(SessionState {
            slot: session.slot,
            access: session.access,
            user: self.of(&session)?.user(),
        })
    }

    /// Whether there is such a session.
    pub fn check_session(&self, handle: u64) -> Result<(), Error> {
        self.session(handle).map(|_| ())
    }

    /// Ends what uses objects that are gone.
    pub(super) fn forget(&self, slot: usize, gone: impl Fn(Handle) -> bool) {
        for open in self.sessions.of_slot(slot) {
            open.operations().forget(&gone);
        }
    }

    /// Whether an operation of this kind runs.
    pub fn is_active(&self, session: u64, kind: Kind) -> Result<bool, Error> {
        Ok(self.session(session)?.operations().is_active(kind))
    }

    /// What runs in a session can not be carried elsewhere: contexts of the cryptographic library have no written form.
    pub fn check_saves_state(&self, session: u64) -> Result<(), Error> {
        if self.session(session)?.operations().any_active() {
            Err(Error::StateUnsaveable)
        } else {
            Err(Error::OperationNotInitialized)
        }
    }

    /// Ends an operation of this kind, if there is one.
    pub fn cancel(&self, session: u64, kind: Kind) -> Result<(), Error> {
        self.session(session)?.operations().cancel(kind);
        Ok(())
    }

    /// Fills `bytes` with the token's randomness.
    pub fn random(&self, session: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let session: Arc<Open> = self.session(session)?;
        self.of(&session)?.token.random(bytes)
    }

    /// Mixes a seed into the token's randomness.
    pub fn seed(&self, session: u64, seed: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        self.of(&session)?.token.backend().seed(seed)
    }
}

impl Slot {
    fn count(&self, access: Access, change: impl Fn(&AtomicUsize) -> usize) {
        change(&self.sessions);
        if access == Access::ReadWrite {
            change(&self.writing_sessions);
        }
    }
}
