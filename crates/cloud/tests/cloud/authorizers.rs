//! Custom authorizers from the operator's side: made, described, changed, tried, and the one that is the default.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::FirstConnect;
use identity::crypto::SoftwareKey;
use identity::issue::Signer as _;
use serde_json::{Value, json};

use crate::support::{ALLOW_ALL, Receiver, World};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:who";

fn world(program: &Receiver) -> World {
    World::with_webhooks(
        FirstConnect::Close,
        BTreeMap::from([("who".to_owned(), program.config())]),
    )
}

fn lets_in() -> Value {
    json!({
        "isAuthenticated": true,
        "principalId": "unit7",
        "policyDocuments": [ALLOW_ALL],
        "disconnectAfterInSeconds": 3600,
        "refreshAfterInSeconds": 600,
    })
}

#[test]
fn authorizers_are_kept_as_aws_keeps_them() {
    let world = world(&Receiver::new(lets_in()));
    let mut api = world.api();
    let key = SoftwareKey::generate_rsa(2048).unwrap().public_key().pem();
    let wanted = json!({
        "authorizerFunctionArn": FUNCTION,
        "tokenKeyName": "token",
        "tokenSigningPublicKeys": { "first": key },
        "status": "ACTIVE",
        "enableCachingForHttp": true,
    });
    let made = api.ok("POST", "/authorizer/gate", wanted.clone());
    assert_eq!(
        made,
        json!({ "authorizerName": "gate", "authorizerArn": "arn:aws:iot:us-east-1:123456789012:authorizer/gate" })
    );
    let described = api.ok("GET", "/authorizer/gate", Value::Null)["authorizerDescription"].clone();
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&described[name], value, "{name}");
    }
    assert_eq!(described["signingDisabled"], false);
    api.ok(
        "POST",
        "/authorizer/open",
        json!({ "authorizerFunctionArn": FUNCTION, "signingDisabled": true }),
    );
    let listed = api.ok("GET", "/authorizers/?isAscendingOrder=true", Value::Null);
    let names: Vec<_> = listed["authorizers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["authorizerName"].clone())
        .collect();
    assert_eq!(names, ["gate", "open"]);
    let active = api.ok("GET", "/authorizers/?status=ACTIVE", Value::Null);
    assert_eq!(active["authorizers"].as_array().unwrap().len(), 1);

    let without = |change: fn(&mut Value)| {
        let mut body = wanted.clone();
        change(&mut body);
        body
    };
    let small = SoftwareKey::generate(identity::key::Curve::P256)
        .unwrap()
        .public_key()
        .pem();
    let mut weak = wanted.clone();
    weak["tokenSigningPublicKeys"] = json!({ "k": small });
    let refusals = [
        (
            "POST",
            "/authorizer/gate",
            wanted.clone(),
            "ResourceAlreadyExistsException",
        ),
        (
            "POST",
            "/authorizer/a%20b",
            wanted.clone(),
            "InvalidRequestException",
        ),
        (
            "POST",
            "/authorizer/x",
            without(|body| body["tokenKeyName"] = json!("")),
            "InvalidRequestException",
        ),
        (
            "POST",
            "/authorizer/x",
            without(|body| body["tokenSigningPublicKeys"] = json!({})),
            "InvalidRequestException",
        ),
        (
            "POST",
            "/authorizer/x",
            without(|body| body["status"] = json!("ON")),
            "InvalidRequestException",
        ),
        (
            "POST",
            "/authorizer/x",
            without(|body| body["authorizerFunctionArn"] = json!("arn:aws:lambda:r:a:function:no")),
            "InvalidRequestException",
        ),
        ("POST", "/authorizer/x", json!({}), "InvalidRequestException"),
        ("POST", "/authorizer/x", weak, "InvalidRequestException"),
        (
            "PUT",
            "/authorizer/none",
            json!({ "status": "ACTIVE" }),
            "ResourceNotFoundException",
        ),
        (
            "PUT",
            "/authorizer/gate",
            json!({ "status": "" }),
            "InvalidRequestException",
        ),
        (
            "GET",
            "/authorizer/none",
            Value::Null,
            "ResourceNotFoundException",
        ),
        (
            "GET",
            "/authorizers/?status=x",
            Value::Null,
            "InvalidRequestException",
        ),
        (
            "DELETE",
            "/authorizer/none",
            Value::Null,
            "ResourceNotFoundException",
        ),
        (
            "DELETE",
            "/authorizer/gate",
            Value::Null,
            "DeleteConflictException",
        ),
        (
            "GET",
            "/default-authorizer",
            Value::Null,
            "ResourceNotFoundException",
        ),
        (
            "DELETE",
            "/default-authorizer",
            Value::Null,
            "ResourceNotFoundException",
        ),
        (
            "POST",
            "/default-authorizer",
            json!({ "authorizerName": "none" }),
            "ResourceNotFoundException",
        ),
    ];
    for (method, path, body, exception) in refusals {
        let refused = api.call(method, path, body.clone()).unwrap_err();
        assert_eq!(refused.exception, exception, "{method} {path} {body}");
    }

    let set = json!({ "authorizerName": "open" });
    api.ok("POST", "/default-authorizer", set.clone());
    assert_eq!(
        api.ok("POST", "/default-authorizer", set)["authorizerName"],
        "open"
    );
    let other = api
        .call("POST", "/default-authorizer", json!({ "authorizerName": "gate" }))
        .unwrap_err();
    assert_eq!(other.exception, "ResourceAlreadyExistsException");
    let described = api.ok("GET", "/default-authorizer", Value::Null);
    assert_eq!(described["authorizerDescription"]["authorizerName"], "open");
    assert_eq!(
        api.call("DELETE", "/authorizer/open", Value::Null)
            .unwrap_err()
            .exception,
        "DeleteConflictException"
    );
    api.ok("DELETE", "/default-authorizer", Value::Null);
    api.ok("DELETE", "/authorizer/open", Value::Null);
    api.ok("PUT", "/authorizer/gate", json!({ "status": "INACTIVE" }));
    api.ok("DELETE", "/authorizer/gate", Value::Null);
}

