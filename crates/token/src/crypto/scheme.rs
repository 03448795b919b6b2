//! How a signature is made of data with an asymmetric key, and what has to be kept of the data until then.

use std::vec::Vec;

use identity::key::Curve;
use zeroize::Zeroizing;

use super::digest::{self, Digest};
use super::{Key, curve25519, ec};
use crate::error::Error;
use crate::limits::{GATHERED_BYTES_MAX, RAW_BYTES_MAX};
use crate::mechanism::Hash;
use crate::mechanism::parameters::{Mechanism, PssParameters};

/// A scheme of signatures, without its key.
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Ecdsa(Option<Hash>),
    Eddsa,
    RsaPkcs1(Option<Hash>),
    RsaBare,
    RsaPss {
        hash: Option<Hash>,
        parameters: PssParameters,
    },
}

impl Scheme {
    pub(crate) fn of(mechanism: &Mechanism) -> Result<Self, Error> {
        Ok(match mechanism {
            Mechanism::Ecdsa(hash) => Self::Ecdsa(*hash),
            Mechanism::Eddsa => Self::Eddsa,
            Mechanism::RsaPkcs => Self::RsaPkcs1(None),
            Mechanism::RsaPkcsHash(hash) => Self::RsaPkcs1(Some(*hash)),
            Mechanism::RsaX509 => Self::RsaBare,
            // The parameter must name the hash that the mechanism names.
            Mechanism::RsaPss {
                hash: Some(hash),
                parameters,
            } if *hash != parameters.hash => {
                return Err(Error::MechanismParameterInvalid);
            }
            Mechanism::RsaPss { hash, parameters } => Self::RsaPss {
                hash: *hash,
                parameters: *parameters,
            },
            _ => return Err(Error::MechanismUnknown),
        })
    }

    /// What hashes the data first.
    const fn hash(self) -> Option<Hash> {
        match self {
            Self::Ecdsa(hash) | Self::RsaPkcs1(hash) | Self::RsaPss { hash, .. } => hash,
            Self::Eddsa | Self::RsaBare => None,
        }
    }

    /// How much data is kept if nothing hashes it, and whether more is an error.
    const fn keeps(self) -> (usize, bool) {
        match self {
            // What is beyond is cut anyhow.
            Self::Ecdsa(_) => (RAW_BYTES_MAX, false),
            Self::Eddsa => (GATHERED_BYTES_MAX, true),
            Self::RsaPkcs1(_) | Self::RsaBare | Self::RsaPss { .. } => (RAW_BYTES_MAX, true),
        }
    }

    /// How long a signature with this key is; refuses a key that the scheme can not use.
    pub(crate) fn signature_bytes(self, key: &Key) -> Result<usize, Error> {
        Ok(match (self, key) {
            (Self::Ecdsa(_), Key::EcPrivate(key)) => ec::signature_bytes(key.curve()),
            (Self::Ecdsa(_), Key::EcPublic(key)) => ec::signature_bytes(key.curve()),
            (Self::Ecdsa(_), Key::Hardware { curve, .. }) => ec::signature_bytes(*curve),
            (Self::Eddsa, Key::Ed25519Private(_) | Key::Ed25519Public(_)) => curve25519::SIGNATURE_BYTES,
            (Self::RsaPkcs1(_) | Self::RsaBare | Self::RsaPss { .. }, Key::RsaPrivate(key)) => key.bytes(),
            (Self::RsaPkcs1(_) | Self::RsaBare | Self::RsaPss { .. }, Key::RsaPublic(key)) => key.bytes(),
            _ => return Err(Error::KeyTypeInconsistent),
        })
    }

