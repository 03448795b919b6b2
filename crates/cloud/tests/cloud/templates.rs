//! Named provisioning templates: made, versioned, followed by first connections, and carried out by hand.

use cloud::FirstConnect;
use serde_json::{Value, json};

use crate::support::{ALLOW_ALL, Authority, Device, World, template};

const ARN: &str = "arn:aws:iot:us-east-1:123456789012";
const ROLE: &str = "arn:aws:iam::123456789012:role/provisioning";

fn jitp(name: &str, enabled: bool) -> Value {
    json!({ "templateName": name, "templateBody": template(), "provisioningRoleArn": ROLE, "type": "JITP", "enabled": enabled })
}

#[test]
fn devices_follow_the_named_template_of_their_ca() {
    let world = World::start(FirstConnect::Hold);
    let mut api = world.api();
    let authority = Authority::new("Acme Signer");
    let ca = world.register(&authority, None);
    let made = api.ok("POST", "/provisioning-templates", jitp("first", false));
    assert_eq!(
        made,
        json!({ "templateArn": format!("{ARN}:provisioningtemplate/first"), "templateName": "first", "defaultVersionId": 1 })
    );
    let named = json!({ "registrationConfig": { "templateName": "first" } });
    api.ok("PUT", &format!("/cacertificate/{ca}"), named);
    let described = api.ok("GET", &format!("/cacertificate/{ca}"), Value::Null);
    assert_eq!(
        described["registrationConfig"],
        json!({ "templateName": "first" })
    );
    let listed = api.ok("GET", "/cacertificates?templateName=first", Value::Null);
    assert_eq!(listed["certificates"].as_array().unwrap().len(), 1);

    let device = authority.device("bm-1");
    assert!(world.connect(&device, "bm-1").is_err());
    let attempt = world.last_attempt(device.id());
    assert_eq!(attempt.code.as_str(), "fleet.provisioning_template.disabled");
    api.ok(
        "PATCH",
        "/provisioning-templates/first",
        json!({ "enabled": true }),
    );
    world.connect(&device, "bm-1").unwrap();
    assert_eq!(api.ok("GET", "/things/bm-1", Value::Null)["thingName"], "bm-1");

    let refused = api
        .call("DELETE", "/provisioning-templates/first", Value::Null)
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (409, "DeleteConflictException")
    );
    api.ok(
        "PUT",
        &format!("/cacertificate/{ca}"),
        json!({ "removeAutoRegistration": true }),
    );
    api.ok("DELETE", "/provisioning-templates/first", Value::Null);
}

#[test]
fn templates_have_five_versions_and_one_that_counts() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    api.ok("POST", "/provisioning-templates", jitp("t", true));
    let path = "/provisioning-templates/t/versions";
    for number in 2..=5 {
        let made = api.ok(
            "POST",
            &format!("{path}?setAsDefault=true"),
            json!({ "templateBody": template() }),
        );
        assert_eq!(
            (&made["versionId"], &made["isDefaultVersion"]),
            (&json!(number), &json!(true))
        );
    }
    let refused = api
        .call("POST", path, json!({ "templateBody": template() }))
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (409, "VersionsLimitExceededException")
    );
    let page = api.ok("GET", &format!("{path}?maxResults=2"), Value::Null);
    assert_eq!(page["versions"].as_array().unwrap().len(), 2);
    let next = page["nextToken"].as_str().unwrap();
    let page = api.ok("GET", &format!("{path}?nextToken={next}"), Value::Null);
    let ids: Vec<_> = page["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["versionId"].clone())
        .collect();
    assert_eq!((json!(ids), &page["nextToken"]), (json!([3, 4, 5]), &Value::Null));

    api.ok(
        "PATCH",
        "/provisioning-templates/t",
        json!({ "defaultVersionId": 3, "description": "why" }),
    );
    let described = api.ok("GET", "/provisioning-templates/t", Value::Null);
    assert_eq!(
        (
            &described["defaultVersionId"],
            &described["description"],
            &described["type"]
        ),
        (&json!(3), &json!("why"), &json!("JITP"))
    );
    assert_eq!(described["provisioningRoleArn"], ROLE);
    let version = api.ok("GET", &format!("{path}/3"), Value::Null);
    assert_eq!(
        (&version["isDefaultVersion"], &version["templateBody"]),
        (&json!(true), &json!(template()))
    );
    let listed = api.ok("GET", "/provisioning-templates", Value::Null);
    assert_eq!(listed["templates"][0]["templateName"], "t");

    let cases = [
        (
            "DELETE",
            format!("{path}/3"),
            Value::Null,
            409,
            "DeleteConflictException",
        ),
        (
            "DELETE",
            format!("{path}/9"),
            Value::Null,
            404,
            "ResourceNotFoundException",
        ),
        (
            "GET",
            format!("{path}/x"),
            Value::Null,
            400,
            "InvalidRequestException",
        ),
        (
            "PATCH",
            "/provisioning-templates/t".to_owned(),
            json!({ "defaultVersionId": 9 }),
            404,
            "ResourceNotFoundException",
        ),
        (
            "GET",
            "/provisioning-templates/none".to_owned(),
            Value::Null,
            404,
            "ResourceNotFoundException",
        ),
        (
            "POST",
            "/provisioning-templates".to_owned(),
            jitp("t", true),
            409,
            "ResourceAlreadyExistsException",
        ),
        (
            "POST",
            "/provisioning-templates".to_owned(),
            jitp("a.b", true),
            400,
            "InvalidRequestException",
        ),
    ];
    for (method, path, body, status, exception) in cases {
        let refused = api.call(method, &path, body).unwrap_err();
        assert_eq!(
            (refused.status, refused.exception.as_str()),
            (status, exception),
            "{method} {path}"
        );
    }
    api.ok("DELETE", &format!("{path}/1"), Value::Null);
    let made = api.ok("POST", path, json!({ "templateBody": template() }));
    assert_eq!(made["versionId"], 6);
}

