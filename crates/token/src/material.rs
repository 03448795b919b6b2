//! Between attributes and keys: what a program gave becomes a parsed key, and a key says which attributes follow from it.

use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use identity::key::{Curve, PublicKey};
use zeroize::Zeroizing;

use crate::attribute::{AttributeKind, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::crypto::{
    EcPrivate, Ed25519Private, Ed25519Public, Encrypt, Key, PairKind, RsaParts, RsaPrivate, RsaPublic,
    Secret, X25519Private, X25519Public, curve_of_parameters,
};
use crate::error::Error;
use crate::mechanism::{KeyType, Mechanism};
use crate::object::computed::octet_string;
use crate::template::Wanted;

const NO_PUBLIC: Error = Error::AttributeValueInvalid {
    kind: A::EcPoint,
    why: "it is no uncompressed point on the curve",
};
const TYPE: Error = Error::AttributeValueInvalid {
    kind: A::KeyType,
    why: "there are no keys of this class and type",
};

/// A public key of Ed25519 or X25519 (RFC 8032, 5.1.5; RFC 7748, 5).
const POINT_25519_BYTES: usize = 32;

// From outside.

/// The key that a program brings.
pub(crate) fn import(wanted: &Wanted) -> Result<Key, Error> {
    match wanted.class {
        Class::PublicKey => public(&wanted.attributes),
        Class::PrivateKey => private(wanted),
        Class::SecretKey => {
            let value = wanted.part(A::Value).ok_or(Error::TemplateIncomplete)?;
            secret(wanted.key_type, wanted.attributes.number(A::ValueLength), value)
        }
        _ => Err(TYPE),
    }
}

/// A secret key of this type. A length that was said must be the right one.
pub(crate) fn secret(key_type: Option<KeyType>, said: Option<u64>, value: &[u8]) -> Result<Key, Error> {
    if said.is_some_and(|said| said != value.len() as u64) {
        return Err(Error::TemplateInconsistent(
            "a length that the value does not have",
        ));
    }
    if key_type == Some(KeyType::Aes) && !matches!(value.len(), 16 | 24 | 32) {
        return Err(Error::AttributeValueInvalid {
            kind: A::Value,
            why: "an AES key has 16, 24 or 32 bytes",
        });
    }
    Secret::new(value)
        .map(Key::Secret)
        .map_err(|_| Error::AttributeValueInvalid {
            kind: A::Value,
            why: "a secret key has at least one byte, and no more than HKDF can give",
        })
}

fn private(wanted: &Wanted) -> Result<Key, Error> {
    let value = || wanted.part(A::Value).ok_or(Error::TemplateIncomplete);
    match wanted.key_type {
        Some(KeyType::Ec) => {
            let key = EcPrivate::from_scalar(curve(&wanted.attributes)?, value()?)?;
            Ok(Key::EcPrivate(Box::new(key)))
        }
        Some(KeyType::EcEdwards) => {
            check_parameters(&wanted.attributes, EDWARDS)?;
            Ed25519Private::from_seed(value()?).map(Key::Ed25519Private)
        }
        Some(KeyType::EcMontgomery) => {
            check_parameters(&wanted.attributes, MONTGOMERY)?;
            X25519Private::from_scalar(value()?).map(Key::X25519Private)
        }
        Some(KeyType::Rsa) => {
            let key = RsaPrivate::from_parts(&rsa_parts(wanted))?;
            Ok(Key::RsaPrivate(Box::new(key)))
        }
        _ => Err(TYPE),
    }
}

fn rsa_parts(wanted: &Wanted) -> RsaParts {
    let open = |kind| wanted.attributes.bytes(kind).unwrap_or_default().to_vec();
    let sealed = |kind| Zeroizing::new(wanted.part(kind).unwrap_or_default().to_vec());
    RsaParts {
        modulus: open(A::Modulus),
        public_exponent: open(A::PublicExponent),
        private_exponent: sealed(A::PrivateExponent),
        prime_1: sealed(A::Prime1),
        prime_2: sealed(A::Prime2),
        exponent_1: sealed(A::Exponent1),
        exponent_2: sealed(A::Exponent2),
        coefficient: sealed(A::Coefficient),
    }
}

/// The public key that these attributes describe.
pub(crate) fn public(attributes: &Attributes) -> Result<Key, Error> {
    match attributes.key_type() {
        Some(KeyType::Ec) => {
            let key = match attributes.bytes(A::EcPoint) {
                Some(point) => {
                    let curve = curve(attributes)?;
                    let point = bare(point, 1 + 2 * curve.coordinate_bytes());
                    PublicKey::from_ec_point(curve, point).map_err(|_| NO_PUBLIC)?
                }
                None => info(attributes)?,
            };
            Key::from_public(key)
        }
        Some(KeyType::EcEdwards) => {
            check_parameters(attributes, EDWARDS)?;
            let point = bare(point(attributes)?, POINT_25519_BYTES);
            Ok(Key::Ed25519Public(Box::new(Ed25519Public::new(point)?)))
        }
        Some(KeyType::EcMontgomery) => {
            check_parameters(attributes, MONTGOMERY)?;
            X25519Public::new(bare(point(attributes)?, POINT_25519_BYTES)).map(Key::X25519Public)
        }
        Some(KeyType::Rsa) => {
            let part = |kind| attributes.bytes(kind).ok_or(Error::TemplateIncomplete);
            let key = RsaPublic::new(part(A::Modulus)?, part(A::PublicExponent)?)?;
            Ok(Key::RsaPublic(Box::new(key)))
        }
        _ => Err(TYPE),
    }
}

fn info(attributes: &Attributes) -> Result<PublicKey, Error> {
    let info = attributes
        .bytes(A::PublicKeyInfo)
        .ok_or(Error::TemplateIncomplete)?;
    PublicKey::from_spki_der(info).map_err(|_| NO_PUBLIC)
}

fn point(attributes: &Attributes) -> Result<&[u8], Error> {
    attributes.bytes(A::EcPoint).ok_or(Error::TemplateIncomplete)
}

/// A point out of its OCTET STRING, or as it came if it has the length of a bare one: the first coordinate of such a one may look like the
/// length of an OCTET STRING.
fn bare(point: &[u8], bare_bytes: usize) -> &[u8] {
    match point {
        point if point.len() == bare_bytes => point,
        [0x04, length @ 0..=0x7F, bare @ ..] if usize::from(*length) == bare.len() => bare,
        [0x04, 0x81, length, bare @ ..] if usize::from(*length) == bare.len() => bare,
        bare => bare,
    }
}

// Curves and sizes that templates name.

/// The curve of FIPS 186-5 that a template names.
pub(crate) fn curve(attributes: &Attributes) -> Result<Curve, Error> {
    let parameters = attributes.bytes(A::EcParams).ok_or(Error::TemplateIncomplete)?;
    curve_of_parameters(parameters).ok_or(Error::CurveNotSupported)
}

/// Names of the curve of Ed25519: RFC 8410's, PKCS #11's, and the one that older programs use.
const EDWARDS: &[&[u8]] = &[
    &[0x06, 0x03, 0x2B, 0x65, 0x70],
    b"\x13\x0Cedwards25519",
    &[0x06, 0x09, 0x2B, 0x06, 0x01, 0x04, 0x01, 0xDA, 0x47, 0x0F, 0x01],
];
/// The name of the curve as OpenSC 0.23 writes it, one byte longer than it is.
const MISCOUNTED: &[u8] = b"\x13\x0Bcurve25519";

/// The same for X25519.
const MONTGOMERY: &[&[u8]] = &[
    &[0x06, 0x03, 0x2B, 0x65, 0x6E],
    b"\x13\x0Acurve25519",
    &[
        0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01,
    ],
    MISCOUNTED,
];

fn check_parameters(attributes: &Attributes, names: &[&[u8]]) -> Result<(), Error> {
    let parameters = attributes.bytes(A::EcParams).ok_or(Error::TemplateIncomplete)?;
    if names.contains(&parameters) {
        Ok(())
    } else {
        Err(Error::CurveNotSupported)
    }
}

/// What pair a template asks this mechanism for.
pub(crate) fn pair_kind(mechanism: &Mechanism, public: &Attributes) -> Result<PairKind, Error> {
    match mechanism {
        Mechanism::EcKeyPairGen => curve(public).map(PairKind::Ec),
        Mechanism::EdwardsKeyPairGen => {
            check_parameters(public, EDWARDS)?;
            Ok(PairKind::Ed25519)
        }
        Mechanism::MontgomeryKeyPairGen => {
            check_parameters(public, MONTGOMERY)?;
            Ok(PairKind::X25519)
        }
        Mechanism::RsaKeyPairGen => {
            let bits = public.number(A::ModulusBits).ok_or(Error::TemplateIncomplete)?;
            Ok(PairKind::Rsa {
                bits: usize::try_from(bits).map_err(|_| Error::KeySizeRange)?,
                public_exponent: public.bytes(A::PublicExponent).unwrap_or(&[1, 0, 1]).to_vec(),
            })
        }
        other => Err(Error::MechanismInvalid(other.kind())),
    }
}

// What follows from a key.

/// Adds the attributes that follow from the key; what a program said about the same must be right.
pub(crate) fn describe(key: &Key, attributes: &mut Attributes) -> Result<(), Error> {
    let is_public = attributes.class() == Some(Class::PublicKey);
    if let Some(info) = key.spki_der()? {
        must_be(attributes, A::PublicKeyInfo, Value::from(info))?;
    }
    match key {
        Key::EcPrivate(_) | Key::EcPublic(_) => {
            // A point that came bare is told as the standard wants it: it follows from the key's document.
            attributes.remove(A::EcPoint);
        }
        Key::Ed25519Private(key) => curve_25519(attributes, key.public(), is_public),
        Key::Ed25519Public(key) => curve_25519(attributes, key.public(), is_public),
        Key::X25519Private(key) => curve_25519(attributes, key.public(), is_public),
        Key::X25519Public(key) => curve_25519(attributes, key.public(), is_public),
        Key::RsaPrivate(key) => rsa(attributes, key.modulus(), key.public_exponent(), is_public),
        Key::RsaPublic(key) => rsa(attributes, key.modulus(), key.public_exponent(), is_public),
        Key::Secret(secret) => {
            attributes.set(A::ValueLength, Value::Number(secret.bytes() as u64));
            let check = check_value(attributes.key_type(), secret)?;
            match attributes.bytes(A::CheckValue) {
                // An empty one says that none is wanted.
                Some([]) => {}
                _ => must_be(attributes, A::CheckValue, Value::from(check))?,
            }
        }
        Key::Hardware { .. } => {}
        Key::HardwareSecret(secret) => {
            attributes.set(A::ValueLength, Value::Number(secret.bytes() as u64));
        }
    }
    Ok(())
}

fn must_be(attributes: &mut Attributes, kind: AttributeKind, value: Value<'static>) -> Result<(), Error> {
    if attributes.value(kind).is_some_and(|said| *said != value) {
        return Err(Error::AttributeValueInvalid {
            kind,
            why: "the key says otherwise",
        });
    }
    attributes.set(kind, value);
    Ok(())
}

fn curve_25519(attributes: &mut Attributes, point: &[u8], is_public: bool) {
    if attributes.bytes(A::EcParams) == Some(MISCOUNTED) {
        attributes.set(A::EcParams, Value::bytes(b"\x13\x0Acurve25519"));
    }
    if is_public {
        attributes.set(A::EcPoint, Value::from(octet_string(point)));
    }
    if attributes.bytes(A::Id).unwrap_or_default().is_empty() {
        let hash = digest(&aws_lc_rs::digest::SHA256, point);
        let id = hash.as_ref().get(..20).unwrap_or_default();
        attributes.set(A::Id, Value::from(id.to_vec()));
    }
}

fn rsa(attributes: &mut Attributes, modulus: &[u8], exponent: &[u8], is_public: bool) {
    attributes.set(A::Modulus, Value::from(modulus.to_vec()));
    attributes.set(A::PublicExponent, Value::from(exponent.to_vec()));
    if is_public {
        let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros());
        let bits = (modulus.len() as u64) * 8 - u64::from(zeros);
        attributes.set(A::ModulusBits, Value::Number(bits));
    }
}

