//! A mechanism as a caller chose it: its type together with its parameter, already parsed into types that can not be wrong in
//! shape. Whether it fits the key is for the operation to say.
//!
//! The C edge builds these from `CK_*_PARAMS`; callers in Rust build them directly. Nothing here is secret.

use alloc::vec::Vec;

use super::{Hash, MechanismType};

/// A mechanism with its parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Key pairs on the curves of FIPS 186-5.
    EcKeyPairGen,
    /// Key pairs for Ed25519.
    EdwardsKeyPairGen,
    /// Key pairs for X25519.
    MontgomeryKeyPairGen,
    /// RSA key pairs.
    RsaKeyPairGen,
    /// AES keys.
    AesKeyGen,
    /// Secrets of any use.
    GenericSecretKeyGen,
    /// Secrets to derive from.
    HkdfKeyGen,
    /// A digest; without a hash the mechanism does not exist.
    Digest(Hash),
    /// ECDSA over what this hash makes of the data; without a hash, over a digest that the caller made.
    Ecdsa(Option<Hash>),
    /// Ed25519 as RFC 8032 has it: no prehash, no context.
    Eddsa,
    /// PKCS #1 version 1.5: a signature over a DigestInfo that the caller made, or encryption.
    RsaPkcs,
    /// The bare RSA function.
    RsaX509,
    /// A PKCS #1 version 1.5 signature over data.
    RsaPkcsHash(Hash),
    /// PSS; without a hash, over a digest that the caller made.
    RsaPss {
        /// What hashes the data.
        hash: Option<Hash>,
        /// How the digest is padded.
        parameters: PssParameters,
    },
    /// OAEP.
    RsaOaep(OaepParameters),
    /// HMAC.
    Hmac {
        /// With this hash.
        hash: Hash,
        /// Cut to so many bytes (`_GENERAL`).
        bytes: Option<usize>,
    },
    /// AES, block by block.
    AesEcb,
    /// AES in CBC, whole blocks only.
    AesCbc {
        /// What the first block is mixed with.
        iv: [u8; AES_BLOCK_BYTES],
    },
    /// AES in CBC with the padding of PKCS #7.
    AesCbcPad {
        /// What the first block is mixed with.
        iv: [u8; AES_BLOCK_BYTES],
    },
    /// AES in counter mode.
    AesCtr {
        /// How many bits on the right of the block count.
        counter_bits: u8,
        /// The first block.
        block: [u8; AES_BLOCK_BYTES],
    },
    /// AES-GCM.
    AesGcm(GcmParameters),
    /// AES-CMAC.
    AesCmac {
        /// Cut to so many bytes (`_GENERAL`).
        bytes: Option<usize>,
    },
    /// AES key wrap (RFC 3394).
    AesKeyWrap,
    /// AES key wrap with padding (RFC 5649).
    AesKeyWrapKwp,
    /// Diffie-Hellman on a curve.
    Ecdh1(EcdhParameters),
    /// HKDF into a key.
    HkdfDerive(HkdfParameters),
    /// HKDF into data.
    HkdfData(HkdfParameters),
    /// The master secret of TLS 1.2.
    Tls12Master(Tls12MasterParameters),
    /// The master secret of TLS 1.2 from the session's hash (RFC 7627).
    Tls12ExtendedMaster(Tls12ExtendedMasterParameters),
    /// The keys of a TLS 1.2 connection.
    Tls12KeyAndMac(Tls12KeyAndMacParameters),
    /// Exported keying material (RFC 5705).
    Tls12Kdf(Tls12KdfParameters),
    /// The `verify_data` of a Finished message.
    TlsMac(TlsMacParameters),
}

/// A block of AES, and what CBC and CTR begin with.
pub const AES_BLOCK_BYTES: usize = 16;

/// `CK_RSA_PKCS_PSS_PARAMS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PssParameters {
    /// What has hashed the data.
    pub hash: Hash,
    /// What generates the mask.
    pub mask: Hash,
    /// Bytes of the salt.
    pub salt_bytes: usize,
}

/// `CK_RSA_PKCS_OAEP_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OaepParameters {
    /// What hashes the label.
    pub hash: Hash,
    /// What generates the mask.
    pub mask: Hash,
    /// The label.
    pub label: Vec<u8>,
}

/// `CK_GCM_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcmParameters {
    /// The nonce.
    pub iv: Vec<u8>,
    /// What is authenticated only.
    pub additional: Vec<u8>,
    /// Bytes of the tag.
    pub tag_bytes: usize,
}

/// `CK_ECDH1_DERIVE_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcdhParameters {
    /// Asked for with the cofactor, which is one on all curves here.
    pub cofactor: bool,
    /// The key derivation function of ANSI X9.63 with this hash; `None` for the bare secret.
    pub kdf: Option<Hash>,
    /// What that function mixes in.
    pub shared: Vec<u8>,
    /// The other's public point, bare or in a DER OCTET STRING.
    pub public: Vec<u8>,
}

/// The salt of HKDF's first step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HkdfSalt {
    /// `CKF_HKDF_SALT_NULL`: zeros, as many as the hash has bytes.
    Zeros,
    /// `CKF_HKDF_SALT_DATA`.
    Bytes(Vec<u8>),
    /// `CKF_HKDF_SALT_KEY`: the value of this key, which the caller of the operation looks up.
    Key(u64),
}

