//! PKCS #11's rules about slots, sessions, objects and handles, over a backend in memory.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use std::sync::Arc;

use identity::Explained as _;
use identity::crypto::{self, SoftwareKey};
use identity::issue::Signer as _;
use identity::key::Curve;
use support::{Memory, certificate};
use token::{
    Access, Application, Attribute, AttributeKind, CertificateTemplate, Class, Error, Hash, KeyPairTemplate,
    Mechanism, Session, Setup, Value,
};

const ECDSA: &Mechanism = &Mechanism::Ecdsa(None);
const ECDSA_SHA256: &Mechanism = &Mechanism::Ecdsa(Some(Hash::Sha256));

fn session(memory: &Memory) -> Session {
    Session::on(Box::new(memory.clone()), Access::ReadWrite).unwrap()
}

/// What a program has put there, and not what the library says about itself.
fn own(session: &Session) -> Vec<token::Handle> {
    let mut all = session.find(&[]).unwrap();
    all.retain(|handle| session.object(*handle).unwrap().class() != Class::Profile);
    all
}

fn setup(memory: Memory) -> Setup {
    Setup {
        backend: Box::new(memory),
        label: None,
        description: String::new(),
        hardware: false,
    }
}

fn full() -> (Memory, Session) {
    let memory = Memory::default();
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let mut device = memory.0.lock().unwrap();
    device.certificate = Some(certificate(&key));
    device.root = Some(certificate(&SoftwareKey::generate(Curve::P384).unwrap()));
    device.key = Some(key);
    drop(device);
    let session = session(&memory);
    (memory, session)
}

#[test]
fn slots_come_in_the_order_of_the_configuration() {
    let full = Memory::default();
    full.0.lock().unwrap().key = Some(SoftwareKey::generate(Curve::P256).unwrap());
    let application = Arc::new(Application::new([setup(full), setup(Memory::default())]).unwrap());
    let open = |slot| Session::open(&application, slot, Access::ReadOnly);
    let count = |slot| own(&open(slot).unwrap()).len();
    assert_eq!((application.slots(), count(0), count(1)), (2, 2, 0));
    assert_eq!(open(2).unwrap_err(), Error::SlotIdInvalid(2));
    let many = |n| Application::new((0..n).map(|_| setup(Memory::default())));
    assert!(many(64).is_ok());
    assert_eq!(many(65).unwrap_err().code(), "token.arguments");
}

#[test]
fn an_empty_token_has_no_objects() {
    let session = session(&Memory::default());
    assert_eq!(own(&session), []);
    assert_eq!(
        session.find(&[Attribute::class(Class::Profile)]).unwrap().len(),
        4
    );
    assert_eq!(
        session.find(&[Attribute::label("Device Priv TLS Key")]).unwrap(),
        []
    );
}

