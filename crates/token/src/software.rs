//! What the host computes for a token: digests, and the verification of signatures, which need no secret.
//!
//! It must never see a private key of a chip.

use std::vec::Vec;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use identity::key::{Curve, KeyKind, PublicKey};

use crate::error::Error;
use crate::mechanism::Hash;

pub(crate) use crate::crypto::Digest;

/// The digest of one message.
pub(crate) fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    crate::crypto::digest_of(hash, data)
}

/// A digest as the number that ECDSA signs on this curve: cut on the right, zeros on the left.
pub(crate) fn fitted(curve: Curve, digest: &[u8]) -> Result<digest::Digest, Error> {
    let (algorithm, bytes) = match curve {
        Curve::P256 => (&digest::SHA256, 32),
        Curve::P384 => (&digest::SHA384, 48),
        Curve::P521 => return Err(Error::CurveNotSupported),
    };
    let used = digest.get(..bytes).unwrap_or(digest);
    let mut padded = std::vec![0; bytes - used.len()];
    padded.extend_from_slice(used);
    digest::Digest::import_less_safe(&padded, algorithm).map_err(|_| Error::General("a digest of no length"))
}

/// Verifies `r ‖ s` over a digest.
pub(crate) fn verify(key: &PublicKey, digest: &[u8], signature: &[u8]) -> Result<(), Error> {
    let KeyKind::Ec(curve) = key.kind() else {
        return Err(Error::KeyFunctionNotPermitted);
    };
    let algorithm: &'static dyn VerificationAlgorithm = match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED,
        Curve::P521 => return Err(Error::CurveNotSupported),
    };
    if signature.len() != 2 * curve.coordinate_bytes() {
        return Err(Error::SignatureLengthRange);
    }
    let digest = fitted(curve, digest)?;
    UnparsedPublicKey::new(algorithm, key.bits())
        .verify_digest(&digest, signature)
        .map_err(|_| Error::SignatureInvalid)
}
