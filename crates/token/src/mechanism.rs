//! What a token can do: the `CKM_` part of PKCS #11's vocabulary.

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// `CKM_EC_KEY_PAIR_GEN`.
    EcKeyPairGen,
    /// `CKM_ECDSA`: signs a digest that the caller made.
    Ecdsa,
    /// `CKM_ECDSA_SHA256`: hashes on the host, then signs.
    EcdsaSha256,
}

impl Mechanism {
    /// All of this build.
    pub const ALL: &[Self] = &[
        Self::EcKeyPairGen,
        Self::Ecdsa,
        #[cfg(feature = "std")]
        Self::EcdsaSha256,
    ];

    /// The number in the standard.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::EcKeyPairGen => 0x1040,
            Self::Ecdsa => 0x1041,
            Self::EcdsaSha256 => 0x1044,
        }
    }
}
