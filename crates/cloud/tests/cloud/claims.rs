//! Provisioning by claim, from the device's side: certificates, tokens, templates and hooks over MQTT, and who may not.

use std::collections::BTreeMap;

use cloud::FirstConnect;
use fleet::attempt::Kind;
use serde_json::{Value, json};
use store::What;

use crate::support::{Authority, Client, Device, Receiver, World, trusted_device};

const CREATE: &str = "$aws/certificates/create/json";
const FROM_REQUEST: &str = "$aws/certificates/create-from-csr/json";
const PROVISION: &str = "$aws/provisioning-templates/fleet/provision/json";

/// A device without an identity of its own, connected with a claim certificate and listening to every answer.
struct Claimant {
    client: Client,
}

impl Claimant {
    fn connect(world: &World, claim: &Device, client_id: &str) -> Self {
        let mut client = world.connect(claim, client_id).unwrap();
        for filter in [
            "$aws/certificates/#",
            "$aws/provisioning-templates/+/provision/+/+",
        ] {
            assert_eq!(client.subscribe(filter).unwrap(), 1, "{filter}");
        }
        Self { client }
    }

    /// What the server answers, under the word at the end of its topic.
    fn ask(&mut self, topic: &str, request: &Value) -> (String, Value) {
        self.client
            .publish(topic, request.to_string().as_bytes())
            .unwrap();
        let (answered, payload) = self.client.next().unwrap();
        let word = answered
            .strip_prefix(topic)
            .unwrap()
            .trim_start_matches('/')
            .to_owned();
        (word, serde_json::from_slice(&payload).unwrap())
    }

    fn accepted(&mut self, topic: &str, request: &Value) -> Value {
        let (word, answer) = self.ask(topic, request);
        assert_eq!(word, "accepted", "{answer}");
        answer
    }

    fn rejected(&mut self, topic: &str, request: &Value) -> (i64, String) {
        let (word, answer) = self.ask(topic, request);
        assert_eq!(word, "rejected", "{answer}");
        assert!(
            answer["errorMessage"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        (
            answer["statusCode"].as_i64().unwrap(),
            answer["errorCode"].as_str().unwrap().to_owned(),
        )
    }
}

fn template(name: &str, hook: Option<&str>) -> Value {
    let body = json!({
        "Parameters": { "Serial": { "Type": "String" }, "AWS::IoT::Certificate::Id": { "Type": "String" } },
        "Resources": {
            "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Fn::Join": ["-", ["unit", { "Ref": "Serial" }]] } } },
            "certificate": { "Type": "AWS::IoT::Certificate", "Properties": { "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" }, "Status": "Active" } },
            "policy": { "Type": "AWS::IoT::Policy", "Properties": { "PolicyName": "everything" } },
        },
        "DeviceConfiguration": { "site": "plant-7", "unit": { "Ref": "Serial" } },
    });
    let mut request = json!({
        "templateName": name,
        "templateBody": body.to_string(),
        "provisioningRoleArn": "arn:aws:iam::123456789012:role/Provisioning",
        "enabled": true,
        "type": "FLEET_PROVISIONING",
    });
    if let Some(hook) = hook {
        request["preProvisioningHook"] = json!({ "targetArn": function(hook) });
    }
    request
}

fn function(name: &str) -> String {
    format!("arn:aws:lambda:us-east-1:123456789012:function:{name}")
}

fn world() -> (World, Device) {
    let world = World::start(FirstConnect::Close);
    let claim = trusted_device(&world, "claim");
    world
        .api()
        .ok("POST", "/provisioning-templates", template("fleet", None));
    (world, claim)
}

fn provision(token: &Value, serial: &str) -> Value {
    json!({ "certificateOwnershipToken": token, "parameters": { "Serial": serial } })
}

fn status(world: &World, id: &Value) -> Value {
    let path = format!("/certificates/{}", id.as_str().unwrap());
    world.api().ok("GET", &path, Value::Null)["certificateDescription"]["status"].clone()
}

