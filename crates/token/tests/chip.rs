//! The chip backend over a simulated chip and the whole bus beneath it.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use i2c_bus::{BusDelay, Line, LocalBus, LocalClient};
use identity::Explained as _;
use identity::UnixMillis;
use identity::certificate::Certificate;
use identity::crypto::{self, SoftwareKey};
use identity::issue::{Profile, Serial, Validity, prepare};
use identity::key::{Curve, PublicKey, SignatureAlgorithm};
use identity::name::Name;
use identity::request::{self, Request};
use optiga::{Config, KeySlot, KeyUsage, MetadataChange, ObjectId, Optiga, Signature, WriteMode};
use optiga_sim::{Behaviour, Faults, NackPolicy, Settings, Timing, Tray};
use token::chip::Chip;
use token::{
    Access, Attribute, AttributeKind, CertificateTemplate, Class, Error, Handle, Hash, KeyPairTemplate,
    Mechanism, Session, Value,
};

const ECDSA: &Mechanism = &Mechanism::Ecdsa(None);
const ECDSA_SHA256: &Mechanism = &Mechanism::Ecdsa(Some(Hash::Sha256));

const KEY: &str = "Device Priv TLS Key";
const PUBLIC: &str = "Device Pub TLS Key";
const CERTIFICATE: &str = "Device Cert";
const ROOT: &str = "Root Cert";

fn tray(behaviour: Behaviour) -> Tray {
    Tray::memory_with(
        1,
        7,
        Settings {
            behaviour,
            ..Settings::default()
        },
    )
    .unwrap()
}

fn session(bus: &LocalBus) -> Session {
    let client = bus.client();
    let delay = client.delay();
    let chip = Chip::new(client, delay, Config::default());
    Session::on(Box::new(chip), Access::ReadWrite).unwrap()
}

fn driver(bus: &LocalBus) -> Optiga<LocalClient, BusDelay> {
    let client = bus.client();
    let delay = client.delay();
    let mut driver = Optiga::new(client, delay, Config::default());
    driver.open().unwrap();
    driver
}

/// A certificate for the key behind a request that the token signed.
fn certify(session: &Session, public: Handle, private: Handle) -> Certificate {
    let ca = SoftwareKey::generate(Curve::P256).unwrap();
    let root = Certificate::parse(&support::certificate(&ca)).unwrap();
    let subject = Name::with_common_name("chip-1").unwrap();
    let object = session.object(public).unwrap();
    let tbs = request::to_be_signed(&subject, &object.public_key().unwrap());
    let signature = der(&session.sign(private, ECDSA_SHA256, &tbs).unwrap());
    let request = request::assemble(&tbs, SignatureAlgorithm::EcdsaSha256, &signature);
    let proven = Request::parse(&request).unwrap().verify().unwrap();
    let validity = Validity::days(UnixMillis(1_800_000_000_000), 300).unwrap();
    let profile = Profile::device(&root, validity).unwrap();
    let serial = Serial::new([9; 16]).unwrap();
    prepare(&profile, proven, &subject, &serial)
        .unwrap()
        .sign(&ca)
        .unwrap()
}

fn der(fixed: &[u8]) -> Vec<u8> {
    let mut out = [0; 104];
    Signature::from_fixed(fixed)
        .unwrap()
        .write_der(&mut out)
        .unwrap()
        .to_vec()
}

fn find(session: &Session, class: Class, label: &str) -> Vec<Handle> {
    session
        .find(&[Attribute::class(class), Attribute::label(label)])
        .unwrap()
}

fn verify(key: &PublicKey, fixed: &[u8], message: &[u8]) {
    crypto::verify(key, SignatureAlgorithm::EcdsaSha256, message, &der(fixed)).unwrap();
}