#[test]
fn a_token_is_asked_about_only_with_a_good_signature() {
    let program = Receiver::new(lets_in());
    let world = world(&program);
    let mut api = world.api();
    let key = SoftwareKey::generate_rsa(2048).unwrap();
    let sign = |token: &str| STANDARD.encode(key.sign(token.as_bytes()).unwrap());
    api.ok(
        "POST",
        "/authorizer/gate",
        json!({
            "authorizerFunctionArn": FUNCTION,
            "tokenKeyName": "token",
            "tokenSigningPublicKeys": { "k": key.public_key().pem() },
            "status": "ACTIVE",
        }),
    );
    let test = "/authorizer/gate/test";
    let answer = api.ok(
        "POST",
        test,
        json!({ "token": "t", "tokenSignature": sign("t"), "tlsContext": { "serverName": "s" } }),
    );
    assert_eq!(answer, lets_in());
    let asked = program.next();
    assert!(asked["connectionMetadata"]["id"].is_string());
    for (member, value) in [
        ("token", json!("t")),
        ("signatureVerified", json!(true)),
        ("protocols", json!(["tls"])),
        ("protocolData", json!({ "tls": { "serverName": "s" } })),
    ] {
        assert_eq!(asked[member], value, "{member}");
    }
    for wrong in [
        json!({ "token": "u", "tokenSignature": sign("t") }),
        json!({ "token": "t", "tokenSignature": "no base64" }),
        json!({ "token": "t" }),
        json!({ "tokenSignature": sign("") }),
    ] {
        assert_eq!(
            api.call("POST", test, wrong.clone()).unwrap_err().exception,
            "UnauthorizedException",
            "{wrong}"
        );
    }
    for (answer, member) in [
        (json!("no"), "an object"),
        (json!({}), "isAuthenticated"),
        (
            json!({ "isAuthenticated": true, "principalId": "a b", "policyDocuments": [] }),
            "principalId",
        ),
    ] {
        program.answer(move |_| answer.to_string());
        let refused = api
            .call("POST", test, json!({ "token": "t", "tokenSignature": sign("t") }))
            .unwrap_err();
        assert_eq!(refused.exception, "InvalidResponseException", "{member}");
        program.next();
    }
    program.answer(|_| json!({ "isAuthenticated": false }).to_string());
    let answer = api.ok("POST", test, json!({ "token": "t", "tokenSignature": sign("t") }));
    assert_eq!(answer["isAuthenticated"], false);
}
