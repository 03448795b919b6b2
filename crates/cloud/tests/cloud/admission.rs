//! A closed gate: a CA's signature alone brings nobody in.

use cloud::FirstConnect;
use identity::CertificateId;
use identity::certificate::Certificate;
use identity::crypto::SoftwareKey;
use identity::issue::Signer as _;
use identity::key::Curve;
use identity::manifest::{Entry, KeyHash, Segment, Terms, seal};
use identity::{UnixMillis, manifest};
use serde_json::{Value, json};

use crate::support::{Authority, Client, Device, Left, Version, World, template, trusted_device};

fn segment(ca: &str, devices: &[&Device], sequence: u64, previous: [u8; 32]) -> Segment {
    let entry = |device: &&Device| Entry {
        key: KeyHash::of(Certificate::parse(&device.certificate).unwrap().public_key()),
        certificate: Some(device.id()),
        unit: String::new(),
        thing: None,
        parameters: Default::default(),
    };
    Segment {
        order: "spring".into(),
        terms: Terms {
            ca: ca.parse::<CertificateId>().unwrap(),
            count: 2,
            not_before: UnixMillis(0),
            not_after: UnixMillis::NO_EXPIRY,
            per_hour: 0,
        },
        sequence,
        previous,
        entries: devices.iter().map(entry).collect(),
    }
}

fn take(world: &World, line: &str) -> Result<Value, String> {
    let taken = world
        .api()
        .send("POST", "/birthmark/manifests/lines", &[], line.as_bytes(), true);
    taken.map_err(|refused| refused.exception)
}

#[test]
fn only_devices_of_a_manifest_come_through_a_closed_gate() {
    let mut world = World::start(FirstConnect::Hold);
    let mut listener = world
        .connect(&trusted_device(&world, "listener"), "listener")
        .unwrap();
    assert_eq!(
        listener
            .subscribe("$aws/events/birthmark/admission/unknown/#")
            .unwrap(),
        1
    );
    let authority = Authority::new("Acme Signer");
    let ca = world.register(&authority, Some(&template()));
    let mut api = world.api();
    let gate = format!("/birthmark/cas/{ca}/gate");
    assert_eq!(api.ok("GET", &gate, Value::Null)["closed"], json!(false));
    let before = authority.device("bm-0");
    world.connect(&before, "bm-0").unwrap();
    api.ok("PUT", &gate, Value::Null);
    // Who is known stays; who is new is asked for.
    world.connect(&before, "bm-0").unwrap();
    let (listed, forged) = (authority.device("bm-1"), authority.device("bm-2"));
    assert_eq!(world.connect(&listed, "bm-1").err(), Some(Left::Closed));
    world.refused(&listed, "fleet.admission.unlisted");
    let (topic, payload) = listener.next().unwrap();
    assert_eq!(topic, format!("$aws/events/birthmark/admission/unknown/{ca}"));
    let event: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(event["certificateId"], json!(listed.id().to_string()));
    assert_eq!(event["reason"], json!("fleet.admission.unlisted"));

    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let (line, digest) = seal(&segment(&ca, &[&listed], 1, [0; 32]), &key).unwrap();
    assert_eq!(take(&world, &line).unwrap_err(), "UnauthorizedException");
    // The CA cannot vouch for its own devices.
    let own = api.call(
        "POST",
        "/birthmark/manifests/signers",
        json!({ "document": authority.pem() }),
    );
    assert_eq!(own.unwrap_err().exception, "InvalidRequestException");
    let document = json!({ "document": key.public_key().pem(), "label": "line 1" });
    let signer = api.ok("POST", "/birthmark/manifests/signers", document)["signerId"].clone();
    assert_eq!(take(&world, &line).unwrap(), json!({ "new": 1, "known": 0 }));
    assert_eq!(take(&world, &line).unwrap(), json!({ "new": 0, "known": 1 }));
    let (gap, _) = seal(&segment(&ca, &[&forged], 3, digest), &key).unwrap();
    assert_eq!(take(&world, &gap).unwrap_err(), "InvalidRequestException");

    world.connect(&listed, "bm-1").unwrap();
    assert_eq!(world.connect(&forged, "bm-2").err(), Some(Left::Closed));
    world.refused(&forged, "fleet.admission.unlisted");
    let order = api.ok("GET", "/birthmark/manifests/orders/spring", Value::Null);
    assert_eq!(
        (&order["sequence"], &order["entries"], &order["admitted"]),
        (&json!(1), &json!(1), &json!(1))
    );

    // Everything is there after a restart; a revoked signer lets nobody in any more.
    world.restart();
    let mut api = world.api();
    let late = authority.device("bm-3");
    let (line, _) = seal(&segment(&ca, &[&late], 2, digest), &key).unwrap();
    assert_eq!(manifest::glimpse(&line).unwrap().sequence, 2);
    take(&world, &line).unwrap();
    api.ok(
        "DELETE",
        &format!("/birthmark/manifests/signers/{}", signer.as_str().unwrap()),
        Value::Null,
    );
    assert_eq!(
        Client::connect(world.running(), &late, "bm-3", Version::Tls12).err(),
        Some(Left::Closed)
    );
    world.refused(&late, "fleet.admission.signer");
    world.connect(&listed, "bm-1").unwrap();
    api.ok("DELETE", &gate, Value::Null);
    world.connect(&late, "bm-3").unwrap();
}
