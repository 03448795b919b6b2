//! Programs that were written for AWS IoT and its Python SDK run against `birthmark serve`; each refusal is the exception
//! class that they catch.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]
#![expect(clippy::print_stdout, reason = "a long run says what came of it")]

use stories::{Cloud, Python};

fn runs(program: &str) {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(&folder.path().join("cloud"), &[]);
    if let Some(python) = Python::of(&cloud) {
        let _ = python.runs(program);
    }
}

#[test]
fn things_stand_in_groups_and_groups_carry_policies() {
    runs("groups");
}

#[test]
fn types_billing_groups_and_tags_are_kept_and_changes_are_published() {
    runs("registry");
}

#[test]
fn a_template_gives_a_thing_its_type_groups_and_billing_group() {
    runs("templates");
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
