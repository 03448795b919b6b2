//! All that a device knows of its key.

use std::fmt;

/// A key that signs, its certificate, and the root that servers must have. Where the key is, is nobody's business here.
pub trait DeviceKey: Send + Sync {
    /// The device's certificate and then those above it, DER.
    fn certificate_chain(&self) -> Vec<Vec<u8>>;

    /// Signs with ECDSA on P-256 over SHA-256; hashing is the key's part. The signature is a DER SEQUENCE.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// The root that the server's chain must end in, DER. No other is believed.
    fn trust_anchor(&self) -> Vec<u8>;
}

/// Why the key is not there or does not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// State: the token has no such object.
    Missing {
        /// The label that was looked for.
        label: String,
        /// What is there instead, if something is.
        damage: Option<&'static str>,
    },
    /// State: the certificate in the token belongs to another key.
    Mismatch {
        /// The label of the certificate.
        label: String,
    },
    /// State: a key with this label is there, and may not be lost.
    Occupied {
        /// The label.
        label: String,
    },
    /// Fault: the token failed.
    Token(token::Error),
    /// Fault: a vendor's module failed, or has no such token; what it said.
    Module(String),
    /// Fault: something that the token said is not what it must be.
    Malformed(&'static str),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { label, damage: None } => {
                write!(
                    f,
                    "cannot use the device's identity: the token has no {label:?}; enrol the device first"
                )
            }
            Self::Missing {
                label,
                damage: Some(why),
            } => {
                write!(
                    f,
                    "cannot use the device's identity: {label:?} in the token is damaged, {why}; write it again"
                )
            }
            Self::Mismatch { label } => {
                write!(
                    f,
                    "cannot use the device's identity: {label:?} is for another key than the one in the token; enrol again"
                )
            }
            Self::Occupied { label } => {
                write!(
                    f,
                    "cannot make a key {label:?}: the token has one, and the identity that it stands for would be lost"
                )
            }
            Self::Token(_) => f.write_str("cannot use the device's key"),
            Self::Module(said) => write!(f, "cannot use the pkcs #11 module: {said}"),
            Self::Malformed(what) => write!(f, "cannot use the device's key: {what}"),
        }
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Token(error) => Some(error),
            _ => None,
        }
    }
}

impl From<token::Error> for KeyError {
    fn from(error: token::Error) -> Self {
        Self::Token(error)
    }
}

impl KeyError {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        use identity::Explained as _;
        match self {
            Self::Missing { .. } => "device.key.missing",
            Self::Mismatch { .. } => "device.key.mismatch",
            Self::Occupied { .. } => "device.key.occupied",
            Self::Token(error) => error.code(),
            Self::Module(_) => "device.module",
            Self::Malformed(_) => "device.key.malformed",
        }
    }
}
