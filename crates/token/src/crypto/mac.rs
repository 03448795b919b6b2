//! Message authentication with secret keys: HMAC (RFC 2104) and CMAC (NIST SP 800-38B), part by part.

use std::boxed::Box;

use aws_lc_rs::{cmac, hmac};
use zeroize::Zeroizing;

use super::digest::{Digest, digest};
use super::{LIBRARY, Secret};
use crate::error::Error;
use crate::mechanism::Hash;

/// The longest result.
pub(crate) const MAC_BYTES_MAX: usize = 64;
/// The longest block of a hash (SHA3-224).
const BLOCK_BYTES_MAX: usize = 144;

/// A code that grows.
#[derive(Clone)]
pub(crate) struct Mac {
    context: Kind,
    bytes: usize,
}

#[derive(Clone)]
enum Kind {
    Hmac(Box<hmac::Context>),
    /// With a hash of which the library has no HMAC.
    Sponge(Box<Sponge>),
    Cmac(cmac::Context),
}

impl Mac {
    /// HMAC, cut to so many bytes.
    pub(crate) fn hmac(hash: Hash, key: &[u8], bytes: Option<usize>) -> Result<Self, Error> {
        let context = hmac_algorithm(hash).map_or_else(
            || Kind::Sponge(Box::new(Sponge::new(hash, key))),
            |algorithm| Kind::Hmac(Box::new(hmac::Context::with_key(&hmac::Key::new(algorithm, key)))),
        );
        Self::of(context, bytes, hash.bytes())
    }

    /// CMAC with AES, cut to so many bytes.
    pub(crate) fn cmac(key: &Secret, bytes: Option<usize>) -> Result<Self, Error> {
        let algorithm = match key.bytes() {
            16 => cmac::AES_128,
            24 => cmac::AES_192,
            32 => cmac::AES_256,
            _ => return Err(Error::KeySizeRange),
        };
        let key = cmac::Key::new(algorithm, key.value()).map_err(|_| LIBRARY)?;
        Self::of(Kind::Cmac(cmac::Context::with_key(&key)), bytes, 16)
    }

    /// A code of no length would accept everything.
    fn of(context: Kind, bytes: Option<usize>, whole: usize) -> Result<Self, Error> {
        let bytes = bytes.unwrap_or(whole);
        if bytes == 0 || bytes > whole {
            return Err(Error::MechanismParameterInvalid);
        }
        Ok(Self { context, bytes })
    }

    /// How long the code is.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn update(&mut self, part: &[u8]) -> Result<(), Error> {
        match &mut self.context {
            Kind::Hmac(context) => context.update(part),
            Kind::Sponge(context) => context.inner.update(part),
            Kind::Cmac(context) => context.update(part).map_err(|_| LIBRARY)?,
        }
        Ok(())
    }

    /// The code of what has come in so far.
    pub(crate) fn finish(&self) -> Result<Code, Error> {
        Ok(match self.context.clone() {
            Kind::Hmac(context) => Code::of(context.sign().as_ref(), self.bytes),
            Kind::Sponge(context) => Code::of(context.finish().as_ref(), self.bytes),
            Kind::Cmac(context) => Code::of(context.sign().map_err(|_| LIBRARY)?.as_ref(), self.bytes),
        })
    }
}

/// A finished code. It is as good as secret until somebody has shown that he knows it.
pub(crate) struct Code {
    value: Zeroizing<[u8; MAC_BYTES_MAX]>,
    bytes: usize,
}

impl Code {
    fn of(code: &[u8], bytes: usize) -> Self {
        let mut value = Zeroizing::new([0; MAC_BYTES_MAX]);
        for (place, byte) in value.iter_mut().zip(code) {
            *place = *byte;
        }
        Self { value, bytes }
    }
}

impl AsRef<[u8]> for Code {
    fn as_ref(&self) -> &[u8] {
        self.value.get(..self.bytes).unwrap_or_default()
    }
}

/// The HMAC of several parts at once.
pub(crate) fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Result<Code, Error> {
    let mut mac = Mac::hmac(hash, key, None)?;
    for part in parts {
        mac.update(part)?;
    }
    mac.finish()
}

/// HMAC as RFC 2104 writes it down, for the hashes of SHA-3.
#[derive(Clone)]
struct Sponge {
    inner: Digest,
    outer: Digest,
}

impl Sponge {
    fn new(hash: Hash, key: &[u8]) -> Self {
        let mut block = Zeroizing::new([0u8; BLOCK_BYTES_MAX]);
        if key.len() > hash.block_bytes() {
            copy(&mut *block, digest(hash, key).as_ref());
        } else {
            copy(&mut *block, key);
        }
        let padded = |byte: u8| {
            let mut pad = block.clone();
            pad.iter_mut().for_each(|b| *b ^= byte);
            let mut digest = Digest::new(hash);
            digest.update(pad.get(..hash.block_bytes()).unwrap_or_default());
            digest
        };
        Self {
            inner: padded(0x36),
            outer: padded(0x5C),
        }
    }

    fn finish(mut self) -> super::digest::Value {
        self.outer.update(self.inner.value().as_ref());
        self.outer.value()
    }
}

fn copy(block: &mut [u8], value: &[u8]) {
    for (place, byte) in block.iter_mut().zip(value) {
        *place = *byte;
    }
}

const fn hmac_algorithm(hash: Hash) -> Option<hmac::Algorithm> {
    Some(match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha224 => hmac::HMAC_SHA224,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
        Hash::Sha3_224 | Hash::Sha3_256 | Hash::Sha3_384 | Hash::Sha3_512 => return None,
    })
}
