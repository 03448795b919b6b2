//! What an application of PKCS #11 has: slots, sessions by number, who is logged in where, and running operations.
//!
//! Every function first looks for the session, then for the object, then for what may be done, then at the mechanism. No lock
//! of this file is held while a token works, save the login's own.

use std::boxed::Box;
use std::collections::HashMap;
use std::string::String;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::vec::Vec;

use identity::key::{Curve, KeyKind, PublicKey};

use crate::attribute::{Attribute, AttributeKind, Class, Value};
use crate::backend::{Backend, Status, TokenDescription, User};
use crate::error::Error;
use crate::limits;
use crate::mechanism::{Mechanism, Purpose};
use crate::module::{Access, Slot};
use crate::object::{Content, Handle, Object};
use crate::operation::{Gather, KeyOperation, Kind, Operations};
use crate::software;
use crate::token::{CertificateTemplate, KeyPairTemplate};

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

/// An application's view of all tokens.
pub struct Application {
    slots: Vec<SlotState>,
    sessions: RwLock<HashMap<u64, Arc<Open>>>,
    next: AtomicU64,
}

struct SlotState {
    slot: Slot,
    label: Option<String>,
    description: String,
    hardware: bool,
    user: Mutex<Option<User>>,
}

struct Open {
    slot: usize,
    access: Access,
    operations: Mutex<Operations>,
}

impl Open {
    /// A thread that panicked in an operation leaves operations that can be ended.
    fn operations(&self) -> MutexGuard<'_, Operations> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotState {
    fn new(setup: Setup) -> Self {
        Self {
            slot: Slot::new(setup.backend),
            label: setup.label,
            description: setup.description,
            hardware: setup.hardware,
            user: Mutex::new(None),
        }
    }

    fn user(&self) -> MutexGuard<'_, Option<User>> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Application {
    /// Slots in this order. Nothing is asked of any device yet.
    pub fn new(setups: impl IntoIterator<Item = Setup>) -> Result<Self, Error> {
        let slots: Vec<_> = setups
            .into_iter()
            .take(limits::SLOTS_MAX + 1)
            .map(SlotState::new)
            .collect();
        if slots.len() > limits::SLOTS_MAX {
            return Err(Error::ArgumentsBad("more slots than a module may have"));
        }
        Ok(Self {
            slots,
            sessions: RwLock::default(),
            next: AtomicU64::new(1),
        })
    }

