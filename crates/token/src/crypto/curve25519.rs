//! Keys of Curve25519: Ed25519 signs (RFC 8032), X25519 agrees on secrets (RFC 7748).

use std::vec::Vec;

use aws_lc_rs::agreement::{self, X25519};
use aws_lc_rs::encoding::{AsBigEndian as _, Curve25519SeedBin};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{LIBRARY, fill};
use crate::attribute::AttributeKind;
use crate::error::Error;

/// Bytes of every key here, private and public.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

const WRONG: Error = Error::AttributeValueInvalid {
    kind: AttributeKind::Value,
    why: "it is no private key of Curve25519",
};
const WRONG_POINT: Error = Error::AttributeValueInvalid {
    kind: AttributeKind::EcPoint,
    why: "it is no public key of Curve25519",
};

/// An Ed25519 private key.
pub struct Ed25519Private {
    pair: Ed25519KeyPair,
    public: [u8; KEY_BYTES],
}

impl Ed25519Private {
    /// A new one.
    pub fn generate() -> Result<Self, Error> {
        Self::of(Ed25519KeyPair::generate().map_err(|_| LIBRARY)?)
    }

    /// From its seed (`CKA_VALUE`).
    pub fn from_seed(seed: &[u8]) -> Result<Self, Error> {
        Self::of(Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| WRONG)?)
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, Error> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| LIBRARY)?;
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// The seed.
    pub fn seed(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let seed = self.pair.seed().map_err(|_| LIBRARY)?;
        let seed = seed.as_be_bytes().map_err(|_| LIBRARY)?;
        Ok(Zeroizing::new(seed.as_ref().to_vec()))
    }

    pub(crate) fn sign(&self, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        if out.len() < SIGNATURE_BYTES {
            return Err(Error::BufferTooSmall {
                needed: SIGNATURE_BYTES,
            });
        }
        let signature = self.pair.try_sign(data).map_err(|_| LIBRARY)?;
        fill(out, signature.as_ref())
    }
}

/// An Ed25519 public key.
pub struct Ed25519Public {
    parsed: ParsedPublicKey,
    public: [u8; KEY_BYTES],
}

impl Ed25519Public {
    /// From its bytes (`CKA_EC_POINT` without the OCTET STRING).
    pub fn new(point: &[u8]) -> Result<Self, Error> {
        let public = point.try_into().map_err(|_| WRONG_POINT)?;
        let parsed = UnparsedPublicKey::new(&ED25519, point).parse();
        Ok(Self {
            parsed: parsed.map_err(|_| WRONG_POINT)?,
            public,
        })
    }

    /// Its bytes.
    #[must_use]
    pub const fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    pub(crate) fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), Error> {
        if signature.len() != SIGNATURE_BYTES {
            return Err(Error::SignatureLengthRange);
        }
        let verified = self.parsed.verify_sig(data, signature);
        verified.map_err(|_| Error::SignatureInvalid)
    }
}

/// An X25519 private key.
pub struct X25519Private {
    key: agreement::PrivateKey,
    public: [u8; KEY_BYTES],
}

impl X25519Private {
    /// A new one.
    pub fn generate() -> Result<Self, Error> {
        Self::of(agreement::PrivateKey::generate(&X25519).map_err(|_| LIBRARY)?)
    }

    /// From its number (`CKA_VALUE`), least byte first.
    pub fn from_scalar(scalar: &[u8]) -> Result<Self, Error> {
        Self::of(agreement::PrivateKey::from_private_key(&X25519, scalar).map_err(|_| WRONG)?)
    }

    fn of(key: agreement::PrivateKey) -> Result<Self, Error> {
        let public = key.compute_public_key().map_err(|_| LIBRARY)?;
        let public = public.as_ref().try_into().map_err(|_| LIBRARY)?;
        Ok(Self { key, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// The number.
    pub fn scalar(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let scalar: Curve25519SeedBin<'_> = self.key.as_be_bytes().map_err(|_| LIBRARY)?;
        Ok(Zeroizing::new(scalar.as_ref().to_vec()))
    }

    pub(crate) fn agree(&self, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let refused = Error::MechanismParameterInvalid;
        if point.len() != KEY_BYTES {
            return Err(refused);
        }
        let peer = agreement::UnparsedPublicKey::new(&X25519, point);
        agreement::agree(&self.key, peer, refused, |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })
    }
}

/// An X25519 public key: something to agree with.
pub struct X25519Public([u8; KEY_BYTES]);

impl X25519Public {
    /// From its bytes.
    pub fn new(point: &[u8]) -> Result<Self, Error> {
        point.try_into().map(Self).map_err(|_| WRONG_POINT)
    }

    /// Its bytes.
    #[must_use]
    pub const fn public(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}
