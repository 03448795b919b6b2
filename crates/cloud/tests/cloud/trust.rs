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

/// A device whose policy lets it publish in the room of its thing, which is the kitchen; and its connection.
fn in_the_kitchen(world: &World) -> (crate::support::Device, crate::support::Client) {
    let device = trusted_device(world, "bm-1");
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
    api.ok(
        "POST",
        "/things/bm-1",
        json!({ "attributePayload": { "attributes": { "room": "kitchen" } } }),
    );
    let principal = [("x-amzn-principal", arn(&device))];
    let principal = principal.each_ref().map(|(name, value)| (*name, value.as_str()));
    api.call_with("PUT", "/things/bm-1/principals", &principal, Value::Null)
        .unwrap();
    let client = world.connect(&device, "bm-1").unwrap();
    (device, client)
}

/// RegisterThing of the thing `bm-1`, with these further members of its properties.
fn register(world: &World, more: Value) {
    let mut properties = json!({ "ThingName": "bm-1" });
    for (name, value) in more.as_object().unwrap() {
        properties[name] = value.clone();
    }
    let template = json!({ "Resources": { "thing": {
        "Type": "AWS::IoT::Thing", "Properties": properties,
        "OverrideSettings": { "AttributePayload": "MERGE", "ThingGroups": "REPLACE" },
    }}});
    let asked = json!({ "templateBody": template.to_string(), "parameters": {} });
    world.api().ok("POST", "/things", asked);
}

#[test]
fn a_thing_that_is_registered_anew_changes_what_live_connections_may() {
    let world = World::start(FirstConnect::Close);
    let (_, mut client) = in_the_kitchen(&world);
    client.publish("kitchen/x", b"1").unwrap();
    register(&world, json!({ "AttributePayload": { "room": "cellar" } }));
    client.publish("cellar/x", b"2").unwrap();
    assert!(client.publish("kitchen/x", b"3").is_err());
}

#[test]
fn a_group_that_a_template_gives_counts_at_once() {
    let world = World::start(FirstConnect::Close);
    let (_, mut client) = in_the_kitchen(&world);
    let mut api = world.api();
    for name in ["trusted", "plain"] {
        api.ok("POST", &format!("/thing-groups/{name}"), json!({}));
    }
    let group = "arn:aws:iot:us-east-1:123456789012:thinggroup/trusted";
    api.ok("PUT", "/target-policies/everything", json!({ "target": group }));
    register(&world, json!({ "ThingGroups": ["trusted"] }));
    client.publish("anywhere", b"1").unwrap();
    register(&world, json!({ "ThingGroups": ["plain"] }));
    assert!(client.publish("anywhere", b"2").is_err());
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
