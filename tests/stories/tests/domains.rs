//! Devices reach a tenant by names of its own, and by certificates that its operator's file names.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::fs;
use std::path::Path;

use stories::{Certificates, Cloud, KeyKind, Python, tool};

/// A server certificate `NAME.pem` for `*.factory.test`, signed by `authority`, valid for so many days from now.
fn server_certificate(certificates: &Certificates, name: &str, days: &str) {
    certificates.signed_server(name, "authority", days, "subjectAltName = DNS:*.factory.test");
}

fn config(folder: &Path, certificates: &Certificates) -> String {
    let entry = |name: &str| {
        format!(
            "[server_certificates.{name}]\nchain = \"{}\"\nkey = \"{}\"\n",
            certificates.path(name, "pem").display(),
            certificates.path(name, "key").display()
        )
    };
    let text = format!(
        "hostnames = [\"iot.cloud.test\"]\n{}{}",
        entry("factory"),
        entry("expired")
    );
    let file = folder.join("birthmark.toml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn a_domain_of_its_own_leads_to_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let Some(certificates) = Certificates::in_folder(folder.path()) else {
        return;
    };
    certificates.authority("authority", KeyKind::P256);
    server_certificate(&certificates, "factory", "30");
    server_certificate(&certificates, "expired", "-1");
    let config = config(folder.path(), &certificates);
    let data_dir = folder.path().join("cloud");
    let mut cloud = Cloud::start(&data_dir, &["--config", &config]);
    let authority = certificates.path("authority", "pem").display().to_string();
    let Some(python) = Python::of(&cloud) else { return };
    let _ = python.with("FACTORY_CA", &authority).runs("domains");

    cloud.kill_and_restart(&data_dir, &["--config", &config]);
    let Some(python) = Python::of(&cloud) else { return };
    let _ = python.with("FACTORY_CA", &authority).runs("domains_kept");
}

const ROLES: &str = r#"
[roles.uploader]
api = "read"
policies = ["uploads"]
"#;

#[test]
fn a_device_trades_its_certificate_for_an_access_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("birthmark.toml");
    fs::write(&config, ROLES).unwrap();
    let cloud = Cloud::start(
        &folder.path().join("cloud"),
        &["--config", config.to_str().unwrap()],
    );
    let (Some(python), Some(_)) = (Python::of(&cloud), tool("curl")) else {
        return;
    };
    let _ = python.runs("credentials");
}
