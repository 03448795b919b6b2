//! Software keys and what is computed with them: parsed once, never changed, shared by threads.
//!
//! It knows no sessions, no attributes and no backends: the core says which key and which mechanism, and has checked that both
//! may be used. A key in hardware is one more kind of key here; only its device can compute with it.
//!
//! Operations ([`Sign`], [`Verify`], [`Encrypt`], [`Decrypt`], [`Digest`]) take data at once or part by part. `BufferTooSmall` leaves them as they were;
//! after any other result they are over.
//!
//! It must never give a private value out but to the backend that keeps it, or print one.

mod aes;
mod cipher;
mod curve;
mod curve25519;
mod derive;
mod digest;
mod ec;
mod gcm;
mod generate;
mod hardware;
mod key_wrap;
mod mac;
mod pkcs8;
mod rsa;
mod scheme;
mod secret;
mod sign;
mod tls;
mod wrap;

use core::fmt;
use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use identity::key::{Curve, KeyKind, PublicKey};
use zeroize::Zeroizing;

pub use self::cipher::{Decrypt, Encrypt};
pub(crate) use self::curve::{curve_of_parameters, curve_parameters};
pub use self::curve25519::{Ed25519Private, Ed25519Public, X25519Private, X25519Public};
pub(crate) use self::derive::agree_inside;
pub use self::derive::{Derived, KeyBlock, derive};
pub use self::digest::Digest;
pub use self::ec::{EcPrivate, EcPublic};
pub use self::generate::{PairKind, generate, generate_pair};
pub use self::hardware::{HardwareKey, HardwareSecret};
pub use self::rsa::{RsaParts, RsaPrivate, RsaPublic};
pub use self::secret::Secret;
pub use self::sign::{Sign, Verify};
pub use self::wrap::{unwrap, wrap, wrapped_bytes};
use crate::attribute::AttributeKind;
use crate::error::Error;
pub use crate::mechanism::parameters::*;

const LIBRARY: Error = Error::General("the cryptographic library failed");

/// A parsed key. The core holds it in an `Arc`; signing with it takes no lock.
pub enum Key {
    /// A private key on a named curve, in memory.
    EcPrivate(Box<EcPrivate>),
    /// A public key on a named curve.
    EcPublic(Box<EcPublic>),
    /// A private key for Ed25519.
    Ed25519Private(Ed25519Private),
    /// A public key for Ed25519.
    Ed25519Public(Box<Ed25519Public>),
    /// A private key for X25519.
    X25519Private(X25519Private),
    /// A public key for X25519.
    X25519Public(X25519Public),
    /// An RSA private key.
    RsaPrivate(Box<RsaPrivate>),
    /// An RSA public key.
    RsaPublic(Box<RsaPublic>),
    /// A secret key: AES, HMAC, or to derive from.
    Secret(Secret),
    /// A private key that only its device can use.
    Hardware {
        /// The device.
        device: Arc<dyn HardwareKey>,
        /// On which curve.
        curve: Curve,
    },
    /// A secret that only its device can use.
    HardwareSecret(Arc<dyn HardwareSecret>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcPrivate(_) => "a private key on a curve",
            Self::EcPublic(_) => "a public key on a curve",
            Self::Ed25519Private(_) => "a private key for Ed25519",
            Self::Ed25519Public(_) => "a public key for Ed25519",
            Self::X25519Private(_) => "a private key for X25519",
            Self::X25519Public(_) => "a public key for X25519",
            Self::RsaPrivate(_) => "an RSA private key",
            Self::RsaPublic(_) => "an RSA public key",
            Self::Secret(_) => "a secret key",
            Self::Hardware { .. } => "a key in hardware",
            Self::HardwareSecret(_) => "a secret in hardware",
        })
    }
}

impl Key {
    /// What a backend keeps of the key: of a private key its PKCS #8, for [`Key::from_pkcs8`] later; of a secret key its
    /// bytes, for [`Secret::new`]. `None` for a key without secret and for one in hardware.
    pub fn secret(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        match self {
            Self::EcPrivate(key) => key.secret().map(Some),
            Self::Ed25519Private(key) => Ok(Some(pkcs8::write_ed25519(&key.seed()?))),
            Self::X25519Private(key) => Ok(Some(pkcs8::write_x25519(&key.scalar()?))),
            Self::RsaPrivate(key) => key.secret().map(Some),
            Self::Secret(key) => Ok(Some(Zeroizing::new(key.value().to_vec()))),
            Self::EcPublic(_)
            | Self::Ed25519Public(_)
            | Self::X25519Public(_)
            | Self::RsaPublic(_)
            | Self::Hardware { .. }
            | Self::HardwareSecret(_) => Ok(None),
        }
    }

