//! Each method of the driver against the exact command that it sends and the answer that it must understand.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use optiga::{
    AuthenticationScheme, Config, Curve, HashContext, HashInput, HashStep, KeySlot, KeyUsage, Lifecycle,
    LifecycleOf, ObjectId, Optiga, PublicKeyBytes, RandomSource, SessionContext, Signature, WriteMode,
};
use support::{Answering, Brain, Line, Virtual, apdus, fill, trace, unhex};

/// The key of the vendor's examples.
const PEER: &str = "04 94892F09EA4ECABC6A4EF2063626E05DE0D5F977EAC3B270ACE21900F5DB56E7
    37BBBE46E449763825B5F894749E1AB65AF129D73AB69B80ACC5E1C310F216C6";
const SECRET: &str = "DAFE7261189D93AD2DB77918DB7AED128EE491F7454BF5F5EDC6D016D56FDB3D";
const SEED: &str = "61C7DEF90FD5CD7A8B7A364104E00D823846BFB770EEBF8F40252E0A2142AF9C";
const KEY_P256: &str = "04 D631765CFCC9895058C440DC0CB7D7F3AF95DFD513B07A22312AB1F3DCF8B43C
    260F1D58927F25DA76A770D02EB767EDF64879ECB80557E35580533DC2DE0FCB";
const KEY_P384: &str =
    "04 158ACBE54170D2B0FABDF252E3AF6B8D0A7B74AB5A056B81F0E1441D8E5C29E68424A49B2460530305A663CDC5CBC645
    813CBB8173D94E446C8918235B61690811D4B69ED0CE373FB4F67B2C9D180095131B54054B06DA069B5CEA2CBD2FBAAB";
const SCALAR_P384: &str =
    "82E8B07E3E8138570A52846933D7E06308D0D78917EC2825F5F395B910F376F16FB7DEC020F58FF8977F8FF8DBBE31A5";

fn point(curve: Curve, text: &str) -> PublicKeyBytes {
    PublicKeyBytes::from_point(curve, &unhex(text)).unwrap()
}

/// The value of the first record of the command at this place in a trace.
fn first_record(name: &str, line: usize) -> Vec<u8> {
    let Line::Command(command) = &trace(name).lines[line] else {
        panic!("{name}: no command")
    };
    let command = fill(command);
    let length = usize::from(u16::from_be_bytes([command[5], command[6]]));
    command[7..7 + length].to_vec()
}

#[test]
fn g25_g26_hashes_inside_and_with_their_state_outside() {
    let abc = apdus("g25-hash", |chip| chip.hash(b"abc")).unwrap();
    assert_eq!(abc[..4], [0xBA, 0x78, 0x16, 0xBF]);
    let digest = apdus("g26-hash-with-context", |chip| {
        let start = chip.hash_part(None, &[])?;
        let middle = chip.hash_part(Some(&start), b"OPITGA, Infineon Technologies AG\0")?;
        chip.hash_end(&middle, &[])
    })
    .unwrap();
    assert_eq!(digest[..4], [0xFC, 0x42, 0x7D, 0x3C]);
    let (object, nothing) = apdus("commands/k6-hash-object", |chip| {
        (chip.hash_object(ObjectId(0xF1D0), 0, 15), chip.hash(&[]))
    });
    assert_eq!(object.unwrap()[..4], [0x7F, 0x4A, 0x48, 0x0B]);
    assert_eq!(nothing.unwrap()[..4], [0xE3, 0xB0, 0xC4, 0x42]);
}

#[test]
fn g31_g32_a_pair_that_leaves_and_a_signature_of_the_factory_key() {
    let pair = apdus("g31-generate-and-export", |chip| {
        chip.generate_key_pair(Curve::P256)
    })
    .unwrap();
    assert_eq!(
        pair.private.expose(),
        core::array::from_fn::<u8, 32, _>(|i| i as u8 + 1)
    );
    assert_eq!(pair.public.point().len(), 65);
    let name = "commands/g32-signature";
    let digest = first_record(name, 0);
    let signature = apdus(name, |chip| chip.sign_digest(KeySlot::E0F0, &digest)).unwrap();
    let mut der = [0; 72];
    assert_eq!(signature.write_der(&mut der).unwrap().len(), 2 + 0x45);
}

#[test]
fn g34_g35_agreement_in_a_session() {
    let peer = point(Curve::P256, PEER);
    let session = SessionContext::E100;
    let secret = apdus("commands/g34-agreement-in-session", |chip| {
        chip.generate_key(session, Curve::P256, KeyUsage::AGREE)?;
        chip.agree(session, &peer)
    });
    assert_eq!(secret.unwrap().expose().len(), 32);
    apdus("commands/g35-agreement-stays", |chip| {
        chip.agree_into(session, &peer, session)
    })
    .unwrap();
}

#[test]
fn g36_derivation() {
    let mut key = [0; 16];
    apdus("commands/g36-derivation", |chip| {
        chip.derive(SessionContext::E100.object(), &[], &unhex(SEED), &mut key)
    })
    .unwrap();
    assert_eq!(key, core::array::from_fn(|i| i as u8 + 1));
}

