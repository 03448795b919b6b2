//! The flash token behind the wall that all backends have.

use std::boxed::Box;
use std::path::Path;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::record::{Record, Stored, check_lengths, public_bytes};
use super::seal::{self, Keys};
use super::seeds::Seeds;
use super::state::{CHANGED, Entry};
use super::store::{Known, Store};
use super::ticket::{Refused, Ticket};
use crate::attribute::{Attribute, Class};
use crate::backend::{Backend, Contents, Draft, Found, PinState, Place, Status, TokenDescription, User};
use crate::crypto::Key;
use crate::error::Error;

const LIBRARY: Error = Error::General("the cryptographic library failed");

/// A token in a directory.
#[derive(Debug)]
pub struct Flash {
    store: Store,
    seeds: Seeds,
}

impl Flash {
    /// The token in this directory, or the place for one. Nothing is read yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            store: Store::new(folder, None),
            seeds: Seeds::default(),
        }
    }

    /// The same with the PIN counters in a file elsewhere, as a sealed token needs them.
    #[must_use]
    pub fn with_counters(folder: &Path, counters: &Path) -> Self {
        Self {
            store: Store::new(folder, Some(counters)),
            seeds: Seeds::default(),
        }
    }

    /// The same as something that a slot takes.
    #[must_use]
    pub fn backend(folder: &Path) -> Box<dyn Backend> {
        Box::new(Self::new(folder))
    }

    /// Seals the token for ever: what is in it can be used and never changed. It needs the security officer's PIN.
    pub fn end_changes(&self, pin: &[u8]) -> Result<(), Error> {
        self.store.end_changes(pin)
    }

    #[cfg(test)]
    pub(super) fn folder(&self) -> &Path {
        self.store.folder()
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.store.known()
    }

    fn secret(&self, place: Place) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (keys, entry) = {
            let known = self.store.known();
            (known.user_keys()?, known.entry(place)?)
        };
        secret(&keys, &entry)
    }
}

fn secret(keys: &Keys, entry: &Entry) -> Result<Zeroizing<Vec<u8>>, Error> {
    if entry.stored.sealed.is_empty() {
        return Err(Error::ObjectHandleInvalid);
    }
    let public = public_bytes(&entry.stored.attributes);
    keys.open(&entry.id, &public, &entry.stored.sealed)?
        .ok_or(CHANGED)
}

fn found(place: Place, stored: &Stored) -> Found {
    Found {
        place,
        attributes: Arc::clone(&stored.attributes),
        aliases: &[],
    }
}

impl Known {
    /// Keys for what only the user may use.
    fn user_keys(&self) -> Result<Arc<Keys>, Error> {
        match &self.login {
            Some(login) if login.user == User::User => Ok(Arc::clone(&login.keys)),
            _ => Err(Error::UserNotLoggedIn),
        }
    }
}

impl Backend for Flash {
    fn describe(&self) -> Result<TokenDescription, Error> {
        let known = self.store.refreshed()?;
        let digits = known.state.as_ref().map(|state| state.header.token);
        let serial = digits.map(|token| {
            let digits = token.iter().take(8);
            digits.map(|byte| std::format!("{byte:02X}")).collect()
        });
        Ok(TokenDescription {
            manufacturer: "Birthmark",
            model: "Birthmark flash",
            serial: serial.unwrap_or_else(|| "0".repeat(16)),
        })
    }

    fn status(&self) -> Result<Status, Error> {
        let known = self.store.refreshed()?;
        let header = known.state.as_ref().map(|state| state.header.clone());
        drop(known);
        let Some(header) = header else {
            return Ok(Status {
                label: String::new(),
                initialized: false,
                login_required: true,
                write_protected: false,
                user_pin: PinState::Absent,
                officer_pin: PinState::Absent,
            });
        };
        let (officer_pin, user_pin) = self.store.pin_states(&header)?;
        Ok(Status {
            label: header.label,
            initialized: true,
            login_required: true,
            write_protected: header.read_only,
            user_pin,
            officer_pin,
        })
    }

    fn login(&self, user: User, pin: &[u8]) -> Result<(), Error> {
        self.store.login(user, pin)
    }

    fn logout(&self) {
        self.store.known_mut().login = None;
    }

