//! What an application of PKCS #11 has: slots, sessions by number, who is logged in where, objects and running operations. The C
//! functions are a thin edge over this; [`crate::Session`] is the same for programs in Rust.
//!
//! Every function first looks for the session, then for the object, then for what may be done, then at the mechanism and at last
//! at the template. It must never hold a lock of its own while a token works, save the login's.

mod cipher;
mod derive;
mod digest;
mod events;
mod find;
mod keys;
mod login;
mod objects;
mod recover;
mod sessions;
mod sign;
mod wrap;

use std::boxed::Box;
use std::string::String;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

pub use self::derive::DerivedKeys;
use self::events::Events;
pub use self::sessions::SessionState;
use crate::attribute::AttributeKind;
use crate::backend::{Backend, Status, TokenDescription, User};
use crate::crypto::Key;
use crate::error::Error;
use crate::limits;
use crate::mechanism::{Abilities, Mechanism, MechanismType};
use crate::object::{Handle, Object};
use crate::session::{Open, Sessions};
use crate::table::Handles;
use crate::token::Token;

/// One slot of a configuration.
pub struct Setup {
    /// What stands behind it.
    pub backend: Box<dyn Backend>,
    /// What the token is called, if it can not say so itself.
    pub label: Option<String>,
    /// What the slot is called (`slotDescription`).
    pub description: String,
    /// Keys live in hardware.
    pub hardware: bool,
}

/// A key that an operation may use.
struct Usable {
    object: Handle,
    key: Arc<Key>,
    /// Each use wants the PIN again.
    asks_always: bool,
}

/// An application's view of all tokens.
pub struct Application {
    slots: Vec<Slot>,
    sessions: Sessions,
    handles: Arc<Handles>,
    strict_roles: bool,
    events: Events,
}

impl core::fmt::Debug for Application {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Application with {} slots", self.slots.len())
    }
}

pub(crate) struct Slot {
    pub(crate) token: Token,
    label: Option<String>,
    description: String,
    hardware: bool,
    /// Who is logged in; held while that changes.
    login: Mutex<Option<User>>,
    /// The same for whoever only looks.
    user: AtomicU8,
    sessions: AtomicUsize,
    writing_sessions: AtomicUsize,
    /// Whether a token was there when somebody last asked for events.
    seen_present: Mutex<Option<bool>>,
}

const NOBODY: u8 = 0;
const USER: u8 = 1;
const OFFICER: u8 = 2;

impl Slot {
    fn new(setup: Setup, handles: &Arc<Handles>) -> Self {
        Self {
            token: Token::new(setup.backend, Arc::clone(handles)),
            label: setup.label,
            description: setup.description,
            hardware: setup.hardware,
            login: Mutex::new(None),
            user: AtomicU8::new(NOBODY),
            sessions: AtomicUsize::new(0),
            writing_sessions: AtomicUsize::new(0),
            seen_present: Mutex::new(None),
        }
    }

    fn login(&self) -> MutexGuard<'_, Option<User>> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is logged in.
    fn user(&self) -> Option<User> {
        match self.user.load(Ordering::Acquire) {
            USER => Some(User::User),
            OFFICER => Some(User::SecurityOfficer),
            _ => None,
        }
    }

    fn set_user(&self, login: &mut Option<User>, user: Option<User>) {
        *login = user;
        let number = match user {
            None => NOBODY,
            Some(User::User) => USER,
            Some(User::SecurityOfficer) => OFFICER,
        };
        self.user.store(number, Ordering::Release);
    }

    /// Whether private objects may be seen now.
    fn sees_private(&self) -> bool {
        self.user() == Some(User::User) || !self.token.is_guarded()
    }

    fn may_see(&self, object: &Object) -> bool {
        !object.is_private() || self.sees_private()
    }
}

impl Application {
    /// Slots in this order. Nothing is asked of any device yet.
    pub fn new(setups: impl IntoIterator<Item = Setup>) -> Result<Self, Error> {
        let handles = Arc::new(Handles::default());
        let slots: Vec<_> = setups
            .into_iter()
            .take(limits::SLOTS_MAX + 1)
            .map(|setup| Slot::new(setup, &handles))
            .collect();
        if slots.len() > limits::SLOTS_MAX {
            return Err(Error::ArgumentsBad("more slots than a module may have"));
        }
        Ok(Self {
            slots,
            sessions: Sessions::new(),
            handles,
            strict_roles: true,
            events: Events::default(),
        })
    }

