//! Certificates with bytes changed, cut, doubled and swapped: no panic, and whatever this crate reads, x509-parser reads too,
//! with the same values. The accepted set is a subset.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

mod common;

use std::{fs, path::PathBuf, sync::LazyLock};

use common::{NOW, issue, name, root};
use identity::{
    certificate::Certificate,
    crypto::SoftwareKey,
    issue::{Profile, Validity},
    key::{Curve, PublicKey},
    name::Name,
    request::Request,
};
use proptest::{prelude::*, test_runner::RngSeed};
use x509_parser::{
    certificate::X509Certificate, certification_request::X509CertificationRequest, prelude::FromDer as _,
};

#[expect(clippy::disallowed_methods, reason = "tests read their vectors")]
fn seeds(prefixes: &[&str]) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/identity");
    let mut paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    paths.sort();
    let chosen = paths.iter().filter(|path| {
        let file = path.file_name().unwrap().to_str().unwrap();
        file.ends_with(".der") && prefixes.iter().any(|prefix| file.starts_with(prefix))
    });
    chosen.map(|path| fs::read(path).unwrap()).collect()
}

/// One change of a document.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Double(prop::sample::Index, usize),
    Append(u8),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (index(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => index().prop_map(Change::Cut),
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        1 => index().prop_map(Change::Remove),
        1 => (index(), 1_usize..40).prop_map(|(at, count)| Change::Double(at, count)),
        1 => any::<u8>().prop_map(Change::Append),
    ]
}

fn apply(mut der: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if der.is_empty() {
            break;
        }
        let length = der.len();
        match change {
            Change::Set(at, byte) => der[at.index(length)] = *byte,
            Change::Flip(at, bit) => der[at.index(length)] ^= 1 << bit,
            Change::Cut(at) => der.truncate(at.index(length)),
            Change::Insert(at, byte) => der.insert(at.index(length), *byte),
            Change::Remove(at) => _ = der.remove(at.index(length)),
            Change::Double(at, count) => {
                let start = at.index(length);
                let piece = der[start..length.min(start + count)].to_vec();
                der.splice(start..start, piece);
            }
            Change::Append(byte) => der.push(*byte),
        }
    }
    der
}

fn check_certificate(der: &[u8]) {
    let Ok(ours) = Certificate::parse(der) else { return };
    let (rest, theirs) = X509Certificate::from_der(der).expect("x509-parser refuses what we accept");
    assert!(rest.is_empty());
    assert_eq!(ours.serial(), theirs.raw_serial());
    assert_eq!(ours.subject().der(), theirs.subject().as_raw());
    assert_eq!(ours.issuer().der(), theirs.issuer().as_raw());
    assert_eq!(
        ours.subject().attributes().len(),
        theirs.subject().iter_attributes().count()
    );
    assert_eq!(
        ours.not_before().seconds(),
        theirs.validity().not_before.timestamp()
    );
    assert_eq!(
        ours.not_after().seconds(),
        theirs.validity().not_after.timestamp()
    );
    assert_eq!(ours.public_key().spki_der(), theirs.public_key().raw);
    assert_eq!(ours.extensions().count(), theirs.extensions().len());
    let their_constraints = theirs
        .basic_constraints()
        .expect("basic constraints are read by both");
    assert_eq!(
        ours.basic_constraints()
            .map(|constraints| (constraints.ca, constraints.path_len)),
        their_constraints.map(|found| (found.value.ca, found.value.path_len_constraint))
    );
    assert_eq!(
        ours.key_usage().map(|usage| usage.0),
        theirs
            .key_usage()
            .expect("key usage")
            .map(|found| found.value.flags)
    );
    // Nothing here may panic, whatever was accepted.
    let _ = (
        ours.subject().to_string(),
        ours.id(),
        ours.pem(),
        ours.is_signed_by(ours.public_key()),
        ours.is_simulated(),
    );
}

fn check_request(der: &[u8]) {
    let Ok(ours) = Request::parse(der) else { return };
    let (rest, theirs) = X509CertificationRequest::from_der(der).expect("x509-parser refuses what we accept");
    assert!(rest.is_empty());
    assert_eq!(
        ours.subject().der(),
        theirs.certification_request_info.subject.as_raw()
    );
    assert_eq!(
        ours.public_key().spki_der(),
        theirs.certification_request_info.subject_pki.raw
    );
    let _ = ours.verify();
}

fn settings() -> ProptestConfig {
    ProptestConfig {
        cases: 8_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2), // the same cases in every run; the fuzz targets look for others
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn changed_certificates_of_others(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 0..4),
    ) {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| seeds(&["ca-", "device-", "name-", "version-", "validity-", "refused-"]));
        let seeds = &*SEEDS;
        check_certificate(&apply(seeds[which.index(seeds.len())].clone(), &changes));
    }

    #[test]
    fn changed_requests(which in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 0..4)) {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| seeds(&["request-"]));
        let seeds = &*SEEDS;
        check_request(&apply(seeds[which.index(seeds.len())].clone(), &changes));
    }

    #[test]
    fn noise_is_no_document(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        check_certificate(&noise);
        check_request(&noise);
        let _ = (PublicKey::from_spki_der(&noise), Name::from_der(&noise));
    }
}

#[test]
fn every_single_byte_of_an_issued_certificate() {
    let root = root();
    let profile = Profile::device(&root.certificate, Validity::days(NOW, 1).unwrap())
        .unwrap()
        .simulated();
    let device = issue(
        &profile,
        &root.key,
        &SoftwareKey::generate(Curve::P256).unwrap(),
        &name("bm-000001"),
    );
    for at in 0..device.der().len() {
        for value in 0..=255 {
            let mut der = device.der().to_vec();
            if der[at] == value {
                continue;
            }
            der[at] = value;
            check_certificate(&der);
        }
        assert!(Certificate::parse(&device.der()[..at]).is_err());
    }
}
