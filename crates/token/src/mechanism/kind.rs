//! Which mechanisms and which types of keys this token knows: the `CKM_` and `CKK_` numbers of PKCS #11.
//!
//! DES, 3DES and MD5 are not here and never will be: whoever asks for them hears `CKR_MECHANISM_INVALID`.

macro_rules! numbers {
    ($(#[$outer:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $number:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type {
            $($(#[$doc])* $name,)*
        }

        impl $type {
            /// All that this build knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number in the standard.
            #[must_use]
            pub const fn number(self) -> u64 {
                match self {
                    $(Self::$name => $number,)*
                }
            }

            /// From the number in the standard; `None` for what this build does not know.
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

numbers! {
    /// The type of a mechanism (`CK_MECHANISM_TYPE`): what it is without its parameter.
    MechanismType {
        /// `CKM_RSA_PKCS_KEY_PAIR_GEN`.
        RsaPkcsKeyPairGen = 0x0000,
        /// `CKM_RSA_PKCS`: version 1.5 of the padding around what the caller brings.
        RsaPkcs = 0x0001,
        /// `CKM_RSA_X_509`: the bare function.
        RsaX509 = 0x0003,
        /// `CKM_SHA1_RSA_PKCS`.
        Sha1RsaPkcs = 0x0006,
        /// `CKM_RSA_PKCS_OAEP`.
        RsaPkcsOaep = 0x0009,
        /// `CKM_RSA_PKCS_PSS`: of a digest that the caller made.
        RsaPkcsPss = 0x000D,
        /// `CKM_SHA1_RSA_PKCS_PSS`.
        Sha1RsaPkcsPss = 0x000E,
        /// `CKM_SHA256_RSA_PKCS`.
        Sha256RsaPkcs = 0x0040,
        /// `CKM_SHA384_RSA_PKCS`.
        Sha384RsaPkcs = 0x0041,
        /// `CKM_SHA512_RSA_PKCS`.
        Sha512RsaPkcs = 0x0042,
        /// `CKM_SHA256_RSA_PKCS_PSS`.
        Sha256RsaPkcsPss = 0x0043,
        /// `CKM_SHA384_RSA_PKCS_PSS`.
        Sha384RsaPkcsPss = 0x0044,
        /// `CKM_SHA512_RSA_PKCS_PSS`.
        Sha512RsaPkcsPss = 0x0045,
        /// `CKM_SHA224_RSA_PKCS`.
        Sha224RsaPkcs = 0x0046,
        /// `CKM_SHA224_RSA_PKCS_PSS`.
        Sha224RsaPkcsPss = 0x0047,
        /// `CKM_SHA3_256_RSA_PKCS`.
        Sha3_256RsaPkcs = 0x0060,
        /// `CKM_SHA3_384_RSA_PKCS`.
        Sha3_384RsaPkcs = 0x0061,
        /// `CKM_SHA3_512_RSA_PKCS`.
        Sha3_512RsaPkcs = 0x0062,
        /// `CKM_SHA3_256_RSA_PKCS_PSS`.
        Sha3_256RsaPkcsPss = 0x0063,
        /// `CKM_SHA3_384_RSA_PKCS_PSS`.
        Sha3_384RsaPkcsPss = 0x0064,
        /// `CKM_SHA3_512_RSA_PKCS_PSS`.
        Sha3_512RsaPkcsPss = 0x0065,
        /// `CKM_SHA3_224_RSA_PKCS`.
        Sha3_224RsaPkcs = 0x0066,
        /// `CKM_SHA3_224_RSA_PKCS_PSS`.
        Sha3_224RsaPkcsPss = 0x0067,
        /// `CKM_SHA_1`.
        Sha1 = 0x0220,
        /// `CKM_SHA_1_HMAC`.
        Sha1Hmac = 0x0221,
        /// `CKM_SHA_1_HMAC_GENERAL`.
        Sha1HmacGeneral = 0x0222,
        /// `CKM_SHA256`.
        Sha256 = 0x0250,
        /// `CKM_SHA256_HMAC`.
        Sha256Hmac = 0x0251,
        /// `CKM_SHA256_HMAC_GENERAL`.
        Sha256HmacGeneral = 0x0252,
        /// `CKM_SHA224`.
        Sha224 = 0x0255,
        /// `CKM_SHA224_HMAC`.
        Sha224Hmac = 0x0256,
        /// `CKM_SHA224_HMAC_GENERAL`.
        Sha224HmacGeneral = 0x0257,
        /// `CKM_SHA384`.
        Sha384 = 0x0260,
        /// `CKM_SHA384_HMAC`.
        Sha384Hmac = 0x0261,
        /// `CKM_SHA384_HMAC_GENERAL`.
        Sha384HmacGeneral = 0x0262,
        /// `CKM_SHA512`.
        Sha512 = 0x0270,
        /// `CKM_SHA512_HMAC`.
        Sha512Hmac = 0x0271,
        /// `CKM_SHA512_HMAC_GENERAL`.
        Sha512HmacGeneral = 0x0272,
        /// `CKM_SHA3_256`.
        Sha3_256 = 0x02B0,
        /// `CKM_SHA3_256_HMAC`.
        Sha3_256Hmac = 0x02B1,
        /// `CKM_SHA3_256_HMAC_GENERAL`.
        Sha3_256HmacGeneral = 0x02B2,
        /// `CKM_SHA3_224`.
        Sha3_224 = 0x02B5,
        /// `CKM_SHA3_224_HMAC`.
        Sha3_224Hmac = 0x02B6,
        /// `CKM_SHA3_224_HMAC_GENERAL`.
        Sha3_224HmacGeneral = 0x02B7,
        /// `CKM_SHA3_384`.
        Sha3_384 = 0x02C0,
        /// `CKM_SHA3_384_HMAC`.
        Sha3_384Hmac = 0x02C1,
        /// `CKM_SHA3_384_HMAC_GENERAL`.
        Sha3_384HmacGeneral = 0x02C2,
        /// `CKM_SHA3_512`.
        Sha3_512 = 0x02D0,
        /// `CKM_SHA3_512_HMAC`.
        Sha3_512Hmac = 0x02D1,
        /// `CKM_SHA3_512_HMAC_GENERAL`.
        Sha3_512HmacGeneral = 0x02D2,
        /// `CKM_GENERIC_SECRET_KEY_GEN`.
        GenericSecretKeyGen = 0x0350,
        /// `CKM_TLS_MAC`.
        TlsMac = 0x03E4,
        /// `CKM_TLS12_KDF`: exports keying material (RFC 5705).
        Tls12Kdf = 0x03D9,
        /// `CKM_TLS12_MASTER_KEY_DERIVE`.
        Tls12MasterKeyDerive = 0x03E0,
        /// `CKM_TLS12_KEY_AND_MAC_DERIVE`.
        Tls12KeyAndMacDerive = 0x03E1,
        /// `CKM_TLS12_MASTER_KEY_DERIVE_DH`.
        Tls12MasterKeyDeriveDh = 0x03E2,
        /// `CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE` (3.2; RFC 7627).
        Tls12ExtendedMasterKeyDerive = 0x0056,
        /// `CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH` (3.2).
        Tls12ExtendedMasterKeyDeriveDh = 0x0057,
        /// `CKM_EC_KEY_PAIR_GEN`.
        EcKeyPairGen = 0x1040,
        /// `CKM_ECDSA`: of a digest that the caller made.
        Ecdsa = 0x1041,
        /// `CKM_ECDSA_SHA1`.
        EcdsaSha1 = 0x1042,
        /// `CKM_ECDSA_SHA224`.
        EcdsaSha224 = 0x1043,
        /// `CKM_ECDSA_SHA256`.
        EcdsaSha256 = 0x1044,
        /// `CKM_ECDSA_SHA384`.
        EcdsaSha384 = 0x1045,
        /// `CKM_ECDSA_SHA512`.
        EcdsaSha512 = 0x1046,
        /// `CKM_ECDSA_SHA3_224`.
        EcdsaSha3_224 = 0x1047,
        /// `CKM_ECDSA_SHA3_256`.
        EcdsaSha3_256 = 0x1048,
        /// `CKM_ECDSA_SHA3_384`.
        EcdsaSha3_384 = 0x1049,
        /// `CKM_ECDSA_SHA3_512`.
        EcdsaSha3_512 = 0x104a,
        /// `CKM_ECDH1_DERIVE`.
        Ecdh1Derive = 0x1050,
        /// `CKM_ECDH1_COFACTOR_DERIVE`: the same, since the cofactor of these curves is one.
        Ecdh1CofactorDerive = 0x1051,
        /// `CKM_EC_EDWARDS_KEY_PAIR_GEN`.
        EcEdwardsKeyPairGen = 0x1055,
        /// `CKM_EC_MONTGOMERY_KEY_PAIR_GEN`.
        EcMontgomeryKeyPairGen = 0x1056,
        /// `CKM_EDDSA`.
        Eddsa = 0x1057,
        /// `CKM_AES_KEY_GEN`.
        AesKeyGen = 0x1080,
        /// `CKM_AES_ECB`.
        AesEcb = 0x1081,
        /// `CKM_AES_CBC`.
        AesCbc = 0x1082,
        /// `CKM_AES_CBC_PAD`.
        AesCbcPad = 0x1085,
        /// `CKM_AES_CTR`.
        AesCtr = 0x1086,
        /// `CKM_AES_GCM`.
        AesGcm = 0x1087,
        /// `CKM_AES_CMAC_GENERAL`.
        AesCmacGeneral = 0x108B,
        /// `CKM_AES_CMAC`.
        AesCmac = 0x108A,
        /// `CKM_AES_KEY_WRAP` (RFC 3394).
        AesKeyWrap = 0x2109,
        /// `CKM_AES_KEY_WRAP_KWP` (RFC 5649).
        AesKeyWrapKwp = 0x210B,
        /// `CKM_HKDF_DERIVE`.
        HkdfDerive = 0x402A,
        /// `CKM_HKDF_DATA`.
        HkdfData = 0x402B,
        /// `CKM_HKDF_KEY_GEN`.
        HkdfKeyGen = 0x402C,
    }
}

numbers! {
    /// The type of a key (`CK_KEY_TYPE`).
    KeyType {
        /// `CKK_RSA`.
        Rsa = 0x00,
        /// `CKK_EC`.
        Ec = 0x03,
        /// `CKK_GENERIC_SECRET`.
        GenericSecret = 0x10,
        /// `CKK_AES`.
        Aes = 0x1F,
        /// `CKK_SHA_1_HMAC`.
        Sha1Hmac = 0x28,
        /// `CKK_SHA256_HMAC`.
        Sha256Hmac = 0x2B,
        /// `CKK_SHA384_HMAC`.
        Sha384Hmac = 0x2C,
        /// `CKK_SHA512_HMAC`.
        Sha512Hmac = 0x2D,
        /// `CKK_SHA224_HMAC`.
        Sha224Hmac = 0x2E,
        /// `CKK_SHA3_224_HMAC`.
        Sha3_224Hmac = 0x36,
        /// `CKK_SHA3_256_HMAC`.
        Sha3_256Hmac = 0x37,
        /// `CKK_SHA3_384_HMAC`.
        Sha3_384Hmac = 0x38,
        /// `CKK_SHA3_512_HMAC`.
        Sha3_512Hmac = 0x39,
        /// `CKK_EC_EDWARDS`.
        EcEdwards = 0x40,
        /// `CKK_EC_MONTGOMERY`.
        EcMontgomery = 0x41,
        /// `CKK_HKDF`.
        Hkdf = 0x42,
    }
}
