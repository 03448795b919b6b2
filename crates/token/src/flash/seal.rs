//! What is secret in a token's files, and how a PIN opens it.
//!
//! A PIN and a salt make a key (argon2id, RFC 9106); that key opens the data key; the data key makes one key for each object and
//! one that proves who wrote a frame (HKDF, RFC 5869). Secrets are sealed with AES-256-GCM and random nonces, each bound to the
//! token, its object and everything that is public about it.
//!
//! No key may stand in memory longer than somebody is logged in, and none where a move could leave a copy behind: all are boxed
//! and wiped.

use std::boxed::Box;
use std::vec::Vec;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::{hmac, rand};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::frame::Chain;
use crate::error::Error;
use crate::limits::{ARGON2_KIBIBYTES, ARGON2_KIBIBYTES_MAX, ARGON2_PASSES, ARGON2_PASSES_MAX};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of a salt and of an identifier.
pub(super) const ID_BYTES: usize = 16;
/// Bytes of a GCM tag.
const TAG_BYTES: usize = 16;
/// A data key, sealed: nonce, key, tag.
pub(super) const WRAP_BYTES: usize = NONCE_LEN + KEY_BYTES + TAG_BYTES;

/// A key, wiped when it is dropped. It never moves in memory.
#[derive(ZeroizeOnDrop)]
pub(super) struct Key(Box<[u8]>);

impl Key {
    fn empty() -> Self {
        Self(Box::new([0; KEY_BYTES]))
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Names a token or an object.
pub(super) type Id = [u8; ID_BYTES];

const FAILED: Error = Error::General("the cryptographic library failed");

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| FAILED)?;
    Ok(bytes)
}

/// A new key.
pub(super) fn random_key() -> Result<Key, Error> {
    let mut key = Key::empty();
    rand::fill(&mut key.0).map_err(|_| FAILED)?;
    Ok(key)
}

/// How much work a try of a PIN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) kibibytes: u32,
    pub(super) passes: u32,
}

impl Work {
    /// What new PINs get.
    pub(super) const NEW: Self = Self {
        kibibytes: ARGON2_KIBIBYTES,
        passes: ARGON2_PASSES,
    };

    /// Not so much that opening a token takes the machine away.
    pub(super) const fn is_bounded(self) -> bool {
        self.kibibytes <= ARGON2_KIBIBYTES_MAX && self.passes <= ARGON2_PASSES_MAX
    }
}

/// A data key as one PIN opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrap {
    pub(super) work: Work,
    pub(super) salt: Id,
    pub(super) sealed: [u8; WRAP_BYTES],
}

impl Wrap {
    /// Seals the data key under a PIN. `role` keeps one user's wrap from being taken for another's.
    pub(super) fn new(key: &Key, pin: &[u8], token: &Id, role: u8) -> Result<Self, Error> {
        let (work, salt) = (Work::NEW, random()?);
        let stretched = stretched(pin, &salt, work)?;
        let sealed = seal(&stretched, &wrap_context(token, role, &salt), key.bytes())?;
        let sealed = (*sealed).try_into().map_err(|_| FAILED)?;
        Ok(Self { work, salt, sealed })
    }

    /// The data key, if the PIN is right.
    pub(super) fn open(&self, pin: &[u8], token: &Id, role: u8) -> Result<Key, Error> {
        let key = stretched(pin, &self.salt, self.work)?;
        let opened = open(&key, &wrap_context(token, role, &self.salt), &self.sealed);
        let opened = opened.ok_or(Error::PinIncorrect)?;
        let mut data_key = Key::empty();
        if opened.len() != KEY_BYTES {
            return Err(FAILED);
        }
        data_key.0.copy_from_slice(&opened);
        Ok(data_key)
    }
}

fn wrap_context(token: &Id, role: u8, salt: &Id) -> Vec<u8> {
    [&b"birthmark token pin 2"[..], token, &[role], salt].concat()
}

