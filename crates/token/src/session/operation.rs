//! The operations that run in a session: searches, digests, ciphers, signatures. One of each kind, none in the way of another.
//!
//! A call that only asks for a length, or brings a buffer that is too small, leaves its operation running; any other end of a
//! call, good or bad, ends it (PKCS #11 v3.1, 5.2). A single-part call does not join a running multi-part one, but ends it.

use std::collections::VecDeque;

use crate::crypto::{Decrypt, Digest, Encrypt, Sign, Verify};
use crate::error::Error;
use crate::object::Handle;
use crate::session::recover::Recover;

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `C_FindObjects`.
    Find,
    /// `C_Digest`.
    Digest,
    /// `C_Encrypt`.
    Encrypt,
    /// `C_Decrypt`.
    Decrypt,
    /// `C_Sign`.
    Sign,
    /// `C_SignRecover`.
    SignRecover,
    /// `C_Verify`.
    Verify,
    /// `C_VerifyRecover`.
    VerifyRecover,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Find,
        Self::Digest,
        Self::Encrypt,
        Self::Decrypt,
        Self::Sign,
        Self::SignRecover,
        Self::Verify,
        Self::VerifyRecover,
    ];
}

/// A place for one operation.
pub(crate) type Place<T> = Option<Running<T>>;

/// All operations of one session.
#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) find: Option<VecDeque<Handle>>,
    pub(crate) digest: Place<Digest>,
    pub(crate) encrypt: Place<Encrypt>,
    pub(crate) decrypt: Place<Decrypt>,
    pub(crate) sign: Place<Sign>,
    pub(crate) sign_recover: Place<Sign>,
    pub(crate) verify: Place<Verify>,
    pub(crate) verify_recover: Place<Recover>,
}

/// Something that is being computed.
pub(crate) struct Running<T> {
    /// What computes.
    pub(crate) with: T,
    /// The key that it uses.
    object: Option<Handle>,
    /// It has had a part of its data: it is to be ended by a `Final`.
    in_parts: bool,
    /// The key asks for the PIN before each use, and it has not been given yet (`CKA_ALWAYS_AUTHENTICATE`).
    waits_for_pin: bool,
}

impl<T> Running<T> {
    /// With a key.
    pub(crate) const fn new(with: T, object: Handle, waits_for_pin: bool) -> Self {
        Self {
            with,
            object: Some(object),
            in_parts: false,
            waits_for_pin,
        }
    }

    /// Without.
    pub(crate) const fn keyless(with: T) -> Self {
        Self {
            with,
            object: None,
            in_parts: false,
            waits_for_pin: false,
        }
    }

    const fn check_pin(&self) -> Result<(), Error> {
        if self.waits_for_pin {
            Err(Error::UserNotLoggedIn)
        } else {
            Ok(())
        }
    }
}

/// Runs one statement for the place of each kind but the searches'.
macro_rules! each {
    ($operations:expr, |$place:ident| $body:expr) => {{
        let operations: &mut Operations = $operations;
        {
            let $place = &mut operations.digest;
            $body
        }
        {
            let $place = &mut operations.encrypt;
            $body
        }
        {
            let $place = &mut operations.decrypt;
            $body
        }
        {
            let $place = &mut operations.sign;
            $body
        }
        {
            let $place = &mut operations.sign_recover;
            $body
        }
        {
            let $place = &mut operations.verify;
            $body
        }
        {
            let $place = &mut operations.verify_recover;
            $body
        }
    }};
}

impl Operations {
    pub(crate) const fn is_active(&self, kind: Kind) -> bool {
        match kind {
            Kind::Find => self.find.is_some(),
            Kind::Digest => self.digest.is_some(),
            Kind::Encrypt => self.encrypt.is_some(),
            Kind::Decrypt => self.decrypt.is_some(),
            Kind::Sign => self.sign.is_some(),
            Kind::SignRecover => self.sign_recover.is_some(),
            Kind::Verify => self.verify.is_some(),
            Kind::VerifyRecover => self.verify_recover.is_some(),
        }
    }

