//! Between attributes and keys: what a program gave becomes a parsed key, and a key says which attributes follow from it.

use std::boxed::Box;
use std::sync::Arc;

use identity::key::{Curve, PublicKey};

use crate::attribute::{AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::crypto::{EcPrivate, Key, curve_of_parameters};
use crate::error::Error;
use crate::mechanism::KeyType;
use crate::template::Wanted;

/// The key that a program brings from outside.
pub(crate) fn import(wanted: &Wanted) -> Result<Key, Error> {
    match (wanted.class, wanted.key_type) {
        (Class::PublicKey, Some(KeyType::Ec)) => Key::from_public(public_point(&wanted.attributes)?),
        (Class::PrivateKey, Some(KeyType::Ec)) => {
            let scalar = wanted.part(A::Value).ok_or(Error::TemplateIncomplete)?;
            EcPrivate::from_scalar(curve(&wanted.attributes)?, scalar)
                .map(|key| Key::EcPrivate(Box::new(key)))
        }
        _ => Err(Error::AttributeValueInvalid {
            kind: A::KeyType,
            why: "keys of this type do not come from outside",
        }),
    }
}

/// The curve that a template names.
pub(crate) fn curve(attributes: &Attributes) -> Result<Curve, Error> {
    let parameters = attributes.bytes(A::EcParams).ok_or(Error::TemplateIncomplete)?;
    curve_of_parameters(parameters).ok_or(Error::CurveNotSupported)
}

/// The public key of a template: the point, in an OCTET STRING or bare.
fn public_point(attributes: &Attributes) -> Result<PublicKey, Error> {
    let curve = curve(attributes)?;
    let point = attributes.bytes(A::EcPoint).ok_or(Error::TemplateIncomplete)?;
    let bare = match point {
        [0x04, length @ 0..=0x7F, bare @ ..] if usize::from(*length) == bare.len() => bare,
        [0x04, 0x81, length, bare @ ..] if usize::from(*length) == bare.len() => bare,
        bare => bare,
    };
    PublicKey::from_ec_point(curve, bare).map_err(|_| Error::AttributeValueInvalid {
        kind: A::EcPoint,
        why: "it is no uncompressed point on the curve",
    })
}

/// Adds what follows from the key.
pub(crate) fn describe(key: &Key, attributes: &mut Attributes) {
    let public = match key {
        Key::EcPrivate(key) => key.public(),
        Key::EcPublic(key) => key.public(),
        _ => return,
    };
    // A point that came bare, or with bytes too many, is told as the standard wants it.
    attributes.remove(A::EcPoint);
    attributes.set(A::PublicKeyInfo, Value::from(public.spki_der().to_vec()));
}

/// The key of an object that has nothing to hide.
pub(crate) fn public(attributes: &Attributes) -> Result<Arc<Key>, Error> {
    let info = attributes
        .bytes(A::PublicKeyInfo)
        .ok_or(Error::KeyHandleInvalid)?;
    let key = PublicKey::from_spki_der(info).map_err(|_| Error::KeyHandleInvalid)?;
    Key::from_public(key).map(Arc::new)
}
