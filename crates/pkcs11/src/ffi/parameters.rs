//! Mechanisms of C as mechanisms of `token`: the parameter's structure becomes what the mechanism wants, with all that it points
//! to copied and bounded.
//!
//! A parameter of another size, a NULL where bytes are said to be, a number that means nothing: all are
//! `CKR_MECHANISM_PARAM_INVALID`. Places that a mechanism writes to are looked at when it has something to write.

use cryptoki_sys::*;
use token::crypto::{
    AES_BLOCK_BYTES, EcdhParameters, GcmParameters, HkdfParameters, HkdfSalt, OaepParameters, PssParameters,
    Tls12ExtendedMasterParameters, Tls12KdfParameters, Tls12KeyAndMacParameters, Tls12MasterParameters,
    TlsMacParameters,
};
use token::limits::PARAMETER_BYTES_MAX;
use token::{Hash, Mechanism, MechanismType as T};

use super::{Fault, pointers};

const WRONG: Fault = Fault(CKR_MECHANISM_PARAM_INVALID);

/// The mechanism with this number and these bytes as parameter.
///
/// # Safety
/// If the bytes are the structure that the standard names for the mechanism, each of its pointers is NULL or points to as many
/// bytes as the structure says.
pub(super) unsafe fn mechanism(number: u64, parameter: &[u8]) -> Result<Mechanism, Fault> {
    let kind = T::from_number(number).ok_or(Fault(CKR_MECHANISM_INVALID))?;
    if let Some(hash) = kind.hash() {
        return hashing(kind, hash, parameter);
    }
    if let Some(mechanism) = bare(kind) {
        return empty(parameter).map(|()| mechanism);
    }
    // SAFETY: the caller's promise.
    unsafe { with_parameter(kind, parameter) }
}

/// Mechanisms that take no parameter.
const fn bare(kind: T) -> Option<Mechanism> {
    Some(match kind {
        T::EcKeyPairGen => Mechanism::EcKeyPairGen,
        T::EcEdwardsKeyPairGen => Mechanism::EdwardsKeyPairGen,
        T::EcMontgomeryKeyPairGen => Mechanism::MontgomeryKeyPairGen,
        T::RsaPkcsKeyPairGen => Mechanism::RsaKeyPairGen,
        T::AesKeyGen => Mechanism::AesKeyGen,
        T::GenericSecretKeyGen => Mechanism::GenericSecretKeyGen,
        T::HkdfKeyGen => Mechanism::HkdfKeyGen,
        T::Ecdsa => Mechanism::Ecdsa(None),
        T::RsaPkcs => Mechanism::RsaPkcs,
        T::RsaX509 => Mechanism::RsaX509,
        T::AesEcb => Mechanism::AesEcb,
        T::AesCmac => Mechanism::AesCmac { bytes: None },
        _ => return None,
    })
}

/// Mechanisms that there are once for each hash.
fn hashing(kind: T, hash: Hash, parameter: &[u8]) -> Result<Mechanism, Fault> {
    if kind == hash.rsa_pss() {
        let parameters = pss(parameter)?;
        let hash = Some(hash);
        return Ok(Mechanism::RsaPss { hash, parameters });
    }
    if kind == hash.hmac_general() {
        let bytes = Some(count(read::<CK_ULONG>(parameter)?)?);
        return Ok(Mechanism::Hmac { hash, bytes });
    }
    empty(parameter)?;
    Ok(match kind {
        _ if kind == hash.digest() => Mechanism::Digest(hash),
        _ if kind == hash.ecdsa() => Mechanism::Ecdsa(Some(hash)),
        _ if kind == hash.rsa_pkcs() => Mechanism::RsaPkcsHash(hash),
        _ => Mechanism::Hmac { hash, bytes: None },
    })
}

