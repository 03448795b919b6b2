//! Which attributes an object of each class and key type has: who may give them, what they are if nobody does, and how they may
//! change (PKCS #11 v3.1, 4.4 to 4.10 and 6). One table; the reference page of attributes is printed from it.

use crate::attribute::{Attribute, AttributeKind, AttributeKind as A, Class, Shape, Value};
use crate::attributes::Attributes;
use crate::error::Error;
use crate::limits::{ATTRIBUTE_BYTES_MAX, TEMPLATE_ATTRIBUTES_MAX};
use crate::mechanism::KeyType;

/// How an object comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `C_CreateObject`.
    Create,
    /// `C_GenerateKey`, `C_GenerateKeyPair`.
    Generate,
    /// `C_UnwrapKey`.
    Unwrap,
    /// `C_DeriveKey`.
    Derive,
}

/// Who may give an attribute its first value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Whoever makes the object.
    Anyone,
    /// Whoever makes it, and must when it comes from outside.
    Creator,
    /// Whoever makes it, and must when it is created or generated.
    Maker,
    /// Whoever creates it and must, nobody else.
    Part,
    /// Whoever creates it may; otherwise it follows from the key.
    CreatorMay,
    /// Must be given for a generation; otherwise it follows from the key.
    Generator,
    /// The security officer, if it is to be true.
    Officer,
    /// Nobody: it follows from the rest.
    Nobody,
}

/// How an attribute may change later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    Never,
    /// As long as the object is modifiable.
    Free,
    /// From false to true.
    Raise,
    /// From true to false.
    Lower,
    /// Not at all, but a copy may have it the other way round once: from false to true.
    RaiseInCopy,
    /// Not at all, but a copy may have it otherwise.
    InCopy,
    /// By the security officer alone.
    Officer,
}

/// What an attribute is if nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The object does not have it.
    Absent,
    /// This.
    Flag(bool),
    /// This.
    Number(u64),
    /// Bytes, numbers or a template of no length.
    Empty,
}

/// What is true of one attribute of objects of some kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which attribute.
    pub kind: AttributeKind,
    /// Who gives it.
    pub given: Given,
    /// What it is otherwise.
    pub fallback: Fallback,
    /// How it changes.
    pub change: Change,
    /// Told only of a key that is not sensitive and may leave the token.
    pub secret: bool,
}

const fn rule(kind: A, given: Given, fallback: Fallback, change: Change) -> Rule {
    Rule {
        kind,
        given,
        fallback,
        change,
        secret: false,
    }
}

/// A flag that the maker chooses.
const fn usage(kind: A, fallback: bool) -> Rule {
    rule(kind, Given::Anyone, Fallback::Flag(fallback), Change::Free)
}

/// A part of a key that is secret.
const fn secret(kind: A, given: Given) -> Rule {
    Rule {
        secret: true,
        ..rule(kind, given, Fallback::Absent, Change::Never)
    }
}

const FREE_BYTES: (Given, Fallback, Change) = (Given::Anyone, Fallback::Empty, Change::Free);

const fn bytes(kind: A) -> Rule {
    rule(kind, FREE_BYTES.0, FREE_BYTES.1, FREE_BYTES.2)
}

const fn computed(kind: A) -> Rule {
    rule(kind, Given::Nobody, Fallback::Absent, Change::Never)
}

