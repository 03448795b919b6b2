//! Mechanisms and their parameters, as hostile as the rest: structures whose numbers are the fuzzer's and whose pointers lead
//! into the arena, or nowhere.

use std::ptr::null_mut;

use cryptoki_sys::*;

use super::Program;

/// What the parameter of a mechanism is.
#[derive(Clone, Copy)]
pub(super) enum Parameter {
    None,
    Bytes(usize),
    Gcm,
    Ecdh,
    Pss,
    Oaep,
    Eddsa,
    Hkdf,
    Master,
    ExtendedMaster,
    KeysAndMacs,
    Exporter,
    Finished,
}

/// Mechanisms that are quick, with what their parameter is.
pub(super) const MECHANISMS: &[(CK_MECHANISM_TYPE, Parameter)] = &[
    (CKM_EC_KEY_PAIR_GEN, Parameter::None),
    (CKM_EC_EDWARDS_KEY_PAIR_GEN, Parameter::None),
    (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, Parameter::None),
    (CKM_AES_KEY_GEN, Parameter::None),
    (CKM_GENERIC_SECRET_KEY_GEN, Parameter::None),
    (CKM_ECDSA, Parameter::None),
    (CKM_ECDSA_SHA256, Parameter::None),
    (CKM_EDDSA, Parameter::None),
    (CKM_EDDSA, Parameter::Eddsa),
    (CKM_SHA256, Parameter::None),
    (CKM_SHA512, Parameter::None),
    (CKM_SHA256_HMAC, Parameter::None),
    (CKM_SHA256_HMAC_GENERAL, Parameter::Bytes(8)),
    (CKM_AES_CMAC, Parameter::None),
    (CKM_AES_ECB, Parameter::None),
    (CKM_AES_CBC, Parameter::Bytes(16)),
    (CKM_AES_CBC_PAD, Parameter::Bytes(16)),
    (CKM_AES_CTR, Parameter::Bytes(24)),
    (CKM_AES_GCM, Parameter::Gcm),
    (CKM_AES_KEY_WRAP, Parameter::None),
    (CKM_AES_KEY_WRAP_KWP, Parameter::None),
    (CKM_ECDH1_DERIVE, Parameter::Ecdh),
    (CKM_HKDF_DERIVE, Parameter::Bytes(3)),
    (CKM_HKDF_DERIVE, Parameter::Hkdf),
    (CKM_HKDF_DATA, Parameter::Hkdf),
    (CKM_TLS12_MASTER_KEY_DERIVE, Parameter::Master),
    (CKM_TLS12_MASTER_KEY_DERIVE_DH, Parameter::Master),
    (CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE, Parameter::ExtendedMaster),
    (CKM_TLS12_KEY_AND_MAC_DERIVE, Parameter::KeysAndMacs),
    (CKM_TLS12_KDF, Parameter::Exporter),
    (CKM_TLS_MAC, Parameter::Finished),
    (CKM_RSA_PKCS, Parameter::None),
    (CKM_RSA_PKCS_PSS, Parameter::Bytes(24)),
    (CKM_RSA_PKCS_PSS, Parameter::Pss),
    (CKM_RSA_PKCS_OAEP, Parameter::Bytes(7)),
    (CKM_RSA_PKCS_OAEP, Parameter::Oaep),
    (CKM_MD5, Parameter::None),
];

const HASHES: &[CK_MECHANISM_TYPE] = &[
    CKM_SHA256,
    CKM_SHA_1,
    CKM_SHA384,
    CKM_SHA512,
    CKM_MD5,
    CK_ULONG::MAX,
];

