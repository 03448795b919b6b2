//! What a token can do: the `CKM_` part of PKCS #11's vocabulary.

mod hash;
mod info;
mod kind;
pub(crate) mod parameters;

pub use hash::Hash;
pub use info::{MechanismInfo, Size};
pub use kind::{KeyType, MechanismType};

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// `CKM_EC_KEY_PAIR_GEN`.
    EcKeyPairGen,
    /// `CKM_ECDSA`: signs a digest that the caller made.
    Ecdsa,
    /// `CKM_ECDSA_SHA1`: hashes on the host, then signs.
    EcdsaSha1,
    /// `CKM_ECDSA_SHA224`.
    EcdsaSha224,
    /// `CKM_ECDSA_SHA256`.
    EcdsaSha256,
    /// `CKM_ECDSA_SHA384`.
    EcdsaSha384,
    /// `CKM_ECDSA_SHA512`.
    EcdsaSha512,
    /// `CKM_SHA_1`.
    Sha1,
    /// `CKM_SHA224`.
    Sha224,
    /// `CKM_SHA256`.
    Sha256,
    /// `CKM_SHA384`.
    Sha384,
    /// `CKM_SHA512`.
    Sha512,
}

/// What a mechanism is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Key pairs.
    GenerateKeyPair,
    /// Signatures, made and verified; hashed with this first, unless the caller did.
    Sign(Option<Hash>),
    /// Digests.
    Digest(Hash),
}

impl Mechanism {
    /// All of this build.
    pub const ALL: &[Self] = &[
        Self::EcKeyPairGen,
        Self::Ecdsa,
        #[cfg(feature = "std")]
        Self::EcdsaSha1,
        #[cfg(feature = "std")]
        Self::EcdsaSha224,
        #[cfg(feature = "std")]
        Self::EcdsaSha256,
        #[cfg(feature = "std")]
        Self::EcdsaSha384,
        #[cfg(feature = "std")]
        Self::EcdsaSha512,
        #[cfg(feature = "std")]
        Self::Sha1,
        #[cfg(feature = "std")]
        Self::Sha224,
        #[cfg(feature = "std")]
        Self::Sha256,
        #[cfg(feature = "std")]
        Self::Sha384,
        #[cfg(feature = "std")]
        Self::Sha512,
    ];

    /// The number in the standard.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Sha1 => 0x220,
            Self::Sha256 => 0x250,
            Self::Sha224 => 0x255,
            Self::Sha384 => 0x260,
            Self::Sha512 => 0x270,
            Self::EcKeyPairGen => 0x1040,
            Self::Ecdsa => 0x1041,
            Self::EcdsaSha1 => 0x1042,
            Self::EcdsaSha224 => 0x1043,
            Self::EcdsaSha256 => 0x1044,
            Self::EcdsaSha384 => 0x1045,
            Self::EcdsaSha512 => 0x1046,
        }
    }

    /// From the number in the standard; `None` for what this build does not have.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|mechanism| mechanism.number() == number)
    }

    /// What it is for.
    #[must_use]
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::EcKeyPairGen => Purpose::GenerateKeyPair,
            Self::Ecdsa => Purpose::Sign(None),
            Self::EcdsaSha1 => Purpose::Sign(Some(Hash::Sha1)),
            Self::EcdsaSha224 => Purpose::Sign(Some(Hash::Sha224)),
            Self::EcdsaSha256 => Purpose::Sign(Some(Hash::Sha256)),
            Self::EcdsaSha384 => Purpose::Sign(Some(Hash::Sha384)),
            Self::EcdsaSha512 => Purpose::Sign(Some(Hash::Sha512)),
            Self::Sha1 => Purpose::Digest(Hash::Sha1),
            Self::Sha224 => Purpose::Digest(Hash::Sha224),
            Self::Sha256 => Purpose::Digest(Hash::Sha256),
            Self::Sha384 => Purpose::Digest(Hash::Sha384),
            Self::Sha512 => Purpose::Digest(Hash::Sha512),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_round_trip() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_number(mechanism.number()), Some(*mechanism));
        }
        assert_eq!(Mechanism::from_number(1), None);
    }
}
