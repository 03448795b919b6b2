//! What must not be done, and what is said about it.

use std::sync::Arc;

use identity::key::Curve;
use token::crypto::{
    Decrypt, Derived, EcPrivate, EcPublic, EcdhParameters, Encrypt, GcmParameters, HkdfParameters, Key,
    Mechanism, OaepParameters, PairKind, PssParameters, RsaPublic, Secret, Sign, derive, generate,
    generate_pair,
};
use token::{Error, Hash, limits};

use crate::{decrypt, encrypt, secret};

fn ec() -> Arc<Key> {
    Arc::new(generate_pair(&Mechanism::EcKeyPairGen, &PairKind::Ec(Curve::P256)).unwrap())
}

const IV: [u8; 16] = [0; 16];

#[test]
fn keys_that_do_not_fit_the_mechanism() {
    let short = secret(&[1; 17]);
    let gcm = |tag_bytes, iv: usize| {
        Mechanism::AesGcm(GcmParameters {
            iv: vec![0; iv],
            additional: Vec::new(),
            tag_bytes,
        })
    };
    for mechanism in [
        Mechanism::AesEcb,
        Mechanism::AesCbc { iv: IV },
        Mechanism::AesCbcPad { iv: IV },
        Mechanism::AesKeyWrap,
        gcm(16, 12),
    ] {
        assert_eq!(Encrypt::new(&mechanism, &short).err(), Some(Error::KeySizeRange));
        assert_eq!(
            Encrypt::new(&mechanism, &ec()).err(),
            Some(Error::KeyTypeInconsistent)
        );
    }
    for (tag_bytes, iv) in [(3, 12), (5, 12), (17, 12), (16, 0), (0, 12)] {
        let made = Encrypt::new(&gcm(tag_bytes, iv), &secret(&[1; 16])).err();
        assert_eq!(made, Some(Error::MechanismParameterInvalid), "{tag_bytes} {iv}");
    }
    assert_eq!(
        Sign::new(&Mechanism::Eddsa, &ec()).err(),
        Some(Error::KeyTypeInconsistent)
    );
    assert_eq!(
        Sign::new(&Mechanism::AesEcb, &ec()).err(),
        Some(Error::MechanismUnknown)
    );
    for bytes in [Some(0), Some(33)] {
        let hmac = Mechanism::Hmac {
            hash: Hash::Sha256,
            bytes,
        };
        let refused = Some(Error::MechanismParameterInvalid);
        assert_eq!(Sign::new(&hmac, &secret(&[1; 16])).err(), refused);
    }
}

#[test]
fn sizes_of_new_keys() {
    assert_eq!(
        generate(&Mechanism::AesKeyGen, 20).err(),
        Some(Error::KeySizeRange)
    );
    assert_eq!(
        generate(&Mechanism::GenericSecretKeyGen, 0).err(),
        Some(Error::KeySizeRange)
    );
    let most = limits::SECRET_BYTES_MAX;
    assert!(generate(&Mechanism::GenericSecretKeyGen, most).is_ok());
    assert_eq!(
        generate(&Mechanism::GenericSecretKeyGen, most + 1).err(),
        Some(Error::KeySizeRange)
    );
    assert_eq!(Secret::new(&[]).err(), Some(Error::KeySizeRange));
    let rsa = |bits, exponent: &[u8]| {
        let kind = PairKind::Rsa {
            bits,
            public_exponent: exponent.to_vec(),
        };
        generate_pair(&Mechanism::RsaKeyPairGen, &kind).err()
    };
    for bits in [0, 1024, 2047, 2049, 4104, usize::MAX] {
        assert_eq!(rsa(bits, &[1, 0, 1]), Some(Error::KeySizeRange), "{bits}");
    }
    for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0, 0, 3], &[0xFF; 6]] {
        assert!(
            matches!(rsa(2048, exponent), Some(Error::AttributeValueInvalid { .. })),
            "{exponent:?}"
        );
    }
    let wrong_curve = generate_pair(&Mechanism::EcKeyPairGen, &PairKind::Ed25519).err();
    assert_eq!(wrong_curve, Some(Error::CurveNotSupported));
}

#[test]
fn keys_from_outside_that_are_none() {
    assert!(EcPrivate::from_scalar(Curve::P256, &[0; 32]).is_err());
    assert!(EcPrivate::from_scalar(Curve::P256, &[0xFF; 32]).is_err());
    assert!(EcPrivate::from_scalar(Curve::P256, &[1; 33]).is_err());
    assert!(EcPrivate::from_scalar(Curve::P256, &[1]).is_ok());
    let mut point = [1; 65];
    point[0] = 4;
    assert!(EcPublic::new(Curve::P256, &point).is_err());
    assert!(RsaPublic::new(&[0xFF; 128], &[1, 0, 1]).is_err());
    assert!(RsaPublic::new(&[0xFF; 256], &[2]).is_err());
    assert!(RsaPublic::new(&[0xFF; 1024], &[1, 0, 1]).is_err());
}

