//! A fleet on its way from one cloud to another, devices that are played once more, and connections that are rehearsed.

use cloud::{FirstConnect, Question, rehearse};
use fleet::attempt::Verdict;
use identity::certificate::Certificate;
use serde_json::{Value, json};

use crate::support::{ALLOW_ALL, Api, Authority, Left, World, template};

const KINDS: [&str; 8] = [
    "thing-type",
    "billing-group",
    "policy",
    "template",
    "ca",
    "group",
    "thing",
    "certificate",
];

/// Every line of a cloud, page by page.
fn lines(api: &mut Api) -> Vec<Value> {
    let mut found = Vec::new();
    for kind in KINDS {
        let mut token = String::new();
        loop {
            let page = api.ok(
                "GET",
                &format!("/birthmark/export?kind={kind}&count=2{token}"),
                Value::Null,
            );
            found.extend(page["lines"].as_array().unwrap().clone());
            match page["nextToken"].as_str() {
                Some(next) => token = format!("&nextToken={next}"),
                None => break,
            }
        }
    }
    found
}

fn take(api: &mut Api, lines: &[Value]) -> Value {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    api.send("POST", "/birthmark/import", &[], body.as_bytes(), true)
        .unwrap()
}

/// A small fleet with one of everything.
fn furnish(world: &World) -> Vec<crate::support::Device> {
    let mut api = world.api();
    let types = json!({ "thingTypeProperties": { "thingTypeDescription": "d", "searchableAttributes": ["room"] }, "tags": [{ "Key": "k", "Value": "v" }] });
    api.ok("POST", "/thing-types/lamp", types);
    api.ok("POST", "/billing-groups/north", json!({}));
    api.ok(
        "POST",
        "/policies/everything",
        json!({ "policyDocument": ALLOW_ALL }),
    );
    api.ok(
        "POST",
        "/policies/everything/version?setAsDefault=true",
        json!({ "policyDocument": ALLOW_ALL.replace("iot:*", "iot:Connect") }),
    );
    api.ok("POST", "/thing-groups/house", json!({}));
    api.ok(
        "POST",
        "/thing-groups/floor",
        json!({ "parentGroupName": "house" }),
    );
    api.ok(
        "PUT",
        "/target-policies/everything",
        json!({ "target": "arn:aws:iot:us-east-1:123456789012:thinggroup/house" }),
    );
    let authority = Authority::new("Acme Signer");
    world.register(&authority, Some(&template()));
    let devices: Vec<_> = (1..6)
        .map(|number| authority.device(&format!("bm-{number}")))
        .collect();
    for (index, device) in devices.iter().enumerate() {
        world.connect(device, &format!("bm-{}", index + 1)).unwrap();
    }
    api.ok(
        "PATCH",
        "/things/bm-1",
        json!({ "thingTypeName": "lamp", "attributePayload": { "attributes": { "room": "attic" } } }),
    );
    api.ok(
        "PUT",
        "/billing-groups/addThingToBillingGroup",
        json!({ "billingGroupName": "north", "thingName": "bm-1" }),
    );
    api.ok(
        "PUT",
        "/thing-groups/addThingToThingGroup",
        json!({ "thingGroupName": "floor", "thingName": "bm-1" }),
    );
    devices
}

