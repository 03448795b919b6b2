//! The driver against the golden traces: every frame it writes is the recorded one, every recorded answer is understood.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use optiga::frame::Number;
use optiga::link::{Action, Link, Timing};
use optiga::{
    Access, Config, Curve, ErrorCode, KeySlot, KeyUsage, Lifecycle, LinkError, MetadataChange, ObjectId,
    Optiga, PublicKeyBytes, Signature, Start, Uid, WriteMode,
};
use support::{Event, Line, Replay, Virtual, apdus, events, fill, hex, trace};

type Driver<I2C> = Optiga<I2C, Virtual>;

fn config(frame_bytes_max: u16) -> Config {
    Config {
        frame_bytes_max,
        start: Start::AfterReset,
        ..Config::default()
    }
}

/// A driver that has replayed the opening of G-4 and finds the frames of these traces after it.
fn opened(names: &[&str]) -> Driver<Replay> {
    let traces = std::iter::once(&"g04-open-clearing-error").chain(names);
    let all = traces
        .flat_map(|name| events(&trace(name).lines))
        .collect::<Vec<_>>();
    let mut driver = Driver::new(Replay::new(all), Virtual::default(), config(277));
    driver.open().unwrap();
    driver
}

fn finish(driver: Driver<Replay>) {
    let (replay, _) = driver.release();
    assert!(replay.is_over(), "the trace goes on: {replay:02X?}");
}

const UID_1048: &str = "CD16335601001C000500000A0784D700050080008E801010701048";
const UID_1118: &str = "CD16335601001C000500000A0784D700050080008E801010701118";

#[test]
fn g1_the_silicon_capture_from_the_first_frame_to_the_last() {
    let golden = trace("g01-open-and-uid-fragmented");
    let mut all = events(&golden.lines);
    // The capture ends before the host's last acknowledgement.
    all.push(Event::Host(vec![0x82, 0, 0, 0xB9, 0x54]));
    let mut driver = Driver::new(Replay::new(all), Virtual::default(), config(golden.frame_bytes));
    driver.open().unwrap();
    assert_eq!(
        hex(driver.send(&[1, 0, 0, 2, 0xE0, 0xC6]).unwrap()),
        "00 00 00 02 06 15 "
    );
    let mut byte = [0];
    assert_eq!(driver.read_object(ObjectId(0xF1C0), 0, &mut byte), Ok(1));
    assert_eq!(Lifecycle::from_byte(byte[0]), Some(Lifecycle::Creation));
    assert_eq!(driver.read_object(ObjectId(0xE0C0), 0, &mut byte), Ok(1));
    assert_eq!(Lifecycle::from_byte(byte[0]), Some(Lifecycle::Operational));
    let metadata = driver.read_metadata(ObjectId::UID).unwrap();
    assert_eq!(metadata.max_bytes, Some(27));
    assert_eq!(
        (metadata.change, metadata.read),
        (Some(Access::NEVER), Some(Access::ALWAYS))
    );
    assert_eq!(driver.read_uid().unwrap().to_string(), UID_1048);
    finish(driver);
}

#[test]
fn g2_the_documented_opening() {
    let golden = trace("g02-open-full-frame");
    let mut replay = Replay::new(events(&golden.lines));
    let (host, answers) = run_link(&golden_link(&golden), &mut replay, &[command_of(&golden)]);
    assert_eq!(answers, [Ok(vec![0, 0, 0, 0])]);
    assert_eq!(host, 2);
}

#[test]
fn g3_an_answer_that_acknowledges_by_itself() {
    let mut driver = opened(&["g03-uid-piggybacked"]);
    let mut buffer = [0; 100];
    assert_eq!(driver.read_object(ObjectId::UID, 0, &mut buffer), Ok(27));
    assert_eq!(Uid(buffer[..27].try_into().unwrap()).to_string(), UID_1048);
    finish(driver);
}

#[test]
fn g4_to_g6_open_buffer_size_uid() {
    let mut driver = opened(&["g05-buffer-size", "g06-uid"]);
    assert_eq!(
        hex(driver.send(&[1, 0, 0, 2, 0xE0, 0xC6]).unwrap()),
        "00 00 00 02 06 15 "
    );
    let uid = driver.read_uid().unwrap();
    assert_eq!(
        (uid.to_string().as_str(), uid.firmware_build()),
        (UID_1118, 0x1118)
    );
    assert_eq!(hex(uid.unique()), "0A 07 84 D7 00 05 00 80 00 8E ");
    finish(driver);
}

