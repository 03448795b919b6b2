//! Secret keys: bytes that encrypt, authenticate, or are derived from.

use std::vec::Vec;

use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::SECRET_BYTES_MAX;

/// The value of a secret key. It is wiped when the last holder lets go of it.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// From bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        Self::of(Zeroizing::new(bytes.to_vec()))
    }

    pub(crate) fn of(bytes: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        if bytes.is_empty() || bytes.len() > SECRET_BYTES_MAX {
            return Err(Error::KeySizeRange);
        }
        Ok(Self(bytes))
    }

    /// A new one.
    pub fn generate(bytes: usize) -> Result<Self, Error> {
        if bytes > SECRET_BYTES_MAX {
            return Err(Error::KeySizeRange);
        }
        let mut value = Zeroizing::new(std::vec![0; bytes]);
        aws_lc_rs::rand::fill(&mut value).map_err(|_| super::LIBRARY)?;
        Self::of(value)
    }

    /// How long it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The bytes.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.0
    }
}
