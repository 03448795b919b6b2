//! The cryptographic library (AWS-LC), seen through the types of this crate. Everything that hashes, verifies or signs in
//! software goes through here, so that another library is another file like this one.

use alloc::{string::String, vec::Vec};
use core::fmt;

use aws_lc_rs::{
    digest,
    encoding::AsDer,
    rand,
    rsa::KeySize,
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RsaKeyPair, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use zeroize::Zeroizing;

use crate::{
    Error,
    der::{Reader, Tag},
    issue::{SignError, Signer},
    key::{Curve, KeyKind, PublicKey, SignatureAlgorithm},
    name::Name,
    pem,
    request::{self, ProvenKey, Request},
};

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Fills `bytes` from the operating system's random source.
pub fn random(bytes: &mut [u8]) -> Result<(), Error> {
    rand::fill(bytes).map_err(|_| Error::Provider("draw random bytes"))
}

/// Verifies that the holder of `key` signed `message`.
pub fn verify(
    key: &PublicKey,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    let algorithm = verification(key.kind(), algorithm).ok_or(Error::UnsupportedAlgorithm)?;
    let refused = |_| Error::BadSignature { what: "message" };
    UnparsedPublicKey::new(algorithm, key.bits())
        .verify(message, signature)
        .map_err(refused)
}

/// The library's algorithm for this kind of key; `None` if they do not fit, or the key is too short to trust.
fn verification(kind: KeyKind, algorithm: SignatureAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    use SignatureAlgorithm::{
        EcdsaSha256, EcdsaSha384, EcdsaSha512, RsaPkcs1Sha256, RsaPkcs1Sha384, RsaPkcs1Sha512,
    };
    Some(match (kind, algorithm) {
        (KeyKind::Ec(Curve::P256), EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::Ec(Curve::P256), EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::Ec(Curve::P256), EcdsaSha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyKind::Ec(Curve::P384), EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::Ec(Curve::P384), EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::Ec(Curve::P384), EcdsaSha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyKind::Ec(Curve::P521), EcdsaSha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyKind::Ec(Curve::P521), EcdsaSha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyKind::Ec(Curve::P521), EcdsaSha512) => &signature::ECDSA_P521_SHA512_ASN1,
        (KeyKind::Rsa { bits: 2048..=8192 }, RsaPkcs1Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa { bits: 2048..=8192 }, RsaPkcs1Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa { bits: 2048..=8192 }, RsaPkcs1Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    })
}

/// A private key in this process's memory. It is never printed, and the library wipes it when it is dropped.
pub struct SoftwareKey {
    pair: Pair,
    public_key: PublicKey,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SoftwareKey {
    /// Makes a new key on this curve.
    pub fn generate(curve: Curve) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::generate(signing(curve)).map_err(|_| Error::Provider("generate a key"))?;
        Self::from_ec(curve, pair)
    }

    /// Makes a new RSA key of 2048, 3072, 4096 or 8192 bits.
    pub fn generate_rsa(bits: u32) -> Result<Self, Error> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            8192 => KeySize::Rsa8192,
            _ => return Err(Error::UnsupportedKey),
        };
        Self::from_rsa(RsaKeyPair::generate(size).map_err(|_| Error::Provider("generate a key"))?)
    }

    /// Reads a key from PKCS #8.
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, Error> {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(signing(curve), pkcs8) {
                return Self::from_ec(curve, pair);
            }
        }
        Self::from_rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| Error::PrivateKey)?)
    }

    /// Reads a key from PKCS #8 in PEM.
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, Error> {
        Self::from_pkcs8_der(&Zeroizing::new(pem::decode_one("PRIVATE KEY", text)?))
    }

    /// The key as PKCS #8.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let failed = |_| Error::Provider("write a private key");
        Ok(Zeroizing::new(match &self.pair {
            Pair::Ec(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Pair::Rsa(pair) => pair.as_der().map_err(failed)?.as_ref().to_vec(),
        }))
    }

    /// The key as PKCS #8 in PEM.
    pub fn pkcs8_pem(&self) -> Result<Zeroizing<String>, Error> {
        Ok(Zeroizing::new(pem::encode("PRIVATE KEY", &self.to_pkcs8_der()?)))
    }

    /// The key in the older form of its kind (`RSA PRIVATE KEY`, `EC PRIVATE KEY`), as AWS hands out its RSA keys. It is what
    /// PKCS #8 wraps; an EC key comes with its curve only inside PKCS #8, so ask for this form of RSA keys.
    pub fn traditional_pem(&self) -> Result<Zeroizing<String>, Error> {
        let label = if matches!(self.pair, Pair::Rsa(_)) {
            "RSA PRIVATE KEY"
        } else {
            return Err(Error::UnsupportedKey);
        };
        let pkcs8 = self.to_pkcs8_der()?;
        let inner = Reader::new(&pkcs8).sequence(|key| {
            key.integer()?;
            key.expect(Tag::SEQUENCE)?;
            let inner = key.octets()?;
            while !key.is_empty() {
                key.element()?;
            }
            Ok(inner)
        });
        let inner = inner.map_err(|_| Error::Provider("write a private key"))?;
        Ok(Zeroizing::new(pem::encode(label, inner)))
    }

    /// Signs a hash that was made elsewhere; only keys on curves do. The length of `hash` names the algorithm: 32, 48 or 64.
    pub fn sign_digest(&self, hash: &[u8]) -> Result<Vec<u8>, Error> {
        let Pair::Ec(pair) = &self.pair else {
            return Err(Error::UnsupportedAlgorithm);
        };
        let algorithm = match SignatureAlgorithm::of(self.public_key.kind()) {
            SignatureAlgorithm::EcdsaSha384 => &digest::SHA384,
            SignatureAlgorithm::EcdsaSha512 => &digest::SHA512,
            _ => &digest::SHA256,
        };
        let hash =
            digest::Digest::import_less_safe(hash, algorithm).map_err(|_| Error::UnsupportedAlgorithm)?;
        let signature = pair.sign_digest(&hash).map_err(|_| Error::Provider("sign"))?;
        Ok(signature.as_ref().to_vec())
    }

    /// A certification request for `subject`, signed by this key.
    pub fn request(&self, subject: &Name) -> Result<Vec<u8>, Error> {
        let tbs = request::to_be_signed(subject, &self.public_key);
        let signature = self.sign(&tbs).map_err(Error::Sign)?;
        Ok(request::assemble(&tbs, self.algorithm(), &signature))
    }

    /// The proof that this key signs: its own request, verified.
    pub fn prove(&self, subject: &Name) -> Result<ProvenKey, Error> {
        Request::parse(&self.request(subject)?)?.verify()
    }

    fn from_ec(curve: Curve, pair: EcdsaKeyPair) -> Result<Self, Error> {
        let public_key = PublicKey::from_ec_point(curve, pair.public_key().as_ref())?;
        Ok(Self {
            pair: Pair::Ec(pair),
            public_key,
        })
    }

    fn from_rsa(pair: RsaKeyPair) -> Result<Self, Error> {
        let public_key = PublicKey::from_rsa_der(pair.public_key().as_ref())?;
        Ok(Self {
            pair: Pair::Rsa(pair),
            public_key,
        })
    }
}

impl Signer for SoftwareKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::of(self.public_key.kind())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError::Fault("the cryptographic library failed".into());
        let random = rand::SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = alloc::vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareKey({})", self.public_key.kind())
    }
}

const fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        Curve::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        Curve::P521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
    }
}
