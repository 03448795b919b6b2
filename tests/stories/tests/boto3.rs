//! Programs that were written for AWS IoT and its Python SDK run against `birthmark serve`; each refusal is the exception
//! class that they catch.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]
#![expect(clippy::print_stdout, reason = "a long run says what came of it")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use stories::{Cloud, Python};

fn runs(program: &str) {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&folder.path().join("cloud"), &[]);
    if let Some(python) = Python::of(&cloud) {
        let _ = python.runs(program);
    }
}

/// A cloud with this configuration.
fn configured(folder: &Path, name: &str, config: &str) -> Cloud {
    let file = folder.join(name).with_extension("toml");
    fs::write(&file, config).unwrap();
    Cloud::start(&folder.join(name), &["--config", file.to_str().unwrap()])
}

#[test]
fn things_stand_in_groups_and_groups_carry_policies() {
    runs("groups");
}

#[test]
fn types_billing_groups_and_tags_are_kept_and_changes_are_published() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = configured(folder.path(), "cloud", "deprecation_seconds = 0\n");
    if let Some(python) = Python::of(&cloud) {
        let _ = python.runs("registry");
    }
}

#[test]
fn a_declared_state_is_reached_and_nothing_is_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = configured(folder.path(), "cloud", "deprecation_seconds = 0\n");
    if let Some(python) = Python::of(&cloud) {
        let _ = python.runs("declared_state");
    }
}

/// Other accounts and keys for those errors that one account alone cannot provoke.
const OTHERS: &str = r#"
[[access_keys]]
file = "other.credentials"
account = "210987654321"

[[access_keys]]
file = "elsewhere.credentials"
account = "123456789012"
regions = ["eu-west-1"]

[[access_keys]]
file = "forbidden.credentials"
account = "123456789012"
role = "none"
"#;

#[test]
fn every_documented_error_comes_as_its_exception_class() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("one.ndjson"), "{}\n").unwrap();
    // A program that answers nonsense listens there once this has let go of it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = listener.local_addr().unwrap();
    drop(listener);
    let config = format!(
        "{OTHERS}[buckets]\nfleet = \"{}\"\n[webhooks.check]\nurl = \"http://{hook}/\"\nallow_addresses = [\"127.0.0.1\"]\n",
        folder.path().display()
    );
    let cloud = configured(folder.path(), "cloud", &config);
    let narrow = configured(
        folder.path(),
        "narrow",
        "emulate_quotas = true\n[quotas]\ndefault = 1\n",
    );
    let Some(python) = Python::of(&cloud) else { return };
    let file = |data: &str, name: &str| folder.path().join(data).join(name).display().to_string();
    let said = python
        .with("OTHER_KEY", &file("cloud", "other.credentials"))
        .with("ELSEWHERE_KEY", &file("cloud", "elsewhere.credentials"))
        .with("FORBIDDEN_KEY", &file("cloud", "forbidden.credentials"))
        .with("HOOK_PORT", &hook.port().to_string())
        .with("RECORDS", &file("cloud", "records.sqlite"))
        .with("QUOTA_API", &format!("https://{}", narrow.api()))
        .with("QUOTA_CA", &narrow.server_ca().display().to_string())
        .with("QUOTA_KEY", &narrow.credentials().display().to_string())
        .runs("errors");
    println!("{said}");
    assert!(!cloud.said().contains("panicked"), "{}", cloud.said());
}

#[test]
fn a_template_gives_a_thing_its_type_groups_and_billing_group() {
    runs("templates");
}

#[test]
fn things_are_searched_and_groups_hold_what_a_query_finds() {
    runs("search");
}

/// `cargo xtask requests` runs the same with more requests.
#[test]
fn whatever_is_asked_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&folder.path().join("cloud"), &[]);
    let Some(python) = Python::of(&cloud) else { return };
    let told = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let said = python
        .with("REQUESTS", &told("BIRTHMARK_REQUESTS", "2000"))
        .with("SEED", &told("BIRTHMARK_SEED", "1"))
        .with("CLOUD_PID", &cloud.pid())
        .runs("random_requests");
    println!("{said}");
    assert!(!cloud.said().contains("panicked"), "{}", cloud.said());
}

#[test]
fn whoever_holds_a_key_may_ask_why_a_device_was_refused() {
    runs("attempts");
}