#[test]
fn lengths_of_data() {
    let aes = secret(&[1; 16]);
    let uneven = Err(Error::DataLengthRange { found: 17 });
    assert_eq!(encrypt(&Mechanism::AesEcb, &aes, &[0; 17]), uneven);
    assert_eq!(
        decrypt(&Mechanism::AesCbc { iv: IV }, &aes, &[0; 17]),
        Err(Error::EncryptedDataLengthRange)
    );
    for bytes in [0, 15, 17] {
        assert_eq!(
            decrypt(&Mechanism::AesCbcPad { iv: IV }, &aes, &vec![0; bytes]),
            Err(Error::EncryptedDataLengthRange)
        );
    }
    let p521 = generate_pair(&Mechanism::EcKeyPairGen, &PairKind::Ec(Curve::P521)).unwrap();
    let sign = |key: &Arc<Key>, bytes: usize| {
        let mut out = [0; 132];
        Sign::new(&Mechanism::Ecdsa(None), key)
            .unwrap()
            .sign(&vec![1; bytes], &mut out)
    };
    assert_eq!(sign(&ec(), 0), Err(Error::DataLengthRange { found: 0 }));
    let p521 = Arc::new(p521);
    assert_eq!(sign(&p521, 64), Ok(132));
    assert_eq!(sign(&p521, 65), Err(Error::DataLengthRange { found: 65 }));
}

/// No block of the stream is ever used twice.
#[test]
fn a_counter_that_ends() {
    let ending = |counter_bits, last: u8| {
        let mut block = [0xFF; 16];
        block[15] = last;
        let mechanism = Mechanism::AesCtr { counter_bits, block };
        Encrypt::new(&mechanism, &secret(&[1; 16]))
    };
    // Two blocks are left of four bits.
    let mut encrypt = ending(4, 0xFE).unwrap();
    let mut out = [0; 64];
    assert_eq!(encrypt.update(&[0; 31], &mut out), Ok(31));
    assert_eq!(encrypt.update(&[0; 1], &mut out), Ok(1));
    assert_eq!(
        encrypt.update(&[0; 1], &mut out),
        Err(Error::DataLengthRange { found: 1 })
    );
    let mut encrypt = ending(4, 0xFE).unwrap();
    assert_eq!(
        encrypt.once(&[0; 33], &mut out),
        Err(Error::DataLengthRange { found: 33 })
    );
    let mut encrypt = ending(128, 0xFF).unwrap();
    assert_eq!(
        encrypt.once(&[0; 17], &mut out),
        Err(Error::DataLengthRange { found: 17 })
    );
    for bits in [0, 129] {
        assert_eq!(ending(bits, 0).err(), Some(Error::MechanismParameterInvalid));
    }
}

/// Too small a buffer changes nothing, and nothing is let out before the tag was right.
#[test]
fn buffers_that_are_too_small() {
    let key = secret(&[1; 16]);
    let padded = Mechanism::AesCbcPad { iv: IV };
    let sealed = encrypt(&padded, &key, b"seven..").unwrap();
    let mut parts = Decrypt::new(&padded, &key).unwrap();
    assert_eq!(parts.update(&sealed, &mut []), Ok(0));
    for _ in 0..3 {
        assert_eq!(
            parts.finish(&mut [0; 6]),
            Err(Error::BufferTooSmall { needed: 7 })
        );
    }
    let mut out = [0; 7];
    assert_eq!(parts.finish(&mut out), Ok(7));
    assert_eq!(&out, b"seven..");

    let gcm = Mechanism::AesGcm(GcmParameters {
        iv: vec![1; 12],
        additional: Vec::new(),
        tag_bytes: 16,
    });
    let mut sealed = encrypt(&gcm, &key, b"a secret").unwrap();
    sealed[3] ^= 1;
    let mut parts = Decrypt::new(&gcm, &key).unwrap();
    let mut out = [0xEE; 16];
    for part in sealed.chunks(5) {
        assert_eq!(parts.update(part, &mut out), Ok(0));
    }
    assert_eq!(
        parts.finish(&mut out[..7]),
        Err(Error::BufferTooSmall { needed: 8 })
    );
    assert_eq!(parts.finish(&mut out), Err(Error::EncryptedDataInvalid));
    assert_eq!(out, [0xEE; 16]);
}