#[test]
fn from_an_empty_chip_to_an_identity_that_the_next_program_finds() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let first = session(&bus);
    assert_eq!(
        find(&first, Class::PrivateKey, KEY),
        [],
        "an empty slot is no object"
    );
    assert_eq!(find(&first, Class::Certificate, CERTIFICATE), []);

    let (public, private) = first.generate_key_pair(&KeyPairTemplate::signing(KEY)).unwrap();
    let certificate = certify(&first, public, private);
    first
        .create_certificate(&CertificateTemplate {
            label: CERTIFICATE,
            value: certificate.der(),
        })
        .unwrap();
    let root = support::certificate(&SoftwareKey::generate(Curve::P256).unwrap());
    first
        .create_certificate(&CertificateTemplate {
            label: "0xE0E8",
            value: &root,
        })
        .unwrap();

    let second = session(&bus);
    let private = find(&second, Class::PrivateKey, "0xE0F1")[0];
    let stored = find(&second, Class::Certificate, "0xE0E1")[0];
    let anchor = find(&second, Class::Certificate, ROOT)[0];
    let value = |handle| {
        second
            .attribute(handle, AttributeKind::Value)
            .unwrap()
            .as_bytes()
            .unwrap()
            .to_vec()
    };
    assert_eq!((value(stored), value(anchor)), (certificate.der().to_vec(), root));
    let id = |handle| second.attribute(handle, AttributeKind::Id).unwrap();
    assert_eq!(id(private), id(stored));
    verify(
        certificate.public_key(),
        &second.sign(private, ECDSA_SHA256, b"hello").unwrap(),
        b"hello",
    );
    assert_eq!(tray.counters().signatures, 2);

    let description = second.describe().unwrap();
    assert_eq!(
        (description.model, description.serial.len()),
        ("OPTIGA Trust X", 16)
    );
}

#[test]
fn what_a_factory_line_wrote_is_found_as_it_is() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let mut line = driver(&bus);
    let point = line
        .generate_key(KeySlot::E0F1, optiga::Curve::P256, KeyUsage::SIGN)
        .unwrap();
    let key = PublicKey::from_ec_point(Curve::P256, point.point()).unwrap();
    // Nobody stored the point and there is no certificate yet: the private key is there, its public half is not known.
    let early = session(&bus);
    let private = find(&early, Class::PrivateKey, KEY)[0];
    assert_eq!(early.attribute(private, AttributeKind::Id), Ok(Value::bytes(&[])));
    assert_eq!(find(&early, Class::PublicKey, PUBLIC), []);

    let signer = session(&bus);
    let private = find(&signer, Class::PrivateKey, KEY)[0];
    verify(&key, &signer.sign(private, ECDSA_SHA256, b"x").unwrap(), b"x");
    // Any certificate for this key will do.
    let ca = SoftwareKey::generate(Curve::P256).unwrap();
    let root = Certificate::parse(&support::certificate(&ca)).unwrap();
    let subject = Name::with_common_name("chip-1").unwrap();
    let tbs = request::to_be_signed(&subject, &key);
    let signature = der(&signer.sign(private, ECDSA_SHA256, &tbs).unwrap());
    let request = request::assemble(&tbs, SignatureAlgorithm::EcdsaSha256, &signature);
    let proven = Request::parse(&request).unwrap().verify().unwrap();
    let profile =
        Profile::device(&root, Validity::days(UnixMillis(1_800_000_000_000), 300).unwrap()).unwrap();
    let certificate = prepare(&profile, proven, &subject, &Serial::new([3; 16]).unwrap())
        .unwrap()
        .sign(&ca)
        .unwrap();
    line.rejoin().unwrap();
    line.write_certificate(ObjectId::CERTIFICATE_1, certificate.der())
        .unwrap();

    let session = session(&bus);
    let public = find(&session, Class::PublicKey, PUBLIC)[0];
    assert_eq!(session.object(public).unwrap().public_key().unwrap(), key);
    let private = find(&session, Class::PrivateKey, KEY)[0];
    assert_ne!(
        session.attribute(private, AttributeKind::Id),
        Ok(Value::bytes(&[]))
    );
}

#[test]
fn attributes_come_from_memory() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let session = session(&bus);
    session.generate_key_pair(&KeyPairTemplate::signing(KEY)).unwrap();
    let all = session.find(&[]).unwrap();
    let before = bus.transactions();
    for handle in &all {
        for kind in AttributeKind::ALL {
            let _ = session.attribute(*handle, *kind);
        }
    }
    session.find(&[Attribute::label(KEY)]).unwrap();
    assert_eq!(bus.transactions(), before);
}

