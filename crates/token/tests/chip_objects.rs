//! Every place of the chip as objects of PKCS #11: what is kept, what is found, what is refused.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use std::path::Path;

use i2c_bus::{Line, LocalBus};
use identity::Explained as _;
use identity::certificate::Certificate;
use identity::crypto::{self, SoftwareKey};
use identity::issue::Signer as _;
use identity::key::{Curve, PublicKey, SignatureAlgorithm};
use optiga::{Config, KeySlot, KeyUsage, MetadataChange, ObjectId, Optiga, Signature, WriteMode};
use optiga_sim::Tray;
use token::chip::{Chip, Ephemeral, Login, Options, Random, Verify};
use token::{
    Access, Attribute, AttributeKind as A, BusLock, Class, Error, Handle, Hash, KeyPairTemplate, LockFile,
    Mechanism, Session, Value,
};

const KEY: &str = "Device Priv TLS Key";
const SHA256: &Mechanism = &Mechanism::Ecdsa(Some(Hash::Sha256));
const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];

struct Desk {
    tray: Tray,
    bus: LocalBus,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let tray = Tray::memory(1, 7).unwrap();
        let bus = tray.bus(0).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { tray, bus, folder }
    }

    fn with(&self, options: Options) -> Session {
        let client = self.bus.client();
        let delay = client.delay();
        let path = self.folder.path().join("lock");
        let lock = BusLock::at(move || LockFile {
            path: path.clone(),
            guards: None,
        });
        let chip = Chip::with(client, delay, Config::default(), lock, options);
        Session::on(Box::new(chip), Access::ReadWrite).unwrap()
    }

    fn session(&self) -> Session {
        self.with(Options::default())
    }

    fn driver(&self) -> Optiga<i2c_bus::LocalClient, i2c_bus::BusDelay> {
        let client = self.bus.client();
        let delay = client.delay();
        let mut driver = Optiga::new(client, delay, Config::default());
        driver.open().unwrap();
        driver
    }

    fn restart(&self) {
        self.bus.client().line(0x30, Line::Vdd, false).unwrap();
        self.bus.client().line(0x30, Line::Vdd, true).unwrap();
    }
}

fn flag(kind: A, flag: bool) -> Attribute<'static> {
    Attribute::new(kind, Value::Flag(flag))
}

