//! One token: the backend, what is known of its objects, and its opened keys.
//!
//! Reading objects takes a lock for reading; only what changes them takes it for writing, and no device works meanwhile save
//! for reading everything again.

use std::boxed::Box;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::vec::Vec;

use crate::attribute::{Attribute, Class};
use crate::backend::{Backend, Damage, Draft, Found, PairDraft, Status, TokenDescription, User};
use crate::crypto::Key;
use crate::error::Error;
use crate::limits;
use crate::material;
use crate::object::{Handle, Home, Object};
use crate::table::{Handles, Table};

/// A token and what is known about it.
pub(crate) struct Token {
    backend: Box<dyn Backend>,
    description: Mutex<Option<TokenDescription>>,
    /// Private objects are hidden from whoever has not logged in.
    guard: AtomicU8,
    table: RwLock<Table>,
    /// Logouts so far: what was opened before the last one is not kept.
    logouts: AtomicU64,
}

const UNKNOWN: u8 = 0;
const GUARDED: u8 = 1;
const UNGUARDED: u8 = 2;

impl Token {
    /// A token behind this backend. Nothing is asked of it yet.
    pub(crate) fn new(backend: Box<dyn Backend>, handles: Arc<Handles>) -> Self {
        Self {
            backend,
            description: Mutex::default(),
            guard: AtomicU8::new(UNKNOWN),
            table: RwLock::new(Table::new(handles)),
            logouts: AtomicU64::new(0),
        }
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// A thread that panicked leaves a table that is whole: objects are only replaced as such.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn description(&self) -> MutexGuard<'_, Option<TokenDescription>> {
        self.description.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The token as a whole.

    /// What the token says about itself; asked once, and again after nobody answered.
    pub(crate) fn describe(&self) -> Result<TokenDescription, Error> {
        if let Some(known) = &*self.description() {
            return Ok(known.clone());
        }
        let description = self.backend.describe()?;
        *self.description() = Some(description.clone());
        Ok(description)
    }

    /// Whether anybody answers now.
    pub(crate) fn probe(&self) -> bool {
        let described = self.noticed(self.backend.describe());
        match described {
            Ok(description) => {
                *self.description() = Some(description);
                true
            }
            Err(_) => {
                *self.description() = None;
                false
            }
        }
    }

    /// Whether anybody answers.
    pub(crate) fn check_present(&self) -> Result<(), Error> {
        if self.description().is_none() {
            self.describe()?;
        }
        if self.guard.load(Ordering::Relaxed) == UNKNOWN {
            self.status()?;
        }
        Ok(())
    }

    /// What guards the token.
    pub(crate) fn status(&self) -> Result<Status, Error> {
        let status = self.noticed(self.backend.status())?;
        let guard = if status.login_required { GUARDED } else { UNGUARDED };
        self.guard.store(guard, Ordering::Relaxed);
        Ok(status)
    }

    /// Whether private objects are hidden from whoever has not logged in.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guard.load(Ordering::Relaxed) != UNGUARDED
    }

    /// Lets a user in.
    pub(crate) fn login(&self, user: User, pin: &[u8]) -> Result<(), Error> {
        self.backend.login(user, pin)?;
        self.follow()
    }

    /// Forgets what the login opened.
    pub(crate) fn logout(&self) {
        self.backend.logout();
        self.logouts.fetch_add(1, Ordering::AcqRel);
        let table = self.table();
        table.objects().for_each(|object| object.forget_key());
    }

    /// Makes the token new and empty.
    pub(crate) fn init_token(&self, pin: &[u8], label: &str) -> Result<(), Error> {
        self.backend.init_token(pin, label)?;
        self.forget();
        Ok(())
    }

    /// Another token may be there now.
    fn forget(&self) {
        *self.description() = None;
        self.table_mut().forget();
    }

