//! The first connection of a device: closed as AWS does, or held and let in.

use cloud::FirstConnect;
use fleet::attempt::Verdict;
use serde_json::{Value, json};

use crate::support::{ALLOW_ALL, Authority, Client, Left, Version, World, template, trusted_device};

#[test]
fn close_provisions_and_the_second_connection_is_taken() {
    let world = World::start(FirstConnect::Close);
    let authority = Authority::new("Acme Signer");
    let ca = world.register(&authority, Some(&template()));
    for (name, version) in [("bm-1", Version::Tls13), ("bm-2", Version::Tls12)] {
        let device = authority.device(name);
        assert_eq!(
            Client::connect(world.running(), &device, name, version).err(),
            Some(Left::Closed)
        );
        let attempt = world.last_attempt(device.id());
        assert_eq!(
            (attempt.verdict, attempt.code.as_str()),
            (Verdict::Accepted, "cloud.first_connection.provisioned")
        );
        assert_eq!(attempt.thing.as_ref().map(|thing| thing.as_str()), Some(name));

        let mut client = Client::connect(world.running(), &device, name, version).unwrap();
        client.publish(&format!("dt/{name}/telemetry"), b"1").unwrap();
        let attempt = world.last_attempt(device.id());
        assert_eq!((attempt.verdict, attempt.code.as_str()), (Verdict::Accepted, ""));
        assert_eq!(
            attempt.tls.version,
            Some(if version == Version::Tls12 { 0x0303 } else { 0x0304 })
        );

        let described = world
            .api()
            .ok("GET", &format!("/certificates/{}", device.id()), Value::Null);
        let description = &described["certificateDescription"];
        assert_eq!(
            (&description["status"], &description["caCertificateId"]),
            (&json!("ACTIVE"), &json!(ca))
        );
        let principals = world
            .api()
            .ok("GET", &format!("/things/{name}/principals"), Value::Null);
        assert_eq!(principals["principals"], json!([description["certificateArn"]]));
    }
}

/// The server knows by heart what it has just provisioned; it must not when that has changed.
#[test]
fn what_changes_after_a_first_connection_counts_for_the_next() {
    let world = World::start(FirstConnect::Close);
    let authority = Authority::new("Acme Signer");
    let mut api = world.api();
    api.ok(
        "POST",
        "/policies/everything",
        json!({ "policyDocument": ALLOW_ALL }),
    );
    let mut body: Value = serde_json::from_str(&template()).unwrap();
    body["Resources"]["policy"]["Properties"] = json!({ "PolicyName": "everything" });
    world.register(&authority, Some(&body.to_string()));
    let provisioned = |name: &str| {
        let device = authority.device(name);
        let left = world.connect(&device, name).err();
        assert_eq!(left, Some(Left::Closed));
        device
    };
    let unchanged = provisioned("bm-1");
    world
        .connect(&unchanged, "bm-1")
        .unwrap()
        .publish("a", b"1")
        .unwrap();

    let revoked = provisioned("bm-2");
    let path = format!("/certificates/{}?newStatus=REVOKED", revoked.id());
    api.ok("PUT", &path, Value::Null);
    assert!(world.connect(&revoked, "bm-2").is_err());
    world.refused(&revoked, "fleet.admission.revoked");

    let detached = provisioned("bm-3");
    let target = format!("arn:aws:iot:us-east-1:123456789012:cert/{}", detached.id());
    api.ok("POST", "/target-policies/everything", json!({ "target": target }));
    assert!(world.connect(&detached, "bm-3").is_err());
    world.refused(&detached, "broker.policy");

    let denied = provisioned("bm-4");
    let narrow = json!({ "policyDocument": ALLOW_ALL.replace("Allow", "Deny") });
    api.ok("POST", "/policies/everything/version?setAsDefault=true", narrow);
    assert!(world.connect(&denied, "bm-4").is_err());
    world.refused(&denied, "broker.policy");
}

