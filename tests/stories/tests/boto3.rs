//! Programs that were written for AWS IoT and its Python SDK run against `birthmark serve`; each refusal is the exception
//! class that they catch.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

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