    /// A private key from its PKCS #8, whatever kind it is: one that a backend has kept, or one that was unwrapped.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, Error> {
        match pkcs8::read(document).ok_or(UNREADABLE)? {
            pkcs8::Found::Ec => EcPrivate::from_pkcs8(document).map(|key| Self::EcPrivate(Box::new(key))),
            pkcs8::Found::Ed25519(seed) => Ed25519Private::from_seed(seed).map(Self::Ed25519Private),
            pkcs8::Found::X25519(scalar) => X25519Private::from_scalar(scalar).map(Self::X25519Private),
            pkcs8::Found::Rsa(key) => RsaPrivate::from_der(key).map(|key| Self::RsaPrivate(Box::new(key))),
        }
    }

    /// The key that a backend has kept: a private key's PKCS #8.
    pub fn from_secret(secret: &[u8]) -> Result<Self, Error> {
        Self::from_pkcs8(secret)
    }

    /// A public key from a document.
    pub fn from_public(public: PublicKey) -> Result<Self, Error> {
        match public.kind() {
            KeyKind::Ec(curve) => EcPublic::of(public, curve).map(|key| Self::EcPublic(Box::new(key))),
            KeyKind::Rsa { .. } => {
                RsaPublic::from_der(public.bits()).map(|key| Self::RsaPublic(Box::new(key)))
            }
        }
    }

    /// The public half of a private key in memory, as a key. A device's key does not know its own.
    pub fn public(&self) -> Result<Option<Self>, Error> {
        Ok(Some(match self {
            Self::EcPrivate(key) => {
                Self::EcPublic(Box::new(EcPublic::of(key.public().clone(), key.curve())?))
            }
            Self::Ed25519Private(key) => Self::Ed25519Public(Box::new(Ed25519Public::new(key.public())?)),
            Self::X25519Private(key) => Self::X25519Public(X25519Public::new(key.public())?),
            Self::RsaPrivate(key) => {
                Self::RsaPublic(Box::new(RsaPublic::new(key.modulus(), key.public_exponent())?))
            }
            _ => return Ok(None),
        }))
    }

    /// The SubjectPublicKeyInfo of a public key, or of a private key in memory (`CKA_PUBLIC_KEY_INFO`).
    pub fn spki_der(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(Some(match self {
            Self::EcPrivate(key) => key.public().spki_der().to_vec(),
            Self::EcPublic(key) => key.public().spki_der().to_vec(),
            Self::Ed25519Private(key) => pkcs8::spki_ed25519(key.public()),
            Self::Ed25519Public(key) => pkcs8::spki_ed25519(key.public()),
            Self::X25519Private(key) => pkcs8::spki_x25519(key.public()),
            Self::X25519Public(key) => pkcs8::spki_x25519(key.public()),
            Self::RsaPrivate(key) => key.public()?.spki_der().to_vec(),
            Self::RsaPublic(key) => key.public()?.spki_der().to_vec(),
            Self::Secret(_) | Self::Hardware { .. } | Self::HardwareSecret(_) => return Ok(None),
        }))
    }

    /// Whether it is the public half of a pair.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(
            self,
            Self::EcPublic(_) | Self::Ed25519Public(_) | Self::X25519Public(_) | Self::RsaPublic(_)
        )
    }
}

const UNREADABLE: Error = Error::AttributeValueInvalid {
    kind: AttributeKind::Value,
    why: "it is no private key that this token knows, in PKCS #8",
};

/// Writes a result to the front of a buffer and says how long it is.
fn fill(out: &mut [u8], result: &[u8]) -> Result<usize, Error> {
    let needed = result.len();
    out.get_mut(..needed)
        .ok_or(Error::BufferTooSmall { needed })?
        .copy_from_slice(result);
    Ok(needed)
}
