//! What signs: a key in a file, in a token or in an HSM, all behind one trait.

use alloc::string::String;
use core::fmt;

use crate::{
    Blame, Explained,
    key::{PublicKey, SignatureAlgorithm},
};

/// A private key that signs, wherever it lives. The quota of an order is enforced behind this trait, too.
pub trait Signer: Send + Sync {
    /// Its public key.
    fn public_key(&self) -> &PublicKey;

    /// How it signs.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs `message`; hashing is the signer's part. An ECDSA signature comes as its DER sequence.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

use alloc::vec::Vec;

/// Why a signer did not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// It may not: a quota, a window of time, an authorisation.
    Refused(String),
    /// It could not: the key's device failed.
    Fault(String),
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "the signer refused: {reason}"),
            Self::Fault(reason) => write!(f, "the signer failed: {reason}"),
        }
    }
}

impl core::error::Error for SignError {}

impl Explained for SignError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "identity.signer.refused",
            Self::Fault(_) => "identity.signer.fault",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Refused(_) => Blame::Refused,
            Self::Fault(_) => Blame::Fault,
        }
    }
}