#[test]
fn a_key_that_is_there_is_not_lost_unasked_and_a_locked_one_never() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let session = session(&bus);
    let template = KeyPairTemplate::signing(KEY);
    let (public, private) = session.generate_key_pair(&template).unwrap();
    let certificate = certify(&session, public, private);
    let store = |der: &[u8]| {
        session.create_certificate(&CertificateTemplate {
            label: CERTIFICATE,
            value: der,
        })
    };
    store(certificate.der()).unwrap();
    assert_eq!(
        session.generate_key_pair(&template).unwrap_err().code(),
        "token.object.occupied"
    );
    let overwrite = KeyPairTemplate {
        overwrite: true,
        ..template
    };
    let (public, private) = session.generate_key_pair(&overwrite).unwrap();
    // The old certificate is still there, but it is not the new key's.
    let id = |handle| session.attribute(handle, AttributeKind::Id).unwrap();
    let old = find(&session, Class::Certificate, CERTIFICATE)[0];
    assert_ne!(id(private), id(old));
    let certificate = certify(&session, public, private);
    store(certificate.der()).unwrap();

    let mut line = driver(&bus);
    for object in [KeySlot::E0F1.object(), ObjectId::CERTIFICATE_1] {
        line.write_metadata(object, &MetadataChange::LOCK).unwrap();
    }
    let error = store(certificate.der()).unwrap_err();
    assert_eq!(error.code(), "token.object.protected", "{error}");
    let error = session.generate_key_pair(&overwrite).unwrap_err();
    assert_eq!(error.code(), "token.object.protected", "{error}");
    // The key that could not be replaced still signs.
    let private = find(&session, Class::PrivateKey, KEY)[0];
    verify(
        certificate.public_key(),
        &session.sign(private, ECDSA_SHA256, b"x").unwrap(),
        b"x",
    );
}

#[test]
fn after_a_power_cut_in_a_generation_nobody_speaks_for_the_key() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let writer = session(&bus);
    let (public, private) = writer.generate_key_pair(&KeyPairTemplate::signing(KEY)).unwrap();
    let certificate = certify(&writer, public, private);
    writer
        .create_certificate(&CertificateTemplate {
            label: CERTIFICATE,
            value: certificate.der(),
        })
        .unwrap();
    // The power goes somewhere in the next generation: first writes to the chip's memory are survived, later ones not.
    for page_writes in 0..8 {
        tray.chip(0).unwrap().lock().unwrap().cut_power_after(page_writes);
        let overwrite = KeyPairTemplate {
            overwrite: true,
            ..KeyPairTemplate::signing(KEY)
        };
        let result = session(&bus).generate_key_pair(&overwrite);
        bus.client().line(0x30, Line::Vdd, false).unwrap();
        bus.client().line(0x30, Line::Vdd, true).unwrap();
        let survivor = session(&bus);
        let Some(private) = find(&survivor, Class::PrivateKey, KEY).first().copied() else {
            assert!(result.is_err(), "a finished generation has a key");
            continue;
        };
        let object = survivor.object(private).unwrap();
        // Whatever the token says the public key is, signatures must verify with it.
        if let Some(key) = object.public_key() {
            verify(&key, &survivor.sign(private, ECDSA_SHA256, b"x").unwrap(), b"x");
        } else {
            assert!(result.is_err(), "a finished generation knows its key");
        }
    }
}

#[test]
fn a_torn_certificate_is_named_and_can_be_written_again() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let writer = session(&bus);
    let (public, private) = writer.generate_key_pair(&KeyPairTemplate::signing(KEY)).unwrap();
    let certificate = certify(&writer, public, private);
    writer
        .create_certificate(&CertificateTemplate {
            label: CERTIFICATE,
            value: certificate.der(),
        })
        .unwrap();
    let mut line = driver(&bus);
    let head = optiga::identity_format::head(certificate.der().len()).unwrap();
    let torn = [&head[..], &certificate.der()[..100]].concat();
    line.write_object(ObjectId::CERTIFICATE_1, WriteMode::Replace, 0, &torn)
        .unwrap();

    let session = session(&bus);
    assert_eq!(find(&session, Class::Certificate, CERTIFICATE), []);
    let damaged = session.damaged().unwrap();
    assert!(
        damaged.iter().any(|damage| damage.label == CERTIFICATE),
        "{damaged:?}"
    );
    session
        .create_certificate(&CertificateTemplate {
            label: CERTIFICATE,
            value: certificate.der(),
        })
        .unwrap();
    assert_eq!(find(&session, Class::Certificate, CERTIFICATE).len(), 1);
    assert!(
        session
            .damaged()
            .unwrap()
            .iter()
            .all(|damage| damage.label != CERTIFICATE)
    );
}

