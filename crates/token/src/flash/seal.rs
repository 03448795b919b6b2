//! What is secret in a token's files, and how a PIN opens it.
//!
//! A PIN and a salt make a key (argon2id); that key opens the data key; the data key makes one key for each object (HKDF). All
//! sealing is AES-256-GCM with random nonces, bound to the token, the object, everything that is public about it and everything
//! that was written before it.

use std::vec::Vec;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::{ARGON2_KIBIBYTES, ARGON2_PASSES};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of a salt and of an identifier.
pub(super) const ID_BYTES: usize = 16;
/// A data key, sealed: nonce, key, tag.
pub(super) const WRAP_BYTES: usize = NONCE_LEN + KEY_BYTES + 16;

/// The key of everything in a token.
pub(super) type DataKey = Zeroizing<[u8; KEY_BYTES]>;

/// Names a token or an object.
pub(super) type Id = [u8; ID_BYTES];

const FAILED: Error = Error::General("the cryptographic library failed");

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| FAILED)?;
    Ok(bytes)
}

/// A data key as one PIN opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrap {
    pub(super) salt: Id,
    pub(super) sealed: [u8; WRAP_BYTES],
}

impl Wrap {
    /// Seals the data key under a PIN. `role` keeps one user's wrap from being taken for another's.
    pub(super) fn new(key: &DataKey, pin: &[u8], token: &Id, role: u8) -> Result<Self, Error> {
        let salt = random()?;
        let sealed = seal(
            &stretched(pin, &salt)?,
            &wrap_context(token, role, &salt),
            key.as_slice(),
        )?;
        let sealed = sealed.try_into().map_err(|_| FAILED)?;
        Ok(Self { salt, sealed })
    }

    /// The data key, if the PIN is right.
    pub(super) fn open(&self, pin: &[u8], token: &Id, role: u8) -> Result<DataKey, Error> {
        let key = stretched(pin, &self.salt)?;
        let opened = open(&key, &wrap_context(token, role, &self.salt), &self.sealed);
        let opened = opened.ok_or(Error::PinIncorrect)?;
        let mut data_key = DataKey::default();
        let bytes: &[u8; KEY_BYTES] = opened.as_slice().try_into().map_err(|_| FAILED)?;
        data_key.copy_from_slice(bytes);
        Ok(data_key)
    }
}

fn wrap_context(token: &Id, role: u8, salt: &Id) -> Vec<u8> {
    [&b"birthmark token pin 1"[..], token, &[role], salt].concat()
}

fn stretched(pin: &[u8], salt: &Id) -> Result<DataKey, Error> {
    let params = Params::new(ARGON2_KIBIBYTES, ARGON2_PASSES, 1, Some(KEY_BYTES)).map_err(|_| FAILED)?;
    let mut memory = Zeroizing::new(std::vec![Block::default(); params.block_count()]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = DataKey::default();
    argon2
        .hash_password_into_with_memory(pin, salt, key.as_mut_slice(), memory.as_mut_slice())
        .map_err(|_| FAILED)?;
    Ok(key)
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// The key of one object.
pub(super) fn object_key(key: &DataKey, token: &Id, object: &Id) -> Result<DataKey, Error> {
    let prk = Salt::new(HKDF_SHA256, token).extract(key.as_slice());
    let mut derived = DataKey::default();
    let info = [&b"birthmark token object 1"[..], object];
    let okm = prk.expand(&info, KeyLength).map_err(|_| FAILED)?;
    okm.fill(derived.as_mut_slice()).map_err(|_| FAILED)?;
    Ok(derived)
}

fn cipher(key: &DataKey) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| FAILED)?;
    Ok(LessSafeKey::new(key))
}

/// Seals: nonce, ciphertext, tag.
pub(super) fn seal(key: &DataKey, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, Error> {
    let nonce = random::<NONCE_LEN>()?;
    let mut sealed = Zeroizing::new(secret.to_vec());
    let tag = cipher(key)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            sealed.as_mut_slice(),
        )
        .map_err(|_| FAILED)?;
    Ok([&nonce[..], &sealed, tag.as_ref()].concat())
}

/// Opens what [`seal`] made, if nothing of it or of its context was changed.
pub(super) fn open(key: &DataKey, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
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
