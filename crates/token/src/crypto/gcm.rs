//! AES-GCM (NIST SP 800-38D) over a whole message: decryption lets nothing out before the tag was right.
//!
//! A nonce of 12 bytes with a tag of 16 is the library's. PKCS #11 also knows other nonces and shorter tags, which the
//! library does not offer: those are put together here from its counter mode and from GHASH.

use std::boxed::Box;
use std::vec::Vec;

use aws_lc_rs::aead::{self, AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use ghash::GHash;
use ghash::universal_hash::{KeyInit as _, UniversalHash as _};
use zeroize::Zeroizing;

use super::aes::{Block, Counter, Forwards};
use super::{LIBRARY, Secret};
use crate::error::Error;
use crate::limits::{GATHERED_BYTES_MAX, PARAMETER_BYTES_MAX};
use crate::mechanism::parameters::{AES_BLOCK_BYTES, GcmParameters};

const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;

/// What is needed to seal or open one message.
pub(crate) struct Gcm {
    parameters: GcmParameters,
    with: With,
}

/// What the library's parts need.
struct Parts {
    block: Forwards,
    key: Secret,
}

enum With {
    Library(Box<LessSafeKey>),
    Parts(Box<Parts>),
}

impl Gcm {
    pub(crate) fn new(key: &Secret, parameters: &GcmParameters) -> Result<Self, Error> {
        let (iv, tag) = (parameters.iv.len(), parameters.tag_bytes);
        let known = matches!(tag, 4 | 8 | 12..=TAG_BYTES);
        if iv == 0 || iv > PARAMETER_BYTES_MAX || parameters.additional.len() > PARAMETER_BYTES_MAX || !known
        {
            return Err(Error::MechanismParameterInvalid);
        }
        let with = if iv == NONCE_BYTES && tag == TAG_BYTES {
            With::Library(Box::new(library(key)?))
        } else {
            With::Parts(Box::new(Parts {
                block: Forwards::new(key)?,
                key: Secret::new(key.value())?,
            }))
        };
        Ok(Self {
            parameters: parameters.clone(),
            with,
        })
    }

    /// Bytes of the tag.
    pub(crate) const fn tag_bytes(&self) -> usize {
        self.parameters.tag_bytes
    }

    /// Encrypts in place; gives the tag.
    pub(crate) fn seal(&self, message: &mut [u8]) -> Result<Block, Error> {
        match &self.with {
            With::Library(key) => {
                let tag = key.seal_in_place_separate_tag(self.nonce()?, self.additional(), message);
                let tag = tag.map_err(|_| LIBRARY)?;
                tag.as_ref().try_into().map_err(|_| LIBRARY)
            }
            With::Parts(parts) => {
                let Parts { block, key } = &**parts;
                let start = self.start(block)?;
                stream(key, start, message)?;
                self.tag(block, start, message)
            }
        }
    }

    /// Decrypts in place if the tag is right.
    pub(crate) fn open(&self, message: &mut [u8], tag: &[u8]) -> Result<(), Error> {
        let wrong = Error::EncryptedDataInvalid;
        match &self.with {
            With::Library(key) => {
                let opened = key.open_in_place_separate_tag(self.nonce()?, self.additional(), tag, message);
                opened.map(|_| ()).map_err(|_| wrong)
            }
            With::Parts(parts) => {
                let Parts { block, key } = &**parts;
                let start = self.start(block)?;
                let found = self.tag(block, start, message)?;
                let found = found.get(..self.tag_bytes()).unwrap_or_default();
                verify_slices_are_equal(found, tag).map_err(|_| wrong)?;
                stream(key, start, message)
            }
        }
    }

    fn nonce(&self) -> Result<Nonce, Error> {
        Nonce::try_assume_unique_for_key(&self.parameters.iv).map_err(|_| LIBRARY)
    }

    fn additional(&self) -> Aad<&[u8]> {
        Aad::from(self.parameters.additional.as_slice())
    }

    /// The first counter block (SP 800-38D, 7.1, step 2).
    fn start(&self, block: &Forwards) -> Result<Block, Error> {
        let iv = &self.parameters.iv;
        if iv.len() == NONCE_BYTES {
            let mut start = [0; AES_BLOCK_BYTES];
            super::fill(&mut start, iv)?;
            start[AES_BLOCK_BYTES - 1] = 1;
            return Ok(start);
        }
        hashed(block, &[], iv)
    }

    /// The tag over additional data and what is encrypted.
    fn tag(&self, block: &Forwards, start: Block, message: &[u8]) -> Result<Block, Error> {
        let mut mask = start;
        block.apply(&mut mask)?;
        let mut tag = hashed(block, &self.parameters.additional, message)?;
        tag.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        Ok(tag)
    }
}

fn library(key: &Secret) -> Result<LessSafeKey, Error> {
    let algorithm: &'static aead::Algorithm = match key.bytes() {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        32 => &AES_256_GCM,
        _ => return Err(Error::KeySizeRange),
    };
    let key = UnboundKey::new(algorithm, key.value()).map_err(|_| LIBRARY)?;
    Ok(LessSafeKey::new(key))
}

/// GHASH over two strings, each filled with zeros, and their lengths in bits.
fn hashed(block: &Forwards, first: &[u8], second: &[u8]) -> Result<Block, Error> {
    let mut key = Zeroizing::new([0; AES_BLOCK_BYTES]);
    block.apply(&mut *key)?;
    let mut hash = GHash::new(&(*key).into());
    hash.update_padded(first);
    hash.update_padded(second);
    let bits = |bytes: &[u8]| (bytes.len() as u128) * 8;
    let lengths = (bits(first) << 64) | bits(second);
    hash.update_padded(&lengths.to_be_bytes());
    Ok(hash.finalize().into())
}

/// Mixes in the stream that begins behind the first block. Only the last 32 bits of the block count, and they go round.
fn stream(key: &Secret, start: Block, message: &mut [u8]) -> Result<(), Error> {
    let first = u128::from_be_bytes(start);
    let (high, low) = (first & !u128::from(u32::MAX), (first as u32).wrapping_add(1));
    let until_round = (u64::from(u32::MAX - low) + 1).saturating_mul(AES_BLOCK_BYTES as u64);
    let at = usize::try_from(until_round)
        .unwrap_or(usize::MAX)
        .min(message.len());
    let (begin, end) = message.split_at_mut(at);
    let from = |low: u32| (high | u128::from(low)).to_be_bytes();
    Counter::new(key, 32, &from(low))?.apply(begin)?;
    if end.is_empty() {
        return Ok(());
    }
    Counter::new(key, 32, &from(0))?.apply(end)
}

/// Data and tag of what is to be opened.
pub(crate) fn split(sealed: &mut [u8], tag_bytes: usize) -> Result<(&mut [u8], &mut [u8]), Error> {
    let at = sealed.len().checked_sub(tag_bytes);
    let at = at.ok_or(Error::EncryptedDataLengthRange)?;
    Ok(sealed.split_at_mut(at))
}

/// Adds a part to what has come in.
pub(crate) fn gather(whole: &mut Vec<u8>, part: &[u8]) -> Result<(), Error> {
    let found = whole.len().saturating_add(part.len());
    if found > GATHERED_BYTES_MAX {
        return Err(Error::DataLengthRange { found });
    }
    whole.extend_from_slice(part);
    Ok(())
}