/// Three bytes by which a secret key is recognized: of AES a block of zeros encrypted, of others their SHA-1 (PKCS #11 v3.1,
/// 4.10.2).
fn check_value(key_type: Option<KeyType>, secret: &Secret) -> Result<Vec<u8>, Error> {
    let mut block = std::vec![0; 16];
    if key_type == Some(KeyType::Aes) {
        let key = Arc::new(Key::Secret(Secret::new(secret.value())?));
        Encrypt::new(&Mechanism::AesEcb, &key)?.once(&[0; 16], &mut block)?;
    } else {
        block = digest(&SHA1_FOR_LEGACY_USE_ONLY, secret.value())
            .as_ref()
            .to_vec();
    }
    block.truncate(3);
    Ok(block)
}

/// A part of a key that may leave the token.
pub(crate) fn part(key: &Key, kind: AttributeKind) -> Result<Zeroizing<Vec<u8>>, Error> {
    match (key, kind) {
        (Key::Secret(secret), A::Value) => Ok(Zeroizing::new(secret.value().to_vec())),
        (Key::EcPrivate(key), A::Value) => key.scalar(),
        (Key::Ed25519Private(key), A::Value) => key.seed(),
        (Key::X25519Private(key), A::Value) => key.scalar(),
        (Key::RsaPrivate(key), _) => {
            let parts = key.parts()?;
            Ok(match kind {
                A::PrivateExponent => parts.private_exponent,
                A::Prime1 => parts.prime_1,
                A::Prime2 => parts.prime_2,
                A::Exponent1 => parts.exponent_1,
                A::Exponent2 => parts.exponent_2,
                A::Coefficient => parts.coefficient,
                _ => return Err(Error::AttributeTypeInvalid(kind)),
            })
        }
        _ => Err(Error::AttributeSensitive(kind)),
    }
}