#[test]
fn g37_g38_authentication() {
    let signature = apdus("commands/g37-challenge", |chip| {
        chip.authenticate(KeySlot::E0F0, &[0x11; 16])
    })
    .unwrap();
    let mut halves = [0; 64];
    let halves = signature.write_fixed(Curve::P256, &mut halves).unwrap();
    assert_eq!(halves, core::array::from_fn::<u8, 64, _>(|i| i as u8 + 1));
    let scheme = AuthenticationScheme::DtlsClient(KeySlot::E0F0, SessionContext::E100);
    apdus("commands/g38-dtls-scheme", |chip| {
        chip.choose_authentication(scheme)
    })
    .unwrap();
}

#[test]
fn known_answers_of_agreement_and_derivation() {
    let peer = point(Curve::P256, PEER);
    let secret = apdus("commands/k1-agreement-p256", |chip| {
        let secret = chip.agree(KeySlot::E0F1, &peer)?;
        chip.agree_into(KeySlot::E0F1, &peer, SessionContext::E101)?;
        Ok::<_, optiga::Error<_>>(secret)
    });
    assert_eq!(secret.unwrap().expose(), unhex(SECRET));
    let (mut short, mut long, mut labelled) = ([0; 16], [0; 40], [0; 16]);
    apdus("commands/k2-derivation", |chip| {
        let (from, seed) = (SessionContext::E101.object(), unhex(SEED));
        chip.derive(from, &[], &seed, &mut short)?;
        chip.derive(from, &[], &seed, &mut long)?;
        chip.derive(from, b"Firmware update", &seed, &mut labelled)?;
        chip.derive_into(from, &[], &seed, 48, SessionContext::E102)
    })
    .unwrap();
    assert_eq!(short.to_vec(), unhex("7BF9FCA0F3D7EEB7E30C366DE9967457"));
    assert_eq!(
        long.to_vec(),
        unhex("7BF9FCA0F3D7EEB7E30C366DE99674578D9C5D44985C5DE2540D18C86DB51F0CD57FB525C51C0C16")
    );
    assert_eq!(labelled.to_vec(), unhex("FCC80ED89C5B95CF29E6EBDAF337FF11"));
}

#[test]
fn known_answers_of_signatures_by_key_and_by_certificate() {
    let name = "commands/k3-signature-p256";
    let digest = first_record(name, 0);
    let key = point(Curve::P256, KEY_P256);
    apdus(name, |chip| {
        let signature = chip.sign_digest(KeySlot::E0F1, &digest)?;
        chip.verify_digest(&key, &digest, &signature)?;
        chip.verify_digest_by(ObjectId::TRUST_ANCHOR, &digest, &signature)
    })
    .unwrap();
}

#[test]
fn known_answers_of_p384() {
    let name = "commands/k4-p384";
    let digest = first_record(name, 0);
    let key = point(Curve::P384, KEY_P384);
    let (secret, pair) = apdus(name, |chip| {
        let signature = chip.sign_digest(KeySlot::E0F2, &digest)?;
        chip.verify_digest(&key, &digest, &signature)?;
        let secret = chip.agree(KeySlot::E0F2, &key)?;
        Ok::<_, optiga::Error<_>>((secret, chip.generate_key_pair(Curve::P384)?))
    })
    .unwrap();
    assert_eq!(secret.expose().len(), 48);
    assert_eq!(pair.private.expose(), unhex(SCALAR_P384));
    assert_eq!(pair.public, key);
}

#[test]
fn settings_and_states() {
    apdus("commands/k5-settings", |chip| {
        assert_eq!(chip.lifecycle(LifecycleOf::Chip)?, Lifecycle::Operational);
        assert_eq!(chip.lifecycle(LifecycleOf::Application)?, Lifecycle::Creation);
        assert_eq!(chip.security_events()?, 0);
        assert_eq!((chip.sleep_delay_ms()?, chip.current_limit_ma()?), (20, 6));
        assert_eq!(chip.buffer_bytes()?, 0x615);
        chip.set_sleep_delay_ms(255)?;
        chip.set_current_limit_ma(15)?;
        chip.advance_lifecycle(LifecycleOf::Application, Lifecycle::Operational)
    })
    .unwrap();
}

type Yes = Optiga<Answering<Brain>, Virtual>;

/// A chip that answers everything with success and these data, and counts the commands.
fn yes(data: Vec<u8>) -> Yes {
    let mut opened = false;
    let brain = move |_: &[u8]| {
        let data = if std::mem::replace(&mut opened, true) {
            &data[..]
        } else {
            &[]
        };
        let [high, low] = (data.len() as u16).to_be_bytes();
        [&[0, 0, high, low], data].concat()
    };
    let chip: Answering<Brain> = Answering::new(Box::new(brain));
    let mut driver = Optiga::new(chip, Virtual::default(), Config::default());
    driver.open().unwrap();
    driver
}