    /// Signs what has been hashed, or what the caller brought whole.
    pub(crate) fn sign(self, key: &Key, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        match (self, key) {
            (Self::Ecdsa(_), _) if input.is_empty() => Err(Error::DataLengthRange { found: 0 }),
            (Self::Ecdsa(_), Key::EcPrivate(key)) => key.sign_digest(input, out),
            (Self::Ecdsa(_), Key::Hardware { device, curve }) => {
                device.sign_digest(*curve, leftmost(*curve, input), out)
            }
            (Self::Eddsa, Key::Ed25519Private(key)) => key.sign(input, out),
            (Self::RsaPkcs1(hash), Key::RsaPrivate(key)) => key.sign_pkcs1(hash, input, out),
            (Self::RsaBare, Key::RsaPrivate(key)) => key.sign_bare(input, out),
            (Self::RsaPss { parameters, .. }, Key::RsaPrivate(key)) => key.sign_pss(&parameters, input, out),
            _ => Err(Error::KeyTypeInconsistent),
        }
    }

    /// Verifies what has been hashed, or what the caller brought whole.
    pub(crate) fn verify(self, key: &Key, input: &[u8], signature: &[u8]) -> Result<(), Error> {
        match (self, key) {
            (Self::Ecdsa(_), _) if input.is_empty() => Err(Error::DataLengthRange { found: 0 }),
            (Self::Ecdsa(_), Key::EcPublic(key)) => key.verify_digest(input, signature),
            (Self::Ecdsa(_), Key::Hardware { device, curve }) => {
                if signature.len() != ec::signature_bytes(*curve) {
                    return Err(Error::SignatureLengthRange);
                }
                device.verify_digest(*curve, leftmost(*curve, input), signature)
            }
            (Self::Eddsa, Key::Ed25519Public(key)) => key.verify(input, signature),
            (Self::RsaPkcs1(hash), Key::RsaPublic(key)) => key.verify_pkcs1(hash, input, signature),
            (Self::RsaBare, Key::RsaPublic(key)) => key.verify_bare(input, signature),
            (Self::RsaPss { parameters, .. }, Key::RsaPublic(key)) => {
                key.verify_pss(&parameters, input, signature)
            }
            _ => Err(Error::KeyTypeInconsistent),
        }
    }

    /// Hands over what one message comes to: its digest, or itself.
    pub(crate) fn with_input<T>(
        self,
        data: &[u8],
        then: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.hash() {
            Some(hash) => then(digest::digest(hash, data).as_ref()),
            None => match self.keeps() {
                (most, true) if data.len() > most => Err(Error::DataLengthRange { found: data.len() }),
                _ => then(data),
            },
        }
    }
}

/// The part of a digest that a curve takes: as much as it is long, from the left.
fn leftmost(curve: Curve, digest: &[u8]) -> &[u8] {
    digest.get(..curve.coordinate_bytes()).unwrap_or(digest)
}

/// What has come in so far, part by part.
pub(crate) enum Gathered {
    Nothing,
    Hashed(Digest),
    Whole(Zeroizing<Vec<u8>>),
}

impl Gathered {
    pub(crate) fn update(&mut self, scheme: Scheme, part: &[u8]) -> Result<(), Error> {
        if matches!(self, Self::Nothing) {
            *self = scheme.hash().map_or_else(
                || Self::Whole(Zeroizing::new(Vec::new())),
                |hash| Self::Hashed(Digest::new(hash)),
            );
        }
        match self {
            Self::Hashed(digest) => digest.update(part),
            Self::Whole(whole) => gather(whole, part, scheme.keeps())?,
            Self::Nothing => {}
        }
        Ok(())
    }

    /// Hands over what all of it comes to.
    pub(crate) fn with_input<T>(
        &self,
        scheme: Scheme,
        then: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Nothing => scheme.with_input(&[], then),
            Self::Hashed(digest) => then(digest.value().as_ref()),
            Self::Whole(whole) => then(whole),
        }
    }
}

fn gather(whole: &mut Vec<u8>, part: &[u8], (most, strict): (usize, bool)) -> Result<(), Error> {
    let room = most.saturating_sub(whole.len());
    if strict && part.len() > room {
        return Err(Error::DataLengthRange {
            found: whole.len().saturating_add(part.len()),
        });
    }
    whole.extend_from_slice(part.get(..room).unwrap_or(part));
    Ok(())
}