#[test]
fn rsa_that_makes_no_sense() {
    let kind = PairKind::Rsa {
        bits: 2048,
        public_exponent: vec![1, 0, 1],
    };
    let private = Arc::new(generate_pair(&Mechanism::RsaKeyPairGen, &kind).unwrap());
    let public = Arc::new(private.public().unwrap().unwrap());
    let oaep = Mechanism::RsaOaep(OaepParameters {
        hash: Hash::Sha256,
        mask: Hash::Sha256,
        label: Vec::new(),
    });
    let too_long = |found| Err(Error::DataLengthRange { found });
    assert_eq!(encrypt(&Mechanism::RsaPkcs, &public, &[1; 246]), too_long(246));
    assert!(encrypt(&Mechanism::RsaPkcs, &public, &[1; 245]).is_ok());
    assert_eq!(encrypt(&oaep, &public, &[1; 191]), too_long(191));
    assert!(encrypt(&oaep, &public, &[1; 190]).is_ok());
    assert_eq!(encrypt(&Mechanism::RsaX509, &public, &[1; 257]), too_long(257));
    assert_eq!(
        encrypt(&Mechanism::RsaX509, &public, &[0xFF; 256]),
        Err(Error::DataInvalid)
    );
    assert_eq!(
        decrypt(&Mechanism::RsaPkcs, &private, &[1; 255]),
        Err(Error::EncryptedDataLengthRange)
    );
    assert_eq!(
        decrypt(&oaep, &private, &[1; 256]),
        Err(Error::EncryptedDataInvalid)
    );
    let backwards = Decrypt::new(&Mechanism::RsaPkcs, &public).err();
    assert_eq!(backwards, Some(Error::KeyFunctionNotPermitted));
    let pss = |hash, salt_bytes| Mechanism::RsaPss {
        hash: Some(Hash::Sha256),
        parameters: PssParameters {
            hash,
            mask: Hash::Sha256,
            salt_bytes,
        },
    };
    let other_hash = Sign::new(&pss(Hash::Sha1, 20), &private).err();
    assert_eq!(other_hash, Some(Error::MechanismParameterInvalid));
    let mut out = [0; 256];
    let mut sign =
        |mechanism: &Mechanism, data: &[u8]| Sign::new(mechanism, &private).unwrap().sign(data, &mut out);
    assert_eq!(sign(&pss(Hash::Sha256, 222), b"x"), Ok(256));
    assert_eq!(
        sign(&pss(Hash::Sha256, 223), b"x"),
        Err(Error::MechanismParameterInvalid)
    );
    assert_eq!(
        sign(&Mechanism::RsaPkcs, &[0; 246]),
        Err(Error::DataLengthRange { found: 246 })
    );
}

#[test]
fn derivations_that_make_no_sense() {
    let agree = |public: &[u8], kdf, shared: &[u8], bytes| {
        let parameters = EcdhParameters {
            cofactor: true,
            kdf,
            shared: shared.to_vec(),
            public: public.to_vec(),
        };
        derive(&Mechanism::Ecdh1(parameters), &ec(), None, bytes).map(|derived| match derived {
            Derived::Value(value) => value.len(),
            _ => 0,
        })
    };
    let peer = ec().public().unwrap().unwrap();
    let Key::EcPublic(peer) = peer else {
        panic!("no public key");
    };
    let point = peer.public().ec_point().unwrap();
    assert_eq!(agree(point, None, &[], None), Ok(32));
    assert_eq!(agree(point, None, &[], Some(33)), Err(Error::KeySizeRange));
    assert_eq!(agree(point, Some(Hash::Sha256), b"shared", Some(33)), Ok(33));
    let refused = Err(Error::MechanismParameterInvalid);
    assert_eq!(agree(point, None, b"shared", None), refused);
    assert_eq!(agree(&[], None, &[], None), refused);
    assert_eq!(agree(&point[1..], None, &[], None), refused);
    // A document is no point, though the library would read it.
    assert_eq!(agree(peer.public().spki_der(), None, &[], None), refused);
    let mut outside = point.to_vec();
    outside[64] ^= 1;
    assert_eq!(agree(&outside, None, &[], None), refused);
    let hkdf = |expand, bytes| {
        let parameters = HkdfParameters {
            hash: Hash::Sha1,
            extract: None,
            expand,
        };
        derive(
            &Mechanism::HkdfDerive(parameters),
            &secret(&[1; 20]),
            None,
            Some(bytes),
        )
        .err()
    };
    assert_eq!(hkdf(None, 20), Some(Error::MechanismParameterInvalid));
    assert_eq!(hkdf(Some(Vec::new()), 255 * 20), None);
    assert_eq!(hkdf(Some(Vec::new()), 255 * 20 + 1), Some(Error::KeySizeRange));
}
