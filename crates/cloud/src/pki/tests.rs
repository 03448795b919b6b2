//! The server's identity over its life: first start, restart, renewal, kills, and files that somebody changed.

use super::*;

const NOW: UnixMillis = UnixMillis::from_seconds(1_795_000_000);

fn open(directory: &Path, hostnames: &[&str], now: UnixMillis) -> Result<Pki, Error> {
    let hostnames: Vec<String> = hostnames.iter().map(|name| (*name).to_owned()).collect();
    Pki::open(directory, &hostnames, false, now)
}

fn leaf(pki: &Pki) -> Certificate {
    Certificate::parse(&pki.server[0].chain[0]).unwrap()
}

fn root(pki: &Pki) -> Certificate {
    Certificate::from_pem(&std::fs::read_to_string(&pki.server_root).unwrap()).unwrap()
}

#[test]
fn the_first_start_makes_what_small_devices_can_read() {
    let directory = tempfile::tempdir().unwrap();
    let pki = open(directory.path(), &["cloud.example.com", "10.0.0.1"], NOW).unwrap();
    let (root, leaf) = (root(&pki), leaf(&pki));
    assert!(root.der().len() <= SERVER_ROOT_BYTES_MAX && root.is_ca());
    assert!(pki.server[0].chain.iter().map(|der| der.len()).sum::<usize>() < 2048);
    leaf.is_signed_by(root.public_key()).unwrap();
    assert_eq!(leaf.authority_key_id(), root.subject_key_id());
    assert!(leaf.not_after().since(leaf.not_before()) <= SERVER_CERTIFICATE_DAYS * UnixMillis::DAY);
    assert_eq!(leaf.not_before().since(NOW), -UnixMillis::DAY);
    let names = AddressNames::of(&leaf);
    assert!(
        ["cloud.example.com", "localhost"]
            .iter()
            .all(|name| names.dns.contains(*name))
    );
    assert!(
        ["10.0.0.1", "127.0.0.1", "::1"]
            .iter()
            .all(|ip| names.ips.contains(&ip.parse().unwrap()))
    );
}

#[test]
fn the_root_stays_and_the_leaf_is_renewed() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), &[], NOW).unwrap();
    let again = open(directory.path(), &[], NOW.plus_days(300)).unwrap();
    assert_eq!(leaf(&first).der(), leaf(&again).der());
    let renewed = open(directory.path(), &[], NOW.plus_days(370)).unwrap();
    assert_ne!(leaf(&first).der(), leaf(&renewed).der());
    let renamed = open(directory.path(), &["other"], NOW.plus_days(370)).unwrap();
    assert_ne!(leaf(&renamed).der(), leaf(&renewed).der());
    for pki in [&again, &renewed, &renamed] {
        assert_eq!(root(pki).der(), root(&first).der());
        leaf(pki).is_signed_by(root(&first).public_key()).unwrap();
    }
}

#[test]
fn a_kill_between_two_files_is_made_good() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), &[], NOW).unwrap();
    for missing in ["server-root.pem", "server.pem", "device-issuer.pem"] {
        std::fs::remove_file(directory.path().join(missing)).unwrap();
        let pki = open(directory.path(), &[], NOW).unwrap();
        leaf(&pki).is_signed_by(root(&pki).public_key()).unwrap();
    }
}

#[test]
fn what_does_not_fit_together_is_named_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    open(directory.path(), &[], NOW).unwrap();
    let other = std::fs::read(path("server.key")).unwrap();
    let own = std::fs::read(path("server-root.key")).unwrap();
    for content in [Some(&other[..]), Some(b"garbage"), None] {
        match content {
            Some(content) => std::fs::write(path("server-root.key"), content).unwrap(),
            None => std::fs::remove_file(path("server-root.key")).unwrap(),
        }
        let error = open(directory.path(), &[], NOW).unwrap_err();
        assert!(error.to_string().contains("server-root"), "{error}");
    }
    std::fs::write(path("server-root.key"), own).unwrap();
    open(directory.path(), &[], NOW).unwrap();
}

#[test]
fn devices_get_certificates_as_aws_issues_them() {
    let directory = tempfile::tempdir().unwrap();
    let pki = open(directory.path(), &[], NOW).unwrap();
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let subject = Name::with_common_name("whatever the device says").unwrap();
    let first = pki.issuer.issue(key.prove(&subject).unwrap(), NOW).unwrap();
    let second = pki.issuer.issue(key.prove(&subject).unwrap(), NOW).unwrap();
    assert_eq!(first.subject().common_name(), Some("AWS IoT Certificate"));
    assert_eq!(
        first.not_after().to_rfc3339().get(..19),
        Some("2049-12-31T23:59:59")
    );
    assert_ne!(first.id(), second.id());
    first.is_signed_by(pki.issuer.0.certificate.public_key()).unwrap();
}
