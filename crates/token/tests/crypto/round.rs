//! There and back: keys of every kind made, kept, used and wrapped.

use std::sync::Arc;

use identity::key::Curve;
use token::crypto::{
    AES_BLOCK_BYTES, GcmParameters, Key, Mechanism, OaepParameters, PairKind, PssParameters, Secret, Sign,
    Verify, generate, generate_pair, unwrap, wrap, wrapped_bytes,
};
use token::{Error, Hash};

use crate::{decrypt, encrypt, secret};

fn rsa() -> Arc<Key> {
    let kind = PairKind::Rsa {
        bits: 2048,
        public_exponent: vec![1, 0, 1],
    };
    Arc::new(generate_pair(&Mechanism::RsaKeyPairGen, &kind).unwrap())
}

fn ec(curve: Curve) -> Arc<Key> {
    Arc::new(generate_pair(&Mechanism::EcKeyPairGen, &PairKind::Ec(curve)).unwrap())
}

fn pss(hash: Option<Hash>, digest: Hash) -> Mechanism {
    let parameters = PssParameters {
        hash: digest,
        mask: digest,
        salt_bytes: 20,
    };
    Mechanism::RsaPss { hash, parameters }
}

/// Signs, and verifies with the public half; anything else does not verify. A buffer that is too small changes nothing.
fn signs(mechanism: &Mechanism, private: &Arc<Key>, data: &[u8]) {
    let public = Arc::new(private.public().unwrap().unwrap());
    let mut sign = Sign::new(mechanism, private).unwrap();
    let needed = sign.bytes();
    assert_eq!(sign.sign(data, &mut []), Err(Error::BufferTooSmall { needed }));
    let mut signature = vec![0; needed];
    assert_eq!(sign.sign(data, &mut signature), Ok(needed), "{mechanism:?}");
    let verify =
        |data: &[u8], signature: &[u8]| Verify::new(mechanism, &public).unwrap().verify(data, signature);
    assert_eq!(verify(data, &signature), Ok(()), "{mechanism:?}");
    let mut other = data.to_vec();
    *other.first_mut().unwrap() ^= 1;
    assert_eq!(
        verify(&other, &signature),
        Err(Error::SignatureInvalid),
        "{mechanism:?}"
    );
    assert_eq!(verify(data, &signature[1..]), Err(Error::SignatureLengthRange));
    *signature.last_mut().unwrap() ^= 1;
    assert_eq!(
        verify(data, &signature),
        Err(Error::SignatureInvalid),
        "{mechanism:?}"
    );
    // Part by part, with the other half of the interface.
    let mut parts = Sign::new(mechanism, private).unwrap();
    data.chunks(11).for_each(|part| parts.update(part).unwrap());
    assert_eq!(parts.finish(&mut []), Err(Error::BufferTooSmall { needed }));
    assert_eq!(parts.finish(&mut signature), Ok(needed));
    assert_eq!(verify(data, &signature), Ok(()), "{mechanism:?} in parts");
    // A public key does not sign, a private one does not verify.
    let refused = Error::KeyFunctionNotPermitted;
    assert_eq!(Sign::new(mechanism, &public).err(), Some(refused.clone()));
    assert_eq!(Verify::new(mechanism, private).err(), Some(refused));
}

#[test]
fn every_signature_verifies_and_no_other() {
    let rsa = rsa();
    for hash in Hash::ALL {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            signs(&Mechanism::Ecdsa(Some(*hash)), &ec(curve), b"some data");
        }
        signs(&Mechanism::RsaPkcsHash(*hash), &rsa, b"some data");
        signs(&pss(Some(*hash), *hash), &rsa, b"some data");
        signs(&pss(None, *hash), &rsa, &vec![7; hash.bytes()]);
    }
    // Raw input of any length: what the curve does not take is cut.
    for bytes in [1, 20, 32, 48, 64] {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            signs(&Mechanism::Ecdsa(None), &ec(curve), &vec![9; bytes]);
        }
    }
    signs(&Mechanism::RsaPkcs, &rsa, &[5; 51]);
    signs(&Mechanism::RsaX509, &rsa, &[5; 256]);
    let ed25519 = generate_pair(&Mechanism::EdwardsKeyPairGen, &PairKind::Ed25519).unwrap();
    signs(&Mechanism::Eddsa, &Arc::new(ed25519), b"some data");
}

#[test]
fn long_digests_are_cut_to_the_curve() {
    let private = ec(Curve::P256);
    let public = Arc::new(private.public().unwrap().unwrap());
    let long: Vec<u8> = (0..200).collect();
    let mut signature = [0; 64];
    let mut sign = Sign::new(&Mechanism::Ecdsa(None), &private).unwrap();
    sign.sign(&long, &mut signature).unwrap();
    let mut verify = Verify::new(&Mechanism::Ecdsa(None), &public).unwrap();
    assert_eq!(verify.verify(&long[..32], &signature), Ok(()));
    assert_eq!(
        verify.verify(&long[..31], &signature),
        Err(Error::SignatureInvalid)
    );
}

