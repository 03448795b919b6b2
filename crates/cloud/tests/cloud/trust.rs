//! A change of trust acts on live connections before its caller hears that it is done.

use cloud::FirstConnect;
use serde_json::{Value, json};

use crate::support::{ALLOW_ALL, World, trusted_device};

fn arn(device: &crate::support::Device) -> String {
    format!("arn:aws:iot:us-east-1:123456789012:cert/{}", device.id())
}

#[test]
fn a_revoked_certificate_is_disconnected() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let mut client = world.connect(&device, "bm-1").unwrap();
    client.publish("a", b"1").unwrap();
    world.api().ok(
        "PUT",
        &format!("/certificates/{}?newStatus=REVOKED", device.id()),
        Value::Null,
    );
    assert!(client.publish("a", b"2").is_err());
    client.wait_for_end();
}

#[test]
fn a_detached_policy_counts_no_more() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let mut client = world.connect(&device, "bm-1").unwrap();
    client.publish("a", b"1").unwrap();
    world.api().ok(
        "POST",
        "/target-policies/everything",
        json!({ "target": arn(&device) }),
    );
    assert!(client.publish("a", b"2").is_err());
    world.refused(&device, "broker.policy");
}

#[test]
fn a_new_version_of_a_policy_counts_at_once() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let mut client = world.connect(&device, "bm-1").unwrap();
    let mut api = world.api();
    let narrow = ALLOW_ALL.replace(
        r#""Resource":"*""#,
        r#""Resource":["arn:aws:iot:*:*:client/*","arn:aws:iot:*:*:topic/b"]"#,
    );
    api.ok(
        "POST",
        "/policies/everything/version?setAsDefault=true",
        json!({ "policyDocument": narrow }),
    );
    client.publish("b", b"1").unwrap();
    // Back to the first version, and the other topic is open again.
    api.ok("PATCH", "/policies/everything/version/1", Value::Null);
    client.publish("a", b"2").unwrap();
    api.ok("PATCH", "/policies/everything/version/2", Value::Null);
    assert!(client.publish("a", b"3").is_err());
}

#[test]
fn a_thing_that_is_attached_opens_what_its_policy_says_of_it() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let mut api = world.api();
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/${iot:Connection.Thing.Attributes[room]}/x"},
    ]});
    api.ok(
        "POST",
        "/policies/room",
        json!({ "policyDocument": document.to_string() }),
    );
    api.ok("PUT", "/target-policies/room", json!({ "target": arn(&device) }));
    api.ok(
        "POST",
        "/target-policies/everything",
        json!({ "target": arn(&device) }),
    );
    let attributes = |room: &str| json!({ "attributePayload": { "attributes": { "room": room } } });
    api.ok("POST", "/things/bm-1", attributes("kitchen"));
    let mut client = world.connect(&device, "bm-1").unwrap();
    api.call_with(
        "PUT",
        "/things/bm-1/principals",
        &[("x-amzn-principal", &arn(&device))],
        Value::Null,
    )
    .unwrap();
    client.publish("kitchen/x", b"1").unwrap();
    api.ok("PATCH", "/things/bm-1", attributes("cellar"));
    client.publish("cellar/x", b"2").unwrap();
    api.call_with(
        "DELETE",
        "/things/bm-1/principals",
        &[("x-amzn-principal", &arn(&device))],
        Value::Null,
    )
    .unwrap();
    assert!(client.publish("cellar/x", b"3").is_err());
}