/// # Safety
/// As [`mechanism`].
unsafe fn with_parameter(kind: T, parameter: &[u8]) -> Result<Mechanism, Fault> {
    // SAFETY: the caller's promise, for each structure below.
    unsafe {
        Ok(match kind {
            T::RsaPkcsPss => Mechanism::RsaPss {
                hash: None,
                parameters: pss(parameter)?,
            },
            T::RsaPkcsOaep => Mechanism::RsaOaep(oaep(read(parameter)?)?),
            T::Eddsa => eddsa(parameter)?,
            T::AesCbc => Mechanism::AesCbc {
                iv: block(parameter)?,
            },
            T::AesCbcPad => Mechanism::AesCbcPad {
                iv: block(parameter)?,
            },
            T::AesCtr => counter(read(parameter)?)?,
            T::AesGcm => Mechanism::AesGcm(gcm(parameter)?),
            T::AesCmacGeneral => Mechanism::AesCmac {
                bytes: Some(count(read::<CK_ULONG>(parameter)?)?),
            },
            T::AesKeyWrap => default_iv(parameter, &[0xA6; 8]).map(|()| Mechanism::AesKeyWrap)?,
            T::AesKeyWrapKwp => {
                default_iv(parameter, &[0xA6, 0x59, 0x59, 0xA6]).map(|()| Mechanism::AesKeyWrapKwp)?
            }
            T::Ecdh1Derive => Mechanism::Ecdh1(ecdh(read(parameter)?, false)?),
            T::Ecdh1CofactorDerive => Mechanism::Ecdh1(ecdh(read(parameter)?, true)?),
            T::HkdfDerive => Mechanism::HkdfDerive(hkdf(read(parameter)?)?),
            T::HkdfData => Mechanism::HkdfData(hkdf(read(parameter)?)?),
            T::Tls12MasterKeyDerive => Mechanism::Tls12Master(master(read(parameter)?, true)?),
            T::Tls12MasterKeyDeriveDh => Mechanism::Tls12Master(master(read(parameter)?, false)?),
            T::Tls12ExtendedMasterKeyDerive => {
                Mechanism::Tls12ExtendedMaster(extended_master(read(parameter)?, true)?)
            }
            T::Tls12ExtendedMasterKeyDeriveDh => {
                Mechanism::Tls12ExtendedMaster(extended_master(read(parameter)?, false)?)
            }
            T::Tls12KeyAndMacDerive => Mechanism::Tls12KeyAndMac(key_and_mac(read(parameter)?)?),
            T::Tls12Kdf => Mechanism::Tls12Kdf(exported(read(parameter)?)?),
            T::TlsMac => Mechanism::TlsMac(finished(read(parameter)?)?),
            _ => return Err(Fault(CKR_MECHANISM_INVALID)),
        })
    }
}

/// A structure of C that is numbers and pointers only: any bytes are one.
///
/// # Safety
/// Each field is a number, an array of numbers or a pointer.
unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($structure:ty),* $(,)?) => {$(
        // SAFETY: numbers, pointers, and structures of those (PKCS #11 v3.1, 6).
        unsafe impl Plain for $structure {}
    )*};
}

plain!(
    CK_ULONG,
    CK_RSA_PKCS_PSS_PARAMS,
    CK_RSA_PKCS_OAEP_PARAMS,
    CK_EDDSA_PARAMS,
    CK_AES_CTR_PARAMS,
    CK_GCM_PARAMS,
    OldGcm,
    CK_ECDH1_DERIVE_PARAMS,
    CK_HKDF_PARAMS,
    CK_TLS12_MASTER_KEY_DERIVE_PARAMS,
    CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS,
    CK_TLS12_KEY_MAT_PARAMS,
    CK_TLS_KDF_PARAMS,
    CK_TLS_MAC_PARAMS,
);

/// The structure that these bytes are, wherever they lie, if they are as many as it has.
fn read<S: Plain>(parameter: &[u8]) -> Result<S, Fault> {
    if parameter.len() != size_of::<S>() {
        return Err(WRONG);
    }
    // SAFETY: as many bytes as the structure has, any of which make one; no alignment is asked for.
    Ok(unsafe { parameter.as_ptr().cast::<S>().read_unaligned() })
}

