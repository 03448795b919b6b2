//! What can go wrong with a document, and who has to act: one enum for the crate, grouped by blame.
//!
//! Every layer above maps these to its own words (an MQTT reason, an HTTP status, an exit code) in one table at its edge.

use alloc::string::String;
use core::fmt;

/// Who has to act. It decides log level, retry and the answer at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The other side broke a protocol or a format.
    Peer,
    /// A policy or a state of trust says no.
    Refused,
    /// Something is missing, exists already, or changed meanwhile.
    State,
    /// Our own caller used an interface wrongly.
    Misuse,
    /// A disk, a chip, an HSM or the network failed.
    Fault,
}

/// An error with a stable code and somebody to blame.
pub trait Explained: core::error::Error {
    /// The stable code, such as `identity.certificate.malformed`.
    fn code(&self) -> &'static str;
    /// Who has to act.
    fn blame(&self) -> Blame;
}

/// What this crate refuses, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    // Peer: the document is wrong.
    /// The bytes are not the strict DER that the field wants.
    Malformed {
        /// The document and field, such as `certificate validity`.
        what: &'static str,
        /// What was wrong with it.
        cause: crate::der::Fault,
    },
    /// The text is not the PEM that was asked for.
    Pem {
        /// The label that was looked for.
        label: String,
        /// What was wrong.
        cause: PemFault,
    },
    /// Something is longer or more numerous than its limit.
    TooLarge {
        /// What was counted or measured.
        what: &'static str,
        /// How much there was.
        found: usize,
        /// How much there may be (see [`crate::limits`]).
        limit: usize,
    },
    /// A number, date or name is outside of its range.
    OutOfRange {
        /// The field.
        what: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A text is not an identifier of the wanted kind.
    Identifier {
        /// The kind, such as `account id`.
        kind: &'static str,
        /// What it must look like.
        allowed: &'static str,
    },
    /// The public key is of a kind that this product does not use.
    UnsupportedKey,
    /// The signature algorithm is not one of the six that this product uses, or does not fit the key.
    UnsupportedAlgorithm,
    /// The signature does not belong to this message and key.
    BadSignature {
        /// Which signature: `certificate`, `request`.
        what: &'static str,
    },
    /// What is said to be a manifest, or a part of one, is not.
    Manifest {
        /// What is wrong with it.
        why: &'static str,
    },

    // Refused: a rule of issuing says no.
    /// No signer that is trusted has signed the manifest.
    ManifestSigner,
    /// The certificate would break the rule of its profile.
    Profile {
        /// The rule, complete.
        rule: &'static str,
    },

    // Misuse: our caller.
    /// The signer's key is not the key of the issuer that the profile was made for.
    WrongSigner,
    /// The private key could not be read.
    PrivateKey,

    // Fault: the thing that signs.
    /// The signer did not sign.
    Sign(crate::issue::SignError),
    /// The cryptographic library failed where it cannot fail with a working machine.
    Provider(&'static str),
}

/// What was wrong with a PEM text (RFC 7468).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemFault {
    /// There is no block with that label.
    Missing,
    /// There is more than one block, and one was asked for.
    Several,
    /// A block begins and does not end.
    Unterminated,
    /// The body is not base64.
    Base64,
    /// The body is empty.
    Empty,
}

impl fmt::Display for PemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is none in the text",
            Self::Several => "the text holds more than one, and exactly one is wanted",
            Self::Unterminated => "it begins and has no end line",
            Self::Base64 => "its body is not base64",
            Self::Empty => "its body is empty",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, .. } => write!(f, "cannot read {what}: it is not valid DER"),
            Self::Pem { label, cause } => write!(f, "cannot read the PEM block {label:?}: {cause}"),
            Self::TooLarge { what, found, limit } => write!(f, "{what}: {found} is more than the limit of {limit}"),
            Self::OutOfRange { what, allowed } => write!(f, "{what} is out of range: {allowed}"),
            Self::Identifier { kind, allowed } => write!(f, "not a valid {kind}: it must be {allowed}"),
            Self::UnsupportedKey => {
                f.write_str("cannot use this public key: it must be RSA or an uncompressed point on P-256, P-384 or P-521")
            }
            Self::UnsupportedAlgorithm => {
                f.write_str("cannot use this signature algorithm: it must be ECDSA or RSA PKCS #1 v1.5 with SHA-256, SHA-384 or SHA-512, and fit the key")
            }
            Self::BadSignature { what } => write!(f, "the signature of the {what} was not made by the key it is said to be from"),
            Self::Profile { rule } => write!(f, "cannot issue this certificate: {rule}"),
            Self::Manifest { why } => write!(f, "cannot read the manifest: {why}"),
            Self::ManifestSigner => f.write_str("cannot take the manifest: its signer is not one that is trusted"),
            Self::WrongSigner => f.write_str("cannot issue this certificate: the signer's key is not the issuer's"),
            Self::PrivateKey => f.write_str("cannot read the private key: it must be PKCS #8 with an RSA, P-256, P-384 or P-521 key"),
            Self::Sign(_) => f.write_str("cannot sign the certificate"),
            Self::Provider(what) => write!(f, "the cryptographic library failed to {what}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed { cause, .. } => Some(cause),
            Self::Sign(cause) => Some(cause),
            _ => None,
        }
    }
}

impl Explained for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "identity.der",
            Self::Pem { .. } => "identity.pem",
            Self::TooLarge { .. } => "identity.too_large",
            Self::OutOfRange { .. } => "identity.out_of_range",
            Self::Identifier { .. } => "identity.identifier",
            Self::UnsupportedKey => "identity.key.unsupported",
            Self::UnsupportedAlgorithm => "identity.algorithm.unsupported",
            Self::BadSignature { .. } => "identity.signature",
            Self::Profile { .. } => "identity.profile",
            Self::Manifest { .. } => "identity.manifest",
            Self::ManifestSigner => "identity.manifest.signer",
            Self::WrongSigner => "identity.signer.wrong",
            Self::PrivateKey => "identity.key.private",
            Self::Sign(cause) => cause.code(),
            Self::Provider(_) => "identity.provider",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Malformed { .. }
            | Self::Pem { .. }
            | Self::TooLarge { .. }
            | Self::OutOfRange { .. }
            | Self::Identifier { .. }
            | Self::UnsupportedKey
            | Self::UnsupportedAlgorithm
            | Self::Manifest { .. }
            | Self::BadSignature { .. } => Blame::Peer,
            Self::Profile { .. } | Self::ManifestSigner => Blame::Refused,
            Self::WrongSigner | Self::PrivateKey => Blame::Misuse,
            Self::Sign(cause) => cause.blame(),
            Self::Provider(_) => Blame::Fault,
        }
    }
}
