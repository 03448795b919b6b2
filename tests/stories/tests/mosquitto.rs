//! mosquitto's own clients connect, are provisioned by their first connection, publish and subscribe.
#![forbid(unsafe_code)]

use stories::{KeyKind, Mosquitto, Story};

#[test]
fn a_device_is_provisioned_by_its_first_connection_and_then_welcome() {
    let Some(story) = Story::begin(&[]) else { return };
    for (name, kind) in [("lamp-1", KeyKind::P256), ("lamp-2", KeyKind::Rsa2048)] {
        let device = story.newborn(name, kind);
        let topic = format!("dt/{name}/hello");
        let first = device.publish(&topic, 1, "first");
        assert_ne!(first.code, Some(0), "the first connection is closed: {first:?}");
        assert_eq!(story.status(name), "ACTIVE");
        let things = story.aws.iot(&["list-thing-principals", "--thing-name", name]);
        assert_eq!(things["principals"].as_array().map(Vec::len), Some(1));
        let _ = device.publish(&topic, 1, "second").well();
        let _ = device.tls13().publish(&topic, 1, "third").well();
    }
}

#[test]
fn a_device_may_send_its_authority_along() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.newborn("lamp-1", KeyKind::P256);
    let device = device.certificate(&story.certificates.path("lamp-1-chain", "pem"));
    let _ = device.publish("dt/lamp-1/hello", 0, "first");
    assert_eq!(story.status("lamp-1"), "ACTIVE");
    let _ = device.publish("dt/lamp-1/hello", 1, "second").well();
}

#[test]
fn with_hold_the_first_connection_goes_on() {
    let Some(story) = Story::begin(&["--first-connect", "hold"]) else {
        return;
    };
    let device = story.newborn("lamp-1", KeyKind::P256);
    let _ = device.publish("dt/lamp-1/hello", 1, "first").well();
    assert_eq!(story.status("lamp-1"), "ACTIVE");
}

#[test]
fn messages_arrive_at_quality_0_and_1() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.device("lamp-1");
    let mut subscriber = story.operator().subscribe("dt/+/hello", 1, 2);
    let _ = device.publish("dt/lamp-1/hello", 0, "at most once").well();
    assert_eq!(subscriber.next_message(), "0 dt/lamp-1/hello at most once");
    let _ = device.publish("dt/lamp-1/hello", 1, "at least once").well();
    assert_eq!(subscriber.next_message(), "1 dt/lamp-1/hello at least once");
}

#[test]
fn a_subscription_of_quality_0_lowers_the_quality() {
    let Some(story) = Story::begin(&[]) else { return };
    let operator = story.operator();
    let device = story.device("lamp-1");
    let mut subscriber = device.subscribe("cmd/lamp-1/#", 0, 1);
    let _ = operator.publish("cmd/lamp-1/on", 1, "now").well();
    assert_eq!(subscriber.next_message(), "0 cmd/lamp-1/on now");
}

#[test]
fn a_publish_outside_the_policy_is_refused() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.device("lamp-1");
    let _ = device.publish("dt/lamp-2/hello", 1, "not mine").refused(&[]);
    let _ = device.publish("dt/lamp-1/hello", 1, "mine").well();
}

#[test]
fn a_subscription_outside_the_policy_is_refused() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.device("lamp-1");
    let said = device.subscribe_refused("cmd/lamp-2/#");
    assert!(said.stderr.contains("denied") || said.code != Some(0), "{said:?}");
}

#[test]
fn a_foreign_client_id_is_refused() {
    let Some(story) = Story::begin(&[]) else { return };
    let _ = story.device("lamp-1");
    let foreign = Mosquitto::new(&story.cloud, &story.certificates, "lamp-1", "lamp-2");
    let _ = foreign.publish("dt/lamp-1/hello", 1, "x").refused(&[]);
}

#[test]
fn a_certificate_of_an_unregistered_authority_is_refused() {
    let Some(story) = Story::begin(&[]) else { return };
    story.certificates.authority("stranger", KeyKind::P256);
    story
        .certificates
        .signed("lamp-9", "/CN=lamp-9", "stranger", KeyKind::P256);
    let stranger = Mosquitto::new(&story.cloud, &story.certificates, "lamp-9", "lamp-9");
    for _ in 0..2 {
        let _ = stranger.publish("dt/lamp-9/hello", 1, "x").refused(&[]);
    }
    story.aws.refused(
        &[
            "describe-certificate",
            "--certificate-id",
            &story.certificates.id("lamp-9"),
        ],
        &["ResourceNotFoundException"],
    );
}

#[test]
fn an_expired_certificate_is_not_provisioned() {
    let Some(story) = Story::begin(&[]) else { return };
    story
        .certificates
        .signed_for("lamp-9", "/CN=lamp-9", "signer", KeyKind::P256, "-1");
    let expired = Mosquitto::new(&story.cloud, &story.certificates, "lamp-9", "lamp-9");
    for _ in 0..2 {
        let _ = expired.publish("dt/lamp-9/hello", 1, "x").refused(&[]);
    }
}

#[test]
fn a_revoked_certificate_is_refused() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.device("lamp-1");
    let _ = device.publish("dt/lamp-1/hello", 1, "x").well();
    let id = story.certificates.id("lamp-1");
    let _ = story.aws.iot(&[
        "update-certificate",
        "--certificate-id",
        &id,
        "--new-status",
        "REVOKED",
    ]);
    let _ = device.publish("dt/lamp-1/hello", 1, "x").refused(&[]);
}
