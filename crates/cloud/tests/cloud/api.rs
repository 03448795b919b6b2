//! The API over HTTPS, called as the SDKs call it.

use cloud::FirstConnect;
use serde_json::{Value, json};
use store::What;

use crate::support::{ALLOW_ALL, Device, World};

const ARN: &str = "arn:aws:iot:us-east-1:123456789012";

#[test]
fn things_policies_and_certificates_live_and_end() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    let thing = api.ok(
        "POST",
        "/things/bm-1",
        json!({"attributePayload": {"attributes": {"room": "kitchen"}}}),
    );
    assert_eq!(thing["thingArn"], format!("{ARN}:thing/bm-1"));
    assert_eq!(
        api.ok("GET", "/things/bm-1", Value::Null)["attributes"],
        json!({"room": "kitchen"})
    );
    let policy = api.ok("POST", "/policies/p", json!({ "policyDocument": ALLOW_ALL }));
    assert_eq!(
        (&policy["policyVersionId"], &policy["policyArn"]),
        (&json!("1"), &json!(format!("{ARN}:policy/p")))
    );

    let made = api.ok("POST", "/keys-and-certificate?setAsActive=true", json!({}));
    let (arn, id) = (
        made["certificateArn"].as_str().unwrap(),
        made["certificateId"].as_str().unwrap(),
    );
    assert!(
        made["keyPair"]["PrivateKey"]
            .as_str()
            .unwrap()
            .contains("PRIVATE KEY")
    );
    api.ok("PUT", "/target-policies/p", json!({ "target": arn }));
    api.call_with(
        "PUT",
        "/things/bm-1/principals",
        &[("x-amzn-principal", arn)],
        Value::Null,
    )
    .unwrap();
    assert_eq!(
        api.ok("POST", "/policy-targets/p", json!({}))["targets"],
        json!([arn])
    );
    // Raw and encoded forms of an ARN in a path mean the same.
    for path in [arn.to_owned(), arn.replace(':', "%3A").replace('/', "%2F")] {
        let attached = api.ok("POST", &format!("/attached-policies/{path}"), json!({}));
        assert_eq!(attached["policies"][0]["policyName"], "p");
    }

    let private = made["keyPair"]["PrivateKey"].as_str().unwrap();
    let device = Device::from_pem(made["certificatePem"].as_str().unwrap(), private);
    world.connect(&device, "anything").unwrap();

    let refused = api
        .call("DELETE", &format!("/certificates/{id}"), Value::Null)
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (406, "CertificateStateException")
    );
    api.ok(
        "PUT",
        &format!("/certificates/{id}?newStatus=INACTIVE"),
        Value::Null,
    );
    let refused = api
        .call("DELETE", &format!("/certificates/{id}"), Value::Null)
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (409, "DeleteConflictException")
    );
    api.call_with(
        "DELETE",
        "/things/bm-1/principals",
        &[("x-amzn-principal", arn)],
        Value::Null,
    )
    .unwrap();
    api.ok(
        "DELETE",
        &format!("/certificates/{id}?forceDelete=true"),
        Value::Null,
    );
    assert_eq!(
        api.call("GET", &format!("/certificates/{id}"), Value::Null)
            .unwrap_err()
            .status,
        404
    );
    api.ok("DELETE", "/policies/p", Value::Null);
    api.ok("DELETE", "/things/bm-1", Value::Null);
    assert_eq!(api.ok("GET", "/things", Value::Null), json!({ "things": [] }));
}

#[test]
fn a_request_of_a_device_is_certified() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap()
        .pem()
        .unwrap();
    let body = json!({ "certificateSigningRequest": request });
    let first = api.ok("POST", "/certificates?setAsActive=true", body.clone());
    let second = api.ok("POST", "/certificates?setAsActive=true", body);
    assert_ne!(first["certificateId"], second["certificateId"]);
    let refused = api
        .call(
            "POST",
            "/certificates",
            json!({ "certificateSigningRequest": "no" }),
        )
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (400, "InvalidRequestException")
    );
}

#[test]
fn pages_follow_each_other() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    for number in 0..5 {
        api.ok("POST", &format!("/things/t{number}"), json!({}));
    }
    let mut names = Vec::new();
    let mut token = None;
    loop {
        let next = token
            .take()
            .map(|token: String| format!("&nextToken={token}"))
            .unwrap_or_default();
        let page = api.ok("GET", &format!("/things?maxResults=2{next}"), Value::Null);
        names.extend(
            page["things"]
                .as_array()
                .unwrap()
                .iter()
                .map(|thing| thing["thingName"].clone()),
        );
        match page["nextToken"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(json!(names), json!(["t0", "t1", "t2", "t3", "t4"]));
    assert_eq!(
        api.call("GET", "/things?nextToken=forged", Value::Null)
            .unwrap_err()
            .exception,
        "InvalidRequestException"
    );
    assert_eq!(
        api.call("GET", "/things?maxResults=251", Value::Null)
            .unwrap_err()
            .status,
        400
    );
}

#[test]
fn the_region_of_the_signature_is_a_namespace() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    api.ok("POST", "/things/t", json!({}));
    api.region = "eu-west-1";
    assert_eq!(api.ok("GET", "/things", Value::Null), json!({ "things": [] }));
    let thing = api.ok("POST", "/things/t", json!({}));
    assert_eq!(thing["thingArn"], "arn:aws:iot:eu-west-1:123456789012:thing/t");
}

#[test]
fn whoever_may_not_ask_is_told_so_and_recorded() {
    let world = World::start(FirstConnect::Close);
    let check = |change: &dyn Fn(&mut crate::support::Api), signed: bool, exception: &str| {
        let mut api = world.api();
        change(&mut api);
        let refused = api.send("GET", "/things", &[], b"", signed).unwrap_err();
        assert_eq!((refused.status, refused.exception.as_str()), (403, exception));
        let attempt = world.attempts(What::Last).into_iter().next().unwrap();
        assert_eq!(attempt.code.as_str(), "cloud.api.signature");
        assert_eq!(
            attempt.operation.as_ref().map(|name| name.as_str()),
            Some("ListThings")
        );
    };
    check(&|_| {}, false, "MissingAuthenticationTokenException");
    check(&|api| api.secret.push('x'), true, "SignatureDoesNotMatch");
    check(&|api| api.key.push('x'), true, "UnrecognizedClientException");
}

#[test]
fn what_is_unknown_or_too_long_is_refused_cleanly() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    let refused = api.call("PUT", "/jobs/j", json!({})).unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (404, "InvalidRequestException")
    );
    let refused = api.call("POST", "/things/bad%20name", json!({})).unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (400, "InvalidRequestException")
    );
    let refused = api.send("POST", "/policies/p", &[], b"{", true).unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (400, "InvalidRequestException")
    );
    let long = vec![b' '; cloud::limits::API_BODY_BYTES_MAX + 1];
    assert_eq!(
        api.send("POST", "/policies/p", &[], &long, true)
            .unwrap_err()
            .status,
        413
    );
    let refused = api
        .call("POST", "/policies/p", json!({ "policyDocument": "{}" }))
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (400, "MalformedPolicyException")
    );
}
