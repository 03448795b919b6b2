//! The whole way: a key born in a (simulated) secure element, its certificate, and connections that the element signs.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use device::{Alpn, Connection, DeviceKey, KeyError, Labels, Tls, TokenKey, Versions, enrolment};
use identity::Explained as _;
use identity::UnixMillis;
use identity::certificate::Certificate;
use identity::crypto::SoftwareKey;
use identity::issue::{Profile, Serial, Signer as _, Validity, prepare};
use identity::key::Curve;
use identity::name::Name;
use identity::request::Request;
use optiga_sim::Tray;
use support::{Authority, CONNACK, Server, Setup, answer_connect, options};
use token::chip::Chip;
use token::{Access, Session};

fn session(tray: &Tray) -> Session {
    let client = tray.bus(0).unwrap().client();
    let delay = client.delay();
    let chip = Chip::new(client, delay, optiga::Config::default());
    Session::on(Box::new(chip), Access::ReadWrite).unwrap()
}

/// What a cloud or a factory does with a request.
fn issue(request: &[u8]) -> Vec<u8> {
    let ca = SoftwareKey::generate(Curve::P256).unwrap();
    let name = Name::with_common_name("device ca").unwrap();
    let validity = Validity::days(UnixMillis(1_800_000_000_000), 300).unwrap();
    let profile = Profile::root(ca.public_key(), &name, validity);
    let root = prepare(
        &profile,
        ca.prove(&name).unwrap(),
        &name,
        &Serial::new([1; 16]).unwrap(),
    )
    .unwrap();
    let root = root.sign(&ca).unwrap();
    let proven = Request::parse(request).unwrap().verify().unwrap();
    let subject = proven.subject().clone();
    let profile = Profile::device(&root, validity).unwrap();
    let prepared = prepare(&profile, proven, &subject, &Serial::new([2; 16]).unwrap()).unwrap();
    prepared.sign(&ca).unwrap().der().to_vec()
}

#[test]
fn enrolled_by_hand_and_connected_with_signatures_of_the_chip() {
    let tray = Tray::memory(1, 3).unwrap();
    let labels = Labels::default();
    let root = Authority::new("server root");
    let subject = Name::with_common_name("device-1").unwrap();

    let request = enrolment::request(&session(&tray), &labels, &subject, false).unwrap();
    let certificate = issue(&request);
    assert_eq!(
        Certificate::parse(&certificate).unwrap().subject().common_name(),
        Some("device-1")
    );
    enrolment::store(&session(&tray), &labels, &certificate, &root.der).unwrap();

    let key: Arc<dyn DeviceKey> = Arc::new(TokenKey::find(session(&tray), &labels).unwrap());
    assert_eq!(
        (key.certificate_chain(), key.trust_anchor()),
        (vec![certificate.clone()], root.der.clone())
    );
    for versions in [Versions::Tls12, Versions::Tls13] {
        let server = Server::start(
            Setup::good(&root),
            vec![Box::new(|peer| answer_connect(peer, CONNACK))],
        );
        let tls = Tls::new(versions).config(Arc::clone(&key), Alpn::None).unwrap();
        Connection::open(&server.endpoint(), &tls, &options(Duration::from_secs(10))).unwrap();
        assert_eq!(server.finish().certificates, key.certificate_chain());
    }
    // One for the request, one for each handshake.
    assert_eq!(tray.counters().signatures, 3);

    // Nothing takes the key away unasked, and a new one makes the old certificate useless.
    let again = enrolment::request(&session(&tray), &labels, &subject, false).unwrap_err();
    assert_eq!(
        again,
        KeyError::Occupied {
            label: "Device Priv TLS Key".into()
        }
    );
    enrolment::request(&session(&tray), &labels, &subject, true).unwrap();
    let error = TokenKey::find(session(&tray), &labels).unwrap_err();
    assert_eq!(
        error,
        KeyError::Mismatch {
            label: "Device Cert".into()
        }
    );
    let error = enrolment::store(&session(&tray), &labels, &certificate, &root.der).unwrap_err();
    assert!(matches!(error, KeyError::Mismatch { .. }), "{error}");
}

#[test]
fn a_token_that_is_not_enrolled_says_what_is_missing() {
    let tray = Tray::memory(1, 4).unwrap();
    let labels = Labels::default();
    let missing = |session: Session| device::Error::from(TokenKey::find(session, &labels).unwrap_err());
    let error = missing(session(&tray));
    assert_eq!(error.code(), "device.key.missing");
    assert!(error.to_string().contains("\"Device Priv TLS Key\""), "{error}");
    let subject = Name::with_common_name("device-1").unwrap();
    enrolment::request(&session(&tray), &labels, &subject, false).unwrap();
    let error = missing(session(&tray));
    assert!(error.to_string().contains("\"Device Cert\""), "{error}");
    // An enrolment that was interrupted here goes on with the same key.
    let (one, two) = (
        enrolment::request_again(&session(&tray), &labels, &subject).unwrap(),
        enrolment::request_again(&session(&tray), &labels, &subject).unwrap(),
    );
    let key = |request: &[u8]| {
        Request::parse(request)
            .unwrap()
            .verify()
            .unwrap()
            .public_key()
            .clone()
    };
    assert_eq!(key(&one), key(&two));

    let mut chip = {
        let client = tray.bus(0).unwrap().client();
        let delay = client.delay();
        optiga::Optiga::new(client, delay, optiga::Config::default())
    };
    chip.open().unwrap();
    let torn = [0xC0, 1, 0, 0, 0, 253, 0, 0, 250, 0x30];
    chip.write_object(
        optiga::ObjectId::CERTIFICATE_1,
        optiga::WriteMode::Replace,
        0,
        &torn,
    )
    .unwrap();
    let error = missing(session(&tray));
    assert!(
        error.to_string().contains("it was not written completely"),
        "{error}"
    );
}
