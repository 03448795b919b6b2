//! Digests, of all data at once or part by part.

use std::boxed::Box;
use std::vec::Vec;

use aws_lc_rs::digest::{self, Context};
use sha3::Digest as _;

use super::fill;
use crate::error::Error;
use crate::mechanism::Hash;

/// A digest that grows (`C_DigestUpdate`).
#[derive(Clone)]
pub struct Digest {
    context: Kind,
    hash: Hash,
}

/// One hash the library does not have.
#[derive(Clone)]
enum Kind {
    Library(Context),
    Sha3_224(Box<sha3::Sha3_224>),
}

impl Digest {
    /// Of nothing yet.
    #[must_use]
    pub fn new(hash: Hash) -> Self {
        let context = algorithm(hash).map_or_else(
            || Kind::Sha3_224(Box::default()),
            |algorithm| Kind::Library(Context::new(algorithm)),
        );
        Self { context, hash }
    }

    /// Which.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// Bytes of the result.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.hash.bytes()
    }

    /// The next part.
    pub fn update(&mut self, part: &[u8]) {
        match &mut self.context {
            Kind::Library(context) => context.update(part),
            Kind::Sha3_224(context) => context.update(part),
        }
    }

    /// Writes the digest and says how many bytes. With too small a buffer nothing has happened.
    pub fn finish(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        if out.len() < self.bytes() {
            return Err(Error::BufferTooSmall { needed: self.bytes() });
        }
        fill(out, self.value().as_ref())
    }

    /// The digest of what has come in so far.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.value().as_ref().to_vec()
    }

    /// The same, wherever the library keeps it.
    pub(crate) fn value(&self) -> Value {
        match self.context.clone() {
            Kind::Library(context) => Value::Library(context.finish()),
            Kind::Sha3_224(context) => Value::Sha3_224(context.finalize().into()),
        }
    }
}

/// A digest that has been made.
pub(crate) enum Value {
    Library(digest::Digest),
    Sha3_224([u8; 28]),
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Library(digest) => digest.as_ref(),
            Self::Sha3_224(digest) => digest,
        }
    }
}

/// The digest of one message.
pub(crate) fn digest(hash: Hash, data: &[u8]) -> Value {
    algorithm(hash).map_or_else(
        || Value::Sha3_224(sha3::Sha3_224::digest(data).into()),
        |algorithm| Value::Library(digest::digest(algorithm, data)),
    )
}

const fn algorithm(hash: Hash) -> Option<&'static digest::Algorithm> {
    Some(match hash {
        Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha224 => &digest::SHA224,
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
        Hash::Sha3_224 => return None,
        Hash::Sha3_256 => &digest::SHA3_256,
        Hash::Sha3_384 => &digest::SHA3_384,
        Hash::Sha3_512 => &digest::SHA3_512,
    })
}