#[test]
fn g7_to_g9_recovery() {
    for name in ["g07-refused-frame", "g08-loss-and-resync", "g09-corrupted-answer"] {
        let mut driver = opened(&["g05-buffer-size", name]);
        driver.send(&[1, 0, 0, 2, 0xE0, 0xC6]).unwrap();
        let before = driver.waited_us();
        assert_eq!(driver.read_uid().unwrap().to_string(), UID_1118, "{name}");
        let waited_us = driver.waited_us() - before;
        // Four silences of 10 ms in G-8, none in the others; the rest of the time are guard times.
        let silent = name.starts_with("g08");
        assert_eq!(waited_us > 40_000, silent, "{name}: {waited_us} us");
        assert!(
            waited_us < if silent { 44_000 } else { 2_000 },
            "{name}: {waited_us} us"
        );
        finish(driver);
    }
}

#[test]
fn g11_six_fragments_out_and_six_back() {
    let golden = trace("g11-chaining");
    let content: Vec<u8> = (0..1500u32).map(|i| (i % 251) as u8).collect();
    let write = [&[2, 0x40, 5, 0xE0, 0xF1, 0xE0, 0, 0], &content[..]].concat();
    let read = vec![1, 0, 0, 6, 0xF1, 0xE0, 0, 0, 5, 0xDC];
    let mut replay = Replay::new(events(&golden.lines));
    let (_, answers) = run_link(&golden_link(&golden), &mut replay, &[write, read]);
    let expected = [&[0, 0, 5, 0xDC], &content[..]].concat();
    assert_eq!(answers, [Ok(vec![0, 0, 0, 0]), Ok(expected)]);
}

#[test]
fn g12_a_refusal_and_its_reason() {
    let mut driver = opened(&["g12-error-code"]);
    let error = driver.read_object(ObjectId(0xE0F0), 0, &mut [0; 10]).unwrap_err();
    assert_eq!(
        (error.refusal(), error.code()),
        (Some(ErrorCode::ACCESS), "chip.refused.access")
    );
    finish(driver);
}

#[test]
fn g13_the_chip_reports_a_broken_chain_twice() {
    let report = events(&trace("g13-chaining-error").lines).pop().unwrap();
    // The command goes out once more as a whole; the second report ends it.
    let command = vec![1, 0, 0, 2, 0xE0, 0xC6];
    let link = Link::resume(TIMING, 277, Number::FRESH, Number::FRESH);
    let mut sent = Vec::new();
    let mut link_copy = link;
    let mut apdu = [0; 64];
    apdu[..6].copy_from_slice(&command);
    link_copy.start(6, 0);
    let mut reports = vec![vec![0x05, 0, 1, 7, 0, 0], report_bytes(&report)];
    let sum = optiga::crc::checksum(&reports[0][..4]).to_be_bytes();
    reports[0][4..].copy_from_slice(&sum);
    let failed = loop {
        let mut out = [0; 277];
        match link_copy.next(&apdu, &mut out, 0) {
            Action::Write(n) => sent.push(hex(&out[..n])),
            Action::Poll { .. } => link_copy.receive(&reports.pop().unwrap(), &mut apdu),
            Action::Done(_) => panic!("there is no answer"),
            Action::Failed(error) => break error,
        }
    };
    assert_eq!(failed, LinkError::Chain(optiga::chain::Break::Reported));
    let commands: Vec<_> = sent.iter().filter(|frame| frame.contains("E0 C6")).collect();
    assert_eq!(commands.len(), 2);
    assert!(
        commands[0].starts_with("03 ") && commands[1].starts_with("04 "),
        "{sent:?}"
    );
}

