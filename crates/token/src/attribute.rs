//! What can be asked about an object, and how it is answered: the `CKA_` and `CKO_` part of PKCS #11's vocabulary.

use alloc::borrow::Cow;
use alloc::vec::Vec;

/// The kind of an object (`CKA_CLASS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `CKO_DATA`.
    Data,
    /// `CKO_CERTIFICATE`.
    Certificate,
    /// `CKO_PUBLIC_KEY`.
    PublicKey,
    /// `CKO_PRIVATE_KEY`.
    PrivateKey,
}

impl Class {
    /// The number in the standard.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Data => 0,
            Self::Certificate => 1,
            Self::PublicKey => 2,
            Self::PrivateKey => 3,
        }
    }
}

macro_rules! attribute_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What can be asked about an object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AttributeKind {
            $($(#[$doc])* $name,)*
        }

        impl AttributeKind {
            /// All that this crate knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number in the standard.
            #[must_use]
            pub const fn number(self) -> u64 {
                match self {
                    $(Self::$name => $number,)*
                }
            }

            /// From the number in the standard; `None` for what this crate does not know.
            #[must_use]
            pub const fn from_number(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

attribute_kinds! {
    /// `CKA_CLASS`.
    Class = 0x000,
    /// `CKA_TOKEN`.
    Token = 0x001,
    /// `CKA_PRIVATE`: only visible after login. The chip has no PIN, so nothing is.
    Private = 0x002,
    /// `CKA_LABEL`.
    Label = 0x003,
    /// `CKA_APPLICATION`.
    Application = 0x010,
    /// `CKA_VALUE`: of a certificate its DER; of a private key never.
    Value = 0x011,
    /// `CKA_OBJECT_ID`, DER.
    ObjectId = 0x012,
    /// `CKA_CERTIFICATE_TYPE`: always X.509.
    CertificateType = 0x080,
    /// `CKA_ISSUER`, DER.
    Issuer = 0x081,
    /// `CKA_SERIAL_NUMBER`, a DER INTEGER.
    SerialNumber = 0x082,
    /// `CKA_TRUSTED`.
    Trusted = 0x086,
    /// `CKA_CERTIFICATE_CATEGORY`: 1 the token's user, 2 an authority.
    CertificateCategory = 0x087,
    /// `CKA_KEY_TYPE`: always an elliptic curve.
    KeyType = 0x100,
    /// `CKA_SUBJECT`, DER.
    Subject = 0x101,
    /// `CKA_ID`: the same for a private key, its public key and its certificate.
    Id = 0x102,
    /// `CKA_SENSITIVE`.
    Sensitive = 0x103,
    /// `CKA_ENCRYPT`.
    Encrypt = 0x104,
    /// `CKA_DECRYPT`.
    Decrypt = 0x105,
    /// `CKA_WRAP`.
    Wrap = 0x106,
    /// `CKA_UNWRAP`.
    Unwrap = 0x107,
    /// `CKA_SIGN`.
    Sign = 0x108,
    /// `CKA_SIGN_RECOVER`.
    SignRecover = 0x109,
    /// `CKA_VERIFY`.
    Verify = 0x10A,
    /// `CKA_VERIFY_RECOVER`.
    VerifyRecover = 0x10B,
    /// `CKA_DERIVE`.
    Derive = 0x10C,
    /// `CKA_PUBLIC_KEY_INFO`, a SubjectPublicKeyInfo.
    PublicKeyInfo = 0x129,
    /// `CKA_EXTRACTABLE`.
    Extractable = 0x162,
    /// `CKA_LOCAL`: generated on this token.
    Local = 0x163,
    /// `CKA_NEVER_EXTRACTABLE`.
    NeverExtractable = 0x164,
    /// `CKA_ALWAYS_SENSITIVE`.
    AlwaysSensitive = 0x165,
    /// `CKA_KEY_GEN_MECHANISM`.
    KeyGenMechanism = 0x166,
    /// `CKA_MODIFIABLE`.
    Modifiable = 0x170,
    /// `CKA_COPYABLE`.
    Copyable = 0x171,
    /// `CKA_DESTROYABLE`.
    Destroyable = 0x172,
    /// `CKA_ALWAYS_AUTHENTICATE`: each use asks for the PIN again. Never here.
    AlwaysAuthenticate = 0x202,
    /// `CKA_EC_PARAMS`, the curve's object identifier in DER.
    EcParams = 0x180,
    /// `CKA_EC_POINT`, the point in a DER OCTET STRING.
    EcPoint = 0x181,
}

/// What the value of an attribute looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One byte, 0 or 1.
    Flag,
    /// A number of the machine's width.
    Number,
    /// Bytes, text or DER.
    Bytes,
}

impl AttributeKind {
    /// What its value looks like.
    #[must_use]
    pub const fn shape(self) -> Shape {
        match self {
            Self::Token
            | Self::Private
            | Self::Trusted
            | Self::Sensitive
            | Self::Encrypt
            | Self::Decrypt
            | Self::Wrap
            | Self::Unwrap
            | Self::SignRecover
            | Self::VerifyRecover
            | Self::Sign
            | Self::Verify
            | Self::Derive
            | Self::Extractable
            | Self::Local
            | Self::NeverExtractable
            | Self::AlwaysSensitive
            | Self::Modifiable
            | Self::Copyable
            | Self::AlwaysAuthenticate
            | Self::Destroyable => Shape::Flag,
            Self::Class
            | Self::CertificateType
            | Self::CertificateCategory
            | Self::KeyType
            | Self::KeyGenMechanism => Shape::Number,
            _ => Shape::Bytes,
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `CK_BBOOL`.
    Flag(bool),
    /// `CK_ULONG`.
    Number(u64),
    /// Bytes, text or DER.
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Value<'a> {
    /// Text as bytes.
    #[must_use]
    pub const fn text(text: &'a str) -> Self {
        Self::Bytes(Cow::Borrowed(text.as_bytes()))
    }

    /// Bytes that live elsewhere.
    #[must_use]
    pub const fn bytes(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }

    /// The bytes, if it is bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Flag(flag) => Value::Flag(flag),
            Self::Number(number) => Value::Number(number),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

/// One line of a template: an object matches if it has the attribute with exactly this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Which attribute.
    pub kind: AttributeKind,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Attribute<'a> {
    /// Objects of this class.
    #[must_use]
    pub const fn class(class: Class) -> Self {
        Self {
            kind: AttributeKind::Class,
            value: Value::Number(class.number()),
        }
    }

    /// Objects with this label, or with this alias of a label.
    #[must_use]
    pub const fn label(label: &'a str) -> Self {
        Self {
            kind: AttributeKind::Label,
            value: Value::text(label),
        }
    }

    /// Objects that belong to this key.
    #[must_use]
    pub const fn id(id: &'a [u8]) -> Self {
        Self {
            kind: AttributeKind::Id,
            value: Value::bytes(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_round_trip() {
        for kind in AttributeKind::ALL {
            assert_eq!(AttributeKind::from_number(kind.number()), Some(*kind));
        }
        assert_eq!(AttributeKind::from_number(0x8000_0000), None);
    }
}
