//! Who is in, and what opens the token.

use super::Application;
use crate::backend::User;
use crate::error::Error;
use crate::object::{Home, Object};

impl Application {
    /// Logs a user in, on the session's token, for all sessions of this application.
    pub fn login(&self, handle: u64, user: User, pin: &[u8]) -> Result<(), Error> {
        let session = self.session(handle)?;
        let slot = self.of(&session)?;
        let mut login = slot.login();
        match *login {
            Some(already) if already == user => return Err(Error::UserAlreadyLoggedIn),
            Some(_) => return Err(Error::UserAnotherLoggedIn),
            None => {}
        }
        let (all, writing) = self.sessions_of(session.slot);
        if user == User::SecurityOfficer && all > writing {
            return Err(Error::SessionReadOnlyExists);
        }
        if pin.is_empty() && slot.token.is_guarded() {
            // No PIN is none: a program that gives none has not tried.
            return Err(Error::PinIncorrect);
        }
        slot.token.login(user, pin)?;
        slot.set_user(&mut login, Some(user));
        Ok(())
    }

    /// Gives the PIN for the one use of a key that asks for it each time (`CKU_CONTEXT_SPECIFIC`).
    pub fn login_once(&self, handle: u64, pin: &[u8]) -> Result<(), Error> {
        let session = self.session(handle)?;
        let slot = self.of(&session)?;
        if !session.operations().waits_for_pin() {
            return Err(Error::OperationNotInitialized);
        }
        slot.token.backend().login(User::User, pin)?;
        session.operations().pin_was_given();
        Ok(())
    }

    /// Logs out: private session objects are gone, and so is what uses private objects.
    pub fn logout(&self, handle: u64) -> Result<(), Error> {
        let session = self.session(handle)?;
        let slot = self.of(&session)?;
        let mut login = slot.login();
        if login.is_none() {
            return Err(Error::UserNotLoggedIn);
        }
        slot.set_user(&mut login, None);
        let private = |object: &Object| object.is_private();
        self.forget(session.slot, |handle| {
            let object = slot.token.object(handle);
            object.map_or(true, |object| private(&object))
        });
        let of_session = |object: &Object| matches!(object.home, Home::Session(_));
        slot.token
            .table_mut()
            .retain(|object| !(private(object) && of_session(object)));
        slot.token.logout();
        Ok(())
    }

    /// Makes the token in a slot new and empty.
    pub fn init_token(&self, slot: usize, pin: &[u8], label: &str) -> Result<(), Error> {
        let state = self.slot(slot)?;
        // Held, so that no session is opened meanwhile.
        let _login = state.login();
        if self.sessions_of(slot).0 > 0 {
            return Err(Error::SessionExists);
        }
        state.token.init_token(pin, label)
    }

    /// Sets the user's PIN, as security officer.
    pub fn init_pin(&self, session: u64, pin: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        session.check_writable()?;
        let slot = self.of(&session)?;
        if slot.user() != Some(User::SecurityOfficer) {
            return Err(Error::UserNotLoggedIn);
        }
        slot.token.backend().init_pin(pin)
    }

    /// Changes a PIN: the security officer's if that is who is logged in, else the user's.
    pub fn set_pin(&self, session: u64, old: &[u8], new: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        session.check_writable()?;
        let slot = self.of(&session)?;
        let user = slot.user().unwrap_or(User::User);
        slot.token.backend().set_pin(user, old, new)
    }
}
