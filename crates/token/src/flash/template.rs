//! What a program may ask of a new object, and what the token makes of it: the one place that says which attributes there are,
//! which a program chooses and which it does not.
//!
//! A private key of this token is sensitive and never extractable, whatever a program leaves out.

use std::vec::Vec;

use identity::certificate::Certificate;
use identity::key::{Curve, PublicKey};

use super::record::Owned;
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::error::Error;
use crate::limits::FLASH_ATTRIBUTE_BYTES_MAX;
use crate::object::{curve_of_parameters, curve_parameters};

/// A new object before it has a name.
pub(super) struct Draft {
    /// What is kept in the clear.
    pub(super) attributes: Vec<Owned>,
    /// What is sealed.
    pub(super) secret: zeroize::Zeroizing<Vec<u8>>,
}

/// What a program chooses of an object of any class.
const COMMON: &[A] = &[A::Class, A::Token, A::Private, A::Label, A::Id];
const OF_PRIVATE_KEYS: &[A] = &[A::KeyType, A::Subject, A::Sign, A::Derive];
const OF_PUBLIC_KEYS: &[A] = &[A::KeyType, A::Subject, A::Verify, A::Derive];
const OF_DATA: &[A] = &[A::Application, A::ObjectId];

/// Uses that no key here has, and rules that no object here follows: a program may say so, or nothing.
const NEVER: &[A] = &[
    A::Encrypt,
    A::Decrypt,
    A::Wrap,
    A::Unwrap,
    A::SignRecover,
    A::VerifyRecover,
    A::AlwaysAuthenticate,
    A::Trusted,
    A::Modifiable,
    A::Copyable,
    A::Extractable,
];
const ALWAYS: &[A] = &[A::Sensitive, A::Destroyable];
const COMPUTED: &[A] = &[
    A::Local,
    A::AlwaysSensitive,
    A::NeverExtractable,
    A::KeyGenMechanism,
];

