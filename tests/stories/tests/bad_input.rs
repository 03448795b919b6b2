//! Whatever is wrong is named, with its cause; the exit code says so, and nothing is half-written.
#![forbid(unsafe_code)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use stories::registration::{registration_config, template, verification};
use stories::{Certificates, Cloud, KeyKind, birthmark, run, wait_until};

/// Every file below a folder with its bytes, but for the lock, which names whoever looked last.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if !path.ends_with("lock") {
            found.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_written() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for listen in ["--listen-mqtt", "--listen-api"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("cloud");
        let other = if listen == "--listen-api" {
            "--listen-mqtt"
        } else {
            "--listen-api"
        };
        let mut command = birthmark();
        command
            .args(["serve", listen, &address, other, "127.0.0.1:0", "--data-dir"])
            .arg(&data);
        let _ = run(&mut command).refused(&[&address]);
        assert!(!data.join("ready.json").exists());
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "not a folder").unwrap();
    let below = file.join("cloud");
    let _ = run(&mut Cloud::command(&below, &[])).refused(&[&below.display().to_string()]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
}

#[test]
fn a_data_directory_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("cloud");
    let cloud = Cloud::start(&data, &[]);
    let _ = run(&mut Cloud::command(&data, &[])).refused(&[&data.display().to_string()]);
    assert_eq!(cloud.stop(), Some(0));
}

#[test]
fn a_malformed_configuration_is_named_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("birthmark.toml");
    for (text, word) in [
        ("listen_mqqt = \"127.0.0.1:0\"\n", "listen_mqqt"),
        ("[[[", "birthmark.toml"),
    ] {
        fs::write(&config, text).unwrap();
        let data = folder.path().join("cloud");
        let _ = run(Cloud::command(&data, &["--config"]).arg(&config)).refused(&[word]);
        assert!(!data.exists(), "nothing is made for a wrong configuration");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    assert_eq!(run(birthmark().args(["serve", "--lissten", "x"])).code, Some(2));
    assert_eq!(run(birthmark().args(["dance"])).code, Some(2));
    assert_eq!(run(birthmark().args(["demo", "--devices", "many"])).code, Some(2));
}

#[test]
fn a_template_that_asks_for_a_subject_attribute_that_the_certificate_lacks_provisions_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(certificates) = Certificates::in_folder(folder.path()) else {
        return;
    };
    let data = folder.path().join("cloud");
    let cloud = Cloud::start(&data, &[]);
    let Some(aws) = cloud.aws() else { return };
    certificates.authority("signer", KeyKind::P256);
    let asks_for_serial = template().replace(
        "AWS::IoT::Certificate::CommonName",
        "AWS::IoT::Certificate::SerialNumber",
    );
    let _ = stories::registration::register(&aws, &certificates, "signer", &asks_for_serial);
    if stories::tool("mosquitto_pub").is_none() {
        return;
    }
    certificates.signed("lamp-1", "/CN=lamp-1", "signer", KeyKind::P256);
    let device = stories::Mosquitto::new(&cloud, &certificates, "lamp-1", "lamp-1");
    let _ = device.publish("dt/lamp-1/hello", 1, "x").refused(&[]);
    let said = wait_until("the attempt to be recorded", || {
        let mut explain = birthmark();
        explain
            .args(["explain", "--data-dir"])
            .arg(&data)
            .arg(certificates.id("lamp-1"));
        Some(run(&mut explain)).filter(|ended| ended.code == Some(0))
    });
    assert!(
        format!("{}{}", said.stdout, said.stderr).contains("SerialNumber"),
        "{said:?}"
    );
    aws.refused(
        &["describe-thing", "--thing-name", "lamp-1"],
        &["ResourceNotFoundException"],
    );
}

#[test]
fn malformed_documents_are_refused_by_the_api_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(certificates) = Certificates::in_folder(folder.path()) else {
        return;
    };
    let cloud = Cloud::start(&folder.path().join("cloud"), &[]);
    let Some(aws) = cloud.aws() else { return };
    certificates.authority("signer", KeyKind::P256);
    verification(&aws, &certificates, "signer");
    let proof = certificates.url("verification", "pem");
    let register = |ca: &str, more: &[&str], words: &[&str]| {
        let call = [
            "register-ca-certificate",
            "--verification-certificate",
            &proof,
            "--ca-certificate",
            ca,
        ];
        aws.refused(&[&call[..], more].concat(), words);
    };
    let good = certificates.text("signer", "pem");
    let cut: String = good.lines().take(3).collect::<Vec<_>>().join("\n") + "\n-----END CERTIFICATE-----\n";
    register(&cut, &[], &["CertificateValidationException"]);
    register("no certificate", &[], &["CertificateValidationException"]);
    let config = registration_config(&certificates, "{ \"Parameters\": ");
    register(
        &certificates.url("signer", "pem"),
        &["--registration-config", &config],
        &["InvalidRequestException"],
    );
    let listed = aws.iot(&["list-ca-certificates"]);
    assert_eq!(listed["certificates"], serde_json::json!([]));
}

#[test]
fn a_stranger_that_speaks_no_tls_does_no_harm() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&folder.path().join("cloud"), &[]);
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x10, 0x0c, 0, 4, b'M'],
        &[0x16, 3, 1, 0xff, 0xff, 1],
        &[0; 64],
    ] {
        for address in [cloud.mqtt(), cloud.api()] {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(bytes).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    assert_eq!(cloud.stop(), Some(0));
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("cloud");
    assert_eq!(Cloud::start(&data, &[]).stop(), Some(0));
    let records = rusqlite::Connection::open(data.join("records.sqlite")).unwrap();
    assert_eq!(
        records
            .execute("UPDATE schema_version SET version = version + 1", [])
            .unwrap(),
        1
    );
    records.close().unwrap();
    let before = contents(&data);
    let _ = run(&mut Cloud::command(&data, &[])).refused(&["newer"]);
    let after = contents(&data);
    let changed: Vec<_> = before
        .iter()
        .filter(|file| !after.contains(file))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, [] as [&String; 0]);
    assert_eq!(after.len(), before.len());
}

#[test]
fn a_factory_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("factory");
    for command in ["status", "verify"] {
        let mut line = birthmark();
        let _ = run(line.args(["factory", command, "--dir"]).arg(&nowhere))
            .refused(&[&nowhere.display().to_string()]);
        assert!(!nowhere.exists());
    }
}