#[test]
fn a_fleet_moves_to_another_cloud_and_its_devices_with_it() {
    let (old, new) = (World::start(FirstConnect::Hold), World::start(FirstConnect::Hold));
    let devices = furnish(&old);
    let written = lines(&mut old.api());
    assert_eq!(written.len(), 1 + 1 + 2 + 1 + 2 + 5 + 5, "{written:#?}");
    assert!(
        !written
            .iter()
            .any(|line| line.to_string().contains("PRIVATE KEY"))
    );
    let mut api = new.api();
    let sum = take(&mut api, &written);
    assert_eq!(
        (&sum["made"], &sum["refused"]),
        (&json!(written.len()), &json!(0)),
        "{sum:#}"
    );
    assert_eq!(lines(&mut api), written);
    // Devices are known as they were.
    for (index, device) in devices.iter().enumerate() {
        let mut client = new.connect(device, &format!("bm-{}", index + 1)).unwrap();
        client
            .publish(&format!("dt/bm-{}/telemetry", index + 1), b"1")
            .unwrap();
    }
    // Again: everything is known. What was taken away is mended, what contradicts is refused and nothing of it is kept.
    let sum = take(&mut api, &written);
    assert_eq!(
        (&sum["known"], &sum["made"]),
        (&json!(written.len()), &json!(0)),
        "{sum:#}"
    );
    let arn = format!("arn:aws:iot:us-east-1:123456789012:cert/{}", devices[0].id());
    api.call_with(
        "DELETE",
        "/things/bm-1/principals",
        &[("x-amzn-principal", &arn)],
        Value::Null,
    )
    .unwrap();
    assert!(new.connect(&devices[0], "bm-1").is_err());
    assert_eq!(take(&mut api, &written)["mended"], json!(1));
    new.connect(&devices[0], "bm-1").unwrap();
    let mut other = written.clone();
    let things: Vec<_> = (0..other.len())
        .filter(|at| other[*at]["kind"] == "thing")
        .collect();
    other[things[0]]["attributes"] = json!({ "room": "cellar" });
    let sum = take(&mut api, &other);
    assert_eq!(
        (&sum["refused"], &sum["refusals"][0]["code"]),
        (&json!(1), &json!("fleet.import.other"))
    );
    assert_eq!(lines(&mut api), written);
}

#[test]
fn lines_that_cannot_be_are_refused_one_by_one() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    let thing = |name: &str| json!({ "kind": "thing", "name": name });
    let body = [
        thing("a"),
        thing("no spaces"),
        json!({ "kind": "thing", "name": "b", "groups": ["none"] }),
        json!({ "kind": "thing", "name": "c", "typeName": "none" }),
        json!({ "kind": "robot", "name": "d" }),
        json!({ "kind": "certificate", "certificatePem": "x", "status": "ACTIVE" }),
        json!({ "kind": "policy", "name": "p", "versions": [], "defaultVersion": 1 }),
        json!({ "kind": "policy", "name": "p", "versions": [{ "id": 1, "document": "{" }], "defaultVersion": 1 }),
        thing("e"),
        thing("e"),
    ];
    let sum = take(&mut api, &body);
    assert_eq!(
        (&sum["made"], &sum["known"], &sum["refused"]),
        (&json!(2), &json!(1), &json!(7)),
        "{sum:#}"
    );
    let told: Vec<_> = sum["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refusal| refusal["line"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [2, 3, 4, 5, 6, 7, 8]);
    let names = api.ok("GET", "/things", Value::Null);
    assert_eq!(names["things"].as_array().unwrap().len(), 2);
    let words = api
        .call("GET", "/birthmark/export?kind=robot", Value::Null)
        .unwrap_err();
    assert_eq!(words.exception, "InvalidRequestException");
}

