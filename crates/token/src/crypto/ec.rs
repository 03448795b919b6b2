//! Keys on the curves of FIPS 186-5, in memory: signatures with them, and secrets agreed on.

use std::sync::OnceLock;
use std::vec::Vec;

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair as _, ParsedPublicKey, UnparsedPublicKey,
};
use identity::key::{Curve, PublicKey};
use zeroize::Zeroizing;

use super::{LIBRARY, fill, pkcs8};
use crate::attribute::AttributeKind;
use crate::error::Error;

const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];
/// The longest digest that is signed. Longer ones only exist as raw input; P-521 would use two bytes more of it.
const SIGNED_BYTES_MAX: usize = 64;

/// A private key and its public half.
pub struct EcPrivate {
    pair: EcdsaKeyPair,
    curve: Curve,
    public: PublicKey,
    /// The same key as the library's other half takes it; made when it is first agreed with.
    agreeing: OnceLock<agreement::PrivateKey>,
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
        let pkcs8 = pkcs8::write_ec(curve, scalar).ok_or(WRONG)?;
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
        Ok(Self {
            pair,
            curve,
            public,
            agreeing: OnceLock::new(),
        })
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
        pkcs8::write_ec(self.curve, &self.scalar()?).ok_or(LIBRARY)
    }

    /// The number alone, as long as the curve (`CKA_VALUE`).
    pub fn scalar(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let scalar = self.pair.private_key().as_be_bytes().map_err(|_| LIBRARY)?;
        Ok(Zeroizing::new(scalar.as_ref().to_vec()))
    }

    /// Signs a digest of any length: what exceeds the curve is cut on the right (FIPS 186-5, 6.4.1). Writes `r ‖ s`, both of
    /// the curve's size, and says how many bytes.
    pub fn sign_digest(&self, digest: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let bytes = signature_bytes(self.curve);
        if out.len() < bytes {
            return Err(Error::BufferTooSmall { needed: bytes });
        }
        let digest = fitted(self.curve, digest)?;
        let signature = self.pair.sign_digest(&digest).map_err(|_| LIBRARY)?;
        fill(out, signature.as_ref())
    }

    /// Agrees with another's public point on a secret: the X coordinate, as long as the curve.
    pub fn agree(&self, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        if !is_point(self.curve, point) {
            return Err(Error::MechanismParameterInvalid);
        }
        let own = self.agreeing()?;
        let peer = agreement::UnparsedPublicKey::new(own.algorithm(), point);
        agreement::agree(own, peer, Error::MechanismParameterInvalid, |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })
    }

    fn agreeing(&self) -> Result<&agreement::PrivateKey, Error> {
        if let Some(key) = self.agreeing.get() {
            return Ok(key);
        }
        let algorithm = match self.curve {
            Curve::P256 => &ECDH_P256,
            Curve::P384 => &ECDH_P384,
            Curve::P521 => &ECDH_P521,
        };
        let key = agreement::PrivateKey::from_private_key(algorithm, &self.scalar()?).map_err(|_| LIBRARY)?;
        Ok(self.agreeing.get_or_init(|| key))
    }
}

/// Whether this has the shape of a point, whole or compressed (SEC 1, 2.3.3). The library would also read documents.
fn is_point(curve: Curve, point: &[u8]) -> bool {
    let bytes = curve.coordinate_bytes();
    match point.first() {
        Some(4) => point.len() == 1 + 2 * bytes,
        Some(2 | 3) => point.len() == 1 + bytes,
        _ => false,
    }
}

/// A public key.
pub struct EcPublic {
    parsed: ParsedPublicKey,
    curve: Curve,
    public: PublicKey,
}

impl EcPublic {
    /// From a point (SEC 1, 2.3.4); it must lie on the curve.
    pub fn new(curve: Curve, point: &[u8]) -> Result<Self, Error> {
        let public = PublicKey::from_ec_point(curve, point).map_err(|_| WRONG_POINT)?;
        Self::of(public, curve)
    }

    pub(crate) fn of(public: PublicKey, curve: Curve) -> Result<Self, Error> {
        let algorithm: &'static EcdsaVerificationAlgorithm = match curve {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED,
            Curve::P521 => &ECDSA_P521_SHA512_FIXED,
        };
        let parsed = UnparsedPublicKey::new(algorithm, public.bits()).parse();
        let parsed = parsed.map_err(|_| WRONG_POINT)?;
        Ok(Self {
            parsed,
            curve,
            public,
        })
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The key as a document.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Verifies `r ‖ s` over a digest of any length.
    pub fn verify_digest(&self, digest: &[u8], signature: &[u8]) -> Result<(), Error> {
        if signature.len() != signature_bytes(self.curve) {
            return Err(Error::SignatureLengthRange);
        }
        let digest = fitted(self.curve, digest)?;
        let verified = self.parsed.verify_digest_sig(&digest, signature);
        verified.map_err(|_| Error::SignatureInvalid)
    }
}

/// Bytes of `r ‖ s`.
pub(crate) const fn signature_bytes(curve: Curve) -> usize {
    2 * curve.coordinate_bytes()
}

const WRONG: Error = Error::AttributeValueInvalid {
    kind: AttributeKind::Value,
    why: "it is no private key on this curve",
};
const WRONG_POINT: Error = Error::AttributeValueInvalid {
    kind: AttributeKind::EcPoint,
    why: "it is no point on this curve",
};

fn algorithm(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

/// A digest as the number that is signed on this curve: cut on the right, zeros on the left.
pub(crate) fn fitted(curve: Curve, digest: &[u8]) -> Result<Digest, Error> {
    let (algorithm, bytes) = match curve {
        Curve::P256 => (&digest::SHA256, 32),
        Curve::P384 => (&digest::SHA384, 48),
        Curve::P521 if digest.len() > SIGNED_BYTES_MAX => {
            return Err(Error::DataLengthRange { found: digest.len() });
        }
        Curve::P521 => (&digest::SHA512, SIGNED_BYTES_MAX),
    };
    let used = digest.get(..bytes).unwrap_or(digest);
    let mut padded = [0; SIGNED_BYTES_MAX];
    let padded = padded.get_mut(..bytes).unwrap_or_default();
    fill(padded.get_mut(bytes - used.len()..).unwrap_or_default(), used)?;
    Digest::import_less_safe(padded, algorithm).map_err(|_| LIBRARY)
}