    /// Whether a key that decrypts may not wrap sensitive keys: who has it could unwrap them into data. It may not, unless this
    /// says so.
    #[must_use]
    pub const fn with_strict_roles(mut self, strict: bool) -> Self {
        self.strict_roles = strict;
        self
    }

    /// How many slots there are.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots.len()
    }

    fn slot(&self, slot: usize) -> Result<&Slot, Error> {
        self.slots.get(slot).ok_or(Error::SlotIdInvalid(slot))
    }

    /// What the slot is called, and whether it holds hardware.
    pub fn describe_slot(&self, slot: usize) -> Result<(&str, bool), Error> {
        let slot = self.slot(slot)?;
        Ok((&slot.description, slot.hardware))
    }

    /// Whether there is a token in the slot.
    pub fn is_present(&self, slot: usize) -> Result<bool, Error> {
        Ok(self.slot(slot)?.token.describe().is_ok())
    }

    /// What the token in the slot says about itself, and what guards it.
    pub fn token(&self, slot: usize) -> Result<(TokenDescription, Status), Error> {
        let slot = self.slot(slot)?;
        let (description, mut status) = (slot.token.describe()?, slot.token.status()?);
        if let Some(label) = &slot.label {
            status.label.clone_from(label);
        }
        Ok((description, status))
    }

    /// The mechanisms of the token in a slot.
    pub fn mechanisms(&self, slot: usize) -> Result<Vec<MechanismType>, Error> {
        self.slot(slot)?;
        Ok(MechanismType::ALL.to_vec())
    }

    /// What a mechanism of the token in a slot is for, and whether the device itself runs it.
    pub fn mechanism(&self, slot: usize, kind: MechanismType) -> Result<(Abilities, bool), Error> {
        if !self.mechanisms(slot)?.contains(&kind) {
            return Err(Error::MechanismInvalid(kind));
        }
        let hardware = self.slot(slot)?.token.backend().is_in_hardware(kind);
        Ok((kind.abilities(), hardware))
    }

    fn session(&self, handle: u64) -> Result<Arc<Open>, Error> {
        self.sessions.session(handle)
    }

    fn of(&self, session: &Open) -> Result<&Slot, Error> {
        self.slot(session.slot)
    }

    /// The object behind a handle, if it may be seen.
    fn visible(&self, session: &Open, object: u64) -> Result<Arc<Object>, Error> {
        let slot = self.of(session)?;
        let object = slot.token.object(Handle(object))?;
        if slot.may_see(&object) {
            Ok(object)
        } else {
            Err(Error::ObjectHandleInvalid)
        }
    }

    /// The key behind a handle, if this mechanism may be used with it for this: `does` is the mechanism's ability, `usage` the
    /// key's attribute.
    fn usable_key(
        &self,
        session: &Open,
        mechanism: &Mechanism,
        key: u64,
        does: u64,
        usage: AttributeKind,
    ) -> Result<Usable, Error> {
        let object = self.key_object(session, key)?;
        let kind = mechanism.kind();
        if !kind.abilities().does(does) {
            return Err(Error::MechanismInvalid(kind));
        }
        let attributes = object.attributes();
        let key_type = attributes.key_type().ok_or(Error::KeyHandleInvalid)?;
        if !attributes.flag(usage) {
            return Err(Error::KeyFunctionNotPermitted);
        }
        if !attributes.allows(kind) {
            return Err(Error::MechanismInvalid(kind));
        }
        if !kind.key_types().contains(&key_type) {
            return Err(Error::KeyTypeInconsistent);
        }
        Ok(Usable {
            object: object.handle,
            key: self.of(session)?.token.key(&object)?,
            asks_always: attributes.flag(AttributeKind::AlwaysAuthenticate),
        })
    }

    /// The same for the object that an operation is to use.
    fn key_object(&self, session: &Open, key: u64) -> Result<Arc<Object>, Error> {
        self.visible(session, key).map_err(|error| match error {
            Error::ObjectHandleInvalid => Error::KeyHandleInvalid,
            other => other,
        })
    }
}