/// Keeps what a program may choose, refuses what it may not; `taken` are attributes that the caller looks at itself.
fn chosen(template: &[Attribute<'_>], own: &[A], taken: &[A]) -> Result<Vec<Owned>, Error> {
    let mut kept: Vec<Owned> = Vec::new();
    for attribute in template {
        let kind = attribute.kind;
        if attribute
            .value
            .as_bytes()
            .is_some_and(|bytes| bytes.len() > FLASH_ATTRIBUTE_BYTES_MAX)
        {
            return Err(Error::AttributeValueInvalid {
                kind,
                why: "it is too long",
            });
        }
        if kept.iter().any(|(known, _)| *known == kind) {
            return Err(Error::TemplateInconsistent("an attribute is there twice"));
        }
        if COMPUTED.contains(&kind) {
            return Err(Error::AttributeReadOnly);
        }
        let as_it_is = match attribute.value {
            Value::Flag(flag) => (NEVER.contains(&kind) && !flag) || (ALWAYS.contains(&kind) && flag),
            _ => false,
        };
        if COMMON.contains(&kind) || own.contains(&kind) {
            kept.push((kind, attribute.value.clone().into_owned()));
        } else if !as_it_is && !taken.contains(&kind) {
            return Err(Error::TemplateInconsistent(
                "an attribute that an object of this token can not have",
            ));
        }
    }
    Ok(kept)
}

fn set(attributes: &mut Vec<Owned>, kind: A, value: Value<'static>) {
    attributes.retain(|(known, _)| *known != kind);
    attributes.push((kind, value));
}

fn or_set(attributes: &mut Vec<Owned>, kind: A, value: Value<'static>) {
    if !attributes.iter().any(|(known, _)| *known == kind) {
        attributes.push((kind, value));
    }
}

fn value<'a>(template: &'a [Attribute<'_>], kind: A) -> Option<&'a Value<'a>> {
    template
        .iter()
        .find(|attribute| attribute.kind == kind)
        .map(|attribute| &attribute.value)
}

fn bytes<'a>(template: &'a [Attribute<'_>], kind: A) -> Result<&'a [u8], Error> {
    value(template, kind)
        .and_then(Value::as_bytes)
        .ok_or(Error::TemplateIncomplete)
}

fn expect_class(attributes: &mut Vec<Owned>, class: Class) -> Result<(), Error> {
    or_set(attributes, A::Class, Value::Number(class.number()));
    let number = Value::Number(class.number());
    let fits = attributes.iter().all(|(kind, value)| match kind {
        A::Class => *value == number,
        A::KeyType => *value == Value::Number(3),
        _ => true,
    });
    if fits {
        Ok(())
    } else {
        Err(Error::TemplateInconsistent(
            "another class or key type than this mechanism makes",
        ))
    }
}

fn ec(attributes: &mut Vec<Owned>, key: &PublicKey, curve: Curve, local: bool) {
    set(
        attributes,
        A::EcParams,
        Value::from(curve_parameters(curve).to_vec()),
    );
    // The public half, so that the private key's id and its certificate request need no other object.
    set(attributes, A::PublicKeyInfo, Value::from(key.spki_der().to_vec()));
    set(attributes, A::Local, Value::Flag(local));
}

/// The private half of a key pair, or one that came from outside.
pub(super) fn private_key(
    template: &[Attribute<'_>],
    key: &PublicKey,
    curve: Curve,
    secret: zeroize::Zeroizing<Vec<u8>>,
    local: bool,
) -> Result<Draft, Error> {
    let taken: &[A] = if local {
        &[A::EcParams]
    } else {
        &[A::EcParams, A::Value, A::EcPoint]
    };
    let mut attributes = chosen(template, OF_PRIVATE_KEYS, taken)?;
    expect_class(&mut attributes, Class::PrivateKey)?;
    or_set(&mut attributes, A::Private, Value::Flag(true));
    or_set(&mut attributes, A::Sign, Value::Flag(true));
    or_set(&mut attributes, A::Derive, Value::Flag(false));
    ec(&mut attributes, key, curve, local);
    for kind in [A::AlwaysSensitive, A::NeverExtractable] {
        set(&mut attributes, kind, Value::Flag(local));
    }
    Ok(Draft { attributes, secret })
}

/// A public key, born here or from outside.
pub(super) fn public_key(
    template: &[Attribute<'_>],
    key: &PublicKey,
    curve: Curve,
    local: bool,
) -> Result<Draft, Error> {
    let mut attributes = chosen(template, OF_PUBLIC_KEYS, &[A::EcParams, A::EcPoint])?;
    expect_class(&mut attributes, Class::PublicKey)?;
    or_set(&mut attributes, A::Verify, Value::Flag(true));
    or_set(&mut attributes, A::Derive, Value::Flag(false));
    ec(&mut attributes, key, curve, local);
    Ok(open(attributes))
}

fn open(mut attributes: Vec<Owned>) -> Draft {
    or_set(&mut attributes, A::Private, Value::Flag(false));
    Draft {
        attributes,
        secret: zeroize::Zeroizing::default(),
    }
}

/// A certificate.
pub(super) fn certificate(template: &[Attribute<'_>]) -> Result<Draft, Error> {
    let der = bytes(template, A::Value)?;
    let wrong = Error::AttributeValueInvalid {
        kind: A::Value,
        why: "it is not a certificate in DER",
    };
    Certificate::parse(der).map_err(|_| wrong)?;
    let said = [
        A::CertificateType,
        A::CertificateCategory,
        A::Subject,
        A::Issuer,
        A::SerialNumber,
        A::Value,
    ];
    let mut attributes = chosen(template, &[], &said)?;
    set(&mut attributes, A::Value, Value::from(der.to_vec()));
    Ok(open(attributes))
}

/// Bytes that a program keeps here. Private ones are sealed.
pub(super) fn data(template: &[Attribute<'_>]) -> Result<Draft, Error> {
    let content = value(template, A::Value)
        .and_then(Value::as_bytes)
        .unwrap_or_default();
    let mut draft = open(chosen(template, OF_DATA, &[A::Value])?);
    if draft.attributes.contains(&(A::Private, Value::Flag(true))) {
        draft.secret = zeroize::Zeroizing::new(content.to_vec());
    } else {
        set(&mut draft.attributes, A::Value, Value::from(content.to_vec()));
    }
    Ok(draft)
}

/// The curve that a template names.
pub(super) fn curve(template: &[Attribute<'_>]) -> Result<Curve, Error> {
    let parameters = bytes(template, A::EcParams)?;
    curve_of_parameters(parameters)
        .filter(|curve| *curve != Curve::P521)
        .ok_or(Error::CurveNotSupported)
}

/// The public key of a template: the point, in an OCTET STRING or bare.
pub(super) fn point(template: &[Attribute<'_>], curve: Curve) -> Result<PublicKey, Error> {
    let point = bytes(template, A::EcPoint)?;
    let bare = match point {
        [0x04, length, bare @ ..] if usize::from(*length) == bare.len() => bare,
        bare => bare,
    };
    let wrong = Error::AttributeValueInvalid {
        kind: A::EcPoint,
        why: "it is no uncompressed point on the curve",
    };
    PublicKey::from_ec_point(curve, bare).map_err(|_| wrong)
}

/// The private scalar of a template.
pub(super) fn scalar<'a>(template: &'a [Attribute<'_>]) -> Result<&'a [u8], Error> {
    bytes(template, A::Value)
}
