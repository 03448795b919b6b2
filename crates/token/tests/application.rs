//! What an application may do when: sessions, login, and the state machines of operations.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![forbid(unsafe_code)]

mod support;

use identity::crypto::SoftwareKey;
use identity::key::Curve;
use support::Memory;
use token::{Access, Application, Attribute, Class, Error, Kind, Mechanism, Setup, User};

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
    let found = application.find(session, 8).unwrap();
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
    let sign = || application.sign_init(session, Mechanism::Ecdsa, key);
    let digest = || application.digest_init(session, Mechanism::Sha256);
    let verify = || application.verify_init(session, Mechanism::Ecdsa, public);
    let find = || application.find_init(session, None);
    for start in [&sign as &dyn Fn() -> _, &digest, &verify, &find] {
        assert_eq!(start(), Ok(()));
        assert_eq!(start(), Err(Error::OperationActive));
    }
    assert_eq!(
        application.find(session, 5),
        Ok(vec![]),
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
    application
        .sign_init(session, Mechanism::EcdsaSha256, key)
        .unwrap();
    assert_eq!(application.sign(session, b"x", None), Ok(64));
    assert_eq!(
        application.sign(session, b"x", Some(&mut out[..63])),
        Err(Error::BufferTooSmall { needed: 64 })
    );
    assert_eq!(application.sign(session, b"x", Some(&mut out)), Ok(64));
    assert_eq!(application.sign(session, b"x", Some(&mut out)), none);

    application.digest_init(session, Mechanism::Sha256).unwrap();
    assert_eq!(application.digest(session, b"abc", None), Ok(32));
    assert_eq!(application.digest(session, b"abc", Some(&mut out)), Ok(32));
    assert_eq!(out[..4], [0xBA, 0x78, 0x16, 0xBF]);
    assert_eq!(application.digest(session, b"abc", None), none);

    // A single-part call in a running multi-part one ends both.
    application
        .sign_init(session, Mechanism::EcdsaSha256, key)
        .unwrap();
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
        Mechanism::EcdsaSha256,
        Mechanism::EcdsaSha384,
        Mechanism::EcdsaSha512,
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
    assert_eq!(sign(Mechanism::Ecdsa, public), Err(Error::KeyHandleInvalid));
    assert_eq!(sign(Mechanism::Ecdsa, 99), Err(Error::KeyHandleInvalid));
    assert_eq!(sign(Mechanism::Ecdsa, u64::MAX), Err(Error::KeyHandleInvalid));
    assert_eq!(
        sign(Mechanism::Sha256, key),
        Err(Error::MechanismInvalid(Mechanism::Sha256))
    );
    assert_eq!(
        application.digest_init(session, Mechanism::Ecdsa),
        Err(Error::MechanismInvalid(Mechanism::Ecdsa))
    );
    assert_eq!(
        application.verify_init(session, Mechanism::Ecdsa, key),
        Err(Error::KeyHandleInvalid)
    );
    // A digest is at most as long as the longest hash.
    sign(Mechanism::Ecdsa, key).unwrap();
    assert_eq!(
        application.sign(session, &[7; 65], Some(&mut [0; 64])),
        Err(Error::DataLengthRange { found: 65 })
    );
}

#[test]
fn a_read_only_session_changes_nothing() {
    let application = application();
    let session = application.open_session(0, Access::ReadOnly).unwrap();
    let key = one(&application, session, Class::PrivateKey);
    let refused = Err(Error::SessionReadOnly);
    assert_eq!(application.create_object(session, &[]), refused);
    assert_eq!(
        application
            .generate_key_pair(session, Mechanism::EcKeyPairGen, &[], &[])
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