fn pair(session: &Session, label: &str, more: &[Attribute<'_>]) -> Result<(u64, u64), Error> {
    let application = session.application();
    let handle = application.open_session(0, Access::ReadWrite).unwrap();
    let curve = Attribute::new(A::EcParams, Value::bytes(P256));
    let label = Attribute::label(label);
    let public = [flag(A::Token, true), curve, label.clone()];
    let private = [&[flag(A::Token, true), flag(A::Sign, true), label], more].concat();
    application.generate_key_pair(handle, &Mechanism::EcKeyPairGen, &public, &private)
}

fn find(session: &Session, class: Class, label: &str) -> Vec<Handle> {
    session
        .find(&[Attribute::class(class), Attribute::label(label)])
        .unwrap()
}

fn bytes(session: &Session, handle: Handle, kind: A) -> Vec<u8> {
    session
        .attribute(handle, kind)
        .unwrap()
        .as_bytes()
        .unwrap()
        .to_vec()
}

fn der(fixed: &[u8]) -> Vec<u8> {
    let mut out = [0; 104];
    Signature::from_fixed(fixed)
        .unwrap()
        .write_der(&mut out)
        .unwrap()
        .to_vec()
}

/// A signature by the private key with this label that verifies with the public key of the same identifier.
fn signs(session: &Session, label: &str) {
    let private = find(session, Class::PrivateKey, label)[0];
    let key: PublicKey = session.object(private).unwrap().public_key().unwrap();
    let signature = session.sign(private, SHA256, b"x").unwrap();
    crypto::verify(&key, SignatureAlgorithm::EcdsaSha256, b"x", &der(&signature)).unwrap();
}

fn certificate(session: &Session, label: &str, value: &[u8]) -> Result<Handle, Error> {
    let (token, value) = (
        flag(A::Token, true),
        Attribute::new(A::Value, Value::bytes(value)),
    );
    session.create(&[
        Attribute::class(Class::Certificate),
        token,
        Attribute::label(label),
        value,
    ])
}

fn data(session: &Session, label: &str, value: &[u8], private: bool) -> Result<Handle, Error> {
    session.create(&[
        Attribute::class(Class::Data),
        flag(A::Token, true),
        flag(A::Private, private),
        Attribute::label(label),
        Attribute::new(A::Application, Value::text("app")),
        Attribute::new(A::Value, Value::bytes(value)),
    ])
}

fn some_certificate() -> Vec<u8> {
    support::certificate(&SoftwareKey::generate(Curve::P256).unwrap())
}

#[test]
fn labels_choose_places_and_outlive_the_process() {
    let desk = Desk::new();
    let first = desk.session();
    pair(&first, "0xE0F3", &[]).unwrap();
    let slot = Attribute::new(A::BirthmarkSlot, Value::Number(0xE0F2));
    pair(&first, "mine", &[slot.clone(), Attribute::id(b"seven")]).unwrap();
    pair(&first, "the next", &[]).unwrap();
    let full = pair(&first, "one more", &[]).unwrap_err();
    assert_eq!(
        (full.number(), full.code()),
        (0x31, "token.device.full"),
        "{full}"
    );
    for label in [KEY, "0xE0F1", "the next"] {
        let taken = pair(&first, if label == "the next" { KEY } else { label }, &[]).unwrap_err();
        assert_eq!(taken.code(), "token.object.occupied", "{label}");
    }
    assert_eq!(
        pair(&first, "x", &[slot]).unwrap_err().code(),
        "token.object.occupied"
    );
    let nowhere = Attribute::new(A::BirthmarkSlot, Value::Number(0xE0F4));
    assert_eq!(
        pair(&first, "x", &[nowhere]).unwrap_err().code(),
        "token.attribute.value"
    );

    let second = desk.session();
    for (label, alias) in [
        ("the next", "0xE0F1"),
        ("mine", "0xE0F2"),
        ("Spare Key", "0xE0F3"),
    ] {
        signs(&second, label);
        assert_eq!(
            find(&second, Class::PrivateKey, label),
            find(&second, Class::PrivateKey, alias)
        );
    }
    let mine = find(&second, Class::PrivateKey, "mine")[0];
    assert_eq!(bytes(&second, mine, A::Id), b"seven");
    assert_eq!(bytes(&second, mine, A::Label), b"mine");
    // An alias is found and never shown.
    let spare = find(&second, Class::PrivateKey, "0xE0F3")[0];
    assert_eq!(bytes(&second, spare, A::Label), b"Spare Key");
    assert_eq!(
        find(&second, Class::PrivateKey, KEY),
        [],
        "the usual name went with the new one"
    );

    let application = second.application();
    let handle = application.open_session(0, Access::ReadWrite).unwrap();
    let named = [Attribute::label("renamed"), Attribute::id(b"8")];
    application.set_attributes(handle, mine.number(), &named).unwrap();
    assert_eq!(find(&second, Class::PrivateKey, "renamed"), [mine]);
    signs(&second, "renamed");
    assert_eq!(
        find(&first, Class::PrivateKey, "renamed").len(),
        1,
        "everybody sees it at once"
    );
    assert_eq!(find(&desk.session(), Class::PrivateKey, "renamed").len(), 1);
    let long = [Attribute::label("a label of more than thirty-two bytes")];
    assert!(application.set_attributes(handle, mine.number(), &long).is_err());
}

#[test]
fn what_left_the_chips_factory_is_used_and_never_changed() {
    let desk = Desk::new();
    let session = desk.session();
    let key = find(&session, Class::PrivateKey, "0xE0F0")[0];
    signs(&session, "0xE0F0");
    // Its certificate tells whose public half it is, and is not shown itself: it names nobody, which Java does not bear.
    assert_eq!(bytes(&session, key, A::Id).len(), 20);
    assert!(find(&session, Class::Certificate, "0xE0E0").is_empty());
    for kind in [A::Modifiable, A::Destroyable] {
        assert_eq!(session.attribute(key, kind), Ok(Value::Flag(false)));
    }
    assert_eq!(session.destroy(key).unwrap_err().number(), 0x1B);
    let slot = Attribute::new(A::BirthmarkSlot, Value::Number(0xE0F0));
    assert_eq!(pair(&session, "x", &[slot]).unwrap_err().number(), 0x1B);
    assert_eq!(pair(&session, "0xE0F0", &[]).unwrap_err().number(), 0x1B);
    let error = certificate(&session, "0xE0E0", &some_certificate()).unwrap_err();
    assert_eq!(error.number(), 0x1B);
}

#[test]
fn a_destroyed_key_is_gone_for_everybody_and_its_place_is_free() {
    let desk = Desk::new();
    let (first, second) = (desk.session(), desk.session());
    pair(&first, KEY, &[]).unwrap();
    let old = find(&second, Class::PrivateKey, KEY)[0];
    second.sign(old, SHA256, b"x").unwrap();
    first.destroy(find(&first, Class::PrivateKey, KEY)[0]).unwrap();
    assert_eq!(find(&first, Class::PublicKey, "0xF1D1"), []);
    // The old handle must not sign with what is there now.
    assert!(second.sign(old, SHA256, b"x").is_err());
    pair(&first, KEY, &[]).unwrap();
    assert!(second.sign(old, SHA256, b"x").is_err());
    assert_ne!(find(&second, Class::PrivateKey, KEY), [old]);
    signs(&second, KEY);
    // A locked one stays.
    let mut line = desk.driver();
    line.write_metadata(KeySlot::E0F1.object(), &MetadataChange::LOCK)
        .unwrap();
    let third = desk.session();
    let error = third
        .destroy(find(&third, Class::PrivateKey, KEY)[0])
        .unwrap_err();
    assert_eq!(error.number(), 0x1B, "{error}");
    signs(&third, KEY);
}

#[test]
fn a_public_key_goes_alone_and_one_from_elsewhere_stays() {
    let desk = Desk::new();
    let session = desk.session();
    pair(&session, KEY, &[]).unwrap();
    session
        .destroy(find(&session, Class::PublicKey, "0xF1D1")[0])
        .unwrap();
    let next = desk.session();
    assert_eq!(find(&next, Class::PublicKey, "0xF1D1"), []);
    signs(&next, KEY);
    let key = SoftwareKey::generate(Curve::P384).unwrap();
    let point = key.public_key().ec_point().unwrap();
    let curve = [0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];
    let template = [
        Attribute::class(Class::PublicKey),
        flag(A::Token, true),
        Attribute::new(A::KeyType, Value::Number(3)),
        Attribute::new(A::EcParams, Value::bytes(&curve)),
        Attribute::new(A::EcPoint, Value::bytes(point)),
        Attribute::label("theirs"),
    ];
    next.create(&template).unwrap();
    let last = desk.session();
    let theirs = find(&last, Class::PublicKey, "theirs")[0];
    assert_eq!(
        last.object(theirs).unwrap().public_key().unwrap(),
        *key.public_key()
    );
    assert_eq!(bytes(&last, theirs, A::EcPoint)[..2], [0x04, 97]);
    signs(&last, KEY);
    last.destroy(theirs).unwrap();
    assert_eq!(find(&desk.session(), Class::PublicKey, "theirs"), []);
}

#[test]
fn data_of_every_size() {
    let desk = Desk::new();
    let session = desk.session();
    let cases: [(&str, usize, bool); 6] = [
        ("none", 0, false),
        ("one", 1, true),
        ("zero", 1, false),
        ("small", 100, false),
        ("large", 1_500, true),
        ("0xF1DF", 7, false),
    ];
    let value = |bytes: usize, label: &str| vec![u8::from(label != "zero") * 0x5A; bytes];
    for (label, bytes, private) in cases {
        data(&session, label, &value(bytes, label), private).unwrap();
    }
    assert_eq!(data(&session, "x", &[1; 101], false).unwrap_err().number(), 0x31);
    assert_eq!(
        data(&session, "x", &[1; 1_501], false).unwrap_err().code(),
        "token.attribute.value"
    );
    assert_eq!(
        data(&session, "0xF1E0", &[1], false).unwrap_err().code(),
        "token.object.occupied"
    );
    let next = desk.session();
    for (label, length, _) in cases {
        let found = find(&next, Class::Data, label)[0];
        assert_eq!(bytes(&next, found, A::Value), value(length, label), "{label}");
        assert_eq!(bytes(&next, found, A::Application), b"app");
        next.destroy(found).unwrap();
        assert_eq!(find(&desk.session(), Class::Data, label), [], "{label}");
    }
    assert_eq!(desk.session().find(&[Attribute::class(Class::Data)]).unwrap(), []);
    // What another tool has written is shown under the name of its place.
    desk.driver()
        .write_object(ObjectId(0xF1DE), WriteMode::Replace, 0, b"theirs")
        .unwrap();
    let other = desk.session();
    assert_eq!(
        bytes(&other, find(&other, Class::Data, "Data F1DE")[0], A::Value),
        b"theirs"
    );
}

#[test]
fn chains_anchors_and_what_belongs_to_what() {
    let desk = Desk::new();
    let chain: Vec<Vec<u8>> = (0..3).map(|_| some_certificate()).collect();
    let parts: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let mut content = vec![0; 1728];
    let length = optiga::identity_format::write_chain(&parts, &mut content).unwrap();
    let mut line = desk.driver();
    line.write_object(ObjectId::CERTIFICATE_2, WriteMode::Replace, 0, &content[..length])
        .unwrap();
    line.write_object(ObjectId::CERTIFICATE_3, WriteMode::Replace, 0, &chain[0])
        .unwrap();
    let session = desk.session();
    let value = |session: &Session, label| {
        let found = find(session, Class::Certificate, label);
        found.first().map(|found| bytes(session, *found, A::Value))
    };
    for (label, expected) in [
        ("Claim Cert", &chain[0]),
        ("Claim Cert issuer 1", &chain[1]),
        ("Claim Cert issuer 2", &chain[2]),
        ("JITP Cert", &chain[0]),
    ] {
        assert_eq!(value(&session, label).as_ref(), Some(expected), "{label}");
    }
    session
        .destroy(find(&session, Class::Certificate, "Claim Cert issuer 1")[0])
        .unwrap();
    let next = desk.session();
    assert_eq!(value(&next, "Claim Cert issuer 1").as_ref(), Some(&chain[2]));
    for _ in 0..2 {
        next.destroy(find(&next, Class::Certificate, "Claim Cert")[0])
            .unwrap();
    }
    assert_eq!(value(&desk.session(), "Claim Cert"), None);

    certificate(&next, "Code Verify Key", &chain[1]).unwrap();
    certificate(&next, "an authority", &chain[2]).unwrap();
    let last = desk.session();
    let anchor = find(&last, Class::Certificate, "an authority")[0];
    assert_eq!(find(&last, Class::Certificate, "0xE0E8"), [anchor]);
    assert_eq!(last.attribute(anchor, A::Trusted), Ok(Value::Flag(true)));
    assert_eq!(
        last.attribute(anchor, A::CertificateCategory),
        Ok(Value::Number(2))
    );
    let code = find(&last, Class::PublicKey, "0xE0EF")[0];
    let key = Certificate::parse(&chain[1]).unwrap().public_key().clone();
    assert_eq!(last.object(code).unwrap().public_key().unwrap(), key);
    assert_eq!(last.destroy(code).unwrap_err().number(), 0x1B);
    assert_eq!(
        certificate(&last, "Code Verify Key", &chain[0])
            .unwrap_err()
            .code(),
        "token.object.occupied"
    );
}

#[test]
fn the_point_of_infineons_port_is_read_and_rescued() {
    let desk = Desk::new();
    let mut line = desk.driver();
    let point = line
        .generate_key(KeySlot::E0F1, optiga::Curve::P256, KeyUsage::SIGN)
        .unwrap();
    let ported = [&[0x04, 0x41], point.point()].concat();
    line.write_object(ObjectId(0xF1D2), WriteMode::Replace, 0, &ported)
        .unwrap();
    let session = desk.session();
    signs(&session, "0xE0F1");
    assert_eq!(find(&session, Class::PublicKey, "0xF1D2").len(), 1);
    let slot = Attribute::new(A::BirthmarkSlot, Value::Number(0xE0F2));
    pair(&session, "second", &[slot]).unwrap();
    let next = desk.session();
    signs(&next, "0xE0F1");
    signs(&next, "second");
}

#[test]
fn something_else_in_the_place_of_the_directory_stays() {
    let desk = Desk::new();
    desk.driver()
        .write_object(ObjectId(0xF1E1), WriteMode::Replace, 0, b"somebody's notes")
        .unwrap();
    let session = desk.session();
    pair(&session, KEY, &[]).unwrap();
    signs(&session, KEY);
    assert_eq!(pair(&session, "a name", &[]).unwrap_err().number(), 0x31);
    let mut notes = [0; 20];
    let mut line = desk.driver();
    let length = line.read_object(ObjectId(0xF1E1), 0, &mut notes).unwrap();
    assert_eq!(&notes[..length], b"somebody's notes");
}

#[test]
fn after_a_power_cut_there_is_the_old_or_the_new() {
    let desk = Desk::new();
    let certificate_der = some_certificate();
    type Make<'a> = &'a dyn Fn(&Session) -> bool;
    let make: [(&str, Make<'_>); 3] = [
        ("a key", &|session| pair(session, "a key", &[]).is_ok()),
        ("a certificate", &|session| {
            certificate(session, "a certificate", &certificate_der).is_ok()
        }),
        ("data", &|session| data(session, "data", &[7; 90], false).is_ok()),
    ];
    for (label, make) in make {
        for page_writes in 0..30 {
            desk.restart();
            let session = desk.session();
            let seen = |session: &Session| {
                let all = session.find(&[]).unwrap().into_iter();
                let labels = all.map(|handle| bytes(session, handle, A::Label));
                labels.filter(|seen| *seen != label.as_bytes()).count()
            };
            let before = seen(&session);
            desk.tray
                .chip(0)
                .unwrap()
                .lock()
                .unwrap()
                .cut_power_after(page_writes);
            let made = make(&session);
            desk.restart();
            let survivor = desk.session();
            let found = survivor.find(&[Attribute::label(label)]).unwrap();
            assert!(
                !made || !found.is_empty(),
                "{label} {page_writes}: it was said to be there"
            );
            let public = usize::from(label == "a key" && !found.is_empty());
            assert!(
                seen(&survivor) <= before + public,
                "{label} {page_writes}: a stranger appeared"
            );
            assert!(survivor.damaged().unwrap().is_empty(), "{label} {page_writes}");
            if label == "a key" && !found.is_empty() {
                signs(&survivor, label);
            }
            if made {
                break;
            }
            if let Some(found) = found.first() {
                survivor.destroy(*found).unwrap();
            }
        }
    }
}

#[test]
fn keys_of_a_session_are_in_the_chip_while_there_is_room() {
    let desk = Desk::new();
    let curve = Attribute::new(A::EcParams, Value::bytes(P256));
    let make = |session: &Session| {
        let application = session.application();
        let handle = application.open_session(0, Access::ReadOnly).unwrap();
        let private = [flag(A::Sign, true)];
        application.generate_key_pair(
            handle,
            &Mechanism::EcKeyPairGen,
            std::slice::from_ref(&curve),
            &private,
        )
    };
    let in_chip = desk.with(Options {
        ephemeral: Ephemeral::ChipOnly,
        ..Options::default()
    });
    for _ in 0..4 {
        make(&in_chip).unwrap();
    }
    assert_eq!(make(&in_chip).unwrap_err().number(), 0x31);
    let anywhere = desk.session();
    make(&anywhere).unwrap();
    for session in [&in_chip, &anywhere] {
        for private in session
            .find(&[Attribute::class(Class::PrivateKey), flag(A::Token, false)])
            .unwrap()
        {
            let object = session.object(private).unwrap();
            let signature = session.sign(private, SHA256, b"x").unwrap();
            let key = object.public_key().unwrap();
            crypto::verify(&key, SignatureAlgorithm::EcdsaSha256, b"x", &der(&signature)).unwrap();
        }
    }
    // A reset takes them; that is said, and no other key signs in their place.
    desk.restart();
    let lost = in_chip
        .find(&[Attribute::class(Class::PrivateKey), flag(A::Token, false)])
        .unwrap()[0];
    assert!(in_chip.sign(lost, SHA256, b"x").is_err());
    drop(in_chip);
    make(&desk.with(Options {
        ephemeral: Ephemeral::ChipOnly,
        ..Options::default()
    }))
    .unwrap();
}

#[test]
fn the_chip_verifies_if_it_is_to() {
    let desk = Desk::new();
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    certificate(&desk.session(), "Code Verify Key", &support::certificate(&key)).unwrap();
    pair(&desk.session(), KEY, &[]).unwrap();
    let session = desk.with(Options {
        verify: Verify::Chip,
        ..Options::default()
    });
    let application = session.application();
    let handle = application.open_session(0, Access::ReadOnly).unwrap();
    let check = |key: Handle, signature: &[u8]| {
        application.verify_init(handle, SHA256, key.number()).unwrap();
        application.verify(handle, b"x", signature)
    };
    let own = find(&session, Class::PublicKey, "0xF1D1")[0];
    let private = find(&session, Class::PrivateKey, KEY)[0];
    let good = session.sign(private, SHA256, b"x").unwrap();
    let before = desk.bus.transactions();
    assert_eq!(check(own, &good), Ok(()));
    assert!(desk.bus.transactions() > before);
    let mut bad = good.clone();
    bad[40] ^= 1;
    assert_eq!(check(own, &bad), Err(Error::SignatureInvalid));
    assert_eq!(check(own, &good[..63]), Err(Error::SignatureLengthRange));
    let code = find(&session, Class::PublicKey, "0xE0EF")[0];
    let signed = key.sign_digest(&crypto::sha256(b"x")).unwrap();
    let halves = identity::der::Reader::whole(&signed, |reader| {
        reader.sequence(|s| Ok((s.unsigned()?, s.unsigned()?)))
    })
    .unwrap();
    let fixed: Vec<u8> = [halves.0, halves.1]
        .into_iter()
        .flat_map(|half| [&[0; 32][half.len()..], half].concat())
        .collect();
    assert_eq!(check(code, &fixed), Ok(()));
    assert_eq!(check(code, &good), Err(Error::SignatureInvalid));
}

#[test]
fn random_bytes_of_every_length_from_either_source() {
    let desk = Desk::new();
    for random in [Random::Chip, Random::HostSeededFromChip] {
        let session = desk.with(Options {
            random,
            ..Options::default()
        });
        for length in [0, 1, 7, 8, 9, 255, 256, 257, 600] {
            let (mut one, mut two) = (vec![0; length], vec![0; length]);
            session.random(&mut one).unwrap();
            session.random(&mut two).unwrap();
            assert!(length < 8 || one != two, "{length}");
        }
        let application = session.application();
        let handle = application.open_session(0, Access::ReadOnly).unwrap();
        assert_eq!(
            application.seed(handle, b"seed"),
            Err(Error::RandomSeedNotSupported)
        );
    }
}

#[test]
fn a_pin_on_the_host_guards_the_private_objects() {
    let desk = Desk::new();
    let file = desk.folder.path().join("pin");
    pair(&desk.session(), KEY, &[]).unwrap();
    let guarded = |path: &Path| {
        desk.with(Options {
            login: Login::HostPin(path.to_owned()),
            ..Options::default()
        })
    };
    token::chip::init_host_pin(&file, "gateway", b"officer", b"1234").unwrap();
    let session = guarded(&file);
    assert_eq!(find(&session, Class::PrivateKey, KEY), []);
    assert_eq!(find(&session, Class::PublicKey, "0xF1D1").len(), 1);
    assert_eq!(session.login(b"0000"), Err(Error::PinIncorrect));
    assert_eq!(find(&session, Class::PrivateKey, KEY), []);
    session.login(b"1234").unwrap();
    signs(&session, KEY);
    let private = find(&session, Class::PrivateKey, KEY)[0];
    let application = session.application();
    let handle = application.open_session(0, Access::ReadWrite).unwrap();
    application.set_pin(handle, b"1234", b"5678").unwrap();
    application.logout(handle).unwrap();
    assert!(session.sign(private, SHA256, b"x").is_err());
    assert_eq!(session.login(b"1234"), Err(Error::PinIncorrect));
    session.login(b"5678").unwrap();
    signs(&session, KEY);
    // Without a PIN any is right, and none is asked for.
    let open = desk.session();
    open.login(b"anything").unwrap();
    signs(&open, KEY);
}

#[test]
fn only_an_owner_who_allows_it_has_the_chip_emptied() {
    let desk = Desk::new();
    pair(&desk.session(), "a key", &[]).unwrap();
    certificate(&desk.session(), "0xE0E8", &some_certificate()).unwrap();
    data(&desk.session(), "data", b"x", false).unwrap();
    let init = |options: Options| {
        let session = desk.with(options);
        let application = std::sync::Arc::clone(session.application());
        drop(session);
        application.init_token(0, b"officer", "anew")
    };
    assert_eq!(init(Options::default()), Err(Error::WriteProtected));
    assert_eq!(find(&desk.session(), Class::PrivateKey, "a key").len(), 1);
    let allowed = Options {
        allow_init: true,
        ..Options::default()
    };
    init(allowed).unwrap();
    let session = desk.session();
    let mut left = session.find(&[]).unwrap();
    left.retain(|handle| {
        let class = session.attribute(*handle, A::Class).unwrap();
        class != Value::Number(Class::Profile.number())
    });
    let labels: Vec<_> = left
        .iter()
        .map(|handle| bytes(&session, *handle, A::Label))
        .collect();
    let infineons = |label: &Vec<u8>| label.starts_with(b"Infineon");
    assert!(labels.iter().all(infineons), "{labels:?}");
    assert_eq!(session.application().token(0).unwrap().1.label, "anew");
}

#[test]
fn secrets_are_agreed_on_in_the_chip() {
    let desk = Desk::new();
    let session = desk.session();
    let (_, private) = pair(&session, KEY, &[flag(A::Derive, true)]).unwrap();
    let application = session.application();
    let handle = application.open_session(0, Access::ReadWrite).unwrap();
    let agree = |base: u64, public: &[u8]| {
        let parameters = token::crypto::EcdhParameters {
            cofactor: false,
            kdf: None,
            shared: Vec::new(),
            public: public.to_vec(),
        };
        let template = [flag(A::Sensitive, false), flag(A::Extractable, true)];
        let made = application.derive_key(handle, &Mechanism::Ecdh1(parameters), base, &template)?;
        let token::DerivedKeys::One(made) = made else {
            panic!("one key");
        };
        let found = session.find(&[Attribute::class(Class::SecretKey)]).unwrap();
        let found = found.into_iter().find(|found| found.number() == made).unwrap();
        Ok::<_, Error>(bytes(&session, found, A::Value))
    };
    let curve = Attribute::new(A::EcParams, Value::bytes(P256));
    let ephemeral = [flag(A::Derive, true), flag(A::Sign, false)];
    let (public, other) = application
        .generate_key_pair(handle, &Mechanism::EcKeyPairGen, &[curve], &ephemeral)
        .unwrap();
    let point = |number: u64| {
        let found = session.find(&[Attribute::class(Class::PublicKey)]).unwrap();
        let found = found.into_iter().find(|found| found.number() == number).unwrap();
        session
            .object(found)
            .unwrap()
            .public_key()
            .unwrap()
            .ec_point()
            .unwrap()
            .to_vec()
    };
    let device = point(find(&session, Class::PublicKey, "0xF1D1")[0].number());
    let secret = agree(private, &point(public)).unwrap();
    assert_eq!((secret.len(), &secret), (32, &agree(other, &device).unwrap()));
    assert!(agree(private, &[4; 65]).is_err());
    // A key that only signs does not agree.
    let (_, signer) = pair(&session, "signer", &[]).unwrap();
    assert_eq!(agree(signer, &device).unwrap_err().number(), 0x68);
}

#[test]
fn a_key_on_the_larger_curve() {
    let desk = Desk::new();
    let template = KeyPairTemplate {
        curve: Curve::P384,
        ..KeyPairTemplate::signing(KEY)
    };
    desk.session().generate_key_pair(&template).unwrap();
    let session = desk.session();
    let private = find(&session, Class::PrivateKey, KEY)[0];
    let sha384 = Mechanism::Ecdsa(Some(Hash::Sha384));
    let signature = session.sign(private, &sha384, b"x").unwrap();
    assert_eq!(signature.len(), 96);
    let key = session.object(private).unwrap().public_key().unwrap();
    crypto::verify(&key, SignatureAlgorithm::EcdsaSha384, b"x", &der(&signature)).unwrap();
    let p521 = KeyPairTemplate {
        curve: Curve::P521,
        ..KeyPairTemplate::signing("x")
    };
    assert_eq!(
        session.generate_key_pair(&p521).unwrap_err(),
        Error::CurveNotSupported
    );
}

#[test]
fn a_secret_that_stays_in_the_chip_makes_the_same_master_secret() {
    let desk = Desk::new();
    let session = desk.session();
    let (_, private) = pair(&session, KEY, &[flag(A::Derive, true)]).unwrap();
    let application = session.application();
    let handle = application.open_session(0, Access::ReadWrite).unwrap();
    let peer = SoftwareKey::generate(Curve::P256).unwrap();
    let derive = |mechanism: &Mechanism, base: u64, template: &[Attribute<'_>]| match application
        .derive_key(handle, mechanism, base, template)?
    {
        token::DerivedKeys::One(key) | token::DerivedKeys::Master { key, .. } => Ok::<u64, Error>(key),
        token::DerivedKeys::Connection { .. } => panic!("one key"),
    };
    let agreement = Mechanism::Ecdh1(token::crypto::EcdhParameters {
        cofactor: false,
        kdf: None,
        shared: Vec::new(),
        public: peer.public_key().ec_point().unwrap().to_vec(),
    });
    let allowed: Vec<u64> = [0x03E2, 0x03D9].into();
    let kept = [
        flag(A::Derive, true),
        Attribute::new(A::AllowedMechanisms, Value::Numbers(allowed.into())),
    ];
    let open = [
        flag(A::Derive, true),
        flag(A::Sensitive, false),
        flag(A::Extractable, true),
    ];
    let before = desk.tray.counters();
    let inside = derive(&agreement, private, &kept).unwrap();
    let outside = derive(&agreement, private, &open).unwrap();
    let master = |hash| {
        Mechanism::Tls12Master(token::crypto::Tls12MasterParameters {
            hash,
            client_random: vec![3; 32],
            server_random: vec![4; 32],
            with_version: false,
        })
    };
    let value = |base: u64| {
        let made = derive(&master(Hash::Sha256), base, &open[1..])?;
        let found = session.find(&[Attribute::class(Class::SecretKey)]).unwrap();
        let found = found.into_iter().find(|found| found.number() == made).unwrap();
        Ok::<_, Error>(bytes(&session, found, A::Value))
    };
    let secret = value(inside).unwrap();
    assert_eq!((secret.len(), &secret), (48, &value(outside).unwrap()));
    assert_ne!(before, desk.tray.counters());
    // The chip's function knows one hash, and the secret is good for nothing else.
    assert!(derive(&master(Hash::Sha384), inside, &open[1..]).is_err());
    let all = session.find(&[Attribute::class(Class::SecretKey)]).unwrap();
    let hidden = all.into_iter().find(|found| found.number() == inside).unwrap();
    assert!(session.attribute(hidden, A::Value).is_err());
    assert_eq!(session.attribute(hidden, A::ValueLength), Ok(Value::Number(32)));
    desk.restart();
    assert!(value(inside).is_err(), "a reset takes it");
}