    /// Whether anything runs but a search.
    pub(crate) fn any_active(&self) -> bool {
        let mut kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Find);
        kinds.any(|kind| self.is_active(kind))
    }

    pub(crate) fn cancel(&mut self, kind: Kind) {
        match kind {
            Kind::Find => self.find = None,
            Kind::Digest => self.digest = None,
            Kind::Encrypt => self.encrypt = None,
            Kind::Decrypt => self.decrypt = None,
            Kind::Sign => self.sign = None,
            Kind::SignRecover => self.sign_recover = None,
            Kind::Verify => self.verify = None,
            Kind::VerifyRecover => self.verify_recover = None,
        }
    }

    /// Ends what uses a key that is gone.
    pub(crate) fn forget(&mut self, gone: impl Fn(Handle) -> bool) {
        each!(self, |place| {
            let used = place.as_ref().and_then(|running| running.object);
            if used.is_some_and(&gone) {
                *place = None;
            }
        });
    }

    /// Whether something waits for the PIN of a key that always asks for it.
    pub(crate) fn waits_for_pin(&mut self) -> bool {
        let mut waits = false;
        each!(self, |place| waits |=
            place.as_ref().is_some_and(|running| running.waits_for_pin));
        waits
    }

    /// The PIN was right.
    pub(crate) fn pin_was_given(&mut self) {
        each!(self, |place| if let Some(running) = place {
            running.waits_for_pin = false;
        });
    }
}

/// What runs, for a single-part call.
pub(crate) fn whole<T>(place: &mut Place<T>) -> Result<&mut T, Error> {
    match place {
        None => Err(Error::OperationNotInitialized),
        Some(running) if running.in_parts => {
            *place = None;
            Err(Error::OperationActive)
        }
        Some(running) => Ok(&mut running.with),
    }
}

/// What runs, for the next part.
pub(crate) fn part<T, R>(
    place: &mut Place<T>,
    update: impl FnOnce(&mut T) -> Result<R, Error>,
) -> Result<R, Error> {
    let running = place.as_mut().ok_or(Error::OperationNotInitialized)?;
    let updated = running.check_pin().and_then(|()| update(&mut running.with));
    match &updated {
        Ok(_) => running.in_parts = true,
        Err(Error::BufferTooSmall { .. }) => {}
        Err(_) => *place = None,
    }
    updated
}

/// What runs, for the end of a multi-part call.
pub(crate) fn end<T>(place: &mut Place<T>) -> Result<&mut T, Error> {
    let running = place.as_mut().ok_or(Error::OperationNotInitialized)?;
    Ok(&mut running.with)
}

/// What runs, to be used up. A key that waits for its PIN is not used.
pub(crate) fn taken<T>(place: &mut Place<T>) -> Result<T, Error> {
    let running = place.take().ok_or(Error::OperationNotInitialized)?;
    running.check_pin()?;
    Ok(running.with)
}

/// Runs the last call of an operation: after a buffer that was too small it is still there, after anything else it is over.
pub(crate) fn ending<T, R>(
    place: &mut Place<T>,
    last: impl FnOnce(&mut T) -> Result<R, Error>,
) -> Result<R, Error> {
    let running = place.as_mut().ok_or(Error::OperationNotInitialized)?;
    let ended = running.check_pin().and_then(|()| last(&mut running.with));
    if !matches!(ended, Err(Error::BufferTooSmall { .. })) {
        *place = None;
    }
    ended
}

/// The buffer if it is there; an error if it is too small.
pub(crate) fn room(out: Option<&mut [u8]>, needed: usize) -> Result<Option<&mut [u8]>, Error> {
    match out {
        Some(out) if out.len() < needed => Err(Error::BufferTooSmall { needed }),
        out => Ok(out),
    }
}
