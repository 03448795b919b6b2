//! Devices without an identity get one with a claim certificate: AWS's own SDK, a hook, and what `explain` tells of it.
#![forbid(unsafe_code)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use stories::{Cloud, Python, birthmark, run};

#[test]
fn awss_sdk_provisions_devices_by_claim() {
    let folder = tempfile::tempdir().unwrap();
    // The program behind the hook listens there once this has let go of it.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let config = folder.path().join("birthmark.toml");
    let webhook =
        format!("[webhooks.check]\nurl = \"http://127.0.0.1:{port}/\"\nallow_addresses = [\"127.0.0.1\"]\n");
    fs::write(&config, webhook).unwrap();
    let data_dir = folder.path().join("cloud");
    let cloud = Cloud::start(
        &data_dir,
        &[
            "--config",
            config.to_str().unwrap(),
            "--listen-mux",
            "127.0.0.1:0",
        ],
    );
    let Some(python) = Python::of(&cloud) else { return };
    let said = python
        .with("HOOK_PORT", &port)
        .with("CLOUD_MUX", cloud.mux())
        .with("CLAIM_FOLDER", &folder.path().display().to_string())
        .runs("claims");
    assert_eq!(
        said,
        "unit-1 plant-7\nunit-2 plant-7\nunit-3 plant-7\nme-1 was let in\n"
    );
    let steps = [
        "token.owned",
        "hook.ask",
        "thing.create",
        "certificate.provisioned",
    ];
    explains(&data_dir, &["unit-1", "--count", "20"], &steps);
    let steps = ["authorizer.found", "cloud.authorizer.signature"];
    explains(&data_dir, &["last", "--refused"], &steps);
}

/// `explain` tells of these steps and reasons.
fn explains(data_dir: &Path, what: &[&str], words: &[&str]) {
    let mut explain = birthmark();
    explain
        .args(["explain", "--json", "--data-dir"])
        .arg(data_dir)
        .args(what);
    let told = run(&mut explain).well().stdout;
    for word in words {
        assert!(told.contains(word), "{word}: {told}");
    }
}