    /// How many slots there are.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    fn slot(&self, slot: usize) -> Result<&SlotState, Error> {
        self.slots.get(slot).ok_or(Error::SlotIdInvalid(slot))
    }

    /// What the slot is called, and whether it holds hardware.
    pub fn describe_slot(&self, slot: usize) -> Result<(&str, bool), Error> {
        let slot = self.slot(slot)?;
        Ok((&slot.description, slot.hardware))
    }

    /// Whether there is a token in the slot.
    pub fn is_present(&self, slot: usize) -> Result<bool, Error> {
        Ok(self.slot(slot)?.slot.describe().is_ok())
    }

    /// What the token in the slot says about itself, and what guards it.
    pub fn token(&self, slot: usize) -> Result<(TokenDescription, Status), Error> {
        let slot = self.slot(slot)?;
        let mut token = slot.slot.token();
        let (description, mut status) = (token.describe()?, token.status()?);
        if let Some(label) = &slot.label {
            status.label.clone_from(label);
        }
        Ok((description, status))
    }

    // Sessions.

    /// Opens a session.
    pub fn open_session(&self, slot: usize, access: Access) -> Result<u64, Error> {
        let state = self.slot(slot)?;
        let _ = state.slot.describe()?;
        // Held until the session is there, so that no login as security officer comes between.
        let user = state.user();
        if *user == Some(User::SecurityOfficer) && access == Access::ReadOnly {
            return Err(Error::SessionReadWriteSoExists);
        }
        let open = Open {
            slot,
            access,
            operations: Mutex::default(),
        };
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= limits::SESSIONS_MAX {
            return Err(Error::SessionCount);
        }
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        sessions.insert(handle, Arc::new(open));
        drop(user);
        Ok(handle)
    }

    fn session(&self, handle: u64) -> Result<Arc<Open>, Error> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&handle).cloned().ok_or(Error::SessionHandleInvalid)
    }

    fn writable(&self, handle: u64) -> Result<Arc<Open>, Error> {
        let session = self.session(handle)?;
        match session.access {
            Access::ReadWrite => Ok(session),
            Access::ReadOnly => Err(Error::SessionReadOnly),
        }
    }

    fn of(&self, session: &Open) -> Result<&SlotState, Error> {
        self.slot(session.slot)
    }

    /// Closes a session; the last one on a token logs out.
    pub fn close_session(&self, handle: u64) -> Result<(), Error> {
        let session = self.session(handle)?;
        self.close(session.slot, |closing, _| closing == handle)
    }

    /// Closes all sessions of a slot.
    pub fn close_all_sessions(&self, slot: usize) -> Result<(), Error> {
        self.close(slot, |_, open| open.slot == slot)
    }

    fn close(&self, slot: usize, which: impl Fn(u64, &Open) -> bool) -> Result<(), Error> {
        let state = self.slot(slot)?;
        let mut user = state.user();
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|handle, open| !which(*handle, open));
        let last = !sessions.values().any(|open| open.slot == slot);
        drop(sessions);
        if last && user.take().is_some() {
            state.slot.token().logout();
        }
        Ok(())
    }

    /// How many sessions are open on a slot, and how many of them may write.
    #[must_use]
    pub fn sessions_of(&self, slot: usize) -> (usize, usize) {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        let of_slot = || sessions.values().filter(|open| open.slot == slot);
        let writing = of_slot().filter(|open| open.access == Access::ReadWrite);
        (of_slot().count(), writing.count())
    }

    /// What a session is.
    pub fn session_state(&self, handle: u64) -> Result<SessionState, Error> {
        let session = self.session(handle)?;
        Ok(SessionState {
            slot: session.slot,
            access: session.access,
            user: *self.of(&session)?.user(),
        })
    }

    // Login.

    /// Logs a user in, on the session's token, for all sessions of this application.
    pub fn login(&self, handle: u64, user: User, pin: &[u8]) -> Result<(), Error> {
        let session = self.session(handle)?;
        let state = self.of(&session)?;
        let mut logged_in = state.user();
        match *logged_in {
            Some(already) if already == user => return Err(Error::UserAlreadyLoggedIn),
            Some(_) => return Err(Error::UserAnotherLoggedIn),
            None => {}
        }
        let (all, writing) = self.sessions_of(session.slot);
        if user == User::SecurityOfficer && all > writing {
            return Err(Error::SessionReadOnlyExists);
        }
        state.slot.token().login(user, pin)?;
        *logged_in = Some(user);
        Ok(())
    }

    /// Logs out; what uses private objects ends.
    pub fn logout(&self, handle: u64) -> Result<(), Error> {
        let session = self.session(handle)?;
        let state = self.of(&session)?;
        if state.user().take().is_none() {
            return Err(Error::UserNotLoggedIn);
        }
        let private = |key: Handle| {
            let object = state.slot.token().object(key);
            object.map_or(true, |object| object.is_private())
        };
        self.forget(session.slot, private);
        state.slot.token().logout();
        Ok(())
    }

    fn forget(&self, slot: usize, gone: impl Fn(Handle) -> bool) {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        let of_slot: Vec<_> = sessions
            .values()
            .filter(|open| open.slot == slot)
            .cloned()
            .collect();
        drop(sessions);
        for open in of_slot {
            open.operations().forget(&gone);
        }
    }

    /// Makes the token in a slot new and empty.
    pub fn init_token(&self, slot: usize, pin: &[u8], label: &str) -> Result<(), Error> {
        let state = self.slot(slot)?;
        // Held, so that no session is opened meanwhile.
        let _user = state.user();
        if self.sessions_of(slot).0 > 0 {
            return Err(Error::SessionExists);
        }
        state.slot.token().init_token(pin, label)
    }

    /// Sets the user's PIN, as security officer.
    pub fn init_pin(&self, session: u64, pin: &[u8]) -> Result<(), Error> {
        let session = self.writable(session)?;
        let state = self.of(&session)?;
        if *state.user() != Some(User::SecurityOfficer) {
            return Err(Error::UserNotLoggedIn);
        }
        state.slot.token().init_pin(pin)
    }

    /// Changes a PIN: the security officer's if that is who is logged in, else the user's.
    pub fn set_pin(&self, session: u64, old: &[u8], new: &[u8]) -> Result<(), Error> {
        let session = self.writable(session)?;
        let state = self.of(&session)?;
        let user = (*state.user()).unwrap_or(User::User);
        state.slot.token().set_pin(user, old, new)
    }

    // Objects.

    /// The object behind a handle, if the session may see it.
    pub fn object(&self, session: u64, object: u64) -> Result<Arc<Object>, Error> {
        let session = self.session(session)?;
        self.visible(&session, object)
    }

    fn visible(&self, session: &Open, object: u64) -> Result<Arc<Object>, Error> {
        let state = self.of(session)?;
        let object = state.slot.token().object(named(object)?)?;
        if object.is_private() && *state.user() != Some(User::User) {
            return Err(Error::ObjectHandleInvalid);
        }
        Ok(object)
    }

    /// Begins a search. `None` is a template that nothing can match.
    pub fn find_init(&self, session: u64, template: Option<&[Attribute<'_>]>) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().is_active(Kind::Find) {
            return Err(Error::OperationActive);
        }
        let found = match template {
            Some(template) => self.found(&session, template)?,
            None => Vec::new(),
        };
        session.operations().find = Some(found.into());
        Ok(())
    }

    fn found(&self, session: &Open, template: &[Attribute<'_>]) -> Result<Vec<Handle>, Error> {
        let state = self.of(session)?;
        let sees_private = *state.user() == Some(User::User);
        let mut token = state.slot.token();
        let mut found = token.find(template)?;
        if !sees_private {
            found.retain(|handle| token.object(*handle).is_ok_and(|object| !object.is_private()));
        }
        Ok(found)
    }

    /// The next objects that were found, at most as many as there is room.
    pub fn find(&self, session: u64, room: usize) -> Result<Vec<u64>, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let found = operations.find.as_mut().ok_or(Error::OperationNotInitialized)?;
        let count = room.min(found.len());
        Ok(found.drain(..count).map(|handle| u64::from(handle.0)).collect())
    }

    /// Ends a search.
    pub fn find_final(&self, session: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        let ended = session.operations().find.take();
        ended.map(|_| ()).ok_or(Error::OperationNotInitialized)
    }

    /// Generates a key pair; public key and private key.
    pub fn generate_key_pair(
        &self,
        session: u64,
        mechanism: Mechanism,
        public: &[Attribute<'_>],
        private: &[Attribute<'_>],
    ) -> Result<(u64, u64), Error> {
        let session = self.writable(session)?;
        let state = self.of(&session)?;
        if mechanism.purpose() != Purpose::GenerateKeyPair {
            return Err(Error::MechanismInvalid(mechanism));
        }
        let mut token = state.slot.token();
        let (public, private) = if token.is_free() {
            on_token(public)?;
            on_token(private)?;
            token.generate_pair(public, private)?
        } else {
            token.generate_key_pair(&key_pair(public, private)?)?
        };
        Ok((u64::from(public.0), u64::from(private.0)))
    }

    /// Creates an object. Certificates, on a token whose keys are born on it.
    pub fn create_object(&self, session: u64, template: &[Attribute<'_>]) -> Result<u64, Error> {
        let session = self.writable(session)?;
        let state = self.of(&session)?;
        on_token(template)?;
        let mut token = state.slot.token();
        if token.is_free() {
            return Ok(u64::from(token.create(template)?.0));
        }
        match number(template, AttributeKind::Class) {
            None => return Err(Error::TemplateIncomplete),
            Some(class) if class == Class::Certificate.number() => {}
            Some(class) if class == Class::PrivateKey.number() => {
                return Err(Error::AttributeValueInvalid {
                    kind: AttributeKind::Class,
                    why: "a private key never comes from outside: generate it on the token",
                });
            }
            Some(_) => {
                return Err(Error::TemplateInconsistent(
                    "the token stores certificates, nothing else",
                ));
            }
        }
        let value = bytes(template, AttributeKind::Value).ok_or(Error::TemplateIncomplete)?;
        let label = label(template)?.ok_or(Error::TemplateIncomplete)?;
        let stored = token.create_certificate(&CertificateTemplate { label, value })?;
        Ok(u64::from(stored.0))
    }

    /// Destroys an object.
    pub fn destroy_object(&self, session: u64, object: u64) -> Result<(), Error> {
        let open = self.session(session)?;
        self.visible(&open, object)?;
        self.writable(session)?;
        let handle = named(object)?;
        self.of(&open)?.slot.token().destroy(handle)?;
        self.forget(open.slot, |key| key == handle);
        Ok(())
    }

    /// Changes attributes of an object.
    pub fn set_attributes(
        &self,
        session: u64,
        object: u64,
        _template: &[Attribute<'_>],
    ) -> Result<(), Error> {
        let open = self.session(session)?;
        self.visible(&open, object)?;
        self.writable(session)?;
        Err(Error::ObjectProtected)
    }

    // Operations.

    /// Whether an operation of this kind runs.
    pub fn is_active(&self, session: u64, kind: Kind) -> Result<bool, Error> {
        Ok(self.session(session)?.operations().is_active(kind))
    }

    /// Ends an operation of this kind, if there is one.
    pub fn cancel(&self, session: u64, kind: Kind) -> Result<(), Error> {
        self.session(session)?.operations().cancel(kind);
        Ok(())
    }

    /// Begins a digest.
    pub fn digest_init(&self, session: u64, mechanism: Mechanism) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        if operations.digest.is_some() {
            return Err(Error::OperationActive);
        }
        let Purpose::Digest(hash) = mechanism.purpose() else {
            return Err(Error::MechanismInvalid(mechanism));
        };
        operations.digest = Some(Gather::new(Some(hash)));
        Ok(())
    }

    /// The digest of one message. Without a buffer: how long it is.
    pub fn digest(&self, session: u64, data: &[u8], out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let gather = operations.digest.as_ref().ok_or(Error::OperationNotInitialized)?;
        if gather.is_multi_part() {
            operations.digest = None;
            return Err(Error::OperationActive);
        }
        let needed = gather.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let mut gather = operations.digest.take().ok_or(Error::OperationNotInitialized)?;
        gather.update(data)?;
        Ok(write(out, &gather.finish()))
    }

    /// The next part of the data.
    pub fn digest_update(&self, session: u64, part: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let gather = operations.digest.as_mut().ok_or(Error::OperationNotInitialized)?;
        gather.update(part)
    }

    /// The digest of all parts.
    pub fn digest_final(&self, session: u64, out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let gather = operations.digest.as_ref().ok_or(Error::OperationNotInitialized)?;
        let needed = gather.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let gather = operations.digest.take().ok_or(Error::OperationNotInitialized)?;
        Ok(write(out, &gather.finish()))
    }

    /// Begins a signature.
    pub fn sign_init(&self, session: u64, mechanism: Mechanism, key: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().sign.is_some() {
            return Err(Error::OperationActive);
        }
        let object = self.visible(&session, key).map_err(no_key)?;
        let Content::PrivateKey { curve, sign, .. } = &object.content else {
            return Err(Error::KeyHandleInvalid);
        };
        let Purpose::Sign(hash) = mechanism.purpose() else {
            return Err(Error::MechanismInvalid(mechanism));
        };
        if !sign {
            return Err(Error::KeyFunctionNotPermitted);
        }
        session.operations().sign = Some(KeyOperation {
            key: named(key)?,
            gather: Gather::new(hash),
            signature_bytes: 2 * curve.coordinate_bytes(),
        });
        Ok(())
    }

    /// Signs one message. Without a buffer: how long the signature is.
    pub fn sign(&self, session: u64, data: &[u8], out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let operation = operations.sign.as_ref().ok_or(Error::OperationNotInitialized)?;
        if operation.gather.is_multi_part() {
            operations.sign = None;
            return Err(Error::OperationActive);
        }
        let needed = operation.signature_bytes;
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let mut operation = operations.sign.take().ok_or(Error::OperationNotInitialized)?;
        drop(operations);
        operation.gather.update(data)?;
        self.signed(&session, operation, out)
    }

    /// The next part of what is to be signed.
    pub fn sign_update(&self, session: u64, part: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let operation = operations.sign.as_mut().ok_or(Error::OperationNotInitialized)?;
        let updated = operation.gather.update(part);
        if updated.is_err() {
            operations.sign = None;
        }
        updated
    }

    /// The signature over all parts.
    pub fn sign_final(&self, session: u64, out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let operation = operations.sign.as_ref().ok_or(Error::OperationNotInitialized)?;
        let needed = operation.signature_bytes;
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let operation = operations.sign.take().ok_or(Error::OperationNotInitialized)?;
        drop(operations);
        self.signed(&session, operation, out)
    }

    fn signed(&self, session: &Open, operation: KeyOperation, out: &mut [u8]) -> Result<usize, Error> {
        let digest = operation.gather.finish();
        let mut token = self.of(session)?.slot.token();
        Ok(write(out, &token.sign_digest(operation.key, &digest)?))
    }

    /// Begins a verification.
    pub fn verify_init(&self, session: u64, mechanism: Mechanism, key: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().verify.is_some() {
            return Err(Error::OperationActive);
        }
        let object = self.visible(&session, key).map_err(no_key)?;
        let Content::PublicKey(public) = &object.content else {
            return Err(Error::KeyHandleInvalid);
        };
        let Purpose::Sign(hash) = mechanism.purpose() else {
            return Err(Error::MechanismInvalid(mechanism));
        };
        if object.attribute(AttributeKind::Verify) != Ok(Value::Flag(true)) {
            return Err(Error::KeyFunctionNotPermitted);
        }
        let KeyKind::Ec(curve) = public.kind() else {
            return Err(Error::KeyFunctionNotPermitted);
        };
        session.operations().verify = Some(KeyOperation {
            key: named(key)?,
            gather: Gather::new(hash),
            signature_bytes: 2 * curve.coordinate_bytes(),
        });
        Ok(())
    }

    /// Verifies the signature of one message.
    pub fn verify(&self, session: u64, data: &[u8], signature: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let operation = session.operations().verify.take();
        let mut operation = operation.ok_or(Error::OperationNotInitialized)?;
        if operation.gather.is_multi_part() {
            return Err(Error::OperationActive);
        }
        operation.gather.update(data)?;
        self.verified(&session, operation, signature)
    }

    /// The next part of what was signed.
    pub fn verify_update(&self, session: u64, part: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let operation = operations.verify.as_mut().ok_or(Error::OperationNotInitialized)?;
        let updated = operation.gather.update(part);
        if updated.is_err() {
            operations.verify = None;
        }
        updated
    }

    /// Verifies the signature over all parts.
    pub fn verify_final(&self, session: u64, signature: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let operation = session.operations().verify.take();
        self.verified(
            &session,
            operation.ok_or(Error::OperationNotInitialized)?,
            signature,
        )
    }

    fn verified(&self, session: &Open, operation: KeyOperation, signature: &[u8]) -> Result<(), Error> {
        let object = self.of(session)?.slot.token().object(operation.key);
        let object = object.map_err(no_key)?;
        let key: &PublicKey = object.public_key().ok_or(Error::KeyHandleInvalid)?;
        let digest = operation.gather.finish();
        if digest.is_empty() {
            return Err(Error::DataLengthRange { found: 0 });
        }
        software::verify(key, &digest, signature)
    }

    /// Fills `bytes` with the token's randomness.
    pub fn random(&self, session: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let state = self.of(&session)?;
        for chunk in bytes.chunks_mut(limits::RANDOM_BYTES_MAX) {
            state.slot.token().random(chunk)?;
        }
        Ok(())
    }

    /// No token here takes a seed.
    pub fn seed(&self, session: u64) -> Result<(), Error> {
        self.session(session)?;
        Err(Error::RandomSeedNotSupported)
    }
}

fn named(object: u64) -> Result<Handle, Error> {
    u32::try_from(object)
        .map(Handle)
        .map_err(|_| Error::ObjectHandleInvalid)
}

fn no_key(error: Error) -> Error {
    match error {
        Error::ObjectHandleInvalid => Error::KeyHandleInvalid,
        other => other,
    }
}

/// The buffer if it is there; an error if it is too small.
fn room(out: Option<&mut [u8]>, needed: usize) -> Result<Option<&mut [u8]>, Error> {
    match out {
        Some(out) if out.len() < needed => Err(Error::BufferTooSmall { needed }),
        out => Ok(out),
    }
}

fn write(out: &mut [u8], result: &[u8]) -> usize {
    if let Some(out) = out.get_mut(..result.len()) {
        out.copy_from_slice(result);
    }
    result.len()
}

fn value<'a>(template: &'a [Attribute<'_>], kind: AttributeKind) -> Option<&'a Value<'a>> {
    template
        .iter()
        .find(|attribute| attribute.kind == kind)
        .map(|attribute| &attribute.value)
}

fn flag(template: &[Attribute<'_>], kind: AttributeKind) -> Option<bool> {
    match value(template, kind) {
        Some(Value::Flag(flag)) => Some(*flag),
        _ => None,
    }
}

fn number(template: &[Attribute<'_>], kind: AttributeKind) -> Option<u64> {
    match value(template, kind) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    }
}

fn bytes<'a>(template: &'a [Attribute<'_>], kind: AttributeKind) -> Option<&'a [u8]> {
    value(template, kind).and_then(Value::as_bytes)
}

fn label<'a>(template: &'a [Attribute<'_>]) -> Result<Option<&'a str>, Error> {
    let text = bytes(template, AttributeKind::Label).map(core::str::from_utf8);
    text.transpose().map_err(|_| Error::AttributeValueInvalid {
        kind: AttributeKind::Label,
        why: "it is not UTF-8",
    })
}

/// The standard's default is a session object, and there are none yet: whoever wants a token object must say so.
fn on_token(template: &[Attribute<'_>]) -> Result<(), Error> {
    match flag(template, AttributeKind::Token) {
        Some(true) => Ok(()),
        _ => Err(Error::TemplateInconsistent(
            "session objects are not supported: say CKA_TOKEN = true",
        )),
    }
}

/// What a key pair is to be like, as far as a secure element lets anybody choose.
fn key_pair<'a>(
    public: &'a [Attribute<'_>],
    private: &'a [Attribute<'_>],
) -> Result<KeyPairTemplate<'a>, Error> {
    on_token(private)?;
    let lets_out = flag(private, AttributeKind::Extractable) == Some(true)
        || flag(private, AttributeKind::Sensitive) == Some(false);
    if lets_out {
        return Err(Error::TemplateInconsistent(
            "a key born on this token never leaves it",
        ));
    }
    let parameters = bytes(public, AttributeKind::EcParams).ok_or(Error::TemplateIncomplete)?;
    let curve = [Curve::P256, Curve::P384]
        .into_iter()
        .find(|curve| crate::object::curve_parameters(*curve) == parameters)
        .ok_or(Error::CurveNotSupported)?;
    Ok(KeyPairTemplate {
        label: label(private)?.ok_or(Error::TemplateIncomplete)?,
        curve,
        sign: flag(private, AttributeKind::Sign).unwrap_or(true),
        derive: flag(private, AttributeKind::Derive).unwrap_or(false),
        overwrite: false,
    })
}
