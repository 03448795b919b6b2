//! Hash functions, and the mechanisms that are the same with each of them.

use super::MechanismType;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1: old, still asked for.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA3-224.
    Sha3_224,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
}

macro_rules! families {
    ($($hash:ident: $digest:ident, $ecdsa:ident, $pkcs:ident, $pss:ident, $hmac:ident, $general:ident;)*) => {
        impl Hash {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$hash),*];

            /// The mechanism that makes this digest.
            #[must_use]
            pub const fn digest(self) -> MechanismType {
                match self {
                    $(Self::$hash => MechanismType::$digest,)*
                }
            }

            /// ECDSA over this digest.
            #[must_use]
            pub const fn ecdsa(self) -> MechanismType {
                match self {
                    $(Self::$hash => MechanismType::$ecdsa,)*
                }
            }

            /// A PKCS #1 version 1.5 signature over this digest.
            #[must_use]
            pub const fn rsa_pkcs(self) -> MechanismType {
                match self {
                    $(Self::$hash => MechanismType::$pkcs,)*
                }
            }

            /// PSS over this digest.
            #[must_use]
            pub const fn rsa_pss(self) -> MechanismType {
                match self {
                    $(Self::$hash => MechanismType::$pss,)*
                }
            }

            /// HMAC with this hash.
            #[must_use]
            pub const fn hmac(self) -> MechanismType {
                match self {
                    $(Self::$hash => MechanismType::$hmac,)*
                }
            }

            /// HMAC with this hash, cut.
            #[must_use]
            pub const fn hmac_general(self) -> MechanismType {
                match self {
                    $(Self::$hash => MechanismType::$general,)*
                }
            }
        }

        impl MechanismType {
            /// The hash that the mechanism's name says.
            #[must_use]
            pub const fn hash(self) -> Option<Hash> {
                match self {
                    $(Self::$digest | Self::$ecdsa | Self::$pkcs | Self::$pss | Self::$hmac | Self::$general => {
                        Some(Hash::$hash)
                    })*
                    _ => None,
                }
            }
        }
    };
}

families! {
    Sha1: Sha1, EcdsaSha1, Sha1RsaPkcs, Sha1RsaPkcsPss, Sha1Hmac, Sha1HmacGeneral;
    Sha224: Sha224, EcdsaSha224, Sha224RsaPkcs, Sha224RsaPkcsPss, Sha224Hmac, Sha224HmacGeneral;
    Sha256: Sha256, EcdsaSha256, Sha256RsaPkcs, Sha256RsaPkcsPss, Sha256Hmac, Sha256HmacGeneral;
    Sha384: Sha384, EcdsaSha384, Sha384RsaPkcs, Sha384RsaPkcsPss, Sha384Hmac, Sha384HmacGeneral;
    Sha512: Sha512, EcdsaSha512, Sha512RsaPkcs, Sha512RsaPkcsPss, Sha512Hmac, Sha512HmacGeneral;
    Sha3_224: Sha3_224, EcdsaSha3_224, Sha3_224RsaPkcs, Sha3_224RsaPkcsPss, Sha3_224Hmac, Sha3_224HmacGeneral;
    Sha3_256: Sha3_256, EcdsaSha3_256, Sha3_256RsaPkcs, Sha3_256RsaPkcsPss, Sha3_256Hmac, Sha3_256HmacGeneral;
    Sha3_384: Sha3_384, EcdsaSha3_384, Sha3_384RsaPkcs, Sha3_384RsaPkcsPss, Sha3_384Hmac, Sha3_384HmacGeneral;
    Sha3_512: Sha3_512, EcdsaSha3_512, Sha3_512RsaPkcs, Sha3_512RsaPkcsPss, Sha3_512Hmac, Sha3_512HmacGeneral;
}

impl Hash {
    /// Bytes of its digest.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha3_224 => 28,
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// Bytes of a block of its input.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Sha1 | Self::Sha224 | Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 => 128,
            Self::Sha3_224 => 144,
            Self::Sha3_256 => 136,
            Self::Sha3_384 => 104,
            Self::Sha3_512 => 72,
        }
    }
}
