//! What an application may do when: sessions, login, and the state machines of operations.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![forbid(unsafe_code)]

mod support;

use identity::crypto::SoftwareKey;
use identity::key::Curve;
use support::Memory;
use token::{
    Access, Application, Attribute, AttributeKind, Class, Error, Hash, Kind, Mechanism, MechanismType, Setup,
    User, Value,
};

const ECDSA: &Mechanism = &Mechanism::Ecdsa(None);
const ECDSA_SHA256: &Mechanism = &Mechanism::Ecdsa(Some(Hash::Sha256));
const SHA256: &Mechanism = &Mechanism::Digest(Hash::Sha256);

fn application() -> Application {
    let memory = Memory::default();
    memory.0.lock().unwrap().key = Some(SoftwareKey::generate(Curve::P256).unwrap());
    let setup = |memory: Memory| Setup {
        backend: Box::new(memory),
        label: Some("one".into()),
        description: "memory".into(),
        hardware: false,
    };
    Application::new([setup(memory), setup(Memory::default())]).unwrap()
}

fn one(application: &Application, session: u64, class: Class) -> u64 {
    application
        .find_init(session, Some(&[Attribute::class(class)]))
        .unwrap();
    let mut found = [0; 8];
    assert_ne!(application.find(session, &mut found), Ok(0));
    application.find_final(session).unwrap();
    found[0]
}

#[test]
fn sessions_have_numbers_that_never_come_back() {
    let application = application();
    let open = |slot| application.open_session(slot, Access::ReadOnly);
    let (first, second) = (open(0).unwrap(), open(1).unwrap());
    assert_eq!(open(2), Err(Error::SlotIdInvalid(2)));
    assert_eq!(application.session_state(second).unwrap().slot, 1);
    application.close_session(first).unwrap();
    assert_eq!(application.close_session(first), Err(Error::SessionHandleInvalid));
    assert!(open(0).unwrap() > second);
    application.close_all_sessions(0).unwrap();
    assert_eq!(
        (application.sessions_of(0), application.sessions_of(1)),
        ((0, 0), (1, 0))
    );
    assert_eq!(application.token(0).unwrap().1.label, "one");
}

#[test]
fn a_login_is_for_the_token_and_ends_with_its_last_session() {
    let application = application();
    let open = || application.open_session(0, Access::ReadWrite).unwrap();
    let (first, second) = (open(), open());
    assert_eq!(application.logout(first), Err(Error::UserNotLoggedIn));
    assert_eq!(
        application.login(first, User::SecurityOfficer, b"1234"),
        Err(Error::UserTypeInvalid)
    );
    application.login(first, User::User, b"any").unwrap();
    assert_eq!(application.session_state(second).unwrap().user, Some(User::User));
    assert_eq!(
        application.login(second, User::User, b""),
        Err(Error::UserAlreadyLoggedIn)
    );
    assert_eq!(
        application.login(second, User::SecurityOfficer, b""),
        Err(Error::UserAnotherLoggedIn)
    );
    application.close_all_sessions(0).unwrap();
    assert_eq!(application.session_state(open()).unwrap().user, None);
}

#[test]
fn kinds_of_operations_are_not_in_each_others_way_and_one_kind_runs_once() {
    let application = application();
    let session = application.open_session(0, Access::ReadOnly).unwrap();
    let key = one(&application, session, Class::PrivateKey);
    let public = one(&application, session, Class::PublicKey);
    let sign = || application.sign_init(session, ECDSA, key);
    let digest = || application.digest_init(session, SHA256);
    let verify = || application.verify_init(session, ECDSA, public);
    let find = || application.find_init(session, None);
    for start in [&sign as &dyn Fn() -> _, &digest, &verify, &find] {
        assert_eq!(start(), Ok(()));
        assert_eq!(start(), Err(Error::OperationActive));
    }
    assert_eq!(
        application.find(session, &mut [0; 5]),
        Ok(0),
        "what can not match finds nothing"
    );
    for kind in [Kind::Find, Kind::Digest, Kind::Sign, Kind::Verify] {
        application.cancel(session, kind).unwrap();
        assert_eq!(application.is_active(session, kind), Ok(false));
    }
    assert_eq!(
        application.find_final(session),
        Err(Error::OperationNotInitialized)
    );
}

#[test]
fn an_operation_outlives_questions_about_length_and_nothing_else() {
    let application = application();
    let session = application.open_session(0, Access::ReadOnly).unwrap();
    let key = one(&application, session, Class::PrivateKey);
    let none = Err(Error::OperationNotInitialized);
    let mut out = [0; 64];
    assert_eq!(application.sign(session, b"x", Some(&mut out)), none);
    application.sign_init(session, ECDSA_SHA256, key).unwrap();
    assert_eq!(application.sign(session, b"x", None), Ok(64));
    assert_eq!(
        application.sign(session, b"x", Some(&mut out[..63])),
        Err(Error::BufferTooSmall { needed: 64 })
    );
    assert_eq!(application.sign(session, b"x", Some(&mut out)), Ok(64));
    assert_eq!(application.sign(session, b"x", Some(&mut out)), none);

    application.digest_init(session, SHA256).unwrap();
    assert_eq!(application.digest(session, b"abc", None), Ok(32));
    assert_eq!(application.digest(session, b"abc", Some(&mut out)), Ok(32));
    assert_eq!(out[..4], [0xBA, 0x78, 0x16, 0xBF]);
    assert_eq!(application.digest(session, b"abc", None), none);

    // A single-part call in a running multi-part one ends both.
    application.sign_init(session, ECDSA_SHA256, key).unwrap();
    application.sign_update(session, b"x").unwrap();
    assert_eq!(
        application.sign(session, b"x", Some(&mut out)),
        Err(Error::OperationActive)
    );
    assert_eq!(application.sign_final(session, Some(&mut out)), none);
}

