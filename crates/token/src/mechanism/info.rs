//! What each mechanism is for, which keys it takes, and how long they are (`CK_MECHANISM_INFO`).

use super::{Hash, KeyType, MechanismType};

/// What `C_GetAbilities` says of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Sizes of keys, in the unit of the mechanism; none if it takes no key.
    pub size: Option<Size>,
    /// The `CKF_` flags, without `CKF_HW`: that is the token's to say.
    pub flags: u64,
}

/// Sizes of keys: bits of curves and of RSA moduli, bytes of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The smallest.
    pub min: usize,
    /// The largest.
    pub max: usize,
}

impl Abilities {
    /// `CKF_ENCRYPT`.
    pub const ENCRYPT: u64 = 0x0000_0100;
    /// `CKF_DECRYPT`.
    pub const DECRYPT: u64 = 0x0000_0200;
    /// `CKF_DIGEST`.
    pub const DIGEST: u64 = 0x0000_0400;
    /// `CKF_SIGN`.
    pub const SIGN: u64 = 0x0000_0800;
    /// `CKF_VERIFY`.
    pub const VERIFY: u64 = 0x0000_2000;
    /// `CKF_GENERATE`.
    pub const GENERATE: u64 = 0x0000_8000;
    /// `CKF_GENERATE_KEY_PAIR`.
    pub const GENERATE_KEY_PAIR: u64 = 0x0001_0000;
    /// `CKF_WRAP`.
    pub const WRAP: u64 = 0x0002_0000;
    /// `CKF_UNWRAP`.
    pub const UNWRAP: u64 = 0x0004_0000;
    /// `CKF_DERIVE`.
    pub const DERIVE: u64 = 0x0008_0000;
    /// `CKF_EC_F_P`, `CKF_EC_NAMEDCURVE` and `CKF_EC_UNCOMPRESS`: what curves there are, and how they are written.
    pub const CURVES: u64 = 0x0010_0000 | 0x0080_0000 | 0x0100_0000;