const STORAGE: &[Rule] = &[
    rule(A::Class, Given::Creator, Fallback::Absent, Change::Never),
    rule(A::Token, Given::Anyone, Fallback::Flag(false), Change::InCopy),
    rule(A::Modifiable, Given::Anyone, Fallback::Flag(true), Change::InCopy),
    rule(A::Copyable, Given::Anyone, Fallback::Flag(true), Change::Lower),
    rule(A::Destroyable, Given::Anyone, Fallback::Flag(true), Change::Lower),
    bytes(A::Label),
    computed(A::UniqueId),
];
const PUBLIC_UNLESS_SAID: &[Rule] = &[rule(
    A::Private,
    Given::Anyone,
    Fallback::Flag(false),
    Change::RaiseInCopy,
)];
const PRIVATE_UNLESS_SAID: &[Rule] = &[rule(
    A::Private,
    Given::Anyone,
    Fallback::Flag(true),
    Change::RaiseInCopy,
)];
const DATA: &[Rule] = &[bytes(A::Application), bytes(A::ObjectId), bytes(A::Value)];
const CERTIFICATE: &[Rule] = &[
    rule(
        A::CertificateType,
        Given::Anyone,
        Fallback::Number(0),
        Change::Never,
    ),
    rule(A::Trusted, Given::Officer, Fallback::Flag(false), Change::Officer),
    rule(
        A::CertificateCategory,
        Given::Anyone,
        Fallback::Number(0),
        Change::Never,
    ),
    rule(
        A::JavaMidpSecurityDomain,
        Given::Anyone,
        Fallback::Number(0),
        Change::Never,
    ),
    rule(
        A::NameHashAlgorithm,
        Given::Anyone,
        Fallback::Number(0x220),
        Change::Never,
    ),
    rule(A::Value, Given::Creator, Fallback::Absent, Change::Never),
    rule(A::Subject, Given::Anyone, Fallback::Empty, Change::Never),
    rule(A::Issuer, Given::Anyone, Fallback::Empty, Change::Free),
    rule(A::SerialNumber, Given::Anyone, Fallback::Empty, Change::Free),
    rule(A::CheckValue, Given::Anyone, Fallback::Absent, Change::Never),
    rule(A::PublicKeyInfo, Given::Anyone, Fallback::Absent, Change::Never),
    rule(A::Url, Given::Anyone, Fallback::Empty, Change::Never),
    rule(
        A::HashOfSubjectPublicKey,
        Given::Anyone,
        Fallback::Empty,
        Change::Never,
    ),
    rule(
        A::HashOfIssuerPublicKey,
        Given::Anyone,
        Fallback::Empty,
        Change::Never,
    ),
    bytes(A::Id),
    bytes(A::StartDate),
    bytes(A::EndDate),
];
const KEY: &[Rule] = &[
    rule(A::KeyType, Given::Creator, Fallback::Absent, Change::Never),
    bytes(A::Id),
    bytes(A::StartDate),
    bytes(A::EndDate),
    computed(A::Local),
    computed(A::KeyGenMechanism),
    rule(
        A::AllowedMechanisms,
        Given::Anyone,
        Fallback::Empty,
        Change::Never,
    ),
];
const PUBLIC_KEY: &[Rule] = &[
    bytes(A::Subject),
    usage(A::Wrap, false),
    usage(A::VerifyRecover, false),
    rule(A::Trusted, Given::Officer, Fallback::Flag(false), Change::Officer),
    rule(
        A::PublicKeyInfo,
        Given::CreatorMay,
        Fallback::Absent,
        Change::Never,
    ),
    rule(A::WrapTemplate, Given::Anyone, Fallback::Empty, Change::Never),
];
const PRIVATE_KEY: &[Rule] = &[
    bytes(A::Subject),
    usage(A::Unwrap, false),
    usage(A::SignRecover, false),
    rule(
        A::PublicKeyInfo,
        Given::CreatorMay,
        Fallback::Absent,
        Change::Never,
    ),
    rule(
        A::AlwaysAuthenticate,
        Given::Anyone,
        Fallback::Flag(false),
        Change::Never,
    ),
    rule(A::UnwrapTemplate, Given::Anyone, Fallback::Empty, Change::Never),
    rule(A::DeriveTemplate, Given::Anyone, Fallback::Empty, Change::Never),
    rule(A::BirthmarkSlot, Given::Anyone, Fallback::Absent, Change::Never),
];
const SECRET_KEY: &[Rule] = &[
    usage(A::Wrap, false),
    usage(A::Unwrap, false),
    rule(A::Trusted, Given::Officer, Fallback::Flag(false), Change::Officer),
    rule(A::CheckValue, Given::Anyone, Fallback::Absent, Change::Never),
    rule(A::ValueLength, Given::Generator, Fallback::Absent, Change::Never),
    rule(A::WrapTemplate, Given::Anyone, Fallback::Empty, Change::Never),
    rule(A::UnwrapTemplate, Given::Anyone, Fallback::Empty, Change::Never),
    rule(A::DeriveTemplate, Given::Anyone, Fallback::Empty, Change::Never),
    secret(A::Value, Given::Part),
];
/// What private and secret keys have in common.
const GUARDED: &[Rule] = &[
    rule(A::Sensitive, Given::Anyone, Fallback::Flag(true), Change::Raise),
    rule(
        A::Extractable,
        Given::Anyone,
        Fallback::Flag(false),
        Change::Lower,
    ),
    rule(
        A::WrapWithTrusted,
        Given::Anyone,
        Fallback::Flag(false),
        Change::Raise,
    ),
    computed(A::AlwaysSensitive),
    computed(A::NeverExtractable),
];
const PUBLIC_CURVE: &[Rule] = &[
    rule(A::EcParams, Given::Maker, Fallback::Absent, Change::Never),
    rule(A::EcPoint, Given::Part, Fallback::Absent, Change::Never),
];
const PRIVATE_CURVE: &[Rule] = &[
    rule(A::EcParams, Given::Creator, Fallback::Absent, Change::Never),
    secret(A::Value, Given::Part),
];
const PUBLIC_RSA: &[Rule] = &[
    rule(A::Modulus, Given::Part, Fallback::Absent, Change::Never),
    rule(A::ModulusBits, Given::Generator, Fallback::Absent, Change::Never),
    rule(A::PublicExponent, Given::Creator, Fallback::Absent, Change::Never),
];
const PRIVATE_RSA: &[Rule] = &[
    rule(A::Modulus, Given::Part, Fallback::Absent, Change::Never),
    rule(
        A::PublicExponent,
        Given::CreatorMay,
        Fallback::Absent,
        Change::Never,
    ),
    secret(A::PrivateExponent, Given::Part),
    secret(A::Prime1, Given::CreatorMay),
    secret(A::Prime2, Given::CreatorMay),
    secret(A::Exponent1, Given::CreatorMay),
    secret(A::Exponent2, Given::CreatorMay),
    secret(A::Coefficient, Given::CreatorMay),
];
const SIGNS: &[Rule] = &[usage(A::Sign, true)];
const SIGNS_NOT: &[Rule] = &[usage(A::Sign, false)];
const VERIFIES: &[Rule] = &[usage(A::Verify, true)];
const VERIFIES_NOT: &[Rule] = &[usage(A::Verify, false)];
const ENCRYPTS: &[Rule] = &[usage(A::Encrypt, true)];
const ENCRYPTS_NOT: &[Rule] = &[usage(A::Encrypt, false)];
const DECRYPTS: &[Rule] = &[usage(A::Decrypt, true)];
const DECRYPTS_NOT: &[Rule] = &[usage(A::Decrypt, false)];
const DERIVES: &[Rule] = &[usage(A::Derive, true)];
const DERIVES_NOT: &[Rule] = &[usage(A::Derive, false)];
const PROFILE: &[Rule] = &[computed(A::ProfileId)];