#[test]
fn private_keys_come_back_from_their_documents() {
    let montgomery = generate_pair(&Mechanism::MontgomeryKeyPairGen, &PairKind::X25519).unwrap();
    let edwards = generate_pair(&Mechanism::EdwardsKeyPairGen, &PairKind::Ed25519).unwrap();
    let keys = [
        ec(Curve::P256),
        ec(Curve::P384),
        ec(Curve::P521),
        Arc::new(edwards),
        Arc::new(montgomery),
        rsa(),
    ];
    for key in keys {
        let document = key.secret().unwrap().unwrap();
        let again = Key::from_pkcs8(&document).unwrap();
        assert_eq!(again.secret().unwrap().unwrap(), document, "{key:?}");
        assert_eq!(again.spki_der().unwrap(), key.spki_der().unwrap(), "{key:?}");
        let public = key.public().unwrap().unwrap();
        assert_eq!(public.spki_der().unwrap(), key.spki_der().unwrap(), "{key:?}");
        assert_eq!(public.secret().unwrap(), None);
        for end in 0..document.len() {
            assert!(Key::from_pkcs8(&document[..end]).is_err(), "{key:?} cut at {end}");
        }
    }
}

fn wrappings() -> Vec<(Mechanism, Arc<Key>, Arc<Key>)> {
    let aes = || secret(&[3; 24]);
    let rsa = rsa();
    let public = Arc::new(rsa.public().unwrap().unwrap());
    let gcm = GcmParameters {
        iv: vec![4; 12],
        additional: Vec::new(),
        tag_bytes: 16,
    };
    let oaep = OaepParameters {
        hash: Hash::Sha256,
        mask: Hash::Sha1,
        label: b"label".to_vec(),
    };
    vec![
        (Mechanism::AesKeyWrap, aes(), aes()),
        (Mechanism::AesKeyWrapKwp, aes(), aes()),
        (
            Mechanism::AesCbcPad {
                iv: [1; AES_BLOCK_BYTES],
            },
            aes(),
            aes(),
        ),
        (Mechanism::AesGcm(gcm), aes(), aes()),
        (Mechanism::RsaPkcs, Arc::clone(&public), Arc::clone(&rsa)),
        (Mechanism::RsaOaep(oaep), public, rsa),
    ]
}

#[test]
fn keys_come_back_from_their_wrapping() {
    let value = generate(&Mechanism::AesKeyGen, 32).unwrap();
    for (mechanism, with, back) in wrappings() {
        let wrapped = wrap(&mechanism, &with, &value).unwrap();
        assert!(wrapped.len() <= wrapped_bytes(&mechanism, &with, &value).unwrap());
        let unwrapped = unwrap(&mechanism, &back, &wrapped).unwrap();
        assert_eq!(Some(unwrapped), value.secret().unwrap(), "{mechanism:?}");
        let mut wrong = wrapped.clone();
        *wrong.first_mut().unwrap() ^= 0x40;
        // Padding alone may come out right by accident; here it does not.
        assert!(
            unwrap(&mechanism, &back, &wrong).map_or(true, |other| Some(other) != value.secret().unwrap()),
            "{mechanism:?}"
        );
        assert!(unwrap(&mechanism, &back, &wrapped[1..]).is_err(), "{mechanism:?}");
    }
    // A private key is longer than a multiple of eight: the wrap with padding takes it.
    let private = ec(Curve::P256);
    let wrapped = wrap(&Mechanism::AesKeyWrapKwp, &secret(&[3; 16]), &private).unwrap();
    let document = unwrap(&Mechanism::AesKeyWrapKwp, &secret(&[3; 16]), &wrapped).unwrap();
    assert_eq!(
        Key::from_pkcs8(&document).unwrap().spki_der().unwrap(),
        private.spki_der().unwrap()
    );
    assert_eq!(
        wrap(
            &Mechanism::AesKeyWrap,
            &secret(&[3; 16]),
            &Key::Secret(Secret::new(&[1; 20]).unwrap())
        ),
        Err(Error::KeySizeRange)
    );
    assert_eq!(
        wrap(&Mechanism::AesEcb, &secret(&[3; 16]), &value),
        Err(Error::MechanismUnknown)
    );
}

#[test]
fn rsa_without_padding_is_a_function_and_its_inverse() {
    let private = rsa();
    let public = Arc::new(private.public().unwrap().unwrap());
    let sealed = encrypt(&Mechanism::RsaX509, &public, b"short").unwrap();
    let mut whole = vec![0; 256];
    whole[251..].copy_from_slice(b"short");
    assert_eq!(decrypt(&Mechanism::RsaX509, &private, &sealed), Ok(whole));
}

#[test]
fn two_keys_are_never_the_same() {
    for bytes in [16, 24, 32] {
        let key = || {
            generate(&Mechanism::AesKeyGen, bytes)
                .unwrap()
                .secret()
                .unwrap()
                .unwrap()
        };
        let (one, other) = (key(), key());
        assert_eq!(one.len(), bytes);
        assert_ne!(one, other);
    }
}
