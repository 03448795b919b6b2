//! Who is not let in, what it sees on the wire, and the reason that is recorded.

use cloud::FirstConnect;
use fleet::attempt::{Kind, Verdict};
use mqtt::{Connect, encode};
use serde_json::{Value, json};
use store::What;

use crate::support::{Authority, Client, Device, Left, Version, World, template, trusted_device};

#[test]
fn a_certificate_of_an_unknown_authority() {
    let world = World::start(FirstConnect::Close);
    world.register(&Authority::new("Acme Signer"), Some(&template()));
    let stranger = Authority::new("Stranger").device("bm-1");
    assert_eq!(world.connect(&stranger, "bm-1").err(), Some(Left::Closed));
    let attempt = world.refused(&stranger, "fleet.onboarding.unknown_ca");
    assert!(attempt.reason.as_str().contains("Stranger"));
    // The name of a known one is not enough.
    let impostor = Authority::new("Acme Signer").device("bm-1");
    assert_eq!(world.connect(&impostor, "bm-1").err(), Some(Left::Closed));
    world.refused(&impostor, "fleet.onboarding.signature");
}

#[test]
fn a_certificate_without_its_key() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let copied = Device {
        key: Device::self_signed("thief").key,
        ..device.clone()
    };
    for version in [Version::Tls12, Version::Tls13] {
        assert!(Client::connect(world.running(), &copied, "bm-1", version).is_err());
        let attempt = world.refused(&copied, "cloud.tls.possession");
        assert_eq!(
            attempt.reason.as_str(),
            "the client could not prove possession of the private key"
        );
        assert_eq!(attempt.tls.alert, Some(51));
    }
    world.connect(&device, "bm-1").unwrap();
}

#[test]
fn an_expired_certificate() {
    let world = World::start(FirstConnect::Close);
    let authority = Authority::new("Acme Signer");
    world.register(&authority, Some(&template()));
    let mut params = crate::support::named("bm-1");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let device = authority.device_of(params);
    assert_eq!(world.connect(&device, "bm-1").err(), Some(Left::Closed));
    let attempt = world.refused(&device, "fleet.certificate.expired");
    assert!(
        attempt.reason.as_str().contains("expired on 2021-01-01"),
        "{}",
        attempt.reason
    );
}

#[test]
fn a_certificate_that_is_not_active() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    for (status, code) in [
        ("INACTIVE", "fleet.admission.inactive"),
        ("REVOKED", "fleet.admission.revoked"),
    ] {
        world.api().ok(
            "PUT",
            &format!("/certificates/{}?newStatus={status}", device.id()),
            Value::Null,
        );
        assert_eq!(world.connect(&device, "bm-1").err(), Some(Left::Closed));
        let attempt = world.refused(&device, code);
        assert!(attempt.reason.as_str().contains(status));
    }
}

#[test]
fn a_foreign_client_id_and_topics_outside_the_policy() {
    let world = World::start(FirstConnect::Hold);
    let authority = Authority::new("Acme Signer");
    world.register(&authority, Some(&template()));
    let device = authority.device("bm-1");
    let mut client = world.connect(&device, "bm-1").unwrap();

    assert_eq!(
        world.connect(&device, "bm-2").err(),
        Some(Left::Answered(vec![0x20, 2, 0, 5]))
    );
    let attempt = world.refused(&device, "broker.policy");
    assert_eq!(attempt.client_id.as_ref().map(|id| id.as_str()), Some("bm-2"));
    assert!(
        attempt.reason.as_str().contains("client/bm-2"),
        "{}",
        attempt.reason
    );

    assert_eq!(client.subscribe("dt/bm-2/#").unwrap(), 0x80);
    let attempt = world.refused(&device, "broker.policy");
    assert_eq!(
        (attempt.kind, attempt.operation.as_ref().map(|name| name.as_str())),
        (Kind::Subscribe, Some("dt/bm-2/#"))
    );

    assert!(client.publish("dt/bm-2/telemetry", b"x").is_err());
    let attempt = world.refused(&device, "broker.policy");
    assert_eq!(
        (attempt.kind, attempt.thing.as_ref().map(|thing| thing.as_str())),
        (Kind::Publish, Some("bm-1"))
    );
    assert!(
        attempt.reason.as_str().contains("topic/dt/bm-2/telemetry"),
        "{}",
        attempt.reason
    );
}

