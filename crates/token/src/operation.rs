//! The operations that run in a session: searches, digests, signatures, verifications. One of each kind, none in the way of
//! another.
//!
//! A call that only asks for a length, or brings a buffer that is too small, leaves its operation running; any other end of a
//! call, good or bad, ends it (PKCS #11 v3.1, 5.2). A single-part call does not join a running multi-part one.

use std::collections::VecDeque;
use std::vec::Vec;

use crate::error::Error;
use crate::limits;
use crate::mechanism::Hash;
use crate::object::Handle;
use crate::software::Digest;

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
    pub(crate) digest: Option<Gather>,
    pub(crate) sign: Option<KeyOperation>,
    pub(crate) verify: Option<KeyOperation>,
}

/// A signature that is being made or verified.
pub(crate) struct KeyOperation {
    pub(crate) key: Handle,
    pub(crate) gather: Gather,
    pub(crate) signature_bytes: usize,
}

impl Operations {
    pub(crate) fn is_active(&self, kind: Kind) -> bool {
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
        let uses = |operation: &Option<KeyOperation>| operation.as_ref().is_some_and(|o| gone(o.key));
        if uses(&self.sign) {
            self.sign = None;
        }
        if uses(&self.verify) {
            self.verify = None;
        }
    }
}

/// What has come in so far.
pub(crate) struct Gather {
    kind: Gathered,
    updated: bool,
}

enum Gathered {
    Hash(Digest),
    Raw(Vec<u8>),
}

impl Gather {
    /// Hashes what comes in; without a hash, keeps it: it is a digest already.
    pub(crate) fn new(hash: Option<Hash>) -> Self {
        Self {
            kind: hash.map_or_else(
                || Gathered::Raw(Vec::new()),
                |hash| Gathered::Hash(Digest::new(hash)),
            ),
            updated: false,
        }
    }

    /// The next part of a multi-part call.
    pub(crate) fn update(&mut self, part: &[u8]) -> Result<(), Error> {
        self.updated = true;
        match &mut self.kind {
            Gathered::Hash(digest) => digest.update(part),
            Gathered::Raw(raw) if raw.len().saturating_add(part.len()) <= limits::DIGEST_BYTES_MAX => {
                raw.extend_from_slice(part);
            }
            Gathered::Raw(_) => return Err(Error::DataLengthRange { found: part.len() }),
        }
        Ok(())
    }

    /// Whether a multi-part call is under way.
    pub(crate) const fn is_multi_part(&self) -> bool {
        self.updated
    }

    /// How long the result of a digest operation is.
    pub(crate) fn bytes(&self) -> usize {
        match &self.kind {
            Gathered::Hash(digest) => digest.bytes(),
            Gathered::Raw(raw) => raw.len(),
        }
    }

    /// The digest.
    pub(crate) fn finish(self) -> Vec<u8> {
        match self.kind {
            Gathered::Hash(digest) => digest.to_vec(),
            Gathered::Raw(raw) => raw,
        }
    }
}