/// A copy of what a structure points to.
///
/// # Safety
/// `first` is NULL or points to as many bytes.
unsafe fn bytes(first: *mut CK_BYTE, length: CK_ULONG) -> Result<Vec<u8>, Fault> {
    if count(length)? > PARAMETER_BYTES_MAX {
        return Err(WRONG);
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { pointers::array(first.cast_const(), length) };
    bytes.map(<[u8]>::to_vec).map_err(|_| WRONG)
}

fn count(number: CK_ULONG) -> Result<usize, Fault> {
    usize::try_from(number).map_err(|_| WRONG)
}

const fn empty(parameter: &[u8]) -> Result<(), Fault> {
    if parameter.is_empty() { Ok(()) } else { Err(WRONG) }
}

fn flag(value: CK_BBOOL) -> Result<bool, Fault> {
    match value {
        CK_FALSE => Ok(false),
        CK_TRUE => Ok(true),
        _ => Err(WRONG),
    }
}

fn block(parameter: &[u8]) -> Result<[u8; AES_BLOCK_BYTES], Fault> {
    parameter.try_into().map_err(|_| WRONG)
}

/// Key wrap has no other initial value here than the standard's own.
fn default_iv(parameter: &[u8], default: &[u8]) -> Result<(), Fault> {
    if parameter.is_empty() || parameter == default {
        Ok(())
    } else {
        Err(WRONG)
    }
}

/// The hash that a mechanism's number means; the mechanism must be the digest itself.
fn hash(mechanism: CK_MECHANISM_TYPE) -> Result<Hash, Fault> {
    let kind = T::from_number(mechanism.into()).ok_or(WRONG)?;
    kind.hash().filter(|hash| hash.digest() == kind).ok_or(WRONG)
}

/// The hash of a mask generation function.
fn mask(function: CK_RSA_PKCS_MGF_TYPE) -> Result<Hash, Fault> {
    Ok(match function {
        CKG_MGF1_SHA1 => Hash::Sha1,
        CKG_MGF1_SHA224 => Hash::Sha224,
        CKG_MGF1_SHA256 => Hash::Sha256,
        CKG_MGF1_SHA384 => Hash::Sha384,
        CKG_MGF1_SHA512 => Hash::Sha512,
        CKG_MGF1_SHA3_224 => Hash::Sha3_224,
        CKG_MGF1_SHA3_256 => Hash::Sha3_256,
        CKG_MGF1_SHA3_384 => Hash::Sha3_384,
        CKG_MGF1_SHA3_512 => Hash::Sha3_512,
        _ => return Err(WRONG),
    })
}

/// The hash of a key derivation function; `None` for the one that leaves the secret as it is.
fn derivation(function: CK_EC_KDF_TYPE) -> Result<Option<Hash>, Fault> {
    Ok(Some(match function {
        CKD_NULL => return Ok(None),
        CKD_SHA1_KDF => Hash::Sha1,
        CKD_SHA224_KDF => Hash::Sha224,
        CKD_SHA256_KDF => Hash::Sha256,
        CKD_SHA384_KDF => Hash::Sha384,
        CKD_SHA512_KDF => Hash::Sha512,
        CKD_SHA3_224_KDF => Hash::Sha3_224,
        CKD_SHA3_256_KDF => Hash::Sha3_256,
        CKD_SHA3_384_KDF => Hash::Sha3_384,
        CKD_SHA3_512_KDF => Hash::Sha3_512,
        _ => return Err(WRONG),
    }))
}

fn pss(parameter: &[u8]) -> Result<PssParameters, Fault> {
    let said = read::<CK_RSA_PKCS_PSS_PARAMS>(parameter)?;
    Ok(PssParameters {
        hash: hash(said.hashAlg)?,
        mask: mask(said.mgf)?,
        salt_bytes: count(said.sLen)?,
    })
}

/// # Safety
/// As [`mechanism`].
unsafe fn oaep(said: CK_RSA_PKCS_OAEP_PARAMS) -> Result<OaepParameters, Fault> {
    // SAFETY: the caller's promise.
    let label = unsafe { bytes(said.pSourceData.cast(), said.ulSourceDataLen) }?;
    // Without a label some leave the source out.
    if said.source != CKZ_DATA_SPECIFIED && !(said.source == 0 && label.is_empty()) {
        return Err(WRONG);
    }
    Ok(OaepParameters {
        hash: hash(said.hashAlg)?,
        mask: mask(said.mgf)?,
        label,
    })
}

/// Ed25519 as it is, with or without a structure that says so. Nothing is hashed before, and there is no context.
fn eddsa(parameter: &[u8]) -> Result<Mechanism, Fault> {
    if !parameter.is_empty() {
        let said = read::<CK_EDDSA_PARAMS>(parameter)?;
        if flag(said.phFlag)? || said.ulContextDataLen != 0 {
            return Err(WRONG);
        }
    }
    Ok(Mechanism::Eddsa)
}

fn counter(said: CK_AES_CTR_PARAMS) -> Result<Mechanism, Fault> {
    Ok(Mechanism::AesCtr {
        counter_bits: u8::try_from(said.ulCounterBits).map_err(|_| WRONG)?,
        block: said.cb,
    })
}

/// `CK_GCM_PARAMS` as it was before version 2.40 added the bits of the nonce.
#[derive(Clone, Copy)]
#[cfg_attr(windows, repr(C, packed))]
#[cfg_attr(not(windows), repr(C))]
#[expect(non_snake_case, reason = "the names are the standard's")]
struct OldGcm {
    pIv: *mut CK_BYTE,
    ulIvLen: CK_ULONG,
    pAAD: *mut CK_BYTE,
    ulAADLen: CK_ULONG,
    ulTagBits: CK_ULONG,
}

/// # Safety
/// As [`mechanism`].
unsafe fn gcm(parameter: &[u8]) -> Result<GcmParameters, Fault> {
    let said = match read::<OldGcm>(parameter) {
        Ok(said) => said,
        Err(_) => new_gcm(read(parameter)?)?,
    };
    let tag_bits = count(said.ulTagBits)?;
    if !tag_bits.is_multiple_of(8) {
        return Err(WRONG);
    }
    // SAFETY: the caller's promise.
    let (iv, additional) = unsafe { (bytes(said.pIv, said.ulIvLen)?, bytes(said.pAAD, said.ulAADLen)?) };
    Ok(GcmParameters {
        iv,
        additional,
        tag_bytes: tag_bits / 8,
    })
}

/// The bits of the nonce are those of its bytes; many leave them out.
fn new_gcm(said: CK_GCM_PARAMS) -> Result<OldGcm, Fault> {
    if said.ulIvBits != 0 && Some(said.ulIvBits) != said.ulIvLen.checked_mul(8) {
        return Err(WRONG);
    }
    Ok(OldGcm {
        pIv: said.pIv,
        ulIvLen: said.ulIvLen,
        pAAD: said.pAAD,
        ulAADLen: said.ulAADLen,
        ulTagBits: said.ulTagBits,
    })
}

/// # Safety
/// As [`mechanism`].
unsafe fn ecdh(said: CK_ECDH1_DERIVE_PARAMS, cofactor: bool) -> Result<EcdhParameters, Fault> {
    // SAFETY: the caller's promise.
    let (shared, public) = unsafe {
        (
            bytes(said.pSharedData, said.ulSharedDataLen)?,
            bytes(said.pPublicData, said.ulPublicDataLen)?,
        )
    };
    Ok(EcdhParameters {
        cofactor,
        kdf: derivation(said.kdf)?,
        shared,
        public,
    })
}

/// # Safety
/// As [`mechanism`].
unsafe fn hkdf(said: CK_HKDF_PARAMS) -> Result<HkdfParameters, Fault> {
    let extract = match (flag(said.bExtract)?, said.ulSaltType) {
        (false, _) => None,
        (true, CKF_HKDF_SALT_NULL) => Some(HkdfSalt::Zeros),
        // SAFETY: the caller's promise.
        (true, CKF_HKDF_SALT_DATA) => Some(HkdfSalt::Bytes(unsafe { bytes(said.pSalt, said.ulSaltLen) }?)),
        (true, CKF_HKDF_SALT_KEY) => Some(HkdfSalt::Key(said.hSaltKey.into())),
        (true, _) => return Err(WRONG),
    };
    let expand = match flag(said.bExpand)? {
        false => None,
        // SAFETY: the caller's promise.
        true => Some(unsafe { bytes(said.pInfo, said.ulInfoLen) }?),
    };
    Ok(HkdfParameters {
        hash: hash(said.prfHashMechanism)?,
        extract,
        expand,
    })
}

/// The random bytes of client and server.
///
/// # Safety
/// As [`mechanism`].
unsafe fn randoms(said: CK_SSL3_RANDOM_DATA) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        Ok((
            bytes(said.pClientRandom, said.ulClientRandomLen)?,
            bytes(said.pServerRandom, said.ulServerRandomLen)?,
        ))
    }
}