    /// Whether the mechanism does this; `flag` is one of the flags above.
    #[must_use]
    pub const fn does(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

const CURVES: Option<Size> = Some(Size { min: 256, max: 521 });
const ED25519: Option<Size> = Some(Size { min: 255, max: 256 });
const RSA: Option<Size> = Some(Size {
    min: crate::limits::RSA_BITS_MIN,
    max: crate::limits::RSA_BITS_MAX,
});
const AES: Option<Size> = Some(Size { min: 16, max: 32 });
const SECRET: Option<Size> = Some(Size {
    min: 1,
    max: crate::limits::SECRET_BYTES_MAX,
});
const TLS_SECRET: Option<Size> = Some(Size { min: 48, max: 48 });

const SIGNS: u64 = Abilities::SIGN | Abilities::VERIFY;
const CIPHERS: u64 = Abilities::ENCRYPT | Abilities::DECRYPT;
const WRAPS: u64 = Abilities::WRAP | Abilities::UNWRAP;

/// What a mechanism is, hash aside.
enum Family {
    Digest,
    Ecdsa,
    RsaPkcsHash,
    RsaPss,
    Hmac(Hash),
    Other,
}

impl MechanismType {
    const fn family(self) -> Family {
        let Some(hash) = self.hash() else {
            return Family::Other;
        };
        let number = self.number();
        if number == hash.digest().number() {
            Family::Digest
        } else if number == hash.ecdsa().number() {
            Family::Ecdsa
        } else if number == hash.rsa_pkcs().number() {
            Family::RsaPkcsHash
        } else if number == hash.rsa_pss().number() {
            Family::RsaPss
        } else {
            Family::Hmac(hash)
        }
    }

    /// What it is for.
    #[must_use]
    pub const fn abilities(self) -> Abilities {
        use Abilities as I;
        let (size, flags) = match self.family() {
            Family::Digest => (None, I::DIGEST),
            Family::Ecdsa => (CURVES, SIGNS | I::CURVES),
            Family::RsaPkcsHash | Family::RsaPss => (RSA, SIGNS),
            Family::Hmac(_) => (SECRET, SIGNS),
            Family::Other => match self {
                Self::EcKeyPairGen => (CURVES, I::GENERATE_KEY_PAIR | I::CURVES),
                Self::Ecdsa => (CURVES, SIGNS | I::CURVES),
                Self::Ecdh1Derive | Self::Ecdh1CofactorDerive => (CURVES, I::DERIVE | I::CURVES),
                Self::EcEdwardsKeyPairGen | Self::EcMontgomeryKeyPairGen => (ED25519, I::GENERATE_KEY_PAIR),
                Self::Eddsa => (ED25519, SIGNS),
                Self::RsaPkcsKeyPairGen => (RSA, I::GENERATE_KEY_PAIR),
                Self::RsaPkcs => (RSA, SIGNS | CIPHERS | WRAPS),
                Self::RsaX509 => (RSA, SIGNS | CIPHERS),
                Self::RsaPkcsPss => (RSA, SIGNS),
                Self::RsaPkcsOaep => (RSA, CIPHERS | WRAPS),
                Self::AesKeyGen => (AES, I::GENERATE),
                Self::AesEcb | Self::AesCbc | Self::AesCtr => (AES, CIPHERS),
                Self::AesCbcPad | Self::AesGcm => (AES, CIPHERS | WRAPS),
                Self::AesCmac | Self::AesCmacGeneral => (AES, SIGNS),
                Self::AesKeyWrap | Self::AesKeyWrapKwp => (AES, CIPHERS | WRAPS),
                Self::GenericSecretKeyGen | Self::HkdfKeyGen => (SECRET, I::GENERATE),
                Self::HkdfDerive | Self::HkdfData | Self::Tls12Kdf => (SECRET, I::DERIVE),
                Self::TlsMac => (SECRET, SIGNS),
                _ => (TLS_SECRET, I::DERIVE),
            },
        };
        Abilities { size, flags }
    }

    /// The types of keys that it takes; for one that generates, the type it makes. Empty if it takes no key.
    #[must_use]
    pub const fn key_types(self) -> &'static [KeyType] {
        use KeyType as K;
        match self.family() {
            Family::Digest => &[],
            Family::Ecdsa => &[K::Ec],
            Family::RsaPkcsHash | Family::RsaPss => &[K::Rsa],
            Family::Hmac(hash) => hmac_keys(hash),
            Family::Other => match self {
                Self::EcKeyPairGen | Self::Ecdsa => &[K::Ec],
                Self::Ecdh1Derive | Self::Ecdh1CofactorDerive => &[K::Ec, K::EcMontgomery],
                Self::EcEdwardsKeyPairGen | Self::Eddsa => &[K::EcEdwards],
                Self::EcMontgomeryKeyPairGen => &[K::EcMontgomery],
                Self::RsaPkcsKeyPairGen
                | Self::RsaPkcs
                | Self::RsaX509
                | Self::RsaPkcsPss
                | Self::RsaPkcsOaep => &[K::Rsa],
                Self::AesKeyGen
                | Self::AesEcb
                | Self::AesCbc
                | Self::AesCbcPad
                | Self::AesCtr
                | Self::AesGcm
                | Self::AesCmac
                | Self::AesCmacGeneral
                | Self::AesKeyWrap
                | Self::AesKeyWrapKwp => &[K::Aes],
                Self::HkdfDerive | Self::HkdfData => &[K::Hkdf, K::GenericSecret],
                Self::HkdfKeyGen => &[K::Hkdf],
                _ => &[K::GenericSecret],
            },
        }
    }
}

/// A generic secret serves every HMAC; a key of one hash serves that hash.
const fn hmac_keys(hash: Hash) -> &'static [KeyType] {
    use KeyType as K;
    match hash {
        Hash::Sha1 => &[K::GenericSecret, K::Sha1Hmac],
        Hash::Sha224 => &[K::GenericSecret, K::Sha224Hmac],
        Hash::Sha256 => &[K::GenericSecret, K::Sha256Hmac],
        Hash::Sha384 => &[K::GenericSecret, K::Sha384Hmac],
        Hash::Sha512 => &[K::GenericSecret, K::Sha512Hmac],
        Hash::Sha3_224 => &[K::GenericSecret, K::Sha3_224Hmac],
        Hash::Sha3_256 => &[K::GenericSecret, K::Sha3_256Hmac],
        Hash::Sha3_384 => &[K::GenericSecret, K::Sha3_384Hmac],
        Hash::Sha3_512 => &[K::GenericSecret, K::Sha3_512Hmac],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mechanism_is_for_something_and_its_number_is_its_own() {
        for (at, kind) in MechanismType::ALL.iter().enumerate() {
            assert_eq!(MechanismType::from_number(kind.number()), Some(*kind));
            assert_ne!(kind.abilities().flags, 0, "{kind:?}");
            let others = MechanismType::ALL.iter().skip(at + 1);
            assert!(
                others.clone().all(|other| other.number() != kind.number()),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn old_mechanisms_are_not_known() {
        // DES, 3DES, MD5, RC4 and the MD2 signatures.
        for number in [
            0x4, 0x5, 0x110, 0x111, 0x121, 0x122, 0x131, 0x132, 0x133, 0x200, 0x210, 0x211,
        ] {
            assert_eq!(MechanismType::from_number(number), None, "{number:#x}");
        }
    }

    #[test]
    fn a_mechanism_takes_a_key_exactly_if_it_has_key_sizes() {
        for kind in MechanismType::ALL {
            assert_eq!(
                kind.abilities().size.is_none(),
                kind.key_types().is_empty(),
                "{kind:?}"
            );
        }
    }
}
