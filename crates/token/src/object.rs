//! An object of a token: a key that can be used, the public half, a certificate. It answers attributes from memory.

use core::fmt;

use identity::certificate::Certificate;
use identity::der::{Tag, Writer};
use identity::key::{Curve, KeyKind, PublicKey};

use alloc::vec::Vec;

use crate::attribute::{Attribute, AttributeKind, Class, Value};
use crate::backend::Place;
use crate::error::Error;
use crate::mechanism::Mechanism;

/// Names an object for as long as it exists; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub(crate) u32);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {}", self.0)
    }
}

/// How an object is called, and what else it answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Naming {
    /// `CKA_LABEL`.
    pub label: &'static str,
    /// Matches in a search; the attribute gives the label.
    pub alias: &'static str,
}

impl Naming {
    pub(crate) fn is(&self, label: &[u8]) -> bool {
        !label.is_empty() && (label == self.label.as_bytes() || label == self.alias.as_bytes())
    }
}

/// An object of a token.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is called.
    pub naming: Naming,
    /// Where the backend keeps it.
    pub place: Place,
    /// What it is.
    pub content: Content,
    /// What is said about it in particular, before what follows from its content.
    pub attributes: Vec<(AttributeKind, Value<'static>)>,
}

/// What a backend says about an object: all that is public.
#[derive(Clone, Debug)]
pub enum Content {
    /// A private key.
    PrivateKey {
        /// On which curve.
        curve: Curve,
        /// It may sign.
        sign: bool,
        /// It may agree on secrets.
        derive: bool,
        /// The public half. A token that can not compute it again may not know it.
        public: Option<PublicKey>,
    },
    /// A public key.
    PublicKey(PublicKey),
    /// A certificate.
    Certificate {
        /// The certificate.
        certificate: Certificate,
        /// It stands for others: a trust anchor.
        authority: bool,
    },
    /// Bytes that a program keeps.
    Data,
}

const KEY_TYPE_EC: u64 = 3;
const CERTIFICATE_X509: u64 = 0;

impl Object {
    /// What it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self.content {
            Content::PrivateKey { .. } => Class::PrivateKey,
            Content::PublicKey(_) => Class::PublicKey,
            Content::Certificate { .. } => Class::Certificate,
            Content::Data => Class::Data,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn label(&self) -> &str {
        let said = self.said(AttributeKind::Label).and_then(Value::as_bytes);
        said.and_then(|label| core::str::from_utf8(label).ok())
            .unwrap_or(self.naming.label)
    }

    fn said(&self, kind: AttributeKind) -> Option<&Value<'static>> {
        let mut all = self.attributes.iter();
        all.find(|(known, _)| *known == kind).map(|(_, value)| value)
    }

    /// Whether this is the object that `other` was when it was loaded before.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let der = |object: &Self| object.certificate().map(|certificate| certificate.der().to_vec());
        self.place == other.place
            && self.class() == other.class()
            && self.public_key() == other.public_key()
            && der(self) == der(other)
    }

    /// The certificate, if it is one.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Certificate> {
        match &self.content {
            Content::Certificate { certificate, .. } => Some(certificate),
            _ => None,
        }
    }

    /// The public key of a key or of a certificate, as far as it is known.
    #[must_use]
    pub fn public_key(&self) -> Option<&PublicKey> {
        match &self.content {
            Content::PrivateKey { public, .. } => public.as_ref(),
            Content::PublicKey(key) => Some(key),
            Content::Certificate { certificate, .. } => Some(certificate.public_key()),
            Content::Data => None,
        }
    }

    /// Whether only the logged-in user may see it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.attribute(AttributeKind::Private) == Ok(Value::Flag(true))
    }

    /// The value of one attribute.
    pub fn attribute(&self, kind: AttributeKind) -> Result<Value<'_>, Error> {
        if let Some(value) = self.said(kind) {
            return Ok(value.clone());
        }
        if let Some(value) = self.common(kind) {
            return Ok(value);
        }
        let value = match &self.content {
            Content::PrivateKey { .. } if kind == AttributeKind::Value => {
                return Err(Error::AttributeSensitive(kind));
            }
            Content::PrivateKey {
                curve, sign, derive, ..
            } => private_key(*curve, *sign, *derive, kind),
            Content::PublicKey(key) => public_key(key, kind),
            Content::Certificate {
                certificate,
                authority,
            } => attribute_of_certificate(certificate, *authority, kind),
            // The value of private data is sealed as long as nobody is logged in, but then the object is not seen either.
            Content::Data => None,
        };
        value.ok_or(Error::AttributeTypeInvalid(kind))
    }

    /// What every object has, or what comes from its public key.
    fn common(&self, kind: AttributeKind) -> Option<Value<'_>> {
        use AttributeKind as A;
        Some(match kind {
            A::Class => Value::Number(self.class().number()),
            A::Token | A::Modifiable | A::Destroyable => Value::Flag(true),
            A::Private | A::Copyable => Value::Flag(false),
            A::Label => Value::text(self.naming.label),
            A::Id => key_id(self.public_key()?)?,
            A::PublicKeyInfo => Value::bytes(self.public_key()?.spki_der()),
            _ => return None,
        })
    }

    /// Whether the object has every attribute of the template with exactly that value. A label may also be the alias.
    #[must_use]
    pub fn matches(&self, template: &[Attribute<'_>]) -> bool {
        template.iter().all(|wanted| match (&wanted.kind, &wanted.value) {
            (AttributeKind::Label, Value::Bytes(label)) => {
                self.label().as_bytes() == &**label || self.naming.is(label)
            }
            (kind, value) => self.attribute(*kind).is_ok_and(|found| found == *value),
        })
    }
}

