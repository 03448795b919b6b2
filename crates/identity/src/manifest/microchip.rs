//! The manifest that Microchip delivers with its secure elements: a JSON array of signed secure elements.
//!
//! "Trust Platform Manifest File Format" (2019): each item is a flattened JWS whose protected header names the certificate of
//! the signer (`x5t#S256`), and whose payload is one chip with its public keys. The items are independent of each other, so
//! the file has neither order nor sequence: those are the operator's.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    Entry, KeyHash, check_entry,
    jws::{Token, decode},
};
use crate::{
    CertificateId, Error,
    certificate::Certificate,
    key::{Curve, PublicKey},
};

/// The certificate of the signer that an item names: the SHA-256 of its DER.
pub fn signer_of(item: &Value) -> Result<CertificateId, Error> {
    let malformed = Error::Manifest {
        why: "an item is not a signed secure element",
    };
    let token = Token::from_value(item).ok_or_else(|| malformed.clone())?;
    let hash = token
        .header_text("x5t#S256")
        .and_then(decode)
        .ok_or_else(|| malformed.clone())?;
    hash.try_into().map(CertificateId).map_err(|_| malformed)
}

/// Verifies one item and takes the device from it: the first of its keys that has a certificate, else its first key.
pub fn open(item: &Value, signer: &Certificate) -> Result<Entry, Error> {
    if signer_of(item)? != signer.id() {
        return Err(Error::ManifestSigner);
    }
    let malformed = || Error::Manifest {
        why: "an item is not a signed secure element",
    };
    let token = Token::from_value(item).ok_or_else(malformed)?;
    let payload = token.verify(signer.public_key())?;
    let element: Value = serde_json::from_slice(&payload).map_err(|_| malformed())?;
    let text = |name: &str| element.get(name).and_then(Value::as_str);
    if element.get("version").and_then(Value::as_u64) != Some(1) {
        return Err(Error::Manifest {
            why: "a secure element is not of version 1",
        });
    }
    let unit = text("uniqueId").ok_or_else(malformed)?;
    // The copy outside of the signature is what people search for; it must not lie.
    if token
        .unprotected_text("uniqueId")
        .is_some_and(|copy| copy != unit)
    {
        return Err(Error::Manifest {
            why: "a unique id outside of the signature is another one than inside",
        });
    }
    let keys = element
        .pointer("/publicKeySet/keys")
        .and_then(Value::as_array)
        .ok_or_else(malformed)?;
    let key = keys
        .iter()
        .find(|key| key.get("x5c").is_some())
        .or_else(|| keys.first())
        .ok_or(Error::Manifest {
            why: "a secure element has no public key",
        })?;
    let (hash, certificate) = key_of(key)?;
    let mut parameters = BTreeMap::new();
    for name in ["model", "partNumber", "groupId"] {
        if let Some(value) = text(name) {
            parameters.insert(String::from(name), value.to_string());
        }
    }
    let entry = Entry {
        key: hash,
        certificate,
        unit: unit.to_string(),
        thing: None,
        parameters,
    };
    check_entry(&entry)?;
    Ok(entry)
}

/// A key of the set, and the certificate that was made for it.
fn key_of(key: &Value) -> Result<(KeyHash, Option<CertificateId>), Error> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let coordinate = |name: &str| {
        let bytes = text(name).and_then(decode);
        bytes.filter(|bytes| bytes.len() == 32).ok_or(Error::Manifest {
            why: "a coordinate of a public key is not 32 bytes in base64url",
        })
    };
    if (text("kty"), text("crv")) != (Some("EC"), Some("P-256")) {
        return Err(Error::UnsupportedKey);
    }
    let mut point = Vec::from([4]);
    point.extend(coordinate("x")?);
    point.extend(coordinate("y")?);
    let public_key = PublicKey::from_ec_point(Curve::P256, &point)?;
    let chain = key.get("x5c").and_then(Value::as_array);
    let leaf = chain.and_then(|chain| chain.first()).and_then(Value::as_str);
    let Some(leaf) = leaf else {
        return Ok((KeyHash::of(&public_key), None));
    };
    let der = STANDARD.decode(leaf).map_err(|_| Error::Manifest {
        why: "a certificate of a secure element is not base64",
    })?;
    let certificate = Certificate::parse(&der)?;
    if *certificate.public_key() != public_key {
        return Err(Error::Manifest {
            why: "a certificate of a secure element is for another key",
        });
    }
    Ok((KeyHash::of(&public_key), Some(certificate.id())))
}