fn stretched(pin: &[u8], salt: &Id, work: Work) -> Result<Key, Error> {
    let params = Params::new(work.kibibytes, work.passes, 1, Some(KEY_BYTES)).map_err(|_| FAILED)?;
    let mut memory = Zeroizing::new(std::vec![Block::default(); params.block_count()]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Key::empty();
    argon2
        .hash_password_into_with_memory(pin, salt, &mut key.0, memory.as_mut_slice())
        .map_err(|_| FAILED)?;
    Ok(key)
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

fn derived(key: &Key, token: &Id, info: &[&[u8]]) -> Result<Key, Error> {
    let prk = Salt::new(HKDF_SHA256, token).extract(key.bytes());
    let mut derived = Key::empty();
    let okm = prk.expand(info, KeyLength).map_err(|_| FAILED)?;
    okm.fill(&mut derived.0).map_err(|_| FAILED)?;
    Ok(derived)
}

/// The keys of one token, as long as somebody is logged in.
pub(super) struct Keys {
    pub(super) token: Id,
    pub(super) data: Key,
    proof: Box<hmac::Key>,
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the keys of a token")
    }
}

impl Keys {
    pub(super) fn new(token: Id, data: Key) -> Result<Self, Error> {
        let proof = derived(&data, &token, &[b"birthmark token frames 2"])?;
        let proof = Box::new(hmac::Key::new(hmac::HMAC_SHA256, proof.bytes()));
        Ok(Self { token, data, proof })
    }

    /// Proves that a frame was written by somebody with the keys.
    pub(super) fn prove(&self, frame: &Chain) -> Chain {
        let tag = hmac::sign(&self.proof, frame);
        tag.as_ref().try_into().unwrap_or_default()
    }

    /// Whether it was.
    pub(super) fn is_proven(&self, frame: &Chain, proof: &Chain) -> bool {
        hmac::verify(&self.proof, frame, proof).is_ok()
    }

    /// Seals the secret of an object.
    pub(super) fn seal(&self, object: &Id, public: &[u8], secret: &[u8]) -> Result<Box<[u8]>, Error> {
        let context = self.context(object, public);
        seal(&self.of(object)?, &context, secret)
    }

    /// Opens the secret of an object, if nothing of it was changed.
    pub(super) fn open(&self, object: &Id, public: &[u8], sealed: &[u8]) -> Result<Option<Secret>, Error> {
        let context = self.context(object, public);
        Ok(open(&self.of(object)?, &context, sealed))
    }

    fn of(&self, object: &Id) -> Result<Key, Error> {
        derived(&self.data, &self.token, &[b"birthmark token object 2", object])
    }

    fn context(&self, object: &Id, public: &[u8]) -> Vec<u8> {
        [&b"birthmark token object 2"[..], &self.token, object, public].concat()
    }
}

/// Bytes that are wiped when they are dropped.
pub(super) type Secret = Zeroizing<Vec<u8>>;

fn cipher(key: &Key) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&AES_256_GCM, key.bytes()).map_err(|_| FAILED)?;
    Ok(LessSafeKey::new(key))
}

/// Seals: nonce, ciphertext, tag.
fn seal(key: &Key, context: &[u8], secret: &[u8]) -> Result<Box<[u8]>, Error> {
    let nonce = random::<NONCE_LEN>()?;
    let mut sealed = Zeroizing::new(Vec::with_capacity(NONCE_LEN + secret.len() + TAG_BYTES));
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(secret);
    let text = sealed.get_mut(NONCE_LEN..).ok_or(FAILED)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = cipher(key)?.seal_in_place_separate_tag(nonce, Aad::from(context), text);
    sealed.extend_from_slice(tag.map_err(|_| FAILED)?.as_ref());
    Ok(sealed.as_slice().into())
}

/// Opens what [`seal`] made, if nothing of it or of its context was changed.
fn open(key: &Key, context: &[u8], sealed: &[u8]) -> Option<Secret> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut opened = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = cipher(key)
        .ok()?
        .open_in_place(nonce, Aad::from(context), &mut opened)
        .ok()?
        .len();
    opened.truncate(length);
    Some(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_object_as_it_is_and_for_nothing_else() {
        let keys = Keys::new([1; 16], random_key().unwrap()).unwrap();
        let sealed = keys.seal(&[2; 16], b"public", b"secret").unwrap();
        let opened = keys.open(&[2; 16], b"public", &sealed).unwrap();
        assert_eq!(opened.unwrap().as_slice(), b"secret");
        assert!(keys.open(&[3; 16], b"public", &sealed).unwrap().is_none());
        assert!(keys.open(&[2; 16], b"publiC", &sealed).unwrap().is_none());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(keys.open(&[2; 16], b"public", &changed).unwrap().is_none());
        }
        assert!(keys.open(&[2; 16], b"public", &sealed[..11]).unwrap().is_none());
        let other = Keys::new([1; 16], random_key().unwrap()).unwrap();
        assert!(other.open(&[2; 16], b"public", &sealed).unwrap().is_none());
    }

    #[test]
    fn a_pin_opens_its_own_wrap_and_no_other() {
        let (key, token) = (random_key().unwrap(), [7; 16]);
        let wrap = Wrap::new(&key, b"right", &token, 0).unwrap();
        assert_eq!(wrap.open(b"right", &token, 0).unwrap().bytes(), key.bytes());
        for (pin, token, role) in [
            (&b"wrong"[..], [7; 16], 0),
            (b"right", [8; 16], 0),
            (b"right", [7; 16], 1),
        ] {
            assert_eq!(wrap.open(pin, &token, role).err(), Some(Error::PinIncorrect));
        }
    }

    #[test]
    fn a_proof_is_of_one_frame_and_one_key() {
        let keys = Keys::new([1; 16], random_key().unwrap()).unwrap();
        let proof = keys.prove(&[5; 32]);
        assert!(keys.is_proven(&[5; 32], &proof));
        assert!(!keys.is_proven(&[6; 32], &proof));
        let other = Keys::new([1; 16], random_key().unwrap()).unwrap();
        assert!(!other.is_proven(&[5; 32], &proof));
    }
}