/// The rules of one kind of object, in groups.
#[must_use]
pub fn groups(class: Class, key_type: Option<KeyType>) -> [&'static [Rule]; 10] {
    use KeyType as K;
    let none: &[Rule] = &[];
    let curve = matches!(key_type, Some(K::Ec | K::EcEdwards | K::EcMontgomery));
    let agrees_only = key_type == Some(K::EcMontgomery);
    let rsa = key_type == Some(K::Rsa);
    match class {
        Class::Data => [
            STORAGE,
            PUBLIC_UNLESS_SAID,
            DATA,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
        ],
        Class::Certificate => [
            STORAGE,
            PUBLIC_UNLESS_SAID,
            CERTIFICATE,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
        ],
        Class::Profile => [
            STORAGE,
            PUBLIC_UNLESS_SAID,
            PROFILE,
            none,
            none,
            none,
            none,
            none,
            none,
            none,
        ],
        Class::PublicKey => [
            STORAGE,
            PUBLIC_UNLESS_SAID,
            KEY,
            PUBLIC_KEY,
            if curve { PUBLIC_CURVE } else { none },
            if rsa { PUBLIC_RSA } else { none },
            if agrees_only { VERIFIES_NOT } else { VERIFIES },
            if rsa { ENCRYPTS } else { ENCRYPTS_NOT },
            DERIVES_NOT,
            none,
        ],
        Class::PrivateKey => [
            STORAGE,
            PRIVATE_UNLESS_SAID,
            KEY,
            PRIVATE_KEY,
            GUARDED,
            if curve { PRIVATE_CURVE } else { none },
            if rsa { PRIVATE_RSA } else { none },
            if agrees_only { SIGNS_NOT } else { SIGNS },
            if rsa { DECRYPTS } else { DECRYPTS_NOT },
            if agrees_only { DERIVES } else { DERIVES_NOT },
        ],
        Class::SecretKey => {
            let ciphers = key_type == Some(K::Aes);
            let agrees = key_type == Some(K::Hkdf);
            [
                STORAGE,
                PRIVATE_UNLESS_SAID,
                KEY,
                SECRET_KEY,
                GUARDED,
                if agrees { AUTHENTICATES_NOT } else { AUTHENTICATES },
                if ciphers { ENCRYPTS } else { ENCRYPTS_NOT },
                if ciphers { DECRYPTS } else { DECRYPTS_NOT },
                if agrees { DERIVES } else { DERIVES_NOT },
                none,
            ]
        }
    }
}