    /// A device that does not answer any more may be another one when it does.
    fn noticed<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if matches!(result, Err(Error::DeviceRemoved(_))) {
            *self.description() = None;
        }
        result
    }

    /// What is on the token but can not be used.
    pub(crate) fn damaged(&self) -> Result<Vec<Damage>, Error> {
        self.follow()?;
        Ok(self.table().damaged().to_vec())
    }

    /// Fills `bytes` with the token's randomness.
    pub(crate) fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let mut chunks = bytes.chunks_mut(limits::RANDOM_BYTES_MAX);
        chunks.try_for_each(|chunk| self.noticed(self.backend.random(chunk)))
    }

    // Objects.

    /// Reads the objects again if somebody has changed them.
    pub(crate) fn follow(&self) -> Result<(), Error> {
        let now = self.backend.generation()?;
        if self.table().generation() == Some(now) {
            return Ok(());
        }
        let mut table = self.table_mut();
        if table.generation() == Some(now) {
            return Ok(());
        }
        self.reload(&mut table)
    }

    fn reload(&self, table: &mut Table) -> Result<(), Error> {
        let first = table.generation().is_none();
        let generation = self.backend.generation()?;
        let contents = self.noticed(self.backend.load())?;
        table.load(contents, generation);
        if first {
            self.status()?;
        }
        *self.description() = None;
        Ok(())
    }

    /// The object behind a handle. A token that was never read is read first.
    pub(crate) fn object(&self, handle: Handle) -> Result<Arc<Object>, Error> {
        self.table().object(handle).map(Arc::clone)
    }

    /// The handles of objects that were just kept.
    fn adopt(&self, found: Vec<Found>) -> Result<Vec<Handle>, Error> {
        let mut table = self.table_mut();
        let now = self.backend.generation()?;
        if table.generation().and_then(|known| known.checked_add(1)) == Some(now) {
            table.set_generation(now);
            return Ok(found.into_iter().map(|found| table.insert_found(found)).collect());
        }
        if table.generation() != Some(now) {
            self.reload(&mut table)?;
        }
        let lost = Error::DeviceContent {
            what: "an object that was made is not there",
        };
        let handles = found
            .iter()
            .map(|found| table.handle_of(found).ok_or_else(|| lost.clone()));
        handles.collect()
    }

    /// Keeps objects on the token.
    pub(crate) fn keep(&self, drafts: Vec<Draft>) -> Result<Vec<Handle>, Error> {
        self.follow()?;
        let found = self.noticed(self.backend.keep(drafts))?;
        self.adopt(found)
    }

    /// Has the device make a key pair, if it can; public key and private key.
    pub(crate) fn generate_pair(&self, draft: &PairDraft) -> Result<Option<(Handle, Handle)>, Error> {
        self.follow()?;
        let made = self.noticed(self.backend.generate_pair(draft));
        if made.is_err() {
            // Even a generation that failed may have cost an old key.
            self.follow()?;
        }
        let Some((public, private)) = made? else {
            return Ok(None);
        };
        match self.adopt([public, private].into())?[..] {
            [public, private] => Ok(Some((public, private))),
            _ => Err(Error::General("a pair that is not two")),
        }
    }

    /// Changes attributes of a token object or a session object.
    pub(crate) fn change(&self, object: &Object, changes: &[Attribute<'static>]) -> Result<(), Error> {
        let attributes = match object.home {
            Home::Library => return Err(Error::ObjectProtected),
            Home::Session(_) => {
                let mut attributes = object.attributes().clone();
                for Attribute { kind, value } in changes {
                    attributes.set(*kind, value.clone());
                }
                Arc::new(attributes)
            }
            Home::Token(place) => self.noticed(self.backend.change(place, changes))?.attributes,
        };
        let mut table = self.table_mut();
        if let Home::Token(_) = object.home {
            self.step(&mut table)?;
        }
        if let Ok(known) = table.object(object.handle) {
            let changed = known.changed(attributes);
            table.replace(changed);
        }
        Ok(())
    }

    /// After a change of our own: nothing else has happened, or everything is read again.
    fn step(&self, table: &mut Table) -> Result<(), Error> {
        let now = self.backend.generation()?;
        match table.generation() {
            Some(known) if known == now => Ok(()),
            Some(known) if known.checked_add(1) == Some(now) => {
                table.set_generation(now);
                Ok(())
            }
            _ => self.reload(table),
        }
    }

    /// Destroys an object; its handle means nothing from now on.
    pub(crate) fn destroy(&self, object: &Object) -> Result<(), Error> {
        if let Home::Token(place) = object.home {
            self.noticed(self.backend.destroy(place))?;
        }
        let mut table = self.table_mut();
        table.remove(object.handle);
        match object.home {
            Home::Token(_) => self.step(&mut table),
            _ => Ok(()),
        }
    }

    /// The parsed key of an object; opened when it is first used.
    pub(crate) fn key(&self, object: &Object) -> Result<Arc<Key>, Error> {
        if let Some(key) = object.cached_key() {
            return Ok(key);
        }
        let before = self.logouts.load(Ordering::Acquire);
        let key = match (object.class(), object.home) {
            (Class::PublicKey, Home::Token(place)) => match self.noticed(self.backend.open_public(place))? {
                Some(key) => Arc::new(key),
                None => Arc::new(public_key(object)?),
            },
            (Class::PublicKey, Home::Session(_)) => Arc::new(public_key(object)?),
            (Class::PrivateKey | Class::SecretKey, Home::Token(place)) => {
                Arc::new(self.noticed(self.backend.open_key(place))?)
            }
            _ => return Err(Error::KeyHandleInvalid),
        };
        // Who logs out meanwhile counts first and clears then, so an old key is either not kept or cleared.
        let current = || self.logouts.load(Ordering::Acquire) == before;
        object.cache_key(key, current).ok_or(Error::UserNotLoggedIn)
    }
}

fn public_key(object: &Object) -> Result<Key, Error> {
    material::public(object.attributes()).map_err(|_| Error::KeyHandleInvalid)
}
