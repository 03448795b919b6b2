//! The whole story on one machine: a test for each of its chapters.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::collections::BTreeSet;

use serde_json::Value;
use stories::demo::{DEVICES, demo};
use stories::{birthmark, run};

fn count(path: &str) -> u64 {
    let story = &demo().story;
    story
        .pointer(path)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no {path} in {story}"))
}

/// The ledger, asked by the command for it.
fn ledger(command: &str) -> Value {
    let factory = demo().kept.join("factory");
    run(birthmark()
        .args(["factory", command, "--json", "--dir"])
        .arg(factory))
    .well()
    .json()
}

#[test]
fn chapter_1_the_factory_has_a_root_and_a_signer_for_this_customer() {
    assert_eq!(demo().story["ok"], true, "{}", demo().story);
    let verified = ledger("verify");
    assert_eq!(verified["ok"], true, "{verified}");
}

#[test]
fn chapter_2_every_chip_left_the_line_with_its_certificate() {
    assert_eq!(count("/devices"), DEVICES);
    assert_eq!(count("/manufactured"), DEVICES);
    assert!(
        count("/i2c/transactions") > DEVICES * 20,
        "{}",
        demo().story["i2c"]
    );
    let status = ledger("status");
    assert_eq!(
        status["orders"]["fleet"]["done"].as_u64(),
        Some(DEVICES),
        "{status}"
    );
}

#[test]
fn chapter_3_the_cloud_took_the_signer_with_proof_of_possession() {
    assert_eq!(demo().story["ca_registered"], true);
}

#[test]
fn chapter_4_every_device_was_provisioned_by_its_first_connection() {
    assert_eq!(count("/provisioned"), DEVICES);
    assert_eq!(count("/connected"), DEVICES);
}

#[test]
fn chapter_4_the_chips_signed_requests_and_handshakes_and_nothing_else() {
    let (requests, handshakes) = (count("/chip/certification_requests"), count("/chip/handshakes"));
    assert_eq!(count("/chip/signatures"), requests + handshakes);
    assert!(requests > DEVICES, "each device and the one by hand: {requests}");
    assert!(
        handshakes >= 2 * DEVICES,
        "each device connects twice: {handshakes}"
    );
}

#[test]
fn chapter_4_with_hold_the_first_connection_goes_on() {
    let story = run(birthmark().args(["demo", "--json", "--devices", "4", "--first-connect", "hold"]))
        .well()
        .json();
    assert_eq!(story["ok"], true, "{story}");
    assert_eq!(story["provisioned"], 4);
}

#[test]
fn chapter_5_every_message_was_acknowledged_and_delivered() {
    assert_eq!(count("/messages/sent"), DEVICES);
    assert_eq!(count("/messages/delivered"), DEVICES);
}

#[test]
fn chapter_6_every_refusal_happened_for_a_recorded_reason() {
    let refusals = demo().story["refusals"].as_array().unwrap();
    let cases: BTreeSet<_> = refusals
        .iter()
        .filter_map(|refusal| refusal["case"].as_str())
        .collect();
    assert_eq!(cases.len(), 8, "{cases:?}");
    for refusal in refusals {
        assert_eq!(refusal["refused"], true, "{refusal}");
        assert!(
            !refusal["reason"].as_str().unwrap_or_default().is_empty(),
            "{refusal}"
        );
    }
}

#[test]
fn chapter_6_the_reasons_are_what_explain_reads() {
    let told: BTreeSet<String> = ["cloud", "devices"]
        .iter()
        .flat_map(|place| reasons(place))
        .collect();
    for refusal in demo().story["refusals"].as_array().unwrap() {
        let reason = refusal["reason"].as_str().unwrap_or_default();
        let known = told
            .iter()
            .any(|told| told.contains(reason) || reason.contains(told.as_str()));
        assert!(known, "explain does not know `{reason}`, only {told:#?}");
    }
}

/// Every reason that `birthmark explain` has for a refused attempt.
fn reasons(place: &str) -> Vec<String> {
    let folder = demo().kept.join(place);
    if !folder.exists() {
        return Vec::new();
    }
    let mut command = birthmark();
    command
        .args(["explain", "--json", "--refused", "--count", "1000", "--data-dir"])
        .arg(folder);
    let said = run(&mut command).well().stdout;
    let attempts = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    attempts
        .filter_map(|attempt| attempt["reason"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn chapter_7_one_chip_was_enrolled_by_hand() {
    assert!(demo().story["enrolled_by_hand"].is_string(), "{}", demo().story);
}

#[test]
fn the_demo_says_that_its_chips_are_simulated() {
    assert_eq!(demo().story["chip"]["simulated"], true);
}

#[test]
fn a_kept_story_is_taken_up_again_and_makes_nobody_twice() {
    let folder = tempfile::tempdir().unwrap();
    let again = || {
        let mut command = birthmark();
        command
            .args(["demo", "--json", "--devices", "4", "--keep"])
            .arg(folder.path().join("kept"));
        run(&mut command).well().json()
    };
    assert_eq!(again()["manufactured"], 4);
    assert_eq!(again()["manufactured"], 4);
    let factory = folder.path().join("kept").join("factory");
    let status = run(birthmark()
        .args(["factory", "status", "--json", "--dir"])
        .arg(factory))
    .well()
    .json();
    assert_eq!(status["orders"]["fleet"]["done"].as_u64(), Some(4), "{status}");
}