const AUTHENTICATES: &[Rule] = &[usage(A::Sign, true), usage(A::Verify, true)];
const AUTHENTICATES_NOT: &[Rule] = &[usage(A::Sign, false), usage(A::Verify, false)];
/// All rules of one kind of object.
pub fn all(class: Class, key_type: Option<KeyType>) -> impl Iterator<Item = &'static Rule> {
    groups(class, key_type).into_iter().flatten()
}

/// The rule of one attribute.
pub(crate) fn find(class: Class, key_type: Option<KeyType>, kind: AttributeKind) -> Option<&'static Rule> {
    all(class, key_type).find(|rule| rule.kind == kind)
}

/// Whether this attribute of this object is told only sometimes.
pub(crate) fn is_secret(attributes: &Attributes, kind: AttributeKind) -> bool {
    let Some(class) = attributes.class() else {
        return false;
    };
    let sealed = class == Class::Data && kind == A::Value;
    sealed || find(class, attributes.key_type(), kind).is_some_and(|rule| rule.secret)
}

impl Rule {
    /// What the attribute is if nobody says.
    pub(crate) fn default(&self) -> Option<Attribute<'static>> {
        let value = match (self.fallback, self.kind.shape()) {
            (Fallback::Absent, _) => return None,
            (Fallback::Flag(flag), _) => Value::Flag(flag),
            (Fallback::Number(number), _) => Value::Number(number),
            (Fallback::Empty, Shape::Numbers) => Value::Numbers([][..].into()),
            (Fallback::Empty, Shape::Template) => Value::Template([].into()),
            (Fallback::Empty, _) => Value::bytes(&[]),
        };
        Some(Attribute::new(self.kind, value))
    }
}

/// What no attribute may be.
pub(crate) fn check_value(attribute: &Attribute<'_>) -> Result<(), Error> {
    let invalid = |why| Error::AttributeValueInvalid {
        kind: attribute.kind,
        why,
    };
    match (&attribute.value, attribute.kind) {
        (Value::Bytes(bytes), _) if bytes.len() > ATTRIBUTE_BYTES_MAX => Err(invalid("it is too long")),
        (Value::Bytes(bytes), A::StartDate | A::EndDate) if !is_date(bytes) => {
            Err(invalid("a date has eight digits or none"))
        }
        (Value::Template(lines), _) if lines.len() > TEMPLATE_ATTRIBUTES_MAX => {
            Err(invalid("too many attributes in it"))
        }
        (Value::Template(lines), _) if lines.iter().any(|line| line.kind.shape() == Shape::Template) => {
            Err(invalid("a template in a template"))
        }
        _ => Ok(()),
    }
}

fn is_date(bytes: &[u8]) -> bool {
    bytes.is_empty() || (bytes.len() == 8 && bytes.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_of_object_has_two_rules_for_one_attribute() {
        let types = KeyType::ALL.iter().copied().map(Some).chain([None]);
        for key_type in types {
            for class in Class::ALL {
                let mut kinds: Vec<_> = all(*class, key_type).map(|rule| rule.kind).collect();
                let before = kinds.len();
                kinds.sort_unstable();
                kinds.dedup();
                assert_eq!(kinds.len(), before, "{class:?} {key_type:?}");
            }
        }
    }

    #[test]
    fn what_a_program_leaves_out_is_the_safe_side() {
        let default = |kind| {
            let rule = find(Class::PrivateKey, Some(KeyType::Ec), kind)?;
            rule.default()?.value.as_flag()
        };
        for (kind, wanted) in [
            (A::Private, true),
            (A::Sensitive, true),
            (A::Extractable, false),
            (A::Token, false),
            (A::Unwrap, false),
            (A::Derive, false),
        ] {
            assert_eq!(default(kind), Some(wanted), "{kind:?}");
        }
    }
}
