//! The openssl command as a judge of what is issued: chains verify for their purpose, and for no other.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this test runs another program, gives it files, and stops at the first surprise"
)]

mod common;

use std::{fs, io::Write as _, path::PathBuf, process::Command};

use common::{NOW, issue, root, signer};
use identity::{
    UnixMillis,
    crypto::SoftwareKey,
    issue::{Profile, Validity},
    key::Curve,
    name::Name,
};

/// Runs openssl; `None` if it is not installed, which is counted as a skip.
fn openssl(arguments: &[&str]) -> Option<(bool, String)> {
    let Ok(output) = Command::new("openssl").args(arguments).output() else {
        if let Some(path) = std::env::var_os("BIRTHMARK_SKIPS") {
            let mut skips = fs::OpenOptions::new().append(true).open(path).unwrap();
            writeln!(
                skips,
                "identity openssl: openssl is missing: apt-get install openssl"
            )
            .unwrap();
        }
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

fn file(name: &str, content: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("identity-openssl-{name}.pem"));
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn chains_verify_for_their_purpose() {
    let root = root();
    let signer = signer(&root);
    let ca = &signer.certificate;
    let leaf = |profile: Profile, subject: &str| {
        let key = SoftwareKey::generate(Curve::P256).unwrap();
        issue(
            &profile,
            &signer.key,
            &key,
            &Name::with_common_name(subject).unwrap(),
        )
        .pem()
    };
    let device = Profile::device(ca, Validity::new(NOW, UnixMillis::NO_EXPIRY).unwrap()).unwrap();
    let server = Profile::server(
        ca,
        &["localhost"],
        &["127.0.0.1".parse().unwrap()],
        Validity::days(NOW, 90).unwrap(),
    );
    let verification = Profile::verification(ca, Validity::days(NOW, 6).unwrap()).unwrap();
    let aws = Profile::aws_issued(ca, NOW).unwrap();
    let device = file("device", &leaf(device, "bm-000001"));
    let server = file("server", &leaf(server.unwrap(), "localhost"));
    let verification = file("verification", &leaf(verification, &"0a".repeat(32)));
    let aws = file("aws", &leaf(aws, "AWS IoT Certificate"));
    let root_file = file("root", &root.certificate.pem());
    let signer_file = file("signer", &ca.pem());
    let at = NOW.seconds().to_string();
    for (leaf, purpose, good) in [
        (&device, "sslclient", true),
        (&device, "sslserver", false),
        (&server, "sslserver", true),
        (&server, "sslclient", false),
        (&aws, "sslclient", true),
        (&verification, "any", true),
        (&signer_file, "any", true),
    ] {
        let arguments = [
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-attime",
            &at,
            "-purpose",
            purpose,
            "-CAfile",
            &root_file,
            "-untrusted",
            &signer_file,
            leaf,
        ];
        let Some((verified, text)) = openssl(&arguments) else {
            return;
        };
        assert_eq!(verified, good, "{leaf} for {purpose}: {text}");
    }
    let (_, text) = openssl(&["x509", "-in", &device, "-noout", "-text"]).unwrap();
    for line in [
        "Not After : Dec 31 23:59:59 9999 GMT",
        "CN = bm-000001",
        "TLS Web Client Authentication",
        "CA:FALSE",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn keys_and_requests_are_read_by_openssl() {
    for (name, key) in [
        ("p256", SoftwareKey::generate(Curve::P256).unwrap()),
        ("p521", SoftwareKey::generate(Curve::P521).unwrap()),
        ("rsa", SoftwareKey::generate_rsa(2048).unwrap()),
    ] {
        let pem = file(&format!("key-{name}"), &key.pkcs8_pem().unwrap());
        let Some((good, text)) = openssl(&["pkey", "-in", &pem, "-check", "-noout"]) else {
            return;
        };
        assert!(good, "{name}: {text}");
        let request = key
            .request(&Name::with_common_name("bm-000001").unwrap())
            .unwrap();
        let request = file(
            &format!("request-{name}"),
            &identity::request::encode_pem(&request),
        );
        let (good, text) = openssl(&["req", "-in", &request, "-verify", "-noout"]).unwrap();
        assert!(good, "{name}: {text}");
        fs::remove_file(&pem).unwrap();
    }
}