/// # Safety
/// As [`mechanism`].
unsafe fn master(
    said: CK_TLS12_MASTER_KEY_DERIVE_PARAMS,
    with_version: bool,
) -> Result<Tls12MasterParameters, Fault> {
    // SAFETY: the caller's promise.
    let (client_random, server_random) = unsafe { randoms(said.RandomInfo) }?;
    Ok(Tls12MasterParameters {
        hash: hash(said.prfHashMechanism)?,
        client_random,
        server_random,
        with_version,
    })
}

/// # Safety
/// As [`mechanism`].
unsafe fn extended_master(
    said: CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS,
    with_version: bool,
) -> Result<Tls12ExtendedMasterParameters, Fault> {
    Ok(Tls12ExtendedMasterParameters {
        hash: hash(said.prfHashMechanism)?,
        // SAFETY: the caller's promise.
        session_hash: unsafe { bytes(said.pSessionHash, said.ulSessionHashLen) }?,
        with_version,
    })
}

/// # Safety
/// As [`mechanism`].
unsafe fn key_and_mac(said: CK_TLS12_KEY_MAT_PARAMS) -> Result<Tls12KeyAndMacParameters, Fault> {
    if flag(said.bIsExport)? {
        return Err(WRONG);
    }
    let whole = |bits: CK_ULONG| {
        count(bits)
            .ok()
            .filter(|bits| bits.is_multiple_of(8))
            .map(|bits| bits / 8)
    };
    let sizes = [said.ulMacSizeInBits, said.ulKeySizeInBits, said.ulIVSizeInBits].map(whole);
    let [Some(mac_bytes), Some(key_bytes), Some(iv_bytes)] = sizes else {
        return Err(WRONG);
    };
    // SAFETY: the caller's promise.
    let (client_random, server_random) = unsafe { randoms(said.RandomInfo) }?;
    Ok(Tls12KeyAndMacParameters {
        hash: hash(said.prfHashMechanism)?,
        client_random,
        server_random,
        mac_bytes,
        key_bytes,
        iv_bytes,
    })
}

