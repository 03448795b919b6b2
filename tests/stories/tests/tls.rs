//! TLS as OpenSSL sees it: versions by policy, the certificate that it can verify, sessions that are taken up again, small records,
//! and certificates that are replaced while connections go on.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use stories::{Ended, KeyKind, Python, Story, birthmark, run, tool, wait_until};

/// What `openssl s_client` says of one connection, without a client certificate unless words add one.
fn s_client(address: &str, root: &Path, words: &[&str]) -> Ended {
    let mut command = Command::new(tool("openssl").unwrap());
    command
        .args(["s_client", "-connect", address, "-CAfile"])
        .arg(root);
    run(command.args(words))
}

/// The lines with one of these words in them.
#[track_caller]
fn says(said: &Ended, words: &[&str]) {
    let all = format!("{}{}", said.stdout, said.stderr);
    for word in words {
        assert!(all.contains(word), "{} does not say `{word}`:\n{all}", said.line);
    }
}

fn config(web: &Path) -> String {
    format!(
        "[tls]\nresumption = true\nserver_rsa = true\nmqtt_record_bytes_max = 512\n\
         [server_certificates.web]\nchain = '{}'\nkey = '{}'\n",
        web.with_extension("pem").display(),
        web.with_extension("key").display(),
    )
}

#[test]
fn tls_is_what_the_operator_chose() {
    let folder = tempfile::tempdir().unwrap();
    let Some(made) = stories::Certificates::in_folder(folder.path()) else {
        return;
    };
    made.authority("iot.story.test", KeyKind::P256);
    add_name(&made, "iot.story.test");
    let file = folder.path().join("birthmark.toml");
    fs::write(&file, config(&made.path("iot.story.test", ""))).unwrap();
    let Some(story) = Story::begin(&["--config", file.to_str().unwrap()]) else {
        return;
    };
    versions_and_certificates(&story);
    policies(&story);
    sessions(&story);
    records(&story);
    replacement(&story, &made);
}

/// A certificate with this name in the extension, too.
fn add_name(made: &stories::Certificates, name: &str) {
    let mut command = Command::new(tool("openssl").unwrap());
    command.args([
        "req", "-x509", "-new", "-sha256", "-days", "30", "-subj", "/CN=web",
    ]);
    command.args(["-addext", &format!("subjectAltName=DNS:{name}")]);
    command.arg("-key").arg(made.path(name, "key"));
    let _ = run(command.arg("-out").arg(made.path(name, "pem"))).well();
}

fn versions_and_certificates(story: &Story) {
    let (api, root) = (story.cloud.api(), story.cloud.server_ca());
    let rsa_root = root.with_file_name("server-root-rsa.pem");
    for (version, told) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = s_client(api, root, &[version, "-servername", "localhost"]).well();
        says(
            &said,
            &[told, "Peer signature type: ECDSA", "Verify return code: 0 (ok)"],
        );
        let only_rsa = [version, "-sigalgs", "rsa_pss_rsae_sha256:rsa_pkcs1_sha256"];
        let said = s_client(api, &rsa_root, &only_rsa).well();
        says(
            &said,
            &[told, "Peer signature type: RSA", "Verify return code: 0 (ok)"],
        );
    }
}

fn policies(story: &Story) {
    let made = story.aws.iot(&[
        "create-domain-configuration",
        "--domain-configuration-name",
        "strict",
        "--tls-config",
        "securityPolicy=IoTSecurityPolicy_TLS13_1_3_2022_10",
    ]);
    assert!(made["domainConfigurationArn"].is_string(), "{made}");
    let described = story.aws.iot(&[
        "describe-domain-configuration",
        "--domain-configuration-name",
        "strict",
    ]);
    let name = described["domainName"].as_str().unwrap();
    let (api, root) = (story.cloud.api(), story.cloud.server_ca());
    let said = s_client(api, root, &["-tls1_3", "-servername", name]).well();
    says(&said, &["TLSv1.3", "Verify return code: 0 (ok)"]);
    let _ = s_client(api, root, &["-tls1_2", "-servername", name]).refused(&["protocol version"]);
    let _ = s_client(api, root, &["-tls1_2", "-servername", "localhost"]).well();
}

fn sessions(story: &Story) {
    let Some(python) = Python::of(&story.cloud) else {
        return;
    };
    let certificates = python.runs("tls");
    let data_dir = story.cloud.credentials().parent().unwrap();
    for certificate in certificates.lines() {
        let mut command = birthmark();
        command.args(["explain", certificate, "--data-dir"]).arg(data_dir);
        says(&run(&mut command), &["REVOKED"]);
    }
}

fn records(story: &Story) {
    let _ = story.device("lamp-1");
    let (certificate, key) = (
        story.certificates.path("lamp-1", "pem"),
        story.certificates.path("lamp-1", "key"),
    );
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    for version in ["-tls1_2", "-tls1_3"] {
        for (asked, most) in [("512", 512), ("1024", 1024)] {
            let words = [
                version,
                "-maxfraglen",
                asked,
                "-msg",
                "-cert",
                certificate,
                "-key",
                key,
            ];
            let said = s_client(story.cloud.mqtt(), story.cloud.server_ca(), &words).well();
            says(&said, &["Verify return code: 0 (ok)"]);
            let longest = longest_record(&said.stdout);
            // Beside its content a record holds at most 41 bytes.
            assert!(
                (64..=most + 41).contains(&longest),
                "{version} {asked}: {longest}"
            );
        }
    }
}

