//! The golden traces of whole commands, with the keys that they take for granted.
//!
//! A signature and an exported key are new each time: what the chip answers there has the recorded shape, and a signature holds
//! under the recorded key. Everything else is compared byte by byte.

use std::path::PathBuf;

use super::tests::{Bench, hex, unhex};
use super::{Session, state, write_all};
use crate::ec::{self, Curve};

/// The keys of the known answers, whose values are public.
const P256: &str = "FFEE5961C8F9C40ABF5435ECE66B6D9CAA0495A2B7CC0A5C3241162C38432457";
const P384: &str =
    "82E8B07E3E8138570A52846933D7E06308D0D78917EC2825F5F395B910F376F16FB7DEC020F58FF8977F8FF8DBBE31A5";
/// A key pair for agreements in the first session context.
const SESSION_KEY: &str = "38 03 0009 01 0002 E100 02 0001 20";
/// Sign, agree and authenticate.
const EVERY_USAGE: u8 = 0x31;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/optiga/commands")
}

/// Commands, each with its answer as it is written.
fn exchanges(name: &str) -> Vec<(Vec<u8>, String)> {
    let text = std::fs::read_to_string(folder().join(format!("{name}.trace"))).unwrap();
    let (_, body) = text.split_once("\n\n").unwrap();
    let lines: Vec<&str> = body.lines().filter(|line| line.starts_with(['>', '<'])).collect();
    let pairs = lines
        .chunks(2)
        .map(|pair| (unhex(&pair[0][1..]), pair[1][2..].to_owned()));
    pairs.collect()
}

fn replay(bench: &mut Bench, name: &str) {
    for (command, expected) in exchanges(name) {
        let answer = bench.command(&command);
        let context = format!("{name}: {} gave {}", hex(&command), hex(&answer));
        match command[0] {
            0x31 => signature_holds(bench, &command, &answer, &context),
            0x38 if command[3] == 3 => {
                let length = unhex(&expected).len();
                assert_eq!(
                    (answer.len(), answer[..4].to_vec()),
                    (length, unhex(&expected)[..4].to_vec()),
                    "{context}"
                );
            }
            _ => compare(&expected, &answer, &context),
        }
    }
}

/// Bytes, and `{name:n}` for n bytes of any value.
fn compare(expected: &str, answer: &[u8], context: &str) {
    let mut rest = answer;
    for word in expected.split_whitespace() {
        let gap = word.strip_prefix('{').map(|gap| gap.trim_end_matches('}'));
        let count = gap.map_or(1, |gap| gap.split_once(':').unwrap().1.parse().unwrap());
        let (found, behind) = rest.split_at_checked(count).expect(context);
        assert!(gap.is_some() || hex(found) == word, "{context}, not {expected}");
        rest = behind;
    }
    assert!(rest.is_empty(), "{context}, not {expected}");
}

/// The chip itself says that its signature over the digest of a CalcSign holds under the key of the object.
fn signature_holds(bench: &mut Bench, command: &[u8], answer: &[u8], context: &str) {
    assert_eq!(answer[..2], [0, 0], "{context}");
    let digest_bytes = usize::from(command[6]);
    let digest = &command[7..7 + digest_bytes];
    let oid = u16::from_be_bytes([command[command.len() - 2], command[command.len() - 1]]);
    let object = bench.applet.key_object(oid).unwrap();
    let holds = bench.applet.with_key(object, |curve, stored| {
        Some(ec::verifies(
            curve,
            ec::point(curve, stored),
            digest,
            &answer[4..],
        ))
    });
    assert_eq!(holds, Ok(true), "{context}");
}

fn place(bench: &mut Bench, oid: u16, curve: Curve, scalar: &str) {
    let stored = ec::store_scalar(curve, &unhex(scalar)).unwrap();
    let change = [
        write_all(oid, &stored),
        state(oid, 1, curve.to_wire(), EVERY_USAGE),
    ];
    bench.applet.commit(&change).unwrap();
}

/// A chip with the keys and the certificate of the known answers.
fn prepared() -> Bench {
    let mut bench = Bench::new();
    place(&mut bench, 0xE0F1, Curve::P256, P256);
    place(&mut bench, 0xE0F2, Curve::P384, P384);
    let certificate = std::fs::read(folder().join("k3-certificate.der")).unwrap();
    let write = format!(
        "02 40 {:04X} E0E8 0000 {}",
        certificate.len() + 4,
        hex(&certificate)
    );
    bench.ok(&write, "");
    bench
}

#[test]
fn the_chip_answers_as_in_every_trace_of_commands() {
    let mut known = prepared();
    let mut recorded = Bench::new();
    let mut settings = Bench::new();
    let mut hashes = Bench::new();
    hashes.ok(&format!("02 40 0013 F1D0 0000 {}", hex(b"hello birthmark")), "");
    // One after the other where a trace goes on from the one before.
    let traces: [(&mut Bench, &[&str]); 4] = [
        (
            &mut recorded,
            &[
                "g32-signature",
                "g34-agreement-in-session",
                "g35-agreement-stays",
                "g36-derivation",
                "g37-challenge",
                "g38-dtls-scheme",
            ],
        ),
        (
            &mut known,
            &[
                "k1-agreement-p256",
                "k2-derivation",
                "k3-signature-p256",
                "k4-p384",
            ],
        ),
        (&mut settings, &["k5-settings"]),
        (&mut hashes, &["k6-hash-object"]),
    ];
    let mut replayed = vec![];
    for (bench, names) in traces {
        for name in names {
            replay(bench, name);
            replayed.push(format!("{name}.trace"));
        }
    }
    let files = std::fs::read_dir(folder()).unwrap();
    let mut files: Vec<_> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".trace") && !replayed.contains(name))
        .collect();
    files.sort();
    assert_eq!(files, [] as [&str; 0], "traces that nobody replays");
}

/// The secret took the key's place: no second agreement with it, but a derivation.
#[test]
fn a_secret_in_a_session_is_no_key_any_more() {
    let mut bench = Bench::new();
    bench.data(SESSION_KEY);
    replay(&mut bench, "g35-agreement-stays");
    assert!(matches!(
        bench.applet.sessions[0].as_deref(),
        Some(Session::Secret(_))
    ));
    let (again, _) = exchanges("g35-agreement-stays").remove(0);
    assert_eq!(bench.command(&again), [0xFF, 0, 0, 0]);
    replay(&mut bench, "g36-derivation");
}