/// # Safety
/// As [`mechanism`].
unsafe fn exported(said: CK_TLS_KDF_PARAMS) -> Result<Tls12KdfParameters, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        let (client_random, server_random) = randoms(said.RandomInfo)?;
        // An empty context is one; none is none (RFC 5705, 4).
        let context = match said.pContextData.is_null() && said.ulContextDataLength == 0 {
            true => None,
            false => Some(bytes(said.pContextData, said.ulContextDataLength)?),
        };
        Ok(Tls12KdfParameters {
            hash: hash(said.prfMechanism)?,
            label: bytes(said.pLabel, said.ulLabelLength)?,
            client_random,
            server_random,
            context,
        })
    }
}

fn finished(said: CK_TLS_MAC_PARAMS) -> Result<TlsMacParameters, Fault> {
    Ok(TlsMacParameters {
        hash: hash(said.prfHashMechanism)?,
        bytes: count(said.ulMacLength)?,
        server: match said.ulServerOrClient {
            1 => true,
            2 => false,
            _ => return Err(WRONG),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a structure, as a caller in C has them.
    fn bytes_of<S: Plain>(structure: &S) -> &[u8] {
        // SAFETY: as many bytes as the structure has; the ones below have no padding that matters.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(structure).cast(), size_of::<S>()) }
    }

    fn parse(kind: T, parameter: &[u8]) -> Result<Mechanism, Fault> {
        // SAFETY: the structures below point to what they say.
        unsafe { mechanism(kind.number(), parameter) }
    }

    #[test]
    fn every_mechanism_is_parsed_and_is_what_was_asked_for() {
        let mut some = [0x11_u8; 64];
        let (at, length) = (some.as_mut_ptr(), 32);
        let random = CK_SSL3_RANDOM_DATA {
            pClientRandom: at,
            ulClientRandomLen: length,
            pServerRandom: at,
            ulServerRandomLen: length,
        };
        let pss = |hash| CK_RSA_PKCS_PSS_PARAMS {
            hashAlg: hash,
            mgf: CKG_MGF1_SHA256,
            sLen: 32,
        };
        let (pss, number) = (pss(CKM_SHA256), 4 as CK_ULONG);
        let oaep = CK_RSA_PKCS_OAEP_PARAMS {
            hashAlg: CKM_SHA_1,
            mgf: CKG_MGF1_SHA1,
            source: CKZ_DATA_SPECIFIED,
            pSourceData: at.cast(),
            ulSourceDataLen: 3,
        };
        let counter = CK_AES_CTR_PARAMS {
            ulCounterBits: 32,
            cb: [7; 16],
        };
        let gcm = CK_GCM_PARAMS {
            pIv: at,
            ulIvLen: 12,
            ulIvBits: 96,
            pAAD: at,
            ulAADLen: 5,
            ulTagBits: 128,
        };
        let ecdh = CK_ECDH1_DERIVE_PARAMS {
            kdf: CKD_SHA256_KDF,
            ulSharedDataLen: 2,
            pSharedData: at,
            ulPublicDataLen: 64,
            pPublicData: at,
        };
        let hkdf = CK_HKDF_PARAMS {
            bExtract: CK_TRUE,
            bExpand: CK_TRUE,
            prfHashMechanism: CKM_SHA256,
            ulSaltType: CKF_HKDF_SALT_DATA,
            pSalt: at,
            ulSaltLen: 8,
            hSaltKey: 0,
            pInfo: at,
            ulInfoLen: 4,
        };
        let master = CK_TLS12_MASTER_KEY_DERIVE_PARAMS {
            RandomInfo: random,
            pVersion: std::ptr::null_mut(),
            prfHashMechanism: CKM_SHA256,
        };
        let extended = CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS {
            prfHashMechanism: CKM_SHA384,
            pSessionHash: at,
            ulSessionHashLen: 48,
            pVersion: std::ptr::null_mut(),
        };
        let keys = CK_TLS12_KEY_MAT_PARAMS {
            ulMacSizeInBits: 160,
            ulKeySizeInBits: 128,
            ulIVSizeInBits: 32,
            bIsExport: CK_FALSE,
            RandomInfo: random,
            pReturnedKeyMaterial: std::ptr::null_mut(),
            prfHashMechanism: CKM_SHA256,
        };
        let exported = CK_TLS_KDF_PARAMS {
            prfMechanism: CKM_SHA256,
            pLabel: at,
            ulLabelLength: 5,
            RandomInfo: random,
            pContextData: std::ptr::null_mut(),
            ulContextDataLength: 0,
        };
        let finished = CK_TLS_MAC_PARAMS {
            prfHashMechanism: CKM_SHA256,
            ulMacLength: 12,
            ulServerOrClient: 1,
        };
        for kind in T::ALL {
            let parameter = match kind {
                T::RsaPkcsOaep => bytes_of(&oaep),
                T::AesCbc | T::AesCbcPad => &[9; 16],
                T::AesCtr => bytes_of(&counter),
                T::AesGcm => bytes_of(&gcm),
                T::AesCmacGeneral => bytes_of(&number),
                T::Ecdh1Derive | T::Ecdh1CofactorDerive => bytes_of(&ecdh),
                T::HkdfDerive | T::HkdfData => bytes_of(&hkdf),
                T::Tls12MasterKeyDerive | T::Tls12MasterKeyDeriveDh => bytes_of(&master),
                T::Tls12ExtendedMasterKeyDerive | T::Tls12ExtendedMasterKeyDeriveDh => bytes_of(&extended),
                T::Tls12KeyAndMacDerive => bytes_of(&keys),
                T::Tls12Kdf => bytes_of(&exported),
                T::TlsMac => bytes_of(&finished),
                T::RsaPkcsPss => bytes_of(&pss),
                kind if kind.hash().is_some_and(|hash| hash.rsa_pss() == *kind) => bytes_of(&pss),
                kind if kind.hash().is_some_and(|hash| hash.hmac_general() == *kind) => bytes_of(&number),
                _ => &[],
            };
            assert_eq!(
                parse(*kind, parameter).map(|found| found.kind()),
                Ok(*kind),
                "{kind:?}"
            );
            // One byte more or less is another structure.
            let longer = [parameter, &[0]].concat();
            assert_eq!(parse(*kind, &longer), Err(WRONG), "{kind:?}");
            let optional = matches!(kind, T::Eddsa | T::AesKeyWrap | T::AesKeyWrapKwp);
            if let Some((_, shorter)) = parameter.split_last().filter(|_| !optional) {
                assert_eq!(parse(*kind, shorter), Err(WRONG), "{kind:?}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let null = std::ptr::null_mut();
        let gcm = |iv_length, iv_bits, tag_bits| CK_GCM_PARAMS {
            pIv: null,
            ulIvLen: iv_length,
            ulIvBits: iv_bits,
            pAAD: null,
            ulAADLen: 0,
            ulTagBits: tag_bits,
        };
        for wrong in [
            gcm(12, 96, 128),
            gcm(0, 7, 128),
            gcm(0, 0, 127),
            gcm(CK_ULONG::MAX, 0, 128),
        ] {
            assert_eq!(parse(T::AesGcm, bytes_of(&wrong)), Err(WRONG));
        }
        let pss = |hash, mgf| CK_RSA_PKCS_PSS_PARAMS {
            hashAlg: hash,
            mgf,
            sLen: 0,
        };
        for wrong in [
            pss(CKM_SHA256_HMAC, CKG_MGF1_SHA1),
            pss(CKM_MD5, CKG_MGF1_SHA1),
            pss(CKM_SHA256, 0),
        ] {
            assert_eq!(parse(T::RsaPkcsPss, bytes_of(&wrong)), Err(WRONG));
        }
        let eddsa = |flag, length| CK_EDDSA_PARAMS {
            phFlag: flag,
            ulContextDataLen: length,
            pContextData: null,
        };
        assert_eq!(
            parse(T::Eddsa, bytes_of(&eddsa(CK_FALSE, 0))),
            Ok(Mechanism::Eddsa)
        );
        for wrong in [eddsa(CK_TRUE, 0), eddsa(2, 0), eddsa(CK_FALSE, 1)] {
            assert_eq!(parse(T::Eddsa, bytes_of(&wrong)), Err(WRONG));
        }
        assert_eq!(parse(T::AesKeyWrap, &[0xA6; 8]), Ok(Mechanism::AesKeyWrap));
        assert_eq!(parse(T::AesKeyWrap, &[0xA7; 8]), Err(WRONG));
        // SAFETY: no pointers.
        let unknown = unsafe { mechanism(CKM_DES3_CBC as u64, &[0; 8]) };
        assert_eq!(unknown, Err(Fault(CKR_MECHANISM_INVALID)));
    }
}