#[test]
fn certificates_that_do_not_fit_are_refused_before_anything_is_written() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let session = session(&bus);
    // Two hundred names make a certificate that no object holds.
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let root = Certificate::parse(&support::certificate(&key)).unwrap();
    let names: Vec<String> = (0..60)
        .map(|i| format!("a-rather-long-host-name-{i}.example"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let validity = Validity::days(UnixMillis(1_800_000_000_000), 300).unwrap();
    let profile = Profile::server(&root, &names, &[], validity).unwrap();
    let subject = Name::with_common_name("long").unwrap();
    let proven = SoftwareKey::generate(Curve::P256)
        .unwrap()
        .prove(&subject)
        .unwrap();
    let serial = Serial::new([2; 16]).unwrap();
    let long = prepare(&profile, proven, &subject, &serial)
        .unwrap()
        .sign(&key)
        .unwrap();
    for label in [CERTIFICATE, ROOT] {
        let error = session
            .create_certificate(&CertificateTemplate {
                label,
                value: long.der(),
            })
            .unwrap_err();
        assert_eq!(error.code(), "token.attribute.value", "{label}: {error}");
    }
}

#[test]
fn a_chip_that_loses_its_power_is_absent_and_then_there_again() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let session = session(&bus);
    let (_, private) = session.generate_key_pair(&KeyPairTemplate::signing(KEY)).unwrap();
    let mut wires = bus.client();
    wires.line(0x30, Line::Vdd, false).unwrap();
    let error = session.sign(private, ECDSA, &[7; 32]).unwrap_err();
    assert!(matches!(error, Error::DeviceRemoved(_)), "{error:?}");
    wires.line(0x30, Line::Vdd, true).unwrap();
    assert_eq!(session.sign(private, ECDSA, &[7; 32]).unwrap().len(), 64);
    // A reset that nobody noticed closes the application; the next command opens it again.
    wires.line(0x30, Line::Vdd, false).unwrap();
    wires.line(0x30, Line::Vdd, true).unwrap();
    assert_eq!(session.sign(private, ECDSA, &[7; 32]).unwrap().len(), 64);
}

#[test]
fn short_and_long_digests_are_the_numbers_that_the_standard_means() {
    let tray = tray(Behaviour::default());
    let bus = tray.bus(0).unwrap();
    let session = session(&bus);
    let (public, private) = session.generate_key_pair(&KeyPairTemplate::signing(KEY)).unwrap();
    let object = session.object(public).unwrap();
    let key = &object.public_key().unwrap();
    let sign = |digest: &[u8]| session.sign(private, ECDSA, digest).unwrap();
    // A digest that begins with a zero is the same number without it.
    let message = (0..u32::MAX)
        .map(u32::to_be_bytes)
        .find(|message| crypto::sha256(message)[0] == 0)
        .unwrap();
    verify(key, &sign(&crypto::sha256(&message)[1..]), &message);
    // What exceeds the curve is cut on the right.
    let long = [&crypto::sha256(b"long")[..], &[0xEE; 32]].concat();
    verify(key, &sign(&long), b"long");
    verify(key, &sign(&long[..48]), b"long");
}

#[test]
fn an_unkind_bus_costs_time_and_nothing_else() {
    let faults = |seed| Faults {
        seed,
        lost_in_permille: 40,
        repeated_in_permille: 40,
        corrupted_in_permille: 40,
        lost_out_permille: 40,
        repeated_out_permille: 40,
        corrupted_out_permille: 40,
        nack_storm_permille: 20,
        nack_storm_length_max: 50,
    };
    for seed in 0..20 {
        let behaviour = Behaviour {
            timing: Timing::Virtual,
            nacks: NackPolicy::Silicon,
            security_monitor: Some(false),
            faults: Some(faults(seed)),
        };
        let tray = tray(behaviour);
        let bus = tray.bus(0).unwrap();
        bus.client().clock(400_000).unwrap();
        let session = session(&bus);
        let (public, private) = session.generate_key_pair(&KeyPairTemplate::signing(KEY)).unwrap();
        let key = session.object(public).unwrap().public_key().unwrap();
        let certificate = certify(&session, public, private);
        session
            .create_certificate(&CertificateTemplate {
                label: CERTIFICATE,
                value: certificate.der(),
            })
            .unwrap();
        for message in [&b"one"[..], b"two", b"three"] {
            verify(
                &key,
                &session.sign(private, ECDSA_SHA256, message).unwrap(),
                message,
            );
        }
    }
}
