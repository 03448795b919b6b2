//! What a device may do, asked through the API: the same answers as the device gets.

use cloud::FirstConnect;
use serde_json::{Value, json};

use crate::support::{Api, Device, World};

const ARN: &str = "arn:aws:iot:us-east-1:123456789012";

fn document(effect: &str, action: &str, resource: &str) -> Value {
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": effect, "Action": action, "Resource": format!("{ARN}:{resource}") }],
    });
    json!({ "policyDocument": document.to_string() })
}

fn ask(api: &mut Api, query: &str, mut body: Value, action: &str, resource: &str) -> Value {
    body["authInfos"] = json!([{ "actionType": action, "resources": [format!("{ARN}:{resource}")] }]);
    let answer = api.ok("POST", &format!("/test-authorization{query}"), body);
    answer["authResults"][0].clone()
}

#[test]
fn what_the_test_says_is_what_the_device_finds() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    api.ok(
        "POST",
        "/policies/own",
        document("Allow", "iot:Connect", "client/${iot:ClientId}"),
    );
    api.ok(
        "POST",
        "/policies/none",
        document("Deny", "iot:Connect", "client/evil"),
    );
    let made = api.ok("POST", "/keys-and-certificate?setAsActive=true", json!({}));
    let arn = made["certificateArn"].as_str().unwrap();
    for policy in ["own", "none"] {
        api.ok(
            "PUT",
            &format!("/target-policies/{policy}"),
            json!({ "target": arn }),
        );
    }
    let device = Device::from_pem(
        made["certificatePem"].as_str().unwrap(),
        made["keyPair"]["PrivateKey"].as_str().unwrap(),
    );
    for (client, decision) in [("bm-1", "ALLOWED"), ("evil", "EXPLICIT_DENY")] {
        let result = ask(
            &mut api,
            &format!("?clientId={client}"),
            json!({ "principal": arn }),
            "CONNECT",
            &format!("client/{client}"),
        );
        assert_eq!(result["authDecision"], decision, "{result}");
        assert_eq!(result["missingContextValues"], json!([]));
        assert_eq!(
            world.connect(&device, client).is_ok(),
            decision == "ALLOWED",
            "{client}"
        );
    }
    let result = ask(
        &mut api,
        "?clientId=bm-1",
        json!({ "principal": arn, "policyNamesToSkip": ["own"] }),
        "CONNECT",
        "client/bm-1",
    );
    assert_eq!(result["authDecision"], "IMPLICIT_DENY");
    assert_eq!(
        result["denied"]["implicitDeny"]["policies"][0]["policyName"],
        "none"
    );
    let result = ask(
        &mut api,
        "",
        json!({ "principal": arn }),
        "CONNECT",
        "client/bm-1",
    );
    assert_eq!(result["missingContextValues"], json!(["iot:ClientId"]));
    let result = ask(
        &mut api,
        "?clientId=x",
        json!({ "policyNamesToAdd": ["own"] }),
        "CONNECT",
        "client/x",
    );
    assert_eq!(
        result["allowed"]["policies"],
        json!([{ "policyName": "own", "policyArn": format!("{ARN}:policy/own") }])
    );

    let effective = api.ok("POST", "/effective-policies", json!({ "principal": arn }));
    let names: Vec<_> = effective["effectivePolicies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| policy["policyName"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["own", "none"]);
}

#[test]
fn questions_about_nothing_are_refused() {
    let world = World::start(FirstConnect::Close);
    let mut api = world.api();
    let unknown = format!("{ARN}:cert/{}", "07".repeat(32));
    let good = json!([{ "actionType": "PUBLISH", "resources": [format!("{ARN}:topic/x")] }]);
    let cases = [
        (
            "/test-authorization",
            json!({ "principal": unknown, "authInfos": good }),
            404,
        ),
        (
            "/test-authorization",
            json!({ "policyNamesToAdd": ["nope"], "authInfos": good }),
            404,
        ),
        ("/test-authorization", json!({ "authInfos": [] }), 400),
        (
            "/test-authorization",
            json!({ "authInfos": [{ "actionType": "DANCE", "resources": ["x"] }] }),
            400,
        ),
        (
            "/test-authorization",
            json!({ "cognitoIdentityPoolId": "x", "authInfos": good }),
            400,
        ),
        ("/effective-policies", json!({ "principal": unknown }), 404),
        ("/effective-policies", json!({ "principal": "me" }), 400),
        ("/effective-policies?thingName=nope", json!({}), 404),
    ];
    for (path, body, status) in cases {
        let refused = api.call("POST", path, body.clone()).unwrap_err();
        assert_eq!(refused.status, status, "{path} {body} {refused:?}");
    }
}
