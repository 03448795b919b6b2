//! The chip's side of every golden trace: what the host sent is fed in, what the chip answers is compared.

use i2c_bus::Target;
use optiga_sim::{Behaviour, Chip, Personality, Settings, Timing, UID_BYTES};

use crate::host::{Host, OPEN, hex, unhex};
use crate::trace::{Places, Trace, folder};

/// The chip of the capture.
const CAPTURED: &str = "CD163356 01001C00050000 0A0784D70005 0080 008E 80101070 1048";
/// The chip in the recordings of the host library.
const RECORDED: &str = "CD163356 01001C00050000 0A0784D70005 0080 008E 80101070 1118";

/// What has no chip's side that could be replayed as it stands.
const SKIPPED: [(&str, &str); 2] = [
    (
        "g14-other-product.trace",
        "a Trust M has a presentation layer, a Trust X has none; link.rs replays its frames",
    ),
    (
        "g21-short-digest-signature.trace",
        "the key is not known; see a_short_digest_is_padded_with_zeros_on_its_left",
    ),
];

fn chip(uid: &str, timing: Timing) -> Chip {
    let settings = Settings {
        behaviour: Behaviour {
            timing,
            ..Behaviour::default()
        },
        ..Settings::default()
    };
    let uid: [u8; UID_BYTES] = unhex(uid).try_into().unwrap();
    Chip::new(Personality::new(1, 0).with_settings(settings).with_uid(uid))
}

/// A host whose frame numbers, and the chip's, are where the trace begins.
fn host_at(trace: &Trace, chip: Chip) -> Host {
    let mut host = Host::of(chip);
    if trace.numbering != (3, 3) {
        host.ok(OPEN, "");
        // Single frames, a response of two frames and a command of two frames reach every pair of numbers.
        for (singles, long_responses) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))) {
            let (one, two) = ((singles + long_responses) & 3, (singles + 2 * long_responses) & 3);
            if (one, two) == (trace.numbering.0, trace.numbering.1) {
                (0..singles).for_each(|_| drop(host.get("01 00 0002 E0C6")));
                (0..long_responses).for_each(|_| drop(host.get("01 00 0006 E0E0 0000 0140")));
                break;
            }
        }
        assert_eq!(host.numbering(), trace.numbering);
    }
    if let Some(frame_bytes) = trace.frame_bytes {
        host.negotiate(frame_bytes);
    }
    host
}

/// Whole transactions, at the recorded times where there are any.
fn replay_transactions(name: &str, uid: &str, timing: Timing) {
    let trace = Trace::load(name);
    let mut host = host_at(&trace, chip(uid, timing));
    let mut places = Places::default();
    let start_us = host.now_us;
    for line in &trace.lines {
        // The windows in which silicon refuses its address have tests of their own.
        if line.text == "NAK" {
            continue;
        }
        let context = format!("{name}: {line:?}");
        match (line.kind.as_str(), line.at_us) {
            ("W", at_us) => {
                host.now_us = at_us.map_or(host.now_us, |at_us| start_us + at_us);
                host.write(&unhex(&line.text));
            }
            ("R", Some(at_us)) => {
                host.now_us = start_us + at_us;
                let mut seen = vec![0; unhex(&line.text).len()];
                host.chip.read(&mut seen, host.now_us).unwrap();
                places.expect(&line.text, &seen, &context);
            }
            ("R", None) => places.expect(&line.text, &poll(&mut host, &unhex(&line.text)), &context),
            _ => panic!("{context}"),
        }
    }
}

/// Reads until the chip has finished what keeps it from this answer; nothing but "busy" or "nothing yet" may come before it.
fn poll(host: &mut Host, expected: &[u8]) -> Vec<u8> {
    loop {
        let mut seen = vec![0; expected.len()];
        host.chip.read(&mut seen, host.now_us).unwrap();
        let waiting = matches!(seen.as_slice(), [0x08 | 0x88, 0, 0, 0]);
        if seen == expected || !waiting || host.now_us > 10_000_000 {
            return seen;
        }
        host.wait();
    }
}

/// A frame of the trace that the wires garbled; lines are counted from zero.
#[derive(PartialEq)]
enum Garbled {
    Nothing,
    ToChip(usize),
    ToHost(usize),
}

/// Frames, whatever polls are around them.
fn replay_frames(name: &str, uid: &str, garbled: Garbled) {
    let trace = Trace::load(name);
    let mut host = host_at(&trace, chip(uid, Timing::Virtual));
    let mut places = Places::default();
    for (index, line) in trace.lines.iter().enumerate() {
        let context = format!("{name}: line {index}");
        match line.kind.as_str() {
            "H" => {
                let mut frame = unhex(&line.text);
                if garbled == Garbled::ToChip(index) {
                    frame[3] ^= 0x10;
                }
                host.send(&frame);
            }
            "C" => {
                let mut seen = host.frame();
                if garbled == Garbled::ToHost(index) {
                    *seen.last_mut().unwrap() ^= 0x01;
                }
                places.expect(&line.text, &seen, &context);
            }
            "LOST" => host.now_us += 10_000,
            kind => panic!("{context}: {kind}"),
        }
    }
}

