//! What PINs open: login, new PINs, a new token. Each try is counted, durably, before it is made.

use std::path::PathBuf;
use std::sync::Arc;
use std::vec::Vec;

use super::commit::whole;
use super::journal::{failed, replace};
use super::pins::{Counters, Pins};
use super::record::Header;
use super::seal::{self, Id, Keys, Wrap};
use super::store::{Login, Store};
use crate::backend::{PinState, User};
use crate::error::Error;
use crate::limits::{LABEL_BYTES_MAX, PIN_BYTES_MAX, PIN_BYTES_MIN};

const OFFICER: u8 = 0;
const USER: u8 = 1;

const NO_COUNTERS: Error = Error::DeviceContent {
    what: "a read-only token without a place for its PIN counters: name one in the configuration",
};

impl Store {
    /// Where the PIN counters are.
    fn counters(&self, header: &Header) -> Result<PathBuf, Error> {
        match &self.counters {
            Some(path) => Ok(path.clone()),
            None if header.read_only => Err(NO_COUNTERS),
            None => Ok(self.folder().join("pins")),
        }
    }

    /// Counters outside of the token are made when they are first needed.
    fn make_counters(&self, header: &Header) -> Result<PathBuf, Error> {
        let path = self.counters(header)?;
        if self.counters.is_some() && !path.exists() {
            Pins::create(&path)?;
        }
        Ok(path)
    }

    /// The states of the security officer's PIN and the user's.
    pub(super) fn pin_states(&self, header: &Header) -> Result<(PinState, PinState), Error> {
        let pins = match self.counters(header) {
            Ok(path) if path.exists() || self.counters.is_none() => Pins::read(&path, header)?,
            // Nobody has tried anything yet.
            Ok(_) | Err(_) => Pins::default(),
        };
        let user = header.user.as_ref().map(|_| pins.state(User::User));
        Ok((
            pins.state(User::SecurityOfficer),
            user.unwrap_or(PinState::Absent),
        ))
    }

    /// The token's keys if the PIN is right.
    fn unlock(&self, header: &Header, user: User, pin: &[u8]) -> Result<Arc<Keys>, Error> {
        let (wrap, role) = match user {
            User::SecurityOfficer => (Some(&header.officer), OFFICER),
            User::User => (header.user.as_ref(), USER),
        };
        let wrap = wrap.ok_or(Error::UserPinNotInitialized)?;
        let mut counters = Counters::open(&self.make_counters(header)?, header)?;
        let before = counters.pins;
        counters.keep(before.tried(user)?)?;
        let data = wrap.open(pin, &header.token, role)?;
        counters.keep(before.forgiven(user))?;
        drop(counters);
        let keys = Keys::new(header.token, data)?;
        self.known().state()?.check(&keys)?;
        Ok(Arc::new(keys))
    }

    /// Lets a user in, or only checks the PIN of one who is in.
    pub(super) fn login(&self, user: User, pin: &[u8]) -> Result<(), Error> {
        let header = self.refreshed()?.state()?.header.clone();
        let keys = if header.read_only {
            self.unlock(&header, user, pin)?
        } else {
            self.alone(|| {
                let header = self.known().state()?.header.clone();
                self.unlock(&header, user, pin)
            })?
        };
        let mut known = self.known_mut();
        if known.state()?.header.token == keys.token {
            known.login = Some(Login { user, keys });
        }
        Ok(())
    }

    /// Makes the token new and empty.
    pub(super) fn init_token(&self, pin: &[u8], label: &str) -> Result<(), Error> {
        check_pin(pin)?;
        if label.len() > LABEL_BYTES_MAX {
            return Err(Error::ArgumentsBad("a token's label has at most 32 bytes"));
        }
        self.alone(|| {
            let old = self.known().state.as_ref().map(|state| state.header.clone());
            if let Some(old) = &old {
                self.unlock(old, User::SecurityOfficer, pin)?;
            }
            let (token, data) = (seal::random()?, seal::random_key()?);
            let header = Header {
                edition: Id::default(),
                token,
                label: label.into(),
                read_only: false,
                officer: Wrap::new(&data, pin, &token, OFFICER)?,
                user: None,
            };
            let bytes = whole(header, &Keys::new(token, data)?, &[])?;
            let pins = self.folder().join("pins");
            if old.is_none() && self.counters.is_none() {
                Pins::create(&pins)?;
            }
            replace(&self.journal(), &bytes)
        })?;
        self.refreshed().map(|_| ())
    }

    /// Sets the user's PIN, as security officer.
    pub(super) fn init_pin(&self, pin: &[u8]) -> Result<(), Error> {
        check_pin(pin)?;
        self.alone(|| {
            let login = self.known().login.clone();
            let officer = login.filter(|login| login.user == User::SecurityOfficer);
            let keys = officer.ok_or(Error::UserNotLoggedIn)?.keys;
            self.wrap(User::User, &keys, pin)
        })
    }

    /// Gives a user who knows the old PIN a new one.
    pub(super) fn set_pin(&self, user: User, old: &[u8], new: &[u8]) -> Result<(), Error> {
        check_pin(new)?;
        self.alone(|| {
            let header = self.known().state()?.header.clone();
            let keys = self.unlock(&header, user, old)?;
            self.wrap(user, &keys, new)
        })
    }

    fn wrap(&self, user: User, keys: &Keys, pin: &[u8]) -> Result<(), Error> {
        let mut header = self.known().state()?.header.clone();
        match user {
            User::SecurityOfficer => header.officer = Wrap::new(&keys.data, pin, &header.token, OFFICER)?,
            User::User => header.user = Some(Wrap::new(&keys.data, pin, &header.token, USER)?),
        }
        self.commit_header(keys, header)
    }

    /// Ends all changes: one file in which everything stands once, that says so itself.
    pub(super) fn end_changes(&self, pin: &[u8]) -> Result<(), Error> {
        self.alone(|| {
            let header = self.known().state()?.header.clone();
            let keys = self.unlock(&header, User::SecurityOfficer, pin)?;
            let known = self.known();
            let objects = known.state()?.objects.values();
            let objects: Vec<_> = objects.map(|entry| (&entry.id, &entry.stored)).collect();
            let header = Header {
                read_only: true,
                ..header
            };
            let bytes = whole(header, &keys, &objects)?;
            replace(&self.journal(), &bytes)
        })?;
        for name in ["pins", "lock"] {
            let path = self.folder().join(name);
            if path.exists() {
                std::fs::remove_file(&path).map_err(failed("tidy the token's directory"))?;
            }
        }
        Ok(())
    }
}

const fn check_pin(pin: &[u8]) -> Result<(), Error> {
    if pin.len() < PIN_BYTES_MIN || pin.len() > PIN_BYTES_MAX {
        return Err(Error::PinLengthRange);
    }
    Ok(())
}
