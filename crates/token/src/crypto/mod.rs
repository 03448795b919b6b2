//! Software keys and what is computed with them: parsed once, never changed, shared by threads.
//!
//! It knows no sessions, no attributes and no backends: the core says which key and which mechanism, and has checked that both
//! may be used. A key in hardware is one more kind of key here; only its device can compute with it.
//!
//! It must never give a private value out but to the backend that keeps it, or print one.

mod ec;
mod hardware;

use core::fmt;
use std::sync::Arc;
use std::vec::Vec;

use identity::key::{Curve, PublicKey};
use zeroize::Zeroizing;

pub use self::ec::EcPrivate;
pub use self::hardware::HardwareKey;
use crate::error::Error;

/// A parsed key. The core holds it in an `Arc`; signing with it takes no lock.
pub enum Key {
    /// A private key on a named curve, in memory.
    EcPrivate(EcPrivate),
    /// A public key: it verifies, encrypts and is agreed with.
    Public(PublicKey),
    /// A private key that only its device can use.
    Hardware {
        /// The device.
        device: Arc<dyn HardwareKey>,
        /// On which curve.
        curve: Curve,
    },
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcPrivate(_) => "a private key on a curve",
            Self::Public(_) => "a public key",
            Self::Hardware { .. } => "a key in hardware",
        })
    }
}

impl Key {
    /// What a backend keeps of the key, for [`Key::from_secret`] later: of an asymmetric key its PKCS #8. `None` for a key
    /// without secret and for one in hardware.
    pub fn secret(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        match self {
            Self::EcPrivate(key) => key.secret().map(Some),
            Self::Public(_) | Self::Hardware { .. } => Ok(None),
        }
    }

    /// The key that a backend has kept.
    pub fn from_secret(secret: &[u8]) -> Result<Self, Error> {
        EcPrivate::from_pkcs8(secret).map(Self::EcPrivate)
    }
}