/// One number for a private key, its public key and its certificate: the left 160 bits of the SHA-256 of the point (RFC 7093,
/// method 1), where older tokens use SHA-1.
#[cfg(feature = "std")]
fn key_id(key: &PublicKey) -> Option<Value<'static>> {
    Some(key.key_id().to_vec().into())
}

#[cfg(not(feature = "std"))]
const fn key_id(_: &PublicKey) -> Option<Value<'static>> {
    None
}

fn private_key(curve: Curve, sign: bool, derive: bool, kind: AttributeKind) -> Option<Value<'static>> {
    use AttributeKind as A;
    Some(match kind {
        A::KeyType => Value::Number(KEY_TYPE_EC),
        A::Sign => Value::Flag(sign),
        A::Derive => Value::Flag(derive),
        A::Sensitive | A::AlwaysSensitive | A::NeverExtractable | A::Local => Value::Flag(true),
        A::Extractable | A::AlwaysAuthenticate | A::Decrypt | A::Unwrap | A::SignRecover => {
            Value::Flag(false)
        }
        A::KeyGenMechanism => Value::Number(Mechanism::EcKeyPairGen.number()),
        A::EcParams => Value::bytes(curve_parameters(curve)),
        _ => return None,
    })
}

fn public_key(key: &PublicKey, kind: AttributeKind) -> Option<Value<'static>> {
    use AttributeKind as A;
    Some(match kind {
        A::KeyType => Value::Number(KEY_TYPE_EC),
        A::Verify | A::Local => Value::Flag(true),
        A::Derive | A::Trusted | A::Encrypt | A::Wrap | A::VerifyRecover => Value::Flag(false),
        A::KeyGenMechanism => Value::Number(Mechanism::EcKeyPairGen.number()),
        A::EcParams => match key.kind() {
            KeyKind::Ec(curve) => Value::bytes(curve_parameters(curve)),
            KeyKind::Rsa { .. } => return None,
        },
        A::EcPoint => {
            let point = key.ec_point()?;
            Writer::build(|writer| writer.element(Tag::OCTET_STRING, point)).into()
        }
        _ => return None,
    })
}

fn attribute_of_certificate(
    certificate: &Certificate,
    authority: bool,
    kind: AttributeKind,
) -> Option<Value<'_>> {
    use AttributeKind as A;
    Some(match kind {
        A::Value => Value::bytes(certificate.der()),
        A::CertificateType => Value::Number(CERTIFICATE_X509),
        A::CertificateCategory => Value::Number(if authority { 2 } else { 1 }),
        A::Trusted => Value::Flag(authority),
        A::Subject => Value::bytes(certificate.subject().der()),
        A::Issuer => Value::bytes(certificate.issuer().der()),
        A::SerialNumber => Writer::build(|writer| writer.element(Tag::INTEGER, certificate.serial())).into(),
        _ => return None,
    })
}

/// The named curve as PKCS #11 wants it: its object identifier in DER (RFC 5480 2.1.1.1).
#[cfg(feature = "std")]
pub(crate) fn curve_of_parameters(parameters: &[u8]) -> Option<Curve> {
    let mut all = [Curve::P256, Curve::P384, Curve::P521].into_iter();
    all.find(|curve| curve_parameters(*curve) == parameters)
}

pub(crate) const fn curve_parameters(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07],
        Curve::P384 => &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22],
        Curve::P521 => &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23],
    }
}