#[test]
fn a_device_gets_an_identity_and_nobody_else_hears_of_it() {
    let (world, claim) = world();
    let mut eavesdropper = Claimant::connect(&world, &claim, "eavesdropper");
    eavesdropper.client.subscribe("#").unwrap();
    let mut device = Claimant::connect(&world, &claim, "device");
    let made = device.accepted(CREATE, &json!({}));
    let id = &made["certificateId"];
    assert_eq!(status(&world, id), "PENDING_ACTIVATION");
    let own = Device::from_pem(
        made["certificatePem"].as_str().unwrap(),
        made["privateKey"].as_str().unwrap(),
    );
    assert_eq!(own.id().to_string(), id.as_str().unwrap());
    assert!(world.connect(&own, "unit-1").is_err(), "it awaits activation");
    let done = device.accepted(PROVISION, &provision(&made["certificateOwnershipToken"], "1"));
    assert_eq!(
        done,
        json!({ "thingName": "unit-1", "deviceConfiguration": { "site": "plant-7", "unit": "1" } })
    );
    assert_eq!(status(&world, id), "ACTIVE");
    let mut unit = world.connect(&own, "unit-1").unwrap();
    // All that anybody else hears is this.
    unit.publish("dt/unit-1", b"hello").unwrap();
    assert_eq!(
        eavesdropper.client.next().unwrap(),
        ("dt/unit-1".to_owned(), b"hello".to_vec())
    );
    let principals = world.api().ok("GET", "/things/unit-1/principals", Value::Null);
    assert!(
        principals["principals"][0]
            .as_str()
            .unwrap()
            .ends_with(id.as_str().unwrap())
    );
    // Under the name of the thing there is also the connect that came too early.
    let attempts = world.attempts(What::Thing("unit-1".parse().unwrap()));
    let mut attempts = attempts.iter();
    let attempt = attempts.find(|attempt| attempt.kind == Kind::Provision).unwrap();
    let steps: Vec<_> = attempt
        .trail
        .steps()
        .iter()
        .map(|step| step.name.as_ref())
        .collect();
    assert_eq!(
        steps,
        [
            "token.owned",
            "thing.create",
            "policy.attach",
            "certificate.provisioned"
        ]
    );
}

#[test]
fn a_device_may_bring_a_request_of_its_own() {
    let (world, claim) = world();
    let mut device = Claimant::connect(&world, &claim, "device");
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::new(Vec::new())
        .unwrap()
        .serialize_request(&key)
        .unwrap();
    let made = device.accepted(
        FROM_REQUEST,
        &json!({ "certificateSigningRequest": request.pem().unwrap() }),
    );
    assert!(made.get("privateKey").is_none());
    device.accepted(PROVISION, &provision(&made["certificateOwnershipToken"], "2"));
    let own = Device::from_pem(made["certificatePem"].as_str().unwrap(), &key.serialize_pem());
    assert!(world.connect(&own, "unit-2").is_ok());
    for wrong in [json!({}), json!({ "certificateSigningRequest": "-----BEGIN" })] {
        assert_eq!(
            device.rejected(FROM_REQUEST, &wrong),
            (400, "InvalidCSR".to_owned())
        );
    }
    assert_eq!(
        device.rejected(FROM_REQUEST, &json!("none")),
        (400, "InvalidPayload".to_owned())
    );
}

#[test]
fn a_token_is_good_once_and_in_the_hands_that_it_was_given_to() {
    let (world, claim) = world();
    let mut device = Claimant::connect(&world, &claim, "device");
    let made = device.accepted(CREATE, &json!({}));
    let token = &made["certificateOwnershipToken"];
    let invalid = (400, "InvalidCertificateOwnershipToken".to_owned());
    for wrong in [json!(""), json!("0".repeat(64)), json!("x".repeat(4096))] {
        assert_eq!(
            device.rejected(PROVISION, &provision(&wrong, "1")),
            invalid,
            "{wrong}"
        );
    }
    assert_eq!(device.rejected(PROVISION, &json!({})), invalid);
    let other = trusted_device(&world, "other claim");
    let mut thief = Claimant::connect(&world, &other, "thief");
    assert_eq!(thief.rejected(PROVISION, &provision(token, "1")), invalid);
    // What the device itself does wrong, it may do again and right.
    let missing = json!({ "certificateOwnershipToken": token });
    assert_eq!(
        device.rejected(PROVISION, &missing),
        (400, "InvalidParameters".to_owned())
    );
    device.accepted(PROVISION, &provision(token, "1"));
    assert_eq!(device.rejected(PROVISION, &provision(token, "1")), invalid);
}