fn report_bytes(event: &Event) -> Vec<u8> {
    match event {
        Event::Chip(frame) => frame.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn g14_another_product_is_recognised() {
    let chip = events(&trace("g14-other-product").lines)
        .into_iter()
        .find_map(|event| match event {
            Event::Chip(frame) => Some(frame),
            _ => None,
        });
    let mut link = Link::resume(TIMING, 277, Number::FRESH, Number::FRESH);
    let mut apdu = [0; 64];
    link.start(20, 0);
    let mut out = [0; 277];
    assert!(matches!(link.next(&apdu, &mut out, 0), Action::Write(_)));
    assert!(matches!(
        link.next(&apdu, &mut out, 0),
        Action::Poll { after_us: 0 }
    ));
    link.receive(&chip.unwrap(), &mut apdu);
    assert!(matches!(link.next(&apdu, &mut out, 0), Action::Write(5)));
    let error = LinkError::Chain(optiga::chain::Break::OtherProduct);
    assert_eq!(link.next(&apdu, &mut out, 0), Action::Failed(error));
}

#[test]
fn g24_the_random_frame() {
    let random = [0x5A; 32];
    let answer = [&[5, 0, 0x25, 0, 0, 0, 0, 0x20], &random[..]].concat();
    let sum = optiga::crc::checksum(&answer).to_be_bytes();
    let mut all = events(&trace("g04-open-clearing-error").lines);
    all.extend(events(&trace("g24-random-frame").lines));
    all.push(Event::Chip([&answer[..], &sum].concat()));
    all.push(Event::Host(vec![0x81, 0, 0, 0x56, 0x30]));
    let mut driver = Driver::new(Replay::new(all), Virtual::default(), config(277));
    driver.open().unwrap();
    let mut buffer = [0; 32];
    driver.random(&mut buffer).unwrap();
    assert_eq!(buffer, random);
    finish(driver);
}

const TIMING: Timing = Timing {
    resend_after_us: 10_000,
    answer_within_us: 6_000_000,
};

fn golden_link(golden: &support::Trace) -> Link {
    let (host, chip) = golden.numbering.unwrap();
    Link::resume(
        TIMING,
        usize::from(golden.frame_bytes),
        Number::new(host),
        Number::new(chip),
    )
}

/// The command in the first frame of a trace.
fn command_of(golden: &support::Trace) -> Vec<u8> {
    match &events(&golden.lines)[0] {
        Event::Host(frame) => frame[4..frame.len() - 2].to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Runs commands over a bare link, and says how many frames the host wrote and what came back.
fn run_link(
    link: &Link,
    replay: &mut Replay,
    commands: &[Vec<u8>],
) -> (usize, Vec<Result<Vec<u8>, LinkError>>) {
    use embedded_hal::i2c::I2c;
    let (mut link, mut frames, mut answers, mut now_us) = (*link, 0, Vec::new(), 0u64);
    for command in commands {
        let mut apdu = [0; 1557];
        apdu[..command.len()].copy_from_slice(command);
        link.start(command.len(), now_us);
        answers.push(loop {
            let mut out = [0; 278];
            match link.next(&apdu, &mut out[1..], now_us) {
                Action::Write(n) => {
                    out[0] = 0x80;
                    replay.write(0x30, &out[..=n]).unwrap();
                    frames += 1;
                }
                Action::Poll { after_us } => {
                    now_us += u64::from(after_us);
                    let mut state = [0; 4];
                    replay.write(0x30, &[0x82]).unwrap();
                    replay.read(0x30, &mut state).unwrap();
                    match usize::from(u16::from_be_bytes([state[2], state[3]])) {
                        0 => link.nothing(now_us),
                        n => {
                            replay.write(0x30, &[0x80]).unwrap();
                            replay.read(0x30, &mut out[..n]).unwrap();
                            link.receive(&out[..n], &mut apdu);
                        }
                    }
                }
                Action::Done(n) => break Ok(apdu[..n].to_vec()),
                Action::Failed(error) => break Err(error),
            }
        });
    }
    assert!(replay.is_over(), "the trace goes on: {replay:02X?}");
    (frames, answers)
}

#[test]
fn g15_g16_g19_g20_refused_accesses() {
    let object = ObjectId(0xF1D0);
    let long = apdus("g15-write-beyond-object", |chip| {
        chip.write_object(object, WriteMode::Replace, 0, &[0; 140])
    });
    assert_eq!(long.unwrap_err().refusal(), Some(ErrorCode::BOUNDARY));
    let late = apdus("g16-write-past-end", |chip| {
        chip.write_object(object, WriteMode::Update, 100, &[0; 41])
    });
    assert_eq!(late.unwrap_err().code(), "chip.refused.boundary");
    let key = apdus("g19-private-key-read", |chip| {
        chip.read_object(ObjectId(0xE0F0), 0, &mut [0; 10])
    });
    assert_eq!(key.unwrap_err().code(), "chip.refused.access");
    let none = apdus("g20-unknown-object", |chip| {
        chip.read_object(ObjectId(0xDEAD), 0, &mut [0; 10])
    });
    assert_eq!(none.unwrap_err().code(), "chip.refused.object");
}

#[test]
fn g17_g18_metadata() {
    let change = MetadataChange {
        read: Some(Access::UNTIL_OPERATIONAL),
        ..MetadataChange::default()
    };
    apdus("g17-metadata-write", |chip| {
        chip.write_metadata(ObjectId(0xF1D1), &change)
    })
    .unwrap();
    apdus("g18-metadata-round-trip", |chip| {
        use optiga::metadata::{Comparison, Of};
        let object = ObjectId::CERTIFICATE_1;
        let first = MetadataChange {
            change: Some(Access::NEVER),
            read: Some(Access::ALWAYS),
            ..MetadataChange::default()
        };
        chip.write_metadata(object, &first).unwrap();
        assert_eq!(chip.read_metadata(object).unwrap().change, Some(Access::NEVER));
        // The recorded expression compares LcsG with 04, which is no state; it is taken as it is.
        let odd = Access::from_bytes(&[0x70, 0xFC, 4]).unwrap();
        let either = Access::when(Of::Object, Comparison::After, Lifecycle::Initialisation)
            .or(odd)
            .unwrap();
        let second = MetadataChange {
            change: Some(either),
            ..MetadataChange::default()
        };
        chip.write_metadata(object, &second).unwrap();
        assert_eq!(chip.read_metadata(object).unwrap().change, Some(either));
    });
}

#[test]
fn g21_g22_a_signature_made_by_silicon() {
    let digest = b"helloworld\n";
    let signature = apdus("g21-short-digest-signature", |chip| {
        chip.sign_digest(KeySlot::E0F3, digest)
    })
    .unwrap();
    let mut out = [0; 104];
    let der = signature.write_der(&mut out).unwrap();
    assert_eq!((der.len(), hex(&der[..6]).as_str()), (72, "30 46 02 21 00 A9 "));
    let point = bytes_of_verification("g22-short-digest-verification");
    let key = PublicKeyBytes::from_point(Curve::P256, &point).unwrap();
    apdus("g22-short-digest-verification", |chip| {
        chip.verify_digest(&key, digest, &signature)
    })
    .unwrap();
}

#[test]
fn g33_g34_verification_and_its_refusal() {
    let key = PublicKeyBytes::from_point(Curve::P256, &bytes_of_verification("g33-verification")).unwrap();
    let Line::Command(command) = &trace("g33-verification").lines[0] else {
        panic!()
    };
    let command = fill(command);
    let mut digest: [u8; 32] = command[7..39].try_into().unwrap();
    let halves = [&command[44..76], &[0, 0], &command[78..108]].concat();
    let signature = Signature::from_fixed(&halves).unwrap();
    apdus("g33-verification", |chip| {
        chip.verify_digest(&key, &digest, &signature)
    })
    .unwrap();
    digest[0] = 0;
    let wrong = apdus("g34-verification-mismatch", |chip| {
        chip.verify_digest(&key, &digest, &signature)
    });
    assert_eq!(wrong.unwrap_err().refusal(), Some(ErrorCode::SIGNATURE));
}

/// The point at the end of a VerifySign command.
fn bytes_of_verification(name: &str) -> Vec<u8> {
    let Line::Command(command) = &trace(name).lines[0] else {
        panic!()
    };
    let command = fill(command);
    command[command.len() - 65..].to_vec()
}

#[test]
fn g23_g29_g30_random_and_keys() {
    let mut random = [0; 16];
    apdus("g23-random", |chip| chip.random(&mut random)).unwrap();
    assert_eq!(random, core::array::from_fn(|i| i as u8 + 1));
    let key = apdus("g29-generate-p256", |chip| {
        chip.generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::SIGN)
    })
    .unwrap();
    assert_eq!((key.point().len(), key.point()[0], key.point()[64]), (65, 4, 64));
    let key = apdus("g30-generate-p384", |chip| {
        chip.generate_key(KeySlot::E0F2, Curve::P384, KeyUsage::SIGN)
    })
    .unwrap();
    assert_eq!((key.point().len(), key.curve()), (97, Curve::P384));
}
