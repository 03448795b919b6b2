//! New keys.

use std::boxed::Box;
use std::vec::Vec;

use identity::key::Curve;

use super::{EcPrivate, Ed25519Private, Key, RsaPrivate, Secret, X25519Private};
use crate::error::Error;
use crate::mechanism::parameters::Mechanism;

/// What a template says of a pair that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairKind {
    /// On this curve (`CKA_EC_PARAMS`).
    Ec(Curve),
    /// For Ed25519.
    Ed25519,
    /// For X25519.
    X25519,
    /// RSA.
    Rsa {
        /// `CKA_MODULUS_BITS`.
        bits: usize,
        /// `CKA_PUBLIC_EXPONENT`.
        public_exponent: Vec<u8>,
    },
}

/// Makes a key pair; gives the private key, which knows its public half ([`Key::public`]).
pub fn generate_pair(mechanism: &Mechanism, kind: &PairKind) -> Result<Key, Error> {
    match (mechanism, kind) {
        (Mechanism::EcKeyPairGen, PairKind::Ec(curve)) => {
            EcPrivate::generate(*curve).map(|key| Key::EcPrivate(Box::new(key)))
        }
        (Mechanism::EdwardsKeyPairGen, PairKind::Ed25519) => {
            Ed25519Private::generate().map(Key::Ed25519Private)
        }
        (Mechanism::MontgomeryKeyPairGen, PairKind::X25519) => {
            X25519Private::generate().map(Key::X25519Private)
        }
        (
            Mechanism::RsaKeyPairGen,
            PairKind::Rsa {
                bits,
                public_exponent,
            },
        ) => RsaPrivate::generate(*bits, public_exponent).map(|key| Key::RsaPrivate(Box::new(key))),
        (
            Mechanism::EcKeyPairGen
            | Mechanism::EdwardsKeyPairGen
            | Mechanism::MontgomeryKeyPairGen
            | Mechanism::RsaKeyPairGen,
            _,
        ) => Err(Error::CurveNotSupported),
        _ => Err(Error::MechanismUnknown),
    }
}

/// Makes a secret key of so many bytes (`CKA_VALUE_LEN`).
pub fn generate(mechanism: &Mechanism, bytes: usize) -> Result<Key, Error> {
    match mechanism {
        Mechanism::AesKeyGen if !matches!(bytes, 16 | 24 | 32) => Err(Error::KeySizeRange),
        Mechanism::AesKeyGen | Mechanism::GenericSecretKeyGen | Mechanism::HkdfKeyGen => {
            Secret::generate(bytes).map(Key::Secret)
        }
        _ => Err(Error::MechanismUnknown),
    }
}