#[test]
fn what_the_chip_would_not_take_is_never_sent() {
    let mut chip = yes(Vec::new());
    let (session, peer) = (SessionContext::E100, point(Curve::P256, PEER));
    let signature = Signature::from_fixed(&[1; 64]).unwrap();
    let object = session.object();
    let refused = [
        chip.sign_digest(KeySlot::E0F1, &[0; 9]).map(drop),
        chip.sign_digest(KeySlot::E0F1, &[0; 49]).map(drop),
        chip.verify_digest(&peer, &[0; 9], &signature),
        chip.derive(object, &[], &[0; 7], &mut [0; 16]),
        chip.derive(object, &[0; 25], &[0; 1000], &mut [0; 16]),
        chip.derive(object, &[], &[0; 8], &mut [0; 15]),
        chip.derive(object, &[], &[0; 8], &mut [0; 257]),
        chip.derive_into(object, &[], &[0; 8], 15, session),
        chip.derive_into(object, &[], &[0; 8], 49, session),
        chip.call(&optiga::request::GiveChallenge(&[0; 7])),
        chip.call(&optiga::request::GiveChallenge(&[0; 257])),
        chip.set_sleep_delay_ms(19),
        chip.set_current_limit_ma(5),
        chip.set_current_limit_ma(16),
        chip.change_address(0x07, false),
        chip.change_address(0x78, true),
        chip.prepare_speed(0).map(drop),
        chip.prepare_speed(1001).map(drop),
        chip.hash_step(HashStep::Start, HashInput::Bytes(&[0; 1557]))
            .map(drop),
        chip.write_object(ObjectId(0xF1D0), WriteMode::Update, 0, &[]),
    ];
    for (index, result) in refused.into_iter().enumerate() {
        let code = result.unwrap_err().code();
        assert!(code.starts_with("chip.misuse."), "{index}: {code}");
    }
    // At the limits themselves they are sent.
    chip.derive_into(object, &[0; 24], &[0; 1000], 48, session)
        .unwrap();
    chip.call(&optiga::request::GiveChallenge(&[0; 256])).unwrap();
    chip.set_current_limit_ma(6).unwrap();
    assert_eq!(chip.release().0.executed, 4);
}

#[test]
fn answers_of_the_wrong_shape_are_named() {
    let peer = point(Curve::P256, PEER);
    let context = HashContext([0; 130]);
    let code = |data: &[u8], call: &dyn Fn(&mut Yes) -> &'static str| call(&mut yes(data.to_vec()));
    let cases = [
        code(&[0; 31], &|chip| {
            chip.agree(KeySlot::E0F1, &peer).unwrap_err().code()
        }),
        code(&[0; 33], &|chip| {
            chip.agree(KeySlot::E0F1, &peer).unwrap_err().code()
        }),
        code(&[0; 15], &|chip| {
            chip.derive(ObjectId(0xE100), &[], &[0; 8], &mut [0; 16])
                .unwrap_err()
                .code()
        }),
        code(&[0; 1], &|chip| {
            chip.agree_into(KeySlot::E0F1, &peer, SessionContext::E100)
                .unwrap_err()
                .code()
        }),
        code(&[0; 63], &|chip| {
            chip.authenticate(KeySlot::E0F0, &[0; 8]).unwrap_err().code()
        }),
        code(&[1, 0, 31], &|chip| chip.hash(b"").unwrap_err().code()),
        code(&[1, 0, 1, 7], &|chip| chip.hash(b"").unwrap_err().code()),
        code(&[1, 0, 0], &|chip| {
            chip.hash_part(Some(&context), b"").unwrap_err().code()
        }),
        code(&[2], &|chip| {
            chip.lifecycle(LifecycleOf::Chip).unwrap_err().code()
        }),
        code(&[1, 0, 2, 4, 0], &|chip| {
            chip.generate_key_pair(Curve::P256).unwrap_err().code()
        }),
        code(&[0; 7], &|chip| {
            chip.random_from(RandomSource::Deterministic, &mut [0; 8])
                .unwrap_err()
                .code()
        }),
    ];
    let expected = [
        "chip.answer.secret",
        "chip.answer.secret",
        "chip.answer.secret",
        "chip.answer.length",
        "chip.answer.length",
        "chip.answer.record",
        "chip.answer.secret",
        "chip.answer.record",
        "chip.answer.lifecycle",
        "chip.answer.record",
        "chip.answer.length",
    ];
    assert_eq!(cases, expected);
}

#[test]
fn a_long_message_is_hashed_in_pieces() {
    let digest = [&[1, 0, 32], &[7; 32][..]].concat();
    for (bytes, commands) in [(0, 2), (1, 1), (1414, 1), (1415, 2), (2828, 2), (2829, 3)] {
        let mut chip = yes(digest.clone());
        assert_eq!(chip.hash(&vec![0; bytes]), Ok([7; 32]));
        assert_eq!(chip.release().0.executed, 1 + commands, "{bytes} bytes");
    }
}