#[test]
fn objects_are_found_by_class_label_alias_and_id() {
    let (_, session) = full();
    let one = |template: &[Attribute<'_>]| {
        let [handle] = session.find(template).unwrap()[..] else {
            panic!("{template:?}")
        };
        session.object(handle).unwrap().label().to_owned()
    };
    assert_eq!(one(&[Attribute::class(Class::PrivateKey)]), "Device Priv TLS Key");
    assert_eq!(one(&[Attribute::label("Root Cert")]), "Root Cert");
    assert_eq!(one(&[Attribute::label("0xE0E8")]), "Root Cert");
    let key = session.find(&[Attribute::class(Class::PrivateKey)]).unwrap()[0];
    let id = session.attribute(key, AttributeKind::Id).unwrap();
    let id = id.as_bytes().unwrap();
    assert_eq!(session.find(&[Attribute::id(id)]).unwrap().len(), 3);
    assert_eq!(
        one(&[Attribute::id(id), Attribute::class(Class::Certificate)]),
        "Device Cert"
    );
    let none: [&[Attribute<'_>]; 4] = [
        &[Attribute::label("root cert")],
        &[Attribute::label("Root Cert"), Attribute::class(Class::PublicKey)],
        &[Attribute::id(&[])],
        &[
            Attribute {
                kind: AttributeKind::Value,
                value: Value::bytes(b"secret"),
            },
            Attribute::class(Class::PrivateKey),
        ],
    ];
    for template in none {
        assert_eq!(session.find(template).unwrap(), [], "{template:?}");
    }
    let long = vec![Attribute::class(Class::Certificate); 33];
    assert_eq!(session.find(&long[..32]).unwrap().len(), 2);
    assert_eq!(session.find(&long).unwrap_err().code(), "token.arguments");
}

#[test]
fn every_class_answers_its_attributes_and_no_other() {
    let (_, session) = full();
    let object = |label| {
        session
            .object(session.find(&[Attribute::label(label)]).unwrap()[0])
            .unwrap()
    };
    let (key, public, certificate) = (
        object("Device Priv TLS Key"),
        object("Device Pub TLS Key"),
        object("Device Cert"),
    );
    use AttributeKind as A;
    assert_eq!(
        key.attribute(A::Value).unwrap_err(),
        Error::AttributeSensitive(A::Value)
    );
    for (kind, flag) in [
        (A::Sensitive, true),
        (A::Extractable, false),
        (A::NeverExtractable, true),
        (A::Sign, true),
    ] {
        assert_eq!(key.attribute(kind).unwrap(), Value::Flag(flag), "{kind:?}");
        assert!(
            matches!(certificate.attribute(kind), Err(Error::AttributeTypeInvalid(_))),
            "{kind:?}"
        );
    }
    let point = public.attribute(A::EcPoint).unwrap().as_bytes().unwrap().to_vec();
    assert_eq!((point.len(), &point[..3]), (67, &[0x04, 65, 0x04][..]));
    assert_eq!(
        key.attribute(A::EcPoint).unwrap_err(),
        Error::AttributeTypeInvalid(A::EcPoint)
    );
    assert_eq!(
        key.attribute(A::EcParams).unwrap(),
        public.attribute(A::EcParams).unwrap()
    );
    let der = certificate.certificate().unwrap();
    assert_eq!(
        certificate.attribute(A::Value).unwrap().as_bytes().unwrap(),
        der.der()
    );
    let serial = certificate.attribute(A::SerialNumber).unwrap();
    assert_eq!(serial.as_bytes().unwrap(), [&[2, 16][..], &[1; 16]].concat());
    assert_eq!(
        certificate.attribute(A::CertificateCategory).unwrap(),
        Value::Number(1)
    );
    assert_eq!(
        object("Root Cert").attribute(A::Trusted).unwrap(),
        Value::Flag(true)
    );
    for kind in AttributeKind::ALL {
        // Whatever is asked, an answer or a CKR; never the value of the private key.
        let _ = (
            public.attribute(*kind),
            certificate.attribute(*kind),
            key.attribute(*kind),
        );
    }
}

#[test]
fn attributes_never_ask_the_device_twice() {
    let (memory, session) = full();
    for _ in 0..3 {
        let all = session.find(&[]).unwrap();
        for handle in all {
            assert!(session.attribute(handle, AttributeKind::Label).is_ok());
        }
    }
    assert_eq!(memory.0.lock().unwrap().loads, 1);
}

#[test]
fn a_signature_verifies_and_only_keys_sign() {
    let (memory, session) = full();
    let key = session.find(&[Attribute::class(Class::PrivateKey)]).unwrap()[0];
    let fixed = session.sign(key, ECDSA_SHA256, b"message").unwrap();
    assert_eq!(fixed.len(), 64);
    let der = optiga::Signature::from_fixed(&fixed).unwrap();
    let mut out = [0; 104];
    let public = memory
        .0
        .lock()
        .unwrap()
        .key
        .as_ref()
        .unwrap()
        .public_key()
        .clone();
    let algorithm = identity::key::SignatureAlgorithm::EcdsaSha256;
    crypto::verify(&public, algorithm, b"message", der.write_der(&mut out).unwrap()).unwrap();
    let digest = crypto::sha256(b"message");
    assert_eq!(session.sign(key, ECDSA, &digest).unwrap().len(), 64);

    let root = session.find(&[Attribute::label("Root Cert")]).unwrap()[0];
    let refuse = |handle, mechanism: &Mechanism, data: &[u8]| {
        session.sign(handle, mechanism, data).unwrap_err().code()
    };
    assert_eq!(refuse(root, ECDSA, &digest), "token.key.handle");
    assert_eq!(
        refuse(key, &Mechanism::EcKeyPairGen, &digest),
        "token.mechanism.unknown"
    );
    assert_eq!(refuse(key, ECDSA, &[]), "token.data.length");
    assert_eq!(
        refuse(key, ECDSA_SHA256, &vec![1; 1024 * 1024 + 1]),
        "token.data.length"
    );
    assert_eq!(memory.0.lock().unwrap().signatures, 2);
}

#[test]
fn generation_never_loses_a_key_unasked() {
    let memory = Memory::default();
    let session = session(&memory);
    let template = KeyPairTemplate::signing("Device Priv TLS Key");
    let (_, first) = session.generate_key_pair(&template).unwrap();
    let occupied = session.generate_key_pair(&template).unwrap_err();
    assert_eq!(
        (occupied.code(), occupied.number()),
        ("token.object.occupied", 0x1B)
    );
    assert!(session.sign(first, ECDSA, &[7; 32]).is_ok());

    let (_, second) = session
        .generate_key_pair(&KeyPairTemplate {
            overwrite: true,
            ..template
        })
        .unwrap();
    assert_ne!(first, second);
    assert_eq!(
        session.sign(first, ECDSA, &[7; 32]).unwrap_err(),
        Error::KeyHandleInvalid
    );
    assert!(session.sign(second, ECDSA, &[7; 32]).is_ok());

    let nowhere = session
        .generate_key_pair(&KeyPairTemplate::signing("Some Key"))
        .unwrap_err();
    assert_eq!(nowhere.code(), "token.template.inconsistent");
    let read_only = Session::on(Box::new(memory), Access::ReadOnly).unwrap();
    assert_eq!(
        read_only.generate_key_pair(&template).unwrap_err(),
        Error::SessionReadOnly
    );
}

#[test]
fn a_certificate_goes_to_its_key_or_nowhere() {
    let memory = Memory::default();
    let session = session(&memory);
    session
        .generate_key_pair(&KeyPairTemplate::signing("0xE0F1"))
        .unwrap();
    let right = certificate(memory.0.lock().unwrap().key.as_ref().unwrap());
    let foreign = certificate(&SoftwareKey::generate(Curve::P256).unwrap());
    let store = |label, value| session.create_certificate(&CertificateTemplate { label, value });
    let handle = store("Device Cert", &right).unwrap();
    assert_eq!(
        session.object(handle).unwrap().certificate().unwrap().der(),
        right
    );
    let key = session.find(&[Attribute::class(Class::PrivateKey)]).unwrap()[0];
    assert_eq!(
        session.attribute(handle, AttributeKind::Id).unwrap(),
        session.attribute(key, AttributeKind::Id).unwrap()
    );
    assert_eq!(
        store("Device Cert", &foreign).unwrap_err().code(),
        "token.template.inconsistent"
    );
    assert!(store("Root Cert", &foreign).is_ok());
    assert_eq!(
        store("Other Cert", &right).unwrap_err().code(),
        "token.template.inconsistent"
    );
    assert_eq!(
        store("Device Cert", &right[1..]).unwrap_err().code(),
        "token.attribute.value"
    );
    // What did not change keeps its handle.
    assert_eq!(
        session.find(&[Attribute::class(Class::PrivateKey)]).unwrap(),
        [key]
    );
}

#[test]
fn a_device_that_fails_is_an_absent_token_until_it_answers() {
    let (memory, session) = full();
    let gone = Error::DeviceContent { what: "nothing" };
    memory.0.lock().unwrap().fails = Some(gone.clone());
    assert_eq!(session.find(&[]).unwrap_err(), gone);
    memory.0.lock().unwrap().fails = None;
    assert_eq!(own(&session).len(), 4);
    let mut random = vec![0; 64 * 1024 + 1];
    session.random(&mut random).unwrap();
    assert!(
        random.iter().all(|byte| *byte == 4),
        "more than a token gives at once"
    );
}