#[test]
fn whoever_does_not_speak_mqtt_over_tls() {
    use std::io::{Read as _, Write as _};
    let world = World::start(FirstConnect::Close);
    let last = || world.attempts(What::Last).into_iter().next().unwrap();
    let plain = |bytes: &[u8]| {
        let mut socket = std::net::TcpStream::connect(world.running().mqtt).unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    plain(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02bm");
    assert!(last().reason.as_str().contains("MQTT without TLS"));
    assert!(plain(b"GET / HTTP/1.1\r\n\r\n").contains("HTTPS only"));
    assert!(last().reason.as_str().contains("HTTP without TLS"));

    let device = trusted_device(&world, "bm-1");
    let config = || crate::support::tls(world.running(), Some(&device), Version::Tls13);
    let v3_1 = b"\x10\x12\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x04bm-1";
    let mut client = Client::handshake(world.running(), config()).unwrap();
    assert_eq!(client.open(v3_1), Err(Left::Answered(vec![0x20, 2, 0, 1])));
    assert_eq!(world.refused(&device, "cloud.mqtt.version").kind, Kind::Connect);

    let reserved_flag = b"\x10\x11\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x04bm-1";
    let mut client = Client::handshake(world.running(), config()).unwrap();
    assert_eq!(
        client.open(reserved_flag),
        Err(Left::Answered(vec![0x20, 3, 0, 0x81, 0]))
    );
    world.refused(&device, "mqtt.connect.reserved");

    let mut client = Client::handshake(world.running(), config()).unwrap();
    assert_eq!(client.open(b"\xc0\x00"), Err(Left::Closed));
    world.refused(&device, "mqtt.order.connect_first");

    let mut client = Client::handshake(world.running(), config()).unwrap();
    assert_eq!(client.open(b"\xf0\x00"), Err(Left::Closed));
    world.refused(&device, "mqtt.type.reserved");

    let client = Client::handshake(
        world.running(),
        crate::support::tls(world.running(), None, Version::Tls13),
    );
    assert!(client.and_then(|mut client| client.open(v3_1)).is_err());
    assert_eq!(
        (last().code.as_str(), last().verdict),
        ("cloud.tls.no_certificate", Verdict::Refused)
    );
}

#[test]
fn what_the_profile_does_not_serve_says_so() {
    let world = World::start(FirstConnect::Close);
    let device = trusted_device(&world, "bm-1");
    let connect = Connect {
        client_id: "bm-1",
        clean_session: true,
        keep_alive_seconds: 60,
        will: Some(mqtt::Will {
            topic: mqtt::TopicName::new("dt/bm-1/will").unwrap(),
            payload: b"gone",
            qos: mqtt::QoS::ExactlyOnce,
            retain: false,
        }),
        user_name: None,
        password: None,
    };
    let mut bytes = Vec::new();
    encode::connect(&mut bytes, &connect).unwrap();
    let config = crate::support::tls(world.running(), Some(&device), Version::Tls13);
    let mut client = Client::handshake(world.running(), config).unwrap();
    assert!(matches!(client.open(&bytes), Err(Left::Answered(_))));
    assert!(
        world
            .refused(&device, "broker.not_served")
            .reason
            .as_str()
            .contains("QoS 2")
    );
}

#[test]
fn a_second_authority_with_the_wrong_code() {
    let world = World::start(FirstConnect::Close);
    world.register(&Authority::new("Acme Signer"), Some(&template()));
    let second = Authority::new("Second Signer");
    let body = json!({
        "caCertificate": second.pem(),
        "verificationCertificate": second.verification(&"0".repeat(64)),
    });
    let refused = world
        .api()
        .call("POST", "/cacertificate?setAsActive=true", body)
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.exception.as_str()),
        (400, "RegistrationCodeValidationException")
    );
    let attempt = world.attempts(What::Last).into_iter().next().unwrap();
    assert_eq!((attempt.kind, attempt.verdict), (Kind::Api, Verdict::Refused));
    assert_eq!(
        attempt.operation.as_ref().map(|name| name.as_str()),
        Some("RegisterCACertificate")
    );
    assert!(
        attempt.reason.as_str().contains("wrong code"),
        "{}",
        attempt.reason
    );
}