/// A key as it was kept, from its class and what [`Key::secret`] gave.
pub(crate) fn kept(class: Class, secret: &[u8]) -> Result<Key, Error> {
    match class {
        Class::SecretKey => Secret::new(secret).map(Key::Secret),
        _ => Key::from_pkcs8(secret),
    }
}

/// Which type of key this is.
pub(crate) const fn key_type(key: &Key) -> Option<KeyType> {
    Some(match key {
        Key::EcPrivate(_) | Key::EcPublic(_) | Key::Hardware { .. } => KeyType::Ec,
        Key::Ed25519Private(_) | Key::Ed25519Public(_) => KeyType::EcEdwards,
        Key::X25519Private(_) | Key::X25519Public(_) => KeyType::EcMontgomery,
        Key::RsaPrivate(_) | Key::RsaPublic(_) => KeyType::Rsa,
        Key::Secret(_) | Key::HardwareSecret(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_point_is_not_taken_for_an_octet_string() {
        // 0x3F is what is left of 65 bytes behind two.
        let mut point = std::vec![0x7A; 65];
        (point[0], point[1]) = (0x04, 0x3F);
        assert_eq!(bare(&point, 65), &point[..]);
        let wrapped = [&[0x04, 65][..], &point].concat();
        assert_eq!(bare(&wrapped, 65), &point[..]);
        let mut long = std::vec![0x7A; 133];
        (long[0], long[1], long[2]) = (0x04, 0x81, 130);
        assert_eq!(bare(&long, 133), &long[..]);
    }
}