impl Program<'_> {
    /// Where the parameter lies, and how long it is said to be.
    pub(super) fn parameter(&mut self, chosen: u8, parameter: Parameter) -> (*mut u8, CK_ULONG) {
        match (self.byte(), parameter) {
            (0, _) => (null_mut(), CK_ULONG::from(chosen)),
            (_, Parameter::None) => (null_mut(), 0),
            (_, Parameter::Bytes(bytes)) => (self.at(usize::from(chosen)), bytes as CK_ULONG),
            (_, Parameter::Gcm) => self.gcm(),
            (_, Parameter::Ecdh) => self.ecdh(),
            (_, Parameter::Pss) => self.pss(),
            (_, Parameter::Oaep) => self.oaep(),
            (_, Parameter::Eddsa) => self.eddsa(),
            (_, Parameter::Hkdf) => self.hkdf(),
            (_, Parameter::Master) => self.master(),
            (_, Parameter::ExtendedMaster) => self.extended_master(),
            (_, Parameter::KeysAndMacs) => self.keys_and_macs(),
            (_, Parameter::Exporter) => self.exporter(),
            (_, Parameter::Finished) => self.finished(),
        }
    }

    fn said<T>(&mut self, parameter: T) -> (*mut u8, CK_ULONG) {
        (self.keep(parameter).cast(), size_of::<T>() as CK_ULONG)
    }

    fn number(&mut self) -> CK_ULONG {
        CK_ULONG::from(self.byte())
    }

    fn hash(&mut self) -> CK_MECHANISM_TYPE {
        HASHES[usize::from(self.byte()) % HASHES.len()]
    }

    /// A place with room for as many bytes as a byte can say; sometimes none.
    fn place(&mut self) -> *mut u8 {
        match self.byte() {
            0 => null_mut(),
            at => self.at(usize::from(at)),
        }
    }

    fn gcm(&mut self) -> (*mut u8, CK_ULONG) {
        let ((iv, iv_bytes), (additional, additional_bytes)) = (self.buffer(), self.buffer());
        let parameter = CK_GCM_PARAMS {
            pIv: iv,
            ulIvLen: iv_bytes,
            ulIvBits: iv_bytes.wrapping_mul(8),
            pAAD: additional,
            ulAADLen: additional_bytes,
            ulTagBits: self.number(),
        };
        self.said(parameter)
    }

    fn ecdh(&mut self) -> (*mut u8, CK_ULONG) {
        let ((shared, shared_bytes), (public, public_bytes)) = (self.buffer(), self.buffer());
        let parameter = CK_ECDH1_DERIVE_PARAMS {
            kdf: self.number() % 16,
            ulSharedDataLen: shared_bytes,
            pSharedData: shared,
            ulPublicDataLen: public_bytes,
            pPublicData: public,
        };
        self.said(parameter)
    }

    fn pss(&mut self) -> (*mut u8, CK_ULONG) {
        let parameter = CK_RSA_PKCS_PSS_PARAMS {
            hashAlg: self.hash(),
            mgf: self.number() % 8,
            sLen: self.number(),
        };
        self.said(parameter)
    }

    fn oaep(&mut self) -> (*mut u8, CK_ULONG) {
        let (label, label_bytes) = self.buffer();
        let parameter = CK_RSA_PKCS_OAEP_PARAMS {
            hashAlg: self.hash(),
            mgf: self.number() % 8,
            source: self.number() % 3,
            pSourceData: label.cast(),
            ulSourceDataLen: label_bytes,
        };
        self.said(parameter)
    }

    fn eddsa(&mut self) -> (*mut u8, CK_ULONG) {
        let (context, context_bytes) = self.buffer();
        let parameter = CK_EDDSA_PARAMS {
            phFlag: self.byte(),
            ulContextDataLen: context_bytes,
            pContextData: context,
        };
        self.said(parameter)
    }

    fn hkdf(&mut self) -> (*mut u8, CK_ULONG) {
        let ((salt, salt_bytes), (info, info_bytes)) = (self.buffer(), self.buffer());
        let parameter = CK_HKDF_PARAMS {
            bExtract: self.byte() % 3,
            bExpand: self.byte() % 3,
            prfHashMechanism: self.hash(),
            ulSaltType: self.number() % 6,
            pSalt: salt,
            ulSaltLen: salt_bytes,
            hSaltKey: self.handle(),
            pInfo: info,
            ulInfoLen: info_bytes,
        };
        self.said(parameter)
    }

    fn randoms(&mut self) -> CK_SSL3_RANDOM_DATA {
        let ((client, client_bytes), (server, server_bytes)) = (self.buffer(), self.buffer());
        CK_SSL3_RANDOM_DATA {
            pClientRandom: client,
            ulClientRandomLen: client_bytes,
            pServerRandom: server,
            ulServerRandomLen: server_bytes,
        }
    }

    fn master(&mut self) -> (*mut u8, CK_ULONG) {
        let parameter = CK_TLS12_MASTER_KEY_DERIVE_PARAMS {
            RandomInfo: self.randoms(),
            pVersion: self.place().cast(),
            prfHashMechanism: self.hash(),
        };
        self.said(parameter)
    }

    fn extended_master(&mut self) -> (*mut u8, CK_ULONG) {
        let (hash, hash_bytes) = self.buffer();
        let parameter = CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS {
            prfHashMechanism: self.hash(),
            pSessionHash: hash,
            ulSessionHashLen: hash_bytes,
            pVersion: self.place().cast(),
        };
        self.said(parameter)
    }

    fn keys_and_macs(&mut self) -> (*mut u8, CK_ULONG) {
        let out = CK_SSL3_KEY_MAT_OUT {
            hClientMacSecret: 0,
            hServerMacSecret: 0,
            hClientKey: 0,
            hServerKey: 0,
            pIVClient: self.place(),
            pIVServer: self.place(),
        };
        let out = match self.byte() {
            0 => null_mut(),
            _ => self.keep(out),
        };
        let parameter = CK_TLS12_KEY_MAT_PARAMS {
            ulMacSizeInBits: self.number() * 8,
            ulKeySizeInBits: self.number() * 8,
            ulIVSizeInBits: self.number() * 8,
            bIsExport: self.byte() % 2,
            RandomInfo: self.randoms(),
            pReturnedKeyMaterial: out,
            prfHashMechanism: self.hash(),
        };
        self.said(parameter)
    }

    fn exporter(&mut self) -> (*mut u8, CK_ULONG) {
        let ((label, label_bytes), (context, context_bytes)) = (self.buffer(), self.buffer());
        let parameter = CK_TLS_KDF_PARAMS {
            prfMechanism: self.hash(),
            pLabel: label,
            ulLabelLength: label_bytes,
            RandomInfo: self.randoms(),
            pContextData: context,
            ulContextDataLength: context_bytes,
        };
        self.said(parameter)
    }

    fn finished(&mut self) -> (*mut u8, CK_ULONG) {
        let parameter = CK_TLS_MAC_PARAMS {
            prfHashMechanism: self.hash(),
            ulMacLength: self.number(),
            ulServerOrClient: self.number() % 4,
        };
        self.said(parameter)
    }
}