#[test]
fn signatures_verify_in_one_part_and_in_several_and_with_each_hash() {
    let application = application();
    let session = application.open_session(0, Access::ReadOnly).unwrap();
    let key = one(&application, session, Class::PrivateKey);
    let public = one(&application, session, Class::PublicKey);
    for mechanism in [
        ECDSA_SHA256,
        &Mechanism::Ecdsa(Some(Hash::Sha384)),
        &Mechanism::Ecdsa(Some(Hash::Sha512)),
    ] {
        let mut signature = [0; 64];
        application.sign_init(session, mechanism, key).unwrap();
        application.sign_update(session, b"hello ").unwrap();
        application.sign_update(session, b"world").unwrap();
        assert_eq!(application.sign_final(session, Some(&mut signature)), Ok(64));
        let verify = |data: &[u8], signature: &[u8]| {
            application.verify_init(session, mechanism, public)?;
            application.verify(session, data, signature)
        };
        assert_eq!(verify(b"hello world", &signature), Ok(()));
        assert_eq!(verify(b"hello worlD", &signature), Err(Error::SignatureInvalid));
        assert_eq!(
            verify(b"hello world", &signature[..63]),
            Err(Error::SignatureLengthRange)
        );
        application.verify_init(session, mechanism, public).unwrap();
        application.verify_update(session, b"hello world").unwrap();
        assert_eq!(application.verify_final(session, &signature), Ok(()));
        assert_eq!(
            application.verify_final(session, &signature),
            Err(Error::OperationNotInitialized)
        );
    }
}

#[test]
fn keys_and_mechanisms_must_fit() {
    let application = application();
    let session = application.open_session(0, Access::ReadOnly).unwrap();
    let key = one(&application, session, Class::PrivateKey);
    let public = one(&application, session, Class::PublicKey);
    let sign = |mechanism, key| application.sign_init(session, mechanism, key);
    assert_eq!(sign(ECDSA, public), Err(Error::KeyFunctionNotPermitted));
    assert_eq!(sign(ECDSA, 99), Err(Error::KeyHandleInvalid));
    assert_eq!(sign(ECDSA, u64::MAX), Err(Error::KeyHandleInvalid));
    assert_eq!(
        sign(SHA256, key),
        Err(Error::MechanismInvalid(MechanismType::Sha256))
    );
    assert_eq!(
        application.digest_init(session, ECDSA),
        Err(Error::MechanismInvalid(MechanismType::Ecdsa))
    );
    assert_eq!(
        application.verify_init(session, ECDSA, key),
        Err(Error::KeyFunctionNotPermitted)
    );
    // What exceeds the curve is cut; nothing can not be signed.
    sign(ECDSA, key).unwrap();
    assert_eq!(application.sign(session, &[7; 65], Some(&mut [0; 64])), Ok(64));
    sign(ECDSA, key).unwrap();
    assert_eq!(
        application.sign(session, &[], Some(&mut [0; 64])),
        Err(Error::DataLengthRange { found: 0 })
    );
}

#[test]
fn a_read_only_session_changes_nothing() {
    let application = application();
    let session = application.open_session(0, Access::ReadOnly).unwrap();
    let key = one(&application, session, Class::PrivateKey);
    let refused = Err(Error::SessionReadOnly);
    let certificate = support::certificate(&SoftwareKey::generate(Curve::P256).unwrap());
    let kept = [
        Attribute::class(Class::Certificate),
        Attribute::new(AttributeKind::Token, Value::Flag(true)),
        Attribute::new(AttributeKind::Value, Value::bytes(&certificate)),
    ];
    assert_eq!(application.create_object(session, &kept), refused);
    let params = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
    let public = [Attribute::new(AttributeKind::EcParams, Value::bytes(&params))];
    assert_eq!(
        application
            .generate_key_pair(session, &Mechanism::EcKeyPairGen, &public, &kept[1..2])
            .map(|_| 0),
        refused
    );
    assert_eq!(application.destroy_object(session, key).map(|()| 0), refused);
    assert_eq!(application.set_attributes(session, key, &[]).map(|()| 0), refused);
    let writer = application.open_session(0, Access::ReadWrite).unwrap();
    assert_eq!(
        application.destroy_object(writer, key),
        Err(Error::ObjectProtected)
    );
}
