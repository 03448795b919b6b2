//! JSON Web Signatures in their flattened form (RFC 7515, 7.2.2), with the algorithms of this product's keys (RFC 7518, 3).
//!
//! Used by manifests only. The signature covers the protected header and the payload as they were sent; nothing is read from
//! the payload before it was verified. `alg` must fit the enrolled key: a token cannot choose how it is checked.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{
    Error, crypto,
    der::{Reader, Writer},
    issue::Signer,
    key::{Curve, KeyKind, PublicKey, SignatureAlgorithm},
    limits::MANIFEST_LINE_BYTES_MAX,
};

/// A token that was taken apart; nothing of it was verified yet.
#[derive(Clone, Debug)]
pub struct Token {
    protected: String,
    payload: String,
    signature: Vec<u8>,
    header: Map<String, Value>,
    unprotected: Map<String, Value>,
}

impl Token {
    /// Reads one JSON object.
    pub fn read(text: &str) -> Result<Self, Error> {
        if text.len() > MANIFEST_LINE_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "a line of a manifest",
                found: text.len(),
                limit: MANIFEST_LINE_BYTES_MAX,
            });
        }
        let malformed = Error::Manifest {
            why: "it is not a JSON web signature in the flattened form",
        };
        let value: Value = serde_json::from_str(text).map_err(|_| malformed.clone())?;
        Self::from_value(&value).ok_or(malformed)
    }

    /// Takes one JSON object apart.
    pub fn from_value(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let (protected, payload, signature) = (text("protected")?, text("payload")?, text("signature")?);
        let header: Map<String, Value> = serde_json::from_slice(&decode(protected)?).ok()?;
        let unprotected = value.get("header").and_then(Value::as_object).cloned();
        // Extensions that must be understood are not (RFC 7515, 4.1.11).
        (!header.contains_key("crit")).then_some(())?;
        Some(Self {
            protected: protected.to_string(),
            payload: payload.to_string(),
            signature: decode(signature)?,
            header,
            unprotected: unprotected.unwrap_or_default(),
        })
    }

    /// A text of the protected header.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    /// A text of the header that nobody signed.
    pub fn unprotected_text(&self, name: &str) -> Option<&str> {
        self.unprotected.get(name)?.as_str()
    }

    /// The payload, if `key` signed it.
    pub fn verify(&self, key: &PublicKey) -> Result<Vec<u8>, Error> {
        let algorithm = self
            .header_text("alg")
            .and_then(algorithm)
            .ok_or(Error::UnsupportedAlgorithm)?;
        if !algorithm.fits(key.kind()) || algorithm != natural(key.kind(), algorithm) {
            return Err(Error::UnsupportedAlgorithm);
        }
        let refused = Error::BadSignature { what: "manifest" };
        let signature = match key.kind() {
            KeyKind::Ec(curve) => to_der(curve, &self.signature).ok_or_else(|| refused.clone())?,
            KeyKind::Rsa { .. } => self.signature.clone(),
        };
        let input = format!("{}.{}", self.protected, self.payload);
        crypto::verify(key, algorithm, input.as_bytes(), &signature).map_err(|_| refused)?;
        decode(&self.payload).ok_or(Error::Manifest {
            why: "its payload is not base64url",
        })
    }
}

impl Token {
    /// The payload, whoever made it.
    pub(super) fn unverified(&self) -> Result<Vec<u8>, Error> {
        decode(&self.payload).ok_or(Error::Manifest {
            why: "its payload is not base64url",
        })
    }
}

/// Signs a payload; `header` gets the algorithm.
pub fn sign(payload: &[u8], mut header: Map<String, Value>, signer: &dyn Signer) -> Result<String, Error> {
    let algorithm = signer.algorithm();
    header.insert("alg".into(), name(algorithm).into());
    let protected = URL_SAFE_NO_PAD.encode(Value::Object(header).to_string());
    let payload = URL_SAFE_NO_PAD.encode(payload);
    let input = format!("{protected}.{payload}");
    let signature = signer.sign(input.as_bytes()).map_err(Error::Sign)?;
    let signature = match signer.public_key().kind() {
        KeyKind::Ec(curve) => from_der(curve, &signature).ok_or(Error::BadSignature { what: "manifest" })?,
        KeyKind::Rsa { .. } => signature,
    };
    let signature = URL_SAFE_NO_PAD.encode(signature);
    Ok(json!({ "protected": protected, "payload": payload, "signature": signature }).to_string())
}

/// Base64url without padding; padding is refused (RFC 7515, 2).
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

const NAMES: [(&str, SignatureAlgorithm); 6] = [
    ("ES256", SignatureAlgorithm::EcdsaSha256),
    ("ES384", SignatureAlgorithm::EcdsaSha384),
    ("ES512", SignatureAlgorithm::EcdsaSha512),
    ("RS256", SignatureAlgorithm::RsaPkcs1Sha256),
    ("RS384", SignatureAlgorithm::RsaPkcs1Sha384),
    ("RS512", SignatureAlgorithm::RsaPkcs1Sha512),
];

fn algorithm(name: &str) -> Option<SignatureAlgorithm> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, algorithm)| *algorithm)
}

fn name(algorithm: SignatureAlgorithm) -> &'static str {
    NAMES
        .iter()
        .find(|(_, known)| *known == algorithm)
        .map_or("", |(name, _)| name)
}

/// With keys on curves the algorithm names the curve as well (RFC 7518, 3.4); an RSA key may hash as it likes.
fn natural(kind: KeyKind, asked: SignatureAlgorithm) -> SignatureAlgorithm {
    match kind {
        KeyKind::Ec(_) => SignatureAlgorithm::of(kind),
        KeyKind::Rsa { .. } => asked,
    }
}

/// Two numbers of fixed length become the DER sequence of X9.62.
fn to_der(curve: Curve, raw: &[u8]) -> Option<Vec<u8>> {
    let bytes = curve.coordinate_bytes();
    if raw.len() != 2 * bytes {
        return None;
    }
    let (r, s) = raw.split_at(bytes);
    Some(Writer::build(|der| {
        der.sequence(|numbers| {
            numbers.unsigned(r);
            numbers.unsigned(s);
        });
    }))
}

fn from_der(curve: Curve, der: &[u8]) -> Option<Vec<u8>> {
    let bytes = curve.coordinate_bytes();
    let (r, s) = Reader::whole(der, |reader| {
        reader.sequence(|numbers| Ok((numbers.unsigned()?, numbers.unsigned()?)))
    })
    .ok()?;
    let mut raw = Vec::with_capacity(2 * bytes);
    for number in [r, s] {
        let short = bytes.checked_sub(number.len())?;
        raw.resize(raw.len() + short, 0);
        raw.extend_from_slice(number);
    }
    Some(raw)
}
