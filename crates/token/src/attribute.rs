//! What can be asked about an object, and how it is answered: the `CKA_` and `CKO_` part of PKCS #11's vocabulary.

use alloc::borrow::Cow;
use alloc::vec::Vec;

macro_rules! numbered {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident = $number:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $kind {
            $($(#[$doc])* $name,)*
        }

        impl $kind {
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

numbered! {
    /// The kind of an object (`CKA_CLASS`).
    Class {
        /// `CKO_DATA`.
        Data = 0,
        /// `CKO_CERTIFICATE`.
        Certificate = 1,
        /// `CKO_PUBLIC_KEY`.
        PublicKey = 2,
        /// `CKO_PRIVATE_KEY`.
        PrivateKey = 3,
        /// `CKO_SECRET_KEY`.
        SecretKey = 4,
        /// `CKO_PROFILE`: what a program may expect of the token.
        Profile = 9,
    }
}

numbered! {
    /// What can be asked about an object.
    AttributeKind {
        /// `CKA_CLASS`.
        Class = 0x000,
        /// `CKA_TOKEN`: it outlives the session.
        Token = 0x001,
        /// `CKA_PRIVATE`: only visible after login.
        Private = 0x002,
        /// `CKA_LABEL`.
        Label = 0x003,
        /// `CKA_UNIQUE_ID`: no other object of the token ever has it.
        UniqueId = 0x004,
        /// `CKA_APPLICATION`.
        Application = 0x010,
        /// `CKA_VALUE`: of a certificate its DER, of data the bytes, of a private or secret key what must not be seen.
        Value = 0x011,
        /// `CKA_OBJECT_ID`, DER.
        ObjectId = 0x012,
        /// `CKA_CERTIFICATE_TYPE`: always X.509.
        CertificateType = 0x080,
        /// `CKA_ISSUER`, DER.
        Issuer = 0x081,
        /// `CKA_SERIAL_NUMBER`, a DER INTEGER.
        SerialNumber = 0x082,
        /// `CKA_TRUSTED`: the security officer says so.
        Trusted = 0x086,
        /// `CKA_CERTIFICATE_CATEGORY`: 0 nobody said, 1 the token's user, 2 an authority, 3 another.
        CertificateCategory = 0x087,
        /// `CKA_JAVA_MIDP_SECURITY_DOMAIN`.
        JavaMidpSecurityDomain = 0x088,
        /// `CKA_URL`.
        Url = 0x089,
        /// `CKA_HASH_OF_SUBJECT_PUBLIC_KEY`.
        HashOfSubjectPublicKey = 0x08A,
        /// `CKA_HASH_OF_ISSUER_PUBLIC_KEY`.
        HashOfIssuerPublicKey = 0x08B,
        /// `CKA_NAME_HASH_ALGORITHM`.
        NameHashAlgorithm = 0x08C,
        /// `CKA_CHECK_VALUE`: three bytes by which a key or a certificate is recognized.
        CheckValue = 0x090,
        /// `CKA_KEY_TYPE`.
        KeyType = 0x100,
        /// `CKA_SUBJECT`, DER.
        Subject = 0x101,
        /// `CKA_ID`: the same for a private key, its public key and its certificate.
        Id = 0x102,
        /// `CKA_SENSITIVE`: its value is never told in the clear.
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
        /// `CKA_START_DATE`: nothing, or eight digits.
        StartDate = 0x110,
        /// `CKA_END_DATE`: nothing, or eight digits.
        EndDate = 0x111,
        /// `CKA_MODULUS`, big-endian.
        Modulus = 0x120,
        /// `CKA_MODULUS_BITS`.
        ModulusBits = 0x121,
        /// `CKA_PUBLIC_EXPONENT`.
        PublicExponent = 0x122,
        /// `CKA_PRIVATE_EXPONENT`.
        PrivateExponent = 0x123,
        /// `CKA_PRIME_1`.
        Prime1 = 0x124,
        /// `CKA_PRIME_2`.
        Prime2 = 0x125,
        /// `CKA_EXPONENT_1`.
        Exponent1 = 0x126,
        /// `CKA_EXPONENT_2`.
        Exponent2 = 0x127,
        /// `CKA_COEFFICIENT`.
        Coefficient = 0x128,
        /// `CKA_PUBLIC_KEY_INFO`, a SubjectPublicKeyInfo.
        PublicKeyInfo = 0x129,
        /// `CKA_VALUE_LEN`: bytes of a secret key.
        ValueLength = 0x161,
        /// `CKA_EXTRACTABLE`: it may be wrapped.
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
        /// `CKA_EC_PARAMS`, the curve's object identifier in DER.
        EcParams = 0x180,
        /// `CKA_EC_POINT`, the point in a DER OCTET STRING.
        EcPoint = 0x181,
        /// `CKA_ALWAYS_AUTHENTICATE`: each use asks for the PIN again.
        AlwaysAuthenticate = 0x202,
        /// `CKA_WRAP_WITH_TRUSTED`: only a key that the security officer trusts may wrap it.
        WrapWithTrusted = 0x210,
        /// `CKA_PROFILE_ID`.
        ProfileId = 0x601,
        /// `CKA_WRAP_TEMPLATE`: what a key must be like that this one wraps.
        WrapTemplate = 0x4000_0211,
        /// `CKA_UNWRAP_TEMPLATE`: what a key will be like that this one unwraps.
        UnwrapTemplate = 0x4000_0212,
        /// `CKA_DERIVE_TEMPLATE`: what a key will be like that comes from this one.
        DeriveTemplate = 0x4000_0213,
        /// `CKA_ALLOWED_MECHANISMS`: none means all.
        AllowedMechanisms = 0x4000_0600,
        /// `CKA_BIRTHMARK_SLOT`, this product's own: in which place of a secure element a key is to be born.
        BirthmarkSlot = 0x8000_B001,
    }
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
    /// Numbers of the machine's width, in a row.
    Numbers,
    /// Attributes again.
    Template,
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
            | Self::WrapWithTrusted
            | Self::Destroyable => Shape::Flag,
            Self::Class
            | Self::CertificateType
            | Self::CertificateCategory
            | Self::JavaMidpSecurityDomain
            | Self::NameHashAlgorithm
            | Self::KeyType
            | Self::ModulusBits
            | Self::ValueLength
            | Self::ProfileId
            | Self::BirthmarkSlot
            | Self::KeyGenMechanism => Shape::Number,
            Self::AllowedMechanisms => Shape::Numbers,
            Self::WrapTemplate | Self::UnwrapTemplate | Self::DeriveTemplate => Shape::Template,
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
    /// An array of `CK_ULONG`.
    Numbers(Cow<'a, [u64]>),
    /// An array of `CK_ATTRIBUTE`, one level deep.
    Template(Vec<Attribute<'a>>),
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

    /// The flag, if it is one.
    #[must_use]
    pub const fn as_flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// What it looks like.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        match self {
            Self::Flag(_) => Shape::Flag,
            Self::Number(_) => Shape::Number,
            Self::Bytes(_) => Shape::Bytes,
            Self::Numbers(_) => Shape::Numbers,
            Self::Template(_) => Shape::Template,
        }
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Flag(flag) => Value::Flag(flag),
            Self::Number(number) => Value::Number(number),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Numbers(numbers) => Value::Numbers(Cow::Owned(numbers.into_owned())),
            Self::Template(lines) => Value::Template(lines.into_iter().map(Attribute::into_owned).collect()),
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
    /// This attribute with this value.
    #[must_use]
    pub const fn new(kind: AttributeKind, value: Value<'a>) -> Self {
        Self { kind, value }
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Attribute<'static> {
        Attribute {
            kind: self.kind,
            value: self.value.into_owned(),
        }
    }

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