#[test]
fn hold_lets_the_first_connection_in() {
    let world = World::start(FirstConnect::Hold);
    let authority = Authority::new("Acme Signer");
    world.register(&authority, Some(&template()));
    let device = authority.device("bm-1");
    let mut client = world.connect(&device, "bm-1").unwrap();
    client.publish("dt/bm-1/telemetry", b"1").unwrap();
    let attempt = world.last_attempt(device.id());
    assert_eq!(attempt.verdict, Verdict::Accepted);
    let names: Vec<_> = attempt
        .trail
        .steps()
        .iter()
        .map(|step| step.name.as_ref())
        .collect();
    for step in [
        "tls.possession",
        "ca.found",
        "thing.create",
        "first_connection.hold",
        "certificate.status",
    ] {
        assert!(names.contains(&step), "{step} is missing in {names:?}");
    }
}

#[test]
fn simultaneous_first_connections_share_one_provisioning() {
    let world = World::start(FirstConnect::Hold);
    let authority = Authority::new("Acme Signer");
    world.register(&authority, Some(&template()));
    let device = authority.device("bm-1");
    std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| world.connect(&device, "bm-1").map(drop)))
            .collect();
        for attempt in attempts {
            attempt.join().unwrap().unwrap();
        }
    });
    let things = world.api().ok("GET", "/things", Value::Null);
    assert_eq!(things["things"].as_array().unwrap().len(), 1);
    let certificates = world.api().ok("GET", "/certificates", Value::Null);
    assert_eq!(certificates["certificates"].as_array().unwrap().len(), 1);
}

#[test]
fn a_registration_is_announced_and_without_a_template_it_waits() {
    let world = World::start(FirstConnect::Hold);
    let mut listener = world
        .connect(&trusted_device(&world, "listener"), "listener")
        .unwrap();
    assert_eq!(
        listener
            .subscribe("$aws/events/certificates/registered/#")
            .unwrap(),
        1
    );
    let authority = Authority::new("Acme Signer");
    let ca = world.register(&authority, None);
    let device = authority.device("bm-1");
    // Each time it comes before somebody activates it, as AWS does.
    for _ in 0..2 {
        assert_eq!(world.connect(&device, "bm-1").err(), Some(Left::Closed));
        world.refused(&device, "cloud.first_connection.registered");
        let (topic, payload) = listener.next().unwrap();
        assert_eq!(topic, format!("$aws/events/certificates/registered/{ca}"));
        let event: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(
            (&event["certificateId"], &event["certificateStatus"]),
            (&json!(device.id().to_string()), &json!("PENDING_ACTIVATION"))
        );
    }
    let mut api = world.api();
    api.ok(
        "PUT",
        &format!("/certificates/{}?newStatus=ACTIVE", device.id()),
        Value::Null,
    );
    let arn = format!("arn:aws:iot:us-east-1:123456789012:cert/{}", device.id());
    api.ok("PUT", "/target-policies/everything", json!({ "target": arn }));
    world.connect(&device, "bm-1").unwrap();
}

#[test]
fn a_template_that_asks_for_too_much_leaves_the_device_pending_and_says_why() {
    let world = World::start(FirstConnect::Close);
    let authority = Authority::new("Acme Signer");
    let template = template().replace("Certificate::CommonName", "Certificate::SerialNumber");
    world.register(&authority, Some(&template));
    let device = authority.device("bm-1");
    assert_eq!(world.connect(&device, "bm-1").err(), Some(Left::Closed));
    let attempt = world.last_attempt(device.id());
    assert_eq!(attempt.verdict, Verdict::Refused);
    assert!(attempt.reason.as_str().contains("SerialNumber"), "{attempt:#?}");
    let described = world
        .api()
        .ok("GET", &format!("/certificates/{}", device.id()), Value::Null);
    assert_eq!(
        described["certificateDescription"]["status"],
        "PENDING_ACTIVATION"
    );
}
