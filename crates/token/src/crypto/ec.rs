//! Private keys on the curves of FIPS 186-5, in memory.

use std::vec::Vec;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
};
use identity::der::{Tag, Writer};
use identity::key::{Curve, PublicKey};
use zeroize::Zeroizing;

use crate::attribute::AttributeKind;
use crate::error::Error;
use crate::object::curve_parameters;

const LIBRARY: Error = Error::General("the cryptographic library failed");
const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

/// A private key and its public half.
pub struct EcPrivate {
    pair: EcdsaKeyPair,
    curve: Curve,
    public: PublicKey,
}

impl EcPrivate {
    /// A new one.
    pub fn generate(curve: Curve) -> Result<Self, Error> {
        Self::of(
            EcdsaKeyPair::generate(algorithm(curve)).map_err(|_| LIBRARY)?,
            curve,
        )
    }

    /// One from outside: the number alone; its point is computed. Zeros before it do not matter.
    pub fn from_scalar(curve: Curve, scalar: &[u8]) -> Result<Self, Error> {
        let pkcs8 = pkcs8(curve, scalar).ok_or(WRONG)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm(curve), &pkcs8).map_err(|_| WRONG)?;
        Self::of(pair, curve)
    }

    /// From a PKCS #8 (RFC 5958), on whichever curve it is.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let mut tried = CURVES
            .into_iter()
            .map(|curve| (curve, EcdsaKeyPair::from_pkcs8(algorithm(curve), pkcs8)));
        let found = tried.find_map(|(curve, pair)| Some((curve, pair.ok()?)));
        let (curve, pair) = found.ok_or(WRONG)?;
        Self::of(pair, curve)
    }

    fn of(pair: EcdsaKeyPair, curve: Curve) -> Result<Self, Error> {
        let public = PublicKey::from_ec_point(curve, pair.public_key().as_ref()).map_err(|_| LIBRARY)?;
        Ok(Self { pair, curve, public })
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its PKCS #8.
    pub fn secret(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let pkcs8 = self.pair.to_pkcs8v1().map_err(|_| LIBRARY)?;
        Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
    }

    /// Signs a digest of any length: what exceeds the curve is cut on the right (FIPS 186-5, 6.4.1). Writes `r ‖ s`, both of
    /// the curve's size, and says how many bytes.
    pub fn sign_digest(&self, digest: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let bytes = 2 * self.curve.coordinate_bytes();
        let out = out
            .get_mut(..bytes)
            .ok_or(Error::BufferTooSmall { needed: bytes })?;
        let digest = fitted(self.curve, digest)?;
        let signature = self.pair.sign_digest(&digest).map_err(|_| LIBRARY)?;
        out.copy_from_slice(signature.as_ref());
        Ok(bytes)
    }
}

const WRONG: Error = Error::AttributeValueInvalid {
    kind: AttributeKind::Value,
    why: "it is no private key on this curve",
};

fn algorithm(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

/// A digest as the number that is signed on this curve: cut on the right, zeros on the left.
fn fitted(curve: Curve, digest: &[u8]) -> Result<Digest, Error> {
    let (algorithm, bytes) = match curve {
        Curve::P256 => (&digest::SHA256, 32),
        Curve::P384 => (&digest::SHA384, 48),
        Curve::P521 => (&digest::SHA512, 64),
    };
    let used = digest.get(..bytes).unwrap_or(digest);
    let mut padded = [0; 64];
    let padded = padded.get_mut(..bytes).unwrap_or_default();
    let start = bytes - used.len();
    padded.get_mut(start..).unwrap_or_default().copy_from_slice(used);
    Digest::import_less_safe(padded, algorithm).map_err(|_| LIBRARY)
}

/// ECPrivateKey without its public key (RFC 5915 3), in a PKCS #8 (RFC 5208 5). `None` if the number is too long.
fn pkcs8(curve: Curve, scalar: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let start = scalar.iter().position(|byte| *byte != 0).unwrap_or(scalar.len());
    let digits = scalar.get(start..)?;
    let mut padded = Zeroizing::new(std::vec![0; curve.coordinate_bytes().checked_sub(digits.len())?]);
    padded.extend_from_slice(digits);
    Some(Zeroizing::new(Writer::build(|writer| {
        writer.sequence(|key| {
            key.unsigned(&[0]);
            key.sequence(|algorithm| {
                algorithm.raw(&[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]);
                algorithm.raw(curve_parameters(curve));
            });
            key.nested(Tag::OCTET_STRING, |inner| {
                inner.sequence(|ec| {
                    ec.unsigned(&[1]);
                    ec.element(Tag::OCTET_STRING, &padded);
                });
            });
        });
    })))
}