#[test]
fn what_no_template_can_be_is_refused_when_it_is_made() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    let change = |key: &str, value: Value| {
        let mut body = jitp("t", true);
        body[key] = value;
        body
    };
    let cases = [
        change("type", json!("OTHER")),
        change("templateBody", json!("{}")),
        change("provisioningRoleArn", json!("role")),
        change("preProvisioningHook", json!({ "targetArn": "arn:aws:lambda:x" })),
        change("description", json!("d".repeat(501))),
    ];
    for body in cases {
        let refused = api
            .call("POST", "/provisioning-templates", body.clone())
            .unwrap_err();
        assert_eq!(
            (refused.status, refused.exception.as_str()),
            (400, "InvalidRequestException"),
            "{body}"
        );
    }
    let fleet = change("type", json!("FLEET_PROVISIONING"));
    api.ok("POST", "/provisioning-templates", fleet);
    let authority = Authority::new("Acme Signer");
    let ca = world.register(&authority, None);
    for (name, status) in [("t", 400), ("none", 404)] {
        let config = json!({ "registrationConfig": { "templateName": name } });
        let refused = api
            .call("PUT", &format!("/cacertificate/{ca}"), config)
            .unwrap_err();
        assert_eq!(refused.status, status, "{name}");
    }
}

fn by_hand(certificate: Value) -> String {
    json!({
        "Parameters": { "Name": { "Type": "String" }, "Value": { "Type": "String", "Default": "" } },
        "Resources": {
            "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": "Name" } } },
            "cert": { "Type": "AWS::IoT::Certificate", "Properties": certificate },
            "policy": { "Type": "AWS::IoT::Policy", "Properties": { "PolicyDocument": ALLOW_ALL } },
        },
    })
    .to_string()
}

#[test]
fn a_template_is_carried_out_by_hand() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap()
        .pem()
        .unwrap();
    let body = by_hand(json!({ "CertificateSigningRequest": { "Ref": "Value" } }));
    let made = api.ok(
        "POST",
        "/things",
        json!({ "templateBody": body, "parameters": { "Name": "bm-1", "Value": csr } }),
    );
    assert_eq!(made["resourceArns"]["thing"], format!("{ARN}:thing/bm-1"));
    let device = Device::from_pem(made["certificatePem"].as_str().unwrap(), &key.serialize_pem());
    assert_eq!(
        made["resourceArns"]["cert"],
        format!("{ARN}:cert/{}", device.id())
    );
    world.connect(&device, "bm-1").unwrap();

    // The same certificate, by its id, for another thing; and made inactive.
    let by_id = by_hand(json!({ "CertificateId": { "Ref": "Value" }, "Status": "INACTIVE" }));
    let parameters = json!({ "Name": "bm-2", "Value": device.id().to_string() });
    api.ok(
        "POST",
        "/things",
        json!({ "templateBody": by_id, "parameters": parameters }),
    );
    assert!(world.connect(&device, "bm-1").is_err());
    let principals = api.ok("GET", "/things/bm-2/principals", Value::Null);
    assert_eq!(principals["principals"], json!([made["resourceArns"]["cert"]]));

    // A certificate of a registered CA; doing it twice changes nothing.
    let authority = Authority::new("Acme Signer");
    world.register(&authority, None);
    let foreign = authority.device("bm-3");
    let by_pem = by_hand(json!({ "CertificatePem": { "Ref": "Value" } }));
    let again = json!({ "templateBody": by_pem, "parameters": { "Name": "bm-3", "Value": foreign.pem() } });
    for _ in 0..2 {
        let made = api.ok("POST", "/things", again.clone());
        assert_eq!(
            made["certificatePem"].as_str().unwrap().replace('\r', "").trim(),
            foreign.pem().replace('\r', "").trim()
        );
    }
    world.connect(&foreign, "bm-3").unwrap();
}

#[test]
fn what_cannot_be_carried_out_leaves_nothing() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    let by_id = by_hand(json!({ "CertificateId": { "Ref": "Value" } }));
    let unknown = "07".repeat(32);
    let failure = "ResourceRegistrationFailureException";
    let cases = [
        (json!({ "templateBody": by_id }), failure),
        (
            json!({ "templateBody": by_id, "parameters": { "Name": "a b", "Value": unknown } }),
            failure,
        ),
        (
            json!({ "templateBody": by_id, "parameters": { "Name": "bm-1", "Value": unknown } }),
            failure,
        ),
        (
            json!({ "templateBody": "{}", "parameters": {} }),
            "InvalidRequestException",
        ),
        (
            json!({ "templateBody": by_id, "parameters": { "Name": "x".repeat(9000) } }),
            "InvalidRequestException",
        ),
    ];
    for (body, exception) in cases {
        let refused = api.call("POST", "/things", body.clone()).unwrap_err();
        assert_eq!(
            (refused.status, refused.exception.as_str()),
            (400, exception),
            "{body}"
        );
    }
    assert_eq!(api.ok("GET", "/things", Value::Null), json!({ "things": [] }));
    assert_eq!(api.ok("GET", "/policies", Value::Null), json!({ "policies": [] }));
}
