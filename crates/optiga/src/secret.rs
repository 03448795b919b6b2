//! Secrets that leave the chip: a shared secret, a private key that was generated to be exported. They are wiped when they
//! are dropped and can not be printed.

use core::fmt;

use zeroize::Zeroize;

use crate::object::PublicKeyBytes;

/// Longest secret: a P-384 scalar or coordinate.
const SECRET_BYTES_MAX: usize = 48;

/// A shared secret (the X coordinate) or a private key (the scalar).
pub struct Secret {
    bytes: [u8; SECRET_BYTES_MAX],
    length: usize,
}

impl Secret {
    pub(crate) fn new(value: &[u8]) -> Option<Self> {
        let mut secret = Self {
            bytes: [0; SECRET_BYTES_MAX],
            length: value.len(),
        };
        secret.bytes.get_mut(..value.len())?.copy_from_slice(value);
        (!value.is_empty()).then_some(secret)
    }

    /// The bytes, high byte first. Whoever copies them wipes the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.length)
    }
}

/// A key pair that the chip made and gave away.
#[derive(Debug)]
pub struct KeyPair {
    /// The scalar.
    pub private: Secret,
    /// The point.
    pub public: PublicKeyBytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_secret_has_a_length_and_no_face() {
        let secret = Secret::new(&[0xAB; 48]).unwrap();
        assert_eq!(secret.expose(), [0xAB; 48]);
        assert_eq!(format!("{secret:?}"), "Secret(48 bytes)");
        assert!(Secret::new(&[0; 49]).is_none() && Secret::new(&[]).is_none());
    }
}
