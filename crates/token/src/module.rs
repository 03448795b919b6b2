//! What threads share: a module with its slots, and sessions on them.
//!
//! Each slot has its own lock, held for one operation of its token; hashing happens outside of it. A session is a handle to
//! its slot and what it may do; any number can be open.

use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use crate::attribute::{Attribute, AttributeKind, Value};
use crate::backend::{Backend, Damage, TokenDescription};
use crate::error::Error;
use crate::limits;
use crate::mechanism::{Mechanism, Purpose};
use crate::object::{Handle, Object};
use crate::software;
use crate::token::{CertificateTemplate, KeyPairTemplate, Token};

/// All slots of one configuration, in its order.
#[derive(Clone, Debug)]
pub struct Module {
    slots: Vec<Slot>,
}

impl Module {
    /// A module with one slot for each backend, numbered from 0. Nothing is asked of any device yet.
    pub fn new(backends: impl IntoIterator<Item = Box<dyn Backend>>) -> Result<Self, Error> {
        let slots: Vec<_> = backends
            .into_iter()
            .map(Slot::new)
            .take(limits::SLOTS_MAX + 1)
            .collect();
        if slots.len() > limits::SLOTS_MAX {
            return Err(Error::ArgumentsBad("more slots than a module may have"));
        }
        Ok(Self { slots })
    }

    /// The slots. The first one holds the device's own token.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot with this number.
    pub fn slot(&self, number: usize) -> Result<&Slot, Error> {
        self.slots.get(number).ok_or(Error::SlotIdInvalid(number))
    }
}

/// A slot with one token in it. Cloning it copies a pointer.
#[derive(Clone, Debug)]
pub struct Slot {
    token: Arc<Mutex<Token>>,
}

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Use the token.
    ReadOnly,
    /// Also change it.
    ReadWrite,
}

impl Slot {
    /// A slot for this backend alone, outside of any module.
    #[must_use]
    pub fn new(backend: Box<dyn Backend>) -> Self {
        Self {
            token: Arc::new(Mutex::new(Token::new(backend))),
        }
    }

    /// What the token says about itself.
    pub fn describe(&self) -> Result<TokenDescription, Error> {
        self.token().describe()
    }

    /// The mechanisms of the token.
    #[must_use]
    pub const fn mechanisms(&self) -> &'static [Mechanism] {
        Mechanism::ALL
    }

    /// Opens a session. The chip has no PIN, so there is no login.
    #[must_use]
    pub fn open_session(&self, access: Access) -> Session {
        Session {
            slot: self.clone(),
            access,
        }
    }

    /// A thread that panicked in the middle of an operation leaves the token as it is: the link to the chip re-synchronises
    /// with the next command, and objects are only replaced as a whole.
    pub(crate) fn token(&self) -> MutexGuard<'_, Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open session.
#[derive(Clone, Debug)]
pub struct Session {
    slot: Slot,
    access: Access,
}

impl Session {
    /// The slot it is open on.
    #[must_use]
    pub const fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The objects that have every attribute of the template; with an empty one, all.
    pub fn find(&self, template: &[Attribute<'_>]) -> Result<Vec<Handle>, Error> {
        self.slot.token().find(template)
    }

    /// What is on the token but can not be used.
    pub fn damaged(&self) -> Result<Vec<Damage>, Error> {
        self.slot.token().damaged()
    }

    /// The object behind a handle; it answers attributes without asking the token.
    pub fn object(&self, handle: Handle) -> Result<Arc<Object>, Error> {
        self.slot.token().object(handle)
    }

    /// One attribute of an object.
    pub fn attribute(&self, handle: Handle, kind: AttributeKind) -> Result<Value<'static>, Error> {
        self.object(handle)?.attribute(kind).map(Value::into_owned)
    }

    /// Signs: `r ‖ s`, each as long as the curve. With [`Mechanism::Ecdsa`] `data` is the digest.
    pub fn sign(&self, key: Handle, mechanism: Mechanism, data: &[u8]) -> Result<Vec<u8>, Error> {
        if data.len() > limits::SIGN_DATA_BYTES_MAX {
            return Err(Error::DataLengthRange { found: data.len() });
        }
        match mechanism.purpose() {
            Purpose::Sign(None) => self.slot.token().sign_digest(key, data),
            Purpose::Sign(Some(hash)) => {
                let digest = software::digest(hash, data);
                self.slot.token().sign_digest(key, &digest)
            }
            Purpose::GenerateKeyPair | Purpose::Digest(_) => Err(Error::MechanismInvalid(mechanism)),
        }
    }

    /// Generates a key pair; public key and private key.
    pub fn generate_key_pair(&self, template: &KeyPairTemplate<'_>) -> Result<(Handle, Handle), Error> {
        self.writable()?;
        self.slot.token().generate_key_pair(template)
    }

    /// Stores a certificate.
    pub fn create_certificate(&self, template: &CertificateTemplate<'_>) -> Result<Handle, Error> {
        self.writable()?;
        self.slot.token().create_certificate(template)
    }

    /// Fills `bytes` with the token's randomness.
    pub fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.slot.token().random(bytes)
    }

    const fn writable(&self) -> Result<(), Error> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::SessionReadOnly),
        }
    }
}