#[test]
fn templates_that_cannot_be_followed() {
    let (world, claim) = world();
    let mut device = Claimant::connect(&world, &claim, "device");
    let made = device.accepted(CREATE, &json!({}));
    let request = provision(&made["certificateOwnershipToken"], "1");
    let none = "$aws/provisioning-templates/none/provision/json";
    assert_eq!(
        device.rejected(none, &request),
        (404, "ResourceNotFound".to_owned())
    );
    let disable = |enabled: bool| {
        world.api().ok(
            "PATCH",
            "/provisioning-templates/fleet",
            json!({ "enabled": enabled }),
        );
    };
    disable(false);
    assert_eq!(
        device.rejected(PROVISION, &request),
        (400, "InvalidRequest".to_owned())
    );
    disable(true);
    device.accepted(PROVISION, &request);
}

#[test]
fn who_does_not_listen_gets_no_answer() {
    let (world, claim) = world();
    let mut client = world.connect(&claim, "deaf").unwrap();
    client.subscribe("dt/#").unwrap();
    client.publish(CREATE, b"{}").unwrap();
    // Made later, answered later: what is heard next is this.
    let mut device = Claimant::connect(&world, &claim, "device");
    device.accepted(CREATE, &json!({}));
    while world
        .attempts(What::Certificate(claim.id()))
        .iter()
        .all(|attempt| attempt.code.as_str() != "broker.answer.not_subscribed")
    {
        std::thread::yield_now();
    }
    device.client.publish("dt/x", b"m").unwrap();
    assert_eq!(client.next().unwrap().0, "dt/x");
}

#[test]
fn a_hook_decides_and_its_silence_is_a_no() {
    let hook = Receiver::new(
        json!({ "allowProvisioning": true, "parameterOverrides": { "Serial": "from-the-hook" } }),
    );
    let world = World::with_webhooks(
        FirstConnect::Close,
        BTreeMap::from([("check".to_owned(), hook.config())]),
    );
    let claim = trusted_device(&world, "claim");
    let mut api = world.api();
    let refused = api
        .call(
            "POST",
            "/provisioning-templates",
            template("fleet", Some("missing")),
        )
        .unwrap_err();
    assert_eq!(refused.exception, "InvalidRequestException");
    api.ok(
        "POST",
        "/provisioning-templates",
        template("fleet", Some("check")),
    );
    let described = api.ok("GET", "/provisioning-templates/fleet", Value::Null);
    assert_eq!(
        described["preProvisioningHook"],
        json!({ "payloadVersion": "2020-04-01", "targetArn": function("check") })
    );
    let mut device = Claimant::connect(&world, &claim, "device");
    let made = device.accepted(CREATE, &json!({}));
    let request = provision(&made["certificateOwnershipToken"], "1");
    let denied = (403, "AccessDenied".to_owned());
    let answers = [
        json!({ "allowProvisioning": false }).to_string(),
        json!({ "allowProvisioning": "true" }).to_string(),
        json!({}).to_string(),
        json!({ "allowProvisioning": true, "parameterOverrides": { "Serial": 1 } }).to_string(),
        "yes".to_owned(),
        format!(
            "{{\"allowProvisioning\":true,\"x\":\"{}\"}}",
            "y".repeat(64 * 1024)
        ),
        String::new(),
    ];
    for answer in answers {
        let told = answer.clone();
        hook.answer(move |_| told.clone());
        assert_eq!(device.rejected(PROVISION, &request), denied, "{answer:.80}");
        hook.next();
    }
    assert_eq!(status(&world, &made["certificateId"]), "PENDING_ACTIVATION");
    hook.answer(|_| {
        json!({ "allowProvisioning": true, "parameterOverrides": { "Serial": "7" } }).to_string()
    });
    assert_eq!(device.accepted(PROVISION, &request)["thingName"], "unit-7");
    let asked = hook.next();
    assert_eq!(
        asked,
        json!({
            "claimCertificateId": claim.id().to_string(),
            "certificateId": made["certificateId"],
            "certificatePem": made["certificatePem"],
            "templateArn": "arn:aws:iot:us-east-1:123456789012:provisioningtemplate/fleet",
            "clientId": "device",
            "parameters": { "Serial": "1", "AWS::IoT::Certificate::Id": made["certificateId"] },
        })
    );
    api.ok(
        "PATCH",
        "/provisioning-templates/fleet",
        json!({ "removePreProvisioningHook": true }),
    );
    assert!(
        api.ok("GET", "/provisioning-templates/fleet", Value::Null)
            .get("preProvisioningHook")
            .is_none()
    );
    let made = device.accepted(CREATE, &json!({}));
    device.accepted(PROVISION, &provision(&made["certificateOwnershipToken"], "8"));
}