/// The longest of the records that the server sent: each header is a line of five bytes, the length last.
fn longest_record(said: &str) -> usize {
    let headers = said.lines().zip(said.lines().skip(1));
    let lengths = headers
        .filter(|(title, _)| title.starts_with("<<<") && title.contains("RecordHeader"))
        .filter_map(|(_, bytes)| {
            let bytes: Vec<&str> = bytes.split_whitespace().collect();
            usize::from_str_radix(&bytes.get(3..5)?.concat(), 16).ok()
        });
    lengths.max().unwrap_or_default()
}

fn replacement(story: &Story, made: &stories::Certificates) {
    const NAME: &str = "iot.story.test";
    let _ = story.aws.iot(&[
        "create-domain-configuration",
        "--domain-configuration-name",
        "web",
        "--domain-name",
        NAME,
        "--server-certificate-arns",
        "arn:aws:acm:us-east-1:123456789012:certificate/web",
    ]);
    let api = story.cloud.api();
    let shown = || {
        let said = s_client(api, &made.path(NAME, "pem"), &["-servername", NAME]);
        said.stdout.contains("Verify return code: 0 (ok)")
    };
    assert!(shown());
    let device = story.device("lamp-2");
    let mut subscriber = story.operator().subscribe("dt/+/news", 1, 2);
    let _ = device.publish("dt/lamp-2/news", 1, "before").well();
    assert_eq!(subscriber.next_message(), "1 dt/lamp-2/news before");
    // A key that does not belong to the certificate changes nothing.
    let old = made.text(NAME, "pem");
    made.key(NAME, KeyKind::P256);
    hang_up(story);
    wait_until("the refusal", || {
        story.cloud.said().contains("stay as they were").then_some(())
    });
    assert!(shown(), "the old one is still shown");
    add_name(made, NAME);
    assert_ne!(made.text(NAME, "pem"), old);
    hang_up(story);
    wait_until("the new certificate", || shown().then_some(()));
    let _ = device.publish("dt/lamp-2/news", 1, "after").well();
    assert_eq!(subscriber.next_message(), "1 dt/lamp-2/news after");
}

fn hang_up(story: &Story) {
    let _ = run(Command::new("kill").args(["-HUP", &story.cloud.pid()])).well();
}

/// OpenSSL is told why in its alert, and the operator in the attempt record.
#[test]
fn a_strict_server_refuses_strangers_in_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let Some(made) = stories::Certificates::in_folder(folder.path()) else {
        return;
    };
    let file = folder.path().join("birthmark.toml");
    fs::write(&file, "[tls]\nstrict = true\n").unwrap();
    let Some(story) = Story::begin(&["--config", file.to_str().unwrap()]) else {
        return;
    };
    let (mqtt, root) = (story.cloud.mqtt(), story.cloud.server_ca());
    made.authority("plant", KeyKind::P256);
    made.signed_server("lamp", "plant", "30", "extendedKeyUsage=clientAuth");
    let (certificate, key) = (made.path("lamp", "pem"), made.path("lamp", "key"));
    let shown = [
        "-tls1_2",
        "-cert",
        certificate.to_str().unwrap(),
        "-key",
        key.to_str().unwrap(),
    ];
    let _ = s_client(mqtt, root, &shown).refused(&["unknown ca"]);
    let registered = story.aws.iot(&[
        "register-ca-certificate",
        "--ca-certificate",
        &made.url("plant", "pem"),
        "--set-as-active",
        "--certificate-mode",
        "SNI_ONLY",
    ]);
    let said = s_client(mqtt, root, &shown).well();
    says(&said, &["Verify return code: 0 (ok)"]);
    // What openssl issues without extensions is of version 1; AWS takes it, the standard does not.
    made.signed("old", "/CN=old", "plant", KeyKind::P256);
    let (old, old_key) = (made.path("old", "pem"), made.path("old", "key"));
    let shown_old = [
        "-tls1_2",
        "-cert",
        old.to_str().unwrap(),
        "-key",
        old_key.to_str().unwrap(),
    ];
    let _ = s_client(mqtt, root, &shown_old).refused(&["alert certificate unknown"]);
    let id = registered["certificateId"].as_str().unwrap();
    let inactive = [
        "update-ca-certificate",
        "--certificate-id",
        id,
        "--new-status",
        "INACTIVE",
    ];
    let _ = story.aws.try_iot(&inactive).well();
    let _ = s_client(mqtt, root, &shown).well();
    let delete = ["delete-ca-certificate", "--certificate-id", id];
    let _ = story.aws.try_iot(&delete).well();
    let _ = s_client(mqtt, root, &shown).refused(&["unknown ca"]);
    // What the server issued itself needs no registration.
    let _ = story.device("lamp-1");
    let data_dir = story.cloud.credentials().parent().unwrap();
    let explained = |device: &str| {
        let mut command = birthmark();
        let words = ["explain", &made.id(device), "--data-dir"];
        run(command.args(words).arg(data_dir))
    };
    says(
        &explained("lamp"),
        &["cloud.tls.unknown_issuer", "comes from no registered CA"],
    );
    says(
        &explained("old"),
        &["cloud.tls.certificate", "is not of X.509 version 3"],
    );
}
