//! The operations that run in a session: searches, digests, signatures, verifications. One of each kind, none in the way of
//! another.
//!
//! A call that only asks for a length, or brings a buffer that is too small, leaves its operation running; any other end of a
//! call, good or bad, ends it (PKCS #11 v3.1, 5.2). A single-part call does not join a running multi-part one.

use std::collections::VecDeque;

use crate::crypto::{Digest, Sign, Verify};
use crate::error::Error;
use crate::object::Handle;

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `C_FindObjects`.
    Find,
    /// `C_Digest`.
    Digest,
    /// `C_Sign`.
    Sign,
    /// `C_Verify`.
    Verify,
}

/// All operations of one session.
#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) find: Option<VecDeque<Handle>>,
    pub(crate) digest: Option<Running<Digest>>,
    pub(crate) sign: Option<Running<Sign>>,
    pub(crate) verify: Option<Running<Verify>>,
}

/// Something that is being computed.
pub(crate) struct Running<T> {
    /// What computes.
    pub(crate) with: T,
    /// The key that it uses.
    pub(crate) object: Option<Handle>,
    /// It has had a part of its data: it is to be ended by a `Final`.
    pub(crate) in_parts: bool,
}

impl<T> Running<T> {
    pub(crate) const fn new(with: T, object: Option<Handle>) -> Self {
        Self {
            with,
            object,
            in_parts: false,
        }
    }
}

impl Operations {
    pub(crate) const fn is_active(&self, kind: Kind) -> bool {
        match kind {
            Kind::Find => self.find.is_some(),
            Kind::Digest => self.digest.is_some(),
            Kind::Sign => self.sign.is_some(),
            Kind::Verify => self.verify.is_some(),
        }
    }

    pub(crate) fn cancel(&mut self, kind: Kind) {
        match kind {
            Kind::Find => self.find = None,
            Kind::Digest => self.digest = None,
            Kind::Sign => self.sign = None,
            Kind::Verify => self.verify = None,
        }
    }

    /// Ends what uses a key that is gone.
    pub(crate) fn forget(&mut self, gone: impl Fn(Handle) -> bool) {
        end_if(&mut self.sign, &gone);
        end_if(&mut self.verify, &gone);
    }
}

fn end_if<T>(running: &mut Option<Running<T>>, gone: impl Fn(Handle) -> bool) {
    let uses = running.as_ref().and_then(|running| running.object);
    if uses.is_some_and(gone) {
        *running = None;
    }
}

/// What runs, for a single-part call: that does not join a multi-part one, but ends it.
pub(crate) fn whole<T>(place: &mut Option<Running<T>>) -> Result<&mut T, Error> {
    match place {
        None => Err(Error::OperationNotInitialized),
        Some(running) if running.in_parts => {
            *place = None;
            Err(Error::OperationActive)
        }
        Some(running) => Ok(&mut running.with),
    }
}

/// What runs, for the next part. A part that fails ends it.
pub(crate) fn part<T>(
    place: &mut Option<Running<T>>,
    update: impl FnOnce(&mut T) -> Result<(), Error>,
) -> Result<(), Error> {
    let running = place.as_mut().ok_or(Error::OperationNotInitialized)?;
    running.in_parts = true;
    let updated = update(&mut running.with);
    if updated.is_err() {
        *place = None;
    }
    updated
}

/// The buffer if it is there; an error if it is too small.
pub(crate) fn room(out: Option<&mut [u8]>, needed: usize) -> Result<Option<&mut [u8]>, Error> {
    match out {
        Some(out) if out.len() < needed => Err(Error::BufferTooSmall { needed }),
        out => Ok(out),
    }
}
