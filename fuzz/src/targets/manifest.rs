//! Manifests in every form: signed lines of ours, Microchip's signed elements, and tables that somebody is about to sign.
//!
//! What stands behind a signature is reached by signing the bytes here, with a key of this run.

use std::sync::LazyLock;

use identity::UnixMillis;
use identity::certificate::Certificate;
use identity::crypto::SoftwareKey;
use identity::issue::{Profile, Serial, Signer as _, Validity, prepare};
use identity::key::Curve;
use identity::manifest::{self, Entry, KeyHash, jws, microchip, rows};
use identity::name::Name;
use serde_json::{Map, Value};

/// Who signs, and the certificate under which Microchip's form names it.
static SIGNER: LazyLock<(SoftwareKey, Certificate)> = LazyLock::new(|| {
    let key = SoftwareKey::generate(Curve::P256).expect("a key");
    let name = Name::with_common_name("Signer").expect("a name");
    let validity = Validity::new(UnixMillis(0), UnixMillis(1_000_000_000_000)).expect("a window");
    let profile = Profile::root(key.public_key(), &name, validity);
    let serial = Serial::new([1; 16]).expect("a serial number");
    let proven = key.prove(&name).expect("a proof");
    let prepared = prepare(&profile, proven, &name, &serial).expect("a certificate");
    let certificate = prepared.sign(&key).expect("a signature");
    (key, certificate)
});

/// Text in any of the forms.
pub(super) fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    line(text);
    tables(text);
    if serde_json::from_str::<Value>(text).is_ok() {
        segment(bytes);
        element(bytes);
    }
}

/// A line that somebody sent: nobody whose key is enrolled has signed it.
fn line(text: &str) {
    let _ = manifest::signer_of(text);
    let _ = manifest::glimpse(text);
    let enrolled = |_| Some(SIGNER.0.public_key().clone());
    assert!(
        manifest::open(text, enrolled).is_err(),
        "a forged line was opened"
    );
    if let Ok(item) = serde_json::from_str(text) {
        let forged = microchip::open(&item, &SIGNER.1);
        assert!(forged.is_err(), "a forged element was opened");
    }
}

/// A payload of ours, signed; what is taken of it can be signed again and means the same.
fn segment(payload: &[u8]) {
    let (key, _) = &*SIGNER;
    let kid = KeyHash::of(key.public_key()).to_string();
    let signed = signed(
        payload,
        &[("kid", kid), ("typ", "birthmark-manifest-1".to_owned())],
    );
    let enrolled = |_| Some(key.public_key().clone());
    let Ok(opened) = manifest::open(&signed, enrolled) else {
        return;
    };
    let glimpse = manifest::glimpse(&signed).expect("what was opened");
    assert_eq!(glimpse.sequence, opened.segment.sequence);
    // Text that JSON escapes may make a line too long that came in just so.
    if let Ok((again, _)) = manifest::seal(&opened.segment, key) {
        let again = manifest::open(&again, enrolled).expect("our own line");
        assert_eq!(again.segment, opened.segment);
    }
}

/// An element of Microchip's form, signed.
fn element(payload: &[u8]) {
    let name = base64_url(&SIGNER.1.id().0);
    let signed = signed(payload, &[("x5t#S256", name)]);
    let item = serde_json::from_str(&signed).expect("our own token");
    if let Ok(entry) = microchip::open(&item, &SIGNER.1) {
        check(&entry);
    }
}

fn tables(text: &str) {
    let mut csv = rows::Csv::default();
    for line in text.split_inclusive('\n') {
        rows::from_json(line).iter().for_each(check);
        match csv.line(line) {
            Ok(entry) => entry.iter().for_each(check),
            Err(_) => break,
        }
    }
}

fn check(entry: &Entry) {
    manifest::check_entry(entry).expect("what was taken is within its limits");
}

fn signed(payload: &[u8], members: &[(&str, String)]) -> String {
    let members = members
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())));
    let header: Map<String, Value> = members.collect();
    jws::sign(payload, header, &SIGNER.0).expect("a signature")
}

/// Base64url without padding (RFC 7515, 2).
fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