#[test]
fn a_first_connection_asks_the_hook_of_its_template() {
    let hook = Receiver::new(json!({ "allowProvisioning": false }));
    let mut webhook = hook.config();
    webhook.events = vec!["registered".to_owned()];
    let world = World::with_webhooks(
        FirstConnect::Close,
        BTreeMap::from([("check".to_owned(), webhook)]),
    );
    let body = crate::support::template();
    let request = json!({
        "templateName": "born",
        "templateBody": body,
        "provisioningRoleArn": "arn:aws:iam::123456789012:role/Provisioning",
        "enabled": true,
        "type": "JITP",
        "preProvisioningHook": { "targetArn": function("check") },
    });
    let mut api = world.api();
    api.ok("POST", "/provisioning-templates", request);
    let authority = Authority::new("Acme Signer");
    let ca = world.register(&authority, None);
    api.ok(
        "PUT",
        &format!("/cacertificate/{ca}"),
        json!({ "registrationConfig": { "templateName": "born" } }),
    );
    let device = authority.device("unit-1");
    let id = device.id().to_string();
    assert!(world.connect(&device, "unit-1").is_err());
    world.refused(&device, "fleet.hook.denied");
    assert_eq!(status(&world, &json!(id)), "PENDING_ACTIVATION");
    let (mut asked, mut told) = (Value::Null, Value::Null);
    for _ in 0..2 {
        let question = hook.next();
        match question.get("certificateStatus") {
            None => asked = question,
            Some(_) => told = question,
        }
    }
    assert_eq!(asked["certificateId"], json!(id));
    assert_eq!(asked["parameters"]["AWS::IoT::Certificate::CommonName"], "unit-1");
    assert!(asked.get("claimCertificateId").is_none() && asked.get("clientId").is_none());
    assert_eq!(told["caCertificateId"], json!(ca));
    assert_eq!(told["certificateStatus"], "PENDING_ACTIVATION");
    let name = "AWS::IoT::Certificate::CommonName";
    hook.answer(move |_| {
        json!({ "allowProvisioning": true, "parameterOverrides": { name: "unit-2" } }).to_string()
    });
    assert!(
        world.connect(&device, "unit-2").is_err(),
        "provisioned, and closed as AWS does"
    );
    assert!(world.connect(&device, "unit-2").is_ok());
}

#[test]
fn a_claim_for_minutes_is_for_its_template_and_in_no_list() {
    let (world, _) = world();
    let mut api = world.api();
    api.ok("POST", "/provisioning-templates", template("other", None));
    let before = api.ok("GET", "/certificates", Value::Null);
    let made = api.ok(
        "POST",
        "/provisioning-templates/fleet/provisioning-claim",
        Value::Null,
    );
    assert_eq!(api.ok("GET", "/certificates", Value::Null), before);
    let path = format!("/certificates/{}", made["certificateId"].as_str().unwrap());
    assert_eq!(api.call("GET", &path, Value::Null).unwrap_err().status, 404);
    let pair = &made["keyPair"];
    let claim = Device::from_pem(
        made["certificatePem"].as_str().unwrap(),
        pair["PrivateKey"].as_str().unwrap(),
    );
    assert_eq!(claim.id().to_string(), made["certificateId"].as_str().unwrap());
    let mut client = world.connect(&claim, "anything").unwrap();
    assert_eq!(client.subscribe("dt/#").unwrap(), 0x80);
    assert_eq!(
        client
            .subscribe("$aws/provisioning-templates/other/provision/json/+")
            .unwrap(),
        0x80
    );
    for filter in [
        "$aws/certificates/create/json/+",
        "$aws/provisioning-templates/fleet/provision/json/+",
    ] {
        assert_eq!(client.subscribe(filter).unwrap(), 1, "{filter}");
    }
    let mut device = Claimant { client };
    let answer = device.accepted(CREATE, &json!({}));
    device.accepted(PROVISION, &provision(&answer["certificateOwnershipToken"], "1"));
    let other = "$aws/provisioning-templates/other/provision/json";
    let _ = device.client.publish(other, b"{}");
    device.client.wait_for_end();
    world.refused(&claim, "broker.policy");
    let missing = api.call(
        "POST",
        "/provisioning-templates/none/provisioning-claim",
        Value::Null,
    );
    assert_eq!(missing.unwrap_err().exception, "ResourceNotFoundException");
}