/// `CK_HKDF_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HkdfParameters {
    /// The hash of both steps.
    pub hash: Hash,
    /// The first step: from input to pseudo-random key. `None` leaves it out.
    pub extract: Option<HkdfSalt>,
    /// The second step, from that key to output, with this information. `None` leaves it out.
    pub expand: Option<Vec<u8>>,
}

/// `CK_TLS12_MASTER_KEY_DERIVE_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls12MasterParameters {
    /// The hash of the pseudo-random function.
    pub hash: Hash,
    /// The client's random bytes.
    pub client_random: Vec<u8>,
    /// The server's.
    pub server_random: Vec<u8>,
    /// The premaster secret comes from RSA: it is 48 bytes and begins with a version, which is told.
    pub with_version: bool,
}

/// `CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls12ExtendedMasterParameters {
    /// The hash of the pseudo-random function.
    pub hash: Hash,
    /// The hash of the handshake so far.
    pub session_hash: Vec<u8>,
    /// The premaster secret comes from RSA.
    pub with_version: bool,
}

/// `CK_TLS12_KEY_MAT_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls12KeyAndMacParameters {
    /// The hash of the pseudo-random function.
    pub hash: Hash,
    /// The client's random bytes.
    pub client_random: Vec<u8>,
    /// The server's.
    pub server_random: Vec<u8>,
    /// Bytes of each key for a MAC.
    pub mac_bytes: usize,
    /// Bytes of each key of the cipher.
    pub key_bytes: usize,
    /// Bytes of each initialization vector.
    pub iv_bytes: usize,
}

/// `CK_TLS_KDF_PARAMS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls12KdfParameters {
    /// The hash of the pseudo-random function.
    pub hash: Hash,
    /// The label.
    pub label: Vec<u8>,
    /// The client's random bytes.
    pub client_random: Vec<u8>,
    /// The server's.
    pub server_random: Vec<u8>,
    /// The context, with its length before it as RFC 5705 wants if there is one.
    pub context: Option<Vec<u8>>,
}

/// `CK_TLS_MAC_PARAMS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsMacParameters {
    /// The hash of the pseudo-random function.
    pub hash: Hash,
    /// Bytes of the result.
    pub bytes: usize,
    /// Of the server's message; else of the client's.
    pub server: bool,
}

impl Mechanism {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> MechanismType {
        use MechanismType as T;
        match self {
            Self::EcKeyPairGen => T::EcKeyPairGen,
            Self::EdwardsKeyPairGen => T::EcEdwardsKeyPairGen,
            Self::MontgomeryKeyPairGen => T::EcMontgomeryKeyPairGen,
            Self::RsaKeyPairGen => T::RsaPkcsKeyPairGen,
            Self::AesKeyGen => T::AesKeyGen,
            Self::GenericSecretKeyGen => T::GenericSecretKeyGen,
            Self::HkdfKeyGen => T::HkdfKeyGen,
            Self::Digest(hash) => hash.digest(),
            Self::Ecdsa(None) => T::Ecdsa,
            Self::Ecdsa(Some(hash)) => hash.ecdsa(),
            Self::Eddsa => T::Eddsa,
            Self::RsaPkcs => T::RsaPkcs,
            Self::RsaX509 => T::RsaX509,
            Self::RsaPkcsHash(hash) => hash.rsa_pkcs(),
            Self::RsaPss { hash: None, .. } => T::RsaPkcsPss,
            Self::RsaPss { hash: Some(hash), .. } => hash.rsa_pss(),
            Self::RsaOaep(_) => T::RsaPkcsOaep,
            Self::Hmac { hash, bytes: None } => hash.hmac(),
            Self::Hmac { hash, bytes: Some(_) } => hash.hmac_general(),
            Self::AesEcb => T::AesEcb,
            Self::AesCbc { .. } => T::AesCbc,
            Self::AesCbcPad { .. } => T::AesCbcPad,
            Self::AesCtr { .. } => T::AesCtr,
            Self::AesGcm(_) => T::AesGcm,
            Self::AesCmac { bytes: None } => T::AesCmac,
            Self::AesCmac { bytes: Some(_) } => T::AesCmacGeneral,
            Self::AesKeyWrap => T::AesKeyWrap,
            Self::AesKeyWrapKwp => T::AesKeyWrapKwp,
            Self::Ecdh1(EcdhParameters { cofactor: false, .. }) => T::Ecdh1Derive,
            Self::Ecdh1(_) => T::Ecdh1CofactorDerive,
            Self::HkdfDerive(_) => T::HkdfDerive,
            Self::HkdfData(_) => T::HkdfData,
            Self::Tls12Master(p) if p.with_version => T::Tls12MasterKeyDerive,
            Self::Tls12Master(_) => T::Tls12MasterKeyDeriveDh,
            Self::Tls12ExtendedMaster(p) if p.with_version => T::Tls12ExtendedMasterKeyDerive,
            Self::Tls12ExtendedMaster(_) => T::Tls12ExtendedMasterKeyDeriveDh,
            Self::Tls12KeyAndMac(_) => T::Tls12KeyAndMacDerive,
            Self::Tls12Kdf(_) => T::Tls12Kdf,
            Self::TlsMac(_) => T::TlsMac,
        }
    }
}