#[test]
fn stuck_devices_are_played_once_more_after_the_template_was_mended() {
    let world = World::start(FirstConnect::Close);
    let authority = Authority::new("Acme Signer");
    let broken = template().replace("Certificate::CommonName", "Certificate::SerialNumber");
    let ca = world.register(&authority, Some(&broken));
    let device = authority.device("bm-1");
    assert_eq!(world.connect(&device, "bm-1").err(), Some(Left::Closed));
    let mut api = world.api();
    let mut ask = |asked: Value| {
        let answer = api.call("POST", "/birthmark/reprovision", asked);
        answer.map(|answer| answer["devices"].as_array().unwrap().len())
    };
    let id = device.id().to_string();
    assert_eq!(ask(json!({ "certificateId": id })), Ok(1));
    assert_eq!(ask(json!({ "caCertificateId": ca, "since": 0 })), Ok(1));
    assert_eq!(
        ask(json!({ "caCertificateId": ca, "since": 4_000_000_000_u32 })),
        Ok(0)
    );
    for (wrong, exception) in [
        (json!({}), "InvalidRequestException"),
        (
            json!({ "caCertificateId": ca, "thingName": "bm-1" }),
            "InvalidRequestException",
        ),
        (json!({ "thingName": "bm-1" }), "ResourceNotFoundException"),
        (
            json!({ "certificateId": "00".repeat(32) }),
            "ResourceNotFoundException",
        ),
    ] {
        assert_eq!(ask(wrong).unwrap_err().exception, exception);
    }
    let mut replay = |apply: bool| {
        api.ok(
            "POST",
            "/birthmark/reprovision",
            json!({ "caCertificateId": ca, "apply": apply }),
        )["devices"]
            .clone()
    };
    let stuck = replay(true);
    assert_eq!(
        (&stuck[0]["outcome"], &stuck[0]["code"]),
        (&json!("pending"), &json!("fleet.template.parameter"))
    );
    let config = json!({ "registrationConfig": { "templateBody": template(), "roleArn": "arn:aws:iam::123456789012:role/JITP" } });
    world.api().ok("PUT", &format!("/cacertificate/{ca}"), config);
    // A rehearsal changes nothing, however often.
    for _ in 0..2 {
        assert_eq!(replay(false)[0]["thingName"], json!("bm-1"));
        assert!(world.api().call("GET", "/things/bm-1", Value::Null).is_err());
    }
    assert_eq!(replay(true)[0]["outcome"], json!("provisioned"));
    assert_eq!(replay(true), json!([]));
    let active = |active: bool| {
        let asked = json!({ "thingName": "bm-1", "active": active });
        world.api().ok("POST", "/birthmark/reprovision", asked)["devices"].clone()
    };
    assert_eq!(active(false), json!([]));
    assert_eq!(active(true)[0]["thingName"], json!("bm-1"));
    world.connect(&device, "bm-1").unwrap();
}

#[test]
fn a_rehearsal_says_what_the_connection_then_does() {
    let world = World::start(FirstConnect::Close);
    let authority = Authority::new("Acme Signer");
    let device = authority.device("bm-1");
    let certificate = Certificate::parse(&device.certificate).unwrap();
    let issuer = Certificate::from_pem(&authority.pem()).unwrap();
    let stranger = Certificate::from_pem(&Authority::new("Stranger").pem()).unwrap();
    let play = |chain: &[Certificate], name: Option<&str>| {
        let question = Question {
            certificate: &certificate,
            chain,
            server_name: name,
        };
        rehearse(&world.config(), question).unwrap()
    };
    let told = |chain: &[Certificate]| {
        let attempt = play(chain, Some("localhost"));
        (attempt.verdict, attempt.code.as_str().to_owned())
    };
    assert_eq!(
        told(&[]),
        (Verdict::Refused, "fleet.onboarding.unknown_ca".to_owned())
    );
    let ca = world.register(&authority, Some(&template()));
    let provisioned = (Verdict::Accepted, "cloud.first_connection.provisioned".to_owned());
    // Nothing is written, so it is a first connection every time.
    assert_eq!(told(&[issuer]), provisioned);
    assert_eq!(told(&[]), provisioned);
    let attempt = play(&[stranger], None);
    let alarmed = attempt
        .trail
        .steps()
        .iter()
        .any(|step| step.verdict == fleet::attempt::StepVerdict::Alarm);
    assert!(alarmed && attempt.thing.as_ref().is_some_and(|name| name.as_str() == "bm-1"));
    world
        .api()
        .ok("PUT", &format!("/birthmark/cas/{ca}/gate"), Value::Null);
    assert_eq!(
        told(&[]),
        (Verdict::Refused, "fleet.admission.unlisted".to_owned())
    );
    world
        .api()
        .ok("DELETE", &format!("/birthmark/cas/{ca}/gate"), Value::Null);
    assert_eq!(world.connect(&device, "bm-1").err(), Some(Left::Closed));
    assert_eq!(world.last_attempt(device.id()).code.as_str(), provisioned.1);
    assert_eq!(told(&[]), (Verdict::Accepted, String::new()));
    let path = format!("/certificates/{}?newStatus=INACTIVE", device.id());
    world.api().ok("PUT", &path, Value::Null);
    assert_eq!(
        told(&[]),
        (Verdict::Refused, "fleet.admission.inactive".to_owned())
    );
}