/// Commands and responses, after what the trace takes for granted.
fn replay_commands(name: &str, before: &[&str]) {
    let trace = Trace::load(name);
    let mut host = Host::open(chip(RECORDED, Timing::None));
    for command in before {
        host.get(command);
    }
    let (mut places, mut response) = (Places::default(), vec![]);
    for line in &trace.lines {
        match line.kind.as_str() {
            ">" => response = host.command(&places.fill(&line.text)),
            "<" => places.expect(&line.text, &response, &format!("{name}: {line:?}")),
            kind => panic!("{name}: {kind}"),
        }
    }
}

#[test]
fn the_chip_answers_as_in_every_golden_trace() {
    let frames = |name: &str| replay_frames(name, RECORDED, Garbled::Nothing);
    let commands = |name: &str| replay_commands(name, &[]);
    type Replay<'a> = (&'a str, &'a dyn Fn(&str));
    let replays: &[Replay<'_>] = &[
        ("g01-open-and-uid-fragmented.trace", &|name| {
            replay_transactions(name, CAPTURED, Timing::Virtual)
        }),
        ("g02-open-full-frame.trace", &|name| {
            replay_transactions(name, CAPTURED, Timing::Virtual)
        }),
        ("g03-uid-piggybacked.trace", &|name| {
            replay_transactions(name, CAPTURED, Timing::None)
        }),
        ("g04-open-clearing-error.trace", &|name| {
            replay_transactions(name, RECORDED, Timing::Virtual)
        }),
        ("g05-buffer-size.trace", &frames),
        ("g06-uid.trace", &frames),
        ("g07-refused-frame.trace", &|name| {
            replay_frames(name, RECORDED, Garbled::ToChip(0))
        }),
        ("g08-loss-and-resync.trace", &frames),
        ("g09-corrupted-answer.trace", &|name| {
            replay_frames(name, RECORDED, Garbled::ToHost(2))
        }),
        ("g10-soft-reset.trace", &|name| {
            replay_transactions(name, RECORDED, Timing::Virtual)
        }),
        ("g11-chaining.trace", &frames),
        ("g12-error-code.trace", &frames),
        ("g13-chaining-error.trace", &frames),
        ("g15-write-beyond-object.trace", &commands),
        ("g16-write-past-end.trace", &commands),
        ("g17-metadata-write.trace", &commands),
        ("g18-metadata-round-trip.trace", &|name| {
            replay_commands(name, &["02 40 0009 E0E1 000A 0102030405"])
        }),
        ("g19-private-key-read.trace", &commands),
        ("g20-unknown-object.trace", &commands),
        ("g22-short-digest-verification.trace", &commands),
        ("g23-random.trace", &commands),
        ("g24-random-frame.trace", &frames),
        ("g25-hash.trace", &commands),
        ("g26-hash-with-context.trace", &commands),
        ("g29-generate-p256.trace", &commands),
        ("g30-generate-p384.trace", &commands),
        ("g31-generate-and-export.trace", &commands),
        ("g33-verification.trace", &commands),
        ("g34-verification-mismatch.trace", &commands),
    ];
    for (name, replay) in replays {
        replay(name);
    }
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".trace"))
        .collect();
    files.retain(|name| !replays.iter().any(|replay| replay.0 == name));
    files.retain(|name| !SKIPPED.iter().any(|skipped| skipped.0 == name));
    assert_eq!(files, [] as [&str; 0], "traces that nobody replays");
}

#[test]
fn a_short_digest_is_padded_with_zeros_on_its_left() {
    let mut host = Host::open(chip(RECORDED, Timing::None));
    let key = host.get("38 03 0009 01 0002 E0F3 02 0001 10")[3..].to_vec();
    let sign = Trace::load("g21-short-digest-signature.trace").lines.remove(0);
    let signature = host.get(&sign.text);
    assert!((68..=72).contains(&signature.len()), "{}", hex(&signature));
    for (digest, code) in [
        ("000B 68656C6C6F776F726C640A", None),
        (
            "0020 000000000000000000000000000000000000000000 68656C6C6F776F726C640A",
            None,
        ),
        (
            "0020 68656C6C6F776F726C640A 000000000000000000000000000000000000000000",
            Some(0x2C),
        ),
    ] {
        let data = format!(
            "01{digest} 02 {:04X} {} 05 0001 03 06 0044 {}",
            signature.len(),
            hex(&signature),
            hex(&key)
        );
        let command = format!("32 11 {:04X} {data}", unhex(&data).len());
        match code {
            None => host.ok(&command, ""),
            Some(code) => assert_eq!(host.no(&command), code),
        }
    }
}