    fn init_token(&self, pin: &[u8], label: &str) -> Result<(), Error> {
        self.store.init_token(pin, label)
    }

    fn init_pin(&self, pin: &[u8]) -> Result<(), Error> {
        self.store.init_pin(pin)
    }

    fn set_pin(&self, user: User, old: &[u8], new: &[u8]) -> Result<(), Error> {
        self.store.set_pin(user, old, new)
    }

    fn generation(&self) -> Result<u64, Error> {
        Ok(self.store.refreshed()?.generation)
    }

    fn load(&self) -> Result<Contents, Error> {
        let known = self.store.refreshed()?;
        let mut contents = Contents::default();
        if let Some(state) = &known.state {
            let objects = state.objects.iter();
            contents.objects = objects
                .map(|(place, entry)| found(*place, &entry.stored))
                .collect();
        }
        Ok(contents)
    }

    fn open_key(&self, place: Place) -> Result<Key, Error> {
        let class = self.store.known().entry(place)?.stored.attributes.class();
        crate::material::kept(class.unwrap_or(Class::PrivateKey), &self.secret(place)?)
    }

    fn open_value(&self, place: Place) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.secret(place)
    }

    fn keep(&self, drafts: Vec<Draft>) -> Result<Vec<Found>, Error> {
        let keys = self.store.known().keys()?;
        let (mut records, mut kept) = (Vec::new(), Vec::new());
        for draft in drafts {
            let secret = draft.secret.as_ref();
            check_lengths(&draft.attributes, secret.map_or(0, |secret| secret.len()))?;
            let (id, public) = (seal::random()?, public_bytes(&draft.attributes));
            let sealed = secret.map(|secret| keys.seal(&id, &public, secret)).transpose()?;
            let stored = Stored {
                attributes: Arc::new(draft.attributes),
                sealed: sealed.unwrap_or_default(),
            };
            kept.push(stored.clone());
            records.push(Record::Put(id, stored));
        }
        let places = self.store.submit(Ticket::new(keys, records, Vec::new()))?;
        Ok(places
            .iter()
            .zip(&kept)
            .map(|(place, stored)| found(*place, stored))
            .collect())
    }

    fn change(&self, place: Place, changes: &[Attribute<'static>]) -> Result<Found, Error> {
        loop {
            let (keys, entry) = {
                let known = self.store.refreshed()?;
                (known.keys()?, known.entry(place)?)
            };
            let stored = changed(&keys, &entry, changes)?;
            let record = Record::Put(entry.id, stored.clone());
            match self
                .store
                .submit(Ticket::new(keys, [record].into(), [(place, entry)].into()))
            {
                Ok(_) => return Ok(found(place, &stored)),
                Err(Refused::Conflict) => {}
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
    }

    fn destroy(&self, place: Place) -> Result<(), Error> {
        loop {
            let (keys, entry) = {
                let known = self.store.refreshed()?;
                (known.keys()?, known.entry(place)?)
            };
            let record = Record::Delete(entry.id);
            match self
                .store
                .submit(Ticket::new(keys, [record].into(), [(place, entry)].into()))
            {
                Ok(_) => return Ok(()),
                Err(Refused::Conflict) => {}
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| LIBRARY)?;
        self.seeds.mix(bytes)
    }

    fn seed(&self, seed: &[u8]) -> Result<(), Error> {
        self.seeds.add(seed);
        Ok(())
    }
}

/// The object with other attributes; its secret is sealed again, since the seal covers them.
fn changed(keys: &Keys, entry: &Entry, changes: &[Attribute<'static>]) -> Result<Stored, Error> {
    let mut attributes = (*entry.stored.attributes).clone();
    for change in changes {
        attributes.set(change.kind, change.value.clone());
    }
    let mut sealed = entry.stored.sealed.clone();
    check_lengths(&attributes, sealed.len())?;
    if !sealed.is_empty() {
        let public = public_bytes(&attributes);
        sealed = keys.seal(&entry.id, &public, &secret(keys, entry)?)?;
    }
    Ok(Stored {
        attributes: Arc::new(attributes),
        sealed,
    })
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            // Another token is there now.
            Refused::Conflict => Self::UserNotLoggedIn,
            Refused::Failed(error) => error,
        }
    }
}
